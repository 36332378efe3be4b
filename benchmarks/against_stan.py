"""The same posteriors in Stan: density and gradient point by point, then draws and effective draws per second.

`against_stan.py [minimal] [network] [hierarchical]`, from the repository root. Both sides have one model, prior,
likelihood, data and tolerance; Stan takes the faster of its two solvers and starts where ours does. Times: ours from cold (a
new process with an empty cache of compiled programs, imports included) and with compilation left out; Stan's without its
C++ build. Our metric is dense. PyStan offers a diagonal one only, so that Stan samples along the axes of our posterior's
covariance, which it is given for nothing (`--plain` for the parameters themselves).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from arviz_stats.base import array_stats
from export import HERE, PROBLEMS, Posed, exported, prepared, program, source
from results import merge

from cytostorm.inference import NUTS, Blocks, Density, Problem

STAN = HERE.parent / ".cache" / "stan"
METHODS = ("rk45", "bdf")
OURS = ("nuts", "independence")
METRICS = ("diagonal", "diagonal, along the axes of our posterior's covariance, given")
POINTS, SEED = 16, 1
# How far log densities may lie from one constant, and gradients, relative. Where readings are many standard deviations
# off, so many times do errors of predictions count in a log density h: about sqrt(2 |h|) times; this is allowed for
# from `FAR` on.
CONSTANT, GRADIENT, FAR = 0.025, 1e-3, 1000.0


def asked(peer: Path, order: dict) -> tuple[dict, dict]:
    """What the peer answers to an order: arrays and facts."""
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder) / "order.json", Path(folder) / "answer.json"
        question.write_text(json.dumps(order))
        command = [str(peer), str(HERE / "peer.py"), str(question), str(answer)]
        done = subprocess.run(command, env=os.environ | {"XDG_CACHE_HOME": str(STAN)}, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"the peer failed:\n{done.stderr[-4000:]}")
        return dict(np.load(answer.with_suffix(".npz"))), json.loads(answer.read_text())


def ours(name: str, method: str, size: tuple[int, int]) -> tuple[dict, dict]:
    """Our draws and times, from a new process with an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        cache = {"CYTOSTORM_CACHE": folder, "JAX_COMPILATION_CACHE_DIR": f"{folder}/jax"}
        command = [sys.executable, str(HERE / "ours.py"), name, str(answer), method, *map(str, size)]
        clock = time.perf_counter()
        subprocess.run(command, env=os.environ | cache, check=True)
        facts = json.loads(answer.read_text()) | {"both_seconds": time.perf_counter() - clock}
        return dict(np.load(answer.with_suffix(".npz"))), facts


def check(name: str, peer: Path) -> dict:
    """Density and gradient of both sides at prior draws, and the seconds of one gradient."""
    problem, _ = prepared(name)
    density = Density(problem)
    slope = jax.jit(jax.value_and_grad(lambda position: -density.potential(position)))
    points = list(density.positions(problem.draw(jax.random.PRNGKey(SEED), POINTS)))
    found = [slope(point) for point in points]
    points = [point for point, (value, _) in zip(points, found, strict=True) if np.isfinite(value)]
    height = np.array([value for value, _ in found if np.isfinite(value)])
    gradient = np.array([g for value, g in found if np.isfinite(value)])
    order = {
        "program": source(program(problem)),
        "data": exported(problem),
        "seed": SEED,
        "mode": "check",
        "methods": [0, 1],
        "points": [point.tolist() for point in points],
        "rounds": 3,
    }
    before = _clock(slope, points)
    arrays, facts = asked(peer, order)
    mine = float(np.median([*before, *_clock(slope, points)]))
    result = {"points": len(points), "gradients_per_s": {"ours": 1 / mine}}
    result |= {"versions": facts["versions"], "refused": {}, "density_spread": {}, "gradient_error": {}}
    print(f"{name}: {len(points)} prior draws with a finite density, log density {height.min():.0f} to {height.max():.0f}")
    for number, method in enumerate(METHODS):
        solved = np.isfinite(arrays[f"density_{number}"])
        difference = (height - arrays[f"density_{number}"])[solved]
        error = (np.abs(gradient - arrays[f"gradient_{number}"]).max(axis=1) / np.abs(gradient).max(axis=1))[solved]
        away = np.abs(difference - np.median(difference)) / np.maximum(1, np.sqrt(np.abs(height[solved]) / FAR))
        if not (solved.sum() > len(points) / 2 and away.max() < CONSTANT and error.max() < GRADIENT):
            raise SystemExit(f"{name}: Stan's {method} has another posterior: {difference}, gradients {error}")
        speed = 1 / float(np.median(facts["seconds"][str(number)]))
        result["refused"][method] = int((~solved).sum())
        result["density_spread"][method] = float(np.ptp(difference))
        result["gradient_error"][method] = float(error.max())
        result["gradients_per_s"][method] = speed
        print(
            f"  Stan {method:<5} log density: one constant ({np.median(difference):.4f}) up to {np.ptp(difference):.1e};"
            f" gradients within {error.max():.1e}; {speed:8.1f} gradients/s, ours {1 / mine / speed:6.1f} times as many"
        )
    print(f"  ours {1 / mine:30.1f} gradients/s; one core each; Stan's C++ build {facts['build_seconds']:.0f} s")
    return result


def _clock(slope, points: list) -> list[float]:
    """Seconds per gradient in each of three rounds over the points."""
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        for point in points:
            jax.block_until_ready(slope(point))
        taken.append((time.perf_counter() - start) / len(points))
    return taken


def contest(name: str, peer: Path, speed: dict, options: argparse.Namespace) -> dict:
    """Draws of both sides, compared; effective draws per second. Ours are sampled before and after Stan's.

    Beside the no-U-turn sampler, which Stan has as well, we have independence chains for one subject.
    """
    problem, sampler = prepared(name)
    size = (200, 200) if options.quick else (sampler.num_warmup, sampler.num_draws)
    first = {key: ours(name, key, size) for key in (OURS if isinstance(problem, Problem) else OURS[:1])}
    method = max(METHODS, key=lambda m: speed[m])

    def positions(draws: dict) -> np.ndarray:
        return np.asarray(problem.sites.positions({key: draws[f"warm_{key}"] for key in problem.sites.parts}))

    basis = np.eye(problem.sites.size) if options.plain else _root(positions(first["nuts"][0]))
    order = stan_order(problem, sampler, METHODS.index(method), basis)
    steps = first["nuts"][1]["cold"]["num_steps"] / (sum(size) * sampler.num_chains)
    number = options.draws or _affordable(steps, speed[method], options.minutes, size)
    order |= {"num_warmup": min(size[0], max(number // 2, 75)), "num_samples": number}
    if number < size[1]:  # costly: no more warm-ups than there are cores
        order |= {"num_chains": os.cpu_count(), "inits": order["inits"][: os.cpu_count()]}
    print(f"  Stan samples by {method}: {order['num_chains']} chains of {order['num_warmup']} + {number}", flush=True)
    theirs, stan = asked(peer, order)
    kept = {key: order[key] for key in ("num_chains", "num_warmup", "num_samples")}
    found: dict = {"method": method, "metric": METRICS[not options.plain], "run_stan": kept | stan}
    for key, (draws, facts) in first.items():
        runs = [facts] if options.quick else [facts, ours(name, key, size)[1]]
        entries = zip(labels(problem), positions(draws).T, (theirs["z"] @ basis.T).T, strict=True)
        table = {label: compared(one.T, other.T) for label, one, other in entries}
        worst = max(abs(z) for row in table.values() for z in row["z"].values())
        found[key] = {
            "agree": bool(worst < 4),
            "largest_z": worst,
            "parameters": {label: row for label, row in table.items() if not label.startswith("z[")},  # shared by subjects
            "runs": runs,
            "rates": rates(table, runs, stan),
        }
    return found


def labels(problem: Posed) -> list[str]:
    """The names of the unconstrained parameters: logarithms, and of a population also what stands behind its subjects."""
    parts = problem.sites.parts.items()
    return [f"{key}[{i + 1}]" if site.shape else key for key, site in parts for i in range(site.size)]


def rates(table: dict, runs: list[dict], stan: dict) -> dict:
    """Seconds, least bulk ESS and their ratio: end to end, and with what is not sampling left out."""
    least = {side: min(row[f"ess_{side}"] for row in table.values()) for side in ("ours", "stan")}
    seconds = {
        "ours_cold": float(np.median([run["cold"]["process_seconds"] for run in runs])),
        "ours_warm": float(np.median([run["warm"]["seconds"] - run["warm"]["compile_wall_seconds"] for run in runs])),
        "stan": stan["seconds"],
    }
    ess = {key: least["stan" if key == "stan" else "ours"] for key in seconds}
    rate = {key: ess[key] / value for key, value in seconds.items()}
    times = {key: value / rate["stan"] for key, value in rate.items()}
    return {"seconds": seconds, "ess_bulk_min": ess, "ess_per_s": rate, "times_stan": times}


def shown(found: dict) -> None:
    """Print a contest of one of our samplers."""
    verdict = "agree" if found["agree"] else "DIFFER"
    worst = found["largest_z"]
    print(f"  posteriors {verdict}: means and quantiles of unconstrained parameters within {worst:.1f} standard errors")
    rates, texts = found["rates"], {"ours_cold": "ours, from cold", "ours_warm": "ours, compiled", "stan": "Stan, compiled"}
    for key, text in texts.items():
        values = (rates[part][key] for part in ("seconds", "ess_bulk_min", "ess_per_s", "times_stan"))
        print("  {:<16} {:8.1f} s   least bulk ESS {:6.0f}, {:8.2f} per second: {:6.1f} times Stan".format(text, *values))


def _root(draws: np.ndarray) -> np.ndarray:
    """The Cholesky root of the covariance of draws [chain, draw, parameter]."""
    return np.linalg.cholesky(np.cov(draws.reshape(-1, draws.shape[-1]).T))


def stan_order(problem: Posed, sampler: NUTS, method: int, basis: np.ndarray) -> dict:
    """What Stan shall sample; its chains start at the screened prior draws, as ours do."""
    key = jax.random.PRNGKey(SEED)
    begun = sampler.start.find(Density(problem), key, sampler.num_chains, Blocks())
    inits = [{"z": z.tolist()} for z in np.linalg.solve(basis, begun.position.T).T]
    return {
        "program": source(program(problem)),
        "data": exported(problem, basis) | {"method": method},
        "seed": SEED,
        "mode": "sample",
        "inits": inits,
        "num_chains": sampler.num_chains,
        "delta": sampler.target_accept,
        "max_depth": 10,  # Stan's own: with its metric trees may be longer than ours
    }


def _affordable(steps: float, speed: float, minutes: float, size: tuple[int, int]) -> int:
    """Draws per chain that fit into the minutes, if each takes as many gradients as one of ours."""
    number = int(minutes * 60 * speed / steps)  # iterations per core
    return size[1] if number > 2 * sum(size) else max(min(number * 2 // 3, size[1] - 1), 50)  # fewer: a chain per core


def compared(mine: np.ndarray, theirs: np.ndarray) -> dict:
    """Mean and quantiles of both, their differences in combined Monte Carlo standard errors, and bulk ESS."""
    row: dict = {"ours": {}, "stan": {}, "z": {}}
    for label, prob in {"mean": None, "q5": 0.05, "q50": 0.5, "q95": 0.95}.items():
        value, error = [], []
        for x in (mine, theirs):
            value.append(float(np.mean(x) if prob is None else np.quantile(x, prob)))
            method = {"method": "mean"} if prob is None else {"method": "quantile", "prob": prob}
            error.append(float(array_stats.mcse(x, chain_axis=0, draw_axis=1, **method)))
        row["ours"][label], row["stan"][label] = value
        row["z"][label] = (value[0] - value[1]) / float(np.hypot(*error))
    for side, x in {"ours": mine, "stan": theirs}.items():
        row[f"ess_{side}"] = float(array_stats.ess(x, chain_axis=0, draw_axis=1, method="bulk"))
        row[f"rhat_{side}"] = float(array_stats.rhat(x, chain_axis=0, draw_axis=1))
    return row


def main() -> None:
    """Check, sample, compare, and keep what was found under the key `stan`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problems", nargs="*", default=[*PROBLEMS], help=f"from {', '.join(PROBLEMS)}")
    parser.add_argument("--peer", type=Path, default=STAN / "bin" / "python", help="the python that has PyStan")
    parser.add_argument("--draws", type=int, default=0, help="Stan's draws per chain (as many as fit into the minutes)")
    parser.add_argument("--minutes", type=float, default=20.0, help="about how long Stan may sample one problem")
    parser.add_argument("--plain", action="store_true", help="Stan samples the log-parameters as they are")
    parser.add_argument("--check-only", action="store_true", help="density, gradient and their speed; no draws")
    parser.add_argument("--quick", action="store_true", help="short chains, one round")
    options = parser.parse_args()
    found = {}
    for name in options.problems:
        found[name] = {"check": check(name, options.peer)}
        if not options.check_only:
            speed = found[name]["check"]["gradients_per_s"]
            found[name]["sampling"] = contest(name, options.peer, speed, options)
            for key in OURS:
                if key in found[name]["sampling"]:
                    print(f"  {key}:")
                    shown(found[name]["sampling"][key])
        merge("stan", found)


if __name__ == "__main__":
    main()
