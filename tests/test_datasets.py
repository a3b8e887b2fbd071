"""Named data sets and files of arrays, written here in their real formats."""

import gzip
import hashlib
import io
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import scipy.io
from assertions import assert_refused
from PIL import Image

from lfkit.data.datasets import (
    DATASETS,
    FORMATS,
    ArraySource,
    download_fashion_mnist,
    fashion_mnist,
    open_images,
)
from lfkit.data.datasets.label_columns import INDEX_SCHEMA
from lfkit.errors import DataError

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (5, 4, 6), dtype=np.uint8)  # (n, h, w)
COLOR = RNG.integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)  # (n, h, w, c)
LABELS = np.array([1, 0, 2, 2, 1], np.uint8)
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def all_pixels(source):
    batch = source.read(np.arange(len(source)))
    assert batch.problems == {}
    assert batch.pixels.dtype == np.uint8
    return batch.pixels


def idx_bytes(array, kind=8):
    sides = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, kind, array.ndim]) + sides + array.tobytes()


def write_idx(folder, prefix, images=GRAY, labels=LABELS, suffix=""):
    write = gzip.compress if suffix else bytes
    for array, kind in ((images, "images-idx3"), (labels, "labels-idx1")):
        path = folder / f"{prefix}-{kind}-ubyte{suffix}"
        path.write_bytes(write(idx_bytes(array)))
    return folder / f"{prefix}-images-idx3-ubyte{suffix}"


def test_an_array_is_read_in_the_order_of_the_rows_asked_for():
    source = ArraySource(COLOR, labels=LABELS, class_names=["a", "b", "c"])
    assert source.shape == (4, 6, 3)
    assert np.array_equal(source.read(np.array([3, 0, 3])).pixels, COLOR[[3, 0, 3]])
    assert source.labels.dtype == np.int64
    assert source.class_names == ("a", "b", "c")
    assert list(source.ids) == ["0", "1", "2", "3", "4"]
    assert list(source.ids[1:3]) == ["1", "2"]
    assert ArraySource(GRAY).shape == (4, 6, 1)


def test_an_arrays_key_is_the_hash_of_its_bytes():
    keys = ArraySource(GRAY).keys
    expected = hashlib.blake2b(GRAY[2].tobytes(), digest_size=16).digest()
    assert keys.shape == (5, 16)
    assert keys[2].tobytes() == expected
    turned = np.ascontiguousarray(GRAY.transpose(0, 2, 1)).transpose(0, 2, 1)
    assert np.array_equal(ArraySource(turned).keys, keys)


def test_an_arrays_table_has_the_columns_of_an_index():
    source = ArraySource(GRAY, ids=list("vwxyz"))
    table = source.table()
    assert table.schema == INDEX_SCHEMA
    first = table.slice(0, 1).to_pylist()[0]
    assert first.pop("key") == source.keys[0].tobytes().hex()
    assert list(first.values()) == ["v", 6, 4, "L", *[None] * 5]


def test_an_array_can_be_resized_and_converted():
    gray = ArraySource(COLOR, color="gray")
    expected = [np.asarray(Image.fromarray(image).convert("L")) for image in COLOR]
    assert np.array_equal(all_pixels(gray)[..., 0], expected)
    assert all_pixels(ArraySource(GRAY, color="rgb", size=(8, 2))).shape == (5, 8, 2, 3)
    assert gray.decoding.startswith("4x6x1 decoder=2 pillow=")
    assert ArraySource(COLOR).decoding == "4x6x3"


@pytest.mark.parametrize(
    ("pixels", "facts"),
    [
        (
            np.array([[[0, 65535]]], np.uint16),
            ["array", "uint16", 0, 65535, "uint8", 255, 257, "astype"],
        ),
        (np.array([[[0, 9]]], np.int64), ["int64", 0, 9, "astype"]),
        (np.array([[[0, 0.5]]]), ["float64", 0, "0.5", 255]),
        (np.array([[[-1.0, 1]]]), ["float64", -1, 1, "127.5"]),
        (np.array([[[0, 255.0]]]), ["float64", 0, 255, "round", "astype"]),
        (np.array([[[-3.0, 900]]]), ["float64", -3, 900, "scale"]),
        (
            np.array([[[True, False]]]),
            ["bool", 0, 1, 255],
        ),
        (np.array([[["a"]]]), ["U1", "uint8"]),
    ],
)
def test_other_dtypes_are_refused_with_the_way_to_convert_them(pixels, facts):
    with assert_refused(DataError, names=facts):
        ArraySource(pixels)


@pytest.mark.parametrize(
    ("images", "options", "facts"),
    [
        (GRAY[0], {}, ["(4, 6)", "(n, h, w)"]),
        ([1, 2], {}, ["list", "(n, h, w)"]),
        (COLOR[..., :2], {}, ["(5, 4, 6, 2)", "channels"]),
        (GRAY, {"ids": ["a"] * 5}, [5, 1]),
        (GRAY, {"labels": [0, 1]}, ["labels", "int64", "(2,)"]),
        (GRAY, {"labels": np.zeros(5)}, ["labels", "float64"]),
        (GRAY, {"labels": [0, 0, -2, 0, 0]}, [2, -2]),
        (
            GRAY,
            {"labels": [0, 0, 0, 3, 0], "class_names": ["a", "b", "c"]},
            [3, 0, 2],
        ),
    ],
)
def test_arrays_that_make_no_sense_are_refused(images, options, facts):
    with assert_refused(DataError, names=facts):
        ArraySource(images, **options)


def test_digits_are_all_there_and_spread_over_0_to_255():
    source = open_images("digits")
    pixels = all_pixels(source)
    assert pixels.shape == (1797, 8, 8, 1)
    assert np.unique(pixels).tolist()[:3] == [0, 16, 32]
    assert pixels.max() == 255
    assert source.class_names == tuple("0123456789")
    assert source.labels[:10].tolist() == list(range(10))


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="dataset-fashion-mnist is missing")
def test_fashion_mnist_opens_where_debian_puts_it(monkeypatch, tmp_path):
    monkeypatch.delenv("LFKIT_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    test = open_images("fashion-mnist:test")
    train = open_images("fashion-mnist")
    assert (len(test), len(train)) == (10_000, 60_000)
    assert test.shape == train.shape == (28, 28, 1)
    assert [train.class_names[label] for label in train.labels[:2]] == [
        "Ankle boot",
        "T-shirt/top",
    ]
    assert np.bincount(train.labels).tolist() == [6000] * 10


@pytest.mark.parametrize("below", ["", "fashion-mnist"])
def test_fashion_mnist_is_found_in_the_folder_named(monkeypatch, tmp_path, below):
    (tmp_path / below).mkdir(exist_ok=True)
    write_idx(tmp_path / below, "t10k", suffix=".gz")
    monkeypatch.setenv("LFKIT_DATA", str(tmp_path))
    assert np.array_equal(all_pixels(open_images("fashion-mnist:test"))[..., 0], GRAY)


def no_fashion_mnist(monkeypatch, tmp_path):
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", tmp_path / "debian")
    monkeypatch.setenv("LFKIT_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("LFKIT_DOWNLOAD", raising=False)


def test_a_missing_fashion_mnist_says_where_it_was_looked_for(monkeypatch, tmp_path):
    no_fashion_mnist(monkeypatch, tmp_path)
    ways = ["dataset-fashion-mnist", "LFKIT_DATA", "LFKIT_DOWNLOAD=1"]
    looked = [tmp_path / "data" / "fashion-mnist", tmp_path / "debian"]
    with assert_refused(DataError, names=looked, allowed=ways):
        open_images("fashion-mnist")


def test_fashion_mnist_is_downloaded_only_when_asked(monkeypatch, tmp_path):
    no_fashion_mnist(monkeypatch, tmp_path)
    web = tmp_path / "web"
    web.mkdir()
    checksums = {}
    for prefix in ("train", "t10k"):
        write_idx(web, prefix, suffix=".gz")
    for path in web.iterdir():
        content = gzip.decompress(path.read_bytes())
        checksums[path.name] = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(fashion_mnist, "CHECKSUMS", checksums)
    monkeypatch.setattr(fashion_mnist, "URL", f"file://{web}/")
    monkeypatch.setenv("LFKIT_DOWNLOAD", "1")
    assert len(open_images("fashion-mnist:test")) == 5
    held = sorted(path.name for path in (tmp_path / "data/fashion-mnist").iterdir())
    assert held == sorted(checksums)


def test_a_download_that_is_something_else_is_not_kept(tmp_path):
    (tmp_path / "web").mkdir()
    write_idx(tmp_path / "web", "train", suffix=".gz")
    with assert_refused(DataError, names="idx3-ubyte.gz"):
        download_fashion_mnist(tmp_path / "here", url=f"file://{tmp_path}/web/")
    with assert_refused(DataError, names="idx3-ubyte.gz"):
        download_fashion_mnist(tmp_path / "here", url=f"file://{tmp_path}/no/")
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        (
            ["cats", "digits", "street-digits", "fashion-mnist"],
            "cats",
        ),
        ("", "''"),
        ("digits:test", ["digits", ":test"]),
        ("fashion-mnist:valid", ["valid", "train", "test"]),
    ],
)
def test_an_unknown_name_or_split_says_what_there_is(data, facts):
    with assert_refused(DataError, names=facts):
        open_images(data)


def test_an_unknown_format_says_which_there_are(tmp_path):
    path = tmp_path / "images.xyz"
    path.write_bytes(b"?")
    with assert_refused(
        DataError, names="images.xyz", allowed=[".npz", ".csv", ".parquet"]
    ):
        open_images(path)


def test_a_path_object_never_means_a_named_data_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with assert_refused(DataError, allowed="digits"):
        open_images(Path("digits"))


def test_every_table_row_has_one_line_of_description():
    for member in (*DATASETS.values(), *FORMATS.values()):
        assert "\n" not in member.description


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_images_find_the_labels_beside_them(tmp_path, suffix):
    source = open_images(write_idx(tmp_path, "train", suffix=suffix))
    assert np.array_equal(all_pixels(source)[..., 0], GRAY)
    assert source.labels.tolist() == LABELS.tolist()


def test_idx_images_without_labels_have_none(tmp_path):
    images_file = write_idx(tmp_path, "train")
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    assert open_images(images_file).labels is None


def test_an_idx_folder_has_train_and_test(tmp_path):
    write_idx(tmp_path, "train", suffix=".gz")
    write_idx(tmp_path, "train")
    write_idx(tmp_path, "t10k", GRAY[:2], LABELS[:2])
    assert [len(open_images(f"{tmp_path}{s}")) for s in ("", ":train", ":test")] == [
        *(5, 5, 2)
    ]
    with assert_refused(DataError, names="valid", allowed=["train", "test"]):
        open_images(f"{tmp_path}:valid")
    with assert_refused(DataError, allowed=":test"):
        open_images(f"{tmp_path / 'train-images-idx3-ubyte'}:test")
    write_idx(tmp_path, "letters-train")
    with assert_refused(DataError, values=2):
        open_images(tmp_path)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_damaged_idx_file_is_refused(tmp_path, suffix):
    path = tmp_path / f"a-images-idx3-ubyte{suffix}"
    pack = gzip.compress if suffix else bytes
    whole = idx_bytes(GRAY)
    path.write_bytes(pack(whole[:-20]))
    with assert_refused(DataError, values=[100, 120]):
        open_images(path)
    path.write_bytes(pack(whole[:10]))
    with assert_refused(DataError, names=[path.name, "header"]):
        open_images(path)
    path.write_bytes(pack(b"hello, no idx"))
    with assert_refused(DataError, names=[path.name, "idx"]):
        open_images(path)
    path.write_bytes(pack(idx_bytes(GRAY[:0])))
    with assert_refused(DataError, names=[path.name, "no images"]):
        open_images(path)
    path.write_bytes(pack(idx_bytes(LABELS)))
    with assert_refused(DataError, names="dimensions", values=1):
        open_images(path)
    path.write_bytes(pack(idx_bytes((GRAY / 255).astype(">f8"), kind=14)))
    with assert_refused(DataError, values=["float64", 0], allowed=255):
        open_images(path)


def test_a_damaged_gzip_file_is_refused(tmp_path):
    path = write_idx(tmp_path, "train", suffix=".gz")
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    with assert_refused(DataError, names=[path.name, "damaged"]):
        open_images(path)
    path.write_bytes(content[:-8] + bytes(8))  # the checksum at its end
    with assert_refused(DataError, names="CRC"):
        open_images(path)
    path.write_bytes(gzip.compress(idx_bytes(GRAY) + b"more"))
    with assert_refused(DataError, values=120):
        open_images(path)


def full_disk():
    return Path("/dev/full").open("wb", buffering=0)


def test_a_full_disk_is_named_with_the_way_out(tmp_path, monkeypatch):
    path = write_idx(tmp_path, "train", suffix=".gz")
    monkeypatch.setattr("tempfile.TemporaryFile", full_disk)
    with assert_refused(DataError, allowed="TMPDIR"):
        open_images(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_gives_images_labels_and_class_names(tmp_path, save):
    path = tmp_path / "a.npz"
    save(path, images=COLOR, labels=LABELS[:, None], class_names=["x", "y", "z"])
    source = open_images(path)
    assert np.array_equal(all_pixels(source), COLOR)
    assert source.labels.tolist() == LABELS.tolist()
    assert source.class_names == ("x", "y", "z")


@pytest.mark.parametrize("name", ["images", "x", "X", "arr_0", "x_train"])
def test_an_npz_may_name_its_images_otherwise(tmp_path, name):
    np.savez(tmp_path / "a.npz", **{name: np.asfortranarray(GRAY), "y": LABELS})
    source = open_images(tmp_path / "a.npz")
    assert np.array_equal(all_pixels(source)[..., 0], GRAY)
    assert source.labels.tolist() == LABELS.tolist()


def test_an_npy_file_is_read_where_it_lies(tmp_path):
    np.save(tmp_path / "a.npy", GRAY)
    source = open_images(tmp_path / "a.npy")
    assert np.array_equal(all_pixels(source)[..., 0], GRAY)
    assert source.labels is None


def test_a_bad_npz_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, pictures=GRAY)
    with assert_refused(DataError, names="pictures", allowed=["images", "x_train"]):
        open_images(path)
    np.savez(path, images=GRAY.astype(np.uint16) * 257)
    with assert_refused(DataError, names="a.npz", values=["uint16", 257]):
        open_images(path)
    np.savez(path, images=GRAY, labels=np.array([None] * 5, object))
    with assert_refused(DataError, names=["labels", path.name, "Python objects"]):
        open_images(path)
    np.savez(path, images=np.array([GRAY, 1], object))
    with assert_refused(DataError, names=["images", path.name, "Python objects"]):
        open_images(path)
    with assert_refused(DataError, allowed=":test"):
        open_images(f"{path}:test")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", b"no array")
    with assert_refused(DataError, names="NumPy"):
        open_images(path)
    path.write_bytes(b"no archive")
    with assert_refused(DataError, names=[path.name, "zip"]):
        open_images(path)


def test_labels_that_would_fill_the_memory_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in (("images", GRAY), ("labels", LABELS)):
            buffer = io.BytesIO()
            np.save(buffer, array)
            archive.writestr(f"{name}.npy", buffer.getvalue())
        archive.infolist()[1].file_size = 1 << 40
    with assert_refused(DataError, names=["labels", path.name]):
        open_images(path)


def test_a_compressed_npz_of_200_mb_opens_in_a_fraction_of_that_memory(tmp_path):
    path = tmp_path / "zeros.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("images.npy", "w") as member,
    ):
        shape = {"descr": "|u1", "fortran_order": False, "shape": (200_000, 25, 40)}
        np.lib.format.write_array_header_1_0(member, shape)
        for _ in range(200):
            member.write(bytes(1_000_000))
    tracemalloc.start()
    source = open_images(path)
    assert not source.read(np.array([0, 199_999])).pixels.any()
    assert len(np.unique(source.keys, axis=0)) == 1
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(source) == 200_000
    assert peak_bytes < 60e6


def cifar_records(n, n_labels, seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, (n, n_labels), dtype=np.uint8)
    planes = images.transpose(0, 3, 1, 2).reshape(n, -1)
    return images, labels[:, -1], np.hstack([labels, planes]).tobytes()


def write_cifar_10(folder):
    folder.mkdir()
    parts = [cifar_records(2, 1, seed) for seed in range(6)]
    for number, (_, _, raw) in enumerate(parts[:5], start=1):
        (folder / f"data_batch_{number}.bin").write_bytes(raw)
    (folder / "test_batch.bin").write_bytes(parts[5][2])
    names = "airplane automobile bird cat deer dog frog horse ship truck"
    (folder / "batches.meta.txt").write_text(names.replace(" ", "\n") + "\n\n")
    return [np.concatenate(arrays[:5]) for arrays in list(zip(*parts, strict=True))[:2]]


@pytest.mark.parametrize("packed", [False, True])
def test_cifar_10_joins_its_batches_in_order(tmp_path, packed):
    images, labels = write_cifar_10(tmp_path / "cifar")
    data = tmp_path / "cifar"
    if packed:
        data = tmp_path / "cifar-10-binary.tar.gz"
        with tarfile.open(data, "w:gz") as archive:
            for name in sorted((tmp_path / "cifar").iterdir(), reverse=True):
                archive.add(name, f"cifar-10-batches-bin/{name.name}")
    train = open_images(data)
    assert np.array_equal(all_pixels(train), images)
    assert train.labels.tolist() == labels.tolist()
    assert train.class_names[9] == "truck"
    assert len(open_images(f"{data}:test")) == 2
    with assert_refused(DataError, names=["valid", "CIFAR"]):
        open_images(f"{data}:valid")


@pytest.mark.parametrize("below", ["", "cifar-10-batches-bin"])
def test_cifar_10_is_found_in_the_folders_named(monkeypatch, tmp_path, below):
    whole = tmp_path / "whole"
    images, labels = write_cifar_10(whole)
    held = tmp_path / "data" / below
    held.mkdir(parents=True)
    for name in ("data_batch_4.bin", "data_batch_2.bin", "batches.meta.txt"):
        (whole / name).rename(held / name)
    monkeypatch.setenv("LFKIT_DATA", f"{tmp_path / 'absent'}:{tmp_path / 'data'}")
    source = open_images("cifar-10")
    rows = [2, 3, 6, 7]  # of batches 2 and 4
    assert np.array_equal(all_pixels(source), images[rows])
    assert source.labels.tolist() == labels[rows].tolist()
    assert source.class_names[3] == "cat"
    with assert_refused(DataError, names=[held, "test"]):
        open_images("cifar-10:test")


def test_cifar_10_without_its_file_of_names_has_them(monkeypatch, tmp_path):
    write_cifar_10(tmp_path / "cifar-10-batches-bin")
    names_file = tmp_path / "cifar-10-batches-bin" / "batches.meta.txt"
    names = tuple(names_file.read_text().split())
    names_file.unlink()
    monkeypatch.setenv("LFKIT_DATA", str(tmp_path))
    assert open_images("cifar-10:test").class_names == names


def test_a_missing_cifar_10_says_where_it_was_looked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("LFKIT_DATA", str(tmp_path))
    looked = [tmp_path / "cifar-10-batches-bin", tmp_path]
    ways = ["LFKIT_DATA", "cifar-10-binary.tar.gz"]
    with assert_refused(DataError, names=looked, allowed=ways):
        open_images("cifar-10")
    monkeypatch.delenv("LFKIT_DATA")
    with assert_refused(DataError, names=["cifar-10"], allowed=ways):
        open_images("cifar-10")


def test_real_cifar_10_opens_where_it_is():
    try:
        source = open_images("cifar-10")
    except DataError as error:
        pytest.skip(str(error))
    assert source.shape == (32, 32, 3)
    assert len(source) % 10_000 == 0
    assert [source.class_names[label] for label in source.labels[:3]] == [
        "frog",
        "truck",
        "truck",
    ]


def test_one_cifar_batch_finds_the_names_beside_it(tmp_path):
    images, labels = write_cifar_10(tmp_path / "cifar")
    source = open_images(tmp_path / "cifar" / "data_batch_2.bin")
    assert np.array_equal(all_pixels(source), images[2:4])
    assert source.labels.tolist() == labels[2:4].tolist()
    assert source.class_names[0] == "airplane"


def test_cifar_100_takes_the_fine_labels(tmp_path):
    images, fine, raw = cifar_records(3, 2, seed=0)
    (tmp_path / "train.bin").write_bytes(raw)
    (tmp_path / "fine_label_names.txt").write_text(
        "\n".join(f"class_{number}" for number in range(100))
    )
    source = open_images(tmp_path)
    assert np.array_equal(all_pixels(source), images)
    assert source.labels.tolist() == fine.tolist()
    assert len(source.class_names) == 100
    with assert_refused(DataError, names=["CIFAR", "test"], allowed="train.bin"):
        open_images(f"{tmp_path}:test")


def test_cifars_python_version_is_refused_for_the_binary_one(tmp_path):
    for name in ("data_batch_1", "test_batch"):
        (tmp_path / name).write_bytes(b"\x80")
    facts = {"names": ["CIFAR", "python", "pickles"], "allowed": "binary version"}
    with assert_refused(DataError, **facts):
        open_images(tmp_path)
    with tarfile.open(tmp_path / "cifar-100-python.tar.gz", "w:gz") as archive:
        for name in ("train", "test", "meta"):
            archive.add(tmp_path / "test_batch", f"cifar-100-python/{name}")
    with assert_refused(DataError, **facts):
        open_images(tmp_path / "cifar-100-python.tar.gz")


def test_a_damaged_cifar_file_is_refused(tmp_path):
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(bytes(3000))
    with assert_refused(DataError, values="3,000"):
        open_images(path)
    (tmp_path / "a.tar.gz").write_bytes(b"no archive")
    with assert_refused(DataError, names=["a.tar.gz", "gzip"]):
        open_images(tmp_path / "a.tar.gz")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("label_dtype", [np.uint8, np.float64])
def test_svhn_reads_what_matlab_saves(tmp_path, compressed, label_dtype):
    images = RNG.integers(0, 256, (700, 32, 32, 3), dtype=np.uint8)  # over a megabyte
    labels = np.arange(700) % 10 + 1
    held = {
        "note": "text is skipped",
        "cell": np.array([1, "a"], object),
        "X": images.transpose(1, 2, 3, 0),
        "y": labels[:, None].astype(label_dtype),
    }
    path = tmp_path / "train_32x32.mat"
    scipy.io.savemat(path, held, do_compression=compressed)
    source = open_images(path)
    assert np.array_equal(all_pixels(source), images)
    assert source.labels.tolist() == (labels % 10).tolist()
    assert source.class_names == tuple("0123456789")


def test_a_bad_mat_file_is_refused(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"images": COLOR})
    with assert_refused(DataError, names=["X", "SVHN"], allowed="(h, w, c, n)"):
        open_images(path)
    scipy.io.savemat(path, {"X": COLOR / 255})
    with assert_refused(DataError, values="float64", allowed=255):
        open_images(path)
    scipy.io.savemat(path, {"X": GRAY})
    with assert_refused(DataError, values="(5, 4, 6)", allowed="(h, w, c, n)"):
        open_images(path)
    with assert_refused(DataError, allowed=":test"):
        open_images(f"{path}:test")
    path.write_bytes(b"MATLAB 7.3 MAT-file" + bytes(200))
    with assert_refused(DataError, names="MATLAB", values="7.3"):
        open_images(path)
    path.write_bytes(b"no matlab")
    with assert_refused(DataError, names="MATLAB", values=5):
        open_images(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_mat_file_cut_short_is_refused(tmp_path, compressed):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"X": COLOR.T}, do_compression=compressed)
    content = path.read_bytes()
    for n_bytes in (130, 150, 200, len(content) - 40):
        path.write_bytes(content[:n_bytes])
        with assert_refused(DataError, names=path.name):
            open_images(path)


def test_stl10_undoes_the_column_order(tmp_path):
    images = RNG.integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    raw = images.transpose(0, 3, 2, 1).tobytes()
    for split in ("train", "unlabeled"):
        (tmp_path / f"{split}_X.bin").write_bytes(raw)
    (tmp_path / "train_y.bin").write_bytes(bytes([10, 1]))
    (tmp_path / "class_names.txt").write_text("\n".join("abcdefghij"))
    train = open_images(tmp_path)
    assert np.array_equal(all_pixels(train), images)
    assert train.labels.tolist() == [9, 0]
    assert train.class_names == tuple("abcdefghij")
    assert open_images(f"{tmp_path}:unlabeled").labels is None
    with assert_refused(DataError, names=["test_X.bin", "STL-10"]):
        open_images(f"{tmp_path}:test")
    with assert_refused(DataError, names=["STL-10", "valid"], allowed="unlabeled"):
        open_images(f"{tmp_path}:valid")
    (tmp_path / "test_X.bin").write_bytes(bytes(100))
    with assert_refused(DataError, names="STL-10", values=100):
        open_images(f"{tmp_path}:test")


def test_ids_behave_as_a_sequence_of_text(tmp_path):
    for name in ("a.png", "b.png"):
        Image.fromarray(GRAY[0]).save(tmp_path / name)
    ids = open_images(tmp_path).ids
    assert (ids[0], ids[-1], list(ids[1:])) == ("a.png", "b.png", ["b.png"])
    assert pa.array(ids).to_pylist() == np.asarray(ids).tolist() == ["a.png", "b.png"]
    assert repr(ids) == "TextColumn(['a.png', 'b.png']…, n=2)"
    assert repr(ArraySource(GRAY).ids) == "RowNumbers(range(0, 5))"
