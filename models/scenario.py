"""What happens to a host: when the story starts, what it is given, and what it starts with."""

import dataclasses
from collections.abc import Mapping

import equinox as eqx
from jaxtyping import Array, Float

from .constant import constant
from .dose import Doses, doses_from, no_doses
from .model import Model
from .quantity import replace
from .stimulus import Stimulus
from .treatment import Treatment


class Scenario(eqx.Module):
    """Doses of trigger and treatment from `start` [h] on, and initial values of states that differ from rest."""

    doses: Doses = eqx.field(default_factory=no_doses)
    initial: Mapping[str, float | Float[Array, ""]] = eqx.field(default_factory=dict)
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
    """What starts the story: doses, initial values and parameters of the host network, and a stimulus.

    The stimulus stands for the whole trigger in models that take one. `horizon_h` is how long the story lasts, where
    the readings do not say so.
    """

    doses: Mapping[str, Mapping] = eqx.field(default_factory=dict, static=True)
    stimulus: Stimulus | None = None
    initial: Mapping[str, float] = eqx.field(default_factory=dict, static=True)
    parameters: Mapping[str, float] = eqx.field(default_factory=dict, static=True)
    horizon_h: float | None = eqx.field(default=None, static=True)


def stage[M: Model](model: M, trigger: Trigger, treatment: Treatment) -> tuple[M, Scenario]:
    """The model as the trigger finds it, and the scenario of the trigger under a treatment, from time 0 on.

    Doses per kg are those of the model's body weight, 70 kg where it has none.

    Raises `ValueError` where a dose, a state or a parameter does not exist in the model.
    """
    doses = doses_from(trigger.doses) + treatment.doses(float(getattr(model, "weight", 70.0)))
    if any(field.name == "stimulus" for field in dataclasses.fields(model)):
        staged, story = model, Scenario(doses)
    else:
        staged = replace(model, {name: constant(x, float) for name, x in trigger.parameters.items()})
        story = Scenario(doses, {name: constant(x, float) for name, x in trigger.initial.items()})
    story.check(staged)
    return staged, story
