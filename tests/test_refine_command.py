"""`lfkit apply --refine` and `--target-precision`, as a user calls them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from assertions import assert_notes
from PIL import Image

from lfkit.data.labels import wilson_interval
from lfkit.metrics.labels.summarize import verdict
from lfkit.runs.run_summary import load_summary

STAGES = "lda,align,self-training,diffuse,metric"
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
    done = lfkit("apply", *options, "--no-sheet", "--no-baselines", "--json")
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
        *("--refine", "--stages", "self-training", "--out", str(tmp_path / "run")),
    )
    stages = {stage["name"]: stage for stage in found["refinement"]["stages"]}
    assert stages["self-training"]["accuracy"] > stages["votes"]["accuracy"] + 0.05
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
    assert_notes(found["notes"], names=["no seed", "confidence"])


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


def squares(n, seed=0):
    """Images (n, 10, 10): class 0 is bright on the left, class 1 on the right."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 2
    pixels = rng.integers(0, 150, (n, 10, 10))
    pixels[truth == 0, 2:8, 1:4] += 60
    pixels[truth == 1, 2:8, 6:9] += 60
    return pixels.astype(np.uint8), truth


SIDES = """
from lfkit import NearestMean, feature, labeling_function

CLASSES = ["left", "right"]


@feature(batched=True)
def speckle(images):
    return images[:, 0, 4:6, 2]


def vote(values, *, rule):
    return rule(values)


def make(node):
    return labeling_function(
        classes=[0, 1],
        features=[node],
        thresholds={"rule": NearestMean(node)},
        batched=True,
        soft=True,
        name=f"{node.name}_are_of_class",
    )(vote)


speckles_are_of_class = make(speckle)
"""


@pytest.fixture
def sides(tmp_path):
    """Images without truth in a file, a function that knows nothing, and 40 seeds."""
    pixels, truth = squares(240)
    np.savez(tmp_path / "images.npz", images=pixels)
    (tmp_path / "sides.py").write_text(SIDES)
    lines = [f"{row},{('left', 'right')[truth[row]]}" for row in range(40)]
    (tmp_path / "seeds.csv").write_text("\n".join(["image_id,label", *lines]))
    return tmp_path, truth


def run_of(lfkit, folder, *options, lfs="sides.py"):
    out = str(folder / "run")
    done = lfkit(
        *("apply", str(folder / "images.npz"), "--lfs", str(folder / lfs)),
        *("--seed-labels", str(folder / "seeds.csv"), "--no-sheet", "--json"),
        *("--out", out, *options),
    )
    assert done.code == 0, done.err
    return json.loads(done.out), out


def labels_of(out):
    return pq.read_table(f"{out}/labels.parquet").to_pandas()


def test_without_truth_all_speaks_of_the_refined_labels(lfkit, sides):
    folder, _ = sides
    votes, _ = run_of(lfkit, folder, "--no-baselines")
    found, out = run_of(lfkit, folder, "--refine", "--stages", STAGES)
    stages = {stage["name"]: stage for stage in found["refinement"]["stages"]}
    assert votes["seed_accuracy"] < 0.9
    assert found["seed_accuracy"] == stages["metric"]["held_out"] > 0.9
    assert found["judged"] == {
        "after": "metric",
        "seeds": 40,
        "is_calibrated": True,
        "too_few": "",
        "per_class": 20,
    }
    on_seeds = found["calibration"]["on_seeds"]
    assert on_seeds["accuracy"] == found["seed_accuracy"]
    table = labels_of(out)
    written = [int((table["label"] == name).sum()) for name in ("left", "right")]
    assert found["class_counts"] == written
    share = f"{100 * found['seed_accuracy']:.1f} %"
    said = lfkit("report", out)
    assert said.code == 0, said.err
    page = (folder / "run" / "report.html").read_text()
    low, high = wilson_interval(round(40 * found["seed_accuracy"]), 40)
    interval = f"{100 * low:.0f} to {100 * high:.0f} %"
    assert f"<b>{share}</b><span>accuracy after refining by metric: {interval}" in page
    told = json.loads(lfkit("analyze", out, "--json").out)
    assert told["seed_accuracy"] == found["seed_accuracy"]
    assert told["class_counts"] == written
    told = json.loads(lfkit("diagnose", out, "--json").out)
    assert told["seed_accuracy"] == found["seed_accuracy"]
    assert f"metric, are right {share} of the time: {interval}" in " ".join(
        lfkit("diagnose", out).out.split()
    )


def test_the_vote_is_shown_as_the_vote_after_refining(lfkit, tmp_path, weak):
    out = str(tmp_path / "run")
    options = ("digits", "--lfs", weak, "--seeds-per-class", "20", "--out", out)
    options += ("--with", "majority-vote")
    plain = apply(lfkit, *options)
    refined = apply(lfkit, *options, "--refine", "--stages", "lda,diffuse")
    share = plain["accuracy"]["of_all"]
    assert plain["majority_vote_accuracy"]["of_all"] == share
    assert refined["majority_vote_accuracy"]["of_all"] == share
    assert refined["accuracy"]["of_all"] > share + 0.1
    read = json.loads(lfkit("analyze", out, "--json").out)
    assert read["majority_vote_accuracy"]["of_all"] == share
    on_images = refined["calibration"]["on_images"]
    assert abs(on_images["confidence"] - on_images["accuracy"]) < 0.06


def test_a_network_that_has_seen_the_seeds_leaves_confidence_uncalibrated(
    lfkit, sides, monkeypatch
):
    import lfkit.refinement.refiner as refiner
    from lfkit.nn import TrainingPlan

    short = TrainingPlan(n_steps=6, batch=16, seed_batch=4, width=4, warmup=2)
    monkeypatch.setattr(refiner, "_plan_for", lambda views: short)
    folder, _ = sides
    options = ("--refine", "--stages", "lda,cnn,joint", "--target-precision", ".9")
    found, out = run_of(lfkit, folder, "--no-baselines", *options)
    assert found["judged"] == {
        "after": "lda",
        "seeds": 40,
        "is_calibrated": False,
        "too_few": "",
        "per_class": 20,
    }
    assert_notes(found["notes"], allowed="leave out the stages cnn and joint")
    lfkit("report", out)
    page = (folder / "run" / "report.html").read_text()
    assert "Their confidence is not calibrated" in page


def test_the_baseline_is_the_strongest_plain_thing_and_can_be_used(lfkit, sides):
    folder, truth = sides
    found, run = run_of(lfkit, folder)
    baselines = {
        baseline["name"]: baseline["seed_cv_accuracy"]
        for baseline in found["baselines"]
    }
    assert baselines[found["baseline"]] == max(baselines.values()) > 0.9
    said = verdict(load_summary(Path(run)))
    assert not said.wins
    assert found["baseline"] in said.sentence
    assert "--with baseline" in said.sentence
    # Of 40 seeds, one or two more or less are no difference.
    for right, is_clear in ((baselines[found["baseline"]] - 0.03, False), (0.5, True)):
        said = verdict(replace(load_summary(Path(run)), seed_accuracy=right))
        assert ("on 40 seeds chance alone" in said.sentence) != is_clear
    used, out = run_of(lfkit, folder, "--with", "baseline")
    assert 0.9 < used["seed_accuracy"] <= baselines[found["baseline"]]
    assert used["chosen"] == "baseline"
    assert used["judged"]["is_calibrated"]
    table = labels_of(out)
    named = np.asarray(["left", "right"])[truth]
    assert (table["label"] == named).mean() > 0.9
    assert table["seed"].sum() == 40
    assert not lfkit("report", out).code
    again, _ = run_of(
        lfkit, folder, "--with", "baseline", "--refine", "--stages", "lda"
    )
    # Refining sees a trained network, which is a baseline, too.
    assert again["refinement"]["stages"][0]["held_out"] > 0.9
    refused = lfkit("active", out, "--with", "acgan", "--budget", "2")
    assert refused.code == 2
    assert "without --with baseline" in refused.err.replace("\n", " ")


def test_seeds_that_cannot_be_read_do_not_judge_a_baseline_right(lfkit, tmp_path):
    pixels, truth = squares(80)
    (tmp_path / "images").mkdir()
    lines = ["image_id,label"]
    for row, image in enumerate(pixels):
        path = tmp_path / "images" / f"{row:02d}.png"
        Image.fromarray(image).save(path)
        if row < 40:
            lines.append(f"{path.name},{('left', 'right')[truth[row]]}")
    lost = np.flatnonzero(truth[:40] == 1)[:5]
    for row in lost:
        (tmp_path / "images" / f"{row:02d}.png").write_bytes(b"no image")
    (tmp_path / "seeds.csv").write_text("\n".join(lines))
    (tmp_path / "sides.py").write_text(SIDES)
    done = lfkit(
        *("apply", str(tmp_path / "images"), "--lfs", str(tmp_path / "sides.py")),
        *("--seed-labels", str(tmp_path / "seeds.csv"), "--no-sheet", "--json"),
        *("--with", "baseline", "--refine", "--stages", "lda"),
        *("--out", str(tmp_path / "run")),
    )
    assert done.code == 0, done.err
    found = json.loads(done.out)
    before = found["refinement"]["stages"][0]["held_out"]
    # Each seed is judged by the baseline that the others choose.
    assert before <= max(
        baseline["seed_cv_accuracy"] for baseline in found["baselines"]
    )
    assert before * 35 == pytest.approx(round(before * 35))
    assert found["judged"]["seeds"] == 35
    done = lfkit(
        *("apply", str(tmp_path / "images"), "--lfs", str(tmp_path / "sides.py")),
        *("--seed-labels", str(tmp_path / "seeds.csv"), "--no-sheet", "--json"),
        *("--refine", "--stages", "lda", "--out", str(tmp_path / "votes")),
    )
    found = json.loads(done.out)
    assert found["judged"]["seeds"] == 35
    assert len(labels_of(str(tmp_path / "votes"))) == 80
    before = found["refinement"]["stages"][0]["held_out"]
    assert before * 35 == pytest.approx(round(before * 35))
    assert labels_of(str(tmp_path / "votes"))["label"][int(lost[0])] == "right"


def test_a_baseline_needs_seeds(lfkit, tmp_path):
    np.save(tmp_path / "votes.npy", np.zeros((1797, 2), int))
    done = lfkit(
        *("apply", "digits", "--votes", str(tmp_path / "votes.npy")),
        *("--with", "baseline"),
        *("--out", str(tmp_path / "run")),
    )
    assert done.code == 2
    assert "give them with --seed-labels" in done.err.replace("\n", " ")


def test_a_baseline_without_seeds_is_refused_before_any_function_votes(
    lfkit, sides, monkeypatch
):
    from lfkit.labeling.applier import LFApplier

    monkeypatch.setattr(LFApplier, "apply", lambda *_, **__: pytest.fail("it voted"))
    folder, _ = sides
    done = lfkit(
        *("apply", str(folder / "images.npz"), "--lfs", str(folder / "sides.py")),
        *("--with", "baseline", "--out", str(folder / "run")),
    )
    assert done.code == 2
    assert "give them with --seed-labels" in done.err.replace("\n", " ")


def test_a_frozen_network_that_refinement_uses_is_a_baseline(lfkit, sides, monkeypatch):
    import lfkit.refinement as refinement

    folder, truth = sides

    class Seen:
        """A network that sees the class."""

        from_pixels = True
        widths = (2,)
        is_installed = staticmethod(lambda: True)

        def __init__(self, pixels, device="cpu"):
            self.pixels, self.key = pixels, "seen"

        def __len__(self):
            return len(self.pixels)

        def chunks(self, every=1):
            rows = np.arange(0, len(self), every)
            noise = np.random.default_rng(0).normal(size=(len(rows), 2))
            yield rows, (9 * np.eye(2)[truth[rows]] + noise).astype(np.float32)

    monkeypatch.setattr(refinement, "PretrainedFeatures", Seen)
    found, _ = run_of(lfkit, folder, "--refine", "--stages", "lda")
    by_network = [f for f in found["baselines"] if "the ImageNet network" in f["name"]]
    assert len(by_network) == 2
    assert found["baseline"] == "shrinkage LDA on the ImageNet network"
    plain, _ = run_of(lfkit, folder)
    assert not any("network" in baseline["name"] for baseline in plain["baselines"])


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


def partly_seeded(folder, n_seeds, shown):
    """Three classes that votes know well; seeds of some of them."""
    rng = np.random.default_rng(0)
    truth = np.arange(300) % 3
    pixels = rng.integers(0, 150, (300, 10, 10))
    for label in range(3):
        pixels[truth == label, 2:8, 3 * label : 3 * label + 3] += 60
    names = np.asarray(["a", "b", "c"])
    np.savez(
        folder / "images.npz",
        images=pixels.astype(np.uint8),
        labels=truth,
        class_names=names,
    )
    wrong = rng.random((300, 4)) > 0.8
    hard = (truth[:, None] + wrong * rng.integers(1, 3, wrong.shape)) % 3
    np.save(folder / "votes.npy", hard)
    rows = np.flatnonzero(np.isin(truth, shown))[:n_seeds]
    lines = [f"{row},{names[truth[row]]}" for row in rows]
    (folder / "seeds.csv").write_text("\n".join(["image_id,label", *lines]))


def apply_partly_seeded(lfkit, folder, *options):
    return apply(
        lfkit,
        *(str(folder / "images.npz"), "--votes", str(folder / "votes.npy")),
        *("--seed-labels", str(folder / "seeds.csv"), "--no-baselines"),
        *("--out", str(folder / "run"), *options),
    )


def test_refining_takes_no_class_away_and_says_which_has_no_seed(
    lfkit, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "lfkit.refinement.pretrained_features._PACKAGES", ("no_such_package",)
    )
    partly_seeded(tmp_path, 30, [0, 1])
    plain = apply_partly_seeded(lfkit, tmp_path)
    found = apply_partly_seeded(lfkit, tmp_path, "--refine", "--stages", STAGES)
    assert found["accuracy"]["of_all"] >= plain["accuracy"]["of_all"]
    assert found["class_counts"][2] > 80
    assert found["judged"] is None
    assert any("votes name c and no seed shows it" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("n_seeds", "shown", "is_enough"),
    [
        (30, [0], False),
        (30, [0, 1], False),
        (9, [0, 1, 2], False),
        (12, [0, 1, 2], True),
    ],
)
def test_few_seeds_do_not_calibrate(lfkit, tmp_path, n_seeds, shown, is_enough):
    partly_seeded(tmp_path, n_seeds, shown)
    found = apply_partly_seeded(lfkit, tmp_path, "--target-precision", ".9")
    assert found["judged"]["is_calibrated"] == is_enough
    warned = any("may miss the target" in note for note in found["notes"])
    assert warned == (not is_enough)
    shown = lfkit("analyze", str(tmp_path / "run"), "--json")
    assert json.loads(shown.out)["judged"]["is_calibrated"] == is_enough


def test_a_vote_has_one_accuracy_on_the_seeds(lfkit, tmp_path, monkeypatch):
    """Half of the images are tied, some have no vote: both are wrong everywhere."""
    monkeypatch.setattr(
        "lfkit.refinement.pretrained_features._PACKAGES", ("no_such_package",)
    )
    partly_seeded(tmp_path, 60, [0, 1, 2])
    hard = np.tile((np.arange(300) % 3)[:, None], (1, 2))
    hard[::4, 1] = (hard[::4, 0] + 1) % 3
    hard[2::4, 0] = (hard[2::4, 1] + 1) % 3
    hard[::7] = -1
    np.save(tmp_path / "votes.npy", hard)
    found = apply_partly_seeded(
        lfkit, tmp_path, "--with", "auto", "--refine", "--stages", "lda"
    )
    plain = found["refinement"]["stages"][0]
    right = (hard[:60, 0] == hard[:60, 1]) & (hard[:60, 0] >= 0)
    assert found["chosen"] == "equal-trust"
    assert f"its {100 * right.mean():.1f} % right" in found["reason"]
    assert plain["held_out"] == pytest.approx(right.mean())
    assert plain["accuracy"] == found["majority_vote_accuracy"]["of_all"]
    unrefined = apply_partly_seeded(lfkit, tmp_path, "--with", "auto")
    assert unrefined["seed_accuracy"] == pytest.approx(right.mean())
