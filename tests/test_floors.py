"""Plain classifiers trained on the seeds alone."""

import numpy as np
import pytest

from lfkit import LFApplier, NearestMean, feature, labeling_function
from lfkit.datasets import ArraySource
from lfkit.errors import InputError
from lfkit.floors import find_floors, score_floors
from lfkit.store import RunStore


def toy_images(n, seed):
    """Class 0 is bright on the left, class 1 on the right."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    images = rng.integers(0, 120, (n, 4, 4, 1), dtype=np.uint8)
    images[labels == 0, :, :2] += 100
    images[labels == 1, :, 2:] += 100
    features = images.mean(axis=(1, 3)).astype(np.float32)  # (n, 4) column means
    return images, features, labels


def test_floors_score_seeds_and_a_stream_of_batches():
    images, features, labels = toy_images(40, 0)
    tests = [toy_images(50, seed) for seed in (1, 2)]
    tests[1][2][:10] = -1
    floors = score_floors(images, features, labels, 2, iter(tests), blocks=[2, 2])
    assert [floor.name for floor in floors] == [
        "logistic regression on pixels",
        "shrinkage LDA on features",
    ]
    for floor in floors:
        assert floor.n_scored == 90
        assert floor.accuracy > 0.9
        assert floor.seed_cv_accuracy > 0.9


def test_floors_without_features_or_test_images():
    images, _, labels = toy_images(20, 0)
    (floor,) = score_floors(images, None, labels, 2)
    assert floor.name == "logistic regression on pixels"
    assert (floor.accuracy, floor.n_scored) == (None, 0)
    assert floor.seed_cv_accuracy > 0.5


def test_one_seed_in_a_class_cannot_be_cross_validated():
    images, features, labels = toy_images(6, 0)
    labels = np.where(np.arange(6) < 2, labels, 0)
    for floor in score_floors(images, features, labels, 2):
        assert floor.seed_cv_accuracy is None


def test_floors_ignore_seeds_without_label_and_repeat_themselves():
    images, features, labels = toy_images(40, 0)
    partly = np.where(np.arange(40) < 30, labels, -1)
    tests = [toy_images(50, 1)]
    once = score_floors(images, features, partly, 2, tests)
    assert once == score_floors(images[:30], features[:30], labels[:30], 2, tests)


def test_wrong_label_counts_are_named():
    images, features, labels = toy_images(6, 0)
    with pytest.raises(
        InputError, match=r"seed_labels has shape \(5,\), expected \(6,\)"
    ):
        score_floors(images, features, labels[:5], 2)
    with pytest.raises(InputError, match=r"labels of a test batch has shape \(1,\)"):
        score_floors(images, features, labels, 2, [(images, features, [0])])


def test_floors_of_a_run_read_stored_features_and_are_kept(tmp_path, monkeypatch):
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
    applier = LFApplier(lfs)
    seeds = np.arange(12)
    votes = applier.apply(
        source, seed_rows=seeds, seed_labels=labels[seeds], store=store
    )

    def floors():
        return find_floors(
            source, votes, labels, store, applier.feature_keys_, random_state=0
        )

    found = floors()
    assert [floor.n_scored for floor in found] == [48, 48]
    assert all(floor.accuracy > 0.9 for floor in found)
    monkeypatch.setattr(source, "read", None)  # no image is read again
    assert floors() == found
