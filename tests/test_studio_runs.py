"""The studio on run folders and images that others change, and when it is killed."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from studio_stand import LFS as TWO
from studio_stand import PATIENCE_S

from lfkit.errors import StorageError
from lfkit.runs.run_config import load_config
from lfkit.studio.existing_run import is_own, taken_over
from lfkit.studio.function_files import files_behind
from lfkit.studio.image_lists import browse
from lfkit.studio.next_images import DISPUTED, RANDOM
from lfkit.studio.next_page import next_list
from lfkit.studio.studio_options import StudioOptions
from lfkit.studio.studio_session import StudioSession

LFS = (
    TWO
    + """

@labeling_function(classes=[0, 1], kind="deep")
def never(image):
    return ABSTAIN
"""
)
FRESH = """

from lfkit import OneOf


@labeling_function(classes=[3, 4])
def fresh(image):
    return OneOf[3, 4]
"""


@pytest.fixture
def lfs(tmp_path):
    path = tmp_path / "my_lfs.py"
    path.write_text(LFS)
    return path


@pytest.fixture
def opened(lfs, tmp_path):
    """Start sessions of the run folder, and end them."""
    made = []

    def start(data="digits", pause_s=0.0):
        options = StudioOptions(
            data, lfs=(str(lfs),), out=tmp_path / "run", preview=100
        )
        session = StudioSession(options, timeout_s=4.0)
        session.voting.pause_before_all_s = pause_s
        session.start()
        made.append(session)
        return session

    yield start
    for session in made:
        session.close()


@pytest.fixture
def photos(tmp_path, digits):
    from PIL import Image

    folder = tmp_path / "photos"
    folder.mkdir()
    for number, image in enumerate(digits[0][:40]):
        Image.fromarray(image[:, :, 0] * 15).save(folder / f"{number:02}.png")
    return folder


def wait(session, condition):
    assert session.wait_for(condition, PATIENCE_S), (session.problem, session.busy)


def test_a_run_of_apply_goes_on_and_its_labels_stay(lfs, opened, tmp_path, lfkit):
    run = tmp_path / "run"
    done = lfkit(
        *("apply", "digits", "--lfs", lfs, "--out", run, "--seeds-per-class", "5"),
        *("--kinds", "heuristic", "--with", "majority-vote", "--seed", "3"),
        *("--class-balance", ",".join([".1"] * 10), "--no-sheet"),
    )
    assert done.code == 0, done.err
    config = load_config(run)
    kept = {p.name: p.read_bytes() for p in run.iterdir() if p.is_file()}
    session = opened()
    wait(session, lambda session: session.full is not None)
    options = session.options
    assert (options.kinds, options.aggregator) == (("heuristic",), "majority-vote")
    assert (options.class_balance, options.seed) == ((0.1,) * 10, 3)
    given = session.answers.given()
    names = [session.images.ids[row] for row in given.rows]
    seeds = dict(zip(config.seed_images, config.seed_labels, strict=True))
    assert dict(zip(names, given.labels.tolist(), strict=True)) == seeds
    assert session.full.names == ("little_ink_is_one", "empty_middle_is_zero")
    assert session.full.calls == 0
    table = pq.read_table(run / "labels.parquet")
    of_run = [-1 if name is None else int(name) for name in table["label"].to_pylist()]
    assert session.full.labels.tolist() == of_run
    for outcome in (session.preview, session.full):
        assert "stay as `lfkit apply` has made them" in outcome.notes[0]
    session.answer([int(np.setdiff1d(np.arange(9), given.rows)[0])], 1, "chosen")
    wait(session, lambda session: len(session.full.seed_rows) == 51)
    session.close()
    assert {name: (run / name).read_bytes() for name in kept} == kept


def test_answers_go_on_in_the_file_that_has_them(lfs, tmp_path, lfkit):
    run, given = tmp_path / "run", tmp_path / "given.csv"
    given.write_text("image_id,label\n3,3\n4,4\n")
    done = lfkit(
        *("apply", "digits", "--lfs", lfs, "--out", run, "--seed-labels", given),
        *("--no-baselines", "--no-sheet"),
    )
    assert done.code == 0, done.err
    options = StudioOptions("digits", lfs=(str(lfs),), out=run)
    assert taken_over(options).answers == given
    (run / "seeds.csv").write_text("image_id,label\n5,5\n")
    assert taken_over(options).answers == run / "seeds.csv"
    other = StudioOptions("fashion-mnist", lfs=(str(lfs),), out=run)
    assert taken_over(other) == other


def test_a_run_that_was_refined_since_is_left_alone(lfs, opened, tmp_path, lfkit):
    run = tmp_path / "run"
    session = opened()
    wait(session, lambda session: session.full is not None)
    assert is_own(run)
    assert (run / "labels.parquet").exists()
    assert lfkit("apply", "digits", "--lfs", lfs, "--out", run, "--no-sheet").code == 0
    assert not is_own(run)
    before = (run / "labels.parquet").read_bytes()
    lfs.write_text(LFS.replace("< 66", "< 80"))
    full = session.full
    wait(session, lambda session: session.full is not full)
    assert (run / "labels.parquet").read_bytes() == before


def test_images_that_have_changed_end_the_voting(lfs, opened, photos):
    session = opened(str(photos))
    wait(session, lambda session: session.full is not None)
    (photos / "03.png").unlink()
    lfs.write_text(LFS.replace("< 66", "< 80"))
    wait(session, lambda session: session.problem is not None)
    assert "39 images instead of 40" in session.problem.message
    (photos / "02.png").rename(photos / "04a.png")
    (photos / "04.png").rename(photos / "zero.png")
    (photos / "00a.png").write_bytes((photos / "01.png").read_bytes())
    before = session.preview
    session.voting.quick._end()  # as an edit does that comes while it votes
    lfs.write_text(LFS.replace("< 66", "< 90"))
    wait(session, lambda session: "as many as before" in session.problem.message)
    assert "start it again" in session.problem.message
    assert session.preview is before


def test_a_job_that_nobody_waits_for_and_an_error_end_no_thread(
    opened, photos, monkeypatch
):
    session = opened(str(photos))
    wait(session, lambda session: session.looks is not None)
    job = {"job": "map", "by": "look"}
    first, second = session.ask(job), session.ask(job)
    assert second.cancel()
    assert first.result(PATIENCE_S)["event"] == "done"

    def full(*_):
        raise StorageError("no space is left")

    with monkeypatch.context() as broken:
        broken.setattr(session.saves, "add", full)
        path = session.options.lfs[0]
        with open(path, "a", encoding="utf-8") as file:
            file.write("\n" + LFS.split("\n\n\n")[2].replace("empty_middle", "fresh"))
        wait(session, lambda session: session.problem is not None)
        assert "no space is left" in session.problem.message
    with open(path, "a", encoding="utf-8") as file:
        file.write("\n" + LFS.split("\n\n\n")[2].replace("empty_middle", "fresher"))
    wait(session, lambda session: "fresher_is_zero" in session.preview.names)
    wait(session, lambda session: "fresher_is_zero" in session.full.names)
    assert session.problem is None
    assert session.ask(job).result(PATIENCE_S)["event"] == "done"


def test_files_that_were_cut_off_are_passed_over(opened, photos):
    session = opened(str(photos))
    wait(session, lambda session: session.looks is not None)
    session.close()
    for share in (0.5, 0.0):
        for place in session.folder.glob("*.npz"):
            data = place.read_bytes()
            place.write_bytes(data[: int(share * len(data))])
        again = StudioSession(session.options)
        assert again.full is again.preview is again.looks is None


def test_a_new_function_is_shown_by_what_is_known_of_it(lfs, opened):
    session = opened()
    wait(session, lambda session: session.full is not None)
    session.voting.pause_before_all_s = 1e9
    lfs.write_text(LFS + FRESH)
    wait(session, lambda session: "fresh" in session.preview.names)
    assert "fresh" not in session.full.names
    sample = session.preview.rows
    for vote, rows in (("any", sample), ("none", [])):
        found = browse(session, {"function": "fresh", "vote": vote})
        assert found.rows.tolist() == [*rows]


def test_a_vote_for_several_classes_is_no_silence(lfs, opened):
    lfs.write_text("\n\n".join([LFS.split("@")[0], FRESH]))
    session = opened(pause_s=1e9)
    wait(session, lambda session: session.preview is not None)
    assert (session.preview.hard == -1).all()
    why = {section.why for section in next_list(session).sections}
    assert why == {DISPUTED, RANDOM}


def test_a_helper_below_and_one_that_was_broken_are_watched(lfs, opened, tmp_path):
    (tmp_path / "rules").mkdir()
    helper = tmp_path / "rules" / "cut.py"
    helper.write_text("CUT = 66\n")
    lfs.write_text("from rules.cut import CUT\n" + LFS.replace("< 66", "< CUT"))
    session = opened()
    wait(session, lambda session: session.preview is not None)
    before = session.preview.functions[0].coverage
    helper.write_text("CUT = 90\n")
    wait(session, lambda session: session.preview.functions[0].coverage > before)
    fresh = tmp_path / "fresh_helper.py"
    fresh.write_text("CUT = (\n")
    text = "from fresh_helper import CUT\n" + LFS.replace("< 66", "< CUT")
    lfs.write_text(text)
    wait(session, lambda session: session.problem is not None)
    fresh.write_text("CUT = 50\n")
    wait(session, lambda session: session.problem is None)
    wait(session, lambda session: session.preview.functions[0].coverage < before)


def test_the_file_of_a_module_that_is_broken_is_known(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "module_that_is_broken.py"
    path.write_text("CLASSES = (\n")
    assert files_behind([path.stem]) == [str(path)]


def test_nothing_goes_on_after_the_studio_was_killed(lfs, tmp_path):
    pid_file = tmp_path / "pid"
    lfs.write_text(
        f"import os\nopen({str(pid_file)!r}, 'w').write(str(os.getpid()))\n"
        "while True:\n    pass\n"
    )
    command = [
        *(sys.executable, "-m", "lfkit", "studio", "digits", "--lfs", str(lfs)),
        *("--out", str(tmp_path / "run"), "--no-browser", "--port", "0"),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        end = time.monotonic() + PATIENCE_S
        while not (pid_file.exists() and pid_file.read_text()):
            assert time.monotonic() < end
            time.sleep(0.05)
        job = int(pid_file.read_text())
        process.send_signal(signal.SIGKILL)
    while _is_alive(job):
        assert time.monotonic() < end
        time.sleep(0.05)


def _is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"
