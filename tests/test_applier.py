import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from assertions import assert_refused

from lfkit import ABSTAIN, LFApplier, NearestMean, Quantile, feature, labeling_function
from lfkit.errors import DataError, DeclarationError, FaultError
from lfkit.labeling.engine.worker_pool import IdleWorkers
from lfkit.runs.store import RunStore

# Gray levels that the toy functions below look at.
LEVELS = np.asarray([0, 10, 100, 200, 250], np.uint8)
IMAGES = np.broadcast_to(LEVELS[:, None, None, None], (5, 4, 4, 1)).copy()


@feature
def level(image):
    return image.mean()


@feature(batched=True)
def pixels(images):
    return images.flatten(1)


@labeling_function(classes=[0])
def dark_is_zero(image):
    return 0 if image.mean() < 50 else ABSTAIN


@labeling_function(classes=[1], features=[level])
def bright_is_one(mean):
    return 1 if mean > 150 else ABSTAIN


@labeling_function(classes=[0, 1], features=[pixels], batched=True)
def middle_decides(values):
    return (values.mean(1) > 0.5).long()


@labeling_function(classes=[1, 0], features=[pixels], batched=True, soft=True)
def softly_bright(values):
    import torch

    bright = values.mean(1)
    return torch.stack([bright, 1 - bright], dim=1)


def test_per_image_and_batched_functions_vote_side_by_side():
    applier = LFApplier([dark_is_zero, bright_is_one, middle_decides])
    votes = applier.apply(IMAGES)
    assert votes.names == ("dark_is_zero", "bright_is_one", "middle_decides")
    assert votes.n_classes == 2
    expected = [[0, -1, 0], [0, -1, 0], [-1, -1, 0], [-1, 1, 1], [-1, 1, 1]]
    assert np.asarray(votes).tolist() == expected


def test_soft_weights_go_to_the_classes_that_were_declared_in_their_order():
    votes = LFApplier([softly_bright]).apply(IMAGES)
    bright = LEVELS / 255
    np.testing.assert_allclose(votes.soft[:, 0, 1], bright, atol=1e-3)
    np.testing.assert_allclose(votes.soft[:, 0, 0], 1 - bright, atol=1e-3)
    assert votes.hard[:, 0].tolist() == [0, 0, 0, 1, 1]


def test_worker_processes_give_the_same_votes_as_this_process():
    lfs = [dark_is_zero, bright_is_one, middle_decides]
    here = LFApplier(lfs, n_workers=0).apply(IMAGES)
    there = LFApplier(lfs, n_workers=2).apply(IMAGES)
    assert np.array_equal(here.hard, there.hard)


def test_levels_of_batched_and_per_image_features_are_followed():
    @feature(batched=True, of=[level])
    def doubled(values):
        return values * 2

    @feature(of=[doubled])
    def halved(value):
        return value / 2

    @labeling_function(classes=[1], features=[halved, level])
    def came_back(there, here):
        return 1 if abs(there - here) < 1e-3 else ABSTAIN

    for n_workers in (0, 2):
        applier = LFApplier([came_back], n_workers=n_workers)
        assert applier.apply(IMAGES).hard[:, 0].tolist() == [1] * 5


def test_a_wide_feature_is_rounded_before_anyone_votes_on_it():
    @feature
    def wide(image):
        return np.full(9, 2049.0)  # float16 has no 2049

    @feature
    def narrow(image):
        return np.full(8, 2049.0)

    @labeling_function(classes=[0, 1], features=[wide])
    def wide_is_exact(values):
        return int(values[0] == 2049)

    @labeling_function(classes=[0, 1], features=[narrow])
    def narrow_is_exact(values):
        return int(values[0] == 2049)

    votes = LFApplier([wide_is_exact, narrow_is_exact]).apply(IMAGES[:1])
    assert votes.hard.tolist() == [[0, 1]]


def test_images_with_the_same_content_are_computed_once_and_vote_alike():
    images = np.concatenate([IMAGES, IMAGES, IMAGES])
    applier = LFApplier([dark_is_zero])
    votes = applier.apply(images)
    assert applier.report_.n_calls == 5
    assert votes.hard[:, 0].tolist() == [0, 0, -1, -1, -1] * 3


def test_an_unchanged_run_calls_no_function_and_an_edit_computes_one_column(tmp_path):
    store = RunStore(tmp_path)
    first = LFApplier([dark_is_zero, bright_is_one])
    votes = first.apply(IMAGES, store=store)
    assert (first.report_.n_calls, first.report_.n_feature_values) == (10, 5)
    again = LFApplier([dark_is_zero, bright_is_one])
    assert np.array_equal(again.apply(IMAGES, store=store).hard, votes.hard)
    assert (again.report_.n_calls, again.report_.n_feature_values) == (0, 0)

    @labeling_function(classes=[1], features=[level], name="bright_is_one")
    def edited(mean):
        return 1 if mean > 220 else ABSTAIN

    edit = LFApplier([dark_is_zero, edited])
    votes = edit.apply(IMAGES, store=store)
    assert votes.hard[:, 1].tolist() == [-1, -1, -1, -1, 1]
    assert (edit.report_.n_calls, edit.report_.n_feature_values) == (5, 0)


def test_new_images_are_computed_alone_wherever_they_come_in(tmp_path):
    store = RunStore(tmp_path)
    LFApplier([dark_is_zero]).apply(IMAGES[[0, 2, 4]], store=store)
    applier = LFApplier([dark_is_zero])
    votes = applier.apply(IMAGES, store=store)
    assert applier.report_.n_calls == 2
    assert votes.hard[:, 0].tolist() == [0, 0, -1, -1, -1]


def test_an_image_that_leaves_takes_its_votes_with_it(tmp_path):
    store = RunStore(tmp_path)
    LFApplier([dark_is_zero]).apply(IMAGES, store=store)
    votes = LFApplier([dark_is_zero]).apply(IMAGES[[4, 1]], store=store)
    assert votes.hard[:, 0].tolist() == [-1, 0]


def test_votes_do_not_depend_on_the_number_of_workers_or_on_other_functions(digits):
    images, _ = digits
    alone = LFApplier([middle_decides], n_classes=2).apply(images)
    among = LFApplier([dark_is_zero, middle_decides, softly_bright], n_workers=2).apply(
        images
    )
    assert np.array_equal(alone.hard[:, 0], among.hard[:, 1])


def test_two_runs_are_bit_identical(digits, digit_seeds):
    images, labels = digits

    @labeling_function(
        classes=range(10),
        features=[pixels],
        soft=True,
        batched=True,
        thresholds={"rule": NearestMean(pixels)},
    )
    def pixels_resemble_class(values, *, rule):
        return rule(values)

    def run():
        return LFApplier([pixels_resemble_class]).apply(
            images, seed_rows=digit_seeds, seed_labels=labels[digit_seeds]
        )

    first, second = run(), run()
    assert first.soft.tobytes() == second.soft.tobytes()
    fold, again = first.seed_out_of_fold, second.seed_out_of_fold
    assert fold.soft.tobytes() == again.soft.tobytes()


def test_seed_votes_out_of_fold_do_not_know_their_own_label(digits, digit_seeds):
    images, labels = digits

    def memorise(values, *, labels, rng):
        return {"rows": values.numpy(), "labels": labels}

    @feature(batched=True, fit=memorise)
    def nearest_seed(images, *, rows, labels):
        import torch

        distances = torch.cdist(images.flatten(1), rows.flatten(1))
        return labels[distances.argmin(1)].float()

    @labeling_function(classes=range(10), features=[nearest_seed], batched=True)
    def remembers(label):
        return label.long()

    votes = LFApplier([remembers]).apply(
        images, seed_rows=digit_seeds, seed_labels=labels[digit_seeds]
    )
    seen = votes.hard[digit_seeds, 0] == labels[digit_seeds]
    unseen = votes.seed_out_of_fold.hard[:, 0] == labels[digit_seeds]
    others = np.setdiff1d(np.arange(len(labels)), digit_seeds)
    honest = (votes.hard[others, 0] == labels[others]).mean()
    assert seen.mean() == 1.0  # it has learned them by heart
    assert abs(unseen.mean() - honest) < 0.08


def test_functions_that_need_seeds_are_left_out_without_them():
    @labeling_function(
        classes=[1], features=[level], thresholds={"cut": Quantile(level, 0.5)}
    )
    def needs_a_cut(mean, *, cut):
        return 1 if mean > cut else ABSTAIN

    @labeling_function(
        classes=[1], features=[level], thresholds={"cut": Quantile(level, 0.5)}
    )
    def has_a_default(mean, *, cut=150):
        return 1 if mean > cut else ABSTAIN

    applier = LFApplier([needs_a_cut, has_a_default])
    votes = applier.apply(IMAGES)
    assert votes.names == ("has_a_default",)
    assert applier.report_.left_out == {"needs_a_cut": "needs seed labels"}
    with assert_refused(DeclarationError, names="needs_a_cut", values=1):
        LFApplier([needs_a_cut]).apply(IMAGES)
    votes = LFApplier([needs_a_cut, has_a_default]).apply(
        IMAGES, seed_rows=[0, 1, 2, 3], seed_labels=[0, 0, 1, 1]
    )
    assert votes.hard[:, 0].tolist() == [-1, -1, 1, 1, 1]  # cut: between 10 and 100


def test_a_fit_that_fails_leaves_its_function_out_and_keeps_the_traceback():
    def broken(values, *, labels, rng):
        raise RuntimeError("no dictionary today")

    @feature(batched=True, fit=broken)
    def words(images, *, dictionary):
        return images

    @labeling_function(classes=[0], features=[words], batched=True)
    def uses_words(values):
        return values.long()

    seeds = {"seed_rows": [0, 4], "seed_labels": [0, 1]}
    applier = LFApplier([dark_is_zero, uses_words], n_classes=2)
    votes = applier.apply(IMAGES, **seeds)
    assert votes.names == ("dark_is_zero",)
    reason = "could not be fitted: no dictionary today"
    assert applier.report_.left_out == {"uses_words": reason}
    assert "in broken" in applier.report_.tracebacks["uses_words"]
    with assert_refused(FaultError, names="uses_words"):
        LFApplier([dark_is_zero, uses_words], n_classes=2, strict=True).apply(
            IMAGES, **seeds
        )


def _raises(image):
    raise KeyError("gone")


def _returns(value):
    return lambda image: value


@pytest.mark.parametrize(
    ("fn", "kind", "message"),
    [
        (_raises, "raised KeyError", "'gone'"),
        (_returns(None), "returned None", "returned None; it declares classes (0, 1)"),
        (_returns(float("nan")), "returned NaN", "returned nan"),
        (_returns(1.0), "returned a float", "returned 1.0; classes are ints"),
        (_returns(True), "returned a bool", "returned True, which is not a class"),
        (_returns("cat"), "returned no class", "returned 'cat', not one class"),
        (_returns(7), "voted an undeclared class", "voted 7; it declares classes (0"),
        (_returns(-2), "voted an undeclared class", "voted -2"),
        (_returns(np.zeros(3)), "returned a wrong shape", "an array of shape (3,)"),
    ],
)
@pytest.mark.parametrize("n_workers", [0, 1])
def test_a_bad_vote_is_counted_and_the_rest_goes_on(fn, kind, message, n_workers):
    bad = labeling_function(classes=[0, 1], name="bad")(fn)
    applier = LFApplier([bad, dark_is_zero], n_workers=n_workers)
    votes = applier.apply(IMAGES)
    assert votes.hard[:, 0].tolist() == [-1] * 5
    assert votes.hard[:, 1].tolist() == [0, 0, -1, -1, -1]
    found = applier.report_.faults["bad"]
    assert dict(found.counts) == {kind: 5}
    image_id, text, trace = found.examples[kind]
    assert image_id == "0"
    assert message in text
    assert ("_raises" in trace) == (fn is _raises)
    with assert_refused(FaultError, names="bad", values="image '0'"):
        LFApplier([bad], n_classes=2, strict=True, n_workers=n_workers).apply(IMAGES)


@pytest.mark.parametrize(
    ("fn", "kind"),
    [
        (_returns([0.5, np.nan]), "returned NaN"),
        (_returns([0.5, -0.1]), "returned a negative weight"),
        (_returns([0.5]), "returned a wrong shape"),
        (_returns(None), "returned None"),
        (_returns("half"), "returned no weights"),
    ],
)
def test_bad_soft_weights_are_counted(fn, kind):
    bad = labeling_function(classes=[0, 1], soft=True, name="bad")(fn)
    applier = LFApplier([bad])
    assert applier.apply(IMAGES).hard[:, 0].tolist() == [-1] * 5
    assert dict(applier.report_.faults["bad"].counts) == {kind: 5}


def _batched_raises(values):
    if (values > 0.9).any():
        raise ValueError("too bright")
    return values[:, 0].long()


@pytest.mark.parametrize(
    ("fn", "kind", "failed"),
    [
        (_batched_raises, "raised ValueError", [4]),
        (lambda v: v.mean(1), "raised TypeError", [0, 1, 2, 3, 4]),
        (lambda v: v.long(), "raised TypeError", [0, 1, 2, 3, 4]),
        (lambda v: (v[:, 0] > 0.5).long() * 5, "voted an undeclared class", [3, 4]),
    ],
)
def test_a_batched_function_fails_on_the_images_it_fails_on(fn, kind, failed):
    bad = labeling_function(classes=[0], features=[pixels], batched=True, name="bad")(
        fn
    )
    applier = LFApplier([bad])
    votes = applier.apply(IMAGES)
    expected = [-1 if i in failed else 0 for i in range(5)]
    assert votes.hard[:, 0].tolist() == expected
    assert dict(applier.report_.faults["bad"].counts) == {kind: len(failed)}


def test_a_batched_function_with_the_wrong_type_is_told_what_to_write():
    bad = labeling_function(classes=[0], features=[pixels], batched=True, name="bad")(
        lambda v: v.mean(1)
    )
    applier = LFApplier([bad])
    applier.apply(IMAGES)
    _, message, _ = applier.report_.faults["bad"].examples["raised TypeError"]
    assert message == (
        "returned torch.float32; classes are whole numbers: end with .long()"
    )


@labeling_function(classes=[0])
def raises_the_level(image):
    raise ValueError(f"level {image.max()}")


@labeling_function(classes=[0], batched=True)
def raises_another_kind_for_dark_images(images):
    level = round(float(images.max()) * 255)
    raise (KeyError if level < 50 else ValueError)(f"level {level}")


@pytest.mark.parametrize(
    "lf",
    [raises_the_level, raises_another_kind_for_dark_images],
    ids=lambda lf: lf.name,
)
@pytest.mark.parametrize(
    "earlier",
    [[3], [4, 2], [[4], [1, 2, 3]], [[3], [0, 4]], [[4, 2, 0, 1, 3]]],
    ids=str,
)
def test_a_fault_is_told_of_the_image_whose_it_is(tmp_path, lf, earlier):
    fresh = LFApplier([lf], n_classes=2, n_workers=0)
    fresh.apply(IMAGES)
    examples = fresh.report_.faults[lf.name].examples
    for rows in earlier:
        apply_to = np.atleast_1d(rows)
        LFApplier([lf], n_classes=2).apply(IMAGES[apply_to], store=RunStore(tmp_path))
    is_in_order = all(np.all(np.diff(np.atleast_1d(rows)) > 0) for rows in earlier)
    for _ in range(2):  # from blocks, then from the file of all of them
        again = LFApplier([lf], n_classes=2, n_workers=0)
        again.apply(IMAGES, store=RunStore(tmp_path))
        found = again.report_.faults[lf.name].examples
        assert found.keys() == examples.keys()
        for image_id, message, traceback in found.values():
            assert message.strip("'") == f"level {LEVELS[int(image_id)]}"
            assert message in traceback.splitlines()[-1]
        if is_in_order:
            assert {kind: told[:2] for kind, told in found.items()} == {
                kind: told[:2] for kind, told in examples.items()
            }
    strict = LFApplier([lf], n_classes=2, n_workers=0, strict=True)
    with pytest.raises(FaultError) as raised:
        strict.apply(IMAGES, store=RunStore(tmp_path))
    image_id = int(str(raised.value).split("image '")[1][0])
    assert f"level {LEVELS[image_id]}" in str(raised.value).splitlines()[0]


def test_a_feature_that_fails_silences_its_functions_on_that_image_only():
    @feature
    def fussy(image):
        if image[0, 0, 0] == 100:
            raise ZeroDivisionError("flat")
        return np.nan if image[0, 0, 0] == 200 else 1.0

    @labeling_function(classes=[0], features=[fussy])
    def trusts(value):
        return 0

    for n_workers in (0, 1):
        applier = LFApplier([trusts], n_workers=n_workers)
        assert applier.apply(IMAGES).hard[:, 0].tolist() == [0, 0, -1, -1, 0]
        assert "trusts" not in applier.report_.faults
        counts = applier.report_.faults["fussy"].counts
        assert counts["raised ZeroDivisionError"] == 1


def test_a_batched_feature_that_raises_is_isolated_to_its_image():
    @feature(batched=True)
    def fussy(images):
        import torch

        if (images[:, 0, 0, 0] == 100 / 255).any():
            raise RuntimeError("flat")
        return torch.where(images.mean((1, 2, 3)) > 0.9, torch.nan, 1.0)

    @labeling_function(classes=[0], features=[fussy], batched=True)
    def trusts(value):
        return value.long() * 0

    applier = LFApplier([trusts])
    assert applier.apply(IMAGES).hard[:, 0].tolist() == [0, 0, -1, 0, -1]
    counts = applier.report_.faults["fussy"].counts
    assert dict(counts) == {"raised RuntimeError": 1, "not finite": 1}


def test_a_value_too_large_to_store_is_named_as_that():
    @feature
    def huge(image):
        return np.full(20, 1e6)

    @labeling_function(classes=[0], features=[huge])
    def trusts(value):
        return 0

    applier = LFApplier([trusts])
    assert applier.apply(IMAGES).hard[:, 0].tolist() == [-1] * 5
    _, message, _ = applier.report_.faults["huge"].examples["not finite"]
    assert message.startswith("is beyond 65504")


def test_a_hanging_function_is_killed_and_counted_and_the_rest_goes_on():
    @labeling_function(classes=[0])
    def hangs_on_black(image):
        while image.max() == 0:
            pass
        return 0

    applier = LFApplier([hangs_on_black, dark_is_zero], lf_timeout=1, n_workers=2)
    votes = applier.apply(IMAGES)
    assert votes.hard.tolist() == [[-1, 0], [0, 0], [0, -1], [0, -1], [0, -1]]
    found = applier.report_.faults["hangs_on_black"]
    assert dict(found.counts) == {"timed out": 1}
    assert found.examples["timed out"][1] == "ran longer than 1 s and was killed"


def test_a_function_that_ends_its_process_is_counted_like_any_other_fault():
    @labeling_function(classes=[0])
    def exits_on_black(image):
        import os

        if image.max() == 0:
            os._exit(3)
        return 0

    applier = LFApplier([exits_on_black, dark_is_zero], n_workers=1)
    votes = applier.apply(IMAGES)
    assert votes.hard[:, 0].tolist() == [-1, 0, 0, 0, 0]
    found = applier.report_.faults["exits_on_black"]
    assert dict(found.counts) == {"crashed the process": 1}
    assert "exit code 3" in found.examples["crashed the process"][1]


def test_small_calls_one_after_the_other_share_one_process(tmp_path):
    @labeling_function(classes=[0])
    def tells_its_process(image):
        (tmp_path / str(os.getpid())).touch()
        return 0

    idle = IdleWorkers()
    for _ in range(4):
        LFApplier([tells_its_process], n_workers=3, idle=idle).apply(IMAGES[:1])
    assert len(list(tmp_path.iterdir())) == 1


def test_a_function_that_always_hangs_is_given_up():
    @labeling_function(classes=[0])
    def hangs(image):
        while True:
            pass

    images = np.arange(40, dtype=np.uint8)[:, None, None, None].repeat(4, 1)
    applier = LFApplier([hangs, dark_is_zero], lf_timeout=0.05, n_workers=2)
    votes = applier.apply(images)
    assert votes.names == ("dark_is_zero",)
    reason = "had to be killed 20 times and was given up"
    assert applier.report_.left_out == {"hangs": reason}


def test_a_function_that_cannot_travel_to_a_worker_says_so():
    lock = threading.Lock()

    @labeling_function(classes=[0])
    def holds_a_lock(image):
        with lock:
            return 0

    with assert_refused(DeclarationError, names=["holds_a_lock", "worker"]):
        LFApplier([holds_a_lock], n_workers=1).apply(IMAGES)


def test_strict_stops_at_a_function_that_cannot_travel():
    lock = threading.Lock()

    @labeling_function(classes=[0])
    def holds_a_lock(image):
        with lock:
            return 0

    @labeling_function(classes=[0])
    def travels(image):
        return 0

    applier = LFApplier([holds_a_lock, travels], n_workers=1, strict=True)
    with assert_refused(FaultError, names=["holds_a_lock", "worker"]):
        applier.apply(IMAGES)


def test_a_feature_of_many_functions_is_sent_once():
    pickled = []

    class Model:
        def __reduce__(self):
            pickled.append(self)
            return (dict, ())

    model = Model()

    @feature
    def brightness(image):
        return image.mean() if model == {} else -1.0

    def reader(number):
        def reads(value):
            return 0 if value >= 0 else 1

        return labeling_function(
            classes=[0, 1], features=[brightness], name=f"reads_{number}"
        )(reads)

    def n_times(n_readers):
        pickled.clear()
        lfs = [reader(number) for number in range(n_readers)]
        assert (LFApplier(lfs, n_workers=1).apply(IMAGES).hard == 0).all()
        return len(pickled)

    assert 1 <= n_times(3) == n_times(1)


def test_a_function_whose_feature_cannot_travel_is_left_out():
    lock = threading.Lock()

    @feature
    def locked(image):
        with lock:
            return 0.0

    @feature(of=[locked])
    def doubled(value):
        return 2 * value

    @labeling_function(classes=[0], features=[doubled])
    def reads_it(value):
        return 0

    applier = LFApplier([reads_it, dark_is_zero], n_workers=1)
    assert applier.apply(IMAGES).names == ("dark_is_zero",)
    why = applier.report_.left_out["reads_it"]
    assert why.startswith("reads the feature 'locked', which cannot be sent to worker")
    assert not applier.report_.faults


def test_an_image_cannot_be_changed_by_a_function():
    @labeling_function(classes=[0])
    def draws(image):
        image[:] = 0
        return 0

    applier = LFApplier([draws])
    applier.apply(IMAGES)
    assert IMAGES.max() == 250
    assert dict(applier.report_.faults["draws"].counts) == {"raised ValueError": 5}


@pytest.mark.parametrize(
    ("make", "facts"),
    [
        (lambda: LFApplier([]), "no labeling functions"),
        (
            lambda: LFApplier([dark_is_zero] * 2),
            "dark_is_zero",
        ),
        (
            lambda: LFApplier([len]),
            "len",
        ),
        (
            lambda: LFApplier([bright_is_one], n_classes=1),
            ["bright_is_one", "class 1"],
        ),
    ],
)
def test_wrong_functions_are_refused_with_a_sentence(make, facts):
    with assert_refused(DeclarationError, names=facts):
        make()


@pytest.mark.parametrize(
    ("rows", "labels", "facts"),
    [
        ([0], None, ["1 rows", "0 labels"]),
        ([9], [0], ["row 9", "5 images"]),
        ([0], [4], ["label 4", "0..1"]),
        ([0, 0], [1, 1], "seed_rows"),
    ],
)
def test_wrong_seeds_are_refused_with_a_sentence(rows, labels, facts):
    applier = LFApplier([dark_is_zero], n_classes=2)
    with assert_refused(DataError, names=facts):
        applier.apply(IMAGES, seed_rows=rows, seed_labels=labels)


def test_two_features_of_one_name_are_refused():
    def make():
        @feature(name="twin")
        def twin(image):
            return 1

        return twin

    def use(value):
        return 0

    lfs = [
        labeling_function(classes=[0], features=[make()], name=name)(use)
        for name in "ab"
    ]
    with assert_refused(DeclarationError, names="twin"):
        LFApplier(lfs)


def test_scripts_without_a_main_guard_may_use_workers(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import numpy as np\n"
        "from lfkit import LFApplier, labeling_function\n"
        "@labeling_function(classes=[0])\n"
        "def always(image):\n"
        "    return 0\n"
        "images = np.zeros((3, 4, 4), np.uint8)\n"
        "print(LFApplier([always], n_workers=2).apply(images).hard.sum())\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_importing_lfkit_loads_no_torch():
    code = "import sys, lfkit; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], timeout=60)
    assert done.returncode == 0


def test_torch_keeps_its_number_of_threads():
    import torch

    before = torch.get_num_threads()
    LFApplier([middle_decides]).apply(IMAGES)
    assert torch.get_num_threads() == before
