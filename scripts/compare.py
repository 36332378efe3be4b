"""cytostorm compare: when to treat, with what and how much: the same patients and draws under every option."""

import dataclasses
import time
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import DictConfig

import cytostorm.inference as ci
from cytostorm.inference.decisions.patients import Patient
from cytostorm.inference.results.choices import Wanted, hosts, patients
from cytostorm.inference.results.compared import Question
from cytostorm.inference.summary import records
from cytostorm.inference.verdict import passed

from . import device
from .compilation import Compilation, listening
from .compose import BadConfig, blame, plain
from .predict import finished, not_beside
from .problem import prepare
from .run import begin, console, end, origin, progress, sha256, sheet

SCENARIO = ("model", "trigger", "treatment", "prior", "solver")


def main(cfg: DictConfig, folder: Path) -> int:
    """Compare, save, decide and draw. Returns the exit code: 1 where no draw could be compared."""
    with listening() as programs:
        return _compare(cfg, folder, programs)


def _compare(cfg: DictConfig, folder: Path, programs: Compilation) -> int:
    clock = time.perf_counter()
    hardware = device.start(**cfg.device)
    with blame():
        question = Question(wanted(cfg), *people_of(cfg))
    config_hash = begin(cfg, folder)
    with progress("comparing") as report:
        began = time.perf_counter()
        found = question.solve(report)
        compared = time.perf_counter() - began
    comparison = found.comparison
    ci.save(found.tree, folder / "comparison.nc")
    with blame():
        tables = found.tables
    if comparison.whole.any():
        show(found.table, found.outcomes, list(found.utility.weights))
        from cytostorm.inference.report.decision_report import write

        source = origin(folder, "compare", hardware, cfg.seed, config_hash)
        forced = cfg.force and cfg.fit is not None and not passed(ci.load(Path(str(cfg.fit)) / "posterior.nc"))
        reasons = ["the fit did not pass its verdict: choices from it mean nothing"] if forced else []
        write(folder, comparison, found.utility, tables, found.units, found.lines, *source, reasons)
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    for line in found.lines:
        console.print(line, highlight=False)
    failed = int((~comparison.okay).sum())
    console.print(
        f"{failed} of {comparison.okay.size} solves failed; {comparison.whole.sum()} draws compared", highlight=False
    )
    seconds = {"compare": compared, "compile": programs.seconds, "total": time.perf_counter() - clock}
    end(
        folder,
        "compare",
        device=hardware,
        seed=cfg.seed,
        config_sha256=config_hash,
        data_sha256=sha256(Path(str(cfg.fit)) / "posterior.nc") if cfg.fit else None,
        seconds=seconds,
        programs=programs.counts,
        num_solves=comparison.okay.size,
        num_failed_solves=failed,
    )
    console.print(f"{seconds['total']:.0f} s, {programs.seconds:.0f} s of them compiling: {programs}", highlight=False)
    console.print(f"{folder}", highlight=False, soft_wrap=True)
    return 0 if comparison.whole.any() else 1


def wanted(cfg: DictConfig) -> Wanted:
    """What a configuration asks of a comparison."""
    return Wanted(**{field.name: plain(cfg[field.name]) for field in dataclasses.fields(Wanted)})


def people_of(cfg: DictConfig) -> tuple[list[Patient], float | None]:
    """Whom the options are tried on, and when their story ends, if anything says so [h]."""
    if cfg.fit is None:
        with blame():
            return hosts(wanted(cfg), plain(cfg))
    not_beside(*SCENARIO)
    fit, tree = finished(Path(str(cfg.fit)), cfg.own)
    if not passed(tree) and not cfg.force:
        raise BadConfig(
            f"the fit in {cfg.fit} failed its verdict: choices from it mean nothing; fit again, or give force=true"
        )
    problem, _, _ = prepare(fit)
    with blame():
        return patients(wanted(cfg), plain(fit), problem, tree)


def show(table: pd.DataFrame, outcomes: pd.DataFrame, names: list[str], most: int = 40) -> None:
    """Print the decision table of all patients."""
    label = table["patient"].iloc[0]
    own = table[table["patient"] == label].reset_index(drop=True).assign(option=lambda rows: range(len(rows)))
    rows = own if len(own) <= most else own.sort_values(by="utility", ascending=False).head(most)
    theirs = outcomes[outcomes["patient"] == label]
    means = {name: list(theirs.loc[theirs["outcome"] == name, "mean"]) for name in names}
    digits = max(0, 2 - int(np.floor(np.log10(max(np.abs(own[["q5", "q95"]].to_numpy()).max(), 1e-9)))))
    view = sheet("decisions")
    doses = [] if set(own["dose"]) <= {0.0, 1.0} else ["dose"]  # of no treatment, and of all as the treatment says
    for column in ("arm", "start", *doses, *names, "utility gained, 90 %", "better", "best", "regret"):
        view.add_column(
            column.replace("_", " "),
            justify="left" if column == "arm" else "right",
            no_wrap="gained" in column or column == "arm",
        )
    for row in records(rows):
        treated = row["clock"] != ""
        gained = [f"{round(row[name], digits) + 0.0:.{digits}f}" for name in ("difference", "q5", "q95")]
        view.add_row(
            row["arm"],
            f"{row['start_h']:g}" if treated else "",
            *(f"{row[name]:g}" if treated else "" for name in doses),
            *(f"{means[name][row['option']]:.2g}" for name in names),
            f"{gained[0]} ({gained[1]} to {gained[2]})" if treated else "",
            f"{row['p_better']:.2f}" if treated else "",
            f"{row['p_best']:.2f}",
            f"{row['regret']:.{digits}f}",
            style="bold" if row["expected_best"] else "",
        )
    console.print(view)
