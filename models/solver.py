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
    """The stretches between dose edges: within one the dose rates are constant, at its start boluses fall."""

    start: Float[Array, " segment"]
    end: Float[Array, " segment"]
    jump: Float[Array, "segment state"]
    rate: Float[Array, "segment state"]


def segments(scenario: Scenario, states: tuple[str, ...], end: float) -> Segments:
    """The segments of `scenario` from its start to `end` [h], for a model with these states."""
    doses, start = scenario.doses, scenario.start
    inside = [t for t in doses.edges if start < t < end]
    edges = np.array([start, *inside, max(end, start)])
    index = np.array([states.index(target) if target in states else -1 for target in doses.target], int)
    time, amount, duration = (np.asarray(x) for x in (doses.time, doses.amount, doses.duration))
    falls = (duration == 0) & (time == edges[:-1, None])
    middle = (edges[:-1, None] + edges[1:, None]) / 2
    runs = (duration > 0) & (time <= middle) & (middle < time + duration)
    pick = (index[:, None] == np.arange(len(states))) * 1.0
    jump = (falls * amount) @ pick
    rate = (runs * amount / np.where(duration > 0, duration, 1)) @ pick
    return Segments(*(jnp.asarray(x) for x in (edges[:-1], edges[1:], jump, rate)))


def integrate(
    field: Callable[[Array, Array, Array], Array],
    initial: Float[Array, " y"],
    stretches: Segments,
    times: Float[Array, " time"],
    solver: Solver,
) -> tuple[Float[Array, "time y"], Bool[Array, ""], Int[Array, ""]]:
    """Solve $\\dot y =$ `field(t, y, rate)` segment by segment and save it at the sorted `times`.

    A bolus adds to the first entries of $y$ at the start of its segment; a reading at a dose time is taken
    before the dose. Returns the saved values, whether every segment succeeded, and the steps taken. The
    saved values of a failed solve are not finite: test the flag before use.
    """
    term = dfx.ODETerm(lambda t, y, rate: field(jnp.asarray(t), y, rate))
    controller = dfx.PIDController(rtol=solver.rtol, atol=solver.atol)
    method = METHODS[solver.method]()

    def advance(carry, stretch):
        y, okay, steps, saved = carry
        y = y.at[: stretch.jump.size].add(stretch.jump)
        # All times are saved in every segment, clipped to it; the mask keeps those that lie inside.
        solution = dfx.diffeqsolve(
            term,
            method,
            stretch.start,
            stretch.end,
            dt0=None,
            y0=y,
            args=stretch.rate,
            saveat=dfx.SaveAt(ts=jnp.clip(times, stretch.start, stretch.end), t1=True),
            stepsize_controller=controller,
            max_steps=solver.max_steps,
            adjoint=dfx.ForwardMode(),
            throw=False,
        )
        assert solution.ys is not None
        within = (stretch.start < times) & (times <= stretch.end)
        saved = jnp.where(within[:, None], solution.ys[:-1], saved)
        okay &= solution.result == dfx.RESULTS.successful
        return (solution.ys[-1], okay, steps + solution.stats["num_steps"], saved), None

    saved = jnp.broadcast_to(initial, (times.size, initial.size))
    start = (initial, jnp.array(True), jnp.array(0), saved)
    (_, okay, steps, saved), _ = jax.lax.scan(advance, start, stretches)
    return saved, okay & jnp.all(jnp.isfinite(saved)), steps
