"""scikit-learn's digits composed onto colored textures, in the way of house numbers.

A stand-in for tests and demonstrations where SVHN itself is not at hand: 32x32 RGB,
digits lighter or darker than the ground in any color, shifted, scaled and turned a
little, over gradients, stripes and noise, with parts of other digits at both sides.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lfkit.data.datasets.array_source import Arrays
from lfkit.data.datasets.digits import open_digits
from lfkit.errors import DataError

_SIDE = 32
_SEED = 20180618
_LEAST_CONTRAST = 0.3  # between the mean colors of digit and ground, in [0, 1]
_BLOCK = 256


def open_street_digits(split: str | None) -> Arrays:
    """Compose the same 1,797 images every time."""
    if split is not None:
        raise DataError(f"street-digits has no splits; leave out ':{split}'.")
    digits = open_digits(None)
    gray = digits.images.astype(np.float64) / 255  # (n, 8, 8)
    rng = np.random.default_rng(_SEED)
    parts = [
        composed(gray[start : start + _BLOCK], gray, rng)
        for start in range(0, len(gray), _BLOCK)
    ]
    return Arrays(np.concatenate(parts), digits.labels, digits.class_names)


def composed(
    gray: NDArray[np.float64], others: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Put (b, 8, 8) digits on grounds of their own: (b, 32, 32, 3)."""
    b = len(gray)
    shift = rng.uniform(-0.12, 0.12, (b, 2))
    mask = _placed(gray, shift, rng)
    for side in (-1, 1):
        beside = others[rng.integers(len(others), size=b)]
        place = np.stack([shift[:, 0], shift[:, 1] + side * rng.uniform(1.1, 1.6, b)])
        there = rng.random(b) < 0.6
        mask = np.maximum(mask, _placed(beside, place.T, rng) * there[:, None, None])
    ground, ink = _colors(b, rng)
    texture = _textures(b, rng)[..., None]
    image = ground[:, None, None] + 0.12 * texture
    image += mask[..., None] * (ink - ground)[:, None, None]
    image += rng.normal(0, 0.02, image.shape)
    return (image.clip(0, 1) * 255).round().astype(np.uint8)


def _placed(
    gray: NDArray[np.float64], shift: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Turn, scale and shift (b, 8, 8) digits, shift in image sides: (b, 32, 32)."""
    b = len(gray)
    angle, scale = rng.uniform(-0.15, 0.15, b), rng.uniform(0.8, 1.05, b)
    line = (np.arange(_SIDE) + 0.5) / _SIDE - 0.5
    down = line[:, None] - shift[:, 0, None, None] / 2
    across = line - shift[:, 1, None, None] / 2
    down, across = np.broadcast_arrays(down, across)
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    size = (8 / scale)[:, None, None]
    row = (cos * down - sin * across) * size + 3.5
    column = (sin * down + cos * across) * size + 3.5
    return _bilinear(gray, row, column)


def _bilinear(
    maps: NDArray[np.float64], row: NDArray[np.float64], column: NDArray[np.float64]
) -> NDArray[np.float64]:
    padded = np.pad(maps, ((0, 0), (2, 2), (2, 2)))
    row, column = row.clip(-1.5, 8.5) + 2, column.clip(-1.5, 8.5) + 2
    top, left = np.floor(row).astype(int), np.floor(column).astype(int)
    down, across = row - top, column - left
    image = np.arange(len(maps))[:, None, None]
    upper = padded[image, top, left] * (1 - across)
    upper += padded[image, top, left + 1] * across
    lower = padded[image, top + 1, left] * (1 - across)
    lower += padded[image, top + 1, left + 1] * across
    return upper * (1 - down) + lower * down


def _colors(
    b: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw colors of ground and ink that differ enough in brightness: (b, 3) each."""
    ground, ink = rng.uniform(0.1, 0.9, (2, b, 3))
    gap = (ink - ground).mean(axis=1)
    missing = np.maximum(_LEAST_CONTRAST - np.abs(gap), 0)[:, None] / 2
    towards = np.where(gap >= 0, 1, -1)[:, None]
    return ground - towards * missing, ink + towards * missing


def _textures(b: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw gradients plus stripes of any direction: (b, 32, 32) in about [-1, 1]."""
    line = np.linspace(-1, 1, _SIDE)
    slope = rng.uniform(-1, 1, (b, 2, 1, 1))
    direction = rng.uniform(0, np.pi, (b, 1, 1))
    wave = rng.uniform(2, 12, (b, 1, 1))
    along = np.cos(direction) * line[:, None] + np.sin(direction) * line
    stripes = np.sin(wave * along + rng.uniform(0, 2 * np.pi, (b, 1, 1)))
    strength = rng.uniform(0, 0.5, (b, 1, 1))
    gradient = slope[:, 0] * line[:, None] + slope[:, 1] * line
    return np.asarray(0.6 * gradient + strength * stripes)
