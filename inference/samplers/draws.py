"""What every sampler returns: draws, what a diagnostician asks of them, and what it cost."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from .blocks import Blocks
from .density import Density, Posed
from .starts import Starts

type Report = Callable[[int, int], None]


class Draws(eqx.Module):
    """Draws of every sampled parameter, statistics of every draw, and counts over the whole run.

    `stats` and `warmup_stats` follow ArviZ's names. `num_solves` counts the solves of the whole run, stages before
    chains included, and `num_failed` those among them that failed and were rejected; `failed_share` is their share in
    each chain after warm-up, and `failed_by_subject` says how often each subject could not be solved. `superchain` groups
    the chains that started together. `facts` are single numbers that a method gives beside its draws: `log_evidence`,
    `pareto_k`, `weights_ess`.
    """

    values: dict[str, Float[np.ndarray, "chain draw ..."]]
    stats: dict[str, Any]
    warmup_stats: dict[str, Any]
    starts: Starts
    num_solves: int
    num_failed: int
    failed_share: Float[np.ndarray, " chain"]
    seconds: dict[str, float]
    superchain: tuple[int, ...] | None = None
    facts: dict[str, float] = eqx.field(default_factory=dict)
    failed_by_subject: tuple[int, ...] = ()


@runtime_checkable
class Sampler(Protocol):
    """What turns a problem into draws."""

    def sample(self, problem: Posed, key: PRNGKeyArray, report: Report = ..., blocks: Blocks | None = None) -> Draws:
        """Draws of the posterior of `problem`; `report(done, total)` hears of progress.

        With `blocks`, what is finished is on disk, and a run that was killed continues from there: its draws are those
        of a run that was not. Raises `Stuck` if sampling cannot go on (`NoStart` if no starting point can be solved),
        `Interrupted` if `blocks.stop` was set.
        """
        ...


class Track:
    """One chain, or one ensemble, on its way through blocks that are on disk as soon as they are finished.

    `chains` are those that it carries; their failures are kept with each block.
    """

    def __init__(self, index: int, chains: slice, density: Density, blocks: Blocks):
        self.index, self.chains, self._density, self._blocks = index, chains, density, blocks

    def block(self, number: int, compute: Callable[[], Any], like: Callable[[], Any]) -> Any | None:
        """Block `number`, from disk or computed; None if it is not there and sampling was asked to stop.

        `like` returns the shapes of what `compute` returns.
        """
        counts = (self._density.failures, self._density.unsolved)
        found = self._blocks.read(self.index, number, lambda: (like(), tuple(x[self.chains] for x in counts)))
        if found is not None:
            for count, known in zip(counts, found[1], strict=True):
                count[self.chains] = known
            return found[0]
        if self._blocks.stop:
            return None
        content = jax.device_get(compute())
        jax.effects_barrier()
        self._blocks.write(self.index, number, (content, tuple(x[self.chains] for x in counts)))
        return content


def of_chains(
    position: Float[np.ndarray, "chain iteration parameter"],
    stats: dict[str, Any],
    num_warmup: int,
    early: Int[np.ndarray, " chain"],
    density: Density,
    starts: Starts,
    seconds: dict[str, float],
    superchain: tuple[int, ...] | None = None,
    beside: int = 0,
    each: int = 0,
) -> Draws:
    """The draws of Markov chains from all their iterations; `early` are the failures up to the end of the warm-up.

    `beside` counts the solves that are neither of the starts nor of the chains' steps, `each` those among them that every
    draw took.
    """
    failures = density.failures[:-1]
    return Draws(
        {name: np.asarray(x) for name, x in jax.jit(density.values)(position[:, num_warmup:]).items()},
        {name: x[:, num_warmup:] for name, x in stats.items()},
        {name: x[:, :num_warmup] for name, x in stats.items()},
        starts,
        int(stats["n_steps"].sum()) + len(position) + starts.num_solves + beside,
        int(failures.sum()) + starts.num_failed,
        (failures - early) / (stats["n_steps"][:, num_warmup:] + each).sum(axis=1),
        seconds,
        superchain,
        failed_by_subject=density.by_subject,
    )


def thinned(number: int, most: int) -> Int[np.ndarray, " kept"]:
    """The numbers of at most `most` of a number of draws, evenly spread."""
    return np.unique(np.linspace(0, number - 1, min(most, number)).astype(int))


def sizes(number: int, block: int) -> list[int]:
    """The lengths of the blocks of a number of iterations."""
    return [block] * (number // block) + ([number % block] if number % block else [])
