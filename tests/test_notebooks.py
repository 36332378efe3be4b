"""The notebooks run from top to bottom, with small numbers; their pages in the docs are of the notebooks as they are."""

import warnings

import pytest
import render
from conftest import ROOT

QUICK = ["debug=quick"]
LOOK = ["sampler=laplace", "solver.rtol=1e-4", "solver.atol=1e-6"]
SMALL = {
    "first_fit": {"more": QUICK},
    "when_to_treat": {
        "more": LOOK, "arms": ["tocilizumab"], "starts": [0, 48], "num_draws": 30, "num_times": 97, "force": True,
    },
    "own_model": {"sampler_settings": {"num_points": 512, "num_draws": 200}, "num_times": 9},
    "forecasting": {"last_h": 60.0, "num_points": 200, "step_h": 4.0},
    "anatomy": {"num_subjects": 3, "num_warmup": 20, "num_draws": 20, "few": {"num_chains": 2, "max_tree_depth": 3}},
    "batch": {"seeds": (1, 2), "sampler_settings": {"num_points": 512, "num_draws": 200}, "widths": (1, 2), "repeats": 1},
}  # fmt: skip


def test_every_notebook_is_tested_and_has_a_page():
    known = {path.stem for path in (ROOT / "notebooks").glob("*.py")} - {"render"}
    assert known == set(SMALL) == set(render.ORDER)
    nav = (ROOT / "mkdocs.yml").read_text()
    assert all(f"notebooks/{name}.md" in nav for name in known)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_notebook_runs_and_shows_figures(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries about small numbers
        found, _ = render.run(ROOT / "notebooks" / f"{name}.py", SMALL[name])
    pieces = [kind for ran in found for kind, _ in ran.pieces]
    assert pieces.count("png") >= 2 or pieces.count("html") >= 2
    text = render.page(name, found, tmp_path, 1.0)
    assert str(tmp_path) not in text
    assert text.startswith("# ")
    assert len(list(tmp_path.glob(f"{name}_*.png"))) == text.count(f"]({name}_")
    assert "What to conclude, and what not" in text


@pytest.mark.parametrize("name", SMALL)
def test_the_page_of_a_notebook_is_of_the_notebook_as_it_is(name):
    """Text and code; what it gave differs with the machine."""
    page = (ROOT / "docs" / "notebooks" / f"{name}.md").read_text()
    for cell in render.cells(ROOT / "notebooks" / f"{name}.py"):
        assert (cell.text if cell.is_text else cell.source.strip()) in page


def test_a_notebook_has_no_parameter_that_it_does_not_name(tmp_path):
    path = tmp_path / "small.py"
    path.write_text('# %% tags=["parameters"]\nnum = 1\n# %%\nprint(num)\nnum + 1\n')
    found, _ = render.run(path, {"num": 2})
    assert found[1].pieces == [("text", "2"), ("text", "3")]
    with pytest.raises(KeyError, match="has no parameter `other`"):
        render.run(path, {"other": 2})
