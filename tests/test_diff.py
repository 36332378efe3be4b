"""Fits beside each other: a reading left out by weights is one left out by a fit, and what differs is told."""

import json
from pathlib import Path

import arviz_stats as azs
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from catalogue import KnownNoise, Level, readings
from omegaconf import OmegaConf
from scipy import stats

from cytostorm.inference import Prior, Priors, Problem
from cytostorm.inference.selection.common import common
from cytostorm.inference.selection.left_out import leave_out, pointwise
from cytostorm.inference.selection.replicas import STATISTICS, p_values
from cytostorm.inference.selection.weights import differences, said, stacked
from cytostorm.models import Scenario, Solver
from cytostorm.scripts.cli import run
from cytostorm.scripts.diff import Fit, of_subjects

RNG = np.random.default_rng(4)
DECAY = Path(__file__).parent / "own" / "decay.py"
NUM, DRAWS = 12, 4000


def tree(y, made=None, analyte="il6", cens=None, likelihood=None):
    """A tree of readings, as `assemble` makes it."""
    obs = {"subject": ("obs_id", ["A"] * len(y)), "analyte": ("obs_id", [analyte] * len(y))}
    obs |= {"time": ("obs_id", np.arange(len(y), dtype=float))}
    none = np.zeros(len(y), int) if cens is None else cens
    known = {"cens": none, "limit": np.full(len(y), np.nan), "n": np.ones(len(y)), "spread": np.full(len(y), np.nan)}
    found = {
        "observed_data": xr.Dataset({"y": ("obs_id", y)}, coords=obs),
        "constant_data": xr.Dataset({name: ("obs_id", x) for name, x in known.items()}, coords=obs),
    }
    if made is not None:
        found["posterior_predictive"] = xr.Dataset({"y": (("chain", "draw", "obs_id"), made[None])}, coords=obs)
    return xr.DataTree.from_dict(found)


SIGMA, WIDE = 0.5, 2.0  # of `KnownNoise`; SD of the log-level before


def exactly(log_y):
    """The log predictive density of every reading of a level given the others: normal in the log, in closed form."""
    found = []
    for i, y in enumerate(log_y):
        rest = np.delete(log_y, i)
        precision = 1 / WIDE**2 + len(rest) / SIGMA**2
        found.append(stats.norm.logpdf(y, rest.sum() / SIGMA**2 / precision, (1 / precision + SIGMA**2) ** 0.5) - y)
    return np.array(found)


def levels(log_y):
    """A level, read with known noise, and draws of its posterior, which is normal in the log."""
    data = readings(np.arange(len(log_y)), np.exp(log_y))
    belief = Prior(1.0, float(np.exp(WIDE * stats.norm.ppf(0.95))))
    problem = Problem(Level(), Scenario(), data, Priors(w=belief), KnownNoise(), Solver())
    precision = 1 / WIDE**2 + len(log_y) / SIGMA**2
    w = np.exp(RNG.normal(log_y.sum() / SIGMA**2 / precision, precision**-0.5, (4, 1000)))
    at = np.asarray(problem.sites.positions({"w": w.ravel()}))
    y = pointwise(problem)(at).reshape(4, 1000, -1)
    groups = {"posterior": xr.Dataset({"w": (("chain", "draw"), w)})}
    groups["log_likelihood"] = xr.Dataset({"y": (("chain", "draw", "obs_id"), y)})
    return problem, xr.DataTree.from_dict(groups)


def test_readings_are_left_out_as_in_closed_form():
    log_y = RNG.normal(0.0, SIGMA, 10)
    _, tree = levels(log_y)
    found = leave_out(tree)
    np.testing.assert_allclose(found.elpd, exactly(log_y), atol=0.05)
    assert found.pareto_k.max() < 0.7
    assert 0.5 < found.num_effective < 5


def test_draws_are_moved_where_few_of_them_carry_the_weights():
    """One of three readings lies 12 SD off: weights alone miss its density by far."""
    log_y = np.array([0.0, 0.3, 6.0])
    problem, tree = levels(log_y)
    truth, plain, moved = exactly(log_y), leave_out(tree), leave_out(tree, problem)
    assert plain.pareto_k[2] > 0.7
    assert moved.pareto_k[2] < 0.7
    assert moved.num_matched >= 1
    assert abs(moved.elpd[2] - truth[2]) < 0.1 * abs(plain.elpd[2] - truth[2])
    np.testing.assert_allclose(moved.elpd, truth, atol=0.3)


def test_stacking_weights_are_those_of_arviz():
    log_density = {"a": RNG.normal(size=80), "b": RNG.normal(0.1, 1.0, size=80), "c": RNG.normal(-0.6, 0.6, size=80)}
    ours = differences(log_density)
    each = {}
    for name, x in log_density.items():
        jittered = x + 1e-6 * RNG.normal(size=(2, 50, 80))
        y = xr.Dataset({"y": (("chain", "draw", "obs_id"), jittered)})
        mean = xr.Dataset({"m": (("chain", "draw"), RNG.normal(size=(2, 50)))})
        each[name] = xr.DataTree.from_dict({"posterior": mean, "log_likelihood": y})
    theirs = azs.compare(each, method="stacking", round_to="none")
    np.testing.assert_allclose(ours["weight"], theirs.loc[ours.index, "weight"], atol=1e-4)
    np.testing.assert_allclose(-ours["difference"], theirs.loc[ours.index, "elpd_diff"].abs(), atol=1e-3)
    np.testing.assert_allclose(ours["difference_se"], theirs.loc[ours.index, "dse"], atol=0.02 * ours["difference_se"].max())


def test_twins_share_their_weight_and_a_worse_one_gets_none():
    good = RNG.normal(size=50)
    np.testing.assert_allclose(stacked(np.column_stack([good, good, good - 1])), [0.5, 0.5, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("lost", "spread", "word"), [(0.5, 0.01, "as well as"), (30.0, 4.0, "cannot be told"), (30.0, 0.1, "worse than")]
)
def test_a_difference_is_told_by_its_size_and_its_error(lost, spread, word):
    best = np.zeros(50)
    noise = RNG.normal(size=50)
    worse = best - lost / 50 + spread * (noise - noise.mean())
    rows = differences({"best": best, "worse": worse})
    assert list(rows.index) == ["best", "worse"]
    assert np.isclose(rows.loc["worse", "difference"], -lost)
    (line,) = said(rows, "readings")
    assert word in line


def test_readings_in_common_are_found_wherever_they_stand():
    y = np.arange(1.0, 7.0)
    a, b = tree(y), tree(y)
    order = [3, 1, 0, 5]
    some = xr.DataTree.from_dict(
        {name: b[name].to_dataset().isel(obs_id=order) for name in ("observed_data", "constant_data")}
    )
    table, lost = common({"all": a, "some": some})
    assert list(table["value"]) == [1.0, 2.0, 4.0, 6.0]
    assert list(table["all"]) == [0, 1, 3, 5]
    assert list(table["some"]) == [2, 1, 0, 3]
    assert lost == ["all: 2 of 6 readings are not compared: not in every fit, or not asked for"]


def test_other_readings_are_refused():
    y = np.arange(1.0, 7.0)
    with pytest.raises(ValueError, match="value of il6 of A at 2 h is 3 in a and 30 in b; give fits of the same data"):
        common({"a": tree(y), "b": tree(np.where(y == 3, 30.0, y))})
    with pytest.raises(ValueError, match="cens of il6 of A at 0 h is 0 in a and -1 in b"):
        common({"a": tree(y), "b": tree(y, cens=np.array([-1, 0, 0, 0, 0, 0]))})
    with pytest.raises(ValueError, match="a and b have no reading in common"):
        common({"a": tree(y), "b": tree(y, analyte="crp")})
    with pytest.raises(ValueError, match="`analytes` names `crp`, which the fits do not share; they share: il6"):
        common({"a": tree(y), "b": tree(y)}, ["crp"])


def test_p_values_of_a_true_model_are_spread_evenly_and_those_of_a_wrong_one_are_not():
    """With known parameters the posterior predictive is the truth: p-values of continuous statistics are uniform."""
    found = []
    for _ in range(200):
        y, made = np.exp(RNG.normal(size=NUM)), np.exp(RNG.normal(size=(500, NUM)))
        found.append(p_values(tree(y, made)).set_index("statistic")["p"])
    table = pd.DataFrame(found)
    for name in set(STATISTICS) - {"time of the largest"}:
        assert stats.kstest(table[name], "uniform").pvalue > 1e-4, name
    wild = p_values(tree(np.exp(3 * RNG.normal(size=NUM)), np.exp(RNG.normal(size=(500, NUM))))).set_index("statistic")["p"]
    assert wild["roughness"] < 0.01


def test_made_up_readings_below_a_limit_count_as_the_limit():
    y, cens = np.array([1.0, 2.0, 1.0]), np.array([-1, 0, -1])
    made = np.tile([0.1, 2.0, 0.3], (10, 1))
    rows = p_values(tree(y, made, cens=cens)).set_index("statistic")
    assert rows.loc["smallest", "median"] == 0.0
    assert (rows.loc[["smallest", "largest", "mean", "last", "roughness"], "p"] == 0.5).all()


def test_p_values_are_of_the_analytes_that_are_named():
    made = tree(np.ones(4), made=np.ones((5, 4)))
    assert len(p_values(made, ["il6"])) == len(STATISTICS)
    assert p_values(made, ["crp"]).empty


def of_population(folder, subjects, elpd, num=4):
    """A finished fit of a population, as far as left-out subjects are compared."""
    folder.mkdir()
    pd.DataFrame({"subject": subjects, "elpd": elpd}).to_csv(folder / "left_out.csv", index=False)
    return Fit(folder, OmegaConf.create(), tree(np.ones(num)))


def test_populations_are_compared_by_left_out_subjects(tmp_path):
    one = of_population(tmp_path / "one", ["01", "02", "03"], [-1.0, -2.0, -4.0])
    two = of_population(tmp_path / "two", ["01", "02", "03"], [-2.0, -2.0, -6.0])
    rows = of_subjects({"two": two, "one": one})
    assert list(rows.index) == ["one", "two"]
    assert rows.loc["two", "difference"] == -3
    assert np.isclose(rows.loc["two", "difference_se"], np.std([1, 0, 2], ddof=1) * 3**0.5)
    others = of_population(tmp_path / "others", ["01", "02", "04"], [-1.0, -2.0, -4.0])
    fewer = of_population(tmp_path / "fewer", ["01", "02", "03"], [-1.0, -2.0, -4.0], num=3)
    alone = Fit(tmp_path, OmegaConf.create(), tree(np.ones(4)))
    for other in (others, fewer, alone):
        assert of_subjects({"one": one, "other": other}) is None


def test_a_population_tells_how_its_readings_scatter_in_the_place_of_sizes_of_groups():
    """Of two populations scatter must agree; beside a fit of one subject it is not asked for."""
    plain, one, two = (tree(np.ones(3)) for _ in range(3))
    for found, scatter in ((one, 1.0), (two, 0.5)):
        told = found["constant_data"].to_dataset().drop_vars(["n", "spread"])
        found["constant_data"] = told.assign(scatter=("obs_id", np.full(3, scatter)))
    for fits in ({"one": one, "again": one}, {"plain": plain, "two": two}):
        table, lost = common(fits)
        assert (len(table), lost) == (3, [])
    with pytest.raises(ValueError, match=r"scatter of il6 of A at 0 h is 1 in one and 0.5 in two"):
        common({"one": one, "two": two})


@pytest.mark.slow
def test_fits_of_a_population_are_compared_from_their_folders(tmp_path):
    """Six people who remove a tracer alike, fitted with two priors: by readings and by people."""
    rows = [f"S{i},{t},tracer,{(10 + i) * np.exp(-0.3 * t):.3g},mg/L" for i in range(6) for t in (1, 2, 4, 6)]
    (tmp_path / "t.csv").write_text("\n".join(["subject,time_h,analyte,value,unit", *rows]) + "\n")
    asked = ["experiment=own", f"model.path={DECAY}", "data=cohort", f"data.path={tmp_path / 't.csv'}"]
    asked += ["+variability._target_=cytostorm.inference.Variability", "+variability.effects.k.centred=true"]
    asked += ["sampler=nuts_population", "sampler.num_draws=200", "report=false"]
    for name, omega in {"narrow": 0.1, "wide": 0.3}.items():
        effect = f"+variability.effects.k.omega={{median: {omega}, fold: 2.0}}"
        assert run(["fit", *asked, effect, f"hydra.run.dir={tmp_path / name}"]) == 0
    folders = ",".join(str(tmp_path / name) for name in ("narrow", "wide"))
    assert run(["diff", f"fits=[{folders}]", f"own={DECAY}", f"hydra.run.dir={tmp_path / 'out'}"]) == 0
    rows = pd.read_csv(tmp_path / "out" / "comparison.csv", index_col="fit")
    subjects = pd.read_csv(tmp_path / "out" / "subjects.csv", index_col=0)
    assert set(rows.index) == set(subjects.index) == {"narrow", "wide"}
    assert np.isfinite(rows["elpd"]).all()
    assert len(pd.read_csv(tmp_path / "out" / "readings.csv")) == 24


@pytest.fixture(scope="module")
def other_run(quick_run, tmp_path_factory):
    """The same readings with another prior."""
    folder = tmp_path_factory.mktemp("other") / "run"
    assert run(["fit", "sampler=independence", "prior.gamma.median=0.5", "report=false", f"hydra.run.dir={folder}"]) == 0
    return folder


def test_two_fits_are_compared(quick_run, other_run, tmp_path, capsys):
    folder = tmp_path / "out"
    assert run(["diff", f"fits={{one: {quick_run}, two: {other_run}}}", f"hydra.run.dir={folder}"]) == 0
    rows = pd.read_csv(folder / "comparison.csv", index_col="fit")
    each = pd.read_csv(folder / "readings.csv")
    assert set(rows.index) == {"one", "two"}
    assert np.isclose(each["elpd_one"].sum(), rows.loc["one", "elpd"])
    assert np.isclose(rows["weight"].sum(), 1)
    assert np.isfinite(rows.loc["two", "log_evidence"])
    assert np.isnan(rows.loc["one", "log_evidence"])
    assert json.loads((folder / "manifest.json").read_text())["job"] == "diff"
    assert (rows["num_sampled"] == 10).all()
    assert (rows["num_effective"] < 10).all()
    for name in ("readings_left_out", "readings", "p_values"):
        assert (folder / f"{name}.png").stat().st_size > 5000
    assert "no difference" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fits", "message"),
    [
        ("[{0}]", "give the folders of two fits or more"),
        ("[{0},nowhere]", "nowhere: no such run folder"),
        ("{{a: {0}, b: {1}}} analytes=[crp]", "`analytes` names `crp`, which the fits do not share"),
    ],
)
def test_what_cannot_be_compared_is_refused(quick_run, other_run, tmp_path, capsys, fits, message):
    asked, *more = fits.format(quick_run, other_run).split(" analytes")
    more = [f"analytes{x}" for x in more]
    assert run(["diff", f"fits={asked}", *more, f"hydra.run.dir={tmp_path / 'out'}"]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
