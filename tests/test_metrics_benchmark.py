"""The metrics' benchmark: every part of its tables, and memory that is watched."""

import mmap
import re
import time

import numpy as np
import pytest

pytest.importorskip("psutil")

from benchmarks.common import one_thread
from benchmarks.metrics import NAMES, Noisy, PeakMemory, main
from lfkit.data.datasets import open_images


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield


def test_a_small_benchmark_has_every_row(capsys):
    options = ["--real", "digits", "--against", "digits", "--steps", "5"]
    main([*options, "--sizes", "200,300"])
    text = capsys.readouterr().out
    assert "| images | 200 | 300 |" in text
    for part in ("features", *NAMES, "all"):
        seconds = re.search(rf"^\| {part}, s \| ([\d.]+) \| ([\d.]+) \|$", text, re.M)
        assert seconds, part
        assert float(seconds[2]) >= 0
    assert re.search(r"^\| memory, MB \| \d+ \| \d+ \|$", text, re.M)
    assert re.search(
        r"^\| FID\[domain@\w{8}\] \| [\d.]+ \| 300 images, 1,797", text, re.M
    )
    assert re.search(r"^\| Parzen \| -?[\d.]+ \| 300 images", text, re.M)


def test_memory_that_was_taken_is_seen():
    # Pages of its own: an array may lie in what another test has given back.
    with PeakMemory() as memory, mmap.mmap(-1, 64_000_000) as taken:
        for _ in range(64):
            taken.write(bytes(1_000_000))
        time.sleep(0.2)
    assert 55 < memory.growth_mb < 120


def test_noisy_images_are_near_real_ones_and_not_the_same():
    real = open_images("digits")
    noisy = Noisy(real, 4000)
    assert len(noisy) == 4000
    rows = np.array([3, 1800])
    pixels, known = noisy.read(rows).pixels, real.read(rows % len(real)).pixels
    away = np.abs(pixels.astype(int) - known)
    assert 0 < away.max() <= 40
    assert (noisy.read(rows).pixels == pixels).all()
