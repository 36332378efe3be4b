"""The same densities and draws on one of two devices and shared out over both, as JSON.

python sharing.py CACHE [density] [nuts] [chees] [smc] [independence]
"""

import json
import sys

import jax
import numpy as np
from posteriors import conjugate, explosive

from cytostorm.inference import NUTS, SMC, ChEES, Density, Independence, Starting
from cytostorm.inference.samplers.lanes import AXIS
from cytostorm.scripts import device
from cytostorm.scripts.compose import composed
from cytostorm.scripts.problem import prepare

KEY, NUM = jax.random.PRNGKey(3), 70  # not a multiple of the devices, and more than one block for each
FEW = Starting(num_screened=32, num_climbs=4)


def samplers():
    """Made anew under each mesh, which they are checked against."""
    return {
        "nuts": NUTS(num_warmup=60, num_draws=40, num_chains=4, chains="vectorized", start=FEW),
        "chees": ChEES(num_warmup=40, num_draws=20, num_chains=8, num_superchains=4, start=FEW),
        "smc": SMC(num_particles=64, num_runs=2, num_moves=2),
        "independence": Independence(num_draws=50, num_points=512, num_rounds=2),
    }


def slopes(density, position, num_chains):
    """Energies and their gradients side by side, and the failures that were counted for each chain."""
    run = density.jit(jax.vmap(jax.value_and_grad(Density.energy, argnums=1), (None, 0, 0)))
    value, slope = jax.device_get(run(position, np.arange(len(position)) % num_chains))
    jax.effects_barrier()
    return value, slope, density.failures


def drawn(name):
    """The draws of a sampler, and what they cost."""
    draws = samplers()[name].sample(conjugate(), KEY)
    return {"draws": draws.values["w"].tolist(), "solves": draws.num_solves}


def dense(problem):
    """The density of the default fit, and how failed solves are counted."""
    default = Density(problem)
    position = default.drawn(KEY, NUM - 1)
    value, slope, _ = slopes(default, position, 1)
    failing = Density(explosive(), 4)
    _, _, failures = slopes(failing, failing.drawn(KEY, 39), 4)
    return {
        "value": value.tolist(),
        "slope": slope.tolist(),
        "heights": np.stack(default.heights(position, np.full(NUM, -1))).tolist(),
        "failures": failures.tolist(),
    }


def shares(problem):
    """The lanes that each device solved."""
    density, seen = Density(problem), {}
    plain, position = density._side_by_side.solve, density.drawn(KEY, NUM - 1)

    def noted(one, arrays, lanes):
        def solved(arrays, x):
            jax.debug.callback(lambda at, x: seen.setdefault(int(at), []).append(x), jax.lax.axis_index(AXIS), x)
            return one(arrays, x)

        return plain(solved, arrays, lanes)

    density._side_by_side.solve = noted
    slopes(density, position, 1)
    at = {x.tobytes(): i for i, x in enumerate(position)}
    return {number: sorted({at[np.asarray(x).tobytes()] for x in lanes}) for number, lanes in seen.items()}


def main(cache, names):
    """Print what one device gives, what both give, and what each of the two had to do."""
    device.start("cpu", cache)
    problem, _, _ = prepare(composed("fit", []))
    given = lambda: {name: dense(problem) if name == "density" else drawn(name) for name in names}  # noqa: E731
    one, told = given(), device.start("cpu", cache, mesh="chains")
    print(json.dumps({"told": told, "one": one, "both": given(), "shares": shares(problem)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
