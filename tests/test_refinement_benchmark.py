"""The benchmark of refinement on a small run: every row, every figure."""

import re

import pytest

from benchmarks import refinement

LFS = """
from lfkit import NearestMean, feature, labeling_function

CLASSES = [str(digit) for digit in range(10)]


@feature(batched=True)
def columns(images):
    return images.mean(dim=(1, 2))


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


@pytest.mark.slow
def test_all_rows_are_there_and_true_labels_are_the_ceiling(lfkit, tmp_path, capsys):
    (tmp_path / "lfs.py").write_text(LFS)
    run = tmp_path / "run"
    done = lfkit(
        *("apply", "digits", "--lfs", tmp_path / "lfs.py", "--seeds-per-class", 10),
        *("--refine", "--stages", "lda,align", "--out", run),
        *("--no-sheet", "--no-baselines", "--json"),
    )
    assert done.code == 0, done.err
    options = [str(run), "--small", "--steps", "60", "--test", "digits"]
    refinement.main([*options, "--stages", "lda,align"])
    printed = capsys.readouterr().out
    titles = re.findall(r"^### (.+)$", printed, re.M)
    assert titles == [*refinement.ROWS.values()]
    figures = re.findall(r"^\| (.+?) \| ([\d.]+)", printed, re.M)
    assert [name for name, _ in figures] == [
        *("votes", "lda", "align", "lda", "align"),
        "network, on the images it learned from",
        "network, on digits",
    ]
    # The pixels and 100 seeds say more than the columns' means; 60 steps are few.
    assert float(figures[4][1]) > float(figures[0][1])
    assert float(figures[5][1]) > 60
