"""A comparison of options as a labelled tree."""

import numpy as np
import xarray as xr

from .counterfactual import Comparison
from .utility import Utility


def comparison_tree(comparison: Comparison, utility: Utility, units: dict[str, str]) -> xr.DataTree:
    """The comparison as a tree: `predictions`, curves over option, patient, draw and time, and `decisions`, all outcomes,
    the utility, starts and success over option, patient and draw. `units` are those of the curves."""
    options = {
        "option": [option.label for option in comparison.options],
        "arm": ("option", [option.arm for option in comparison.options]),
        "start_h": ("option", [float(option.start_h) for option in comparison.options]),
        "dose": ("option", [float(option.dose) for option in comparison.options]),
        "clock": ("option", [option.clock.name for option in comparison.options]),
        "patient": list(comparison.patients),
        "now": ("patient", comparison.now, {"units": "h"}),
    }
    three = ("option", "patient", "draw")
    decisions = xr.Dataset(
        {
            name: (three, comparison.outcome[..., k], {"units": unit})
            for k, (name, unit) in enumerate(zip(comparison.outcomes, comparison.units, strict=True))
        }
        | {
            "utility": (three, utility.of(comparison), {"meaning": "weighted sum of outcomes; more is better"}),
            "start": (three, comparison.start, {"units": "h", "meaning": "when treatment starts; infinite: never"}),
            "okay": (three, comparison.okay, {"meaning": "whether the solve succeeded; where not, values have no meaning"}),
        },
        coords=options | {"draw": np.arange(comparison.okay.shape[2])},
        attrs={f"weight_{name}": weight for name, weight in utility.weights.items()},
    )
    curves = xr.Dataset(
        {name: ((*three, "point"), x, {"units": units[name]}) for name, x in comparison.curves.items()},
        coords=options | {"draw": comparison.draw, "time": (("patient", "point"), comparison.times, {"units": "h"})},
    )
    return xr.DataTree.from_dict({"predictions": curves, "decisions": decisions})
