"""Keeps a command's result apart from all else that is printed."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def result_alone() -> Iterator[None]:
    """Send to stderr what anybody but lfkit prints to stdout, in C code too.

    With `--json` another program reads stdout, and functions may print.
    """
    stdout = sys.__stdout__
    if stdout is None or sys.stdout is not stdout or "--json" not in sys.argv:
        yield  # a test, or a notebook, has streams of its own
        return
    stdout.flush()
    result = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = result
    try:
        yield
    finally:
        result.flush()
