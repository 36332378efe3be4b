"""cytostorm simulate: a scenario in, trajectories and read-outs out; with synthetic=true also data with known truth."""

import dataclasses
import json
import time
from pathlib import Path

import jax
import numpy as np
import pandas as pd
from omegaconf import DictConfig

import cytostorm.inference as ci
from cytostorm.models import Model, Network, Scenario, Trajectory, derivations, quantities, simulate, values
from cytostorm.models.outcome import area, doubling_time, peak, time_above
from cytostorm.models.readout import HEALTHY_IL6, SEVERE_IL6, UNITS, readouts

from . import device
from .compose import BadConfig, blame, build
from .problem import world
from .run import begin, console, end, sha256


def main(cfg: DictConfig, folder: Path) -> int:
    """Simulate, save and draw. Returns the exit code."""
    clock = time.perf_counter()
    hardware = device.start(**cfg.device)
    model, story, solver = world(cfg)
    data: ci.Observations | None = None
    truth: dict[str, float] = {}
    with blame():
        if cfg.synthetic:
            if "times_h" not in cfg.data:
                raise BadConfig("synthetic=true needs to know what to draw; give data=synthetic as well")
            recipe = build(cfg.data)
            truth, data = recipe.truth_of(model), recipe.draw(model, story, solver)
            model = recipe.true_model(model)
        times = np.linspace(story.start, _horizon(cfg, story, data), cfg.num_times)
        trajectory = simulate(model, story, times, solver)
    config_hash = begin(cfg, folder)
    facts = {"device": hardware, "seed": cfg.seed, "config_sha256": config_hash, "num_solves": 1}
    if not trajectory.okay:
        console.print("the solve failed: raise `solver.max_steps` or choose an implicit solver", style="bold red")
        end(folder, "simulate", seconds={}, num_failed_solves=1, **facts)
        return 1
    read = _read(model, trajectory, story)
    summary = _summary(times, read, trajectory, model)
    _states(model, trajectory).to_csv(folder / "trajectory.csv", index=False)
    read.melt("time_h", var_name="readout").assign(
        unit=lambda rows: rows["readout"].map((UNITS | dict(model.analytes)).get)
    ).to_csv(folder / "readouts.csv", index=False)
    summary.to_csv(folder / "summary.csv", index=False)
    _describe(model, folder)
    if data is not None:
        data.table().to_csv(folder / "data.csv", index=False)
        (folder / "truth.json").write_text(json.dumps(truth, indent=2) + "\n")
    from cytostorm.inference.figures import course

    course(model, times, np.asarray(trajectory.states), read, story, data).savefig(folder / "trajectory.png")
    console.print(summary.to_string(index=False, float_format="{:.4g}".format), highlight=False)
    end(
        folder,
        "simulate",
        data_sha256=sha256(folder / "data.csv") if data is not None else None,
        seconds={"total": time.perf_counter() - clock},
        num_failed_solves=0,
        **facts,
    )
    console.print(str(folder), highlight=False, soft_wrap=True)
    return 0


def _horizon(cfg: DictConfig, story: Scenario, data: ci.Observations | None) -> float:
    """The end of the simulation [h]: as asked, else the trigger's, else that of the data."""
    asked = cfg.horizon_h or (None if cfg.synthetic else cfg.trigger.get("horizon_h"))
    if asked is None:
        source = build(cfg.data) if data is None else data
        if isinstance(source, ci.Synthetic):
            times = source.times_h
        else:
            times = [t for s in source for t in s.data.time] if isinstance(source, ci.Cohort) else source.time
        asked = float(max(times))
    if not asked > story.start:
        raise BadConfig(f"`horizon_h` is {asked}; give a time after the start, {story.start} h")
    late = [t for t in np.asarray(story.doses.time) if t > asked]
    if late:
        raise BadConfig(f"a dose at {late[0]:g} h comes after the end, {asked:g} h; raise `horizon_h` or start earlier")
    return asked


def _read(model: Model, trajectory: Trajectory, story: Scenario) -> pd.DataFrame:
    """The read-outs over time: those of the clinic for the network, the analytes for other models."""
    if isinstance(model, Network):
        found = readouts(model, trajectory.times, trajectory.states, story.doses)
    else:
        found = trajectory.observe(model)
    return pd.DataFrame({"time_h": trajectory.times} | {name: np.asarray(x) for name, x in found.items()})


def _states(model: Model, trajectory: Trajectory) -> pd.DataFrame:
    """The states over time in long form: time_h, state, value, unit."""
    wide = pd.DataFrame(np.asarray(trajectory.states), columns=[state.name for state in model.states])
    wide.insert(0, "time_h", np.asarray(trajectory.times))
    units = {state.name: state.unit for state in model.states}
    return wide.melt("time_h", var_name="state").assign(unit=lambda rows: rows["state"].map(units.get))


def _summary(times: np.ndarray, read: pd.DataFrame, trajectory: Trajectory, model: Model) -> pd.DataFrame:
    """The trajectory in numbers, one per row, with units; derived quantities of the model come last."""
    rows: list[tuple[str, float, str]] = []
    for name in ["il6"] if isinstance(model, Network) else model.analytes:
        (top, when), unit = peak(times, read[name].to_numpy()), model.analytes[name]
        rows += [(f"{name}_peak", top, unit), (f"{name}_time_of_peak", when, "h")]
        rows.append((f"{name}_area", area(times, read[name].to_numpy()), f"{unit} h"))
    if "il6" in read:
        il6 = read["il6"].to_numpy()
        rows += [
            ("il6_time_above_healthy", time_above(times, il6, HEALTHY_IL6), "h"),
            ("il6_time_above_severe", time_above(times, il6, SEVERE_IL6), "h"),
            ("il6_doubling_time", doubling_time(times, il6), "h"),
        ]
    names = [state.name for state in model.states]
    for name in ("crp", "ferritin", "temperature", "grade"):
        if name in read:
            rows.append((f"{name}_peak", float(np.max(read[name].to_numpy())), UNITS[name]))
    if "damage" in names:
        states = np.asarray(trajectory.states)
        rows.append(("damage_peak", float(states[:, names.index("damage")].max()), "1"))
        rows.append(("pathogen_end", float(states[-1, names.index("pathogen")]), "relative"))
    known = derivations(model)
    found = jax.jit(lambda model: {name: getattr(model, name) for name in known})(model)
    rows += [(name, float(found[name]), q.unit) for name, q in known.items()]
    return pd.DataFrame(rows, columns=["quantity", "value", "unit"])


def _describe(model: Model, folder: Path) -> None:
    """Write every parameter with its value, unit, meaning and source."""
    now = values(model)
    known = {name: dataclasses.asdict(q) | {"value": float(now[name])} for name, q in quantities(model).items()}
    (folder / "model.json").write_text(json.dumps(known, indent=2) + "\n")
