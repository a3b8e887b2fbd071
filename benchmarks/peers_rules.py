"""Ten rules of lf_library.fashion, written for one image at a time under Snorkel.

One of each kind: a rule in code, shades, moments, edges, blobs, textons, HOG, gist,
patterns, a network. `peers_of` gives the features they read as functions of one
(28, 28) uint8 image: exactly for most, close (correlated) where libraries treat borders
or ties differently. The network, which no library has, is the batched feature at batch
size one. `python -m benchmarks.features` prints time and agreement of every peer.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from snorkel.labeling import LabelingFunction as SnorkelFunction

from benchmarks import peers_features
from lfkit import ABSTAIN, Likelihood, NearestMean
from lfkit.features.feature import ancestors, image

TEN = (
    "leg_gap_is_trouser",
    "histogram_resembles_class",
    "spread_is_that_of_class",
    "edges_are_where_class_has_them",
    "blobs_are_where_class_has_them",
    "textons_resemble_class",
    "hog_resembles_class",
    "gist_resembles_class",
    "texture_resembles_class",
    "lenet_sees_class",
)
BATCH_OF_ONE = "batch of one"
# Feature → the library that does most of the work of the fastest peer.
_MAKERS = {
    "NumPy": (
        *("silhouette", "leg_gap", "intensity_histogram"),
        *("hog4", "lbp_codes", "lbp_grid"),
    ),
    "OpenCV": (
        *("bounding_box", "width", "centre_of_mass", "second_moments"),
        *("smoothed_sobel", "canny_edges", "canny_grid", "blob_responses", "blob_grid"),
        *("gist", "texton_responses"),
    ),
}
_LEARNED = {"texton_map": "SciPy", "texton_grid": "NumPy"}


@dataclass(frozen=True)
class Peer:
    """A function of one image, and the library that does most of its work."""

    maker: str
    function: Any


def ten_of(lfs):
    """Choose the ten rules among fitted functions."""
    return [lf for lf in lfs if lf.name in TEN]


def peers_of(features):
    """Give the peers of fitted features and of all they are computed from.

    Returns
    -------
    feature → list of Peer, the fastest first.
    """
    found = {image: [Peer("NumPy", peers_features.gray01)]}
    for node in ancestors(features):
        inputs = [found[source][0].function for source in node.of]
        found[node] = [
            Peer(peer.maker, peers_features.once(peer.function))
            for peer in _peers(node, inputs)
        ]
    del found[image]
    return found


def _peers(node, inputs):
    name = node.name
    if name == "gray28":
        return [Peer("NumPy", peers_features.gray01)]
    if name in _LEARNED:
        return [Peer(_LEARNED[name], getattr(peers_features, name)(node, inputs))]
    peers = [
        Peer(maker, getattr(peers_features, name))
        for maker, names in _MAKERS.items()
        if name in names
    ]
    other = getattr(peers_features, f"skimage_{name}", None)
    if other is not None:
        peers.append(Peer("scikit-image", other))
    return peers or [Peer(BATCH_OF_ONE, peers_features.batch_of_one(node, inputs))]


def fastest(peers):
    """Choose each feature's first peer: feature → function."""
    return {node: several[0].function for node, several in peers.items()}


def skimage_first(peers):
    """Choose scikit-image's peers where there are any: feature → function."""
    return {
        node: next(
            (p.function for p in several if p.maker == "scikit-image"),
            several[0].function,
        )
        for node, several in peers.items()
    }


def planes(pixels):
    """Give (n, h, w, c) images to peers: a list of (28, 28) uint8 arrays."""
    if pixels.shape[1:] != (28, 28, 1):
        raise ValueError(
            f"peers take 28x28 gray images, got {pixels.shape[1:]}; convert them with "
            "lfkit.features.gray.gray28."
        )
    return list(np.ascontiguousarray(pixels[..., 0]))


def per_image(lf, peers):
    """Write one of the ten rules, fitted, as a Snorkel user would.

    Parameters
    ----------
    peers : feature → function of one image.
    """
    read = [peers[node] for node in lf.features]
    decide = _leg_gap_is_trouser(lf) if "gap" in lf.thresholds else _by_rule(lf)
    return SnorkelFunction(lf.name, lambda image: decide(*(f(image) for f in read)))


def _leg_gap_is_trouser(lf):
    label, cuts = lf.classes[0], lf.keywords

    def decide(depth, wide):
        # Cuts are values of seeds, in float32: equal ones must be equal here too.
        deep, slim = np.float32(depth) > cuts["gap"], np.float32(wide) <= cuts["slim"]
        return label if deep and slim else ABSTAIN

    return decide


def _by_rule(lf):
    scores_of, margin = _scores(lf.keywords["rule"])

    def decide(values):
        scores = scores_of(np.asarray(values, np.float32).ravel())
        second, first = np.partition(scores, -2)[-2:]
        return lf.classes[scores.argmax()] if first - second >= margin else ABSTAIN

    return decide


def _scores(rule):
    """Give a rule's function from values to scores of its classes, and its margin."""
    learned = {name: np.asarray(value) for name, value in rule.learned.items()}
    margin = learned.pop("margin")
    if isinstance(rule, NearestMean):
        return (lambda v: v @ learned["weights"] + learned["bias"]), margin
    assert isinstance(rule, Likelihood)
    return (lambda v: _log_likelihoods(v, **learned)), margin


def _log_likelihoods(values, *, center, scale, means, whiten, offset):
    gaps = (values - center) / scale - means  # (c, d)
    whitened = (whiten @ gaps[:, :, None])[:, :, 0]
    return offset - 0.5 * (whitened**2).sum(axis=1)
