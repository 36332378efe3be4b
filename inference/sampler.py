"""Samplers: a problem in, draws and what a diagnostician wants to know of them out."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.infer import NUTS as Kernel
from numpyro.infer.util import potential_energy

from .problem import Problem
from .starts import METHODS as STARTS
from .starts import starts

type Report = Callable[[int, int], None]

CHAINS = ("threads", "vectorized")


class Draws(eqx.Module):
    """Draws of every sampled parameter, statistics of every draw, and counts over the whole run.

    `stats` and `warmup_stats` follow ArviZ's names. `num_solves` counts the solves that sampling and screening
    took, `num_failed` those among them that failed and were rejected.
    """

    values: dict[str, Float[np.ndarray, "chain draw"]]
    stats: dict[str, Any]
    warmup_stats: dict[str, Any]
    num_solves: int
    num_failed: int
    num_screened: int
    num_screened_failed: int
    seconds: dict[str, float]


class NUTS(eqx.Module):
    """The no-U-turn sampler of NumPyro (Hoffman and Gelman 2014), run in blocks.

    Chains run in `threads`, one compiled program for all, or `vectorized` in lock-step (for a GPU). `start` is
    how chains begin: see `starts`.
    """

    num_warmup: int = eqx.field(default=500, static=True)
    num_draws: int = eqx.field(default=1000, static=True)
    num_chains: int = eqx.field(default=4, static=True)
    target_accept: float = eqx.field(default=0.9, static=True)
    max_tree_depth: int = eqx.field(default=10, static=True)
    dense_mass: bool = eqx.field(default=True, static=True)
    start: str = eqx.field(default="screened", static=True)
    num_screened: int = eqx.field(default=256, static=True)
    chains: str = eqx.field(default="threads", static=True)
    block: int = eqx.field(default=50, static=True)

    def __check_init__(self) -> None:
        for name in ("num_warmup", "num_draws", "num_chains", "max_tree_depth", "num_screened", "block"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` is {getattr(self, name)}; give 1 or more")
        if not 0 < self.target_accept < 1:
            raise ValueError(f"`target_accept` is {self.target_accept}; give a number between 0 and 1")
        for name, known in {"start": STARTS, "chains": CHAINS}.items():
            if getattr(self, name) not in known:
                raise ValueError(f"`{name}` is {getattr(self, name)!r}; choose from: {', '.join(known)}")

    def sample(self, problem: Problem, key: PRNGKeyArray, report: Report = lambda done, total: None) -> Draws:
        """Sample the posterior of `problem`; `report(done, total)` hears of progress in iterations.

        Raises `NoStart` if no starting point can be solved.
        """
        clock = time.perf_counter()
        failures: list[int] = []
        potential = _potential(problem, failures)
        key_start, *keys = jax.random.split(key, self.num_chains + 1)
        begun = starts(problem, _potential(problem), key_start, self.num_chains, self.start, self.num_screened)
        screening = time.perf_counter() - clock

        kernel = Kernel(
            potential_fn=potential,
            target_accept_prob=self.target_accept,
            max_tree_depth=self.max_tree_depth,
            dense_mass=self.dense_mass,
        )
        begin = jax.jit(lambda key, position: kernel.init(key, self.num_warmup, position, (), {}))
        states = [begin(k, {name: x[i] for name, x in begun.position.items()}) for i, k in enumerate(keys)]
        advance = self._advance(kernel, states[0])
        states = [jax.tree.map(lambda *x: jnp.stack(x), *states)] if self.chains == "vectorized" else states
        outputs = self._run(advance, states, report)
        seconds = {"screening": screening, "sampling": time.perf_counter() - clock - screening}

        stacked = np.concatenate if self.chains == "vectorized" else np.stack
        output = jax.tree.map(lambda *x: stacked(x), *outputs)
        warm = self.num_warmup
        position, stats = output
        steps = int(stats["n_steps"].sum()) + self.num_chains
        return Draws(
            {name: np.exp(x[:, warm:]) for name, x in position.items()},
            {name: x[:, warm:] for name, x in stats.items()},
            {name: x[:, :warm] for name, x in stats.items()},
            steps + begun.num_screened,
            len(failures) + begun.num_failed,
            begun.num_screened,
            begun.num_failed,
            seconds,
        )

    def _advance(self, kernel: Kernel, example: Any) -> Callable[[Any, int], Any]:
        """The compiled program that carries a chain through a block of iterations."""

        def step(state, _):
            state = kernel.sample(state, (), {})
            stats = {
                "lp": -state.potential_energy,
                "energy": state.energy,
                "acceptance_rate": state.accept_prob,
                "step_size": state.adapt_state.step_size,
                "n_steps": state.num_steps,
                "tree_depth": jnp.ceil(jnp.log2(state.num_steps + 1.0)).astype(int),
                "diverging": state.diverging,
            }
            return state, (state.z, stats)

        def run(state, length: int):
            return jax.lax.scan(step, state, length=length)

        if self.chains == "vectorized":
            return jax.jit(lambda state, length: jax.vmap(lambda s: run(s, length))(state), static_argnums=1)
        return jax.jit(run, static_argnums=1)

    def _run(self, advance: Callable, states: list[Any], report: Report) -> list[Any]:
        """Every chain from its start to its last draw; returns positions and statistics per chain."""
        total, lock, done = self.num_warmup + self.num_draws, threading.Lock(), [0]
        weight = self.num_chains // len(states)
        sizes = [self.block] * (total // self.block) + ([total % self.block] if total % self.block else [])

        def chain(state: Any) -> Any:
            parts = []
            for size in sizes:
                state, part = advance(state, size)
                parts.append(jax.device_get(part))
                with lock:
                    done[0] += size * weight
                    report(done[0], total * self.num_chains)
            axis = 1 if self.chains == "vectorized" else 0
            return jax.tree.map(lambda *x: np.concatenate(x, axis=axis), *parts)

        with ThreadPoolExecutor(len(states)) as pool:
            return list(pool.map(chain, states))


def _potential(problem: Problem, failures: list[int] | None = None) -> Callable[[dict[str, Array]], Array]:
    """The negative log-density over unconstrained parameters; each point without density adds to `failures`."""

    def count(okay: Any) -> None:
        if not okay:
            failures.append(1)  # type: ignore[union-attr]

    def potential(position: dict[str, Array]) -> Array:
        energy = potential_energy(problem.program, (), {}, position)
        energy = jnp.where(jnp.isfinite(energy), energy, jnp.inf)
        if failures is not None:
            okay = jnp.isfinite(energy)
            # A chain on its own reaches the callback only where a solve fails: counting costs nothing else.
            jax.lax.cond(okay, lambda: None, lambda: jax.debug.callback(count, okay))
        return energy

    return potential
