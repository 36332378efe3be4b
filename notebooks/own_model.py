# ---
# jupyter:
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
# ---

# %% [markdown]
# # Your own model
#
# Is there any need of feedback to explain IL-6 after endotoxin? We write the simplest rival, a pulse that passes
# through the body and leaves, fit it to the same readings as the feedback model, and ask which predicts better. It
# takes thirty lines.

# %% tags=["parameters"]
sampler_settings = {"num_points": 4096}  # of the independence sampler
num_times = 121

# %% [markdown]
# ## The equations
#
# LPS becomes a signal that passes three stages; the last one makes IL-6, which is cleared:
#
# $$\dot s_1 = -k\,s_1, \qquad \dot s_i = k\,(s_{i-1} - s_i), \qquad \dot L = p\,s_3 - k_l\,(L - w).$$

# %%
import jax.numpy as jnp

import cytostorm.inference as ci
from cytostorm.models import Model, Scenario, State, bolus, quantity


class Pulse(Model):
    """Endotoxin that passes through three stages and makes IL-6 on its way: no feedback, no memory."""

    states = (
        State("s1", "s_1", "ng/kg", 2.0, "endotoxin"),
        State("s2", "s_2", "ng/kg", 2.0, "its signal"),
        State("s3", "s_3", "ng/kg", 2.0, "its signal, later"),
        State("il6", "L", "pg/mL", 100.0, "IL-6"),
    )
    analytes = {"il6": "pg/mL"}
    inputs = {}
    k: float = quantity(2.0, "k", "1/h", "passage from stage to stage", source="assumed")
    p: float = quantity(1000.0, "p", "pg/mL/h per ng/kg", "IL-6 made per signal", source="assumed")
    k_l: float = quantity(1.0, "k_l", "1/h", "IL-6 clearance", source="assumed")
    w: float = quantity(1.0, "w", "pg/mL", "IL-6 at rest", source="assumed")

    def rest(self):
        return jnp.stack([0.0, 0.0, 0.0, self.w])

    def vector_field(self, t, y, doses):
        s1, s2, s3, il6 = y
        passing = [-self.k * s1, self.k * (s1 - s2), self.k * (s2 - s3)]
        return jnp.stack([*passing, self.p * s3 - self.k_l * (il6 - self.w)])

    def observe(self, y):
        return {"il6": y[3]}


# %% [markdown]
# ## The problem
#
# Problem = model + scenario + readings + priors + noise. A prior by `median` and `fold`: 90 % of its mass lies within
# median/fold and median x fold.

# %%
readings = ci.shipped("data", "endotoxemia_bolus")
priors = ci.Priors(
    k={"median": 2.0, "fold": 4.0},
    p={"median": 1000.0, "fold": 10.0},
    k_l={"median": 1.0, "fold": 5.0},
    w={"median": 1.0, "fold": 3.0},
)
problem = ci.Problem(Pulse(), Scenario(bolus("s1", 2.0)), readings, priors)
pulse = ci.Posterior.sample(problem, ci.Independence(**sampler_settings))
pulse

# %%
pulse.plot_trajectories()

# %% [markdown]
# The pulse passes its verdict and still misses the readings: sampled well, and wrong. A chain of exponentials rises and
# falls too gently.
#
# ## The rival
#
# The minimal feedback model, with the priors of `cytostorm fit`:

# %%
from cytostorm.models import Minimal

loop = ci.Problem(Minimal(), Scenario(bolus("lps", 2.0)), readings, ci.shipped("prior", "endotoxemia"))
feedback = ci.Posterior.sample(loop, ci.Independence(**sampler_settings))
feedback.plot_trajectories()

# %% [markdown]
# ## Which is better?
#
# By the evidence (how well each predicted the readings before it saw any), and by what was read relative to what was
# predicted:

# %%
evidence = {name: post.sample_stats.attrs["log_evidence"] for name, post in {"pulse": pulse, "feedback": feedback}.items()}
print(f"log evidence: pulse {evidence['pulse']:.1f}, feedback {evidence['feedback']:.1f}")

# %%
pulse.plot_readings()

# %%
feedback.plot_readings()

# %% [markdown]
# But which *part* of the rival helps? It has ten sampled parameters, and its drive may be as sharp as it likes (`n_u`).
# What tells feedback from a sharper pulse is not in these readings: the gain of the feedback model was hardly learned.

# %%
feedback.summary().loc[["gamma", "n_u", "k_l"], ["median", "q5", "q95", "contraction", "taught"]].round(2)

# %% [markdown]
# And within the pulse, which rate is which? Two rates of one falling curve can be mistaken for each other:

# %%
import numpy as np

logs = np.log([pulse.posterior[name].values.ravel() for name in ("k", "k_l", "p")])
print("correlation of the logarithms: k and k_l {:.2f}, k_l and p {:.2f}".format(*np.corrcoef(logs)[1, [0, 2]]))

# %% [markdown]
# ## A model of your own has all verbs

# %%
pulse.predict(Scenario(bolus("s1", 4.0)), until_h=12.0, num_times=num_times)

# %% [markdown]
# ## What to conclude, and what not
#
# - Three exponential stages without feedback cannot make IL-6 rise and fall as it does: the evidence is against them by
#   far.
# - That does not prove feedback: a sharper pulse may do as well. To tell them, read what differs between them, such
#   as a second dose.
# - `k` and `k_l` trade against each other: which of two rates is the clearance, a single curve does not say for
#   certain.
#
# From the command line the same class is a file: `cytostorm fit experiment=own model.path=pulse.py
# data.path=readings.csv` ([your own model](../own_model.md)).
