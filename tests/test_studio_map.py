"""The studio's map in a real browser: lasso, labels, rules, and all by keyboard."""

import csv
import math
import re
import time

import numpy as np
import pytest
from studio_stand import (
    LFS_WITH_A_FEATURE,
    NEEDS_A_BROWSER,
    QUICK_MS,
    WIDTHS,
    chromium,
    served,
)

from lfkit import LFApplier
from lfkit.data.datasets import open_images
from lfkit.labeling.loading import load_lfs
from lfkit.studio.studio_options import StudioOptions

pytestmark = NEEDS_A_BROWSER


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("map")
    (folder / "my_lfs.py").write_text(LFS_WITH_A_FEATURE)
    options = StudioOptions(
        "digits", lfs=(str(folder / "my_lfs.py"),), out=folder / "run", preview=400
    )
    with served(options, lambda session: session.looks is not None) as made:
        yield made


@pytest.fixture(scope="module")
def browser():
    with chromium() as made:
        yield made


@pytest.fixture
def visit(browser, server):
    contexts, errors = [], []

    def open_map(size="desktop", scheme="light", query=""):
        width, height = WIDTHS[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(QUICK_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda m: m.type == "error" and errors.append(m.text))
        page.goto(server.url)
        page.goto(f"http://127.0.0.1:{server.port}/map{query}")
        page.wait_for_selector("#points[data-ready]")
        return page

    yield open_map
    for context in contexts:
        context.close()
    assert not errors


@pytest.fixture(autouse=True)
def _no_answers(server):
    """Begin without answers: each test gives its own."""
    answers = server.session.answers
    if answers is not None and len(answers):
        server.session.answer(answers.rows.tolist(), None, "test")


def draw_around(page, x_share, y_share, radius_share):
    """Draw a circle with the mouse; shares of the canvas."""
    box = page.locator("#points").bounding_box()
    radius = radius_share * min(box["width"], box["height"])
    x, y = box["x"] + x_share * box["width"], box["y"] + y_share * box["height"]
    page.mouse.move(x + radius, y)
    page.mouse.down()
    for step in range(1, 25):
        angle = step * math.pi / 12
        page.mouse.move(x + radius * math.cos(angle), y + radius * math.sin(angle))
    page.mouse.up()
    page.wait_for_selector("#chosen:not([hidden])")


def places_on_screen(page, server):
    """Give where each image lies on the page, (n, 2), when the whole map is shown."""
    with np.load(server.session.folder / "map.npz") as stored:
        places = stored["look"]
    box = page.locator("#points").bounding_box()
    side = min(box["width"], box["height"]) - 48
    corner = [
        box["x"] + (box["width"] - side) / 2,
        box["y"] + (box["height"] - side) / 2,
    ]
    return places * side + corner


def n_selected(page):
    return int(re.sub(r"\D", "", page.inner_text("#count")))


def answers_of(server):
    path = server.session.options.answers
    if not path.exists():
        return {}
    with open(path, newline="") as handle:
        return {row["image_id"]: row for row in csv.DictReader(handle)}


def eventually(condition):
    end = time.monotonic() + QUICK_MS / 1000
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_a_lasso_selects_what_lies_in_it_and_a_key_labels_it(visit, server):
    page = visit()
    box = page.locator("#points").bounding_box()
    draw_around(page, 0.5, 0.5, 0.2)
    places = places_on_screen(page, server)
    middle = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    gap = np.linalg.norm(places - middle, axis=1)
    radius = 0.2 * min(box["width"], box["height"])
    # The polygon of 24 corners lies a little inside of the circle.
    certain, possible = (gap < 0.97 * radius).sum(), (gap < 1.01 * radius).sum()
    n = n_selected(page)
    assert certain <= n <= possible
    assert n > 20
    page.keyboard.press("3")
    assert eventually(lambda: len(answers_of(server)) == n)
    rows = answers_of(server).values()
    assert {row["label"] for row in rows} == {"3"}
    assert {row["why"] for row in rows} == {"chosen on the map"}
    inside = {int(row["image_id"]) for row in rows}
    assert inside <= set(np.flatnonzero(gap < 1.01 * radius).tolist())
    page.keyboard.press("u")
    assert eventually(lambda: not answers_of(server))


def test_what_is_left_out_of_a_selection_is_not_labeled(visit, server):
    page = visit()
    draw_around(page, 0.5, 0.5, 0.15)
    n = n_selected(page)
    page.locator("#tiles button").first.click()
    assert n_selected(page) == n - 1
    left_out = page.locator("#tiles button").first.get_attribute("aria-label")
    page.locator("#classes button", has_text="7").click()
    assert eventually(lambda: len(answers_of(server)) == n - 1)
    assert left_out.removeprefix("Image ") not in answers_of(server)


def test_shift_adds_to_a_selection_and_escape_clears_it(visit):
    page = visit()
    draw_around(page, 0.4, 0.5, 0.1)
    first = n_selected(page)
    page.keyboard.down("Shift")
    draw_around(page, 0.6, 0.5, 0.1)
    page.keyboard.up("Shift")
    assert n_selected(page) > first
    page.keyboard.press("Escape")
    page.wait_for_selector("#nothing:not([hidden])")


def test_the_keyboard_alone_selects_and_labels(visit, server):
    page = visit()
    page.focus("#points")
    page.keyboard.press("ArrowRight")
    for _ in range(3):
        page.keyboard.press("]")
    page.keyboard.press("Space")
    n = n_selected(page)
    assert n > 0
    for _ in range(8):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    assert n_selected(page) > n
    page.keyboard.press("Backspace")
    assert n_selected(page) <= n
    n = n_selected(page)
    page.keyboard.press("5")
    assert eventually(lambda: len(answers_of(server)) == n)
    assert {row["label"] for row in answers_of(server).values()} == {"5"}


def test_a_rule_for_a_selection_can_be_pasted_and_finds_it(visit, server, tmp_path):
    page = visit()
    images = open_images("digits")
    zeros = np.flatnonzero(images.labels == 0)
    places = places_on_screen(page, server)[zeros]
    box = page.locator("#points").bounding_box()
    x, y = np.median(places, axis=0)
    shares = (x - box["x"]) / box["width"], (y - box["y"]) / box["height"]
    draw_around(page, *shares, 0.1)
    page.select_option("#target", label="0")
    page.click("#rule button")
    page.wait_for_selector("#rules li")
    text = page.locator("#rules pre").first.inner_text()
    is_cut = "(all) => all.some((one) => one.scrollWidth > one.clientWidth)"
    assert not page.locator("#rules pre").evaluate_all(is_cut)
    path = tmp_path / "pasted.py"
    path.write_text(text)
    votes = LFApplier(load_lfs([str(path)]).lfs, n_classes=10).apply(images)
    hit = votes.hard[:, 0] == 0
    assert (images.labels[hit] == 0).mean() > 0.5
    assert hit[zeros].mean() > 0.4


def test_a_users_own_feature_is_compared_by_its_name_in_the_file(visit):
    page = visit()
    images = open_images("digits")
    ink = images.read(np.arange(len(images))).pixels.mean(axis=(1, 2, 3))
    found = page.evaluate(
        """async (rows) => {
          const answer = await fetch('api/apart', {
            method: 'POST', headers: { 'Content-Type': 'application/json' },
            body: JSON.stringify({ rows, label: '4' }),
          });
          return (await answer.json()).ranked;
        }""",
        np.argsort(ink)[:80].tolist(),
    )
    (own,) = [each for each in found if each["feature"] == "ink"]
    assert (own["auc"], own["side"]) == (1, "below")
    assert "@labeling_function(features=[ink], classes=[CLASS_4])" in own["snippet"]
    for each in found:
        compile(each["snippet"], each["feature"], "exec")


def test_a_point_under_the_pointer_shows_its_image(visit, server):
    page = visit()
    x, y = places_on_screen(page, server)[5]
    page.mouse.move(x, y)
    page.wait_for_selector("#tip:not([hidden])")
    assert re.search(r"thumb/\d+\.webp", page.get_attribute("#tip img", "src"))


def test_the_map_is_colored_by_label_doubt_or_a_functions_votes(visit):
    page = visit(query="?color=doubt")
    assert page.input_value("#color") == "doubt"
    assert "in doubt" in page.inner_text("#legend")
    page.select_option("#color", "votes:little_ink_is_one")
    page.wait_for_selector("#legend button")
    items = page.locator("#legend button").all_inner_texts()
    assert sorted(item.split()[0] for item in items) == ["1", "none"]
    counts = [int(re.sub(r"\D", "", item.split()[-1])) for item in items]
    assert sum(counts) == 1797
    assert "color=votes" in page.url


def test_arranged_by_labels_what_has_one_label_lies_closer(visit, server):
    page = visit(query="?color=doubt")
    with page.expect_response(lambda answer: "anew" in answer.url) as answer:
        page.select_option("#arrange", "labels")
    assert answer.value.ok
    page.wait_for_selector("#arrange:not([disabled])")
    assert "arrange=labels" in page.url
    assert "color=doubt" in page.url
    with np.load(server.session.folder / "map.npz") as stored:
        by_look, by_labels = stored["look"], stored["labels"]
    labels = server.session.full.labels

    def spread(places):
        """Compare distances within labels with those of all."""
        within = [places[labels == y].std(axis=0).mean() for y in (0, 1)]
        return np.mean(within) / places[labels >= 0].std(axis=0).mean()

    assert spread(by_labels) < spread(by_look)


def test_hidden_classes_are_not_selected(visit):
    page = visit()
    draw_around(page, 0.5, 0.5, 0.3)
    n = n_selected(page)
    page.keyboard.press("Escape")
    page.locator("#legend button", has_text="no label").click()
    page.wait_for_selector("#legend [aria-pressed='false']")
    draw_around(page, 0.5, 0.5, 0.3)
    assert 0 < n_selected(page) < n
    assert "no label" not in page.inner_text("#mix")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", WIDTHS)
def test_it_fits_and_has_no_serious_fault_of_accessibility(visit, size, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = visit(size=size, scheme=scheme)
    draw_around(page, 0.5, 0.5, 0.2)
    page.click("#rule button")
    page.wait_for_selector("#rules li")
    overhang = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overhang <= 0
    found = axe.Axe().run(page).response["violations"]
    serious = [
        (each["id"], [node["html"] for node in each["nodes"]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert not serious
