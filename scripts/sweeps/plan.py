"""The jobs of a sweep: what its overrides multiply out to, each with its key and its folder."""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from .. import whole
from ..compose import check, options
from ..faults import BadConfig
from . import identity
from .roster import rows

OWN = ("launcher", "sweep")  # the groups of overrides that a sweep takes for itself
MOST = 100_000


@dataclass(frozen=True)
class Job:
    """One job of a sweep: its overrides, those of them that the sweep varies, and the key of what it computes."""

    job: str
    overrides: tuple[str, ...]
    swept: dict[str, str]
    key: str

    def folder(self, root: Path) -> Path:
        """Its run folder."""
        return root / "jobs" / self.key


def parted(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The overrides that a sweep takes for itself, and those of its jobs. Raises `BadConfig` for what is neither."""
    own, rest = [], []
    for word in argv:
        if word.startswith("-"):
            raise BadConfig(f"`{word}` means nothing to a sweep; overrides look like `key=value`")
        if word.startswith("hydra"):
            raise BadConfig(f"`{word}`: the jobs of a sweep have folders of their own; name the sweep's by `sweep.dir`")
        (own if word.split("=")[0].lstrip("+~").split(".")[0] in OWN else rest).append(word)
    return own, rest


def expanded(overrides: Sequence[str]) -> Iterator[tuple[tuple[str, ...], dict[str, str]]]:
    """The overrides of every job, the last one varying fastest, and those that vary by key, as Hydra's multirun has them.

    Raises `BadConfig` for what cannot be counted out.
    """
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise BadConfig(f"{error}; overrides look like `key=value`") from error
    chosen: dict[str, list[str]] = {}
    for one in parsed:
        if not one.is_sweep_override():
            assert one.input_line is not None
            chosen[one.get_key_element()] = [one.input_line]
        elif not (values := _values(one)):
            raise BadConfig(f"`{one.input_line}` stands for no value; options: {', '.join(options(one.key_or_group))}")
        else:
            chosen[one.get_key_element()] = [f"{one.get_key_element()}={value}" for value in values]
    vary = [name for name, values in chosen.items() if len(values) > 1]
    names = {name: name.lstrip("+") for name in vary}
    for combination in itertools.product(*chosen.values()):
        given = dict(zip(chosen, combination, strict=True))
        yield combination, {names[name]: given[name].partition("=")[2] for name in vary}


def _values(one: Override) -> list[str]:
    if one.is_discrete_sweep():
        if (found := getattr(one._value, "filter", None)) is not None:
            return found(options(one.key_or_group))
        return list(one.sweep_string_iterator())
    raise BadConfig(f"`{one.input_line}` has no number of values; give a list, a range or glob()")


def jobs(job: str, overrides: Sequence[str]) -> list[Job]:
    """Every job of a sweep, none twice. Raises `BadConfig` where one of them is not a job at all."""
    found: dict[str, Job] = {}
    for given, swept in expanded(overrides):
        cfg = check(job, given)
        assert cfg is not None
        key = identity.key(job, cfg)
        found.setdefault(key, Job(job, given, swept, key))
        if len(found) > MOST:
            raise BadConfig(f"more than {MOST:,} jobs; sweep over less at a time")
    return list(found.values())


def known(root: Path) -> list[Job]:
    """The jobs of the sweep in a folder. Raises `BadConfig` where there is none."""
    return [Job(row["job"], tuple(row["overrides"]), row["swept"], row["key"]) for row in rows(root)]


def keep(root: Path, asked: Sequence[Job]) -> list[Job]:
    """Write down the jobs asked for beside those that the folder has already, and return them all.

    A job that was asked for before with the same overrides, when the data or the code were others, gives way.
    """
    try:
        before = known(root)
    except BadConfig:
        before = []
    new = {(job.job, job.overrides) for job in asked} | {job.key for job in asked}
    every = [job for job in before if (job.job, job.overrides) not in new and job.key not in new] + list(asked)
    root.mkdir(parents=True, exist_ok=True)
    whole.write(root / "sweep.json", json.dumps({"jobs": [asdict(job) for job in every]}, indent=1) + "\n")
    return every
