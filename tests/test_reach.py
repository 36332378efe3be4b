"""What need not be solved: states at rest, and states that no reading sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cytostorm.models import Minimal, Network, Scenario, Solver, bolus, differentiate, plan, reach, replace, values
from cytostorm.scripts.compose import build, composed


def staged(trigger, treatment="none"):
    from cytostorm.models import stage

    cfg = composed("fit", ["model=network", f"trigger={trigger}", f"treatment={treatment}"])
    return stage(build(cfg.model), build(cfg.trigger), build(cfg.treatment))


def names(model, indices):
    return {model.states[i].name for i in indices}


def test_under_lps_no_t_cells_no_pathogen_and_no_antibodies_are_solved():
    model, story = staged("lps_bolus")
    found = reach(model, story, 24.0)
    assert names(model, found.to(["il6", "tnf", "il10"])) == {
        *("lps", "activated", "tnf", "il1", "il6_transit", "il6", "il10", "suppression", "damage")
    }
    assert names(model, found.moving) - names(model, found.to(["il6"])) == {"acute_phase", "crp", "ferritin", "temperature"}


def test_a_drug_is_solved_where_it_is_given():
    model, story = staged("cart", "tocilizumab")
    assert "tocilizumab" in names(model, reach(model, story, 504.0).to(["il6"]))
    model, story = staged("cart", "dexamethasone")
    assert names(model, reach(model, story, 504.0).to(["il6"])) & {"steroid", "tocilizumab"} == {"steroid"}


def test_a_small_model_is_solved_whole():
    assert reach(Minimal(), Scenario(bolus("lps", 2.0)), 24.0).to(["il6"]) == (0, 1, 2)


@pytest.mark.parametrize(
    ("trigger", "sampled", "end"),
    [("lps_bolus", ["k_fb", "p_tnf", "k_il10"], 12.0), ("cart", ["k_fb", "k_t_exp", "p_crp"], 504.0)],
)
def test_readings_and_gradients_are_those_of_the_whole_model(trigger, sampled, end):
    model, story = staged(trigger)
    theta = jnp.log(jnp.array([float(values(model)[name]) * 1.1 for name in sampled]))
    times, analytes = np.linspace(0, end, 7), ["il6", "crp"]

    def along(solved):
        prepared = plan(model, story, times, solved)
        build = lambda theta: replace(model, dict(zip(sampled, jnp.exp(theta), strict=True)))  # noqa: E731
        found = jax.jit(lambda theta: differentiate(build, theta, prepared, Solver(rtol=1e-8, atol=1e-10)))(theta)
        return [np.asarray(x[name]) for name in analytes for x in (found.value, found.jacobian)]

    solved = reach(model, story, end).to(analytes)
    assert len(solved) < len(Network.states)
    for part, whole in zip(along(solved), along(None), strict=True):
        assert np.max(np.abs(part - whole)) < 1e-6 * np.max(np.abs(whole))
