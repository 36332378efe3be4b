"""The cells of a table as text, with the line of each row; faults are collected and told with file, line and column."""

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)


class Fault(NamedTuple):
    """What is wrong with one cell, and what to do."""

    line: int
    column: str
    value: str
    remedy: str


class Faulty(ValueError):
    """A row that cannot be understood; `fault` tells why."""

    def __init__(self, fault: Fault):
        self.fault = fault
        super().__init__(fault.remedy)


def refuse(path: Path, faults: Iterable[Fault]) -> None:
    """Raise `ValueError` for the first of these faults, with the lines of the others; nothing where there are none."""
    ordered = sorted(faults, key=lambda fault: fault.line)
    if not ordered:
        return
    line, column, value, remedy = ordered[0]
    lines = sorted({fault.line for fault in ordered} - {line})
    rows = f"{len(lines)} more faulty row{'s' if len(lines) > 1 else ''}"
    others = f" ({rows}: {spans(lines)})" if lines else ""
    shown = value if len(value) <= 40 else f"{value[:40]}..."
    raise ValueError(f"{path}, line {line}, column `{column}`: {shown!r} {remedy}{others}")


def spans(lines: Iterable[int]) -> str:
    """Lines in words: `line 3` or `lines 3-5, 9`; of more than eight stretches, the first eight."""
    ordered = sorted(lines)
    runs: list[list[int]] = []
    for line in ordered:
        if runs and line == runs[-1][-1] + 1:
            runs[-1].append(line)
        else:
            runs.append([line])
    shown = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs[:8]]
    return f"line{'s' if len(ordered) > 1 else ''} {', '.join(shown)}{', ...' if len(runs) > 8 else ''}"


def number(text: str) -> float | None:
    """The finite number that a cell holds, or none."""
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if np.isfinite(value) else None


class Cells(NamedTuple):
    """A table as text: the names of its columns, and the cells of each row by its line in the file."""

    header: list[str]
    rows: dict[int, list[str]]

    def frame(self) -> pd.DataFrame:
        """The table with the lines as index."""
        return pd.DataFrame.from_dict(self.rows, orient="index", columns=self.header, dtype=str)

    def column(self, name: str) -> dict[int, str]:
        """The cells of a column by line."""
        place = self.header.index(name)
        return {line: row[place] for line, row in self.rows.items()}


def cells(path: Path, needed: str, separator: str = ",") -> Cells:
    """The cells of the file as text.

    Cells are parted by `separator`, by spaces and tabs where it is `space`. Rows without any text are left out.

    Raises `ValueError` for a file that is not a table of text, and for a row with other cells than the header.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give the path of a CSV table")
    raw = path.read_bytes()
    if not raw:
        raise ValueError(f"{path}: the file is empty (0 bytes); it needs a header line {needed}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}, line {line}: byte {raw[error.start]:#04x} is not UTF-8; save as UTF-8") from error
    return parsed(text, path, separator)


def parsed(text: str, path: Path, separator: str = ",") -> Cells:
    """The cells of a text that comes from `path`. Raises `ValueError` for a row with other cells than the header."""
    if separator == "space":
        text, separator = "\n".join(" ".join(line.split()) for line in re.split(r"\r\n|\n|\r", text)), " "
    header, rows = _split(text, path, separator)
    if repeated := [name for name in header if header.count(name) > 1]:
        raise ValueError(f"{path}: column `{repeated[0]}` occurs twice; keep one")
    for line, row in rows.items():
        if len(row) != len(header):
            raise ValueError(
                f"{path}, line {line}: {len(row)} cells under a header of {len(header)}; give every row as many cells, and"
                " quote cells that hold a comma"
            )
    return Cells(header, rows)


def _split(text: str, path: Path, separator: str) -> tuple[list[str], dict[int, list[str]]]:
    """The header and the rows by line."""
    if len(separator) != 1 or separator in '"\r\n':
        raise ValueError(f"`separator` is {separator!r}; give one character, or `space`")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    found: dict[int, list[str]] = {}
    try:
        for row in reader:
            if any("\n" in cell or "\r" in cell for cell in row):
                raise csv.Error("a quoted cell runs over the end of the line")
            found[reader.line_num] = [cell.strip() for cell in row]
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}; is a quote missing before it?") from error
    header = found.pop(min(found), []) if found else []
    return header, {line: row for line, row in found.items() if any(row)}
