"""Votes made elsewhere, and votes for elsewhere."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import sparse

from lfkit.aggregators import AGGREGATORS
from lfkit.data.vote_files import FORMATS, read_votes, write_votes
from lfkit.data.votes import Votes
from lfkit.errors import VotesError

MATRIX = [[0, -1], [2, 1], [-1, -1]]


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float32])
def test_a_npy_matrix(tmp_path, dtype):
    np.save(tmp_path / "votes.npy", np.array(MATRIX, dtype))
    found = read_votes(tmp_path / "votes.npy")
    assert found.votes.hard.tolist() == MATRIX
    assert found.votes.names == ("function_0", "function_1")
    assert found.votes.n_classes == 3
    assert (found.ids, found.labels, found.class_names) == (None, None, None)


def test_an_npz_may_call_the_labels_y(tmp_path):
    np.savez(tmp_path / "votes.npz", votes=MATRIX, y=[0, -1, 3], n_classes=5)
    found = read_votes(tmp_path / "votes.npz")
    assert found.labels.tolist() == [0, -1, 3]
    assert found.votes.n_classes == 5
    np.savez(tmp_path / "votes.npz", votes=MATRIX, y=[0, -1, 3], labels=[2, 2, 2])
    assert read_votes(tmp_path / "votes.npz").labels.tolist() == [2, 2, 2]


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


def error(path, n_classes=None, class_names=None):
    with pytest.raises(VotesError) as caught:
        read_votes(path, n_classes, class_names)
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
        ([["a"]], "column 'function_0' is not numeric; votes are class numbers"),
        ([[0.5]], "votes has the label 0.5, of a type with fractions"),
        ([[-2]], "function 'function_0' gives image 0 the label '-2', which is no cl"),
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
    assert "holds Python objects, which lfkit never unpickles" in error(
        tmp_path / "votes.npy"
    )
    np.savez(tmp_path / "votes.npz", votes=np.array([[None]]))
    assert "holds Python objects" in error(tmp_path / "votes.npz")


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
    "text",
    [
        "[1, 2]",
        '{"1": {}}',
        "{",
        "[" * 100_000,
        '{"1": {"weak_labels": [0]}, "2": {"weak_labels": [0, 1]}}',
    ],
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
    assert "train.json has the class 2; label.json names only 0, 1" in error(wrench)


def sparse_votes(matrix):
    """Store votes as a sparse matrix does: zeros that are votes among the entries."""
    matrix = np.asarray(matrix)
    place = np.nonzero(matrix >= 0)
    return sparse.coo_array((matrix[place], place), shape=matrix.shape)


@pytest.mark.parametrize("layout", ["csr", "csc", "coo"])
def test_a_sparse_matrix_stores_votes_for_class_0_too(tmp_path, layout):
    sparse.save_npz(tmp_path / "votes.npz", sparse_votes(MATRIX).asformat(layout))
    found = read_votes(tmp_path / "votes.npz")
    assert found.votes.hard.tolist() == MATRIX
    assert found.votes.n_classes == 3
    assert read_votes(tmp_path / "votes.npz", 5).votes.n_classes == 5


def test_a_sparse_matrix_that_lost_class_0_is_refused(tmp_path):
    sparse.save_npz(tmp_path / "votes.npz", sparse.csr_array(np.array(MATRIX)))
    message = error(tmp_path / "votes.npz")
    assert "stores -1 for abstain and so has lost the votes for class 0" in message


def test_classes_that_may_count_from_1_are_refused_until_k_is_given(tmp_path):
    sparse.save_npz(tmp_path / "votes.npz", sparse_votes([[1, -1], [2, 1]]))
    assert "it cannot be told whether its classes count from 0 or" in error(
        tmp_path / "votes.npz"
    )
    assert "in a sparse matrix the classes count from 0, a vote for class 0 is" in (
        error(tmp_path / "votes.npz", 2)
    )
    found = read_votes(tmp_path / "votes.npz", 3)
    assert found.votes.hard.tolist() == [[1, -1], [2, 1]]


def test_a_sparse_matrix_without_votes_abstains(tmp_path):
    sparse.save_npz(tmp_path / "votes.npz", sparse.csr_array((3, 2), dtype=np.int8))
    assert (read_votes(tmp_path / "votes.npz").votes.hard == -1).all()


@pytest.mark.parametrize("layout", ["bsr", "dia"])
def test_layouts_with_zeros_of_their_own_are_refused(tmp_path, layout):
    matrix = sparse.csr_array(np.eye(4)).asformat(layout)
    sparse.save_npz(tmp_path / "votes.npz", matrix)
    message = error(tmp_path / "votes.npz")
    assert f"scipy's {layout} format, which does not tell a vote for class 0" in message
    with pytest.raises(VotesError, match=f"must be csr, csc, coo, got {layout}"):
        Votes(matrix, tuple("abcd"), 2)


def test_a_sparse_matrix_of_other_things_is_refused(tmp_path):
    sparse.save_npz(tmp_path / "votes.npz", sparse.csr_array([[0.5, 1]]))
    assert "sparse votes must be whole numbers" in error(tmp_path / "votes.npz")
    twice = sparse.coo_array(([0, 1], ([0, 0], [1, 1])), shape=(2, 2))
    sparse.save_npz(tmp_path / "votes.npz", twice)
    assert "several votes of one function on one image" in error(tmp_path / "votes.npz")


def test_a_sparse_matrix_with_wrong_indices_cannot_be_read(tmp_path):
    np.savez(
        tmp_path / "votes.npz", format=b"csr", shape=[2, 2], data=[0, 1],
        indices=[0, 9], indptr=[0, 1, 2],
    )  # fmt: skip
    assert "cannot be read" in error(tmp_path / "votes.npz")


@given(arrays.arrays(np.int64, (12, 4), elements=st.integers(-1, 2)))
def test_dense_int8_and_sparse_votes_are_the_same_votes(matrix):
    names = tuple("abcd")
    dense = Votes(matrix, names, 3)
    for other in (matrix.astype(np.int8), sparse_votes(matrix).tocsr()):
        assert np.array_equal(Votes(other, names, 3).hard, dense.hard)
        assert Votes(other, names, 3).hard.dtype == dense.hard.dtype


@pytest.mark.parametrize("name", AGGREGATORS)
def test_dense_int8_and_sparse_votes_give_the_same_answers(name):
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=300)[:, None]
    right = rng.random((300, 5)) < 0.7
    matrix = np.where(right, truth, rng.integers(3, size=(300, 5)))
    matrix[rng.random((300, 5)) < 0.3] = -1
    answers = [
        AGGREGATORS[name]().fit_predict_proba(Votes(given, tuple("abcde"), 3))
        for given in (matrix, matrix.astype(np.int8), sparse_votes(matrix).tocsr())
    ]
    assert np.array_equal(answers[0], answers[1])
    assert np.array_equal(answers[0], answers[2])


LONG = """task,worker,label,seconds
007,dark,cat,3
8,round,dog,
7,dark,,5
007,round,cat,1
"""


def test_a_long_table_has_a_row_per_vote(tmp_path):
    (tmp_path / "votes.csv").write_text(LONG)
    found = read_votes(tmp_path / "votes.csv")
    assert found.votes.hard.tolist() == [[0, 0], [-1, 1], [-1, -1]]
    assert found.votes.names == ("dark", "round")
    assert found.ids == ("007", "8", "7")
    assert found.class_names == ("cat", "dog")
    assert found.labels is None


@pytest.mark.parametrize("task", [["b", "a", "b"], [3, 1, 3]])
@pytest.mark.parametrize("label", [[0, 2, -1], [0.0, 2.0, None], ["0", "2", None]])
def test_labels_of_a_long_table_may_be_class_numbers(tmp_path, task, label):
    table = {"task": task, "worker": ["x", "x", "y"], "label": label}
    pd.DataFrame(table).to_parquet(tmp_path / "votes.parquet")
    pd.DataFrame(table).to_csv(tmp_path / "votes.csv", index=False)
    for name in ("votes.parquet", "votes.csv"):
        found = read_votes(tmp_path / name, 4)
        assert found.votes.hard.tolist() == [[0, -1], [2, -1]]
        assert found.ids == (str(task[0]), str(task[1]))
        assert (found.votes.n_classes, found.class_names) == (4, None)


def test_given_class_names_number_the_labels_of_a_long_table(tmp_path):
    (tmp_path / "votes.csv").write_text(LONG)
    found = read_votes(tmp_path / "votes.csv", 3, ("dog", "cow", "cat"))
    assert found.votes.hard.tolist() == [[2, 2], [-1, 0], [-1, -1]]
    assert found.class_names == ("dog", "cow", "cat")
    assert "gives task '007' the label 'cat'; the classes are dog, cow" in error(
        tmp_path / "votes.csv", 2, ("dog", "cow")
    )


def test_names_in_a_long_table_do_not_number_classes_without_votes(tmp_path):
    (tmp_path / "votes.csv").write_text(LONG)
    assert "its labels name 2 classes (cat, dog), 3 were asked for" in error(
        tmp_path / "votes.csv", 3
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,x,cat\na,x,dog", "worker 'x' gave task 'a' several labels; keep one"),
        (",x,1", "row 0 has no task; each needs one"),
        ("a,x,1\na,,1", "row 1 has no worker; each needs one"),
        ("a,x,-2", "gives task 'a' the label '-2', which is no class"),
    ],
)
def test_a_long_table_that_makes_no_sense(tmp_path, rows, message):
    (tmp_path / "votes.csv").write_text(f"task,worker,label\n{rows}\n")
    assert message in error(tmp_path / "votes.csv")


def test_the_same_label_twice_is_one_vote(tmp_path):
    (tmp_path / "votes.csv").write_text("task,worker,label\na,x,1\na,x,1\na,x,\n")
    assert read_votes(tmp_path / "votes.csv").votes.hard.tolist() == [[1]]


def test_images_of_a_wrench_folder_go_by_their_paths(tmp_path):
    rows = {"0": {"weak_labels": [1], "data": {"image_path": "a.png"}}}
    (tmp_path / "train.json").write_text(json.dumps(rows))
    assert read_votes(tmp_path).ids == ("a.png",)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": [0, 1]}, "labels must be whole numbers of shape (3,), one per"),
        ({"labels": ["a", "b", "c"]}, "column 'label' is not numeric"),
        ({"labels": [0, 3, 1], "n_classes": 3}, "label 3 of image 1 is outside 0..2"),
        ({"image_ids": ["a", "b"]}, "there are 2 image ids for 3 rows of votes"),
        ({"image_ids": ["a", "b", "a"]}, "two rows have the image id 'a'"),
        ({"class_names": ["a", "b"]}, "vote 2 of function 0 on image 1 is outside 0"),
        ({"soft": np.full((3, 2, 3), -1.0)}, "`soft` must hold shares of the classes"),
        ({"soft": np.full((3, 2, 3), np.nan)}, "finite numbers, none negative"),
        ({"allowed": np.full((3, 2, 3), 2)}, "`allowed` must be true or 1 where a vo"),
        ({"allowed": np.ones((3, 2), bool)}, "`allowed` has shape (3, 2), expected"),
        ({"n_classes": [3, 4]}, "cannot be read"),
    ],
)
def test_an_npz_whose_parts_do_not_fit(tmp_path, arrays, message):
    np.savez(tmp_path / "votes.npz", votes=MATRIX, **arrays)
    assert message in error(tmp_path / "votes.npz")


IDS, LABELS, CLASSES = ("x/a.png", "007", "c"), [1, -1, 2], ("ant", "bee", "cow")
NAMES = ("dark", "round")
WRITTEN = {
    "npz": "votes.npz",
    "table": "votes.csv",
    "snorkel": "votes.npy",
    "wrench": "votes",
    "crowd-kit": "votes.csv",
    "sparse": "votes.npz",
}


def test_every_format_is_tested():
    assert WRITTEN.keys() == FORMATS.keys()


@pytest.mark.parametrize(
    ("path", "format"), [*((b, a) for a, b in WRITTEN.items()), ("v.parquet", "table")]
)
def test_a_round_trip_keeps_what_the_format_can_hold(tmp_path, path, format):
    votes = Votes(np.array([*MATRIX[:2], [2, 0]]), NAMES, 3)
    left_out = write_votes(
        tmp_path / path, votes, ids=IDS, labels=np.array(LABELS), class_names=CLASSES,
        format=format,
    )  # fmt: skip
    found = read_votes(tmp_path / path)
    assert found.votes.hard.tolist() == votes.hard.tolist()
    assert found.votes.n_classes == 3
    assert found.ids == (None if format in ("snorkel", "sparse") else IDS)
    kept = found.votes.names == NAMES
    assert kept == (format in ("npz", "table", "crowd-kit"))
    labels = None if found.labels is None else found.labels.tolist()
    assert labels == (LABELS if format in ("npz", "table", "wrench") else None)
    named = format in ("npz", "wrench", "crowd-kit")
    assert found.class_names == (CLASSES if named else None)
    assert (
        left_out
        == {
            "npz": [],
            "table": ["Names of classes are left out: table holds none."],
            "snorkel": [
                "Image ids, labels, names of functions and names of classes are left "
                "out: snorkel holds none."
            ],
            "wrench": ["Names of functions are left out: wrench holds none."],
            "crowd-kit": ["Labels are left out: crowd-kit holds none."],
            "sparse": [
                "Image ids, labels, names of functions and names of classes are left "
                "out: sparse holds none."
            ],
        }[format]
    )


@pytest.mark.parametrize("path", ["votes.csv", "votes.parquet"])
def test_a_long_table_with_class_numbers_goes_both_ways(tmp_path, path):
    votes = Votes(np.array([[0, 1], [2, -1]]), NAMES, 3)
    assert write_votes(tmp_path / path, votes, format="crowd-kit") == []
    found = read_votes(tmp_path / path)
    assert found.votes.hard.tolist() == votes.hard.tolist()
    assert found.ids == ("0", "1")


def test_soft_and_partial_votes_go_both_ways_in_an_npz(tmp_path):
    soft = np.zeros((3, 2, 4), np.float16)
    soft[0, 0, :2] = 0.75, 0.25
    soft[1, :, 1] = 1
    allowed = np.zeros((3, 2, 4), bool)
    allowed[2, 1, 2:] = True
    hard = np.array([[0, -1], [1, 1], [-1, -1]])
    votes = Votes(hard, NAMES, 4, soft=soft, allowed=allowed)
    assert write_votes(tmp_path / "votes.npz", votes) == []
    found = read_votes(tmp_path / "votes.npz").votes
    assert np.array_equal(found.hard, hard)
    assert np.array_equal(found.soft, soft)
    assert np.array_equal(found.allowed, allowed)
    assert found.names == NAMES
    assert found.n_classes == 4


def test_what_a_format_cannot_hold_is_said(tmp_path):
    soft = np.zeros((3, 2, 4), np.float16)
    allowed = np.zeros((3, 2, 4), bool)
    allowed[2, 1, 2:] = True
    hard = np.array([[0, -1], [1, -1], [-1, -1]])
    seeds = {"seed_rows": np.array([0]), "seed_labels": np.array([0])}
    votes = Votes(hard, ("function_0", "b"), 4, soft=soft, allowed=allowed, **seeds)
    said = [
        "Names of functions are left out: snorkel holds none.",
        "Which 1 images are seeds, and how functions fitted without them vote there, "
        "is left out.",
        "Soft votes are written as their most probable class; .npz keeps them.",
        "1 votes for several classes are left out; .npz keeps them.",
        "That there are 4 classes is left out: say so when you read it.",
    ]
    assert write_votes(tmp_path / "votes.npy", votes) == said
    assert write_votes(tmp_path / "votes.npz", votes) == said[1:2]
    assert write_votes(tmp_path / "v.csv", votes, format="crowd-kit")[3:] == [
        "1 images and 1 functions without a vote are left out: it has a row per vote.",
        "That there are 4 classes is left out: say so when you read it.",
    ]
    names = ("d", "c", "b", "a")
    assert write_votes(
        tmp_path / "v.csv", votes, class_names=names, format="crowd-kit"
    )[4:] == ["The numbers of the classes are left out: labels are their names."]


def test_a_wrench_folder_keeps_the_number_of_classes(tmp_path):
    assert write_votes(tmp_path / "set", Votes(np.array([[0]]), ("a",), 5))[1:] == []
    found = read_votes(tmp_path / "set")
    assert (found.votes.n_classes, found.class_names) == (5, None)
    assert found.labels.tolist() == [-1]


@pytest.mark.parametrize("name", WRITTEN)
def test_no_images_go_both_ways(tmp_path, name):
    votes = Votes(np.zeros((0, 2)), NAMES, 2)
    write_votes(tmp_path / WRITTEN[name], votes, format=name)
    found = read_votes(tmp_path / WRITTEN[name])
    assert len(found.votes) == 0


def test_snorkel_fits_what_is_written_for_it(tmp_path):
    snorkel = pytest.importorskip("snorkel.labeling.model")
    write_votes(tmp_path / "votes.npy", Votes(np.array(MATRIX), NAMES, 3))
    model = snorkel.MajorityLabelVoter(cardinality=3)
    assert model.predict(np.load(tmp_path / "votes.npy")).tolist() == [0, -1, -1]


@pytest.mark.parametrize(
    ("path", "format", "message"),
    [
        ("votes.txt", None, "has no ending that votes are written with; give .npz"),
        ("votes.npz", "spear", "there is no format 'spear' of votes; choose from npz"),
        ("votes.npz", "snorkel", "cannot be snorkel: its files end in .npy."),
        ("votes", "crowd-kit", "cannot be crowd-kit: its files end in .csv or .parqu"),
        ("file", None, "is a file; a WRENCH data set is a folder"),
    ],
)
def test_a_format_that_does_not_fit_the_path(tmp_path, path, format, message):
    (tmp_path / "file").write_text("")
    with pytest.raises(VotesError) as caught:
        write_votes(tmp_path / path, Votes(np.array([[0]]), ("a",), 2), format=format)
    assert message in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["image_id", "label"])
def test_a_function_is_not_called_like_another_column(tmp_path, name):
    votes = Votes(np.array([[0]]), (name,), 2)
    with pytest.raises(VotesError, match=f"function '{name}' would be read back as"):
        write_votes(tmp_path / "votes.csv", votes)


def test_what_does_not_fit_the_votes_is_not_written(tmp_path):
    votes = Votes(np.array([[0]]), ("a",), 2)
    with pytest.raises(VotesError, match="there are 3 class names for 2 classes; gi"):
        write_votes(tmp_path / "votes.npz", votes, class_names=CLASSES)
    with pytest.raises(VotesError, match="there are 3 image ids for 1 rows of votes"):
        write_votes(tmp_path / "votes.npz", votes, ids=IDS)
    assert not [*tmp_path.iterdir()]


@pytest.fixture
def crowd_kit(tmp_path):
    (tmp_path / "crowd_labels.csv").write_text(
        "task,worker,label\n7,x,cat\n8,x,dog\n7,y,dog\n9,y,\n"
    )
    (tmp_path / "gt.csv").write_text("label,task\ndog,8\neel,7\ncat,10\n")
    return tmp_path


def test_a_folder_of_crowd_kit_has_true_labels_too(crowd_kit):
    found = read_votes(crowd_kit)
    assert found.ids == ("7", "8", "9")  # nobody voted on 10
    assert found.class_names == ("cat", "dog", "eel")
    assert found.labels.tolist() == [2, 1, -1]
    assert found.votes.hard.tolist() == [[0, 1], [1, -1], [-1, -1]]
    assert read_votes(crowd_kit, class_names=("eel", "dog", "cat")).labels[0] == 0
    (crowd_kit / "gt.csv").unlink()
    found = read_votes(crowd_kit)
    assert (found.labels, found.class_names) == (None, ("cat", "dog"))


def test_true_class_numbers_count_as_classes(crowd_kit):
    (crowd_kit / "crowd_labels.csv").write_text("task,worker,label\na,x,0\nb,x,1\n")
    (crowd_kit / "gt.csv").write_text("task,label\nb,2\n")
    found = read_votes(crowd_kit)
    assert (found.votes.n_classes, found.labels.tolist()) == (3, [-1, 2])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task,truth\n7,dog\n", "gt.csv needs the columns task and label."),
        ("task,label\n7,dog\n8,cat\n7,dog\n", "gt.csv has task '7' twice; keep one r"),
        ("task,label\n,dog\n", "row 0 has no task; each needs one"),
    ],
)
def test_true_labels_that_make_no_sense(crowd_kit, text, message):
    (crowd_kit / "gt.csv").write_text(text)
    assert message in error(crowd_kit)


def test_a_true_label_of_no_class_is_named(crowd_kit):
    (crowd_kit / "gt.csv").write_text("task,label\n8,cat\n7,0.5\n")
    message = error(crowd_kit, class_names=("cat", "dog"))
    assert "gt.csv gives task '7' the label '0.5'" in message


@pytest.mark.parametrize(
    ("text", "names", "note"),
    [
        ("image_id,Label,a\nx,0,1\ny,1,1\n", ("a",), "'Label'"),
        ("ID,a,b\n5,0,1\n6,1,1\n", ("a", "b"), "'ID'"),
        ("id,image_id,a\n0,x,1\n1,y,1\n", ("a",), "'id'"),
        ("path,image_id,a\n0,x,1\n1,y,1\n", ("a",), "'path'"),
    ],
)
def test_ids_and_labels_are_never_functions(tmp_path, text, names, note):
    (tmp_path / "votes.csv").write_text(text)
    found = read_votes(tmp_path / "votes.csv")
    assert found.votes.names == names
    assert found.ids is not None
    assert any(note in each for each in found.notes)


@pytest.mark.parametrize(
    "header",
    [
        "image_id,label,label,a",
        "image_id,Label,label,a",
        "image_id,image_id,a,b",
        "task,worker,label,label",
        "task,task,worker,label",
        "Task,Worker,Label,a",
    ],
)
def test_columns_that_may_mean_two_things_are_refused(tmp_path, header):
    (tmp_path / "votes.csv").write_text(f"{header}\n1,1,1,1\n")
    with pytest.raises(VotesError, match=r"two columns named|name those of"):
        read_votes(tmp_path / "votes.csv")
