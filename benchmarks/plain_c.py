"""Our solver against itself in plain C, for the patient of `race`: one trajectory, and one with six sensitivities.

`storm.c` is compiled for this machine into `.cache/` and called by ctypes: what a hand-written program of this algorithm
costs. Rounds are interleaved, medians are shown. Run it with `PYTHONPATH=tests`, as `race`.
"""

import ctypes
import re
import subprocess
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from export import HERE
from race import NAMES, patient
from results import merge

from cytostorm.models import Solver, differentiate, plan, replace, solve
from cytostorm.models.model import scales
from cytostorm.models.quantity import values

FLAGS = ("-O3", "-march=native", "-ffast-math", "-fno-finite-math-only")  # the step control tests for numbers
RTOL, MAX_STEPS, ROUNDS, REPEATS = 1e-6, 20_000, 11, 5
METHODS = ("native", "march", "tsit5")
SOURCE, LIBRARY = HERE / "storm.c", HERE.parent / ".cache" / "storm.so"


class Program:
    """The compiled program, fed with a model and a plan."""

    def __init__(self, model, prepared):
        LIBRARY.parent.mkdir(exist_ok=True)
        subprocess.run(["cc", *FLAGS, "-shared", "-fPIC", "-o", str(LIBRARY), str(SOURCE), "-lm"], check=True)
        self.march = ctypes.CDLL(str(LIBRARY)).march
        fields = re.search(r"typedef struct \{\s*double (\w+(?:,\s+\w+)*);\s*\} Host;", SOURCE.read_text())
        assert fields is not None
        known, scale, route = values(model), scales(model), prepared.schedule.route
        self.host = np.array([float(known[name]) for name in re.findall(r"\w+", fields[1])])
        self.scale, self.at = scale, np.asarray(route.at)
        self.initial = np.asarray(prepared.scenario.initial_state(model)) / scale
        columns = [np.asarray(x, float)[:, None] for x in (route.start, route.end, route.limit, route.fresh)]
        self.legs = np.hstack([*columns, np.asarray(route.jump) / scale, np.asarray(route.inflow) / scale])
        self.saved = np.empty((len(self.legs), scale.size))

    def __call__(self, rtol: float = RTOL) -> np.ndarray:
        """The states at the reading times."""
        arrays = [x.ctypes.data_as(ctypes.c_void_p) for x in (self.host, self.scale, self.initial, self.legs, self.saved)]
        tolerance = (ctypes.c_double(rtol), ctypes.c_double(1e-2 * rtol), ctypes.c_int(MAX_STEPS))
        self.steps = self.march(*arrays[:4], ctypes.c_int(len(self.legs)), *tolerance, arrays[4])
        if self.steps < 0:
            raise SystemExit("storm.c needs more steps than it may take")
        return np.concatenate([self.initial[None], self.saved])[self.at] * self.scale


def measured() -> dict:
    """Milliseconds per solve of every program, and how far C is from ours."""
    model, story, times = patient()
    prepared = plan(model, story, times)
    rest = jnp.zeros(len(NAMES))

    def host(theta):
        return replace(model, {n: getattr(model, n) * jnp.exp(x) for n, x in zip(NAMES, theta, strict=True)})

    def solver(method):
        return Solver(method, rtol=RTOL, atol=1e-2 * RTOL, max_steps=MAX_STEPS)

    def single(method):
        return jax.jit(lambda theta: solve(host(theta), prepared, solver(method)))

    program = Program(model, prepared)

    def slopes(method):
        return jax.jit(lambda theta: differentiate(host, theta, prepared, solver(method)).jacobian["il6"])

    reference = single("march")(rest)
    error = np.abs(np.log(program()[:, 10]) - np.log(np.asarray(reference.states)[:, 10])).max()
    if not error < 1e-6:
        raise SystemExit(f"log IL-6 of storm.c is {error:.1e} from ours; 1e-6 is allowed")
    runs = {
        "plain C": program,
        **{m: partial(single(m), rest) for m in METHODS},
        **{f"{m} and 6 sensitivities": partial(slopes(m), rest) for m in METHODS},
    }
    seconds = {name: [] for name in runs}
    for number in range(ROUNDS + 1):
        for name, run in runs.items():
            taken = _clock(run)
            if number:  # the first round compiles
                seconds[name].append(taken)
    median = {name: float(np.median(taken)) for name, taken in seconds.items()}
    return {
        "ms": {name: 1e3 * value for name, value in median.items()},
        "times_c": {name: value / median["plain C"] for name, value in median.items()},
        "log_il6_error": float(error),
        "steps": {"plain C": program.steps, "march": int(reference.num_steps)},
        "flags": " ".join(FLAGS),
    }


def _clock(run) -> float:
    """Seconds of one call, over a few."""
    start = time.perf_counter()
    for _ in range(REPEATS):
        jax.block_until_ready(run())
    return (time.perf_counter() - start) / REPEATS


def main() -> None:
    """Measure, print and keep."""
    jax.config.update("jax_enable_x64", True)
    found = measured()
    print(
        f"21-day CAR-T storm with tocilizumab at rtol {RTOL:g}; log IL-6 of C within {found['log_il6_error']:.1e} of ours;"
    )
    print(f"  steps {found['steps']}; cc {found['flags']}")
    for name, value in found["ms"].items():
        print(f"  {name:<26} {value:8.3f} ms   {found['times_c'][name]:5.2f} times plain C")
    merge("plain_c", found)


if __name__ == "__main__":
    main()
