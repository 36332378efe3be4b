"""May this posterior be used? A pass or a fail, with reasons."""

from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float
from pydantic import BaseModel

RHAT = 1.01  # Vehtari et al., Bayesian Analysis 2021;16:667
ESS = 400.0  # 100 per chain at four chains, ibid.
BFMI = 0.3  # Betancourt, arXiv:1604.00695
PARETO_K = 0.7  # Vehtari et al., J Mach Learn Res 2024;25:72
FAILED = 0.01
FAILED_IN_CHAIN = 0.05


class Verdict(BaseModel):
    """What was checked of a fit, and the reasons why it does not pass; none means that it passes."""

    rhat_max: float
    ess_bulk_min: float
    ess_tail_min: float
    num_divergences: int | None
    bfmi_min: float | None
    pareto_k: float | None = None
    weights_ess: float | None = None
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
        return "\n".join([f"{head} ({self.facts})", *(f"  - {reason}" for reason in self.reasons)])

    @property
    def facts(self) -> str:
        """What was checked, in a line."""
        facts = [f"R-hat <= {self.rhat_max:.4f}, bulk ESS >= {self.ess_bulk_min:.0f}, tail ESS >= {self.ess_tail_min:.0f}"]
        if self.num_divergences is not None:
            facts.append(f"{self.num_divergences} divergences")
        if self.bfmi_min is not None:
            facts.append(f"E-BFMI >= {self.bfmi_min:.2f}")
        if self.pareto_k is not None:
            facts.append(f"Pareto k {self.pareto_k:.2f}")
        if self.weights_ess is not None:
            facts.append(f"weights worth {self.weights_ess:.0f} draws")
        facts.append(f"{self.num_failed_solves} of {self.num_solves} solves failed and were rejected")
        return ", ".join(facts)


def judge(tree: xr.DataTree, num_solves: int, num_failed_solves: int) -> Verdict:
    """The verdict on a posterior: R-hat, bulk and tail ESS, failed solves, and what its sampler tells beside the draws.

    Chains that started in groups are judged by nested R-hat.
    """
    import arviz_stats as azs  # late: it takes long to import, and a fit needs it last

    posterior, stats = tree["posterior"].to_dataset(), tree["sample_stats"].to_dataset()
    # What follows from nothing that is sampled is one number. Where all is, no chain has moved: that is not judged as good.
    moves = [name for name, x in posterior.items() if np.ptp(x.values) != 0]
    posterior = posterior[moves] if moves else posterior.map(lambda x: x * np.nan)

    def extreme(result: xr.Dataset, pick) -> float:
        values = np.concatenate([np.ravel(result[name].values) for name in result.data_vars])
        return float(pick(values)) if np.isfinite(values).all() else float("nan")

    groups = stats.attrs.get("superchain")
    rhat = extreme(azs.rhat(posterior) if groups is None else azs.rhat_nested(posterior, superchain_ids=groups), np.max)
    bulk = extreme(azs.ess(posterior, method="bulk"), np.min)
    tail = extreme(azs.ess(posterior, method="tail"), np.min)
    bfmi = float(np.min(azs.bfmi(stats["energy"].values))) if "energy" in stats else None
    divergences = int(np.sum(stats["diverging"].values)) if "diverging" in stats else None
    shape, worth = stats.attrs.get("pareto_k"), stats.attrs.get("weights_ess")
    taken = posterior.sizes["chain"] * posterior.sizes["draw"]
    share = float(np.max(stats.attrs.get("failed_share", 0.0)))
    where = _where(posterior, stats.attrs.get("failed_by_subject", ()))
    # Each check is written so that a value that is not a number fails it.
    checks = [
        (rhat < RHAT, f"R-hat {rhat:.3f} is not below {RHAT}: chains disagree; draw more, or look for several modes"),
        (bulk > ESS, f"bulk ESS {bulk:.0f} is not above {ESS:.0f}: draw more"),
        (tail > ESS, f"tail ESS {tail:.0f} is not above {ESS:.0f}: draw more"),
        (not divergences, f"{divergences} divergences: raise `sampler.target_accept` or narrow the priors"),
        (
            bfmi is None or bfmi > BFMI,
            f"E-BFMI {bfmi or 0:.2f} is not above {BFMI}: heavy tails; reparametrise or narrow the priors",
        ),
        (
            shape is None or shape <= PARETO_K,
            f"Pareto k {shape or 0:.2f} is above {PARETO_K}: the approximation misses the posterior; use sampler=nuts,"
            " or with independence raise `sampler.num_points`",
        ),
        (
            worth is None or worth >= taken,
            f"the weights are worth {worth or 0:.0f} draws, fewer than the {taken} taken:"
            " the approximation misses a part of the posterior; use sampler=nuts",
        ),
        (
            num_failed_solves <= FAILED * num_solves,
            f"{num_failed_solves} of {num_solves} solves failed{where}, more than {FAILED:.0%}:"
            " narrow the priors or raise `solver.max_steps`",
        ),
        (
            share <= FAILED_IN_CHAIN,
            f"after warm-up {share:.1%} of the solves of one chain failed{where}, more than {FAILED_IN_CHAIN:.0%}:"
            " it lies where the model cannot be solved; narrow the priors or raise `solver.max_steps`",
        ),
    ]
    return Verdict(
        rhat_max=rhat,
        ess_bulk_min=bulk,
        ess_tail_min=tail,
        num_divergences=divergences,
        bfmi_min=bfmi,
        pareto_k=shape,
        weights_ess=worth,
        num_solves=num_solves,
        num_failed_solves=num_failed_solves,
        failed_share_max=share,
        reasons=[reason for okay, reason in checks if not okay],
    )


def passed(tree: xr.DataTree) -> bool:
    """Whether a fit passed its verdict; false for a tree that holds none."""
    return "verdict" in tree.attrs and Verdict.model_validate_json(tree.attrs["verdict"]).passed


def largest_rhat(x: Float[np.ndarray, "chain draw *entry"]) -> float:
    """The largest rank-normalised R-hat of the entries of draws that stand in no tree."""
    from arviz_stats.base import array_stats  # late, as above

    each = x.reshape(*x.shape[:2], -1)
    return max(float(np.asarray(array_stats.rhat(each[..., i], 0, 1))) for i in range(each.shape[-1]))


def _where(posterior: xr.Dataset, failed: Any) -> str:
    """The subject that could not be solved most often, in words; nothing where there is one subject, or none failed."""
    failed = np.atleast_1d(failed)
    if "subject" not in posterior.coords or len(failed) != posterior.sizes["subject"] or not failed.any():
        return ""
    worst = int(failed.argmax())
    return f" (most often for subject {posterior['subject'].values[worst]!s}, {failed[worst]} times)"
