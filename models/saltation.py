r"""Sensitivities to the dosing itself: how tangents jump where a dose starts or ends.

Between events the tangents obey $\dot S = f_y S + f_\theta$, doses included in $f$. At an event whose time $\tau(\theta)$
moves, where $J(\theta)$ is added to the state and the right-hand side changes from $f^-$ to $f^+$,

$$S^+ = S^- + (f^- - f^+)\,\frac{d\tau}{d\theta} + \frac{dJ}{d\theta}, \qquad
  f^- = f(\tau^-, y^-), \quad f^+ = f(\tau^+, y^- + J),$$

for a later event lets the old field act longer and the new one less (Hiskens and Pai, IEEE Trans Circuits Syst I
2000;47:204-220, for a switch at a given time). Events that coincide happen one after the other, first the starts, then
the ends, each as listed: the order in which they are taken to move apart. A bolus stays a bolus.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .constant import constant
from .dose import Doses
from .march import Legs
from .scenario import Scenario
from .segments import MOMENT, Segments


def moving(route: Legs, scenario: Scenario) -> tuple[Segments, Legs]:
    """The stretches of both ways of solving where the doses of `scenario` move, and so every event is a boundary.

    What enters at the start of a stretch are, stage by stage, the starts and ends of doses at that time which are still
    to come: all at the first stage, none at the last. Infusions are left to the field.
    """
    start, end = np.asarray(route.start), np.asarray(route.end)
    entering = _pending(scenario.doses, np.append(scenario.start, end[:-1]))
    first = np.flatnonzero(route.fresh)
    last = np.append(first[1:], len(end)) - 1
    never, still = np.zeros(0), np.zeros(route.inflow.shape)
    parts = (start[first], end[last], entering[first], never, never, still[:0], never)
    stretches = Segments(*(constant(x) for x in parts))
    return stretches, dataclasses.replace(route, jump=constant(entering), inflow=constant(still))


def _pending(doses: Doses, begin: Float[np.ndarray, " stretch"]) -> Bool[np.ndarray, "stretch stage event"]:
    """Which starts, then ends, of doses are at the begin of a stretch and still to come."""
    now = (doses.events == begin[:, None]) & np.array([True] * len(doses) + [*doses.infused], bool)
    rank = now.cumsum(axis=1)
    stages = np.arange(now.sum(axis=1).max(initial=0) + 1)
    return now[:, None] & (rank[:, None] > stages[:, None])


def anchored(dosing: Callable[[Array], Doses], at: Doses) -> Callable[[Array], Doses]:
    """`dosing`, but at the times and durations of the plan exactly: rounding must not move an event off its stretch."""

    def follow(theta: Array) -> Doses:
        found = dosing(theta)
        if (found.target, found.infused) != (at.target, at.infused):
            raise ValueError(f"`dosing` gives doses to {found.target}; the plan has {at.target}, in this order")
        fixed = {name: getattr(at, name) + _tangent(getattr(found, name)) for name in ("time", "duration")}
        return dataclasses.replace(found, **fixed)

    return follow


def _tangent(x: Array) -> Array:
    """Zero, with the derivative of `x`."""
    return x - jax.lax.stop_gradient(x)


def near(doses: Doses, planned: Doses) -> Bool[Array, ""]:
    """Whether doses start and end when they are planned, but for rounding."""
    pairs = ((getattr(doses, name), getattr(planned, name)) for name in ("time", "duration"))
    return jnp.all(jnp.array([jnp.allclose(x, y, rtol=1e-9, atol=1e-9) for x, y in pairs]))


def inflow(t: Array, doses: Doses, into: Float[np.ndarray, "dose state"]) -> Float[Array, " state"]:
    """What infusions that run at `t` add to the states per hour; differentiable in amount and duration."""
    infused = np.array(doses.infused, bool)
    runs = infused & (doses.time < t) & (t <= doses.time + doses.duration)
    return jnp.where(runs, doses.amount / jnp.where(infused, doses.duration, 1.0), 0.0) @ into


def saltation(
    rate: Callable[[Doses, Array, Array], Array], doses: Doses, moves: Doses, into: Float[np.ndarray, "dose state"]
) -> Callable[[Array, Array, Array], Float[Array, "row state"]]:
    """The function `(y, t, pending) -> y` that takes state and tangents over the events at the start of a stretch.

    `rate(doses, t, x)` is the right-hand side with infusions, `moves` the derivatives of `doses` along every
    parameter, `into` the change of each state by a unit of each dose; `pending` is a row of `moving`, `t` just after.
    """
    bolus = ~np.array(doses.infused, bool)
    num = len(doses)
    later = jnp.concatenate([moves.time, moves.time + moves.duration])

    def at(t: Array, x: Array, pending: Array) -> Array:
        """The right-hand side just after some events and before others: these are put off for two moments."""
        start, end = pending[:num].astype(float), pending[num:].astype(float)
        delay = 2 * MOMENT * jnp.maximum(1, jnp.abs(t))
        held = jnp.where(bolus, 0.0, delay * (end - start))
        delayed = dataclasses.replace(doses, time=doses.time + delay * start, duration=doses.duration + held)
        return rate(delayed, t, x)

    def enter(y: Array, t: Array, pending: Array) -> Array:
        def event(carry, stage):
            y, before = carry
            done, pending = stage
            falls = (done[:num] * bolus).astype(float)[:, None] * into
            x = y[0] + doses.amount @ falls
            after = at(t, x, pending)
            shift = jnp.outer(done.astype(float) @ later, before - after)
            return (jnp.concatenate([x[None], y[1:] + moves.amount.T @ falls + shift]), after), None

        stages = (pending[:-1] & ~pending[1:], pending[1:])
        return jax.lax.scan(event, (y, at(t, y[0], pending[0])), stages)[0][0]

    return enter
