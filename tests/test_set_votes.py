"""Votes for a set of classes, from the function that casts them to labels and files."""

import json
import re

import numpy as np
import pytest
import torch
from assertions import assert_refused
from hypothesis import given, settings
from hypothesis import strategies as st

from lfkit import (
    ABSTAIN,
    LFAnalysis,
    LFApplier,
    OneOf,
    Quantile,
    feature,
    labeling_function,
)
from lfkit.data.vote_files import read_votes
from lfkit.data.votes import Votes
from lfkit.errors import DeclarationError
from lfkit.generators.lf_votes.batch_votes import BatchVotes
from lfkit.runs.cache_keys import fingerprint
from lfkit.runs.run_config import load_config
from lfkit.runs.run_files import load_votes
from lfkit.runs.store import RunStore

# Gray levels that the functions below look at, and four classes.
LEVELS = np.asarray([0, 60, 120, 200, 250], np.uint8)
IMAGES = np.broadcast_to(LEVELS[:, None, None, None], (5, 4, 4, 1)).copy()


@feature
def level(image):
    return image.mean()


@labeling_function(classes=[0, 1, 2, 3])
def dark_is_low(image):
    if image.mean() < 10:
        return 0
    return OneOf[0, 1] if image.mean() < 100 else ABSTAIN


@labeling_function(classes=[3, 2], features=[level], batched=True)
def bright_is_high(levels):
    return torch.stack([levels > 100, (levels > 100) & (levels < 220)], dim=1)


@labeling_function(classes=[3, 2], batched=True, soft=True)
def softly_high(images):
    return torch.stack([images.mean((1, 2, 3)), 1 - images.mean((1, 2, 3))], dim=1)


@labeling_function(classes=[0, 1, 2, 3])
def any_class_will_do(image):
    return OneOf[0, 1, 2, 3]


def sets_of(votes, j):
    """Votes of one function as lists: of no class, one, or several."""
    named = votes.hard[:, j, None] == np.arange(votes.n_classes)
    if votes.allowed is not None:
        named = named | votes.allowed[:, j]
    return [np.flatnonzero(row).tolist() for row in named]


def test_sets_of_per_image_and_batched_functions_reach_the_vote_matrix():
    votes = LFApplier([dark_is_low, bright_is_high]).apply(IMAGES)
    assert sets_of(votes, 0) == [[0], [0, 1], [], [], []]
    assert sets_of(votes, 1) == [[], [], [2, 3], [2, 3], [3]]
    assert votes.hard.tolist() == [[0, -1], [-1, -1], [-1, -1], [-1, -1], [-1, 3]]
    assert votes.coverage == 1


def test_worker_processes_and_blocks_keep_sets(tmp_path):
    rng = np.random.default_rng(0)
    # 300 images: several chunks and blocks, in some of which no vote is a set.
    levels = np.sort(rng.integers(0, 256, 300))
    images = rng.integers(0, 8, (300, 4, 4, 1)) + levels[:, None, None, None]
    images = images.clip(0, 255).astype(np.uint8)
    lfs = [dark_is_low, bright_is_high, softly_high]
    here = LFApplier(lfs, n_workers=0).apply(images)
    store = RunStore(tmp_path)
    there = LFApplier(lfs, n_workers=2).apply(images, store=store)
    again = LFApplier(lfs, n_workers=0)
    stored = again.apply(images, store=store)
    assert again.report_.n_calls == 0
    for votes in (there, stored):
        assert np.array_equal(votes.hard, here.hard)
        assert np.array_equal(votes.allowed, here.allowed)
        assert np.array_equal(votes.soft, here.soft)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([-1, 0, 1, 2]), min_size=5, max_size=5))
def test_one_of_one_class_is_that_class(said):
    table = dict(zip(LEVELS.tolist(), said, strict=True))

    @labeling_function(classes=[0, 1, 2])
    def as_class(image):
        return table[int(image[0, 0, 0])]

    @labeling_function(classes=[0, 1, 2])
    def as_set(image):
        vote = table[int(image[0, 0, 0])]
        return ABSTAIN if vote == ABSTAIN else OneOf[vote]

    votes = LFApplier([as_class, as_set], 4).apply(IMAGES)
    assert votes.allowed is None
    assert np.array_equal(votes.hard[:, 0], votes.hard[:, 1])


def test_all_classes_of_the_run_are_no_vote():
    votes = LFApplier([any_class_will_do]).apply(IMAGES)
    assert votes.coverage == 0
    # Of five classes, four are a set.
    votes = LFApplier([any_class_will_do], 5).apply(IMAGES)
    assert sets_of(votes, 0) == [[0, 1, 2, 3]] * 5


def test_sets_are_one_hot_in_soft_votes_only_where_they_name_one_class():
    votes = LFApplier([dark_is_low, softly_high]).apply(IMAGES)
    assert votes.soft[0, 0].tolist() == [1, 0, 0, 0]
    assert not votes.soft[1:, 0].any()


def test_a_function_called_on_one_image_shows_its_set():
    assert dark_is_low(IMAGES[1]) == OneOf[0, 1]
    assert dark_is_low(IMAGES[2]) == ABSTAIN
    assert bright_is_high(IMAGES[3]) == OneOf[2, 3]


def test_sets_are_checked():
    with assert_refused(DeclarationError, names="OneOf"):
        OneOf()
    with assert_refused(DeclarationError, names="OneOf", values="'cat'"):
        OneOf["cat"]
    with assert_refused(DeclarationError, names="OneOf", values=-1):
        OneOf[0, ABSTAIN]

    @labeling_function(classes=[0, 1])
    def strays(image):
        return OneOf[1, 2]

    @labeling_function(classes=[0, 1, 2], batched=True)
    def of_another_width(images):
        return torch.ones((len(images), 2), dtype=torch.bool)

    applier = LFApplier([strays, of_another_width], 3)
    assert LFApplier([strays], 3).apply(IMAGES).coverage == 0
    assert applier.apply(IMAGES).coverage == 0
    faults = applier.report_.faults
    assert faults["strays"].counts == {"voted an undeclared class": 5}
    assert set(faults) == {"strays", "of_another_width"}


def test_another_set_is_another_function():
    def make(vehicles):
        @labeling_function(classes=[0, 1, 2])
        def it_drives(image):
            return vehicles

        return it_drives

    assert fingerprint(make(OneOf[0, 1])) == fingerprint(make(OneOf[1, 0]))
    assert fingerprint(make(OneOf[0, 1])) != fingerprint(make(OneOf[0, 2]))


def test_votes_on_held_out_seeds_keep_sets():
    @labeling_function(
        classes=[0, 1, 2], features=[level], thresholds={"cut": Quantile(level, 0.5)}
    )
    def darker_is_low(value, *, cut):
        return OneOf[0, 1] if value < cut else 2

    votes = LFApplier([darker_is_low, dark_is_low]).apply(
        IMAGES, seed_rows=[0, 1, 2, 3, 4], seed_labels=[0, 1, 0, 1, 2]
    )
    held_out = votes.seed_out_of_fold
    assert held_out.voted[:, 0].all()
    assert sets_of(held_out, 0)[0] == [0, 1]
    assert sets_of(held_out, 1) == sets_of(votes, 1)


def test_analysis_counts_sets():
    votes = LFApplier([dark_is_low, bright_is_high]).apply(IMAGES)
    summary = LFAnalysis(votes).lf_summary(Y=[0, 1, 1, 2, -1])
    assert summary["Polarity"].tolist() == [[0, 1], [2, 3]]
    assert summary["Coverage"].tolist() == [0.4, 0.6]
    assert summary["Correct"].tolist() == [2, 1]
    assert summary["Incorrect"].tolist() == [0, 1]


def test_right_is_a_set_that_holds_the_class():
    allowed = np.asarray([[[1, 1, 0, 0]], [[1, 1, 0, 0]], [[0] * 4]], bool)
    votes = Votes(np.full((3, 1), -1), ("a",), 4, allowed=allowed)
    assert votes.right(np.asarray([1, 2, 0]))[:, 0].tolist() == [True, False, False]
    assert not votes.right(np.asarray([-1, 9, -1])).any()


def test_votes_on_generated_images_share_a_set_evenly():
    block = BatchVotes([dark_is_low, bright_is_high, any_class_will_do], 4)
    found = block(torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255)
    assert found[1].tolist() == [[0.5, 0.5, 0, 0], [0] * 4, [0] * 4]
    assert found[3, 1].tolist() == [0, 0, 0.5, 0.5]
    assert found[4, 1].tolist() == [0, 0, 0, 1]
    assert not block.faults


LFS = """
from lfkit import ABSTAIN, OneOf, labeling_function

CLASSES = ["cat", "dog", "car"]

@labeling_function(classes=[0, 1, 2])
def dark_is_an_animal(image):
    return OneOf[0, 1] if image.mean() < 150 else 2

@labeling_function(classes=[0])
def black_is_cat(image):
    return 0 if image.mean() < 50 else ABSTAIN
"""


@pytest.fixture
def run(lfkit, tmp_path):
    """A run on squares of three gray levels: cats, dogs, cars."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = rng.integers(0, 9, (60, 8, 8)) + (20 + 80 * labels)[:, None, None]
    np.savez(tmp_path / "data.npz", images=images.astype(np.uint8), labels=labels)
    (tmp_path / "lfs.py").write_text(LFS)
    done = lfkit(
        "apply", tmp_path / "data.npz", "--lfs", tmp_path / "lfs.py",
        "--seeds-per-class", "5", "--out", tmp_path / "run",
    )  # fmt: skip
    assert done.code == 0, done.err
    return tmp_path / "run"


def test_a_run_with_sets_is_read_analyzed_reported_and_exported(lfkit, run, tmp_path):
    votes = load_votes(run, load_config(run))
    assert sets_of(votes, 0) == [[0, 1], [0, 1], [2]] * 20
    assert votes.coverage == 1
    done = lfkit("analyze", run, "--json")
    (animal, _) = json.loads(done.out)["functions"]
    assert animal["coverage"] == 1
    assert animal["accuracy"] == 1
    assert lfkit("report", run).code == 0
    page = (run / "report.html").read_text()
    # The set is right everywhere: no image is shown as a wrong vote.
    assert not re.search('<div class="faint">wrong</div>', page)
    out = tmp_path / "votes.npz"
    assert lfkit("export", run, "--out", out).code == 0
    assert np.array_equal(read_votes(out).votes.allowed, votes.allowed)


def test_damaged_sets_are_refused(lfkit, run):
    config = load_config(run)
    key = config.lfs[0].key
    store = RunStore(run)
    for name in store.names("votes", key):
        arrays = store.load("votes", key, name)
        store.save("votes", key, name, {**arrays, "votes": np.zeros((60, 2), bool)})
    done = lfkit("analyze", run)
    assert done.code != 0
    assert "dark_is_an_animal" in done.err
