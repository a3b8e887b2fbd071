"""`lfkit active --oracle studio`: rounds that a person answers on the studio's page."""

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from PIL import Image
from studio_stand import NEEDS_A_BROWSER, chromium

from lfkit.errors import RunError
from lfkit.runs.store import RunInUseError, locked
from lfkit.studio.active_rounds import active_rounds
from lfkit.studio.studio_lock import StudioLock, living_studio

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
PATIENCE_S = 120


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
    subprocess.run(
        [sys.executable, "-m", "lfkit", *map(str, words)],
        check=True, capture_output=True, timeout=PATIENCE_S,
    )  # fmt: skip
    return folder


@pytest.fixture
def run(made, tmp_path):
    shutil.copytree(made / "run", tmp_path / "run")
    return tmp_path / "run"


class Command:
    """`lfkit active` in a process that ends with the test."""

    def __init__(self, run, *more):
        words = ["active", str(run), *ASK, *more]
        self.run = run
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lfkit", *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def page(self):
        """Wait until the command has opened the studio; gives its address."""
        return eventually(lambda: living_studio(self.run), self.process).url

    def end(self):
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out, err

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        return self.end()


def eventually(condition, process=None):
    end = time.monotonic() + PATIENCE_S
    while True:
        if found := condition():
            return found
        assert process is None or process.poll() is None, process.communicate()
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


def test_rounds_are_answered_on_the_page_and_ctrl_c_loses_nothing(run):
    before = (run / "labels.parquet").read_bytes()
    with Command(run) as command:
        page = Page(command.page())
        rows, why = page.asked(1)
        assert len(rows) == 2
        page.answer(rows[0], why)
        code, _, err = command.stop()
        assert code == 130, err
        assert "run the same command to go on" in " ".join(err.split())
        assert "Traceback" not in err
    assert living_studio(run) is None
    assert len(rows_of(run / "seeds.csv")) == 1
    assert not (run / "active" / "answers.csv").exists()
    with Command(run, "--json") as command:
        page = Page(command.page())
        assert page.asked(1)[0] == rows[1:]  # what is open, and nothing else
        with held(run):  # as by the studio, which labels all images anew
            page.answer(rows[1], why)
            taken = run / "active" / "round-01" / "studio_answers.csv"
            eventually(taken.exists, command.process)
            time.sleep(2)
        later, why = page.asked(2)
        assert len(later) == 2
        assert not set(later) & set(rows)
        for row in later:
            page.answer(row, why)
        code, out, err = command.end()
        assert code == 0, err
    told = json.loads(out)
    assert told["waiting"] is None
    assert [each["asked"] for each in told["rounds"]] == [2, 2]
    given = {row["image_id"]: row["label"] for row in rows_of(run / "seeds.csv")}
    taken = rows_of(run / "active" / "answers.csv")
    assert {row["image_id"]: row["label"] for row in taken} == given
    assert [row["round"] for row in taken] == ["1", "1", "2", "2"]
    # The studio has made no labels anew: the rounds would have begun with other ones.
    assert (run / "labels.parquet").read_bytes() == before


def test_a_studio_that_is_open_is_used(run, made, lfkit):
    words = ["studio", made / "photos", "--lfs", made / "functions.py", "--out", run]
    words += ["--no-browser", "--port", 0, "--seed-labels", run.parent / "mine.csv"]
    studio = subprocess.Popen(
        [sys.executable, "-m", "lfkit", *map(str, words)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        url = eventually(lambda: living_studio(run), studio).url
        with pytest.raises(RunError, match=re.escape(url)):
            StudioLock(run)
        second = lfkit(*words)
        assert second.code == 2
        assert url in second.err.replace("\n", "")
        page = Page(url)
        with Command(run, "--budget", "2") as command:
            rows, why = page.asked(1)
            for row in rows:
                page.answer(row, why)
            code, _, err = command.end()
        assert code == 0, err
        assert url in err
        assert len(rows_of(run.parent / "mine.csv")) == 2
        assert studio.poll() is None
    finally:
        studio.send_signal(signal.SIGINT)
        try:
            studio.communicate(timeout=PATIENCE_S)
        finally:
            studio.kill()


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

    def test_keys_answer_what_is_asked(self, run):
        with Command(run, "--budget", "2") as command, chromium() as browser:
            url = command.page()
            rows, _ = Page(url).asked(1)
            page = browser.new_page()
            page.goto(url)
            page.goto(f"{url.partition('/?')[0]}/next")
            head = page.locator(".section-head h2").first
            head.wait_for()
            assert head.text_content() == "Asked for by lfkit active, round 1"
            for row in rows:
                page.locator(f'.tile.current[aria-label^="image {row},"]').wait_for()
                page.keyboard.press("12"[row % 2])
            code, _, err = command.end()
            assert code == 0, err
        taken = rows_of(run / "active" / "answers.csv")
        labels = [row["label"] for row in taken]
        names = [int(row["image_id"][:2]) for row in taken]
        assert labels == [("left", "right")[n % 2] for n in names]
