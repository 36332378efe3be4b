"""Runs that survive: blocks on disk, interruption, corruption, locks, and the kill of the whole process."""

import fcntl
import random
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from picks import some
from posteriors import continued

from cytostorm.inference import NUTS, Blocks, Starting, load
from cytostorm.scripts.cli import run

KEY = jax.random.PRNGKey(3)
SAMPLER = NUTS(num_warmup=60, num_draws=60, num_chains=2, start=Starting(num_screened=32), block=20)


@pytest.fixture(scope="module")
def whole(explosive):
    """Some of its solves fail, so that the counts of failures must survive as well."""
    return SAMPLER.sample(explosive, KEY)


def same(one, other):
    np.testing.assert_array_equal(one.values["w"], other.values["w"])
    for name, x in one.stats.items():
        np.testing.assert_array_equal(x, other.stats[name])
    np.testing.assert_array_equal(one.failed_share, other.failed_share)
    assert (one.num_solves, one.num_failed, one.starts.num_failed) == (
        other.num_solves,
        other.num_failed,
        other.starts.num_failed,
    )


def test_a_block_is_read_as_it_was_written_and_a_damaged_one_is_not(tmp_path):
    blocks, content = Blocks(tmp_path / "b"), {"x": np.arange(3.0), "n": np.array(2)}
    blocks.write(0, 1, content)
    found = blocks.read(0, 1, lambda: content)
    assert found is not None
    np.testing.assert_array_equal(found["x"], content["x"])
    assert blocks.read(0, 2, lambda: content) is None
    assert blocks.read(0, 1, lambda: {"x": np.arange(4.0), "n": np.array(2)}) is None
    path = next((tmp_path / "b").glob("*.block"))
    damaged = bytearray(path.read_bytes())
    damaged[60] ^= 1
    path.write_bytes(bytes(damaged))
    assert blocks.read(0, 1, lambda: content) is None
    path.write_bytes(path.read_bytes()[:20])
    assert blocks.read(0, 1, lambda: content) is None
    blocks.clear()
    assert not (tmp_path / "b").exists()


def test_what_is_lost_or_damaged_is_sampled_again_to_the_bit(explosive, whole, tmp_path):
    assert whole.num_failed > 0
    same(whole, SAMPLER.sample(explosive, KEY, blocks=Blocks(tmp_path / "b")))
    files = sorted((tmp_path / "b").glob("*.block"))
    assert len(files) == 1 + 2 * 7
    for path in files[3:7]:
        path.unlink()
    files[-1].write_bytes(b"damaged")
    same(whole, SAMPLER.sample(explosive, KEY, blocks=Blocks(tmp_path / "b")))
    files[0].unlink()  # even the start
    same(whole, SAMPLER.sample(explosive, KEY, blocks=Blocks(tmp_path / "b")))


@pytest.mark.parametrize("chains", some(["threads", "vectorized"], ["threads"]))
def test_an_interrupted_run_continues_to_the_bit(explosive, tmp_path, chains):
    sampler = NUTS(num_warmup=60, num_draws=60, num_chains=2, start=Starting(num_screened=32), block=20, chains=chains)
    same(sampler.sample(explosive, KEY), continued(sampler, explosive, KEY, tmp_path / "b"))


def test_a_folder_in_use_or_of_another_configuration_is_refused(tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    with (folder / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert run(["fit", "debug=quick", f"hydra.run.dir={folder}"]) == 2
    assert "is in use by another process" in capsys.readouterr().err
    (folder / "config.yaml").write_text("seed: 1\n")
    assert run(["fit", "debug=quick", f"hydra.run.dir={folder}"]) == 2
    assert "holds an unfinished run of another configuration" in capsys.readouterr().err
    assert (folder / "config.yaml").read_text() == "seed: 1\n"


FIT = ["fit", "debug=quick", "report=false", "sampler.num_warmup=200", "sampler.num_draws=300", "sampler.block=25"]


def start(folder):
    code = "from cytostorm.scripts.cli import main; main()"
    command = [sys.executable, "-c", code, *FIT, f"hydra.run.dir={folder}"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_a_run_killed_at_any_moment_ends_with_the_same_draws(tmp_path):
    """Killed at random moments and once terminated, always continued in the same folder."""
    clock = time.perf_counter()
    assert start(tmp_path / "whole").wait() == 0
    duration = time.perf_counter() - clock
    expected = load(tmp_path / "whole" / "posterior.nc")
    dice = random.Random(4)
    for i in range(4):
        process = start(tmp_path / "killed")
        time.sleep(duration * dice.uniform(0.3, 0.9))
        process.send_signal(signal.SIGKILL if i else signal.SIGTERM)
        if process.wait() == 0:
            break
    if not (tmp_path / "killed" / "manifest.json").exists():
        assert start(tmp_path / "killed").wait() == 0
    found = load(tmp_path / "killed" / "posterior.nc")
    for group in ("posterior", "sample_stats", "log_likelihood"):
        for name, x in expected[group].data_vars.items():
            np.testing.assert_array_equal(x, found[group][name])
    assert not (tmp_path / "killed" / "blocks").exists()
