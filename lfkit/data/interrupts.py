"""Ctrl-C, as opposed to a KeyboardInterrupt that user code raises."""

from __future__ import annotations

import contextlib
import signal
import threading
import types
from collections.abc import Iterator


@contextlib.contextmanager
def ctrl_c() -> Iterator[list[bool]]:
    """Yield a list that holds True once Ctrl-C has been pressed."""
    pressed: list[bool] = []
    before = signal.getsignal(signal.SIGINT)
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or not callable(before):  # it cannot come, or ends the process
        yield pressed
        return

    def press(number: int, frame: types.FrameType | None) -> None:
        pressed.append(True)
        before(number, frame)

    signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
