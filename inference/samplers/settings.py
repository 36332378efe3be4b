"""Checks that the settings of samplers share."""

from typing import Any


def at_least_one(part: Any, *names: str, within: str = "") -> None:
    """Raise `ValueError` where one of these settings is below 1."""
    for name in names:
        if getattr(part, name) < 1:
            raise ValueError(f"`{within}{name}` is {getattr(part, name)}; give 1 or more")


def share(part: Any, *names: str) -> None:
    """Raise `ValueError` where one of these settings is not between 0 and 1."""
    for name in names:
        if not 0 < getattr(part, name) < 1:
            raise ValueError(f"`{name}` is {getattr(part, name)}; give a number between 0 and 1")
