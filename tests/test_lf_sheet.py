"""The picture of what functions voted for, and the commands that draw it."""

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from lfkit.data.datasets.array_source import ArraySource
from lfkit.data.votes import Votes
from lfkit.report.lf_sheet import lf_sheet

BLUE, ORANGE, GRAY, WHITE = (0, 114, 178), (213, 94, 0), (165, 165, 172), (255,) * 3
LEFT, STEP, TILE, PICTURE = 436, 68, 64, 56  # where the first tile begins, and so on

LFS = """
import torch
from lfkit import ABSTAIN, Quantile, labeling_function
from lfkit.features.feature import feature, image

CLASSES = ["dark", "bright"]

@feature(batched=True, of=[image])
def level(images):
    return 255 * images.mean(dim=(1, 2, 3))

@labeling_function(classes=[0], features=[level], batched=True)
def low_is_dark(mean):
    "Dark images have a low mean."
    return torch.where(mean < 100, 0, ABSTAIN)

@labeling_function(classes=[0], features=[level], kind="deep", batched=True)
def high_is_dark(mean):
    "This one is always wrong."
    return torch.where(mean > 100, 0, ABSTAIN)

@labeling_function(classes=[1], features=[level], batched=True)
def never_says_a_word(mean):
    return torch.full_like(mean, ABSTAIN)

@labeling_function(
    classes=[1],
    features=[level],
    thresholds={"cut": Quantile(level, 0.5)},
    batched=True,
)
def above_median_is_bright(mean, *, cut):
    return torch.where(mean > cut, 1, ABSTAIN)
"""


class Watched(ArraySource):
    """Keeps the rows that were read."""

    rows: tuple[int, ...] = ()

    def read(self, rows):
        self.rows += tuple(rows.tolist())
        return super().read(rows)


def flat(*levels, size=(8, 8), channels=1):
    images = np.zeros((len(levels), *size, channels), np.uint8)
    images[:] = np.array(levels, np.uint8)[:, None, None, None]
    return images


def draw(tmp_path, images, hard, *, k=3, soft=None, allowed=None, **options):
    """Draw votes (n, m) and read the picture back."""
    hard = np.asarray(hard)
    names = options.pop("names", [f"function_{j}" for j in range(hard.shape[1])])
    votes = Votes(hard, tuple(names), k, soft=soft, allowed=allowed)
    source = images if isinstance(images, ArraySource) else ArraySource(images)
    options.setdefault("class_names", [f"class {c}" for c in range(k)])
    lf_sheet(source, votes, tmp_path / "sheet.png", title="votes", **options)
    return load(tmp_path / "sheet.png")


def load(path):
    with Image.open(path) as sheet:
        assert (sheet.format, sheet.mode) == ("PNG", "RGB")
        return np.asarray(sheet)


def tiles(sheet):
    """Find the frames: for each function with images, [(color, shade inside), …]."""
    found = []
    left = sheet[70:, LEFT]  # the left side of each first frame
    framed = np.any([(left == c).all(axis=1) for c in (BLUE, ORANGE, GRAY)], axis=0)
    tops = np.flatnonzero(framed[1:] & ~framed[:-1]) + 1
    for top in tops:
        y = 70 + top
        row = []
        for x in range(LEFT, sheet.shape[1] - TILE, STEP):
            frame = tuple(sheet[y + TILE - 2, x + 1].tolist())
            if frame != WHITE:
                row.append((frame, int(sheet[y + TILE // 2, x + TILE // 2, 0])))
        found.append(row)
    return found


def text_is_in(sheet, text, size, color):
    """Look for a text, drawn with the same font, beside the names."""
    font = ImageFont.load_default(size)
    box = tuple(map(int, font.getbbox(text)))
    stamp = Image.new("RGB", (box[2], box[3]), "white")
    ImageDraw.Draw(stamp).text((0, 0), text, color, font=font)
    wanted = np.asarray(stamp)
    height, width = wanted.shape[:2]
    beside = sheet[:, LEFT : LEFT + width]
    return any(
        np.array_equal(beside[y : y + height], wanted)
        for y in range(len(beside) - height)
    )


def test_frames_and_marks_differ_for_right_and_wrong_votes(tmp_path):
    truth = np.array([0, 1, -1])
    sheet = draw(tmp_path, flat(10, 10, 10), [[0], [0], [0]], truth=truth)
    assert [color for color, _ in tiles(sheet)[0]] == [BLUE, ORANGE, GRAY]
    top = np.flatnonzero((sheet[70:, LEFT] == BLUE).all(axis=1))[0] + 70
    # Without the colors, the corners still tell right, wrong and unknown apart.
    corners = [
        (sheet[top + 1 : top + 10, x + 54 : x + 63] == WHITE).all(axis=2)
        for x in range(LEFT, LEFT + 3 * STEP, STEP)
    ]
    assert corners[0].sum() > 5
    assert corners[1].sum() > 5
    assert (corners[0] != corners[1]).any()
    assert not corners[2].any()


def test_a_wrong_vote_says_what_the_image_is(tmp_path):
    right = draw(tmp_path, flat(10), [[0]], truth=np.array([0]))
    wrong = draw(tmp_path, flat(10), [[0]], truth=np.array([2]))
    assert len(wrong) == len(right) + 16  # one more line
    assert (wrong[-50:] == ORANGE).all(axis=2).any()


def test_frames_are_gray_without_truth(tmp_path):
    assert tiles(draw(tmp_path, flat(10), [[0]])) == [[(GRAY, 10)]]


def test_a_function_that_never_voted_says_so(tmp_path):
    sheet = draw(tmp_path, flat(10, 20), [[0, -1], [1, -1]])
    assert len(tiles(sheet)) == 1
    said = "never voted on these 2 images"
    assert text_is_in(sheet, said, 16, (100, 100, 108))
    assert not text_is_in(sheet, said.replace("2", "3"), 16, (100, 100, 108))


def test_excluded_images_are_neither_shown_nor_scored(tmp_path):
    truth, exclude = np.array([0, 1]), np.array([True, False])
    sheet = draw(tmp_path, flat(10, 20), [[0], [1]], truth=truth, exclude=exclude)
    assert tiles(sheet) == [[(BLUE, 20)]]
    sheet = draw(tmp_path, flat(10, 20), [[0], [-1]], truth=truth, exclude=exclude)
    assert tiles(sheet) == []
    said = "voted only on seeds, or on images that cannot be read"
    assert text_is_in(sheet, said, 16, (100, 100, 108))


def test_images_go_from_the_surest_to_the_least_sure(tmp_path):
    sure = np.linspace(1, 0.5, 100)
    soft = np.stack([sure, 1 - sure], axis=1)[:, None].astype(np.float16)
    images = flat(*range(100, 200))
    row = tiles(draw(tmp_path, images, np.zeros((100, 1)), k=2, soft=soft))[0]
    shades = [shade for _, shade in row]
    assert len(shades) == 14
    assert (shades[0], shades[-1]) == (100, 199)
    assert (np.diff(shades) >= 3).all()


def test_images_are_spread_over_the_classes_named(tmp_path):
    # 300 votes for class 0, two for class 1, one for class 2: shade = class.
    labels = np.repeat([0, 1, 2], [300, 2, 1])
    row = tiles(draw(tmp_path, flat(*labels), labels[:, None]))[0]
    assert [shade for _, shade in row] == [0] * 11 + [1, 1, 2]


def test_of_a_hundred_classes_some_of_all_are_shown(tmp_path):
    labels = np.arange(100).repeat(3)
    row = tiles(draw(tmp_path, flat(*labels), labels[:, None], k=100))[0]
    shades = [shade for _, shade in row]
    assert len(set(shades)) == 14
    assert (shades[0], shades[-1]) == (0, 99)


def test_the_same_votes_give_the_same_picture(tmp_path):
    votes = np.random.default_rng(0).integers(-1, 3, (200, 4))
    first = draw(tmp_path, flat(*range(200)), votes)
    assert np.array_equal(first, draw(tmp_path, flat(*range(200)), votes))


def test_only_the_images_shown_are_read_and_each_once(tmp_path):
    source = Watched(flat(*np.arange(1000) % 256))
    draw(tmp_path, source, np.zeros((1000, 5)))
    assert len(source.rows) == len(set(source.rows)) == 14


def test_a_vote_for_a_set_is_right_where_the_set_holds_the_class(tmp_path):
    allowed = np.array([[[True, True, False]], [[True, True, False]]])
    hard = np.full((2, 1), -1)
    truth = np.array([1, 2])
    sheet = draw(tmp_path, flat(10, 20), hard, allowed=allowed, truth=truth)
    assert tiles(sheet) == [[(BLUE, 10), (ORANGE, 20)]]


@pytest.mark.parametrize("size", [(4, 40), (40, 4), (300, 200), (1, 1)])
def test_images_keep_their_shape_inside_the_frame(tmp_path, size):
    sheet = draw(tmp_path, flat(77, size=size), [[0]])
    drawn = (sheet[70:, LEFT : LEFT + TILE] == 77).all(axis=2)
    height, width = drawn.any(axis=1).sum(), drawn.any(axis=0).sum()
    assert max(height, width) == PICTURE
    assert abs(height / width - size[0] / size[1]) <= 0.1 * max(1, size[0] / size[1])


def test_colored_images_are_drawn_as_they_are(tmp_path):
    colored = np.zeros((1, 8, 8, 3), np.uint8)
    colored[:] = (200, 30, 90)
    assert (draw(tmp_path, colored, [[0]]) == (200, 30, 90)).all(axis=2).any()


def test_any_name_and_claim_stays_in_its_column(tmp_path):
    names = ["a_very_long_name_" * 20, "x" * 300, "猫 \n ü", ""]
    docs = ["a very long claim " * 40, "y" * 3000, "two\nlines", ""]
    sheet = draw(
        tmp_path, flat(10), [[0, 0, 0, 0]], names=names, docs=docs,
        kinds=["heuristic"] * 4, class_names=["", "a class of a very long name", "ü"],
    )  # fmt: skip
    assert (sheet[80:, LEFT - 16 : LEFT] >= 225).all()  # the rules between the rows
    assert len(tiles(sheet)) == 4


def test_a_long_word_takes_one_line(tmp_path):
    options = {"docs": ["a claim " * 40], "kinds": ["deep"]}
    heights = [
        len(draw(tmp_path, flat(10), [[-1]], names=[name], **options))
        for name in ("short", "x" * 99, "x_" * 99)
    ]
    assert heights == [heights[0], heights[0], heights[0] + 20]


def test_accents_are_left_out_as_the_font_has_none(tmp_path):
    first = draw(tmp_path, flat(10), [[0]], class_names=["Tür", "", ""])
    second = draw(tmp_path, flat(10), [[0]], class_names=["Tur", "", ""])
    assert np.array_equal(first, second)


def test_a_row_per_function_sets_the_height(tmp_path):
    one = draw(tmp_path, flat(10), np.zeros((1, 1)))
    many = draw(tmp_path, flat(10), np.zeros((1, 66)))
    assert one.shape[1] == many.shape[1] == 1400
    step = (len(many) - len(one)) / 65
    assert TILE + 20 < step < 150
    assert len(tiles(many)) == 66


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Forty gray squares in folders dark/ and bright/, and functions for them."""
    folder = tmp_path / "photos"
    for name, start in (("dark", 0), ("bright", 180)):
        (folder / name).mkdir(parents=True)
        for level in range(start, start + 60, 3):
            picture = Image.new("L", (12, 12), level)
            picture.save(folder / name / f"{level:03}.png")
    (tmp_path / "my_lfs.py").write_text(LFS)
    monkeypatch.chdir(tmp_path)
    return folder


LIST = ("list", "lfs", "--lfs", "my_lfs.py", "--sheet")


def test_list_draws_what_functions_vote_for(lfkit, photos, tmp_path):
    done = lfkit(*LIST, "--data", "photos", "--seeds-per-class", 5)
    assert (done.code, done.err) == (0, done.err)
    assert "lf_sheet_my_lfs.png  4 functions of my_lfs.py on 40 images" in done.out
    sheet = load(tmp_path / "lf_sheet_my_lfs.png")
    low, high, above = tiles(sheet)
    assert {color for color, _ in low} == {BLUE}
    assert {color for color, _ in high} == {ORANGE}
    assert above  # it was fitted on the seeds
    assert text_is_in(sheet, "never voted on these 40 images", 16, (100, 100, 108))


def test_list_takes_the_data_that_the_file_names(lfkit, photos, tmp_path):
    path = tmp_path / "my_lfs.py"
    path.write_text(LFS + 'DATA = "photos"\n')
    done = lfkit(*LIST, "--seeds-per-class", 5, "--out", "a/b.png", "--json")
    found = json.loads(done.out)[0]
    assert (found["data"], found["sheet"]) == ("photos", "a/b.png")
    assert (found["images"], found["seeds"], found["functions"]) == (40, 10, 4)
    assert load(tmp_path / "a" / "b.png").shape[1] == 1400
    path.write_text(LFS + "DATA = 3\n")
    done = lfkit(*LIST)
    assert (done.code, "DATA of my_lfs.py must name the images" in done.err) == (2, 1)


def test_files_that_name_different_data_name_none(lfkit, photos, tmp_path):
    other = LFS.replace("_is_", "_was_").replace("never", "hardly")
    for name, text, data in (("my_lfs", LFS, "photos"), ("other", other, "digits")):
        (tmp_path / f"{name}.py").write_text(f'{text}DATA = "{data}"\n')
    done = lfkit(*LIST, "--lfs", "other.py")
    assert "my_lfs.py, other.py does not say which images" in done.err


def test_list_draws_some_of_the_kinds(lfkit, photos, tmp_path):
    command = (*LIST, "--data", "photos", "--seeds-per-class", 5, "--json")
    assert json.loads(lfkit(*command, "--kinds", "deep").out)[0]["functions"] == 1
    (row,) = tiles(load(tmp_path / "lf_sheet_my_lfs.png"))
    assert {color for color, _ in row} == {ORANGE}
    listed = lfkit("list", "lfs", "--lfs", "my_lfs.py", "--kinds", "deep", "--json")
    assert [lf["name"] for lf in json.loads(listed.out)] == ["high_is_dark"]


def test_data_without_labels_leaves_out_what_needs_seeds(lfkit, photos, tmp_path):
    done = lfkit(*LIST, "--data", "photos/dark")
    assert done.code == 0
    told = " ".join(done.out.split())
    assert "no labels of these classes, so there are no seeds" in told
    assert "left out (needs seed labels): above_median_is_bright" in told
    (low,) = tiles(load(tmp_path / "lf_sheet_my_lfs.png"))
    assert {color for color, _ in low} == {GRAY}


def test_images_of_different_sizes_need_a_size(lfkit, photos):
    Image.new("L", (20, 10), 9).save(photos / "dark" / "999.png")
    command = (*LIST, "--data", "photos", "--seeds-per-class", 5)
    done = lfkit(*command)
    assert (done.code, "give --size 64 or" in done.err) == (2, True)
    done = lfkit(*command, "--size", "16x12", "--color", "rgb")
    assert "on 41 images" in done.out


def test_faults_and_unreadable_images_are_told(lfkit, photos, tmp_path):
    (tmp_path / "my_lfs.py").write_text(LFS.replace("mean < 100", "mean < cutt"))
    (photos / "dark" / "000.png").write_bytes(b"")
    done = lfkit(*LIST, "--data", "photos", "--seeds-per-class", 5)
    told = " ".join(done.out.split())
    assert "low_is_dark failed on 39 images: raised NameError (name 'cutt'" in told
    assert "1 image cannot be read, such as dark/000.png: the file is" in told


def test_of_many_images_two_thousand_are_looked_at(lfkit, photos, tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, 5000).astype(np.uint8)
    images = np.broadcast_to(levels[:, None, None], (5000, 4, 4)).copy()
    images[:, 0, 0] = np.arange(5000) % 256
    np.savez("data.npz", images=images, labels=(levels >= 100).astype(int))
    (tmp_path / "one.py").write_text(LFS)
    command = ("list", "lfs", "--lfs", "one.py:low_is_dark", "--sheet", "--json")
    done = lfkit(*command, "--data", "data.npz")
    assert json.loads(done.out)[0]["images"] == 2000
    first = load(tmp_path / "lf_sheet_one.png")
    lfkit(*command, "--data", "data.npz")
    assert np.array_equal(first, load(tmp_path / "lf_sheet_one.png"))
    lfkit(*command, "--data", "data.npz", "--seed", 1)
    assert not np.array_equal(first, load(tmp_path / "lf_sheet_one.png"))


def test_shipped_functions_without_their_data_are_told(lfkit, photos, monkeypatch):
    from lfkit.cli import list as listing

    (photos.parent / "named_lfs.py").write_text(LFS + 'DATA = "photos"\n')
    (photos.parent / "lost_lfs.py").write_text(LFS + 'DATA = "nowhere"\n')
    monkeypatch.setattr(listing, "_SHIPPED", ("named_lfs.py", "lost_lfs.py"))
    done = lfkit("list", "lfs", "--sheet", "--seeds-per-class", 5)
    assert done.code == 0
    assert "lf_sheet_named_lfs.png  4 functions of named_lfs.py" in done.out
    assert "lost_lfs.py: no sheet; there is no data set or file 'nowhere'" in done.out
    monkeypatch.setattr(listing, "_SHIPPED", ("lost_lfs.py", "lost_lfs.py"))
    assert lfkit("list", "lfs", "--sheet").code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (LIST, "my_lfs.py does not say which images its functions were written for; g"),
        ((*LIST, "--data", "nowhere"), "there is no data set or file 'nowhere'"),
        ((*LIST, "--data", "photos"), "all 40 readable images of photos are seeds"),
        ((*LIST, "--data", "photos", "--out", "photos"), "photos is a folder; --out t"),
        ((*LIST, "--data", "photos", "--seed", "-1"), "--seed is -1; give a whole"),
        ((*LIST, "--data", "photos", "--size", "big"), "--size is 'big'"),
        ((*LIST, "--data", "photos", "--seeds-per-class", "0"), "at least 1, got 0"),
        ((*LIST, "--kinds", "magic"), "there is no kind 'magic'; choose from"),
        (("list", "aggregators", "--sheet"), "write `lfkit list lfs --sheet`"),
        (("list", "--sheet"), "write `lfkit list lfs --sheet`"),
        (("list", "lfs", "--sheet", "--data", "digits"), "--data is for one sheet"),
        (("list", "lfs", "--sheet", "--out", "a.png"), "--out is for one sheet"),
        (("list", "lfs", "--data", "digits"), "--data goes with --sheet"),
        (
            ("list", "lfs", "--lfs", "my_lfs.py", "--kinds", "image-processing"),
            "there is no labeling function of kind image-processing",
        ),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_2(lfkit, photos, arguments, message):
    done = lfkit(*arguments)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err


@pytest.fixture
def run(lfkit, photos):
    command = ("apply", "photos", "--lfs", "my_lfs.py", "--seeds-per-class", 5)
    assert lfkit(*command, "--no-baselines", "--no-sheet").code == 0
    return photos.parent / "run"


def test_analyze_draws_the_votes_of_a_run_from_disk(lfkit, run):
    (run.parent / "my_lfs.py").unlink()
    done = lfkit("analyze", run, "--sheet")
    assert done.code == 0, done.err
    assert f"{run / 'lf_sheet.png'}: what each function voted for" in done.out
    low, high, above = tiles(load(run / "lf_sheet.png"))
    assert {color for color, _ in (*low, *above)} == {BLUE}
    assert {color for color, _ in high} == {ORANGE}
    done = lfkit("analyze", run, "--sheet", "--json")
    assert json.loads(done.out)["sheet"] == str(run / "lf_sheet.png")
    assert "sheet" not in json.loads(lfkit("analyze", run, "--json").out)


def test_analyze_draws_votes_made_elsewhere(lfkit, photos, tmp_path):
    np.save("votes.npy", np.array([[0, -1]] * 20 + [[1, 0]] * 20))
    lfkit("apply", "photos", "--votes", "votes.npy", "--out", "run")
    assert lfkit("analyze", "run", "--sheet").code == 0
    first, second = tiles(load(tmp_path / "run" / "lf_sheet.png"))
    assert {color for color, _ in first} == {BLUE}  # bright/ comes first
    assert {color for color, _ in second} == {ORANGE}


def test_analyze_says_when_the_images_are_gone_or_others(lfkit, run, photos):
    (photos / "dark" / "000.png").unlink()
    done = lfkit("analyze", run, "--sheet")
    assert (done.code, "are no longer those that" in done.err) == (2, True)
    photos.rename(photos.parent / "moved")
    done = lfkit("analyze", run, "--sheet")
    assert done.code == 2
    assert "cannot be opened: there is no data set or file 'photos'" in done.err
    assert lfkit("analyze", run).code == 0
