"""Gradients of the log-density per second, alone and side by side, and the memory of the default fit; of `make benchmark`.

The default fit and one CAR-T patient of the network; all cores, compilation apart, rounds interleaved, medians.
"""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from results import merge

import cytostorm.inference as ci
from cytostorm.scripts import device
from cytostorm.scripts.benchmark import gradients_per_s
from cytostorm.scripts.compose import composed
from cytostorm.scripts.gpu_check import PROBLEMS
from cytostorm.scripts.problem import prepare

WIDTHS = (1, 64, 1024)
COMMAND = Path(sys.executable).with_name("cytostorm")


def memory() -> float:
    """Peak memory of the default fit in GiB, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        order = [COMMAND, "fit", f"hydra.run.dir={folder}/fit"]
        if (done := subprocess.run(order, capture_output=True, text=True)).returncode:
            raise SystemExit(f"the default fit failed: {done.stderr}")
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20


def rates(overrides: list[str]) -> dict[int, float]:
    """Gradients per second of a problem by how many side by side."""
    problem, _, _ = prepare(composed("fit", overrides))
    return gradients_per_s(ci.Density(problem), WIDTHS)


def main() -> None:
    """Measure, print and keep."""
    peak = memory()
    device.start("cpu")
    found = {name: rates(overrides) for name, overrides in PROBLEMS.items()}
    print("gradients of the log-density per second, by how many side by side:")
    for name, row in found.items():
        gain = row[max(WIDTHS)] / row[1]
        print(f"  {name:<9}" + "".join(f"{width:>6}: {row[width]:9.0f}" for width in WIDTHS) + f"   {gain:.1f} times one")
    print(f"  peak memory of the default fit {peak:.2f} GiB")
    merge("throughput", {"gradients_per_s": found, "peak_memory_gib": peak})


if __name__ == "__main__":
    main()
