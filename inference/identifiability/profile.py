r"""Profile likelihoods: how well the readings can be met where one parameter is held and all others are free.

At every value of a parameter the others are moved to the largest likelihood by Fisher scoring, damped after Levenberg and
Marquardt; all parameters and both sides run side by side, each point from its neighbours', outwards and back. A value at
which the log-likelihood lies less than half of 3.84 below its maximum is in the 95 % confidence interval (Raue et al.,
Bioinformatics 2009;25:1923).

Two things keep the climbs where the model can be solved. The parameters of the model are held by a prior `LOOSE` times as
wide as theirs: where others must make up for the one that is held, they go about as far as it does, which costs
$2.6^2/(2 \cdot 10^2) = 0.03$ at the ends of the prior, against a threshold of 1.92; it is not counted in the profile. Noise
keeps its own prior, which is: with as many parameters as readings the likelihood has no maximum as the noise goes to zero.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import chi2, norm

from ..problem import Problem
from .information import Told

DROP = float(chi2.ppf(0.95, 1)) / 2  # of the log-likelihood, at the ends of the interval
MASS = 0.99  # of the prior, over which a parameter is profiled
LOOSE = 10.0
STEPS = 25  # of a climb at most
FEWEST_POINTS = 5
PASSES = 2  # outwards and back; later ones find what lies in another valley
ENOUGH = 1e-3  # a climb that gains less is at its end, if its steps are hardly damped
NEARLY = 1e-2
FARTHEST = 1.0  # in standard deviations of the prior: the longest step along any parameter

type Positions = Float[np.ndarray, "lane parameter"]
type Look = Callable[[Positions], Told]
type Report = Callable[[int, int], None]


class Profile(NamedTuple):
    """The profile of one parameter over its `values`, ascending: how far the log-likelihood lies below its maximum.

    `low` and `high` are the ends of the 95 % interval, not a number where the profile does not reach them within the prior.
    """

    name: str
    values: Float[np.ndarray, " point"]
    drop: Float[np.ndarray, " point"]
    estimate: float
    low: float
    high: float

    @property
    def kind(self) -> str:
        """`bounded`, `bounded below`, `bounded above`, or `flat`."""
        below, above = np.isfinite(self.low), np.isfinite(self.high)
        return "bounded" if below and above else "bounded below" if below else "bounded above" if above else "flat"


class Axes(NamedTuple):
    """Along what is climbed: names, the middle and the standard deviations of the prior, which are held by `LOOSE` priors in
    the place of their own, and which have a profile."""

    names: Sequence[str]
    centre: Float[np.ndarray, " parameter"]
    spread: Float[np.ndarray, " parameter"]
    loose: Bool[np.ndarray, " parameter"]
    shown: Bool[np.ndarray, " parameter"]


def axes_of(problem: Problem) -> Axes:
    """The parameters of a problem: those of the noise keep their priors."""
    own = np.array([name in problem.priors for name in problem.sampled])
    return Axes(list(problem.sampled), problem.sites.centre, problem.sites.spread, own, np.ones(len(own), bool))


class Heights(NamedTuple):
    """Climbs side by side: where each is, its objective, and the log-likelihood that counts."""

    x: Positions
    objective: Float[np.ndarray, " lane"]
    counted: Float[np.ndarray, " lane"]


class Climber:
    """Climbs to the largest likelihood, side by side, with some parameters of each held."""

    def __init__(self, look: Look, axes: Axes):
        self.centre, self.spread = axes.centre, axes.spread
        self._loose = np.where(axes.loose, (LOOSE * axes.spread) ** -2.0, 0.0)
        self._noise = np.where(axes.loose, 0.0, axes.spread**-2.0)
        self._look = look
        self.num_solves = self.num_failed = 0

    def look(self, x: Positions) -> tuple[Heights, Positions, Float[np.ndarray, "lane p p"]]:
        """Objective, slope and curvature at each position."""
        found = self._look(x)
        self.num_solves, self.num_failed = self.num_solves + len(x), self.num_failed + int((~found.okay).sum())
        away = x - self.centre
        counted = np.where(found.okay, found.log_likelihood - 0.5 * away**2 @ self._noise, -np.inf)
        curvature = found.information + np.diag(self._loose + self._noise)
        slope = found.slope - away * (self._loose + self._noise)
        return Heights(x, counted - 0.5 * away**2 @ self._loose, counted), slope, curvature

    def climb(self, x: Positions, free: Bool[np.ndarray, "lane parameter"]) -> Heights:
        """The ends of climbs from these positions along the parameters of each that are free."""
        here, slope, curvature = self.look(x.copy())
        damping, size, on = np.full(len(x), 1e-3), x.shape[1], np.arange(len(x))  # who still climbs
        for _ in range(STEPS):
            scaled = self.spread[:, None] * curvature[on] * self.spread
            ridge = damping[on, None, None] * (np.eye(size) + scaled * np.eye(size))
            both = free[on][:, :, None] & free[on][:, None, :]
            system = np.where(both, scaled + ridge, np.eye(size))
            step = np.linalg.solve(system, np.where(free[on], slope[on] * self.spread, 0.0)[..., None])[..., 0]
            step *= np.minimum(1.0, FARTHEST / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-12))
            there, *bent = self.look(here.x[on] + step * self.spread)
            up = there.objective > here.objective[on]
            gained = np.where(up, there.objective - np.where(up, here.objective[on], 0.0), 0.0)
            for new, old in zip((*there, *bent), (*here, slope, curvature), strict=True):
                old[on[up]] = new[up]
            damping[on] = np.where(up, damping[on] / 8, np.minimum(damping[on] * 10 + 1e-3, 1e9))
            on = on[np.where(up, (gained >= ENOUGH) | (damping[on] > NEARLY), damping[on] <= 1e3)]
            if not len(on):
                break
        return here


def profiles(
    look: Look,
    axes: Axes,
    starts: Positions,
    num_points: int = 15,
    report: Report = lambda done, total: None,
    passes: int = PASSES,
) -> tuple[list[Profile], Climber]:
    """The profiles that are shown of `axes`, at `num_points` values over the prior's central 99 %, the estimate among them.

    `look` is `told` of the problem. The climb to the estimate begins at each of `starts`; from there it goes `passes` times
    outwards and back.

    Raises `ValueError` for fewer than `FEWEST_POINTS`.
    """
    if num_points < FEWEST_POINTS:
        raise ValueError(f"`num_points` of a profile is {num_points}; give {FEWEST_POINTS} or more")
    climber, own, each = Climber(look, axes), np.flatnonzero(axes.shown), (num_points - 1) // 2
    best = highest(climber, starts)
    size = len(own)
    which, side = np.repeat(own, 2), np.tile([-1, 1], size)
    held = np.arange(len(axes.names)) != which[:, None]
    grid = _grid(climber, best, which, side, each)
    kept = [climber.look(np.repeat(best[None], 2 * size, axis=0))[0]]
    for k in range(each):
        kept.append(climber.climb(_held(kept[-1].x, which, grid[:, k]), held))
        report(k + 1, each * 2 * passes)
    order = [*range(each - 1, -1, -1), *range(1, each + 1)] * passes
    value = np.concatenate([best[which][:, None], grid], axis=1)
    for number, k in enumerate(order[: each * (2 * passes - 1)]):
        inward = (number // each) % 2 == 0
        begin = _held(kept[k + 1 if inward else k - 1].x, which, value[:, k])
        kept[k] = _better(climber.climb(begin, held), kept[k])
        if k == 0:  # where both sides of a parameter begin
            kept[0] = _better(Heights(*(x.reshape(size, 2, -1)[:, ::-1].reshape(x.shape) for x in kept[0])), kept[0])
        report(each + number + 1, each * 2 * passes)
    x, counted = (np.stack([getattr(part, name) for part in kept], axis=1) for name in ("x", "counted"))
    merged = lambda part, i: np.concatenate([part[2 * i, :0:-1], part[2 * i + 1]])  # noqa: E731
    found = [_Line(int(k), merged(x, i), merged(counted, i)) for i, k in enumerate(own)]
    top = counted.max()
    ends = np.concatenate([line.near(top) for line in found])  # of every interval, once more
    last = climber.climb(ends, held)
    found = [line.joined(last.x[2 * i : 2 * i + 2], last.counted[2 * i : 2 * i + 2]) for i, line in enumerate(found)]
    top = max(top, last.counted.max())
    return [line.profile(axes.names[line.which], top) for line in found], climber


class _Line(NamedTuple):
    """The points of one profile, whose parameter ascends."""

    which: int
    x: Float[np.ndarray, "point parameter"]
    counted: Float[np.ndarray, " point"]

    def near(self, top: float) -> Float[np.ndarray, "two parameter"]:
        """Where to climb from to the ends of the interval: the nearest points, moved there; the best one for an open end."""
        values, found = self.x[:, self.which], []
        for end in limits(values, top - self.counted):
            at = np.log(end) if np.isfinite(end) else values[np.argmax(self.counted)]
            moved = self.x[np.argmin(np.abs(values - at))].copy()
            moved[self.which] = at
            found.append(moved)
        return np.stack(found)

    def joined(self, x: np.ndarray, counted: np.ndarray) -> "_Line":
        """The same line with more points; at one value the better one stays."""
        every, heights = np.concatenate([self.x, x]), np.concatenate([self.counted, counted])
        order = np.lexsort((-heights, every[:, self.which]))
        _, first = np.unique(every[order, self.which], return_index=True)
        return _Line(self.which, every[order][first], heights[order][first])

    def profile(self, name: str, top: float) -> Profile:
        """The profile below the largest likelihood."""
        values, drop = self.x[:, self.which], top - self.counted
        return Profile(name, np.exp(values), drop, float(np.exp(values[np.argmin(drop)])), *limits(values, drop))


def _better(one: Heights, other: Heights) -> Heights:
    up = one.objective > other.objective
    x = np.where(up[:, None], one.x, other.x)
    return Heights(x, *(np.where(up, new, old) for new, old in zip(one[1:], other[1:], strict=True)))


def highest(climber: Climber, starts: Positions) -> Float[np.ndarray, " parameter"]:
    """The position of the largest likelihood that climbs from these reach."""
    ends = climber.climb(starts, np.ones(starts.shape, bool))
    return ends.x[np.argmax(ends.objective)]


def limits(values: Float[np.ndarray, " point"], drop: Float[np.ndarray, " point"]) -> tuple[float, float]:
    """Where a profile over logarithms crosses the threshold on either side of its lowest point; not a number where it does
    not. Between two points the square root of the drop is a straight line, as it is of a parabola."""
    root, bar, lowest = np.sqrt(np.maximum(drop, 0.0)), np.sqrt(DROP), int(np.argmin(drop))

    def cross(order: np.ndarray) -> float:
        beyond = np.flatnonzero(drop[order] > DROP)
        if not len(beyond):
            return np.nan
        out, into = order[beyond[0]], order[beyond[0] - 1]
        if not np.isfinite(root[out]):
            return float(np.exp(values[into]))
        share = (bar - root[into]) / (root[out] - root[into])
        return float(np.exp(values[into] + share * (values[out] - values[into])))

    return cross(np.arange(lowest, -1, -1)), cross(np.arange(lowest, len(values)))


def _held(x: Positions, which: Int[np.ndarray, " lane"], value: Float[np.ndarray, " lane"]) -> Positions:
    moved = x.copy()
    moved[np.arange(len(x)), which] = value
    return moved


def _grid(
    climber: Climber, best: np.ndarray, which: np.ndarray, side: np.ndarray, num: int
) -> Float[np.ndarray, "lane step"]:
    """From the estimate to the end of the prior's central mass: dense near the estimate, by its standard error."""
    _, _, curvature = climber.look(best[None])
    error = np.sqrt(np.maximum(np.diag(np.linalg.inv(curvature[0])), 0.0))[which]
    far = side * (climber.centre[which] - best[which]) + norm.ppf(0.5 + MASS / 2) * climber.spread[which]
    # Where the estimate lies at the end of the prior's mass or beyond, a step shows to which side the likelihood falls.
    far = np.maximum(far, np.minimum(3 * error, climber.spread[which]))
    near = np.minimum(0.7 * error, far / num)
    return best[which][:, None] + side[:, None] * np.geomspace(near, far, num, axis=1)
