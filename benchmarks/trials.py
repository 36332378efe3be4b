"""Virtual trials: do directions known from trials hold in the model, over patients drawn from the prior?

    python benchmarks/trials.py      writes docs/trials.md

Every patient is compared with itself from one decision on: treated and untreated share the past (no immortal time).
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cytostorm.inference.decisions.counterfactual import BURDEN, compare
from cytostorm.inference.decisions.options import NOW, Clock, options
from cytostorm.inference.decisions.outcomes import Doublings, Peak
from cytostorm.inference.decisions.patients import expected
from cytostorm.inference.keys import root
from cytostorm.inference.results.choices import courses_of
from cytostorm.models import Treatment
from cytostorm.scripts.compose import build, composed
from cytostorm.scripts.data import place
from cytostorm.scripts.problem import world

PAGE = Path(__file__).parent.parent / "docs" / "trials.md"
NUM, UNTIL, TIMES = 400, 672.0, 337
SEVERE = 0.3  # peak damage
CLOCKS = {
    "fever": Clock("fever", "temperature", 38.0),
    "inflamed": Clock("inflamed", "crp", 75.0),
    "injured": Clock("injured", "damage", 0.1),
}
PULSE = {"drug": "dexamethasone", "dose": 40.0, "number": 56, "interval_h": 12.0}  # 80 mg a day for 28 days


@dataclasses.dataclass(frozen=True)
class Effect:
    """What a treatment did to those whom the trial took in: risks and means of treated and untreated."""

    number: int
    ratio: float
    damage: float
    burden: float

    def __str__(self) -> str:
        ratio = "nobody at risk" if np.isnan(self.ratio) else f"risk ratio {self.ratio:.2f}"
        parts = f"{ratio}, damage {self.damage:+.3f}, infection {self.burden:+.2f} doublings"
        return f"{parts} ({self.number} patients)"


def trial(trigger: str, treatment: str | Treatment, clock: str, delay: float = 0.0, mild: bool | None = None) -> Effect:
    """A treatment `delay` hours after a clock strikes, in patients in whom it does; `mild` ones are never inflamed."""
    cfg = composed("compare", [f"trigger={trigger}", "solver.rtol=1e-5", "solver.atol=1e-7"])
    model, story, solver = world(cfg)
    people = expected(model, story, build(cfg.prior), solver, 0.0, NUM, root(0))
    given = courses_of(treatment) if isinstance(treatment, str) else treatment
    arms = options({"a": given}, {"a": [delay]}, {"a": [1.0]}, {"a": CLOCKS.get(clock, Clock(NOW))})
    read = {"damage": Peak("damage"), "burden": Doublings(BURDEN), "crp": Peak("crp")}
    found = compare(people, arms, read, UNTIL, TIMES, [])
    taken = found.whole[0] & np.isfinite(found.start[1, 0])
    if mild is not None:
        taken &= (found.outcome[0, 0, :, 2] < CLOCKS["inflamed"].above) == mild
    damage, burden = found.outcome[:, 0, taken, 0], found.outcome[:, 0, taken, 1]
    risk = (damage > SEVERE).mean(axis=1)
    ratio = risk[1] / risk[0] if risk[0] else float("nan")  # nobody was at risk
    return Effect(int(taken.sum()), float(ratio), float((damage[1] - damage[0]).mean()), float(burden[1].mean()))


@dataclasses.dataclass(frozen=True)
class Row:
    """A direction that trials found, the virtual trials beside it, and whether they agree."""

    claim: str
    source: str
    told: tuple[tuple[str, Effect], ...]
    holds: Callable[..., bool]


def rows() -> list[Row]:
    """All directions."""
    both = "tocilizumab+dexamethasone"
    early = trial("viral", "tocilizumab", "inflamed")
    late = trial("viral", "tocilizumab", "injured", 48)
    steroid, mild = trial("viral", "dexamethasone", "injured"), trial("viral", "dexamethasone", "fever", mild=True)
    soon, antiviral = trial("viral", "antiviral", "trigger", 24), trial("viral", "antiviral", "injured", 24)
    single, combined = trial("viral", "dexamethasone", "injured", 24), trial("viral", both, "injured", 24)
    alone = trial("viral", "tocilizumab", "injured", 24)
    long, usual = trial("bacterial", Treatment(0.0, pulse=PULSE), "fever"), trial("bacterial", "dexamethasone", "fever")
    return [
        Row(
            "IL-6R blockade helps the inflamed",
            "RECOVERY: CRP >= 75 mg/L, RR 0.85 (0.76-0.94); 15 trials, RR 0.90 (Belletti 2021)",
            (("tocilizumab as CRP exceeds 75 mg/L", early),),
            lambda: early.ratio < 0.95 and early.damage < 0,
        ),
        Row(
            "and less once organs have been injured for two days",
            "REMAP-CAP within 24 h of organ support, aOR 1.64 for fewer days of support; sarilumab 2020, null",
            (("as CRP exceeds 75 mg/L", early), ("48 h after damage exceeds 0.1", late)),
            lambda: late.ratio > early.ratio,
        ),
        Row(
            "Steroids help the injured",
            "RECOVERY: on oxygen RR 0.82, ventilated 0.64",
            (("dexamethasone as damage exceeds 0.1", steroid),),
            lambda: steroid.ratio < 0.95 and steroid.damage < 0,
        ),
        Row(
            "and are neutral to harmful in mild infection",
            "RECOVERY: without oxygen RR 1.19 (0.92-1.55)",
            (("dexamethasone at fever, CRP never above 75 mg/L", mild),),
            lambda: mild.damage > -0.01 and mild.burden > 0,
        ),
        Row(
            "A late anti-infective alone fails",
            "ACTT-1: benefit early; none in the ventilated (design)",
            (("antiviral at 24 h", soon), ("24 h after damage exceeds 0.1", antiviral)),
            lambda: antiviral.ratio > 0.9 and soon.ratio < antiviral.ratio,
        ),
        Row(
            "Late, a combination beats either drug",
            "RECOVERY: 82 % of the tocilizumab arm had steroids",
            (("dexamethasone", single), ("tocilizumab", alone), ("both, 24 h after damage exceeds 0.1", combined)),
            lambda: combined.damage < min(single.damage, alone.damage),
        ),
        Row(
            "Too much for too long harms",
            "design: over-dampening lets the infection escape",
            (("bacterial: dexamethasone 6 mg for 10 days at fever", usual), ("80 mg for 28 days", long)),
            lambda: long.burden > usual.burden and long.damage > 0,
        ),
    ]


HEAD = """# Virtual trials

What trials found, and what the storm network does in {num} patients drawn from its prior (`configs/prior/network.yaml`;
`python benchmarks/trials.py` writes this page). The endpoint is a peak of tissue damage above {severe:g}, which is no death:
directions can be compared, sizes cannot. Every patient is compared with itself from one decision on, so that nobody is
counted as treated for having lived long enough; who never reaches the decision is left out of both arms. What must hold for
a yes was written down before the first run.

| trials | virtual trial: treated against untreated | agrees |
|---|---|---|"""


def page(found: list[Row]) -> str:
    """The page in Markdown."""
    lines = [HEAD.format(num=NUM, severe=SEVERE)]
    for row in found:
        told = "<br>".join(f"{name}: {effect}" for name, effect in row.told)
        lines.append(f"| **{row.claim}**<br>{row.source} | {told} | {'yes' if row.holds() else '**no**'} |")
    against = [row.claim for row in found if not row.holds()]
    said = f"The model disagrees with: {'; '.join(against)}." if against else "The model disagrees with none of these."
    lines += ["", f"{said} Where both can be told, its effects are far larger than those of trials.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    place()
    text = page(rows())
    PAGE.write_text(text)
    print(text)
