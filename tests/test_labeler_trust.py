"""A labeler runs nothing that was added or planted, and says what has changed."""

import json
import marshal
import os
import shutil
import subprocess
import sys
from importlib.util import MAGIC_NUMBER, cache_from_source
from pathlib import Path

import numpy as np
import pytest
from assertions import assert_notes, assert_refused

import lfkit as lfkit_package
from lfkit.commands.apply import ApplyOptions, apply
from lfkit.runs.reading import read_sealed, sealed

SHIPPED = "lf_library.digits:two_holes_is_eight"
FUNCTIONS = """
from pathlib import Path

import lines_from_elsewhere
from lfkit import ABSTAIN, labeling_function

CLASSES = [str(digit) for digit in range(10)]
LIMIT = Path(__file__).parent / "limit.txt"


def rule(name, files):
    @labeling_function(classes=[1], depends_on=files, name=name, batched=True)
    def function(images):
        dark = images.mean(dim=(1, 2, 3)) > float(LIMIT.read_text())
        return dark.int() * 2 - 1

    return function


LFS = [
    rule("near", ["limit.txt"]),
    rule("far", [r"{far}"]),
    rule("whole", [r"{whole}"]),
]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory, digits):
    """Labelers `shipped` and `own`, with what `own` needs beside it and elsewhere."""
    folder = tmp_path_factory.mktemp("a place")
    np.savez(folder / "some.npz", images=digits[0][:40], labels=digits[1][:40])
    for name in ("home", "elsewhere"):
        (folder / name).mkdir()
    (folder / "home" / "limit.txt").write_text("0.2")
    (folder / "home" / "whole.txt").write_text("1")
    (folder / "elsewhere" / "far.txt").write_text("1")
    (folder / "elsewhere" / "lines_from_elsewhere.py").write_text("WIDTH = 1\n")
    text = FUNCTIONS.replace("{far}", str(folder / "elsewhere" / "far.txt"))
    text = text.replace("{whole}", str(folder / "home" / "whole.txt"))
    (folder / "home" / "mine.py").write_text(text)
    before = [*sys.path]
    sys.path.append(str(folder / "elsewhere"))
    for name, spec in (("shipped", SHIPPED), ("own", str(folder / "home" / "mine.py"))):
        asked = {"baselines": False, "sheet": False, "aggregator": "majority-vote"}
        run = folder / f"run {name}"
        apply(ApplyOptions(str(folder / "some.npz"), lfs=(spec,), out=run, **asked))
        _freeze(run, folder / name)
    yield folder
    sys.path[:] = before


def _freeze(run, out):
    from lfkit.cli.app import app

    with pytest.raises(SystemExit) as stop:
        app(["freeze", str(run), "--out", str(out)])
    assert not stop.value.code


@pytest.fixture
def own(place, tmp_path):
    """A copy of the labeler of functions in a file."""
    shutil.copytree(place / "own", tmp_path / "own")
    return tmp_path / "own"


def _load(folder):
    return lfkit_package.load_labeler(folder, trust_code=True)


def test_functions_that_came_with_lfkit_put_no_folder_on_the_path(
    place, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "planted.py").write_text("open('it ran', 'w')\n")
    monkeypatch.setattr(
        sys, "path", [p for p in sys.path if p not in ("", os.getcwd())]
    )
    monkeypatch.delitem(sys.modules, "lf_library.digits", raising=False)
    before = [*sys.path]
    labeler = lfkit_package.load_labeler(place / "shipped")
    assert sys.path == before
    assert len(labeler(np.zeros((2, 8, 8), np.uint8)).labels) == 2


@pytest.mark.parametrize(
    "name", ["torch.py", "colorsys.pyc", "deep/er/colorsys.py", "__pycache__/a.py"]
)
def test_a_file_that_was_added_is_refused(own, name):
    path = own / "sources" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("open('it ran', 'w')\n")
    with assert_refused(names=[str(path)]):
        _load(own)
    path.unlink()
    _load(own)


def test_a_folder_that_was_linked_into_it_is_refused(own, tmp_path):
    (tmp_path / "torch").mkdir()
    for name in ("torch", "__pycache__"):
        link = own / "sources" / name
        link.symlink_to(tmp_path / "torch")
        with assert_refused(names=[str(link)]):
            _load(own)
        link.unlink()


def test_what_python_compiled_before_is_not_run(own, tmp_path):
    cache = cache_from_source(str(own / "sources" / "mine.py"))
    os.makedirs(os.path.dirname(cache))
    marker = tmp_path / "it ran"
    # As if of this source: its time and size stand at the beginning.
    seen = (own / "sources" / "mine.py").stat()
    code = compile(f"open({str(marker)!r}, 'w')", "mine.py", "exec")
    header = MAGIC_NUMBER + bytes(4)
    numbers = (int(seen.st_mtime), seen.st_size)
    header += b"".join(n.to_bytes(4, "little") for n in numbers)
    with open(cache, "wb") as file:
        file.write(header + marshal.dumps(code))
    _load(own)
    assert not marker.exists()


def test_files_that_were_not_copied_are_compared(place, own):
    record = json.loads((own / "labeler.json").read_text())
    assert_notes(record["notes"], names=["whole", str(place / "home" / "whole.txt")])
    assert len(record["outside"]) == 3
    assert _load(own).notes == ()
    for path in map(place.joinpath, ("elsewhere/far.txt", "home/whole.txt")):
        path.write_text("2")
        assert_notes(_load(own).notes, names=[str(path)])
        path.write_text("1")
    assert _load(own).notes == ()
    helper = place / "elsewhere" / "lines_from_elsewhere.py"
    helper.write_text("WIDTH = 2\n")
    assert_notes(_load(own).notes, names=[str(helper)])
    helper.write_text("WIDTH = 1\n")


def test_label_shows_what_the_labeler_notes(place, own, lfkit, tmp_path):
    path = place / "elsewhere" / "far.txt"
    path.write_text("2")
    asked = ("--labeler", own, "--out", tmp_path / "out", "--trust-code", "--json")
    done = lfkit("label", place / "some.npz", *asked)
    path.write_text("1")
    assert done.code == 0, done.err
    assert_notes(json.loads(done.out)["notes"], names=[str(path)])


@pytest.mark.parametrize("workers", [1, 2])
def test_code_that_is_not_there_is_one_error_for_all_shards(
    place, own, lfkit, tmp_path, workers
):
    record = read_sealed(own / "labeler.json", "")
    record["specs"] = ["a_module_that_is_nowhere"]
    (own / "labeler.json").write_bytes(sealed(record))
    asked = ("--labeler", own, "--out", tmp_path / "out", "--trust-code")
    more = ("--shard-size", 10, "--workers", workers)
    done = lfkit("label", place / "some.npz", *asked, *more)
    assert done.code == 2
    assert done.err.replace("\n", "").count("a_module_that_is_nowhere") == 1


def test_a_network_of_others_is_not_read_unasked(place, tmp_path):
    from lfkit.refinement.frozen_model import PARTS, FrozenRefinement, FrozenSet
    from lfkit.runs.object_tree import TreeWriter

    for encoder, is_refused in (
        ("onnx:weights.onnx", True),
        ("efficientnet-lite0", False),
    ):
        folder = tmp_path / encoder[:4]
        shutil.copytree(place / "shipped", folder)
        sets = (FrozenSet("e", encoder=encoder),)
        refinement = FrozenRefinement({}, False, sets, {}, (8, 8, 1), 10)
        record = read_sealed(folder / "labeler.json", "")
        record["refinement"] = TreeWriter(PARTS).write(refinement, "refinement")
        (folder / "labeler.json").write_bytes(sealed(record))
        assert lfkit_package.load_labeler(folder, trust_code=True).refinement
        if is_refused:
            with assert_refused(names=[encoder], allowed=["--trust-code"]):
                lfkit_package.load_labeler(folder)
        else:
            lfkit_package.load_labeler(folder)


A_RULE = """
from lfkit import labeling_function

CLASSES = ["dark", "light"]


@labeling_function(classes=[0, 1])
def mean_tells(image):
    return int(image.mean() > 80)
"""


def test_python_m_lfkit_imports_libraries_from_where_they_are(tmp_path):
    for name in ("numpy", "torch", "typer", "pandas"):
        (tmp_path / f"{name}.py").write_text("open('it ran', 'w')\n")
    (tmp_path / "my_rules.py").write_text(A_RULE)
    root = str(Path(lfkit_package.__file__).parents[1])
    asked = ("apply", "digits", "--lfs", "my_rules", "--out", "run")
    done = subprocess.run(
        [sys.executable, "-m", "lfkit", *asked, "--no-baselines", "--no-sheet"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "it ran").exists()
