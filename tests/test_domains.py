"""Other domains by the command line: a generator tuned, and pairs of two domains."""

import csv
import io
import json
import shutil
import tarfile
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from assertions import assert_exit, assert_refused
from PIL import Image
from safetensors.numpy import load_file
from test_generators import LFS, make, second_of
from test_generators import toys as toy_arrays
from test_train_command import content

from benchmarks.toy_photos import HALVES, LAST_COLUMN, TOY, write_photos
from lfkit import ABSTAIN, Votes, labeling_function
from lfkit.generators.adp.structure import same_structure
from lfkit.generators.training.checkpoints import CheckpointFolder

DARK_LEFT = """
@labeling_function(features=[left_minus_right], classes=[1], batched=True)
def dark_left_is_right(values):
    return (values < -0.1).long() * 2 - 1
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A gray run of 8x8 with a trained generator, and a color one of 10x10."""
    from lfkit.commands.apply import apply
    from lfkit.commands.train import train
    from lfkit.commands.train_options import TrainOptions
    from lfkit.runs.apply_options import ApplyOptions

    folder = tmp_path_factory.mktemp("domains")
    for name, kind, other in (
        ("source", {}, DARK_LEFT),
        ("target", {"side": 10, "colored": True}, LAST_COLUMN),
    ):
        write_photos(folder / f"{name}-photos", **kind)
        lfs = folder / f"{name}.py"
        lfs.write_text(HALVES + other)
        apply(
            ApplyOptions(
                data=str(folder / f"{name}-photos"), lfs=(str(lfs),), out=folder / name
            )
        )
    settings = (*TOY[1::2], "trust=true", "lf_every=2")
    train(TrainOptions(folder / "source", steps=10, settings=settings))
    return folder


@pytest.fixture
def domains(runs, tmp_path):
    shutil.copytree(runs, tmp_path / "domains")
    return tmp_path / "domains"


def tune(lfkit, folder, *more, target="target"):
    source = folder / "source"
    return lfkit("train", folder / target, "--with", "adp", "--from", source,
                 "--tune", "image", "--steps", 20, *more)  # fmt: skip


def test_labeled_images_of_a_domain_without_labels(lfkit, domains, tmp_path):
    # Nothing of the target run but its images is read.
    done = tune(lfkit, domains)
    assert done.code == 0, done.err
    kept = domains / "target" / "models" / "adp-tuned"
    assert "adp-tuned is trained, 20 steps." in done.out
    assert (kept / "grid.png").exists()
    done = lfkit("generate", domains / "target", "-n", 40, "--balanced", "--out",
                 tmp_path / "images")  # fmt: skip
    assert done.code == 0, done.err
    table = (tmp_path / "images" / "metadata.csv").read_text().splitlines()
    rows = list(csv.DictReader(table))
    assert {row["label"] for row in rows} == {"left", "right"}
    # How often the functions are right on such images nobody has measured.
    assert {row["confidence"] for row in rows} == {""}
    pixels = np.asarray(Image.open(tmp_path / "images" / rows[0]["file_name"]))
    assert pixels.shape == (10, 10, 3)
    before = load_file(domains / "source" / "models" / "adp" / "weights.safetensors")
    after = load_file(kept / "weights.safetensors")
    frozen = [
        name for name in after if name.startswith(("maker.images.common", "trust."))
    ]
    assert frozen
    for name in frozen:
        np.testing.assert_array_equal(after[name], before[name])
    moved = "maker.images.first.0.weight"
    assert after[moved].shape != before[moved].shape
    trust = json.loads((kept / "trust.json").read_text())
    assert len(trust["names"]) == len(trust["theta"]) == 2
    # What it was tuned from is kept, and shown.
    source = json.loads((kept / "config.json").read_text())["source"]
    assert source == str(domains / "source")
    assert lfkit("report", domains / "target").code == 0
    assert source in (domains / "target" / "report.html").read_text()


def test_stopped_tuning_ends_in_the_same_bits(lfkit, domains, monkeypatch):
    monkeypatch.setattr(CheckpointFolder.__init__, "__defaults__", (10,))
    assert tune(lfkit, domains).code == 0
    whole = content(domains / "target" / "models" / "adp-tuned")
    shutil.rmtree(domains / "target" / "models")
    save = CheckpointFolder.save

    def stop(self, arrays):
        save(self, arrays)
        if int(arrays["step"]) == 10:
            raise KeyboardInterrupt

    monkeypatch.setattr(CheckpointFolder, "save", stop)
    assert tune(lfkit, domains).code == 130
    monkeypatch.setattr(CheckpointFolder, "save", save)
    done = tune(lfkit, domains, "--resume")
    assert done.code == 0, done.err
    assert content(domains / "target" / "models" / "adp-tuned") == whole


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--tune", "image"], "--from"),
        (["--from", "SOURCE"], "--tune"),
        (["--from", "SOURCE", "--tune", "labels"], "image"),
        (["--from", "SOURCE", "--tune", "image", "--set", "z_dim=9"], "z_dim"),
        (["--from", "SOURCE", "--tune", "image", "--set", "hold=-1"], "hold"),
        (["--from", "SOURCE", "--tune", "image", "--with", "jgan"], "jgan"),
        (["--from", "TARGET", "--tune", "image"], "has no trained 'adp'"),
    ],
)
def test_what_does_not_fit_is_refused(lfkit, runs, options, named):
    places = {"SOURCE": runs / "source", "TARGET": runs / "target"}
    done = lfkit("train", runs / "target", *(places.get(o, o) for o in options))
    assert done.code == 2
    assert named in done.err
    assert "Traceback" not in done.err


def test_stopped_tuning_is_named_with_its_command(lfkit, domains):
    begun = domains / "target" / "models" / "adp-tuned"
    begun.mkdir(parents=True)
    (begun / "settings.json").write_text("{}")
    done = lfkit("generate", domains / "target", "-n", 4, "--with", "adp-tuned",
                 "--out", domains / "images")  # fmt: skip
    assert_exit(done, 2, names=["adp-tuned", "not ended"], allowed="--tune image")


FEW = {"n_steps": 3, "reader_steps": 2}


def adp(network="dcgan", **settings):
    images, truth, votes = toy_arrays()
    plan = {**FEW, "network": network, "unconditional_fraction": 0.0}
    made = make("adp", **plan).set_params(**settings)
    return images, votes, made, {"proba": np.eye(2)[truth], "lfs": LFS}


def test_a_network_without_a_common_block_is_refused_before_training():
    with assert_refused(names=["r3gan", "common"], allowed="dcgan"):
        make("adp-multi", network="r3gan").check(has_functions=True)
    images, votes, source, given = adp("r3gan", trust=False)
    source.fit(images, votes, **given)
    with assert_refused(names=["r3gan", "common"], allowed="dcgan"):
        adp("r3gan", trust=False)[2].check_source(source)


def test_tuning_leaves_its_source_as_it_was():
    images, votes, source, given = adp()
    source.fit(images, votes, **given)
    maker = source.gan_.maker.train()
    before = source.arrays()
    tuned = adp()[2].tune(images, source)
    assert maker.training
    assert all(weight.requires_grad for weight in maker.parameters())
    for name, value in source.arrays().items():
        np.testing.assert_array_equal(value, before[name])
    # Its weight of Θ and Φ is the source's; votes of others they cannot read.
    others = Votes(votes.hard[:, :1], ["another"], 2)
    for share in (0.0, 0.5):
        tuned.lf_weights_.mixture.fill_(share)
        with assert_refused(values="1 functions"):
            tuned.relabel(lambda: images, others, given["proba"])
        labels, reason = tuned.relabel(lambda: images, votes, given["proba"])
        assert np.array_equal(labels, given["proba"]) == (share == 0)
        assert ("unchanged" in reason) == (share == 0)


def test_steps_of_tuning_from_a_source_with_a_surrogate_are_timed():
    images, votes, source, given = adp(surrogate=True)
    source.fit(images, votes, **given)
    nobody = Votes(np.zeros((len(images), 0), np.int16), [], 2)
    tuned = adp(surrogate=True)[2]
    seconds = tuned.seconds_per_step(
        images, nobody, proba=np.zeros((64, 2)), source=source
    )
    assert min(seconds) > 0


def test_functions_that_fail_in_either_domain_are_counted():
    @labeling_function(classes=[0], batched=True)
    def raises(images):
        raise RuntimeError("no such thing")

    images, truth, votes = toy_arrays()
    made = make("adp-multi", **FEW, unconditional_fraction=0.0).set_params(lf_every=1)
    second = second_of(made)["second"]
    hard = np.column_stack([second.votes.hard, np.full(len(second.images), ABSTAIN)])
    more = Votes(hard, [*votes.names, "raises"], 2)
    second = replace(second, votes=more, lfs=(*LFS, raises))
    made.fit(images, votes, proba=np.eye(2)[truth], lfs=LFS, second=second)
    assert [*made.faults()] == ["raises"]
    once = made.faults()["raises"][0]
    made._faults = {"raises": (3, "first")}
    assert made.faults()["raises"] == (once + 3, "first")


def test_runs_of_other_classes_are_refused(lfkit, domains):
    path = domains / "target.py"
    other = path.read_text().replace('("left", "right")', '("right", "left")')
    (domains / "others.py").write_text(other)
    lfkit("apply", domains / "target-photos", "--lfs", domains / "others.py", "--out",
          domains / "other")  # fmt: skip
    done = tune(lfkit, domains, target="other")
    assert done.code == 2
    assert "right, left" in done.err


def test_pairs_of_two_domains(lfkit, domains, tmp_path):
    both = domains / "source", domains / "target"
    done = lfkit("train", *both, "--with", "adp-multi", "--steps", 10, *TOY, "--set",
                 "unconditional_fraction=0", "--set", "trust=false")  # fmt: skip
    assert done.code == 0, done.err
    assert "bright_last_column_is_right take one image" in " ".join(done.err.split())
    with Image.open(domains / "source" / "models" / "adp-multi" / "grid.png") as grid:
        assert grid.size[1] > 4 * 56  # two rows for each class
    assert not (domains / "target" / "models").exists()
    shared = ["-n", 12, "--with", "adp-multi"]
    for form in ("folder", "npz", "parquet", "webdataset"):
        done = lfkit("generate", both[0], *shared, "--format", form, "--out",
                     tmp_path / form)  # fmt: skip
        assert done.code == 0, done.err
    with np.load(tmp_path / "npz" / "generated.npz") as arrays:
        assert arrays["images"].shape == (12, 8, 8, 1)
        second = arrays["images_2"]
    assert second.shape == (12, 10, 10, 3)
    assert [path.name for path in (tmp_path / "npz").iterdir() if path.suffix] == [
        "generated.npz",
        "manifest.json",
    ]
    table = (tmp_path / "folder" / "metadata.csv").read_text().splitlines()
    row = list(csv.DictReader(table))[7]
    assert (row["file_name"], row["second_file_name"]) == (
        "images/0000007.png",
        "images_2/0000007.png",
    )
    pixels = np.asarray(Image.open(tmp_path / "folder" / row["second_file_name"]))
    np.testing.assert_array_equal(pixels, second[7])
    column = pq.read_table(tmp_path / "parquet" / "generated.parquet")["image_2"]
    shown = Image.open(io.BytesIO(column[7].as_py()["bytes"]))
    np.testing.assert_array_equal(np.asarray(shown), second[7])
    with tarfile.open(tmp_path / "webdataset" / "shard-000000.tar") as shard:
        shown = Image.open(shard.extractfile("0000007.2.png"))
        np.testing.assert_array_equal(np.asarray(shown), second[7])


def test_images_of_the_second_domain_keep_the_structure_of_the_first():
    images, truth, votes = toy_arrays()
    kept = []
    for hold in (0.0, 20.0):
        made = make("adp-multi", rate_g=1e-3, unconditional_fraction=0.0, average=0.8)
        made.set_params(hold=hold, trust=False)
        second = second_of(made)["second"]
        made.fit(images, votes, proba=np.eye(2)[truth], second=second)
        found = made.sample(64)
        pair = (torch.from_numpy(each).permute(0, 3, 1, 2) / 255
                for each in (found.images, found.images_2))  # fmt: skip
        kept.append(float(same_structure(*pair).mean()))
    assert kept[1] > kept[0] + 0.1


def test_structures_cannot_be_held_where_other_images_are_kept_of_each_domain():
    with assert_refused(names=["draw_factor", "hold"]):
        make("adp-multi", draw_factor=2).check(has_functions=True)
    make("adp-multi", draw_factor=2).set_params(hold=0.0).check(has_functions=True)


@pytest.mark.parametrize(
    ("runs_given", "name", "named"),
    [(["source"], "adp-multi", "two runs"), (["source", "target"], "adp", "target")],
)
def test_as_many_runs_as_domains(lfkit, runs, runs_given, name, named):
    done = lfkit("train", *(runs / run for run in runs_given), "--with", name)
    assert done.code == 2
    assert named in done.err
