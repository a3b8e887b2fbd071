"""Measures behind the rules of clothes that need no seeds: ground, hems, fronts, necks.

All work at 28x28, on black. Rows and columns are those of the image, bands those of the
object's bounding box; lengths are in image sides.
"""

import torch

from lf_library._fashion_features import outline_asymmetry, pieces, reach, underside
from lfkit import feature
from lfkit.features.gray import gray28, silhouette
from lfkit.features.shape import (
    aspect,
    band_mean,
    band_width,
    bounding_box,
    height,
    second_moments,
)

neck_width = band_width("neck_width", 0.0, 0.06)
collar_width = band_width("collar_width", 0.06, 0.12)
slope_width = band_width("slope_width", 0.12, 0.2)
chest_width = band_width("chest_width", 0.2, 0.3)
middle_width = band_width("middle_width", 0.5, 0.6)
hip_width = band_width("hip_width", 0.6, 0.7)
low_width = band_width("low_width", 0.8, 0.9)


def band_ink(name, start, stop):
    """Make a feature: how much of the image's width a band covers, (n,)."""

    @feature(name=name, batched=True, of=[silhouette, bounding_box])
    def ink(mask, box):
        """Covered share of the rows of one band."""
        return band_mean(mask.mean(dim=2), box, start, stop)

    return ink


top_ink = band_ink("top_ink", 0.0, 0.06)
upper_ink = band_ink("upper_ink", 0.0, 0.25)
slope_ink = band_ink("slope_ink", 0.12, 0.2)
middle_ink = band_ink("middle_ink", 0.4, 0.5)
lower_ink = band_ink("lower_ink", 0.5, 0.6)
low_ink = band_ink("low_ink", 0.8, 0.9)


def _valley(gray, dim):
    before = torch.cummax(gray, dim=dim).values
    after = torch.cummax(gray.flip(dim), dim=dim).values.flip(dim)
    return torch.minimum(before, after) - gray


@feature(batched=True, of=[gray28])
def ground(gray):
    """How much darker a pixel is than what lies on both sides of it: (n, 28, 28)."""
    return _valley(gray, 2)


def ground_beside(name, start, stop):
    """Make a feature: ground between body and both sleeves in a band, (n,)."""

    @feature(name=name, batched=True, of=[ground, bounding_box])
    def beside(depth, box):
        """How dark it is on the less dark side."""
        left, right = depth[:, :, 4:10].amax(dim=2), depth[:, :, 18:24].amax(dim=2)
        return band_mean(torch.minimum(left, right), box, start, stop)

    return beside


def ground_in_middle(name, start, stop):
    """Make a feature: ground between two bright sides in a band's middle, (n,)."""

    @feature(name=name, batched=True, of=[ground, bounding_box])
    def middle(depth, box):
        """How dark the darkest of six columns is."""
        return band_mean(depth[:, :, 11:17].amax(dim=2), box, start, stop)

    return middle


sleeve_ground = ground_beside("sleeve_ground", 0.4, 0.95)
low_sleeve_ground = ground_beside("low_sleeve_ground", 0.7, 1.0)
armpit_ground = ground_beside("armpit_ground", 0.35, 0.55)
leg_ground = ground_in_middle("leg_ground", 0.5, 1.0)
neck_ground = ground_in_middle("neck_ground", 0.0, 0.1)
chest_ground = ground_in_middle("chest_ground", 0.05, 0.3)


@feature(batched=True, of=[gray28, ground, silhouette])
def openings(gray, depth, mask):
    """Ground with ink left and right of it, and above and below it: (n, 2).

    Relative to the silhouette's area.
    """
    area = mask.mean(dim=(1, 2)).clamp(min=1 / 784)
    across, down = depth.mean(dim=(1, 2)), _valley(gray, 1).mean(dim=(1, 2))
    return torch.stack([across / area, down / area], dim=1)


@feature(batched=True, of=[pieces, bounding_box])
def broken_rows(found, box):
    """Share of rows, of upper rows, and of columns in several pieces: (n, 3)."""
    several = (found >= 2).to(found.dtype)
    rows, columns = several[:, :28], several[:, 28:].sum(dim=1)
    columns = columns / (box[:, 3] - box[:, 1]).clamp(min=1)
    halves = band_mean(rows, box, 0.0, 1.0), band_mean(rows, box, 0.0, 0.35)
    return torch.stack([*halves, columns], dim=1)


@feature(batched=True, of=[reach, bounding_box])
def side_top(high, box):
    """How far below the object's top its lower side begins: (n,), of its height."""
    return _at_sides(1 - high, box).amin(dim=2).amax(dim=1) - box[:, 0] / 28


@feature(batched=True, of=[side_top, height])
def sides_begin(below, tall):
    """The same as a share of the object's height: (n,)."""
    return below / tall.clamp(min=1 / 28)


def _at_sides(columns, box):
    """Take the three leftmost and rightmost columns of the object: (n, 2, 3)."""
    steps = torch.arange(3, device=columns.device)
    left = box[:, 1:2].long() + steps
    right = box[:, 3:4].long() - 1 - steps
    both = torch.stack([left, right], dim=1).clamp(0, 27)  # (n, 2, 3)
    return columns.gather(1, both.flatten(1)).view_as(both)


@feature(batched=True, of=[reach, bounding_box])
def side_height(high, box):
    """Height of the higher of both sides over the object's bottom: (n,)."""
    sides = torch.maximum(high[:, 20:27].mean(dim=1), high[:, 1:8].mean(dim=1))
    return sides - (1 - box[:, 2] / 28)


@feature(batched=True, of=[reach, bounding_box])
def shoulder_drop(high, box):
    """How far shoulders lie below the top, halfway out: (n,)."""
    beside = (high[:, 8:10].mean(dim=1) + high[:, 18:20].mean(dim=1)) / 2
    return 1 - beside - box[:, 0] / 28


@feature(batched=True, of=[reach, bounding_box])
def neck_drop(high, box):
    """How far the middle lies below the top: (n,)."""
    return 1 - high[:, 13:15].mean(dim=1) - box[:, 0] / 28


@feature(batched=True, of=[underside, bounding_box])
def hem(low, box):
    """How far the hem's middle hangs lower than beside it, and than all: (n, 2)."""
    middle = low[:, 12:16].mean(dim=1)
    beside = (low[:, 9:11].mean(dim=1) + low[:, 17:19].mean(dim=1)) / 2
    bottom = low[:, 11:17].mean(dim=1) - box[:, 2] / 28
    return torch.stack([middle - beside, bottom], dim=1)


def _middle_against_sides(maps):
    """Mean of (n, h, 28) maps over two middle columns, and over six beside: (n, h)."""
    beside = (maps[:, :, 9:12].mean(dim=2) + maps[:, :, 16:19].mean(dim=2)) / 2
    return maps[:, :, 13:15].mean(dim=2), beside


@feature(batched=True, of=[gray28, bounding_box])
def buttons(gray, box):
    """How much more goes on down the middle than beside it: (n, 2).

    As a difference of brightness steps, and as a ratio of their changes.
    """
    steps = (gray[:, 8:25] - gray[:, 7:24]).abs()
    middle, beside = _middle_against_sides(steps)
    changes = torch.zeros_like(gray)
    around = (gray[:, 2:] + gray[:, :-2]) / 2
    changes[:, 1:-1] = (gray[:, 1:-1] - around).abs()
    rows = [band_mean(x, box, 0.2, 0.9) for x in _middle_against_sides(changes)]
    ratio = rows[0] / (rows[1] + 0.01)
    return torch.stack([(middle - beside).mean(dim=1), ratio], dim=1)


def _down(maps, box, start, stop):
    """Average (n, 28, 28) maps over the rows of a band: (n, 28)."""
    lines = maps.transpose(1, 2).flatten(0, 1)  # (28 n, 28)
    boxes = box.repeat_interleave(28, dim=0)
    return band_mean(lines, boxes, start, stop).view(-1, 28)


@feature(batched=True, of=[gray28, bounding_box])
def front(gray, box):
    """A line down the middle, and an edge there: (n, 2).

    The line: the share of it that is of one sign all the way. The edge: against the
    strongest one beside it.
    """
    line, edge = torch.zeros_like(gray), torch.zeros_like(gray)
    line[:, :, 2:-2] = gray[:, :, 2:-2] - (gray[:, :, :-4] + gray[:, :, 4:]) / 2
    edge[:, :, 1:-1] = (gray[:, :, 2:] - gray[:, :, :-2]) / 2
    mean, size = (_down(x, box, 0.2, 0.9) for x in (line, line.abs()))
    straight = (mean.abs() / (size + 0.01))[:, 11:17].amax(dim=1)
    edges = _down(edge, box, 0.2, 0.9).abs()
    beside = (edges[:, 7:11].amax(dim=1) + edges[:, 17:21].amax(dim=1)) / 2
    return torch.stack([straight, edges[:, 12:16].amax(dim=1) / (beside + 0.02)], dim=1)


@feature(batched=True, of=[gray28, bounding_box])
def neckline(gray, box):
    """Edges at the neck: how far they run as a roof, not as a V; how strong: (n, 2)."""
    right, below = torch.zeros_like(gray), torch.zeros_like(gray)
    right[:, :, 1:-1] = (gray[:, :, 2:] - gray[:, :, :-2]) / 2
    below[:, 1:-1] = (gray[:, 2:] - gray[:, :-2]) / 2
    side = torch.sign(torch.arange(28, device=gray.device) - 13.5)
    slanted, energy = right * below * side, right.square() + below.square()
    slanted, top = (
        band_mean(x[:, :, 9:19].mean(dim=2), box, 0.0, 0.15) for x in (slanted, energy)
    )
    strong = band_mean(energy.sqrt()[:, :, 9:19].mean(dim=2), box, 0.05, 0.3)
    return torch.stack([slanted / (top + 0.002), strong], dim=1)


@feature(batched=True, of=[gray28, bounding_box])
def top_light(gray, box):
    """Brightness of the upper middle against the lower middle: (n,)."""
    middle = gray[:, :, 10:18].mean(dim=2)
    return band_mean(middle, box, 0.1, 0.35) - band_mean(middle, box, 0.6, 0.9)


@feature(batched=True, of=[gray28, bounding_box])
def body_light(gray, box):
    """Brightness of the body's middle, on fixed rows and on a band: (n, 2)."""
    middle = gray[:, :, 9:19].mean(dim=2)
    fixed = middle[:, 8:24].mean(dim=1)
    return torch.stack([fixed, band_mean(middle, box, 0.3, 0.9)], dim=1)


@feature(batched=True, of=[gray28, bounding_box])
def body_fade(gray, box):
    """How unlike the body's columns are in brightness, and its pixels: (n, 2)."""
    columns = _down(gray, box, 0.35, 0.85)[:, 8:20]
    pixels = gray[:, 8:24, 9:19].flatten(1)
    return torch.stack([columns.std(dim=1), pixels.std(dim=1)], dim=1)


@feature(batched=True, of=[gray28, bounding_box])
def hem_band(gray, box):
    """How much stronger lines lie across the hem than across the body: (n,)."""
    steps = torch.zeros_like(gray)
    steps[:, 1:-1] = (gray[:, 2:] - gray[:, :-2]) / 2
    lines = steps[:, :, 10:18].mean(dim=2).abs()
    return band_mean(lines, box, 0.8, 0.95) - band_mean(lines, box, 0.4, 0.8)


@feature(batched=True, of=[silhouette, reach])
def under_top_line(mask, high):
    """Share of the ground below the top line that is covered: (n,)."""
    return mask.mean(dim=(1, 2)) / high.mean(dim=1).clamp(min=1 / 784)


@feature(batched=True, of=[silhouette])
def mid_ink(mask):
    """Covered share of the image's six middle rows: (n,)."""
    return mask[:, 12:18].mean(dim=(1, 2))


def part(name, of, column):
    """Make a feature of one column of another, (n,)."""

    @feature(name=name, batched=True, of=[of])
    def one(values):
        """One number of several."""
        return values[:, column]

    return one


ground_across = part("ground_across", openings, 0)
ground_below = part("ground_below", openings, 1)
rows_in_pieces = part("rows_in_pieces", broken_rows, 0)
top_in_pieces = part("top_in_pieces", broken_rows, 1)
columns_in_pieces = part("columns_in_pieces", broken_rows, 2)
hem_roundness = part("hem_roundness", hem, 0)
hem_rise = part("hem_rise", hem, 1)
button_steps = part("button_steps", buttons, 0)
button_ratio = part("button_ratio", buttons, 1)
front_line = part("front_line", front, 0)
front_edge = part("front_edge", front, 1)
neck_roof = part("neck_roof", neckline, 0)
neck_edges = part("neck_edges", neckline, 1)
body_brightness = part("body_brightness", body_light, 0)
front_brightness = part("front_brightness", body_light, 1)
column_spread = part("column_spread", body_fade, 0)
body_spread = part("body_spread", body_fade, 1)
breadth_of_ink = part("breadth_of_ink", second_moments, 1)


@feature(batched=True, of=[top_light, sides_begin, aspect, height])
def is_garment(light, begin, shape, tall):
    """1 for what is tall, and covered at its top and at both sides of it: (n,)."""
    return ((tall > 0.8) & (light > -0.25) & (begin < 0.45) & (shape < 1)).float()


@feature(batched=True, of=[is_garment, middle_width, aspect, low_sleeve_ground])
def is_broad(garment, middle, shape, gaps):
    """1 for a garment of the breadth of long sleeves, with ground beside it: (n,)."""
    return garment * ((middle > 0.56) & (shape > 0.6) & (gaps > 0.06)).float()


@feature(batched=True, of=[is_garment, middle_width, leg_ground, aspect])
def is_slim(garment, middle, legs, shape):
    """1 for a garment that is slim in the middle, without legs: (n,)."""
    return garment * ((middle <= 0.6) & (legs < 0.4) & (shape < 0.95)).float()


@feature(batched=True, of=[sides_begin, outline_asymmetry, height, aspect])
def is_shoe(begin, uneven, tall, shape):
    """1 for what is broad, begins low on one side and is uneven: (n,)."""
    lopsided = (uneven > 0.2) | ((tall < 0.6) & (uneven > 0.1))
    return (lopsided & (begin > 0.35) & (shape > 0.7)).float()


@feature(batched=True, of=[is_slim, chest_width])
def is_sleeveless(slim, chest):
    """1 for a slim garment whose chest is narrow, too: (n,)."""
    return slim * (chest < 0.56).float()


@feature(batched=True, of=[is_garment, aspect, low_sleeve_ground, low_width])
def has_short_sleeves(garment, shape, gaps, low):
    """1 for a broad garment without ground beside a hem of middling width: (n,)."""
    middling = (low > 0.42) & (low < 0.65)
    return garment * ((shape > 0.6) & (gaps < 0.2) & middling).float()
