"""The benchmark of generated images runs from start to table."""

import pytest

from benchmarks import usefulness
from lfkit.data.datasets import open_images

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


def keys_of(path):
    return {key.tobytes() for key in open_images(path).keys}


@pytest.mark.slow
def test_draws_are_measured_once_and_tabled(tmp_path, capsys):
    (tmp_path / "lfs.py").write_text(LFS)
    few = ["--data", "digits", "--lfs", str(tmp_path / "lfs.py"), "--stages", "lda"]
    few += ["--images", "200", "--seeds-per-class", "2", "--rare", "8:.02"]
    few += ["--steps", "4", "--learner-steps", "2", "--draws", "2"]
    few += ["--rows", "real;real again;real + generated;real + SMOTE"]
    out = tmp_path / "out"
    usefulness.main([*few, "--out", str(out)])
    table = capsys.readouterr().out
    cells = [[cell.strip() for cell in line.split("|")] for line in table.splitlines()]
    rows = {row[2]: row for row in cells[4:8]}
    assert [*rows] == ["real", "real again", "real + generated", "real + SMOTE"]
    assert "200 images, 2 seeds per class, rare 8:.02" in rows["real"][1]
    assert "±" in rows["real + generated"][4]
    kept = (out / "usefulness.jsonl").read_bytes()
    usefulness.main([*few, "--out", str(out)])
    assert (out / "usefulness.jsonl").read_bytes() == kept
    assert capsys.readouterr().out == table
    seen = [open_images(path) for path in sorted(out.glob("*/*/images.npz"))]
    assert [(source.labels == 8).sum() for source in seen] == [4, 4]
    assert (seen[0].keys != seen[1].keys).any()
    (test,) = {path.read_bytes() for path in out.glob("*/*/test.npz")}
    held_out = {
        key.tobytes() for key in open_images(next(out.glob("*/*/test.npz"))).keys
    }
    assert test
    for source in seen:
        assert not held_out & {key.tobytes() for key in source.keys}


def test_a_difference_is_of_draws_and_its_error_over_them():
    def draw(number, real, both):
        rows = {"real": real, "real again": 0.1, "real + generated": both}
        return {
            "task": ["digits", "few steps", number],
            "rows": {
                name: {"accuracy": [at, at], "cross_entropy": [1], "by_class": [[0.5]]}
                for name, at in rows.items()
            },
            "labels_right": 0.9,
            "rare": None,
            "broken": None,
        }

    table = usefulness.table([draw(0, 0.5, 0.58), draw(1, 0.7, 0.82)])
    # Differences of .08 and .12: .10, and .0283 / √2.
    assert "+10.0 ± 2.0" in table
    assert "0.600 (0.500-0.700)" in table
