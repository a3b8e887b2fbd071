"""A shard: images that are labeled together, and whose labels are one file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

TAR, PARQUET, FILES, ARRAYS = "tar", "parquet", "files", "arrays"


@dataclass(frozen=True)
class Shard:
    """Some images of a data set.

    Attributes
    ----------
    index : its number in the list.
    kind : "tar" or "parquet", a file of images; "files", images that are files;
        "arrays", rows of an array.
    place : absolute path or URL of the file, or of the data that files and arrays are
        part of; or a data set's name.
    start, stop : rows of `place`, of files and arrays.
    names : paths or URLs of the images, of files.
    ids : what they are called; n unique texts.
    folders : names of the folders above each, as functions read them, of files.
    n_bytes : size of the file, if it is one.
    state : a hash of sizes and times of what it is read from.
    """

    index: int
    kind: str
    place: str
    start: int = 0
    stop: int = 0
    names: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    n_bytes: int | None = None
    state: str = ""

    @property
    def name(self) -> str:
        """What a user knows it by."""
        if not self.is_cut:
            return self.place
        return f"{self.place}, images {self.start:,} to {self.stop - 1:,}"

    @property
    def is_cut(self) -> bool:
        """Whether it is a part of its place, not a file of its own."""
        return self.kind not in (TAR, PARQUET)

    @property
    def n_images(self) -> int | None:
        """How many images it has; None if only opening it would tell."""
        return self.stop - self.start if self.is_cut else None

    @property
    def listing(self) -> str:
        """A hash of which images it holds, by their names, not their content.

        A file that is written anew is the same shard, to be labeled again.
        """
        held = (self.kind, self.place, self.start, self.stop, self.ids, self.folders)
        return hash_of(held)

    @property
    def identity(self) -> str:
        """A hash that is another one when a file was written anew."""
        return hash_of((self.listing, self.state))


def hash_of(value: object) -> str:
    """Give a hash of what JSON can hold."""
    text = json.dumps(value).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).hexdigest()
