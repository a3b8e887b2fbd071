"""Seventh stage: a small network learns the labels from the pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.nn import (
    Compute,
    Network,
    TrainingPlan,
    compute_tried_out,
    look,
    make_network,
    seconds_per_training_step,
    steps_within,
    train,
)
from lfkit.refinement.mirrored import is_flip_invariant
from lfkit.refinement.neighbors import Neighbors, nearest_neighbors
from lfkit.refinement.problem import RefinementProblem
from lfkit.refinement.stages.stage import (
    Arrays,
    Stage,
    StageContext,
    number,
)

_N_NEIGHBORS = 10
_EXACT_UP_TO = 30_000
_N_DIRECTIONS = 64  # of the network's features, for its graph: 256 MB a million
_SAMPLE = 10_000
# The rest is for the labels' last diffusion.
_SHARE_OF_TIME = 0.8


class Distill(Stage):
    """A network trained on the soft labels, and on the seeds.

    From scratch; or, where the images are looked at by a network trained on ImageNet,
    that one goes on learning.
    Strong augmentation and averaged weights keep it from learning the labels' errors
    by heart. It labels new images; the labels of these change only when `Joint` takes
    it in, and its report is of what it says alone. A time limit becomes a number of
    steps before training starts, so that the answer does not depend on the clock
    again.
    """

    name: ClassVar[str] = "cnn"
    cheap: ClassVar[bool] = False

    def why_not(self, problem: RefinementProblem, known: Arrays) -> str | None:
        """Say why there is nothing for it to do, or None."""
        if problem.readable.sum() < 2:
            return "fewer than two images can be read"
        if "tuned_by" in known:
            return "fine-tune has trained a larger network"
        return None

    def run(
        self, problem: RefinementProblem, known: Arrays, tools: StageContext
    ) -> dict[str, NDArray[Any]]:
        """Give the network, what it says, and its graph."""
        asked, now = problem.flip, known["proba"]
        flip = is_flip_invariant(problem, now) if asked is None else asked
        how = replace(problem.plan.augmentation, flip=flip)
        plan = replace(problem.plan, augmentation=how)
        targets = problem.clamped(known["proba"]) * problem.readable[:, None]
        compute = _computed(plan, problem, targets, tools)
        if tools.progress is not None:
            tools.progress(f"the network computes in {compute}", 1, 1)
        plan = _within_time(plan, problem, targets, compute, tools)
        readable = problem.readable[problem.seed_rows] & (not problem.unseeded)
        network = train(
            problem.pixels,
            targets,
            seed_rows=problem.seed_rows[readable],
            seed_labels=problem.seed_labels[readable],
            plan=plan,
            random_state=problem.random_state,
            device=problem.device,
            compute=compute,
            checkpoints=tools.checkpoints and tools.checkpoints("checkpoint"),
            progress=_named(tools, "training the network"),
        )
        proba, found = _looked(network, problem, tools)
        weights = {
            f"network.{name}": value.cpu().numpy()
            for name, value in network.state_dict().items()
        }
        return {
            "proba": known["proba"],
            "network_proba": proba,
            "network_index": found.index,
            "network_similarity": found.similarity,
            "n_steps": number(plan.n_steps),
            "flip": number(flip),
            "width": number(plan.width),
            "pretrained": number(plan.pretrained),
            "half": number(compute.half),
            "channels_last": number(compute.channels_last),
            "threads": number(compute.threads),
            **weights,
        }


def restored(
    known: Arrays, shape: tuple[int, int, int], n_classes: int, device: str
) -> Network:
    """Make the network again from what the stage has given."""
    network = make_network(
        shape,
        n_classes,
        width=int(known["width"]),
        pretrained=bool(known["pretrained"]),
        generator=torch.Generator(),
    )
    state = network.state_dict()
    network.load_state_dict(
        {name: torch.from_numpy(known[f"network.{name}"].copy()) for name in state}
    )
    return network.to(device).eval()


def _computed(
    plan: TrainingPlan,
    problem: RefinementProblem,
    targets: NDArray[np.float64],
    tools: StageContext,
) -> Compute:
    """Give the way to compute, tried out once and then kept: it decides the bits."""

    def chosen() -> dict[str, NDArray[Any]]:
        found = compute_tried_out(
            problem.pixels,
            targets,
            plan=replace(plan, batch=plan.batch + plan.seed_batch),
            device=problem.device,
            progress=_named(tools, "trying how to compute"),
        )
        return {name: number(value) for name, value in vars(found).items()}

    kept = tools.remember("compute", chosen)
    return Compute(
        bool(kept["half"]), bool(kept["channels_last"]), int(kept["threads"])
    )


def _within_time(
    plan: TrainingPlan,
    problem: RefinementProblem,
    targets: NDArray[np.float64],
    compute: Compute,
    tools: StageContext,
) -> TrainingPlan:
    if tools.seconds_left is None:
        return plan
    left = tools.seconds_left

    def fitting() -> dict[str, NDArray[Any]]:
        wider = replace(plan, batch=plan.batch + plan.seed_batch)
        each = seconds_per_training_step(
            problem.pixels,
            targets,
            plan=wider,
            device=problem.device,
            compute=compute,
            progress=_named(tools, "timing the network's steps"),
        )
        return {
            "n_steps": np.asarray(
                steps_within(plan, left() * _SHARE_OF_TIME, each).n_steps
            )
        }

    return replace(plan, n_steps=int(tools.remember("steps", fitting)["n_steps"]))


def _looked(
    network: Network, problem: RefinementProblem, tools: StageContext
) -> tuple[NDArray[np.float64], Neighbors]:
    """Give the network's posteriors, and the images it sees as alike."""
    n = len(problem.pixels)
    every = max(1, -(-n // _SAMPLE))
    tell = _named(tools, "asking the network")
    shown = problem.pixels[::every]
    parts = []
    for rows, _, found in look(network, shown):
        if tell is not None:
            tell(rows.start, len(shown) + n)
        parts.append(found.cpu())
    sample = torch.cat(parts)
    # Uncentred, so that the cosines are those of the features themselves.
    _, vectors = torch.linalg.eigh(sample.T.double() @ sample.double())
    directions = vectors[:, -_N_DIRECTIONS:].float()
    proba = np.zeros((n, problem.n_classes))
    points = np.zeros((n, directions.shape[1]), np.float32)
    for rows, log, found in look(network, problem.pixels):
        if tell is not None:
            tell(len(shown) + rows.start, len(shown) + n)
        proba[rows] = np.exp(log)
        points[rows] = (found.cpu() @ directions).numpy()
    if tell is not None:
        tell(len(shown) + n, len(shown) + n)
    neighbors = nearest_neighbors(
        points,
        _N_NEIGHBORS,
        exact_up_to=_EXACT_UP_TO,
        random_state=problem.random_state,
        device=problem.device,
    )
    return proba, neighbors


def _named(tools: StageContext, text: str) -> Callable[[int, int], None] | None:
    if tools.progress is None:
        return None
    tell = tools.progress
    return lambda done, total: tell(text, done, total)
