"""The examples run, say what their stories say, and fit on a page or two."""

import re
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
MOST_LINES = 80


def run(name, capsys):
    """Run an example in this process and give what it prints."""
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capsys.readouterr().out


def shares(pattern, text):
    """Give the percentages of the one line of the text that the pattern matches."""
    (found,) = re.findall(pattern, text, re.MULTILINE)
    return [float(each) / 100 for each in re.findall(r"([\d.]+)%", found)]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda p: p.name)
def test_an_example_tells_its_story_first_and_is_short(path):
    lines = path.read_text().split("\n")
    assert len(lines) - 1 <= MOST_LINES
    assert lines[0].startswith('"""')
    story = path.read_text().split('"""')[1].strip().split("\n")
    assert 3 <= len(story) <= 7


def test_there_are_four_examples():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {
        "heuristic",
        "cnn_threshold",
        "template",
        "tune_thresholds",
    }


def test_a_rule_that_was_doubted_errs_less(capsys):
    text = run("heuristic.py", capsys)
    assert "vote 0" in text  # on an image of a zero
    summary = {
        line.split()[0]: line.split() for line in text.split("\n") if "[0]" in line
    }
    naive, doubted = (
        [float(number) for number in summary[name][3:]]
        for name in ("dark_middle_is_zero", "ring_is_zero")
    )
    coverage, accuracy = doubted[0], doubted[-1]
    assert accuracy > naive[-1] + 0.02
    assert accuracy > 0.95
    assert coverage > 0.05
    (recall,) = shares(r"^ring_is_zero: .*", text)
    assert recall > 0.6


def test_the_direction_of_a_networks_features_matters(capsys):
    text = run("cnn_threshold.py", capsys)
    (by_norm,) = shares(r"^norm_is_nearest: .*", text)
    (by_mean,) = shares(r"^mean_is_nearest: .*", text)
    assert by_mean > 0.9
    assert 0.1 < by_norm < 0.4
    n_by_norm = int(re.search(r"^norms: (\d+) of 45 pairs", text, re.MULTILINE)[1])
    n_by_vector = int(re.search(r"^vectors: (\d+) of 45 pairs", text, re.MULTILINE)[1])
    assert n_by_norm < 20
    assert n_by_vector > 40


def test_a_drawn_template_finds_fours(capsys):
    text = run("template.py", capsys)
    cut = float(re.search(r"^fitted cut: ([\d.]+)$", text, re.MULTILINE)[1])
    assert 0.5 < cut < 0.9
    foretold, _ = shares(r"^seeds, out of fold: .*", text)
    precision, recall = shares(r"^other digits: .*", text)
    assert precision > 0.85
    assert recall > 0.4
    assert abs(foretold - precision) < 0.15


def test_tuned_thresholds_trade_coverage_for_accuracy(capsys):
    text = run("tune_thresholds.py", capsys)
    names = ["false alarms 5 %", "purest seeds", "seven or not"]
    claims = {name: shares(rf"^{name}(.*)", text) for name in names}
    for on_seeds, out_of_fold, others, _ in claims.values():
        assert on_seeds >= out_of_fold
        assert abs(out_of_fold - others) < 0.15
    # The purest cut speaks less often, and is more often right.
    assert claims["purest seeds"][2] > claims["false alarms 5 %"][2] + 0.05
    assert claims["purest seeds"][3] < claims["false alarms 5 %"][3]
    assert claims["seven or not"][2] > 0.9
    # On all seeds but its own, every figure is nearer to the truth.
    silent = [shares(rf"^silent {share}%(.*)", text) for share in (0, 20, 40, 60)]
    on_seeds, out_of_fold, others, covers = map(list, zip(*silent, strict=True))
    assert others == sorted(others)
    assert covers == sorted(covers, reverse=True)
    assert covers[0] == 1
    assert sum(on_seeds) > sum(others) + 0.1
    assert abs(sum(out_of_fold) - sum(others)) < 0.1
