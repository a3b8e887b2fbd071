"""`lfkit evaluate`: label models side by side, generated images, people."""

import json
import re

import numpy as np
import pytest
import torch

from lfkit.data.datasets import open_images
from lfkit.metrics.evaluator import Evaluator
from lfkit.runs.run import load_run

LFS = """
from lfkit import NearestMean, feature, labeling_function

CLASSES = [str(digit) for digit in range(10)]


@feature(batched=True)
def rows(images):
    return images.mean(dim=(1, 3))


@feature(batched=True)
def columns(images):
    return images.mean(dim=(1, 2))


@labeling_function(
    classes=list(range(10)),
    features=[rows],
    thresholds={"rule": NearestMean(rows)},
    batched=True,
    soft=True,
)
def rows_are_of_the_class(values, *, rule):
    return rule(values)


@labeling_function(
    classes=list(range(10)),
    features=[columns],
    thresholds={"rule": NearestMean(columns)},
    batched=True,
    soft=True,
)
def columns_are_of_the_class(values, *, rule):
    return rule(values)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("evaluate")


@pytest.fixture
def run(lfkit, folder):
    (folder / "lfs.py").write_text(LFS)
    out = folder / "run"
    done = lfkit(
        *("apply", "digits", "--lfs", folder / "lfs.py", "--seeds-per-class", "10"),
        *("--out", out, "--no-sheet", "--no-baselines", "--json"),
    )
    assert done.code == 0, done.err
    return out


@pytest.fixture(scope="module")
def digits_file(folder):
    """Real digits with their classes, as if a generator had made them."""

    def write(name, noise=0.0, labels=None):
        images = open_images("digits")
        rows = np.arange(0, 1797, 3)
        pixels = images.read(rows).pixels.astype(float)
        pixels += np.random.default_rng(0).normal(0, 1, pixels.shape) * noise
        said = images.labels[rows] if labels is None else labels(images.labels[rows])
        path = folder / f"{name}.npz"
        pixels = pixels.clip(0, 255).astype(np.uint8)
        np.savez(path, images=pixels, proba=np.eye(10)[said])
        return path

    return write


def evaluated(lfkit, run, *options):
    done = lfkit("evaluate", run, *options, "--judge-steps", 60, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def values(found, name):
    return {
        score["title"].split("[")[0]: score
        for score in found["generated"][name]["scores"]
    }


def test_label_models_are_scored_beside_the_labels_of_the_run(lfkit, run):
    rows = {row["name"]: row for row in evaluated(lfkit, run)["labels"]["rows"]}
    assert {"labels of the run", "auto", "majority-vote", "dawid-skene"} <= {*rows}
    summary = json.loads((run / "summary.json").read_text())
    assert rows["labels of the run"]["accuracy"] == summary["accuracy"]["of_all"]
    majority = summary["majority_vote_accuracy"]["of_all"]
    assert rows["majority-vote"]["accuracy"] == majority
    assert rows["majority-vote"]["n"] == 1697


def test_better_images_have_better_scores_with_their_protocols(lfkit, run, digits_file):
    good, bad = digits_file("good"), digits_file("bad", noise=60)
    found = evaluated(lfkit, run, "--generated", good, "--generated", bad)
    of_good, of_bad = values(found, "good"), values(found, "bad")
    assert of_good["FID"]["value"] < of_bad["FID"]["value"]
    title = of_good["FID"]["title"]
    assert title.startswith("FID[domain@")
    assert of_good["FID"]["protocol"]["n_generated"] == 599
    assert "1,797 real ones of digits" in of_good["FID"]["protocol_text"]
    # The same eyes for both, kept for the next call.
    assert of_bad["FID"]["title"] == title
    assert len([*(run / "scoring").iterdir()]) == 1
    again = evaluated(lfkit, run, "--generated", good, "--generated", bad)
    assert again["generated"] == found["generated"]


def test_wrong_labels_are_seen_by_the_judge(lfkit, run, digits_file):
    swapped = digits_file("swapped", labels=lambda labels: (labels + 1) % 10)
    right = digits_file("right")
    options = ("--generated", right, "--generated", swapped, "--metrics", "fidelity")
    found = evaluated(lfkit, run, *options)

    def macro(name):
        return next(
            score["value"]
            for score in found["generated"][name]["scores"]
            if score["metric"] == "label fidelity, macro"
        )

    assert macro("right") > 0.9
    assert macro("swapped") < 0.1


def test_what_cannot_be_computed_says_why(lfkit, run, digits_file):
    options = ("--generated", digits_file("good"), "--metrics", "gan-train")
    found = evaluated(lfkit, run, *options)
    assert "--against DATA" in found["missing"]["good"]["gan-train"]


def test_a_person_reads_tables_and_the_next_command(lfkit, run, digits_file):
    done = lfkit(
        *("evaluate", run, "--generated", digits_file("good")),
        *("--judge-steps", 60, "--metrics", "fid"),
    )
    assert done.code == 0, done.err
    assert "majority-vote" in done.out
    assert "FID[domain@" in done.out
    assert f"lfkit report {run}" in done.out.replace("\n", "")


def test_what_people_said_is_kept_and_printed(lfkit, run, folder):
    path = folder / "ratings.csv"
    path.write_text(
        "item,source,image_quality,label_match\nr1,real,8,9\nr2,real,10,9\n"
        "g1,good,4,6\ng2,good,6,8\n"
    )
    found = evaluated(lfkit, run, "--human", path)
    means = {row["source"]: row["image_quality"]["mean"] for row in found["human"]}
    assert means == {"real": 9.0, "good": 5.0}
    done = lfkit("report", run, "--json")
    assert "scores" in json.loads(done.out)["sections"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--metrics", "beauty"), "there is no metric 'beauty'; choose from"),
        (("--extractor", "eye"), "there is no extractor 'eye'; choose from"),
        (("--judge-steps", 0), "--judge-steps is 0; give a number above 0"),
    ],
)
def test_unknown_names_are_refused(lfkit, run, digits_file, options, said):
    done = lfkit("evaluate", run, "--generated", digits_file("good"), *options)
    assert done.code == 2
    assert said in done.err


def test_images_of_another_shape_are_refused(lfkit, run, folder):
    path = folder / "large.npz"
    np.savez(path, images=np.zeros((4, 16, 16), np.uint8), labels=np.arange(4))
    done = lfkit("evaluate", run, "--generated", path, "--judge-steps", 60)
    assert done.code == 2
    assert "large has images of (16, 16, 1)" in done.err
    assert "the real ones have (8, 8, 1)" in done.err


def test_another_metric_takes_nothing_away_and_new_images_do(lfkit, run, digits_file):
    path = digits_file("kept")
    evaluated(lfkit, run, "--generated", path, "--metrics", "parzen")
    found = evaluated(lfkit, run, "--generated", path, "--metrics", "fid")
    assert {"Parzen", "FID"} <= {*values(found, "kept")}
    other = digits_file("kept", noise=30)
    found = evaluated(lfkit, run, "--generated", other, "--metrics", "fid")
    assert "Parzen" not in values(found, "kept")


def test_two_sets_of_one_name_are_refused(lfkit, run, digits_file, folder):
    path = digits_file("twin")
    done = lfkit("evaluate", run, "--generated", path, "--generated", path)
    assert done.code == 2
    assert "two sets of generated images cannot be called 'twin'" in done.err
    real = digits_file("real")
    done = lfkit("evaluate", run, "--generated", real)
    assert done.code == 2
    assert "generated images cannot be called 'real'" in done.err


def test_other_true_labels_are_for_one_call_only(lfkit, run, folder):
    path = folder / "truth.csv"
    path.write_text("image_id,label\n" + "".join(f"{i},0\n" for i in range(50)))
    found = evaluated(lfkit, run, "--labels", path)
    assert found["labels"]["rows"][0]["n"] <= 50
    assert evaluated(lfkit, run)["labels"]["rows"][0]["n"] == 1697


def test_real_images_of_another_shape_are_refused(lfkit, run, digits_file, folder):
    path = folder / "against.npz"
    np.savez(path, images=np.zeros((4, 16, 16), np.uint8))
    done = lfkit(
        *("evaluate", run, "--generated", digits_file("good"), "--against", path)
    )
    assert done.code == 2
    assert "those of the run (8, 8, 1); give --against images" in done.err


def test_what_was_decided_on_reading_is_told(lfkit, run, digits_file, folder):
    path, real = folder / "written.csv", folder / "real.npz"
    path.write_text("image_id,label\n0,00\n1,1\n")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 8, 8), np.uint8)
    np.savez(real, images=images, labels=np.asarray([0, 1, 2, 99]))
    options = ("--labels", path, "--generated", digits_file("good"))
    options += ("--against", real, "--metrics", "kid", "--judge-steps", "1")
    notes = evaluated(lfkit, run, *options)["notes"]
    assert any("written.csv" in note for note in notes)
    assert any("99" in note for note in notes)
    printed = " ".join(lfkit("evaluate", run, *options).out.split())
    assert all(" ".join(note.split()) in printed for note in notes)
    assert printed.endswith(f"next: lfkit report {run} --labels {path}")
    done = lfkit("report", run, "--labels", path, "--out", folder / "page.html")
    assert "written.csv" in done.out


def test_copies_of_the_runs_images_are_told_from_those_held_out(lfkit, folder):
    """Of 1,797 digits 1,198 are the run's, and the others held out."""
    digits = open_images("digits")
    rows = np.arange(len(digits))
    pixels, parts = digits.read(rows).pixels, {}
    for name, of in (("mine", rows % 3 > 0), ("others", rows % 3 == 0)):
        parts[name] = folder / f"{name}.npz"
        np.savez(
            parts[name],
            images=pixels[of],
            labels=digits.labels[of],
            class_names=np.array(digits.class_names),
        )
    made = folder / "copies.npz"
    proba = np.eye(10)[digits.labels[rows % 3 > 0]]
    np.savez(made, images=pixels[rows % 3 > 0], proba=proba)
    (folder / "lfs.py").write_text(LFS)
    own = folder / "of_mine"
    done = lfkit(
        *("apply", parts["mine"], "--lfs", folder / "lfs.py", "--out", own),
        *("--seeds-per-class", "5", "--no-sheet", "--no-baselines"),
    )
    assert done.code == 0, done.err
    asked = ("--generated", made, "--metrics", "memorisation,membership")
    found = evaluated(lfkit, own, *asked, "--against", parts["others"])
    score = {name: one["value"] for name, one in values(found, "copies").items()}
    assert score["copies"] > 0.99
    assert score["nearer to the run's images"] > 0.7  # of as many of both
    assert score["attack"] > 0.95
    assert "--against" in lfkit("evaluate", own, *asked).out


class Trains(Exception):
    """A training was about to begin."""


@pytest.mark.parametrize(("has_gpu", "device"), [(True, "cuda"), (False, "cpu")])
def test_networks_run_on_a_gpu_where_there_is_one(run, monkeypatch, has_gpu, device):
    def train(*_, device, **__):
        raise Trains(device)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr("lfkit.nn.train", train)
    loaded = load_run(run)
    with pytest.raises(Trains, match=device):
        Evaluator(loaded, loaded.open_images(), n_steps=61)


@pytest.mark.gpu
def test_a_gpu_scores_as_a_cpu_does_and_is_named(lfkit, run, digits_file):
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    options = ("--generated", digits_file("good"), "--against", "digits")
    metrics = ("--metrics", "fidelity,fid,gan-test")
    for extractor in ("domain", "efficientnet-lite0"):
        found = evaluated(lfkit, run, *options, *metrics, "--extractor", extractor)
        scores = values(found, "good")
        assert scores["label fidelity"]["value"] > 0.9
        assert scores["GAN-test"]["value"] > 0.9
        assert scores["GAN-test"]["protocol"]["details"]["device"] == "cuda"


@pytest.fixture(scope="module")
def crowd(folder):
    """Four squares in each of 24 shades, and what a generator made of them.

    Its c05 and c06 have each other's labels, it never made a c07, and every second
    image is a c09.
    """
    labels = np.repeat(np.arange(24), 4)
    images = np.zeros((96, 8, 8), np.uint8) + (10 * labels)[:, None, None]
    names = [f"c{label:02d}" for label in range(24)]
    data, made = folder / "crowd.npz", folder / "made.npz"
    np.savez(data, images=images.astype(np.uint8), labels=labels, class_names=names)
    said = np.where(labels == 7, 9, labels)
    said[[20, 21, 22, 23, 24, 25, 26, 27]] = [6, 6, 6, 6, 5, 5, 5, 5]
    drawn = np.concatenate([np.arange(96), np.repeat(36, 96)])
    np.savez(made, images=images[drawn].astype(np.uint8), proba=np.eye(24)[said[drawn]])
    (folder / "crowd.py").write_text(
        "from lfkit import labeling_function\n"
        f"CLASSES = {names}\n"
        "@labeling_function(classes=list(range(24)))\n"
        "def shade_is_of_the_class(image):\n"
        "    return int(image.mean() // 10)\n"
    )
    return data, made


def test_of_many_classes_the_worst_are_shown_and_the_others_folded(
    lfkit, crowd, folder
):
    data, made = crowd
    run = folder / "crowd"
    done = lfkit(
        *("apply", data, "--lfs", folder / "crowd.py", "--out", run),
        *("--no-sheet", "--no-baselines", "--json"),
    )
    assert done.code == 0, done.err
    options = (run, "--generated", made, "--metrics", "fidelity,fid")
    printed = lfkit("evaluate", *options, "--judge-steps", 300)
    assert printed.code == 0, printed.err
    found = json.loads((run / "scores.json").read_text())["generated"]["made"]
    titles = [score["title"].split("[")[0] for score in found["scores"]]
    for part in ("label fidelity of a class", "share of a class"):
        assert part in [score["part_of"] for score in found["scores"]]
    assert lfkit("report", run, "--generated", made).code == 0
    page = (run / "report.html").read_text()
    page = page[page.index('<section id="scores">') :]
    for text in (printed.out, re.sub("<[^>]+>", "", page)):
        lines = [line.strip() for line in text.splitlines()]
        fidelity = [line for line in lines if "label fidelity of class c" in line]
        shares = [line for line in lines if "share of class c" in line]
        assert {"c05", "c06"} < {
            re.search("c[0-9]{2}", line)[0] for line in fidelity[:5]
        }
        assert "c09" in shares[0]
        told = [line for line in lines if "19 more classes" in line]
        assert len(told) == 3
        assert "label fidelity of a class" in told[0]
    assert titles.count("label fidelity of class c07") == 1
    assert printed.out.count("label fidelity of class c") == 5
    assert printed.out.count("share of class c") == 5
    assert page.count("<details>") == 3
    folded = page[page.index("<details>") : page.index("</details>")]
    assert folded.count("label fidelity of class c") == 19
    # What cannot be computed is no worst one: of 24 it might be 20.
    assert folded.index("class c07") > folded.index("class c08")
