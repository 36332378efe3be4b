"""cytostorm forecast: readings as they arrive in, the chance of a storm after each out."""

import time
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from omegaconf import DictConfig

import cytostorm.inference as ci
from cytostorm.inference.analyte import UNITS, canonical
from cytostorm.inference.figures import save_figure
from cytostorm.inference.keys import root
from cytostorm.inference.report import warning_report
from cytostorm.inference.summary import plain
from cytostorm.inference.warning import replay as replays
from cytostorm.inference.warning.alarm import LEVELS, Alarm
from cytostorm.inference.warning.warning_figures import calibrated, warnings

from . import device
from .compose import BadConfig, blame, build
from .problem import world
from .run import begin, console, end, origin, progress, sha256


def main(cfg: DictConfig, folder: Path) -> int:
    """Forecast, save, score and draw. Returns the exit code."""
    clock = time.perf_counter()
    hardware = device.start(**cfg.device)
    horizons = _checked(cfg)
    with blame():
        problems = problems_of(cfg, cfg.analyte)
        analyte = canonical(cfg.analyte)
    config_hash = begin(cfg, folder)
    pd.concat([p.data.table() for p in problems.values()]).to_csv(folder / "observations.csv", index=False)
    last = max(float(p.data.time.max()) for p in problems.values())
    until = last + max(horizons)
    watch = replays.Watch(analyte)
    with blame(), progress("forecasting") as report:
        forecasts, ahead = replays.replay(
            problems, root(cfg.seed), until, cfg.threshold, horizons, cfg.num_points, cfg.step_h, watch, report
        )
    table = alarms(forecasts)
    table.to_csv(folder / "forecast.csv", index=False)
    ci.save(tree_of(forecasts, analyte), folder / "forecast.nc")
    plt.switch_backend("agg")
    readings = {label: series(problem, analyte) for label, problem in problems.items()}
    save_figure(warnings(forecasts, readings, analyte, cfg.threshold, cfg.alarm), folder / "warnings.png")
    scores, pictures = None, {}
    if cfg.rolling:
        ahead.to_csv(folder / "readings.csv", index=False)
        chances, each = replays.compared(problems, forecasts, ahead, readings, cfg.threshold, analyte)
        scores = replays.scored(chances, each, cfg.alarm)
        chances.to_csv(folder / "chances.csv", index=False)
        scores.to_csv(folder / "scores.csv", index=False)
        png = save_figure(calibrated(chances, sorted(horizons)[len(horizons) // 2]), folder / "calibration.png")
        pictures["What came against what was forecast, in ten bins, of every method."] = png
        console.print(scores.to_string(index=False, float_format="{:.3g}".format), highlight=False, soft_wrap=True)
    lines = told(forecasts, cfg.threshold, analyte)
    for line in lines:
        console.print(line, highlight=False)
    source = origin(folder, "forecast", hardware, cfg.seed, config_hash)
    watched = (analyte, float(cfg.threshold), float(cfg.alarm))
    warning_report.write(folder, forecasts, readings, watched, lines, table, scores, pictures, *source)
    solves, failed = (sum(getattr(x[-1], name) for x in forecasts.values()) for name in ("num_solves", "num_failed"))
    seconds = time.perf_counter() - clock
    end(
        folder,
        "forecast",
        device=hardware,
        seed=cfg.seed,
        config_sha256=config_hash,
        data_sha256=sha256(folder / "observations.csv"),
        seconds={"total": seconds},
        num_solves=solves,
        num_failed_solves=failed,
    )
    console.print(f"{seconds:.0f} s; {failed} of {solves} solves failed\n{folder}", highlight=False, soft_wrap=True)
    return 0


def _checked(cfg: DictConfig) -> list[float]:
    horizons = [float(h) for h in cfg.horizons_h]
    if not horizons or min(horizons) <= 0:
        raise BadConfig(f"`horizons_h` is {horizons}; give positive numbers of hours")
    for name in ("threshold", "step_h"):
        if not cfg[name] > 0:
            raise BadConfig(f"`{name}` is {cfg[name]}; give a positive number")
    if not 0 < cfg.alarm < 1:
        raise BadConfig(f"`alarm` is {cfg.alarm}; give a probability between 0 and 1")
    if cfg.num_points < 100:
        raise BadConfig(f"`num_points` is {cfg.num_points}; give 100 or more")
    return horizons


def problems_of(cfg: DictConfig, analyte: str) -> dict[str, ci.Problem]:
    """One problem for each patient: its own readings until they are known, under its own doses."""
    model, story, solver = world(cfg)
    data, priors, noise = build(cfg.data), build(cfg.prior), build(cfg.noise)
    if isinstance(data, ci.Synthetic):
        data = data.draw(model, story, solver)
    if isinstance(data, ci.Observations):
        labels = list(dict.fromkeys(data.subject))
        every = [(label, data.rows(np.array(data.subject) == label), story) for label in labels]
    else:
        every = [(s.label, s.data, s.under(story)) for s in data]
    analyte = canonical(analyte)
    until = np.inf if cfg.known_until_h is None else float(cfg.known_until_h)
    found = {}
    for label, rows, its in every:
        known = rows.rows(rows.time <= until)
        if not any(a == analyte for a in known.analyte):
            raise BadConfig(
                f"subject {label!r} has no reading of {analyte} until {until:g} h, so there is nothing to watch; raise"
                " `known_until_h`, or leave it out with `data.subjects`"
            )
        found[label] = ci.Problem(model, its, known, priors, noise, solver)
    return found


def series(problem: ci.Problem, analyte: str) -> tuple[np.ndarray, np.ndarray]:
    """The times [h] and values of the readings of an analyte."""
    when, log_value = replays.series(problem, analyte)
    return when, np.exp(log_value)


def alarms(forecasts: dict[str, list[Alarm]]) -> pd.DataFrame:
    """One row per patient and forecast: chances, doubling time and margin with 90 % intervals, the worth of the points."""
    rows = []
    for label, many in forecasts.items():
        for one in many:
            row: dict[str, Any] = {"patient": label, "time_h": one.time, "readings": one.num}
            row |= {f"exceeds_{h:g}h": p for h, p in zip(one.horizons, one.exceeds, strict=True)}
            for name, k in {"q5": 4, "median": 2, "q95": 0}.items():  # fast growth is a short doubling time
                row[f"doubling_{name}"] = np.log(2) / one.growth[k] if one.growth[k] > 0 else np.inf
            row |= {f"margin_{name}": one.margin[k] for name, k in {"q5": 0, "median": 2, "q95": 4}.items()}
            rows.append(row | {"ess": one.ess})
    return pd.DataFrame(rows)


def tree_of(forecasts: dict[str, list[Alarm]], analyte: str) -> xr.DataTree:
    """The forecasts of every patient as a tree: one group each, over forecast, horizon, level and hours ahead."""
    groups = {}
    for label, many in forecasts.items():
        width = max(len(one.ahead) for one in many)
        band = np.full((len(many), len(LEVELS), width), np.nan)
        ahead = np.full((len(many), width), np.nan)
        for i, one in enumerate(many):
            band[i, :, : len(one.ahead)], ahead[i, : len(one.ahead)] = one.band, one.ahead
        groups[f"predictions/{label}"] = xr.Dataset(
            {
                "exceeds": (("forecast", "horizon"), np.array([one.exceeds for one in many])),
                "growth": (("forecast", "level"), np.array([one.growth for one in many]), {"units": "1/h"}),
                "margin": (("forecast", "level"), np.array([one.margin for one in many]), {"units": "1"}),
                analyte: (("forecast", "level", "point"), band, {"units": UNITS[analyte]}),
            },
            coords={
                "time": ("forecast", [one.time for one in many], {"units": "h"}),
                "horizon": ("horizon", list(many[0].horizons), {"units": "h"}),
                "level": list(LEVELS),
                "ahead": (("forecast", "point"), ahead, {"units": "h"}),
            },
        )
    return xr.DataTree.from_dict(groups)


def told(forecasts: dict[str, list[Alarm]], threshold: float, analyte: str, most: int = 10) -> list[str]:
    """The last forecast of the first patients in words."""
    lines = []
    for label, many in list(forecasts.items())[:most]:
        one = many[-1]
        chances = ", ".join(f"{p:.0%} within {h:g} h" for h, p in zip(one.horizons, one.exceeds, strict=True))
        rate = one.growth[2]
        speed = f"{'doubles' if rate > 0 else 'halves'} in {plain(np.log(2) / max(abs(rate), 1e-12))} h"
        lines.append(
            f"{label} at {one.time:g} h: {analyte} above {threshold:g} with {chances}; it {speed}; margin"
            f" {plain(one.margin[2])} ({plain(one.margin[0])} to {plain(one.margin[4])})"
        )
    return lines
