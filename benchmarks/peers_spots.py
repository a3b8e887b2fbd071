"""Blobs and corners, as written for one image at a time.

Functions of one (28, 28) image, uint8 or gray in [0, 1], with the quantities of
`lfkit.features.blobs` and `lfkit.features.corners`. Those named skimage_ use
scikit-image, the others OpenCV, SciPy and NumPy, whichever took least time.
"""

import cv2
import numpy as np
import scipy.ndimage
import skimage.feature

from benchmarks.peers_maps import REPLICATE, cv2_sobel
from benchmarks.peers_shape import gray01, once
from lfkit.features.blobs import SIGMAS_PX, THRESHOLD
from lfkit.features.corners import HARRIS_K


@once
def skimage_blob_responses(image):
    """Laplacians of Gaussians at 4 scales, as scikit-image's blob_log has them."""
    gray = gray01(image)
    return np.stack(
        [-(s**2) * scipy.ndimage.gaussian_laplace(gray, s) for s in SIGMAS_PX]
    )


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
def blob_peaks(image):
    """Bright spots 1, dark ones -1."""
    responses = blob_responses(image)
    bright = responses >= scipy.ndimage.maximum_filter(responses, 3)
    dark = responses <= scipy.ndimage.minimum_filter(responses, 3)
    found = (bright & (responses > THRESHOLD)).astype(np.float32)
    return found - (dark & (responses < -THRESHOLD))


@once
def skimage_blob_peaks(image):
    """Bright spots 1, dark ones -1, by scikit-image."""
    responses = skimage_blob_responses(image)
    found = np.zeros(responses.shape)
    for sign in (1, -1):
        places = skimage.feature.peak_local_max(
            sign * responses,
            threshold_abs=THRESHOLD,
            footprint=np.ones((3, 3, 3)),
            exclude_border=False,
        )
        found[tuple(places.T)] = sign
    return found


def _spots(peaks):
    return np.concatenate([(peaks > 0).sum(axis=(1, 2)), (peaks < 0).sum(axis=(1, 2))])


def blob_scale_counts(image):
    """How many bright spots, then dark ones, at each of 4 scales."""
    return _spots(blob_peaks(image))


def skimage_blob_scale_counts(image):
    """How many bright spots, then dark ones, by scikit-image."""
    return _spots(skimage_blob_peaks(image))


def _strongest(maps):
    return maps.reshape(4, 7, 4, 7).max(axis=(1, 3)).ravel()


def _blob_grid(responses):
    highest, lowest = responses.max(axis=0), responses.min(axis=0)
    return np.maximum(np.concatenate([_strongest(highest), _strongest(-lowest)]), 0)


def blob_grid(image):
    """Strongest bright, then dark response on 4x4."""
    return _blob_grid(blob_responses(image))


def skimage_blob_grid(image):
    """Strongest bright, then dark response on 4x4, by scikit-image."""
    return _blob_grid(skimage_blob_responses(image))


def _fourth_root(xx, xy, yy):
    response = xx * yy - xy**2 - HARRIS_K * (xx + yy) ** 2
    return np.sqrt(np.sqrt(np.maximum(response, 0)))


@once
def corner_strength(image):
    """Fourth root of Harris' response."""
    right, down = cv2_sobel(image)
    products = (right * right, right * down, down * down)
    blurred = [cv2.GaussianBlur(p, (9, 9), 1, borderType=REPLICATE) for p in products]
    return _fourth_root(*blurred)


@once
def skimage_corner_strength(image):
    """Fourth root of Harris' response, by scikit-image, whose Sobel is 4 times ours."""
    gray = gray01(image)
    found = skimage.feature.structure_tensor(gray, 1, mode="nearest", order="rc")
    return _fourth_root(*found) / 4


def corner_grid(image):
    """Strongest corner on 4x4."""
    return _strongest(corner_strength(image))


def skimage_corner_grid(image):
    """Strongest corner on 4x4, by scikit-image."""
    return _strongest(skimage_corner_strength(image))


OPENCV = {
    "blob_responses": blob_responses,
    "blob_peaks": blob_peaks,
    "blob_scale_counts": blob_scale_counts,
    "blob_grid": blob_grid,
    "corner_strength": corner_strength,
    "corner_grid": corner_grid,
}
SKIMAGE = {
    "blob_responses": skimage_blob_responses,
    "blob_peaks": skimage_blob_peaks,
    "blob_scale_counts": skimage_blob_scale_counts,
    "blob_grid": skimage_blob_grid,
    "corner_strength": skimage_corner_strength,
    "corner_grid": skimage_corner_grid,
}
