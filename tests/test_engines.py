"""An engine says of every item how it ended, whatever dies and whenever."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from lfkit.engines import LocalEngine


@dataclass
class _Waits:
    """Doubles a number after a while; a number in `deadly` ends its process."""

    folder: Path
    seconds: tuple[float, ...]
    deadly: tuple[int, ...] = ()
    only_once: bool = False

    def open(self):
        pass

    def __call__(self, item):
        marker = self.folder / f"{item} has died"
        time.sleep(self.seconds[item])
        if item in self.deadly and not (self.only_once and marker.exists()):
            marker.touch()
            os._exit(9)
        return 2 * item


def test_no_item_is_lost_where_a_process_dies_while_the_caller_is_busy(tmp_path):
    task = _Waits(tmp_path, (0, 0.3, 0, 0, 0), deadly=(1,), only_once=True)
    found = {}
    for ended in LocalEngine(2).map(task, range(5)):
        found[ended.item] = ended.result
        deadline = time.monotonic() + 20
        while not (tmp_path / "1 has died").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3)  # the pool sees that it is broken
    assert found == {item: 2 * item for item in range(5)}


def test_only_the_item_that_kills_fails_even_with_one_try(tmp_path):
    task = _Waits(tmp_path, (0.6, 0.3, 0), deadly=(1,))
    ended = LocalEngine(2, most_tries=1).map(task, range(3))
    found = {each.item: (each.result, bool(each.failure)) for each in ended}
    assert found == {0: (0, False), 1: (None, True), 2: (4, False)}


WAITING = """
import signal, sys, time

def slowly(*_):
    time.sleep(1)  # time for others to say something
    raise KeyboardInterrupt

if __name__ != "__main__":
    print("starting", flush=True)
    time.sleep(60)

class Sleeps:
    def open(self): pass
    def __call__(self, item): time.sleep(60)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, slowly)
    from lfkit.engines import LocalEngine
    list(LocalEngine(2).map(Sleeps(), [0, 1, 2]))
"""


def test_ctrl_c_ends_processes_that_are_still_starting_without_a_word(tmp_path):
    (tmp_path / "waiting.py").write_text(WAITING)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "waiting.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert "starting" in process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, told = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert told.count("Traceback") == 1  # the parent's
    assert "KeyboardInterrupt" in told


DOUBLING = """
class Doubles:
    def open(self): pass
    def __call__(self, item): return 2 * item

if __name__ == "__main__":
    from lfkit.engines import LocalEngine, RayEngine
    engine = ENGINE
    print([each.result for each in engine.map(Doubles(), [7])])
"""


@pytest.mark.parametrize("engine", ["LocalEngine(2)", "RayEngine(n_actors=1)"])
def test_a_starting_process_imports_nothing_from_the_current_folder(tmp_path, engine):
    if "Ray" in engine and find_spec("ray") is None:
        pytest.skip("ray is not installed")
    (tmp_path / "here").mkdir()
    for name in (
        "pickle",
        "socket",
        "signal",
        "threading",
        "logging",
        "numpy",
        "torch",
    ):
        path = tmp_path / "here" / f"{name}.py"
        path.write_text(f"open({str(tmp_path / 'it ran')!r}, 'w')\n")
    (tmp_path / "doubling.py").write_text(DOUBLING.replace("ENGINE", engine))
    done = subprocess.run(
        [sys.executable, tmp_path / "doubling.py"],
        cwd=tmp_path / "here",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "[14]\n", done.stderr
    assert not (tmp_path / "it ran").exists()
