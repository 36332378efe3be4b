"""Which of many like cases belong to the fast suite."""

from collections.abc import Iterable
from typing import Any

import pytest


def some(cases: Iterable[Any], fast: Iterable[Any]) -> list[Any]:
    """All cases for `parametrize`; those that are not among the `fast` ones are slow."""
    parts = {case: case if isinstance(case, tuple) else (case,) for case in cases}
    return [case if case in fast else pytest.param(*part, marks=pytest.mark.slow) for case, part in parts.items()]
