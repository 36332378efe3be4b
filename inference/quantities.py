"""The numbers that are sampled once for all subjects, by the names, symbols and units of tables."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, PRNGKeyArray
from numpyro.distributions.transforms import CorrCholeskyTransform, ExpTransform

from .keys import generator
from .population import Population
from .population_tree import coordinates, dimensions, texts
from .problem import Problem

NUM_DRAWS = 2000  # of the prior, to know how wide it is where that is in no formula
PARTIAL = "partial_correlation"  # what a root of a correlation is made of (Lewandowski, Kurowicka and Joe 2009)
UNDO = {ExpTransform: np.exp, CorrCholeskyTransform: np.tanh}  # from a position to the number that a reader knows


class Quantity(NamedTuple):
    """A number that all subjects share: where it lies in a position, and how it is told."""

    name: str
    symbol: str
    unit: str
    meaning: str
    entry: int
    transform: Any

    @property
    def positive(self) -> bool:
        """Whether a position holds its logarithm."""
        return self.transform is ExpTransform

    def value(self, position: Float[np.ndarray, " parameter"]) -> float:
        """Its value at a position."""
        return float(self.told(position[self.entry]))

    def told(self, x: Float[Any, "*batch"]) -> Float[Any, "*batch"]:
        """Its values where a position has these entries."""
        return UNDO.get(self.transform, np.asarray)(x)


def quantities(problem: Problem | Population) -> list[Quantity]:
    """The quantities of a problem; of a population medians, noise, spreads, partial correlations, factors of assays."""
    text = texts(problem) if isinstance(problem, Population) else problem.describe()
    found, begin = [], 0
    for name, site in problem.sites.parts.items():
        if not site.by_subject:
            label, told = (PARTIAL, "correlation") if name == "root" else (name, name)
            for k, (of, subscript) in enumerate(_entries(problem, told) if site.shape else [("", "")]):
                about = text[told]
                symbol = about["symbol"] + subscript
                found.append(Quantity(label + of, symbol, about["unit"], about["meaning"], begin + k, type(site.transform)))
        begin += site.size
    return found


def described(problem: Problem | Population) -> dict[str, dict[str, str]]:
    """Symbol, unit and meaning of every quantity."""
    return {q.name: {"symbol": q.symbol, "unit": q.unit, "meaning": q.meaning} for q in quantities(problem)}


def width(problem: Problem | Population, key: Any) -> Float[np.ndarray, " quantity"]:
    """The standard deviation of every quantity in the prior, where it is sampled."""
    shared = problem.sites.shared
    if isinstance(problem, Problem):
        return problem.sites.spread[shared]
    return of_prior(problem, key, NUM_DRAWS)[:, shared].std(axis=0)


def of_prior(problem: Problem | Population, key: PRNGKeyArray, num: int) -> Float[np.ndarray, "draw parameter"]:
    """Positions drawn from the prior; where what subjects have depends on the population, by its own program."""
    if isinstance(problem, Population):
        return np.asarray(problem.sites.positions(problem.draw(key, num)))
    return np.asarray(problem.sites.drawn(generator(key).standard_normal((num, problem.sites.size))))


def _entries(problem: Any, name: str) -> list[tuple[str, str]]:
    """What follows the name, and the symbol, of every entry of a vector: the parameters it belongs to, or its number."""
    (axis,), known = dimensions(problem)[name], problem.describe()
    found = []
    for i, label in enumerate(coordinates(problem)[axis]):
        symbols = [known[x]["symbol"] for x in label.split("~") if x in known] or [str(i + 1)]
        found.append((f"[{label}]", "_{" + r"\,".join(symbols) + "}"))
    return found
