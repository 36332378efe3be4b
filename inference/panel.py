"""Subjects of one arm side by side: their readings predicted by one batch of solves."""

import dataclasses
from collections.abc import Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from cytostorm.models import (
    Model,
    Plan,
    Reach,
    Scenario,
    Solver,
    constant,
    differentiate,
    quantities,
    reach,
    replace,
    solve,
    together,
)

from .cohort import Subject


class Arm(eqx.Module):
    """What happens to all subjects of an arm: the model as its trigger finds it, and the doses that all receive."""

    model: Model
    scenario: Scenario


class Panel(eqx.Module):
    """The subjects of one arm, padded to one shape.

    `members` are their numbers in the cohort, `rows` those of their readings; `known` are covariates that are parameters
    of the model, such as `weight`.
    """

    model: Model
    prepared: Plan
    known: dict[str, Float[Array, " subject"]]
    solver: Solver
    within: Reach
    names: tuple[str, ...] = eqx.field(static=True)
    members: tuple[int, ...] = eqx.field(static=True)
    rows: tuple[int, ...] = eqx.field(static=True)
    where: tuple[tuple[int, ...], ...] = eqx.field(static=True)  # of every reading: subject, analyte, time

    @property
    def owner(self) -> Int[np.ndarray, " obs"]:
        """The subject of every reading, by its number in the panel."""
        return np.array(self.where[0], int)

    def linearize(
        self, theta: Float[Array, "subject parameter"]
    ) -> tuple[Float[Array, " obs"], Float[Array, "obs parameter"], Bool[Array, " subject"]]:
        """Log-predictions of all readings, their derivatives along the log-parameters of their subject, and success."""

        def one(theta: Array, prepared: Plan, known: dict[str, Array]):
            found = differentiate(lambda theta: self._build(theta, known), theta, prepared, self.solver)
            return self._table(found.value), self._table(found.jacobian), found.okay

        value, jacobian, okay = jax.vmap(one)(theta, self.prepared, self.known)
        who, what, when = (np.array(x, int) for x in self.where)
        value, jacobian = value[who, what, when], jacobian[who, what, when]
        fine = (value > 0) & jnp.all(jnp.isfinite(jacobian), axis=1)
        okay &= jnp.ones(len(okay), bool).at[who].min(fine)
        value = jnp.where(okay[who], value, 1.0)
        return jnp.log(value), jnp.where(okay[who, None], jacobian / value[:, None], 0.0), okay

    def read(self, theta: Float[Array, "subject parameter"]) -> tuple[Float[Array, " obs"], Bool[Array, " subject"]]:
        """Log-predictions of all readings without derivatives, and success."""
        value, okay = self.value(theta)
        okay &= jnp.ones(len(okay), bool).at[self.owner].min(value > 0)
        return jnp.log(jnp.where(okay[self.owner], value, 1.0)), okay

    def value(self, theta: Float[Array, "subject parameter"]) -> tuple[Float[Array, " obs"], Bool[Array, " subject"]]:
        """Predictions of all readings, none below zero, and success; 1 where the solve failed."""
        read, okay = self.curves(theta, self.prepared)
        who, what, when = (np.array(x, int) for x in self.where)
        return jnp.where(okay[who], jnp.maximum(self._table(read, axis=1)[who, what, when], 0.0), 1.0), okay

    def curves(self, theta: Float[Array, "subject parameter"], prepared: Plan) -> tuple[dict[str, Array], Array]:
        """The read-outs of every subject over the times of `prepared`, by analyte, and success."""

        def one(theta: Array, prepared: Plan, known: dict[str, Array]):
            model = self._build(theta, known)
            found = solve(model, prepared, self.solver)
            return found.observe(model), found.okay

        return jax.vmap(one)(theta, prepared, self.known)

    def _build(self, theta: Array, known: Mapping[str, Array]) -> Model:
        return replace(self.model, {**known, **dict(zip(self.names, jnp.exp(theta), strict=True))})

    def _table(self, read: dict[str, Array], axis: int = 0) -> Array:
        return jnp.stack([read[analyte] for analyte in self.model.analytes], axis=axis)


def panel(
    arm: Arm,
    subjects: Sequence[Subject],
    members: Sequence[int],
    rows: Sequence[Sequence[int]],
    names: Sequence[str],
    middle: Mapping[str, float],
    solver: Solver,
) -> Panel:
    """The panel of `subjects`, who have the numbers `members` and whose readings have the numbers `rows`.

    `names` are the sampled parameters of the model and `middle` their prior medians.

    Raises `ValueError` where the model does not predict an analyte that was read, the arm does not fit the model, or one of
    the subjects lacks a covariate that is a parameter of it.
    """
    model, analytes = arm.model, list(arm.model.analytes)
    for subject in subjects:
        if unknown := [a for a in subject.data.analyte if a not in analytes]:
            raise ValueError(
                f"{type(model).__name__} does not predict `{unknown[0]}`, which was read in subject {subject.label!r};"
                f" it predicts: {', '.join(analytes)} (choose readings with `data.analytes`)"
            )
    scenarios = [subject.under(arm.scenario) for subject in subjects]
    times = [np.unique(subject.data.time) for subject in subjects]
    own = dict.fromkeys(name for subject in subjects for name in subject.covariates)
    start = np.array([subjects[0].start])
    known = {
        name: constant([subject.covariate(name, start)[0] for subject in subjects], float)
        for name in own
        if name in quantities(model) and name not in names
    }
    # What any of them moves is solved for all.
    typical = replace(model, {n: constant(x) for n, x in middle.items()} | {n: np.max(x) for n, x in known.items()})
    most = dataclasses.replace(scenarios[0], doses=sum((s.doses for s in scenarios[1:]), scenarios[0].doses))
    within = reach(typical, most, max(float(t[-1]) for t in times))
    read = dict.fromkeys(a for subject in subjects for a in subject.data.analyte)
    prepared = together(model, scenarios, times, within.to(read))
    where = [
        (i, analytes.index(analyte), int(np.searchsorted(times[i], time)))
        for i, subject in enumerate(subjects)
        for analyte, time in zip(subject.data.analyte, subject.data.time, strict=True)
    ]
    return Panel(
        model,
        prepared,
        known,
        solver,
        within,
        tuple(names),
        tuple(members),
        tuple(row for part in rows for row in part),
        tuple(zip(*where, strict=True)),
    )
