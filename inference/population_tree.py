"""The posterior of a population as one labelled tree: its medians, every subject, and subjects still to come."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import arviz_base as azb
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from cytostorm.models import Model, Plan, derivations, replace, together

from .analyte import UNITS
from .arguments import by_blocks, jitted
from .assay import MEANINGS
from .keys import branches, root
from .panel import Panel
from .population import Population
from .predictive import standing
from .prior import recorded
from .samplers import Draws, thinned
from .site import Values

BATCH = 25  # draws that are predicted side by side
NUM_PRIOR, NUM_PRIOR_READ = 1000, 500  # draws of the prior, and those for which readings are drawn
NUM_REPLICATES = 1000  # draws for which new subjects are drawn
NUM_CURVES = 200
NUM_TIMES = 80


class Reads(eqx.Module):
    """Of one draw: whether all could be solved, and the log-likelihood and replicates of the readings."""

    okay: Bool[Array, "*draw"]
    log_f: Float[Array, "*draw obs"]
    log_likelihood: Float[Array, "*draw obs"]
    replicated: Float[Array, "*draw obs"]


def assemble_population(problem: Population, draws: Draws, key: PRNGKeyArray) -> xr.DataTree:
    """The draws of a population with everything that belongs to them.

    Groups as in `assemble`, and `population_predictive`: readings of new subjects drawn from the population, one for each
    subject of the cohort under its doses and at its times. `posterior` holds the population's medians by name, `omega`
    by effect, `correlation` by pair, factors of assays, and every subject's parameters as `subject_NAME`. `predictions`
    holds curves of every subject by arm as its assay reads them, on a grid of `time` that ends with the arm's last reading.
    """
    key_prior, key_y = branches(key, 2)
    names = list(problem.priors)
    shape = np.asarray(draws.values[names[0]]).shape
    flat = {name: np.asarray(x).reshape(-1, *np.shape(x)[2:]) for name, x in draws.values.items()}
    thin = thinned(shape[0] * shape[1], NUM_REPLICATES)
    some = {name: x[thin] for name, x in flat.items()}
    key_y, key_new = branches(key_y, 2)
    before = {name: np.asarray(x) for name, x in problem.draw(key_prior, NUM_PRIOR).items()}
    number = shape[0] * shape[1]
    both = {name: np.concatenate([x, before[name][:NUM_PRIOR_READ]]) for name, x in flat.items()}  # one program for both
    every = by_batch(problem, _read, both, key_y)
    reads, prior_reads = (jax.tree.map(lambda x: x[part], every) for part in (slice(number), slice(number, None)))
    renewed = by_batch(problem, lambda at, values, key: _read(at, at.renewed(values, key), key), some, key_new)
    theta = individuals_of(problem, flat)
    by_chain = lambda x: np.asarray(x).reshape(*shape, *np.shape(x)[1:])  # noqa: E731
    coords = coordinates(problem)
    tree = azb.from_dict(
        {
            "posterior": _named(problem, {n: np.asarray(x) for n, x in draws.values.items()})
            | {f"subject_{n}": by_chain(np.exp(theta[:, :, names.index(n)])) for n in problem.variability.effects}
            | {n: by_chain(x) for n, x in _derived(problem, flat).items()},
            "sample_stats": draws.stats,
            "log_likelihood": {"y": by_chain(reads.log_likelihood)},
            "posterior_predictive": {"y": by_chain(reads.replicated)},
            "population_predictive": {
                "y": np.asarray(renewed.replicated)[None],
                "okay": np.asarray(renewed.okay)[None],
            },
            "prior": _named(problem, {n: x[None] for n, x in before.items()})
            | {n: x[None] for n, x in _derived(problem, before).items()},
            "prior_predictive": {"y": np.asarray(prior_reads.replicated)[np.asarray(prior_reads.okay)][None]},
            "observed_data": {"y": problem.data.value},
            "constant_data": {
                "cens": problem.data.cens,
                "limit": np.where(problem.data.cens == 0, np.nan, problem.data.limit),
                "scatter": problem.scatter,
                "covariates": _covariates(problem, coords["covariate"]),
            },
        },
        coords=coords,
        dims=dimensions(problem),
    )
    named = ("prior_predictive", "posterior_predictive", "population_predictive", "observed_data", "constant_data")
    for group in ("log_likelihood", *named):
        tree[group] = tree[group].to_dataset().assign_coords(problem.data.coordinates)
    tree["standing"] = standing(problem, np.asarray(reads.log_f), flat, shape)
    tree["predictions"] = _curves(problem, some)
    tree["sample_stats"].attrs |= {"failed_share": [float(x) for x in draws.failed_share], **draws.facts}
    tree["sample_stats"].attrs["failed_by_subject"] = list(draws.failed_by_subject)
    _describe(tree, problem)
    return tree


def by_batch(problem: Any, function: Any, values: Any, key: PRNGKeyArray) -> Any:
    """A function of a problem, one draw and a key over all draws (a leading axis of `values`), in batches of equal size."""
    run = jitted(lambda at, values, key, begin: jax.vmap(partial(function, at))(values, _keys(key, begin)), problem)

    def block(index: np.ndarray) -> Any:
        return run(jax.tree.map(lambda x: x[index], values), key, np.array(index[0]))

    return by_blocks(block, len(jax.tree.leaves(values)[0]), BATCH)


def _keys(key: PRNGKeyArray, begin: Array) -> Array:
    return jax.vmap(jax.random.fold_in, (None, 0))(key, begin + jnp.arange(BATCH))


def _read(problem: Population, values: Values, key: Array) -> Reads:
    """The readings of one draw."""
    log_f, okay = problem.read(values)
    noise, data, scatter = problem.noise, problem.data, problem.scatter
    return Reads(
        jnp.all(okay),
        log_f,
        noise.log_density(log_f, values, data, scatter),
        noise.draw(jax.random.fold_in(key, 1), log_f, values, data, scatter),
    )


def individuals_of(problem: Population, values: dict[str, np.ndarray]) -> Float[Array, "draw subject parameter"]:
    """The log-parameters of every subject for every draw of `values`, which has a leading draw axis."""
    return jitted(lambda at, values: jax.vmap(at.individual)(values), problem)(
        {name: jnp.asarray(x) for name, x in values.items()}
    )


def _derived(problem: Population, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the first arm's model computes of the population's medians."""
    model = next(iter(problem.arms.values())).model

    def one(medians: Values) -> dict[str, Array]:
        typical: Model = replace(model, medians)
        return {name: getattr(typical, name) for name in derivations(typical)}

    found = jax.jit(jax.vmap(one))({name: values[name] for name in problem.priors})
    return {name: np.asarray(x) for name, x in found.items()}


def _named(problem: Population, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The sampled quantities, with correlations in the place of their root."""
    found = {name: x for name, x in values.items() if name != "root"}
    if "root" in values:
        full = values["root"] @ np.swapaxes(values["root"], -1, -2)
        found["correlation"] = full[(..., *np.tril_indices(full.shape[-1], -1))]
    return found


def coordinates(problem: Population) -> dict[str, Any]:
    """The labels along every dimension of a population's tree."""
    effects = list(problem.variability.effects)
    pairs = [f"{effects[i]}~{effects[j]}" for i, j in zip(*np.tril_indices(len(effects), -1), strict=True)]
    return {
        "effect": effects,
        "pair": pairs,
        "subject": problem.cohort.labels,
        "scale": [f"{study}:{analyte}" for study, analyte in problem.assays.scales],
        "plain": [name for name, effect in problem.variability.effects.items() if not effect.centred],
        "covariate": list(dict.fromkeys(name for s in problem.cohort for name in [*s.covariates, *s.changing])),
        "obs_id": np.array(problem.data.labels),
    }


def dimensions(problem: Population) -> dict[str, list[str]]:
    """The dimensions of every variable of a population's tree that is no scalar."""
    found = {name: ["obs_id"] for name in ("y", "cens", "limit", "scatter")}
    found |= {f"{kind}_{name}": ["subject"] for name in problem.variability.effects for kind in ("subject", "log")}
    found |= {name: ["scale"] for name in problem.assays.priors} | {"covariates": ["subject", "covariate"]}
    return found | {"omega": ["effect"], "correlation": ["pair"], "z": ["plain", "subject"]}


def _covariates(problem: Population, names: list[str]) -> Float[np.ndarray, "subject covariate"]:
    """What is known of every subject at its start; not a number where it is not."""
    found = np.full((len(problem.cohort), len(names)), np.nan)
    for i, subject in enumerate(problem.cohort):
        for j, name in enumerate(names):
            if name in subject.covariates or name in subject.changing:
                found[i, j] = subject.covariate(name, np.array([subject.start]))[0]
    return found


def _curves(problem: Population, values: dict[str, np.ndarray]) -> xr.Dataset:
    """Curves of every subject for some draws: by analyte, over draw, subject and point, with the time of every point."""
    index = thinned(len(next(iter(values.values()))), NUM_CURVES)
    chosen = {name: x[index] for name, x in values.items()}
    analytes = list(dict.fromkeys(problem.data.analyte))
    curves = {a: np.full((len(index), len(problem.cohort), NUM_TIMES), np.nan) for a in analytes}
    times = np.zeros((len(problem.cohort), NUM_TIMES))
    for part, grid, prepared in _grids(problem):
        members = np.array(part.members)
        times[members] = grid

        studies = [problem.cohort.subjects[i].study for i in part.members]
        along = {a: problem.assays.along([(study, a) for study in studies]) for a in analytes}

        def one(both: tuple[Population, Panel, Plan], values: Values, key: Array, members=members, along=along):
            problem, part, prepared = both
            found, _ = part.curves(problem.individual(values)[members], prepared)
            read = jax.vmap(problem.assays.read, (1, None, None), 1)  # over the times
            return {a: jnp.exp(read(jnp.log(jnp.maximum(found[a], 1e-300)), values, along[a])) for a in analytes}

        found = by_batch((problem, part, prepared), one, chosen, root(0))
        for a in analytes:
            curves[a][:, members] = found[a]
    return xr.Dataset(
        {a: (("sample", "subject", "point"), x, {"units": UNITS[a]}) for a, x in curves.items()},
        coords={
            "subject": problem.cohort.labels,
            "study": ("subject", [subject.study for subject in problem.cohort]),
            "time": (("subject", "point"), times, {"units": "h"}),
            "dose_h": (("subject", "dose"), _doses(problem), {"units": "h"}),
        },
    )


def _doses(problem: Population) -> Float[np.ndarray, "subject dose"]:
    """When every subject is given something [h], each time once; not a number after its last dose."""
    stories = [subject.under(problem.arm(subject).scenario) for subject in problem.cohort]
    each = [np.unique(np.asarray(story.doses.time, float)) for story in stories]
    found = np.full((len(each), max(map(len, each))), np.nan)
    for row, times in zip(found, each, strict=True):
        row[: len(times)] = times
    return found


def _grids(problem: Population) -> Iterator[tuple[Any, np.ndarray, Plan]]:
    for part in problem.panels:
        subjects = [problem.cohort.subjects[i] for i in part.members]
        end = max(float(s.data.time.max()) for s in subjects)
        grid = np.linspace(subjects[0].start, end, NUM_TIMES)
        arm = problem.arm(subjects[0])
        stories = [subject.under(arm.scenario) for subject in subjects]
        yield part, grid, together(part.model, stories, [grid] * len(subjects), part.within.moving)


def texts(problem: Population) -> dict[str, dict[str, str]]:
    """Symbol, unit and meaning of everything that a population's posterior tells."""
    known = problem.describe()
    text = {name: dict(about) for name, about in known.items()}
    for name, q in derivations(next(iter(problem.arms.values())).model).items():
        text[name] = {"symbol": q.symbol, "unit": q.unit, "meaning": q.meaning}
    text["omega"] = {"symbol": r"\omega", "unit": "1", "meaning": "SD of the logarithm of a parameter between subjects"}
    text["correlation"] = {"symbol": r"\rho", "unit": "1", "meaning": "correlation of two parameters between subjects"}
    text |= {name: dict(zip(("symbol", "unit", "meaning"), x, strict=True)) for name, x in MEANINGS.items()}
    for covariate in problem.variability.covariates:
        text[covariate.name] = {
            "symbol": r"\beta",
            "unit": "1",
            "meaning": f"what {covariate.covariate} explains of {covariate.parameter}",
        }
    for name in problem.variability.effects:
        text[f"subject_{name}"] = {**known[name], "meaning": f"{known[name]['meaning']}, of each subject"}
    return text


def _describe(tree: xr.DataTree, problem: Population) -> None:
    """Write symbol, unit, meaning and prior of every variable into its attributes."""
    text: dict[str, dict[str, Any]] = dict(texts(problem))
    for name, prior in problem.sampled.items():
        text[name] = text[name] | recorded(prior)
    for group in ("posterior", "prior"):
        for name, attributes in text.items():
            if name in tree[group].data_vars:
                tree[group][name].attrs.update({"units": attributes["unit"]} | attributes)
