"""The metrics' benchmark: memory that is watched, and noisy images."""

import numpy as np
import pytest

pytest.importorskip("psutil")

from benchmarks.common import one_thread
from benchmarks.metrics import Noisy
from lfkit.data.datasets import open_images


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield


def test_noisy_images_are_near_real_ones_and_not_the_same():
    real = open_images("digits")
    noisy = Noisy(real, 4000)
    assert len(noisy) == 4000
    rows = np.array([3, 1800])
    pixels, known = noisy.read(rows).pixels, real.read(rows % len(real)).pixels
    away = np.abs(pixels.astype(int) - known)
    assert 0 < away.max() <= 40
    assert (noisy.read(rows).pixels == pixels).all()
