"""cytostorm compare: when to treat, with what and how much: the same patients and draws under every option."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import DictConfig

import cytostorm.inference as ci
from cytostorm.inference.decisions import decide, information
from cytostorm.inference.decisions.comparison_tree import comparison_tree
from cytostorm.inference.decisions.counterfactual import Comparison, check, compare, units
from cytostorm.inference.decisions.optimum import optimum
from cytostorm.inference.decisions.options import NOW, TRIGGER
from cytostorm.inference.decisions.outcomes import Outcome
from cytostorm.inference.decisions.patients import Patient
from cytostorm.inference.decisions.utility import Utility
from cytostorm.inference.summary import plain, records
from cytostorm.inference.verdict import passed

from . import device
from .choices import NEXT, choices_of, outcomes_of, patients
from .compilation import Compilation, listening
from .compose import blame
from .run import begin, console, end, origin, progress, sha256, sheet

DAYS = 14  # after the last decision, where nothing says when the story ends


def main(cfg: DictConfig, folder: Path) -> int:
    """Compare, save, decide and draw. Returns the exit code: 1 where no draw could be compared."""
    with listening() as programs:
        return _compare(cfg, folder, programs)


def _compare(cfg: DictConfig, folder: Path, programs: Compilation) -> int:
    clock = time.perf_counter()
    hardware = device.start(**cfg.device)
    outcomes, utility = outcomes_of(cfg)
    people, horizon = patients(cfg)
    until = next(float(x) for x in (cfg.until_h, horizon, max(p.now for p in people) + 24 * DAYS) if x is not None)
    with blame():
        choices = choices_of(cfg)
        check(people, choices, outcomes, until, list(cfg.curves))
        decide.check_share(cfg.window.share)
    config_hash = begin(cfg, folder)
    with progress("comparing") as report:
        began = time.perf_counter()
        comparison = compare(people, choices, outcomes, until, cfg.num_times, list(cfg.curves), report)
        compared = time.perf_counter() - began
        windows = decide.windows(comparison, utility, cfg.window.share)
    table, read = decide.decisions(comparison, utility), units(people[0].model)
    ci.save(comparison_tree(comparison, utility, read), folder / "comparison.nc")
    tables = {
        "decisions": table,
        "outcomes": decide.outcome_table(comparison),
        "windows": windows,
        "draws": decide.failures(comparison),
    }
    lines: list[str] = []
    if comparison.whole.any():
        tables |= learned(comparison, utility, people)
        with blame():
            tables |= searched(cfg, comparison, table, people, outcomes, utility, until)
        show(table, tables["outcomes"], list(utility.weights))
        lines = told(comparison, tables)
        from cytostorm.inference.report.decision_report import write

        source = origin(folder, "compare", hardware, cfg.seed, config_hash)
        forced = cfg.force and cfg.fit is not None and not passed(ci.load(Path(str(cfg.fit)) / "posterior.nc"))
        reasons = ["the fit did not pass its verdict: choices from it mean nothing"] if forced else []
        write(folder, comparison, utility, tables, read, lines, *source, reasons)
    for name, found in tables.items():
        found.to_csv(folder / f"{name}.csv", index=False)
    for line in lines:
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


def learned(comparison: Comparison, utility: Utility, people: list[Patient]) -> dict[str, pd.DataFrame]:
    """What the choice hangs on, and whether the next reading would change it, of all patients together."""
    worth = decide.cases(comparison, utility.of(comparison))
    names = [n for n in people[0].values if all(np.ptp(p.values[n]) > 0 for p in people)]
    known = {n: np.stack([p.values[n] for p in people])[comparison.whole] for n in names}
    best = int(worth.mean(axis=1).argmax())
    return {"sensitivity": information.sensitivity(worth, known, best)}


def searched(
    cfg: DictConfig,
    comparison: Comparison,
    table: pd.DataFrame,
    people: list[Patient],
    outcomes: dict[str, Outcome],
    utility: Utility,
    until: float,
) -> dict[str, pd.DataFrame]:
    """What the next reading would change, and the best start and dose by gradient where it is asked for."""
    worth = decide.cases(comparison, utility.of(comparison))
    reading = decide.cases(comparison, comparison.outcome[..., comparison.outcomes.index(NEXT)])[0]
    random = np.random.default_rng(cfg.seed)
    seen = np.log(np.maximum(reading, 1e-12)) + cfg.next_reading.sd * random.standard_normal(len(reading))
    start = np.min(np.where(np.isfinite(comparison.start), comparison.start, np.inf) - comparison.now[:, None], axis=(1, 2))
    still = start >= cfg.next_reading.after_h - 1e-9
    found = {"perfect": information.perfect(worth)} | information.waiting(worth, seen, still)
    tables = {"information": pd.DataFrame([{"of": cfg.next_reading.of, "after_h": cfg.next_reading.after_h, **found}])}
    if not cfg.optimum.search:
        return tables
    rows = []
    for patient in people:
        own = [row["utility"] for row in records(table) if row["patient"] == patient.label]
        option = comparison.options[int(np.argmax(own[1:])) + 1]
        low, high = (float(x) for x in cfg.optimum.dose)
        best = optimum(patient, option, outcomes, utility, until, cfg.num_times, cfg.optimum.num_draws, (low, high))
        rows.append({name: getattr(best, name) for name in best.__dataclass_fields__})
    return tables | {"optimum": pd.DataFrame(rows)}


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


def since(clock: str) -> str:
    """What a clock counts from, in words."""
    return {NOW: "the decision", TRIGGER: "the trigger"}.get(clock, f"`{clock}`")


def told(comparison: Comparison, tables: dict[str, pd.DataFrame]) -> list[str]:
    """The comparison in words."""
    label = comparison.patients[0] if len(comparison.patients) == 1 else "all"
    best = next(row for row in records(tables["decisions"]) if row["patient"] == label and row["expected_best"])
    what = "no treatment" if best["clock"] == "" else f"{best['arm']} {best['start_h']:g} h after {since(best['clock'])}"
    lines = [f"best: {what}, the best of all in {best['p_best']:.0%} of the draws; expected regret {plain(best['regret'])}"]
    for row in records(tables["windows"]):
        if row["patient"] != label:
            continue
        arm = row["arm"] if row["dose"] == 1 else f"{row['arm']}, {row['dose']:g} x dose"
        if row["benefits"] == 0:
            lines.append(f"window of {arm}: it helps in no draw")
            continue
        lines.append(
            f"window of {arm}: it helps in {row['benefits']:.0%} of the draws, and {row['share']:.0%} of that is left until"
            f" {row['closes_h']:.0f} h ({row['q5']:.0f} to {row['q95']:.0f})"
        )
    hangs = ", ".join(
        f"{row['parameter']} ({plain(row['value'])})" for row in records(tables["sensitivity"])[:3] if row["value"]
    )
    value = records(tables["information"])[0]
    lines.append(
        f"knowing everything would add {plain(value['perfect'])}; one parameter alone: {hangs or 'next to nothing'}"
    )
    lines.append(
        f"{value['of']} read {value['after_h']:g} h on would add {plain(value['now'])} if it were known now; to wait for it"
        f" {'adds' if value['later'] > 0 else 'costs'} {plain(abs(value['later']))}"
    )
    for row in records(tables.get("optimum", pd.DataFrame())):
        lines.append(
            f"optimum of {row['arm']}, {row['patient']}: {row['start_h']:.1f} h since the trigger, {row['dose']:.2f} x dose,"
            f" utility gained {plain(row['gain'])} ({row['num_evaluations']} looks at the gradient)"
        )
    return lines
