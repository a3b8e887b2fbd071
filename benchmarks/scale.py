"""What `lfkit label` costs: by engine, by number of images, and by step of an image.

    python -m benchmarks.scale engines --folder F [--images 200000]
    python -m benchmarks.scale sizes   --folder F [--images 10000 100000 500000 2000000]
    python -m benchmarks.scale steps   --folder F [--images 300]

`engines` labels the same shards by one process on one core, by two processes and by Ray
on two. `sizes` labels more and more of them by two processes. Shards are tar files of
2,000 PNG images of 28x28, scikit-learn's digits enlarged, each in some pixels another
image. The functions are what is cheap for such images: three batched ones (the nearest
mean by rows, by columns and by 4x4 means), a batched rule with a fitted cut, and two
that see one image at a time (holes by connected components, and the share of ink above
the middle). `steps` takes the processor's time for JPEG photographs of 224x224: reading
and decoding, the same functions at that size, and features of EfficientNet-Lite0.

What was made and measured before is not made or measured again: shards, a labeler and
rows.jsonl are kept in the folder. Each point is a command of its own; its start, until
the first shard is begun, is told apart. Libraries have one thread per process; a core
per process is all that it may use (on Linux).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.common import markdown
from lfkit.data.datasets import open_images
from lfkit.data.files import folder_written_whole

FUNCTIONS = """
import cv2
import torch
from lfkit import ABSTAIN, NearestMean, Quantile, feature, labeling_function

CLASSES = [str(digit) for digit in range(10)]


@feature(batched=True)
def rows_of_ink(images):
    return images.mean(dim=(1, 3))


@feature(batched=True)
def columns_of_ink(images):
    return images.mean(dim=(1, 2))


@feature(batched=True)
def quarters(images):
    return torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)


@feature(batched=True)
def ink(images):
    return images.mean(dim=(1, 2, 3))


def tells(source, name):
    @labeling_function(
        classes=list(range(10)), features=[source], batched=True, name=name,
        thresholds={"rule": NearestMean(source)},
    )
    def function(values, *, rule):
        return rule(values).argmax(dim=1)

    return function


@labeling_function(
    classes=[1], features=[ink], batched=True,
    thresholds={"cut": Quantile(ink, q=0.2)},
)
def little_ink_is_one(ink, *, cut):
    return torch.where(ink < cut, 1, -1)


@labeling_function(classes=[8])
def two_holes_is_eight(image):
    gray = image if image.ndim == 2 else image[:, :, 0]
    paper = cv2.copyMakeBorder((gray < 128).astype("uint8"), 1, 1, 1, 1, 0, value=1)
    return 8 if cv2.connectedComponents(paper)[0] == 4 else ABSTAIN


@labeling_function(classes=[6, 9])
def ink_below_is_six(image):
    half = len(image) // 2
    above, below = int(image[:half].sum()), int(image[half:].sum())
    return 6 if below > 1.3 * above else 9 if above > 1.3 * below else ABSTAIN


LFS = [
    tells(rows_of_ink, "rows_tell"),
    tells(columns_of_ink, "columns_tell"),
    tells(quarters, "quarters_tell"),
    little_ink_is_one,
    two_holes_is_eight,
    ink_below_is_six,
]
"""
_TRAINED_ON = 500  # images of the run
_PER_SHARD = 2000
_SECONDS = 3600  # after which a command is ended
_LOOK_S = 0.2  # between two looks at memory
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_SIDE = 224
_ALL = 100_000_000


def main() -> None:
    """Measure what is not measured yet, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("engines", "sizes", "steps"))
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--images", type=int, nargs="*")
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    if asked.what == "engines":
        rows = engines(asked.folder, (asked.images or [200_000])[0], asked.workers)
    elif asked.what == "sizes":
        numbers = asked.images or [10_000, 100_000, 500_000, 2_000_000]
        rows = sizes(asked.folder, numbers, asked.workers)
    else:
        rows = steps(asked.folder, (asked.images or [300])[0])
    print(markdown([*rows[0]], [row.values() for row in rows]))


def engines(folder: Path, n: int, workers: int) -> list[dict[str, Any]]:
    """Label n images in each way."""
    ways: list[tuple[str, list[str], int]] = [
        ("1 process", ["--workers", "1"], 1),
        (f"{workers} processes", ["--workers", str(workers)], workers),
    ]
    if find_spec("ray") is not None:
        ray = ["--engine", "ray", "--workers", str(workers)]
        ways.append((f"Ray, {workers} CPUs", ray, workers))
    rows = [measured(folder, n, *way) for way in ways]
    alone = rows[0]["images/s"]
    first = rows[0]["bytes"]
    for row in rows:
        row["per core"] = f"{row['images/s'] / row['cores'] / alone:.0%}"
        row["same bytes"] = row.pop("bytes") == first
        del row["result bytes"]
    return rows


def sizes(folder: Path, numbers: Sequence[int], workers: int) -> list[dict[str, Any]]:
    """Label more and more images by a few processes."""
    options = ["--workers", str(workers)]
    way = f"{workers} processes"
    rows = [measured(folder, n, way, options, workers) for n in numbers]
    for row in rows:
        each = row["cores"] / row["images/s"]
        row["core-µs an image"] = round(1e6 * each, 1)
        row["bytes an image"] = round(row["result bytes"] / row["images"], 1)
        del row["bytes"], row["result bytes"], row["way"]
    return rows


def measured(
    folder: Path, n: int, way: str, options: Sequence[str], cores: int
) -> dict[str, Any]:
    """Label the first n images, or tell what was measured before."""
    known = folder / "rows.jsonl"
    about = {"way": way, "images": n}
    for line in known.read_text().splitlines() if known.exists() else ():
        row: dict[str, Any] = json.loads(line)
        if about.items() <= row.items():
            return row
    labeler, n_shards = prepared(folder, n)
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    asked = ["label", folder / "shards", "--labeler", labeler, "--trust-code"]
    asked += ["--out", out, "--limit", n_shards, *options]
    began = time.time()
    seconds, family = command(asked, cores)
    done = sorted(out.glob("part-*.json"))
    ends = [path.stat().st_mtime for path in done]
    taken = [json.loads(path.read_text())["seconds"] for path in done]
    first = min(end - each for end, each in zip(ends, taken, strict=True))
    parts = sorted(out.glob("part-*.parquet"))
    row = {
        **about,
        "shards": len(done),
        "cores": cores,
        "seconds": round(seconds, 1),
        "start, s": round(first - began, 1),
        "images/s": round(n / (max(ends) - first), 1),
        "CPU s": round(family.cpu_s, 1),
        "peak MB": family.peak_mb,
        "result bytes": sum(path.stat().st_size for path in parts),
        "bytes": _hash(parts),
    }
    with known.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(row, file=sys.stderr, flush=True)
    shutil.rmtree(out)
    return row


def command(arguments: Sequence[Any], cores: int) -> tuple[float, _Family]:
    """Run lfkit on some cores; give its seconds, and what its processes took."""

    def hold() -> None:
        if hasattr(os, "sched_setaffinity"):
            mine = sorted(os.sched_getaffinity(0))[:cores]
            os.sched_setaffinity(0, mine)

    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "lfkit", *map(str, arguments)],
        env={**os.environ, **dict.fromkeys(_THREADS, "1")},
        stdout=subprocess.DEVNULL,
        preexec_fn=hold,
    )
    family = _Family(process.pid)
    try:
        code = process.wait(_SECONDS)
    finally:
        process.kill()
        family.end()
    if code:
        raise SystemExit(f"lfkit {' '.join(map(str, arguments))} ended with {code}")
    return time.perf_counter() - began, family


class _Family(threading.Thread):
    """Looks now and then at a process and all that it started (on Linux).

    Attributes
    ----------
    peak_mb : most megabytes of all at once, without what files are mapped.
    """

    def __init__(self, main: int) -> None:
        super().__init__(daemon=True)
        self.main, self.peak_mb = main, 0
        self._ticks: dict[int, int] = {}
        self._is_over = threading.Event()
        self.start()

    @property
    def cpu_s(self) -> float:
        """Seconds that the processors worked for them."""
        return sum(self._ticks.values()) / os.sysconf("SC_CLK_TCK")

    def run(self) -> None:
        while not self._is_over.wait(_LOOK_S):
            self._look()

    def end(self) -> None:
        self._is_over.set()
        self.join()

    def _look(self) -> None:
        parents, ticks, own_kb = {}, {}, {}
        for folder in Path("/proc").glob("[0-9]*"):
            pid = int(folder.name)
            with contextlib.suppress(OSError, IndexError):  # it has just ended
                # State, parent and so on; a command's name may hold anything.
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                parents[pid], ticks[pid] = int(fields[1]), sum(map(int, fields[11:13]))
                own = (folder / "status").read_text().partition("RssAnon:")[2]
                own_kb[pid] = int(own.split()[0])
        family = [self.main]
        for pid in family:
            family += [child for child, parent in parents.items() if parent == pid]
        self._ticks |= {pid: ticks[pid] for pid in family if pid in ticks}
        total = sum(own_kb.get(pid, 0) for pid in family)
        self.peak_mb = max(self.peak_mb, round(total / 1000))


def _hash(paths: Sequence[Path]) -> str:
    import hashlib

    found = hashlib.blake2b(digest_size=16)
    for path in paths:
        found.update(path.read_bytes())
    return found.hexdigest()


def prepared(folder: Path, n: int) -> tuple[Path, int]:
    """Make shards of n images, and a labeler of some of them; give how many shards."""
    shards = folder / "shards"
    shards.mkdir(exist_ok=True)
    n_shards = -(-n // _PER_SHARD)
    if n % _PER_SHARD:
        raise SystemExit(f"{n} images are no whole shards of {_PER_SHARD}")
    for number in range(n_shards):
        path = shards / f"{number:05d}.tar"
        if not path.exists():
            rows = np.arange(number * _PER_SHARD, (number + 1) * _PER_SHARD)
            partial = path.with_suffix(".partial")
            partial.write_bytes(
                _tar(zip(rows.tolist(), many_digits(rows), strict=True))
            )
            partial.rename(path)
    return labeler(folder / "of digits", many_digits(np.arange(_TRAINED_ON))), n_shards


def labeler(folder: Path, images: np.ndarray) -> Path:
    """Make a labeler of some digits, in the size they have."""
    if not folder.exists():
        with folder_written_whole(folder) as partial:
            (partial / "functions.py").write_text(FUNCTIONS)
            labels = open_images("digits").labels
            assert labels is not None, "they are known"
            np.savez(partial / "known.npz", images=images, labels=labels[: len(images)])
            asked = ["--no-baselines", "--no-sheet", "--out", partial / "run"]
            functions = ["--lfs", partial / "functions.py", "--seeds-per-class", 10]
            command(["apply", partial / "known.npz", *functions, *asked], 1)
            frozen = ["--out", partial / "labeler"]
            command(["freeze", partial / "run", *frozen], 1)
    return folder / "labeler"


def many_digits(rows: np.ndarray, side: int = 28) -> np.ndarray:
    """Make images of digits, (n, side, side, 1); each row is another one."""
    source = open_images("digits")
    small = source.read(rows % len(source)).pixels[..., 0]
    found = np.stack([cv2.resize(image, (side, side)) for image in small])
    turn = rows // len(source)
    found[:, 0, 0] = turn % 256  # a dark corner makes each a file of its own
    found[:, 0, 1] = turn // 256
    return found[..., None]


def _tar(images: Iterable[tuple[int, np.ndarray]], ending: str = ".png") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for number, image in images:
            data = cv2.imencode(ending, image)[1].tobytes()
            member = tarfile.TarInfo(f"{number:09d}{ending}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def steps(folder: Path, n: int) -> list[dict[str, Any]]:
    """Time what photographs of 224x224 need, in milliseconds of a core an image."""
    import torch

    from lfkit import load_labeler
    from lfkit.data.shards import list_shards, open_shard
    from lfkit.encoders import open_encoder

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    torch.set_num_threads(1)
    frozen = labeler(folder / f"of {_SIDE}", many_digits(np.arange(_TRAINED_ON), _SIDE))
    rng = np.random.default_rng(0)
    photographs = folder / f"{n} photographs.tar"
    if not photographs.exists():
        drawn = (_photograph(rng) for _ in range(n))
        photographs.write_bytes(_tar(enumerate(drawn), ".jpg"))
    (shard,) = list_shards(str(photographs), n)
    seconds = {}
    began = time.process_time()
    pixels = open_shard(shard, (_SIDE, _SIDE, 3), 65535).read(np.arange(n)).pixels
    seconds["reading and decoding a JPEG"] = time.process_time() - began
    found = load_labeler(frozen, trust_code=True)
    images = np.ascontiguousarray(pixels[..., :1])
    found.label(images[:100], n_workers=0)  # libraries are loaded
    began = time.process_time()
    found.label(images, n_workers=0)  # in this process, whose time is taken
    seconds["six cheap functions"] = time.process_time() - began
    encoder = open_encoder("efficientnet-lite0")
    few = torch.rand(min(n, 64), 3, _SIDE, _SIDE)
    encoder.encode(few[:4])
    began = time.process_time()
    encoder.encode(few)
    each = (time.process_time() - began) / len(few)
    seconds["features of EfficientNet-Lite0"] = each * n
    rows = []
    for name, taken in seconds.items():
        hours = taken / n * _ALL / 3600
        rows.append(
            {
                "step": name,
                "ms an image": round(1000 * taken / n, 3),
                "core-hours, 100 million": round(hours),
            }
        )
    return rows


def _photograph(rng: np.random.Generator) -> np.ndarray:
    """Draw something as smooth as a photograph, (224, 224, 3): 20 KB as a JPEG."""
    coarse = rng.integers(0, 256, (28, 28, 3), np.uint8)
    smooth = cv2.resize(coarse, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
    grain = rng.integers(0, 24, smooth.shape, np.uint8)
    return cv2.add(smooth, grain)


if __name__ == "__main__":
    main()
