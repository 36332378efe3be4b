"""Fast approximations by normal distributions, corrected and judged: Laplace's method and variational inference."""

import abc
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from blackjax.smc.resampling import systematic
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.infer import SVI as Variational
from numpyro.infer import Trace_ELBO, init_to_value
from numpyro.infer.autoguide import AutoMultivariateNormal
from numpyro.optim import Adam

from .blocks import Blocks
from .density import Density, Posed
from .draws import Draws, Report
from .settings import at_least_one
from .starts import WALL, Starting, Starts, Stuck
from .weights import smoothed, worth

POOL = 5  # proposals from which one draw is taken
CHAINS = 4  # parts into which the draws are cut, for ArviZ
SET_UP = 3  # solves by which NumPyro prepares a guide

type Proposals = tuple[Float[Array, "proposal parameter"], Float[Array, " proposal"]]


class Approximation(eqx.Module):
    """A distribution $q$ close to the posterior $p$; draws from it are resampled by Pareto-smoothed weights $p/q$.

    The shape `pareto_k` of the weights' tail says whether the draws may be used: they may not above 0.7 (Vehtari,
    Simpson, Gelman, Yao and Gabry, J Mach Learn Res 2024;25:72), nor where the weights are worth fewer draws than are
    taken.
    """

    num_draws: eqx.AbstractVar[int]
    start: eqx.AbstractVar[Starting]

    @property
    def num_starts(self) -> int:
        """How many starting points are sought beside the modes."""
        return 1

    @abc.abstractmethod
    def propose(self, density: Density, begun: Starts, key: PRNGKeyArray, num: int) -> tuple[Proposals, int]:
        """`num` draws of $q$ with their log-densities, and the number of solves that finding $q$ took."""

    def sample(
        self,
        problem: Posed,
        key: PRNGKeyArray,
        report: Report = lambda done, total: None,
        blocks: Blocks | None = None,
    ) -> Draws:
        """Approximate the posterior of `problem`. Raises `NoStart` if no starting point can be solved.

        `facts` holds `pareto_k`, and `weights_ess`: how many equally weighted draws the weights are worth.
        """
        clock = time.perf_counter()
        density = Density.of(problem)
        key_start, key_q, key_pick, key_order = jax.random.split(key, 4)
        begun = self.start.find(density, key_start, self.num_starts, blocks or Blocks())
        starting = time.perf_counter() - clock
        jax.effects_barrier()
        before = density.failures[-1]
        (position, log_q), solves = self.propose(density, begun, key_q, POOL * self.num_draws)
        log_p = -np.asarray(density.jit(jax.vmap(Density.potential, (None, 0)))(position))
        jax.effects_barrier()
        if not np.isfinite(log_p).any():
            raise Stuck("none of the draws of the approximation can be solved; use sampler=nuts")
        weights, shape = smoothed(log_p - np.asarray(log_q))
        order = jax.random.permutation(key_order, systematic(key_pick, jnp.asarray(weights), self.num_draws))
        chosen = np.asarray(order)
        cut = lambda x: np.asarray(x)[chosen].reshape(CHAINS, -1, *x.shape[1:])  # noqa: E731
        report(1, 1)
        return Draws(
            {name: cut(x) for name, x in density.values(position).items()},
            {"lp": cut(log_p)},
            {},
            begun,
            begun.num_solves + solves + len(log_p),
            begun.num_failed + int(density.failures[-1] - before),
            np.full(CHAINS, np.mean(~np.isfinite(log_p))),
            {"starts": starting, "sampling": time.perf_counter() - clock - starting},
            facts={"pareto_k": shape, "weights_ess": worth(weights)},
            failed_by_subject=density.by_subject,
        )

    def _check(self, *names: str) -> None:
        at_least_one(self, *names)
        if self.num_draws % CHAINS or self.num_draws < 2 * CHAINS:
            raise ValueError(f"`num_draws` is {self.num_draws}; give a multiple of {CHAINS}, {2 * CHAINS} or more")

    def _check_modes(self) -> None:
        if self.start.method not in ("map", "laplace"):
            raise ValueError(f"`start.method` is {self.start.method!r}; {type(self).__name__} begins at modes: give laplace")


class Laplace(Approximation):
    """A mixture of normal distributions, one at each mode with the curvature there, weighted by their masses."""

    num_draws: int = eqx.field(default=1000, static=True)
    start: Starting = Starting("laplace")

    def __check_init__(self) -> None:
        self._check("num_draws")
        self._check_modes()

    def propose(self, density: Density, begun: Starts, key: PRNGKeyArray, num: int) -> tuple[Proposals, int]:
        """Draws of the mixture."""
        parts = dist.MultivariateNormal(jnp.asarray(begun.modes), covariance_matrix=jnp.asarray(begun.spreads))
        mixture = dist.MixtureSameFamily(dist.Categorical(probs=jnp.asarray(begun.weight)), parts)
        drawn = jnp.asarray(mixture.sample(key, (num,)))
        return (drawn, jnp.asarray(mixture.log_prob(drawn))), 0


class SVI(Approximation):
    """Variational inference by NumPyro: the normal distribution of full covariance with the highest evidence bound."""

    num_draws: int = eqx.field(default=1000, static=True)
    num_steps: int = eqx.field(default=1500, static=True)
    num_elbo: int = eqx.field(default=16, static=True)
    learning_rate: float = 0.01
    start: Starting = Starting("laplace")

    def __check_init__(self) -> None:
        self._check("num_draws", "num_steps", "num_elbo")
        self._check_modes()

    def propose(self, density: Density, begun: Starts, key: PRNGKeyArray, num: int) -> tuple[Proposals, int]:
        """Draws of the fitted normal distribution."""
        key_fit, key_draw = jax.random.split(key)
        mode, root = jnp.asarray(begun.modes[0]), jnp.linalg.cholesky(jnp.asarray(begun.spreads[0]))
        ceiling = begun.climbs[:, 1].min() + WALL

        def program(density: Density, mode: Array, root: Array, ceiling: Array) -> None:
            # In units of the curvature at the mode, so that one rate of learning serves every parameter.
            z = numpyro.sample("z", dist.ImproperUniform(dist.constraints.real_vector, (), mode.shape))
            numpyro.factor("density", -jnp.minimum(density.potential(mode + root @ z), ceiling))

        guide = AutoMultivariateNormal(
            program, init_loc_fn=init_to_value(values={"z": jnp.zeros_like(mode)}), init_scale=0.5
        )
        fit = Variational(program, guide, Adam(self.learning_rate), Trace_ELBO(num_particles=self.num_elbo))
        run = density.jit(lambda at, key, *known: fit.run(key, self.num_steps, at, *known, progress_bar=False).params)
        found = guide.get_posterior(run(key_fit, mode, root, ceiling))
        z = found.sample(key_draw, (num,))
        size = jnp.sum(jnp.log(jnp.diag(root)))
        return (mode + z @ root.T, found.log_prob(z) - size), self.num_steps * self.num_elbo + SET_UP
