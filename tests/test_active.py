"""`lfkit active`: which images are asked about, who answers, and what it changes."""

import base64
import csv
import io
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import call
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lfkit.commands.active.annotations import checked, read_sheet
from lfkit.commands.active.label_studio import read_export
from lfkit.commands.active.query_strategies import QUERIES, RULES, best, scores
from lfkit.errors import DataError, InputError

FUNCTIONS = """
from lfkit import ABSTAIN, labeling_function

CLASSES = ("left", "right")

@labeling_function(classes=[0, 1])
def brighter_half_names_it(image):
    return int(image[:, :4].mean() < image[:, 4:].mean())

@labeling_function(classes=[0, 1])
def a_bright_corner_is_right(image):
    return int(image[0, 0] > 30)

@labeling_function(classes=[1])
def bright_last_column_is_right(image):
    return 1 if image[:, -1].mean() > 120 else ABSTAIN
"""
DIGIT_FUNCTIONS = """
from lfkit import ABSTAIN, labeling_function

CLASSES = tuple("0123456789")

@labeling_function(classes=[0])
def dark_middle_is_zero(image):
    return 0 if image[3:5, 3:5].mean() < 40 else ABSTAIN

@labeling_function(classes=[1])
def thin_is_one(image):
    return 1 if (image > 60).mean() < 0.3 else ABSTAIN

@labeling_function(classes=[7])
def bright_top_is_seven(image):
    return 7 if image[:2].mean() > image[5:].mean() + 20 else ABSTAIN
"""
START = "from lfkit.cli.app import main; main()"
TOY = ["--with", "two-stage", "--set", "batch=8", "--set", "width=16"]
TOY += ["--set", "z_dim=8", "--set", "reader_steps=10", "--steps", 20]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run on 40 toy images in a folder, without true labels, and the same with."""
    folder = tmp_path_factory.mktemp("toys")
    rng = np.random.default_rng(0)
    for number in range(40):
        pixels = rng.integers(0, 60, size=(8, 8)).astype(np.uint8)
        pixels[:, slice(0, 4) if number % 2 == 0 else slice(4, 8)] += 160
        if number == 39:  # a copy of another
            pixels = np.asarray(Image.open(folder / "photos" / "37.png"))
        for place in ("photos", f"known/{('left', 'right')[number % 2]}"):
            (folder / place).mkdir(exist_ok=True, parents=True)
            Image.fromarray(pixels).save(folder / place / f"{number:02d}.png")
    (folder / "functions.py").write_text(FUNCTIONS)
    seeds = ["image_id,label"]
    seeds += [f"{n:02d}.png,{('left', 'right')[n % 2]}" for n in range(6)]
    (folder / "seeds.csv").write_text("\n".join(seeds))
    lfs = ["--lfs", folder / "functions.py"]
    call("apply", folder / "photos", *lfs, "--seed-labels", folder / "seeds.csv",
         "--with", "seed-weighted", "--out", folder / "run")  # fmt: skip
    call("apply", folder / "known", *lfs, "--out", folder / "known-run")
    return folder


@pytest.fixture
def run(made, tmp_path):
    shutil.copytree(made / "run", tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def known_run(made, tmp_path):
    shutil.copytree(made / "known-run", tmp_path / "known-run")
    return tmp_path / "known-run"


def content(folder):
    """What must be the same however often a command was stopped."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("told.json", "curves.png", ".lock")
    }


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def fill(path, label_of, n=None):
    """Fill in a sheet as a person does, or its first n rows."""
    rows = rows_of(path)
    for row in rows[:n]:
        row["label"] = label_of(row)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue())


def truth(row):
    return ("left", "right")[int(Path(row["image_id"]).stem) % 2]


def said(error):
    return " ".join(error.split())


# Which images.


def test_rules_by_hand():
    proba = np.array([[0.5, 0.5, 0.0], [0.6, 0.2, 0.2], [1.0, 0.0, 0.0]])
    assert RULES["most-confidence"](proba).tolist() == [0.5, 0.6, 1.0]
    assert RULES["large-margin"](proba) == pytest.approx([0.0, 0.4, 1.0])
    entropy = [np.log(2), -(0.6 * np.log(0.6) + 0.4 * np.log(0.2)), 0.0]
    assert RULES["uncertainty"](proba) == pytest.approx(entropy)
    assert RULES["least-entropy"](proba) == pytest.approx(np.negative(entropy))


def test_rules_differ_where_a_third_class_matters():
    even, pair = [0.55, 0.15, 0.15, 0.15], [0.56, 0.44, 0.0, 0.0]
    proba = np.array([even, pair])
    assert RULES["most-confidence"](proba).argmax() == 1
    assert RULES["large-margin"](proba).argmax() == 0
    assert RULES["least-entropy"](proba).argmax() == 1


def test_random_is_by_its_seed():
    proba = np.full((50, 2), 0.5)
    first, again, other = (scores("random", proba, [0, n]) for n in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_an_unknown_query_is_named():
    with pytest.raises(
        InputError, match="no query 'best'; choose from most-confidence"
    ):
        scores("best", np.ones((1, 1)), [0])
    assert len(QUERIES) == 5


def test_quotas_hold_while_others_are_left():
    score = np.array([9.0, 8, 7, 6, 5, 4])
    guesses = np.array([1, 1, 1, 1, 0, 0])
    assert best(score, guesses, 4).tolist() == [0, 1, 2, 3]
    assert best(score, guesses, 4, n_classes=2).tolist() == [0, 1, 4, 5]
    # ceil(5 / 2) = 3 of a class; class 0 has two.
    assert best(score, guesses, 5, n_classes=2).tolist() == [0, 1, 2, 4, 5]
    assert best(score, guesses, 6, n_classes=2).tolist() == [0, 1, 2, 3, 4, 5]


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=40),
    st.integers(1, 40),
    st.integers(0, 5),
)
def test_a_quota_leaves_no_class_behind_another(guesses, size, seed):
    guesses = np.asarray(guesses)
    size = min(size, len(guesses))
    score = np.random.default_rng(seed).permutation(len(guesses)).astype(float)
    chosen = best(score, guesses, size, n_classes=4)
    assert len(set(chosen.tolist())) == size
    counts = np.bincount(guesses[chosen], minlength=4)
    left = np.bincount(guesses, minlength=4) - counts
    quota = -(-size // 4)
    for label in range(4):
        if counts[label] > quota:  # then no other class with images left has fewer
            assert all(counts[o] >= counts[label] - 1 for o in range(4) if left[o])
        own = score[chosen][guesses[chosen] == label]
        rest = np.setdiff1d(np.flatnonzero(guesses == label), chosen)
        assert not len(own) or not len(rest) or own.min() > score[rest].max()


# A simulation.


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory, digits):
    """300 digits and three rules that name few of them."""
    folder = tmp_path_factory.mktemp("digits")
    images, labels = (part[:300] for part in digits)
    np.savez(folder / "digits.npz", images=images, labels=labels)
    (folder / "functions.py").write_text(DIGIT_FUNCTIONS)
    call("apply", folder / "digits.npz", "--lfs", folder / "functions.py",
         "--seeds-per-class", 2, "--with", "seed-weighted", "--out",
         folder / "run")  # fmt: skip
    return folder / "run"


@pytest.mark.slow
def test_a_simulation_on_digits(lfkit, digits_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(digits_run, run)
    before = (run / "labels.csv").read_bytes()
    ask = ["active", run, *TOY, "--budget", 40, "--per-round", 20, "--query", "random"]
    done = lfkit(*ask, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert [each["asked"] for each in told["rounds"]] == [20, 20]
    classes = np.sum([[*each["classes"].values()] for each in told["rounds"]], axis=0)
    assert classes.sum() == 40
    accuracy = told["accuracy"]
    assert accuracy["n"] == 300 - 20 - 40
    assert accuracy["after"] >= max(accuracy["before"], accuracy["majority_vote"])
    answers = rows_of(run / "active" / "answers.csv")
    assert [row["round"] for row in answers] == ["1"] * 20 + ["2"] * 20
    real = pd.read_parquet(run / "images.parquet").set_index("image_id")["true_class"]
    assert all(str(real[row["image_id"]]) == row["label"] for row in answers)
    for number in (1, 2):
        guesses = rows_of(run / "active" / f"round-0{number}" / "guesses.csv")
        known = {row["image_id"]: row["label"] for row in answers}
        right = [known[row["image_id"]] == row["guess"] for row in guesses]
        assert told["rounds"][number - 1]["guesses_right"] == np.mean(right)
    labels = pd.read_parquet(run / "active" / "labels.parquet").set_index("image_id")
    for row in answers:
        assert labels.loc[row["image_id"], "label"] == row["label"]
        assert labels.loc[row["image_id"], "confidence"] == 1
    assert labels["seed"].sum() == 60
    assert (run / "labels.csv").read_bytes() == before  # the run's own stay
    # The summary of what is finished is the same, and nothing is trained again.
    again = lfkit(*ask)
    assert "40 of 40 labels: 0: " in again.out
    assert "on the 240 images neither seed nor answered" in said(again.out)
    assert "round 2: 20 labels" in again.out
    assert "training" not in again.err
    done = lfkit("generate", run, "-n", 20, "--with", "two-stage-active", "--out",
                 tmp_path / "images")  # fmt: skip
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "images" / "manifest.json").read_text())


def test_labels_that_are_lost_are_told(lfkit, digits_run, tmp_path, monkeypatch):
    # What a generator of twenty steps is least sure of is no fair sample. The default
    # keeps its labels all the same, so the limit is moved.
    monkeypatch.setattr("lfkit.commands.active.session._LEAST_KEPT", 1e9)
    run = tmp_path / "run"
    shutil.copytree(digits_run, run)
    done = lfkit("active", run, *TOY, "--budget", 40, "--per-round", 40)
    assert done.code == 0, done.err
    pattern = r"(\d+) images have a label now, (\d+) had one before: functions look"
    after, before = map(int, re.search(pattern, said(done.err)).groups())
    assert after >= 0.9 * before
    assert "--query random --no-quota is fair to them" in said(done.err)


def test_copies_are_asked_about_once(lfkit, known_run):
    # 40 images, two of them alike; no seeds.
    done = lfkit("active", known_run, *TOY, "--budget", 40)
    assert done.code == 2
    assert "--budget is 40, but only 39 images are left" in said(done.err)
    done = lfkit("active", known_run, *TOY, "--budget", 39, "--per-round", 39)
    assert done.code == 0, done.err
    asked = {row["image_id"] for row in rows_of(known_run / "active" / "answers.csv")}
    assert len(asked & {"right/37.png", "right/39.png"}) == 1


def test_answers_sharpen_the_weights_of_functions(known_run):
    from lfkit.aggregators import AGGREGATORS
    from lfkit.commands.active.answered_run import with_answers
    from lfkit.runs.run import load_run

    loaded = load_run(known_run)
    rows = np.arange(5, 35)
    now = with_answers(loaded, rows[::-1], loaded.truth[rows[::-1]])
    votes = now.votes
    assert votes.seed_rows.tolist() == rows.tolist()
    assert votes.seed_labels.tolist() == loaded.truth[rows].tolist()
    assert np.array_equal(votes.seed_out_of_fold.hard, votes.hard[rows])
    weights = AGGREGATORS["seed-weighted"]().fit(votes)
    assert weights.out_of_fold_proba(votes).shape == (30, 2)
    assert now.given.sum() >= 30
    # Seeds first, answers among them in the order of the rows.
    more = with_answers(now, np.array([0, 36]), loaded.truth[[0, 36]])
    assert more.votes.seed_rows.tolist() == [0, *rows.tolist(), 36]
    assert np.array_equal(
        more.votes.seed_out_of_fold.hard, votes.hard[[0, *rows.tolist(), 36]]
    )


def test_labels_with_answers_count_as_unrefined(known_run):
    from lfkit.commands.active.answered_run import with_answers
    from lfkit.runs.run import load_run

    loaded = load_run(known_run)
    refined = replace(loaded.config.options, refine=True, stages=("lda",))
    config = loaded.config.model_copy(update={"options": refined})
    loaded = replace(loaded, config=config)
    now = with_answers(loaded, np.array([5]), loaded.truth[[5]])
    assert not now.config.options.refine  # what trains on them takes held-out votes


def test_seeds_of_foreign_votes_keep_their_labels(lfkit, made, tmp_path):
    votes = pd.DataFrame({"always_left": [0] * 40, "always_right": 1})
    votes.insert(0, "image_id", [f"{n:02d}.png" for n in range(40)])
    votes.to_csv(tmp_path / "votes.csv", index=False)
    seeds = "".join(f"{n:02d}.png,{n % 2}\n" for n in range(6))
    (tmp_path / "seeds.csv").write_text("image_id,label\n" + seeds)
    run = tmp_path / "run"
    done = lfkit("apply", made / "photos", "--votes", tmp_path / "votes.csv",
                 "--seed-labels", tmp_path / "seeds.csv", "--out", run)  # fmt: skip
    assert done.code == 0, done.err
    ask = ["active", run, *TOY, "--budget", 4, "--per-round", 4, "--oracle", "csv"]
    lfkit(*ask)

    def number(row):
        return int(row["image_id"][:2]) % 2

    fill(run / "active" / "round-01" / "ask.csv", number)
    assert lfkit(*ask).code == 0
    labels = pd.read_csv(run / "active" / "labels.csv").set_index("image_id")
    assert labels["seed"].sum() == 10
    for name in [f"{n:02d}.png" for n in range(6)]:
        assert labels.loc[name, "label"] == number({"image_id": name})


# Killed at any moment.


def test_stopped_at_any_moment_it_ends_with_the_same_files(
    lfkit, known_run, tmp_path, monkeypatch
):
    from lfkit.cli.progress import Bars

    ask = ["--budget", 8, "--per-round", 4, "--query", "random", *TOY]
    whole = tmp_path / "whole"
    shutil.copytree(known_run, whole)
    first = lfkit("active", whole, *ask, "--json")
    assert first.code == 0, first.err
    shown = Bars.__call__

    def stop_at(wanted, least):
        def show(self, stage, done, total):
            shown(self, stage, done, total)
            if stage == wanted and done >= least:
                raise KeyboardInterrupt

        monkeypatch.setattr(Bars, "__call__", show)

    moments = [
        ("round 1: training two-stage", 10),
        ("round 1: scoring", 1),
        ("round 2: training two-stage", 20),
        ("at last: training two-stage", 5),
    ]
    for stage, least in moments:
        stop_at(stage, least)
        done = lfkit("active", known_run, *ask)
        assert done.code == 130, stage
        assert "run the same command to go on" in said(done.err)
        monkeypatch.setattr(Bars, "__call__", shown)
        if stage.startswith("round 2"):  # now between the answers and the labels

            def stop(*arguments, **options):
                raise KeyboardInterrupt

            with monkeypatch.context() as patched:
                patched.setattr("lfkit.commands.active.session.save_labels", stop)
                assert lfkit("active", known_run, *ask).code == 130
    last = lfkit("active", known_run, *ask, "--json")
    assert last.code == 0, last.err
    told = [json.loads(each.out) for each in (first, last)]
    assert told[0]["rounds"] == told[1]["rounds"]
    for part in ("active", "models"):
        before, after = content(whole / part), content(known_run / part)
        assert before.keys() == after.keys()
        assert [name for name in before if before[name] != after[name]] == []


# A table that a person fills in.


def test_a_person_fills_in_tables(lfkit, made, run, tmp_path):
    ask = ["active", run, *TOY, "--budget", 6, "--per-round", 3, "--oracle", "csv"]
    done = lfkit(*ask)
    sheet = run / "active" / "round-01" / "ask.csv"
    assert done.code == 0, done.err
    assert f"Fill in the column label of {sheet} (3 images, classes " in said(done.out)
    assert "and give the same command again." in said(done.out)
    rows = rows_of(sheet)
    assert [*rows[0]] == ["image_id", "path", "guess", "confidence", "label"]
    assert len(rows) == 3
    for row in rows:
        assert Path(row["path"]).is_file()
        assert Path(row["path"]).name == row["image_id"]
        assert int(Path(row["image_id"]).stem) >= 6  # seeds are known
        assert row["guess"] in ("left", "right")
        assert row["label"] == ""
    # Half filled in: what is there stays there.
    fill(sheet, truth, n=2)
    half = sheet.read_bytes()
    done = lfkit(*ask)
    assert done.code == 0
    assert "1 of the 3 labels of round 1 are missing" in said(done.out)
    assert "nothing was taken" in said(done.out)
    assert sheet.read_bytes() == half
    assert not (run / "active" / "answers.csv").exists()
    fill(sheet, truth)
    done = lfkit(*ask, "--json")
    told = json.loads(done.out)
    second = run / "active" / "round-02" / "ask.csv"
    assert told["waiting"]["file"] == str(second)
    assert (told["asked"], told["waiting"]["missing"]) == (3, 3)
    assert len(rows_of(run / "active" / "answers.csv")) == 3
    # As a spreadsheet may save it.
    fill(second, truth)
    text = second.read_text().replace(",", ";")
    second.write_text(text, encoding="utf-8-sig")
    done = lfkit(*ask)
    assert done.code == 0, done.err
    assert "Next: lfkit generate" in done.out
    answers = rows_of(run / "active" / "answers.csv")
    assert [row["label"] for row in answers] == [*map(truth, answers)]
    assert (run / "models" / "two-stage-active" / "config.json").exists()
    # Seeds and answers are one file, for `lfkit apply`.
    seeds = run / "active" / "seeds.csv"
    assert len(rows_of(seeds)) == 6 + len(answers)
    again = ("apply", made / "photos", "--lfs", made / "functions.py", "--out")
    done = lfkit(*again, tmp_path / "again", "--seed-labels", seeds)
    assert done.code == 0, done.err
    labels = pd.read_csv(tmp_path / "again" / "labels.csv")
    assert labels["seed"].sum() == 6 + len(answers)
    # To begin anew sets the answers aside, and says where.
    done = lfkit(*ask, "--restart")
    assert done.code == 0, done.err
    kept = run / "active-1" / "answers.csv"
    assert f"the earlier answers are kept in {run / 'active-1'}" in said(done.err)
    assert f"--seed-labels {run / 'active-1' / 'seeds.csv'}` takes" in said(done.err)
    assert rows_of(kept) == answers
    assert not (run / "active" / "answers.csv").exists()
    assert not (run / "models" / "two-stage-active").exists()
    # What was filled in and not yet taken is kept, too.
    fill(run / "active" / "round-01" / "ask.csv", truth, n=1)
    lfkit(*ask, "--restart")
    sheet = rows_of(run / "active-2" / "round-01" / "ask.csv")
    assert [bool(row["label"]) for row in sheet] == [True, False, False]


@pytest.fixture
def asked(lfkit, run):
    """A run that waits for the answers to three questions."""
    ask = ["active", run, *TOY, "--budget", 3, "--per-round", 3, "--oracle", "csv"]
    assert lfkit(*ask).code == 0
    return run, ask, run / "active" / "round-01" / "ask.csv"


def test_wrong_tables_are_told_and_nothing_is_lost(lfkit, asked):
    run, ask, sheet = asked
    whole = sheet.read_text()
    mine = rows_of(sheet)[0]["image_id"]
    other = next(f"{n:02d}.png" for n in range(6, 39) if f"{n:02d}.png" not in whole)
    fill(sheet, truth)
    good = sheet.read_text()
    for text, sentence in (
        (good.replace(",left\n", ",up\n").replace(",right\n", ",up\n"),
         "the label 'up'; the classes are left, right (or 0..1); 3 of its 3 labels"),
        (good + "no.png,,,,left\n", "names image 'no.png', which is not in the data"),
        (good + f"{other},,,,left\n", f"names image '{other}', which was not asked"),
        (good + f"{mine},,,,left\n{mine},,,,right\n", f"image '{mine}' two labels"),
        (good.replace("label", "name"), "has no column label; it has image_id, path"),
        ("", "cannot be read as a table"),
    ):  # fmt: skip
        sheet.write_text(text)
        done = lfkit(*ask)
        assert done.code == 2, text
        assert sentence in said(done.err)
        assert sheet.read_text() == text
        assert not (run / "active" / "answers.csv").exists()
    sheet.write_bytes(b"\xff\xfe\x00")
    done = lfkit(*ask)
    assert "cannot be read as a table" in said(done.err)
    sheet.write_text(good)
    assert lfkit(*ask).code == 0
    assert len(rows_of(run / "active" / "answers.csv")) == 3


def test_images_without_files_are_written_beside_the_table(lfkit, made, tmp_path):
    pixels = [np.asarray(Image.open(p)) for p in sorted((made / "photos").iterdir())]
    np.savez(tmp_path / "data.npz", images=np.stack(pixels))
    run = tmp_path / "run"
    done = lfkit("apply", tmp_path / "data.npz", "--lfs", made / "functions.py",
                 "--out", run)  # fmt: skip
    assert done.code == 0, done.err
    lfkit("active", run, *TOY, "--budget", 2, "--oracle", "csv", "--per-round", 2)
    for row in rows_of(run / "active" / "round-01" / "ask.csv"):
        picture = np.asarray(Image.open(row["path"]))
        assert picture.shape == (128, 128)
        assert np.array_equal(picture[::16, ::16], pixels[int(row["image_id"])])


# Label Studio.


def exported(tasks, form):
    """Answer tasks as people do, and export them."""
    found = []
    for number, task in enumerate(tasks, start=1):
        label = truth(task["data"])
        if form == "json-min":
            found.append({**task["data"], "id": number, "label": label, "annotator": 1})
            continue
        result = {"from_name": "label", "to_name": "image", "type": "choices",
                  "value": {"choices": [label]}}  # fmt: skip
        skipped = {"was_cancelled": True, "result": []}
        answer = {"was_cancelled": False, "result": [result]}
        found.append(
            {"id": number, "data": task["data"], "annotations": [skipped, answer],
             "predictions": []}
        )  # fmt: skip
    return found


def test_label_studio_there_and_back(lfkit, run, tmp_path):
    ask = ["active", run, *TOY, "--budget", 4, "--per-round", 2]
    ask += ["--oracle", "label-studio"]
    done = lfkit(*ask)
    assert done.code == 0, done.err
    folder = run / "active" / "round-01"
    assert f"Import {folder / 'tasks.json'} (2 images) into" in said(done.out)
    interface = ElementTree.parse(folder / "labeling_config.xml").getroot()
    assert [each.get("value") for each in interface.iter("Choice")] == ["left", "right"]
    assert interface.find("Choices").get("toName") == interface.find("Image").get(
        "name"
    )
    tasks = json.loads((folder / "tasks.json").read_text())
    for task in tasks:
        head, picture = task["data"]["image"].split(",")
        assert head == "data:image/png;base64"
        size = Image.open(io.BytesIO(base64.b64decode(picture))).size
        assert size == (128, 128)
        (prediction,) = task["predictions"]
        (result,) = prediction["result"]
        assert result["value"]["choices"][0] in ("left", "right")
        assert (result["from_name"], result["to_name"]) == ("label", "image")
        assert 0.5 <= prediction["score"] <= 1
    answers = tmp_path / "export.json"
    # One task is not labeled yet.
    answers.write_text(json.dumps(exported(tasks, "json")[:1]))
    done = lfkit(*ask, "--answers", answers)
    assert done.code == 0, done.err
    assert "1 of the 2 labels of round 1 are missing in" in said(done.out)
    answers.write_text(json.dumps(exported(tasks, "json")))
    done = lfkit(*ask, "--answers", answers)
    assert done.code == 0, done.err
    second = run / "active" / "round-02" / "tasks.json"
    assert f"{answers} has no answers to round 2. Import {second}" in said(done.out)
    # The project's export has the tasks of both rounds.
    tasks += json.loads(second.read_text())
    answers.write_text(json.dumps(exported(tasks, "json-min")))
    done = lfkit(*ask, "--answers", answers)
    assert done.code == 0, done.err
    found = rows_of(run / "active" / "answers.csv")
    assert [row["label"] for row in found] == [*map(truth, found)]
    assert [row["round"] for row in found] == ["1", "1", "2", "2"]


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        ("cat", ["cat"]),
        ({"choices": ["cat"]}, ["cat"]),
        (["cat", "dog"], ["cat", "dog"]),
        ("", []),
        (None, []),
    ],
)
def test_forms_of_a_label_in_json_min(tmp_path, value, labels):
    path = tmp_path / "export.json"
    path.write_text(json.dumps([{"image_id": "a", "label": value}]))
    assert read_export(path) == [("a", label) for label in labels]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "cannot be read"),
        ("{}", "holds no list of tasks; export from Label Studio as JSON"),
        ('[{"data": {"image": "x"}}]', "task 1 of .* has no image_id; import the"),
        ("[3]", "task 1 of .* has no image_id"),
    ],
)
def test_exports_that_are_none_are_told(tmp_path, text, sentence):
    path = tmp_path / "export.json"
    path.write_text(text)
    with pytest.raises(DataError, match=sentence):
        read_export(path)


@pytest.mark.parametrize(
    "annotations", [3, None, {}, [7], [{"result": None}], [{"result": ["x"]}]]
)
def test_answers_of_no_form_at_all_are_none(tmp_path, annotations):
    path = tmp_path / "export.json"
    task = {"data": {"image_id": "a"}, "annotations": annotations}
    path.write_text(json.dumps([task]))
    assert read_export(path) == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("image_id,label\na,grün".encode("cp1252"), "save it as CSV in UTF-8"),
        (
            b'image_id,label\na,"left\n' + b"b,right\n" * 20_000,
            "with every quote closed",
        ),
    ],
)
def test_tables_that_are_none_are_told(tmp_path, content, sentence):
    path = tmp_path / "ask.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        read_sheet(path)


def test_an_export_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DataError, match=r"there is no file .* with answers"):
        read_export(tmp_path / "no.json")


def test_answers_are_names_before_numbers(tmp_path):
    path = tmp_path / "ask.csv"
    path.write_text("image_id,label\na,1\nb, 0 \nc,\n")
    told = read_sheet(path)
    assert told == [("a", "1"), ("b", "0")]
    match = {"asked": ["a", "b", "c"], "before": [], "all_ids": ["a", "b", "c"]}
    assert checked(told, path, class_names=["cat", "dog"], **match) == {"a": 1, "b": 0}
    assert checked(told, path, class_names=["1", "0"], **match) == {"a": 0, "b": 1}
    path.write_text("image_id,label\na,1.0\n")  # of a column with gaps
    told = read_sheet(path)
    assert checked(told, path, class_names=["0", "1"], **match) == {"a": 1}
    told = [("b", "0")]
    # A number that could be a name and is none is no number either.
    with pytest.raises(DataError, match="the label '0'; the classes are 1, 2"):
        checked(told, path, class_names=["1", "2"], **match)


# What makes no sense.


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--budget", 0], "--budget is 0; give 1 or more"),
        (["--budget", 4, "--per-round", 5], "--per-round is 5; give 1 to 4"),
        (["--budget", 4, "--per-round", 0], "--per-round is 0; give 1 to 4"),
        (["--budget", 4, "--query", "best"], "there is no query 'best'; choose from"),
        (["--budget", 4, "--oracle", "me"], "there is no oracle 'me'; choose from"),
        (["--budget", 4], "have no true labels to answer with; give --oracle csv"),
        (["--budget", 4, "--answers", "x.json"], "--answers is what Label Studio"),
        (["--budget", 4, "--oracle", "label-studio", "--answers", "x.json"],
         "there is no file x.json with answers"),
        (["--budget", 99, "--oracle", "csv"], "--budget is 99, but only 33 images"),
        (["--budget", 4, "--with", "gan"], "there is no generator 'gan'; choose"),
        (["--budget", 4, "--set", "random_state=1"], "is set by --seed"),
        (["--budget", 4, "--steps", 0], "--steps is 0; give 1 or more"),
        (["--budget", 4, "--seed", -1], "--seed is -1; give a whole number"),
        (["--budget", 4, "--set", "n_steps=3", "--steps", 3], "only one of them"),
        (["--budget", 4, "--with", "jgan", "--set", "real_labels=true"],
         "with real_labels=true every true label is known"),
    ],
)  # fmt: skip
def test_wrong_inquiries_are_told(lfkit, run, arguments, sentence):
    done = lfkit("active", run, *arguments)
    assert done.code == 2
    assert sentence in said(done.err)
    assert not (run / "active").exists()


def test_a_folder_that_is_no_run_is_told(lfkit, tmp_path):
    done = lfkit("active", tmp_path, "--budget", 4)
    assert (done.code, "is not a finished run" in said(done.err)) == (2, True)


def test_several_processes_are_refused(lfkit, run, monkeypatch):
    class Two:
        count, is_first = 2, True

    monkeypatch.setattr("lfkit.commands.active.session.distributed", Two)
    done = lfkit("active", run, "--budget", 4)
    assert "lfkit active runs in one process" in said(done.err)


def test_other_settings_are_refused_by_name(lfkit, asked, made):
    run, ask, sheet = asked
    fill(sheet, truth, n=2)
    before = content(run / "active")
    for change, sentence in (
        (["--query", "random"], "began with query = uncertainty, not random"),
        (["--per-round", 2], "began with per_round = 3, not 2"),
        (["--steps", 30], "began with n_steps = 20, not 30"),
        (["--seed", 3], "began with random_state = 0, not 3"),
        (["--no-quota"], "began with quota = True, not False"),
        (["--oracle", "label-studio"], "began with oracle = csv, not label-studio"),
    ):
        done = lfkit(*ask, *change)
        assert done.code == 2
        assert sentence in said(done.err)
    assert content(run / "active") == before
    (run / "labels.parquet").unlink()
    lfkit("apply", made / "photos", "--lfs", made / "functions.py", "--out", run)
    done = lfkit(*ask)
    assert "the images, votes or labels of this run have changed" in said(done.err)
    assert content(run / "active") == before


def test_damaged_files_are_told(lfkit, asked):
    run, ask, sheet = asked
    fill(sheet, truth)
    assert lfkit(*ask).code == 0
    answers, state = run / "active" / "answers.csv", run / "active" / "settings.json"
    whole = answers.read_text()
    answers.write_text(whole + "no.png,left,1\n")
    done = lfkit(*ask)
    assert "'no.png' is no image, class or round of this run" in said(done.err)
    answers.write_text(whole)
    guesses = sheet.with_name("guesses.csv")
    guesses.write_text("image_id,guess,confidence\na.png,left,much\n")
    done = lfkit(*ask)
    assert "delete it: it is made anew" in said(done.err)
    guesses.unlink()
    assert lfkit(*ask).code == 0
    told = state.read_text()
    state.write_text("{")
    done = lfkit(*ask)
    assert f"{state} cannot be read" in said(done.err)
    state.unlink()
    done = lfkit(*ask)
    assert "has lost its settings.json; give --restart" in said(done.err)
    assert answers.read_text() == whole
    assert lfkit(*ask, "--restart").code == 0
    assert (run / "active-1" / "answers.csv").read_text() == whole
    assert json.loads(state.read_text()) == json.loads(told)


def test_a_simulation_that_begins_anew_leaves_nothing(lfkit, known_run):
    ask = ["active", known_run, *TOY, "--budget", 2, "--per-round", 2]
    assert lfkit(*ask).code == 0
    done = lfkit(*ask, "--query", "random", "--restart")
    assert done.code == 0, done.err
    assert not (known_run / "active-1").exists()


def test_a_generator_may_learn_from_seeds_and_answers_only(lfkit, run):
    tiny = [each for each in TOY if each not in ("--with", "two-stage")]
    ask = ("active", run, "--budget", 4, "--per-round", 4, *tiny, "--oracle", "csv",
           "--with", "acgan", "--set", "real_labels=seeds", "--json")  # fmt: skip
    assert lfkit(*ask).code == 0
    fill(run / "active" / "round-01" / "ask.csv", truth)
    done = lfkit(*ask)
    assert done.code == 0, done.err
    assert json.loads(done.out)["trained"] == "acgan-active"


def test_the_rule_and_the_quota_choose_the_questions(lfkit, known_run):
    def asked(*options):
        # Few steps: sure of some images, and of one class more often.
        done = lfkit("active", known_run, *TOY, "--steps", 30, "--budget", 8,
                     "--per-round", 8, "--restart", *options)  # fmt: skip
        assert done.code == 0, done.err
        rows = rows_of(known_run / "active" / "round-01" / "guesses.csv")
        return rows, np.mean([float(row["confidence"]) for row in rows])

    free = ("--no-quota", "--query")
    _, least = asked(*free, "uncertainty")
    _, random = asked(*free, "random")
    _, most = asked(*free, "most-confidence")
    assert least < random < most
    even, _ = asked("--query", "most-confidence")
    guesses = [row["guess"] for row in even]
    assert guesses.count("left") == guesses.count("right") == 4


def test_the_next_generator_learns_the_answers(lfkit, run, tmp_path):
    weights = []
    for answer in ("left", "right"):
        one = tmp_path / answer
        shutil.copytree(run, one)
        ask = ("active", one, *TOY, "--budget", 8, "--per-round", 8, "--oracle", "csv")
        assert lfkit(*ask).code == 0
        fill(one / "active" / "round-01" / "ask.csv", lambda _, said=answer: said)
        assert lfkit(*ask).code == 0
        last = one / "models" / "two-stage-active" / "weights.safetensors"
        weights.append(last.read_bytes())
    assert weights[0] != weights[1]


def test_generate_names_the_command_that_is_missing(lfkit, run, tmp_path):
    done = lfkit("generate", run, "-n", 5, "--with", "acgan-active", "--out",
                 tmp_path / "images")  # fmt: skip
    assert "run `lfkit active" in said(done.err)
    assert "--with acgan`" in said(done.err)


def test_the_command_of_its_page_asks_and_says_which_file_to_fill_in(
    lfkit, made, tmp_path, monkeypatch
):
    page = (Path(__file__).parents[1] / "docs" / "active.md").read_text()
    (command,) = re.findall(r"^\$ lfkit (.*)$", page, re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made / "run", "demo-run")
    arguments = command.replace("--budget 40", "--budget 8").split()
    done = lfkit(*arguments, *TOY[2:])
    assert done.code == 0, done.err
    assert "demo-run/active/round-01/ask.csv" in said(done.out)
    for option in re.findall(r"`(--[a-z-]+)", page):
        assert option in said(lfkit("active", "--help").out), option
