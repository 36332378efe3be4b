"""Checks of a fit: right models are flagged as seldom as is said, wrong ones are seen, every run tells what was found."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from catalogue import readings
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cytostorm.inference import LogNormal, Prior, TruncatedNormal, load, read
from cytostorm.inference.checking import findings, priors, residuals
from cytostorm.inference.checking.readings import left_out, outlier, uniform
from cytostorm.scripts.cli import run

DRAWS, NUM, SIGMA = 400, 20, 0.3
AT = np.arange(NUM, dtype=float)
SHAPE = np.stack([np.ones(NUM), AT / 10 - 1, (AT / 10 - 1) ** 2], axis=1)  # log-predictions are straight in the parameters


def world(rng, num=NUM, scale=SIGMA, extra=0.0, truth=None):
    """A truth of normal priors, readings of it, and exact draws of its posterior: log-readings, log-predictions, draws."""
    x = SHAPE[:num]
    truth = rng.standard_normal(3) if truth is None else truth
    y = x @ truth + scale * rng.standard_normal(num) + extra
    cov = np.linalg.inv(np.eye(3) + x.T @ x / SIGMA**2)
    theta = rng.multivariate_normal(cov @ x.T @ y / SIGMA**2, cov, DRAWS)
    return y, theta @ x.T, theta


def tree(y, log_f, data, prior=None):
    """What the checks ask of a tree, in two chains."""
    low, high = LogNormal().chance(log_f, {"sigma": np.full(len(log_f), SIGMA)}, data)
    chain = lambda x: x.reshape(2, len(log_f) // 2, -1)  # noqa: E731
    dims = ("chain", "draw", "obs_id")
    at = {"chain": [0, 1], "draw": np.arange(len(log_f) // 2), "obs_id": np.arange(len(data))}
    logp = stats.norm.logpdf(y, log_f, SIGMA) - y
    found = {
        "standing": xr.Dataset(
            {n: (dims, chain(x)) for n, x in {"predicted": np.exp(log_f), "low": low, "high": high}.items()}, coords=at
        ),
        "log_likelihood": xr.Dataset({"y": (dims, chain(logp))}, coords=at),
    }
    if prior is not None:
        found["prior_predictive"] = xr.Dataset({"y": (("chain", "draw", "obs_id"), prior[None])})
    return xr.DataTree.from_dict(found)


def not_too_often(p, levels=(0.05, 0.01)):
    """Claim that p-values are at most a level in no more of the cases than that, as far as their number tells."""
    for level in levels:
        assert np.sum(np.asarray(p) <= level) <= stats.binom.ppf(0.999, len(p), level), level


def mixed():
    """Readings of every kind: as read, below, above, between, and the mean of a group."""
    data = readings(AT[:5], [2.0, 1.0, 50.0, 3.0, 20.0], cens=[0, -1, 1, -1, 0], limit=[1.0, 1.0, 50.0, 3.0, 1.0])
    group = {"n": np.array([0, 0, 0, 0, 9]), "spread": np.array([0, 0, 0, 0, 0.6])}
    return dataclasses.replace(data, bound=np.array([0, 0, np.inf, 1.5, 0]), **group)


@pytest.mark.parametrize("nu", [None, 4.0])
def test_a_censored_reading_leaves_as_much_possible_as_its_likelihood_says(nu):
    data, noise = mixed(), LogNormal(nu=nu)
    log_f = np.log(np.array([[1.0, 2.0, 30.0, 5.0, 15.0], [3.0, 0.5, 80.0, 2.0, 25.0]]))
    low, high = noise.chance(log_f, {"sigma": np.array([0.4, 0.7])}, data)
    for i, sigma in enumerate((0.4, 0.7)):
        likelihood = np.asarray(noise.log_density(jnp.asarray(log_f[i]), {"sigma": jnp.asarray(sigma)}, data))
        censored = data.cens != 0
        np.testing.assert_allclose(np.log((high[i] - low[i])[censored]), likelihood[censored], rtol=1e-9)
    np.testing.assert_array_equal(low[:, [0, 4]], high[:, [0, 4]])
    single = stats.norm if nu is None else stats.t(nu)
    np.testing.assert_allclose(low[0, 0], single.cdf(np.log(2.0) / 0.4))
    np.testing.assert_allclose(low[0, 4], stats.t(8).cdf(np.log(20 / 15) / 0.2))


@pytest.mark.parametrize("prior", [Prior(2.0, 3.0), TruncatedNormal(1.0, 0.5), TruncatedNormal(0.05, 0.05)])
@given(z=st.floats(-4, 4))
@settings(max_examples=30)
def test_a_score_is_what_the_quantile_was_asked_for(prior, z):
    np.testing.assert_allclose(prior.score(np.asarray(prior.log_quantile(np.array(z)))), z, atol=1e-6)


def test_residuals_at_the_truth_are_standard_normal_whatever_is_censored():
    rng, found = np.random.default_rng(0), []
    for seed in range(60):
        log_f = SHAPE @ rng.standard_normal(3)
        y = log_f + SIGMA * rng.standard_normal(NUM)
        cens = np.where(y < -0.5, -1, np.where(y > 0.8, 1, 0))
        limit = np.exp(np.select([cens < 0, cens > 0], [-0.5, 0.8], 0.0))
        data = readings(AT, np.where(cens == 0, np.exp(y), limit), cens=cens, limit=limit)
        low, high = LogNormal().chance(log_f[None], {"sigma": np.array([SIGMA])}, data)
        found.append(residuals.scored(low, high, seed)[0])
    assert stats.kstest(np.concatenate(found), "norm").pvalue > 1e-3


@pytest.fixture(scope="module")
def right():
    """The p-values of a hundred and fifty fits of a right model, in closed form."""
    rng, rows = np.random.default_rng(1), []
    data = readings(AT, np.ones(NUM))
    for _ in range(150):
        y, log_f, theta = world(rng)
        p = residuals.tested((y - log_f) / SIGMA, log_f, data)
        rows.append(p | {"prior": priors.conflict(theta)[0]})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("name", ["size", "time", "prediction", "shape", "prior"])
def test_a_right_model_is_flagged_no_more_often_than_is_said(right, name):
    not_too_often(right[name])
    assert (right[name] < 1).mean() > 0.25  # and is no test that never speaks


def test_all_tests_together_keep_the_level(right):
    adjusted = [min(findings.holm(dict(row)).values()) for _, row in right.iterrows()]
    not_too_often(adjusted, levels=(findings.LEVEL,))


def test_left_out_readings_of_a_right_model_stand_where_they_should():
    """Against their closed form, and uniform over many data sets."""
    rng, pits, ps = np.random.default_rng(2), [], []
    for k in range(30):
        y, log_f, theta = world(rng)
        data = readings(AT, np.exp(y))
        found = left_out(tree(y, log_f, data), data, (y - log_f) / SIGMA, {"a": theta[:, 0]})
        pits.append(found["loo_pit"].to_numpy())
        ps.append((outlier(pits[-1])[0], uniform(pits[-1])))
        if k == 0:
            exact = []
            for i in range(NUM):
                rest = np.delete(np.arange(NUM), i)
                cov = np.linalg.inv(np.eye(3) + SHAPE[rest].T @ SHAPE[rest] / SIGMA**2)
                mean = SHAPE[i] @ cov @ SHAPE[rest].T @ y[rest] / SIGMA**2
                exact.append(stats.norm.cdf(y[i], mean, np.sqrt(SIGMA**2 + SHAPE[i] @ cov @ SHAPE[i])))
            np.testing.assert_allclose(pits[0], exact, atol=0.06)
    assert stats.kstest(np.concatenate([x[::5] for x in pits]), "uniform").pvalue > 1e-3
    for p in np.array(ps).T:
        not_too_often(p)


WRONG = {
    "time": lambda rng: world(rng, extra=0.9 * np.sin(AT * 2 * np.pi / 7)),
    "prediction": lambda rng: world(rng, scale=SIGMA * np.geomspace(0.1, 4.0, NUM), truth=np.array([0.0, 3.0, 0.0])),
    "shape": lambda rng: world(rng, extra=np.where(AT == 7, 2.2, 0.0)),
    "size": lambda rng: world(rng, scale=3 * SIGMA),
    "prior": lambda rng: world(rng, truth=np.array([0.0, 5.0, 0.0])),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_seen_by_its_own_test(name):
    rng, seen = np.random.default_rng(3), []
    data = readings(AT, np.ones(NUM))
    for _ in range(20):
        y, log_f, theta = WRONG[name](rng)
        p = residuals.tested((y - log_f) / SIGMA, log_f, data) | {"prior": priors.conflict(theta)[0]}
        seen.append(findings.holm(p)[name] <= findings.LEVEL)
    assert np.mean(seen) >= 0.7


def test_an_outlier_is_named():
    rng = np.random.default_rng(4)
    y, log_f, theta = world(rng, extra=np.where(AT == 7, 2.0, 0.0))
    data = readings(AT, np.exp(y))
    found = left_out(tree(y, log_f, data), data, (y - log_f) / SIGMA, {"a": theta[:, 0], "b": theta[:, 1]})
    p, at = outlier(found["loo_pit"].to_numpy())
    assert p < 1e-3
    assert at == 7
    assert found["residual"].argmax() == 7
    assert found["shift"].abs().argmax() == 7


def test_a_parameter_far_out_in_its_prior_is_named():
    z = np.random.default_rng(5).standard_normal((500, 6)) * 0.3 + np.array([0, 0, 0, -4.5, 0, 0])
    p, at = priors.conflict(z)
    assert p < 1e-3
    assert at == 3


def test_what_the_prior_foresees_is_judged_by_its_own_data_sets():
    rng, ps = np.random.default_rng(6), []
    for _ in range(100):
        made = np.exp(rng.standard_normal((301, 3)) @ SHAPE.T + SIGMA * rng.standard_normal((301, NUM)))
        data = readings(AT, made[0])
        ps.append(priors.foreseen(tree(np.log(made[0]), np.zeros((4, NUM)), data, made[1:]), data)[0])
    not_too_often(ps)
    assert stats.kstest(ps, "uniform").pvalue > 1e-3
    data = readings(AT, 1e3 * made[0])
    p, table = priors.foreseen(tree(np.log(data.value), np.zeros((4, NUM)), data, made[1:]), data)
    assert p < 0.01
    assert table.set_index("statistic").loc["largest", "below"] > 0.99
    few = priors.foreseen(tree(np.log(data.value), np.zeros((4, NUM)), data, made[1:50]), data)
    assert np.isnan(few[0])
    assert few[1].empty


def test_readings_below_a_limit_count_as_the_limit_under_the_prior_too():
    rng = np.random.default_rng(7)
    made = np.exp(rng.normal(size=(301, NUM)))
    low = made[0] < 1
    data = readings(AT, np.maximum(made[0], 1.0), cens=np.where(low, -1, 0))
    table = priors.foreseen(tree(np.zeros(NUM), np.zeros((4, NUM)), data, made[1:]), data)[1].set_index("statistic")
    assert table.loc["smallest", "read"] == table.loc["smallest", "median"] == 0.0
    assert np.isclose(table.loc["smallest", "below"], 0.5, atol=0.05)


def test_waves_run_over_the_readings_of_one_subject_and_analyte_in_time():
    data = dataclasses.replace(
        readings([0.0, 3.0, 2.0, 1.0, 4.0, 5.0, 6.0], np.ones(7)),
        subject=("A", "B", "A", "A", "B", "A", "C"),
        analyte=("il6",) * 7,
    )
    found = residuals.waves(data)
    np.testing.assert_allclose(found.T @ found, np.eye(3), atol=1e-12)
    assert [set(np.flatnonzero(column)) for column in found.T] == [{0, 2, 3, 5}, {0, 2, 3, 5}, {1, 4}]
    order = [0, 3, 2, 5]  # by time
    assert (np.diff(found[order, 1]) < 0).all()


def test_draws_that_stand_still_are_told_and_are_no_error():
    """Two different draws, again and again: nothing can be left out by weights."""
    data = readings(AT, np.ones(NUM))
    log_f = np.repeat(np.stack([np.zeros(NUM), np.full(NUM, 0.3)]), [80, 20], axis=0)
    found = left_out(tree(np.zeros(NUM), log_f, data), data, -log_f / SIGMA, {"a": log_f[:, 0]})
    assert np.isinf(found["pareto_k"]).all()
    assert np.isfinite(found[["loo_pit", "shift", "residual"]].to_numpy()).all()


def test_so_few_readings_allow_no_test_of_patterns():
    p = residuals.tested(np.zeros((10, 3)) + 0.1, np.zeros((10, 3)), readings([0.0, 1.0, 2.0], np.ones(3)))
    assert [name for name, x in p.items() if np.isnan(x)] == ["time", "prediction", "shape"]


def test_holm_counts_what_was_tested():
    found = findings.holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": float("nan")})
    assert {n: round(x, 6) for n, x in found.items() if n != "d"} == {"a": 0.03, "b": 0.06, "c": 0.06}
    assert np.isnan(found["d"])


def test_a_run_carries_its_checks(quick_run):
    table = pd.read_csv(quick_run / "checks.csv")
    assert list(table["check"]) == [title for title, *_ in findings.TESTS.values()] + [
        *("influential readings", "influence on parameters", "power scaling")
    ]
    assert set(table["result"]) <= {"flagged", "noted", "fine", "not made"}
    assert table["says"].str.len().min() > 10
    manifest = json.loads((quick_run / "manifest.json").read_text())
    assert manifest["flagged"] == list(table.loc[table["result"] == "flagged", "check"])
    page = (quick_run / "report.html").read_text()
    assert '<section id="checks"' in page
    assert all(row in page for row in table["check"])
    assert len(pd.read_csv(quick_run / "residuals.csv")) == 8


def test_checks_can_be_made_again_from_the_tree(quick_run):
    again = findings.checked(load(quick_run / "posterior.nc"), read(quick_run / "observations.csv"))
    table = pd.read_csv(quick_run / "checks.csv")
    np.testing.assert_allclose(again.table["value"], table["value"], rtol=1e-6)
    assert str(again).startswith("checks: ")


@pytest.mark.slow
def test_a_spoilt_reading_is_flagged_by_name_and_a_sound_table_is_not(tmp_path):
    """From a table to a report: eighteen readings, then the same with one of them five times too large."""
    made, times = tmp_path / "made", [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16]
    walkers = ["sampler=independence_walkers", "report=false"]
    assert run(["fit", "data=synthetic", f"data.times_h={times}", *walkers, f"hydra.run.dir={made}"]) == 0
    assert json.loads((made / "manifest.json").read_text())["flagged"] == []
    table = pd.read_csv(made / "observations.csv")
    table.loc[table["time_h"] == 5, "value"] *= 5
    table.to_csv(tmp_path / "spoilt.csv", index=False)
    spoilt = tmp_path / "spoilt"
    assert run(["fit", "data=csv", f"data.path={tmp_path / 'spoilt.csv'}", *walkers, f"hydra.run.dir={spoilt}"]) == 0
    assert "outlier" in json.loads((spoilt / "manifest.json").read_text())["flagged"]
    found = pd.read_csv(spoilt / "checks.csv").set_index("check")
    assert "IL-6 of S01 at 5 h" in found.loc["outlier", "says"]
    assert json.loads((spoilt / "manifest.json").read_text())["passed"] is True  # the verdict is the sampler's
