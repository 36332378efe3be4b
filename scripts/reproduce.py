"""cytostorm reproduce RUN: check where a finished run came from, run it again, and compare the two to the bit."""

import importlib
import importlib.metadata
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

import cytostorm.inference as ci
from cytostorm.inference.results.construct import named

from . import whole
from .compose import BadConfig, blame, plain
from .run import Manifest, commit_of, console, sha256

ERRORS = 4.5  # Monte Carlo errors that means may differ by: among 100 quantities chance exceeds it once in 1,500 runs
GIVEN = {"observations.csv", "data.csv"}  # the readings of a run, whose SHA-256 its manifest holds


def main(cfg: DictConfig, folder: Path) -> int:
    """Check, run again, compare and tell. Returns 0 where the run is reproduced, else 1."""
    source = Path(str(cfg.run))
    config, before = finished(source, cfg.own)
    if cfg.data is not None:
        if "path" not in (config.get("data") or {}):
            raise BadConfig(f"`data` is given, and {source} read no table from a path; leave it out")
        config.data.path = str(cfg.data)
    if cfg.platform is not None:
        config.device = {"platform": cfg.platform, "cache_dir": config.device.get("cache_dir")}
    for line in origins(source, before):
        console.print(line, highlight=False, soft_wrap=True)
    code = importlib.import_module(f".{before.job}", __package__).main(config, folder)
    if not (folder / "manifest.json").is_file():
        return code or 1
    after = Manifest.model_validate_json((folder / "manifest.json").read_text())
    told = compared(source, folder, before, after)
    whole.write(folder / "reproduction.json", json.dumps({"run": str(source), **told}, indent=2) + "\n")
    head = "REPRODUCED" if told["reproduced"] else "NOT REPRODUCED"
    style = "bold green" if told["reproduced"] else "bold red"
    console.print(f"{head}: {told['why']}", style=style, highlight=False, soft_wrap=True)
    for fault in told["faults"]:
        console.print(f"  - {fault}", highlight=False, soft_wrap=True)
    return 0 if told["reproduced"] else 1


def finished(source: Path, own: str | None) -> tuple[DictConfig, Manifest]:
    """The configuration and the manifest of a finished run.

    Raises `BadConfig` for a folder that holds none, and for one that would have a file run which `own` does not name.
    """
    for name in ("manifest.json", "config.yaml"):
        if not (source / name).is_file():
            raise BadConfig(f"{source} has no {name}: it holds no finished run; give the folder of another")
    try:
        manifest = Manifest.model_validate_json((source / "manifest.json").read_text())
        config = OmegaConf.load(source / "config.yaml")
    except (ValueError, YAMLError) as error:
        raise BadConfig(f"{source} cannot be read: {str(error).splitlines()[0]}; give the folder of another run") from error
    from .cli import JOBS

    if manifest.job not in JOBS or manifest.job == "reproduce":
        raise BadConfig(f"{source} is of the job `{manifest.job}`, which cannot be run; jobs: {', '.join(JOBS)}")
    if not isinstance(config, DictConfig):
        raise BadConfig(f"{source / 'config.yaml'} holds no configuration; give the folder of another run")
    node = plain(config)
    with blame():
        named(node, own, source)
    config = DictConfig(node)
    if "own" in config and own is not None:
        config.own = own
    return config, manifest


def origins(source: Path, before: Manifest) -> Iterator[str]:
    """What differs here from where the run came from, and whether its readings are those of its manifest, in words."""
    name = next((name for name in sorted(GIVEN) if (source / name).is_file()), None)
    if name and before.data_sha256:
        same = sha256(source / name) == before.data_sha256
        yield f"readings: {'as the manifest says' if same else f'{name} was changed after the run'}"
    other = [f"{n} {v}, here {now}" for n, v in before.versions.items() if (now := _version(n)) != v]
    yield f"versions: {'; '.join(other) or 'the same'}"
    here = commit_of()
    if before.commit is None or here is None:
        yield "commit: not known, for the package runs from no checkout"
    elif before.commit == here:
        yield f"commit: the same, {here[:12]}" + (", with changes that are not in it" if here.endswith("+changes") else "")
    else:
        yield f"commit: {before.commit[:12]}, here {here[:12]}{' with changes' if here.endswith('+changes') else ''}"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def compared(source: Path, folder: Path, before: Manifest, after: Manifest) -> dict[str, Any]:
    """Whether a run is what it was: its readings, and then its results.

    On a device of the same kind all numbers of all tables and trees must be the same to the bit; on another, the means
    of a posterior must agree within their Monte Carlo errors.
    """
    if before.data_sha256 != after.data_sha256:
        fault = f"SHA-256 {before.data_sha256}, now {after.data_sha256}"
        return {"reproduced": False, "why": "the data are others", "faults": [fault]}
    old, new = (f"{one.device.get('platform')} ({one.device.get('kind')})" for one in (before, after))
    number, faults = to_the_bit(source, folder)
    if not number:
        return {"reproduced": False, "why": f"{source} holds no results to compare", "faults": []}
    if not faults:
        return {"reproduced": True, "why": f"{number} results are the same to the bit", "faults": []}
    if old == new:
        why = f"of {number} results {len(faults)} differ on the same kind of device"
        return {"reproduced": False, "why": why, "faults": faults}
    devices = f"{old}, now {new}"
    if not (source / "posterior.nc").is_file():
        return {"reproduced": False, "why": f"results differ between devices: {devices}", "faults": faults}
    apart = in_errors(ci.load(source / "posterior.nc"), ci.load(folder / "posterior.nc"))
    worst = max(apart, key=lambda name: apart[name])
    why = (
        f"on another device ({devices}) not to the bit; means differ by {apart[worst]:.1f} Monte Carlo errors at most"
        f" ({worst})"
    )
    far = [f"{name}: {x:.1f} Monte Carlo errors" for name, x in apart.items() if not x <= ERRORS]
    return {"reproduced": not far, "why": why, "faults": far}


def to_the_bit(source: Path, folder: Path) -> tuple[int, list[str]]:
    """The number of results of a run, and those of them that another does not have or has otherwise."""
    number, faults = 0, []
    for path in sorted([*source.glob("*.nc"), *source.glob("*.csv")]):
        if not (folder / path.name).is_file():
            number, faults = number + 1, [*faults, f"{path.name} is missing"]
            continue
        old, new = _results(path), _results(folder / path.name)
        number += len(old)
        faults += [f"{path.name}: {name}" for name in old if name not in new or not _same(old[name], new[name])]
        faults += [f"{path.name}: {name} is new" for name in new if name not in old]
    return number, faults


def _results(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".csv":
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        return {str(name): table[name].to_numpy(object) for name in table}
    groups = {node.path: node.to_dataset(inherit=False).variables for node in ci.load(path).subtree}
    return {f"{group}/{name}": x.values for group, variables in groups.items() for name, x in variables.items()}


def _same(old: np.ndarray, new: np.ndarray) -> bool:
    if old.shape != new.shape or old.dtype.kind != new.dtype.kind:
        return False
    return np.array_equal(old, new, equal_nan=old.dtype.kind == "f")


def in_errors(old: xr.DataTree, new: xr.DataTree) -> dict[str, float]:
    """How many Monte Carlo errors the means of two posteriors differ by, the largest entry of each quantity."""
    import arviz_stats as azs

    one, two = old["posterior"].to_dataset(), new["posterior"].to_dataset()
    squares = azs.mcse(one) ** 2 + azs.mcse(two) ** 2
    found = {}
    for name in one.data_vars:
        gap = np.abs(np.subtract(*(x[name].mean(("chain", "draw")).values for x in (one, two))))
        error = np.sqrt(squares[name].values)
        found[str(name)] = float(np.max(np.where(gap == 0, 0.0, gap / np.where(error > 0, error, np.nan))))
    return found
