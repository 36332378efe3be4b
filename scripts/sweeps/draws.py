"""The draws of many jobs as one labelled array each: of a posterior over jobs and draws, of decisions also over options."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

NUM = 200  # draws of each job, evenly spread over its chains
BARE = b"This is a netCDF dimension but not a netCDF variable"  # the name, by its standard, of one without labels
Folders = Sequence[tuple[str, Path]]


def posterior(folders: Folders) -> tuple[xr.Dataset, list[str]]:
    """Some draws of every parameter of fits, over `job` and `draw`; not a number where a fit has no such parameter.

    Of vectors each entry is a parameter, as `omega[k_fb]`; values of single subjects are left out. Returns also what could
    not be read.
    """
    each, faults = _every(folders, "posterior.nc", _drawn)
    names = list(dict.fromkeys(name for draws in each.values() for name in draws))
    values = {name: np.full((len(each), NUM), np.nan) for name in names}
    for i, draws in enumerate(each.values()):
        for name, x in draws.items():
            values[name][i] = x
    if not each:
        return xr.Dataset(), faults
    return xr.Dataset({n: (("job", "draw"), x) for n, x in values.items()}, coords={"job": list(each)}), faults


def decisions(folders: Folders) -> tuple[xr.Dataset, list[str]]:
    """The outcomes and the utility of comparisons over `job`, `option`, `patient` and `draw`, and what could not be read."""
    each, faults = _every(folders, "comparison.nc", _compared)
    if not each:
        return xr.Dataset(), faults
    whole = xr.concat(list(each.values()), dim="job", join="outer").assign_coords(job=list(each))
    return whole, faults


def _every(folders: Folders, name: str, read: Callable[[Path], Any]) -> tuple[dict[str, Any], list[str]]:
    found, faults = {}, []
    for key, folder in folders:
        if (folder / name).is_file():
            try:
                found[key] = read(folder / name)
            except (OSError, KeyError, ValueError) as error:
                faults.append(f"{folder / name} cannot be read: {error}")
    return found, faults


def _drawn(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return dict(_entries(file["posterior"]))


def _entries(group: Any) -> Iterator[tuple[str, np.ndarray]]:
    """The parameters of a netCDF group, whose dimensions are the scales of its arrays."""
    for name, array in group.items():
        scales = [scale[0] for scale in array.dims if len(scale)]
        dims = [scale.name.rpartition("/")[2] for scale in scales]
        if dims[:2] != ["chain", "draw"] or "subject" in dims or len(dims) > 3:
            continue
        x = np.asarray(array[...], float)
        x = x.reshape(-1, *x.shape[2:])
        x = x[np.linspace(0, len(x) - 1, NUM).astype(int)]
        if len(dims) == 2:
            yield name, x
        else:
            if scales[2].attrs["NAME"].startswith(BARE):
                raise KeyError(f"no labels of `{dims[2]}`")
            labels = scales[2].asstr() if h5py.check_string_dtype(scales[2].dtype) else scales[2]
            yield from ((f"{name}[{label}]", x[:, i]) for i, label in enumerate(labels[...]))


def _compared(path: Path) -> xr.Dataset:
    with xr.open_dataset(path, engine="h5netcdf", group="decisions") as found:
        thin = np.linspace(0, found.sizes["draw"] - 1, min(NUM, found.sizes["draw"])).astype(int)
        kept = found.isel(draw=thin).drop_attrs()
        return kept.drop_vars([n for n in kept.coords if n not in kept.dims]).assign_coords(draw=np.arange(len(thin))).load()
