"""The contract of a metric, for each of the table."""

import inspect
import json

import numpy as np
import pytest

from lfkit.metrics import METRICS, ImageSet, MetricContext
from lfkit.metrics.extractors import Extractor
from lfkit.runs.json_text import to_json

every_metric = pytest.mark.parametrize("name", METRICS)


class Columns(Extractor):
    """The means of an image's columns, and two classes: light left, light right."""

    name, width, n_classes, checksum = "columns", 8, 2, "0123456789abcdef"

    def __call__(self, pixels):
        rows = pixels.mean(axis=(1, 3)).astype(np.float32) / 255  # (b, 8)
        return rows, judge(pixels).astype(np.float32)


def judge(pixels):
    left = pixels[:, :, :4].mean(axis=(1, 2, 3)) > pixels[:, :, 4:].mean(axis=(1, 2, 3))
    return np.where(left[:, None], (0.9, 0.1), (0.1, 0.9))


def images(n, seed, name):
    """Images whose left (0) or right half (1) is lighter."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    pixels = rng.integers(0, 100, (n, 8, 8, 1))
    pixels[:, :, :4] += 150 * (labels == 0)[:, None, None, None]
    pixels[:, :, 4:] += 150 * (labels == 1)[:, None, None, None]
    return ImageSet(pixels.astype(np.uint8), np.eye(2)[labels], name=name)


MADE, REAL, TEST = (images(40, seed, f"set {seed}") for seed in range(3))


def metric_of(name):
    metric = METRICS[name]
    few = {"n_steps": 3, "n_trainings": 2}
    known = inspect.signature(metric).parameters
    return metric(**{key: value for key, value in few.items() if key in known})


def context():
    return MetricContext(Columns(), judge=judge, judge_name="judge@1", test=TEST)


@every_metric
def test_a_metric_says_what_it_is_and_what_it_lacks(name):
    assert METRICS[name].name == name
    assert inspect.getdoc(METRICS[name]).split("\n")[0].endswith((".", ":"))
    bare = ImageSet(MADE.source, name="bare")
    missing = metric_of(name).why_not(bare, None, MetricContext())
    for need in METRICS[name].needs:
        assert need in missing


@every_metric
def test_scores_have_a_protocol_repeat_and_fit_into_json(name):
    if name == "oversampling":
        pytest.importorskip("imblearn")
    before = MADE.pixels(np.arange(40)).copy()
    assert metric_of(name).why_not(MADE, REAL, context()) is None
    scores = [metric_of(name).score(MADE, REAL, context()) for _ in range(2)]
    assert scores[0]
    assert to_json([s.to_dict() for s in scores[0]]) == to_json(
        [s.to_dict() for s in scores[1]]
    )
    for score in scores[0]:
        assert np.isfinite(score.value) or score.note
        assert score.better in ("higher", "lower", "")
        assert str(score.protocol)
        assert json.loads(to_json(score.to_dict()))["title"] == score.title
    np.testing.assert_array_equal(MADE.pixels(np.arange(40)), before)
