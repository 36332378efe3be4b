"""cytostorm calibrate: is the inference right? Simulation-based calibration of a problem and its sampler."""

import time
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from omegaconf import DictConfig
from rich.markup import escape

import cytostorm.inference as ci
from cytostorm.inference import quantities
from cytostorm.inference.calibration import findings, fits, replicates
from cytostorm.inference.keys import branches, generator, root
from cytostorm.inference.style import save_figure
from cytostorm.inference.summary import records

from . import device
from .compilation import listening
from .compose import BadConfig, blame, build
from .interruption import until_stopped
from .problem import prepare
from .run import begin, console, end, progress, sheet

LEAST = {"num_replicates": 20, "num_ranks": 20, "threads": 1}
POOL = 10  # independent draws of the posterior of the readings for every truth that is taken from them


def main(cfg: DictConfig, folder: Path) -> int:
    """Draw, fit, rank, save, draw and tell. Returns 0 where the calibration passes, 1 where not."""
    clock, work = time.perf_counter(), time.process_time()
    hardware = device.start(**cfg.device)
    problem, samplers, names = asked(cfg)
    limits = limits_of(cfg, problem)
    config_hash = begin(cfg, folder)
    blocks = ci.Blocks(folder / "fits")
    with listening() as programs, progress("calibrating") as report:
        key_truth, key_draw, key_fit = branches(root(cfg.seed), 3)
        truth = None
        if cfg.posterior and isinstance(problem, ci.Problem):  # of a population `asked` refuses it
            truth = observed(problem, samplers, key_truth, cfg.num_replicates)
        drawn = replicates.drawn(problem, limits, key_draw, cfg.num_replicates, truth)
        density = replicates.posed(problem, limits, cfg.posterior)
        keys = branches(key_fit, cfg.num_replicates)

        def fit(number: int) -> fits.Fit:
            own = replicates.given(density, problem, drawn.data[number], cfg.posterior)
            return fits.fitted(own, drawn.truth[number], samplers, keys[number], cfg.num_ranks)

        with until_stopped(blocks):
            threads = 1 if problem.sites.num_subjects else cfg.threads  # NumPyro traces one program at a time
            found = fits.every_fit(fit, cfg.num_replicates, len(problem.sites.shared), blocks, report, threads)
    wide = quantities.width(problem, key_truth) if truth is None else truth.std(axis=0)
    if not any(one.there for one in found):
        raise ci.Stuck("no replicate could be fitted; use another sampler, or narrow the priors")
    ranks = findings.by_rank(problem, drawn, found, wide)
    made = findings.by_replicate(found, names, cfg.num_ranks)
    table = findings.table(ranks, cfg.num_ranks, quantities.described(problem))
    for name, one in {"ranks": ranks, "fits": made, "calibration": table}.items():
        one.to_csv(folder / f"{name}.csv", index=False)
    draw(folder, ranks, table, cfg.num_ranks)
    faults = findings.faults(table, made)
    show(table)
    told(made, drawn, faults, cfg)
    seconds = {"compile": programs.seconds, "cpu": time.process_time() - work, "total": time.perf_counter() - clock}
    end(
        folder,
        "calibrate",
        device=hardware,
        seed=cfg.seed,
        config_sha256=config_hash,
        seconds=seconds,
        programs=programs.counts,
        num_solves=sum(int(one.sampled.num_solves) for one in found),
        num_failed_solves=sum(int(one.sampled.num_failed) for one in found),
        num_screened=drawn.num_drawn,
        num_screened_failed=drawn.num_failed,
        passed=not faults,
    )
    blocks.clear()
    console.print(
        f"{seconds['total']:.0f} s, {seconds['cpu']:.0f} s of the processor, {programs.seconds:.0f} s of them compiling:"
        f" {programs}\n{folder}",
        highlight=False,
        soft_wrap=True,
    )
    return 1 if faults else 0


def asked(cfg: DictConfig) -> tuple[ci.Problem | ci.Population, list[ci.Sampler], list[str]]:
    """The problem, and the samplers in the order of care, with their names. Raises `BadConfig` for what does not fit."""
    for name, least in LEAST.items():
        if cfg[name] < least:
            raise BadConfig(f"`{name}` is {cfg[name]}; give {least} or more")
    if cfg.device.get("mesh") and cfg.threads > 1:
        raise BadConfig(f"`threads` is {cfg.threads}, and with `device.mesh` every fit takes all devices; give threads=1")
    population = build(cfg.variability)
    if population and cfg.posterior:
        raise BadConfig("`posterior` is true, and takes one subject; a population is calibrated around its prior")
    samplers = [build(one) for one in (cfg.sampler, cfg.again) if one is not None]
    if population and isinstance(samplers[0], ci.Independence):
        raise BadConfig("a population has too many parameters for a mixture; use sampler=nuts_population")
    if population and isinstance(samplers[-1], ci.Independence):
        console.print("a population has too many parameters for `again`, a mixture: no fit is made anew")
        samplers.pop()
    problem = prepare(cfg)[0]
    return problem, samplers, [type(one).__name__ for one in samplers]


def limits_of(cfg: DictConfig, problem: ci.Problem | ci.Population) -> replicates.Assay:
    """What the assay of the readings cannot see: for synthetic data their limits, else those of censored readings."""
    data = build(cfg.data)
    low, high = (data.lower_limit, data.upper_limit) if isinstance(data, ci.Synthetic) else (None, None)
    with blame():
        return replicates.assay(problem.data, low, high)


def observed(problem: ci.Problem, samplers: list[ci.Sampler], key: Any, num: int) -> np.ndarray:
    """Positions drawn from the posterior of the readings, in random order, worth at least `POOL` for every replicate.

    Truths that are not independent of each other would be as far from uniform ranks together as the draws they came from.
    Raises `Stuck` where no sampler's draws can be trusted.
    """
    key_sample, key_order = branches(key, 2)
    density, pool, worth = ci.Density(problem), [], 0.0
    for own in branches(key_sample, POOL):  # each is worth one for every replicate at least
        found = fits.sampled(density, samplers, own, num)
        faults = ["there are no draws"] if found.position is None else found.check.faults(num)
        if found.position is None or faults:
            raise ci.Stuck(f"the posterior of the readings cannot be trusted: {'; '.join(faults)}; use another sampler")
        pool.append(found.position.reshape(-1, problem.sites.size))
        worth += float(found.check.ess)
        if worth >= POOL * num:
            break
    x = np.concatenate(pool)
    return x[generator(key_order).permutation(len(x))]


def draw(folder: Path, ranks: pd.DataFrame, table: pd.DataFrame, num_ranks: int) -> None:
    """Draw the figures of the run folder."""
    from cytostorm.inference.calibration import calibration_figures as figures

    plt.switch_backend("agg")
    each = findings.bands(ranks, num_ranks)
    found = {
        "ranks": figures.histograms(each, table),
        "ecdf": figures.differences(each, table),
        "coverage": figures.coverage(table),
        "recovery": figures.recovery(ranks, table),
    }
    for name, figure in found.items():
        save_figure(figure, folder / f"{name}.png")


def show(table: pd.DataFrame) -> None:
    """Print the numbers of every quantity."""
    heads = ("quantity", "ranks", "p", "50 %", "80 %", "90 %", "95 %", "contraction", "z-score")
    view = sheet("calibration", heads, ("quantity", "ranks"))
    for row in records(table):
        inside = (f"{row[f'coverage_{level}']:.2f}" for level in (50, 80, 90, 95))
        learned = (
            ("", "") if np.isnan(row["z_sd"]) else (f"{row['contraction']:.2f}", f"{row['z_mean']:+.2f} ({row['z_sd']:.2f})")
        )
        ranks = row["shape"] if row["in_band"] or not row["passes"] else "uniform, beside its band"
        view.add_row(escape(row["parameter"]), ranks, f"{row['p_value']:.2f}", *inside, *learned)
    console.print(view)
    console.print(
        "ranks of truths among draws; p of their largest departure from uniform ones; the share of truths inside central"
        " intervals; z-score: mean (standard deviation)",
        highlight=False,
    )


def told(made: pd.DataFrame, drawn: replicates.Replicates, faults: list[str], cfg: DictConfig) -> None:
    """Say what became of every truth and every fit, and whether the calibration passes."""
    lost, doubtful = findings.counted(made)
    again = np.count_nonzero(made["attempt"] == 2)
    console.print(
        f"{drawn.num_drawn} truths drawn from the {'posterior' if cfg.posterior else 'prior'}, {drawn.num_failed} of them"
        f" could not be solved and were replaced; {len(made)} fits, {again} of them by the second sampler;"
        f" {doubtful} that did not pass their check are counted all the same, {lost} could not be made",
        highlight=False,
        soft_wrap=True,
    )
    head = "FAIL: " + "\n  - ".join(["", *faults]) if faults else "PASS"
    console.print(escape(head), style="bold red" if faults else "bold green", highlight=False, soft_wrap=True)
