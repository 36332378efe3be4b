"""What readings can tell, against closed forms: information, combinations, profiles, power scaling, next readings."""

import dataclasses
import json
from pathlib import Path
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from catalogue import Elimination, KnownNoise, Level, readings
from jaxtyping import Array, Float
from picks import some
from posteriors import VALUES, WIDE, closed_form, conjugate
from scipy.stats import norm

from cytostorm.inference import LogNormal, Prior, Priors, Problem
from cytostorm.inference.identifiability import design, directions
from cytostorm.inference.identifiability.findings import expected
from cytostorm.inference.identifiability.information import Everywhere, of_readings, rows, told
from cytostorm.inference.identifiability.profile import DROP, Profile, axes_of, limits, profiles
from cytostorm.inference.identifiability.scaling import scaled
from cytostorm.models import Scenario, State, bolus, quantity
from cytostorm.scripts.cli import run
from cytostorm.scripts.compose import composed
from cytostorm.scripts.problem import prepare

DECAY = Path(__file__).parent / "own" / "decay.py"


class Product(Level):
    """A level that is the product of two parameters: no reading tells them apart."""

    states: ClassVar = (State("level", "w", "pg/mL", 1.0, "level"),)
    b: Float[Array, ""] = quantity(1.0, "b", "1", "factor", source="toy")

    def rest(self):
        return (self.w * self.b)[None]


def two() -> Problem:
    """Readings of a product of two parameters, each with a prior."""
    priors = Priors(w={"median": 1.0, "fold": 5}, b={"median": 2.0, "fold": 5})
    return Problem(Product(), Scenario(), readings([0.0, 1.0, 2.0, 3.0], VALUES), priors, KnownNoise())


@pytest.fixture(scope="module")
def product():
    """What is told at some prior draws of a product."""
    problem = two()
    x = problem.sites.centre + problem.sites.spread * np.random.default_rng(0).standard_normal((20, 2))
    return problem, x, Everywhere(told, problem)(x)


# Noise, how a row of data is made, and what it tells of its log-prediction and of log sigma = log 0.3.
AT = {"w": jnp.array(1.0), "sigma": jnp.array(0.3)}
GROUP = {"n": np.array([8]), "spread": np.array([0.4])}
TELLS = {
    "normal": (LogNormal(), {}, 1 / 0.09, 2.0),
    "student": (LogNormal(nu=4.0), {}, 5 / 7 / 0.09, 8 / 7),
    "group": (LogNormal(), GROUP, 8 / 10 / (0.16 / 8), 0.0),
}


@pytest.mark.parametrize("name", TELLS)
def test_a_reading_tells_what_fisher_says(name):
    """Student's t: (n+1)/(n+3) of the normal information about the place, n/(n+3) about the spread."""
    noise, changes, place, spread = TELLS[name]
    data = readings([0.0, 1.0], [1.0, 1.0])
    data = dataclasses.replace(data, **{k: np.append(v, 0).astype(getattr(data, k).dtype) for k, v in changes.items()})
    problem = Problem(Level(), Scenario(), data, WIDE, noise)
    found = of_readings(problem, AT, jnp.log(jnp.array([2.0, 2.0])))[0]
    np.testing.assert_allclose(found, [[place, 0], [0, spread]], rtol=1e-4, atol=1e-8)


def test_a_reading_far_below_its_limit_tells_nothing_and_one_far_above_all():
    data = readings([0.0, 1.0], [1.0, 1.0], cens=[-1, -1], limit=[1.0, 1.0])
    problem = Problem(Level(), Scenario(), data, WIDE, LogNormal())
    found = of_readings(problem, AT, jnp.array([-5.0, 5.0]))
    np.testing.assert_allclose(found[:, 0, 0], [0, 1 / 0.09], rtol=0.01, atol=1e-8)


def test_information_of_a_decay_is_that_of_its_closed_form():
    """log y = log dose - k t, so a reading tells (k t)^2 / sigma^2 of log k."""
    time, priors = np.array([1.0, 2.0, 5.0]), Priors(k={"median": 0.3, "fold": 3})
    data = readings(time, np.exp(-0.3 * time), "crp")
    problem = Problem(Elimination(), Scenario(bolus("amount", 1.0)), data, priors, KnownNoise())
    x = np.log([[0.2], [0.4]])
    np.testing.assert_allclose(
        Everywhere(told, problem)(x).information[:, 0, 0], np.array([0.2, 0.4]) ** 2 * np.sum(time**2) / 0.25, rtol=1e-3
    )


def test_a_redundant_product_is_found_and_named(product):
    problem, x, found = product
    singular, _ = directions.spectra(found.information, problem.sites.spread)
    np.testing.assert_allclose(singular[:, 0], np.sqrt(2 * 16) * problem.sites.spread[0], rtol=1e-6)
    assert singular[:, 1].max() < 1e-4
    table = directions.combinations(found.information, x, problem.sites.spread, ["w", "b"])
    assert table["words"].tolist() == ["w and b are not told apart: only the product w x b is told"]
    assert table["share"].tolist() == [1.0]


def test_what_the_prior_leaves_of_a_product_is_half_its_variance(product):
    """A product told without error leaves each factor half of its prior variance, where both priors are alike."""
    problem, _, found = product
    table = expected(found.information, problem.sites.spread)
    assert np.isinf(table["standard_error"]).all()
    s2 = problem.sites.spread[0] ** 2
    np.testing.assert_allclose(table["expected_contraction"], 16 * s2 / (1 + 32 * s2), rtol=1e-6)


def along(a, b):
    """Where a law holds: directions of the logarithms at random places."""
    at = np.random.default_rng(1).normal(size=(50, 2))
    return np.stack([a(at), b(at)], axis=1), at


LAWS = {
    "sum": (lambda at: np.exp(-at[:, 0]), lambda at: -np.exp(-at[:, 1])),
    "difference": (lambda at: np.exp(-at[:, 0]), lambda at: np.exp(-at[:, 1])),
    "product": (lambda at: np.ones(50), lambda at: -np.ones(50)),
    "ratio": (lambda at: np.ones(50), lambda at: np.ones(50)),
    "": (lambda at: np.ones(50), lambda at: -3 * np.ones(50)),
}


@pytest.mark.parametrize("law", LAWS)
def test_the_law_that_stays_told_is_recognised(law):
    moves, at = along(*LAWS[law])
    assert directions.law_of(moves / moves[:, :1], at) == law


def test_a_power_law_is_told_in_simple_ratios():
    assert directions.told_instead(["a", "b"], np.array([1.0, -3.02]), "") == "log a + 1/3 log b"
    assert directions.told_instead(["a", "b"], np.array([1.0, 1.02]), "") == "log a - 1 log b"


def test_directions_of_a_flat_space_are_as_short_as_they_can_be():
    """The space of one parameter alone and of a pair, in a basis that mixes them."""
    space = np.array([[1.0, 0, 0, 0], [0, 1, -1, 0]]).T
    mixed = space @ np.array([[0.8, -0.6], [0.6, 0.8]])
    found = directions.sparse(mixed)
    assert sorted(np.abs(found).sum(axis=0).tolist()) == pytest.approx([1, 2])


def test_the_profile_of_a_normal_mean_is_its_parabola():
    problem = conjugate()
    (profile,), climber = profiles(Everywhere(told, problem), axes_of(problem), problem.sites.centre[None], 9)
    mean, error = np.mean(np.log(VALUES)), 0.5 / np.sqrt(len(VALUES))
    np.testing.assert_allclose(profile.drop, 0.5 * ((np.log(profile.values) - mean) / error) ** 2, atol=1e-3)
    np.testing.assert_allclose(np.log([profile.low, profile.high]), mean + error * norm.ppf([0.025, 0.975]), atol=2e-3)
    assert profile.kind == "bounded"
    assert climber.num_failed == 0


def test_factors_of_a_product_have_flat_profiles():
    found, _ = profiles(Everywhere(told, two()), axes_of(two()), two().sites.centre[None], 7)
    assert [p.kind for p in found] == ["flat", "flat"]
    assert max(p.drop.max() for p in found) < 0.1


def test_readings_below_a_limit_bound_from_above_alone():
    data = readings([0.0, 1.0, 2.0], [0.5] * 3, cens=[-1] * 3, limit=[0.5] * 3)
    problem = Problem(Level(), Scenario(), data, WIDE, LogNormal(Prior(0.2, 1.1)))
    (profile, _), _ = profiles(Everywhere(told, problem), axes_of(problem), problem.sites.centre[None], 9)
    assert profile.kind == "bounded above"
    assert 0.4 < profile.high < 1.0


def test_limits_lie_where_a_parabola_crosses_the_threshold():
    values = np.linspace(-2, 2, 9)
    assert limits(values, 2 * DROP * values**2) == pytest.approx(np.exp([-(0.5**0.5), 0.5**0.5]))
    assert np.isnan(limits(values, np.zeros(9))).all()
    assert Profile("a", values, values, 1.0, 0.5, np.nan).kind == "bounded below"


def exact_sensitivity(mean, sd, low, high):
    """The gradient of the cumulative Jensen-Shannon distance of a normal distribution that hangs on the power."""
    x = np.linspace(low, high, 40001)  # the distance is relative to the area over the range of the draws

    def distance(power, side):
        p, q = (norm.cdf(side * (x - mean(a)) / sd(a)) for a in (1, power))
        both = [
            np.where(a > 0, a * np.log2(2 * np.maximum(a, 1e-300) / np.maximum(a + b, 1e-300)), 0)
            for a, b in ((p, q), (q, p))
        ]
        return np.sqrt(max(np.trapezoid(sum(both), x), 0) / np.trapezoid(p + q, x))

    either = {a: max(distance(a, 1), distance(a, -1)) for a in (0.99, 1.01)}
    return (-either[0.99] / np.log2(0.99) + either[1.01] / np.log2(1.01)) / 2


def test_power_scaling_of_a_conjugate_posterior_is_its_closed_form():
    prior, reading, draws = (1.0, 0.8), (-0.5, 0.5), np.random.default_rng(2).standard_normal((4, 5000))

    def posterior(a, b):
        weight = a / prior[1] ** 2, b / reading[1] ** 2
        return (weight[0] * prior[0] + weight[1] * reading[0]) / sum(weight), sum(weight) ** -0.5

    mean, sd = posterior(1, 1)
    x = mean + sd * draws
    found = scaled({"x": x}, norm.logpdf(x, *prior), norm.logpdf(x, *reading)).loc["x"]
    assert found["prior_pull"] == pytest.approx(np.log(2) * (prior[0] - mean) * sd / prior[1] ** 2, rel=0.05)
    assert found["likelihood_pull"] == pytest.approx(np.log(2) * (reading[0] - mean) * sd / reading[1] ** 2, rel=0.05)
    of_prior = exact_sensitivity(lambda a: posterior(a, 1)[0], lambda a: posterior(a, 1)[1], x.min(), x.max())
    of_reading = exact_sensitivity(lambda a: posterior(1, a)[0], lambda a: posterior(1, a)[1], x.min(), x.max())
    assert found["prior_sensitivity"] == pytest.approx(of_prior, rel=0.1)
    assert found["likelihood_sensitivity"] == pytest.approx(of_reading, rel=0.1)
    assert found["rests_on"] == "both, which may disagree"


def test_the_gain_of_one_more_reading_is_that_of_the_conjugate_posterior():
    problem, (_, sd) = conjugate(), closed_form()
    draws = {"w": np.array([0.7, 1.9])}
    known = design.known(Everywhere(told, problem), draws)
    np.testing.assert_allclose(known[:, 0, 0], sd**2, rtol=1e-6)
    ahead = design.future(problem, "more", problem.scenario, ["il6"], np.array([4.0, 5.0]), draws)
    np.testing.assert_allclose(design.gains(known, ahead), 0.5 * np.log2(1 + 4 * sd**2), rtol=1e-6)


@pytest.fixture
def ahead():
    """Candidates of three parameters at four times, in two draws."""
    rng = np.random.default_rng(3)
    time, okay = np.array([0.0, 0.0, 3.0, 6.0]), np.ones(2, bool)
    shape = (2, 4, 3)
    return design.Future("a", ("il6", "crp", "il6", "crp"), time, okay, rng.normal(size=shape), rng.uniform(1, 4, (2, 4)))


@pytest.mark.parametrize("about", [None, [0], [0, 2], [0, 1, 2]])
def test_gains_are_what_determinants_say(ahead, about):
    known = np.stack([np.diag([1.0, 2.0, 0.5]), np.eye(3) + 0.3])
    part = np.ix_(*[about or [0, 1, 2]] * 2)
    for d, c in np.ndindex(2, 4):
        row = ahead.jacobian[d, c]
        after = np.linalg.inv(np.linalg.inv(known[d]) + ahead.weight[d, c] * np.outer(row, row))
        told_by = 0.5 * np.log2(np.linalg.det(known[d][part]) / np.linalg.det(after[part]))
        assert design.gains(known, ahead, about)[d, c] == pytest.approx(told_by)
        np.testing.assert_allclose(design.updated(known, ahead, c)[d], after, atol=1e-12)


def test_chosen_readings_keep_their_spacing_and_share_a_visit(ahead):
    table = design.chosen(np.stack([np.eye(3)] * 2), ahead, 4, spacing=4.0)
    apart = np.abs(np.subtract.outer(table["time_h"].to_numpy(), table["time_h"].to_numpy()))
    assert np.all((apart == 0) | (apart >= 4))
    assert len(table) < 4
    assert table["total"].iloc[-1] == pytest.approx(table["gain"].sum())


@pytest.mark.slow
def test_an_analyte_that_stays_at_zero_is_left_out():
    problem, _, _ = prepare(composed("fit", ["model=network", "prior=network", "data.analytes=[il6]"]))
    times, draws = np.array([7.0]), {name: np.array([p.median]) for name, p in problem.sampled.items()}
    ahead = design.future(problem, "a", problem.scenario, ["il6", "cart"], times, draws)
    assert ahead.analyte == ("il6",)
    with pytest.raises(ValueError, match="cart stay at zero"):
        design.future(problem, "a", problem.scenario, ["cart"], times, draws)


LOOSE = ["solver.rtol=1e-4", "solver.atol=1e-6"]
SHORT = ["sampler.num_points=512", "sampler.num_rounds=2", "sampler.num_draws=100", "sampler.num_chains=2", "num_points=5"]
SHORT += ["num_draws=24", "next.num_draws=16", "next.num_times=6"]


@pytest.fixture(scope="module")
def textbook(tmp_path_factory):
    """How IL-6 is cleared, of a patient without a drug: the run folder."""
    folder = tmp_path_factory.mktemp("clearance") / "run"
    ask = ["next.about=[k_il6_np,k_il6_rm]", "next.analytes=[il6,crp]", "next.until_h=480.0"]
    assert run(["identify", "experiment=clearance", *LOOSE, *SHORT, *ask, f"hydra.run.dir={folder}"]) == 0
    return folder


@pytest.mark.slow
def test_without_a_drug_only_the_sum_of_both_clearances_is_told(textbook):
    table = pd.read_csv(textbook / "identifiability.csv", index_col="parameter")
    for name, other in (("k_il6_np", "k_il6_rm"), ("k_il6_rm", "k_il6_np")):
        assert table.loc[name, "confounded_with"] == other
    assert "only the sum k_il6_np + k_il6_rm is told" in table.loc["k_il6_np", "verdict"]
    assert table.loc["k_il6_np", "contraction"] < 0.5
    assert table.loc["p_crp", "verdict"].startswith("told well")
    first = pd.read_csv(textbook / "directions.csv").iloc[0]
    assert (first["parameters"], first["law"]) == ("k_il6_np k_il6_rm", "sum")


@pytest.mark.slow
def test_the_next_reading_to_tell_them_apart_comes_after_a_blocker(textbook):
    kinds, picks = pd.read_csv(textbook / "kinds.csv"), pd.read_csv(textbook / "next.csv")
    assert (kinds["future"][0], kinds["analyte"][0]) == ("tocilizumab at 336 h", "il6")
    best = kinds.groupby("future")["gain"].max()
    assert best["tocilizumab at 336 h"] > 5 * best["as it is"]
    assert picks.groupby("future").size().tolist() == [4, 4]


@pytest.mark.slow
def test_a_run_leaves_its_tables_and_figures(textbook):
    names = {path.name for path in textbook.iterdir()}
    tables = ("identifiability", "directions", "singular_values", "profiles", "next", "kinds", "observations")
    assert {f"{name}.csv" for name in tables} <= names
    assert {f"{name}.png" for name in ("singular_values", "profiles", "next", "pair")} <= names
    manifest = json.loads((textbook / "manifest.json").read_text())
    assert manifest["job"] == "identify"
    assert set(manifest["seconds"]) >= {"sensitivities", "posterior", "scaling", "profiles", "next", "cpu", "total"}


def test_a_blocker_tells_both_clearances_apart():
    problem, _, _ = prepare(composed("fit", ["experiment=clearance", "treatment=tocilizumab", *LOOSE]))
    names, x = list(problem.sampled), problem.sites.centre + 0.3 * np.random.default_rng(0).standard_normal((16, 6))
    found = Everywhere(told, problem)(x)
    assert found.okay.all()
    contraction = dict(zip(names, expected(found.information, problem.sites.spread)["expected_contraction"], strict=True))
    assert min(contraction["k_il6_np"], contraction["k_il6_rm"]) > 0.8
    apart = directions.combinations(found.information, x, problem.sites.spread, names)
    assert "k_il6_np k_il6_rm" not in set(apart["parameters"])


REFUSED = [
    ("next.at=never", "`next.at` is 'never'"),
    ("next.about=[tea]", "`next.about` names `tea`"),
    ("next.about=[]", "`next.about` is empty"),
    ("next.analytes=[tnf]", "`next.analytes` names `tnf`, which the model does not predict"),
    ("next.spacing_h=0.0", "`next.spacing_h` is 0"),
    ("next.num=0", "`next.num` is 0"),
    ("next.until_h=3.0", "`next.until_h` is 3"),
    ("next.from_h=-1.0", "before the story begins"),
    ("next.treatments=[aspirin]", "no treatment `aspirin`"),
    ("num_draws=0", "`num_draws` is 0"),
    ("num_points=3", "`num_points` of a profile is 3"),
    ("pair=[gamma]", "`pair` is ['gamma']; name two of: gamma"),
    ("fit=nowhere", "no such run folder"),
    ("fit=nowhere prior=storm", "`prior` and `fit` are both given"),
    ("variability=endotoxemia", "use sampler=nuts_population, or give its `fit`"),
    ("subject=S01", "`subject` is S01, and this is no population"),
    ("experiment=endotoxemia_population subject=Nobody", "`subject` is Nobody, who is not of the population"),
]


@pytest.mark.parametrize(("more", "message"), some(REFUSED, [REFUSED[1], REFUSED[13], REFUSED[14]]))
def test_bad_input_is_refused(more, message, refused):
    refused(message, "identify", *more.split())


@pytest.mark.slow
def test_a_fit_is_identified_without_sampling_again(quick_run, tmp_path):
    folder = tmp_path / "out"
    assert run(["identify", f"fit={quick_run}", *SHORT[4:], f"hydra.run.dir={folder}"]) == 0
    table = pd.read_csv(folder / "identifiability.csv", index_col="parameter")
    summary = pd.read_csv(quick_run / "summary.csv", index_col=0)
    np.testing.assert_allclose(table["contraction"], summary.loc[table.index, "contraction"], atol=1e-6)
    assert json.loads((folder / "manifest.json").read_text())["num_solves"] > 0


@pytest.mark.slow
def test_one_seed_identifies_the_same(tmp_path):
    for name in ("a", "b"):
        assert run(["identify", *SHORT, f"hydra.run.dir={tmp_path / name}"]) == 0
    a, b = (pd.read_csv(tmp_path / name / "identifiability.csv") for name in ("a", "b"))
    pd.testing.assert_frame_equal(a, b)


def test_rows_are_those_of_the_whole_information(product):
    problem, x, found = product
    each = jax.device_get(Everywhere(rows, problem)(x))
    np.testing.assert_allclose(np.einsum("do,dop,doq->dpq", each.weight, each.jacobian, each.jacobian), found.information)


@pytest.mark.slow
def test_what_the_subjects_of_a_population_share_is_identified_sampled_or_from_a_fit(tmp_path):
    """Twelve people who remove a tracer at rates of their own: rates well, their spread partly; the same from a fit."""
    rng, rows = np.random.default_rng(0), []
    for i in range(12):
        rate = 0.3 * np.exp(0.3 * rng.standard_normal())
        rows += [f"S{i},{t},tracer,{10 * np.exp(0.1 * rng.standard_normal() - rate * t):.3g},mg/L" for t in (1, 2, 4, 6)]
    (tmp_path / "t.csv").write_text("\n".join(["subject,time_h,analyte,value,unit", *rows]) + "\n")
    asked = ["experiment=own", f"model.path={DECAY}", "data=cohort", f"data.path={tmp_path / 't.csv'}"]
    asked += ["+variability._target_=cytostorm.inference.Variability", "+variability.effects.k.centred=true"]
    asked += ["+variability.effects.k.omega={median: 0.3, fold: 2.0}", "sampler.target_accept=0.95"]
    asked += ["sampler=nuts_population"]
    assert run(["fit", *asked, "report=false", f"hydra.run.dir={tmp_path / 'fit'}"]) == 0
    short = ["num_draws=32", "next.num_draws=20", "next.treatments=[]", "subject=S3"]
    assert run(["identify", *asked, *short, f"hydra.run.dir={tmp_path / 'a'}"]) == 0
    assert run(["identify", f"fit={tmp_path / 'fit'}", f"own={DECAY}", *short, f"hydra.run.dir={tmp_path / 'b'}"]) == 0
    a, b = (pd.read_csv(tmp_path / name / "identifiability.csv", index_col="parameter") for name in "ab")
    assert list(a.index) == ["begun", "k", "sigma", "omega[k]"]
    assert a.loc["k", "verdict"].startswith("told well: ")
    assert a.loc["omega[k]", "verdict"].startswith("partly told: ")
    assert (a["profile"] == "bounded").all()
    assert ((a["estimate"] > a["q5"]) & (a["estimate"] < a["q95"])).all()
    # Of sigma what 48 readings tell that do not go into the mean and the rates of 12 people.
    assert a.loc["sigma", "standard_error"] == pytest.approx((2 * (48 - 12 - 1)) ** -0.5, rel=0.05)
    np.testing.assert_allclose(a["standard_error"], b["standard_error"], rtol=1e-9)  # of the same prior draws
    np.testing.assert_allclose(a["contraction"], b["contraction"], atol=0.05)
    np.testing.assert_allclose(np.log(a["profile_low"]), np.log(b["profile_low"]), atol=0.05)
    first = [pd.read_csv(tmp_path / name / "kinds.csv").loc[0] for name in "ab"]
    assert first[0]["gain"] == pytest.approx(first[1]["gain"], rel=0.1)
