"""Dosing records: what rows, codes and their order mean, against closed forms; what is refused, and how it is told."""

import numpy as np
import pytest
from catalogue import Elimination

from cytostorm.inference import read_cohort, read_records, understand_cohort, understand_records
from cytostorm.models import Scenario, Solver, after, simulate

HEADER = "ID,TIME,EVID,CMT,AMT,RATE,II,ADDL,SS,DV,DVID,MDV,CENS,LIMIT\n"
K = 0.3  # the elimination rate of the toy [1/h]


@pytest.fixture
def table(tmp_path):
    def write(rows, header=HEADER, name="records.csv"):
        path = tmp_path / name
        path.write_text(header + "".join(f"{row}\n" for row in rows))
        return path

    return write


def dose(time, amount, rate=".", ii=".", addl=".", ss=".", evid=1, who=1):
    """The row of a dose to the one state of the toy."""
    return f"{who},{time},{evid},amount,{amount},{rate},{ii},{addl},{ss},.,.,1,.,."


def reading(time, value=1, analyte="crp", cens=".", limit=".", who=1):
    """The row of a reading."""
    return f"{who},{time},0,.,.,.,.,.,.,{value},{analyte},0,{cens},{limit}"


def predicted(subject, method="march"):
    """What the toy reads at the times of a subject's readings, by a solver."""
    solver = Solver(method, rtol=1e-9, atol=1e-11, max_steps=100_000)
    trajectory = simulate(Elimination(), Scenario(subject.doses, start=subject.start), subject.data.time, solver)
    assert trajectory.okay
    return np.asarray(trajectory.states[:, 0])


def left(age, amount, duration=0.0):
    """What is left of a dose at an age, in closed form."""
    if duration == 0:
        return amount * np.exp(-K * age) * (age >= 0)
    runs = np.minimum(age, duration)
    return (age > 0) * amount / duration / K * (1 - np.exp(-K * runs)) * np.exp(-K * (age - runs))


def test_the_records_of_a_patient_are_understood(table):
    rows = [
        "1,0,0,IL6,.,.,.,.,.,1.5,IL6,0,1,0,70",
        "1,24,1,DEX,6,0,24,9,0,.,.,1,.,.,70",
        "1,48,1,TCZ,560,560,12,1,0,.,.,1,.,.,70",
        "1,60,0,IL6,.,.,.,.,.,5000,IL6,0,-1,1e7,70",
        "1,72,0,CRP,.,.,.,.,.,143,CRP,0,0,.,70",
    ]
    cohort = read_records(table(rows, HEADER.strip() + ",WT\n"), cmt={"DEX": "dexamethasone", "TCZ": "tocilizumab"})
    (subject,) = cohort
    assert subject.covariates == {"WT": 70}
    np.testing.assert_array_equal(subject.data.cens, [-1, 1, 0])
    np.testing.assert_array_equal(subject.data.value, [1.5, 5000, 143])
    np.testing.assert_array_equal(subject.data.bound, [0, 1e7, 0])
    np.testing.assert_array_equal(subject.doses.to("dexamethasone").time, 24.0 * np.arange(1, 11))
    np.testing.assert_array_equal(subject.doses.to("tocilizumab").time, [48, 60])
    np.testing.assert_array_equal(subject.doses.to("tocilizumab").duration, 1)


@pytest.mark.parametrize("method", ["native", "march", "tsit5"])
def test_the_order_of_rows_says_whether_a_reading_comes_before_a_dose(table, method):
    rows = [reading(0), dose(0, 8), reading(0), reading(5), dose(5, 2), reading(5), dose(5, 4), reading(5)]
    (subject,) = read_records(table(rows))
    before = 8 * np.exp(-5 * K)
    np.testing.assert_allclose(predicted(subject, method), [0, 8, before, before + 2, before + 6], rtol=1e-7, atol=1e-12)
    assert subject.data.labels == ["1|crp|0", "1|crp|0+", "1|crp|5", "1|crp|5+", "1|crp|5++"]


def test_a_moment_after_is_lost_in_no_rounding():
    for time in (0.0, 1e-3, 1.0, 24.3, 8760.0, -5.5):
        assert time < after(time) < after(after(time)) < time + 1e-7


def test_additional_doses_are_those_of_rows_of_their_own(table):
    times = [2, 9, 13]
    (one,) = read_records(table([dose(1, 6, rate=3, ii=4.1, addl=2), *map(reading, times)]))
    (each,) = read_records(table([*(dose(t, 6, rate=3) for t in (1, 5.1, 9.2)), reading(13)]))
    np.testing.assert_allclose(one.doses.time, each.doses.time)
    np.testing.assert_allclose(one.doses.duration, 2)
    closed = sum(left(np.array(times) - t, 6, 2) for t in (1, 5.1, 9.2))
    np.testing.assert_allclose(predicted(one), closed, rtol=1e-6)


def test_an_additional_dose_at_the_time_of_a_reading_is_given_after_it_and_this_is_told(table):
    path = table([dose(0, 5, ii=8.1, addl=4), reading(24.3)])
    found = understand_records(path)
    assert 3 * 8.1 != 24.3
    assert 24.3 in np.asarray(found.cohort["1"].doses.time)
    np.testing.assert_allclose(predicted(found.cohort["1"]), left(24.3 - 8.1 * np.arange(3), 5).sum(), rtol=1e-6)
    assert found.remarks == ["subject 1: read before the additional dose of the same time: line 3"]


def test_simultaneous_doses_add(table):
    (subject,) = read_records(table([dose(1, 3), dose(1, 4), dose(1, 5, rate=5), reading(4)]))
    np.testing.assert_allclose(predicted(subject), left(3, 7) + left(3, 5, 1), rtol=1e-6)


@pytest.mark.parametrize(("rate", "duration"), [(".", 0.0), (4, 1.5)])
def test_steady_state_is_the_limit_of_many_doses(table, rate, duration):
    (subject,) = read_records(table([dose(3, 6, rate=rate, ii=5, ss=1), reading(3), reading(7)]))
    ages = np.array([[after(0.0)], [4.0]]) + 5 * np.arange(60)
    np.testing.assert_allclose(predicted(subject), left(ages, 6, duration).sum(axis=1), rtol=1e-6)
    assert subject.start == 3 - 20 * 5


def test_steady_state_on_top_adds_to_what_is_there(table):
    (both,) = read_records(table([dose(0, 9), dose(1, 6, ii=5, ss=2), reading(4)]))
    np.testing.assert_allclose(predicted(both), left(4, 9) + left(3 + 5 * np.arange(60), 6).sum(), rtol=1e-6)


def test_fewer_steady_doses_by_config(table):
    (subject,) = read_records(table([dose(3, 6, ii=5, ss=1, addl=2), reading(7)]), steady=3)
    np.testing.assert_allclose(subject.doses.time, [-12, -7, -2, 3, 8, 13])


def test_a_reset_begins_a_story_of_its_own(table):
    rows = [dose(0, 5), reading(2), dose(0, 7, evid=4), reading(3), "1,9,3,.,.,.,.,.,.,.,.,1,.,.", reading(9), dose(10, 1)]
    cohort = read_records(table(rows))
    assert cohort.labels == ["1", "1#2", "1#3"]
    assert cohort.persons == ["1", "1", "1"]
    assert [s.start for s in cohort] == [0, 0, 9]
    np.testing.assert_allclose([predicted(s)[0] for s in cohort], [left(2, 5), left(3, 7), 0], rtol=1e-6, atol=1e-9)


def test_a_reset_as_first_row_begins_the_only_story(table):
    assert read_records(table([dose(0, 5, evid=4), reading(2)])).labels == ["1"]


def test_events_follow_from_amounts_where_no_column_tells(table):
    path = table(["7,0,5,.,70", "7,1,.,2.5,.", "7,2,.,.,65", "8,0,.,4,50"], "ID,TIME,AMT,DV,WT\n")
    with pytest.raises(ValueError, match=r"line 4, column `DV`: '\.' is blank; give the reading"):
        read_records(path, cmt={1: "amount"}, dvid={1: "crp"})
    path = table(["7,0,5,.,70,1", "7,1,.,2.5,.,0", "7,2,.,.,65,1", "8,0,.,4,50,0"], "ID,TIME,AMT,DV,WT,MDV\n")
    found = understand_records(path, cmt={1: "amount"}, dvid={1: "crp"})
    assert found.rows == {"reading": 2, "dose": 1, "reset": 0, "other": 1, "left out": 0}
    np.testing.assert_array_equal(found.cohort["7"].covariate("WT", np.array([0, 1.9, 2, 9])), [70, 70, 65, 65])
    assert found.cohort["8"].covariates == {"WT": 50}


def test_columns_codes_units_and_times_are_mapped(table):
    path = table([])
    path.write_text("subj;DAYS;y;code;amt;rate;wt\nA;0.5;.;2;10;20;3\nA;1;0.2;1;.;.;3\nA;2;7;9;.;.;3\n")
    options = {"columns": {"id": "SUBJ", "time": "DAYS", "dv": "y", "dvid": "code", "cmt": "code"}, "separator": ";"}
    codes = {"dvid": {1: "IL-6", 9: None}, "cmt": {"2": "tocilizumab"}, "units": {"il6": "ng/mL"}}
    found = understand_records(path, **options, **codes, time_unit="day", amounts={"tocilizumab": 0.5})
    (subject,) = found.cohort
    np.testing.assert_allclose((subject.data.time, subject.data.value), ([24.0], [200.0]))
    np.testing.assert_allclose((subject.doses.time, subject.doses.amount, subject.doses.duration), ([12], [5], [12]))
    assert found.rows["left out"] == 1
    assert "left out: line 4: code 9 stands for no analyte (`dvid`)" in found.lines()


def test_a_faulty_reading_may_be_left_out_by_name(table):
    rows = [reading(0, 2), reading(1, 0), reading(2, "x"), reading(3, 4)]
    with pytest.raises(ValueError, match=r"line 3, column `DV`: '0' has no logarithm;.*\(1 more faulty row: line 4\)"):
        read_records(table(rows))
    found = understand_records(table(rows), reject=True)
    np.testing.assert_array_equal(found.cohort["1"].data.value, [2, 4])
    assert found.lines()[-2:] == [
        "left out: line 3: DV '0' has no logarithm",
        "left out: line 4: DV 'x' is not a finite number",
    ]


def test_rows_that_are_left_out_keep_their_covariates(table):
    rows = [reading(0, 2, "il6") + ",80", reading(1, 3) + ",.", reading(1, 3, who=2) + ",60"]
    found = understand_records(table(rows, HEADER.strip() + ",WT\n"), analytes=["crp"], subjects=["1"])
    assert found.cohort.labels == ["1"]
    assert found.cohort["1"].covariates == {"WT": 80}
    assert found.rows["left out"] == 2


def test_a_covariate_is_carried_over_a_reset(table):
    rows = [reading(0) + ",80", reading(4) + ",75", dose(0, 1, evid=4) + ",.", reading(2) + ",.", reading(5) + ",70"]
    cohort = read_records(table(rows, HEADER.strip() + ",WT\n"))
    np.testing.assert_array_equal(cohort["1#2"].covariate("WT", np.array([0, 2, 5.0])), [75, 75, 70])


BAD = {
    "rate -2": ([dose(0, 5, rate=-2)], "line 2, column `RATE`: '-2' asks for a duration that a model estimates"),
    "rate -1": ([dose(0, 5, rate=-1)], "'-1' asks for a rate that a model estimates, which is not supported; give the rate"),
    "rate -3": ([dose(0, 5, rate=-3)], "'-3' is negative"),
    "moment": ([dose(0, 1, rate=1e9)], "'1000000000.0' gives an infusion shorter than 1e-06 h"),
    "no amount": ([dose(0, ".")], "column `AMT`: '.' is blank; give the amount"),
    "endless": ([dose(0, 0, rate=5, ss=1, ii=4)], "an endless infusion is not supported"),
    "no interval": ([dose(0, 5, addl=3)], "column `II`: '.' is no interval for repeated doses"),
    "steady without interval": ([dose(0, 5, ss=1)], "column `II`: '.' is no interval"),
    "interval alone": ([dose(0, 5, ii=8)], "'8' belongs to repeated doses; blank it, or give their number in ADDL"),
    "half a dose": ([dose(0, 5, ii=8, addl=1.5)], "'1.5' is not a number of additional doses"),
    "too many": ([dose(0, 5, ii=8, addl=10**9)], "give a whole number from 0 to 10000"),
    "ss 3": ([dose(0, 5, ii=8, ss=3)], "column `SS`: '3' is unknown; choose from: 0 (no), 1 (steady state), 2"),
    "late steady state": ([reading(0), dose(1, 5, ii=8, ss=1)], "says steady state after the reading on line 2"),
    "steady state undoes": ([dose(0, 5), dose(1, 5, ii=8, ss=1)], "would undo the dose on line 2; set SS to 2"),
    "past a reset": ([dose(0, 5, ii=8, addl=3), dose(10, 5, evid=4)], "go on past the reset on line 3; give fewer"),
    "evid": ([dose(0, 5, evid=5)], "column `EVID`: '5' is unknown; choose from: 0 (reading), 1 (dose), 2 (other)"),
    "blank evid": ([dose(0, 5, evid=".")], "column `EVID`: '.' is blank; choose from"),
    "dose in a reading": (["1,0,0,.,5,.,.,.,.,2,crp,0,.,."], "column `AMT`: '5' belongs to a dose"),
    "flag": (["1,0,1,amount,5,.,.,.,.,2,crp,0,.,."], "column `MDV`: '0' says that DV is a reading, where EVID says"),
    "time": ([reading("08:30")], "column `TIME`: '08:30' is not a finite number"),
    "no time": ([reading("")], "column `TIME`: '' is blank; give the time elapsed"),
    "back": ([reading(2), reading(1)], "line 3, column `TIME`: '1 h' comes after 2 h on line 2; sort the rows"),
    "twice": ([reading(2), reading(2)], "is a second crp reading of subject 1 (the first is on line 2)"),
    "apart": ([reading(2), reading(2, who=2), reading(3)], "'1' comes back after others (it was last on line 2)"),
    "nobody": ([reading(2, who=".")], "column `ID`: '.' is blank"),
    "analyte": ([reading(2, analyte=3)], "column `DVID`: '3' is no analyte; give one of il1b, il6"),
    "target": (["1,0,1,1,5,.,.,.,.,.,.,1,.,."], "column `CMT`: '1' names no target of the model"),
    "cens": ([reading(2, cens=2)], "column `CENS`: '2' is unknown; choose from: -1 (above), 0 (as read), 1 (below)"),
    "interval": ([reading(2, 5, cens=1, limit=6)], "column `LIMIT`: '6' is on the wrong side of DV"),
    "negative": ([reading(2, -5)], "'-5' has no logarithm; where the assay saw nothing, set CENS to 1"),
    "underscore": ([reading(2, "1_0")], "'1_0' is not a finite number"),
    "only doses off": (["1,0,2,.,.,.,.,.,.,.,.,1,.,."], "no row is a reading or a dose"),
    "no rows": ([], "has a header but no rows"),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "message"), BAD.values(), ids=BAD)
def test_bad_records_are_refused_by_file_line_column_value_and_remedy(table, rows, message):
    with pytest.raises(ValueError, match=r"records\.csv") as caught:
        read_records(table(rows))
    assert message in str(caught.value)


WRONG = {
    "columns": ({"columns": {"idd": "X"}}, "`columns` has no key `idd`; it has: id, time"),
    "column": ({"columns": {"id": "SUBJ"}}, "column `SUBJ` is missing; found: ID, TIME"),
    "unit of time": ({"time_unit": "days"}, "`time_unit` is 'days'; choose from: h, day, week, min"),
    "steady": ({"steady": 0}, "`steady` is 0; give the number of doses before"),
    "unit": ({"units": {"crp": "furlong"}}, "unit 'furlong' does not convert to mg/L"),
    "code": ({"dvid": {1: "il6"}}, "column `DVID`: 'crp' is not one of the codes 1; say what analyte it stands for"),
    "amounts": ({"amounts": {"amount": -1.0}}, "`amounts` of amount is -1.0; give a positive factor"),
    "covariate": ({"covariates": ["WT"]}, "no covariate column `WT`; further columns: none"),
    "subject": ({"subjects": ["2"]}, "no subject `2` in the table; it has: 1"),
    "analyte": ({"analytes": ["il6"]}, "no analyte `il6` in the table; it has: crp"),
    "separator": ({"separator": ";;"}, "`separator` is ';;'; give one character, or `space`"),
}


@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG)
def test_options_that_do_not_fit_are_refused(table, options, message):
    with pytest.raises(ValueError, match=r"\w") as caught:
        read_records(table([reading(1)]), **options)
    assert message in str(caught.value)


def test_a_quote_that_swallows_rows_is_refused(table):
    path = table(["A,0,il6,1,pg/mL,", 'A,1,il6,1,pg/mL,"', "A,2,il6,1,pg/mL,"], "subject,time_h,analyte,value,unit,note\n")
    with pytest.raises(ValueError, match=r"line 4: a quoted cell runs over the end of the line; is a quote missing"):
        read_cohort(path)


def test_columns_parted_by_spaces_are_read(table):
    path = table([" 1  0   2.5  crp", "1 1\t3 crp"], "ID TIME DV DVID\n")
    np.testing.assert_array_equal(read_records(path, separator="space")["1"].data.value, [2.5, 3])


TIDY = "study,subject,arm,time_h,analyte,value,unit,weight,note\n"


def test_a_tidy_table_of_many_subjects_is_a_cohort(table):
    rows = [
        "X,A,drug,-2,il6,1,pg/mL,70,",
        "X,A,drug,3,il6,5,pg/mL,,hot",
        "X,A,drug,1,crp,5,mg/L,72,",
        "Y,B,,0,il6,2,ng/mL,80,",
    ]
    found = understand_cohort(table(rows, TIDY))
    cohort = found.cohort
    assert (cohort.labels, cohort.studies, cohort["A"].arm, cohort["A"].start) == (["A", "B"], ["X", "Y"], "drug", -2)
    np.testing.assert_array_equal(cohort["A"].covariate("weight", cohort["A"].data.time), [70, 72, 72])
    np.testing.assert_allclose(cohort["B"].data.value, [2000])
    assert len(cohort["B"].doses) == 0
    assert cohort.without("A").labels == ["B"]
    assert found.unread == {"note": "holds text, as 'hot'"}
    with pytest.raises(ValueError, match=r"line 5, column `study`: 'Y' differs from an earlier row of the subject"):
        read_cohort(table([*rows[:3], rows[3].replace("B,,0", "A,,9")], TIDY))
    with pytest.raises(ValueError, match="no subject 'C' in the cohort; it has: A, B"):
        cohort.without("C")


def test_text_in_a_column_of_numbers_is_refused_and_a_choice_of_columns_helps(table):
    path = table(["X,A,,0,il6,1,pg/mL,70,", "X,A,,1,il6,1,pg/mL,7O,"], TIDY)
    with pytest.raises(ValueError, match=r"line 3, column `weight`: '7O' is not a finite number, in a column of numbers"):
        read_cohort(path)
    assert read_cohort(path, covariates=[])["A"].covariates == {}
