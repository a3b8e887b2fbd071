"""Run folders of other people: their code is not run unasked, our files stay."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from lfkit.errors import DeclarationError, RunError
from lfkit.labeling.loading import load_lfs
from lfkit.labeling.trusted_code import remember_code, strange_code
from lfkit.runs.store import locked

FUNCTIONS = """
import pathlib
from brightness import THRESHOLD
from lfkit import ABSTAIN, labeling_function

CLASSES = ["dark", "bright"]
pathlib.Path(__file__).with_name("ran").touch()

@labeling_function(classes=[0, 1])
def by_brightness(image):
    return int(image.mean() > THRESHOLD)

@labeling_function(classes=[1])
def white_is_bright(image):
    return 1 if image.mean() > 180 else ABSTAIN
"""
TOY = ["--set", "batch=8", "--set", "width=16", "--set", "z_dim=8"]
TOY += ["--set", "reader_steps=10", "--steps", "10"]
APPLY = ["apply", "photos", "--lfs", "functions.py", "--no-baselines", "--no-sheet"]
APPLY += ["--out", "run"]
COMMANDS = ("train", "active", "generate")


@pytest.fixture
def known_modules(monkeypatch):
    """Forget what a test imports, and where from, as a new process would."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name == "brightness" or name.startswith("lfs_") or name == "own":
            del sys.modules[name]


@pytest.fixture(scope="module")
def made_project(tmp_path_factory):
    """A folder with images, functions, a run, and a generator trained on it."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    for number in range(24):
        pixels = rng.integers(0, 90, (8, 8)) + 160 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(
            folder / "photos" / f"{number:02}.png"
        )
    (folder / "functions.py").write_text(FUNCTIONS)
    (folder / "brightness.py").write_text("THRESHOLD = 120\n")
    start = "from lfkit.cli.app import main; main()"
    for command in (
        "apply photos --lfs functions.py --no-baselines --no-sheet --out run",
        f"train run --with adp {' '.join(TOY)}",
    ):
        subprocess.run(
            [sys.executable, "-c", start, *command.split()],
            check=True, capture_output=True, cwd=folder,
        )  # fmt: skip
    (folder / "ran").unlink()
    return folder


@pytest.fixture
def project(made_project, tmp_path, known_modules, monkeypatch):
    """Such a folder, of the user who made the run."""
    folder = tmp_path / "own"
    shutil.copytree(made_project, folder)
    monkeypatch.chdir(folder)
    own = [folder / name for name in ("functions.py", "brightness.py")]
    with monkeypatch.context() as patch:
        loaded = {"brightness": SimpleNamespace(__file__=str(own[1]))}
        patch.setattr(sys, "modules", {**sys.modules, **loaded})
        assert remember_code(["functions.py"]) is None
    return folder


def from_elsewhere(project, tmp_path):
    """The same run as another person would send it, with their code."""
    theirs = tmp_path / "theirs"
    shutil.copytree(project / "run", theirs)
    for name in ("functions.py", "brightness.py"):
        shutil.copy(project / name, theirs)
    path = theirs / "run.json"
    told = json.loads(path.read_text())
    told["options"]["lfs"] = [str(theirs / "functions.py")]
    path.write_text(json.dumps(told))
    return theirs


def arguments(command, run, tmp_path):
    """Name a command that needs the run's functions."""
    if command == "generate":
        made = tmp_path / "made"
        return ["generate", run, "--with", "adp", "-n", "3", "--revote", "--out", made]
    if command == "train":
        return ["train", run, "--with", "two-stage", *TOY, "--restart"]
    return ["active", run, "--with", "two-stage", "--budget", "2", "--oracle", "csv",
            *TOY, "--restart"]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_strange_code_is_not_run(command, lfkit, project, tmp_path):
    theirs = from_elsewhere(project, tmp_path)
    done = lfkit(*arguments(command, theirs, tmp_path))
    assert done.code == 2
    assert not (theirs / "ran").exists()
    assert "--trust-code" in done.err
    assert f"--lfs {theirs / 'functions.py'}" in done.err
    for how in (["--trust-code"], ["--lfs", project / "functions.py"]):
        done = lfkit(*arguments(command, theirs, tmp_path), *how)
        assert done.code == 0, done.err
        shutil.rmtree(tmp_path / "made", ignore_errors=True)
    assert (theirs / "ran").exists()
    assert (project / "ran").exists()


@pytest.mark.parametrize("changed", ["functions.py", "brightness.py"])
def test_changed_code_is_not_run(changed, lfkit, project):
    (project / changed).write_text((project / changed).read_text() + "\n# more\n")
    done = lfkit(*arguments("train", "run", project))
    assert (done.code, (project / "ran").exists()) == (2, False)
    assert changed in done.err
    assert "lfkit apply" in done.err
    assert lfkit(*APPLY).code == 0
    assert lfkit(*arguments("train", "run", project)).code == 0


def test_other_functions_given_anew_are_refused(lfkit, project, tmp_path):
    theirs = from_elsewhere(project, tmp_path)
    (project / "other.py").write_text(FUNCTIONS.replace("180", "190"))
    done = lfkit(*arguments("train", theirs, tmp_path), "--lfs", "other.py")
    assert (done.code, "white_is_bright" in done.err) == (2, True)


@pytest.mark.parametrize("spec", ["antigravity", "lf_library.digits.no", "own.code"])
def test_modules_that_were_never_run_are_strange(
    spec, lfkit, project, tmp_path, monkeypatch
):
    """A package's own code would run while a module in it is looked for."""
    (project / "own").mkdir()
    (project / "own" / "__init__.py").write_text("open('ran', 'w').close()")
    (project / "own" / "code.py").write_text("")
    path = project / "run" / "run.json"
    told = json.loads(path.read_text())
    told["options"]["lfs"] = [spec]
    path.write_text(json.dumps(told))
    done = lfkit(*arguments("train", "run", tmp_path))
    assert (done.code, (project / "ran").exists()) == (2, False)
    assert spec in done.err


def test_library_in_the_working_folder_is_not_lfkits(project, tmp_path, monkeypatch):
    (project / "lf_library").mkdir()
    (project / "lf_library" / "__init__.py").write_text("")
    (project / "lf_library" / "digits.py").write_text("open('ran', 'w').close()")
    assert strange_code(["lf_library.digits"]) == ("lf_library.digits", False)
    monkeypatch.chdir(tmp_path)
    assert strange_code(["lf_library.digits"]) is None


@pytest.mark.parametrize(
    "spec",
    ["", ".", "a..b", ":", "x.PY", "evil", "evil:f", "evil.py:f", "a\0.py", "a\0",
     "x" * 5000 + ".py", "os", "sys", "builtins", "__main__", "lf_library/../evil.py",
     "lf_library.", "~nobody/../evil.py", "/dev/null", "\udc80"],
)  # fmt: skip
def test_odd_names_of_code_are_strange_or_not_there(spec, tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    if strange_code([spec]) is None:
        with pytest.raises(DeclarationError, match="there is no"):
            load_lfs([spec])


def test_what_cannot_be_kept_is_told_once(lfkit, project, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    done = lfkit(*APPLY, "--json")
    assert done.code == 0
    notes = [n for n in json.loads(done.out)["notes"] if "--trust-code" in n]
    assert len(notes) == 1
    done = lfkit(*arguments("train", "run", tmp_path))
    assert (done.code, "--trust-code" in done.err) == (2, True)
    assert lfkit(*arguments("train", "run", tmp_path), "--trust-code").code == 0


def test_what_others_may_write_is_not_believed(lfkit, project, state_folder, tmp_path):
    for path in (state_folder / "lfkit" / "functions").iterdir():
        assert path.stat().st_mode & 0o077 == 0
        path.chmod(0o666)
    done = lfkit(*arguments("train", "run", tmp_path))
    assert (done.code, (project / "ran").exists()) == (2, False)


# Links.


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder"])
def test_lock_that_is_no_file_of_ours_is_refused(kind, tmp_path):
    run, mine = tmp_path / "run", tmp_path / "mine.txt"
    run.mkdir()
    if kind == "pipe":
        os.mkfifo(run / ".lock")
    elif kind == "folder":
        (run / ".lock").mkdir()
    else:
        (run / ".lock").symlink_to(mine)
    if kind == "link":
        mine.write_text("mine")
    with pytest.raises(ValueError, match="lock"), locked(run):
        pass
    assert mine.exists() == (kind == "link")
    assert kind != "link" or mine.read_text() == "mine"


@pytest.mark.parametrize("command", ["apply", "train", "active"])
@pytest.mark.parametrize("name", ["votes", "models", "active", "models/two-stage"])
def test_linked_folders_in_a_run_are_refused(command, name, lfkit, project, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    link = project / "run" / name
    shutil.rmtree(link, ignore_errors=True)
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(mine)
    called = APPLY if command == "apply" else arguments(command, "run", tmp_path)
    done = lfkit(*called)
    assert (done.code, [*mine.iterdir()]) == (2, [])
    assert f"run/{name}" in done.err


def test_linked_files_in_a_run_are_replaced_not_written_through(lfkit, project):
    mine = project.parent / "mine"
    mine.write_text("mine")
    own = ["labels.csv", "labels.parquet", "summary.json", "run.json", "faults.json",
           "images.parquet", "contact_sheet.png", "blocks.arrow"]  # fmt: skip
    own += [f".{name}.{os.getpid()}.partial{Path(name).suffix}" for name in own]
    for name in own:
        (project / "run" / name).unlink(missing_ok=True)
        if name not in ("run.json", "images.parquet", "blocks.arrow"):
            (project / "run" / name).symlink_to(mine)
    done = lfkit(*APPLY)
    assert (done.code, mine.read_text()) == (0, "mine"), done.err
    log = project / "run" / "models" / "two-stage" / "log.jsonl"
    log.parent.mkdir(parents=True)
    log.symlink_to(mine)
    lfkit("train", "run", "--with", "two-stage", *TOY)
    assert mine.read_text() == "mine"


def test_run_folder_may_itself_be_a_link(tmp_path):
    (tmp_path / "large-disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "large-disk")
    with locked(tmp_path / "run"):
        pass
    with (
        locked(tmp_path / "run"),
        pytest.raises(RunError, match="another"),
        locked(tmp_path / "run"),
    ):
        pass


def test_libraries_of_the_user_may_be_upgraded(tmp_path, monkeypatch, known_modules):
    libraries = tmp_path / ".local" / "site-packages"
    libraries.mkdir(parents=True)
    (libraries / "own.py").write_text("THRESHOLD = 100\n")
    (tmp_path / "brightness.py").write_text("from own import THRESHOLD\n")
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(libraries)
    monkeypatch.setattr("site.getusersitepackages", lambda: str(libraries))
    spec = str(tmp_path / "functions.py")
    load_lfs([spec])
    assert remember_code([spec]) is None
    (libraries / "own.py").write_text("THRESHOLD = 101\n")
    assert strange_code([spec]) is None
    (tmp_path / "brightness.py").write_text("THRESHOLD = 101\n")
    assert strange_code([spec]) == (str(tmp_path / "brightness.py"), True)
