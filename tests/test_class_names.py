"""Class names and labels, as people and programs write them, in every file we read."""

import io
import json
import struct
import tracemalloc
import zipfile

import numpy as np
import pandas as pd
import pytest
from assertions import assert_refused
from PIL import Image
from scipy import sparse

from lfkit.aggregators.aggregate import aggregate
from lfkit.commands.active.annotations import checked, read_sheet
from lfkit.commands.active.label_studio import read_export
from lfkit.data.class_names import checked_names, in_order, match
from lfkit.data.datasets import open_images
from lfkit.data.datasets.array_source import ArraySource
from lfkit.data.label_cells import read_cells, spelling
from lfkit.data.seed_labels import read_labels
from lfkit.data.vote_files import read_votes, write_votes
from lfkit.data.votes import Votes
from lfkit.errors import DataError, DeclarationError, InputError
from lfkit.labeling.classes import least_classes, reconcile
from lfkit.labeling.loading import load_lfs

# Every reader of labels whose classes are known: cells and class names in, the name of
# each image's class out, None where it has no label.


def _frame(cells, **columns):
    return pd.DataFrame({**columns, "label": pd.Series(cells, dtype=_dtype(cells))})


def _dtype(cells):
    kinds = {type(cell) for cell in cells if cell is not None}
    return None if len(kinds) == 1 and kinds <= {int, float, str} else object


def _ids(cells):
    return [f"{row}.png" for row in range(len(cells))]


def _save(path, table):
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
        return path
    kinds = {type(cell) for cell in table["label"].dropna()} if "label" in table else ()
    if len(kinds) > 1:  # a column of Parquet has one type
        table = table.assign(
            label=[None if cell is None else str(cell) for cell in table["label"]]
        )
    table.to_parquet(path)
    return path


def _named(labels, names):
    return [None if label < 0 else names[label] for label in np.ravel(labels).tolist()]


def seeds(ending):
    def read(folder, cells, names):
        ids = _ids(cells)
        path = _save(folder / f"seeds.{ending}", _frame(cells, image_id=ids))
        given = read_labels(path, ids, names)
        found = dict(zip(given.rows.tolist(), given.labels.tolist(), strict=True))
        return _named([found.get(row, -1) for row in range(len(cells))], names)

    return read


def wide(ending):
    def read(folder, cells, names):
        table = _frame(cells, image_id=_ids(cells)).rename(columns={"label": "f"})
        if ending == "parquet":
            table = table.rename(columns={"f": "label"})
            _save(folder / "votes.parquet", table)
            table = pd.read_parquet(folder / "votes.parquet")
            table = table.rename(columns={"label": "f"})
        _save(folder / f"votes.{ending}", table)
        file = read_votes(folder / f"votes.{ending}", len(names), names)
        return _named(file.votes.hard, names)

    return read


def long(ending):
    def read(folder, cells, names):
        table = _frame(cells, task=_ids(cells), worker="f")
        path = _save(folder / f"votes.{ending}", table)
        return _named(read_votes(path, len(names), names).votes.hard, names)

    return read


def _array(cells):
    if all(isinstance(cell, int) for cell in cells):
        return np.array(cells)
    if all(cell is None or isinstance(cell, (int, float)) for cell in cells):
        return np.array([np.nan if cell is None else cell for cell in cells], float)
    return np.array(["" if cell is None else str(cell) for cell in cells])


def npy(folder, cells, names):
    np.save(folder / "votes.npy", _array(cells)[:, None])
    file = read_votes(folder / "votes.npy", len(names), names)
    return _named(file.votes.hard, names)


def npz(folder, cells, names):
    np.savez(folder / "votes.npz", votes=_array(cells)[:, None])
    file = read_votes(folder / "votes.npz", len(names), names)
    return _named(file.votes.hard, names)


def wrench(folder, cells, names):
    rows = {str(row): {"weak_labels": [cell]} for row, cell in enumerate(cells)}
    (folder / "train.json").write_text(json.dumps(rows))
    return _named(read_votes(folder, len(names), names).votes.hard, names)


def _answers(said, path, cells, names):
    ids = _ids(cells)
    found = checked(said, path, asked=ids, before=[], all_ids=ids, class_names=names)
    return _named([found.get(name, -1) for name in ids], names)


def sheet(folder, cells, names):
    path = _save(folder / "ask.csv", _frame(cells, image_id=_ids(cells)))
    return _answers(read_sheet(path), path, cells, names)


def label_studio(folder, cells, names):
    tasks = []
    for name, cell in zip(_ids(cells), cells, strict=True):
        value = {"choices": [] if cell is None else [cell]}
        result = [{"from_name": "label", "value": value}]
        annotations = [{"result": result}]
        tasks.append({"data": {"image_id": name}, "annotations": annotations})
    path = folder / "export.json"
    path.write_text(json.dumps(tasks))
    return _answers(read_export(path), path, cells, names)


def label_studio_min(folder, cells, names):
    tasks = [{"image_id": n, "label": c} for n, c in zip(_ids(cells), cells)]  # noqa: B905
    path = folder / "export.json"
    path.write_text(json.dumps(tasks))
    return _answers(read_export(path), path, cells, names)


READERS = {
    "seeds csv": seeds("csv"),
    "seeds parquet": seeds("parquet"),
    "wide csv": wide("csv"),
    "wide parquet": wide("parquet"),
    "long csv": long("csv"),
    "long parquet": long("parquet"),
    "npy": npy,
    "npz": npz,
    "wrench": wrench,
    "answers csv": sheet,
    "label studio": label_studio,
    "label studio min": label_studio_min,
}
every_reader = pytest.mark.parametrize("reader", READERS)
NAN = float("nan")


@every_reader
@pytest.mark.parametrize(
    ("cells", "names", "expected"),
    [
        (["1", "2", "10"], ("1", "2", "10"), ["1", "2", "10"]),
        ([1, 2, 10], ("1", "2", "10"), ["1", "2", "10"]),
        ([1.0, 2.0, 10.0], ("1", "2", "10"), ["1", "2", "10"]),
        (["1.0", " 2 ", "10.00"], ("1", "2", "10"), ["1", "2", "10"]),
        ([1, 2, 10], ("01", "02", "10"), ["01", "02", "10"]),
        (["01", "2", "010"], ("1", "2", "10"), ["1", "2", "10"]),
        ([3, 1, 2], ("3", "1", "2"), ["3", "1", "2"]),  # CLASSES has its own order
        ([1003, 1001], ("1001", "1002", "1003"), ["1003", "1001"]),
        (["10", "2"], tuple(map(str, range(11))), ["10", "2"]),
        (["cat ", "\tdog", "\u00a0cat"], ("cat", "dog"), ["cat", "dog", "cat"]),
        (["Cat", "DOG"], ("cat", "dog"), ["cat", "dog"]),
        (["A", "a"], ("A", "a"), ["A", "a"]),
        ([0, 1], ("cat", "dog"), ["cat", "dog"]),
        ([0.0, 1.0], ("cat", "dog"), ["cat", "dog"]),
        (["1", "cat"], ("cat", "dog"), ["dog", "cat"]),
        (
            ["cafe\u0301", "caf\u00e9"],
            ("café", "tea"),
            ["café", "café"],
        ),
        (
            ["9007199254740993", "9007199254740992"],
            ("9007199254740992", "9007199254740993"),
            ["9007199254740993", "9007199254740992"],
        ),
        (["-1", "cat"], ("cat", "dog"), [None, "cat"]),
        ([-1, 1], ("1", "2"), [None, "1"]),
        ([-1.0, 1.0], ("1", "2"), [None, "1"]),
        (["", "cat"], ("cat", "dog"), [None, "cat"]),
        ([None, "cat"], ("cat", "dog"), [None, "cat"]),
        ([None, 1], ("1", "2"), [None, "1"]),
        ([NAN, 1.0], ("1", "2"), [None, "1"]),
        (["nan", "cat"], ("cat", "dog"), [None, "cat"]),
        (["NaN", "1"], ("1", "2"), [None, "1"]),
        (["None", "<NA>", "cat"], ("cat", "dog"), [None, None, "cat"]),
        (["NA", "cat"], ("cat", "dog"), [None, "cat"]),
        (["NA", "DE"], ("DE", "NA"), ["NA", "DE"]),  # Namibia
        (["True", "False"], ("False", "True"), ["True", "False"]),
    ],
)  # fmt: skip
def test_every_reader_reads_every_spelling(tmp_path, reader, cells, names, expected):
    assert READERS[reader](tmp_path, cells, names) == expected


@every_reader
@pytest.mark.parametrize(
    ("cells", "names", "told"),
    [
        ([0, 1, 2], ("1", "2", "3"), ["'0'", "1, 2, 3", "not as numbers that count"]),
        (["0", "1", "2"], ("1", "2", "3"), ["'0'", "1, 2, 3"]),
        ([0, 1], ("1001", "1002"), ["'0'", "1001, 1002"]),
        ([1], ("7", "cat"), ["'1'", "7, cat"]),
        (["cow", "cat"], ("cat", "dog"), ["'cow'", "cat, dog", "1 of its 2 labels"]),
        ([2, 0], ("cat", "dog"), ["'2'", "cat, dog (or 0..1)"]),
        (["-2", "0"], ("cat", "dog"), ["'-2'"]),
        (["1.5", "1"], ("1", "2"), ["'1.5'"]),
        (["1", "1"], ("01", "1.", "001"), None),  # no list of names: see below
    ],
)
def test_every_reader_refuses_what_can_be_read_in_two_ways(
    tmp_path, reader, cells, names, told
):
    if told is None:
        with assert_refused(DataError, names="classes", values=["'01'", "'1.'"]):
            checked_names(names, "data")
        return
    with pytest.raises(InputError) as caught:
        READERS[reader](tmp_path, cells, names)
    for text in told:
        assert text in str(caught.value)


# Every reader that finds out which classes there are.


def folder(place, cells):
    for row, cell in enumerate(cells):
        path = place / "photos" / str(cell) / f"{row:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2), row).save(path)
    source = open_images(place / "photos")
    row_of = {name: row for row, name in enumerate(source.ids)}
    order = [row_of[f"{cell}/{row:03}.png"] for row, cell in enumerate(cells)]
    return source.class_names, source.labels[order].tolist()


def manifest(ending):
    def read(place, cells):
        for row in range(len(cells)):
            Image.new("L", (2, 2), row).save(place / f"{row}.png")
        path = _save(place / f"list.{ending}", _frame(cells, path=_ids(cells)))
        source = open_images(path)
        return source.class_names, source.labels.tolist()

    return read


def labeled_npz(place, cells):
    images = np.zeros((len(cells), 2, 2), np.uint8)
    np.savez(place / "data.npz", images=images, labels=_array(cells))
    source = open_images(place / "data.npz")
    return source.class_names, source.labels.tolist()


def long_table(ending):
    def read(place, cells):
        table = _frame(cells, task=_ids(cells), worker="f")
        file = read_votes(_save(place / f"votes.{ending}", table))
        return file.class_names, file.votes.hard[:, 0].tolist()

    return read


FINDERS = {
    "folder": folder,
    "manifest csv": manifest("csv"),
    "manifest parquet": manifest("parquet"),
    "npz": labeled_npz,
    "long csv": long_table("csv"),
    "long parquet": long_table("parquet"),
}


@pytest.mark.parametrize("finder", FINDERS)
@pytest.mark.parametrize(
    ("cells", "names", "labels"),
    [
        (["b", "a", "b"], ("a", "b"), [1, 0, 1]),
        (["10", "9", "a"], ("10", "9", "a"), [0, 1, 2]),  # mixed: by letters
        ([1002, 1003, 1001], ("1001", "1002", "1003"), [1, 2, 0]),
        ([900, 1000, 80], ("80", "900", "1000"), [1, 2, 0]),
        (["01", "10", "02"], ("01", "02", "10"), [0, 2, 1]),
        (["café", "tea"], ("café", "tea"), [0, 1]),
        (["A", "a"], ("A", "a"), [0, 1]),
        (["a", "nan"], ("a",), [0, -1]),
        (["a", "-1"], ("a",), [0, -1]),
        ([1003, -1, 1001], ("1001", "1003"), [1, -1, 0]),
    ],
)
def test_every_reader_numbers_names_in_one_order(
    tmp_path, finder, cells, names, labels
):
    assert FINDERS[finder](tmp_path, cells) == (names, labels)


@pytest.mark.parametrize("finder", FINDERS)
def test_numbers_from_0_on_are_their_own_classes(tmp_path, finder):
    cells = [11, 0, 2, 10, *range(12)]
    names, labels = FINDERS[finder](tmp_path, cells)
    assert labels == cells
    assert names in (None, tuple(map(str, range(12))))


@pytest.mark.parametrize("finder", FINDERS)
def test_one_number_written_in_two_ways_is_refused(tmp_path, finder):
    with assert_refused(names=["'01'", "'1'"]):
        FINDERS[finder](tmp_path, ["1", "01"])


@pytest.mark.parametrize(
    "names", [("cat", "cat "), ("1", "1.0"), ("e\u0301", "\u00e9")]
)
def test_folders_that_no_label_could_tell_apart_are_refused(tmp_path, names):
    with assert_refused(DataError, names=list(map(repr, names))):
        folder(tmp_path, names)


def test_spellings_are_one_and_numbers_are_in_order():
    assert in_order(["10", "9", "-3", "2.5"]) == ("-3", "2.5", "9", "10")
    assert [spelling(x) for x in (True, np.int8(3), b" a ", 2.0, "\ufeffa")] == [
        "True", "3", "a", "2", "a",
    ]  # fmt: skip


@pytest.mark.parametrize("value", [1.5, float("inf"), 1e300])
def test_numbers_that_are_no_class_are_refused(value):
    with assert_refused(DataError, names=str(value)):
        read_cells(np.array([value, 1.0]), "labels")


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffimage_id,label\r\n0.png,1\r\n1.png,3\r\n",
        "image_id;label\n0.png;1\n1.png;3\n",
        "image_id\tlabel\n0.png\t1\n1.png\t3\n",
        "label , image_id\n1,0.png\n3,1.png\n",
        ",image_id,label\n0,0.png,1.000000000000000000e+00\n1,1.png,3.0\n",
        "Unnamed: 0,note,path,label\n0,x,0.png,1\n0,y,1.png, 3\n",
    ],
)
def test_tables_as_spreadsheets_write_them(tmp_path, text):
    for name in ("seeds.csv", "votes.csv"):
        (tmp_path / name).write_text(text, newline="")
    given = read_labels(tmp_path / "seeds.csv", ["0.png", "1.png"], ("1", "2", "3"))
    assert given.labels.tolist() == [0, 2]
    if "note" not in text:
        (tmp_path / "votes.csv").write_text(text.replace("label", "f"), newline="")
        found = read_votes(tmp_path / "votes.csv", 3, ("1", "2", "3"))
        assert found.votes.hard.tolist() == [[0], [2]]
        assert (found.votes.names, found.ids) == (("f",), ("0.png", "1.png"))


@pytest.mark.parametrize("path", ["v", "v.npz", "v.csv", "v.parquet", "long.csv"])
@pytest.mark.parametrize(
    "names", [("1", "2", "3"), ("3", "1", "2"), ("0", "1", "2"), ("a", "b", "c")]
)
def test_votes_written_and_read_are_for_the_same_classes(tmp_path, path, names):
    votes = Votes(np.array([[1, -1], [2, 1]]), ("f", "g"), 3)
    kind = "crowd-kit" if path == "long.csv" else None
    write_votes(
        tmp_path / path, votes, ids=["a", "b"], labels=np.array([1, 2]),
        class_names=names, format=kind,
    )  # fmt: skip
    found = read_votes(tmp_path / path, 3, names)
    assert found.class_names == names
    assert found.votes.hard.tolist() == votes.hard.tolist()
    assert found.labels is None or found.labels.tolist() == [1, 2]


def test_a_table_of_ids_alone_has_no_votes(tmp_path):
    (tmp_path / "votes.csv").write_text("image_id,index\na,0\nb,1\n")
    with assert_refused(names=["image_id", "index"]):
        read_votes(tmp_path / "votes.csv")


def test_what_was_decided_is_noted():
    def notes(cells, names):
        return " ".join(
            match(read_cells(cells, "x"), names, "x.csv", lambda row: "").notes
        )

    assert notes(["0", "1"], ("cat", "dog")) == (
        "x.csv has class numbers: 0 is cat, 1 is dog"
    )
    assert notes(["2"], ("01", "02")) == (
        "labels of x.csv are read by their nearest names: '2' as '02'"
    )
    assert notes(["1", "2"], ("1", "2", "3")) == (
        "the numbers in x.csv are names of classes (1, 2), and do not count them from 0"
    )
    assert notes(["1", "3"], ("1", "2", "3")) == ""
    assert notes(["nan", "a"], ("a",)) == "'nan' in x.csv is read as no label"
    assert notes(["cat", " dog "], ("cat", "dog")) == ""


# Votes: numbers that are names, index columns, label.json.


def test_large_numbers_in_a_table_of_votes_are_names(tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=300)
    said = np.where(
        rng.random((300, 6)) < 0.8, truth[:, None], rng.integers(3, size=(300, 6))
    )
    table = pd.DataFrame(
        [(f"t{i}", f"w{j}", 1001 + said[i, j]) for i in range(300) for j in range(6)],
        columns=["task", "worker", "label"],
    )
    table.to_csv(tmp_path / "votes.csv", index=False)
    file = read_votes(tmp_path / "votes.csv")
    assert file.class_names == ("1001", "1002", "1003")
    assert file.votes.n_classes == 3
    assert "1001, 1002, 1003" in " ".join(file.notes)
    labels = aggregate(file.votes, "dawid-skene", None)
    assert labels.proba.shape == (300, 3)
    np.save(tmp_path / "votes.npy", 1001 + said)
    pd.DataFrame(1001 + said).add_prefix("f").to_csv(tmp_path / "wide.csv", index=False)
    sparse.save_npz(tmp_path / "votes.npz", sparse.csr_array(1001 + said))
    for name in ("votes.npy", "wide.csv", "votes.npz"):
        found = read_votes(tmp_path / name)
        assert found.class_names == file.class_names
        assert np.array_equal(found.votes.hard, said)


@pytest.mark.parametrize("k", [None, 3])
def test_as_many_numbers_as_classes_are_names(tmp_path, k):
    np.save(tmp_path / "votes.npy", [[101, 202], [303, -1]])
    file = read_votes(tmp_path / "votes.npy", k)
    assert file.class_names == ("101", "202", "303")
    assert file.votes.hard.tolist() == [[0, 1], [2, -1]]


@pytest.mark.parametrize(
    "column", ["Unnamed: 0", "", "index", "level_0", "__index_level_0__"]
)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_what_a_table_library_calls_its_rows_is_no_function(tmp_path, column, ending):
    path = tmp_path / f"votes.{ending}"
    for rows, ids in (([0, 1, 2], None), ([7, 3, 5], ("7", "3", "5"))):
        table = pd.DataFrame({column: rows, "dark": [0, 1, -1], "round": [1, 1, 0]})
        _save(path, table)
        found = read_votes(path)
        assert found.votes.names == ("dark", "round")
        assert found.ids == ids
        assert repr(column) in " ".join(found.notes)
        assert found.votes.n_classes == 2


def test_the_index_of_a_frame_names_its_images(tmp_path):
    table = pd.DataFrame({"dark": [0, 1]}, index=pd.Index(["b.png", "a.png"]))
    table.to_csv(tmp_path / "votes.csv")
    table.to_parquet(tmp_path / "votes.parquet")
    table.rename_axis("which").to_parquet(tmp_path / "named.parquet")
    for name in ("votes.csv", "votes.parquet", "named.parquet"):
        found = read_votes(tmp_path / name)
        assert (found.ids, found.votes.names) == (("b.png", "a.png"), ("dark",))


@pytest.mark.parametrize(
    ("listing", "names"),
    [
        ({"1": "ant", "2": "bee", "3": "cow"}, ("ant", "bee", "cow")),
        ({"10": "cow", "2": "bee", "1": "ant"}, ("ant", "bee", "cow")),
        ({"1": "1", "2": "2", "3": "3"}, ("1", "2", "3")),
    ],
)
def test_the_numbers_of_label_json_need_not_count_from_0(tmp_path, listing, names):
    keys = sorted(listing, key=int)
    rows = {
        str(row): {"label": int(key), "weak_labels": [int(key), -1]}
        for row, key in enumerate(keys)
    }
    (tmp_path / "train.json").write_text(json.dumps(rows))
    (tmp_path / "label.json").write_text(json.dumps(listing))
    found = read_votes(tmp_path)
    assert found.class_names == names
    assert found.labels.tolist() == [0, 1, 2]
    assert found.votes.hard.tolist() == [[0, -1], [1, -1], [2, -1]]


def test_votes_of_numbered_folders_are_those_of_their_names(tmp_path):
    names = tuple(map(str, range(12)))
    votes = Votes(np.arange(12)[:, None], ("f",), 12)
    for path in ("votes", "votes.npy", "votes.csv", "votes.npz", "long.csv"):
        kind = "crowd-kit" if path == "long.csv" else None
        write_votes(tmp_path / path, votes, class_names=names, format=kind)
        found = read_votes(tmp_path / path, 12, names)
        assert found.votes.hard[:, 0].tolist() == list(range(12))


# Functions' class numbers, and the names of folders.

FUNCTIONS = """
from lfkit import labeling_function
{head}
@labeling_function({classes})
def f(image):
    return int(image[0, 0, 0])
"""


def _reconciled(tmp_path, names, classes, head="", labels=None):
    (tmp_path / "my_lfs.py").write_text(FUNCTIONS.format(head=head, classes=classes))
    loaded = load_lfs([str(tmp_path / "my_lfs.py")])
    n = len(names) if labels is None else len(labels)
    source = ArraySource(
        np.zeros((n, 2, 2), np.uint8),
        labels=range(n) if labels is None else labels,
        class_names=names if labels is None else None,
        name="photos",
    )
    return reconcile(source, loaded.class_names, least_classes(loaded, source))


@pytest.mark.parametrize(
    ("names", "classes", "found", "truth"),
    [
        ("0 1 2", "classes=[0, 1, 2]", "0 1 2", [0, 1, 2]),
        ("1 2 3", "classes=[1, 2, 3]", "0 1 2 3", [1, 2, 3]),  # by name
        ("3 8", "classes=[3, 8]", "0 1 2 3 4 5 6 7 8", [3, 8]),
        ("1001 1002", "classes=[0, 1]", "1001 1002", [0, 1]),  # by position
        ("cat dog", "classes=[0, 1]", "cat dog", [0, 1]),
    ],
)
def test_class_numbers_are_names_or_positions(tmp_path, names, classes, found, truth):
    classes = _reconciled(tmp_path, tuple(names.split()), classes)
    assert classes.names == tuple(found.split())
    assert classes.truth.tolist() == truth
    assert bool(classes.notes) == (names != "0 1 2")


@pytest.mark.parametrize(
    ("names", "classes"), [("1 2 3", "classes=[1, 2]"), ("0 2 1001", "classes=[0, 2]")]
)
def test_class_numbers_that_may_be_either_are_refused(tmp_path, names, classes):
    with assert_refused(DeclarationError, allowed="from 0"):
        _reconciled(tmp_path, tuple(names.split()), classes)


def test_class_numbers_without_names_are_no_sizes(tmp_path):
    with assert_refused(DeclarationError, values="class 1003"):
        _reconciled(tmp_path, (), "classes=[1001, 1003]", labels=[0])


@pytest.mark.parametrize(
    ("names", "labels", "head", "truth"),
    [
        (None, [1, 2, 3, -1], 'CLASSES = ["1", "2", "3"]', [0, 1, 2, -1]),
        (None, [0, 1, 2], 'CLASSES = ["a", "b", "c"]', [0, 1, 2]),
        (("0", "1", "2"), None, 'CLASSES = ["a", "b", "c"]', [0, 1, 2]),
        (("1", "2", "3"), None, 'CLASSES = ["03", "02", "01"]', [2, 1, 0]),
        (("A", "B"), None, 'CLASSES = ["b", "a"]', [1, 0]),
        (("A", "x"), None, 'CLASSES = ["x", "y"]', [-1, 0]),
    ],
)
def test_classes_of_functions_and_data_meet_by_name(
    tmp_path, names, labels, head, truth
):
    found = _reconciled(tmp_path, names, "classes=[0]", head, labels)
    assert found.truth.tolist() == truth


def test_labels_that_count_from_1_are_refused(tmp_path):
    head = 'CLASSES = ["a", "b", "c"]'
    with assert_refused(DeclarationError, values=["from 1 to 3", 0]):
        _reconciled(tmp_path, None, "classes=[0]", head, [1, 2, 3, -1])


@pytest.mark.parametrize("labels", [[1.0, 2.0, 3.0], [1, 2, 3]])
def test_labels_beside_class_names_count_them(tmp_path, labels):
    images = np.zeros((3, 2, 2), np.uint8)
    path = tmp_path / "data.npz"
    np.savez(path, images=images, labels=labels, class_names=["a", "b", "c"])
    with assert_refused(DataError, names="label", values=3):
        open_images(path)
    np.savez(path, images=images, labels=["b", "a", ""], class_names=["b", "a"])
    assert open_images(path).labels.tolist() == [0, 1, -1]
    np.savez(path, images=images, labels=[0, np.nan, 1], class_names=["b", "a"])
    assert open_images(path).labels.tolist() == [0, -1, 1]


@pytest.mark.parametrize("names", [None, ("0", "1", "2")])
def test_data_that_counts_from_0_and_classes_that_do_not_are_refused(tmp_path, names):
    labels = [0, 1, 2] if names is None else None
    head = 'CLASSES = ["1", "2", "3"]'
    with assert_refused(DeclarationError, values="0, 1, 2"):
        _reconciled(tmp_path, names, "classes=[0]", head, labels)


@pytest.mark.parametrize(
    "names", ['["a", "a "]', '["1", "01"]', '["-1", "1"]', '[" "]']
)
def test_classes_that_no_label_could_tell_apart_are_refused(tmp_path, names):
    with assert_refused(DeclarationError, names="CLASSES"):
        _reconciled(tmp_path, ("a",), "classes=[0]", f"CLASSES = {names}")


# From the command line.


@pytest.fixture
def numbered(tmp_path):
    """Images of brightness 0 to 11, in folders of these names."""
    for label in range(12):
        path = tmp_path / "photos" / str(label) / f"{label}.png"
        path.parent.mkdir(parents=True)
        Image.new("L", (4, 4), label).save(path)
    (tmp_path / "my_lfs.py").write_text(
        FUNCTIONS.format(head="", classes=f"classes={list(range(12))}")
    )
    return tmp_path


def test_a_function_that_votes_the_folders_number_is_right(lfkit, numbered):
    run = numbered / "run"
    command = ("apply", numbered / "photos", "--lfs", numbered / "my_lfs.py")
    summary = json.loads(lfkit(*command, "--out", run, "--json").out)
    assert summary["class_names"] == [str(label) for label in range(12)]
    assert summary["accuracy"]["of_all"] == 1.0


def test_rows_without_ids_are_taken_in_an_order_that_is_said(lfkit, numbered):
    flat = numbered / "flat"
    flat.mkdir()
    for label in range(12):
        Image.new("L", (4, 4), label).save(flat / f"{label}.png")
    np.save(numbered / "votes.npy", np.arange(12)[:, None] % 2)
    command = ("apply", flat, "--votes", numbered / "votes.npy", "--json")
    [note] = [
        note
        for note in json.loads(lfkit(*command, "--out", numbered / "run").out)["notes"]
        if "image ids" in note
    ]
    assert "votes.npy has no image ids" in note
    assert "0.png, 1.png, 10.png, 11.png" in note
    assert "10.png comes before 2.png" in note


def test_classes_that_only_the_votes_name_are_said(lfkit, numbered):
    rows = [f"photos/{y}/{y}.png,{y}" for y in (0, 1)]
    (numbered / "list.csv").write_text("path,label\n" + "\n".join(rows))
    votes = [f"photos/{y}/{y}.png,f,{name}" for y, name in ((0, "zero"), (1, "one"))]
    (numbered / "votes.csv").write_text("task,worker,label\n" + "\n".join(votes))
    done = lfkit(
        "apply", numbered / "list.csv", "--votes", numbered / "votes.csv", "--json",
        "--out", numbered / "run",
    )  # fmt: skip
    assert "0 is one, 1 is zero" in " ".join(json.loads(done.out)["notes"])


def test_seeds_that_count_from_0_do_not_fit_folders_that_do_not(lfkit, numbered):
    photos = numbered / "photos"
    for label in (0, *range(4, 12)):
        for path in (photos / str(label)).iterdir():
            path.unlink()
        (photos / str(label)).rmdir()
    text = "image_id,label\n1/1.png,0\n2/2.png,1\n3/3.png,2\n"
    (numbered / "seeds.csv").write_text(text)
    (numbered / "my_lfs.py").write_text(
        FUNCTIONS.format(head='CLASSES = ["1", "2", "3"]', classes="classes=[0, 1, 2]")
    )
    done = lfkit(
        "apply", photos, "--lfs", numbered / "my_lfs.py", "--seed-labels",
        numbered / "seeds.csv", "--out", numbered / "run",
    )  # fmt: skip
    assert done.code == 2
    told = " ".join(done.err.split())
    assert "the label '0'; the classes are 1, 2, 3" in told
    assert "labels are read as names" in told


# Files of arrays that are damaged, locked, or claim what they cannot hold.


def _npy_bytes(array):
    held = io.BytesIO()
    np.save(held, array)
    return held.getvalue()


def _claims(shape, dtype="<i8"):
    """Write a header of an array, and a few bytes of it."""
    held = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_2_0(held, header)
    return held.getvalue() + bytes(64)


def _zipped(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)


def damaged_deflate(path, data):
    _zipped(path, data)
    content = bytearray(path.read_bytes())
    start = 30 + len("images.npy") + 4
    for place in range(start, min(len(content), start + 40)):
        content[place] ^= 0x5A
    path.write_bytes(content)


def encrypted(path, data):
    _zipped(path, data)
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(mark)
        while at >= 0:
            content[at + offset] |= 1
            at = content.find(mark, at + 4)
    path.write_bytes(content)


def unknown_compression(path, data):
    _zipped(path, data)
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = content.find(mark)
        while at >= 0:
            struct.pack_into("<H", content, at + offset, 77)
            at = content.find(mark, at + 4)
    path.write_bytes(content)


def claims_many_rows(path, data):
    _zipped(path, {name: _claims((10**12, 3), "|u1") for name in data})


def claims_empty_text(path, data):
    _zipped(path, {name: _claims((10**12, 3), "<U0") for name in data})


def claims_less_than_nothing(path, data):
    _zipped(path, {name: _claims((-5, -3)) for name in data})


def bomb(path, data):
    """Unpack 10 MB to 3 GB."""
    block = bytes(1 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in list(data)[:1]:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as out:
                out.write(_claims((1 << 11, 1 << 20), "|u1")[:-64])
                for _ in range(1 << 11):
                    out.write(block)


def cut_short(path, data):
    _zipped(path, data)
    path.write_bytes(path.read_bytes()[:-30])


DAMAGES = (
    damaged_deflate, encrypted, unknown_compression, claims_many_rows,
    claims_empty_text, claims_less_than_nothing, cut_short,
)  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["votes", "images"])
def test_a_damaged_archive_is_one_sentence(tmp_path, damage, kind):
    path = tmp_path / "file.npz"
    rng = np.random.default_rng(0)
    array = rng.integers(2, size=(50, 4, 4)).astype(np.uint8)
    array = array[:, 0] if kind == "votes" else array
    damage(path, {kind: _npy_bytes(array)})
    tracemalloc.start()
    with pytest.raises(InputError) as caught:
        read_votes(path) if kind == "votes" else open_images(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert most < 50e6


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["votes", "images"])
def test_a_bomb_is_not_unpacked(tmp_path, kind):
    bomb(tmp_path / "file.npz", [kind])
    with assert_refused(names="file.npz"):
        _ = (read_votes if kind == "votes" else open_images)(tmp_path / "file.npz")


@pytest.mark.parametrize("shape", [(10**12, 3), (-1, 3), (10**12, 0)])
def test_an_npy_that_claims_too_much_is_one_sentence(tmp_path, shape):
    path = tmp_path / "votes.npy"
    path.write_bytes(_claims(shape))
    with pytest.raises(InputError) as caught:
        read_votes(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "arrays",
    [
        {"format": b"csr", "shape": [2, 2], "data": [1]},
        {"format": b"csr", "shape": 2, "data": [1], "indices": [0], "indptr": [0, 1]},
        {"votes": [[5, -3]], "names": ["a"]},
        {"votes": [[0, -3]], "image_ids": ["a", "b"]},
        {"votes": [[-1]], "n_classes": -4},
        {"votes": [[-1]], "n_classes": [1, 2]},
        {"votes": np.zeros((5, 0))},
        {"votes": [["a", "b"]], "class_names": ["a"]},
    ],
)
def test_arrays_that_do_not_belong_together_are_one_sentence(tmp_path, arrays):
    np.savez(tmp_path / "votes.npz", **arrays)
    with assert_refused(names="votes.npz"):
        read_votes(tmp_path / "votes.npz")


def test_a_sparse_matrix_that_claims_too_much_is_one_sentence(tmp_path):
    path = tmp_path / "votes.npz"
    np.savez(
        path, format=b"coo", shape=[10**12, 3], data=[1, 0], row=[0, 1], col=[0, 1]
    )
    with assert_refused(names="votes.npz"):
        read_votes(path)


def test_a_class_that_may_mean_no_label_is_told(tmp_path):
    for name in ("1.png", "2.png"):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / name)
    (tmp_path / "list.csv").write_text("path,label\n1.png,cat\n2.png,NA\n")
    source = open_images(tmp_path / "list.csv")
    assert source.class_names == ("NA", "cat")
    assert any("'NA' in list.csv is read as a class" in note for note in source.notes)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("image_id,label,label", "two columns named 'label'"),
        ("image_id,image_id,label", "two columns named 'image_id'"),
        ("image_id,class,round", "no column label"),
        (f'"{"x" * 200_000}', "cannot be read as a table"),
    ],
)
def test_answers_that_may_mean_two_things_are_refused(tmp_path, header, said):
    (tmp_path / "ask.csv").write_text(f"{header}\na.png,cat,dog\n")
    with assert_refused(DataError, names=["ask.csv", said]):
        read_sheet(tmp_path / "ask.csv")


def test_spaces_around_the_columns_of_answers_do_not_count(tmp_path):
    (tmp_path / "ask.csv").write_text(" image_id , label\na.png,cat\nb.png\n")
    assert read_sheet(tmp_path / "ask.csv") == [("a.png", "cat")]
