"""`lfkit export`: a run's votes, or a file's, for other tools."""

import json

import numpy as np
import pandas as pd
import pytest

from lfkit.data.vote_files import read_votes

LFS = """
from lfkit import ABSTAIN, labeling_function

CLASSES = ["dark", "bright"]

@labeling_function(classes=[1])
def high_is_bright(image):
    return 1 if image.mean() > 100 else ABSTAIN

@labeling_function(classes=[0])
def low_is_dark(image):
    return 0 if image.mean() < 30 else ABSTAIN
"""
VOTES = [[-1, 0], [1, -1], [-1, 0], [1, -1], [-1, -1]]


@pytest.fixture
def run(lfkit, tmp_path):
    """A run on five gray squares; the class of the last is known as a seed's only."""
    levels = np.asarray([0, 250, 20, 230, 40], np.uint8)
    images = np.zeros((5, 4, 4), np.uint8) + levels[:, None, None]
    np.savez(tmp_path / "data.npz", images=images)
    (tmp_path / "lfs.py").write_text(LFS)
    (tmp_path / "seeds.csv").write_text("image_id,label\n1,bright\n4,dark\n")
    done = lfkit(
        "apply", tmp_path / "data.npz", "--lfs", tmp_path / "lfs.py", "--seed-labels",
        tmp_path / "seeds.csv", "--out", tmp_path / "run",
    )  # fmt: skip
    assert done.code == 0, done.err
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("name", "style"),
    [("votes.npz", None), ("votes.csv", None), ("set", None), ("set.1", "wrench")],
)
def test_a_run_is_exported_with_its_votes_ids_and_known_classes(
    lfkit, run, tmp_path, name, style
):
    option = () if style is None else ("--as", style)
    done = lfkit("export", run, "--out", tmp_path / name, *option)
    assert done.code == 0, done.err
    assert f"{tmp_path / name}: 2 functions' votes on 5 images" in done.out
    assert "Which 2 images are seeds" in done.out
    found = read_votes(tmp_path / name)
    assert found.votes.hard.tolist() == VOTES
    assert found.ids == ("0", "1", "2", "3", "4")
    assert found.labels.tolist() == [-1, 1, -1, -1, 0]
    if name != "votes.csv":
        assert found.class_names == ("dark", "bright")


def test_crowd_kit_gets_names(lfkit, run, tmp_path):
    out = tmp_path / "votes.csv"
    done = lfkit("export", run, "--out", out, "--as", "crowd-kit", "--json")
    assert pd.read_csv(out).to_numpy().tolist() == [
        [0, "low_is_dark", "dark"],
        [1, "high_is_bright", "bright"],
        [2, "low_is_dark", "dark"],
        [3, "high_is_bright", "bright"],
    ]
    said = json.loads(done.out)
    assert said["file"] == str(out)
    assert (said["images"], said["functions"], said["classes"]) == (5, 2, 2)
    assert (
        "1 images without a vote are left out: it has a row per vote."
        in (said["left_out"])
    )


def test_a_file_is_converted(lfkit, tmp_path):
    np.save(tmp_path / "votes.npy", np.array(VOTES))
    command = ("export", tmp_path / "votes.npy", "--n-classes", 3, "--out")
    assert lfkit(*command, tmp_path / "votes.parquet").code == 0
    assert read_votes(tmp_path / "votes.parquet").votes.hard.tolist() == VOTES
    assert lfkit(*command, tmp_path / "votes.npz").code == 0
    assert read_votes(tmp_path / "votes.npz").votes.n_classes == 3


def test_what_does_not_fit_ends_with_a_sentence(lfkit, run, tmp_path):
    done = lfkit("export", run, "--out", tmp_path / "votes.txt")
    assert done.code == 2
    assert "votes.txt has no ending that votes are written with; give" in done.err
    done = lfkit("export", tmp_path, "--out", tmp_path / "votes.npz")
    assert done.code == 2
    assert "has no train.json; a WRENCH folder holds" in done.err
