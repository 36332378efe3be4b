"""The no-U-turn sampler."""

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray
from numpyro.infer.hmc import hmc

from ..keys import branches
from .blocks import Blocks, Interrupted
from .density import Density, Posed
from .draws import Draws, Report, Track, of_chains, sizes
from .jumps import HEATS, annealed, heights, jumped, own
from .lanes import shareable
from .metric import Parts, covariance, information, retuned
from .places import Memory, met, num_places, num_sent
from .settings import at_least_one, share
from .starts import CLIMBS, Starting

CHAINS = ("threads", "vectorized")
METRICS = ("draws", "information")
TYPICAL = 5  # draws of a block over which the information is averaged
TUNED = 0.75  # of the warm-up is the metric computed anew; the rest finds the step that goes with the last


class NUTS(eqx.Module):
    """The no-U-turn sampler of NumPyro (Hoffman and Gelman, J Mach Learn Res 2014;15:1593), run in blocks.

    The metric is adapted by the `draws` of the warm-up, or computed from the `information` that the readings hold, at the
    start and anew after the blocks of the warm-up's first three quarters; the step then is sought anew too. Chains run in
    `threads`, one compiled program for all, or `vectorized` in lock-step (for a GPU).

    Of the iterations after the warm-up every `thin`-th is a draw, and no other is held in memory: a long run needs no more
    of it than a short one. With blocks on disk these hold all iterations.

    After every iteration the subjects of a population each try `jumps` to other explanations of their readings (`jumps.py`).
    """

    num_warmup: int = eqx.field(default=500, static=True)
    num_draws: int = eqx.field(default=1000, static=True)
    num_chains: int = eqx.field(default=4, static=True)
    target_accept: float = eqx.field(default=0.9, static=True)
    max_tree_depth: int = eqx.field(default=10, static=True)
    dense_mass: bool = eqx.field(default=True, static=True)
    metric: str = eqx.field(default="draws", static=True)
    start: Starting = Starting()
    chains: str = eqx.field(default="threads", static=True)
    block: int = eqx.field(default=50, static=True)
    thin: int = eqx.field(default=1, static=True)
    jumps: int = eqx.field(default=0, static=True)

    def __check_init__(self) -> None:
        at_least_one(self, "num_warmup", "num_draws", "num_chains", "max_tree_depth", "block", "thin")
        if self.block % self.thin:
            raise ValueError(f"`thin` is {self.thin} and `block` {self.block}; give a block that is a multiple of it")
        share(self, "target_accept")
        if self.jumps < 0:
            raise ValueError(f"`jumps` is {self.jumps}; give a whole number, or 0 for none")
        if self.metric not in METRICS:
            raise ValueError(f"`metric` is {self.metric!r}; choose from: {', '.join(METRICS)}")
        if self.chains not in CHAINS:
            raise ValueError(f"`chains` is {self.chains!r}; choose from: {', '.join(CHAINS)}")
        shareable(self, "num_chains")

    def sample(
        self,
        problem: Posed,
        key: PRNGKeyArray,
        report: Report = lambda done, total: None,
        blocks: Blocks | None = None,
    ) -> Draws:
        """Sample the posterior of `problem`; `report(done, total)` hears of progress in iterations.

        With `blocks`, every block of every chain is on disk as soon as it is finished, and a run that was killed
        continues from there: its draws are those of a run that was not.

        Raises `NoStart` if no starting point can be solved, `Interrupted` if `blocks.stop` was set, `ValueError` for
        `jumps` where there are no subjects.
        """
        clock = time.perf_counter()
        blocks = blocks or Blocks()
        density = Density.of(problem, self.num_chains)
        if self.jumps and not density.sites.num_subjects:
            raise ValueError(f"`jumps` is {self.jumps}, and there is one subject only; give 0, or a population's data")
        key_start, *keys = branches(key, self.num_chains + 1)
        apart = Parts(density.sites.blocks if self.metric == "draws" else [np.arange(density.sites.size)])
        init, sample = hmc(
            potential_fn_gen=lambda density, chain: lambda z: density.energy(apart.joined(z), chain), algo="NUTS"
        )

        def metric(known: np.ndarray | None) -> Any:
            return None if known is None else apart.blocks_of(known, self.dense_mass)

        def begin(density, key, chain, position, metric):
            state = init(
                apart.split(position),
                self.num_warmup,
                inverse_mass_matrix=metric and dict(metric),  # NumPyro writes into what it is given
                dense_mass=apart.names if self.dense_mass else [],  # type: ignore[arg-type]
                adapt_mass_matrix=self.metric == "draws",
                target_accept_prob=self.target_accept,
                max_tree_depth=self.max_tree_depth,
                model_args=(density, chain),
                rng_key=key,
            )
            return state, Memory.blank(position, num_places(self.num_warmup), own(density)) if self.jumps else None

        # The trace also tells the kernel how long the warm-up is, which it must know before it continues a chain.
        start, num = density.jit(begin), density.sites.size
        unknown = metric(np.eye(num) if self.metric == "information" or self.start.method in CLIMBS else None)
        like = jax.eval_shape(start, keys[0], np.array(0), np.zeros(num), unknown)
        advance = self._advance(density, sample, apart)
        compilation = threading.Thread(target=self._lowered(advance, like).compile)
        compilation.start()  # the longest of all, beside the search for starting points
        begun = self.start.find(density, key_start, self.num_chains, blocks)
        starting, known = time.perf_counter() - clock, begun.covariance
        if self.metric == "information":
            known = np.asarray(density.jit(lambda at, x: covariance(at, information(at, x)))(begun.position[0]))
        single = [Track(i, slice(i, i + 1), density, blocks) for i in range(self.num_chains)]
        states = [
            track.block(0, lambda i=i: start(keys[i], np.array(i), begun.position[i], metric(known)), lambda: like)
            for i, track in enumerate(single)
        ]
        if any(state is None for state in states):
            raise Interrupted("stopped before the first iteration")
        if self.chains == "vectorized":
            states = [jax.tree.map(lambda *x: jnp.stack(x), *states)]
            tracks = [Track(0, slice(0, self.num_chains), density, blocks)]
        else:
            tracks = single
        compilation.join()
        outputs, early = self._run(advance, tracks, states, density, keys[0], report)
        seconds = {"starts": starting, "sampling": time.perf_counter() - clock - starting}
        stacked = np.concatenate if self.chains == "vectorized" else np.stack
        position, stats = jax.tree.map(lambda *x: stacked(x), *outputs)
        return of_chains(
            position,
            stats,
            self.num_warmup,
            early,
            density,
            begun,
            seconds,
            beside=self._beside(),
            each=self._each * self.thin,
        )

    def _beside(self) -> int:
        """The solves beside those of the chains' steps: of jumps, and of the metric at the start and after its blocks."""
        jumps = self._each * self.num_chains * (self.num_warmup + self.num_draws * self.thin)
        jumps += len(self._meetings()) * num_sent(self.num_warmup) * (len(HEATS) + 1) if self.jumps else 0
        if self.metric == "draws":
            return jumps
        return jumps + 1 + self.num_chains * sum(min(TYPICAL, size) for size in self._tuned())

    @property
    def _each(self) -> int:
        """The solves of an iteration beside those of its steps: those of the jumps, before them and after them."""
        return self.jumps + 2 if self.jumps else 0

    def _meetings(self) -> list[int]:
        """How many blocks have passed where all chains wait for each other."""
        warm = len(sizes(self.num_warmup, self.block))
        return [0, warm // 2, warm] if self.jumps else [0]

    def _tuned(self) -> list[int]:
        """The sizes of the blocks after which the metric is computed anew."""
        warm = np.array(sizes(self.num_warmup, self.block))
        return warm[warm.cumsum() <= TUNED * self.num_warmup].tolist()

    def _advance(self, density: Density, sample: Callable, apart: Parts) -> Any:
        """The compiled program that carries a chain through a block of iterations."""

        def jump(density, state, memory, chain):
            key, here = jax.random.fold_in(state.rng_key, state.i), apart.joined(state.z)
            position, rate = jumped(heights(density, chain), own(density), key, here, memory, self.jumps)
            z = apart.split(position)
            potential, slope = jax.value_and_grad(lambda z: density.energy(apart.joined(z), chain))(z)
            state = state._replace(z=z, z_grad=slope, potential_energy=potential)
            return state, memory.kept(position, state.i, self.num_warmup), {"jump_rate": rate}

        def run(density, carried, chain, length: int):
            def step(carried, _):
                state, memory = carried
                state = sample(state, (density, chain))
                found = {}
                if self.jumps:
                    state, memory, found = jump(density, state, memory, chain)
                stats = {
                    "lp": -state.potential_energy,
                    "energy": state.energy,
                    "acceptance_rate": state.accept_prob,
                    "step_size": state.adapt_state.step_size,
                    "n_steps": state.num_steps,
                    "tree_depth": jnp.ceil(jnp.log2(state.num_steps + 1.0)).astype(int),
                    "diverging": state.diverging,
                }
                return (state, memory), (apart.joined(state.z), stats | found)

            return jax.lax.scan(step, carried, length=length)

        if self.chains == "vectorized":
            every = jnp.arange(self.num_chains)

            def together(density, state, _, length: int):
                return jax.vmap(lambda s, c: run(density, s, c, length))(state, every)

            return density.jit(together, static_argnums=3)
        return density.jit(run, static_argnums=3)

    def _lowered(self, advance: Any, like: Any) -> Any:
        """The program for the first block, lowered for states like this one."""
        many = (self.num_chains,) if self.chains == "vectorized" else ()
        states = jax.tree.map(lambda x: jax.ShapeDtypeStruct(many + x.shape, x.dtype), like)
        return advance.func.lower(*advance.args, states, np.array(0), min(self.block, self.num_warmup))

    def _retune(self, density: Density) -> Callable[[Any, Any], tuple[Any, Any]]:
        """What follows on a block of the warm-up: the metric of the information at its last draws, and its step."""
        if self.metric == "draws":
            return lambda state, part: (state, part)

        def one(density, carried, positions):
            state, memory = carried
            return state._replace(adapt_state=retuned(density, state.adapt_state, positions[-TYPICAL:])), memory

        run = density.jit(jax.vmap(one, (None, 0, 0)) if self.chains == "vectorized" else one)
        return lambda state, part: (run(state, part[0]), part)

    def _thinned(self, position: np.ndarray, stats: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The draws of a block: steps and divergences count over all iterations up to each."""
        axis = 1 if self.chains == "vectorized" else 0

        def groups(x: np.ndarray) -> np.ndarray:
            return np.moveaxis(x.reshape(*x.shape[:axis], -1, self.thin, *x.shape[axis + 1 :]), axis + 1, 0)

        found = {name: groups(x)[-1] for name, x in stats.items()}
        found |= {"n_steps": groups(stats["n_steps"]).sum(axis=0), "diverging": groups(stats["diverging"]).any(axis=0)}
        return groups(position)[-1], found

    def _meeting(self, density: Density, key: PRNGKeyArray) -> Callable[[list[Any], int], list[Any]]:
        """What happens where all chains have come to a block: they share what their jumps remember."""
        if not self.jumps:
            return lambda states, block: states
        seek = density.jit(lambda at, places, key: annealed(heights(at, jnp.array(0)), own(at), key, places))
        return lambda states, block: met(states, seek, own(density), jax.random.fold_in(key, block))

    def _run(
        self, advance: Callable, tracks: list[Track], states: list[Any], density: Density, key: PRNGKeyArray, report: Report
    ) -> tuple[list[Any], np.ndarray]:
        """Every chain from its start to its last draw.

        Returns positions and statistics per chain, and the failures of each up to the end of its warm-up.
        """
        total, lock, done = self.num_warmup + self.num_draws * self.thin, threading.Lock(), [0]
        warm, tuned = sizes(self.num_warmup, self.block), len(self._tuned())
        retune, meet, early = self._retune(density), self._meeting(density, key), np.zeros(self.num_chains, int)
        parts: list[list[Any]] = [[] for _ in states]
        numbered = list(enumerate(warm + sizes(self.num_draws * self.thin, self.block), start=1))

        def chain(stretch: list[tuple[int, int]], track: Track, state: Any, parts: list[Any]) -> Any:
            for number, size in stretch:
                arguments = (state, np.array(track.index), size)
                compute = advance if number > tuned else lambda *x: retune(*advance(*x))
                found = track.block(
                    number,
                    lambda: compute(*arguments),
                    lambda: jax.eval_shape(lambda s, i: advance(s, i, arguments[2]), *arguments[:2]),
                )
                if found is None:
                    return None
                state, part = found
                parts.append(self._thinned(*part) if number > len(warm) else part)
                if number == len(warm):
                    early[track.chains] = density.failures[track.chains]
                with lock:
                    done[0] += size * self.num_chains // len(states)
                    report(done[0], total * self.num_chains)
            return state

        with ThreadPoolExecutor(len(states)) as pool:
            for first, last in itertools.pairwise([*self._meetings(), len(numbered)]):
                states = list(pool.map(partial(chain, numbered[first:last]), tracks, meet(states, first), parts))
                if any(state is None for state in states):
                    raise Interrupted(f"stopped after {done[0]} of {total * self.num_chains} iterations")
        axis = 1 if self.chains == "vectorized" else 0
        return [jax.tree.map(lambda *x: np.concatenate(x, axis=axis), *of_one) for of_one in parts], early
