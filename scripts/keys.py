"""Every key of the configuration as a page: of jobs and of groups from their files, of models from what they declare."""

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import yaml

import cytostorm.models as models
from cytostorm.inference.decisions import outcomes
from cytostorm.models import quantities
from cytostorm.models.drugs import LINEAR, STANDARD_DOSES, SUPPORT

from .completion import options, text
from .compose import DECLARED, KINDS

LINE = re.compile(r"(?P<indent> *)(?P<key>[\w.]+):(?P<value>.*?)(?:\s+#\s*(?P<text>.+))?$")
STIMULI = ("Transit", "Expansion")
# Of a name that several models have the first counts.
PARAMETERS = {name: q for declared in reversed(DECLARED) for name, q in quantities(getattr(models, declared)()).items()}


class Key(NamedTuple):
    """A key with its default and what the file says of it."""

    path: str
    default: Any
    text: str

    @property
    def kind(self) -> str:
        """What values it takes, by its default."""
        if self.default == "???" or (isinstance(self.default, str) and self.default.startswith("${")):
            return ""
        return KINDS.get(type(self.default), "")


def page(jobs: dict[str, str]) -> str:
    """The page in Markdown: `jobs` and what they do, groups, parameters of models."""
    groups = {name: {option: text(f"{name}/{option}") for option in many} for name, many in options().items()}
    experiments = groups.pop("experiment")
    parts = ["## Jobs", *(_section(f"cytostorm {job}", does, list(keys(text(job)))) for job, does in jobs.items())]
    parts += ["## Groups", *(_group(name, files) for name, files in groups.items())]
    parts += ["## Experiments", _options("experiment", experiments)]
    parts += ["## Parameters of the models", *(_declared(name) for name in DECLARED), f"## Drugs\n\n{_drugs()}"]
    return "\n\n".join(parts)


def keys(file: str) -> Iterator[Key]:
    """The keys of a file of the configuration, those inside others by their path; not what Hydra reads itself."""
    values, path, hidden = yaml.safe_load(file) or {}, [], -1
    for line in file.splitlines():
        found = LINE.match(line)
        if found is None:
            continue
        depth, name = len(found["indent"]) // 2, found["key"]
        path = [*path[:depth], name]
        if hidden >= 0 and depth > hidden:
            continue
        hidden = depth if name in ("defaults", "hydra", "_target_") else -1
        if hidden < 0:
            here: Any = values
            for part in path:
                here = here[part]
            if found["value"].strip() or found["text"]:
                yield Key(".".join(path), here, found["text"] or "")


def _head(file: str) -> str:
    """What the first lines of a file say."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), file.splitlines())
    return " ".join(line.removeprefix("#").strip() for line in lines).replace("@package _global_", "").strip()


def _section(title: str, does: str, found: list[Key]) -> str:
    table = _table((key.path, _shown(key.default), key.kind, key.text) for key in found)
    return f"### {title}\n\n{does[0].upper()}{does[1:]}{'' if does.endswith('?') else '.'}\n\n{table}"


def _group(name: str, files: dict[str, str]) -> str:
    """The options of a group, and the keys that they have, each with its defaults and what the first that says it says."""
    found: dict[str, dict[str, Key]] = {}
    for option, file in files.items():
        for key in keys(file):
            found.setdefault(key.path, {})[option] = key
    rows = []
    for path, each in found.items():
        by_default: dict[str, list[str]] = {}
        for option, key in each.items():
            by_default.setdefault(_shown(key.default), []).append(option)
        shown = "; ".join(
            value if len(each) == len(files) == len(names) else f"{value} ({', '.join(names)})"
            for value, names in by_default.items()
        )
        words = _meaning(name, path, next(iter(each.values()))) or next((key.text for key in each.values() if key.text), "")
        kind = next((key.kind for key in each.values() if key.kind), "")
        rows.append((f"{name}.{path}", shown, kind, words))
    return f"### {name}\n\n{_options(name, files)}\n\n{_table(rows) if rows else ''}"


def _meaning(group: str, path: str, key: Key) -> str:
    """What is declared of a parameter that a prior or a trigger names, of an outcome, and of a course of a treatment."""
    name = path.split(".")[-1]
    if group == "treatment" and isinstance(key.default, dict):
        return f"`dose` in {_amount(key.default)}"
    if group == "outcome":
        return outcomes.__dict__[key.default["_target_"].split(".")[-1]].__doc__.splitlines()[0]
    if group in ("prior", "trigger", "variability") and name in PARAMETERS:
        return f"{PARAMETERS[name].meaning} [{PARAMETERS[name].unit}]"
    return ""


def _amount(course: dict[str, Any]) -> str:
    """The unit of a course's dose."""
    if course["drug"] in (*STANDARD_DOSES, *SUPPORT):
        return "standard doses" if course["drug"] in STANDARD_DOSES else "the level, 0 to 1"
    return "mg/kg" if course.get("per_kg") else "mg"


def _options(name: str, files: dict[str, str]) -> str:
    rows = (f"| `{name}={option}` | {_cell(_head(file))} |" for option, file in files.items())
    return "\n".join(["| option | what it is |", "|---|---|", *rows])


def _table(rows: Iterable[tuple[str, str, str, str]]) -> str:
    lines = (f"| `{path}` | {default} | {kind} | {_cell(text)} |" for path, default, kind, text in rows)
    return "\n".join(["| key | default | takes | what it is |", "|---|---|---|---|", *lines])


def _declared(name: str) -> str:
    model, where = getattr(models, name), "trigger.stimulus." if name in STIMULI else "model."
    rows = (
        f"| `{where}{key}` | {q.value:g} | {_cell(q.unit)} | {_cell(q.meaning)} | {_cell(q.source)} |"
        for key, q in quantities(model()).items()
        if q.value is not None
    )
    head = ["| key | default | unit | meaning | source |", "|---|---|---|---|---|"]
    return f"### {name}\n\n{model.__doc__.splitlines()[0]}\n\n" + "\n".join([*head, *rows])


def _drugs() -> str:
    """The linear drugs; the parameters of antibodies against the receptor are the network's."""
    rows = (
        f"| {name} | {x.cl:.3g} | {x.v1:g} | {x.q:.3g} | {x.v2:g} | {'' if x.ka is None else format(x.ka, 'g')}"
        f" | {', '.join(f'{route} {share:g}' for route, share in x.routes.items())} | {_cell(x.source)} |"
        for name, x in LINEAR.items()
    )
    head = ["| drug | CL [L/h] | V1 [L] | Q [L/h] | V2 [L] | ka [1/h] | bioavailability | source |", "|" + "---|" * 8]
    return "\n".join([*head, *rows])


def _shown(value: Any) -> str:
    """A default as it is written on a command line; of an object what it is given."""
    if value is None or value == "???":
        return "null" if value is None else "to be given"
    if isinstance(value, dict):
        value = {key: x for key, x in value.items() if key != "_target_"}
    shown = value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000)
    return f"`{shown.removesuffix('...\n').strip().replace('|', '\\|')}`"


def _cell(words: str) -> str:
    """Words of a table: a bar would end the cell, and what looks like a tag would not be shown."""
    return words.replace("|", "\\|").replace("<", "&lt;")
