"""Parquet files with images in them: those of Hugging Face, and those lfkit wrote."""

import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lfkit.data.datasets import open_images
from lfkit.data.shards import list_shards, open_shard
from lfkit.errors import InputError

LFS = """
from lfkit import ABSTAIN, labeling_function, metadata

CLASSES = ["two words", "größer"]

@labeling_function(classes=[0, 1])
def brightness(image):
    mean = image.mean()
    return 0 if mean < 100 else 1 if mean > 150 else ABSTAIN
"""
LEVELS = [10, 240, 30, 120, 180, 60]


def encoded(level, size=(5, 6), kind="PNG"):
    file = io.BytesIO()
    Image.new("L", size, level).save(file, kind)
    return file.getvalue()


def write(path, images, *, names=None, group=2, **columns):
    """Write a Parquet file, with the names of classes as `datasets` keeps them."""
    table = pa.table({"image": images, **columns})
    if names is not None:
        kinds = {"label": {"names": names, "_type": "ClassLabel"}}
        told = json.dumps({"info": {"features": kinds}})
        table = table.replace_schema_metadata({"huggingface": told})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=group)
    return path


def pixels(source):
    read = source.read(np.arange(len(source)))
    return read.pixels, read.problems


def test_what_export_wrote_is_read_back_with_its_images_and_labels(
    lfkit, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for number, level in enumerate(LEVELS):
        place = tmp_path / "my photos" / f"a ü{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        image = np.full((6, 5), level, np.uint8)
        image[0, number % 5] = 255
        Image.fromarray(image).save(place / f"{number} ñ.png")
    (tmp_path / "lfs.py").write_text(LFS)
    asked = ["--lfs", "lfs.py", "--no-baselines", "--no-sheet", "--with", "auto"]
    # The folders are no classes of these functions.
    listed = sorted(p for p in (tmp_path / "my photos").rglob("*.png"))
    rows = "".join(f"{p.relative_to(tmp_path)}\n" for p in listed)
    (tmp_path / "list.csv").write_text(f"path\n{rows}")
    done = lfkit("apply", "list.csv", *asked, "--out", "run")
    assert done.code == 0, done.err
    done = lfkit("export", "run", "--as", "huggingface", "--out", "an export")
    assert done.code == 0, done.err
    done = lfkit("apply", "an export", *asked, "--out", "again")
    assert done.code == 0, done.err
    first, second = (pd.read_csv(f"{run}/labels.csv") for run in ("run", "again"))
    pd.testing.assert_frame_equal(first, second)
    assert first["label"].isna().sum() == 1
    back = open_images("an export")
    before, own = pixels(open_images("list.csv")), pixels(back)
    np.testing.assert_array_equal(before[0], own[0])
    assert not own[1]
    assert back.class_names == ("two words", "größer")
    # What the first run said is the second's truth; what it did not say is unknown.
    said = first["label"].map({"two words": 0, "größer": 1}).fillna(-1).astype(int)
    assert back.labels.tolist() == said.tolist()
    summary = json.loads((tmp_path / "again" / "summary.json").read_text())
    assert summary["accuracy"]["of_labeled"] == 1
    assert summary["accuracy"]["n"] == 5


def test_what_hugging_faces_library_wrote_is_read(tmp_path):
    datasets = pytest.importorskip("datasets")
    colors = [(200, 10, 10), (10, 200, 10), (10, 10, 200)]
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=["z", "a"])
    )
    made = datasets.Dataset.from_dict(
        {
            "image": [Image.new("RGB", (4, 3), color) for color in colors],
            "label": [1, 0, None],
        },
        features=features,
    )
    made.to_parquet(str(tmp_path / "train.parquet"))
    source = open_images(tmp_path / "train.parquet")
    assert source.class_names == ("z", "a")  # in their order, not the alphabet's
    assert source.labels.tolist() == [1, 0, -1]
    assert list(source.ids) == ["0", "1", "2"]
    found, problems = pixels(source)
    assert not problems
    assert found.shape == (3, 3, 4, 3)
    assert found[:, 1, 1].tolist() == [list(color) for color in colors]


def test_bytes_alone_are_images_too_and_text_labels_are_named(tmp_path):
    images = pa.array([encoded(level) for level in LEVELS], pa.binary())
    file = write(tmp_path / "a.parquet", images, label=["b", "a", None, "b", "a", "a"])
    source = open_images(file)
    assert source.shape == (6, 5, 1)
    assert source.class_names == ("a", "b")
    assert source.labels.tolist() == [1, 0, -1, 1, 0, 0]
    assert pixels(source)[0][:, 0, 0, 0].tolist() == LEVELS
    assert open_images(file, size=(3, 3), color="rgb").shape == (3, 3, 3)
    write(tmp_path / "b.parquet", images)
    assert open_images(tmp_path / "b.parquet").labels is None


def test_a_folder_as_on_the_hub_has_its_files_in_data_and_splits(tmp_path):
    for name, levels in (("train-0-of-2", LEVELS[:2]), ("train-1-of-2", LEVELS[2:5])):
        path = tmp_path / "set" / "data" / f"{name}.parquet"
        write(path, [encoded(level) for level in levels], names=["x", "y"],
              label=[level % 2 for level in levels])  # fmt: skip
    write(tmp_path / "set" / "data" / "test-0-of-1.parquet", [encoded(99)],
          names=["x", "y"], label=[1])  # fmt: skip
    folder = str(tmp_path / "set")
    assert len(open_images(folder)) == 6
    train = open_images(f"{folder}:train")
    assert pixels(train)[0][:, 0, 0, 0].tolist() == LEVELS[:5]
    assert open_images(f"{folder}:test").labels.tolist() == [1]
    shards = list_shards(folder, 2)  # `lfkit label` takes each file as a shard
    assert [shard.place.rpartition("/")[2] for shard in shards] == [
        f"{name}.parquet" for name in ("test-0-of-1", "train-0-of-2", "train-1-of-2")
    ]
    opened = open_shard(shards[1], (6, 5, 1), 65535)
    assert pixels(opened)[0][:, 0, 0, 0].tolist() == LEVELS[:2]
    with pytest.raises(InputError, match="no split 'valid'; it has test, train"):
        open_images(f"{folder}:valid")


def test_rows_without_an_image_are_named_and_the_others_read(tmp_path):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [
        {"bytes": encoded(10), "path": "a b.png"},
        {"bytes": None, "path": "gone.png"},
        None,
        {"bytes": b"<html>", "path": "page.png"},
        {"bytes": encoded(70, kind="JPEG"), "path": "a b.png"},
    ]
    source = open_images(write(tmp_path / "a.parquet", pa.array(rows, kind)))
    assert list(source.ids) == ["a b.png", "gone.png", "2", "page.png", "a b.png#2"]
    assert sorted(source.known_problems) == [1, 2, 3]
    found, problems = pixels(source)
    assert found[[0, 4], 0, 0, 0].tolist() == [10, 70]
    assert sorted(problems) == [1, 2, 3]


@pytest.mark.parametrize(
    ("columns", "names", "said"),
    [
        ({"label": [0, 7]}, ["x", "y"], "row 2 of .* has label 7; .* 0 to 1"),
        ({"label": [0, 1]}, ["x", "x "], "cannot be told apart"),
        ({"label": [0.5, 1]}, None, "fractions"),
    ],
)
def test_labels_that_cannot_be_are_refused(tmp_path, columns, names, said):
    images = [encoded(10), encoded(20)]
    file = write(tmp_path / "a.parquet", images, names=names, **columns)
    with pytest.raises(InputError, match=said):
        open_images(file)


def test_files_that_are_no_images_are_refused(tmp_path):
    sizes = write(tmp_path / "a.parquet", [encoded(1), encoded(2, size=(9, 9))])
    with pytest.raises(InputError, match=r"2 sizes, from 6x5 .* to 9x9"):
        open_images(sizes)
    with pytest.raises(InputError, match="none of the 2 images"):
        open_images(write(tmp_path / "b.parquet", [b"no", b"image"]))
    with pytest.raises(InputError, match="holds no images"):
        open_images(write(tmp_path / "c.parquet", pa.array([], pa.binary())))
    cut = tmp_path / "d.parquet"
    cut.write_bytes(sizes.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"d\.parquet"):
        open_images(cut)


def test_other_columns_are_read_and_those_of_labels_are_not(tmp_path):
    from lfkit.data.image_source import MetadataField

    images = [encoded(level) for level in LEVELS]
    captions = ["a cat", None, "a dog", "b", "c", "d"]
    same = ["p", "q"] * 3
    file = write(tmp_path / "a.parquet", images, names=["x", "y"], label=[0, 1] * 3,
                 caption=captions, copy=same)  # fmt: skip
    source, rows = open_images(file), np.arange(3)
    told = source.metadata(MetadataField("column", "caption"), rows)
    assert told.tolist() == ["a cat", None, "a dog"]
    for name in ("label", "copy", "image", "absent"):
        with pytest.raises(InputError, match=name):
            source.metadata(MetadataField("column", name), rows)


def test_a_folder_of_images_with_a_table_beside_them_stays_one(tmp_path):
    for number, level in enumerate(LEVELS[:3]):
        (tmp_path / f"{number} ü.png").write_bytes(encoded(level))
    names = [f"{number} ü.png" for number in range(3)]
    table = pa.table({"file_name": names, "label": ["a", None, "b"]})
    pq.write_table(table, tmp_path / "metadata.parquet")
    source = open_images(tmp_path)
    assert list(source.ids) == names
    assert source.labels.tolist() == [0, -1, 1]
    assert source.class_names == ("a", "b")
