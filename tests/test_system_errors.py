"""What the system refuses is told in one sentence, by every command; nothing stays."""

import contextlib
import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from lfkit.cli.app import app
from lfkit.data import files
from lfkit.errors import StorageError
from lfkit.labeling.trusted_code import remember_code

CODES = ("ENOSPC", "EROFS", "EACCES", "ENAMETOOLONG", "ENOTDIR", "EISDIR", "EMFILE",
         "EDQUOT", "EIO")  # fmt: skip
TOY = ["--set", "batch=8", "--set", "width=16", "--set", "z_dim=8"]
TOY += ["--set", "reader_steps=10", "--steps", "10"]
# Command → its arguments, and the folder it writes to.
COMMANDS = {
    "apply": (["photos", "--lfs", "functions.py", "--no-baselines"], "other"),
    "apply --votes": (["photos", "--votes", "votes.npy", "--no-baselines"], "other"),
    "apply again": (["photos", "--lfs", "functions.py", "--no-baselines"], "run"),
    "analyze --sheet": (["run", "--sheet"], "run"),
    "aggregate": (["run", "--with", "dawid-skene"], "run"),
    "aggregate --out": (["run", "--with", "dawid-skene", "--out", "out/new"], "out"),
    "aggregate FILE": (["votes.npy", "--with", "dawid-skene", "--out", "out"], "out"),
    "evaluate": (["run"], "run"),
    "report": (["run"], "run"),
    "report --out": (["run", "--out", "out/new/page.html"], "run"),
    "export npz": (["run", "--out", "out/v.npz"], "out"),
    "export npy": (["run", "--out", "out/v.npy"], "out"),
    "export csv": (["run", "--out", "out/v.csv"], "out"),
    "export parquet": (["run", "--out", "out/v.parquet"], "out"),
    "export sparse": (["run", "--out", "out/v.npz", "--as", "sparse"], "out"),
    "export crowd-kit": (["run", "--out", "out/v.csv", "--as", "crowd-kit"], "out"),
    "export wrench": (["run", "--out", "out/folder"], "out"),
    "train": (["run", "--with", "two-stage", *TOY], "run"),
    "active": (["run", "--with", "two-stage", "--budget", "2", *TOY], "run"),
    "generate": (["run", "-n", "3", "--out", "out"], "out"),
    "generate npz": (["run", "-n", "3", "--out", "out", "--format", "npz"], "out"),
    "generate parquet":
        (["run", "-n", "3", "--out", "out", "--format", "parquet"], "out"),
    "generate webdataset":
        (["run", "-n", "3", "--out", "out", "--format", "webdataset"], "out"),
    "list": (["lfs", "--sheet", "--lfs", "functions.py", "--data", "photos",
              "--seeds-per-class", "2", "--out", "out/sheet.png"], "out"),
}  # fmt: skip
SOME = ("apply", "aggregate --out", "export npz", "export csv", "export wrench",
        "train", "generate", "generate npz", "list")  # fmt: skip
FUNCTIONS = """
from lfkit import labeling_function
CLASSES = ["dark", "bright"]

@labeling_function(classes=[0, 1], batched=True)
def by_brightness(images):
    return (images.mean(dim=(1, 2, 3)) > 0.5).long()

@labeling_function(classes=[0, 1], batched=True)
def by_corner(images):
    return (images[:, 0, 0, 0] > 0.4).long()
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with images, functions, a run, and a generator trained on it."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    for number in range(24):
        pixels = rng.integers(0, 90, (8, 8)) + 160 * (number % 2)
        path = folder / "photos" / ("dark", "bright")[number % 2]
        path.mkdir(exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path / f"{number:02}.png")
    np.save(folder / "votes.npy", np.arange(24)[:, None].repeat(2, axis=1) // 12)
    (folder / "functions.py").write_text(FUNCTIONS)
    commands = [
        "apply photos --lfs functions.py --no-baselines --out run",
        f"train run --with two-stage {' '.join(TOY)}",
    ]
    with contextlib.chdir(folder):
        for words in commands:
            done = CliRunner().invoke(app, words.split())
            assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def place(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    assert remember_code(["functions.py"]) is None
    return tmp_path / "place"


def arguments(command, into):
    words, _ = COMMANDS[command]
    name = command.split()[0]
    if name == "apply":
        return [name, *words, "--out", into]
    if name in ("train", "active") and (Path(into) / "models").exists():
        shutil.rmtree(Path(into) / "models")
    return [name, *words]


def everything(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def refused_at_once(monkeypatch, number):
    """Even an empty file cannot be made."""

    def create(path, mode):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(files, "_create", create)


def refused_in_the_end(monkeypatch, number):
    """All is written already, and the system names no file."""

    def replace(old, new):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "replace", replace)


def check_refusal(done, code, command):
    """See that one sentence says what and where."""
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
    assert done.err.count("error: ") == 1, done.err
    said = done.err[done.err.index("error: ") :]
    assert said.count("\n") == 1, said
    assert os.strerror(getattr(errno, code)).lower() in said.lower()
    assert said.startswith(f"error: {COMMANDS[command][1]}"), said


def some_codes(command):
    """Two for each command, and all of them in turn."""
    at = 2 * list(COMMANDS).index(command)
    return [CODES[(at + step) % len(CODES)] for step in (0, 1)]


@pytest.mark.parametrize(
    "all_codes", [False, pytest.param(True, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_tells_every_error(command, all_codes, lfkit, place):
    called = arguments(command, COMMANDS[command][1])
    before = everything(place)
    for code in CODES if all_codes else some_codes(command):
        with pytest.MonkeyPatch.context() as patch:
            refused_at_once(patch, getattr(errno, code))
            done = lfkit(*called)
        check_refusal(done, code, command)
        assert everything(place) - before == set()
    with pytest.MonkeyPatch.context() as patch:
        refused_in_the_end(patch, errno.ENOSPC)
        done = lfkit(*called)
    check_refusal(done, "ENOSPC", command)
    assert everything(place) - before == set()


@contextlib.contextmanager
def limit(what, value):
    """Let the system itself refuse."""
    before = resource.getrlimit(what)
    resource.setrlimit(what, (value, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


@pytest.mark.slow
@pytest.mark.parametrize("command", SOME)
def test_full_disk_leaves_no_partial_file(command, lfkit, place):
    """Files of more than 100 bytes cannot be written: those that fit may stay."""
    called = arguments(command, COMMANDS[command][1])
    with limit(resource.RLIMIT_FSIZE, 100):
        done = lfkit(*called)
    check_refusal(done, "EFBIG", command)
    assert not [name for name in everything(place) if "partial" in name]
    assert lfkit(*called).code == 0


@contextlib.contextmanager
def few_files(n_free):
    """Let so many more files be opened at once."""
    hogs = []
    with limit(resource.RLIMIT_NOFILE, max(map(int, os.listdir("/dev/fd"))) + 9):
        with contextlib.suppress(OSError):
            while True:
                hogs.append(os.open(os.devnull, os.O_RDONLY))
        try:
            for _ in range(n_free):
                os.close(hogs.pop())
            yield
        finally:
            for hog in hogs:
                os.close(hog)


@pytest.mark.parametrize(
    "command", ["apply", "export csv", pytest.param("train", marks=pytest.mark.slow)]
)
def test_too_many_open_files_are_not_unreadable_images(command, lfkit, place):
    called = arguments(command, COMMANDS[command][1])
    with few_files(0):
        done = lfkit(*called)
    assert (done.code, "Traceback" in done.err) == (2, False), done.err
    assert "oo many open files" in done.err
    done = lfkit(*called, "--json")
    assert done.code == 0, done.err
    assert command != "apply" or json.loads(done.out)["unreadable"] == 0


BAD_PLACES = {
    "below a file": ("functions.py/new", "functions.py is a file"),
    "far below a file": ("functions.py/a/b/c", "functions.py is a file"),
    "too long a name": ("x" * 300, "too long"),
    "too long a path": ("/".join(["y" * 200] * 30), "too long"),
}


WRITE = ("apply", "aggregate --out", "report --out", "export csv", "export wrench",
         "generate", "generate npz", "list")  # fmt: skip
FEW = ("apply", "export csv", "generate")  # a folder, a file, and many files


@pytest.mark.parametrize(
    ("command", "bad"),
    [
        *((command, bad) for command in WRITE for bad in [*BAD_PLACES][::2]),
        *((command, bad) for command in FEW for bad in [*BAD_PLACES][1::2]),
    ],
)
def test_places_where_nothing_can_be(command, bad, lfkit, place):
    out, why = BAD_PLACES[bad]
    words = arguments(command, "")
    at = words.index("--out") + 1
    ending = Path(str(words[at])).suffix
    words[at] = f"{out}{ending}"
    before = everything(place)
    done = lfkit(*words)
    assert (done.code, "Traceback" in done.err) == (2, False), done.err
    assert why in done.err
    assert done.err[done.err.index("error: ") :].count("\n") == 1
    assert everything(place) - before <= {"run/scores.json"}
    assert (place / "functions.py").read_text() == FUNCTIONS


@pytest.mark.parametrize("command", ["apply", "aggregate --out", "generate"])
def test_files_are_no_folders(command, lfkit, place):
    words = arguments(command, "functions.py")
    words[words.index("--out") + 1] = "functions.py"
    done = lfkit(*words)
    assert (done.code, "functions.py" in done.err) == (2, True)
    assert (place / "functions.py").read_text() == FUNCTIONS


@pytest.mark.parametrize("command", ["report --out", "list"])
def test_folders_are_no_files(command, lfkit, place):
    words = arguments(command, "")
    ending = Path(str(words[words.index("--out") + 1])).suffix
    (place / f"folder{ending}").mkdir()
    words[words.index("--out") + 1] = f"folder{ending}"
    done = lfkit(*words)
    assert (done.code, f"folder{ending}" in done.err) == (2, True), done.err
    assert [*(place / f"folder{ending}").iterdir()] == []


def test_name_as_long_as_the_system_allows(tmp_path):
    path = tmp_path / ("é" * 120 + ".bin")  # 244 bytes
    files.write_atomically(path, b"whole")
    assert path.read_bytes() == b"whole"
    assert [*tmp_path.iterdir()] == [path]


def test_line_that_does_not_fit_is_not_begun(tmp_path):
    path = tmp_path / "log"
    files.append_line(path, "a" * 80)
    with limit(resource.RLIMIT_FSIZE, 100), pytest.raises(StorageError, match="log"):
        files.append_line(path, "b" * 80)
    assert path.read_text() == "a" * 80 + "\n"


FITTED = """
from lfkit import Quantile, feature, labeling_function
CLASSES = ["dark", "bright"]

@feature(batched=True)
def brightness(images):
    return images.mean(dim=(1, 2, 3))

@labeling_function(
    classes=[0, 1], features=[brightness], batched=True,
    thresholds={"cut": Quantile(brightness, 0.5)},
)
def by_cut(means, *, cut=0.3):
    return (means > cut).long()
"""


@pytest.mark.slow
def test_no_function_is_left_out_because_a_disk_is_full(lfkit, place, monkeypatch):
    """Refused once, wherever: it is no fault of the function that was at work."""
    (place / "fitted.py").write_text(FITTED)
    whole, n_written = os.replace, 0
    command = ["apply", "photos", "--lfs", "fitted.py", "--seeds-per-class", "6"]
    command += ["--no-baselines", "--no-sheet", "--out", "fitted", "--json"]

    def replace(old, new):
        nonlocal n_written
        n_written += 1
        if n_written == n_refused:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole(old, new)

    monkeypatch.setattr(files.os, "replace", replace)
    n_refused, codes = 2, []  # the first only keeps whose the functions are
    while True:
        n_written = 0
        done = lfkit(*command)
        codes.append(done.code)
        if done.code == 0:
            break
        assert "no space left" in done.err
        n_refused += 1
    told = json.loads(done.out)
    assert (told["left_out"], told["faults"], told["labeled"]) == ({}, {}, 24)
    assert len(codes) > 3


# The ends of output.


def run_shell(words, place):
    start = "from lfkit.cli.app import main; main()"
    command = f'set -o pipefail; {sys.executable} -W error -c "{start}" {words}'
    return subprocess.run(
        ["bash", "-c", command], cwd=place, capture_output=True, text=True
    )


@pytest.mark.parametrize("how", ["--json", pytest.param("", marks=pytest.mark.slow)])
def test_reader_that_leaves_is_no_error(how, place):
    done = run_shell(f"list generators {how} | true", place)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("how", ["", pytest.param("--json", marks=pytest.mark.slow)])
def test_full_standard_output_is_told(how, place):
    done = run_shell(f"list generators {how} > /dev/full", place)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "standard output" in done.stderr


@pytest.mark.parametrize("command", SOME)
def test_interrupted_commands_leave_no_half_file(command, lfkit, place, monkeypatch):
    def replace(old, new):
        raise KeyboardInterrupt

    called = arguments(command, COMMANDS[command][1])
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", replace)
        done = lfkit(*called)
    assert (done.code, "Traceback" in done.err) == (130, False)
    assert not [name for name in everything(place) if "partial" in name]
