"""Blocks of a chain on disk: what was sampled so far, and the exact state to continue from."""

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np


class Interrupted(RuntimeError):
    """Sampling was asked to stop; every finished block is on disk."""


class Blocks:
    """The blocks of a run under `folder`, one file each, named by chain and number.

    A file holds its SHA-256 and the arrays. It is written under another name, flushed to the disk and renamed, so
    that a file that exists is whole; one that is not (a failing disk) is detected and left out, with all after it.
    Without a folder nothing is kept. `stop`, once set, ends sampling after the blocks under way.
    """

    def __init__(self, folder: Path | None = None):
        self.folder, self.stop = folder, False
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def write(self, chain: int, number: int, content: Any) -> None:
        """Keep a tree of arrays as block `number` of a chain."""
        if self.folder is None:
            return
        buffer = io.BytesIO()
        np.savez(buffer, *(np.asarray(leaf) for leaf in jax.tree.leaves(content)))
        payload = buffer.getvalue()
        path = self._path(chain, number)
        hidden = path.with_suffix(".tmp")
        with hidden.open("wb") as file:
            file.write(hashlib.sha256(payload).digest() + payload)
            file.flush()
            os.fsync(file.fileno())
        hidden.replace(path)

    def read(self, chain: int, number: int, mould: Callable[[], Any] | None = None) -> Any | None:
        """Block `number` of a chain in the structure of what `mould` returns; None if there is none that is whole.

        Without `mould`, the list of its arrays.
        """
        if self.folder is None or not (path := self._path(chain, number)).is_file():
            return None
        text = path.read_bytes()
        if hashlib.sha256(text[32:]).digest() != text[:32]:
            return None
        with np.load(io.BytesIO(text[32:])) as arrays:
            leaves = [arrays[f"arr_{i}"] for i in range(len(arrays.files))]
        if mould is None:
            return leaves
        like = mould()
        shapes = [(np.shape(leaf), np.result_type(leaf)) for leaf in jax.tree.leaves(like)]
        if shapes != [(leaf.shape, leaf.dtype) for leaf in leaves]:
            return None
        return jax.tree.unflatten(jax.tree.structure(like), leaves)

    def clear(self) -> None:
        """Forget every block."""
        if self.folder is None:
            return
        for path in self.folder.glob("chain*"):
            path.unlink()
        self.folder.rmdir()

    def _path(self, chain: int, number: int) -> Path:
        assert self.folder is not None
        return self.folder / f"chain{chain}_{number:05d}.block"
