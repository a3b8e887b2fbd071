"""Votes made elsewhere, in damaged files of every format."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.fuzz.case import Case
from benchmarks.fuzz.damage import damaged
from benchmarks.fuzz.prepared import prepared


def cases(rng: np.random.Generator, folder: Path) -> Iterator[Case]:
    """Damage a file of votes, and label, aggregate or convert it."""
    home = prepared(folder.parent)
    number = 0
    while True:
        part = folder / str(number)
        part.mkdir()
        suffix = str(rng.choice(["npz", "npy", "csv", "parquet"]))
        path = part / f"votes.{suffix}"
        shutil.copy(home / path.name, path)
        told = damaged(rng, path)
        plain = ("--no-sheet", "--no-baselines", "--out", str(part / "run"))
        labels = ("--out", str(part / "labels.csv"))
        commands = (
            ("apply", f"{home}/photos", "--votes", str(path), *plain),
            ("aggregate", str(path), "--with", "majority-vote", *labels),
            ("export", str(path), "--out", str(part / "out.npz")),
        )
        yield Case(
            "vote file",
            f"{path.name} {told}",
            (path,),
            commands[rng.integers(3)],
        )
        shutil.rmtree(part)
        number += 1
