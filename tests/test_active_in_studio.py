"""`lfkit active --oracle studio`: rounds that a person answers on the studio's page."""

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from command_line import call
from PIL import Image
from studio_stand import NEEDS_A_BROWSER, chromium

from lfkit.errors import RunError
from lfkit.runs.store import RunInUseError, locked
from lfkit.studio.active_rounds import active_rounds
from lfkit.studio.notebook import serve_beside
from lfkit.studio.studio_lock import StudioLock, living_studio
from lfkit.studio.studio_options import StudioOptions

FUNCTIONS = """
from lfkit import ABSTAIN, labeling_function

CLASSES = ("left", "right")

@labeling_function(classes=[0, 1])
def brighter_half_names_it(image):
    return int(image[:, :4].mean() < image[:, 4:].mean())

@labeling_function(classes=[1])
def bright_last_column_is_right(image):
    return 1 if image[:, -1].mean() > 120 else ABSTAIN
"""
TOY = ["--with", "two-stage", "--set", "batch=8", "--set", "width=16"]
TOY += ["--set", "z_dim=8", "--set", "reader_steps=10", "--steps", "20"]
ASK = ["--oracle", "studio", "--budget", "4", "--per-round", "2", *TOY]
PATIENCE_S = 300


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run on 30 images, bright on the left or the right."""
    folder = tmp_path_factory.mktemp("toys")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    for number in range(30):
        pixels = rng.integers(0, 60, size=(8, 8)).astype(np.uint8)
        pixels[:, slice(0, 4) if number % 2 == 0 else slice(4, 8)] += 160
        Image.fromarray(pixels).save(folder / "photos" / f"{number:02d}.png")
    (folder / "functions.py").write_text(FUNCTIONS)
    words = ["apply", folder / "photos", "--lfs", folder / "functions.py"]
    words += ["--no-sheet", "--no-baselines", "--out", folder / "run"]
    call(*words)
    return folder


@pytest.fixture
def run(made, tmp_path):
    shutil.copytree(made / "run", tmp_path / "run")
    return tmp_path / "run"


def answering(lfkit, run, answer, *more):
    """Run the command here while `answer(url)` is what somebody does on its page.

    Gives how the command ended, and what `answer` gives.
    """

    has_ended = threading.Event()

    def answers():
        try:
            return answer(eventually(lambda: living_studio(run)).url)
        except BaseException:
            if not has_ended.is_set():  # it would wait for ever
                press_ctrl_c()
            raise

    with ThreadPoolExecutor(1) as others:
        somebody = others.submit(answers)
        done = lfkit("active", run, *ASK, *more)
        has_ended.set()
        assert done.code != 2, done.err
        return done, somebody.result()


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def eventually(condition):
    end = time.monotonic() + PATIENCE_S
    while True:
        if found := condition():
            return found
        assert time.monotonic() < end
        time.sleep(0.1)


@contextlib.contextmanager
def held(run):
    """Hold a run folder as soon as nobody else does."""
    with contextlib.ExitStack() as stack:

        def take():
            with contextlib.suppress(RunInUseError):
                stack.enter_context(locked(run))
                return True

        eventually(take)
        yield


class Page:
    """The page's own requests, without a browser."""

    def __init__(self, url):
        base, _, token = url.partition("/?token=")
        self.base = f"{base}/t/{token}"

    def send(self, path, body=None):
        request = urllib.request.Request(
            self.base + path,
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def asked(self, number):
        """Wait for a round; gives the rows that stand in its section, the first."""

        def look():
            state = json.loads(self.send("/api/state"))
            asked = state["asked"]
            if not state["classes"] or not asked or asked["round"] != number:
                return None
            data = self.send("/api/next")
            head, n = np.frombuffer(data[:8], "<i4")
            first = json.loads(data[8 : 8 + head])["sections"][0]
            rows = np.frombuffer(data[8 + head : 8 + head + 4 * n], "<i4")
            return first, rows[: first["count"]].tolist()

        first, rows = eventually(look)
        assert first["title"] == f"Asked for by lfkit active, round {number}"
        return rows, first["why"]

    def answer(self, row, why):
        body = {"rows": [row], "label": ("left", "right")[row % 2], "why": why}
        self.send("/api/answer", body)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_rounds_are_answered_on_the_page_and_ctrl_c_loses_nothing(run, lfkit):
    before = (run / "labels.parquet").read_bytes()

    def answer_one(url):
        page = Page(url)
        rows, why = page.asked(1)
        assert len(rows) == 2
        page.answer(rows[0], why)
        press_ctrl_c()
        return rows

    done, rows = answering(lfkit, run, answer_one)
    assert done.code == 130, done.err
    assert "run the same command to go on" in " ".join(done.err.split())
    assert "Traceback" not in done.err
    assert living_studio(run) is None
    assert len(rows_of(run / "seeds.csv")) == 1
    assert not (run / "active" / "answers.csv").exists()

    def answer_all(url):
        page = Page(url)
        asked, why = page.asked(1)
        assert asked == rows[1:]  # what is open, and nothing else
        with held(run):  # as by the studio, which labels all images anew
            page.answer(rows[1], why)
            taken = run / "active" / "round-01" / "studio_answers.csv"
            eventually(taken.exists)
            time.sleep(2)
        later, why = page.asked(2)
        assert len(later) == 2
        assert not set(later) & set(rows)
        for row in later:
            page.answer(row, why)

    done, _ = answering(lfkit, run, answer_all, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["waiting"] is None
    assert [each["asked"] for each in told["rounds"]] == [2, 2]
    given = {row["image_id"]: row["label"] for row in rows_of(run / "seeds.csv")}
    taken = rows_of(run / "active" / "answers.csv")
    assert {row["image_id"]: row["label"] for row in taken} == given
    assert [row["round"] for row in taken] == ["1", "1", "2", "2"]
    # The studio has made no labels anew: the rounds would have begun with other ones.
    assert (run / "labels.parquet").read_bytes() == before


def test_a_studio_that_is_open_is_used(run, made, lfkit):
    data, lfs = made / "photos", made / "functions.py"
    mine = run.parent / "mine.csv"
    studio = serve_beside(
        StudioOptions(str(data), lfs=(str(lfs),), out=run, seed_labels=mine)
    )
    try:
        url = living_studio(run).url
        assert url == studio.url
        with pytest.raises(RunError, match=re.escape(url)):
            StudioLock(run)
        second = lfkit("studio", data, "--lfs", lfs, "--out", run, "--no-browser")
        assert second.code == 2
        assert url in second.err.replace("\n", "")

        def answer(url):
            page = Page(url)
            rows, why = page.asked(1)
            for row in rows:
                page.answer(row, why)

        done, _ = answering(lfkit, run, answer, "--budget", "2")
        assert done.code == 0, done.err
        assert url in done.err.replace("\n", "")
        assert len(rows_of(mine)) == 2
        assert living_studio(run).url == url
    finally:
        studio.close()


def test_what_a_studio_that_was_killed_has_left_is_not_believed(run):
    first = StudioLock(run)
    first.tell("http://127.0.0.1:1/?token=x", 1, run / "seeds.csv")
    left = (run / "studio" / "studio.lock").read_bytes()
    assert living_studio(run).url == "http://127.0.0.1:1/?token=x"
    assert (run / "studio" / "studio.lock").stat().st_mode & 0o077 == 0
    first.release()
    (run / "studio" / "studio.lock").write_bytes(left)
    assert living_studio(run) is None
    StudioLock(run).release()


def test_a_question_that_cannot_be_read_is_named(run):
    folder = run / "active" / "round-01"
    folder.mkdir(parents=True)
    (folder / "asked.json").write_text('{"round": 1, "ids": ')
    with (
        active_rounds(run, (), print) as rounds,
        pytest.raises(RunError, match=r"asked\.json"),
    ):
        rounds.take_answers(lambda stage, done, total: None)


def test_votes_from_a_file_have_no_studio(made, run, tmp_path, lfkit):
    (tmp_path / "votes.csv").write_text(
        "image_id,a,b\n" + "".join(f"{n:02d}.png,{n % 2},-1\n" for n in range(30))
    )
    words = ["apply", made / "photos", "--votes", tmp_path / "votes.csv"]
    done = lfkit(*words, "--out", tmp_path / "votes-run")
    assert done.code == 0, done.err
    done = lfkit("active", tmp_path / "votes-run", *ASK)
    assert done.code == 2
    assert "--oracle csv" in done.err


class TestInABrowser:
    """The section on the page Next, and its keys."""

    pytestmark = NEEDS_A_BROWSER

    def test_keys_answer_what_is_asked(self, run, lfkit):
        def press_keys(url):
            rows, _ = Page(url).asked(1)
            with chromium() as browser:
                page = browser.new_page()
                page.goto(url)
                page.goto(f"{url.partition('/?')[0]}/next")
                head = page.locator(".section-head h2").first
                head.wait_for()
                assert head.text_content() == "Asked for by lfkit active, round 1"
                for row in rows:
                    tile = f'.tile.current[aria-label^="image {row},"]'
                    page.locator(tile).wait_for()
                    page.keyboard.press("12"[row % 2])
                eventually((run / "active" / "answers.csv").exists)

        done, _ = answering(lfkit, run, press_keys, "--budget", "2")
        assert done.code == 0, done.err
        taken = rows_of(run / "active" / "answers.csv")
        labels = [row["label"] for row in taken]
        names = [int(row["image_id"][:2]) for row in taken]
        assert labels == [("left", "right")[n % 2] for n in names]
