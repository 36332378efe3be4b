"""Run notebooks from top to bottom and write them as pages of the docs: `python notebooks/render.py [NAME ...]`.

A notebook is a Python file in jupytext's percent format: `# %%` begins code, `# %% [markdown]` text. Open it in Jupyter with
jupytext, or run it as it is. The cell with the tag `parameters` has its size; a test runs it with a smaller one.
"""

import argparse
import ast
import base64
import contextlib
import io
import os
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
PAGES = HERE.parent / "docs" / "notebooks"
ORDER = ("first_fit", "when_to_treat", "own_model", "forecasting", "anatomy", "batch")
IMAGE = re.compile(r'<img [^>]*alt="([^"]*)" src="data:image/png;base64,([^"]+)">')


class Cell(NamedTuple):
    """A piece of a notebook: its head (what stands after `# %%`), its source, and the number of its first line."""

    head: str
    source: str
    line: int

    @property
    def is_text(self) -> bool:
        """Whether it is read and not run."""
        return "[markdown]" in self.head

    @property
    def text(self) -> str:
        """The text of a cell that is read."""
        return "\n".join(line.removeprefix("#").removeprefix(" ") for line in self.source.splitlines()).strip()


class Ran(NamedTuple):
    """A cell with what it gave: pieces of text, HTML and PNG, each with its kind."""

    cell: Cell
    pieces: list[tuple[str, Any]]


def cells(path: Path) -> Iterator[Cell]:
    """The cells of a notebook; what stands before the first is left out."""
    head, lines, begin = None, [], 0
    for number, line in enumerate([*path.read_text(encoding="utf-8").splitlines(), "# %%"], start=1):
        if line.startswith("# %%"):
            if head is not None and (source := "\n".join(lines)).strip():
                yield Cell(head, source, begin)
            head, lines, begin = line.removeprefix("# %%"), [], number + 1
        else:
            lines.append(line)


def run(path: Path, given: Mapping[str, Any] | None = None) -> tuple[list[Ran], dict[str, Any]]:
    """Run a notebook in the folder that is the current one; `given` are other values of its parameters.

    Returns its cells with what they gave, and its names. Raises what a cell raises, and `KeyError` for a parameter that it
    does not have.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    found = []
    for cell in cells(path):
        found.append(Ran(cell, [] if cell.is_text else _ran(cell, names, path)))
        if "parameters" in cell.head:
            if unknown := (given or {}).keys() - names.keys():
                raise KeyError(f"{path.name} has no parameter `{unknown.pop()}`")
            names |= given or {}
    return found, names


def _ran(cell: Cell, names: dict[str, Any], path: Path) -> list[tuple[str, Any]]:
    """Run a cell; what it printed, the value of its last line, and the figures that it left open."""
    tree = ast.parse("\n" * (cell.line - 1) + cell.source, str(path))
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, str(path), "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), str(path), "eval"), names)
    pieces: list[tuple[str, Any]] = [("text", printed.getvalue().rstrip())] if printed.getvalue().strip() else []
    return [*pieces, *_shown(value)]


def _shown(value: Any) -> list[tuple[str, Any]]:
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    figures = [plt.figure(number) for number in plt.get_fignums()]
    if isinstance(value, Figure):
        figures, value = [value, *(figure for figure in figures if figure is not value)], None
    pieces: list[tuple[str, Any]] = []
    if hasattr(value, "viz"):  # a PlotCollection of ArviZ, whose figure is among those left open
        value = None
    if hasattr(value, "_repr_html_"):
        pieces.append(("html", value._repr_html_()))
    elif value is not None:
        pieces.append(("text", repr(value)))
    for figure in figures:
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=110, bbox_inches="tight")
        pieces.append(("png", file.getvalue()))
        plt.close(figure)
    return pieces


def page(name: str, found: list[Ran], folder: Path, seconds: float, given: Mapping[str, Any] | None = None) -> str:
    """The page of a notebook in Markdown, with the parameters that it was given; its pictures are written into `folder`."""
    for old in folder.glob(f"{name}_*.png"):
        old.unlink()
    parts, count = [], 0
    for ran in found:
        if ran.cell.is_text:
            parts.append(ran.cell.text)
            continue
        parts.append(f"```python\n{ran.cell.source.strip()}\n```")
        for kind, piece in ran.pieces:
            for text, png in _pieces(kind, piece):
                if png is not None:
                    count += 1
                    (folder / f"{name}_{count}.png").write_bytes(png)
                    text = f"![{text or 'figure'}]({name}_{count}.png)"
                parts.append(text)
    command = f"python notebooks/render.py {name}" + (" --run RUN" if given else "")
    parts.append(f"*`{command}` wrote this page; the notebook took {seconds:.0f} s of a processor.*")
    return "\n\n".join(part for part in parts if part) + "\n"


def _pieces(kind: str, piece: Any) -> Iterator[tuple[str, bytes | None]]:
    """What a cell gave, as Markdown or as the text and the bytes of a picture."""
    if kind == "png":
        yield "", piece
    elif kind == "text":
        yield f"```text\n{_plain(piece)}\n```", None
    else:
        parts = IMAGE.split(_plain(piece))
        for i, part in enumerate(parts):
            if i % 3 == 0:
                yield re.sub(r"\s*\n\s*", " ", part).strip(), None
            elif i % 3 == 1:
                yield part, base64.b64decode(parts[i + 1])


def _plain(text: str) -> str:
    """Without the folder of this machine and without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text.replace(f"{Path.cwd()}/", ""))


def main() -> None:
    """Run notebooks, in a folder of their own, and write their pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=ORDER)
    parser.add_argument("--run", type=Path, help="of `anatomy`: the folder of a finished fit, in place of a fit of its own")
    import matplotlib as mpl

    mpl.use("agg")
    warnings.filterwarnings("ignore", category=FutureWarning)
    PAGES.mkdir(exist_ok=True)
    asked = parser.parse_args()
    given = {"run": "RUN", "data": os.environ.get("CYTOSTORM_DATA", "")} if asked.run else {}
    finished = asked.run and asked.run.resolve()
    for name in asked.names:
        begin = time.process_time()
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            if finished:
                Path("RUN").symlink_to(finished)
            found, _ = run(HERE / f"{name}.py", given)
            seconds = time.process_time() - begin
            (PAGES / f"{name}.md").write_text(page(name, found, PAGES, seconds, given), encoding="utf-8")
        print(f"{name}: {seconds:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    os.environ.setdefault("CYTOSTORM_CACHE", str(HERE.parent / ".cache"))
    main()
