"""Fast approximations by normal distributions: Laplace, Pathfinder and variational inference, corrected and judged."""

import abc
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import xarray as xr
from blackjax.vi.multipathfinder import multi_approximate
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.infer import SVI as Variational
from numpyro.infer import Trace_ELBO, init_to_value
from numpyro.infer.autoguide import AutoMultivariateNormal
from numpyro.optim import Adam

from ..site import Program
from .blocks import Blocks
from .density import Density
from .draws import Draws, Report
from .settings import at_least_one
from .starts import WALL, Starting, Starts

POOL = 5  # proposals from which one draw is taken
CHAINS = 4  # parts into which the draws are cut, for ArviZ

type Proposals = tuple[Float[Array, "proposal parameter"], Float[Array, " proposal"]]


class Approximation(eqx.Module):
    """A distribution $q$ close to the posterior $p$; draws from it are resampled by Pareto-smoothed weights $p/q$.

    The shape `pareto_k` of the weights' tail says whether the draws may be used: they may not above 0.7 (Vehtari,
    Simpson, Gelman, Yao and Gabry, J Mach Learn Res 2024;25:72).
    """

    num_draws: eqx.AbstractVar[int]
    start: eqx.AbstractVar[Starting]

    @abc.abstractmethod
    def propose(self, density: Density, begun: Starts, key: PRNGKeyArray, num: int, report: Report) -> tuple[Proposals, int]:
        """`num` draws of $q$ with their log-densities, and the number of solves that finding $q$ took."""

    def sample(
        self,
        problem: Program,
        key: PRNGKeyArray,
        report: Report = lambda done, total: None,
        blocks: Blocks | None = None,
    ) -> Draws:
        """Approximate the posterior of `problem`. Raises `NoStart` if no starting point can be solved.

        `facts` holds `pareto_k`.
        """
        import arviz_stats  # noqa: F401 - `azstats` of an xarray is its

        clock = time.perf_counter()
        density = Density(problem)
        key_start, key_q, key_pick = jax.random.split(key, 3)
        begun = self.start.find(density, key_start, CHAINS, blocks or Blocks())
        starting = time.perf_counter() - clock
        (position, log_q), solves = self.propose(density, begun, key_q, POOL * self.num_draws, report)
        log_p = -jax.jit(jax.vmap(density.potential))(position)
        # A proposal that cannot be solved gets no weight, by a number that the smoothing can subtract.
        ratio = np.nan_to_num(np.asarray(log_p - log_q), nan=-np.inf)
        ratio = xr.DataArray(np.maximum(ratio, ratio.max() - 700), dims="sample")
        with np.errstate(over="ignore"):  # a tail that is too heavy has quantiles that are too large
            weights, shape = ratio.azstats.psislw(dim="sample")
        # Gumbel's largest: a sample without replacement in proportion to the weights.
        noise = jax.random.gumbel(key_pick, log_p.shape)
        chosen = np.asarray(jnp.argsort(-(jnp.asarray(weights.values) + noise))[: self.num_draws])
        cut = lambda x: np.asarray(x)[chosen].reshape(CHAINS, -1)  # noqa: E731
        report(1, 1)
        return Draws(
            {name: cut(x) for name, x in density.values(position).items()},
            {"lp": cut(log_p)},
            {},
            begun,
            begun.num_solves + solves + len(log_p),
            int(density.failures.sum()),
            np.zeros(CHAINS),
            {"starts": starting, "sampling": time.perf_counter() - clock - starting},
            facts={"pareto_k": 0.0 if np.ptp(ratio.values) < 1e-9 else float(shape)},  # weights that agree have no tail
        )

    def _check(self, *names: str) -> None:
        at_least_one(self, *names)
        if self.num_draws % CHAINS:
            raise ValueError(f"`num_draws` is {self.num_draws}; give a multiple of {CHAINS}")


class Laplace(Approximation):
    """A mixture of normal distributions, one at each mode with the curvature there, weighted by their masses."""

    num_draws: int = eqx.field(default=1000, static=True)
    start: Starting = Starting("laplace")

    def __check_init__(self) -> None:
        self._check("num_draws")
        if self.start.method not in ("map", "laplace"):
            raise ValueError(f"`start.method` is {self.start.method!r}; Laplace's method needs modes: give laplace")

    def propose(self, density: Density, begun: Starts, key: PRNGKeyArray, num: int, report: Report) -> tuple[Proposals, int]:
        """Draws of the mixture."""
        parts = dist.MultivariateNormal(jnp.asarray(begun.modes), covariance_matrix=jnp.asarray(begun.spreads))
        mixture = dist.MixtureSameFamily(dist.Categorical(probs=jnp.asarray(begun.weight)), parts)
        drawn = jnp.asarray(mixture.sample(key, (num,)))
        return (drawn, jnp.asarray(mixture.log_prob(drawn))), 0


class Pathfinder(Approximation):
    """Multi-path Pathfinder of BlackJAX (Zhang, Carpenter, Gelman and Vehtari, J Mach Learn Res 2022;23:306).

    The normal approximations along the path of an optimiser; of each path the one closest to the posterior.
    """

    num_draws: int = eqx.field(default=1000, static=True)
    num_paths: int = eqx.field(default=4, static=True)
    num_elbo: int = eqx.field(default=25, static=True)
    start: Starting = Starting("screened")

    def __check_init__(self) -> None:
        self._check("num_draws", "num_paths", "num_elbo")

    def propose(self, density: Density, begun: Starts, key: PRNGKeyArray, num: int, report: Report) -> tuple[Proposals, int]:
        """Draws of the best approximation on each path, as a mixture of equal parts."""
        key_begin, key_path, key_draw = jax.random.split(key, 3)
        more = self.start.find(density, key_begin, self.num_paths, Blocks())
        steps = 60
        walled = lambda x: -jnp.minimum(density.potential(x), WALL)  # noqa: E731
        find = jax.jit(
            lambda x: multi_approximate(key_path, walled, x, self.num_elbo, maxiter=steps, maxls=20, ftol=1e-6)[0]
        )
        paths = find(jnp.asarray(more.position)).path_states
        size = density.sites.size
        # Covariance of a path: diag(alpha) + beta gamma beta'.
        spread = jax.vmap(lambda a, b, c: jnp.diag(a) + b @ c @ b.T)(paths.alpha, paths.beta, paths.gamma)
        centre = paths.position + jnp.einsum("pij,pj->pi", spread, -paths.grad_position)
        fine = jnp.all(jnp.isfinite(spread), axis=(1, 2)) & jnp.isfinite(paths.elbo)
        spread = jnp.where(fine[:, None, None], spread, jnp.eye(size))
        parts = dist.MultivariateNormal(jnp.where(fine[:, None], centre, paths.position), covariance_matrix=spread)
        mixture = dist.MixtureSameFamily(dist.Categorical(probs=fine / jnp.maximum(fine.sum(), 1)), parts)
        drawn = jnp.asarray(mixture.sample(key_draw, (num,)))
        solves = more.num_solves + self.num_paths * (steps + 1) * self.num_elbo
        return (drawn, jnp.asarray(mixture.log_prob(drawn))), solves


class SVI(Approximation):
    """Variational inference by NumPyro: the normal distribution of full covariance with the highest evidence bound."""

    num_draws: int = eqx.field(default=1000, static=True)
    num_steps: int = eqx.field(default=1500, static=True)
    num_elbo: int = eqx.field(default=16, static=True)
    learning_rate: float = 0.01
    start: Starting = Starting("laplace")

    def __check_init__(self) -> None:
        self._check("num_draws", "num_steps", "num_elbo")

    def propose(self, density: Density, begun: Starts, key: PRNGKeyArray, num: int, report: Report) -> tuple[Proposals, int]:
        """Draws of the fitted normal distribution."""
        key_fit, key_draw = jax.random.split(key)
        mode, root = jnp.asarray(begun.modes[0]), jnp.linalg.cholesky(jnp.asarray(begun.spreads[0]))

        def program() -> None:
            # In units of the curvature at the mode, so that one rate of learning serves every parameter.
            z = numpyro.sample("z", dist.ImproperUniform(dist.constraints.real_vector, (), mode.shape))
            numpyro.factor("density", -jnp.minimum(density.potential(mode + root @ z), WALL))

        guide = AutoMultivariateNormal(
            program, init_loc_fn=init_to_value(values={"z": jnp.zeros_like(mode)}), init_scale=0.5
        )
        fit = Variational(program, guide, Adam(self.learning_rate), Trace_ELBO(num_particles=self.num_elbo))
        found = guide.get_posterior(fit.run(key_fit, self.num_steps, progress_bar=False).params)
        z = found.sample(key_draw, (num,))
        size = jnp.sum(jnp.log(jnp.diag(root)))
        return (mode + z @ root.T, found.log_prob(z) - size), self.num_steps * self.num_elbo
