"""A run folder: what every job leaves behind."""

import fcntl
import hashlib
import importlib.metadata
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, Field
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from cytostorm.inference import Verdict

from . import whole
from .compose import BadConfig

PACKAGES = ("cytostorm", "jax", "jaxlib", "diffrax", "equinox", "numpyro", "arviz", "numpy", "scipy", "xarray", "hydra-core")

console = Console(width=None if sys.stdout.isatty() else 110)


class Manifest(BaseModel):
    """Where a run came from and how it went; it is the last file that a run writes."""

    job: str
    finished: datetime = Field(default_factory=lambda: datetime.now(UTC))
    versions: dict[str, str]
    python: str
    commit: str | None
    device: dict[str, str]
    seed: int
    config_sha256: str
    data_sha256: str | None = None
    seconds: dict[str, float]
    programs: dict[str, int] | None = None
    num_solves: int | None = None
    num_failed_solves: int | None = None
    num_screened: int | None = None
    num_screened_failed: int | None = None
    facts: dict[str, float] | None = None
    modes: list[float] | None = None
    verdict: Verdict | None = None
    passed: bool | None = None
    flagged: list[str] | None = None
    certificate: dict[str, float] | None = None


def sheet(title: str, heads: Iterable[str] = (), words: Collection[str] = ()) -> Table:
    """An empty table to print: of these columns those of words stand left and numbers right, and none is wrapped."""
    view = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for head in heads:
        view.add_column(head, justify="left" if head in words else "right", no_wrap=True)
    return view


def run_folder() -> Path:
    """The folder of this run, as Hydra chose it."""
    return Path(HydraConfig.get().runtime.output_dir)


def begin(cfg: DictConfig, folder: Path) -> str:
    """Open the run folder and write the resolved configuration; returns the hash of it.

    The folder is locked while this process lives. Raises `BadConfig` if another process holds it, or if it holds a
    finished run or an unfinished one of another configuration: nothing is overwritten.
    """
    if (folder / "manifest.json").exists():
        raise BadConfig(f"{folder} holds a finished run; give another `hydra.run.dir` or remove it")
    text = OmegaConf.to_yaml(cfg, resolve=True)
    folder.mkdir(parents=True, exist_ok=True)
    _lock(folder)
    config = folder / "config.yaml"
    if config.exists() and config.read_text() != text:
        raise BadConfig(
            f"{folder} holds an unfinished run of another configuration (see its config.yaml); run that one again to"
            " finish it, give another `hydra.run.dir`, or remove it"
        )
    whole.write(config, text)
    return hashlib.sha256(text.encode()).hexdigest()


_locks: dict[Path, TextIO] = {}


def _lock(folder: Path) -> None:
    file = (folder / ".lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise BadConfig(f"{folder} is in use by another process; wait for it, or give another `hydra.run.dir`") from error
    _locks[folder] = file


def origin(folder: Path, job: str, hardware: Mapping[str, str], seed: int, config_sha256: str) -> tuple[dict[str, str], str]:
    """What a report tells of where its run came from: facts by name, and the configuration as text."""
    facts = {
        "job": job,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit_of() or "not known",
        "versions": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES),
        "python": sys.version.split()[0],
        "device": ", ".join(f"{name} {text}" for name, text in hardware.items()),
        "seed": str(seed),
        "config_sha256": config_sha256,
    }
    data = folder / "observations.csv"
    if data.is_file():
        facts["data_sha256"] = sha256(data)
    return facts, (folder / "config.yaml").read_text()


def end(folder: Path, job: str, seconds: Mapping[str, float], **facts) -> Manifest:
    """Write the manifest, and with it finish the run; seconds are kept to the millisecond."""
    manifest = Manifest(
        job=job,
        versions={name: importlib.metadata.version(name) for name in PACKAGES},
        python=sys.version.split()[0],
        commit=commit_of(),
        seconds={name: round(value, 3) for name, value in seconds.items()},
        **facts,
    )
    whole.write(folder / "manifest.json", manifest.model_dump_json(indent=2) + "\n")
    (folder / ".lock").unlink(missing_ok=True)
    release(folder)
    return manifest


def release(folder: Path) -> None:
    """Let other processes have the folder, finished or not."""
    if lock := _locks.pop(folder, None):
        lock.close()


def sha256(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


listeners: list[Callable[[int, int], None]] = []  # who hears of progress beside the terminal


@contextmanager
def progress(text: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal, nothing elsewhere; yields `report(done, total)`, which `listeners` hear too."""
    columns = (
        TextColumn(text),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(text, total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)
            for listener in listeners:
                listener(done, total)

        yield report


def commit_of() -> str | None:
    """The commit of the checkout that the package runs from, with a mark where it was changed since."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--", str(here.parent)) else "")
    except (OSError, subprocess.CalledProcessError):
        return None
