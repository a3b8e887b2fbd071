"""InceptionV3 as FID was published with, through torch-fidelity."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import InputError
from lfkit.metrics.extractors.extractor import Extractor

_WEIGHTS_FILE = "weights-inception-2015-12-05-6726825d.pth"
_URL = (
    f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{_WEIGHTS_FILE}"
)
_AT_ONCE = 64  # images at 299 pixels a side: 300 MB in the widest layers


class InceptionV3(Extractor):
    """InceptionV3 with TensorFlow's weights of 2015: 2048 features, 1008 classes.

    Szegedy et al. (2016), https://arxiv.org/abs/1512.00567. Only its numbers can be
    held beside published ones (Heusel et al. 2017, https://arxiv.org/abs/1706.08500).
    Gray is repeated. The probabilities are made without the last layer's bias, as in
    the first Inception Scores. Needs `pip install "lfkit[inception]"`.

    Parameters
    ----------
    weights : a file of torch-fidelity's, `weights-inception-2015-12-05-6726825d.pth`.
        None: the one in torch's cache.
    download : fetch the file into torch's cache if it is not there.
    """

    name = "inception"
    width = 2048
    n_classes = 1008

    def __init__(
        self,
        weights: Path | str | None = None,
        *,
        download: bool = False,
        device: str = "cpu",
    ) -> None:
        path = _weights_file(weights, download)
        self.checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        self.device = device
        self._network = _load(path).to(device)

    def __call__(
        self, pixels: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Look at (b, h, w, c) uint8: (b, 2048) features, (b, 1008) probabilities."""
        import torch

        features = np.empty((len(pixels), self.width), np.float32)
        proba = np.empty((len(pixels), self.n_classes), np.float32)
        for start in range(0, len(pixels), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            shown = torch.from_numpy(np.ascontiguousarray(pixels[part]))
            shown = shown.to(self.device).permute(0, 3, 1, 2)  # (b, c, h, w)
            shown = shown.expand(-1, 3, -1, -1).contiguous()
            with torch.inference_mode():
                found, logits = self._network(shown)
            features[part] = found.cpu().numpy()
            proba[part] = logits.double().softmax(dim=1).cpu().numpy()
        return features, proba


def _weights_file(weights: Path | str | None, download: bool) -> Path:
    import torch

    if weights is not None:
        path = Path(weights)
        if not path.is_file():
            raise InputError(
                f"there is no file {path} with the weights of InceptionV3; give the "
                f"path of {_WEIGHTS_FILE}, from {_URL}."
            )
        return path
    path = Path(torch.hub.get_dir(), "checkpoints", _WEIGHTS_FILE)
    if path.is_file():
        return path
    if not download:
        raise InputError(
            f"the weights of InceptionV3 are not on disk; download {_URL} (91 MB) and "
            "give the file with --weights FILE, or as `weights` in Python, or put it "
            f"at {path}."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # The file's name holds the first digits of its checksum.
        torch.hub.download_url_to_file(_URL, str(path), "6726825d", progress=False)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"{_URL} cannot be downloaded ({error}); fetch it by other means and give "
            "its path."
        ) from error
    return path


def _load(path: Path) -> Any:
    import torch

    try:
        # torch-fidelity unpickles what it is given. Read here first, as tensors only:
        # nothing in a file that passes is run.
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # it raises whatever garbage makes it stumble over
        raise InputError(
            f"{path} is no file of weights ({error}); give the path of "
            f"{_WEIGHTS_FILE}, from {_URL}."
        ) from error
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import (
            FeatureExtractorInceptionV3,
        )
    except ImportError as error:
        raise InputError(
            f"InceptionV3 needs the package {error.name}, which is not installed; "
            'run: pip install "lfkit[inception]"'
        ) from error
    try:
        return FeatureExtractorInceptionV3(
            "inception-v3-compat",
            ["2048", "logits_unbiased"],
            feature_extractor_weights_path=str(path),
        )
    except RuntimeError as error:
        raise InputError(
            f"{path} holds the weights of another network; give the path of "
            f"{_WEIGHTS_FILE}, from {_URL}."
        ) from error
