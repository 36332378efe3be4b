"""The page docs/benchmarks.md from benchmarks/results.json; the last step of `make benchmark`."""

import json

from export import HERE

PAGE = """# Benchmarks

Measured by `make benchmark` on {processor}, {cores} cores, jax {jax}, nothing else running; interleaved
rounds, medians. Written from `benchmarks/results.json`.

## One solve

A CAR-T storm of 21 days in the network (24 states) with tocilizumab, IL-6 at 43 times.

| | ms | |
|---|---|---|
{solves}

The plain C program is the same algorithm written by hand for this model (`cc {flags}`);
`native` is what is generated from the JAX right-hand side. A batch uses all cores. LSODA is SciPy's with a right-hand side
compiled by numba; in its rows each side has the loosest tolerance that gives log IL-6 within 1e-4.

## Many gradients

Values of the log-density with their gradients per second, one at a time and side by side, at draws of the prior: the
default fit, and one CAR-T patient of the network. The default fit takes {peak:.2f} GiB of memory at most.

| side by side | {problems} |
|---|{columns}|
{rates}

Remade by `python benchmarks/throughput.py`.

## In float32

The same storm at rtol {rtol:g} with the state, its tangents and the loop in float32 (`solver.precision=float32`); single
solves, and batches of {batch} on all cores; {sensitivities} sensitivities. Errors are the largest over the batch, those of
sensitivities relative to the largest of each parameter. The last rows are at rtol 1e-3, for which `stabilised` is made.

| | value, ms | with sensitivities | batch of values | batch with sensitivities | error of log IL-6 | of sensitivities |
|---|---|---|---|---|---|---|
{single}

Remade by `PYTHONPATH=tests python benchmarks/precision.py`. {verdict}

## Work and precision

![Cost of a value and its gradient against the error of the gradient](work_precision.png)

`cytostorm benchmark` draws this for any problem; here the minimal model, 64 prior draws, against `dopri8` at rtol 1e-11.
Times are of single calls from Python, the cost of the call included.

## The posterior, against Stan

The same model, priors, data, likelihood and tolerances in Stan (PyStan {pystan}). At {points} prior draws log-densities
differ by one constant and gradients agree; the posteriors must agree in means and 5, 50 and 95 % quantiles. *Hierarchical*
are twenty synthetic subjects of the minimal model, eight readings each, whose clearance and drive differ and are correlated
(`benchmarks/hierarchical.py`); every subject's own parameters are compared and counted as well.

| | {names} |
|---|{rule}|
{rows}

Stan takes the faster of `ode_rk45` and `ode_bdf`, starts where ours does and has the same target acceptance. Its C++ build
is not counted; *from cold* counts our imports and compilation with empty caches. `sampler=nuts` is Stan's method in our
code; `sampler=independence` is a method for up to some fifteen parameters ([samplers](samplers.md)).
{cohorts}"""

TIMING = """
## Comparing treatments

{draws:,} draws of the network over {days:.0f} days under no treatment and so many starts of tocilizumab with
dexamethasone, all outcomes included, programs compiled before but traced anew; medians of three. Peak memory
{memory:.0f} MiB; outcomes differ from those at rtol 1e-9 by {error:.0e} of their largest value at most.

| options | solves | seconds |
|---|---|---|
{rows}

Remade by `python benchmarks/timing.py`.
"""

COHORTS = """
## Cohorts of known truth

![Cost of a gradient against the number of subjects](cohorts.png)

The problem *hierarchical* with 5, 20 and 80 subjects: {cost}.
{cohorts} cohorts of twenty subjects were drawn with truths from the prior, and fitted: the number whose 90 % interval
holds the truth, of {cohorts} ({low} to {high} are within binomial error), largest R-hat {rhat:.3f},
{unsolved} draws of truths left out because they could not be solved:

| | inside |
|---|---|
{rows}

Remade by `PYTHONPATH=tests python benchmarks/cohorts.py`.
"""


def solves(found: dict) -> str:
    """The rows of the first table."""
    plain, race = found["plain_c"], found["race"]["ms"]
    rows = [f"| {name} | {value:.2f} | {plain['times_c'][name]:.2f} times plain C |" for name, value in plain["ms"].items()]
    for name, value in race.items():
        rows.append(f"| {name}, within 1e-4 | {value:.2f} | {race['LSODA'] / value:.1f} times as fast as LSODA |")
    return "\n".join(rows)


def throughput(found: dict) -> dict:
    """The table of gradients per second, and the memory of the default fit."""
    known = found["throughput"]["gradients_per_s"]
    rows = [
        f"| {width} | " + " | ".join(f"{row[width]:,.0f}" for row in known.values()) + " |"
        for width in sorted(next(iter(known.values())), key=int)
    ]
    return {
        "peak": found["throughput"]["peak_memory_gib"],
        "problems": " | ".join(known),
        "columns": "|".join(["---"] * len(known)),
        "rates": "\n".join(rows),
    }


def singles(found: dict) -> dict:
    """The rows of the table on float32, and what they say."""
    times, errors = found["precision"]["ms"], found["precision"]["error"]
    columns = ("value", "sensitivities", "batch of values", "batch of sensitivities")
    order = list(times)
    rows = [
        " | ".join([f"| {key}", *(f"{times[key][c]:.2f}" for c in columns), f"{errors[key]['value']:.1e}"])
        + f" | {errors[key]['sensitivity']:.1e} |"
        for key in order
    ]
    gains = {
        method: {what: x / times[f"{method}, float32"][what] for what, x in times[f"{method}, float64"].items()}
        for method in ("native", "march")
    }
    words = [f"`{method}` {min(gain.values()):.1f} to {max(gain.values()):.1f}" for method, gain in gains.items()]
    return {
        "rtol": found["precision"]["rtol"],
        "batch": found["precision"]["batch"],
        "sensitivities": found["precision"]["num_sensitivities"],
        "single": "\n".join(rows),
        "verdict": f"Time in float64 over time in float32: {', '.join(words)}.",
    }


def contests(found: dict) -> str:
    """The rows of the second table, a column for each problem that was sampled by both."""
    sides = [side for side in found["stan"].values() if "sampling" in side]

    def row(title: str, cell) -> str:
        return f"| {title} | " + " | ".join(cell(side["check"], side["sampling"]) for side in sides) + " |"

    def run(ours: str, key: str):
        def cell(check: dict, s: dict) -> str:
            if ours not in s:
                return ""
            rates = s[ours]["rates"]
            return f"{rates['seconds'][key]:.1f} s, {rates['ess_bulk_min'][key]:.0f}"

        return cell

    def times(ours: str, key: str):
        return lambda check, s: f"**{s[ours]['rates']['times_stan'][key]:.1f}**" if ours in s else ""

    def apart(ours: str):
        return lambda check, s: f"{s[ours]['largest_z']:.1f}" if ours in s else ""

    def chains(check: dict, s: dict) -> str:
        kept = s["run_stan"]
        return f"{s['method']}, {kept['num_chains']} x ({kept['num_warmup']} + {kept['num_samples']})"

    rows = [
        row("gradients apart, relative", lambda check, s: f"{check['gradient_error'][s['method']]:.0e}"),
        row("Stan's run", chains),
        row("Stan's metric", lambda check, s: s["metric"]),
        row("Stan: time, least bulk ESS", run("nuts", "stan")),
    ]
    for key, name in {"nuts": "no U-turn", "independence": "independence"}.items():
        rows += [
            row(f"{name}: posteriors apart, standard errors", apart(key)),
            row(f"{name} from cold: time, least bulk ESS", run(key, "ours_cold")),
            row(f"{name} compiled: time, least bulk ESS", run(key, "ours_warm")),
            row(f"**{name}: ESS per second, times Stan, from cold**", times(key, "ours_cold")),
            row(f"**{name}: ESS per second, times Stan, compiled**", times(key, "ours_warm")),
        ]
    return "\n".join(rows)


def recovery(found: dict) -> str:
    """The section on cohorts, where they were measured."""
    if "inside" not in (known := found.get("cohorts", {})):
        return ""
    return COHORTS.format(
        cost=", ".join(f"{num} subjects {ms:.2f} ms" for num, ms in sorted(known["ms"].items(), key=lambda x: int(x[0]))),
        rows="\n".join(f"| {name} | {number} |" for name, number in known["inside"].items()),
        low=known["allowed"][0],
        high=known["allowed"][1],
        rhat=known["worst_rhat"],
        **{key: known[key] for key in ("cohorts", "unsolved")},
    )


def timing() -> str:
    """The section on comparisons, where they were measured."""
    if not (path := HERE / "timing.json").is_file():
        return ""
    known = json.loads(path.read_text())
    return TIMING.format(
        draws=known["draws"],
        days=known["hours"] / 24,
        memory=known["memory_mib"],
        error=max(known["errors"].values()),
        rows="\n".join(f"| {row['arms']} | {row['solves']:,} | {row['seconds']:.1f} |" for row in known["rows"]),
    )


def main() -> None:
    """Write the page."""
    found = json.loads((HERE / "results.json").read_text())
    names = [name for name, side in found["stan"].items() if "sampling" in side]
    first = found["stan"][names[0]]["check"]
    page = PAGE.format(
        **{key: found["machine"][key] for key in ("processor", "cores", "jax")},
        solves=solves(found),
        **throughput(found),
        **singles(found),
        flags=found["plain_c"]["flags"],
        pystan=first["versions"]["pystan"],
        points=first["points"],
        names=" | ".join(names),
        rule="|".join(["---"] * len(names)),
        rows=contests(found),
        cohorts=timing() + recovery(found),
    )
    (HERE.parent / "docs" / "benchmarks.md").write_text(page)


if __name__ == "__main__":
    main()
