"""What a refinement gives: labels, what each stage did, a model for new images."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.datasets.array_source import as_source
from lfkit.data.image_source import ImageSource
from lfkit.data.labels import HeldOut
from lfkit.errors import InputError
from lfkit.nn import look
from lfkit.refinement.class_prior import ClassPrior
from lfkit.refinement.feature_sets import ArrayFeatures, FeatureSet
from lfkit.refinement.lda_model import Discriminant
from lfkit.refinement.pca import Compactor
from lfkit.refinement.problem import small_pixels
from lfkit.refinement.product_of_experts import logs, product
from lfkit.refinement.stages import fine_tune
from lfkit.refinement.stages.distill import restored
from lfkit.refinement.stages.joint import JOINT_POWER
from lfkit.refinement.stages.self_training import as_evidence
from lfkit.refinement.stages.stage import Arrays
from lfkit.refinement.tunable_images import TunableImages
from lfkit.runs.run_summary import RefinementSummary, StageReport

# What `ImageModel` reads of what the stages gave: nothing that has a row per image.
READ = re.compile(
    r"(lda|self)\d+_(weights|bias|unknown|power|equal_lengths)|(network|tuned)\..*|tuned_(by|flip)|"
    r"vote_power|pool_powers|label_(shares|power)|shares|width|pretrained"
)


@dataclass(frozen=True, eq=False)
class ImageModel:
    """Labels new images: network, features and votes, whatever there is of them.

    Attributes
    ----------
    found : what the stages have given.
    networks : for each set of features, the network that `fine-tune` may have trained.
    compactors : set of features → what makes few numbers of them.
    makers : set of features → what makes them of pixels; None where that cannot be.
    shape : (h, w, c) of the images, made small.
    without_seeds : the model of labels made without seeds, if these were taken in.
    """

    found: Arrays
    networks: Sequence[TunableImages | None]
    compactors: Mapping[str, Compactor]
    makers: Mapping[str, Callable[[NDArray[np.uint8]], FeatureSet] | None]
    shape: tuple[int, int, int]
    n_classes: int
    device: str
    without_seeds: ImageModel | None = None

    def predict_proba(
        self,
        images: ImageSource | NDArray[np.uint8],
        votes_proba: NDArray[np.float64] | None = None,
        features: Mapping[str, FeatureSet] | None = None,
        first: NDArray[np.float64] | None = None,
        small: tuple[NDArray[np.uint8], NDArray[np.bool_]] | None = None,
    ) -> NDArray[np.float64]:
        """Give the distribution over classes of each image, (n, k).

        Parameters
        ----------
        images : (n, h, w, c) of the size of those fitted.
        votes_proba : (n, k) what the votes say; None: nothing is voted.
        features : feature sets by the names fitted; those not given are made of the
            pixels if those fitted were, and left out if not.
        first : (n, k) what the model without seeds says; None: it is asked.
        small : what `small_pixels` has read of the images, if it has.
        """
        small = small or small_pixels(images)
        pixels, readable = small
        if pixels.shape[1:] != self.shape:
            raise InputError(
                f"these images are {pixels.shape[1:]} (height, width, channels) after "
                f"shrinking, the model was fitted on {self.shape}; resize them before."
            )
        n = len(pixels)
        shown = self._shown(pixels, features or {})
        experts, powers = self._experts("lda", shown, n)
        if votes_proba is not None:
            experts.append(logs(votes_proba))
            powers.append(float(self.found.get("vote_power", 1.0)))
        before = product(experts, powers) if experts else None
        experts, powers = self._experts("self", shown, n)
        if experts:
            if before is not None:
                labels = logs(as_evidence(before, self.found["label_shares"]))
                experts.append(float(self.found["label_power"]) * labels)
                powers.append(1.0)
            before = product(experts, powers)
        is_pooled = "pool_powers" in self.found and "tuned_by" not in self.found
        if is_pooled and first is None and self.without_seeds is not None:
            first = self.without_seeds.predict_proba(images, None, shown, small=small)
        if is_pooled and first is not None:
            of_both = self.found["pool_powers"].tolist()
            flat = np.zeros(first.shape) if before is None else logs(before)
            before = product([flat, logs(first)], of_both)
        if "tuned_by" in self.found:
            before = self._tuned(images)
        elif "network_proba" in self.found:
            network = restored(self.found, self.shape, self.n_classes, self.device)
            parts = [log for _, log, _ in look(network, pixels)]
            seen = np.concatenate(parts) if parts else np.zeros((0, self.n_classes))
            if before is None:
                before = np.exp(seen)
            else:
                before = product([logs(before), seen], [JOINT_POWER] * 2)
        if before is None:
            before = np.tile(self.found["shares"], (n, 1))
        return np.where(readable[:, None], before, self.found["shares"])

    @property
    def has_looked(self) -> bool:
        """Tell whether features have learned something, or only shares are known."""
        return any(re.fullmatch(r"(lda|self)\d+_weights", name) for name in self.found)

    def lean(self) -> ImageModel:
        """Give the same without what it does not read, some of it a row per image."""
        read = {k: v for k, v in self.found.items() if READ.fullmatch(k)}
        if "network_proba" in self.found:
            read["network_proba"] = self.found["network_proba"]
        return replace(self, found=read)

    def _tuned(self, images: ImageSource | NDArray[np.uint8]) -> NDArray[np.float64]:
        """Give what the network says that `fine-tune` has trained, (n, k)."""
        trained = self.networks[int(self.found["tuned_by"])]
        assert trained is not None, "it was trained"
        new = TunableImages(as_source(images), trained.encoder, trained.device)
        network = fine_tune.restored(self.found, new, self.n_classes)
        flip = bool(self.found["tuned_flip"])
        return np.exp(new.log_posteriors(network, np.arange(len(new.source)), flip))

    def _shown(
        self, pixels: NDArray[np.uint8], features: Mapping[str, FeatureSet]
    ) -> dict[str, FeatureSet]:
        """Give the feature sets of new images: those given, or made of their pixels."""
        shown = {}
        for name, maker in self.makers.items():
            if name in features:
                shown[name] = features[name]
            elif maker is not None and len(pixels):
                shown[name] = maker(pixels)
        return shown

    def _experts(
        self, stage: str, shown: Mapping[str, FeatureSet], n: int
    ) -> tuple[list[NDArray[np.float64]], list[float]]:
        """Give the scores, (n, k) each, of what a stage learned, and their powers."""
        scores, powers = [], []
        for number, name in enumerate(self.compactors):
            part = f"{stage}{number}"
            if f"{part}_weights" in self.found and name in shown:
                scores.append(self._scores(part, name, shown[name], n))
                powers.append(float(self.found[f"{part}_power"]))
        return scores, powers

    def _scores(
        self, part: str, name: str, features: FeatureSet, n: int
    ) -> NDArray[np.float64]:
        """Score new images by what was learned of one feature set, (n, k)."""
        compactor = self.compactors[name]
        if sum(features.widths) != len(compactor.center) or len(features) != n:
            raise InputError(
                f"{name!r} of new images are {len(features)} rows of "
                f"{sum(features.widths)} numbers; expected {n} rows of "
                f"{len(compactor.center)}, as fitted."
            )
        lda = Discriminant(
            self.found[f"{part}_weights"],
            self.found[f"{part}_bias"],
            self.found[f"{part}_unknown"],
            bool(self.found.get(f"{part}_equal_lengths", False)),
        )
        scores = np.zeros((n, self.n_classes))
        for rows, values in features.chunks():
            scores[rows] = lda(compactor(values))
        return scores


@dataclass(frozen=True, eq=False)
class Refined:
    """Labels after refinement, and before.

    Attributes
    ----------
    proba : (n, k) refined posteriors; seeds have their class.
    unrefined : (n, k) what the votes alone say.
    posteriors : stage → (n, k) posterior after it, reverted stages among them.
    stages : what each did, in order; the first is the votes alone.
    class_prior : shares of the classes, and where they come from.
    is_refined : False where `proba` is what the votes alone say.
    note : one sentence on whether the labels were refined, and why.
    model : labels new images; its posteriors are not calibrated.
    held_out : what `proba` is judged by, if it is refined; None where no seed can tell
        how right it is.
    unseeded : classes that votes name and no seed shows: images that votes are sure of
        stand in for them, or else nothing is learned from seeds but their own class.
    without_seeds : (n, k) what was made without any seed and given; None if nothing
        was, or images had no part in it.
    """

    proba: NDArray[np.float64]
    unrefined: NDArray[np.float64]
    posteriors: dict[str, NDArray[np.float64]]
    stages: list[StageReport]
    class_prior: ClassPrior
    is_refined: bool
    note: str
    model: ImageModel
    held_out: HeldOut | None = None
    unseeded: tuple[int, ...] = ()
    without_seeds: NDArray[np.float64] | None = None

    @property
    def agreement(self) -> float:
        """The share of labels that refinement left as they were."""
        same = self.proba.argmax(axis=1) == self.unrefined.argmax(axis=1)
        return float(same.mean()) if len(same) else 1.0

    def summary(self) -> RefinementSummary:
        """Give what the run's summary holds of it."""
        return RefinementSummary(
            is_refined=self.is_refined,
            note=self.note,
            unseeded=tuple(self.unseeded),
            agreement=self.agreement,
            class_prior=tuple(self.class_prior.shares.tolist()),
            class_prior_how=self.class_prior.how,
            stages=tuple(self.stages),
        )


def as_feature_sets(features: Any) -> dict[str, FeatureSet]:
    """Take one set of features, or several by name, by name."""
    if features is None:
        return {}
    if not isinstance(features, Mapping):
        features = {"features": features}
    found: dict[str, FeatureSet] = {}
    for name, given in features.items():
        if hasattr(given, "chunks"):
            found[name] = given
        else:
            arrays = [given] if isinstance(given, np.ndarray) else list(given)
            found[name] = ArrayFeatures(arrays)
    return found
