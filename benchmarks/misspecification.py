"""What do the checks of a fit see of a model that is wrong, and how often do they cry wolf at one that is right?

    python benchmarks/misspecification.py [NUM] [CASE ...]      writes the end of docs/checks.md

Two boluses of LPS a day apart, IL-6 read twelve times a day, a limit of quantification: in every replicate a truth is drawn
from the prior, readings are drawn for it, something is done to them or to the model, and the fit is checked as
`cytostorm fit` checks it. Four times NUM (default 100) of the right models, NUM of every wrong one. Replicates
that runs/misspecification.json holds already are not made again: a call that was killed continues.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import cytostorm.inference as ci
from cytostorm.inference.calibration.ranks import likely
from cytostorm.inference.calibration.replicates import assay, given, posed
from cytostorm.inference.checking.findings import FLAGGED, NOTED, checked
from cytostorm.inference.keys import branches, root
from cytostorm.inference.verdict import largest_rhat
from cytostorm.models import Minimal, Scenario, bolus, replace

ROOT = Path(__file__).parent.parent
RESULTS, PAGE, MARK = ROOT / "runs" / "misspecification.json", ROOT / "docs" / "checks.md", "## Power\n"
ONE_DAY = np.array([0.0, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 12])
TIMES, FEW = np.concatenate([ONE_DAY, 24 + ONE_DAY]), np.array([1.5, 3, 6, 12, 25.5, 27, 30, 36])
LIMIT = 1.0  # of quantification [pg/mL]
STORY = Scenario(bolus("lps", 2.0) + bolus("lps", 2.0, 24.0))
MODEL = replace(Minimal(), {"k_r": jax.numpy.asarray(0.05)})  # a brake that remembers yesterday
PRIORS = {
    "gamma": {"median": 0.9, "fold": 1.7},
    "k_l": {"median": 1.6, "fold": 1.7},
    "u0": {"median": 8700.0, "fold": 2.0},
    "w_l": {"median": 1.5, "fold": 1.3},
    "w_r": {"median": 6.0, "fold": 2.0},
}
NOISE = ci.LogNormal(sigma=ci.Prior(0.15, 1.5))
DOUBTFUL = 1.02  # R-hat
BLOCK = 10  # replicates that are written together


class Case(NamedTuple):
    """Something that is wrong: how readings scatter, which are changed, when they say they were taken, and the model."""

    title: str
    noise: str = "log-normal"
    factor: float = 1.0  # of one reading, or by chance its inverse
    late: float = 0.0  # hours that the second day's clock is ahead
    brake: bool = True  # whether the model has its negative feedback
    strength: float = 1.0  # of the true one, in units of what the prior says
    times: np.ndarray = TIMES

    @property
    def right(self) -> bool:
        """Whether nothing is wrong."""
        return self._replace(title="", times=TIMES)[:-1] == Case("")[:-1]


CASES = {
    "right": Case("nothing: the right model"),
    "right_few": Case("nothing, eight readings", times=FEW),
    "tails": Case("noise of Student's t with 2 degrees of freedom", noise="t"),
    "tails_mild": Case("noise of Student's t with 4 degrees of freedom", noise="t4"),
    "additive": Case("additive noise of SD 5 pg/mL in place of log-normal noise", noise="additive"),
    "outlier": Case("one reading doubled or halved", factor=2.0),
    "outlier_mild": Case("one reading 1.5 times too large or small", factor=1.5),
    "outlier_few": Case("one of eight readings doubled or halved", factor=2.0, times=FEW),
    "brake": Case("no negative feedback in the model", brake=False),
    "brake_mild": Case("no negative feedback in the model, a quarter of it in truth", brake=False, strength=0.25),
    "clock": Case("the second day's clock two hours ahead", late=2.0),
    "clock_mild": Case("the second day's clock half an hour ahead", late=0.5),
}
SCATTER = {
    "log-normal": lambda rng, f, sigma: f * np.exp(sigma * rng.standard_normal(f.shape)),
    "t": lambda rng, f, sigma: f * np.exp(sigma * rng.standard_t(2, f.shape)),
    "t4": lambda rng, f, sigma: f * np.exp(sigma * rng.standard_t(4, f.shape)),
    "additive": lambda rng, f, sigma: f + 5.0 * rng.standard_normal(f.shape),
}


def problem(times: np.ndarray, brake: bool = True) -> ci.Problem:
    """The problem of readings at these times, whose values do not count."""
    num = len(times)
    blank = (np.zeros(num, int), np.ones(num), np.zeros(num, int), np.zeros(num))
    data = ci.Observations(("S1",) * num, ("il6",) * num, times, np.full(num, 10.0), *blank)
    model = MODEL if brake else replace(MODEL, {"w_r": jax.numpy.asarray(0.0)})
    return ci.Problem(model, STORY, data, ci.Priors(**{k: v for k, v in PRIORS.items() if brake or k != "w_r"}), NOISE)


def truths(case: Case, first: int, last: int, seed: int) -> list[np.ndarray | None]:
    """Readings without a limit of these replicates; None where the truth cannot be solved."""
    true = problem(np.where(case.times >= 24, case.times - case.late, case.times))
    rngs = [np.random.default_rng([seed, i]) for i in range(first, last)]
    z = np.stack([rng.standard_normal(true.sites.size) for rng in rngs])
    values = {name: np.array(x) for name, x in true.sites.values(np.asarray(true.sites.drawn(z))).items()}
    values["w_r"] *= case.strength
    log_f, okay = jax.jit(jax.vmap(true.read))(values)
    found: list[np.ndarray | None] = []
    for rng, f, sigma, solved in zip(rngs, np.exp(np.asarray(log_f)), values["sigma"], np.asarray(okay), strict=True):
        y = SCATTER[case.noise](rng, f, sigma)
        spoilt = rng.choice(np.flatnonzero(f > 2 * LIMIT))  # of those that can be read
        y[spoilt] *= case.factor ** rng.choice([-1.0, 1.0])
        found.append(y if solved else None)
    return found


def one(case: Case, density: ci.Density, about: ci.Problem, value: np.ndarray, key: Any) -> dict[str, Any] | None:
    """What the checks of one replicate say; None where it cannot be fitted."""
    data = assay(about.data, low=LIMIT).read(about.data, value)
    posed = ci.Problem(about.model, STORY, data, about.priors, NOISE)
    key_sample, key_rest = branches(key, 2)
    try:
        draws = ci.Independence(num_draws=500, num_points=1024, num_rounds=6).sample(
            given(density, about, data, False), key_sample
        )
    except ci.Stuck:
        return None
    found = checked(ci.assemble(posed, draws, key_rest), data).table.set_index("check")
    doubtful = max(largest_rhat(np.asarray(x)) for x in draws.values.values()) > DOUBTFUL
    tests = found[found["kind"] == "test"]
    return {
        "p": {name: round(float(x), 5) for name, x in tests["p"].items()},
        "flagged": list(found.index[found["result"] == FLAGGED]),
        "noted": list(found.index[found["result"] == NOTED]),
        "doubtful": bool(doubtful),
    }


def run(name: str, num: int, known: dict[str, Any]) -> None:
    """So many replicates of a case; those that are known already stay, and the others are written as they come."""
    case, seed = CASES[name], list(CASES).index(name)
    about = problem(case.times, case.brake)
    density = posed(about, assay(about.data, low=LIMIT), False)
    mine = known.setdefault(name, {"fits": [], "seconds": 0.0})
    for first in range(len(mine["fits"]), num, BLOCK):
        clock, last = time.process_time(), min(first + BLOCK, num)
        keys = branches(root(1000 + seed), last)[first:]
        for value, key in zip(truths(case, first, last, seed), keys, strict=True):
            mine["fits"].append(None if value is None else one(case, density, about, value, key))
        mine["seconds"] += time.process_time() - clock
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(known))
    fits = there(mine)[:num]
    print(f"{name}: {len(fits)} of {num} fitted, {sum(bool(x['flagged']) for x in fits)} flagged", flush=True)


def there(one: dict[str, Any]) -> list[dict[str, Any]]:
    """The replicates that could be solved and fitted."""
    return [x for x in one["fits"] if x is not None]


def share(fits: list[dict], name: str, of: str = "flagged") -> float:
    """The share of fits of which a check is flagged, or any."""
    return float(np.mean([bool(x[of]) if name == "any" else name in x[of] for x in fits]))


def markdown(known: dict[str, dict]) -> str:
    """The table of power, that of false alarms, and that of hints."""
    tests = list(there(known["right"])[0]["p"])
    hints = ["influential readings", "influence on parameters", "power scaling"]
    lines = [f"| what is wrong | fits | **any test** (95 %) | {' | '.join(tests)} |", "|---" * (len(tests) + 3) + "|"]
    for name in (name for name in CASES if name in known):
        fits = there(known[name])
        low, high = likely(share(fits, "any"), len(fits))
        cells = " | ".join(f"{share(fits, test):.0%}" for test in tests)
        title = f"**{CASES[name].title}**" if CASES[name].right else CASES[name].title
        lines.append(f"| {title} | {len(fits)} | **{share(fits, 'any'):.0%}** ({low:.0%} to {high:.0%}) | {cells} |")
    lines += ["", "p-values of the right model, before they are counted together; nominally 5 %, 1 %:", ""]
    lines += ["| test | below 0.05 | below 0.01 | of eight readings: below 0.05 | 0.01 |", "|---|---|---|---|---|"]
    for test in tests:
        cells = []
        for name in ("right", "right_few"):
            p = np.array([x["p"][test] for x in there(known[name])]) if name in known else np.full(1, np.nan)
            cells += [f"{np.mean(p <= level):.1%}" for level in (0.05, 0.01)]
        lines.append(f"| {test} | {' | '.join(cells)} |")
    lines += ["", "How often hints are noted, which have no stated rate:", ""]
    lines += [f"| what is wrong | {' | '.join(hints)} |", "|---" * (len(hints) + 1) + "|"]
    for name in (name for name in CASES if name in known):
        cells = " | ".join(f"{share(there(known[name]), hint, 'noted'):.0%}" for hint in hints)
        lines.append(f"| {CASES[name].title} | {cells} |")
    lost = sum(len(one["fits"]) - len(there(one)) for one in known.values())
    doubtful = sum(x["doubtful"] for one in known.values() for x in there(one))
    total, seconds = sum(len(one["fits"]) for one in known.values()), sum(one["seconds"] for one in known.values())
    text = f"{total} replicates, {lost} not solved or not fitted, {doubtful} with R-hat above {DOUBTFUL};"
    return "\n".join([f"{text} {seconds / 60:.0f} min of one processor.", "", *lines]) + "\n"


def main(arguments: list[str]) -> None:
    """Run what is not there, and write it down."""
    num = int(arguments[0]) if arguments and arguments[0].isdigit() else 100
    names = [x for x in arguments if not x.isdigit()] or list(CASES)
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in names:
        run(name, 4 * num if CASES[name].right else num, known)
    text = markdown({name: known[name] for name in CASES if name in known})
    PAGE.write_text(PAGE.read_text().split(MARK)[0] + MARK + "\n" + text)


if __name__ == "__main__":
    main(sys.argv[1:])
