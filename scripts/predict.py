"""cytostorm predict: a finished fit in, predictions of what is still to be read out."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import xarray as xr
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

import cytostorm.inference as ci
from cytostorm.inference.report import forecast_report
from cytostorm.inference.results import finished as runs
from cytostorm.inference.results.predicted import Asked, Predicted, predict
from cytostorm.inference.verdict import passed

from . import device
from .compose import BadConfig, blame, plain
from .run import begin, console, end, origin, sha256


def main(cfg: DictConfig, folder: Path) -> int:
    """Predict, save, compare and draw. Returns the exit code: 1 where a subject could not be predicted at all."""
    clock = time.perf_counter()
    hardware = device.start(**cfg.device)
    fit, tree = finished(Path(str(cfg.fit)), cfg.own)
    with blame():
        forecast = predict(asked(cfg), plain(fit), tree)
    config_hash = begin(cfg, folder)
    found = Predicted(forecast, passed(tree))
    ci.save(found.tree, folder / "predictions.nc")
    found.table.to_csv(folder / "predictions.csv", index=False)
    found.subjects.to_csv(folder / "subjects.csv", index=False)
    if len(found.held_out):
        found.held_out.to_csv(folder / "held_out.csv", index=False)
    if len(found.table):
        draw(found, folder / "predictions.png")
    for line in found.lines:
        console.print(line, highlight=False)
    source = origin(folder, "predict", hardware, cfg.seed, config_hash)
    tables = (found.table, found.held_out, found.subjects)
    forecast_report.write(folder, forecast, *tables, passed(tree), found.told, *source)
    end(
        folder,
        "predict",
        device=hardware,
        seed=cfg.seed,
        config_sha256=config_hash,
        data_sha256=sha256(Path(str(cfg.fit)) / "posterior.nc"),
        seconds={"total": time.perf_counter() - clock},
        num_solves=forecast.num_solves,
        num_failed_solves=forecast.num_failed,
    )
    console.print(f"{folder}", highlight=False, soft_wrap=True)
    return 0 if forecast.okay.any(axis=0).all() else 1


def asked(cfg: DictConfig) -> Asked:
    """What a configuration asks of a fit."""
    given: dict[str, Any] = {field.name: plain(cfg.get(field.name)) for field in dataclasses.fields(Asked)}
    return Asked(**given)


def finished(folder: Path, own: str | None = None) -> tuple[DictConfig, xr.DataTree]:
    """The configuration and the posterior of a finished fit; `own` is the file of a model of one's own, if it is of one.

    Raises `BadConfig` for a folder that is not one's, and for one that would have a file run which `own` does not name.
    """
    with blame():
        config, tree = runs.finished(folder, own)
    return OmegaConf.create(config), tree


def not_beside(*names: str) -> None:
    """Raise `BadConfig` where one of these parts of a configuration is asked for beside `fit`, which has its own."""
    asked = [str(o).lstrip("+~").split("=")[0].split(".")[0] for o in HydraConfig.get().overrides.task]
    if both := [name for name in names if name in asked]:
        raise BadConfig(f"`{both[0]}` and `fit` are both given; the fit has its own: leave one out")


def draw(found: Predicted, path: Path) -> None:
    """Write the figure."""
    import matplotlib.pyplot as plt

    from cytostorm.inference.style import save_figure

    plt.switch_backend("agg")
    save_figure(found.plot(), path)
