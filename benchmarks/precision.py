"""The state in float32 against float64, and loose tolerance, time and error side by side: `make benchmark` runs it.

The patient of `race`, IL-6 every 12 h, at the tolerances of both; one solve with and without sensitivities, and a batch of
draws on all cores. Errors of log IL-6 and of its sensitivities, relative to the largest of each parameter, are the largest
over the batch. Compilation is apart; rounds are interleaved, medians are shown. Run it with `PYTHONPATH=tests`.
"""

import os

import jax
import jax.numpy as jnp
import numpy as np
from race import clock, patient
from results import merge

from cytostorm.models import Solver, differentiate, plan, replace, solve
from cytostorm.scripts import device

BATCH, ROUNDS = 32, 15
RTOL, ATOL, MAX_STEPS = 1e-5, 1e-7, 20_000
SOLVERS = {
    f"{method}, {precision}": Solver(method, RTOL, ATOL, MAX_STEPS, precision)
    for method in ("native", "march")
    for precision in ("float64", "float32")
}
SOLVERS |= {f"{method}, rtol 1e-3": Solver(method, 1e-3, 1e-5, MAX_STEPS) for method in ("native", "stabilised")}
NAMES = ("k_fb", "k_il6_np", "k_il6_rm", "p_il6", "p_ifn", "k_t_exp", "k_t_con", "p_s")


def measured() -> dict:
    """Milliseconds and errors by method, and by precision in each."""
    load, (model, story, times) = os.getloadavg()[0], patient()
    prepared = plan(model, story, times)

    def build(theta):
        return replace(model, {name: getattr(model, name) * jnp.exp(x) for name, x in zip(NAMES, theta, strict=True)})

    def value(solver):
        return lambda theta: solve(build(theta), prepared, solver).states[:, 10]

    def slopes(solver):
        def read(theta):
            found = differentiate(build, theta, prepared, solver)
            return jnp.log(found.value["il6"]), found.jacobian["il6"] / found.value["il6"][:, None]

        return read

    rest, draws = jnp.zeros(len(NAMES)), 0.2 * jax.random.normal(jax.random.PRNGKey(0), (BATCH, len(NAMES)))
    truth = jax.jit(jax.vmap(slopes(Solver("native", rtol=1e-10, atol=1e-12, max_steps=200_000))))(draws)
    largest = np.abs(truth[1]).max(axis=1, keepdims=True)
    runs, errors = {}, {}
    for key, solver in SOLVERS.items():
        many = jax.jit(jax.vmap(slopes(solver)))
        found = many(draws)
        slope = (np.abs(found[1] - truth[1]) / largest).max()
        errors[key] = {"value": float(np.abs(found[0] - truth[0]).max()), "sensitivity": float(slope)}
        runs |= {
            (key, "value"): (jax.jit(value(solver)), rest),
            (key, "sensitivities"): (jax.jit(slopes(solver)), rest),
            (key, "batch of values"): (jax.jit(jax.vmap(value(solver))), draws),
            (key, "batch of sensitivities"): (many, draws),
        }
    for function, given in runs.values():
        clock(lambda: function(given))
    seconds = {key: [] for key in runs}
    for _ in range(ROUNDS):
        for key, (function, given) in runs.items():
            seconds[key].append(clock(lambda: function(given)))
    ms = {key: {what: 1e3 * float(np.median(seconds[k, what])) for k, what in runs if k == key} for key in errors}
    return {"load": load, "rtol": RTOL, "batch": BATCH, "num_sensitivities": len(NAMES), "ms": ms, "error": errors}


def main():
    """Measure, print and keep."""
    device.start("cpu")
    found = measured()
    print(f"21-day CAR-T storm with tocilizumab at rtol {RTOL:g}; batch of {BATCH}, {len(NAMES)} sensitivities:")
    for key, ms in found["ms"].items():
        times = ", ".join(f"{what} {x:.2f} ms" for what, x in ms.items())
        print(f"  {key:<21} {times}; errors {found['error'][key]['value']:.1e}, {found['error'][key]['sensitivity']:.1e}")
    merge("precision", found)


if __name__ == "__main__":
    main()
