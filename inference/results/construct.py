"""From a configuration, as a run folder keeps it, to objects: a configuration is a constructor call."""

import importlib
import importlib.resources
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

RUN = ("cytostorm.scripts.own.", "cytostorm.inference.decisions.outcomes.Custom")  # targets that run a file of the user's
# What a configuration can build: classes of these modules, and the functions that read.
OPEN = (
    "cytostorm.models",
    "cytostorm.inference",
    "cytostorm.inference.decisions.outcomes",
    "cytostorm.inference.decisions.utility",
    "cytostorm.scripts.own",
    "cytostorm.scripts.sweeps.launchers",
    "cytostorm.scripts.sweeps.clusters",
)
READERS = ("bundled", "merged", "read", "read_cohort", "read_records", "published", "published_cohort")
READERS += ("model", "priors", "noise")  # of a file of the user's


def build(node: Any) -> Any:
    """The object that a configuration node describes; what is one already stays.

    `_target_` names what to call, a public class or a reader of `cytostorm`; the other keys are its arguments. Raises
    `ValueError` for any other target, and for what the constructor refuses.
    """
    if isinstance(node, list):
        return [build(item) for item in node]
    if not isinstance(node, dict):
        return node
    arguments = {key: build(value) for key, value in node.items() if key != "_target_"}
    if "_target_" not in node:
        return arguments
    target = _target(str(node["_target_"]))
    known = inspect.signature(target).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in known.values())
    if unknown := [] if open_ended else [key for key in arguments if key not in known]:
        raise ValueError(f"{node['_target_']} has no key `{unknown[0]}`; it has: {', '.join(known)}")
    try:
        return target(**arguments)
    except TypeError as error:
        raise ValueError(f"{node['_target_']}: {error}") from error


def _target(path: str) -> Any:
    module, _, name = path.rpartition(".")
    if not path.startswith("cytostorm.") or name.startswith("_"):
        raise ValueError(f"`_target_` is {path!r}; only targets inside `cytostorm.` can be built")
    if module not in OPEN:
        raise ValueError(f"`_target_` is {path!r}; what a configuration can build is in: {', '.join(OPEN)}")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"`_target_` is {path!r}, which does not exist") from error
    ours = str(getattr(found, "__module__", "")).startswith("cytostorm.")
    if not ours or not (isinstance(found, type) or name in READERS):
        raise ValueError(f"`_target_` is {path!r}, which is neither a class of ours nor one of: {', '.join(READERS)}")
    return found


def option(group: str, name: str) -> dict[str, Any]:
    """The node of an option that ships, as `option("trigger", "viral")`, with those that it is based on.

    What its model declares is left to the model. Raises `ValueError` for one that does not exist; the message lists those
    that do.
    """
    folder = importlib.resources.files("cytostorm.configs") / group
    known = sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))
    if name not in known:
        raise ValueError(f"no {group} `{name}`; choose from: {', '.join(known)}")
    node = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8")) or {}
    for base in reversed(node.pop("defaults", [])):
        if isinstance(base, str) and base != "_self_":
            node = _over(option(group, base), node)
    return node


def named_or(group: str, given: Any) -> Any:
    """The node of an option where its name is given; anything else as it is."""
    return option(group, given) if isinstance(given, str) else given


def shipped(group: str, name: str) -> Any:
    """The object of an option that ships, as `shipped("treatment", "tocilizumab")` or `shipped("prior", "network")`.

    Raises `ValueError` for one that does not exist, or that takes values from others.
    """
    node = option(group, name)
    if "${" in yaml.safe_dump(node):
        raise ValueError(f"{group}={name} takes values from other parts of a configuration; make it in Python")
    return build(node)


def _over(base: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """A node over another: its values win, key by key."""
    both = {k: _over(base[k], v) if isinstance(v, dict) and isinstance(base.get(k), dict) else v for k, v in node.items()}
    return base | both


def named(node: Any, own: str | None, folder: Path) -> None:
    """Let a configuration that was found in a folder run the file `own`, and no other.

    Raises `ValueError` where it would run a file, and none is named.
    """
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        named(value, own, folder)
    if not isinstance(node, Mapping) or not str(node.get("_target_")).startswith(RUN):
        return
    if own is None or "path" not in node:
        raise ValueError(f"the fit in {folder} is of a model of your own; name its file, which is run, with `own=FILE`")
    node["path"] = own  # type: ignore[index]
