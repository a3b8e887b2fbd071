"""Few seeds make labels no worse than none: both are made, and multiplied."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from assertions import assert_refused

from lfkit import load_labeler
from lfkit.aggregators import MajorityVote
from lfkit.commands.apply import apply
from lfkit.commands.vote_sources import wants_unseeded
from lfkit.data.votes import Votes
from lfkit.refinement import ArrayFeatures, Refiner, cheap_stages, refine
from lfkit.runs.apply_options import ApplyOptions
from lfkit.runs.store import MemoryStore

CHEAP = ("lda", "align", "self-training", "diffuse", "metric")
RULES = """
import numpy as np

from lfkit import ABSTAIN, NearestMean, feature, labeling_function

CLASSES = ["left", "right"]


@labeling_function(classes=[0, 1])
def brighter_side(image):
    left, right = image[:, :5].mean(), image[:, 5:].mean()
    return ABSTAIN if abs(left - right) < 8 else int(right > left)
"""
# Each learns from two seeds a class what one dark pixel tells: nothing.
POOR = """

def like(values, *, rule):
    return rule(values)


def poor(row):
    @feature(name=f"pixel_{row}", batched=True)
    def pixel(images):
        return images[:, :1, row, 0]

    return labeling_function(
        classes=[0, 1],
        features=[pixel],
        thresholds={"rule": NearestMean(pixel)},
        batched=True,
        soft=True,
        name=f"like_pixel_{row}",
    )(like)


LFS = [brighter_side, *map(poor, range(10))]
"""


def sides(n=300, seed=0):
    """Images (n, 10, 10, 1), bright on the left (0) or on the right (1)."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, size=n)
    pixels = rng.integers(0, 150, size=(n, 10, 10))
    pixels[:, 2:8, 1:4] += np.where(truth == 0, 60, 0)[:, None, None]
    pixels[:, 2:8, 6:9] += np.where(truth == 1, 60, 0)[:, None, None]
    return pixels.astype(np.uint8)[..., None], truth


def votes_of(truth, right, n_functions, seed):
    """Functions that are right on this share, all alike."""
    rng = np.random.default_rng(seed)
    wrong = rng.random((len(truth), n_functions)) > right
    hard = np.where(wrong, 1 - truth[:, None], truth[:, None])
    return Votes(hard, tuple(f"f{j}" for j in range(n_functions)), 2)


def seeded(votes, truth, per_class):
    rows = np.sort(
        np.concatenate([np.flatnonzero(truth == c)[:per_class] for c in (0, 1)])
    )
    return Votes(
        votes.hard,
        votes.names,
        2,
        seed_rows=rows,
        seed_labels=truth[rows],
        seed_out_of_fold=votes.rows(rows),
    )


@pytest.fixture(scope="module")
def scene():
    """Images, good votes that know no seed, and worse ones with 8 seeds a class."""
    pixels, truth = sides()
    free = votes_of(truth, 0.85, 3, seed=1)
    return pixels, truth, free, seeded(votes_of(truth, 0.55, 8, seed=2), truth, 8)


def refined(pixels, votes, **options):
    flat = pixels.reshape(len(pixels), -1)
    return refine(
        pixels,
        votes,
        aggregator=MajorityVote(),
        features=options.pop("features", flat),
        stages=options.pop("stages", CHEAP),
        **options,
    )


def right(proba, truth, votes):
    others = np.setdiff1d(np.arange(len(truth)), votes.seed_rows)
    return (proba.argmax(axis=1) == truth)[others].mean()


def test_what_is_known_without_seeds_is_taken_in_last(scene):
    pixels, truth, free, votes = scene
    # Stages of the votes alone, so that these make the difference.
    first = refined(pixels, free, stages=cheap_stages())
    alone = refined(pixels, votes, stages=("align",), truth=truth)
    both = refined(pixels, votes, stages=("align",), truth=truth, without_seeds=first)
    assert [stage.name for stage in both.stages] == ["votes", "align", "without-seeds"]
    assert right(alone.proba, truth, votes) < 0.8
    assert right(both.proba, truth, votes) > 0.95
    assert both.stages[-1].accuracy == right(both.proba, truth, votes)
    assert both.held_out.of == "without-seeds"
    assert both.note == "refined by without-seeds"
    np.testing.assert_allclose(both.proba.sum(axis=1), 1)
    np.testing.assert_array_equal(
        both.proba[votes.seed_rows].argmax(axis=1), votes.seed_labels
    )


def test_wrong_labels_without_seeds_do_little_harm(scene):
    pixels, truth, free, _ = scene
    opposite = Votes(1 - free.hard, free.names, 2)
    first = refined(pixels, opposite, stages=cheap_stages())
    good = seeded(votes_of(truth, 0.9, 5, seed=3), truth, 20)
    alone = refined(pixels, good)
    both = refined(pixels, good, without_seeds=first)
    assert right(first.proba, truth, good) < 0.2
    assert right(both.proba, truth, good) > right(alone.proba, truth, good) - 0.02


def test_new_images_are_labeled_by_both(scene):
    pixels, _, free, votes = scene
    first = refined(pixels, free, stages=cheap_stages())
    both = refined(pixels, votes, stages=("lda",), without_seeds=first)
    assert both.stages[-1].note == ""
    new, new_truth = sides(seed=5)
    flat = {"features": ArrayFeatures([new.reshape(len(new), -1)])}
    found = both.model.predict_proba(new, None, flat)
    told = both.model.predict_proba(new, None, flat, np.eye(2)[new_truth])
    assert (found.argmax(axis=1) == new_truth).mean() > 0.9
    assert not np.allclose(found, told)


def test_the_same_again_from_the_store(scene):
    pixels, _, free, votes = scene
    store = MemoryStore()
    found = [
        refined(
            pixels,
            votes,
            store=store,
            without_seeds=refined(pixels, free, stages=cheap_stages(), store=store),
        )
        for _ in range(2)
    ]
    np.testing.assert_array_equal(found[0].proba, found[1].proba)


def test_an_estimator_takes_votes_without_seeds(scene):
    pixels, truth, free, votes = scene
    refiner = Refiner(MajorityVote(), stages=("align",))
    refiner.fit(pixels, votes, without_seeds=free)
    assert refiner.refined_.stages[-1].name == "without-seeds"
    assert right(refiner.refined_.proba, truth, votes) > 0.8
    refiner.fit(pixels, free, without_seeds=free)
    assert "without-seeds" not in [s.name for s in refiner.refined_.stages]


def test_labels_are_as_sure_as_before_where_no_seed_judges(scene):
    pixels, truth, free, votes = scene
    blind = replace(votes, seed_out_of_fold=None)
    first = refined(pixels, free, stages=cheap_stages())
    alone = refined(pixels, blind, stages=("align",))
    both = refined(pixels, blind, stages=("align",), without_seeds=first)
    assert both.held_out is None
    assert right(both.proba, truth, votes) > right(alone.proba, truth, votes) + 0.1
    others = np.setdiff1d(np.arange(len(truth)), votes.seed_rows)
    sure = [one.proba[others].max(axis=1).mean() for one in (alone, both)]
    assert sure[0] == pytest.approx(sure[1], abs=0.02)


def test_labels_of_other_images_are_refused(scene):
    pixels, _, free, votes = scene
    first = refined(pixels[:100], free.rows(np.arange(100)), stages=cheap_stages())
    with assert_refused(names="without_seeds", values="(100, 2)", allowed="(300, 2)"):
        refined(pixels, votes, without_seeds=first)


def test_without_seeds_there_is_nothing_to_take_in(scene):
    pixels, _, free, _ = scene
    first = refined(pixels, free, stages=cheap_stages())
    again = refined(pixels, free, without_seeds=first)
    assert "without-seeds" not in [stage.name for stage in again.stages]
    assert again.model.without_seeds is None
    # Where no stage looked at the images, nothing is said of what these tell.
    votes = seeded(free, sides()[1], 8)
    by_votes = refined(pixels, free, stages=("align",))
    assert not by_votes.is_refined
    assert refined(pixels, votes, without_seeds=by_votes).without_seeds is None
    assert refined(pixels, votes, without_seeds=first).without_seeds is first.proba


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A rule that needs no seeds among ten poor ones: without seeds and with few."""
    folder = tmp_path_factory.mktemp("runs")
    pixels, truth = sides()
    np.savez(folder / "images.npz", images=pixels, labels=truth)
    (folder / "rules.py").write_text(RULES + POOR)
    return folder, {
        name: apply(
            ApplyOptions(
                data=str(folder / "images.npz"),
                out=folder / name,
                lfs=(str(folder / "rules.py"),),
                seeds_per_class=seeds,
                refine=True,
                stages=CHEAP,
                baselines=False,
                sheet=False,
            )
        )
        for name, seeds in (("none", None), ("one", 1), ("few", 2))
    }


def test_one_or_two_seeds_a_class_are_no_worse_than_none(runs):
    _, found = runs
    right = {name: one.accuracy.of_all for name, one in found.items()}
    assert right["none"] > 0.9
    assert min(right["one"], right["few"]) > right["none"] - 0.02
    # What the seeds alone have taught is worse.
    seeded = found["few"].refinement.stages[-2]
    assert seeded.accuracy < right["none"] - 0.05
    stages = {
        name: [stage.name for stage in one.refinement.stages]
        for name, one in found.items()
    }
    assert stages["one"][-1] == stages["few"][-1] == "without-seeds"
    assert "without-seeds" not in stages["none"]


def test_a_frozen_run_labels_as_the_run_does(lfkit, runs):
    folder, _ = runs
    labeler = folder / "labeler"
    done = lfkit("freeze", str(folder / "few"), "--out", str(labeler), "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["agreement"] > 0.9
    labels = load_labeler(labeler, trust_code=True)(sides()[0]).labels
    written = pq.read_table(folder / "few" / "labels.parquet").to_pandas()["label"]
    same = (np.array(["left", "right"])[labels] == written).mean()
    assert same > 0.9


BROKEN_BY_DEFAULT = """

@feature(name="left", batched=True)
def left(images):
    return images[:, :, :5].mean(axis=(1, 2))


@labeling_function(
    classes=[0, 1],
    features=[left],
    thresholds={"rule": NearestMean(left)},
    soft=True,
)
def by_rule(value, *, rule=None):
    return rule(value)


LFS = [brighter_side, by_rule]
"""


def test_what_fails_by_its_default_is_told_and_stops_a_strict_run(lfkit, tmp_path):
    pixels, truth = sides(n=60)
    np.savez(tmp_path / "images.npz", images=pixels, labels=truth)
    (tmp_path / "rules.py").write_text(RULES + BROKEN_BY_DEFAULT)

    def run(*options):
        return lfkit(
            "apply",
            str(tmp_path / "images.npz"),
            *("--lfs", str(tmp_path / "rules.py"), "--seeds-per-class", "4"),
            *("--out", str(tmp_path / "run"), "--no-baselines", "--no-sheet"),
            *options,
        )

    def faults():
        return json.loads((tmp_path / "run" / "faults.json").read_text())["functions"]

    done = run()
    assert done.code == 0, done.err
    assert not faults()  # what has learned from the seeds works
    done = run("--refine", "--stages", "lda")
    assert done.code == 0, done.err
    name = "by_rule (by the defaults of its thresholds)"
    assert [each["images"] for each in faults()[name].values()] == [60]
    assert [*faults()] == [name]
    assert "without-seeds" in done.out  # brighter_side votes
    done = run("--refine", "--stages", "lda", "--strict")
    assert done.code == 2
    assert "by_rule" in done.err
    assert "without seeds" in done.err.splitlines()[-1]
    done = run("--refine", "--stages", "lda,without-seeds")
    assert done.code == 2
    assert "run by itself" in done.err


def test_stages_that_train_networks_alone_make_nothing_vote_a_second_time():
    def wants(**options):
        return wants_unseeded(ApplyOptions("digits", lfs=("rules.py",), **options))

    assert wants(refine=True)
    assert wants(refine=True, stages=("align",))
    assert not wants(refine=True, stages=("cnn", "joint"))
    assert not wants(refine=True, aggregator="baseline")
    assert not wants()
