"""The benchmarks' own code: peers compute what the features do."""

import cv2
import numpy as np
import pytest
import torch

from lf_library import fashion
from lfkit import LFApplier, feature, labeling_function
from lfkit.data.datasets import ArraySource

pytest.importorskip("snorkel")

from snorkel.labeling import LFApplier as SnorkelApplier

from benchmarks import apply, features
from benchmarks.common import draw_rows, fit, markdown, one_thread
from benchmarks.costs import Costs
from benchmarks.on_device import OnDevice
from benchmarks.peers_rules import (
    TEN,
    fastest,
    peers_of,
    per_image,
    planes,
    skimage_first,
    ten_of,
)

N = 40
SEEDS = 3  # per class: few folds to fit again for
# OpenCV does not interpolate the gradient's direction.
CLOSE = {("canny_edges", "OpenCV"): 0.8, ("canny_grid", "OpenCV"): 0.9}


ON_GPU = pytest.param(
    "cuda",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    ],
)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    with one_thread():
        yield


@pytest.fixture(scope="module")
def source(digits):
    """Digits of the size of Fashion-MNIST: offline, and of ten classes too."""
    images, labels = digits
    large = [cv2.resize(image, (28, 28)) for image in images[:400, :, :, 0]]
    names = tuple("0123456789")
    return ArraySource(
        np.stack(large)[..., None], labels=labels[:400], class_names=names
    )


@pytest.fixture(scope="module")
def lfs(source):
    """The ten rules without LeNet: its peer is LeNet itself, and it learns slowly."""
    rules = [lf for lf in ten_of(fashion.LFS) if "lenet" not in lf.name]
    return fit(rules, source, SEEDS)


@pytest.fixture(scope="module")
def pixels(source):
    rest = np.setdiff1d(np.arange(len(source)), draw_rows(source.labels, SEEDS))
    return source.read(rest[:N]).pixels


@pytest.fixture(scope="module")
def read(lfs):
    return features.batched_features(lfs)


@pytest.fixture(scope="module")
def costs(read, pixels):
    return Costs(read, pixels, N)


@pytest.mark.reference
def test_every_peer_computes_its_feature(read, costs, pixels):
    images = planes(pixels)
    for node, peers in peers_of(read).items():
        ours = costs.values[node].reshape(N, -1)
        for peer in peers:
            theirs, _ = features.per_image(peer.function, images)
            found = features.correlation(ours, theirs)
            assert found > CLOSE.get((node.name, peer.maker), 0.995), (node, peer)


def test_every_feature_of_the_ten_rules_has_a_peer_of_another_making(read):
    alone = [
        node.name
        for node, peers in peers_of(read).items()
        if peers[0].maker == "batch of one"
    ]
    assert alone == []


def test_a_feature_of_the_image_itself_is_called_with_one_image(pixels):
    node = feature(batched=True)(lambda images: images.mean(dim=(1, 2, 3)))
    (peer,) = peers_of([node])[node]
    assert peer.maker == "batch of one"
    theirs = [peer.function(image) for image in planes(pixels)]
    np.testing.assert_allclose(theirs, node(pixels), rtol=1e-5)


@pytest.mark.parametrize("choose", [fastest, skimage_first])
def test_functions_written_per_image_vote_alike(choose, lfs, read, pixels):
    chosen = choose(peers_of(read))
    theirs = SnorkelApplier([per_image(lf, chosen) for lf in lfs]).apply(
        planes(pixels), progress_bar=False
    )
    ours = LFApplier(lfs, n_classes=10, device="cpu").apply(pixels)
    assert (theirs == ours.hard).mean() > 0.96


@pytest.mark.parametrize("device", ["cpu", ON_GPU])
def test_votes_on_a_device_are_the_appliers(device, lfs, pixels):
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device)
    ours = OnDevice(lfs, device, batch=16)(images)
    theirs = LFApplier(lfs, n_classes=10, device=device).apply(pixels)
    assert (ours.cpu().numpy() == theirs.hard).mean() > 0.999


def test_a_function_of_one_image_has_no_device():
    @labeling_function(classes=[1])
    def bright_is_one(image):
        return 1

    with pytest.raises(ValueError, match="bright_is_one takes one image at a time"):
        OnDevice([bright_is_one], "cpu", batch=1)


def test_gray_images_of_another_size_are_made_28_pixels_wide(digits):
    images, _ = digits
    assert features.as_28x28(images[:3]).shape == (3, 28, 28, 1)
    large = features.as_28x28(np.full((2, 28, 28, 1), 7, np.uint8))
    assert (large == 7).all()


def test_peers_refuse_images_of_another_size():
    with pytest.raises(ValueError, match="peers take 28x28 gray images"):
        planes(np.zeros((2, 8, 8, 1), np.uint8))


@pytest.mark.parametrize(("names", "n"), [(TEN, 10), (apply.TWENTY, 20)])
def test_the_functions_timed_are_in_the_library(names, n):
    assert len(set(names)) == n
    assert set(names) <= {lf.name for lf in fashion.LFS}


def test_markdown_aligns_numbers_right():
    assert markdown(("a", "b"), [("x", 1)]) == "| a | b |\n|---|--:|\n| x | 1 |\n"
