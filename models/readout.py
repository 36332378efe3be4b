"""What a clinician reads: pressure, oxygenation, a grade of cytokine release syndrome, and thresholds of IL-6."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .dose import Doses
from .effects import effects
from .hill import sigmoid
from .network import Network

HEALTHY_IL6 = 10.0  # pg/mL: healthy people lie below (Janum 2016 mean 1.05; Sothern 1995)
SEVERE_IL6 = 1000.0  # pg/mL: a storm lies above (sepsis, median 984: Leisman 2020)


def grade(temperature: Float[Array, ""], pressure: Float[Array, ""], oxygenation: Float[Array, ""]) -> Float[Array, ""]:
    """A smooth grade of cytokine release syndrome from 0 to 4, after the ASTCT consensus.

    The published grade (Lee et al., Biol Blood Marrow Transplant 2019;25:625) is defined by the support that is given
    for hypotension and hypoxia under fever; this one by the need for it, from the unsupported mean arterial pressure
    [mmHg] and PaO2/FiO2 [mmHg]. The more severe of the two counts.
    """
    fever = sigmoid((temperature - 38) / 0.15)
    a = sum((sigmoid((limit - pressure) / 2) for limit in (70.0, 62.0, 54.0)), jnp.zeros(()))
    b = sum((sigmoid((limit - oxygenation) / 15) for limit in (300.0, 200.0, 140.0)), jnp.zeros(()))
    return fever * (1 + jnp.log(jnp.exp(6 * a) + jnp.exp(6 * b) - 1) / 6)


@eqx.filter_jit
def readouts(
    model: Network, times: Float[Array, " time"], states: Float[Array, "time state"], doses: Doses
) -> dict[str, Float[Array, " time"]]:
    """Read-outs along a trajectory, by name: see `UNITS` for their units."""

    def read(t: Float[Array, ""], y: Float[Array, " state"]) -> dict[str, Float[Array, ""]]:
        e = effects(t, doses, model.antibodies(y), model.weight)
        unsupported = model.unsupported_pressure(y, e)
        oxygenation = model.w_pf * (1 - model.w_pf_dam * y[14])
        return {
            "il6": y[10],
            "il6_free": (1 - e.ligand) * y[10],
            "crp": y[16],
            "ferritin": y[17],
            "temperature": y[18],
            "pressure": model.arterial_pressure(y, e),
            "pressure_unsupported": unsupported,
            "oxygenation": oxygenation,
            "grade": grade(y[18], unsupported, oxygenation),
        }

    return jax.vmap(read)(times, states)


UNITS = {
    "il6": "pg/mL",
    "il6_free": "pg/mL",
    "crp": "mg/L",
    "ferritin": "ng/mL",
    "temperature": "degC",
    "pressure": "mmHg",
    "pressure_unsupported": "mmHg",
    "oxygenation": "mmHg",
    "grade": "1",
}
