"""Options of `lfkit generate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from lfkit.commands.options import GivenLFs, RunFolder, TrustCode
from lfkit.errors import InputError
from lfkit.runs.options import Option, as_declared, check_seed, shares_of

_CHANGES_NO_IMAGE = ("run", "out", "traverse", "lfs", "trust_code")


@dataclass(frozen=True)
class GenerateOptions:
    """Options of `lfkit generate`: of the command line, of Python, of manifest.json.

    Raises
    ------
    InputError : a value is out of range, or two exclude each other.
    """

    run: RunFolder
    out: Annotated[Path, Option("A new folder.", metavar="FOLDER")]
    n: Annotated[
        int | None,
        Option(
            "How many images; needed, unless --traverse is given.",
            name="-n",
            metavar="N",
        ),
    ] = None
    name: Annotated[
        str,
        Option("The generator, if the run has several.", name="--with", metavar="NAME"),
    ] = ""
    format: Annotated[str, Option("folder, npz, parquet or webdataset.")] = "folder"
    classes: Annotated[
        tuple[str, ...],
        Option("Only this class. May be repeated.", name="--class", metavar="CLASS"),
    ] = ()
    balanced: Annotated[bool, Option("As many images of every class.")] = False
    shares: Annotated[
        tuple[float, ...],
        Option(
            "Shares of the classes, in their order.",
            metavar="P,…",
            parse=shares_of("--shares"),
        ),
    ] = ()
    min_confidence: Annotated[
        float,
        Option(
            "Minimum label confidence: weighted agreement of the functions, or the "
            "generator's own.",
            metavar="P",
        ),
    ] = 0.0
    revote: Annotated[
        bool, Option("The functions vote on every image, for its confidence.")
    ] = False
    traverse: Annotated[
        int | None,
        Option(
            "Draw what a continuous code of the generator does, 1 or more, in the "
            "place of images.",
            metavar="CODE",
        ),
    ] = None
    seed: Annotated[int, Option("Other seed, other images.")] = 0
    lfs: GivenLFs = ()
    trust_code: TrustCode = False

    def __post_init__(self) -> None:
        as_declared(self)
        check_seed(self.seed)
        if self.traverse is not None:
            self._check_traverse()
        elif self.n is None:
            raise InputError("give -n, the number of images; or --traverse, a code.")
        elif self.n < 1:
            raise InputError(f"-n is {self.n}; give the number of images, 1 or more.")
        if not 0 <= self.min_confidence < 1:
            raise InputError(
                f"--min-confidence is {self.min_confidence:g}; give a share from 0 to "
                "1."
            )

    def _check_traverse(self) -> None:
        of_images = {
            "-n": self.n is not None,
            "--class": bool(self.classes),
            "--balanced": self.balanced,
            "--shares": bool(self.shares),
            "--min-confidence": self.min_confidence > 0,
            "--revote": self.revote,
        }
        if given := [option for option, is_given in of_images.items() if is_given]:
            raise InputError(
                f"--traverse draws twelve images of every class; leave {given[0]} out."
            )

    @property
    def n_images(self) -> int:
        """How many images, where these are drawn."""
        assert self.n is not None, "checked where there is no code to traverse"
        return self.n

    def that_change_images(self) -> dict[str, Any]:
        """Give the options on which the images depend, for manifest.json."""
        found = vars(self).items()
        return {key: value for key, value in found if key not in _CHANGES_NO_IMAGE}
