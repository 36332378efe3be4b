"""Solution by compiled C, generated from the right-hand side of any model: for processors, where there is a C compiler."""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int

from ..march import Legs
from ..platform import platform as target
from .rules import text
from .translate import Program, Untranslatable, array

logger = logging.getLogger(__name__)
COMPILING = "/cytostorm/compile/native"  # the event that tells how long the C compiler took
METHODS = {"native": "tsitouras.h", "stabilised": "chebyshev.h"}
FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-std=gnu11", "-fPIC", "-shared", "-w")
folder = Path(tempfile.gettempdir()) / f"cytostorm-{os.getuid()}"  # of compiled programs; `scripts.device` sets it


def solve(
    method: str,
    rate: Callable[..., Float[Array, " state"]],
    initial: Float[Array, "row state"],
    active: Sequence[Array],
    directions: Sequence[Array],
    route: Legs,
    rtol: float,
    atol: float,
    max_steps: int,
) -> tuple[Float[Array, "time row state"], Bool[Array, ""], Int[Array, ""]] | None:
    """What `march` returns for the field `rate(t, x, *active)` and its tangents; None where this cannot be had.

    `active` are the arrays along which `rate` is differentiated and `directions` their derivatives along every
    parameter. The program is written and compiled when the caller is traced, once per right-hand side.
    """
    if target() != "cpu":
        return None
    rows, num = initial.shape[0] - 1, initial.shape[1]
    try:
        closed = jax.make_jaxpr(rate)(jnp.zeros(()), initial[0], *active)
        source, consts = _field(closed, num, rows, "float" if initial.dtype == jnp.float32 else "double")
        name = _library(source, method)
    except Untranslatable as reason:
        _tell(f"the native solver cannot translate {reason}; solving by march instead")
        return None
    if name is None:
        return None
    flat = [jnp.ravel(jnp.asarray(x, float)) for x in (*active, *consts)]
    values = jnp.concatenate([*flat, jnp.zeros(1)])
    tangents = [jnp.reshape(x, (rows, -1)) for x in directions] if rows else []
    both = (initial.astype(float), values, jnp.concatenate([*tangents, jnp.zeros((rows, 1))], axis=1))
    course = (route.start, route.end, route.limit, route.fresh.astype(float), route.jump, route.inflow)
    controls = jnp.stack([jnp.asarray(x, float) for x in (rtol, atol, max_steps)])
    shapes = (jax.ShapeDtypeStruct((len(route.start), *initial.shape), float), jax.ShapeDtypeStruct((2,), float))
    call = jax.ffi.ffi_call(name, shapes, vmap_method="broadcast_all")
    ends, outcome = call(*both, *course, controls)
    saved = jnp.concatenate([initial[None], ends])[route.at]
    return saved, outcome[0] > 0, outcome[1].astype(int)


def _field(closed: Any, num: int, rows: int, real: str = "double") -> tuple[str, list[Any]]:
    """The header that `march.c` includes, and the constants of the right-hand side that are handed over as values.

    The state and its tangents are of the type `real`; what does not depend on them is in double precision.
    """
    program, count = Program(), 0

    def given(shape: tuple[int, ...], moves: bool) -> np.ndarray:
        nonlocal count
        out = np.empty(shape, object)
        for index in np.ndindex(shape):
            out[index] = program.input(f"a[{count}]", f"ad[{count}]" if moves and rows else None, False)
            count += 1
        return out

    active = closed.jaxpr.invars[2:]
    inputs = [np.array(program.input("t", None, True), object), np.empty(num, object)]
    for i in range(num):
        inputs[1][i] = program.input(f"y[{i}]", f"s[{i}]" if rows else None, True)
    inputs += [given(x.aval.shape, True) for x in active]
    num_active = count
    consts, handed = [], []
    for const in closed.consts:
        if const.dtype == np.float64:
            consts.append(given(const.shape, False))
            handed.append(const)
        elif isinstance(const, Tracer):
            raise Untranslatable("whole numbers or conditions that are traced")
        else:
            consts.append(array(np.asarray(const)))
    (slopes,) = program.run(closed, inputs, consts)
    last = [f"f[{i}] = {text(x)};" for i, x in enumerate(slopes)]
    if rows:
        last += [f"fs[{i}] = {getattr(x, 'tangent', None) or '(vec){0}'};" for i, x in enumerate(slopes)]
    lanes = 1 << max(rows - 1, 0).bit_length()
    sizes = {"N": num, "R": rows, "LANES": lanes, "VALUES": count + 1, "ACTIVE": num_active + 1}
    sizes |= {"ONCE": program.num_once, "ONCE_REALS": program.num_once_reals, "ONCE_TANGENTS": program.num_once_tangents}
    lines = [f"#define {name} {value}" for name, value in sizes.items()]
    lines += [f"typedef {real} real;", "typedef real vec __attribute__((vector_size(sizeof(real) * LANES)));"]
    lines.append("static void prepare(const double *a, const vec *ad, double *c, real *cr, vec *cd) {")
    lines += [*(f"  {line}" for line in program.once), "}"]
    others = "const double *a, const vec *ad, const double *c, const real *cr, const vec *cd"
    lines.append(f"static void field(double t, const real *y, const vec *s, {others}, real *f, vec *fs) {{")
    lines += [*(f"  {line}" for line in [*program.always, *last]), "}"]
    return "\n".join(lines) + "\n", handed


def compiler() -> str | None:
    """The C compiler that is used: that of `CC`, or the first of cc, gcc and clang; None where there is none."""
    return shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc") or shutil.which("clang")


@cache
def _library(source: str, method: str) -> str | None:
    """The name under which the compiled program is known to JAX; None where it cannot be compiled."""
    cc = compiler()
    if cc is None:
        _tell("no C compiler was found for the native solver; solving by march instead")
        return None
    with as_file(files(__package__)) as here:
        loop, step = here / "march.c", here / METHODS[method]
        text = loop.read_text() + step.read_text()
        parts = (text, source, *FLAGS, cc, _processor(), jax.lib.__version__)
        name = "cytostorm_" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
        target = folder / f"{name}.so"
        if not target.exists() and not _compile(cc, loop, step, source, target):
            return None
    try:
        handler = ctypes.CDLL(str(target)).cytostorm_march
    except OSError as error:
        _tell(f"the compiled solver cannot be loaded ({error}); solving by march instead")
        return None
    jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(handler), platform="cpu")
    return name


def _compile(cc: str, loop: Path, step: Path, source: str, target: Path) -> bool:
    """Compile into another name and rename: a library that exists is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        header, hidden = Path(work) / "field.h", Path(work) / "out.so"
        header.write_text(source)
        clock = time.perf_counter()
        given = (
            f"-I{jax.ffi.include_dir()}",
            f'-DFIELD="{header}"',
            f'-DMETHOD="{step}"',
            str(loop),
            "-o",
            str(hidden),
            "-lm",
        )
        for more in (["-fopenmp"], []):
            done = subprocess.run([cc, *FLAGS, *given, *more], capture_output=True, text=True)
            jax.monitoring.record_event_duration_secs(COMPILING, time.perf_counter() - clock)
            if done.returncode == 0:
                hidden.replace(target)
                return True
    _tell(f"the C compiler {cc} failed ({done.stderr.strip()[:500]}); solving by march instead")
    return False


def _processor() -> str:
    """What the program is compiled for: one machine's instructions may be unknown to another."""
    try:
        text = Path("/proc/cpuinfo").read_text()
        return next(line for line in text.splitlines() if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


@cache
def _tell(message: str) -> None:
    logger.warning(message)
