"""The live table of a sweep."""

import sys
import time
from collections import Counter
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..faults import BadConfig
from . import status
from .status import DONE, FAILED, QUEUED, RUNNING, STATES, STOPPED, Status

EVERY = 2.0  # s between two looks
MOST = 30  # rows
FIRST = (RUNNING, FAILED, STOPPED, QUEUED, DONE)  # in this order, where there are too many for the screen


def watch(root: Path) -> int:
    """Show the jobs of a sweep, on a terminal until all are over. Returns 0 if all are done or under way, else 1."""
    from .roster import roster

    console = Console(width=None if sys.stdout.isatty() else 110)
    jobs = roster(root)
    if not jobs:
        raise BadConfig(f"{root} has no jobs; give the sweep again")
    found = look(root, jobs)
    if not sys.stdout.isatty():
        console.print(table(jobs, found))
    else:
        with Live(table(jobs, found), console=console, refresh_per_second=1) as live:
            while any(one.state in (QUEUED, RUNNING) for one in found.values()):
                time.sleep(EVERY)
                jobs = roster(root)
                found = look(root, jobs)
                live.update(table(jobs, found))
    return 1 if any(one.state in (FAILED, STOPPED) for one in found.values()) else 0


def look(root: Path, jobs: dict[str, str]) -> dict[str, Status]:
    """The state of every job by its key."""
    said = {key: status.read(root / "jobs" / key) for key in jobs}
    queue = status.asked(said.values())
    unsure = {key for key, one in said.items() if one.state in (QUEUED, RUNNING) and one != Status()}
    return said | {key: status.look(root / "jobs" / key, queue) for key in unsure}


def table(jobs: dict[str, str], found: dict[str, Status]) -> Group:
    """The states in numbers, and a row for every job that fits."""
    numbers = Counter(one.state for one in found.values())
    failed = sum(one.passed is False for one in found.values())
    head = ", ".join(f"{numbers[state]} {state}" for state in STATES if numbers[state])
    head += f"; {failed} of the done did not pass their verdict" if failed else ""
    shown = sorted(found, key=lambda key: FIRST.index(found[key].state))[:MOST]
    view = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("job", "what", "state", "progress", "left", "note"):
        view.add_column(column, no_wrap=column != "note", overflow="ellipsis")
    for key in shown:
        one = found[key]
        share = f"{one.done / one.total:.0%}" if one.total and one.state != DONE else ""
        view.add_row(key[:8], Text(jobs[key]), one.state, share, remaining(one), Text(note(one)))
    more = [Text(f"and {len(found) - len(shown)} more")] if len(found) > len(shown) else []
    return Group(Text(f"{len(found)} jobs: {head}", style="bold"), view, *more)


def remaining(one: Status) -> str:
    """How long a job still takes, or took, in words."""
    seconds = one.remaining if one.state == RUNNING else one.seconds if one.state == DONE else None
    if seconds is None:
        return ""
    hours, minutes = f"{seconds / 3600:.1f} h", f"{seconds / 60:.0f} min"
    text = f"{seconds:.0f} s" if seconds < 100 else minutes if seconds < 6000 else hours
    return text if one.state == RUNNING else f"took {text}"


def note(one: Status) -> str:
    """The verdict or the reason."""
    verdict = {True: "PASS", False: "FAIL: ", None: ""}[one.passed] if one.state == DONE else ""
    tries = f"attempt {one.attempts}" if one.attempts > 1 and one.state == RUNNING else ""
    return f"{verdict}{'' if one.passed and one.state == DONE else one.reason.partition(chr(10))[0]}{tries}"[:90]
