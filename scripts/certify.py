"""cytostorm certify: are the gradients of a problem right? Over many prior draws, against three other ways."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pandas as pd
from omegaconf import DictConfig

import cytostorm.inference as ci

from . import device
from .benchmark import REFERENCE
from .compose import BadConfig
from .problem import prepare
from .run import begin, console, end, progress

STEPS = 1e-4, 1e-5  # of central differences, in the logarithm of a parameter; the second where the first is too wide
BLOCK = 16  # draws solved side by side
BARS = {  # the largest errors that a certificate allows
    "value": 1e-3,
    "sensitivity": 1e-2,
    "sensitivity, 99.9 %": 1e-3,
    "finite differences": 1e-4,
    "batch against loop": 1e-6,
    "other device": 1e-4,
}


def main(cfg: DictConfig, folder: Path) -> int:
    """Compare, save and print. Returns 0 if the gradients are right, 1 if not."""
    clock = time.perf_counter()
    hardware = device.start(**cfg.device)
    problem, _, _ = prepare(cfg)
    if not isinstance(problem, ci.Problem):
        raise BadConfig(
            "certify is for the readings of one subject; `cytostorm doctor` with the same overrides checks a population"
        )
    config_hash = begin(cfg, folder)
    draws = problem.draw(jax.random.PRNGKey(cfg.seed), cfg.num_draws)
    with progress("certificate") as report:
        rows, failed = certificate(problem, draws, cfg.num_few, report)
    table = pd.DataFrame(rows)
    table.to_csv(folder / "certificate.csv", index=False)
    passed = bool(all(row["holds"] for row in rows))
    console.print(table.to_string(index=False, float_format="{:.2g}".format), highlight=False)
    console.print(
        f"{cfg.num_draws} prior draws, {failed} of which could not be solved; errors of log-predictions, and of their"
        " derivatives relative to the largest of each parameter",
        highlight=False,
    )
    console.print("PASS" if passed else "FAIL: tighten `solver.rtol`", style="bold green" if passed else "bold red")
    total = time.perf_counter() - clock
    end(
        folder,
        "certify",
        device=hardware,
        seed=cfg.seed,
        config_sha256=config_hash,
        seconds={"total": total},
        num_solves=cfg.num_draws,
        num_failed_solves=failed,
        passed=passed,
        certificate={row["what"]: row["error"] for row in rows},
    )
    console.print(str(folder), highlight=False, soft_wrap=True)
    return 0 if passed else 1


def certificate(
    problem: ci.Problem, draws: dict, num_few: int, report: Callable[[int, int], None] = lambda done, total: None
) -> tuple[list[dict], int]:
    """The rows of `compare` over draws, the first `num_few` also by finite differences; and how many could not be solved."""
    num = len(next(iter(draws.values())))
    tight = eqx.tree_at(lambda p: p.solver, problem, REFERENCE)
    found = _blocks(problem.linearize, draws, lambda done: report(done, 2 * num))
    truth = _blocks(tight.linearize, draws, lambda done: report(num + done, 2 * num))
    few = {name: x[:num_few] for name, x in draws.items()}
    return compare(problem, tight, few, found, truth), int((~(found[2] & truth[2])).sum())


def compare(problem: ci.Problem, tight: ci.Problem, few: dict, found: tuple, truth: tuple) -> list[dict]:
    """One row per comparison: what, the error, what is allowed, and whether it holds.

    `found` and `truth` are values, Jacobians and success over draws, by the solver of the problem and by a tight one;
    `few` are the first of those draws, for which finite differences and single solves are worth their time.
    """
    num = len(next(iter(few.values())))
    good = found[2] & truth[2]
    if not good[:num].any():
        raise BadConfig(
            f"none of the first {num} prior draws could be solved; raise `solver.max_steps` or `num_few`,"
            " or narrow the priors"
        )
    largest = np.maximum(np.abs(truth[1]).max(axis=1, keepdims=True), 1e-3)

    def apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """The differences of Jacobians over the first draws, relative to the largest of each parameter."""
        count = len(one)
        return (np.abs(one - other[:count]) / largest[:count])[good[:count]]

    alone = jax.jit(lambda values: problem.linearize(values))
    single = np.stack([alone({name: x[i] for name, x in few.items()})[1] for i in range(num)])
    errors = {
        "value": np.abs(found[0] - truth[0])[good].max(),
        "sensitivity": apart(found[1], truth[1]).max(),
        "sensitivity, 99.9 %": np.quantile(apart(found[1], truth[1]), 0.999),
        "finite differences": _least(
            (apart(_differences(tight, few, step), truth[1]).max() for step in STEPS), BARS["finite differences"]
        ),
        "batch against loop": apart(single, found[1]).max(),
    }
    others = [d for kind in ("cpu", "cuda") for d in _devices(kind) if d.platform != jax.devices()[0].platform]
    for other in others[:1]:
        with jax.default_device(other):
            errors["other device"] = apart(_blocks(problem.linearize, few, lambda done: None)[1], found[1]).max()
    return [
        {"what": what, "error": float(size), "allowed": BARS[what], "holds": bool(size <= BARS[what])}
        for what, size in errors.items()
    ]


def _blocks(function: Callable, draws: dict, report: Callable[[int], None]) -> tuple[np.ndarray, ...]:
    """Values, Jacobians and success over all draws, a block at a time."""
    batch = jax.jit(jax.vmap(lambda values: function(values)))
    num = len(next(iter(draws.values())))
    block, parts = min(BLOCK, num), []
    for start in range(0, num, block):
        index = np.minimum(np.arange(start, start + block), num - 1)  # the last block is filled up, then cut
        part = batch({name: x[index] for name, x in draws.items()})
        parts.append([np.asarray(x)[: num - start] for x in part])
        report(min(start + block, num))
    return tuple(np.concatenate(x) for x in zip(*parts, strict=True))


def _least(errors: Iterable[float], allowed: float) -> float:
    """The first error that is allowed, or else the least.

    Right at a threshold the error of differences is their own: it falls with the square of the step, as no fault of a
    sensitivity does.
    """
    found = np.inf
    for error in errors:
        found = min(found, error)
        if found <= allowed:
            break
    return found


def _differences(tight: ci.Problem, draws: dict, step: float) -> np.ndarray:
    """Central differences of the log-predictions in the logarithm of every parameter of the model, by tight solves."""
    columns = []
    for name in tight.priors:
        up, down = (
            _blocks(tight.read, draws | {name: draws[name] * np.exp(sign * step)}, lambda done: None) for sign in (1, -1)
        )
        columns.append((up[0] - down[0]) / (2 * step))
    return np.stack(columns, axis=-1)


def _devices(kind: str) -> list:
    try:
        return jax.devices(kind)
    except RuntimeError:
        return []
