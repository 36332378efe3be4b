"""Is the GPU right, and from which width on is it faster? `python -m cytostorm.scripts.gpu_check` ends in one table.

On each device, in a process of its own: gradients of the log-density per second over batch widths, and effective draws per
second of ChEES-HMC with many chains, for the default fit and for the network. Values and gradients of both devices are
compared over the same prior draws.
"""

import argparse
import json
import subprocess
import sys
import time

import numpy as np

PROBLEMS = {"minimal": [], "network": ["experiment=network_cart"]}
WIDTHS = [4**i for i in range(9)]  # 1 to 65,536
COMPARED = 64  # draws whose values and gradients are compared


def measure(platform: str, name: str, widths: list[int], chains: int) -> dict:
    """What one device does with one problem: gradients per second by width, ESS per second, values and gradients."""
    import arviz_base as azb
    import arviz_stats as azs
    import jax

    import cytostorm.inference as ci

    from . import device
    from .benchmark import gradients_per_s
    from .compose import composed
    from .problem import prepare

    found = device.start(platform)
    problem, _, _ = prepare(composed("fit", PROBLEMS[name]))
    density = ci.Density(problem)
    slope = jax.jit(jax.vmap(jax.value_and_grad(density.potential)))

    value, gradient = slope(density.positions(problem.draw(jax.random.PRNGKey(0), COMPARED)))
    clock = time.perf_counter()
    draws = ci.ChEES(num_chains=chains, num_superchains=chains // 4).sample(problem, jax.random.PRNGKey(1))
    seconds = time.perf_counter() - clock
    ess = azs.ess(azb.from_dict({"posterior": draws.values})["posterior"].to_dataset(), method="bulk")
    least = min(float(ess[x]) for x in ess.data_vars)
    return {
        "device": found["kind"],
        "gradients_per_s": gradients_per_s(density, widths),
        "ess_per_s": least / seconds,
        "value": np.asarray(value).tolist(),
        "gradient": np.asarray(gradient).tolist(),
    }


def side(platform: str, name: str, widths: list[int], chains: int) -> dict | None:
    """`measure` in a process of its own; None where it fails, for want of a GPU say."""
    command = [sys.executable, "-m", __spec__.name, "--measure", platform, name, str(chains), *map(str, widths)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"{platform}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def table(name: str, sides: dict[str, dict]) -> list[str]:
    """The rows of one problem."""
    rows = []
    widths = list(next(iter(sides.values()))["gradients_per_s"])
    for width in widths:
        rates = [found["gradients_per_s"][width] for found in sides.values()]
        ratio = f"{rates[1] / rates[0]:8.2f}" if len(rates) == 2 else ""
        rows.append(f"{name:<9} {int(width):>7} lanes " + "".join(f"{x:14.0f}" for x in rates) + ratio)
    rates = [found["ess_per_s"] for found in sides.values()]
    ratio = f"{rates[1] / rates[0]:8.2f}" if len(rates) == 2 else ""
    rows.append(f"{name:<9} {'ESS per s':>13} " + "".join(f"{x:14.1f}" for x in rates) + ratio)
    if len(sides) == 2:
        one, other = sides.values()
        value = np.abs(np.subtract(one["value"], other["value"])).max()
        largest = np.abs(one["gradient"]).max(axis=1, keepdims=True)
        slope = (np.abs(np.subtract(one["gradient"], other["gradient"])) / largest).max()
        rows.append(f"{name:<9} apart: log-density {value:.1e}, gradient {slope:.1e} of its largest entry")
    return rows


def main() -> int:
    """Measure on every device that is here, and print the table. Returns the exit code: 1 where there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problems", nargs="*", default=[*PROBLEMS], help=f"from {', '.join(PROBLEMS)}")
    parser.add_argument("--widths", default=",".join(map(str, WIDTHS)), help="batch widths")
    parser.add_argument("--chains", type=int, default=1024, help="chains of ChEES-HMC")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        platform, name, chains, *widths = options.measure
        print(json.dumps(measure(platform, name, [int(x) for x in widths], int(chains))))
        return 0
    widths, lines, complete = [int(x) for x in options.widths.split(",")], [], True
    for name in options.problems:
        found = {platform: side(platform, name, widths, options.chains) for platform in ("cpu", "gpu")}
        sides = {platform: one for platform, one in found.items() if one is not None}
        complete &= len(sides) == 2
        if sides:
            heads = "".join(f"{platform:>14}" for platform in sides) + ("   ratio" if len(sides) == 2 else "")
            lines += [f"{'gradients of the log-density per s':<24}{heads[10:]}", *table(name, sides)]
    print("\n".join(lines))
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
