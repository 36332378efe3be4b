"""cytostorm data check FILE: what is understood of a table, row by row."""

from pathlib import Path

from omegaconf import OmegaConf

import cytostorm.inference as ci

from .compose import RUN, BadConfig, blame, build, check, composed
from .run import console

# How a table is understood, by the option of the group `data` that reads it.
READERS = {"cohort": ci.understand_cohort, "nonmem": ci.understand_records}


def audit(file: str, *overrides: str) -> int:
    """Print what is understood of a table, under the same overrides as a fit: `data=nonmem data.dvid={1: il6}`.

    Without `data=`, a header with `subject` and `analyte` is that of a tidy table, any other one of dosing records.

    Raises `BadConfig` for a table that is refused.
    """
    form = next((x.removeprefix("data=") for x in overrides if x.startswith("data=")), None) or _guess(Path(file))
    if form not in READERS:
        raise BadConfig(f"`data={form}` reads no such file; choose from: {', '.join(f'data={name}' for name in READERS)}")
    chosen = [f"data={form}", *(x for x in overrides if not x.startswith("data=")), "data.path=the_file"]
    check("fit", chosen)
    cfg = composed("fit", chosen)
    if str(cfg.model._target_).startswith(RUN):
        build(cfg.model)  # its analytes are known then
    options = OmegaConf.to_container(cfg.data, resolve=True)
    assert isinstance(options, dict)
    with blame():
        understood = READERS[form](**{str(k): v for k, v in options.items() if k != "_target_"} | {"path": file})
    console.print(f"{file}, read as data={form}", highlight=False, soft_wrap=True)
    for line in understood.lines():
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return 0


def _guess(path: Path) -> str:
    if not path.is_file():
        raise BadConfig(f"{path}: no such file; give the path of a table")
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        header = file.readline().lower()
    return "cohort" if "subject" in header and "analyte" in header else "nonmem"
