"""cytostorm data VERB: the published data sets, and what is understood of a table. No run folder is made."""

import inspect
from collections.abc import Callable, Sequence

from .compose import BadConfig


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
    return does(*arguments)


def usage() -> str:
    """The verbs, one a line."""
    rows = "\n".join(f"  {f'{verb} {takes}':<22} {text}" for verb, (_, takes, text) in VERBS.items())
    return f"usage: cytostorm data <verb>\n\nverbs:\n{rows}"


def tabulate() -> int:
    """List the data sets."""
    return 0


def show(name: str) -> int:
    """Tell all that the catalogue knows of a data set."""
    raise BadConfig(f"no data set `{name}`; known: ")


def audit(file: str, *overrides: str) -> int:
    """Print what is understood of a table."""
    from .audit import audit

    return audit(file, *overrides)


def fetch(name: str) -> int:
    """Bring the files of a data set into the data folder, and check them."""
    raise BadConfig(f"no data set `{name}`; known: ")


# What each verb does, the arguments it takes, and a line for the reader.
VERBS: dict[str, tuple[Callable[..., int], str, str]] = {
    "list": (tabulate, "", "the published data sets, and which of their files are here"),
    "show": (show, "NAME", "source, licence, citation and caveats of a data set"),
    "fetch": (fetch, "NAME", "bring the files of a data set into the data folder, and check them"),
    "check": (audit, "FILE [overrides]", "what is understood of your own table, row by row"),
}
