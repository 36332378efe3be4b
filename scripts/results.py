"""A results page in the docs from the run folder of a population: `python -m cytostorm.scripts.results RUN PAGE`.

What is written between the page's two marks is replaced; the text around them is by hand.
"""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from cytostorm.inference import load
from cytostorm.inference.prediction.leave_out import gain
from cytostorm.inference.summary import plain, shrinkage
from cytostorm.inference.verdict import PARETO_K

BEGIN, END = "<!-- results -->", "<!-- end of results -->"


def written(run: Path, page: Path) -> str:
    """The page with the results of a run in it; its figures are copied beside the page.

    Raises `ValueError` where the page has no marks, and `FileNotFoundError` where the run is not that of a population.
    """
    text = page.read_text()
    if BEGIN not in text or END not in text:
        raise ValueError(f"{page} has no place for results; put `{BEGIN}` and `{END}` into it")
    manifest = json.loads((run / "manifest.json").read_text())
    table = pd.read_csv(run / "summary.csv", index_col=0)
    tree = load(run / "posterior.nc")
    parts = [
        judged(manifest),
        estimates(table, shrinkage(tree)),
        traded(tree, table),
        known(run),
        prediction(run),
        pictures(run, page),
    ]
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    return before + "\n\n".join([BEGIN, *parts, END]) + after


def judged(manifest: dict) -> str:
    """What sampling took, and the verdict."""
    verdict, minutes = manifest["verdict"], manifest["seconds"]["total"] / 60
    reasons = "\n\n" * bool(verdict["reasons"]) + "\n".join(f"- {reason}" for reason in verdict["reasons"])
    return (
        f"Sampled in {minutes:.0f} min ({manifest['device']['platform']}): largest R-hat"
        f" {verdict['rhat_max']:.3f}, bulk ESS {verdict['ess_bulk_min']:.0f}, tail ESS {verdict['ess_tail_min']:.0f},"
        f" {verdict['num_divergences']} divergences, {verdict['num_failed_solves']} of {verdict['num_solves']:,} solves"
        f" failed: **{'PASS' if manifest['passed'] else 'FAIL'}**.{reasons}"
    )


def estimates(table: pd.DataFrame, shrunk: pd.Series) -> str:
    """The population's medians, spreads and factors: posterior, prior, what the data taught, and shrinkage."""
    heads = ("", "unit", "median", "90 % interval", "prior, 90 %", "contraction", "shrinkage")
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    known = dict(zip(table.index.astype(str), table["prior_q5"].notna().to_numpy(), strict=True))
    for name, row in table.iterrows():
        if str(name).startswith(("subject_", "correlation")):
            continue
        short = f"{shrunk[name]:.2f}" if name in shrunk.index else ""
        span = f"{plain(row['q5'])} to {plain(row['q95'])}"
        prior = f"{plain(row['prior_q5'])} to {plain(row['prior_q95'])}" if known[str(name)] else ""
        rows.append(
            f"| {name} | {row['unit']} | {plain(row['median'])} | {span} | {prior} |"
            f" {row['contraction']:.2f} {row['taught']} | {short} |"
        )
    return "\n".join(rows)


def traded(tree: xr.DataTree, table: pd.DataFrame) -> str:
    """Which medians the readings cannot tell apart, and which spreads go together."""
    posterior = tree["posterior"].to_dataset()
    names = [str(name) for name, x in posterior.items() if x.ndim == 2 and "prior_median" in x.attrs]
    between = np.corrcoef([np.log(posterior[name].values.ravel()) for name in names])
    pairs = sorted(zip(*np.tril_indices(len(names), -1), strict=True), key=lambda pair: -abs(between[pair]))
    words = [f"`{names[i]}` and `{names[j]}` {between[i, j]:.2f}" for i, j in pairs[:5]]
    text = f"Medians that trade most against each other (correlation of their logarithms): {', '.join(words)}."
    known = table.loc[[n for n in table.index if str(n).startswith("correlation")], ["q5", "median", "q95"]]
    if known.empty:
        return text
    sure = known[(known["q5"] > 0) | (known["q95"] < 0)]
    told = [f"`{n}` {x['median']:.2f} ({x['q5']:.2f} to {x['q95']:.2f})" for n, x in sure.iterrows()]
    apart = f"Of {len(known)} correlations between subjects {len(sure)} have a 90 % interval without zero"
    return f"{text}\n\n{apart}: {', '.join(told)}."


def known(run: Path) -> str:
    """How what differs between subjects goes with what is known of them, the clearest first."""
    if not (run / "related.csv").exists():
        return "Nothing is known of the subjects that could go with what differs between them."
    table = pd.read_csv(run / "related.csv")
    table = table.iloc[np.argsort(-np.abs(table["rank_correlation"].to_numpy()))]
    sure = table[(table["q5"] > 0) | (table["q95"] < 0)]
    told = [
        f"{x['parameter']} and {x['covariate']} {x['rank_correlation']:.2f} ({x['q5']:.2f} to {x['q95']:.2f})"
        for _, x in pd.concat([sure.head(8), table[table["parameter"] == "k_fb"]]).drop_duplicates().iterrows()
    ]
    return (
        f"Rank correlations over subjects with what is known of them, 90 % interval; {len(sure)} of {len(table)} without"
        f" zero, not corrected for their number; those of the feedback gain in any case: {', '.join(told)}."
    )


def prediction(run: Path) -> str:
    """How subjects who were left out are predicted."""
    left, covered = pd.read_csv(run / "left_out.csv"), pd.read_csv(run / "coverage.csv")
    lines = [
        f"Subjects left out in turn: {covered['inside'].mean():.1%} of {len(covered)} readings lie inside their 90 %"
        f" interval; expected log predictive density {left['elpd'].sum():.1f}; Pareto k above {PARETO_K} in"
        f" {(left['pareto_k'] > PARETO_K).sum()} of {len(left)} subjects.",
        "",
    ]
    for column, text in {
        "elpd_mean_curve": "the mean curve of the others with log-normal spread",
        "elpd_against": "the published model with log-normal spread",
    }.items():
        if column in left:
            better, error, number = gain(left, column)
            if not number:
                lines.append(f"- not compared with {text}: each subject has a reading of which too few others tell")
                continue
            lines.append(f"- better than {text} by {better:.1f}, standard error {error:.1f} ({number} subjects)")
    shares = [f"{name} {part['inside'].mean():.0%}" for name, part in covered.groupby("analyte")]
    lines.append(f"- inside, by analyte: {', '.join(shares)}")
    return "\n".join(lines)


def pictures(run: Path, page: Path) -> str:
    """The figures of the run, copied beside the page."""
    wanted = [run / "vpc.png", *sorted(run.glob("individuals_*.png")), run / "spread.png"]
    lines = []
    for figure in filter(Path.exists, wanted):
        name = f"{page.stem}_{figure.name}"
        shutil.copyfile(figure, page.parent / name)
        lines.append(f"![{figure.stem.replace('_', ' ')}]({name})")
    return "\n\n".join(lines)


def main() -> None:
    """Write the results of a run into a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("page", type=Path)
    given = parser.parse_args()
    given.page.write_text(written(given.run, given.page))


if __name__ == "__main__":
    main()
