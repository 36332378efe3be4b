"""How an initial value problem is solved: method, tolerances, and what failure is."""

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


class Solver(eqx.Module):
    """An adaptive Runge-Kutta method: explicit (bosh3, dopri5, dopri8, tsit5) or implicit (kvaerno3, kvaerno5).

    `rtol` is the relative tolerance, `atol` the absolute one in units of each state's scale, and `max_steps`
    bounds the steps of a segment: a solve that needs more has failed.
    """

    method: str = eqx.field(default="tsit5", static=True)
    rtol: float = 1e-6
    atol: float = 1e-8
    max_steps: int = eqx.field(default=4096, static=True)

    def __check_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"`method` is {self.method!r}; choose from: {', '.join(METHODS)}")
        for name in ("rtol", "atol"):
            value = getattr(self, name)
            if isinstance(value, float) and not value > 0:
                raise ValueError(f"`{name}` is {value}; give a positive tolerance")
        if self.max_steps < 1:
            raise ValueError(f"`max_steps` is {self.max_steps}; give 1 or more")


class Segments(eqx.Module):
    """The stretches between boluses to a state, and the times where the vector field jumps.

    At the start of each stretch `jump` is added to the state. `rate` is what each infusion adds per hour to each
    state while it runs, from `on` to `off`. `edges` are the times at which any dose starts or ends.
    """

    start: Float[Array, " segment"]
    end: Float[Array, " segment"]
    jump: Float[Array, "segment state"]
    on: Float[Array, " infusion"]
    off: Float[Array, " infusion"]
    rate: Float[Array, "infusion state"]
    edges: Float[Array, " edge"]

    def inflow(self, t: Float[Array, ""]) -> Float[Array, " state"]:
        """What infusions add to the states per hour at `t`."""
        runs = (self.on < t) & (t <= self.off)
        return runs.astype(float) @ self.rate


def segments(scenario: Scenario, states: tuple[str, ...], end: float) -> Segments:
    """The segments of `scenario` from its start to `end` [h], for a model with these states."""
    doses, start = scenario.doses, scenario.start
    time, amount, duration = (np.asarray(x) for x in (doses.time, doses.amount, doses.duration))
    pick = np.array([[target == state for state in states] for target in doses.target], float).reshape(-1, len(states))
    falls = pick.any(axis=1) & (duration == 0)
    inside = np.unique(time[falls & (start < time) & (time < end)])
    bounds = np.array([start, *inside, max(end, start)])
    jump = ((time == bounds[:-1, None]) & falls) * amount @ pick
    flows = pick.any(axis=1) & (duration > 0)
    rate = (amount[flows] / duration[flows])[:, None] * pick[flows]
    edges = np.array([t for t in doses.edges if start <= t < end])
    # The field just after an edge differs from the field at it, where a dose is not yet given. (The number next to
    # zero would be flushed to zero.)
    begin = bounds[:-1] + 1e-12 * np.maximum(1, np.abs(bounds[:-1]))
    parts = (begin, bounds[1:], jump, time[flows], (time + duration)[flows], rate, edges)
    return Segments(*(jnp.asarray(x, float) for x in parts))


def integrate(
    field: Callable[[Array, Array], Array],
    initial: Float[Array, " y"],
    stretches: Segments,
    times: Float[Array, " time"],
    solver: Solver,
) -> tuple[Float[Array, "time y"], Bool[Array, ""], Int[Array, ""]]:
    """Solve $\\dot y =$ `field(t, y)` segment by segment and save it at the sorted `times`.

    A bolus adds to the first entries of $y$ at the start of its segment, no step crosses an edge, and a reading at a
    dose time is taken before the dose. Returns the saved values, whether every segment succeeded, and the steps
    taken. The saved values of a failed solve are not finite: test the flag before use.
    """
    term = dfx.ODETerm(lambda t, y, _: field(jnp.asarray(t), y))
    controller: dfx.AbstractStepSizeController = dfx.PIDController(rtol=solver.rtol, atol=solver.atol)
    if stretches.edges.size:
        controller = dfx.ClipStepSizeController(controller, jump_ts=stretches.edges)
    method = METHODS[solver.method]()

    def advance(carry, stretch):
        y, okay, steps, saved = carry
        start, end, jump = stretch
        y = y.at[: jump.size].add(jump)
        # All times are saved in every segment, clipped to it; the mask keeps those that lie inside.
        solution = dfx.diffeqsolve(
            term,
            method,
            start,
            end,
            dt0=None,
            y0=y,
            saveat=dfx.SaveAt(ts=jnp.clip(times, start, end), t1=True),
            stepsize_controller=controller,
            max_steps=solver.max_steps,
            adjoint=dfx.ForwardMode(),
            throw=False,
        )
        assert solution.ys is not None
        within = (start <= times) & (times <= end)
        saved = jnp.where(within[:, None], solution.ys[:-1], saved)
        okay &= solution.result == dfx.RESULTS.successful
        return (solution.ys[-1], okay, steps + solution.stats["num_steps"], saved), None

    saved = jnp.broadcast_to(initial, (times.size, initial.size))
    begun = (initial, jnp.array(True), jnp.array(0), saved)
    (_, okay, steps, saved), _ = jax.lax.scan(advance, begun, (stretches.start, stretches.end, stretches.jump))
    return saved, okay & jnp.all(jnp.isfinite(saved)), steps
