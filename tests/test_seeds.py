"""The few labels lfkit sees."""

import numpy as np
import pandas as pd
import pytest
from assertions import assert_refused

from lfkit.data.datasets.array_source import ArraySource
from lfkit.data.seed_labels import draw_seeds, read_labels
from lfkit.errors import DataError

NAMES = ("cat", "dog")
IDS = ("a.png", "b.png", "c.png", "d.png")


def source(n, **options):
    images = np.arange(n, dtype=np.uint8).reshape(n, 1, 1)
    return ArraySource(images, name="zoo", **options)


def draw(truth, n_per_class=2, seed=0):
    return draw_seeds(source(len(truth)), np.array(truth), NAMES, n_per_class, seed)


TRUTH = [0, 1] * 10 + [-1] * 5


def test_so_many_seeds_are_drawn_of_every_class():
    seeds = draw(TRUTH, 3)
    assert seeds.labels.tolist().count(0) == seeds.labels.tolist().count(1) == 3
    assert [TRUTH[row] for row in seeds.rows] == seeds.labels.tolist()
    assert sorted(set(seeds.rows)) == seeds.rows.tolist()
    assert seeds.notes == ()


def test_the_seed_decides_which():
    assert draw(TRUTH, seed=1).rows.tolist() == draw(TRUTH, seed=1).rows.tolist()
    assert draw(TRUTH, seed=1).rows.tolist() != draw(TRUTH, seed=2).rows.tolist()


def test_more_seeds_contain_the_fewer():
    assert set(draw(TRUTH, 2).rows) < set(draw(TRUTH, 5).rows)


def test_a_small_class_gives_all_it_has_and_a_note():
    seeds = draw([0, 0, 0, 1], 3)
    assert seeds.labels.tolist() == [0, 0, 0, 1]
    assert seeds.notes == (
        "class 'dog' has 1 labeled images, fewer than --seeds-per-class 3; all are "
        "seeds",
    )


def test_unreadable_images_are_never_seeds():
    images = source(4)
    images.known_problems = {0: "truncated"}
    seeds = draw_seeds(images, np.array([0, 0, 1, 1]), NAMES, 2, 0)
    assert seeds.rows.tolist() == [1, 2, 3]


@pytest.mark.parametrize("truth", [None, np.array([-1, -1])])
def test_without_true_labels_a_file_is_asked_for(truth):
    with assert_refused(DataError, names="zoo", allowed="--seed-labels FILE"):
        draw_seeds(source(2), truth, NAMES, 1, 0)


def test_no_seeds_per_class_are_an_error():
    with assert_refused(DataError, names="--seeds-per-class", values=0, allowed=1):
        draw(TRUTH, 0)


def read(tmp_path, text, names=NAMES, ids=IDS):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    return read_labels(path, ids, names)


@pytest.mark.parametrize("column", ["image_id", "path"])
def test_a_table_gives_rows_in_the_datas_order(tmp_path, column):
    given = read(tmp_path, f"{column},label\nd.png,cat\na.png,dog\n")
    assert given.rows.tolist() == [0, 3]
    assert given.labels.tolist() == [1, 0]


def test_class_numbers_and_names_are_both_read(tmp_path):
    given = read(tmp_path, "image_id,label\na.png,1\nb.png,cat\n")
    assert given.labels.tolist() == [1, 0]


def test_a_class_named_by_a_number_is_that_class(tmp_path):
    given = read(tmp_path, "image_id,label\na.png,1\nb.png,7\n", names=("7", "1", "3"))
    assert given.labels.tolist() == [1, 0]


def test_rows_without_label_are_left_out(tmp_path):
    given = read(tmp_path, "image_id,label\na.png,\nb.png,cat\n")
    assert given.rows.tolist() == [1]


def test_none_and_na_may_be_classes(tmp_path):
    given = read(
        tmp_path, "image_id,label\na.png,None\nb.png,NA\n", names=("None", "NA")
    )
    assert given.labels.tolist() == [0, 1]


def test_ids_keep_their_leading_zeros(tmp_path):
    given = read(tmp_path, "image_id,label\n007,cat\n", ids=("7", "007"))
    assert given.rows.tolist() == [1]


@pytest.mark.parametrize("labels", [["dog", None, "cat"], [1, None, 0]])
def test_a_parquet_table_is_read_gaps_and_all(tmp_path, labels):
    path = tmp_path / "labels.parquet"
    table = pd.DataFrame({"image_id": ["c.png", "b.png", "a.png"], "label": labels})
    table.to_parquet(path)
    given = read_labels(path, IDS, NAMES)
    assert given.rows.tolist() == [0, 2]
    assert given.labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,label\na.png,cat\n", "columns image_id and label, it has name, label"),
        ("image_id,class\na.png,cat\n", "it has image_id, class"),
        (
            "image_id,label\nx.png,cat\na.png,cat\n",
            r"'x.png', which is not in the data \(ids look like 'a.png'\); 1 of its 2 ",
        ),
        ("image_id,label\na.png,cat\na.png,dog\n", "names image 'a.png' twice"),
        (
            "image_id,label\na.png,cow\n",
            r"image 'a.png' the label 'cow'; the classes are cat, dog \(or 0\.\.1\)",
        ),
        ("image_id,label\n", "gives no image a label; write one row per image"),
        ("image_id,label\na.png,\n", "gives no image a label"),
        ("", "cannot be read as a table"),
        ('image_id,label\n"a.png,cat\n', "cannot be read as a table"),
    ],
)
def test_a_wrong_table_says_what_is_wrong(tmp_path, text, message):
    with pytest.raises(DataError, match=f"labels.csv .*{message}"):
        read(tmp_path, text)


def test_a_missing_table_is_named(tmp_path):
    with assert_refused(DataError, names="none.csv"):
        read_labels(tmp_path / "none.csv", IDS, NAMES)


def test_a_file_that_is_no_parquet_is_an_error(tmp_path):
    path = tmp_path / "labels.parquet"
    path.write_text("image_id,label\n")
    with assert_refused(DataError, names="labels.parquet"):
        read_labels(path, IDS, NAMES)


@pytest.mark.parametrize("twice", ["label", "image_id"])
def test_two_columns_of_one_name_are_refused(tmp_path, twice):
    path = tmp_path / "seeds.csv"
    path.write_text(f"image_id,label,{twice}\na.png,cat,cat\n")
    with pytest.raises(DataError, match=f"seeds.csv has two columns named '{twice}'"):
        read_labels(path, IDS, NAMES)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Image_ID,Label", "a/1.png"),
        ("file_name,label", "a/1.png"),
        ("path,LABEL", "a\\1.png"),
        ("image_id,label", " a/1.png "),
    ],
)
def test_columns_and_paths_are_read_as_people_write_them(tmp_path, header, name):
    path = tmp_path / "seeds.csv"
    path.write_text(f"{header}\n{name},dog\n")
    given = read_labels(path, ["a/0.png", "a/1.png"], ("cat", "dog"))
    assert given.rows.tolist() == [1]
    assert given.labels.tolist() == [1]


def test_a_label_without_an_image_is_told_with_its_row(tmp_path):
    path = tmp_path / "seeds.csv"
    path.write_text("image_id,label\na.png,cat\n,dog\n")
    with assert_refused(DataError, values="row 2"):
        read_labels(path, ["a.png"], ("cat", "dog"))
