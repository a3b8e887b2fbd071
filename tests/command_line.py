"""The command line in this process, for what the tests of a module share."""

from __future__ import annotations

import contextlib
import io
import sys

import pytest


def call(*arguments: object) -> None:
    """Run a command that must end well; a process of its own starts for seconds."""
    from lfkit.cli.app import main

    said, code = io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["lfkit", *map(str, arguments)])
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                main()
            except SystemExit as stop:
                code = int(stop.code or 0)
    assert code == 0, said.getvalue()
