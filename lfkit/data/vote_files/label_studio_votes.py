"""Label Studio's export: each annotator is a voter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lfkit.data.label_studio_export import only_choice, read_tasks, told
from lfkit.data.vote_files import long_table
from lfkit.data.vote_files.vote_file import VoteFile
from lfkit.errors import VotesError

_SHOWN = 3


def read(
    path: Path,
    control: str | None,
    n_classes: int | None,
    class_names: Sequence[str] | None,
) -> VoteFile:
    """Read an export as JSON or JSON-MIN; images come in the order of the tasks.

    Who gave an image two classes has no vote on it. Cancelled annotations, those of
    several classes and predictions are left out.

    Parameters
    ----------
    control : name of the choices; None: the only ones there are.
    """
    import pyarrow as pa

    tasks = read_tasks(path, control)
    said: dict[tuple[str, str], str | None] = {}
    for task in tasks:
        for annotation in task.annotations:
            choice = only_choice(annotation)
            if choice is None:
                continue
            if not task.image:
                raise VotesError(
                    f"task {task.number} has neither an image_id nor the place of its "
                    "image; export all of its data."
                )
            cell = task.image, annotation.annotator
            said[cell] = choice if said.get(cell, choice) == choice else None
    if not said:
        raise VotesError(
            "nobody has chosen a class in it; export it from Label Studio as JSON "
            "after people have labeled."
        )
    torn = [cell for cell, choice in said.items() if choice is None]
    columns = zip(*((*cell, choice) for cell, choice in said.items()), strict=True)
    task_ids, workers, labels = (pa.array(each, pa.string()) for each in columns)
    table = pa.table({"task": task_ids, "worker": workers, "label": labels})
    file = long_table.from_table(table, n_classes, class_names, "the annotations")
    return replace(file, notes=(*told(tasks), *_about_torn(torn), *file.notes))


def _about_torn(torn: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    if not torn:
        return ()
    shown = ", ".join(f"{who} on {image}" for image, who in torn[:_SHOWN])
    more = ", …" if len(torn) > _SHOWN else ""
    return (f"two classes by one person count as no vote: {shown}{more}",)
