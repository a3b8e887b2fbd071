"""Code that would end the run, or change it for all, is named; the others go on."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

GOOD = """
import numpy as np
from lfkit import ABSTAIN, feature, labeling_function


@feature
def brightness(image):
    return image.mean()


@feature(batched=True)
def flat(images):
    return images.flatten(1)


@labeling_function(classes=[0, 1], features=[brightness])
def good(value):
    return int(value > 128)


@labeling_function(classes=[0, 1], features=[flat], batched=True)
def good_batched(values):
    import torch
    return (values.mean(1) > 0.5).long()


@labeling_function(classes=[0, 1])
def good_at_numbers(image):
    return int((np.float64(image.max()) / np.float64(0)) > 0)


@labeling_function(classes=[0, 1])
def good_reader(image):
    with open("here.txt") as handle:
        return int(handle.read())
"""

BAD = """
import ctypes, os, signal, sys, threading, warnings
import torch


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")
    __repr__ = __str__


class Unpicklable(Exception):
    def __init__(self, message, lock):
        super().__init__(message)
        self.lock = lock
    def __reduce__(self):
        raise TypeError("not me")


class Late(BaseException):
    pass


def exits(): sys.exit(3)
def exits_without_code(): raise SystemExit
def interrupts(): raise KeyboardInterrupt
def generator_exits(): raise GeneratorExit
def base_exception(): raise Late("x")
def unprintable(): raise Unprintable
def unpicklable(): raise Unpicklable("x", threading.Lock())
def recursion(): return recursion()
def long_message(): raise ValueError("x" * 20_000_000)
def surrogates(): raise ValueError("\\ud800")
def forks(): os.fork()
def changes_folder(): os.chdir("..")
def closes(): os.closerange(3, 50)
def kills(): os.kill(os.getpid(), 9)
def kills_parent(): os.kill(os.getppid(), 9)
ENDS = [exits, exits_without_code, interrupts, generator_exits, base_exception,
        unprintable, unpicklable, recursion, long_message, surrogates, forks,
        changes_folder, closes, kills, kills_parent]


def quits(): os._exit(7)
def stops_numpy(): np.seterr(all="raise")
def warns_are_errors(): warnings.simplefilter("error")
def floods():
    print("x" * 1000)
    print("y" * 1000, file=sys.stderr)
    os.write(1, b"z" * 100)
    sys.__stdout__.write("w" * 100)
def takes_stdout(): sys.stdout = sys.stderr = None
def changes_torch():
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    torch.manual_seed(0)
def environment(): os.environ["HOME"] = "/nowhere"
def recursion_limit(): sys.setrecursionlimit(100)
def leaves_a_thread(): threading.Thread(target=threading.Event().wait).start()
STATE = [stops_numpy, warns_are_errors, floods, takes_stdout, changes_torch,
         environment, recursion_limit]

lock = threading.Lock()
LFS = [good, good_batched, good_at_numbers, good_reader]


def declare(do, name, batched=False, **options):
    def fn(x):
        do()
        return torch.zeros(len(x), dtype=torch.long) if batched else 0
    lf = labeling_function(classes=[0], batched=batched, name=name, **options)(fn)
    LFS.insert(0, lf)


for do in [*ENDS, *STATE]:
    declare(do, do.__name__)
    declare(do, f"batched_{do.__name__}", batched=True)
declare(quits, "batched_quits", batched=True)
declare(leaves_a_thread, "batched_leaves_a_thread", batched=True)
for do in (exits, unprintable, quits, closes, changes_folder):
    @feature(name=f"feature_{do.__name__}", batched=True)
    def fails(images, do=do):
        do()
        return images.mean(dim=(1, 2, 3))

    declare(lambda: None, f"reads_{do.__name__}", batched=True, features=[fails])
for do in (exits, unprintable, quits, forks):
    def fit(images, labels, rng, do=do):
        do()
        return {"a": np.zeros(1)}

    @feature(name=f"fitted_{do.__name__}", fit=fit)
    def fitted(image, *, a):
        return 0.0

    declare(lambda: None, f"fit_{do.__name__}", features=[fitted])


@labeling_function(classes=[0])
def holds_a_lock(image):
    with lock:
        return 0


class LoadsNowhere:
    def __reduce__(self):
        return exec, ("raise OSError('not here')",)


loads_nowhere = LoadsNowhere()


@labeling_function(classes=[0])
def does_not_load(image):
    return int(loads_nowhere is None)


GIVES = {
    "meta": lambda n: torch.zeros(n, dtype=torch.long, device="meta"),
    "wrong_shape": lambda n: torch.zeros(1, dtype=torch.long),
    "complex": lambda n: torch.zeros(n, dtype=torch.complex64),
    "sparse": lambda n: torch.zeros(n, dtype=torch.long).to_sparse(),
    "huge": lambda n: torch.full((n,), 2**62),
    "nan": lambda n: torch.full((n,), float("nan")),
    "generator": lambda n: (0 for _ in range(n)),
    "nothing": lambda n: None,
    "text": lambda n: ["0"] * n,
}
for name, give in GIVES.items():
    @labeling_function(classes=[0], batched=True, name=f"gives_{name}")
    def gives(images, give=give):
        return give(len(images))

    @feature(batched=True, name=f"feature_gives_{name}")
    def gives_feature(images, give=give):
        return give(len(images))

    LFS.insert(0, gives)
    if name != "huge":
        declare(lambda: None, f"reads_gives_{name}", batched=True,
                features=[gives_feature])

LFS[:0] = [holds_a_lock, does_not_load]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ending")
    rng = np.random.default_rng(0)
    for number in range(12):
        path = folder / "images" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 255, (8, 8)).astype(np.uint8))
    (folder / "here.txt").write_text("1")
    (folder / "good.py").write_text(GOOD)
    (folder / "both.py").write_text(GOOD + BAD)
    return folder


def apply(folder, specs, out, *options):
    arguments = ["apply", "images", "--lfs", specs, "--out", out, "--json"]
    arguments += ["--seeds-per-class", "3", "--no-sheet", "--no-baselines", *options]
    return subprocess.run(
        [sys.executable, "-m", "lfkit", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=400,
    )


def test_functions_that_would_end_the_run_are_named_and_the_others_go_on(folder):
    from lfkit.runs.run import load_run

    bad = apply(folder, "both.py", "both")
    assert bad.returncode == 0, bad.stderr[-3000:]
    summary = json.loads(bad.stdout)
    assert len(bad.stdout) < 300_000
    good = apply(folder, "good.py", "good")
    assert good.returncode == 0, good.stderr
    alone, beside = load_run(folder / "good").votes, load_run(folder / "both").votes
    columns = [beside.names.index(name) for name in alone.names]
    assert np.array_equal(beside.hard[:, columns], alone.hard)

    namespace = {}
    exec(GOOD + BAD, namespace)
    named = {*summary["faults"], *summary["left_out"]}
    for do in namespace["ENDS"]:
        assert {do.__name__, f"batched_{do.__name__}"} <= named
    assert {"batched_quits", "holds_a_lock", "does_not_load"} <= named
    for name in ("exits", "unprintable", "quits", "forks"):
        assert f"fit_{name}" in named
    for name in ("exits", "unprintable", "quits", "closes", "changes_folder"):
        assert f"feature_{name}" in named
    for name in namespace["GIVES"]:
        assert f"gives_{name}" in named
        assert name == "huge" or f"feature_gives_{name}" in named
    assert not named & {*alone.names, *(do.__name__ for do in namespace["STATE"])}
    everything = json.loads((folder / "both" / "faults.json").read_text())
    assert len(json.dumps(everything)) < 2_000_000
    assert not (folder.parent / "both").exists()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("sys.exit(3)", "SystemExit: 3"),
        ("os._exit(3)", "os._exit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("raise Unprintable", "Unprintable"),
        ("os.chdir('..')", "os.chdir"),
        ("os.fork()", "os.fork"),
        ("raise ValueError('x' * 10**7)", "ValueError: xxx"),
    ],
)
@pytest.mark.parametrize("is_module", [False, True])
def test_a_file_that_ends_python_is_one_sentence(
    lfkit, tmp_path, monkeypatch, line, told, is_module
):
    monkeypatch.chdir(tmp_path)
    name = f"ends_{abs(hash(line))}"
    (tmp_path / f"{name}.py").write_text(
        "import os, sys\n"
        "class Unprintable(Exception):\n"
        "    def __str__(self):\n"
        "        raise RuntimeError\n"
        f"{line}\n"
    )
    spec = name if is_module else f"{name}.py"
    done = lfkit("apply", "digits", "--lfs", spec, "--out", tmp_path / "run")
    assert done.code == 2
    assert f"{spec} cannot be imported" in done.err
    assert told in done.err
    assert "Traceback" not in done.err
    assert len(done.err) < 3000
    assert os.getcwd() == str(tmp_path)
