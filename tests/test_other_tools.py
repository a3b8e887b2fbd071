"""Examples with timm, Lightning and FiftyOne: skipped where these are not installed."""

import json
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from lfkit.commands.apply import apply
from lfkit.runs.apply_options import ApplyOptions

EXAMPLES = Path(__file__).parents[1] / "examples" / "other_tools"
MOST_LINES = 40
RULES = """
from lfkit import ABSTAIN, labeling_function

CLASSES = ["0", "1"]


@labeling_function(classes=[0])
def hole_is_zero(image):
    return 0 if image[3:5, 3:5].mean() < 100 else ABSTAIN


@labeling_function(classes=[1])
def ink_is_one(image):
    return 1 if image[3:5, 3:5].mean() >= 120 else ABSTAIN
"""
others_warn = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tools")
    images = np.round(load_digits(n_class=2).images * (255 / 16)).astype(np.uint8)
    np.savez(folder / "digits.npz", images=images)
    (folder / "rules.py").write_text(RULES)
    lfs = (str(folder / "rules.py"),)
    data, out = str(folder / "digits.npz"), folder / "run"
    apply(ApplyOptions(data=data, lfs=lfs, out=out, baselines=False, sheet=False))
    return out


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda p: p.name)
def test_an_example_fits_on_a_page(path):
    assert len(path.read_text().splitlines()) <= MOST_LINES


@others_warn
@pytest.mark.parametrize(
    ("name", "needs"), [("timm_network", "timm"), ("lightning_module", "lightning")]
)
def test_a_network_learns_the_labels_of_a_run(run, monkeypatch, capsys, name, needs):
    pytest.importorskip(needs)
    import torch

    torch.manual_seed(0)
    monkeypatch.setattr(sys, "argv", [name, str(run)])
    monkeypatch.chdir(run.parent)
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    (share,) = re.findall(r"run says on ([\d.]+)%", capsys.readouterr().out)
    assert float(share) > 90  # 50 by chance


def exported(lfkit, run, out):
    done = lfkit("export", run, "--as", "fiftyone", "--out", out)
    assert done.code == 0, done.err
    return json.loads((out / "labels.json").read_text())


@others_warn
def test_fiftyone_reads_the_labels_and_attributes(lfkit, run, tmp_path):
    importers = pytest.importorskip("fiftyone.utils.data.importers")
    wanted = exported(lfkit, run, tmp_path / "fo")
    importer = importers.FiftyOneImageClassificationDatasetImporter(
        dataset_dir=str(tmp_path / "fo"), data_path="data.json"
    )
    with importer:
        found = {Path(path).stem: label for path, _, label in importer}
        assert importer.get_dataset_info()["classes"] == ["0", "1"]
    assert found.keys() == wanted["labels"].keys()
    assert len(found) == 360
    for key, told in wanted["labels"].items():
        if told is None:
            assert found[key] is None
            continue
        assert found[key].label == told["label"]
        assert found[key].confidence == told["confidence"]
        assert found[key]["votes"] == told["attributes"]["votes"]


@others_warn
def test_fiftyone_gets_a_field_for_each_function(lfkit, run, tmp_path):
    pytest.importorskip("fiftyone.core")
    wanted = exported(lfkit, run, tmp_path / "fo")["labels"]
    example = runpy.run_path(str(EXAMPLES / "fiftyone_votes.py"))
    samples = {Path(s.filepath).stem: s for s in example["samples_of"](tmp_path / "fo")}
    assert samples.keys() == wanted.keys()
    for key, sample in samples.items():
        assert Path(sample.filepath).is_file()
        votes = wanted[key]["attributes"]["votes"] if wanted[key] else {}
        if wanted[key]:
            assert sample["image_id"] == wanted[key]["attributes"]["image_id"]
            assert ("seed" in sample.tags) == wanted[key]["attributes"]["seed"]
        for function in ("hole_is_zero", "ink_is_one"):
            has = sample.has_field(function)
            assert has == (function in votes)
            assert not has or sample[function].label == votes[function]


def test_the_layout_is_that_of_fiftyones_own_exporter(lfkit, run, tmp_path):
    """As FiftyOneImageClassificationDatasetExporter 1.22 writes it."""
    found = exported(lfkit, run, tmp_path / "fo")
    assert found.keys() == {"classes", "labels"}
    labeled = [told for told in found["labels"].values() if told is not None]
    assert len(labeled) < len(found["labels"])  # null where there is no label
    assert all(told.keys() == {"label", "confidence", "attributes"} for told in labeled)
