"""The part of a model that a scenario moves and a reading sees: the rest need not be solved.

A network is written once for every trigger, treatment and read-out; under one of them many of its states stay where they
are, and others have no way to the readings. Both are found by trial, over values of states and parameters drawn at
random: a state is *still* if its rate is zero whatever the states that move, and it is *unseen* if neither a read-out nor
the rate of a state that is seen changes by a bit when it does.
"""

from collections.abc import Iterable, Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .model import Model, scales
from .scenario import Scenario

TRIALS = 24
SMALL = 6  # a model of up to so many states is solved whole
STILL = 1e-12  # per hour and in units of the state's scale: a rest that holds but for rounding


class Reach(eqx.Module):
    """The states that move, and those among them that have a way to each analyte."""

    moving: tuple[int, ...] = eqx.field(static=True)
    seen: Mapping[str, tuple[int, ...]] = eqx.field(static=True)

    def to(self, analytes: Iterable[str]) -> tuple[int, ...]:
        """The states that have a way to any of these analytes."""
        return tuple(sorted(set().union(*(self.seen[name] for name in analytes))))


def reach(model: Model, scenario: Scenario, end: float) -> Reach:
    """What moves under `scenario` until `end` [h], whatever the values of the parameters; those at zero stay there."""
    num, scale = len(model.states), scales(model)
    if num <= SMALL:
        whole = tuple(range(num))
        return Reach(whole, dict.fromkeys(model.analytes, whole))
    random = np.random.default_rng(0)
    names = [state.name for state in model.states]
    dosed = scenario.doses.entering(names).any(axis=0)
    begins = np.nextafter(scenario.doses.edges, np.inf)
    times = np.append(begins, random.uniform(scenario.start, max(end, scenario.start + 1), TRIALS))
    wide = scale * np.exp(random.uniform(-4, 2, (len(times), num)))
    dynamic, static = eqx.partition(model, eqx.is_inexact_array)
    drawn = jax.tree.map(lambda x: np.asarray(x) * np.exp(random.normal(0, 0.5, (len(times), *x.shape))), dynamic)

    @jax.jit
    def trial(parameters: Model, t: Array, y: Array, free: Array) -> tuple[Array, dict[str, Array]]:
        def one(parameters: Model, t: Array, y: Array) -> tuple[Array, dict[str, Array]]:
            varied = eqx.combine(parameters, static)
            y = jnp.where(free, y, scenario.initial_state(varied))
            return varied.vector_field(t, y, scenario.doses), varied.observe(y)

        return jax.vmap(one)(parameters, t, y)

    def run(y: Float[np.ndarray, "trial state"], free: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        return jax.device_get(trial(drawn, jnp.asarray(times), jnp.asarray(y), jnp.asarray(free)))

    free = dosed.copy()
    while True:
        moves = (np.abs(run(wide, free)[0]) > STILL * scale).any(axis=0)
        if not (moves & ~free).any():
            break
        free |= moves
    rate, read = run(wide, free)
    into = np.zeros((num, num), bool)  # into[i, j]: the rate of i changes with j
    shown = {name: np.zeros(num, bool) for name in model.analytes}
    for j in np.flatnonzero(free):
        moved = wide.copy()
        moved[:, j] *= 1.5
        other, view = run(moved, free)
        into[:, j] = (other != rate).any(axis=0)
        for name, states in shown.items():
            states[j] = (view[name] != read[name]).any()
    return Reach(_listed(free), {name: _listed(_upstream(states, into & free)) for name, states in shown.items()})


def _upstream(states: np.ndarray, into: np.ndarray) -> np.ndarray:
    """These states and all that have a way to them."""
    while (more := states | into[states].any(axis=0)).sum() > states.sum():
        states = more
    return states


def _listed(states: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.flatnonzero(states))
