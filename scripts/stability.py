"""cytostorm stability: equilibria of the network and its fold, and how clearance, brakes and drugs move it."""

import time
from pathlib import Path

import jax
import jax.numpy as jnp
import pandas as pd
from omegaconf import DictConfig

from cytostorm.models import Network, replace
from cytostorm.models.stability import Surroundings, branch, critical_gain

from . import device
from .compose import BadConfig
from .problem import world
from .run import begin, console, end

# Each condition: parameters times a factor, and what is frozen around the fast subsystem.
CONDITIONS: dict[str, tuple[dict[str, float], dict[str, float]]] = {
    "no drug": ({}, {}),
    "IL-6 clearance x 0.5": ({"k_il6_np": 0.5, "k_il6_rm": 0.5}, {}),
    "IL-6 clearance x 2": ({"k_il6_np": 2.0, "k_il6_rm": 2.0}, {}),
    "IL-10 production x 0.5": ({"p_il10": 0.5}, {}),
    "IL-10 production x 2": ({"p_il10": 2.0}, {}),
    "IL-6R occupancy 0.98 (tocilizumab)": ({}, {"receptor": 0.98}),
    "IL-1 block 0.5 (anakinra)": ({}, {"il1": 0.5}),
    "IL-1 block 0.9 (anakinra)": ({}, {"il1": 0.9}),
    "steroid 0.5": ({}, {"steroid": 0.5}),
    "JAK block 0.5": ({}, {"jak": 0.5}),
    "IFN-gamma block 0.98 (emapalumab)": ({}, {"ifn": 0.98}),
    "IL-6R occupancy 0.98 and steroid 0.5": ({}, {"receptor": 0.98, "steroid": 0.5}),
    "suppression 0.5": ({}, {"suppression": 0.5}),
    "suppression 1": ({}, {"suppression": 1.0}),
    "endotoxin 0.05 ng/kg": ({}, {"lps": 0.05}),
}
DRAWN = ("no drug", "IL-6R occupancy 0.98 (tocilizumab)", "steroid 0.5", "JAK block 0.5", "suppression 1")


def main(cfg: DictConfig, folder: Path) -> int:
    """Find the folds, save and draw them. Returns the exit code."""
    clock = time.perf_counter()
    hardware = device.start(**cfg.device)
    model, _, _ = world(cfg)
    if not isinstance(model, Network):
        raise BadConfig("stability is for model=network; `cytostorm simulate` prints the fold of the minimal model")
    config_hash = begin(cfg, folder)
    fold, curve = jax.jit(critical_gain), jax.jit(branch)
    rows, curves = [], {}
    for name, (factors, frozen) in CONDITIONS.items():
        host = replace(model, {n: getattr(model, n) * f for n, f in factors.items()})
        around = Surroundings(**{n: jnp.asarray(x) for n, x in frozen.items()})
        critical = float(fold(host, around))
        rows.append({"condition": name, "critical_gain": critical, "margin": float(host.k_fb) / critical})
        if name in DRAWN:
            found = curve(host, around)
            curves[name] = pd.DataFrame({"gain": found.gain, "il6": found.il6, "activated": found.activated})
    table = pd.DataFrame(rows)
    table.to_csv(folder / "folds.csv", index=False)
    pd.concat(curves, names=["condition"]).droplevel(1).to_csv(folder / "equilibria.csv")
    from cytostorm.inference.figures import bifurcation

    drawn = {name: (found["gain"].to_numpy(), found["il6"].to_numpy()) for name, found in curves.items()}
    bifurcation(drawn, float(model.k_fb)).savefig(folder / "bifurcation.png")
    console.print(table.to_string(index=False, float_format="{:.4g}".format), highlight=False)
    console.print(f"gains in 1/h; margin = k_fb / critical gain, with k_fb = {float(model.k_fb):g}", highlight=False)
    total = time.perf_counter() - clock
    end(folder, "stability", device=hardware, seed=cfg.seed, config_sha256=config_hash, seconds={"total": total})
    console.print(str(folder), highlight=False, soft_wrap=True)
    return 0
