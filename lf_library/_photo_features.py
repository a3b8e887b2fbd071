"""Measures of photographs: colors of their parts, where their edges are and point.

Seen at 28x28. What has four columns gives the whole image, its upper third, its lower
third and its middle, in this order.
"""

import torch

from lf_library._clip_art_features import hsv28, rgb28
from lfkit import feature
from lfkit.features.edges import edge_strength, long_edges, sobel

WHOLE, TOP, BOTTOM, CENTRE = range(4)

_WHOLE = slice(None), slice(None)
_TOP = slice(0, 9), slice(None)
_BOTTOM = slice(19, 28), slice(None)
_CENTRE = slice(7, 21), slice(7, 21)
# Below the body and between the sides: where an animal's legs are.
_LEGS = slice(19, 26), slice(6, 22)
_CORNERS = (slice(0, 6), slice(0, 6)), (slice(0, 6), slice(22, 28))


def _in(maps, part):
    """Average (n, 28, 28) maps over a part: (n,)."""
    return maps[(slice(None), *part)].mean(dim=(1, 2))


def _by_part(maps):
    """Average (n, 28, 28) maps over the whole, top, bottom and centre: (n, 4)."""
    parts = _WHOLE, _TOP, _BOTTOM, _CENTRE
    return torch.stack([_in(maps, part) for part in parts], dim=1)


def share_of(name, is_color):
    """Make a feature: the share of each part that has a color, (n, 4).

    Parameters
    ----------
    is_color : function of hue in degrees, saturation and value, (n, 28, 28) each, that
        gives bool.
    """

    @feature(name=name, batched=True, of=[hsv28])
    def share(hsv):
        """Share of the pixels of each part that have one color: (n, 4)."""
        hue, saturation, value = hsv.unbind(dim=1)
        return _by_part(is_color(hue * 360, saturation, value).to(hsv.dtype))

    return share


def _is_blue(hue, saturation, value):
    return (hue > 170) & (hue < 260) & (saturation > 0.15) & (value > 0.3)


def _is_green(hue, saturation, value):
    return (hue > 60) & (hue < 170) & (saturation > 0.15) & (value > 0.15)


def _is_brown(hue, saturation, value):
    muted = (saturation > 0.2) & (saturation < 0.75) & (value > 0.15) & (value < 0.8)
    return (hue > 10) & (hue < 50) & muted


def _is_red(hue, saturation, value):
    return ((hue < 12) | (hue > 345)) & (saturation > 0.5) & (value > 0.3)


def _is_gray(hue, saturation, value):
    return (saturation < 0.15) & (value > 0.25) & (value <= 0.75)


def _is_dark(hue, saturation, value):
    return value < 0.2


blue = share_of("photo_blue", _is_blue)
green = share_of("photo_green", _is_green)
brown = share_of("photo_brown", _is_brown)
red = share_of("photo_red", _is_red)
gray = share_of("photo_gray", _is_gray)
dark = share_of("photo_dark", _is_dark)


@feature(batched=True, of=[hsv28])
def saturation(hsv):
    """Mean saturation of each part: (n, 4)."""
    return _by_part(hsv[:, 1])


@feature(batched=True, of=[hsv28])
def brightness(hsv):
    """Mean value (the brightest channel) of each part: (n, 4)."""
    return _by_part(hsv[:, 2])


@feature(batched=True, of=[edge_strength])
def edges_by_part(strength):
    """Mean edge strength of each part: (n, 4)."""
    return _by_part(strength)


@feature(batched=True, of=[edge_strength])
def corner_edges(strength):
    """Mean edge strength of the two upper corners: (n,)."""
    return torch.stack([_in(strength, part) for part in _CORNERS]).mean(dim=0)


@feature(batched=True, of=[sobel])
def upright_share(derivatives):
    """Share of the edges of each part that stand and do not lie: (n, 4)."""
    across, down = (_by_part(map_) for map_ in derivatives.abs().unbind(dim=1))
    return across / (across + down + 1e-3)


@feature(batched=True, of=[sobel])
def legs(derivatives):
    """How much stronger upright strokes than lying ones are below the middle: (n,)."""
    across, down = (_in(map_, _LEGS) for map_ in derivatives.abs().unbind(dim=1))
    return across - down


@feature(batched=True, of=[rgb28])
def largest_step_down(rgb):
    """Largest difference in mean color of a row and the next, of three: (n,)."""
    rows = rgb.mean(dim=3)  # (n, 3, 28)
    return rows.diff(dim=2).abs().sum(dim=1).amax(dim=1)


@feature(batched=True, of=[long_edges])
def upright_lines(grid):
    """How much of the image is long upright edges: (n,)."""
    return grid.view(-1, 2, 49)[:, 0].mean(dim=1)


@feature(batched=True, of=[long_edges])
def level_lines(grid):
    """How much of the image is long level edges: (n,)."""
    return grid.view(-1, 2, 49)[:, 1].mean(dim=1)
