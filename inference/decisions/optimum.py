"""The best start and dose of a treatment, by the gradient of the expected utility through time and amount of doses."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.optimize import minimize

from cytostorm.models import Doses, Model, Plan, Solver, constant, differentiate, filled, plan, reach, replace

from ..arguments import jitted
from ..samplers import thinned
from ..site import Values
from .counterfactual import Programs, course_of, grid, late, reads, under
from .options import UNTREATED, Clock, Option
from .outcomes import Course, Outcome
from .patients import Patient
from .utility import Utility

NUDGE = 1e-3  # h, by which a start is moved off a time of the grid: a dose and a reading at once are another program


class Optimum(eqx.Module):
    """The best start [h] and dose of an arm, the expected utility there, and its slopes: zero, but at a bound.

    `gain` is the utility less that of no treatment. `okay` says whether the search ended by itself.
    """

    patient: str = eqx.field(static=True)
    arm: str = eqx.field(static=True)
    start_h: float
    dose: float
    utility: float
    gain: float
    slope_start: float
    slope_dose: float
    num_evaluations: int
    okay: bool


class Slopes(eqx.Module):
    """The utility of a draw as a function of the start and of the logarithm of the dose of one treatment."""

    model: Model
    solver: Solver
    outcomes: Mapping[str, Outcome] = eqx.field(static=True)
    weights: Mapping[str, float] = eqx.field(static=True)

    def one(
        self, values: Values, prepared: Plan, untreated: dict[str, Array], given: Doses, at: Array
    ) -> tuple[Array, Array, Array]:
        """Utility, its two slopes, and success."""
        model, own = replace(self.model, values), len(prepared.scenario.doses) - len(given)
        before = prepared.scenario.doses.only([i < own for i in range(len(prepared.scenario.doses))])

        def dosing(at: Array) -> Doses:
            return before + given.scaled(jnp.exp(at[1])).shifted(at[0])

        found = differentiate(lambda _: model, at, prepared, self.solver, dosing, lambda _, y: {"state": y})
        states, slopes = found.value["state"], jnp.moveaxis(found.jacobian["state"], 1, 0)

        def worth(at: Array, states: Array) -> Array:
            doses = dosing(at)
            read = reads(model, prepared.times, states, doses)
            course = course_of(read, prepared.times, doses.only([i >= own for i in range(len(doses))]))
            other = Course(course.times, late(untreated), {}, jnp.asarray(-jnp.inf))
            return sum((w * self.outcomes[name](course, other) for name, w in self.weights.items()), jnp.zeros(()))

        value, push = jax.linearize(worth, at, states)
        both = jax.vmap(push)(jnp.eye(2), slopes)
        okay = found.okay & jnp.isfinite(value) & jnp.all(jnp.isfinite(both))
        return jnp.where(okay, value, 0.0), jnp.where(okay, both, 0.0), okay

    def mean(
        self, values: Values, prepared: Plan, untreated: dict[str, Array], given: Doses, at: Array
    ) -> tuple[Array, Array, Array]:
        """The mean of utility and slopes over draws that could be solved, and their share."""
        run = jax.vmap(lambda v, u: self.one(v, prepared, u, given, at))
        value, slopes, okay = run(values, untreated)
        num = jnp.maximum(okay.sum(), 1)
        return value.sum() / num, slopes.sum(axis=0) / num, okay.mean()


def optimum(
    patient: Patient,
    option: Option,
    outcomes: Mapping[str, Outcome],
    utility: Utility,
    until: float,
    num_times: int,
    num_draws: int,
    doses: tuple[float, float],
    tolerance: float = 1e-6,
) -> Optimum:
    """Climb from the start and dose of `option` to the best of them after the decision, with `num_draws` draws.

    `doses` bounds the dose, relative to the treatment's; equal bounds fix it.

    Raises `ValueError` where the utility weighs an outcome that is yes or no, which has no slope, and for bounds of the
    dose that are not positive and ascending.
    """
    if steps := [name for name in utility.weights if utility.weights[name] and getattr(outcomes[name], "stepped", False)]:
        raise ValueError(
            f"`utility.{steps[0]}` weighs an outcome that is yes or no, which has no slope; weigh another, as"
            " burden_doublings in the place of escape"
        )
    low, high = doses
    if not (0 < low <= high < np.inf):
        raise ValueError(f"`dose` lies between {low:g} and {high:g} times the treatment's; give positive, ascending bounds")
    assert option.treatment is not None
    few = thinned(patient.num, num_draws)
    values = {name: np.asarray(x, float)[few] for name, x in patient.values.items()}
    sample = Patient(patient.label, patient.model, patient.scenario, values, patient.solver, patient.now)
    times = grid(patient, until, num_times)
    needed = tuple(sorted({o.of for o in outcomes.values() if o.of}))
    nothing = Option(UNTREATED, None, np.inf, 0.0, Clock("now"))
    free = Programs(outcomes, needed).run(sample, nothing, np.full(len(few), np.inf), times, None)
    solved = free.okay
    values, read = ({n: x[solved] for n, x in tree.items()} for tree in (values, free.read))
    index = [list(outcomes).index(name) for name in utility.weights]
    plain = float((free.outcome[solved][:, index] @ np.array(list(utility.weights.values()))).mean())

    given = option.treatment.doses(patient.weight)
    first = under(patient, Option(option.arm, option.treatment, 0.0, 1.0, option.clock), patient.now)
    middle = replace(patient.model, {n: constant(np.median(x)) for n, x in patient.values.items()})
    moving = reach(middle, first, until).moving
    program = jitted(Slopes.mean, Slopes(patient.model, patient.solver, outcomes, utility.weights))
    count, wide = 0, until - patient.now

    def look(x: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal count
        count += 1
        start = _off(patient.now + x[0] * wide, given, times)
        scenario = under(patient, Option(option.arm, option.treatment, 0.0, float(np.exp(x[1])), option.clock), start)
        prepared = filled(plan(patient.model, scenario, times, moving), len(times), moving=True)
        value, slopes, _ = jax.device_get(program(values, prepared, read, given, np.array([start, x[1]])))
        return -float(value), -np.array([slopes[0] * wide, slopes[1]])

    begin = np.array([(_start(option, patient) - patient.now) / wide, np.log(np.clip(option.dose, low, high))])
    bounds: Any = [(NUDGE / wide, 1 - 2 * NUDGE / wide), (np.log(low), np.log(high))]
    found = minimize(look, begin, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": tolerance, "maxiter": 40})
    slopes = -found.jac * np.array([1 / wide, np.exp(-found.x[1])])
    return Optimum(
        patient.label,
        option.arm,
        float(patient.now + found.x[0] * wide),
        float(np.exp(found.x[1])),
        -float(found.fun),
        -float(found.fun) - plain,
        float(slopes[0]),
        float(slopes[1]),
        count,
        bool(found.success),
    )


def _start(option: Option, patient: Patient) -> float:
    """Where the search begins [h]: when the option starts; by a clock that each draw sets for itself, so long after now."""
    if option.clock.of is not None:
        return patient.now + max(option.start_h, 0.0)
    return float(option.start(patient.now, np.zeros(0), {}, 1)[0])


def _off(start: float, given: Doses, times: np.ndarray) -> float:
    """`start`, moved so that no dose begins or ends at a time of the grid."""
    for _ in range(10):
        gap = np.abs(start + given.events[:, None] - times).min()
        if gap > NUDGE / 10:
            break
        start += NUDGE
    return start
