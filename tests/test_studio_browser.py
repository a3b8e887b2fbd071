"""The studio in a real browser: edits, keys, answers, widths, colors, accessibility."""

import csv
import re

import numpy as np
import pytest
from studio_stand import LFS, NEEDS_A_BROWSER, QUICK_MS, WIDTHS, chromium, served

from lfkit.studio.server import PAGES
from lfkit.studio.studio_options import StudioOptions

pytestmark = NEEDS_A_BROWSER
# The browser ends these when another page is opened.
EXPECTED = re.compile(r"net::ERR_ABORTED")


@pytest.fixture(scope="module")
def lfs(tmp_path_factory):
    path = tmp_path_factory.mktemp("functions") / "my_lfs.py"
    path.write_text(LFS)
    return path


@pytest.fixture(scope="module")
def server(lfs, tmp_path_factory):
    out = tmp_path_factory.mktemp("studio") / "run"
    options = StudioOptions("digits", lfs=(str(lfs),), out=out, preview=400)
    with served(options, lambda s: s.full is not None and s.looks is not None) as made:
        yield made


@pytest.fixture(scope="module")
def browser():
    with chromium() as made:
        yield made


def is_loaded(page):
    return page.evaluate("document.getElementById('answered').textContent") != ""


class Visitor:
    """A page of the studio; what its console says is an error."""

    def __init__(self, browser, server, *, size=WIDTHS["desktop"], scheme="light"):
        width, height = size
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(QUICK_MS)
        self.errors = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._hear)
        self.server = server
        self.page.goto(server.url)

    def _hear(self, message):
        if message.type in ("error", "warning") and not EXPECTED.search(message.text):
            self.errors.append(message.text)

    def open(self, path):
        self.page.goto(f"http://127.0.0.1:{self.server.port}/{path}")
        assert eventually(self.page, lambda: is_loaded(self.page))
        return self.page


@pytest.fixture
def visit(browser, server):
    made = []

    def open_page(path="functions", **how):
        visitor = Visitor(browser, server, **how)
        made.append(visitor)
        return visitor.open(path)

    yield open_page
    for visitor in made:
        visitor.context.close()
        assert visitor.errors == []


@pytest.fixture
def without_answers(server):
    session = server.session
    yield
    while session.undo():
        pass


def answers(server):
    path = server.session.options.answers
    return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []


def eventually(page, condition):
    """Wait for something in this process."""
    for _ in range(QUICK_MS // 50):
        if condition():
            return True
        page.wait_for_timeout(50)
    return False


def current_row(page):
    """Read the number of the image that keys act on."""
    label = page.locator(".tile.current").get_attribute("aria-label")
    return int(re.match(r"image (\d+)", label)[1])


def test_a_saved_file_changes_the_row_of_its_function(visit, server, lfs):
    page = visit("functions")
    cell = page.locator('tr[data-function="little_ink_is_one"] .value')
    before = cell.text_content()
    lfs.write_text(LFS.replace("< 66", "< 76"))
    assert eventually(page, lambda: cell.text_content() != before)
    assert float(cell.text_content().split()[0]) > float(before.split()[0])
    assert re.match(r"\+\d+ labeled", page.locator("#change").text_content())
    lfs.write_text(LFS)
    assert eventually(page, lambda: cell.text_content() == before)


def test_a_function_that_raises_shows_its_traceback_and_the_page_lives(
    visit, server, lfs
):
    page = visit("functions")
    lfs.write_text(LFS.replace("return 1 if", "return 1 / 0 if"))
    row = page.locator("tr.broken")
    row.wait_for()
    assert "little ink is one" in row.text_content()
    assert "ZeroDivisionError" in page.locator("tr.fault pre").text_content()
    assert page.locator("#problem").is_visible()
    page.get_by_role("link", name="Images").click()
    page.locator(".tile").first.wait_for()
    lfs.write_text(LFS)
    page.locator("#problem").wait_for(state="hidden")


@pytest.mark.usefixtures("without_answers")
def test_a_key_answers_and_goes_on_to_the_next_image(visit, server):
    page = visit("images")
    page.locator(".tile.current").wait_for()
    first = current_row(page)
    page.keyboard.press("3")
    assert eventually(page, lambda: len(answers(server)) == 1)
    given = answers(server)[0]
    assert (given["image_id"], given["label"]) == (
        server.session.images.ids[first],
        "3",
    )
    assert given["who"]
    assert given["when"].startswith("20")
    assert given["why"] == "chosen"
    second = current_row(page)
    assert second != first
    page.keyboard.press("ArrowRight")
    page.keyboard.press("u")
    assert eventually(page, lambda: not answers(server))
    # The next key is meant for the image whose answer was taken back.
    assert eventually(page, lambda: current_row(page) == first)


@pytest.mark.usefixtures("without_answers")
def test_enter_confirms_and_shift_selects_a_range(visit, server):
    page = visit("images?class=1&sort=sure")
    page.locator(".tile.current").wait_for()
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    assert page.locator('.tile[aria-selected="true"]').count() == 5
    page.keyboard.press("Enter")
    assert eventually(page, lambda: len(answers(server)) == 5)
    assert {one["label"] for one in answers(server)} == {"1"}
    page.locator(".tile").nth(8).click()
    page.locator(".tile").nth(10).click(modifiers=["Shift"])
    page.get_by_role("toolbar").get_by_role("button", name="7").click()
    assert eventually(page, lambda: len(answers(server)) == 8)
    page.get_by_role("toolbar").get_by_role("button", name="undo").click()
    assert eventually(page, lambda: len(answers(server)) == 5)
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    assert "undo" in page.get_by_role("dialog").text_content()
    page.keyboard.press("Escape")


@pytest.mark.usefixtures("without_answers")
def test_thirty_answers_by_keyboard_alone(visit, server):
    page = visit("functions")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Next":
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/next")
    page.locator(".tile.current").wait_for()
    truth = server.session.images.labels
    for done in range(30):
        page.keyboard.press(str(truth[current_row(page)]))
        assert eventually(page, lambda done=done: len(answers(server)) == done + 1)
    ids = {name: row for row, name in enumerate(server.session.images.ids)}
    for one in answers(server):
        assert int(one["label"]) == truth[ids[one["image_id"]]]
    assert len({one["why"] for one in answers(server)}) >= 2


@pytest.mark.usefixtures("without_answers")
def test_a_key_held_down_is_one_answer(visit, server):
    page = visit("images?class=1")
    page.locator(".tile.current").wait_for()
    for key in ("3", "Enter"):
        for _ in range(5):
            page.keyboard.down(key)
        page.keyboard.up(key)
    assert eventually(page, lambda: len(answers(server)) == 2)
    page.keyboard.press("9")  # after what the held keys might have sent
    assert eventually(page, lambda: "9" in {one["label"] for one in answers(server)})
    assert len(answers(server)) == 3


@pytest.mark.usefixtures("without_answers")
def test_of_a_whole_screen_only_drawn_images_are_random(visit, server):
    page = visit("next")
    page.locator(".tile.current").wait_for()
    page.keyboard.press("Control+a")
    page.keyboard.press("3")
    assert eventually(page, lambda: len(answers(server)) > 12)
    page.wait_for_function("document.querySelectorAll('.answered').length > 12")
    page.keyboard.press("Control+a")
    page.keyboard.press("Enter")
    page.locator("#said", has_text="images: 3").wait_for()
    why = [one["why"] for one in answers(server)]
    assert why.count("drawn at random") == 12


@pytest.mark.usefixtures("without_answers")
def test_what_is_not_saved_is_told_and_not_ticked(visit, server):
    page = visit("images?class=1")
    page.locator(".tile.current").wait_for()
    page.route("**/api/answer", lambda route: route.abort("aborted"))
    for key in ("3", "Enter"):
        page.keyboard.press("Home")
        page.keyboard.press(key)
        page.locator("#said", has_text="Not saved").wait_for()
        assert page.locator(".tile.answered").count() == 0
        page.evaluate("document.getElementById('said').textContent = ''")
    assert answers(server) == []


@pytest.mark.usefixtures("without_answers")
def test_a_class_put_in_while_a_page_is_open_renames_no_label(visit, server, lfs):
    assert server.session.wait_for(lambda session: session.is_full_current, 120)
    page = visit("images?class=1&sort=sure")
    one = page.locator(".tile", has_text=re.compile("^1")).first
    one.wait_for()
    row = int(re.search(r"image (\d+)", one.get_attribute("aria-label"))[1])
    session = server.session
    text = LFS.replace("[str(digit)", "['new'] + [str(digit)")
    for old, new in (("=[1]", "=[2]"), ("=[0]", "=[1]"), ("n 1 i", "n 2 i")):
        text = text.replace(old, new)
    lfs.write_text(text.replace("return 0 if", "return 1 if"))
    try:
        buttons = page.get_by_role("toolbar").get_by_role("button")
        assert eventually(page, lambda: buttons.count() == 12)  # and undo
        same = page.locator(f'.tile[aria-label^="image {row},"]')
        same.wait_for()
        assert same.locator(".label").text_content() == "1"
        same.click()
        page.keyboard.press("Enter")
        assert eventually(page, lambda: len(answers(server)) == 1)
        assert answers(server)[0]["label"] == "1"
    finally:
        session.undo()
        lfs.write_text(LFS)
        assert session.wait_for(
            lambda session: len(session.class_names) == 10 and session.is_full_current,
            120,
        )


@pytest.mark.usefixtures("without_answers")
def test_two_browsers_see_the_same_answers(visit, server):
    one, other = visit("images"), visit("images")
    one.locator(".tile.current").wait_for()
    other.locator(".tile.current").wait_for()
    one.keyboard.press("9")
    other.locator(".tile.answered").wait_for()
    assert other.locator("#answered").text_content() == "1 answer"


def test_the_grid_holds_only_what_is_in_view(visit, server):
    page = visit("images")
    page.locator(".tile").first.wait_for()
    n = page.locator(".tile").count()
    assert 20 < n < 400
    page.keyboard.press("End")
    assert eventually(page, lambda: current_row(page) == 1796)
    assert page.locator(".tile").count() < 400
    loaded = "[...document.querySelectorAll('.tile img')].every(i => i.complete)"
    assert eventually(page, lambda: page.evaluate(loaded))


@pytest.mark.usefixtures("without_answers")
def test_many_tabs_of_one_browser_are_all_live(visit, server):
    first = visit("images")
    tabs = [first]
    for _ in range(7):
        tab = first.context.new_page()
        tab.goto(f"http://127.0.0.1:{server.port}/functions")
        tab.locator("#functions tr").first.wait_for(timeout=QUICK_MS)
        tabs.append(tab)
    server.session.answer([4], 4, "chosen")
    for tab in tabs:
        tab.locator("#answered", has_text="1 answer").wait_for(timeout=QUICK_MS)
    first.close()  # it followed the events: another one takes over
    server.session.answer([5], 5, "chosen")
    for tab in tabs[1:]:
        tab.locator("#answered", has_text="2 answers").wait_for(timeout=QUICK_MS)


def test_filters_stand_in_the_address(visit, server):
    page = visit("images")
    page.locator(".tile").first.wait_for()
    page.locator("select[name=class]").select_option("1")
    page.wait_for_url("**/images?class=1")
    count = page.locator("#count")
    ones = int((server.session.full.labels == 1).sum())
    assert eventually(page, lambda: count.text_content().startswith(f"{ones} images"))
    page.reload()
    assert eventually(page, lambda: count.text_content().startswith(f"{ones} images"))
    page.go_back()
    assert eventually(page, lambda: count.text_content().startswith("1,797 images"))


@pytest.mark.usefixtures("without_answers")
def test_one_image_is_looked_at_closely(visit, server):
    page = visit("images")
    page.locator(".tile.current").wait_for()
    page.keyboard.press(" ")
    dialog = page.get_by_role("dialog", name="One image")
    dialog.locator("h2").wait_for()
    page.keyboard.press("4")
    assert eventually(page, lambda: len(answers(server)) == 1)
    page.keyboard.press("ArrowLeft")
    dialog.get_by_text("your answer").wait_for()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowLeft")
    dialog.get_by_text("your answer").wait_for()
    dialog.get_by_role("button", name="7").click()
    assert eventually(page, lambda: answers(server)[0]["label"] == "7")
    page.keyboard.press("5")  # keys still act after a click
    assert eventually(page, lambda: len(answers(server)) == 2)
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        ("phone", "dark"),
        ("desktop", "light"),
        pytest.param("phone", "light", marks=pytest.mark.slow),
        pytest.param("desktop", "dark", marks=pytest.mark.slow),
    ],
)
def test_every_page_fits_and_is_accessible(visit, server, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = visit("functions", size=WIDTHS[width], scheme=scheme)
    papers = set()
    for name in PAGES:
        page.goto(
            f"http://127.0.0.1:{server.port}/{name}?name=little_ink_is_one",
        )
        assert eventually(page, lambda: is_loaded(page))
        page.wait_for_timeout(300)
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, name
        papers.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        if name == "report":
            page.locator("#report-frame").wait_for()
        options = {"iframes": False}
        found = Axe().run(page, options=options).response["violations"]
        serious = [
            (one["id"], [node["html"][:120] for node in one["nodes"]][:3])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == [], name
    (paper,) = papers
    shade = np.mean([int(part) for part in re.findall(r"\d+", paper)[:3]])
    assert (shade > 128) == (scheme == "light")
