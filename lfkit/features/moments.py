"""Moments, profiles and symmetry: how the brightness is spread over the image."""

from __future__ import annotations

import math
from functools import cache

import torch

from lfkit.features.feature import feature
from lfkit.features.gray import SIDE, gray28, silhouette
from lfkit.features.shape import centre_of_mass, second_moments

_RINGS = 8
_RING_PX = 2
# Below it, Hu's moments are rounding: they go linearly through 0 instead of to -inf.
_HU_FLOOR = 1e-8
_TINY = 1e-6


@feature(batched=True, of=[gray28])
def hu_moments(gray: torch.Tensor) -> torch.Tensor:
    """Hu's seven invariants, sign(h) * log10(1 + |h| / 1e-8): (n, 7).

    Hu (1962), https://doi.org/10.1109/TIT.1962.1057692, of the brightness at 28x28:
    the same for a shifted, scaled or turned object. A black image gives zeros.
    """
    eta = _normalised_moments(gray)  # (n, 4, 4): [p, q] of rows and columns
    n20, n02, n11 = eta[:, 2, 0], eta[:, 0, 2], eta[:, 1, 1]
    n30, n03, n21, n12 = eta[:, 3, 0], eta[:, 0, 3], eta[:, 2, 1], eta[:, 1, 2]
    a, b = n30 + n12, n21 + n03
    c, d = n30 - 3 * n12, 3 * n21 - n03
    u, v = a.square() - 3 * b.square(), 3 * a.square() - b.square()
    invariants = torch.stack(
        [
            n20 + n02,
            (n20 - n02).square() + 4 * n11.square(),
            c.square() + d.square(),
            a.square() + b.square(),
            c * a * u + d * b * v,
            (n20 - n02) * (a.square() - b.square()) + 4 * n11 * a * b,
            # Rows before columns is a reflection: only the seventh changes its sign.
            -(d * a * u - c * b * v),
        ],
        dim=1,
    )
    return invariants.sign() * torch.log10(1 + invariants.abs() / _HU_FLOOR)


@feature(batched=True, of=[gray28, centre_of_mass])
def radial_profile(gray: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """Mean brightness in 8 rings around the centre of mass: (n, 8).

    Rings are 2 px wide at 28x28 and the eighth holds all that is farther out; 0 for a
    ring that is outside the image.
    """
    line = torch.arange(SIDE, dtype=gray.dtype, device=gray.device)
    middle = (centre + 1) * ((SIDE - 1) / 2)  # (n, 2) row and column in pixels
    row, column = (line - middle[:, :, None]).square().unbind(dim=1)  # (n, 28) each
    squared = row[:, :, None] + column[:, None, :]
    sums, areas = [gray.new_zeros(len(gray))], [gray.new_zeros(len(gray))]
    for ring in range(1, _RINGS):
        inside = (squared < (ring * _RING_PX) ** 2).to(gray.dtype).flatten(1)
        areas.append(inside.sum(dim=1))
        sums.append(inside.mul_(gray.flatten(1)).sum(dim=1))
    areas.append(torch.full_like(sums[0], SIDE**2))
    sums.append(gray.sum(dim=(1, 2)))
    # Differences of growing discs: exact for areas, good to 1e-6 for sums.
    brightness = torch.stack(sums, dim=1).diff(dim=1)
    return (brightness / torch.stack(areas, dim=1).diff(dim=1).clamp(min=1)).relu()


@feature(batched=True, of=[gray28])
def row_profile(gray: torch.Tensor) -> torch.Tensor:
    """Mean brightness of each row of 28: (n, 28)."""
    return gray.mean(dim=2)


@feature(batched=True, of=[gray28])
def column_profile(gray: torch.Tensor) -> torch.Tensor:
    """Mean brightness of each column of 28: (n, 28)."""
    return gray.mean(dim=1)


@feature(batched=True, of=[gray28])
def top_bottom_asymmetry(gray: torch.Tensor) -> torch.Tensor:
    """How much of the brightness has no mirror image upside down: (n,) in [0, 1]."""
    return _unmatched(gray, gray.flip(1))


@feature(batched=True, of=[gray28])
def point_asymmetry(gray: torch.Tensor) -> torch.Tensor:
    """How much of the brightness is gone after half a turn: (n,) in [0, 1].

    Around the image's centre, at 28x28: 0 for a letter S in the middle.
    """
    return _unmatched(gray, gray.flip(1, 2))


@feature(batched=True, of=[second_moments])
def elongation(moments: torch.Tensor) -> torch.Tensor:
    """Eccentricity of the ellipse with the same second moments: (n,) in [0, 1].

    sqrt(1 - minor / major), of the variances along the axes of the brightness at 28x28:
    0 for a disc and a black image, 1 for a line.
    """
    down, across, slant = _covariance(moments)
    half = (down - across).square().add(4 * slant.square()).sqrt() / 2
    major, minor = (down + across) / 2 + half, (down + across) / 2 - half
    return (1 - minor.clamp(min=0) / major.clamp(min=_TINY)).sqrt() * (major > 0)


@feature(batched=True, of=[second_moments])
def orientation_angle(moments: torch.Tensor) -> torch.Tensor:
    """Degrees from upright to the brightness's long axis: (n,) in [-90, 90].

    Positive turns the top to the left, as in scikit-image's `orientation`; 0 is
    upright, -90 and 90 are both lying. 0 where no axis is longer.
    """
    down, across, slant = _covariance(moments)
    return torch.atan2(2 * slant, down - across) * (90 / math.pi)


@feature(batched=True, of=[silhouette])
def convexity(mask: torch.Tensor) -> torch.Tensor:
    """Area of the silhouette as a share of its row-and-column hull's: (n,).

    The hull holds each pixel that has silhouette pixels on both sides in its row, or on
    both sides in its column (or is one), at 28x28: gaps and holes count, a slanted
    outline does not. 1 for a convex shape and for an empty image.
    """
    hull = _between(mask, dim=2) | _between(mask, dim=1)
    area, whole = mask.sum(dim=(1, 2)), hull.sum(dim=(1, 2))
    return torch.where(whole > 0, area / whole.clamp(min=1), 1.0)


def _normalised_moments(gray: torch.Tensor) -> torch.Tensor:
    """Central moments of order p in rows and q in columns, scale-free: (n, 4, 4)."""
    line = torch.linspace(-1, 1, SIDE, dtype=gray.dtype, device=gray.device)
    mass = gray.sum(dim=(1, 2)).clamp(min=_TINY)[:, None]
    powers = []
    for dim in (2, 1):  # rows, then columns
        centre = gray.sum(dim=dim) @ line[:, None] / mass
        powers.append((line - centre)[..., None] ** _orders(gray.device))  # (n, 28, 4)
    # Centred before they are raised to powers: differences of raw moments would lose
    # all digits of a small object far from the middle.
    central = powers[0].transpose(1, 2) @ gray @ powers[1]
    order = _orders(gray.device)
    exponent = 1 + (order[:, None] + order) / 2
    # Lengths in pixels, of which half a side has 13.5.
    length = ((SIDE - 1) / 2) ** (order[:, None] + order)
    return central * length / mass[:, :, None] ** exponent


@cache
def _orders(device: torch.device) -> torch.Tensor:
    return torch.arange(4, dtype=torch.float32, device=device)


def _unmatched(gray: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
    difference = (gray - moved).abs().sum(dim=(1, 2))
    return difference / (2 * gray.sum(dim=(1, 2))).clamp(min=_TINY)


def _covariance(
    moments: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    down, across, slant = moments.unbind(dim=1)
    return down.square(), across.square(), slant


def _between(mask: torch.Tensor, *, dim: int) -> torch.Tensor:
    """Tell which pixels have the mask at or before, and at or after them."""
    before = mask.cumsum(dim)
    total = before.narrow(dim, SIDE - 1, 1)
    return (before > 0) & (total - before + mask > 0)
