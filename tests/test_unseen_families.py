"""The unseen families of votes: what their cells are, and what the table says."""

import numpy as np
import pytest

from benchmarks.unseen_families import UNSEEN, annotators, draw, main

SMALL = "cascades k=3 4:1 n=100"


@pytest.mark.parametrize("name", [SMALL, "annotators k=5 1:1 n=300"])
def test_a_repeat_is_drawn_anew_and_the_same_each_time(name):
    first, again, other = draw(name, 0), draw(name, 0), draw(name, 1)
    assert np.array_equal(first.votes.hard, again.votes.hard)
    assert not np.array_equal(first.truth, other.truth)


@pytest.mark.parametrize("name", [name for name in UNSEEN if "000" not in name])
def test_cells_are_what_they_are_called(name):
    _, k, _, n = name.split()
    found = draw(name, 0)
    assert found.votes.n_classes == int(k.removeprefix("k="))
    assert len(found.votes) == len(found.truth) == int(n.removeprefix("n="))
    assert found.scored.mean() > 0.5


def test_two_people_or_more_see_an_image_and_both_models_do():
    found = annotators(np.random.default_rng(0), k=4, ratio=3, n=2_000, n_people=9)
    hard, truth = found.votes.hard, found.truth
    people, models = hard[:, :-2], hard[:, -2:]
    asked = (people >= 0).sum(axis=1)
    assert (models >= 0).all()
    assert set(np.unique(asked)) == {2, 4, 5}
    two = people[asked == 2]
    assert (two.max(axis=1) == np.where(two < 0, 99, two).min(axis=1)).all()  # agree
    both_wrong = (models != truth[:, None]).all(axis=1)
    alike = models[both_wrong, 0] == models[both_wrong, 1]
    assert alike.mean() > 0.7


def test_the_table_names_the_cell_and_what_auto_chose(capsys):
    name = "annotators k=2 1:1 n=100"
    main(["--cells", name, "--repeats", "2"])
    row = capsys.readouterr().out.splitlines()[-2]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[0] == name
    assert 0 < float(cells[1]) <= 100
    assert float(cells[3]) <= float(cells[2].split(" ±")[0])  # the worst, the mean
    assert sum(int(part.split()[-1]) for part in cells[6].split(", ")) == 2
