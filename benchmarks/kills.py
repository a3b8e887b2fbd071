"""Kill commands at random moments, and compare what they leave byte for byte.

    python -m benchmarks.kills [--command apply] [--kills 10] [--seed 0]

Each command runs once without a kill. Then it is killed with SIGKILL at a random moment
of its run and started again, up to three times in a row, and ends: every file it leaves
must be that of the first run. Half of the kills take the whole process group, half the
main process only, whose workers must then end by themselves. Without --command, all of
apply, refine, train, generate and active. The data are scikit-learn's digits; the
network that refines is a small one.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

FUNCTIONS = """
import numpy as np
from lfkit import ABSTAIN, NearestNorm, Quantile, feature, labeling_function

CLASSES = [str(digit) for digit in range(10)]


def _work(image):
    for _ in range(20):
        np.linalg.svd(image[:, :, 0].astype(float))


@feature
def columns(image):
    _work(image)
    return image.mean(axis=(0, 2))


@feature
def level(image):
    return float(image.mean())


@labeling_function(classes=range(10))
def corner_is_a_digit(image):
    _work(image)
    return int(image[3, 3, 0]) % 10


@labeling_function(
    classes=range(10), features=[level], thresholds={"cut": Quantile(level, 0.5)}
)
def middle_is_a_digit(mean, *, cut):
    return int(mean) % 10 if mean > cut else ABSTAIN


@labeling_function(
    classes=range(10), features=[columns], soft=True,
    thresholds={"rule": NearestNorm(columns)},
)
def norm_is_near(values, *, rule):
    return rule(values)
"""

_SMALL_NET = ("-c", "from benchmarks.kills import lfkit; lfkit()")
_MOST_IN_A_ROW = 3
_HUNG_S = 900.0
_ALONE_S = 15.0  # in which workers must notice that nobody waits for them
# In a copy of a folder nobody has run the functions yet.
_SMALL = [
    "--trust-code",
    "--set",
    "batch=16",
    "--set",
    "width=32",
    "--set",
    "reader_steps=60",
]
_APPLY = ["apply", "digits", "--lfs", "functions.py", "--seeds-per-class", "5"]
_ACTIVE = ["active", "run", "--with", "two-stage", "--budget", "30", "--steps", "60"]
COMMANDS: dict[str, list[str]] = {
    "apply": [*_APPLY, "--out", "result"],
    "refine": [*_APPLY, "--refine", "--out", "result"],
    "train": ["train", "run", "--with", "adp", "--steps", "520", *_SMALL],
    "generate": [
        "generate",
        "run",
        "-n",
        "6000",
        "--revote",
        "--trust-code",
        "--out",
        "result",
    ],
    "active": [*_ACTIVE, "--per-round", "15", *_SMALL],
}
_FORMATS = ("folder", "npz", "parquet", "webdataset")

# What tells of time, or of the work that was left to do, and not of the result.
_TIMES = {"seconds", "seconds_of", "lf_calls", "feature_values", "checksum"}


@dataclass
class Killed:
    """How a command fared.

    Attributes
    ----------
    alone : kills of the main process only.
    survivors : times that a worker outlived its command by more than 15 seconds.
    different : files that differ from those of a run without kills.
    failed : what a command said that did not end well.
    """

    kills: int = 0
    alone: int = 0
    survivors: int = 0
    different: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--command", choices=COMMANDS, action="append")
    parser.add_argument("--kills", type=int, default=10, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scratch", type=Path, help="a folder; is kept")
    asked = parser.parse_args()
    with contextlib.ExitStack() as opened:
        scratch = asked.scratch
        if scratch is None:
            scratch = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        scratch.mkdir(parents=True, exist_ok=True)
        for name in asked.command or COMMANDS:
            found = kill_command(name, asked.kills, asked.seed, scratch, say)
            say(
                f"{name}: {found.kills} kills, {found.alone} of the main process "
                f"only; {found.survivors} survivors, {len(found.failed)} failed, "
                f"{len(found.different)} files differ"
            )
            for text in [*found.failed[:3], *found.different[:30]]:
                say(f"  {text}")


def say(text: str) -> None:
    print(text, flush=True)


def kill_command(
    name: str,
    n_kills: int,
    seed: int,
    scratch: Path,
    say: Callable[[str], None] = lambda text: None,
    words: Sequence[str] | None = None,
) -> Killed:
    """Kill one command again and again.

    Parameters
    ----------
    scratch : what the commands need is made there once, and kept.
    words : of the command; None: those of COMMANDS.
    """
    rng, found = np.random.default_rng([seed, len(name)]), Killed()
    begun, seconds = prepared(scratch, name), {}
    for turn in itertools.count():
        if found.kills >= n_kills:
            return found
        command = [*(words or COMMANDS[name])]
        form = _FORMATS[turn % len(_FORMATS)] if name == "generate" else ""
        command += ["--format", form] if form else []
        whole = scratch / f"whole-{name}{form}"
        # Files name the folder they are in: it is always the same.
        folder = scratch / f"work-{name}"
        if form not in seconds:
            shutil.copytree(begun, folder)
            started = time.perf_counter()
            call(command, folder)
            seconds[form] = time.perf_counter() - started
            folder.rename(whole)
            say(f"{name} {form}: {seconds[form]:.1f} s without a kill")
        shutil.copytree(begun, folder)
        groups = []
        for _ in range(min(_MOST_IN_A_ROW, n_kills - found.kills)):
            process = start(command, folder)
            groups.append(process.pid)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0.1, 1.0) * seconds[form])
            if process.poll() is not None:
                break
            only_main = bool(rng.integers(2))
            (os.kill if only_main else os.killpg)(process.pid, signal.SIGKILL)
            process.wait()
            found.kills += 1
            found.alone += only_main
            # The next starts at once, whether or not workers are still there.
        problem = end(start(command, folder))
        found.failed += [f"turn {turn}: {problem}"] if problem else []
        found.survivors += sum(map(survives, groups))
        lines = differences(contents(whole), contents(folder))
        found.different += [f"turn {turn}: {line}" for line in lines]
        if lines or problem:
            folder.rename(scratch / f"killed-{name}-{turn}")
        else:
            shutil.rmtree(folder)
    raise AssertionError("turns have no end")


def differences(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    return [
        f"{path} {'differs' if path in one and path in other else 'is in one only'}"
        for path in sorted({*one, *other})
        if one.get(path) != other.get(path)
    ]


def contents(folder: Path) -> dict[str, bytes]:
    """Give every file below a folder, what tells of time left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != ".lock":
            found[str(path.relative_to(folder))] = _timeless(path)
    return found


def _timeless(path: Path) -> bytes:
    data = path.read_bytes()
    if path.name == "summary.json":
        return json.dumps(_without_times(json.loads(data))).encode()
    if path.suffix == ".npz" and "refined" in path.parts:
        with np.load(io.BytesIO(data)) as held:
            arrays = {k: v for k, v in held.items() if k not in _TIMES}
        text = io.BytesIO()
        np.savez(text, **arrays)
        return text.getvalue()
    return data


def _without_times(value: object) -> object:
    if isinstance(value, dict):
        return {k: _without_times(v) for k, v in value.items() if k not in _TIMES}
    if isinstance(value, list):
        return [_without_times(each) for each in value]
    return value


def prepared(scratch: Path, name: str) -> Path:
    """Make the folder that a command begins in."""
    bare, labeled, trained = (scratch / part for part in ("bare", "labeled", "trained"))
    if not bare.exists():
        bare.mkdir()
        (bare / "functions.py").write_text(FUNCTIONS)
    if name in ("apply", "refine"):
        return bare
    if not labeled.exists():
        shutil.copytree(bare, labeled)
        call([*_APPLY, "--out", "run"], labeled)
    if name in ("train", "active"):
        return labeled
    if not trained.exists():
        shutil.copytree(labeled, trained)
        call(["train", "run", "--with", "adp", "--steps", "60", *_SMALL], trained)
    return trained


def call(command: Sequence[str], folder: Path, how: Sequence[str] = _SMALL_NET) -> None:
    """Run a command to its end."""
    if problem := end(start(command, folder, how)):
        raise RuntimeError(problem)


def start(
    command: Sequence[str], folder: Path, how: Sequence[str] = _SMALL_NET
) -> subprocess.Popen[bytes]:
    """Start a command in a process group of its own.

    Parameters
    ----------
    how : what Python runs: lfkit, here with a small network.
    """
    with folder.with_suffix(".log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, *how, *command],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": _python_path()},
            start_new_session=True,
        )


def _python_path() -> str:
    root = str(Path(__file__).resolve().parents[1])
    return os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])


def end(process: subprocess.Popen[bytes]) -> str:
    """Wait for a command's end; says how it failed, if it did."""
    try:
        code = process.wait(_HUNG_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    return f"exit code {code} of {process.args}" if code else ""


def survives(group: int) -> bool:
    """Tell whether a process of a group is there after some time; it is killed."""
    deadline = time.monotonic() + _ALONE_S
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.2)
        os.killpg(group, signal.SIGKILL)
        return True
    return False


def lfkit() -> None:
    """Run the command line with a network that a CPU trains in seconds."""
    import lfkit.refinement.pretrained_features as pretrained
    import lfkit.refinement.refiner as refiner
    from lfkit.cli.app import main
    from lfkit.nn import TrainingPlan

    small = TrainingPlan(n_steps=420, batch=16, seed_batch=4, width=4, warmup=4)
    pretrained._PACKAGES = ("no_such_package",)
    refiner.TrainingPlan = lambda: small
    main()


if __name__ == "__main__":
    main()
