"""Notices that the images are not those any more that the studio was started with."""

from __future__ import annotations

import hashlib

from lfkit.data.image_source import ImageSource
from lfkit.errors import DataError


class ImagesChangedError(DataError):
    """The images are others than when the studio was started."""


def key_of_images(images: ImageSource) -> str:
    """Hash the content and the names of all images, in order."""
    digest = hashlib.blake2b(images.keys.tobytes(), digest_size=16)
    digest.update("\0".join(images.ids).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def check_unchanged(images: ImageSource, key: str, n: int) -> None:
    """Refuse to go on where rows would be those of other images.

    Parameters
    ----------
    key, n : hash of the images that the studio was started with, and how many.

    Raises
    ------
    ImagesChangedError : the images, their names or their order differ.
    """
    if key_of_images(images) == key:
        return
    count = f"{len(images):,} images instead of {n:,}"
    if len(images) == n:
        count = "as many as before, but other ones"
    raise ImagesChangedError(
        f"the images have changed since the studio was started ({count}): start it "
        "again; answers are kept."
    )
