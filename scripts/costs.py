"""What a sampler will ask of a problem: how many looks at its density, in how many rounds, and how much it keeps."""

from typing import Any, NamedTuple

import cytostorm.inference as ci

BYTES = 8
COPIES = 3  # of what is kept: in blocks, in the tree, and while it is written
CURVES = 2 * 1000 * 200  # of the posterior and of the prior: draws times points
STEPS = (15, 127)  # leapfrogs of an iteration of NUTS: four and seven doublings
LEAPFROGS = (5, 40)  # of an iteration of ChEES
TEMPERATURES = (8, 40)
CLIMB = (30, 150)  # looks at the gradient of one climb
WITHOUT_SLOPES = 0.3  # of the time of a look with its slopes


class Cost(NamedTuple):
    """Looks at density and gradient one after the other, at least and at most; the same in words; memory [GiB]."""

    rounds: tuple[float, float]
    words: str
    gigabytes: float


def cost(sampler: ci.Sampler, num_parameters: int, num_readings: int, cores: int) -> Cost:
    """What a sampler will ask for, from its settings and what fits have taken."""
    low, high, width, draws = _asked(sampler, min(cores, 4))
    words = f"{_many(low)} to {_many(high)} looks at the gradient"
    kept = COPIES * draws * (num_parameters + 2 * num_readings + 10) + CURVES
    return Cost((low / width, high / width), words, BYTES * kept / 2**30)


def _asked(sampler: Any, cores: int) -> tuple[float, float, int, int]:
    """Looks, at least and at most; how many of them go on at a time; and draws."""
    kind = type(sampler).__name__
    if kind == "NUTS":
        iterations = sampler.num_chains * (sampler.num_warmup + sampler.num_draws * sampler.thin)
        most = min(STEPS[1], 2**sampler.max_tree_depth - 1)
        width = min(cores, sampler.num_chains)
        return STEPS[0] * iterations, most * iterations, width, sampler.num_chains * sampler.num_draws
    if kind == "ChEES":
        iterations = sampler.num_chains * (sampler.num_warmup + sampler.num_draws)
        return LEAPFROGS[0] * iterations, LEAPFROGS[1] * iterations, cores, sampler.num_chains * sampler.num_draws
    if kind == "SMC":
        step = sampler.num_runs * sampler.num_particles * sampler.num_moves * sampler.num_leapfrogs
        most = min(TEMPERATURES[1], sampler.max_temperatures)
        return TEMPERATURES[0] * step, most * step, cores, sampler.num_runs * sampler.num_particles
    if kind == "Independence":
        point = WITHOUT_SLOPES * sampler.num_points
        draws = sampler.num_chains * sampler.num_draws
        return (sampler.num_rounds + 4) * point, sampler.max_rounds * point, cores, draws
    climbs = sampler.start.num_climbs + getattr(sampler, "num_paths", 0)
    more = getattr(sampler, "num_steps", 1) * getattr(sampler, "num_elbo", 1)
    return CLIMB[0] * climbs + more, CLIMB[1] * climbs + more, cores, sampler.num_draws


def _many(number: float) -> str:
    """A large number in two digits."""
    return f"{float(f'{number:.2g}'):,.0f}"
