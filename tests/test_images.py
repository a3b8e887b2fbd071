import numpy as np

from lfkit.data.image_tensors import to_pixels, to_unit_range


def test_pixels_survive_the_way_to_tensors_and_back():
    pixels = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3) * 3
    images = to_unit_range(pixels)
    assert tuple(images.shape) == (2, 3, 3, 4)
    assert float(images.max()) <= 1
    assert np.array_equal(to_pixels(images), pixels)
