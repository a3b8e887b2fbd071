"""Diagnosis: gaps, copies, ceilings, baselines."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lfkit.data.votes import Votes
from lfkit.errors import InputError
from lfkit.metrics.labels.diagnosis import diagnose


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
        "2 functions; 1 of 3 images (33.3 %) have no vote.",
        "No function ever voted for 'dog', 'owl': votes alone cannot give that label; "
        "write a function for it.",
        "Fewer than 3 independent functions name 'cat' (1), 'fox' (1): votes alone "
        "cannot tell how accurate they are; write more, or give seeds.",
        "Without seeds the votes tell no class from another: functions that vote on "
        "the same images do not agree on more. Seeds help, or more functions that name "
        "the same classes.",
        "Only one-class functions name 'cat', 'fox': silence is the only vote against "
        "it, so use an aggregator that counts silence, as all do but the votes that "
        "are merely added up.",
        "Beside the seed labels no labels are known, too few to say how far votes "
        "alone can go; give at least "
        "30 by --labels.",
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
        f"'f0' and 'f5' agree on {100 * pair.agreement:.1f} % of the {voted} images "
        "where either votes: they count twice; drop one."
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
    assert ceiling.naive_bayes > 0.98
    about, limit = found.sentences()[-2:]
    assert about.startswith("On 2,000 labeled images the majority vote is right ")
    # One figure of what votes can give, and the gain is that to the majority vote.
    best, vote = 100 * ceiling.supervised, 100 * ceiling.majority_vote
    assert f"{best:.1f} % (learned on one half" in about
    assert f"{best - vote:.1f} points more than the majority vote" in limit


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
    assert found.sentences()[-1].startswith("Beside the seed labels 29 labels are")


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


def test_no_gain_over_the_majority_vote_means_that_pixels_limit():
    matrix, truth = noisy_votes(n=2000, m=7)
    found = diagnose(make_votes(matrix, 3), labels=truth)
    assert found.ceiling.supervised < found.ceiling.majority_vote + 0.02
    assert found.sentences()[-1].startswith(
        "Pixels limit you: even a rule learned from labels on these same votes gains "
    )


@pytest.mark.parametrize(
    ("accuracy", "end"),
    [
        (0.999, ", more than any rule on these votes: let the labels see the images."),
        (0.5, ": the functions add to the seeds."),
    ],
)
def test_best_baseline_is_compared_with_the_votes(accuracy, end):
    matrix, truth = noisy_votes(n=2000, m=7)
    baselines = {"pixels": 0.3, "features": accuracy}
    found = diagnose(make_votes(matrix, 3), labels=truth, baselines=baselines)
    assert found.baseline == ("features", accuracy)
    assert found.sentences()[-1] == (
        f"The best classifier trained on the seeds alone, features, is right "
        f"{100 * accuracy:.1f} % of the time{end}"
    )


def test_baseline_between_the_majority_vote_and_the_learned_rule():
    matrix, truth = noisy_votes(n=2000, m=3)
    matrix[:, 0] = (truth + 1) % 3
    found = diagnose(make_votes(matrix, 3), labels=truth, baselines={"pixels": 0.9})
    assert found.sentences()[-1].endswith(
        "90.0 % of the time, more than the majority vote: the functions add something "
        "only if they are weighed well."
    )


def test_baseline_without_known_labels_is_still_told():
    matrix, _ = noisy_votes()
    found = diagnose(make_votes(matrix, 3), baselines={"pixels": 0.74})
    assert found.sentences()[-1] == (
        "The best classifier trained on the seeds alone, pixels, is right 74.0 % of "
        "the time."
    )


def near_copies(matrix, n_copies, share, seed=1):
    rng = np.random.default_rng(seed)
    column = matrix[:, 0]
    kept = rng.random((len(column), n_copies)) < share
    other = np.stack([rng.permutation(column) for _ in range(n_copies)], axis=1)
    return np.column_stack([matrix, np.where(kept, column[:, None], other)])


def test_functions_that_err_together_are_a_group():
    matrix, _ = noisy_votes(n=3000, m=8)
    found = diagnose(make_votes(near_copies(matrix, 5, 0.9), 3))
    assert found.copies == ()
    (group,) = found.dependent
    assert group.names == ("f0", "f8", "f9", "f10", "f11", "f12")
    assert 0.6 < group.strength < 1
    assert 1 < group.effective < 1.7
    assert found.sentences()[1] == (
        "'f0', 'f8', 'f9', 'f10' and 2 more err together: these 6 are worth "
        f"{group.effective:.1f} independent functions."
    )
    assert found.identifiability.n_namers == (8, 8, 8)


def test_many_groups_are_counted():
    matrix, _ = noisy_votes(n=3000, m=14)
    twice = np.column_stack([matrix] * 2)[:, :21]  # seven pairs, changed a little
    flips = np.random.default_rng(0).random((3000, 21)) < 0.04
    twice = np.where(flips, (twice + 1) % 3, twice)
    found = diagnose(make_votes(twice, 3))
    assert len(found.dependent) == 7
    assert "2 more groups of functions err together." in found.sentences()


# Identifiability


def test_three_independent_functions_identify_the_classes():
    matrix, _ = noisy_votes(n=3000, m=6)
    found = diagnose(make_votes(matrix, 3)).identifiability
    assert found.rank == 3
    assert 1 <= found.condition < 3
    assert (found.n_unipolar, found.unipolar_classes) == (0, ())
    assert found.sentences("abc") == []


def test_votes_that_cannot_tell_two_classes_apart():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 4000)
    seen = np.minimum(truth, 1)[:, None]  # classes 1 and 2 look the same
    guess = rng.integers(1, 3, (4000, 6))
    matrix = np.where(seen == 0, 0, guess)
    matrix = np.where(
        rng.random((4000, 6)) < 0.2, rng.integers(0, 3, (4000, 6)), matrix
    )
    found = diagnose(make_votes(matrix, 3)).identifiability
    assert (found.rank, found.condition) == (2, None)
    assert found.sentences("abc") == [
        "Without seeds the votes tell classes apart as if there were 2, not 3: "
        "functions that vote on the same images do not agree on more. Seeds help, or "
        "more functions that name the same classes."
    ]


def test_votes_that_hardly_tell_two_classes_apart():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 200_000)
    swapped = np.where((truth > 0)[:, None] & (rng.random((200_000, 6)) < 0.38), 1, 0)
    matrix = np.where(swapped == 1, 3 - truth[:, None], truth[:, None])
    found = diagnose(make_votes(matrix, 3)).identifiability
    assert found.rank == 3
    assert found.condition > 10
    (sentence,) = replace(found, condition=44.4).sentences("abc")
    assert sentence == (
        "The votes tell some classes barely apart: the weakest contrast is 44 times "
        "weaker than the strongest."
    )


def test_classes_named_by_one_class_functions_only():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 2000)
    hits = rng.random((2000, 9)) < 0.7
    own = np.arange(9) % 3
    matrix = np.where((truth[:, None] == own) & hits, own, -1)
    found = diagnose(make_votes(matrix, 3)).identifiability
    assert (found.n_unipolar, found.unipolar_classes) == (9, (0, 1, 2))
    assert found.sentences("abc")[-1].startswith(
        "Only one-class functions name any class: silence is the only vote against it"
    )
    mixed = matrix.copy()
    mixed[:, 0] = truth  # names every class
    assert diagnose(make_votes(mixed, 3)).identifiability.unipolar_classes == ()


def test_dependent_functions_are_one_namer():
    matrix, _ = noisy_votes(n=2000, m=4)
    votes = make_votes(np.column_stack([matrix, matrix[:, 0], matrix[:, 0]]), 3)
    assert diagnose(votes).identifiability.n_namers == (4, 4, 4)


@pytest.mark.parametrize("n_functions", [0, 1, 2])
@pytest.mark.parametrize("n", [1, 40])
def test_few_functions_and_images_are_diagnosed(n, n_functions):
    votes = make_votes(np.zeros((n, n_functions), dtype=int), 2)
    found = diagnose(votes, labels=np.zeros(n, dtype=int))
    assert found.identifiability.rank == 1
    assert json.loads(json.dumps(found.to_dict()))["baseline"] is None
    assert all(isinstance(sentence, str) for sentence in found.sentences())
