"""cytostorm predict: a finished fit in, predictions of what is still to be read out."""

import copy
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

import cytostorm.inference as ci
from cytostorm.inference.analyte import canonical
from cytostorm.inference.keys import root
from cytostorm.inference.prediction.forecast import Forecast, design, known_subjects, new_subjects, predicted, same_subject
from cytostorm.inference.prediction.forecast_tree import bands, forecast_tree, held_out, subjects
from cytostorm.inference.report import forecast_report
from cytostorm.inference.verdict import PARETO_K, passed
from cytostorm.models import no_doses, quantities

from . import device
from .compose import BadConfig, blame, build, named
from .problem import prepare, world
from .run import begin, console, end, origin, sha256


def main(cfg: DictConfig, folder: Path) -> int:
    """Predict, save, compare and draw. Returns the exit code: 1 where a subject could not be predicted at all."""
    clock = time.perf_counter()
    hardware = device.start(**cfg.device)
    fit, tree = finished(Path(str(cfg.fit)), cfg.own)
    with blame():
        forecast = (of_population if build(fit.variability) else of_one)(cfg, fit, tree)
    config_hash = begin(cfg, folder)
    table, late, each = bands(forecast), held_out(forecast), subjects(forecast)
    ci.save(forecast_tree(forecast), folder / "predictions.nc")
    table.to_csv(folder / "predictions.csv", index=False)
    each.to_csv(folder / "subjects.csv", index=False)
    if len(late):
        late.to_csv(folder / "held_out.csv", index=False)
    if len(table):
        draw(forecast, table, folder / "predictions.png")
    if not passed(tree):
        console.print("the fit did not pass its verdict: so much for what it predicts", style="bold red")
    lines = told(forecast, late, each)
    for line in lines:
        console.print(line, highlight=False)
    source = origin(folder, "predict", hardware, cfg.seed, config_hash)
    forecast_report.write(folder, forecast, table, late, each, passed(tree), lines, *source)
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


def finished(folder: Path, own: str | None = None) -> tuple[DictConfig, xr.DataTree]:
    """The configuration and the posterior of a finished fit; `own` is the file of a model of one's own, if it is of one.

    Raises `BadConfig` for a folder that is not one's, and for one that would have a file run which `own` does not name.
    """
    if not folder.is_dir():
        raise BadConfig(f"`fit` is {folder}: no such run folder; give one of a finished fit, as fit=runs/fit/<time>")
    for name in ("config.yaml", "posterior.nc"):
        if not (folder / name).is_file():
            raise BadConfig(f"{folder} has no {name}: it holds no finished fit; give `fit` the folder of another")
    try:
        config, tree = OmegaConf.load(folder / "config.yaml"), ci.load(folder / "posterior.nc")
    except (OSError, ValueError, YAMLError) as error:
        raise BadConfig(f"{folder} cannot be read: {error}; fit again") from error
    assert isinstance(config, DictConfig)
    named(config, own, folder)
    return config, tree


def not_beside(*names: str) -> None:
    """Raise `BadConfig` where one of these parts of a configuration is asked for beside `fit`, which has its own."""
    asked = [str(o).lstrip("+~").split("=")[0].split(".")[0] for o in HydraConfig.get().overrides.task]
    if both := [name for name in names if name in asked]:
        raise BadConfig(f"`{both[0]}` and `fit` are both given; the fit has its own: leave one out")


def of_one(cfg: DictConfig, fit: DictConfig, tree: xr.DataTree) -> Forecast:
    """The subject of a fit in the scenario asked for."""
    one = changed(cfg, fit, fit)
    if given := cfg.get("data"):
        one.data = OmegaConf.to_container(given, resolve=True)
    problem, _, _ = prepare(one)
    assert isinstance(problem, ci.Problem)
    data = problem.data
    # Readings of the fit belong to its own scenario.
    known, late = None if cfg.get("trigger") or cfg.get("treatment") else data, None
    if given:
        after = data.time > _number(cfg, "known_until_h", -np.inf)
        known, late = data.rows(~after), data.rows(after)
    elif cfg.known_until_h is not None:
        raise BadConfig("`known_until_h` parts the readings of `data`, and none are given; give data=csv data.path=FILE")
    times = _times(cfg, problem.scenario.start, float(data.time.max()))
    return same_subject(problem, tree, times, root(cfg.seed), _analytes(cfg, tree), known, late, cfg.num_draws)


def of_population(cfg: DictConfig, fit: DictConfig, tree: xr.DataTree) -> Forecast:
    """New subjects of a population, or subjects of whom some readings are known."""
    arms = arms_of(cfg, fit)
    analytes = _analytes(cfg, tree)
    for arm in arms.values():
        predicted(analytes, arm.model)
    variability = build(fit.variability)
    make = partial(
        ci.Population,
        arms,
        priors=build(fit.prior),
        variability=variability,
        noise=build(fit.noise),
        solver=build(fit.solver),
        reference=str(tree["predictions"].to_dataset()["study"].values[0]),
    )
    last = float(tree["observed_data"].to_dataset()["time"].max())
    if not (given := cfg.get("data")):
        cohort = _newcomers(cfg, arms, make, analytes)
        return new_subjects(make, cohort, tree, _times(cfg, 0.0, last), root(cfg.seed), analytes, cfg.num_draws)
    cohort = build(given)
    if isinstance(cohort, ci.Observations):
        labels = list(dict.fromkeys(cohort.subject))
        rows = [cohort.rows(np.array(cohort.subject) == label) for label in labels]
        cohort = ci.Cohort(tuple(ci.Subject(label, "", data) for label, data in zip(labels, rows, strict=True)))
    if not isinstance(cohort, ci.Cohort):
        raise BadConfig("`data` are to be readings of subjects, not a recipe; use data=cohort data.path=FILE")
    for subject in cohort:
        for name in dict.fromkeys(c.covariate for c in variability.covariates):
            if name not in {*subject.covariates, *subject.changing}:
                raise BadConfig(
                    f"subject {subject.label!r} has no covariate `{name}`, which the fit uses; add it as a column"
                )
    times = _times(cfg, max(s.start for s in cohort), max(last, *(float(s.data.time.max(initial=last)) for s in cohort)))
    until = None if cfg.known_until_h is None else _number(cfg, "known_until_h", 0.0)
    return known_subjects(make, cohort, tree, times, root(cfg.seed), analytes, until, cfg.num_draws)


def changed(cfg: DictConfig, fit: DictConfig, arm: Any) -> DictConfig:
    """The configuration of a fit with the trigger and treatment of an arm of it, or those asked for."""
    one = copy.deepcopy(fit)
    for name in ("trigger", "treatment"):
        asked = cfg.get(name)
        one[name] = OmegaConf.to_container(asked, resolve=True) if asked else copy.deepcopy(arm[name])
    # A fit keeps its values resolved: here the model takes its stimulus from the trigger again, if it did so there.
    if "stimulus" in one.model and fit.model.stimulus == fit.trigger.get("stimulus"):
        one.model.stimulus = one.trigger.get("stimulus")
    return one


def arms_of(cfg: DictConfig, fit: DictConfig) -> dict[str, ci.Arm]:
    """The arms of a fit as they are asked for: all, one for everybody, or a new one."""
    own = dict(fit.arms.items()) or {"*": fit}
    if cfg.arm is not None:
        if cfg.arm not in own:
            raise BadConfig(f"no arm `{cfg.arm}` in the fit; it has: {', '.join(own)}")
        own = {"*": own[cfg.arm]}
    elif cfg.get("trigger") and cfg.get("treatment"):
        own = {"*": fit}
    return {str(name): ci.Arm(*world(changed(cfg, fit, arm))[:2]) for name, arm in own.items()}


def _newcomers(cfg: DictConfig, arms: dict[str, ci.Arm], make: partial, analytes: list[str]) -> ci.Cohort:
    """New subjects, all with the covariates given or else the references of the fit."""
    if len(arms) > 1:
        raise BadConfig(f"the fit has several arms; choose that of the new subjects with `arm=`: {', '.join(arms)}")
    if cfg.num_subjects < 1:
        raise BadConfig(f"`num_subjects` is {cfg.num_subjects}; give 1 or more")
    (arm,), priors = arms.values(), list(make.keywords["priors"])
    known = {c.covariate: float(c.reference) for c in make.keywords["variability"].covariates}
    own = [name for name in quantities(arm.model) if name not in priors]
    if unknown := [name for name in cfg.covariates or () if name not in {*known, *own}]:
        raise BadConfig(f"no covariate `{unknown[0]}` in the fit; it has: {', '.join(known) or 'none'}")
    given = known | {str(name): float(x) for name, x in (cfg.covariates or {}).items()}
    none = design("", [], np.zeros(0))
    labels = [f"new_{i + 1}" for i in range(cfg.num_subjects)]
    study = make.keywords["reference"]
    return ci.Cohort(tuple(ci.Subject(label, study, none, no_doses(), given) for label in labels))


def _analytes(cfg: DictConfig, tree: xr.DataTree) -> list[str]:
    """What is asked for, or else what the fit read."""
    return list(dict.fromkeys(map(canonical, cfg.analytes or tree["observed_data"].to_dataset()["analyte"].values.tolist())))


def _times(cfg: DictConfig, start: float, last: float) -> np.ndarray:
    """The times of the curves [h]: to the end asked for, or the horizon of the trigger asked for, or the last reading."""
    end = _number(cfg, "until_h", (cfg.get("trigger") or {}).get("horizon_h") or last)
    if not end > start:
        raise BadConfig(f"`until_h` is {end:g}; give a time after the start, {start:g} h")
    if cfg.num_times < 2:
        raise BadConfig(f"`num_times` is {cfg.num_times}; give 2 or more")
    return np.linspace(start, end, cfg.num_times)


def _number(cfg: DictConfig, name: str, otherwise: float) -> float:
    value = cfg[name]
    if value is None:
        return float(otherwise)
    if not isinstance(value, int | float) or not np.isfinite(value):
        raise BadConfig(f"`{name}` is {value!r}; give a number of hours, or null")
    return float(value)


def told(forecast: Forecast, late: Any, each: Any) -> list[str]:
    """The forecast in words: how many draws, failures, what was not learned, and how held-out readings fell."""
    counts = f"{forecast.num_failed} of {forecast.num_solves} solves failed"
    lines = [f"draws: {len(forecast.draw)}, subjects: {len(forecast.subjects)}; {counts}"]
    if forecast.unlearned:
        lines.append(f"not learned by the fit, drawn from the prior: {', '.join(forecast.unlearned)}")
    if lost := each.loc[each["num_failed"] == len(forecast.draw), "subject"].tolist():
        lines.append(f"no draw could predict: {', '.join(lost)}; raise `solver.max_steps` in the fit, or leave them out")
    if forecast.pareto_k is not None:
        bad = each.loc[each["pareto_k"] > PARETO_K, "subject"].tolist()
        lines.append(
            f"every subject has draws worth {each['draws'].min():.0f} or more, each of them points worth"
            f" {each['points'].min():.0f} or more"
            + (f"; Pareto k above {PARETO_K}, fit again with them: {', '.join(bad)}" if bad else "")
        )
    if len(late):
        lines.append(
            f"{len(late)} readings held out: {late['inside_90'].mean():.1%} inside their 90 % interval, log predictive"
            f" density {late['log_density'].sum():.1f}"
        )
    return lines


def draw(forecast: Forecast, table: Any, path: Path) -> None:
    """Write the figure."""
    import matplotlib.pyplot as plt

    from cytostorm.inference.figures import save_figure
    from cytostorm.inference.prediction.forecast_figure import bands_figure

    plt.switch_backend("agg")
    save_figure(bands_figure(forecast, table), path)
