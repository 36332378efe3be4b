"""Bayesian inference for cytokine models: observations, priors, noise, problem, sampler, posterior, report."""

# Loads NumPyro: ArviZ, imported before, leaves a lazy stand-in that breaks the import of its submodules.
from numpyro import __version__ as _numpyro  # noqa: F401

from .blocks import Blocks as Blocks
from .blocks import Interrupted as Interrupted
from .noise import LogNormal as LogNormal
from .noise import Noise as Noise
from .observations import Observations as Observations
from .observations import observations as observations
from .posterior import assemble as assemble
from .posterior import load as load
from .posterior import save as save
from .prior import Prior as Prior
from .prior import Priors as Priors
from .problem import Problem as Problem
from .sampler import NUTS as NUTS
from .sampler import Draws as Draws
from .starts import NoStart as NoStart
from .summary import fitted as fitted
from .summary import summary as summary
from .synthetic import Synthetic as Synthetic
from .table import bundled as bundled
from .table import read as read
from .verdict import Verdict as Verdict
from .verdict import judge as judge
