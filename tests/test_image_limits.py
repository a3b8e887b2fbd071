"""What one file may cost, and gray of all depths against values written by hand."""

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from lfkit.data.datasets import image_limits as limits
from lfkit.data.datasets import open_images
from lfkit.errors import DataError

DEEP = 65535


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def gray_tiff(values, kind, *, sample_format=1, photometric=1, order="<"):
    """Write a one-page TIFF of gray by hand: one strip, not compressed."""
    pixels = np.asarray(values).astype(np.dtype(kind).newbyteorder(order))
    h, w = pixels.shape
    tags = [
        (256, 4, 1, w), (257, 4, 1, h), (258, 3, 1, pixels.itemsize * 8),
        (259, 3, 1, 1), (262, 3, 1, photometric), (273, 4, 1, 200), (277, 3, 1, 1),
        (278, 4, 1, h), (279, 4, 1, pixels.nbytes), (339, 3, 1, sample_format),
    ]  # fmt: skip
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    packed = b""
    for tag, kind_of, n, value in tags:
        # A short lies in the first two of the four bytes.
        layout = f"{order}HHIHxx" if kind_of == 3 else f"{order}HHII"
        packed += struct.pack(layout, tag, kind_of, n, value)
    whole = head + struct.pack(f"{order}H", len(tags)) + packed + bytes(4)
    return whole.ljust(200, b"\0") + pixels.tobytes()


def png(width, height, bits, kind, rows, before=b""):
    """Write a PNG by hand; `rows` are packed pixels."""

    def chunk(name, data):
        checksum = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + before
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


def read(tmp_path, name, content, **options):
    (tmp_path / name).write_bytes(content)
    source = open_images(tmp_path, **options)
    batch = source.read(np.arange(1))
    assert batch.problems == {}
    return source, batch.pixels[0]


@pytest.mark.parametrize(
    ("kind", "sample_format"), [("u4", 1), ("i4", 2), ("u2", 1), ("i2", 2)]
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_gray_of_0_to_255_is_read_as_it_is_in_any_depth(
    tmp_path, kind, sample_format, order
):
    if (kind, order) == ("u4", ">"):
        pytest.skip("Pillow does not read it")
    values = [[0, 1, 128, 255]]
    content = gray_tiff(values, kind, sample_format=sample_format, order=order)
    source, pixels = read(tmp_path, "a.tif", content)
    assert pixels[..., 0].tolist() == values
    assert any("up to 255 only, and is read as it is" in note for note in source.notes)
    assert "white=255" in source.decoding


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm", "a.jp2"])
def test_16_bit_files_of_8_bit_values_are_not_black(tmp_path, name):
    values = np.array([[0, 1, 128, 255]], np.uint16)
    kind = {"png": "PNG", "tif": "TIFF", "pgm": "PPM", "jp2": "JPEG2000"}[name[2:]]
    _, pixels = read(tmp_path, name, saved(Image.fromarray(values), kind))
    assert pixels[..., 0].tolist() == values.tolist()


def test_all_files_of_a_data_set_have_one_white(tmp_path):
    for number, white in enumerate((200, 255, DEEP)):
        content = gray_tiff([[0, white]], "u2")
        (tmp_path / f"{number}.tif").write_bytes(content)
    source = open_images(tmp_path)
    pixels = source.read(np.arange(3)).pixels[:, 0, 1, 0]
    assert pixels.tolist() == [1, 1, 255]
    assert source.notes == ()


def test_a_file_beyond_the_white_of_the_others_is_named(tmp_path):
    for number in range(40):
        values = [[0, 255]] if number != 1 else [[0, 9999]]
        (tmp_path / f"{number:02}.tif").write_bytes(gray_tiff(values, "u2"))
    problems = open_images(tmp_path).read(np.arange(40)).problems
    assert list(problems) == [1]
    assert "from 0 to 9999; save it with values up to 255" in problems[1]


def test_dark_16_bit_files_are_told(tmp_path):
    content = gray_tiff([[0, 4095]], "u2")
    source, pixels = read(tmp_path, "a.tif", content)
    assert pixels[0, 1, 0] == 16
    assert any("4,095 of 65,535 only" in note for note in source.notes)


@pytest.mark.parametrize("order", ["<"])
@pytest.mark.parametrize(("kind", "white"), [("u1", 255), ("u2", DEEP)])
def test_tiff_in_which_0_is_white_is_turned_around(tmp_path, order, kind, white):
    content = gray_tiff([[0, white, white]], kind, photometric=0, order=order)
    _, pixels = read(tmp_path, "a.tif", content)
    assert pixels[..., 0].tolist() == [[255, 0, 0]]


@pytest.mark.parametrize(
    ("bits", "packed", "expected"),
    [
        (1, [0b10100000], [255, 0, 255, 0]),
        (2, [0b00011011], [0, 85, 170, 255]),
        (4, [0x05, 0xAF], [0, 85, 170, 255]),
        (8, [0, 85, 170, 255], [0, 85, 170, 255]),
        (16, [0, 0, 85, 85, 170, 170, 255, 255], [0, 85, 170, 255]),
    ],
)
def test_png_gray_of_every_depth(tmp_path, bits, packed, expected):
    content = png(4, 1, bits, 0, [bytes(packed)])
    _, pixels = read(tmp_path, "a.png", content)
    assert pixels[..., 0].tolist() == [expected]


def test_16_bits_of_colour_and_of_alpha_are_halved(tmp_path):
    rgb = struct.pack(">6H", DEEP, 0, 128 * 257, 51 * 257, 0, DEEP)
    _, pixels = read(tmp_path, "a.png", png(2, 1, 16, 2, [rgb]))
    assert pixels.tolist() == [[[255, 0, 128], [51, 0, 255]]]
    (tmp_path / "a.png").unlink()
    gray_alpha = struct.pack(">4H", 0, DEEP, 0, 0)
    _, pixels = read(tmp_path, "b.png", png(2, 1, 16, 4, [gray_alpha]))
    assert pixels[..., 0].tolist() == [[0, 255]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.pgm", b"P5 2 1 255\n\x00\xff"),
        ("a.pgm", b"P2 2 1 15\n0 15\n"),
        ("a.pgm", b"P5 2 1 100\n\x00\x64"),
        ("a.pbm", b"P4 2 1\n\x80"),
        ("a.pbm", b"P1 2 1\n1 0\n"),
        ("a.ppm", b"P6 2 1 255\n\0\0\0\xff\xff\xff"),
        ("a.pnm", b"P3 2 1 1\n0 0 0 1 1 1\n"),
    ],
)
def test_netpbm_files_are_read(tmp_path, name, content):
    _, pixels = read(tmp_path, name, content, color="gray")
    assert pixels[..., 0].tolist() == [[0, 255]]


@pytest.mark.parametrize(
    "ending",
    [
        "jfif",
        "JPE",
        "apng",
        "dib",
        "ppm",
        "avif",
        "jp2",
        "j2k",
        "JPX",
        "webp",
        "tiff",
        "gif",
        "bmp",
    ],
)
def test_every_ending_is_read(tmp_path, ending):
    kind = {
        **dict.fromkeys(("jfif", "JPE"), "JPEG"),
        **dict.fromkeys(("jp2", "j2k", "JPX"), "JPEG2000"),
        "apng": "PNG",
        "dib": "DIB",
        "ppm": "PPM",
    }.get(ending, ending.upper())
    if kind == "AVIF":
        pytest.importorskip("PIL._avif")
    content = saved(Image.new("RGB", (16, 8), (200, 40, 90)), kind)
    _, pixels = read(tmp_path, f"a.{ending}", content, color="rgb")
    assert np.abs(pixels.astype(int) - (200, 40, 90)).max() <= 8


def with_scans(n, side):
    """Write a JPEG whose last scan is repeated."""
    content = saved(Image.new("L", (side, side), 9), "JPEG", progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * n + b"\xff\xd9"


def with_chunks(n):
    empty = struct.pack(">I", 0) + b"abCd" + struct.pack(">I", zlib.crc32(b"abCd"))
    return png(1, 1, 8, 0, [b"\0"], before=empty * n)


def with_comments(n):
    content = saved(Image.new("L", (8, 8)), "GIF")
    at = 13 + (3 << ((content[10] & 7) + 1) if content[10] & 0x80 else 0)
    return content[:at] + b"!\xfe\1a\0" * n + content[at:]


def with_strips(n):
    content = bytearray(gray_tiff(np.zeros((4, 4)), "u1"))
    at = content.index(struct.pack("<HH", 273, 4))
    content[at + 4 : at + 8] = struct.pack("<I", n)
    return bytes(content) + struct.pack("<I", 200) * n


def run_lengths(n):
    head = b"BM" + struct.pack("<IHHI", 0, 0, 0, 1078)
    head += struct.pack("<IiiHHIIiiII", 40, 4000, 2000, 1, 8, 1, 0, 0, 0, 256, 0)
    return head + bytes(1024) + b"\1\5" * n


def plain_ppm(width, height):
    return b"P6 %d %d 100\n" % (width, height) + bytes(3 * width * height)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: with_scans(400, 4000), "it has more than 62 scans of 4000x4000 pix"),
        (lambda: with_chunks(100_001), "it has more than 100,000 chunks"),
        (lambda: with_comments(100_001), "it has more than 100,000 blocks before"),
        (lambda: with_strips(60_000), "tag 273 of its header has 60,000 values"),
        (lambda: run_lengths(4_100_000), "it holds 8 MB of run lengths, more than"),
        (lambda: plain_ppm(1500, 1400), "it holds 6,300,000 values as text or of an"),
    ],
)
def test_a_file_that_would_take_too_long_is_named_at_once(tmp_path, content, reason):
    (tmp_path / "bad").write_bytes(content())
    (tmp_path / "bad").rename(tmp_path / "bad.png")
    (tmp_path / "good.png").write_bytes(png(1, 1, 8, 0, [b"\7"]))
    source = open_images(tmp_path, size=(4, 4))
    batch = source.read(np.arange(2))
    assert batch.problems[0].startswith(reason)
    assert list(batch.problems) == [0]
    assert batch.pixels[1].ravel()[0] == 7


def test_a_usual_number_of_parts_is_no_problem(tmp_path):
    contents = (
        with_scans(20, 500), with_chunks(2000), with_comments(2000), with_strips(2000)
    )  # fmt: skip
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.png").write_bytes(content)
    assert open_images(tmp_path, size=(4, 4)).read(np.arange(4)).problems == {}


def test_scans_are_counted_as_their_markers_stand():
    for n in (0, 3):
        content = with_scans(n, 40)
        plain = content.count(b"\xff\xda")  # no thumbnail that has scans, too
        assert limits._n_scans(io.BytesIO(content), 1000) == plain
    exif = b"\xff\xe1" + struct.pack(">H", 2 + 400) + b"\xff\xda\0\2" * 100
    assert limits._n_scans(io.BytesIO(content[:2] + exif + content[2:]), 1000) == plain


def test_a_file_of_a_terabyte_is_named_and_not_read(tmp_path):
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(1 << 40)
    (tmp_path / "b.png").write_bytes(png(1, 1, 8, 0, [b"\7"]))
    problem = open_images(tmp_path).known_problems[0]
    assert problem == "it is 1,099,512 MB long, more than 537"


def test_long_texts_of_a_png_are_named_or_read(tmp_path):
    from PIL.PngImagePlugin import PngInfo

    for number, (length, is_packed) in enumerate(
        itertools.product((1000, 5_000_000), (False, True))
    ):
        info = PngInfo()
        info.add_text("prompt", "a" * length, zip=is_packed)
        content = saved(Image.new("L", (4, 4), 9), "PNG", pnginfo=info)
        (tmp_path / f"{number}.png").write_bytes(content)
    source = open_images(tmp_path)
    batch = source.read(np.arange(4))
    assert set(batch.problems) <= {3}
    assert batch.pixels[:3, 0, 0, 0].tolist() == [9] * 3


def test_a_gif_of_many_frames_costs_its_first(tmp_path):
    content = saved(Image.new("L", (8, 8), 0), "GIF")
    at = content.index(b",")
    (tmp_path / "a.gif").write_bytes(content[:-1] + content[at:-1] * 300_000 + b";")
    assert open_images(tmp_path).read(np.arange(1)).problems == {}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "it is a HEIC image, which is not r"),
        (
            b"\xef\xbb\xbf\n<!DOCTYPE html><html>404",
            "it is a web page, no image; fetch",
        ),
        (
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            "it is an SVG drawing, which is",
        ),
        (b"%PDF-1.7 ...", "it is a PDF, which is not read"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a pointer of Git LFS"),
    ],
)
def test_what_only_has_the_name_of_an_image_is_called_what_it_is(
    tmp_path, content, reason
):
    (tmp_path / "a.jpg").write_bytes(content)
    (tmp_path / "b.png").write_bytes(png(1, 1, 8, 0, [b"\7"]))
    assert open_images(tmp_path).known_problems[0].startswith(reason)


@pytest.mark.parametrize("size", [None, (4, 4)])
def test_a_list_of_which_no_file_is_there_says_where_it_looked(tmp_path, size):
    (tmp_path / "list.csv").write_text("path,label\nno/1.png,x\nno/2.png,y\n")
    with pytest.raises(DataError, match=rf"no such file at {tmp_path}/no/1\.png"):
        open_images(tmp_path / "list.csv", size=size)


def test_16_bits_of_netpbm_are_scaled_by_what_the_file_says_is_white(tmp_path):
    values = struct.pack(">3H", 0, 2048, 4095)
    _, pixels = read(tmp_path, "a.pgm", b"P5 3 1 4095\n" + values)
    assert pixels[..., 0].tolist() == [[0, 128, 255]]
    (tmp_path / "a.pgm").unlink()
    values = struct.pack(">3H", 0, 128 * 257, DEEP)
    _, pixels = read(tmp_path, "a.ppm", b"P6 1 1 65535\n" + values)
    assert pixels.tolist() == [[[0, 128, 255]]]


def with_masks(alpha):
    """Write a BMP of 32 bits whose mask of alpha says that there is one."""
    head = b"BM" + struct.pack("<IHHI", 0, 0, 0, 122)
    head += struct.pack("<IiiHHIIiiII", 108, 2, 1, 1, 32, 3, 8, 0, 0, 0, 0)
    head += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    pixels = bytes((0, 0, 255, alpha, 255, 0, 0, alpha))  # red and blue
    return head.ljust(122, b"\0") + pixels


@pytest.mark.parametrize("alpha", [255, 0])
def test_a_bmp_of_32_bits_gives_its_colours(tmp_path, alpha):
    _, pixels = read(tmp_path, "a.bmp", with_masks(alpha))
    assert pixels.tolist() == [[[255, 0, 0], [0, 0, 255]]]
