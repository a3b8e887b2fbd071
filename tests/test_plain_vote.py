"""What a label model changes of a plain vote, and what `lfkit aggregate` writes."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from assertions import assert_exit

from lfkit.aggregators import AGGREGATORS, Aggregator
from lfkit.aggregators.aggregate import aggregate, plain_labels
from lfkit.data.votes import Votes, with_known
from lfkit.runs.reading import sealed
from lfkit.runs.run_summary import load_summary

TABLE = """\
image_id,first,second,third
overruled,0,1,1
tied,0,1,-1
alike,1,1,0
silent,-1,-1,-1
muted,-1,0,0
"""
SAID = (
    "75.0 % of labels are not those of a plain vote (every function counts alike, "
    "copies too): 3 of 4; on 1 of them the plain"
)


class FirstFunction(Aggregator):
    """Believes the function whose name comes first, and no other."""

    def __init__(self, class_balance=None, random_state=0):
        self.class_balance, self.random_state = class_balance, random_state

    def _fit(self, patterns, seeds):
        pass

    def _predict_proba(self, votes):
        k = votes.n_classes
        shares = np.vstack([np.eye(k), np.full(k, 1 / k)])  # -1 reads the last
        return shares[votes.hard[:, 0]]


@pytest.fixture
def votes(tmp_path, monkeypatch):
    """A file of votes by three functions on five images."""
    monkeypatch.setitem(AGGREGATORS, "first-function", FirstFunction)
    path = tmp_path / "votes.csv"
    path.write_text(TABLE)
    return path


@pytest.fixture
def run(lfkit, votes, tmp_path):
    """A run of these votes, whose seed is the image `overruled`."""
    np.savez(tmp_path / "data.npz", images=np.zeros((5, 4, 4), np.uint8))
    table = pd.read_csv(votes).drop(columns="image_id")
    table.to_csv(tmp_path / "plain.csv", index=False)
    (tmp_path / "seeds.csv").write_text("image_id,label\n0,0\n")
    done = lfkit(
        "apply", tmp_path / "data.npz", "--votes", tmp_path / "plain.csv",
        "--seed-labels", tmp_path / "seeds.csv", "--with", "first-function",
        "--no-baselines", "--no-sheet", "--out", tmp_path / "run",
    )  # fmt: skip
    assert done.code == 0, done.err
    return tmp_path / "run", " ".join(done.out.replace("│", " ").split())


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_aggregate_says_how_many_labels_are_not_those_of_a_plain_vote(lfkit, votes):
    command = ("aggregate", votes, "--with", "first-function")
    done = lfkit(*command, "--out", votes.parent / "labels")
    assert f"{SAID} vote is tied.\n" in done.out
    done = lfkit(*command, "--out", votes.parent / "labels", "--json")
    found = json.loads(done.out)["plain_vote"]
    assert found == {"covered": 4, "changed": 3, "ties_decided": 1}


@pytest.mark.parametrize("seeds", [[], [0, 3]])
def test_plain_labels_are_those_of_the_majority_vote(seeds):
    hard = np.random.default_rng(0).integers(-1, 3, (40, 4))
    votes = Votes(hard, tuple("abcd"), 3)
    if seeds:
        votes = with_known(votes, np.asarray(seeds), np.asarray([2, 0]))
    for balance in (None, (0.2, 0.3, 0.5)):
        expected = aggregate(votes, "majority-vote", balance).labels
        assert plain_labels(votes, balance).tolist() == expected.tolist()


def test_a_plain_vote_is_not_compared_with_itself(lfkit, votes):
    command = ("aggregate", votes, "--with", "majority-vote", "--out", votes.parent)
    assert "plain vote" not in lfkit(*command).out
    found = json.loads(lfkit(*command, "--json").out)["plain_vote"]
    assert found == {"covered": 4, "changed": 0, "ties_decided": 0}


def test_apply_says_what_of_other_images_than_seeds_is_changed(lfkit, run):
    folder, shown = run
    said = "copies too): 2 of 3; on 1 of them"
    assert f"{said} the plain vote is tied." in shown
    found = json.loads((folder / "summary.json").read_text())["plain_vote"]
    assert found == {"covered": 3, "changed": 2, "ties_decided": 1}
    assert json.loads(lfkit("analyze", folder, "--json").out)["plain_vote"] == found
    assert lfkit("report", folder).code == 0
    page = " ".join((folder / "report.html").read_text().split())
    assert f"{said} the plain vote is tied." in page


def test_a_summary_of_an_earlier_version_is_read(lfkit, run):
    folder, _ = run
    summary = load_summary(folder).to_dict()
    del summary["plain_vote"]
    (folder / "summary.json").write_bytes(sealed(summary))
    assert json.loads(lfkit("analyze", folder, "--json").out)["plain_vote"] is None
    assert lfkit("report", folder).code == 0


@pytest.mark.parametrize("name", ["new.parquet", "new.csv", "new.CSV", "a/new.csv"])
def test_labels_are_written_to_one_file(lfkit, run, name):
    folder, _ = run
    out = folder.parent / name
    command = ("aggregate", folder, "--with", "majority-vote", "--out", out, "--json")
    before = times(folder)
    assert json.loads(lfkit(*command).out)["files"] == [str(out)]
    of_run = pq.read_table(folder / "labels.parquet")
    if name.endswith("parquet"):
        assert pq.read_table(out).schema == of_run.schema
    else:
        assert pd.read_csv(out).columns.tolist() == of_run.column_names
        assert pd.read_csv(out)["label"].tolist()[2:3] == [1]
    assert [path.name for path in out.parent.glob("*new*")] == [out.name]
    assert times(folder) == before
    written = out.read_bytes()
    out.write_text("of an earlier call")
    assert lfkit(*command).code == 0
    assert out.read_bytes() == written


def test_cells_of_the_file_are_no_formulas(lfkit, votes):
    votes.write_text(TABLE.replace("alike", "=1+1"))
    out = votes.parent / "labels.csv"
    lfkit("aggregate", votes, "--with", "majority-vote", "--out", out)
    assert """"'=1+1","1",""" in out.read_text()


@pytest.mark.parametrize("name", ["labels", "out-0.5", "there.csv"])
def test_other_names_and_folders_that_are_there_are_folders(lfkit, votes, name):
    out = votes.parent / name
    if name == "there.csv":
        out.mkdir()
    done = lfkit("aggregate", votes, "--with", "majority-vote", "--out", out, "--json")
    files = [out / "labels.parquet", out / "labels.csv"]
    assert json.loads(done.out)["files"] == [*map(str, files)]
    assert sorted(out.iterdir()) == sorted(files)


@pytest.mark.parametrize("ending", [".npz", ".json", ".tsv"])
def test_other_endings_are_refused_before_the_work(lfkit, votes, ending):
    out = votes.parent / f"labels{ending}"
    done = lfkit("aggregate", votes, "--with", "no-such", "--out", out)
    assert_exit(done, 2)
    said = " ".join(done.err.split())
    assert f"labels are not written as {ending}; end {out} in .parquet or .csv" in said
    assert not out.exists()


def test_the_votes_are_not_overwritten(lfkit, votes):
    done = lfkit("aggregate", votes, "--with", "majority-vote", "--out", votes)
    assert_exit(done, 2)
    assert "holds the votes; give --out another name" in " ".join(done.err.split())
    assert votes.read_text() == TABLE
