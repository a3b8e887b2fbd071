"""What a run folder keeps, and what is said when it does not fit together."""

import importlib.metadata
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from lfkit.commands.apply import apply
from lfkit.data.labels import Labels
from lfkit.errors import RunError
from lfkit.runs.apply_options import ApplyOptions
from lfkit.runs.json_text import to_json
from lfkit.runs.run import load_run
from lfkit.runs.run_config import load_config, save_config, versions
from lfkit.runs.run_files import (
    load_images,
    load_votes,
    not_scored,
    save_images,
    save_labels,
)
from lfkit.runs.run_summary import load_summary
from lfkit.runs.store import locked

LFS = """
from lfkit import ABSTAIN, labeling_function

CLASSES = ["dark", "bright"]

@labeling_function(classes=[1])
def high_is_bright(image):
    return 1 if image.mean() > 100 else ABSTAIN

@labeling_function(classes=[0])
def low_is_dark(image):
    return 0 if image.mean() < 90 else ABSTAIN
"""


@pytest.fixture
def run(lfkit, tmp_path):
    """A run on six gray squares, dark and bright in turn, the last copied from the
    second; the first two are seeds."""
    levels = np.asarray([0, 250, 20, 230, 40, 250], np.uint8)
    images = np.zeros((6, 4, 4), np.uint8) + levels[:, None, None]
    labels = np.asarray([0, 1, 0, 1, 0, 1])
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    (tmp_path / "lfs.py").write_text(LFS)
    (tmp_path / "seeds.csv").write_text("image_id,label\n0,dark\n1,bright\n")
    done = lfkit(
        "apply", tmp_path / "data.npz", "--lfs", tmp_path / "lfs.py",
        "--seed-labels", tmp_path / "seeds.csv", "--out", tmp_path / "run",
    )  # fmt: skip
    assert done.code == 0, done.err
    return tmp_path / "run"


def contents(folder):
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_reading_a_run_writes_nothing(run):
    before = contents(run)
    votes = load_votes(run, load_config(run))
    bright = votes.hard[:, votes.names.index("high_is_bright")]
    assert bright.tolist() == [-1, 1, -1, 1, -1, 1]
    assert contents(run) == before


def test_python_users_pass_text_and_lists(run):
    folder = run.with_name("again")
    found = apply(
        ApplyOptions(
            data=run.parent / "data.npz",
            lfs=[run.parent / "lfs.py"],
            seed_labels=str(run.parent / "seeds.csv"),
            out=str(folder),
            seed=np.int64(0),
        )
    )
    stored = load_summary(run)
    own = ("out", "files", "seconds", "seconds_of")
    same = replace(found, **{name: getattr(stored, name) for name in own})
    assert to_json(same.to_dict()) == to_json(stored.to_dict())
    assert load_run(folder).config.options == replace(
        load_run(run).config.options, out=folder
    )
    assert ApplyOptions(data="digits", lfs="lfs.py").lfs == ("lfs.py",)


def test_a_folder_may_have_a_name_that_is_not_utf_8(run, lfkit):
    strange = Path(os.fsdecode(os.fsencode(run.parent) + b"/\xff"))
    data, lfs = run.parent / "data.npz", run.parent / "lfs.py"
    done = lfkit("apply", data, "--lfs", lfs, "--out", strange)
    assert done.code == 0, done.err
    assert load_summary(strange).labeled == 6


def test_options_that_exclude_each_other_are_damage(run):
    found = json.loads((run / "run.json").read_text())
    found["options"]["votes"] = "votes.npy"
    (run / "run.json").write_text(json.dumps(found))
    with pytest.raises(RunError, match=r"run\.json cannot be read: .* --votes FILE; "):
        load_config(run)


def test_lost_blocks_are_not_made_anew(lfkit, run):
    (run / "blocks.arrow").unlink()
    with pytest.raises(RunError, match=r"lacks some of its votes; run `lfkit apply` a"):
        load_votes(run, load_config(run))
    assert not (run / "blocks.arrow").exists()


def test_labels_of_many_images_are_written_in_row_groups(tmp_path):
    n = 70_000
    labels = np.arange(n) % 3 - 1  # every third without a label
    proba = np.eye(2)[np.maximum(labels, 0)]
    found = Labels(labels, proba, labels < 0, labels, proba.max(axis=1))
    ids = [f"={row}" for row in range(n)]  # a formula to a spreadsheet
    kept, table = save_labels(tmp_path, ids, found, class_names=("no", "yes"))
    with pq.ParquetFile(kept) as file:
        assert file.num_row_groups == 2
        assert file.read()["label"].to_pylist()[-3:] == ["no", "yes", None]
    written = pd.read_csv(table)
    assert written["image_id"].tolist() == [f"'{name}" for name in ids]
    assert written["p_yes"].tolist() == proba[:, 1].tolist()


def test_images_newer_than_their_configuration_are_noticed(run):
    index = load_images(run).drop_columns(["true_class"])
    save_images(run, [index], {}, np.asarray([1, 0, 1, 0, 1, 0]))
    with pytest.raises(RunError) as caught:
        load_votes(run, load_config(run))
    assert str(caught.value) == (
        f"{run} was stopped while its results were written: its images.parquet and "
        "run.json are of different calls; run `lfkit apply` again: what is already "
        "computed is kept."
    )
    save_config(run, load_config(run))
    assert len(load_votes(run, load_config(run))) == 6


def test_seeds_their_copies_and_unreadable_images_are_not_scored(run):
    index = load_images(run).drop_columns(["true_class"])
    save_images(run, [index], {"3": "cut short"}, np.zeros(6, int))
    votes = load_votes(run, load_config(run).model_copy(update={"images": None}))
    found = not_scored(load_images(run), votes)
    assert found.tolist() == [True, True, False, True, False, True]


def test_aggregate_scores_readable_images_only(lfkit, run):
    index = load_images(run).drop_columns(["true_class"])
    save_images(run, [index], {"3": "cut short"}, np.asarray([0, 1, 0, 1, 0, 1]))
    save_config(run, load_config(run))
    done = lfkit("aggregate", run, "--with", "majority-vote", "--json")
    assert json.loads(done.out)["accuracy"]["n"] == 2


def test_votes_made_elsewhere_keep_their_seeds(lfkit, run, tmp_path):
    np.save(tmp_path / "votes.npy", np.zeros((6, 2), int))
    (tmp_path / "seeds.csv").write_text("image_id,label\n0,0\n1,1\n")
    other = tmp_path / "other"
    done = lfkit(
        "apply", tmp_path / "data.npz", "--votes", tmp_path / "votes.npy",
        "--seed-labels", tmp_path / "seeds.csv", "--out", other,
    )  # fmt: skip
    assert done.code == 0, done.err
    votes = load_votes(other, load_config(other))
    assert votes.seed_rows.tolist() == [0, 1]
    done = lfkit("aggregate", other, "--with", "majority-vote", "--json")
    assert json.loads(done.out)["accuracy"]["n"] == 3


def test_aggregate_without_any_label_is_still_json(lfkit, tmp_path):
    path = tmp_path / "votes.csv"
    path.write_text("image_id,a,label\nx,-1,0\ny,-1,1\n")
    done = lfkit(
        "aggregate", path, "--with", "majority-vote", "--n-classes", 2,
        "--out", tmp_path / "labels", "--json",
    )  # fmt: skip
    found = json.loads(done.out, parse_constant=pytest.fail)
    assert found["labeled"] == 0
    assert found["accuracy"] == {"of_all": 0.0, "of_labeled": None, "n": 2}


def test_aggregate_leaves_what_the_run_holds_as_it_is(lfkit, run):
    before = contents(run)
    with locked(run):
        assert lfkit("aggregate", run, "--with", "dawid-skene").code == 0
    after = contents(run)
    assert {name: after[name] for name in before} == before
    assert (run / "labels-dawid-skene.csv").exists()


def test_a_library_that_is_not_installed_has_no_version(monkeypatch):
    installed = importlib.metadata.version

    def version(name):
        if name == "lfkit":
            raise importlib.metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert versions()["lfkit"] == "unknown"
    assert versions()["numpy"] == np.__version__
