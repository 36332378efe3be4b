"""cytostorm fit: readings in, posterior out."""

import importlib
import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig
from rich.markup import escape

import cytostorm.inference as ci
from cytostorm.inference.keys import branches, root
from cytostorm.inference.summary import lesson, plain, recovery
from cytostorm.inference.verdict import PARETO_K

from . import device
from .compilation import Compilation, listening
from .interruption import until_stopped
from .problem import arms_of, lanes, prepare
from .run import begin, console, end, origin, progress, sha256, sheet


def main(cfg: DictConfig, folder: Path) -> int:
    """Fit, save, judge and report. Returns the exit code."""
    with listening() as programs:
        return _fit(cfg, folder, programs)


def _fit(cfg: DictConfig, folder: Path, programs: Compilation) -> int:
    clock = time.perf_counter()
    hardware = device.start(**cfg.device, lanes=lambda: lanes(cfg))
    if "because" in hardware:
        console.print(f"device={hardware['platform']}: {hardware['because']}", highlight=False)
    problem, sampler, truth = prepare(cfg)
    against = arms_of(cfg, cfg.against) if cfg.against else None
    config_hash = begin(cfg, folder)
    problem.data.table().to_csv(folder / "observations.csv", index=False)
    if truth:
        (folder / "truth.json").write_text(json.dumps(truth, indent=2) + "\n")
    count = len(problem.data)
    console.print(f"{count} readings, {problem.sites.size} sampled parameters, {about(problem)}", highlight=False)

    key_sample, key_predict = branches(root(cfg.seed), 2)
    blocks = ci.Blocks(folder / "blocks")
    _meanwhile("arviz_stats", *(["cytostorm.inference.report.fit_report"] if cfg.report else []))
    with progress("sampling") as report, until_stopped(blocks):
        draws = sampler.sample(problem, key_sample, report, blocks)
    seconds = dict(draws.seconds)
    tree = ci.assemble(problem, draws, key_predict)
    verdict = ci.judge(tree, draws.num_solves, draws.num_failed)
    table, readings = ci.summary(tree), ci.fitted(tree)
    tree.attrs["verdict"] = verdict.model_dump_json()
    ci.save(tree, folder / "posterior.nc")
    table.to_csv(folder / "summary.csv")
    readings.to_csv(folder / "fitted.csv", index=False)
    seconds["to_table"] = time.perf_counter() - clock
    show(table)
    if isinstance(problem, ci.Population):
        for line in of_subjects(problem, draws, tree, key_predict, folder, against, sampler if cfg.refit else None):
            console.print(line, highlight=False)
    for line in lesson(table):
        console.print(line, highlight=False)
    if truth:
        recovered = recovery(table, truth)
        recovered.to_csv(folder / "recovery.csv")
        console.print(recovered.to_string(float_format="{:.3g}".format), highlight=False)
    for line in remarks(draws):
        console.print(line, highlight=False)
    begun = time.perf_counter()
    checks = check(tree, problem, folder)
    seconds["checks"] = time.perf_counter() - begun
    console.print(str(verdict), style="bold green" if verdict else "bold red", highlight=False)

    if cfg.report:
        from cytostorm.inference.report.fit_report import write

        begun = time.perf_counter()
        source = origin(folder, "fit", hardware, cfg.seed, config_hash)
        write(folder, problem, tree, table, readings, verdict, truth, checks, *source)
        seconds["report"] = time.perf_counter() - begun
    seconds |= {"compile": programs.seconds, "total": time.perf_counter() - clock}
    blocks.clear()
    end(
        folder,
        "fit",
        device=hardware,
        seed=cfg.seed,
        config_sha256=config_hash,
        data_sha256=sha256(folder / "observations.csv"),
        seconds=seconds,
        programs=programs.counts,
        num_solves=draws.num_solves,
        num_failed_solves=draws.num_failed,
        failed_by_subject=by_label(problem, draws),
        num_screened=draws.starts.num_screened,
        num_screened_failed=draws.starts.num_unsolved,
        facts=draws.facts,
        modes=[round(float(x), 4) for x in draws.starts.weight],
        verdict=verdict,
        passed=verdict.passed,
        flagged=checks.flagged,
    )
    console.print(f"{seconds['total']:.0f} s, {programs.seconds:.0f} s of them compiling: {programs}", highlight=False)
    console.print(f"{folder}", highlight=False, soft_wrap=True)
    return 1 if cfg.strict and not verdict else 0


def check(tree: Any, problem: ci.Problem | ci.Population, folder: Path) -> Any:
    """Write what the checks of the fit find, and print what is flagged; the verdict is not theirs."""
    from cytostorm.inference.checking.findings import checked

    found = checked(tree, problem.data)
    found.table.to_csv(folder / "checks.csv", index=False)
    found.readings.to_csv(folder / "residuals.csv", index=False)
    console.print(str(found), style="yellow" if found.flagged else None, highlight=False, soft_wrap=True)
    return found


def _meanwhile(*modules: str) -> None:
    """Import in another thread what comes after sampling: while programs compile, Python has nothing to do."""
    threading.Thread(target=lambda: [importlib.import_module(name) for name in modules]).start()


def of_subjects(
    problem: ci.Population,
    draws: ci.Draws,
    tree: Any,
    key: Any,
    folder: Path,
    against: dict[str, ci.Arm] | None,
    sampler: ci.Sampler | None,
) -> list[str]:
    """Write what is known of every subject, as a member of the cohort and left out of it; returns it in words.

    With a sampler, subjects whom weights cannot leave out are left out by a fit of the others.
    """
    from cytostorm.inference.prediction.leave_out import by_subject, coverage, gain, leave_one_out
    from cytostorm.inference.prediction.npde import prediction_errors
    from cytostorm.inference.prediction.refit import refitted
    from cytostorm.inference.prediction.rivals import curves_of
    from cytostorm.inference.summary import related

    ci.individuals(tree).to_csv(folder / "individuals.csv", index=False)
    if len(found := related(tree)):
        found.to_csv(folder / "related.csv", index=False)
    prediction_errors(tree, problem.data).to_csv(folder / "npde.csv", index=False)
    values = {n: x.reshape(-1, *x.shape[2:]) for n, x in draws.values.items()}
    left, lines = leave_one_out(problem, values, key), []
    if sampler is not None:
        left, agreement = refitted(problem, sampler, values, left, key)
        told = ", ".join(f"{label} (R-hat {x:.3f})" for label, x in agreement.items()) or "none"
        lines.append(f"left out by fits of the others: {told}")
    inside = coverage(problem, left)
    each = by_subject(problem, left, curves_of(against, problem) if against else None)
    inside.to_csv(folder / "coverage.csv", index=False)
    each.to_csv(folder / "left_out.csv", index=False)
    bad = np.count_nonzero(each["pareto_k"].to_numpy() > PARETO_K)
    lines += [
        f"subjects left out: expected log predictive density {each['elpd'].sum():.1f}, Pareto k above {PARETO_K} in {bad} of"
        f" {len(each)}; {inside['inside'].mean():.1%} of readings inside their 90 % interval"
    ]
    for column, rival in {"elpd_mean_curve": "the mean curve of the others", "elpd_against": "the other model"}.items():
        better, error, number = gain(each, column) if column in each else (0.0, 0.0, 0)
        if number:
            lines.append(f"better than {rival} by {better:.1f}, standard error {error:.1f} ({number} subjects)")
    return lines


def by_label(problem: ci.Problem | ci.Population, draws: ci.Draws) -> dict[str, int]:
    """How often each subject of a population could not be solved, where it happened."""
    labels = problem.cohort.labels if isinstance(problem, ci.Population) else [problem.data.subject[0]]
    return {label: number for label, number in zip(labels, draws.failed_by_subject, strict=True) if number}


def about(problem: ci.Problem | ci.Population) -> str:
    """Whose posterior it is, in words."""
    if isinstance(problem, ci.Problem):
        return f"{type(problem.model).__name__} model"
    kinds = ", ".join(dict.fromkeys(type(arm.model).__name__ for arm in problem.arms.values()))
    return f"{len(problem.cohort)} subjects, {kinds} model"


def remarks(draws: ci.Draws) -> list[str]:
    """What a sampler tells beside its draws, in words: modes, evidence."""
    lines = []
    if len(draws.starts.weight) > 1:
        shares = ", ".join(f"{x:.1%}" for x in draws.starts.weight)
        lines.append(f"{len(draws.starts.weight)} modes were found; masses by Laplace's approximation: {shares}")
    if "log_evidence" in draws.facts:
        error = draws.facts.get("log_evidence_se", float("nan"))
        lines.append(f"log evidence {draws.facts['log_evidence']:.2f}, standard error {error:.2f}")
    return lines


def show(table: pd.DataFrame) -> None:
    """Print the posterior table."""
    heads = ("parameter", "unit", "median", "90 % interval", "R-hat", "ESS", "contraction")
    view = sheet("posterior", heads, ("parameter", "unit"))
    for name, row in table.iterrows():
        view.add_row(
            escape(str(name)),  # `omega[k_fb]` is a name, not a style
            str(row["unit"]),
            plain(row["median"]),
            f"{plain(row['q5'])} to {plain(row['q95'])}",
            f"{row['r_hat']:.3f}",
            f"{row['ess_bulk']:.0f}",
            f"{row['contraction']:.2f} {row['taught']:<6}",
        )
    console.print(view)
