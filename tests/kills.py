"""Twenty fits, each killed at a random moment and continued: are the draws, to the bit, those of a fit that was not killed?

`make kills` runs it. The moments cover start, screening, warm-up and sampling.
"""

import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from test_resume import start

from cytostorm.inference import load

NUMBER, SEED = 20, 7
GROUPS = ("posterior", "sample_stats", "log_likelihood")


def main() -> int:
    """Kill, continue, compare. Returns 0 if every result is the same."""
    dice, same, during = random.Random(SEED), 0, 0
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        assert start(folder / "warm").wait() == 0  # fills the cache of compiled programs
        clock = time.perf_counter()
        assert start(folder / "whole").wait() == 0
        duration = time.perf_counter() - clock
        expected = load(folder / "whole" / "posterior.nc")
        for number in range(NUMBER):
            place, moment = folder / f"run{number}", duration * dice.uniform(0.1, 0.95)
            process = start(place)
            time.sleep(moment)
            process.kill()
            killed = process.wait() != 0
            blocks = len(list(place.glob("blocks/*.block")))
            if killed:
                assert start(place).wait() == 0
            found = load(place / "posterior.nc")
            equal = all(
                np.array_equal(x, found[group][name]) for group in GROUPS for name, x in expected[group].data_vars.items()
            )
            same, during = same + equal, during + (killed and blocks > 0)
            verdict = "same" if equal else "OTHER"
            print(f"{number + 1:2d}: killed after {moment:5.1f} s with {blocks:2d} blocks on disk: {verdict}", flush=True)
    print(f"{same} of {NUMBER} results are the same to the bit; {during} were killed with blocks on disk")
    return 0 if same == NUMBER else 1


if __name__ == "__main__":
    sys.exit(main())
