"""Diagnosis: gaps, copies, ceilings, floors."""

import json

import numpy as np
import pytest

from lfkit.diagnosis import diagnose
from lfkit.errors import InputError
from lfkit.votes import Votes


def make_votes(matrix, n_classes, **arrays):
    matrix = np.asarray(matrix)
    names = tuple(f"f{j}" for j in range(matrix.shape[1]))
    return Votes(matrix, names=names, n_classes=n_classes, **arrays)


def noisy_votes(n=400, k=3, m=5, accuracy=0.7, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    wrong = (truth[:, None] + rng.integers(1, k, (n, m))) % k
    matrix = np.where(rng.random((n, m)) < accuracy, truth[:, None], wrong)
    return matrix, truth


def test_classes_that_no_function_names():
    votes = make_votes([[0, -1], [-1, -1], [0, 2]], 4)
    found = diagnose(votes, class_names=["cat", "dog", "fox", "owl"])
    assert found.unnamed_classes == (1, 3)
    assert found.n_without_votes == 1
    assert found.sentences() == [
        "2 functions; 1 of 3 images (33.3%) have no vote.",
        "No function ever voted for 'dog', 'owl': votes alone cannot give that label; "
        "write a function for it.",
        "0 labels are known, too few to say how far votes alone can go; give at least "
        "30.",
    ]


def test_declared_classes_count_even_if_nobody_voted_for_them():
    votes = make_votes([[0, -1]], 4)
    found = diagnose(votes, lf_classes=[[0, 1], [3]])
    assert found.unnamed_classes == (2,)
    assert "No function can name 'class 2'" in found.sentences()[1]


def test_members_of_a_set_are_named():
    allowed = np.array([[[True, False, True]]])
    assert diagnose(make_votes([[-1]], 3, allowed=allowed)).unnamed_classes == (1,)


def test_nearly_equal_functions_are_found():
    matrix, _ = noisy_votes(n=300)
    copy = matrix[:, 0].copy()
    copy[:2] = (copy[:2] + 1) % 3
    copy[2:4] = -1
    found = diagnose(make_votes(np.column_stack([matrix, copy]), 3))
    assert len(found.copies) == 1
    pair = found.copies[0]
    voted = (matrix[:, 0] != -1).sum()
    lost = 4 - (matrix[:4, 0] == -1).sum()
    assert (pair.first, pair.second, pair.n_either) == ("f0", "f5", voted)
    assert pair.agreement == pytest.approx(1 - lost / voted)
    assert found.sentences()[1] == (
        f"'f0' and 'f5' agree on {pair.agreement:.1%} of the {voted} images where "
        "either votes: they count twice; drop one."
    )


def test_two_precise_functions_that_abstain_elsewhere_are_no_copies():
    truth = np.arange(300) % 3
    first, second = truth.copy(), truth.copy()
    first[:30] = second[30:60] = -1
    matrix = np.column_stack([first, second])
    assert diagnose(make_votes(matrix, 3)).copies == ()


def test_equal_answers_on_few_or_other_images_are_no_copies():
    rare = np.full((100, 2), -1)
    rare[:19] = 0
    assert diagnose(make_votes(rare, 2)).copies == ()
    apart = np.zeros((100, 2), dtype=int)
    apart[:20, 0] = apart[80:, 1] = -1  # 60 shared of 100
    assert diagnose(make_votes(apart, 2)).copies == ()


def test_ceiling_brackets_what_votes_can_do():
    matrix, truth = noisy_votes(n=2000, m=3)
    matrix[:, 0] = (truth + 1) % 3  # always wrong, so a supervised rule needs no other
    found = diagnose(make_votes(matrix, 3), labels=truth)
    ceiling = found.ceiling
    assert ceiling.n_known == 2000
    assert ceiling.majority_vote < 0.9
    assert ceiling.cross_fitted > 0.98
    assert ceiling.cross_fitted <= ceiling.in_sample == 1
    assert found.sentences()[-1].startswith(
        "On 2000 labeled images the majority vote is right "
    )


def test_ceiling_of_uninformative_votes_is_chance():
    matrix, truth = noisy_votes(n=3000, m=1, k=2, accuracy=0.5)
    ceiling = diagnose(make_votes(matrix, 2), labels=truth).ceiling
    assert ceiling.in_sample == pytest.approx(0.5, abs=0.03)
    assert ceiling.cross_fitted == pytest.approx(0.5, abs=0.03)


def test_new_patterns_fall_back_to_the_majority_vote():
    matrix = np.arange(40)[:, None].repeat(2, axis=1)  # every pattern once
    ceiling = diagnose(make_votes(matrix, 40), labels=np.arange(40)).ceiling
    assert (ceiling.majority_vote, ceiling.cross_fitted, ceiling.in_sample) == (1, 1, 1)


def test_a_tie_counts_as_a_random_choice():
    votes = make_votes([[0, 1]] * 30 + [[-1, -1]] * 30, 2)
    assert diagnose(votes, labels=[0] * 60).ceiling.majority_vote == 0.5


def test_unknown_labels_are_not_counted():
    matrix, truth = noisy_votes()
    truth[30:] = -1
    assert diagnose(make_votes(matrix, 3), labels=truth).ceiling.n_known == 30
    truth[29] = -1
    found = diagnose(make_votes(matrix, 3), labels=truth)
    assert found.ceiling is None
    assert found.sentences()[-1].startswith("29 labels are known, too few")


def test_findings_are_plain_values():
    matrix, truth = noisy_votes()
    twice = np.column_stack([matrix, matrix[:, 0]])
    found = json.loads(
        json.dumps(diagnose(make_votes(twice, 4), labels=truth).to_dict())
    )
    assert found["unnamed_classes"] == [3]
    assert found["copies"][0]["second"] == "f5"
    assert found["ceiling"]["n_known"] == 400


def test_no_images_at_all():
    votes = make_votes(np.zeros((0, 2), dtype=int), 2)
    assert diagnose(votes).sentences()[0] == "There are no images."


def test_errors_say_what_is_wrong():
    votes = make_votes([[0, 1]] * 40, 2)
    with pytest.raises(
        InputError, match="class_names has 1 names; the votes have 2 cl"
    ):
        diagnose(votes, class_names=["a"])
    with pytest.raises(
        InputError, match="lf_classes has 1 entries; the votes have 2 fu"
    ):
        diagnose(votes, lf_classes=[[0]])
    with pytest.raises(InputError, match=r"labels has shape \(1,\), expected \(40,\)"):
        diagnose(votes, labels=[0])
    with pytest.raises(
        InputError, match="labels name class 7; the votes have 2 classes"
    ):
        diagnose(votes, labels=[7] * 40)


# Floors
