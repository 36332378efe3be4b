"""Bayesian inference for cytokine models: observations, priors, noise, problem, sampler, posterior, report."""

import importlib
from typing import TYPE_CHECKING, Any

# Loads NumPyro: ArviZ, imported before, leaves a lazy stand-in that breaks the import of its submodules.
from numpyro import __version__ as _numpyro  # noqa: F401

from . import samplers
from .analyte import declare as declare
from .cohort import Cohort as Cohort
from .cohort import Subject as Subject
from .cohort import merged as merged
from .noise import LogNormal as LogNormal
from .noise import Noise as Noise
from .observations import Observations as Observations
from .observations import observations as observations
from .panel import Arm as Arm
from .population import Population as Population
from .posterior import assemble as assemble
from .posterior import infer as infer
from .posterior import load as load
from .posterior import save as save
from .prior import Belief as Belief
from .prior import Prior as Prior
from .prior import Priors as Priors
from .prior import TruncatedNormal as TruncatedNormal
from .problem import Problem as Problem
from .samplers import NUTS as NUTS
from .samplers import Blocks as Blocks
from .samplers import Density as Density
from .samplers import Draws as Draws
from .samplers import Interrupted as Interrupted
from .samplers import NoStart as NoStart
from .samplers import Sampler as Sampler
from .samplers import Starting as Starting
from .samplers import Starts as Starts
from .samplers import Stuck as Stuck
from .summary import fitted as fitted
from .summary import individuals as individuals
from .summary import shrinkage as shrinkage
from .summary import summary as summary
from .synthetic import Synthetic as Synthetic
from .variability import Covariate as Covariate
from .variability import Effect as Effect
from .variability import Variability as Variability
from .verdict import Verdict as Verdict
from .verdict import judge as judge

if TYPE_CHECKING:
    from .results.construct import shipped as shipped
    from .results.foreseen import forecast as forecast
    from .results.posterior import Posterior as Posterior
    from .samplers import SMC as SMC
    from .samplers import SVI as SVI
    from .samplers import ChEES as ChEES
    from .samplers import Independence as Independence
    from .samplers import Laplace as Laplace
    from .samplers import Pathfinder as Pathfinder
    from .tables.account import Understood as Understood
    from .tables.catalogue import data_folder as data_folder
    from .tables.export import record_table as record_table
    from .tables.export import write_records as write_records
    from .tables.published import published as published
    from .tables.published import published_cohort as published_cohort
    from .tables.records import read_records as read_records
    from .tables.records import understand_records as understand_records
    from .tables.table import bundled as bundled
    from .tables.table import read as read
    from .tables.tidy import read_cohort as read_cohort
    from .tables.tidy import understand_cohort as understand_cohort


# What reads tables, predicts, compares and forecasts is imported when it is first named: an import is as short as it can be.
LATE = {
    "Posterior": ".results.posterior",
    "forecast": ".results.foreseen",
    "shipped": ".results.construct",
    "Understood": ".tables.account",
    "data_folder": ".tables.catalogue",
    "record_table": ".tables.export",
    "write_records": ".tables.export",
    "published": ".tables.published",
    "published_cohort": ".tables.published",
    "read_records": ".tables.records",
    "understand_records": ".tables.records",
    "bundled": ".tables.table",
    "read": ".tables.table",
    "read_cohort": ".tables.tidy",
    "understand_cohort": ".tables.tidy",
}

# What a tab shows, and what `import *` brings.
__all__ = [
    "NUTS",
    "SMC",
    "SVI",
    "Arm",
    "Belief",
    "Blocks",
    "ChEES",
    "Cohort",
    "Covariate",
    "Density",
    "Draws",
    "Effect",
    "Independence",
    "Interrupted",
    "Laplace",
    "LogNormal",
    "NoStart",
    "Noise",
    "Observations",
    "Pathfinder",
    "Population",
    "Posterior",
    "Prior",
    "Priors",
    "Problem",
    "Sampler",
    "Starting",
    "Starts",
    "Stuck",
    "Subject",
    "Synthetic",
    "TruncatedNormal",
    "Understood",
    "Variability",
    "Verdict",
    "assemble",
    "bundled",
    "data_folder",
    "declare",
    "fitted",
    "forecast",
    "individuals",
    "infer",
    "judge",
    "load",
    "merged",
    "observations",
    "published",
    "published_cohort",
    "read",
    "read_cohort",
    "read_records",
    "record_table",
    "save",
    "shipped",
    "shrinkage",
    "summary",
    "understand_cohort",
    "understand_records",
    "write_records",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name in LATE:
        return getattr(importlib.import_module(LATE[name], __name__), name)
    if name not in samplers.LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(samplers, name)
