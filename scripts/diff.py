"""cytostorm diff: which of several fits of the same readings predicts what was left out, by how much, how sure."""

import time
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from omegaconf import DictConfig, OmegaConf

import cytostorm.inference as ci
from cytostorm.inference.selection import selection_figures as figures
from cytostorm.inference.selection import weights
from cytostorm.inference.selection.common import KEY, common
from cytostorm.inference.selection.left_out import LeftOut, leave_out
from cytostorm.inference.selection.replicas import p_values
from cytostorm.inference.style import save_figure
from cytostorm.inference.summary import records
from cytostorm.inference.verdict import PARETO_K, passed

from . import device
from .compose import BadConfig, blame, build
from .predict import finished
from .problem import prepare
from .run import begin, console, end, progress, sha256, sheet


class Fit(NamedTuple):
    """A finished fit: its folder, its configuration and its tree."""

    folder: Path
    config: DictConfig
    tree: xr.DataTree

    @property
    def evidence(self) -> tuple[float, float]:
        """The log evidence and its standard error; not a number where the sampler gives none."""
        facts = self.tree["sample_stats"].attrs
        return float(facts.get("log_evidence", np.nan)), float(facts.get("log_evidence_se", np.nan))

    @property
    def num_sampled(self) -> float:
        """How many numbers were sampled, where the fit is of one subject; else not a number."""
        return len(self.tree["log_prior"].to_dataset().data_vars) if "log_prior" in self.tree else np.nan

    @property
    def by_subject(self) -> pd.Series | None:
        """The log predictive density of every left-out subject, where the fit is of a population."""
        table = self.folder / "left_out.csv"
        if not table.is_file():
            return None
        found = pd.read_csv(table, dtype={"subject": str})
        return pd.Series(found["elpd"].to_numpy(), index=found["subject"].to_numpy())


def main(cfg: DictConfig, folder: Path) -> int:
    """Compare, save, draw and tell. Returns the exit code."""
    clock = time.perf_counter()
    hardware = device.start(**cfg.device)
    fits = {name: Fit(path, *finished(path, cfg.own)) for name, path in folders(cfg.fits).items()}
    analytes = list(cfg.analytes) if cfg.analytes else None
    with blame():
        table, lost = common({name: fit.tree for name, fit in fits.items()}, analytes)
    config_hash = begin(cfg, folder)
    with progress("leaving out") as report:
        left = {}
        for i, (name, fit) in enumerate(fits.items(), start=1):
            problem = problem_of(fit) if cfg.moment_match else None
            try:
                left[name] = leave_out(fit.tree, problem)
            except ValueError as error:
                raise BadConfig(f"readings cannot be left out of {name}: {error}") from error
            report(i, len(fits))
    rows = compared(fits, left, table)
    each = by_reading(left, table)
    p = {name: p_values(fit.tree, analytes) for name, fit in fits.items()}
    rows.to_csv(folder / "comparison.csv")
    each.to_csv(folder / "readings.csv", index=False)
    pd.concat([one.assign(fit=name) for name, one in p.items()]).to_csv(folder / "p_values.csv", index=False)
    plt.switch_backend("agg")
    drawn = {"readings_left_out": figures.below(rows, "readings"), "readings": figures.by_reading(each, list(rows.index))}
    drawn["p_values"] = figures.predictive(p)
    lines = [*lost, *weights.said(rows, "readings"), *doubts(rows, len(table))]
    if analytes is None and (subjects := of_subjects(fits)) is not None:
        subjects.to_csv(folder / "subjects.csv")
        drawn["subjects_left_out"] = figures.below(subjects, "subjects")
        lines += weights.said(subjects, "subjects")
    for name, figure in drawn.items():
        save_figure(figure, folder / f"{name}.png")
    show(rows)
    for line in lines:
        console.print(line, highlight=False)
    seconds = {"total": time.perf_counter() - clock}
    data = sha256(folder / "readings.csv")
    end(folder, "diff", device=hardware, seed=cfg.seed, config_sha256=config_hash, data_sha256=data, seconds=seconds)
    console.print(f"{seconds['total']:.0f} s\n{folder}", highlight=False, soft_wrap=True)
    return 0


def folders(node: object) -> dict[str, Path]:
    """The folders of the fits by name; those of a list go by their own names. Raises `BadConfig` for fewer than two."""
    given = OmegaConf.to_container(node) if OmegaConf.is_config(node) else node
    if isinstance(given, list):
        paths = [Path(str(x)) for x in given]
        names = [path.name for path in paths]
        given = dict(zip(names if len(set(names)) == len(names) else map(str, paths), paths, strict=True))
    if not isinstance(given, dict) or len(given) < 2:
        raise BadConfig(f"`fits` is {given}; give the folders of two fits or more: fits=[runs/fit/A,runs/fit/B]")
    return {str(name): Path(str(path)) for name, path in given.items()}


def problem_of(fit: Fit) -> ci.Problem | None:
    """The problem that was fitted, where it is of one subject.

    Raises `BadConfig` where its data are no longer those of the fit.
    """
    if build(fit.config.variability):
        return None
    problem, _, _ = prepare(fit.config)
    then = fit.tree["observed_data"].to_dataset()["y"].values
    if len(problem.data) != len(then) or not np.array_equal(problem.data.value, then):
        raise BadConfig(f"the data of {fit.folder} have changed since; fit again, or compare with moment_match=false")
    return problem


def compared(fits: dict[str, Fit], left: dict[str, LeftOut], table: pd.DataFrame) -> pd.DataFrame:
    """One row per fit, the best first: what it predicts of left-out readings, and its evidence where all data are common."""
    rows = weights.differences({name: left[name].elpd[table[name]] for name in fits})
    whole = all(len(left[name].elpd) == len(table) for name in fits)
    more = {
        name: {
            "high_k": int((left[name].pareto_k[table[name]] > PARETO_K).sum()),
            "num_matched": left[name].num_matched,
            "num_effective": left[name].num_effective,
            "num_sampled": fit.num_sampled,
            "log_evidence": fit.evidence[0] if whole else np.nan,
            "log_evidence_se": fit.evidence[1] if whole else np.nan,
            "passed": passed(fit.tree),
        }
        for name, fit in fits.items()
    }
    found: Any = pd.concat([rows, pd.DataFrame.from_dict(more, orient="index").loc[rows.index]], axis=1)
    found.index.name = "fit"
    return found


def by_reading(left: dict[str, LeftOut], table: pd.DataFrame) -> pd.DataFrame:
    """One row per reading: its log predictive density when left out, and the shape of its weights, by fit."""
    each: Any = table[["value", "cens"]].reset_index()[[*KEY[:3], "value", "cens"]]
    for name, one in left.items():
        at = table[name].to_numpy()
        each[f"elpd_{name}"], each[f"pareto_k_{name}"] = one.elpd[at], one.pareto_k[at]
    return each


def of_subjects(fits: dict[str, Fit]) -> pd.DataFrame | None:
    """How fits of populations predict left-out subjects, where all have the same ones and the same readings of them."""
    each = {name: one for name, fit in fits.items() if (one := fit.by_subject) is not None}
    if len(each) < len(fits) or len({tuple(one.index) for one in each.values()}) > 1:
        return None
    if len({fit.tree["observed_data"].sizes["obs_id"] for fit in fits.values()}) > 1:
        return None
    return weights.differences({name: one.to_numpy() for name, one in each.items()})


def doubts(rows: pd.DataFrame, number: int) -> list[str]:
    """In words, what speaks against trusting the comparison."""
    lines = []
    for row in records(rows.reset_index(names="fit")):
        if not row["passed"]:
            lines.append(f"{row['fit']} did not pass its verdict: so much for what it predicts")
        if row["high_k"]:
            text = f"{row['high_k']} of {number} readings are too weighty to be left out by weights (k > {PARETO_K:g})"
            lines.append(f"{row['fit']}: {text}")
        if row["num_effective"] > row["num_sampled"]:
            text = f"{row['num_effective']:.0f} parameters used up, and {row['num_sampled']:.0f} sampled"
            lines.append(f"{row['fit']}: {text}: the model does not suit the readings")
    if number < 100:
        lines.append(f"{number} readings: standard errors of differences are themselves uncertain below 100")
    return lines


def show(rows: pd.DataFrame) -> None:
    """Print the comparison, the best fit first."""
    heads = ("fit", "elpd", "SE", "below the best", "SE", "weight", "p effective", "k > 0.7", "log evidence")
    view = sheet("left-out readings", heads, ("fit",))
    for row in records(rows.reset_index(names="fit")):
        evidence = f"{row['log_evidence']:.2f}" if np.isfinite(row["log_evidence"]) else ""
        numbers = [f"{row[key]:.1f}" for key in ("elpd", "se", "difference", "difference_se")]
        ends = [f"{row['weight']:.2f}", f"{row['num_effective']:.1f}", str(row["high_k"]), evidence]
        view.add_row(row["fit"], *numbers, *ends)
    console.print(view)
