"""Names of files, EXIF and columns of tables as inputs of labeling functions."""

import numpy as np
import pytest
import torch
from assertions import assert_refused
from PIL import ExifTags, Image

import lfkit
from lfkit import (
    ABSTAIN,
    LFApplier,
    Quantile,
    feature,
    labeling_function,
    metadata,
)
from lfkit.data.datasets.catalog import open_images
from lfkit.data.image_source import MetadataField
from lfkit.errors import DataError, DeclarationError, FaultError
from lfkit.generators.lf_votes.batch_votes import BatchVotes
from lfkit.runs.run_config import load_config
from lfkit.runs.run_files import load_votes
from lfkit.runs.store import RunStore


@feature
def level(image):
    return image.mean()


@labeling_function(classes=[0, 1], features=[metadata.file_name])
def named_as_it_is(name):
    return 0 if "cat" in name else 1 if "dog" in name else ABSTAIN


@labeling_function(classes=[0, 1], features=[metadata.file_name, level])
def dark_cats_only(name, mean):
    return 0 if "cat" in name and mean < 100 else ABSTAIN


@labeling_function(classes=[0])
def black_is_cat(image):
    return 0 if image.mean() < 10 else ABSTAIN


def save(folder, name, gray, **options):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4), gray, np.uint8)).save(path, **options)
    return path


@pytest.fixture
def photos(tmp_path):
    """Six photos; the first, fourth and fifth are equal to the byte."""
    for name, gray in [
        ("a_cat.png", 0),
        ("b_dog.png", 50),
        ("c.png", 200),
        ("d_dog.png", 0),
        ("e_cat.png", 0),
        ("f_cat.png", 220),
    ]:
        save(tmp_path / "photos", name, gray)
    return tmp_path / "photos"


def told(source, what):
    return source.metadata(what.metadata, np.arange(len(source))).tolist()


# Votes


def test_equal_files_of_other_names_get_other_votes(photos):
    votes = LFApplier([named_as_it_is, black_is_cat]).apply(open_images(photos))
    assert votes.hard[:, 0].tolist() == [0, 1, -1, 1, 0, 0]
    assert votes.hard[:, 1].tolist() == [0, -1, -1, 0, 0, -1]


def test_names_and_pixels_are_read_together(photos):
    votes = LFApplier([dark_cats_only]).apply(open_images(photos))
    assert votes.hard[:, 0].tolist() == [0, -1, -1, -1, 0, -1]


@pytest.mark.parametrize("n_workers", [0, 2])
def test_a_renamed_file_is_voted_on_anew_and_others_are_kept(
    photos, tmp_path, n_workers
):
    lfs, store = [named_as_it_is, dark_cats_only, black_is_cat], RunStore(tmp_path)

    def apply():
        applier = LFApplier(lfs, n_workers=n_workers)
        votes = applier.apply(open_images(photos), store=store)
        return votes.hard.T.tolist(), applier.report_.n_calls

    before, _ = apply()
    assert apply() == (before, 0)
    (photos / "a_cat.png").rename(photos / "a_dog.png")
    after, n_calls = apply()
    assert after == [
        [1, 1, -1, 1, 0, 0],
        [-1, -1, -1, -1, 0, -1],
        [0, -1, -1, 0, 0, -1],
    ]
    # Two functions on six files: the one that reads pixels is not called.
    assert n_calls == 12


def test_blocks_and_copies_are_put_together_in_order(tmp_path):
    rng = np.random.default_rng(0)
    grays = rng.integers(0, 200, 300)
    for i, gray in enumerate(grays):
        save(tmp_path / "data", f"{i:03}_{'cat' if i % 3 else 'dog'}.png", gray)
    source = open_images(tmp_path / "data")
    lfs = [named_as_it_is, dark_cats_only]
    store = RunStore(tmp_path / "store")
    for _ in range(2):  # computed, then read
        votes = LFApplier(lfs).apply(source, store=store)
        assert votes.hard[:, 0].tolist() == [0 if i % 3 else 1 for i in range(300)]
        dark = (np.arange(300) % 3 > 0) & (grays < 100)
        assert np.array_equal(votes.hard[:, 1] == 0, dark)


def test_held_out_seeds_are_voted_on_by_their_own_names(photos):
    @labeling_function(
        classes=[0, 1],
        features=[metadata.file_name, level],
        thresholds={"cut": Quantile(level, 0.5)},
    )
    def bright_or_named(name, mean, *, cut):
        return 1 if "dog" in name else 0

    votes = LFApplier([bright_or_named]).apply(
        open_images(photos), seed_rows=[0, 1, 3, 4, 5], seed_labels=[0, 1, 1, 0, 0]
    )
    assert votes.seed_out_of_fold.hard[:, 0].tolist() == [0, 1, 1, 0, 0]


def test_failures_name_the_copy_that_failed(photos):
    @labeling_function(classes=[0], features=[metadata.file_name])
    def numbers_are_cats(name):
        return 0 if int(name[0] == "d") / (name[0] != "d") else ABSTAIN

    applier = LFApplier([numbers_are_cats])
    applier.apply(open_images(photos))
    (example,) = applier.report_.faults["numbers_are_cats"].examples.values()
    assert "d_dog.png" in example
    with pytest.raises(FaultError, match=r"d_dog\.png"):
        LFApplier([numbers_are_cats], strict=True).apply(open_images(photos))


def test_a_file_that_cannot_be_read_has_a_name(photos):
    (photos / "g_dog.png").write_bytes(b"no image")
    votes = LFApplier([named_as_it_is, dark_cats_only]).apply(open_images(photos))
    assert votes.hard[-1].tolist() == [1, -1]


def test_arrays_have_no_metadata(photos):
    images = np.zeros((2, 4, 4), np.uint8)
    with assert_refused(DataError, names=["named_as_it_is", "file_name"]):
        LFApplier([named_as_it_is]).apply(images)
    with assert_refused(DeclarationError, names=["named_as_it_is", "file_name"]):
        named_as_it_is(images[0])
    with assert_refused(DeclarationError, names="file_name"):
        metadata.file_name(images)


def test_only_functions_of_one_image_read_metadata():
    with assert_refused(DeclarationError, names="file_name"):
        feature(of=[metadata.file_name])(len)
    with assert_refused(DeclarationError, names="batch", values="batched=True"):
        labeling_function(
            classes=[0], features=[metadata.file_name], batched=True, name="batch"
        )(lambda name: 0)
    with assert_refused(DeclarationError, names=["cut", "file_name"]):
        labeling_function(
            classes=[0], thresholds={"cut": Quantile(metadata.file_name, 0.5)}
        )(lambda image, *, cut: 0)


def test_functions_that_read_metadata_abstain_on_generated_images():
    block = BatchVotes([named_as_it_is, dark_cats_only, black_is_cat], 2)
    assert block.per_image == ("black_is_cat",)
    found = block(torch.zeros(3, 1, 4, 4))
    assert not found[:, :2].any()
    assert found[:, 2, 0].tolist() == [1, 1, 1]
    assert block.silent == ("named_as_it_is", "dark_cats_only")
    assert not block.faults


# Folders


def test_folders_of_classes_are_left_out(tmp_path):
    for name in ["cat/a.png", "dog/b.png", "cat/2021/c.png", "dog/2021/d.png"]:
        save(tmp_path / "data", name, 0)
    source = open_images(tmp_path / "data")
    assert source.class_names == ("cat", "dog")
    names = dict(zip(source.ids, told(source, metadata.folder), strict=True))
    assert names == {
        "cat/a.png": "",
        "dog/b.png": "",
        "cat/2021/c.png": "2021",
        "dog/2021/d.png": "2021",
    }


def test_what_is_below_the_folder_of_one_class_only_is_left_out(tmp_path):
    for name in ["animal/cat/a.png", "animal/old/b.png", "car/old/c.png"]:
        save(tmp_path / "data", name, 0)
    source = open_images(tmp_path / "data")
    assert told(source, metadata.folder) == ["", "old", "old"]


def test_folders_that_are_classes_and_nothing_else_are_refused(tmp_path):
    for name in ["cat/a.png", "dog/b.png"]:
        save(tmp_path / "data", name, 0)

    @labeling_function(classes=[0, 1], features=[metadata.folder])
    def is_where_it_lies(folder):
        return 0 if "cat" in folder else 1

    with assert_refused(DataError, names=["is_where_it_lies", tmp_path / "data"]):
        LFApplier([is_where_it_lies]).apply(open_images(tmp_path / "data"))


def test_folders_of_a_table_are_told_but_for_those_that_are_its_labels(tmp_path):
    rows = [
        ("trip/n01/a.png", "cat"),
        ("home/n01/b.png", "cat"),
        ("trip/n02/Cat/c.png", "dog"),
        ("home/n02/d.png", "dog"),
    ]
    for name, _ in rows:
        save(tmp_path, name, 0)
    lines = ["path,label", *(f"{tmp_path}/{name},{label}" for name, label in rows)]
    (tmp_path / "labeled.csv").write_text("\n".join(lines))
    (tmp_path / "plain.csv").write_text("\n".join(["path", *(n for n, _ in rows)]))
    labeled = open_images(tmp_path / "labeled.csv")
    assert told(labeled, metadata.folder) == ["trip", "home", "trip", "home"]
    plain = open_images(tmp_path / "plain.csv")
    expected = ["trip/n01", "home/n01", "trip/n02/Cat", "home/n02"]
    assert told(plain, metadata.folder) == expected


# Columns


def test_columns_of_a_table_are_text(tmp_path):
    for name in "abc":
        save(tmp_path, f"{name}.png", 0)
    (tmp_path / "list.csv").write_text(
        'path,label,caption,year\na.png,0,"a cat, asleep",007\nb.png,1,,2021\n'
        "c.png,1,a dog,2020\n"
    )
    source = open_images(tmp_path / "list.csv")
    captions = told(source, metadata.column("caption"))
    assert captions == ["a cat, asleep", None, "a dog"]
    assert told(source, metadata.column("year")) == ["007", "2021", "2020"]

    @labeling_function(classes=[0, 1], features=[metadata.column("caption")])
    def caption_says_cat(caption):
        return 0 if "cat" in caption else 1

    # No caption: the function is not called, and nothing has failed.
    applier = LFApplier([caption_says_cat])
    assert applier.apply(source).hard[:, 0].tolist() == [0, -1, 1]
    assert not applier.report_.faults


def test_a_changed_cell_is_voted_on_anew(tmp_path):
    save(tmp_path, "a.png", 0)

    @labeling_function(classes=[0, 1], features=[metadata.column("caption")])
    def caption_says_cat(caption):
        return 0 if "cat" in caption else 1

    def vote(caption):
        (tmp_path / "list.csv").write_text(f"path,caption\na.png,{caption}\n")
        store = RunStore(tmp_path / "store")
        source = open_images(tmp_path / "list.csv")
        return LFApplier([caption_says_cat]).apply(source, store=store).hard[0, 0]

    assert [vote("a cat"), vote("a dog"), vote("a cat")] == [0, 1, 0]


def test_columns_beside_a_folder_of_images(tmp_path):
    for name in ["cat/a.png", "cat/b.png", "dog/c.png"]:
        save(tmp_path / "data", name, 0)
    (tmp_path / "data" / "metadata.csv").write_text(
        "file_name,caption\ndog/c.png,it barks\ncat/a.png,it sleeps\n"
    )
    source = open_images(tmp_path / "data")
    captions = told(source, metadata.column("caption"))
    assert captions == ["it sleeps", None, "it barks"]


def test_columns_that_are_the_labels_are_refused(tmp_path):
    for name in "abcd":
        save(tmp_path, f"{name}.png", 0)
    (tmp_path / "list.csv").write_text(
        "path,label,class_name,code,place\na.png,0,cat,x,p\nb.png,1,dog,y,p\n"
        "c.png,0,cat,x,q\nd.png,1,dog,y,q\n"
    )
    source = open_images(tmp_path / "list.csv")
    for name in ["label", "class_name", "code", "path"]:
        with assert_refused(DataError, names=[name, tmp_path]):
            told(source, metadata.column(name))
    with assert_refused(DataError, names="caption", allowed=["code", "place"]):
        told(source, metadata.column("caption"))
    assert told(source, metadata.column("place")) == ["p", "p", "q", "q"]


def test_data_without_a_table_has_no_columns(photos):
    with assert_refused(DataError, names=["caption", photos]):
        told(open_images(photos), metadata.column("caption"))


# EXIF


def test_exif_is_text_and_numbers(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = "Some Camera"
    exif.get_ifd(ExifTags.IFD.Exif).update(
        {
            ExifTags.Base.DateTimeOriginal: "2021:07:30 18:02:11",
            ExifTags.Base.FNumber: 2.8,
        }
    )
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(
        {
            ExifTags.GPS.GPSLatitudeRef: "S",
            ExifTags.GPS.GPSLatitude: (33.0, 30.0, 36.0),
        }
    )
    save(tmp_path / "data", "a.jpg", 0, exif=exif)
    save(tmp_path / "data", "b.png", 50)
    (tmp_path / "data" / "c.jpg").write_bytes(b"\xff\xd8 no image")
    source = open_images(tmp_path / "data")

    def values(tag):
        return told(source, metadata.exif(tag))

    assert values("Model") == ["Some Camera", None, None]
    assert values("DateTimeOriginal") == ["2021:07:30 18:02:11", None, None]
    assert values("FNumber") == [pytest.approx(2.8), None, None]
    assert values("GPSLatitude") == [pytest.approx(-33.51), None, None]
    assert values("GPSLongitude") == [None, None, None]

    @labeling_function(classes=[0], features=[metadata.exif("DateTimeOriginal")])
    def taken_in_the_evening(time):
        return 0 if 18 <= int(time[11:13]) < 22 else ABSTAIN

    votes = LFApplier([taken_in_the_evening], 2).apply(source)
    assert votes.hard[:, 0].tolist() == [0, -1, -1]


def test_exif_tags_are_named_as_pil_names_them():
    assert metadata.exif("Model") is metadata.exif("Model")
    with assert_refused(DeclarationError, names="DateTimeOrignal"):
        metadata.exif("DateTimeOrignal")
    assert str(MetadataField("exif", "Model")) == "exif 'Model'"
    assert lfkit.metadata is metadata


# Runs

LFS = """
from lfkit import ABSTAIN, labeling_function, metadata

CLASSES = ["cat", "dog"]

@labeling_function(classes=[0, 1], features=[metadata.file_name])
def named_as_it_is(name):
    return 0 if "cat" in name else 1 if "dog" in name else ABSTAIN

@labeling_function(classes=[0])
def black_is_cat(image):
    return 0 if image.mean() < 10 else ABSTAIN
"""


def test_a_run_keeps_the_votes_of_copies(lfkit, photos, tmp_path):
    (tmp_path / "lfs.py").write_text(LFS)
    run = tmp_path / "run"
    for _ in range(2):
        done = lfkit("apply", photos, "--lfs", tmp_path / "lfs.py", "--out", run)
        assert done.code == 0, done.err
    votes = load_votes(run, load_config(run))
    assert votes.hard[:, 0].tolist() == [0, 1, -1, 1, 0, 0]
    assert votes.hard[:, 1].tolist() == [0, -1, -1, 0, 0, -1]
    assert lfkit("analyze", run).code == 0
    assert lfkit("report", run).code == 0
    sheet = tmp_path / "sheet.png"
    done = lfkit(
        "list", "lfs", "--lfs", tmp_path / "lfs.py", "--data", photos,
        "--sheet", "--out", sheet,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert sheet.exists()
