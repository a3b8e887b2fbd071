"""The features of a library, written as for one image at a time.

`peers_of` gives for every feature its peers: functions of one (28, 28) uint8 image.
They use scikit-image, OpenCV, SciPy, scikit-learn or NumPy, and give the quantities of
the batched features: exactly for most, close (correlated) where libraries treat borders
or ties differently. What no library has is the batched feature at batch size one.

Each peer starts from the pixels, as labeling functions written one by one do, but what
several of them read of one image is computed once. `python -m benchmarks.features`
prints time and agreement of every peer.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import (
    peers_clothes,
    peers_descriptors,
    peers_learned,
    peers_maps,
    peers_shape,
    peers_spots,
)
from benchmarks.peers_shape import gray01, once
from lf_library import _fashion_features
from lfkit.features.feature import ancestors, image

BATCH_OF_ONE = "batch of one"
_PLAIN = {
    "NumPy": peers_shape.NUMPY | peers_clothes.NUMPY | peers_descriptors.NUMPY,
    "OpenCV": (
        peers_shape.OPENCV
        | peers_clothes.OPENCV
        | peers_maps.OPENCV
        | peers_spots.OPENCV
        | peers_descriptors.OPENCV
    ),
    "scikit-image": (
        peers_shape.SKIMAGE
        | peers_maps.SKIMAGE
        | peers_spots.SKIMAGE
        | peers_descriptors.SKIMAGE
    ),
}
_LEARNED = {
    "SciPy": peers_learned.SCIPY,
    "scikit-learn": peers_learned.SKLEARN,
    "NumPy": peers_learned.NUMPY,
}
_CLOTHES = peers_clothes.NUMPY.keys() | peers_clothes.OPENCV.keys()


@dataclass(frozen=True)
class Peer:
    """A function of one image, and the library that does most of its work."""

    maker: str
    function: Any


def peers_of(features):
    """Give the peers of fitted features and of all they are computed from.

    Returns
    -------
    feature → list of Peer, the fastest first.
    """
    found = {image: [Peer("NumPy", gray01)]}
    for node in ancestors(features):
        inputs = [found[source][0].function for source in node.of]
        peers = [
            Peer(library, function)
            for library, table in _PLAIN.items()
            if (function := _plain(table, node, found)) is not None
        ]
        peers += [
            Peer(library, table[key](node, inputs))
            for library, table in _LEARNED.items()
            for key in (node.name, node.fn.__name__)
            if key in table and _is_meant(node, node.name)
        ][:1]
        if not peers:
            peers = [Peer(BATCH_OF_ONE, peers_learned.batch_of_one(node, inputs))]
        found[node] = [Peer(p.maker, once(p.function)) for p in peers]
    del found[image]
    return found


def _plain(table, node, found):
    """Look up a function of the image, or of the view that the feature reads."""
    if _is_meant(node, node.name) and node.name in table:
        return table[node.name]
    for view, peers in found.items():
        base = node.name.removesuffix(f"_of_{view.name}")
        if base != node.name and base in table and _is_meant(node, base):
            return lambda pixels: table[base](peers[0].function(pixels))
    return None


def _is_meant(node, name):
    """Tell the feature that has peers from another library's of the same name."""
    if name in _CLOTHES:
        return node.fn is getattr(_fashion_features, name).fn
    return node.fn.__module__.startswith("lfkit.")


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
