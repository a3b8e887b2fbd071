"""The features of lf_library.fashion, written as for one image at a time.

Two tables, from feature name to a function of one (28, 28) uint8 image. SKIMAGE uses
scikit-image wherever it has the operation; FASTEST uses OpenCV, NumPy or scikit-image,
whichever took least time. Both give the quantities of the batched features: exactly
for most, close (correlated) where libraries treat borders or ties differently.

Each function starts from the pixels, as labeling functions written one by one do.
The networks' features are the batched ones at batch size one, in both tables: call
`deep_peers` with the fitted features. `python -m benchmarks.per_image_peers` prints
time and agreement of every function.
"""

import math
import time

import cv2
import numpy as np
import skimage.feature
import skimage.filters
import skimage.measure
import skimage.morphology
import torch

import lfkit
from lf_library import fashion
from lfkit.datasets.fashion_mnist import open_fashion_mnist
from lfkit.embeddings.lenet import lenet_maps, train_lenet
from lfkit.features.compressive import projection_matrix

_SIDE = 28
_LINE = 9


def gray01(image):
    """Brightness in [0, 1]."""
    return image * np.float32(1 / 255)


def silhouette(image):
    """Mask of what is not background."""
    return image > 0.15 * image.max()


def box_of(mask):
    """Top, left, bottom, right of a mask; zeros if it is empty."""
    rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
    if not len(rows):
        return 0, 0, 0, 0
    return rows[0], columns[0], rows[-1] + 1, columns[-1] + 1


def skimage_box(image):
    """Measure the bounding box with regionprops."""
    regions = skimage.measure.regionprops(silhouette(image).astype(np.uint8))
    return regions[0].bbox if regions else (0, 0, 0, 0)


def cv2_box(image):
    """Measure the bounding box with OpenCV."""
    left, top, wide, high = cv2.boundingRect(silhouette(image).view(np.uint8))
    return top, left, top + high, left + wide


def band(box, start, stop):
    """Rows whose centre lies in a band of the box, as a slice."""
    top, tall = box[0], box[2] - box[0]
    first = math.ceil(top + start * tall - 0.5)
    return slice(first, math.ceil(top + stop * tall - 0.5))


def mean(values):
    """Average, 0 if there is nothing."""
    return float(values.mean()) if values.size else 0.0


def band_width(image, start, stop):
    """Mean extent of the silhouette's rows in a band of its height."""
    mask = silhouette(image)
    rows = mask[band(cv2_box(image), start, stop)]
    reach = _SIDE - rows.argmax(axis=1) - rows[:, ::-1].argmax(axis=1)
    return mean(np.where(rows.any(axis=1), reach, 0) / _SIDE)


def height(image):
    """Share of the image's height."""
    box = cv2_box(image)
    return (box[2] - box[0]) / _SIDE


def width(image):
    """Share of the image's width."""
    box = cv2_box(image)
    return (box[3] - box[1]) / _SIDE


def fill(image):
    """Share of the box that is covered."""
    top, left, bottom, right = cv2_box(image)
    area = (bottom - top) * (right - left)
    return cv2.countNonZero(silhouette(image).view(np.uint8)) / max(area, 1)


def skimage_height(image):
    """Share of the image's height, by regionprops."""
    box = skimage_box(image)
    return (box[2] - box[0]) / _SIDE


def skimage_width(image):
    """Share of the image's width, by regionprops."""
    box = skimage_box(image)
    return (box[3] - box[1]) / _SIDE


def skimage_fill(image):
    """Share of the box that is covered: regionprops' extent."""
    regions = skimage.measure.regionprops(silhouette(image).astype(np.uint8))
    return regions[0].extent if regions else 0.0


def asymmetry(image):
    """Brightness without a mirror image."""
    total = float(cv2.sumElems(image)[0])
    unmatched = cv2.norm(image, cv2.flip(image, 1), cv2.NORM_L1)
    return unmatched / max(2 * total, 1e-6)


def leg_gap(image):
    """How dark the middle is between two bright sides, in the lower half."""
    rows = gray01(image)[band(cv2_box(image), 0.5, 1.0)]
    sides = np.minimum(rows[:, :14].max(axis=1), rows[:, 14:].max(axis=1))
    return mean(np.maximum(sides - rows[:, 11:17].min(axis=1), 0))


def collar(image):
    """How much brighter the middle of the top is than the sides beside it."""
    rows = gray01(image)[band(cv2_box(image), 0.0, 0.15)]
    beside = np.minimum(rows[:, 6:10].max(axis=1), rows[:, 18:22].max(axis=1))
    return mean(rows[:, 12:16].mean(axis=1) - beside)


def sleeve_gaps(image):
    """Share of the lower rows in three pieces or more."""
    rows = silhouette(image)[band(cv2_box(image), 0.5, 0.95)]
    pieces = (rows[:, 1:] > rows[:, :-1]).sum(axis=1) + rows[:, 0]
    return mean(pieces >= 3)


def sleeve_flare(image):
    """Shoulders' width beyond the hem's."""
    return band_width(image, 0.1, 0.3) - band_width(image, 0.6, 0.8)


def shaft(image):
    """How much higher one side stands."""
    reach = np.logical_or.accumulate(silhouette(image), axis=0).sum(axis=0)
    return abs(reach[:9].mean() - reach[19:].mean()) / _SIDE


def intensity_histogram(image):
    """Shares of 16 shades."""
    bins = image.ravel().astype(np.intp) * 16 // 255
    return np.bincount(np.minimum(bins, 15), minlength=16) / image.size


def numpy_histogram(image):
    """Shares of 16 shades, by np.histogram."""
    return np.histogram(gray01(image), bins=16, range=(0, 1))[0] / image.size


def second_moments(image):
    """Spreads and slant, from OpenCV's moments."""
    found = cv2.moments(image)
    unit = max(found["m00"], 1e-6) * ((_SIDE - 1) / 2) ** 2
    down, across = max(found["mu02"], 0) / unit, max(found["mu20"], 0) / unit
    return np.array([math.sqrt(down), math.sqrt(across), found["mu11"] / unit])


def skimage_moments(image):
    """Spreads and slant, from scikit-image's moments."""
    found = skimage.measure.moments_central(gray01(image), order=2)
    unit = max(found[0, 0], 1e-6) * ((_SIDE - 1) / 2) ** 2
    down, across = max(found[2, 0], 0) / unit, max(found[0, 2], 0) / unit
    return np.array([math.sqrt(down), math.sqrt(across), found[1, 1] / unit])


def outline(image):
    """Widths, heights, left and top contours."""
    mask = silhouette(image)
    rows, columns = mask.sum(axis=1), mask.sum(axis=0)
    left = np.where(rows > 0, mask.argmax(axis=1), _SIDE)
    top = np.where(columns > 0, mask.argmax(axis=0), _SIDE)
    return np.concatenate([rows, columns, left, top]) / _SIDE


def cells(maps, n):
    """Average (28, 28) over n x n squares."""
    size = _SIDE // n
    return maps.reshape(n, size, n, size).mean(axis=(1, 3)).ravel()


def cv2_sobel(image):
    """Both Sobel derivatives, a step giving 1."""
    gray = gray01(image)
    border = cv2.BORDER_REPLICATE
    right = cv2.Sobel(gray, cv2.CV_32F, 1, 0, scale=0.25, borderType=border)
    down = cv2.Sobel(gray, cv2.CV_32F, 0, 1, scale=0.25, borderType=border)
    return right, down


def edge_grid(image):
    """Mean edge strength on 7x7."""
    strength = cv2.magnitude(*cv2_sobel(image))
    return cv2.resize(strength, (7, 7), interpolation=cv2.INTER_AREA).ravel()


def skimage_edge_grid(image):
    """Mean edge strength on 7x7, by scikit-image."""
    gray = gray01(image)
    right, down = skimage.filters.sobel_v(gray), skimage.filters.sobel_h(gray)
    return cells(np.hypot(right, down), 7)


_UPRIGHT, _LYING = np.ones((_LINE, 1), np.uint8), np.ones((1, _LINE), np.uint8)


def long_edges(image):
    """Edges that a line fits into, on 7x7."""
    right, down = cv2_sobel(image)
    grids = [
        cv2.resize(
            cv2.morphologyEx(
                np.abs(strength),
                cv2.MORPH_OPEN,
                line,
                borderType=cv2.BORDER_CONSTANT,
                borderValue=0,
            ),
            (7, 7),
            interpolation=cv2.INTER_AREA,
        ).ravel()
        for strength, line in ((right, _UPRIGHT), (down, _LYING))
    ]
    return np.concatenate(grids)


def skimage_long_edges(image):
    """Edges that a line fits into, on 7x7, by scikit-image."""
    gray = gray01(image)
    upright = np.abs(skimage.filters.sobel_v(gray))
    lying = np.abs(skimage.filters.sobel_h(gray))
    opened = [
        skimage.morphology.opening(upright, _UPRIGHT),
        skimage.morphology.opening(lying, _LYING),
    ]
    return np.concatenate([cells(strength, 7) for strength in opened])


def skimage_hog(image):
    """HOG of 4x4 cells, each normalised by itself."""
    return skimage.feature.hog(
        gray01(image), 9, pixels_per_cell=(4, 4), cells_per_block=(1, 1)
    )


_CELL_OF_PIXEL = (np.arange(_SIDE)[:, None] // 4 * 7 + np.arange(_SIDE) // 4) * 9


def numpy_hog(image):
    """HOG in NumPy: one bincount instead of a loop over cells."""
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


def gabor_kernels():
    """Real and imaginary kernels: wavelengths 3, 5 and 8 px, 4 directions."""
    pairs = []
    for wavelength in (3.0, 5.0, 8.0):
        sigma = wavelength / 2
        radius = math.ceil(2.5 * sigma)
        down, across = np.mgrid[-radius : radius + 1, -radius : radius + 1]
        envelope = np.exp(-(down**2 + across**2) / (2 * sigma**2))
        for k in range(4):
            angle = math.pi * k / 4
            along = across * math.cos(angle) + down * math.sin(angle)
            phase = 2 * math.pi / wavelength * along
            wave = envelope / envelope.sum() * np.exp(1j * phase)
            pairs.append((wave.real.astype(np.float32), wave.imag.astype(np.float32)))
    return pairs


_KERNELS = gabor_kernels()


def pooled_4x4(magnitude):
    """Average 4x4 windows of 4x4 samples, over every second pixel."""
    sampled = np.cumsum(np.cumsum(magnitude[::2, ::2], axis=0), axis=1)
    sums = np.pad(sampled, ((1, 0), (1, 0)))
    first = np.array([0, 3, 7, 10])
    top, left = first[:, None], first
    total = sums[top + 4, left + 4] - sums[top, left + 4]
    return (total - sums[top + 4, left] + sums[top, left]).ravel() / 16


def gist(image):
    """Gabor magnitudes on 4x4, with cv2.filter2D."""
    gray = gray01(image)
    border = cv2.BORDER_REPLICATE
    return np.concatenate(
        [
            pooled_4x4(
                cv2.magnitude(
                    cv2.filter2D(gray, cv2.CV_32F, real, borderType=border),
                    cv2.filter2D(gray, cv2.CV_32F, imaginary, borderType=border),
                )
            )
            for real, imaginary in _KERNELS
        ]
    )


def skimage_gist(image):
    """Gabor magnitudes on 4x4, with skimage.filters.gabor."""
    gray = gray01(image)
    parts = []
    for wavelength in (3.0, 5.0, 8.0):
        for k in range(4):
            real, imaginary = skimage.filters.gabor(
                gray,
                1 / wavelength,
                theta=math.pi * k / 4,
                sigma_x=wavelength / 2,
                sigma_y=wavelength / 2,
                n_stds=2.5,
                mode="nearest",
            )
            parts.append(pooled_4x4(np.hypot(real, imaginary)))
    return np.concatenate(parts)


def pattern_shares(codes):
    """Share of 10 patterns in each of 4x4 squares of 7."""
    line = np.arange(_SIDE) // 7
    bins = codes.astype(np.intp) + (line[:, None] * 4 + line) * 10
    return np.bincount(bins.ravel(), minlength=160) / 49


def skimage_lbp(image):
    """Uniform patterns by scikit-image."""
    return pattern_shares(
        skimage.feature.local_binary_pattern(image, 8, 1, method="uniform")
    )


def uniform_table():
    """Uniform code of each of the 256 patterns."""
    bits = np.arange(256)[:, None] >> np.arange(8) & 1
    changes = (bits != np.roll(bits, 1, axis=1)).sum(axis=1)
    return np.where(changes <= 2, bits.sum(axis=1), 9)


_UNIFORM = uniform_table()
_CIRCLE = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))


def numpy_lbp(image):
    """Uniform patterns with shifted views and a table."""
    gray = image.astype(np.float32)
    padded = np.pad(gray, 1)
    floor = gray - np.float32(0.0025)
    inner = floor - np.float32(1.5 - math.sqrt(2)) * gray
    beside = np.float32(math.sqrt(0.5) - 0.5)

    def at(down, right):
        return padded[1 + down : 29 + down, 1 + right : 29 + right]

    code = np.zeros(gray.shape, np.uint8)
    for bit, (down, right) in enumerate(_CIRCLE):
        if down and right:
            value = 0.5 * at(down, right) + beside * (at(down, 0) + at(0, right))
            code |= (value >= inner).view(np.uint8) << np.uint8(bit)
        else:
            code |= (at(down, right) >= floor).view(np.uint8) << np.uint8(bit)
    return pattern_shares(_UNIFORM[code])


def split(maps):
    """One Haar level."""
    top, bottom = maps[::2], maps[1::2]
    both, change = (top + bottom) / 2, (top - bottom) / 2
    return (
        both[:, ::2] + both[:, 1::2],
        both[:, ::2] - both[:, 1::2],
        change[:, ::2] + change[:, 1::2],
        change[:, ::2] - change[:, 1::2],
    )


def haar(image):
    """Two Haar levels, the finer as amounts."""
    average, *fine = split(gray01(image))
    amounts = [
        np.abs(detail).reshape(7, 2, 7, 2).sum(axis=(1, 3)).ravel() / 4
        for detail in fine
    ]
    return np.concatenate([part.ravel() for part in split(average)] + amounts)


_PROJECTION = projection_matrix(torch.device("cpu")).numpy()


def random_projections(image):
    """Random sums of pixels."""
    return gray01(image).ravel() @ _PROJECTION


FASTEST = {
    "leg_gap": leg_gap,
    "sleeve_gaps": sleeve_gaps,
    "sleeve_flare": sleeve_flare,
    "shaft": shaft,
    "collar": collar,
    "waist_width": lambda image: band_width(image, 0.4, 0.6),
    "hem_width": lambda image: band_width(image, 0.6, 0.8),
    "height": height,
    "width": width,
    "fill": fill,
    "asymmetry": asymmetry,
    "intensity_histogram": intensity_histogram,
    "second_moments": second_moments,
    "outline": outline,
    "edge_grid": edge_grid,
    "long_edges": long_edges,
    "hog4": numpy_hog,
    "gist": gist,
    "lbp_grid": numpy_lbp,
    "haar": haar,
    "random_projections": random_projections,
}
SKIMAGE = FASTEST | {
    "height": skimage_height,
    "width": skimage_width,
    "fill": skimage_fill,
    "intensity_histogram": numpy_histogram,
    "second_moments": skimage_moments,
    "edge_grid": skimage_edge_grid,
    "long_edges": skimage_long_edges,
    "hog4": skimage_hog,
    "gist": skimage_gist,
    "lbp_grid": skimage_lbp,
}


def deep_peers(fitted):
    """Make the networks' entries of both tables: the same network, image by image.

    Parameters
    ----------
    fitted : features with what they learned, such as lenet_features.
    """
    return {feature.name: _at_batch_size_one(feature) for feature in fitted}


def _at_batch_size_one(feature):
    def value(node, pixels):
        if node is lfkit.image:
            return pixels
        inputs = [value(source, pixels) for source in node.of]
        weights = {key: torch.from_numpy(array) for key, array in node.learned.items()}
        return node.fn(*inputs, **weights)

    def compute(image):
        with torch.no_grad():
            return value(feature, torch.from_numpy(gray01(image))[None, None])[
                0
            ].numpy()

    return compute


def main():
    """Print the time of every function and its agreement with the batched feature."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    images, labels = fashion_sample(600)
    features = fitted_features(images[:200], labels[:200])
    images = images[200:]
    batched = lfkit.extract(features, images[..., None])
    deep = deep_peers(f for f in features if f.name.startswith("lenet"))
    print(f"{'ms an image':22s} {'scikit-image':>12s} {'fastest':>8s}   correlation")
    totals = np.zeros(2)
    for feature in features:
        spent, agree = [], []
        for table in (SKIMAGE | deep, FASTEST | deep):
            start = time.perf_counter()
            values = np.stack([table[feature.name](image) for image in images])
            spent.append((time.perf_counter() - start) / len(images) * 1e3)
            pair = values.ravel(), batched[feature].ravel()
            agree.append(np.corrcoef(*pair)[0, 1])
        totals += spent
        print(
            f"{feature.name:22s} {spent[0]:12.3f} {spent[1]:8.3f}   "
            f"{agree[0]:.4f} {agree[1]:.4f}"
        )
    start = time.perf_counter()
    lfkit.extract(features, images[..., None])
    spent = (time.perf_counter() - start) / len(images) * 1e3
    print(f"{'all':22s} {totals[0]:12.3f} {totals[1]:8.3f}   batched: {spent:.3f}")


def fashion_sample(n):
    """Draw images and labels of Fashion-MNIST's test set, as Debian installs it."""
    found = open_fashion_mnist("test")
    rows = np.random.default_rng(0).choice(len(found.labels), n, replace=False)
    images = np.asarray(found.images)[rows].reshape(n, _SIDE, _SIDE)
    return images, np.asarray(found.labels)[rows]


def fitted_features(images, labels):
    """Give every feature that lf_library.fashion reads, LeNet trained."""
    gray = torch.from_numpy(images / np.float32(255))
    learned = train_lenet(gray, labels=labels, rng=np.random.default_rng(0))
    maps = lenet_maps.with_learned(learned, lenet_maps.of)
    read = dict.fromkeys(f for lf in fashion.LFS for f in lf.features)
    return [f.with_learned({}, (maps,)) if f.of == (lenet_maps,) else f for f in read]


if __name__ == "__main__":
    main()
