"""Solution by diffrax: from bolus to bolus, with dense output at the reading times."""

from collections.abc import Callable

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .scenario import Scenario

METHODS: dict[str, type[dfx.AbstractSolver]] = {
    "bosh3": dfx.Bosh3,
    "dopri5": dfx.Dopri5,
    "dopri8": dfx.Dopri8,
    "kvaerno3": dfx.Kvaerno3,
    "kvaerno5": dfx.Kvaerno5,
    "tsit5": dfx.Tsit5,
}

MOMENT = 1e-12  # of the time, at least of an hour: the number next to zero would be flushed to zero


class Segments(eqx.Module):
    """The stretches between boluses to a state, and the times where the vector field jumps.

    At the start of each stretch `jump` is added to the state; where doses move it is what `saltation` takes. `rate` is
    what each infusion adds per hour to each state while it runs, from `on` to `off`. `edges` are the times inside
    a stretch at which any dose starts or ends.
    """

    start: Float[Array, " segment"]
    end: Float[Array, " segment"]
    jump: Float[Array, "segment state"] | Bool[Array, "segment stage event"]
    on: Float[Array, " infusion"]
    off: Float[Array, " infusion"]
    rate: Float[Array, "infusion state"]
    edges: Float[Array, " edge"]


def segments(scenario: Scenario, states: tuple[str, ...], end: float) -> Segments:
    """The segments of `scenario` from its start to `end` [h], for a model with these states."""
    doses, start = scenario.doses, scenario.start
    time, amount, duration = (np.asarray(x) for x in (doses.time, doses.amount, doses.duration))
    pick = doses.entering(states)
    falls = pick.any(axis=1) & (duration == 0)
    inside = np.unique(time[falls & (start < time) & (time < end)])
    bounds = np.array([start, *inside, max(end, start)])
    jump = ((time == bounds[:-1, None]) & falls) * amount @ pick
    flows = pick.any(axis=1) & (duration > 0)
    rate = (amount[flows] / duration[flows])[:, None] * pick[flows]
    edges = np.array([t for t in doses.edges if start <= t < end and t not in bounds])
    parts = (just_after(bounds[:-1]), bounds[1:], jump, time[flows], (time + duration)[flows], rate, edges)
    return Segments(*(jnp.asarray(x, float) for x in parts))


def just_after(time: Float[np.ndarray, " time"]) -> Float[np.ndarray, " time"]:
    """A moment later: the field just after an edge differs from the field at it, where a dose is not yet given."""
    return time + MOMENT * np.maximum(1, np.abs(time))


def after(time: float) -> float:
    """The first moment [h] at which a reading sees a dose given at `time`; at `time` itself it is taken before the dose."""
    return time + 2 * MOMENT * max(1.0, abs(time))


def solve_segments(
    field: Callable[[Array, Array], Array],
    initial: Float[Array, "row state"],
    stretches: Segments,
    times: Float[Array, " time"],
    method: str,
    controller: dfx.PIDController,
    max_steps: int,
    enter: Callable[[Array, Array, Array], Array],
) -> tuple[Float[Array, "time row state"], Bool[Array, ""], Int[Array, ""]]:
    """Solve $\\dot y =$ `field(t, y)`, where doses enter by `enter(y, t, jump)`, and save it at the sorted `times`.

    No step crosses an edge, and a reading at a dose time is taken before the dose.
    """

    def forced(t, y, _):
        t = jnp.asarray(t)
        runs = (stretches.on < t) & (t <= stretches.off)
        return field(t, y).at[0].add(runs.astype(float) @ stretches.rate)

    stepping: dfx.AbstractStepSizeController = controller
    if stretches.edges.size:
        stepping = dfx.ClipStepSizeController(controller, jump_ts=stretches.edges)
    solver = METHODS[method]()

    def advance(carry, stretch):
        y, okay, steps, saved = carry
        start, end, jump = stretch
        # All times are saved in every segment, clipped to it; the mask keeps those that lie inside.
        solution = dfx.diffeqsolve(
            dfx.ODETerm(forced),
            solver,
            start,
            end,
            dt0=None,
            y0=enter(y, start, jump),
            saveat=dfx.SaveAt(ts=jnp.clip(times, start, end), t1=True),
            stepsize_controller=stepping,
            max_steps=max_steps,
            adjoint=dfx.ForwardMode(),
            throw=False,
        )
        assert solution.ys is not None
        within = (start <= times) & (times <= end)
        saved = jnp.where(within[:, None, None], solution.ys[:-1], saved)
        okay &= solution.result == dfx.RESULTS.successful
        return (solution.ys[-1], okay, steps + solution.stats["num_steps"], saved), None

    saved = jnp.broadcast_to(initial, (times.size, *initial.shape))
    begun = (initial, jnp.array(True), jnp.array(0), saved)
    (_, okay, steps, saved), _ = jax.lax.scan(advance, begun, (stretches.start, stretches.end, stretches.jump))
    return saved, okay, steps
