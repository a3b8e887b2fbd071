"""`LabeledImages` gives a run's images and labels to a `DataLoader` of torch."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import lfkit as lfkit_package
from lfkit.errors import InputError

LFS = """
from lfkit import ABSTAIN, labeling_function

CLASSES = ["dark", "bright"]

@labeling_function(classes=[0, 1])
def brightness(image):
    mean = image.mean()
    return 0 if mean < 100 else 1 if mean > 150 else ABSTAIN

@labeling_function(classes=[1])
def very_bright(image):
    return 1 if image.mean() > 200 else ABSTAIN
"""
LEVELS = [10, 240, 30, 120, 180, 60, 220, 130]


@pytest.fixture
def run(lfkit, tmp_path, monkeypatch):
    """A run on eight gray files, two without votes, and one that is no image."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "my photos"
    folder.mkdir()
    for number, level in enumerate(LEVELS):
        pixels = np.full((6, 5), level, np.uint8)
        pixels[0, 0] = 255
        Image.fromarray(pixels).save(folder / f"{number} ä.png")
    (folder / "9 broken.png").write_bytes(b"no image")
    (tmp_path / "lfs.py").write_text(LFS)
    done = lfkit(
        "apply", "my photos", "--lfs", "lfs.py", "--no-baselines", "--no-sheet",
        "--with", "majority-vote", "--out", "run",
    )  # fmt: skip
    assert done.code == 0, done.err
    return tmp_path / "run"


def test_labeled_images_come_with_their_probabilities_and_weights(run):
    data = lfkit_package.LabeledImages("run")
    labels = [0, 1, 0, 1, 0, 1]
    assert data.class_names == ("dark", "bright")
    assert data.labels.tolist() == labels
    assert data.ids == [f"{i} ä.png" for i in (0, 1, 2, 4, 5, 6)]
    assert len(data) == 6
    for item, level in enumerate([10, 240, 30, 180, 60, 220]):
        image, soft, weight = data[item]
        assert image.shape == (1, 6, 5)
        assert image.dtype == soft.dtype == weight.dtype == torch.float32
        assert image[0, 0, 0] == 1
        assert image[0, 1, 1] == pytest.approx(level / 255)
        assert soft.sum() == pytest.approx(1)
        assert soft.argmax() == labels[item]
        assert weight == soft[labels[item]]
    assert torch.equal(data[-1][0], data[5][0])
    with pytest.raises(IndexError):
        data[6]


def test_images_without_a_label_have_weight_0_if_they_are_asked_for(run):
    data = lfkit_package.LabeledImages(run, unlabeled=True)
    assert data.labels.tolist() == [0, 1, 0, -1, 1, 0, 1, -1]  # not the broken one
    weights = [float(data[item][2]) for item in range(len(data))]
    assert [weight == 0 for weight in weights] == [label < 0 for label in data.labels]


def test_a_worker_in_another_process_gives_the_same_batches(run):
    data = lfkit_package.LabeledImages("run")
    own = DataLoader(data, batch_size=4)
    other = DataLoader(
        data, batch_size=4, num_workers=1, multiprocessing_context="spawn", timeout=60
    )
    for here, there in zip(own, other, strict=True):
        for a, b in zip(here, there, strict=True):
            assert torch.equal(a, b)
    assert [len(batch[2]) for batch in own] == [4, 2]


def test_a_transform_changes_images_only(run):
    plain = lfkit_package.LabeledImages("run")
    turned = lfkit_package.LabeledImages("run", transform=lambda x: x.flip(2)[:, :3])
    assert torch.equal(turned[1][0], plain[1][0].flip(2)[:, :3])
    assert torch.equal(turned[1][1], plain[1][1])


def test_a_network_learns_from_it(run):
    data = lfkit_package.LabeledImages("run")
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(30, 2))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)

    def epoch():
        total = 0.0
        for images, soft, weight in DataLoader(data, batch_size=2):
            loss = torch.nn.functional.cross_entropy(
                network(images), soft, reduction="none"
            )
            loss = (weight * loss).sum() / weight.sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total

    first = epoch()
    for _ in range(20):
        last = epoch()
    assert last < first / 2


def test_a_file_that_has_gone_is_named(run, tmp_path):
    data = lfkit_package.LabeledImages("run")
    (tmp_path / "my photos" / "2 ä.png").unlink()
    with pytest.raises(InputError, match=r"image '2 ä.png' of run cannot be read"):
        data[2]


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a finished run"):
        lfkit_package.LabeledImages(tmp_path / "absent")
