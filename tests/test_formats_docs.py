"""Every command and snippet of docs/formats.md runs, in its order."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

PAGE = (Path(__file__).parents[1] / "docs" / "formats.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
RULES = """
from lfkit import labeling_function

CLASSES = ["0", "1"]


@labeling_function(classes=[0, 1])
def hole_in_the_middle_is_zero(image):
    return 0 if image[24:40, 24:40].mean() < 100 else 1
"""
N, WRONG = 80, (5, 17)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """80 photos of zeros and ones, some of them again as a test set, and rules."""
    digits = load_digits(n_class=2)
    images = np.round(digits.images[:N] * (255 / 16)).astype(np.uint8)
    for name, rows in (("photos", range(N)), ("other-photos", range(0, N, 8))):
        (tmp_path / name).mkdir()
        for row in rows:
            Image.fromarray(images[row]).save(tmp_path / name / f"{row:03d}.png")
    (tmp_path / "my_rules.py").write_text(RULES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def people_label(folder, truth):
    """Turn exported tasks into what Label Studio exports when two people are done."""
    tasks = json.loads((folder / "tasks.json").read_text())
    for row, task in enumerate(tasks):
        label = 1 - truth[row] if row in WRONG else truth[row]
        result = [{"from_name": "label", "value": {"choices": [str(label)]}}]
        task["annotations"] = [
            {"completed_by": who, "result": result} for who in (1, 2)
        ]
    tasks[-1]["annotations"] = []
    (folder / "project.json").write_text(json.dumps(tasks))


def run_commands(lfkit, text):
    said = ""
    for line in text.splitlines():
        program, *arguments = shlex.split(line.removeprefix("$ "))
        assert program == "lfkit"
        more = ["--no-baselines", "--no-sheet"] if arguments[0] == "apply" else []
        done = lfkit(*arguments, *more)
        assert done.code == 0, f"{line}\n{done.err}"
        said += " ".join(done.out.split())
    return said


def test_every_command_and_snippet_runs(lfkit, folder):
    truth = load_digits(n_class=2).target[:N].tolist()
    said, not_run, names = "", [], {}
    for kind, text in BLOCKS:
        if kind == "console":
            said += run_commands(lfkit, text)
            if "tasks.json" in text:
                people_label(folder, truth)
        else:
            try:
                exec(text, names)
            except ModuleNotFoundError as missing:
                if missing.name != "cleanlab":
                    raise
                not_run.append(missing.name)
    assert "80 images, 80 of them labeled" in said
    assert "annotator_1" in said
    assert "10, such as" in said  # near-duplicates in the test set
    if not_run:
        pytest.skip(f"all but the snippets that need {', '.join(not_run)} have run")
    assert set(WRONG) <= set(names["again"])
