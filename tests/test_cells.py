"""No name reaches a spreadsheet as a formula, and every name is read back as it was."""

import csv
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfkit.aggregators.aggregate import aggregate
from lfkit.commands.active.annotations import (
    Answers,
    Questions,
    read_answers,
    read_guesses,
    write_answers,
    write_guesses,
)
from lfkit.data.cells import from_cell, table_from_cells, table_to_cells, to_cell
from lfkit.data.datasets.manifest import open_manifest
from lfkit.data.seed_labels import read_labels
from lfkit.data.vote_files import read_votes, write_votes
from lfkit.data.votes import Votes
from lfkit.generators.samples import Samples
from lfkit.generators.writers import FolderWriter
from lfkit.runs.run_files import save_labels

NAMES = (
    "=1+1",
    "'=1+1",
    "+a",
    "-b",
    "@c",
    "\td",
    "''-b",
    "\uff1d2",
    "plain",
    "'quoted",
)
SIGNS = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
VOTES = Votes(np.arange(10)[:, None].repeat(2, axis=1), ("=f()", "@g"), 10)


@given(st.text(alphabet="'=+-@\t\r\n1e.a", max_size=6))
def test_cells_are_safe_and_come_back(text):
    cell = to_cell(text)
    assert from_cell(cell) == text
    if SIGNS.match(cell):
        float(cell)  # a number is no formula


@pytest.mark.parametrize("encoded", [False, True])
def test_tables_come_back(encoded):
    names = pa.array([*NAMES, None], pa.string())
    names = names.dictionary_encode() if encoded else names
    table = pa.table({"=names": names, "n": pa.array(range(-1, len(NAMES)))})
    found = table_from_cells(table_to_cells(table))
    assert found.to_pydict() == table.to_pydict()
    assert found.schema == table.schema


def guesses(folder):
    path = folder / "guesses.csv"
    write_guesses(path, Questions(NAMES, NAMES[::-1], tuple(np.linspace(0, 1, 10))))
    found = read_guesses(path)
    assert (found.ids, found.guesses) == (NAMES, NAMES[::-1])
    return path


def answers(folder):
    path, rows = folder / "answers.csv", np.arange(10)
    write_answers(path, Answers(rows, rows[::-1], rows), NAMES, NAMES)
    assert read_answers(path, NAMES, NAMES).labels.tolist() == [*range(9, -1, -1)]
    return path


def labels(folder):
    found = aggregate(VOTES, "majority-vote", None)
    _, path = save_labels(folder, NAMES, found, class_names=NAMES)
    given = read_labels(path, NAMES, NAMES)
    assert given.labels.tolist() == [*range(10)]
    return path


def wide(folder):
    path = folder / "votes.csv"
    write_votes(path, VOTES, ids=NAMES)
    found = read_votes(path)
    assert (found.ids, found.votes.names) == (NAMES, VOTES.names)
    return path


def long(folder):
    path = folder / "long.csv"
    write_votes(path, VOTES, ids=NAMES, class_names=NAMES, format="crowd-kit")
    found = read_votes(path, class_names=NAMES)
    assert (found.ids, found.votes.names) == (NAMES, VOTES.names)
    assert (found.votes.hard == VOTES.hard).all()
    return path


def generated(folder):
    images = np.zeros((10, 4, 4, 1), np.uint8)
    with FolderWriter(folder, 10, (4, 4, 1), NAMES) as writer:
        writer.write(Samples(images, np.eye(10, dtype=np.float32), np.ones(10)))
        path = folder / writer.finish()[0]
    return path


@pytest.mark.parametrize("write", [guesses, answers, labels, wide, long, generated])
def test_every_table_is_safe_and_comes_back(write, tmp_path):
    with write(tmp_path).open(newline="") as file:
        rows = [*csv.reader(file)]
    assert len(rows) > 1
    for cell in (cell for row in rows for cell in row if SIGNS.match(cell)):
        float(cell)


def test_lists_of_images_are_read_likewise(tmp_path):
    rows = "".join(f"'=a{i}.png,'+{i % 2}x\n" for i in range(4))
    (tmp_path / "list.csv").write_text("path,label\n" + rows)
    found = open_manifest(tmp_path / "list.csv", None)
    assert found.class_names == ("+0x", "+1x")
