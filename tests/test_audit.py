"""`cytostorm data check`, and a fit of one subject's dosing records."""

import numpy as np
import pytest

from cytostorm.scripts.cli import run
from cytostorm.scripts.compose import BadConfig, composed
from cytostorm.scripts.problem import prepare

RECORDS = """\
ID,TIME,EVID,CMT,AMT,RATE,II,ADDL,SS,DV,DVID,MDV,CENS,LIMIT,WT,NOTE
1,0,0,.,.,.,.,.,.,1.5,6,0,1,0,70,
1,1,1,TCZ,560,560,12,1,0,.,.,1,.,.,70,first
1,60,0,.,.,.,.,.,.,5,6,0,-1,.,70,
1,72,0,.,.,.,.,.,.,143,9,0,0,.,68,
2,0,0,.,.,.,.,.,.,3,6,1,0,.,.,
2,5,0,.,.,.,.,.,.,3,6,0,0,.,.,
"""
CODES = ["data.dvid={6: il6, 9: null}", "data.cmt={TCZ: tocilizumab}", "data.units={il6: ng/mL}"]


@pytest.fixture
def records(tmp_path):
    path = tmp_path / "a records, once.csv"
    path.write_text(RECORDS)
    return path


def test_check_tells_what_was_understood(records, capsys):
    assert run(["data", "check", str(records), *CODES]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{records}, read as data=nonmem"
    told = [" ".join(line.split()) for line in lines]
    assert "rows 6 = 3 readings + 1 dose rows + 1 other records + 1 left out" in told
    assert "IL-6 pg/mL ng/mL 2 3 1 1 1500 to 5000" in told
    assert "tocilizumab 1 2 2 1 1120 mg" in told
    assert "WT 1 of 2 1 68 to 70" in told
    assert "column `NOTE` is not read: it holds text, as 'first'" in told
    assert "left out: line 5: DVID 9 stands for no analyte (`dvid`)" in told
    assert "other: line 6" in told
    assert not (records.parent / "runs").exists()


def test_check_takes_a_tidy_table_by_its_header(tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text("subject,time_h,analyte,value,unit\nA,-1,il6,1,pg/mL\nB,2,crp,1,mg/L\n")
    assert run(["data", "check", str(path), "data.analytes=[il6]"]) == 0
    out = capsys.readouterr().out
    assert "read as data=cohort" in out
    assert "subject B: no reading of the analytes chosen; not in the cohort" in out


REFUSED = {
    "no file": (["nowhere.csv"], "nowhere.csv: no such file"),
    "codes": (["{file}"], "line 2, column `DVID`: '6' is no analyte"),
    "more": (["{file}"], "(3 more faulty rows: lines 4-5, 7)"),
    "key": (["{file}", "data.codes=3"], "no key `data.codes`: `data` has path, analytes"),
    "option": (["{file}", "data=synthetic"], "`data=synthetic` reads no such file; choose from: data=cohort, data=nonmem"),
    "nothing": ([], "`cytostorm data check` takes FILE [overrides]; came: none"),
}


@pytest.mark.parametrize(("argv", "message"), REFUSED.values(), ids=REFUSED)
def test_a_table_that_is_refused_exits_with_2(argv, message, records, capsys):
    assert run(["data", "check", *(x.format(file=records) for x in argv)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def fit_of(records, *overrides):
    """The problem of a fit of these records."""
    chosen = ["model=network", "trigger=viral", "prior=network", "data=nonmem", "data.path=a.csv", *CODES, *overrides]
    cfg = composed("fit", chosen)
    cfg.data.path = str(records)
    return prepare(cfg)[0]


def test_a_fit_of_one_subject_takes_its_doses(records):
    problem = fit_of(records, "data.subjects=[1]")
    own = problem.scenario.doses.to("tocilizumab")
    np.testing.assert_allclose((own.time, own.amount, own.duration), ([1, 13], [560, 560], [1, 1]))
    assert len(problem.data) == 2


def test_a_fit_takes_one_subject_that_starts_with_the_trigger(records):
    with pytest.raises(BadConfig, match=r"the table has 2 subjects; fit one with `data.subjects=\[1\]`"):
        fit_of(records)
    records.write_text(RECORDS.replace("1,0,0,.", "1,-3,0,."))
    with pytest.raises(BadConfig, match="subject '1' starts at -3 h, the trigger at 0 h; count its time from the trigger"):
        fit_of(records, "data.subjects=[1]")
