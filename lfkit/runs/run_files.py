"""A run folder: what was asked, the votes, the labels."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError, model_validator

from lfkit.data.cells import table_to_cells
from lfkit.data.datasets.label_columns import INDEX_SCHEMA
from lfkit.data.labels import Labels, same_content
from lfkit.data.vote_columns import originals, place_out_of_fold, place_votes
from lfkit.data.votes import ABSTAIN, Votes, with_known
from lfkit.errors import RunError
from lfkit.runs.reading import read_object, reading
from lfkit.runs.store import RunStore, join_blocks, load_column, write_atomically

FORMAT = 1
AGAIN = "run `lfkit apply` again: what is already computed is kept"

# Columns of images.parquet that are read back.
_INDEX = {
    "image_id": pa.string(),
    "key": pa.string(),
    "problem": pa.string(),
    "true_class": pa.int32(),
}


_Count = Annotated[int, Field(ge=0)]
_Side = Annotated[int, Field(ge=1)]


class LFRecord(BaseModel):
    """A labeling function of a run: where its votes lie, what it may vote."""

    name: str
    kind: str
    doc: str
    classes: tuple[int, ...] | None
    soft: bool
    key: str
    out_of_fold_key: str | None


class RunConfig(BaseModel):
    """The content of run.json.

    Attributes
    ----------
    features : feature name → key, for the features that the functions read.
    seed_images, seed_labels : image ids whose class was given, and their classes.
    votes_file : votes made elsewhere, when no function ran here.
    images : hash of the images.parquet that was written with it; `save_config` adds it.
    """

    format: int = FORMAT
    data: str
    size: tuple[int, int] | None
    color: str | None
    shape: tuple[_Side, _Side, _Side]
    decoding: str
    n_images: _Count
    class_names: tuple[str, ...]
    specs: tuple[str, ...]
    kinds: tuple[str, ...]
    seed: _Count
    seed_images: tuple[str, ...]
    seed_labels: tuple[int, ...]
    seed_block: str | None
    aggregator: str
    class_balance: tuple[float, ...] | None
    lfs: tuple[LFRecord, ...]
    features: dict[str, str]
    votes_file: str | None
    refine: bool = False
    target_precision: float | None = None
    versions: dict[str, str]
    images: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        k = len(self.class_names)
        named = [*self.seed_labels]
        for lf in self.lfs:
            named += lf.classes or ()
        if len(set(self.class_names)) != k or not k:
            raise ValueError(f"the class names {self.class_names} are no {k} names")
        if named and not 0 <= min(named) <= max(named) < k:
            raise ValueError(f"a class is not among 0 to {k - 1}")
        if len(self.seed_labels) != len(self.seed_images):
            raise ValueError(
                f"{len(self.seed_images)} seeds have {len(self.seed_labels)} labels"
            )
        if len({lf.name for lf in self.lfs}) != len(self.lfs):
            raise ValueError("two functions have one name")
        return self


def versions() -> dict[str, str]:
    """Name the versions that decide a run's numbers."""
    import importlib.metadata

    found = {"python": platform.python_version()}
    for name in ("lfkit", "torch", "numpy", "scikit-learn", "pillow"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # run from a checkout
            found[name] = "unknown"
    return found


def save_config(folder: Path, config: RunConfig) -> None:
    """Write run.json; images.parquet must be there already."""
    config = config.model_copy(update={"images": _hash_of_images(folder)})
    write_atomically(folder / "run.json", config.model_dump_json(indent=1).encode())


def load_config(folder: Path) -> RunConfig:
    """Read run.json."""
    path = folder / "run.json"
    if not path.exists():
        raise RunError(
            f"{folder} is not a finished run: it has no run.json. Make one with "
            f"`lfkit apply DATA --lfs SPEC --out {folder}`."
        )
    found = read_object(path, AGAIN)
    if found.get("format", FORMAT) != FORMAT:
        raise RunError(
            f"{path} has format {found['format']}, this lfkit reads {FORMAT}; "
            "run `lfkit apply` again, or use the lfkit that wrote it."
        )
    try:
        # As text: what is a tuple here is a list there.
        return RunConfig.model_validate_json(json.dumps(found))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RunError(
            f"{path} cannot be read: {where or 'all'}: {first['msg']}; {AGAIN}."
        ) from error


def check_folder(folder: Path) -> None:
    """Refuse to write into a folder that holds something else."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise RunError(f"{folder} is a file; --out takes a folder.")
    ours = {"run.json", ".lock", "blocks.npz", "images.parquet"}
    names = {path.name for path in folder.iterdir()}
    if names and not names & ours:
        raise RunError(
            f"{folder} is not empty and not a run of lfkit; give --out another folder."
        )


def save_images(
    folder: Path, index: pa.Table, problems: dict[str, str], truth: NDArray[np.int64]
) -> None:
    """Write images.parquet: the index, problems found since, classes for scoring."""
    ids = index.column("image_id").to_pylist()
    found = index.column("problem").to_pylist()
    merged = [
        problems.get(name) or known for name, known in zip(ids, found, strict=True)
    ]
    place = index.schema.get_field_index("problem")
    index = index.set_column(place, "problem", pa.array(merged, pa.string()))
    index = index.append_column("true_class", pa.array(truth, pa.int32()))
    write_table(folder / "images.parquet", index)


def load_images(folder: Path) -> pa.Table | None:
    """Read images.parquet; None if there is none yet or it cannot be read."""
    try:
        return _index_of(folder)
    except RunError:
        return None  # it only saves time; the index is made anew


def known_images(folder: Path) -> pa.Table | None:
    """Read images.parquet to save time: None, too, if it was changed since."""
    index = load_images(folder)
    if index is None or not set(INDEX_SCHEMA) <= set(index.schema):
        return None
    try:
        config = load_config(folder)
    except RunError:
        return index
    return index if config.images in (None, _hash_of_images(folder)) else None


def _index_of(folder: Path) -> pa.Table:
    path = folder / "images.parquet"
    with reading(path, AGAIN):
        table = pq.read_table(path, page_checksum_verification=True)
        for name, kind in _INDEX.items():
            if table[name].type != kind:
                raise ValueError(f"its column {name} is not {kind}")
            if name != "problem" and table[name].null_count:
                raise ValueError(f"its column {name} has gaps")
        if len(image_keys(table)) != table.num_rows:
            raise ValueError("its column key is wrong")
    return table


def image_keys(index: pa.Table) -> NDArray[np.uint8]:
    """Give the content hashes of images.parquet as (n, 16) uint8."""
    text = "".join(index.column("key").to_pylist())
    return np.frombuffer(bytes.fromhex(text), np.uint8).reshape(index.num_rows, -1)


def load_votes(folder: Path, config: RunConfig) -> Votes:
    """Read a run's votes, those on the seeds out of fold among them."""
    if not (folder / "images.parquet").exists():
        raise RunError(f"{folder} has no images.parquet; {AGAIN}.")
    if config.images not in (None, _hash_of_images(folder)):
        raise RunError(
            f"{folder} was stopped while its results were written: its images.parquet "
            "and run.json are of different calls; run `lfkit apply` again: what is "
            "already computed is kept."
        )
    index = _index_of(folder)
    if index.num_rows != config.n_images:
        raise RunError(
            f"{folder}: images.parquet lists {index.num_rows} images and run.json "
            f"{config.n_images}; {AGAIN}."
        )
    store = RunStore(folder)
    if config.votes_file is None:
        votes = _load_own_votes(folder, store, config, index)
    else:
        votes = _load_foreign_votes(folder, store, config)
    if not config.seed_images:
        return votes
    return _with_seeds(votes, store, folder, config, index)


def unreadable_rows(index: pa.Table) -> list[int]:
    """List the images in images.parquet that could not be read."""
    problems = index.column("problem").to_pylist()
    return [row for row, problem in enumerate(problems) if problem]


def not_scored(index: pa.Table, votes: Votes) -> NDArray[np.bool_]:
    """Find what is not scored, (n,), as `given_images` does, in images.parquet."""
    unreadable = np.asarray([*map(bool, index.column("problem").to_pylist())], bool)
    return same_content(image_keys(index), votes.seed_rows) | unreadable


def save_labels(
    folder: Path,
    ids: Sequence[str],
    labels: Labels,
    *,
    class_names: Sequence[str],
    stem: str = "labels",
) -> list[Path]:
    """Write labels.parquet and labels.csv: one row per image, in the data's order."""
    names = pa.array([*class_names], pa.string())
    confidence = np.where(
        labels.labels == ABSTAIN, np.nan, labels.proba.max(axis=1, initial=0.0)
    )
    columns: dict[str, Any] = {
        "image_id": pa.array(ids, pa.string()),
        "label": _named(labels.labels, names),
        "confidence": _share(confidence, labels.labels),
        "seed": pa.array(labels.is_seed),
    }
    for j, name in enumerate(class_names):
        columns[f"p_{name}"] = pa.array(labels.proba[:, j], pa.float32())
    columns["vote_label"] = _named(labels.vote_labels, names)
    columns["vote_confidence"] = _share(labels.vote_confidence, labels.vote_labels)
    table = pa.table(columns)
    paths = [folder / f"{stem}.parquet", folder / f"{stem}.csv"]
    write_table(paths[0], table)
    sink = pa.BufferOutputStream()
    pa_csv.write_csv(table_to_cells(table), sink)
    write_atomically(paths[1], sink.getvalue().to_pybytes())
    return paths


def load_labels(folder: Path, config: RunConfig, ids: Sequence[str]) -> Labels:
    """Read labels.parquet; what is only in summary.json is not among it.

    Parameters
    ----------
    ids : n image ids, the order in which they must be in the file.
    """
    path = folder / "labels.parquet"
    with reading(path, AGAIN):
        table = pq.read_table(path, page_checksum_verification=True)
        if table["image_id"].to_pylist() != [*ids]:
            raise ValueError("it is not of the images in images.parquet")
        class_of: dict[str | None, int] = {
            name: label for label, name in enumerate(config.class_names)
        }
        class_of[None] = ABSTAIN
        named, voted = (
            np.asarray(
                [class_of[name] for name in table[column].to_pylist()],
                np.int64,
            )
            for column in ("label", "vote_label")
        )
        proba = np.stack(
            [table[f"p_{name}"].to_numpy() for name in config.class_names], axis=1
        )
        confidence = table["vote_confidence"].to_numpy()
        is_seed = np.asarray(table["seed"].to_pylist(), bool)
        if not (np.isfinite(proba).all() and proba.min(initial=0) >= 0):
            raise ValueError("a probability is not a number from 0 on")
    return Labels(
        named,
        proba.astype(np.float64),
        is_seed,
        vote_labels=voted,
        vote_confidence=np.nan_to_num(confidence),
        chosen=config.aggregator,
    )


def _named(labels: NDArray[np.int64], names: pa.Array) -> pa.Array:
    """Turn classes into names; the cell of -1, no label, stays empty."""
    return names.take(pa.array(labels, pa.int32(), mask=labels == ABSTAIN))


def _share(values: NDArray[np.float64], labels: NDArray[np.int64]) -> pa.Array:
    return pa.array(values, pa.float32(), mask=labels == ABSTAIN)


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file whole or not at all."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, write_page_checksum=True)
    write_atomically(path, sink.getvalue().to_pybytes())


def save_foreign_votes(folder: Path, votes: Votes) -> None:
    """Keep votes that were made elsewhere."""
    arrays = {"votes": votes.hard, "names": np.asarray(votes.names)}
    if votes.soft is not None:
        arrays["soft"] = votes.soft
    if votes.allowed is not None:
        arrays["allowed"] = votes.allowed
    RunStore(folder).save("votes", "foreign", "all", arrays)


def _load_own_votes(
    folder: Path, store: RunStore, config: RunConfig, index: pa.Table
) -> Votes:
    keys = image_keys(index)
    hard, soft = _blank(len(keys), config)
    blocks = store.stored_layout(keys)
    if blocks is None:
        raise _votes_lost(folder)
    rows = join_blocks(blocks).rows
    for j, lf in enumerate(config.lfs):
        column = load_column(store, lf.key, blocks)
        if column is None:
            raise _votes_lost(folder)
        _check_votes(folder, lf, column, len(rows), config)
        place_votes(lf, column, rows, j, hard, soft)
    copy = originals(keys)
    return Votes(
        hard[copy],
        tuple(lf.name for lf in config.lfs),
        len(config.class_names),
        soft=None if soft is None else soft[copy],
    )


def _hash_of_images(folder: Path) -> str | None:
    path = folder / "images.parquet"
    if not path.exists():
        return None
    with reading(path, AGAIN):
        data = path.read_bytes()
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _load_foreign_votes(folder: Path, store: RunStore, config: RunConfig) -> Votes:
    arrays = store.load("votes", "foreign", "all")
    if arrays is None:
        raise RunError(f"{folder} has lost its votes; run `lfkit apply` again.")
    path = folder / "votes" / "foreign" / "all.npz"
    with reading(path, AGAIN):
        votes = Votes(
            arrays["votes"],
            tuple(map(str, arrays["names"].tolist())),
            len(config.class_names),
            soft=arrays.get("soft"),
            allowed=arrays.get("allowed"),
        )
        if len(votes) != config.n_images:
            raise ValueError(f"it has {len(votes)} rows for {config.n_images} images")
    return votes


def _with_seeds(
    votes: Votes, store: RunStore, folder: Path, config: RunConfig, index: pa.Table
) -> Votes:
    row_of = {
        name: row for row, name in enumerate(index.column("image_id").to_pylist())
    }
    strange = [name for name in config.seed_images if name not in row_of]
    if strange:
        raise RunError(
            f"{folder / 'run.json'} names the seed {strange[0]!r}, which is not in "
            f"images.parquet; {AGAIN}."
        )
    rows = np.asarray([row_of[name] for name in config.seed_images], np.int64)
    labels = np.asarray(config.seed_labels, np.int64)
    if config.votes_file is not None:
        return with_known(votes, rows, labels)
    votes = replace(votes, seed_rows=rows, seed_labels=labels)
    if config.seed_block is None:
        return votes
    found = {}
    for lf in config.lfs:
        if lf.out_of_fold_key is not None:
            stored = store.load("votes", lf.out_of_fold_key, config.seed_block)
            if stored is None:
                raise _votes_lost(folder)
            _check_votes(folder, lf, stored.get("votes"), len(rows), config)
            found[lf.name] = stored["votes"]
    return replace(votes, seed_out_of_fold=place_out_of_fold(votes, config.lfs, found))


def _check_votes(
    folder: Path, lf: LFRecord, votes: Any, n: int, config: RunConfig
) -> None:
    """Refuse stored votes that cannot be this function's."""
    classes = lf.classes or tuple(range(len(config.class_names)))
    if lf.soft:
        fits = np.shape(votes) == (n, len(classes)) and votes.dtype.kind == "f"
        fits = fits and bool((votes >= 0).all())
    else:
        fits = np.shape(votes) == (n,) and votes.dtype.kind in "iu"
        known = np.zeros(len(config.class_names) + 1, bool)
        known[[*classes, ABSTAIN]] = True  # the last place is that of ABSTAIN
        fits = fits and votes.min(initial=0) >= ABSTAIN
        fits = fits and votes.max(initial=0) < len(config.class_names)
        fits = fits and bool(known[votes].all())
    if not fits:
        raise RunError(
            f"{folder / 'votes' / lf.key} holds no votes of {lf.name!r} on these "
            f"images; delete this folder and {AGAIN}."
        )


def _votes_lost(folder: Path) -> RunError:
    return RunError(
        f"{folder} lacks some of its votes; run `lfkit apply` again: what is already "
        "computed is kept."
    )


def _blank(
    n: int, config: RunConfig
) -> tuple[NDArray[np.int16], NDArray[np.float16] | None]:
    m, k = len(config.lfs), len(config.class_names)
    hard = np.full((n, m), ABSTAIN, np.int16)
    is_soft = any(lf.soft for lf in config.lfs)
    return hard, np.zeros((n, m, k), np.float16) if is_soft else None
