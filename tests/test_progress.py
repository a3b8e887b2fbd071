"""Progress bars, and lines in their place where output goes to a file."""

import itertools

import pytest

from lfkit.cli.progress import Bars


def test_a_file_is_told_the_time_left_twice_a_minute(capsys):
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
    clock = itertools.count()
    bars = Bars(quiet=quiet, clock=lambda: seconds * next(clock))
    for step in range(50):
        bars("reading", step, 50)
    bars.close()
    assert "left" not in capsys.readouterr().err
