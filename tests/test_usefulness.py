"""`lfkit evaluate --useful`: whether generated images help, judged without them."""

import json
import shutil
from functools import cache

import numpy as np
import pytest
import torch
from command_line import call
from PIL import Image
from sklearn.datasets import load_digits

from lfkit.errors import InputError
from lfkit.metrics import ImageSet, MetricContext
from lfkit.metrics.trained_classifiers import Pairs, Recipe
from lfkit.metrics.usefulness import (
    ROWS,
    Difference,
    GeneratedSupply,
    paired_difference,
    sentence,
    usefulness,
)

K = 10
NAMES = [str(digit) for digit in range(K)]
LFS = """
from lfkit import NearestMean, feature, labeling_function

CLASSES = [str(digit) for digit in range(10)]


@feature(batched=True)
def rows(images):
    return images.mean(dim=(1, 3))


@labeling_function(
    classes=list(range(10)),
    features=[rows],
    thresholds={"rule": NearestMean(rows)},
    batched=True,
    soft=True,
)
def rows_are_of_the_class(values, *, rule):
    return rule(values)
"""

SILENT = """
from lfkit import ABSTAIN, labeling_function


@labeling_function(classes=[8])
def bright_is_eight(image):
    return 8 if image.mean() > 75 else ABSTAIN
"""

ALWAYS = """
from lfkit import labeling_function


@labeling_function(classes=[0, 1])
def bright_is_one(image):
    return int(image.mean() > 75)
"""


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def digits():
    found = load_digits()
    pixels = np.rint(found.images * 255 / 16).astype(np.uint8)
    return pixels[..., None], found.target.astype(np.int64)


def write_digits(path, rows):
    pixels, labels = digits()
    np.savez(path, images=pixels[rows], labels=labels[rows], class_names=NAMES)
    return path


@pytest.fixture(scope="module")
def made_folder(tmp_path_factory):
    """A run on a part of the digits, a generator of four steps, and held-out images."""
    folder = tmp_path_factory.mktemp("useful")
    data = write_digits(folder / "digits.npz", slice(0, 300))
    write_digits(folder / "test.npz", slice(300, 500))
    (folder / "lfs.py").write_text(LFS)
    lfs = ["--lfs", folder / "lfs.py", "--seeds-per-class", 3, "--no-baselines"]
    model = ["--with", "majority-vote", "--no-sheet"]
    call("apply", data, *lfs, *model, "--out", folder / "run")
    call("train", folder / "run", "--with", "two-stage", "--steps", 4)
    return folder


@pytest.fixture
def folder(made_folder, tmp_path):
    shutil.copytree(made_folder, tmp_path / "all")
    return tmp_path / "all"


def judged(lfkit, folder, *options):
    few = ("--learner-steps", 4) if "--learner-steps" not in options else ()
    done = lfkit("evaluate", folder / "run", "--useful", *few, *options, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def refused(lfkit, folder, *options):
    done = lfkit("evaluate", folder / "run", "--useful", *options)
    assert done.code == 2
    return " ".join(done.err.split())


def test_the_three_classifiers_are_compared_on_held_out_images(lfkit, folder):
    found = judged(lfkit, folder, "--against", folder / "test.npz")
    useful = found["useful"]
    assert [*useful["rows"]] == ["real", "real again", "real + generated"]
    assert all(len(row["accuracy"]) == 3 for row in useful["rows"].values())
    assert useful["n_tested"] == 200
    assert useful["n_generated"] == 10_000
    assert useful["verdict"].startswith("1,000 generated images per class ")
    kept = json.loads((folder / "run" / "usefulness.json").read_text())
    assert kept["useful"] == useful


def test_it_says_the_minutes_then_the_rows_then_a_sentence(lfkit, folder):
    options = ("--learner-steps", 2, "--against", folder / "test.npz")
    done = lfkit("evaluate", folder / "run", "--useful", *options)
    assert done.code == 0, done.err
    said = " ".join((done.err + done.out).split())
    assert "training 9 classifiers of 2 steps takes about a minute" in said
    assert "accuracy on 200 images of" in said
    assert "real + generated" in said
    assert "1,000 generated images per class" in said


def test_without_held_out_images_a_third_of_those_with_true_labels_is_kept_apart(
    lfkit, folder
):
    found = judged(lfkit, folder, "--with", "two-stage")
    useful = found["useful"]
    assert useful["n_tested"] == 90  # of 300 less 30 seeds
    assert useful["n_real"] <= 300 - 90
    assert any("left out of the classifiers' training" in n for n in found["notes"])


def test_of_a_slow_generator_fewer_images_are_made(lfkit, folder, monkeypatch):
    monkeypatch.setattr("lfkit.commands.judge_usefulness._MOST_SECONDS", 1e-6)
    against = ("--against", folder / "test.npz", "--learner-steps", 2)
    done = lfkit("evaluate", folder / "run", "--useful", *against)
    assert done.code == 0, done.err
    said = " ".join((done.err + done.out).split())
    assert "102 generated images per class" in said


def test_a_file_of_generated_images_is_judged_too(lfkit, folder):
    pixels, labels = digits()
    made = folder / "made.npz"
    np.savez(made, images=pixels[500:900], proba=np.eye(K)[labels[500:900]])
    against = ("--against", folder / "test.npz")
    useful = judged(lfkit, folder, "--generated", made, *against)["useful"]
    assert (useful["generator"], useful["n_generated"]) == ("made", 400)


def test_images_of_the_run_never_judge_it(lfkit, folder):
    write_digits(folder / "both.npz", slice(200, 400))
    found = judged(lfkit, folder, "--against", folder / "both.npz")
    assert found["useful"]["n_tested"] == 100
    assert any("100 images of" in note for note in found["notes"])
    said = refused(lfkit, folder, "--against", folder / "digits.npz")
    assert "are images of the run" in said


def test_without_true_labels_it_says_what_to_give(lfkit, made_folder, tmp_path):
    pixels, _ = digits()
    np.savez(tmp_path / "plain.npz", images=pixels[:60])
    votes = tmp_path / "votes.npy"
    np.save(votes, np.arange(60)[:, None] % 2)
    made = tmp_path / "made.npz"
    np.savez(made, images=pixels[:20], proba=np.eye(2)[np.arange(20) % 2])
    plain = tmp_path / "plain.npz"
    call("apply", plain, "--votes", votes, "--no-sheet", "--out", tmp_path / "run")
    said = refused(lfkit, tmp_path, "--generated", made)
    assert "no true labels that nothing has learned from: none has one" in said
    assert "--against DATA" in said


def test_true_labels_that_a_generator_learned_from_never_judge_it(lfkit, folder):
    true = ("--set", "real_labels=true")
    call("train", folder / "run", "--with", "ss-infogan", "--steps", 4, *true)
    said = refused(lfkit, folder, "--with", "ss-infogan")
    assert "that nothing has learned from: ss-infogan was trained on some" in said


def test_options_of_the_other_question_are_refused(lfkit, folder):
    assert "--useful has no use for --all" in refused(lfkit, folder, "--all")
    done = lfkit("evaluate", folder / "run", "--with", "two-stage")
    assert "--with is an option of --useful" in " ".join(done.err.split())
    both = ("--generated", folder / "test.npz", "--with", "two-stage")
    assert "one set of generated images" in refused(lfkit, folder, *both)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0.65, 0.66, 0.67], "raise accuracy from 61.0 % to 66.0 %"),
        ([0.55, 0.56, 0.57], "lower accuracy here, from 61.0 % to 56.0 %"),
        ([0.55, 0.61, 0.67], "do not help here: accuracy is 61.0 % with them"),
    ],
)
def test_a_verdict_needs_two_standard_errors(values, words):
    baseline = np.array([0.61, 0.61, 0.61])
    gain = paired_difference(np.array(values), baseline)
    said = sentence(np.mean(values), 0.61, gain, n_per_class=2000, n_repeats=3)
    assert f"2,000 generated images per class {words}" in said


def test_repeats_are_compared_in_pairs():
    # They differ by .2 from one another, and always by .01 from their baseline.
    baseline = np.array([0.5, 0.6, 0.7])
    gain = paired_difference(np.array([0.509, 0.61, 0.711]), baseline)
    assert gain.mean == pytest.approx(0.01)
    assert gain.error == pytest.approx(0.001 / np.sqrt(3))
    assert gain.is_clear
    assert not Difference(0.01, float("nan")).is_clear  # one repeat tells nothing


def pairs(rows, labels=None):
    pixels, truth = digits()
    said = truth if labels is None else labels
    return Pairs(pixels[rows], np.eye(K)[said[rows]])


def supply(rows, labels=None):
    def draw(n, seed):
        drawn = np.random.default_rng(seed).choice(rows, n)
        return pairs(drawn, labels)

    return GeneratedSupply("made", draw, is_endless=True)


def compared(known, generated, rows=(), n_steps=12, n_generated=500, **given):
    pixels, labels = digits()
    test = ImageSet(pixels[1500:], np.eye(K)[labels[1500:]], name="test")
    recipe = Recipe(n_steps, 2)
    tools = MetricContext(test=test)
    return usefulness(
        known, generated, tools, recipe, n_generated=n_generated, rows=rows, **given
    )


def test_true_pairs_help_few_real_images_and_wrong_ones_hurt():
    few = pairs(np.arange(20))
    good = compared(few, supply(np.arange(200, 1200)), n_steps=30)
    assert good.gain().mean > 0.02
    assert "raise accuracy" in good.verdict
    _, labels = digits()
    bad = compared(few, supply(np.arange(200, 1200), (labels + 1) % K), n_steps=30)
    assert bad.gain().mean < -0.1
    assert "lower accuracy" in bad.verdict
    assert (bad.rows["real"].accuracy == good.rows["real"].accuracy).all()


def test_the_baseline_is_the_better_one_of_the_two_without_generated_images():
    found = compared(pairs(np.arange(300)), supply(np.arange(300, 400)), n_steps=5)
    real, again = (found.rows[n].accuracy.mean() for n in ("real", "real again"))
    assert real != again
    best = found.rows[found.baseline].accuracy.mean()
    assert best == max(real, again)
    assert found.gain().mean == pytest.approx(
        found.rows["real + generated"].accuracy.mean() - best
    )


def test_images_without_a_label_are_seen_by_the_second_training_too():
    known, made = pairs(np.arange(100)), supply(np.arange(300, 400))
    others = digits()[0][400:1400]
    without = compared(known, made, n_steps=40)
    found = compared(known, made, n_steps=40, unlabeled=others)
    for name, row in found.rows.items():
        is_same = (row.cross_entropy == without.rows[name].cross_entropy).all()
        assert is_same == (name != "real again")


def test_images_on_which_no_function_votes_are_those_without_a_label(tmp_path):
    from lfkit.commands.judge_usefulness import learned_pairs, unlabeled_pixels
    from lfkit.runs.run import load_run

    data = write_digits(tmp_path / "digits.npz", slice(0, 100))
    (tmp_path / "lfs.py").write_text(SILENT)
    lfs = ["--lfs", tmp_path / "lfs.py", "--no-baselines", "--no-sheet"]
    call("apply", data, *lfs, "--with", "majority-vote", "--out", tmp_path / "run")
    run = load_run(tmp_path / "run")
    source = run.open_images()
    known, silent = learned_pairs(run, source, 0), unlabeled_pixels(run, source, 0)
    pixels, _ = digits()
    is_bright = pixels[:100].mean(axis=(1, 2, 3)) > 75
    np.testing.assert_array_equal(known.pixels, pixels[:100][is_bright])
    np.testing.assert_array_equal(silent, pixels[:100][~is_bright])
    some = unlabeled_pixels(run, source, 0, without=np.flatnonzero(~is_bright)[:7])
    assert len(some) == (~is_bright).sum() - 7
    none = unlabeled_pixels(run, source, 0, without=np.flatnonzero(~is_bright))
    assert none.shape == (0, 8, 8, 1)


def test_an_image_that_cannot_be_read_is_no_unlabeled_one(lfkit, tmp_path):
    pixels, _ = digits()
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(60):
        Image.fromarray(pixels[i, ..., 0]).save(photos / f"{i:02}.png")
    whole = (photos / "00.png").read_bytes()
    (photos / "broken.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "lfs.py").write_text(ALWAYS)
    run, lfs = tmp_path / "run", ["--lfs", tmp_path / "lfs.py"]
    call("apply", photos, *lfs, "--no-sheet", "--out", run)
    call("train", run, "--with", "two-stage", "--steps", 2)
    (tmp_path / "known.csv").write_text(
        "image_id,label\n" + "".join(f"{i:02}.png,0\n" for i in range(30))
    )
    labels = ("--labels", tmp_path / "known.csv", "--learner-steps", 2)
    done = lfkit("evaluate", run, "--useful", *labels, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["useful"]["n_unlabeled"] == 0


def test_all_rows_differ_and_the_real_ones_need_no_generator():
    known, few = pairs(np.arange(200)), {"n_steps": 4, "n_generated": 100}
    found = compared(known, supply(np.arange(200, 1200)), ROWS, **few)
    other = compared(known, supply(np.arange(900, 950)), ROWS, **few)
    assert [*found.rows] == [*ROWS]
    for name in ROWS:
        is_same = (
            found.rows[name].cross_entropy == other.rows[name].cross_entropy
        ).all()
        assert is_same == ("generated" not in name)
    losses = {tuple(row.cross_entropy) for row in found.rows.values()}
    assert len(losses) == len(ROWS)


def test_a_rare_class_gains_from_balance():
    _, labels = digits()
    rare = np.flatnonzero(labels[:600] == 8)
    rows = np.setdiff1d(np.arange(600), rare[2:])
    found = compared(pairs(rows), supply(rows), rows=("real, balanced",))
    plain, even = (found.rows[n].by_class[:, 8] for n in ("real", "real, balanced"))
    assert even.mean() > plain.mean()


def test_a_fixed_set_of_images_is_never_fresh():
    made = pairs(np.arange(300, 500))
    fixed = GeneratedSupply("made.npz", lambda n, seed: made, is_endless=False)
    found = compared(pairs(np.arange(60)), fixed, rows=("generated, fresh",), n_steps=2)
    assert "made.npz is a fixed set" in found.left_out["generated, fresh"]


def test_one_repeat_and_unknown_rows_are_refused():
    known, made = pairs(np.arange(60)), supply(np.arange(60))
    test = ImageSet(known.pixels, known.proba, name="test")
    with pytest.raises(InputError, match="n_trainings is 1; the difference needs 2"):
        usefulness(known, made, MetricContext(test=test), Recipe(2), n_generated=10)
    with pytest.raises(InputError, match="there is no row 'guess'"):
        compared(known, made, rows=("guess",))
