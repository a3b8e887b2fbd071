"""Files of images are read whole, or it is said what is wrong with them."""

import gzip
import io
import os
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lfkit.data.image_source import MetadataField
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
    "no parquet.parquet": b"PAR1" + bytes(100),
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


def _bomb(n_members, n_bytes, kind=tarfile.REGTYPE):
    """Give a small .tar.gz of members that are zeros, with an image at its end."""
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as packed:
        for number in range(n_members):
            member = tarfile.TarInfo(f"{number}.png")
            member.type, member.size = kind, n_bytes
            packed.write(member.tobuf(tarfile.GNU_FORMAT))
            for _ in range(n_bytes >> 20):
                packed.write(bytes(1 << 20))
        packed.write(_tar({"last.png": _png(5)}))
    return file.getvalue()


def test_an_image_that_unpacks_without_bound_is_a_row_with_a_reason(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("lfkit.data.shards.tar_images.MAX_BYTES", 4 << 20)
    monkeypatch.setattr("lfkit.data.datasets.image_limits._UNPACKED_AT_LEAST", 9 << 20)
    source = _open(tmp_path / "long.tar.gz", _bomb(1, 8 << 20))
    assert _values(source) == {"0.png": None, "last.png": 5}
    assert "more than 4" in source.known_problems[0]
    source = _open(tmp_path / "many.tar.gz", _bomb(4, 4 << 20))
    # Two of zeros are unpacked, and are no images; the others find too little left.
    assert [*_values(source).values()] == [None] * 4 + [5]
    assert [row for row in range(5) if row in source.known_problems] == [2, 3]
    assert "many times its size" in source.known_problems[3]
    name_of_zeros = _bomb(1, 8 << 20, tarfile.GNUTYPE_LONGNAME)
    with pytest.raises(InputError, match="headers is too long"):
        _open(tmp_path / "name.tar.gz", name_of_zeros)


@pytest.mark.parametrize("n_headers", [7, 8])
def test_headers_count_as_what_a_file_unpacks_to(tmp_path, monkeypatch, n_headers):
    monkeypatch.setattr("lfkit.data.datasets.image_limits._UNPACKED_AT_LEAST", 8 << 20)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for number in range(n_headers):
            member = tarfile.TarInfo(f"{number}.png")
            member.size = len(PICTURES["d/5.png"])
            member.pax_headers = {"comment": "A" * (1 << 20)}
            archive.addfile(member, io.BytesIO(PICTURES["d/5.png"]))
    assert len(file.getvalue()) < 100_000
    if n_headers == 7:
        assert len(_open(tmp_path / "a.tar.gz", file.getvalue())) == 7
    else:
        with pytest.raises(InputError, match="unpacks to many times its size"):
            _open(tmp_path / "a.tar.gz", file.getvalue())


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4], [0] * 5], ids=["other", "the same"])
def test_parquet_that_unpacks_without_bound_is_refused(tmp_path, monkeypatch, rows):
    monkeypatch.setattr("lfkit.data.datasets.image_limits._UNPACKED_AT_LEAST", 4 << 20)
    cells = [bytes([row]) + bytes(1_000_000) for row in rows]
    table = pa.table({"image": pa.array(cells, pa.binary())})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd")
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    with pytest.raises(InputError, match=r"a\.parquet unpacks to more than"):
        _open(tmp_path / "a.parquet")


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


def _write_images(folder, names=("a/0.png", "a/1.png", "b/2.png", "b/3.png")):
    for value, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(_png(value))


def _folders(data, size):
    """Give what functions read as the folder of each image."""
    found = []
    for shard in list_shards(str(data), size):
        source = open_shard(shard, (4, 4, 1), 65535)
        rows = np.arange(len(source))
        found += source.metadata(MetadataField("folder", ""), rows).tolist()
    return found


def test_folder_names_depend_on_no_shard_and_no_spelling(tmp_path, monkeypatch):
    _write_images(tmp_path / "imgs")
    names = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*.png"))
    (tmp_path / "list.csv").write_text("path\n" + "".join(f"{n}\n" for n in names))
    (tmp_path / "absolute.csv").write_text(
        "path\n" + "".join(f"{tmp_path / n}\n" for n in names)
    )
    monkeypatch.chdir(tmp_path)
    for data in ("imgs", "imgs/", tmp_path / "imgs/*/*.png", "./imgs/**/*.png"):
        for size in (1, 2, 3, 9):
            assert _folders(data, size) == ["a", "a", "b", "b"]
    for size in (1, 2, 9):
        assert _folders("list.csv", size) == ["imgs/a", "imgs/a", "imgs/b", "imgs/b"]
        assert _folders("absolute.csv", size) == ["a", "a", "b", "b"]
    (shard,) = list_shards("imgs/*/*.png", 9)
    assert shard.ids == ("a/0.png", "a/1.png", "b/2.png", "b/3.png")


def test_folders_in_tars_do_not_depend_on_the_other_images_there(tmp_path):
    (tmp_path / "0.tar").write_bytes(_tar({"/x/a/0.png": _png(0)}))
    (tmp_path / "1.tar").write_bytes(_tar({"/x/b/1.png": _png(1), "/x/2.png": b""}))
    assert _folders(tmp_path, 9) == ["x/a", "x/b", "x"]


def test_pictures_whose_names_are_no_utf8_are_read(tmp_path):
    for place in (os.fsencode(tmp_path) + b"/b\xe9.png", tmp_path / "c.png"):
        with open(place, "wb") as file:
            file.write(_png(7))
    for data in (tmp_path, tmp_path / "*.png"):
        (shard,) = list_shards(str(data), 9)
        source = open_shard(shard, (4, 4, 1), 65535)
        assert _values(source) == {"b\\xe9.png": 7, "c.png": 7}


def _identities(data):
    shards = list_shards(str(data), 2)
    return [shard.listing for shard in shards], [shard.identity for shard in shards]


def test_a_shard_is_the_same_by_place_size_and_time(tmp_path, monkeypatch):
    for name in ("A", "B"):
        _write_images(tmp_path / name / "imgs")
    monkeypatch.chdir(tmp_path / "A")
    here = _identities("imgs")
    for data in ("imgs/", "./imgs", tmp_path / "A" / "imgs", "../A/imgs"):
        assert _identities(data) == here
    monkeypatch.chdir(tmp_path / "B")
    assert _identities("imgs")[0] != here[0]
    picture = tmp_path / "A" / "imgs" / "b" / "3.png"
    os.utime(picture, ns=(1, picture.stat().st_mtime_ns + 1))
    again = _identities(tmp_path / "A" / "imgs")
    assert again[0] == here[0]
    assert [a == b for a, b in zip(again[1], here[1], strict=True)] == [True, False]


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.tar", "memory"])
def test_a_file_that_is_written_anew_is_another_shard(tmp_path, name):
    images, path = np.zeros((2, 4, 4), np.uint8), tmp_path / name
    if name == "memory":
        memory = pytest.importorskip("fsspec").filesystem("memory")
        memory.pipe_file("/written anew/a.tar", WHOLE)
        before = _identities("memory://written anew/")
        assert _identities("memory://written anew") == before
        memory.pipe_file("/written anew/a.tar", WHOLE + bytes(512))
        assert _identities("memory://written anew")[0] == before[0]
        assert _identities("memory://written anew")[1] != before[1]
        return
    writes = {".npy": np.save, ".npz": lambda p, x: np.savez(p, images=x)}
    write = writes.get(path.suffix, lambda p, x: p.write_bytes(WHOLE))
    write(path, images)
    before = _identities(path)
    write(path, images + 1)
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
    assert _identities(path)[0] == before[0]
    assert _identities(path)[1] != before[1]


def test_files_of_several_kinds_are_refused(tmp_path):
    _write_images(tmp_path)
    for name in ("backup.tar", "b/deep.tar"):
        (tmp_path / name).write_bytes(WHOLE)
        for data in (tmp_path, tmp_path / "**"):
            with pytest.raises(InputError) as raised:
                list_shards(str(data), 9)
            assert str(tmp_path / name) in str(raised.value)
        assert len(list_shards(str(tmp_path / "**" / "*.tar"), 9)) == 1
        (shard,) = list_shards(str(tmp_path / "**" / "*.png"), 9)
        assert shard.n_images == 4
        (tmp_path / name).unlink()


def test_files_in_subfolders_are_found_and_hidden_ones_are_not(tmp_path):
    pq.write_table(pa.table({"image": COLUMNS["binary"]}), tmp_path / "0.parquet")
    (tmp_path / "data").mkdir()
    for number in range(2):
        data = (tmp_path / "0.parquet").read_bytes()
        (tmp_path / "data" / f"train-{number}.parquet").write_bytes(data)
    (tmp_path / "0.parquet").unlink()
    assert len(list_shards(str(tmp_path), 9)) == 2
    tars = tmp_path / "tars"
    (tars / "a folder.tar").mkdir(parents=True)
    (tars / "._0.tar").write_bytes(b"no tar")
    (tars / "0.tar").write_bytes(WHOLE)
    for data in (tars, tars / "*"):
        assert [shard.place for shard in list_shards(str(data), 9)] == [
            str(tars / "0.tar")
        ]


def test_parquet_without_images_is_told_by_its_columns(tmp_path):
    pq.write_table(pa.table({"img": COLUMNS["binary"]}), tmp_path / "a.parquet")
    for data in (tmp_path, tmp_path / "a.parquet", tmp_path / "*.parquet"):
        with pytest.raises(InputError, match=r"a\.parquet has columns img.*'image'"):
            list_shards(str(data), 9)
