r"""What is said of a patient's course in one number: its peak, its area, hours above a limit, an infection that escapes.

An outcome is one function of two courses, the patient's and that of the same patient untreated, from the decision on. Those
here are differentiable wherever courses are, but for the two that are yes or no.
"""

import runpy
from collections.abc import Callable
from typing import Any, ClassVar, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cytostorm.models.drugs import STANDARD_DOSES, SUPPORT

type Scalar = Float[Array, ""]

FLOOR = 1e-6  # of a burden, below which there is no infection to speak of


class Course(eqx.Module):
    """A patient from the decision on: read-outs and states by name at `times` [h], what was given, and until when.

    `given` are amounts by drug [mg, or standard doses]; `until` is the end of the last dose [h], minus infinity without.
    """

    times: Float[Array, " time"]
    read: dict[str, Float[Array, " time"]]
    given: dict[str, Scalar]
    until: Scalar

    def __getitem__(self, name: str) -> Float[Array, " time"]:
        return self.read[name]


@runtime_checkable
class Outcome(Protocol):
    """One number of a course; `of` names the read-out or the state that it needs, or is None."""

    of: Any

    def unit(self, units: dict[str, str]) -> str:
        """Its unit, given those of the read-outs."""
        ...

    def __call__(self, course: Course, untreated: Course) -> Scalar:
        """Its value."""
        ...


class Peak(eqx.Module):
    """The largest value of `of`."""

    of: str = eqx.field(static=True)

    def unit(self, units: dict[str, str]) -> str:
        return units[self.of]

    def __call__(self, course: Course, untreated: Course) -> Scalar:
        return jnp.max(course[self.of])


class Area(eqx.Module):
    """The area under the curve of `of`, by the trapezoidal rule."""

    of: str = eqx.field(static=True)

    def unit(self, units: dict[str, str]) -> str:
        return "h" if units[self.of] == "1" else f"{units[self.of]} h"

    def __call__(self, course: Course, untreated: Course) -> Scalar:
        return jnp.trapezoid(course[self.of], course.times)


class At(eqx.Module):
    """The value of `of` some hours after the decision: what the next reading would find."""

    of: str = eqx.field(static=True)
    after_h: float

    def unit(self, units: dict[str, str]) -> str:
        return units[self.of]

    def __call__(self, course: Course, untreated: Course) -> Scalar:
        return jnp.interp(course.times[0] + self.after_h, course.times, course[self.of])


class HoursAbove(eqx.Module):
    """For how long `of` lies above `limit` [h], with crossings interpolated."""

    of: str = eqx.field(static=True)
    limit: float

    def unit(self, units: dict[str, str]) -> str:
        return "h"

    def __call__(self, course: Course, untreated: Course) -> Scalar:
        excess = course[self.of] - self.limit
        left, right = excess[:-1], excess[1:]
        span = jnp.where(left == right, 1.0, jnp.abs(left - right))
        crossing = jnp.maximum(jnp.maximum(left, right), 0.0) / span
        share = jnp.where((left > 0) & (right > 0), 1.0, jnp.where((left <= 0) & (right <= 0), 0.0, crossing))
        return jnp.sum(share * jnp.diff(course.times))


class Doublings(eqx.Module):
    """How much larger the area of `of` is than that of the untreated, as a power of 2; 0 where both have none."""

    of: str = eqx.field(static=True)

    def unit(self, units: dict[str, str]) -> str:
        return "doublings"

    def __call__(self, course: Course, untreated: Course) -> Scalar:
        floor = FLOOR * (course.times[-1] - course.times[0])
        own, other = (jnp.trapezoid(jnp.maximum(x[self.of], 0.0), x.times) + floor for x in (course, untreated))
        return jnp.log2(own / other)


class Escape(eqx.Module):
    """1 where the area of `of` is more than `factor` times that of the untreated, else 0: the brakes were too strong."""

    of: str = eqx.field(static=True)
    factor: float = 1.1
    stepped: ClassVar[bool] = True

    def unit(self, units: dict[str, str]) -> str:
        return "1"

    def __call__(self, course: Course, untreated: Course) -> Scalar:
        return (Doublings(self.of)(course, untreated) > jnp.log2(self.factor)).astype(float)


class Rebound(eqx.Module):
    """1 where `of` rises again after the last dose: to `factor` times its lowest value since then, and above `limit`."""

    of: str = eqx.field(static=True)
    limit: float
    factor: float = 2.0
    stepped: ClassVar[bool] = True

    def unit(self, units: dict[str, str]) -> str:
        return "1"

    def __call__(self, course: Course, untreated: Course) -> Scalar:
        after = (course.times >= course.until) & jnp.isfinite(course.until)
        x = course[self.of]
        lowest = jax.lax.cummin(jnp.where(after, x, jnp.inf))
        return jnp.any(after & (x > self.limit) & (x > self.factor * lowest)).astype(float)


class Given(eqx.Module):
    """The amount of a drug that was given [mg, or standard doses]; without `drug` that of all that are given in mg."""

    drug: str | None = eqx.field(default=None, static=True)
    of: None = eqx.field(default=None, static=True)

    def unit(self, units: dict[str, str]) -> str:
        return "mg" if self.drug not in STANDARD_DOSES else "standard doses"

    def __call__(self, course: Course, untreated: Course) -> Scalar:
        if self.drug is not None:
            return course.given.get(self.drug, jnp.zeros(()))
        return sum((x for name, x in course.given.items() if name not in (*STANDARD_DOSES, *SUPPORT)), jnp.zeros(()))


class Custom(eqx.Module):
    """Your own outcome: `function(course, untreated)` of a Python file, in JAX's NumPy, of the read-out `of`.

    Raises `ValueError` where the file or the function cannot be found.
    """

    file: str = eqx.field(static=True)
    function: str = eqx.field(static=True)
    of: str | None = eqx.field(static=True)
    units: str = eqx.field(static=True)
    call: Callable[[Course, Course], Any] = eqx.field(static=True)

    def __init__(self, file: str, function: str, of: str | None = None, unit: str = "1"):
        self.file, self.function, self.of, self.units = file, function, of, unit
        try:
            self.call = runpy.run_path(file)[function]
        except Exception as error:  # whatever a user's file raises
            what = f"it defines no `{function}`" if isinstance(error, KeyError) else str(error)
            raise ValueError(
                f"outcome `{function}` of {file} cannot be had: {what}; give a Python file that defines it"
            ) from error

    def unit(self, units: dict[str, str]) -> str:
        return self.units

    def __call__(self, course: Course, untreated: Course) -> Scalar:
        return jnp.asarray(self.call(course, untreated), float)
