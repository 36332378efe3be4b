"""How the story of a subject may go on, and what could be read of it then, as a configuration asks."""

import math
from collections.abc import Callable

import numpy as np
from omegaconf import DictConfig

import cytostorm.inference as ci
from cytostorm.inference.analyte import canonical
from cytostorm.inference.decisions.options import spread
from cytostorm.inference.identifiability.design import AS_IT_IS, Draws, Future, future
from cytostorm.inference.results.choices import courses_of
from cytostorm.models import Scenario

from .compose import BadConfig, blame

STEPS = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 24.0)  # h, between two times

type Report = Callable[[int, int], None]


def check(cfg: DictConfig, problem: ci.Problem) -> None:
    """Refuse what cannot be asked of the next readings, before anything is solved."""
    if cfg.at not in ("posterior", "prior"):
        raise BadConfig(f"`next.at` is {cfg.at!r}; choose posterior or prior")
    for name, least in {"num_draws": 1, "num_times": 2, "num": 1}.items():
        if cfg[name] < least:
            raise BadConfig(f"`next.{name}` is {cfg[name]}; give {least} or more")
    if not cfg.spacing_h > 0:
        raise BadConfig(f"`next.spacing_h` is {cfg.spacing_h}; give a positive number of hours")
    if unknown := [name for name in cfg.about or () if name not in problem.priors]:
        raise BadConfig(f"`next.about` names `{unknown[0]}`, which has no prior; choose from: {', '.join(problem.priors)}")
    if cfg.about is not None and not len(cfg.about):
        raise BadConfig("`next.about` is empty; name parameters, or give null for all")
    with blame():
        for name in analytes(cfg, problem):
            if name not in problem.model.analytes:
                known = ", ".join(problem.model.analytes)
                raise ValueError(f"`next.analytes` names `{name}`, which the model does not predict; it predicts: {known}")


def analytes(cfg: DictConfig, problem: ci.Problem) -> list[str]:
    """What could be read."""
    return list(problem.model.analytes) if cfg.analytes is None else [canonical(str(name)) for name in cfg.analytes]


def about(cfg: DictConfig, problem: ci.Problem) -> list[int] | None:
    """The numbers of the parameters that readings are to tell of; None for all."""
    return None if cfg.about is None else [list(problem.priors).index(name) for name in cfg.about]


def times(cfg: DictConfig, problem: ci.Problem, horizon: float | None) -> np.ndarray:
    """When could be read [h]: at most `num_times` times at full hours, or at simple parts of them."""
    start, last = problem.scenario.start, float(problem.data.time.max())
    begin = last if cfg.from_h is None else float(cfg.from_h)
    longer = horizon if horizon and horizon > begin + cfg.spacing_h else begin + max(last - start, 2 * cfg.spacing_h)
    end = float(longer if cfg.until_h is None else cfg.until_h)
    if begin < start:
        raise BadConfig(f"`next.from_h` is {begin:g}, before the story begins at {start:g} h")
    if not end > begin + cfg.spacing_h:
        raise BadConfig(f"`next.until_h` is {end:g}: there is no time after {begin:g} h and the spacing; raise it")
    first = begin + cfg.spacing_h
    step = next((x for x in STEPS if (end - first) / x < cfg.num_times), (end - first) / (cfg.num_times - 1))
    return np.arange(np.ceil(first / step - 1e-9), np.floor(end / step + 1e-9) + 1) * step


def stories(cfg: DictConfig, problem: ci.Problem) -> tuple[dict[str, Scenario], list[str]]:
    """The story as it is and with every treatment, by label, and which treatments the model does not take, in words."""
    found, left, story = {AS_IT_IS: problem.scenario}, [], problem.scenario
    last = float(problem.data.time.max()) if cfg.from_h is None else float(cfg.from_h)
    with blame():
        asked = cfg.start_h if cfg.start_h is None or isinstance(cfg.start_h, int | float | str) else list(cfg.start_h)
        starts = spread(last if asked is None else asked, "next.start_h")
    for name in cfg.treatments:
        weight = float(getattr(problem.model, "weight", 70.0))
        with blame():
            courses = courses_of(str(name)).doses(weight)
        for start in starts:
            one = Scenario(story.doses + courses.shifted(start), story.initial, story.start)
            try:
                one.check(problem.model)
            except ValueError as error:
                left.append(f"no future with {name}: {error}")
                break
            found[f"{name} at {start:g} h"] = one
    return found, left


def futures(
    cfg: DictConfig, problem: ci.Problem, ways: dict[str, Scenario], when: np.ndarray, draws: Draws, report: Report
) -> list[Future]:
    """What candidates would tell in every future."""
    found = []
    for number, (label, story) in enumerate(ways.items()):

        def part(done: int, total: int, number: int = number) -> None:
            report(math.floor((number + done / total) * 100), 100 * len(ways))

        found.append(future(problem, label, story, analytes(cfg, problem), when, draws, part))
    return found
