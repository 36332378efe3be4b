"""A problem as data for its Stan program: what the data block of the program declares, no more."""

import itertools
import re
from pathlib import Path
from typing import Any

import hierarchical
import numpy as np

import cytostorm.inference as ci
from cytostorm.models import Minimal
from cytostorm.models.model import scales
from cytostorm.models.quantity import values
from cytostorm.models.segments import just_after
from cytostorm.scripts import device
from cytostorm.scripts.compose import composed
from cytostorm.scripts.problem import prepare

# Name, and what `cytostorm fit` is told.
PROBLEMS = {"minimal": [], "network": ["experiment=network_cart", "sampler=nuts"], "hierarchical": hierarchical.OVERRIDES}
HERE = Path(__file__).resolve().parent
# States whose start depends on a sampled parameter: network.stan integrates their difference from it.
SHIFTED = ("il6", "acute_phase", "crp", "ferritin", "temperature")


type Posed = ci.Problem | ci.Population


def prepared(name: str, size: tuple[int, ...] = (), sampler: str = "nuts") -> tuple[Posed, Any]:
    """A problem by name and its sampler, with `size` warm-up iterations and draws where it is given; or another sampler."""
    device.start("cpu")
    given = [f"sampler.{key}={value}" for key, value in zip(("num_warmup", "num_draws"), size, strict=False)]
    given = given if sampler == "nuts" else [f"sampler={sampler}"]
    problem, method, _ = prepare(composed("fit", [*PROBLEMS[name], *given]))
    return problem, method


def program(problem: Posed) -> Path:
    """The Stan program of a problem."""
    if isinstance(problem, ci.Population):
        return HERE / "hierarchical.stan"
    return HERE / ("minimal.stan" if isinstance(problem.model, Minimal) else "network.stan")


def source(path: Path) -> str:
    """The text of a Stan program; one without functions has those of `minimal.stan`."""
    text = path.read_text()
    return text if "\nfunctions {" in text else (HERE / "minimal.stan").read_text().partition("\ndata {")[0] + "\n" + text


def declared(path: Path, block: str) -> list[str]:
    """The names that a block of a Stan program declares."""
    inside = re.search(rf"^{block} \{{$(.*?)^\}}$", path.read_text(), re.S | re.M)
    assert inside is not None, f"{path.name} has no block `{block}`"
    return re.findall(r"^  [^/\n=]*?(\w+)(?:;| =)", re.sub(r"<.*?>", "", inside[1]), re.M)


def exported(problem: Posed, basis: np.ndarray | None = None) -> dict:
    """The data of a problem for Stan; `basis` spans the unconstrained parameters (the identity).

    Raises `ValueError` for what the programs do not have.
    """
    if other := [name for name, prior in problem.sampled.items() if not isinstance(prior, ci.Prior)]:
        raise ValueError(f"the Stan programs have log-normal priors, and that of `{other[0]}` is none; give it one")
    basis = np.eye(problem.sites.size) if basis is None else basis
    known = _population(problem) if isinstance(problem, ci.Population) else _alone(problem)
    known |= {
        "basis": basis,
        "method": 0,
        "rtol": problem.solver.rtol,
        "atol": problem.solver.atol,
        "max_steps": problem.solver.max_steps,
        "prior_log_median": [np.log(prior.median) for prior in problem.sampled.values()],
        "prior_log_sd": [prior.log_sd for prior in problem.sampled.values()],
    }
    return {name: _plain(known[name]) for name in declared(program(problem), "data")}


def _population(problem: ci.Population) -> dict:
    """What `hierarchical.stan` takes: individual readings of IL-6 at the same times after the same boluses of LPS."""
    (arm,) = problem.arms.values()
    doses, effects, readings = arm.scenario.doses, problem.variability.effects, [s.data for s in problem.cohort]
    sampled, times = declared(program(problem), "transformed parameters")[1:6], readings[0].time
    if (list(problem.sampled), list(effects)) != (sampled, ["k_l", "u0"]) or any(x.centred for x in effects.values()):
        raise ValueError(f"hierarchical.stan samples {sampled}; k_l and u0 differ, not centred")
    alike = all(np.array_equal(x.time, times) and x.individual.all() and not x.cens.any() for x in readings)
    if not alike or np.asarray(doses.duration).any() or set(problem.data.analyte) != {"il6"}:
        raise ValueError("hierarchical.stan takes single readings of IL-6 at the same times, and boluses only")
    spreads = [effect.omega for effect in effects.values()]
    return values(arm.model) | {
        "scale": scales(arm.model),
        "num_doses": len(doses),
        "dose_time": doses.time,
        "dose": doses.amount,
        "begin": just_after(np.array([arm.scenario.start]))[0],
        "num_subjects": len(readings),
        "num_times": len(times),
        "times": times,
        "value": [x.value for x in readings],
        "spread_log_median": [np.log(prior.median) for prior in spreads],
        "spread_log_sd": [prior.log_sd for prior in spreads],
        "concentration": problem.variability.correlation,
    }


def _alone(problem: ci.Problem) -> dict:
    """What the programs of one subject take.

    Raises `ValueError` for what they do not have: a drug by closed form, an LPS infusion, censored readings, or groups
    where the program takes single readings and the other way round.
    """
    path, model, data = program(problem), problem.model, problem.data
    names = list(problem.sampled)
    if (known := declared(path, "transformed parameters")[1:]) != names:
        raise ValueError(f"{path.name} samples {known}, the problem {names}")
    if data.cens.any():
        raise ValueError(f"{path.name} takes no censored readings")
    if data.individual.any() if isinstance(model, Minimal) else not data.individual.all():
        raise ValueError(f"{path.name} takes {'group means' if isinstance(model, Minimal) else 'single readings'} only")
    states = [state.name for state in model.states]
    return (
        values(model)
        | _doses(problem, states)
        | _start(problem, states)
        | {
            "scale": scales(model),
            "num_readings": len(data),
            "state": [states.index(analyte) + 1 for analyte in data.analyte],
            "value": data.value,
            "n": data.n,
            "spread": data.spread,
        }
    )


def _doses(problem: ci.Problem, states: list[str]) -> dict:
    """Segments between dose times, each with the times to solve for; a reading at a dose time is before the dose."""
    doses, begin, reading = problem.scenario.doses, problem.scenario.start, problem.data.time
    time, amount, duration = (np.asarray(x) for x in (doses.time, doses.amount, doses.duration))
    enters, scale = doses.entering(states), scales(problem.model)
    inside = enters.any(axis=1)
    flows, falls = inside & (duration > 0), inside & (duration == 0)
    if isinstance(problem.model, Minimal):
        if flows.any() or duration.any():
            raise ValueError("minimal.stan takes boluses only")
    elif not inside.all():
        raise ValueError(f"network.stan has no drug by closed form: {set(np.array(doses.target)[~inside])}")
    end = reading.max()
    edges = np.concatenate([time[falls], time[flows], (time + duration)[flows]])
    bounds = np.unique([begin, *edges[(begin < edges) & (edges < end)], end])
    grids = [np.unique([*reading[(a < reading) & (reading < b)], b]) for a, b in itertools.pairwise(bounds)]
    times = np.concatenate(grids)
    last = np.cumsum([len(grid) for grid in grids])
    return {
        "num_doses": int((~inside).sum()),
        "dose_time": time[~inside],
        "dose": amount[~inside],
        "num_infusions": int(flows.sum()),
        "on": time[flows],
        "off": (time + duration)[flows],
        "inflow": (amount[flows] / duration[flows])[:, None] * enters[flows] / scale,
        "num_segments": len(grids),
        "start": just_after(bounds[:-1]),
        "jump": ((time == bounds[:-1, None]) & falls) * amount @ enters / scale,
        "first": last - [len(grid) for grid in grids] + 1,
        "last": last,
        "num_times": len(times),
        "times": times,
        "at": np.where(reading == begin, 0, np.searchsorted(times, reading) + 1),
    }


def _start(problem: ci.Problem, states: list[str]) -> dict:
    """The initial state in units of scale, as difference from rest where rest depends on sampled parameters."""
    if clash := set(problem.scenario.initial) & set(SHIFTED):
        raise ValueError(f"network.stan starts {clash} at rest")
    initial = np.array(problem.scenario.initial_state(problem.model)) / scales(problem.model)
    initial[[states.index(name) for name in SHIFTED if name in states]] = 0.0
    return {"initial": initial}


def _plain(value: object) -> object:
    return np.asarray(value).tolist()
