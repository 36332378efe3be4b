"""A report as one file: sections of words, tables, pictures and views that a script draws; all text of users is escaped."""

import base64
import hashlib
import importlib.resources
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jinja2 import Environment
from markupsafe import Markup

from ..summary import plain

SCRIPTS = ("base", "chart", "trajectories", "posterior", "timing", "warning", "main")
DIGITS = 4  # significant digits of what is drawn
FOOTER = "Made by cytostorm, research software, which must never be used for the care of patients."

type Row = Mapping[str, Any]


@dataclass(frozen=True)
class Head:
    """What the page says first: whether it may be used, why not, and what was checked."""

    head: str
    reasons: Sequence[str] = ()
    facts: str = ""
    mark: Literal["pass", "fail", ""] = ""


@dataclass(frozen=True)
class Cell:
    """What a table shows at one place, the number that it is sorted by, its style, and a note below."""

    text: str
    order: float | None = None
    style: str = ""
    note: str = ""


@dataclass(frozen=True)
class Column:
    """A column: its head, and the cell of a row."""

    head: str
    cell: Callable[[Row], Cell]
    words: bool = False


@dataclass(frozen=True)
class Line:
    """The cells of a row, and whether it is the best."""

    cells: list[Cell]
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table that sorts by every column."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Line]


@dataclass(frozen=True)
class Picture:
    """A figure as PNG, and what it shows."""

    caption: str
    picture: str

    @classmethod
    def of(cls, caption: str, png: bytes) -> "Picture":
        return cls(caption, base64.b64encode(png).decode())


@dataclass(frozen=True)
class Section:
    """A part of a page, any of: words, views by their name, tables, pictures, facts by name, and text as it is."""

    id: str
    title: str
    about: str = ""
    lines: Sequence[str] = ()
    views: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tables: Sequence[Table] = ()
    figures: Sequence[Picture] = ()
    facts: Sequence[tuple[str, str]] = ()
    text: str = ""


def words(head: str, name: str, note: str | None = None) -> Column:
    """A column of words, with a note below them."""
    return Column(head, lambda row: Cell(str(row[name]), style="words", note=str(row[note]) if note else ""), True)


def number(head: str, name: str, show: Callable[[Any], str] = plain) -> Column:
    """A column of numbers."""
    return Column(head, lambda row: Cell(show(row[name]) if np.isfinite(row[name]) else "", _order(row[name])))


def interval(head: str, low: str, high: str) -> Column:
    """A column of intervals, sorted by their lower ends."""
    return Column(head, lambda row: Cell(f"{plain(row[low])} to {plain(row[high])}", _order(row[low])))


def table(
    caption: str, columns: Sequence[Column], rows: Sequence[Row], best: Callable[[Row], bool] = lambda row: False
) -> Table:
    """A table of rows; those that are `best` are marked."""
    return Table(caption, columns, [Line([column.cell(row) for column in columns], best(row)) for row in rows])


def _order(x: Any) -> float | None:
    return float(x) if np.isfinite(x) else None


def short(x: Any) -> Any:
    """Numbers in few digits, as lists; what is not finite is null."""
    values = np.asarray(x, float)
    if values.ndim > 1:
        return [short(row) for row in values]
    found = [float(f"{x:.{DIGITS}g}") if math.isfinite(x) else None for x in values.ravel().tolist()]
    return found if values.ndim else found[0]


def render(path: Path, title: str, verdict: Head, sections: Sequence[Section]) -> None:
    """Write the page.

    Its policy lets it run its own script and style, told by their hashes, and show its own pictures; nothing else, and no
    address is ever asked.
    """
    here = importlib.resources.files(__package__)
    parts = "\n".join((here / f"{name}.js").read_text() for name in SCRIPTS)
    script, style = f'(() => {{\n"use strict";\n{parts}}})();', (here / "report.css").read_text()
    rules = ("default-src 'none'", "img-src data:", f"style-src {_hash(style)}", f"script-src {_hash(script)}")
    views = {name: view for section in sections for name, view in section.views.items()}
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    text = environment.from_string((here / "page.html").read_text()).render(
        title=title,
        verdict=verdict,
        sections=sections,
        footer=FOOTER,
        policy=Markup("; ".join((*rules, "base-uri 'none'", "form-action 'none'"))),
        style=Markup(style),
        script=Markup(script),
        data=Markup(embedded(views)),
    )
    path.write_text(text, encoding="utf-8")


def embedded(data: Any) -> str:
    """Data as JSON that cannot end the element that holds it, whatever its text is."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def provenance(facts: Mapping[str, Any], config: str) -> list[Section]:
    """Where a run came from: facts by name, and its configuration."""
    rows = [(name.replace("_", " "), str(value)) for name, value in facts.items() if value is not None]
    found = [Section("provenance", "Provenance", facts=rows)]
    return [*found, Section("configuration", "Configuration", text=config)] if config else found
