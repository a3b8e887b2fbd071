"""Measures of one thing in color on a plain ground: its figure, colors and parts.

The figure is what differs in color from the image's border. Pictures whose ground is
not plain have the wrong figure, or all of the image as figure.
"""

from functools import cache
from itertools import pairwise

import torch
import torch.nn.functional as F

from lfkit import feature
from lfkit.features.color import border_color, hsv64, rgb64
from lfkit.features.edges import edge_strength, long_edges, sobel
from lfkit.features.gray import SIDE, gray28, silhouette
from lfkit.features.image_parts import seen_in
from lfkit.features.shape import band_mean, bounding_box, centre_of_mass

# Distances of color that are one step from the ground, as from pale gray to white.
_STEP = 0.08
# A wheel's radius at 28 pixels, in a car as wide as the image.
_WHEEL_PX = 2.5
_SHADED = (0.02, 0.15)


@feature(batched=True, of=[rgb64])
def rgb28(rgb):
    """Red, green and blue at 28x28: (n, 3, 28, 28) in [0, 1]."""
    return F.interpolate(rgb, (SIDE, SIDE), mode="bilinear", antialias=True)


@feature(batched=True, of=[rgb28, border_color])
def figure(rgb, border):
    """How far each pixel's color is from the border's: (n, 28, 28) in [0, 1].

    The largest difference of a channel, weak ones raised by a square root.
    """
    off = (rgb - border[:, :, None, None]).abs().amax(dim=1)
    return (off - _STEP).clamp(min=0).sqrt()


@feature(batched=True, of=[seen_in(silhouette, figure)])
def body(mask):
    """The figure with what it encloses: (n, 28, 28), 0 or 1.

    Pixels that have figure above, below, left and right of them.
    """
    down, across = _between(mask, 1), _between(mask, 2)
    return torch.minimum(down, across)


def _between(mask, dim):
    after = torch.cummax(mask, dim=dim).values
    before = torch.cummax(mask.flip(dim), dim=dim).values.flip(dim)
    return torch.minimum(after, before)


figure_mask = seen_in(silhouette, figure)
body_box = seen_in(bounding_box, body)


def part_of_color(name, rows, columns):
    """Make a view for color features: a part of the picture, from 0 to 1."""

    @feature(name=name, batched=True, of=[rgb64])
    def cut_out(rgb):
        """One part of the picture in color: (n, 3, rows, columns)."""
        h, w = rgb.shape[2:]
        top, left = int(rows[0] * h), int(columns[0] * w)
        # At least a pixel, also of a picture one pixel wide.
        bottom = max(round(rows[1] * h), top + 1)
        right = max(round(columns[1] * w), left + 1)
        return rgb[:, :, top:bottom, left:right]

    return cut_out


color_top = part_of_color("color_top", (0, 0.5), (0, 1))
color_bottom = part_of_color("color_bottom", (0.5, 1), (0, 1))
color_centre = part_of_color("color_centre", (0.25, 0.75), (0.25, 0.75))


def in_color(what, view):
    """See a color feature in a part of the picture."""
    return seen_in(what, view, instead_of=rgb64)


def _mean_over(maps, mask):
    """Average (n, ..., 28, 28) maps over (n, 28, 28) masks: (n, ...)."""
    while mask.ndim < maps.ndim:
        mask = mask[:, None]
    return (maps * mask).sum(dim=(-2, -1)) / mask.sum(dim=(-2, -1)).clamp(min=1)


@feature(batched=True, of=[rgb28, body])
def body_color(rgb, mask):
    """Mean red, green and blue of the figure and what it encloses: (n, 3)."""
    return _mean_over(rgb, mask)


hsv28 = seen_in(hsv64, rgb28, instead_of=rgb64)


@feature(batched=True, of=[hsv28, figure_mask])
def named_colors(hsv, mask):
    """Shares of the figure that are black, white, gray and six hues: (n, 9).

    Hues: red, orange (skin and brown too), yellow, green, blue, purple. White within
    the figure is what its antialiased outline leaves.
    """
    hue, saturation, value = hsv.unbind(dim=1)
    black = value < 0.25
    plain = ~black & (saturation < 0.2)
    white, gray = plain & (value > 0.85), plain & (value <= 0.85)
    colored = ~black & ~plain
    turn = (hue * 360 + 15) % 360  # red from -15 degrees
    stops = (0, 30, 65, 90, 185, 275, 360)
    hues = [colored & (turn >= low) & (turn < high) for low, high in pairwise(stops)]
    found = torch.stack([black, white, gray, *hues], dim=1).to(hsv.dtype)
    return _mean_over(found, mask)


def _color_named(name, position, doc):
    @feature(name=name, batched=True, of=[named_colors])
    def share(shares):
        return shares[:, position]

    share.fn.__doc__ = doc
    return share


black_part = _color_named("black_part", 0, "Share of the figure that is black: (n,).")
yellow_part = _color_named("yellow_part", 5, "Share of the figure in yellow: (n,).")
blue_part = _color_named("blue_part", 7, "Share of the figure in blue: (n,).")


@feature(batched=True, of=[hsv28, figure_mask])
def saturation_and_value(hsv, mask):
    """Mean and deviation of the figure's saturation and value: (n, 4)."""
    values = hsv[:, 1:]
    mean, square = _mean_over(values, mask), _mean_over(values.square(), mask)
    return torch.cat([mean, (square - mean.square()).clamp(min=0).sqrt()], dim=1)


@feature(batched=True, of=[rgb28, body, body_box])
def color_from_top_to_bottom(rgb, mask, box):
    """Body's brightness and redness in the upper, middle and lower third: (n, 6)."""
    red, green, blue = rgb.unbind(dim=1)
    found = []
    for values in (rgb.mean(dim=1), red - blue / 2 - green / 2):
        rows = (values * mask).sum(dim=2) / mask.sum(dim=2).clamp(min=1)
        found += [
            band_mean(rows, box, third / 3, (third + 1) / 3) for third in (0, 1, 2)
        ]
    return torch.stack(found, dim=1)


@feature(batched=True, of=[rgb28, body])
def rim_and_core(rgb, mask):
    """How much the body's core is redder, greener and bluer than its rim: (n, 3)."""
    core = mask
    for _ in range(3):
        core = (
            1 - F.max_pool2d(1 - F.pad(core, (1, 1, 1, 1))[:, None], 3, stride=1)[:, 0]
        )
    return _mean_over(rgb, core) - _mean_over(rgb, mask - core)


@feature(batched=True, of=[body, seen_in(centre_of_mass, body)])
def roundness(mask, centre):
    """Share of the circle around the body that it fills: (n,), 1 for a disc."""
    place = torch.linspace(-1, 1, SIDE, device=mask.device)
    down = (place - centre[:, :1]).square()  # (n, 28)
    across = (place - centre[:, 1:]).square()
    radius = ((down[:, :, None] + across[:, None]) * mask).amax(dim=(1, 2))
    area = mask.mean(dim=(1, 2)) * 4
    return area / (torch.pi * radius).clamp(min=0.02)


@feature(batched=True, of=[body, body_box])
def rough_outline(mask, box):
    """Border pixels of the body for the size of its box: (n,)."""
    down = (mask[:, 1:] != mask[:, :-1]).sum(dim=(1, 2))
    across = (mask[:, :, 1:] != mask[:, :, :-1]).sum(dim=(1, 2))
    around = 2 * (box[:, 2] - box[:, 0] + box[:, 3] - box[:, 1])
    return (down + across) / around.clamp(min=1)


@feature(batched=True, of=[body, body_box])
def base_width(mask, box):
    """Share of its width that the body has in its lowest tenth: (n,)."""
    wide = (box[:, 3] - box[:, 1]).clamp(min=1)
    return band_mean(mask.sum(dim=2), box, 0.9, 1.0) / wide


@feature(batched=True, of=[gray28])
def dark_discs(gray):
    """How much darker a disc is than the ring around it: (n, 28, 28)."""
    return torch.einsum("rijk,njk->nri", _disc(gray.device), 1 - gray).view(-1, 28, 28)


@cache
def _disc(device):
    place = torch.arange(SIDE)
    off = (place[:, None] - place).square()  # (28, 28)
    squared = off[:, None, :, None] + off[None, :, None, :]  # (row, column, 28, 28)
    disc = (squared <= _WHEEL_PX**2).float()
    ring = ((squared > (_WHEEL_PX + 0.5) ** 2) & (squared <= 16)).float()
    kernel = disc / disc.sum(dim=(2, 3), keepdim=True)
    return (kernel - ring / ring.sum(dim=(2, 3), keepdim=True)).to(device)


@feature(batched=True, of=[dark_discs])
def wheels(discs):
    """How dark discs at the lower left and right are, the weaker of them: (n,)."""
    low = discs[:, SIDE // 2 :]
    left, right = low[:, :, : SIDE // 2], low[:, :, SIDE // 2 :]
    return torch.minimum(left.amax(dim=(1, 2)), right.amax(dim=(1, 2)))


@feature(batched=True, of=[long_edges])
def straight_lines(grid):
    """Long upright and long lying edges: (n, 2)."""
    return grid.view(-1, 2, 49).mean(dim=2)


@feature(batched=True, of=[long_edges])
def lines_down_the_rows(grid):
    """Long lying edges of the upper, middle and lower rows: (n, 3)."""
    rows = grid.view(-1, 2, 7, 7)[:, 1].mean(dim=2)
    return torch.stack(
        [rows[:, :2].mean(dim=1), rows[:, 2:5].mean(dim=1), rows[:, 5:].mean(dim=1)],
        dim=1,
    )


@feature(batched=True, of=[sobel])
def slanted_share(derivatives):
    """Share of the edges that neither lie nor stand: (n,)."""
    right, below = derivatives.abs().unbind(dim=1)
    slanted = torch.minimum(right, below).sum(dim=(1, 2))
    return slanted / torch.maximum(right, below).sum(dim=(1, 2)).clamp(min=1e-3)


@feature(batched=True, of=[edge_strength, body])
def shading(strength, mask):
    """Share of the body that is flat, softly shaded and edged: (n, 3)."""
    low, high = _SHADED
    flat, edged = strength < low, strength > high
    found = torch.stack([flat, ~flat & ~edged, edged], dim=1).to(strength.dtype)
    return _mean_over(found, mask)
