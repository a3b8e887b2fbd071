"""Features that learn from images without labels: fitted when, from what, how often."""

import copy

import numpy as np
import pytest
import torch

from lfkit import LFApplier, NearestMean, Quantile, feature, image, labeling_function
from lfkit.classifiers.baselines import find_baselines
from lfkit.data.datasets import ArraySource
from lfkit.data.image_source import ReadImages
from lfkit.errors import DataError
from lfkit.features.gray import gray28
from lfkit.features.hog import hog
from lfkit.features.lenet import lenet_features
from lfkit.labeling.engine import unlabeled_sample as sample
from lfkit.runs.store import RunStore

SEEDS = np.arange(20)


def toy(n=60, seed=0, side=4):
    """Class 0 is bright on the left, class 1 on the right; all images differ."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    pixels = rng.integers(0, 120, (n, side, side, 1), dtype=np.uint8)
    pixels[labels == 0, :, : side // 2] += 100
    pixels[labels == 1, :, side // 2 :] += 100
    return pixels, labels


class Watched:
    """A fit that remembers what it was given.

    What it has seen is no part of what it is, else every call would make it another.
    """

    def __init__(self, fit):
        self._fit = fit
        self.calls = []

    def identity(self):
        return (self._fit,)


class FromUnlabeled(Watched):
    def __call__(self, *, unlabeled, rng):
        self.calls.append(copy.deepcopy(unlabeled))
        return self._fit(unlabeled, rng)


class FromBoth(Watched):
    interrupted_at = None

    def __call__(self, *values, labels, rng, unlabeled):
        self.calls.append(copy.deepcopy((labels, unlabeled)))
        if len(self.calls) == self.interrupted_at:
            raise KeyboardInterrupt
        return self._fit(values, labels, unlabeled)


class FromSeeds(Watched):
    def __call__(self, *values, labels, rng):
        self.calls.append(labels.copy())
        return self._fit(values, labels)


def learn_mean(unlabeled, rng):
    return {"mean": unlabeled[0].mean(dim=0).numpy()}


def learn_noise(unlabeled, rng):
    return {"mean": rng.normal(size=(28, 28)).astype(np.float32)}


def learn_shift(values, labels, unlabeled):
    return {"shift": (values[0].mean(dim=0) - unlabeled[0].mean(dim=0)).numpy()}


def learn_seed_mean(values, labels):
    return {"mean": values[0].mean(dim=0).numpy()}


def unusual_of(fit, of=gray28, name="unusual"):
    """Make a feature: how an image differs from a learned mean, (n, 28)."""

    @feature(batched=True, of=[of], fit=fit, name=name)
    def unusual(gray, *, mean):
        return (gray - mean).reshape(len(gray), -1)[:, :784].view(-1, 28, 28).mean(1)

    return unusual


def shifted_of(fit):
    @feature(batched=True, of=[gray28], fit=fit)
    def shifted(gray, *, shift):
        return (gray - shift).mean(dim=1)

    return shifted


def resembling(node):
    @labeling_function(
        classes=[0, 1],
        features=[node],
        thresholds={"rule": NearestMean(node)},
        soft=True,
        batched=True,
        name=f"{node.name}_resembles",
    )
    def resembles(values, *, rule):
        return rule(values)

    return resembles


def apply(nodes, pixels, labels, *, seeds=SEEDS, **settings):
    """Apply a function of each feature; return applier and votes."""
    applier = LFApplier([resembling(node) for node in nodes], n_classes=2)
    votes = applier.apply(
        pixels, seed_rows=seeds, seed_labels=labels[seeds], **settings
    )
    assert applier.report_.left_out == {}
    return applier, votes


def learned(applier, position=0):
    return applier.lfs_[position].features[0].learned


def test_what_learns_from_unlabeled_images_is_fitted_once_for_all_folds():
    fit = FromUnlabeled(learn_mean)
    applier, votes = apply([unusual_of(fit)], *toy())
    assert len(fit.calls) == 1
    assert votes.seed_out_of_fold is not None
    ((values,),) = fit.calls
    assert values.shape == (60, 28, 28)
    np.testing.assert_allclose(learned(applier)["mean"], values.mean(dim=0), rtol=1e-6)


def test_what_learns_from_labels_too_is_fitted_without_each_fold():
    fit = FromBoth(learn_shift)
    apply([shifted_of(fit)], *toy())
    sizes = sorted(len(labels) for labels, _ in fit.calls)
    assert sizes == [16, 16, 16, 16, 16, 20]
    assert {len(values) for _, (values,) in fit.calls} == {60}


def test_what_reads_a_feature_fitted_on_seeds_is_fitted_without_each_fold_too():
    first = FromSeeds(learn_seed_mean)
    second = FromUnlabeled(learn_mean)

    @feature(batched=True, of=[gray28], fit=first)
    def centred(gray, *, mean):
        return gray - mean

    node = unusual_of(second, of=centred)
    assert node.learns_from_labels
    apply([node], *toy())
    assert len(first.calls) == len(second.calls) == 6
    means = [values.mean().item() for (values,) in second.calls]
    assert len(set(means)) == 6  # each sees the images through its own fold's feature


def test_two_functions_share_a_feature_that_was_fitted_once():
    fit = FromUnlabeled(learn_mean)
    node = unusual_of(fit)

    @feature(batched=True, of=[node])
    def rougher(values):
        return values[:, ::4]

    apply([node, rougher], *toy())
    assert len(fit.calls) == 1


def test_no_label_teaches_it_anything_and_no_choice_of_seeds():
    pixels, labels = toy()
    fit = FromUnlabeled(learn_mean)
    node = unusual_of(fit)
    once = learned(apply([node], pixels, labels)[0])["mean"]
    other_seeds = learned(apply([node], pixels, labels, seeds=SEEDS + 30)[0])["mean"]
    wrong = learned(apply([node], pixels, 1 - labels)[0])["mean"]
    np.testing.assert_array_equal(once, other_seeds)
    np.testing.assert_array_equal(once, wrong)
    assert len(fit.calls) == 3


def test_its_randomness_is_that_of_the_run():
    pixels, labels = toy()
    node = unusual_of(FromUnlabeled(learn_noise))
    means = [
        learned(apply([node], pixels, labels, seeds=seeds, random_state=state)[0])
        for seeds, state in [(SEEDS, 0), (SEEDS + 30, 0), (SEEDS, 1)]
    ]
    np.testing.assert_array_equal(means[0]["mean"], means[1]["mean"])
    assert not np.array_equal(means[0]["mean"], means[2]["mean"])


def test_other_images_teach_it_something_else():
    pixels, labels = toy()
    other = pixels.copy()
    other[50] = 255  # no seed
    node = unusual_of(FromUnlabeled(learn_mean))
    once = learned(apply([node], pixels, labels)[0])["mean"]
    again = learned(apply([node], other, labels)[0])["mean"]
    np.testing.assert_allclose(again - once, (1 - gray28(pixels[50])) / 60, atol=1e-4)


def test_images_that_come_twice_are_seen_once():
    pixels, labels = toy()
    fit = FromUnlabeled(learn_mean)
    twice, labels = (
        np.concatenate([pixels, pixels[:10]]),
        np.append(labels, labels[:10]),
    )
    apply([unusual_of(fit)], twice, labels)
    assert len(fit.calls[0][0]) == 60


def test_it_reads_raw_images_or_several_features():
    fit = FromUnlabeled(lambda unlabeled, rng: {"n": np.asarray(len(unlabeled))})

    @feature(batched=True, of=[image, gray28], fit=fit)
    def both(images, gray, *, n):
        return gray.mean(dim=1) * n

    pixels, labels = toy()
    apply([both], pixels, labels)
    ((raw, gray),) = fit.calls
    np.testing.assert_array_equal((255 * raw).round()[:, 0], pixels[..., 0])
    np.testing.assert_allclose(gray, gray28(pixels), atol=1e-3)  # stored in half


def test_per_image_features_get_arrays():
    fit = FromUnlabeled(lambda unlabeled, rng: {"top": unlabeled[0].max()})

    @feature(fit=fit)
    def relative(pixels, *, top):
        return pixels.mean(axis=0)[:, 0] / top

    pixels, labels = toy()
    applier = LFApplier([resembling(relative)], n_classes=2, n_workers=0)
    applier.apply(pixels, seed_rows=SEEDS, seed_labels=labels[SEEDS])
    ((found,),) = fit.calls
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, pixels)
    assert learned(applier)["top"] == pixels.max()


# The sample


def test_of_many_images_a_sample_is_drawn(monkeypatch):
    monkeypatch.setattr(sample, "N_UNLABELED", 25)
    pixels, labels = toy(200)
    fit = FromUnlabeled(learn_mean)
    node = unusual_of(fit)
    apply([node], pixels, labels)
    apply([node], pixels, labels, seeds=SEEDS + 100)
    apply([node], pixels, labels, random_state=1)
    (first,), (other_seeds,), (other_draw,) = fit.calls
    assert len(first) == 25
    assert torch.equal(first, other_seeds)
    assert not torch.equal(first, other_draw)
    # All of them are images of the source, none twice, and not only the first.
    apart = np.abs(first.numpy()[:, None] - gray28(pixels)).max(axis=(2, 3))
    sampled, rows = np.nonzero(apart < 1e-3)
    np.testing.assert_array_equal(sampled, np.arange(25))
    assert len(np.unique(rows)) == 25
    assert rows.max() > 100


@pytest.mark.parametrize(
    ("most_pixels", "least", "n"),
    [(2**26, 128, 60), (16 * 30, 4, 30), (16 * 30, 40, 40)],
)
def test_of_large_images_fewer_are_drawn(monkeypatch, most_pixels, least, n):
    monkeypatch.setattr(sample, "_MOST_PIXELS", most_pixels)
    monkeypatch.setattr(sample, "_LEAST", least)
    fit = FromUnlabeled(learn_mean)
    apply([unusual_of(fit)], *toy())  # of 16 pixels
    assert len(fit.calls[0][0]) == n


class _Unreadable(ArraySource):
    """Images 40 and 41 cannot be read; for good, or just now."""

    transient = False

    def read(self, rows):
        read = super().read(rows)
        bad = {i: "broken" for i, row in enumerate(rows) if row in (40, 41)}
        return ReadImages(read.pixels, bad, frozenset(bad if self.transient else ()))


@pytest.mark.parametrize("of", [gray28, image], ids=["feature", "image"])
def test_images_that_cannot_be_read_teach_nothing(of):
    fit = FromUnlabeled(lambda unlabeled, rng: {"mean": np.float32(0.5)})
    pixels, labels = toy(side=28)
    apply([unusual_of(fit, of=of)], _Unreadable(pixels), labels)
    ((values,),) = fit.calls
    assert len(values) == 58


@pytest.mark.parametrize("of", [gray28, image], ids=["feature", "image"])
def test_nothing_is_learned_while_an_image_cannot_be_read_just_now(of):
    fit = FromUnlabeled(lambda unlabeled, rng: {"mean": np.float32(0.5)})
    pixels, labels = toy(side=28)
    source = _Unreadable(pixels)
    source.transient = True
    with pytest.raises(DataError, match="could not be read just now"):
        apply([unusual_of(fit, of=of)], source, labels)
    assert fit.calls == []


def test_an_image_whose_feature_failed_teaches_nothing():
    @feature(batched=True, of=[gray28])
    def fails_on_bright(gray):
        bright = gray.mean(dim=(1, 2), keepdim=True) > 0.9
        return torch.where(bright, torch.nan, gray)

    fit = FromUnlabeled(learn_mean)
    pixels, labels = toy()
    pixels[50] = 255
    apply([unusual_of(fit, of=fails_on_bright)], pixels, labels)
    assert len(fit.calls[0][0]) == 59


# The store


def test_a_second_run_fits_nothing_again(tmp_path):
    pixels, labels = toy()
    fits = FromUnlabeled(learn_mean), FromBoth(learn_shift)
    nodes = unusual_of(fits[0]), shifted_of(fits[1])
    _, first = apply(nodes, pixels, labels, store=RunStore(tmp_path))
    assert [len(fit.calls) for fit in fits] == [1, 6]
    applier, again = apply(nodes, pixels, labels, store=RunStore(tmp_path))
    assert [len(fit.calls) for fit in fits] == [1, 6]
    assert (applier.report_.n_calls, applier.report_.n_feature_values) == (0, 0)
    np.testing.assert_array_equal(first.soft, again.soft)
    np.testing.assert_array_equal(
        first.seed_out_of_fold.soft, again.seed_out_of_fold.soft
    )


def test_other_seeds_leave_what_it_learned_as_it_is(tmp_path):
    pixels, labels = toy()
    fits = FromUnlabeled(learn_mean), FromBoth(learn_shift)
    nodes = unusual_of(fits[0]), shifted_of(fits[1])
    apply(nodes, pixels, labels, store=RunStore(tmp_path))
    apply(nodes, pixels, labels, store=RunStore(tmp_path), seeds=SEEDS + 30)
    assert [len(fit.calls) for fit in fits] == [1, 12]


def test_another_image_makes_a_later_run_learn_anew(tmp_path):
    pixels, labels = toy()
    fit = FromUnlabeled(learn_mean)
    node = unusual_of(fit)
    apply([node], pixels, labels, store=RunStore(tmp_path))
    more, more_labels = np.concatenate([pixels, pixels[:1] // 2]), np.append(labels, 0)
    grown, votes = apply([node], more, more_labels, store=RunStore(tmp_path))
    assert len(fit.calls) == 2
    alone, fresh = apply([node], more, more_labels)
    np.testing.assert_array_equal(learned(grown)["mean"], learned(alone)["mean"])
    np.testing.assert_array_equal(votes.soft, fresh.soft)
    np.testing.assert_array_equal(
        votes.seed_out_of_fold.soft, fresh.seed_out_of_fold.soft
    )


def test_a_run_that_was_interrupted_goes_on_with_what_it_had_learned(tmp_path):
    pixels, labels = toy()
    fits = FromUnlabeled(learn_mean), FromBoth(learn_shift)
    nodes = unusual_of(fits[0]), shifted_of(fits[1])
    fits[1].interrupted_at = 3  # after all seeds and the first fold
    with pytest.raises(KeyboardInterrupt):
        apply(nodes, pixels, labels, store=RunStore(tmp_path))
    assert [len(fit.calls) for fit in fits] == [1, 3]
    _, votes = apply(nodes, pixels, labels, store=RunStore(tmp_path))
    assert [len(fit.calls) for fit in fits] == [1, 3 + 4]
    _, uninterrupted = apply(nodes, pixels, labels)
    np.testing.assert_array_equal(votes.soft, uninterrupted.soft)
    np.testing.assert_array_equal(
        votes.seed_out_of_fold.soft, uninterrupted.seed_out_of_fold.soft
    )


# What learns from labels


def test_a_feature_knows_whether_labels_taught_it():
    label_free = unusual_of(FromUnlabeled(learn_mean))
    of_both = shifted_of(FromBoth(learn_shift))

    @feature(batched=True, of=[of_both])
    def after(values):
        return values

    assert label_free.fit_arguments == {"unlabeled"}
    assert of_both.fit_arguments == {"labels", "unlabeled"}
    assert not label_free.learns_from_labels
    assert of_both.learns_from_labels
    assert after.learns_from_labels
    assert not hog(cell=7).learns_from_labels
    assert lenet_features.learns_from_labels


def test_baselines_train_on_what_no_label_taught(tmp_path):
    pixels, labels = toy(120)
    source, store = ArraySource(pixels, labels=labels), RunStore(tmp_path)

    def baseline_names(node):
        applier, votes = apply([node], source, labels, store=store)
        found = find_baselines(
            source, votes, labels, store, applier.feature_keys_, random_state=0
        )
        return [baseline.name for baseline in found]

    pixels_only = baseline_names(shifted_of(FromBoth(learn_shift)))
    assert pixels_only
    assert all(name.endswith(" on pixels") for name in pixels_only)
    found = baseline_names(unusual_of(FromUnlabeled(learn_mean)))
    assert "shrinkage LDA on features" in found


def test_a_threshold_that_learns_from_unlabeled_images_is_fitted_anew_for_others(
    tmp_path,
):
    """The out-of-fold votes' key once missed the sample behind a threshold."""

    def learn(*, unlabeled, rng):
        return {"mean": unlabeled[0].mean(dim=0).numpy()}

    @feature(batched=True, of=[gray28], fit=learn)
    def difference(gray, *, mean):
        return (gray - mean).mean(dim=(1, 2))

    @feature(batched=True, of=[gray28])
    def brightness(gray):
        return gray.mean(dim=(1, 2))

    @labeling_function(
        features=[brightness],
        classes=[0, 1],
        thresholds={"cut": Quantile(difference, 0.5)},
        batched=True,
    )
    def brighter_than_cut(mean, *, cut):
        return (mean > cut + 0.4).long()

    pixels, labels = toy()
    others = pixels.copy()
    others[20:] = 255 - others[20:]
    found = []
    for folder in (tmp_path / "one", tmp_path / "one", tmp_path / "two"):
        images = pixels if not found else others
        votes = LFApplier([brighter_than_cut], n_classes=2).apply(
            images,
            seed_rows=SEEDS,
            seed_labels=labels[SEEDS],
            store=RunStore(folder),
        )
        found.append(votes.seed_out_of_fold.hard)
    np.testing.assert_array_equal(found[1], found[2])


def test_a_sample_without_any_value_is_named():
    def learn(*, unlabeled, rng):
        return {"mean": unlabeled[0].mean(dim=0).numpy()}

    @feature(batched=True, of=[gray28])
    def broken(gray):
        return gray.mean(dim=(1, 2)) * torch.nan

    @feature(batched=True, of=[broken], fit=learn)
    def learned(values, *, mean):
        return values - mean

    @labeling_function(features=[learned], classes=[0], batched=True)
    def positive(values):
        return (values < 0).long() - 1

    @labeling_function(features=[gray28], classes=[0], batched=True)
    def always(gray):
        return torch.zeros(len(gray), dtype=torch.int64)

    pixels, labels = toy()
    applier = LFApplier([positive, always], n_classes=2)
    applier.apply(pixels, seed_rows=SEEDS, seed_labels=labels[SEEDS])
    reason = applier.report_.left_out["positive"]
    assert "feature 'broken' failed on every unlabeled image: is NaN" in reason
