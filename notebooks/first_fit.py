# ---
# jupyter:
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
# ---

# %% [markdown]
# # First fit in five minutes
#
# Healthy volunteers were given endotoxin (LPS, 2 ng/kg), and their IL-6 rose several hundredfold within two hours and fell
# again. What do eight such means tell of the loop that a cytokine storm is made of? We fit, look, predict, and say what
# may be concluded.

# %% tags=["parameters"]
run = "runs/first_fit"  # the run folder; a finished one is read and not fitted again
more: list[str] = []  # more overrides of the fit

# %% [markdown]
# ## The readings
#
# They ship with the package: geometric means of 20 series with their scatter ([source and
# caveats](https://arxiv.org/abs/2308.01495)).

# %%
from pathlib import Path

import cytostorm.inference as ci

readings = ci.shipped("data", "endotoxemia_bolus")
readings.table()[["subject", "time_h", "analyte", "value", "unit", "sd", "n"]]

# %% [markdown]
# ## The fit
#
# One command, `cytostorm fit`, or the same from Python. It solves the minimal feedback model some hundred thousand
# times: LPS activates cells, cells make IL-6, IL-6 activates more cells (the gain), and a slow regulator brakes.

# %%
from cytostorm.scripts import cli

if not Path(run, "manifest.json").exists():
    cli.run(["fit", "report=false", f"hydra.run.dir={run}", *more])

# %% [markdown]
# ## The posterior: verdict first
#
# `Posterior` is the ArviZ tree of the run with the verbs that one wants of it. It shows its verdict before its numbers,
# for a posterior that fails its checks is not to be read.

# %%
post = ci.Posterior.load(run)
post

# %% [markdown]
# **Contraction** says how much narrower the posterior is than the prior: 0, nothing learned; 1, known. Clearance
# (`k_l`) and the drive (`u0`, `t_u`, `n_u`) were learned well. The feedback gain `gamma` was not: what stands there is
# the prior.
#
# ## The fit over its readings
#
# The blue bands hold 50 and 90 % of the curves; grey is what the prior held possible. The triangle is the dose.

# %%
post.plot_trajectories()

# %% [markdown]
# ## What was learned of each parameter

# %%
post.plot_prior()

# %% [markdown]
# Blue on grey is learning. Where blue covers grey (`gamma`, `x_l`, `w_r`), other data must speak: `cytostorm identify`
# says which.
#
# Gain and clearance together, and the fold beyond which a storm state exists. The cloud crosses the dashed line: eight
# readings of people who recovered do not even say whether they *could* have stormed.

# %%
post.plot_pair()

# %% [markdown]
# ## A prediction, and a test of it
#
# Twice the dose, in the same people:

# %%
from cytostorm.models import Scenario, bolus

post.predict(Scenario(bolus("lps", 4.0)), until_h=12.0)

# %% [markdown]
# A prediction is worth what it risks. Other volunteers were given LPS over four hours; the fit has never seen them:

# %%
infused = post.predict("lps_infusion", data=ci.shipped("data", "endotoxemia_infusion"))
infused

# %% [markdown]
# It misses most of them. What one bolus teaches does not carry over to an infusion: other people, and a drive that the
# minimal model has only learned for one shape of dose. A posterior that passes its verdict is sampled well; that does
# not make the model right.
#
# ## Everything of ArviZ works

# %%
import arviz as az

az.summary(post, var_names=["gamma", "k_l", "half_life", "margin"], round_to=3)

# %%
post.plot_forest(["k_l", "k_m", "k_r"])

# %% [markdown]
# ## What to conclude, and what not
#
# - IL-6 is cleared with a half-life of well under an hour, given this model: the readings say so, not the prior.
# - Of the feedback gain these readings say next to nothing. A number for it from such data would be the prior's.
# - Curves of recovered volunteers do not tell how near they were to a storm.
# - The model does not predict an infusion from a bolus. Do not use it for that.
