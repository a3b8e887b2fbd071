"""Plain classifiers trained on the seeds alone."""

import shutil

import numpy as np
import pytest
import torch

from lfkit import LFApplier, NearestMean, feature, labeling_function
from lfkit.classifiers.baselines import (
    Baseline,
    best_baseline,
    find_baselines,
    score_baselines,
)
from lfkit.classifiers.baselines.baseline_labels import _chosen
from lfkit.data.datasets import ArraySource
from lfkit.data.labels import given_images, score
from lfkit.data.votes import Votes
from lfkit.errors import InputError
from lfkit.runs.store import RunStore, block_size


def toy_images(n, seed):
    """Class 0 is bright on the left, class 1 on the right."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    images = rng.integers(0, 120, (n, 4, 4, 1), dtype=np.uint8)
    images[labels == 0, :, :2] += 100
    images[labels == 1, :, 2:] += 100
    features = images.mean(axis=(1, 3)).astype(np.float32)  # (n, 4) column means
    return images, features, labels


LDA, LOGISTIC = "shrinkage LDA on {}", "logistic regression on {}"
OF_BOTH = [name.format(x) for x in ("features", "pixels") for name in (LDA, LOGISTIC)]


def inputs_of(images, features, **more):
    return {"features": features, **more, "pixels": images}


def test_baselines_score_seeds_and_a_stream_of_batches():
    images, features, labels = toy_images(40, 0)
    tests = [toy_images(50, seed) for seed in (1, 2)]
    tests[1][2][:10] = -1
    batches = ((inputs_of(*both), truth) for *both, truth in tests)
    baselines = score_baselines(
        inputs_of(images, features), labels, 2, batches, blocks=[2, 2]
    )
    assert [baseline.name for baseline in baselines] == OF_BOTH
    for baseline in baselines:
        assert baseline.n_scored == 90
        assert baseline.accuracy > 0.9
        assert baseline.seed_cv_accuracy > 0.9


def test_baselines_without_features_or_test_images():
    images, _, labels = toy_images(20, 0)
    baselines = score_baselines({"pixels": images}, labels, 2)
    assert [baseline.name for baseline in baselines] == OF_BOTH[2:]
    for baseline in baselines:
        assert (baseline.accuracy, baseline.n_scored) == (None, 0)
        assert baseline.seed_cv_accuracy > 0.5


def test_every_classifier_that_is_tried_is_told():
    images, features, labels = toy_images(20, 0)
    told = []
    found = score_baselines(
        inputs_of(images, features), labels, 2, progress=lambda *said: told.append(said)
    )
    n = len(found)
    assert told == [("trying plain classifiers", done, n) for done in range(n + 1)]


def test_one_seed_in_a_class_cannot_be_cross_validated():
    images, features, labels = toy_images(6, 0)
    labels = np.where(np.arange(6) < 2, labels, 0)
    for baseline in score_baselines(inputs_of(images, features), labels, 2):
        assert baseline.seed_cv_accuracy is None


def test_baselines_ignore_seeds_without_label_and_repeat_themselves():
    images, features, labels = toy_images(40, 0)
    partly = np.where(np.arange(40) < 30, labels, -1)
    *both, truth = toy_images(50, 1)
    tests = [(inputs_of(*both), truth)]
    once = score_baselines(inputs_of(images, features), partly, 2, tests)
    few = inputs_of(images[:30], features[:30])
    assert once == score_baselines(few, labels[:30], 2, tests)


def test_one_strong_input_is_the_baseline_by_seeds_alone():
    images, features, labels = toy_images(40, 0)
    noise = np.random.default_rng(0).normal(size=(40, 300)).astype(np.float32)
    images = np.zeros_like(images)
    baselines = score_baselines(
        {
            "features": np.hstack([features * 0, noise]),
            "net": features,
            "pixels": images,
        },
        labels,
        2,
    )
    assert best_baseline(baselines).name == LDA.format("net")
    # What is right on the images, and not on the seeds, is not chosen.
    lucky = Baseline("lucky", 0.5, 1.0, 100)
    assert best_baseline([lucky, *baselines]).name == LDA.format("net")
    unknown = [Baseline("first", None, 0.1, 9), Baseline("second", None, 0.9, 9)]
    assert best_baseline(unknown).name == "first"


def test_copies_of_a_seed_are_held_out_with_it():
    rng = np.random.default_rng(0)
    features = np.repeat(rng.normal(size=(20, 30)), 4, axis=0).astype(np.float32)
    labels = np.repeat(np.arange(20) % 2, 4)
    inputs = {"features": features}
    flattered = score_baselines(inputs, labels, 2)[0].seed_cv_accuracy
    honest = score_baselines(inputs, labels, 2, content=np.repeat(np.arange(20), 4))[0]
    assert flattered > 0.95
    assert honest.seed_cv_accuracy < 0.8


def test_wrong_label_counts_are_named():
    images, features, labels = toy_images(6, 0)
    inputs = inputs_of(images, features)
    with pytest.raises(
        InputError, match=r"seed_labels has shape \(5,\), expected \(6,\)"
    ):
        score_baselines(inputs, labels[:5], 2)
    with pytest.raises(InputError, match=r"labels of a test batch has shape \(1,\)"):
        score_baselines(inputs, labels, 2, [(inputs, [0])])


def test_baselines_of_a_run_read_stored_features_and_are_kept(tmp_path, monkeypatch):
    images, _, labels = toy_images(60, 0)

    @feature(batched=True)
    def columns(images):
        return images.mean(dim=2).flatten(1)

    @feature(batched=True, fit=lambda images, *, labels, rng: {"peek": labels})
    def learned(images, *, peek):
        return images.flatten(1)

    def vote(values, *, rule):
        return rule(values)

    lfs = [
        labeling_function(
            classes=[0, 1],
            features=[node],
            thresholds={"rule": NearestMean(node)},
            soft=True,
            batched=True,
            name=f"{node.name}_resemble",
        )(vote)
        for node in (columns, learned)
    ]
    source, store = ArraySource(images, labels=labels), RunStore(tmp_path)
    applier = LFApplier(lfs, n_classes=2)
    seeds = np.arange(12)
    votes = applier.apply(
        source, seed_rows=seeds, seed_labels=labels[seeds], store=store
    )

    def baselines():
        return find_baselines(
            source, votes, labels, store, applier.feature_keys_, random_state=0
        )

    found = baselines()
    assert [baseline.n_scored for baseline in found] == [48] * 4
    assert all(baseline.accuracy > 0.9 for baseline in found)
    monkeypatch.setattr(source, "read", None)  # no image is read again
    assert baselines() == found


FEATURES = "shrinkage LDA on features"


@feature
def sides(image):
    return np.array([image[:, :2].mean(), image[:, 2:].mean()])


@feature
def sides_unless_marked(image):
    if image[0, 0, 0] > 250:
        raise ValueError("marked")
    return np.array([image[:, :2].mean(), image[:, 2:].mean()])


@feature
def broken(image):
    raise ValueError("always")


@labeling_function(classes=[0], features=[sides])
def left_is_zero(values):
    return 0 if values[0] > values[1] else -1


@labeling_function(classes=[1], features=[sides_unless_marked])
def right_is_one(values):
    return 1 if values[1] > values[0] else -1


@labeling_function(classes=[1], features=[broken])
def never(value):
    return 1


def baselines_of(folder, images, labels, seeds, lfs, *, block=30, **options):
    """Baselines of a run whose blocks have 30 images, and their accuracies by name."""
    source, store = ArraySource(images, labels=labels), RunStore(folder)
    store.layout(source.keys, block)
    applier = LFApplier(lfs, n_classes=2)
    votes = applier.apply(
        source, seed_rows=seeds, seed_labels=labels[seeds], store=store
    )
    keys = applier.feature_keys_
    found = find_baselines(
        source, votes, labels, store, keys, random_state=0, **options
    )
    return {baseline.name: baseline for baseline in found}


def test_a_feature_that_always_failed_is_left_out(tmp_path):
    images, _, labels = toy_images(60, 0)
    found = baselines_of(
        tmp_path / "a", images, labels, np.arange(12), [left_is_zero, never]
    )
    assert [baseline.n_scored for baseline in found.values()] == [48] * 4
    assert found[FEATURES].accuracy > 0.9
    found = baselines_of(tmp_path / "b", images, labels, np.arange(12), [never])
    assert list(found) == OF_BOTH[2:]


def test_a_feature_that_failed_on_one_seed_costs_no_seed(tmp_path):
    images, _, labels = toy_images(60, 0)
    images[0, 0, 0] = 255
    alone = baselines_of(tmp_path / "a", images, labels, np.arange(12), [left_is_zero])
    both = baselines_of(
        tmp_path / "b", images, labels, np.arange(12), [left_is_zero, right_is_one]
    )
    assert both == alone


def test_a_vector_feature_may_fail_on_a_whole_block(tmp_path):
    images, _, labels = toy_images(60, 0)
    images[30:, 0, 0] = 255
    lfs = [left_is_zero, right_is_one]
    found = baselines_of(tmp_path, images, labels, np.arange(12), lfs)
    assert found[FEATURES].n_scored == 48
    assert found[FEATURES].accuracy > 0.9


def test_seeds_may_be_copies_of_earlier_images(tmp_path):
    images, _, labels = toy_images(60, 0)
    images[40:52], labels[40:52] = images[:12], labels[:12]
    found = baselines_of(tmp_path, images, labels, np.arange(40, 52), [left_is_zero])
    assert found[FEATURES].n_scored == 60 - 24
    assert found[FEATURES].accuracy > 0.9


def test_baselines_are_scored_on_the_images_that_labels_are_scored_on(tmp_path):
    images, _, labels = toy_images(60, 0)
    images[50:55] = images[20]  # copies that count, each with its own label
    images[58], labels[59] = images[0], -1
    found = baselines_of(
        tmp_path, images, labels, np.arange(12), [left_is_zero], unreadable=[30, 31]
    )
    votes = Votes(np.zeros((60, 1)), ("zero",), 2, seed_rows=np.arange(12))
    given = given_images(ArraySource(images), votes, [30, 31])
    assert score(labels, labels, given).n == 60 - 12 - 2 - 2
    assert {baseline.n_scored for baseline in found.values()} == {60 - 12 - 2 - 2}
    right = round(found[FEATURES].accuracy * found[FEATURES].n_scored)
    assert right == 44 - 2  # two of the five copies are labeled otherwise


def test_without_stored_features_the_pixels_alone_are_scored(tmp_path, monkeypatch):
    images, _, labels = toy_images(60, 0)
    source, store = ArraySource(images, labels=labels), RunStore(tmp_path)
    applier, seeds = LFApplier([left_is_zero], n_classes=2), np.arange(12)
    votes = applier.apply(
        source, seed_rows=seeds, seed_labels=labels[seeds], store=store
    )
    shutil.rmtree(tmp_path / "features")

    def baselines():
        keys = applier.feature_keys_
        return find_baselines(source, votes, labels, store, keys, random_state=0)

    found = baselines()
    assert [(f.name, f.n_scored) for f in found] == [(name, 48) for name in OF_BOTH[2:]]
    monkeypatch.setattr(source, "read", None)
    assert baselines() == found


def seeds_as_votes(labels, n_classes=2):
    n = len(labels)
    return Votes(
        np.zeros((n, 1)),
        ("zero",),
        n_classes,
        seed_rows=np.arange(n),
        seed_labels=labels,
    )


def test_one_wide_feature_among_poor_ones_is_the_baseline(tmp_path):
    images, _, labels = toy_images(60, 0)

    @feature(batched=True)
    def pixels_of_the_middle(images):
        return images[:, 0, :, 1:3].flatten(1).repeat(1, 2)

    @feature(batched=True)
    def noise(images):
        return (images.flatten(1).sum(dim=1, keepdim=True) * 1e4).sin().repeat(1, 3)

    def poor(number):
        @feature(batched=True, name=f"speckle_{number}")
        def speckle(images):
            key = (images.flatten(1).double().sum(dim=1, keepdim=True) * 1e3).frac()
            shifts = torch.arange(1, 31) * (number + 1)
            return (key * shifts * 12.9898).sin().mul(43758.5453).frac().float()

        return speckle

    nodes = [pixels_of_the_middle, noise, *(poor(number) for number in range(8))]

    def make(node, number):
        return labeling_function(
            classes=[0, 1], features=[node], batched=True, name=f"f{number}"
        )(lambda values: torch.zeros(len(values), dtype=torch.long))

    lfs = [make(node, number) for number, node in enumerate(nodes)]
    found = baselines_of(tmp_path, images, labels, np.arange(24), lfs)
    assert best_baseline(list(found.values())).name.endswith("pixels_of_the_middle")
    # Too narrow to be tried alone.
    assert not any(name.endswith("noise") for name in found)
    assert LDA.format("speckle_7") in found


def test_large_seeds_are_read_in_parts(tmp_path, monkeypatch):
    images, _, labels = toy_images(6, 0)
    images = np.tile(images, (1, 1024, 1024, 1))
    source, counts = ArraySource(images), []
    assert block_size(source.shape) == 4
    read = source.read
    monkeypatch.setattr(source, "read", lambda r: counts.append(len(r)) or read(r))
    baseline, _ = find_baselines(
        source, seeds_as_votes(labels), labels, RunStore(tmp_path), {}, random_state=0
    )
    assert counts == [4, 2]
    assert baseline.n_scored == 0


def test_baselines_are_found_anew_for_another_number_of_classes(tmp_path, monkeypatch):
    images, _, labels = toy_images(6, 0)
    source, store, counts = ArraySource(images), RunStore(tmp_path), []
    read = source.read
    monkeypatch.setattr(source, "read", lambda r: counts.append(len(r)) or read(r))
    for n_classes in (2, 3, 3):
        votes = seeds_as_votes(labels, n_classes)
        find_baselines(source, votes, labels, store, {}, random_state=0)
    assert counts == [6, 6]


def test_seeds_of_one_class_make_no_baseline():
    images, features, _ = toy_images(6, 0)
    assert score_baselines(inputs_of(images, features), np.zeros(6, int), 2) == []
    assert score_baselines(inputs_of(images, features), np.full(6, -1), 2) == []


def test_a_seed_that_chose_a_baseline_does_not_judge_its_labels(tmp_path):
    """Among many poor classifiers, the luckiest is no better than the others."""
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    proba = rng.random((39, 40, 1))
    proba = np.concatenate([proba, 1 - proba], axis=2)
    right = (proba.argmax(axis=2) == labels).mean(axis=1)
    baselines = [
        Baseline(f"f{i}", float(right[i]), None, 0, held_out=proba[i])
        for i in range(39)
    ]
    folds = np.arange(40) // 8
    found = _chosen(baselines, labels, folds)
    assert (found.argmax(axis=1) == labels).mean() < best_baseline(
        baselines
    ).seed_cv_accuracy
    for fold in range(5):
        left = folds != fold
        best = (proba[:, left].argmax(axis=2) == labels[left]).mean(axis=1).argmax()
        np.testing.assert_array_equal(found[~left], proba[best][~left])
