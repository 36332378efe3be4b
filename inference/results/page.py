"""How results show themselves in a notebook: words first, then figures and tables, as a piece of HTML without a script."""

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import Any

import pandas as pd

from ..summary import plain

MOST = 40  # rows of a table that are shown
GOOD, BAD = "#1b7837", "#b2182b"  # beside words that say the same


class Told:
    """An answer of a posterior: it shows itself by its words, its figures and its table."""

    def _figures(self) -> list[Any]:
        return []

    def __repr__(self: Any) -> str:
        return "\n".join([f"{type(self).__name__}:", *(f"  {line}" for line in self.lines)])

    def _repr_html_(self: Any) -> str:
        shown = "".join(picture(figure, f"{type(self).__name__}: {self.lines[0]}") for figure in self._figures())
        return f"{listed(self.lines)}{shown}{folded('table', tabled(self.table))}"


def listed(lines: Sequence[str]) -> str:
    """Words, line by line."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def judged(passed: bool, facts: str, reasons: Sequence[str]) -> str:
    """The verdict on a posterior, with a bar whose colour and word say the same."""
    color, word = (GOOD, "PASS") if passed else (BAD, "FAIL: do not use this posterior")
    style = f"border-left:6px solid {color};padding:.3em .8em;margin:.3em 0"
    more = listed(reasons) if reasons else ""
    return f'<div style="{style}"><strong style="color:{color}">{word}</strong><br>{escape(facts)}{more}</div>'


def learned(summary: pd.DataFrame) -> pd.DataFrame:
    """What a summary says of every parameter, for readers."""

    def span(low: str, high: str) -> list[str]:
        return [f"{plain(a)} to {plain(b)}" for a, b in zip(summary[low], summary[high], strict=True)]

    return pd.DataFrame(
        {
            "parameter": summary.index.astype(str),
            "unit": summary["unit"].to_numpy(),
            "median": summary["median"].to_numpy(),
            "90 % interval": span("q5", "q95"),
            "prior 90 %": span("prior_q5", "prior_q95"),
            "contraction": summary["contraction"].map("{:.2f}".format).to_numpy() + " " + summary["taught"].to_numpy(),
            "R-hat": summary["r_hat"].map("{:.3f}".format).to_numpy(),
            "ESS": summary["ess_bulk"].map("{:.0f}".format).to_numpy(),
            "meaning": summary["meaning"].to_numpy(),
        }
    )


def tabled(frame: pd.DataFrame) -> str:
    """A table, numbers in three significant digits; of a long one the first rows."""
    heads = "".join(_cell("th", str(name).replace("_", " "), frame[name]) for name in frame.columns)
    rows = frame.head(MOST).to_dict("records")
    cells = ("".join(_cell("td", _shown(x), frame[name]) for name, x in row.items()) for row in rows)
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    rest = f"<p>{len(frame) - MOST} more rows</p>" if len(frame) > MOST else ""
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{rest}"


def _cell(tag: str, text: str, column: Any) -> str:
    side = "right" if pd.api.types.is_numeric_dtype(column) and column.dtype != bool else "left"
    return f'<{tag} style="text-align:{side}">{escape(text)}</{tag}>'


def _shown(x: Any) -> str:
    if isinstance(x, float):
        return "" if x != x else plain(x)
    return "" if x is None else str(x)


def folded(title: str, inside: str) -> str:
    """Something that unfolds at a click."""
    return f"<details><summary>{escape(title)}</summary>{inside}</details>"


def picture(figure: Any, text: str) -> str:
    """A figure inside a page; `text` is said in its place where it cannot be seen."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, bbox_inches="tight")
    inside = base64.b64encode(file.getvalue()).decode()
    return f'<img style="max-width:100%" alt="{escape(text)}" src="data:image/png;base64,{inside}">'
