"""SIFT descriptors on a regular grid of keypoints."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F

from lfkit.features.feature import feature
from lfkit.features.gray import SIDE, gray28

# Windows of 16 pixels, at every place where they fit by steps of 2. On Fashion-MNIST
# words of windows of 12 and 8 pixels are no better and cost more.
CELL_PX = 4
KEYPOINTS_PX = tuple(range(2 * CELL_PX, SIDE - 2 * CELL_PX + 1, 2))  # 8, 10, ..., 20
_N_CELLS = 4
_N_ORIENTATIONS = 8
N_VALUES = _N_CELLS**2 * _N_ORIENTATIONS
# Half of Lowe's 1.6, for small pictures: words from unblurred images, or with 4/3,
# cost .01 (Fashion-MNIST).
BLUR_PX = 0.8
_CLIP = 0.2
_EPS = 1e-4
# Far below a gray level (.004), far above the rounding of float32, which normalising
# would blow up on flat ground.
_FLAT = 1e-5
_GRID_PX = (10, 18)


@feature(batched=True, of=[gray28])
def sift_descriptors(gray: torch.Tensor) -> torch.Tensor:
    """SIFT at 7x7 keypoints two pixels apart: (n, 49, 128).

    Lowe (2004), https://doi.org/10.1023/B:VISI.0000029664.99615.94, section 6.1:
    gradients weighted by a Gaussian around the keypoint, shared bilinearly by 4x4 cells
    and linearly by 8 orientations, normalised, clipped at .2, normalised. Working size
    28x28, cells of 4 pixels, one scale. All keypoints are upright: orientation says
    what a garment or a digit is. Rows of keypoints from the top; in each, cells from
    the top left, and the orientations counterclockwise from rightwards.
    """
    maps = _orientation_maps(gray)  # (n, 8, 28, 28)
    window = _window_matrix(gray.device)  # (7 * 4, 28)
    sums = window @ (maps @ window.T)
    per_side = len(KEYPOINTS_PX)
    sums = sums.view(-1, _N_ORIENTATIONS, per_side, _N_CELLS, per_side, _N_CELLS)
    sums = sums.permute(0, 2, 4, 3, 5, 1).reshape(len(gray), per_side**2, N_VALUES)
    clipped = sums.div_(_length(sums)).clamp_(max=_CLIP)
    return clipped.div_(_length(clipped))


@feature(batched=True, of=[sift_descriptors])
def sift_grid(descriptors: torch.Tensor) -> torch.Tensor:
    """SIFT at the four keypoints around the middle: (n, 512).

    The 16-pixel windows around rows and columns 10 and 18 cover nearly all of the 28x28
    image.
    """
    places = [KEYPOINTS_PX.index(place) for place in _GRID_PX]
    per_side = len(KEYPOINTS_PX)
    keypoints = [row * per_side + column for row in places for column in places]
    return descriptors[:, keypoints].flatten(1)


def _orientation_maps(gray: torch.Tensor) -> torch.Tensor:
    """Length of the gradient, shared by the two nearest orientations: (n, 8, 28, 28).

    Central differences of the blurred image; nothing on the border.
    """
    blur, difference = _gradient_matrices(gray.device)
    right = blur @ gray @ difference.T
    up = -(difference @ gray @ blur.T)
    length = (right.square() + up.square()).sqrt_()
    length = F.threshold(length, _FLAT, 0.0)[:, None]
    angle = torch.atan2(up, right).mul_(_N_ORIENTATIONS / (2 * math.pi))
    angle = torch.where(angle < 0, angle + _N_ORIENTATIONS, angle)[:, None]  # 0 ... 8
    bins = torch.arange(_N_ORIENTATIONS, device=gray.device).view(-1, 1, 1)
    # 4 - |4 - gap| is the gap round the circle, and 1 less that gap the share: in
    # place, because new memory for 8 maps takes longer than the arithmetic.
    half = _N_ORIENTATIONS / 2
    gap = (angle - bins).abs_()
    return gap.sub_(half).abs_().sub_(half - 1).clamp_(min=0).mul_(length)


def _length(values: torch.Tensor) -> torch.Tensor:
    return (values.square().sum(dim=2, keepdim=True) + _EPS**2).sqrt_()


@cache
def _gradient_matrices(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Blur 28 pixels, and blur and difference them: two (28, 28), mirrored borders.

    First and last rows are 0: those pixels have no central difference.
    """
    radius = math.ceil(4 * BLUR_PX)
    offsets = np.arange(-radius, radius + 1)
    taps = np.exp(-(offsets**2) / (2 * BLUR_PX**2))
    blur = np.zeros((SIDE, SIDE))
    last = SIDE - 1
    for row in range(SIDE):
        mirrored = last - np.abs(last - np.abs(row + offsets))
        np.add.at(blur[row], mirrored, taps / taps.sum())
    difference = np.zeros((SIDE, SIDE))
    difference[1:-1] = blur[2:] - blur[:-2]
    blur[[0, -1]] = 0
    return (
        torch.tensor(blur, dtype=torch.float32, device=device),
        torch.tensor(difference, dtype=torch.float32, device=device),
    )


@cache
def _window_matrix(device: torch.device) -> torch.Tensor:
    """Weigh 28 pixels for each cell of each keypoint along one axis: (7 * 4, 28).

    Both weights are products of a row's and a column's: the bilinear share of a cell,
    and the Gaussian, whose sigma is half the window's width.
    """
    offset = (np.arange(SIDE) - np.array(KEYPOINTS_PX)[:, None, None]) / CELL_PX
    centres = np.arange(_N_CELLS)[:, None] - (_N_CELLS - 1) / 2
    share = np.clip(1 - np.abs(offset - centres), 0, None)  # (7, 4, 28)
    weights = share * np.exp(-(offset**2) / (2 * (_N_CELLS / 2) ** 2))
    return torch.tensor(weights.reshape(-1, SIDE), dtype=torch.float32, device=device)
