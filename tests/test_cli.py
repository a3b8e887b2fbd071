import hashlib
import importlib.metadata
import json
import os
import random
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from assertions import kill_when, signal_when
from command_line import call
from PIL import Image

from lfkit.aggregators import AGGREGATORS
from lfkit.encoders import ENCODERS
from lfkit.features import FEATURES

LFS = """
import numpy as np
from lfkit import ABSTAIN, Quantile, feature, labeling_function

CLASSES = ["dark", "bright"]

@feature
def level(image):
    return image.mean()

@labeling_function(classes=[0], features=[level])
def low_is_dark(mean):
    "Dark images have a low mean."
    return 0 if mean < 100 else ABSTAIN

@labeling_function(
    classes=[1], features=[level], thresholds={"cut": Quantile(level, 0.5)}
)
def high_is_bright(mean, *, cut=150):
    return 1 if mean > cut else ABSTAIN
"""


@pytest.fixture
def photos(tmp_path):
    """Ten gray squares in folders dark/ and bright/."""
    folder = tmp_path / "photos"
    for name, levels in (("dark", range(0, 50, 10)), ("bright", range(200, 250, 10))):
        (folder / name).mkdir(parents=True)
        for level in levels:
            picture = Image.new("L", (12, 12), level)
            picture.save(folder / name / f"{level:03}.png")
    (tmp_path / "my_lfs.py").write_text(LFS)
    return folder


def test_apply_labels_a_folder_and_says_how_well(lfkit, photos, tmp_path):
    run = tmp_path / "run"
    done = lfkit("apply", photos, "--lfs", tmp_path / "my_lfs.py", "--out", run)
    assert done.code == 0
    labels = pd.read_csv(run / "labels.csv")
    assert labels["image_id"].tolist()[0] == "bright/200.png"
    assert labels["label"].tolist() == ["bright"] * 5 + ["dark"] * 5
    assert labels.columns.tolist() == [
        "image_id", "label", "confidence", "seed", "p_dark", "p_bright",
        "vote_label", "vote_confidence",
    ]  # fmt: skip
    table = pd.read_parquet(run / "labels.parquet")
    assert table["label"].tolist() == labels["label"].tolist()
    for text in (
        "10 of 10", "accuracy", "100.0 %", "of 10 images with a known class",
        "low_is_dark", "lfkit analyze", "contact_sheet.png",
    ):  # fmt: skip
        assert text in done.out, text
    with Image.open(run / "contact_sheet.png") as sheet:
        assert sheet.format == "PNG"


def test_the_same_command_again_calls_no_function(lfkit, photos, tmp_path):
    command = ("apply", photos, "--lfs", tmp_path / "my_lfs.py", "--json")
    first = json.loads(lfkit(*command, "--out", tmp_path / "run").out)
    again = json.loads(lfkit(*command, "--out", tmp_path / "run").out)
    assert (first["lf_calls"], again["lf_calls"]) == (20, 0)
    assert first["accuracy"] == again["accuracy"]


def test_editing_one_function_in_the_file_computes_one_column(lfkit, photos, tmp_path):
    path = tmp_path / "my_lfs.py"
    command = ("apply", photos, "--lfs", path, "--out", tmp_path / "run", "--json")
    lfkit(*command)
    path.write_text("# a remark moves every line\n" + LFS.replace("< 100", "< 20"))
    done = json.loads(lfkit(*command).out)
    assert (done["lf_calls"], done["feature_values"]) == (10, 0)
    assert done["labeled"] == 7  # of the dark ones only 0 and 10


def test_a_new_file_in_the_folder_is_the_only_one_computed(lfkit, photos, tmp_path):
    command = ("apply", photos, "--lfs", tmp_path / "my_lfs.py", "--json")
    command += ("--out", tmp_path / "run")
    lfkit(*command)
    Image.new("L", (12, 12), 255).save(photos / "bright" / "000-new.png")
    done = json.loads(lfkit(*command).out)
    assert (done["images"], done["lf_calls"]) == (11, 2)
    labels = pd.read_csv(tmp_path / "run" / "labels.csv")
    assert labels["image_id"][0] == "bright/000-new.png"
    assert labels["label"][0] == "bright"


def test_seeds_are_drawn_kept_as_labels_and_not_scored(lfkit, photos, tmp_path):
    done = lfkit(
        "apply", photos, "--lfs", tmp_path / "my_lfs.py", "--seeds-per-class", 2,
        "--out", tmp_path / "run", "--json",
    )  # fmt: skip
    summary = json.loads(done.out)
    assert (summary["seeds"], summary["accuracy"]["n"]) == (4, 6)
    labels = pd.read_csv(tmp_path / "run" / "labels.csv")
    assert labels["seed"].sum() == 4
    assert (labels.loc[labels["seed"], "confidence"] == 1).all()
    assert [baseline["name"] for baseline in summary["baselines"]] == [
        f"{classifier} on {what}"
        for what in ("features", "pixels")
        for classifier in ("shrinkage LDA", "logistic regression")
    ]
    assert summary["baseline"] in [
        baseline["name"] for baseline in summary["baselines"]
    ]
    assert all(baseline["n_scored"] == 6 for baseline in summary["baselines"])


def test_seed_labels_come_from_a_file(lfkit, photos, tmp_path):
    (tmp_path / "seeds.csv").write_text(
        "image_id,label\nbright/200.png,bright\ndark/000.png,dark\n"
        "bright/240.png,bright\ndark/040.png,0\n"
    )
    done = lfkit(
        "apply", photos, "--lfs", tmp_path / "my_lfs.py",
        "--seed-labels", tmp_path / "seeds.csv", "--out", tmp_path / "run", "--json",
    )  # fmt: skip
    assert json.loads(done.out)["seeds"] == 4


def test_one_function_or_kind_may_be_chosen(lfkit, photos, tmp_path):
    spec = f"{tmp_path / 'my_lfs.py'}:low_is_dark"
    done = lfkit("apply", photos, "--lfs", spec, "--out", tmp_path / "run")
    assert done.code == 0
    assert "No function can name bright" in done.out
    done = lfkit(
        "apply", photos, "--lfs", tmp_path / "my_lfs.py", "--kinds", "deep",
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert done.code == 2
    assert "there is no labeling function of kind deep" in done.err


def test_analyze_and_diagnose_read_the_run_alone(lfkit, photos, tmp_path):
    run = tmp_path / "run"
    command = ("apply", photos, "--lfs", tmp_path / "my_lfs.py", "--out", run)
    lfkit(*command, "--seeds-per-class", 2)
    (tmp_path / "my_lfs.py").unlink()
    done = lfkit("analyze", run)
    assert done.code == 0
    assert "low_is_dark" in done.out
    assert "50.0 %" in done.out  # its coverage
    summary = json.loads(lfkit("analyze", run, "--json").out)
    assert [lf["name"] for lf in summary["functions"]] == [
        "low_is_dark",
        "high_is_bright",
    ]
    assert summary["functions"][0]["accuracy"] == 1.0
    done = lfkit("diagnose", run)
    assert "Baseline: logistic regression on pixels" in done.out


def test_analyze_takes_labels_from_a_file(lfkit, photos, tmp_path):
    run = tmp_path / "run"
    lfkit("apply", photos, "--lfs", tmp_path / "my_lfs.py", "--out", run)
    (tmp_path / "truth.csv").write_text("image_id,label\ndark/000.png,bright\n")
    done = lfkit("analyze", run, "--labels", tmp_path / "truth.csv")
    assert "1  bright labeled as dark" in done.out


def test_baselines_are_not_judged_by_labels_they_were_not_scored_by(
    lfkit, photos, tmp_path
):
    run = tmp_path / "run"
    lfkit("apply", photos, "--lfs", tmp_path / "my_lfs.py", "--out", run,
          "--seeds-per-class", 2)  # fmt: skip
    assert "of the time (on other images)" in lfkit("diagnose", run).out
    (tmp_path / "truth.csv").write_text("image_id,label\ndark/000.png,bright\n")
    done = lfkit("diagnose", run, "--labels", tmp_path / "truth.csv")
    assert done.code == 0
    assert "on other images" not in done.out


def test_aggregate_puts_other_labels_beside_those_of_the_run(lfkit, photos, tmp_path):
    run = tmp_path / "run"
    lfkit("apply", photos, "--lfs", tmp_path / "my_lfs.py", "--out", run)
    before = (run / "labels.csv").read_bytes()
    done = lfkit("aggregate", run, "--with", "dawid-skene")
    assert done.code == 0
    assert "10 of 10 images labeled by dawid-skene" in done.out
    assert "majority vote: 100.0 % of 10 images" in done.out
    assert len(pd.read_csv(run / "labels-dawid-skene.csv")) == 10
    assert (run / "labels.csv").read_bytes() == before


def test_a_run_of_other_data_is_replaced_with_a_word(lfkit, photos, tmp_path):
    command = ("--lfs", tmp_path / "my_lfs.py", "--out", tmp_path / "run", "--json")
    lfkit("apply", photos, *command)
    summary = json.loads(lfkit("apply", photos / "dark", *command).out)
    assert "held the labels of" in summary["notes"][0]
    assert summary["images"] == 5


def test_a_class_without_a_seed_is_named(lfkit, photos, tmp_path):
    (tmp_path / "seeds.csv").write_text("image_id,label\ndark/000.png,dark\n")
    done = lfkit(
        "apply", photos, "--lfs", tmp_path / "my_lfs.py",
        "--seed-labels", tmp_path / "seeds.csv", "--out", tmp_path / "run", "--json",
    )  # fmt: skip
    assert (
        "no seed shows bright: no function learns what it is"
        in json.loads(done.out)["notes"]
    )


def test_functions_outside_of_a_list_are_named(lfkit, photos, tmp_path):
    path = tmp_path / "my_lfs.py"
    path.write_text(f"{LFS}\nLFS = [low_is_dark]\n")
    done = lfkit("apply", photos, "--lfs", path, "--out", tmp_path / "run", "--json")
    (note,) = [n for n in json.loads(done.out)["notes"] if "do not vote" in n]
    assert "my_lfs.py" in note
    assert note.endswith("high_is_bright")


def test_a_typo_in_a_function_is_shown_at_the_end(lfkit, photos, tmp_path):
    (tmp_path / "typo.py").write_text(LFS.replace("mean < 100", "mean < cutt"))
    done = lfkit(
        "apply", photos, "--lfs", f"{tmp_path / 'typo.py'}:low_is_dark",
        "--out", tmp_path / "run",
    )  # fmt: skip
    told = " ".join(done.out.replace("│", " ").split())
    assert "raised NameError 10x (name 'cutt' is not defined)" in told
    assert "Not one function gave a vote" in told


def test_seeds_cannot_be_drawn_from_classes_that_classes_does_not_name(
    lfkit, photos, tmp_path
):
    (photos / "dark").rename(photos / "night")
    (photos / "bright").rename(photos / "day")
    done = lfkit(
        "apply", photos, "--lfs", tmp_path / "my_lfs.py", "--seeds-per-class", 2,
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert done.code == 2
    assert "is in CLASSES (dark, bright, …), so there is no image" in done.err


def test_votes_made_elsewhere_become_labels(lfkit, photos, tmp_path):
    votes = tmp_path / "votes.csv"
    votes.write_text("a,b\n" + "1,-1\n" * 5 + "0,0\n" * 5)
    run = tmp_path / "run"
    done = lfkit("apply", photos, "--votes", votes, "--out", run, "--json")
    summary = json.loads(done.out)
    # Without CLASSES the folders' names count, in alphabetical order.
    assert summary["class_names"] == ["bright", "dark"]
    assert summary["accuracy"]["of_all"] == 0.0
    assert lfkit("analyze", run).code == 0
    done = lfkit(
        "aggregate", votes, "--with", "majority-vote", "--out", tmp_path / "labels"
    )
    assert "10 of 10 images labeled" in done.out
    assert (tmp_path / "labels" / "labels.csv").exists()


def test_votes_made_elsewhere_are_compared_with_a_classifier(lfkit, photos, tmp_path):
    np.save(tmp_path / "votes.npy", np.array([[0, -1]] * 5 + [[1, 1]] * 5))
    (photos / "dark" / "000.png").write_bytes(b"")
    run = tmp_path / "run"
    done = lfkit(
        "apply", photos, "--votes", tmp_path / "votes.npy", "--seeds-per-class", 2,
        "--out", run, "--json",
    )  # fmt: skip
    summary = json.loads(done.out)
    assert [baseline["name"] for baseline in summary["baselines"]] == [
        "shrinkage LDA on pixels",
        "logistic regression on pixels",
    ]
    assert (summary["lf_calls"], summary["feature_values"]) == (0, 0)
    assert list(summary["problems"]) == ["dark/000.png"]
    faults = json.loads((run / "faults.json").read_text())
    assert (faults["functions"], list(faults["images"])) == ({}, ["dark/000.png"])


def test_votes_on_one_class_need_no_second(lfkit, photos, tmp_path):
    for path in (photos / "bright").iterdir():
        path.unlink()
    np.save(tmp_path / "votes.npy", np.array([[0, -1]] * 5))
    done = lfkit(
        "apply", photos, "--votes", tmp_path / "votes.npy", "--out", tmp_path / "run",
        "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    assert (summary["class_names"], summary["labeled"]) == (["dark"], 5)
    assert lfkit("analyze", tmp_path / "run").code == 0


def test_another_folder_of_the_same_names_sizes_and_times_is_read(lfkit, tmp_path):
    for folder, levels in (("one", (0, 255)), ("two", (255, 0))):
        (tmp_path / folder).mkdir()
        for name, level in zip("ab", levels, strict=True):
            path = tmp_path / folder / f"{name}.bmp"
            Image.new("L", (4, 4), level).save(path)
            os.utime(path, ns=(0, 0))
    (tmp_path / "my_lfs.py").write_text(LFS)
    for folder, expected in (("one", [False, True]), ("two", [True, False])):
        lfkit(
            "apply", tmp_path / folder, "--lfs", tmp_path / "my_lfs.py",
            "--out", tmp_path / "run",
        )  # fmt: skip
        labels = pd.read_csv(tmp_path / "run" / "labels.csv")
        assert (labels["p_bright"] > 0.5).tolist() == expected


def test_only_the_index_of_the_same_folder_is_believed(lfkit, photos, tmp_path):
    command = ("--lfs", tmp_path / "my_lfs.py", "--out", tmp_path / "run", "--json")
    lfkit("apply", photos, *command)
    index = tmp_path / "run" / "images.parquet"
    table = pq.read_table(index)
    wrong = pa.array(["0" * 32] * 10)
    for data, moved, n_calls in ((photos, False, 2), (tmp_path / "moved", True, 0)):
        if moved:
            photos.rename(data)
        pq.write_table(table.set_column(1, "key", wrong), index)
        config = json.loads((tmp_path / "run" / "run.json").read_text())
        of_images = hashlib.blake2b(index.read_bytes(), digest_size=16).hexdigest()
        (tmp_path / "run" / "run.json").write_text(
            json.dumps(config | {"images": of_images})
        )
        summary = json.loads(lfkit("apply", data, *command).out)
        assert summary["lf_calls"] == n_calls


def test_a_run_inside_the_data_can_be_made_again(lfkit, photos, monkeypatch):
    monkeypatch.chdir(photos)
    for _ in range(2):
        done = lfkit("apply", ".", "--lfs", "../my_lfs.py", "--json")
        assert json.loads(done.out)["images"] == 10


def test_true_labels_beyond_the_classes_are_not_scored(lfkit, tmp_path):
    images = np.array([0, 255, 0, 255], np.uint8).repeat(16).reshape(4, 4, 4)
    np.savez(tmp_path / "data.npz", images=images, labels=[0, 1, 2, 3])
    (tmp_path / "my_lfs.py").write_text(LFS)
    run = tmp_path / "run"
    command = ("apply", tmp_path / "data.npz", "--lfs", tmp_path / "my_lfs.py")
    summary = json.loads(lfkit(*command, "--out", run, "--json").out)
    assert summary["accuracy"] == {"of_all": 1.0, "of_labeled": 1.0, "n": 2}
    assert summary["notes"] == [
        f"{tmp_path / 'data.npz'} has labels up to 3, beyond the classes 0..1 (dark, "
        "bright); those 2 images are labeled, not scored"
    ]
    assert lfkit("analyze", run).code == 0


SNORKEL_LFS = """
from snorkel.labeling import labeling_function

@labeling_function()
def bright(x):
    return 1 if x.mean() > 100 else 0
"""


def test_snorkels_functions_need_the_names_of_the_classes(lfkit, photos, tmp_path):
    path = tmp_path / "theirs.py"
    path.write_text(SNORKEL_LFS)
    command = ("apply", photos / "dark", "--lfs", path, "--out", tmp_path / "run")
    done = lfkit(*command)
    assert done.code == 2
    assert "labeling function 'bright' does not declare its classes" in done.err
    assert "write CLASSES = [...] in the functions' file" in done.err
    path.write_text(SNORKEL_LFS + 'CLASSES = ["dark", "bright"]\n')
    assert json.loads(lfkit(*command, "--json").out)["labeled"] == 5


def test_no_label_at_all_is_still_json(lfkit, photos, tmp_path):
    np.save(tmp_path / "votes.npy", np.full((10, 2), -1))
    run = tmp_path / "run"
    done = lfkit(
        "apply", photos, "--votes", tmp_path / "votes.npy", "--out", run, "--json"
    )
    stored = (run / "summary.json").read_text()
    for text in (done.out, stored, lfkit("analyze", run, "--json").out):
        found = json.loads(text, parse_constant=pytest.fail)
        assert found["accuracy"] == {"of_all": 0.0, "of_labeled": None, "n": 10}
    assert lfkit("analyze", run).code == 0


def test_square_brackets_and_colons_are_shown_as_they_are(lfkit, photos, tmp_path):
    (tmp_path / "r [").mkdir()
    strange = photos.rename(tmp_path / "r [" / "x] :smile:")
    path = tmp_path / "my_lfs.py"
    path.write_text(LFS.replace('"dark"', '"[/b]"'))
    run = tmp_path / "r [" / "y]"
    done = lfkit("apply", strange, "--lfs", path, "--out", run, "--seeds-per-class", 2)
    assert (done.code, done.err) == (0, done.err)
    told = "".join(done.out.split())
    for text in ("r[/x]:smile:labeledin", "r[/y]/labels.csv", "class'[/b]'has0"):
        assert text in told, text
    done = lfkit("analyze", run)
    assert done.code == 0
    assert "[/b]" in done.out
    assert "[/b]" in lfkit("list", "lfs", "--lfs", path).out
    assert "[/z] :smile:" in lfkit("analyze", "[/z] :smile:").err


def test_neither_number_nor_name_is_cut_at_80_columns_in_a_pipe(
    lfkit, photos, tmp_path, monkeypatch
):
    name = "images_of_a_low_mean_are_dark_or_at_least_rather_dark"
    path = tmp_path / "my_lfs.py"
    path.write_text(LFS.replace("low_is_dark", name))
    command = ("apply", photos, "--lfs", path, "--out", tmp_path / "run")
    lfkit(*command, "--seeds-per-class", 3)
    monkeypatch.setenv("COLUMNS", "80")
    told = lfkit("analyze", tmp_path / "run").out.splitlines()
    assert " ".join(told[0].split()) == (
        "labeling function votes for coverage conflicts accuracy on seeds"
    )
    row = next(line for line in told if line.startswith("images_of_a_low"))
    assert " ".join(row.split()) == f"{name} dark 50.0 % 0.0 % 100.0 % 100.0 %"
    listed = lfkit("list", "lfs", "--lfs", path).out.splitlines()
    assert f"{name}  heuristic  dark" in listed
    assert "    Dark images have a low mean." in [line.rstrip() for line in listed]


def test_labels_as_good_as_a_classifiers_are_not_called_better(lfkit, photos, tmp_path):
    done = lfkit(
        "apply", photos, "--lfs", tmp_path / "my_lfs.py", "--seeds-per-class", 2,
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert "The labels are as good as the best plain classifier trained" in done.out
    assert "0.0 points" not in done.out


def test_apply_and_analyze_score_the_images_that_can_be_read(lfkit, photos, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (12, 12), np.uint8)
    Image.fromarray(noise).save(photos / "dark" / "000.png")
    whole = (photos / "dark" / "000.png").read_bytes()
    (photos / "dark" / "000.png").write_bytes(whole[:120])  # only decoding shows it
    (photos / "dark" / "010.png").write_bytes(b"")
    run = tmp_path / "run"
    command = ("apply", photos, "--lfs", tmp_path / "my_lfs.py", "--out", run)
    summary = json.loads(lfkit(*command, "--seeds-per-class", 2, "--json").out)
    n_scored = [baseline["n_scored"] for baseline in summary["baselines"]]
    analyzed = json.loads(lfkit("analyze", run, "--json").out)
    assert summary["accuracy"]["n"] == analyzed["accuracy"]["n"]
    assert n_scored == [summary["accuracy"]["n"]] * 4


def test_seeds_that_cannot_be_read_are_mentioned(lfkit, photos, tmp_path):
    (photos / "dark" / "000.png").write_bytes(b"")
    (tmp_path / "seeds.csv").write_text(
        "image_id,label\nbright/200.png,bright\ndark/000.png,dark\n"
    )
    done = lfkit(
        "apply", photos, "--lfs", tmp_path / "my_lfs.py",
        "--seed-labels", tmp_path / "seeds.csv", "--out", tmp_path / "run", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert json.loads(done.out)["notes"][0] == (
        "1 of the 2 seeds cannot be read, such as dark/000.png: nothing is learned "
        "from them"
    )


def test_list_shows_functions_features_aggregators_and_data_sets(lfkit):
    done = lfkit("list")
    for text in ("two_holes_is_eight", "edge_density", "dawid-skene", "fashion-mnist"):
        assert text in done.out
    begun = done.out.splitlines()[:20]  # an index of modules, before what is in them
    assert any(line.startswith("lf_library.clothing ") for line in begun)
    rows = json.loads(lfkit("list", "aggregators", "--json").out)
    assert [row["name"] for row in rows] == list(AGGREGATORS)
    rows = json.loads(lfkit("list", "features", "--json").out)
    assert [row["name"] for row in rows] == list(FEATURES)
    hog = next(row for row in rows if row["name"] == "hog")
    assert hog["file"] == "lfkit.features.hog"
    assert hog["what it measures"].startswith("Histograms of gradient orientation")
    rows = json.loads(lfkit("list", "encoders", "--json").out)
    assert [row["name"].partition(":")[0] for row in rows] == list(ENCODERS)
    done = lfkit("list", "gans")
    assert (done.code, "there is no family 'gans'" in done.err) == (2, True)


def test_list_classes_shows_the_names_that_a_network_knows(lfkit):
    assert len(lfkit("list", "classes").out.splitlines()) == 1000
    assert lfkit("list", "classes", "--search", "Tabby").out == "tabby, tabby cat\n"
    done = lfkit("list", "classes", "--network", "efficientnet-lite2", "--json")
    assert json.loads(done.out)[281] == "tabby, tabby cat"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("classes", "--search", "quark"), "quark"),
        (("classes", "--network", "vgg"), "efficientnet-lite0"),
        (("features", "--search", "cat"), "--search"),
        (("--network", "timm:resnet18"), "--network"),
    ],
)
def test_list_classes_explains_what_it_cannot_list(lfkit, arguments, named):
    done = lfkit("list", *arguments)
    assert (done.code, named in done.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give labeling functions with --lfs SPEC, or votes made elsewhere"),
        (("--lfs", "{lfs}", "--with", "oracle"), "there is no aggregator 'oracle'"),
        (("--lfs", "{lfs}", "--size", "big"), "--size is 'big'; give 64"),
        (("--lfs", "nowhere.py"), "there is no file nowhere.py"),
        (("--lfs", "no_such_module"), "there is no module 'no_such_module'"),
        (("--lfs", "{lfs}", "--class-balance", "a,b"), "give one number per class"),
        (("--lfs", "{lfs}", "--class-balance", ".5,.6"), "shares that sum to 1"),
        (
            ("--lfs", "{lfs}", "--seeds-per-class", "2", "--seed-labels", "x.csv"),
            "give --seed-labels or --seeds-per-class, not both",
        ),
        (("--lfs", "{lfs}", "--seed-labels", "x.csv"), "there is no file x.csv"),
        (("--lfs", "{lfs}", "--seed", "-1"), "--seed is -1; give a whole number"),
        (("--lfs", "{lfs}", "--lf-timeout", "0"), "--lf-timeout is 0; give a number"),
        (("--lfs", "{lfs}", "--lf-timeout", "-2"), "--lf-timeout is -2; give"),
        (("--lfs", "{lfs}", "--lf-timeout", "nan"), "--lf-timeout is nan; give"),
        (("--lfs", "{lfs}", "--seeds-per-class", "0"), "must be at least 1, got 0"),
        (("--lfs", "{lfs}", "--out", "{lfs}"), "is a file; --out takes a folder"),
        (("--lfs", "{lfs}", "--out", "{tmp}"), "is not empty and not a run of lfkit"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_2(
    lfkit, photos, tmp_path, arguments, message
):
    filled = [
        text.format(lfs=tmp_path / "my_lfs.py", tmp=tmp_path) for text in arguments
    ]
    if "--out" not in arguments:
        filled += ["--out", str(tmp_path / "run")]
    done = lfkit("apply", photos, *filled)
    assert done.code == 2
    assert "error: " in done.err
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_file_of_seeds_is_checked_before_images_are_read(lfkit, photos, tmp_path):
    wrong = tmp_path / "seeds.csv"
    wrong.write_text("name,class\na.png,dark\n")
    lfs = tmp_path / "my_lfs.py"
    done = lfkit(
        "apply", tmp_path / "no_such_folder", "--lfs", lfs, "--seed-labels", wrong,
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert done.code == 2
    assert "needs the columns image_id and label, it has name, class" in done.err


def test_data_without_labels_cannot_give_seeds(lfkit, photos, tmp_path):
    done = lfkit(
        "apply", photos / "dark", "--lfs", tmp_path / "my_lfs.py",
        "--seeds-per-class", 1, "--out", tmp_path / "run",
    )  # fmt: skip
    assert done.code == 2
    assert "has no labels to draw seeds from; give the few you have by" in done.err


def test_a_function_for_a_class_the_data_does_not_have_is_refused(
    lfkit, photos, tmp_path
):
    path = tmp_path / "three.py"
    path.write_text(
        LFS.replace("CLASSES", "NAMES").replace("classes=[1]", "classes=[7]")
    )
    done = lfkit("apply", photos, "--lfs", path, "--out", tmp_path / "run")
    assert done.code == 2
    assert "a labeling function votes for class 7, but" in done.err


def test_folders_that_classes_does_not_name_are_labeled_but_not_scored(
    lfkit, photos, tmp_path
):
    (photos / "dark").rename(photos / "night")
    command = ("apply", photos, "--lfs", tmp_path / "my_lfs.py")
    done = lfkit(*command, "--out", tmp_path / "run", "--json")
    summary = json.loads(done.out)
    assert "classes that CLASSES does not name (night)" in summary["notes"][0]
    assert (summary["accuracy"]["n"], summary["labeled"]) == (5, 10)


def test_votes_for_another_number_of_images_are_refused(lfkit, photos, tmp_path):
    np.save(tmp_path / "votes.npy", np.zeros((3, 2), np.int64))
    done = lfkit(
        "apply", photos, "--votes", tmp_path / "votes.npy", "--out", tmp_path / "run"
    )
    assert done.code == 2
    assert "has votes on 3 images" in done.err


def test_votes_without_a_row_for_an_image_are_refused(lfkit, photos, tmp_path):
    rows = "".join(f"{name}.png,1\n" for name in "abcdefghij")
    (tmp_path / "votes.csv").write_text("image_id,f\n" + rows)
    done = lfkit(
        "apply", photos, "--votes", tmp_path / "votes.csv", "--out", tmp_path / "run"
    )
    assert done.code == 2
    assert "has no votes on image 'bright/200.png'" in done.err


def test_a_folder_that_is_no_run_is_told_how_to_become_one(lfkit, tmp_path):
    done = lfkit("analyze", tmp_path)
    assert done.code == 2
    assert "is not a finished run: it has no run.json" in done.err


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda run: (run / "run.json").write_text("{}"),
            "cannot be read: options: Field",
        ),
        (
            lambda run: (run / "run.json").write_text(
                (run / "run.json").read_text().replace('"format":3', '"format":9')
                .replace('"format": 3', '"format": 9')
            ),
            "has format 9, this lfkit reads 3",
        ),
        (lambda run: (run / "images.parquet").unlink(), "has no images.parquet"),
        (
            lambda run: [path.unlink() for path in run.glob("votes/*/*")],
            "lacks some of its votes; run `lfkit apply` again",
        ),
    ],
)  # fmt: skip
def test_a_damaged_run_says_what_is_missing(lfkit, photos, tmp_path, spoil, message):
    run = tmp_path / "run"
    lfkit("apply", photos, "--lfs", tmp_path / "my_lfs.py", "--out", run)
    spoil(run)
    done = lfkit("analyze", run)
    assert done.code == 2
    assert message in " ".join(done.err.split())


def test_a_locked_run_is_not_written_to(lfkit, photos, tmp_path):
    from lfkit.runs.store import locked

    run = tmp_path / "run"
    with locked(run):
        done = lfkit("apply", photos, "--lfs", tmp_path / "my_lfs.py", "--out", run)
    assert done.code == 2
    assert "another lfkit command is writing to" in done.err


BAD_LFS = """
import os
from lfkit import ABSTAIN, labeling_function

@labeling_function(classes=[0, 1])
def fine(image):
    return int(image.mean() > 100)

@labeling_function(classes=[0])
def raises(image):
    raise KeyError("nothing here")

@labeling_function(classes=[0])
def hangs_on_white(image):
    while image.min() == 255:
        pass
    return 0

@labeling_function(classes=[0])
def returns_none(image):
    pass

@labeling_function(classes=[0])
def returns_nan(image):
    return float("nan")

@labeling_function(classes=[0])
def returns_a_float(image):
    return 0.0

@labeling_function(classes=[0])
def votes_elsewhere(image):
    return 1

@labeling_function(classes=[0])
def returns_a_shape(image):
    return image.mean(axis=0)
"""


def test_every_bad_file_and_function_is_counted_named_and_survived(
    lfkit, photos, tmp_path
):
    for name in ("dark", "bright"):  # no labels, so that the words stay simple
        for path in (photos / name).iterdir():
            path.rename(photos / path.name)
        (photos / name).rmdir()
    Image.new("L", (12, 12), 255).save(photos / "white.png")
    good = (photos / "000.png").read_bytes()
    (photos / "corrupt.png").write_bytes(good[:20] + b"\x00" * 40)
    (photos / "empty.png").write_bytes(b"")
    (photos / "text.jpg").write_bytes(b"not an image at all")
    noise = np.random.default_rng(0).integers(0, 255, (12, 12), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    (photos / "truncated.png").write_bytes((tmp_path / "noise.png").read_bytes()[:120])
    bomb = Image.new("1", (12000, 12000))
    bomb.save(photos / "bomb.png")
    (tmp_path / "bad_lfs.py").write_text(BAD_LFS)
    run = tmp_path / "run"
    command = ("apply", photos, "--lfs", tmp_path / "bad_lfs.py", "--out", run)
    command += ("--size", 12, "--lf-timeout", 1)
    done = lfkit(*command, "--json")
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    assert summary["images"] == 16
    assert summary["labeled"] == 6  # on bright images the two that work disagree
    assert set(summary["problems"]) == {
        "corrupt.png", "empty.png", "text.jpg", "truncated.png", "bomb.png",
    }  # fmt: skip
    assert {name: found["kinds"] for name, found in summary["faults"].items()} == {
        "raises": {"raised KeyError": 11},
        "hangs_on_white": {"timed out": 1},
        "returns_none": {"returned None": 11},
        "returns_nan": {"returned NaN": 11},
        "returns_a_float": {"returned a float": 11},
        "votes_elsewhere": {"voted an undeclared class": 11},
        "returns_a_shape": {"returned a wrong shape": 11},
    }
    faults = json.loads((run / "faults.json").read_text())
    trace = faults["functions"]["raises"]["raised KeyError"]["traceback"]
    assert 'raise KeyError("nothing here")' in trace
    told = lfkit(*command).out
    assert "5 files could not be read" in told
    assert "failed on 11 images: raised KeyError 11x ('nothing here')" in told
    assert "faults.json" in told
    labels = pd.read_csv(run / "labels.csv").set_index("image_id")
    assert pd.isna(labels.loc["bomb.png", "label"])
    images = pd.read_parquet(run / "images.parquet").set_index("image_id")
    assert pd.isna(images.loc["000.png"].problem)
    assert "empty" in images.loc["empty.png"].problem
    strict = lfkit(*command, "--strict")
    assert strict.code == 2
    assert "cannot be read" in strict.err


def test_strict_stops_at_a_function_that_fails(lfkit, photos, tmp_path):
    (tmp_path / "bad_lfs.py").write_text(BAD_LFS)
    spec = f"{tmp_path / 'bad_lfs.py'}:raises"
    command = ("apply", photos, "--lfs", spec, "--out", tmp_path / "run", "--strict")
    done = lfkit(*command)
    assert done.code == 2
    assert "'raises' failed on image 'bright/200.png'" in done.err
    assert "nothing here" in done.err


SLOW_LFS = """
import numpy as np
from lfkit import ABSTAIN, NearestNorm, Quantile, feature, labeling_function

@feature
def level(image):
    return image.mean()

@feature
def columns(image):
    for _ in range(3):
        np.linalg.svd(image[:, :, 0].astype(float))
    return image.mean(axis=(0, 2))

@labeling_function(
    classes=range(10), features=[level], thresholds={"cut": Quantile(level, 0.5)}
)
def middle_is_a_digit(mean, *, cut):
    return int(mean) % 10 if mean > cut else ABSTAIN

@labeling_function(classes=range(10))
def corner_is_a_digit(image):
    np.linalg.svd(image[:, :, 0].astype(float))
    return int(image[3, 3, 0]) % 10

@labeling_function(classes=range(10), features=[columns])
def column_is_a_digit(means):
    return int(means.argmax())

@labeling_function(
    classes=range(10), features=[columns], soft=True,
    thresholds={"rule": NearestNorm(columns)},
)
def norm_is_near(values, *, rule):
    return rule(values)
"""


def files_of(run):
    """Every file of votes, features and fitted arrays of a run."""
    patterns = (
        "votes/*/*.npz",
        "votes/*/*.arrow",
        "features/*/*.np[yz]",
        "fitted/*/learned.npz",
    )
    return [path for pattern in patterns for path in sorted(run.glob(pattern))]


def _content(run):
    """Every vote, feature and fitted array of a run, and its labels."""
    arrays = {}
    for path in files_of(run):
        if path.suffix == ".arrow":
            named = {"bytes": np.fromfile(path, np.uint8)}
        else:
            stored = np.load(path)
            named = dict(stored) if path.suffix == ".npz" else {"values": stored}
        parts = [named[name].tobytes() for name in sorted(named)]
        arrays[str(path.relative_to(run))] = parts
    return arrays, (run / "labels.csv").read_bytes()


@pytest.mark.parametrize("n_runs", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_at_random_moments_it_ends_with_the_same_votes(tmp_path, digits, n_runs):
    images, labels = digits
    rng = np.random.default_rng(0)
    many = np.concatenate([images, *(np.roll(images, s, axis=2) for s in (1, 2))])
    many = many[rng.permutation(len(many))]
    np.savez(tmp_path / "many.npz", images=many, labels=np.tile(labels, 3))
    (tmp_path / "slow_lfs.py").write_text(SLOW_LFS)

    def command(run):
        return [
            *("apply", tmp_path / "many.npz", "--lfs", tmp_path / "slow_lfs.py"),
            *("--seeds-per-class", "5", "--with", "majority-vote", "--no-baselines"),
            *("--no-sheet", "--json", "--out", run),
        ]

    whole = tmp_path / "whole"
    call(*command(whole))
    expected = _content(whole)
    n_files = len(expected[0])
    assert n_files > 20
    moments = random.Random(1)
    kills = 0
    for number in range(n_runs):
        run = tmp_path / f"killed-{number}"
        for least, most in ((1, n_files // 2), (n_files // 2 + 1, n_files - 1)):
            process = subprocess.Popen(
                [sys.executable, "-m", "lfkit", *map(str, command(run))],
                stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
            moment = moments.randint(least, most)
            kills += kill_when(
                process, lambda run=run, n=moment: len(files_of(run)) >= n
            )
        call(*command(run))
        arrays, labels_csv = _content(run)
        assert arrays == expected[0]
        assert labels_csv == expected[1]
        assert not list(run.rglob("*.tmp"))
    assert kills > n_runs


def test_ctrl_c_says_what_was_kept_and_how_to_go_on(tmp_path, photos):
    (tmp_path / "slow.py").write_text(
        "from lfkit import labeling_function\n"
        "@labeling_function(classes=[0])\n"
        "def endless(image):\n    while True:\n        pass\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", "from lfkit.cli.app import main; main()", "apply",
         photos, "--lfs", tmp_path / "slow.py", "--out", tmp_path / "run"],
        stderr=subprocess.PIPE, text=True,
        # A test run in the background of a shell ignores Ctrl-C, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    blocks = tmp_path / "run" / "blocks.arrow"
    assert signal_when(process, blocks.exists, signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Stopped. What is computed is kept in" in told
    assert "Traceback" not in told


def test_commands_and_options_are_completed(lfkit, monkeypatch):
    monkeypatch.setenv("_LFKIT_COMPLETE", "complete_bash")
    for words, expected in (
        ("lfkit ap", "apply"),
        ("lfkit apply --ref", "--refine"),
        ("lfkit list agg", "aggregators"),
        ("lfkit apply --with dawid", "dawid-skene"),
        ("lfkit export run --as label", "label-studio"),
    ):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
        assert lfkit().out.split() == [expected]


def test_the_version_is_that_of_the_package(lfkit):
    done = lfkit("--version")
    assert done.code == 0
    assert done.out.strip() == f"lfkit {importlib.metadata.version('lfkit')}"
