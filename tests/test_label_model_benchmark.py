"""The label models' benchmark: fair scores, paired leads, every part of its tables."""

import numpy as np
import pytest

from benchmarks import label_model_peers, label_models
from benchmarks.common import one_thread
from benchmarks.label_models import Result
from benchmarks.vote_scores import score
from benchmarks.vote_sets import Cell, VoteSet, draw, grid
from lfkit.data.votes import Votes


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield


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


def test_leads_are_paired_over_the_repeats_that_both_did():
    result = Result([], [], 1)
    result.accuracy["auto"] = [0.8, 0.6, 0.9]
    result.accuracy["x"] = [0.7, 0.5, np.nan]
    assert result.lead("auto", "x") == pytest.approx((10, 0), abs=1e-9)
    assert result.mean("x") == pytest.approx(60)
    assert result.best(["x", "auto"]) == "auto"


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
    assert score(outcome.proba, VoteSet(votes, truth)).accuracy > 0.9


def test_a_slow_model_is_stopped_and_says_so(monkeypatch):
    def endless(votes):
        def work():
            while True:
                pass

        return work

    monkeypatch.setattr(label_model_peers, "peers", lambda: {"slow": endless})
    votes = Votes(np.array([[0]]), ("a",), 2)
    outcome = label_model_peers.fit("slow", votes, 0.05)
    assert (outcome.proba, outcome.reason) == (None, "out of time")
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
