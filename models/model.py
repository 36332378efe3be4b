"""The abstract model: a packed state, its equations, and what an assay reads of it."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from .dose import Doses


@dataclasses.dataclass(frozen=True)
class State:
    """One entry of the packed state: `name`, TeX `symbol`, `unit`, natural `scale` and `meaning`."""

    name: str
    symbol: str
    unit: str
    scale: float
    meaning: str


class Model(eqx.Module):
    """An ordinary differential equation $\\dot y = f(t, y)$ driven by doses, and its read-outs.

    `states` lists the entries of the packed state $y$ in order, `analytes` names what `observe` returns, with
    units. Time is in hours: a rate per day is divided by `DAY`, one per year by `YEAR`. Initial values that are sampled are
    parameters of which `rest` is made.
    """

    states: ClassVar[tuple[State, ...]]
    analytes: ClassVar[Mapping[str, str]]

    @property
    @abc.abstractmethod
    def inputs(self) -> Mapping[str, str]:
        """The dose targets that the vector field takes as forcing, with their units."""

    @abc.abstractmethod
    def rest(self) -> Float[Array, " state"]:
        """The state of a healthy host before any trigger."""

    @abc.abstractmethod
    def vector_field(self, t: Float[Array, ""], y: Float[Array, " state"], doses: Doses) -> Float[Array, " state"]:
        """$f(t, y)$ [unit of each state per hour]; doses to a state are added by `simulate`, not here."""

    @abc.abstractmethod
    def observe(self, y: Float[Array, " state"]) -> dict[str, Float[Array, ""]]:
        """What an assay reads of the state $y$, by analyte, in the unit that `analytes` gives."""


def scales(model: Model) -> Float[np.ndarray, " state"]:
    """The natural scale of every state."""
    return np.array([state.scale for state in model.states])
