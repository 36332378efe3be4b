"""A model of your own: a Python file outside the package that defines a class of `Model`, and the priors beside it.

The file is run. Nothing runs one but a configuration that names its path.
"""

import functools
import inspect
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp

from cytostorm.inference import LogNormal, Priors
from cytostorm.inference.analyte import declare
from cytostorm.inference.prior import Belief, belief
from cytostorm.models import Model, State, constant, no_doses, quantities, replace

from .compose import fingerprint


def model(path: str, sha256: str = "", **parameters: float) -> Model:
    """The model of a file, with some parameters changed; `sha256` is that of the file where it must not have changed.

    Raises `ValueError` for a file that cannot be run or defines no whole model, and for a parameter that it lacks.
    """
    if sha256 and sha256 != fingerprint(path):
        raise ValueError(f"{path} is not the file of this fit, for its SHA-256 differs; give that one, or fit again")
    _, found = _known(path)
    return replace(found, {name: constant(float(x), float) for name, x in parameters.items()})


def priors(path: str | None, **more: Belief | Mapping[str, float] | None) -> Priors:
    """The `priors` of a file, or others in their place; a parameter whose prior is None is not sampled.

    Raises `ValueError` for a file without them, and for one that names no parameter of its model.
    """
    module, found = _known(path)
    given = getattr(module, "priors", None)
    if not isinstance(given, Mapping):
        raise ValueError(f'{path}: it has no `priors`; give some, as in priors = {{"k": {{"median": 1.0, "fold": 3.0}}}}')
    known = quantities(found)
    if unknown := [name for name in (*given, *more) if name not in known]:
        raise ValueError(
            f"{path}: the prior of `{unknown[0]}` names no parameter of {type(found).__name__}; it has: {', '.join(known)}"
        )
    with _at(path):
        return Priors(**{name: prior for name, prior in (dict(given) | more).items() if prior is not None})


def noise(path: str | None, **more: Any) -> LogNormal:
    """The `noise` of a file, the arguments of log-normal noise by name, or others in their place; the default without it."""
    module, _ = _known(path)
    with _at(path):
        given = dict(getattr(module, "noise", {})) | more
        if unknown := given.keys() - inspect.signature(LogNormal).parameters.keys():
            raise ValueError(f"`noise` has no key `{unknown.pop()}`; it has: sigma, per_analyte, nu")
        if isinstance(sigma := given.get("sigma"), Mapping):
            given["sigma"] = belief(sigma, "the prior of `sigma`")
        return LogNormal(**given)


def _known(path: str | None) -> tuple[ModuleType, Model]:
    """What a file defines, and its model; a file is run once for its content."""
    if path is None:
        raise ValueError("prior=own and noise=own go with a model of your own; give model=own model.path=FILE")
    if not (digest := fingerprint(path)):
        raise ValueError(f"{path}: no such file; give the path of a Python file that defines a model")
    module, found = _loaded(path, digest)
    with _at(path):
        declare(found.analytes)
    return module, found


@functools.cache
def _loaded(path: str, digest: str) -> tuple[ModuleType, Model]:
    module = ModuleType(f"own_{digest[:12]}")
    module.__file__ = path
    sys.modules[module.__name__] = module  # where dataclasses look for annotations
    with _at(path):
        exec(compile(Path(path).read_bytes(), path, "exec"), vars(module))
        kinds = [x for x in vars(module).values() if isinstance(x, type) and issubclass(x, Model)]
        found = _one([kind for kind in kinds if kind.__module__ == module.__name__])
        _try(found)
    return module, found


def _one(kinds: list[type[Model]]) -> Model:
    """The model of the only class that there is, with its own values; `ValueError` where it is none, or not whole."""
    if not kinds:
        raise ValueError("it defines no model; derive a class from cytostorm.models.Model")
    if len(kinds) > 1:
        raise ValueError(f"it defines {len(kinds)} models, {', '.join(kind.__name__ for kind in kinds)}; keep one in a file")
    (kind,) = kinds
    needed = ("states", "analytes", "inputs", "rest", "vector_field", "observe")
    abstract = getattr(kind, "__abstractmethods__", frozenset())
    if missing := [name for name in needed if name in abstract or not hasattr(kind, name)]:
        raise ValueError(f"{kind.__name__} lacks `{missing[0]}`; a model has {', '.join(needed)} (docs/own_model.md)")
    return kind()


def _try(model: Model) -> None:
    """Raise `ValueError` where what a model returns has another form than it declares. Nothing is computed."""
    kind, num = type(model).__name__, len(model.states)
    if not all(isinstance(state, State) for state in model.states) or not num:
        raise ValueError(f"`states` of {kind} is no tuple of states; give each as State(name, symbol, unit, scale, meaning)")
    for name in ("inputs", "analytes"):
        if not isinstance(getattr(model, name), Mapping):
            raise ValueError(f'`{name}` of {kind} is no mapping; give names with units, as in {{"il6": "pg/mL"}}, or {{}}')
    at = jnp.zeros(num)
    found = {
        "rest": jax.eval_shape(model.rest),
        "vector_field": jax.eval_shape(lambda y: model.vector_field(jnp.zeros(()), y, no_doses()), at),
    }
    for name, value in found.items():
        if getattr(value, "shape", None) != (num,):
            raise ValueError(f"`{name}` of {kind} returns no vector with an entry for each state; use jnp.stack([...])")
    read = jax.eval_shape(model.observe, at)
    if not isinstance(read, Mapping) or set(read) != set(model.analytes):
        raise ValueError(f"`observe` of {kind} does not return its analytes by name: {', '.join(model.analytes)}")
    if wrong := [name for name, x in read.items() if getattr(x, "shape", None) != ()]:
        raise ValueError(f"`observe` of {kind} returns for `{wrong[0]}` something other than one number")


@contextmanager
def _at(path: str | None) -> Iterator[None]:
    """Whatever a user's file raises is a `ValueError` that names it, and the line."""
    try:
        yield
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
        text = error.msg if isinstance(error, SyntaxError) else str(error).strip().split("\n")[0]
        what = text if isinstance(error, ValueError) and line is None else f"{type(error).__name__}: {text}"
        raise ValueError(f"{path}{'' if line is None else f', line {line}'}: {what}") from error
