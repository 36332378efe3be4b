"""What compiling costs: how many programs, for how long, and how many of them were there already."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from jax import monitoring

from cytostorm.models import native

COMPILED = "/jax/core/compile/backend_compile_duration"
CACHED = "/jax/compilation_cache/cache_hits"


class Compilation:
    """The programs that were compiled while it listened: their number, those of them from the cache, and those in C."""

    def __init__(self) -> None:
        self.num_programs = self.num_cached = self.num_native = 0
        self._spans: list[tuple[float, float]] = []

    @property
    def seconds(self) -> float:
        """The time in which some thread traced, lowered or compiled a program [s]; programs side by side count once."""
        total, reached = 0.0, 0.0
        for begin, end in sorted(self._spans):
            total += max(0.0, end - max(begin, reached))
            reached = max(reached, end)
        return total

    @property
    def counts(self) -> dict[str, int]:
        """The numbers for a manifest."""
        return {"compiled": self.num_programs, "from_cache": self.num_cached, "native": self.num_native}

    def __str__(self) -> str:
        cached = f", {self.num_cached} of them from the cache" if self.num_cached else ""
        return f"{self.num_programs} programs{cached}"

    def _took(self, event: str, duration_secs: float, **_) -> None:
        if event == native.COMPILING or event.startswith("/jax/core/compile/"):
            now = time.perf_counter()
            self._spans.append((now - duration_secs, now))
        self.num_programs += event == COMPILED
        self.num_native += event == native.COMPILING

    def _happened(self, event: str, **_) -> None:
        self.num_cached += event == CACHED


@contextmanager
def listening() -> Iterator[Compilation]:
    """Listen to what JAX and the native solver tell of the programs they compile."""
    heard = Compilation()
    monitoring.register_event_duration_secs_listener(heard._took)
    monitoring.register_event_listener(heard._happened)
    try:
        yield heard
    finally:
        monitoring.unregister_event_duration_listener(heard._took)
        monitoring.unregister_event_listener(heard._happened)
