"""Edges, gradients, waves and texture, as written for one image at a time.

Functions of one (28, 28) image, uint8 or gray in [0, 1], with the quantities of the
modules of `lfkit.features` that filter the image. Those named skimage_ use
scikit-image, the others OpenCV and NumPy, whichever took least time.
"""

import cv2
import numpy as np
import skimage.feature
import skimage.filters
import skimage.morphology

from benchmarks.peers_shape import SIDE, gray01, once
from lfkit.features.canny import HIGH_THRESHOLD, LOW_THRESHOLD

REPLICATE = cv2.BORDER_REPLICATE
_UPRIGHT, _LYING = np.ones((9, 1), np.uint8), np.ones((1, 9), np.uint8)
_INT16 = 8000  # gradients of steps from 0 to 1, as OpenCV's Canny takes them


def cells(maps, n):
    """Average (28, 28) over n x n squares."""
    size = SIDE // n
    return maps.reshape(n, size, n, size).mean(axis=(1, 3)).ravel()


def cv2_cells(maps, n):
    """Average (28, 28) over n x n squares, by OpenCV."""
    return cv2.resize(maps, (n, n), interpolation=cv2.INTER_AREA).ravel()


@once
def cv2_sobel(image):
    """Both Sobel derivatives, a step giving 1."""
    return _sobel(gray01(image))


def _sobel(gray):
    right = cv2.Sobel(gray, cv2.CV_32F, 1, 0, scale=0.25, borderType=REPLICATE)
    down = cv2.Sobel(gray, cv2.CV_32F, 0, 1, scale=0.25, borderType=REPLICATE)
    return np.stack([right, down])


def skimage_sobel(image):
    """Both Sobel derivatives, by scikit-image."""
    gray = gray01(image)
    return np.stack([skimage.filters.sobel_v(gray), skimage.filters.sobel_h(gray)])


def edge_grid(image):
    """Mean edge strength on 7x7."""
    return cv2_cells(cv2.magnitude(*cv2_sobel(image)), 7)


def skimage_edge_grid(image):
    """Mean edge strength on 7x7, by scikit-image."""
    return cells(np.hypot(*skimage_sobel(image)), 7)


def long_edges(image):
    """Edges that a line fits into, on 7x7."""
    return np.concatenate(
        [
            cv2_cells(
                cv2.morphologyEx(
                    np.abs(strength),
                    cv2.MORPH_OPEN,
                    line,
                    borderType=cv2.BORDER_CONSTANT,
                    borderValue=0,
                ),
                7,
            )
            for strength, line in zip(cv2_sobel(image), (_UPRIGHT, _LYING), strict=True)
        ]
    )


def skimage_long_edges(image):
    """Edges that a line fits into, on 7x7, by scikit-image."""
    upright, lying = np.abs(skimage_sobel(image))
    opened = [
        skimage.morphology.opening(upright, _UPRIGHT),
        skimage.morphology.opening(lying, _LYING),
    ]
    return np.concatenate([cells(strength, 7) for strength in opened])


_WITHIN = cv2.GaussianBlur(
    np.ones((SIDE, SIDE), np.float32), (9, 9), 1, borderType=cv2.BORDER_CONSTANT
)


@once
def smoothed_sobel(image):
    """Sobel derivatives after a Gaussian of 1 px."""
    zero = cv2.BORDER_CONSTANT
    return _sobel(cv2.GaussianBlur(gray01(image), (9, 9), 1, borderType=zero) / _WITHIN)


@once
def cv2_canny(image):
    """Canny edges, by OpenCV: directions are not interpolated."""
    right, down = (smoothed_sobel(image) * _INT16).astype(np.int16)
    cuts = LOW_THRESHOLD * _INT16, HIGH_THRESHOLD * _INT16
    return cv2.Canny(right, down, *cuts, L2gradient=True).astype(bool)


@once
def skimage_canny(image):
    """Canny edges, by scikit-image, whose Sobel is four times as strong."""
    cuts = {"low_threshold": 4 * LOW_THRESHOLD, "high_threshold": 4 * HIGH_THRESHOLD}
    return skimage.feature.canny(gray01(image), sigma=1, **cuts)


def canny_grid(image):
    """Share of pixels on an edge on 7x7."""
    return cells(cv2_canny(image), 7)


def skimage_canny_grid(image):
    """Share of pixels on an edge on 7x7, by scikit-image."""
    return cells(skimage_canny(image), 7)


def edge_orientation_histogram(image):
    """Share of the edge pixels in each of 8 directions."""
    return _orientations(cv2_canny(image), image)


def skimage_edge_orientation_histogram(image):
    """Share of the edge pixels in each of 8 directions, by scikit-image."""
    return _orientations(skimage_canny(image), image)


def _orientations(edges, image):
    right, down = smoothed_sobel(image)[:, edges]
    direction = np.rint(np.arctan2(down, right) * (8 / np.pi)).astype(np.intp) % 8
    return np.bincount(direction, minlength=8) / max(len(direction), 1)


def thumbnail14(image):
    """Pixels at 14x14."""
    return cv2_cells(gray01(image), 14)


def _enlarged(rows, columns):
    def view(image):
        piece = gray01(image)[rows, columns]
        return cv2.resize(piece, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)

    return once(view)


_ALL, _HALF = slice(None), SIDE // 2
_MIDDLE = slice(SIDE // 4, SIDE - SIDE // 4)


@once
def flattened(image):
    """Brightness against that of 7x7 pixels around."""
    gray = gray01(image)
    around = cv2.blur(gray, (7, 7), borderType=REPLICATE)
    square = cv2.blur(gray * gray, (7, 7), borderType=REPLICATE)
    deviation = np.sqrt(np.maximum(square - around**2, 0))
    return 1 / (1 + np.exp((around - gray) / (deviation + np.float32(0.05))))


VIEWS = {
    "top_half": _enlarged(slice(_HALF), _ALL),
    "bottom_half": _enlarged(slice(_HALF, None), _ALL),
    "left_half": _enlarged(_ALL, slice(_HALF)),
    "right_half": _enlarged(_ALL, slice(_HALF, None)),
    "centre": _enlarged(_MIDDLE, _MIDDLE),
    "flattened": flattened,
}
OPENCV = VIEWS | {
    "sobel": cv2_sobel,
    "edge_grid": edge_grid,
    "long_edges": long_edges,
    "smoothed_sobel": smoothed_sobel,
    "canny_edges": cv2_canny,
    "canny_grid": canny_grid,
    "edge_orientation_histogram": edge_orientation_histogram,
    "thumbnail14": thumbnail14,
}
SKIMAGE = {
    "sobel": skimage_sobel,
    "edge_grid": skimage_edge_grid,
    "long_edges": skimage_long_edges,
    "canny_edges": skimage_canny,
    "canny_grid": skimage_canny_grid,
    "edge_orientation_histogram": skimage_edge_orientation_histogram,
}
