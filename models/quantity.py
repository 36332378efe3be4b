"""Parameters that carry their value, symbol, unit, meaning and source, declared once.

A field declared with `quantity` gives the constructor its default, the inference its site name, and
the report its unit, its axis label and its reference.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx

from .constant import constant


@dataclasses.dataclass(frozen=True)
class Quantity:
    """What a number is: its default `value`, TeX `symbol`, `unit`, `meaning` and `source`."""

    value: float | None
    symbol: str
    unit: str
    meaning: str
    source: str = ""

    @property
    def label(self) -> str:
        """The axis label: symbol and unit in TeX."""
        unit = "" if self.unit == "1" else rf" [{self.unit}]"
        return f"${self.symbol}${unit}"


def quantity(value: float, symbol: str, unit: str, meaning: str, *, source: str) -> Any:
    """Declare a model parameter as a field of an `equinox.Module`."""
    declared = Quantity(value, symbol, unit, meaning, source)
    return eqx.field(default=value, converter=_scalar, metadata={"quantity": declared})


def derived(symbol: str, unit: str, meaning: str) -> Callable[[Callable[..., Any]], property]:
    """Declare a property of a model that is computed from its parameters."""

    def declare(method: Callable[..., Any]) -> property:
        method.quantity = Quantity(None, symbol, unit, meaning, "computed")  # type: ignore[attr-defined]
        return property(method)

    return declare


def quantities(module: eqx.Module) -> dict[str, Quantity]:
    """Every declared parameter of `module` and of the modules inside it, by name.

    Raises `ValueError` if a name is declared twice.
    """
    found: dict[str, Quantity] = {}
    for field in dataclasses.fields(module):
        part = getattr(module, field.name)
        if "quantity" in field.metadata:
            here = {field.name: field.metadata["quantity"]}
        elif isinstance(part, eqx.Module):
            here = quantities(part)
        else:
            continue
        if repeated := found.keys() & here.keys():
            raise ValueError(f"parameter `{repeated.pop()}` is declared twice in {type(module).__name__}")
        found |= here
    return found


def derivations(module: eqx.Module) -> dict[str, Quantity]:
    """Every derived quantity of `module`, by name."""
    return {
        name: member.fget.quantity  # type: ignore[union-attr]
        for kind in reversed(type(module).__mro__)
        for name, member in vars(kind).items()
        if isinstance(member, property) and hasattr(member.fget, "quantity")
    }


def values(module: eqx.Module) -> dict[str, Any]:
    """The value of every parameter of `module`, by name."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(module):
        part = getattr(module, field.name)
        if "quantity" in field.metadata:
            found[field.name] = part
        elif isinstance(part, eqx.Module):
            found |= values(part)
    return found


def replace[M: eqx.Module](module: M, changes: dict[str, Any]) -> M:
    """`module` with some parameters changed, also those of the modules inside it.

    Raises `ValueError` if a name is unknown; the message lists the known ones.
    """
    known = quantities(module)
    if unknown := changes.keys() - known.keys():
        raise ValueError(f"{type(module).__name__} has no parameter `{sorted(unknown)[0]}`; it has: {', '.join(known)}")
    return _replace(module, changes)


def _replace[M: eqx.Module](module: M, changes: dict[str, Any]) -> M:
    new = {}
    for field in dataclasses.fields(module):
        part = getattr(module, field.name)
        if "quantity" in field.metadata:
            if field.name in changes:
                new[field.name] = changes[field.name]
        elif isinstance(part, eqx.Module):
            new[field.name] = _replace(part, changes)
    return dataclasses.replace(module, **new)


def _scalar(value: Any) -> Any:
    # A module rebuilt inside `jit` may hold tracers, and tree operations may hold placeholders: both pass.
    return constant(value, float) if isinstance(value, int | float) else value
