"""How an initial value problem is solved: method, tolerances, and what failure is."""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from . import native
from .march import Legs, legs, march, worst_row
from .precision import ATOL, PRECISIONS, RTOL, single
from .saltation import moving
from .scenario import Scenario
from .segments import METHODS, Segments, segments, solve_segments
from .system import System


class Solver(eqx.Module):
    """An adaptive Runge-Kutta method.

    `native` is Tsitouras' explicit method in C, written and compiled for the model at hand; it is `march`, the same loop
    in JAX, on a GPU, where there is no C compiler, and where doses move. By diffrax there are explicit (bosh3, dopri5,
    dopri8, tsit5) and implicit methods (kvaerno3, kvaerno5). `rtol` is the relative tolerance,
    `atol` the absolute one in units of each state's scale, and `max_steps` bounds the steps: a solve that needs more has
    failed. `precision` is that of the state, its tangents and the loop (float32 not by diffrax); times,
    parameters, events and what is returned are in float64 whichever it is.
    """

    method: str = eqx.field(default="native", static=True)
    rtol: float = 1e-6
    atol: float = 1e-8
    max_steps: int = eqx.field(default=4096, static=True)
    precision: str = eqx.field(default="float64", static=True)

    def __check_init__(self) -> None:
        if self.method not in (*native.METHODS, "march", *METHODS):
            raise ValueError(
                f"`method` is {self.method!r}; choose from: {', '.join(native.METHODS)}, march, {', '.join(METHODS)}"
            )
        for name in ("rtol", "atol"):
            value = getattr(self, name)
            if isinstance(value, float) and not value > 0:
                raise ValueError(f"`{name}` is {value}; give a positive tolerance")
        if self.max_steps < 1:
            raise ValueError(f"`max_steps` is {self.max_steps}; give 1 or more")
        if self.precision not in PRECISIONS:
            raise ValueError(f"`precision` is {self.precision!r}; choose from: {', '.join(PRECISIONS)}")
        if self.precision == "float32":
            self._check_single()

    def _check_single(self) -> None:
        if self.method in METHODS:
            raise ValueError(
                f"`precision` is 'float32', which {self.method!r} does not have: diffrax gives the state the type of time,"
                " and in float32 time cannot tell a dose from the moment after; use native, stabilised or march, or float64"
            )
        for name, least in {"rtol": RTOL, "atol": ATOL}.items():
            value = getattr(self, name)
            if isinstance(value, float) and value < least:
                raise ValueError(
                    f"`{name}` is {value:g}, which rounding in float32 hides; give {least:g} or more, or precision=float64"
                )


class Schedule(eqx.Module):
    """When doses enter the states, as each way of solving wants it: by fixed amounts, or by `saltation`."""

    stretches: Segments
    route: Legs


def schedules(scenario: Scenario, states: tuple[str, ...], times: Float[np.ndarray, " time"]) -> tuple[Schedule, Schedule]:
    """The doses of `scenario` to these states until the last of the sorted `times` [h], as they are and as they move."""
    with jax.ensure_compile_time_eval():
        route = legs(scenario, states, times)
        return Schedule(segments(scenario, states, float(times[-1])), route), Schedule(*moving(route, scenario))


def integrate(
    system: System,
    initial: Float[Array, "row state"],
    plan: Schedule,
    scale: Float[np.ndarray, " state"],
    times: Float[Array, " time"],
    solver: Solver,
    enter: Callable[[Array, Array, Array], Array] | None = None,
) -> tuple[Float[Array, "time row state"], Bool[Array, ""], Int[Array, ""]]:
    """Solve a system with the state in units of `scale`, and save it at the sorted `times`.

    The first row of $y$ is the state, which doses enter; others are its tangents, and the error control sees them all.
    No step crosses a dose time, and a reading at one is taken before the dose. Where doses move, `enter` takes $y$ over
    their starts and ends. Returns the saved values, whether the solve succeeded, and the steps taken. The saved values
    of a failed solve may not be finite: test the flag before use.
    """

    def scaled[T: eqx.Module](part: T, *names: str) -> T:
        return dataclasses.replace(part, **{name: getattr(part, name) / scale[None] for name in names})

    route, stretches = plan.route, plan.stretches
    if enter is None:
        route, stretches = scaled(route, "jump", "inflow"), scaled(stretches, "jump", "rate")
        enter = _add
    if solver.precision == "float32":
        system, initial = dataclasses.replace(system, rate=single(system.rate)), initial.astype(jnp.float32)
    control = (solver.rtol, solver.atol, solver.max_steps)
    found = None
    if solver.method in native.METHODS and enter is _add:
        found = native.solve(solver.method, system.rate, initial, system.active, system.directions, route, *control)
    if found is not None:
        saved, okay, steps = found
    elif solver.method in (*native.METHODS, "march"):
        saved, okay, steps = march(system.field, initial, route, *control, enter)
    else:
        saved, okay, steps = solve_segments(
            system.field, initial, stretches, times, solver.method, worst_row, *control, enter
        )
    return saved.astype(float), okay & jnp.all(jnp.isfinite(saved)), steps


def _add(y: Array, _: Array, jump: Array) -> Array:
    """Boluses enter the state; the tangents pass."""
    return y.at[0].add(jump)
