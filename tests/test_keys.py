"""The page of every key says of each what it is, and leaves none out."""

import re

import pytest

from cytostorm.models import Endotoxin, Minimal, Network, quantities
from cytostorm.models.drugs import LINEAR
from cytostorm.scripts import completion
from cytostorm.scripts.cli import JOBS
from cytostorm.scripts.keys import keys, page

FILE = """\
# What it is.
defaults:
  - other
  - group: option
_target_: cytostorm.models.Solver

rtol: 1.0e-6  # of a step
next:
  at: posterior    # the draws
  more: {a: 1, b: null}
path: ???
"""


@pytest.fixture(scope="module")
def text():
    return page(JOBS)


def test_keys_of_a_file_have_their_paths_defaults_and_words():
    found = {key.path: (key.default, key.kind, key.text) for key in keys(FILE)}
    assert found == {
        "rtol": (1e-6, "a number", "of a step"),
        "next.at": ("posterior", "text", "the draws"),
        "next.more": ({"a": 1, "b": None}, "a group of keys", ""),
        "path": ("???", "", ""),
    }


@pytest.mark.parametrize("job", JOBS)
def test_every_key_of_a_job_is_there(text, job):
    part = text.split(f"### cytostorm {job}\n")[1].split("\n### ")[0].split("\n## ")[0]
    own = {path.rstrip("=").split(".")[0] for path in completion.keys(job)} - {"hydra", "again", *completion.options()}
    assert all(f"| `{name}" in part for name in own), own


def test_every_option_is_there(text):
    for group, many in completion.options().items():
        assert all(f"| `{group}={option}` | " in text for option in many), group


def test_every_parameter_has_its_unit_and_its_source(text):
    rows = text.splitlines()
    for model in (Minimal, Network, Endotoxin):
        for name, known in quantities(model()).items():
            first = f"| `model.{name}` | {known.value:g} | {known.unit} | "
            assert any(row.startswith(first) and row.endswith(f"| {known.source} |") for row in rows), name


def test_every_drug_is_there(text):
    assert all(f"| {name} | {drug.cl:.3g} | " in text for name, drug in LINEAR.items())


def test_nothing_is_left_unexplained(text):
    """Every key and every option has words; a row that ends in an empty cell has none."""
    rows = [row for row in text.splitlines() if row.startswith("| `")]
    assert len(rows) > 300
    assert not [row for row in rows if re.search(r"\|\s*\|$", row)]


def test_words_in_angle_brackets_are_shown():
    assert "runs/sweep/JOB-&lt;hash of its overrides>, the same" in page({"sweep": "many jobs"})


def test_what_a_name_means_that_several_models_have(text):
    """In the minimal model, whose prior it is, `k_m` deactivates; in the endotoxin model it activates."""
    (row,) = [row for row in text.splitlines() if row.startswith("| `prior.k_m` ")]
    assert row.endswith("| deactivation rate of the cells [1/h] |")


def test_defaults_are_those_of_the_files(text):
    assert "| `horizons_h` | `[24.0, 48.0, 72.0]` | a list |" in text
    assert "| `sampler.num_paths` | `4` (pathfinder) | a whole number |" in text
