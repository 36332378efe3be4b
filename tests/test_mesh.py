"""Lanes shared out over two devices of one processor: the same numbers, and each device its part of the work."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT
from picks import some

from cytostorm.inference import NUTS, SMC, ChEES
from cytostorm.inference.samplers import lanes
from cytostorm.scripts import device
from cytostorm.scripts.cli import run
from cytostorm.scripts.compose import BadConfig

TWO = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}


def shared(*names):
    """What `sharing.py` prints, in a process that has two devices."""
    command = [sys.executable, str(ROOT / "tests" / "sharing.py"), os.environ["CYTOSTORM_CACHE"], *names]
    done = subprocess.run(command, capture_output=True, text=True, env=TWO)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def same(one, both):
    """Two trees of numbers, to rounding."""
    for name, value in one.items():
        np.testing.assert_allclose(both[name], value, rtol=1e-9, err_msg=name)


@pytest.mark.slow
def test_two_devices_give_the_numbers_of_one_and_each_does_its_half():
    found = shared("density", "nuts")
    assert found["told"] == {"platform": "cpu", "kind": "cpu", "count": "2", "mesh": "chains"}
    for name in ("density", "nuts"):
        same(found["one"][name], found["both"][name])
    assert sum(found["one"]["density"]["failures"]) > 0
    assert found["one"]["density"]["failures"] == found["both"]["density"]["failures"]
    # 70 lanes in blocks of at most 32: two blocks of 18 on each device, the last two lanes fill
    assert found["shares"] == {"0": [*range(36)], "1": [*range(36, 70)]}


@pytest.mark.parametrize("name", some(["chees", "smc", "independence"], []))
def test_other_samplers_draw_the_same_on_two_devices(name):
    found = shared(name)
    same(found["one"][name], found["both"][name])


@pytest.fixture
def four(monkeypatch):
    monkeypatch.setattr(lanes, "_devices", (0, 1, 2, 3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NUTS(num_chains=4), "`chains` is 'threads', and only chains in lock-step .* give chains=vectorized"),
        (lambda: NUTS(num_chains=6, chains="vectorized"), "`num_chains` is 6, and 4 devices .* give a multiple of 4"),
        (lambda: ChEES(num_chains=6, num_superchains=3), "`num_chains` is 6"),
        (lambda: SMC(num_particles=510), "`num_particles` is 510"),
    ],
)
def test_what_cannot_be_shared_out_is_refused_with_the_remedy(four, make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_mesh_that_is_none_is_refused_with_the_remedy(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(lanes, "_devices", ())
    assert run(["fit", "device.mesh=cubes", f"hydra.run.dir={tmp_path / 'a'}"]) == 2
    assert "`device.mesh` is 'cubes'; choose from: null, chains" in capsys.readouterr().err
    one = [SimpleNamespace(platform="cpu", device_kind="cpu", id=0)]
    monkeypatch.setattr(device.jax, "devices", lambda kind=None: one)
    with pytest.raises(BadConfig, match=r"there is one device only: cpu:0 \(cpu\); give device.mesh=null"):
        device.start("cpu", str(tmp_path), mesh="chains")


def test_fits_side_by_side_do_not_share_out_their_chains_too(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("cytostorm.scripts.calibrate.device.start", lambda **_: {})
    assert run(["calibrate", "device.mesh=chains", "threads=2", f"hydra.run.dir={tmp_path / 'a'}"]) == 2
    assert "`threads` is 2, and with `device.mesh` every fit takes all devices; give threads=1" in capsys.readouterr().err
