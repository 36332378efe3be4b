r"""The next readings: what each would add to what is known, by expected information gain.

Around a draw the log-predictions are linear in the log-parameters. A reading with sensitivities $c$ and information $w$
then takes the covariance $\Sigma$ of what is known to $\Sigma - w\,\Sigma c c^\top\Sigma/(1 + w\,c^\top\Sigma c)$, and is
worth $\tfrac12\log_2(1 + w\,c^\top\Sigma c)$ bits: one bit halves the volume of what is possible. Gains are means over draws
(Chaloner and Verdinelli, Stat Sci 1995;10:273); several readings are chosen one after the other, each given those before.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import equinox as eqx
import jax
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from cytostorm.models import Scenario

from ..observations import Observations
from ..problem import Problem
from .information import Everywhere, Report, Told, rows

AS_IT_IS = "as it is"

type Draws = Mapping[str, Float[np.ndarray, " draw"]]


class Future(eqx.Module):
    """One way in which the story may go on: whether every draw could be solved, and what each candidate would tell there.

    Candidates are readings of `analyte` at `time` [h]; `jacobian` holds their sensitivities, `weight` their information.
    """

    label: str = eqx.field(static=True)
    analyte: tuple[str, ...] = eqx.field(static=True)
    time: Float[np.ndarray, " candidate"]
    okay: Bool[np.ndarray, " draw"]
    jacobian: Float[np.ndarray, "draw candidate parameter"]
    weight: Float[np.ndarray, "draw candidate"]


def candidates(analytes: Sequence[str], times: Float[np.ndarray, " time"], subject: str) -> Observations:
    """Readings of every analyte at every time, whose values are not known yet."""
    num = len(analytes) * len(times)
    one, none = np.ones(num), np.zeros(num)
    time, analyte = np.repeat(times, len(analytes)), tuple(analytes) * len(times)
    return Observations((subject,) * num, analyte, time, one, none.astype(int), one, none.astype(int), none)


def future(
    problem: Problem,
    label: str,
    story: Scenario,
    analytes: Sequence[str],
    times: Float[np.ndarray, " time"],
    draws: Draws,
    report: Report = lambda done, total: None,
) -> Future:
    """What readings of these analytes at these times would tell in each draw, if the story of the problem became `story`.

    An analyte that stays at zero in it is left out. Noise of an analyte that was not read is the median of its prior.

    Raises `ValueError` where no analyte is left, and what a problem raises.
    """
    begin = jax.jit(lambda model: model.observe(story.initial_state(model)))(problem.model)
    read = [name for name in analytes if problem.within.seen.get(name, (0,)) or float(begin[name]) > 0]
    if not read:
        raise ValueError(f"nothing can be read: {', '.join(analytes)} stay at zero; name other analytes")
    data = candidates(read, times, problem.data.subject[0])
    ahead = Problem(problem.model, story, data, problem.priors, problem.noise, problem.solver)
    num = len(next(iter(draws.values())))
    values = {name: draws.get(name, np.full(num, prior.median)) for name, prior in ahead.sampled.items()}
    found = Everywhere(rows, ahead)(np.asarray(ahead.sites.positions(values)), report)
    okay = np.asarray(found.okay)
    weight = np.where(okay[:, None], np.asarray(found.weight), 0.0)
    return Future(label, data.analyte, data.time, okay, np.asarray(found.jacobian), weight)


def known(look: Everywhere[Told], draws: Draws) -> Float[np.ndarray, "draw p p"]:
    """The covariance of the log-parameters of the model that prior and readings leave, in every draw, by `told`.

    A draw that cannot be solved is not a number.
    """
    problem, num = look.problem, len(look.problem.priors)
    found = look(np.asarray(problem.sites.positions(draws)))
    prior, okay = np.diag(problem.sites.spread[:num] ** -2.0), np.asarray(found.okay)[:, None, None]
    whole = prior + np.where(okay, np.asarray(found.information)[:, :num, :num], 0.0)
    return np.where(okay, np.linalg.inv(whole), np.nan)


def gains(
    covariance: Float[np.ndarray, "draw p p"], ahead: Future, about: Sequence[int] | None = None
) -> Float[np.ndarray, "draw candidate"]:
    """The bits that each candidate would add in every draw, about all parameters or those numbered."""
    moved = np.einsum("dij,dcj->dci", covariance, ahead.jacobian)
    size = ahead.weight * np.einsum("dci,dci->dc", ahead.jacobian, moved)
    if about is None:
        return 0.5 * np.log2(1 + size)
    part, index = covariance[:, about][:, :, about], list(about)
    inner = np.einsum("dci,dij,dcj->dc", moved[:, :, index], np.linalg.inv(part), moved[:, :, index])
    return -0.5 * np.log2(np.maximum(1 - ahead.weight / (1 + size) * inner, 1e-300))


def updated(covariance: Float[np.ndarray, "draw p p"], ahead: Future, pick: int) -> Float[np.ndarray, "draw p p"]:
    """What is known once a candidate has been read."""
    moved = np.einsum("dij,dj->di", covariance, ahead.jacobian[:, pick])
    weight = ahead.weight[:, pick]
    size = weight * np.einsum("di,di->d", ahead.jacobian[:, pick], moved)
    return covariance - (weight / (1 + size))[:, None, None] * moved[:, :, None] * moved[:, None, :]


def chosen(
    covariance: Float[np.ndarray, "draw p p"], ahead: Future, num: int, spacing: float, about: Sequence[int] | None = None
) -> pd.DataFrame:
    """The `num` readings that tell most, one after the other, with the bits that each adds to those before.

    Two readings are taken at one time, or at least `spacing` hours apart; fewer are returned where no more fit.
    """
    rows, open_ = [], np.ones(len(ahead.time), bool)
    for number in range(num):
        if not open_.any():
            break
        mean = np.where(open_, gains(covariance, ahead, about).mean(axis=0), -np.inf)
        pick = int(mean.argmax())
        covariance = updated(covariance, ahead, pick)
        apart = np.abs(ahead.time - ahead.time[pick])
        open_ &= (apart == 0) | (apart >= spacing - 1e-9)
        open_[pick] = False
        rows.append((ahead.label, number + 1, ahead.analyte[pick], float(ahead.time[pick]), float(mean[pick])))
    table = pd.DataFrame(rows, columns=["future", "pick", "analyte", "time_h", "gain"])
    return table.assign(total=table["gain"].cumsum())


def kinds(
    covariance: Float[np.ndarray, "draw p p"], futures: Iterable[Future], about: Sequence[int] | None = None
) -> pd.DataFrame:
    """One row per future and analyte, best first: the time at which one reading tells most, and the bits that it adds."""
    rows = []
    for ahead in futures:
        mean, own = gains(covariance, ahead, about).mean(axis=0), np.array(ahead.analyte)
        for name in dict.fromkeys(ahead.analyte):
            pick = int(np.where(own == name, mean, -np.inf).argmax())
            rows.append((ahead.label, name, float(ahead.time[pick]), float(mean[pick])))
    table = pd.DataFrame(rows, columns=["future", "analyte", "time_h", "gain"])
    # What differs by less than a hundredth of a bit is equal: the earlier future is the simpler one.
    return table.sort_values("gain", key=lambda x: -x.round(2), kind="stable", ignore_index=True)


def solved(covariance: Float[np.ndarray, "draw p p"], futures: Sequence[Future]) -> tuple[np.ndarray, list[Future]]:
    """What is known, and the futures, in the draws that could be solved in all of them: only these are compared.

    Raises `ValueError` where there is none.
    """
    keep = np.isfinite(covariance).all(axis=(1, 2)) & np.all([ahead.okay for ahead in futures], axis=0)
    if not keep.any():
        raise ValueError("no draw can be solved in every future; narrow the priors or raise `solver.max_steps`")
    pick = lambda ahead: {name: getattr(ahead, name)[keep] for name in ("okay", "jacobian", "weight")}  # noqa: E731
    return covariance[keep], [dataclasses.replace(ahead, **pick(ahead)) for ahead in futures]
