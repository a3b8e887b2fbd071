"""ONNX files: opened once per process, run in batches of their size, hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.errors import DeclarationError


def existing(name: str, path: str | Path) -> Path:
    """Check that a file of an encoder exists."""
    found = Path(path)
    if not found.is_file():
        raise DeclarationError(
            f"encoder {name!r} reads {str(path)!r}, and there is no such file."
        )
    return found


@cache
def open_session(name: str, path: Path, kind: str) -> Any:
    """Open a file once per process, for a kind of device."""
    try:
        import onnxruntime
    except ImportError as error:
        raise _missing(name, error) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = (
        1  # whoever runs a network runs several calls at once
    )
    options.log_severity_level = 3
    wanted = ["CUDAExecutionProvider"] * (kind == "cuda") + ["CPUExecutionProvider"]
    available = onnxruntime.get_available_providers()
    providers = [provider for provider in wanted if provider in available]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # its classes have no common base
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DeclarationError(
            f"encoder {name!r} cannot open {str(path)!r} as an ONNX file: {first}"
        ) from error


def run(
    session: Any, names: Sequence[str], given: NDArray[np.float32]
) -> list[NDArray[np.float32]]:
    """Run a network on (n, ...), in batches of the size that its file was made for.

    Returns
    -------
    (n, ...) of each output.
    """
    place = session.get_inputs()[0]
    fixed = place.shape[0]
    size = fixed if isinstance(fixed, int) else len(given)
    parts = []
    for start in range(0, len(given), size):
        part = given[start : start + size]
        filled = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
        found = session.run([*names], {place.name: filled})
        parts.append([np.asarray(each[: len(part)], np.float32) for each in found])
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def open_tokenizer(name: str, path: Path) -> Any:
    """Read a tokenizer.json."""
    try:
        import tokenizers
    except ImportError as error:
        raise _missing(name, error) from error
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more precise
        raise DeclarationError(
            f"encoder {name!r} cannot read {str(path)!r} as a tokenizer.json: {error}"
        ) from error


def _missing(name: str, error: ImportError) -> DeclarationError:
    return DeclarationError(
        f"encoder {name!r} needs the package {error.name}, which is not installed; "
        'run: pip install "lfkit[onnx]"'
    )


def digest_of(path: Path) -> str:
    """Hash a file and the weights that lie beside it, as large networks have them."""
    parts = [path, *(path.with_name(path.name + end) for end in (".data", "_data"))]
    found = [part for part in parts if part.is_file()]
    if not found:
        raise DeclarationError(f"the encoder's file {str(path)!r} is gone.")
    return _digest_as_of(
        tuple((part, part.stat().st_size, part.stat().st_mtime_ns) for part in found)
    )


@cache
def _digest_as_of(files: tuple[tuple[Path, int, int], ...]) -> str:
    state = hashlib.blake2b(digest_size=16)
    for path, _, _ in files:
        with path.open("rb") as file:
            while chunk := file.read(2**20):
                state.update(chunk)
    return state.hexdigest()
