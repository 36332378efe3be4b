"""What every operation is in C, and its partial derivatives."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Scalar:
    """A number of the C program: its text, that of its tangents (None: they are zero), and whether it changes in time."""

    text: str
    tangent: str | None = None
    varies: bool = False
    logical: bool = False


type Number = Scalar | float | int | bool
type Line = Callable[..., str]  # the name of the value of an expression, given its operands
type Partial = Callable[[Line, str, list[str]], Sequence[str | None]]


def _pow(line: Line, v: str, x: list[str]) -> list[str]:
    a, b = x
    return [
        line(f"{a} > 0 ? {b} * {v} / {a} : {b} * pow({a}, {b} - 1)", v, a, b),
        line(f"{a} > 0 ? {v} * log({a}) : 0.0", v, a),
    ]


# C text of each operation, and the partial derivatives along its operands: "1", "-1", other text, or None for zero.
RULES: dict[str, tuple[str, Partial | None]] = {
    "add": ("{0} + {1}", lambda line, v, x: ["1", "1"]),
    "add_any": ("{0} + {1}", lambda line, v, x: ["1", "1"]),
    "sub": ("{0} - {1}", lambda line, v, x: ["1", "-1"]),
    "mul": ("{0} * {1}", lambda line, v, x: [x[1], x[0]]),
    "div": ("{0} * {1}", lambda line, v, x: [x[1], line(f"-{v} * {x[1]}", v, x[1])]),  # by the reciprocal
    "neg": ("-{0}", lambda line, v, x: ["-1"]),
    "exp": ("exp({0})", lambda line, v, x: [v]),
    "log": ("log({0})", lambda line, v, x: [line(f"1 / {x[0]}", x[0])]),
    "log1p": ("log1p({0})", lambda line, v, x: [line(f"1 / (1 + {x[0]})", x[0])]),
    "expm1": ("expm1({0})", lambda line, v, x: [line(f"{v} + 1", v)]),
    "sqrt": ("sqrt({0})", lambda line, v, x: [line(f"0.5 / {v}", v)]),
    "rsqrt": ("1 / sqrt({0})", lambda line, v, x: [line(f"-0.5 * {v} / {x[0]}", v, x[0])]),
    "square": ("{0} * {0}", lambda line, v, x: [line(f"2 * {x[0]}", x[0])]),
    "sin": ("sin({0})", lambda line, v, x: [line(f"cos({x[0]})", x[0])]),
    "cos": ("cos({0})", lambda line, v, x: [line(f"-sin({x[0]})", x[0])]),
    "tanh": ("tanh({0})", lambda line, v, x: [line(f"1 - {v} * {v}", v)]),
    "erf": ("erf({0})", lambda line, v, x: [line(f"{2 / np.pi**0.5!r} * exp(-{x[0]} * {x[0]})", x[0])]),
    "logistic": ("1 / (1 + exp(-{0}))", lambda line, v, x: [line(f"{v} * (1 - {v})", v)]),
    "pow": ("pow({0}, {1})", _pow),
    "abs": ("fabs({0})", lambda line, v, x: [line(f"{x[0]} > 0 ? 1.0 : {x[0]} < 0 ? -1.0 : 0.0", x[0])]),
    "max": ("{0} > {1} || isnan({0}) ? {0} : {1}", lambda line, v, x: _either(line, x, ">")),
    "min": ("{0} < {1} || isnan({0}) ? {0} : {1}", lambda line, v, x: _either(line, x, "<")),
    "sign": ("{0} > 0 ? 1.0 : {0} < 0 ? -1.0 : 0.0", None),
    "floor": ("floor({0})", None),
    "stop_gradient": ("{0}", None),
    "eq": ("{0} == {1}", None),
    "ne": ("{0} != {1}", None),
    "lt": ("{0} < {1}", None),
    "le": ("{0} <= {1}", None),
    "gt": ("{0} > {1}", None),
    "ge": ("{0} >= {1}", None),
    "and": ("{0} && {1}", None),
    "or": ("{0} || {1}", None),
    "not": ("!{0}", None),
    "is_finite": ("isfinite({0})", None),
}
LOGICAL = {"eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not", "is_finite"}


def _either(line: Line, x: list[str], sign: str) -> list[str]:
    """The derivatives of a maximum or minimum; both halves where the operands are equal."""
    a, b = x
    return [line(f"{s} ? 1.0 : {a} == {b} ? 0.5 : 0.0", a, b) for s in (f"{a} {sign} {b}", f"{b} {sign} {a}")]


def text(x: Number) -> str:
    """A number in C."""
    if isinstance(x, Scalar):
        return x.text
    if isinstance(x, bool):
        return str(int(x))
    value = float(x)
    if not np.isfinite(value):
        return "NAN" if np.isnan(value) else "INFINITY" if value > 0 else "(-INFINITY)"
    return repr(value) if value >= 0 else f"({value!r})"
