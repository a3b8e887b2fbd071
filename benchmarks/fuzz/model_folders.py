"""Generators of which one file is damaged, and folders of generated images."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.fuzz.case import Case
from benchmarks.fuzz.damage import damaged
from benchmarks.fuzz.prepared import TRAINING, links, prepared

# What is asked for is not there: a folder that was renamed, another name of it.
_FINE = ("no trained generator", "no trained '", "holds images made with")
_PICTURES = (".png", ".html")


def cases(rng: np.random.Generator, folder: Path) -> Iterator[Case]:
    """Damage one file of a model, and generate, report, train or label with it."""
    home = prepared(folder.parent)
    number = 0
    while True:
        part = folder / str(number)
        run, out = part / "run", part / "made"
        shutil.copytree(home / "run", run)
        shutil.copytree(home / "made", out)
        model = run / "models" / "two-stage"
        own = [*links(model), *links(out)]
        own = [path for path in own if path.suffix not in _PICTURES]
        path = own[rng.integers(len(own))]
        told = f"{path.relative_to(part)} {damaged(rng, path)}"
        if rng.random() < 0.2:
            name = str(rng.choice(["two-stage-backup", "vote", "a b"]))
            model.rename(model.parent / name)
            path = model.parent / name / path.name if model in path.parents else path
        make = ("generate", str(run), "-n", "20", "--format", "npz")
        commands = (
            (*make, "--out", str(part / "new")),
            (*make, "--out", str(out)),
            ("report", str(run), "--generated", str(out / "generated.npz")),
            ("aggregate", str(run), "--with", "two-stage"),
            ("train", str(run), *TRAINING),
        )
        command = commands[rng.choice(5, p=[0.5, 0.15, 0.05, 0.15, 0.15])]
        yield Case("model folder", told, (path,), command, _same_or_named)
        shutil.rmtree(part)
        number += 1


def _same_or_named(case: Case, code: int, output: str) -> str:
    """Exit code 2 names the file or its folder; 0 makes the same images."""
    [path] = case.files
    if code == 2:
        fine = path.name in output or str(path.parent) in output
        fine = fine or any(text in output for text in _FINE)
        return "" if fine else "refused, and names neither the file nor its folder"
    if case.command[0] == "generate" and path.name != "config.json":
        out = Path(case.command[-1])
        made = out / "generated.npz"
        expected = prepared(out.parents[2]) / "made" / "generated.npz"
        if path != made and made.read_bytes() != expected.read_bytes():
            return "other images than without damage"
    return ""
