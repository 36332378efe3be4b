"""A fit from the command line: its run folder, its labelled tree, its report. One short fit serves all."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from catalogue import readings

from cytostorm.inference import Verdict, fitted, judge, load, save, summary
from cytostorm.inference.figures import trajectories
from cytostorm.inference.summary import lesson, recovery

GROUPS = {
    "posterior",
    "sample_stats",
    "log_likelihood",
    "log_prior",
    "prior",
    "prior_predictive",
    "posterior_predictive",
    "standing",
    "predictions",
    "prior_predictions",
    "observed_data",
    "constant_data",
}
SAMPLED = ["gamma", "k_l", "k_m", "x_l", "w_l", "k_r", "w_r", "u0", "t_u", "n_u"]


@pytest.fixture(scope="module")
def tree(quick_run):
    return load(quick_run / "posterior.nc")


@pytest.fixture(scope="module")
def table(tree):
    return summary(tree)


@pytest.mark.parametrize(
    "name",
    [
        "config.yaml",
        "manifest.json",
        "posterior.nc",
        "summary.csv",
        "fitted.csv",
        "observations.csv",
        "report.html",
        "trajectories.png",
        "prior_posterior.png",
        "pair.png",
        "predictive.png",
        "ranks.png",
        "checks.png",
        "checks.csv",
        "residuals.csv",
    ],
)
def test_a_run_folder_is_whole(quick_run, name):
    assert (quick_run / name).stat().st_size > 100


def test_the_tree_has_exactly_its_groups(tree):
    assert set(tree.children) == GROUPS


def test_readings_lie_on_one_labelled_dimension(tree):
    for group in ("observed_data", "constant_data", "log_likelihood", "posterior_predictive", "prior_predictive"):
        data = tree[group].to_dataset()
        assert data.sizes["obs_id"] == 8
        assert set(data.coords) >= {"obs_id", "subject", "analyte", "time"}
        assert list(data["time"].values) == [0, 1, 1.5, 2, 3, 4, 5, 6]
        assert set(data["analyte"].values) == {"il6"}


def test_variables_carry_unit_and_symbol(tree):
    posterior = tree["posterior"].to_dataset()
    assert [str(name) for name in posterior.data_vars][: len(SAMPLED)] == SAMPLED
    assert set(posterior.data_vars) == {*SAMPLED, "critical_gain", "margin", "half_life"}
    for name in posterior.data_vars:
        assert all(posterior[name].attrs[key] for key in ("units", "symbol", "meaning"))
    assert posterior["k_l"].attrs["units"] == "1/h"
    assert tree["predictions"]["il6"].attrs["units"] == "pg/mL"


def test_nothing_in_the_tree_is_missing(tree):
    for group in GROUPS - {"constant_data"}:
        for name, values in tree[group].to_dataset().data_vars.items():
            assert np.all(np.isfinite(values)), (group, name)


def test_derived_quantities_belong_to_their_draws(tree):
    posterior = tree["posterior"].to_dataset()
    np.testing.assert_allclose(posterior["margin"], posterior["gamma"] / posterior["critical_gain"])
    np.testing.assert_allclose(posterior["half_life"], np.log(2) / posterior["k_l"])


def test_the_log_density_is_prior_plus_likelihood(tree):
    """Up to the Jacobian of the logarithm, which NumPyro's potential includes: a term for each parameter."""
    prior = sum(tree["log_prior"].to_dataset().data_vars.values())
    jacobian = sum(np.log(tree["posterior"][name]) for name in SAMPLED)
    total = prior + tree["log_likelihood"]["y"].sum("obs_id") + jacobian
    np.testing.assert_allclose(total, tree["sample_stats"]["lp"], rtol=1e-4, atol=1e-3)


def test_a_tree_saved_and_loaded_is_equal(tree, tmp_path):
    save(tree, tmp_path / "again.nc")
    xr.testing.assert_identical(load(tmp_path / "again.nc"), tree)


def test_the_manifest_tells_where_the_run_came_from(quick_run):
    manifest = json.loads((quick_run / "manifest.json").read_text())
    assert manifest["data_sha256"] == hashlib.sha256((quick_run / "observations.csv").read_bytes()).hexdigest()
    assert manifest["config_sha256"] == hashlib.sha256((quick_run / "config.yaml").read_bytes()).hexdigest()
    assert {"jax", "numpyro", "diffrax", "cytostorm"} <= manifest["versions"].keys()
    assert manifest["device"]["platform"] in ("cpu", "gpu")
    assert manifest["seed"] == 0
    assert manifest["num_solves"] > 200
    assert 0 <= manifest["num_failed_solves"] < 0.05 * manifest["num_solves"]
    assert manifest["seconds"]["total"] >= manifest["seconds"]["sampling"] > 0
    assert manifest["seconds"]["total"] >= manifest["seconds"]["report"] > 0


def test_a_fit_with_too_few_draws_fails_its_verdict_and_keeps_its_files(quick_run, tree):
    verdict = Verdict.model_validate_json(tree.attrs["verdict"])
    assert not verdict
    assert str(verdict).startswith("FAIL: do not use this posterior")
    assert any("ESS" in reason for reason in verdict.reasons)
    assert "FAIL: do not use this posterior" in (quick_run / "report.html").read_text()


def make(gamma, diverging=0):
    """A tree of four chains of independent draws, as far as `judge` needs one."""
    draws = xr.Dataset({"gamma": (("chain", "draw"), gamma)})
    diverged = np.zeros(gamma.shape, bool)
    diverged.flat[:diverging] = True
    stats = {
        "diverging": (("chain", "draw"), diverged),
        "energy": (("chain", "draw"), np.random.default_rng(1).normal(size=gamma.shape)),
    }
    return xr.DataTree.from_dict({"posterior": draws, "sample_stats": xr.Dataset(stats)})


GOOD = np.random.default_rng(0).normal(size=(4, 1000))


@pytest.mark.parametrize(
    ("gamma", "diverging", "failed", "reason"),
    [
        (GOOD, 0, 10, None),
        (GOOD, 2, 0, "2 divergences"),
        (GOOD, 0, 11, "11 of 1000 solves failed, more than 1%"),
        (GOOD + np.array([[0], [0], [0], [1]]), 0, 0, "R-hat"),
        (np.cumsum(GOOD, axis=1), 0, 0, "bulk ESS"),
        (np.full((4, 1000), np.nan), 0, 0, "R-hat nan"),
    ],
)
def test_the_verdict_passes_good_chains_and_names_each_fault(gamma, diverging, failed, reason):
    verdict = judge(make(gamma, diverging), 1000, failed)
    assert verdict.passed == (reason is None)
    assert reason is None or any(reason in text for text in verdict.reasons)


@pytest.mark.parametrize(("gamma", "other", "passed"), [(GOOD, 0.6, True), (GOOD, np.nan, False), (0 * GOOD, 0.6, False)])
def test_a_number_that_follows_from_nothing_sampled_is_not_judged(gamma, other, passed):
    tree = make(gamma)
    tree["posterior"] = tree["posterior"].to_dataset().assign(half_life=(("chain", "draw"), np.full(GOOD.shape, other)))
    assert judge(tree, 1000, 0).passed == passed


def test_a_chain_that_fails_too_often_fails_the_verdict():
    tree = make(GOOD)
    tree["sample_stats"].attrs["failed_share"] = [0.0, 0.0, 0.06, 0.0]
    verdict = judge(tree, 100_000, 60)
    assert any("after warm-up 6.0% of the solves of one chain failed" in text for text in verdict.reasons)


def test_weights_that_are_worth_less_than_the_draws_fail_the_verdict():
    tree = make(GOOD)
    taken = tree["posterior"].sizes["chain"] * tree["posterior"].sizes["draw"]
    tree["sample_stats"].attrs |= {"pareto_k": 0.6, "weights_ess": taken - 1.0}
    verdict = judge(tree, 100_000, 60)
    assert verdict.reasons == [
        f"the weights are worth {taken - 1} draws, fewer than the {taken} taken:"
        " the approximation misses a part of the posterior; use sampler=nuts"
    ]
    tree["sample_stats"].attrs["weights_ess"] = float(taken)
    assert judge(tree, 100_000, 60)


def test_the_summary_tells_what_was_learned(table):
    assert table.loc["t_u", "contraction"] > 0.8
    assert table.loc["t_u", "taught"] == "well"
    assert table.loc["w_r", "contraction"] < 0.5
    assert table.loc["gamma", "taught"] == "hardly"
    assert any("Feedback gain" in line and "hardly inform" in line for line in lesson(table))


def test_contraction_is_that_of_the_logarithm(tree, table):
    log_sd = tree["posterior"]["k_l"].attrs["prior_log_sd"]
    want = 1 - np.var(np.log(tree["posterior"]["k_l"].values)) / log_sd**2
    assert table.loc["k_l", "contraction"] == pytest.approx(want)


def test_a_recovery_tells_hits_from_misses(table):
    truth = {"gamma": float(table.loc["gamma", "median"]), "k_l": 1e3}
    found = recovery(table, truth)
    assert list(found["inside_90"]) == [True, False]


def test_fitted_values_cover_the_readings(tree):
    rows = fitted(tree)
    assert list(rows.columns[:4]) == ["subject", "analyte", "time_h", "value"]
    assert rows["inside_90"].sum() >= 7
    assert (rows["q5"] < rows["q25"]).all()
    assert (rows["q75"] < rows["q95"]).all()


def test_the_report_shows_pictures_and_says_what_was_learned(quick_run):
    page = (quick_run / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 5
    assert "hardly inform" in page
    assert "must never be used for the care of patients" in page


def test_csv_tables_hold_what_the_tree_holds(quick_run, table):
    stored = pd.read_csv(quick_run / "summary.csv", index_col="parameter")
    np.testing.assert_allclose(stored["median"], table["median"])
    assert list(stored["unit"]) == list(table["unit"])


def test_figures_draw_censored_readings(tree):
    data = readings([0.0, 2.0, 4.0], [1.0, 900.0, 300.0], cens=[-1, 1, 0], limit=[1.0, 900.0, 1.0])
    figure = trajectories(tree, data)
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert {"below the limit", "above the limit", "readings"} <= set(labels)


def test_loading_what_is_not_there_is_a_clear_error(tmp_path):
    with pytest.raises(ValueError, match=r"none\.nc: no such posterior"):
        load(tmp_path / "none.nc")


@pytest.mark.filterwarnings("ignore:Estimated shape parameter:UserWarning")
def test_arviz_works_on_the_tree(tree):
    import arviz_stats as azs

    assert np.isfinite(azs.loo(tree, var_name="y").elpd)
