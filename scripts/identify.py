"""cytostorm identify: what the readings of one subject tell of each parameter, and which readings would tell most next."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from omegaconf import DictConfig

import cytostorm.inference as ci
from cytostorm.inference.identifiability import design, directions, findings, scaling
from cytostorm.inference.identifiability.information import Everywhere, told
from cytostorm.inference.identifiability.profile import FEWEST_POINTS, Profile, profiles
from cytostorm.inference.keys import branches, root
from cytostorm.inference.prediction.redraw import posterior_draws
from cytostorm.inference.samplers import thinned
from cytostorm.inference.style import save_figure
from cytostorm.inference.summary import plain, records
from cytostorm.inference.verdict import passed

from . import device, futures
from .compilation import Compilation, listening
from .compose import BadConfig, blame, build
from .predict import finished, not_beside
from .problem import prepare
from .run import begin, console, end, progress, sha256, sheet

NUM_POSTERIOR = 4000  # draws of a posterior that are looked at
NUM_CLIMBS = 12  # to the largest likelihood, from the best of them
FEWEST = 10  # prior draws that must be solved
OF_A_FIT = ("model", "trigger", "treatment", "data", "prior", "noise", "variability", "solver", "experiment")
STAGES = {"sensitivities": 10, "posterior": 60, "scaling": 65, "profiles": 85, "next": 100}  # where each ends, in per cent


class Asked(NamedTuple):
    """What is to be identified: a problem, its posterior or what samples it, and when its story ends, if that is said."""

    problem: ci.Problem
    sampler: ci.Sampler
    tree: xr.DataTree | None
    horizon: float | None


class Seen(NamedTuple):
    """What was computed: at prior draws, at posterior draws, along profiles, and in every future."""

    prior: np.ndarray
    information: np.ndarray
    draws: dict[str, np.ndarray]
    power: pd.DataFrame
    profiles: list[Profile]
    known: np.ndarray
    ahead: list[design.Future]
    num_solves: int
    num_failed: int


def main(cfg: DictConfig, folder: Path) -> int:
    """Identify, save, draw and tell. Returns the exit code."""
    with listening() as programs:
        return _identify(cfg, folder, programs)


def _identify(cfg: DictConfig, folder: Path, programs: Compilation) -> int:
    clock, work = time.perf_counter(), time.process_time()
    hardware = device.start(**cfg.device)
    it = asked(cfg)
    futures.check(cfg.next, it.problem)
    if cfg.pair is not None and (len(cfg.pair) != 2 or any(name not in it.problem.sampled for name in cfg.pair)):
        raise BadConfig(f"`pair` is {list(cfg.pair)}; name two of: {', '.join(it.problem.sampled)}")
    if cfg.num_draws < FEWEST:
        raise BadConfig(f"`num_draws` is {cfg.num_draws}; give {FEWEST} or more")
    if cfg.num_points < FEWEST_POINTS:
        raise BadConfig(f"`num_points` of a profile is {cfg.num_points}; give {FEWEST_POINTS} or more")
    ways, left = futures.stories(cfg.next, it.problem)
    when = futures.times(cfg.next, it.problem, it.horizon)
    config_hash = begin(cfg, folder)
    it.problem.data.table().to_csv(folder / "observations.csv", index=False)
    seconds: dict[str, float] = {}
    with progress("identifying") as report:
        seen = look(cfg, it, ways, when, _stages(report, seconds))
    tables = tabulated(cfg, it.problem, seen)
    for name, one in tables.items():
        one.to_csv(folder / f"{name}.csv", index=False)
    draw(cfg, folder, it.problem, seen, tables)
    show(tables["identifiability"])
    for line in [*left, *findings.said(tables)]:
        console.print(line, highlight=False)
    seconds |= {"compile": programs.seconds, "cpu": time.process_time() - work, "total": time.perf_counter() - clock}
    end(
        folder,
        "identify",
        device=hardware,
        seed=cfg.seed,
        config_sha256=config_hash,
        data_sha256=sha256(folder / "observations.csv"),
        seconds=seconds,
        programs=programs.counts,
        num_solves=seen.num_solves,
        num_failed_solves=seen.num_failed,
    )
    console.print(
        f"{seconds['total']:.0f} s, {seconds['cpu']:.0f} s of the processor, {programs.seconds:.0f} s of them compiling:"
        f" {programs}; {seen.num_failed} of {seen.num_solves} solves failed\n{folder}",
        highlight=False,
        soft_wrap=True,
    )
    return 0


def asked(cfg: DictConfig) -> Asked:
    """What is to be identified. Raises `BadConfig` for a population, and where a fit and parts of another are named."""
    one, tree = cfg, None
    if cfg.fit is not None:
        not_beside(*OF_A_FIT)
        one, tree = finished(Path(str(cfg.fit)), cfg.own)
        if not passed(tree):
            console.print("the fit did not pass its verdict: so much for its posterior", style="bold red")
    if build(one.variability):
        raise BadConfig("identify takes one subject, and `variability` is that of a population; use variability=none")
    problem, sampler, _ = prepare(one)
    return Asked(problem, sampler, tree, one.trigger.get("horizon_h"))


def look(cfg: DictConfig, it: Asked, ways: dict, when: np.ndarray, stage: Callable[[str], Any]) -> Seen:
    """Compute everything. Raises `NoStart` where hardly a prior draw can be solved."""
    problem, density = it.problem, ci.Density(it.problem)
    key_prior, key_sample = branches(root(cfg.seed), 2)
    prior = density.prior_draws(key_prior, cfg.num_draws)
    sensed = Everywhere(told, problem)
    near = sensed(prior, stage("sensitivities"))
    okay = np.asarray(near.okay)
    if okay.sum() < FEWEST:
        raise ci.NoStart(
            f"only {okay.sum()} of {okay.size} prior draws could be solved, {FEWEST} are needed; narrow the priors, or raise"
            " `num_draws` or `solver.max_steps`"
        )
    draws, *sampled = posterior(it, key_sample, stage("posterior"))
    stage("scaling")
    power, likelihood = scaling.sensitivities(density, draws)
    flat = {name: x.reshape(-1) for name, x in draws.items()}
    position = np.asarray(density.sites.positions(flat))
    best = position[np.argsort(-likelihood.ravel(), kind="stable")[:NUM_CLIMBS]]
    found, climber = profiles(sensed, best, cfg.num_points, stage("profiles"))
    here = {name: x[thinned(len(position), cfg.next.num_draws)] for name, x in flat.items()}
    if cfg.next.at == "prior":
        here = {name: np.asarray(x)[: cfg.next.num_draws] for name, x in density.values(prior[okay]).items()}
    report = stage("next")
    with blame():
        ahead = futures.futures(cfg.next, problem, ways, when, here, report)
        known, left = design.solved(design.known(sensed, here), ahead)
    num = len(next(iter(here.values())))
    solves = len(prior) + sampled[0] + len(position) + climber.num_solves + num * (1 + len(ahead))
    failed = int((~okay).sum()) + sampled[1] + climber.num_failed + sum(int((~x.okay).sum()) for x in ahead)
    return Seen(prior[okay], np.asarray(near.information)[okay], draws, power, found, known, left, solves, failed)


def posterior(it: Asked, key: Any, report: Callable[[int, int], None]) -> tuple[dict[str, np.ndarray], int, int]:
    """Draws of the posterior by chain, out of a fit or sampled now, and how many solves that took, and failed."""
    if it.tree is not None:
        with blame():
            _, flat, _ = posterior_draws(it.problem, it.tree, None, key)
        values = {name: x.reshape(it.tree["posterior"].sizes["chain"], -1) for name, x in flat.items()}
        solves = failed = 0
    else:
        found = it.sampler.sample(it.problem, key, report)
        values, solves, failed = found.values, found.num_solves, found.num_failed
    chains, num = next(iter(values.values())).shape
    some = thinned(num, -(-NUM_POSTERIOR // chains))
    return {name: np.asarray(x)[:, some] for name, x in values.items()}, solves, failed


def tabulated(cfg: DictConfig, problem: ci.Problem, seen: Seen) -> dict[str, pd.DataFrame]:
    """Every table of the run folder."""
    names, spread, about = list(problem.sampled), problem.sites.spread, futures.about(cfg.next, problem)
    which = directions.combinations(seen.information, seen.prior, spread, names)
    values, _ = directions.spectra(seen.information, spread)
    ask = cfg.next
    return {
        "identifiability": findings.table(problem, seen.information, seen.draws, seen.profiles, seen.power, which),
        "directions": which,
        "singular_values": pd.DataFrame(values, columns=[f"s{k + 1}" for k in range(len(names))]),
        "profiles": pd.concat(
            [pd.DataFrame({"parameter": p.name, "value": p.values, "drop": p.drop}) for p in seen.profiles]
        ),
        "next": pd.concat([design.chosen(seen.known, x, ask.num, ask.spacing_h, about) for x in seen.ahead]),
        "kinds": design.kinds(seen.known, seen.ahead, about),
    }


def draw(cfg: DictConfig, folder: Path, problem: ci.Problem, seen: Seen, tables: dict[str, pd.DataFrame]) -> None:
    """Draw the figures of the run folder."""
    from cytostorm.inference.identifiability import identifiability_figures as figures

    plt.switch_backend("agg")
    text, about = problem.describe(), futures.about(cfg.next, problem)
    found = {
        "singular_values": figures.spectrum(tables["singular_values"].to_numpy()),
        "profiles": figures.profiled(seen.profiles, text, tables["identifiability"]),
        "next": figures.next_readings(seen.known, seen.ahead, tables["next"], about),
    }
    pair = pair_of(cfg, tables["directions"])
    if pair:
        prior = {name: np.exp(seen.prior[:, k]) for k, name in enumerate(problem.sampled)}
        found["pair"] = figures.together(seen.draws, prior, pair, text)
    for name, figure in found.items():
        save_figure(figure, folder / f"{name}.png")


def pair_of(cfg: DictConfig, directions: pd.DataFrame) -> list[str]:
    """The two parameters that are drawn together: those asked for, or those most often not told apart, if there are any."""
    if cfg.pair is not None:
        return [str(name) for name in cfg.pair]
    return next((names for names in map(str.split, directions["parameters"]) if len(names) == 2), [])


def show(table: pd.DataFrame) -> None:
    """Print the numbers of every parameter."""
    heads = ("parameter", "log error (prior)", "contraction (expected)", "profile", "95 %", "prior / readings")
    view = sheet("identifiability", heads, ("parameter", "profile"))
    for row in records(table):
        ends = (plain(x) if np.isfinite(x) else "..." for x in (row["profile_low"], row["profile_high"]))
        error = f"{row['standard_error']:.2g}" if np.isfinite(row["standard_error"]) else "infinite"
        view.add_row(
            row["parameter"],
            f"{error} ({row['prior_log_sd']:.2g})",
            f"{row['contraction']:.2f} ({row['expected_contraction']:.2f})",
            row["profile"],
            " to ".join(ends),
            f"{row['prior_sensitivity']:.2f} / {row['likelihood_sensitivity']:.2f}",
        )
    console.print(view)
    console.print(
        "log error: that of the logarithm from the readings alone, expected over the prior; prior / readings: how sensitive"
        " the posterior is to the power of each, from 0.05 on it counts",
        highlight=False,
    )


def _stages(report: Callable[[int, int], None], seconds: dict[str, float]) -> Callable[[str], Callable[[int, int], None]]:
    """A report for each stage by its name, which also ends the one before and notes what it took."""
    under: list[tuple[str, float]] = []

    def stage(name: str) -> Callable[[int, int], None]:
        now = time.perf_counter()
        if under:
            seconds[under[-1][0]] = now - under[-1][1]
        under.append((name, now))
        low, high = max([0, *(x for x in STAGES.values() if x < STAGES[name])]), STAGES[name]

        def part(done: int, total: int) -> None:
            seconds[name] = time.perf_counter() - now
            report(low + (high - low) * done // max(total, 1), 100)

        return part

    return stage
