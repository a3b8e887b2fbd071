"""What one try of the campaign is: files, a command, what its answer must say.

A module of cases has one function, `cases(rng, folder)`, an endless iterator: it
writes into `folder`, which is its own, draws from `rng` alone, and makes the files of
a case when the case is asked for. It may prepare what all its cases share first. Every
few cases it is begun anew, with another `rng` in a new folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


def named_if_refused(case: Case, code: int, output: str) -> str:
    """Say what is wrong with an answer, "" = nothing: exit 2 must name a file."""
    if code == 2 and not any(path.name in output for path in case.files):
        return "refused, and names none of the files"
    return ""


def named(case: Case, code: int, output: str) -> str:
    """As `named_if_refused`; every file must be named, by exit code 0 too."""
    missing = [path.name for path in case.files if path.name not in output]
    return f"does not name {', '.join(missing)}" if missing else ""


@dataclass(frozen=True)
class Case:
    """One command on files that are damaged, or odd.

    Attributes
    ----------
    kind : for the counts: "image", "vote file", "run folder", …
    damage : what was done to the files, for the findings.
    files : that are odd; all of them count.
    command : words after `lfkit`; paths are absolute.
    check : given the case, the exit code (0 or 2; all else is a finding anyway) and all
        that was printed, says what is wrong with it; "" = nothing.
    """

    kind: str
    damage: str
    files: tuple[Path, ...]
    command: tuple[str, ...]
    check: Callable[[Case, int, str], str] = named_if_refused
