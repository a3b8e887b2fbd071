"""Labels are fitted once: an unchanged run reads them."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lfkit.aggregators import AGGREGATORS, MajorityVote
from lfkit.aggregators.aggregate import aggregate
from lfkit.aggregators.fitted_labels import aggregate_once
from lfkit.data.votes import Votes, with_known
from lfkit.runs.store import MemoryStore, RunStore

_TIMES = {"seconds", "seconds_of", "checksum"}


class Counter:
    """Counts fits; what it has counted is no part of the code of who fits."""

    def __init__(self):
        self.fits = 0

    def identity(self):
        return "counter"


COUNTER = Counter()


class Counting(MajorityVote):
    """A majority vote that says how often it is fitted."""

    def _fit(self, patterns, seeds):
        COUNTER.fits += 1


class Edited(Counting):
    """The same, by other code."""

    def _predict_proba(self, votes):
        return super()._predict_proba(votes) ** 2


@pytest.fixture(autouse=True)
def fits(monkeypatch):
    """The aggregators that count their fits, and how often they did."""
    monkeypatch.setitem(AGGREGATORS, "counting", Counting)
    monkeypatch.setattr(COUNTER, "fits", 0)
    return COUNTER


@pytest.fixture
def photos(tmp_path):
    """Sixty pictures, votes of three functions on them, and thirty seeds."""
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for row in range(60):
        pixels = rng.integers(256, size=(6, 6), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{row:02}.png")
    save_votes(tmp_path / "votes.npz", drawn_votes())
    lines = [f"{row:02}.png,{row % 2}" for row in range(30)]
    (tmp_path / "seeds.csv").write_text("\n".join(["image_id,label", *lines]))
    return tmp_path


def drawn_votes():
    rng = np.random.default_rng(1)
    truth = np.arange(60) % 2
    return np.where(rng.random((60, 3)) < 0.7, truth[:, None], 1 - truth[:, None])


def save_votes(path, hard, soft=None):
    graded = {} if soft is None else {"soft": soft}
    np.savez(path, votes=hard, names=["a", "b", "c"], **graded)


@pytest.fixture
def apply(lfkit, photos):
    def call(*more, name="counting"):
        done = lfkit(
            "apply", photos / "photos", "--votes", photos / "votes.npz",
            "--seed-labels", photos / "seeds.csv", "--with", name, *more,
            "--no-sheet", "--no-baselines", "--out", photos / "run",
        )  # fmt: skip
        assert done.code == 0, done.err
        return (photos / "run" / "labels.parquet").read_bytes()

    return call


def kept(run):
    return run / "fitted" / "labels" / "counting.npz"


def test_labels_of_an_unchanged_run_are_read(lfkit, apply, fits, photos):
    first = apply()
    assert fits.fits == 1
    summary = (photos / "run" / "summary.json").read_bytes()
    assert apply() == first
    assert apply("--target-precision", 0.9) != first
    assert apply() == first
    assert fits.fits == 1
    again = (photos / "run" / "summary.json").read_bytes()
    told = [
        {name: value for name, value in json.loads(text).items() if name not in _TIMES}
        for text in (summary, again)
    ]
    assert told[0] == told[1]
    done = lfkit("aggregate", photos / "run", "--with", "counting")
    assert done.code == 0, done.err
    assert fits.fits == 1
    assert (photos / "run" / "labels-counting.parquet").read_bytes() == first


def other_votes(photos):
    hard = drawn_votes()
    hard[59, 2] = -1
    save_votes(photos / "votes.npz", hard)


def soft_votes(photos):
    save_votes(photos / "votes.npz", drawn_votes(), np.eye(2)[drawn_votes()] * 0.5)


def other_names(photos):
    np.savez(photos / "votes.npz", votes=drawn_votes(), names=["a", "b", "d"])


def fewer_seeds(photos):
    path = photos / "seeds.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))


def other_seed_label(photos):
    path = photos / "seeds.csv"
    path.write_text(path.read_text().replace("29.png,1", "29.png,0"))


def unreadable_seed(photos):
    (photos / "photos" / "07.png").write_bytes(b"no picture")


def edited_aggregator(photos):
    AGGREGATORS["counting"] = Edited


@pytest.mark.parametrize(
    "change",
    [other_votes, soft_votes, other_names, fewer_seeds, other_seed_label,
     unreadable_seed, edited_aggregator],
    ids=lambda change: change.__name__,
)  # fmt: skip
def test_what_labels_depend_on_fits_them_again(apply, fits, photos, change):
    apply()
    change(photos)
    apply()
    assert fits.fits == 2
    apply()
    assert fits.fits == 2


@pytest.mark.parametrize("more", [("--class-balance", ".3,.7"), ("--seed", 1)])
def test_parameters_fit_labels_again(apply, fits, more):
    apply()
    apply(*more)
    assert fits.fits == 2


def test_an_image_without_a_seed_may_become_unreadable(apply, fits, photos):
    apply()
    (photos / "photos" / "50.png").write_bytes(b"no picture")
    apply()
    assert fits.fits == 1


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-100])


def flipped(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def a_folder(path):
    path.unlink()
    path.mkdir()


def pickled(path):
    np.savez(path, key=np.array([{}], object))


@pytest.mark.parametrize(
    "spoil", [cut_off, flipped, a_folder, pickled, lambda path: path.unlink()]
)
def test_damaged_labels_are_fitted_again(lfkit, apply, fits, photos, spoil):
    first = apply()
    spoil(kept(photos / "run"))
    assert lfkit("aggregate", photos / "run", "--with", "counting").code == 0
    assert apply() == first
    assert fits.fits == 3
    assert apply() == first
    assert fits.fits == 3


def test_a_kill_while_labels_are_kept_leaves_the_old_ones(
    apply, fits, photos, monkeypatch
):
    first = apply()
    before = kept(photos / "run").read_bytes()
    replace = os.replace
    other_votes(photos)
    with monkeypatch.context() as patch:

        def killed(path, place):
            if place == kept(photos / "run"):
                raise SystemExit(137)
            replace(path, place)

        patch.setattr("lfkit.data.files.os.replace", killed)
        with pytest.raises(AssertionError):
            apply()
    assert kept(photos / "run").read_bytes() == before
    assert apply() != first
    save_votes(photos / "votes.npz", drawn_votes())
    assert apply() == first
    assert fits.fits == 4


def test_every_field_is_read_as_it_was_written(tmp_path, fits):
    hard = drawn_votes()
    votes = Votes(hard, ("a", "b", "c"), 2)
    known = with_known(votes, np.arange(40), np.arange(40) % 2)
    for store in (MemoryStore(), RunStore(tmp_path)):
        for given in (votes, known):
            made = aggregate(given, "auto")
            aggregate_once(store, given, "auto")
            found = aggregate_once(store, given, "auto")
            assert_same_fields(found, made)


def assert_same_fields(found, made):
    assert vars(found).keys() == vars(made).keys()
    for name, value in vars(made).items():
        other = getattr(found, name)
        assert type(other) is type(value), name
        if isinstance(value, np.ndarray):
            assert other.dtype == value.dtype, name
            np.testing.assert_array_equal(other, value)
        elif name == "held_out" and value is not None:
            assert_same_fields(other, value)
        else:
            assert other == value, name


EDITED = """
import sys
import lfkit.aggregators.aggregate as code
from lfkit.cli.app import main
from lfkit.runs.cache_keys import note_import
way = sys.argv.pop(1)
if way == "edited":
    code._ENOUGH_SEEDS += 1
if way == "beside other modules":
    note_import("rules", {"rules.py": "a digest"})
main()
"""


def test_other_code_of_lfkit_fits_labels_again(apply, photos):
    path = photos / "run" / "fitted" / "labels" / "majority-vote.npz"
    apply(name="majority-vote")
    keys = [np.load(path)["key"].item()]
    for way in ("as it is", "beside other modules", "edited"):
        command = [
            "apply", photos / "photos", "--votes", photos / "votes.npz",
            "--seed-labels", photos / "seeds.csv", "--with", "majority-vote",
            "--no-sheet", "--no-baselines", "--out", photos / "run",
        ]  # fmt: skip
        words = [sys.executable, "-c", EDITED, way, *map(str, command)]
        subprocess.run(words, check=True, env=os.environ | {"COLUMNS": "120"})
        keys.append(np.load(path)["key"].item())
    assert keys[0] == keys[1] == keys[2]
    assert keys[0] != keys[3]
