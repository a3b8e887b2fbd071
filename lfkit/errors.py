"""Everything lfkit raises on purpose.

LfkitError
├── InputError (ValueError)      the user's input is wrong: one clear sentence
│   ├── DataError                images or labels that cannot be read
│   ├── DeclarationError         features, functions, thresholds declared wrongly
│   ├── VotesError               a vote matrix that makes no sense
│   ├── RunError                 a run folder that is missing, locked or not lfkit's
│   └── StorageError             the system does not let a file be read or written
├── FaultError                   `--strict`: the first fault stops the run
└── TrainingError                a training broke or collapsed; what was good is kept

TrainingWarning (UserWarning)    a training ended, and what it gives is plainly broken
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

_FULL = "make room, or give another place; what is done is kept"
_CLOSED = "give another place, or ask for the right to use this one"
_WHAT_TO_DO = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "larger files are not allowed there; give another place",
    errno.EROFS: "give a place that can be written",
    errno.EACCES: _CLOSED,
    errno.EPERM: _CLOSED,
    errno.ENAMETOOLONG: "give a shorter path",
    errno.ENOTDIR: "a part of this path is a file where a folder must be",
    errno.EEXIST: "a part of this path is a file where a folder must be",
    errno.EISDIR: "a folder lies where a file must be",
    errno.ELOOP: "a link lies where a file must be; delete it",
    errno.EMFILE: "close other programs, or raise the limit with `ulimit -n`",
    errno.ENFILE: "close other programs",
    errno.EIO: "the disk may be failing; try another one",
}

# What is wrong with the machine at this moment, and not with the file at hand.
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class LfkitError(Exception):
    """Base of every error lfkit raises on purpose."""


class InputError(LfkitError, ValueError):
    """The input is wrong; the message says what, where, and what to do."""


class DataError(InputError):
    """Images or labels cannot be read."""


class DeclarationError(InputError):
    """A feature, labeling function or threshold is declared wrongly."""


class VotesError(InputError):
    """A vote matrix makes no sense."""


class RunError(InputError):
    """A run folder is missing, locked, or not lfkit's."""


class StorageError(InputError, OSError):
    """The system does not let a file be read or written."""


class FaultError(LfkitError):
    """A labeling function, feature or image failed, and `strict` was asked for."""


class TrainingError(LfkitError):
    """A training broke or collapsed; what was good is kept."""


class TrainingWarning(UserWarning):
    """A training ended, and what it gives is plainly broken."""


def storage_error(
    error: OSError, path: str | os.PathLike[str] | None = None
) -> StorageError:
    """Say in one sentence what the system refused, where, and what to do.

    Parameters
    ----------
    path : the file that the user knows of; None: the one that the error names.
    """
    named = path if path is not None else (error.filename2 or error.filename)
    if isinstance(error, StorageError):
        return error
    if isinstance(named, bytes):
        named = os.fsdecode(named)
    reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
    reason = reason[:1].lower() + reason[1:]
    advice = _WHAT_TO_DO.get(error.errno or 0)
    if error.errno in (errno.ENOTDIR, errno.EEXIST) and isinstance(named, (str, Path)):
        places = (Path(named), *Path(named).parents)
        above = [each for each in places if each.is_file()]
        advice = f"{above[0]} is a file, not a folder" if above else advice
    where = "" if isinstance(named, int) or named is None else f"{named}: "
    return StorageError(f"{where}{reason}" + (f"; {advice}." if advice else "."))
