"""Fashion-MNIST: 70,000 gray images of clothes, 28x28.

Xiao, Rasul & Vollgraf (2017), https://arxiv.org/abs/1708.07747.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import urllib.request
from pathlib import Path

from lfkit.data.datasets.array_source import Arrays
from lfkit.data.datasets.disk_cache import chunks, damage_named
from lfkit.data.datasets.idx import open_idx
from lfkit.data.datasets.named_folders import named_folders
from lfkit.errors import DataError

CLASS_NAMES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
URL = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"
# SHA-256 of the unpacked files: the same bytes are packed differently by the authors
# and by Debian.
CHECKSUMS = {
    "train-images-idx3-ubyte.gz": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
    ),
    "train-labels-idx1-ubyte.gz": (
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
    ),
}
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")

_PREFIXES = {"train": "train", "test": "t10k"}
_TIMEOUT_S = 60


def open_fashion_mnist(split: str | None) -> Arrays:
    """Open train (60,000) or test (10,000) from the first folder that holds it."""
    if split is not None and split not in _PREFIXES:
        raise DataError(
            f"fashion-mnist has no split {split!r}; it has {' and '.join(_PREFIXES)}."
        )
    found = open_idx(_images_file(_PREFIXES[split or "train"]), None)
    return Arrays(found.images, found.labels, CLASS_NAMES)


def download_fashion_mnist(folder: Path, *, url: str = URL) -> None:
    """Fetch the four files into a folder; what is not Fashion-MNIST is not kept."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, checksum in CHECKSUMS.items():
        part = folder / f"{name}.part"
        try:
            with (
                urllib.request.urlopen(url + name, timeout=_TIMEOUT_S) as reply,
                part.open("wb") as file,
            ):
                for chunk in chunks(reply):
                    file.write(chunk)
        except (OSError, ValueError) as error:  # urllib's URLError is an OSError
            part.unlink(missing_ok=True)
            raise DataError(f"{url + name} could not be fetched ({error}).") from error
        if _unpacked_checksum(part) != checksum:
            part.unlink()
            raise DataError(
                f"{url + name} is not the file of Fashion-MNIST that lfkit knows "
                "(its checksum differs); fetch it from somewhere else."
            )
        part.replace(folder / name)


def find_fashion_mnist(prefix: str = _PREFIXES["train"]) -> Path:
    """Give the first file of a split's images; nothing is fetched.

    Raises
    ------
    DataError
        If there is none: it says where one may be.
    """
    folders = _folders()
    for folder in folders:
        for name in (f"{prefix}-images-idx3-ubyte", f"{prefix}-images-idx3-ubyte.gz"):
            if (folder / name).is_file():
                return folder / name
    raise DataError(
        f"fashion-mnist was not found in {', '.join(map(str, folders))}; install "
        "Debian's package dataset-fashion-mnist, set LFKIT_DATA to the folder that "
        f"holds it, or set LFKIT_DOWNLOAD=1 to fetch it (31 MB) to {folders[0]}."
    )


def _images_file(prefix: str) -> Path:
    """Give a split's file of images, fetched if that was asked for."""
    try:
        return find_fashion_mnist(prefix)
    except DataError:
        if os.environ.get("LFKIT_DOWNLOAD") != "1":
            raise
    folder = _folders()[0]
    download_fashion_mnist(folder, url=URL)
    return folder / f"{prefix}-images-idx3-ubyte.gz"


def _folders() -> tuple[Path, ...]:
    """Say where to look, the place for downloads first."""
    if given := named_folders("fashion-mnist"):
        return *given, DEBIAN_FOLDER
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "lfkit" / "fashion-mnist", DEBIAN_FOLDER


def _unpacked_checksum(path: Path) -> str:
    with damage_named(path), gzip.open(path) as file:
        digest = hashlib.sha256()
        for chunk in chunks(file):
            digest.update(chunk)
    return digest.hexdigest()
