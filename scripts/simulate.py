"""cytostorm simulate: a scenario in, trajectories out; with synthetic=true also a data set with known truth."""

import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import DictConfig

import cytostorm.inference as ci
from cytostorm.models import derivations, quantities, simulate

from . import device
from .compose import BadConfig, blame, build
from .fit import world
from .run import begin, console, end, sha256


def main(cfg: DictConfig, folder: Path) -> int:
    """Simulate, save and draw. Returns the exit code."""
    clock = time.perf_counter()
    hardware = device.start(cfg.device.platform, cfg.device.cache_dir)
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
        horizon = cfg.horizon_h or _last_reading(cfg, data)
        times = np.linspace(story.start, horizon, cfg.num_times)
        trajectory = simulate(model, story, times, solver)
    config_hash = begin(cfg, folder)
    states = pd.DataFrame(np.asarray(trajectory.states), columns=[state.name for state in model.states])
    read = {f"{name}_read": np.asarray(x) for name, x in trajectory.observe(model).items()}
    table = pd.concat([pd.DataFrame({"time_h": times}), states, pd.DataFrame(read)], axis=1)
    table.to_csv(folder / "trajectories.csv", index=False)
    known = quantities(model)
    derived = {name: float(getattr(model, name)) for name in derivations(model)}
    (folder / "model.json").write_text(
        json.dumps({"parameters": {n: dataclasses.asdict(q) for n, q in known.items()}, "derived": derived}, indent=2) + "\n"
    )
    if data is not None:
        data.table().to_csv(folder / "data.csv", index=False)
        (folder / "truth.json").write_text(json.dumps(truth, indent=2) + "\n")
    from cytostorm.inference.figures import states as draw

    draw(table, model, data).savefig(folder / "trajectories.png")
    for name, q in derivations(model).items():
        unit = "" if q.unit == "1" else f" {q.unit}"
        console.print(f"{name} {derived[name]:.4g}{unit}: {q.meaning}", highlight=False)
    end(
        folder,
        "simulate",
        device=hardware,
        seed=cfg.seed,
        config_sha256=config_hash,
        data_sha256=sha256(folder / "data.csv") if data is not None else None,
        seconds={"total": round(time.perf_counter() - clock, 3)},
        num_solves=1,
        num_failed_solves=int(not trajectory.okay),
    )
    if not trajectory.okay:
        console.print("the solve failed: raise `solver.max_steps` or choose an implicit solver", style="bold red")
    console.print(str(folder), highlight=False, soft_wrap=True)
    return 0 if trajectory.okay else 1


def _last_reading(cfg: DictConfig, data: ci.Observations | None) -> float:
    source = build(cfg.data) if data is None else data
    return float(max(source.times_h) if isinstance(source, ci.Synthetic) else source.time.max())
