"""Files of a trained generator: config.json and weights.safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lfkit.errors import RunError
from lfkit.generators.plan import GeneratorPlan
from lfkit.runs.reading import read_sealed, reading, sealed
from lfkit.runs.store import write_atomically
from lfkit.runs.tensors import read_tensors, tensor_bytes

CONFIG, _WEIGHTS = "config.json", "weights.safetensors"
ANEW = "train it anew: `lfkit train` with --restart"
_FORMAT = 2


@dataclass(frozen=True, eq=False)
class SavedGenerator:
    """What config.json says of a generator.

    Attributes
    ----------
    params : of its constructor, its plan among them.
    shape : (h, w, c) of the images.
    prior : (k,) shares of the classes.
    settings : what it learned that is no weight, JSON-ready.
    source : the run whose generator it was tuned from, or None.
    """

    params: Mapping[str, Any]
    shape: tuple[int, int, int]
    prior: NDArray[np.float64]
    settings: Mapping[str, Any]
    source: str | None = None

    @classmethod
    def read(
        cls, directory: Path, kind: str, plan_kind: type[GeneratorPlan]
    ) -> SavedGenerator:
        """Read the config.json of a generator of this kind.

        Raises
        ------
        RunError : it is damaged, of another kind, or of another format.
        """
        path, config = directory / CONFIG, read_config(directory)
        if config["generator"] != kind or config.get("format") != _FORMAT:
            raise RunError(
                f"{path} is of a {config['generator']} of format "
                f"{config.get('format')}; expected {kind} of format {_FORMAT}. "
                "Train it again."
            )
        with reading(path, ANEW):
            params = dict(config["params"])
            plan: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in params["plan"].items()
            }
            h, w, c = map(int, config["shape"])
            if not (min(h, w) > 0 and c in (1, 3)):
                raise ValueError(f"images of shape {config['shape']}")
            prior = np.asarray(config["prior"], np.float64)
            if prior.ndim != 1 or not prior.sum() > 0 or prior.min() < 0:
                raise ValueError("prior is no list of shares")
            params |= {"plan": plan_kind(**plan)}
            source = config.get("source")
            if not isinstance(source, str | None):
                raise ValueError(f"its source is {source!r}")
            return cls(params, (h, w, c), prior, config["settings"], source)

    def write(
        self, directory: Path, kind: str, weights: Mapping[str, NDArray[Any]]
    ) -> None:
        """Write both files; the config is last, and makes the generator a finished one.

        Parameters
        ----------
        kind : the name of its class.
        weights : by name.
        """
        write_atomically(directory / _WEIGHTS, tensor_bytes(weights))
        config = {
            "format": _FORMAT,
            "generator": kind,
            "params": {**self.params, "plan": asdict(self.params["plan"])},
            "shape": list(self.shape),
            "prior": self.prior.tolist(),
            "settings": self.settings,
        }
        if self.source is not None:
            config["source"] = self.source
        write_atomically(directory / CONFIG, sealed(config))


def read_config(directory: Path) -> dict[str, Any]:
    """Read the config.json of a finished generator, of whatever kind."""
    path = directory / CONFIG
    if not path.exists():
        raise RunError(
            f"{directory} holds no finished generator; train it with `lfkit train`."
        )
    config = read_sealed(path, ANEW, or_unsealed=True)
    with reading(path, ANEW):
        if not isinstance(config["generator"], str):
            raise ValueError(f"its generator is {config['generator']!r}")
    return config


def source_of(directory: Path) -> str | None:
    """Name the run that a kept generator was tuned from; None: it was not, or damage.

    Loading it tells of damage.
    """
    try:
        source = read_config(directory).get("source")
    except RunError:
        return None
    return source if isinstance(source, str) else None


def weight_arrays(modules: Mapping[str, torch.nn.Module]) -> dict[str, NDArray[Any]]:
    """Give the weights of modules by name."""
    return {
        f"{owner}.{name}": value.detach().cpu().numpy()
        for owner, module in modules.items()
        for name, value in module.state_dict().items()
    }


def load_weights(directory: Path, modules: Mapping[str, torch.nn.Module]) -> None:
    """Read what `weight_arrays` gave into modules of the same kind."""
    path = directory / _WEIGHTS
    tensors = read_tensors(path, ANEW)
    with reading(path, ANEW):
        for owner, module in modules.items():
            start = f"{owner}."
            own = {
                name.removeprefix(start): torch.from_numpy(value)
                for name, value in tensors.items()
                if name.startswith(start)
            }
            _check_types(own, module.state_dict())
            module.load_state_dict(own)


def _check_types(
    kept: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]
) -> None:
    """Refuse weights of another type, which would be converted without a word."""
    for name, value in kept.items():
        if name in wanted and value.dtype != wanted[name].dtype:
            raise ValueError(f"{name} is {value.dtype}, not {wanted[name].dtype}")
