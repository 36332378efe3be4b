"""Reading tables: what is understood, and what is refused with file, line, value and remedy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cytostorm.inference import bundled, read
from cytostorm.inference.analyte import UNITS, canonical, factor

HEADER = "subject,time_h,analyte,value,unit,cens,limit,sd,n,statistic\n"


@pytest.fixture
def table(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "readings.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write


def test_a_plain_table_is_understood(table):
    data = read(table("subject,time_h,analyte,value,unit\nA,0,IL-6,1.5,pg/mL\nA,2,il6,0.25,ng/mL\nB,1,IL6,3,ng/L\n"))
    assert data.subject == ("A", "B", "A")
    assert set(data.analyte) == {"il6"}
    np.testing.assert_allclose(data.time, [0, 1, 2])
    np.testing.assert_allclose(data.value, [1.5, 3, 250])
    assert data.labels == ["A|il6|0", "B|il6|1", "A|il6|2"]


def test_censored_readings_take_their_limit_in_canonical_units(table):
    data = read(table(HEADER + "A,0,il6,,pg/mL,left,0.5,,,\nA,1,il6,9,ng/mL,right,2,,,\n"))
    np.testing.assert_array_equal(data.cens, [-1, 1])
    np.testing.assert_allclose(data.limit, [0.5, 2000])


def test_a_mean_becomes_a_log_mean_by_the_moments_of_a_log_normal(table):
    m, s = 240.5, 144.4
    data = read(table(HEADER + f"G,1,il6,{m},pg/mL,,,{s},20,mean\n"))
    spread = np.sqrt(np.log(1 + (s / m) ** 2))
    assert data.spread[0] == pytest.approx(spread)
    assert data.value[0] == pytest.approx(np.exp(np.log(m) - spread**2 / 2))
    draws = np.exp(np.log(data.value[0]) + spread * np.random.default_rng(0).normal(size=400_000))
    assert draws.mean() == pytest.approx(m, rel=0.01)
    assert draws.std() == pytest.approx(s, rel=0.02)


def test_units_of_a_geometric_mean_leave_its_spread_alone(table):
    data = read(table(HEADER + "G,1,il6,0.2,ng/mL,,,1.8,20,geometric_mean\n"))
    assert data.value[0] == pytest.approx(200)
    assert data.spread[0] == pytest.approx(np.log(1.8))


def test_a_table_survives_a_round_trip(table, tmp_path):
    data = read(
        table(HEADER + "A,0,il6,1.5,pg/mL,,,,,\nA,1,il6,,pg/mL,left,0.5,,,\nG,1,il6,3,pg/mL,,,1.7,9,geometric_mean\n")
    )
    data.table().to_csv(tmp_path / "again.csv", index=False)
    again = read(tmp_path / "again.csv")
    assert again.labels == data.labels
    for name in ("time", "value", "cens", "limit", "n", "spread"):
        np.testing.assert_allclose(getattr(again, name), getattr(data, name))


@given(st.floats(1e-6, 1e6), st.sampled_from(["pg/mL", "ng/L", "ng/mL", "ug/L", "mg/L", "g/m**3"]))
def test_units_convert_there_and_back(value, unit):
    there = value * factor(unit, "il6")
    assert there * factor("pg/mL", "crp") == pytest.approx(value * factor(unit, "crp"))
    assert factor("pg/mL", "il6") == factor("mg/L", "crp") == 1


@pytest.mark.parametrize(("alias", "name"), [("IL-6", "il6"), ("TNF-α", "tnf"), ("TNF-alpha", "tnf"), ("IFNg", "ifn_gamma")])
def test_aliases_of_analytes(alias, name):
    assert canonical(alias) == name
    assert name in UNITS


GOOD = "A,0,il6,1,pg/mL,,,,,\n"
BAD = {
    "missing column": ("subject,time_h,analyte,value\nA,0,il6,1\n", "column `unit` is missing; found: subject, time_h"),
    "unknown unit": (
        HEADER + "A,0,il6,1,florps,,,,,\n",
        "line 2, column `unit`: 'florps' does not fit: unknown unit",
    ),
    "wrong unit": (
        HEADER + GOOD + "A,1,il6,1,mol/L,,,,,\n",
        "line 3, column `unit`: 'mol/L' does not fit: unit 'mol/L' does",
    ),
    "blank unit": (HEADER + "A,0,il6,1,,,,,,\n", "line 2, column `unit`: '' is blank; give the unit"),
    "unknown analyte": (
        HEADER + "A,0,IL-99,1,pg/mL,,,,,\n",
        "line 2, column `analyte`: 'IL-99' is not a known analyte; known: il1b",
    ),
    "negative value": (HEADER + GOOD + "A,1,il6,-3,pg/mL,,,,,\n", "line 3, column `value`: -3 is negative"),
    "zero value": (HEADER + "A,1,il6,0,pg/mL,,,,,\n", "has no logarithm; where the assay saw nothing, set cens to left"),
    "not a number": (HEADER + "A,0,il6,<2,pg/mL,,,,,\n", "line 2, column `value`: '<2' is not a finite number"),
    "infinite": (HEADER + "A,0,il6,inf,pg/mL,,,,,\n", "'inf' is not a finite number"),
    "blank value": (HEADER + "A,0,il6,,pg/mL,,,,,\n", "is blank; give the reading"),
    "blank subject": (HEADER + ",0,il6,1,pg/mL,,,,,\n", "column `subject`: '' is blank"),
    "duplicate": (
        HEADER + GOOD + GOOD,
        "reading of subject 'A' at 0 h (the first is on line 2)",
    ),
    "unsorted": (
        HEADER + "A,2,il6,1,pg/mL,,,,,\nA,1,il6,1,pg/mL,,,,,\n",
        "column `time_h`: '1' comes after a later",
    ),
    "negative time": (HEADER + "A,-1,il6,1,pg/mL,,,,,\n", "line 2, column `time_h`: -1 is negative"),
    "no rows": (HEADER, "has a header but no rows"),
    "blank rows only": (HEADER + "\n\n,,,,,,,,,\n", "has a header but no rows"),
    "empty file": ("", "the file is empty (0 bytes); it needs a header line subject,time_h,analyte,value,unit"),
    "no limit": (HEADER + "A,0,il6,1,pg/mL,left,,,,\n", "column `limit`: a blank does not fit a censored reading"),
    "unknown cens": (HEADER + "A,0,il6,1,pg/mL,yes,,,,\n", "'yes' is unknown; choose from: none, left, right"),
    "unknown statistic": (HEADER + "A,0,il6,1,pg/mL,,,,,median\n", "'median' is unknown; choose from: individual, mean"),
    "mean without n": (HEADER + "A,0,il6,1,pg/mL,,,2,,mean\n", "give the number of subjects, 2 or more"),
    "mean without sd": (HEADER + "A,0,il6,1,pg/mL,,,,9,mean\n", "does not fit a mean; give the standard deviation"),
    "geometric sd below 1": (HEADER + "A,0,il6,1,pg/mL,,,0.5,9,geometric_mean\n", "as a factor, above 1"),
    "censored mean": (
        HEADER + "A,0,il6,1,pg/mL,left,1,2,9,mean\n",
        "column `cens`: 'left' does not fit the summary of a group",
    ),
    "ragged": (HEADER + "A,0,il6,1,pg/mL,,,,,,,,\nA,0\n", "line 2: 13 cells under a header of 10"),
    "short row": (HEADER + GOOD + "A,1\n", "line 3: 2 cells under a header of 10; give every row as many cells"),
    "column twice": ("subject,time_h,analyte,value,unit,unit\nA,0,il6,1,pg/mL,pg/mL\n", "column `unit` occurs twice"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_by_file_line_value_and_remedy(table, text, message):
    path = table(text)
    with pytest.raises(ValueError, match=r"readings\.csv") as caught:
        read(path)
    assert message in str(caught.value)


def test_other_encodings_are_refused_by_line(table):
    path = table(HEADER + GOOD + "Bjørn,0,il6,1,pg/mL,,,,,\n", "latin-1")
    with pytest.raises(ValueError, match=r"line 3: byte 0xf8 is not UTF-8; save as UTF-8"):
        read(path)


def test_a_byte_order_mark_is_harmless(table):
    assert len(read(table(HEADER + GOOD, "utf-8-sig"))) == 1


def test_faulty_rows_are_counted(table):
    with pytest.raises(ValueError, match=r"line 2, .*\(2 more faulty rows: lines 3-4\)"):
        read(table(HEADER + "A,0,il6,x,pg/mL,,,,,\nA,1,il6,y,pg/mL,,,,,\nA,2,il6,z,pg/mL,,,,,\n"))


def test_a_missing_file_is_named():
    with pytest.raises(ValueError, match=r"nowhere\.csv: no such file"):
        read("nowhere.csv")


def test_selections_list_what_exists(table):
    path = table(HEADER + GOOD + "B,0,tnf,1,pg/mL,,,,,\n")
    assert read(path, analytes=["TNF-alpha"]).subject == ("B",)
    with pytest.raises(ValueError, match="no analyte `crp` in the table; it has: il6, tnf"):
        read(path, analytes=["crp"])
    with pytest.raises(ValueError, match="no subject `C` in the table; it has: A, B"):
        read(path, subjects=["C"])


@pytest.mark.parametrize(("name", "rows", "n"), [("endotoxemia_bolus", 64, {19, 20}), ("endotoxemia_infusion", 24, {9})])
def test_bundled_tables_are_whole(name, rows, n):
    data = bundled(name)
    assert len(data) == rows
    assert set(data.n) == n
    assert set(data.analyte) == {"il6", "tnf", "il10", "il8"}


def test_bundled_tables_equal_the_given_data(shared):
    import pandas as pd

    for name in ("endotoxemia_bolus", "endotoxemia_infusion"):
        given_rows = pd.read_csv(shared / "data" / f"{name}_mean.csv")
        given_rows["analyte"] = given_rows["analyte"].map(canonical)
        from importlib.resources import files

        with (files("cytostorm.data") / name / "table.csv").open() as file:
            ours = pd.read_csv(file)
        both = ours.merge(given_rows, on=["subject", "time_h", "analyte"], suffixes=("", "_given"))
        assert len(both) == len(ours)
        np.testing.assert_allclose(both["value"], both["value_given"], rtol=3e-3)
        np.testing.assert_allclose(both["sd"], both["sd_given"], rtol=3e-3)
        np.testing.assert_array_equal(both["n"], both["n_given"])
