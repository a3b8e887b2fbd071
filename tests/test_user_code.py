"""What functions may do to one another, to the run and to its stored results."""

import ctypes

import numpy as np
import pytest
import torch

from lfkit import ABSTAIN, LFApplier, Quantile, feature, labeling_function
from lfkit.features.feature import extract
from lfkit.generators.lf_votes.batch_votes import BatchVotes

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(1, 256, (24, 6, 5, 1)).astype(np.uint8)
SEEDS, SEED_LABELS = np.arange(12), np.arange(12) % 2


def writes(x):
    x[...] = 0


def sets_the_flag_back(x):
    x.flags.writeable = True
    x[...] = 0


def writes_through_its_base(x):
    base = x
    while isinstance(base.base, np.ndarray):
        base = base.base
    base.setflags(write=True)
    base[...] = 0


def writes_through_a_view(x):
    memoryview(x).cast("B")[0] = 0


def writes_through_torch(x):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.from_numpy(x).zero_()


def writes_through_ctypes(x):
    ctypes.memset(x.ctypes.data, 0, x.nbytes)


WAYS = {
    f.__name__: f
    for f in list(globals().values())
    if callable(f) and getattr(f, "__name__", "").startswith(("writes", "sets_"))
}


def tensor_add(x):
    x.sub_(1)


def tensor_data(x):
    x.data.sub_(1)


def tensor_numpy(x):
    x.numpy()[...] = 0


TENSOR_WAYS = [tensor_add, tensor_data, tensor_numpy]


@feature
def row(image):
    return image.reshape(-1)[:16].astype(float)


@feature(of=[row])
def doubled(values):
    return values * 2


@feature(batched=True)
def flat(images):
    return images.flatten(1)[:, :5]


@feature(batched=True, of=[flat])
def flat_mean(values):
    return values.mean(dim=1)


def readers():
    """Functions that read all that the others try to change."""

    @labeling_function(classes=[0, 1])
    def by_image(image):
        return int(image.mean() > 128)

    @labeling_function(classes=[0, 1], features=[row])
    def by_row(values):
        return int(values.mean() > 128)

    @labeling_function(classes=[0, 1], features=[doubled])
    def by_doubled(values):
        return int(values[0] > 256)

    @labeling_function(classes=[0, 1], features=[flat], batched=True)
    def by_flat(values):
        return (values.mean(1) > 0.5).long()

    @labeling_function(classes=[0, 1], features=[flat_mean], batched=True)
    def by_flat_mean(values):
        return (values > 0.5).long()

    @labeling_function(
        classes=[1], features=[flat_mean], thresholds={"cut": Quantile(flat_mean, 0.5)}
    )
    def by_cut(value, *, cut=0.5):
        return 1 if value > cut else ABSTAIN

    return [by_image, by_row, by_doubled, by_flat, by_flat_mean, by_cut]


def changers():
    """One function per way to change, for each thing that is handed out."""
    found = []
    for name, way in WAYS.items():
        for source in ("image", "row", "doubled", "flat"):
            features = {} if source == "image" else {"features": [globals()[source]]}

            def fn(x, way=way):
                way(x)
                return 0

            found.append(
                labeling_function(classes=[0], name=f"{name}_{source}", **features)(fn)
            )

            if source == "flat":
                continue

            @feature(name=f"feature_{name}_{source}", of=features.get("features", ()))
            def changes(x, way=way):
                way(x)
                return 0.0

            @labeling_function(
                classes=[0], features=[changes], name=f"via_{name}_{source}"
            )
            def via(value):
                return 0

            found.append(via)
    for way in TENSOR_WAYS:
        for source in ("image", "flat", "flat_mean"):
            features = {} if source == "image" else {"features": [globals()[source]]}

            def batched(x, way=way):
                way(x)
                return torch.zeros(len(x), dtype=torch.long)

            found.append(
                labeling_function(
                    classes=[0],
                    batched=True,
                    name=f"{way.__name__}_{source}",
                    **features,
                )(batched)
            )

            @feature(
                name=f"feature_{way.__name__}_{source}",
                batched=True,
                of=features.get("features", ()),
            )
            def changes_tensor(x, way=way):
                way(x)
                return torch.zeros(len(x))

            @labeling_function(
                classes=[0],
                features=[changes_tensor],
                batched=True,
                name=f"via_{way.__name__}_{source}",
            )
            def via_tensor(value):
                return value.long()

            found.append(via_tensor)
    return found


def columns_of(votes, lfs):
    names = [lf.name for lf in lfs]
    return votes.hard[:, [votes.names.index(name) for name in names]]


@pytest.mark.parametrize("n_workers", [0, 2])
def test_no_function_changes_what_others_read(n_workers):
    images = IMAGES.copy()
    good = readers()
    seeds = {"seed_rows": SEEDS, "seed_labels": SEED_LABELS}
    alone = LFApplier(good, 2, n_workers=n_workers).apply(images, **seeds)
    applier = LFApplier([*changers(), *good], 2, n_workers=n_workers)
    beside = applier.apply(images, **seeds)
    assert np.array_equal(images, IMAGES)
    assert columns_of(beside, good).tolist() == columns_of(alone, good).tolist()
    at_seeds = columns_of(beside.seed_out_of_fold, good[-1:])
    assert np.array_equal(at_seeds, columns_of(alone.seed_out_of_fold, good[-1:]))
    named = set(applier.report_.faults)
    per_image = {lf.name for lf in changers() if not lf.batched and lf.features}
    assert {n for n in per_image if not n.startswith("via_")} <= named
    assert not named & {lf.name for lf in good}


def test_no_function_changes_what_others_read_of_generated_images():
    good = readers()[:-1]
    tensors = torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255
    alone = BatchVotes(good, 2)(tensors)
    block = BatchVotes([*changers(), *good], 2)
    beside = block(tensors)
    assert torch.equal(beside[:, -len(good) :], alone)
    assert "writes_image" in block.faults
    assert "feature_tensor_numpy_flat" in block.faults
    assert not {lf.name for lf in good} & set(block.faults)


@pytest.mark.parametrize("way", [*WAYS.values(), *TENSOR_WAYS])
def test_no_feature_in_memory_changes_its_input(way):
    is_batched = way in TENSOR_WAYS
    images = IMAGES.copy()

    @feature(batched=is_batched)
    def changes(x):
        way(x)
        return x.mean(dim=(1, 2, 3)) if is_batched else x.mean()

    with pytest.raises(
        (ValueError, TypeError), match=r"read-only|WRITEABLE|writes over|modify"
    ):
        extract([changes, row], images)
    assert np.array_equal(images, IMAGES)


def test_an_array_returned_again_and_again_is_copied_each_time():
    kept = np.zeros(3)
    kept_tensor = torch.zeros(256, 3)

    @feature
    def same_array(image):
        kept[:] = image.mean()
        return kept

    @feature(batched=True)
    def same_tensor(images):
        kept_tensor[:] = images.mean(dim=(1, 2, 3))[:, None]
        return kept_tensor[: len(images)]

    @feature(batched=True)
    def spoils(images):
        kept_tensor.zero_()
        return images.mean(dim=(1, 2, 3))

    found = extract([same_array, same_tensor, spoils], IMAGES)
    means = IMAGES.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(found[same_array][:, 0], means, rtol=1e-5)
    np.testing.assert_allclose(found[same_tensor][:, 0], means / 255, rtol=1e-5)


def test_what_was_learned_is_each_functions_own():
    @feature(fit=lambda images, labels, rng: {"center": images.mean(axis=0)})
    def apart(image, *, center):
        return abs(image - center).mean()

    @labeling_function(classes=[0], features=[apart])
    def reads(value):
        return 0 if value > 60 else ABSTAIN

    def fitted():
        applier = LFApplier([reads], 1, n_workers=0)
        votes = applier.apply(
            IMAGES, seed_rows=SEEDS, seed_labels=np.zeros(12, np.int64)
        )
        return applier.lfs_[0], votes

    lf, votes = fitted()
    before = lf.features[0].learned["center"].copy()

    @feature(fit=lambda images, labels, rng: {"center": images.mean(axis=0)})
    def changes(image, *, center):
        center[...] = 0
        return 0.0

    applier = LFApplier(
        [reads, labeling_function(classes=[0], features=[changes])(lambda v: 0)], 1
    )
    seeds = {"seed_rows": SEEDS, "seed_labels": np.zeros(12, np.int64)}
    beside = applier.apply(IMAGES, **seeds)
    assert beside.hard[:, 0].tolist() == votes.hard[:, 0].tolist()
    assert "changes" in applier.report_.faults
    assert np.array_equal(applier.lfs_[0].features[0].learned["center"], before)
