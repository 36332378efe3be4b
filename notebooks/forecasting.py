# ---
# jupyter:
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
# ---

# %% [markdown]
# # Forecasting a storm
#
# IL-6 and CRP are read twice a day. After each reading: will IL-6 exceed 1000 pg/mL within one, two or three days? Two
# synthetic patients with the same infection, one whose feedback gain lies above the fold and one below. On the first
# day they look alike.

# %% tags=["parameters"]
gains = {"storm": 4.0, "recovers": 1.2}
last_h = 96.0  # the last reading
num_points = 1000
step_h = 1.0

# %% [markdown]
# ## Two patients
#
# The model is the storm network, the story a virus; what differs is the gain `k_fb` alone.

# %%
import cytostorm.inference as ci
from cytostorm.models import Network, Solver, Treatment, stage

model, story = stage(Network(), ci.shipped("trigger", "viral"), Treatment())
priors, times = ci.shipped("prior", "network"), tuple(12.0 * k for k in range(int(last_h // 12) + 1))

patients = {}
for seed, (label, gain) in enumerate(gains.items()):
    recipe = ci.Synthetic(times, ("il6", "crp"), truth={"k_fb": gain}, seed=seed)
    patients[label] = ci.Problem(model, story, recipe.draw(model, story, Solver()), priors)

# %% [markdown]
# ## After every reading
#
# The forecast knows the prior of a host and the readings so far, and nothing else. One pool of weighted points serves
# them all: no new fit for every reading.

# %%
seen = ci.forecast(patients, num_points=num_points, step_h=step_h)
for line in seen.lines:
    print(line)

# %%
seen.plot()

# %% [markdown]
# Above, the last forecast; below, what was said after each reading. In the patient who storms the alarm, a chance of
# one half, comes while IL-6 is a tenth of the threshold. Later the chance sinks again: the curve has reached its
# height, about the threshold, and the question is always what is still to come.

# %%
columns = ["patient", "time_h", "readings", "exceeds_24h", "exceeds_48h", "exceeds_72h", "doubling_median", "margin_median"]
seen.table[columns].round(2)

# %% [markdown]
# ## What an early forecast looked like
#
# The same patients at the end of the second day, knowing no more than was known then:

# %%
early = ci.forecast(patients, known_until_h=48.0, num_points=num_points, step_h=step_h)
early.plot()

# %% [markdown]
# The bands are wide and the chances moderate. That is what a forecast should look like while little is known; how often
# such chances came true is counted over two hundred patients in [Warning before the storm](../warning.md).
#
# ## What to conclude, and what not
#
# - Where the model is right, a rise can be told from a storm before the threshold: by its doubling and by the margin to
#   the fold.
# - Two patients prove nothing about calibration: [two hundred do](../warning.md), and in [real CAR-T
#   patients](../warning_cart.md) no alarm was raised.
# - The forecast is as good as its prior. A host outside it is forecast wrongly and with confidence.
# - This is research software: no alarm of it may guide care.
