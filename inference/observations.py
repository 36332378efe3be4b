"""Readings of analytes over time, each an individual value or the summary of a group."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Bool, Float, Int

from cytostorm.models import after

from .analyte import UNITS

KINDS = ("read", "censored", "group")
ROUND = 8  # data sets of up to so many more readings share a program; what does not count then costs little beside a solve
COLUMNS = ("subject", "time_h", "analyte", "value", "unit", "cens", "limit", "bound", "sd", "n", "statistic")


class Observations(eqx.Module):
    """Readings along one dimension, ordered by time.

    `value` is in the unit of its analyte. `cens` is 0 for a value as read, -1 where the truth is below `limit`
    and +1 where it is above; `bound`, where there is one, is the far end of what a censored reading leaves possible (0
    below, infinity above where the assay does not tell). A group row has `n` > 0 subjects whose log-readings have the mean
    `log(value)` and the standard deviation `spread`; an individual row has `n` = 0. A row that is not `real` only fills up a
    shape, and does not count; where all are, `real` is None. `kinds` are the kinds of rows that there may be.
    """

    subject: tuple[str, ...] = eqx.field(static=True)
    analyte: tuple[str, ...] = eqx.field(static=True)
    time: Float[np.ndarray, " obs"]
    value: Float[np.ndarray, " obs"]
    cens: Int[np.ndarray, " obs"]
    limit: Float[np.ndarray, " obs"]
    n: Int[np.ndarray, " obs"]
    spread: Float[np.ndarray, " obs"]
    bound: Float[np.ndarray, " obs"] | None = None
    real: Bool[np.ndarray, " obs"] | None = None
    kinds: tuple[str, ...] = eqx.field(default=KINDS, static=True)

    def __len__(self) -> int:
        return len(self.subject)

    @property
    def labels(self) -> list[str]:
        """One unique label per reading: subject, analyte and time, with a `+` where it is taken just after a dose."""
        return [f"{s}|{a}|{_clock(t)}" for s, a, t in zip(self.subject, self.analyte, self.time, strict=True)]

    @property
    def coordinates(self) -> dict[str, Any]:
        """Subject, analyte and time of every reading along `obs_id`, for xarray."""
        return {
            "subject": ("obs_id", np.array(self.subject)),
            "analyte": ("obs_id", np.array(self.analyte)),
            "time": ("obs_id", self.time, {"units": "h"}),
        }

    def owner(self, labels: Sequence[str]) -> Int[np.ndarray, " obs"]:
        """Whose each reading is, as the place of its subject among `labels`; `ValueError` for a subject not among them."""
        order = list(labels)
        return np.array([order.index(label) for label in self.subject], int)

    @property
    def individual(self) -> Bool[Array | np.ndarray, " obs"]:
        """Which rows are readings of one subject."""
        return self.n == 0

    def reading(self, value: Float[Any, " obs"]) -> "Observations":
        """The same observations with other values."""
        return eqx.tree_at(lambda data: data.value, self, value)

    def rows(self, which: Bool[np.ndarray, " obs"]) -> "Observations":
        """Some of the observations."""
        named = {name: tuple(np.array(getattr(self, name))[which].tolist()) for name in ("subject", "analyte")}
        numbers = {name: getattr(self, name)[which] for name in ("time", "value", "cens", "limit", "n", "spread")}
        return Observations(**named, **numbers, bound=None if self.bound is None else self.bound[which])

    def floored(self, floor: Mapping[str, float]) -> "Observations":
        """The same readings, those of single subjects below the floor of their analyte [its unit] censored at it."""
        low = np.array([floor.get(analyte, 0.0) for analyte in self.analyte])
        below = self.individual & (self.cens <= 0) & (self.value < low)
        pick = lambda new, old: np.where(below, new, old)  # noqa: E731
        return dataclasses.replace(self, value=pick(low, self.value), limit=pick(low, self.limit), cens=pick(-1, self.cens))

    def counted(self, log_density: Float[Array, " obs"]) -> Float[Array, " obs"]:
        """The log-densities of the readings, without those of rows that do not count."""
        return log_density if self.real is None else jnp.where(jnp.asarray(self.real), log_density, 0.0)

    def sorted_out(self) -> "Observations":
        """The same observations with the kinds that there are: a program for them leaves out what is for others."""
        there = (self.individual & (self.cens == 0), self.individual & (self.cens != 0), ~self.individual)
        return dataclasses.replace(self, kinds=tuple(kind for kind, rows in zip(KINDS, there, strict=True) if rows.any()))

    def filled(self) -> "Observations":
        """The readings analyte by analyte, those of each filled up to a multiple of `ROUND` by copies of its last.

        Subjects are left out, for no density asks for them.
        """
        row = self._rows
        columns = {name: getattr(self, name) for name in ("time", "value", "cens", "limit", "n", "spread", "bound")}
        chosen: dict[str, Any] = {name: None if x is None else x[row] for name, x in columns.items()}
        analyte = tuple(self.analyte[i] for i in row)
        return Observations(("",) * len(row), analyte, **chosen, real=np.append(True, np.diff(row) != 0)).sorted_out()

    @property
    def places(self) -> Int[np.ndarray, " obs"]:
        """Where each reading stands among those of `filled`."""
        return np.unique(self._rows, return_index=True)[1]

    @property
    def _rows(self) -> Int[np.ndarray, " row"]:
        """Which reading each of those of `filled` is."""
        analyte = np.array(self.analyte)
        parts = [np.flatnonzero(analyte == name) for name in dict.fromkeys(self.analyte)]
        return np.concatenate([np.append(part, np.repeat(part[-1:], -len(part) % ROUND)) for part in parts])

    @property
    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """The ends of a bar for each row: the 95 % interval of a group's mean; for an individual, its value."""
        half = 1.96 * self.spread / np.sqrt(np.maximum(self.n, 1))
        return self.value * np.exp(-half), self.value * np.exp(half)

    def table(self) -> pd.DataFrame:
        """The readings in the tidy format, in canonical units; a group's mean and SD are geometric."""
        group = ~self.individual
        frame = pd.DataFrame(
            {
                "subject": self.subject,
                "time_h": self.time,
                "analyte": self.analyte,
                "value": self.value,
                "unit": [UNITS[a] for a in self.analyte],
                "cens": np.array(["left", "none", "right"])[self.cens + 1],
                "limit": np.where(self.cens != 0, self.limit, np.nan),
                "sd": np.where(group, np.exp(self.spread), np.nan),
                "n": pd.array(np.where(group, self.n, -1), "Int64").astype(object) if group.any() else "",
                "statistic": np.where(group, "geometric_mean", "individual"),
            }
        ).replace({"n": {-1: ""}})
        if self.bound is not None:
            known = (self.cens != 0) & (self.bound > 0) & np.isfinite(self.bound)
            frame.insert(list(frame).index("sd"), "bound", np.where(known, self.bound, np.nan))
        return frame


def _clock(time: float) -> str:
    """A time [h] in few digits; a `+` for each moment after it."""
    moment = plain = round(float(time), 9 - math.ceil(math.log10(max(1.0, abs(time)))))
    moments = 0
    while moment < time and moments < 9:
        moment, moments = after(moment), moments + 1
    return f"{plain:g}{'+' * moments}" if moment == time else f"{time:g}"


def observations(frame: pd.DataFrame) -> Observations:
    """The readings of a checked table in the tidy format, with values in the unit of their analyte.

    A mean and SD of raw readings become a mean and SD of log-readings by the moments of a log-normal:
    $\\sigma^2 = \\ln(1 + s^2/m^2)$, $\\mu = \\ln m - \\sigma^2/2$ (Higgins, White and Anzures-Cabrera, Stat Med
    2008;27:6072). A geometric mean and SD need no conversion.
    """
    frame = frame.sort_values(["time_h", "subject", "analyte"], kind="stable")
    value = frame["value"].to_numpy(float)
    sd = frame["sd"].to_numpy(float)
    statistic = frame["statistic"].to_numpy(str)
    arithmetic, geometric = statistic == "mean", statistic == "geometric_mean"
    spread = np.zeros(len(frame))
    spread[geometric] = np.log(sd[geometric])
    spread[arithmetic] = np.sqrt(np.log1p((sd[arithmetic] / value[arithmetic]) ** 2))
    value = np.where(arithmetic, value * np.exp(-(spread**2) / 2), value)
    cens = frame["cens"].map({"left": -1, "none": 0, "right": 1}.get).to_numpy(int)
    limit = frame["limit"].to_numpy(float)
    bound = frame["bound"].to_numpy(float) if "bound" in frame else np.full(len(frame), np.nan)
    told = bool(np.isfinite(bound).any())
    return Observations(
        tuple(frame["subject"]),
        tuple(frame["analyte"]),
        frame["time_h"].to_numpy(float),
        np.where(cens == 0, value, limit),
        cens,
        np.where(cens == 0, 1.0, limit),
        np.where(statistic == "individual", 0, frame["n"].fillna(0).to_numpy(float)).astype(int),
        spread,
        np.where(np.isfinite(bound), bound, _open(cens)) if told else None,
    )


def joined(parts: Sequence[Observations]) -> Observations:
    """The readings of several subjects, one after the other."""
    if any(part.bound is not None for part in parts):
        parts = [p if p.bound is not None else dataclasses.replace(p, bound=_open(p.cens)) for p in parts]
    names = [f.name for f in dataclasses.fields(Observations) if f.name != "kinds" and getattr(parts[0], f.name) is not None]
    columns = {name: [getattr(part, name) for part in parts] for name in names}
    return Observations(
        **{n: sum(x, ()) if isinstance(x[0], tuple) else np.concatenate(x) for n, x in columns.items()}  # type: ignore[arg-type]
    )


def _open(cens: Int[np.ndarray, " obs"]) -> Float[np.ndarray, " obs"]:
    """The far ends of censored readings where the assay does not tell them."""
    return np.where(cens > 0, np.inf, 0.0)
