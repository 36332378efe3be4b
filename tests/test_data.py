"""`cytostorm data`: verbs, exit codes and messages."""

import pooch
import pytest
import requests

from cytostorm.inference.tables import catalogue
from cytostorm.inference.tables.catalogue import entries
from cytostorm.scripts.cli import run
from cytostorm.scripts.data import VERBS


@pytest.fixture
def data_folder(tmp_path, monkeypatch):
    """An empty data folder, named by the environment, on a machine without a network."""

    def offline(*_, **__):
        raise requests.ConnectionError("no route to host")

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", offline)
    monkeypatch.setattr(catalogue, "folder", catalogue.folder)
    monkeypatch.setenv("CYTOSTORM_DATA", str(tmp_path))
    return tmp_path


def test_help_lists_data_and_data_lists_its_verbs(capsys):
    assert run(["--help"]) == 0
    assert "  data " in capsys.readouterr().out
    assert run(["data"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {verb} " in out for verb in VERBS)


NAMES = ", ".join(entries())
REFUSED = {
    "verb": (["lits"], "no verb `lits` of data; verbs: list, show, fetch"),
    "no name": (["show"], "`cytostorm data show` takes NAME; came: none"),
    "two names": (["fetch", "a", "b"], "`cytostorm data fetch` takes NAME; came: 2 (a b)"),
    "a name of list": (["list", "a"], "`cytostorm data list` takes no arguments; came: 1 (a)"),
    "name to show": (["show", "nothing"], f"no published data set `nothing`; known: {NAMES}"),
    "name to fetch": (["fetch", "nothing"], f"no published data set `nothing`; known: {NAMES}"),
    "offline": (
        ["fetch", "endotoxemia_bolus"],
        "BolusDataCorrectedSD.mat cannot be fetched (no route to host): put",
    ),
    "by hand": (["fetch", "cart_crs"], "cart_crs_individual.csv of cart_crs is not here, and it is not downloaded"),
    "every file": (["fetch", "cart_crs"], "\n  cart_crs_patients.csv of cart_crs is not here"),
}


@pytest.mark.parametrize(("argv", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_arguments_and_missing_files_exit_with_2_and_say_what_to_do(argv, message, capsys, data_folder):
    assert run(["data", *argv]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err


def test_the_list_tells_how_the_files_of_each_can_be_had(capsys, data_folder):
    (data_folder / "septic_shock_individual.csv").write_text("not this")
    assert run(["data", "list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    ends = {"endotoxemia_bolus": "to fetch", "cart_crs": "by hand", "septic_shock": "differ", "healthy_il6": "by hand"}
    assert all(lines[name].rstrip().endswith(end) for name, end in ends.items())
    assert all(one.licence in lines[one.name] for one in entries().values())


@pytest.mark.parametrize("name", entries())
def test_show_tells_licence_citation_caveats_and_checksums(name, capsys, data_folder):
    one = entries()[name]
    assert run(["data", "show", name]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"licence {one.licence}" in told
    assert all(text in told for text in one.caveats)
    assert all(work.text in told and (work.doi or "DOI not verified") in told for work in one.cite)
    assert all(file.sha256 in told and (one.url(file) or "put it into") in told for file in one.files)


@pytest.mark.parametrize(("name", "subjects"), [("endotoxemia_bolus", 20), ("cart_crs", 39)])
def test_files_that_are_given_are_checked_and_read(name, subjects, capsys, data_folder, monkeypatch, shared):
    monkeypatch.setenv("CYTOSTORM_DATA", str(shared / "data"))
    assert run(["data", "fetch", name]) == 0
    out = capsys.readouterr().out
    assert f"of {subjects} subjects can be fitted" in out
    assert "is here" in out
    assert "LICENCE" in out


def test_offline_a_fit_of_published_data_exits_with_2_and_leaves_no_run(capsys, data_folder):
    folder = data_folder / "run"
    assert run(["fit", "data=published", f"hydra.run.dir={folder}"]) == 2
    captured = capsys.readouterr()
    assert f"put the file into {data_folder}" in captured.err
    assert "Traceback" not in captured.err
    assert not folder.exists()
