"""How long work tells what it has done."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]  # (what is being done, done, of how many)
