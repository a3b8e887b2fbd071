"""Run folders of which one file is damaged."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.fuzz.case import Case
from benchmarks.fuzz.damage import damaged
from benchmarks.fuzz.prepared import TRAINING, call, links, prepared

# What may say something else after damage, without being wrong: it is what was asked
# for, or what nobody else knows.
_FREE = ("run.json", "settings.json", "config.json", "trust.json", "log.jsonl")


def _commands(home: Path, run: Path) -> list[tuple[str, ...]]:
    apply = ("apply", f"{home}/photos", "--lfs", f"{home}/functions.py")
    seeds = ("--seed-labels", f"{home}/seeds.csv")
    refine = (*seeds, "--refine", "--stages", "lda,diffuse")
    return [
        ("analyze", str(run), "--json"),
        ("diagnose", str(run), "--json"),
        ("aggregate", str(run), "--with", "majority-vote", "--json"),
        ("aggregate", str(run), "--with", "two-stage", "--json"),
        ("export", str(run), "--out", f"{run.parent}/out.csv"),
        ("report", str(run)),
        (*apply, "--out", str(run), *refine),
        ("train", str(run), *TRAINING),
    ]


def cases(rng: np.random.Generator, folder: Path) -> Iterator[Case]:
    """Damage one file of a run, and call a command that reads it."""
    home = prepared(folder.parent)
    number = 0
    while True:
        run = folder / str(number) / "run"
        shutil.copytree(home / "run", run)
        files = [path for path in links(run) if "models" not in path.parts]
        few = [path for path in files if path.parent == run]
        path = (few if rng.random() < 0.5 else files)[rng.integers(len(few))]
        commands = _commands(home, run)
        command = commands[rng.integers(len(commands))]
        yield Case(
            "run folder",
            f"{path.relative_to(run)} {damaged(rng, path)}",
            (path,),
            command,
            _same_or_named,
        )
        shutil.rmtree(run.parent)
        number += 1


def _same_or_named(case: Case, code: int, output: str) -> str:
    """Exit code 2 names the file or its run; 0 gives the same as without damage."""
    [path] = case.files
    run = next(each for each in path.parents if each.name == "run")
    if code == 2:
        named = path.name in output or str(run) in output
        return "" if named else "refused, and names neither the file nor its run"
    if case.command[0] == "apply" and path.name not in _FREE:
        labels = (run / "labels.csv").read_bytes()
        same = labels == (prepared(run.parents[2]) / "run/labels.csv").read_bytes()
        return "" if same else "other labels than without damage"
    if "--json" in case.command and path.name not in _FREE:
        home = prepared(run.parents[2])
        expected = _undamaged(home, _commands(home, run).index(case.command))
        # The summary names the folder that the copied run was made in.
        same = _without_paths(output, home, run) == expected
        return "" if same else "another answer than without damage"
    return ""


@cache
def _undamaged(home: Path, place: int) -> str:
    run = home / "run"
    return _without_paths(call(*_commands(home, run)[place])[1], home, run)


def _without_paths(output: str, home: Path, run: Path) -> str:
    return output.replace(str(run), "RUN").replace(str(home / "run"), "RUN")
