"""The catalogue of published data: what there is, where it comes from, and where its files are on this machine."""

import functools
import hashlib
import importlib.resources
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import platformdirs
import yaml
from pydantic import BaseModel, ConfigDict

folder = Path(platformdirs.user_cache_dir("cytostorm")) / "data"  # of published files; `scripts.data` sets it


class Record(BaseModel):
    """A part of the catalogue: fixed, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class File(Record):
    """A published file: its name in the data folder, its SHA-256, and its path in the source repository.

    Without a `path` the file has no public address in this form. An original is turned into a table by its `converter`,
    and that table, as CSV, has `table_sha256`.
    """

    name: str
    sha256: str
    path: str | None = None
    content: Literal["readings", "patients", "licence"] = "readings"
    converter: str | None = None
    table_sha256: str | None = None


class Reference(Record):
    """A publication; without `doi` where its DOI was not verified."""

    text: str
    doi: str | None = None


class Entry(Record):
    """A published data set: what it holds, its source at one commit, its licence, whom to cite, and its caveats.

    `fit` are the overrides that make a fit of it, where the package has a scenario for it.
    """

    name: str
    title: str
    about: str
    who: str
    readings: int
    analytes: tuple[str, ...]
    fit: str | None = None
    repository: str
    commit: str
    files: tuple[File, ...]
    licence: str
    licence_text: File
    changes: str
    cite: tuple[Reference, ...]
    caveats: tuple[str, ...]

    def url(self, file: File) -> str | None:
        """The address of a file at the commit; None for one that has no public address."""
        raw = self.repository.replace("https://github.com/", "https://raw.githubusercontent.com/")
        return f"{raw}/{self.commit}/{file.path}" if file.path else None


@functools.cache
def entries() -> Mapping[str, Entry]:
    """Every entry of the catalogue by its name."""
    text = (importlib.resources.files("cytostorm.data") / "catalogue.yaml").read_text(encoding="utf-8")
    return MappingProxyType({name: Entry(name=name, **facts) for name, facts in yaml.safe_load(text).items()})


def entry(name: str) -> Entry:
    """An entry of the catalogue. Raises `ValueError` for a name that it does not have; the message lists the known ones."""
    if name not in entries():
        raise ValueError(f"no published data set `{name}`; known: {', '.join(entries())}")
    return entries()[name]


def data_folder(path: str | Path | None = None) -> Path:
    """The folder of published files; with a `path`, that one from now on. At first it is the user's cache folder."""
    global folder
    if path is not None:
        folder = Path(path).expanduser().resolve()
    return folder


def locate(file: File) -> Path | None:
    """Where a file is: in the data folder or a folder in it, under its name. None where it is not.

    Raises `ValueError` if a file has the name but not the SHA-256 of the catalogue; both sums are named.
    """
    try:
        found = [path for path in (folder / file.name, *sorted(folder.glob(f"*/{file.name}"))) if path.is_file()]
        sums = [hashlib.sha256(path.read_bytes()).hexdigest() for path in found]
    except OSError as error:
        raise ValueError(f"{folder} cannot be read ({error}); name another data folder by CYTOSTORM_DATA") from error
    if file.sha256 in sums:
        return found[sums.index(file.sha256)]
    if found:
        raise ValueError(
            f"{found[0]} is not the file of the catalogue: its SHA-256 is {sums[0]}, that of the catalogue"
            f" {file.sha256}; remove it or put the right one in its place"
        )
    return None


def fetch(entry: Entry, file: File) -> Path:
    """Where a file of an entry is; it is downloaded if it is not there and has an address.

    Raises `ValueError` if it cannot be had, with where to put it, and for a SHA-256 that differs, with both sums.
    """
    if path := locate(file):
        return path
    remedy = (
        f"put the file into {folder}, or name the folder that holds it by the environment variable CYTOSTORM_DATA, in Python"
        f" by `cytostorm.inference.data_folder`; its SHA-256 is {file.sha256}"
    )
    url = entry.url(file)
    if url is None:
        raise ValueError(
            f"{file.name} of {entry.name} is not here, and it is not downloaded, for it has no public address in this form:"
            f" {remedy}"
        )
    import pooch

    try:
        pooch.retrieve(url, f"sha256:{file.sha256}", file.name, folder)
    except OSError as error:
        raise ValueError(f"{url} cannot be fetched ({_short(error)}): {remedy}") from error
    except ValueError as error:
        raise ValueError(f"{url} is not the file of the catalogue: {error}") from error
    return folder / file.name


def _short(error: Exception) -> str:
    """The first cause of an error, in one line."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return " ".join(str(error).split()) or type(error).__name__
