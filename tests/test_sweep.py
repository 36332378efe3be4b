"""Sweeps: what jobs there are, when two are one, what became of each, and one table of them all."""

import fcntl
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cytostorm.scripts.cli import run
from cytostorm.scripts.compose import BadConfig, check, quoted
from cytostorm.scripts.sweeps import clusters, draws, identity, launchers, plan, status, watch
from cytostorm.scripts.sweeps.clusters import Slurm, Task, entry, minutes
from cytostorm.scripts.sweeps.launchers import Halt, Joblib, Local
from cytostorm.scripts.sweeps.roster import rows
from cytostorm.scripts.sweeps.status import Status
from cytostorm.scripts.sweeps.work import Heard, work

TIDY = "subject,time_h,analyte,value,unit\nA,0,il6,1,pg/mL\nA,1,il6,30,pg/mL\n"


def test_overrides_multiply_out_as_in_a_multirun():
    found = list(plan.expanded(["trigger=glob(lps*)", "seed=range(0,3)", "treatment=none"]))
    assert len(found) == 6
    assert found[0] == (("trigger=lps_bolus", "seed=0", "treatment=none"), {"trigger": "lps_bolus", "seed": "0"})
    assert found[-1][1] == {"trigger": "lps_infusion", "seed": "2"}
    assert [one for one, _ in plan.expanded(["~prior.n_u", "+prior.r_u={median: 0.04, fold: 2}"])] == [
        ("~prior.n_u", "+prior.r_u={median: 0.04, fold: 2}")
    ]
    assert [swept["data.path"] for _, swept in plan.expanded(["data.path='a b.csv','c.csv'"])] == ["'a b.csv'", "'c.csv'"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["seed=interval(0,1)"], "has no number of values"),
        (["trigger=glob(nothing*)"], "stands for no value; options: antibody"),
        (["sampler.num_draws=glob(*)"], "is no group of the configuration"),
        (["what is this"], "overrides look like"),
    ],
)
def test_what_cannot_be_counted_out_is_refused(overrides, message):
    with pytest.raises(BadConfig, match=message.replace("(", r"\(")):
        list(plan.expanded(overrides))


def key(*overrides):
    return identity.key("fit", check("fit", overrides))


def test_a_job_is_known_by_its_numbers_and_not_by_names_of_files(tmp_path):
    one, other = tmp_path / "a.csv", tmp_path / "else where" / "b.csv"
    other.parent.mkdir()
    for path in (one, other):
        path.write_text(TIDY)
    known = key("data=csv", f"data.path={one}", "seed=2")
    assert known == key("seed=2", "data=csv", f"data.path={quoted(other)}")
    assert known == key("seed=2", "data=csv", f"data.path={one}", "device.cache_dir=/elsewhere")
    assert known == key("seed=2", "data=csv", f"data.path={one}", "sampler.target_accept=0.90")
    others = [key("seed=3", "data=csv", f"data.path={one}"), key("seed=2", "data=csv", f"data.path={one}", "model.k_r=0.3")]
    other.write_text(TIDY.replace("30", "31"))
    others.append(key("seed=2", "data=csv", f"data.path={other}"))
    assert len({known, *others}) == 4
    other.unlink()
    with pytest.raises(BadConfig, match="no such file"):
        key("seed=2", "data=csv", f"data.path={quoted(other)}")


def test_code_is_known_by_what_it_computes(tmp_path):
    path, meanings = tmp_path / "a.py", []
    for text in (
        'def f(x):\n    """Doubles."""\n    return 2 * x\n',
        '# twice\ndef f(x):\n    """It doubles."""\n    return (2 *\n        x)  # of x\n',
        'def f(x):\n    """Doubles."""\n    return 3 * x\n',
    ):
        path.write_text(text)
        meanings.append(identity._meaning(path))
    assert meanings[0] == meanings[1] != meanings[2]
    found = {str(path.relative_to(path.parents[1])) for path in identity._sources()}
    assert {"models/minimal.py", "inference/noise.py", "scripts/problem.py", "native/march.c"} & found
    assert not any("sweeps" in name for name in found)


def test_a_sweep_takes_its_own_overrides_and_no_folders_of_jobs():
    argv = ["seed=1,2", "launcher=joblib", "launcher.jobs=2", "sweep.retry=true"]
    assert plan.parted(argv) == (["launcher=joblib", "launcher.jobs=2", "sweep.retry=true"], ["seed=1,2"])
    for word, message in {"hydra.run.dir=x": "have folders of their own", "--resume": "means nothing to a sweep"}.items():
        with pytest.raises(BadConfig, match=message):
            plan.parted([word])


SMALL = ["simulate", "horizon_h=2", "num_times=3"]


@pytest.fixture
def here(monkeypatch):
    """The local launcher runs its jobs in this process: what it starts them by is tested apart."""
    monkeypatch.setattr(Local, "_one", lambda self, folder, place, halt: work(str(folder)))


def states(root):
    return {tuple(row["swept"].values()): status.read(root / "jobs" / row["key"]) for row in rows(root)}


def test_a_sweep_finishes_what_it_can_and_again_does_only_what_is_left(here, tmp_path, capsys):
    root = tmp_path / "sweep"
    command = ["sweep", *SMALL, "trigger=lps_bolus,lps_infusion,viral", f"sweep.dir={root}"]
    assert run(command) == 1
    found = states(root)
    assert [found[name,].state for name in ("lps_bolus", "lps_infusion", "viral")] == ["done", "done", "failed"]
    assert "has no stimulus, which this model needs" in found["viral",].reason
    manifests = {path: path.stat().st_mtime_ns for path in root.glob("jobs/*/manifest.json")}
    assert len(manifests) == 2
    capsys.readouterr()
    assert run(command) == 1
    assert "2 are done, 1 failed before (sweep.retry=true tries them again)" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in manifests} == manifests
    assert states(root)["viral",].attempts == 1
    assert run([*command, "sweep.retry=true"]) == 1
    assert states(root)["viral",].attempts == 2

    assert run(["sweep", "status", str(root)]) == 1
    assert "3 jobs: 2 done, 1 failed" in capsys.readouterr().out
    assert run(["sweep", "collect", str(root)]) == 1
    assert "2 of 3 jobs are collected" in capsys.readouterr().out
    table = pd.read_parquet(root / "results.parquet")
    assert set(table["trigger"]) == {"lps_bolus", "lps_infusion", "viral"}
    assert table.loc[table["trigger"] == "viral", "state"].tolist() == ["failed"]
    peaks = table[table["quantity"] == "il6_peak"].set_index("trigger")["value"]
    assert len(peaks) == 2
    assert np.isfinite(peaks).all()

    # More of the same in the same folder: what is there stays.
    assert run(["sweep", *SMALL, "trigger=lps_bolus", f"sweep.dir={root}"]) == 0
    assert len(rows(root)) == 3
    assert run(["sweep", *SMALL, "trigger=lps_bolus", "horizon_h=3", f"sweep.dir={root}"]) == 0
    assert len(rows(root)) == 4


def test_multirun_is_a_sweep(here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run([*SMALL, "-m", "seed=0,1"]) == 0
    (root,) = (tmp_path / "runs" / "sweep").iterdir()
    assert [one.state for one in states(root).values()] == ["done", "done"]
    assert run(["sweep", *SMALL, "seed=0,1"]) == 0
    assert len(list((tmp_path / "runs" / "sweep").iterdir())) == 1


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nothing"], "no job `nothing` to sweep"),
        (["fit", "sede=1,2"], "no key `sede`"),
        (["fit", "launcher=abacus"], "Could not find 'launcher/abacus'"),
        (["fit", "launcher.jobs=0"], "`jobs` of the launcher is 0; give 1 or more"),
        (["fit", "launcher.jobs=2", "launcher.gpus=1"], "give as many"),
        (["fit", "launcher=joblib", "launcher.gpus=1"], "give as many"),
        (["fit", "launcher=slurm", "launcher.time=soon"], "give hours and minutes"),
        (["fit", "launcher=ray", "launcher.memory=much"], "give a number and a unit"),
        (["fit", "hydra.run.dir=x"], "have folders of their own"),
        (["status", "nowhere"], "nowhere holds no sweep"),
        (["collect", "nowhere"], "nowhere holds no sweep"),
        (["status"], "takes the folder of a sweep"),
    ],
)
def test_what_is_no_sweep_is_refused_before_anything_runs(argv, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["sweep", *argv]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not list(tmp_path.iterdir())


def test_a_second_sweep_in_a_folder_waits_for_the_first(tmp_path, capsys):
    with (tmp_path / ".held").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert run(["sweep", *SMALL, "seed=0,1", f"sweep.dir={tmp_path}"]) == 2
    assert "has another sweep under way" in capsys.readouterr().err


def test_an_extra_that_is_missing_is_named_with_the_remedy(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run(["sweep", *SMALL, "seed=0,1", "launcher=ray", f"sweep.dir={tmp_path}"]) == 2
    assert "launcher=ray needs ray, which is not installed; pip install 'cytostorm[ray]'" in capsys.readouterr().err


def test_slurm_that_is_not_here_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    argv = ["launcher=slurm", f"launcher.folder={tmp_path / 'submitit'}", f"sweep.dir={tmp_path / 'a'}"]
    assert run(["sweep", *SMALL, "seed=0,1", *argv]) == 2
    assert "launcher=slurm finds no SLURM here" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "number"), [("2:30", 150), ("0:00:30", 1), ("1-0:00", 1440), (45, 45), ("10:00:00", 600)])
def test_time_limits_are_read_as_slurm_writes_them(text, number):
    assert minutes(text) == number


def test_out_of_time_is_queued_again_and_the_queue_is_known_by_its_entries(tmp_path, monkeypatch):
    Status("running", attempts=1, done=10, total=20).write(tmp_path)
    again = Task(str(tmp_path)).checkpoint()
    assert again.function.place == str(tmp_path)
    found = status.read(tmp_path)
    assert (found.state, found.done) == ("queued", 10)
    assert "out of time" in found.reason
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert entry() == "7_3"
    Status("running", where="7_3", host="elsewhere").write(tmp_path)
    assert status.look(tmp_path, frozenset(["7_3", "7_4"])).state == "running"
    assert status.look(tmp_path, frozenset(["7_4"])).state == "stopped"


def test_a_job_that_submitit_gives_up_is_stopped_and_the_same_sweep_goes_on_with_it(tmp_path, monkeypatch):
    """Out of time once more than it may be: submitit's own handler lets an error rise in the job."""
    from submitit.core.job_environment import SignalHandler
    from submitit.helpers import DelayedSubmission

    from cytostorm.scripts import simulate

    command = ["sweep", *SMALL, "trigger=lps_bolus", f"sweep.dir={tmp_path / 'sweep'}"]
    monkeypatch.setattr(Local, "_one", lambda self, folder, place, halt: None)
    assert run(command) == 1
    (folder,) = (tmp_path / "sweep" / "jobs").iterdir()
    task = Task(str(folder))
    delayed = DelayedSubmission(task)
    delayed.set_timeout(timeout_min=0, max_num_timeout=0)
    paths = SimpleNamespace(submitted_pickle=tmp_path / "task.pkl")
    handler = SignalHandler(SimpleNamespace(global_rank=0), paths, delayed)
    with monkeypatch.context() as patched:
        patched.setattr(simulate, "main", lambda cfg, folder: handler.checkpoint_and_try_requeue(signal.SIGUSR2))
        assert task() == "stopped"
    found = status.read(folder)
    assert found.state == "stopped"
    assert "timed-out too many times" in found.reason
    monkeypatch.setattr(Local, "_one", lambda self, folder, place, halt: work(str(folder)))
    assert run(command) == 0


def test_a_job_runs_while_its_lock_is_held_and_was_stopped_where_it_is_not(tmp_path):
    Status("running", host=os.uname().nodename).write(tmp_path)
    with status.holding(tmp_path) as mine:
        assert mine
        assert status.look(tmp_path).state == "running"
        with status.holding(tmp_path, patience=0) as also:
            assert not also
    assert status.look(tmp_path).state == "stopped"
    (tmp_path / "manifest.json").write_text("{}")  # its last file: it was killed after all was done
    assert status.look(tmp_path).state == "done"


@pytest.mark.parametrize("ago", [-3600.0, 5.0, 86400.0])
def test_jobs_elsewhere_are_judged_by_the_clock_of_the_file_system(tmp_path, monkeypatch, ago):
    """This machine's clock may jump by years: only what was written when counts."""
    Status("running", host="elsewhere").write(tmp_path)
    then = (tmp_path / "status.json").stat().st_mtime - ago
    os.utime(tmp_path / "status.json", (then, then))
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert status.look(tmp_path).state == ("stopped" if ago > status.SILENT else "running")


def test_what_is_left_is_told_by_a_clock_that_does_not_jump(tmp_path, monkeypatch):
    now = iter([100.0, 110.0, 120.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    monkeypatch.setattr(time, "time", lambda: -1e9)
    heard = Heard(tmp_path, Status("running"))
    for done in (50, 60, 70):  # it goes on from 50
        heard(done, 100)
    found = status.read(tmp_path)
    assert (found.done, found.total, found.remaining) == (70, 100, 30.0)
    assert watch.remaining(found) == "30 s"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"state": "running", "hours": 3}'])
def test_a_status_that_cannot_be_read_costs_nothing(tmp_path, text):
    (tmp_path / "status.json").write_text(text)
    assert status.read(tmp_path).state in ("queued", "running")


@pytest.mark.parametrize("name", ["../../../tmp/evil", "0123456789ABCDEF", "/etc"])
def test_a_key_that_is_no_key_is_no_path(tmp_path, name, capsys):
    row = {"job": "fit", "overrides": [], "swept": {}, "key": name}
    (tmp_path / "sweep.json").write_text(json.dumps({"jobs": [row]}))
    for verb in ("status", "collect"):
        assert run(["sweep", verb, str(tmp_path)]) == 2
        assert "is no job" in capsys.readouterr().err


def test_a_look_imports_nothing_that_computes():
    program = "import sys, cytostorm.scripts.sweep, cytostorm.scripts.sweeps.watch, cytostorm.scripts.faults as f;"
    program += "sys.exit(','.join({'jax', 'pandas', 'numpyro', 'hydra'} & sys.modules.keys()) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def fitted(root, quick_run, number):
    """A sweep of fits that are finished already: the folder of one, by links, under several keys."""
    jobs = [plan.Job("fit", (f"seed={i}",), {"seed": str(i)}, f"{i:016x}") for i in range(number)]
    plan.keep(root, jobs)
    for job in jobs:
        job.folder(root).mkdir(parents=True)
        for path in quick_run.iterdir():
            if path.is_file():
                os.link(path, job.folder(root) / path.name)
        Status("done", passed=False).write(job.folder(root))
    return jobs


def test_a_broken_folder_never_costs_the_others(quick_run, tmp_path, capsys):
    jobs = fitted(tmp_path, quick_run, 4)
    assert run(["sweep", "collect", str(tmp_path)]) == 0
    for name in ("posterior.nc", "manifest.json"):
        path = jobs[1 if name == "manifest.json" else 2].folder(tmp_path) / name
        path.unlink()
        path.write_bytes(b"damaged")
    capsys.readouterr()
    assert run(["sweep", "collect", str(tmp_path)]) == 1
    assert "posterior.nc cannot be read" in capsys.readouterr().err
    table = pd.read_parquet(tmp_path / "results.parquet")
    here = table[table["parameter"] == "gamma"]
    assert sorted(here["seed"]) == [0, 2, 3]
    np.testing.assert_array_equal(here["median"], pd.read_csv(quick_run / "summary.csv", index_col=0).loc["gamma", "median"])
    assert "cannot be read" in table.loc[table["seed"] == 1, "reason"].iloc[0]
    store = xr.open_datatree(tmp_path / "results.zarr", engine="zarr", consolidated=False)["posterior"]
    assert store["seed"].values.tolist() == [0, 3]
    assert store["gamma"].shape == (2, 200)
    whole = xr.open_dataset(quick_run / "posterior.nc", group="posterior", engine="h5netcdf")["gamma"].values
    assert np.isin(store["gamma"].values, whole).all()


def test_entries_of_vectors_are_told_by_their_labels_and_without_labels_refused(tmp_path):
    x = np.arange(2 * 100 * 3.0).reshape(2, 100, 3)
    tree = xr.Dataset({name: (("chain", "draw", name[-1]), x) for name in ("v_a", "v_b")})
    for name, labels in {"text": ["k_l", "u0", "n"], "number": [4, 5, 6]}.items():
        (tmp_path / name).mkdir()
        tree[["v_a"]].assign_coords(a=labels).to_netcdf(
            tmp_path / name / "posterior.nc", group="posterior", engine="h5netcdf"
        )
        found, faults = draws.posterior([("one", tmp_path / name)])
        assert (list(found), faults) == ([f"v_a[{label}]" for label in labels], [])
        np.testing.assert_array_equal(found[f"v_a[{labels[1]}]"].values[0], x[..., 1].ravel())
    tree[["v_b"]].to_netcdf(tmp_path / "posterior.nc", group="posterior", engine="h5netcdf")
    found, faults = draws.posterior([("one", tmp_path)])
    assert not found.sizes
    assert "no labels of `b`" in faults[0]


def start(root, *more):
    code = "from cytostorm.scripts.cli import main; main()"
    argv = ["sweep", "fit", "debug=quick", "report=false", *more, f"sweep.dir={root}"]
    return subprocess.Popen([sys.executable, "-c", code, *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def until(true, seconds=120.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def results(root):
    found = {}
    for row in rows(root):
        with xr.open_dataset(root / "jobs" / row["key"] / "posterior.nc", group="posterior", engine="h5netcdf") as one:
            found[row["swept"]["seed"]] = one.load()
    return found


LONG = ["seed=0,1,2", "sampler.num_warmup=200", "sampler.num_draws=600", "sampler.block=25"]


def running(root, blocks=1):
    """The jobs that have so many blocks on disk."""
    if not (root / "sweep.json").exists():
        return []
    found = {row["key"]: status.read(root / "jobs" / row["key"]) for row in rows(root)}
    at = {key: len(list((root / "jobs" / key / "blocks").glob("*.block"))) for key in found}
    return [one for key, one in found.items() if one.state == "running" and at[key] > blocks]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["local", "joblib"])
def test_killed_and_interrupted_jobs_finish_with_the_same_draws(tmp_path, launcher):
    """One job is killed, then the sweep is interrupted by Ctrl-C: it leaves with 130, and the same command ends it."""
    whole, root = tmp_path / "whole", tmp_path / "killed"
    start(whole, *LONG, "launcher.jobs=1").communicate()
    first = start(root, *LONG, f"launcher={launcher}", "launcher.jobs=2")
    until(lambda: running(root), 400)
    os.kill(running(root)[0].pid, signal.SIGKILL)
    until(lambda: len(running(root, 3)) > 0, 400)
    first.send_signal(signal.SIGINT)
    out, _ = first.communicate(timeout=120)
    assert first.returncode == 130, out
    left = [one.state for one in states(root).values()]
    assert "stopped" in left
    assert set(left) <= {"stopped", "queued", "done"}
    again = start(root, *LONG, f"launcher={launcher}", "launcher.jobs=2")
    out, _ = again.communicate(timeout=900)
    assert again.returncode == 0, out
    for seed, one in results(whole).items():
        xr.testing.assert_equal(one, results(root)[seed])


def test_workers_that_stay_are_counted():
    for jobs in (0, -2):
        with pytest.raises(ValueError, match="give 1 or more, or -1"):
            Joblib(jobs=jobs)
    assert Slurm(time="1:00").waits is False
    assert Path(plan.Job("fit", (), {}, "a" * 16).folder(Path("x"))) == Path("x/jobs") / ("a" * 16)


GPU_JOB = """#!/bin/sh
begin=$(date +%s%N)
sleep 0.3
echo "$CUDA_VISIBLE_DEVICES $begin $(date +%s%N)" > "$3/gpu"
"""


def on_gpus(launcher, tmp_path):
    """Launch four jobs; returns the GPU of each, and claims that no two had one at once."""
    folders = [tmp_path / "jobs" / str(i) for i in range(4)]
    for folder in folders:
        folder.mkdir(parents=True)
        Status("done").write(folder)
    launcher.launch(folders, lambda folder: None, Halt())
    rows = [(folder / "gpu").read_text().split() for folder in folders]
    for name in {row[0] for row in rows}:
        times = sorted((int(begin), int(end)) for own, begin, end in rows if own == name)
        assert all(one[1] <= other[0] for one, other in itertools.pairwise(times))
    return [row[0] for row in rows]


def test_every_job_of_this_machine_has_a_gpu_of_its_own(tmp_path, monkeypatch):
    fake = tmp_path / "job.sh"
    fake.write_text(GPU_JOB)
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert set(on_gpus(Local(jobs=2, gpus=2), tmp_path / "a")) == {"0", "1"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-7f")  # what a cluster gave to the sweep
    assert set(on_gpus(Local(jobs=2, gpus=2), tmp_path / "b")) == {"4", "GPU-7f"}
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,GPU-7f"
    with pytest.raises(BadConfig, match="shows 2; give no more"):
        Local(jobs=2, gpus=3).launch([tmp_path], lambda folder: None, Halt())


@pytest.mark.slow
def test_every_worker_that_stays_has_a_gpu_of_its_own(tmp_path, monkeypatch):
    def pooled(place, names):
        import time
        from pathlib import Path

        from cytostorm.scripts.sweeps.launchers import claim

        begin = time.time_ns()
        claim(Path(place).parent.parent, names)
        time.sleep(0.3)
        (Path(place) / "gpu").write_text(f"{os.environ['CUDA_VISIBLE_DEVICES']} {begin} {time.time_ns()}")
        return place

    monkeypatch.setattr(launchers, "pooled", pooled)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    assert set(on_gpus(Joblib(jobs=2, gpus=2), tmp_path)) == {"4", "5"}


@pytest.mark.slow
def test_a_gpu_is_free_again_when_its_worker_has_died(tmp_path):
    program = "import os, sys, pathlib; from cytostorm.scripts.sweeps.launchers import claim;"
    program += "claim(pathlib.Path(sys.argv[1]), ['4', '5']);"
    program += "print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program, str(tmp_path)]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    try:
        busy, _, _ = select.select([worker.stdout for worker in workers], [], [], 600)
        first = next(worker for worker in workers if worker.stdout is busy[0])
        assert first.stdout.readline().strip() in ("4", "5")
        first.kill()
        assert {worker.stdout.readline().strip() for worker in workers if worker is not first} == {"4", "5"}
    finally:
        for worker in workers:
            worker.communicate()


def test_slurm_is_asked_for_the_gpus_of_each_job(tmp_path, monkeypatch):
    asked = {}
    executor = SimpleNamespace(
        update_parameters=asked.update, batch=nullcontext, submit=lambda task: SimpleNamespace(job_id="7_0")
    )
    monkeypatch.setattr(clusters, "extra", lambda *_: SimpleNamespace(SlurmExecutor=lambda *_, **__: executor))
    folder = tmp_path / "sweep" / "jobs" / "a"
    folder.mkdir(parents=True)
    Slurm(gpus=1, folder=str(tmp_path / "submitit")).launch([folder], lambda folder: None, Halt())
    assert asked["gpus_per_node"] == 1
    assert status.read(folder).where == "7_0"
