"""Damaged image files of every format and mode that lfkit reads.

Beside the cases for the commands there is a bulk mode, thousands of files a minute:
`python -m benchmarks.fuzz.images 3000` opens them with `open_images` in this process
and ends with exit code 1 if an exception escapes, or a file is neither decoded nor
named, decodes to other pixels the second time, or takes more than 20 seconds.
"""

from __future__ import annotations

import argparse
import faulthandler
import functools
import io
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
from PIL import Image, ImageCms, PngImagePlugin, features

from benchmarks.fuzz.case import Case
from lfkit.data.datasets import open_images

FILES_A_CASE = 25
MAX_SECONDS = 20
MAX_BYTES = 2_500_000_000

_LFS = """
from lfkit import labeling_function

CLASSES = ["dark", "bright"]


@labeling_function(classes=[0, 1])
def level(image):
    return int(image.mean() > 127)
"""
_EXTREMES = (0, 1, 0x7F, 0x80, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def cases(rng: np.random.Generator, folder: Path) -> Iterator[Case]:
    """Label folders of damaged images, a few sound ones among them."""
    lfs = folder / "functions.py"
    lfs.write_text(_LFS)
    number = 0
    while True:
        data, run = folder / f"images{number}", folder / f"run{number}"
        data.mkdir()
        files, damages = [], Counter[str]()
        for name, content, damage in damaged(rng, FILES_A_CASE):
            files.append(data / name)
            files[-1].write_bytes(content)
            damages[damage] += 1
        (data / "sound.png").write_bytes(originals()[0][1])
        command = (
            *("apply", str(data), "--lfs", str(lfs), "--out", str(run)),
            *("--size", "16", "--no-baselines", "--no-sheet"),
        )
        yield Case("image", str(dict(damages)), tuple(files), command, _all_told)
        shutil.rmtree(data)
        shutil.rmtree(run, ignore_errors=True)
        number += 1


def _all_told(case: Case, code: int, output: str) -> str:
    """Say which files are neither decoded nor named; there is always a sound one."""
    if code != 0:
        return f"refused: {output.strip()[-200:]}"
    run = Path(case.command[case.command.index("--out") + 1])
    index = parquet.read_table(run / "images.parquet")
    told = {
        row["image_id"]: row["problem"] or row["width"] for row in index.to_pylist()
    }
    missing = [path.name for path in case.files if not told.get(path.name)]
    return f"neither decoded nor named: {', '.join(missing)}" if missing else ""


def damaged(rng: np.random.Generator, n: int) -> Iterator[tuple[str, bytes, str]]:
    """Give n files: name, content, and what was done to it."""
    sound = originals()
    for number in range(n):
        ending, content = sound[rng.integers(len(sound))]
        names = []
        for _ in range(rng.choice([1, 1, 1, 2, 4])):
            damage = _DAMAGES[rng.integers(len(_DAMAGES))]
            content = damage(rng, content)
            names.append(damage.__name__.strip("_"))
        yield f"{number:04d}.{ending}", content, f"{ending}: {'+'.join(names)}"


def _flip_bits(rng: np.random.Generator, content: bytes) -> bytes:
    changed = np.frombuffer(content, np.uint8).copy()
    if len(changed):
        where = rng.integers(len(changed), size=rng.choice([1, 3, 20]))
        changed[where] ^= (1 << rng.integers(8, size=len(where))).astype(np.uint8)
    return changed.tobytes()


def _flip_header_bits(rng: np.random.Generator, content: bytes) -> bytes:
    return _flip_bits(rng, content[:120]) + content[120:]


def _cut_off(rng: np.random.Generator, content: bytes) -> bytes:
    return content[: rng.integers(len(content) + 1)]


def _zero_the_end(rng: np.random.Generator, content: bytes) -> bytes:
    return _cut_off(rng, content).ljust(len(content), b"\0")


def _change_number(rng: np.random.Generator, content: bytes) -> bytes:
    """Write an extreme number where a length or an offset may be."""
    n_bytes = int(rng.choice([1, 2, 4]))
    value = _EXTREMES[rng.integers(len(_EXTREMES))] % (1 << 8 * n_bytes)
    if rng.random() < 0.3:
        value = int(rng.integers(1 << 8 * n_bytes))
    order = "big" if rng.random() < 0.5 else "little"
    last = min(len(content), 200 if rng.random() < 0.7 else len(content))
    at = int(rng.integers(max(1, last)))
    return content[:at] + value.to_bytes(n_bytes, order) + content[at + n_bytes :]


def _part(rng: np.random.Generator, content: bytes) -> tuple[int, int]:
    start = int(rng.integers(len(content) + 1))
    return start, min(len(content), start + int(rng.integers(1, 200)))


def _drop_part(rng: np.random.Generator, content: bytes) -> bytes:
    start, stop = _part(rng, content)
    return content[:start] + content[stop:]


def _insert_noise(rng: np.random.Generator, content: bytes) -> bytes:
    start, stop = _part(rng, content)
    return content[:start] + rng.bytes(stop - start) + content[start:]


def _repeat_part(rng: np.random.Generator, content: bytes) -> bytes:
    """Repeat some bytes often, as hostile chunks, blocks and scans are."""
    start, stop = _part(rng, content)
    times = int(rng.choice([2, 10, 1000, 20_000]))
    return content[:stop] + content[start:stop] * times + content[stop:]


def _swap_parts(rng: np.random.Generator, content: bytes) -> bytes:
    (a, b), (c, _) = _part(rng, content), _part(rng, content)
    changed = bytearray(content)
    changed[c : c + b - a] = content[a:b]
    return bytes(changed)


def _join_formats(rng: np.random.Generator, content: bytes) -> bytes:
    """Go on as a file of another format."""
    _, other = originals()[rng.integers(len(originals()))]
    at = int(rng.integers(len(content) + 1))
    return content[:at] + other[min(at, len(other)) :]


_DAMAGES: tuple[Callable[[np.random.Generator, bytes], bytes], ...] = (
    _flip_bits, _flip_header_bits, _cut_off, _zero_the_end, _change_number,
    _change_number, _drop_part, _insert_noise, _repeat_part, _swap_parts,
    _join_formats,
)  # fmt: skip


@functools.cache
def originals() -> tuple[tuple[str, bytes], ...]:
    """Give the sound files that are damaged: ending, content."""
    rng = np.random.default_rng(0)
    waves = np.add.outer(np.arange(40), 3 * np.arange(56)) % 256  # (h, w)
    noise = rng.integers(0, 40, (40, 56, 3))
    rgb = Image.fromarray((waves[..., None] * [1, 0.5, 0.2] + noise).astype(np.uint8))
    gray, alpha = rgb.convert("L"), rgb.convert("RGBA")
    alpha.putalpha(gray)
    deep = Image.fromarray((waves * 257).astype(np.uint16))
    palette = rgb.quantize(16)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "upright " * 20
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    text = PngImagePlugin.PngInfo()
    text.add_text("a", "long " * 100, zip=True)
    text.add_itxt("b", "text", "de", "b")
    found: list[tuple[str, bytes]] = []

    def add(ending: str, image: Image.Image, kind: str, **options: object) -> None:
        file = io.BytesIO()
        image.save(file, kind, **options)  # type: ignore[arg-type]
        found.append((ending, file.getvalue()))

    def add_frames(ending: str, kind: str, **options: object) -> None:
        # Copies: saving leaves settings of one format behind that stop another.
        frames = [rgb.copy(), rgb.rotate(180)]
        add(ending, rgb.copy(), kind, save_all=True, append_images=frames, **options)

    modes = (gray, rgb, alpha, gray.convert("LA"), palette, gray.convert("1"), deep)
    for image in modes:
        add("png", image, "PNG")
    add("png", rgb, "PNG", exif=exif, icc_profile=profile, pnginfo=text)
    add("png", palette, "PNG", transparency=bytes(range(16)), bits=4)
    add_frames("apng", "PNG")
    for image in (gray, rgb, rgb.convert("CMYK")):
        add("jpg", image, "JPEG", quality=80)
    add("jpg", rgb, "JPEG", progressive=True, exif=exif, icc_profile=profile)
    add("jfif", rgb.resize((400, 300)), "JPEG", progressive=True)
    add("jpg", rgb, "JPEG", restart_marker_blocks=2, subsampling=0)
    add_frames("jpg", "MPO")
    for image in (rgb, alpha):
        add("webp", image, "WEBP")
        add("webp", image, "WEBP", lossless=True, exif=exif)
    add_frames("webp", "WEBP")
    for image in (gray, rgb, alpha, palette, gray.convert("1")):
        add("bmp", image, "BMP")
    add("dib", rgb, "DIB")
    found.append(("bmp", _run_lengths()))
    for image in (
        *modes,
        rgb.convert("CMYK"),
        rgb.convert("LAB"),
        rgb.convert("YCbCr"),
    ):
        add("tif", image, "TIFF")
    for compression in (
        *("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd", "lzma"),
    ):
        add("tif", rgb, "TIFF", compression=compression, exif=exif)
    for compression in ("group3", "group4", "tiff_ccitt"):
        add("tif", gray.convert("1"), "TIFF", compression=compression)
    add("tif", Image.fromarray(waves.astype(np.int32)), "TIFF")
    add("tif", Image.fromarray(waves.astype(np.float32)), "TIFF")
    add_frames("tif", "TIFF")
    add("tif", rgb, "TIFF", big_tiff=True)
    add("gif", gray, "GIF")
    add("gif", palette, "GIF", transparency=3, comment=b"a comment")
    add_frames("gif", "GIF")
    for image in (gray, rgb, deep, gray.convert("1")):
        add("ppm", image, "PPM")
    found.append(("pgm", b"P2 4 2 200\n# a comment\n0 10 20 30\n40 50 60 200\n"))
    found.append(("pbm", b"P1 4 2\n0 1 0 1\n1 0 1 0\n"))
    found.append(("ppm", b"P6 4 2 100\n" + bytes(range(24))))
    found.append(("pfm", b"Pf 4 2\n-1.0\n" + np.ones(8, "<f4").tobytes()))
    for image in (gray, rgb, alpha, deep):
        add("jp2", image, "JPEG2000")
    add("j2k", rgb, "JPEG2000", tile_size=(16, 16), irreversible=True)
    if features.check("avif"):
        add("avif", rgb, "AVIF", speed=9)
        add("avif", alpha, "AVIF", speed=9, exif=exif)
        add_frames("avif", "AVIF", speed=9)
    return tuple(found)


def _run_lengths() -> bytes:
    """Write a BMP of run lengths, which PIL only reads."""
    body = b"\x08\x05\0\0" * 6 + b"\0\4\1\2\3\4\0\0" + b"\0\2\3\0\5\6\0\1"
    head = b"BM" + (1078 + len(body)).to_bytes(4, "little") + bytes(4)
    head += (1078).to_bytes(4, "little")
    sizes = (40, 8, 8, 1 | 8 << 16, 1, len(body), 0, 0, 256, 0)
    head += b"".join(value.to_bytes(4, "little") for value in sizes)
    return head + bytes(value for i in range(256) for value in (i, i, i, 0)) + body


def check_in_bulk(n: int, seed: int, keep: Path | None = None) -> list[str]:
    """Open n damaged files, some hundreds at a time; gives what is wrong.

    Parameters
    ----------
    keep : a folder for the files of which something is wrong.
    """
    found: list[str] = []
    for start in range(0, n, 200):
        rng = np.random.default_rng([seed, start])
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for file, content, _ in damaged(rng, min(200, n - start)):
                (folder / file).write_bytes(content)
            (folder / "sound.png").write_bytes(originals()[0][1])
            wrong = _check_folder(folder)
            for file, what in wrong.items():
                found.append(f"seed {seed}, from {start}, {file}: {what}")
                if keep is not None and (folder / file).is_file():
                    keep.mkdir(parents=True, exist_ok=True)
                    kept = keep / f"{seed}-{start}-{file}"
                    kept.write_bytes((folder / file).read_bytes())
    return found


def _check_folder(folder: Path) -> dict[str, str]:
    """Read a folder twice; file → what is wrong."""
    wrong: dict[str, str] = {}
    source = open_images(folder, size=(16, 16), color="rgb")
    if len(source) != len([*folder.iterdir()]):
        listed = set(source.ids)
        for path in folder.iterdir():
            # A table is no image, and what has lost its beginning may have no ending.
            if path.name not in listed:
                wrong[path.name] = "is not in the index"
    for row, name in enumerate(source.ids):
        began = time.perf_counter()
        once, again = (source.read(np.asarray([row])) for _ in range(2))
        took = (time.perf_counter() - began) / 2
        if took > MAX_SECONDS:
            wrong[name] = f"took {took:.0f} s"
        if not np.array_equal(once.pixels, again.pixels):
            wrong[name] = "decodes differently the second time"
        if once.problems != again.problems:
            wrong[name] = f"has other problems the second time: {again.problems}"
        if once.problems and once.pixels.any():
            wrong[name] = "is named, and has pixels"
        if any(not text.strip() or "\n" in text for text in once.problems.values()):
            wrong[name] = f"is named without a sentence: {once.problems}"
    if source.known_problems.get(len(source) - 1):
        wrong["sound.png"] = source.known_problems[len(source) - 1]
    return wrong


def main() -> int:
    """Open damaged images in bulk."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n", type=int, nargs="?", default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for files that show a fault")
    given = parser.parse_args()
    began = time.perf_counter()
    # What hangs in a decoder is shown by its stack, and ends the process.
    faulthandler.enable()
    faulthandler.dump_traceback_later(given.n, exit=True)
    found = check_in_bulk(given.n, given.seed, given.keep)
    faulthandler.cancel_dump_traceback_later()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if peak > MAX_BYTES:
        found.append(f"{peak / 1e9:.1f} GB of memory were used")
    for line in found:
        print(line)
    print(
        f"{given.n:,} damaged images in {time.perf_counter() - began:.0f} s, "
        f"{peak / 1e6:.0f} MB at the most: {len(found)} findings"
    )
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
