"""Our side of `against_stan`, in a process of its own: draws and seconds of sampling, from cold and once more.

`ours.py NAME ANSWER SAMPLER [WARMUP DRAWS]`: compiled programs are kept in `CYTOSTORM_CACHE`, empty for a cold run.
"""

import json
import sys
import time

START = time.perf_counter()

from pathlib import Path  # noqa: E402 - the imports count as well, and are timed from here

import jax  # noqa: E402
import numpy as np  # noqa: E402
from export import prepared  # noqa: E402

from cytostorm.scripts.compilation import listening  # noqa: E402


def sampled(name: str, seed: int, method: str, size: tuple[int, ...]) -> tuple[dict, dict]:
    """Draws of every parameter and what a timing needs to know of them."""
    clock = time.perf_counter()
    with listening() as programs:
        problem, sampler = prepared(name, size, method)
        draws = sampler.sample(problem, jax.random.PRNGKey(seed))
    seconds = time.perf_counter() - clock
    chains = [*(stats["n_steps"] for stats in (draws.warmup_stats, draws.stats) if "n_steps" in stats)]
    return draws.values, {
        "seconds": seconds,
        "starts_seconds": draws.seconds["starts"],
        "sampling_seconds": draws.seconds["sampling"],
        "compile_wall_seconds": programs.seconds,
        "num_steps": int(sum(steps.sum() for steps in chains)),
        "num_solves": draws.num_solves,
        "num_divergent": int(np.sum(draws.stats.get("diverging", 0))),
        "num_failed": draws.num_failed,
    }


def main() -> None:
    """Sample twice; the second time everything is compiled that can be kept."""
    name, answer, method, size = sys.argv[1], Path(sys.argv[2]), sys.argv[3], tuple(int(x) for x in sys.argv[4:6])
    cold_draws, cold = sampled(name, 0, method, size)
    cold["process_seconds"] = time.perf_counter() - START
    warm_draws, warm = sampled(name, 1, method, size)
    arrays = {f"cold_{n}": x for n, x in cold_draws.items()} | {f"warm_{n}": x for n, x in warm_draws.items()}
    np.savez(answer.with_suffix(".npz"), **{key: np.asarray(x) for key, x in arrays.items()})
    answer.write_text(json.dumps({"cold": cold, "warm": warm}))


if __name__ == "__main__":
    main()
