"""Whoever has learned from a label never judges with it, and labels carry evidence."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from lfkit.aggregators import AGGREGATORS, Auto, MajorityVote, SeedWeightedVote
from lfkit.aggregators.aggregate import aggregate
from lfkit.cli.app import app
from lfkit.data.labels import HeldOut
from lfkit.data.votes import Votes, with_known
from lfkit.generators import GENERATORS
from lfkit.metrics.labels.label_model_scores import OF_THE_RUN, score_label_models
from lfkit.runs.run import load_run

every_aggregator = pytest.mark.parametrize("name", AGGREGATORS)
NAMES = tuple(f"f{j}" for j in range(6))


def people(n, accuracies, k, seed=0, first=0, speaks=1.0):
    """Hard votes of independent functions for classes first .. k - 1, and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(first, k, n)
    moved = truth[:, None] - first + rng.integers(1, k - first, (n, len(accuracies)))
    other = first + moved % (k - first)
    hard = np.where(rng.random(other.shape) < accuracies, truth[:, None], other)
    hard[rng.random(hard.shape) > speaks] = -1
    return hard, truth


def memorising(n=200, n_seeds=60, k=3):
    """Four fair functions, and one that has learned the seeds by heart."""
    hard, truth = people(n, [0.8, 0.7, 0.7, 0.7, 1 / k], k)
    rows = np.arange(n_seeds)
    fold = Votes(hard[rows], NAMES[:5], k)
    by_heart = hard.copy()
    by_heart[rows, 4] = truth[rows]
    votes = Votes(
        by_heart,
        NAMES[:5],
        k,
        seed_rows=rows,
        seed_labels=truth[rows],
        seed_out_of_fold=fold,
    )
    return votes, truth


# Functions that have seen the seeds


@every_aggregator
def test_votes_of_functions_on_seeds_they_learned_teach_nothing(name):
    votes, _ = memorising()
    honest = replace(votes, hard=votes.hard.copy())
    honest.hard[votes.seed_rows] = votes.seed_out_of_fold.hard
    others = votes.rows(np.arange(60, 200))
    fooled, fair = (AGGREGATORS[name]().fit(each) for each in (votes, honest))
    np.testing.assert_array_equal(
        fooled.predict_proba(others), fair.predict_proba(others)
    )
    np.testing.assert_array_equal(
        fooled.out_of_fold_proba(votes), fair.out_of_fold_proba(votes)
    )
    streamed = AGGREGATORS[name]().partial_fit(votes)
    np.testing.assert_array_equal(
        streamed.predict_proba(others), fair.predict_proba(others)
    )


@every_aggregator
def test_without_votes_out_of_fold_seeds_are_left_out(name):
    votes, _ = memorising()
    votes = replace(votes, seed_out_of_fold=None)
    others = votes.rows(np.arange(60, 200))
    np.testing.assert_allclose(
        AGGREGATORS[name]().fit(votes).predict_proba(others),
        AGGREGATORS[name]().fit(others).predict_proba(others),
        atol=1e-6,
    )


@pytest.mark.parametrize("name", ["auto", "seed-weighted"])
def test_a_seed_is_judged_without_its_own_label(name):
    """Labels drawn by lot: whoever sees them finds them likelier than chance."""
    rng = np.random.default_rng(0)
    n, m = 100, 30
    fold = Votes(rng.integers(0, 2, (n, m)), tuple(f"f{j:02}" for j in range(m)), 2)
    right = []
    for draw in range(2):
        labels = np.random.default_rng([draw, 1]).integers(0, 2, n)
        votes = with_known(fold, np.arange(n), labels)
        right.append(aggregate(votes, name).held_out.accuracy)
    assert np.mean(right) < 0.6


def test_the_choice_of_a_model_is_judged_without_the_seed_too():
    """Each seed is labeled by what the other seeds choose."""
    hard, truth = people(400, [0.9, 0.55, 0.52, 0.5, 0.5, 0.5], 2)
    votes = with_known(Votes(hard, NAMES, 2), np.arange(60), truth[:60])
    turned = truth[:60].copy()
    before = Auto().fit(votes).out_of_fold_proba(votes)
    turned[0] = 1 - turned[0]
    flipped = with_known(Votes(hard, NAMES, 2), np.arange(60), turned)
    after = Auto().fit(flipped).out_of_fold_proba(flipped)
    # Folds are dealt class by class: they change, the seed's own posterior hardly.
    assert np.abs(before[0] - after[0]).max() < 0.2


def test_auto_wants_more_right_seeds_not_only_likelier_ones():
    hard, truth = people(600, [0.7] * 5, 2, seed=5)
    votes = with_known(Votes(hard, NAMES[:5], 2), np.arange(200), truth[:200])
    assert Auto().fit(votes).chosen_ != "seed-weighted"


def test_trust_begins_and_learns_without_the_seeds_that_judge_it():
    from lfkit.generators.gan.config import GanConfig
    from lfkit.generators.training_set import checked_task

    votes, truth = memorising(n=120)
    images = np.random.default_rng(0).integers(0, 255, (120, 8, 8, 1)).astype(np.uint8)
    proba = MajorityVote().fit_predict_proba(votes)
    found = []
    for shift in (0, 1):  # other labels, and votes that have learned them
        hard, known = votes.hard.copy(), proba.copy()
        labels = (truth[:60] + shift) % 3
        hard[:60, 4], known[:60] = labels, np.eye(3)[labels]
        seeded = replace(votes, hard=hard, seed_labels=labels)
        task = checked_task(images, seeded, known, (), None, None)
        adp = GENERATORS["adp"](GanConfig(width=8, batch=8))
        found.append(adp._begin(task).lf_weights)
    assert found[0].theta_start.equal(found[1].theta_start)
    assert found[0].phi_start.equal(found[1].phi_start)


# Seeds and votes made elsewhere


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A run of votes made elsewhere: one good column, five poor ones, 60 seeds."""
    folder = tmp_path_factory.mktemp("foreign")
    hard, truth = people(400, [0.95, 0.45, 0.45, 0.45, 0.45, 0.45], 3)
    rng = np.random.default_rng(0)
    np.savez(
        folder / "data.npz",
        images=rng.integers(0, 255, (400, 8, 8), np.uint8),
        labels=truth,
        class_names=np.asarray(["a", "b", "c"]),
    )
    np.save(folder / "votes.npy", hard)
    return folder, hard, truth


def apply(folder, out, *options):
    line = ["apply", str(folder / "data.npz"), "--votes", str(folder / "votes.npy")]
    line += ["--no-sheet", "--no-baselines", "--json", "--out", str(folder / out)]
    found = CliRunner().invoke(app, [*line, *map(str, options)])
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


def test_seeds_teach_how_far_votes_made_elsewhere_are_right(foreign):
    folder, _, truth = foreign
    seeds = ("--seeds-per-class", 20)
    found = apply(folder, "weighted", *seeds, "--with", "seed-weighted")
    plain = found["majority_vote_accuracy"]["of_all"]
    assert found["accuracy"]["of_all"] > plain + 0.1
    assert any(
        "taken as unseen by the makers of votes.npy" in n for n in found["notes"]
    )
    assert found["seed_accuracy"] > 0.8
    # The run is read back with the same evidence, and the default finds it, too.
    votes = load_run(folder / "weighted").votes
    np.testing.assert_array_equal(
        votes.seed_out_of_fold.hard, votes.hard[votes.seed_rows]
    )
    made = aggregate(votes, "auto")
    assert made.chosen in ("seed-weighted", "whole-tables", "one-coin", "biased-coin")
    assert (made.labels == truth).mean() > plain + 0.1


def test_without_seeds_nothing_is_said_of_seeds(foreign):
    folder, _, _ = foreign
    found = apply(folder, "unseeded")
    assert not any("seeds" in note for note in found["notes"])


def test_weights_that_no_seed_taught_say_so():
    hard, truth = people(100, [0.9, 0.6, 0.6], 2)
    votes = Votes(hard, NAMES[:3], 2, seed_rows=np.arange(9), seed_labels=truth[:9])
    assert "no seed has votes by functions" in aggregate(votes, "seed-weighted").reason


@pytest.mark.parametrize("name", ["auto", "seed-weighted"])
def test_more_honest_seeds_never_make_labels_worse(name):
    found = []
    for n_seeds in (0, 15, 150):
        accuracies = []
        for seed in range(2):
            shares = [0.9, 0.8, 0.6, 0.5, 0.45]
            hard, truth = people(500, shares, 3, seed=seed)
            votes = Votes(hard, NAMES[:5], 3)
            if n_seeds:
                votes = with_known(votes, np.arange(n_seeds), truth[:n_seeds])
            labels = aggregate(votes, name).labels[150:]
            accuracies.append((labels == truth[150:]).mean())
        found.append(np.mean(accuracies))
    noise = 0.03
    assert (np.diff(np.maximum.accumulate(found)) >= 0).all()
    assert (np.asarray(found) >= np.maximum.accumulate(found) - noise).all()


# The seed of every random choice


class Spy(Exception):
    """Ends a command once an aggregator was made."""


@every_aggregator
@pytest.mark.parametrize("way", ["apply", "aggregate", "aggregate --seed", "scores"])
def test_seed_reaches_every_aggregator(name, way, foreign, monkeypatch):
    folder, _, _ = foreign
    if not (folder / "seven").exists():
        apply(folder, "seven", "--seeds-per-class", 20, "--seed", 7)
    made = []
    cls = AGGREGATORS[name]
    monkeypatch.setattr(
        cls,
        "_fit_patterns",
        lambda self, *_: (made.append(self.random_state), (_ for _ in ()).throw(Spy)),
    )
    # Labels that are kept would be read: nothing would be fitted.
    shutil.rmtree(folder / "seven" / "fitted" / "labels", ignore_errors=True)
    run = str(folder / "seven")
    lines = {
        "apply": [
            *("apply", str(folder / "data.npz"), "--with", name, "--seed", "7"),
            *("--votes", str(folder / "votes.npy"), "--seeds-per-class", "20"),
            *("--no-baselines", "--no-sheet", "--out", str(folder / "again")),
        ],
        "aggregate": ["aggregate", run, "--with", name],
        "aggregate --seed": ["aggregate", run, "--with", name, "--seed", "5"],
    }
    if way == "scores":
        monkeypatch.setattr(
            "lfkit.metrics.labels.label_model_scores.AGGREGATORS", {name: cls}
        )
        with pytest.raises(Spy):
            score_label_models(load_run(folder / "seven"))
    else:
        assert isinstance(CliRunner().invoke(app, lines[way]).exception, Spy)
    assert made == [5 if way == "aggregate --seed" else 7]


# Classes that nothing names


def unnamed_votes(kind):
    """Votes for the classes 1, 2 and 4 of five, and the truth."""
    hard, truth = people(200, [0.8] * 4, 4, first=1, speaks=0.8)
    hard, truth = (np.where(each == 3, 4, each) for each in (hard, truth))
    soft = allowed = None
    if kind == "soft":
        soft = np.where(hard[:, :, None] >= 0, 0.7 * np.eye(5)[hard], 0)
        soft[:, :, [1, 2, 4]] += 0.1 * (hard[:, :, None] >= 0)
    if kind == "sets":
        allowed = np.zeros((*hard.shape, 5), bool)
        allowed[:, 3, [1, 2]] = True
        hard[:, 3] = -1
    return Votes(
        hard,
        NAMES[:4],
        5,
        soft=None if soft is None else soft.astype(np.float16),
        allowed=allowed,
    ), truth


@every_aggregator
@pytest.mark.parametrize("kind", ["hard", "soft", "sets"])
def test_a_class_that_nothing_names_has_no_probability(name, kind):
    votes, truth = unnamed_votes(kind)
    model = AGGREGATORS[name]().fit(votes)
    proba = model.predict_proba(votes)
    assert (proba[:, [0, 3]] == 0).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert model.classes_.tolist() == [1, 2, 4]
    assert model.class_prior_[[0, 3]].tolist() == [0, 0]
    # The same as if the classes were not there.
    known = votes.of_classes(np.array([1, 2, 4]))
    np.testing.assert_allclose(
        proba[:, [1, 2, 4]], AGGREGATORS[name]().fit_predict_proba(known), atol=1e-5
    )
    for policy in ("abstain", "random", "first"):
        assert not np.isin(model.predict(votes, policy), [0, 3]).any()
    # Calibrated by seeds, one of them of a class that no function names.
    labels = truth[:60].copy()
    labels[0] = 3
    made = aggregate(with_known(votes, np.arange(60), labels), name)
    assert (made.proba[60:, [0, 3]] == 0).all()
    assert not np.isin(made.labels[60:], [0, 3]).any()
    np.testing.assert_allclose(made.proba.sum(axis=1), 1)


@every_aggregator
def test_shares_given_for_a_class_that_nothing_names_count(name):
    votes, _ = unnamed_votes("hard")
    model = AGGREGATORS[name](class_balance=[0.2, 0.2, 0.2, 0, 0.4]).fit(votes)
    nothing = votes.rows(slice(0, 1))
    nothing.hard[:] = -1
    assert (model.predict_proba(votes)[:, 3] == 0).all()
    if name in ("majority-vote", "seed-weighted"):
        assert model.predict_proba(nothing)[0, 0] == pytest.approx(0.2)


@every_aggregator
def test_class_first_named_after_the_fit_is_labeled_by_a_plain_vote(name):
    votes, _ = unnamed_votes("hard")
    model = AGGREGATORS[name]().fit(votes)
    new = Votes(np.array([[3, 3, 1, -1], [1, 1, 1, 1]]), NAMES[:4], 5)
    assert model.predict(new).tolist() == [3, 1]
    np.testing.assert_allclose(model.predict_proba(new)[0], [0, 1 / 3, 0, 2 / 3, 0])


# What labels carry


def test_new_labels_do_not_keep_old_evidence():
    hard, truth = people(200, [0.9, 0.8, 0.7], 2)
    labels = aggregate(
        with_known(Votes(hard, NAMES[:3], 2), np.arange(60), truth[:60]), "auto"
    )
    assert labels.is_calibrated
    assert labels.held_out.of == "votes"
    np.testing.assert_array_equal(labels.held_out.rows, np.arange(60))
    np.testing.assert_array_equal(labels.held_out.labels, truth[:60])
    other = labels.relabeled(truth, np.eye(2)[truth], held_out=None)
    assert not other.is_calibrated
    assert other.on_seeds is None
    judged = HeldOut(
        np.arange(2), np.array([0, 1]), np.eye(2), np.array([0, -1]), "lda"
    )
    assert labels.relabeled(truth, np.eye(2)[truth], judged).held_out.accuracy == 0.5
    assert not labels.relabeled(truth, np.eye(2)[truth], judged).is_calibrated


@every_aggregator
def test_confidence_is_the_share_of_right_labels(name):
    """Calibrated on 900 seeds: labels with 90 % are right nine times in ten."""
    hard, truth = people(4000, [0.85, 0.7, 0.65, 0.6, 0.6], 3, seed=1)
    votes = with_known(Votes(hard, NAMES[:5], 3), np.arange(900), truth[:900])
    made = aggregate(votes, name)
    rest = slice(900, None)
    right = made.proba[rest].argmax(axis=1) == truth[rest]
    sure = made.proba[rest].max(axis=1)
    assert abs(sure.mean() - right.mean()) < 0.03
    near = np.abs(sure - 0.9) < 0.05
    if near.sum() > 200:
        assert abs(sure[near].mean() - right[near].mean()) < 0.05


def test_label_models_are_compared_calibrated_as_the_run_is(foreign):
    folder, _, _ = foreign
    apply(folder, "compared", "--seeds-per-class", 20, "--with", "dawid-skene")
    run = load_run(folder / "compared")
    rows = {row.name: row for row in score_label_models(run)}
    own, same = rows[OF_THE_RUN], rows["dawid-skene"]
    for key in ("accuracy", "ece", "brier", "nll"):
        assert getattr(own, key) == pytest.approx(getattr(same, key), abs=1e-4)
    # The majority vote's confidence is calibrated like the others'.
    plain = aggregate(run.votes, "majority-vote", random_state=run.config.options.seed)
    rest = run.scored >= 0
    assert rows["majority-vote"].nll == pytest.approx(
        float(-np.log(plain.proba[rest, run.scored[rest]]).mean()), abs=1e-6
    )


def test_weights_are_chosen_by_seeds_that_taught_neither_doubts_nor_weights():
    """Functions that guess: nothing is learned of them but chance."""
    rng = np.random.default_rng(0)
    votes = Votes(
        rng.integers(0, 4, (60, 200)), tuple(f"f{j:03}" for j in range(200)), 4
    )
    known = with_known(votes, np.arange(60), rng.integers(0, 4, 60))
    sure = SeedWeightedVote().fit(known).predict_proba(known).max(axis=1)
    assert sure.mean() < 0.6
