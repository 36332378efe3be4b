"""Is the loop of a solve compiled into one function? XLA's option for it, as it comes, never, and always: ms per solve.

On a processor XLA runs the operations of a loop one by one, unless it takes the loop to be small. What is small is an
option without documentation, `xla_cpu_small_while_loop_byte_threshold`. In each round every setting has its turn, in a
process of its own; the tsit5 of diffrax solves the CAR-T storm of the network over 21 days. Prints JSON.
"""

import json
import os
import statistics
import subprocess
import sys
import time

OPTION = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold="
SETTINGS = {"as it comes": None, "never": 0, "always": 10**9}


def measure() -> float:
    """The least time of a solve in this process [ms]."""
    import jax
    import numpy as np

    from cytostorm.models import Solver, plan, solve
    from cytostorm.scripts.compose import composed
    from cytostorm.scripts.problem import world

    model, story, _ = world(composed("fit", ["experiment=network_cart"]))
    prepared, solver = plan(model, story, np.linspace(0.0, 504.0, 43)), Solver("tsit5")
    jax.block_until_ready(solve(model, prepared, solver))
    seconds = []
    for _ in range(40):
        clock = time.perf_counter()
        jax.block_until_ready(solve(model, prepared, solver))
        seconds.append(time.perf_counter() - clock)
    return 1e3 * min(seconds)


def main(rounds: int = 2) -> None:
    """Measure under every setting, in turn, and print the medians over the rounds."""
    found: dict[str, list[float]] = {name: [] for name in SETTINGS}
    for _ in range(rounds):
        for name, value in SETTINGS.items():
            flags = os.environ.get("XLA_FLAGS", "") + ("" if value is None else f" {OPTION}{value}")
            environment = os.environ | {"XLA_FLAGS": flags.strip()}
            command = [sys.executable, __file__, "--measure"]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            found[name].append(float(done.stdout))
    print(json.dumps({name: round(statistics.median(ms), 3) for name, ms in found.items()}))


if __name__ == "__main__":
    print(measure()) if "--measure" in sys.argv else main()
