"""A small run with a trained generator, made once and copied for every case."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.toy_photos import HALVES, TOY, write_photos

FUNCTIONS = f"""{HALVES}
@labeling_function(features=[left_minus_right], classes=[0], batched=True)
def much_brighter_left_is_left(values):
    return (values <= 0.2).long() * -1
"""
TRAINING = ("--with", "two-stage", "--steps", "20", *TOY)
N_IMAGES = 40


def call(*words: object) -> tuple[int, str]:
    """Run a command in this process: its exit code and all that it printed."""
    from lfkit.cli.app import main

    said, before = io.StringIO(), sys.argv
    sys.argv = ["lfkit", *map(str, words)]
    code: object = 0
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            main()
    except SystemExit as stop:
        code = stop.code or 0
    finally:
        sys.argv = before
    return int(code) if isinstance(code, int) else 1, said.getvalue()


@cache
def prepared(scratch: Path) -> Path:
    """Make, once, photos, tables of them, a run RUN and a generator in it."""
    home = scratch / "prepared"
    if (home / "done").exists():
        return home
    shutil.rmtree(home, ignore_errors=True)
    names = write_photos(home / "photos", N_IMAGES)
    labels = [("left", "right")[number % 2] for number in range(N_IMAGES)]
    (home / "functions.py").write_text(FUNCTIONS)
    rows = [f"{n},{c}" for n, c in zip(names, labels, strict=True)]
    (home / "seeds.csv").write_text("\n".join(["image_id,label", *rows[:12]]))
    paths = [f"{home}/photos/{row}" for row in rows]
    (home / "manifest.csv").write_text("\n".join(["path,label", *paths]))
    held = {"path": [f"{home}/photos/{n}" for n in names], "label": labels}
    pq.write_table(pa.table(held), home / "manifest.parquet")
    run = home / "run"
    refine = ["--refine", "--stages", "lda,diffuse"]
    functions = ["--lfs", home / "functions.py", "--seed-labels", home / "seeds.csv"]
    commands: list[list[object]] = [
        ["apply", home / "photos", *functions, *refine, "--out", run],
        ["train", run, *TRAINING],
        ["generate", run, "-n", 20, "--out", home / "made", "--format", "npz"],
        ["report", run],
    ]
    for suffix in ("npz", "npy", "csv", "parquet"):
        commands.append(["export", run, "--out", home / f"votes.{suffix}"])
    for words in commands:
        code, said = call(*words)
        if code:
            raise RuntimeError(f"lfkit {' '.join(map(str, words))}: {said}")
    (home / "done").touch()
    return home


def links(folder: Path) -> list[Path]:
    """List the files below a folder, without locks."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in found if path.name != ".lock"]


os.environ.setdefault("COLUMNS", "120")
