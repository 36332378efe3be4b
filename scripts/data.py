"""cytostorm data VERB: the published data sets, and what is understood of a table. No run folder is made."""

import inspect
import os
import textwrap
from collections.abc import Callable, Sequence
from itertools import chain

from rich.text import Text

from cytostorm.inference import published
from cytostorm.inference.analyte import LABELS
from cytostorm.inference.tables import catalogue
from cytostorm.inference.tables.catalogue import Entry, File

from .compose import BadConfig, blame
from .run import console, sheet

BUILT_IN = catalogue.folder


def place() -> None:
    """The folder of published files is CYTOSTORM_DATA where the environment names one, else the user's cache folder."""
    named = os.environ.get("CYTOSTORM_DATA")
    catalogue.data_folder(named or BUILT_IN)


def main(argv: Sequence[str]) -> int:
    """Do what a verb says and return the exit code; without a verb, tell the verbs.

    Raises `BadConfig` for an unknown verb and for arguments that do not fit it.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return 0
    verb, *arguments = argv
    if verb not in VERBS:
        raise BadConfig(f"no verb `{verb}` of data; verbs: {', '.join(VERBS)}")
    does, takes, _ = VERBS[verb]
    try:
        inspect.signature(does).bind(*arguments)
    except TypeError:
        came = f"{len(arguments)} ({' '.join(arguments)})" if arguments else "none"
        raise BadConfig(f"`cytostorm data {verb}` takes {takes or 'no arguments'}; came: {came}") from None
    place()
    with blame():
        return does(*arguments)


def usage() -> str:
    """The verbs, one a line."""
    calls = {f"{verb} {takes}": text for verb, (_, takes, text) in VERBS.items()}
    rows = "\n".join(f"  {call:<{max(map(len, calls))}}  {text}" for call, text in calls.items())
    return f"usage: cytostorm data <verb>\n\nverbs:\n{rows}"


def tabulate() -> int:
    """List the data sets."""
    view = sheet("published data")
    for column in ("name", "what", "who", "readings", "licence", "files"):
        view.add_column(column, justify="right" if column == "readings" else "left", no_wrap=column not in ("what", "who"))
    for entry in catalogue.entries().values():
        about = (entry.title, entry.who, f"{entry.readings:,}", entry.licence, _state(entry))
        view.add_row(f"[bold]{entry.name}[/]", *about)
    console.print(view)
    console.print(f"data folder: {catalogue.folder}", highlight=False, soft_wrap=True)
    console.print("more of one: cytostorm data show NAME", highlight=False)
    return 0


def show(name: str) -> int:
    """Tell all that the catalogue knows of a data set."""
    entry = catalogue.entry(name)
    console.print(f"\n[bold]{entry.name}[/]  {entry.title}", highlight=False)
    _tell("who", f"{entry.who}. {entry.about}")
    _tell("readings", f"{entry.readings:,} of {', '.join(LABELS[analyte] for analyte in entry.analytes)}")
    works = ((work.text, f"  doi {work.doi}" if work.doi else "  DOI not verified") for work in entry.cite)
    _tell("cite", *chain.from_iterable(works))
    _tell("licence", f"{entry.licence}, as the source repository states")
    _tell("source", entry.repository, f"commit {entry.commit}")
    _tell("changed", entry.changes)
    _tell("files", *chain.from_iterable(_lines(entry, file) for file in entry.files))
    _tell("caveats", *(f"• {text}" for text in entry.caveats))
    if entry.fit:
        _tell("fit", f"cytostorm fit data=published data.name={entry.name} {entry.fit}", width=1000)
    _tell("cohort", f'cytostorm.inference.published_cohort("{entry.name}")')
    return 0


def _tell(label: str, *paragraphs: str, width: int | None = None) -> None:
    """Print paragraphs beside a label, wrapped to `width` but for long words: addresses stay whole."""
    indent = " " * 10
    console.print()
    for i, text in enumerate(paragraphs):
        inner = " " * (len(text) - len(text.lstrip()))
        hang = indent + inner + ("  " if text.startswith("•") else "")
        start = f"{'' if i else label:<{len(indent)}}" + inner
        wrap = textwrap.TextWrapper(width or min(console.width, 110), start, hang, break_long_words=False)
        wrap.break_on_hyphens = False
        lines = wrap.fill(text.lstrip())
        console.print(Text(lines[: len(indent)], style="bold") + Text(lines[len(indent) :]), soft_wrap=True)


def audit(file: str, *overrides: str) -> int:
    """Print what is understood of a table."""
    from .audit import audit

    return audit(file, *overrides)


def fetch(name: str) -> int:
    """Bring the files of a data set into the data folder, check them, and read them.

    Raises `ValueError` for files that cannot be had or are others; every one is named.
    """
    entry = catalogue.entry(name)
    faults = []
    for file in entry.files:
        was_here = _here(file) == "here"
        try:
            path = catalogue.fetch(entry, file)
        except ValueError as error:
            faults.append(str(error))
            continue
        console.print(f"{'is here' if was_here else 'fetched'}  {path}", highlight=False, soft_wrap=True)
    if faults:
        raise BadConfig("\n  ".join(faults))
    try:
        console.print(f"licence  {catalogue.fetch(entry, entry.licence_text)}", highlight=False, soft_wrap=True)
    except ValueError:
        console.print(f"licence  {entry.licence}; its text is not here: keep {entry.licence_text.name} with the copy")
    data = published(name)
    console.print(f"checked  {len(data)} readings of {len(set(data.subject))} subjects can be fitted", highlight=False)
    return 0


def _here(file: File) -> str:
    """Whether a file is `here`, `absent` or one of its name is `other`."""
    try:
        return "here" if catalogue.locate(file) else "absent"
    except ValueError:
        return "other"


def _state(entry: Entry) -> str:
    """Whether the files of an entry are here, and if not, how they can be had."""
    states = {_here(file) for file in entry.files}
    if states == {"here"}:
        return "[green]here[/]"
    if "other" in states:
        return "[red]differ[/]"
    return "to fetch" if all(file.path for file in entry.files) else "by hand"


def _lines(entry: Entry, file: File) -> list[str]:
    """What `show` tells of a file: its name, its SHA-256, where it is or how it can be had."""
    state = _here(file)
    if state == "here":
        where = f"here: {catalogue.locate(file)}"
    elif state == "other":
        where = f"{catalogue.folder} has another file of this name: its SHA-256 differs"
    elif file.path:
        where = f"to fetch: cytostorm data fetch {entry.name}"
    else:
        where = f"not downloaded: put it into {catalogue.folder} by hand"
    url = entry.url(file)
    return [file.name, *([f"  {url}"] if url else []), f"  SHA-256 {file.sha256}", f"  {where}"]


# What each verb does, the arguments it takes, and a line for the reader.
VERBS: dict[str, tuple[Callable[..., int], str, str]] = {
    "list": (tabulate, "", "the published data sets, and which of their files are here"),
    "show": (show, "NAME", "source, licence, citation and caveats of a data set"),
    "fetch": (fetch, "NAME", "bring the files of a data set into the data folder, and check them"),
    "check": (audit, "FILE [overrides]", "what is understood of your own table, row by row"),
}
