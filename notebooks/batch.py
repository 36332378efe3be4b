# ---
# jupyter:
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
# ---

# %% [markdown]
# # Many fits, and the GPU
#
# One fit is a question; a study is many of them. Three things make many fits cheap: programs that are compiled once,
# chains side by side, and, where it is wide enough, a GPU.

# %% tags=["parameters"]
seeds = (1, 2, 3, 4)
sampler_settings = {"num_points": 4096}  # of the independence sampler
widths = (1, 16, 256)  # trajectories side by side
repeats = 9

# %% [markdown]
# ## The second fit costs less than the first
#
# Readings, times and doses are arguments of compiled programs. A data set of the same kind finds them ready.

# %%
import time

import jax
import numpy as np
import pandas as pd

import cytostorm.inference as ci
from cytostorm.models import Minimal, Scenario, Solver, bolus

model, story = Minimal(), Scenario(bolus("lps", 2.0))
priors = ci.shipped("prior", "endotoxemia")
sampler = ci.Independence(**sampler_settings)

rows, posts = [], {}
for seed in seeds:
    data = ci.Synthetic((0, 1, 1.5, 2, 3, 4, 5, 6), seed=seed).draw(model, story, Solver())
    begin = time.perf_counter()
    posts[seed] = post = ci.Posterior.sample(ci.Problem(model, story, data, priors), sampler, seed=seed)
    clearance = post.summary().loc["k_l"]
    rows.append(
        (seed, time.perf_counter() - begin, post.verdict.passed, clearance["median"], clearance["q5"], clearance["q95"])
    )
table = pd.DataFrame(rows, columns=["data set", "seconds", "passed", "k_l", "q5", "q95"])
table.round(3)

# %% [markdown]
# The truth of `k_l` is the model's own value; the intervals should hold it in nine of ten data sets.

# %%
import matplotlib.pyplot as plt

from cytostorm.inference.style import BLUE, ORANGE, plain_ticks, styled
from cytostorm.models import values

with styled():
    figure, ax = plt.subplots(figsize=(6.0, 2.6))
    at = np.arange(len(table))
    ax.hlines(at, table["q5"], table["q95"], color=BLUE, lw=3, label="90 % interval")
    ax.plot(table["k_l"], at, "o", color=BLUE, mec="white", label="median")
    ax.axvline(float(values(model)["k_l"]), color=ORANGE, ls="--", label="truth")
    ax.set(yticks=at, yticklabels=table["data set"], xlabel="$k_l$ [1/h]", ylabel="data set", xscale="log")
    plain_ticks(ax.xaxis, ax.get_xlim()[1] / ax.get_xlim()[0])
    figure.legend(fontsize=8.5, ncols=3, loc="outside upper center")
figure

# %% [markdown]
# ## From the command line
#
# Hydra's multirun makes a run folder for each; a run that was killed continues where it was:
#
#     cytostorm fit -m data=synthetic data.seed=1,2,3,4 sampler=independence
#
# and on a cluster one job each, with `hydra.run.dir` by the number of the job.
#
# ## How wide does it pay?
#
# Gradients of the density, for so many points at once. A processor gains until its cores and vector units are busy; a
# GPU begins where the processor ends.

# %%
problem = posts[seeds[0]].problem
density = ci.Density(problem)
many = jax.jit(jax.vmap(jax.value_and_grad(density.potential)))

timed = []
for width in widths:
    x = density.positions(problem.draw(jax.random.PRNGKey(0), width))
    jax.block_until_ready(many(x))
    spent = []
    for _ in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(many(x))
        spent.append(time.perf_counter() - begin)
    timed.append((width, min(spent) * 1e3, width / min(spent)))
print(f"on {jax.devices()[0].platform}: {jax.devices()[0].device_kind}")
pd.DataFrame(timed, columns=["side by side", "ms", "gradients per second"]).round(2)

# %% [markdown]
# The best of a few repeats, on whatever machine wrote this page; [Benchmarks](../benchmarks.md) has them measured with care.
#
# ## On a GPU
#
# The same program runs on a GPU in double precision (extra `cuda13` or `cuda12`):
#
#     cytostorm fit device=gpu sampler=chees sampler.num_chains=1024
#     cytostorm fit device=auto       # takes it where the problem is wide enough
#
# ## What to conclude, and what not
#
# - Compile once, fit often: keep one kind of data per study, and the cache (`CYTOSTORM_CACHE`) between runs.
# - For one patient and four chains the processor is the better device. Width decides, not fashion.
# - Four intervals out of four say little about calibration; `cytostorm calibrate` asks hundreds
#   ([Calibration](../calibration.md)).
