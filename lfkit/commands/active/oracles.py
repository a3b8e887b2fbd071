"""Asking people for the classes of images, in files or in the studio."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfkit.commands.active.annotations import (
    SHEET,
    TASKS,
    Questions,
    checked,
    read_sheet,
    write_sheet,
)
from lfkit.commands.active.asked_images import ASKED, GIVEN, write_asked
from lfkit.commands.active.label_studio import read_export, write_tasks
from lfkit.commands.active.options import ActiveOptions
from lfkit.data.image_source import ImageSource


class Waiting(Exception):
    """People are asked, and have not answered all; says what to do, in a sentence.

    Attributes
    ----------
    file : what they are to fill in, or import.
    n_asked, n_missing : images.
    """

    def __init__(self, file: Path, n_asked: int, n_missing: int, what: str) -> None:
        super().__init__(what)
        self.file, self.n_asked, self.n_missing = file, n_asked, n_missing


@dataclass(frozen=True, eq=False)
class QueryBatch:
    """What people are asked about.

    Attributes
    ----------
    rows : (q,) of the questions' images in `source`.
    ids : of all images.
    before : ids that were answered in earlier rounds.
    number : of the round, from 1.
    """

    questions: Questions
    rows: NDArray[np.int64]
    source: ImageSource
    ids: Sequence[str]
    before: frozenset[str]
    number: int


def collect_answers(
    options: ActiveOptions,
    folder: Path,
    images: QueryBatch,
    class_names: Sequence[str],
    note: Callable[[str], None] = lambda text: None,
) -> NDArray[np.int64]:
    """Read what people answered, (q,) classes; ask them first.

    Parameters
    ----------
    folder : of the round.
    note : takes what was decided when answers were read.

    Raises
    ------
    Waiting : not all have an answer yet.
    DataError : an answer is no class, or of an image that was not asked about.
    """
    questions, n = images.questions, len(images.rows)
    if options.oracle == "csv":
        path = sheet = folder / SHEET
        if not sheet.exists():
            write_sheet(sheet, questions, images.source, images.rows)
        said = read_sheet(sheet)
        what = (
            f"Fill in the column label of {sheet} ({n} images, classes "
            f"{', '.join(class_names)}), and give the same command again."
        )
    elif options.oracle == "studio":
        sheet, path = folder / ASKED, folder / GIVEN
        if not sheet.exists():
            write_asked(folder, images.number, questions.ids)
        said = read_sheet(path) if path.exists() else []
        what = (
            f"Label the {n} images that `lfkit studio` shows first on the page Next of "
            f"{options.run}, and give the same command again."
        )
    else:
        sheet, given = folder / TASKS, options.answers
        if not sheet.exists():
            write_tasks(
                sheet,
                questions,
                images.source,
                images.rows,
                class_names,
                options.generator,
            )
        path = given or sheet
        said = [] if given is None else read_export(given)
        what = (
            f"Import {sheet} ({n} images) into a Label Studio project with the "
            f"interface {folder / 'labeling_config.xml'}, label them, export as JSON, "
            "and give the same command with --answers FILE."
        )
    found = checked(
        said,
        path,
        asked=questions.ids,
        before=images.before,
        all_ids=images.ids,
        class_names=class_names,
        note=note,
    )
    n_missing = n - len(found)
    if n_missing:
        if options.answers is not None and not found:
            what = f"{path} has no answers to round {images.number}. " + what
        if found:
            what = (
                f"{n_missing} of the {n} labels of round {images.number} are missing "
                f"in {path}; nothing was taken. " + what
            )
        raise Waiting(sheet, n, n_missing, what)
    return np.asarray([found[name] for name in questions.ids], np.int64)
