"""The contract of every generator: images and votes in, labeled images out."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from lfkit.errors import DataError, InputError, RunError
from lfkit.gan_plan import GanPlan
from lfkit.images import to_pixels
from lfkit.store import write_atomically
from lfkit.votes import Votes

if TYPE_CHECKING:
    import torch

    from lfkit.labeling.labeling_function import LabelingFunction
    from lfkit.nn import Checkpoints, Journal, Trainable

# Images are made so many at a time, each block from its own seed: how many are asked
# for, and where a run was stopped, changes none of them.
BLOCK = 256
# Blocks made for one block kept, before a class or a confidence is called out of reach.
_MOST_TRIES = 40
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Samples:
    """Generated images.

    Attributes
    ----------
    images : (n, h, w, c) uint8.
    proba : (n, k) posterior over the classes.
    confidence : (n,) how likely the label is right, by what the generator knows.
    """

    images: NDArray[np.uint8]
    proba: NDArray[np.float32]
    confidence: NDArray[np.float32]

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) the likeliest classes."""
        return self.proba.argmax(axis=1)

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, rows: NDArray[Any]) -> Samples:
        """Give some of the images."""
        return Samples(self.images[rows], self.proba[rows], self.confidence[rows])


@dataclass(frozen=True, eq=False)
class Task:
    """What a generator learns from, checked.

    Attributes
    ----------
    images : (n, h, w, c) uint8.
    proba : (n, k) label posteriors; rows of zeros = no label.
    prior : (k,) shares of the classes.
    seed_proba : (s, k) held-out posteriors of the seeds, or None.
    """

    images: NDArray[np.uint8]
    votes: Votes
    proba: NDArray[np.float64]
    prior: NDArray[np.float64]
    lfs: tuple[LabelingFunction, ...]
    seed_proba: NDArray[np.float64] | None

    @property
    def is_labeled(self) -> NDArray[np.bool_]:
        """(n,) which images have a label."""
        return np.asarray(self.proba.any(axis=1))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, c) of the images."""
        _, h, w, c = self.images.shape
        return h, w, c


class JointGenerator(BaseEstimator, ABC):
    """A model of images and labels together.

    Members write what is abstract here; public methods check once. Parameters are
    stored as given; what is learned ends in an underscore.

    Attributes
    ----------
    shape_ : (h, w, c) of the images.
    prior_ : (k,) shares of the classes; 0: it knows no such class.
    """

    plan: GanPlan
    random_state: int
    device: str

    def fit(
        self,
        images: NDArray[np.uint8],
        votes: Votes,
        *,
        proba: ArrayLike,
        lfs: Sequence[LabelingFunction] = (),
        class_prior: ArrayLike | None = None,
        seed_proba: ArrayLike | None = None,
        checkpoints: Checkpoints | None = None,
        journal: Journal | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Self:
        """Learn from real images.

        Parameters
        ----------
        images : (n, h, w, c) uint8, 8 pixels a side or more.
        votes : (n, m) of the functions on them, with the seeds' if there are any.
        proba : (n, k) label posteriors; rows of zeros = no label.
        lfs : the m functions, fitted; without them nothing votes on generated images.
        class_prior : (k,) shares of the classes; None: the mean of `proba`.
        seed_proba : (s, k) posteriors of `votes.seed_rows`, held out.
        checkpoints, journal, progress : of `lfkit.nn.run_steps`.
        """
        from lfkit.nn import run_steps

        task = _checked(images, votes, proba, lfs, class_prior, seed_proba)
        trained = self._begin(task)
        run_steps(
            trained,
            self.plan.n_steps,
            random_state=self.random_state,
            device=self.device,
            checkpoints=checkpoints,
            journal=journal,
            progress=progress,
        )
        self._finish(trained, task)
        self.shape_ = task.shape
        self.prior_ = task.prior
        return self

    def seconds_per_step(
        self,
        images: NDArray[np.uint8],
        votes: Votes,
        *,
        proba: ArrayLike,
        lfs: Sequence[LabelingFunction] = (),
    ) -> float:
        """Time a few steps of a training that is then thrown away."""
        from lfkit.nn import seconds_per_step

        task = _checked(images, votes, proba, lfs, None, None)
        return seconds_per_step(self._begin(task), self.device)

    def sample(
        self,
        n: int,
        *,
        classes: ArrayLike | None = None,
        random_state: int = 0,
        min_confidence: float = 0.0,
    ) -> Samples:
        """Make n images with labels.

        Parameters
        ----------
        classes : (n,) the class of each; None: drawn by their shares.
        min_confidence : images below it are made again.
        """
        wanted = None if classes is None else np.asarray(classes, np.int64)
        parts = [
            self.block(
                number,
                None if wanted is None else wanted[start : start + BLOCK],
                random_state=random_state,
                min_confidence=min_confidence,
                size=min(BLOCK, n - start),
            )
            for number, start in enumerate(range(0, n, BLOCK))
        ]
        return joined(parts, self.shape_, len(self.prior_))

    def block(
        self,
        number: int,
        classes: NDArray[np.int64] | None = None,
        *,
        random_state: int = 0,
        min_confidence: float = 0.0,
        size: int = BLOCK,
    ) -> Samples:
        """Make one block of at most 256 images, always the same for its number.

        Parameters
        ----------
        classes : (b,) the class of each; None: `size` of them, drawn by their shares.
        """
        self._check_fitted()
        if classes is not None:
            self._check_classes(classes)
            size = len(classes)
        kept = _Wanted(classes, size)
        tries = self._blocks(number, classes, random_state)
        for tried, made in enumerate(tries):
            kept.take(made, min_confidence)
            if kept.is_full:
                return kept.samples
            if tried >= _MOST_TRIES:
                break
        raise self._out_of_reach(kept, classes, min_confidence)

    def predict_proba(
        self, images: NDArray[np.uint8], votes: Votes | None = None
    ) -> NDArray[np.float64]:
        """Label real images, (n, h, w, c) uint8 → (n, k), by their looks or votes."""
        self._check_fitted()
        return self._predict_proba(np.asarray(images), votes)

    def relabel(
        self, images: NDArray[np.uint8], votes: Votes, proba: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], str]:
        """Label the images it learned from anew, (n, k), and say by what.

        Parameters
        ----------
        proba : (n, k) the labels it learned from.
        """
        return self.predict_proba(images), "the network that learned from its images"

    def save(self, directory: Path) -> None:
        """Write config.json and weights.safetensors."""
        from safetensors.torch import save

        self._check_fitted()
        tensors = {
            f"{owner}.{name}": value.detach().cpu().contiguous()
            for owner, module in self._modules().items()
            for name, value in module.state_dict().items()
        }
        write_atomically(directory / "weights.safetensors", save(tensors))
        config = {
            "format": _FORMAT,
            "generator": type(self).__name__,
            "params": self.get_params() | {"plan": asdict(self.plan)},
            "shape": list(self.shape_),
            "prior": self.prior_.tolist(),
            "settings": self._settings(),
        }
        write_atomically(
            directory / "config.json", json.dumps(config, indent=1).encode()
        )

    @classmethod
    def load(cls, directory: Path, *, device: str = "cpu") -> Self:
        """Read what `save` wrote; no code is run."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            config = json.loads((directory / "config.json").read_text())
            tensors = load((directory / "weights.safetensors").read_bytes())
        except (OSError, ValueError, SafetensorError) as error:
            raise RunError(
                f"{directory} holds no finished generator ({error}); train it with "
                "`lfkit train`."
            ) from error
        if config.get("generator") != cls.__name__ or config.get("format") != _FORMAT:
            raise RunError(
                f"{directory} holds a {config.get('generator')} of format "
                f"{config.get('format')}; expected {cls.__name__} of format {_FORMAT}. "
                "Train it again."
            )
        plan = config["params"]["plan"]
        plan = GanPlan(**(plan | {"augment": tuple(plan["augment"])}))
        made = cls(**(config["params"] | {"plan": plan, "device": device}))
        made.shape_ = tuple(config["shape"])
        made.prior_ = np.asarray(config["prior"], np.float64)
        made._restore(config["settings"])
        for owner, module in made._modules().items():
            start = f"{owner}."
            module.load_state_dict(
                {
                    name.removeprefix(start): value
                    for name, value in tensors.items()
                    if name.startswith(start)
                }
            )
        return made

    # What members write.

    needs_functions: ClassVar[bool] = False  # to label what it generates

    @property
    @abstractmethod
    def is_conditional(self) -> bool:
        """True if it can be asked for a class."""

    @abstractmethod
    def _begin(self, task: Task) -> Trainable:
        """Make what is trained; the task has been checked."""

    @abstractmethod
    def _finish(self, trained: Any, task: Task) -> None:
        """Keep what was learned; `trained` is what `_begin` made, after its steps."""

    @abstractmethod
    def _draw(
        self, classes: NDArray[np.int64], generator: torch.Generator
    ) -> tuple[torch.Tensor, NDArray[np.float64], NDArray[np.float64]]:
        """Make (b,) images: (b, c, h, w) in [0, 1], (b, k) labels, (b,) confidence.

        `classes` are asked for; who cannot be asked gives what comes.
        """

    @abstractmethod
    def _predict_proba(
        self, images: NDArray[np.uint8], votes: Votes | None
    ) -> NDArray[np.float64]:
        """Label real images."""

    @abstractmethod
    def _modules(self) -> Mapping[str, torch.nn.Module]:
        """Name what has weights to be saved; made from the parameters if unfitted."""

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """Give what was learned and is no weight, JSON-ready."""

    @abstractmethod
    def _restore(self, settings: Mapping[str, Any]) -> None:
        """Take up `_settings` and make modules for weights to be put in."""

    # Shared.

    def _blocks(
        self, number: int, classes: NDArray[np.int64] | None, random_state: int
    ) -> Iterator[Samples]:
        """Yield full blocks, one after another, for one block that is asked for."""
        import torch

        from lfkit.nn.loop import mixed_seed

        known = self.prior_
        for attempt in range(_MOST_TRIES + 1):
            seed = mixed_seed(random_state, number + 1, attempt)
            generator = torch.Generator(self.device).manual_seed(seed)
            if classes is None:
                drawn = np.random.default_rng(seed).choice(
                    len(known), BLOCK, p=known / known.sum()
                )
            else:
                # Always 256 rows: sums over a batch depend on its size.
                drawn = np.resize(classes, BLOCK)
            images, proba, confidence = self._draw(drawn, generator)
            yield Samples(
                to_pixels(images),
                proba.astype(np.float32),
                confidence.astype(np.float32),
            )

    def _check_fitted(self) -> None:
        if not hasattr(self, "shape_"):
            raise NotFittedError(
                f"this {type(self).__name__} has learned nothing yet; call fit first."
            )

    def _check_classes(self, classes: NDArray[np.int64]) -> None:
        k = len(self.prior_)
        if len(classes) and not 0 <= classes.min() <= classes.max() < k:
            raise InputError(
                f"classes go from {classes.min()} to {classes.max()}; expected 0 to "
                f"{k - 1}."
            )
        unknown = [c for c in np.unique(classes) if self.prior_[c] <= 0]
        if unknown:
            raise InputError(
                f"class {unknown[0]} cannot be generated: no image it learned from had "
                "that label. Write a labeling function that names it, or leave it out."
            )

    def _out_of_reach(
        self, kept: _Wanted, classes: NDArray[np.int64] | None, confidence: float
    ) -> InputError:
        of = "images" if classes is None else f"images of class {kept.scarcest}"
        bar = f" with a confidence of {confidence:g} or more" if confidence else ""
        return InputError(
            f"only {kept.n_taken} of {kept.size} {of}{bar} came up among "
            f"{kept.n_seen:,} that were made; ask for less confidence, leave the class "
            "out, or train longer."
        )


class _Wanted:
    """Fills a block with images that fit."""

    def __init__(self, classes: NDArray[np.int64] | None, size: int) -> None:
        self.classes, self.size = classes, size
        self.n_seen = 0
        self._filled = np.zeros(size, bool)
        self._rows: list[Samples] = []
        self._places: list[NDArray[np.int64]] = []

    @property
    def is_full(self) -> bool:
        return bool(self._filled.all())

    @property
    def n_taken(self) -> int:
        return int(self._filled.sum())

    @property
    def scarcest(self) -> int:
        """A class that is still missing."""
        assert self.classes is not None
        return int(self.classes[~self._filled][0])

    @property
    def samples(self) -> Samples:
        order = np.argsort(np.concatenate(self._places), kind="stable")
        parts = self._rows
        return Samples(
            np.concatenate([part.images for part in parts])[order],
            np.concatenate([part.proba for part in parts])[order],
            np.concatenate([part.confidence for part in parts])[order],
        )

    def take(self, made: Samples, min_confidence: float) -> None:
        """Put images in the places that are still free, in their order."""
        self.n_seen += len(made)
        fit = made.confidence >= min_confidence
        places, rows = [], []
        for label in [None] if self.classes is None else np.unique(self.classes):
            free = ~self._filled
            right = fit
            if self.classes is not None:
                free = free & (self.classes == label)
                right = fit & (made.labels == label)
            found = np.flatnonzero(right)
            place = np.flatnonzero(free)[: len(found)]
            places.append(place)
            rows.append(found[: len(place)])
        chosen = np.concatenate(places)
        self._filled[chosen] = True
        self._places.append(chosen)
        self._rows.append(made.rows(np.concatenate(rows)))


def joined(parts: Sequence[Samples], shape: Sequence[int], n_classes: int) -> Samples:
    """Put blocks together; of none, an empty one."""
    if not parts:
        return Samples(
            np.zeros((0, *shape), np.uint8),
            np.zeros((0, n_classes), np.float32),
            np.zeros(0, np.float32),
        )
    return Samples(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.proba for part in parts]),
        np.concatenate([part.confidence for part in parts]),
    )


def _checked(
    images: NDArray[np.uint8],
    votes: Votes,
    proba: ArrayLike,
    lfs: Sequence[LabelingFunction],
    class_prior: ArrayLike | None,
    seed_proba: ArrayLike | None,
) -> Task:
    images, known = np.asarray(images), np.asarray(proba, np.float64)
    _check_images(images)
    if known.shape != (len(images), votes.n_classes):
        raise DataError(
            f"proba has the shape {known.shape}; expected {len(images)} rows, one per "
            f"image, of {votes.n_classes} classes."
        )
    if len(votes) != len(images):
        raise DataError(
            f"there are votes on {len(votes)} images, and {len(images)} images; give "
            "one row of votes per image."
        )
    if not known.any():
        raise DataError("no image has a label; a generator of pairs needs some.")
    shares = known.sum(axis=0) if class_prior is None else np.asarray(class_prior)
    # A class that no image is labeled with is never seen, whatever the posteriors hint.
    named = np.unique(known.argmax(axis=1)[known.any(axis=1)])
    prior = np.zeros(known.shape[1])
    prior[named] = np.asarray(shares, np.float64)[named]
    prior /= prior.sum()
    held_out = None if seed_proba is None else np.asarray(seed_proba, np.float64)
    return Task(images, votes, known, prior, tuple(lfs), held_out)


def _check_images(images: NDArray[Any]) -> None:
    if images.ndim != 4 or images.dtype != np.uint8:
        raise DataError(
            f"images must be (n, h, w, c) uint8, got {images.dtype} of shape "
            f"{images.shape}."
        )
    if len(images) < 2 or min(images.shape[1:3]) < 8:
        raise DataError(
            f"there are {len(images)} images of {images.shape[1]}x{images.shape[2]} "
            "pixels; a generator needs two or more, of 8x8 or more. Give --size to "
            "`lfkit apply` to enlarge them."
        )
