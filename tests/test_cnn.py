"""The small network as a classifier of images."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from lfkit.classifiers import ConvNet, one_hot
from lfkit.errors import InputError


def stripes(n, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=n)
    line = 200 * (np.arange(12) // 3 % 2)
    pixels = np.where(truth[:, None, None] == 1, line[None, :], line[:, None])
    return (pixels + rng.integers(0, 50, size=pixels.shape)).astype(np.uint8), truth


def small(**options):
    return ConvNet(n_steps=30, width=4, **options)


def test_images_it_can_tell_apart_are_learned_from_soft_labels():
    pixels, truth = stripes(120)
    model = small().fit(pixels, 0.8 * one_hot(truth, 2) + 0.1)
    shown, classes = stripes(60, seed=1)
    found = model.predict_proba(shown)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert np.mean(found.argmax(axis=1) == classes) > 0.95


def test_same_seed_same_answer_and_clones_agree():
    pixels, truth = stripes(40)
    model = small().fit(pixels, one_hot(truth, 2))
    again = clone(model).fit(pixels, one_hot(truth, 2))
    np.testing.assert_array_equal(
        model.predict_proba(pixels), again.predict_proba(pixels)
    )


def test_class_without_examples_gets_probability_zero():
    pixels, truth = stripes(40)
    found = small().fit(pixels, one_hot(2 * truth, 4)).predict_proba(pixels)
    assert (found[:, [1, 3]] == 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_images_without_label_are_ignored():
    pixels, truth = stripes(60)
    labels = np.where(np.arange(60) < 40, truth, -1)
    pixels[40:] = 0
    some = small().fit(pixels[:40], one_hot(truth[:40], 2)).predict_proba(pixels)
    everyone = small().fit(pixels, one_hot(labels, 2)).predict_proba(pixels)
    np.testing.assert_array_equal(some, everyone)


def test_color_images_are_learned_too():
    rng = np.random.default_rng(0)
    truth = np.arange(60) % 3
    pixels = rng.integers(0, 100, size=(60, 9, 9, 3))
    pixels[np.arange(60), :, :, truth] += 100
    model = small(flip=True).fit(pixels.astype(np.uint8), one_hot(truth, 3))
    assert np.mean(model.predict(pixels.astype(np.uint8)) == truth) > 0.9


def test_wrong_input_is_explained():
    pixels, truth = stripes(10)
    with pytest.raises(InputError, match="ConvNet learns from uint8 images"):
        small().fit(np.zeros((10, 5)), one_hot(truth, 2))
    with pytest.raises(InputError, match="n_steps is 0 and its width 24"):
        ConvNet(n_steps=0).fit(pixels, one_hot(truth, 2))
    with pytest.raises(NotFittedError):
        small().predict(pixels)
    model = small().fit(pixels, one_hot(truth, 2))
    with pytest.raises(InputError, match="was fitted on rows of 144 numbers"):
        model.predict(np.zeros((2, 5, 5), np.uint8))
