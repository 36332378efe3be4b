"""The command line: exit codes, messages, run folders."""

import json

import numpy as np
import pandas as pd
import pytest

from cytostorm.inference import read
from cytostorm.scripts.cli import JOBS, run
from cytostorm.scripts.compose import BadConfig, build

QUICK = ["debug=quick", "report=false", "sampler.num_warmup=30", "sampler.num_draws=30"]


def test_help_lists_the_jobs(capsys):
    assert run(["--help"]) == 0
    assert all(f"  {job} " in capsys.readouterr().out for job in ["fit"])
    assert run([]) == 0
    out = capsys.readouterr().out
    assert all(job in out for job in JOBS)


def test_the_version_is_that_of_the_package(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.count(".") == 2


REFUSED = {
    "job": (["fti"], "no job `fti`; jobs: fit, simulate"),
    "key": (["fit", "sede=1"], "no key `sede`: the configuration has seed"),
    "nested key": (["fit", "model.gama=2"], "no key `model.gama`: `model` has gamma, k_l"),
    "added key": (["fit", "+model.foo=2"], "has no key `foo`; it has: gamma"),
    "option": (["fit", "trigger=lsp"], "Could not find 'trigger/lsp'\n  Available options in 'trigger':\n  antibody"),
    "no option": (["fit", "trigger=null"], "`trigger` is None; name an option of the group: antibody, bacterial"),
    "numbered option": (["fit", "treatment=24"], "`treatment` is 24; name an option of the group: anakinra"),
    "experiment": (["fit", "experiment=none_such"], "Available options in 'experiment':"),
    "type": (["fit", "sampler.num_draws=many"], "`sampler.num_draws` is 'many'; a whole number is expected, as in 1000"),
    "fraction": (["fit", "sampler.num_draws=1.5"], "`sampler.num_draws` is 1.5; a whole number is expected"),
    "group": (["fit", "again=null"], "no key `again`"),
    "no group": (["calibrate", "prior.gamma=null"], "`prior.gamma` is None; a group of keys is expected"),
    "boolean": (["fit", "seed=true"], "`seed` is True; a whole number is expected"),
    "value": (["fit", "sampler.num_draws=-1"], "`num_draws` is -1; give 1 or more"),
    "missing": (["fit", "data=csv"], "`data.path` has no value; give `data.path=...`"),
    "file": (["fit", "data=csv", "data.path=nowhere.csv"], "nowhere.csv: no such file"),
    "analyte": (["fit", "data.analytes=[tnf]"], "Minimal does not predict `tnf`"),
    "dose": (["fit", "trigger.doses.lps.amount=-2"], "`amount` of a dose to `lps` is -2"),
    "target": (["fit", "model._target_=os.system"], "only targets inside `cytostorm.` can be built"),
    "platform": (["fit", "device.platform=abacus"], "`device.platform` is 'abacus'; choose from: cpu, gpu"),
    "grammar": (["fit", "what is this"], "overrides look like `key=value`"),
    "prior": (["fit", "~prior.gamma.fold"], "the prior of `gamma` has the keys median"),
    "synthetic": (["simulate", "synthetic=true"], "give data=synthetic as well"),
    "stimulus": (["simulate", "trigger=viral"], "has no stimulus, which this model needs; use model=network"),
    "drug": (["simulate", "treatment=tocilizumab", "treatment.tocilizumab.drug=x"], "no drug `x`; drugs: tocilizumab"),
    "late dose": (
        ["simulate", "model=network", "trigger=viral", "treatment=antibiotic", "treatment.start_h=600"],
        "comes after the end, 672 h",
    ),
    "gain": (["simulate", "model=network", "model.k_fb=-1"], "`k_fb` is -1"),
    "interpolation": (["fit", "model.k_l=${nowhere}"], "nowhere"),
}


@pytest.mark.parametrize(("argv", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_input_exits_with_2_and_says_what_exists(argv, message, capsys, tmp_path):
    folder = tmp_path / "run"
    where = [f"hydra.run.dir={folder}"] if argv[0] in JOBS else []
    assert run([*argv, *where]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert not folder.exists()


def test_a_bad_table_exits_with_2_and_leaves_no_run(tmp_path, capsys):
    table = tmp_path / "bad.csv"
    table.write_text("subject,time_h,analyte,value,unit\nA,0,il6,-1,pg/mL\n")
    assert run(["fit", "data=csv", f"data.path={table}", f"hydra.run.dir={tmp_path / 'run'}"]) == 2
    assert f"{table}, line 2, column `value`: -1 is negative" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_without_a_gpu_the_devices_found_are_listed(tmp_path, capsys):
    import jax

    if jax.devices()[0].platform == "gpu":
        pytest.skip("there is a GPU")
    assert run(["fit", "device=gpu", f"hydra.run.dir={tmp_path / 'run'}"]) == 2
    assert "device=gpu but JAX finds only: cpu:0" in capsys.readouterr().err


def test_a_finished_run_is_not_overwritten(quick_run, capsys):
    before = (quick_run / "manifest.json").read_text()
    assert run(["fit", *QUICK, f"hydra.run.dir={quick_run}"]) == 2
    assert "holds a finished run" in capsys.readouterr().err
    assert (quick_run / "manifest.json").read_text() == before


@pytest.mark.slow
def test_a_table_of_ones_own_is_fitted_and_strict_fails_a_failed_verdict(tmp_path):
    """A synthetic data set, written by one job, is read back as the user's own table by another."""
    made, fit = tmp_path / "made", tmp_path / "fit"
    drawn = ["data=synthetic", "data.lower_limit=2", "data.upper_limit=500", "data.sigma=0.2"]
    assert run(["simulate", "synthetic=true", *drawn, f"hydra.run.dir={made}"]) == 0
    data = read(made / "data.csv")
    truth = json.loads((made / "truth.json").read_text())
    assert set(data.cens) == {-1, 0, 1}
    assert truth["gamma"] == 0.964
    assert truth["margin"] == pytest.approx(0.4843, rel=1e-3)
    argv = ["fit", "data=csv", f"data.path={made / 'data.csv'}", *QUICK, "strict=true", f"hydra.run.dir={fit}"]
    assert run(argv) == 1
    manifest = json.loads((fit / "manifest.json").read_text())
    assert manifest["passed"] is False
    assert "sigma" in pd.read_csv(fit / "summary.csv", index_col=0).index
    assert not (fit / "report.html").exists()


def test_synthetic_data_are_seeded(tmp_path):
    texts = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        argv = ["simulate", "synthetic=true", "data=synthetic", f"data.seed={seed}", "data.num_subjects=2"]
        assert run([*argv, f"hydra.run.dir={tmp_path / name}"]) == 0
        texts.append((tmp_path / name / "data.csv").read_text())
    assert texts[0] == texts[1] != texts[2]
    assert len(read(tmp_path / "a" / "data.csv")) == 16


def test_simulate_writes_states_read_outs_and_a_summary(tmp_path):
    assert run(["simulate", "trigger=lps_infusion", "horizon_h=8", "num_times=9", f"hydra.run.dir={tmp_path}"]) == 0
    table = pd.read_csv(tmp_path / "trajectory.csv")
    assert list(table.columns) == ["time_h", "state", "value", "unit"]
    assert set(table["state"]) == {"activated", "il6", "regulator"}
    assert table["time_h"].unique().tolist() == list(range(9))
    assert np.all(np.isfinite(table["value"]))
    assert set(pd.read_csv(tmp_path / "readouts.csv")["readout"]) == {"il6"}
    summary = pd.read_csv(tmp_path / "summary.csv", index_col="quantity")
    assert summary.loc["il6_peak", "value"] > 100
    assert summary.loc["margin", "value"] == pytest.approx(0.4843, rel=1e-3)
    assert (tmp_path / "trajectory.png").stat().st_size > 1000
    assert json.loads((tmp_path / "model.json").read_text())["k_l"]["unit"] == "1/h"


def test_any_trigger_meets_any_treatment_at_any_gain(tmp_path):
    story = [
        "model=network",
        "trigger=viral",
        "model.k_fb=4",
        "treatment=[tocilizumab,dexamethasone]",
        "treatment.start_h=96",
    ]
    assert run(["simulate", *story, "num_times=150", f"hydra.run.dir={tmp_path}"]) == 0
    states = pd.read_csv(tmp_path / "trajectory.csv").pivot(index="time_h", columns="state", values="value")
    assert states.loc[:95, "steroid"].max() == 0 < states["steroid"].max()
    assert states.loc[:95, "tocilizumab"].max() == 0 < states["tocilizumab"].max()
    read = pd.read_csv(tmp_path / "readouts.csv")
    assert {"il6", "il6_free", "crp", "ferritin", "temperature", "pressure", "oxygenation", "grade"} <= set(read["readout"])
    assert read["unit"].notna().all()
    summary = pd.read_csv(tmp_path / "summary.csv", index_col="quantity")["value"]
    assert summary["il6_peak"] > 1000
    assert 1 < summary["il6_doubling_time"] < 6


def test_a_failed_simulation_is_told_and_exits_with_1(tmp_path, capsys):
    assert run(["simulate", "solver.max_steps=2", f"hydra.run.dir={tmp_path}"]) == 1
    assert "the solve failed: raise `solver.max_steps`" in capsys.readouterr().out
    assert json.loads((tmp_path / "manifest.json").read_text())["num_failed_solves"] == 1


def test_a_fit_that_cannot_start_says_why_without_a_traceback(tmp_path, capsys):
    assert run(["fit", *QUICK, "solver.max_steps=2", f"hydra.run.dir={tmp_path / 'run'}"]) == 1
    err = capsys.readouterr().err
    assert "prior draws have a finite density" in err
    assert "Traceback" not in err
    assert not (tmp_path / "run" / "manifest.json").exists()


@pytest.mark.slow
def test_benchmark_puts_accuracy_beside_time(tmp_path):
    small = ["methods=[tsit5]", "rtols=[1e-4,1e-7]", "num_draws=4", "num_repeats=2"]
    assert run(["benchmark", *small, f"hydra.run.dir={tmp_path}"]) == 0
    table = pd.read_csv(tmp_path / "benchmark.csv")
    assert (table[["value_ms", "gradient_ms"]] > 0).all(axis=None)
    assert table["gradient_error"].iloc[1] < 0.1 * table["gradient_error"].iloc[0]


@pytest.mark.parametrize("target", ["os.system", "cytostorm.models._private", "cytostorm.models.Nothing", "cytostormx.a"])
def test_only_public_targets_of_the_package_are_built(target):
    with pytest.raises(BadConfig, match="`_target_` is"):
        build({"_target_": target})


@pytest.mark.slow
def test_a_certificate_is_given_to_right_gradients_only(tmp_path, capsys):
    small = ["num_draws=6", "num_few=2"]
    assert run(["certify", *small, f"hydra.run.dir={tmp_path / 'a'}"]) == 0
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert manifest["passed"]
    assert set(manifest["certificate"]) >= {"value", "sensitivity", "finite differences", "batch against loop"}
    assert "PASS" in capsys.readouterr().out
    assert run(["certify", *small, "solver.rtol=0.5", "solver.atol=0.5", f"hydra.run.dir={tmp_path / 'b'}"]) == 1
    assert not json.loads((tmp_path / "b" / "manifest.json").read_text())["passed"]
    assert "FAIL" in capsys.readouterr().out


def test_stability_tells_the_fold_and_draws_it(tmp_path, capsys):
    assert run(["stability", f"hydra.run.dir={tmp_path}"]) == 0
    folds = pd.read_csv(tmp_path / "folds.csv", index_col="condition")["critical_gain"]
    assert folds["no drug"] == pytest.approx(1.708, rel=2e-3)
    assert (tmp_path / "bifurcation.png").stat().st_size > 1000
    assert run(["stability", "model=minimal", f"hydra.run.dir={tmp_path / 'b'}"]) == 2
    assert "stability is for model=network" in capsys.readouterr().err
