"""A model of your own, in a file outside the package: the tutorial's, and two with known answers."""

import json

import arviz_stats as azs
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from posteriors import agree
from scipy.integrate import solve_ivp
from scipy.special import logsumexp
from scipy.stats import kurtosis, lognorm, multivariate_normal, norm, truncnorm

from cytostorm.inference import Density, Prior, TruncatedNormal, load, read
from cytostorm.inference.analyte import declare
from cytostorm.inference.keys import root
from cytostorm.inference.prior import belief, recalled, recorded
from cytostorm.models import YEAR
from cytostorm.scripts.cli import run
from cytostorm.scripts.compose import composed
from cytostorm.scripts.problem import prepare

LOTKA, PELTS = ROOT / "docs" / "own_model" / "lotka.py", ROOT / "docs" / "own_model" / "pelts.csv"
DECAY, QUELLED = ROOT / "tests" / "own" / "decay.py", ROOT / "tests" / "own" / "quelled.py"
LYNX_AND_HARE = ["experiment=own", f"model.path={LOTKA}", f"data.path={PELTS}"]


def test_the_tutorial_takes_thirty_lines():
    assert sum(bool(line.strip()) for line in LOTKA.read_text().splitlines()) <= 30


@pytest.fixture(scope="module")
def lotka():
    return prepare(composed("fit", LYNX_AND_HARE))[0]


def pelts(theta, times):
    """The pelts of hares and lynxes by SciPy at times in years; the parameters in the order of Carpenter."""
    a, b, c, d, *start = theta
    field = lambda t, z: [(a - b * z[1]) * z[0], (-c + d * z[0]) * z[1]]  # noqa: E731
    return solve_ivp(field, (0, 21), start, "LSODA", t_eval=times, rtol=1e-10, atol=1e-10).y


ORDER = ("alpha", "beta", "gamma", "delta", "hare0", "lynx0", "sigma_hare", "sigma_lynx")


def by_hand(theta):
    """The log-prior and log-likelihood of the Stan case study by SciPy."""
    above = lambda x, mean, sd: truncnorm(-mean / sd, np.inf, mean, sd).logpdf(x)  # noqa: E731
    rates, start, sigma = theta[:4], theta[4:6], theta[6:]
    prior = above(rates[[0, 2]], 1.0, 0.5).sum() + above(rates[[1, 3]], 0.05, 0.05).sum()
    prior += lognorm(1.0, scale=10.0).logpdf(start).sum() + lognorm(1.0, scale=np.exp(-1)).logpdf(sigma).sum()
    table = pd.read_csv(PELTS)
    read = [table.loc[table["analyte"] == name, "value"].to_numpy() for name in ("hare", "lynx")]
    seen = zip(read, pelts(theta[:6], np.arange(21)), sigma, strict=True)
    return prior, sum(lognorm(s, scale=f).logpdf(y).sum() for y, f, s in seen)


def test_the_density_is_that_of_the_case_study(lotka):
    density = Density(lotka)
    middle = np.log([0.55, 0.028, 0.8, 0.024, 34, 5.9, 0.25, 0.25])
    points = middle + 0.2 * np.random.default_rng(1).standard_normal((6, 8))
    position = np.asarray(density.positions({n: jnp.exp(points[:, k]) for k, n in enumerate(ORDER)}))
    prior, likelihood = density.heights(position, np.full(6, -1))
    truth = np.array([by_hand(np.exp(x)) for x in points])
    assert prior == pytest.approx(truth[:, 0] + points.sum(axis=1), abs=1e-4)  # with the Jacobian of the logarithm
    assert likelihood == pytest.approx(truth[:, 1], abs=0.01, rel=1e-4)
    assert lotka.sites.log_prior(position) == pytest.approx(prior, abs=1e-8)


def test_a_prior_that_is_normal_above_zero_is_that_of_scipy():
    z = np.linspace(-4, 4, 9)
    for mean, sd in ((1.0, 0.5), (0.05, 0.05), (-1.0, 0.5), (5.0, 0.1), (-4.9, 1.0)):
        ours, known = TruncatedNormal(mean, sd), truncnorm(-mean / sd, np.inf, mean, sd)
        x = np.exp(ours.log_quantile(z))
        assert known.cdf(x) == pytest.approx(norm.cdf(z), rel=1e-6)
        assert ours.log_density(np.log(x)) == pytest.approx(known.logpdf(x) + np.log(x), abs=1e-9)
        assert np.asarray(ours.distribution.log_prob(x)) == pytest.approx(known.logpdf(x), abs=1e-9)
        assert ours.median == pytest.approx(known.median())
        drawn = np.log(known.rvs(200_000, random_state=0))
        assert ours.log_sd == pytest.approx(drawn.std(), rel=0.01)


def test_priors_are_stated_in_three_ways_and_kept_in_a_tree():
    for stated in ({"median": 2.0, "fold": 3.0}, {"median": 2.0, "log_sd": 0.7}, {"mean": 2.0, "sd": 0.7}):
        prior = belief(stated)
        assert isinstance(prior, TruncatedNormal if "mean" in stated else Prior)
        assert all(getattr(prior, name) == pytest.approx(value) for name, value in stated.items())
        assert recalled({"units": "1/h"} | recorded(prior)).stated == prior.stated


def test_prior_draws_are_those_of_every_prior(lotka):
    drawn = lotka.draw(root(0), 4000)
    for name, prior in lotka.sampled.items():
        z = np.quantile(np.asarray(drawn[name]), norm.cdf([-1, 0, 1]))
        assert np.log(z) == pytest.approx(prior.log_quantile(np.array([-1.0, 0.0, 1.0])), abs=0.1)


def test_readings_in_years_are_in_hours_inside_and_units_may_be_ones_own(lotka, tmp_path):
    assert lotka.data.time.max() == 20 * YEAR
    assert lotka.data.table()["unit"].unique().tolist() == ["thousand pelts"]
    lotka.data.table().to_csv(tmp_path / "again.csv", index=False)
    assert np.array_equal(read(tmp_path / "again.csv").time, lotka.data.time)
    (tmp_path / "two.csv").write_text("subject,time_h,time_day,analyte,value,unit\nA,0,0,hare,1,thousand pelts\n")
    with pytest.raises(ValueError, match="columns `time_h` and `time_day` both give the time"):
        read(tmp_path / "two.csv")
    (tmp_path / "unit.csv").write_text("subject,time_day,analyte,value,unit\nA,-1,hare,1,pelts\n")
    with pytest.raises(ValueError, match=r"line 2, column `time_day`: -1 is negative"):
        read(tmp_path / "unit.csv")
    (tmp_path / "unit.csv").write_text("subject,time_day,analyte,value,unit\nA,1,hare,1,pelts\n")
    with pytest.raises(ValueError, match="for hare give thousand pelts or a unit that converts"):
        read(tmp_path / "unit.csv")


def test_an_analyte_has_one_unit_and_one_name():
    with pytest.raises(ValueError, match="analyte `il6` is in mg/L, but known in pg/mL"):
        declare({"il6": "mg/L"})
    with pytest.raises(ValueError, match="analyte `IL_6` would be read as `il6`"):
        declare({"IL_6": "pg/mL"})


def test_simulate_writes_states_and_read_outs_in_their_units(tmp_path):
    assert run(["simulate", *LYNX_AND_HARE, "num_times=21", "+model.alpha=0.5", f"hydra.run.dir={tmp_path}"]) == 0
    table = pd.read_csv(tmp_path / "trajectory.csv")
    assert set(table["unit"]) == {"thousand pelts"}
    truth = pelts([0.5, 0.028, 0.8, 0.024, 34, 5.9], np.arange(21))
    for name, known in zip(("hare", "lynx"), truth, strict=True):
        assert table.loc[table["state"] == name, "value"].to_numpy() == pytest.approx(known, rel=1e-3)
    summary = pd.read_csv(tmp_path / "summary.csv", index_col="quantity")
    assert summary.loc["lynx_peak", "unit"] == "thousand pelts"
    assert json.loads((tmp_path / "model.json").read_text())["alpha"]["value"] == 0.5


WHOLE = DECAY.read_text()
CLASS = "class Decay(Model):"
REFUSED = {
    "no file": (None, "no such file; give the path of a Python file"),
    "syntax": (WHOLE.replace("def rest(self):", "def rest(self)"), "line 15: SyntaxError: expected ':'"),
    "import": ("import no_such_module", "line 1: ModuleNotFoundError: No module named 'no_such_module'"),
    "exit": ("raise SystemExit('bye')", "line 1: SystemExit: bye"),
    "no class": ("priors = {}", "it defines no model; derive a class from cytostorm.models.Model"),
    "two classes": (WHOLE + "\n\nclass Other(Decay):\n    pass\n", "it defines 2 models, Decay, Other; keep one"),
    "method": (WHOLE.replace("def observe", "def observed"), "Decay lacks `observe`; a model has states, analytes"),
    "states": (WHOLE.replace("states = (", "stated = ("), "Decay lacks `states`"),
    "no state": (WHOLE.replace("states = (State", "states = (3,) or (State"), "`states` of Decay is no tuple of states"),
    "shape": (WHOLE.replace("jnp.stack([self.begun])", "self.begun"), "`rest` of Decay returns no vector"),
    "branch": (WHOLE.replace("return -self.k * y", "return -y if y[0] > 1 else y"), "line 19: TracerBoolConversionError"),
    "observe": (WHOLE.replace('{"tracer": y[0]}', '{"tracers": y[0]}'), "`observe` of Decay does not return its analytes"),
    "parameter": (WHOLE.replace('"k": {', '"q": {'), "the prior of `q` names no parameter of Decay; it has: begun, k"),
    "no priors": (WHOLE.replace("priors =", "prior ="), "it has no `priors`; give some"),
    "keys": (WHOLE.replace('"sd": 0.1', '"var": 0.1'), "the prior of `k` has the keys mean, var; give `median` and `fold`"),
    "number": (WHOLE.replace('"sd": 0.1', '"sd": 0.0'), "the prior of `k`: `sd` of a prior is 0.0; give a positive number"),
    "noise": (WHOLE.replace('noise = {"sigma"', 'noise = {"sd"'), "`noise` has no key `sd`; it has: sigma, per_analyte"),
    "unit": (WHOLE.replace('analytes = {"tracer": "mg/L"}', 'analytes = {"tracer": "g/L"}'), "but known in mg/L"),
    "annotation": (WHOLE.replace("k: float =", "k ="), "TypeError: 'k' is a field but has no type annotation"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_a_fault_in_a_file_is_told_without_a_traceback(text, message, tmp_path, capsys):
    declare({"tracer": "mg/L"})
    file, table = tmp_path / "mine.py", tmp_path / "table.csv"
    if text is not None:
        file.write_text(text)
    table.write_text("subject,time_h,analyte,value,unit\nA,0,tracer,9,mg/L\n")
    argv = ["fit", "experiment=own", f"model.path={file}", f"data.path={table}", f"hydra.run.dir={tmp_path / 'run'}"]
    assert run(argv) == 2
    told = capsys.readouterr().err
    assert f"{file}" in told
    assert message in told
    assert "Traceback" not in told
    assert not (tmp_path / "run").exists()


def test_own_priors_go_with_an_own_model_and_its_path(tmp_path, capsys):
    assert run(["fit", "prior=own", f"hydra.run.dir={tmp_path / 'a'}"]) == 2
    assert "go with a model of your own; give model=own model.path=FILE" in capsys.readouterr().err
    assert run(["fit", "experiment=own", f"data.path={PELTS}", f"hydra.run.dir={tmp_path / 'b'}"]) == 2
    assert "`model.path` has no value; give `model.path=...`" in capsys.readouterr().err
    assert run(["fit", *LYNX_AND_HARE, "+model.theta=1", f"hydra.run.dir={tmp_path / 'c'}"]) == 2
    assert "LotkaVolterra has no parameter `theta`; it has: alpha, beta" in capsys.readouterr().err


TIMES, TRACER = np.arange(9.0), 10 * np.exp(-0.3 * np.arange(9.0) + 0.15 * np.random.default_rng(5).standard_normal(9))


@pytest.fixture(scope="module")
def decay(tmp_path_factory):
    """The run folder of a fit of the decay by independence chains."""
    folder = tmp_path_factory.mktemp("decay")
    rows = [f"A,{t:g},tracer,{y!r},mg/L" for t, y in zip(TIMES.tolist(), TRACER.tolist(), strict=True)]
    (folder / "table.csv").write_text("\n".join(["subject,time_h,analyte,value,unit", *rows]) + "\n")
    argv = ["experiment=own", f"model.path={DECAY}", f"data.path={folder / 'table.csv'}", "sampler=independence"]
    assert run(["fit", *argv, "report=false", f"hydra.run.dir={folder / 'run'}"]) == 0
    return folder / "run"


def in_closed_form():
    """Mean and SD of log begun, k and log sigma, and the log evidence: normal given sigma, which a sum integrates over."""
    prior = {"begun": Prior(8.0, 3.0), "sigma": Prior(0.2, 3.0)}
    X, y = np.stack([np.ones(9), -TIMES], axis=1), np.log(TRACER)
    m, S = np.array([np.log(8.0), 0.2]), np.diag([prior["begun"].log_sd ** 2, 0.1**2])
    log_sigma = np.linspace(-5, 3, 4001)
    log_weight = norm(np.log(0.2), prior["sigma"].log_sd).logpdf(log_sigma) + np.log(log_sigma[1] - log_sigma[0])
    middle, spread = [], []
    for i, s in enumerate(np.exp(log_sigma)):
        log_weight[i] += multivariate_normal(X @ m, X @ S @ X.T + s**2 * np.eye(9)).logpdf(y)
        cov = np.linalg.inv(np.linalg.inv(S) + X.T @ X / s**2)
        middle.append(cov @ (np.linalg.solve(S, m) + X.T @ y / s**2))
        spread.append(np.diag(cov))
    w = np.exp(log_weight - logsumexp(log_weight))
    mean = [*(w @ np.array(middle)), w @ log_sigma]
    square = [*(w @ (np.array(middle) ** 2 + np.array(spread))), w @ log_sigma**2]
    # What is cut off below 0 of the prior of k, and is nothing of its posterior, raises the evidence.
    evidence = logsumexp(log_weight) - y.sum() - norm.logcdf(0.2 / 0.1)
    return np.array(mean), np.sqrt(np.array(square) - np.array(mean) ** 2), evidence


def test_a_linear_gaussian_posterior_and_its_evidence_are_those_in_closed_form(decay):
    mean, sd, evidence = in_closed_form()
    posterior = load(decay / "posterior.nc")["posterior"].to_dataset()
    drawn = (np.log(posterior["begun"]), posterior["k"], np.log(posterior["sigma"]))
    for x, m, s in zip(drawn, mean, sd, strict=True):
        agree(x.values, m, s, 1000)
    facts = json.loads((decay / "manifest.json").read_text())["facts"]
    assert facts["log_evidence"] == pytest.approx(evidence, abs=4 * facts["log_evidence_se"] + 1e-3)


def test_a_folder_runs_no_file_that_is_not_named(decay, tmp_path, capsys):
    argv = ["predict", f"fit={decay}", "num_draws=50", "num_times=9"]
    assert run([*argv, f"hydra.run.dir={tmp_path / 'a'}"]) == 2
    assert "name its file, which is run, with `own=FILE`" in capsys.readouterr().err
    other = tmp_path / "other.py"
    other.write_text(WHOLE + "\n# changed\n")
    assert run([*argv, f"own={other}", f"hydra.run.dir={tmp_path / 'b'}"]) == 2
    assert "is not the file of this fit, for its SHA-256 differs" in capsys.readouterr().err
    assert run([*argv, f"own={DECAY}", "until_h=16", f"hydra.run.dir={tmp_path / 'c'}"]) == 0
    table = pd.read_csv(tmp_path / "c" / "predictions.csv")
    k = load(decay / "posterior.nc")["posterior"]["k"].median()
    assert table["curve_median"].iloc[-1] == pytest.approx(10 * np.exp(-16 * float(k)), rel=0.1)


@pytest.mark.slow
def test_a_fit_of_ones_own_model_is_identified_once_its_file_is_named(decay, tmp_path, capsys):
    argv = ["identify", f"fit={decay}", "num_draws=12", "num_points=5", "next.num_draws=8", "next.num_times=3"]
    assert run([*argv, f"hydra.run.dir={tmp_path / 'a'}"]) == 2
    assert "name its file, which is run, with `own=FILE`" in capsys.readouterr().err
    assert run([*argv, f"own={DECAY}", f"hydra.run.dir={tmp_path / 'b'}"]) == 0
    table = pd.read_csv(tmp_path / "b" / "identifiability.csv", index_col="parameter")
    assert table.loc["k", "verdict"].startswith("told well: ")


@pytest.mark.slow
def test_treatments_are_compared_in_a_model_of_ones_own(tmp_path):
    argv = [f"model.path={QUELLED}", "model=own", "prior=own", "trigger=none", "outcome=il6", "utility=il6"]
    asked = ["treatments=[tocilizumab]", "start_h=[0,96]", "until_h=336", "num_draws=100", "num_times=97"]
    assert run(["compare", *argv, *asked, f"hydra.run.dir={tmp_path}"]) == 0
    table = pd.read_csv(tmp_path / "decisions.csv").set_index("start_h")
    assert table.loc[0, "difference"] > table.loc[96, "difference"] > 0
    assert table.loc[0, "expected_best"]


@pytest.mark.slow
def test_a_model_of_ones_own_forecasts_and_is_certified(tmp_path):
    times = np.arange(0, 73, 12)
    rows = [f"A,{t},il6,{10 * np.exp(2 * t / 24) / (1 + 10 / 3000 * np.exp(2 * t / 24)):.6g},pg/mL" for t in times]
    (tmp_path / "il6.csv").write_text("\n".join(["subject,time_h,analyte,value,unit", *rows]) + "\n")
    argv = [f"model.path={QUELLED}", "model=own", "prior=own", "noise=own", "trigger=none", "data=csv"]
    argv.append(f"data.path={tmp_path / 'il6.csv'}")
    assert run(["forecast", *argv, "num_points=300", "step_h=3.0", f"hydra.run.dir={tmp_path / 'forecast'}"]) == 0
    table = pd.read_csv(tmp_path / "forecast" / "forecast.csv")
    assert table["exceeds_72h"].iloc[-1] > 0.99  # it doubles in 8.3 h
    assert table["doubling_median"].iloc[3] == pytest.approx(8.3, rel=0.1)
    assert run(["certify", *argv, "num_draws=8", "num_few=4", f"hydra.run.dir={tmp_path / 'certify'}"]) == 0


# Mean and SD of the 10,000 reference draws of `hudson_lynx_hare-lotka_volterra` in posteriordb.
REFERENCE = {
    "alpha": (0.5469, 0.0631),
    "beta": (0.02775, 0.00416),
    "gamma": (0.8001, 0.0894),
    "delta": (0.02409, 0.00353),
    "hare0": (34.04, 2.92),
    "lynx0": (5.936, 0.531),
    "sigma_hare": (0.2481, 0.0433),
    "sigma_lynx": (0.2510, 0.0436),
}


@pytest.mark.slow
def test_lynx_and_hare_have_the_posterior_of_the_stan_case_study(tmp_path):
    """To four Monte Carlo standard errors, of our draws and of the reference's together."""
    assert run(["fit", *LYNX_AND_HARE, "strict=true", f"hydra.run.dir={tmp_path}"]) == 0
    posterior = load(tmp_path / "posterior.nc")["posterior"].to_dataset()
    for name, (mean, sd) in REFERENCE.items():
        x = posterior[name].values.ravel()
        worth, of_sd = (float(azs.ess(posterior[name], method=method)) for method in ("mean", "sd"))
        apart = abs(x.mean() - mean) / np.hypot(x.std() / np.sqrt(worth), sd / np.sqrt(10_000))
        print(f"| `{name}` | {x.mean():.4g} ({x.std():.3g}) | {mean} ({sd}) | {apart:.1f} |")
        assert worth > 1000
        assert apart < 4, name
        tails = np.sqrt((kurtosis(x) + 2) / 4)  # the standard error of an SD, times the root of the number of draws
        assert abs(x.std() - sd) < 4 * tails * np.hypot(x.std() / np.sqrt(of_sd), sd / np.sqrt(10_000)), name
