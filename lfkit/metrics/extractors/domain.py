"""A classifier of the domain itself: cheap, offline, and at home among its images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError

from lfkit.data.files import written_whole
from lfkit.data.image_source import ImageSource
from lfkit.data.image_tensors import to_unit_range
from lfkit.errors import InputError
from lfkit.metrics.extractors.extractor import Extractor
from lfkit.runs.reading import reading

if TYPE_CHECKING:
    from lfkit.nn import SmallConvNet, TrainingPlan

_WIDTH = 32  # channels of the first layer; the last has 64
_N_FEATURES = 128
_AT_ONCE = 256
_MOST_IMAGES = 60_000  # held in memory to learn from

Labels = Literal["true", "weak"]


class DomainClassifier(Extractor):
    """A small network trained on labeled images with a fixed recipe and seed.

    Its features are what its last layer reads, brought to one length and projected at
    random to 128 numbers: few enough for the statistics of 2,000 images, and distances
    stay what they are (Johnson & Lindenstrauss 1984). Its checksum is that of its
    weights: scores by classifiers fitted apart are not comparable.

    Parameters
    ----------
    labels : "true" ones, or the "weak" ones of a run; the extractor is named `domain`
        or `domain-weak` by them.
    n_steps : updates of the weights with 128 images each. 2,500 on Fashion-MNIST take
        four minutes of one core, and know .91 of its test set.

    Attributes
    ----------
    shape_ : (h, w, c) of the images it knows.
    """

    width = _N_FEATURES

    def __init__(
        self,
        labels: Labels = "true",
        *,
        n_steps: int = 2500,
        random_state: int = 0,
        device: str = "cpu",
    ) -> None:
        self.name = "domain" if labels == "true" else "domain-weak"
        self.labels = labels
        self.n_steps = n_steps
        self.random_state = random_state
        self.device = device
        self._network: SmallConvNet | None = None

    def fit(
        self,
        source: ImageSource,
        proba: NDArray[np.floating],
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> Self:
        """Learn the classes; of more than 60,000 labeled images, a draw of them.

        Parameters
        ----------
        proba : (n, k) label distributions; a row of zeros teaches nothing.
        progress : called with the steps done and all steps.
        """
        from lfkit.nn import train

        proba = np.asarray(proba, np.float32)
        if proba.ndim != 2 or len(proba) != len(source):
            raise InputError(
                f"{self.name} got {len(source)} images and labels of shape "
                f"{proba.shape}; expected (images, classes)."
            )
        labeled = np.flatnonzero(proba.any(axis=1))
        rng = np.random.default_rng([self.random_state, len(labeled)])
        rows = np.sort(rng.permutation(labeled)[:_MOST_IMAGES])
        read = source.read(rows)
        good = np.setdiff1d(np.arange(len(rows)), [*read.problems])
        if not len(good):
            raise InputError(
                f"{self.name} cannot learn: none of the {len(source)} images can be "
                "read and has a label."
            )
        network = train(
            read.pixels[good],
            proba[rows[good]],
            plan=_plan(self.n_steps),
            random_state=self.random_state,
            device=self.device,
            progress=progress,
        )
        drawn = np.random.default_rng([self.random_state, 1])
        # Not divided by √128: features are near 1, as the kernel of KID expects them.
        normal = drawn.normal(size=(network.n_features, _N_FEATURES))
        projection = normal.astype(np.float32)
        return self._take(network, projection, source.shape, proba.shape[1])

    def __call__(
        self, pixels: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Look at (b, h, w, c) uint8: (b, 128) features and (b, k) probabilities."""
        import torch

        network = self._fitted()
        if pixels.shape[1:] != self.shape_:
            raise InputError(
                f"{self.title} knows images of shape {self.shape_}, got "
                f"{pixels.shape[1:]}; bring them to the shape of the real ones."
            )
        features = np.empty((len(pixels), self.width), np.float32)
        proba = np.empty((len(pixels), self.n_classes), np.float32)
        for start in range(0, len(pixels), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            with torch.inference_mode():
                images = to_unit_range(pixels[part], self.device)
                images = images.contiguous(memory_format=torch.channels_last)
                seen = network.features(images)
                scores = network.head(seen)
            # Bad images have short features, which lie in the wide balls around unusual
            # real ones: at full length, precision ranked noise beside real clothes, .87
            # to .88. By averages over places, as is usual, FID held strong blur for
            # worse than noise.
            directions = torch.nn.functional.normalize(seen, dim=1).cpu().numpy()
            features[part] = directions @ self._projection
            proba[part] = scores.double().softmax(dim=1).cpu().numpy()
        return features, proba

    def predict_proba(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Judge (b, h, w, c) uint8: (b, k) probabilities of the classes."""
        return self(pixels)[1]

    def save(self, path: Path) -> None:
        """Write the weights as an .npz that holds no code."""
        arrays = {
            f"network.{name}": value.cpu().numpy()
            for name, value in self._fitted().state_dict().items()
        }
        with written_whole(path) as part:
            np.savez(
                part,
                labels=self.labels,
                shape=self.shape_,
                n_classes=self.n_classes,
                n_steps=self.n_steps,
                random_state=self.random_state,
                projection=self._projection,
                allow_pickle=False,
                **arrays,
            )

    @classmethod
    def load(cls, path: Path, *, device: str = "cpu") -> Self:
        """Read what `save` wrote."""
        import torch

        from lfkit.nn import SmallConvNet

        remedy = "delete it, and let it be trained again"
        with reading(path, remedy, InputError):
            # Opened here: np.load leaves a damaged archive open.
            with path.open("rb") as opened, np.load(opened) as file:
                known = {name: file[name] for name in file.files}
            for name, value in known.items():
                if value.dtype.kind == "f" and not np.isfinite(value).all():
                    raise ValueError(f"{name} holds numbers that are not finite")
            found = cls(
                "weak" if str(known["labels"]) == "weak" else "true",
                n_steps=int(known["n_steps"]),
                random_state=int(known["random_state"]),
                device=device,
            )
            h, w, c = (int(side) for side in known["shape"])
            network = SmallConvNet(
                (h, w, c),
                int(known["n_classes"]),
                width=_WIDTH,
                generator=torch.Generator(),
            )
            network.load_state_dict(
                {
                    name: torch.from_numpy(known[f"network.{name}"])
                    for name in network.state_dict()
                }
            )
            projection = known["projection"]
        n_classes = int(known["n_classes"])
        return found._take(network.to(device), projection, (h, w, c), n_classes)

    def _take(
        self,
        network: Any,
        projection: NDArray[np.float32],
        shape: tuple[int, int, int],
        n_classes: int,
    ) -> Self:
        self._network = network.eval().requires_grad_(False)
        self._projection = projection
        self.shape_, self.n_classes = shape, n_classes
        digest = hashlib.sha256(projection.tobytes())
        for name, value in network.state_dict().items():
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(value.cpu().numpy()).tobytes())
        self.checksum = digest.hexdigest()
        return self

    def _fitted(self) -> SmallConvNet:
        if self._network is None:
            raise NotFittedError(f"{self.name} has not been fitted; call fit() first.")
        return self._network


def _plan(n_steps: int) -> TrainingPlan:
    from lfkit.nn import Augmentation, TrainingPlan

    # Shifts only: what is trained not to mind noise, blur and contrast does not see
    # them in generated images either. It knows .911 of Fashion-MNIST's test set; with
    # all augmentations, and the default rate, .899.
    shifts = Augmentation(
        rotation_deg=0, zoom=0, aspect=0, shear=0, gamma=0, contrast=0, noise=0,
        cutout=(0, 0),
    )  # fmt: skip
    return TrainingPlan(
        n_steps=n_steps,
        width=_WIDTH,
        peak_rate=4e-3,
        weight_decay=0.02,
        # A short training would else give back the weights it began with.
        average=min(0.995, 1 - 8 / max(n_steps, 8)),
        augmentation=shifts,
    )
