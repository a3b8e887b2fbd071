"""`lfkit export`: the votes of a run, or of a file, for other tools."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lfkit.commands.options import ExportOptions
from lfkit.commands.stored_votes import read_stored_votes
from lfkit.data.vote_files import write_votes


@dataclass(frozen=True)
class Exported:
    """Result of `lfkit export`.

    Attributes
    ----------
    images, functions, classes : their numbers.
    left_out : what the format cannot hold, in sentences.
    notes : what was decided when a file of votes was read.
    """

    file: str
    images: int
    functions: int
    classes: int
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON-ready values."""
        return asdict(self)


def export(options: ExportOptions) -> Exported:
    """Write votes for Snorkel, crowd-kit, WRENCH or a table; no function is called."""
    file = read_stored_votes(options.votes, options.n_classes).file
    left_out = write_votes(
        options.out,
        file.votes,
        ids=file.ids,
        labels=file.labels,
        class_names=file.class_names,
        format=options.format,
    )
    return Exported(
        file=str(options.out),
        images=len(file.votes),
        functions=file.votes.n_functions,
        classes=file.votes.n_classes,
        left_out=tuple(left_out),
        notes=file.notes,
    )
