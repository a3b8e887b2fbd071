"""The studio's session: edits, answers and broken files, without a browser."""

import csv
import json
import os
import threading
import time

import numpy as np
import pytest
from studio_stand import LFS_WITH_A_FEATURE as LFS
from studio_stand import PATIENCE_S

from lfkit.data.datasets import open_images
from lfkit.data.seed_labels import read_labels
from lfkit.errors import DataError, DeclarationError, InputError, RunError
from lfkit.labeling.analysis import conflicted_images
from lfkit.metrics.image_checks.looks import WIDTH, looks_of, pixel_looks
from lfkit.studio.answers import SeedAnswers
from lfkit.studio.file_watch import FileWatch
from lfkit.studio.preview_images import preview_rows
from lfkit.studio.studio_options import StudioOptions
from lfkit.studio.studio_session import StudioSession


@pytest.fixture
def lfs(tmp_path):
    path = tmp_path / "my_lfs.py"
    path.write_text(LFS)
    return path


@pytest.fixture
def session(whole_session):
    """A session that votes on its preview only."""
    whole_session.voting.pause_before_all_s = 1e9
    return whole_session


@pytest.fixture
def whole_session(lfs, tmp_path):
    options = StudioOptions(
        "digits", lfs=(str(lfs),), out=tmp_path / "run", preview=300, browser=False
    )
    made = StudioSession(options, timeout_s=1.0)
    made.voting.pause_before_all_s = 0
    made.start()
    yield made
    made.close()


def wait(session, condition):
    assert session.wait_for(condition, PATIENCE_S), (session.problem, session.busy)


def found_out(session):
    return "being found out" not in session.problem.message


def saves(n):
    return lambda session: len(session.saves.saves) >= n


def replace_file(path, text):
    """Save as editors do: another file takes the place of the first."""
    other = path.with_name(".saving")
    other.write_text(text)
    os.replace(other, path)


def test_a_save_changes_the_figures_and_runs_the_edited_function_alone(session, lfs):
    wait(session, saves(1))
    before = session.preview
    assert before.calls == 2 * 300
    began = time.perf_counter()
    replace_file(lfs, LFS.replace("ink < 66", "ink < 70"))
    wait(session, saves(2))
    # Measured .4 s alone; machines that run tests are busier.
    assert time.perf_counter() - began < 10
    now = session.preview
    assert now.calls == 300
    assert session.saves.saves[-1].edited == ("little_ink_is_one",)
    coverage = [one.coverage for one in now.functions]
    images = open_images("digits").read(preview_rows(1797, 300, 0)).pixels
    assert coverage[0] == np.mean(images.mean(axis=(1, 2, 3)) < 70)
    assert coverage[0] > before.functions[0].coverage
    assert coverage[1] == before.functions[1].coverage
    assert session.newest is now
    gained = int(((now.labels >= 0) & (before.labels < 0)).sum())
    lost = int(((now.labels < 0) & (before.labels >= 0)).sum())
    assert session.last_change.startswith(f"+{gained} labeled, {lost} no longer")


BROKEN = [
    ("def half(:\n", "my_lfs.py cannot be imported", "SyntaxError"),
    ("import sys\nsys.exit(3)\n", "my_lfs.py cannot be imported", "SystemExit"),
    ("import ctypes\nctypes.string_at(0)\n", "ended the process", ""),
    ("while True:\n    pass\n", "do not end", ""),
    (
        LFS.replace("return 1 if", "return 1 / 0 if"),
        "little_ink_is_one fails on every image",
        "ZeroDivisionError",
    ),
]


def test_a_broken_file_leaves_the_last_good_version(session, lfs):
    wait(session, saves(1))
    session.voting.patience_s, session.voting.careful_patience_s = 1.5, 1.5
    for turn, (text, message, trace) in enumerate(BROKEN, start=1):
        good = session.preview
        lfs.write_text(text)
        wait(session, lambda session: session.problem and found_out(session))
        assert message in session.problem.message
        assert trace in session.problem.traceback + str(session.problem.functions)
        assert session.preview is good
        lfs.write_text(LFS.replace("ink < 66", f"ink < {66 + turn}"))
        wait(session, saves(1 + turn))
        assert session.problem is None
        assert session.preview.functions[0].key != good.functions[0].key


@pytest.mark.slow
def test_a_function_that_hangs_is_killed_and_named(session, lfs):
    wait(session, saves(1))
    session.voting.patience_s = 1.5
    lfs.write_text(LFS.replace("return 0 if", "while True: pass\n    return 0 if"))
    wait(session, lambda session: session.problem and found_out(session))
    assert "empty_middle_is_zero" in session.problem.message
    assert session.preview.functions[1].coverage > 0


def test_what_the_studio_computed_apply_finds(whole_session, lfs, tmp_path, lfkit):
    session = whole_session
    wait(session, lambda session: session.full is not None)
    assert session.full.calls == 2 * 1797
    session.close()
    done = lfkit(
        *("apply", "digits", "--lfs", lfs, "--out", tmp_path / "run"),
        *("--no-baselines", "--no-sheet", "--json"),
    )
    assert done.code == 0, done.err
    assert json.loads(done.out)["lf_calls"] == 0


def test_what_apply_computed_the_studio_finds(lfs, tmp_path, lfkit):
    done = lfkit("apply", "digits", "--lfs", lfs, "--out", tmp_path / "run", "--json")
    assert json.loads(done.out)["lf_calls"] == 2 * 1797
    session = StudioSession(
        StudioOptions("digits", lfs=(str(lfs),), out=tmp_path / "run", preview=300)
    )
    session.voting.pause_before_all_s = 0
    session.start()
    wait(session, lambda session: session.full is not None)
    session.close()
    assert session.full.calls == 0
    assert len(session.full.rows) == 1797


def test_answers_change_labels_and_stay_for_the_next_session(session, lfs, tmp_path):
    wait(session, saves(1))
    truth = open_images("digits").labels
    rows = preview_rows(1797, 300, 0)[:12].tolist()
    for row in rows:
        session.answer([row], int(truth[row]), "drawn at random")
    given = read_labels(
        tmp_path / "run" / "seeds.csv", session.images.ids, session.class_names
    )
    assert given.rows.tolist() == sorted(rows)
    wait(session, lambda session: len(session.preview.seed_rows) == 12)
    at = np.searchsorted(session.preview.rows, rows)
    assert (session.preview.labels[at] == truth[rows]).all()
    first = session.preview.functions[0]
    assert first.judged == int((session.preview.seed_votes[:, 0] >= 0).sum())
    session.close()
    again = StudioSession(session.options)
    assert len(again.answers) == 12
    assert again.preview is not None


def test_images_stay_those_of_the_folder_when_the_run_lies_in_it(tmp_path, lfs, digits):
    from PIL import Image

    folder = tmp_path / "photos"
    folder.mkdir()
    for number, image in enumerate(digits[0][:20]):
        Image.fromarray(image[:, :, 0] * 15).save(folder / f"{number}.png")
    options = StudioOptions(str(folder), lfs=(str(lfs),), out=folder / "run")
    session = StudioSession(options)
    from lfkit.studio.thumbnails import Thumbnails

    Thumbnails(session.images, session.folder / "thumbnails").webp(0)
    assert len(StudioSession(options).images) == 20


def test_the_page_needs_no_torch(tmp_path, lfs):
    import subprocess
    import sys

    code = (
        "import sys\nfrom lfkit.studio.server import StudioServer\n"
        "from lfkit.studio.studio_session import StudioSession\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_answers_keep_columns_that_others_have_written(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("image_id,label,camera\na.png,cat,leica\nb.png,,canon\n")
    answers = SeedAnswers(path, ["a.png", "b.png", "c.png"], ("cat", "dog"), who="me")
    answers.give([2], 1, "chosen")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert rows[0]["camera"] == "leica"
    assert rows[0]["label"] == "cat"
    assert rows[-1] | {"when": ""} == {
        "image_id": "c.png",
        "label": "dog",
        "camera": "",
        "who": "me",
        "when": "",
        "why": "chosen",
    }
    assert read_labels(path, answers.ids, ("cat", "dog")).labels.tolist() == [0, 1]
    assert [(row["image_id"], row["camera"]) for row in rows[:2]] == [
        ("a.png", "leica"),
        ("b.png", "canon"),
    ]


def test_rows_of_others_stay_when_answers_come_and_go(tmp_path):
    path = tmp_path / "labels.csv"
    before = ",camera,path,label\n0,leica,a.png,cat\n1,canon,b.png,\n2,nikon,z.png,\n"
    path.write_text(before)
    answers = SeedAnswers(path, ["a.png", "b.png", "c.png"], ("cat", "dog"), who="me")
    answers.give([1, 2], 1, "chosen")
    rows = [line.split(",") for line in path.read_text().splitlines()]
    assert rows[0] == ["", "camera", "path", "label", "who", "when", "why"]
    assert [row[:5] for row in rows[1:]] == [
        ["0", "leica", "a.png", "cat", ""],
        ["1", "canon", "b.png", "dog", "me"],
        ["2", "nikon", "z.png", "", ""],
        ["", "", "c.png", "dog", "me"],
    ]
    answers.give([0, 1, 2], None, "chosen")
    kept = [
        f"{n},{camera},{x}.png,,,,"
        for n, camera, x in zip("012", ("leica", "canon", "nikon"), "abz", strict=True)
    ]
    assert path.read_text().splitlines()[1:] == kept
    assert answers.undo() == [0, 1, 2]
    assert answers.given().labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    "broken",
    [
        b"image_id,label\na,x\nb,yy\n",
        b"image_id,label\na,x\na,y\n",
        b"image_id,label\na,x,more\n",
        b"",
        b"image_id,label\na,\xff\n",
    ],
)
def test_a_file_that_cannot_be_read_is_not_written(tmp_path, broken):
    path = tmp_path / "seeds.csv"
    answers = SeedAnswers(path, ["a", "b", "c"], ("x", "y"))
    answers.give([0, 1], 0, "chosen")
    path.write_bytes(broken)
    for _ in range(2):
        with pytest.raises(DataError, match=r"seeds\.csv"):
            answers.reread()
        with pytest.raises(DataError, match=r"seeds\.csv"):
            answers.give([2], 1, "chosen")
        with pytest.raises(DataError, match=r"seeds\.csv"):
            answers.undo()
    assert path.read_bytes() == broken
    assert answers.given().labels.tolist() == [0, 0]
    path.write_text("image_id,label\na,x\nb,y\n")
    answers.give([2], 1, "chosen")
    assert answers.given().labels.tolist() == [0, 1, 1]


def test_two_studios_that_write_one_file_keep_all_answers(tmp_path):
    ids = [str(number) for number in range(40)]
    both = [SeedAnswers(tmp_path / "seeds.csv", ids, ("x", "y")) for _ in range(2)]
    threads = [
        threading.Thread(
            target=lambda own=own, first=first: [
                own.give([row], row % 2, "chosen") for row in range(first, 40, 2)
            ]
        )
        for first, own in enumerate(both)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = SeedAnswers(tmp_path / "seeds.csv", ids, ("x", "y")).given()
    assert found.rows.tolist() == [*range(40)]
    assert found.labels.tolist() == [0, 1] * 20


def test_undo_gives_back_what_was_there(tmp_path):
    answers = SeedAnswers(tmp_path / "seeds.csv", ["a", "b"], ("x", "y"))
    answers.give([0], 0, "chosen")
    answers.give([0, 1], 1, "chosen")
    answers.give([0], None, "chosen")
    assert answers.given().rows.tolist() == [1]
    assert answers.undo() == [0]
    assert answers.given().labels.tolist() == [1, 1]
    assert answers.undo() == [0, 1]
    assert answers.given().rows.tolist() == [0]
    assert answers.given().labels.tolist() == [0]
    answers.undo()
    assert answers.undo() == []
    assert len(answers) == 0


def test_answers_of_a_file_that_names_no_image_here_are_refused(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("image_id,label\nz.png,cat\n")
    with pytest.raises(DataError, match=r"z\.png"):
        SeedAnswers(path, ["a.png"], ("cat",))
    path.write_text("name,label\na.png,cat\n")
    with pytest.raises(DataError, match="image_id and label"):
        SeedAnswers(path, ["a.png"], ("cat",))


def test_answers_that_another_program_writes_are_read(tmp_path):
    path = tmp_path / "seeds.csv"
    answers = SeedAnswers(path, ["a", "b"], ("x", "y"))
    answers.give([0], 0, "chosen")
    assert not answers.reread()
    path.write_text("image_id,label\na,x\nb,y\n")
    assert answers.reread()
    assert answers.given().labels.tolist() == [0, 1]


def test_a_broken_file_that_is_looked_at_for_hours_takes_no_memory(tmp_path):
    path = tmp_path / "seeds.csv"
    answers = SeedAnswers(path, ["a", "b"], ("x", "y"))
    path.write_text("image_id,label\na,z\n")
    frames = []
    for _ in range(5):
        with pytest.raises(DataError, match="'z'") as found:
            answers.reread()
        frames.append(len(found.traceback))
    assert frames[1] == frames[-1]


def test_a_touched_file_has_not_changed_and_a_renamed_one_has(tmp_path):
    path = tmp_path / "my_lfs.py"
    path.write_text("a = 1\n")
    watch = FileWatch()
    watch.follow([path])
    os.utime(path, (1, 1))
    assert watch.changed() == []
    replace_file(path, "a = 2\n")
    assert watch.changed() == [path]
    path.unlink()
    assert watch.changed() == []
    path.write_text("a = 3\n")
    assert watch.changed() == [path]


def test_conflicts_are_where_no_class_satisfies_every_vote():
    from lfkit.data.votes import Votes

    allowed = np.zeros((3, 2, 3), bool)
    allowed[:, 1] = [[True, True, False]] * 3
    votes = Votes([[0, -1], [2, -1], [-1, -1]], ("a", "b"), 3, allowed=allowed)
    assert conflicted_images(votes).tolist() == [False, True, False]


def test_looks_of_the_same_image_are_the_same_and_of_others_are_not(digits, tmp_path):
    images = digits[0]
    looks, _, grays = looks_of(open_images("digits"), tmp_path, {})
    assert looks.shape == (1797, WIDTH)
    assert grays.shape == (1797, 576)
    assert np.isfinite(looks).all()
    found = pixel_looks(np.concatenate([images[:2], images[:1]]))
    assert (found[0] == found[2]).all()
    assert not (found[0] == found[1]).all()
    assert pixel_looks(np.zeros((1, 1, 1, 3), np.uint8)).shape == (1, 64 * 3 + 128)


def test_options_say_what_is_wrong(tmp_path):
    with pytest.raises(DeclarationError, match="--lfs"):
        StudioOptions("digits")
    for wrong in ({"preview": 0}, {"port": 70000}, {"seed_labels": "seeds.parquet"}):
        with pytest.raises(InputError, match=next(iter(wrong)).replace("_", "-")):
            StudioOptions("digits", lfs=("my_lfs.py",), **wrong)


def test_a_folder_is_read_in_a_fork_of_what_has_opened_it(tmp_path, digits, lfs):
    from PIL import Image

    folder = tmp_path / "photos"
    folder.mkdir()
    for number, image in enumerate(digits[0][:40]):
        Image.fromarray(image[:, :, 0] * 15).save(folder / f"{number}.png")
    made = StudioSession(
        StudioOptions(str(folder), lfs=(str(lfs),), out=tmp_path / "run"),
        timeout_s=4.0,
    )
    made.voting.pause_before_all_s = 0
    made.start()
    try:
        wait(made, lambda session: session.preview is not None)
        assert made.preview.calls == 2 * 40
        wait(made, lambda session: session.looks is not None)
    finally:
        made.close()


def test_images_can_be_labeled_before_there_is_a_function(tmp_path):
    path = tmp_path / "my_lfs.py"
    made = StudioSession(
        StudioOptions("digits", lfs=(str(path),), out=tmp_path / "run", preview=200)
    )
    made.start()
    try:
        wait(made, lambda session: session.problem is not None)
        assert made.problem.is_beginning
        compile(made.problem.traceback, "beginning", "exec")
        path.write_text('CLASSES = ["odd", "even"]\n')
        wait(made, lambda session: session.class_names == ("odd", "even"))
        made.answer([3], 1, "chosen")
        path.write_text(made.problem.traceback)
        wait(made, lambda session: session.preview is not None)
        assert made.problem is None
        assert made.preview.seed_rows.tolist() == [3]
    finally:
        made.close()


def test_a_notebook_shows_the_page_in_a_frame(tmp_path, lfs, lfkit):
    import http.client
    import re

    import lfkit as package

    run = tmp_path / "run"
    assert lfkit("apply", "digits", "--lfs", lfs, "--out", run).code == 0
    frame = package.studio(run, port=0, preview=100)
    try:
        shown = frame._repr_html_()
        found = re.search(r'src="http://127\.0\.0\.1:(\d+)(/t/[^"]+)"', shown)
        link = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=20)
        link.request("GET", found[2])
        answer = link.getresponse()
        assert answer.status == 200
        assert b"lfkit studio" in answer.read()
        assert "frame-ancestors" in answer.headers["content-security-policy"]
        link.close()
        again = package.studio(run, port=0, preview=50)  # the cell runs once more
        assert not frame.thread.is_alive()
        again.close()
    finally:
        frame.close()
    lfs.write_text(LFS + "\n# not run yet\nprint('x')\n")
    with pytest.raises(RunError, match="have not run here"):
        package.studio(run)
    with pytest.raises(AttributeError, match="no_such"):
        _ = package.no_such


def test_the_command_prints_an_address_and_ends_with_ctrl_c(tmp_path, lfs):
    import re
    import signal
    import subprocess
    import sys

    command = [
        *(sys.executable, "-m", "lfkit", "studio", "digits", "--lfs", str(lfs)),
        *("--out", str(tmp_path / "run"), "--no-browser", "--port", "0"),
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        lines = [process.stdout.readline() for _ in range(4)]
        assert re.search(r"http://127\.0\.0\.1:\d+/\?token=\S{20,}", "".join(lines))
        process.send_signal(signal.SIGINT)
        try:
            rest, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "Traceback" not in errors
    assert f"0 answers are in {tmp_path / 'run' / 'seeds.csv'}" in rest.replace(
        "\n", ""
    )


def test_what_is_missing_is_told_with_the_command_that_gets_it(monkeypatch, lfkit):
    from lfkit import studio

    monkeypatch.setattr(studio, "find_spec", lambda name: None)
    done = lfkit("studio", "digits", "--lfs", "my_lfs.py")
    assert done.code == 2
    assert "pip install 'lfkit[studio]'" in done.err


def test_names_that_look_like_formulas_come_back(tmp_path):
    path = tmp_path / "seeds.csv"
    ids, names = ["=1+1.png", "b.png"], ("cat", "dog")
    SeedAnswers(path, ids, names, who="@me").give([0, 1], 1, "=why")
    assert "\n=1+1" not in path.read_text()
    again = SeedAnswers(path, ids, names)
    assert again.given().labels.tolist() == [1, 1]
    assert again.why() == {0: "=why", 1: "=why"}
    assert read_labels(path, ids, names).labels.tolist() == [1, 1]


def test_other_classes_begin_anew(whole_session, lfs):
    session = whole_session
    wait(session, lambda session: session.full is not None)
    session.answer([3], 3, "chosen")
    lfs.write_text(LFS.replace("str(digit) for digit in range(10)", "'a', 'b', '3'"))
    wait(session, lambda session: session.class_names == ("a", "b", "3"))
    assert session.full is None or session.full.class_names == ("a", "b", "3")
    assert session.answers.given().labels.tolist() == [2]
    session.undo()


def test_a_run_folder_in_use_is_waited_for(whole_session, tmp_path):
    session = whole_session
    from lfkit.runs.store import locked

    (tmp_path / "run").mkdir(exist_ok=True)
    with locked(tmp_path / "run"):
        wait(session, lambda session: "another lfkit command" in str(session.busy))
        session.voting.retry_s = 0.5
    wait(session, lambda session: session.full is not None)
