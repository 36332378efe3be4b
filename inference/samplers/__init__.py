"""Samplers: a problem in, draws out; all on one compiled log-density."""

import importlib
from typing import TYPE_CHECKING, Any

from .blocks import Blocks as Blocks
from .blocks import Interrupted as Interrupted
from .density import Density as Density
from .draws import Draws as Draws
from .draws import Sampler as Sampler
from .draws import thinned as thinned
from .nuts import NUTS as NUTS
from .starts import NoStart as NoStart
from .starts import Starting as Starting
from .starts import Starts as Starts
from .starts import Stuck as Stuck

if TYPE_CHECKING:
    from .approximation import SVI as SVI
    from .approximation import Laplace as Laplace
    from .chees import ChEES as ChEES
    from .independence import Independence as Independence
    from .pathfinder import Pathfinder as Pathfinder
    from .smc import SMC as SMC

# What imports BlackJAX or NumPyro's guides is imported when it is first named: the default fit needs neither.
LATE = {
    "ChEES": "chees",
    "Independence": "independence",
    "Laplace": "approximation",
    "Pathfinder": "pathfinder",
    "SMC": "smc",
    "SVI": "approximation",
}


def __getattr__(name: str) -> Any:
    if name not in LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{LATE[name]}", __name__), name)
