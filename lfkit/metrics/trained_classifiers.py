"""Training on pairs and testing on others: what several metrics share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import InputError
from lfkit.metrics.image_set import ImageSet
from lfkit.metrics.labeled_metric import labeled_chunks
from lfkit.metrics.metric import MetricContext, Protocol, Score

if TYPE_CHECKING:
    from lfkit.nn import TrainingPlan

# 65 s a training of 28x28 images on one core.
DEFAULT_STEPS = 1000
DEFAULT_IMAGES = 50_000
BATCH = 128  # images a step, of `lfkit.nn.TrainingPlan`

Augmented = Literal["plain", "mirrored", "none"]


@dataclass(frozen=True)
class Recipe:
    """How every classifier is trained that is to be compared with another.

    A `lfkit.nn.SmallConvNet` by `lfkit.nn.TrainingPlan`, on label distributions.

    Attributes
    ----------
    n_steps : updates of the weights, however many images there are.
    n_trainings : from the seeds `MetricContext.random_state`, and one more each.
    n_images : most images of each kind to train on, drawn at random; memory is theirs.
    augmentation : "plain": small turns, moves, changes of contrast and a blank square;
        "mirrored": every second image left to right, too; "none".
    """

    n_steps: int = DEFAULT_STEPS
    n_trainings: int = 1
    n_images: int = DEFAULT_IMAGES
    augmentation: Augmented = "plain"

    def __post_init__(self) -> None:
        for name in ("n_steps", "n_trainings", "n_images"):
            value = getattr(self, name)
            if value < 1:
                raise InputError(f"{name} is {value}; it must be at least 1.")

    @property
    def details(self) -> dict[str, float | str]:
        """What a protocol says of it."""
        return {
            "classifier": "SmallConvNet",
            "steps": self.n_steps,
            "trainings": self.n_trainings,
        }


@dataclass(frozen=True, eq=False)
class Pairs:
    """Images to train on and their labels.

    Attributes
    ----------
    pixels : (n, h, w, c) uint8.
    proba : (n, k) label distributions.
    """

    pixels: NDArray[np.uint8]
    proba: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.pixels)

    def __add__(self, others: Pairs) -> Pairs:
        return Pairs(
            np.concatenate([self.pixels, others.pixels]),
            np.concatenate([self.proba, others.proba]),
        )

    def digest(self) -> bytes:
        """Hash images and labels; no copy is made of them."""
        found = hashlib.blake2b(digest_size=16)
        for array in (self.pixels, self.proba):
            found.update(repr((array.shape, array.dtype.str)).encode())
            found.update(np.ascontiguousarray(array).data)
        return found.digest()


@dataclass(frozen=True, eq=False)
class Tested:
    """How trained classifiers did on labeled images, one number a training.

    Attributes
    ----------
    accuracy, cross_entropy : (t,) shares of right answers; mean -log of what the
        images' labels were given, in nats.
    by_class : (t, k) shares of right answers among the images of each class; NaN where
        there are none.
    right : (t, n) True where an image was named rightly.
    n : images tested on.
    """

    accuracy: NDArray[np.float64]
    cross_entropy: NDArray[np.float64]
    by_class: NDArray[np.float64]
    right: NDArray[np.bool_]
    n: int


def draw_rows(images: ImageSet, most: int, random_state: int) -> NDArray[np.int64]:
    """Draw labeled images without replacement: all of them if there are fewer."""
    rows = np.flatnonzero(images.labels >= 0)
    rng = np.random.default_rng([random_state, len(rows)])
    return np.sort(rng.permutation(rows)[:most])


def draw_pairs(images: ImageSet, most: int, random_state: int) -> Pairs:
    """Read labeled images, drawn as by `draw_rows`."""
    drawn = draw_rows(images, most, random_state)
    assert images.proba is not None, "some are labeled"
    pixels = np.empty((len(drawn), *images.shape), np.uint8)
    kept, n = np.empty(len(drawn), np.int64), 0
    for part, read in labeled_chunks(images, drawn):
        pixels[n : n + len(part)], kept[n : n + len(part)] = read, part
        n += len(part)
    return Pairs(pixels[:n], images.proba[kept[:n]])


def train_and_test(
    recipe: Recipe, pairs: Pairs, on: list[ImageSet], tools: MetricContext, text: str
) -> list[Tested]:
    """Train on pairs, and test on each set of labeled images.

    What these tools have trained before, by this recipe on these pairs, is only tested.
    """
    networks = [
        trained(recipe, pairs, i, tools, text) for i in range(recipe.n_trainings)
    ]
    return [tested(networks, images) for images in on]


def trained(
    recipe: Recipe, pairs: Pairs, i: int, tools: MetricContext, text: str
) -> Any:
    """Give the i-th network of a recipe, trained now or before by these tools."""
    seed = tools.random_state + i
    key = (pairs.digest(), recipe.n_steps, recipe.augmentation, seed)
    if key not in tools.trained:
        tools.trained[key] = _train(recipe, pairs, i, tools, text)
    return tools.trained[key]


def _train(
    recipe: Recipe, pairs: Pairs, i: int, tools: MetricContext, text: str
) -> Any:
    """Train the i-th network, and tell the progress over all of them."""
    from lfkit.nn import train

    total = recipe.n_trainings * recipe.n_steps
    return train(
        pairs.pixels,
        pairs.proba,
        plan=plan_of(recipe),
        random_state=tools.random_state + i,
        device=tools.device,
        progress=lambda done, _: tools.say(text, i * recipe.n_steps + done, total),
    )


def plan_of(recipe: Recipe) -> TrainingPlan:
    """Give the training that a recipe asks for."""
    from lfkit.nn import Augmentation, TrainingPlan

    unchanged = Augmentation(0, 0, 0, 0, 0, 0, 0, 0, (0, 0))
    how = {
        "plain": Augmentation(),
        "mirrored": Augmentation(flip=True),
        "none": unchanged,
    }
    return TrainingPlan(
        recipe.n_steps, batch=BATCH, augmentation=how[recipe.augmentation]
    )


def tested(networks: Sequence[Any], images: ImageSet) -> Tested:
    """Test networks on labeled images.

    Raises
    ------
    InputError : none of them can be read.
    """
    found = [_test(network, images) for network in networks]
    right = np.array([answers for answers, _ in found])
    seen = right[0] >= 0
    if not seen.any():
        raise InputError(
            f"no labeled image of {images.name} can be read; there is nothing to test "
            "on."
        )
    right, labels = right[:, seen] > 0, images.labels[seen]
    of_class = np.eye(images.n_classes)[labels]
    with np.errstate(invalid="ignore"):
        by_class = right @ of_class / of_class.sum(axis=0)
    return Tested(
        accuracy=right.mean(axis=1),
        cross_entropy=np.array([loss for _, loss in found]) / len(labels),
        by_class=by_class,
        right=right,
        n=len(labels),
    )


def _test(network: Any, images: ImageSet) -> tuple[NDArray[np.int8], float]:
    """Tell right answers (1) from wrong (0) and none (-1), (n,), and sum -log."""
    from lfkit.nn import look

    labels, loss = images.labels, 0.0
    right = np.full(len(images), -1, np.int8)
    for rows, pixels in labeled_chunks(images):
        for part, logs, _ in look(network, pixels):
            own = labels[rows[part]]
            right[rows[part]] = logs.argmax(axis=1) == own
            loss -= float(logs[np.arange(len(own)), own].sum())
    return right, loss


def relabeled(network: Any, pairs: Pairs) -> Pairs:
    """Give the same images with the label distributions that a network gives them."""
    from lfkit.nn import look

    logs = [found for _, found, _ in look(network, pairs.pixels)]
    return Pairs(pairs.pixels, np.exp(np.concatenate(logs)))


def score_of(
    metric: str,
    values: NDArray[np.float64],
    better: Literal["higher", "lower"],
    protocol: Protocol,
    note: str = "",
) -> Score:
    """Give the mean over trainings, and their standard deviation as the error."""
    error = float(values.std(ddof=1)) if len(values) > 1 else None
    return Score(metric, float(values.mean()), better, protocol, error, note)


def protocol_of(
    recipe: Recipe,
    tools: MetricContext,
    details: Mapping[str, float | str],
    *,
    n_generated: int = 0,
    n_real: int = 0,
    real: str = "",
) -> Protocol:
    """Give the protocol of a score that comes of trained classifiers."""
    return Protocol(
        n_generated=n_generated,
        n_real=n_real,
        real=real,
        seed=tools.random_state,
        checkpoint=tools.checkpoint if n_generated else "",
        # On a GPU it computes in bfloat16, and other weights come out.
        details=recipe.details | {"device": tools.device} | dict(details),
    )
