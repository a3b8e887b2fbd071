"""A run folder: what was asked, the votes, the labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lfkit.data.cells import table_to_cells
from lfkit.data.datasets.label_columns import INDEX_SCHEMA, text_to_keys
from lfkit.data.files import written_whole
from lfkit.data.labels import Labels, same_content
from lfkit.data.vote_columns import (
    VoteMatrices,
    originals,
    place_out_of_fold,
    with_copies,
)
from lfkit.data.votes import ABSTAIN, Votes, with_known
from lfkit.errors import RunError
from lfkit.runs.reading import reading
from lfkit.runs.run_config import (
    AGAIN,
    LFRecord,
    RunConfig,
    hash_of_file,
    hash_of_images,
    load_config,
)
from lfkit.runs.store import RunStore, join_blocks, load_column

_GROUP_ROWS = 1 << 16  # of a table that is written: all that is held of it

# Columns of images.parquet that are read back.
_INDEX = {
    "image_id": pa.string(),
    "key": pa.string(),
    "problem": pa.string(),
    "true_class": pa.int32(),
}


def check_folder(folder: Path) -> None:
    """Refuse to write into a folder that holds something else."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise RunError(f"{folder} is a file; --out takes a folder.")
    ours = {"run.json", ".lock", "blocks.arrow", "images.parquet", "studio"}
    names = {path.name for path in folder.iterdir()}
    if names and not names & ours:
        raise RunError(
            f"{folder} is not empty and not a run of lfkit; give --out another folder."
        )


def save_images(
    folder: Path,
    index: Iterable[pa.Table],
    problems: dict[str, str],
    truth: NDArray[np.int64],
) -> None:
    """Write images.parquet: the index, problems found since, classes for scoring.

    Parameters
    ----------
    index : in parts, which follow one another.
    truth : (n,) true classes, -1 where unknown.
    """

    def merged() -> Iterator[pa.Table]:
        start = 0
        for part in index:
            rows = slice(start, start + part.num_rows)
            yield _merged(part, problems, truth[rows])
            start = rows.stop

    write_tables(folder / "images.parquet", merged())


def _merged(
    index: pa.Table, problems: dict[str, str], truth: NDArray[np.int64]
) -> pa.Table:
    if problems:
        ids = index.column("image_id").to_pylist()
        found = index.column("problem").to_pylist()
        merged = [
            problems.get(name) or known for name, known in zip(ids, found, strict=True)
        ]
        place = index.schema.get_field_index("problem")
        index = index.set_column(place, "problem", pa.array(merged, pa.string()))
    return index.append_column("true_class", pa.array(truth, pa.int32()))


def row_groups(n: int) -> list[slice]:
    """Cut n rows into parts of a size that is written at once; one of no rows."""
    return [slice(i, i + _GROUP_ROWS) for i in range(0, max(n, 1), _GROUP_ROWS)]


def images_told(folder: Path) -> Mapping[bytes, bytes] | None:
    """Read what was noted in images.parquet; None if there is none, or no notes."""
    path = folder / "images.parquet"
    try:
        with reading(path, AGAIN), path.open("rb") as file:
            return pq.read_schema(file).metadata or {}
    except RunError:
        return None


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
    return index if config.images in (None, hash_of_images(folder)) else None


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
    return text_to_keys(index.column("key"))


def load_votes(folder: Path, config: RunConfig) -> Votes:
    """Read a run's votes, those on the seeds out of fold among them."""
    if not (folder / "images.parquet").exists():
        raise RunError(f"{folder} has no images.parquet; {AGAIN}.")
    if config.images not in (None, hash_of_images(folder)):
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
    if config.options.votes is None:
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
    paths = [folder / f"{stem}.parquet", folder / f"{stem}.csv"]
    write_labels(paths, ids, labels, class_names=class_names)
    return paths


def write_labels(
    paths: Sequence[Path],
    ids: Sequence[str],
    labels: Labels,
    *,
    class_names: Sequence[str],
) -> None:
    """Write labels as tables: CSV to paths that end in .csv, Parquet to others."""
    for path in paths:
        tables = (
            _labels_table(ids[rows], labels.rows(rows), class_names)
            for rows in row_groups(len(labels.labels))
        )
        write_tables(path, tables)


def _labels_table(
    ids: Sequence[str], labels: Labels, class_names: Sequence[str]
) -> pa.Table:
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
    return pa.table(columns)


def load_labels(
    folder: Path, config: RunConfig, ids: Sequence[str] | pa.ChunkedArray
) -> Labels:
    """Read labels.parquet; what is only in summary.json is not among it.

    Parameters
    ----------
    ids : n image ids, the order in which they must be in the file.
    """
    names = pa.array([*config.class_names], pa.string())
    if not isinstance(ids, pa.ChunkedArray):
        ids = pa.chunked_array([pa.array(ids, pa.string())])
    path = folder / "labels.parquet"
    with reading(path, AGAIN):
        table = pq.read_table(path, page_checksum_verification=True)
        if not table["image_id"].equals(ids):
            raise ValueError("it is not of the images in images.parquet")
        named, voted = (
            _classes_of(table[column], names) for column in ("label", "vote_label")
        )
        proba = np.stack(
            [table[f"p_{name}"].to_numpy() for name in config.class_names], axis=1
        )
        confidence = table["vote_confidence"].to_numpy()
        is_seed = table["seed"].to_numpy().astype(bool)
        if not (np.isfinite(proba).all() and proba.min(initial=0) >= 0):
            raise ValueError("a probability is not a number from 0 on")
    return Labels(
        named,
        proba.astype(np.float64),
        is_seed,
        vote_labels=voted,
        vote_confidence=np.nan_to_num(confidence),
        chosen=config.options.aggregator,
    )


def _classes_of(cells: pa.ChunkedArray, names: pa.Array) -> NDArray[np.int64]:
    """Turn names into classes, and empty cells into -1."""
    found = pc.index_in(cells, value_set=names)
    if found.null_count != cells.null_count:
        raise ValueError("it has labels of other classes")
    return np.asarray(found.fill_null(ABSTAIN).to_numpy(), np.int64)


def labels_key(run: Path) -> str:
    """Hash the labels of a run: what is about them is not about others."""
    return hash_of_file(run / "labels.parquet")


def _named(labels: NDArray[np.int64], names: pa.Array) -> pa.Array:
    """Turn classes into names; the cell of -1, no label, stays empty."""
    return names.take(pa.array(labels, pa.int32(), mask=labels == ABSTAIN))


def _share(values: NDArray[np.float64], labels: NDArray[np.int64]) -> pa.Array:
    return pa.array(values, pa.float32(), mask=labels == ABSTAIN)


def write_tables(path: Path, tables: Iterable[pa.Table]) -> None:
    """Write one table or more below one another, whole or not at all.

    It is CSV if the path ends in .csv, else Parquet with a row group for each table.
    """
    begin = partial(pq.ParquetWriter, write_page_checksum=True)
    if path.suffix.lower() == ".csv":
        begin, tables = pa_csv.CSVWriter, map(table_to_cells, tables)
    parts = iter(tables)
    first = next(parts)
    with (
        written_whole(path) as unfinished,
        unfinished.open("wb") as file,  # Arrow opens no path that is not UTF-8
        begin(file, first.schema) as writer,
    ):
        for part in chain([first], parts):
            writer.write_table(part)


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
    m, k = len(config.lfs), len(config.class_names)
    is_soft = any(lf.soft for lf in config.lfs)
    matrices = VoteMatrices(len(keys), m, k, is_soft=is_soft, blank=store.blank)
    blocks = store.stored_layout(keys)
    if blocks is None:
        raise _votes_lost(folder)
    distinct = join_blocks(blocks).rows
    of_pixels = []
    for j, lf in enumerate(config.lfs):
        if lf.block is None:
            rows, name = distinct, join_blocks(blocks).id
            of_pixels.append(j)
        else:  # it reads metadata, and has voted on copies too
            rows, name = with_copies(distinct, keys)[0], lf.block
        start = 0
        for votes in load_column(store, lf.key, name, blocks):
            part = rows[start : start + len(votes)]
            _check_votes(folder, lf, votes, len(part), config)
            matrices.place(lf, votes, part, j)
            start += len(votes)
        if start != len(rows):
            raise _votes_lost(folder)
    if len(distinct) < len(keys):
        matrices.copy_rows(originals(keys), of_pixels)
    return matrices.votes(tuple(lf.name for lf in config.lfs))


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
    names = pa.array([*config.seed_images], pa.string())
    found = pc.index_in(names, value_set=index.column("image_id"))
    if found.null_count:
        strange = names.filter(found.is_null())[0].as_py()
        raise RunError(
            f"{folder / 'run.json'} names the seed {strange!r}, which is not in "
            f"images.parquet; {AGAIN}."
        )
    rows = np.asarray(found, np.int64)
    labels = np.asarray(config.seed_labels, np.int64)
    if config.options.votes is not None:
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
    elif np.ndim(votes) == 2:
        fits = votes.shape == (n, len(classes)) and votes.dtype == np.bool_
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
