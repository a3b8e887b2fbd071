"""The notebooks run, cell after cell, and show what they say."""

import re
import runpy
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[1] / "examples" / "notebooks"


def run(name, capsys):
    """Run the cells of a notebook in this process and give what they print."""
    runpy.run_path(str(NOTEBOOKS / name), run_name="__main__")
    return capsys.readouterr().out


def shares(pattern, text):
    """Give the percentages that the groups of a pattern find."""
    return [float(each) for each in re.search(pattern, text).groups()]


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.py")), ids=lambda p: p.name)
def test_a_notebook_begins_with_a_title_and_has_text_and_code(path):
    header, *cells = re.split(r"^# %%", path.read_text(), flags=re.M)
    assert "py:percent" in header
    assert cells[0].startswith(" [markdown]\n# # ")
    texts = [cell for cell in cells if cell.startswith(" [markdown]")]
    assert 3 <= len(texts) < len(cells)


def test_crowd_votes_are_cleaned_by_whom_to_trust(capsys):
    text = run("crowd_votes.py", capsys)
    pattern = r"majority ([\d.]+)%, Dawid-Skene ([\d.]+)%"
    majority, trusted = shares(pattern, text)
    assert trusted > majority + 2
    ones, sevens = shares(r"says 1: (\d+)%, says 7: (\d+)%", text)
    assert ones > 2 * sevens  # dee means a one


def test_photographs_get_labels_by_rules_and_forty_labels(capsys):
    text = run("photographs.py", capsys)
    n_labeled, n_others, right = shares(
        r"(\d+) of (\d+) others have a label, ([\d.]+)% are right", text
    )
    assert n_others == 260
    assert n_labeled > 150
    assert right > 80  # half by chance


@pytest.mark.slow
def test_generated_images_are_made_and_scored(capsys):
    text = run("generated_images.py", capsys)
    (right,) = shares(r"([\d.]+)% of the labels are right", text)
    assert right > 75
    assert str({str(digit): 10 for digit in range(10)}) in text
    assert re.search(r"fid", text, re.IGNORECASE)
