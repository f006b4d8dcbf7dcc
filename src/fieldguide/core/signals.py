"""What a signal does to a process of ours: once it ends in order, once more, later, it ends at once."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from types import FrameType

REPEAT_WINDOW = 5.0
"""Seconds in which a second signal is taken for the same wish: a terminal and Snakemake both send one."""


@contextlib.contextmanager
def handle_termination() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP end a stage as Ctrl-C does: it tidies up. A second one, later, ends it at once.

    Processes that it forks just end. Outside of the main thread nothing changes.
    """
    owner, first = os.getpid(), 0.0

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if os.getpid() != owner:
            os._exit(128 + number)
        if first and time.monotonic() - first < REPEAT_WINDOW:
            return
        if first:
            signal.signal(number, signal.SIG_DFL)
            os.kill(owner, number)
            return
        first = time.monotonic()
        raise KeyboardInterrupt

    before = {}
    with contextlib.suppress(ValueError):  # not the main thread
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or a shell's background: meant so
                before[number] = signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            # Once stopped, the process is on its way out, and the second signal may still come.
            signal.signal(number, signal.SIG_IGN if first else handler)
