# ---
# jupyter:
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
# ---

# %% [markdown]
# # Anatomy of a posterior
#
# A population posterior has layers: what is typical, how much people differ, who each of them is, and how far any of it
# can be trusted. We take one apart.
#
# On this page it is that of synthetic volunteers after endotoxin, whose truth is known. With the folder of a finished
# `cytostorm fit experiment=cart_crs` as `run` it is that of patients after CAR-T cells ([results](../cart_crs.md)).

# %% tags=["parameters"]
run, data = "", ""  # a run folder of a population, and the folder of the published files that it was fitted to
num_subjects = 12
num_warmup, num_draws = 250, 1000
few: dict = {"target_accept": 0.95}  # other settings of the sampler

# %%
import dataclasses

import numpy as np

import cytostorm.inference as ci
from cytostorm.models import Minimal, Scenario, Solver, bolus, values

rng = np.random.default_rng(1)

# %% [markdown]
# ## The cohort
#
# Where there is no `run`: volunteers differ in clearance (`k_l`) and drive (`u0`), both by about 30 %; the gain is the
# same in all. Each is read eight times.


# %%
def volunteers(num: int) -> tuple[ci.Population, dict[str, np.ndarray]]:
    model, story = Minimal(), Scenario(bolus("lps", 2.0))
    own = {name: float(values(model)[name]) * np.exp(0.3 * rng.standard_normal(num)) for name in ("k_l", "u0")}
    subjects = []
    for i in range(num):
        truth = {name: float(x[i]) for name, x in own.items()}
        one = ci.Synthetic((1, 1.5, 2, 3, 4, 5, 6, 8), truth=truth, seed=i).draw(model, story, Solver())
        label = f"S{i + 1:02d}"
        subjects.append(ci.Subject(label, "volunteers", dataclasses.replace(one, subject=(label,) * len(one))))
    priors = ci.shipped("prior", "endotoxemia")
    told = {name: priors[name] for name in ("gamma", "k_l", "u0", "t_u")} | {"gamma": {"median": 1.0, "fold": 1.5}}
    differ = ci.Variability({"k_l": ci.Effect(), "u0": ci.Effect()})
    return ci.Population({"*": ci.Arm(model, story)}, ci.Cohort(tuple(subjects)), ci.Priors(**told), differ), own


truth: dict[str, np.ndarray] = {}
if run:
    ci.data_folder(data or None)
    post = ci.Posterior.load(run)
else:
    problem, truth = volunteers(num_subjects)
    sampler = dataclasses.replace(
        ci.shipped("sampler", "nuts_population"), num_warmup=num_warmup, num_draws=num_draws, **few
    )
    post = ci.Posterior.sample(problem, sampler)
post

# %% [markdown]
# ## First, may it be read?
#
# The verdict stands above. What is behind it: chains that agree. Each line is the rank distribution of a chain less that
# of all; where chains agree it is noise around zero, and a p below 0.01 would flag the parameter.

# %%
post.plot_ranks()

# %% [markdown]
# ## Second, what is typical, and how much do people differ?

# %%
post.plot_spread()

# %% [markdown]
# `omega` is the standard deviation of a log-parameter between people. **Shrinkage** is how far each person's estimate
# is drawn to the typical one: near 0, their own readings speak; near 1, only the population does.

# %%
post.plot_prior()

# %% [markdown]
# ## Third, who is each of them?

# %%
post.plot_individuals()

# %%
each = post.individuals()
each.head(6).round(3)

# %% [markdown]
# Of synthetic volunteers the truth is known, and this prints how many of the 90 % intervals hold it; of patients it is not.

# %%
for name, own in truth.items():
    rows = each[each["parameter"] == name]
    inside = (rows["q5"].to_numpy() <= own) & (own <= rows["q95"].to_numpy())
    print(f"{name}: {inside.sum()} of {len(own)} intervals hold the truth")

# %% [markdown]
# ## Fourth, does the population predict people?
#
# New cohorts are drawn from the population and read as this one was; their percentiles should hold those of the
# readings.

# %%
post.plot_vpc()

# %% [markdown]
# ## Fifth, someone new
#
# A new person before any reading: as wide as people differ.

# %%
post.predict(num_subjects=3, num_times=49).plot()

# %% [markdown]
# ## What to conclude, and what not
#
# - Read a population posterior in this order: verdict, typical values, spread, persons, prediction.
# - The interval of a person is not that of the population, and that of the typical value is not the spread: say which
#   one you mean.
# - A parameter with little contraction and much shrinkage was not measured in these people, whatever its median says.
# - Few people tell a spread roughly, twelve to within some 40 %. Do not read its second digit.
