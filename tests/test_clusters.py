"""Sweeps on real clusters: SLURM on one node (`make test-slurm`) and Ray (`make test-ray`); jobs killed and out of time."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import xarray as xr

from cytostorm.scripts.sweeps import status
from cytostorm.scripts.sweeps.roster import rows

FIT = ["fit", "debug=quick", "report=false", "sampler.num_warmup=200", "sampler.block=25"]
SHORT = [*FIT, "sampler.num_draws=400", "seed=range(0,11)"]
LONG = [*FIT, "sampler.num_draws=1600", "sampler.thin=25", "seed=11"]  # longer than a stay on a node


def sweep(root, *argv, code=0):
    command = [sys.executable, "-c", "from cytostorm.scripts.cli import main; main()", "sweep", *argv, f"sweep.dir={root}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def look(root):
    """Every job's state by its seed."""
    found = {}
    for row in rows(root):
        folder = root / "jobs" / row["key"]
        one = status.read(folder)
        seed = next(x for x in row["overrides"] if x.startswith("seed="))
        found[int(seed.removeprefix("seed="))] = (folder, status.look(folder, status.asked([one])))
    return found


def until(true, seconds):
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.2)
    return found


def at_work(root, seeds):
    """A job that has some blocks on disk, and will have more."""
    for seed in seeds:
        folder, one = look(root)[seed]
        if one.state == "running" and len(list(folder.glob("blocks/*.block"))) > 3:
            return folder, one
    return None


def same(root, other):
    """All draws of two sweeps, to the bit."""
    ours, theirs = look(root), look(other)
    assert ours.keys() == theirs.keys()
    for seed, (folder, _) in ours.items():
        one, two = (xr.open_datatree(f / "posterior.nc", engine="h5netcdf") for f in (folder, theirs[seed][0]))
        for group in ("posterior", "sample_stats", "log_likelihood"):
            xr.testing.assert_equal(one[group].to_dataset(), two[group].to_dataset())


def killed(root, seeds):
    """Kill a job at its work; returns its folder and its blocks."""
    folder, one = until(lambda: at_work(root, seeds), 120)
    os.kill(one.pid, signal.SIGKILL)
    return folder, {path: path.stat().st_mtime_ns for path in folder.glob("blocks/*.block")}


@pytest.mark.slurm
def test_a_sweep_on_slurm_survives_a_kill_and_a_time_limit(tmp_path):
    if not shutil.which("sbatch"):
        pytest.skip("there is no SLURM here: scripts/slurm_local.sh up")
    root = tmp_path / "slurm"
    slurm = ["launcher=slurm", "launcher.cores=1", "launcher.memory=1500MB", f"launcher.folder={tmp_path}"]
    # submitit asks for a signal 90 s before the limit: the long fit is out of time after 150 s, and again.
    assert "queued" in sweep(root, *LONG, *slurm, "launcher.time=0:04:00")
    assert "queued" in sweep(root, *SHORT, *slurm, "launcher.time=0:10:00")
    folder, blocks = killed(root, range(11))
    assert blocks
    until(lambda: status.look(folder).state == "stopped", 60)
    until(lambda: "out of time" in look(root)[11][1].reason or look(root)[11][1].attempts > 1, 240)
    until(lambda: all(one.state in ("done", "stopped") for seed, (_, one) in look(root).items() if seed < 11), 600)
    assert [one.state for seed, (_, one) in look(root).items() if seed < 11].count("stopped") == 1

    out = sweep(root, *SHORT, *slurm, "launcher.time=0:10:00")
    assert "10 are done, 1 go on from where they stopped" in out
    until(lambda: status.read(folder).attempts == 2 or status.read(folder).state == "done", 240)
    still = {path: path.stat().st_mtime_ns for path in folder.glob("blocks/*.block")}
    assert all(still[path] == blocks[path] for path in blocks.keys() & still.keys())
    until(lambda: all(one.state == "done" for _, one in look(root).values()), 1800)
    assert status.read(folder).attempts == 2
    assert look(root)[11][1].attempts > 1
    assert "0 to run" in sweep(root, *SHORT, *slurm) or "11 are done" in sweep(root, *SHORT, *slurm)
    sweep(tmp_path / "local", *SHORT, "launcher.jobs=2")
    sweep(tmp_path / "local", *LONG)
    same(root, tmp_path / "local")


@pytest.mark.ray
def test_a_sweep_on_ray_survives_a_killed_worker(tmp_path):
    pytest.importorskip("ray")
    root = tmp_path / "ray"
    code = "from cytostorm.scripts.cli import main; main()"
    argv = ["sweep", *FIT, "sampler.num_draws=400", "seed=range(0,4)", "launcher=ray", f"sweep.dir={root}"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    until(lambda: (root / "sweep.json").exists(), 60)
    folder, blocks = killed(root, range(4))
    assert blocks
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 0, out
    assert status.read(folder).attempts == 2
    sweep(tmp_path / "local", *argv[1:-2])
    same(root, tmp_path / "local")
