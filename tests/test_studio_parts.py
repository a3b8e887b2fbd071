"""The parts of the studio that know no web: arrays in, arrays out."""

import io
import threading

import numpy as np
import pytest
from PIL import Image

from lfkit import LFApplier, Votes
from lfkit.data.datasets import open_images
from lfkit.data.datasets.array_source import ArraySource
from lfkit.data.labels import wilson_interval
from lfkit.errors import InputError
from lfkit.features import FEATURES
from lfkit.labeling.loading import load_lfs
from lfkit.metrics.image_checks.near_duplicates import near_duplicates, small_grays
from lfkit.studio.estimates import estimates
from lfkit.studio.map_layout import map_layout
from lfkit.studio.next_images import (
    CONTRADICTED,
    DISPUTED,
    RANDOM,
    UNCOVERED,
    suggestions,
    vote_counts,
)
from lfkit.studio.number_names import number_name
from lfkit.studio.preview_images import preview_rows
from lfkit.studio.random_sample import random_order, sample_so_far, to_ask
from lfkit.studio.separating import (
    Separation,
    cheap_features,
    separating_features,
    snippet,
)
from lfkit.studio.telling_apart import compared_rows
from lfkit.studio.thumbnails import Thumbnails, pack


def picture(data):
    """Decode a WebP to (h, w, c)."""
    image = Image.open(io.BytesIO(data))
    assert image.format == "WEBP"
    return np.asarray(image)


def plain_images(n, side=8):
    """Give n images, image i of gray level i."""
    return np.repeat(np.arange(n, dtype=np.uint8), side * side).reshape(n, side, side)


# Thumbnails


def test_a_small_image_is_shown_as_it_is(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 6, 3), np.uint8)
    thumbnails = Thumbnails(ArraySource(images), tmp_path)
    for row, image in enumerate(images):
        np.testing.assert_array_equal(picture(thumbnails.webp(row)), image)


def test_a_large_image_keeps_its_proportions(tmp_path):
    images = np.full((1, 400, 200, 3), 90, np.uint8)
    thumbnails = Thumbnails(ArraySource(images), tmp_path, side=96)
    found = picture(thumbnails.webp(0))
    assert found.shape == (96, 48, 3)
    assert np.abs(found.astype(int) - 90).max() <= 2


class Counting(ArraySource):
    """Counts the images that are read."""

    n_read = 0

    def read(self, rows):
        Counting.n_read += len(rows)
        return super().read(rows)


def test_many_pictures_are_read_together_in_any_order(tmp_path):
    thumbnails = Thumbnails(Counting(plain_images(50)), tmp_path)
    thumbnails.webp(7)
    Counting.n_read = 0
    rows = [40, 3, 7, 3, 49]
    found = thumbnails.webps(rows)
    assert [int(picture(data).mean()) for data in found] == rows
    assert Counting.n_read == 3  # 7 is held, 3 is there twice
    assert thumbnails.webps([]) == []


def test_a_pack_holds_how_many_their_lengths_and_the_pictures():
    data = pack([b"first", b"", b"third"])
    n = int.from_bytes(data[:4], "little")
    sizes = np.frombuffer(data[4 : 4 + 4 * n], "<u4").tolist()
    assert (n, sizes, data[16:]) == (3, [5, 0, 5], b"firstthird")


def test_pictures_are_kept_on_disk_by_content(tmp_path):
    images = np.repeat(plain_images(12, side=70)[..., None], 3, axis=3)
    Counting.n_read = 0
    first = Thumbnails(Counting(images), tmp_path)
    data = first.webps([7, 8])
    assert Counting.n_read == 2
    again = Thumbnails(Counting(images), tmp_path)
    assert again.webps([7, 8]) == data
    assert Counting.n_read == 2
    changed = images.copy()
    changed[7] = 255
    other = Thumbnails(Counting(changed), tmp_path)
    assert other.key(7) != first.key(7)
    assert other.key(8) == first.key(8)
    assert picture(other.webp(7)).min() >= 253


def test_only_so_many_bytes_are_held(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 32, 32), np.uint8)
    source = ArraySource(images)
    roomy = Thumbnails(source, tmp_path / "a")
    size = len(roomy.webp(0))
    tight = Thumbnails(source, tmp_path / "b", held_bytes=5 * size)
    for row in range(40):
        assert tight.webp(row) == roomy.webp(row)
    assert sum(map(len, tight._held.values())) <= 6 * size


def test_files_are_shown_with_their_own_proportions(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (300, 150), (200, 30, 30)).save(folder / "a.png")
    Image.new("RGB", (100, 400), (30, 30, 200)).save(folder / "b.png")
    source = open_images(str(folder), size=(16, 16))
    thumbnails = Thumbnails(source, tmp_path / "cache", side=60)
    wide, high = map(picture, thumbnails.webps([0, 1]))
    assert (wide.shape, high.shape) == ((30, 60, 3), (60, 15, 3))
    assert np.abs(wide.astype(int) - (200, 30, 30)).max() < 8


def test_without_room_on_disk_pictures_are_shown_all_the_same(tmp_path):
    (tmp_path / "cache").write_text("a file lies where the folder must be")
    images = plain_images(3, side=80)
    thumbnails = Thumbnails(ArraySource(images), tmp_path / "cache")
    assert picture(thumbnails.webp(2)).max() <= 4


def test_an_image_that_cannot_be_read_is_gray_and_is_tried_again(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    good = Image.new("RGB", (64, 64), (10, 200, 10))
    good.save(folder / "a.png")
    good.save(folder / "b.png")
    source = open_images(str(folder))
    whole = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(whole[:50])
    thumbnails = Thumbnails(source, tmp_path / "cache", side=32)
    assert np.abs(picture(thumbnails.webp(1)).astype(int) - 128).max() < 3
    (folder / "b.png").write_bytes(whole)
    green = picture(thumbnails.webp(1))[16, 16].astype(int)
    assert np.abs(green - (10, 200, 10)).max() < 8


def test_several_threads_ask_at_once(tmp_path):
    images = plain_images(200, side=66)
    thumbnails = Thumbnails(ArraySource(images), tmp_path, held_bytes=500)
    wrong = []

    def ask(first):
        for row in range(first, 200, 3):
            if np.abs(picture(thumbnails.webp(row)).astype(int) - row).max() > 3:
                wrong.append(row)

    threads = [threading.Thread(target=ask, args=(start,)) for start in (0, 1, 2, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("row", [-1, 3])
def test_an_image_that_is_not_there_is_named(tmp_path, row):
    thumbnails = Thumbnails(ArraySource(plain_images(3)), tmp_path)
    with pytest.raises(InputError, match=f"no image {row}; array has images 0 to 2"):
        thumbnails.webps([0, row])


def test_a_picture_has_at_least_a_pixel(tmp_path):
    with pytest.raises(InputError, match="side is 0"):
        Thumbnails(ArraySource(plain_images(1)), tmp_path, side=0)


# Near-duplicates


def noisy(images, rng, by):
    changed = images.astype(int) + rng.integers(-by, by + 1, images.shape)
    return np.clip(changed, 0, 255).astype(np.uint8)


def test_copies_with_noise_or_other_brightness_are_grouped():
    rng = np.random.default_rng(0)
    smooth = rng.integers(0, 200, (40, 6, 6), np.uint8).repeat(4, 1).repeat(4, 2)
    brighter = (smooth[:5] * 0.9 + 20).astype(np.uint8)
    images = np.concatenate([smooth, noisy(smooth[:10], rng, 6), brighter])[..., None]
    features = small_grays(images).astype(np.float32)
    features -= features.mean(axis=1, keepdims=True)
    group = near_duplicates(features, small_grays(images))
    expected = np.concatenate([np.arange(40), np.arange(10), np.arange(5)])
    assert group.tolist() == expected.tolist()


def test_a_group_is_around_one_image_and_no_chain():
    angles = np.deg2rad(np.arange(0, 90, 2.5))
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    features = np.concatenate([ring, -ring])  # centered already
    grays = np.tile(np.arange(16, dtype=np.uint8), (72, 1))
    group = near_duplicates(features, grays, least_similarity=np.cos(np.deg2rad(3)))
    assert np.bincount(group).max() <= 3  # neighbours of one are 2.5 degrees away
    assert (np.bincount(group) > 1).any()


def test_images_must_agree_in_features_and_in_pixels():
    features = np.repeat(np.eye(32), 2, axis=0)
    rising = np.arange(256, dtype=np.uint8)
    grays = np.stack([rising, rising] * 31 + [rising, rising[::-1]])
    expected = [*np.repeat(np.arange(0, 62, 2), 2), 62, 63]
    assert near_duplicates(features, grays).tolist() == expected


def test_an_image_without_features_is_like_no_other():
    features = np.eye(64)[[0, *range(64)]]
    features[1] = np.nan
    grays = np.tile(np.arange(4, dtype=np.uint8), (65, 1))
    assert near_duplicates(features, grays).tolist() == [*range(65)]


def test_many_equal_images_are_one_group():
    features = np.zeros((3000, 5))
    features[-1] = 1
    grays = np.zeros((3000, 256), np.uint8)
    grays[-1] = np.arange(256)
    assert near_duplicates(features, grays).tolist() == [0] * 2999 + [2999]


def test_blocks_do_not_change_the_groups():
    rng = np.random.default_rng(0)
    features = np.repeat(rng.normal(size=(900, 6)), 2, axis=0)
    grays = np.repeat(rng.integers(0, 255, (900, 256), np.uint8), 2, axis=0)
    group = near_duplicates(features, grays, least_similarity=0.999)
    assert (group.reshape(900, 2) == np.arange(0, 1800, 2)[:, None]).all()


def test_near_duplicates_need_one_row_each():
    with pytest.raises(InputError, match="one row per image"):
        near_duplicates(np.zeros((3, 2)), np.zeros((2, 4), np.uint8))
    with pytest.raises(InputError, match="least_similarity is 0"):
        near_duplicates(np.ones((2, 2)), np.zeros((2, 4), np.uint8), least_similarity=0)


# What to look at next


def four_kinds():
    """Give 100 images: 40 without votes, 20 disputed, 40 agreed upon."""
    hard = np.full((100, 4), -1)
    hard[40:60] = [0, 0, 1, 1]
    hard[60:] = [1, 1, 1, -1]
    votes = Votes(hard, names=tuple("abcd"), n_classes=2)
    proba = np.full((100, 2), 0.5)
    proba[60:] = [0.1, 0.9]
    features = np.zeros((100, 3))
    features[:30, 0] = 9  # 30 uncovered images look alike, and 10 others
    return votes, proba, features


def by_reason(found):
    rows = {}
    for each in found:
        rows.setdefault(each.why, []).append(each.rows.tolist())
    return rows


def test_each_reason_has_its_images_and_a_share_is_random():
    votes, proba, features = four_kinds()
    found = suggestions(votes, proba, features, {70: 0, 71: 1}, n=30)
    rows = by_reason(found)
    assert rows[CONTRADICTED] == [[70]]  # 71 is voted right
    assert len(rows[RANDOM][0]) == 6  # one in five
    (disputed,) = rows[DISPUTED]
    assert len(disputed) == 8
    assert set(disputed) <= set(range(40, 60))
    assert all(set(group) <= set(range(40)) for group in rows[UNCOVERED])
    everything = [row for groups in rows.values() for group in groups for row in group]
    assert len(everything) == len(set(everything)) == 30


def test_uncovered_images_are_grouped_by_look():
    votes, proba, features = four_kinds()
    found = suggestions(votes, proba, features, {}, n=40, random_share=0)
    groups = [each for each in found if each.why == UNCOVERED]
    looks = [set((group.rows < 30).tolist()) for group in groups if len(group.rows)]
    assert all(len(look) == 1 for look in looks)
    assert {True} in looks
    assert {False} in looks
    assert sum(group.n_alike for group in groups) == 40


def test_random_images_stay_until_they_are_answered():
    votes, proba, features = four_kinds()

    def drawn(seeds):
        found = suggestions(votes, proba, features, seeds, n=50)
        return next(each for each in found if each.is_random).rows.tolist()

    first = drawn({})
    assert drawn({}) == first
    after = drawn({first[0]: 1, first[3]: 0})
    assert after[:8] == [row for row in first if row not in (first[0], first[3])]


def test_random_images_are_drawn_from_all_alike():
    hard = np.full((50, 1), -1)
    hard[:25] = 0
    votes = Votes(hard, names=("a",), n_classes=2)
    proba = np.full((50, 2), 0.5)
    times = np.zeros(50)
    for state in range(400):
        found = suggestions(votes, proba, None, {}, n=10, random_state=state)
        times[next(each for each in found if each.is_random).rows] += 1
    assert times.sum() == 800
    assert times.min() >= 4  # 16 are expected of each
    assert abs(times[:25].sum() - 400) < 60


def test_the_same_arguments_give_the_same_images():
    votes, proba, features = four_kinds()
    first, again = (
        [each.rows.tolist() for each in suggestions(votes, proba, features, {3: 0})]
        for _ in range(2)
    )
    assert first == again


def test_soft_votes_and_sets_are_counted_as_they_say():
    hard = np.array([[0, 1], [-1, -1]])
    soft = np.array([[[0.75, 0.25, 0], [0, 1, 0]], [[0, 0, 0], [0, 0, 0]]])
    allowed = np.zeros((2, 2, 3), bool)
    allowed[1, 0] = [True, True, False]
    votes = Votes(hard, names=("a", "b"), n_classes=3, soft=soft, allowed=allowed)
    assert vote_counts(votes).tolist() == [[0.75, 1.25, 0], [0.5, 0.5, 0]]


def test_fewer_images_than_asked_for_is_no_error():
    votes = Votes(np.array([[0], [-1]]), names=("a",), n_classes=2)
    found = suggestions(votes, np.full((2, 2), 0.5), np.zeros((2, 2)), {0: 0, 1: 1})
    assert found == []


def test_what_makes_no_sense_is_refused():
    votes, proba, features = four_kinds()
    with pytest.raises(InputError, match="random_share"):
        suggestions(votes, proba, features, {}, random_share=1.5)
    with pytest.raises(InputError, match="features has 3 rows for the votes of 100"):
        suggestions(votes, proba, features[:3], {})


# Estimates


def test_wilsons_interval_is_that_of_his_paper():
    # Newcombe (1998), https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<857, tab. I
    assert np.round(wilson_interval(81, 263), 4).tolist() == [0.2553, 0.3662]
    assert np.round(wilson_interval(0, 20), 4).tolist() == [0, 0.1611]
    assert wilson_interval(0, 0) == (0, 1)


def test_only_random_answers_are_counted():
    proba = np.tile([0.8, 0.2], (30, 1))
    answers = np.array([0] * 16 + [1] * 4 + [1] * 10)
    is_random = np.arange(30) < 20  # 16 of 20 right, as sure as right
    found = estimates(proba, answers, is_random)
    assert (found.n, found.accuracy) == (20, 0.8)
    assert found.calibration_error == pytest.approx(0)
    assert (found.low, found.high) == wilson_interval(16, 20)
    assert "from 20 random answers" in found.sentence()


def test_without_random_answers_nothing_is_estimated():
    found = estimates(np.full((3, 2), 0.5), np.zeros(3, int), np.zeros(3, bool))
    assert (found.n, found.accuracy, found.calibration_error) == (0, None, None)
    assert found.sentence() == "no random image has been answered yet"


def test_estimates_need_as_many_of_each():
    with pytest.raises(InputError, match="2 posteriors, 3 answers"):
        estimates(np.ones((2, 2)), np.zeros(3, int), np.ones(3, bool))


# The random sample


def test_what_is_drawn_is_a_beginning_of_one_order():
    order = random_order(50, 3)
    assert sorted(order.tolist()) == [*range(50)]
    assert to_ask(order, order[[0, 2]]).tolist() == order[[1, *range(3, 14)]].tolist()
    assert preview_rows(50, 20, 3).tolist() == sorted(order[:20].tolist())
    assert sample_so_far(order, {}).rows.tolist() == []
    # 0 and 2 were drawn, 1 was answered before its turn, 4 later: 3 lies open.
    why = {0: RANDOM, 1: "chosen", 2: RANDOM, 4: "chosen", 5: RANDOM, 9: "chosen"}
    found = sample_so_far(order, {int(order[at]): text for at, text in why.items()})
    assert found.rows.tolist() == order[[0, 1, 2, 4, 5]].tolist()
    assert found.n_open == 1


def test_no_image_is_believed_to_be_drawn_far_beyond_the_others():
    order = random_order(50, 0)
    why = {int(order[at]): RANDOM for at in (0, 30)}
    assert sample_so_far(order, why).rows.tolist() == order[:1].tolist()


def test_answers_to_disputed_images_do_not_shift_the_sample():
    rng = np.random.default_rng(0)
    n, shares = 300, []
    for seed in range(60):
        is_right = rng.random(n) < 0.8
        order, why = random_order(n, seed), {}
        wrong = np.flatnonzero(~is_right)
        for screen in range(4):  # wrong ones are suggested first, and answered
            why |= dict.fromkeys(wrong[12 * screen : 12 * screen + 12].tolist(), "")
            asked = to_ask(order, np.asarray([*why], np.int64)).tolist()
            why |= dict.fromkeys(asked, RANDOM)
        sample = sample_so_far(order, why)
        assert sample.n_open == 0
        shares.append(is_right[sample.rows].mean() - is_right.mean())
    # Of images drawn because they had no answer yet, .86 of .8 are right.
    assert abs(np.mean(shares)) < 0.02


# The map


def clouds(n_per_class=400, d=60):
    rng = np.random.default_rng(0)
    means = rng.normal(size=(4, d)) * 2
    labels = np.tile(np.arange(4), n_per_class)
    return means[labels] + rng.normal(size=(len(labels), d)) * 3, labels


def nearest_is_alike(places, labels):
    """Give the share of places whose nearest neighbour has the same label."""
    gaps = ((places[:, None] - places[None]) ** 2).sum(axis=2)
    np.fill_diagonal(gaps, np.inf)
    return (labels[gaps.argmin(axis=1)] == labels).mean()


def test_classes_lie_apart_on_the_map():
    features, labels = clouds()
    places = map_layout(features, labels)
    assert places.shape == (1600, 2)
    assert places.dtype == np.float32
    assert places.min() == 0
    assert places.max() == 1
    assert nearest_is_alike(places, labels) > 0.95
    assert nearest_is_alike(map_layout(features), labels) > 0.6


def test_images_beyond_the_landmarks_are_placed_among_their_like():
    features, labels = clouds(n_per_class=800)
    some = np.where(np.arange(3200) % 10 == 0, labels, -1)
    places = map_layout(features, some)
    assert len(places) == 3200
    assert nearest_is_alike(places, labels) > 0.9


def test_the_same_arguments_give_the_same_map():
    features, labels = clouds(n_per_class=50)
    np.testing.assert_array_equal(
        map_layout(features, labels), map_layout(features, labels)
    )


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7])
def test_a_few_images_have_a_map_too(n):
    places = map_layout(np.random.default_rng(0).normal(size=(n, 4)))
    assert places.shape == (n, 2)
    assert np.isfinite(places).all()


def test_a_value_that_is_not_known_counts_as_the_mean():
    features, labels = clouds(n_per_class=50)
    features[::7, 3] = np.nan
    features[:, 5] = 2.5  # tells nothing
    features[:, 6] = np.nan
    assert np.isfinite(map_layout(features, labels)).all()


def test_the_map_needs_one_label_per_image():
    with pytest.raises(InputError, match="one label per image"):
        map_layout(np.zeros((4, 2)), np.zeros(3, int))


# What separates a selection


def test_the_feature_that_differs_is_found_with_its_cut():
    rng = np.random.default_rng(0)
    selected = np.arange(200) < 50
    table = {
        "noise": rng.normal(size=(200, 3)),
        "weight": np.where(selected, 10.0, 2.0) + rng.normal(size=200) * 0.1,
        "low": np.where(selected, -5.0, rng.normal(size=200)),
    }
    found = separating_features(table, selected)
    by_name = {each.feature: each for each in found}
    best = by_name["weight"]
    assert found[0].feature in ("weight", "low")
    assert (best.auc, best.side, best.dimension) == (1.0, "above", None)
    assert 3 < best.cut < 9
    assert (best.share_selected, best.share_others, best.purity) == (1, 0, 1)
    assert by_name["low"].side == "below"
    assert by_name["noise"].auc < 0.8


def test_a_whole_feature_may_tell_what_no_number_of_it_tells():
    rng = np.random.default_rng(0)
    selected = np.arange(1200) % 2 == 0
    both = rng.normal(size=1200) * 5
    table = {"pair": np.stack([both, both + np.where(selected, 1, -1)], axis=1)}
    found = separating_features(table, selected)
    assert found[0].is_whole
    assert found[0].auc > 0.9
    assert all(each.auc < 0.7 for each in found[1:])


def test_missing_values_and_constant_features_do_no_harm():
    selected = np.arange(40) < 20
    values = np.where(selected, 1.0, 0.0)
    values[[0, 30]] = np.nan
    table = {"part": values, "same": np.ones(40), "none": np.full(40, np.nan)}
    (found,) = separating_features(table, selected)
    assert (found.feature, found.auc) == ("part", 1.0)
    assert found.share_selected == 19 / 20


@pytest.mark.parametrize("selected", [np.zeros(4, bool), np.ones(4, bool)])
def test_a_selection_of_none_or_all_is_refused(selected):
    with pytest.raises(InputError, match="select some, and leave some out"):
        separating_features({"a": np.arange(4.0)}, selected)


def test_every_cheap_feature_exists_and_is_quick():
    for name in cheap_features(3):
        assert FEATURES[name].is_fitted, name
    assert set(cheap_features(1)) < set(cheap_features(3))


@pytest.fixture(scope="module")
def digits():
    source = open_images("digits")
    return source.read(np.arange(400)).pixels, np.asarray(source.labels)[:400]


@pytest.fixture(scope="module")
def separated(digits):
    images, labels = digits
    table = {name: FEATURES[name](images) for name in cheap_features(1)}
    return separating_features(table, labels == 0)


def write(path, text):
    path.write_text(text)
    return load_lfs([str(path)]).lfs


def test_a_rule_with_a_cut_runs_as_it_is_pasted(digits, separated, tmp_path):
    images, labels = digits
    best = next(each for each in separated if not each.is_whole)
    functions = write(tmp_path / "mine.py", snippet(best, 0, "zero"))
    votes = LFApplier(list(functions), n_classes=10).apply(images)
    voted = votes.hard[:, 0] == 0
    # float16 may move an image that lies on the cut.
    assert voted[labels == 0].mean() == pytest.approx(best.share_selected, abs=0.03)
    assert voted[labels != 0].mean() == pytest.approx(best.share_others, abs=0.03)


def test_a_rule_of_a_whole_feature_runs_as_it_is_pasted(digits, separated, tmp_path):
    images, labels = digits
    best = next(each for each in separated if each.is_whole)
    text = "CLASSES = tuple('0123456789')\n" + snippet(best, 0, "0")
    functions = write(tmp_path / "mine.py", text)
    seeds = np.arange(100)
    votes = LFApplier(list(functions), n_classes=10).apply(
        images, seed_rows=seeds, seed_labels=labels[seeds]
    )
    voted = votes.hard[100:, 0] == 0
    assert voted.any()
    assert (labels[100:][voted] == 0).mean() > 0.8


def test_a_rule_of_ones_own_feature_names_it(tmp_path):
    each = Separation("mine", 3, False, "below", -1.5e-05, 0.9, 0.8, 0.1, 0.7)
    text = snippet(each, 2, "T-shirt / top", expression="my_feature(3)")
    assert "FEATURES" not in text
    assert "\nT_SHIRT_TOP = 2\n" in text
    assert "features=[my_feature(3)], classes=[T_SHIRT_TOP]" in text
    assert "def mine_3_below_minus_1_5e_minus_05_is_t_shirt_top(values):" in text
    assert "return T_SHIRT_TOP if values[3] < -1.5e-05 else ABSTAIN" in text
    compile(text, "snippet", "exec")


def test_a_number_with_a_meaning_is_called_by_it():
    each = Separation("crossing_counts", 8, False, "above", 1.5, 0.9, 0.8, 0.1, 0.7)
    assert "# down, band 2 of 7 from the left\n" in snippet(each, 2, "eight")
    for name in cheap_features(3):
        width = FEATURES[name](np.zeros((1, 28, 28, 3), np.uint8)).reshape(-1).size
        if width > 1 and name != "hog":
            names = {number_name(name, i) for i in range(width)}
            assert len(names) == width, name
            assert not any(each.startswith("number") for each in names), name


@pytest.mark.parametrize(
    "name", ["Größe", "1", "class", "  ", "a\nb", "日本", "abstain", "lfs"]
)
def test_any_class_name_makes_a_function(name, tmp_path):
    each = Separation("white_share", None, False, "above", 0.5, 0.9, 0.8, 0.1, 0.7)
    (function,) = write(tmp_path / "mine.py", snippet(each, 1, name))
    assert function.classes == (1,)
    assert function(np.full((8, 8, 3), 255, np.uint8)) == 1


def test_a_selection_is_compared_with_others_of_all_the_data():
    selected = np.arange(20_000)
    mine, others = compared_rows(60_000, selected, 2000, 0)
    assert len(mine) == 800
    assert (np.bincount(mine // 5000, minlength=4) > 120).all()
    assert len(others) == 2000
    assert others.min() >= 20_000
    assert (np.bincount((others - 20_000) // 10_000, minlength=4) > 400).all()
    assert len(compared_rows(100, np.arange(95), 50)[1]) == 5
