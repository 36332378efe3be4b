"""What outcomes are worth together: a weighted sum, in which the trade between storm and infection is explicit."""

from collections.abc import Mapping

import equinox as eqx
import numpy as np
from jaxtyping import Float

from .counterfactual import Comparison


class Utility(eqx.Module):
    """The sum of outcomes times their weights; more is better, so that harm has a negative weight.

    Raises `ValueError` without weights, and for one that is not finite.
    """

    weights: Mapping[str, float] = eqx.field(static=True)

    def __init__(self, **weights: float):
        if not weights:
            raise ValueError("`utility` has no weights; give that of at least one outcome, as in utility.damage_peak=-100")
        for name, weight in weights.items():
            if not np.isfinite(weight):
                raise ValueError(f"`utility.{name}` is {weight}; give a finite weight")
        self.weights = dict(weights)

    def check(self, outcomes: Mapping) -> None:
        """Raise `ValueError` for a weight of an outcome that is not asked for."""
        if unknown := [name for name in self.weights if name not in outcomes]:
            raise ValueError(f"`utility` weighs `{unknown[0]}`, which is not among the outcomes: {', '.join(outcomes)}")

    def of(self, comparison: Comparison) -> Float[np.ndarray, "option patient draw"]:
        """The utility of every option in every patient and draw."""
        index = [comparison.outcomes.index(name) for name in self.weights]
        return comparison.outcome[..., index] @ np.array(list(self.weights.values()))
