"""What works on this machine: versions, devices, double precision, the C compiler, the cache, the option for loops."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from packaging.requirements import Requirement

from cytostorm.models import Minimal, Scenario, Solver, bolus, native, replace, simulate
from cytostorm.models.platform import platform

from .compilation import listening
from .finding import Finding
from .run import PACKAGES

OPTION = "xla_cpu_small_while_loop_byte_threshold"
FLAG = f"--xla_backend_extra_options={OPTION}=1000000000"
GAIN = 2.0  # times as fast: below it the option does nothing
AGREE = 1e-4  # the largest relative difference between two solvers
NUM_STEPS = 5_000
LOOP = f"""
import time
import jax, jax.numpy as jnp
def step(_, x):
    for _ in range(7):  # as many stages as a Runge-Kutta step has
        x = x + 0.01 * jnp.cumsum(x * (1 - x))[::-1] / (1 + x.sum())
    return x
run = jax.jit(lambda x: jax.lax.fori_loop(0, {NUM_STEPS}, step, x))
times = []
for _ in range(6):  # the first compiles
    clock = time.perf_counter()
    run(jnp.full(16, 0.5)).block_until_ready()
    times.append(time.perf_counter() - clock)
print(min(times[1:]) / {NUM_STEPS})
"""


def examine() -> Iterator[Finding]:
    """Every check of the machine, one after the other; JAX has been started."""
    yield versions()
    yield devices()
    yield machine()
    yield double()
    yield compiler()
    yield cache()
    yield loops()


def versions() -> Finding:
    """Whether what cytostorm needs is installed, in versions that it was made for."""
    told = f"Python {sys.version.split()[0]}, " + ", ".join(f"{n} {importlib.metadata.version(n)}" for n in PACKAGES)
    wrong = list(unmet())
    remedy = f"{'; '.join(wrong)}: run `make setup`, or `pip install --upgrade cytostorm` in a clean environment"
    return Finding("versions", told, not wrong, remedy)


def unmet() -> Iterator[str]:
    """What is needed and not installed, or in another version, in words."""
    for text in importlib.metadata.requires("cytostorm") or []:
        need = Requirement(text)
        if need.marker and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            yield f"{need.name} {need.specifier} is not installed"
        else:
            if not need.specifier.contains(version, prereleases=True):
                yield f"{need.name} is {version}, and {need.specifier} is needed"


def devices() -> Finding:
    """The devices that JAX sees."""
    kinds = ["cpu"] + (["gpu"] if jax.default_backend() == "gpu" else [])
    seen = [device for kind in kinds for device in jax.devices(kind)]
    names = ", ".join(f"{d.platform}:{d.id} ({d.device_kind})" for d in seen)
    if "gpu" not in kinds and (shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists()):
        remedy = "an NVIDIA driver is here, but JAX has no part for it; install the extra `cuda13` or `cuda12`"
        return Finding("devices", names, None, remedy)
    return Finding("devices", names)


def machine() -> Finding:
    """The cores and the memory that this process may use."""
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return Finding("machine", f"{cores()} cores, {free_memory():.1f} of {there:.1f} GiB of memory free")


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> float:
    """The memory that programs can still have [GiB]: what Linux calls available, elsewhere all that there is."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) / 2**20
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30


def double() -> Finding:
    """Whether numbers have the digits of double precision on the device that is used."""
    small = 2.0**-40
    found = float(jax.jit(lambda x: (1 + x) - 1)(jnp.asarray(small)))
    remedy = "JAX_ENABLE_X64 or another program in this process turned it off; unset it"
    return Finding("float64", f"1 + 2^-40 - 1 = {found:.3g} on {platform()}", found == small, remedy)


def compiler() -> Finding:
    """Whether the native solver can be compiled, and solves as the loop in JAX does."""
    what = "C compiler"
    if platform() != "cpu":
        return Finding(what, "not used on a GPU, where solver=native is the same loop in JAX")
    cc = native.compiler()
    if cc is None:
        remedy = "install gcc or clang: without one solver=native is the same loop in JAX (solver=march), which is slower"
        return Finding(what, "there is none", None, remedy)
    shown = subprocess.run([cc, "--version"], capture_output=True, text=True).stdout.splitlines()
    model, story, times = Minimal(), Scenario(bolus("lps", 2.0)), np.linspace(0.0, 8.0, 9)

    def il6(method: str, k_l: jax.Array) -> jax.Array:
        changed = replace(model, {"k_l": k_l})
        return simulate(changed, story, times, Solver(method)).observe(changed)["il6"]

    k_l = jnp.asarray(1.0)
    compiled = "ffi_call" in str(jax.make_jaxpr(lambda x: il6("native", x))(k_l))
    told = f"{cc} ({shown[0] if shown else 'it does not tell its version'})"
    if not compiled:
        return Finding(what, f"{told} cannot compile the native solver", False, "see the line above; or set CC to another")
    ours, loop = (np.asarray(jax.jit(lambda x, m=method: il6(m, x))(k_l)) for method in ("native", "march"))
    apart = float(np.max(np.abs(ours / loop - 1)))
    remedy = f"remove the compiled programs in {native.folder}, or use solver=march"
    return Finding(what, f"{told}; native and march agree to {apart:.1e}", apart < AGREE, remedy)


def cache() -> Finding:
    """Whether a program that was compiled once is found again."""
    what, folder = "compile cache", Path(str(jax.config.jax_compilation_cache_dir))  # type: ignore[attr-defined]
    remedy = "give another folder by `device.cache_dir` or CYTOSTORM_CACHE; without a cache every run compiles anew"
    before = jax.config.jax_persistent_cache_min_compile_time_secs  # type: ignore[attr-defined]
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    try:
        with listening() as heard:
            for _ in range(2):  # each a new function, so that memory alone does not help
                jax.jit(lambda x: jnp.cos(x) * 0.123456789)(1.0)
    finally:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", before)
    if not heard.num_cached:
        return Finding(what, f"{folder} holds no program that was just compiled", False, remedy)
    if not os.access(folder, os.W_OK):
        return Finding(what, f"{folder} cannot be written", False, remedy)
    files = [path for path in folder.rglob("*-cache") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 2**20
    return Finding(what, f"{len(files)} programs, {size:.0f} MiB in {folder}")


def loops() -> Finding:
    """Whether XLA's option for small loops makes one faster; older versions needed it for solvers that are loops in JAX."""
    what, flags = "XLA loop option", os.environ.get("XLA_FLAGS", "")
    times = [_timed(" ".join(x for x in flags.split() if OPTION not in x)), _timed(f"{flags} {FLAG}")]
    if None in times:
        return Finding(what, "JAX does not start with it", None, "leave it out; solver=native does not need it")
    bare, with_it = (float(x or 0) * 1e6 for x in times)
    told = f"a step of a small loop takes {bare:.2g} us without it, {with_it:.2g} us with it"
    if OPTION in flags:
        remedy = "it is set and makes loops slower: take it out of XLA_FLAGS"
        return Finding(what, f"{told}; it is set", None if bare < with_it / GAIN else True, remedy)
    if bare < GAIN * with_it:
        return Finding(what, f"{told}: leave it out")
    return Finding(what, f'{told}; for solver=march and those of diffrax: export XLA_FLAGS="{FLAG}"')


def _timed(flags: str) -> float | None:
    """The time that a step of a small loop takes in a process with these flags [s]; None where it does not start."""
    environment = os.environ | {"XLA_FLAGS": flags.strip(), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", LOOP], capture_output=True, text=True, env=environment)
    return float(done.stdout) if done.returncode == 0 else None
