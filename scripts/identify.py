"""cytostorm identify: what the readings tell of each parameter, and which readings would tell most next."""

import time
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from omegaconf import DictConfig
from rich.markup import escape

import cytostorm.inference as ci
from cytostorm.inference.identifiability import design, directions, findings
from cytostorm.inference.identifiability.profile import FEWEST_POINTS
from cytostorm.inference.quantities import described, quantities
from cytostorm.inference.style import save_figure
from cytostorm.inference.summary import plain, records
from cytostorm.inference.verdict import passed

from . import device, futures
from .compilation import Compilation, listening
from .compose import BadConfig, blame, build
from .identified import FEWEST, Asked, Seen, look
from .predict import finished, not_beside
from .problem import prepare
from .run import begin, console, end, progress, sha256, sheet

OF_A_FIT = ("model", "trigger", "treatment", "data", "prior", "noise", "variability", "solver", "experiment")
STAGES = {"sensitivities": 10, "posterior": 60, "scaling": 65, "profiles": 85, "next": 100}  # where each ends, in per cent


def main(cfg: DictConfig, folder: Path) -> int:
    """Identify, save, draw and tell. Returns the exit code."""
    with listening() as programs:
        return _identify(cfg, folder, programs)


def _identify(cfg: DictConfig, folder: Path, programs: Compilation) -> int:
    clock, work = time.perf_counter(), time.process_time()
    hardware = device.start(**cfg.device)
    it = asked(cfg)
    futures.check(cfg.next, it.single)
    named = [q.name for q in quantities(it.problem) if q.positive]
    if cfg.pair is not None and (len(cfg.pair) != 2 or any(name not in named for name in cfg.pair)):
        raise BadConfig(f"`pair` is {list(cfg.pair)}; name two of: {', '.join(named)}")
    if cfg.num_draws < FEWEST:
        raise BadConfig(f"`num_draws` is {cfg.num_draws}; give {FEWEST} or more")
    if cfg.num_points < FEWEST_POINTS:
        raise BadConfig(f"`num_points` of a profile is {cfg.num_points}; give {FEWEST_POINTS} or more")
    ways, left = futures.stories(cfg.next, it.single)
    when = futures.times(cfg.next, it.single, it.horizon)
    config_hash = begin(cfg, folder)
    it.problem.data.table().to_csv(folder / "observations.csv", index=False)
    seconds: dict[str, float] = {}
    with progress("identifying") as report:
        seen = look(cfg, it, ways, when, _stages(report, seconds))
    tables = tabulated(cfg, it.single, seen)
    for name, one in tables.items():
        one.to_csv(folder / f"{name}.csv", index=False)
    draw(cfg, folder, it, seen, tables)
    show(tables["identifiability"])
    for line in [*left, *findings.said(tables)]:
        console.print(line, highlight=False, markup=False)
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
    """What is to be identified. Raises `BadConfig` for an unknown subject, and where a fit is named beside parts."""
    one, tree = cfg, None
    if cfg.fit is not None:
        not_beside(*OF_A_FIT)
        one, tree = finished(Path(str(cfg.fit)), cfg.own)
        if not passed(tree):
            console.print("the fit did not pass its verdict: so much for its posterior", style="bold red")
    if build(one.variability) and tree is None and isinstance(build(one.sampler), ci.Independence):
        raise BadConfig("a population has too many parameters for a mixture; use sampler=nuts_population, or give its `fit`")
    problem, sampler, _ = prepare(one)
    if not isinstance(problem, ci.Population):
        if cfg.subject is not None:
            raise BadConfig(f"`subject` is {cfg.subject}, and this is no population; leave it out")
        return Asked(problem, problem, 0, sampler, tree, one.trigger.get("horizon_h"))
    labels = problem.cohort.labels
    label = labels[0] if cfg.subject is None else str(cfg.subject)
    if label not in labels:
        raise BadConfig(f"`subject` is {label}, who is not of the population; choose from: {', '.join(labels)}")
    number = labels.index(label)
    with blame():
        single = problem.alone(number)
    return Asked(problem, single, number, sampler, tree, one.trigger.get("horizon_h"))


def tabulated(cfg: DictConfig, single: ci.Problem, seen: Seen) -> dict[str, pd.DataFrame]:
    """Every table of the run folder."""
    positive = np.array([q.positive for q in seen.told])
    names, spread = [q.name for q in seen.told if q.positive], seen.width[positive]
    information = directions.about(seen.information, seen.width, positive)
    which = directions.combinations(information, seen.prior[:, positive], spread, names)
    values, _ = directions.spectra(information, spread)
    ask, wanted = cfg.next, futures.about(cfg.next, single)
    found = {
        "identifiability": findings.table(
            seen.told, seen.centre, seen.width, seen.information, seen.draws, seen.profiles, seen.power, which
        ),
        "directions": which,
        "singular_values": pd.DataFrame(values, columns=[f"s{k + 1}" for k in range(len(names))]),
        "next": pd.concat([design.chosen(seen.known, x, ask.num, ask.spacing_h, wanted) for x in seen.ahead]),
        "kinds": design.kinds(seen.known, seen.ahead, wanted),
    }
    lines = [pd.DataFrame({"parameter": p.name, "value": p.values, "drop": p.drop}) for p in seen.profiles]
    return found | {"profiles": pd.concat(lines)}


def draw(cfg: DictConfig, folder: Path, it: Asked, seen: Seen, tables: dict[str, pd.DataFrame]) -> None:
    """Draw the figures of the run folder."""
    from cytostorm.inference.identifiability import identifiability_figures as figures

    plt.switch_backend("agg")
    text, wanted = described(it.problem), futures.about(cfg.next, it.single)
    found = {
        "singular_values": figures.spectrum(tables["singular_values"].to_numpy()),
        "profiles": figures.profiled(seen.profiles, text, tables["identifiability"]),
        "next": figures.next_readings(seen.known, seen.ahead, tables["next"], wanted),
    }
    if pair := pair_of(cfg, tables["directions"]):
        draws, prior = (
            {q.name: q.told(x[:, k]) for k, q in enumerate(seen.told) if q.name in pair} for x in (seen.draws, seen.prior)
        )
        found["pair"] = figures.together(draws, prior, pair, text)
    for name, figure in found.items():
        save_figure(figure, folder / f"{name}.png")


def pair_of(cfg: DictConfig, directions: pd.DataFrame) -> list[str]:
    """The two parameters that are drawn together: those asked for, or those most often not told apart, if there are any."""
    if cfg.pair is not None:
        return [str(name) for name in cfg.pair]
    return next((names for names in map(str.split, directions["parameters"]) if len(names) == 2), [])


def show(table: pd.DataFrame) -> None:
    """Print the numbers of everything that has a profile."""
    heads = ("parameter", "log error\n(prior)", "contraction\n(expected)", "profile", "95 %", "prior /\nreadings")
    view = sheet("identifiability", heads, ("parameter", "profile"))
    for row in records(table[table["profile"] != ""]):
        ends = (plain(x) if np.isfinite(x) else "..." for x in (row["profile_low"], row["profile_high"]))
        error = f"{row['standard_error']:.2g}" if np.isfinite(row["standard_error"]) else "infinite"
        view.add_row(
            escape(row["parameter"]),
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
