"""Which device a job runs on."""

from types import SimpleNamespace

import jax
import pytest

from cytostorm.models import platform
from cytostorm.scripts import device
from cytostorm.scripts.compose import composed
from cytostorm.scripts.problem import lanes

CPU = SimpleNamespace(platform="cpu", device_kind="cpu", id=0)
GPU = SimpleNamespace(platform="gpu", device_kind="NVIDIA H100", id=0)


@pytest.mark.parametrize(
    ("devices", "lanes", "want", "because"),
    [
        ([CPU], 10**6, "cpu", "JAX finds no GPU"),
        ([GPU], 4095, "cpu", "4,095 lanes are fewer than the 4,096 from which on NVIDIA H100 gains"),
        ([GPU], 4096, "gpu", "4,096 lanes are enough for NVIDIA H100"),
        ([CPU, GPU], 10**6, "gpu", "enough"),
    ],
)
def test_a_gpu_is_chosen_where_there_is_one_and_it_would_be_filled(devices, lanes, want, because):
    chosen, why = device.chosen(devices, lanes, 4096)
    assert chosen == want
    assert because in why


@pytest.fixture
def settings(monkeypatch):
    """What would be set of JAX, on a machine whose devices are those of the list `found`."""
    made = SimpleNamespace(found=[CPU])
    monkeypatch.setattr(device.jax.config, "update", lambda name, value: setattr(made, name, value))
    monkeypatch.setattr(device.jax, "devices", lambda kind=None: [d for d in made.found if kind in (None, d.platform)])
    monkeypatch.setattr(device.native, "folder", device.native.folder)
    return made


@pytest.mark.parametrize(("width", "want", "default"), [(10, "cpu", CPU), (10_000, "gpu", None)])
def test_auto_tells_which_device_it_takes_and_why(settings, width, want, default, tmp_path):
    settings.found = [GPU, CPU]
    got = device.start("auto", str(tmp_path), crossover=4096, lanes=lambda: width)
    assert got["platform"] == want
    assert f"{width:,} lanes" in got["because"]
    assert getattr(settings, "jax_default_device", None) is default


def test_the_processor_is_taken_where_it_is_asked_for_whatever_else_is_there(settings, tmp_path):
    settings.found = [GPU, CPU]
    assert device.start("cpu", str(tmp_path)) == {"platform": "cpu", "kind": "cpu", "count": "1"}
    assert settings.jax_default_device is CPU


def test_programs_run_where_the_default_device_is():
    with jax.default_device(jax.devices("cpu")[0]):
        assert platform() == "cpu"
    assert platform() == jax.default_backend()


def test_lanes_are_chains_times_subjects_times_tangents():
    assert lanes(composed("fit", [])) == 4 * 1 * 10
    wide = ["sampler=chees", "sampler.num_chains=256", "data=synthetic", "data.num_subjects=5"]
    assert lanes(composed("fit", wide)) == 256 * 5 * 10
