"""All finished jobs of a sweep in one table and one store of draws."""

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from ..faults import BadConfig
from . import status
from .draws import decisions, posterior
from .roster import rows
from .status import DONE
from .watch import look

# The table of a job that is collected, a row of it for each row of the result.
TABLES = {
    "fit": "summary.csv",
    "compare": "decisions.csv",
    "forecast": "forecast.csv",
    "predict": "subjects.csv",
    "identify": "identifiability.csv",
    "calibrate": "calibration.csv",
    "simulate": "summary.csv",
    "stability": "folds.csv",
    "diff": "comparison.csv",
    "certify": "certificate.csv",
    "phenomena": "phenomena.csv",
    "benchmark": "benchmark.csv",
}


def collect(root: Path) -> int:
    """Write `results.parquet` and `results.zarr` of the jobs that are finished now; returns 0 if these are all.

    Raises `BadConfig` where there is no sweep, or no writer.
    """
    for module in ("pyarrow", "zarr"):
        _needed(module)
    jobs = rows(root)
    found = look(root, {row["key"]: "" for row in jobs})
    tables, done, faults = [], [], []
    for row in jobs:
        folder, state = root / "jobs" / row["key"], found[row["key"]]
        try:
            tables.append(table(row, folder, state))
            if state.state == DONE:
                done.append((row, folder))
        except Exception as error:  # whatever is wrong with one folder, the others are collected
            faults.append(f"{folder} cannot be read: {type(error).__name__}: {error}".splitlines()[0])
            tables.append(pd.DataFrame([about(row, state) | {"reason": faults[-1]}]))
    whole = tidy(pd.concat(tables, ignore_index=True))
    faults += stored(root, done)
    written = root / ".results.parquet"
    whole.to_parquet(written, index=False)
    written.replace(root / "results.parquet")
    return told(root, found, faults, len(whole))


def table(row: dict[str, Any], folder: Path, state: status.Status) -> pd.DataFrame:
    """The rows of one job: what it is, how it went, and its table; a single row where there is none."""
    known = about(row, state)
    if state.state != DONE:
        return pd.DataFrame([known])
    manifest = json.loads((folder / "manifest.json").read_text())
    known |= {f"seconds_{name}": value for name, value in manifest["seconds"].items()}
    known |= {name: value for name, value in (manifest.get("verdict") or {}).items() if name != "reasons"}
    known |= {name: manifest.get(name) for name in ("passed", "finished", "commit", "num_solves", "num_failed_solves")}
    path = folder / TABLES.get(row["job"], "summary.csv")
    if not path.is_file():
        return pd.DataFrame([known])
    own = pd.read_csv(path)
    own = own.rename(columns={name: f"{name}_" for name in own if name in known})
    return pd.DataFrame({name: [value] * len(own) for name, value in known.items()}).join(own)


def about(row: dict[str, Any], state: status.Status) -> dict[str, Any]:
    """What is known of any job, finished or not: its key, what the sweep varies, and its state."""
    own = {"key": row["key"], "job": row["job"], "state": state.state, "reason": state.reason, "attempts": state.attempts}
    return own | {f"sweep_{name}" if name in own else name: value for name, value in row["swept"].items()}


def tidy(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with columns of one kind each: of numbers where all of it are, else of text."""
    for name in frame:
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            continue
        there = column.notna().to_numpy()
        given = column.to_numpy(object)[there]
        if all(isinstance(x, bool | np.bool_) for x in given):
            frame[name] = column.astype("boolean")
        elif len(given) and all(_number(x) for x in given):
            frame[name] = pd.to_numeric(column)
        else:
            frame[name] = [str(x) if known else None for x, known in zip(column, there, strict=True)]
    return frame


def _number(x: Any) -> bool:
    try:
        float(x)
    except (TypeError, ValueError):
        return False
    return not isinstance(x, bool)


def stored(root: Path, done: Sequence[tuple[dict[str, Any], Path]]) -> list[str]:
    """Write the draws of finished jobs into `results.zarr`; returns what could not be read."""
    import xarray as xr

    parts, faults = {}, []
    for name, read in {"posterior": posterior, "decisions": decisions}.items():
        dataset, wrong = read([(row["key"], folder) for row, folder in done])
        faults += wrong
        if dataset.sizes:
            swept = pd.DataFrame([row["swept"] for row, _ in done], index=[row["key"] for row, _ in done])
            chosen = tidy(swept.loc[dataset["job"].values].reset_index(drop=True))
            free = {str(n): ("job", chosen[n].to_numpy()) for n in chosen if n not in dataset.variables}
            parts[f"/{name}"] = dataset.assign_coords({n: _plain(x) for n, x in free.items()})
    written = root / f".results.zarr.{os.getpid()}"
    try:
        xr.DataTree.from_dict(parts).to_zarr(written, mode="w", zarr_format=3, consolidated=False)
        before = root / f".before.zarr.{os.getpid()}"
        if (root / "results.zarr").exists():
            (root / "results.zarr").rename(before)
        written.rename(root / "results.zarr")
        shutil.rmtree(before, ignore_errors=True)
    finally:
        shutil.rmtree(written, ignore_errors=True)
    return faults


def _plain(value: tuple[str, np.ndarray]) -> tuple[str, np.ndarray]:
    """Text as an array of fixed width, which every reader of zarr knows."""
    dimension, x = value
    return (dimension, x) if x.dtype.kind in "biuf" else (dimension, x.astype(str))


def told(root: Path, found: dict[str, status.Status], faults: list[str], number: int) -> int:
    """Say what was collected and what was not; returns 0 where nothing is missing."""
    console = Console(width=None if sys.stdout.isatty() else 110)
    counts = Counter(one.state for one in found.values())
    rest = ", ".join(f"{count} {state}" for state, count in counts.items() if state != DONE)
    text = f"{counts[DONE]} of {len(found)} jobs are collected, {number} rows{f' ({rest})' if rest else ''}"
    console.print(f"{text}\n{root / 'results.parquet'}\n{root / 'results.zarr'}", highlight=False, soft_wrap=True)
    for fault in faults:
        print(f"cytostorm: {fault}", file=sys.stderr)
    return 1 if faults or rest else 0


def _needed(module: str) -> None:
    import importlib.util

    if importlib.util.find_spec(module) is None:
        raise BadConfig(f"to collect needs {module}, which is not installed; pip install 'cytostorm[collect]'")
