"""Samples in blocks of 256: how many are asked for changes none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.data.image_tensors import to_pixels
from lfkit.errors import InputError
from lfkit.generators.samples import Samples, joined
from lfkit.nn.training_loop import mixed_seed

# Each block comes from its own seed: where a run was stopped changes no image, either.
BLOCK = 256
# Blocks made for one block kept, before a class or a confidence is called out of reach.
_MOST_TRIES = 40

Drawn = tuple[torch.Tensor, NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Sampler:
    """Draws blocks of a trained generator.

    Parameters
    ----------
    draw, draw_second : `JointGenerator._draw` and `_draw_second`.
    check : called with "images" or "labels" and these; raises if they are not finite.
    prior : (k,) shares of the classes.
    device : of the random generator that drawing is given.
    """

    draw: Callable[[NDArray[np.int64], torch.Generator], Drawn]
    draw_second: Callable[[NDArray[np.int64], torch.Generator], torch.Tensor | None]
    check: Callable[[str, torch.Tensor | NDArray[Any]], None]
    prior: NDArray[np.float64]
    device: str

    def sample(
        self,
        n: int,
        classes: NDArray[np.int64] | None,
        *,
        random_state: int,
        min_confidence: float,
        progress: Callable[[int, int], None] | None = None,
    ) -> Samples:
        """Make n images, one or more, of `JointGenerator.sample`."""
        parts = []
        for number, start in enumerate(range(0, n, BLOCK)):
            asked = None if classes is None else classes[start : start + BLOCK]
            parts.append(
                self.block(
                    number,
                    asked,
                    random_state=random_state,
                    min_confidence=min_confidence,
                )
            )
            if progress is not None:
                progress(min(start + BLOCK, n), n)
        return joined(parts).rows(slice(n))

    def block(
        self,
        number: int,
        classes: NDArray[np.int64] | None,
        *,
        random_state: int,
        min_confidence: float,
        class_names: Sequence[str] = (),
    ) -> Samples:
        """Fill one block, of `JointGenerator.block`.

        Raises
        ------
        InputError : a class or a confidence is out of reach.
        """
        if classes is not None:
            self._check_classes(classes)
        wanted = _Wanted(
            classes, BLOCK if classes is None else len(classes), min_confidence
        )
        for samples in self._made(number, classes, random_state):
            if min_confidence and np.isnan(samples.confidence).all():
                raise InputError(
                    "nothing tells how sure the labels of these images are: no "
                    "labeling function votes on them. Leave min_confidence out, or "
                    "call bind."
                )
            wanted.take(samples)
            if wanted.is_full:
                return wanted.samples
        raise _out_of_reach(wanted, class_names)

    def _made(
        self, number: int, classes: NDArray[np.int64] | None, random_state: int
    ) -> Iterator[Samples]:
        """Yield full blocks, one after another, for one block that is asked for."""
        for attempt in range(_MOST_TRIES + 1):
            seed = mixed_seed(random_state, number + 1, attempt)
            generator = torch.Generator(self.device).manual_seed(seed)
            if classes is None:
                drawn = np.random.default_rng(seed).choice(
                    len(self.prior), BLOCK, p=self.prior / self.prior.sum()
                )
            else:
                # Always 256 rows: sums over a batch depend on its size.
                drawn = np.resize(classes, BLOCK)
            yield self._full(drawn, generator)

    def _full(self, classes: NDArray[np.int64], generator: torch.Generator) -> Samples:
        """Make images of classes (256,) in each domain, of the same noise."""
        state = generator.get_state()
        images, proba, confidence = self.draw(classes, generator)
        images_2 = self.draw_second(classes, generator.set_state(state))
        for each in (images, images_2):
            if each is not None:
                self.check("images", each)
        self.check("labels", proba)
        return Samples(
            to_pixels(images),
            proba.astype(np.float32),
            confidence.astype(np.float32),
            None if images_2 is None else to_pixels(images_2),
        )

    def _check_classes(self, classes: NDArray[np.int64]) -> None:
        k = len(self.prior)
        if len(classes) and not 0 <= classes.min() <= classes.max() < k:
            raise InputError(
                f"classes go from {classes.min()} to {classes.max()}; expected 0 to "
                f"{k - 1}."
            )
        unknown = [c for c in np.unique(classes) if self.prior[c] <= 0]
        if unknown:
            raise InputError(
                f"class {unknown[0]} cannot be generated: no image it learned from had "
                "that label. Write a labeling function that names it, or leave it out."
            )


class _Wanted:
    """Fills a block with images that fit.

    Parameters
    ----------
    classes : (size,) the class of each place; None: any.
    min_confidence : of each image; 0 = none is asked for.
    """

    def __init__(
        self, classes: NDArray[np.int64] | None, size: int, min_confidence: float
    ) -> None:
        self.classes, self.size = classes, size
        self.min_confidence = min_confidence
        self.n_seen = 0
        self._filled = np.zeros(size, bool)
        self._rows: list[Samples] = []
        self._places: list[NDArray[np.int64]] = []

    @property
    def is_full(self) -> bool:
        """True when nothing is missing."""
        return bool(self._filled.all())

    @property
    def samples(self) -> Samples:
        """What was found, in the order of the places."""
        order = np.argsort(np.concatenate(self._places), kind="stable")
        return joined(self._rows).rows(order)

    def missing(self) -> tuple[int | None, int, int]:
        """Tell a class that is missing, how many of it were found, of how many."""
        if self.classes is None:
            return None, int(self._filled.sum()), self.size
        label = int(self.classes[~self._filled][0])
        of_label = self.classes == label
        return label, int(self._filled[of_label].sum()), int(of_label.sum())

    def take(self, samples: Samples) -> None:
        """Put images in the places that are still free, in their order."""
        self.n_seen += len(samples)
        fit = np.ones(len(samples), bool)
        if self.min_confidence:
            fit = samples.confidence >= self.min_confidence
        places, rows = [], []
        for label in [None] if self.classes is None else np.unique(self.classes):
            free = ~self._filled
            right = fit
            if self.classes is not None:
                free = free & (self.classes == label)
                right = fit & (samples.labels == label)
            found = np.flatnonzero(right)
            place = np.flatnonzero(free)[: len(found)]
            places.append(place)
            rows.append(found[: len(place)])
        chosen = np.concatenate(places)
        self._filled[chosen] = True
        self._places.append(chosen)
        self._rows.append(samples.rows(np.concatenate(rows)))


def _out_of_reach(wanted: _Wanted, class_names: Sequence[str]) -> InputError:
    label, n_found, n_asked = wanted.missing()
    of = "images"
    if label is not None:
        name = repr(class_names[label]) if class_names else str(label)
        of = f"images of class {name}"
    sure = wanted.min_confidence
    bar = f" with a confidence of {sure:g} or more" if sure else ""
    less = "ask for less confidence, " if sure else ""
    return InputError(
        f"only {n_found} of {n_asked} {of}{bar} came up among {wanted.n_seen:,} that "
        f"were made; {less}leave the class out, or train longer."
    )
