"""Images and labels from one noise vector: labels are generated, not requested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from torch.nn.utils import skip_init

from lfkit.classifiers import ShrinkageLDA
from lfkit.errors import InputError
from lfkit.features.feature import extract
from lfkit.features.imagenet import efficientnet_features
from lfkit.generators.gan import RealImages
from lfkit.generators.gan.config import GanConfig
from lfkit.generators.gan_generator import GanGenerator
from lfkit.generators.lf_votes.vote_tensors import weights_of
from lfkit.generators.plan import check_choice, check_number
from lfkit.generators.trained_gan import TrainedGan
from lfkit.generators.training_set import TrainingSet

# A quicker head makes sure labels before it knows which, and is found out by that.
_PLAN = GanConfig(
    unconditional_fraction=0.0,
    label_mode="head",
    head_on="maps",
    loss="hinge",
    rate_head=1e-4,
)
TARGETS = ("classes", "votes", "features")
_MOST_DECODED = 20_000  # images that a decoder learns from


class JGan(GanGenerator):
    """Makes a label beside each image, on the last maps the image is painted from.

    Park 2019, arXiv:1905.11574: the discriminator is that of a conditional GAN; labels
    that are wrong, or no classes at all, then cost less, since none is asked for. In
    the paper's use of features, the labels of generated images are decoded: a linear
    classifier on the run's labels of real ones.

    Parameters
    ----------
    targets : what a label is. "classes"; "votes": of every function, or its silence;
        "features": of EfficientNet-Lite0, their first `n_components` directions.
    soft : classes as posteriors, on both sides of one kind; else one-hot, as in the
        paper.
    real_labels : "model": the run's; "seeds": only theirs; "true".
    """

    paper = "JGAN (Park 2019)"
    needs = "labels, or votes"
    gives = "labels it was not asked for, by a label head"
    has_sample_confidence = True
    label_modes: ClassVar[tuple[str, ...]] = ("head",)

    def __init__(
        self,
        plan: GanConfig = _PLAN,
        *,
        targets: str = "classes",
        soft: bool = True,
        n_components: int = 32,
        real_labels: str = "model",
        random_state: int = 0,
        device: str = "cpu",
    ) -> None:
        self.plan = plan
        self.targets = targets
        self.soft = soft
        self.n_components = n_components
        self.real_labels = real_labels
        self.random_state = random_state
        self.device = device

    def _check_settings(self, has_functions: bool) -> None:
        check_choice("targets", self.targets, TARGETS)
        check_choice("real_labels", self.real_labels, ("model", "true", "seeds"))
        check_number("n_components", self.n_components, 1)
        if self.targets == "classes":
            return
        if self.plan.conditioning in ("classifier", "multi-hinge"):
            raise InputError(
                f"targets is {self.targets!r} and conditioning "
                f"{self.plan.conditioning!r}: there are no classes to name. Set "
                "conditioning to 'projection' or 'concat'."
            )
        if self.plan.draw_factor > 1 and self.plan.stratify:
            raise InputError(
                f"targets is {self.targets!r}, so there are no classes to stratify "
                "draw_factor by. Set stratify=false, or draw_factor to 1."
            )

    def _real(self, task: TrainingSet) -> RealImages:
        rows, group = self._label_rows(task)
        self._width = rows.shape[1], group
        self._decoder_ = (
            self._decoder(rows, task) if self.targets != "classes" else None
        )
        real = RealImages(task.images, rows.shape[1], self.device, group, fixed=True)
        used = task.is_labeled if self.targets == "classes" else np.ones(len(rows))
        real.set_pairs(rows, used.astype(np.float64))
        return real

    def _named(self, labels: torch.Tensor) -> torch.Tensor:
        return labels if self._decoder_ is None else _classes(self._decoder_, labels)

    def _label_rows(self, task: TrainingSet) -> tuple[NDArray[np.float32], int]:
        """Give the labels of real images, (n, d), and how many numbers sum to 1."""
        k = task.n_classes
        if self.targets == "votes":
            if not task.votes.n_functions:
                raise InputError("targets is 'votes', and no function has voted.")

            parts = []
            for part in weights_of(task.votes):
                silent = (1 - part.sum(dim=2, keepdim=True)).clamp_min(0)
                parts.append(np.concatenate([part, silent], axis=2))
            rows = np.concatenate(parts)
            return rows.reshape(len(rows), -1), k + 1
        if self.targets == "features":
            return _whitened(task.images, self.n_components, self.device), 0
        if self.soft:
            return task.proba.astype(np.float32), k
        named = np.eye(k, dtype=np.float32)[task.proba.argmax(axis=1)]
        return named * task.is_labeled[:, None], k

    def _decoder(self, rows: NDArray[np.float32], task: TrainingSet) -> torch.nn.Linear:
        """Fit a linear classifier from labels of another kind to classes."""
        rng = np.random.default_rng([self.random_state, 8])
        known = rng.permutation(np.flatnonzero(task.is_labeled))[:_MOST_DECODED]
        model = ShrinkageLDA().fit(rows[known], task.proba[known])
        weights, constants = model.linear_
        found = _linear(rows.shape[1], task.n_classes).to(self.device)
        with torch.no_grad():
            found.weight.copy_(torch.from_numpy(weights.T.copy()))
            found.bias.copy_(torch.from_numpy(constants))
        return found

    def _new_gan(self, shape: tuple[int, int, int], n_classes: int) -> TrainedGan:
        n_labels, group = self._width
        gan = TrainedGan(
            shape, n_classes, self.plan, self.device, n_labels=n_labels, group=group
        )
        decoder = self._decoder_
        if decoder is not None:
            gan.decoded = lambda labels: _classes(decoder, labels)
        return gan

    def _modules(self) -> Mapping[str, torch.nn.Module]:
        found = dict(super()._modules())
        return found if self._decoder_ is None else found | {"decoder": self._decoder_}

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"width": list(self._width)}

    def _restore(self, settings: Mapping[str, Any]) -> None:
        n_labels, group = settings["width"]
        self._width = n_labels, group
        self._decoder_ = None
        if self.targets != "classes":
            self._decoder_ = _linear(n_labels, len(self.prior_)).to(self.device)
        super()._restore(settings)


def _whitened(
    images: NDArray[np.uint8], n_components: int, device: str
) -> NDArray[np.float32]:
    """Give frozen features by their first directions, each of variance 1, (n, d)."""
    features = extract([efficientnet_features], images, device=device)
    rows = features[efficientnet_features]
    most = min(n_components, *rows.shape)
    found = PCA(most, whiten=True, svd_solver="covariance_eigh").fit_transform(rows)
    return np.asarray(found, np.float32)


def _linear(inside: int, outside: int) -> torch.nn.Linear:
    layer: torch.nn.Linear = skip_init(  # type: ignore[no-untyped-call]
        torch.nn.Linear, inside, outside
    )
    return layer.requires_grad_(False)


def _classes(decoder: torch.nn.Linear, labels: torch.Tensor) -> torch.Tensor:
    return torch.softmax(decoder(labels.float()), dim=1)
