"""A small network that has learned a run's labels, as an ONNX file."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.classifiers.cnn import ConvNet
from lfkit.commands.options import ExportOptions
from lfkit.commands.training_data import read_all
from lfkit.data.files import written_whole
from lfkit.data.progress import Progress
from lfkit.data.votes import ABSTAIN
from lfkit.errors import InputError, RunError
from lfkit.nn.compute import best_device
from lfkit.runs.run import Run, load_run

_EVERY = 10  # one image in so many is held out
_LEAST = 20  # labeled images to learn from
_OPSET = 17


def export_classifier(
    options: ExportOptions, path: Path, progress: Progress | None = None
) -> tuple[Run, list[str]]:
    """Train a network on a run's labels, and write it.

    Its input `images` is (n, h, w, c) uint8 of the run's size, its output `proba` is
    (n, k); the names of the k classes are in the file's metadata, `class_names`.

    Returns
    -------
    The run, and what a user should know, in sentences.

    Raises
    ------
    InputError : the ending is another, `onnx` is not installed, or there are too few
        labels.
    """
    _check_place(options, path)
    run = load_run(options.votes)
    pixels, readable = read_all(run.open_images(progress), progress)
    rows = np.flatnonzero(readable & (run.labels.labels != ABSTAIN))
    held_out = rows[_EVERY // 2 :: _EVERY]
    if len(rows) - len(held_out) < _LEAST:
        raise InputError(
            f"{run.folder} has {len(rows)} labeled images, too few for a network to "
            f"learn from; label at least {_LEAST + _LEAST // _EVERY + 1}."
        )
    if progress is not None:
        progress("training a network", 0, 1)
    train = np.setdiff1d(rows, held_out)
    model = ConvNet(
        options.classifier_steps,
        device=best_device(),
        random_state=run.config.options.seed,
    ).fit(pixels[train], run.labels.proba[train])
    named = model.predict(pixels[held_out])
    _write(path, model, pixels.shape[1:], run.config.class_names)
    if progress is not None:
        progress("training a network", 1, 1)
    return run, _told(run, held_out, named, len(train))


def _check_place(options: ExportOptions, path: Path) -> None:
    if path.suffix.lower() != ".onnx":
        raise InputError(f"--classifier is {path}; end its name in .onnx.")
    if not (options.votes / "run.json").exists():
        raise RunError(
            f"{options.votes} is no run folder, and --classifier learns the labels of "
            "one; run `lfkit apply` and give its --out."
        )
    try:
        import onnx  # noqa: F401  # torch writes by it
    except ImportError as error:
        raise InputError(
            '--classifier needs the package onnx: pip install "lfkit[onnx]".'
        ) from error


def _told(
    run: Run, held_out: NDArray[np.int64], named: NDArray[np.int64], n_train: int
) -> list[str]:
    """Say how right the network is where it has not learned."""
    same = float((named == run.labels.labels[held_out]).mean())
    told = [
        f"learned from {n_train:,} images; gives {same:.1%} of the run's labels of "
        f"{len(held_out):,} others"
    ]
    truth = run.scored[held_out]
    known = truth >= 0
    if known.any():
        right = float((named[known] == truth[known]).mean())
        told.append(f"right on {right:.1%} of {int(known.sum()):,} of these others")
    return told


class _Whole(torch.nn.Module):
    """The network with what makes its input of pixels, and probabilities of scores."""

    def __init__(self, model: ConvNet) -> None:
        super().__init__()
        self.network = model._network.cpu().eval()
        self.register_buffer("seen", torch.as_tensor(model._seen, dtype=torch.float32))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores = self.network(images.permute(0, 3, 1, 2).float() / 255)
        proba = scores.softmax(dim=1) * self.seen
        return proba / proba.sum(dim=1, keepdim=True)


def _write(
    path: Path, model: ConvNet, shape: tuple[int, ...], class_names: tuple[str, ...]
) -> None:
    import onnx

    named: dict[str, Any] = {"images": {0: "n"}, "proba": {0: "n"}}
    with written_whole(path) as partial, warnings.catch_warnings():
        # The exporter that it recommends needs two more packages.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            _Whole(model),
            (torch.zeros((1, *shape), dtype=torch.uint8),),
            str(partial),
            input_names=["images"],
            output_names=["proba"],
            dynamic_axes=named,
            opset_version=_OPSET,
            dynamo=False,
        )
        made = onnx.load(str(partial))
        onnx.helper.set_model_props(
            made, {"class_names": json.dumps(list(class_names))}
        )
        onnx.save(made, str(partial))
