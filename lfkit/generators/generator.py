"""The contract of every generator: images and votes in, labeled images out."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from lfkit.errors import InputError, RunError
from lfkit.gan_plan import GanPlan, check_choice
from lfkit.generators.samples import Samples, Wanted, joined, none_of
from lfkit.generators.task import Task, checked_task
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


class JointGenerator(BaseEstimator, ABC):
    """A model of images and labels together.

    Members write what is abstract here; public methods check once. Parameters are
    stored as given; what is learned ends in an underscore.

    Attributes
    ----------
    shape_ : (h, w, c) of the images.
    prior_ : (k,) shares of the classes; 0: it knows no such class.
    """

    label_kinds: ClassVar[tuple[str, ...]]  # the values of `plan.labels` it can use
    functions: ClassVar[Literal["never", "may", "must"]] = "never"  # vote on its images

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

        self.check(has_functions=bool(lfs))
        task = checked_task(images, votes, proba, lfs, class_prior, seed_proba)
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
        self.prior_ = task.prior
        self._finish(trained, task)
        self.shape_ = task.shape  # last: what has a shape is fitted
        return self

    def check(self, *, has_functions: bool) -> None:
        """Refuse settings that make no sense, before anything is begun."""
        name = type(self).__name__
        check_choice(f"plan.labels of {name}", self.plan.labels, self.label_kinds)
        if self.functions == "must" and not has_functions:
            raise InputError(
                f"{name} labels what it generates by the labeling functions, and none "
                "were given; pass lfs, or use `two-stage`."
            )
        self._check_settings()

    def seconds_per_step(
        self,
        images: NDArray[np.uint8],
        votes: Votes,
        *,
        proba: ArrayLike,
        lfs: Sequence[LabelingFunction] = (),
    ) -> tuple[float, float]:
        """Time a few steps of a training that is then thrown away.

        Returns
        -------
        seconds of a step on images alone, and of one on pairs.
        """
        from lfkit.nn import seconds_per_step

        self.check(has_functions=bool(lfs))
        task = checked_task(images, votes, proba, lfs, None, None)
        trained, first = self._begin(task), self.plan.first_pair
        if not 0 < first < self.plan.n_steps:
            seconds = seconds_per_step(trained, 0, self._period, self.device)
            return seconds, seconds
        return (
            seconds_per_step(trained, 0, 1, self.device),
            seconds_per_step(trained, first + 1, self._period, self.device),
        )

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
        self._check_fitted()
        if n < 1:
            return none_of(self.shape_, len(self.prior_))
        wanted = None if classes is None else np.asarray(classes, np.int64)
        parts = [
            self.block(
                number,
                None if wanted is None else wanted[start : start + BLOCK],
                random_state=random_state,
                min_confidence=min_confidence,
            )
            for number, start in enumerate(range(0, n, BLOCK))
        ]
        return joined(parts).rows(slice(n))

    def block(
        self,
        number: int,
        classes: NDArray[np.int64] | None = None,
        *,
        random_state: int = 0,
        min_confidence: float = 0.0,
        class_names: Sequence[str] = (),
    ) -> Samples:
        """Make one block of 256 images, always the same for its number.

        Parameters
        ----------
        classes : (b,) the class of each; None: 256, drawn by their shares.
        class_names : to speak of them.
        """
        self._check_fitted()
        if classes is not None:
            self._check_classes(classes)
        size = BLOCK if classes is None else len(classes)
        kept = Wanted(classes, size, min_confidence)
        for made in self._blocks(number, classes, random_state):
            if min_confidence and np.isnan(made.confidence).all():
                raise InputError(
                    f"{type(self).__name__} cannot tell how sure its labels are: no "
                    "labeling function votes on its images. Leave min_confidence out, "
                    "or call bind."
                )
            kept.take(made)
            if kept.is_full:
                return kept.samples
        raise _out_of_reach(kept, class_names)

    def predict_proba(
        self, images: NDArray[np.uint8], votes: Votes | None = None
    ) -> NDArray[np.float64]:
        """Label real images, (n, h, w, c) uint8 → (n, k), by their looks or votes."""
        self._check_fitted()
        return self._predict_proba(np.asarray(images), votes)

    def relabel(
        self,
        read: Callable[[], NDArray[np.uint8]],
        votes: Votes,
        proba: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], str]:
        """Label the images it learned from anew, (n, k), and say by what.

        Parameters
        ----------
        read : gives the images, if they are needed.
        proba : (n, k) the labels it learned from.
        """
        return self.predict_proba(read()), "the network that learned from its images"

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

        if not (directory / "config.json").exists():
            raise RunError(
                f"{directory} holds no finished generator; train it with `lfkit train`."
            )
        try:
            config = json.loads((directory / "config.json").read_text())
            tensors = load((directory / "weights.safetensors").read_bytes())
        except (OSError, ValueError, SafetensorError) as error:
            raise RunError(
                f"the generator in {directory} is damaged ({error}); train it anew: "
                "`lfkit train` with --restart."
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

    # What members may write.

    def bind(self, lfs: Sequence[LabelingFunction], votes: Votes) -> None:
        """Give it the functions, and their votes on the real images.

        Code is not saved: after `load` a generator knows no function.
        """
        raise InputError(
            f"{type(self).__name__} lets no labeling function vote on its images."
        )

    def faults(self) -> Mapping[str, tuple[int, str]]:
        """Give function → generated images on which it failed in `fit`, and why."""
        return {}

    def _check_settings(self) -> None:
        """Refuse settings of its own that make no sense."""

    @property
    def _period(self) -> int:
        """Steps after which what a step costs comes again."""
        return 1

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


def _out_of_reach(kept: Wanted, class_names: Sequence[str]) -> InputError:
    label, n_found, n_asked = kept.missing()
    of = "images"
    if label is not None:
        name = repr(class_names[label]) if class_names else str(label)
        of = f"images of class {name}"
    sure = kept.min_confidence
    bar = f" with a confidence of {sure:g} or more" if sure else ""
    return InputError(
        f"only {n_found} of {n_asked} {of}{bar} came up among {kept.n_seen:,} that "
        "were made; ask for less confidence, leave the class out, or train longer."
    )
