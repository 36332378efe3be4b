"""Stories: a trigger in a host of some feedback gain, treated or not, as the network tells it."""

import dataclasses
import functools
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cytostorm.models import Network, Treatment, Trigger, simulate, stage
from cytostorm.models.outcome import area, doubling_time, peak, time_above
from cytostorm.models.readout import readouts

from .compose import build, composed

NUM_TIMES = 1601


@dataclasses.dataclass(frozen=True)
class Story:
    """States and read-outs by name at `times` [h]."""

    times: Float[np.ndarray, " time"]
    curves: Mapping[str, Float[np.ndarray, " time"]]

    def __getitem__(self, name: str) -> Float[np.ndarray, " time"]:
        return self.curves[name]

    def at(self, time: float, name: str = "il6") -> float:
        """The value at `time` [h]."""
        return float(np.interp(time, self.times, self[name]))

    def end(self, name: str = "il6") -> float:
        """The last value."""
        return float(self[name][-1])

    def peak(self, name: str = "il6") -> float:
        """The largest value."""
        return float(self[name].max())

    def time_of_peak(self, name: str = "il6") -> float:
        """The time of the largest value [h]."""
        return peak(self.times, self[name])[1]

    def above(self, threshold: float, name: str = "il6") -> float:
        """The hours spent above a threshold."""
        return time_above(self.times, self[name], threshold)

    def doubling(self) -> float:
        """The doubling time of IL-6 in its run-up [h]."""
        return doubling_time(self.times, self["il6"])

    def area(self, name: str) -> float:
        """The area under the curve [unit x h]."""
        return area(self.times, self[name])


@functools.cache
def named_trigger(name: str) -> Trigger:
    """A trigger of the configuration, for the network."""
    return build(composed("simulate", [f"trigger={name}", "model=network"]).trigger)


@functools.cache
def named_courses(name: str) -> Mapping:
    """The courses of a treatment of the configuration."""
    return build(composed("simulate", [f"treatment={name}"]).treatment).courses


@functools.cache
def tell(
    trigger: str,
    gain: float,
    *drugs: str,
    start: float = 0.0,
    course: tuple[tuple[str, float | str], ...] = (),
    initial: tuple[tuple[str, float], ...] = (),
    changes: tuple[tuple[str, float], ...] = (),
    dose: float = 1.0,
    until: float | None = None,
) -> Story:
    """What becomes of a trigger at a feedback gain [1/h], with named treatments from `start` [h] on.

    `course` is one more course of a drug, `initial` and `changes` override the trigger's initial values and parameters
    of the host, `dose` multiplies the doses of the trigger. Raises `ArithmeticError` if the solve fails.
    """
    found = named_trigger(trigger)
    doses = {name: {**record, "amount": dose * record["amount"]} for name, record in found.doses.items()}
    changed = Trigger(
        doses, found.stimulus, {**found.initial, **dict(initial)}, {**found.parameters, **dict(changes)}, found.horizon_h
    )
    courses = {name: entry for drug in drugs for name, entry in named_courses(drug).items()}
    treatment = Treatment(start, **courses, **({"more": dict(course)} if course else {}))
    model, scenario = stage(Network(k_fb=jnp.asarray(float(gain))), changed, treatment)
    times = np.linspace(0, until or found.horizon_h or 24.0, NUM_TIMES)
    trajectory = simulate(model, scenario, times)
    if not trajectory.okay:
        raise ArithmeticError(f"{trigger} at gain {gain} under {drugs} did not solve")
    curves = {state.name: np.asarray(trajectory.states)[:, i] for i, state in enumerate(model.states)}
    read = readouts(model, trajectory.times, trajectory.states, scenario.doses)
    return Story(times, curves | {name: np.asarray(values) for name, values in read.items()})
