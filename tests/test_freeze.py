"""A frozen run labels as the run did, and runs no code unasked."""

import json
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from assertions import assert_refused

import lfkit as lfkit_package
from lfkit.commands.apply import ApplyOptions, apply
from lfkit.errors import InputError

FUNCTIONS = """
from pathlib import Path

import ink_helpers
import torch
from lfkit import NearestMean, Quantile, feature, labeling_function

CLASSES = [str(digit) for digit in range(10)]
WORDS = Path(__file__).parent / "words of näture.txt"


@feature(batched=True)
def ink(images):
    return ink_helpers.total(images)


def learn(pixels, labels, rng):
    rows = torch.as_tensor(pixels).flatten(1).numpy()
    means = [torch.tensor(rows[labels == c].mean(axis=0)) for c in range(10)]
    return {"means": torch.stack(means).numpy(), "jitter": rng.normal(size=1)}


@feature(fit=learn, batched=True)
def nearest(images, *, means, jitter):
    return ((images.flatten(1)[:, None] - means) ** 2).sum(dim=2) + jitter.float()


@feature(batched=True)
def rows_of_ink(images):
    return images.mean(dim=(1, 3))


@labeling_function(classes=list(range(10)), features=[nearest], batched=True)
def looks_like_its_mean(gaps):
    return gaps.argmin(dim=1)


@labeling_function(
    classes=[1], features=[ink], thresholds={"cut": Quantile(ink, q=0.1)}, batched=True
)
def little_ink_is_one(ink, *, cut):
    return torch.where(ink < cut, 1, -1)


@labeling_function(
    classes=list(range(10)),
    features=[rows_of_ink],
    thresholds={"rule": NearestMean(rows_of_ink)},
    batched=True,
)
def rows_tell(rows, *, rule):
    return rule(rows).argmax(dim=1)


@labeling_function(
    classes=[0, 8], features=[ink], depends_on=["words of näture.txt"], batched=True
)
def much_ink_is_round(ink):
    much = ink > float(WORDS.read_text())
    return much[:, None].expand(-1, 2)


@labeling_function(classes=list(range(10)), features=[nearest], soft=True, batched=True)
def gaps_weigh(gaps):
    return torch.softmax(-gaps, dim=1)
"""
HELPERS = "def total(images):\n    return images.mean(dim=(1, 2, 3))\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with functions, a helper, a file they read, and a run of them."""
    folder = tmp_path_factory.mktemp("a place with späces")
    (folder / "my lfs.py").write_text(FUNCTIONS)
    (folder / "ink_helpers.py").write_text(HELPERS)
    (folder / "words of näture.txt").write_text("0.35")
    asked = {"seeds_per_class": 10, "baselines": False, "sheet": False}
    spec = str(folder / "my lfs.py")
    apply(ApplyOptions("digits", lfs=(spec,), out=folder / "run", **asked))
    faults = json.loads((folder / "run" / "faults.json").read_text())
    assert not faults["functions"]
    return folder


@pytest.fixture
def labeler(place, lfkit, tmp_path):
    """A labeler frozen from the run, in a folder of its own."""
    _forget_imports()  # helpers of other tests have the same name
    done = lfkit("freeze", place / "run", "--out", tmp_path / "läbeler")
    assert done.code == 0, done.err
    return tmp_path / "läbeler"


def _forget_imports():
    for name in [n for n in sys.modules if n == "ink_helpers" or n.startswith("lfs_")]:
        del sys.modules[name]
    # Folders of other tests would be looked into first.
    sys.path[:] = [folder for folder in sys.path if "pytest-of" not in folder]


def _as_in_labels(labels, folder):
    """Compare posteriors with labels.parquet, but for the seeds."""
    stored = pd.read_parquet(folder / "labels.parquet")
    own = ~stored["seed"].to_numpy()
    names = [name for name in stored.columns if name.startswith("p_")]
    given = stored[names].to_numpy()
    assert given.dtype == np.float32
    np.testing.assert_array_equal(labels.proba.astype(np.float32)[own], given[own])
    named = ["" if y < 0 else str(y) for y in labels.labels[own]]
    assert named == stored["label"].fillna("")[own].tolist()


def test_a_frozen_run_says_of_its_images_what_the_run_says(place, labeler, digits):
    loaded = lfkit_package.load_labeler(labeler, trust_code=True)
    found = loaded.label(digits[0])
    _as_in_labels(found.labels, place / "run")
    assert found.votes.allowed.any()
    assert loaded.notes == ()


@pytest.mark.parametrize(
    "aggregator",
    ["majority-vote", "dawid-skene", "label-model", "flying-squid", "seed-weighted"],
)
def test_each_aggregator_is_frozen_as_it_is(place, lfkit, tmp_path, digits, aggregator):
    run = tmp_path / "run"
    shutil.copytree(place / "run", run)
    asked = ["--seeds-per-class", 10, "--no-baselines", "--no-sheet", "--out", run]
    spec = place / "my lfs.py"
    assert not lfkit(
        "apply", "digits", "--lfs", spec, "--with", aggregator, *asked
    ).code
    assert not lfkit("freeze", run, "--out", tmp_path / "labeler").code
    loaded = lfkit_package.load_labeler(tmp_path / "labeler", trust_code=True)
    _as_in_labels(loaded(digits[0]), run)


def test_without_seeds_there_is_no_calibration_and_the_labels_are_the_same(
    lfkit, tmp_path, digits
):
    run, folder = tmp_path / "run", tmp_path / "labeler"
    fixed = "lf_library.digits:two_holes_is_eight"
    other = "lf_library.digits:blobs_tell_digit"
    asked = ["--no-baselines", "--no-sheet", "--out", run]
    assert not lfkit("apply", "digits", "--lfs", fixed, "--lfs", other, *asked).code
    assert not lfkit("freeze", run, "--out", folder).code
    assert "No seed tells" in (folder / "README.md").read_text()
    # Code that came with lfkit needs no trust.
    _as_in_labels(lfkit_package.load_labeler(folder)(digits[0]), run)


def test_it_labels_without_the_run_and_its_sources(place, lfkit, tmp_path, digits):
    home = tmp_path / "home"
    shutil.copytree(place, home)
    _forget_imports()
    spec, run = home / "my lfs.py", home / "run"
    asked = ["--seeds-per-class", 10, "--no-baselines", "--no-sheet", "--out", run]
    assert not lfkit("apply", "digits", "--lfs", spec, *asked).code
    assert not lfkit("freeze", run, "--out", tmp_path / "labeler").code
    before = lfkit_package.load_labeler(tmp_path / "labeler", trust_code=True)
    expected = before(digits[0][:300])
    shutil.rmtree(home)
    (tmp_path / "labeler").rename(tmp_path / "moved")
    files = {p.name for p in (tmp_path / "moved" / "sources").iterdir()}
    assert {"my lfs.py", "ink_helpers.py", "words of näture.txt"} <= files
    _forget_imports()
    again = lfkit_package.load_labeler(tmp_path / "moved", trust_code=True)
    np.testing.assert_array_equal(again(digits[0][:300]).proba, expected.proba)


def test_images_of_another_size_and_colour_are_brought_to_the_runs(labeler, digits):
    loaded = lfkit_package.load_labeler(labeler, trust_code=True)
    large = np.repeat(np.repeat(digits[0][:50], 2, axis=1), 2, axis=2)
    found = loaded(np.repeat(large, 3, axis=3))
    assert (found.labels == loaded(digits[0][:50]).labels).mean() > 0.9
    assert len(loaded(digits[0][:0]).labels) == 0


def test_no_code_runs_unasked(labeler, lfkit, tmp_path):
    source = labeler / "sources" / "my lfs.py"
    with assert_refused(names=["my lfs.py"], allowed=["--trust-code"]):
        lfkit_package.load_labeler(labeler)
    marker = tmp_path / "it ran"
    source.write_text(f"open({str(marker)!r}, 'w')\n")
    for trusted in (False, True):  # its hash is wrong: not even then
        with pytest.raises(InputError):
            lfkit_package.load_labeler(labeler, trust_code=trusted)
    assert not marker.exists()


def test_a_module_of_others_is_not_imported_unasked(
    place, lfkit, tmp_path, monkeypatch
):
    marker = tmp_path / "it ran"
    module = tmp_path / "functions_of_others.py"
    (tmp_path / "ink_helpers.py").write_text(HELPERS)
    (tmp_path / "words of näture.txt").write_text("0.35")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    asked = ["--seeds-per-class", 5, "--no-baselines", "--no-sheet", "--out", "run"]
    module.write_text(FUNCTIONS)
    assert not lfkit("apply", "digits", "--lfs", "functions_of_others", *asked).code
    assert not lfkit("freeze", "run", "--out", "labeler").code
    assert json.loads((tmp_path / "labeler" / "labeler.json").read_text())["specs"] == [
        "functions_of_others"
    ]
    del sys.modules["functions_of_others"]
    module.write_text(f"open({str(marker)!r}, 'w')\n" + FUNCTIONS)
    with assert_refused(names=["functions_of_others"], allowed=["--trust-code"]):
        lfkit_package.load_labeler("labeler")
    assert not marker.exists()
    assert "functions_of_others" not in sys.modules


@pytest.mark.parametrize(
    "name", ["arrays.safetensors", "README.md", "labeler.json", "sources/my lfs.py"]
)
def test_a_changed_or_lost_file_is_refused(labeler, name):
    path = labeler / name
    whole = path.read_bytes()
    place = whole.rindex(b"0") if b"0" in whole else len(whole) // 2
    damaged = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    for content in (damaged, whole[: len(whole) // 2], b""):
        path.write_bytes(content)
        with assert_refused(names=[labeler.name]):
            lfkit_package.load_labeler(labeler, trust_code=True)
    path.unlink()
    with assert_refused(names=[labeler.name]):
        lfkit_package.load_labeler(labeler, trust_code=True)


def test_a_labeler_with_other_helpers_of_the_same_name_is_refused(
    place, labeler, lfkit, tmp_path
):
    home = tmp_path / "home"
    home.mkdir()
    for name in ("my lfs.py", "words of näture.txt"):
        shutil.copy(place / name, home)
    (home / "ink_helpers.py").write_text(HELPERS + "\n\nOTHER = True\n")
    _forget_imports()
    asked = ["--seeds-per-class", 5, "--no-baselines", "--no-sheet"]
    spec, run = home / "my lfs.py", home / "run"
    assert not lfkit("apply", "digits", "--lfs", spec, *asked, "--out", run).code
    assert not lfkit("freeze", run, "--out", tmp_path / "other").code
    lfkit_package.load_labeler(tmp_path / "other", trust_code=True)
    with assert_refused(names=["ink_helpers"]):
        lfkit_package.load_labeler(labeler, trust_code=True)
    _forget_imports()


def test_a_labeler_names_no_file_outside_of_it(labeler, tmp_path):
    from lfkit.runs.reading import read_sealed, sealed

    marker, path = tmp_path / "it ran", tmp_path / "elsewhere.py"
    path.write_text(f"open({str(marker)!r}, 'w')\n")
    for spec in (str(path), "sources/../../elsewhere.py"):
        record = read_sealed(labeler / "labeler.json", "")
        record["specs"] = [spec]
        (labeler / "labeler.json").write_bytes(sealed(record))
        with assert_refused(names=["elsewhere.py"]):
            lfkit_package.load_labeler(labeler, trust_code=True)
    assert not marker.exists()


def test_code_that_has_other_functions_is_named(place, labeler, lfkit):
    # A whole labeler whose code has changed and whose hashes are right.
    from lfkit.runs.reading import read_sealed, sealed

    source = labeler / "sources" / "my lfs.py"
    record = read_sealed(labeler / "labeler.json", "")
    text = source.read_text().replace("little_ink_is_one", "no_ink_is_one")
    source.write_text(text)
    import hashlib

    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    record["files"]["sources/my lfs.py"] = digest
    (labeler / "labeler.json").write_bytes(sealed(record))
    with assert_refused(names=["little_ink_is_one"]):
        lfkit_package.load_labeler(labeler, trust_code=True)


def test_what_cannot_be_frozen_is_refused(place, lfkit, tmp_path, digits):
    done = lfkit("freeze", place / "run", "--out", place)
    assert done.code == 2
    assert str(place) in done.err.replace("\n", "")
    np.save(tmp_path / "votes.npy", np.stack([digits[1]] * 3, axis=1))
    asked = ["--no-baselines", "--no-sheet", "--out", tmp_path / "run"]
    assert not lfkit("apply", "digits", "--votes", tmp_path / "votes.npy", *asked).code
    done = lfkit("freeze", tmp_path / "run", "--out", tmp_path / "labeler")
    assert done.code == 2
    assert "file" in done.err
    assert not (tmp_path / "labeler").exists()


def test_a_refined_run_labels_new_images_nearly_as_it_labeled_its_own(
    place, lfkit, tmp_path, digits
):
    run, folder, data = tmp_path / "run", tmp_path / "labeler", tmp_path / "some.npz"
    np.savez(data, images=digits[0][:400], labels=digits[1][:400])
    asked = ["--seeds-per-class", 10, "--no-baselines", "--no-sheet", "--out", run]
    asked += ["--refine", "--stages", "lda,align,self-training"]
    assert not lfkit("apply", data, "--lfs", place / "my lfs.py", *asked).code
    done = lfkit("freeze", run, "--out", folder, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["agreement"] > 0.95
    loaded = lfkit_package.load_labeler(folder, trust_code=True)
    assert loaded.refinement is not None
    stored = pd.read_parquet(run / "labels.parquet")
    own = ~stored["seed"].to_numpy()
    found = loaded(digits[0][:400])
    same = found.labels.astype(str) == stored["label"].to_numpy()
    assert same[own].mean() > 0.95
    sure = stored["confidence"].to_numpy()[own].mean()
    assert found.proba[own].max(axis=1).mean() == pytest.approx(sure, abs=0.02)


def test_a_run_that_kept_the_surest_labels_keeps_the_surest_of_others(
    place, lfkit, tmp_path, digits
):
    run, folder = tmp_path / "run", tmp_path / "labeler"
    shutil.copytree(place / "run", run)
    _forget_imports()
    asked = ["--seeds-per-class", 10, "--no-baselines", "--no-sheet", "--out", run]
    asked += ["--lfs", place / "my lfs.py", "--target-precision", 0.9]
    assert not lfkit("apply", "digits", *asked).code
    assert not lfkit("freeze", run, "--out", folder).code
    found = lfkit_package.load_labeler(folder, trust_code=True)(digits[0])
    stored = pd.read_parquet(run / "labels.parquet")
    own = ~stored["seed"].to_numpy()
    kept = stored["label"].notna().to_numpy()
    assert 0 < kept[own].mean() < 1
    np.testing.assert_array_equal((found.labels >= 0)[own], kept[own])


NAMES = """
from lfkit import ABSTAIN, labeling_function, metadata

CLASSES = ["day", "night"]


@labeling_function(classes=[0, 1], features=[metadata.file_name])
def its_name_tells(name):
    return 1 if "night" in name else 0 if "day" in name else ABSTAIN

"""


def test_functions_that_read_names_read_those_of_shards(lfkit, tmp_path):
    import tarfile

    from PIL import Image

    (tmp_path / "names.py").write_text(NAMES)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(12):
        pixels = np.full((8, 8), 20 * number, np.uint8)
        name = f"{('day', 'night')[number % 2]} {number}.png"
        Image.fromarray(pixels).save(folder / name)
    asked = ["--no-baselines", "--no-sheet", "--lfs", tmp_path / "names.py"]
    assert not lfkit("apply", folder, *asked, "--out", tmp_path / "run").code
    assert not lfkit("freeze", tmp_path / "run", "--out", tmp_path / "labeler").code
    with tarfile.open(tmp_path / "all.tar", "w") as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.add(path, path.relative_to(folder).as_posix())
    for data in (folder, tmp_path / "all.tar"):
        out = tmp_path / f"of {data.name}"
        asked = ["--labeler", tmp_path / "labeler", "--out", out, "--trust-code"]
        done = lfkit("label", data, *asked, "--votes")
        assert done.code == 0, done.err
        table = pd.read_parquet(out / "part-00000.parquet")
        is_night = table["image_id"].str.contains("night")
        assert (table["vote_its_name_tells"] == is_night).all()
        assert (table["label"] == is_night.map({True: "night", False: "day"})).all()
    np.save(tmp_path / "array.npy", np.zeros((3, 8, 8), np.uint8))
    asked = ["--labeler", tmp_path / "labeler", "--out", tmp_path / "o", "--trust-code"]
    done = lfkit("label", tmp_path / "array.npy", *asked)
    assert done.code == 3
    assert "file_name" in done.out.replace("\n", " ")
