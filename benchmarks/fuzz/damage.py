"""What is done to files: to their bytes, or to what is in them."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load, save

_ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 0.5, 1e308, float("nan"), float("inf"), 10**30, 2**40),
    *("", "x", "..", "\udcff", "\x1b]0;t\x07", "a" * 5000, [], {}, [[]], [1], {"a": 1}),
)
_TEXTS = (b"", b"\xff\xfe\x00", b"{}", b"[]", b"null", b"3", b'"', b"[" * 20_000)


def damaged(rng: np.random.Generator, path: Path) -> str:
    """Damage a file; says how."""
    of_content = {
        ".json": _json,
        ".jsonl": _lines,
        ".parquet": _table,
        ".npz": _arrays,
        ".npy": _arrays,
        ".safetensors": _tensors,
        ".csv": _lines,
    }.get(path.suffix)
    if of_content is not None and rng.random() < 0.5:
        return of_content(rng, path)
    ways: tuple[Callable[[np.random.Generator, Path], str], ...] = (
        *(
            _cut,
            _flip,
            _flip,
            _zeros,
            _noise,
            _other,
            _longer,
            _folder,
            _gone,
            _swapped,
        ),
    )
    return ways[rng.integers(len(ways))](rng, path)


def _cut(rng: np.random.Generator, path: Path) -> str:
    data = path.read_bytes()
    end = int(rng.choice([0, 1, len(data) - 1, rng.integers(len(data) + 1)]))
    path.write_bytes(data[: max(end, 0)])
    return f"cut at byte {end} of {len(data)}"


def _flip(rng: np.random.Generator, path: Path) -> str:
    data = bytearray(path.read_bytes())
    places = rng.integers(max(1, len(data)), size=int(rng.choice([1, 1, 5, 50])))
    for place in places:
        if data:
            data[place] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)
    return f"bits flipped at {places[:5].tolist()}"


def _zeros(rng: np.random.Generator, path: Path) -> str:
    data = bytearray(path.read_bytes())
    start = int(rng.integers(len(data) + 1))
    data[start : start + 512] = bytes(len(data[start : start + 512]))
    path.write_bytes(data)
    return f"zeros from byte {start}"


def _noise(rng: np.random.Generator, path: Path) -> str:
    path.write_bytes(rng.bytes(int(rng.integers(5000))))
    return "noise"


def _other(rng: np.random.Generator, path: Path) -> str:
    text = _TEXTS[rng.integers(len(_TEXTS))]
    path.write_bytes(text)
    return f"holds {text[:10]!r}"


def _longer(rng: np.random.Generator, path: Path) -> str:
    data = path.read_bytes()
    path.write_bytes(data + data[: int(rng.integers(len(data) + 1))])
    return "its beginning follows its end"


def _folder(rng: np.random.Generator, path: Path) -> str:
    path.unlink()
    path.mkdir()
    return "is a folder"


def _gone(rng: np.random.Generator, path: Path) -> str:
    path.unlink()
    return "is gone"


def _swapped(rng: np.random.Generator, path: Path) -> str:
    beside = [each for each in sorted(path.parent.rglob("*")) if each.is_file()]
    other = beside[rng.integers(len(beside))]
    if other != path:
        shutil.copy(other, path)
    return f"is a copy of {other.name}"


def _json(rng: np.random.Generator, path: Path) -> str:
    held = json.loads(path.read_text())
    if isinstance(held, dict) and rng.random() < 0.5:
        held.pop("checksum", None)
    told = "nothing"
    for _ in range(int(rng.choice([1, 1, 3]))):
        owner, key = _place(rng, held)
        if owner is None:
            break
        if rng.random() < 0.3:
            del owner[key]
            told = f"lacks {key!r}"
        else:
            value = _ODD[rng.integers(len(_ODD))]
            owner[key] = value
            told = f"{key!r} is {str(value)[:20]!r}"
    path.write_text(json.dumps(held), encoding="utf-8", errors="surrogatepass")
    return told


def _place(rng: np.random.Generator, held: Any) -> tuple[Any, Any]:
    """Choose a key of a dict, or a place of a list, at any depth."""
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            places.append((value, key))
            if isinstance(value[key], (dict, list)):
                walk(value[key])

    if isinstance(held, (dict, list)):
        walk(held)
    return places[rng.integers(len(places))] if places else (None, None)


def _lines(rng: np.random.Generator, path: Path) -> str:
    lines = path.read_text().splitlines() or [""]
    place = int(rng.integers(len(lines)))
    odd = str(_ODD[rng.integers(len(_ODD))])
    way = int(rng.integers(6))
    if way == 0:
        lines[place] = lines[place][: int(rng.integers(len(lines[place]) + 1))]
    elif way == 1:
        lines[place] = odd
    elif way == 2:
        lines.insert(place, lines[place])
    elif way == 3:
        cells = lines[place].split(",")
        cells[rng.integers(len(cells))] = odd
        lines[place] = ",".join(cells)
    elif way == 4:
        lines[0] = lines[0].replace("step", "stop").replace("label", "lable")
    else:
        del lines[place]
    text = "\n".join(lines)
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    return f"line {place + 1}: way {way}, {odd[:20]!r}"


def _table(rng: np.random.Generator, path: Path) -> str:
    table = pq.read_table(path)
    name = table.column_names[rng.integers(table.num_columns)]
    place = table.column_names.index(name)
    way = int(rng.integers(5))
    if way == 0:
        table = table.drop_columns([name])
    elif way == 1:
        table = table.set_column(place, name, pa.array(["x"] * table.num_rows))
    elif way == 2:
        table = table.set_column(place, name, pa.nulls(table.num_rows))
    elif way == 3:
        table = table.slice(0, int(rng.integers(table.num_rows + 1)))
    else:
        table = table.take(pa.array(rng.permutation(table.num_rows)))
    pq.write_table(table, path)
    return f"way {way} of column {name}"


def _arrays(rng: np.random.Generator, path: Path) -> str:
    data = path.read_bytes()
    stored = np.load(io.BytesIO(data), allow_pickle=False)
    held = {"": stored} if isinstance(stored, np.ndarray) else dict(stored)
    name = [*held][rng.integers(len(held))]
    value, way = held[name], int(rng.integers(5))
    if way == 0 and name:
        del held[name]
    elif way == 1:
        held[name] = value.ravel()[: int(rng.integers(value.size + 1))]
    elif way == 2:
        held[name] = value.astype(str)
    elif way == 3:
        held[name] = np.full_like(value, 0) if value.dtype.kind in "US" else value + 1
    else:
        held[name] = value.T
    buffer = io.BytesIO()
    if name:
        np.savez(buffer, allow_pickle=False, **held)
    else:
        np.save(buffer, held[name], allow_pickle=False)
    # Half of them with the end of the file as it was.
    end = data[-12:] if rng.random() < 0.5 else b""
    path.write_bytes(buffer.getvalue() + end)
    return f"way {way} of array {name!r}"


def _tensors(rng: np.random.Generator, path: Path) -> str:
    held = dict(load(path.read_bytes()))
    name = sorted(held)[rng.integers(len(held))]
    value, way = held[name].copy(), int(rng.integers(5))
    if way == 0:
        del held[name]
    elif way == 1 and value.size:
        value.reshape(-1)[rng.integers(value.size)] = (
            np.nan if value.dtype.kind == "f" else 9
        )
        held[name] = value
    elif way == 2:
        held[name] = value.reshape(-1)
    elif way == 3:
        held[name] = value.astype(np.float64)
    else:
        held[f"{name}.more"] = value
    path.write_bytes(save(held))
    return f"way {way} of {name}"
