"""The run folder of a finished fit: what it was asked, and its posterior."""

from pathlib import Path
from typing import Any

import xarray as xr
import yaml

from ..posterior import load
from .construct import named


def finished(folder: Path, own: str | None = None) -> tuple[dict[str, Any], xr.DataTree]:
    """The configuration and the posterior of a finished fit; `own` is the file of a model of one's own, if it is of one.

    Raises `ValueError` for a folder that is not one's, and for one that would have a file run which `own` does not name.
    """
    if not folder.is_dir():
        raise ValueError(f"`fit` is {folder}: no such run folder; give one of a finished fit, as fit=runs/fit/<time>")
    for name in ("config.yaml", "posterior.nc"):
        if not (folder / name).is_file():
            raise ValueError(f"{folder} has no {name}: it holds no finished fit; give `fit` the folder of another")
    try:
        config, tree = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")), load(folder / "posterior.nc")
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{folder} cannot be read: {error}; fit again") from error
    if not isinstance(config, dict):
        raise ValueError(f"{folder} cannot be read: its config.yaml holds no configuration; fit again")
    named(config, own, folder)
    return config, tree
