"""CGAN, CoGAN, Triple-GAN, WSGAN and GAN + data programming, each by hand."""

import math

import numpy as np
import pytest
import torch
from assertions import assert_refused
from test_generators import LFS, toys
from test_methods import make

from lfkit.aggregators import AGGREGATORS
from lfkit.data.votes import ABSTAIN, Votes
from lfkit.generators import AdpPaper, Cgan, CoGan, TripleGan, Vote, WsGan
from lfkit.generators.gan import PairGan, RealImages, StepHooks
from lfkit.generators.gan.config import GanConfig
from lfkit.generators.gan.discriminator import Discriminator
from lfkit.generators.gan.networks import GAN_NETWORKS
from lfkit.generators.training_set import checked_task
from lfkit.generators.triple_gan import adversary, disagreement
from lfkit.generators.wsgan.vote_accuracies import VoteAccuracies, alignment, unevenness
from lfkit.nn.training_loop import StepContext

TINY = {"n_steps": 5, "plan": {"reader_steps": 2}}


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


def task_of(proba, n=64):
    images, _, votes = toys(n)
    return checked_task(images, votes, proba, LFS, None, None)


def test_images_without_a_label_teach_a_cgan_nothing():
    images, truth, votes = toys()
    proba = np.eye(2)[truth]
    proba[32:] = 0
    others = images.copy()
    others[32:] = 255 - others[32:]
    made = [
        make(Cgan, **TINY).fit(given, votes, proba=proba).sample(20)
        for given in (images, others)
    ]
    assert np.array_equal(made[0].images, made[1].images)


def coupled():
    body = GAN_NETWORKS["dcgan"].make_body((8, 8, 1), width=24, generator=drawn())
    return Discriminator(body, 3, conditioning="coupled", generator=drawn()).eval()


def test_coupled_discriminators_judge_images_and_labels_apart_by_the_same_layers():
    discriminator = coupled()
    images = torch.rand(3, 1, 8, 8, generator=drawn())
    labels = torch.eye(3)
    scores = discriminator(images, labels)
    turned = discriminator(images.flip(0), labels)
    assert torch.equal(turned.pairs, scores.pairs)
    torch.testing.assert_close(turned.alone, scores.alone.flip(0))
    other = discriminator(images, labels.roll(1, 0))
    assert torch.equal(other.alone, scores.alone)
    assert not torch.equal(other.pairs, scores.pairs)
    for score in (scores.alone, scores.pairs):
        discriminator.zero_grad()
        score.sum().backward(retain_graph=True)
        assert all(w.grad.abs().sum() > 0 for w in discriminator.shared.parameters())
        of_images = any(
            w.grad is not None and w.grad.any() for w in discriminator.body.parameters()
        )
        assert of_images == (score is scores.alone)


def test_a_cogan_reads_real_images_whatever_its_own_labels_are():
    images, truth, votes = toys()
    generator = make(CoGan, n_steps=5).fit(images, votes, proba=np.eye(2)[truth])
    images, truth, _ = toys(seed=1)
    assert np.mean(generator.predict_proba(images).argmax(axis=1) == truth) > 0.9


def test_images_are_labeled_by_every_model_of_the_votes():
    images, truth, votes = toys()
    made = make(Vote, **TINY).fit(images, votes, proba=np.eye(2)[truth], lfs=LFS)
    before = made.sample(20).images
    for name in AGGREGATORS:
        made.set_params(aggregator=name)
        made.bind(LFS, votes)
        found = made.sample(20)
        assert np.array_equal(found.images, before), name
        np.testing.assert_allclose(found.proba.sum(axis=1), 1, atol=1e-5)


def test_a_classifier_is_taught_by_consistency_and_by_its_adversary():
    one = torch.tensor([[0.8, 0.2]]).log()
    other = torch.tensor([[0.6, 0.4]]).log()
    assert disagreement(one, other).item() == pytest.approx(0.04)
    # Of D = 1/2 and 3/4: log(1 - D) is -log 2 and -log 4.
    proba = torch.tensor([[0.8, 0.2], [0.5, 0.5]])
    scores = torch.tensor([0.0, math.log(3)])
    found = adversary(proba, scores, "non-saturating")
    assert found.item() == pytest.approx(-0.9 * math.log(2))
    found = adversary(proba, scores, "hinge")
    assert found.item() == pytest.approx(-math.log(3) / 4)


def begun(proba, **settings):
    return make(TripleGan, **settings)._begin(task_of(proba))


def test_only_confident_labels_teach_a_triple_gan_and_later_its_own():
    truth = toys()[1]
    sure = np.linspace(0.6, 1, 64)
    proba = np.where(np.eye(2)[truth] > 0, sure[:, None], 1 - sure[:, None])
    triple = begun(proba, gate=0.5, late_from=0.2, n_steps=100)
    used = triple.real.weights > 0
    for label in (0, 1):
        rows = np.flatnonzero(truth == label)
        assert used[rows].sum() == round(len(rows) / 2)
        assert used[rows[-1]]  # the surest
        assert not used[rows[0]]
    for number, share in ((19, 1), (20, 0.5)):
        assert used[triple.rows(number, 64)].float().mean() == share
    triple.classifier.forward = lambda images: torch.tensor([[0.0, 1.0]] * len(images))
    rows, images = torch.arange(64), torch.zeros(64, 1, 8, 8)
    labels, weights, _ = triple.labels(rows, images, StepContext(19, drawn()))
    assert torch.equal(weights > 0, used)
    labels, weights, _ = triple.labels(rows, images, StepContext(20, drawn()))
    assert weights.min() == 1
    assert torch.equal(labels[used], triple.real.labels[used])
    assert labels[~used].argmax(dim=1).unique().tolist() == [1]


def test_late_is_counted_from_the_first_step_with_pairs():
    plan = {"unconditional_fraction": 0.5}
    triple = begun(np.eye(2)[toys()[1]], late_from=0.2, n_steps=100, plan=plan)
    assert triple.first_late == 60
    prices = [triple._price(StepContext(step, drawn())) for step in (50, 60, 65)]
    assert prices == pytest.approx([100 * math.exp(-5), prices[1], 100])
    assert prices[0] < prices[1] < prices[2]


def test_a_discriminator_is_shown_the_classifiers_pairs_as_their_share():
    images, truth, _ = toys(16)
    real = RealImages(images, 2, "cpu")
    real.set_pairs(np.eye(2)[truth], np.ones(16))
    plan = GanConfig(batch=8, width=24, z_dim=8, n_steps=3, unconditional_fraction=0.0)
    others, labels = torch.rand(8, 1, 8, 8, generator=drawn()), torch.eye(2)[[0] * 8]

    def loss(share):
        hooks = StepHooks(counterfeits=lambda now: (others, labels, share))
        gan = PairGan(real, (8, 8, 1), plan, 0, "cpu", hooks)
        return gan.step(StepContext(0, drawn()))["pair_loss"].item()

    none, half, whole = (loss(share) for share in (0.0, 0.5, 1.0))
    assert half == pytest.approx((none + whole) / 2, abs=1e-5)
    assert none != pytest.approx(whole, abs=1e-4)


def block(m, prior):
    found = VoteAccuracies(5, m, np.asarray(prior), drawn())
    torch.nn.init.zeros_(found.layers[-1].weight)  # every accuracy is 1/2
    return found


def test_votes_of_even_accuracy_and_classes_of_even_share_are_a_plain_vote():
    rng = np.random.default_rng(0)
    hard = rng.integers(-1, 3, size=(50, 7))
    votes = torch.from_numpy(np.eye(3)[hard] * (hard != ABSTAIN)[..., None]).float()
    posterior, accuracies = block(7, np.full(3, 1 / 3)).posterior(
        torch.rand(50, 5, generator=drawn()), votes
    )
    assert (accuracies == 0.5).all()
    counts = votes.sum(dim=1)
    torch.testing.assert_close(posterior, torch.softmax(counts / 2, dim=1))
    assert torch.equal(posterior.argmax(dim=1), counts.argmax(dim=1))


def test_without_a_vote_the_shares_of_classes_speak_as_logarithms():
    posterior, _ = block(2, [0.2, 0.8]).posterior(
        torch.zeros(1, 5), torch.zeros(1, 2, 2)
    )
    # Their weight begins at 1/2: the square roots of the shares.
    expected = torch.tensor([[1.0, 2.0]]) / 3
    torch.testing.assert_close(posterior, expected)


def test_codes_and_labels_are_aligned_where_a_function_voted():
    accuracies = block(2, [0.5, 0.5])
    for layer in (accuracies.of_code, accuracies.of_label):
        torch.nn.init.zeros_(layer.weight)
    codes = torch.tensor([[0.9, 0.1], [0.5, 0.5]])
    found = alignment(accuracies, codes, codes, torch.tensor([1.0, 0.0]))
    assert found.item() == pytest.approx(2 * math.log(2))  # maps that tell nothing
    torch.nn.init.eye_(accuracies.of_code.weight)
    told = math.log(math.exp(0.9) + math.exp(0.1)) - (0.9**2 + 0.1**2)
    found = alignment(accuracies, codes, codes, torch.tensor([1.0, 0.0]))
    assert found.item() == pytest.approx(told + math.log(2))
    assert alignment(accuracies, codes, codes, torch.zeros(2)) == 0


def test_the_price_of_uneven_accuracies_is_of_their_mean_by_their_number():
    # k / (1.5 epoch + 1) * the mean square / m, by hand.
    values = torch.tensor([[0.5, 0.7], [0.5, 0.5]])
    assert unevenness(values, 3, 0.0).item() == pytest.approx(3 * 0.01 / 2)
    assert unevenness(values, 3, 2.0).item() == pytest.approx(3 / 4 * 0.01 / 2)


def test_a_wsgan_leaves_images_without_a_vote_as_they_were():
    images, truth, votes = toys()
    hard = votes.hard.copy()
    hard[32:] = ABSTAIN
    some = Votes(hard, votes.names, 2)
    proba = np.where(np.eye(2)[truth] > 0, 0.9, 0.1)
    generator = make(WsGan, **TINY).fit(images, some, proba=proba)
    found, _ = generator.relabel(lambda: images, some, proba)
    np.testing.assert_array_equal(found[32:], proba[32:])
    assert not np.array_equal(found[:32], proba[:32])


def test_a_wsgan_labels_real_images_by_their_votes():
    images, truth, votes = toys()
    # Nothing but votes and shares of classes teaches it: the labels are turned round.
    generator = make(WsGan, n_steps=5).fit(images, votes, proba=np.eye(2)[1 - truth])
    found = generator.predict_proba(images, votes)
    assert np.mean(found.argmax(axis=1) == truth) > 0.9
    with assert_refused(values="1 functions"):
        generator.predict_proba(images, Votes(truth[:, None], ["another"], 2))


@pytest.mark.parametrize(
    ("generator", "facts"),
    [
        (lambda: make(Cgan, plan={"conditioning": "projection"}), "plan.conditioning"),
        (lambda: make(CoGan, plan={"network": "biggan"}), ["coupled", "biggan"]),
        (
            lambda: make(CoGan, plan={"label_mode": "condition"}),
            ["coupled", "condition"],
        ),
        (lambda: make(CoGan, plan={"pair_weight": 1.0}), ["pair_weight", "coupled"]),
        (lambda: make(Cgan, plan={"draw_factor": 2}), ["draw_factor", "pair_weight"]),
        (lambda: make(TripleGan, gate=0.0), ["gate", 0]),
        (lambda: make(TripleGan, real_labels="none"), ["real_labels", "none"]),
        (
            lambda: make(TripleGan, plan={"loss": "relativistic"}),
            ["relativistic", "adversary_weight"],
        ),
        (
            lambda: make(AdpPaper, plan={"loss": "relativistic"}),
            ["relativistic", "non-saturating"],
        ),
        (lambda: make(WsGan, evenness=-1.0), ["evenness", -1]),
    ],
)
def test_settings_that_a_rival_cannot_use_are_refused(generator, facts):
    with assert_refused(names=facts):
        generator().check(has_functions=True)


def test_a_wsgan_needs_votes():
    images, truth, _ = toys()
    for m in (0, 2):
        nobody = Votes(np.full((len(images), m), ABSTAIN), "ab"[:m], 2)
        with assert_refused(names="no function"):
            make(WsGan).fit(images, nobody, proba=np.eye(2)[truth])
