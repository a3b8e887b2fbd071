"""Images a second of `lfkit label`: one process, two, and Ray, on the same shards.

    python -m benchmarks.scale [--images 4000] [--shards 8] [--workers 2]

A run on scikit-learn's digits, enlarged to 28x28, with all functions of
`lf_library.digits` is frozen; digits of that size, shifted so that each is another
image, are written as arrays and labeled. Each way is a command of its own, so its start
counts: the second column is without it. All ways must give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from lfkit.data.datasets import open_images

_TRAINED_ON = 500  # images of the run
_SECONDS = 3600  # after which a command is ended


def command(*arguments: Any) -> float:
    """Run a command of lfkit; give its seconds."""
    began = time.perf_counter()
    text = [sys.executable, "-m", "lfkit", *map(str, arguments)]
    subprocess.run(text, check=True, timeout=_SECONDS, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def many_digits(n: int) -> np.ndarray:
    """Make n different images of 28x28 of the digits, (n, 28, 28, 1)."""
    source = open_images("digits")
    small = source.read(np.arange(len(source))).pixels
    large = np.repeat(np.repeat(small, 3, axis=1), 3, axis=2)
    large = np.pad(large, ((0, 0), (2, 2), (2, 2), (0, 0)))
    rows = np.arange(n)
    found = large[rows % len(large)]
    turn = rows // len(large)
    found[:, 0, 0, 0] = turn % 256  # a dark corner makes each a file of its own
    found[:, 0, 1, 0] = turn // 256
    return found


def measure(folder: Path, n: int, n_shards: int, workers: int) -> list[dict[str, Any]]:
    """Label n images in each way; give a row per way."""
    images, labels = many_digits(n), open_images("digits").labels
    assert labels is not None, "they are known"
    known = folder / "known.npz"
    np.savez(known, images=images[:_TRAINED_ON], labels=labels[:_TRAINED_ON])
    np.save(folder / "many.npy", images)
    run, labeler = folder / "run", folder / "labeler"
    asked = ("--seeds-per-class", 10, "--no-baselines", "--no-sheet", "--out", run)
    command("apply", known, "--lfs", "lf_library.digits", *asked)
    command("freeze", run, "--out", labeler)
    ways = [
        ("1 process", ()),
        (f"{workers} processes", ("--workers", workers)),
    ]
    if find_spec("ray") is not None:
        ray = ("--engine", "ray", "--workers", workers)
        ways.append((f"Ray, {workers} CPUs", ray))
    rows, first = [], None
    size = -(-n // n_shards)
    for number, (name, options) in enumerate(ways):
        out = folder / f"out {number}"
        asked = ("--labeler", labeler, "--out", out, "--shard-size", size)
        seconds = command("label", folder / "many.npy", *asked, *options)
        done = [json.loads(p.read_text()) for p in sorted(out.glob("part-*.json"))]
        work = sum(each["seconds"] for each in done)
        at_once = 1 if number == 0 else min(workers, len(done))
        data = [path.read_bytes() for path in sorted(out.glob("part-*.parquet"))]
        first = first or data
        rows.append(
            {
                "way": name,
                "images/s": round(n / seconds, 1),
                "without the start": round(n / (work / at_once), 1),
                "same bytes": data == first,
            }
        )
    return rows


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), asked.images, asked.shards, asked.workers)
    print(f"| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}")
    for row in rows:
        print(f"| {' | '.join(map(str, row.values()))} |")


if __name__ == "__main__":
    main()
