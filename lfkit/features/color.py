"""Colors: histograms, moments, a coarse map, the border, and shares of named colors."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F

from lfkit.features.feature import feature
from lfkit.features.gray import gray28

_BINS = 16
# What is left of a large picture is enough for shares and means.
_MOST_PX = 64
_HUES, _SATURATIONS, _VALUES, _GRAYS = 8, 3, 3, 8
# Below this range between the channels a hue is noise (of JPEG, of antialiasing).
_COLORLESS = 0.1
_LEVELS = 4
_DISTINCT_SHARE = 0.01
_GRID = 4
_RING_SHARE = 1 / 14
_LIKE_BORDER = 0.1
_COLORED = 0.2
# CIE 1931, sRGB primaries and white D65: rows X, Y, Z over white's X, Y, Z.
_XYZ = (
    (0.412453 / 0.95047, 0.357580 / 0.95047, 0.180423 / 0.95047),
    (0.212671, 0.715160, 0.072169),
    (0.019334 / 1.08883, 0.119193 / 1.08883, 0.950227 / 1.08883),
)


@feature(batched=True, of=[gray28])
def intensity_histogram(gray: torch.Tensor) -> torch.Tensor:
    """Share of the pixels in each of 16 equal ranges of brightness: (n, 16).

    Working size 28x28.
    """
    return _histogram(gray.flatten(1))


@feature(batched=True)
def color_histogram(images: torch.Tensor) -> torch.Tensor:
    """Share of the pixels in each of 16 ranges, channel by channel: (n, c * 16).

    Any size; a gray image gives the histogram of its one channel.
    """
    n, c = images.shape[:2]
    return _histogram(images.reshape(n * c, -1)).reshape(n, c * _BINS)


def _histogram(values: torch.Tensor) -> torch.Tensor:
    bins = (values * _BINS).to(torch.int64).clamp_(0, _BINS - 1)
    counts = values.new_zeros(len(values), _BINS)
    # Whole-number sums are exact, so the order in which a GPU adds does not matter.
    counts.scatter_add_(1, bins, torch.ones_like(values))
    return counts / values.shape[1]


@feature(batched=True)
def rgb64(images: torch.Tensor) -> torch.Tensor:
    """Red, green and blue in [0, 1]: (n, 3, h, w), sides of at most 64 pixels.

    Larger images are reduced by averaging areas. One channel, or the mean of any number
    but three, is repeated.
    """
    h, w = images.shape[2:]
    if images.shape[1] not in (1, 3):
        images = images.mean(dim=1, keepdim=True)
    if max(h, w) > _MOST_PX:
        images = F.adaptive_avg_pool2d(images, (min(h, _MOST_PX), min(w, _MOST_PX)))
    return images.expand(-1, 3, -1, -1)


@feature(batched=True, of=[rgb64])
def hsv64(rgb: torch.Tensor) -> torch.Tensor:
    """Hue, saturation and value in [0, 1], as in scikit-image: (n, 3, h, w).

    Hue 0 is red, 1/3 green, 2/3 blue; gray has hue and saturation 0. Sides of at most
    64 pixels.
    """
    red, green, blue = rgb.unbind(dim=1)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    divisor = torch.where(chroma > 0, chroma, 1.0)
    from_red = (green - blue) / divisor
    from_green = (blue - red) / divisor + 2
    from_blue = (red - green) / divisor + 4
    hue = torch.where(value == green, from_green, from_blue)
    hue = torch.where(value == red, from_red, hue).mul_(1 / 6)
    hue = torch.where(hue < 0, hue + 1, hue)
    hue = torch.where(chroma > 0, hue, 0.0)
    saturation = chroma / torch.where(value > 0, value, 1.0)
    return torch.stack([hue, saturation, value], dim=1)


@feature(batched=True, of=[hsv64])
def hsv_histogram(hsv: torch.Tensor) -> torch.Tensor:
    """Share of the pixels per hue, saturation and value: (n, 8 * 3 * 3 + 8).

    8 hues (the first is centred on red), 3 saturations, 3 values; the last 8 bins hold
    by their value the pixels whose channels differ by less than .1, which have no hue.
    Sides of at most 64 pixels.
    """
    hue, saturation, value = hsv.flatten(2).unbind(dim=1)  # (n, h * w) each
    chromatic = (hue * _HUES).round_().remainder_(_HUES) * _SATURATIONS
    chromatic = (chromatic + _level(saturation, _SATURATIONS)) * _VALUES
    chromatic = chromatic + _level(value, _VALUES)
    n_chromatic = _HUES * _SATURATIONS * _VALUES
    gray = n_chromatic + _level(value, _GRAYS)
    bins = torch.where(saturation * value < _COLORLESS, gray, chromatic)
    return _shares(bins, n_chromatic + _GRAYS)


@feature(batched=True, of=[rgb64])
def coarse_colors(rgb: torch.Tensor) -> torch.Tensor:
    """Share of the pixels in each of 4 x 4 x 4 boxes of red, green, blue: (n, 64)."""
    red, green, blue = _level(rgb.flatten(2), _LEVELS).unbind(dim=1)
    return _shares((red * _LEVELS + green) * _LEVELS + blue, _LEVELS**3)


@feature(batched=True, of=[coarse_colors])
def distinct_colors(shares: torch.Tensor) -> torch.Tensor:
    """How many of 64 coarse colors have at least 1 % of the pixels: (n,)."""
    return (shares >= _DISTINCT_SHARE).sum(dim=1)


@feature(batched=True, of=[coarse_colors])
def dominant_color_share(shares: torch.Tensor) -> torch.Tensor:
    """Share of the pixels that have the most frequent of 64 coarse colors: (n,)."""
    return shares.amax(dim=1)


@feature(batched=True, of=[rgb64])
def color_moments(rgb: torch.Tensor) -> torch.Tensor:
    """Mean, deviation and skewness of three opponent channels: (n, 3 * 3).

    Stricker & Orengo (1995), https://doi.org/10.1117/12.205308, eq. 2: the skewness is
    the third root of the third central moment. Channels: brightness (R + G + B) / 3,
    R - G, and (R + G) / 2 - B, at sides of at most 64 pixels.
    """
    red_green, yellow_blue = _opponents(rgb)
    brightness = rgb.mean(dim=1).flatten(1)
    channels = torch.stack([brightness, red_green, yellow_blue], dim=1)
    mean = channels.mean(dim=2, keepdim=True)
    off = channels - mean
    squared = off.square()
    deviation = squared.mean(dim=2).sqrt()
    third = squared.mul_(off).mean(dim=2)
    skewness = third.sign() * third.abs() ** (1 / 3)
    return torch.stack([mean[:, :, 0], deviation, skewness], dim=1).flatten(1)


@feature(batched=True, of=[rgb64])
def colorfulness(rgb: torch.Tensor) -> torch.Tensor:
    """How colorful it looks, from 0 (gray) on; 33 moderately, 82 highly: (n,).

    Hasler & Suesstrunk (2003), https://doi.org/10.1117/12.477378, M3, on 0 to 255, at
    sides of at most 64 pixels.
    """
    opponents = torch.stack(_opponents(rgb))  # (2, n, h * w)
    mean = opponents.mean(dim=2)
    variance = (opponents - mean[:, :, None]).square().mean(dim=2)
    return 255 * (variance.sum(dim=0).sqrt() + 0.3 * mean.square().sum(dim=0).sqrt())


@feature(batched=True, of=[rgb64])
def color_grid(rgb: torch.Tensor) -> torch.Tensor:
    """Mean color of each cell of a 4x4 grid, in CIE Lab / 100: (n, 16 * 3).

    The cell's mean red, green and blue, as lightness, green-red and blue-yellow (white
    D65). A side of fewer than 4 pixels repeats them.
    """
    cells = F.adaptive_avg_pool2d(rgb, _GRID).flatten(2).transpose(1, 2)  # (n, 16, 3)
    linear = torch.where(
        cells > 0.04045, ((cells + 0.055) / 1.055) ** 2.4, cells / 12.92
    )
    xyz = linear @ torch.tensor(_XYZ, device=rgb.device).T
    x, y, z = torch.where(
        xyz > 0.008856, xyz ** (1 / 3), 7.787 * xyz + 16 / 116
    ).unbind(dim=2)
    lab = torch.stack([1.16 * y - 0.16, 5 * (x - y), 2 * (y - z)], dim=2)
    return lab.flatten(1)


@feature(batched=True, of=[rgb64])
def border_color(rgb: torch.Tensor) -> torch.Tensor:
    """Median red, green and blue of the ring along the border: (n, 3).

    The ring is 1/14 of the shorter side wide, at least a pixel. The median, because an
    object that touches the border would shift a mean away from every pixel.
    """
    return _ring(rgb).median(dim=2).values


@feature(batched=True, of=[rgb64, border_color])
def border_uniformity(rgb: torch.Tensor, border: torch.Tensor) -> torch.Tensor:
    """Share of the border ring within .1 of its median in each channel: (n,)."""
    return _share_like(_ring(rgb), border)


@feature(batched=True, of=[rgb64, border_color])
def background_share(rgb: torch.Tensor, border: torch.Tensor) -> torch.Tensor:
    """Share of all pixels within .1 of the border's color in each channel: (n,)."""
    return _share_like(rgb.flatten(2), border)


@feature(batched=True, of=[hsv64])
def warm_share(hsv: torch.Tensor) -> torch.Tensor:
    """Share of the pixels from red to yellow (330 to 70 degrees): (n,).

    Counted where saturation and value are above .2, at sides of at most 64 pixels.
    """
    hue, colored = hsv[:, 0], _colored(hsv)
    return _mean(colored & ((hue < 70 / 360) | (hue >= 330 / 360)))


@feature(batched=True, of=[hsv64])
def green_share(hsv: torch.Tensor) -> torch.Tensor:
    """Share of the pixels that are green (70 to 170 degrees), as warm_share: (n,)."""
    hue, colored = hsv[:, 0], _colored(hsv)
    return _mean(colored & (hue >= 70 / 360) & (hue < 170 / 360))


@feature(batched=True, of=[hsv64])
def blue_share(hsv: torch.Tensor) -> torch.Tensor:
    """Share of the pixels that are blue (170 to 270 degrees), as warm_share: (n,)."""
    hue, colored = hsv[:, 0], _colored(hsv)
    return _mean(colored & (hue >= 170 / 360) & (hue < 270 / 360))


@feature(batched=True, of=[rgb64])
def skin_share(rgb: torch.Tensor) -> torch.Tensor:
    """Share of the pixels with the color of light skin in daylight: (n,).

    Kovac, Peer & Solina (2003), https://doi.org/10.1109/EURCON.2003.1248169: R > 95,
    G > 40, B > 20, range > 15, R - G > 15, R > B, of 255. Wood and sand pass, dark skin
    often does not.
    """
    red, green, blue = rgb.unbind(dim=1)
    lowest = torch.minimum(green, blue)  # red is the highest where the rule holds
    light = (red > 95 / 255) & (green > 40 / 255) & (blue > 20 / 255)
    reddish = (red - lowest > 15 / 255) & (red - green > 15 / 255) & (red > blue)
    return _mean(light & reddish)


@feature(batched=True, of=[hsv64])
def dark_share(hsv: torch.Tensor) -> torch.Tensor:
    """Share of the pixels whose every channel is below .2: (n,)."""
    return _mean(hsv[:, 2] < 0.2)


@feature(batched=True, of=[rgb64])
def white_share(rgb: torch.Tensor) -> torch.Tensor:
    """Share of the pixels whose every channel is above .85: (n,)."""
    return _mean((rgb > 0.85).all(dim=1))


def _level(values: torch.Tensor, levels: int) -> torch.Tensor:
    return (values * levels).floor_().clamp_(max=levels - 1)


def _shares(bins: torch.Tensor, n_bins: int) -> torch.Tensor:
    counts = bins.new_zeros(len(bins), n_bins)
    counts.scatter_add_(1, bins.to(torch.int64), torch.ones_like(bins))
    return counts / bins.shape[1]


def _opponents(rgb: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Give R - G and (R + G) / 2 - B, pixel by pixel: (n, h * w) each."""
    red, green, blue = rgb.flatten(2).unbind(dim=1)
    return red - green, (red + green) / 2 - blue


def _ring(rgb: torch.Tensor) -> torch.Tensor:
    """Take the pixels along the border: (n, 3, pixels)."""
    return rgb.flatten(2)[:, :, _ring_pixels(*rgb.shape[2:], rgb.device)]


@cache
def _ring_pixels(h: int, w: int, device: torch.device) -> torch.Tensor:
    width = max(1, round(min(h, w) * _RING_SHARE))
    inside = torch.zeros(h, w, dtype=torch.bool)
    inside[width : h - width, width : w - width] = True
    return (~inside).flatten().nonzero()[:, 0].to(device)


def _share_like(pixels: torch.Tensor, color: torch.Tensor) -> torch.Tensor:
    """Share of (n, 3, pixels) within .1 of (n, 3) in every channel: (n,)."""
    near = (pixels - color[:, :, None]).abs_() <= _LIKE_BORDER
    return _mean(near.all(dim=1))


def _colored(hsv: torch.Tensor) -> torch.Tensor:
    return (hsv[:, 1] > _COLORED) & (hsv[:, 2] > _COLORED)


def _mean(chosen: torch.Tensor) -> torch.Tensor:
    return chosen.flatten(1).mean(dim=1, dtype=torch.float32)
