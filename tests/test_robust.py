"""Faults that are real: full and read-only disks, signals, memory that cannot be had, folders from strangers."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
import xarray as xr
import yaml

from cytostorm.inference import Blocks, load
from cytostorm.scripts import whole
from cytostorm.scripts.cli import run
from cytostorm.scripts.compose import BadConfig, build
from cytostorm.scripts.predict import finished

SIMULATE = ["simulate", "num_times=400"]
FIT = ["fit", "debug=quick", "report=false", "sampler.num_warmup=200", "sampler.num_draws=300", "sampler.block=25"]


@contextmanager
def disk(folder, size):
    """A small file system of its own; tests that need one skip where none can be mounted."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here: it takes the rights of root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def changed(folder, options):
    """Mount a file system anew with other options."""
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def test_a_full_disk_is_told_and_leaves_no_half_written_result(tmp_path, capsys):
    with disk(tmp_path / "disk", "64k") as place:
        assert run([*SIMULATE, f"hydra.run.dir={place / 'run'}"]) == 1
        error = capsys.readouterr().err
        assert "cannot be written, for the disk is full" in error
        assert "Traceback" not in error
        assert not (place / "run" / "manifest.json").exists()
        changed(place, "size=16m")
        assert run([*SIMULATE, f"hydra.run.dir={place / 'run'}"]) == 0
        assert (place / "run" / "manifest.json").exists()


def test_a_file_is_whole_or_as_it_was_before(tmp_path):
    with disk(tmp_path / "disk", "64k") as place:
        whole.write(place / "a", "old")
        with pytest.raises(OSError, match="No space left"):
            whole.write(place / "a", "x" * 200_000)
        blocks = Blocks(place / "blocks")
        with pytest.raises(OSError, match="No space left"):
            blocks.write(0, 0, np.zeros(20_000))
        assert blocks.read(0, 0) is None
        assert (place / "a").read_text() == "old"
        assert {path.name for path in place.iterdir()} == {"a", "blocks"}


@pytest.mark.parametrize("made", [True, False])
def test_a_folder_that_may_not_be_written_is_refused(tmp_path, capsys, made):
    with disk(tmp_path / "disk", "1m") as place:
        if made:
            (place / "run").mkdir()
        changed(place, "ro")
        assert run([*SIMULATE, f"hydra.run.dir={place / 'run'}"]) == 2
        error = capsys.readouterr().err
        assert "cannot be written (Read-only file system); give a `hydra.run.dir` that can" in error
        assert "Traceback" not in error
        assert run(["sweep", *SIMULATE, "seed=0,1", f"sweep.dir={place / 'sweep'}"]) == 2
        assert "cannot be written (Read-only file system)" in capsys.readouterr().err


def start(folder):
    code = "from cytostorm.scripts.cli import main; main()"
    command = [sys.executable, "-c", code, *FIT, f"hydra.run.dir={folder}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def blocks_on_disk(process, folder, number=4):
    while len(list(folder.glob("blocks/*.block"))) < number:
        assert process.poll() is None
        time.sleep(0.02)


def same(one, other):
    first, second = load(one / "posterior.nc"), load(other / "posterior.nc")
    for group in ("posterior", "sample_stats", "log_likelihood"):
        xr.testing.assert_equal(first[group].to_dataset(), second[group].to_dataset())


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("robust") / "run"
    process = start(folder)
    process.communicate()
    assert process.returncode == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_fit_saves_leaves_and_continues_to_the_bit(uninterrupted, tmp_path, number, code):
    process = start(tmp_path / "run")
    blocks_on_disk(process, tmp_path / "run")
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert f"the same command with hydra.run.dir={tmp_path / 'run'} continues" in error
    assert "Traceback" not in error
    assert start(tmp_path / "run").communicate()
    assert (tmp_path / "run" / "manifest.json").exists()
    same(uninterrupted, tmp_path / "run")


@pytest.mark.slow
def test_ctrl_c_twice_leaves_at_once_and_loses_no_block(uninterrupted, tmp_path):
    process = start(tmp_path / "run")
    blocks_on_disk(process, tmp_path / "run")
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    process.communicate(timeout=60)
    assert process.returncode == 130
    start(tmp_path / "run").communicate()
    same(uninterrupted, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("size", ["100k", "500k"])
def test_a_disk_that_fills_while_sampling_costs_nothing_that_was_finished(uninterrupted, tmp_path, size):
    with disk(tmp_path / "disk", size) as place:
        process = start(place / "run")
        _, error = process.communicate()
        assert process.returncode == 1
        assert "cannot be written, for the disk is full" in error
        assert "Traceback" not in error
        assert not {"manifest.json", "posterior.nc"} & {path.name for path in (place / "run").iterdir()}
        kept = {path: path.stat().st_mtime_ns for path in place.glob("run/blocks/*.block")}
        assert kept
        changed(place, "size=50m")
        process = start(place / "run")
        _, error = process.communicate()
        assert process.returncode == 0, error
        same(uninterrupted, place / "run")


def test_memory_that_cannot_be_had_is_told(tmp_path, capsys):
    assert run(["simulate", "num_times=10000000000000", f"hydra.run.dir={tmp_path / 'run'}"]) == 1
    error = capsys.readouterr().err
    assert "out of memory; give the job more, or ask for less" in error
    assert "Traceback" not in error


FORBIDDEN = [
    "os.system",
    "cytostorm.scripts.whole.write",
    "cytostorm.scripts.cli.run",
    "cytostorm.inference.save",
    "cytostorm.inference.declare",
    "cytostorm.inference.decisions.outcomes.Path",
    "cytostorm.scripts.sweeps.work.work",
    "cytostorm.scripts.sweeps.launchers.extra",
    "cytostorm.scripts.sweeps.launchers.subprocess",
    "cytostorm.scripts.own.exec",
]


@pytest.mark.parametrize("target", FORBIDDEN)
def test_a_configuration_builds_objects_and_calls_nothing_else(target, tmp_path):
    with pytest.raises(BadConfig, match="`_target_` is"):
        build({"_target_": target, "path": str(tmp_path / "evil"), "text": "x"})
    assert not list(tmp_path.iterdir())


class Evil:
    """What does harm when it is unpickled."""

    def __reduce__(self):
        return os.system, (f"touch {os.environ['EVIL']}",)


def test_no_pickle_of_a_run_folder_is_loaded(tmp_path, monkeypatch):
    """Blocks are arrays: one that holds a pickled object, under a checksum that fits, is refused."""
    import hashlib
    import io

    monkeypatch.setenv("EVIL", str(tmp_path / "harm"))
    buffer = io.BytesIO()
    np.savez(buffer, np.array([Evil()], dtype=object))
    payload = buffer.getvalue()
    blocks = Blocks(tmp_path / "b")
    (tmp_path / "b" / "chain0_00000.block").write_bytes(hashlib.sha256(payload).digest() + payload)
    with pytest.raises(ValueError, match="allow_pickle"):
        blocks.read(0, 0)
    (tmp_path / "posterior.nc").write_bytes(pickle.dumps(Evil()))
    (tmp_path / "config.yaml").write_text("{}")
    with pytest.raises(BadConfig, match="cannot be read"):
        finished(tmp_path)
    assert not (tmp_path / "harm").exists()


def test_a_stranger_s_yaml_makes_no_objects(tmp_path, quick_run, capsys):
    evil = f"!!python/object/apply:os.system ['touch {tmp_path / 'harm'}']"
    (tmp_path / "config.yaml").write_text(f"model: {evil}\n")
    for name in ("posterior.nc", "manifest.json"):
        (tmp_path / name).write_bytes((quick_run / name).read_bytes())
    for argv in (["predict", f"fit={tmp_path}"], ["reproduce", str(tmp_path)]):
        assert run([*argv, f"hydra.run.dir={tmp_path / 'out'}"]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "harm").exists()


def test_a_stranger_s_run_may_not_run_a_file(tmp_path, quick_run, capsys):
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'harm')!r}, 'w')\n")
    config = yaml.safe_load((quick_run / "config.yaml").read_text())
    config["model"] = {"_target_": "cytostorm.scripts.own.model", "path": str(evil)}
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    for name in ("posterior.nc", "manifest.json"):
        (folder / name).write_bytes((quick_run / name).read_bytes())
    one = f"fit={folder}"
    for argv in (
        ["predict", one],
        ["compare", one, "treatments=[tocilizumab]"],
        ["identify", one],
        ["diff", f"fits={{a: {quick_run}, b: {folder}}}"],
        ["reproduce", str(folder)],
    ):
        assert run([*argv, f"hydra.run.dir={tmp_path / 'out'}"]) == 2
        assert "name its file, which is run, with `own=FILE`" in capsys.readouterr().err
    assert not (tmp_path / "harm").exists()


@pytest.mark.slow
def test_names_in_data_are_no_paths(tmp_path):
    """A subject may be called anything: what is written stays in the run folder."""
    table = tmp_path / "a.csv"
    rows = "".join(f"../../evil,{time},il6,{value},pg/mL\n" for time, value in ((0, 1), (2, 90), (4, 20)))
    table.write_text(f"subject,time_h,analyte,value,unit\n{rows}")
    folder = tmp_path / "deep" / "er" / "run"
    short = ["debug=quick", "sampler.num_warmup=20", "sampler.num_draws=20"]
    assert run(["fit", "data=csv", f"data.path={table}", *short, f"hydra.run.dir={folder}"]) == 0
    assert {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")} == {"a.csv", "deep"}
    assert {path.parent for path in tmp_path.rglob("*") if path.is_file() and path != table} == {folder}
    assert json.loads((folder / "manifest.json").read_text())["job"] == "fit"
