"""Predictions: another dose is a direct solve, and a subject with a few readings has the posterior of its closed form."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from catalogue import Elimination, KnownNoise, Level, person, readings
from omegaconf import OmegaConf
from scipy import stats

from cytostorm.inference import (
    Arm,
    Cohort,
    Covariate,
    Effect,
    LogNormal,
    Population,
    Prior,
    Priors,
    Problem,
    Subject,
    Variability,
    load,
    save,
)
from cytostorm.inference.prediction.forecast import design, known_subjects, new_subjects, same_subject
from cytostorm.inference.prediction.forecast_tree import bands, forecast_tree, held_out, subjects
from cytostorm.inference.prediction.redraw import posterior_draws
from cytostorm.inference.results.configured import under
from cytostorm.inference.results.predicted import arms_asked
from cytostorm.models import Minimal, Scenario, bolus, replace, simulate
from cytostorm.scripts.cli import run
from cytostorm.scripts.compose import composed, plain
from cytostorm.scripts.predict import asked as asked_of
from cytostorm.scripts.problem import prepare, world

KEY = jax.random.PRNGKey(7)
OMEGA, SIGMA, NUM = 0.6, 0.5, 400
MEAN, SD = 0.4, 0.3  # of the log-median of the population
TIMES = np.array([0.0, 5.0])
LOG_Y = np.array([[1.9, 2.3, 2.6, 1.7], [0.1, 0.5, 0.7, -0.4]])  # one unlike the population, one like it
VARIABILITY = Variability({"w": Effect(Prior(OMEGA, 1.5))})
MAKE = partial(
    Population,
    {"*": Arm(Level(), Scenario())},
    priors=Priors(w={"median": 1.0, "fold": 5}),
    variability=VARIABILITY,
    noise=KnownNoise(),
)


def tree_of(**values):
    """The part of a posterior that predictions take: draws by name, of vectors over `effect`."""
    dims = {1: ("chain", "draw"), 2: ("chain", "draw", "effect")}
    return xr.DataTree.from_dict(
        {"posterior": xr.Dataset({n: (dims[np.ndim(x)], np.asarray(x)[None]) for n, x in values.items()})}
    )


def population(sd):
    """Draws of the population, evenly spread over its normal distribution."""
    middle = MEAN + sd * stats.norm.ppf((np.arange(NUM) + 0.5) / NUM)
    return tree_of(w=np.exp(np.random.default_rng(1).permutation(middle)), omega=np.full((NUM, 1), OMEGA))


def two():
    return Cohort(tuple(person(f"N{i}", [0.0, 1.0, 2.0, 3.0], np.exp(row)) for i, row in enumerate(LOG_Y)))


@pytest.fixture(scope="module")
def known():
    return known_subjects(MAKE, two(), population(SD), TIMES, KEY, ["il6"], known_until=1.0, num=NUM)


def closed_form(sd, log_y):
    """Mean and SD of a subject's log-level after two readings."""
    precision = 1 / (sd**2 + OMEGA**2) + 2 / SIGMA**2
    return (MEAN / (sd**2 + OMEGA**2) + log_y[:2].sum() / SIGMA**2) / precision, precision**-0.5


def agree(forecast, i, mean, sd):
    """Claim that the weighted draws of a subject have this mean and SD, to four standard errors."""
    weight, log_f = forecast.weight[:, i], np.log(forecast.curve[:, i, 0, 0])
    effective = 1 / np.sum(weight**2)
    found = np.sum(weight * log_f)
    assert effective > NUM / 4
    assert abs(found - mean) < 4 * sd / np.sqrt(effective)
    assert abs(np.sqrt(np.sum(weight * (log_f - found) ** 2)) / sd - 1) < 4 / np.sqrt(2 * effective)


@pytest.mark.parametrize("i", [0, 1])
def test_a_subject_with_a_few_readings_has_its_posterior(known, i):
    """In which the readings also say what the population is: without the weights the first would fail."""
    agree(known, i, *closed_form(SD, LOG_Y[i]))
    assert known.pareto_k[i] < 0.7
    assert known.points[i] > 30


def test_under_a_known_population_it_has_that_of_the_subject_alone():
    fixed = known_subjects(MAKE, two(), population(0.0), TIMES, KEY, ["il6"], known_until=1.0, num=NUM)
    for i, row in enumerate(LOG_Y):
        agree(fixed, i, *closed_form(0.0, row))


def test_readings_make_a_prediction_tighter_than_that_of_a_new_subject(known):
    nobody = Cohort((Subject("new_1", "one", design("", [], TIMES)), Subject("new_2", "one", design("", [], TIMES))))
    new = new_subjects(MAKE, nobody, population(SD), TIMES, KEY, ["il6"], num=NUM)
    log_f, sd = np.log(new.curve[:, :, 0, 0]).ravel(), np.hypot(SD, OMEGA)
    assert abs(log_f.mean() - MEAN) < 4 * sd / np.sqrt(2 * NUM)
    assert abs(log_f.std() / sd - 1) < 4 / np.sqrt(4 * NUM)
    wide, tight = bands(new), bands(known)
    assert set(wide["subject"]) == {"new"}
    fold = lambda table: np.log(table["curve_q95"] / table["curve_q5"]).to_numpy()  # noqa: E731
    assert np.all(fold(tight) < 0.7 * fold(wide)[0])


def test_held_out_readings_are_scored_by_what_is_predicted(known):
    """Of one reading the predictive distribution is normal."""
    table = held_out(known)
    assert table["time_h"].tolist() == [2.0, 3.0] * 2
    for i, (_, rows) in enumerate(table.groupby("subject", sort=False)):
        mean, sd = closed_form(SD, LOG_Y[i])
        predictive = stats.norm(mean, np.hypot(sd, SIGMA))
        assert np.allclose(rows["log_density"], predictive.logpdf(LOG_Y[i, 2:]) - LOG_Y[i, 2:], atol=0.1)
        assert np.allclose(np.log(rows[["q5", "q95"]]), predictive.ppf([0.05, 0.95]), atol=0.3)
    assert subjects(known)[["num_known", "num_held_out", "num_failed"]].values.tolist() == [[2, 2, 0]] * 2


def test_the_tree_is_labelled(known):
    tree = forecast_tree(known)
    found = tree["predictions"].to_dataset()
    assert found["curve"].dims == found["reading"].dims == ("draw", "subject", "analyte", "time")
    assert found["subject"].values.tolist() == ["N0", "N1"]
    assert found["units"].sel(analyte="il6") == "pg/mL"
    assert found["time"].attrs["units"] == "h"
    assert np.allclose(found["weight"].sum("draw"), 1)
    assert found["okay"].all()
    assert tree["held_out"]["log_density"].dims == ("draw", "obs_id")
    assert np.allclose(tree["known"]["y"], np.exp(LOG_Y[:, :2].ravel()))


def test_a_covariate_moves_a_new_subject_by_its_power():
    power = Covariate("w", "weight", reference=70.0, coefficient=0.75)
    make = partial(MAKE, variability=Variability({"w": Effect(Prior(OMEGA, 1.5))}, covariates=[power]))
    curves = []
    for weight in (70.0, 140.0):
        nobody = Cohort((Subject("new_1", "one", design("", [], TIMES), covariates={"weight": weight}),))
        curves.append(new_subjects(make, nobody, population(SD), TIMES, KEY, ["il6"], num=NUM).curve)
    assert np.allclose(curves[1] / curves[0], 2**0.75)


def test_draws_that_fail_are_worth_nothing():
    from catalogue import Blowup

    make = partial(Population, {"*": Arm(Blowup(), Scenario())}, **MAKE.keywords)
    nobody = Cohort((Subject("new_1", "one", design("", [], TIMES)),))
    found = new_subjects(make, nobody, population(SD), TIMES, KEY, ["il6"], num=NUM)
    above = ~found.okay[:, 0]
    assert 0.5 < above.mean() < 0.95
    assert found.num_failed == above.sum()
    assert np.all(found.weight[above] == 0)
    assert np.all(bands(found)["curve_q95"] <= 1)


def dosed(amount):
    data = readings([2.0], [3.0], "crp")
    scenario = Scenario(bolus("amount", amount, 1.0))
    return Problem(Elimination(), scenario, data, Priors(k={"median": 0.3, "fold": 3}), LogNormal())


def test_a_doubled_dose_is_a_direct_solve_with_it():
    """And before it there is nothing, which is no failure. The noise of what was not read comes from its prior."""
    k, times = np.array([0.1, 0.3, 0.9]), np.linspace(0, 6, 13)
    found = same_subject(dosed(10.0), tree_of(k=k), times, KEY, ["crp"])
    assert found.okay.all()
    assert found.unlearned == ("sigma",)
    assert np.all(found.reading[..., :2] == 0)
    for draw, one in zip(found.curve[:, 0, 0], k, strict=True):
        model = replace(Elimination(), {"k": jnp.asarray(one)})
        direct = simulate(model, Scenario(bolus("amount", 10.0, 1.0)), times).observe(model)["crp"]
        assert np.allclose(draw, direct, rtol=1e-9)
        assert np.allclose(draw, np.where(times > 1, 10 * np.exp(-one * np.maximum(times - 1, 0)), 0), rtol=1e-4)


def test_correlations_and_assays_come_back_as_they_were_sampled():
    """What the fit knows is taken from it; the factor of a new laboratory is drawn from its prior."""
    people = tuple(person(s, [0.0], [1.0], study=s) for s in ("one", "two", "three"))
    wide, arm = {"median": 1.0, "fold": 2}, Arm(Minimal(), Scenario())
    variability = Variability({"k_l": Effect(), "gamma": Effect()}, assay=Prior(1.0, 2.0), background=Prior(3.0, 2.0))
    make = partial(Population, {"*": arm}, Cohort(people), Priors(k_l=wide, gamma=wide), variability, KnownNoise())
    tree = tree_of(k_l=np.ones(90), gamma=np.ones(90), omega=np.full((90, 2), 0.3))
    posterior = tree["posterior"].to_dataset().assign_coords(scale=["two:il6"])
    posterior["correlation"] = (("chain", "draw", "pair"), np.full((1, 90, 1), -0.8))
    posterior["assay"] = (("chain", "draw", "scale"), np.full((1, 90, 1), 3.0))
    _, values, unlearned = posterior_draws(make(reference="one"), xr.DataTree.from_dict({"posterior": posterior}), 50, KEY)
    full = values["root"] @ np.swapaxes(values["root"], 1, 2)
    assert np.allclose(full, [[1, -0.8], [-0.8, 1]], atol=1e-8)
    assert values["assay"].shape == (50, 2)
    assert np.all(values["assay"][:, 0] == 3)
    assert abs(np.log(values["assay"][:, 1]).std() / Prior(1.0, 2.0).log_sd - 1) < 0.4
    assert unlearned == ["assay[three:il6]", "background[two:il6]", "background[three:il6]"]
    assert make(reference="two").assays.scales == (("one", "il6"), ("three", "il6"))


@pytest.fixture(scope="module")
def doubled(quick_run, tmp_path_factory):
    """The shipped fit under twice the dose, from the command line."""
    folder = tmp_path_factory.mktemp("doubled") / "run"
    dose = ["trigger=lps_bolus", "trigger.doses.lps.amount=4.0"]
    assert run(["predict", f"fit={quick_run}", *dose, "num_draws=30", "num_times=9", f"hydra.run.dir={folder}"]) == 0
    return folder


def test_the_command_predicts_the_dose_that_is_asked_for(doubled, quick_run):
    found = load(doubled / "predictions.nc")["predictions"].to_dataset()
    posterior = load(quick_run / "posterior.nc")["posterior"].to_dataset()
    model, story, solver = world(composed("fit", ["trigger.doses.lps.amount=4.0"]))
    names = list(composed("fit", []).prior)
    names.remove("_target_")
    for row, number in enumerate(found["draw"].values[:3]):
        own = {n: jnp.asarray(posterior[n].values.ravel()[number]) for n in names}
        direct = simulate(replace(model, own), story, found["time"].values, solver).observe(model)["il6"]
        assert np.allclose(found["curve"].sel(analyte="il6")[row, 0], direct, rtol=1e-6)
    assert json.loads((doubled / "manifest.json").read_text())["num_solves"] == 30
    assert (doubled / "predictions.png").stat().st_size > 1000
    table = pd.read_csv(doubled / "predictions.csv")
    assert list(table["time_h"]) == np.linspace(0, 6, 9).tolist()
    assert (table["curve_q5"] < table["curve_q95"]).all()
    assert (table["reading_q5"] < table["reading_q95"]).all()


def test_a_seed_gives_the_same_predictions_again(doubled, quick_run, tmp_path):
    dose = ["trigger=lps_bolus", "trigger.doses.lps.amount=4.0", "num_draws=30", "num_times=9"]
    for name, seed in (("again", 0), ("other", 1)):
        assert run(["predict", f"fit={quick_run}", *dose, f"seed={seed}", f"hydra.run.dir={tmp_path / name}"]) == 0
    first, again, other = (pd.read_csv(f / "predictions.csv") for f in (doubled, tmp_path / "again", tmp_path / "other"))
    assert first.equals(again)
    assert first["curve_median"].equals(other["curve_median"])
    assert not first["reading_median"].equals(other["reading_median"])


@pytest.mark.slow
def test_readings_of_another_study_are_compared(quick_run, tmp_path, capsys):
    story = ["trigger=lps_infusion", "data=endotoxemia_infusion", "num_draws=30", "num_times=9"]
    assert run(["predict", f"fit={quick_run}", *story, f"hydra.run.dir={tmp_path}"]) == 0
    assert "6 readings held out: " in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "held_out.csv")
    assert np.all(np.isfinite(table["log_density"]))
    assert ((table["q5"] <= table["value"]) & (table["value"] <= table["q95"])).equals(table["inside_90"])


@pytest.fixture(scope="module")
def fitted_population(tmp_path_factory):
    """The folder of a population: its configuration, and draws from a narrow prior in the place of its posterior."""
    folder = tmp_path_factory.mktemp("population")
    rows = [f"S{i},{t},il6,{y},pg/mL,70" for i in range(2) for t, y in ((0, 1), (2, 500), (4, 300))]
    (folder / "table.csv").write_text("\n".join(["subject,time_h,analyte,value,unit,weight", *rows]) + "\n")
    names = [name for name in composed("fit", []).prior if name != "_target_"]
    narrow = [f"prior.{name}.fold=1.1" for name in names]
    heavy = "{parameter: k_l, covariate: weight, reference: 70, coefficient: -1.0}"
    differ = ["+variability._target_=cytostorm.inference.Variability", "+variability.effects={k_l: {}, u0: {}}"]
    source = ["data=cohort", f"data.path={folder / 'table.csv'}", f"+variability.covariates=[{heavy}]"]
    cfg = composed("fit", [*source, *differ, *narrow])
    problem, _, _ = prepare(cfg)
    draws = {name: np.asarray(x) for name, x in problem.draw(KEY, 40).items()}
    tree = tree_of(**{name: draws[name] for name in (*problem.sampled, "omega")})
    posterior = tree["posterior"].to_dataset()
    posterior["correlation"] = (
        ("chain", "draw", "pair"),
        (draws["root"] @ np.swapaxes(draws["root"], 1, 2))[None, :, 1, :1],
    )
    curves = xr.Dataset(coords={"study": ("subject", [s.study for s in problem.cohort])})
    observed = xr.Dataset(coords=problem.data.coordinates)
    save(
        xr.DataTree.from_dict({"posterior": posterior, "predictions": curves, "observed_data": observed}),
        folder / "posterior.nc",
    )
    OmegaConf.save(cfg, folder / "config.yaml", resolve=True)
    return folder


@pytest.mark.slow
def test_new_subjects_have_the_covariates_that_are_given(fitted_population, tmp_path):
    """Or else the references. With clearance as 70/weight: at 35 kg it is doubled, in the very same subjects."""
    ends = []
    for name, given in (("reference", []), ("same", ["covariates={weight: 70}"]), ("light", ["covariates={weight: 35}"])):
        out = tmp_path / name
        argv = [f"fit={fitted_population}", *given, "num_subjects=2", "num_times=5"]
        assert run(["predict", *argv, f"hydra.run.dir={out}"]) == 0
        found = load(out / "predictions.nc")["predictions"].to_dataset()
        assert found.sizes == {"draw": 40, "subject": 2, "analyte": 1, "time": 5}
        ends.append(found["curve"][..., -1].values)
    assert np.array_equal(ends[0], ends[1])
    assert np.all(ends[2] < 0.7 * ends[0])


@pytest.mark.slow
def test_a_table_of_new_subjects_is_predicted_from_its_first_readings(fitted_population, tmp_path, capsys):
    path = tmp_path / "new.csv"
    rows = ["A,0,il6,1.1,pg/mL,70", "A,1,il6,40,pg/mL,70", "A,2,il6,700,pg/mL,70", "A,3,il6,600,pg/mL,70"]
    path.write_text("\n".join(["subject,time_h,analyte,value,unit,weight", *rows]) + "\n")
    argv = ["data=cohort", f"data.path={path}", "known_until_h=2", "until_h=6", "num_times=5", "num_draws=30"]
    assert run(["predict", f"fit={fitted_population}", *argv, f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    assert "1 readings held out" in capsys.readouterr().out
    each = pd.read_csv(tmp_path / "run" / "subjects.csv").iloc[0]
    assert each["num_known"] == 3
    assert each["points"] > 5
    table = pd.read_csv(tmp_path / "run" / "predictions.csv")
    assert table["time_h"].max() == 6
    assert table.loc[table["time_h"] == 1.5, "curve_median"].between(100, 600).all()


def resolved(*overrides):
    """The configuration of a fit as its folder keeps it."""
    return plain(composed("fit", list(overrides)))


def test_a_trigger_brings_its_stimulus_to_a_model_that_had_that_of_the_fit():
    trigger = asked_of(composed("predict", ["fit=folder", "trigger=cart"])).trigger
    fit = resolved()
    assert under(fit, fit, trigger)["model"]["stimulus"]["_target_"].endswith("Expansion")
    fit["model"]["stimulus"] = fit["model"]["stimulus"] | {"n_u": 7.0}  # not the trigger's own
    assert under(fit, fit, trigger)["model"]["stimulus"]["n_u"] == 7


@pytest.mark.parametrize(
    ("asked", "durations"),
    [
        ([], {"endotoxemia_bolus": [0.0], "endotoxemia_infusion": [4.0]}),
        (["treatment=tocilizumab"], {"endotoxemia_bolus": [0.0, 1.0], "endotoxemia_infusion": [4.0, 1.0]}),
        (["arm=endotoxemia_infusion"], {"*": [4.0]}),
        (["trigger=lps_bolus", "treatment=tocilizumab"], {"*": [0.0, 1.0]}),
    ],
    ids=["as they are", "treated", "one for all", "a new one"],
)
def test_arms_are_those_of_the_fit_in_the_scenario_that_is_asked_for(asked, durations):
    found = arms_asked(asked_of(composed("predict", ["fit=folder", *asked])), resolved("experiment=endotoxemia_population"))
    assert {name: arm.scenario.doses.duration.tolist() for name, arm in found.items()} == durations


OF_ONE = {
    "no folder": (["fit=nowhere"], "`fit` is nowhere: no such run folder; give one of a finished fit"),
    "not said": ([], "`fit` has no value; give `fit=...`"),
    "analyte": (["analytes=[tnf]"], "Minimal does not predict `tnf`; choose `analytes` from: il6"),
    "end": (["until_h=-1"], "`until_h` is -1; give a time after the start, 0 h"),
    "word": (["until_h=late"], "`until_h` is 'late'; give a number of hours"),
    "draws": (["num_draws=0"], "`num_draws` is 0; give 1 or more, or null"),
    "times": (["num_times=1"], "`num_times` is 1; give 2 or more"),
    "parted": (["known_until_h=2"], "`known_until_h` parts the readings of `data`, and none are given"),
    "trigger": (["trigger=viral"], "the trigger has no stimulus, which this model needs"),
    "key": (["model.k_l=2"], "no key `model.k_l`: the configuration has fit, seed"),
}


@pytest.mark.parametrize(("argv", "message"), OF_ONE.values(), ids=OF_ONE)
def test_what_cannot_be_predicted_is_refused(argv, message, quick_run, tmp_path, capsys):
    fit = [] if "fit=nowhere" in argv or not argv else [f"fit={quick_run}"]
    assert run(["predict", *fit, *argv, f"hydra.run.dir={tmp_path / 'run'}"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_folder_without_a_posterior_is_named(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text("{}\n")
    assert run(["predict", f"fit={tmp_path}", f"hydra.run.dir={tmp_path / 'run'}"]) == 2
    assert f"{tmp_path} has no posterior.nc: it holds no finished fit" in capsys.readouterr().err


OF_MANY = {
    "covariate": (["data=cohort"], "subject 'A' has no covariate `weight`, which the fit uses; add it as a column"),
    "nothing known": (
        ["data=cohort", "known_until_h=-1", "data.path=weight.csv"],
        "subject 'A' has no readings until -1 h, so nothing is known of it; raise `known_until_h`",
    ),
    "other analyte": (
        ["data=cohort", "data.path=tnf.csv"],
        "Minimal does not predict `tnf`, which was read in subject 'A'",
    ),
    "few draws": (
        ["data=cohort", "data.path=weight.csv", "num_draws=20"],
        "20 draws are too few to weigh; give `num_draws` or the fit 25 or more",
    ),
    "arm": (["arm=two"], "no arm `two` in the fit; it has: *"),
    "unknown covariate": (["covariates={age: 3}"], "no covariate `age` in the fit; it has: weight"),
    "number": (["num_subjects=0"], "`num_subjects` is 0; give 1 or more"),
    "recipe": (["data=synthetic"], "`data` are to be readings of subjects, not a recipe"),
}


@pytest.mark.parametrize(("argv", "message"), OF_MANY.values(), ids=OF_MANY)
def test_what_cannot_be_predicted_of_a_population_is_refused(
    argv, message, fitted_population, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for name, header, row in (
        ("plain", "", "A,0,il6,1,pg/mL"),
        ("weight", ",weight", "A,0,il6,1,pg/mL,70"),
        ("tnf", ",weight", "A,0,tnf,1,pg/mL,70"),
    ):
        (tmp_path / f"{name}.csv").write_text(f"subject,time_h,analyte,value,unit{header}\n{row}\n")
    path = [] if not any("cohort" in a for a in argv) or any("path" in a for a in argv) else ["data.path=plain.csv"]
    assert run(["predict", f"fit={fitted_population}", *argv, *path, f"hydra.run.dir={tmp_path / 'run'}"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
