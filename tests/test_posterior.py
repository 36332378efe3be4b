"""The posterior for notebooks: a tree on which ArviZ works, with verbs that answer as the jobs do."""

import copy
import dataclasses
import json
import subprocess
import sys
import time
import warnings

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from catalogue import KnownNoise, Level, person
from conftest import ROOT
from matplotlib.figure import Figure

import cytostorm.inference as ci
from cytostorm.inference.decisions.outcomes import Area, HoursAbove, Peak
from cytostorm.inference.results.choices import Wanted
from cytostorm.inference.results.construct import option
from cytostorm.inference.results.foreseen import Watched
from cytostorm.inference.results.predicted import Asked
from cytostorm.inference.samplers import Draws
from cytostorm.inference.samplers.starts import without_climbs
from cytostorm.models import Scenario, Transit, Treatment, Trigger, bolus
from cytostorm.scripts.cli import run

SLACK = 2  # bars are 3 s of a processor; a slow machine gets twice as much


@pytest.fixture(scope="module")
def post(quick_run):
    """The posterior of the quick fit."""
    return ci.Posterior.load(quick_run)


class FromPrior:
    """A sampler that returns draws of the prior, as two chains of twenty."""

    def sample(self, problem, key, report=None, blocks=None):
        drawn = {n: np.asarray(x).reshape(2, 20, *np.shape(x)[1:]) for n, x in problem.draw(key, 40).items()}
        return Draws(drawn, {}, {}, without_climbs(np.zeros((2, 1)), 0, 0), 40, 0, np.zeros(2), {})


@pytest.fixture(scope="module")
def many():
    """The posterior of a population of levels, with draws of its prior in the place of samples."""
    people = tuple(person(f"S{i}", [0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 1.5, 0.8 + i]) for i in range(3))
    arms, priors = {"*": ci.Arm(Level(), Scenario())}, ci.Priors(w={"median": 1.0, "fold": 3})
    problem = ci.Population(arms, ci.Cohort(people), priors, ci.Variability({"w": ci.Effect()}), KnownNoise())
    return ci.Posterior.sample(problem, FromPrior())


def test_a_population_has_its_verbs_and_figures(many):
    assert set(many.individuals()["subject"]) == {"S0", "S1", "S2"}
    table = many.trajectories()
    assert table.groupby("subject").size().nunique() == 1
    np.testing.assert_allclose(table["median"].min(), np.median(many["posterior"]["subject_w"], axis=(0, 1)).min(), rtol=0.1)
    for name in ("individuals", "trajectories", "vpc", "spread"):
        assert isinstance(getattr(many, f"plot_{name}")(), Figure)
    assert "3 subjects" in many.lines[0]
    assert many.folder is None
    assert many.manifest == {}


def test_new_subjects_of_a_population_that_was_sampled_here(many):
    found = many.predict(num_subjects=2, num_times=4, num_draws=30, until_h=6.0)
    assert found.table["subject"].unique().tolist() == ["new"]
    assert found.forecast.curve.shape == (30, 2, 1, 4)
    with pytest.raises(ValueError, match="a forecast is of one subject"):
        many.forecast()


def test_the_tree_of_a_run_is_there_unchanged(post, quick_run):
    tree = ci.load(quick_run / "posterior.nc")
    assert isinstance(post, xr.DataTree)
    assert set(post.children) == set(tree.children)
    xr.testing.assert_identical(post.tree, tree)
    xr.testing.assert_identical(post.posterior.to_dataset(), tree["posterior"].to_dataset())


def test_arviz_works_on_it_as_it_is(post):
    found = az.summary(post, var_names=["k_l", "margin"], round_to="none")
    assert found.loc["k_l", "mean"] == pytest.approx(float(post.posterior["k_l"].mean()))
    assert float(az.ess(post)["k_l"]) > 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so few draws may not be weighed
        assert np.isfinite(az.loo(post).elpd)
    assert az.extract(post, var_names=["k_l"]).sizes["sample"] == post.posterior["k_l"].size
    assert isinstance(post.isel(draw=slice(10), missing_dims="ignore")["posterior"], xr.DataTree)


def test_a_tab_shows_few_names_each_with_a_docstring(post):
    names = dir(post)
    assert {"summary", "trajectories", "predict", "compare", "forecast", "plot_trajectories", "posterior"} <= set(names)
    assert len(names) < 50
    assert not [name for name in names if name.startswith("_")]
    ours = [name for name in names if name not in post.children]
    assert not [name for name in ours if not getattr(ci.Posterior, name).__doc__]
    assert not [name for name in dir(ci) if name.startswith("_")]
    assert not [name for name in dir(ci) if not getattr(ci, name).__doc__]
    assert set(dir(ci)) == set(ci.__all__)


def test_a_part_of_a_posterior_says_that_it_has_no_problem(post):
    for part in (post.copy(), copy.deepcopy(post), post.isel(draw=[0], missing_dims="ignore")):
        with pytest.raises(ValueError, match="take the posterior itself"):
            _ = ci.Posterior.config.fget(part)


def test_the_summary_is_that_of_the_job(post, quick_run):
    ours, job = post.summary(), pd.read_csv(quick_run / "summary.csv", index_col=0)
    pd.testing.assert_frame_equal(ours[["median", "q5", "q95"]], job[["median", "q5", "q95"]], check_names=False)
    pd.testing.assert_series_equal(post.fitted()["predicted"], pd.read_csv(quick_run / "fitted.csv")["predicted"])


def test_bands_are_the_quantiles_of_the_curves(post):
    table = post.trajectories("IL-6")
    curves = post.predictions["il6"]
    assert table["unit"].unique().tolist() == ["pg/mL"]
    np.testing.assert_allclose(table["q95"], curves.quantile(0.95, ("chain", "draw")))
    assert (table["q5"] <= table["q25"]).all()
    assert (table["q25"] <= table["median"]).all()
    with pytest.raises(ValueError, match=r"no curves of `tnf`; there are those of: il6"):
        post.trajectories("tnf")


def test_it_shows_its_verdict_first_then_what_was_fitted_then_the_table(post):
    page = post._repr_html_()
    order = [page.index(x) for x in ("FAIL", "R-hat", "8 readings of IL-6", "Minimal model", "Feedback gain:", "<table")]
    assert order == sorted(order)
    assert "k_l" in page
    assert "<script" not in page
    assert repr(post).startswith("Posterior:\n  FAIL: do not use this posterior")


def test_figures_are_returned_and_not_kept_open(post):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    for name in ("trajectories", "prior", "pair", "readings", "ranks"):
        assert isinstance(getattr(post, f"plot_{name}")(), Figure)
    assert plt.get_fignums() == before
    collection = post.plot_forest(["k_l", "k_m"])
    assert type(collection).__name__ == "PlotCollection"
    plt.close("all")


def test_verbs_of_a_population_are_refused_for_one_subject(post):
    for verb in (post.individuals, post.plot_vpc, post.plot_spread, post.plot_individuals):
        with pytest.raises(ValueError, match="posterior of one subject"):
            verb()


def test_predictions_are_those_of_the_job(post, quick_run, tmp_path):
    argv = ["trigger=lps_bolus", "trigger.doses.lps.amount=4.0", "num_draws=30", "num_times=9"]
    assert run(["predict", f"fit={quick_run}", *argv, f"hydra.run.dir={tmp_path}"]) == 0
    job = pd.read_csv(tmp_path / "predictions.csv")
    few = {"num_draws": 30, "num_times": 9}
    for ours in (
        post.predict(Scenario(bolus("lps", 4.0)), **few),
        post.predict(Trigger({"lps": {"target": "lps", "amount": 4.0}}, Transit()), **few),
    ):
        pd.testing.assert_frame_equal(ours.table, job, check_exact=False, rtol=1e-9)
        assert ours.lines[0] == "the fit did not pass its verdict: so much for what it predicts"
    assert isinstance(ours.plot(), Figure)
    assert ours._repr_html_().startswith("<ul><li>the fit did not pass")


def test_a_trigger_is_named_and_readings_are_held_out(post):
    found = post.predict("lps_infusion", data=ci.shipped("data", "endotoxemia_infusion"), num_draws=20, num_times=5)
    assert len(found.held_out) == 6
    assert found.tree["predictions"].to_dataset().sizes["draw"] == 20
    assert found.forecast.doses == ((0.0,),)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scenario": "lps"}, "no trigger `lps`; choose from: antibody"),
        ({"scenario": "viral"}, "has no stimulus, which this model needs"),
        ({"until": 3.0}, "no argument `until`; there are: trigger, treatment"),
        ({"until_h": -1.0}, "`until_h` is -1; give a time after the start"),
        ({"treatment": "tocilizumab"}, "takes no doses to `tocilizumab`"),
    ],
)
def test_what_cannot_be_predicted_is_refused(post, given, message):
    with pytest.raises(ValueError, match=message):
        post.predict(**given)


def test_a_fit_that_failed_compares_only_by_force(post):
    with pytest.raises(ValueError, match="failed its verdict: choices from it mean nothing"):
        post.compare("tocilizumab")


def test_a_folder_without_a_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no such run folder"):
        ci.Posterior.load(tmp_path / "nowhere")


def test_changed_data_are_noticed(quick_run, tmp_path):
    post = ci.Posterior.load(quick_run)
    post["observed_data"] = post["observed_data"].to_dataset() * 2
    with pytest.raises(ValueError, match="the data of the fit have changed since"):
        _ = post.problem


# What a job takes is what a verb takes, with the same defaults.
JOBS = {"predict": Asked, "compare": Wanted, "forecast": Watched}
ELSEWHERE = {"fit", "own", "force", "defaults", "hydra", "known_until_h"}


@pytest.mark.parametrize("job", JOBS)
def test_verbs_have_the_keys_and_the_defaults_of_the_jobs(job):
    told = yaml.safe_load((ROOT / "configs" / f"{job}.yaml").read_text())
    listed = {key: value for entry in told["defaults"] if isinstance(entry, dict) for key, value in entry.items()}
    keys = {key: value for key, value in told.items() if key not in ELSEWHERE}
    default = dataclasses.asdict(JOBS[job]())
    plain = lambda x: json.loads(json.dumps(x))  # noqa: E731 - tuples and lists are alike
    assert {key: plain(default[key]) for key in keys} == keys
    more = set(default) - set(keys) - {"known_until_h", "scenario"}
    assert more <= listed.keys()
    assert {key: default[key] for key in more} == {key: listed[key] for key in more}


def test_options_are_those_that_hydra_composes():
    from cytostorm.scripts.compose import build, composed

    for group, name in (("treatment", "tocilizumab"), ("trigger", "fhlh"), ("utility", "storm"), ("prior", "network")):
        job = "compare" if group == "utility" else "simulate"
        ours, theirs = ci.shipped(group, name), build(composed(job, [f"{group}={name}"])[group])
        assert str(ours) == str(theirs)
    assert option("noise", "student")["per_analyte"] is True
    with pytest.raises(ValueError, match="takes values from other parts of a configuration"):
        ci.shipped("model", "minimal")


@pytest.fixture(scope="module")
def stormy(tmp_path_factory):
    """A quick look at the patient of `experiment=timing`, by Laplace's method."""
    folder = tmp_path_factory.mktemp("timing") / "fit"
    quick = ["sampler=laplace", "solver.rtol=1e-4", "solver.atol=1e-6", "report=false"]
    assert run(["fit", "experiment=timing", *quick, f"hydra.run.dir={folder}"]) == 0
    return folder


@pytest.mark.slow
def test_comparisons_are_those_of_the_job(stormy, tmp_path):
    argv = ["treatments=[tocilizumab]", "start_h=[0, 48]", "num_draws=30", "num_times=97", "force=true"]
    assert run(["compare", f"fit={stormy}", *argv, f"hydra.run.dir={tmp_path}"]) == 0
    post = ci.Posterior.load(stormy)
    few = {"start_h": [0, 48], "num_draws": 30, "num_times": 97, "force": True}
    ours = post.compare("tocilizumab", **few)
    for name in ("decisions", "outcomes", "windows", "sensitivity", "information", "draws"):
        job = pd.read_csv(tmp_path / f"{name}.csv", keep_default_na=False, na_values=[""])
        pd.testing.assert_frame_equal(
            ours.tables[name].replace({"": np.nan}), job, check_dtype=False, check_exact=False, rtol=1e-6
        )
    for figure in (ours.plot_fans("il6"), ours.plot_starts(), ours.plot_best()):
        assert isinstance(figure, Figure)
    with pytest.raises(ValueError, match="no curves of `crp` were kept"):
        ours.plot_fans("crp")
    half = Treatment(0.0, half={"drug": "tocilizumab", "dose": 4.0, "per_kg": True, "cap": 400.0, "duration_h": 1.0})
    il6 = {"il6_peak": Peak("il6"), "hours_severe": HoursAbove("il6", 1000.0), "il6_area": Area("il6")}
    own = post.compare({"half": half}, outcome=il6, utility={"il6_peak": -1.0}, **(few | {"start_h": [0]}))
    assert own.table["arm"].tolist() == ["untreated", "half"]
    assert own.utility.weights == {"il6_peak": -1.0}


@pytest.mark.slow
def test_forecasts_are_those_of_the_job(tmp_path):
    argv = ["num_points=200", "step_h=4.0", "data.times_h=[0, 24, 48]"]
    assert run(["forecast", *argv, f"hydra.run.dir={tmp_path}"]) == 0
    from cytostorm.scripts.compose import composed
    from cytostorm.scripts.forecast import problems_of

    problems = problems_of(composed("forecast", argv), "il6")
    ours = ci.forecast(next(iter(problems.values())), num_points=200, step_h=4.0)
    pd.testing.assert_frame_equal(ours.table, pd.read_csv(tmp_path / "forecast.csv"), check_exact=False, rtol=1e-6)
    assert isinstance(ours.plot(), Figure)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """The run folder of 4 x 1,000 draws of 20 subjects, as large as a real one."""
    folder, rng = tmp_path_factory.mktemp("large"), np.random.default_rng(0)
    names, subjects, effects = [f"k_{i}" for i in range(12)], [f"S{i}" for i in range(20)], [f"k_{i}" for i in range(4)]
    about = {"symbol": "k", "units": "1/h", "meaning": "a rate", "prior_log_sd": 1.0, "prior_median": 1.0}
    some = lambda *shape: np.exp(rng.standard_normal(shape))  # noqa: E731
    two = ("chain", "draw")

    def draws(chains, num):
        found = {n: (two, some(chains, num), about) for n in names}
        found |= {"omega": ((*two, "effect"), some(chains, num, 4), about)}
        found |= {f"subject_{n}": ((*two, "subject"), some(chains, num, 20), about) for n in effects}
        return xr.Dataset(found, coords={"effect": effects, "subject": subjects})

    obs = {"subject": ("obs_id", np.repeat(subjects, 8)), "analyte": ("obs_id", ["il6"] * 160)}
    obs["time"] = ("obs_id", np.tile(np.arange(8.0), 20))
    wide = xr.Dataset({"y": ((*two, "obs_id"), some(4, 1000, 160))}, coords=obs)
    groups = {"posterior": draws(4, 1000), "prior": draws(1, 1000), "log_likelihood": wide, "posterior_predictive": wide}
    groups["population_predictive"] = wide.isel(chain=[0])
    groups["observed_data"] = xr.Dataset({"y": ("obs_id", some(160))}, coords=obs)
    tree = xr.DataTree.from_dict(groups)
    tree.attrs["verdict"] = json.dumps(dict.fromkeys(ci.Verdict.model_fields, 1) | {"reasons": []})
    ci.save(tree, folder / "posterior.nc")
    (folder / "config.yaml").write_text("model: {_target_: cytostorm.models.Minimal}\n")
    return folder


def test_a_large_posterior_is_loaded_and_summarised_within_the_bar(large):
    begin = time.process_time()
    post = ci.Posterior.load(large)
    table = post.summary()
    assert time.process_time() - begin < 3 * SLACK
    assert len(table) == 16
    assert "160 readings of IL-6 in 20 subjects" in post._repr_html_()


def test_the_package_is_imported_within_the_bar():
    program = "import time; import cytostorm.inference; print(time.process_time())"
    assert float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout) < 3 * SLACK
