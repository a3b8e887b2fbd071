"""Files of images are read whole, or it is said what is wrong with them."""

import gzip
import io
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lfkit.data.shards import list_shards, open_shard
from lfkit.errors import InputError


def _png(value):
    file = io.BytesIO()
    Image.new("L", (4, 4), value).save(file, "PNG")
    return file.getvalue()


PICTURES = {f"d/{value}.png": _png(value) for value in range(6)}
FOURTH = 3 * 1024  # a header and a block of content each


def _tar(pictures=PICTURES, links=(), **how):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", **how) as archive:
        for name, data in pictures.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for name, kind, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
    return file.getvalue()


def _open(path, data=None):
    if data is not None:
        path.write_bytes(data)
    (shard,) = list_shards(str(path), 100)
    return open_shard(shard, (4, 4, 1), 65535)


def _values(source):
    """Give what each image shows: its one gray value, or None."""
    found = source.read(np.arange(len(source)))
    shown = [int(image.max()) for image in found.pixels]
    return {
        name: None if row in found.problems else shown[row]
        for row, name in enumerate(source.ids)
    }


def _damaged(data, at):
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


WHOLE = _tar()
PACKED = gzip.compress(WHOLE)
DAMAGED = {
    "header.tar": _damaged(WHOLE, FOURTH + 5),
    "cut between members.tar": WHOLE[:FOURTH],
    "cut in a member.tar": WHOLE[: FOURTH + 600],
    "without an end.tar": WHOLE[: 6 * 1024],
    "sum.tar.gz": _damaged(PACKED, len(PACKED) - 6),
    "length.tgz": _damaged(PACKED, len(PACKED) - 2),
    "cut.tar.gz": PACKED[:-30],
    "joined.tar": WHOLE + WHOLE,
    "no image.tar": _tar({"a.npy": b"x", "b.txt": b"y"}),
    "zero.tar": b"",
    "no tar.tar": b"PNG" * 1000,
    "zero.parquet": b"",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_named_in_one_sentence(tmp_path, name):
    with pytest.raises(InputError) as raised:
        _open(tmp_path / name, DAMAGED[name])
    assert str(tmp_path / name) in str(raised.value)
    assert str(raised.value).count(". ") == 0
    assert len(str(raised.value)) < len(str(tmp_path)) + 150


@pytest.mark.parametrize("name", ["a.tar", "b.TAR", "c.tar.gz", "d.tgz"])
def test_all_images_of_a_whole_file_are_read(tmp_path, name):
    source = _open(tmp_path / name, PACKED if name.endswith("gz") else WHOLE)
    assert _values(source) == {name: row for row, name in enumerate(PICTURES)}


def test_a_tar_without_members_is_whole(tmp_path):
    assert len(_open(tmp_path / "a.tar", _tar({}))) == 0


def test_links_in_a_tar_are_read_or_named(tmp_path):
    links = [
        ("hard.png", tarfile.LNKTYPE, "d/4.png"),
        ("of a link.png", tarfile.LNKTYPE, "hard.png"),
        ("nowhere.png", tarfile.LNKTYPE, "none.png"),
        ("itself.png", tarfile.LNKTYPE, "itself.png"),
        ("symbolic.png", tarfile.SYMTYPE, "d/4.png"),
    ]
    source = _open(tmp_path / "a.tar", _tar(links=links))
    assert list(_values(source).values()) == [0, 1, 2, 3, 4, 5, 4, 4, None, None, None]
    assert set(source.known_problems) == {8, 9, 10}
    assert "d/4.png" in source.known_problems[10]


def test_a_name_that_is_no_utf8_loses_no_image(tmp_path):
    pictures = {"b\xe9.png": _png(7), "c.png": _png(8)}
    data = _tar(pictures, format=tarfile.GNU_FORMAT, encoding="latin-1")
    source = _open(tmp_path / "a.tar", data)
    assert _values(source) == {"b\\xe9.png": 7, "c.png": 8}
    source.table()


STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
VIEWS = pa.struct([("bytes", pa.binary_view()), ("path", pa.string_view())])
CELLS = [*PICTURES.values()][:2]
ROWS = [{"bytes": cell, "path": f"{row}.png"} for row, cell in enumerate(CELLS)]
COLUMNS = {
    "binary": pa.array(CELLS, pa.binary()),
    "large": pa.array(CELLS, pa.large_binary()),
    "view": pa.array(CELLS, pa.binary_view()),
    "dictionary": pa.array([*CELLS, *CELLS], pa.binary()).dictionary_encode(),
    "struct": pa.array(ROWS, STRUCT),
    "views": pa.array(ROWS, VIEWS),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_images_in_parquet_are_read_whatever_their_type(tmp_path, name):
    pq.write_table(pa.table({"image": COLUMNS[name]}), tmp_path / "a.parquet")
    values = [*_values(_open(tmp_path / "a.parquet")).values()]
    assert values == [0, 1] * (len(values) // 2)


def test_rows_without_an_image_are_problems(tmp_path):
    cells = pa.array([ROWS[0], None, {"bytes": None, "path": "a"}, ROWS[1]], STRUCT)
    pq.write_table(pa.table({"image": cells}), tmp_path / "a.parquet")
    source = _open(tmp_path / "a.parquet")
    assert _values(source) == {"0.png": 0, "1": None, "a": None, "1.png": 1}


def test_columns_of_other_types_are_named(tmp_path):
    tables = (
        {"image": pa.array(["a.png"])},
        {"image": COLUMNS["binary"], "image_id": pa.array([{"a": 1}, {"a": 2}])},
    )
    for table in tables:
        pq.write_table(pa.table(table), tmp_path / "a.parquet")
        with pytest.raises(InputError, match=r"a\.parquet is ") as raised:
            _open(tmp_path / "a.parquet")
        assert "image" in str(raised.value)
