"""`lfkit studio`: a page that shows what labeling functions do to your images.

In a notebook, `lfkit.studio("run")` shows it in a frame.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lfkit.errors import InputError

if TYPE_CHECKING:
    from lfkit.studio.notebook import Frame


def check_installed() -> None:
    """Say how to get what the studio needs beside lfkit."""
    absent = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if absent:
        raise InputError(
            f"the studio needs {' and '.join(absent)}: pip install 'lfkit[studio]'."
        )


class _Studio(ModuleType):
    """The package as something that a notebook can call."""

    def __call__(self, run: Any = "run", **options: Any) -> Frame:
        """Show the studio of a run in a frame; see `lfkit.studio.notebook.show`."""
        check_installed()
        from lfkit.studio.notebook import show

        return show(run, **options)


sys.modules[__name__].__class__ = _Studio
