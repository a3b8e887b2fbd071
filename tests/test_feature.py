"""The contract of a feature: declaring, chaining, learning, calling."""

import functools

import numpy as np
import pytest
import torch

from lfkit import extract, feature, image
from lfkit.errors import DeclarationError
from lfkit.features.feature import ancestors, as_stored, finite_rows

# Four 2x2 images whose every pixel is 0, 51, 102 and 255.
LEVELS = np.array([0, 51, 102, 255], np.uint8)
IMAGES = np.broadcast_to(LEVELS[:, None, None, None], (4, 2, 2, 1)).copy()


@feature
def level(pixels):
    """The mean, 0 to 255.

    More about it.
    """
    return pixels.mean()


@feature(batched=True)
def light(images):
    return images.mean(dim=(1, 2, 3))


def test_a_decorated_function_keeps_its_name_and_first_line():
    assert (level.name, level.doc) == ("level", "The mean, 0 to 255.")
    assert repr(level) == "Feature level"
    assert feature(name="other")(lambda pixels: 1).name == "other"


def test_one_image_or_many_can_be_given():
    assert level(IMAGES[1]) == 51
    assert level(IMAGES).tolist() == [0, 51, 102, 255]
    np.testing.assert_allclose(light(IMAGES), [0, 0.2, 0.4, 1], rtol=1e-6)
    np.testing.assert_allclose(light(IMAGES[2]), 0.4, rtol=1e-6)


def test_per_image_functions_see_pixels_batched_ones_the_unit_range():
    shapes = feature(lambda pixels: (*pixels.shape, pixels.dtype == np.uint8), name="s")
    assert shapes(np.zeros((3, 5, 7, 1), np.uint8))[0].tolist() == [5, 7, 1, 1]

    @feature(batched=True)
    def seen(images):
        assert images.dtype == torch.float32
        return images.new_tensor(images.shape[1:]).repeat(len(images), 1)

    assert seen(np.zeros((3, 5, 7, 1), np.uint8))[0].tolist() == [1, 5, 7]


def test_no_images_give_no_values():
    assert len(level(np.zeros((0, 2, 2, 1), np.uint8))) == 0
    assert len(light(np.zeros((0, 2, 2, 1), np.uint8))) == 0


def test_batched_and_per_image_features_chain_both_ways():
    of_light = feature(of=[light])(lambda value: 10 * value)
    of_level = feature(of=[level], batched=True)(lambda values: values / 51)
    mixed = feature(of=[level, light, image])(
        lambda level, light, pixels: level + light + pixels.max()
    )
    found = extract([of_light, of_level, mixed], IMAGES)
    np.testing.assert_allclose(found[of_light], [0, 2, 4, 10], rtol=1e-6)
    np.testing.assert_allclose(found[of_level], [0, 1, 2, 5], rtol=1e-6)
    np.testing.assert_allclose(found[mixed], [0, 102.2, 204.4, 511], rtol=1e-6)


def test_per_image_functions_get_numbers_as_floats_and_rows_as_arrays():
    pair = feature(batched=True, name="pair")(lambda images: images.flatten(1)[:, :2])
    kinds = []

    @feature(of=[light, pair])
    def noted(number, row):
        kinds.append((type(number), type(row), row.shape, row.dtype))
        return 0

    noted(IMAGES[0])
    assert set(kinds) == {(float, np.ndarray, (2,), np.dtype("float32"))}


def test_what_several_features_are_made_of_is_computed_once():
    calls = {"batched": 0, "per image": 0}

    @feature(batched=True)
    def blurred(images):
        calls["batched"] += 1
        return images.mean(dim=1)

    @feature
    def spread(pixels):
        calls["per image"] += 1
        return pixels.std()

    users = [
        feature(of=[blurred, spread], batched=True, name=f"user {i}")(
            lambda blurred, spread: spread
        )
        for i in range(3)
    ]
    extract([*users, blurred, spread], IMAGES)
    assert calls == {"batched": 1, "per image": len(IMAGES)}


def test_a_row_does_not_depend_on_its_neighbours():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (300, 9, 9, 3)).astype(np.uint8)
    weights = torch.from_numpy(rng.normal(size=(243, 3)).astype(np.float32))
    mixed = feature(batched=True, name="mixed")(lambda x: x.flatten(1) @ weights)
    np.testing.assert_array_equal(mixed(images)[:7], mixed(images[:7]))
    np.testing.assert_array_equal(mixed(images)[299], mixed(images[299]))


def test_ancestors_come_inputs_first_and_once():
    b = feature(of=[level], name="b")(lambda value: value)
    c = feature(of=[b, level, image], name="c")(lambda *values: 0)
    assert ancestors([c, b]) == [level, b, c]


def learn_mean(pixels, *, labels, rng):
    return {"mean": pixels.mean(axis=0)}


def test_a_learned_array_arrives_by_keyword():
    @feature(fit=learn_mean)
    def centred(pixels, *, mean):
        return (pixels - mean).sum()

    assert not centred.is_fitted
    fitted = centred.with_learned({"mean": np.full((2, 2, 1), 50.0)}, centred.of)
    assert fitted.is_fitted
    assert fitted(IMAGES).tolist() == [-200, 4, 208, 820]
    assert not centred.is_fitted


def test_a_batched_feature_gets_learned_arrays_as_tensors():
    @feature(fit=learn_mean, batched=True)
    def shifted(images, *, shift):
        assert isinstance(shift, torch.Tensor)
        return images.mean(dim=(1, 2, 3)) + shift

    fitted = shifted.with_learned({"shift": np.float32(1)}, shifted.of)
    np.testing.assert_allclose(fitted(IMAGES), [1, 1.2, 1.4, 2], rtol=1e-6)


@pytest.mark.parametrize("batched", [False, True])
def test_an_unfitted_feature_says_so(batched):
    unfitted = feature(fit=learn_mean, batched=batched, name="u")(lambda x, *, mean: x)
    reader = feature(of=[unfitted], name="reader")(lambda value: value)
    assert not reader.is_fitted
    with pytest.raises(DeclarationError, match="'u' has not been fitted; it needs see"):
        reader(IMAGES)


def test_narrow_features_are_stored_exactly():
    count = np.array([[3001.0] * 8])
    assert as_stored(count).dtype == np.float32
    assert as_stored(count)[0, 0] == 3001
    assert as_stored(np.array([3001.0])).dtype == np.float32


def test_wide_features_are_stored_in_half_the_bits():
    wide = np.array([[3001.0, 1e5] + [0.0] * 7])
    stored = as_stored(wide)
    assert stored.dtype == np.float16
    assert stored[0, :2].tolist() == [3000, np.inf]


def test_extracted_values_are_rounded_as_stored_ones():
    wide = feature(lambda pixels: np.full(9, 3001), name="wide")
    assert set(wide(IMAGES[0]).tolist()) == {3000}
    assert wide(IMAGES[0]).dtype == np.float32


def test_rows_are_whole_without_nan_or_infinity():
    assert finite_rows(np.array([1, np.nan, np.inf])).tolist() == [True, False, False]
    assert finite_rows(np.array([[1, 2], [1, np.nan]])).tolist() == [True, False]
    assert finite_rows(np.zeros((0, 3))).tolist() == []


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: feature(of=["level"]), r"of\[0\] of a feature is 'level', which is n"),
        (lambda: feature(of=level), r"of= takes a list .* alone; write of=\[...\]"),
        (lambda: feature(3), "@feature needs a function, got 3"),
        (
            lambda: feature(functools.partial(np.mean, axis=0)),
            "finds no name .* give it one: name=",
        ),
        (
            lambda: feature(lambda a, b: 0),
            r"takes 2 positional arguments but is given 1 features \(image\); write on",
        ),
        (
            lambda: feature(of=[level, light], name="f")(lambda a: 0),
            r"feature 'f' takes 1 .* is given 2 features \(level, light\)",
        ),
    ],
)
def test_a_wrong_declaration_says_what_to_do(declare, message):
    with pytest.raises(DeclarationError, match=message):
        declare()


def test_optional_arguments_need_no_feature():
    assert feature(lambda pixels, scale=2: scale * pixels.max())(IMAGES[1]) == 102


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 2), np.uint8), np.zeros((1, 2, 2, 1), np.float32)],
    ids=["no channels", "float"],
)
def test_what_is_no_image_is_an_error(images):
    message = rf"\(n, h, w, c\) uint8, got {images.dtype} of shape \({len(images)}, 2"
    with pytest.raises(DeclarationError, match=message):
        level(images)


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (lambda pixels: None, "'f' returned None; return a number or an array"),
        (lambda pixels: "dark", "'f' returned 'dark', which is not a number or an arr"),
        (
            lambda pixels: np.zeros(1 + pixels.max() // 51),
            r"'f' returned shape \(2,\) after \(1,\) on another image; a feature has o",
        ),
    ],
)
def test_a_wrong_value_of_a_per_image_feature_names_it(fn, message):
    with pytest.raises(TypeError, match=message):
        feature(name="f")(fn)(IMAGES)


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (
            lambda images: 1.0,
            r"'f' returned a float for \d+ images; expected a tensor w",
        ),
        (lambda images: images.mean(), r"a tensor of shape \(\) for \d+ images"),
        (lambda images: images[:1], r"a tensor of shape \(1, 1, 2, 2\) for \d+ images"),
    ],
)
def test_a_wrong_value_of_a_batched_feature_names_it(fn, message):
    with pytest.raises(TypeError, match=message):
        feature(name="f", batched=True)(fn)(IMAGES)
