"""Memory of `lfkit apply`: images against peak bytes and seconds.

    python -m benchmarks.memory [--images 125000 250000 ...] [--folder memory]

Random images of 8x8 pixels, a file of their own for each number of images, are labeled
by cheap batched functions, ten that vote for one of ten classes or five that vote
softly for four. Each is a command of its own; what it and its children hold is read
from /proc twenty times a second. Done points are kept in FOLDER/results.json: the same
command goes on after a stop, and runs only what is missing. Linux only.

"peak" counts every resident page; "own" leaves out pages mapped from files (images,
votes), which the system takes back when memory is short.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import markdown
from lfkit.data.files import write_atomically

_SIDE_PX = 8
_CHUNK_IMAGES = 1 << 16
_POLL_S = 0.05
_MB = 1e6
_LARGE = 10_000_000  # images that the line through the points is drawn to
_SEEN = ("RssAnon", "RssFile", "RssShmem")

_HARD = """
import torch
from lfkit import ABSTAIN, labeling_function

CLASSES = [str(label) for label in range(10)]


def rule(j):
    @labeling_function(name=f"dark_{j}", classes=[j], batched=True)
    def vote(images):
        place = 5 * j
        is_dark = images[:, 0, place // 8, place % 8] < 0.25
        return torch.where(is_dark, j, ABSTAIN)

    return vote


LFS = [rule(j) for j in range(10)]
"""

_SOFT = """
import torch
from lfkit import labeling_function

CLASSES = [str(label) for label in range(4)]


def rule(j):
    @labeling_function(name=f"row_{j}", classes=range(4), soft=True, batched=True)
    def vote(images):
        return torch.softmax(4 * images[:, 0, j, :4], dim=1)

    return vote


LFS = [rule(j) for j in range(5)]
"""

FUNCTIONS = {"hard": _HARD, "soft": _SOFT}


def write_images(path: Path, n: int) -> None:
    """Write n random images, (n, 8, 8) uint8, a part at a time."""
    images = np.lib.format.open_memmap(
        path, "w+", np.uint8, shape=(n, _SIDE_PX, _SIDE_PX)
    )
    rng = np.random.default_rng(n)
    for start in range(0, n, _CHUNK_IMAGES):
        part = images[start : start + _CHUNK_IMAGES]
        part[:] = rng.integers(0, 256, part.shape, np.uint8)


def measure(folder: Path, votes: str, n: int) -> dict[str, Any]:
    """Label n images in a new process; give its peaks, in bytes, and its seconds."""
    place = folder / f"{votes}-{n}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    write_images(place / "images.npy", n)
    (place / "functions.py").write_text(FUNCTIONS[votes])
    began = time.perf_counter()
    command = [sys.executable, "-m", "lfkit", "apply", place / "images.npy"]
    command += ["--lfs", place / "functions.py", "--out", place / "run"]
    process = subprocess.Popen(map(str, command), stdout=subprocess.DEVNULL)
    peak = own = 0
    while process.poll() is None:
        held = [_resident(pid) for pid in _tree(process.pid)]
        own = max(own, sum(each["RssAnon"] for each in held))
        peak = max(peak, sum(sum(each.values()) for each in held))
        time.sleep(_POLL_S)
    if process.returncode:
        raise SystemExit(f"`lfkit apply` ended with {process.returncode} in {place}")
    seconds = time.perf_counter() - began
    on_disk = sum(p.stat().st_size for p in (place / "run").rglob("*") if p.is_file())
    shutil.rmtree(place)
    return {
        "votes": votes,
        "images": n,
        "peak": peak,
        "own": own,
        "on_disk": on_disk,
        "seconds": round(seconds, 1),
    }


def _tree(pid: int) -> Iterator[int]:
    """Give a process and those below it."""
    yield pid
    try:
        below = [
            path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")
        ]
    except OSError:  # it has just ended
        return
    for child in " ".join(below).split():
        yield from _tree(int(child))


def _resident(pid: int) -> dict[str, int]:
    """Give the resident bytes of a process by kind; zeros when it has ended."""
    found = dict.fromkeys(_SEEN, 0)
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        name, _, value = line.partition(":")
        if name in found:
            found[name] = 1024 * int(value.split()[0])
    return found


def bytes_an_image(rows: list[dict[str, Any]], column: str) -> tuple[float, float]:
    """Draw a line through the points: bytes at no images, and of each image more."""
    slope, start = np.polyfit(
        [row["images"] for row in rows], [row[column] for row in rows], 1
    )
    return float(start), float(slope)


def print_results(results: list[dict[str, Any]]) -> None:
    """Print the points of each kind of votes, and where their line leads."""
    for votes in FUNCTIONS:
        rows = sorted(
            (row for row in results if row["votes"] == votes),
            key=lambda row: row["images"],
        )
        if not rows:
            continue
        print(f"### {votes} votes\n")
        titles = ["images", "peak, MB", "own, MB", "run on disk, MB", "seconds"]
        cells = [
            [
                f"{row['images']:,}",
                *(f"{row[c] / _MB:,.0f}" for c in ("peak", "own", "on_disk")),
                f"{row['seconds']:,.0f}",
            ]
            for row in rows
        ]
        print(markdown(titles, cells))
        if len(rows) > 1:
            for column in ("peak", "own"):
                start, slope = bytes_an_image(rows, column)
                print(
                    f"\n{column}: {start / _MB:,.0f} MB and {slope:,.0f} bytes an "
                    f"image; {(start + _LARGE * slope) / 1e9:.2f} GB at {_LARGE:,}"
                )
        print()


def main() -> None:
    """Measure what is missing, and print all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sizes = (125_000, 250_000, 500_000, 1_000_000, 2_000_000)
    parser.add_argument("--images", type=int, nargs="+", default=sizes)
    parser.add_argument("--votes", nargs="+", choices=FUNCTIONS, default=[*FUNCTIONS])
    parser.add_argument("--folder", type=Path, default=Path("memory"))
    asked = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    asked.folder.mkdir(parents=True, exist_ok=True)
    kept = asked.folder / "results.json"
    results = json.loads(kept.read_text()) if kept.exists() else []
    done = {(row["votes"], row["images"]) for row in results}
    for votes in asked.votes:
        for n in asked.images:
            if (votes, n) not in done:
                results.append(measure(asked.folder, votes, n))
                write_atomically(kept, json.dumps(results, indent=1).encode())
    print_results(results)


if __name__ == "__main__":
    main()
