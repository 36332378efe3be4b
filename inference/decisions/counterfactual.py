"""The same patients under every option: paired by draws, sharing the past, and what becomes of them in numbers."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from cytostorm.models import (
    Doses,
    Model,
    Network,
    Plan,
    Scenario,
    Solver,
    constant,
    filled,
    no_doses,
    plan,
    reach,
    replace,
    solve,
)
from cytostorm.models.readout import UNITS, readouts

from ..arguments import by_blocks, jitted
from ..samplers import thinned
from ..site import Values
from .options import Option
from .outcomes import Course, Outcome
from .patients import Patient

BATCH = 250  # draws that are solved side by side
NUM_PAST = 48  # times before the decision
NUM_CURVES, NUM_POINTS = 200, 169  # draws, and times after the decision, of the curves that are kept
BURDEN = "burden"  # what the immune system is there to clear: pathogen and antigen

type Report = Callable[[int, int], None]


class Told(eqx.Module):
    """Of draws of one patient under one option: success, outcomes, and read-outs over time."""

    okay: Bool[Array, "*draw"]
    outcome: Float[Array, "*draw outcome"]
    read: dict[str, Float[Array, "*draw time"]]


class Comparison(eqx.Module):
    """Outcomes of every patient and draw under every option.

    Where `okay` is false a solve failed, and the outcome has no meaning; the first option is no treatment. `start` is when
    treatment starts [h], infinite where it never does. `curves` are read-outs of a thinned set of draws (`draw`) over
    `times`; until a patient's decision, at `now`, they are the same under every option.
    """

    options: tuple[Option, ...]
    patients: tuple[str, ...] = eqx.field(static=True)
    outcomes: tuple[str, ...] = eqx.field(static=True)
    units: tuple[str, ...] = eqx.field(static=True)
    now: Float[np.ndarray, " patient"]
    start: Float[np.ndarray, "option patient draw"]
    okay: Bool[np.ndarray, "option patient draw"]
    outcome: Float[np.ndarray, "option patient draw outcome"]
    times: Float[np.ndarray, "patient time"]
    draw: Int[np.ndarray, " kept"]
    curves: dict[str, Float[np.ndarray, "option patient kept time"]]

    @property
    def whole(self) -> Bool[np.ndarray, "patient draw"]:
        """Which draws of which patients could be solved under every option: only these are compared."""
        return self.okay.all(axis=0)


class Ward(eqx.Module):
    """A model and what is asked of it: what a program is compiled for."""

    model: Model
    solver: Solver
    outcomes: tuple[Outcome, ...] = eqx.field(static=True)
    needed: tuple[str, ...] = eqx.field(static=True)  # read-outs
    own: int = eqx.field(static=True)  # doses that are not of the treatment

    def tell(self, values: Values, prepared: Plan, untreated: dict[str, Array] | None) -> Told:
        """One draw under one option; `untreated` are the read-outs of the same draw without treatment."""
        model = replace(self.model, values)
        found, doses = solve(model, prepared, self.solver), prepared.scenario.doses
        read = reads(model, found.times, found.states, doses)
        course = course_of(read, found.times, doses.only([i >= self.own for i in range(len(doses))]))
        other = course if untreated is None else Course(course.times, late(untreated), {}, jnp.asarray(-jnp.inf))
        numbers = jnp.stack([outcome(course, other) for outcome in self.outcomes])
        okay = found.okay & jnp.all(jnp.isfinite(numbers))
        return Told(okay, jnp.where(okay, numbers, 0.0), {name: read[name] for name in self.needed})

    def side_by_side(self, values: Values, prepared: Plan, untreated: Any, apart: bool) -> Told:
        """All draws; the plan is one for all, or each has its own."""
        return jax.vmap(self.tell, (0, 0 if apart else None, 0))(values, prepared, untreated)


def compare(
    patients: Sequence[Patient],
    choices: Sequence[Option],
    outcomes: Mapping[str, Outcome],
    until: float,
    num_times: int = 505,
    curves: Sequence[str] = ("il6",),
    report: Report = lambda done, total: None,
) -> Comparison:
    """Solve every draw of every patient under every option until `until` [h].

    Outcomes count from a patient's decision on, at `num_times` times.

    Raises `ValueError` for an outcome, a clock or a curve that needs what the model lacks, for a start before the decision,
    and for a start or a decision that does not come before the end.
    """
    check(patients, choices, outcomes, until, curves)
    clocks = [o.clock.of for o in choices if o.clock.of]
    needed = tuple(sorted({o.of for o in outcomes.values() if o.of} | set(clocks) | set(curves)))
    points = NUM_PAST + thinned(num_times, NUM_POINTS)
    points = np.concatenate([np.arange(0, NUM_PAST, 2), points])
    kept = thinned(patients[0].num, NUM_CURVES)
    programs, parts = Programs(outcomes, needed), []
    for patient in patients:
        times, rows = grid(patient, until, num_times), []
        free: dict[str, Any] = {}
        for option in choices:
            start = option.start(patient.now, times, free, patient.num)
            told = programs.run(patient, option, start, times, free or None)
            free = free or told.read
            rows.append((start, told.okay, told.outcome, {n: told.read[n][np.ix_(kept, points)] for n in curves}))
            report(len(parts) * len(choices) + len(rows), len(patients) * len(choices))
        parts.append((times[points], rows))
    start, okay, outcome = (np.stack([[row[k] for row in rows] for _, rows in parts], axis=1) for k in range(3))
    known = units(patients[0].model)
    return Comparison(
        tuple(choices),
        tuple(p.label for p in patients),
        tuple(outcomes),
        tuple(o.unit(known) for o in outcomes.values()),
        np.array([p.now for p in patients]),
        start,
        okay,
        outcome,
        np.stack([times for times, _ in parts]),
        kept,
        {name: np.stack([[row[3][name] for row in rows] for _, rows in parts], axis=1) for name in curves},
    )


def grid(patient: Patient, until: float, num: int) -> Float[np.ndarray, " time"]:
    """`NUM_PAST` times from the patient's start to the decision, and `num` from there on [h]."""
    past = np.linspace(patient.scenario.start, patient.now, NUM_PAST, endpoint=False)
    return np.concatenate([past, np.linspace(patient.now, until, num)])


class Programs:
    """Compiled programs, each for all patients of a model and all options that give the same drugs in the same order."""

    def __init__(self, outcomes: Mapping[str, Outcome], needed: tuple[str, ...]):
        self._outcomes, self._needed, self._known = tuple(outcomes.values()), needed, {}

    def run(
        self, patient: Patient, option: Option, start: np.ndarray, times: np.ndarray, untreated: dict[str, np.ndarray] | None
    ) -> Told:
        """All draws of a patient where treatment starts at `start` [h], for each draw."""
        story, end = patient.scenario, float(times[-1])
        first = under(patient, option, story.start)
        kind = (id(patient.model), first.doses.target, first.doses.infused, len(story.doses), tuple(story.initial))
        if kind not in self._known:
            middle = replace(patient.model, {n: constant(np.median(x)) for n, x in patient.values.items()})
            ward = Ward(patient.model, patient.solver, self._outcomes, self._needed, len(story.doses))
            apart = {x: jitted(partial(Ward.side_by_side, apart=x), ward) for x in (True, False)}
            self._known[kind] = (reach(middle, first, end).moving, apart)
        moving, program = self._known[kind]

        def prepared(start: float) -> Plan:
            story = under(patient, option, min(start, end + 1))  # never: after the end
            found = filled(plan(patient.model, story, times, moving), len(times), moving=True)
            return dataclasses.replace(found, moving=found.schedule)  # nothing moves

        same = bool(np.all(start == start[0]))
        every = prepared(float(start[0])) if same else _stacked([prepared(float(s)) for s in start])

        def block(index: np.ndarray) -> Any:
            pick = partial(jax.tree.map, lambda x: np.asarray(x)[index])
            return program[not same](pick(patient.values), every if same else pick(every), pick(untreated))

        return by_blocks(block, len(start), min(BATCH, len(start)))


def under(patient: Patient, option: Option, start: float) -> Scenario:
    """What happens to a patient where the treatment of an option starts at `start` [h]."""
    story = patient.scenario
    more = no_doses() if option.treatment is None else option.doses(patient.weight, start)
    return Scenario(story.doses + more, story.initial, story.start)


def _stacked(plans: Sequence[Plan]) -> Plan:
    return jax.tree.map(lambda *x: np.stack([np.asarray(y) for y in x]), *plans)


def late(read: dict[str, Array]) -> dict[str, Array]:
    """Read-outs from the decision on."""
    return {name: x[NUM_PAST:] for name, x in read.items()}


def reads(
    model: Model, times: Float[Array, " time"], states: Float[Array, "time state"], doses: Doses
) -> dict[str, Float[Array, " time"]]:
    """All that can be said of a model over time, by name: states, analytes, read-outs of the clinic, and the burden."""
    found = {state.name: states[:, i] for i, state in enumerate(model.states)}
    found |= jax.vmap(model.observe)(states)
    if isinstance(model, Network):
        found |= readouts(model, times, states, doses)
        found[BURDEN] = found["pathogen"] + found["antigen"]
    return found


def units(model: Model) -> dict[str, str]:
    """The units of what `reads` returns."""
    found = {state.name: state.unit for state in model.states} | dict(model.analytes)
    return found | UNITS | {BURDEN: "relative"} if isinstance(model, Network) else found


def course_of(read: dict[str, Array], times: Array, treatment: Doses) -> Course:
    """The course of a patient from the decision on; doses after the end are not given."""
    drugs = [name.split("_")[0] for name in treatment.target]
    inside = treatment.time <= times[-1]
    amount = jnp.where(inside, treatment.amount, 0.0)
    until = jnp.max(jnp.where(inside, treatment.time + treatment.duration, -jnp.inf), initial=-jnp.inf)
    given = {drug: jnp.sum(amount[np.array([d == drug for d in drugs])]) for drug in dict.fromkeys(drugs)}
    return Course(times[NUM_PAST:], late(read), given, until)


def check(
    patients: Sequence[Patient],
    choices: Sequence[Option],
    outcomes: Mapping[str, Outcome],
    until: float,
    curves: Sequence[str] = (),
) -> None:
    """Raise what `compare` raises, before anything is solved."""
    for patient in patients:
        known = units(patient.model)
        wanted = [(f"outcome `{name}`", o.of) for name, o in outcomes.items()]
        wanted += [(f"clock `{o.clock.name}`", o.clock.of) for o in choices] + [("`curves`", name) for name in curves]
        for what, of in wanted:
            if of is not None and of not in known:
                raise ValueError(
                    f"{what} needs `{of}`, which {type(patient.model).__name__} lacks; it has: {', '.join(known)}"
                )
        if not until > patient.now:
            raise ValueError(
                f"the comparison ends at {until:g} h, not after the decision about {patient.label!r} at {patient.now:g} h;"
                " raise `until_h`"
            )
        for option in choices:
            under(patient, option, patient.now).check(patient.model)
            if option.treatment is not None and option.clock.of is None:
                _in_time(option, patient, until)


def _in_time(option: Option, patient: Patient, until: float) -> None:
    """By a clock that all draws share, treatment starts after the decision and before the end."""
    start = float(option.start(patient.now, np.zeros(0), {}, 1)[0])
    by = f"{option.label} by the clock `{option.clock.name}`"
    if start < patient.now - 1e-9:
        raise ValueError(
            f"{by} starts at {start:g} h, before the decision about {patient.label!r} at {patient.now:g} h: it is past;"
            " start later, use clock=now, or ask what would have been with rewrite_past=true"
        )
    if start >= until:
        raise ValueError(f"{by} starts at {start:g} h, not before the end, {until:g} h; raise `until_h`")
