"""Features of ten rules of lf_library.fashion, as written for one image at a time.

Functions of one (28, 28) image, uint8 or gray in [0, 1], with the quantities of the
batched features. Those named skimage_ use scikit-image, the others OpenCV, SciPy and
NumPy, whichever took least time. What several read of one image is computed once.
"""

import functools
import math

import cv2
import numpy as np
import scipy.ndimage
import skimage.feature
import skimage.filters
import skimage.measure
import torch
from scipy.spatial.distance import cdist

from lfkit.features.blobs import SIGMAS_PX
from lfkit.features.canny import HIGH_THRESHOLD, LOW_THRESHOLD
from lfkit.features.feature import image

SIDE = 28
_REPLICATE, _ZERO = cv2.BORDER_REPLICATE, cv2.BORDER_CONSTANT
_INT16 = 8000  # gradients of steps from 0 to 1, as OpenCV's Canny takes them


def once(function):
    """Compute a quantity that several functions read once per image."""
    last = [None, None]

    @functools.wraps(function)
    def remembered(image):
        if image is not last[0]:
            last[:] = image, function(image)
        return last[1]

    return remembered


def cells(maps, n):
    """Average (28, 28) over n x n squares."""
    size = SIDE // n
    return maps.reshape(n, size, n, size).mean(axis=(1, 3)).ravel()


# Outline and brightness


@once
def gray01(image):
    """Brightness in [0, 1]."""
    return image / np.float32(255) if image.dtype == np.uint8 else image


@once
def silhouette(image):
    """Mask of what is not background."""
    return image > 0.15 * image.max()


@once
def bounding_box(image):
    """Top, left, bottom, right of the silhouette."""
    left, top, wide, high = cv2.boundingRect(silhouette(image).view(np.uint8))
    return np.array([top, left, top + high, left + wide])


@once
def skimage_bounding_box(image):
    """Top, left, bottom, right of the silhouette."""
    regions = skimage.measure.regionprops(silhouette(image).astype(np.uint8))
    return np.array(regions[0].bbox if regions else (0, 0, 0, 0))


def width(image):
    """Share of the image's width."""
    box = bounding_box(image)
    return (box[3] - box[1]) / SIDE


def skimage_width(image):
    """Share of the image's width."""
    box = skimage_bounding_box(image)
    return (box[3] - box[1]) / SIDE


def leg_gap(image):
    """How dark the middle is between two bright sides, in the lower half."""
    top, _, bottom, _ = bounding_box(image)
    tall = bottom - top
    band = slice(math.ceil(top + 0.5 * tall - 0.5), math.ceil(top + tall - 0.5))
    rows = gray01(image)[band]
    if not rows.size:
        return 0.0
    sides = np.minimum(rows[:, :14].max(axis=1), rows[:, 14:].max(axis=1))
    return float(np.maximum(sides - rows[:, 11:17].min(axis=1), 0).mean())


def intensity_histogram(image):
    """Shares of 16 shades."""
    if image.dtype == np.uint8:
        bins = image.ravel().astype(np.intp) * 16 // 255
    else:
        bins = (image.ravel() * 16).astype(np.intp)
    return np.bincount(np.minimum(bins, 15), minlength=16) / image.size


def centre_of_mass(image):
    """Mean row and column from the image's middle, in half sides."""
    found = cv2.moments(image)
    if not found["m00"]:
        return np.zeros(2)
    pixels = np.array([found["m01"], found["m10"]]) / found["m00"]
    return pixels / ((SIDE - 1) / 2) - 1


def skimage_centre_of_mass(image):
    """Mean row and column from the image's middle, in half sides."""
    if not image.any():
        return np.zeros(2)
    return skimage.measure.centroid(image) / ((SIDE - 1) / 2) - 1


def second_moments(image):
    """Spreads and slant."""
    found = cv2.moments(image)
    return _spreads(found["m00"], found["mu02"], found["mu20"], found["mu11"])


def skimage_second_moments(image):
    """Spreads and slant."""
    found = skimage.measure.moments_central(gray01(image), order=2)
    return _spreads(found[0, 0], found[2, 0], found[0, 2], found[1, 1])


def _spreads(total, down, across, slant):
    unit = max(total, 1e-6) * ((SIDE - 1) / 2) ** 2
    spreads = [math.sqrt(max(square, 0) / unit) for square in (down, across)]
    return np.array([*spreads, slant / unit])


# Edges and blobs

_WITHIN = cv2.GaussianBlur(
    np.ones((SIDE, SIDE), np.float32), (9, 9), 1, borderType=_ZERO
)


@once
def smoothed_sobel(image):
    """Sobel derivatives after a Gaussian of 1 px, a step giving 1."""
    gray = cv2.GaussianBlur(gray01(image), (9, 9), 1, borderType=_ZERO) / _WITHIN
    right = cv2.Sobel(gray, cv2.CV_32F, 1, 0, scale=0.25, borderType=_REPLICATE)
    down = cv2.Sobel(gray, cv2.CV_32F, 0, 1, scale=0.25, borderType=_REPLICATE)
    return np.stack([right, down])


@once
def canny_edges(image):
    """Canny edges; OpenCV does not interpolate directions."""
    right, down = (smoothed_sobel(image) * _INT16).astype(np.int16)
    cuts = LOW_THRESHOLD * _INT16, HIGH_THRESHOLD * _INT16
    return cv2.Canny(right, down, *cuts, L2gradient=True).astype(bool)


@once
def skimage_canny_edges(image):
    """Canny edges; scikit-image's Sobel is four times as strong."""
    cuts = {"low_threshold": 4 * LOW_THRESHOLD, "high_threshold": 4 * HIGH_THRESHOLD}
    return skimage.feature.canny(gray01(image), sigma=1, **cuts)


def canny_grid(image):
    """Share of pixels on an edge on 7x7."""
    return cells(canny_edges(image), 7)


def skimage_canny_grid(image):
    """Share of pixels on an edge on 7x7."""
    return cells(skimage_canny_edges(image), 7)


def _blob_taps():
    """Give a Gaussian and its second derivative, times -sigma^2, per scale."""
    for sigma in SIGMAS_PX:
        offsets = np.arange(-int(4 * sigma + 0.5), int(4 * sigma + 0.5) + 1)
        smooth = np.exp(-(offsets**2) / (2 * sigma**2))
        smooth /= smooth.sum()
        yield smooth, smooth * (1 - offsets**2 / sigma**2)


_BLOB_TAPS = list(_blob_taps())


@once
def blob_responses(image):
    """Laplacians of Gaussians at 4 scales, as row and column filters."""
    gray, mirrored = gray01(image), cv2.BORDER_REFLECT
    return np.stack(
        [
            cv2.sepFilter2D(gray, cv2.CV_32F, smooth, curve, borderType=mirrored)
            + cv2.sepFilter2D(gray, cv2.CV_32F, curve, smooth, borderType=mirrored)
            for smooth, curve in _BLOB_TAPS
        ]
    )


@once
def skimage_blob_responses(image):
    """Laplacians of Gaussians at 4 scales, as scikit-image's blob_log has them."""
    gray = gray01(image)
    return np.stack(
        [-(s**2) * scipy.ndimage.gaussian_laplace(gray, s) for s in SIGMAS_PX]
    )


def blob_grid(image):
    """Strongest bright, then dark response on 4x4."""
    return _strongest(blob_responses(image))


def skimage_blob_grid(image):
    """Strongest bright, then dark response on 4x4."""
    return _strongest(skimage_blob_responses(image))


def _strongest(responses):
    maps = np.stack([responses.max(axis=0), -responses.min(axis=0)])
    return np.maximum(maps.reshape(2, 4, 7, 4, 7).max(axis=(2, 4)).ravel(), 0)


# HOG, gist and patterns

_CELL_OF_PIXEL = (np.arange(SIDE)[:, None] // 4 * 7 + np.arange(SIDE) // 4) * 9


def hog4(image):
    """HOG of 4x4 cells in NumPy: one bincount instead of a loop over cells."""
    gray = gray01(image)
    right, down = np.zeros_like(gray), np.zeros_like(gray)
    right[:, 1:-1] = gray[:, 2:] - gray[:, :-2]
    down[1:-1] = gray[2:] - gray[:-2]
    length, angle = cv2.cartToPolar(right, down)
    bins = (angle * np.float32(9 / np.pi)).astype(np.intp) % 9 + _CELL_OF_PIXEL
    sums = np.bincount(bins.ravel(), length.ravel(), 441).reshape(49, 9) / 16
    sums /= np.sqrt((sums**2).sum(axis=1, keepdims=True) + 1e-10)
    sums = np.minimum(sums, 0.2)
    return (sums / np.sqrt((sums**2).sum(axis=1, keepdims=True) + 1e-10)).ravel()


def skimage_hog4(image):
    """HOG of 4x4 cells, each normalised by itself."""
    return skimage.feature.hog(
        gray01(image), 9, pixels_per_cell=(4, 4), cells_per_block=(1, 1)
    )


def _gabor_taps():
    """Give row and column taps, cosine and sine: wavelengths 3, 5 and 8 px.

    A round envelope makes a Gabor filter the product of a row and a column.
    """
    taps = []
    for wavelength in (3.0, 5.0, 8.0):
        sigma = wavelength / 2
        radius = math.ceil(2.5 * sigma)
        offsets = np.arange(-radius, radius + 1)
        envelope = np.exp(-(offsets**2) / (2 * sigma**2))
        envelope /= envelope.sum()
        for k in range(4):
            angle = math.pi * k / 4
            lines = []
            for share in (math.cos(angle), math.sin(angle)):
                phase = 2 * math.pi / wavelength * share * offsets
                lines += [envelope * np.cos(phase), envelope * np.sin(phase)]
            taps.append(lines)
    return taps


_GABOR_TAPS = _gabor_taps()


def gist(image):
    """Gabor magnitudes on 4x4, with cv2.sepFilter2D: faster than cv2.filter2D."""
    gray = gray01(image)

    def filtered(row, column):
        return cv2.sepFilter2D(gray, cv2.CV_32F, row, column, borderType=_REPLICATE)

    parts = []
    for across, across_sine, down, down_sine in _GABOR_TAPS:
        real = filtered(across, down) - filtered(across_sine, down_sine)
        imaginary = filtered(across_sine, down) + filtered(across, down_sine)
        parts.append(_pooled_4x4(cv2.magnitude(real, imaginary)))
    return np.concatenate(parts)


def skimage_gist(image):
    """Gabor magnitudes on 4x4."""
    gray = gray01(image)
    parts = []
    for wavelength in (3.0, 5.0, 8.0):
        sigma = wavelength / 2
        for k in range(4):
            real, imaginary = skimage.filters.gabor(
                gray,
                1 / wavelength,
                theta=math.pi * k / 4,
                sigma_x=sigma,
                sigma_y=sigma,
                n_stds=2.5,
                mode="nearest",
            )
            parts.append(_pooled_4x4(np.hypot(real, imaginary)))
    return np.concatenate(parts)


def _pooled_4x4(magnitude):
    """Average 4x4 windows of 4x4 samples, over every second pixel."""
    sampled = np.cumsum(np.cumsum(magnitude[::2, ::2], axis=0), axis=1)
    sums = np.pad(sampled, ((1, 0), (1, 0)))
    first = np.array([0, 3, 7, 10])
    top, left = first[:, None], first
    total = sums[top + 4, left + 4] - sums[top, left + 4]
    return (total - sums[top + 4, left] + sums[top, left]).ravel() / 16


def _uniform_table():
    """Uniform code of each of the 256 patterns."""
    bits = np.arange(256)[:, None] >> np.arange(8) & 1
    changes = (bits != np.roll(bits, 1, axis=1)).sum(axis=1)
    return np.where(changes <= 2, bits.sum(axis=1), 9)


_UNIFORM = _uniform_table()
_CIRCLE = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))


@once
def lbp_codes(image):
    """Uniform pattern of every pixel, with shifted views and a table."""
    gray = gray01(image)
    padded = np.pad(gray, 1)
    baseline = gray - np.float32(1e-5)
    inner = baseline - np.float32(1.5 - math.sqrt(2)) * gray
    beside = np.float32(math.sqrt(0.5) - 0.5)

    def at(down, right):
        return padded[1 + down : 29 + down, 1 + right : 29 + right]

    code = np.zeros(gray.shape, np.uint8)
    for bit, (down, right) in enumerate(_CIRCLE):
        if down and right:
            value = 0.5 * at(down, right) + beside * (at(down, 0) + at(0, right))
            code |= (value >= inner).view(np.uint8) << np.uint8(bit)
        else:
            code |= (at(down, right) >= baseline).view(np.uint8) << np.uint8(bit)
    return _UNIFORM[code]


@once
def skimage_lbp_codes(image):
    """Uniform pattern of every pixel."""
    return skimage.feature.local_binary_pattern(image, 8, 1, method="uniform")


def lbp_grid(image):
    """Shares of uniform patterns in 4x4 squares."""
    return _pattern_shares(lbp_codes(image))


def skimage_lbp_grid(image):
    """Shares of uniform patterns in 4x4 squares."""
    return _pattern_shares(skimage_lbp_codes(image))


def _pattern_shares(codes):
    line = np.arange(SIDE) // 7
    bins = codes.astype(np.intp) + (line[:, None] * 4 + line) * 10
    return np.bincount(bins.ravel(), minlength=160) / 49


# Textons


def _texton_kernels():
    """Ten filters: five derivatives of Gaussians of 1 and 2 px, cut at 3 sigmas."""
    kernels = []
    for sigma in (1.0, 2.0):
        radius = math.ceil(3 * sigma)
        along = np.arange(-radius, radius + 1) / sigma
        smooth = np.exp(-(along**2) / 2)
        smooth /= smooth.sum()
        slope, curve = along * smooth, (along**2 - 1) * smooth
        curve -= curve.sum() * smooth
        across, down = np.outer(smooth, curve), np.outer(curve, smooth)
        first = [np.outer(smooth, slope), np.outer(slope, smooth)]
        second = [across + down, across - down, np.outer(slope, slope)]
        kernels += [kernel / np.abs(kernel).sum() for kernel in first + second]
    return kernels


_TEXTON_KERNELS = _texton_kernels()


@once
def texton_responses(image):
    """Answers of ten filters at every second pixel, lengths compressed."""
    gray = gray01(image)
    maps = np.stack(
        [
            cv2.filter2D(gray, cv2.CV_32F, kernel, borderType=_REPLICATE)[::2, ::2]
            for kernel in _TEXTON_KERNELS
        ],
        axis=2,
    )
    length = np.linalg.norm(maps, axis=2, keepdims=True)
    return maps * (np.log1p(length / 0.01) / np.maximum(length, 1e-6))


# Features that learn: a fitted feature and its inputs' functions give the function


def texton_map(node, inputs):
    """Nearest texton at every second pixel, by SciPy's cdist."""
    (responses,), textons = inputs, node.learned["textons"]

    def numbers(image):
        found = responses(image)
        distances = cdist(found.reshape(-1, found.shape[2]), textons, "sqeuclidean")
        return distances.argmin(axis=1).reshape(found.shape[:2])

    return numbers


def texton_grid(node, inputs):
    """Square roots of the shares of 32 textons in 4x4 overlapping parts."""
    (numbers,), weights = inputs, _part_weights(14, 4)
    one_hot = np.eye(32)
    return lambda image: np.sqrt(weights @ one_hot[numbers(image).ravel()]).ravel()


def _part_weights(n, parts):
    """Share n x n places among parts x parts overlapping parts: (parts², n²)."""
    place = (np.arange(n) + 0.5) * (parts / n)
    place = np.clip(place, 0.5, parts - 0.5)
    centres = np.arange(parts)[:, None] + 0.5
    line = np.maximum(1 - np.abs(place - centres), 0)
    line /= line.sum(axis=1, keepdims=True)
    return np.kron(line, line)


def batch_of_one(node, inputs):
    """Give the batched feature itself, called with one image."""
    learned = {key: torch.as_tensor(array) for key, array in node.learned.items()}

    def value(source, function, pixels):
        row = torch.from_numpy(np.asarray(function(pixels), np.float32))
        return row[None, None] if source is image else row[None]

    def compute(pixels):
        pairs = zip(node.of, inputs, strict=True)
        values = [value(source, function, pixels) for source, function in pairs]
        with torch.no_grad():
            return node.fn(*values, **learned)[0].numpy()

    return compute
