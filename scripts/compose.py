"""From a configuration to objects: every key, option and type is checked, and the config is the constructor call."""

import copy
import functools
import hashlib
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue, OmegaConfBaseException

import cytostorm.models as models
from cytostorm.inference.results import construct
from cytostorm.models import quantities

from .faults import BadConfig as BadConfig

RUN = construct.RUN
DECLARED = ("Minimal", "Network", "Endotoxin", "Transit", "Expansion")
OPTIONAL = ("again",)  # groups of keys for which null may be given


@contextmanager
def blame() -> Iterator[None]:
    """Where objects are built and input is read, a `ValueError` is the fault of the input."""
    try:
        yield
    except BadConfig:
        raise
    except ValueError as error:
        raise BadConfig(str(error)) from error


def register() -> None:
    """Make the values that models declare available to the configuration as the group `declared`."""
    store = ConfigStore.instance()
    for name in DECLARED:
        declared = quantities(getattr(models, name)())
        inner = {n: q.value for n, q in declared.items() if n in inspect.signature(getattr(models, name)).parameters}
        store.store(group="declared", name=name, node=inner)
    OmegaConf.register_new_resolver("sha256", fingerprint, replace=True)


def fingerprint(path: str) -> str:
    """The SHA-256 of a file; blank where there is none."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if Path(path).is_file() else ""


register()


@functools.lru_cache(maxsize=64)
def _kept(job: str, overrides: tuple[str, ...]) -> DictConfig:
    """The configuration of a job, which takes long to compose; it may not be changed."""
    return composed(job, overrides)


def quoted(text: object) -> str:
    """Text as a value of an override, whatever signs are in it."""
    return "'" + str(text).replace("\\'", "\\\\'").replace("'", "\\'") + "'"


def composed(job: str, overrides: Sequence[str]) -> DictConfig:
    """The configuration of a job. Raises Hydra's errors."""
    GlobalHydra.instance().clear()
    with initialize_config_module("cytostorm.configs", version_base="1.3"):
        return compose(config_name=job, overrides=list(overrides))


def options(group: str) -> list[str]:
    """The options of a group of the configuration."""
    if group not in _groups():
        raise BadConfig(f"`{group}` is no group of the configuration; groups: {', '.join(sorted(_groups()))}")
    from importlib.resources import files

    found = (entry.name for entry in files("cytostorm.configs").joinpath(group).iterdir())
    return sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml"))


def check(job: str, argv: Sequence[str]) -> DictConfig | None:
    """Refuse unknown keys, unknown options and values of another type than the default's; returns the configuration.

    Of what asks Hydra itself something, as by --help, nothing is checked and nothing returned. Raises `BadConfig`; the
    message lists what exists.
    """
    overrides = [arg for arg in argv if not arg.startswith("-")]
    if len(overrides) < len(argv):
        return None  # a flag of Hydra's own, such as --help or --multirun: Hydra explains itself
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except HydraException as error:
        raise BadConfig(f"{error}; overrides look like `key=value`") from error
    groups = _groups()
    chosen = [o for o in parsed if o.key_or_group and o.key_or_group.lstrip("/") in groups]
    choices = [str(o.input_line) for o in chosen]
    for one in chosen:
        if not (one.is_sweep_override() or one.is_delete() or isinstance(one.value(), str | list)):
            many = ", ".join(options(one.key_or_group.lstrip("/")))
            raise BadConfig(f"`{one.key_or_group}` is {one.value()!r}; name an option of the group: {many}")
    try:
        reference = _kept(job, tuple(choices))
    except (HydraException, OmegaConfBaseException) as error:
        raise BadConfig(_short(error)) from error
    changes = [o for o in parsed if o.type is OverrideType.CHANGE and o.input_line not in choices]
    for override in changes:
        _exists(override.key_or_group, reference)
    changes = [o for o in changes if not o.is_hydra_override() and o.package is None and not o.is_sweep_override()]
    try:
        cfg = copy.deepcopy(_kept(job, tuple(str(o.input_line) for o in parsed if o not in changes)))
        for override in changes:
            OmegaConf.update(cfg, override.key_or_group, override.value(), merge=True)
        _same_types(cfg, reference)
        OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
        return cfg
    except MissingMandatoryValue as error:
        key = error.full_key or "a value"
        raise BadConfig(f"`{key}` has no value; give `{key}=...`") from error
    except (HydraException, OmegaConfBaseException) as error:
        raise BadConfig(_short(error)) from error


def plain(node: Any) -> Any:
    """A configuration node as plain mappings, lists and values; anything else as it is."""
    if isinstance(node, DictConfig | ListConfig):
        return OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    return node


def build(node: Any) -> Any:
    """The object that a configuration node describes. Raises `BadConfig` where it describes none."""
    with blame():
        return construct.build(plain(node))


def _groups() -> set[str]:
    from importlib.resources import files

    return {entry.name for entry in files("cytostorm.configs").iterdir() if entry.is_dir()} - {"__pycache__"}


def _exists(key: str, cfg: DictConfig) -> None:
    here: Any = cfg
    path = key.split(".")
    if path[0] == "hydra":
        return
    for i, part in enumerate(path):
        if isinstance(here, ListConfig):
            return
        if not isinstance(here, DictConfig) or part not in here.keys():  # noqa: SIM118 - `in` hides missing values
            keys = [str(k) for k in here if k != "_target_"] if isinstance(here, DictConfig) else []
            where = f"`{'.'.join(path[:i])}`" if i else "the configuration"
            more = f"; groups: {', '.join(sorted(_groups()))}" if i == 0 else ""
            raise BadConfig(f"no key `{key}`: {where} has {', '.join(keys) or 'no keys'}{more}")
        here = here[part] if not OmegaConf.is_missing(here, part) else None


def _same_types(cfg: Any, reference: Any, path: str = "") -> None:
    """Refuse a value whose type differs from the default's; a default of null takes anything."""
    if isinstance(reference, DictConfig) and isinstance(cfg, DictConfig):
        for key in cfg:
            if key in reference and _given(cfg, key) and _given(reference, key):
                _same_types(cfg[key], reference[key], f"{path}.{key}".lstrip("."))
        return
    kind = next((kind for kind in KINDS if isinstance(reference, _TAKEN.get(kind, (kind,)))), None)
    if kind is None or (cfg is None and (kind in (list, str) or path in OPTIONAL)):
        return
    if not isinstance(cfg, _TAKEN.get(kind, (kind,))) or (isinstance(cfg, bool) and kind is not bool):
        raise BadConfig(f"`{path}` is {cfg!r}; {KINDS[kind]} is expected, as in {reference!r}")


def _given(cfg: DictConfig, key: Any) -> bool:
    """Whether a key has a value, and not a missing one of another."""
    try:
        cfg[key]
    except (MissingMandatoryValue, InterpolationToMissingValueError):
        return False
    return True


# What the default of a key may be; bool comes before int, which it is a kind of.
KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a group of keys",
}
# What is taken for each: its own kind, if nothing else is said.
_TAKEN: dict[type, tuple[type, ...]] = {float: (float, int), list: (ListConfig,), dict: (DictConfig,)}


def _short(error: Exception) -> str:
    """Hydra's message without its search path and internals."""
    text = str(error).split("Config search path:")[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "\n  ".join(line for line in lines if not line.startswith(("full_key", "object_type", "See https")))
