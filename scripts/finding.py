"""What a check found: it holds, it must be mended, or it is absent and not needed; and what to do, in words."""

from dataclasses import dataclass

from rich.text import Text

from .run import console

MARKS = {True: ("✓", "ok", "green"), None: ("–", "--", "yellow"), False: ("✗", "NO", "bold red")}
WIDTH = 22


@dataclass(frozen=True)
class Finding:
    """One check: `holds` is true, false where something must be mended, and None where a fit can do without."""

    what: str
    told: str
    holds: bool | None = True
    remedy: str = ""


def show(found: Finding) -> None:
    """Print a finding as a line with its mark, and the remedy below it."""
    sign, plain, style = MARKS[found.holds]
    mark = sign if console.encoding.lower().startswith("utf") else plain
    line = Text(f"{mark} ", style=style) + Text(f"{found.what:<{WIDTH}}", style="bold" if found.holds is False else "")
    console.print(line + Text(found.told.replace("\n", " ")), soft_wrap=True)
    if found.remedy and found.holds is not True:
        console.print(Text(" " * (WIDTH + len(mark) + 1) + found.remedy, style=style), soft_wrap=True)
