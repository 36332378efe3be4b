"""From a right-hand side written in JAX to C: every scalar operation a line, its tangents beside it.

Arrays are taken apart into scalars: what moves data costs nothing, sums are written out, common subexpressions are
written once, and what depends on parameters alone is computed once per solve. Tangents follow by the chain rule, all
directions of one scalar in one vector of the machine.
"""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from jax.extend.core import Literal

from ..precision import CALLS
from .known import evaluate
from .rules import LOGICAL, RULES, Number, Scalar, text

MOVES = {"broadcast_in_dim", "reshape", "squeeze", "expand_dims", "slice", "transpose", "concatenate", "gather", "rev"}
MOVES |= {"split", "stack", "unstack", "pad", "scatter", "dynamic_slice", "copy", "copy_p", "optimization_barrier"}
LITERAL = re.compile(r"(?<![\w.])(\d+\.\d*(?:e[+-]?\d+)?|\d+e[+-]?\d+)")  # a number in C that is not a whole one


class Untranslatable(Exception):
    """A right-hand side uses an operation that has no rule here."""


class Program:
    """Lines of C: those computed once per solve and those computed at every evaluation.

    A number is a `double`, or a `real`, the type of the state, where the operation under way was traced in float32.
    """

    def __init__(self) -> None:
        self.once: list[str] = []
        self.always: list[str] = []
        self.num_once = self.num_once_reals = self.num_once_tangents = 0
        self._single = False
        self._known: dict[tuple[str, str], str] = {}
        self._varies: dict[str, bool] = {}
        self._count = 0

    def input(self, text: str, tangent: str | None, varies: bool) -> Scalar:
        """A number that the program is given."""
        self._varies[text] = varies
        if tangent:
            self._varies[tangent] = varies
        return Scalar(text, tangent, varies)

    def line(self, expression: str, *operands: str, vector: bool = False, logical: bool = False) -> str:
        """The name of the value of an expression; one written before is not written again."""
        kind = "vec" if vector else "int" if logical else "real" if self._single else "double"
        if self._single:
            expression = LITERAL.sub(r"\1f", expression)
        known = (kind, expression)
        if known in self._known:
            return self._known[known]
        varies = any(self._varies.get(operand, False) for operand in operands)
        if varies:
            self._count += 1
            name = f"v{self._count}"
            self.always.append(f"const {kind} {name} = {expression};")
        elif vector:
            name = f"cd[{self.num_once_tangents}]"
            self.num_once_tangents += 1
            self.once.append(f"{name} = {expression};")
        elif kind == "real":
            name = f"cr[{self.num_once_reals}]"
            self.num_once_reals += 1
            self.once.append(f"{name} = {expression};")
        else:
            name = f"c[{self.num_once}]"
            self.num_once += 1
            self.once.append(f"{name} = {expression};")
        self._known[known], self._varies[name] = name, varies
        return name

    def rounded(self, x: Number) -> Number:
        """A double as a real."""
        if not isinstance(x, Scalar):
            return x
        value = self.line(f"(real){x.text}", x.text)
        return Scalar(value, x.tangent, self._varies[value])

    def apply(self, name: str, operands: list[Number]) -> Number:
        """The result of an operation on scalars."""
        if name == "mul" and any(x == 1.0 for x in operands if not isinstance(x, Scalar)):
            return operands[1] if operands[0] == 1.0 else operands[0]
        if name in ("add", "add_any") and any(x == 0.0 for x in operands if not isinstance(x, Scalar)):
            return operands[1] if not isinstance(operands[0], Scalar) and operands[0] == 0.0 else operands[0]
        pattern, partials = RULES[name]
        x = [text(operand) for operand in operands]
        if name == "div":
            x[1] = self.line(f"1 / {x[1]}", x[1])
        value = self.line(pattern.format(*x), *x, logical=name in LOGICAL)
        varies = self._varies[value]
        moving = [i for i, operand in enumerate(operands) if isinstance(operand, Scalar) and operand.tangent]
        if partials is None or not moving:
            return Scalar(value, None, varies, name in LOGICAL)
        slopes = partials(self.line, value, x)
        terms = [(slopes[i], operands[i].tangent) for i in moving if slopes[i] is not None]  # type: ignore[union-attr]
        return Scalar(value, self._sum(terms), varies)  # type: ignore[arg-type]

    def _sum(self, terms: list[tuple[str, str]]) -> str:
        """The name of a sum of tangents, each times a factor."""
        if len(terms) == 1 and terms[0][0] == "1":
            return terms[0][1]
        total = "".join(f" - {d}" if f == "-1" else f" + {d}" if f == "1" else f" + (real){f} * {d}" for f, d in terms)
        return self.line(total.removeprefix(" + ").strip(), *(x for term in terms for x in term), vector=True)

    def select(self, which: Number, options: list[Number]) -> Number:
        """The option that a condition picks."""
        if not isinstance(which, Scalar):
            return options[int(which)]
        if len(options) != 2:
            raise Untranslatable("a selection among more than two")
        no, yes = options
        w, a, b = which.text, text(yes), text(no)
        value = self.line(f"{w} ? {a} : {b}", w, a, b, logical=any(isinstance(x, Scalar) and x.logical for x in options))
        tangents = [x.tangent if isinstance(x, Scalar) else None for x in (yes, no)]
        if not any(tangents):
            return Scalar(value, None, self._varies[value])
        d, e = (x or "((vec){0})" for x in tangents)
        return Scalar(value, self.line(f"{w} ? {d} : {e}", w, d, e, vector=True), self._varies[value])

    def run(self, closed: Any, inputs: list[np.ndarray], consts: list[np.ndarray]) -> list[np.ndarray]:
        """The outputs of a traced function on arrays of scalars."""
        jaxpr = getattr(closed, "jaxpr", closed)
        known: dict[Any, np.ndarray] = dict(zip(jaxpr.invars, inputs, strict=True))
        known |= dict(zip(jaxpr.constvars, consts, strict=True))

        def read(atom: Any) -> np.ndarray:
            return array(np.asarray(atom.val)) if isinstance(atom, Literal) else known[atom]

        for equation in jaxpr.eqns:
            found = self._equation(equation, [read(atom) for atom in equation.invars])
            known |= dict(zip(equation.outvars, found, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _equation(self, equation: Any, operands: list[np.ndarray]) -> list[np.ndarray]:
        name, params = equation.primitive.name, equation.params
        shapes = [variable.aval.shape for variable in equation.outvars]
        if name in CALLS:
            inner = params[CALLS[name]]
            return self.run(inner, operands, [array(np.asarray(x)) for x in getattr(inner, "consts", ())])
        if all(not isinstance(x, Scalar) for operand in operands for x in operand.flat):
            return _fold(equation, operands)
        if name in MOVES:
            return _move(equation, operands)
        self._single = any(variable.aval.dtype == np.float32 for variable in (*equation.invars, *equation.outvars))
        if name == "convert_element_type":
            narrows = params["new_dtype"] == np.float32 and equation.invars[0].aval.dtype == np.float64
            return [self._each(self.rounded, operands, shapes[0])] if narrows else operands
        if name == "reduce_sum":
            kept = np.moveaxis(operands[0], params["axes"], range(len(params["axes"])))
            return [self._reduced("add", kept.reshape(-1, *shapes[0]), shapes[0])]
        if name in ("reduce_max", "reduce_min", "reduce_and", "reduce_or"):
            kept = np.moveaxis(operands[0], params["axes"], range(len(params["axes"])))
            return [self._reduced(name.removeprefix("reduce_"), kept.reshape(-1, *shapes[0]), shapes[0])]
        if name == "dot_general":
            return [self._dot(operands, params["dimension_numbers"], shapes[0])]
        if name == "integer_pow":
            return [self._each(lambda x: self._power(x, params["y"]), operands, shapes[0])]
        if name not in RULES and name not in ("select_n", "clamp"):
            raise Untranslatable(f"the operation `{name}`")
        if name == "select_n":
            return [self._each(lambda which, *options: self.select(which, list(options)), operands, shapes[0])]
        if name == "clamp":
            above = self._each(lambda low, x: self.apply("max", [low, x]), operands[:2], shapes[0])
            return [self._each(lambda x, high: self.apply("min", [x, high]), [above, operands[2]], shapes[0])]
        return [self._each(lambda *x: self.apply(name, list(x)), operands, shapes[0])]

    def _each(self, function: Callable[..., Number], operands: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
        out = np.empty(shape, object)
        spread = [np.broadcast_to(operand, shape) for operand in operands]
        for index in np.ndindex(shape):
            out[index] = function(*(operand[index] for operand in spread))
        return out

    def _reduced(self, name: str, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        total, *rest = (np.array(row, object).reshape(shape) for row in rows)
        for row in rest:
            total = self._each(lambda a, b: self.apply(name, [a, b]), [total, row], shape)
        return total

    def _dot(self, operands: list[np.ndarray], numbers: Any, shape: tuple[int, ...]) -> np.ndarray:
        (left, right), (batch_left, batch_right) = numbers
        if batch_left or batch_right:
            raise Untranslatable("a batched product")
        a = np.moveaxis(operands[0], left, range(len(left)))
        b = np.moveaxis(operands[1], right, range(len(right)))
        size = int(np.prod([operands[0].shape[i] for i in left]))
        rows, columns = a.reshape(size, -1), b.reshape(size, -1)
        out = np.empty((rows.shape[1], columns.shape[1]), object)
        for i, j in np.ndindex(out.shape):
            total: Number = 0.0
            for k in range(size):
                if not _zero(rows[k, i], columns[k, j]):
                    total = self.apply("add", [total, self.apply("mul", [rows[k, i], columns[k, j]])])
            out[i, j] = total
        return out.reshape(shape)

    def _power(self, x: Number, exponent: int) -> Number:
        if exponent < 0:
            return self.apply("div", [1.0, self._power(x, -exponent)])
        if exponent == 0:
            return 1.0
        half = self._power(x, exponent // 2)
        whole = self.apply("mul", [half, half]) if exponent > 1 else half
        return self.apply("mul", [whole, x]) if exponent % 2 else whole


def _zero(*factors: Number) -> bool:
    """Whether a product is zero because a constant factor is."""
    return any(not isinstance(x, Scalar) and x == 0 for x in factors)


def array(values: np.ndarray) -> np.ndarray:
    """Constants as numbers of Python."""
    out = np.empty(values.shape, object)
    for index in np.ndindex(values.shape):
        out[index] = values[index].item()
    return out


def _plain(operand: np.ndarray, like: Any) -> np.ndarray:
    return np.array(operand.tolist(), like.aval.dtype).reshape(operand.shape)


def _fold(equation: Any, operands: list[np.ndarray]) -> list[np.ndarray]:
    """The value of an operation on constants."""
    return [array(x) for x in evaluate(equation, [_plain(*pair) for pair in zip(operands, equation.invars, strict=True)])]


def _move(equation: Any, operands: list[np.ndarray]) -> list[np.ndarray]:
    """What an operation that moves data does to arrays of scalars: it is applied to their numbers."""
    values: list[Number] = []
    given = []
    for operand, atom in zip(operands, equation.invars, strict=True):
        if np.issubdtype(atom.aval.dtype, np.integer):
            if any(isinstance(x, Scalar) for x in operand.flat):
                raise Untranslatable("an index that depends on the state")
            given.append(_plain(operand, atom))
        else:
            given.append(np.arange(len(values), len(values) + operand.size).reshape(operand.shape))
            values += list(operand.flat)
    out = []
    for places in evaluate(equation, given):
        moved = np.empty(places.shape, object)
        for index in np.ndindex(places.shape):
            moved[index] = values[int(places[index])]
        out.append(moved)
    return out
