"""Tempered sequential Monte Carlo: from the prior to the posterior by degrees, with the evidence."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from blackjax.mcmc import hmc
from blackjax.smc import adaptive_tempered, resampling
from blackjax.smc.tempered import TemperedSMCState
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .blocks import Blocks, Interrupted
from .density import Density, Posed
from .draws import Draws, Report, Track
from .lanes import shareable
from .settings import at_least_one, share
from .starts import Stuck, without_climbs
from .weights import log_mean


class Swarm(NamedTuple):
    """Particles at a temperature, the step size that moves them, the evidence so far, and what it cost."""

    particles: TemperedSMCState
    step_size: Float[Array, ""]
    log_evidence: Float[Array, ""]
    num_solves: Int[Array, ""]
    key: PRNGKeyArray


class SMC(eqx.Module):
    """Adaptive tempered sequential Monte Carlo of BlackJAX (Del Moral, Doucet and Jasra, J R Stat Soc B 2006;68:411).

    Particles drawn from the prior are reweighted, resampled and moved by Hamiltonian Monte Carlo while the likelihood
    is raised to a power that grows from 0 to 1, each time as far as the effective sample size stays at `target_ess` of
    the particles. It needs no starting points, finds modes that lie apart with their weights, and gives the evidence.
    `num_runs` independent runs are the chains: their agreement is the diagnostic. The share of failed solves of a run
    is that at the posterior, where its draws are made.
    """

    num_particles: int = eqx.field(default=512, static=True)
    num_runs: int = eqx.field(default=4, static=True)
    num_moves: int = eqx.field(default=4, static=True)
    num_leapfrogs: int = eqx.field(default=8, static=True)
    target_ess: float = eqx.field(default=0.7, static=True)
    target_accept: float = eqx.field(default=0.8, static=True)
    max_temperatures: int = eqx.field(default=200, static=True)

    def __check_init__(self) -> None:
        at_least_one(self, "num_particles", "num_runs", "num_moves", "num_leapfrogs", "max_temperatures")
        share(self, "target_ess", "target_accept")
        shareable(self, "num_particles")

    def sample(
        self,
        problem: Posed,
        key: PRNGKeyArray,
        report: Report = lambda done, total: None,
        blocks: Blocks | None = None,
    ) -> Draws:
        """Sample the posterior of `problem`; `report(done, total)` hears of progress in per cent of each run.

        Raises `Stuck` if a run does not reach the posterior, `Interrupted` if `blocks.stop` was set. `facts` holds
        `log_evidence` over all runs, and its standard error.
        """
        clock = time.perf_counter()
        blocks = blocks or Blocks()
        density = Density.of(problem, self.num_runs)
        begin, temper, settle = density.kept(self, self._programs)
        outputs, evidence, failed, solves = [], [], [], 0
        for run, start in enumerate(jax.random.split(key, self.num_runs)):
            track = Track(run, slice(run, run + 1), density, blocks)
            swarm = track.block(0, lambda start=start: begin(start), lambda start=start: jax.eval_shape(begin, start))
            like = jax.eval_shape(begin, start)
            for number in range(1, self.max_temperatures + 1):
                if swarm is None or swarm.particles.tempering_param >= 1:
                    break
                swarm = track.block(number, lambda s=swarm: temper(s, jnp.array(run)), lambda: like)
                if swarm is not None:
                    report(int(100 * (run + _progress(swarm.particles.tempering_param))), 100 * self.num_runs)
            if swarm is None:
                raise Interrupted(f"stopped in run {run + 1} of {self.num_runs}")
            if not swarm.particles.tempering_param >= 1:
                raise Stuck(
                    f"run {run + 1} of SMC came as far as temperature {swarm.particles.tempering_param:.2g} in"
                    f" {self.max_temperatures} steps, and the posterior is at 1; raise `sampler.num_particles` or"
                    " `sampler.max_temperatures`, lower `sampler.target_ess`, or narrow the priors"
                )
            before, early = density.failures[run], int(swarm.num_solves)
            last = track.block(
                self.max_temperatures + 1,
                lambda s=swarm: settle(s, jnp.array(run)),
                lambda: jax.eval_shape(settle, like, jnp.array(run)),
            )
            if last is None:
                raise Interrupted(f"stopped in run {run + 1} of {self.num_runs}")
            outputs.append(last)
            evidence.append(float(swarm.log_evidence))
            solves += int(last[2])
            failed.append((density.failures[run] - before) / (int(last[2]) - early))
        seconds = {"starts": 0.0, "sampling": time.perf_counter() - clock}
        position = np.stack([x[0] for x in outputs])
        stats = jax.tree.map(lambda *x: np.stack(x), *[x[1] for x in outputs])
        return Draws(
            {name: np.asarray(x) for name, x in density.values(position).items()},
            stats,
            {},
            without_climbs(position[:, 0], 0, 0),
            solves,
            int(density.failures.sum()),
            np.array(failed),
            seconds,
            facts=_evidence(np.array(evidence)),
            failed_by_subject=density.by_subject,
        )

    def _programs(self) -> tuple[Callable[..., Any], ...]:
        """Three functions of a density: particles from the prior, one temperature, and the last move."""
        kernel = hmc.build_kernel()
        per_step = self.num_moves * self.num_leapfrogs + 3

        def tempered(density, run):
            return adaptive_tempered.build_kernel(
                density.log_prior,
                lambda x: density.log_likelihood(x, run),
                kernel,
                hmc.init,
                resampling.systematic,
                self.target_ess,
            )

        def begin(density, key):
            key_draw, key = jax.random.split(key)
            drawn = density.positions(density.problem.draw(key_draw, self.num_particles))
            return Swarm(adaptive_tempered.init(drawn), jnp.array(0.3), jnp.zeros(()), jnp.array(0), key)

        def moved(density, swarm, run):
            key, key_step = jax.random.split(swarm.key)
            state = swarm.particles._replace(tempering_param=jnp.asarray(swarm.particles.tempering_param, float))
            # The kernel weights the particles of the last temperature, then resamples and moves those.
            mean = state.weights @ state.particles
            spread = (state.particles - mean).T @ ((state.particles - mean) * state.weights[:, None])
            spread += 1e-6 * jnp.trace(spread) / len(mean) * jnp.eye(len(mean))
            settings = {
                "step_size": swarm.step_size[None],
                "inverse_mass_matrix": spread[None],
                "num_integration_steps": jnp.array([self.num_leapfrogs]),
            }
            return tempered(density, run)(key_step, state, self.num_moves, settings), key

        def tuned(swarm, info):
            accepted = jnp.mean(jnp.nan_to_num(info.update_info.acceptance_rate))
            return jnp.clip(swarm.step_size * jnp.exp(accepted - self.target_accept), 1e-3, 2.0)

        def temper(density, swarm, run):
            (particles, info), key = moved(density, swarm, run)
            return Swarm(
                particles,
                tuned(swarm, info),
                swarm.log_evidence + info.log_likelihood_increment,
                swarm.num_solves + per_step * self.num_particles,
                key,
            )

        def settle(density, swarm, run):
            (particles, info), _ = moved(density, swarm, run)
            last = jax.tree.map(lambda x: x[:, -1], info.update_info)
            stats = {"lp": last.proposal.logdensity, "acceptance_rate": jnp.mean(info.update_info.acceptance_rate, axis=1)}
            return particles.particles, stats, swarm.num_solves + per_step * self.num_particles

        return begin, temper, settle


def _progress(temperature: Any) -> float:
    """From a temperature to a share of the work: temperatures grow about geometrically from a ten-thousandth."""
    return float(np.clip(1 + np.log10(max(float(temperature), 1e-4)) / 4, 0, 1))


def _evidence(runs: Float[np.ndarray, " run"]) -> dict[str, float]:
    """The log of the mean evidence over independent runs, and its standard error."""
    value, error = log_mean(runs)
    return {"log_evidence": value} | ({"log_evidence_se": error} if len(runs) > 1 else {})
