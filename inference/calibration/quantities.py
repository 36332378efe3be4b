"""What is ranked: the numbers that are sampled once for all subjects, by the names, symbols and units of tables."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpyro.distributions.transforms import CorrCholeskyTransform, ExpTransform

from ..population import Population
from ..population_tree import texts
from ..problem import Problem
from ..samplers import Density

NUM_DRAWS = 2000  # of the prior, to know how wide it is where that is in no formula
PARTIAL = "partial_correlation"  # what a root of a correlation is made of (Lewandowski, Kurowicka and Joe 2009)
UNDO = {ExpTransform: np.exp, CorrCholeskyTransform: np.tanh}  # from a position to the number that a reader knows


class Quantity(NamedTuple):
    """A number that is ranked: where it lies in a position, and how it is told."""

    name: str
    symbol: str
    unit: str
    entry: int
    transform: Any

    def value(self, position: Float[np.ndarray, " parameter"]) -> float:
        """Its value at a position."""
        return float(UNDO.get(self.transform, np.asarray)(position[self.entry]))


def quantities(problem: Problem | Population) -> list[Quantity]:
    """The quantities of a problem; of a population medians, noise, spreads, partial correlations, factors of assays."""
    text = texts(problem) if isinstance(problem, Population) else problem.describe()
    found, begin = [], 0
    for name, site in problem.sites.parts.items():
        if not site.by_subject:
            label, more = (PARTIAL, text.get("correlation")) if name == "root" else (name, text.get(name))
            about = more or {"symbol": rf"\mathrm{{{name}}}", "unit": "1"}
            entries = _entries(problem, name) if site.shape else [("", "")]
            for k, (of, subscript) in enumerate(entries):
                symbol = about["symbol"] + subscript
                found.append(Quantity(label + of, symbol, about["unit"], begin + k, type(site.transform)))
        begin += site.size
    return found


def described(problem: Problem | Population) -> dict[str, dict[str, str]]:
    """Symbol and unit of every quantity."""
    return {q.name: {"symbol": q.symbol, "unit": q.unit} for q in quantities(problem)}


def width(problem: Problem | Population, key: Any) -> Float[np.ndarray, " quantity"]:
    """The standard deviation of every quantity in the prior, where it is sampled."""
    entry = problem.sites.shared
    if isinstance(problem, Problem):
        return problem.sites.spread[entry]
    return Density(problem).prior_draws(key, NUM_DRAWS)[:, entry].std(axis=0)


def _entries(problem: Any, name: str) -> list[tuple[str, str]]:
    """What follows the name, and the symbol, of every entry of a vector."""
    effects = list(problem.variability.effects)
    symbol: Mapping[str, str] = {effect: problem.describe()[effect]["symbol"] for effect in effects}
    if name == "omega":
        return [(f"[{x}]", f"_{{{symbol[x]}}}") for x in effects]
    if name == "root":
        pairs = [(effects[i], effects[j]) for i, j in zip(*np.tril_indices(len(effects), -1), strict=True)]
        return [(f"[{a}~{b}]", rf"_{{{symbol[a]}\,{symbol[b]}}}") for a, b in pairs]
    return [(f"[{study}:{analyte}]", f"_{{{i + 1}}}") for i, (study, analyte) in enumerate(problem.assays.scales)]
