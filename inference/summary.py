"""Tables of a posterior: what was learned of each parameter, and how readings compare with predictions."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from .samplers import thinned

SOME = 1e-9  # what varies less in the prior follows from nothing that is sampled
FEWEST, NUM_RANKED = 5, 500  # subjects to correlate over, and draws
# A contraction below the first hardly moves the prior; from the second on the data determine the value.
LESSONS = ((0.5, "hardly"), (0.8, "partly"), (np.inf, "well"))


def summary(tree: xr.DataTree) -> pd.DataFrame:
    """One row per parameter and derived quantity; of vectors, but those over subjects, one per entry.

    Columns: symbol, unit, median, sd, the 90 % interval (q5, q95), rank-normalised R-hat, bulk and tail ESS, prior
    median and 90 % interval, the prior-to-posterior contraction $1 - \\mathrm{Var}_{post}/\\mathrm{Var}_{prior}$ of the
    logarithm, and what the data teach of it in a word: well (0.8 or more), partly, hardly (below 0.5),
    or fixed where it follows from nothing that is sampled.
    """
    import arviz_stats as azs  # late: it takes long to import, and a fit needs it last

    posterior, prior = tree["posterior"].to_dataset(), tree["prior"].to_dataset()
    posterior = posterior[[name for name, x in posterior.data_vars.items() if "subject" not in x.dims]]
    with np.errstate(invalid="ignore"):  # what follows from nothing that is sampled has no R-hat
        rhat, bulk, tail = azs.rhat(posterior), azs.ess(posterior, method="bulk"), azs.ess(posterior, method="tail")
    rows = {}
    for label, name, at in entries(posterior):
        draws = posterior[name]
        x, p, attributes = draws.isel(at).values.ravel(), prior[name].isel(at).values.ravel(), draws.attrs
        plain = np.log if np.all(x > 0) and np.all(p > 0) else np.asarray
        log_sd = attributes.get("prior_log_sd", np.std(plain(p)))
        contraction = 1 - np.var(plain(x)) / log_sd**2 if log_sd > SOME else 0.0
        rows[label] = {
            "symbol": attributes["symbol"],
            "unit": attributes["units"],
            "median": np.median(x),
            "sd": np.std(x),
            "q5": np.quantile(x, 0.05),
            "q95": np.quantile(x, 0.95),
            "r_hat": float(rhat[name].isel(at)),
            "ess_bulk": float(bulk[name].isel(at)),
            "ess_tail": float(tail[name].isel(at)),
            "prior_median": attributes.get("prior_median", np.median(p)),
            "prior_q5": np.quantile(p, 0.05),
            "prior_q95": np.quantile(p, 0.95),
            "contraction": contraction,
            "taught": taught(contraction) if log_sd > SOME else "fixed",
            "meaning": attributes["meaning"],
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("parameter")


def taught(contraction: float) -> str:
    """What the data teach of a quantity, in a word."""
    return next(word for bound, word in LESSONS if contraction < bound)


def records(table: Any) -> list[dict[str, Any]]:
    """The rows of a table, by column."""
    return table.to_dict("records")


def entries(posterior: xr.Dataset) -> Iterator[tuple[str, str, dict[str, int]]]:
    """Label, name and index of every number of a posterior: `omega` of an effect is `omega[k_fb]`."""
    for name, draws in posterior.data_vars.items():
        more = [str(dim) for dim in draws.dims if dim not in ("chain", "draw")]
        if not more:
            yield str(name), str(name), {}
            continue
        for i, entry in enumerate(draws[more[0]].values):
            yield f"{name}[{entry}]", str(name), {more[0]: i}


def individuals(tree: xr.DataTree) -> pd.DataFrame:
    """One row per subject and parameter that differs between subjects: median and 90 % interval."""
    rows = []
    for name, draws in tree["posterior"].to_dataset().data_vars.items():
        if str(name).startswith("subject_"):
            low, middle, high = draws.quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).values
            table = {"subject": draws["subject"].values, "parameter": str(name).removeprefix("subject_")}
            rows.append(pd.DataFrame(table | {"median": middle, "q5": low, "q95": high, "unit": draws.attrs["units"]}))
    return pd.concat(rows, ignore_index=True)


def related(tree: xr.DataTree) -> pd.DataFrame:
    """One row per parameter that differs between subjects and covariate: how their ranks go together.

    Spearman's correlation over subjects in each of some draws: median and 90 % interval, and the number of subjects. They
    are not corrected for their number, and say nothing of causes. Covariates that fewer than `FEWEST` subjects have, or
    that are the same in all, are left out.
    """
    from scipy.stats import rankdata  # late: it takes a sixth of the import of the package

    posterior, known = tree["posterior"].to_dataset(), tree["constant_data"].to_dataset()["covariates"]
    rows = []
    for effect in posterior["effect"].values:
        each = posterior[f"subject_{effect}"].stack(sample=("chain", "draw")).transpose("sample", "subject").values
        each = each[thinned(len(each), NUM_RANKED)]
        for name in known["covariate"].values:
            x = known.sel(covariate=name).values
            there = np.isfinite(x)
            if there.sum() < FEWEST or np.ptp(x[there]) == 0:
                continue
            a, b = rankdata(each[:, there], axis=1), rankdata(x[there])
            a, b = a - a.mean(axis=1, keepdims=True), b - b.mean()
            rho = a @ b / np.sqrt((a**2).sum(axis=1) * (b**2).sum())
            low, middle, high = np.quantile(rho, [0.05, 0.5, 0.95])
            found = {"parameter": effect, "covariate": name, "rank_correlation": middle, "q5": low, "q95": high}
            rows.append(found | {"num_subjects": int(there.sum())})
    columns = ["parameter", "covariate", "rank_correlation", "q5", "q95", "num_subjects"]
    return pd.DataFrame(rows, columns=columns)


def shrinkage(tree: xr.DataTree) -> pd.Series:
    """How far each parameter's subjects are drawn to the median: $1 - \\mathrm{SD}_s(\\bar b_s)/\\omega$ of means."""
    posterior, found = tree["posterior"].to_dataset(), {}
    for name in posterior["effect"].values:
        deviation = np.log(posterior[f"subject_{name}"]) - np.log(posterior[name])
        found[name] = 1 - float(deviation.mean(("chain", "draw")).std(ddof=1) / posterior["omega"].sel(effect=name).mean())
    return pd.Series(found, name="shrinkage")


def fitted(tree: xr.DataTree) -> pd.DataFrame:
    """One row per reading: its value, the posterior predictive median and 50 and 90 % intervals."""
    observed = tree["observed_data"].to_dataset()
    constant = tree["constant_data"].to_dataset()
    y = tree["posterior_predictive"]["y"].stack(sample=("chain", "draw"))
    q = y.quantile([0.05, 0.25, 0.5, 0.75, 0.95], dim="sample").values
    value = observed["y"].values
    return pd.DataFrame(
        {
            "subject": observed["subject"].values,
            "analyte": observed["analyte"].values,
            "time_h": observed["time"].values,
            "value": value,
            "cens": constant["cens"].values,
            "predicted": q[2],
            "q5": q[0],
            "q25": q[1],
            "q75": q[3],
            "q95": q[4],
            "inside_90": inside(value, constant["cens"].values, q[0], q[4]),
        }
    )


def plain(x: Any) -> str:
    """A number in three significant digits, without an exponent where it can be read without one."""
    return f"{x:.3g}" if abs(x) < 1000 or abs(x) >= 1e6 else f"{float(f'{x:.3g}'):,.0f}"


def recovery(table: pd.DataFrame, truth: dict[str, float]) -> pd.DataFrame:
    """One row per parameter with known truth: whether the 90 % interval holds it, and the contraction."""
    known = table.loc[[name for name in table.index if name in truth], ["median", "q5", "q95", "contraction"]]
    known.insert(0, "truth", [truth[str(name)] for name in known.index])
    return known.assign(inside_90=(known["q5"] <= known["truth"]) & (known["truth"] <= known["q95"]))


def lesson(table: pd.DataFrame) -> list[str]:
    """In words, what the data teach of the feedback gain and of the IL-6 clearance, where both were sampled."""
    words = {
        "well": "the data determine it",
        "partly": "the data narrow it",
        "hardly": "the data hardly inform it: this is mostly the prior",
        "fixed": "it follows from nothing that was sampled",
    }
    names = {
        "gamma": "Feedback gain",
        "k_fb": "Feedback gain",
        "margin": "Margin to the critical gain",
        "k_l": "IL-6 clearance",
        "k_il6_rm": "IL-6 clearance by receptors",
        "k_il6_np": "IL-6 clearance by other routes",
    }
    return [
        f"{text}: contraction {table.loc[name, 'contraction']:.2f}, {words[str(table.loc[name, 'taught'])]}."
        for name, text in names.items()
        if name in table.index and (name != "gamma" or "margin" in table.index)  # any model may call something so
    ]


def inside(value: np.ndarray, cens: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Whether a reading agrees with an interval; a censored one only needs the interval to reach past its limit."""
    return np.where(cens == 0, (low <= value) & (value <= high), np.where(cens < 0, low <= value, value <= high))
