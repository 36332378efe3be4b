"""cytostorm forecast: readings as they arrive in, the chance of a storm after each out."""

import dataclasses
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from omegaconf import DictConfig

import cytostorm.inference as ci
from cytostorm.inference.analyte import canonical
from cytostorm.inference.report import warning_report
from cytostorm.inference.results.foreseen import Watched, foresee, known_rows
from cytostorm.inference.style import save_figure

from . import device
from .compose import blame, build, plain
from .problem import world
from .run import begin, console, end, origin, progress, sha256


def main(cfg: DictConfig, folder: Path) -> int:
    """Forecast, save, score and draw. Returns the exit code."""
    clock = time.perf_counter()
    hardware = device.start(**cfg.device)
    with blame():
        watched = Watched(**{field.name: plain(cfg[field.name]) for field in dataclasses.fields(Watched)})
        problems = problems_of(cfg, cfg.analyte)
    config_hash = begin(cfg, folder)
    pd.concat([p.data.table() for p in problems.values()]).to_csv(folder / "observations.csv", index=False)
    with blame(), progress("forecasting") as report:
        found = foresee(watched, problems, report)
    found.table.to_csv(folder / "forecast.csv", index=False)
    ci.save(found.tree, folder / "forecast.nc")
    plt.switch_backend("agg")
    save_figure(found.plot(), folder / "warnings.png")
    scores, pictures = None, {}
    if cfg.rolling:
        scores = found.scores
        found.ahead.to_csv(folder / "readings.csv", index=False)
        found.chances.to_csv(folder / "chances.csv", index=False)
        scores.to_csv(folder / "scores.csv", index=False)
        png = save_figure(found.plot_calibration(), folder / "calibration.png")
        pictures["What came against what was forecast, in ten bins, of every method."] = png
        console.print(scores.to_string(index=False, float_format="{:.3g}".format), highlight=False, soft_wrap=True)
    for line in found.lines:
        console.print(line, highlight=False)
    source = origin(folder, "forecast", hardware, cfg.seed, config_hash)
    told = (found.analyte, float(cfg.threshold), float(cfg.alarm))
    warning_report.write(folder, found.forecasts, found.readings, told, found.lines, found.table, scores, pictures, *source)
    solves, failed = (sum(getattr(x[-1], name) for x in found.forecasts.values()) for name in ("num_solves", "num_failed"))
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
    found = {}
    for label, rows, its in every:
        with blame():
            known = known_rows(rows, label, analyte, cfg.known_until_h)
            found[label] = ci.Problem(model, its, known, priors, noise, solver)
    return found
