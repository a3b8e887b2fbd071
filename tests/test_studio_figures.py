"""What the studio's page says of functions and labels, and when it says nothing."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from studio_stand import PATIENCE_S

from lfkit.studio.image_lists import labels_of
from lfkit.studio.next_page import next_list
from lfkit.studio.page_state import page_state
from lfkit.studio.server import make_app
from lfkit.studio.studio_options import StudioOptions
from lfkit.studio.studio_session import StudioSession

LEARNING = """
from lfkit import NearestMean, labeling_function
from lfkit.features import FEATURES

CLASSES = ("a", "b")
pixels = FEATURES["thumbnail"]


@labeling_function(
    features=[pixels], classes=[0, 1], thresholds={"near": NearestMean(pixels)},
    soft=True, batched=True,
)
def nearest_of_all(values, *, near):
    return near(values)


@labeling_function(classes=[0])
def everything_is_a(image):
    return 0
"""


@pytest.fixture
def opened(tmp_path):
    """Start sessions on images of a folder; they end with the test."""
    made = []

    def start(pictures, text, preview=2000):
        (tmp_path / "photos").mkdir()
        for number, pixels in enumerate(pictures):
            Image.fromarray(pixels).save(tmp_path / "photos" / f"{number:03}.png")
        lfs = tmp_path / "my_lfs.py"
        lfs.write_text(text)
        options = StudioOptions(
            str(tmp_path / "photos"),
            lfs=(str(lfs),),
            out=tmp_path / "run",
            preview=preview,
        )
        session = StudioSession(options)
        session.voting.pause_before_all_s = 0
        session.start()
        made.append(session)
        return session

    yield start
    for session in made:
        session.close()


def wait(session, condition):
    assert session.wait_for(condition, PATIENCE_S), (session.problem, session.busy)


def test_near_duplicates_do_not_judge_each_other(opened):
    rng = np.random.default_rng(0)
    images = rng.integers(2, 253, (120, 16, 16))
    images[112:] = images[:8] + rng.integers(-2, 3, (8, 16, 16))  # nearly the same
    session = opened(images.astype(np.uint8), LEARNING)
    wait(session, lambda session: session.looks is not None)
    assert (session.twins[112:] == np.arange(8)).all()
    rows = [*range(24), *range(112, 120)]
    for row in rows:
        session.answer([row], row % 2, "chosen")
    wait(session, lambda session: len(session.preview.seed_rows) == 32)
    wait(session, lambda session: session.full and len(session.full.seed_rows) == 32)
    state = page_state(session)
    learning, fixed = state["functions"]
    unfair = session.full.functions[0]
    assert unfair.judged > 16
    assert 0 < learning["judged"] <= 16
    assert learning["accuracy"] < unfair.accuracy  # a twin knew what the other is
    assert session.function("nearest_of_all").judged == learning["judged"]
    assert fixed["judged"] == 32  # it has learned from none
    assert state["labels"]["seed_judged"] == 16


LISTED = """
from lfkit import labeling_function

CLASSES = ("a", "b")


@labeling_function(classes=[0])
def everything_is_a(image):
    return 0


@labeling_function(classes=[1])
def dark_is_b(image):
    return 1 if image.mean() < 100 else -1


@labeling_function(classes=[1])
def bright_is_b(image):
    return 1 if image.mean() > 150 else -1


same_again = dark_is_b
LFS = [everything_is_a]
"""


def test_functions_outside_the_list_are_named(opened, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8), np.uint8)
    session = opened(images, LISTED)
    wait(session, lambda session: session.preview is not None)
    told = "2 functions in my_lfs.py are not in LFS: dark_is_b, bright_is_b."
    assert page_state(session)["outside"] == [told]
    wait(session, lambda session: session.full is not None)
    assert page_state(session)["outside"] == [told]
    with open(tmp_path / "my_lfs.py", "a", encoding="utf-8") as file:
        file.write("LFS += [dark_is_b, bright_is_b]\n")
    wait(session, lambda session: len(session.preview.names) == 3)
    assert page_state(session)["outside"] == []


NETWORK = """

from lfkit import feature


@feature(name="encoded by a stand-in")
def seen(image):
    return image[:8, :8].ravel()[::-1].astype(float) ** 2


@labeling_function(features=[seen], classes=[1])
def never(values):
    return -1
"""


def test_looks_and_map_are_made_anew_when_a_network_has_seen_the_images(
    opened, tmp_path
):
    images = np.random.default_rng(0).integers(0, 256, (90, 16, 16), np.uint8)
    session = opened(images, LISTED.partition("same_again")[0])
    with TestClient(
        make_app(session, "a-token", 8765), base_url="http://127.0.0.1:8765"
    ) as client:
        wait(session, lambda session: session.looks is not None)
        before, first = session.looks, client.get("/t/a-token/api/map").content
        assert client.get("/t/a-token/api/map").content == first
        with open(tmp_path / "my_lfs.py", "a", encoding="utf-8") as file:
            file.write(NETWORK)
        wait(session, lambda session: session.looks is not before)
        assert not np.allclose(session.looks, before)
        assert client.get("/t/a-token/api/map").content[8:400] != first[8:400]
    session.close()
    again = StudioSession(session.options)
    assert np.array_equal(again.looks, session.looks)


def test_the_function_of_the_docs_runs(opened):
    text = (Path(__file__).parents[1] / "docs" / "studio.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    images = np.repeat(np.arange(0, 240, 20, np.uint8), 64).reshape(12, 8, 8)
    session = opened(images, snippet)
    wait(session, lambda session: session.preview is not None)
    assert session.preview.class_names == ("day", "night")
    assert session.preview.hard[:, 0].tolist() == [1] * 3 + [-1] * 9


def test_an_answer_that_votes_contradict_stays_marked(opened):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    session = opened(images, LISTED)  # everything is a
    wait(session, lambda session: session.full is not None)
    for row in range(12):
        session.answer([row], int(row < 2), "chosen")
    assert labels_of(session)[0].tolist() == [0] * 40
    wait(session, lambda session: len(session.full.seed_rows) == 12)
    assert session.full.labels[:2].tolist() == [1, 1]
    labels, _, answered = labels_of(session)
    assert labels.tolist() == [0] * 40
    assert np.flatnonzero((answered >= 0) & (labels != answered)).tolist() == [0, 1]


def test_groups_of_images_without_a_vote_have_titles_of_their_own(opened):
    images = np.random.default_rng(0).integers(0, 256, (90, 8, 8), np.uint8)
    images[:45] //= 4
    session = opened(images, LISTED.replace("return 0", "return -1"))
    wait(session, lambda session: session.looks is not None)
    titles = [section.title for section in next_list(session).sections]
    assert len(titles) == len(set(titles)) > 3


SLOW = """

import time


@labeling_function(classes=[1])
def slow_is_b(image):
    time.sleep(0.02)
    return 1 if image.mean() > 250 else -1


LFS.append(slow_is_b)
"""


def test_labels_of_all_images_are_marked_until_they_have_voted_anew(opened, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (300, 8, 8), np.uint8)
    session = opened(images, LISTED, preview=20)
    wait(session, lambda session: session.full is not None)
    assert page_state(session)["stale"] == ""
    told = []
    forget = session.listen(lambda event: told.append(page_state(session)["stale"]))
    with open(tmp_path / "my_lfs.py", "a", encoding="utf-8") as file:
        file.write(SLOW)
    wait(session, lambda session: len(session.full.names) == 2)
    forget()
    shares = [int(re.search(r"(\d+) % of", text)[1]) for text in told if text]
    assert shares
    assert shares == sorted(shares)
    assert page_state(session)["stale"] == ""
