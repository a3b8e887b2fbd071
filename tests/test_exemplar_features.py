"""PatchMatch, sparse representation and their stand-ins, beside plain NumPy."""

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits
from sklearn.linear_model import orthogonal_mp_gram
from threadpoolctl import threadpool_limits

import lfkit
from lfkit.features import compressive, patchmatch
from lfkit.features.compressive import (
    random_projections,
    sparse_residuals,
    subspace_residuals,
)
from lfkit.features.gray import gray28
from lfkit.features.patchmatch import patchmatch_distances, window_patch_distances

DIGITS, LABELS = load_digits(return_X_y=True)
DIGITS = (DIGITS.reshape(-1, 8, 8) / 16 * 255).round().astype(np.uint8)[..., None]
CAMERA = cv2.resize(skimage.data.camera(), (168, 168), interpolation=cv2.INTER_AREA)
CAMERA_TILES = CAMERA.reshape(6, 28, 6, 28).swapaxes(1, 2).reshape(36, 28, 28, 1)
SEEDS, SEED_LABELS = DIGITS[:120], LABELS[:120]
OTHERS = DIGITS[200:240]
PATCHES = [patchmatch_distances, window_patch_distances]
RESIDUALS = [sparse_residuals, subspace_residuals]
every_feature = pytest.mark.parametrize(
    "feature", [*PATCHES, *RESIDUALS], ids=lambda f: f.name
)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Small matrices: more threads only wait for one another."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(n_threads)


def fitted(feature, images=SEEDS, labels=SEED_LABELS):
    source = feature.of[0]
    values = torch.from_numpy(lfkit.extract([gray28], images)[gray28])
    if source is random_projections:
        values = random_projections.fn(values)
    rng = np.random.default_rng(0)
    return feature.with_learned(feature.fit(values, labels=labels, rng=rng), feature.of)


def patches_of(picture, step):
    size = patchmatch.PATCH_PX
    views = np.lib.stride_tricks.sliding_window_view(picture, (size, size))
    return views[::step, ::step]


def described(picture, step, learned):
    """Components and place of each patch: (rows, columns, d)."""
    views = patches_of(picture.astype(np.float64), step)
    flat = views.reshape(*views.shape[:2], -1)
    components = flat @ learned["filters"].T - learned["shift"]
    places = np.stack(np.indices(views.shape[:2]), axis=-1) * step
    return np.concatenate([components, places * patchmatch.PLACE_WEIGHT], axis=2)


def brute_force(pictures, learned, *, within_px):
    """Mean distance to the nearest patch of each class, looking at every one.

    Except at those of exemplars that are the picture itself.
    """
    distances = np.zeros((len(pictures), len(learned["exemplars"])))
    for c, exemplars in enumerate(learned["exemplars"]):
        described_exemplars = [
            described(e.reshape(28, 28), 1, learned).reshape(-1, 15) for e in exemplars
        ]
        for i, picture in enumerate(pictures):
            query = described(picture, patchmatch.STRIDE_PX, learned).reshape(-1, 15)
            targets = np.concatenate(
                [
                    target
                    for e, target in zip(exemplars, described_exemplars, strict=True)
                    if not np.array_equal(e, picture.ravel())
                ]
            )
            lengths = cdist(query, targets)
            apart = cdist(query[:, -2:], targets[:, -2:], "chebyshev")
            lengths[apart > (within_px + 0.01) * patchmatch.PLACE_WEIGHT] = np.inf
            distances[i, c] = lengths.min(axis=1).mean()
    return distances


@pytest.mark.reference
@pytest.mark.parametrize("source", ["digits", "camera"])
def test_patchmatch_never_beats_brute_force_and_comes_near_it(source):
    if source == "digits":
        images, labels, others = SEEDS, SEED_LABELS, OTHERS
    else:
        images, labels, others = CAMERA_TILES[:24], np.arange(24) % 2, CAMERA_TILES[24:]
    feature = fitted(patchmatch_distances, images, labels)
    found = feature(others)
    pictures = lfkit.extract([gray28], others)[gray28]
    exact = brute_force(pictures, feature.learned, within_px=28)
    excess = found / exact - 1
    assert excess.min() > -2e-3
    assert excess.mean() < 0.3
    # What the search starts from, the best of the random draws, is far worse.
    started = fitted(patchmatch_distances, images, labels)
    nothing = {
        "steps": started.learned["steps"][:0],
        "jumps": started.learned["jumps"][:0],
    }
    started = started.with_learned({**started.learned, **nothing}, started.of)
    assert (started(others) / exact - 1).mean() > 1.5 * excess.mean()


@pytest.mark.reference
def test_patchmatch_of_seeds_never_beats_brute_force_over_the_others():
    feature = fitted(patchmatch_distances)
    # Many iterations: one patch that found itself would spread to all others.
    longer = {
        name: np.concatenate([feature.learned[name]] * 6) for name in ("jumps", "steps")
    }
    searched = feature.with_learned({**feature.learned, **longer}, feature.of)
    pictures = lfkit.extract([gray28], SEEDS)[gray28]
    exact = brute_force(pictures, feature.learned, within_px=28)
    excess = searched(SEEDS) / exact - 1
    assert excess.min() > -2e-3
    assert excess.mean() < 0.8 * (feature(SEEDS) / exact - 1).mean()


@pytest.mark.reference
def test_window_distances_are_brute_force_within_a_pixel():
    feature = fitted(window_patch_distances)
    images = np.concatenate([OTHERS[:30], SEEDS[:30]])
    pictures = lfkit.extract([gray28], images)[gray28]
    expected = brute_force(pictures, feature.learned, within_px=1)
    np.testing.assert_allclose(feature(images), expected, rtol=2e-3)


@pytest.mark.reference
def test_pursuit_is_scikit_learns():
    feature = fitted(sparse_residuals)
    atoms = feature.learned["atoms"].astype(np.float64)
    k, m, _ = atoms.shape
    flat = atoms.reshape(k * m, -1)
    real = np.flatnonzero(np.linalg.norm(flat, axis=1) > 0.5)
    sums = lfkit.extract([random_projections], OTHERS)[random_projections]
    unit = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    found = feature.fn(torch.from_numpy(sums), **as_tensors(feature.learned)).numpy()
    for image, residuals in zip(unit.astype(np.float64), found, strict=True):
        code = np.zeros(k * m)
        code[real] = orthogonal_mp_gram(
            flat[real] @ flat[real].T,
            flat[real] @ image,
            n_nonzero_coefs=compressive.N_ATOMS,
        )
        assert np.count_nonzero(code) == compressive.N_ATOMS
        parts = np.einsum("km,kmd->kd", code.reshape(k, m), atoms)
        expected = np.linalg.norm(image - parts, axis=1)
        np.testing.assert_allclose(residuals, expected, atol=1e-3)


@pytest.mark.reference
def test_subspace_residuals_are_least_squares():
    feature = fitted(subspace_residuals)
    # Seeds among them: their own atoms are left out of the system.
    images = np.concatenate([OTHERS[:10], SEEDS[:10]])
    sums = lfkit.extract([random_projections], images)[random_projections]
    unit = (sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float64)
    expected = np.zeros((len(images), 10))
    for c, atoms in enumerate(feature.learned["atoms"].astype(np.float64)):
        for i, image in enumerate(unit):
            others = atoms[atoms @ image < 1 - 1e-5]
            m = len(others)
            ridge = np.sqrt(compressive.RIDGE) * np.eye(m)
            code = np.linalg.lstsq(
                np.concatenate([others.T, ridge]),
                np.concatenate([image, np.zeros(m)]),
                rcond=None,
            )[0]
            expected[i, c] = np.linalg.norm(image - code @ others)
    np.testing.assert_allclose(feature(images), expected, atol=1e-3)


def as_tensors(learned):
    return {name: torch.from_numpy(array) for name, array in learned.items()}


@every_feature
def test_a_seed_is_never_compared_with_itself(feature):
    alone = np.concatenate([SEEDS[:1], SEEDS[SEED_LABELS == 1][:5]])
    ready = fitted(feature, alone, np.array([0, 1, 1, 1, 1, 1]))
    found = ready(alone)
    # The only seed of class 0 has no other to be compared with: black, or nothing.
    if feature in RESIDUALS:
        expected = 1
    else:
        pictures = lfkit.extract([gray28], alone)[gray28]
        patches = patches_of(pictures[0], patchmatch.STRIDE_PX).reshape(-1, 64)
        components = patches @ ready.learned["filters"].T
        expected = np.linalg.norm(components, axis=1).mean()
    assert found[0, 0] == pytest.approx(expected, rel=2e-3)
    assert found[1:, 1].min() > 0.05
    values = fitted(feature)(SEEDS)
    own = values[np.arange(len(SEEDS)), SEED_LABELS]
    assert own.min() > 0.05


@every_feature
def test_a_copy_among_the_seeds_is_left_out_too(feature):
    twice = np.concatenate([SEEDS[:20], SEEDS[:20]])
    values = fitted(feature, twice, np.tile(SEED_LABELS[:20], 2))(SEEDS[:20])
    if feature in RESIDUALS:
        once = fitted(feature, SEEDS[:20], SEED_LABELS[:20])(SEEDS[:20])
        np.testing.assert_allclose(values, once, atol=1e-3)
    own = values[np.arange(20), SEED_LABELS[:20]]
    assert own.min() > 0.05


@every_feature
def test_columns_are_the_classes_that_have_seeds(feature):
    rows = np.isin(SEED_LABELS, [2, 5, 7])
    values = fitted(feature, SEEDS[rows], SEED_LABELS[rows])(DIGITS[200:400])
    assert values.shape == (200, 3)
    true = LABELS[200:400]
    asked = np.isin(true, [2, 5, 7])
    guessed = np.array([2, 5, 7])[values.argmin(axis=1)]
    assert (guessed == true)[asked].mean() > 0.8


@every_feature
def test_fit_and_values_repeat_bit_for_bit_and_stand_alone(feature):
    before = torch.random.get_rng_state()
    first, again = fitted(feature), fitted(feature)
    for name, array in first.learned.items():
        np.testing.assert_array_equal(array, again.learned[name])
    values = first(OTHERS)
    np.testing.assert_array_equal(values, again(OTHERS))
    alone = np.stack([first(image) for image in OTHERS[-5:]])
    np.testing.assert_allclose(alone, values[-5:], rtol=2e-3, atol=1e-4)
    assert torch.equal(torch.random.get_rng_state(), before)


@every_feature
@pytest.mark.parametrize(
    ("size", "channels"), [((8, 8), 1), ((40, 24), 3), ((28, 1), 3), ((1, 9), 1)]
)
def test_blank_full_and_thin_images_give_finite_numbers(feature, size, channels):
    shape = (1, *size, channels)
    noise = np.random.default_rng(0).integers(0, 256, (6, *size, channels))
    images = np.concatenate(
        [np.zeros(shape), np.full(shape, 255), np.full(shape, 9), noise]
    ).astype(np.uint8)
    assert np.isfinite(fitted(feature)(images)).all()
    # As seeds too: class 0 is blank, full and equal images, some of them twice.
    twice, labels = np.concatenate([images, images[:3]]), [0] * 3 + [1] * 6 + [0] * 3
    assert np.isfinite(fitted(feature, twice, np.array(labels))(images)).all()
