"""Fresh images for a training loop: endless, repeatable, shared out to workers."""

from itertools import islice

import numpy as np
import pytest
import torch
from assertions import assert_refused
from test_generators import fitted
from torch.utils.data import DataLoader

from lfkit.generators import GENERATORS, GeneratedStream

QUICK = [name for name in GENERATORS if name not in ("self-labeling", "adp-paper")]


@pytest.fixture(scope="module")
def adp():
    return fitted("adp")


@pytest.mark.parametrize("name", QUICK)
def test_every_generator_can_be_streamed(name):
    made = fitted(name)
    images, labels = next(iter(GeneratedStream(made, batch=32)))
    assert images.shape == (32, 1, 8, 8)
    assert labels.shape == (32, 2)
    assert images.dtype == labels.dtype == torch.float32
    assert 0 <= images.min() < images.max() <= 1


def test_batches_differ_and_come_again(adp):
    first, again = (
        [images for images, _ in islice(GeneratedStream(adp), 9)] for _ in range(2)
    )
    assert all(torch.equal(one, same) for one, same in zip(first, again, strict=True))
    assert len({one.numpy().tobytes() for one in first}) == 9
    (other,) = (images for images, _ in islice(GeneratedStream(adp, random_state=1), 1))
    assert not torch.equal(other, first[0])


def test_workers_share_the_images_out(adp):
    stream = GeneratedStream(adp, batch=128, n_batches=5)
    alone, shared = (
        {images.numpy().tobytes() for images, _ in DataLoader(stream, None, **workers)}
        for workers in ({}, {"num_workers": 2})
    )
    assert len(alone) == 5
    assert alone == shared


def test_classes_have_the_shares_that_are_wanted(adp):
    stream = GeneratedStream(adp, shares=[3, 1], n_batches=16)
    labels = np.concatenate([each.argmax(dim=1) for _, each in stream])
    assert abs((labels == 0).mean() - 0.75) < 0.05


def test_what_does_not_fit_is_refused(adp):
    with assert_refused(names=["batch", "100"], allowed="64"):
        GeneratedStream(adp, batch=100)
    with assert_refused(names=["n_batches"], allowed="None"):
        GeneratedStream(adp, n_batches=0)
    for shares in ([1], [0, 0], [1, -1], [1, np.nan]):
        with assert_refused(names=["shares"], allowed="2 numbers"):
            GeneratedStream(adp, shares=shares)
