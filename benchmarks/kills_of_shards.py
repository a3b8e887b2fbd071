"""Kill `lfkit label` while it labels shards, and compare the labels byte for byte.

    python -m benchmarks.kills_of_shards [--engine ray] [--kills 20] [--seed 0]

Digits are labeled once without a kill, in one process. Then they are labeled by two
processes, of this machine or of Ray, of which SIGKILL takes at random moments one that
labels, the main process alone, or all of them. The first is replaced by the command
itself; after the others it is started again at once, whether or not processes of before
are still there.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.kills import call, contents, differences, end, say, start
from lfkit.data.datasets import open_images

FUNCTIONS = """
import time
import torch
from lfkit import NearestMean, feature, labeling_function

CLASSES = [str(digit) for digit in range(10)]


@feature(batched=True)
def quarters(images):
    if "label" in __import__("sys").argv:
        time.sleep(0.3)  # a shard takes some time, however quick the machine is
    return torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)


@labeling_function(
    classes=list(range(10)), features=[quarters], batched=True,
    thresholds={"rule": NearestMean(quarters)},
)
def quarters_tell(values, *, rule):
    return rule(values).argmax(dim=1)


@labeling_function(classes=list(range(10)))
def corner_is_a_digit(image):
    return int(image[3, 3, 0]) % 10
"""
ENGINES = {
    "local": ["--workers", "2"],
    "ray": ["--workers", "2", "--engine", "ray"],
}
VICTIMS = ("one that labels", "the main process", "all processes")
_LFKIT = ("-P", "-m", "lfkit")
_LABELS = {"local": "spawn_main", "ray": "ray::_Actor"}  # in the command of a process
_IMAGES = 10  # of a shard
_SHARD_S = 0.3
_STARTING_S = 6.0
_LONGEST_S = 300.0  # that something is waited for
_ALONE_S = (
    60.0  # in which processes notice that nobody waits for them: Ray's agents too
)
_POLL_S = 0.02


@dataclass
class KilledShards:
    """How the labeling fared.

    Attributes
    ----------
    kills : by victim.
    mid_work : kills while a process labeled a shard.
    starts : of the command, the one that ended well among them.
    survivors : commands of processes that were there a minute after the end.
    different : files that differ from those of an uninterrupted labeling.
    failed : what the last command said, if it did not end well.
    """

    kills: Counter[str] = field(default_factory=Counter)
    mid_work: int = 0
    starts: int = 0
    survivors: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    failed: str = ""


def prepare(folder: Path, n_shards: int) -> None:
    """Make a labeler and digits in a folder, and label them without a kill."""
    (folder / "functions.py").write_text(FUNCTIONS)
    asked = ["--seeds-per-class", "5", "--no-baselines", "--no-sheet", "--out", "run"]
    call(["apply", "digits", "--lfs", "functions.py", *asked], folder, _LFKIT)
    call(["freeze", "run", "--out", "labeler"], folder, _LFKIT)
    images = open_images("digits").read(np.arange(n_shards * _IMAGES)).pixels
    np.save(folder / "digits.npy", images)
    call([*_label("whole"), "--workers", "1"], folder, _LFKIT)


def kill_shards(
    folder: Path,
    engine: str,
    n_kills: int,
    seed: int,
    say: Callable[[str], None] = lambda text: None,
) -> KilledShards:
    """Label digits in shards, killed again and again.

    Parameters
    ----------
    folder : what `prepare` filled.
    """
    rng, found = np.random.default_rng(seed), KilledShards()
    out = folder / f"killed on {engine}"
    # Many deaths may hit one shard, and each is no fault of its own.
    tries = ["--max-shard-retry", str(n_kills)]
    command = [*_label(out.name), *ENGINES[engine], *tries]
    process: subprocess.Popen[bytes] | None = None
    seen = _Family()
    for victim in rng.permutation(np.resize(VICTIMS, n_kills)).tolist():
        if process is None or process.poll() is not None:
            process = start(command, folder, _LFKIT)
            found.starts += 1
        more = int(rng.integers(0, 3))
        wanted = _n_done(out) + more

        def is_time(wanted: int = wanted, main: int = process.pid) -> bool:
            return bool(seen.labeling(main, engine)) and _n_done(out) >= wanted

        if more or victim == VICTIMS[0]:
            _wait(process, is_time)
            time.sleep(rng.uniform(0, _SHARD_S))
        else:  # perhaps before anything is labeled
            time.sleep(rng.uniform(0, _STARTING_S))
        n_done = _n_done(out)
        if process.poll() is not None:
            break
        workers = seen.labeling(process.pid, engine)
        found.mid_work += bool(workers)
        victims = [process.pid]
        if victim == VICTIMS[0]:
            victims = [int(rng.choice(workers))] if workers else []
        elif victim == VICTIMS[2]:
            victims = [*seen.of(process.pid)]
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if victim != VICTIMS[0]:
            process.wait()
        found.kills[victim] += 1
        say(f"{victim}, when {n_done} shards were done")
    if process is None or process.poll() is not None:
        process = start(command, folder, _LFKIT)
        found.starts += 1
    found.failed = end(process)
    found.survivors = seen.survivors()
    found.different = differences(_labels(folder / "whole"), _labels(out))
    return found


def _label(out: str) -> list[str]:
    asked = ["--labeler", "labeler", "--trust-code", "--shard-size", str(_IMAGES)]
    return ["label", "digits.npy", *asked, "--out", out]


def _n_done(out: Path) -> int:
    return len(list(out.glob("part-*.json")))


def _wait(process: subprocess.Popen[bytes], until: Callable[[], object]) -> None:
    """Wait for something, or the end of a command."""
    deadline = time.monotonic() + _LONGEST_S
    while process.poll() is None and time.monotonic() < deadline and not until():
        time.sleep(_POLL_S)


class _Family:
    """The processes of commands: those of Ray are in groups of their own."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, str]] = set()  # and when each was started

    def of(self, main: int) -> dict[int, str]:
        """Give a process, and all that it or they have started: their commands."""
        running = _processes()
        family = [main]
        for pid in family:
            family += [child for child, parent, *_ in running if parent == pid]
        self._seen |= {(pid, when) for pid, _, when, _ in running if pid in family}
        return {pid: command for pid, _, _, command in running if pid in family}

    def labeling(self, main: int, engine: str) -> list[int]:
        """List those that label shards."""
        family = self.of(main)
        return [pid for pid, command in family.items() if _LABELS[engine] in command]

    def survivors(self) -> list[str]:
        """Give the commands of those that are there after some time; end them."""
        deadline = time.monotonic() + _ALONE_S
        while True:
            left = {
                pid: command
                for pid, _, when, command in _processes()
                if (pid, when) in self._seen
            }
            if not left or time.monotonic() > deadline:
                break
            time.sleep(_POLL_S)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return list(left.values())


def _processes() -> list[tuple[int, int, str, str]]:
    """List all processes that run: number, parent, when it was started, command."""
    asked = ["ps", "-axo", "pid=,ppid=,stat=,lstart=,args="]
    told = subprocess.run(asked, capture_output=True, text=True, check=True)
    rows = [line.split(None, 8) for line in told.stdout.splitlines()]
    return [
        (int(row[0]), int(row[1]), " ".join(row[3:8]), row[8])
        for row in rows
        if len(row) == 9 and not row[2].startswith("Z")
    ]


def _labels(out: Path) -> dict[str, bytes]:
    """Give the Parquet files; what a killed writer left has a hidden name."""
    return {
        name: data
        for name, data in contents(out).items()
        if name.endswith(".parquet") and not name.startswith(".")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--engine", choices=ENGINES, action="append")
    parser.add_argument("--kills", type=int, default=20, help="of each engine")
    parser.add_argument("--shards", type=int, default=160)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), asked.shards)
        for engine in asked.engine or ENGINES:
            found = kill_shards(Path(folder), engine, asked.kills, asked.seed, say)
            say(
                f"{engine}: {found.kills.total()} kills in {found.starts} starts, "
                f"{found.mid_work} while shards were labeled; "
                f"{len(found.survivors)} survivors, {len(found.different)} files "
                f"differ {found.failed}"
            )
            for command in found.survivors:
                say(f"  {command}")


if __name__ == "__main__":
    main()
