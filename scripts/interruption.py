"""Ctrl-C and SIGTERM: the blocks under way are finished and kept, then the job leaves."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cytostorm.inference as ci

_received: list[int] = []


@contextmanager
def until_stopped(blocks: ci.Blocks) -> Iterator[None]:
    """While this lasts, Ctrl-C or SIGTERM ends sampling after the blocks under way, and a second Ctrl-C at once."""

    def stop(number: int, _) -> None:
        if blocks.stop and number == signal.SIGINT:
            os._exit(exit_code())
        if number == signal.SIGINT:
            print("\ncytostorm: the blocks under way are finished first; Ctrl-C again leaves at once", file=sys.stderr)
        _received.append(number)
        blocks.stop = True

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _received.clear()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code() -> int:
    """128 and the signal that stopped the last job, as shells have it: 130 after Ctrl-C."""
    return 128 + (_received[0] if _received else signal.SIGINT)
