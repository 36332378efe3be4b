"""Published data: the catalogue is whole, files are checked, originals convert to the last digit, tables become readings."""

import hashlib
import logging
import re

import numpy as np
import pandas as pd
import pooch
import pytest
import requests

from cytostorm.inference import published, published_cohort
from cytostorm.inference.analyte import UNITS, canonical
from cytostorm.inference.tables import catalogue
from cytostorm.inference.tables.catalogue import Entry, File, entries, entry
from cytostorm.inference.tables.converters import ANALYTES, COLUMNS, CONVERTERS, SHIFTED, bolus, convert
from cytostorm.scripts.compose import composed
from cytostorm.scripts.problem import prepare

TABLES = {"endotoxemia_bolus": "endotoxemia_bolus_individual.csv", "endotoxemia_infusion": "endotoxemia_infusion_mean.csv"}
HEADER = ",".join(COLUMNS) + "\n"
ROWS = """\
One,A,-5.0,IL-6,1.5,pg/mL,none,,individual,1,,x
One,A,0.0,IL-6,0,pg/mL,left,0.5,individual,1,,x
One,A,2.0,IL-6,700,pg/mL,right,650,individual,1,,x
One,A,3.0,IL-6,9000,pg/mL,none,,individual_suspect,1,,x
One,A,3.0,CAR-T,12,cells/uL,none,,individual,1,,x
Two,B,1.0,IL-6,0.0025,ng/mL,none,,individual,1,,x
Two,B,2.0,IL-6,4.123456,pg/mL,none,,individual_imputed,1,,x
"""
PATIENTS = "subject,crs_grade,crs_onset_day\nA,2,4\nB,0,\n"


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """An entry of a table and its patients, alone in a data folder of its own; one of its files has an address."""
    files = [File(name="toy.csv", sha256=sha(HEADER + ROWS), path="toy.csv")]
    files.append(File(name="people.csv", sha256=sha(PATIENTS), content="patients"))
    facts = entry("cart_crs").model_dump() | {
        "name": "toy",
        "files": files,
        "repository": "https://github.com/nobody/nothing",
    }
    monkeypatch.setattr(catalogue, "entries", lambda: {"toy": Entry(**facts)})
    monkeypatch.setattr(catalogue, "folder", tmp_path / "data")
    (tmp_path / "data" / "raw").mkdir(parents=True)
    (tmp_path / "data" / "toy.csv").write_text(HEADER + ROWS)
    (tmp_path / "data" / "raw" / "people.csv").write_text(PATIENTS)
    return tmp_path / "data"


@pytest.fixture
def network(monkeypatch):
    """What the network answers, instead of the network: bytes, or an error."""

    def answer(given):
        def download(self, url, output_file, *_, **__):
            assert url == f"https://raw.githubusercontent.com/nobody/nothing/{entry('toy').commit}/toy.csv"
            if isinstance(given, Exception):
                raise given
            with open(output_file, "wb") as file:
                file.write(given)

        monkeypatch.setattr(pooch.HTTPDownloader, "__call__", download)

    return answer


@pytest.mark.parametrize("name", entries())
def test_every_entry_has_source_licence_citation_and_caveats(name):
    one = entry(name)
    assert re.fullmatch(r"[0-9a-f]{40}", one.commit)
    assert one.licence in one.licence_text.name
    assert one.cite
    assert len(one.caveats) >= 3
    assert set(one.analytes) <= set(UNITS)
    for file in (*one.files, one.licence_text):
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert file.converter in {None, *CONVERTERS}
        assert (file.converter is None) == (file.table_sha256 is None)
        url = one.url(file)
        assert url is None or f"/{one.commit}/" in url


def test_nothing_is_fetched_from_the_source_of_the_cart_patients():
    one = entry("cart_crs")
    assert not any(one.url(file) for file in (*one.files, one.licence_text))
    assert "39 of the 59" in one.caveats[0]


def test_python_names_the_data_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(catalogue, "folder", catalogue.folder)
    before = catalogue.data_folder()
    assert catalogue.data_folder(tmp_path) == tmp_path.resolve() != before
    assert catalogue.data_folder() == tmp_path.resolve()
    with pytest.raises(
        ValueError, match=rf"put the file into {tmp_path.resolve()}.* in Python by `cytostorm.inference.data_folder`"
    ):
        catalogue.fetch(entry("cart_crs"), entry("cart_crs").files[0])


def test_the_catalogue_equals_the_manifest(shared):
    manifest = pd.read_csv(shared / "data" / "MANIFEST.csv")
    manifest["name"] = manifest["file"].str.split("/").str[-1]
    for one in entries().values():
        for file in (*one.files, one.licence_text):
            row = manifest[manifest["name"] == file.name].iloc[0]
            given = (row["sha256"], row["source_repository"], row["commit"], row["licence"])
            assert given == (file.sha256, one.repository, one.commit, one.licence)
            assert one.url(file) in {None, row["raw_url"]}


@pytest.mark.parametrize("name", entries())
def test_the_counts_of_an_entry_are_those_of_its_table(name, shared):
    one = entry(name)
    table = pd.read_csv(shared / "data" / TABLES.get(name, one.files[0].name))
    assert len(table) == one.readings
    assert set(table["analyte"].map(canonical)) == set(one.analytes)
    assert one.who.startswith(("group", str(table["subject"].nunique())))


@pytest.mark.parametrize("name", TABLES)
def test_originals_convert_to_the_given_tables_to_the_last_digit(name, shared):
    file = entry(name).files[0]
    given = (shared / "data" / TABLES[name]).read_text()
    assert convert(file, shared / "data" / "raw" / file.name) == given
    with pytest.raises(ValueError, match=r"has the SHA-256 \w+, not 00, that of the catalogue"):
        convert(file.model_copy(update={"table_sha256": "00"}), shared / "data" / "raw" / file.name)


def test_what_is_no_number_of_three_decimals_was_imputed():
    """A toy original: the shift is undone, and flags follow from the values."""
    shift = np.array([[-5.2139039225], [0.3013764158], [0.0462035073], [-3.9931063155]])
    read = np.array([[1.25, 70.695, 290.8566265]])
    original = {key: read - constant for key, constant in zip(SHIFTED, shift[:, 0], strict=True)}
    table = pd.DataFrame(bolus({**original, "Time": np.array([[0, 1, 2]]), "BaselineBolusMinusContinuousMean": shift}))
    table.columns = COLUMNS
    assert set(table["analyte"]) == set(ANALYTES.values())
    np.testing.assert_allclose(table["value"], np.repeat(read[0], 4), atol=6e-7)
    assert table["statistic"].tolist() == ["individual"] * 8 + ["individual_imputed"] * 4


def test_a_file_is_found_in_a_folder_of_the_data_folder_by_its_checksum(toy):
    table, people = entry("toy").files
    assert catalogue.locate(people) == toy / "raw" / "people.csv"
    (toy / "raw" / "toy.csv").write_text(HEADER + ROWS)
    (toy / "toy.csv").write_text("another file of this name")
    assert catalogue.locate(table) == toy / "raw" / "toy.csv"


def test_a_checksum_that_differs_is_an_error_naming_both(toy):
    (toy / "toy.csv").write_text(HEADER)
    with pytest.raises(ValueError, match=r"toy\.csv is not the file of the catalogue") as caught:
        published("toy")
    assert sha(HEADER) in str(caught.value)
    assert sha(HEADER + ROWS) in str(caught.value)


def test_offline_a_missing_file_is_an_error_that_says_where_to_put_it(toy, network):
    (toy / "toy.csv").unlink()
    network(requests.ConnectionError("no route to host"))
    with pytest.raises(ValueError, match=r"cannot be fetched \(no route to host\)") as caught:
        published("toy")
    message = str(caught.value)
    assert f"put the file into {toy}" in message
    assert "CYTOSTORM_DATA" in message
    assert sha(HEADER + ROWS) in message


def test_a_file_that_is_not_downloaded_says_so_and_where_to_put_it(toy):
    (toy / "raw" / "people.csv").unlink()
    with pytest.raises(ValueError, match=r"people\.csv of toy is not here, and it is not downloaded") as caught:
        published_cohort("toy")
    assert f"put the file into {toy}" in str(caught.value)


def test_what_is_downloaded_is_checked_and_kept(toy, network):
    (toy / "toy.csv").unlink()
    network(b"something else")
    with pytest.raises(ValueError, match="is not the file of the catalogue") as caught:
        published("toy")
    assert sha("something else") in str(caught.value)
    assert sha(HEADER + ROWS) in str(caught.value)
    assert [path.name for path in toy.iterdir()] == ["raw"]
    network((HEADER + ROWS).encode())
    assert len(published("toy")) == 5
    network(AssertionError("a file that is here is not fetched again"))
    assert len(published("toy")) == 5


def test_a_published_table_becomes_readings(toy, caplog):
    data = published("toy", analytes=["IL-6"])
    assert data.labels == ["A|il6|0", "B|il6|1", "A|il6|2", "A|il6|3"]
    np.testing.assert_array_equal(data.cens, [-1, 0, 1, 0])
    np.testing.assert_allclose(data.value, [0.5, 2.5, 650, 9000])
    assert set(published("toy", subjects=["A"]).analyte) == {"il6", "cart"}
    assert not data.n.any()


def test_what_is_left_out_is_counted(toy, caplog):
    with caplog.at_level(logging.WARNING):
        assert len(published("toy", from_h=1.0, keep_suspect=False)) == 3
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "toy: 1 of 7 readings left out, imputed by the source",
        "toy: 1 of 7 readings left out, suspect",
        "toy: 2 of 7 readings left out, before 1 h",
    ]
    caplog.clear()
    published("toy", subjects=["B"], analytes=["il6"])
    assert [record.getMessage() for record in caplog.records] == ["toy: 1 of 2 readings left out, imputed by the source"]


REFUSED = {
    "name": ({"name": "tyo"}, "no published data set `tyo`; known: toy"),
    "analyte": ({"name": "toy", "analytes": ["crp"]}, "no analyte `crp` in the table; it has: il6, cart"),
    "subject": ({"name": "toy", "subjects": ["C"]}, "no subject `C` in the table; it has: A, B"),
    "negative start": ({"name": "toy", "from_h": -24.0}, "`from_h` is -24; a scenario starts at 0 h"),
    "no start": ({"name": "toy", "from_h": float("nan")}, "`from_h` is nan"),
    "late start": ({"name": "toy", "from_h": 100.0}, "no readings are left from 100 h on"),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_there_is_refused_with_what_is(toy, given, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        published(**given)


def test_a_cohort_has_study_arm_and_what_is_known_of_patients(toy):
    cohort = published_cohort("toy")
    assert cohort.labels == ["A", "B"]
    assert cohort.studies == ["One", "Two"]
    assert cohort["A"].covariates == {"crs_grade": 2, "crs_onset_day": 4}
    assert cohort["B"].covariates == {"crs_grade": 0}
    assert {subject.arm for subject in cohort} == {"toy"}
    assert sum(len(subject.data) for subject in cohort) == len(published("toy"))


def test_a_covariate_is_derived_from_what_is_known(toy):
    cohort = published_cohort("toy", derived={"a_tcz": {"crs_onset_day": 8.0}})
    assert cohort["A"].covariates["a_tcz"] == 32
    assert "a_tcz" not in cohort["B"].covariates
    with pytest.raises(
        ValueError, match="toy: no covariate `tocilizumab_ever` to derive from; it has: crs_grade, crs_onset_day"
    ):
        published_cohort("toy", derived={"a_tcz": {"tocilizumab_ever": 8.0}})


def test_readings_below_a_floor_are_censored_at_it(toy):
    plain, floored = (published_cohort("toy", floor=floor) for floor in (None, {"il6": 5.0}))
    for one, other in zip(plain, floored, strict=True):
        below = (np.array(one.data.analyte) == "il6") & (one.data.value < 5) & (one.data.cens <= 0)
        np.testing.assert_array_equal(other.data.cens, np.where(below, -1, one.data.cens))
        np.testing.assert_array_equal(other.data.value, np.where(below, 5, one.data.value))
        np.testing.assert_array_equal(other.data.limit, np.where(below, 5, one.data.limit))
    assert any((subject.data.cens == -1).any() for subject in floored)
    with pytest.raises(ValueError, match="toy: no analyte `crp` to give a floor; it has: il6, cart"):
        published_cohort("toy", floor={"crp": 1.0})


def test_a_cohort_may_start_before_the_event(toy):
    cohort = published_cohort("toy", from_h=-24.0)
    assert (cohort["A"].start, cohort["B"].start) == (-5, 0)
    assert cohort["A"].data.time[0] == -5
    assert len(cohort["A"].data) == 5


def test_the_given_cohorts_are_read_whole(shared):
    sizes = {name: (len(cohort := published_cohort(name)), sum(len(s.data) for s in cohort)) for name in entries()}
    assert sizes == {
        "endotoxemia_bolus": (20, 640 - 6),
        "endotoxemia_infusion": (1, 24),
        "cart_crs": (39, 4233 - 8),
        "septic_shock": (71, 1322),
        "healthy_il6": (35, 627),
    }
    cart = published_cohort("cart_crs", analytes=["il6"])
    assert sum(int(np.sum(subject.data.cens == 1)) for subject in cart) == 20
    assert sum(subject.covariates["tocilizumab_ever"] for subject in cart) == 16
    assert np.bincount([int(subject.covariates["crs_grade"]) for subject in cart]).sum() == 39


@pytest.mark.parametrize("name", [one.name for one in entries().values() if one.fit])
def test_the_fit_that_an_entry_names_is_a_problem(name, shared):
    overrides = (entry(name).fit or "").replace("'", "").split()
    problem, _, _ = prepare(composed("fit", ["data=published", f"data.name={name}", *overrides]))
    assert len(problem.data) >= 6
    assert len(set(problem.data.subject)) == 1
