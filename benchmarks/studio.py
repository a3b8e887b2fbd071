"""How quick `lfkit studio` is, in a real browser, and pictures of it.

    python -m benchmarks.studio [--browser /usr/bin/chromium] [--images 100000]
    python -m benchmarks.studio --picture FILE [--page images] [--data DATA --lfs SPEC]

The studio runs as a command of its own, on the 60,000 images of Fashion-MNIST where
Debian's package put them, with nothing computed before; Chromium opens its pages. With
--images N they are so many, the further ones with noise.
Measured: from opening a page until every picture in view is there; how long pictures
are missing after the page was scrolled, by a screenful and to anywhere; from saving the
functions' file until its row shows the new figures; the map; memory of the processes.
Needs playwright, and a Chromium.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from playwright.sync_api import sync_playwright

from benchmarks.common import machine, markdown
from lfkit.data.datasets import open_images
from lfkit.runs.options import parse_size

DATA = "fashion-mnist"
LIMITS = {  # of what is measured
    "first pictures, s": 2.0,
    "pictures missing after a scroll, ms": 200.0,
    "save to figures, s": 1.0,
    "memory of the server, MB": 1000.0,
}
FUNCTIONS = '''\
"""Rules for clothes by their outline, with numbers that were read off a map."""

from lfkit import ABSTAIN, labeling_function
from lfkit.features.moments import column_profile, top_bottom_asymmetry
from lfkit.features.shape import aspect, fill, second_moments

CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
TROUSER, DRESS, SANDAL, SNEAKER, BAG, BOOT = 1, 3, 5, 7, 8, 9


@labeling_function(features=[aspect], classes=[TROUSER])
def narrow_is_trouser(width_to_height):
    """Trousers are less than half as wide as high."""
    return TROUSER if width_to_height < 0.46 else ABSTAIN


@labeling_function(features=[aspect, second_moments], classes=[DRESS])
def slim_is_dress(width_to_height, moments):
    """Dresses are slim, and wider than trousers."""
    is_slim = moments[1] < 0.27 and width_to_height > 0.5
    return DRESS if is_slim else ABSTAIN


@labeling_function(features=[aspect], classes=[SNEAKER])
def flat_is_sneaker(width_to_height):
    """Sneakers are nearly twice as wide as high."""
    return SNEAKER if width_to_height > 1.93 else ABSTAIN


@labeling_function(features=[second_moments], classes=[BOOT])
def leaning_is_boot(moments):
    """Boots have their shaft on one side, and their sole below."""
    return BOOT if moments[2] < -0.06 else ABSTAIN


@labeling_function(features=[fill, top_bottom_asymmetry], classes=[SANDAL])
def airy_is_sandal(share, asymmetry):
    """Sandals have gaps, and most of them is below."""
    return SANDAL if share < 0.5 and asymmetry > 0.4 else ABSTAIN


@labeling_function(features=[column_profile], classes=[BAG])
def broad_is_bag(columns):
    """Bags reach to the sides."""
    return BAG if columns[3] > 0.185 else ABSTAIN
'''
_EDITED = ("width_to_height < 0.46", "width_to_height < {:.3f}")
_MISSING = """
() => [...document.querySelectorAll('.tile img')].filter((image) => {
  const box = image.getBoundingClientRect();
  const isSeen = box.bottom > 0 && box.top < innerHeight;
  return isSeen && !(image.complete && image.naturalWidth > 0);
}).length
"""
# The time in ms until each picture in view is there, after `move` was called.
_WAIT = f"""
(move) => new Promise((done) => {{
  const missing = {_MISSING.strip()};
  const seen = () => document.querySelectorAll('.tile img').length;
  const began = performance.now();
  if (move !== null) scrollTo(0, move);
  const look = () => {{
    if (seen() && !missing()) done(performance.now() - began);
    else requestAnimationFrame(look);
  }};
  requestAnimationFrame(() => requestAnimationFrame(look));
}})
"""


class Studio:
    """The command, running; a `with` block ends it."""

    def __init__(self, data, specs, out, *more):
        lfs = [part for spec in specs for part in ("--lfs", str(spec))]
        command = [sys.executable, "-m", "lfkit", "studio", data, *lfs]
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            [*command, "--out", str(out), "--no-browser", "--port", "0", *more],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        said = []
        for line in self.process.stdout:
            said.append(line)
            if found := re.search(r"http://\S+", line):
                self.url = found[0]
                break
        else:
            raise SystemExit("the studio did not start: " + "".join(said))
        self.base = self.url.split("/?")[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()

    def memory_mb(self):
        """Give the largest resident size of the server, and of its children now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1000
        children = 0.0
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                children += child.memory_full_info().pss / 1e6
        return peak, children


def has_all(page):
    """Tell whether every image has been voted on, and been looked at."""
    state = page.evaluate("async () => (await fetch('api/state')).json()")
    return state["has_all"] and state["has_looks"] and not state["busy"]


def wait_until(condition, timeout_s=180.0):
    """Ask again and again."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("it took too long")
        time.sleep(0.2)


def save(path, text):
    """Save a file as editors do: whole, under another name first."""
    partial = path.with_name(f".{path.name}.swp")
    partial.write_text(text)
    os.replace(partial, path)


def measure_grid(page, studio):
    """Open the grid, then scroll by screenfuls and to anywhere: seconds, ms, ms."""
    began = time.perf_counter()
    page.goto(f"{studio.base}/images")
    page.wait_for_selector(".tile img")
    page.evaluate(_WAIT, None)
    first = time.perf_counter() - began
    height = page.evaluate("document.documentElement.scrollHeight")
    screen = page.evaluate("innerHeight")
    waits = [page.evaluate(_WAIT, step * screen) for step in range(1, 31)]
    places = np.random.default_rng(0).integers(0, height - screen, 30).tolist()
    jumps = [page.evaluate(_WAIT, place) for place in places]
    return first, waits, jumps


def measure_saves(page, studio, path, n=7):
    """Edit one function: seconds until its row shows other figures, each time."""
    page.goto(f"{studio.base}/functions")
    row = "tr[data-function='narrow_is_trouser'] .covers .value"
    page.wait_for_selector(row)
    found = []
    for number in range(n):
        before = page.inner_text(row)
        cut = _EDITED[1].format(0.52 + 0.035 * number)
        began = time.perf_counter()
        save(path, FUNCTIONS.replace(_EDITED[0], cut))
        while page.inner_text(row) == before:
            if time.perf_counter() - began > 30:
                raise SystemExit("the page did not change")
            time.sleep(0.01)
        found.append(time.perf_counter() - began)
        time.sleep(0.6)
    return found


def measure_map(page, studio):
    """Open the map for the first time, and again; move it: seconds, seconds, ms."""
    found = []
    for _ in range(2):
        began = time.perf_counter()
        page.goto(f"{studio.base}/map")
        page.wait_for_selector("#points[data-ready]", timeout=120_000)
        found.append(time.perf_counter() - began)
    frames = []
    page.hover("#points")
    for step in range(20):
        page.mouse.wheel(0, -120 if step < 10 else 120)
        page.wait_for_timeout(40)
        frames.append(float(page.get_attribute("#points", "data-frame-ms")))
    return found[0], found[1], frames


def many_images(path, n):
    """Write n images: those of the data set, then the same with noise."""
    source = open_images(DATA)
    pixels = source.read(np.arange(len(source))).pixels
    whole = pixels[np.arange(n) % len(pixels)]
    again = whole[len(pixels) :]
    noise = np.random.default_rng(0).integers(0, 12, again.shape, np.uint8)
    np.savez(path, images=np.concatenate([whole[: len(pixels)], again // 2 + noise]))
    return str(path)


def measure(browser, n_images=None):
    """Measure all; rows of (what, figure, worst, limit).

    Parameters
    ----------
    n_images : other than the data set has.
    """
    rows = []

    def note(what, values, limit=None):
        values = np.atleast_1d(values)
        rows.append((what, float(np.median(values)), float(values.max()), limit))

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "clothes.py"
        path.write_text(FUNCTIONS)
        data = DATA
        if n_images:
            data = many_images(Path(name) / "images.npz", n_images)
        with Studio(data, [path], Path(name) / "run") as studio:
            printed = time.perf_counter() - studio.began
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(studio.url)
            page.wait_for_selector("tr[data-function]", timeout=60_000)
            note("command to address, s", printed)
            note("command to figures, s", time.perf_counter() - studio.began)
            wait_until(lambda: has_all(page))
            note(
                "command to votes on all images, s", time.perf_counter() - studio.began
            )
            first, waits, jumps = measure_grid(page, studio)
            note("first pictures, s", first, LIMITS["first pictures, s"])
            limit = LIMITS["pictures missing after a scroll, ms"]
            note("pictures missing after a screenful, ms", waits, limit)
            note("pictures missing after a jump, ms", jumps, limit)
            laid_out, again, frames = measure_map(page, studio)
            note("map laid out, s", laid_out)
            note("map opened again, s", again)
            note("map, a frame, ms", frames)
            saves = measure_saves(page, studio, path)
            note("save to figures, s", saves, LIMITS["save to figures, s"])
            wait_until(lambda: has_all(page))
            server, children = studio.memory_mb()
            limit = LIMITS["memory of the server, MB"]
            note("memory of the server, MB", server, limit)
            note("memory of the processes that vote, MB", children)
    return rows


def take_picture(browser, place, data, specs, page_name, n_answers, more):
    """Show the studio as it is after a while, with some answers, and take a picture."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "run"
        if not specs:
            specs = [Path(name) / "clothes.py"]
            specs[0].write_text(FUNCTIONS)
        answers = Path(name) / "seeds.csv"
        if n_answers:
            write_answers(answers, data, more, n_answers)
            more = [*more, "--seed-labels", str(answers)]
        with Studio(data, specs, out, *more) as studio:
            page = browser.new_page(
                viewport={"width": 1280, "height": 800}, device_scale_factor=1.5
            )
            page.goto(studio.url)
            page.wait_for_selector("tr[data-function]", timeout=120_000)
            wait_until(lambda: has_all(page))
            page.goto(f"{studio.base}/{page_name}")
            if page_name.startswith("map"):
                page.wait_for_selector("#points[data-ready]", timeout=120_000)
                circle(page)
            elif page_name.startswith(("images", "next", "function?")):
                page.wait_for_selector(".tile img")
                page.evaluate(_WAIT, None)
            page.wait_for_timeout(1500)
            page.screenshot(path=place)


def write_answers(path, data, more, n):
    """Answer for some images as the data's own labels say."""
    size = more[more.index("--size") + 1] if "--size" in more else None
    images = open_images(data, size=None if size is None else parse_size(size))
    known = np.flatnonzero(images.labels >= 0)
    rows = np.random.default_rng(3).permutation(known)[:n]
    names = [images.class_names[label] for label in images.labels[rows]]
    lines = [f"{images.ids[row]},{name}" for row, name in zip(rows, names, strict=True)]
    path.write_text("\n".join(["image_id,label", *lines]) + "\n")


def circle(page):
    """Draw a lasso around what lies a little left of the middle."""
    box = page.locator("#points").bounding_box()
    radius = 0.13 * min(box["width"], box["height"])
    x, y = box["x"] + 0.36 * box["width"], box["y"] + 0.62 * box["height"]
    angles = np.linspace(0, 2 * np.pi, 40)
    page.mouse.move(x + radius, y)
    page.mouse.down()
    for angle in angles:
        page.mouse.move(x + radius * np.cos(angle), y + radius * np.sin(angle))
    page.mouse.up()


def main():
    """Print the measurements, or take a picture."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--browser", default=shutil.which("chromium"))
    parser.add_argument("--picture", help="a PNG to write, instead of measuring")
    parser.add_argument("--page", default="functions")
    parser.add_argument("--data", default=DATA)
    parser.add_argument("--lfs", action="append", default=[])
    parser.add_argument("--size")
    parser.add_argument("--answers", type=int, default=120)
    parser.add_argument("--images", type=int, help="measure with so many")
    given = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=given.browser, args=["--no-sandbox"]
        )
        if given.picture:
            more = ["--size", given.size] if given.size else []
            where = (given.picture, given.data, given.lfs, given.page)
            take_picture(browser, *where, given.answers, more)
            return
        rows = measure(browser, given.images)
    print(machine())
    header = ["", "median", "worst", "limit"]
    table = [
        [what, f"{median:.3g}", f"{worst:.3g}", "" if limit is None else f"{limit:g}"]
        for what, median, worst, limit in rows
    ]
    print(markdown(header, table))
    late = [what for what, median, worst, limit in rows if limit and worst > limit]
    if late:
        raise SystemExit(f"over the limit: {', '.join(late)}")


if __name__ == "__main__":
    main()
