"""Votes are those of the files that functions read, as these are now."""

import importlib
import json
import os
import sys

import cv2
import numpy as np
import pytest

READERS = """
import functools, json, os, threading
from pathlib import Path
import cv2
import numpy as np
from lfkit import feature, labeling_function
from lfkit.labeling.thresholds.threshold import Threshold
import helper_of_readers

HERE = Path(__file__).parent
TABLE = json.loads((HERE / "module_value.json").read_text())


class Opaque:
    def __init__(self, path):
        self.value = json.loads(path.read_text())
        self.lock = threading.Lock()

    def __reduce_ex__(self, protocol):
        raise TypeError("cannot be pickled")


MODEL = Opaque(HERE / "module_object.json")


def read(name):
    return json.loads((HERE / name).read_text())


@functools.cache
def cached():
    return read("cached.json")


@labeling_function(classes=[0, 1])
def per_image(image):
    return read("per_image.json")


@labeling_function(classes=[0, 1])
def relative(image):
    with open("relative.json") as handle:
        return json.load(handle)


@labeling_function(classes=[0, 1])
def loads_once(image):
    return cached()


@labeling_function(classes=[0, 1])
def by_numpy(image):
    return int(np.load(HERE / "by_numpy.npy"))


@labeling_function(classes=[0, 1])
def by_opencv(image):
    return int(cv2.imread(str(HERE / "by_opencv.png"), cv2.IMREAD_GRAYSCALE)[0, 0])


@labeling_function(classes=[0, 1], batched=True)
def batched(images):
    return images.new_full((len(images),), read("batched.json")).long()


@labeling_function(classes=[0, 1])
def in_a_helper(image):
    return helper_of_readers.answer()


@labeling_function(classes=[0, 1])
def module_value(image):
    return TABLE


@labeling_function(classes=[0, 1], batched=True)
def module_object(images):
    return images.new_full((len(images),), MODEL.value).long()


@feature
def of_feature(image):
    return read("feature.json")


@feature(of=[of_feature])
def doubled(value):
    return 2 * value


@labeling_function(classes=[0, 1], features=[of_feature])
def by_feature(value):
    return int(value)


@labeling_function(classes=[0, 1], features=[doubled])
def by_feature_of_feature(value):
    return int(value) // 2


@feature(batched=True)
def batched_feature(images):
    return images.new_full((len(images),), read("batched_feature.json"))


@labeling_function(classes=[0, 1], features=[batched_feature], batched=True)
def by_batched_feature(values):
    return values.long()


@feature(fit=lambda images, labels, rng: {"a": np.asarray(read("fit.json"))})
def fitted(image, *, a):
    return float(a)


@labeling_function(classes=[0, 1], features=[fitted])
def by_fit(value):
    return int(value)


class FromFile(Threshold):
    @property
    def value(self):
        return self._learned_scalar("a")

    def _learn(self, values, labels, *, classes, rng):
        return {"a": np.asarray(read("threshold.json"))}


@labeling_function(classes=[0, 1], thresholds={"cut": FromFile(of_feature)})
def by_threshold(image, *, cut=0):
    return int(cut)


@labeling_function(classes=[0, 1], depends_on=["declared.json"])
def declared(image):
    return read("declared.json")


@labeling_function(classes=[0, 1], depends_on=["folder"])
def declared_folder(image):
    return read("folder/part.json")


@labeling_function(classes=[0, 1])
def makes_its_own_file(image):
    own = HERE / f"own-{os.getpid()}.txt"
    own.write_text("x")
    return len(own.read_text()) - 1
"""
HELPER = "helper_of_readers"
UNTOUCHED = "makes_its_own_file"
UNSEEN = {"declared", "declared_folder", "module_value", "module_object", UNTOUCHED}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for number in range(12):
        path = tmp_path / "images" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 255, (8, 8)).astype(np.uint8))
    return tmp_path


def write_all(folder, value):
    names = "per_image relative cached batched module_value module_object feature"
    names += " batched_feature fit threshold declared folder/part in_a_helper"
    (folder / "folder").mkdir(exist_ok=True)
    for name in names.split():
        (folder / f"{name}.json").write_text(json.dumps(value))
    np.save(folder / "by_numpy.npy", value)
    cv2.imwrite(str(folder / "by_opencv.png"), np.full((2, 2), value, np.uint8))


@pytest.fixture
def apply(lfkit, folder, monkeypatch):
    """Apply readers.py with its modules imported anew, as in a process of its own."""

    def run():
        for name in [n for n in sys.modules if n.split(".")[0] in ("cuts", HELPER)]:
            monkeypatch.delitem(sys.modules, name)
        importlib.invalidate_caches()
        arguments = ["images", "--lfs", "readers.py", "--out", "run", "--json"]
        arguments += ["--seeds-per-class", "3", "--no-sheet", "--no-baselines"]
        done = lfkit("apply", *arguments)
        assert done.code == 0, done.err
        return json.loads(done.out)

    return run


def test_votes_follow_the_files_that_functions_read(apply, folder):
    (folder / "readers.py").write_text(READERS)
    (folder / "helper_of_readers.py").write_text(
        "import json, pathlib\n"
        "def answer():\n"
        "    path = pathlib.Path(__file__).with_name('in_a_helper.json')\n"
        "    return json.loads(path.read_text())\n"
    )
    write_all(folder, 0)
    first = apply()
    assert not first["faults"]
    assert not first["left_out"]
    found = votes_of(folder)
    assert found == {name: {0} for name in found}
    assert len(found) == 17
    notes = [note for note in first["notes"] if "depends_on" in note]
    assert len(notes) == 1
    opened = {part.split()[0] for part in notes[0].split(", ")}
    assert opened >= {"per_image", "relative", "loads_once", "by_numpy", "by_opencv"}
    assert opened >= {"batched", "in_a_helper", "of_feature", "batched_feature"}
    assert not opened & UNSEEN
    assert "per_image reads per_image.json" in notes[0]

    write_all(folder, 1)
    apply()
    assert votes_of(folder) == {n: {int(n != UNTOUCHED)} for n in found}

    again = apply()
    assert again["lf_calls"] == 0
    assert [n for n in again["notes"] if "depends_on" in n] == notes


def votes_of(folder):
    from lfkit.runs.run import load_run

    votes = load_run(folder / "run").votes
    return {n: set(votes.hard[:, j].tolist()) for j, n in enumerate(votes.names)}


RECOMPUTED = """
import os
from lfkit import feature, labeling_function


@feature
def variable(image):
    return float(os.getenv("ANSWER"))


@feature
def other(image):
    return 2 * float(os.getenv("ANSWER"))


@labeling_function(classes=[0, 1], features=[variable])
def first(value):
    return int(value)


@labeling_function(classes=[0, 1], features=[variable])
def beside(value):
    return int(value)


@labeling_function(classes=[0, 1], features=[other])
def apart(value):
    return int(value) // 2
"""


@pytest.mark.parametrize(
    ("asked", "again"),
    [
        ([], set()),
        (["first"], {"first", "beside"}),
        (["other"], {"apart"}),
        (["all"], {"first", "beside", "apart"}),
    ],
)
def test_recompute_votes_again(lfkit, folder, monkeypatch, asked, again):
    (folder / "lfs.py").write_text(RECOMPUTED)
    options = ["images", "--lfs", "lfs.py", "--out", "run", "--json", "--no-sheet"]
    options.append("--no-baselines")
    monkeypatch.setenv("ANSWER", "0")
    assert lfkit("apply", *options).code == 0
    monkeypatch.setenv("ANSWER", "1")
    for name in asked:
        options += ["--recompute", name]
    assert lfkit("apply", *options).code == 0
    expected = {n: {int(n in again)} for n in ("first", "beside", "apart")}
    assert votes_of(folder) == expected


def test_a_package_imported_when_called_is_no_file_to_declare(apply, folder):
    (folder / "cuts").mkdir()
    (folder / "cuts" / "__init__.py").write_text("")
    (folder / "cuts" / "of_brightness.py").write_text("CUT = 0\n")
    # Of a package installed in place: torch reads it, to look for plugins.
    (folder / "cuts.egg-info").mkdir()
    plugins = folder / "cuts.egg-info" / "entry_points.txt"
    plugins.write_text("")
    (folder / "readers.py").write_text(
        "from lfkit import labeling_function\n"
        "@labeling_function(classes=[0, 1])\n"
        "def imports(image):\n"
        f"    open({str(plugins)!r}).close()\n"
        "    from cuts.of_brightness import CUT\n"
        "    return CUT\n"
    )
    assert not [note for note in apply()["notes"] if "depends_on" in note]
    when = (folder / "cuts" / "of_brightness.py").stat().st_mtime
    (folder / "cuts" / "of_brightness.py").write_text("CUT = 1\n")
    os.utime(folder / "cuts" / "of_brightness.py", (when, when))  # within a second
    apply()
    assert votes_of(folder) == {"imports": {1}}


def test_training_refuses_votes_whose_files_have_changed(lfkit, folder):
    (folder / "cut.json").write_text("0")
    (folder / "lfs.py").write_text(
        "from pathlib import Path\n"
        "from lfkit import labeling_function\n"
        "@labeling_function(classes=[0, 1])\n"
        "def reads(image):\n"
        "    return int(Path('cut.json').read_text())\n"
    )
    options = ["images", "--lfs", "lfs.py", "--out", "run", "--no-sheet"]
    options.append("--no-baselines")
    assert lfkit("apply", *options).code == 0
    (folder / "cut.json").write_text("1")
    done = lfkit("train", "run", "--with", "two-stage", "--steps", 1)
    assert done.code == 2
    assert "cut.json" in done.err
    assert votes_of(folder) == {"reads": {0}}


OPENS_MANY = """
from pathlib import Path
from lfkit import labeling_function


@labeling_function(classes=[0, 1]{depends_on})
def opens_many(image):
    return int(Path(f"many/{int(image.sum()) % 400}.txt").read_text())
"""


@pytest.mark.parametrize("declares", [False, True])
def test_a_function_that_opens_many_files_is_named_and_not_followed(
    lfkit, folder, declares
):
    (folder / "many").mkdir()
    for number in range(400):
        (folder / "many" / f"{number}.txt").write_text("0")
    depends_on = ', depends_on=["many"]' if declares else ""
    text = OPENS_MANY.replace("{depends_on}", depends_on)
    (folder / "lfs.py").write_text(text)
    rng = np.random.default_rng(1)
    for number in range(100):
        pixels = rng.integers(0, 255, (8, 8)).astype(np.uint8)
        cv2.imwrite(str(folder / "images" / "a" / f"more{number}.png"), pixels)
    for _ in range(2):
        notes = applied(lfkit)["notes"]
        said = [note for note in notes if "opens_many" in note]
        assert len(said) == (not declares)
        for note in said:
            assert "too many" in note
            assert "depends_on" in note
            assert "--recompute opens_many" in note
    watched = [*(folder / "run" / "votes").rglob("files-read*")]
    assert len(watched) == (not declares)
    for path in watched:
        assert len(np.load(path)["paths"]) < 70


def applied(lfkit, *options):
    arguments = ["images", "--lfs", "lfs.py", "--out", "run", "--json", "--no-sheet"]
    done = lfkit("apply", *arguments, "--no-baselines", *options)
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_an_unknown_name_to_recompute_is_refused(lfkit, folder):
    (folder / "lfs.py").write_text(RECOMPUTED)
    options = ["images", "--lfs", "lfs.py", "--out", "run", "--recompute", "frist"]
    done = lfkit("apply", *options)
    assert done.code == 2
    assert "'frist'" in done.err
    assert "first" in done.err
    assert not (folder / "run" / "votes").exists()


@pytest.mark.parametrize(
    ("decorator", "told"),
    [
        ('labeling_function(classes=[0], depends_on=["no.json"])', "no.json"),
        ('feature(depends_on=["no.json"])', "no.json"),
        ('labeling_function(classes=[0], depends_on="no.json")', "takes a list"),
        ("labeling_function(classes=[0], depends_on=[3])", "3"),
    ],
)
def test_a_wrong_depends_on_is_one_sentence(lfkit, folder, decorator, told):
    (folder / "lfs.py").write_text(
        "from lfkit import feature, labeling_function\n"
        f"@{decorator}\n"
        "def reads(image):\n"
        "    return 0\n"
    )
    done = lfkit("apply", "images", "--lfs", "lfs.py", "--out", "run")
    assert done.code == 2
    assert "'reads'" in done.err
    assert "depends" in done.err
    assert told in done.err
    assert "Traceback" not in done.err


def test_a_listed_folder_is_watched_only_where_declared(lfkit, folder):
    (folder / "data").mkdir()
    (folder / "lfs.py").write_text(
        "from pathlib import Path\n"
        "from lfkit import labeling_function\n"
        "@labeling_function(classes=[0, 1])\n"
        "def lists(image):\n"
        "    return len(list(Path('data').iterdir()))\n"
        "@labeling_function(classes=[0, 1], depends_on=['data'])\n"
        "def declares(image):\n"
        "    return len(list(Path('data').glob('*')))\n"
    )
    assert not [note for note in applied(lfkit)["notes"] if "depends_on" in note]
    (folder / "data" / "new.txt").write_text("")
    applied(lfkit)
    assert votes_of(folder) == {"lists": {0}, "declares": {1}}


def test_a_large_file_is_watched_without_reading_it(lfkit, folder):
    weights = folder / "weights.bin"
    weights.touch()
    os.truncate(weights, 2**36)  # a hole: it would take minutes to hash
    (folder / "lfs.py").write_text(
        "import cv2\n"
        "from lfkit import labeling_function\n"
        "@labeling_function(classes=[0, 1])\n"
        "def names(image):\n"
        "    return int(cv2.haveImageReader('weights.bin'))\n"
        "@labeling_function(classes=[0, 1])\n"
        "def opens(image):\n"
        "    with open('weights.bin', 'rb') as handle:\n"
        "        return handle.read(1)[0]\n"
    )
    assert applied(lfkit)["lf_calls"]
    assert not applied(lfkit)["lf_calls"]
    with weights.open("r+b") as handle:
        handle.write(b"\1")
    applied(lfkit)
    assert votes_of(folder) == {"names": {0}, "opens": {1}}


def test_a_functions_own_log_is_not_what_it_reads(lfkit, folder):
    (folder / "lfs.py").write_text(
        "import cv2\n"
        "from lfkit import labeling_function\n"
        "@labeling_function(classes=[0, 1])\n"
        "def logs(image):\n"
        "    with open('log.txt', 'a') as log:\n"
        "        print(image.mean(), file=log)\n"
        "    return 0\n"
        "@labeling_function(classes=[0, 1])\n"
        "def names(image):\n"
        "    return int(cv2.imread('mask.png')[0, 0, 0])\n"
        "@labeling_function(classes=[0, 1])\n"
        "def opens(image):\n"
        "    return int(open('cut.txt').read())\n"
    )
    cv2.imwrite(str(folder / "mask.png"), np.zeros((2, 2), np.uint8))
    (folder / "cut.txt").write_text("0")
    for is_first in (True, False, False):
        done = applied(lfkit)
        assert bool(done["lf_calls"]) == is_first
        (note,) = [note for note in done["notes"] if "depends_on" in note]
        assert "log.txt" not in note
        assert "names names mask.png" in note
        assert "opens reads cut.txt" in note
    (folder / "mask.png").unlink()
    cv2.imwrite(str(folder / "mask.png"), np.ones((2, 2), np.uint8))
    applied(lfkit)
    assert votes_of(folder) == {"logs": {0}, "names": {1}, "opens": {0}}
