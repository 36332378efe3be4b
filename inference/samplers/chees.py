"""Hamiltonian Monte Carlo with many chains in lock-step, for batches and GPUs."""

import time
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from blackjax.adaptation.chees_adaptation import ChEESAdaptationState, base
from blackjax.mcmc import hmc
from blackjax.mcmc.dynamic_hmc import halton_sequence
from jaxtyping import Array, Float, PRNGKeyArray

from .blocks import Blocks, Interrupted
from .density import Density, Posed
from .draws import Draws, Report, Track, of_chains, sizes
from .lanes import shareable
from .settings import at_least_one, share
from .starts import Starting

WINDOWS = (0.15, 0.3, 0.5, 0.75)  # shares of the warm-up after which the metric is estimated anew
PULL = 5.0  # draws that the metric before counts for when a new one is estimated


type Moments = tuple[Float[Array, ""], Float[Array, " parameter"], Float[Array, "parameter parameter"]]


class Ensemble(eqx.Module):
    """All chains, what was adapted so far, and number, mean and scatter of the positions in the current window."""

    chains: hmc.HMCState
    adaptation: ChEESAdaptationState
    metric: Float[Array, "parameter parameter"]
    moments: Moments
    key: PRNGKeyArray


class ChEES(eqx.Module):
    """ChEES-HMC (Hoffman, Radul and Sountsov, AISTATS 2021) of BlackJAX, run in blocks.

    All chains take the same number of leapfrog steps, jittered by a Halton sequence, so that a batch never waits for
    its longest trajectory. Trajectory length and step size are adapted over all chains, and so is a dense metric, from
    the ensemble's covariance in growing windows. Chains start in `num_superchains` groups, each from one point: nested
    R-hat (Margossian et al., Bayesian Analysis 2024) then judges many short chains.
    """

    num_warmup: int = eqx.field(default=300, static=True)
    num_draws: int = eqx.field(default=100, static=True)
    num_chains: int = eqx.field(default=64, static=True)
    num_superchains: int = eqx.field(default=16, static=True)
    target_accept: float = eqx.field(default=0.8, static=True)
    max_leapfrogs: int = eqx.field(default=200, static=True)
    start: Starting = Starting("laplace")
    block: int = eqx.field(default=20, static=True)

    def __check_init__(self) -> None:
        at_least_one(self, "num_warmup", "num_draws", "num_chains", "num_superchains", "max_leapfrogs", "block")
        share(self, "target_accept")
        shareable(self, "num_chains")
        if self.num_chains % self.num_superchains or self.num_chains == self.num_superchains:
            raise ValueError(
                f"`num_chains` is {self.num_chains}; give 2 or more times `num_superchains`, which is {self.num_superchains}"
            )

    def sample(
        self,
        problem: Posed,
        key: PRNGKeyArray,
        report: Report = lambda done, total: None,
        blocks: Blocks | None = None,
    ) -> Draws:
        """Sample the posterior of `problem`; see `NUTS.sample`."""
        clock = time.perf_counter()
        blocks = blocks or Blocks()
        density = Density.of(problem, self.num_chains)
        key_start, key_run = jax.random.split(key)
        begun = self.start.find(density, key_start, self.num_superchains, blocks)
        starting = time.perf_counter() - clock
        superchain = np.repeat(np.arange(self.num_superchains), self.num_chains // self.num_superchains)
        metric = begun.covariance
        if metric is None:
            metric = np.diag(density.sites.spread**2)
        init, advance = self._programs(density)
        track = Track(0, slice(0, self.num_chains), density, blocks)
        first = (jnp.asarray(begun.position[superchain]), jnp.asarray(metric), key_run)
        state = track.block(0, lambda: init(*first), lambda: jax.eval_shape(init, *first))
        parts, done, early = [], 0, density.failures[:-1] * 0
        for number, size in enumerate(sizes(self.num_warmup, self.block) + sizes(self.num_draws, self.block), start=1):
            arguments = (state, jnp.arange(done, done + size))
            found = (
                None
                if state is None
                else track.block(number, lambda: advance(*arguments), lambda: jax.eval_shape(advance, *arguments))
            )
            if found is None:
                raise Interrupted(f"stopped after {done} of {self.num_warmup + self.num_draws} iterations")
            state, part = found
            parts.append(part)
            done += size
            if done == self.num_warmup:
                early = density.failures[:-1].copy()
            report(done, self.num_warmup + self.num_draws)
        seconds = {"starts": starting, "sampling": time.perf_counter() - clock - starting}
        position, stats = jax.tree.map(lambda *x: np.concatenate(x).swapaxes(0, 1), *parts)
        groups = tuple(int(i) for i in superchain)
        return of_chains(position, stats, self.num_warmup, early, density, begun, seconds, groups)

    def _programs(self, density: Density) -> tuple[Any, Any]:
        """Two compiled programs: the first ensemble, and a block of iterations."""
        kernel = hmc.build_kernel()
        every = jnp.arange(self.num_chains)
        bits = int(np.ceil(np.log2(self.num_warmup + self.num_draws + 2)))
        jitter = lambda i: halton_sequence(i, bits)  # noqa: E731
        begin, adapt = base(jitter, lambda i: i + 1, optax.adam(0.05), self.target_accept, 0.5, self.max_leapfrogs)
        refresh = {round(share * self.num_warmup) for share in WINDOWS}

        def log_density(density, chain):
            return lambda x: -density.energy(x, chain)

        def init(density, position, metric, key):
            chains = jax.vmap(lambda x, chain: hmc.init(x, log_density(density, chain)))(position, every)
            return Ensemble(chains, begin(jnp.array(0), jnp.array(0.3)), metric, _no_moments(len(metric)), key)

        def advance(density, state: Ensemble, iterations):
            return jax.lax.scan(partial(step, density), state, iterations)

        def step(density, state: Ensemble, i):
            key, key_move = jax.random.split(state.key)
            tuned, warm = state.adaptation, i < self.num_warmup
            size = jnp.where(warm, tuned.step_size, jnp.exp(tuned.log_step_size_moving_average))
            length = jnp.where(warm, tuned.trajectory_length, jnp.exp(tuned.log_trajectory_length_moving_average))
            leaps = jnp.clip(jnp.ceil(jitter(tuned.random_generator_arg) * length / size), 1, self.max_leapfrogs).astype(int)

            def move(key, chain, one):
                return kernel(key, one, log_density(density, chain), size, state.metric, leaps)  # type: ignore[arg-type]

            chains, info = jax.vmap(move)(jax.random.split(key_move, self.num_chains), every, state.chains)
            root = jnp.linalg.cholesky(state.metric)
            white = lambda x: jax.scipy.linalg.solve_triangular(root, x.T, lower=True).T  # noqa: E731
            adapted = adapt(
                tuned,
                white(info.proposal.position),
                info.proposal.momentum @ root,
                white(state.chains.position),
                info.acceptance_rate,
                info.is_divergent,
                jnp.ones(len(root)),
            )
            kept = tuned._replace(random_generator_arg=tuned.random_generator_arg + 1)
            adapted = jax.tree.map(lambda new, old: jnp.where(warm, new, old), adapted, kept)
            metric, moments = self._metric(state, jnp.asarray(chains.position), jnp.isin(i + 1, jnp.array(sorted(refresh))))
            stats = {
                "lp": chains.logdensity,
                "energy": info.energy,
                "acceptance_rate": info.acceptance_rate,
                "step_size": jnp.full(self.num_chains, size),
                "n_steps": jnp.full(self.num_chains, leaps),
                "diverging": info.is_divergent,
            }
            return Ensemble(chains, adapted, metric, moments, key), (chains.position, stats)

        return density.jit(init), density.jit(advance)

    def _metric(self, state: Ensemble, position: Array, now: Array) -> tuple[Array, Moments]:
        """Metric and moments after one more iteration; a window that ends gives a new metric and begins anew."""
        before, middle, scatter = state.moments
        count = before + len(position)
        mean = middle + jnp.sum(position - middle, axis=0) / count
        scatter += (position - middle).T @ (position - mean)
        fresh = (scatter + PULL * state.metric) / (count - 1 + PULL)
        moments = jax.tree.map(lambda new, old: jnp.where(now, new, old), _no_moments(len(mean)), (count, mean, scatter))
        return jnp.where(now, fresh, state.metric), moments


def _no_moments(size: int) -> Moments:
    return jnp.zeros(()), jnp.zeros(size), jnp.zeros((size, size))
