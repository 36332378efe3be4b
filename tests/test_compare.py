"""cytostorm compare, through the command line."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from picks import some

from cytostorm.inference import load, save
from cytostorm.scripts.cli import run

SHORT = [
    "num_draws=40",
    "num_times=145",
    "treatments=[tocilizumab]",
    "start_h=[0, 48]",
    "solver.rtol=1e-4",
    "solver.atol=1e-6",
]


@pytest.fixture(scope="module")
def fit(tmp_path_factory):
    """A quick look at the patient of `experiment=timing`: its run folder."""
    folder = tmp_path_factory.mktemp("timing") / "fit"
    quick = ["sampler=laplace", "solver.rtol=1e-4", "solver.atol=1e-6", "report=false"]
    assert run(["fit", "experiment=timing", *quick, f"hydra.run.dir={folder}"]) == 0
    return folder


@pytest.fixture(scope="module")
def compared(fit, tmp_path_factory):
    """Tocilizumab at the last reading and two days later, for that patient: the run folder."""
    folder = tmp_path_factory.mktemp("timing") / "compare"
    asked = [f"fit={fit}", "force=true", "num_draws=40", "num_times=145", "treatments=[tocilizumab]", "start_h=[0, 48]"]
    assert run(["compare", *asked, f"hydra.run.dir={folder}"]) == 0
    return folder


@pytest.mark.slow
def test_a_comparison_leaves_its_tables_figures_and_tree(compared):
    names = {path.name for path in compared.iterdir()}
    assert {f"{n}.csv" for n in ("decisions", "outcomes", "windows", "sensitivity", "information", "draws")} <= names
    assert {"config.yaml", "manifest.json", "comparison.nc", "report.html", "fan_il6.png", "start.png", "best.png"} <= names
    manifest = json.loads((compared / "manifest.json").read_text())
    assert (manifest["job"], manifest["num_solves"], manifest["num_failed_solves"]) == ("compare", 120, 0)
    assert len(pd.read_csv(compared / "decisions.csv")) == 3


@pytest.mark.slow
def test_the_tree_holds_what_the_tables_say(compared):
    tree = load(compared / "comparison.nc")
    assert isinstance(tree, xr.DataTree)
    assert set(tree.children) == {"predictions", "decisions"}
    decisions = tree["decisions"].to_dataset()
    gained = (decisions["utility"] - decisions["utility"].isel(option=0)).mean("draw").isel(patient=0).values
    np.testing.assert_allclose(gained, pd.read_csv(compared / "decisions.csv")["difference"], rtol=1e-6, atol=1e-9)
    assert tree["predictions"]["il6"].attrs["units"] == "pg/mL"
    weighed = -100 * decisions["damage_peak"] - 10 * decisions["burden_doublings"]
    np.testing.assert_allclose(decisions["utility"], weighed, rtol=1e-12)


@pytest.mark.slow
def test_the_decision_is_at_the_last_reading(compared):
    assert pd.read_csv(compared / "draws.csv")["now_h"].tolist() == [60.0]


@pytest.mark.slow
def test_the_optimum_is_no_worse_than_the_grid(fit, tmp_path):
    folder = tmp_path / "out"
    asked = [f"fit={fit}", "force=true", "num_draws=40", "num_times=145", "treatments=[tocilizumab]", "start_h=[0, 48]"]
    assert run(["compare", *asked, "optimum.search=true", "optimum.num_draws=40", f"hydra.run.dir={folder}"]) == 0
    best = pd.read_csv(folder / "optimum.csv").iloc[0]
    assert 60 <= best["start_h"] < 672
    assert best["gain"] >= pd.read_csv(folder / "decisions.csv")["difference"].max() - 0.1


@pytest.mark.slow
def test_one_seed_compares_the_same(tmp_path):
    for name in ("a", "b"):
        assert run(["compare", *SHORT, f"hydra.run.dir={tmp_path / name}"]) == 0
    a, b = (pd.read_csv(tmp_path / name / "decisions.csv") for name in ("a", "b"))
    pd.testing.assert_frame_equal(a, b)


REFUSED = [
    ("treatments=[]", "no arm to compare"),
    ("treatments=[aspirin]", "no treatment `aspirin`"),
    ("start_h=[]", "`start_h` of arm `tocilizumab` is empty"),
    ("start_h=soon", "`start_h` is 'soon'"),
    ("dose=[0.0]", "`dose` of arm `tocilizumab` is 0"),
    ("clock=tea", "no clock `tea`; clocks: now, trigger, fever, il6"),
    ("start_h=[-5]", "it is past; start later"),
    ("until_h=0.0", "ends at"),
    ("until_h=24.0 start_h=[48]", "not before the end, 24 h"),
    ("window.share=2.0", "`window.share` is 2"),
    ("num_draws=1", "`num_draws` is 1"),
    ("curves=[tears]", "`curves` needs `tears`"),
    ("outcome=il6", "`utility` weighs `damage_peak`, which is not among the outcomes"),
    ("model=minimal trigger=lps_bolus prior=storm outcome=il6 utility=il6", "takes no doses to `tocilizumab`"),
    ("model=minimal trigger=lps_bolus prior=storm", "which Minimal lacks"),
    ("fit=nowhere", "no such run folder"),
    ("+arms.a={start_h:3}", "`arms.a` names no treatment"),
    ("+arms.a={treatment:tocilizumab,when:3}", "`arms.a` has no key `when`"),
    ("next_reading.sd=0.0", "`next_reading` has sd 0"),
]
FAST = [row for row in REFUSED if row[0] in ("treatments=[aspirin]", "start_h=[-5]", "curves=[tears]", "fit=nowhere")]


@pytest.mark.parametrize(("more", "message"), some(REFUSED, FAST))
def test_bad_input_is_refused(more, message, refused):
    refused(message, "compare", *SHORT[:3], *more.split())


@pytest.mark.slow
def test_a_fit_that_failed_is_refused_unless_forced(fit, tmp_path, capsys):
    failed = tmp_path / "failed"
    shutil.copytree(fit, failed)
    tree = load(fit / "posterior.nc")
    verdict = json.loads(tree.attrs["verdict"]) | {"reasons": ["R-hat 2.0 is not below 1.01"]}
    tree.attrs["verdict"] = json.dumps(verdict)
    (failed / "posterior.nc").unlink()
    save(tree, failed / "posterior.nc")
    assert run(["compare", f"fit={failed}", f"hydra.run.dir={tmp_path / 'out'}"]) == 2
    assert "failed its verdict" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["now_h=20.0"], "before the last reading of 'S01', 60 h"),
        (["trigger=cart"], "`trigger` and `fit` are both given"),
        (["outcome=il6"], "not among the outcomes"),
    ],
)
@pytest.mark.slow
def test_what_does_not_fit_the_fit_is_refused(fit, more, message, tmp_path, capsys):
    assert run(["compare", f"fit={fit}", "force=true", *more, f"hydra.run.dir={tmp_path / 'out'}"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_what_would_have_been_is_asked_for_by_name(fit, tmp_path):
    folder = tmp_path / "out"
    asked = [
        "num_draws=20",
        "num_times=97",
        "treatments=[tocilizumab]",
        "start_h=[24]",
        "clock=trigger",
        "rewrite_past=true",
    ]
    assert run(["compare", f"fit={fit}", "force=true", *asked, f"hydra.run.dir={folder}"]) == 0
    assert pd.read_csv(folder / "draws.csv")["now_h"].tolist() == [0.0]
