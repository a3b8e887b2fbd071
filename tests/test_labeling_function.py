"""Declaring labeling functions, and calling them on one image."""

import functools
import sys

import numpy as np
import pytest
from assertions import assert_refused
from snorkel.labeling import LabelingFunction as SnorkelFunction
from snorkel.labeling import labeling_function as snorkel_function
from snorkel.preprocess import preprocessor

from lfkit import (
    ABSTAIN,
    LFApplier,
    NearestMean,
    Quantile,
    feature,
    labeling_function,
)
from lfkit.errors import DataError, DeclarationError, FaultError
from lfkit.labeling.labeling_function import KINDS

DARK, BRIGHT = np.zeros((4, 4, 1), np.uint8), np.full((4, 4, 1), 200, np.uint8)
BOTH = np.stack([DARK, BRIGHT])


@feature
def brightness(image):
    return image.mean()


@feature
def corner(image):
    return image[0, 0].astype(float)


@feature(batched=True)
def light(images):
    return images.mean(dim=(1, 2, 3))


def declare(fn=None, **options):
    if fn is None:

        def fn(image):
            return ABSTAIN

    return labeling_function(**{"classes": [0, 1], **options})(fn)


def test_called_on_one_image_it_gives_its_vote():
    @labeling_function(classes=[1])
    def bright_is_one(image):
        """Bright images show a one.

        The rest is not its first line.
        """
        return 1 if image.mean() > 128 else ABSTAIN

    assert bright_is_one(BRIGHT) == 1
    assert bright_is_one(DARK) == ABSTAIN
    assert bright_is_one.name == "bright_is_one"
    assert bright_is_one.doc == "Bright images show a one."
    assert repr(bright_is_one) == "LabelingFunction bright_is_one"


def test_a_gray_image_without_channel_axis_is_an_image():
    assert declare(lambda image: int(image.shape == (4, 4, 1)), name="f")(DARK[:, :, 0])


def test_it_reads_features_in_order():
    lf = declare(
        lambda a, b: 1 if a == pytest.approx(255 * b) else 0,
        name="f",
        features=[brightness, light],
    )
    assert lf(BRIGHT) == 1


def test_without_features_it_reads_the_image():
    assert declare(lambda image: int(image.max() > 0), name="f", features=[])(DARK) == 0


def test_a_soft_one_gives_a_weight_per_declared_class():
    @labeling_function(classes=[4, 2], soft=True)
    def leans(image):
        return [3, 1] if image.any() else [0, 0]

    np.testing.assert_allclose(leans(BRIGHT), [0.75, 0.25])
    assert leans(DARK).tolist() == [0, 0]


def test_a_batched_one_can_be_called_on_one_image():
    @labeling_function(classes=[0, 1], features=[light], batched=True)
    def bright_is_one(values):
        return (values > 0.5).long()

    assert bright_is_one(BRIGHT) == 1
    assert bright_is_one(DARK) == 0


def test_called_on_one_image_it_raises_what_went_wrong():
    @declare
    def broken(image):
        raise ValueError("no such thing")

    with assert_refused(
        FaultError, names="broken", values=["image '0'", "no such thing"]
    ):
        broken(DARK)


@pytest.mark.parametrize(
    "image",
    [BRIGHT / 255, BRIGHT.tolist(), BRIGHT[None], np.zeros((4, 4, 5), np.uint8)],
)
def test_called_on_what_is_no_image_it_refuses_to_vote(image):
    with pytest.raises(DataError):
        declare(lambda image: 1, name="f")(image)


def test_called_on_one_image_it_reads_features_as_in_a_run():
    seen = []

    @labeling_function(classes=[1], features=[brightness, corner])
    def sees(mean, pixel):
        seen.append((type(mean), type(pixel), pixel.flags.writeable))
        return 1

    in_a_run = LFApplier([sees], n_workers=0).apply(BRIGHT[None])
    assert sees(BRIGHT) == in_a_run.hard[0, 0]
    assert seen == [(float, np.ndarray, False)] * 2


def test_called_on_one_image_it_abstains_where_a_feature_is_not_finite():
    @feature
    def nowhere(image):
        return float("nan")

    assert declare(lambda value: 1, name="f", features=[nowhere])(DARK) == ABSTAIN
    soft = declare(lambda value: [1, 0], name="g", features=[nowhere], soft=True)
    assert soft(DARK).tolist() == [0, 0]


def test_called_on_one_image_it_may_not_end_the_program():
    with assert_refused(FaultError, names="f", values=["image '0'", 3]):
        declare(lambda image: sys.exit(3), name="f")(DARK)


def test_a_vote_for_an_undeclared_class_names_the_declared_ones():
    lf = declare(lambda image: 5, name="f", classes=[8])
    with assert_refused(FaultError, values=5, allowed="(8,)"):
        lf(DARK)


def test_every_kind_can_be_declared():
    assert [declare(kind=kind).kind for kind in KINDS] == list(KINDS)


def test_parentheses_are_required():
    with assert_refused(DeclarationError, allowed="@labeling_function(classes=[...])"):

        @labeling_function
        def f(image): ...


def test_classes_are_required():
    with assert_refused(DeclarationError, allowed="classes=[...]"):

        @labeling_function()
        def f(image): ...


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({"classes": []}, "fn"),
        ({"classes": [1, 1]}, ["classes", "(1, 1)"]),
        ({"classes": [-1]}, [-1, "0..k-1"]),
        ({"classes": [True]}, ["fn", "True"]),
        ({"classes": [1.0]}, ["classes", "1.0"]),
        ({"classes": "ab"}, ["classes", "'a'"]),
        ({"classes": 3}, ["classes", 3, "classes=[3]"]),
        ({"kind": "magic"}, ["magic", "heuristic", "image-processing", "deep"]),
        ({"features": ["hog"]}, ["features[0]", "hog"]),
        ({"features": light}, "features=[...]"),
        ({"thresholds": {"cut": 3.0}}, ["cut", "3.0", "Quantile"]),
        (
            {"thresholds": {"cut": Quantile(light, 0.5)}},
            ["cut", "*, cut"],
        ),
        (
            {"features": [light, brightness]},
            ["1 positional", "2 features", "light"],
        ),
    ],
)
def test_a_wrong_declaration_says_what_to_do(options, facts):
    with assert_refused(DeclarationError, names=facts):
        declare(**options)


def test_an_argument_without_feature_or_star_is_an_error():
    with assert_refused(DeclarationError, names="keyword-only"):
        declare(lambda image, cut: ABSTAIN, name="f")


@pytest.mark.parametrize(
    ("thing", "facts"),
    [
        (3, ["labeling_function", 3]),
        (functools.partial(np.mean), "name="),
    ],
)
def test_what_is_no_named_function_is_an_error(thing, facts):
    with assert_refused(DeclarationError, names=facts):
        declare(thing)


def test_numpy_integers_are_classes():
    assert declare(classes=np.array([0, 2])).classes == (0, 2)


def above(value, *, cut):
    return 1 if value > cut else ABSTAIN


def above_half(value, *, cut=127.5):
    return 1 if value > cut else ABSTAIN


def test_an_unfitted_threshold_without_default_needs_seeds():
    lf = declare(above, features=[brightness], thresholds={"cut": Quantile(light, 0.5)})
    assert lf.needs_seeds
    with assert_refused(DeclarationError, names="above"):
        lf(DARK)


def test_a_default_is_the_unfitted_threshold():
    lf = declare(
        above_half,
        features=[brightness],
        thresholds={"cut": Quantile(brightness, 0.0)},
    )
    assert not lf.needs_seeds
    assert [lf(DARK), lf(BRIGHT)] == [ABSTAIN, 1]


def test_an_unfitted_feature_needs_seeds():
    @feature(fit=lambda pixels, labels, rng: {"mean": pixels.mean()})
    def above_mean(image, *, mean):
        return image.mean() - mean

    @feature(of=[above_mean])
    def doubled(value):
        return 2 * value

    assert declare(lambda value: 0, name="f", features=[doubled]).needs_seeds


def test_fitted_on_seeds_it_needs_none():
    lf = declare(
        above, features=[brightness], thresholds={"cut": Quantile(brightness, 0.5)}
    )
    applier = LFApplier([lf], n_workers=0)
    votes = applier.apply(BOTH, seed_rows=[0, 1], seed_labels=[0, 1])
    assert votes.hard.tolist() == [[ABSTAIN], [1]]
    fitted = applier.lfs_[0]
    assert fitted.keywords == {"cut": 100.0}
    assert not fitted.needs_seeds
    assert lf.needs_seeds  # fitting makes a copy


def test_a_fitted_rule_weighs_one_image():
    lf = declare(
        lambda value, *, rule: rule(value),
        name="nearest",
        features=[light],
        thresholds={"rule": NearestMean(light, abstain=0)},
        soft=True,
        batched=True,
    )
    images = np.stack([DARK, DARK + 9, BRIGHT, BRIGHT + 9])
    applier = LFApplier([lf])
    applier.apply(images, seed_rows=range(4), seed_labels=[0, 0, 1, 1])
    assert applier.lfs_[0](BRIGHT).argmax() == 1


def on_images(lfs, n_classes=2):
    return LFApplier(lfs, n_classes, n_workers=0, strict=True).apply(BOTH).hard.tolist()


def test_snorkels_functions_run_as_they_are():
    @preprocessor()
    def halved(image):
        return image // 2

    @snorkel_function(resources={"limit": 99}, pre=[halved])
    def half_is_bright(image, limit):
        return 1 if image.mean() > limit else ABSTAIN

    assert on_images([half_is_bright]) == [[ABSTAIN], [1]]


def test_snorkels_negative_votes_abstain():
    lf = SnorkelFunction("f", lambda image: -7 if image.any() else 0)
    assert on_images([lf]) == [[0], [ABSTAIN]]


def test_snorkels_undeclared_classes_are_checked_against_the_runs():
    with assert_refused(FaultError, values=[2, "0..1"]):
        on_images([SnorkelFunction("f", lambda image: 2)])


def test_snorkels_functions_alone_do_not_tell_the_classes():
    with assert_refused(DeclarationError, allowed="n_classes"):
        LFApplier([SnorkelFunction("f", lambda image: 0)])
