"""Statistical checks of whole fits."""

import json

import numpy as np
import pandas as pd
import pytest

from cytostorm.inference import load
from cytostorm.scripts.cli import run

pytestmark = pytest.mark.slow


def outcome(folder):
    return json.loads((folder / "manifest.json").read_text()), pd.read_csv(folder / "summary.csv", index_col="parameter")


@pytest.fixture(scope="module")
def default_fit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("default") / "run"
    assert run(["fit", "strict=true", f"hydra.run.dir={folder}"]) == 0
    return folder


def test_the_default_fit_passes_its_verdict(default_fit):
    manifest, table = outcome(default_fit)
    assert manifest["passed"]
    assert manifest["verdict"]["rhat_max"] < 1.01
    assert manifest["verdict"]["ess_bulk_min"] > 400
    assert manifest["verdict"]["num_divergences"] == 0
    assert table.loc["k_l", "contraction"] == pytest.approx(0.831, abs=0.04)  # of 48,000 draws; from seed to seed SD 0.01
    assert table.loc["w_l", "taught"] == "well"
    assert table.loc["gamma", "taught"] == "hardly"


def test_the_bands_of_the_default_fit_cover_the_data(default_fit):
    assert pd.read_csv(default_fit / "fitted.csv")["inside_90"].all()


def test_the_infusion_is_fitted_as_well(tmp_path):
    argv = ["experiment=endotoxemia_infusion", "report=false", "strict=true"]
    assert run(["fit", *argv, f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    assert pd.read_csv(tmp_path / "run" / "fitted.csv")["inside_90"].mean() >= 0.8


def test_a_synthetic_storm_gives_back_its_gain_and_its_clearance(tmp_path):
    assert run(["fit", "experiment=synthetic_storm", "strict=true", f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    found = pd.read_csv(tmp_path / "run" / "recovery.csv", index_col="parameter")
    for name in ("gamma", "k_l", "margin"):
        assert found.loc[name, "inside_90"]
        assert found.loc[name, "contraction"] >= 0.5


def test_the_network_tells_the_two_routes_of_clearance_apart_under_a_receptor_blocker(tmp_path):
    argv = ["experiment=network_cart", "report=false", "strict=true"]
    assert run(["fit", *argv, f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    found = pd.read_csv(tmp_path / "run" / "recovery.csv", index_col="parameter")
    for name in ("k_fb", "k_il6_np", "k_il6_rm", "margin"):
        assert found.loc[name, "inside_90"]
        assert found.loc[name, "contraction"] >= 0.8


def test_independence_chains_have_the_posterior_of_the_default_fit(default_fit, tmp_path):
    folder = tmp_path / "run"
    assert run(["fit", "sampler=independence", "strict=true", "report=false", f"hydra.run.dir={folder}"]) == 0
    manifest, mine = outcome(folder)
    _, table = outcome(default_fit)
    assert manifest["verdict"]["ess_bulk_min"] > 1000
    assert manifest["facts"]["pareto_k"] < 0.7
    assert mine.loc["k_l", "taught"] == "well"
    ours, theirs = (load(one / "posterior.nc")["posterior"] for one in (folder, default_fit))
    for name in mine.index:
        a, b = (np.log(draws[name].values) for draws in (ours, theirs))
        error = np.hypot(a.std() / mine.loc[name, "ess_bulk"] ** 0.5, b.std() / table.loc[name, "ess_bulk"] ** 0.5)
        assert abs(a.mean() - b.mean()) < 4 * error, name
        assert abs(np.log(a.std() / b.std())) < 0.15, name
