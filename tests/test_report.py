"""Reports: one file that asks no network, runs under a strict policy, and can be read and steered in a browser."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cytostorm.inference.decisions import decide
from cytostorm.inference.decisions.counterfactual import Comparison
from cytostorm.inference.decisions.options import NOW, Clock, Option
from cytostorm.inference.decisions.utility import Utility
from cytostorm.inference.observations import Observations
from cytostorm.inference.report import curves, decision_report, page, warning_report
from cytostorm.inference.warning.alarm import Alarm
from cytostorm.models import Treatment, bolus

FACTS = {"job": "test", "seed": 0, "commit": None}
HOSTILE = '</script><img src=x onerror="window.broken=1">\'&\u2028'


@pytest.fixture
def report(quick_run):
    return quick_run / "report.html"


def test_a_report_names_no_address_and_is_small(report):
    text = report.read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text)
    assert "http" not in re.sub(r"data:image/png;base64,[\w+/=]+|http-equiv", "", text)  # a picture may spell it by chance
    assert report.stat().st_size < 6e6


def test_the_policy_allows_its_own_script_and_style_alone(report):
    text = report.read_text()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)[1]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for name in ("style", "script"):
        (inside,) = re.findall(rf"<{name}>(.*?)</{name}>", text, re.DOTALL)
        assert f"{name}-src {page._hash(inside)}" in policy
    assert not re.search(r'\s(?:style|on\w+)="', re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))


def test_data_cannot_end_the_element_that_holds_them():
    text = page.embedded({"subject": HOSTILE})
    assert "<" not in text
    assert json.loads(text) == {"subject": HOSTILE}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (1234.567, 1235.0),
        (np.nan, None),
        (np.inf, None),
        (np.array([[1.0, -np.inf], [0.12345678, 0.0]]), [[1.0, None], [0.1235, 0.0]]),
    ],
)
def test_numbers_are_short_and_finite(given, kept):
    assert page.short(given) == kept


def readings(subject="A"):
    return Observations(
        (subject,) * 3,
        ("il6",) * 3,
        np.array([1.0, 2.0, 4.0]),
        np.array([10.0, 300.0, 5.0]),
        np.array([0, 0, -1]),
        np.array([1.0, 1.0, 5.0]),
        np.zeros(3, int),
        np.zeros(3),
    )


def bands(subject="A", analyte="il6"):
    time = np.linspace(0.0, 8.0, 40)
    middle = 5 + 300 * np.exp(-((time - 2) ** 2))
    return curves.curve(subject, analyte, time, np.array([0.5, 0.8, 1.0, 1.2, 2.0])[:, None] * middle)


def test_the_fit_of_one_shows_curves_readings_and_doses(quick_run):
    from cytostorm.inference import load
    from cytostorm.scripts.compose import composed
    from cytostorm.scripts.problem import prepare

    problem, _, _ = prepare(composed("fit", []))
    view = curves.fitted_curves(problem, load(quick_run / "posterior.nc"))
    assert [s["analyte"] for s in view["series"]] == ["il6"]
    one = view["series"][0]
    assert all(a <= b <= c for a, b, c in zip(one["q5"], one["median"], one["q95"], strict=True))
    assert len(view["readings"]) == len(problem.data)
    assert view["thresholds"] == {"il6": (10.0, 1000.0)}
    assert list(view["doses"]) == view["subjects"]


def test_doses_are_told_in_words():
    assert curves.marked(bolus("lps", 2.0, 1.5)) == [{"time": 1.5, "what": "lps 2 at 1.5 h"}]


def test_curves_of_many_subjects_are_thinned_to_keep_the_page_small():
    num, points = 300, 80
    dims = ("sample", "subject", "point")
    data = {a: (dims, np.random.default_rng(0).lognormal(size=(8, num, points))) for a in ("il6", "tnf", "crp")}
    coords = {
        "subject": [f"s{i}" for i in range(num)],
        "time": (("subject", "point"), np.tile(np.linspace(0, 9, points), (num, 1))),
    }
    tree = xr.DataTree.from_dict({"predictions": xr.Dataset(data, coords)})
    found = list(curves._of_all(tree))
    assert len(found) == 3 * num
    assert {s["time"][-1] for s in found} == {9.0}
    assert len(json.dumps(found)) < 4e6


def shown(folder, view, title="Views", name="view"):
    path = folder / "report.html"
    section = page.Section("part", "A part", views={name: view})
    page.render(path, title, page.Head("PASS", facts="all"), [section, *page.provenance(FACTS, "a: 1\n")])
    return path


def clean(browser, path):
    assert browser.errors == []
    assert browser.requests == [Path(path).resolve().as_uri()]


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (390, True)])
def test_a_report_opens_without_errors_or_requests(browser, report, width, dark):
    browser.open(report, width=width, dark=dark)
    clean(browser, report)
    assert browser.evaluate("document.querySelectorAll('svg[role=img]').length") == 5
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(17, 22, 27)") == dark


def test_bands_are_chosen_and_curves_are_read_off(browser, tmp_path):
    view = curves.trajectories(
        [bands(), bands("B")], curves.readings(readings()), {"A": curves.marked(bolus("lps", 2.0))}, ""
    )
    browser.open(shown(tmp_path, view))
    drawn = "document.querySelectorAll('.chart .band').length"
    before = browser.evaluate(drawn)
    browser.evaluate("document.querySelectorAll('#view input[type=checkbox]')[2].click()")
    assert browser.evaluate(drawn) == before - 2  # the band and its sample
    told = "document.querySelector('#view .told').textContent"
    browser.evaluate("document.querySelector('#view input[type=range]').focus()")
    first = browser.evaluate(told)
    browser.press("ArrowRight")
    assert browser.evaluate(told) != first
    assert "IL-6 at" in first
    assert browser.evaluate("document.activeElement.getAttribute('aria-valuetext')").endswith(" h")
    box = browser.evaluate(
        "(b => [b.x, b.y, b.width, b.height])(document.querySelector('svg[role=img]').getBoundingClientRect())"
    )
    browser.point(box[0] + box[2] - 20, box[1] + box[3] / 2)
    assert "at 8 h" in browser.evaluate(told) or "at 7." in browser.evaluate(told)
    clean(browser, tmp_path / "report.html")


def test_the_focus_stays_where_a_subject_is_chosen(browser, tmp_path):
    view = curves.trajectories([bands(), bands("B")], curves.readings(readings()), {}, "")
    browser.open(shown(tmp_path, view))
    choose = "(s => {s.focus(); s.value = 'B'; s.dispatchEvent(new Event('change')); return document.activeElement === s})"
    assert browser.evaluate(f"{choose}(document.querySelector('#view select'))")
    assert "of B over time: 0 readings" in browser.evaluate(
        "document.querySelector('svg[role=img]').getAttribute('aria-label')"
    )


def test_names_from_data_are_never_markup(browser, tmp_path):
    view = curves.trajectories([bands(HOSTILE), bands("B")], curves.readings(readings(HOSTILE)), {}, "")
    rows = [{"subject": HOSTILE, "x": 2.0}, {"subject": "B", "x": 10.0}]
    made = page.table(HOSTILE, [page.words("subject", "subject"), page.number("x", "x")], rows)
    path = tmp_path / "report.html"
    section = page.Section("part", HOSTILE, HOSTILE, lines=[HOSTILE], views={"view": view}, tables=[made])
    page.render(path, HOSTILE, page.Head(HOSTILE), [section, *page.provenance({"x": HOSTILE}, HOSTILE)])
    browser.open(path)
    clean(browser, path)
    assert browser.evaluate("window.broken === undefined && document.images.length === 0")
    assert browser.evaluate("document.querySelector('#view select').value") == HOSTILE


def test_tables_sort_by_number_and_by_word_and_say_so(browser, tmp_path):
    rows = [{"name": f"p{i}", "x": x} for i, x in enumerate([5.0, 100.0, 20.0, np.nan] * 5)]
    made = page.table("Numbers", [page.words("name", "name"), page.number("x", "x")], rows)
    path = tmp_path / "report.html"
    page.render(path, "Tables", page.Head("PASS"), [page.Section("t", "T", tables=[made])])
    browser.open(path)
    browser.evaluate("document.querySelectorAll('button.sort')[1].focus()")
    column = "[...document.querySelectorAll('tbody tr')].map(r => r.cells[1].textContent)"
    for direction, ends in (("ascending", ("5", "")), ("descending", ("100", ""))):
        browser.press("Enter")
        assert browser.evaluate("document.querySelectorAll('th')[1].getAttribute('aria-sort')") == direction
        found = browser.evaluate(column)
        assert (found[0], found[-1]) == ends
    browser.evaluate(
        "(b => {b.value = 'p1'; b.dispatchEvent(new Event('input'))})(document.querySelector('input[type=search]'))"
    )
    assert browser.evaluate("document.querySelectorAll('tbody tr:not([hidden])').length") == 11
    assert browser.evaluate("document.querySelector('output').textContent") == "11 of 20 rows"


def test_the_theme_is_that_of_the_reader_until_another_is_chosen(browser, report):
    browser.open(report, dark=True)
    colour = "getComputedStyle(document.body).backgroundColor"
    assert browser.evaluate(colour) == "rgb(17, 22, 27)"
    browser.evaluate("document.getElementById('theme').click()")
    assert browser.evaluate(colour) == "rgb(243, 245, 247)"
    assert browser.evaluate("document.getElementById('theme').getAttribute('aria-pressed')") == "false"


def comparison(num=60):
    rng = np.random.default_rng(1)
    none = Option("untreated", None, np.inf, 0.0, Clock(NOW))
    given = Treatment(0.0, tcz={"drug": "tocilizumab", "route": "iv", "dose": 8.0, "per_kg": True})
    options = (none, *(Option("tocilizumab", given, start, 1.0, Clock(NOW)) for start in (0.0, 24.0, 48.0)))
    peak = np.exp(rng.normal(5, 0.3, num))[None] * np.array([1.0, 0.3, 0.5, 0.9])[:, None]
    times = np.linspace(0.0, 96.0, 30)
    curve = peak[:, None, :20, None] * np.exp(-((times - 40) ** 2) / 400)
    okay = np.ones((4, 1, num), bool)
    start = np.broadcast_to(np.array([np.inf, 0.0, 24.0, 48.0])[:, None, None], (4, 1, num))
    return Comparison(
        options, ("A",), ("il6_peak",), ("pg/mL",), np.array([0.0]), start.copy(), okay, peak[:, None, :, None],
        times[None], np.arange(20), {"il6": curve},
    )  # fmt: skip


def test_a_comparison_has_a_slider_for_the_start(browser, tmp_path):
    it, utility = comparison(), Utility(il6_peak=-1.0)
    tables = {
        "decisions": decide.decisions(it, utility),
        "outcomes": decide.outcome_table(it),
        "windows": decide.windows(it, utility),
        "draws": decide.failures(it),
        "sensitivity": pd.DataFrame([{"parameter": "k_l", "value": 1.0, "share": 0.5, "correlation": 0.2}]),
    }
    decision_report.write(tmp_path, it, utility, tables, {"il6": "pg/mL"}, ["best: tocilizumab"], FACTS, "a: 1\n")
    path = tmp_path / "report.html"
    browser.open(path)
    clean(browser, path)
    told = "document.querySelector('#start .told').textContent"
    assert "tocilizumab from 0 h on" in browser.evaluate(told)
    browser.evaluate("document.querySelector('#start input[type=range]').focus()")
    browser.press("ArrowRight")
    assert "tocilizumab from 24 h on" in browser.evaluate(told)
    assert browser.evaluate("document.activeElement.getAttribute('aria-valuetext')") == "24 h after the decision"
    row = tables["decisions"].iloc[2]
    assert f"gained {row['difference']:.3g}" in browser.evaluate(told)
    assert browser.evaluate("document.querySelectorAll('#start tbody tr').length") == 2
    assert browser.evaluate("document.querySelectorAll('tr.best').length") == 1


def alarms():
    found = []
    for k, time in enumerate([0.0, 12.0, 24.0]):
        ahead = np.arange(time, time + 49)
        band = np.array([0.3, 0.7, 1.0, 1.5, 3.0])[:, None] * 50 * np.exp(0.05 * ahead)
        growth = np.array([-0.01, 0.01, 0.05, 0.07, 0.1])
        chance = np.array([0.1, 0.4]) * (k + 1) / 2
        found.append(Alarm(time, k, (24.0, 48.0), chance, chance, 0.6, 0.0, growth, growth + 1, ahead, band, 500.0, 9, 0))
    return {"A": found, HOSTILE: found}


def test_forecasts_are_gone_through_reading_by_reading(browser, tmp_path):
    forecasts = alarms()
    read = {label: (np.array([12.0, 24.0, 30.0]), np.array([60.0, 150.0, 400.0])) for label in forecasts}
    chances = pd.DataFrame(
        [{"patient": "A", "time_h": 0.0, "readings": 0, "exceeds_24h": 0.1, "doubling_median": np.inf, "margin_median": 1.0}]
    )
    scores = pd.DataFrame([{"method": "cytostorm", "brier": 0.1}])
    watched = ("il6", 1000.0, 0.5)
    warning_report.write(tmp_path, forecasts, read, watched, ["A: 10 %"], chances, scores, {}, FACTS, "a: 1\n")
    path = tmp_path / "report.html"
    browser.open(path, width=390)
    clean(browser, path)
    told = "document.querySelector('#warning .told').textContent"
    assert "A at 24 h: storm 15 % within 24 h, 60 % within 48 h; it doubles in 13.9 h" in browser.evaluate(told)
    assert browser.evaluate("document.querySelectorAll('#warning .marker.known').length") == 3  # and its sample
    browser.evaluate("document.querySelector('#warning input[type=range]').focus()")
    browser.press("Home")
    assert "A at 0 h: storm 5 %" in browser.evaluate(told)
    assert browser.evaluate("document.querySelector('main strong').textContent") == f"Alarm for A, {HOSTILE}"


def test_printing_leaves_the_controls_out(browser, report):
    browser.open(report)
    browser.send("Emulation.setEmulatedMedia", media="print")
    assert browser.evaluate("getComputedStyle(document.querySelector('.controls')).display") == "none"
    browser.send("Emulation.setEmulatedMedia", media="")
