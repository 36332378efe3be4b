"""cytostorm phenomena: what a model of cytokine storms must show, expected and obtained, in one table."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from cytostorm.models.readout import HEALTHY_IL6, SEVERE_IL6

from . import device
from .run import begin, console, end, progress
from .story import Story, tell

INF = float("inf")


@dataclasses.dataclass(frozen=True)
class Phenomenon:
    """One number that the model must show, and between which limits; `source` says who saw it."""

    group: str
    what: str
    unit: str
    low: float
    high: float
    measure: Callable[[], float]
    source: str = "design"

    @property
    def expected(self) -> str:
        """The limits as text."""
        if self.high == INF:
            return f"> {self.low:g}"
        return f"< {self.high:g}" if self.low == -INF else f"{self.low:g} to {self.high:g}"


def _share_of_2(dose: float) -> float:
    return _lps(dose).peak() / _lps(2.0).peak()


def _lps(dose: float) -> Story:
    return tell("lps_bolus", 1, dose=dose / 2.0, until=24.0)


def _damage(drugs: str, start: float) -> float:
    return tell("viral", 4, *drugs.split("+"), start=start).peak("damage")


def _steps(values: list[float]) -> float:
    return float(np.diff(values).min())


def _onset() -> float:
    """When IL-6 of the untreated viral storm first exceeds 300 pg/mL [h]."""
    story = tell("viral", 4)
    return float(story.times[np.argmax(story["il6"] > 300)])


def _ratio(story: Story, plain: Story, at: float, name: str) -> float:
    return story.at(at, name) / plain.at(at, name)


STEROID_TOO_LONG = (("drug", "dexamethasone"), ("dose", 10.0), ("number", 16), ("interval_h", 6.0))
P = Phenomenon
# fmt: off
PHENOMENA = [
    P("rest", "IL-6 without a trigger, gain 4, after 28 d", "pg/mL", 0, HEALTHY_IL6, lambda: tell("cart", 4, initial=(("antigen", 0.0),), changes=(("w_t", 0.0),), until=672.0).end(), "Janum 2016"),
    P("LPS 2 ng/kg", "IL-6 peak", "pg/mL", 561, 1042, lambda: _lps(2).peak(), "Janum 2016, 801 +- 30 %"),
    P("LPS 2 ng/kg", "time of the IL-6 peak", "h", 2, 3, lambda: _lps(2).time_of_peak(), "Janum 2016"),
    P("LPS 2 ng/kg", "IL-6 peaks after TNF by", "h", 0, 2, lambda: _lps(2).time_of_peak() - _lps(2).time_of_peak("tnf"), "Janum 2016"),
    P("LPS 2 ng/kg", "IL-10 peaks after IL-6 by", "h", 0, 2, lambda: _lps(2).time_of_peak("il10") - _lps(2).time_of_peak(), "Janum 2016"),
    P("LPS 2 ng/kg", "time of the temperature peak", "h", 3, 4.5, lambda: _lps(2).time_of_peak("temperature"), "Janum 2016"),
    P("LPS 2 ng/kg", "largest share of a cytokine's peak left from 8 h on", "1", -INF, 0.1, lambda: max(float(_lps(2)[c][_lps(2).times >= 8].max()) / _lps(2).peak(c) for c in ("tnf", "il6", "il10")), "Janum 2016"),
    P("LPS dose", "IL-6 peak at 0.3 ng/kg, relative to 2", "1", 0.072, 0.288, lambda: _share_of_2(0.3), "digitised, 40/278, two-fold"),
    P("LPS dose", "IL-6 peak at 0.5 ng/kg, relative to 2", "1", 0.103, 0.41, lambda: _share_of_2(0.5), "digitised, 57/278, two-fold"),
    P("LPS dose", "IL-6 peak at 1 ng/kg, relative to 2", "1", 0.28, 1.12, lambda: _share_of_2(1), "digitised, 98-213/278, two-fold"),
    P("LPS dose", "IL-6 peak at 4 ng/kg, relative to 2", "1", 1.1, 3, lambda: _share_of_2(4), "monotone"),
    P("LPS dose", "smallest step of the peak, 0.3 to 4 ng/kg", "pg/mL", 0, INF, lambda: _steps([_lps(d).peak() for d in (0.3, 0.5, 1, 2, 4)]), "monotone"),
    P("regimes", "viral, gain 1: IL-6 at 28 d", "pg/mL", 0, HEALTHY_IL6, lambda: tell("viral", 1).end()),
    P("regimes", "CAR-T, gain 1: IL-6 at 21 d", "pg/mL", 0, HEALTHY_IL6, lambda: tell("cart", 1).end()),
    P("regimes", "viral, gain 4: IL-6 peak", "pg/mL", SEVERE_IL6, 5000, lambda: tell("viral", 4).peak()),
    P("regimes", "viral, gain 6: IL-6 peak", "pg/mL", SEVERE_IL6, 5000, lambda: tell("viral", 6).peak()),
    P("regimes", "CAR-T, gain 4: IL-6 peak", "pg/mL", SEVERE_IL6, 15000, lambda: tell("cart", 4).peak(), "3110 (632-15303), Leisman 2020"),
    P("regimes", "viral, gain 4: doubling of IL-6 in the run-up", "h", 1, 6, lambda: tell("viral", 4).doubling()),
    P("regimes", "viral, gain 6: doubling of IL-6 in the run-up", "h", 1, 6, lambda: tell("viral", 6).doubling()),
    P("regimes", "CAR-T, gain 4: doubling of IL-6 in the run-up", "h", 1, 6, lambda: tell("cart", 4).doubling()),
    P("regimes", "viral, gain 1.7 (controlled): hours above 300 pg/mL", "h", 0, 0, lambda: tell("viral", 1.7).above(300)),
    P("regimes", "viral, gain 2 (limits itself): hours above 300 pg/mL", "h", 20, 90, lambda: tell("viral", 2).above(300)),
    P("regimes", "viral, gain 3 (limits itself): hours above 300 pg/mL", "h", 90, 150, lambda: tell("viral", 3).above(300)),
    P("regimes", "viral, gain 4 (persists): hours above 300 pg/mL", "h", 550, 672, lambda: tell("viral", 4).above(300)),
    P("infection", "viral, gain 1: virus left at 9 d", "relative", -INF, 0.01, lambda: tell("viral", 1).at(216, "pathogen")),
    P("infection", "the same without T-cell killing, at 12 d: antibodies clear", "relative", -INF, 0.01, lambda: tell("viral", 1, changes=(("k_p_t", 0.0),)).at(288, "pathogen")),
    P("infection", "the same without either, at 28 d: it persists", "relative", 1, 100, lambda: tell("viral", 1, changes=(("k_p_t", 0.0), ("k_p_ab", 0.0))).end("pathogen")),
    P("infection", "bacteria 5, gain 1: IL-6 peak, cleared with little noise", "pg/mL", 0, 50, lambda: tell("bacterial", 1, initial=(("pathogen", 5.0),)).peak()),
    P("infection", "bacteria 10, gain 1: left at the end", "relative", -INF, 0.01, lambda: tell("bacterial", 1).end("pathogen")),
    P("infection", "bacteria 40, gain 1: left at the end, sepsis", "relative", 50, 200, lambda: tell("bacterial", 1, initial=(("pathogen", 40.0),)).end("pathogen")),
    P("infection", "bacteria 10, gain 4: left at 3 d, cleared", "relative", -INF, 0.01, lambda: tell("bacterial", 4).at(72, "pathogen")),
    P("infection", "bacteria 10, gain 4: IL-6 at 21 d, the storm goes on", "pg/mL", 300, 5000, lambda: tell("bacterial", 4).end()),
    P("treatment", "viral, gain 4, antiviral from 94 h: IL-6 72 h later", "pg/mL", 300, 5000, lambda: tell("viral", 4, "antiviral", start=94.0).at(166)),
    P("treatment", "with tocilizumab", "pg/mL", 0, HEALTHY_IL6, lambda: tell("viral", 4, "antiviral", "tocilizumab", start=94.0).at(166)),
    P("treatment", "with dexamethasone", "pg/mL", 0, HEALTHY_IL6, lambda: tell("viral", 4, "antiviral", "dexamethasone", start=94.0).at(166)),
    P("treatment", "damage with tocilizumab, relative to the antiviral alone", "1", 0, 0.6, lambda: _damage("antiviral+tocilizumab", 94.0) / _damage("antiviral", 94.0)),
    P("treatment", "bacterial, gain 4, antibiotic from 33 h: IL-6 72 h later", "pg/mL", 300, 5000, lambda: tell("bacterial", 4, "antibiotic", start=33.0).at(105)),
    P("treatment", "with tocilizumab", "pg/mL", 0, HEALTHY_IL6, lambda: tell("bacterial", 4, "antibiotic", "tocilizumab", start=33.0).at(105)),
    P("treatment", "viral, gain 4, antiviral 24 h before IL-6 exceeds 300: peak", "pg/mL", 0, 100, lambda: tell("viral", 4, "antiviral", start=_onset() - 24).peak()),
    P("treatment", "antiviral when it does: peak", "pg/mL", 300, 5000, lambda: tell("viral", 4, "antiviral", start=_onset()).peak()),
    P("treatment", "three drugs from 70, 94, 166, 238 h: smallest gain in damage by an earlier start", "1", 0.03, 1, lambda: _steps([_damage("tocilizumab+dexamethasone+antiviral", t) for t in (70.0, 94.0, 166.0, 238.0)])),
    P("treatment", "mild viral infection, dexamethasone from 72 h: damage, relative", "1", 0.95, 2, lambda: tell("viral", 1, "dexamethasone", start=72.0).peak("damage") / tell("viral", 1).peak("damage"), "RECOVERY 2021: 1.19 (0.92-1.55) without oxygen"),
    P("treatment", "virus under it, area relative", "1", 1, 2, lambda: tell("viral", 1, "dexamethasone", start=72.0).area("pathogen") / tell("viral", 1).area("pathogen")),
    P("over-dampening", "bacteria 10, gain 1, tocilizumab from 2 h: largest burden", "relative", 100, 200, lambda: tell("bacterial", 1, "tocilizumab", start=2.0).peak("pathogen")),
    P("over-dampening", "dexamethasone 10 mg q6h, 4 to 96 h: largest burden", "relative", 100, 200, lambda: _dampened().peak("pathogen")),
    P("over-dampening", "IL-6 under it, at 72 h", "pg/mL", 0, 50, lambda: _dampened().at(72)),
    P("over-dampening", "IL-6 after it is withdrawn, peak: it rebounds", "pg/mL", 200, 5000, lambda: float(_dampened()["il6"][_dampened().times > 106].max())),
    P("over-dampening", "dexamethasone from 24 h, after the kill: bacteria left", "relative", -INF, 0.01, lambda: tell("bacterial", 1, "dexamethasone", start=24.0).end("pathogen")),
    P("late suppression", "suppression after a viral storm, gain 4", "1", 0.5, 3, lambda: tell("viral", 4).end("suppression")),
    P("late suppression", "bacteria 10 in such a host, gain 1: left at the end", "relative", 50, 200, lambda: tell("bacterial", 1, initial=(("suppression", 1.2),)).end("pathogen")),
    P("late suppression", "TNF after LPS in such a host, relative to a naive one", "1", 0, 0.25, lambda: tell("lps_bolus", 1, initial=(("suppression", 1.2),), until=24.0).peak("tnf") / _lps(2).peak("tnf"), "endotoxin tolerance"),
    P("tocilizumab", "CAR-T, gain 1, at 191 h: rise of measured IL-6 within a day", "fold", 2, 5, lambda: max(_blocked().at(t) for t in np.linspace(191, 215, 49)) / _blocked().at(191), "Nishimoto 2008"),
    P("tocilizumab", "CRP 48 h later, relative to its start", "1", 0, 0.5, lambda: _blocked().at(239, "crp") / _blocked().at(191, "crp"), "Nishimoto 2008"),
    P("tocilizumab", "temperature 48 h later, against untreated", "degC", -3, -1, lambda: _blocked().at(239, "temperature") - tell("cart", 1).at(239, "temperature")),
    P("tocilizumab", "T-cell peak, against untreated", "1", 0.98, 1.02, lambda: _blocked().peak("t_cells") / tell("cart", 1).peak("t_cells"), "Stein 2019"),
    P("siltuximab", "viral, gain 4, at 94 h: total IL-6, against untreated", "fold", 3, 30, lambda: tell("viral", 4, "siltuximab", start=94.0).peak() / tell("viral", 4).peak()),
    P("siltuximab", "free IL-6 48 h later, against untreated", "1", 0, 0.1, lambda: _ratio(tell("viral", 4, "siltuximab", start=94.0), tell("viral", 4), 142, "il6_free")),
    *(P("CRP", f"viral, gain 4, {drug} at 94 h: CRP 48 h later, against untreated", "1", 0, 0.9, lambda drug=drug: _ratio(tell("viral", 4, drug, start=94.0), tell("viral", 4), 142, "crp"))
      for drug in ("baricitinib", "ruxolitinib", "dexamethasone", "methylprednisolone", "hydrocortisone")),
    P("HLH", "familial, gain 1: IL-6 peak", "pg/mL", 11, 139, lambda: tell("fhlh", 1).peak(), "22 (11-139), Blood 2007;110:4079"),
    P("HLH", "IL-6 at 21 d", "pg/mL", 11, 139, lambda: tell("fhlh", 1).at(504), "22 (11-139), Blood 2007;110:4079"),
    P("HLH", "IFN-gamma over IL-6 at 21 d", "fold", 10, 500, lambda: tell("fhlh", 1).at(504, "ifn_gamma") / tell("fhlh", 1).at(504), "4740 over 22, Blood 2007;110:4079"),
    P("HLH", "ferritin peak", "ng/mL", 10_000, 200_000, lambda: tell("fhlh", 1).peak("ferritin"), "> 10000"),
    P("HLH", "emapalumab from 168 h: ferritin at the end, against untreated", "1", 0, 0.1, lambda: tell("fhlh", 1, "emapalumab", start=168.0).end("ferritin") / tell("fhlh", 1).end("ferritin"), "Brossard 2025"),
    P("MAS", "gain 1: ferritin peak", "ng/mL", 5_000, 45_000, lambda: tell("mas", 1).peak("ferritin"), "15300 at baseline, Brossard 2025"),
    P("MAS", "emapalumab from 168 h: ferritin peak, against untreated", "1", 0, 0.5, lambda: tell("mas", 1, "emapalumab", start=168.0).peak("ferritin") / tell("mas", 1).peak("ferritin"), "Brossard 2025"),
    P("CAR-T", "gain 1: IFN-gamma peak", "pg/mL", 190, 2860, lambda: tell("cart", 1).peak("ifn_gamma"), "838, Lichtenstein 2021"),
    P("CAR-T", "gain 1: ferritin peak", "ng/mL", 2752, 106_438, lambda: tell("cart", 1).peak("ferritin"), "11544 without, 106438 with HLH, Lichtenstein 2021"),
    P("TGN1412", "healthy gain 1: IL-6 peak", "pg/mL", SEVERE_IL6, 10_000, lambda: tell("antibody", 1).peak(), "1e3-1e4, unverified"),
]
# fmt: on


def _dampened() -> Story:
    return tell("bacterial", 1, start=4.0, course=STEROID_TOO_LONG)


def _blocked() -> Story:
    return tell("cart", 1, "tocilizumab", start=191.0)


def main(cfg: DictConfig, folder: Path) -> int:
    """Measure every phenomenon, save and print. Returns 0 if all hold, 1 if not."""
    clock = time.perf_counter()
    hardware = device.start(**cfg.device)
    config_hash = begin(cfg, folder)
    rows = []
    with progress("phenomena") as report:
        for i, one in enumerate(PHENOMENA):
            obtained = one.measure()
            rows.append(
                {
                    "group": one.group,
                    "phenomenon": one.what,
                    "unit": one.unit,
                    "expected": one.expected,
                    "obtained": obtained,
                    "holds": one.low <= obtained <= one.high,
                    "source": one.source,
                }
            )
            report(i + 1, len(PHENOMENA))
    table = pd.DataFrame(rows)
    table.to_csv(folder / "phenomena.csv", index=False)
    held = sum(row["holds"] for row in rows)
    shown = table.drop(columns=["source"]).assign(holds=["yes" if row["holds"] else "NO" for row in rows])
    console.print(shown.to_string(index=False, float_format="{:.4g}".format), highlight=False, soft_wrap=True)
    console.print(f"{held} of {len(rows)} hold", highlight=False)
    total = time.perf_counter() - clock
    end(folder, "phenomena", device=hardware, seed=cfg.seed, config_sha256=config_hash, seconds={"total": total})
    console.print(str(folder), highlight=False, soft_wrap=True)
    return 0 if held == len(rows) else 1
