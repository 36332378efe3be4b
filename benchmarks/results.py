"""Where measurements are kept: `results.json`, one key per benchmark, and the machine they were made on."""

import importlib.metadata
import json
import os
import platform
from pathlib import Path

FILE = Path(__file__).resolve().parent / "results.json"


def merge(key: str, value: dict) -> None:
    """Put the entries of `value` under `key`, beside what was measured before."""
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    known |= {"machine": machine(), key: known.get(key, {}) | value}
    FILE.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")


def machine() -> dict:
    """Processor, cores and versions."""
    facts = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in facts if line.startswith("model name")]
    versions = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "diffrax", "numpyro", "scipy", "numba")}
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        **versions,
    }
