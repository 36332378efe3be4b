"""What a configuration asks for: the problem of a fit, its sampler, and the worlds that its arms live in."""

from typing import Any

from omegaconf import DictConfig

import cytostorm.inference as ci
from cytostorm.inference.results import configured
from cytostorm.models import Model, Scenario, Solver

from .compose import blame, build, plain


def prepare(cfg: DictConfig) -> tuple[Any, ci.Sampler, dict[str, float]]:
    """The problem, the sampler and the truth (empty unless the data are synthetic) of a configuration."""
    with blame():
        problem, truth = configured.prepared(plain(cfg))
    return problem, build(cfg.sampler), truth


def arms_of(cfg: DictConfig, model: DictConfig | None = None) -> dict[str, ci.Arm]:
    """The arms of a configuration, of its model or of another."""
    with blame():
        return configured.arms_of(plain(cfg), plain(model))


def world(cfg: DictConfig) -> tuple[Model, Scenario, Solver]:
    """The model, the scenario and the solver of a configuration."""
    with blame():
        return configured.world(plain(cfg))


def lanes(cfg: DictConfig) -> int:
    """How many trajectories can be solved side by side: chains or particles, times subjects, times tangents."""
    priors, data = build(cfg.prior), build(cfg.data)
    if isinstance(data, ci.Synthetic):
        subjects = data.num_subjects
    else:
        subjects = len(data) if isinstance(data, ci.Cohort) else len(set(data.subject))
    chains = next((cfg.sampler[key] for key in ("num_particles", "num_points", "num_chains") if key in cfg.sampler), 1)
    return chains * subjects * len(priors)
