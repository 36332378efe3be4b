"""What makes two jobs one: every number of their configurations, what lies in the files they name, and the code."""

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ..compose import fingerprint
from ..faults import BadConfig

PACKAGES = ("jax", "jaxlib", "diffrax", "equinox", "lineax", "optimistix", "numpyro", "blackjax", "numpy", "scipy")
FILES = ("path", "file", "own")  # keys whose values name a file; `fit` and `fits` name run folders
NEUTRAL = {("device", "cache_dir")}  # where compiled programs lie
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
SOURCES = {"models": ("py", "c", "h"), "inference": ("py",), "scripts": ("py",), "data": ("csv", "yaml")}


def key(job: str, cfg: DictConfig) -> str:
    """The key of a job: 16 hexadecimal digits.

    Raises `BadConfig` for a file or a run folder that is not there.
    """
    asked = OmegaConf.to_container(cfg, resolve=True)
    return _digest([job, by_content(asked), code()])[:16]


def by_content(node: Any, place: tuple[str, ...] = ()) -> Any:
    """A configuration with the content of every file and run folder in the place of its name."""
    if isinstance(node, list):
        return [by_content(item, place) for item in node]
    if isinstance(node, dict):
        return {name: by_content(x, (*place, str(name))) for name, x in node.items() if (*place, str(name)) not in NEUTRAL}
    if isinstance(node, str) and place:
        if place[-1] in FILES:
            return _file(node)
        if place == ("fit",) or place[0] == "fits":
            return _fit(node)
    return node


def _file(name: str) -> str:
    if not (found := fingerprint(name)):
        raise BadConfig(f"{name}: no such file")
    return found


def _fit(name: str) -> list[str]:
    missing = [part for part in ("config.yaml", "posterior.nc") if not (Path(name) / part).is_file()]
    if missing:
        raise BadConfig(f"{name} has no {missing[0]}: it holds no finished fit; give the folder of another")
    return [_known(str(path), path.stat().st_mtime_ns) for path in (Path(name) / "config.yaml", Path(name) / "posterior.nc")]


@cache
def _known(path: str, changed: int) -> str:
    return fingerprint(path)


@cache
def code() -> str:
    """What the code computes, and the versions of the packages that it computes with: not its comments and its layout."""
    parts = {str(path): _meaning(path) for path in _sources()}
    versions = [importlib.metadata.version(name) for name in PACKAGES]
    return _digest([list(parts.values()), versions])


def as_written() -> str:
    """The code to the letter: quick to compute, and the same only if `code` is."""
    return _digest([hashlib.sha256(path.read_bytes()).hexdigest() for path in _sources()])


def _meaning(path: Path) -> str:
    """The hash of a source: of Python the syntax without docstrings, of anything else the bytes."""
    if path.suffix != ".py":
        return fingerprint(str(path))
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False):
            node.body[0] = ast.Pass()
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _sources() -> Iterator[Path]:
    """The files that say what is computed, in the order of their names; sweeps only say where and when."""
    for package, kinds in SOURCES.items():
        spec = importlib.util.find_spec(f"cytostorm.{package}")
        assert spec
        assert spec.submodule_search_locations
        folder = Path(spec.submodule_search_locations[0])
        for path in sorted(folder.rglob("*")):
            if path.suffix[1:] in kinds and "sweeps" not in path.parts[len(folder.parts) :]:
                yield path


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
