"""The only way to the terminal: what names hold of control characters is shown as text.

Names of files, classes and functions, and messages with them, come from anywhere; sent
as they are, they could change the terminal's title, hide lines, or write others.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import typer
from rich.console import Console as RichConsole
from rich.text import Text as RichText

from lfkit.errors import storage_error

# C0 and C1 controls, DEL, what turns the direction of text, and bytes that are no text.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def shown(text: object, *, one_line: bool = False) -> str:
    r"""Make text that a terminal only shows; lines and tabs stay.

    Parameters
    ----------
    one_line : line ends are shown, too.

    Examples
    --------
    >>> print(shown("a\x1b]0;title\x07.png"))
    a\x1b]0;title\x07.png
    """
    found = _CONTROL.sub(_escaped, str(text))
    return found.replace("\n", "\\n") if one_line else found


def _escaped(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def echo(text: object, *, err: bool = False) -> None:
    """Print a line or several."""
    with _told(err):
        typer.echo(shown(text), err=err)


@contextlib.contextmanager
def _told(err: bool) -> Iterator[None]:
    """Name the stream that the system lets nobody write to, as on a full disk."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        stream = "standard error" if err else "standard output"
        raise storage_error(error, stream) from error


class Text(RichText):
    """Text in a style, to be put beside others."""

    def __init__(self, text: str = "", *arguments: Any, **how: Any) -> None:
        super().__init__(shown(text), *arguments, **how)

    def append(self, text: Any, style: Any = None) -> Text:
        """Add text; `assemble` does."""
        super().append(shown(text) if isinstance(text, str) else text, style)
        return self


class Console(RichConsole):
    """Prints text and tables; nothing in them is a command to it or to the terminal."""

    def __init__(self, **how: Any) -> None:
        plain = {"highlight": False, "markup": False, "emoji": False}
        super().__init__(**how | plain)

    def print(self, *objects: Any, **how: Any) -> None:
        """Print, and say so where that is not possible."""
        with _told(self.stderr):
            super().print(*objects, **how)

    def render_str(self, text: str, **how: Any) -> RichText:
        """Turn a string, a cell of a table among them, into text."""
        return super().render_str(shown(text), **how | {"markup": False})

    def on_broken_pipe(self) -> None:
        """Leave it to who called."""
        raise BrokenPipeError
