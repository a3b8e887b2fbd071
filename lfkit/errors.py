"""Everything lfkit raises on purpose.

LfkitError
├── InputError (ValueError)      the user's input is wrong: one clear sentence
│   ├── DataError                images or labels that cannot be read
│   ├── DeclarationError         features, functions, thresholds declared wrongly
│   ├── VotesError               a vote matrix that makes no sense
│   └── RunError                 a run folder that is missing, locked or not lfkit's
├── FaultError                   `--strict`: the first fault stops the run
└── TrainingError                a training broke or collapsed; what was good is kept

TrainingWarning (UserWarning)    a training ended, and what it gives is plainly broken
"""


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


class FaultError(LfkitError):
    """A labeling function, feature or image failed, and `strict` was asked for."""


class TrainingError(LfkitError):
    """A training broke or collapsed; what was good is kept."""


class TrainingWarning(UserWarning):
    """A training ended, and what it gives is plainly broken."""
