"""The posterior to sample: model, scenario, readings, priors and noise as one NumPyro program."""

from collections.abc import Iterable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from cytostorm.models import (
    Model,
    Plan,
    Reach,
    Scenario,
    Solver,
    differentiate,
    filled,
    plan,
    quantities,
    reach,
    replace,
    solve,
)

from .gradient import with_jacobian
from .keys import normal
from .noise import LogNormal, Noise
from .observations import ROUND, Observations
from .prior import Belief, Priors
from .site import Sites, Values, positive


class Problem(eqx.Module):
    """A posterior: the sampled parameters of `model` under `scenario`, given readings, priors and noise.

    Raises `ValueError` if the model does not read an analyte of the data, if a prior names no parameter of the
    model, or if the scenario does not fit the model.

    `when` is the number of the time of every reading among the distinct times, and `sampled` every sampled parameter with
    its prior: those of the model, then those of the noise.
    """

    model: Model
    scenario: Scenario
    data: Observations
    priors: Priors
    noise: Noise
    solver: Solver
    within: Reach
    prepared: Plan
    when: Int[np.ndarray, " obs"]
    sampled: dict[str, Belief] = eqx.field(static=True)

    def __init__(
        self,
        model: Model,
        scenario: Scenario,
        data: Observations,
        priors: Priors,
        noise: Noise | None = None,
        solver: Solver | None = None,
    ):
        replace(model, dict.fromkeys(priors, 1.0))
        for analyte in dict.fromkeys(data.analyte):
            if analyte not in model.analytes:
                raise ValueError(
                    f"{type(model).__name__} does not predict `{analyte}`, which the data hold;"
                    f" it predicts: {', '.join(model.analytes)} (choose readings with `data.analytes`)"
                )
        self.model, self.scenario, self.data, self.priors = model, scenario, data, priors
        self.noise, self.solver = noise or LogNormal(), solver or Solver()
        times, self.when = np.unique(data.time, return_inverse=True)
        # Where a parameter is zero its states may rest, so the sampled ones must not be.
        middle = replace(model, {name: priors[name].median for name in priors})
        self.within = reach(middle, scenario, float(data.time.max()))
        self.prepared = plan(model, scenario, times, self.within.to(dict.fromkeys(data.analyte)))
        self.sampled = {name: priors[name] for name in priors} | self.noise.parameters(data)

    def padded(self) -> "Problem":
        """The same posterior with readings and times filled up to round numbers by what does not count.

        Data sets of similar size then share one compiled program.
        """
        data, times = self.data.filled(), self.prepared.times
        prepared = filled(self.prepared, times.size + -times.size % ROUND)
        when = np.searchsorted(np.asarray(times), data.time)
        return eqx.tree_at(lambda p: (p.data, p.when, p.prepared), self, (data, when, prepared))

    @property
    def scatter(self) -> float:
        """Single readings scatter as the noise says."""
        return 1.0

    @property
    def sites(self) -> Sites:
        """Every sampled parameter as a site: its logarithm is what a sampler moves."""
        return Sites({name: positive(prior) for name, prior in self.sampled.items()})

    def draw(self, key: PRNGKeyArray, num: int) -> Values:
        """`num` draws of every sampled parameter from its prior."""
        return self.sites.values(self.sites.drawn(normal(key, (num, self.sites.size))))

    def build(self, values: Values) -> Model:
        """The model with the sampled parameters at these values."""
        return replace(self.model, {name: values[name] for name in self.priors})

    def predict(self, values: Values) -> tuple[Float[Array, " obs"], Bool[Array, ""]]:
        """The log-prediction of every reading and whether the solve succeeded (0 where it failed).

        Differentiable in reverse mode: value and Jacobian come from one solve of state and tangents.
        """
        return with_jacobian(self._linearize)(self._theta(values))

    def linearize(self, values: Values) -> tuple[Float[Array, " obs"], Float[Array, "obs parameter"], Bool[Array, ""]]:
        """The log-prediction of every reading, its derivatives along the logarithm of each parameter, and success."""
        return self._linearize(self._theta(values))

    def _theta(self, values: Values) -> Float[Array, " parameter"]:
        return jnp.stack([jnp.log(values[name]) for name in self.priors])

    def _linearize(self, theta: Array) -> tuple[Array, Array, Array]:
        def build(theta: Array) -> Model:
            return self.build(dict(zip(self.priors, jnp.exp(theta), strict=True)))

        result = differentiate(build, theta, self.prepared, self.solver)
        value, jacobian = self._pick(result.value), self._pick(result.jacobian)
        okay = result.okay & jnp.all(value > 0) & jnp.all(jnp.isfinite(jacobian))
        value = jnp.where(okay, value, 1.0)
        return jnp.log(value), jnp.where(okay, jacobian / value[:, None], 0.0), okay

    def _pick(self, read: dict[str, Array]) -> Array:
        """The prediction of each reading from the read-outs over the distinct times."""
        which = np.array([list(self.model.analytes).index(analyte) for analyte in self.data.analyte])
        return jnp.stack([read[analyte] for analyte in self.model.analytes])[which, self.when]

    def latent(self) -> Values:
        """The NumPyro program of the priors alone."""
        return {name: jnp.asarray(numpyro.sample(name, prior.distribution)) for name, prior in self.sampled.items()}

    def program(self, slopes: bool = True) -> None:
        """The NumPyro program. A solve that fails has probability zero and gradient zero.

        Without `slopes` the program cannot be differentiated: solves carry no tangents.
        """
        values = self.latent()
        log_f, okay = (self.predict if slopes else self.read)(values)  # type: ignore[arg-type]
        numpyro.factor("solved", jnp.where(okay, 0.0, -jnp.inf))
        with numpyro.plate("obs_id", len(self.data)):
            numpyro.sample("y", Reading(self.noise, log_f, values, self.data), obs=jnp.asarray(self.data.value))  # type: ignore[arg-type]

    def read(self, values: Values) -> tuple[Float[Array, " obs"], Bool[Array, ""]]:
        """The log-prediction of every reading without derivatives, and whether the solve succeeded."""
        log_f, okay = self.forecast(values)
        okay &= jnp.all(jnp.isfinite(log_f))
        return jnp.where(okay, log_f, 0.0), okay

    def forecast(self, values: Values) -> tuple[Float[Array, " obs"], Bool[Array, ""]]:
        """What `read` returns, but that a prediction may be zero: its logarithm is then minus infinity."""
        read, okay = self.curves(values, self.prepared)
        return jnp.log(jnp.where(okay, jnp.maximum(self._pick(read), 0.0), 1.0)), okay

    def curves(self, values: Values, prepared: Plan) -> tuple[dict[str, Array], Array]:
        """The read-outs over the times of `prepared`, by analyte, and whether the solve succeeded."""
        model = self.build(values)
        trajectory = solve(model, prepared, self.solver)
        return trajectory.observe(model), trajectory.okay

    def grid(self, num: int = 200) -> Plan:
        """A plan for smooth curves from the scenario's start to the last reading."""
        start, end = self.scenario.start, float(self.data.time.max())
        times = np.linspace(start, max(end, start + 1e-6), num)
        return filled(plan(self.model, self.scenario, times, self.within.moving), num)

    def describe(self) -> dict[str, dict[str, str]]:
        """Symbol, unit and meaning of every sampled parameter."""
        return described(self.model, self.noise, self.sampled)


def described(model: Model, noise: Noise, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Symbol, unit and meaning of parameters of a model or of the noise."""
    known = quantities(model)
    text = {n: {"symbol": q.symbol, "unit": q.unit, "meaning": q.meaning} for n, q in known.items()}
    return {name: text[name] if name in text else noise.describe(name) for name in names}


class Reading(dist.Distribution):
    """The noise around a prediction as a NumPyro distribution over the readings."""

    support = dist.constraints.positive  # type: ignore[assignment]
    pytree_data_fields = ("log_f", "values")
    pytree_aux_fields = ("noise", "data", "scatter")

    def __init__(self, noise: Noise, log_f: Array, values: Values, data: Observations, scatter: Any = 1.0):
        self.noise, self.log_f, self.values, self.data, self.scatter = noise, log_f, values, data, scatter
        super().__init__(batch_shape=(len(data),))

    def log_prob(self, value: Array) -> Array:  # type: ignore[override]
        return self.data.counted(self.noise.log_density(self.log_f, self.values, self.data.reading(value), self.scatter))

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:  # type: ignore[override]
        if sample_shape:
            return jax.vmap(lambda k: self.sample(k))(jax.random.split(key, sample_shape))
        return self.noise.draw(key, self.log_f, self.values, self.data, self.scatter)
