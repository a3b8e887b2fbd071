"""Runs cases in a process of their own, under a clock, and keeps what goes wrong."""

from __future__ import annotations

import importlib
import itertools
import multiprocessing
import os
import resource
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fuzz.case import Case
from benchmarks.fuzz.prepared import call, prepared

KINDS = ("images", "vote_files", "run_folders", "model_folders", "tables")
MAX_SECONDS = 20.0  # of processor time: the machine may have other work
_MAX_WALL_S = 120.0
MAX_BYTES = 2_500_000_000
_SLOW_START_S = 240.0  # imports, and the first chunk's preparations
_CASES_A_CHUNK = 20
# Far above what is allowed: what asks for more fails, and the machine lives.
_ADDRESSES = 24_000_000_000


@dataclass
class Found:
    """What a campaign has seen.

    Attributes
    ----------
    files, refused : per kind of case; refused are those with exit code 2.
    findings : by what they have in common; how often, and the first of them.
    """

    files: Counter[str] = field(default_factory=Counter)
    cases: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    findings: dict[str, tuple[int, str]] = field(default_factory=dict)
    slowest_s: float = 0.0
    peak_bytes: int = 0

    def add(self, what: str, example: str) -> None:
        """Count a finding."""
        n, first = self.findings.get(what, (0, example))
        self.findings[what] = n + 1, first

    def lines(self) -> list[str]:
        """Say it all."""
        told = [
            f"{kind}: {self.files[kind]:,} files, {self.cases[kind]:,} commands, "
            f"{self.refused[kind]:,} refused"
            for kind in sorted(self.files)
        ]
        told.append(
            f"slowest {self.slowest_s:.1f} s, most memory {self.peak_bytes / 1e9:.2f} "
            f"GB, {len(self.findings)} kinds of findings"
        )
        for what, (n, first) in sorted(self.findings.items()):
            told.append(f"{n} x {what}\n    {first}")
        return told


def campaign(
    kinds: Sequence[str], *, files: int, minutes: float, seed: int, scratch: Path
) -> Found:
    """Run cases of all kinds in turn until files or minutes are used up.

    A chunk of cases is made from the seed, the kind's name and the chunk's number: it
    is the same whatever ran before it.
    """
    prepared(scratch)
    found, deadline = Found(), time.monotonic() + 60 * minutes
    child: _Child | None = None
    try:
        for number in itertools.count():
            for kind in kinds:
                skip = 0
                while skip < _CASES_A_CHUNK:
                    if sum(found.files.values()) >= files:
                        return found
                    if time.monotonic() > deadline:
                        return found
                    child = child or _Child(scratch)
                    skip = child.run((kind, seed, number, skip), found)
                    if child.is_over:
                        child.kill()
                        child = None
    finally:
        if child is not None:
            child.kill()
    raise AssertionError("chunks have no end")


class _Child:
    """A process that runs chunks of cases."""

    def __init__(self, scratch: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, scratch))
        self._process.start()
        theirs.close()
        self.is_over, self._is_fresh = False, True

    def run(self, chunk: tuple[str, int, int, int], found: Found) -> int:
        """Run a chunk; gives the number of its cases that were run, also before."""
        self._pipe.send(chunk)
        place, told = chunk[3], f"chunk {chunk}"
        started = time.monotonic()
        while True:
            if not self._answers(_SLOW_START_S if self._is_fresh else _MAX_WALL_S):
                found.add(f"{chunk[0]}: takes more than {MAX_SECONDS:.0f} s", told)
                self.is_over = True
                return place + 1
            try:
                said = self._pipe.recv()
            except EOFError:
                self._process.join(5)
                code = self._process.exitcode
                found.add(f"{chunk[0]}: ended its process, exit code {code}", told)
                self.is_over = True
                return place + 1
            self._is_fresh = False
            if said is None:
                return _CASES_A_CHUNK
            if "begin" in said:
                told, started = said["begin"], time.monotonic()
                continue
            kind = said["kind"]
            found.files[kind] += said["files"]
            found.cases[kind] += 1
            found.refused[kind] += said["refused"]
            found.slowest_s = max(found.slowest_s, time.monotonic() - started)
            found.peak_bytes = max(found.peak_bytes, said["peak"])
            place += 1
            if said["problem"]:
                found.add(said["problem"], told + said["said"])
            if said["peak"] > MAX_BYTES:
                found.add(f"{kind}: more than {MAX_BYTES / 1e9:.1f} GB", told)
                self.is_over = True  # the next begins with less
                return place

    def _answers(self, most_s: float) -> bool:
        """Wait for an answer, until too much time has passed or been worked."""
        until, worked = time.monotonic() + most_s, self._worked_s()
        while not self._pipe.poll(1.0):
            over = self._worked_s() - worked > MAX_SECONDS and not self._is_fresh
            if over or time.monotonic() > until:
                return False
        return True

    def _worked_s(self) -> float:
        """Give the seconds of processor time that the process has had."""
        try:
            text = Path(f"/proc/{self._process.pid}/stat").read_text()
        except OSError:
            return 0.0
        user, system = text.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


def _serve(pipe: Connection, scratch: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
    prepared(scratch)
    while True:
        kind, seed, number, skip = pipe.recv()
        for place, case in enumerate(cases_of(kind, seed, number, scratch)):
            if place >= skip:
                told = f"chunk {number}, case {place}: {case.damage}: lfkit "
                pipe.send({"begin": told + " ".join(case.command)})
                pipe.send(tried(case))
        pipe.send(None)


def cases_of(kind: str, seed: int, number: int, scratch: Path) -> Iterator[Case]:
    """Make the cases of a chunk, one after another."""
    rng = np.random.default_rng([seed, number, *kind.encode()])
    folder = scratch / f"{kind}-{number}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    module = importlib.import_module(f"benchmarks.fuzz.{kind}")
    yield from itertools.islice(module.cases(rng, folder), _CASES_A_CHUNK)
    shutil.rmtree(folder, ignore_errors=True)


def tried(case: Case) -> dict[str, Any]:
    """Call a case's command in this process; "problem" says what is wrong, if any."""
    problem, said, code = "", "", 1
    try:
        code, said = call(*case.command)
        if code not in (0, 2):
            problem = f"{case.kind}: exit code {code}"
        else:
            wrong = case.check(case, code, said)
            problem = f"{case.kind}: {case.command[0]}: {wrong}" if wrong else ""
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        own = [
            f
            for f in traceback.extract_tb(error.__traceback__)
            if "/lfkit/" in f.filename
        ]
        where = own[-1] if own else last
        problem = (
            f"{case.kind}: {type(error).__name__} at {Path(where.filename).name}:"
            f"{where.lineno} ({where.line})"
        )
        said = f"{type(error).__name__}: {error}"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "kind": case.kind,
        "files": len(case.files),
        "refused": code == 2,
        "problem": problem,
        "said": f"\n    {' '.join(said.split())[-400:]}" if problem else "",
        "peak": peak,
    }
