"""`lfkit apply --refine` and `--target-precision`, as a user calls them."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

STAGES = "lda,align,diffuse,metric"
WEAK_LFS = """
from lfkit import NearestMean, feature, labeling_function

CLASSES = [str(digit) for digit in range(10)]
EVERY = list(range(10))


@feature(batched=True)
def rows(images):
    return images.mean(dim=(1, 3))


@feature(batched=True)
def columns(images):
    return images.mean(dim=(1, 2))


@labeling_function(
    classes=EVERY,
    features=[rows],
    thresholds={"rule": NearestMean(rows)},
    batched=True,
    soft=True,
)
def rows_are_of_the_class(values, *, rule):
    return rule(values)


@labeling_function(
    classes=EVERY,
    features=[columns],
    thresholds={"rule": NearestMean(columns)},
    batched=True,
    soft=True,
)
def columns_are_of_the_class(values, *, rule):
    return rule(values)
"""


@pytest.fixture
def weak(tmp_path):
    (tmp_path / "weak.py").write_text(WEAK_LFS)
    return str(tmp_path / "weak.py")


def apply(lfkit, *options):
    done = lfkit("apply", *options, "--no-sheet", "--no-floors", "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_refined_labels_are_better_and_both_are_kept(lfkit, tmp_path, weak):
    out = tmp_path / "run"
    options = ("digits", "--lfs", weak, "--seeds-per-class", "20", "--out", str(out))
    plain = apply(lfkit, *options)
    refined = apply(lfkit, *options, "--refine", "--stages", STAGES)
    gain = refined["accuracy"]["of_all"] - plain["accuracy"]["of_all"]
    assert gain > 0.1
    report = refined["refinement"]
    assert report["is_refined"]
    assert [stage["name"] for stage in report["stages"]] == [
        "votes",
        *STAGES.split(","),
    ]
    assert report["class_prior_how"].startswith("estimated")
    table = pq.read_table(out / "labels.parquet").to_pandas()
    assert (table["label"] != table["vote_label"]).mean() > 0.1
    shares = table[[name for name in table.columns if name.startswith("p_")]]
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)


def test_the_same_call_again_changes_nothing(lfkit, tmp_path, weak):
    out = tmp_path / "run"
    options = ("digits", "--lfs", weak, "--seeds-per-class", "10", "--out", str(out))
    options += ("--refine", "--stages", "lda,diffuse")
    apply(lfkit, *options)
    first = (out / "labels.csv").read_bytes()
    apply(lfkit, *options)
    assert (out / "labels.csv").read_bytes() == first


def test_votes_made_elsewhere_are_refined_by_images_in_a_file(lfkit, tmp_path, digits):
    images, truth = digits
    rng = np.random.default_rng(0)
    votes = np.where(
        rng.random((len(truth), 6)) < 0.5,
        truth[:, None],
        rng.integers(0, 10, (len(truth), 6)),
    )
    votes[rng.random(votes.shape) < 0.4] = -1
    np.savez(tmp_path / "images.npz", images=images, labels=truth)
    np.savez(tmp_path / "votes.npz", votes=votes.astype(np.int8))
    found = apply(
        lfkit,
        *(str(tmp_path / "images.npz"), "--votes", str(tmp_path / "votes.npz")),
        *("--refine", "--stages", "lda", "--out", str(tmp_path / "run")),
    )
    stages = {stage["name"]: stage for stage in found["refinement"]["stages"]}
    assert stages["lda"]["accuracy"] > stages["votes"]["accuracy"] + 0.05
    assert found["accuracy"]["of_all"] > found["majority_vote_accuracy"]["of_all"]


def test_as_many_labels_are_kept_as_reach_the_target(lfkit, tmp_path, weak):
    options = ("digits", "--lfs", weak, "--seeds-per-class", "20")
    whole = apply(lfkit, *options, "--out", str(tmp_path / "whole"))
    some = apply(
        lfkit, *options, "--target-precision", ".9", "--out", str(tmp_path / "some")
    )
    kept = some["kept"]
    assert kept["target_precision"] == 0.9
    assert 0 < kept["kept"] < kept["of"]
    assert some["labeled"] == kept["kept"] + some["seeds"]
    assert kept["expected_precision"] >= 0.9
    right = some["accuracy"]["of_labeled"]
    assert right > whole["accuracy"]["of_labeled"] + 0.05
    assert right > 0.85
    table = pq.read_table(tmp_path / "some" / "labels.parquet").to_pandas()
    assert table["label"].notna().sum() == some["labeled"]
    assert table["vote_label"].notna().sum() == kept["of"] + some["seeds"]


def test_without_seeds_the_target_is_no_promise(lfkit, tmp_path):
    votes = np.random.default_rng(0).integers(0, 10, (1797, 3))
    np.save(tmp_path / "votes.npy", votes)
    found = apply(
        lfkit,
        *("digits", "--votes", str(tmp_path / "votes.npy")),
        *("--target-precision", ".5", "--out", str(tmp_path / "run")),
    )
    assert "no seed has told how far confidence can be believed" in found["notes"][0]


def test_confidence_is_measured_on_seeds_and_images(lfkit, tmp_path, weak):
    found = apply(
        lfkit,
        *("digits", "--lfs", weak, "--seeds-per-class", "20"),
        *("--out", str(tmp_path / "run")),
    )
    for where in ("on_seeds", "on_images"):
        measured = found["calibration"][where]
        assert measured["ece"] < 0.12
        assert abs(measured["confidence"] - measured["accuracy"]) < 0.1
    assert found["calibration"]["on_seeds"]["n"] == 200


def test_intervals_are_given_on_request(lfkit, tmp_path, weak):
    out = str(tmp_path / "run")
    found = apply(
        lfkit, "digits", "--lfs", weak, "--seeds-per-class", "10", "--out", out
    )
    done = lfkit("analyze", out, "--bootstrap", "200", "--json")
    low, high = json.loads(done.out)["intervals"]["accuracy"]
    assert low < found["accuracy"]["of_labeled"] < high
    assert high - low < 0.1
    assert "accuracy: 95 % between" in lfkit("analyze", out, "--bootstrap", "9").out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--target-precision", "1.5"), "give a share between 0 and 1"),
        (("--max-minutes", "5"), "are for --refine; add it"),
        (("--stages", "lda"), "are for --refine; add it"),
        (("--refine", "--max-minutes", "0"), "give a number above 0"),
        (("--refine", "--stages", "magic"), "there is no stage 'magic'"),
    ],
)
def test_wrong_options_are_told_before_any_work(lfkit, tmp_path, weak, options, said):
    done = lfkit(
        "apply", "digits", "--lfs", weak, *options, "--out", str(tmp_path / "run")
    )
    assert done.code == 2
    assert said in done.err.replace("\n", " ")
    assert not (tmp_path / "run" / "run.json").exists()


def test_bootstrap_needs_known_classes(lfkit, tmp_path):
    np.save(tmp_path / "votes.npy", np.zeros((4, 2), int))
    np.savez(tmp_path / "images.npz", images=np.zeros((4, 8, 8), np.uint8))
    out = str(tmp_path / "run")
    apply(
        lfkit,
        *(str(tmp_path / "images.npz"), "--votes", str(tmp_path / "votes.npy")),
        *("--out", out),
    )
    assert (
        "needs images of known class" in lfkit("analyze", out, "--bootstrap", "9").err
    )
    assert "give a number of draws" in lfkit("analyze", out, "--bootstrap", "-1").err
