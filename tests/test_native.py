"""The right-hand side in C: every rule against JAX, the solve against march, and what happens where it cannot be had."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import CASES, Elimination
from picks import some

from cytostorm.models import Solver, differentiate, infusion, native, plan, replace, simulate, values
from cytostorm.models.march import march
from cytostorm.models.native.rules import RULES
from cytostorm.models.native.translate import Untranslatable
from cytostorm.models.scenario import Scenario
from cytostorm.models.solver import schedules
from cytostorm.models.system import System

UNARY = {
    "neg": jnp.negative,
    "exp": jnp.exp,
    "log": jnp.log,
    "log1p": jnp.log1p,
    "expm1": jnp.expm1,
    "sqrt": jnp.sqrt,
    "rsqrt": jax.lax.rsqrt,
    "square": jnp.square,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "tanh": jnp.tanh,
    "erf": jax.scipy.special.erf,
    "logistic": jax.nn.sigmoid,
    "abs": jnp.abs,
    "sign": lambda x: x * jnp.sign(x - 0.7),
    "floor": lambda x: x * jnp.floor(3 * x),
    "stop_gradient": lambda x: x * jax.lax.stop_gradient(x),
    "integer_pow": lambda x: x**3 + x**-2,
    "clamp": lambda x: jnp.clip(x, 0.5, 1.1),
}
BINARY = {
    "add": jnp.add,
    "sub": jnp.subtract,
    "mul": jnp.multiply,
    "div": jnp.divide,
    "pow": jnp.power,
    "max": jnp.maximum,
    "min": jnp.minimum,
    "eq": lambda a, b: jnp.where(a == b, a, b),
    "ne": lambda a, b: jnp.where(a != b, a, b),
    "lt": lambda a, b: jnp.where(a < b, a, b * b),
    "le": lambda a, b: jnp.where(a <= b, a, b * b),
    "gt": lambda a, b: jnp.where(a > b, a, b * b),
    "ge": lambda a, b: jnp.where(a >= b, a, b * b),
    "and": lambda a, b: jnp.where((a > 0.5) & (b > 0.5), a, b * b),
    "or": lambda a, b: jnp.where((a > 1.0) | (b > 1.0), a, b * b),
    "not": lambda a, b: jnp.where(~(a > b), a, b * b),
    "is_finite": lambda a, b: jnp.where(jnp.isfinite(a / b), a, b),
}
ARRAYS = {
    "sum": lambda x, p: jnp.sum(jnp.outer(x, p), axis=0),
    "dot": lambda x, p: jnp.array([[1.0, 0.0], [0.5, 2.0]]) @ (x * p),
    "gather": lambda x, p: x[jnp.array([1, 0])] * p[::-1],
    "set": lambda x, p: x.at[0].set(p[1] * x[1]),
    "stack": lambda x, p: jnp.stack([x[1] * p[0], -x[0]]),
    "largest": lambda x, p: jnp.max(x * p) * p,
    "call": lambda x, p: jax.jit(lambda z: z**2)(x) * p,
}
FIELDS = {
    **{name: lambda x, p, f=f: f(x + p) for name, f in UNARY.items()},
    **{name: lambda x, p, f=f: f(x, p) + 0 * x for name, f in BINARY.items()},
    **ARRAYS,
}


ROUTE = schedules(Scenario(), ("a", "b"), np.array([0.05]))[0].route


def solved(field, method, parameters=(0.7, 1.3)):
    """State and tangents along both parameters of a system of two states, in one way or the other."""
    p = jnp.array(parameters)
    system = System(lambda t, x, p: field(x, p), [p], [jnp.eye(2)])
    initial = jnp.concatenate([jnp.array([[0.6, 0.9]]), jnp.zeros((2, 2))])
    if method == "native":
        found = native.solve("native", system.rate, initial, system.active, system.directions, ROUTE, 1e-8, 1e-10, 1000)
        assert found is not None
        return found
    return march(system.field, initial, ROUTE, 1e-8, 1e-10, 1000, lambda y, t, jump: y.at[0].add(jump))


@pytest.mark.parametrize("name", FIELDS)
def test_every_operation_and_its_derivative_equal_those_of_jax(name):
    ours, okay, steps = jax.jit(lambda: solved(FIELDS[name], "native"))()
    theirs, fine, count = jax.jit(lambda: solved(FIELDS[name], "march"))()
    assert okay
    assert fine
    assert steps == count
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_every_rule_is_tried():
    assert set(RULES) - {"add_any"} <= set(UNARY) | set(BINARY)


@pytest.mark.parametrize("name", some(CASES, ["lps_storm", "cart", "il6_given", "elimination"]))
def test_a_solve_in_c_is_the_march(name):
    model, scenario, end, names = CASES[name]
    prepared = plan(model, scenario, np.linspace(scenario.start, end, 5))
    theta = jnp.log(jnp.array([values(model)[n] for n in names]))

    def both(method):
        def build(theta):
            return replace(model, dict(zip(names, jnp.exp(theta), strict=True)))

        return jax.jit(lambda theta: differentiate(build, theta, prepared, Solver(method)))(theta)

    ours, theirs = both("native"), both("march")
    assert ours.num_steps == theirs.num_steps
    for analyte in ours.value:
        np.testing.assert_allclose(ours.value[analyte], theirs.value[analyte], rtol=1e-9)
        np.testing.assert_allclose(ours.jacobian[analyte], theirs.jacobian[analyte], rtol=1e-7, atol=1e-9)


def test_what_cannot_be_translated_is_solved_by_march(caplog):
    def field(x, p):
        return -jax.lax.fori_loop(0, 2, lambda _, z: z * p, x)

    native._tell.cache_clear()
    with caplog.at_level(logging.WARNING):
        system = System(lambda t, x, p: field(x, p), [jnp.ones(2)], [jnp.eye(2)])
        given = (system.rate, jnp.ones((3, 2)), system.active, system.directions, ROUTE, 1e-6, 1e-8, 100)
        assert native.solve("native", *given) is None
    assert "cannot translate the operation" in caplog.text
    assert "solving by march instead" in caplog.text


def test_without_a_compiler_march_solves(monkeypatch, caplog):
    model, scenario, end, _ = CASES["lps_bolus"]
    expected = simulate(model, scenario, np.linspace(0, end, 4), Solver("march", rtol=1.1e-6))
    native._library.cache_clear()
    native._tell.cache_clear()
    monkeypatch.setattr(native.shutil, "which", lambda name: None)
    with caplog.at_level(logging.WARNING):
        found = simulate(model, scenario, np.linspace(0, end, 4), Solver("native", rtol=1.1e-6))
    native._library.cache_clear()
    jax.clear_caches()
    assert "no C compiler was found" in caplog.text
    np.testing.assert_allclose(found.states, expected.states, rtol=1e-12)


def test_a_compiler_that_fails_is_told_and_march_solves(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(native, "folder", tmp_path)
    native._library.cache_clear()
    native._tell.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert native._library("this is not C", "native") is None
    assert "failed" in caplog.text
    assert not list(tmp_path.glob("*.so"))


def test_an_unknown_operation_is_named():
    with pytest.raises(Untranslatable, match="the operation `lgamma`"):
        native._field(jax.make_jaxpr(lambda t, x: jax.scipy.special.gammaln(x))(0.0, jnp.ones(2)), 2, 0)


def decay(method, rate, tolerance=1e-4, precision="float64"):
    """A drug that is infused and eliminated at `rate` [1/h], and its sensitivity to the rate, against the closed form."""
    times, solver = np.linspace(0.5, 24, 8), Solver(method, tolerance, tolerance / 100, 400_000, precision)
    prepared = plan(Elimination(), Scenario(infusion("amount", 100.0, 24.0)), times)
    build = lambda theta: Elimination(k=jnp.exp(theta[0]))  # noqa: E731
    found = jax.jit(lambda theta: differentiate(build, theta, prepared, solver))(jnp.log(jnp.array([rate])))
    gone, flow = np.exp(-rate * times), 100 / 24
    value, slope = flow * (1 - gone) / rate, flow * (gone * times - (1 - gone) / rate)
    return found, np.abs(found.value["crp"] / value - 1).max(), np.abs(found.jacobian["crp"][:, 0] / slope - 1).max()


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_the_stabilised_method_takes_few_steps_where_decay_is_fast(precision):
    held, *_ = decay("native", 300.0)
    free, off, slope_off = decay("stabilised", 300.0, precision=precision)
    assert free.okay
    assert held.num_steps > 1500  # its limit of stability is 3.3 / rate
    assert free.num_steps < held.num_steps / 10
    assert off < 2e-3
    assert slope_off < 2e-3


def test_the_stabilised_method_is_of_order_two():
    """At a tolerance for the error of one step, steps shrink with its cube root, and the error with its power 2/3."""
    (coarse, off, _), (fine, less, _) = decay("stabilised", 0.7, 1e-4), decay("stabilised", 0.7, 1e-7)
    assert 1 / 14 < coarse.num_steps / fine.num_steps < 1 / 6
    assert 30 < off / less < 300
