"""Choose the device before a job computes, and keep compiled programs between runs."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import platformdirs

from cytostorm.inference.samplers.lanes import share_out
from cytostorm.models import native

from .compose import BadConfig

PLATFORMS = ("cpu", "gpu", "auto")
MESHES = ("chains",)


def start(
    platform: str,
    cache_dir: str | None = None,
    crossover: int = 0,
    lanes: Callable[[], int] = lambda: 1,
    mesh: str | None = None,
) -> dict[str, str]:
    """Start JAX on `cpu` or `gpu`, in double precision; returns the platform, and the kind and number of devices.

    `auto` takes the GPU, where there is one, for problems of at least `crossover` lanes, and `because` tells why. With
    `mesh`, samplers that are made from now on share out what they solve side by side over all devices that were found.
    Raises `BadConfig` if there is no such device, or only one to share out over; the message lists those found.
    """
    if platform not in PLATFORMS:
        raise BadConfig(f"`device.platform` is {platform!r}; choose from: {', '.join(PLATFORMS)}")
    if mesh is not None and mesh not in MESHES:
        raise BadConfig(f"`device.mesh` is {mesh!r}; choose from: null, {', '.join(MESHES)}")
    jax.config.update("jax_enable_x64", True)
    because = {}
    if platform == "auto":
        platform, because["because"] = chosen(jax.devices(), lanes(), crossover)
    if platform == "cpu":
        jax.config.update("jax_platforms", "cpu")
        # Where JAX has a GPU already, its arrays and programs go to the processor none the less.
        best = jax.devices()[0].platform
        jax.config.update("jax_default_device", None if best == "cpu" else jax.devices("cpu")[0])
    else:
        jax.config.update("jax_default_matmul_precision", "highest")
    cache = Path(cache_dir or os.environ.get("CYTOSTORM_CACHE") or platformdirs.user_cache_dir("cytostorm"))
    jax.config.update("jax_compilation_cache_dir", str(cache / "jax"))
    native.folder = cache / "native"
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    found = jax.devices("cpu") if platform == "cpu" else jax.devices()
    names = ", ".join(f"{d.platform}:{d.id} ({d.device_kind})" for d in found)
    if found[0].platform != platform:
        raise BadConfig(
            f"device={platform} but JAX finds only: {names}; install the extra `cuda13` or `cuda12` on a machine with an"
            " NVIDIA GPU, or use device=cpu"
        )
    if mesh and len(found) < 2:
        raise BadConfig(
            f"`device.mesh` is {mesh!r}, and there is one device only: {names}; give device.mesh=null, or make more visible"
            " (GPUs by CUDA_VISIBLE_DEVICES, processors by XLA_FLAGS=--xla_force_host_platform_device_count=2)"
        )
    share_out(found if mesh else ())
    facts = {"platform": found[0].platform, "kind": found[0].device_kind, "count": str(len(found))}
    return facts | ({"mesh": mesh} if mesh else {}) | because


def chosen(devices: Sequence[Any], lanes: int, crossover: int) -> tuple[str, str]:
    """The platform for a problem of so many lanes, and why: a GPU is slower than a processor until it is filled."""
    gpu = next((device for device in devices if device.platform == "gpu"), None)
    if gpu is None:
        return "cpu", "JAX finds no GPU"
    if lanes < crossover:
        return "cpu", f"{lanes:,} lanes are fewer than the {crossover:,} from which on {gpu.device_kind} gains"
    return "gpu", f"{lanes:,} lanes are enough for {gpu.device_kind}, which gains from {crossover:,} on"
