"""The posterior of a population: subjects of one or more studies, alike but not the same."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from numpyro.handlers import seed, substitute

from cytostorm.models import Solver, replace

from .arguments import jitted
from .assay import Assays
from .cohort import Cohort, Subject
from .gradient import with_jacobian
from .noise import LogNormal, Noise
from .observations import Observations, joined
from .panel import Arm, Panel, panel
from .prior import Belief, Priors
from .problem import Problem, Reading, described
from .site import Sites, Values, positive
from .variability import Variability


class Population(eqx.Module):
    r"""A posterior over the parameters of a population and of every subject in it.

    `priors` are those of the population's medians. Subjects differ by `variability`; parameters that it does not name
    are the same in all. A subject whose readings are the mean of $n$ lies closer to the median by $1/\sqrt n$, and so
    do its readings to their predictions.

    `sampled` is every sampled positive scalar with its prior: the population's medians and the noise.

    Arms are named by subjects: `subject.arm`, or the study where that is blank. An arm called `*` is for all others.
    `reference` is the study on whose scale predictions are (the first, unless named): the assays of others have factors.

    Raises `ValueError` for a subject without an arm, an effect on a parameter without a prior, a covariate that a subject
    lacks, and what `Panel` refuses.
    """

    arms: Mapping[str, Arm]
    cohort: Cohort
    priors: Priors
    variability: Variability
    noise: Noise
    solver: Solver
    data: Observations
    owner: Int[np.ndarray, " obs"]
    panels: tuple[Panel, ...]
    explained: dict[str, tuple[Any, ...]]
    weight: Float[np.ndarray, " subject"]
    scatter: Float[np.ndarray, " obs"]
    assays: Assays
    sampled: dict[str, Belief] = eqx.field(static=True)

    def __init__(
        self,
        arms: Mapping[str, Arm],
        cohort: Cohort,
        priors: Priors,
        variability: Variability,
        noise: Noise | None = None,
        solver: Solver | None = None,
        reference: str | None = None,
    ):
        self.arms, self.cohort, self.priors, self.variability = arms, cohort, priors, variability
        self.noise, self.solver = noise or LogNormal(per_analyte=True), solver or Solver()
        for arm in arms.values():
            replace(arm.model, dict.fromkeys(priors, 1.0))
        for name in [*variability.effects, *(covariate.parameter for covariate in variability.covariates)]:
            if name not in list(priors):
                raise ValueError(f"`{name}` differs between subjects but has no prior; its median needs one")
        every = joined([subject.data for subject in cohort])
        size = np.maximum(every.n, 1)
        self.scatter = 1 / np.sqrt(size)
        self.data = dataclasses.replace(every, n=np.zeros_like(every.n)).sorted_out()
        self.sampled = {name: priors[name] for name in priors} | self.noise.parameters(self.data)
        owner = self.owner = every.owner(cohort.labels)
        self.weight = np.array([1 / np.sqrt(size[owner == i].max(initial=1)) for i in range(len(cohort))])
        self.panels = self._panels(owner)
        self.explained = {c.name: (c, self._along(c)) for c in variability.covariates}
        studies = [cohort.subjects[i].study for i in owner]
        self.assays = Assays(variability.assay, variability.background, studies, self.data.analyte, reference)

    def _panels(self, owner: np.ndarray) -> tuple[Panel, ...]:
        groups: dict[tuple[str, float], list[int]] = {}
        for i, subject in enumerate(self.cohort):
            groups.setdefault((self.arm_of(subject), subject.start), []).append(i)
        middle = {name: self.priors[name].median for name in self.priors}
        return tuple(
            panel(
                self.arms[name],
                [self.cohort.subjects[i] for i in members],
                members,
                [np.flatnonzero(owner == i).tolist() for i in members],
                list(self.priors),
                middle,
                self.solver,
            )
            for (name, _), members in groups.items()
        )

    def arm_of(self, subject: Subject) -> str:
        """The name of a subject's arm."""
        name = next((n for n in (subject.arm, subject.study, "*") if n in self.arms), None)
        if name is None:
            raise ValueError(
                f"subject {subject.label!r} of study {subject.study!r} has no arm; arms: {', '.join(self.arms)}"
                " (`*` is for all others)"
            )
        return name

    def arm(self, subject: Subject) -> Arm:
        """What happens to a subject."""
        return self.arms[self.arm_of(subject)]

    def _along(self, covariate: Any) -> Float[np.ndarray, " subject"]:
        return covariate.along(np.array([s.covariate(covariate.covariate, np.zeros(1))[0] for s in self.cohort]))

    def padded(self) -> "Population":
        """This: its panels are padded, but share programs only with cohorts of the same design."""
        return self

    @property
    def sites(self) -> Sites:
        """Everything that is sampled."""
        found = {name: positive(prior) for name, prior in self.sampled.items()}
        found |= self.assays.sites
        medians = {name: self.priors[name].median for name in self.priors}
        return Sites(found | self.variability.sites(len(self.cohort), medians), len(self.cohort))

    def latent(self) -> Values:
        """The NumPyro program of everything but the readings."""
        values: Values = {n: jnp.asarray(numpyro.sample(n, prior.distribution)) for n, prior in self.sampled.items()}
        values |= self.assays.program() | self.variability.coefficients()
        return values | self.variability.program(self.centre(values), self.weight)

    def draw(self, key: PRNGKeyArray, num: int) -> Values:
        """`num` draws of everything that is sampled from its prior."""

        def every(problem: Population, key: PRNGKeyArray) -> Values:
            # One after the other: side by side they take seconds longer to compile.
            return jax.lax.map(lambda key: seed(problem.latent, key)(), jax.random.split(key, num))

        return jitted(every, self)(key)

    def renewed(self, values: Values, key: PRNGKeyArray) -> Values:
        """The same population with new subjects in the place of those who were studied."""
        kept = {name: x for name, x in values.items() if name != "z" and not name.startswith("log_")}
        return seed(substitute(self.latent, kept), key)()  # type: ignore[return-value]

    def centre(self, values: Values) -> dict[str, Float[Array, " subject"]]:
        """The log-parameters of a typical subject with the covariates of each."""
        found = {name: jnp.broadcast_to(jnp.log(values[name]), len(self.cohort)) for name in self.priors}
        for name, (covariate, along) in self.explained.items():
            found[covariate.parameter] = found[covariate.parameter] + values.get(name, covariate.coefficient) * along
        return found

    def individual(self, values: Values) -> Float[Array, "subject parameter"]:
        """The log-parameters of every subject."""
        centre = self.centre(values)
        theirs = self.variability.subjects(values, centre, self.weight)
        found = centre | dict(zip(self.variability.effects, theirs, strict=True))
        return jnp.stack([found[name] for name in self.priors], axis=1)

    def predict(self, values: Values) -> tuple[Float[Array, " obs"], Bool[Array, " subject"]]:
        """The log-prediction of every reading and which subjects could be solved; differentiable in reverse mode."""
        return self.predict_at(values, self.individual(values))

    def predict_at(
        self, values: Values, theta: Float[Array, "subject parameter"]
    ) -> tuple[Float[Array, " obs"], Bool[Array, " subject"]]:
        """What `predict` returns where the subjects have these log-parameters."""
        parts = [with_jacobian(p.linearize, p.owner)(theta[np.array(p.members)]) for p in self.panels]
        return self._gather(values, parts)

    def read(self, values: Values) -> tuple[Float[Array, " obs"], Bool[Array, " subject"]]:
        """What `predict` returns, without derivatives."""
        return self.read_at(values, self.individual(values))

    def read_at(
        self, values: Values, theta: Float[Array, "subject parameter"]
    ) -> tuple[Float[Array, " obs"], Bool[Array, " subject"]]:
        """What `read` returns where the subjects have these log-parameters."""
        return self._gather(values, [p.read(theta[np.array(p.members)]) for p in self.panels])

    def forecast_at(
        self, values: Values, theta: Float[Array, "subject parameter"]
    ) -> tuple[Float[Array, " obs"], Bool[Array, " subject"]]:
        """What `read_at` returns, but that a prediction may be zero: its logarithm is then minus infinity."""
        parts = [p.value(theta[np.array(p.members)]) for p in self.panels]
        return self._gather(values, [(jnp.log(x), okay) for x, okay in parts])

    def linearize(
        self, theta: Float[Array, "subject parameter"]
    ) -> tuple[Float[Array, " obs"], Float[Array, "obs parameter"], Bool[Array, " subject"]]:
        """The log-prediction of every reading before its assay, its derivatives along the log-parameters of its subject, and
        which subjects could be solved."""
        log_f, jacobian, okay = zip(*(p.linearize(theta[np.array(p.members)]) for p in self.panels), strict=True)
        return self._by_row(log_f), self._by_row(jacobian), self._by_member(okay)

    def _gather(self, values: Values, parts: list[tuple[Array, Array]]) -> tuple[Array, Array]:
        """Predictions and success in the order of the cohort, on the scale of each assay."""
        log_f, okay = zip(*parts, strict=True)
        return self.assays.read(self._by_row(log_f), values), self._by_member(okay)

    def _by_row(self, parts: Sequence[Array]) -> Array:
        return jnp.concatenate(parts)[np.argsort([row for p in self.panels for row in p.rows])]

    def _by_member(self, parts: Sequence[Array]) -> Array:
        return jnp.concatenate(parts)[np.argsort([i for p in self.panels for i in p.members])]

    def by_subject(self, each: Float[Array, "obs ..."]) -> Float[Array, "subject ..."]:
        """The sums over the readings of every subject."""
        return jax.ops.segment_sum(each, self.owner, len(self.cohort))

    def each(self, values: Values) -> tuple[Float[Array, " subject"], Bool[Array, " subject"]]:
        """The log-density of the effects and readings of every subject given what all share, and who could be solved.

        Up to a constant for each subject, whatever its effects. It cannot be differentiated.
        """
        log_f, okay = self.read(values)
        z = self.variability.deviations(values, self.centre(values), self.weight)
        read = self.data.counted(self.noise.log_density(log_f, values, self.data, self.scatter))
        return self.by_subject(read) - jnp.sum(z**2, axis=0) / 2, okay

    def program(self, slopes: bool = True) -> None:
        """The NumPyro program. Where a subject cannot be solved, probability and gradient are zero.

        Without `slopes` the program cannot be differentiated: solves carry no tangents.
        """
        values = self.latent()
        log_f, okay = (self.predict if slopes else self.read)(values)
        numpyro.factor("solved", jnp.where(okay, 0.0, -jnp.inf))
        with numpyro.plate("obs_id", len(self.data)):
            reading = Reading(self.noise, log_f, values, self.data, self.scatter)
            numpyro.sample("y", reading, obs=jnp.asarray(self.data.value))

    def alone(self, number: int) -> Problem:
        """The readings of the subject of this number as a problem of its own, whose priors are those of the medians."""
        subject = self.cohort.subjects[number]
        part = next(p for p in self.panels if number in p.members)
        model = replace(part.model, {name: x[part.members.index(number)] for name, x in part.known.items()})
        data = self.data.rows(self.owner == number).sorted_out()
        return Problem(model, subject.under(self.arm(subject).scenario), data, self.priors, self.noise, self.solver)

    def describe(self) -> dict[str, dict[str, str]]:
        """Symbol, unit and meaning of every sampled scalar."""
        return described(next(iter(self.arms.values())).model, self.noise, self.sampled)
