"""Plans of many subjects side by side: padded to one shape and stacked, for one compiled program over all of them."""

import dataclasses
from collections.abc import Sequence

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from .constant import constant
from .dose import Doses
from .model import Model
from .scenario import Scenario
from .simulate import Plan, plan
from .solver import Schedule


def together(
    model: Model,
    scenarios: Sequence[Scenario],
    times: Sequence[np.ndarray],
    solved: Sequence[int] | None = None,
) -> Plan:
    """One plan whose arrays have a leading axis over scenarios, each with its own sorted reading times [h].

    Reading times are padded by the last of each, schedules by stretches of no length, and dosing histories by doses of
    nothing, so that all have one shape: to be used under `jax.vmap`. Doses do not move.

    Raises `ValueError` where scenarios start at different times, and what `plan` raises.
    """
    if len({scenario.start for scenario in scenarios}) > 1:
        raise ValueError(f"scenarios start at {sorted({s.start for s in scenarios})} h; side by side they start together")
    long = max(len(t) for t in times)
    plans = [
        plan(model, scenario, np.append(t, np.repeat(t[-1:], long - len(t))), solved)
        for scenario, t in zip(scenarios, times, strict=True)
    ]
    doses = alike([scenario.doses for scenario in scenarios])
    plans = [
        dataclasses.replace(p, scenario=dataclasses.replace(p.scenario, doses=d), moving=p.schedule)
        for p, d in zip(plans, doses, strict=True)
    ]
    schedules = [p.schedule for p in plans]
    stretches = _padded([s.stretches for s in schedules], "start", "end", "jump")
    stretches = _padded(stretches, "on", "off", "rate")
    stretches = _padded(stretches, "edges")
    routes = _padded([s.route for s in schedules], "start", "end", "limit", "fresh", "jump", "inflow")
    even = [Schedule(*both) for both in zip(stretches, routes, strict=True)]
    plans = [dataclasses.replace(p, schedule=s, moving=s) for p, s in zip(plans, even, strict=True)]
    return jax.tree.map(lambda *x: constant(np.stack([np.asarray(y) for y in x])), *plans)


def filled(prepared: Plan, num: int, moving: bool = False) -> Plan:
    """The same plan with `num` reading times, the last repeated, and as many legs as so many times and its doses can need.

    Plans of one number of times and of doses of the same kinds then have one shape, whatever the numbers in them. With
    `moving` this holds where doses move, too, and for the stretches of diffrax, which those of no length slow down.
    """
    events = len(prepared.scenario.doses.events)

    def even(schedule: Schedule) -> Schedule:
        route = _longer(schedule.route, num, ("at",))
        route = _longer(route, num + events, ("start", "end", "limit", "fresh", "jump", "inflow"))
        stretches = schedule.stretches
        if moving:
            stretches = _longer(_longer(stretches, 1 + events, ("start", "end", "jump")), events, ("edges",))
        return Schedule(stretches, route)

    schedule = even(prepared.schedule)
    moved = even(prepared.moving) if moving else schedule
    return dataclasses.replace(_longer(prepared, num, ("times",)), schedule=schedule, moving=moved)


def alike(histories: Sequence[Doses]) -> list[Doses]:
    """The same dosing histories with doses of nothing added, so that all have the same targets in the same order."""
    kinds = [list(zip(doses.target, doses.infused, strict=True)) for doses in histories]
    common = [
        kind for kind in dict.fromkeys(k for ks in kinds for k in ks) for _ in range(max(ks.count(kind) for ks in kinds))
    ]
    return [_filled(doses, kind, common) for doses, kind in zip(histories, kinds, strict=True)]


def _filled(doses: Doses, kinds: list[tuple[str, bool]], common: list[tuple[str, bool]]) -> Doses:
    spare, pick = list(range(len(kinds))), []
    for kind in common:
        found = next((i for i in spare if kinds[i] == kind), None)
        pick.append(found)
        if found is not None:
            spare.remove(found)
    nothing = np.array([i is None for i in pick], bool)
    index = np.array([i or 0 for i in pick], int)

    def chosen(values: Array, otherwise: float | np.ndarray) -> Array:
        known = np.asarray(values)[index] if len(kinds) else np.zeros(len(index))
        return constant(np.where(nothing, otherwise, known))

    infused = np.array([runs for _, runs in common], float)  # an infusion of nothing lasts an hour, for its rate
    parts = (chosen(doses.time, 0.0), chosen(doses.amount, 0.0), chosen(doses.duration, infused))
    return Doses(tuple(t for t, _ in common), tuple(r for _, r in common), *parts)


def _padded[M: eqx.Module](parts: Sequence[M], *names: str) -> list[M]:
    """These arrays of each part, repeated at their end to one length: a stretch then begins and ends at its end."""
    long = max(len(getattr(part, names[0])) for part in parts)
    return [_longer(part, long, names) for part in parts]


def _longer[M: eqx.Module](part: M, long: int, names: Sequence[str]) -> M:
    more = long - len(getattr(part, names[0]))
    last = {"start": "end", "on": "off"}  # where nothing is left to do, it begins where it ended
    grown = {}
    for name in names:
        x = np.asarray(getattr(part, name))
        tail = np.asarray(getattr(part, last.get(name, name)))[-1:]
        if name in ("fresh", "jump", "inflow", "rate") or not len(tail):
            tail = np.zeros((1, *x.shape[1:]), x.dtype)
        grown[name] = constant(np.concatenate([x, *[tail] * more]))
    return dataclasses.replace(part, **grown)
