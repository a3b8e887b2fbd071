"""LFAnalysis and error buckets."""

import subprocess
import sys

import numpy as np
import pytest
from assertions import assert_refused

from lfkit.data.votes import Votes
from lfkit.errors import VotesError
from lfkit.labeling.analysis import LFAnalysis, error_buckets

MATRIX = np.array([[-1, 0, 0], [-1, -1, -1], [1, 0, -1], [-1, 0, -1], [0, 0, 0]])


def votes_with_sets():
    """Image 0: "0 or 1" and 1. Image 1: "0 or 1" and 2. Image 2: "0 or 1" alone."""
    allowed = np.zeros((3, 2, 3), dtype=bool)
    allowed[:, 0, :2] = True
    hard = np.array([[-1, 1], [-1, 2], [-1, -1]])
    return Votes(hard, names=("set", "single"), n_classes=3, allowed=allowed)


def test_shares_of_images():
    analysis = LFAnalysis(MATRIX)
    assert analysis.label_coverage() == 0.8
    assert analysis.label_overlap() == 0.6
    assert analysis.label_conflict() == 0.2


def test_statistics_per_function():
    analysis = LFAnalysis(MATRIX)
    assert analysis.lf_polarities() == [[0, 1], [0], [0]]
    assert analysis.lf_coverages().tolist() == [0.4, 0.8, 0.4]
    assert analysis.lf_overlaps().tolist() == [0.4, 0.6, 0.4]
    assert analysis.lf_overlaps(normalize_by_coverage=True) == pytest.approx(
        [1, 0.75, 1]
    )
    assert analysis.lf_conflicts().tolist() == [0.2, 0.2, 0]
    assert analysis.lf_conflicts(normalize_by_overlaps=True) == pytest.approx(
        [1 / 2, 1 / 3, 0]
    )


def test_unknown_labels_are_not_counted():
    analysis = LFAnalysis(MATRIX)
    labels = [0, 0, 1, -1, 1]
    assert analysis.lf_empirical_accuracies(labels).tolist() == [0.5, 1 / 3, 0.5]
    summary = analysis.lf_summary(labels)
    assert summary["Correct"].tolist() == [1, 1, 1]
    assert summary["Incorrect"].tolist() == [1, 2, 1]


def test_accuracy_of_a_function_that_never_votes_is_nan():
    accuracies = LFAnalysis(np.array([[0, -1], [1, -1]])).lf_empirical_accuracies(
        [0, 0]
    )
    np.testing.assert_array_equal(accuracies, [0.5, np.nan])


def test_summary_has_snorkels_columns_in_order():
    summary = LFAnalysis(MATRIX).lf_summary()
    assert summary.columns.tolist() == ["Polarity", "Coverage", "Overlaps", "Conflicts"]
    assert summary.index.tolist() == [0, 1, 2]
    summary = LFAnalysis(MATRIX, ["a", "b", "c"]).lf_summary(
        np.zeros((5, 1)), est_weights=[1, 2, 3]
    )
    assert summary.columns.tolist() == [
        *("j", "Polarity", "Coverage", "Overlaps", "Conflicts"),
        *("Correct", "Incorrect", "Emp. Acc.", "Learned Weight"),
    ]
    assert summary.index.tolist() == ["a", "b", "c"]


def test_names_come_from_votes_or_functions():
    class Function:
        name = "from a function"

    votes = Votes(MATRIX, names=("a", "b", "c"), n_classes=2)
    assert LFAnalysis(votes).lf_summary().index.tolist() == ["a", "b", "c"]
    summary = LFAnalysis(MATRIX[:, :1], [Function()]).lf_summary()
    assert summary.index.tolist() == ["from a function"]


def test_set_votes_cover_and_conflict_when_no_class_satisfies_all():
    analysis = LFAnalysis(votes_with_sets())
    assert analysis.lf_polarities() == [[0, 1], [1, 2]]
    assert analysis.lf_coverages() == pytest.approx([1, 2 / 3])
    assert analysis.label_conflict() == pytest.approx(1 / 3)
    assert analysis.lf_conflicts() == pytest.approx([1 / 3, 1 / 3])


def test_set_vote_is_right_where_it_holds_the_label():
    summary = LFAnalysis(votes_with_sets()).lf_summary([1, 2, 5])
    assert summary["Correct"].tolist() == [1, 2]
    assert summary["Incorrect"].tolist() == [2, 0]


def test_no_images_give_nan_shares():
    analysis = LFAnalysis(np.zeros((0, 2), dtype=int))
    assert np.isnan(analysis.label_coverage())
    assert np.isnan(analysis.label_conflict())
    assert np.isnan(analysis.lf_coverages()).all()


def test_error_buckets_group_rows_by_true_and_predicted_class():
    buckets = error_buckets([0, 0, 1, 1, -1], np.array([0, 1, 1, 1, -1]))
    assert {pair: rows.tolist() for pair, rows in buckets.items()} == {
        (0, 0): [0],
        (0, 1): [1],
        (1, 1): [2, 3],
        (-1, -1): [4],
    }
    assert error_buckets([], []) == {}


@pytest.mark.parametrize(
    ("labels", "facts"),
    [
        ([0, 1], ["Y", "(2,)", "(5,)"]),
        ([[0, 1]] * 5, ["Y", "(5, 2)", "(5,)"]),
        ([0, 1, 0.5, 0, 0], ["Y", "image 2", "0.5", -1]),
        ([0, 1, 0, -2, 0], ["Y", "image 3", -2, -1]),
    ],
)
def test_wrong_labels_are_named(labels, facts):
    with assert_refused(names=facts):
        LFAnalysis(MATRIX).lf_summary(labels)


def test_errors_say_what_is_wrong():
    with assert_refused(VotesError, values=["2 names", "3 columns"]):
        LFAnalysis(MATRIX, ["a", "b"])
    with assert_refused(VotesError, names="shape"):
        LFAnalysis([0, 1])
    with assert_refused(names="est_weights", values="(2,)"):
        LFAnalysis(MATRIX).lf_summary(est_weights=[1, 2])
    with assert_refused(names="k", values=1):
        LFAnalysis(MATRIX).lf_empirical_probs([0] * 5, 1)
    with assert_refused(names="predicted", values="(1,)", allowed="(2,)"):
        error_buckets([0, 1], [0])
    with assert_refused(names=["labels", "shape"]):
        error_buckets(np.zeros((2, 2)), [0, 1])


def test_class_without_images_has_nan_probabilities():
    probs = LFAnalysis(MATRIX).lf_empirical_probs([0, 0, 1, 1, -1], 3)
    assert probs.shape == (3, 4, 3)
    assert probs[1, :, 0].tolist() == [0.5, 0.5, 0, 0]
    assert np.isnan(probs[:, :, 2]).all()


@pytest.mark.reference
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("n_classes", [2, 5])
def test_every_number_equals_snorkels(n_classes):
    from snorkel.labeling import LabelingFunction
    from snorkel.labeling import LFAnalysis as SnorkelAnalysis

    rng = np.random.default_rng(n_classes)
    matrix = rng.integers(-1, n_classes, (200, 6))
    matrix[rng.random(matrix.shape) < 0.5] = -1
    matrix[:, 5] = -1
    labels = rng.integers(0, n_classes, 200)
    lfs = [LabelingFunction(f"f{j}", f=abs) for j in range(6)]
    ours, theirs = LFAnalysis(matrix, lfs), SnorkelAnalysis(matrix, lfs)
    for name in ("label_coverage", "label_overlap", "label_conflict"):
        assert getattr(ours, name)() == pytest.approx(getattr(theirs, name)())
    for name in ("lf_coverages", "lf_overlaps", "lf_conflicts"):
        np.testing.assert_allclose(getattr(ours, name)(), getattr(theirs, name)())
    np.testing.assert_allclose(ours.lf_overlaps(True), theirs.lf_overlaps(True))
    np.testing.assert_allclose(ours.lf_conflicts(True), theirs.lf_conflicts(True))
    np.testing.assert_allclose(
        ours.lf_empirical_probs(labels, n_classes),
        theirs.lf_empirical_probs(labels, n_classes),
    )
    summary = ours.lf_summary(labels, np.arange(6.0)).drop(columns="Polarity")
    reference = theirs.lf_summary(labels, np.arange(6.0)).drop(columns="Polarity")
    assert summary.columns.tolist() == reference.columns.tolist()
    assert summary.index.tolist() == reference.index.tolist()
    assert np.isnan(summary["Emp. Acc."].iloc[5])
    np.testing.assert_allclose(summary.fillna(0).to_numpy(), reference.to_numpy())
    assert ours.lf_polarities() == theirs.lf_polarities()


def test_importing_analysis_loads_neither_pandas_nor_torch():
    code = (
        "import sys, lfkit.labeling.analysis;"
        "sys.exit(sorted({'pandas', 'torch'} & sys.modules.keys()) or 0)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def test_a_soft_vote_for_two_classes_alike_is_right_where_either_is_true():
    soft = np.zeros((3, 2, 3), np.float16)
    soft[:, 0] = [0, 0.4, 0.4]
    soft[2, 1, 0] = 1
    votes = Votes([[1, -1], [1, -1], [1, 0]], ("two", "one"), 3, soft=soft)
    table = LFAnalysis(votes)
    assert table.lf_polarities() == [[1, 2], [0]]
    assert table.lf_empirical_accuracies([1, 2, 0]).tolist() == [2 / 3, 1]
    assert table.label_conflict() == 1 / 3
