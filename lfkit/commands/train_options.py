"""Options of `lfkit train`, and the generator's settings among them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from lfkit.commands.options import GivenLFs, RunFolder, TrustCode
from lfkit.errors import InputError
from lfkit.runs.options import Option, as_declared, check_seed

# Ends the names of generators that were tuned from another run's, in RUN/models.
TUNED = "-tuned"


@dataclass(frozen=True)
class TrainOptions:
    """Options of `lfkit train`: of the command line and of Python.

    Raises
    ------
    InputError : a value is out of range, or two exclude each other.
    """

    run: RunFolder
    name: Annotated[
        str,
        Option("The generator (lfkit list generators).", name="--with", metavar="NAME"),
    ] = "adp"
    steps: Annotated[
        int | None, Option("Updates of the networks; 6000 if not said.", metavar="N")
    ] = None
    max_minutes: Annotated[
        float | None,
        Option("As many steps as fit in this time, by a timed start.", metavar="M"),
    ] = None
    settings: Annotated[
        tuple[str, ...],
        Option("A setting. May be repeated.", name="--set", metavar="KEY=VALUE"),
    ] = ()
    config: Annotated[
        Path | None, Option("A JSON file of settings; --set wins.", metavar="FILE")
    ] = None
    seed: Annotated[int, Option("For every random choice.")] = 0
    restart: Annotated[bool, Option("Forget an earlier training.")] = False
    resume: Annotated[
        bool, Option("Go on, and fail if there is nothing to go on with.")
    ] = False
    tensorboard: Annotated[bool, Option("Write event files, too.")] = False
    second: Annotated[
        Path | None,
        Option(
            "A run of the same classes in a second domain, for adp-multi.",
            metavar="RUN_B",
            is_argument=True,
        ),
    ] = None
    source: Annotated[
        Path | None,
        Option(
            "A run of another domain, whose trained generator is tuned on the images "
            "of this one.",
            name="--from",
            metavar="SOURCE_RUN",
        ),
    ] = None
    tune: Annotated[
        str | None,
        Option("The part of it that is trained on: image.", metavar="PART"),
    ] = None
    lfs: GivenLFs = ()
    trust_code: TrustCode = False

    def __post_init__(self) -> None:
        as_declared(self)
        self._check_tuning()
        if self.resume and self.restart:
            raise InputError("give --resume or --restart, not both.")
        if self.steps is not None and self.max_minutes is not None:
            raise InputError("give --steps or --max-minutes, not both.")
        if self.max_minutes is not None and not 0 < self.max_minutes < math.inf:
            raise InputError(
                f"max_minutes is {self.max_minutes:g}; give a number above 0."
            )

    def _check_tuning(self) -> None:
        if self.tune is not None and self.source is None:
            raise InputError(
                "--tune says what is tuned of a trained generator; give --from, the "
                "run that it was trained on."
            )
        if self.source is not None and self.tune is None:
            raise InputError(
                "--from takes a trained generator; give --tune image, the part of it "
                "that is trained on these images."
            )
        if self.source is not None and self.second is not None:
            raise InputError(
                f"--from tunes a generator on the images of one run; leave "
                f"{self.second} out."
            )
        if self.tune not in (None, *_PARTS):
            raise InputError(f"--tune is {self.tune!r}; give {', '.join(_PARTS)}.")

    @property
    def folder_name(self) -> str:
        """What the trained generator is called in the run."""
        return self.name if self.source is None else f"{self.name}{TUNED}"

    @property
    def folder(self) -> Path:
        """Where the training is kept."""
        return self.run / "models" / self.folder_name

    def generator_settings(self) -> dict[str, Any]:
        """Read the file of settings, with those given one by one over it."""
        found = training_settings(self.config, self.settings, self.steps, self.seed)
        if "n_steps" in found and self.max_minutes is not None:
            raise InputError(_ONE_LENGTH)
        return found


_PARTS = ("image",)
_ONE_LENGTH = "give n_steps, --steps or --max-minutes, only one of them."


def training_settings(
    config: Path | None, pairs: Sequence[str], steps: int | None, seed: int
) -> dict[str, Any]:
    """Read the settings of a generator: a file, "key=value" texts, options."""
    if steps is not None and steps < 1:
        raise InputError(f"--steps is {steps}; give 1 or more.")
    check_seed(seed)
    found = read_settings(config, pairs)
    if "random_state" in found:
        raise InputError("random_state is set by --seed; leave it out of the settings.")
    if "n_steps" in found and steps is not None:
        raise InputError(_ONE_LENGTH)
    found["random_state"] = seed
    if steps is not None:
        found["n_steps"] = steps
    return found


def read_settings(config: Path | None, pairs: Sequence[str]) -> dict[str, Any]:
    """Read a JSON file of settings, and "key=value" texts over them."""
    found: dict[str, Any] = {}
    if config is not None:
        try:
            found = json.loads(config.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"--config {config} cannot be read ({error}).") from error
        if not isinstance(found, dict):
            raise InputError(
                f'--config {config} holds no settings; expected {{"name": value}}.'
            )
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {pair!r} is no setting; give key=value.")
        found[key.strip()] = value.strip()
    return found
