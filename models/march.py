"""Solution by our own loop: a fifth-order explicit method that marches from one reading or dose time to the next.

For the small, mildly stiff systems of this package it is faster in batches than a general library: dense output only at
the readings, no event logic, one `while` loop whose body is the method and nothing else.
"""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .constant import constant
from .scenario import Scenario
from .segments import just_after

# Tsitouras, Comput Math Appl 2011;62:770-775, table 1: nodes, weights of the stages, and weights of the error.
# fmt: off
NODES = np.array([0, 0.161, 0.327, 0.9, 0.9800255409045097, 1, 1])
STAGES = np.array([
    [0.161, 0, 0, 0, 0, 0],
    [-0.008480655492356989, 0.335480655492357, 0, 0, 0, 0],
    [2.8971530571054935, -6.359448489975075, 4.3622954328695815, 0, 0, 0],
    [5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525, 0, 0],
    [5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383, 0],
    [0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774],
])
ERROR = np.array([
    -0.00178001105222577714, -0.0008164344596567469, 0.007880878010261995, -0.1447110071732629,
    0.5823571654525552, -0.45808210592918697, 0.015151515151515152,
])
# Weights of the stages at a share x of the step, lowest power first; of fourth order.
DENSE = np.array([
    [0, 0.9999999999999998, -2.763706197274826, 2.9132554618219126, -1.0530884977290216],
    [0, 0, 0.13169999999999998, -0.2234, 0.1017],
    [0, 0, 3.930296236894751, -5.941033872131505, 2.490627285651253],
    [0, 0, -12.411077166933676, 30.338188630282318, -16.548102889244902],
    [0, 0, 37.50931341651104, -88.1789048947664, 47.37952196281928],
    [0, 0, -27.896526289197286, 65.09189467479368, -34.87065786149661],
    [0, 0, 1.5, -4.0, 2.5],
])
# fmt: on


class Legs(eqx.Module):
    """The stretches between neighbouring reading and dose times.

    No step crosses `limit`, the next dose time. A leg that is `fresh` begins at one: `jump` is added to the state, and
    from there `inflow` per hour; where doses move, `jump` is what `saltation` takes. `at` is, for every reading, the
    number of legs that end before it.
    """

    start: Float[Array, " leg"]
    end: Float[Array, " leg"]
    limit: Float[Array, " leg"]
    fresh: Bool[Array, " leg"]
    jump: Float[Array, "leg state"] | Bool[Array, "leg stage event"]
    inflow: Float[Array, "leg state"]
    at: Int[Array, " time"]


def legs(scenario: Scenario, states: tuple[str, ...], times: Float[np.ndarray, " time"]) -> Legs:
    """The legs of `scenario` from its start to the last of the sorted `times`, for a model with these states."""
    doses, begin = scenario.doses, scenario.start
    time, amount, duration = (np.asarray(x) for x in (doses.time, doses.amount, doses.duration))
    edges = doses.edges[(doses.edges > begin) & (doses.edges < times[-1])]
    grid = np.unique(np.concatenate([[begin], edges, times]))
    if grid.size == 1:
        grid = np.append(grid, grid)
    start, end = grid[:-1], grid[1:]
    stops = np.append(edges, grid[-1])
    pick = doses.entering(states)
    falls = (time == start[:, None]) & (duration == 0)
    runs = (time <= start[:, None]) & (end[:, None] <= time + duration) & (duration > 0)
    rate = amount / np.where(duration > 0, duration, 1.0)
    return Legs(
        start=constant(just_after(start)),
        end=constant(end),
        limit=constant(stops[np.searchsorted(stops, end)]),
        fresh=constant(np.isin(start, [begin, *edges])),
        jump=constant(falls * amount @ pick),
        inflow=constant(runs * rate @ pick),
        at=constant(np.searchsorted(grid, times)),
    )


class Step(eqx.Module):
    """The last step taken: from where, how long, and the slopes of its stages."""

    t: Float[Array, ""]
    h: Float[Array, ""]
    y: Float[Array, "row state"]
    k: tuple[Float[Array, "row state"], ...]

    def at(self, t: Float[Array, ""]) -> Float[Array, "row state"]:
        """$y$ at a time within the step."""
        x = (t - self.t) / jnp.where(self.h > 0, self.h, 1.0)
        kind = self.y.dtype
        weights = (jnp.asarray(DENSE) @ x ** jnp.arange(5)).astype(kind)
        return self.y + self.h.astype(kind) * sum(w * k for w, k in zip(weights, self.k, strict=True))


def march(
    field: Callable[[Array, Array], Array],
    initial: Float[Array, "row state"],
    route: Legs,
    rtol: float,
    atol: float,
    max_steps: int,
    enter: Callable[[Array, Array, Array], Array],
) -> tuple[Float[Array, "time row state"], Bool[Array, ""], Int[Array, ""]]:
    """Solve $\\dot y =$ `field(t, y)`, where doses enter by `enter(y, t, jump)`, and save it at the reading times.

    A step is accepted where no row of $y$ has a root mean square error above tolerance. A step whose error is not
    finite is rejected; a solve that needs more than `max_steps` steps, rejected ones included, has failed. $y$ keeps its
    precision; times and what happens at events are in double precision.
    """
    kind = initial.dtype
    tolerance, relative = jnp.asarray(atol, kind), jnp.asarray(rtol, kind)
    route = dataclasses.replace(route, inflow=route.inflow.astype(kind))

    def entered(y, t, jump):
        return enter(y.astype(float), t, jump).astype(kind)

    def leg(carry, stretch):
        t, y, first, h, before, steps = carry

        def slope(t, y):
            return field(t, y).at[0].add(stretch.inflow)

        def begin():
            new = entered(y, stretch.start, stretch.jump)
            return stretch.start, new, slope(stretch.start, new)

        t, y, first = jax.lax.cond(stretch.fresh, begin, lambda: (t, y, first))

        def step(state):
            t, y, first, h, before, steps = state
            last = t + h >= stretch.limit
            h = jnp.where(last, stretch.limit - t, h)
            k, new = _stages(slope, t, y, h, first)
            error = h.astype(kind) * sum(e * s for e, s in zip(ERROR.astype(kind), k, strict=True))
            ratio = worst_row(error / (tolerance + relative * jnp.maximum(jnp.abs(y), jnp.abs(new))))
            good = ratio <= 1  # not where it is not a number
            factor = jnp.where(jnp.isfinite(ratio), jnp.clip(0.9 * jnp.maximum(ratio, 1e-9) ** -0.2, 0.2, 10.0), 0.2)
            taken = (jnp.where(last, stretch.limit, t + h), new, k[-1], Step(t, h, y, k))
            state = jax.tree.map(lambda new, old: jnp.where(good, new, old), taken, (t, y, first, before))
            return *state[:3], jax.lax.stop_gradient(h * factor), state[3], steps + 1

        def going(state):
            return (state[0] < stretch.end) & (state[-1] < max_steps)

        carry = jax.lax.while_loop(going, step, (t, y, first, h, before, steps))
        return carry, (carry[4].at(stretch.end), carry[0] >= stretch.end)

    y = entered(initial, route.start[0], route.jump[0])
    first = field(route.start[0], y)
    h = _first_step(first, y, relative, tolerance)
    before = Step(route.start[0], jnp.zeros(()), initial, (jnp.zeros_like(initial),) * 7)
    carry = (route.start[0], initial, first, h, before, jnp.array(0))
    (*_, steps), (ends, arrived) = jax.lax.scan(leg, carry, eqx.tree_at(lambda r: r.at, route, None))
    return jnp.concatenate([initial[None], ends])[route.at], jnp.all(arrived), steps


def _stages(slope: Callable, t: Array, y: Array, h: Array, first: Array) -> tuple[tuple[Array, ...], Array]:
    """The slopes of the seven stages of one step, and its end.

    The stages are a loop of their own: unrolled, the compiler writes each slope anew wherever it is used.
    """

    def stage(carry, entry):
        k, _ = carry
        i, node, row = entry
        new = y + h.astype(y.dtype) * sum(row[j] * k[j] for j in range(6))
        found = slope(t + node * h, new)
        return (tuple(jnp.where(i == j, found, k[j]) for j in range(7)), new), None

    begun = ((first, *(jnp.zeros_like(y),) * 6), y)
    (k, new), _ = jax.lax.scan(stage, begun, (jnp.arange(1, 7), jnp.asarray(NODES[1:]), jnp.asarray(STAGES, y.dtype)))
    return k, new


def worst_row(y: Float[Array, "row state"]) -> Float[Array, ""]:
    """The largest root mean square of a row: an error in one tangent must not hide behind the others."""
    return jnp.sqrt(jnp.max(jnp.mean(y**2, axis=-1)))


def _first_step(slope: Array, y: Array, rtol: Array, atol: Array) -> Float[Array, ""]:
    """A careful first step [h]: the change over it is about 1 % of the state (Hairer, Norsett, Wanner, II.4)."""
    scale = atol + rtol * jnp.abs(y)
    size, speed = worst_row(y / scale), worst_row(slope / scale)
    step = jnp.where((size > 1e-5) & (speed > 1e-5), 0.01 * size / jnp.maximum(speed, 1e-9), 1e-6)
    return jax.lax.stop_gradient(jnp.where(jnp.isfinite(step), jnp.clip(step, 1e-6, 1.0), 1e-6)).astype(float)
