"""May this posterior be used? A pass or a fail, with reasons."""

import arviz_stats as azs
import numpy as np
import xarray as xr
from pydantic import BaseModel

RHAT = 1.01  # Vehtari et al., Bayesian Analysis 2021;16:667
ESS = 400.0  # 100 per chain at four chains, ibid.
BFMI = 0.3  # Betancourt, arXiv:1604.00695
FAILED = 0.01
FAILED_IN_CHAIN = 0.05


class Verdict(BaseModel):
    """What was checked of a fit, and the reasons why it does not pass; none means that it passes."""

    rhat_max: float
    ess_bulk_min: float
    ess_tail_min: float
    num_divergences: int
    bfmi_min: float
    num_solves: int
    num_failed_solves: int
    failed_share_max: float = 0.0
    reasons: list[str]

    @property
    def passed(self) -> bool:
        """True if every check holds."""
        return not self.reasons

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        head = "PASS" if self.passed else "FAIL: do not use this posterior"
        facts = (
            f"R-hat <= {self.rhat_max:.4f}, bulk ESS >= {self.ess_bulk_min:.0f}, tail ESS >= {self.ess_tail_min:.0f},"
            f" {self.num_divergences} divergences, E-BFMI >= {self.bfmi_min:.2f},"
            f" {self.num_failed_solves} of {self.num_solves} solves failed and were rejected"
        )
        return "\n".join([f"{head} ({facts})", *(f"  - {reason}" for reason in self.reasons)])


def judge(tree: xr.DataTree, num_solves: int, num_failed_solves: int) -> Verdict:
    """The verdict on a posterior: R-hat, bulk and tail ESS, divergences, E-BFMI, failed solves."""
    posterior = tree["posterior"].to_dataset()

    def extreme(result: xr.Dataset, pick) -> float:
        values = np.array([float(result[name]) for name in result.data_vars])
        return float(pick(values)) if np.isfinite(values).all() else float("nan")

    rhat = extreme(azs.rhat(posterior), np.max)
    bulk = extreme(azs.ess(posterior, method="bulk"), np.min)
    tail = extreme(azs.ess(posterior, method="tail"), np.min)
    bfmi = float(np.min(azs.bfmi(tree["sample_stats"]["energy"].values)))
    divergences = int(np.sum(tree["sample_stats"].to_dataset()["diverging"].values))
    share = float(np.max(tree["sample_stats"].attrs.get("failed_share", 0.0)))
    # Each check is written so that a value that is not a number fails it.
    checks = [
        (rhat < RHAT, f"R-hat {rhat:.3f} is not below {RHAT}: chains disagree; draw more, or look for several modes"),
        (bulk > ESS, f"bulk ESS {bulk:.0f} is not above {ESS:.0f}: draw more"),
        (tail > ESS, f"tail ESS {tail:.0f} is not above {ESS:.0f}: draw more"),
        (divergences == 0, f"{divergences} divergences: raise `sampler.target_accept` or narrow the priors"),
        (bfmi > BFMI, f"E-BFMI {bfmi:.2f} is not above {BFMI}: heavy tails; reparametrise or narrow the priors"),
        (
            num_failed_solves <= FAILED * num_solves,
            f"{num_failed_solves} of {num_solves} solves failed, more than {FAILED:.0%}:"
            " narrow the priors or raise `solver.max_steps`",
        ),
        (
            share <= FAILED_IN_CHAIN,
            f"after warm-up {share:.1%} of the solves of one chain failed, more than {FAILED_IN_CHAIN:.0%}:"
            " it lies where the model cannot be solved; narrow the priors or raise `solver.max_steps`",
        ),
    ]
    return Verdict(
        rhat_max=rhat,
        ess_bulk_min=bulk,
        ess_tail_min=tail,
        num_divergences=divergences,
        bfmi_min=bfmi,
        num_solves=num_solves,
        num_failed_solves=num_failed_solves,
        failed_share_max=share,
        reasons=[reason for okay, reason in checks if not okay],
    )
