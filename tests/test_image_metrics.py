"""Image metrics: exact answers where there are any, and what each reacts to."""

import gc
import weakref

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.ndimage import gaussian_filter

from lfkit.data.datasets import ArraySource, open_images
from lfkit.data.datasets.fashion_mnist import DEBIAN_FOLDER
from lfkit.errors import InputError
from lfkit.metrics import METRICS, ImageSet, MetricContext
from lfkit.metrics.extractors import DomainClassifier, Extractor
from lfkit.metrics.feature_statistics import extracted
from lfkit.metrics.kernel import polynomial_mmd
from lfkit.metrics.parzen import BANDWIDTHS, log_densities
from lfkit.metrics.prdc import neighborhoods


class Lookup(Extractor):
    """Features that are given: an image's first three bytes are its row's number."""

    name = "lookup"

    def __init__(self, rows, proba=None):
        self.rows = np.asarray(rows, np.float32)
        self.proba = None if proba is None else np.asarray(proba, np.float32)
        self.width = self.rows.shape[1]
        self.n_classes = 0 if proba is None else self.proba.shape[1]
        self.checksum = "0123456789abcdef"
        self.n_seen = 0

    def __call__(self, pixels):
        numbers = pixels[:, 0, :3, 0].astype(int) @ (1, 256, 65536)
        self.n_seen += len(numbers)
        found = None if self.proba is None else self.proba[numbers]
        return self.rows[numbers], found


def numbered(first, last, proba=None, name="numbers"):
    """Make images whose pixels are their own number."""
    number = np.arange(first, last)
    pixels = np.stack([number & 255, number >> 8 & 255, number >> 16], axis=1)
    return ImageSet(pixels[:, None, :].astype(np.uint8), proba, name=name)


def score(name, generated, real=None, tools=None):
    """Compute one metric: scores by their metric's name."""
    tools = tools or MetricContext()
    metric = METRICS[name]()
    assert metric.why_not(generated, real, tools) is None
    return {found.metric: found for found in metric.score(generated, real, tools)}


def compare(name, ours, theirs, **tools):
    """Compute one metric of given rows of features."""
    extractor = Lookup(np.concatenate([ours, theirs]))
    split, end = len(ours), len(ours) + len(theirs)
    generated, real = numbered(0, split), numbered(split, end, name="real:test")
    return score(name, generated, real, MetricContext(extractor, **tools))


def gaussian(n, mean, covariance, seed):
    """Draw rows whose own mean and covariance are exactly these."""
    rows = np.random.default_rng(seed).normal(size=(n, len(mean)))
    rows -= rows.mean(axis=0)
    rows = rows @ np.linalg.inv(np.linalg.cholesky(np.cov(rows.T))).T
    return rows @ np.linalg.cholesky(covariance).T + mean


def cloud(n, centre, seed, d=4):
    """Draw rows around a point."""
    return np.random.default_rng(seed).normal(size=(n, d)) + centre


def test_fid_of_two_gaussians_is_the_closed_form():
    a = np.array([[2.0, 0.6, 0.0], [0.6, 1.0, 0.3], [0.0, 0.3, 0.5]])
    b = np.array([[1.0, -0.4, 0.2], [-0.4, 3.0, 0.0], [0.2, 0.0, 0.7]])
    assert not np.allclose(a @ b, b @ a)
    means = np.array([0.0, 1, 2]), np.array([1.0, -1, 2.5])
    away = means[0] - means[1]
    exact = away @ away + np.trace(a + b - 2 * sqrtm(a @ b).real)
    found = compare("fid", gaussian(500, means[0], a, 0), gaussian(300, means[1], b, 1))
    assert found["FID"].value == pytest.approx(exact, abs=1e-5)
    assert found["FID"].title == "FID[lookup@01234567]"
    assert (
        str(found["FID"].protocol) == "500 images, 300 real ones of real:test, seed 0"
    )


def test_fid_of_a_set_and_itself_is_zero():
    rows = cloud(200, 3.0, 0)
    assert compare("fid", rows, rows)["FID"].value == pytest.approx(0, abs=1e-6)


def test_fid_of_fewer_images_than_features_is_finite_and_says_that_it_is_too_high():
    found = compare("fid", cloud(20, 0, 0, d=30), cloud(25, 0, 1, d=30))["FID"]
    assert 0 < found.value < 60
    assert found.note == "too high, by 20 images where 300 would be enough."


def test_fid_of_one_image_is_not_a_number():
    found = compare("fid", cloud(1, 0, 0), cloud(50, 0, 1))["FID"]
    assert np.isnan(found.value)
    assert found.note == "1 images on one side have no covariance."


def two_classes(n, swapped, seed):
    """Draw n rows around 0 and n around 9: rows and their labels."""
    rows = np.concatenate([cloud(n, 0, seed), cloud(n, 9, seed + 1)])
    labels = np.repeat([1, 0] if swapped else [0, 1], n)
    return rows, np.eye(2)[labels]


def test_intra_class_fid_reacts_to_swapped_labels_and_fid_does_not():
    theirs, truth = two_classes(300, False, 0)
    found = {}
    for swapped in (False, True):
        ours, proba = two_classes(300, swapped, 2)
        extractor = Lookup(np.concatenate([ours, theirs]))
        generated, real = numbered(0, 600, proba), numbered(600, 1200, truth)
        found[swapped] = score("fid", generated, real, MetricContext(extractor))
    assert found[True]["FID"].value == found[False]["FID"].value < 1
    assert found[False]["intra-class FID"].value < 1
    assert found[True]["intra-class FID"].value == pytest.approx(4 * 81, rel=0.05)
    classes = [found[True][f"intra-class FID, class {c}"].value for c in (0, 1)]
    assert np.mean(classes) == pytest.approx(found[True]["intra-class FID"].value)


def test_a_class_that_was_never_generated_is_left_out_of_the_mean_and_named():
    theirs, truth = two_classes(100, False, 0)
    ours, proba = cloud(100, 0, 2), np.eye(2)[np.zeros(100, int)]
    extractor = Lookup(np.concatenate([ours, theirs]))
    generated, real = numbered(0, 100, proba), numbered(100, 300, truth)
    found = score("fid", generated, real, MetricContext(extractor))
    mean = found["intra-class FID"]
    assert mean.value == found["intra-class FID, class 0"].value
    assert mean.note.startswith("of 1 of 2 classes: the others have too few images")
    assert np.isnan(found["intra-class FID, class 1"].value)
    assert found["intra-class FID, class 1"].protocol.n_generated == 0


@pytest.mark.parametrize("missing", ["generated", "real", "both"])
def test_intra_class_fid_without_a_class_on_both_sides_says_why(missing):
    none, first, second = np.zeros((50, 2)), np.eye(2)[[0] * 50], np.eye(2)[[1] * 50]
    ours, theirs = {
        "generated": (none, first),
        "real": (first, none),
        "both": (first, second),
    }[missing]
    extractor = Lookup(cloud(100, 0, 0))
    generated, real = numbered(0, 50, ours), numbered(50, 100, theirs)
    found = score("fid", generated, real, MetricContext(extractor))
    assert np.isnan(found["intra-class FID"].value)
    assert found["intra-class FID"].note == (
        "no class has two labeled images on both sides."
    )
    assert found["FID"].value > 0


def test_generated_classes_without_real_images_are_left_out_of_the_mean_and_counted():
    ours, proba = two_classes(100, False, 0)
    theirs, truth = cloud(100, 0, 2), np.eye(2)[np.zeros(100, int)]
    extractor = Lookup(np.concatenate([ours, theirs]))
    generated, real = numbered(0, 200, proba), numbered(200, 300, truth)
    found = score("fid", generated, real, MetricContext(extractor))
    mean = found["intra-class FID"]
    assert mean.value == found["intra-class FID, class 0"].value
    assert mean.note.startswith("of 1 of 2 classes: the others have too few images")
    assert np.isnan(found["intra-class FID, class 1"].value)
    assert found["intra-class FID, class 1"].protocol.n_real == 0


def test_classes_too_many_for_their_covariances_are_said_to_be():
    rows, proba = np.zeros((4, 260)), np.eye(1000)[:4]
    extractor = Lookup(rows)
    generated, real = numbered(0, 4, proba), numbered(0, 4, proba)
    found = score("fid", generated, real, MetricContext(extractor))["intra-class FID"]
    assert np.isnan(found.value)
    assert found.note == (
        "1000 classes of 260 features are too many for their covariances."
    )


def test_kid_of_two_halves_of_one_set_is_zero_within_its_error():
    z = []
    for seed in range(20):
        rows = cloud(2000, 1.0, seed)
        found = compare("kid", rows[:1000], rows[1000:])["KID"]
        z.append(found.value / found.error)
    # Student's t of ten subsets: the mean of twenty is within .7 of 0.
    assert abs(np.mean(z)) < 0.7
    assert 0.5 < np.std(z) < 2
    assert np.max(np.abs(z)) < 4.5


def test_kid_sees_a_small_shift():
    found = compare("kid", cloud(2000, 0.3, 0), cloud(2000, 0, 1))["KID"]
    assert found.value > 5 * found.error > 0
    assert dict(found.protocol.details) == {"subsets": 10, "subset size": 200}


def test_kid_of_small_sets_equals_all_pairs_written_out():
    x, y = cloud(6, 0, 0), cloud(5, 1, 1)

    def kernel(a, b):
        return (a @ b / 4 + 1) ** 3

    own = np.mean([kernel(a, b) for a in x for b in x if a is not b and (a != b).any()])
    other = np.mean([kernel(a, b) for a in y for b in y if (a != b).any()])
    between = np.mean([kernel(a, b) for a in x for b in y])
    assert polynomial_mmd(x, y) == pytest.approx(own + other - 2 * between)


def test_kid_of_three_images_is_not_a_number():
    found = compare("kid", cloud(3, 0, 0), cloud(50, 0, 1))["KID"]
    assert np.isnan(found.value)
    assert found.note == "3 images on one side make no two subsets."


def inception_score(proba):
    n = len(proba)
    return score(
        "inception-score", numbered(0, n), None, MetricContext(Lookup(proba, proba))
    )["IS"]


def test_is_of_uniform_predictions_is_one():
    found = inception_score(np.full((500, 8), 1 / 8))
    assert found.value == pytest.approx(1)
    assert found.error == pytest.approx(0, abs=1e-6)


def test_is_of_sure_and_balanced_predictions_is_the_number_of_classes():
    # Ten random parts are not balanced exactly, hence many images.
    found = inception_score(np.eye(5)[np.arange(20_000) % 5])
    assert found.value == pytest.approx(5, abs=0.02)
    assert 0 < found.error < 0.02
    assert dict(found.protocol.details) == {"splits": 10, "classes": 5}
    assert found.note == ""


def test_is_of_one_class_is_one_and_of_two_classes_of_five_is_two():
    assert inception_score(np.eye(5)[np.zeros(900, int)]).value == pytest.approx(1)
    two = inception_score(np.eye(5)[np.arange(9000) % 2]).value
    assert two == pytest.approx(2, abs=0.01)


def test_is_of_fewer_images_than_classes_says_that_it_is_bounded():
    found = inception_score(np.eye(40)[np.arange(100) % 40])
    assert found.value <= 10
    assert found.note == "bounded by the 10 images of a part, fewer than 40 classes."


def test_is_needs_an_extractor_with_classes():
    metric, images = METRICS["inception-score"](), numbered(0, 9)
    assert metric.why_not(images, None, MetricContext()) == "it needs extractor"
    tools = MetricContext(Lookup(np.zeros((9, 2))))
    assert metric.why_not(images, None, tools) == "lookup has no classes of its own"


def test_far_clouds_share_nothing():
    found = compare("prdc", cloud(100, 0, 0), cloud(100, 99, 1))
    assert [found[name].value for name in found] == [0, 0, 0, 0]


def test_the_same_cloud_shares_everything():
    rows = cloud(100, 0, 0)
    found = compare("prdc", rows, rows.copy())
    names = ("precision", "recall", "coverage")
    assert [found[name].value for name in names] == [1, 1, 1]
    assert found["density"].value >= 1
    assert dict(found["recall"].protocol.details) == {"neighbours": 5}


def test_a_missing_half_costs_recall_and_coverage_only():
    theirs, _ = two_classes(200, False, 0)
    found = compare("prdc", cloud(400, 0, 2), theirs)
    assert found["precision"].value > 0.9
    assert found["recall"].value < 0.55
    assert found["coverage"].value < 0.55


def test_bad_images_cost_precision_and_density_only():
    ours = np.concatenate([cloud(200, 0, 0), cloud(200, 50, 1)])
    found = compare("prdc", ours, cloud(400, 0, 2))
    assert found["precision"].value < 0.55
    assert found["density"].value < 0.6
    assert found["recall"].value > 0.8


def test_shares_are_their_definitions_written_out():
    ours, theirs, k = cloud(40, 0.5, 0), cloud(30, 0, 1), 3
    to = np.linalg.norm(theirs[:, None] - ours, axis=2)  # (real, generated)

    def radius(rows):
        return np.sort(np.linalg.norm(rows[:, None] - rows, axis=2), axis=1)[:, k]

    inside = to <= radius(theirs)[:, None]
    found = neighborhoods(ours, theirs, k)
    assert found.precision == inside.any(axis=0).mean() < 1
    assert found.recall == (to <= radius(ours)).any(axis=1).mean() < 1
    assert found.density == pytest.approx(inside.sum() / (k * 40))
    assert found.coverage == inside.any(axis=1).mean() < 1


def test_five_images_have_no_five_neighbours():
    found = compare("prdc", cloud(5, 0, 0), cloud(50, 0, 1))
    assert all(np.isnan(one.value) for one in found.values())
    assert found["recall"].note == "5 images on one side have no 5 neighbours."


def test_parzen_of_one_sample_is_a_gaussian_by_hand():
    sample = np.full((1, 2, 2, 1), 51, np.uint8)  # .2
    image = np.full((1, 2, 2, 1), 102, np.uint8)  # .4: four times .2 away
    found = log_densities(image, sample, np.array([0.5]))[0, 0]
    by_hand = -0.5 * 4 * (0.2 / 0.5) ** 2 - 4 * np.log(0.5 * np.sqrt(2 * np.pi))
    assert found == pytest.approx(by_hand)


def test_parzen_of_samples_is_the_mean_of_their_densities_across_blocks():
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 256, (1100, 1, 2, 1)).astype(np.uint8)
    image = rng.integers(0, 256, (3, 1, 2, 1)).astype(np.uint8)
    squares = ((image[:, None] / 255 - samples / 255) ** 2).sum(axis=(2, 3, 4))
    density = np.exp(-squares / (2 * 0.3**2)).mean(axis=1) / (2 * np.pi * 0.3**2)
    found = log_densities(image, samples, np.array([0.3]))[0]
    assert found == pytest.approx(np.log(density))


def test_parzen_chooses_the_bandwidth_on_images_that_it_does_not_score():
    rng = np.random.default_rng(0)

    def draw(n):  # around the middle gray, .2 wide
        return (rng.normal(0.5, 0.2, (n, 4, 4, 1)).clip(0, 1) * 255).astype(np.uint8)

    middle = np.full((3, 4, 4, 1), 128, np.uint8)
    real = ImageSet(draw(400), name="real")
    found = score("parzen", ImageSet(middle, name="middle"), real)["Parzen"]
    chosen = found.protocol.details["bandwidth"]
    assert chosen == pytest.approx(
        BANDWIDTHS[np.abs(BANDWIDTHS - 0.2).argmin()], abs=1e-4
    )
    assert found.protocol.n_real == 360
    assert found.protocol.details["chosen on"] == "40 other real ones"
    assert found.protocol.details["unit"] == "nats per image"
    exact = -16 * (0.5 + np.log(0.2 * np.sqrt(2 * np.pi)))
    assert abs(found.value - exact) < 6 * found.error + 0.5
    assert found.note == ""


def test_parzen_prefers_samples_that_are_like_the_real_images():
    rng = np.random.default_rng(0)
    dark, bright = (
        ImageSet(rng.integers(low, low + 50, (300, 4, 4)).astype(np.uint8), name="x")
        for low in (0, 200)
    )
    again = ImageSet(rng.integers(0, 50, (300, 4, 4)).astype(np.uint8), name="real")
    near, far = (score("parzen", x, again)["Parzen"] for x in (dark, bright))
    assert near.value > far.value + 10 * far.error
    assert near.note == "the best bandwidth lies at the edge of those tried."


def test_parzen_of_too_few_images_is_not_a_number():
    one = ImageSet(np.zeros((1, 2, 2), np.uint8), name="one")
    found = score("parzen", one, one)["Parzen"]
    assert np.isnan(found.value)
    assert found.note == (
        "1 generated images and 1 real ones are too few: it needs one to sample, one "
        "to choose by and one to score."
    )


def test_parzen_compares_images_of_one_shape():
    metric = METRICS["parzen"]()
    gray = ImageSet(np.zeros((9, 2, 2), np.uint8), name="gray")
    color = ImageSet(np.zeros((9, 2, 2, 3), np.uint8), name="color")
    assert metric.why_not(gray, None, MetricContext()) == "it needs real"
    assert metric.why_not(gray, color, MetricContext()) == (
        "its images are (2, 2, 1), and the real ones (2, 2, 3)"
    )


def test_streamed_moments_are_those_of_all_rows_at_once():
    rows = cloud(2500, 1000.0, 0) * (1, 5, 0.1, 2)
    proba = np.eye(3)[np.arange(2500) % 3]
    found = extracted(numbered(0, 2500, proba), MetricContext(Lookup(rows)))
    stored = rows.astype(np.float32).astype(np.float64)
    for moments, part in (
        (found.moments, stored),
        (found.of_class[1], stored[1::3]),
    ):
        assert moments.n == len(part)
        assert moments.mean == pytest.approx(part.mean(axis=0), rel=1e-12)
        assert moments.covariance == pytest.approx(np.cov(part.T), rel=1e-8)


def test_metrics_share_one_pass_over_each_set():
    rows = cloud(300, 0, 0)
    extractor = Lookup(rows, np.full((300, 2), 0.5))
    generated, real = numbered(0, 200), numbered(200, 300)
    for name in ("fid", "kid", "inception-score", "prdc"):
        score(name, generated, real, MetricContext(extractor))
    assert extractor.n_seen == 300
    score("fid", generated, real, MetricContext(extractor, random_state=1))
    assert extractor.n_seen == 600


def test_what_was_seen_of_a_set_goes_with_it():
    images = numbered(0, 50)
    found = weakref.ref(extracted(images, MetricContext(Lookup(cloud(50, 0, 0)))))
    gc.collect()
    assert found() is extracted(images, MetricContext(Lookup(cloud(50, 0, 0))))
    del images
    gc.collect()
    assert found() is None


def test_never_more_than_one_chunk_of_pixels_is_read_at_a_time():
    sizes = []

    class Watched(ArraySource):
        def read(self, rows):
            sizes.append(len(rows))
            return super().read(rows)

    number = np.arange(30_000)
    pixels = np.stack([number & 255, number >> 8, number >> 16], axis=1)
    source = Watched(pixels[:, None, :].astype(np.uint8))
    found = extracted(
        ImageSet(source, name="many"), MetricContext(Lookup(cloud(30_000, 0, 0)))
    )
    assert max(sizes) <= 1024
    assert sum(sizes) == 30_000
    assert found.rows.shape == (10_000, 4)


def test_rows_are_a_random_draw_in_random_order_with_their_labels():
    n = 12_000
    rows = np.repeat(np.arange(n)[:, None], 2, axis=1)
    images = numbered(0, n, np.eye(2)[np.arange(n) // 6000])
    found = extracted(images, MetricContext(Lookup(rows)))
    numbers = found.rows[:, 0].astype(int)
    assert len(np.unique(numbers)) == len(numbers) == 10_000
    assert found.row_labels.tolist() == (numbers // 6000).tolist()
    assert found.row_labels[:1000].mean() == pytest.approx(0.5, abs=0.08)
    other = extracted(images, MetricContext(Lookup(rows), random_state=1))
    assert (other.rows != found.rows).any()


def test_unreadable_images_count_nowhere():
    class Broken(ArraySource):
        def read(self, rows):
            read = super().read(rows)
            problems = {i: "broken" for i, row in enumerate(rows) if row % 2}
            return type(read)(read.pixels, problems)

    pixels = numbered(0, 100).pixels(np.arange(100))
    images = ImageSet(Broken(pixels), name="half")
    rows = np.arange(100.0)[:, None]
    found = extracted(images, MetricContext(Lookup(rows, np.ones((100, 1)))))
    assert found.n == len(found.rows) == sum(part.n for part in found.splits) == 50
    assert found.moments.mean == pytest.approx(np.arange(0, 100, 2).mean())


def test_a_second_computation_gives_the_same_scores():
    ours, theirs = cloud(400, 0, 0), cloud(400, 0.2, 1)
    for name in ("fid", "kid", "prdc"):
        assert compare(name, ours, theirs) == compare(name, ours, theirs)
    first, second = (
        compare("kid", ours, theirs, random_state=s)["KID"] for s in (0, 1)
    )
    assert first.value != second.value


def test_features_without_an_extractor_are_refused():
    with pytest.raises(InputError, match="features of numbers need an extractor; give"):
        extracted(numbered(0, 3), MetricContext())


def test_progress_is_told_in_images():
    told = []
    tools = MetricContext(
        Lookup(cloud(2000, 0, 0)), progress=lambda *what: told.append(what)
    )
    extracted(numbered(0, 2000), tools)
    assert told[-1] == ("features of numbers", 2000, 2000)
    assert len(told) == 2


@pytest.fixture(scope="module")
def clothes():
    """Held-out clothes with labels, and a classifier that knows others."""
    if not DEBIAN_FOLDER.is_dir():
        pytest.skip("dataset-fashion-mnist is missing")
    source = open_images("fashion-mnist")
    proba = np.eye(10)[source.labels[:4000]]
    part = ArraySource(source.read(np.arange(4000)).pixels)
    judge = DomainClassifier(n_steps=80).fit(part, proba)
    test = open_images("fashion-mnist:test")
    read = test.read(np.arange(4000))
    return judge, read.pixels, np.eye(10)[test.labels[:4000]]


def blurred(pixels, sigma):
    return gaussian_filter(pixels, (0, sigma, sigma, 0))


def test_worse_images_score_worse(clothes):
    judge, pixels, _ = clothes
    real = ImageSet(pixels[:2000], name="real")
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, pixels[2000:].shape).astype(np.uint8)
    ladder = {
        "held-out": pixels[2000:],
        "mildly blurred": blurred(pixels[2000:], 0.8),
        "strongly blurred": blurred(pixels[2000:], 1.5),
        "noise": noise,
    }
    found = {}
    for step, changed in ladder.items():
        images = ImageSet(changed, name=step)
        for name in ("fid", "kid", "prdc"):
            for metric, one in score(name, images, real, MetricContext(judge)).items():
                found.setdefault(metric, []).append(one.value)
    for metric in ("FID", "KID"):
        assert (np.diff(found[metric]) > 0).all(), (metric, found[metric])
    assert (np.diff(found["coverage"]) < 0).all(), found["coverage"]
    for metric in ("precision", "density"):
        assert (np.diff(found[metric][:3]) < 0).all(), (metric, found[metric])
        # Noise is all alike: one ball of an unusual real image can hold all of it.
        assert found[metric][3] < found[metric][1]


def test_dropped_classes_cost_recall_coverage_and_is_but_not_precision(clothes):
    judge, pixels, proba = clothes
    real = ImageSet(pixels[:2000], name="real")
    kept = proba[2000:].argmax(axis=1) < 5
    found = []
    for rows in (np.ones(2000, bool), kept):
        images = ImageSet(pixels[2000:][rows], proba[2000:][rows], name="some")
        scores = [
            score(name, images, real, MetricContext(judge))
            for name in ("prdc", "inception-score", "fid")
        ]
        found.append({k: v.value for each in scores for k, v in each.items()})
    everything, half = found
    assert half["recall"] < everything["recall"] - 0.05
    assert half["coverage"] < everything["coverage"] - 0.2
    assert half["IS"] < everything["IS"] - 1
    assert half["FID"] > 2 * everything["FID"]
    assert half["precision"] > everything["precision"] - 0.1


@pytest.mark.reference
def test_fid_kid_and_is_are_those_of_torch_fidelity_on_the_same_rows():
    reason = "torch-fidelity is not installed"
    fid = pytest.importorskip("torch_fidelity.metric_fid", reason=reason)
    import torch
    from torch_fidelity import metric_isc, metric_kid, metric_prc

    ours, theirs = cloud(900, 0.2, 0, d=16), cloud(700, 0, 1, d=16)
    a, b = (torch.from_numpy(rows) for rows in (ours, theirs))
    parts = [fid.fid_features_to_statistics(rows) for rows in (a, b)]
    exact = fid.fid_statistics_to_metric(*parts, verbose=False)
    value = compare("fid", ours, theirs)["FID"].value
    assert abs(value - exact[fid.KEY_METRIC_FID]) < 1e-3

    # Its subsets of all rows are all the same.
    exact = metric_kid.kid_features_to_metric(
        a[:700], b, kid_subsets=2, kid_subset_size=700, verbose=False
    )
    value = polynomial_mmd(ours[:700], theirs)
    assert value == pytest.approx(exact[metric_kid.KEY_METRIC_KID_MEAN], abs=1e-9)

    logits = torch.from_numpy(cloud(20_000, 0, 2, d=7) * 2)
    found = metric_isc.isc_features_to_metric(logits, splits=10)
    proba = logits.softmax(dim=1).numpy()
    value = inception_score(proba).value
    assert abs(value - found[metric_isc.KEY_METRIC_ISC_MEAN]) < 5e-3
    order = np.random.default_rng([0, 20_000]).permutation(20_000)
    found = metric_isc.isc_features_to_metric(logits[order], splits=10, shuffle=False)
    assert abs(value - found[metric_isc.KEY_METRIC_ISC_MEAN]) < 1e-3

    # From 0.4 on, the generated rows come first.
    exact = metric_prc.calculate_precision_recall_part(a, b, 5)
    shares = neighborhoods(ours, theirs, 5)
    assert (shares.precision, shares.recall) == pytest.approx(exact, abs=1e-6)
