"""The help of a job: what it does, its groups with their options, and its keys with what they mean, from its files."""

import textwrap

from .completion import options, text

WIDTH, INDENT = 110, 16
FLAGS = """\
  --cfg job             print the whole configuration, with what was chosen, and stop
  --info defaults       which file each part of it comes from
  --multirun, -m        one run for every combination of values given with commas, as in seed=1,2,3
  --hydra-help          all flags of Hydra"""

EXAMPLES = {
    "fit": ["data=csv data.path=readings.csv", "experiment=synthetic_storm", "sampler=independence", "model.k_r=0.2 seed=1"],
    "simulate": ["model=network trigger=viral treatment=tocilizumab treatment.start_h=96", "synthetic=true data=synthetic"],
    "compare": ["fit=runs/fit/TIME", "trigger=viral treatments=[tocilizumab,anakinra] start_h=0:48:12"],
    "forecast": ["known_until_h=48", "rolling=true"],
    "predict": ["fit=runs/fit/TIME trigger=lps_infusion"],
    "diff": ["fits=[runs/fit/A,runs/fit/B]"],
    "identify": ["fit=runs/fit/TIME", "experiment=synthetic_storm"],
    "calibrate": ["data=synthetic"],
    "certify": ["experiment=network_cart"],
}


def manual(job: str) -> str:
    """The help of a job, from the first line of its configuration and the comments beside its keys."""
    head, body = _read(job)
    calls = "\n".join(f"  cytostorm {job} {text}" for text in EXAMPLES.get(job, [""]))
    rows = "\n".join(_row(name, default) for name, default in groups(job).items())
    shown = "\n".join(f"  {line}" for line in [*body, f"hydra.run.dir: runs/{job}/<time>  # the run folder"])
    return "\n\n".join(
        [
            head,
            f"usage: cytostorm {job} [group=option ...] [key=value ...]",
            f"examples:\n{calls}",
            f"groups, each a choice of one option, [the default] first; `group.key=value` changes a value of it:\n{rows}",
            f"keys, with their defaults:\n{shown}",
            f"flags:\n{FLAGS}",
        ]
    )


def _read(job: str) -> tuple[str, list[str]]:
    """What a job does, and the lines of its own keys."""
    first, *lines = text(job).splitlines()
    begin = lines.index("defaults:") + 1
    return first.removeprefix("# "), [x for x in lines[begin:] if x.strip() and not x.startswith("  - ")]


def groups(job: str) -> dict[str, str]:
    """The groups that a job's defaults name, those that it shares with others included, and the option of each."""
    found: dict[str, str] = {}
    for line in text(job).splitlines():
        name, _, option = line.partition(": ")
        name = name.removeprefix("  - ").removeprefix("override ").split("@")[0].strip("/")
        if name.startswith("groups"):
            found |= groups(name)
        elif line.startswith("  - ") and "@" not in line and option:
            found[name] = option.split("#")[0].strip()
    return found


def _row(name: str, default: str) -> str:
    """A group and its options, which hang beside it."""
    many = [f"[{default}]", *(x for x in options()[name] if x != default)]
    wrap = textwrap.TextWrapper(WIDTH, f"  {f'{name}=':<{INDENT}}", " " * (INDENT + 2), break_on_hyphens=False)
    return wrap.fill(", ".join("[none]" if x == "[null]" else x for x in many))
