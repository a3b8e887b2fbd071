"""The label models' benchmark: fair scores, paired leads, every part of its tables."""

import time

import numpy as np
import pytest

from benchmarks import label_model_peers, label_models
from benchmarks.common import one_thread
from benchmarks.label_models import Result, main, share_right
from benchmarks.vote_sets import Cell, VoteSet, draw, grid, stored_sets
from lfkit.data.vote_files import write_votes
from lfkit.data.votes import Votes

MODELS = "dawid-skene,Snorkel LabelModel,crowd-kit DawidSkene"


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield


def rows(text, title):
    """Read the table that follows a heading."""
    _, _, after = text.partition(title)
    lines = after.split("\n\n")[1].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return cells[0], cells[2:]


def test_a_small_grid_has_every_table(capsys):
    some = ["--cells", "k=2,balanced,multi-class", "--models", MODELS]
    main(["--part", "grid", "--n", "200", "--repeats", "2", *some])
    text = capsys.readouterr().out
    titles, leaders = rows(text, "### Accuracy on votes drawn")
    assert titles[:3] == ["cell", "auto", "its lead over majority-vote"]
    assert [line[0] for line in leaders] == [
        f"k=2 balanced multi-class {related} n=200"
        for related in ("independent", "copies")
    ]
    names, accuracies = rows(text, "### All models on votes drawn: accuracy")
    assert {"auto", "majority-vote", "dawid-skene"} <= {*names}
    at = names.index("majority-vote")
    assert all(60 < float(line[at]) < 100 for line in accuracies)
    for line, scores in zip(leaders, accuracies, strict=True):
        gap = float(scores[names.index("auto")]) - float(scores[at])
        assert float(line[2].split()[0]) == pytest.approx(gap, abs=0.11)
    _, seconds = rows(text, "### All models on votes drawn: seconds")
    assert all(float(line[at]) > 0 for line in seconds)
    assert "Where auto is more than 0.5 points below the best" in text


def test_part_of_a_grid_draws_the_same_votes():
    cells = grid([200, 50])
    assert len(cells) == 48
    some = draw(cells[5], 1)
    assert np.array_equal(some.votes.hard, draw(Cell(*vars(cells[5]).values()), 1)
                          .votes.hard)  # fmt: skip
    assert not np.array_equal(some.votes.hard, draw(cells[5], 2).votes.hard)


def test_cells_are_what_they_are_called():
    for cell in grid([4000]):
        found = draw(cell, 0)
        hard = found.votes.hard
        share = (found.truth == 0).mean()
        wanted = 0.9 if cell.balance == "90/10" else 1 / cell.k
        assert share == pytest.approx(wanted, abs=0.03)
        named = [len(np.unique(column[column >= 0])) for column in hard.T]
        assert (max(named) == 1) == (cell.kind == "unipolar")
        alike = (hard[:, 0] == hard[:, -1]).mean()
        assert (alike > 0.9) == (cell.related == "copies")


def test_tied_classes_count_by_their_share_and_silence_does_not_count():
    votes = Votes(np.array([[0, 1], [1, 1], [-1, -1], [0, 0]]), ("a", "b"), 2)
    proba = np.array([[0.5, 0.5], [0.1, 0.9], [1, 0], [0.8, 0.2]])
    found = VoteSet(votes, np.array([0, 1, 0, -1]))
    assert share_right(proba, found) == pytest.approx(0.75)


def test_leads_are_paired_over_the_repeats_that_both_did():
    result = Result([], [], 1)
    result.accuracy["auto"] = [0.8, 0.6, 0.9]
    result.accuracy["x"] = [0.7, 0.5, np.nan]
    assert result.lead("auto", "x") == pytest.approx((10, 0), abs=1e-9)
    assert result.mean("x") == pytest.approx(60)
    assert result.best(["x", "auto"]) == "auto"


def test_losses_are_named():
    result = Result([], [], 1)
    result.accuracy |= {
        "auto": [0.6, 0.62], "majority-vote": [0.7, 0.72], "crowd-kit GLAD": [0.8, 0.82]
    }  # fmt: skip
    text = label_models._losses({"some cell": result})
    assert "some cell: -20.00 ± 0.00 points to crowd-kit GLAD" in text
    assert "some cell: below majority-vote, -10.00 ± 0.00" in text
    result.accuracy["auto"] = [0.798, 0.818]
    assert "- nowhere" in label_models._losses({"some cell": result})


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if "MACE" in name else ())
        for name in label_model_peers.peers()
    ],
)
def test_peers_label_easy_votes(name):
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=60)
    matrix = np.where(rng.random((60, 6)) < 0.9, truth[:, None], -1)
    matrix[3] = -1  # nobody votes: crowd-kit's table does not have it
    votes = Votes(matrix, tuple("abcdef"), 3)
    outcome = label_model_peers.fit(name, votes, 60)
    assert outcome.proba.shape == (60, 3), outcome.reason
    assert share_right(outcome.proba, VoteSet(votes, truth)) > 0.9


def test_a_slow_model_is_stopped_and_says_so(monkeypatch):
    def endless(votes):
        def work():
            while True:
                time.sleep(0)

        return work

    monkeypatch.setattr(label_model_peers, "peers", lambda: {"slow": endless})
    votes = Votes(np.array([[0]]), ("a",), 2)
    outcome = label_model_peers.fit("slow", votes, 0.05)
    assert (outcome.proba, outcome.reason) == (None, "the time of the cell is over")
    assert label_model_peers.fit("slow", votes, 0).proba is None


def test_a_failing_model_says_why(monkeypatch):
    def failing(votes):
        def work():
            raise KeyError("no such worker")

        return work

    monkeypatch.setattr(label_model_peers, "peers", lambda: {"broken": failing})
    monkeypatch.setattr(label_models, "peers", lambda: {"broken": failing})
    votes = Votes(np.array([[0]]), ("a",), 2)
    result = Result([VoteSet(votes, np.array([0]))], ["broken"], 1)
    assert result.reasons == {"broken": "KeyError: 'no such worker' (0 repeats done bef"
                              "ore)"}  # fmt: skip
    assert np.isnan(result.mean("broken"))


def test_stored_votes_are_compared_with_and_without_what_others_cannot_read(
    capsys, tmp_path
):
    for seed in range(2):
        found = draw(Cell(3, "balanced", "multi-class", "independent", 300), seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        write_votes(folder / "some.npz", found.votes, labels=found.truth)
    paths = [str(tmp_path / str(seed) / "some.npz") for seed in range(2)]
    main(["--votes", paths[0], "--votes", paths[1], "--n", "200", "--models", "auto"])
    text = capsys.readouterr().out
    assert rows(text, "no seeds, in points")[1][0][0] == "some n=200"
    names, _ = rows(text, "there are some: accuracy")
    assert names == ["cell", "auto", "majority-vote"]


def test_votes_without_labels_cannot_be_scored(tmp_path):
    np.save(tmp_path / "votes.npy", np.array([[0, 1]]))
    with pytest.raises(SystemExit, match=r"votes.npy has no labels to score by\."):
        stored_sets([tmp_path / "votes.npy"], None)
