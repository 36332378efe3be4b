"""Trajectories of a model under a scenario, and their sensitivities to parameters."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal
from jaxtyping import Array, Bool, Float, Int

from .constant import constant
from .dose import Doses
from .model import Model, scales
from .saltation import anchored, inflow, near, saltation
from .scenario import Scenario
from .solver import Schedule, Solver, integrate, schedules
from .system import System


class Trajectory(eqx.Module):
    """The states of a model at given times.

    `okay` is false where the solver failed; the states are then not finite. `num_steps` counts the steps
    of the solver, rejected ones included.
    """

    times: Float[Array, " time"]
    states: Float[Array, "time state"]
    okay: Bool[Array, ""]
    num_steps: Int[Array, ""]

    def observe(self, model: Model) -> dict[str, Float[Array, " time"]]:
        """What an assay reads along the trajectory, by analyte."""
        return jax.vmap(model.observe)(self.states)


class Sensitivity(eqx.Module):
    """Read-outs at given times and their derivatives with respect to the sampled parameters, from one solve."""

    value: dict[str, Float[Array, "time ..."]]
    jacobian: dict[str, Float[Array, "time parameter ..."]]
    okay: Bool[Array, ""]
    num_steps: Int[Array, ""]


class Plan(eqx.Module):
    """A scenario prepared for a model and a set of reading times: everything that parameters do not change.

    `solved` are the states that are solved; the others stay where the scenario starts them.
    """

    scenario: Scenario
    times: Float[Array, " time"]
    schedule: Schedule
    moving: Schedule
    solved: tuple[int, ...] = eqx.field(static=True)


def plan(model: Model, scenario: Scenario, times: Float[np.ndarray, " time"], solved: Sequence[int] | None = None) -> Plan:
    """Prepare to solve `model` under `scenario` at the sorted `times` [h], or those of its states that `reach` found.

    Raises `ValueError` if the scenario does not fit the model, or times are unsorted, not finite or before
    the scenario's start.
    """
    scenario.check(model)
    times = np.asarray(times, float)
    if times.size == 0:
        raise ValueError("`times` is empty; give at least one time")
    if not np.all(np.isfinite(times)) or np.any(np.diff(times) < 0):
        raise ValueError(f"`times` must be finite and ascending, not {times.tolist()}")
    if times[0] < scenario.start:
        raise ValueError(f"the first time, {times[0]} h, is before the scenario's start, {scenario.start} h")
    solved = tuple(range(len(model.states)) if solved is None else solved)
    names = tuple(model.states[i].name for i in solved)
    return Plan(scenario, constant(times), *schedules(scenario, names, times), solved)


def simulate(
    model: Model, scenario: Scenario, times: Float[np.ndarray, " time"], solver: Solver | None = None
) -> Trajectory:
    """The trajectory of `model` under `scenario` at the sorted `times` [h].

    Raises what `plan` raises. A solve that fails is not an exception: test `okay`.
    """
    return solve(model, plan(model, scenario, times), solver or Solver())


@eqx.filter_jit
def solve(model: Model, prepared: Plan, solver: Solver) -> Trajectory:
    """The trajectory of `model` under a prepared scenario; pure, for `jit` and `vmap`."""
    part, doses = Part(model, prepared), prepared.scenario.doses
    start = part.start(model)
    system = System(lambda t, x: part.rate(model, doses, t, x))
    x, okay, steps = integrate(system, part.take(start)[None], prepared.schedule, part.scale, prepared.times, solver)
    return Trajectory(prepared.times, jax.vmap(lambda x: part.whole(start, x))(x[:, 0]), okay, steps)


class Part:
    """The solved states $x$ of a model, in units of their scale, within its whole state."""

    def __init__(self, model: Model, prepared: Plan):
        self._index, self._scenario = np.array(prepared.solved), prepared.scenario
        self._every = len(prepared.solved) == len(model.states)
        self.scale = scales(model)[self._index]

    def start(self, model: Model) -> Float[Array, " state"]:
        """The whole state at the scenario's start."""
        return self._scenario.initial_state(model)

    def take(self, y: Float[Array, " state"]) -> Float[Array, " solved"]:
        """The solved states of a whole state."""
        return (y if self._every else y[self._index]) / self.scale

    def whole(self, start: Float[Array, " state"], x: Float[Array, " solved"]) -> Float[Array, " state"]:
        """The whole state: the solved ones, and the others as they started."""
        return x * self.scale if self._every else start.at[self._index].set(x * self.scale)

    def rate(self, model: Model, doses: Doses, t: Float[Array, ""], x: Float[Array, " solved"]) -> Float[Array, " solved"]:
        """The rate of the solved states."""
        y = x * self.scale if self._every else self.whole(self.start(model), x)
        return self.take(model.vector_field(t, y, doses))

    def observe(
        self, model: Model, x: Float[Array, " solved"], look: Callable[[Model, Array], dict[str, Array]] | None = None
    ) -> dict[str, Array]:
        """What an assay reads, or what `look` sees."""
        y = x * self.scale if self._every else self.whole(self.start(model), x)
        return model.observe(y) if look is None else look(model, y)


def differentiate(
    build: Callable[[Float[Array, " parameter"]], Model],
    theta: Float[Array, " parameter"],
    prepared: Plan,
    solver: Solver,
    dosing: Callable[[Float[Array, " parameter"]], Doses] | None = None,
    observe: Callable[[Model, Float[Array, " state"]], dict[str, Array]] | None = None,
) -> Sensitivity:
    r"""Read-outs and their forward sensitivities, state and tangents in one solve.

    With $S = \partial y/\partial\theta$, the pair $(y, S)$ obeys $\dot y = f$, $\dot S = f_y S + f_\theta$
    and is one augmented state, so that the error control sees the tangents as well: an explicit method whose
    step is held at its stability limit by $y$ alone can return a right value and a wrong gradient.

    The read-outs are those of the model's assays, or what `observe` makes of the model and its whole state.

    `build` maps the sampled parameters `theta` to a model and is linearised once, outside the solve. So is `dosing`,
    which maps them to the doses, where times, amounts or durations depend on them: see `saltation`. At `theta` its
    times and durations are those of `prepared`, else the solve counts as failed; events keep their order. Derivatives
    are one-sided at the scenario's start and at a reading: for a dose that moves to later times.

    Raises `ValueError` where `dosing` gives other targets than `prepared`, or they in another order.
    """
    num, planned = theta.size, prepared.scenario.doses

    def parts(theta):
        return build(theta), planned if dosing is None else anchored(dosing, planned)(theta)

    both = parts(theta)
    moves = jax.tree.unflatten(jax.tree.structure(both), _depends(parts, theta))
    active, frozen = eqx.partition(both, moves)
    _, push = jax.linearize(lambda theta: eqx.filter(parts(theta), moves), theta)
    directions = jax.vmap(push)(jnp.eye(num))
    model, doses = both
    part = Part(model, prepared)
    scale = part.scale

    def along(function, x, tangents):
        """The value of `function(model, doses, x)` and its derivatives along every parameter."""
        value, derivative = jax.linearize(lambda active, x: function(*eqx.combine(active, frozen), x), active, x)
        return value, jax.vmap(derivative)(directions, tangents)

    def rows(pair):
        return jnp.concatenate([pair[0][None], pair[1]])

    into = doses.entering([model.states[i].name for i in prepared.solved]) / scale[None]

    def rate(m, doses, t, x):
        own = part.rate(m, doses, t, x)
        return own if dosing is None else own + inflow(t, doses, into)

    leaves, structure = jax.tree.flatten(active)

    def moved(t, x, *leaves):
        model, doses = eqx.combine(jax.tree.unflatten(structure, leaves), frozen)
        return rate(model, doses, t, x)

    system = System(moved, leaves, jax.tree.leaves(directions))
    schedule, enter = prepared.schedule, None
    if dosing is not None:
        schedule, enter = prepared.moving, saltation(partial(rate, model), doses, jax.jacfwd(dosing)(theta), into)
    rest = jnp.zeros(len(scale))
    y0 = rows(along(lambda m, _, x: part.take(part.start(m)), rest, jnp.zeros((num, len(scale)))))
    y, okay, steps = integrate(system, y0, schedule, scale, prepared.times, solver, enter)
    value, jacobian = jax.vmap(lambda y: along(lambda m, _, x: part.observe(m, x, observe), y[0], y[1:]))(y)
    return Sensitivity(value, jacobian, okay if dosing is None else okay & near(dosing(theta), planned), steps)


def _depends(build: Callable[[Array], Any], theta: Array) -> list[bool]:
    """Which leaves of what is built change with `theta`: only those get tangents, for most parameters are fixed."""
    jaxpr = jax.make_jaxpr(build)(theta).jaxpr
    fixed = set(jaxpr.constvars)
    return [not isinstance(leaf, Literal) and leaf not in fixed for leaf in jaxpr.outvars]
