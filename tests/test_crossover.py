"""How many labels functions are worth that need none, as `apply` and `diagnose` say."""

import json

import numpy as np
import pytest

from lfkit.metrics.labels.crossover import crossover
from lfkit.runs.run_summary import Crossover

LFS = """
from lfkit import NearestMean, feature, labeling_function

CLASSES = ["left", "right"]


@feature(batched=True)
def left_over_right(images):
    left, right = images.chunk(2, dim=3)
    return left.mean(dim=(1, 2, 3)) - right.mean(dim=(1, 2, 3))


@labeling_function(classes=[0, 1], features=[left_over_right], batched=True)
def bright_side_names_it(gap):
    return (gap < 0).long()


@labeling_function(
    classes=[0, 1],
    features=[left_over_right],
    thresholds={"rule": NearestMean(left_over_right)},
    batched=True,
    soft=True,
)
def gap_is_that_of_class(gap, *, rule):
    return rule(gap)
"""


def blobs(per_class=40, gap=1.5, seed=0):
    """Two classes a distance apart in one of five directions, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], per_class)
    rows = rng.normal(size=(len(labels), 5))
    rows[:, 0] += gap * labels
    return rows, labels


def wrong_on(labels, share):
    named = labels.copy()
    rows = np.random.default_rng(1).permutation(len(labels))[: int(share * len(labels))]
    named[rows] = 1 - named[rows]
    return named


def test_more_accurate_functions_are_worth_more_labels():
    rows, labels = blobs()
    found = [
        crossover({"x": rows}, labels, wrong_on(labels, share), n_functions=3)
        for share in (0.5, 0.35, 0.25)
    ]
    worth = [one.worth for one in found]
    assert worth[0] < 1
    assert worth == sorted(worth)
    assert found[0].per_class == (1, 2, 5, 10, 20, 30)
    assert [one.accuracy for one in found] == [0.5, 0.65, 0.75]
    # What no number of these seeds reaches is worth more than the largest.
    perfect = crossover({"x": rows}, labels, labels, n_functions=3)
    assert perfect.worth is None
    assert "more than 30 labels per class" in perfect.sentence


def test_one_function_has_one_vote():
    rows, labels = blobs()
    found = crossover({"x": rows}, labels, labels, n_functions=1)
    assert "its vote is right on 100.0 %" in found.sentence


def test_functions_as_right_as_a_number_of_seeds_are_worth_as_many():
    rows, labels = blobs(per_class=200)
    curve = crossover({"x": rows}, labels, labels, n_functions=1)
    place = curve.per_class.index(10)
    wrong = 1 - curve.seeds_alone[place]
    alike = crossover({"x": rows}, labels, wrong_on(labels, wrong), n_functions=1)
    assert alike.worth == pytest.approx(10, rel=0.15)


def test_the_features_that_tell_most_are_the_ones_compared_with():
    rows, labels = blobs(gap=4)
    noise = np.random.default_rng(2).normal(size=(80, 7))
    found = crossover({"noise": noise, "x": rows}, labels, labels, n_functions=1)
    assert found.features == "x"
    assert found.seeds_alone[-1] > 0.9


def test_silence_and_ties_are_wrong():
    rows, labels = blobs()
    named = labels.copy()
    named[:20] = -1
    found = crossover({"x": rows}, labels, named, n_functions=1)
    assert found.accuracy == 0.75


def test_where_more_seeds_add_nothing_the_first_number_counts():
    rows, labels = blobs(gap=40)
    found = crossover({"x": rows}, labels, labels, n_functions=1)
    assert found.seeds_alone[-2:] == (1.0, 1.0)
    first = found.per_class[found.seeds_alone.index(1.0)]
    assert found.worth == pytest.approx(first)


def test_seeds_that_all_look_alike_tell_nothing_and_stop_nothing():
    labels = np.repeat([0, 1], 6)
    found = crossover({"x": np.ones((12, 4))}, labels, labels, n_functions=1)
    assert found.worth is None


@pytest.mark.parametrize("labels", [[0] * 12, [0] * 8 + [1] * 4])
def test_too_few_seeds_tell_nothing(labels):
    rows = np.arange(12.0)[:, None]
    labels = np.array(labels)
    assert crossover({"x": rows}, labels, labels, n_functions=1) is None
    enough = np.arange(12) % 2
    assert crossover({"x": rows}, enough, enough, n_functions=1) is not None


def test_apply_and_diagnose_say_what_functions_are_worth(lfkit, tmp_path):
    (tmp_path / "lfs.py").write_text(LFS)
    rng = np.random.default_rng(0)
    truth = np.arange(120) % 2
    images = rng.integers(0, 120, size=(120, 8, 8, 1))
    images[truth == 0, :, :4] += 40
    images[truth == 1, :, 4:] += 40
    np.savez(tmp_path / "data.npz", images=images.astype(np.uint8), labels=truth)
    run = tmp_path / "run"
    options = ("--lfs", tmp_path / "lfs.py", "--seeds-per-class", 8, "--out", run)
    done = lfkit("apply", tmp_path / "data.npz", *options, "--no-sheet", "--json")
    assert done.code == 0, done.err
    found = Crossover(**json.loads(done.out)["crossover"])
    assert (found.functions, found.seeds) == (1, 16)  # the other one is fitted to them
    assert found.accuracy == 1
    assert tuple(found.per_class) == (1, 2, 5, 6)
    told = lfkit("diagnose", run, "--json")
    assert json.loads(told.out)["crossover"]["accuracy"] == 1
    assert "labels per class" in " ".join(lfkit("diagnose", run).out.split())
    # The same call again fits nothing: neither labels take the place of the others.
    kept = sorted(run.glob("fitted/**/*"))
    before = {path: path.stat().st_mtime_ns for path in kept if path.is_file()}
    again = lfkit("apply", tmp_path / "data.npz", *options, "--no-sheet", "--json")
    assert json.loads(again.out)["crossover"] == json.loads(done.out)["crossover"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(before) > 2
    # Where no stage has looked at images, votes count; else what these have taught.
    sure = "(gap < 0).long() - 2 * (gap.abs() < 0.16).long()"
    text = LFS.replace("(gap < 0).long()", f"({sure}).clamp(min=-1)")
    (tmp_path / "lfs.py").write_text(text)  # silent on half of the images
    found = []
    for stages in ("lda", "lda,self-training"):
        refined = ("--refine", "--stages", stages, "--no-sheet", "--json")
        done = lfkit("apply", tmp_path / "data.npz", *options, *refined)
        assert done.code == 0, done.err
        found.append(Crossover(**json.loads(done.out)["crossover"]))
    by_votes, by_images = found
    assert (by_votes.functions, by_votes.is_refined) == (1, False)
    assert by_votes.accuracy < 0.8
    assert (by_images.functions, by_images.is_refined) == (1, True)
    assert by_images.accuracy > 0.9
    assert by_images.sentence.startswith("What one function and the images tell")
    # Without seeds nothing can be compared.
    alone = ("--lfs", f"{tmp_path / 'lfs.py'}:bright_side_names_it", "--out", run)
    done = lfkit("apply", tmp_path / "data.npz", *alone, "--no-sheet", "--json")
    assert json.loads(done.out)["crossover"] is None
