"""Cohorts that are written as records, or as a tidy table, are read again."""

from pathlib import Path
from tempfile import TemporaryDirectory

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from catalogue import readings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cytostorm.inference import Cohort, Subject, bundled, read_cohort, read_records, record_table, write_records
from cytostorm.inference.observations import COLUMNS, observations
from cytostorm.models import Doses, after

CLOCK = st.integers(-40, 400).map(lambda k: k / 4)
SIZE = st.floats(1e-3, 1e6)


@st.composite
def plans(draw, start=None):
    """Doses (time, target, amount, duration), readings (time, analyte, value, cens, bound), weight, turns of a covariate."""
    clock = CLOCK if start is None else CLOCK.map(lambda t: abs(t) + start)
    dose = st.tuples(clock, st.sampled_from(["amount", "dexamethasone"]), SIZE, st.sampled_from([0.0, 0.0, 0.5, 3.0]))
    doses = sorted(draw(st.lists(dose, max_size=4)), key=lambda dose: dose[0])
    times = st.one_of(clock, st.sampled_from([after(t) for t, *_ in doses])) if doses else clock
    when = draw(st.lists(st.tuples(times, st.sampled_from(["il6", "crp"])), unique=True, min_size=1, max_size=6))
    kind = st.sampled_from(
        [("none", np.nan), ("none", np.nan), ("left", np.nan), ("left", 0.5), ("right", np.nan), ("right", 2.0)]
    )
    readings = [(t, a, v := draw(SIZE), *(c, v * far)) for t, a in when for c, far in [draw(kind)]]
    turns = sorted(draw(st.sets(st.integers(0, 400), min_size=2, max_size=4)))
    begin = min([0.0, *(t for t, *_ in readings), *(t for t, *_ in doses)]) if start is None else start
    return doses, readings, draw(SIZE), [turn / 4 + begin for turn in turns], begin


def built(label, person, plan):
    """The subject of a plan."""
    doses, readings, weight, turns, begin = plan
    frame = pd.DataFrame(readings, columns=["time_h", "analyte", "value", "cens", "bound"])
    frame = frame.assign(limit=frame["value"], subject=label, unit="", sd=np.nan, n=np.nan, statistic="individual")
    columns = [jnp.asarray(np.array([dose[i] for dose in doses], float)) for i in (0, 2, 3)]
    schedule = Doses(tuple(dose[1] for dose in doses), tuple(dose[3] > 0 for dose in doses), *columns)
    moving = {"ALB": (np.array(turns), np.arange(len(turns)) + weight)}
    return Subject(label, "X", observations(frame[list(COLUMNS)]), schedule, {"WT": weight}, moving, "drug", person, begin)


# One to three persons, each with one story or two.
PERSONS = st.lists(st.tuples(plans(), st.none() | CLOCK.flatmap(plans)), min_size=1, max_size=3)


def cohort_of(persons):
    """The cohort of planned persons."""
    found = []
    for person, (first, second) in zip(("7", "B b", "c,d"), persons, strict=False):
        found += [built(person, person, first)] + ([built(f"{person}#2", person, second)] if second else [])
    return Cohort(tuple(found))


def same(one, other, dosed=True):
    """Whether two cohorts tell the same: readings and doses, and covariates wherever something happens."""
    assert (one.labels, one.studies) == (other.labels, other.studies)
    for a, b in zip(one, other, strict=True):
        assert (a.arm, a.data.analyte, a.data.labels) == (b.arm, b.data.analyte, b.data.labels)
        assert (a.data.bound is None) == (b.data.bound is None)
        for name in ("time", "value", "cens", "limit", *(["bound"] if a.data.bound is not None else [])):
            np.testing.assert_array_equal(getattr(a.data, name), getattr(b.data, name))
        events = a.data.time
        if dosed:
            assert (a.start, a.person, a.doses.target, a.doses.infused) == (
                b.start,
                b.person,
                b.doses.target,
                b.doses.infused,
            )
            for name in ("time", "amount", "duration"):
                np.testing.assert_allclose(getattr(a.doses, name), getattr(b.doses, name), rtol=1e-14)
            events = np.concatenate([events, np.asarray(a.doses.time), a.changing["ALB"][0]])
        for name in ("WT", "ALB"):
            np.testing.assert_array_equal(a.covariate(name, events), b.covariate(name, events))


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(persons=PERSONS)
def test_records_that_are_written_are_read_again(persons):
    cohort = cohort_of(persons)
    with TemporaryDirectory() as folder:
        write_records(cohort, Path(folder) / "a.csv")
        same(cohort, read_records(Path(folder) / "a.csv"))


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(persons=PERSONS)
def test_a_tidy_table_that_is_written_is_read_again(persons):
    cohort = cohort_of(persons)
    with TemporaryDirectory() as folder:
        cohort.table().to_csv(Path(folder) / "a.csv", index=False)
        same(cohort, read_cohort(Path(folder) / "a.csv"), dosed=False)


def test_published_patients_survive_as_records(shared, tmp_path):
    frame = pd.read_csv(shared / "data" / "cart_crs_individual.csv").rename(columns={"lloq_or_uloq": "limit"})
    frame["statistic"] = "individual"
    frame.to_csv(tmp_path / "tidy.csv", index=False)
    cohort = read_cohort(tmp_path / "tidy.csv")
    write_records(cohort, tmp_path / "records.csv")
    again = read_records(tmp_path / "records.csv")
    assert again.labels == cohort.labels
    assert sum(len(s.data) for s in again) == len(frame)
    for one, other in zip(cohort, again, strict=True):
        assert one.data.labels == other.data.labels
        np.testing.assert_array_equal(one.data.value, other.data.value)
        np.testing.assert_array_equal(one.data.cens, other.data.cens)


def test_what_is_no_record_is_refused():
    group = bundled("endotoxemia_infusion", subjects=["group_mean"])
    with pytest.raises(ValueError, match="subject 'group_mean' is the summary of a group; only readings of one subject are"):
        record_table(Cohort((Subject("group_mean", "", group),)))
    with pytest.raises(ValueError, match="subject 'S1' has a reading at 1 h, before its `start`, 2 h"):
        Subject("S1", "", readings([1.0], [1.0]), start=2.0)
    with pytest.raises(ValueError, match="subject 'S2' has readings of 'S1'; give each subject its own"):
        Subject("S2", "", readings([1.0], [1.0]))
    with pytest.raises(ValueError, match="2 subjects are called 'S1'; give each a label of its own"):
        Cohort((Subject("S1", "", readings([1.0], [1.0])),) * 2)
    with pytest.raises(ValueError, match="subject 'S1' has no covariate `WT`; it has: none"):
        Subject("S1", "", readings([1.0], [1.0])).covariate("WT", np.zeros(1))
