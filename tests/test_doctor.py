"""The training doctor: what it says, and when it stops."""

import json

import numpy as np
import pytest

from lfkit import Votes
from lfkit.errors import TrainingError
from lfkit.generators.training.monitor import TrainingMonitor

FINE = {
    "real_score": 0.6,
    "fake_score": 0.4,
    "real_spread": 0.3,
    "made_spread": 0.28,
    "largest_share_by_vote": 0.2,
    "real_label_peak": 1.0,
    "made_label_peak": 1.0,
    "labels_only_accuracy": 0.51,
    "theta_perplexity": 9.0,
}
NAMES = tuple("abcdefghij")
VOTES = Votes(np.arange(500)[:, None] % 10 + np.zeros(10, int), NAMES, 10)


def told(tmp_path, **figures):
    said = []
    doctor = TrainingMonitor(tmp_path, NAMES, 2000, said.append)
    doctor.check_data(VOTES, np.eye(10)[VOTES.hard[:, 0]])
    for step in range(10, 1010, 10):
        doctor.note(step, FINE | figures)
    return said


def test_healthy_training_is_left_alone(tmp_path):
    assert told(tmp_path) == []
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert len(lines) == 100
    assert json.loads(lines[-1])["step"] == 1000
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("figures", "sentence"),
    [
        ({"real_score": 0.999, "fake_score": 0.001}, "tells every generated image"),
        ({"largest_share_by_vote": 0.4}, "give 40% of the generated images one class"),
        ({"made_label_peak": 0.6}, "not equally sure (1.00 and 0.60)"),
        ({"labels_only_accuracy": 0.8}, "labels alone tell real pairs from generated"),
        ({"surrogate_agrees_on_made": 0.4}, "foresees 40% of the functions' votes"),
        ({"theta_perplexity": 1.2}, "has collapsed onto 1.2 of 10 functions"),
    ],
)
def test_what_goes_wrong_is_said_once(tmp_path, figures, sentence):
    said = told(tmp_path, **figures)
    assert len(said) == 1
    assert sentence in said[0]


def test_collapse_stops_the_training(tmp_path):
    with pytest.raises(
        TrainingError, match=r"collapsed by step 500: .* nearly all alike"
    ):
        told(tmp_path, made_spread=0.01)


def test_first_look_names_classes_and_silence(tmp_path):
    said = []
    doctor = TrainingMonitor(tmp_path, ("cat", "dog", "cow"), 100, said.append)
    hard = np.full((100, 2), -1)
    hard[:30, 0] = 0
    proba = np.zeros((100, 3))
    proba[:30, 0], proba[30:35, 1] = 1, 1
    doctor.check_data(Votes(hard, ["f", "g"], 3), proba)
    assert "no image is labeled cow: it will not be generated" in said[0]
    assert "few images are labeled dog (5)" in said[1]
    assert "no function votes on 70% of the images" in said[2]


def test_functions_that_fail_on_generated_images_are_named(tmp_path):
    said = []
    doctor = TrainingMonitor(tmp_path, NAMES, 100, said.append)
    doctor.check_failures({f"f{j}": (3, "raised ValueError: no") for j in range(7)})
    assert len(said) == 6
    assert said[0] == (
        "f0 raised ValueError: no (on 3 generated images): it abstained there."
    )
    assert said[-1] == "2 more functions failed on generated images."


def test_lines_after_a_rollback_are_taken_back(tmp_path):
    doctor = TrainingMonitor(tmp_path, NAMES, 100)
    for step in (10, 20, 30):
        doctor.note(step, FINE)
    with doctor.path.open("a") as file:
        file.write('{"step": 4')  # a killed run's last line
    doctor.rewind(20)
    doctor.note(30, FINE)
    steps = [json.loads(line)["step"] for line in doctor.path.read_text().splitlines()]
    assert steps == [10, 20, 30]
