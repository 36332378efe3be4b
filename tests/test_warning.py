"""Could we have known? The posterior after every reading, the chance of a storm, rivals and scores."""

import json

import numpy as np
import pandas as pd
import pytest
from posteriors import VALUES, WIDE, conjugate, explosive
from scipy.stats import norm

from cytostorm.inference import load
from cytostorm.inference.keys import root
from cytostorm.inference.warning.alarm import Alarm, above, alarm, first_time, next_reading
from cytostorm.inference.warning.arriving import Watch, arriving
from cytostorm.inference.warning.replay import OURS, compared, replay, scored
from cytostorm.inference.warning.rivals import Gaussian, LastValue, Trend, rivals
from cytostorm.inference.warning.scores import brier, calibration, crps_normal, crps_weighted, lead, reliability, slope_error
from cytostorm.scripts.cli import run

LEVEL = Watch("il6")


def so_far(k):
    """Mean and SD of log w after k of the readings of the conjugate problem."""
    precision = 1 / WIDE["w"].log_sd ** 2 + k / 0.25
    return np.log(VALUES[:k]).sum() / 0.25 / precision, precision**-0.5


@pytest.fixture(scope="module")
def told():
    """What is known of the conjugate problem after none to all of its readings."""
    times, steps = arriving(conjugate(), 10.0, root(1), 4000, 0.5, LEVEL)
    return times, list(steps)


@pytest.mark.parametrize("k", range(5))
def test_the_posterior_after_every_reading_is_that_of_the_closed_form(told, k):
    known = told[1][k]
    mean, sd = so_far(k)
    found = known.weight @ known.x[:, 0]
    spread = np.sqrt(known.weight @ (known.x[:, 0] - found) ** 2)
    assert known.num == k
    assert known.ess > 800
    assert abs(found - mean) < 4 * sd / np.sqrt(known.ess)
    assert abs(spread / sd - 1) < 4 / np.sqrt(2 * known.ess)


@pytest.mark.parametrize("k", range(4))
def test_the_next_reading_has_its_predictive_density(told, k):
    mean, sd = so_far(k)
    drawn, density = next_reading(told[1][k])
    exact = norm.logpdf(np.log(VALUES[k]), mean, np.hypot(sd, 0.5)) - np.log(VALUES[k])
    assert density == pytest.approx(exact, abs=0.03)
    assert told[1][k].weight @ drawn == pytest.approx(mean, abs=0.1)


def test_after_the_last_reading_none_comes_next(told):
    assert next_reading(told[1][4]) is None


def test_the_chance_of_exceeding_is_that_of_the_posterior(told):
    """The level is constant: the chance that it exceeds 1.5 later is that it does so now."""
    times, known = told
    found = alarm(known[4], times, 1.5, (2.0, 6.0))
    mean, sd = so_far(4)
    assert found.exceeds == pytest.approx(norm.sf(np.log(1.5), mean, sd), abs=0.03)
    assert found.growth == pytest.approx(0.0, abs=1e-6)
    assert found.time == 3.0
    np.testing.assert_allclose(np.log(found.band[2]), mean, atol=0.02)


def test_what_was_exceeded_already_is_not_exceeded_for_the_first_time(told):
    """The level is constant: it is above 1.5 already, or never will be."""
    times, known = told
    found = alarm(known[4], times, 1.5, (2.0, 6.0))
    assert found.already == pytest.approx(found.exceeds[0])
    assert found.ever == 0
    assert (found.first == 0).all()
    assert (first_time(found) == 0).all()


def test_a_cohort_chosen_by_what_came_has_other_odds():
    """Draws: 3 of 10 exceed it, one of them within 24 h; 2 did before. In the cohort storms are four times as likely."""
    band = np.ones((5, 1))
    one = Alarm(
        0.0, 1, (24.0,), np.array([0.2]), np.array([0.1]), 0.3, 0.2, band[:, 0], band[:, 0], band[0], band, 9.0, 9, 0
    )
    assert first_time(one)[0] == pytest.approx(0.1 / 0.8)
    assert first_time(one, 4.0)[0] == pytest.approx(4 * 0.1 / (4 * 0.3 + 0.5))


def test_one_key_forecasts_the_same():
    runs = [list(arriving(conjugate(), 10.0, root(5), 500, 1.0, LEVEL)[1]) for _ in range(2)]
    np.testing.assert_array_equal(runs[0][4].weight, runs[1][4].weight)


def test_patients_who_are_read_alike_share_a_program():
    watch = Watch("il6")
    first, problem = conjugate(), conjugate()
    problem = type(problem)(first.model, first.scenario, problem.data.reading(problem.data.value * 2), WIDE, first.noise)
    for one in (first, problem):
        list(arriving(one, 10.0, root(0), 200, 1.0, watch)[1])
    assert len(watch._programs) == 1


def test_points_that_cannot_be_solved_are_counted_and_weigh_nothing():
    _, steps = arriving(explosive(), 9.0, root(0), 400, 1.0, LEVEL)
    last = list(steps)[-1]
    assert 0 < last.num_failed < last.num_solves
    assert np.all(last.weight[~last.seen.okay] == 0)
    assert last.weight.sum() == pytest.approx(1)


def test_a_patient_none_of_whom_can_be_solved_is_refused():
    with pytest.raises(ValueError, match="no draw from the prior can be solved"):
        list(arriving(explosive(median=1e3), 9.0, root(0), 100, 1.0, LEVEL)[1])


def test_curves_must_reach_the_last_reading():
    with pytest.raises(ValueError, match="curves until 1 h do not reach the last reading, 3 h"):
        arriving(conjugate(), 1.0, root(0))


def test_above_looks_only_ahead_and_no_further_than_the_horizon():
    times, curve = np.arange(5.0), np.array([9.0, 0, 0, 9, 0])
    assert not above(curve, times, 0.0, 2.0, 5.0)
    assert above(curve, times, 0.0, 3.0, 5.0)
    assert not above(curve, times, 3.0, 1.0, 5.0)


def test_brier_and_reliability():
    p, came = np.array([0.1, 0.1, 0.9, 0.9]), np.array([False, True, True, True])
    assert brier(p, came) == pytest.approx((0.01 + 0.81 + 0.01 + 0.01) / 4)
    mean, share, num = reliability(p, came)
    assert (mean.tolist(), share.tolist(), num.tolist()) == ([0.1, 0.9], [0.5, 1.0], [2, 2])


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_the_slope_of_calibration_is_found(factor):
    """Forecasts whose logits are `factor` times as far from zero as they should be have the slope 1 / `factor`."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 1.2, 20_000)
    came = random.random(20_000) < 1 / (1 + np.exp(-logits))
    slope, intercept = calibration(1 / (1 + np.exp(-factor * logits)), came)
    assert slope == pytest.approx(1 / factor, rel=0.05)
    assert intercept == pytest.approx(0.0, abs=0.05)


def test_the_error_of_the_slope_is_that_of_other_patients():
    """Forecasts of a patient all come or all do not: their number says nothing, the number of patients does."""
    random = np.random.default_rng(1)
    patient = np.repeat(np.arange(60), 5)
    slopes, errors = [], []
    for _ in range(60):
        logits = random.normal(0, 1.5, 60)
        came = np.repeat(random.random(60) < 1 / (1 + np.exp(-logits)), 5)
        p = np.repeat(1 / (1 + np.exp(-logits)), 5)
        slopes.append(calibration(p, came)[0])
        errors.append(slope_error(p, came, patient))
    assert np.mean(errors) == pytest.approx(np.std(slopes), rel=0.35)
    assert np.isnan(slope_error(p[:5], came[:5], patient[:5]))


@pytest.mark.parametrize("y", [-1.0, 0.3, 4.0])
def test_the_crps_of_points_is_that_of_their_distribution(y):
    points = norm.ppf((np.arange(4000) + 0.5) / 4000, 0.5, 1.5)
    assert crps_weighted(points, np.full(4000, 1 / 4000), y) == pytest.approx(crps_normal(0.5, 1.5, y), abs=2e-3)
    double = np.concatenate([points, [100.0]])
    assert crps_weighted(double, np.append(np.full(4000, 1 / 4000), 0.0), y) == pytest.approx(
        crps_normal(0.5, 1.5, y), abs=2e-3
    )


def test_the_lead_counts_from_the_alarm_that_stayed():
    time = np.array([0.0, 12, 24, 36, 48])
    assert lead(time, np.array([0.1, 0.9, 0.2, 0.7, 0.8]), 40.0) == 4.0
    assert lead(time, np.array([0.9, 0.9, 0.9, 0.9, 0.1]), 40.0) == 40.0
    assert np.isnan(lead(time, np.array([0.9, 0.9, 0.9, 0.1, 0.9]), 40.0))
    assert np.isnan(lead(time, np.ones(5), 0.0))


def test_the_last_value_exceeds_as_a_random_walk_does():
    """By reflection, against walks in steps of 0.01 h."""
    walk = LastValue(0.3, 0.05)
    steps = np.random.default_rng(0).standard_normal((4000, 1000)) * np.sqrt(0.05 * 0.024)
    share = (np.cumsum(steps, axis=1) > 0.8).any(axis=1).mean()
    assert walk.exceeds(np.array([0.0]), np.array([0.0]), 24.0, 0.8) == pytest.approx(share, abs=0.03)


def test_the_trend_goes_on():
    time, y = np.array([0.0, 6, 12, 18]), np.array([9.0, 1.0, 2.0, 3.0])
    found = Trend(0.1, 0.01).next(time, y, 30.0)
    assert found.mean == pytest.approx(5.0)
    assert found.sd == pytest.approx(np.hypot(0.1, 0.12))
    assert Trend(0.1, 0.01).exceeds(time, y, 24.0, 7.0) == pytest.approx(0.5)


def test_the_process_returns_to_its_mean_and_follows_its_readings():
    process = Gaussian(1.0, 2.0, 24.0, 0.1)
    time, y = np.array([0.0, 12.0, 24.0]), np.array([3.0, 4.0, 5.0])
    assert process.next(time, y, 24.001).mean == pytest.approx(5.0, abs=0.05)
    far = process.next(time, y, 1000.0)
    assert far.mean == pytest.approx(1.0, abs=1e-3)
    assert far.sd == pytest.approx(np.hypot(2.0, 0.1), rel=1e-3)
    assert process.exceeds(time, y, 24.0, -5.0) == 1.0


@pytest.mark.slow
def test_rivals_are_given_the_likeliest_scales():
    """Of random walks of noise 0.2 and speed 0.04, the last value finds these within a quarter."""
    random = np.random.default_rng(3)
    time = np.arange(0.0, 600.0, 6.0)
    walks = [np.cumsum(np.sqrt(0.04 * 6) * random.standard_normal(len(time))) for _ in range(6)]
    found = rivals([(time, walk) for walk in walks])["last value"]
    assert found.speed * 6 + found.noise**2 == pytest.approx(0.04 * 6, rel=0.25)


def test_a_cohort_is_scored_beside_its_rivals():
    """Levels that stay where they are: what came is what was so from the start."""
    problems = {"a": conjugate(), "b": conjugate()}
    forecasts, ahead = replay(problems, root(2), 10.0, 1.5, (2.0,), 500, 1.0, LEVEL)
    assert len(ahead) == 6
    truth = {"a": (np.arange(11.0), np.full(11, 1.2)), "b": (np.arange(11.0), np.full(11, 1.4))}
    chances, readings = compared(problems, forecasts, ahead, truth, 1.5)
    table = scored(chances, readings).set_index("method")
    assert set(table.index) == {OURS, "last value", "trend", "gaussian process"}
    assert table.loc[OURS, "forecasts"] == 8
    assert table.loc[OURS, "came"] == 0
    assert (table["readings"] == 6).all()
    ours = readings[readings["method"] == OURS]["log_score"].iloc[0]
    mean, sd = so_far(1)
    assert ours == pytest.approx(norm.logpdf(np.log(VALUES[1]), mean, np.hypot(sd, 0.5)), abs=0.05)


QUICK = ["num_points=200", "solver.rtol=1e-4", "solver.atol=1e-6", "data.times_h=[0,24,48,60]", "step_h=6.0"]


def test_a_forecast_leaves_its_tables_figures_and_tree(tmp_path, capsys):
    folder = tmp_path / "out"
    assert run(["forecast", *QUICK, "model.k_fb=4.0", "rolling=true", f"hydra.run.dir={folder}"]) == 0
    assert "within 24 h" in capsys.readouterr().out
    names = {path.name for path in folder.iterdir()}
    assert {"forecast.csv", "forecast.nc", "warnings.png", "scores.csv", "chances.csv", "calibration.png"} <= names
    table = pd.read_csv(folder / "forecast.csv")
    assert table["time_h"].tolist() == [0, 0, 24, 48, 60]
    assert (table["exceeds_24h"] <= table["exceeds_72h"] + 1e-12).all()
    tree = load(folder / "forecast.nc")
    (group,) = tree["predictions"].children.values()
    assert group["exceeds"].shape == (5, 3)
    assert json.loads((folder / "manifest.json").read_text())["num_solves"] > 400


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["threshold=0.0"], "`threshold` is 0"),
        (["horizons_h=[]"], "`horizons_h` is"),
        (["horizons_h=[-1.0]"], "`horizons_h` is"),
        (["alarm=1.5"], "`alarm` is 1.5"),
        (["num_points=5"], "`num_points` is 5"),
        (["analyte=tears"], "unknown analyte"),
        (["analyte=tnf"], "has no reading of tnf until"),
        (["known_until_h=-1.0"], "has no reading of il6 until -1 h"),
    ],
    ids=lambda x: x[0] if isinstance(x, list) else "",
)
def test_bad_input_is_refused(more, message, tmp_path, capsys):
    assert run(["forecast", *QUICK, *more, f"hydra.run.dir={tmp_path / 'out'}"]) == 2
    assert message in capsys.readouterr().err
