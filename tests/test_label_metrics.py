"""Labels of generated pairs against a judge: exact answers, on images made of truth."""

import json

import numpy as np
import pytest

from lfkit.data.datasets import ArraySource
from lfkit.data.image_source import ReadImages
from lfkit.errors import DataError, InputError
from lfkit.metrics import CrossEntropy, ImageSet, LabelFidelity, MetricContext
from lfkit.runs.json_text import to_json

K = 4


def images_of(classes):
    """Images (n, 2, 3, 1) that say their class in every pixel."""
    return np.broadcast_to(
        np.asarray(classes, np.uint8)[:, None, None, None], (len(classes), 2, 3, 1)
    ).copy()


def pairs(classes, labels=None, name="made"):
    labels = classes if labels is None else labels
    proba = labels if np.ndim(labels) == 2 else np.eye(K)[labels]
    return ImageSet(images_of(classes), proba, name=name)


def knows(pixels):
    """A judge that is never wrong and always sure."""
    return np.eye(K)[pixels[:, 0, 0, 0]]


def found(metric, generated, real=None, judge=knows, **tools):
    tools = MetricContext(judge=judge, judge_name="truth@1", **tools)
    assert metric.why_not(generated, real, tools) is None
    return {s.metric: s for s in metric.score(generated, real, tools)}


def values(scores):
    return {name: score.value for name, score in scores.items()}


BALANCED = np.arange(400) % K


def swapped(share):
    """The classes 0..3, the first of the rows of each exchanged for the next class."""
    wrong = np.arange(400) // K < share * 100
    return np.where(wrong, (BALANCED + 1) % K, BALANCED)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_swapped_labels_lower_fidelity_by_their_share_and_leave_the_marginals(share):
    scores = found(LabelFidelity(), pairs(BALANCED, swapped(share)), pairs(BALANCED))
    assert scores["label fidelity"].value == 1 - share
    assert scores["label fidelity, macro"].value == 1 - share
    for c in range(K):
        assert scores[f"label fidelity of class {c}"].value == 1 - share
        assert scores[f"share of class {c}"].value == 0.25
    assert scores["class-marginal distance"].value == 0
    assert scores["class-marginal distance of the judge's classes"].value == 0
    expected_error = np.sqrt(share * (1 - share) / 400)
    assert scores["label fidelity"].error == pytest.approx(expected_error)


def test_macro_and_classes_by_hand():
    classes = np.asarray([0, 0, 0, 0, 1, 1, 2])
    labels = np.asarray([0, 0, 0, 1, 1, 2, 2])
    # Given 0: 3 of 3 right. Given 1: 1 of 2. Given 2: 1 of 2. Given 3: never.
    scores = found(LabelFidelity(), pairs(classes, labels), pairs(classes))
    assert scores["label fidelity"].value == pytest.approx(5 / 7)
    assert scores["label fidelity, macro"].value == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert scores["label fidelity, macro"].note == "1 of 4 classes are never given."
    assert scores["label fidelity, macro"].error == pytest.approx(
        np.sqrt(2 * 0.25 / 2) / 3
    )
    assert scores["label fidelity of class 1"].value == 0.5
    assert scores["label fidelity of class 1"].protocol.n_generated == 2
    never = scores["label fidelity of class 3"]
    assert np.isnan(never.value)
    assert never.error is None
    assert never.note == "No image is of class 3."


def test_dropped_classes_move_the_marginal_distance_exactly_and_nothing_else():
    kept = BALANCED[BALANCED != 3]
    before = values(found(LabelFidelity(), pairs(BALANCED), pairs(BALANCED)))
    after = values(found(LabelFidelity(), pairs(kept), pairs(BALANCED)))
    # Three classes of 1/3 against four of 1/4: half of 3/12 + 1/4.
    assert after["class-marginal distance"] == pytest.approx(0.25)
    distance = after["class-marginal distance of the judge's classes"]
    assert distance == pytest.approx(0.25)
    assert after["share of class 3"] == 0
    assert after["share of class 0"] == pytest.approx(1 / 3)
    for name in ("label fidelity", "label fidelity, macro", "label ECE", "label NLL"):
        assert after[name] == before[name]


def test_images_that_lack_a_class_move_only_the_distance_of_the_judges_classes():
    shown = np.where(BALANCED == 3, 0, BALANCED)
    scores = values(found(LabelFidelity(), pairs(shown, BALANCED), pairs(BALANCED)))
    assert scores["class-marginal distance"] == 0
    distance = scores["class-marginal distance of the judge's classes"]
    assert distance == pytest.approx(0.25)


def test_shares_are_those_of_the_distributions_not_of_their_maxima():
    labels = np.tile([0.6, 0.4, 0, 0], (10, 1))
    scores = values(found(LabelFidelity(), pairs(np.zeros(10, int), labels)))
    assert scores["share of class 0"] == pytest.approx(0.6)
    assert scores["share of class 1"] == pytest.approx(0.4)


def test_wanted_shares_stand_in_for_real_ones():
    metric = LabelFidelity(target_shares=[0.4, 0.2, 0.2, 0.2])
    scores = found(metric, pairs(BALANCED), pairs(BALANCED[:1]))
    assert scores["class-marginal distance"].value == pytest.approx(0.15)
    assert scores["class-marginal distance"].protocol.n_real == 0
    assert scores["share of class 0"].protocol.details["wanted"] == 0.4
    for wrong in ([0.5, 0.5], [0.5, 0.5, 0.5, 0.5]):
        with pytest.raises(InputError, match="expected 4 shares that sum to 1"):
            found(LabelFidelity(target_shares=wrong), pairs(BALANCED))


def test_without_real_labels_there_is_no_distance():
    unlabeled = ImageSet(images_of(BALANCED), name="bare")
    for real in (None, unlabeled):
        score = found(LabelFidelity(), pairs(BALANCED), real)["class-marginal distance"]
        assert np.isnan(score.value)
        assert score.note == "There are no real labels and no target shares."


def test_calibration_by_hand():
    # Forty labels in two bins of 20: half-sure ones of which 5 are right, then ones
    # sure to 0.9 of which 16 are right.
    low, high = np.tile([0.5, 0.3, 0.2, 0], (20, 1)), np.tile([0.9, 0.1, 0, 0], (20, 1))
    classes = np.asarray([0] * 5 + [1] * 15 + [0] * 16 + [1] * 4)
    scores = values(found(LabelFidelity(), pairs(classes, np.concatenate([low, high]))))
    assert scores["label ECE"] == pytest.approx(0.5 * abs(0.5 - 0.25) + 0.5 * 0.1)
    brier = [0.25 + 0.09 + 0.04, 0.25 + 0.49 + 0.04, 0.01 + 0.01, 0.81 + 0.81]
    expected = np.dot(brier, [5, 15, 16, 4]) / 40
    assert scores["label Brier score"] == pytest.approx(expected)
    logs = -np.log([0.5, 0.3, 0.9, 0.1])
    assert scores["label NLL"] == pytest.approx(np.dot(logs, [5, 15, 16, 4]) / 40)


def test_sharper_labels_change_calibration_and_not_fidelity():
    # Of any twenty rows in order, a bin of the ECE, 16 are right.
    classes, right = BALANCED[:200], np.arange(200) // K % 5 < 4
    labels = np.where(right, classes, (classes + 1) % K)
    scores = []
    for sure in (0.8, 0.97):
        proba = np.full((200, K), (1 - sure) / (K - 1))
        proba[np.arange(200), labels] = sure
        made = pairs(classes, proba)
        scores.append(values(found(LabelFidelity(), made, pairs(classes))))
    honest, boastful = scores
    assert honest["label ECE"] == pytest.approx(0, abs=1e-9)
    assert boastful["label ECE"] == pytest.approx(0.17)
    assert boastful["label NLL"] > honest["label NLL"]
    for name in ("label fidelity", "label fidelity, macro", "class-marginal distance"):
        assert boastful[name] == pytest.approx(honest[name])


def test_labels_that_exclude_the_judges_class_are_counted_in_the_note():
    score = found(LabelFidelity(), pairs(np.arange(4), [1, 1, 2, 3]))["label NLL"]
    assert score.value == pytest.approx(690 / 4)
    assert score.note == (
        "1 labels give the judge's class probability 0; each counts as 690 nats."
    )


def test_real_test_images_say_how_far_the_judge_can_be_believed():
    test = pairs([0, 1, 2, 2], [0, 1, 2, 3], name="digits:test")
    scores = found(LabelFidelity(), pairs(BALANCED), pairs(BALANCED), test=test)
    beside = scores["label fidelity of real images"]
    assert beside.value == 0.75
    assert (beside.protocol.n_real, beside.protocol.real) == (4, "digits:test")
    assert beside.protocol.n_generated == 0
    assert "label fidelity of real images" not in found(
        LabelFidelity(), pairs(BALANCED), test=ImageSet(images_of([1]), name="bare")
    )


def test_images_without_a_label_are_left_out_and_counted():
    labels = np.eye(K)[[0, 1, 0]]
    labels[2] = 0
    for metric, name in (
        (LabelFidelity(), "label fidelity"),
        (CrossEntropy(), "cross-entropy"),
    ):
        score = found(metric, pairs([0, 1, 3], labels))[name]
        assert score.protocol.n_generated == 2
        assert score.note == (
            "1 of 3 images have no label or cannot be read, and are left out."
        )
    assert (
        found(LabelFidelity(), pairs([0, 1], labels[:2]))["label fidelity"].note == ""
    )


class Torn(ArraySource):
    """Images of which some cannot be read."""

    def __init__(self, pixels, torn):
        super().__init__(pixels)
        self.torn = {*torn}

    def read(self, rows):
        problems = {
            place: "torn" for place, row in enumerate(rows.tolist()) if row in self.torn
        }
        return ReadImages(super().read(rows).pixels, problems)


def test_unreadable_images_are_left_out():
    made = ImageSet(Torn(images_of([0, 1, 2]), [1]), np.eye(K)[[0, 0, 1]], name="made")
    score = found(LabelFidelity(), made)["label fidelity"]
    assert score.value == 0.5
    assert score.protocol.n_generated == 2


@pytest.mark.parametrize("metric", [LabelFidelity(), CrossEntropy()])
def test_where_no_image_can_be_read_the_error_says_so(metric):
    made = ImageSet(Torn(images_of([0, 1]), [0, 1]), np.eye(K)[[0, 1]], name="made")
    with pytest.raises(DataError, match="none of the 2 labeled images of made can be"):
        found(metric, made)


@pytest.mark.parametrize("metric", [LabelFidelity(), CrossEntropy()])
def test_a_judge_of_other_classes_is_refused(metric):
    with pytest.raises(InputError, match=r"truth@1 gives .* shape \(4, 3\) for 4 im"):
        found(metric, pairs(np.arange(4)), judge=lambda pixels: knows(pixels)[:, :3])


@pytest.mark.parametrize("metric", [LabelFidelity(), CrossEntropy()])
def test_what_is_missing_is_said(metric):
    made = pairs(BALANCED)
    assert metric.why_not(made, None, MetricContext()) == "it needs judge"
    bare = ImageSet(images_of(BALANCED), name="bare")
    assert metric.why_not(bare, None, MetricContext(judge=knows)) == "it needs labels"
    empty = pairs([0, 1], np.zeros((2, K)))
    reason = metric.why_not(empty, None, MetricContext(judge=knows))
    assert reason == "no image of made has a label"


def test_real_images_of_other_classes_are_refused():
    real = ImageSet(images_of([0, 1]), np.eye(2), name="pairs-of-two")
    reason = LabelFidelity().why_not(pairs(BALANCED), real, MetricContext(judge=knows))
    assert reason == "pairs-of-two has 2 classes and made 4"


def unsure(pixels):
    """A judge that gives 0.7 to the true class and 0.1 to each other."""
    return 0.1 + 0.6 * knows(pixels)


def test_cross_entropy_by_hand():
    scores = found(CrossEntropy(), pairs([0, 1, 2, 3], [0, 1, 2, 2]), judge=unsure)
    losses = -np.log([0.7, 0.7, 0.7, 0.1])
    assert scores["cross-entropy"].value == pytest.approx(losses.mean())
    error = losses.std(ddof=1) / 2
    assert scores["cross-entropy"].error == pytest.approx(error)
    assert scores["cross-entropy"].protocol.details["unit"] == "nats"


def test_cross_entropy_is_of_the_most_probable_label():
    soft = np.asarray([[0.4, 0.2, 0.2, 0.2]])
    score = found(CrossEntropy(), pairs([0], soft), judge=unsure)["cross-entropy"]
    assert score.value == pytest.approx(-np.log(0.7))
    assert score.error is None


def test_one_excluded_label_costs_no_more_than_its_floor():
    score = found(CrossEntropy(), pairs([0, 1], [0, 0]))["cross-entropy"]
    assert score.value == pytest.approx(-np.log(1e-12) / 2)


def test_cross_entropy_grows_with_swapped_labels_and_not_with_dropped_classes():
    def entropy(made):
        return found(CrossEntropy(), made, judge=unsure)["cross-entropy"].value

    whole = entropy(pairs(BALANCED))
    assert entropy(pairs(BALANCED, swapped(0.5))) == pytest.approx(
        whole + 0.5 * np.log(7)
    )
    assert entropy(pairs(BALANCED[BALANCED != 3])) == pytest.approx(whole)


def test_cross_entropy_of_real_images_stands_beside():
    test = pairs([0, 1], [0, 2], name="digits:test")
    scores = found(CrossEntropy(), pairs(BALANCED), judge=unsure, test=test)
    beside = scores["cross-entropy of real images"]
    assert beside.value == pytest.approx(-np.log([0.7, 0.1]).mean())
    assert beside.protocol.real == "digits:test"


@pytest.mark.parametrize("metric", [LabelFidelity(), CrossEntropy()])
def test_images_are_judged_a_chunk_at_a_time_whatever_their_order(metric):
    sizes = []

    def judge(pixels):
        sizes.append(len(pixels))
        return unsure(pixels)

    rng = np.random.default_rng(0)
    classes, proba = rng.integers(K, size=3000), rng.dirichlet(np.ones(K), 3000)
    told = []
    scores = found(
        metric,
        pairs(classes, proba),
        pairs(BALANCED),
        judge,
        progress=lambda *news: told.append(news),
    )
    assert max(sizes) <= 1024 < sum(sizes) == 3000
    assert told[-1] == ("judging made", 3000, 3000)
    order = rng.permutation(3000)
    again = found(metric, pairs(classes[order], proba[order]), pairs(BALANCED), judge)
    assert values(again) == pytest.approx(values(scores))


@pytest.mark.parametrize("metric", [LabelFidelity(), CrossEntropy()])
def test_scores_have_a_protocol_and_fit_into_json(metric):
    scores = found(
        metric, pairs(BALANCED), pairs(BALANCED), random_state=7, checkpoint="best"
    )
    for score in scores.values():
        assert score.protocol.details["judge"] == "truth@1"
        assert (score.protocol.seed, score.protocol.checkpoint) == (7, "best")
        assert json.loads(to_json(score.to_dict()))["metric"] == score.metric
