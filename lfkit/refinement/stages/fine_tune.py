"""Sixth stage: the end of a large network is trained on the labels so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.nn import TrainingPlan, steps_within
from lfkit.nn.pretrained import Tuned
from lfkit.nn.train_classifier import seconds_per_step_on_maps, train_on_maps
from lfkit.refinement.mirrored import is_flip_invariant
from lfkit.refinement.problem import RefinementProblem
from lfkit.refinement.stages.stage import (
    Arrays,
    Stage,
    StageContext,
    confirms,
    evenly,
    number,
)
from lfkit.refinement.tunable_images import TunableImages

N_ROUNDS = 3
_LEARNED_ROWS = 10_000  # 35 KB each and view, of EfficientNet-Lite2 at side 192
_LEAST_ROWS = 100
_SHARE_OF_TIME = 0.6  # the rest is for looking at all images
_PLAN = TrainingPlan(
    n_steps=300,
    batch=32,
    seed_batch=8,
    peak_rate=4e-4,
    warmup=30,
    weight_decay=0.02,
    average=0.99,
    pretrained=True,
)


class FineTune(Stage):
    """The end of the network that sees best learns the labels, in rounds.

    Its first part stays as it was trained before. Each round begins again with the
    network as it came, and learns what the round before says of the images; seeds keep
    their class. A network that has seen few images of each several times learns what
    their labels have in common sooner than their mistakes, and is less sure where they
    are mixed: its own posterior takes the place of the labels.

    Of 10,000 photographs of 32x32 pixels, labeled by the names of another network's
    classes, .833 were right after it instead of .822, and confidence was five points
    off instead of thirteen.
    """

    name: ClassVar[str] = "fine-tune"
    cheap: ClassVar[bool] = False

    def why_not(self, problem: RefinementProblem, known: Arrays) -> str | None:
        """Say why there is nothing for it to do, or None."""
        if not any(problem.networks):
            return "no function and no --encoder names a network that can be trained"
        if int(problem.told.sum()) < _LEAST_ROWS:
            return f"votes or seeds tell something of fewer than {_LEAST_ROWS} images"
        if problem.unseeded and len(problem.seed_rows):
            return "no seed shows some classes that votes name"
        return None

    def run(
        self, problem: RefinementProblem, known: Arrays, tools: StageContext
    ) -> dict[str, NDArray[Any]]:
        """Give what the network of the last round says of every image."""
        rounds = _TunedRounds(problem, known, tools)
        labels = known["proba"][rounds.rows]
        # Of images without votes nothing is said yet.
        labels[~problem.told[rounds.rows]] = 0
        for number_of_round in range(N_ROUNDS):
            network, labels = rounds.round(number_of_round, labels)
        proba = rounds.look_at_all(network, labels, known["proba"])
        told = problem.told
        if not confirms(proba[told], known["proba"][told]):
            return {"proba": known["proba"]}
        weights = {f"tuned.{name}": value for name, value in _weights(network).items()}
        return {
            "proba": proba,
            "tuned_by": number(rounds.which),
            "tuned_flip": number(rounds.flip),
            **weights,
        }


class _TunedRounds:
    """What the rounds have in common."""

    def __init__(
        self, problem: RefinementProblem, known: Arrays, tools: StageContext
    ) -> None:
        self.problem, self.tools = problem, tools
        self.which = _best_network(problem, known)
        images = problem.networks[self.which]
        assert images is not None, "why_not has looked"
        self.images = images
        asked, now = problem.flip, known["proba"]
        self.flip = is_flip_invariant(problem, now) if asked is None else asked
        self.rows = _learned_rows(problem)
        of_rows = np.isin(problem.seed_rows, self.rows)
        self.seeds = np.searchsorted(self.rows, problem.seed_rows[of_rows])
        self.seed_labels = problem.seed_labels[of_rows]

    @cached_property
    def maps(self) -> NDArray[np.float16]:
        """What the frozen part sees of the rows; nothing is kept of it on disk."""
        return self.images.maps(self.rows, self.flip, self._named("looking at images"))

    @cached_property
    def plan(self) -> TrainingPlan:
        """How each round is trained, within the time that is left."""
        left = self.tools.seconds_left
        if left is None:
            return _PLAN

        def fitting() -> dict[str, NDArray[Any]]:
            k = self.problem.n_classes
            each = seconds_per_step_on_maps(
                self.images.new_network(k),
                self.maps,
                np.full((len(self.rows), k), 1 / k),
                plan=replace(_PLAN, batch=_PLAN.batch + _PLAN.seed_batch),
                device=self.images.device,
                compute=self.images.compute,
                progress=self._named("timing the steps"),
            )
            seconds = left() * _SHARE_OF_TIME / N_ROUNDS
            return {"n_steps": number(steps_within(_PLAN, seconds, each).n_steps)}

        n_steps = int(self.tools.remember("steps", fitting)["n_steps"])
        return replace(_PLAN, n_steps=n_steps)

    def round(
        self, at: int, labels: NDArray[np.float64]
    ) -> tuple[Tuned, NDArray[np.float64]]:
        """Train on labels of the rows; give the network, and what it says of them."""
        network = self.images.new_network(self.problem.n_classes)
        where = self.tools.checkpoints
        checkpoints = where and where(f"checkpoint {at}")

        def compute() -> dict[str, NDArray[Any]]:
            trained = train_on_maps(
                network,
                self.maps,
                labels,
                seed_rows=self.seeds,
                seed_labels=self.seed_labels,
                plan=self.plan,
                random_state=self.problem.random_state + at,
                device=self.images.device,
                compute=self.images.compute,
                checkpoints=checkpoints,
                progress=self._named(f"fine-tuning, round {at + 1} of {N_ROUNDS}"),
            )
            said = self.images.log_posteriors_of(trained, self.maps)
            return {"said": said, **_weights(trained)}

        found = dict(self.tools.remember(f"round {at}", compute))
        if checkpoints is not None:
            checkpoints.save({})  # as large as three networks, and done with
        now = np.exp(found.pop("said"))
        now[self.seeds] = np.eye(self.problem.n_classes)[self.seed_labels]
        network.load_state_dict({k: torch.from_numpy(v) for k, v in found.items()})
        return network, now

    def look_at_all(
        self,
        network: Tuned,
        labels: NDArray[np.float64],
        before: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Give what the network says of every image; of the rows it is known."""
        found = before.copy()
        found[self.rows] = labels
        others = np.setdiff1d(np.flatnonzero(self.problem.readable), self.rows)
        tell = self._named("fine-tuned: looking at all images")
        said = self.images.log_posteriors(network, others, self.flip, tell)
        found[others] = np.exp(said)
        return self.problem.among_possible(found)

    def _named(self, text: str) -> Callable[[int, int], None] | None:
        tell = self.tools.progress
        return None if tell is None else lambda done, total: tell(text, done, total)


def restored(known: Arrays, images: TunableImages, n_classes: int) -> Tuned:
    """Make the network again from what the stage has given."""
    network = images.new_network(n_classes)
    state = {name: known[f"tuned.{name}"] for name in network.state_dict()}
    network.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in state.items()})
    return network


def _weights(network: Tuned) -> dict[str, NDArray[Any]]:
    return {name: value.cpu().numpy() for name, value in network.state_dict().items()}


def _best_network(problem: RefinementProblem, known: Arrays) -> int:
    """Give the place of the network whose features are best; else of the first."""
    best = int(known["best_features"]) if "best_features" in known else -1
    if 0 <= best < len(problem.networks) and problem.networks[best] is not None:
        return best
    return next(at for at, one in enumerate(problem.networks) if one is not None)


def _learned_rows(problem: RefinementProblem) -> NDArray[np.int64]:
    """Give the rows to learn from, sorted: seeds, and others spread over all images."""
    told = np.flatnonzero(problem.told)
    seeds = problem.seed_rows[problem.readable[problem.seed_rows]][:_LEARNED_ROWS]
    others = np.setdiff1d(told, problem.seed_rows)
    left = _LEARNED_ROWS - len(seeds)
    return np.union1d(seeds, evenly(others, left) if left > 0 else others[:0])
