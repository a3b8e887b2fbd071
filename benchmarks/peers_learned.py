"""Features that learn from images, as written for one image at a time.

Each function takes a fitted feature and the functions that compute its inputs, and
gives a function of one image that uses what the feature has learned. What PatchMatch
approximates is searched exhaustively here: one image at a time, a matrix product is
faster than the method's many small steps.
"""

import math

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from scipy.spatial.distance import cdist
from sklearn.linear_model import orthogonal_mp_gram

from lfkit.features.compressive import N_ATOMS
from lfkit.features.feature import image
from lfkit.features.label_propagation import SAME_IMAGE
from lfkit.features.patchmatch import PATCH_PX, PLACE_WEIGHT, STRIDE_PX

_SAME_SUMS = 1 - 1e-6
_SAME_RMS = 1e-3
_PATCH_WORD_PX = 6


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
    (numbers,), weights = inputs, part_weights(14, 4)
    one_hot = np.eye(32)
    return lambda image: np.sqrt(weights @ one_hot[numbers(image).ravel()]).ravel()


def visual_words(node, inputs):
    """Triangle activations of SIFT words in all and in 3x3 parts, by SciPy's cdist."""
    (descriptors,), words = inputs, node.learned["words"]
    weights = np.concatenate([part_weights(7, 1), part_weights(7, 3)])

    def shares(image):
        distances = cdist(descriptors(image), words)
        activations = distances.mean(axis=1, keepdims=True) - distances
        return (weights @ np.maximum(activations, 0)).ravel()

    return shares


def patch_words(node, inputs):
    """Activations of whitened patch words in 3x3 parts."""
    (gray,) = inputs
    filters, offsets = node.learned["filters"], node.learned["offsets"]
    side = _PATCH_WORD_PX
    weights = part_weights(28 - side + 1, 3).astype(np.float32)

    def shares(image):
        cut = sliding_window_view(gray(image), (side, side)).reshape(-1, side**2)
        cut = cut - cut.mean(axis=1, keepdims=True)
        cut /= np.sqrt((cut * cut).mean(axis=1, keepdims=True) + np.float32(1.5e-4))
        activations = np.maximum(cut @ filters + offsets, 0)
        return np.sqrt(weights @ activations).ravel()

    return shares


def part_weights(n, parts):
    """Share n x n places among parts x parts overlapping parts: (parts², n²)."""
    place = (np.arange(n) + 0.5) * (parts / n)
    place = np.clip(place, 0.5, parts - 0.5)
    centres = np.arange(parts)[:, None] + 0.5
    line = np.maximum(1 - np.abs(place - centres), 0)
    line /= line.sum(axis=1, keepdims=True)
    return np.kron(line, line)


def sparse_residuals(node, inputs):
    """Measure what each class leaves over, by scikit-learn's pursuit."""
    (sums,), learned = inputs, node.learned
    atoms = learned["atoms"].astype(np.float64)  # (k, m, 96)
    flat = atoms.reshape(-1, atoms.shape[2])
    filled = np.flatnonzero(np.linalg.norm(flat, axis=1) > 0)  # zeros fill up classes
    gram = flat @ flat.T

    def residuals(image):
        found = sums(image)
        unit = found / max(np.linalg.norm(found), 1e-6)
        matches = flat @ unit
        code = np.zeros(len(flat))
        if unit.any():
            free = filled[matches[filled] <= _SAME_SUMS]
            code[free] = orthogonal_mp_gram(
                gram[np.ix_(free, free)],
                matches[free],
                n_nonzero_coefs=min(N_ATOMS, len(free)),
            )
        parts = np.einsum("km,kmd->kd", code.reshape(atoms.shape[:2]), atoms)
        return np.linalg.norm(unit - parts, axis=1)

    return residuals


def patchmatch_distances(node, inputs):
    """Mean distance of patches to the nearest of each class, searched exhaustively."""
    (gray,), learned = inputs, node.learned
    k, e = learned["exemplars"].shape[:2]
    exemplars = learned["exemplars"]
    filters, shift = learned["filters"].T, learned["shift"]
    places = 28 - PATCH_PX + 1
    windows = sliding_window_view(
        exemplars.reshape(k, e, 28, 28), (PATCH_PX, PATCH_PX), axis=(2, 3)
    )
    line = np.arange(places) * np.float32(PLACE_WEIGHT)
    where = np.stack(np.meshgrid(line, line, indexing="ij"), axis=2)
    tables = []  # per class (16, e * 441): a column's product with a patch is closeness
    for known in windows.reshape(k, e * places**2, PATCH_PX**2):
        described = [known @ filters - shift, np.tile(where.reshape(-1, 2), (e, 1))]
        row = np.concatenate(described, axis=1)
        halves = (row**2).sum(axis=1, keepdims=True) / -2
        tables.append(np.concatenate([row, halves], axis=1).T.astype(np.float32, "C"))
    own_places = where[::STRIDE_PX, ::STRIDE_PX].reshape(-1, 2)
    ones = np.ones((len(own_places), 1), np.float32)

    def distances(image):
        pixel = gray(image)
        windows = sliding_window_view(pixel, (PATCH_PX, PATCH_PX))
        cut = windows[::STRIDE_PX, ::STRIDE_PX].reshape(len(ones), -1)
        described = cut @ filters - shift
        query = np.concatenate([described, own_places, ones], axis=1)
        squares = (query[:, :-1] ** 2).sum(axis=1)
        gaps = exemplars - pixel.ravel()
        other = (gaps * gaps).mean(axis=2) >= _SAME_RMS**2  # (k, e)
        found = np.full(k, np.nan)
        for c, table in enumerate(tables):  # their products stay in the cache
            closeness = (query @ table).reshape(len(ones), e, -1)
            best = closeness[:, other[c]].max(axis=(1, 2), initial=-math.inf)
            found[c] = np.sqrt(np.maximum(squares - 2 * best, 0)).mean()
        black = np.linalg.norm(described + shift, axis=1).mean()
        return np.where(np.isfinite(found), found, black)

    return distances


def class_scores(node, inputs):
    """Linear scores of a transductive feature."""
    learned = node.learned

    def scores(image):
        row = np.concatenate([np.ravel(source(image)) for source in inputs])
        row = (row - learned["center"]) * learned["scale"]
        row = row / max(np.linalg.norm(row), 1e-6)
        cosines = learned["seeds"] @ row
        nearest = cosines.argmax()
        if cosines[nearest] > SAME_IMAGE:
            return learned["seed_scores"][nearest]
        return row @ learned["weights"] + learned["bias"]

    return scores


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


SCIPY = {"texton_map": texton_map, "visual_words": visual_words}
SKLEARN = {"sparse_residuals": sparse_residuals}
NUMPY = {
    "texton_grid": texton_grid,
    "patch_words": patch_words,
    "patchmatch_distances": patchmatch_distances,
    "class_scores": class_scores,
}
