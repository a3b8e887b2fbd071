"""Toy photos, brighter on the left or on the right, for tests and the fuzzer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

# Functions that name the brighter half; files add others to it.
HALVES = """
from lfkit import ABSTAIN, feature, labeling_function

CLASSES = ("left", "right")

@feature(batched=True)
def left_minus_right(images):
    half = images.shape[3] // 2
    left, right = images[..., :half], images[..., half:]
    return left.mean(dim=(1, 2, 3)) - right.mean(dim=(1, 2, 3))

@labeling_function(features=[left_minus_right], classes=[0, 1], batched=True)
def brighter_half_names_it(values):
    return (values < 0).long()
"""
LAST_COLUMN = """
@labeling_function(classes=[1])
def bright_last_column_is_right(image):
    return 1 if image[:, -1].mean() > 120 else ABSTAIN
"""
# A generator that is trained on them in a second.
TOY = ["--set", "batch=8", "--set", "width=16", "--set", "z_dim=8"]
TOY += ["--set", "reader_steps=10"]
_COLORS = np.array([[0.2, 0.9, 0.5], [0.9, 0.3, 0.6]])


def write_photos(
    folder: Path, n_images: int = 60, *, side: int = 8, colored: bool = False
) -> list[str]:
    """Write photos 00.png, 01.png, …, by turns brighter on the left and on the right.

    Parameters
    ----------
    folder : it is made.
    side : in pixels.
    colored : in one of two colors each, not gray.

    Returns
    -------
    their names.
    """
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    names = [f"{number:02d}.png" for number in range(n_images)]
    for number, name in enumerate(names):
        pixels = rng.integers(0, 60, size=(side, side)).astype(np.uint8)
        half = slice(0, side // 2) if number % 2 == 0 else slice(side // 2, side)
        pixels[:, half] += 160
        if colored:
            color = _COLORS[rng.integers(2)]
            pixels = (pixels[..., None] * color).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return names
