"""What drugs do: from concentrations to the arms of the network that they act on."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .dose import Doses
from .drugs import concentration, level

type Scalar = Float[Array, ""]

# Molar mass [kDa] and dissociation constant [nM] of the anti-receptor antibodies (unverified, from memory).
MASS = {"tocilizumab": 148.0, "sarilumab": 150.0}
KD = {"tocilizumab": 2.5, "sarilumab": 0.1}

# Concentrations of half effect [mg/L].
HALF = {
    "siltuximab": 0.0145,  # 0.1 nM, assumed
    "anakinra": 0.2,  # assumed
    "dexamethasone": 0.0039,  # 10 nM, unverified
    "methylprednisolone": 0.014,  # Hornik 2019 (transcribed)
    "hydrocortisone": 0.104,  # from the potency ratio 26.7, unverified
    "baricitinib": 0.0386,  # 104 nM in whole blood, unverified
    "ruxolitinib": 0.0864,  # 282 nM in whole blood, product and review pages
    "emapalumab": 0.0248,  # Jacqmin 2022 (transcribed)
}
STEROIDS = ("dexamethasone", "methylprednisolone", "hydrocortisone")
JAK_INHIBITORS = ("baricitinib", "ruxolitinib")
STEROID_CEILING = 0.8  # 21 % of the IL-6 stimulus is insensitive to steroids: Hornik 2019 (transcribed)


class Effects(eqx.Module):
    """Fractions between 0 and 1 by which drugs act at one moment, and the antibiotic's kill rate [1/h].

    `receptor`: IL-6R occupancy; `ligand`: IL-6 bound by anti-IL-6; `il1`: IL-1 block; `jak`: JAK block; `steroid`:
    the target of the steroid effect before its transit; `ifn`: IFN-gamma block; `antiviral`: growth inhibition;
    `fluid`, `pressor`, `oxygen`: levels of supportive care.
    """

    receptor: Scalar
    ligand: Scalar
    il1: Scalar
    jak: Scalar
    steroid: Scalar
    ifn: Scalar
    antiviral: Scalar
    antibiotic: Scalar
    fluid: Scalar
    pressor: Scalar
    oxygen: Scalar


def effects(t: Scalar, doses: Doses, antibodies: dict[str, Scalar], weight: Scalar) -> Effects:
    """The effects at `t` of all drugs given; `antibodies` are the concentrations [mg/L] that are states."""
    dose = {name: concentration(name, t, doses, weight) for name in (*HALF, "antiviral", "antibiotic")}
    ratio = {name: dose[name] / half for name, half in HALF.items()}

    def saturating(*names: str) -> Scalar:
        q = sum((ratio[name] for name in names), jnp.zeros(()))
        return q / (1 + q)

    bound = sum((1e3 * c / MASS[name] / KD[name] for name, c in antibodies.items()), jnp.zeros(()))
    return Effects(
        receptor=bound / (1 + bound),
        ligand=saturating("siltuximab"),
        il1=saturating("anakinra"),
        jak=saturating(*JAK_INHIBITORS),
        steroid=STEROID_CEILING * saturating(*STEROIDS),
        ifn=saturating("emapalumab"),
        antiviral=0.95 * dose["antiviral"] / (dose["antiviral"] + 0.25),
        antibiotic=0.6 * dose["antibiotic"] / (dose["antibiotic"] + 0.5),
        fluid=level("fluid", t, doses),
        pressor=level("pressor", t, doses),
        oxygen=level("oxygen", t, doses),
    )
