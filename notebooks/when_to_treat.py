# ---
# jupyter:
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
# ---

# %% [markdown]
# # When to treat
#
# A patient with a viral infection; IL-6 has begun to rise. Tocilizumab now, in a day, in three days, or dexamethasone,
# or nothing? Too early, and brakes are put on an immune system that has a virus to clear; too late, and tissue is lost.
# We compare every choice on the same draws of the same patient, so that what differs is the treatment alone.
#
# The patient is synthetic: model and truth are ours. Nothing here is advice for a patient.

# %% tags=["parameters"]
run = "runs/when_to_treat"  # the run folder; a finished one is read and not fitted again
more: list[str] = []  # more overrides of the fit
arms = ["tocilizumab", "dexamethasone", "tocilizumab+dexamethasone"]
starts = "0:72:12"  # hours after the decision
num_draws = 500
num_times = 337
force = False  # compare although the fit failed its verdict

# %% [markdown]
# ## What is known at the decision
#
# IL-6 and CRP, read nine times until hour 60. The storm network is fitted with priors around healthy hosts.

# %%
from pathlib import Path

import cytostorm.inference as ci
from cytostorm.scripts import cli

if not Path(run, "manifest.json").exists():
    cli.run(["fit", "experiment=timing", "report=false", f"hydra.run.dir={run}", *more])
post = ci.Posterior.load(run)
post

# %%
post.plot_trajectories()

# %% [markdown]
# The curves fit; the future does not follow from them. Untreated, this patient may or may not storm:

# %%
untreated = post.predict(until_h=240.0, num_draws=num_draws)
untreated.plot()

# %% [markdown]
# ## Every choice on the same draws

# %%
found = post.compare(arms, start_h=starts, num_draws=num_draws, num_times=num_times, force=force)
for line in found.lines:
    print(line)

# %%
found.plot_fans("il6")

# %% [markdown]
# Dotted grey is the untreated course, blue the treated from its best start. Note how wide both are: the comparison is
# sharp only because it is paired, draw by draw.

# %%
found.plot_starts()

# %%
columns = ["arm", "start_h", "utility", "difference", "q5", "q95", "p_better", "p_best", "regret"]
found.table[columns].sort_values("utility", ascending=False).head(8).round(3)

# %% [markdown]
# ## How sure is the best choice?
#
# The best on average is the best in few of the draws: many choices are nearly as good, and regret, what is lost by
# choosing one, is the number to look at.

# %%
found.plot_best()

# %% [markdown]
# ## The window, and what it hangs on

# %%
found.windows.round(2)

# %%
found.tables["sensitivity"].head(6).round(3)

# %% [markdown]
# ## The answer depends on what is valued
#
# The utility above weighs tissue damage against the infection that treatment lets grow. Someone who counts only the
# hours of IL-6 above 1000 pg/mL is blind to the virus, and sees another problem:

# %%
blind = post.compare(
    arms, start_h=starts, num_draws=num_draws, num_times=num_times, utility={"hours_severe": -1.0}, force=force
)
blind.plot_starts(["hours_severe", "burden_doublings"])

# %% [markdown]
# Now tocilizumab looks harmful unless it is given at once: it blocks the receptors that clear IL-6, so that more of it
# is read while the patient is better off. And doublings of the infection, on the right, do not count at all. A number
# that is easy to measure is not what one wants for a patient; whoever chooses has to say what is wanted.
#
# ## What to conclude, and what not
#
# - In this model and for this patient, earlier is better, and the window stays open for days; regret of waiting half a
#   day is small.
# - A prediction of the course is wide, a comparison of choices is not: compare paired.
# - Which choice is best follows from the utility as much as from the biology. State it; measured IL-6 alone misleads
#   under tocilizumab.
# - The model's drugs and damage carry assumed numbers ([treatments](../trials.md)); directions were held against
#   trials, sizes were not.
