"""When to treat: outcomes, paired counterfactuals, decisions, windows, the value of knowing, the best start by gradient."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from conftest import ROOT

from cytostorm.inference import Arm, Cohort, Population, Priors, Subject, Synthetic, Variability
from cytostorm.inference.decisions import decide, information
from cytostorm.inference.decisions import optimum as optimum_module
from cytostorm.inference.decisions.counterfactual import NUM_PAST, Comparison, compare, grid, units
from cytostorm.inference.decisions.optimum import optimum
from cytostorm.inference.decisions.options import NOW, Clock, Option, options, spread
from cytostorm.inference.decisions.outcomes import (
    Area,
    At,
    Course,
    Custom,
    Doublings,
    Escape,
    Given,
    HoursAbove,
    Outcome,
    Peak,
    Rebound,
)
from cytostorm.inference.decisions.patients import Patient, expected, members, newcomers
from cytostorm.inference.decisions.utility import Utility
from cytostorm.inference.keys import root
from cytostorm.inference.results.choices import courses_of
from cytostorm.models import Minimal, Network, Scenario, Solver, Treatment, outcome, quantities, simulate
from cytostorm.scripts.compose import build, composed
from cytostorm.scripts.problem import world

TIMES = np.linspace(0.0, 10.0, 101)
TRIANGLE = np.maximum(5 - np.abs(TIMES - 4), 0.0)


def course(until=-np.inf, given=None, **read):
    arrays = {name: jnp.asarray(x) for name, x in read.items()}
    return Course(jnp.asarray(TIMES), arrays, {n: jnp.asarray(x) for n, x in (given or {}).items()}, jnp.asarray(until))


FLAT = course(x=np.ones(101))
KNOWN = [
    (Peak("x"), course(x=TRIANGLE), 5.0),
    (Area("x"), course(x=TRIANGLE), np.trapezoid(TRIANGLE, TIMES)),
    (HoursAbove("x", 3.0), course(x=TRIANGLE), 4.0),
    (HoursAbove("x", 9.0), course(x=TRIANGLE), 0.0),
    (At("x", 2.0), course(x=TRIANGLE), 3.0),
    (Doublings("x"), course(x=4 * np.ones(101)), 2.0),
    (Doublings("x"), FLAT, 0.0),
    (Escape("x", 1.1), course(x=1.2 * np.ones(101)), 1.0),
    (Escape("x", 1.1), course(x=1.05 * np.ones(101)), 0.0),
    (Rebound("x", 1.0), course(until=5.0, x=TIMES), 0.0),  # it rises, but not to twice the value at 5 h
    (Rebound("x", 1.0), course(until=4.0, x=TIMES), 1.0),
    (Rebound("x", 20.0), course(until=4.0, x=TIMES), 0.0),
    (Rebound("x", 1.0), course(x=TIMES), 0.0),  # nothing was given
    (Given(), course(given={"tocilizumab": 560.0, "antiviral": 2.0, "dexamethasone": 60.0}, x=TIMES), 620.0),
    (Given("antiviral"), course(given={"antiviral": 2.0}, x=TIMES), 2.0),
    (Given("sarilumab"), course(x=TIMES), 0.0),
]


@pytest.mark.parametrize(("number", "own", "value"), KNOWN, ids=lambda x: type(x).__name__)
def test_outcomes_have_their_known_values(number, own, value):
    assert isinstance(number, Outcome)
    assert float(number(own, FLAT)) == pytest.approx(value, abs=1e-3)


def test_hours_above_agree_with_the_crossings_of_a_trajectory():
    rough = np.sin(7 * TIMES) + 0.3 * TIMES
    assert float(HoursAbove("x", 1.0)(course(x=rough), FLAT)) == pytest.approx(outcome.time_above(TIMES, rough, 1.0))


def test_your_own_outcome_is_one_function(tmp_path):
    (tmp_path / "mine.py").write_text("def last(course, untreated):\n    return course['x'][-1] - untreated['x'][-1]\n")
    assert float(Custom(str(tmp_path / "mine.py"), "last", of="x")(course(x=TIMES), FLAT)) == 9.0
    with pytest.raises(ValueError, match="cannot be had: it defines no `first`"):
        Custom(str(tmp_path / "mine.py"), "first")
    with pytest.raises(ValueError, match="No such file"):
        Custom(str(tmp_path / "none.py"), "first")


@pytest.mark.parametrize(("given", "found"), [("0:96:24", [0, 24, 48, 72, 96]), (12, [12]), ([3, 1.5], [3, 1.5])])
def test_starts_are_spread_as_they_are_written(given, found):
    assert spread(given, "start_h") == found


@pytest.mark.parametrize("given", ["0:96", "96:0:12", "0:96:0", "soon", [0, "x"], float("nan"), {"a": 1}])
def test_what_is_no_spread_is_refused(given):
    with pytest.raises(ValueError, match="`start_h` is"):
        spread(given, "start_h")


TCZ = courses_of("tocilizumab")


@pytest.mark.parametrize(
    ("arms", "starts", "doses", "message"),
    [
        ({}, {}, {}, "no arm to compare"),
        ({"a": TCZ}, {"a": []}, {"a": [1.0]}, "`start_h` of arm `a` is empty"),
        ({"a": TCZ}, {"a": [0.0]}, {"a": []}, "`dose` of arm `a` is empty"),
        ({"a": TCZ}, {"a": [0.0, 0.0]}, {"a": [1.0]}, "names a value twice: 0, 0"),
        ({"a": TCZ}, {"a": [0.0]}, {"a": [-1.0]}, "`dose` of arm `a` is -1"),
        ({"a": Treatment()}, {"a": [0.0]}, {"a": [1.0]}, "arm `a` gives nothing"),
    ],
)
def test_impossible_options_are_refused(arms, starts, doses, message):
    with pytest.raises(ValueError, match=message):
        options(arms, starts, doses, {"a": Clock(NOW)})


def test_no_treatment_is_always_an_option():
    assert options({"a": TCZ}, {"a": [0.0]}, {"a": [1.0]}, {"a": Clock(NOW)})[0].treatment is None


def told(worth, start, now=0.0):
    """A comparison of one patient of which only the outcome `u` is known: option by draw."""
    worth = np.asarray(worth, float)
    arms = [Option("untreated", None, np.inf, 0.0, Clock(NOW))]
    arms += [Option("a", TCZ, float(s), 1.0, Clock(NOW)) for s in start]
    num, draws = worth.shape
    begin = np.repeat(np.array([np.inf, *start])[:, None, None] + now, draws, axis=2)
    okay, draw = np.ones((num, 1, draws), bool), np.arange(draws)
    return Comparison(
        tuple(arms), ("p",), ("u",), ("1",), np.array([now]), begin, okay, worth[:, None, :, None], TIMES[None], draw, {}
    )


UTILITY = Utility(u=1.0)


def test_differences_are_paired_and_regret_is_what_the_best_would_add():
    found = decide.decisions(told([[0, 0, 0, 0], [1, 1, -1, 3], [2, 0, 0, 0]], [0, 12]), UTILITY)
    assert found["difference"].tolist() == [0.0, 1.0, 0.5]
    assert found["p_better"].tolist() == [0.0, 0.75, 0.25]
    assert found["p_best"].tolist() == pytest.approx([0.5 / 4, 2 / 4, 1.5 / 4])
    assert found["regret"].tolist() == pytest.approx([1.5, 0.5, 1.0])
    assert found["expected_best"].tolist() == [False, True, False]


def test_draws_that_one_option_cannot_solve_count_for_none():
    whole = told([[0, 0, 0], [1, 1, 900]], [0])
    okay = whole.okay.copy()
    okay[1, 0, 2] = False
    found = decide.decisions(dataclasses.replace(whole, okay=okay), UTILITY)
    assert found["num"].tolist() == [2, 2]
    assert found["difference"].tolist() == [0.0, 1.0]
    assert decide.failures(dataclasses.replace(whole, okay=okay))["failed"].tolist() == [1]


def test_a_window_closes_where_the_benefit_falls_below_its_share():
    """Benefits 8, 6, 2, 0 at 0, 12, 24, 36 h: half is left until 18 h; draw 2 has none, draw 3 all."""
    gains = np.array([[8, -1, 4], [6, -1, 4], [2, -1, 4], [0, -1, 4]], float)
    close = decide.closing(np.array([0.0, 12, 24, 36]), gains, 0.5)
    assert close[0] == pytest.approx(18.0)
    assert np.isnan(close[1])
    assert close[2] == 36.0
    found = decide.windows(told(np.vstack([np.zeros(3), gains]), [0, 12, 24, 36]), UTILITY).iloc[0]
    assert (found["benefits"], found["open_at_last"]) == (pytest.approx(2 / 3), 0.5)


@pytest.mark.parametrize("share", [0.0, 1.0, -2.0])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match=r"`window\.share` is"):
        decide.windows(told([[0.0], [1.0]], [0]), UTILITY, share)


def test_the_value_of_knowing_has_its_closed_form():
    r"""Two options worth $\theta \sim N(0, 1)$ and 0: knowing $\theta$ is worth $1/\sqrt{2\pi}$, a reading of it with noise
    $s$ is worth $1/\sqrt{1 + s^2}$ of that, and anything else nothing."""
    random = np.random.default_rng(1)
    theta, noise, other = random.standard_normal((3, 20_000))
    worth = np.stack([np.zeros_like(theta), theta - theta.mean()])
    whole = 1 / np.sqrt(2 * np.pi)
    assert information.perfect(worth) == pytest.approx(whole, abs=0.01)
    table = information.sensitivity(worth, {"theta": theta, "other": other}, 1).set_index("parameter")
    assert table.loc["theta", "value"] == pytest.approx(whole, abs=0.01)
    assert table.loc["other", "value"] < 0.01
    assert table.loc["theta", "correlation"] == pytest.approx(1.0)
    found = information.waiting(worth, theta + 2 * noise, np.array([True, True]))
    assert found["now"] == pytest.approx(whole / np.sqrt(5), abs=0.015)
    assert information.waiting(worth + np.array([[0], [1]]), theta, np.array([True, False]))["later"] == pytest.approx(-1.0)


@pytest.mark.parametrize("size", [40, 200])
def test_knowing_one_number_is_never_worth_more_than_knowing_all(size):
    random = np.random.default_rng(size)
    worth, x = random.standard_normal((6, size)), random.standard_normal(size)
    assert information.sensitivity(worth, {"x": x}, 1)["value"][0] <= information.perfect(worth)


def test_a_utility_of_what_is_not_asked_for_is_refused():
    with pytest.raises(ValueError, match="`utility` weighs `tears`, which is not among the outcomes: u"):
        Utility(tears=-1.0).check({"u": Peak("x")})
    with pytest.raises(ValueError, match="no weights"):
        Utility()
    with pytest.raises(ValueError, match=r"`utility\.u` is inf"):
        Utility(u=np.inf)


@pytest.fixture(scope="module")
def storm():
    """A viral infection in hosts whose gain is not known: the patient, and what is asked of every course."""
    cfg = composed("compare", ["solver.rtol=1e-5", "solver.atol=1e-7"])
    model, story, solver = world(cfg)
    (patient,) = expected(model, story, build(cfg.prior), solver, 60.0, 60, root(0))
    return patient, build(cfg.outcome), build(cfg.utility)


@pytest.fixture(scope="module")
def told_storm(storm):
    """Tocilizumab for it at three times, and where IL-6 exceeds 300 pg/mL; next to nothing of it at one."""
    patient, outcomes, _ = storm
    late = Clock("il6", "il6", 300.0)
    more = [Option("late", TCZ, 6.0, 1.0, late), Option("nothing", TCZ, 24.0, 1e-9, Clock(NOW))]
    choices = options({"a": TCZ}, {"a": [0.0, 24.0, 96.0]}, {"a": [1.0]}, {"a": Clock(NOW)}) + more
    return compare([patient], choices, outcomes, 672.0, 145, ["il6", "damage"])


def test_an_option_is_what_the_same_patient_does_under_it(storm, told_storm):
    """Against one solve of one draw, at the times that are kept."""
    patient, _, _ = storm
    draw = 17
    model = dataclasses.replace(patient.model, **{n: jnp.asarray(x[draw]) for n, x in patient.values.items()})
    doses = patient.scenario.doses + TCZ.doses(70.0).shifted(84.0)
    story = Scenario(doses, patient.scenario.initial)
    alone = simulate(model, story, told_storm.times[0], patient.solver)
    assert told_storm.options[2].start_h == 24.0
    np.testing.assert_allclose(told_storm.curves["il6"][2, 0, draw], alone.observe(model)["il6"], rtol=2e-3)


def test_options_share_the_past(told_storm):
    before = told_storm.times[0] <= 60.0
    il6 = told_storm.curves["il6"][:, 0][..., before]
    np.testing.assert_allclose(il6, np.broadcast_to(il6[0], il6.shape), rtol=1e-3)
    assert np.abs(told_storm.curves["il6"][1] / told_storm.curves["il6"][0] - 1).max() > 0.5


def test_a_clock_starts_where_the_untreated_cross_and_never_where_they_do_not(storm, told_storm):
    patient, _, _ = storm
    times = grid(patient, 672.0, 145)
    start, top = told_storm.start[4, 0], told_storm.curves["il6"][0, 0].max(axis=1)
    treated = np.isfinite(start)
    assert 0 < treated.sum() < len(start)
    assert np.all(np.isin(start[treated] - 6.0, times) | (start[treated] == 60.0))
    assert (start >= 60.0).all()
    assert (top[treated] > 300).all()
    np.testing.assert_allclose(told_storm.outcome[4, 0, ~treated], told_storm.outcome[0, 0, ~treated], rtol=1e-4, atol=1e-6)


def test_paired_differences_are_three_times_as_sure(storm, told_storm):
    _, _, utility = storm
    found = decide.decisions(told_storm, utility)
    late = found[(found["arm"] == "a") & (found["start_h"] == 96.0)].iloc[0]
    assert late["se_unpaired"] > 3 * late["se"]


def test_a_drug_without_effect_shows_none_though_the_treated_did_better(storm, told_storm):
    """Immortal time: who is to be treated some day must first get there without a storm, so that the ever treated look
    better even where the drug does nothing. Options are compared from one decision on, in the same draws."""
    patient, _, utility = storm
    k = told_storm.outcomes.index("damage_peak")
    damage = told_storm.outcome[0, 0, :, k]
    stormy = np.where(told_storm.start[4, 0] < np.inf, told_storm.start[4, 0] - 6.0, np.inf)
    assigned = np.random.default_rng(0).uniform(0, 96, len(damage))
    treated = stormy > assigned  # treatment in waiting ends with the storm
    assert damage[treated].mean() < 0.7 * damage[~treated].mean()
    found = decide.decisions(told_storm, utility)
    nothing = found[found["arm"] == "nothing"].iloc[0]
    assert abs(nothing["difference"]) < 1e-3
    assert patient.now == 60.0


def test_what_the_model_lacks_is_named(storm):
    patient, outcomes, _ = storm
    one = options({"a": TCZ}, {"a": [0.0]}, {"a": [1.0]}, {"a": Clock(NOW)})
    with pytest.raises(ValueError, match="outcome `tears` needs `tears`, which Network lacks; it has: pathogen"):
        compare([patient], one, outcomes | {"tears": Peak("tears")}, 672.0)
    with pytest.raises(ValueError, match="clock `tears` needs `tears`"):
        compare([patient], [*one, Option("b", TCZ, 0.0, 1.0, Clock("tears", "tears", 1.0))], outcomes, 672.0)
    with pytest.raises(ValueError, match="`curves` needs `tears`"):
        compare([patient], one, outcomes, 672.0, curves=["tears"])
    bare = Patient("p", Minimal(), Scenario(), {"gamma": np.ones(2)}, Solver(), 0.0)
    with pytest.raises(ValueError, match="Minimal takes no doses to `tocilizumab`"):
        compare([bare], one, {"peak": Peak("il6")}, 24.0)


@pytest.mark.parametrize(
    ("start", "clock", "message"),
    [
        (-12.0, Clock(NOW), "starts at 48 h, before the decision about 'prior' at 60 h"),
        (24.0, Clock("trigger"), "by the clock `trigger` starts at 24 h"),
        (900.0, Clock(NOW), "not before the end, 672 h; raise `until_h`"),
    ],
)
def test_treatment_in_the_past_or_after_the_end_is_refused(storm, start, clock, message):
    patient, outcomes, _ = storm
    with pytest.raises(ValueError, match=message):
        compare([patient], options({"a": TCZ}, {"a": [start]}, {"a": [1.0]}, {"a": clock}), outcomes, 672.0, 145)


def test_a_comparison_that_ends_before_it_begins_is_refused(storm):
    patient, outcomes, _ = storm
    with pytest.raises(ValueError, match="ends at 24 h, not after the decision about 'prior' at 60 h"):
        compare([patient], options({"a": TCZ}, {"a": [0.0]}, {"a": [1.0]}, {"a": Clock(NOW)}), outcomes, 24.0)


def exposure(center):
    """The amount of tocilizumab in the body in a window of time."""

    class Exposure(Peak):
        def __call__(self, course, untreated):
            return jnp.trapezoid(course[self.of] * jnp.exp(-(((course.times - center) / 24) ** 2)), course.times)

    return Exposure("tocilizumab")


@pytest.fixture(scope="module")
def few(storm):
    patient, _, _ = storm
    return dataclasses.replace(patient, values={n: x[:2] for n, x in patient.values.items()}, now=0.0)


@pytest.mark.slow
def test_the_best_start_by_gradient_is_that_of_a_fine_grid(few):
    """Exposure around an hour: the drug must come before it, by how much is seen on a grid of half hours."""
    outcomes, utility = {"exposure": exposure(150.0)}, Utility(exposure=1.0)
    arm = Option("a", TCZ, 60.0, 1.0, Clock(NOW))
    found = optimum(few, arm, outcomes, utility, 400.0, 401, 2, (1.0, 1.0))
    fine = np.arange(110.0, 150.0, 0.5)
    near = compare(
        [few], options({"a": TCZ}, {"a": fine.tolist()}, {"a": [1.0]}, {"a": Clock(NOW)}), outcomes, 400.0, 401, []
    )
    best = fine[near.outcome[1:, 0].mean(axis=(1, 2)).argmax()]
    assert abs(found.start_h - best) < 1.0
    assert found.okay
    assert abs(found.slope_start) < 1e-3 * abs(found.utility)


@pytest.mark.slow
def test_the_best_dose_by_gradient_balances_what_it_brings_and_costs(few):
    """Exposure less a cost of the square of the dose, which is set so that the best dose is about 1.5 times the usual."""
    gain = exposure(150.0)

    class Net(Peak):
        def __call__(self, course, untreated):
            return gain(course, untreated) - 1.6e-2 * course.given.get("tocilizumab", 0.0) ** 2

    outcomes, utility = {"net": Net("tocilizumab")}, Utility(net=1.0)
    found = optimum(few, Option("a", TCZ, 100.0, 1.0, Clock(NOW)), outcomes, utility, 400.0, 401, 2, (0.2, 5.0))
    fine = np.linspace(0.5, 2.5, 41)
    many = options({"a": TCZ}, {"a": [found.start_h]}, {"a": fine.tolist()}, {"a": Clock(NOW)})
    near = compare([few], many, outcomes, 400.0, 401, [])
    best = fine[near.outcome[1:, 0].mean(axis=(1, 2)).argmax()]
    assert 0.5 < best < 2.5
    assert found.dose == pytest.approx(best, abs=0.05)


@pytest.mark.parametrize(("clock", "begin"), [(NOW, 72.0), ("trigger", 72.0), ("il6", 62.0)])
def test_the_climb_begins_where_the_option_starts(few, monkeypatch, clock, begin):
    """Whatever its clock; here 12 h after a decision at 60 h, 72 h after the trigger, or 2 h after a level was reached."""
    found = {}

    def minimize(look, x, **_):
        found["start"] = x[0]
        raise InterruptedError

    monkeypatch.setattr(optimum_module, "minimize", minimize)
    late, of = dataclasses.replace(few, now=60.0), {"il6": Clock("il6", "il6", 300.0)}
    start = {NOW: 12.0, "trigger": 72.0, "il6": 2.0}[clock]
    arm = Option("a", TCZ, start, 1.0, of.get(clock, Clock(clock)))
    with pytest.raises(InterruptedError):
        optimum(late, arm, {"u": Peak("il6")}, Utility(u=-1.0), 260.0, 11, 2, (1.0, 1.0))
    assert 60 + 200 * found["start"] == pytest.approx(begin)


def test_what_has_no_slope_is_not_climbed(few):
    with pytest.raises(ValueError, match=r"`utility.escape` weighs an outcome that is yes or no"):
        optimum(
            few,
            Option("a", TCZ, 0.0, 1.0, Clock(NOW)),
            {"escape": Escape("burden")},
            Utility(escape=-1.0),
            99.0,
            9,
            2,
            (1, 1),
        )
    with pytest.raises(ValueError, match="`dose` lies between 2 and 1 times"):
        optimum(few, Option("a", TCZ, 0.0, 1.0, Clock(NOW)), {"u": Peak("il6")}, Utility(u=-1.0), 99.0, 9, 2, (2, 1))


def test_every_read_out_has_a_unit():
    known = units(Network())
    assert all(known[name] for name in ("il6", "burden", "grade", "damage", "temperature", "tocilizumab"))
    assert NUM_PAST % 2 == 0
    assert "k_fb" in quantities(Network())
    assert (ROOT / "configs" / "outcome" / "storm.yaml").is_file()


@pytest.fixture(scope="module")
def cohort():
    """Two patients of a population, and the tree of a fit of it that was written by hand: the second has twice the gain."""
    cfg = composed("compare", ["solver.rtol=1e-4", "solver.atol=1e-6"])
    model, story, solver = world(cfg)
    data = [Synthetic((0.0, 24.0, last), ("il6",), seed=i).draw(model, story, solver) for i, last in enumerate((48.0, 60.0))]
    rows = [dataclasses.replace(d, subject=(label,) * 3) for d, label in zip(data, "ab", strict=True)]
    subjects = tuple(Subject(label, "", d, covariates={"weight": 80.0}) for label, d in zip("ab", rows, strict=True))
    priors = Priors(k_fb={"median": 2.0, "fold": 3}, p_il6={"median": 16610.0, "fold": 2})
    effects = Variability(effects={"k_fb": {"omega": {"median": 0.3, "fold": 3}}})
    problem = Population({"*": Arm(model, story)}, Cohort(subjects), priors, effects, solver=solver)
    random, shape = np.random.default_rng(0), (1, 30)
    gain = 2 * np.exp(0.1 * random.standard_normal(shape))
    posterior = xr.Dataset(
        {
            "k_fb": (("chain", "draw"), gain),
            "p_il6": (("chain", "draw"), np.full(shape, 17_000.0)),
            "sigma_il6": (("chain", "draw"), np.full(shape, 0.2)),
            "omega": (("chain", "draw", "effect"), np.full((*shape, 1), 0.3)),
            "subject_k_fb": (("chain", "draw", "subject"), np.stack([gain, 2 * gain], axis=-1)),
        },
        coords={"effect": ["k_fb"], "subject": ["a", "b"]},
    )
    return problem, xr.DataTree.from_dict({"posterior": posterior})


def test_members_of_a_population_are_who_the_fit_says(cohort):
    people = members(*cohort, None, None, root(0))
    assert [p.label for p in people] == ["a", "b"]
    assert [p.now for p in people] == [48.0, 60.0]
    np.testing.assert_allclose(people[1].values["k_fb"], 2 * people[0].values["k_fb"])
    np.testing.assert_allclose(people[0].values["p_il6"], 17_000.0, rtol=1e-6)
    assert people[0].weight == 80.0
    assert [p.label for p in members(*cohort, 10, 72.0, root(0), ["b"])] == ["b"]
    with pytest.raises(ValueError, match="before the last reading of 'b', 60 h"):
        members(*cohort, None, 50.0, root(0))
    with pytest.raises(ValueError, match="no subject 'c'"):
        members(*cohort, None, None, root(0), ["c"])


def test_newcomers_differ_as_the_population_does(cohort):
    people = newcomers(*cohort, None, 0.0, root(0))
    ratio = np.log(people[0].values["k_fb"] / people[1].values["k_fb"])
    assert 0.2 < ratio.std() < 0.8  # SD 0.3 times the root of 2
    assert people[0].now == 0.0


def test_a_group_is_told_together_and_one_by_one(cohort):
    """Each patient decides after its own last reading; doses follow body weight."""
    people = members(*cohort, 20, None, root(0))
    choices = options({"a": TCZ}, {"a": [0.0, 24.0]}, {"a": [1.0]}, {"a": Clock(NOW)})
    found = compare(people, choices, {"u": Peak("damage"), "given": Given()}, 400.0, 97, ["il6"])
    table = decide.decisions(found, Utility(u=-1.0))
    assert table["patient"].tolist() == ["all"] * 3 + ["a"] * 3 + ["b"] * 3
    assert found.start[1, :, 0].tolist() == [48.0, 60.0]
    np.testing.assert_allclose(found.outcome[1, :, :, 1], 640.0)
    each = table.set_index(["patient", "start_h"])["utility"]
    assert each["all", 0.0] == pytest.approx((each["a", 0.0] + each["b", 0.0]) / 2)
