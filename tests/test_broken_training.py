"""Trainings that are plainly broken end with a word, and NaN is found before images."""

import json
import shutil
import warnings

import numpy as np
import pytest
from test_generators import equal, make, poison, toys
from test_train_command import TOY, made_run, run, trained_run

from lfkit.errors import InputError, TrainingWarning
from lfkit.generators import GENERATORS
from lfkit.generators.gan.config import GanConfig
from lfkit.generators.training.checkpoints import CheckpointFolder
from lfkit.generators.training.final_check import what_is_broken
from lfkit.generators.training.monitor import TrainingMonitor

__all__ = ["made_run", "run", "trained_run"]  # fixtures

BREAKING = ["--set", "rate_g=1", "--set", "rate_d=1"]


def test_without_anyone_to_tell_it_is_a_warning():
    images, truth, votes = toys()
    broken = make("two-stage", rate_g=1.0, rate_d=1.0, n_steps=20, reader_steps=10)
    with pytest.warns(TrainingWarning, match="the training is broken"):
        broken.fit(images, votes, proba=np.eye(2)[truth])


def looks(change):
    images, truth, _ = toys(200)
    return what_is_broken(change(images), truth, images, truth, n_steps=1000)


def noisy(images, seed=0):
    rng = np.random.default_rng(seed)
    moved = images.astype(int) + rng.integers(-40, 40, images.shape)
    return moved.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("change", "clause"),
    [
        (lambda x: np.full_like(x, 255), "one colour, white"),
        (lambda x: np.zeros_like(x), "one colour, black"),
        (lambda x: np.where(x > 100, 255, 0).astype(np.uint8), "as dark or as bright"),
        (lambda x: np.repeat(x[:1], len(x), axis=0), "nearly all alike"),
        (
            lambda x: np.resize(x[:3], x.shape),
            "200 generated images are 3 different ones",
        ),
        (lambda x: 255 - x // 7, "on average, real ones"),
    ],
)
def test_what_cannot_be_such_images(change, clause):
    assert clause in looks(change)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        noisy,
        lambda x: x // 2 + 60,
        lambda x: 255 - x,
        lambda x: np.random.default_rng(0).integers(90, 160, x.shape).astype(np.uint8),
    ],
)
def test_poor_images_are_not_called_broken(change):
    assert looks(change) is None


def test_one_image_for_each_class_is_all_alike():
    images, truth, _ = toys(200)
    first = images[[int((truth == c).argmax()) for c in (0, 1)]]
    found = what_is_broken(first[truth], truth, images, truth, n_steps=1000)
    assert "images of a class are nearly all alike" in found


def test_real_images_that_are_black_and_white_or_blank_accuse_nobody():
    rng = np.random.default_rng(0)
    letters = (rng.random((100, 8, 8, 1)) < 0.3).astype(np.uint8) * 255
    none = np.full(100, -1)
    assert what_is_broken(letters, none, letters[::-1], none, n_steps=1000) is None
    blank = np.zeros((100, 8, 8, 1), np.uint8)
    assert what_is_broken(blank, none, blank, none, n_steps=1000) is None


def test_broken_training_is_told_by_train_generate_and_evaluate(lfkit, run, tmp_path):
    call = ["train", run, "--with", "two-stage", "--steps", 60, *TOY, *BREAKING]
    done = lfkit(*call)
    assert done.code == 0, done.err
    assert "rate_g is 1: rates above" in done.out + done.err
    assert "WARNING: the training is broken:" in done.out
    assert "--restart --set rate_g=0.0002 --set rate_d=0.0004" in done.out
    assert "Next:" not in done.out
    again = json.loads(lfkit(*call, "--json").out)  # it has ended before
    assert "the training is broken" in again["broken"]
    assert again["broken"] in again["warnings"]
    done = lfkit("generate", run, "-n", 60, "--out", tmp_path / "images")
    assert done.code == 0
    assert "WARNING: the training is broken:" in done.out
    done = lfkit("evaluate", run, "--metrics", "fid", "--judge-steps", 20)
    assert "WARNING: two-stage is broken" in done.out
    log = (run / "models" / "two-stage" / "log.jsonl").read_text().splitlines()
    assert json.loads(log[-1])["broken"] == again["broken"]
    assert lfkit("report", run).code == 0
    assert "the training is broken: " in (run / "report.html").read_text()


def test_sound_training_has_nothing_to_say(lfkit, run):
    done = lfkit("train", run, "--with", "two-stage", "--steps", 40, *TOY, "--json")
    result = json.loads(done.out)
    assert result["broken"] is None
    assert result["warnings"] == []
    assert not (run / "models" / "two-stage" / "broken.json").exists()


def test_losses_that_exploded_are_named(tmp_path):
    said = []
    doctor = TrainingMonitor(tmp_path, ("a", "b"), 100, said.append)
    for step in (10, 20, 30, 40):
        doctor.note(step, {"d_loss": 1.0, "g_loss": 3e11})
    told = doctor.exploded("train anew")
    assert told == said[0]
    assert "losses have exploded (g loss 3e+11); train anew" in told
    assert TrainingMonitor(tmp_path / "b", ("a", "b"), 100).exploded("") is None


@pytest.mark.parametrize("command", ["generate", "aggregate", "train"])
def test_nan_in_saved_weights_is_found_before_images_are_made(
    lfkit, trained_run, tmp_path, command
):
    shutil.copytree(trained_run, tmp_path / "run")
    path = tmp_path / "run" / "models" / "adp" / "weights.safetensors"
    poison(path, "maker")
    if command == "train":
        done = lfkit("train", tmp_path / "run", "--steps", 40, *TOY)
    elif command == "aggregate":
        done = lfkit("aggregate", tmp_path / "run", "--with", "adp")
    else:
        done = lfkit("generate", tmp_path / "run", "-n", 9, "--out", tmp_path / "out")
    assert done.code == 2
    assert "adp" in done.err
    assert "not finite" in done.err
    assert "--restart" in done.err
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def with_checkpoints(tmp_path_factory):
    """A generator, and a folder of its checkpoints."""
    images, truth, votes = toys()
    path = tmp_path_factory.mktemp("checkpoints")
    folder = CheckpointFolder(path, every=10)
    whole = make("two-stage")
    return whole.fit(images, votes, proba=np.eye(2)[truth], checkpoints=folder), path


@pytest.mark.parametrize("left", ["one good checkpoint", "none"])
def test_a_checkpoint_with_nan_is_passed_over(left, with_checkpoints, tmp_path):
    images, truth, votes = toys()
    whole, saved = with_checkpoints
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    paths = sorted(tmp_path.glob("*.safetensors"))
    assert len(paths) > 1
    for path in paths if left == "none" else paths[-1:]:
        poison(path, "average")
    resumed = make("two-stage").fit(
        images,
        votes,
        proba=np.eye(2)[truth],
        checkpoints=CheckpointFolder(tmp_path, every=10),
    )
    assert equal(resumed.sample(20), whole.sample(20))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"rate_g": 0}, "rate_g is 0: nothing would be learned"),
        ({"rate_d": 0.0}, "rate_d is 0: nothing would be learned"),
        ({"rate_g": -1}, "rate_g is -1; give"),
        ({"rate_d": 1.5}, "rate_d is 1.5; give"),
        ({"label_mode": "head", "rate_head": 0}, "rate_head is 0"),
        ({"pair_weight": 0}, "labels would teach nothing"),
        ({"n_codes": 2, "code_weight": 0}, "would not follow the codes"),
    ],
)
def test_settings_without_sense_are_refused(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        GanConfig(**settings)


def test_a_teacher_that_learns_nothing_is_refused():
    lazy = GENERATORS["self-labeling"](teacher_rate=0.0)
    with pytest.raises(InputError, match="the teacher would learn nothing"):
        lazy.check(has_functions=False)


def test_settings_without_effect_and_large_rates_are_told():
    plan = GanConfig(rate_g=1.0, rate_d=0.5, code_weight=2.0)
    told = plan.doubts(["rate_g", "rate_d", "code_weight"])
    assert [text.split()[0] for text in told] == ["rate_g", "rate_d", "code_weight"]
    assert "changes nothing where n_codes is 0" in told[2]
    assert GanConfig().doubts([]) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for made in GENERATORS.values():
            assert made().plan.doubts(["n_steps"]) == []
