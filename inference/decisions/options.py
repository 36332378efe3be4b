"""What can be chosen: treatments, when each starts by which clock, and how much of it is given."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from cytostorm.models import Doses, Treatment

NOW, TRIGGER = "now", "trigger"  # clocks that tell the same hour in every draw
UNTREATED = "untreated"


class Clock(eqx.Module):
    """Time since `of` first exceeded `above`; without them since the decision (`now`) or since the trigger."""

    name: str = eqx.field(static=True)
    of: str | None = eqx.field(default=None, static=True)
    above: float = np.inf

    def zero(
        self, now: float, times: Float[np.ndarray, " time"], read: Mapping[str, Float[np.ndarray, "draw time"]], num: int
    ) -> Float[np.ndarray, " draw"]:
        """When the clock starts in the untreated course of each of `num` draws [h]; infinite where it never does."""
        if self.of is None:
            return np.full(num, now if self.name == NOW else 0.0)
        over = read[self.of] > self.above
        first = over.argmax(axis=1)
        return np.where(over.any(axis=1), times[first], np.inf)


class Option(eqx.Module):
    """One way to treat: `treatment` from `start_h` on by a clock, with `dose` times its amounts; or no treatment."""

    arm: str = eqx.field(static=True)
    treatment: Treatment | None
    start_h: float
    dose: float
    clock: Clock

    @property
    def label(self) -> str:
        """In words."""
        if self.treatment is None:
            return self.arm
        much = "" if self.dose == 1 else f", {self.dose:g} x dose"
        return f"{self.arm} at {self.start_h:g} h{much}"

    def start(
        self, now: float, times: Float[np.ndarray, " time"], read: Mapping[str, np.ndarray], num: int
    ) -> Float[np.ndarray, " draw"]:
        """When treatment starts in each draw [h], given their untreated read-outs; infinite where it never does.

        By a clock that each draw sets for itself nobody is treated before the decision: who is late is treated at it.
        """
        start = self.clock.zero(now, times, read, num) + self.start_h
        return start if self.clock.of is None else np.maximum(start, now)

    def doses(self, weight: float, start: float = 0.0) -> Doses:
        """What enters the body of a patient of this weight [kg] where treatment starts at `start` [h]."""
        assert self.treatment is not None
        return self.treatment.doses(weight).scaled(self.dose).shifted(start)


def options(
    arms: Mapping[str, Treatment],
    starts: Mapping[str, Sequence[float]],
    doses: Mapping[str, Sequence[float]],
    clocks: Mapping[str, Clock],
) -> list[Option]:
    """Every arm at each of its starts and doses, after no treatment at all, which always is an option.

    Raises `ValueError` where there is no arm, start or dose, for one twice, and for a dose that is not positive.
    """
    if not arms:
        raise ValueError("no arm to compare; name at least one treatment, as in treatments=[tocilizumab]")
    found = [Option(UNTREATED, None, np.inf, 0.0, Clock(NOW))]
    for name, treatment in arms.items():
        if name == UNTREATED or not treatment.courses:
            raise ValueError(f"arm `{name}` gives nothing; the untreated are always compared, leave it out")
        for what, many in (("start_h", starts[name]), ("dose", doses[name])):
            if not len(many):
                raise ValueError(f"`{what}` of arm `{name}` is empty; give at least one")
            if len(set(many)) < len(many):
                raise ValueError(f"`{what}` of arm `{name}` names a value twice: {', '.join(f'{x:g}' for x in many)}")
        for dose in doses[name]:
            if not (np.isfinite(dose) and dose > 0):
                raise ValueError(f"`dose` of arm `{name}` is {dose:g} times that of the treatment; give a positive number")
            found += [Option(name, treatment, float(start), float(dose), clocks[name]) for start in starts[name]]
    return found


def spread(value: Any, name: str) -> list[float]:
    """The numbers of a list, of one number, or of `first:last:step`, the last included.

    Raises `ValueError` for what is none of these.
    """
    try:
        if isinstance(value, str):
            first, last, step = (float(x) for x in value.split(":"))
            if not (step > 0 and last >= first):
                raise ValueError
            return np.arange(first, last + step * 1e-9, step).tolist()
        many = [float(x) for x in (value if isinstance(value, Sequence) else [value])]
    except (TypeError, ValueError):
        raise ValueError(f"`{name}` is {value!r}; give a number, a list, or first:last:step as in 0:96:12") from None
    if not np.all(np.isfinite(many)):
        raise ValueError(f"`{name}` is {value!r}; give finite numbers")
    return many
