"""Generated images as files: a folder, .npz, Parquet or WebDataset shards."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tarfile
import tempfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lfkit.data.cells import to_cell
from lfkit.data.png import png
from lfkit.generators.samples import Samples, joined
from lfkit.generators.sampling import BLOCK
from lfkit.labeling.engine.function_evaluator import cpu_count

_PER_SHARD = 8  # blocks of 256 images


class Writer(ABC):
    """Writes images, a block of 256 at a time.

    Parameters
    ----------
    out : a folder that holds nothing else.
    n : images in all.
    shape : (h, w, c).
    """

    def __init__(
        self, out: Path, n: int, shape: Sequence[int], class_names: Sequence[str]
    ) -> None:
        self.out, self.n, self.shape = out, n, tuple(shape)
        self.class_names = tuple(class_names)
        self.n_written = 0
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def write(self, samples: Samples) -> None:
        """Write the next block."""
        self._write(samples, self.n_written)
        self.n_written += len(samples)

    # What members write.

    @abstractmethod
    def _write(self, samples: Samples, start: int) -> None:
        """Write a block; its first image is number `start`."""

    @abstractmethod
    def finish(self) -> list[str]:
        """Complete the files; returns the names of those to show to a user."""

    def _name(self, proba: NDArray[Any]) -> str:
        return self.class_names[int(proba.argmax())]


class FolderWriter(Writer):
    """PNG files and metadata.csv, the layout of Hugging Face's imagefolder."""

    _rows: list[list[str]]
    _folders: list[str]

    def _write(self, samples: Samples, start: int) -> None:
        if not start:
            self._folders = ["images"]
            self._rows = [["file_name", "label", "confidence"]]
            if samples.images_2 is not None:
                self._folders.append("images_2")
                # A column that Hugging Face reads as images, too.
                self._rows[0].append("second_file_name")
            for folder in self._folders:
                (self.out / folder).mkdir()
        for number, (pngs, proba, sure) in enumerate(_with_pngs(samples), start):
            names = [f"{folder}/{number:07d}.png" for folder in self._folders]
            for name, data in zip(names, pngs, strict=True):
                (self.out / name).write_bytes(data)
            confidence = "" if np.isnan(sure) else f"{sure:.4f}"
            label = to_cell(self._name(proba))
            self._rows.append([names[0], label, confidence, *names[1:]])

    def finish(self) -> list[str]:
        """Write the table."""
        with (self.out / "metadata.csv").open(
            "w", newline="", encoding="utf-8"
        ) as file:
            csv.writer(file, lineterminator="\n").writerows(self._rows)
        return ["metadata.csv", *self._folders]


class NpzWriter(Writer):
    """One .npz: images (n, h, w, c) uint8, proba (n, k), confidence (n,).

    `images_2`, where there is a second domain, waits in a file of its own: of an
    archive only one part can be written at a time.
    """

    _waiting: IO[bytes] | None = None

    def _write(self, samples: Samples, start: int) -> None:
        if not start:
            path = self.out / "generated.npz"
            self._archive = self._open.enter_context(zipfile.ZipFile(path, "w"))
            images = self._begin("images", "|u1", (self.n, *self.shape))
            self._file = self._open.enter_context(images)
            self._labels: list[Samples] = []
            if samples.images_2 is not None:
                self._shape_2 = samples.images_2.shape[1:]
                self._waiting = self._open.enter_context(
                    tempfile.TemporaryFile(dir=self.out)  # noqa: SIM115
                )
        if self._waiting is not None:
            assert samples.images_2 is not None
            self._waiting.write(samples.images_2.tobytes())
        # Memory grows with the labels only.
        self._file.write(samples.images.tobytes())
        without = replace(samples, images=samples.images[:0], images_2=None)
        self._labels.append(without)

    def finish(self) -> list[str]:
        """Write the labels after the images."""
        self._file.close()
        if self._waiting is not None:
            self._waiting.seek(0)
            with self._begin("images_2", "|u1", (self.n, *self._shape_2)) as file:
                shutil.copyfileobj(self._waiting, file)
        labels = joined(self._labels)
        for name, rows in (("proba", labels.proba), ("confidence", labels.confidence)):
            with self._begin(name, "<f4", rows.shape) as file:
                file.write(rows.astype("<f4").tobytes())
        return ["generated.npz"]

    def _begin(self, name: str, kind: str, shape: tuple[int, ...]) -> IO[bytes]:
        entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))  # always the same
        file = self._archive.open(entry, "w", force_zip64=True)
        header = {"descr": kind, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        return file


class ParquetWriter(Writer):
    """One Parquet file: image (PNG bytes and path), label, confidence, p_<class>.

    A second domain's image is in `image_2`.
    """

    def _write(self, samples: Samples, start: int) -> None:
        columns = {
            "image": _image_column(samples.images, start),
            "label": pa.array([self._name(row) for row in samples.proba]),
            "confidence": pa.array(samples.confidence),
        }
        for name, column in zip(self.class_names, samples.proba.T, strict=True):
            columns[f"p_{name}"] = pa.array(column)
        if samples.images_2 is not None:
            columns["image_2"] = _image_column(samples.images_2, start)
        table = pa.table(columns)
        if not start:
            file = pq.ParquetWriter(self.out / "generated.parquet", table.schema)
            self._file = self._open.enter_context(file)
        self._file.write_table(table)

    def finish(self) -> list[str]:
        """Name the file."""
        return ["generated.parquet"]


class WebDatasetWriter(Writer):
    """Tar shards of 2,048 images: .png, .cls (the class's number) and .json.

    A second domain's image is in .2.png.
    """

    def _write(self, samples: Samples, start: int) -> None:
        shard = start // (_PER_SHARD * BLOCK)
        path = self.out / f"shard-{shard:06d}.tar"
        with tarfile.open(path, "a") as file:
            for number, row in enumerate(_with_pngs(samples), start):
                self._add(file, number, *row)

    def finish(self) -> list[str]:
        """Name the shards."""
        return sorted(path.name for path in self.out.glob("shard-*.tar"))

    def _add(
        self,
        shard: tarfile.TarFile,
        number: int,
        pngs: Sequence[bytes],
        proba: NDArray[Any],
        confidence: float,
    ) -> None:
        label = {
            "label": self._name(proba),
            "confidence": None if np.isnan(confidence) else round(confidence, 4),
        }
        contents = {
            **dict(zip(("png", "2.png"), pngs, strict=False)),
            "cls": str(int(proba.argmax())).encode(),
            "json": json.dumps(label).encode(),
        }
        for ending, data in contents.items():
            entry = tarfile.TarInfo(f"{number:07d}.{ending}")
            entry.size = len(data)
            shard.addfile(entry, io.BytesIO(data))


FORMATS: dict[str, type[Writer]] = {
    "folder": FolderWriter,
    "npz": NpzWriter,
    "parquet": ParquetWriter,
    "webdataset": WebDatasetWriter,
}


def _with_pngs(
    samples: Samples,
) -> Iterator[tuple[tuple[bytes, ...], NDArray[Any], float]]:
    """Give the images of each label as PNGs, its posterior and its confidence."""
    domains = [_pngs(samples.images)]
    if samples.images_2 is not None:
        domains.append(_pngs(samples.images_2))
    sure = map(float, samples.confidence)
    return zip(zip(*domains, strict=True), samples.proba, sure, strict=True)


def _image_column(images: NDArray[np.uint8], start: int) -> pa.Array:
    """Give images as Hugging Face stores them: PNG bytes and a path."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [
        {"bytes": png, "path": f"{number:07d}.png"}
        for number, png in enumerate(_pngs(images), start)
    ]
    return pa.array(rows, kind)


def _pngs(images: NDArray[np.uint8]) -> list[bytes]:
    """Encode images on all cores."""
    with ThreadPoolExecutor(cpu_count()) as threads:
        return [*threads.map(png, images, chunksize=16)]
