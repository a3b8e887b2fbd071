"""Near-duplicates, images like no other, and seeds that look wrong."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from lfkit.commands.apply import apply
from lfkit.metrics.image_checks.looks import described, pixel_looks
from lfkit.metrics.image_checks.near_duplicates import near_duplicates, small_grays
from lfkit.metrics.image_checks.outliers import find_outliers
from lfkit.runs.apply_options import ApplyOptions

RULES = """
from lfkit import labeling_function

CLASSES = ["0", "1"]


@labeling_function(classes=[0, 1])
def hole_in_the_middle_is_zero(image):
    return 0 if image[3:5, 3:5].mean() < 100 else 1

"""
WRONG = 7  # a seed
STRANGE = 360  # the last image


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """360 zeros and ones, an image of neither, a copy of a seed, and a wrong seed."""
    folder = tmp_path_factory.mktemp("digits")
    digits = load_digits(n_class=2)
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)
    board = (np.indices((8, 8)).sum(axis=0) % 2 * 255).astype(np.uint8)
    copy = np.clip(images[3].astype(int) + 1, 0, 255).astype(np.uint8)
    images = np.concatenate([images, board[None], copy[None]]).astype(np.uint8)
    assert len(images) == STRANGE + 2
    np.savez(folder / "digits.npz", images=images)
    np.savez(folder / "test.npz", images=np.stack([images[50], board, 255 - board]))
    (folder / "rules.py").write_text(RULES)
    labels = digits.target[:40].copy()
    labels[WRONG] = 1 - labels[WRONG]
    seeds = pd.DataFrame({"image_id": range(40), "label": labels})
    seeds.to_csv(folder / "seeds.csv", index=False)
    apply(
        ApplyOptions(
            data=str(folder / "digits.npz"),
            lfs=(str(folder / "rules.py"),),
            out=folder / "run",
            seed_labels=folder / "seeds.csv",
            baselines=False,
            sheet=False,
        )
    )
    return folder / "run"


def look_at(lfkit, run, *more):
    done = lfkit("diagnose", run, "--images", *more, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)["images"]


def test_a_wrong_seed_a_strange_image_and_a_copy_are_found(lfkit, run):
    found = look_at(lfkit, run)
    (suspect,) = found["suspects"]
    assert suspect["image"] == str(WRONG)
    assert suspect["said"] != suspect["label"]
    assert suspect["probability"] < 0.3
    assert found["n_seeds"] == 40
    assert found["outliers"][0]["image"] == str(STRANGE)
    pairs = [set(group["images"]) for group in found["duplicates"]]
    (own,) = [g for g in found["duplicates"] if "3" in g["images"]]
    assert str(STRANGE + 1) in own["images"]
    assert own["has_seed"]
    assert len({image for pair in pairs for image in pair}) == sum(map(len, pairs))
    assert not any(str(STRANGE) in pair for pair in pairs)


def test_images_of_the_test_set_are_found_again(lfkit, run):
    test = run.parent / "test.npz"
    found = look_at(lfkit, run, "--test", test)
    across = {
        other: group["images"]
        for group in found["duplicates"]
        for other in group["test_images"]
    }
    assert "50" in across["0"]
    assert str(STRANGE) in across["1"]
    assert "2" not in across  # the negative is another image
    said = lfkit("diagnose", run, "--images", "--test", test).out
    assert "a test on them flatters" in " ".join(said.replace("•", " ").split())


def test_the_report_shows_what_was_found_as_long_as_it_is_of_these_labels(
    lfkit, run, tmp_path
):
    page = tmp_path / "page.html"

    def sections():
        done = lfkit("report", run, "--out", page, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)["sections"]

    (run / "image_findings.json").unlink(missing_ok=True)
    assert "strange" not in sections()
    assert "diagnose RUN --images" in page.read_text()
    look_at(lfkit, run)
    assert "strange" in sections()
    html = page.read_text()
    assert "Seeds that look wrong" in html
    assert f"{WRONG} (" in html
    assert "diagnose RUN --images" not in html
    again = json.loads((run / "run.json").read_text())["options"]
    done = lfkit(
        *("apply", again["data"], "--lfs", run.parent / "rules.py", "--out", run),
        *("--no-baselines", "--no-sheet"),
    )
    assert done.code == 0, done.err
    assert "strange" not in sections()


def test_a_test_set_without_images_is_refused(lfkit, run):
    done = lfkit("diagnose", run, "--test", "digits")
    assert done.code != 0
    assert "--test is a set of images to compare; give --images too" in done.err


@pytest.fixture(scope="module")
def scenes():
    """60 blurred random pictures, 56 pixels a side."""
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 256, (60, 56, 56), np.uint8)
    return np.stack([cv2.GaussianBlur(one, (0, 0), 4) for one in raw]) * 3


@pytest.mark.parametrize(
    "change",
    [
        lambda image: np.roll(image, 2, axis=1),
        lambda image: cv2.resize(image[1:55, 1:55], (56, 56)),
        lambda image: cv2.imdecode(
            cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 0
        ),
        lambda image: (image * 0.8 + 20).astype(np.uint8),
    ],
    ids=["moved", "zoomed", "jpeg", "brighter"],
)
def test_changed_copies_are_near_duplicates_and_other_images_are_not(scenes, change):
    images = np.concatenate([scenes, [change(one) for one in scenes[:10]]])[..., None]
    grays = small_grays(images)
    group = near_duplicates(described(pixel_looks(images), grays).values, grays)
    assert (group[60:] == np.arange(10)).sum() >= 9
    assert group[:60].tolist() == list(range(60))


def test_few_images_have_no_outliers(scenes):
    images = scenes[:20, ..., None]
    rows, deviations = find_outliers(
        described(pixel_looks(images), small_grays(images)), np.arange(20)
    )
    assert rows.tolist() == []
    assert deviations.tolist() == [0] * 20


LAST = 99  # unlike the others


@pytest.fixture
def photos(tmp_path):
    """99 pictures of pale squares, and one of noise, in a folder."""
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for row in range(LAST + 1):
        squares = rng.integers(100, 160, (4, 4, 3)).repeat(8, 0).repeat(8, 1)
        image = rng.integers(0, 255, (32, 32, 3)) if row == LAST else squares
        cv2.imwrite(str(tmp_path / "photos" / f"{row:02}.png"), image.astype(np.uint8))
    return tmp_path / "photos"


def run_of(lfkit, photos, *seeds):
    """Apply made-up votes, with (image, label) as seeds."""
    folder = photos.parent
    names = sorted(path.name for path in photos.iterdir())
    votes = pd.DataFrame({"image_id": names, "a": np.arange(len(names)) % 2})
    votes.to_csv(folder / "votes.csv", index=False)
    more = []
    if seeds:
        table = pd.DataFrame(seeds, columns=["image_id", "label"])
        table.to_csv(folder / "seeds.csv", index=False)
        more = ["--seed-labels", folder / "seeds.csv"]
    done = lfkit(
        *("apply", photos, "--votes", folder / "votes.csv", "--size", 32, *more),
        *("--no-baselines", "--no-sheet", "--out", folder / "run"),
    )
    assert done.code == 0, done.err
    return folder / "run"


def cut(path):
    """Leave the header of a picture, which is all that an index reads."""
    path.write_bytes(path.read_bytes()[:60])


def test_unreadable_images_are_no_duplicates_and_hide_no_outlier(lfkit, photos):
    other = photos.parent / "other"
    other.mkdir()
    for row in (40, 50, 60):
        (other / f"{row}.png").write_bytes((photos / f"{row}.png").read_bytes())
    for path in (*sorted(photos.iterdir())[:30], other / "40.png", other / "50.png"):
        cut(path)
    found = look_at(lfkit, run_of(lfkit, photos), "--test", other)
    (group,) = found["duplicates"]
    assert (group["images"], group["test_images"]) == (["60.png"], ["60.png"])
    assert [one["image"] for one in found["outliers"]] == [f"{LAST}.png"]
    done = lfkit("diagnose", photos.parent / "run", "--images", "--test", other)
    said = " ".join(done.out.split())
    assert "the largest: 60.png, 60.png of " in said


def test_many_copies_of_an_image_hide_no_outlier(lfkit, photos):
    for row in range(1, 30):
        (photos / f"{row:02}.png").write_bytes((photos / "00.png").read_bytes())
    found = look_at(lfkit, run_of(lfkit, photos))
    assert [len(group["images"]) for group in found["duplicates"]] == [30]
    assert [one["image"] for one in found["outliers"]] == [f"{LAST}.png"]


def test_a_class_of_few_seeds_is_not_judged(lfkit, photos):
    few = [(f"{row:02}.png", row % 2) for row in range(9)]  # 5 and 4
    found = look_at(lfkit, run_of(lfkit, photos, *few))
    assert (found["n_seeds"], found["n_not_judged"]) == (0, 9)
    assert found["suspects"] == []
    said = lfkit("diagnose", photos.parent / "run", "--images").out
    names = " and ".join(found["not_judged"])
    assert len(found["not_judged"]) == 2
    assert f"no other class has as many: 9, of {names.replace(' and ', ', ')}." in said
    assert said.splitlines()[-1] == f"next: lfkit report {photos.parent / 'run'}"
    found = look_at(lfkit, run_of(lfkit, photos, *few, ("09.png", 1)))
    assert (found["n_seeds"], found["n_not_judged"]) == (10, 0)


@pytest.mark.parametrize("n", [1, 2, 6, 20, 31])
def test_copies_are_found_among_few_images(scenes, n):
    darker = (scenes[:n] * 0.9).astype(np.uint8)
    images = np.concatenate([scenes[:n], darker])[..., None]
    grays = small_grays(images)
    group = near_duplicates(described(pixel_looks(images), grays).values, grays)
    assert group.tolist() == [*range(n)] * 2
