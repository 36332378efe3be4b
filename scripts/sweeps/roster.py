"""The jobs of a sweep as its folder names them; read without what a job imports, so that a look takes no time."""

import json
import re
from pathlib import Path
from typing import Any

from ..faults import BadConfig

KEY = re.compile("[0-9a-f]{16}")  # it names a folder, and nothing else may


def rows(root: Path) -> list[dict[str, Any]]:
    """What is written down of every job: job, overrides, swept, key.

    Raises `BadConfig` where there is no sweep, or what a sweep would not write.
    """
    path = root / "sweep.json"
    if not path.is_file():
        raise BadConfig(f"{root} holds no sweep; give the folder of one, as runs/sweep/NAME")
    try:
        found = json.loads(path.read_bytes())["jobs"]
        for row in found:
            if not KEY.fullmatch(row["key"]) or not isinstance(row["swept"], dict) or not isinstance(row["job"], str):
                raise ValueError(f"{row['key']!r} is no job")
        return found
    except (ValueError, KeyError, TypeError) as error:
        raise BadConfig(f"{path} is not what a sweep writes: {error}; give the sweep again, it is written anew") from error


def roster(root: Path) -> dict[str, str]:
    """What distinguishes every job, by its key: what its sweep varies, or, of a job alone, its overrides."""
    known = rows(root)
    swept = {row["key"]: [f"{name}={value}" for name, value in row["swept"].items()] for row in known}
    return {row["key"]: " ".join(swept[row["key"]] or row["overrides"]) for row in known}
