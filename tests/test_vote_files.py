"""Votes made elsewhere."""

import json

import numpy as np
import pandas as pd
import pytest

from lfkit.errors import VotesError
from lfkit.vote_files import read_votes

MATRIX = [[0, -1], [2, 1], [-1, -1]]


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float32])
def test_a_npy_matrix(tmp_path, dtype):
    np.save(tmp_path / "votes.npy", np.array(MATRIX, dtype))
    found = read_votes(tmp_path / "votes.npy")
    assert found.votes.hard.tolist() == MATRIX
    assert found.votes.names == ("function_0", "function_1")
    assert found.votes.n_classes == 3
    assert (found.ids, found.labels, found.class_names) == (None, None, None)


def test_nan_abstains(tmp_path):
    np.save(tmp_path / "votes.npy", np.array([[0, np.nan], [1, 2]]))
    assert read_votes(tmp_path / "votes.npy").votes.hard.tolist() == [[0, -1], [1, 2]]


def test_classes_can_be_more_than_were_voted_for(tmp_path):
    np.save(tmp_path / "votes.npy", np.array(MATRIX))
    assert read_votes(tmp_path / "votes.npy", 10).votes.n_classes == 10


def test_there_are_at_least_two_classes(tmp_path):
    np.save(tmp_path / "votes.npy", np.array([[0, -1]]))
    assert read_votes(tmp_path / "votes.npy").votes.n_classes == 2


def test_one_class_is_enough_where_it_is_asked_for(tmp_path):
    np.save(tmp_path / "votes.npy", np.array([[0, -1]]))
    assert read_votes(tmp_path / "votes.npy", 1).votes.n_classes == 1


def test_a_csv_of_votes_alone(tmp_path):
    (tmp_path / "votes.csv").write_text("dark,round\n0,-1\n2,1\n-1,\n")
    found = read_votes(tmp_path / "votes.csv")
    assert found.votes.hard.tolist() == MATRIX
    assert found.votes.names == ("dark", "round")
    assert (found.ids, found.labels) == (None, None)


@pytest.mark.parametrize("column", ["image_id", "path", "id"])
def test_a_csv_with_ids_and_labels(tmp_path, column):
    (tmp_path / "votes.csv").write_text(
        f"dark,{column},label,round\n0,007,1,-1\n2,8,,1\n-1,9,0,-1\n"
    )
    found = read_votes(tmp_path / "votes.csv")
    assert found.votes.hard.tolist() == MATRIX
    assert found.ids == ("007", "8", "9")
    assert found.labels.tolist() == [1, -1, 0]


@pytest.mark.parametrize("dtype", ["int64", "float64", "Int64"])
def test_a_parquet_table(tmp_path, dtype):
    table = pd.DataFrame(MATRIX, columns=["dark", "round"]).astype(dtype)
    if dtype != "int64":
        table = table.where(table >= 0)
    table.insert(0, "image_id", ["a", "b", "c"])
    table.to_parquet(tmp_path / "votes.parquet")
    found = read_votes(tmp_path / "votes.parquet")
    assert found.votes.hard.tolist() == MATRIX
    assert found.ids == ("a", "b", "c")


def test_an_npz_with_soft_votes_and_names(tmp_path):
    soft = np.zeros((3, 2, 4))
    soft[0, 0, 0] = soft[1, 1, 1] = 1
    soft[1, 0, 2:] = 0.75, 0.25
    names = np.array(["dark", "round"])
    np.savez(tmp_path / "votes.npz", votes=MATRIX, soft=soft, names=names)
    found = read_votes(tmp_path / "votes.npz")
    assert found.votes.hard.tolist() == MATRIX
    assert found.votes.names == ("dark", "round")
    assert found.votes.n_classes == 4
    assert found.votes.soft.dtype == np.float16
    assert found.votes.soft[1, 0].tolist() == [0, 0, 0.75, 0.25]


ROWS = {
    "3": {"label": 1, "weak_labels": [0, -1], "data": {"text": "x"}},
    "7": {"label": 0, "weak_labels": [2, 1]},
    "9": {"weak_labels": [-1, -1]},
}


@pytest.fixture
def wrench(tmp_path):
    (tmp_path / "train.json").write_text(json.dumps(ROWS))
    names = {str(i): name for i, name in enumerate("abcdefghijk")}
    (tmp_path / "label.json").write_text(json.dumps(dict(sorted(names.items()))))
    return tmp_path


@pytest.mark.parametrize("part", ["", "train.json"])
def test_a_wrench_folder_or_one_of_its_files(wrench, part):
    found = read_votes(wrench / part)
    assert found.votes.hard.tolist() == MATRIX
    assert found.ids == ("3", "7", "9")
    assert found.labels.tolist() == [1, 0, -1]
    assert "".join(found.class_names) == "abcdefghijk"  # by number, not by text
    assert found.votes.n_classes == 11


def test_a_wrench_file_without_names_has_the_classes_asked_for(wrench):
    (wrench / "label.json").unlink()
    assert read_votes(wrench / "train.json", 5).votes.n_classes == 5
    assert read_votes(wrench / "train.json").votes.n_classes == 3
    assert read_votes(wrench / "train.json").class_names is None


def error(path, n_classes=None):
    with pytest.raises(VotesError) as caught:
        read_votes(path, n_classes)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["votes.npy", "votes.json"])
def test_a_missing_file_is_named(tmp_path, name):
    assert error(tmp_path / name).startswith("there is no file")


def test_an_unknown_ending_names_the_known_ones(tmp_path):
    (tmp_path / "votes.txt").write_text("0 1")
    message = error(tmp_path / "votes.txt")
    assert "is no vote file lfkit knows; give .npy, .csv, .parquet, .npz or" in message


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ([0, 1], "of shape (images, functions), got int64 of shape (2,)"),
        ([["a"]], "votes must be numbers of shape (images, functions), got <U1"),
        ([[0.5]], "votes must be whole numbers"),
        ([[-2]], "vote -2 of function 0 on image 0 is outside 0..1"),
    ],
)
def test_a_matrix_that_makes_no_sense(tmp_path, array, message):
    np.save(tmp_path / "votes.npy", np.array(array))
    assert message in error(tmp_path / "votes.npy")


def test_votes_beyond_the_classes_asked_for(tmp_path):
    np.save(tmp_path / "votes.npy", np.array(MATRIX))
    message = error(tmp_path / "votes.npy", 2)
    assert "vote 2 of function 0 on image 1 is outside 0..1" in message


def test_pickled_arrays_are_never_opened(tmp_path):
    np.save(tmp_path / "votes.npy", np.array([[None]]), allow_pickle=True)
    assert "cannot be read: Object arrays cannot be loaded" in error(
        tmp_path / "votes.npy"
    )
    np.savez(tmp_path / "votes.npz", votes=np.array([[None]]))
    assert "cannot be read: Object arrays cannot be" in error(tmp_path / "votes.npz")


@pytest.mark.parametrize("kept", [0, 3, 100])
@pytest.mark.parametrize("name", ["votes.npy", "votes.npz", "votes.parquet"])
def test_a_truncated_file_cannot_be_read(tmp_path, name, kept):
    path = tmp_path / name
    if name.endswith("npy"):
        np.save(path, np.array(MATRIX))
    elif name.endswith("npz"):
        np.savez(path, votes=MATRIX)
    else:
        pd.DataFrame(MATRIX, columns=["a", "b"]).to_parquet(path)
    path.write_bytes(path.read_bytes()[:kept])
    assert "cannot be read" in error(path)


def test_an_npz_without_votes_says_what_it_holds(tmp_path):
    np.savez(tmp_path / "votes.npz", proba=[1])
    assert "it holds proba, expected an array named votes" in error(
        tmp_path / "votes.npz"
    )


def test_soft_votes_of_another_shape(tmp_path):
    np.savez(tmp_path / "votes.npz", votes=MATRIX, soft=np.zeros((3, 3)))
    assert "`soft` has shape (3, 3), expected (images, functions, cl" in error(
        tmp_path / "votes.npz"
    )


def test_names_of_another_number(tmp_path):
    np.savez(tmp_path / "votes.npz", votes=MATRIX, names=np.array(["a"]))
    assert "1 names for 2 columns" in error(tmp_path / "votes.npz")


def test_a_column_of_words_is_named(tmp_path):
    (tmp_path / "votes.csv").write_text("dark,round\n0,cat\n")
    message = error(tmp_path / "votes.csv")
    assert "column 'round' is not numeric; votes are class numbers, -1 =" in message


def test_an_empty_csv_cannot_be_read(tmp_path):
    (tmp_path / "votes.csv").write_text("")
    assert "cannot be read" in error(tmp_path / "votes.csv")


def test_a_folder_without_train_json(tmp_path):
    assert "has no train.json; a WRENCH folder holds train.json and" in error(tmp_path)


@pytest.mark.parametrize(
    "text", ["[1, 2]", '{"1": {}}', "{", '{"1": {"weak_labels": [0], "label": "x"}}']
)
def test_a_json_of_another_format(tmp_path, text):
    (tmp_path / "train.json").write_text(text)
    message = error(tmp_path)
    assert "train.json is not WRENCH's format (an object of rows with wea" in message


@pytest.mark.parametrize("text", ["{", '["a"]', '{"a": 1}'])
def test_class_names_of_another_format(wrench, text):
    (wrench / "label.json").write_text(text)
    message = error(wrench)
    assert "label.json is not an object of class numbers and names" in message


def test_wrench_votes_that_make_no_sense_name_the_file(wrench):
    (wrench / "label.json").write_text('{"0": "a", "1": "b"}')
    assert "vote 2 of function 0 on image 1 is outside 0..1" in error(wrench)
