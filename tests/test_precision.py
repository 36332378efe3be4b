"""Solves in float32: as right as those in float64 at the same tolerance, with time as it was; what they cannot do."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import CASES, Elimination
from picks import some
from test_network import TRIGGERS, treatment, trigger

from cytostorm.models import (
    Network,
    Scenario,
    Solver,
    bolus,
    differentiate,
    infusion,
    native,
    plan,
    replace,
    simulate,
    stage,
)
from cytostorm.models.precision import single
from cytostorm.models.segments import after, just_after

NAMES = ("k_fb", "k_il6_np", "k_il6_rm", "p_il6", "k_t_exp", "p_crp")
RTOL, ATOL = 1e-5, 1e-7
pytestmark = pytest.mark.usefixtures("strict_ranks")


def both(method, precision, **tolerances):
    return Solver(method, **({"rtol": RTOL, "atol": ATOL, "max_steps": 20_000} | tolerances), precision=precision)


def curves(name, end=None):
    """Log-predictions and relative sensitivities of a trigger of the network with tocilizumab, by any solver."""
    horizon = trigger(name).horizon_h or 48.0
    model, story = stage(Network(), trigger(name), treatment("tocilizumab", start_h=horizon / 4))
    prepared = plan(model, story, np.linspace(0.0, end or horizon, 13))

    def build(theta):
        return replace(model, {name: getattr(model, name) * jnp.exp(x) for name, x in zip(NAMES, theta, strict=True)})

    def run(solver, theta=None, over=lambda function: function):
        theta = jnp.zeros(len(NAMES)) if theta is None else theta
        found = jax.jit(over(lambda theta: differentiate(build, theta, prepared, solver)))(theta)
        assert np.all(found.okay)
        value = np.stack([found.value[analyte] for analyte in ("il6", "crp")])
        slope = np.stack([found.jacobian[analyte] for analyte in ("il6", "crp")])
        return np.log(value), slope / value[..., None]

    return run


def apart(one, other):
    """The largest differences of values and of sensitivities, the latter relative to the largest of each parameter."""
    largest = np.maximum(np.abs(other[1]).max(axis=(0, 1), keepdims=True), 1e-3)
    return np.abs(one[0] - other[0]).max(), (np.abs(one[1] - other[1]) / largest).max()


@pytest.mark.parametrize("name", some([*TRIGGERS, "cart by march"], []))
def test_values_and_sensitivities_are_as_right_as_in_float64(name):
    name, _, method = name.partition(" by ")
    method = method or "native"
    run = curves(name)
    rough, fine = run(both(method, "float32")), run(both(method, "float64"))
    truth = run(Solver("native", rtol=1e-9, atol=1e-11, max_steps=50_000))
    assert rough[0].dtype == rough[1].dtype == np.float64
    assert not np.array_equal(rough[0], fine[0])  # it was computed otherwise
    for error, usual in zip(apart(rough, truth), apart(fine, truth), strict=True):
        assert error < usual + 5 * RTOL


def test_a_batch_in_c_is_a_loop_to_the_bit():
    run, solver = curves("lps_bolus", 12.0), both("native", "float32")
    draws = 0.2 * jax.random.normal(jax.random.PRNGKey(4), (5, len(NAMES)))
    together = run(solver, draws, jax.vmap)
    assert len(np.unique(together[0][0, :, -1])) == len(draws)
    for i, theta in enumerate(draws):
        for part, whole in zip(run(solver, theta), together, strict=True):
            np.testing.assert_array_equal(part, whole[:, i])


@pytest.mark.parametrize("method", ["native", "march"])
def test_a_dose_late_in_the_story_enters_at_its_moment(method):
    """Around 700 h float32 knows times to 6e-5 h: the reading at the dose is before it, the one a moment later after it."""
    doses = bolus("amount", 5.0, 700.1) + infusion("amount", 6.0, 1e-3, 703.3) + infusion("amount", 8.0, 2.0, 705.0)
    times = np.array([700.1, after(700.1), 703.3, 703.3 + 1e-3, 706.0, 720.0])
    found = simulate(Elimination(), Scenario(doses), times, both(method, "float32", rtol=3e-6, atol=3e-8))
    assert found.okay

    def left(amount, since):
        return amount * np.exp(-0.3 * since)

    def infused(amount, length, since):
        return left(amount, since) * (1 - np.exp(-0.3 * length)) / (0.3 * length)

    second = left(5, 703.301 - 700.1) + infused(6, 1e-3, 0)
    third = left(5, 706 - 700.1) + infused(6, 1e-3, 706 - 703.301) + infused(4, 1, 0)
    last = left(5, 720 - 700.1) + infused(6, 1e-3, 720 - 703.301) + infused(8, 2, 720 - 707)
    want = [0.0, 5.0, left(5, 703.3 - 700.1), second, third, last]
    np.testing.assert_allclose(found.states[:, 0], want, rtol=2e-5, atol=1e-6)


def test_doses_may_move():
    """Sensitivities to times and amounts: events are in float64, the way between them in float32."""
    model, scenario, end, _ = CASES["lps_bolus"]
    prepared = plan(model, scenario, np.linspace(0.5, end, 6))

    def slopes(precision):
        def dosing(theta):
            return scenario.doses.shifted(theta[0]).scaled(jnp.exp(theta[1]))

        solver = both("native", precision)
        return jax.jit(lambda theta: differentiate(lambda _: model, theta, prepared, solver, dosing))(jnp.zeros(2))

    rough, fine = slopes("float32"), slopes("float64")
    assert rough.okay
    scale = np.abs(fine.jacobian["il6"]).max(axis=0)
    assert (np.abs(rough.jacobian["il6"] - fine.jacobian["il6"]) / scale[None]).max() < 5 * RTOL
    assert np.ptp(np.asarray(fine.jacobian["il6"]), axis=0).min() > 1


def test_only_what_meets_the_state_is_rounded():
    start = jnp.asarray(just_after(np.array([720.0]))[0])

    def rate(t, x, p):
        later = (t - 720.0) / p  # 7e-10 at the start, which float32 would make 0 or 6e-5
        loop = jax.lax.fori_loop(0, 3, lambda _, z: z + jnp.cumsum(x), x)
        return jnp.where(t > 720.0, later * 1e9, 0.0) * jax.nn.sigmoid(x) + loop

    x, p = jnp.array([0.3, 0.7], jnp.float32), jnp.array(1.5)
    rounded = single(rate)
    want, found = rate(start, x.astype(float), p), rounded(start, x, p)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, want, rtol=5e-7)
    along = (jnp.zeros_like(x), jnp.array(1.0))
    slope = jax.jvp(lambda x, p: rounded(start, x, p), (x, p), along)[1]
    want = jax.jvp(lambda x, p: rate(start, x, p), (x.astype(float), p), (along[0].astype(float), along[1]))[1]
    np.testing.assert_allclose(slope, want, rtol=5e-7)


def test_the_generated_state_is_of_that_type():
    def written(real, kind):
        rate = single(lambda t, x, p: -p * x + 0.5 * t) if kind == jnp.float32 else lambda t, x, p: -p * x + 0.5 * t
        closed = jax.make_jaxpr(rate)(0.0, jnp.ones(2, kind), jnp.array(0.3))
        return native._field(closed, 2, 1, real)[0]

    small = written("float", jnp.float32)
    assert "typedef float real;" in small
    assert "const real v" in small
    assert re.search(r"const double v\d+ = 0.5 \* t;", small)  # of time alone
    assert "const real v" not in written("double", jnp.float64)


BAD = {
    "precision": ({"precision": "half"}, "`precision` is 'half'; choose from: float64, float32"),
    "rtol": ({"rtol": 1e-6, "precision": "float32"}, "`rtol` is 1e-06.*give 3e-06 or more, or precision=float64"),
    "atol": ({"rtol": 1e-5, "atol": 1e-9, "precision": "float32"}, "`atol` is 1e-09.*give 3e-08 or more"),
    "method": ({"method": "tsit5", "rtol": 1e-4, "atol": 1e-6, "precision": "float32"}, "'tsit5' does not have: diffrax"),
}


@pytest.mark.parametrize(("given", "message"), BAD.values(), ids=BAD)
def test_what_float32_cannot_do_is_told(given, message):
    with pytest.raises(ValueError, match=message):
        Solver(**given)
