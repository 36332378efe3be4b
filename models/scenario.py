"""What happens to a host: when the story starts, what it is given, and what it starts with."""

from collections.abc import Mapping

import equinox as eqx
from jaxtyping import Array, Float

from .dose import Doses, no_doses
from .model import Model


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
                raise ValueError(
                    f"{type(model).__name__} takes no doses to `{target}`; it takes: {', '.join(targets)}"
                )
        for name in self.initial:
            if name not in states:
                raise ValueError(
                    f"{type(model).__name__} has no state `{name}`; it has: {', '.join(states)}"
                )

    def initial_state(self, model: Model) -> Float[Array, " state"]:
        """The state at `start`: rest, but for the values that `initial` gives."""
        y = model.rest()
        for i, state in enumerate(model.states):
            if state.name in self.initial:
                y = y.at[i].set(self.initial[state.name])
        return y
