"""Families of drawn votes are what they say; their tables count what chance gives."""

import numpy as np
import pytest

from benchmarks import label_models
from benchmarks.family_tables import print_families
from benchmarks.vote_families import (
    FAMILIES,
    crowd,
    half_miss_one,
    many_class,
    misses_one,
    mixed,
    one_class,
    overuse_one,
)
from benchmarks.vote_results import Result

N = 10_000


def drawn(family, **settings):
    found = family(np.random.default_rng(0), **settings)
    return found.votes.hard.astype(int), found.truth


def n_named(hard):
    return np.array([len(np.unique(column[column >= 0])) for column in hard.T])


@pytest.mark.parametrize("cell", [cell for cell in FAMILIES if "000" not in cell])
def test_a_cell_draws_the_classes_and_images_it_names(cell):
    found = FAMILIES[cell](np.random.default_rng(0))
    words = cell.split()
    assert f"k={found.votes.n_classes}" in words
    assert f"n={len(found.votes):,}" in words
    again = FAMILIES[cell](np.random.default_rng(0))
    assert np.array_equal(found.votes.hard, again.votes.hard)
    right = (found.votes.hard == found.truth[:, None])[found.votes.voted].mean()
    assert right > 1.2 / found.votes.n_classes


def test_shares_are_those_of_the_name():
    for shares, wanted in (
        ("flat", [0.25] * 4),
        ("4:1", np.array([4, 4 ** (2 / 3), 4 ** (1 / 3), 1]) / 9.107),
        ("90/10", [0.9] + [0.1 / 3] * 3),
    ):
        _, truth = drawn(many_class, n=N, k=4, shares=shares, m=3, alike=0)
        assert np.bincount(truth) / N == pytest.approx(wanted, abs=0.015)


def test_one_class_functions_are_sparse_and_siblings_err_together_if_alike():
    both = []
    for alike in (0, 0.9):
        hard, truth = drawn(one_class, n=N, k=10, shares="flat", alike=alike)
        assert (n_named(hard) == 1).all()
        assert (hard >= 0).sum() / N == pytest.approx(1.5, abs=0.05)
        wrong = (hard >= 0) & (hard != truth[:, None])
        first, second, other = wrong[:, 0], wrong[:, 10], wrong[:, 1]
        assert (first & other).mean() <= 0.02
        both.append((first & second).mean() / (first.mean() * second.mean()))
    assert both[1] > 1.5 * both[0]


def test_hard_images_have_fewer_votes_than_chance_gives():
    hard, _ = drawn(many_class, n=N, k=4, shares="flat", m=12, alike=0)
    voted = hard >= 0
    shares = voted.mean(axis=0)
    assert voted.sum(axis=1).var() > 1.5 * (shares * (1 - shares)).sum()


def test_mixed_votes_have_functions_of_both_kinds():
    hard, _ = drawn(mixed, n=N, k=4, shares="flat", alike=0)
    assert n_named(hard).tolist() == [4] * 4 + [1] * 8


def test_few_people_see_an_image_and_some_see_many():
    hard, _ = drawn(crowd, n=N, k=4, shares="flat", per_image=3)
    assert (hard >= 0).sum(axis=1).max() == 3
    n_votes = np.sort((hard >= 0).sum(axis=0))
    assert n_votes[-1] > 10 * n_votes[0]


def test_people_who_miss_a_class_are_worse_there():
    hard, truth = drawn(misses_one, n=N, k=4, per_image=30, worst=0.6)
    right = [(hard[truth == y] == y).mean() for y in range(4)]
    assert right == pytest.approx([0.9, 0.8, 0.7, 0.6], abs=0.06)
    errors = hard[(truth == 3)]
    shares = np.bincount(errors[errors != 3], minlength=3) / (errors != 3).sum()
    assert shares == pytest.approx([2 / 3, 1 / 6, 1 / 6], abs=0.02)

    hard, truth = drawn(half_miss_one, n=N)
    know = (hard[truth == 1] == 1).mean(axis=0)
    assert (hard[truth == 0] == 0).mean(axis=0).min() > 0.7
    assert know.min() < 0.3
    assert know.max() > 0.85


def test_overused_class_is_named_more_often_than_it_is():
    hard, truth = drawn(overuse_one, n=N)
    assert (truth == 0).mean() == pytest.approx(0.25, abs=0.02)
    assert (hard[hard >= 0] == 0).mean() > 0.35


def result(auto, plain, chosen=("one-coin",)):
    found = Result([], [], 1)
    found.accuracy |= {"auto": auto, "majority-vote": plain}
    found.chosen.update(chosen)
    return found


def test_below_a_plain_vote_is_told_from_chance():
    # The mean lead is -2, its error 1/sqrt(3): t = -3.46; at 1 % 6.96, at 5 % 2.92.
    found = result([0.57, 0.58, 0.59], [0.6, 0.6, 0.6])
    assert not found.is_below("auto", "majority-vote", 0.01)
    assert found.is_below("auto", "majority-vote", 0.05)
    assert not found.is_below("majority-vote", "auto", 0.05)
    assert not result([0.5], [0.6]).is_below("auto", "majority-vote", 0.05)


def test_tables_of_families_count_cells_below_and_what_chance_gives(capsys):
    print_families(
        {
            "a n=1": result([0.5, 0.5, 0.501], [0.6, 0.6, 0.6], ["whole-tables"] * 3),
            "a n=2": result([0.8, 0.7, 0.9], [0.6, 0.6, 0.6]),
            "b n=1": result([0.6, 0.7, 0.8], [0.6, 0.7, 0.8]),
        }
    )
    out = capsys.readouterr().out
    assert "| a n=1 | -9.97 ± 0.14 | whole-tables 3 | 60.0 |" in out
    assert "| a | 2 | 60.0 | -9.97 | +5.02 |" in out
    assert "| all | 3 | 63.3 | -9.97 | +3.34 |" in out
    assert "at 1 %) in 1 of 3 cells. Chance alone gives 0.0 of the 2" in out
    assert out.rstrip().endswith("- a n=1: -9.97 ± 0.14, majority-vote 60.0")


def test_families_of_another_file_are_drawn_anew_for_each_repeat(monkeypatch, capsys):
    drawn_for = []

    def easy(rng):
        drawn_for.append(rng.random())
        return many_class(rng, n=60, k=3, shares="flat", m=5, alike=0)

    monkeypatch.setattr(label_models, "UNSEEN", {"easy k=3": easy, "other k=2": None})
    monkeypatch.setattr(label_models, "UNSEEN_2", {})
    few = ["--part", "unseen", "--cells", "k=3", "--models", "auto", "--repeats", "2"]
    label_models.main(few)
    assert "in 0 of 1 cells" in capsys.readouterr().out
    assert len(set(drawn_for)) == 2
    first = list(drawn_for)
    label_models.main(few)
    assert drawn_for[2:] == first
