"""Samplers: a problem in, draws out; all on one compiled log-density."""

from .approximation import SVI as SVI
from .approximation import Laplace as Laplace
from .blocks import Blocks as Blocks
from .blocks import Interrupted as Interrupted
from .chees import ChEES as ChEES
from .density import Density as Density
from .draws import Draws as Draws
from .draws import Sampler as Sampler
from .nuts import NUTS as NUTS
from .pathfinder import Pathfinder as Pathfinder
from .smc import SMC as SMC
from .starts import NoStart as NoStart
from .starts import Starting as Starting
from .starts import Starts as Starts
from .starts import Stuck as Stuck
