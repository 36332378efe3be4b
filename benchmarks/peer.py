"""Stan's side of `against_stan`, run by the peer's own environment: a JSON order in, an .npz and a JSON answer out.

It knows nothing of cytostorm. An order has `program` (its text), `data`, `seed`, `mode`, and by mode

- `check`: `points` on the unconstrained scale and `methods`; log density and gradient by PyStan's `log_prob` and
  `grad_log_prob`, and the seconds of one gradient called without the server, less those of setting the model up;
- `sample`: `inits`, one per chain, `num_chains`, `num_warmup`, `num_samples`, `delta`; draws and seconds.

Chains are processes, as many at a time as there are cores. PyStan keeps fits by seed and returns them when asked again;
here they are forgotten first, so that a time is the time of sampling.
"""

import asyncio
import importlib.metadata
import json
import re
import shutil
import sys
import time
from pathlib import Path

import httpstan.cache
import httpstan.models
import numpy as np
import stan

PATIENCE = 20.0  # seconds that a round may take before it is the last


def compiled(code: str) -> None:
    """Compile a program into the cache, where `stan.build` finds it: its own server gives a compiler five minutes only."""
    name = httpstan.models.calculate_model_name(code)
    try:
        httpstan.models.import_services_extension_module(name)
    except KeyError:
        asyncio.run(httpstan.models.build_services_extension_module(code))
    httpstan.cache.dump_services_extension_module_compiler_output("", name)
    httpstan.cache.dump_stanc_warnings("", name)


def built(order: dict, **changes) -> stan.model.Model:
    """The model of an order with some data changed; compiled once, then from the cache."""
    compiled(order["program"])
    return stan.build(order["program"], data=order["data"] | changes, random_seed=order["seed"])


def values(model: stan.model.Model, points: list) -> tuple[list, list]:
    """Log density and gradient at every point, by the public calls; not a number where Stan refuses a point."""
    density, slope = [], []
    for point in points:
        try:
            density.append(model.log_prob(point, adjust_transform=True))
            slope.append(model.grad_log_prob(point))
        except RuntimeError:
            density.append(np.nan)
            slope.append([np.nan] * len(point))
    return density, slope


def cost(model: stan.model.Model, points: list, rounds: int) -> list[float]:
    """Seconds per gradient in each round over the points, less those of reading the data anew for every call."""
    services = httpstan.models.import_services_extension_module(model.model_name)
    seconds = []
    for _ in range(rounds):
        clock = time.perf_counter()
        for _ in range(20):
            services.get_dims(model.data)
        setup = (time.perf_counter() - clock) / 20
        clock = time.perf_counter()
        for point in points:
            services.log_prob_grad(model.data, point, True)
        seconds.append((time.perf_counter() - clock) / len(points) - setup)
        if time.perf_counter() - clock > PATIENCE:
            break
    return seconds


def check(order: dict) -> tuple[dict, dict]:
    """Densities, gradients and their cost, by method."""
    arrays, facts = {}, {"seconds": {}}
    for method in order["methods"]:
        model = built(order, method=method)
        density, slope = values(model, order["points"])
        arrays |= {f"density_{method}": np.array(density), f"gradient_{method}": np.array(slope)}
        good = [point for point, value in zip(order["points"], density, strict=True) if np.isfinite(value)]
        facts["seconds"][str(method)] = cost(model, good, order["rounds"])
    return arrays, facts


def sample(order: dict) -> tuple[dict, dict]:
    """Draws after warm-up, chain by chain, with leapfrog steps and seconds; Stan's default diagonal metric."""
    model = built(order)
    shutil.rmtree(httpstan.cache.model_directory(model.model_name) / "fits", ignore_errors=True)
    clock = time.perf_counter()
    fit = model.sample(
        num_chains=order["num_chains"],
        num_warmup=order["num_warmup"],
        num_samples=order["num_samples"],
        init=order["inits"],
        delta=order["delta"],
        max_depth=order["max_depth"],
        save_warmup=True,
    )
    seconds = time.perf_counter() - clock
    chains = order["num_chains"]

    def column(name: str) -> np.ndarray:
        return fit[name].reshape(-1, chains).T

    warm = order["num_warmup"]
    arrays = {"z": fit["z"].reshape(len(fit["z"]), -1, chains).transpose(2, 1, 0)[:, warm:]}  # chain, draw, entry
    steps, divergent = column("n_leapfrog__"), column("divergent__")
    stated = [re.findall(rb"([\d.e+-]+) seconds \((Warm-up|Sampling)\)", text) for text in fit.stan_outputs]
    return arrays, {
        "seconds": seconds,
        "chain_seconds": [{name.decode(): float(value) for value, name in chain} for chain in stated],
        "num_gradients": int(steps.sum()),
        "num_gradients_sampling": int(steps[:, warm:].sum()),
        "num_divergent": int(divergent[:, warm:].sum()),
        "step_size": column("stepsize__")[:, -1].tolist(),
    }


def main() -> None:
    """Read the order, obey, answer."""
    order, answer = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    clock = time.perf_counter()
    built(order)
    build = time.perf_counter() - clock
    arrays, facts = {"check": check, "sample": sample}[order["mode"]](order)
    np.savez(answer.with_suffix(".npz"), **arrays)
    versions = {name: importlib.metadata.version(name) for name in ("pystan", "httpstan")}
    answer.write_text(json.dumps(facts | {"build_seconds": build, "versions": versions}))


if __name__ == "__main__":
    main()
