"""What a later run may trust of an earlier one, and what it must do again."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from assertions import assert_refused

from lfkit import ABSTAIN, LFApplier, NearestMean, feature, labeling_function
from lfkit.data.datasets import ArraySource
from lfkit.data.image_source import ReadImages
from lfkit.errors import DataError, DeclarationError, FaultError
from lfkit.runs.store import RunStore

LEVELS = np.arange(0, 240, 8, dtype=np.uint8)
IMAGES = np.broadcast_to(LEVELS[:, None, None, None], (30, 4, 4, 1)).copy()


@labeling_function(classes=[0])
def dark_is_zero(image):
    return 0 if image.mean() < 50 else ABSTAIN


def test_calls_that_were_killed_are_made_again_when_they_have_more_time(tmp_path):
    may_end = tmp_path / "may-end"

    @labeling_function(classes=[0])
    def slow_on_black(image):
        while image.max() == 0 and not may_end.exists():
            pass
        return 0

    store = RunStore(tmp_path / "run")
    hurried = LFApplier([slow_on_black], n_workers=1, lf_timeout=0.3)
    assert hurried.apply(IMAGES, store=store).hard[0, 0] == -1
    again = LFApplier([slow_on_black], n_workers=1, lf_timeout=0.3)
    assert again.apply(IMAGES, store=store).hard[0, 0] == -1
    assert again.report_.n_calls == 0
    may_end.touch()
    patient = LFApplier([slow_on_black], n_workers=1, lf_timeout=20)
    assert (patient.apply(IMAGES, store=store).hard[:, 0] == 0).all()
    assert not patient.report_.faults


@pytest.fixture
def five_kills(monkeypatch):
    """Give a function up after 5 kills; test_applier.py waits for all 20."""
    for place in ("engine.worker_pool", "engine.blocks", "applier"):
        monkeypatch.setattr(f"lfkit.labeling.{place}.MOST_KILLS", 5)


@labeling_function(classes=[0])
def hangs_below_200(image):
    while image.max() < 200:
        pass
    return 0


def test_a_function_that_was_given_up_is_not_called_again(five_kills, tmp_path):
    lfs = [hangs_below_200, dark_is_zero]
    for calls in (True, False):
        applier = LFApplier(lfs, n_workers=2, lf_timeout=0.1)
        votes = applier.apply(IMAGES, store=RunStore(tmp_path))
        assert votes.names == ("dark_is_zero",)
        reason = "had to be killed 5 times and was given up"
        assert applier.report_.left_out == {"hangs_below_200": reason}
        assert bool(applier.report_.n_calls) == calls


def test_kills_of_an_interrupted_run_count_towards_giving_up(five_kills, tmp_path):
    applier = LFApplier([hangs_below_200, dark_is_zero], n_workers=2, lf_timeout=0.1)
    votes = applier.apply(IMAGES[22:], store=RunStore(tmp_path))  # 3 of them hang
    assert "hangs_below_200" in votes.names
    applier = LFApplier([hangs_below_200, dark_is_zero], n_workers=2, lf_timeout=0.1)
    votes = applier.apply(IMAGES, store=RunStore(tmp_path))  # 25 in all
    assert votes.names == ("dark_is_zero",)


def test_a_feature_that_is_given_up_takes_its_functions_with_it(five_kills, tmp_path):
    @feature
    def hangs(image):
        while image.max() < 200:
            pass
        return 1.0

    @labeling_function(classes=[0], features=[hangs])
    def trusts(value):
        return 0

    applier = LFApplier([trusts, dark_is_zero], n_workers=2, lf_timeout=0.1)
    votes = applier.apply(IMAGES, store=RunStore(tmp_path))
    assert votes.names == ("dark_is_zero",)
    assert applier.report_.left_out == {
        "trusts": "its feature 'hangs' had to be killed 5 times and was given up"
    }
    with assert_refused(DeclarationError, names="trusts"):
        LFApplier([trusts], n_workers=2, lf_timeout=0.1).apply(IMAGES)


def test_a_feature_that_was_killed_is_computed_again_when_it_has_more_time(tmp_path):
    may_end = tmp_path / "may-end"

    @feature
    def slow_on_black(image):
        while image.max() == 0 and not may_end.exists():
            pass
        return 1.0

    @feature(of=[slow_on_black])
    def doubled(value):
        return 2 * value

    @labeling_function(classes=[0], features=[doubled])
    def trusts(value):
        return 0

    store = RunStore(tmp_path)
    hurried = LFApplier([trusts, dark_is_zero], n_workers=1, lf_timeout=0.3)
    assert hurried.apply(IMAGES, store=store).hard[0, 0] == -1
    assert dict(hurried.report_.faults["slow_on_black"].counts) == {"timed out": 1}
    again = LFApplier([trusts, dark_is_zero], n_workers=1, lf_timeout=0.3)
    assert again.apply(IMAGES, store=store).hard[0, 0] == -1
    assert again.report_.n_calls == again.report_.n_feature_values == 0
    may_end.touch()
    patient = LFApplier([trusts, dark_is_zero], n_workers=1, lf_timeout=20)
    assert (patient.apply(IMAGES, store=store).hard[:, 0] == 0).all()
    assert not patient.report_.faults
    assert patient.report_.n_calls == 30  # `trusts` alone


@pytest.mark.parametrize("n_workers", [0, 1])
def test_a_failing_feature_counts_where_only_features_read_it(n_workers, tmp_path):
    @feature
    def fails_on_black(image):
        return 1.0 / image.max().item()

    @feature(of=[fails_on_black])
    def doubled(value):
        return 2 * value

    @labeling_function(classes=[0], features=[doubled])
    def trusts(value):
        return 0

    for _ in range(2):
        applier = LFApplier([trusts], n_workers=n_workers)
        votes = applier.apply(IMAGES, store=RunStore(tmp_path)).hard[:, 0]
        assert votes.tolist() == [-1] + 29 * [0]
        kinds = {"fails_on_black": {"raised ZeroDivisionError": 1}}
        found = applier.report_.faults.items()
        assert {name: dict(faults.counts) for name, faults in found} == kinds


class _Flaky(ArraySource):
    """The first image cannot be read the first time."""

    failures = 1

    def read(self, rows):
        read = super().read(rows)
        if self.failures and 0 in rows:
            self.failures -= 1
            position = list(rows).index(0)
            return ReadImages(read.pixels, {position: "busy"}, frozenset([position]))
        return read


def test_a_passing_problem_is_not_remembered(tmp_path):
    source, store = _Flaky(IMAGES), RunStore(tmp_path)
    applier = LFApplier([dark_is_zero])
    assert applier.apply(source, store=store).hard[0, 0] == -1
    assert applier.report_.problems == {"0": "busy"}
    applier = LFApplier([dark_is_zero])
    assert applier.apply(source, store=store).hard[0, 0] == 0
    assert applier.report_.problems == {}


def test_nothing_is_fitted_while_a_seed_cannot_be_read(tmp_path):
    @feature(batched=True)
    def pixels(images):
        return images.flatten(1)

    @labeling_function(
        classes=[0, 1],
        features=[pixels],
        soft=True,
        batched=True,
        thresholds={"rule": NearestMean(pixels)},
    )
    def resembles(values, *, rule):
        return rule(values)

    with assert_refused(DataError, names="image"):
        LFApplier([resembles]).apply(
            _Flaky(IMAGES), seed_rows=[0, 1, 28, 29], seed_labels=[0, 0, 1, 1]
        )


def test_a_suspended_run_takes_no_healthy_call_for_a_hanging_one(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import time, numpy as np\n"
        "from lfkit import LFApplier, labeling_function\n"
        "@labeling_function(classes=[0])\n"
        "def naps(image):\n"
        "    time.sleep(0.1)\n"
        "    return 0\n"
        "images = np.arange(40, dtype=np.uint8)[:, None, None].repeat(4, 1)\n"
        "applier = LFApplier([naps], n_workers=2, lf_timeout=1)\n"
        "print('ready', flush=True)\n"
        "print((applier.apply(images).hard == 0).all())\n"
    )
    process = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(1.5)
    os.killpg(process.pid, signal.SIGSTOP)
    time.sleep(2)
    os.killpg(process.pid, signal.SIGCONT)
    out, _ = process.communicate(timeout=60)
    assert out == "True\n"


def test_a_feature_that_writes_over_its_input_fails_and_spoils_nothing():
    @feature(batched=True)
    def greedy(images):
        return images.sub_(0.5).flatten(1)

    @feature(batched=True)
    def level(images):
        return images.mean(dim=(1, 2, 3))

    @labeling_function(classes=[0], features=[greedy], batched=True)
    def trusts_greedy(values):
        return values[:, 0].long() * 0

    @labeling_function(classes=[0, 1], features=[level], batched=True)
    def bright_is_one(values):
        return (values > 0.45).long()

    applier = LFApplier([trusts_greedy, bright_is_one])
    votes = applier.apply(IMAGES)
    assert (votes.hard[:, 0] == -1).all()
    assert votes.hard[:, 1].tolist() == (LEVELS / 255 > 0.45).astype(int).tolist()
    _, message, _ = applier.report_.faults["greedy"].examples["changed its input"]
    assert message == "writes over its input image; work on image.clone() instead"
    with assert_refused(DeclarationError, names="greedy"):
        greedy(IMAGES)


def test_a_feature_whose_shape_changes_fails_where_it_does():
    images = np.arange(200, dtype=np.uint8)[:, None, None, None].repeat(4, 1)

    @feature
    def grows(image):
        return np.ones(3 if image.max() < 150 else 4)

    @labeling_function(classes=[0], features=[grows])
    def trusts(values):
        return 0

    applier = LFApplier([trusts])
    assert (applier.apply(images).hard[:, 0] == 0).sum() == 150
    counts = applier.report_.faults["grows"].counts
    assert dict(counts) == {"returned a wrong shape": 50}


def test_faults_of_features_are_reported_when_all_images_are_seeds():
    @feature
    def fussy(image):
        return 1 / (float(image.max()) - 8)

    @labeling_function(
        classes=[0, 1], features=[fussy], thresholds={"rule": NearestMean(fussy)}
    )
    def trusts(value, *, rule):
        return int(np.argmax(rule(value)))

    seeds = {"seed_rows": [0, 1, 2, 3], "seed_labels": [0, 0, 1, 1]}
    applier = LFApplier([trusts])
    applier.apply(IMAGES[:4], **seeds)
    assert applier.report_.faults["fussy"].total == 1
    with assert_refused(FaultError, names=["fussy", 1]):
        LFApplier([trusts], strict=True).apply(IMAGES[:4], **seeds)


def test_copies_of_a_seed_are_held_out_together(digits):
    images, _ = digits

    def memorise(images, *, labels, rng):
        return {"rows": images.flatten(1).numpy(), "labels": labels}

    @feature(batched=True, fit=memorise)
    def nearest_seed(images, *, rows, labels):
        import torch

        return labels[torch.cdist(images.flatten(1), rows).argmin(1)].float()

    @labeling_function(classes=[0, 1], features=[nearest_seed], batched=True)
    def remembers(label):
        return label.long()

    twice = np.concatenate([images[:100], images[:100]])
    coins = np.tile(np.random.default_rng(0).integers(0, 2, 100), 2)
    votes = LFApplier([remembers]).apply(
        twice, seed_rows=np.arange(200), seed_labels=coins
    )
    right = (votes.seed_out_of_fold.hard[:, 0] == coins).mean()
    assert abs(right - 0.5) < 0.12  # random labels cannot be known without leaking


def test_no_images_are_refused_with_a_sentence():
    with assert_refused(DataError, names=["array", "no images"]):
        LFApplier([dark_is_zero]).apply(np.zeros((0, 4, 4, 1), np.uint8))


def test_a_feature_and_a_function_of_one_name_are_refused():
    @feature(name="dark_is_zero")
    def twin(image):
        return 1

    @labeling_function(classes=[0], features=[twin])
    def reads_twin(value):
        return 0

    with assert_refused(DeclarationError, names="dark_is_zero"):
        LFApplier([dark_is_zero, reads_twin])


def test_workers_that_die_before_any_call_say_so():
    class Bomb:
        def __reduce__(self):
            return (os._exit, (7,))

    bomb = Bomb()

    @labeling_function(classes=[0])
    def carries_a_bomb(image):
        return 0 if bomb else 1

    with assert_refused(DeclarationError, names="worker processes"):
        LFApplier([carries_a_bomb], n_workers=1).apply(IMAGES)


def test_failures_on_many_blocks_are_counted_and_the_earliest_is_named(tmp_path):
    @labeling_function(classes=[0])
    def fussy(image):
        if image[0, 0, 0] < 200:
            raise ValueError(f"{image[0, 0, 0]} is dark")
        return 0

    levels = np.arange(0, 250, dtype=np.uint8)
    images = levels[:, None, None, None].repeat(4, 1)
    for shown in (images[100:], images, images):  # new images are in later blocks
        applier = LFApplier([fussy])
        votes = applier.apply(shown, store=RunStore(tmp_path))
        found = applier.report_.faults["fussy"]
        assert dict(found.counts) == {"raised ValueError": (shown < 200).sum() // 4}
        assert found.examples["raised ValueError"][0] == "0"
        assert (votes.hard[:, 0] == np.where(shown[:, 0, 0, 0] < 200, -1, 0)).all()


def test_a_function_a_worker_cannot_load_says_so(tmp_path):
    class Absent:
        def __reduce__(self):
            return (__import__, ("no_such_module_anywhere",))

    absent = Absent()

    @labeling_function(classes=[0])
    def carries_it(image):
        return 0 if absent else 1

    with assert_refused(DeclarationError, names="worker process"):
        LFApplier([carries_it], n_workers=1).apply(IMAGES)


def test_slow_functions_are_saved_in_small_blocks(tmp_path):
    images = np.arange(0, 250, dtype=np.uint8)[:, None, None, None].repeat(4, 1)
    LFApplier([dark_is_zero]).apply(images, store=RunStore(tmp_path))
    saved = [dict(np.load(path)) for path in tmp_path.glob("votes/*/*.npz")]
    of_blocks = [arrays["votes"] for arrays in saved if "votes" in arrays]
    assert sorted(len(votes) for votes in of_blocks) == [122, 128]
