"""Cytokine models: parameters with units, doses, scenarios, and their solution.

Importing this package switches JAX to double precision: solver tolerances and posteriors need it.
"""

import jax

jax.config.update("jax_enable_x64", True)

from .batch import filled as filled  # noqa: E402
from .batch import together as together  # noqa: E402
from .clock import DAY as DAY  # noqa: E402
from .clock import HOURS as HOURS  # noqa: E402
from .clock import WEEK as WEEK  # noqa: E402
from .clock import YEAR as YEAR  # noqa: E402
from .constant import constant as constant  # noqa: E402
from .dose import Doses as Doses  # noqa: E402
from .dose import bolus as bolus  # noqa: E402
from .dose import doses_from as doses_from  # noqa: E402
from .dose import infusion as infusion  # noqa: E402
from .dose import no_doses as no_doses  # noqa: E402
from .dose import repeated as repeated  # noqa: E402
from .endotoxin import Endotoxin as Endotoxin  # noqa: E402
from .host import Host as Host  # noqa: E402
from .minimal import Minimal as Minimal  # noqa: E402
from .model import Model as Model  # noqa: E402
from .model import State as State  # noqa: E402
from .network import Network as Network  # noqa: E402
from .platform import platform as platform  # noqa: E402
from .quantity import Quantity as Quantity  # noqa: E402
from .quantity import derivations as derivations  # noqa: E402
from .quantity import derived as derived  # noqa: E402
from .quantity import quantities as quantities  # noqa: E402
from .quantity import quantity as quantity  # noqa: E402
from .quantity import replace as replace  # noqa: E402
from .quantity import values as values  # noqa: E402
from .reach import Reach as Reach  # noqa: E402
from .reach import reach as reach  # noqa: E402
from .scenario import Scenario as Scenario  # noqa: E402
from .scenario import Trigger as Trigger  # noqa: E402
from .scenario import stage as stage  # noqa: E402
from .segments import after as after  # noqa: E402
from .simulate import Plan as Plan  # noqa: E402
from .simulate import Sensitivity as Sensitivity  # noqa: E402
from .simulate import Trajectory as Trajectory  # noqa: E402
from .simulate import differentiate as differentiate  # noqa: E402
from .simulate import plan as plan  # noqa: E402
from .simulate import simulate as simulate  # noqa: E402
from .simulate import solve as solve  # noqa: E402
from .solver import Solver as Solver  # noqa: E402
from .stimulus import Expansion as Expansion  # noqa: E402
from .stimulus import Stimulus as Stimulus  # noqa: E402
from .stimulus import Transit as Transit  # noqa: E402
from .treatment import Treatment as Treatment  # noqa: E402
