"""Folders and manifests of image files: every format, every kind of damage."""

import io
import os
import struct
import threading
import warnings
import zlib
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from assertions import assert_refused
from PIL import Image

from lfkit.data.datasets import open_images
from lfkit.data.datasets.label_columns import INDEX_SCHEMA
from lfkit.errors import DataError

RED_BLUE = np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8)  # 1x2 RGB
WHITE = (255, 255, 255)


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


def read_one(folder, **options):
    source = open_images(folder, **options)
    batch = source.read(np.arange(1))
    assert batch.problems == {}
    assert batch.pixels.shape == (1, *source.shape)
    return batch.pixels[0]


def png_header(width, height):
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(100))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


def test_sub_folders_are_classes_and_ids_are_sorted_paths(tmp_path):
    for name in (
        "dog/b.png",
        "cat/deep/a.png",
        "dog/a.png",
        ".git/x.png",
        "cat/.x.png",
    ):
        save(tmp_path / name, RED_BLUE)
    (tmp_path / "empty").mkdir()
    (tmp_path / "dog" / "notes.txt").write_text("not an image")
    source = open_images(tmp_path)
    assert list(source.ids) == ["cat/deep/a.png", "dog/a.png", "dog/b.png"]
    assert source.class_names == ("cat", "dog")
    assert source.labels.tolist() == [0, 1, 1]


def test_images_beside_the_classes_have_no_label(tmp_path):
    save(tmp_path / "a.png", RED_BLUE)
    save(tmp_path / "dog" / "b.png", RED_BLUE)
    assert open_images(tmp_path).labels.tolist() == [-1, 0]


def test_a_flat_folder_has_no_labels(tmp_path):
    save(tmp_path / "a.png", RED_BLUE)
    source = open_images(str(tmp_path))
    assert source.labels is None
    assert source.class_names is None


def test_folder_links_are_followed_but_not_in_circles(tmp_path):
    save(tmp_path / "elsewhere" / "a.png", RED_BLUE)
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "linked").symlink_to(tmp_path / "elsewhere")
    (photos / "circle").symlink_to(photos)
    assert list(open_images(photos).ids) == ["linked/a.png"]


def test_a_name_that_is_no_utf8_is_read_under_an_escaped_id(tmp_path):
    save(tmp_path / "a.png", RED_BLUE)
    os.rename(tmp_path / "a.png", os.fsencode(tmp_path) + b"/\xff.png")
    source = open_images(tmp_path)
    assert list(source.ids) == ["\\xff.png"]
    assert source.read(np.arange(1)).problems == {}


def test_a_folder_without_images_says_so(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with assert_refused(DataError, names=tmp_path, allowed=["png", "jpg"]):
        open_images(tmp_path)


def test_a_folder_of_bad_images_shows_the_first_reason(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "b.png").write_bytes(b"")
    with assert_refused(DataError, names=["a.png", "empty"], values=2):
        open_images(tmp_path)


def test_a_split_of_a_folder_says_which_folder_to_give(tmp_path):
    save(tmp_path / "test" / "a.png", RED_BLUE)
    with assert_refused(DataError, names=tmp_path, allowed=tmp_path / "test"):
        open_images(f"{tmp_path}:test")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {}),
        ("a.PNG", {}),
        ("a.bmp", {}),
        ("a.TIFF", {}),
        ("a.tif", {"compression": "tiff_lzw"}),
        ("a.webp", {"lossless": True}),
        ("a.gif", {}),
    ],
)
def test_a_lossless_format_gives_the_pixels_that_were_saved(tmp_path, name, options):
    pixels = np.zeros((5, 7, 3), np.uint8)
    pixels[1:3, 2:6] = (255, 0, 51)
    save(tmp_path / name, pixels, **options)
    assert np.array_equal(read_one(tmp_path, color="rgb"), pixels)


def test_a_jpeg_gives_nearly_the_pixels_that_were_saved(tmp_path):
    pixels = np.tile(np.arange(0, 240, 15, dtype=np.uint8)[:, None, None], (1, 16, 3))
    save(tmp_path / "a.JPG", pixels, quality=95)
    assert np.abs(read_one(tmp_path).astype(int) - pixels).max() <= 3


def test_transparent_parts_are_white(tmp_path):
    half_red = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 51]]], np.uint8)
    save(tmp_path / "a.png", Image.fromarray(half_red))
    # Black at 51/255 = 20 % over white: 204.
    expected = [[(255, 0, 0), WHITE, (204, 204, 204)]]
    assert read_one(tmp_path).tolist() == np.array(expected).tolist()


def test_gray_with_alpha_stays_gray(tmp_path):
    pixels = np.array([[[10, 255], [10, 0], [0, 51]]], np.uint8)
    save(tmp_path / "a.png", Image.fromarray(pixels))
    assert read_one(tmp_path)[..., 0].tolist() == [[10, 255, 204]]


@pytest.mark.parametrize("transparency", [1, b"\xff\x00"])
def test_a_palette_is_expanded_and_its_transparent_colour_white(tmp_path, transparency):
    image = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("L")
    image.putpalette([255, 0, 0, 0, 255, 0])
    save(tmp_path / "opaque" / "a.png", image)
    save(tmp_path / "clear" / "a.png", image, transparency=transparency)
    assert read_one(tmp_path / "opaque").tolist() == [[[255, 0, 0], [0, 255, 0]]]
    assert read_one(tmp_path / "clear").tolist() == [[[255, 0, 0], list(WHITE)]]


def test_a_transparent_colour_of_gray_and_rgb_is_white(tmp_path):
    gray = np.array([[10, 20]], np.uint8)
    save(tmp_path / "gray" / "a.png", gray, transparency=10)
    save(tmp_path / "rgb" / "a.png", RED_BLUE, transparency=(255, 0, 0))
    deep = Image.fromarray(np.array([[514, 10]], np.uint16))
    save(tmp_path / "deep" / "a.png", deep, transparency=514)
    assert read_one(tmp_path / "gray")[..., 0].tolist() == [[255, 20]]
    assert read_one(tmp_path / "rgb").tolist() == [[list(WHITE), [0, 0, 255]]]
    assert read_one(tmp_path / "deep")[..., 0].tolist() == [[255, 0]]


def test_one_bit_becomes_0_and_255(tmp_path):
    save(tmp_path / "a.png", Image.fromarray(np.array([[True, False]])))
    assert read_one(tmp_path)[..., 0].tolist() == [[255, 0]]


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("a.png", "<u2"), ("a.tif", "<u2"), ("a.tif", ">u2"), ("a.tif", "<i4")],
)
def test_16_bit_gray_is_divided_by_257_and_rounded(tmp_path, name, dtype):
    values = [0, 128, 129, 257, 30000, 32767, 32768, 65406, 65407, 65535]
    expected = [round(Fraction(value, 257)) for value in values]
    save(tmp_path / name, Image.fromarray(np.array([values], dtype)))
    assert read_one(tmp_path)[..., 0].tolist() == [expected]


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB"])
def test_other_colour_models_become_rgb(tmp_path, mode):
    flat = np.full((8, 8, 3), (200, 40, 90), np.uint8)
    if mode == "LAB":  # Pillow writes LAB but the maths is its colour engine's
        from PIL import ImageCms

        profiles = [ImageCms.createProfile(space) for space in ("sRGB", "LAB")]
        image = ImageCms.profileToProfile(
            Image.fromarray(flat), *profiles, outputMode="LAB"
        )
    else:
        image = Image.fromarray(flat).convert(mode)
    save(tmp_path / "a.tif", image)
    assert np.abs(read_one(tmp_path).astype(int) - flat).max() <= 3


def test_a_cmyk_jpeg_becomes_rgb(tmp_path):
    flat = np.full((8, 8, 3), (200, 40, 90), np.uint8)
    save(tmp_path / "a.jpg", Image.fromarray(flat).convert("CMYK"), quality=95)
    assert np.abs(read_one(tmp_path).astype(int) - flat).max() <= 4


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.tif", "a.png"])
def test_of_several_frames_the_first_is_read(tmp_path, name):
    first, second = (Image.new("RGB", (4, 4), color) for color in ("red", "blue"))
    options = {"lossless": True} if name == "a.webp" else {}
    save(tmp_path / name, first, save_all=True, append_images=[second], **options)
    assert read_one(tmp_path, color="rgb")[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_rotation_is_applied(tmp_path, name, orientation):
    upright = np.zeros((16, 48, 3), np.uint8)
    upright[:8, :16] = 255  # the top left corner, wider than high
    as_stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(as_stored))
    save(tmp_path / name, image, exif=exif.tobytes())
    source = open_images(tmp_path)
    assert source.shape == (16, 48, 3)
    assert source.table()["width"].to_pylist() == [48]
    assert np.abs(read_one(tmp_path).astype(int) - upright).max() <= 40
    small = read_one(tmp_path, size=(2, 3))[..., 0] > 127
    assert small.tolist() == [[True, False, False], [False, False, False]]


def test_garbled_exif_leaves_the_pixels_as_they_are(tmp_path):
    save(tmp_path / "a.jpg", np.zeros((4, 6, 3), np.uint8), exif=b"Exif\0\0garbage")
    assert read_one(tmp_path).shape == (4, 6, 3)


def test_all_gray_files_give_one_channel_and_one_colour_file_three(tmp_path):
    save(tmp_path / "a.png", np.array([[7]], np.uint8))
    assert read_one(tmp_path).tolist() == [[[7]]]
    save(tmp_path / "b.png", np.array([[[1, 2, 3]]], np.uint8))
    assert read_one(tmp_path).tolist() == [[[7, 7, 7]]]


def test_color_converts_every_file(tmp_path):
    save(tmp_path / "a.png", RED_BLUE)
    gray = np.asarray(Image.fromarray(RED_BLUE).convert("L"))
    assert np.array_equal(read_one(tmp_path, color="gray")[..., 0], gray)
    save(tmp_path / "gray" / "a.png", gray)
    assert read_one(tmp_path / "gray", color="rgb").shape == (1, 2, 3)


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        (
            {"color": "sepia"},
            ["color", "sepia", "gray", "rgb"],
        ),
        ({"size": (0, 8)}, ["size", "(0, 8)", "(height, width)"]),
        ({"size": (8001, 8001)}, ["size", "64,000,000"]),
    ],
)
def test_a_wrong_size_or_color_is_refused(tmp_path, options, facts):
    save(tmp_path / "a.png", RED_BLUE)
    with assert_refused(DataError, names=facts):
        open_images(tmp_path, **options)
    with assert_refused(DataError, names=facts):
        open_images("digits", **options)


def test_mixed_sizes_are_named_and_the_way_out(tmp_path):
    save(tmp_path / "a.png", np.zeros((12, 40), np.uint8))
    save(tmp_path / "b.png", np.zeros((90, 120), np.uint8))
    save(tmp_path / "c.png", np.zeros((50, 50), np.uint8))
    sizes = ["12x40", "a.png", "90x120", "b.png"]
    with assert_refused(DataError, values=[3, *sizes], allowed="--size 64x48"):
        open_images(tmp_path)


def test_size_stretches_every_image_as_pillow_does(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
    save(tmp_path / "a.png", pixels)
    save(tmp_path / "b.png", pixels[:10])
    source = open_images(tmp_path, size=(8, 12))
    batch = source.read(np.array([1, 0]))
    assert source.shape == (8, 12, 1)
    for held, original in zip(batch.pixels, (pixels[:10], pixels), strict=True):
        resized = Image.fromarray(original).resize((12, 8), Image.Resampling.BICUBIC)
        assert np.abs(held[..., 0].astype(int) - np.asarray(resized)).max() <= 1


def test_a_large_jpeg_shrinks_to_nearly_what_a_full_decode_gives(tmp_path):
    x = np.linspace(0, 6, 601)
    waves = (127 + 120 * np.sin(x[:, None] * 2) * np.cos(x)).astype(np.uint8)
    path = save(tmp_path / "a.jpg", waves, quality=95)
    full = Image.open(path).resize((32, 48), Image.Resampling.BICUBIC)
    held = read_one(tmp_path, size=(48, 32))[..., 0]
    assert np.abs(held.astype(int) - np.asarray(full)).max() <= 4


def test_decoding_names_what_the_pixels_depend_on(tmp_path):
    save(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    options = ({}, {"size": (8, 8)}, {"color": "gray"}, {"size": (4, 8)})
    names = [open_images(tmp_path, **option).decoding for option in options]
    assert len(set(names)) == 4
    assert all("decoder=2 pillow=" in name for name in names)


GOOD_PNG = io.BytesIO()
Image.fromarray(np.arange(4096).reshape(64, 64).astype(np.uint8)).save(GOOD_PNG, "PNG")


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        (b"", "empty"),
        (
            b"hello, this is text",
            ["PNG", "header"],
        ),
        (
            b"\x89PNG\r\n\x1a\n",
            ["PNG", "header"],
        ),
        (png_header(0, 5), ["PNG", "header"]),
        (png_header(9000, 8000), ["8000x9000", "64,000,000"]),
        (
            png_header(12000, 8000),
            ["8000x12000", "64,000,000"],
        ),
        (png_header(99000, 99000), "64,000,000"),
    ],
)
def test_the_index_names_what_is_wrong(tmp_path, content, facts):
    (tmp_path / "bad.png").write_bytes(content)
    save(tmp_path / "good.png", np.full((64, 64), 9, np.uint8))
    source = open_images(tmp_path)
    with assert_refused(DataError, names=facts):
        raise DataError(source.known_problems[0])
    batch = source.read(np.array([1, 0, 1]))
    assert list(batch.problems) == [1]
    assert batch.pixels[:, 0, 0, 0].tolist() == [9, 0, 9]
    assert source.table()["problem"].to_pylist() == [source.known_problems[0], None]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (GOOD_PNG.getvalue()[:-30], "cut short or damaged: "),
        (GOOD_PNG.getvalue()[:70] + bytes(900), "cut short or damaged: "),
    ],
)
def test_decoding_names_what_the_header_did_not_show(tmp_path, content, reason):
    (tmp_path / "bad.png").write_bytes(content)
    save(tmp_path / "good.png", np.full((64, 64), 9, np.uint8))
    source = open_images(tmp_path)
    assert source.known_problems == {}
    batch = source.read(np.arange(2))
    assert list(batch.problems) == [0]
    assert batch.problems[0].startswith(reason)
    assert not batch.pixels[0].any()


def test_floating_point_and_32_bit_gray_are_named(tmp_path):
    save(tmp_path / "a.tif", Image.fromarray(np.zeros((1, 2), np.float32)))
    save(tmp_path / "b.tif", Image.fromarray(np.array([[-5, 70000]], np.int32)))
    assert open_images(tmp_path).read(np.arange(2)).problems == {
        0: "it holds floating-point pixels; save it with 8 or 16 bits",
        1: "its gray values go from -5 to 70000; save it with 8 or 16 bits",
    }


def test_a_file_that_vanished_or_changed_after_the_index_is_named(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        save(tmp_path / name, RED_BLUE)
    source = open_images(tmp_path)
    (tmp_path / "a.png").unlink()
    save(tmp_path / "b.png", RED_BLUE[:, ::-1])
    os.utime(tmp_path / "b.png", ns=(0, 0))
    assert source.read(np.arange(3)).problems == {
        0: "there is no such file",
        1: "the file has changed since it was indexed; start again",
    }


def test_a_header_that_lies_about_the_size_is_named(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.png", np.zeros((2, 3), np.uint8), exif=exif.tobytes())
    content = path.read_bytes()
    at = content.index(b"eXIf") - 4
    end = at + 12 + struct.unpack(">I", content[at : at + 4])[0]
    tail = content.index(b"IEND") - 4
    late = content[:at] + content[end:tail] + content[at:end] + content[tail:]
    path.write_bytes(late)  # the rotation now comes after the pixels
    problems = open_images(tmp_path).read(np.arange(1)).problems
    assert problems == {0: "decoded to 3x2 pixels, against its header"}


def test_a_link_to_nowhere_and_a_circle_of_links_are_named(tmp_path):
    save(tmp_path / "c.png", RED_BLUE)
    (tmp_path / "a.png").symlink_to(tmp_path / "missing")
    (tmp_path / "b.png").symlink_to(tmp_path / "b.png")
    problems = open_images(tmp_path).known_problems
    assert problems[0] == "there is no such file"
    assert problems[1].startswith("cannot be opened: Too many levels")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named_and_tried_again(tmp_path):
    locked = save(tmp_path / "a.png", RED_BLUE)
    save(tmp_path / "b.png", RED_BLUE)
    locked.chmod(0)
    source = open_images(tmp_path)
    assert source.known_problems == {0: "permission to read it is denied"}
    locked.chmod(0o600)
    assert open_images(tmp_path, known=source.table()).known_problems == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list everything")
def test_a_folder_that_may_not_be_listed_is_named(tmp_path):
    save(tmp_path / "shut" / "a.png", RED_BLUE)
    (tmp_path / "shut").chmod(0)
    try:
        with assert_refused(DataError, names=tmp_path / "shut"):
            open_images(tmp_path)
    finally:
        (tmp_path / "shut").chmod(0o700)


def test_reading_from_many_threads_leaves_the_warning_filters_alone(tmp_path):
    for number in range(20):
        save(tmp_path / f"{number}.png", RED_BLUE)
    (tmp_path / "bomb.png").write_bytes(png_header(10000, 9000))
    source = open_images(tmp_path)
    before = list(warnings.filters)
    readers = [
        threading.Thread(target=source.read, args=(np.arange(21),)) for _ in range(8)
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert warnings.filters == before


def test_the_table_describes_every_file(tmp_path):
    path = save(tmp_path / "a.png", RED_BLUE)
    source = open_images(tmp_path)
    table = source.table()
    assert table.schema == INDEX_SCHEMA
    assert table.to_pylist() == [
        {
            "image_id": "a.png",
            "key": source.keys[0].tobytes().hex(),
            "width": 2,
            "height": 1,
            "mode": "RGB",
            "file_size": path.stat().st_size,
            "mtime_ns": path.stat().st_mtime_ns,
            "ctime_ns": path.stat().st_ctime_ns,
            "inode": path.stat().st_ino,
            "problem": None,
        }
    ]


def test_equal_files_have_equal_keys_and_others_do_not(tmp_path):
    for name, pixels in (("a", RED_BLUE), ("b", RED_BLUE), ("c", RED_BLUE[:, ::-1])):
        save(tmp_path / f"{name}.png", pixels)
    keys = open_images(tmp_path).keys
    assert np.array_equal(keys[0], keys[1])
    assert not np.array_equal(keys[0], keys[2])


def test_a_known_file_is_not_read_again_until_it_changes(tmp_path):
    path = save(tmp_path / "a.png", RED_BLUE)
    save(tmp_path / "b.png", RED_BLUE)
    table = open_images(tmp_path).table().append_column("label", pa.array([1, 2]))
    made_up = pa.array(["0" * 32, table["key"][1].as_py()])
    table = table.set_column(1, "key", made_up)  # what is known is not made anew
    save(tmp_path / "0.png", RED_BLUE)  # rows move
    again = open_images(tmp_path, known=table)
    assert again.table().slice(1).equals(table.drop_columns("label"))
    os.utime(path, ns=(0, 0))
    assert open_images(tmp_path, known=table).keys[1].any()


def test_a_file_swapped_for_one_of_its_size_and_time_is_read_again(tmp_path):
    path = save(tmp_path / "a.png", RED_BLUE)
    source, state = open_images(tmp_path), path.stat()
    path.write_bytes(path.read_bytes()[::-1])  # same size, no image any more
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    save(tmp_path / "b.png", RED_BLUE)
    assert list(open_images(tmp_path, known=source.table()).known_problems) == [0]


@pytest.mark.parametrize("name", ["run.json", "blocks.arrow", ".lock"])
def test_a_run_inside_the_folder_is_left_out(tmp_path, name):
    save(tmp_path / "data" / "a.png", RED_BLUE)
    save(tmp_path / "data" / "run" / "contact_sheet.png", RED_BLUE)
    (tmp_path / "data" / "run" / name).touch()
    assert list(open_images(tmp_path / "data").ids) == ["a.png"]
    assert list(open_images(tmp_path / "data" / "run").ids) == ["contact_sheet.png"]


def test_an_index_without_the_columns_is_no_use_but_no_harm(tmp_path):
    save(tmp_path / "a.png", RED_BLUE)
    known = pa.table({"image_id": ["a.png"]})
    assert open_images(tmp_path, known=known).known_problems == {}


def test_progress_ends_at_the_number_of_files(tmp_path):
    for number in range(3):
        save(tmp_path / f"{number}.png", RED_BLUE)
    calls = []
    open_images(tmp_path, progress=lambda done, n: calls.append((done, n)))
    assert calls[-1] == (3, 3)


def write_manifest(tmp_path, text):
    for name in ("a.png", "b.png", "c.png"):
        save(tmp_path / "images" / name, RED_BLUE)
    manifest = tmp_path / "list.csv"
    manifest.write_text(text)
    return manifest


def test_a_manifest_keeps_its_order_and_names_its_classes(tmp_path):
    text = "label,path,note\ndog,images/b.png,x\n,images/a.png,\n cat,{}\n"
    manifest = write_manifest(tmp_path, "")
    absolute = str(tmp_path / "images" / "c.png")
    manifest.write_text(text.format(absolute + ","))
    source = open_images(manifest)
    assert list(source.ids) == ["images/b.png", "images/a.png", absolute]
    assert source.class_names == ("cat", "dog")
    assert source.labels.tolist() == [1, -1, 0]
    assert source.read(np.arange(3)).problems == {}


def test_a_manifest_may_give_class_numbers_or_no_labels(tmp_path):
    numbers = write_manifest(tmp_path, "path,label\nimages/a.png,3\nimages/b.png,\n")
    source = open_images(numbers)
    assert source.labels.tolist() == [3, -1]
    assert source.class_names is None
    unlabeled = write_manifest(tmp_path, "path\nimages/a.png\n")
    assert open_images(unlabeled).labels is None


def test_a_parquet_manifest_reads_the_same(tmp_path):
    write_manifest(tmp_path, "")
    table = pa.table(
        {
            "path": ["images/a.png", "images/b.png"],
            "label": pa.array(["x", None]).dictionary_encode(),
        }
    )
    parquet.write_table(table, tmp_path / "list.parquet")
    source = open_images(tmp_path / "list.parquet")
    assert source.labels.tolist() == [0, -1]
    assert source.class_names == ("x",)


def test_a_missing_file_or_a_pipe_in_a_manifest_is_that_files_problem(tmp_path):
    manifest = write_manifest(tmp_path, "path\nimages/a.png\nno.png\npipe.png\n")
    os.mkfifo(tmp_path / "pipe.png")
    assert open_images(manifest).known_problems == {
        1: "there is no such file",
        2: "not a regular file",
    }


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        (
            "file,label\na.png,1\n",
            ["list.csv", "file", "label", "path", "file_name"],
        ),
        ("path\n", ["list.csv", "no images"]),
        ("", "list.csv"),
        ("path,label\na.png,1\n,2\n", ["list.csv", 2]),
        ("path\na.png\nb.png\na.png\n", ["list.csv", "a.png"]),
        (
            "path,label\na.png,-2\n",
            ["label", 1, "-2"],
        ),
    ],
)
def test_a_bad_manifest_is_refused(tmp_path, text, facts):
    with assert_refused(DataError, names=facts):
        open_images(write_manifest(tmp_path, text))


def test_a_manifest_with_fractions_for_labels_is_refused(tmp_path):
    path = tmp_path / "list.parquet"
    parquet.write_table(pa.table({"path": ["a.png"], "label": [0.5]}), path)
    with assert_refused(DataError, names="label", values="0.5"):
        open_images(path)
    with assert_refused(DataError, allowed=":test"):
        open_images(f"{path}:test")


def test_a_file_that_changes_after_the_index_may_be_read_the_next_time(tmp_path):
    Image.new("L", (4, 4), 7).save(tmp_path / "a.png")
    source = open_images(tmp_path)
    os.utime(tmp_path / "a.png", ns=(1, 1))
    read = source.read(np.array([0]))
    assert read.transient == {0}
    (tmp_path / "a.png").unlink()
    assert source.read(np.array([0])).transient == {0}
