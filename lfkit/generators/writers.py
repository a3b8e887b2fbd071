"""Generated images as files: a folder, .npz, Parquet or WebDataset shards."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import shutil
import tarfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from lfkit.data.cells import to_cell
from lfkit.data.files import write_atomically, written_whole
from lfkit.errors import RunError
from lfkit.generators.samples import Samples
from lfkit.labeling.engine.function_evaluator import cpu_count
from lfkit.runs.reading import reading

_PARTS = ".parts"
_PER_SHARD = 8  # blocks of 256 images


class Writer(ABC):
    """Writes blocks of images; what was written before a kill is not written again.

    Parameters
    ----------
    out : a folder.
    n : images in all.
    shape : (h, w, c).
    """

    def __init__(
        self, out: Path, n: int, shape: Sequence[int], class_names: Sequence[str]
    ) -> None:
        self.out, self.n, self.shape = out, n, tuple(shape)
        self.class_names = tuple(class_names)
        self.parts = out / _PARTS

    def written(self, number: int) -> NDArray[np.int64] | None:
        """Give the labels of a block that was written before, or None."""
        path = self._part(number)
        if not path.exists():
            return None
        # What is damaged is made again.
        with contextlib.suppress(RunError), reading(path, "delete it"):
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                whole = {name: arrays[name] for name in arrays.files}
            labels: NDArray[np.int64] = whole["proba"].argmax(axis=1)
            if whole["proba"].ndim == 2 and "confidence" in whole:
                return labels
        return None

    def write(self, number: int, start: int, made: Samples) -> None:
        """Write a block; its first image is number `start`."""
        self._keep(
            number,
            images=made.images,
            proba=made.proba,
            confidence=made.confidence,
        )

    def finish(self) -> list[Path]:
        """Put the blocks together; returns the files a user wants to know of."""
        files = self._join(self._blocks())
        shutil.rmtree(self.parts)
        return files

    # What members write.

    @abstractmethod
    def _join(self, blocks: Iterator[dict[str, NDArray[Any]]]) -> list[Path]:
        """Make the final files of the blocks, in order."""

    def _keep(self, number: int, **arrays: NDArray[Any]) -> None:
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        write_atomically(self._part(number), buffer.getvalue())

    def _part(self, number: int) -> Path:
        return self.parts / f"{number:07d}.npz"

    def _blocks(self) -> Iterator[dict[str, NDArray[Any]]]:
        for path in sorted(self.parts.glob("*.npz")):
            with np.load(path, allow_pickle=False) as arrays:
                yield {name: arrays[name] for name in arrays.files}

    def _name(self, proba: NDArray[Any]) -> str:
        return self.class_names[int(proba.argmax())]


class FolderWriter(Writer):
    """PNG files and metadata.csv, the layout of Hugging Face's imagefolder."""

    def write(self, number: int, start: int, made: Samples) -> None:
        """Write a block; its first image is number `start`."""
        for offset, png in enumerate(_pngs(made.images)):
            write_atomically(self.out / self._path(start + offset), png)
        self._keep(number, proba=made.proba, confidence=made.confidence)

    def _join(self, blocks: Iterator[dict[str, NDArray[Any]]]) -> list[Path]:
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(["file_name", "label", "confidence"])
        number = 0
        for block in blocks:
            for proba, sure in zip(block["proba"], block["confidence"], strict=True):
                told = "" if np.isnan(sure) else f"{sure:.4f}"
                rows.writerow([self._path(number), to_cell(self._name(proba)), told])
                number += 1
        path = self.out / "metadata.csv"
        write_atomically(path, table.getvalue().encode())
        return [path, self.out / "images"]

    @staticmethod
    def _path(number: int) -> str:
        return f"images/{number:07d}.png"


class NpzWriter(Writer):
    """One .npz: images (n, h, w, c) uint8, proba (n, k), confidence (n,)."""

    def _join(self, blocks: Iterator[dict[str, NDArray[Any]]]) -> list[Path]:
        k = len(self.class_names)
        arrays: dict[str, tuple[tuple[int, ...], str]] = {
            "images": ((self.n, *self.shape), "|u1"),
            "proba": ((self.n, k), "<f4"),
            "confidence": ((self.n,), "<f4"),
        }
        path = self.out / "generated.npz"
        with (
            written_whole(path) as partial,
            zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive,
        ):
            for name, (shape, kind) in arrays.items():
                # A block at a time: memory does not grow with n.
                with archive.open(_entry(f"{name}.npy"), "w", force_zip64=True) as file:
                    np.lib.format.write_array_header_1_0(
                        file,
                        {"descr": kind, "fortran_order": False, "shape": shape},
                    )
                    for block in self._blocks():
                        file.write(block[name].astype(kind).tobytes())
        return [path]


class ParquetWriter(Writer):
    """One Parquet file: image (PNG bytes and path), label, confidence, p_<class>."""

    def _join(self, blocks: Iterator[dict[str, NDArray[Any]]]) -> list[Path]:

        path = self.out / "generated.parquet"
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        fields = [
            ("image", kind),
            ("label", pa.string()),
            ("confidence", pa.float32()),
            *((f"p_{name}", pa.float32()) for name in self.class_names),
        ]
        start = 0
        with (
            written_whole(path) as partial,
            pq.ParquetWriter(partial, pa.schema(fields)) as file,
        ):
            for block in blocks:
                images = [
                    {"bytes": png, "path": f"{start + i:07d}.png"}
                    for i, png in enumerate(_pngs(block["images"]))
                ]
                columns = [
                    pa.array(images, kind),
                    pa.array([self._name(row) for row in block["proba"]]),
                    pa.array(block["confidence"]),
                    *(pa.array(column) for column in block["proba"].T),
                ]
                file.write_table(pa.table(columns, schema=pa.schema(fields)))
                start += len(images)
        return [path]


class WebDatasetWriter(Writer):
    """Tar shards of 2,048 images: .png, .cls (the class's number) and .json."""

    def _join(self, blocks: Iterator[dict[str, NDArray[Any]]]) -> list[Path]:
        paths: list[Path] = []
        number = 0
        for blocks_of_shard in _batches(blocks, _PER_SHARD):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as shard:
                for block in blocks_of_shard:
                    for i, png in enumerate(_pngs(block["images"])):
                        self._add(shard, number, png, block, i)
                        number += 1
            paths.append(self.out / f"shard-{len(paths):06d}.tar")
            write_atomically(paths[-1], buffer.getvalue())
        return paths

    def _add(
        self,
        shard: tarfile.TarFile,
        number: int,
        png: bytes,
        block: dict[str, NDArray[Any]],
        i: int,
    ) -> None:
        proba = block["proba"][i]
        sure = float(block["confidence"][i])
        told = {
            "label": self._name(proba),
            "confidence": None if np.isnan(sure) else round(sure, 4),
        }
        contents = {
            "png": png,
            "cls": str(int(proba.argmax())).encode(),
            "json": json.dumps(told).encode(),
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


def _batches(found: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while batch := list(itertools.islice(found, size)):
        yield batch


def _pngs(images: NDArray[np.uint8]) -> list[bytes]:
    """Encode images on all cores."""
    with ThreadPoolExecutor(cpu_count()) as threads:
        return [*threads.map(_png, images, chunksize=16)]


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(
        buffer, "PNG"
    )
    return buffer.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # the same bytes each time
