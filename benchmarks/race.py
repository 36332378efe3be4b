"""The network against SciPy's LSODA with a compiled right-hand side, at equal accuracy: `make benchmark` runs it.

A CAR-T storm of 21 days with tocilizumab at 168 h, IL-6 every 12 h; the tolerance of each is the loosest power of ten
at which log IL-6 is within 1e-4 of a tight solution. Compilation is apart; rounds are interleaved, medians are shown.
The oracle of the tests is LSODA's side: run it with `PYTHONPATH=tests`.
"""

import resource
import time

import jax
import jax.numpy as jnp
import numba
import numpy as np
import oracle
from results import merge
from scipy.integrate import odeint
from test_network import treatment, trigger

from cytostorm.models import Network, Solver, plan, replace, solve, stage

BATCH, ROUNDS, ACCURACY = 1024, 7, 1e-4
NAMES = ("k_fb", "k_il6_np", "k_il6_rm", "p_il6", "p_ifn", "k_t_exp")


@numba.njit
def compiled(t, y, table, rate):
    """The 24 states of the product; tocilizumab flows in at `rate`."""
    full, inflow = np.zeros(oracle.SIZE), np.zeros(oracle.SIZE)
    full[:24] = y
    inflow[20] = rate
    return oracle.rhs(t, full, table, inflow)[:24]


def lsoda(start, table, times, scale, rtol):
    """IL-6 at `times`, leg by leg, with the compiled Fortran or C of SciPy and no Python between the calls."""
    y, parts = start, [start[None, 10]]
    for begin, end, rate in ((0.0, 168.0, 0.0), (168.0, 169.0, 560.0), (169.0, 504.0, 0.0)):
        inside = times[(begin < times) & (times <= end)]
        grid = np.unique(np.concatenate([[begin], inside, [end]]))
        found = odeint(compiled, y, grid, (table, rate), tfirst=True, rtol=rtol, atol=1e-2 * rtol * scale, mxstep=10**6)
        parts.append(found[np.isin(grid, inside), 10])
        y = found[-1]
    return np.concatenate(parts)


def loosest(error):
    """The loosest power of ten, or third of one, that is accurate enough."""
    for rtol in (1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6, 3e-7, 1e-7):
        if error(rtol) < ACCURACY:
            return rtol
    raise SystemExit("no tolerance reaches the accuracy")


def clock(function):
    """Seconds of one call."""
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


def patient():
    """Model, scenario and reading times of the race; `plain_c` runs the same."""
    model, story = stage(Network(k_fb=jnp.asarray(4.0)), trigger("cart"), treatment("tocilizumab", start_h=168.0))
    return model, story, np.arange(0.0, 505.0, 12.0)


def race():
    """Milliseconds per trajectory, tolerance of each, and memory."""
    model, story, times = patient()
    prepared = plan(model, story, times)
    scale = np.array([state.scale for state in model.states])
    start, table = np.asarray(story.initial_state(model)), oracle.table(model)
    truth = np.log(oracle.trajectory(model, story, times, rtol=1e-11)[:, 10])

    def ours(theta, solver):
        host = replace(model, {name: getattr(model, name) * jnp.exp(x) for name, x in zip(NAMES, theta, strict=True)})
        return solve(host, prepared, solver).states[:, 10]

    def native(rtol):
        return Solver("native", rtol=rtol, atol=1e-2 * rtol, max_steps=20_000)

    rest = jnp.zeros(len(NAMES))
    theirs = loosest(lambda rtol: np.abs(np.log(lsoda(start, table, times, scale, rtol)) - truth).max())
    mine = loosest(lambda rtol: np.abs(np.log(jax.jit(lambda x: ours(x, native(rtol)))(rest)) - truth).max())
    alone = jax.jit(lambda theta: ours(theta, native(mine)))
    many = jax.jit(jax.vmap(lambda theta: ours(theta, native(mine))))
    draws = 0.2 * jax.random.normal(jax.random.PRNGKey(0), (BATCH, len(NAMES)))
    runs = {
        "LSODA": (1, lambda: lsoda(start, table, times, scale, theirs)),
        "one": (1, lambda: alone(rest)),
        f"batch of {BATCH}": (BATCH, lambda: many(draws)),
    }
    for _, run in runs.values():
        clock(run)
    seconds = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, (number, run) in runs.items():
            seconds[name].append(clock(run) / number)
    median = {name: float(np.median(taken)) for name, taken in seconds.items()}
    tolerance = {name: theirs if name == "LSODA" else mine for name in runs}
    return {
        "ms": {name: 1e3 * value for name, value in median.items()},
        "rtol": tolerance,
        "times_lsoda": {name: median["LSODA"] / value for name, value in median.items()},
        "peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def main():
    """Measure, print and keep."""
    found = race()
    print("21-day CAR-T storm with tocilizumab, log IL-6 within 1e-4, per trajectory:")
    for name, value in found["ms"].items():
        print(
            f"  {name:<14} rtol {found['rtol'][name]:<7.0e} {value:8.3f} ms   {found['times_lsoda'][name]:5.1f} times LSODA"
        )
    print(f"  peak memory of this process {found['peak_memory_gib']:.2f} GiB")
    merge("race", found)


if __name__ == "__main__":
    main()
