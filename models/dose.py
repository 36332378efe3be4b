"""Dosing schedules: boluses, infusions and their repetition."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from .constant import constant

type Scalar = float | Float[Array, ""]


def _held(value: Any) -> Any:
    return constant(value, float) if isinstance(value, np.ndarray) else value


def _library(*values: Any) -> Any:
    """The library for arithmetic of values: NumPy where all are known, for JAX compiles a program for every new shape."""
    return jnp if any(isinstance(value, Tracer) for value in values) else np


class Doses(eqx.Module):
    """A schedule of doses, each a bolus (duration 0) or an infusion at constant rate.

    `target` names the state or the input of the model that receives each dose, `infused` tells whether it is an
    infusion; `amount` is in the target's unit, `time` and `duration` are in hours.
    """

    target: tuple[str, ...] = eqx.field(static=True)
    infused: tuple[bool, ...] = eqx.field(static=True)
    time: Float[Array, " dose"] = eqx.field(converter=_held)
    amount: Float[Array, " dose"] = eqx.field(converter=_held)
    duration: Float[Array, " dose"] = eqx.field(converter=_held)

    def __len__(self) -> int:
        return len(self.target)

    def __add__(self, other: "Doses") -> "Doses":
        pairs = ((self.time, other.time), (self.amount, other.amount), (self.duration, other.duration))
        return Doses(
            self.target + other.target,
            self.infused + other.infused,
            *(_library(*pair).concatenate(pair) for pair in pairs),
        )

    def to(self, target: str) -> "Doses":
        """The doses that `target` receives."""
        return self.only([name == target for name in self.target])

    def only(self, keep: Sequence[bool]) -> "Doses":
        """The doses at which `keep` is true."""
        index = np.flatnonzero(keep)
        target, infused = tuple(self.target[i] for i in index), tuple(self.infused[i] for i in index)
        return Doses(target, infused, *(_library(x).asarray(x)[index] for x in (self.time, self.amount, self.duration)))

    def entering(self, states: Sequence[str]) -> Float[np.ndarray, "dose state"]:
        """One where a dose enters a state, zero elsewhere."""
        return np.array([[target == state for state in states] for target in self.target], float).reshape(-1, len(states))

    def shifted(self, by: Scalar) -> "Doses":
        """The same doses `by` hours later; differentiable."""
        return dataclasses.replace(self, time=_library(self.time, by).add(self.time, by))

    def scaled(self, factor: Scalar) -> "Doses":
        """The same doses with `factor` times the amounts; differentiable."""
        return dataclasses.replace(self, amount=_library(self.amount, factor).multiply(self.amount, factor))

    @property
    def events(self) -> Float[np.ndarray, " event"]:
        """The times at which doses start, then those at which they end [h], in the order of the doses."""
        time, duration = np.asarray(self.time), np.asarray(self.duration)
        return np.concatenate([time, time + duration])

    @property
    def edges(self) -> Float[np.ndarray, " edge"]:
        """The sorted times at which a dose starts or ends [h]: the segment boundaries of a solve."""
        return np.unique(self.events)


def no_doses() -> Doses:
    """The empty schedule."""
    return Doses((), (), *(np.zeros(0),) * 3)


def bolus(target: str, amount: Scalar, time: Scalar = 0.0) -> Doses:
    """`amount` given at once at `time` [h]."""
    return infusion(target, amount, 0.0, time)


def infusion(target: str, amount: Scalar, duration: Scalar, time: Scalar = 0.0) -> Doses:
    """`amount` given at constant rate over `duration` [h] from `time` [h].

    Values that are traced are not checked, and a duration that is traced is that of an infusion.

    Raises `ValueError` for a negative or non-finite amount or duration, or a non-finite time.
    """
    for name, value in {"amount": amount, "duration": duration}.items():
        if not (isinstance(value, Tracer) or (np.isfinite(value) and value >= 0)):
            raise ValueError(f"`{name}` of a dose to `{target}` is {value}; give a finite number >= 0")
    if not (isinstance(time, Tracer) or np.isfinite(time)):
        raise ValueError(f"`time` of a dose to `{target}` is {time}; give a finite number of hours")
    infused = isinstance(duration, Tracer) or bool(duration > 0)
    return Doses((target,), (infused,), *(_library(x).array([x], float) for x in (time, amount, duration)))


def repeated(doses: Doses, interval: Scalar, number: int) -> Doses:
    """`doses` given `number` times in all, every `interval` hours.

    Raises `ValueError` for a number below 1, or an interval that is not positive.
    """
    if number < 1:
        raise ValueError(f"`number` of repetitions is {number}; give 1 or more")
    if number > 1 and not (isinstance(interval, Tracer) or (np.isfinite(interval) and interval > 0)):
        raise ValueError(f"`interval` between doses is {interval} h; give a positive number")
    shift = _library(interval).multiply(np.repeat(np.arange(number), len(doses)), interval)
    time, amount, duration = (_library(x).tile(x, number) for x in (doses.time, doses.amount, doses.duration))
    return Doses(doses.target * number, doses.infused * number, _library(time, shift).add(time, shift), amount, duration)


def doses_from(records: Mapping[str, Mapping]) -> Doses:
    """The schedule that named records describe.

    Each record has `target` and `amount`, and may have `time_h`, `duration_h`, `number`, `interval_h`.

    Raises `ValueError` for a record with an unknown or missing key, or a value that a dose cannot have.
    """
    schedule = no_doses()
    known = ("target", "amount", "time_h", "duration_h", "number", "interval_h")
    for name, record in records.items():
        if unknown := record.keys() - set(known):
            raise ValueError(f"dose `{name}` has no key `{unknown.pop()}`; it has: {', '.join(known)}")
        if missing := {"target", "amount"} - record.keys():
            raise ValueError(f"dose `{name}` lacks `{missing.pop()}`")
        one = infusion(record["target"], record["amount"], record.get("duration_h", 0.0), record.get("time_h", 0.0))
        schedule += repeated(one, record.get("interval_h", 0.0), record.get("number", 1))
    return schedule
