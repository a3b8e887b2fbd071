"""Votes and features on disk."""

import contextlib
import errno
import multiprocessing
import pickle
import shutil

import numpy as np
import pyarrow as pa
import pytest
from assertions import assert_refused

from lfkit.data.image_source import KEY_BYTES
from lfkit.errors import RunError
from lfkit.runs.store import (
    MemoryStore,
    RunStore,
    block_size,
    locked,
    make_block,
    write_atomically,
)


def keys(*contents):
    """One made-up content hash per image: equal letters, equal images."""
    letters = [[ord(c)] * KEY_BYTES for c in contents]
    return np.array(letters, np.uint8).reshape(-1, KEY_BYTES)


def rows_of(blocks):
    return [block.rows.tolist() for block in blocks]


@pytest.fixture(params=["memory", "run"])
def store(request, tmp_path):
    return MemoryStore() if request.param == "memory" else RunStore(tmp_path)


def test_what_was_saved_is_loaded(store):
    assert store.load("votes", "key", "block") is None
    assert not store.has("votes", "key", "block")
    arrays = {
        "votes": np.array([1, -1], np.int16),
        "half": np.array([[0.5]], np.float16),
        "text": np.array(["é", ""]),
        "none": np.zeros((0, 3), np.float32),
    }
    store.save("votes", "key", "block", arrays)
    assert store.has("votes", "key", "block")
    found = store.load("votes", "key", "block")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


@pytest.mark.parametrize(
    "array",
    [
        np.arange(-1, 6, dtype=np.int16),
        np.linspace(0, 1, 14, dtype=np.float16).reshape(7, 2),
        np.arange(14).reshape(7, 2) % 3 == 0,
        np.arange(28, dtype=np.uint8).reshape(7, 4),
    ],
    ids=["votes", "soft", "sets", "keys"],
)
def test_what_was_saved_in_parts_is_loaded_in_parts(store, array):
    assert store.load_parts("votes", "key", "all") is None
    store.save_parts("votes", "key", "all", (part for part in np.split(array, [3, 4])))
    found = np.concatenate(store.load_parts("votes", "key", "all"))
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype
    store.forget("votes", "key")
    assert store.load_parts("votes", "key", "all") is None


def test_no_parts_are_loaded_as_none(store):
    store.save_parts("votes", "key", "all", [])
    assert store.load_parts("votes", "key", "all") == []


def test_a_layout_that_lost_all_images_is_read(tmp_path):
    RunStore(tmp_path).layout(keys("a", "b", "c"), 2)
    for _ in range(2):
        assert RunStore(tmp_path).layout(keys(), 2) == []


def test_parts_are_mapped_from_batches_that_arrow_reads(tmp_path):
    store = RunStore(tmp_path)
    store.save_parts("votes", "key", "all", [np.arange(3, dtype=np.int16)] * 30_000)
    parts = store.load_parts("votes", "key", "all")
    assert [len(part) for part in parts] == [65_538, 24_462]
    assert not any(part.flags.writeable or part.flags.owndata for part in parts)
    with pa.ipc.open_stream(tmp_path / "votes" / "key" / "all.arrow") as stream:
        assert stream.read_all()["values"].to_pylist()[:4] == [0, 1, 2, 0]


@pytest.mark.parametrize("kept", [0, 0.3, 0.7, 0.99])
def test_parts_that_are_cut_off_are_not_read(tmp_path, kept):
    store = RunStore(tmp_path)
    store.save_parts("votes", "key", "all", [np.arange(500, dtype=np.int16)])
    path = tmp_path / "votes" / "key" / "all.arrow"
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with contextlib.suppress(RunError):
        assert store.load_parts("votes", "key", "all") is None


def check_that_flips_are_noticed(path, load):
    whole = path.read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with contextlib.suppress(RunError):
            assert load() is None


def test_a_flipped_bit_anywhere_in_parts_is_noticed(tmp_path):
    store = RunStore(tmp_path)
    store.save_parts("votes", "key", "all", [np.arange(9, dtype=np.int16)])
    path = tmp_path / "votes" / "key" / "all.arrow"
    check_that_flips_are_noticed(path, lambda: store.load_parts("votes", "key", "all"))


def test_a_large_array_of_a_run_lies_in_its_folder_without_a_name(tmp_path):
    large = RunStore(tmp_path).blank((2**25 + 1, 2), np.int8)
    assert isinstance(large, np.memmap)
    large[-1] = 5
    assert large[[0, -1]].tolist() == [[0, 0], [5, 5]]
    assert list(tmp_path.iterdir()) == []
    assert not isinstance(RunStore(tmp_path).blank((3, 2), np.int8), np.memmap)


def test_kinds_keys_and_names_are_apart(store):
    store.save("votes", "key", "block", {"a": np.array(1)})
    assert store.load("features", "key", "block") is None
    assert store.load("votes", "other", "block") is None
    assert store.load("votes", "key", "other") is None


def test_a_second_save_replaces_the_first(store):
    for value in (1, 2):
        store.save("votes", "key", "block", {"a": np.array(value)})
    assert store.load("votes", "key", "block")["a"] == 2


def test_a_file_of_the_store_lies_under_its_kind_and_key(tmp_path):
    RunStore(tmp_path).save("votes", "key", "block", {"a": np.array(1)})
    files = [p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()]
    assert [str(file) for file in files] == ["votes/key/block.npz"]


def test_copies_share_the_row_of_the_first(store):
    assert rows_of(store.layout(keys("a", "b", "a", "c", "b"), 10)) == [[0, 1, 3]]


def test_images_whose_keys_begin_alike_are_no_copies(store):
    alike = keys("a", "a", "a")
    alike[1, -1] = 0
    assert rows_of(store.layout(alike, 10)) == [[0, 1]]


def test_blocks_have_at_most_so_many_images(store):
    assert rows_of(store.layout(keys(*"abcde"), 2)) == [[0, 1], [2, 3], [4]]


def test_no_images_make_no_blocks(store):
    assert store.layout(np.zeros((0, KEY_BYTES), np.uint8), 2) == []


def test_a_block_is_named_by_its_images_in_order():
    one, other = keys(*"xab"), keys(*"ab")
    rows = np.array([1, 2]), np.array([0, 1])
    assert make_block(rows[0], one).id == make_block(rows[1], other).id
    assert make_block(rows[1][::-1], other).id != make_block(rows[1], other).id


def test_larger_images_make_smaller_blocks():
    assert block_size((28, 28, 1)) == 1024
    assert 1 < block_size((512, 512, 3)) < 1024
    assert block_size((50_000, 50_000, 3)) == 1


def test_earlier_blocks_stay_and_new_images_follow(tmp_path):
    before = RunStore(tmp_path).layout(keys(*"abc"), 2)
    after = RunStore(tmp_path).layout(keys(*"xcybza"), 2)
    assert rows_of(after) == [[5, 3], [1], [0, 2], [4]]
    assert [b.id for b in after[:2]] == [b.id for b in before]


def test_another_block_size_leaves_earlier_blocks_alone(tmp_path):
    before = RunStore(tmp_path).layout(keys(*"abcd"), 2)
    after = RunStore(tmp_path).layout(keys(*"abcdefg"), 100)
    assert rows_of(after) == [[0, 1], [2, 3], [4, 5, 6]]
    assert [b.id for b in after[:2]] == [b.id for b in before]


def test_a_block_that_lost_an_image_is_another_block(tmp_path):
    before = RunStore(tmp_path).layout(keys(*"abcd"), 2)
    after = RunStore(tmp_path).layout(keys(*"acd"), 2)
    assert rows_of(after) == [[0], [1, 2]]
    assert after[0].id != before[0].id
    assert after[1].id == before[1].id


def test_a_stored_layout_is_read_and_never_written(tmp_path):
    store = RunStore(tmp_path)
    assert store.stored_layout(keys(*"ab")) is None
    assert list(tmp_path.iterdir()) == []
    before = store.layout(keys(*"abcd"), 2)
    written = (tmp_path / "blocks.arrow").read_bytes()
    found = store.stored_layout(keys(*"dbacb"))
    assert rows_of(found) == [[2, 1], [3, 0]]
    assert [b.id for b in found] == [b.id for b in before]
    assert rows_of(store.stored_layout(keys(*"cd"))) == [[0, 1]]
    assert store.stored_layout(keys(*"abcde")) is None
    assert (tmp_path / "blocks.arrow").read_bytes() == written


def test_a_run_that_is_killed_while_writing_leaves_no_half_file(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "file"
    write_atomically(path, b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr("os.replace", full)
    with assert_refused(OSError, names="no space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [*path.parent.iterdir()] == [path]


def write_until_killed(path):
    while True:
        write_atomically(path, b"x" * 2_000_000)


def test_a_killed_process_leaves_a_whole_file(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, b"y" * 2_000_000)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=write_until_killed, args=(path,))
    process.start()
    while path.read_bytes()[:1] == b"y":
        assert process.is_alive()
    for _ in range(50):
        assert len(path.read_bytes()) == 2_000_000
    process.kill()
    process.join()
    assert len(path.read_bytes()) == 2_000_000


@pytest.mark.parametrize("kept", [0, 2, 10, 300, -20])
def test_a_truncated_file_is_named(tmp_path, kept):
    store = RunStore(tmp_path)
    store.save("votes", "key", "block", {"votes": np.arange(500)})
    path = tmp_path / "votes" / "key" / "block.npz"
    path.write_bytes(path.read_bytes()[:kept])
    with assert_refused(RunError, names="block.npz"):
        store.load("votes", "key", "block")


def test_flipped_bits_are_noticed(tmp_path):
    store = RunStore(tmp_path)
    store.save("votes", "key", "block", {"votes": np.arange(500)})
    path = tmp_path / "votes" / "key" / "block.npz"
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    with assert_refused(RunError, names=["block.npz", "CRC-32"]):
        store.load("votes", "key", "block")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04"])
def test_a_truncated_layout_is_named(tmp_path, data):
    (tmp_path / "blocks.arrow").write_bytes(data)
    with assert_refused(RunError, names="blocks.arrow"):
        RunStore(tmp_path).layout(keys("a"), 2)


def test_a_single_array_is_no_archive(tmp_path):
    (tmp_path / "votes" / "key").mkdir(parents=True)
    with open(tmp_path / "votes" / "key" / "block.npz", "wb") as handle:
        np.save(handle, np.arange(3))
    with assert_refused(RunError, names="block.npz"):
        RunStore(tmp_path).load("votes", "key", "block")


def test_what_another_lfkit_wrote_is_not_read(tmp_path):
    store = RunStore(tmp_path)
    np.savez(tmp_path / "blocks.arrow", other=np.arange(3))
    assert len(store.layout(keys("a"), 2)) == 1
    (tmp_path / "features" / "key").mkdir(parents=True)
    np.save(tmp_path / "features" / "key" / "block.npy", np.arange(3))
    assert not store.has("features", "key", "block")
    assert store.load("features", "key", "block") is None


@pytest.mark.parametrize("name", ["values", "votes"])
def test_a_flipped_bit_anywhere_is_noticed(tmp_path, name):
    store = RunStore(tmp_path)
    store.save("features", "key", "block", {name: np.arange(40, dtype=np.float32)})
    [path] = (tmp_path / "features" / "key").iterdir()
    check_that_flips_are_noticed(path, lambda: store.load("features", "key", "block"))


def test_a_block_under_another_name_is_noticed(tmp_path):
    store = RunStore(tmp_path)
    for key in ("one", "other"):
        store.save("votes", key, "block", {"votes": np.full(4, len(key))})
    one, other = (tmp_path / "votes" / key / "block.npz" for key in ("one", "other"))
    shutil.copy(one, other)
    with assert_refused(RunError, names="block.npz"):
        store.load("votes", "other", "block")


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_pickles_are_neither_written_nor_read(tmp_path):
    store = RunStore(tmp_path)
    with assert_refused(ValueError, names="Object arrays"):
        store.save("votes", "key", "block", {"votes": np.array([Trap()])})
    path = tmp_path / "votes" / "key" / "block.npz"
    assert not path.exists()
    path.parent.mkdir(parents=True)
    np.savez(path, votes=np.array([Trap()]))
    with assert_refused(RunError, names="Object arrays"):
        store.load("votes", "key", "block")
    path.write_bytes(pickle.dumps(Trap()))
    with assert_refused(RunError, names="block.npz"):
        store.load("votes", "key", "block")


def test_a_run_folder_is_held_by_one_command(tmp_path):
    folder = tmp_path / "run"
    with locked(folder), pytest.raises(RunError) as caught, locked(folder):
        pass
    assert str(caught.value) == (
        f"another lfkit command is writing to {folder}; wait for it, or give another "
        "--out."
    )
    with locked(folder), locked(tmp_path / "another"):  # free again
        pass


def test_whoever_holds_a_run_folder_sweeps_half_written_files_away(tmp_path):
    (tmp_path / "votes").mkdir()
    for name in (".a.npz.17.partial", ".a.partial", "b.1.partial"):
        (tmp_path / "votes" / name).touch()
    with locked(tmp_path):
        left = {path.name for path in (tmp_path / "votes").iterdir()}
    assert left == {".a.partial", "b.1.partial"}
