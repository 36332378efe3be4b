"""Choose the device before JAX starts, and keep compiled programs between runs."""

import os
from pathlib import Path

import jax
import platformdirs

from cytostorm.models import native

from .compose import BadConfig


def start(platform: str, cache_dir: str | None = None) -> dict[str, str]:
    """Start JAX on `cpu` or `gpu`, in double precision; returns the platform and the name of the device.

    Raises `BadConfig` if there is no such device; the message lists those found.
    """
    if platform not in ("cpu", "gpu"):
        raise BadConfig(f"`device.platform` is {platform!r}; choose from: cpu, gpu")
    jax.config.update("jax_enable_x64", True)
    if platform == "cpu":
        jax.config.update("jax_platforms", "cpu")
    else:
        jax.config.update("jax_default_matmul_precision", "highest")
    cache = Path(cache_dir or os.environ.get("CYTOSTORM_CACHE") or platformdirs.user_cache_dir("cytostorm"))
    jax.config.update("jax_compilation_cache_dir", str(cache / "jax"))
    native.folder = cache / "native"
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    found = jax.devices()
    if found[0].platform != platform:
        names = ", ".join(f"{d.platform}:{d.id} ({d.device_kind})" for d in found)
        raise BadConfig(
            f"device={platform} but JAX finds only: {names}; install the extra `cuda13` or `cuda12` on a machine with an"
            " NVIDIA GPU, or use device=cpu"
        )
    return {"platform": found[0].platform, "kind": found[0].device_kind, "count": str(len(found))}
