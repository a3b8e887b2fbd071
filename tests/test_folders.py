"""Folders as people have them: splits, tables beside images, strangers among them."""

import inspect
import json
import os
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from lfkit.data.datasets import open_images
from lfkit.errors import DataError


def fill(folder, *names):
    """Write images whose content differs from name to name."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        level = sum(name.encode()) % 256
        Image.new("L", (4, 4), level).save(path, "PNG")
    return folder


def write_table(path, /, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if path.suffix == ".parquet":
        parquet.write_table(table, path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in table.to_pylist()))
    else:
        table.to_pandas().to_csv(path, index=False)


def labels_of(source):
    """Give id → class name, None where unknown."""
    if source.labels is None:
        return dict.fromkeys(source.ids)
    names = source.class_names or [str(i) for i in range(source.labels.max() + 1)]
    return {
        name: None if label < 0 else names[label]
        for name, label in zip(source.ids, source.labels.tolist(), strict=True)
    }


def said(source, *parts):
    """Check that one note has all these parts."""
    assert any(all(part in note for part in parts) for note in source.notes), (
        source.notes
    )


CAT_DOG = ("cat/1.png", "cat/2.png", "dog/3.png")


@pytest.mark.parametrize(
    "splits",
    [
        ("train", "test"),
        ("Train", "VAL", "Test"),
        ("training", "testing"),
        ("train", "valid"),
        ("train", "validation", "unlabeled"),
        ("train",),
        ("training_set", "test_set"),
        ("train2017", "val2017"),
        ("seg_train", "seg_test", "seg_pred"),
        ("train images", "test-images"),
    ],
)
@pytest.mark.parametrize("above", ["", "data/", "photos of mine/"])
def test_folders_named_like_splits_are_no_classes(tmp_path, splits, above):
    fill(tmp_path, *(f"{above}{split}/{name}" for split in splits for name in CAT_DOG))
    source = open_images(tmp_path)
    assert source.class_names == ("cat", "dog")
    expected = {
        f"{above}{split}/{name}": name[:3] for split in splits for name in CAT_DOG
    }
    assert labels_of(source) == expected
    kept = source.table()["split"].to_pylist()
    assert kept == [name.removeprefix(above).split("/")[0] for name in source.ids]
    said(source, "splits, not for classes", splits[0])


def test_a_split_without_classes_has_no_labels(tmp_path):
    fill(tmp_path, "train/cat/1.png", "train/dog/2.png", "test/3.png", "test/4.png")
    assert list(labels_of(open_images(tmp_path)).values()) == [None, None, "cat", "dog"]
    source = open_images(fill(tmp_path / "flat", "train/1.png", "test/2.png"))
    assert source.labels is None
    assert source.table()["split"].to_pylist() == ["test", "train"]


def test_splits_may_be_packed_twice_or_lie_inside_of_classes(tmp_path):
    names = ("training_set/training_set/cat/1.png", "test_set/test_set/dog/2.png")
    source = open_images(fill(tmp_path / "twice", *names))
    assert list(labels_of(source).values()) == ["dog", "cat"]
    source = open_images(
        fill(tmp_path / "inside", "cat/train/1.png", "cat/test/2.png", "dog/test/3.png")
    )
    assert list(labels_of(source).values()) == ["cat", "cat", "dog"]
    assert source.table()["split"].to_pylist() == ["test", "train", "test"]


@pytest.mark.parametrize(
    "names",
    [
        *[("train", "car"), ("test", "cat"), ("cat", "dog")],
        *[
            ("bullet_train", "freight_train"),
            ("train track", "test tube"),
            ("dev", "eval"),
        ],
    ],
)
def test_classes_may_have_a_name_like_a_split_beside_others(tmp_path, names):
    source = open_images(fill(tmp_path, *(f"{name}/1.png" for name in names)))
    assert source.class_names == tuple(sorted(names))
    assert "split" not in source.table().column_names


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (("images/1.png", "images/2.png"), None),
        (("ds/cat/1.png", "ds/dog/2.png"), ("cat", "dog")),
        (("ds/images/cat/1.png", "ds/images/dog/2.png"), ("cat", "dog")),
        (("train/images/1.png", "test/images/2.png"), None),
        (("train/images/1.png", "test/2.png"), None),
        (("a/b/c/cat/1.png", "a/b/c/dog/2.png"), ("cat", "dog")),
        (("cat/1.png", "cat/2.png"), ("cat",)),
        (("cat/deep/1.png", "cat/2.png"), ("cat",)),
    ],
)
def test_one_folder_around_all_is_no_class(tmp_path, names, classes):
    assert open_images(fill(tmp_path, *names)).class_names == classes


def test_the_split_and_the_notes_reach_the_run(lfkit, tmp_path):
    data = fill(
        tmp_path / "ds", *(f"{s}/{n}" for s in ("train", "test") for n in CAT_DOG)
    )
    (data / "x.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "f.py").write_text(
        "from lfkit import labeling_function\n"
        "@labeling_function(classes=[0, 1])\n"
        "def dark(image):\n    return int(image.mean() > 99)\n"
    )
    done = lfkit("apply", data, "--lfs", tmp_path / "f.py", "--out", tmp_path / "run")
    assert done.code == 0, done.err
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["class_names"] == ["cat", "dog"]
    for text in ("test, train are taken for splits", "1 .heic"):
        assert any(text in note for note in summary["notes"])
        assert text in " ".join(done.out.replace("│", " ").split())
    index = pd.read_parquet(tmp_path / "run" / "images.parquet")
    assert index["split"].tolist() == ["test"] * 3 + ["train"] * 3
    assert index["true_class"].tolist() == [0, 0, 1] * 2


TABLES = ("metadata.csv", "metadata.jsonl", "metadata.parquet", "Metadata.CSV")


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("inside", ["", "images/"])
def test_labels_of_a_table_beside_the_images_are_read(tmp_path, table, inside):
    names = [f"{inside}{i}.png" for i in range(3)]
    fill(tmp_path, *names)
    if table == "Metadata.CSV":
        write_table(tmp_path / "metadata.csv", file_name=names, label=["x", "y", "x"])
        (tmp_path / "metadata.csv").rename(tmp_path / table)
    else:
        write_table(tmp_path / table, file_name=names, label=["x", "y", "x"])
    source = open_images(tmp_path)
    assert labels_of(source) == dict(zip(names, "xyx", strict=True))
    assert source.class_names == ("x", "y")
    as_manifest = open_images(tmp_path / table)
    assert labels_of(as_manifest) == labels_of(source)
    assert as_manifest.read(np.arange(3)).problems == {}


@pytest.mark.parametrize("table", TABLES[:3])
def test_each_split_may_have_its_own_table(tmp_path, table):
    for split, labels in (("train", ["cat", "dog"]), ("test", ["dog", None])):
        fill(tmp_path / split, "1.png", "2.png")
        columns = {"file_name": ["1.png", "2.png"], "label": labels}
        write_table(tmp_path / split / table, **columns)
    source = open_images(tmp_path)
    assert list(labels_of(source).values()) == ["dog", None, "cat", "dog"]
    assert source.table()["split"].to_pylist() == ["test", "test", "train", "train"]


def test_class_numbers_of_a_table_stay_numbers(tmp_path):
    fill(tmp_path, "1.png", "2.png")
    write_table(tmp_path / "metadata.jsonl", file_name=["1.png", "2.png"], label=[3, 0])
    source = open_images(tmp_path)
    assert source.labels.tolist() == [3, 0]
    assert source.class_names is None


@pytest.mark.parametrize("table", TABLES[:3])
@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ([" cat", "dog ", "", "cat"], ["cat", "dog", None, "cat"]),
        (["cat", "-1", "dog", "nan"], ["cat", None, "dog", None]),
        (["2", "10", "1", "a"], ["2", "10", "1", "a"]),
        ([1001, 1003, 1002, None], ["1001", "1003", "1002", None]),
        ([1.0, 0.0, 2.0, None], ["1", "0", "2", None]),
    ],
)
def test_labels_of_a_table_are_read_in_every_spelling(
    tmp_path, table, written, expected
):
    names = ["1.png", "2.png", "3.png", "4.png"]
    fill(tmp_path, *names)
    write_table(tmp_path / table, file_name=names, label=written)
    for data in (tmp_path, tmp_path / table):
        assert list(labels_of(open_images(data)).values()) == expected


def test_a_column_of_splits_is_kept(tmp_path):
    fill(tmp_path, "1.png", "2.png")
    columns = {"file_name": ["1.png", "2.png"], "split": ["train", "test"]}
    write_table(tmp_path / "metadata.csv", **columns)
    for data in (tmp_path, tmp_path / "metadata.csv"):
        assert open_images(data).table()["split"].to_pylist() == ["train", "test"]


@pytest.mark.parametrize("column", ["class", "category", "Label", " label"])
def test_labels_under_another_name_are_read_with_a_word(tmp_path, column):
    fill(tmp_path, "1.png", "2.png")
    columns = {" File_Name": ["1.png", "2.png"], column: ["x", "y"]}
    write_table(tmp_path / "metadata.csv", **columns)
    for data in (tmp_path, tmp_path / "metadata.csv"):
        source = open_images(data)
        assert list(labels_of(source).values()) == ["x", "y"]
        if column in ("class", "category"):
            said(source, repr(column), "metadata.csv")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("begins", ["", "\ufeff"])
def test_what_separates_columns_is_found(tmp_path, delimiter, begins):
    fill(tmp_path, "1.png", "2\n3.png")
    rows = [["file_name", "label"], ["1.png", "x"], ['"2\n3.png"', "y"]]
    text = begins + "".join(f"{delimiter.join(row)}\n" for row in rows)
    (tmp_path / "metadata.csv").write_text(text)
    for data in (tmp_path, tmp_path / "metadata.csv"):
        assert labels_of(open_images(data)) == {"1.png": "x", "2\n3.png": "y"}


def test_what_a_table_lists_and_lacks_is_counted(tmp_path):
    fill(tmp_path, "1.png", "2.png", "3.png")
    columns = {"file_name": ["1.png", "no.png", "nor.png"], "label": ["x", "y", "y"]}
    write_table(tmp_path / "metadata.csv", **columns)
    source = open_images(tmp_path)
    assert labels_of(source) == {"1.png": "x", "2.png": None, "3.png": None}
    said(source, "metadata.csv lists 2 files that are not there", "no.png")
    said(source, "2 of 3 images are not listed in metadata.csv", "2.png")


@pytest.mark.parametrize(
    ("folders", "labels", "expected"),
    [
        (("cat", "dog"), ("cat", "dog"), ("cat", "dog")),
        (("a", "b"), ("0", "1"), ("a", "b")),
        (("monday", "tuesday"), ("cat", "dog"), ("cat", "dog")),
        (("monday", "monday"), ("cat", "dog"), ("cat", "dog")),
        (("0", "1"), ("0", "1"), ("0", "1")),
    ],
)
def test_folders_and_table_are_reconciled(tmp_path, folders, labels, expected):
    names = [f"{folder}/{i}.png" for i, folder in enumerate(folders)]
    fill(tmp_path, *names)
    write_table(tmp_path / "metadata.csv", file_name=names, label=list(labels))
    source = open_images(tmp_path)
    assert tuple(labels_of(source).values()) == expected
    if folders != labels:
        said(source, "metadata.csv", "folders")


def test_a_table_that_contradicts_the_folders_is_refused(tmp_path):
    names = ["cat/1.png", "cat/2.png", "dog/3.png"]
    fill(tmp_path, *names)
    write_table(tmp_path / "metadata.csv", file_name=names, label=["cat", "dog", "dog"])
    with pytest.raises(DataError, match=r"disagree on 1 of 3 .*cat/2\.png .*'dog'"):
        open_images(tmp_path)
    assert list(labels_of(open_images(tmp_path / "metadata.csv")).values()) == [
        *("cat", "dog", "dog")
    ]


def test_folders_name_what_the_table_leaves_out(tmp_path):
    fill(tmp_path, *CAT_DOG)
    columns = {"file_name": ["cat/1.png", "dog/3.png"], "label": ["cat", "dog"]}
    write_table(tmp_path / "metadata.csv", **columns)
    assert list(labels_of(open_images(tmp_path)).values()) == ["cat", "cat", "dog"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("file_name,label\n1.png,x\n1.png,y\n", r"gives 1\.png the label 'y'.* 'x'"),
        ("file_name,label,label\n1.png,x,y\n", r"two columns named 'label'"),
        ("file_name,class,category\n1.png,x,y\n", r"class and category.*rename"),
        ("file_name,label\n1.png,x,y,z\n", r"metadata\.csv cannot be read as a table"),
        ("", r"metadata\.csv cannot be read as a table: it is empty"),
        ("file_name,label\n,x\n", r"row 1 of .*metadata\.csv has no path"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(tmp_path, text, sentence):
    fill(tmp_path, "1.png")
    (tmp_path / "metadata.csv").write_text(text)
    with pytest.raises(DataError, match=sentence):
        open_images(tmp_path)


@pytest.mark.parametrize("name", TABLES[:3])
def test_a_damaged_table_is_named(tmp_path, name):
    fill(tmp_path, "1.png")
    (tmp_path / name).write_bytes(b"\xff\xfe\x00{broken")
    with pytest.raises(DataError, match=f"{name} cannot be read as a table"):
        open_images(tmp_path)


def test_a_table_about_something_else_is_named(tmp_path):
    fill(tmp_path, "1.png")
    (tmp_path / "metadata.csv").write_text("key,value\nauthor,me\n")
    said(open_images(tmp_path), "metadata.csv is not read", "file_name")
    (tmp_path / "metadata.csv").write_text("file_name,text\n1.png,hello\n")
    said(open_images(tmp_path), "metadata.csv has no column 'label'")


def test_a_table_that_lists_no_image_of_the_folder_is_told(tmp_path):
    fill(tmp_path, "1.png")
    write_table(tmp_path / "metadata.jsonl", file_name=[1, 2], label=["x", "y"])
    source = open_images(tmp_path)
    assert source.labels is None
    said(source, "lists 2 files that are not there, or no image", "such as 1")


@pytest.mark.parametrize("name", ["1.png", "./1.png", "sub/../1.png", "{}/1.png"])
def test_a_table_may_write_a_path_in_other_ways(tmp_path, name):
    fill(tmp_path, "1.png")
    names = [name.format(tmp_path)]
    write_table(tmp_path / "metadata.csv", file_name=names, label=["x"])
    assert labels_of(open_images(tmp_path)) == {"1.png": "x"}


def test_the_folder_that_generate_writes_is_read(tmp_path):
    from lfkit.generators.samples import Samples
    from lfkit.generators.writers import FolderWriter

    images = np.arange(3 * 64, dtype=np.uint8).reshape(3, 8, 8, 1)
    proba = np.eye(2, dtype=np.float32)[[1, 0, 1]]
    with FolderWriter(tmp_path, 3, (8, 8, 1), ("cat", "dog")) as writer:
        writer.write(Samples(images, proba, np.array([0.9, 0.8, np.nan])))
        writer.finish()
    (tmp_path / "manifest.json").write_text("{}")
    for data in (tmp_path, tmp_path / "metadata.csv"):
        source = open_images(data)
        assert list(labels_of(source).values()) == ["dog", "cat", "dog"]
        assert np.array_equal(source.read(np.arange(3)).pixels, images)
        assert not any("left out" in note for note in source.notes)


@pytest.mark.parametrize("column", ["path", "file_name", "filename", "Path"])
@pytest.mark.parametrize("written", ["a\\b\\1.png", ".\\a\\b\\1.png", "a\\\\b\\1.png"])
def test_backslashes_of_a_manifest_are_read(tmp_path, column, written):
    fill(tmp_path, "a/b/1.png")
    write_table(tmp_path / "list.parquet", **{column: [written], "label": ["x"]})
    source = open_images(tmp_path / "list.parquet")
    assert source.read(np.arange(1)).problems == {}
    assert "\\" not in source.ids[0]
    said(source, "backslashes", "list.parquet")
    write_table(tmp_path / "metadata.jsonl", file_name=[written], label=["x"])
    assert labels_of(open_images(tmp_path))["a/b/1.png"] == "x"


def test_a_backslash_that_is_in_the_name_stays(tmp_path):
    fill(tmp_path, "a\\1.png")
    write_table(tmp_path / "list.csv", path=["a\\1.png"])
    assert list(open_images(tmp_path / "list.csv").ids) == ["a\\1.png"]


def test_files_of_types_that_are_not_read_are_counted(tmp_path):
    fill(tmp_path, "1.png", ".hidden.png", "__MACOSX/2.png", "@eaDir/3.png")
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini", "__MACOSX/._1.png"):
        (tmp_path / name).write_bytes(b"junk")
    assert open_images(tmp_path).notes == ()
    for name in ("a.heic", "sub/b.HEIC", "c.psd", "noend", "d.txt", "e.dng"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"II*\0 no image that is read")
    source = open_images(tmp_path)
    assert list(source.ids) == ["1.png"]
    said(
        source, "6 files of types that are not read", "2 .heic", "1 .psd", "1 .txt",
        "1 .dng", "1 without an ending",
    )  # fmt: skip
    assert len(source.notes) == 1


def test_a_folder_of_other_types_alone_says_which(tmp_path):
    for name in ("a.heic", "b.heic"):
        (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(DataError, match=r"holds no image .*not read \(2 \.heic\)"):
        open_images(tmp_path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "AVIF", "JPEG2000"])
@pytest.mark.parametrize("name", ["a.heic", "a", "a.dat", "a.png.part"])
def test_an_image_under_a_strange_name_is_read_by_its_content(tmp_path, name, kind):
    Image.new("RGB", (16, 16), "red").save(tmp_path / name, kind)
    source = open_images(tmp_path)
    assert (
        abs(source.read(np.arange(1)).pixels[0, 8, 8].astype(int) - [255, 0, 0]).max()
        < 9
    )
    said(source, "read as what they contain", f"{name}: {kind}")


def test_a_pipe_of_a_strange_name_does_not_wait(tmp_path):
    fill(tmp_path, "1.png")
    os.mkfifo(tmp_path / "pipe")
    said(open_images(tmp_path), "1 file of a type that is not read")


def test_the_same_content_in_two_classes_is_told(tmp_path):
    fill(tmp_path, *CAT_DOG)
    for name in ("dog/copy.png", "cat/copy.png"):
        (tmp_path / name).write_bytes((tmp_path / "cat/1.png").read_bytes())
    said(
        open_images(tmp_path), "1 file has the same content as a file of another class",
        "cat/1.png (cat)", "dog/copy.png (dog)",
    )  # fmt: skip
    (tmp_path / "dog/copy.png").unlink()
    assert open_images(tmp_path).notes == ()


def test_names_that_are_odd_are_read(tmp_path):
    fill(tmp_path, "a\nb.png", "tab\t.png", "é.png", "[bold].png", "x.png", "y.png")
    os.rename(tmp_path / "x.png", os.fsencode(tmp_path) + b"/\xff.png")
    os.rename(tmp_path / "y.png", tmp_path / "\\xff.png")
    source = open_images(tmp_path)
    assert len(set(source.ids)) == 6
    assert source.read(np.arange(6)).problems == {}


def test_folders_may_be_deeper_than_python_recurses(tmp_path):
    fill(tmp_path, "b/2.png")
    deep = [f"{tmp_path}/{'a/' * n}" for n in range(1, 401)]
    for folder in deep:
        os.mkdir(folder)
    os.link(tmp_path / "b/2.png", f"{deep[-1]}1.png")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 200)
    try:
        assert open_images(tmp_path).class_names == ("a", "b")
    finally:
        sys.setrecursionlimit(limit)


def test_links_among_folders_are_not_followed_without_end(tmp_path):
    for name in "abcdefghij":
        fill(tmp_path / "ds", f"{name}/{name}.png")
        for other in "abcdefghij":
            (tmp_path / "ds" / name / f"to-{other}").symlink_to(tmp_path / "ds" / other)
    source = open_images(tmp_path / "ds")
    assert list(source.ids) == [f"{name}/{name}.png" for name in "abcdefghij"]
    said(source, "100 links to folders inside of the data", "a/to-a")


def test_one_image_is_a_data_set(tmp_path):
    assert len(open_images(fill(tmp_path, "1.png"))) == 1


def test_five_files_that_cannot_be_read_are_named(lfkit, tmp_path):
    n_bad = 8
    data = fill(tmp_path / "ds", "0.png", "1.png")
    for number in range(n_bad):
        (data / f"bad{number}.png").write_bytes(b"" if number % 2 else b"text")
    (tmp_path / "f.py").write_text(
        "from lfkit import labeling_function\n"
        "@labeling_function(classes=[0, 1])\n"
        "def dark(image):\n    return int(image.mean() > 99)\n"
    )
    run = tmp_path / "run"
    options = ("--no-baselines", "--no-sheet", "--lfs", tmp_path / "f.py", "--out", run)
    done = lfkit("apply", data, *options)
    assert done.code == 0, done.err
    assert f"{n_bad} files could not be read" in done.out
    named = [number for number in range(n_bad) if f"bad{number}.png" in done.out]
    assert named == [*range(5)]
    assert "3 more files" in done.out
    problems = json.loads((run / "faults.json").read_text())["images"]
    assert len(problems) == n_bad
