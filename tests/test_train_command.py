"""`lfkit train` and `lfkit generate`, as a user calls them; killed at any moment."""

import csv
import io
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from assertions import kill_when, signal_when
from command_line import call
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import load_file

from benchmarks.toy_photos import HALVES, LAST_COLUMN, TOY, write_photos
from lfkit.commands.requested_classes import evenly
from lfkit.generators import GENERATORS
from lfkit.runs.reading import read_sealed, sealed

FUNCTIONS = HALVES + LAST_COLUMN
START = "from lfkit.cli.app import main; main()"


@pytest.fixture(scope="module")
def made_run(tmp_path_factory):
    """A run on 60 toy images."""
    folder = tmp_path_factory.mktemp("toys")
    write_photos(folder / "photos")
    (folder / "functions.py").write_text(FUNCTIONS)
    lfs = ["--lfs", folder / "functions.py"]
    call("apply", folder / "photos", *lfs, "--out", folder / "run")
    return folder / "run"


@pytest.fixture
def run(made_run, tmp_path):
    shutil.copytree(made_run, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="module")
def trained_run(made_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    shutil.copytree(made_run, folder)
    call("train", folder, "--steps", 40, *TOY)
    return folder


def content(folder):
    """What must be the same however often a command was killed."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in (
            "settings.json",
            "told.json",
            "curves.png",
        ):
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def test_from_a_folder_of_images_to_labeled_images(lfkit, run, tmp_path):
    done = lfkit("train", run, "--with", "adp", "--steps", 40, *TOY)
    assert done.code == 0, done.err
    assert "adp is trained, 40 steps." in done.out
    folder = run / "models" / "adp"
    for name in ("config.json", "weights.safetensors", "samples.npz", "grid.png",
                 "log.jsonl", "curves.png"):  # fmt: skip
        assert (folder / name).exists(), name
    again = lfkit("train", run, "--with", "adp", "--steps", 40, *TOY)
    assert "(before; --restart trains it anew)" in again.out
    done = lfkit("generate", run, "-n", 300, "--out", tmp_path / "images")
    assert done.code == 0, done.err
    assert "300 images by adp:" in done.out
    table = (tmp_path / "images" / "metadata.csv").read_text().splitlines()
    rows = list(csv.DictReader(table))
    assert len(rows) == 300
    assert {row["label"] for row in rows} == {"left", "right"}
    pixels = np.asarray(Image.open(tmp_path / "images" / rows[7]["file_name"]))
    assert pixels.shape == (8, 8)
    manifest = json.loads((tmp_path / "images" / "manifest.json").read_text())
    assert manifest["generator"] == "adp"
    assert manifest["asked"]["n"] == 300
    # What was made is found by the commands that score and show it.
    done = lfkit("evaluate", run, "--metrics", "fid", "--judge-steps", 20, "--json")
    assert done.code == 0, done.err
    assert "checkpoint last" in done.out
    assert lfkit("report", run).code == 0
    assert "Generated images" in (run / "report.html").read_text()


def test_every_format_holds_the_same_images(lfkit, trained_run, tmp_path):
    for form in ("folder", "npz", "parquet", "webdataset"):
        done = lfkit("generate", trained_run, "-n", 2100, "--format", form, "--out",
                     tmp_path / form)  # fmt: skip
        assert done.code == 0, done.err
        assert not [*tmp_path.glob(".*")]
    with np.load(tmp_path / "npz" / "generated.npz") as arrays:
        images, proba = arrays["images"], arrays["proba"]
        assert images.shape == (2100, 8, 8, 1)
        assert arrays["confidence"].shape == (2100,)
    names = ["left", "right"]
    table = pd.read_parquet(tmp_path / "parquet" / "generated.parquet")
    assert list(table.columns) == ["image", "label", "confidence", "p_left", "p_right"]
    shards = sorted((tmp_path / "webdataset").glob("*.tar"))
    assert len(shards) == 2
    with tarfile.open(shards[1]) as shard:
        late = np.asarray(Image.open(shard.extractfile("0002099.png")))
        told = json.load(shard.extractfile("0002099.json"))
        number = int(shard.extractfile("0002099.cls").read())
    assert np.array_equal(late, images[2099, ..., 0])
    assert told["label"] == names[number] == names[proba[2099].argmax()]
    assert np.array_equal(
        np.asarray(Image.open(io.BytesIO(table["image"][5]["bytes"]))),
        images[5, ..., 0],
    )
    assert np.array_equal(
        np.asarray(Image.open(tmp_path / "folder" / "images" / "0000005.png")),
        images[5, ..., 0],
    )


def test_classes_and_shares_are_what_was_asked_for(lfkit, trained_run, tmp_path):
    def counts(*arguments):
        out = tmp_path / "_".join(map(str, arguments)).replace("/", "")
        done = lfkit("generate", trained_run, "-n", 100, "--out", out, "--json",
                     *arguments)  # fmt: skip
        assert done.code == 0, done.err
        return json.loads(done.out)["classes"]

    assert counts("--class", "right") == {"left": 0, "right": 100}
    assert counts("--balanced") == {"left": 50, "right": 50}
    assert counts("--shares", "1,3") == {"left": 25, "right": 75}
    assert counts("--shares", "0,1") == {"left": 0, "right": 100}


def test_confidence_by_the_functions_vote_on_each_image(lfkit, trained_run, tmp_path):
    done = lfkit("generate", trained_run, "-n", 60, "--format", "npz", "--revote",
                 "--out", tmp_path / "a")  # fmt: skip
    assert done.code == 0, done.err
    with np.load(tmp_path / "a" / "generated.npz") as arrays:
        assert len(np.unique(arrays["confidence"])) > 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-n", 0], "-n is 0; give the number of images"),
        (["-n", 5, "--format", "zip"], "there is no format 'zip'; choose from folder"),
        (["-n", 5, "--class", "up"], "there is no class 'up'; choose from left, right"),
        (["-n", 5, "--shares", "1,2,3"], "--shares has 3 numbers for 2 classes"),
        (["-n", 5, "--shares", "0,0"], "--shares must be numbers from 0 on"),
        (["-n", 5, "--shares", "a"], "--shares is 'a'; give one number per class"),
        (["-n", 5, "--with", "vote"], "has no trained 'vote'; run `lfkit train"),
        (["-n", 5, "--with", "gan"], "there is no generator 'gan'; choose from adp"),
        (["-n", 5, "--min-confidence", "1.5"], "--min-confidence is 1.5; give a share"),
        (["-n", 5, "--seed", "-1"], "--seed is -1; give a whole number"),
    ],
)
def test_wrong_orders_are_told(lfkit, trained_run, tmp_path, arguments, sentence):
    done = lfkit("generate", trained_run, "--out", tmp_path / "out", *arguments)
    assert done.code == 2
    assert sentence in " ".join(done.err.split())
    assert not (tmp_path / "out").exists()


def test_folders_that_hold_something_else_are_left_alone(lfkit, trained_run, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    done = lfkit("generate", trained_run, "-n", 5, "--out", out)
    assert (done.code, "holds something else" in done.err) == (2, True)
    done = lfkit("generate", trained_run, "-n", 5, "--out", tmp_path / "a")
    assert done.code == 0
    again = lfkit("generate", trained_run, "-n", 5, "--out", tmp_path / "a")
    assert (again.code, again.out) == (0, done.out)
    other = lfkit("generate", trained_run, "-n", 6, "--out", tmp_path / "a")
    assert other.code == 2
    assert "holds images made with other options" in " ".join(other.err.split())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--with", "gan"], "there is no generator 'gan'; choose from adp, adp-multi"),
        (["--steps", 0], "--steps is 0; give 1 or more"),
        (["--steps", 5, "--max-minutes", 1], "give --steps or --max-minutes, not both"),
        (["--set", "speed=3"], "adp has no setting 'speed'; choose from"),
        (["--set", "batch=many"], "batch is 'many'; expected a number"),
        (["--set", "trust=maybe"], "trust is 'maybe'; choose from True, False, auto"),
        (["--set", "surrogate=maybe"], "surrogate is 'maybe'; expected true or false"),
        (["--set", "batch"], "--set 'batch' is no setting; give key=value"),
        (["--config", "none.json"], "--config none.json cannot be read"),
        (["--resume"], "has no training of 'adp' to go on with"),
        (["--resume", "--restart"], "give --resume or --restart, not both"),
        (["--max-minutes", 0], "max_minutes is 0; give a number above 0"),
        (["--seed", -1], "--seed is -1; give a whole number"),
        (["--set", "loss=wrong", *TOY], "loss is 'wrong'; choose from"),
        (["--set", "network=sgan"], "network is 'sgan'; choose from dcgan, cogan"),
        (["--set", "join=concat"], "'join' is now called 'conditioning'"),
        (["--set", "random_state=3"], "random_state is set by --seed"),
        (["--set", "n_steps=3", "--steps", 5], "give n_steps, --steps or"),
        (
            ["--with", "two-stage", "--set", "label_mode=none"],
            "plan.label_mode of TwoStage is",
        ),
    ],
)
def test_wrong_settings_are_told(lfkit, run, arguments, sentence):
    done = lfkit("train", run, *arguments)
    assert done.code == 2
    assert sentence in " ".join(done.err.split())


def test_config_file_is_read_and_what_is_no_settings_refused(lfkit, run, tmp_path):
    (tmp_path / "a.json").write_text('{"batch": 8, "width": 16, "reader_steps": 5}')
    done = lfkit("train", run, "--steps", 10, "--config", tmp_path / "a.json")
    assert done.code == 0, done.err
    config = json.loads((run / "models" / "adp" / "config.json").read_text())
    assert config["params"]["plan"]["batch"] == 8
    (tmp_path / "b.json").write_text("[1]")
    done = lfkit("train", run, "--config", tmp_path / "b.json")
    assert "holds no settings" in done.err


def test_other_settings_or_labels_need_a_restart(lfkit, run):
    assert lfkit("train", run, "--steps", 10, *TOY).code == 0
    other = lfkit("train", run, "--steps", 20, *TOY)
    assert other.code == 2
    assert (
        "n_steps = 10, not 20; give the same settings to go on, or --restart"
        in " ".join(other.err.split())
    )
    assert lfkit("train", run, "--steps", 20, "--restart", *TOY).code == 0
    (run / "models" / "adp" / "settings.json").write_text("{")
    broken = lfkit("train", run, "--steps", 20, *TOY)
    assert "cannot be read" in broken.err


def test_a_training_of_an_earlier_version_goes_on(lfkit, run):
    assert lfkit("train", run, "--steps", 10, *TOY).code == 0
    path = run / "models" / "adp" / "settings.json"
    settings = read_sealed(path, "")
    for setting in ("precision", "compile"):  # it knew neither
        del settings["params"][setting]
    path.write_bytes(sealed(settings))
    again = lfkit("train", run, "--steps", 10, *TOY)
    assert again.code == 0, again.err
    assert "10 steps (before" in again.out
    other = lfkit("train", run, "--steps", 10, *TOY, "--set", "precision=float32")
    assert "began with precision = auto, not float32" in " ".join(other.err.split())


def test_what_cannot_be_compiled_leaves_the_training_before(lfkit, run, monkeypatch):
    def compile_nothing(function):
        raise RuntimeError("no working C++ compiler")

    small = (*TOY, "--steps", 10, "--with", "two-stage")
    assert lfkit("train", run, *small).code == 0
    monkeypatch.setattr(torch, "compile", compile_nothing)
    done = lfkit("train", run, *small, "--set", "compile=true", "--restart")
    assert done.code == 2
    assert "no working C++ compiler" in " ".join(done.err.split())
    assert "10 steps (before" in lfkit("train", run, *small).out


def test_method_as_printed_pairs_images_with_true_labels(
    lfkit, run, made_run, tmp_path
):
    arguments = ["--with", "adp-paper", "--steps", 5, "--set", "batch=8"]
    arguments += ["--set", "width=16", "--set", "reader_steps=5"]
    true = [*arguments, "--set", "real_labels=true"]
    done = lfkit("train", run, *true)
    assert done.code == 2
    assert "have no true labels; set real_labels to 'model'" in " ".join(
        done.err.split()
    )
    photos = run.parent / "named"
    for number, path in enumerate(sorted((made_run.parent / "photos").iterdir())):
        folder = photos / ("left", "right")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    lfkit("apply", photos, "--lfs", made_run.parent / "functions.py",
          "--seeds-per-class", 2, "--out", tmp_path / "named-run")  # fmt: skip
    done = lfkit("train", tmp_path / "named-run", *true)
    assert done.code == 0, done.err
    seeds = [*arguments, "--set", "real_labels=seeds", "--restart"]
    done = lfkit("train", tmp_path / "named-run", *seeds)
    assert done.code == 0, done.err
    assert "few images are labeled left (2), right (2)" in " ".join(done.err.split())


def test_pictures_and_curves_are_kept_while_training(lfkit, run, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr("lfkit.generators.training.watched_training.PREVIEW_EVERY", 30)
    done = lfkit("train", run, "--steps", 60, "--tensorboard", *TOY)
    assert done.code == 0, done.err
    folder = run / "models" / "adp"
    grids = sorted((folder / "grids").iterdir())
    assert [path.name for path in grids] == ["step-000030.png", "step-000060.png"]
    # Before pairs are judged nothing has a label, hence no names beside the rows.
    widths = [
        np.asarray(Image.open(io.BytesIO(p.read_bytes()))).shape[1] for p in grids
    ]
    assert widths[0] < widths[1]
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert "g_loss" in events.Tags()["scalars"]
    assert [event.step for event in events.Scalars("g_loss")][-1] == 60
    assert len(events.Images("samples")) == 2


def test_typo_in_a_setting_leaves_nothing_behind(lfkit, run):
    wrong = lfkit("train", run, "--steps", 10, "--set", "noise=loud", *TOY)
    assert (wrong.code, "noise is 'loud'" in wrong.err) == (2, True)
    assert lfkit("train", run, "--steps", 10, *TOY).code == 0


def test_what_is_damaged_or_deleted_is_made_again(lfkit, trained_run, tmp_path):
    def made(*arguments):
        done = lfkit("generate", trained_run, "-n", 600, "--out", tmp_path / "a",
                     "--format", "npz", *arguments)  # fmt: skip
        assert done.code == 0, done.err
        return (tmp_path / "a" / "generated.npz").read_bytes()

    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = tmp_path / f".a.{ended.pid}.partial"  # by a killed process
    left.mkdir()
    (left / "generated.npz").write_bytes(b"PK no archive")
    of_another = tmp_path / f".b.{ended.pid}.partial"
    of_another.mkdir()
    (tmp_path / "a").mkdir()
    whole = made()
    assert (left.exists(), of_another.exists()) == (False, True)
    (tmp_path / "a" / "generated.npz").unlink()
    (tmp_path / "a" / "mine.txt").write_text("mine")
    assert made() == whole
    assert (tmp_path / "a" / "mine.txt").read_text() == "mine"


def test_confidence_nobody_knows_is_left_empty(lfkit, run, tmp_path):
    assert lfkit("train", run, "--with", "two-stage", "--steps", 10, *TOY).code == 0
    done = lfkit("generate", run, "-n", 5, "--out", tmp_path / "a")
    assert done.code == 0, done.err
    table = (tmp_path / "a" / "metadata.csv").read_text().splitlines()
    rows = [*csv.DictReader(table)]
    assert [row["confidence"] for row in rows] == [""] * 5
    done = lfkit("generate", run, "-n", 5, "--format", "webdataset", "--out",
                 tmp_path / "b")  # fmt: skip
    with tarfile.open(tmp_path / "b" / "shard-000000.tar") as shard:
        told = json.load(shard.extractfile("0000000.json"))
    assert told["confidence"] is None
    assert lfkit("report", run).code == 0


def test_how_many_are_asked_for_changes_no_image(lfkit, trained_run, tmp_path):
    def images(n):
        done = lfkit("generate", trained_run, "-n", n, "--format", "npz", "--out",
                     tmp_path / str(n), "--min-confidence", 0.5)  # fmt: skip
        assert done.code == 0, done.err
        with np.load(tmp_path / str(n) / "generated.npz") as arrays:
            return arrays["images"]

    assert np.array_equal(images(20), images(270)[:20])


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=12).filter(lambda s: sum(s) > 0.01),
    st.integers(1, 700),
)
def test_every_beginning_has_the_shares_asked_for(shares, n):
    labels = evenly(shares, n)
    assert np.array_equal(labels, evenly(shares, n + 300)[:n])
    counts = np.bincount(labels, minlength=len(shares))
    exact = n * np.array(shares) / sum(shares)
    assert (abs(counts - exact) <= 1 + len(shares) / 2).all()
    assert (counts[np.array(shares) == 0] == 0).all()


def test_balanced_is_exact():
    counts = np.bincount(evenly(np.ones(10), 1000))
    assert counts.tolist() == [100] * 10


def test_trust_is_learned_where_held_out_seeds_can_judge_it(lfkit, made_run, tmp_path):
    photos, lfs = made_run.parent / "photos", made_run.parent / "functions.py"

    def is_learned(name, apply=(), train=()):
        run = tmp_path / name
        call("apply", photos, "--lfs", lfs, "--out", run, *apply)
        often = ["--set", "lf_every=2", "--set", "unconditional_fraction=0"]
        done = lfkit("train", run, "--steps", 20, *TOY, *often, *train)
        assert done.code == 0, done.err
        return (run / "models" / "adp" / "trust.json").exists()

    names = sorted(path.name for path in photos.iterdir())[:12]
    known = "\n".join(f"{n},{('left', 'right')[i % 2]}" for i, n in enumerate(names))
    (tmp_path / "seeds.csv").write_text(f"image_id,label\n{known}\n")
    seeds = ["--seed-labels", tmp_path / "seeds.csv"]
    assert is_learned("seeds", seeds)
    assert not is_learned("off", seeds, ["--set", "trust=false"])
    assert not is_learned("no-seeds")
    assert is_learned("on", (), ["--set", "trust=true"])
    assert is_learned("surrogate", (), ["--set", "surrogate=true"])
    refine = ["--refine", "--stages", "diffuse"]
    assert not is_learned("refined", [*seeds, *refine])


def test_slow_functions_are_told_of(lfkit, run):
    done = lfkit("train", run, "--steps", 10, *TOY)
    assert "bright_last_column_is_right take one image a call" in " ".join(
        done.err.split()
    )


def test_folder_that_is_no_run_is_told(lfkit, tmp_path):
    done = lfkit("train", tmp_path)
    assert (done.code, "is no run folder" in done.err) == (2, True)


def test_minutes_become_steps_once(lfkit, run):
    done = lfkit("train", run, "--max-minutes", 0.02, *TOY)
    assert done.code == 0, done.err
    steps = json.loads((run / "models" / "adp" / "settings.json").read_text())[
        "n_steps"
    ]
    again = lfkit("train", run, "--max-minutes", 0.02, *TOY)
    assert f"{steps:,} steps (before" in again.out


def test_edited_function_is_noticed(lfkit, run, made_run):
    path = made_run.parent / "functions.py"
    source = path.read_text()
    try:
        path.write_text(source.replace("> 120", "> 130"))
        done = lfkit("train", run, "--steps", 10, *TOY)
    finally:
        path.write_text(source)
    assert done.code == 2
    assert f"{path} is no longer what voted" in " ".join(done.err.split())


def test_function_given_anew_must_be_what_voted(lfkit, run, made_run, tmp_path):
    source = (made_run.parent / "functions.py").read_text()
    (tmp_path / "functions.py").write_text(source.replace("> 120", "> 130"))
    given = ["--lfs", tmp_path / "functions.py"]
    done = lfkit("train", run, "--steps", 10, *TOY, *given)
    assert done.code == 2
    assert "'bright_last_column_is_right' is no longer what voted" in " ".join(
        done.err.split()
    )


def killed_until_done(command, n_done, moments):
    """Kill a command whenever so much of its work is done; the last goes on here."""
    kills = 0
    for moment in moments:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        kills += kill_when(process, lambda moment=moment: n_done() >= moment)
    call(*command[3:])
    return kills


def n_lines(path):
    return len(path.read_text().splitlines()) if path.exists() else 0


def n_files(folder):
    return len(list(folder.rglob("*"))) if folder.exists() else 0


def test_killed_training_ends_with_the_same_files(made_run, tmp_path):
    def command(run):
        plan = ["--set", "batch=16", "--set", "width=32", "--set", "reader_steps=20"]
        return [sys.executable, "-c", START, "train", run, "--steps", "120", *plan]

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        shutil.copytree(made_run, folder)
    call(*command(whole)[3:])
    state = broken / "models" / "adp" / "log.jsonl"
    assert killed_until_done(command(broken), lambda: n_lines(state), [1, 6]) > 0
    one, other = content(whole / "models"), content(broken / "models")
    assert one.keys() == other.keys()
    for name in one:
        if name.endswith("config.json"):
            assert json.loads(one[name]) == json.loads(other[name])
        else:
            assert one[name] == other[name], name
    weights = load_file(whole / "models" / "adp" / "weights.safetensors")
    assert len(weights) > 10


def test_killed_generation_ends_with_the_same_files(trained_run, tmp_path):
    def command(out):
        return [sys.executable, "-c", START, "generate", trained_run, "-n", "3000",
                "--out", out]  # fmt: skip

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    call(*command(whole)[3:])

    def begun():
        return [*tmp_path.glob(".broken.*.partial/images/*")]

    assert killed_until_done(command(broken), lambda: len(begun()), [1, 1000]) > 0
    one, other = content(whole), content(broken)
    assert len(one) == 3002
    assert one.keys() == other.keys()
    assert {name for name in one if one[name] != other[name]} == {"manifest.json"}
    assert not begun()


def in_two_processes(made_run, run, *more):
    if not run.exists():
        shutil.copytree(made_run, run)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "lfkit",
        "train",
        run,
        "--steps",
        "60",
        "--set",
        "surrogate=true",
        "--set",
        "surrogate_every=4",
        *TOY,
        *more,
    ]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=200,
        env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip


def test_two_processes_train_the_same_networks(made_run, tmp_path):
    done = in_two_processes(made_run, tmp_path / "a")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("adp is trained, 60 steps.") == 1
    folder = tmp_path / "a" / "models" / "adp"
    lines = (folder / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 20, 30, 40, 50, 60]
    weights = load_file(folder / "weights.safetensors")
    assert all(np.isfinite(value).all() for value in weights.values())


@pytest.mark.slow
def test_processes_train_alike_each_time_and_share_a_batch(made_run, tmp_path):
    for name in "ab":
        assert in_two_processes(made_run, tmp_path / name).returncode == 0
    whole, again = (content(tmp_path / name / "models") for name in "ab")
    assert whole["adp/weights.safetensors"] == again["adp/weights.safetensors"]
    odd = in_two_processes(made_run, tmp_path / "c", "--set", "batch=7")
    assert odd.returncode != 0
    assert "batch is 7 and there are 2 processes; give a multiple of 2" in " ".join(
        odd.stderr.split()
    )


def test_ctrl_c_says_how_to_go_on(run):
    process = subprocess.Popen(
        [sys.executable, "-c", START, "train", run, "--steps", "100000", *TOY],
        stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    state = run / "models" / "adp" / "state"
    assert signal_when(process, lambda: n_files(state), signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Stopped. What is trained is kept in" in told
    assert "Traceback" not in told


def test_generator_labels_the_real_images_too(lfkit, trained_run):
    done = lfkit("aggregate", trained_run, "--with", "adp")
    assert done.code == 0, done.err
    assert "60 of 60 images labeled by adp." in done.out
    assert "no held-out seeds bear out" in " ".join(done.out.split())
    labels = pd.read_csv(trained_run / "labels-adp.csv")
    assert labels["label"].tolist() == ["left", "right"] * 30
    missing = lfkit("aggregate", trained_run, "--with", "two-stage")
    assert missing.code == 2
    assert "has no trained 'two-stage'" in missing.err


def test_generators_are_listed(lfkit):
    done = lfkit("list", "generators")
    for name in ("adp", "adp-paper", "two-stage", "vote"):
        assert f"\n{name} " in done.out


def test_a_generator_is_one_file_and_one_line(lfkit, made_run, tmp_path, monkeypatch):
    filled_in = Path(__file__).parents[1] / "templates" / "generator.py"
    kind = runpy.run_path(str(filled_in))["Conditional"]
    monkeypatch.setitem(GENERATORS, "conditional", kind)
    run = tmp_path / "run"
    shutil.copytree(made_run, run)
    done = lfkit("train", run, "--with", "conditional", "--steps", 300, *TOY)
    assert done.code == 0, done.err
    assert "conditional" in lfkit("list", "generators").out
    done = lfkit(
        "generate", run, "-n", 60, "--with", "conditional", "--out", tmp_path / "made",
        "--format", "npz",
    )  # fmt: skip
    assert done.code == 0, done.err
    with np.load(tmp_path / "made" / "generated.npz") as found:
        images, labels = found["images"], found["proba"].argmax(axis=1)
    left, right = images[:, :, :4], images[:, :, 4:]
    sides = left.mean(axis=(1, 2, 3)) < right.mean(axis=(1, 2, 3))
    assert np.mean(sides == labels) > 0.9


def test_without_labels_the_runs_own_name_the_codes(lfkit, run):
    none = ["--steps", 20, *TOY, "--set", "real_labels=none"]
    done = lfkit("train", run, "--with", "ss-infogan", *none)
    assert done.code == 0, done.err


def test_what_a_code_does_is_drawn(lfkit, made_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(made_run, run)
    done = lfkit("train", run, "--with", "ss-infogan", "--steps", 20, *TOY)
    assert done.code == 0, done.err
    out = tmp_path / "codes"
    done = lfkit("generate", run, "--traverse", 2, "--out", out)
    assert done.code == 0, done.err
    assert done.out.strip().endswith("code-2.png")
    with Image.open(out / "code-2.png") as picture:
        assert picture.width > 400
    sure = ("generate", run, "-n", 20, "--min-confidence", 0.5, "--out")
    assert lfkit(*sure, tmp_path / "sure").code == 0
    confidence = pd.read_csv(tmp_path / "sure" / "metadata.csv")["confidence"]
    assert (confidence >= 0.5).all()
    done = lfkit("generate", run, "--traverse", 3, "--out", out)
    assert done.code == 2
    assert "code 3 was asked for, and there are 2; give 1 to 2." in done.err
    done = lfkit("generate", run, "--traverse", 1, "--class", "0", "--out", out)
    assert done.code == 2
    assert "twelve images of every class; leave --class out" in done.err
    done = lfkit("generate", run, "--out", out)
    assert done.code == 2
    assert "give -n, the number of images; or --traverse, a code." in done.err


def test_list_tells_what_generators_need_and_give(lfkit):
    found = json.loads(lfkit("list", "generators", "--json").out)
    assert {row["name"] for row in found} == set(GENERATORS)
    for row in found:
        assert row["needs"]
        assert row["gives"]
    papers = {row["name"]: row["paper"] for row in found}
    assert papers["jgan"] == "JGAN (Park 2019)"
