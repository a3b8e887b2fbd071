"""Seed tables and manifests, and the photos that they name."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.fuzz.case import Case
from benchmarks.fuzz.damage import damaged
from benchmarks.fuzz.prepared import prepared


def cases(rng: np.random.Generator, folder: Path) -> Iterator[Case]:
    """Damage a table, and label with it."""
    home = prepared(folder.parent)
    number = 0
    while True:
        part = folder / str(number)
        part.mkdir()
        name = str(rng.choice(["seeds.csv", "manifest.csv", "manifest.parquet"]))
        path = part / name
        shutil.copy(home / name, path)
        told = damaged(rng, path)
        data = home / "photos" if name == "seeds.csv" else path
        out = ("--no-sheet", "--no-baselines", "--out", str(part / "run"))
        given = ("--seed-labels", str(path)) if name == "seeds.csv" else ()
        yield Case(
            "table",
            f"{name} {told}",
            (path,),
            ("apply", str(data), "--lfs", f"{home}/functions.py", *given, *out),
        )
        shutil.rmtree(part)
        number += 1
