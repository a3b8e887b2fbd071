"""What a refinement learned, without the images it learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.image_source import ImageSource
from lfkit.encoders import Encoder, open_encoder
from lfkit.features.feature import Feature
from lfkit.nn.compute import best_device
from lfkit.refinement.encoded_images import EncodedFeatures
from lfkit.refinement.feature_sets import (
    ArrayFeatures,
    FeatureSet,
    PixelFeatures,
    StoredFeatures,
)
from lfkit.refinement.pca import Compactor
from lfkit.refinement.pretrained_features import PretrainedFeatures
from lfkit.refinement.problem import small_pixels
from lfkit.refinement.product_of_experts import logs, power_of_confidence, product
from lfkit.refinement.result import READ, ImageModel
from lfkit.refinement.tunable_images import TunableImages, tunable
from lfkit.runs.store import Store


@dataclass(frozen=True)
class FrozenSet:
    """A set of features that refinement looked at, and how to make it of new images.

    Attributes
    ----------
    features, widths : features of the labeling functions, and their numbers of values;
        empty if the set is made otherwise.
    encoder : name of the network that makes it; "" if none.
    """

    name: str
    features: tuple[str, ...] = ()
    widths: tuple[int, ...] = ()
    encoder: str = ""


@dataclass(frozen=True, eq=False)
class FrozenRefinement:
    """Labels new images by what they look like and what votes say of them.

    Attributes
    ----------
    found : what the stages gave, by name.
    has_network : a network that was trained on the labels is part of it.
    shape : (h, w, c) of the images, made small.
    power : to which posteriors are raised, to be as sure on the mean as the run's.
    without_seeds : what labels without seeds look like, if these were taken in.
    """

    found: Mapping[str, NDArray[Any]]
    has_network: bool
    sets: tuple[FrozenSet, ...]
    compactors: Mapping[str, Compactor]
    shape: tuple[int, int, int]
    n_classes: int
    power: float = 1.0
    without_seeds: FrozenRefinement | None = None

    @property
    def foreign_encoders(self) -> tuple[str, ...]:
        """Names of the networks whose weights did not come with lfkit."""
        # After a colon stands which weights, of a library or in a file.
        return tuple(each.encoder for each in self.sets if ":" in each.encoder)

    def predict_proba(
        self,
        images: ImageSource,
        votes_proba: NDArray[np.float64] | None,
        features: Mapping[Feature, str],
        store: Store,
        shown: dict[str, FeatureSet] | None = None,
        small: tuple[NDArray[np.uint8], NDArray[np.bool_]] | None = None,
    ) -> NDArray[np.float64]:
        """Give the distribution over classes of each image, (n, k).

        Parameters
        ----------
        votes_proba : (n, k) what the votes say; None: nothing is voted.
        features : the functions' features → their keys in the store.
        shown : sets of features that were made before, by name; others are added.
        small : what `small_pixels` has read of the images, if it has.
        """
        device = best_device()
        by_name = {node.name: (node, key) for node, key in features.items()}
        small = small or small_pixels(images)
        shown = {} if shown is None else shown
        networks: list[TunableImages | None] = []
        for each in self.sets:
            if each.name not in shown:
                shown[each.name] = _made(each, images, small[0], by_name, store)
            encoder = _encoder(each, by_name)
            networks.append(
                None if encoder is None else tunable(images, encoder, device)
            )
        model = ImageModel(
            {**self.found} | ({"network_proba": _NONE} if self.has_network else {}),
            networks,
            self.compactors,
            {each.name: None for each in self.sets},
            self.shape,
            self.n_classes,
            device,
        )
        first = None
        if self.without_seeds is not None and "tuned_by" not in self.found:
            first = self.without_seeds.predict_proba(
                images, None, features, store, shown, small
            )
        proba = model.predict_proba(images, votes_proba, shown, first, small)
        return proba if self.power == 1 else product([logs(proba)], [self.power])

    def as_sure_as(
        self, proba: NDArray[np.float64], confidence: float
    ) -> FrozenRefinement:
        """Give a model whose posteriors, (n, k) now, have this mean confidence."""
        return replace(self, power=power_of_confidence(proba, confidence))


PARTS = {kind.__name__: kind for kind in (FrozenRefinement, FrozenSet, Compactor)}
_NONE = np.zeros(0)


def freeze_model(
    model: ImageModel,
    feature_sets: Mapping[str, FeatureSet],
    features: Mapping[Feature, str],
    encoders: tuple[str, ...],
    without_seeds: Mapping[str, FeatureSet],
) -> FrozenRefinement:
    """Keep of a refinement's model what new images need.

    Parameters
    ----------
    feature_sets, without_seeds : what refinement looked at, by name.
    features : the functions' features → their keys in the run's store.
    encoders : names of networks that were asked for beside them.
    """
    found = {
        name: np.asarray(value)
        for name, value in model.found.items()
        if READ.fullmatch(name)
    }
    name_of = {key: node.name for node, key in features.items()}
    return FrozenRefinement(
        found,
        "network_proba" in model.found and "tuned_by" not in model.found,
        tuple(
            _frozen_set(name, given, name_of, encoders)
            for name, given in feature_sets.items()
        ),
        dict(model.compactors),
        model.shape,
        model.n_classes,
        without_seeds=None
        if model.without_seeds is None
        else freeze_model(model.without_seeds, without_seeds, features, encoders, {}),
    )


def _frozen_set(
    name: str,
    given: FeatureSet,
    name_of: Mapping[str, str],
    encoders: tuple[str, ...],
) -> FrozenSet:
    if not isinstance(given, StoredFeatures):
        return FrozenSet(name)  # made of pixels
    if all(key in name_of for key in given.keys):
        names = tuple(name_of[key] for key in given.keys)
        return FrozenSet(name, names, tuple(given.widths))
    by_name = {open_encoder(each).name: each for each in encoders}
    return FrozenSet(name, encoder=_named(name, by_name))


def _named(name: str, encoders: Mapping[str, str]) -> str:
    """Find the encoder whose features have a name."""
    from lfkit.features.encoded import encoder_features

    return next(
        each
        for each in encoders.values()
        if encoder_features(open_encoder(each)).features.name == name
    )


def _made(
    each: FrozenSet,
    images: ImageSource,
    pixels: NDArray[np.uint8],
    by_name: Mapping[str, tuple[Feature, str]],
    store: Store,
) -> FeatureSet:
    """Make a set of features of new images."""
    if each.features:
        parts = [
            _stored(by_name.get(name), width, images, store)
            for name, width in zip(each.features, each.widths, strict=True)
        ]
        return ArrayFeatures(parts)
    if each.encoder:
        encoded = EncodedFeatures(images, open_encoder(each.encoder))
        return _Held(encoded, np.float16)  # as a run's store rounds them
    if each.name == "imagenet":
        return _Held(PretrainedFeatures(pixels), np.float32)
    return PixelFeatures(pixels)


def _stored(
    found: tuple[Feature, str] | None, width: int, images: ImageSource, store: Store
) -> NDArray[np.float32]:
    """Give what was computed of a feature, (n, width); NaN where it failed."""
    values = np.full((len(images), width), np.nan, np.float32)
    if found is not None:
        rows_of = StoredFeatures(store, images, {found[1]})
        if rows_of.widths == (width,):
            for rows, part in rows_of.chunks():
                values[rows] = part
    return values


def _encoder(
    each: FrozenSet, by_name: Mapping[str, tuple[Feature, str]]
) -> Encoder | None:
    """Give the network that makes a set of features, if it is one."""
    if each.encoder:
        return open_encoder(each.encoder)
    if each.features != (each.name,) or each.name not in by_name:
        return None
    return by_name[each.name][0].encoder


class _Held(ArrayFeatures):
    """What a network sees, in memory: both models look at it."""

    def __init__(
        self, given: EncodedFeatures | PretrainedFeatures, dtype: type[np.floating[Any]]
    ) -> None:
        values = np.zeros((len(given), sum(given.widths)), dtype)
        for rows, part in given.chunks():
            values[rows] = part
        super().__init__([values])
