"""Pathfinder: normal distributions along the paths of an optimiser."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Float, PRNGKeyArray

from .approximation import Approximation, Proposals
from .density import Density
from .starts import NEGLIGIBLE, WALL, Path, Probe, Starting, Starts, climb, spread


class Normal(NamedTuple):
    """A normal distribution, by its mean and the lower root of its covariance."""

    mean: Float[np.ndarray, " parameter"]
    root: Float[np.ndarray, "parameter parameter"]


class Pathfinder(Approximation):
    """Multi-path Pathfinder (Zhang, Carpenter, Gelman and Vehtari, J Mach Learn Res 2022;23:306).

    At each step of a climb the secants so far give an inverse curvature (BFGS, begun with the prior's covariance), and
    that a normal distribution; one more lies around the end of the climb, with the curvature by differences of
    gradients: a climb that begins at its end has no secants. Of each climb the one with the highest evidence bound is
    taken.
    """

    num_draws: int = eqx.field(default=1000, static=True)
    num_paths: int = eqx.field(default=4, static=True)
    num_elbo: int = eqx.field(default=25, static=True)
    start: Starting = Starting("random")

    def __check_init__(self) -> None:
        self._check("num_draws", "num_paths", "num_elbo")

    @property
    def num_starts(self) -> int:
        """One for each path."""
        return self.num_paths

    def propose(self, density: Density, begun: Starts, key: PRNGKeyArray, num: int) -> tuple[Proposals, int]:
        """Draws of the best approximation of each path, as a mixture of equal parts."""
        key_bound, key_draw = jax.random.split(key)
        probe, scale = Probe(density), density.sites.spread
        noise = np.asarray(jax.random.normal(key_bound, (self.num_elbo, len(scale))))
        best = [_best(probe, path, scale, noise) for path in climb(probe, begun.position)]
        highest = max(bound for bound, _ in best)
        kept = [normal for bound, normal in best if bound > highest - NEGLIGIBLE]
        parts = dist.MultivariateNormal(
            jnp.stack([normal.mean for normal in kept]), scale_tril=jnp.stack([normal.root for normal in kept])
        )
        mixture = dist.MixtureSameFamily(dist.Categorical(probs=jnp.full(len(kept), 1 / len(kept))), parts)
        drawn = jnp.asarray(mixture.sample(key_draw, (num,)))
        return (drawn, jnp.asarray(mixture.log_prob(drawn))), probe.num_solves


def _best(probe: Probe, path: Path, scale: np.ndarray, noise: np.ndarray) -> tuple[float, Normal]:
    """The highest evidence bound of a path, and its normal distribution."""
    end = path.position[-1]
    tried = [Normal(end, np.linalg.cholesky(spread(probe, end, scale)))]
    # Most distributions of a path's beginning lie far off, which one solve at the mean shows.
    tried += [n for n in along(path, scale) if probe.energy(n.mean[None])[0] < path.energy[-1] + NEGLIGIBLE]
    bounds = [bound(probe, normal, noise, path.energy[-1] + WALL) for normal in tried]
    highest = int(np.argmax(bounds))
    return bounds[highest], tried[highest]


def along(path: Path, scale: Float[np.ndarray, " parameter"]) -> list[Normal]:
    """The normal distribution $N(x - Hg, H)$ at each step of a path after the first.

    $H$ is the BFGS update of the inverse curvature, from the prior's; a secant along which the energy curves by less
    than a tenth of what the prior's does is noise or an edge, and is left out.
    """
    root, found = np.diag(scale), []
    for i in range(1, len(path.position)):
        s, z = path.position[i] - path.position[i - 1], path.slope[i] - path.slope[i - 1]
        if s @ z > 0.1 * np.sum((s / scale) ** 2):
            turn = np.eye(len(s)) - np.outer(s, z) / (s @ z)
            # The root of the update, turn H turn' + ss'/(s'z), without forming what rounding could make indefinite.
            root = np.linalg.qr(np.column_stack([turn @ root, s / np.sqrt(s @ z)]).T, mode="r").T
            root = root * np.where(np.diag(root) < 0, -1, 1)
            found.append(Normal(path.position[i] - root @ (root.T @ path.slope[i]), root))
    return found


def bound(probe: Probe, normal: Normal, noise: Float[np.ndarray, "draw parameter"], ceiling: float) -> float:
    """The evidence bound of a normal distribution: the mean of $\\log p/q$ over its draws, energies up to a ceiling."""
    energy = np.minimum(probe.energy(normal.mean + noise @ normal.root.T), ceiling)
    log_q = -0.5 * np.sum(noise**2, axis=1) - np.sum(np.log(np.diag(normal.root)))
    return float(np.mean(-energy - log_q))
