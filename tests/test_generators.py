"""Every generator: what it promises, whatever it is made of."""

import json

import numpy as np
import pytest
import torch
from assertions import assert_refused
from safetensors.numpy import load_file, save_file
from sklearn.exceptions import NotFittedError

from lfkit import ABSTAIN, LFApplier, OneOf, Votes, feature, labeling_function
from lfkit.errors import DataError, InputError, RunError, TrainingError
from lfkit.generators import GENERATORS, Adp, TwoStage, Vote
from lfkit.generators.adp.adp_step import AdpStep
from lfkit.generators.gan.config import GanConfig
from lfkit.generators.gan.networks import GAN_NETWORKS
from lfkit.generators.training.checkpoints import CheckpointFolder
from lfkit.generators.training.monitor import TrainingMonitor
from lfkit.generators.training_set import Domain, checked_pair, checked_task
from lfkit.nn.training_loop import StepContext

PLAN = {"n_steps": 40, "batch": 8, "width": 24, "z_dim": 8, "reader_steps": 30}


@feature(batched=True)
def left_minus_right(images):
    half = images.shape[3] // 2
    return images[..., :half].mean(dim=(1, 2, 3)) - images[..., half:].mean(
        dim=(1, 2, 3)
    )


@labeling_function(features=[left_minus_right], classes=[0, 1], batched=True)
def left_is_zero(values):
    return (values < 0).long()


@labeling_function(classes=[1])
def bright_last_column_is_one(image):
    return 1 if image[:, -1].mean() > 120 else ABSTAIN


LFS = (left_is_zero, bright_last_column_is_one)


def toys(n=64, seed=0, side=8):
    """Images that are bright on the left (0) or on the right (1), and their votes."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=n)
    images = rng.integers(0, 60, size=(n, side, side, 1))
    columns = np.arange(side)[None, None, :, None]
    left = (columns < side // 2) == (truth[:, None, None, None] == 0)
    images = np.where(left, images + 160, images).astype(np.uint8)
    second = np.where(truth == 1, 1, ABSTAIN)
    return images, truth, Votes(np.stack([truth, second], 1), [f.name for f in LFS], 2)


def make(name, **plan):
    made = GENERATORS[name]()
    known = vars(made.plan)
    small = {key: value for key, value in PLAN.items() if key in known}
    return made.set_params(plan=type(made.plan)(**{**known, **small, **plan}))


def second_of(generator, lfs=LFS):
    """Give what `fit` takes besides: for two domains, color images of another size."""
    if generator.n_domains == 1:
        return {}
    images, truth, votes = toys(40, seed=7, side=10)
    color = np.repeat(images, 3, axis=3)
    return {"second": Domain(color, votes, np.eye(2)[truth], lfs)}


def fitted(name, **kept):
    images, truth, votes = toys()
    made = make(name)
    given = {"proba": np.eye(2)[truth], "lfs": LFS, **second_of(made)}
    return made.fit(images, votes, **given, **kept)


class Trained(dict):
    """A trained generator of each name, trained when it is first asked for."""

    def __missing__(self, name):
        said = []
        self[name] = fitted(name, say=said.append)
        assert said == []  # a short training is not called broken
        assert self[name].broken_ is None
        return self[name]


@pytest.fixture(scope="module")
def trained():
    return Trained()


class Notes:
    """A journal that remembers."""

    def __init__(self):
        self.steps, self.figures = [], []

    def note(self, step, figures):
        self.steps.append(step)
        self.figures.append(figures)

    def rewind(self, step):
        pass


def equal(one, other):
    first, second = one.arrays(), other.arrays()
    return first.keys() == second.keys() and all(
        np.array_equal(rows, second[name], equal_nan=name == "confidence")
        for name, rows in first.items()
    )


@pytest.mark.parametrize("name", GENERATORS)
def test_samples_are_images_with_labels(name, trained):
    made = trained[name].sample(300)
    assert made.images.shape == (300, 8, 8, 1)
    assert made.images.dtype == np.uint8
    if trained[name].n_domains == 2:
        assert made.images_2.shape == (300, 10, 10, 3)
    np.testing.assert_allclose(made.proba.sum(axis=1), 1, atol=1e-5)
    knows = trained[name].functions != "never" or trained[name].has_sample_confidence
    if not knows:  # nobody can tell
        assert np.isnan(made.confidence).all()
    else:
        assert ((made.confidence >= 0) & (made.confidence <= 1)).all()
    assert len(trained[name].sample(0)) == 0


@pytest.mark.parametrize("name", GENERATORS)
def test_same_seed_same_images_however_many(name, trained):
    state = torch.get_rng_state()
    few, many = trained[name].sample(270), trained[name].sample(300)
    assert equal(few.rows(np.arange(256)), many.rows(np.arange(256)))
    assert not np.array_equal(
        few.images, trained[name].sample(270, random_state=1).images
    )
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", GENERATORS)
def test_a_saved_generator_makes_the_same_images(name, trained, tmp_path):
    trained[name].save(tmp_path)
    loaded = GENERATORS[name].load(tmp_path)
    if loaded.functions == "must":
        with assert_refused(names="labeling functions"):
            loaded.sample(1)
        loaded.bind(LFS, toys()[2])
    assert equal(loaded.sample(30), trained[name].sample(30))
    images = toys()[0]
    np.testing.assert_array_equal(
        loaded.predict_proba(images), trained[name].predict_proba(images)
    )


@pytest.mark.parametrize("name", GENERATORS)
def test_stopped_training_ends_in_the_same_bits_and_shows_what_it_makes(
    name, trained, tmp_path, monkeypatch
):
    class Stopping(CheckpointFolder):
        def save(self, arrays):
            super().save(arrays)
            if int(arrays["step"]) == 20:
                raise KeyboardInterrupt

    monkeypatch.setattr("lfkit.generators.training.watched_training.PREVIEW_EVERY", 20)
    shown, notes = {}, Notes()
    with pytest.raises(KeyboardInterrupt):
        fitted(name, checkpoints=Stopping(tmp_path, every=10))
    folder = CheckpointFolder(tmp_path, every=10)
    resumed = fitted(name, checkpoints=folder, monitor=notes, preview=shown.__setitem__)
    assert notes.steps == [30, 40]  # what was done before is not done again
    # Neither the stop nor looking at what it makes has changed what it learned.
    assert equal(resumed.sample(50), trained[name].sample(50))
    for key, value in trained[name]._modules().items():
        for part, tensor in value.state_dict().items():
            assert torch.equal(tensor, resumed._modules()[key].state_dict()[part]), part
    assert list(shown) == [40]
    assert shown[40].images.shape == (24, 8, 8, 1)
    is_named = shown[40].proba.any(axis=1)
    assert is_named.all() if name != "vote" else not is_named.any()


@pytest.mark.parametrize("name", GENERATORS)
def test_every_generator_tells_a_broken_training(name):
    images, truth, votes = toys()
    said = []
    rates = make(name).plan.rates[:2]
    broken = make(name, n_steps=20, reader_steps=10, **dict.fromkeys(rates, 1.0))
    given = {"proba": np.eye(2)[truth], "lfs": LFS, **second_of(broken)}
    try:
        broken.fit(images, votes, **given, say=said.append)
    except TrainingError as error:  # its numbers are not finite
        said.append(str(error))
        assert "not finite" in said[0]
        return
    assert len(said) == 1
    kind = type(broken.plan)
    usual = [f"--set {rate}={getattr(kind, rate):g}" for rate in rates]
    assert " ".join(usual) in said[0]


def poison(path, start=""):
    """Put one NaN into a file of weights."""
    tensors = {name: value.copy() for name, value in load_file(path).items()}
    name = next(
        name
        for name, value in tensors.items()
        if name.startswith(start) and value.dtype.kind == "f"
    )
    tensors[name].flat[0] = np.nan
    save_file(tensors, path)


@pytest.mark.parametrize("name", GENERATORS)
def test_nan_in_weights_is_refused_wherever_images_or_labels_are_made(
    name, trained, tmp_path
):
    trained[name].save(tmp_path)
    made = GENERATORS[name].load(tmp_path)
    if made.functions == "must":
        made.bind(LFS, toys()[2])
    module = next(iter(made._modules().values()))
    with torch.no_grad():
        next(iter(module.parameters())).view(-1)[0] = torch.nan
    for use in (
        lambda: made.sample(3),
        lambda: made.block(0),
        lambda: made.predict_proba(toys()[0]),
        lambda: made.save(tmp_path / "other"),
    ):
        with pytest.raises(TrainingError, match="not finite"):
            use()
    assert not (tmp_path / "other").exists()
    poison(tmp_path / "weights.safetensors")
    with pytest.raises(RunError, match="not finite"):
        GENERATORS[name].load(tmp_path)


def test_pairs_chosen_anew_outlive_a_stop(tmp_path):
    images, truth, votes = toys()
    rng = np.random.default_rng(0)
    unsure = rng.dirichlet([1, 1], size=64)
    seeds = {"seed_rows": np.arange(20), "seed_labels": truth[:20]}
    votes = Votes(
        votes.hard, votes.names, 2, seed_out_of_fold=votes.rows(np.arange(20)), **seeds
    )

    class Stopping(CheckpointFolder):
        def save(self, arrays):
            super().save(arrays)
            if int(arrays["step"]) == 40:
                raise KeyboardInterrupt

    def fit(checkpoints=None):
        made = make("adp", n_steps=60, unconditional_fraction=0.0)
        made.set_params(refresh_every=7, lf_every=2, anchor=0.0)
        return made.fit(
            images, votes, proba=unsure, lfs=LFS, seed_proba=unsure[:20],
            checkpoints=checkpoints,
        )  # fmt: skip

    whole = fit()
    assert whole.lf_weights_.mixture > 0
    with pytest.raises(KeyboardInterrupt):
        fit(Stopping(tmp_path, every=10))
    assert equal(fit(CheckpointFolder(tmp_path, every=10)).sample(50), whole.sample(50))


def test_damaged_checkpoint_falls_back_to_the_one_before(trained, tmp_path):
    fitted("adp", checkpoints=CheckpointFolder(tmp_path, every=10))
    paths = sorted(tmp_path.iterdir())
    assert [path.name for path in paths] == [
        "step-00000030.safetensors",
        "step-00000040.safetensors",
    ]
    paths[-1].write_bytes(paths[-1].read_bytes()[:1000])
    notes = Notes()
    folder = CheckpointFolder(tmp_path, every=10)
    resumed = fitted("adp", checkpoints=folder, monitor=notes)
    assert notes.steps == [40]
    assert equal(resumed.sample(50), trained["adp"].sample(50))


@pytest.mark.parametrize("name", GENERATORS)
def test_real_images_are_labeled_by_their_looks(name, trained):
    images, truth, votes = toys()
    generator = trained[name]
    if name == "self-labeling":  # a judge of pixels tells classes later than others
        generator = make(name, n_steps=120).fit(images, votes, proba=np.eye(2)[truth])
    images, truth, votes = toys(seed=1)
    found = generator.predict_proba(images)
    assert found.shape == (64, 2)
    assert np.mean(found.argmax(axis=1) == truth) > 0.9
    by_votes = generator.predict_proba(images, votes)
    assert np.mean(by_votes.argmax(axis=1) == truth) > 0.9


@pytest.mark.parametrize("name", GENERATORS)
def test_unfitted_generator_says_so(name):
    with assert_refused(NotFittedError, names=GENERATORS[name].__name__, allowed="fit"):
        GENERATORS[name]().sample(1)
    with assert_refused(NotFittedError, names=GENERATORS[name].__name__, allowed="fit"):
        GENERATORS[name]().predict_proba(toys()[0])


@pytest.mark.parametrize("name", ["adp", "two-stage"])
def test_classes_are_made_to_order(name, trained):
    made = trained[name].sample(300, classes=np.arange(300) % 2)
    assert np.array_equal(made.labels, np.arange(300) % 2)


def test_generator_that_cannot_be_asked_waits_for_a_class(trained):
    made = trained["vote"].sample(40, classes=np.arange(40) % 2)
    assert np.array_equal(made.labels, np.arange(40) % 2)


def test_what_never_comes_is_said(trained):
    with assert_refused(values=[0, 256, "1.1"]):
        trained["adp"].sample(5, min_confidence=1.1)
    with assert_refused(names="classes", values="0 to 2", allowed="0 to 1"):
        trained["adp"].sample(2, classes=[0, 2])


def test_class_without_labels_is_not_generated():
    images, truth, votes = toys()
    votes = Votes(votes.hard, votes.names, 3)
    made = make("adp").fit(images, votes, proba=np.eye(3)[truth], lfs=LFS)
    assert set(made.sample(300).labels) == {0, 1}
    with assert_refused(values="class 2"):
        made.sample(1, classes=[2])


def test_images_without_labels_are_only_looked_at():
    images, truth, votes = toys()
    proba = np.eye(2)[truth]
    proba[:50] = 0
    made = make("adp").fit(images, votes, proba=proba, lfs=LFS)
    assert len(made.sample(10)) == 10


def test_functions_vote_on_each_image_for_its_confidence(trained, tmp_path):
    trained["adp"].save(tmp_path)
    loaded = Adp.load(tmp_path)
    of_class = loaded.sample(100)
    assert len(np.unique(of_class.confidence)) <= 2
    loaded.bind(LFS, toys()[2])
    revoted = loaded.sample(100)
    assert np.array_equal(revoted.images, of_class.images)
    sure = loaded.sample(20, min_confidence=0.6)
    assert (sure.confidence >= 0.6).all()


def test_trust_is_told(trained):
    theta, phi = trained["adp"].theta_, trained["adp"].phi_
    assert theta.shape == (2,)
    assert theta.sum() == pytest.approx(1)
    assert np.array_equal(phi, phi.T)


def test_steps_are_timed_as_they_are_taken(monkeypatch):
    begun = []

    class Watched(AdpStep):
        def __init__(self, *given):
            super().__init__(*given)
            begun.append(self.learns_trust)

    monkeypatch.setattr("lfkit.generators.adp.adp.AdpStep", Watched)
    images, truth, votes = toys()
    proba = np.eye(2)[truth]
    for n in (20, 5):  # enough held-out seeds to judge, and too few
        rows = np.arange(n)
        seeds = {"seed_rows": rows, "seed_labels": truth[:n]}
        known = Votes(
            votes.hard, votes.names, 2, **seeds, seed_out_of_fold=votes.rows(rows)
        )
        given = {"proba": proba, "lfs": LFS, "seed_proba": proba[:n]}
        made = make("adp", n_steps=10)
        made.seconds_per_step(images, known, **given)
        made.fit(images, known, **given)
        assert len(begun) > 1
        assert set(begun) == {n == 20}
        begun.clear()


@pytest.mark.parametrize("noise", ["gate", "confusion", "none"])
@pytest.mark.parametrize("labels", ["condition", "head"])
def test_adp_trains_with_every_kind_of_noise_and_label(noise, labels):
    images, truth, votes = toys()
    made = make("adp", label_mode=labels, n_steps=20).set_params(
        noise=noise, lf_every=2
    )
    made.fit(images, votes, proba=0.8 * np.eye(2)[truth] + 0.1, lfs=LFS)
    assert made.is_conditional == (labels == "condition")
    assert len(made.sample(10)) == 10


@pytest.mark.parametrize(
    "labels", ["condition", pytest.param("head", marks=pytest.mark.slow)]
)
def test_surrogate_foresees_votes_and_teaches_the_generator(labels, tmp_path):
    images, truth, votes = toys(n=200)
    given = {"proba": np.eye(2)[truth], "lfs": LFS}

    def trained_with(n_steps=20, **settings):
        notes = Notes()
        made = make("adp", label_mode=labels, n_steps=n_steps, batch=16)
        made.set_params(surrogate=True, surrogate_every=10, **settings)
        made.fit(images, votes, monitor=notes, **given)
        return made, notes.figures

    _, figures = trained_with(n_steps=200)
    assert figures[-1]["surrogate_agrees_on_real"] > 0.9
    assert figures[-1]["surrogate_agrees_on_made"] > 0.5
    assert figures[-1]["consistency_loss"] < figures[10]["consistency_loss"]
    made, _ = trained_with()
    without, figures = trained_with(consistency=0.0)
    assert "consistency_loss" not in figures[-1]
    assert not equal(made.sample(20), without.sample(20))
    if labels == "head":
        without_images, _ = trained_with(image_gradient=False)
        assert not equal(made.sample(20), without_images.sample(20))


def test_stopped_training_with_a_surrogate_ends_in_the_same_bits(tmp_path):
    class Stopping(CheckpointFolder):
        def save(self, arrays):
            super().save(arrays)
            if int(arrays["step"]) == 30:
                raise KeyboardInterrupt

    images, truth, votes = toys()
    given = {"proba": np.eye(2)[truth], "lfs": LFS}
    settings = {"surrogate": True, "surrogate_every": 4}
    whole = make("adp").set_params(**settings).fit(images, votes, **given)
    with pytest.raises(KeyboardInterrupt):
        make("adp").set_params(**settings).fit(
            images, votes, **given, checkpoints=Stopping(tmp_path, every=10)
        )
    resumed = make("adp").set_params(**settings)
    resumed.fit(images, votes, **given, checkpoints=CheckpointFolder(tmp_path))
    assert equal(whole.sample(20), resumed.sample(20))
    assert np.array_equal(whole.theta_, resumed.theta_)


def test_surrogate_of_no_functions_is_refused():
    images, truth, votes = toys()
    with assert_refused(names="no functions"):
        make("adp").set_params(surrogate=True).fit(
            images, votes, proba=np.eye(2)[truth]
        )


def test_adp_trains_without_functions_and_without_trust():
    images, truth, votes = toys()
    made = make("adp", n_steps=20).fit(images, votes, proba=np.eye(2)[truth])
    assert len(made.sample(10)) == 10
    made = make("adp", n_steps=20).set_params(trust=False)
    made.fit(images, votes, proba=np.eye(2)[truth], lfs=LFS)
    assert len(made.sample(10)) == 10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adp", "two-stage"])
def test_two_classes_that_one_function_tells_apart_are_learned(name):
    images, truth, votes = toys(n=512)
    made = make(name, n_steps=1500, batch=32, width=48)
    made.fit(images, votes, proba=np.eye(2)[truth], lfs=LFS)
    drawn = made.sample(1000)
    seen = drawn.images[..., 0].astype(float)
    is_one = seen[:, :, :4].mean(axis=(1, 2)) < seen[:, :, 4:].mean(axis=(1, 2))
    assert np.mean(is_one == drawn.labels) >= 0.95
    assert drawn.images.std(axis=0).mean() > 20


def test_labels_alone_tell_nothing_where_classes_are_drawn_as_they_are():
    images, truth, votes = toys(n=400)
    notes = Notes()
    made = make("two-stage", n_steps=200, batch=32)
    made.fit(images, votes, proba=np.eye(2)[truth], monitor=notes)
    assert 0.5 <= notes.figures[-1]["labels_only_accuracy"] < 0.55


class Breaking(TwoStage):
    """Its step 25 gives what is no number: the first time, or always."""

    always = False
    n_breaks = 0

    def _begin(self, task):
        gan = super()._begin(task)
        step = gan.step

        def stepped(now):
            figures = step(now)
            if now.step == 25 and (self.always or not self.n_breaks):
                self.n_breaks += 1
                with torch.no_grad():
                    next(gan.maker.parameters()).fill_(float("nan"))
                return {"g_loss": torch.tensor(float("nan"))}
            return figures

        gan.step = stepped
        return gan


def breaking():
    return Breaking(GanConfig(**{**vars(TwoStage().plan), **PLAN}))


def test_training_that_breaks_goes_back_and_on():
    images, truth, votes = toys()
    made = breaking().fit(images, votes, proba=np.eye(2)[truth])
    assert made.n_breaks == 1
    assert made.sample(20).images.std() > 0


def test_weights_that_break_in_the_last_step_are_taken_back():
    class Late(Breaking):
        def _begin(self, task):
            gan = TwoStage._begin(self, task)
            step = gan.step

            def stepped(now):
                figures = step(now)
                if now.step == 39 and not self.n_breaks:
                    self.n_breaks += 1
                    with torch.no_grad():  # the loss does not tell of it any more
                        next(gan.average.module.parameters()).fill_(float("nan"))
                return figures

            gan.step = stepped
            return gan

    images, truth, votes = toys()
    made = Late(GanConfig(**{**vars(TwoStage().plan), **PLAN}))
    made.fit(images, votes, proba=np.eye(2)[truth])
    assert made.n_breaks == 1
    assert made.sample(20).images.std() > 0


def test_killed_right_after_a_checkpoint_no_line_is_lost(tmp_path):
    class Killed(CheckpointFolder):
        def save(self, arrays):
            super().save(arrays)
            if int(arrays["step"]) == 30:
                raise KeyboardInterrupt

    def log(folder):
        return [json.loads(line)["step"] for line in folder.read_text().splitlines()]

    images, truth, votes = toys()
    given = {"proba": np.eye(2)[truth]}
    doctor = TrainingMonitor(tmp_path, ("left", "right"), 40)
    with pytest.raises(KeyboardInterrupt):
        make("two-stage").fit(
            images, votes, **given, monitor=doctor,
            checkpoints=Killed(tmp_path / "state", every=10),
        )  # fmt: skip
    make("two-stage").fit(
        images,
        votes,
        **given,
        monitor=TrainingMonitor(tmp_path, ("left", "right"), 40),
        checkpoints=CheckpointFolder(tmp_path / "state", every=10),
    )
    assert log(tmp_path / "log.jsonl") == [10, 20, 30, 40]


def test_training_that_always_breaks_is_given_up():
    images, truth, votes = toys()
    made = breaking()
    made.always = True
    with assert_refused(TrainingError, names="finite", values=3):
        made.fit(images, votes, proba=np.eye(2)[truth])
    assert made.n_breaks == 4


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ({"images": np.zeros((4, 8, 8, 1))}, ["(n, h, w, c)", "uint8"]),
        ({"images": np.zeros((4, 5, 8, 1), np.uint8)}, "8x8"),
        ({"proba": np.zeros((64, 3))}, ["(64, 3)", 64]),
        ({"proba": np.zeros((64, 2))}, "no image"),
        ({"votes": toys(32)[2]}, [32, 64]),
    ],
)
def test_wrong_input_is_told_in_one_sentence(change, facts):
    images, truth, votes = toys()
    given = {"images": images, "votes": votes, "proba": np.eye(2)[truth], **change}
    with assert_refused(DataError, names=facts):
        make("two-stage").fit(given["images"], given["votes"], proba=given["proba"])


@pytest.mark.parametrize(
    ("settings", "plan", "facts"),
    [
        ({"noise": "loud"}, {}, ["noise", "loud"]),
        ({"gate": 0.0}, {}, ["gate", 0]),
        ({}, {"label_mode": "none"}, ["plan.label_mode", "none"]),
        ({"lf_every": 0}, {}, ["lf_every", 0, 1]),
        ({"refresh_every": 0}, {}, ["refresh_every", 0, 1]),
        ({"anchor": -1.0}, {}, ["anchor", -1, 0]),
        (
            {"surrogate": True, "trust": False},
            {},
            ["surrogate", "trust"],
        ),
        (
            {"surrogate": True, "image_gradient": False},
            {},
            ["image_gradient", "consistency", "plan.label_mode"],
        ),
    ],
)
def test_wrong_settings_of_adp_are_told(settings, plan, facts):
    images, truth, votes = toys()
    with assert_refused(names=facts):
        make("adp", **plan).set_params(**settings).fit(
            images, votes, proba=np.eye(2)[truth], lfs=LFS
        )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"network": "sgan"}, "network is 'sgan'; choose from dcgan, cogan, sngan"),
        (
            {"label_mode": "soft"},
            "label_mode is 'soft'; choose from condition, head, none",
        ),
        (
            {"conditioning": "sum"},
            "conditioning is 'sum'; choose from projection",
        ),
        ({"augment": ("flip",)}, "augment is 'flip'; choose from color, translation"),
        ({"batch": 1}, "batch is 1; give 2 or more"),
        ({"n_steps": 0}, "n_steps is 0; give 1 or more"),
        ({"z_dim": 0}, "z_dim is 0; give 1 or more"),
        ({"width": 0}, "width is 0; give 4 or more"),
        ({"r1_every": 0}, "r1_every is 0; give 1 or more"),
        ({"r1_gamma": float("nan")}, "r1_gamma is nan; give 0 or more"),
        ({"unconditional_fraction": 1.5}, "unconditional_fraction is 1.5; give 0 to 1"),
    ],
)
def test_plan_that_makes_no_sense_is_refused(settings, sentence):
    with pytest.raises(InputError) as caught:
        GanConfig(**settings)
    assert sentence in str(caught.value)


def test_networks_of_a_plan_are_those_of_the_table():
    for name in GAN_NETWORKS:
        GanConfig(network=name)
    with pytest.raises(InputError, match=", ".join(GAN_NETWORKS)):
        GanConfig(network="cyclegan")


@pytest.mark.parametrize(
    ("name", "labels"),
    [("two-stage", "none"), ("vote", "condition"), ("adp-paper", "head")],
)
def test_labels_that_a_generator_cannot_use_are_refused(name, labels):
    images, truth, votes = toys()
    with assert_refused(names="plan.label_mode", values=labels):
        make(name, label_mode=labels).fit(
            images, votes, proba=np.eye(2)[truth], lfs=LFS
        )


def test_confidence_is_not_asked_of_who_cannot_tell(trained):
    with assert_refused(names="min_confidence"):
        trained["two-stage"].sample(5, min_confidence=0.5)
    with assert_refused(names="TwoStage"):
        trained["two-stage"].bind(LFS, toys()[2])


def test_failing_functions_are_counted():
    @labeling_function(classes=[0], batched=True)
    def raises(images):
        raise RuntimeError("no such thing")

    images, truth, votes = toys()
    hard = np.column_stack([votes.hard, np.full(len(truth), ABSTAIN)])
    votes = Votes(hard, [*votes.names, "raises"], 2)
    made = make("adp").set_params(lf_every=2)
    made.fit(images, votes, proba=np.eye(2)[truth], lfs=[*LFS, raises])
    n, why = made.faults()["raises"]
    assert n > 100
    assert why == "raised RuntimeError: no such thing"


def test_steps_are_timed_with_and_without_pairs():
    asked = []

    @labeling_function(classes=[0], batched=True)
    def counts(images):
        asked.append(len(images))
        return np.full(len(images), ABSTAIN)

    images, truth, votes = toys()
    hard = np.column_stack([votes.hard, np.full(len(truth), ABSTAIN)])
    votes = Votes(hard, [*votes.names, "counts"], 2)
    adp = make("adp").set_params(trust=True)
    of_images, of_pairs = adp.seconds_per_step(
        images, votes, proba=np.eye(2)[truth], lfs=[*LFS, counts]
    )
    assert of_images > 0
    assert of_pairs > 0
    # The functions' part in a step's cost is in it: they voted on generated images.
    assert asked
    one, other = make("two-stage").seconds_per_step(
        images, votes, proba=np.eye(2)[truth]
    )
    assert one == other


def test_vote_shares_a_set_of_classes_on_generated_images():
    @labeling_function(classes=[0, 1, 2])
    def either(image):
        return OneOf[0, 1]

    images, truth, _ = toys()
    votes = LFApplier([either]).apply(images)
    made = make("vote").set_params(aggregator="majority-vote")
    made.fit(images, votes, proba=np.eye(3)[truth], lfs=[either])
    # A tie: neither class is named, and 2 is out of the question.
    np.testing.assert_allclose(made.sample(5).proba, [[0.5, 0.5, 0]] * 5)


def test_vote_needs_functions():
    images, truth, votes = toys()
    with assert_refused(names="labeling functions"):
        make("vote").fit(images, votes, proba=np.eye(2)[truth])


def test_votes_of_other_functions_are_refused(trained):
    images, truth, _ = toys()
    other = Votes(truth[:, None], ["another"], 2)
    with assert_refused(values="1 functions"):
        trained["adp"].predict_proba(images, other)


def test_folder_of_another_generator_is_refused(trained, tmp_path):
    trained["adp"].save(tmp_path)
    with assert_refused(RunError, names="Adp", values=2, allowed="TwoStage"):
        TwoStage.load(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"broken")
    with assert_refused(RunError, names="weights.safetensors", allowed="--restart"):
        Adp.load(tmp_path)
    with assert_refused(RunError, names=tmp_path / "nothing"):
        Vote.load(tmp_path / "nothing")


def test_two_domains_are_made_of_the_same_draws_and_one_common_block():
    images, truth, votes = toys()
    made = make("adp-multi", unconditional_fraction=0.0)
    made.set_params(trust=False, noise="none")
    second = second_of(made)["second"]
    second.proba[:20, 1] = 0  # far fewer of one class have a label
    task = checked_task(images, votes, np.eye(2)[truth], LFS, None, None)
    trained = made._begin(checked_pair(task, second))
    for number in range(3):
        drawn = torch.Generator().manual_seed(number)
        trained.step(StepContext(number, drawn))
        one, other = trained.first.gan, trained.second.gan
        assert torch.equal(one.fake.target, other.fake.target)
        assert one.maker.images.common is other.maker.images.common
    # Labels alone tell neither discriminator anything.
    for gan in (one, other):
        np.testing.assert_allclose(gan.shares, task_shares(task, second), atol=1e-5)


def task_shares(task, second):
    """Give the mean of the shares in both domains."""
    shares = [task.prior, second.proba.sum(axis=0) / second.proba.sum()]
    return np.mean(shares, axis=0)


@pytest.mark.slow
def test_both_images_of_a_pair_are_of_its_class():
    images, truth, votes = toys()
    made = make("adp-multi", n_steps=200, unconditional_fraction=0.0)
    made.set_params(trust=False)
    made.fit(images, votes, proba=np.eye(2)[truth], lfs=LFS, **second_of(made))
    found = made.sample(300)
    for pixels in (found.images, found.images_2):
        half = pixels.shape[2] // 2
        left, right = pixels[:, :, :half], pixels[:, :, half:]
        is_right = left.mean(axis=(1, 2, 3)) < right.mean(axis=(1, 2, 3))
        assert np.mean(is_right == found.labels) > 0.9
    one, other = made.gan_.maker.images.common, made.second_.gan_.maker.images.common
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_as_many_domains_as_the_generator_has():
    images, truth, votes = toys()
    given = {"proba": np.eye(2)[truth], "lfs": LFS}
    with assert_refused(names="2 domains"):
        make("adp-multi").fit(images, votes, **given)
    with assert_refused(names="1 domain"):
        make("adp").fit(images, votes, **given, second=Domain(images, votes, **given))
    others = Votes(np.zeros((64, 1), np.int16), ["one"], 3)
    with assert_refused(DataError, names=["2 classes", "3"]):
        make("adp-multi").fit(
            images, votes, **given, second=Domain(images, others, np.eye(3)[truth])
        )


@pytest.mark.parametrize("network", ["dcgan", "sngan", "biggan"])
def test_a_network_begins_as_that_of_images_of_another_shape(network):
    drawn = torch.Generator().manual_seed(0)
    kind = GAN_NETWORKS[network]

    def of(*shape):
        shared = {"n_classes": 2, "z_dim": 4, "width": 8, "generator": drawn}
        return kind.make_generator(shape, **shared).eval()

    gray, color, large = of(28, 28, 1), of(28, 28, 3), of(32, 32, 3)
    z = torch.randn(6, 4, generator=drawn)
    condition = torch.eye(2).repeat(3, 1)
    color.take(gray)
    before, common = gray(z, condition)
    after, same = color(z, condition)
    assert torch.equal(common, same)
    for channel in range(3):
        assert torch.allclose(after[:, channel], before[:, 0], atol=1e-6)
    # The first maps become larger: what grows downwards still does.
    weights = next(p for name, p in gray.named_parameters() if name.startswith("first"))
    ramp = torch.arange(gray.start[0]).repeat_interleave(gray.start[1])
    with torch.no_grad():
        weights.copy_(
            ramp.repeat(len(weights) // len(ramp))[:, None].expand_as(weights)
        )
    large.take(gray)
    found = next(p for name, p in large.named_parameters() if name.startswith("first"))
    rows = found[:, 0].view(-1, *large.start)
    assert (rows.diff(dim=1) >= 0).all()
    assert (rows[:, 0] == 0).all()
    assert (rows[:, -1] == gray.start[0] - 1).all()
    assert large(z, condition)[0].shape == (6, 3, 32, 32)


def test_networks_that_do_not_fit_each_other_are_refused():
    drawn = torch.Generator().manual_seed(0)
    for network, side in (("dcgan", 64), ("cogan", 32)):
        kind = GAN_NETWORKS[network]
        small = kind.make_generator((28, 28, 1), width=8, generator=drawn)
        large = kind.make_generator((side, side, 1), width=8, generator=drawn)
        with assert_refused(names=f"{side}x{side}", allowed="--size"):
            large.take(small)
