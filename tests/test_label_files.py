"""Labels in the formats of other tools, read back as these tools read them."""

import json
import shlex
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lfkit.data.datasets import open_images
from lfkit.data.label_files import LABEL_FORMATS
from lfkit.data.vote_files import FORMATS

NAMES = ["dark one.png", "ünïcode.png", "7.png", "a&b #1.png", "bright.jpg", "gray.png"]
LEVELS = [10, 20, 30, 220, 230, 128]  # the last one gets no vote
SEED = "dark one.png"

RULES = """
from lfkit import ABSTAIN, labeling_function

CLASSES = ["dark/black", "bright & <white>"]


@labeling_function(classes=[0])
def low_is_dark(image):
    return 0 if image.mean() < 100 else ABSTAIN


@labeling_function(classes=[1])
def high_is_bright(image):
    return 1 if image.mean() > 200 else ABSTAIN
"""
CLASSES = ["dark/black", "bright & <white>"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos with space")
    (folder / "sub").mkdir()
    for number, (name, level) in enumerate(zip(NAMES, LEVELS, strict=True)):
        place = folder / ("sub" if number % 2 else "") / name
        Image.fromarray(np.full((8, 9, 3), level, np.uint8)).save(place)
    (folder / "broken.png").write_bytes(b"no image")
    return folder


@pytest.fixture
def run(lfkit, photos, tmp_path):
    rules = tmp_path / "rules.py"
    rules.write_text(RULES)
    out = tmp_path / "run"
    seeds = tmp_path / "seeds.csv"
    seeds.write_text(f"image_id,label\n{SEED},{CLASSES[0]}\n")
    done = lfkit(
        *("apply", photos, "--lfs", rules, "--size", 8, "--out", out),
        *("--seed-labels", seeds, "--no-baselines"),
    )
    assert done.code == 0, done.err
    return out


def labels_of(run):
    """What the run's own table says: id → (label or None, confidence)."""
    table = pq.read_table(run / "labels.parquet").to_pylist()
    return {row["image_id"]: (row["label"] or None, row["confidence"]) for row in table}


def export(lfkit, run, name, out):
    done = lfkit("export", run, "--as", name, "--out", out)
    assert done.code == 0, done.err
    return done.out


def test_hugging_face_reads_images_labels_and_class_names(lfkit, run, photos, tmp_path):
    datasets = pytest.importorskip("datasets")
    out = tmp_path / "hf"
    said = export(lfkit, run, "huggingface", out)
    assert "6 images, 5 of them labeled" in said
    assert "1 image that cannot be read is left out" in said
    found = datasets.load_dataset(
        str(out), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert found.features["label"].names == CLASSES
    wanted = labels_of(run)
    assert len(found) == len(NAMES)
    for row in found:
        label, confidence = wanted[row["image_id"]]
        own = None if row["label"] is None else CLASSES[row["label"]]
        assert own == label
        assert row["image"].size == (9, 8)
        assert row["seed"] == (row["image_id"] == SEED)
        assert (photos / row["image_id"]).exists()
        if label is not None:
            assert row["confidence"] == pytest.approx(confidence, abs=1e-4)
            assert row[f"p_{label}"] == pytest.approx(confidence, abs=1e-4)


def test_label_studio_finds_each_image_and_its_label(lfkit, run, photos, tmp_path):
    out = tmp_path / "tasks.json"
    out.write_text("of an earlier run")  # a file is replaced
    said = export(lfkit, run, "label-studio", out)
    root = Path(shlex.split(said.split("DOCUMENT_ROOT=")[1])[0])
    storage = Path(said.split("absolute path ")[1].split(": add it")[0])
    assert storage == photos  # which Label Studio takes only below its root
    assert storage.parent == root
    tasks = json.loads(out.read_text(encoding="utf-8"))
    wanted = labels_of(run)
    assert len(tasks) == len(NAMES)
    for task in tasks:
        data = task["data"]
        place = urlsplit(data["image"])
        assert place.path == "/data/local-files/"
        file = root / unquote(parse_qs(place.query)["d"][0])
        assert file.samefile(photos / data["image_id"])
        assert data["seed"] == (data["image_id"] == SEED)
        label, confidence = wanted[data["image_id"]]
        assert data["n_votes"] == (label is not None)
        if label is None:
            assert "predictions" not in task
            continue
        (prediction,) = task["predictions"]
        assert prediction["score"] == pytest.approx(confidence, abs=1e-4)
        (result,) = prediction["result"]
        assert result["value"] == {"choices": [label]}
        assert data["agreement"] == 1
    xml = said.split("interface: ")[1].splitlines()[0]
    view = ElementTree.fromstring(xml)
    choices = view.find("Choices")
    assert [choice.get("value") for choice in choices] == CLASSES
    assert choices.get("name") == result["from_name"]
    assert choices.get("toName") == view.find("Image").get("name") == result["to_name"]
    assert view.find("Image").get("value") == "$image"


def test_fiftyone_has_labels_and_places_without_copies(lfkit, run, photos, tmp_path):
    out = tmp_path / "fo"
    said = export(lfkit, run, "fiftyone", out)
    assert "import fiftyone as fo" in said
    assert f"from_dir({str(out)!r}" in said
    found = json.loads((out / "labels.json").read_text(encoding="utf-8"))
    places = json.loads((out / "data.json").read_text(encoding="utf-8"))
    assert found["classes"] == CLASSES
    assert sorted(path.name for path in out.iterdir()) == ["data.json", "labels.json"]
    assert found["labels"].keys() == places.keys()
    wanted = labels_of(run)
    for key, place in places.items():
        name = Path(place).relative_to(photos.resolve()).as_posix()
        label, confidence = wanted[name]
        told = found["labels"][key]
        if label is None:
            assert told is None
            continue
        assert told["label"] == label
        assert told["confidence"] == pytest.approx(confidence, abs=1e-4)
        assert [*told["attributes"]["votes"].values()] == [label]
        assert told["attributes"]["image_id"] == name
        assert told["attributes"]["seed"] == (name == SEED)


def test_folders_are_read_back_with_the_same_labels(lfkit, run, photos, tmp_path):
    out = tmp_path / "by class"
    said = export(lfkit, run, "folders", out)
    named, _, image_id = said.split("twice: ")[1].splitlines()[0].partition(" is ")
    (copy,) = out.rglob(named)
    assert copy.read_bytes() == (photos / image_id.rstrip(".")).read_bytes()
    folders = sorted(path.name for path in out.iterdir())
    assert folders == ["_unlabeled", "bright & _white_", "dark_black"]
    assert len([*(out / "_unlabeled").iterdir()]) == 1
    level = {name: value for name, value in zip(NAMES, LEVELS, strict=True)}
    for folder, bright in (("dark_black", False), ("bright & _white_", True)):
        for file in (out / folder).iterdir():
            assert (np.asarray(Image.open(file)).mean() > 200) == bright
            own = file.stem.partition("_")[2]
            assert any(Path(name).stem.startswith(own[:1]) for name in level)
    again = open_images(str(out), size=(8, 8))
    assert len(again) == len(NAMES)


@pytest.mark.parametrize("name", LABEL_FORMATS)
def test_data_without_files_is_written_as_pictures_or_refused(lfkit, name, tmp_path):
    images = np.asarray([10, 250], np.uint8)[:, None, None].repeat(8, 1).repeat(8, 2)
    np.savez(tmp_path / "images.npz", images=images)
    (tmp_path / "rules.py").write_text(RULES)
    done = lfkit(
        *("apply", tmp_path / "images.npz", "--lfs", tmp_path / "rules.py"),
        *("--out", tmp_path / "run"),
    )
    assert done.code == 0, done.err
    ending = LABEL_FORMATS[name].ending
    out = tmp_path / f"out{ending}"
    done = lfkit("export", tmp_path / "run", "--as", name, "--out", out)
    if ending:
        assert done.code == 2
        assert "are no files" in done.err
        assert not out.exists()
        return
    assert done.code == 0, done.err
    if name == "huggingface":
        (file,) = out.iterdir()
        column = pq.read_table(file).column("image").to_pylist()
        assert column[0]["bytes"].startswith(b"\x89PNG")
        return
    pngs = sorted(out.rglob("*.png"), key=lambda path: path.name)
    levels = [int(np.asarray(Image.open(path)).mean()) for path in pngs]
    assert levels == [10, 250]


@pytest.mark.parametrize("name", LABEL_FORMATS)
def test_wrong_places_are_refused_and_nothing_is_lost(lfkit, run, name, tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("precious")
    done = lfkit("export", run, "--as", name, "--out", full)
    assert done.code == 2
    assert (full / "mine.txt").read_text() == "precious"
    votes = tmp_path / "votes.npy"
    np.save(votes, np.zeros((3, 2), int))
    done = lfkit("export", votes, "--as", name, "--out", tmp_path / "x.json")
    assert done.code == 2
    assert "is no run folder" in done.err


def test_an_unknown_format_is_told_all_of_them_and_the_near_one(lfkit, tmp_path):
    votes = tmp_path / "votes.npy"
    np.save(votes, np.zeros((3, 2), int))
    done = lfkit("export", votes, "--as", "labelstudio", "--out", tmp_path / "x.json")
    assert done.code == 2
    said = " ".join(done.err.split())
    assert all(name in said for name in (*FORMATS, *LABEL_FORMATS))
    assert "Did you mean label-studio?" in said
