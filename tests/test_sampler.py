"""Sampling: a posterior with a closed form, starts, failures as data, repeatability."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import KnownNoise, Level
from numpyro.diagnostics import effective_sample_size
from picks import some
from posteriors import WIDE, agree, closed_form, explosive
from scipy import stats

from cytostorm.inference import NUTS, Blocks, Density, NoStart, Problem, Starting
from cytostorm.inference.samplers.starts import METHODS
from cytostorm.models import Scenario, Solver

KEY = jax.random.PRNGKey(7)
SMALL = NUTS(num_warmup=300, num_draws=1000, num_chains=2, start=Starting(num_screened=32))


@pytest.fixture(scope="module")
def draws(conjugate):
    return SMALL.sample(conjugate, KEY)


def test_a_posterior_with_a_closed_form_is_reproduced(draws):
    mean, sd = closed_form()
    log_w = np.log(draws.values["w"])
    effective = agree(log_w, mean, sd, 400)
    thinned = log_w.ravel()[:: int(log_w.size / effective) + 1]
    assert stats.kstest(thinned, stats.norm(mean, sd).cdf).pvalue > 1e-3


def test_one_seed_gives_the_same_draws_again(conjugate, draws):
    again = SMALL.sample(conjugate, KEY)
    np.testing.assert_array_equal(draws.values["w"], again.values["w"])
    other = SMALL.sample(conjugate, jax.random.PRNGKey(8))
    assert np.any(draws.values["w"] != other.values["w"])


@pytest.mark.slow
def test_vectorized_chains_sample_the_same_posterior(conjugate):
    log_w = np.log(
        NUTS(num_warmup=300, num_draws=600, num_chains=3, start=Starting(num_screened=32), chains="vectorized")
        .sample(conjugate, KEY)
        .values["w"]
    )
    mean, sd = closed_form()
    assert log_w.shape == (3, 600)
    assert abs(log_w.mean() - mean) < 4 * sd / np.sqrt(effective_sample_size(log_w))


@pytest.mark.parametrize("chains", some(["threads", "vectorized"], ["threads"]))
def test_thinning_keeps_every_so_many_iterations(chains):
    """The same iterations, of which the blocks on disk hold all and memory few; nothing that was counted is lost."""
    problem, shared = explosive(), {"num_warmup": 20, "num_chains": 2, "block": 20, "chains": chains}
    whole = NUTS(num_draws=60, **shared).sample(problem, KEY)
    few = NUTS(num_draws=15, thin=4, **shared).sample(problem, KEY)
    np.testing.assert_array_equal(few.values["w"], whole.values["w"][:, 3::4])
    np.testing.assert_array_equal(few.stats["lp"], whole.stats["lp"][:, 3::4])
    np.testing.assert_array_equal(few.stats["n_steps"], whole.stats["n_steps"].reshape(2, 15, 4).sum(axis=2))
    assert few.stats["diverging"].sum() <= whole.stats["diverging"].sum()
    assert few.num_solves == whole.num_solves
    np.testing.assert_allclose(few.failed_share, whole.failed_share)


def test_statistics_have_arviz_names_and_shapes(draws):
    assert {"lp", "acceptance_rate", "step_size", "tree_depth", "n_steps", "diverging", "energy"} == set(draws.stats)
    assert all(x.shape == (2, 1000) for x in draws.stats.values())
    assert all(x.shape == (2, 300) for x in draws.warmup_stats.values())
    total = sum(int(x["n_steps"].sum()) for x in (draws.stats, draws.warmup_stats))
    assert draws.num_solves == total + 2 + 33
    assert draws.num_failed == 0


def test_progress_reaches_its_total(conjugate):
    heard = []
    NUTS(num_warmup=20, num_draws=25, num_chains=2, start=Starting(num_screened=8), block=10).sample(
        conjugate, KEY, lambda *x: heard.append(x)
    )
    assert heard[-1] == (90, 90)
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)


def test_failed_solves_are_rejected_and_counted():
    """Above w = 1 the model explodes: no draw may lie there, none may be NaN, and the failures are counted."""
    draws = NUTS(num_warmup=150, num_draws=150, num_chains=2, start=Starting(num_screened=64)).sample(explosive(), KEY)
    assert np.all(draws.values["w"] < 1.15)
    assert np.all(np.isfinite(draws.values["w"]))
    assert 0 < draws.starts.num_unsolved == draws.starts.num_failed < 65
    assert draws.num_failed > draws.starts.num_failed


@pytest.mark.parametrize("method", METHODS)
def test_every_start_has_finite_density(method):
    density = Density(explosive(median=0.8, value=0.5))
    begun = Starting(method, num_screened=40, num_climbs=6).find(density, KEY, 3, Blocks())
    energy = jax.vmap(lambda x: density.energy(x, jnp.array(-1)))(jnp.asarray(begun.position))
    assert begun.position.shape == (3, 1)
    assert np.all(np.isfinite(energy))
    assert 0 < begun.num_unsolved <= begun.num_failed
    if method == "map":
        assert np.ptp(energy) < 1e-3


def test_no_solvable_draw_is_a_clear_error(conjugate):
    hopeless = Problem(Level(), Scenario(), conjugate.data, WIDE, KnownNoise(), Solver(max_steps=1, rtol=1e-14, atol=1e-16))
    with pytest.raises(NoStart, match=r"only 0 of 33 prior draws have a finite density, 2 are needed; narrow the priors"):
        SMALL.sample(hopeless, KEY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_draws": 0}, "`num_draws` is 0"),
        ({"target_accept": 1.0}, "`target_accept` is 1.0"),
        ({"thin": 7}, "`thin` is 7 and `block` 50; give a block that is a multiple of it"),
        ({"chains": "parallel"}, "`chains` is 'parallel'; choose from: threads, vectorized"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        NUTS(**change)
