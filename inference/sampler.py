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
from jaxtyping import Array, Float, Int, PRNGKeyArray
from numpyro.infer.hmc import hmc
from numpyro.infer.util import potential_energy

from .blocks import Blocks, Interrupted
from .gradient import gradient_safe
from .problem import Problem
from .starts import METHODS as STARTS
from .starts import starts

type Report = Callable[[int, int], None]

CHAINS = ("threads", "vectorized")


class Draws(eqx.Module):
    """Draws of every sampled parameter, statistics of every draw, and counts over the whole run.

    `stats` and `warmup_stats` follow ArviZ's names. `num_solves` counts the solves that sampling and screening
    took, `num_failed` those among them that failed and were rejected, and `failed_share` is their share in each chain
    after warm-up.
    """

    values: dict[str, Float[np.ndarray, "chain draw"]]
    stats: dict[str, Any]
    warmup_stats: dict[str, Any]
    num_solves: int
    num_failed: int
    num_screened: int
    num_screened_failed: int
    failed_share: Float[np.ndarray, " chain"]
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

    def sample(
        self,
        problem: Problem,
        key: PRNGKeyArray,
        report: Report = lambda done, total: None,
        blocks: Blocks | None = None,
    ) -> Draws:
        """Sample the posterior of `problem`; `report(done, total)` hears of progress in iterations.

        With `blocks`, every block of every chain is on disk as soon as it is finished, and a run that was killed
        continues from there: its draws are those of a run that was not.

        Raises `NoStart` if no starting point can be solved, `Interrupted` if `blocks.stop` was set.
        """
        clock = time.perf_counter()
        blocks = blocks or Blocks()
        failures = [0] * self.num_chains
        init, sample = hmc(potential_fn_gen=_potential_of_chain(problem, failures), algo="NUTS")
        key_start, *keys = jax.random.split(key, self.num_chains + 1)

        def begin(key: Array, chain: Array, position: dict[str, Array]) -> Any:
            return init(
                position,
                self.num_warmup,
                dense_mass=self.dense_mass,
                target_accept_prob=self.target_accept,
                max_tree_depth=self.max_tree_depth,
                model_args=(chain,),
                rng_key=key,
            )

        # The trace also tells the kernel how long the warm-up is, which it must know before it continues a chain.
        like = jax.eval_shape(begin, keys[0], jnp.array(0), {name: jnp.zeros(()) for name in problem.sampled})
        counts = jax.ShapeDtypeStruct((3,), np.int64)
        known = [blocks.read(i, 0, lambda: (like, counts)) for i in range(self.num_chains)]
        if any(one is None for one in known):
            begun = starts(problem, _potential(problem), key_start, self.num_chains, self.start, self.num_screened)
            compiled = jax.jit(begin)
            for i, k in enumerate(keys):
                state = compiled(k, jnp.array(i), {name: x[i] for name, x in begun.position.items()})
                jax.block_until_ready(state)
                known[i] = (state, np.array([begun.num_screened, begun.num_failed, failures[i]]))
                blocks.write(i, 0, known[i])
        screening = time.perf_counter() - clock
        states = [one[0] for one in known]  # type: ignore[index]
        screened, unsolved = (int(x) for x in known[0][1][:2])  # type: ignore[index]
        failures[:] = [int(one[1][2]) for one in known]  # type: ignore[index]
        if self.chains == "vectorized":
            states = [jax.tree.map(lambda *x: jnp.stack(x), *states)]
        outputs, early = self._run(self._advance(sample), states, failures, report, blocks)
        seconds = {"screening": screening, "sampling": time.perf_counter() - clock - screening}

        stacked = np.concatenate if self.chains == "vectorized" else np.stack
        position, stats = jax.tree.map(lambda *x: stacked(x), *outputs)
        warm = self.num_warmup
        steps = int(stats["n_steps"].sum()) + self.num_chains
        return Draws(
            {name: np.exp(x[:, warm:]) for name, x in position.items()},
            {name: x[:, warm:] for name, x in stats.items()},
            {name: x[:, :warm] for name, x in stats.items()},
            steps + screened,
            sum(failures) + unsolved,
            screened,
            unsolved,
            (np.array(failures) - early) / stats["n_steps"][:, warm:].sum(axis=1),
            seconds,
        )

    def _advance(self, sample: Callable) -> Callable[[Any, Any, int], Any]:
        """The compiled program that carries a chain through a block of iterations."""

        def run(state, chain, length: int):
            def step(state, _):
                state = sample(state, (chain,))
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

            return jax.lax.scan(step, state, length=length)

        if self.chains == "vectorized":
            every = jnp.arange(self.num_chains)
            return jax.jit(lambda state, _, length: jax.vmap(lambda s, c: run(s, c, length))(state, every), static_argnums=2)
        return jax.jit(run, static_argnums=2)

    def _run(
        self, advance: Callable, states: list[Any], failures: list[int], report: Report, blocks: Blocks
    ) -> tuple[list[Any], Int[np.ndarray, " chain"]]:
        """Every chain from its start to its last draw.

        Returns positions and statistics per chain, and the failures of each up to the end of its warm-up.
        """
        total, lock, done = self.num_warmup + self.num_draws, threading.Lock(), [0]
        weight = self.num_chains // len(states)
        warm = _sizes(self.num_warmup, self.block)
        sizes = warm + _sizes(self.num_draws, self.block)
        early = np.zeros(self.num_chains, int)

        def chain(entry: tuple[int, Any]) -> Any:
            index, state = entry
            parts = []
            mine = slice(None) if self.chains == "vectorized" else slice(index, index + 1)
            for number, size in enumerate(sizes, start=1):
                mould = lambda n=size, s=state: (  # noqa: E731
                    jax.eval_shape(lambda s, i: advance(s, i, n), s, jnp.array(index)),
                    np.array(failures[mine]),
                )
                found = blocks.read(index, number, mould)
                if found is None:
                    if blocks.stop:
                        return None
                    state, part = jax.device_get(advance(state, jnp.array(index), size))
                    blocks.write(index, number, ((state, part), np.array(failures[mine])))
                else:
                    (state, part), failed = found
                    failures[mine] = [int(x) for x in failed]
                parts.append(part)
                if number == len(warm):
                    early[mine] = failures[mine]
                with lock:
                    done[0] += size * weight
                    report(done[0], total * self.num_chains)
            axis = 1 if self.chains == "vectorized" else 0
            return jax.tree.map(lambda *x: np.concatenate(x, axis=axis), *parts)

        with ThreadPoolExecutor(len(states)) as pool:
            outputs = list(pool.map(chain, enumerate(states)))
        if any(output is None for output in outputs):
            raise Interrupted(f"stopped after {done[0]} of {total * self.num_chains} iterations")
        return outputs, early


def _sizes(number: int, block: int) -> list[int]:
    """The lengths of the blocks of a number of iterations."""
    return [block] * (number // block) + ([number % block] if number % block else [])


def _potential(problem: Problem) -> Callable[[dict[str, Array]], Array]:
    """The negative log-density over unconstrained parameters, infinite with gradient zero where a solve fails."""

    def energy(position: dict[str, Array]) -> Array:
        return jnp.asarray(potential_energy(problem.program, (), {}, position))

    return gradient_safe(energy)


def _potential_of_chain(problem: Problem, failures: list[int]) -> Callable[[Array], Callable[[dict[str, Array]], Array]]:
    """The potential for each chain; a point without density adds one to the chain's entry of `failures`."""
    plain = _potential(problem)

    def count(chain: Any, okay: Any) -> None:
        if not okay:
            failures[int(chain)] += 1

    def of(chain: Array) -> Callable[[dict[str, Array]], Array]:
        def potential(position: dict[str, Array]) -> Array:
            energy = plain(position)
            # A chain on its own reaches the callback only where a solve fails: counting costs nothing else.
            okay = jnp.isfinite(energy)
            jax.lax.cond(okay, lambda: None, lambda: jax.debug.callback(count, chain, okay))
            return energy

        return potential

    return of
