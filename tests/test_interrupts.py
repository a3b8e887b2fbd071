"""Ctrl-C ends what runs, whatever it is doing."""

import subprocess
import sys

PRESSED_WHILE_A_TABLE_IS_READ = """
import os, signal, sys, threading, time
from pathlib import Path
from lfkit.data.tables import read_table

# What it imports is loaded before: Python itself loses a Ctrl-C while modules load.
read_table(Path(sys.argv[1]), ("image_id", "label"))
me = os.getpid()
for number in range(40):
    press = threading.Timer(0.002 * (1 + number % 7), os.kill, (me, signal.SIGINT))
    end = time.monotonic() + 5
    try:
        press.start()
        while time.monotonic() < end:
            read_table(Path(sys.argv[1]), ("image_id", "label"))
        sys.exit("lost")
    except KeyboardInterrupt:
        press.join()
"""


def test_ctrl_c_is_not_lost_while_a_table_is_read(tmp_path):
    path = tmp_path / "seeds.csv"
    path.write_text("image_id,label\n" + "a,b\n" * 5)
    done = subprocess.run(
        [sys.executable, "-c", PRESSED_WHILE_A_TABLE_IS_READ, path],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
