"""What happens to a host: when the story starts, what it is given, and what it starts with."""

from collections.abc import Mapping

import equinox as eqx
from jaxtyping import Array, Float

from .dose import Doses, doses_from, no_doses
from .model import Model
from .stimulus import Stimulus


class Scenario(eqx.Module):
    """Doses of trigger and treatment from `start` [h] on, and initial values of states that differ from rest."""

    doses: Doses = eqx.field(default_factory=no_doses)
    initial: Mapping[str, float] = eqx.field(default_factory=dict)
    start: float = eqx.field(default=0.0, static=True)

    def check(self, model: Model) -> None:
        """Raise `ValueError` where a dose or an initial value names something that `model` does not have."""
        states = [state.name for state in model.states]
        targets = [*model.inputs, *states]
        for target in self.doses.target:
            if target not in targets:
                raise ValueError(f"{type(model).__name__} takes no doses to `{target}`; it takes: {', '.join(targets)}")
        for name in self.initial:
            if name not in states:
                raise ValueError(f"{type(model).__name__} has no state `{name}`; it has: {', '.join(states)}")

    def initial_state(self, model: Model) -> Float[Array, " state"]:
        """The state at `start`: rest, but for the values that `initial` gives."""
        y = model.rest()
        for i, state in enumerate(model.states):
            if state.name in self.initial:
                y = y.at[i].set(self.initial[state.name])
        return y


class Trigger(eqx.Module):
    """What starts the story: doses, initial values, and the stimulus of models that take one."""

    doses: Mapping[str, Mapping] = eqx.field(default_factory=dict, static=True)
    stimulus: Stimulus | None = None
    initial: Mapping[str, float] = eqx.field(default_factory=dict)


class Treatment(eqx.Module):
    """What is given against it."""

    doses: Mapping[str, Mapping] = eqx.field(default_factory=dict, static=True)


def scenario(trigger: Trigger, treatment: Treatment) -> Scenario:
    """The scenario of a trigger under a treatment, from time 0 on.

    Raises `ValueError` for a dose that `doses_from` does not accept.
    """
    return Scenario(doses_from(trigger.doses) + doses_from(treatment.doses), trigger.initial)
