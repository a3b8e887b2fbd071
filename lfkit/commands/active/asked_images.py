"""Images that a round asks about in the studio: files of the round's folder.

`lfkit active` writes which images it asks about, the studio shows them first, and who
waits for the answers writes them down beside the question.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lfkit.commands.active.annotations import write_csv
from lfkit.errors import RunError
from lfkit.runs.store import write_atomically

ASKED = "asked.json"
GIVEN = "studio_answers.csv"


@dataclass(frozen=True)
class AskedImages:
    """What one round asks about.

    Attributes
    ----------
    folder : of the round.
    number : of the round, from 1.
    ids : of the images, in the order in which they are asked.
    """

    folder: Path
    number: int
    ids: tuple[str, ...]

    def answer(self, label_of: Mapping[str, str]) -> None:
        """Write all answers down, image id → name of its class; the round takes them.

        Raises
        ------
        RunError : an image has no answer.
        """
        missing = [name for name in self.ids if name not in label_of]
        if missing:
            raise RunError(
                f"{len(missing)} of the {len(self.ids)} images of round {self.number} "
                f"have no answer, such as {missing[0]}; answer them in the studio."
            )
        rows = [(name, label_of[name]) for name in self.ids]
        write_csv(self.folder / GIVEN, ("image_id", "label"), rows)


def write_asked(folder: Path, number: int, ids: Sequence[str]) -> None:
    """Ask about images in the studio, in the round's folder."""
    text = json.dumps({"round": number, "ids": [*ids]})
    write_atomically(folder / ASKED, text.encode())


def open_question(run: Path) -> AskedImages | None:
    """Find the round of a run that waits for answers in the studio; None without one.

    A file that cannot be read asks about nothing.
    """
    folders = [*(run / "active").glob("round-*")]
    folders.sort(key=lambda path: (len(path.name), path.name))  # 100 comes after 99
    if not folders or not (folders[-1] / ASKED).is_file():
        return None
    if (folders[-1] / GIVEN).exists():
        return None
    try:
        held = json.loads((folders[-1] / ASKED).read_bytes())
        ids = tuple(str(name) for name in held["ids"])
        return AskedImages(folders[-1], int(held["round"]), ids)
    except (OSError, ValueError, KeyError, TypeError):
        return None
