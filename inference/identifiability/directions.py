r"""Directions along which readings tell less than the prior, and what they leave told, in words.

In units of the prior's standard deviations the Fisher information has the eigenvalues $s_k^2$, the squares of the singular
values of the sensitivity matrix in units of noise and prior. Along a direction with $s < 1$ the prior tells more than the
readings; the variance that they leave is $1/(1 + s^2)$ of the prior's. The space of these directions is turned so that each
names as few parameters as can be.
"""

from fractions import Fraction

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

FLAT = 1.0  # a singular value below it: the prior tells more
NOTHING = 0.1  # below it the readings take less than one per cent off the variance
SMALL = 0.25  # of the largest entry of a direction: below it a parameter does not count as part of it
ALIKE = 0.25  # how far the logarithm of a ratio lies from that of a law, in the median over draws
FEWEST = 0.05  # the share of draws below which a combination is left out
COLUMNS = ("words", "parameters", "moves", "law", "share", "singular_value", "q5", "q95")


def spectra(information: Float[np.ndarray, "draw p p"], spread: Float[np.ndarray, " p"]) -> tuple[np.ndarray, np.ndarray]:
    """Singular values in units of noise and prior, largest first (draw x p), and their directions (draw x p x p)."""
    scaled = spread[:, None] * information * spread
    values, vectors = np.linalg.eigh((scaled + np.swapaxes(scaled, 1, 2)) / 2)
    return np.sqrt(np.maximum(values[:, ::-1], 0.0)), vectors[:, :, ::-1]


def about(
    information: Float[np.ndarray, "draw p p"], spread: Float[np.ndarray, " p"], kept: Bool[np.ndarray, " p"]
) -> Float[np.ndarray, "draw k k"]:
    """The information about those that are kept, where of the others nothing is known but their priors and the readings."""
    own, cross = information[:, kept][:, :, kept], information[:, kept][:, :, ~kept]
    others = information[:, ~kept][:, :, ~kept] + np.diag(spread[~kept] ** -2.0)
    return own - cross @ np.linalg.solve(others, np.swapaxes(cross, 1, 2))


def sparse(basis: Float[np.ndarray, "p m"]) -> Float[np.ndarray, "p m"]:
    """The same space by directions of few entries: each has a one where the others are zero (Gauss and Jordan)."""
    found, free = np.array(basis), list(range(len(basis)))
    for k in range(found.shape[1]):
        rest = np.abs(found[free][:, k:])
        row, column = np.unravel_index(np.argmax(rest), rest.shape)
        pivot = free.pop(int(row))
        found[:, [k, k + int(column)]] = found[:, [k + int(column), k]]
        found[:, k] /= found[pivot, k]
        others = [j for j in range(found.shape[1]) if j != k]
        found[:, others] -= np.outer(found[:, k], found[pivot, others])
    return found


def combinations(
    information: Float[np.ndarray, "draw p p"], points: Float[np.ndarray, "draw p"], spread: np.ndarray, names: list[str]
) -> pd.DataFrame:
    """One row per set of parameters that cannot be told apart, most common first.

    `share` is that of the draws in which they cannot; `moves` are the changes of the logarithms that no reading tells
    (median over these draws, the first is 1); `law` is sum, difference, product or ratio where that is what is told;
    `singular_value` is that along the direction, with its 5 and 95 % quantiles. `points` are the logarithms of the
    parameters in every draw.
    """
    values, vectors = spectra(information, spread)
    found: dict[tuple[int, ...], list[tuple[np.ndarray, np.ndarray, float]]] = {}
    for s, v, x, told in zip(values, vectors, points, information, strict=True):
        if not (s < FLAT).any():
            continue
        for direction in sparse(v[:, s < FLAT]).T:
            kept = np.where(np.abs(direction) < SMALL * np.abs(direction).max(), 0.0, direction)
            moves = spread * kept / np.linalg.norm(kept)
            part = tuple(int(i) for i in np.flatnonzero(kept))
            found.setdefault(part, []).append((moves, x, float(np.sqrt(max(moves @ told @ moves, 0.0)))))
    rows = []
    for part, many in found.items():
        share = len(many) / max(len(points), 1)
        if share >= FEWEST:
            moves, at = np.array([m[list(part)] for m, _, _ in many]), np.array([x[list(part)] for _, x, _ in many])
            ratio = moves / moves[:, :1]
            rows.append(_row([names[i] for i in part], ratio, at, np.array([s for _, _, s in many]), share))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.sort_values("share", ascending=False, ignore_index=True)


def _row(names: list[str], moves: np.ndarray, at: np.ndarray, singular: np.ndarray, share: float) -> tuple:
    middle, law = np.median(moves, axis=0), law_of(moves, at)
    low, value, high = np.quantile(singular, (0.05, 0.5, 0.95))
    shown = " ".join(f"{m:.3g}" for m in middle)
    return in_words(names, middle, law, value), " ".join(names), shown, law, share, value, low, high


def law_of(moves: Float[np.ndarray, "draw two"], at: Float[np.ndarray, "draw two"]) -> str:
    """What two parameters leave told, by how their logarithms `at` may move; nothing where no law fits in most draws.

    Along a constant product one logarithm falls as the other rises, along a constant ratio both rise; along a constant sum
    or difference the parameters themselves move like that.
    """
    if moves.shape[1] != 2:
        return ""
    logs, plain = moves[:, 1], moves[:, 1] * np.exp(at[:, 1] - at[:, 0])
    laws = {"product": -logs, "ratio": logs, "sum": -plain, "difference": plain}
    fits = {law: np.median(np.abs(np.log(np.maximum(x, 1e-12)))) for law, x in laws.items()}
    best = min(fits, key=lambda law: fits[law])
    return best if fits[best] < ALIKE else ""


def in_words(names: list[str], moves: Float[np.ndarray, " part"], law: str, singular: float) -> str:
    """What is not told, and what is."""
    less = "not" if singular < NOTHING else "hardly"
    if len(names) == 1:
        return f"{names[0]} is {less} told"
    if len(names) == 2:
        return f"{names[0]} and {names[1]} are {less} told apart: only {told_instead(names, moves, law)} is told"
    percent = 10 * moves / moves[np.argmax(np.abs(moves))]
    changes = ", ".join(f"{name} {x:+.0f} %" for name, x in zip(names, percent, strict=True))
    return (
        f"{', '.join(names[:-1])} and {names[-1]} are {less} told apart: {changes} together leave the readings as they are"
    )


def told_instead(names: list[str], moves: Float[np.ndarray, " two"], law: str) -> str:
    """What two parameters that are not told apart leave told."""
    a, b = names
    laws = {"sum": f"the sum {a} + {b}", "difference": f"the difference {a} - {b}"}
    laws |= {"product": f"the product {a} x {b}", "ratio": f"the ratio {a} / {b}"}
    if law:
        return laws[law]
    weight = -1 / moves[1]
    return f"log {a} {'+' if weight > 0 else '-'} {simple(abs(weight))} log {b}"


def simple(number: float) -> str:
    """A number as a simple ratio where one is near, else in two digits."""
    near = Fraction(number).limit_denominator(4)
    if near and abs(float(near) - number) < 0.05 * abs(number):
        return str(near)
    return f"{number:.2g}"
