"""`lfkit export --classifier`: a network that other programs run."""

import json

import numpy as np
import pytest

FUNCTIONS = """
from lfkit import NearestMean, feature, labeling_function

CLASSES = [f"digit {d}" for d in range(10)]


@feature(batched=True)
def pixels(images):
    return images.flatten(1)


@labeling_function(
    classes=list(range(10)),
    features=[pixels],
    thresholds={"rule": NearestMean(pixels)},
    batched=True,
)
def is_like_its_mean(values, *, rule):
    return rule(values).argmax(dim=1)
"""


@pytest.fixture
def run(lfkit, tmp_path, digits):
    """A run on 400 digits, one of which is no image."""
    images, labels = digits
    np.savez(tmp_path / "some.npz", images=images[:400])
    rows = "".join(f"{row},digit {labels[row]}\n" for row in range(0, 400, 2))
    (tmp_path / "labels.csv").write_text("image_id,label\n" + rows)
    (tmp_path / "rules.py").write_text(FUNCTIONS)
    asked = ["--seed-labels", tmp_path / "labels.csv", "--no-baselines", "--no-sheet"]
    asked += ["--lfs", tmp_path / "rules.py", "--out", tmp_path / "run"]
    done = lfkit("apply", tmp_path / "some.npz", *asked)
    assert done.code == 0, done.err
    return tmp_path / "run"


def test_the_file_labels_new_images_in_any_number(lfkit, run, tmp_path, digits):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    path = tmp_path / "a name with späces.onnx"
    done = lfkit(
        *("export", run, "--classifier", path, "--classifier-steps", 200, "--json")
    )
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["what"], told["images"], told["classes"]) == ("classifier", 400, 10)
    session = onnxruntime.InferenceSession(str(path))
    names = session.get_modelmeta().custom_metadata_map["class_names"]
    assert json.loads(names) == [f"digit {d}" for d in range(10)]
    images, labels = digits
    (proba,) = session.run(None, {"images": images[400:]})
    assert proba.shape == (1397, 10)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
    assert (proba.argmax(axis=1) == labels[400:]).mean() > 0.75
    (one,) = session.run(None, {"images": images[400:401]})
    np.testing.assert_allclose(one[0], proba[0], atol=1e-5)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--classifier", "network.txt"], ".onnx"),
        (["--classifier", "network.onnx", "--out", "votes.npz"], "--out"),
        ([], "--classifier"),
        (["--classifier", "network.onnx", "--classifier-steps", 0], "0"),
    ],
)
def test_what_cannot_be_exported_is_refused(lfkit, run, monkeypatch, more, said):
    monkeypatch.chdir(run.parent)
    done = lfkit("export", "run", *more)
    assert done.code == 2
    assert said in done.err
    assert not (run.parent / "network.onnx").exists()
