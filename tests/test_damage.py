"""Damaged tables are read rightly or refused, and every row is accounted for."""

import csv
import io
from collections import Counter

import jax.numpy as jnp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cytostorm.inference import (
    understand_cohort,
    understand_records,
)
from cytostorm.inference.analyte import canonical, factor
from cytostorm.inference.cells import number

RECORDS = """\
ID,TIME,EVID,CMT,AMT,RATE,II,ADDL,SS,DV,DVID,MDV,CENS,LIMIT,STUDY,WT
1,0,0,.,.,.,.,.,.,1.5,il6,0,1,0,X,70
1,0,1,amount,6,.,8,2,0,.,.,1,.,.,X,70
1,8,0,.,.,.,.,.,.,25,crp,0,0,.,X,.
1,12,1,tocilizumab,560,560,.,.,.,.,.,1,.,.,X,71
1,12,0,.,.,.,.,.,.,5000,IL-6,0,-1,1e7,X,71
1,60,2,.,.,.,.,.,.,.,.,1,.,.,X,73
1,70,4,amount,5,.,6,3,1,.,.,1,.,.,X,73
1,72,0,.,.,.,.,.,.,.,crp,1,.,.,X,73
1,90,0,.,.,.,.,.,.,3.25,tnf,0,.,.,X,73
2,-1,0,NA,NA,NA,NA,NA,NA,4,crp,0,0,NA,Y,64
2,0,1,amount,3,1.5,.,.,.,.,.,1,.,.,Y,64
2,4,0,.,.,.,.,.,.,7,crp,0,0,.,Y,64
2,5,3,.,.,.,.,.,.,.,.,1,.,.,Y,64
2,6,0,.,.,.,.,.,.,9,crp,0,0,.,Y,64
"""
TIDY = """\
study,subject,time_h,analyte,value,unit,cens,limit,bound,sd,n,statistic,WT
X,A,0,IL-6,1.5,pg/mL,none,,,,,individual,70
X,A,1,IL-6,0.25,ng/mL,,,,,,,70
X,A,0,crp,,mg/L,left,0.5,0.1,,,,70
X,A,4,crp,900,mg/L,right,300,,,,individual,71
Y,B,0,tnf,12,ng/L,,,,,,,
Y,B,2,tnf,8,ng/L,,,,,,,64
Y,G,1,il6,240,pg/mL,,,,144,20,mean,60
Y,G,2,il6,200,pg/mL,,,,1.8,20,geometric_mean,60
"""
JUNK = [
    "",
    ".",
    "NA",
    "x",
    "0",
    "1",
    "3",
    "-1",
    "-2",
    "1e309",
    "1e308",
    "1e-320",
    "nan",
    "inf",
    "1_0",
    "0x1",
    "٣",
    "1,5",
    '"',
]
JUNK += [
    "9" * 400,
    "<2",
    "08:30",
    "il6",
    "crp",
    "florps",
    "mol/L",
    "1.0",
    "2.5e0",
    " ",
    "mean",
    "left",
    "#",
    "\x00",
    "\u2028",
    "é",
]


@st.composite
def damaged(draw, text):
    """A table with one to four faults of hand, of program or of wire."""
    rows = [line.split(",") for line in text.splitlines()]
    for kind in draw(st.lists(st.integers(0, 17), min_size=1, max_size=3)):
        i, k = draw(st.integers(0, len(rows) - 1)), draw(st.integers(0, len(rows) - 1))
        j = draw(st.integers(0, max(0, len(rows[i]) - 1)))
        junk = draw(st.one_of(st.sampled_from(JUNK), st.floats().map(str), st.text(max_size=5)))
        if kind <= 3 and rows[i]:
            rows[i][j] = junk
        elif kind <= 5 and j < min(len(rows[i]), len(rows[k])):
            rows[i][j], rows[k][j] = rows[k][j], rows[i][j]
        elif kind == 6:
            rows.insert(k, list(rows[i]))
        elif kind == 7:
            rows[i], rows[k] = rows[k], rows[i]
        elif kind == 8 and len(rows) > 1:
            del rows[i]
        elif kind == 9:
            rows[i][j : j + 1] = []
        elif kind == 10:
            rows[i].insert(j, junk)
        elif kind == 11:
            rows = [row[:j] + row[j + 1 :] for row in rows]
        elif kind == 12:
            rows = [[*row, row[j] if j < len(row) else junk] for row in rows]
        elif kind == 13:
            rows.insert(i, [""] * draw(st.integers(0, 16)))
        elif rows[i] and number(rows[i][j]) is not None:
            rows[i][j] = draw(st.sampled_from(["0", "1", "2", "3", "12", "1.5", "-1", "1e3", "70"]))
    end = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    raw = end.join(",".join(row) for row in rows).encode()
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(st.sampled_from([b"", b'"', b",", b"\n", b"\xff", b"\xef\xbb\xbf", b"\x00"])) + raw[at:]
    return raw[: draw(st.integers(0, len(raw)))] if draw(st.integers(0, 5)) == 0 else raw


def rows_of(raw):
    """The rows of a table by name in capitals, as a spreadsheet would see them."""
    rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline=""))]
    header = [name.upper() for name in rows[0]]
    return [dict(zip(header, row, strict=True)) for row in rows[1:] if any(row)]


def plain(cell, default=0.0):
    """A number, or the default for a missing one."""
    return default if cell is None or cell.upper() in ("", ".", "NA") else float(cell)


def clock(time):
    """A time to seven digits, and to a nanohour: without moments."""
    return f"{time:.7g}" if abs(time) > 1e-9 else "0"


def readings_in(cohort):
    """What a cohort holds as (person, analyte, time, value, cens), to seven digits and without moments."""
    return Counter(
        (p, a, clock(t), f"{v:.7g}", int(c))
        for s, p in zip(cohort, cohort.persons, strict=True)
        for a, t, v, c in zip(s.data.analyte, s.data.time, s.data.value, s.data.cens, strict=True)
    )


def check(name, raw, path):
    """The damaged table is refused by name (false), or its rows are what a second, naive reading says (true)."""
    _, understand, compare = CHECKS[name]
    path.write_bytes(raw)
    try:
        found = understand(path)
    except ValueError as error:
        told = str(error).startswith(str(path))
        assert told
        return False
    compare(found, rows_of(raw))
    return True


def compare_records(found, rows):
    """What is understood of dosing records, and their rows."""
    assert len(found.records) == sum(found.rows.values()) == len(rows)
    kinds = [int(plain(r["EVID"])) if "EVID" in r else int(plain(r.get("AMT")) != 0) for r in rows]
    read = [r for r, kind in zip(rows, kinds, strict=True) if kind == 0 and plain(r.get("MDV")) != 1]
    given_ = [r for r, kind in zip(rows, kinds, strict=True) if kind in (1, 4)]
    assert found.rows["reading"] == len(read)
    assert found.rows["dose"] == len(given_)
    assert readings_in(found.cohort) == Counter(
        (
            r["ID"],
            canonical(r["DVID"]),
            clock(plain(r["TIME"])),
            f"{plain(r['DV']):.7g}",
            -int(plain(r.get("CENS"))),
        )
        for r in read
    )
    doses = [(plain(r["AMT"]), 1 + plain(r.get("ADDL")) + 20 * (plain(r.get("SS")) > 0)) for r in given_]
    assert sum(len(s.doses) for s in found.cohort) == sum(number for _, number in doses)
    total = sum(float(jnp.sum(s.doses.amount)) for s in found.cohort)
    assert total == pytest.approx(sum(amount * number for amount, number in doses), rel=1e-9)


def compare_tidy(found, rows):
    """What is understood of a tidy table, and its rows."""
    assert len(found.records) == found.rows["reading"] == len(rows)
    assert sum(len(s.data) for s in found.cohort) == len(rows)
    one = [r for r in rows if r.get("STATISTIC", "").lower() in ("", "individual")]
    codes = {"": 0, "none": 0, "left": -1, "right": 1}
    cens = [codes[r.get("CENS", "").lower()] for r in one]
    named = [canonical(r["ANALYTE"]) for r in one]
    value = [float(r["LIMIT"] if c else r["VALUE"]) * factor(r["UNIT"], a) for r, c, a in zip(one, cens, named, strict=True)]
    expected = zip(one, named, value, cens, strict=True)
    expected = Counter((r["SUBJECT"], a, clock(float(r["TIME_H"])), f"{v:.7g}", c) for r, a, v, c in expected)
    assert not expected - readings_in(found.cohort)


CHECKS = {
    "records": (RECORDS, understand_records, compare_records),
    "tidy": (TIDY, understand_cohort, compare_tidy),
}


@pytest.mark.parametrize("name", CHECKS)
def test_the_tables_that_are_damaged_are_whole_before(name, tmp_path):
    assert check(name, CHECKS[name][0].encode(), tmp_path / "a.csv")


def _damage(name, examples, folder):
    outcomes = Counter()

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(raw=damaged(CHECKS[name][0]))
    def go(raw):
        outcomes[check(name, raw, folder / "a.csv")] += 1

    go()
    return outcomes


@pytest.mark.parametrize("name", CHECKS)
def test_a_damaged_table_is_read_rightly_or_refused(name, tmp_path):
    outcomes = _damage(name, 100, tmp_path)
    assert min(outcomes[True], outcomes[False]) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_a_thousand_damaged_tables_are_read_rightly_or_refused(name, tmp_path):
    outcomes = _damage(name, 1000, tmp_path)
    print(f"{name}: {outcomes[True]} read, {outcomes[False]} refused")
    assert sum(outcomes.values()) >= 1000
    assert min(outcomes[True], outcomes[False]) >= 50
