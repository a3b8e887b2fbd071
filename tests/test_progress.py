"""Progress bars, and lines in their place where output goes to a file."""

import time

import pytest

from lfkit.cli.progress import Bars
from lfkit.data.progress import Stopwatch, Unlike


def test_a_file_is_told_the_time_left(capsys):
    now = 0.0
    bars = Bars(clock=lambda: now)
    for step in range(11):
        bars("training the network, float32", step, 500)
        now += 40  # seconds a step, of a slow machine
    bars.close()
    told = [line for line in capsys.readouterr().err.splitlines() if "left" in line]
    assert told[0] == "training the network, float32: 1 of 500, 5.5 h left"
    assert len(told) == 10


@pytest.mark.parametrize(("quiet", "seconds"), [(False, 0.01), (True, 100.0)])
def test_quick_work_and_quiet_bars_write_no_lines(capsys, quiet, seconds):
    now = 0.0
    bars = Bars(quiet=quiet, clock=lambda: now)  # asked by a thread, too
    for step in range(50):
        bars("reading", step, 50)
        now += seconds
    bars.close()
    assert "left" not in capsys.readouterr().err


@pytest.mark.parametrize("first", [0, 20])
def test_the_rate_is_of_all_the_work_done_now(capsys, first):
    now = 0.0
    with Bars(clock=lambda: now) as bars:
        for done in range(first, 41, 20):  # in large parts; some were done before
            bars("training", done, 40)
            now += 120
    line = capsys.readouterr().err.splitlines()[-1]
    assert "40/40" in line
    assert "0.2/s" in line


def test_a_stopwatch_tells_where_the_time_went():
    now, told = 0.0, []
    watch = Stopwatch(lambda *what: told.append(what), clock=lambda: now)
    for seconds, *what in [
        (1, "reading", 0, 2),  # nobody told what that second was for
        (2, "reading", 1, 2),
        (3, "reading", 2, 2),
        (4, "voting", 5, 9),  # its first word: nobody told what came before
        (5, "fitting", 0, 3),
        (6, "voting", 9, 9),
        (7, "refining: lda", 0, 1),
        (8, "refining: align", 1, 2),  # its first word ends what came before
    ]:
        now += seconds
        watch(*what)
    assert watch.seconds == {"reading": 5, "voting": 11, "refining: lda": 8}
    assert len(told) == 8


@pytest.mark.parametrize(
    ("stage", "done", "total"),
    [(Unlike("fitting on the seeds"), 32, 33), ("refining: lda", 0, 1), ("read", 3, 3)],
)
def test_silent_work_is_told_of_but_not_how_long_it_will_take(
    capsys, stage, done, total
):
    now = 0.0
    with Bars(clock=lambda: now) as bars:
        bars(stage, done - 1 if done else 0, total)
        now += 9
        bars(stage, done, total)
        now += 300
        deadline = time.monotonic() + 30
        told = ""
        while stage not in told and time.monotonic() < deadline:
            time.sleep(0.1)
            told += capsys.readouterr().err
    assert stage in told
    assert "left" not in told
