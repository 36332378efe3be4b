"""cytostorm doctor: what works on this machine, and whether a fit of a configuration can. No run folder is made."""

import time
from collections.abc import Sequence

import jax

from . import device, health, ladder
from .compose import BadConfig, check, composed
from .data import place
from .finding import Finding, show
from .problem import lanes
from .run import console

USAGE = """\
usage: cytostorm doctor [overrides of cytostorm fit]

  cytostorm doctor                                 what is installed, and what works on this machine
  cytostorm doctor experiment=synthetic_storm      the same, then the ladder of checks on a fit of this configuration
  cytostorm doctor data=csv data.path=FILE         your own table

The ladder: the configuration and its readings; whether draws from the prior can be solved; whether log-density and gradient
are finite there; whether the gradient is right, against others ways to get it; and what the fit will take. It ends at the
first rung that does not hold. No run folder is made.

marks: ✓ holds   – absent, and a fit can do without   ✗ must be mended
exit codes: 0 nothing must be mended, 2 the configuration or the readings must, 1 something else must"""


def main(argv: Sequence[str]) -> int:
    """Examine the machine, then the configuration that `argv` asks for, if it asks for one. Returns the exit code.

    Raises `BadConfig` for a configuration that does not compose.
    """
    if any(x in ("-h", "--help") for x in argv):
        print(USAGE)
        return 0
    if flags := [x for x in argv if x.startswith("-")]:
        raise BadConfig(f"no flag `{flags[0]}` of doctor; it takes the overrides of `cytostorm fit`")
    clock = time.perf_counter()
    place()
    check("fit", argv)
    cfg = composed("fit", argv)
    jax.devices()  # all of them, before one kind is chosen
    found: list[Finding] = []
    try:
        hardware = device.start(**cfg.device, lanes=lambda: lanes(cfg))
    except BadConfig as error:
        show(Finding("device", str(error), False))
        return 2
    for one in health.examine():
        found.append(one)
        show(one)
    if argv:
        console.print()
        if "because" in hardware:
            show(Finding("device", f"{hardware['platform']}: {hardware['because']}"))
        for one in ladder.climb(cfg):
            found.append(one)
            show(one)
    bad = [one.what for one in found if one.holds is False]
    console.print()
    text = f"to be mended: {', '.join(bad)}" if bad else "all is well" if argv else "this machine is ready"
    console.print(
        f"{text} ({time.perf_counter() - clock:.0f} s)", style="bold red" if bad else "bold green", highlight=False
    )
    if not bad:
        return 0
    return 2 if set(bad) & set(ladder.INPUT) else 1
