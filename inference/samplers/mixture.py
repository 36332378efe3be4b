"""Mixtures of Student's t distributions: fitted to weighted points, evaluated and drawn from."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from scipy.special import gammaln

from .weights import worth

DEGREES = 8.0  # of freedom: heavier tails than a posterior's, so that weights stay bounded
SWEEPS = 10  # of expectation and maximisation
POINTS = 4096  # to which the parts are fitted
BLOCK = 1024  # points whose density is computed at once: they fit into the cache
ENOUGH = 30  # points for every part and dimension


class Mixture(NamedTuple):
    """Student's t distributions around `centre` with scales `root @ root.T`, each with its share."""

    share: Float[Any, " part"]
    centre: Float[Any, "part dim"]
    root: Float[Any, "part dim dim"]

    def log_density(self, x: Float[Any, "point dim"], xp: Any = np) -> Float[Any, " point"]:
        """The log-density at points, in NumPy or JAX."""
        if xp is not np:
            inverse = xp.linalg.inv(self.root)
            square = [(((x - m) @ r.T) ** 2).sum(axis=1) for m, r in zip(self.centre, inverse, strict=True)]
            return jax.nn.logsumexp(_height(self, xp.stack(square), xp), axis=0)
        return np.concatenate([_summed(height)[0] for height, _ in self.blocks(np.asarray(x))])

    def blocks(
        self, x: Float[np.ndarray, "point dim"]
    ) -> Iterator[tuple[Float[np.ndarray, "part block"], Float[np.ndarray, "part block"]]]:
        """Of every part its share times its density, as a logarithm, and the squared distance, at a block of points each."""
        num, dim = self.centre.shape
        inverse = np.linalg.inv(self.root)
        turn = inverse.transpose(1, 0, 2).reshape(dim * num, dim)  # all parts at once: one product of matrices
        begin = np.einsum("kij,kj->ik", inverse, self.centre).reshape(-1, 1)
        for first in range(0, len(x), BLOCK):
            off = turn @ x[first : first + BLOCK].T
            off -= begin
            off *= off
            square = off.reshape(dim, num, -1).sum(axis=0)
            yield _height(self, square, np), square

    def draw(self, rng: np.random.Generator, num: int) -> Float[np.ndarray, "{num} dim"]:
        """Points of the mixture, which are each of a part of its own."""
        part = rng.choice(len(self.share), num, p=self.share)
        scale = np.sqrt(DEGREES / rng.chisquare(DEGREES, num))
        normal = rng.standard_normal((num, self.centre.shape[1]))
        return self.centre[part] + scale[:, None] * np.einsum("nij,nj->ni", self.root[part], normal)

    @classmethod
    def of(cls, mixtures: Sequence["Mixture"], shares: Sequence[float] | None = None) -> "Mixture":
        """All the parts of several mixtures, which have these shares, or equal ones."""
        shares = [1 / len(mixtures)] * len(mixtures) if shares is None else shares
        share = np.concatenate([s * m.share for s, m in zip(shares, mixtures, strict=True)])
        return cls(share, np.concatenate([m.centre for m in mixtures]), np.concatenate([m.root for m in mixtures]))


def _height(mixture: Mixture, square: Any, xp: Any) -> Any:
    """Of every part its share times its density, as a logarithm, at squared distances from it."""
    dim = mixture.centre.shape[1]
    size = xp.log(xp.diagonal(mixture.root, axis1=1, axis2=2)).sum(axis=1)
    known = float(gammaln((DEGREES + dim) / 2) - gammaln(DEGREES / 2) - dim / 2 * np.log(DEGREES * np.pi))
    return (xp.log(mixture.share) - size)[:, None] + known - (DEGREES + dim) / 2 * xp.log(1 + square / DEGREES)


def _summed(height: Float[np.ndarray, "part point"]) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, "part point"]]:
    """The logarithm of the sum over parts, and the share of each in it."""
    top = height.max(axis=0)
    part = np.exp(height - top)
    total = part.sum(axis=0)
    part /= total
    return top + np.log(total), part


def fitted(
    x: Float[np.ndarray, "point dim"],
    weight: Float[np.ndarray, " point"],
    most: int,
    rng: np.random.Generator,
    enough: int = ENOUGH,
    apart: bool = False,
) -> Mixture:
    """The mixture most like weighted points, of at most so many parts with `enough` points per dimension each.

    `weight` sums to 1. Parts start around points chosen at random, or `apart` from each other.

    By expectation and maximisation (Peel and McLachlan, Stat Comput 2000;10:339) over points resampled by their weights.
    Every scale matrix is drawn towards that of all points as if by as many points as there are dimensions. In single
    precision, which is enough for a proposal: points have unit covariance.
    """
    dim, effective = x.shape[1], worth(weight)
    num = int(np.clip(effective / (enough * dim), 1, most))
    place = (np.arange(POINTS) + rng.random()) / POINTS
    x = x[np.minimum(np.searchsorted(np.cumsum(weight), place), len(x) - 1)]
    middle, common = x.mean(axis=0), np.linalg.cholesky(np.cov(x.T).reshape(dim, dim) + 1e-12 * np.eye(dim))
    first = _apart(x, num, rng) if apart else x[rng.choice(len(x), num)]
    x, centre = (np.linalg.solve(common, (part - middle).T).T.astype(np.float32) for part in (x, first))
    square = (x[:, :, None] * x[:, None, :]).reshape(len(x), -1)
    prior = np.eye(dim, dtype=np.float32) * np.float32(num ** (-2 / dim))
    found = Mixture(np.full(num, 1 / num, np.float32), centre, np.repeat(np.sqrt(prior)[None], num, axis=0))
    for _ in range(SWEEPS):
        height, distance = (np.concatenate(each, axis=1) for each in zip(*found.blocks(x), strict=True))
        mine = _summed(height)[1]
        near = mine * (DEGREES + dim) / (DEGREES + distance)
        share, total = np.maximum(mine.mean(axis=1), 1e-6), near.sum(axis=1)
        centre = near @ x / np.maximum(total, 1e-30)[:, None]
        scale = (near @ square).reshape(num, dim, dim) - total[:, None, None] * centre[:, :, None] * centre[:, None, :]
        scale = (effective * scale / len(x) + dim * prior) / (effective * share + dim)[:, None, None]
        found = Mixture(share / share.sum(), centre, np.linalg.cholesky(scale))
    share, centre, root = (np.asarray(part, float) for part in found)
    return Mixture(share / share.sum(), middle + centre @ common.T, common @ root)


def _apart(x: np.ndarray, num: int, rng: np.random.Generator) -> np.ndarray:
    """Points that are likely to be far from each other (k-means++: Arthur and Vassilvitskii, SODA 2007:1027)."""
    scaled = x / np.maximum(x.std(axis=0), 1e-12)
    chosen, far = [int(rng.integers(len(x)))], np.full(len(x), np.inf)
    for _ in range(num - 1):
        far = np.minimum(far, ((scaled - scaled[chosen[-1]]) ** 2).sum(axis=1)) + 1e-300
        chosen.append(int(rng.choice(len(x), p=far / far.sum())))
    return x[chosen]
