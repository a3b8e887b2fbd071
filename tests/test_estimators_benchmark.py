"""The benchmark of estimators: each recovers accuracies, and what is known stays."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import estimators
from benchmarks.log_linear import ESTIMATORS
from lfkit.data.votes import ABSTAIN, Votes

ACCURACIES = np.array([0.9, 0.85, 0.75, 0.7, 0.65, 0.6, 0.8, 0.55])
N, K = 800, 3


@pytest.fixture(scope="module")
def drawn():
    """Votes that are right independently of each other, and the classes."""
    rng = np.random.default_rng(0)
    truth = rng.integers(K, size=N)
    shape = (N, len(ACCURACIES))
    wrong = (truth[:, None] + rng.integers(1, K, size=shape)) % K
    votes = np.where(rng.random(shape) < ACCURACIES, truth[:, None], wrong)
    votes = np.where(rng.random(shape) < 0.8, votes, ABSTAIN)
    names = tuple(f"f{j}" for j in range(len(ACCURACIES)))
    return Votes(votes, names, K), truth


@pytest.mark.parametrize("name", [*ESTIMATORS, "dawid-skene", "label-model"])
def test_accuracies_are_recovered(name, drawn):
    votes, truth = drawn
    # A chain is still later, and near the truth by now.
    found = estimators.measured(name, votes, 0, limit=60, most_passes=8)
    assert np.abs(found["accuracy"] - ACCURACIES).max() < 0.1
    assert np.abs(found["accuracy"] - ACCURACIES).mean() < 0.04
    plain = estimators.measured("plain vote", votes, 0, limit=60, most_passes=8)
    by_votes = estimators.right(plain["proba"], truth)
    assert estimators.right(found["proba"], truth) > by_votes


def test_an_estimate_stops_where_half_the_passes_gave_the_same(drawn):
    found = estimators.measured(
        "exact likelihood, EM", drawn[0], 0, limit=60, most_passes=512
    )
    assert found["converged"]
    assert found["passes"] < 64
    shorter = estimators.measured(
        "exact likelihood, EM", drawn[0], 0, limit=60, most_passes=found["passes"] // 2
    )
    assert not shorter["converged"]


def test_an_estimate_cut_short_has_not_converged(drawn):
    found = estimators.measured("Gibbs", drawn[0], 0, limit=0, most_passes=64)
    assert (found["passes"], found["converged"]) == (1, False)


def test_ties_count_in_part_and_images_of_unknown_class_not_at_all():
    proba = np.array([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]])
    assert estimators.right(proba, np.array([0, 0, -1])) == 0.75


def test_rows_are_measured_once(drawn, tmp_path, capsys, monkeypatch):
    votes, truth = drawn
    run = SimpleNamespace(votes=votes, scored=truth)
    monkeypatch.setattr(estimators, "load_run", lambda folder: run)
    asked = ["run", "--out", str(tmp_path), "--counts", "4", "6", "99", "--seeds", "0"]
    asked += ["--rows", "plain vote;exact likelihood, EM", "--images", "500"]
    estimators.main(asked)
    kept, table = (tmp_path / "rows.json").read_bytes(), capsys.readouterr().out
    lines = [line.split("|")[1:4] for line in table.splitlines()[4:10]]
    assert [[cell.strip() for cell in line] for line in lines] == [
        [name, n, "500"]
        for n in "468"
        for name in ("plain vote", "exact likelihood, EM")
    ]
    monkeypatch.setattr(estimators, "warm_up", lambda names: None)
    monkeypatch.setattr(estimators, "measured", None)
    estimators.main(asked)
    assert (tmp_path / "rows.json").read_bytes() == kept
    assert capsys.readouterr().out == table


def test_an_unknown_estimator_is_named(capsys):
    with pytest.raises(SystemExit):
        estimators.main(["run", "--rows", "plain vote;MCMC"])
    assert "there is no estimator 'MCMC'" in capsys.readouterr().err
