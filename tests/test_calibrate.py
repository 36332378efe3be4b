"""Simulation-based calibration: what is right passes, what is wrong is caught, and nothing is dropped in silence."""

import dataclasses
import json
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from catalogue import KnownNoise, Level, person, readings
from conftest import ROOT
from numpyro.distributions import Normal
from picks import some
from posteriors import VALUES, WIDE, closed_form, conjugate, explosive, hierarchy
from scipy.special import polygamma
from scipy.stats import binom, norm

from cytostorm.inference import (
    Arm,
    Cohort,
    Covariate,
    Density,
    Draws,
    Effect,
    Independence,
    LogNormal,
    NoStart,
    Population,
    Prior,
    Priors,
    Problem,
    Stuck,
    Variability,
    quantities,
)
from cytostorm.inference.calibration import findings, fits, ranks, replicates
from cytostorm.inference.keys import branches, generator, root
from cytostorm.inference.observations import joined
from cytostorm.inference.samplers.starts import without_climbs
from cytostorm.models import Minimal, Scenario, bolus
from cytostorm.scripts import calibrate, compose
from cytostorm.scripts.cli import run

NUM, MOST = 120, 50
SHORT = Independence(num_draws=50, num_points=1024, num_rounds=3)
DECAY = ROOT / "tests" / "own" / "decay.py"
# A removal whose derivative along the rate is wrong by a tenth: what a hand-written rule may do.
REMOVED = """
import jax


@jax.custom_jvp
def removed(k, y):
    return -k * y


@removed.defjvp
def _(primals, tangents):
    (k, y), (dk, dy) = primals, tangents
    return removed(k, y), -1.1 * dk * y - k * dy
"""


class Made(eqx.Module):
    """A sampler that returns what `draw(density, rng)` does: an array of draws, in four chains."""

    draw: Any = eqx.field(static=True)

    def sample(self, problem, key, report=lambda done, total: None, blocks=None):
        x = np.asarray(self.draw(problem, generator(key))).reshape(4, -1, problem.sites.size)
        values = {name: np.asarray(v) for name, v in problem.values(jnp.asarray(x)).items()}
        return Draws(values, {}, {}, without_climbs(x[:, 0], 0, 0), 1, 0, np.zeros(4), {})


def exact(density, rng, bias=0.0, stretch=1.0, num=400):
    """Draws of the posterior of readings of a level with a SD of 0.5, or of one that is shifted or stretched."""
    data = density.problem.data
    precision = 1 / WIDE["w"].log_sd ** 2 + data.real.sum() / 0.25
    mean = np.log(np.asarray(data.value))[data.real].sum() / 0.25 / precision
    return mean + (bias + stretch * rng.standard_normal((num, 1))) * precision**-0.5


TEXT = {"w": {"symbol": "w", "unit": "pg/mL"}}  # noise that is known describes nothing


def calibrated(problem, sampler, fitted=None, censored=True, beside=False, num=NUM):
    """The table of a calibration with truths and readings of `problem`, and fits of it or of another one."""
    limits = replicates.assay(problem.data)
    drawn = replicates.drawn(problem, limits, root(1), num)
    density = replicates.posed(fitted or problem, limits, beside)
    found = []
    for data, truth, key in zip(drawn.data, drawn.truth, branches(root(2), num), strict=True):
        seen = data if censored else dataclasses.replace(data, cens=np.zeros_like(data.cens))
        found.append(fits.fitted(density.given(seen), truth, [sampler], key, MOST))
    assert all(one.there for one in found)
    rank = findings.by_rank(problem, drawn, found)
    text = problem.describe() if problem.noise.parameters(problem.data) else TEXT
    return findings.table(rank, MOST, text).set_index("parameter")


def test_the_band_holds_all_of_uniform_ranks_as_often_as_it_says():
    """At 200 replicates, by fresh sets of ranks; not by less than it says, and hardly by more."""
    limits, rng = ranks.band(200, 100), np.random.default_rng(11)
    inside = [limits.holds(rng.integers(0, 101, 200)) for _ in range(4000)]
    assert abs(np.mean(inside) - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 4000)
    pointwise = binom.ppf(0.025, 200, limits.at), binom.ppf(0.975, 200, limits.at)
    assert np.all(limits.low <= pointwise[0])
    assert np.all(limits.high >= pointwise[1])


def test_p_values_of_uniform_ranks_are_uniform_and_agree_with_the_band():
    limits, rng = ranks.band(50, 20), np.random.default_rng(12)
    sets = [rng.integers(0, 21, 50) for _ in range(2000)]
    p = np.array([limits.p_value(x) for x in sets])
    for level in (0.05, 0.2, 0.5):
        assert np.mean(p <= level) < level + 4 * np.sqrt(level / 2000)
    assert [limits.holds(x) for x in sets] == (p > 0.05).tolist()


@pytest.mark.parametrize("uneven", ["high", "narrow", "wide"])
def test_uneven_ranks_leave_the_band_and_are_named(uneven):
    u = np.random.default_rng(13).random(200)
    bent = {"high": u**1.5, "narrow": np.where(u < 0.5, u**1.6 * 0.5**-0.6, 1 - (1 - u) ** 1.6 * 0.5**-0.6)}
    u = bent.get(uneven, 0.5 + (u - 0.5) * 0.6)
    rank = np.minimum((u * 101).astype(int), 100)
    assert not ranks.band(200, 100).holds(rank)
    said = {"high": "draws lie too high", "narrow": "posteriors are too narrow", "wide": "posteriors are too wide"}
    assert said[uneven] in findings.shape(rank, 100)


SPREAD, PEOPLE = Prior(0.6, 1.0001), 5  # as good as known


def of_hierarchy(stretch=1.0):
    """Draws of the posterior of a hierarchy, or of one whose median is stretched: median, spread, deviations."""

    def draw(density, rng):
        num, each = 2000, np.log(np.asarray(density.problem.data.value)).reshape(PEOPLE, -1).mean(axis=1)
        omega, noise = SPREAD.median, 0.25 / len(VALUES)
        precision = 1 / WIDE["w"].log_sd ** 2 + PEOPLE / (omega**2 + noise)
        w = each.sum() / (omega**2 + noise) / precision + stretch * rng.standard_normal((num, 1)) * precision**-0.5
        spread = np.log(omega) + SPREAD.log_sd * rng.standard_normal((num, 1))
        told = 1 + omega**2 / noise
        z = omega / noise * (each - w) / told + rng.standard_normal((num, PEOPLE)) * told**-0.5
        return np.concatenate([w, spread, z], axis=1)

    return Made(draw)


def test_a_population_is_ranked_by_what_its_subjects_share():
    """A hierarchy with a closed form passes, and one whose median is told too narrowly is caught."""
    problem = hierarchy([VALUES] * PEOPLE, Effect(SPREAD))
    assert quantities.described(problem) == {
        "w": {"symbol": "w", "unit": "pg/mL", "meaning": "level"},
        "omega[w]": {
            "symbol": r"\omega_{w}",
            "unit": "1",
            "meaning": "SD of the logarithm of a parameter between subjects",
        },
    }
    right, narrow = (calibrated(problem, of_hierarchy(stretch)) for stretch in (1.0, 0.5))
    assert list(right.index) == ["w", "omega[w]", fits.LIKELIHOOD]
    assert right["passes"].all()
    assert right.loc["w", "contraction"] > 0.8
    assert abs(right.loc["omega[w]", "contraction"]) < 0.1
    assert narrow.loc["w", "shape"] == "posteriors are too narrow"


def test_quantities_of_a_population_are_named_and_valued():
    """Medians by the exponential, correlations by the hyperbolic tangent, coefficients as they are."""
    effects = {"k_l": {"omega": {"median": 0.3, "fold": 3}}, "u0": {"omega": {"median": 0.4, "fold": 3}}}
    people = tuple(person(f"S{i}", [1.0, 2.0], [10.0, 50.0], covariates={"weight": 70.0 + i}) for i in range(3))
    problem = Population(
        {"*": Arm(Minimal(), Scenario(bolus("lps", 2.0)))},
        Cohort(people),
        Priors(k_l={"median": 1.0, "fold": 3}, u0={"median": 9000.0, "fold": 3}),
        Variability(effects, covariates=[Covariate("k_l", "weight", 70.0, sd=0.5)]),
    )
    told, pair = quantities.quantities(problem), "partial_correlation[u0~k_l]"
    assert {q.name for q in told} == {"k_l", "u0", "sigma_il6", "omega[k_l]", "omega[u0]", pair, "beta_k_l_weight"}
    position = np.arange(problem.sites.size) / 10
    values = {q.name: q.value(position) for q in told}
    known = {name: np.asarray(x) for name, x in problem.sites.values(jnp.asarray(position)).items()}
    assert values["k_l"] == pytest.approx(float(known["k_l"]))
    assert values["omega[u0]"] == pytest.approx(float(known["omega"][1]))
    assert values[pair] == pytest.approx(float(known["root"][1, 0]))
    assert values["beta_k_l_weight"] == pytest.approx(float(known["beta_k_l_weight"]))
    wide = dict(zip(values, quantities.width(problem, root(5)), strict=True))
    assert wide["omega[k_l]"] == pytest.approx(np.log(3) / norm.ppf(0.95), rel=0.1)
    assert wide[pair] == pytest.approx(np.sqrt(polygamma(1, 2) / 2), rel=0.1)  # of the Fisher transform under LKJ(2)


@pytest.mark.parametrize(
    ("stretch", "low", "high"), [(1.0, 0.0, 0.08), (0.9, 0.2, 0.36), (0.8, 0.78, 0.9), (0.7, 0.97, 1.0)]
)
def test_what_two_hundred_replicates_can_see(stretch, low, high):
    """How often a posterior whose standard deviation is this share of the right one leaves the band: docs/calibration.md."""
    limits, rng = ranks.band(200, 100), np.random.default_rng(15)
    sets = [rng.binomial(100, norm.cdf(rng.standard_normal(200) / stretch)) for _ in range(500)]
    assert low <= np.mean([not limits.holds(x) for x in sets]) <= high


def test_ties_are_broken_at_random():
    rng = np.random.default_rng(14)
    found = np.array([ranks.ranked(np.zeros((10, 1)), np.zeros(1), rng)[0] for _ in range(2000)])
    assert np.ptp(found) == 10
    assert abs(found.mean() - 5) < 4 * np.sqrt(10 / 2000)
    assert ranks.ranked(np.arange(10.0)[:, None], np.array([3.5]), rng) == [4]


def test_coverage_is_that_of_central_intervals():
    below = np.array([0.01, 0.03, 0.2, 0.5, 0.9, 0.99])
    assert [ranks.covered(below, level) for level in (0.5, 0.8, 0.95)] == pytest.approx([1 / 6, 3 / 6, 4 / 6])
    low, high = ranks.likely(0.5, 10)
    assert binom.cdf(5, 10, high) == pytest.approx(0.025)
    assert binom.sf(4, 10, low) == pytest.approx(0.025)
    assert ranks.likely(0.0, 10)[0] == 0.0
    assert ranks.likely(1.0, 10)[1] == 1.0


def test_exact_draws_pass_and_are_covered_as_stated():
    table = calibrated(conjugate(), Made(exact))
    assert table["passes"].all()
    for level in (50, 80, 90, 95):
        assert (table[f"low_{level}"] <= level / 100).all()
        assert (table[f"high_{level}"] >= level / 100).all()
    left = (1 + 4 / 0.25 * WIDE["w"].log_sd ** 2) ** -1
    assert table.loc["w", "contraction"] == pytest.approx(1 - left, abs=0.01)
    assert abs(table.loc["w", "z_mean"]) < 4 / np.sqrt(NUM)
    assert abs(table.loc["w", "z_sd"] - 1) < 4 / np.sqrt(2 * NUM)


@pytest.mark.parametrize(
    ("change", "said"), [({"bias": 0.6}, "too high"), ({"stretch": 0.6}, "narrow"), ({"stretch": 1.7}, "wide")]
)
def test_draws_that_are_shifted_or_stretched_are_caught(change, said):
    table = calibrated(conjugate(), Made(lambda density, rng: exact(density, rng, **change)))
    assert not table.loc["w", "passes"]
    assert said in table.loc["w", "shape"]


def test_draws_that_ignore_the_readings_are_caught_by_the_likelihood_alone():
    """The prior in place of the posterior has uniform ranks of every parameter (Modrák et al.)."""
    blind = Made(lambda density, rng: density.sites.drawn(rng.standard_normal((400, 1))))
    table = calibrated(conjugate(), blind)
    assert table.loc["w", "passes"]
    assert not table.loc[fits.LIKELIHOOD, "passes"]


def limited() -> Problem:
    """Readings of a level with unknown noise, of which what lies below 0.8 is censored there."""
    data = readings([0.0, 1.0, 2.0, 3.0, 4.0], [0.8, 1.3, 2.2, 0.9, 1.8], cens=[-1, 0, 0, 0, 0], limit=[0.8, 1, 1, 1, 1])
    return Problem(Level(), Scenario(), data, WIDE, LogNormal(Prior(0.4, 2.0)))


@pytest.mark.slow
def test_the_sampler_passes_with_censored_readings():
    table = calibrated(limited(), SHORT, num=60)
    assert table["passes"].all(), table
    assert list(table.index) == ["w", "sigma", fits.LIKELIHOOD]


def mutants() -> dict[str, tuple[Problem, Problem, bool]]:
    """Truths and readings of one problem, fits of another; and whether these know what is censored."""
    plain, level, right = readings([0.0, 1.0, 2.0, 3.0], [1.0] * 4), conjugate(), limited()

    class Narrow(KnownNoise):
        def log_density(self, log_f, parameters, data, scatter=1.0):
            return Normal(log_f, 0.2).log_prob(jnp.log(data.value)) - jnp.log(data.value)

    tight = Priors(w={"median": 1.0, "fold": 1.6})
    return {
        "likelihood": (level, Problem(Level(), Scenario(), plain, WIDE, Narrow()), True),
        "prior": (level, Problem(Level(), Scenario(), plain, tight, KnownNoise()), True),
        "censoring": (right, right, False),
    }


@pytest.mark.parametrize("name", some(["likelihood", "prior", "censoring"], []))
def test_a_wrong_likelihood_a_wrong_prior_and_censoring_that_is_ignored_are_caught(name):
    """Each with a sampler that passes where nothing is wrong."""
    problem, other, censored = mutants()[name]
    table = calibrated(problem, SHORT, other, censored, num=60)
    assert not table["passes"].all(), table


@pytest.mark.slow
def test_a_wrong_sensitivity_is_caught_by_the_certificate(tmp_path):
    """Chains that use it are slower and still right, so that ranks do not show it."""
    (tmp_path / "t.csv").write_text("subject,time_h,analyte,value,unit\nA,1,tracer,7,mg/L\nA,4,tracer,3,mg/L\n")
    right, skewed = DECAY.read_text(), tmp_path / "skewed.py"
    skewed.write_text(right.replace("return -self.k * y", "return removed(self.k, y)") + REMOVED)
    assert skewed.read_text() != right + REMOVED
    for name, code in ((DECAY, 0), (skewed, 1)):
        asked = ["experiment=own", f"model.path={name}", f"data.path={tmp_path / 't.csv'}", "num_draws=8", "num_few=4"]
        assert run(["certify", *asked, f"hydra.run.dir={tmp_path / name.stem}"]) == code
    errors = json.loads((tmp_path / "skewed" / "manifest.json").read_text())["certificate"]
    assert errors["finite differences"] > 0.05


def test_replicates_are_drawn_from_the_model_the_noise_and_the_assay():
    problem = limited()
    limits = replicates.assay(problem.data)
    np.testing.assert_array_equal(limits.low, 0.8)
    drawn = replicates.drawn(problem, limits, root(3), 400)
    assert drawn.num_failed == 0
    assert len(drawn.data) == 400
    w, sigma = np.exp(drawn.truth).T
    below = np.array([data.cens for data in drawn.data]) == -1
    chance = norm.cdf((np.log(0.8) - np.log(w)) / sigma)[:, None]
    assert abs((below - chance).sum()) < 4 * np.sqrt((5 * chance * (1 - chance)).sum())
    values = np.array([data.value for data in drawn.data])
    assert np.all(values[below] == 0.8)
    assert np.all(values[~below] > 0.8)
    z = ((np.log(values) - np.log(w)[:, None]) / sigma[:, None])[chance[:, 0] < 1e-6]
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert abs(z.std() - 1) < 4 / np.sqrt(2 * z.size)


def test_limits_are_those_stated_or_those_of_censored_readings_of_the_analyte():
    data = readings([0.0, 1.0, 2.0], [1.0, 0.7, 9.0], cens=[-1, 0, 1], limit=[1.0, 1.0, 9.0])
    found = replicates.assay(data)
    assert found.low.tolist() == [1.0, 0.0, 1.0]  # a reading below the limit of another had none
    assert found.high.tolist() == [9.0, 9.0, 9.0]
    plain = readings([0.0], [2.0])
    assert not replicates.assay(plain).limited
    assert replicates.assay(plain, 0.5, 50.0).low.tolist() == [0.5]
    with pytest.raises(ValueError, match="leave out the column `bound`"):
        replicates.assay(dataclasses.replace(data, bound=np.array([0.3, 0.0, np.inf])))


def test_truths_that_cannot_be_solved_are_replaced_and_counted():
    problem = explosive()
    drawn = replicates.drawn(problem, replicates.assay(problem.data), root(4), 60)
    assert len(drawn.data) == 60
    assert drawn.num_drawn == 60 + drawn.num_failed
    assert abs(drawn.num_failed - 60) < 4 * np.sqrt(2 * 60)  # half of the prior: as many as are kept
    assert np.all(drawn.truth < 0.2)
    with pytest.raises(NoStart, match="narrow the priors"):
        replicates.drawn(problem, replicates.assay(problem.data), root(4), 60, np.full((80, 1), 3.0))


def test_a_density_given_other_readings_is_that_of_their_problem_and_is_traced_once():
    problem = limited()
    limits = replicates.assay(problem.data)
    drawn = replicates.drawn(problem, limits, root(5), 3)
    x, chains = np.random.default_rng(0).normal(0, 0.5, (40, 2)), np.full(40, -1)
    for beside in (False, True):
        density = replicates.posed(problem, limits, beside)
        for data in drawn.data:
            whole = joined([problem.data, data]) if beside else data
            own = Problem(problem.model, problem.scenario, whole, problem.priors, problem.noise)
            found = replicates.given(density, problem, data, beside).heights(x, chains)
            np.testing.assert_allclose(found, Density(own).heights(x, chains), rtol=1e-10)
        assert density.num_traces == 1
    with pytest.raises(ValueError, match="another shape"):
        density.given(readings(np.arange(30.0), np.ones(30)))
    with pytest.raises(ValueError, match="name it in `kinds`"):
        Density(conjugate()).given(problem.data.rows(np.array([True, True, True, True, False])))


def test_a_fit_that_fails_its_check_is_made_again_and_one_that_cannot_be_made_is_counted():
    def stuck(density, rng):
        raise Stuck("nowhere")

    problem, idle = conjugate(), Made(lambda density, rng: np.repeat(rng.standard_normal((4, 1)), 100, axis=0))
    density = replicates.posed(problem, replicates.assay(problem.data), False)
    tried = {"again": [idle, Made(exact)], "doubtful": [Made(exact), idle][1:], "lost": [Made(stuck)] * 2}
    found = {name: fits.fitted(density, np.zeros(1), way, root(6), 40) for name, way in tried.items()}
    assert not found["again"].faults(40)
    assert found["again"].sampled.sampler == 1
    assert found["again"].sampled.num_solves == 2
    assert any("R-hat" in fault for fault in found["doubtful"].faults(40))
    assert found["doubtful"].there
    assert found["lost"].faults(40) == ["not fitted"]
    assert not found["lost"].there
    made = findings.by_replicate([found["again"], found["doubtful"], found["lost"]], ["first", "second"], 40)
    assert made["sampler"].tolist() == ["second", "first", "none"]
    assert findings.counted(made) == (1, 1)
    assert len(findings.faults(pd.DataFrame({"passes": []}), made)) == 2


def test_posterior_calibration_passes_where_all_is_right_and_not_where_the_same_readings_count_twice():
    """Truths from the posterior of the readings, fits of these and new ones: each with closed forms."""
    problem, num = conjugate(), NUM
    limits = replicates.assay(problem.data)
    truth = np.asarray(exact(Density(problem), np.random.default_rng(7), num=num))
    drawn = replicates.drawn(problem, limits, root(8), num, truth)
    np.testing.assert_array_equal(drawn.truth, truth)
    density, keys = replicates.posed(problem, limits, True), branches(root(9), num)
    for right in (True, False):
        found = []
        for data, own, key in zip(drawn.data, drawn.truth, keys, strict=True):
            one = replicates.given(density, problem, data if right else problem.data, True)
            found.append(fits.fitted(one, own, [Made(exact)], key, MOST))
        table = findings.table(findings.by_rank(problem, drawn, found), MOST, TEXT).set_index("parameter")
        assert bool(table["passes"].all()) is right, table
    assert "narrow" in table.loc["w", "shape"]


def test_truths_around_the_readings_are_worth_ten_draws_for_every_replicate():
    """One fit is worth some four hundred draws: enough for thirty replicates, not for a hundred, and none of 500."""
    mean, sd = closed_form()
    for num, made in ((30, 1), (100, 3)):
        truth = calibrate.observed(conjugate(), [Made(exact)], root(3), num)
        assert len(truth) == made * 400
        assert abs(truth.mean() - mean) < 4 * sd / np.sqrt(calibrate.POOL * num)
    with pytest.raises(Stuck, match=r"ESS \d+ below 500"):
        calibrate.observed(conjugate(), [Made(exact)], root(3), 500)


@pytest.fixture(scope="module")
def tracer(tmp_path_factory):
    """A small calibration of one's own model through the command line: its folder, and what it was asked."""
    folder = tmp_path_factory.mktemp("calibrate")
    rows = "\n".join(f"A,{t},tracer,{10 * np.exp(-0.3 * t):.3g},mg/L,," for t in (0, 1, 2, 4, 6))
    (folder / "t.csv").write_text(f"subject,time_h,analyte,value,unit,cens,limit\n{rows}\nA,12,tracer,0.4,mg/L,left,0.4\n")
    asked = ["calibrate", "experiment=own", f"model.path={DECAY}", f"data.path={folder / 't.csv'}"]
    asked += [
        "sampler=independence",
        "sampler.num_draws=100",
        "sampler.num_points=1024",
        "num_replicates=20",
        "num_ranks=20",
    ]
    assert run([*asked, f"hydra.run.dir={folder / 'out'}"]) == 0
    return folder / "out", asked


def test_a_run_folder_holds_ranks_fits_table_and_figures(tracer):
    folder, _ = tracer
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["job"] == "calibrate"
    assert manifest["passed"]
    assert manifest["num_screened"] == 20 + manifest["num_screened_failed"]
    rank = pd.read_csv(folder / "ranks.csv")
    assert len(rank) == 20 * 4
    assert rank["rank"].between(0, 20).all()
    assert (pd.read_csv(folder / "fits.csv")["num_solves"] > 0).all()
    assert list(pd.read_csv(folder / "calibration.csv")["parameter"]) == ["begun", "k", "sigma", fits.LIKELIHOOD]
    for name in ("ranks", "ecdf", "coverage", "recovery"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert not (folder / "fits").exists()


@pytest.mark.slow
def test_one_seed_calibrates_the_same_whatever_runs_side_by_side(tracer, tmp_path):
    folder, asked = tracer
    run([*asked, "threads=1", f"hydra.run.dir={tmp_path / 'again'}"])
    pd.testing.assert_frame_equal(pd.read_csv(folder / "ranks.csv"), pd.read_csv(tmp_path / "again" / "ranks.csv"))


@pytest.mark.slow
def test_posterior_calibration_runs_from_the_command_line(tracer, tmp_path):
    _, asked = tracer
    run([*asked, "posterior=true", "sampler.num_draws=200", f"hydra.run.dir={tmp_path / 'out'}"])
    table = pd.read_csv(tmp_path / "out" / "calibration.csv", index_col="parameter")
    first = pd.read_csv(tracer[0] / "calibration.csv", index_col="parameter")
    # From the posterior, whose variance as many readings again halve; from the prior it is nearly whole.
    assert 0.2 < table.loc["begun", "contraction"] < 0.8 < first.loc["begun", "contraction"]


def test_what_is_on_disk_is_not_fitted_again(tmp_path):
    from cytostorm.inference import Blocks, Interrupted

    seen = []
    blocks = Blocks(tmp_path / "fits")

    def fit(number):
        seen.append(number)
        blocks.stop = number == 2
        return fits.nothing(2)

    with pytest.raises(Interrupted, match="stopped after 3 of 6 fits"):
        fits.every_fit(fit, 6, 2, blocks, lambda done, total: None)
    found = fits.every_fit(fit, 6, 2, Blocks(tmp_path / "fits"), lambda done, total: None)
    assert len(found) == 6
    assert seen == [0, 1, 2, 3, 4, 5]


def test_no_second_sampler_is_used_where_it_is_null():
    given = ["data=synthetic", "sampler=laplace"]
    names = [calibrate.asked(compose.check("calibrate", [*given, *more]))[2] for more in ([], ["again=null"])]
    assert names == [["Laplace", "Independence"], ["Laplace"]]


REFUSED = [
    ("variability=endotoxemia", "use sampler=nuts_population"),
    ("variability=endotoxemia posterior=true", "a population is calibrated around its prior"),
    ("num_replicates=5", "`num_replicates` is 5; give 20 or more"),
    ("num_ranks=3", "`num_ranks` is 3"),
    ("threads=0", "`threads` is 0"),
]


@pytest.mark.parametrize(("more", "message"), some(REFUSED, REFUSED[:3]))
def test_bad_input_is_refused(more, message, refused):
    refused(message, "calibrate", *more.split())


@pytest.mark.slow
def test_twenty_replicates_of_the_minimal_model_are_fitted_and_covered(tmp_path):
    asked = ["data=synthetic", "data.times_h=[0,0.5,1,1.5,2,2.5,3,4,5,6]", "data.lower_limit=1.0", "num_replicates=20"]
    assert run(["calibrate", *asked, "num_ranks=50", f"hydra.run.dir={tmp_path / 'out'}"]) == 0
    table = pd.read_csv(tmp_path / "out" / "calibration.csv")
    assert len(table) == 12
    assert (table["num"] == 20).all()
    assert (table["high_90"] >= 0.9).all()


@pytest.mark.slow
def test_a_population_is_calibrated_through_the_command_line(tmp_path):
    """Twelve people whose rates of removal differ, by the no-U-turn sampler."""
    rows = [f"S{i},{t},tracer,{10 * np.exp(-0.3 * t):.3g},mg/L" for i in range(12) for t in (1, 2, 4, 6)]
    (tmp_path / "t.csv").write_text("\n".join(["subject,time_h,analyte,value,unit", *rows]) + "\n")
    asked = ["calibrate", "experiment=own", f"model.path={DECAY}", "data=cohort", f"data.path={tmp_path / 't.csv'}"]
    asked += ["+variability._target_=cytostorm.inference.Variability", "+variability.effects.k.centred=true"]
    asked += ["+variability.effects.k.omega={median: 0.3, fold: 2.0}", "sampler.target_accept=0.95"]
    asked += ["sampler=nuts_population", "num_replicates=20", "num_ranks=20"]
    assert run([*asked, f"hydra.run.dir={tmp_path / 'out'}"]) == 0
    table = pd.read_csv(tmp_path / "out" / "calibration.csv", index_col="parameter")
    assert list(table.index) == ["begun", "k", "sigma", "omega[k]", fits.LIKELIHOOD]
    assert (table["num"] == 20).all()
    assert (table["high_90"] >= 0.9).all()
