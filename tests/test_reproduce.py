"""A finished run once more: the same to the bit, and what is said where it is not."""

import json
import shutil

import numpy as np
import pytest
import xarray as xr

from cytostorm.inference import load, save
from cytostorm.scripts.cli import run
from cytostorm.scripts.reproduce import compared, in_errors
from cytostorm.scripts.run import Manifest


@pytest.fixture
def copy(quick_run, tmp_path):
    """A copy of a finished fit, and its manifest."""
    shutil.copytree(quick_run, tmp_path / "copy")
    return tmp_path / "copy", Manifest.model_validate_json((quick_run / "manifest.json").read_text())


@pytest.mark.slow
def test_a_fit_is_reproduced_to_the_bit(quick_run, tmp_path, capsys):
    assert run(["reproduce", str(quick_run), f"hydra.run.dir={tmp_path / 'again'}"]) == 0
    out = capsys.readouterr().out
    assert "readings: as the manifest says" in out
    assert "versions: the same" in out
    assert "REPRODUCED: " in out
    assert "results are the same to the bit" in out
    told = json.loads((tmp_path / "again" / "reproduction.json").read_text())
    assert told["reproduced"] is True
    one, other = load(quick_run / "posterior.nc"), load(tmp_path / "again" / "posterior.nc")
    xr.testing.assert_equal(one["posterior"].to_dataset(), other["posterior"].to_dataset())


def shifted(folder, by):
    """Shift the draws of one parameter by so many of their standard deviations."""
    tree = load(folder / "posterior.nc")
    x = tree["posterior"]["k_l"]
    tree["posterior"]["k_l"] = x + by * float(x.std())
    save(tree, folder / "posterior.nc")


def test_one_number_that_differs_is_named(copy, quick_run):
    folder, manifest = copy
    shifted(folder, 1e-12)
    told = compared(quick_run, folder, manifest, manifest)
    assert not told["reproduced"]
    assert told["faults"] == ["posterior.nc: /posterior/k_l"]


@pytest.mark.slow
def test_on_another_device_means_agree_within_their_errors_or_not(copy, quick_run):
    folder, manifest = copy
    other = manifest.model_copy(update={"device": {"platform": "gpu", "kind": "abacus"}})
    shifted(folder, 1e-3)
    told = compared(quick_run, folder, manifest, other)
    assert told["reproduced"]
    assert "on another device (cpu (cpu), now gpu (abacus)) not to the bit" in told["why"]
    shifted(folder, 5.0)
    told = compared(quick_run, folder, manifest, other)
    assert not told["reproduced"]
    assert told["faults"][0].startswith("k_l: ")


def test_independent_draws_of_one_posterior_lie_few_errors_apart():
    """Of two samples of the same normal distribution the means differ by about one error, never by 4.5 here."""
    rng, far = np.random.default_rng(0), []
    for _ in range(50):
        one, other = (
            xr.DataTree.from_dict({"posterior": xr.Dataset({"x": (("chain", "draw"), rng.standard_normal((4, 250)))})})
            for _ in range(2)
        )
        far.append(in_errors(one, other)["x"])
    assert max(far) < 4.5
    assert 0.4 < np.median(far) < 1.0  # of the absolute value of a standard normal variable: 0.67


def test_other_data_and_missing_results_are_said(copy, quick_run):
    folder, manifest = copy
    other = manifest.model_copy(update={"data_sha256": "0" * 64})
    assert compared(quick_run, folder, manifest, other)["why"] == "the data are others"
    (folder / "summary.csv").unlink()
    assert compared(quick_run, folder, manifest, manifest)["faults"] == ["summary.csv is missing"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "has no manifest.json: it holds no finished run"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "cannot be read"),
        (lambda folder: replaced(folder, '"job": "fit"', '"job": "os"'), "is of the job `os`, which cannot be run"),
        (lambda folder: forged(folder), "only targets inside `cytostorm.` can be built"),
    ],
)
def test_a_folder_that_is_no_run_is_refused(copy, tmp_path, capsys, change, message):
    folder, _ = copy
    change(folder)
    assert run(["reproduce", str(folder), f"hydra.run.dir={tmp_path / 'again'}"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def forged(folder):
    text = (folder / "config.yaml").read_text()
    assert "cytostorm.models.Minimal" in text
    (folder / "config.yaml").write_text(text.replace("cytostorm.models.Minimal", "os.system"))


def replaced(folder, old, new):
    text = (folder / "manifest.json").read_text()
    assert old in text
    (folder / "manifest.json").write_text(text.replace(old, new))
