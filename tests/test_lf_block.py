"""The Labeling Function Block: votes on tensors, Algorithm 1, equations 7 and 9."""

import numpy as np
import pytest
import torch

from lfkit import ABSTAIN, LFApplier, Votes, feature, labeling_function
from lfkit.generators.adp.lf_weights import LFWeights
from lfkit.generators.adp_paper.heads import DependencyDiscriminator, ParameterHeads
from lfkit.generators.lf_votes.batch_votes import BatchVotes
from lfkit.generators.lf_votes.dependency_matrix import (
    agreement,
    algorithm_1,
    row_stochastic,
)
from lfkit.generators.lf_votes.vote_tensors import rows_of
from lfkit.generators.lf_votes.weighted_vote import aggregated, perplexity


def one_hot(rows, k=3):
    """Votes (n, m) with -1 = abstain → weights (n, m, k)."""
    hard = torch.tensor(rows)
    found = torch.nn.functional.one_hot(hard.clamp_min(0), k).float()
    return found * (hard >= 0)[..., None]


def test_algorithm_1_by_hand():
    # Functions 0 and 1 agree on both images, 0 and 2 on one, 1 and 2 on one.
    votes = one_hot([[0, 0, 0], [1, 1, 2]])
    # Rows before completion: (1, 2, 1) / 4, (0, 1, 1) / 2, (0, 0, 1).
    expected = torch.tensor([[0.25, 0.5, 0.25], [0.5, 0.5, 0.5], [0.25, 0.5, 1.0]])
    torch.testing.assert_close(algorithm_1(votes), expected)


def test_algorithm_1_depends_on_the_order_of_functions_and_agreement_does_not():
    rng = np.random.default_rng(0)
    votes = one_hot(rng.integers(-1, 3, size=(40, 5)).tolist())
    order = [3, 1, 4, 0, 2]
    moved = algorithm_1(votes[:, order])
    assert not torch.allclose(moved, algorithm_1(votes)[order][:, order])
    torch.testing.assert_close(
        agreement(votes[:, order]), agreement(votes)[order][:, order]
    )


def test_agreement_is_the_share_of_equal_votes_where_both_vote():
    votes = one_hot([[0, 0, -1], [1, 2, -1], [1, 1, -1], [0, -1, 0]])
    found = agreement(votes)
    assert found[0, 1].item() == pytest.approx(2 / 3)
    assert found[0, 2].item() == pytest.approx(1.0)
    assert found[1, 2] == 0
    assert torch.equal(torch.diagonal(found), torch.ones(3))
    torch.testing.assert_close(row_stochastic(found).sum(dim=1), torch.ones(3))


def test_label_by_equation_7_is_the_weighted_vote_of_those_who_vote():
    votes = one_hot([[0, 1, -1], [-1, -1, -1]])
    theta, prior = torch.tensor([0.6, 0.3, 0.1]), torch.tensor([0.5, 0.25, 0.25])
    found = aggregated(votes, theta, None, prior)
    torch.testing.assert_close(found[0], torch.tensor([2 / 3, 1 / 3, 0]))
    assert torch.equal(found[1], prior)


def test_label_by_equation_9_ignores_the_order_of_functions():
    rng = np.random.default_rng(1)
    votes = one_hot(rng.integers(-1, 3, size=(30, 5)).tolist())
    theta = torch.softmax(torch.randn(5, generator=torch.Generator().manual_seed(0)), 0)
    phi, prior = row_stochastic(agreement(votes)), torch.full((3,), 1 / 3)
    label = aggregated(votes, theta, phi, prior)
    order = [4, 0, 3, 1, 2]
    moved = aggregated(votes[:, order], theta[order], phi[order][:, order], prior)
    torch.testing.assert_close(label, moved)
    torch.testing.assert_close(label.sum(dim=1), torch.ones(30))


def test_perplexity_counts_the_functions_that_are_trusted():
    assert perplexity(torch.tensor([[0.5, 0.5, 0.0]])).item() == pytest.approx(
        2, abs=1e-4
    )
    assert perplexity(torch.ones(4)).item() == pytest.approx(4, abs=1e-4)


@pytest.mark.parametrize("literal", [False, True])
def test_heads_and_their_judge_speak_of_the_same_matrices(literal):
    drawn = torch.Generator().manual_seed(0)
    heads = ParameterHeads(16, 4, drawn)
    theta, phi = heads(torch.randn(6, 16, generator=drawn))
    torch.testing.assert_close(theta.sum(dim=1), torch.ones(6))
    assert torch.equal(phi, phi.transpose(1, 2))
    assert (torch.diagonal(phi, dim1=1, dim2=2) == 1).all()
    judge = DependencyDiscriminator(4, drawn, literal=literal)
    scores = judge(phi)
    assert scores.shape == (6,)
    order = [2, 0, 3, 1]
    same = torch.allclose(scores, judge(phi[:, order][:, :, order]), atol=1e-6)
    assert same != literal


@feature(batched=True)
def brightness(images):
    return images.mean(dim=(1, 2, 3))


@feature
def corner(image):
    return float(image[0, 0, 0])


@labeling_function(features=[brightness], classes=[0, 1], batched=True)
def bright_is_one(values):
    return (values > 0.5).long()


@labeling_function(features=[corner], classes=[1])
def bright_corner_is_one(value):
    return 1 if value > 128 else ABSTAIN


@labeling_function(features=[brightness], classes=[0, 1], soft=True, batched=True)
def brightness_is_the_chance_of_one(values):
    return torch.stack([1 - values, values], dim=1)


def test_votes_on_tensors_are_those_on_stored_images():
    lfs = [bright_is_one, bright_corner_is_one, brightness_is_the_chance_of_one]
    pixels = (
        np.random.default_rng(0).integers(256, size=(150, 9, 8, 3)).astype(np.uint8)
    )
    block = BatchVotes(lfs, 2)
    found = block(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)
    votes = LFApplier(lfs, 2).apply(pixels)
    torch.testing.assert_close(found, rows_of(votes, slice(None)), atol=1e-3, rtol=0)
    assert block.per_image == ("corner", "bright_corner_is_one")
    assert not block.faults


def test_function_that_fails_abstains_and_is_counted():
    @labeling_function(classes=[0], batched=True)
    def raises(images):
        raise RuntimeError("no such thing")

    @labeling_function(classes=[0], batched=True)
    def says_seven(images):
        return torch.full((len(images),), 7)

    @labeling_function(classes=[0])
    def raises_on_one(image):
        return 1 // int(image.max() > 0) - 1

    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    images[2] = 0
    block = BatchVotes([raises, says_seven, raises_on_one, bright_is_one], 2)
    found = block(images)
    assert found[:, :2].sum() == 0
    assert found[:, 2].sum(dim=1).tolist() == [1, 1, 0, 1]
    assert found[:, 3].sum() == 4
    assert block.faults == {"raises": 4, "says_seven": 4, "raises_on_one": 1}
    assert block.messages["raises"] == "raised RuntimeError: no such thing"


def made_votes(n=600, accuracies=(0.9, 0.8, 0.4), seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=n)
    columns = [
        np.where(rng.random(n) < accuracy, truth, rng.integers(3, size=n))
        for accuracy in accuracies
    ]
    names = tuple(f"f{j}" for j in range(len(columns)))
    return Votes(np.stack(columns, axis=1), names, 3), truth


def test_trust_begins_at_the_label_model():
    votes, truth = made_votes()
    trust = LFWeights(votes, np.eye(3)[truth])
    theta = trust.theta.detach()
    assert theta[0] > theta[1] > theta[2]
    torch.testing.assert_close(theta, trust.theta_start)
    # Where nobody tells how far it is right, nothing of it is mixed in.
    proba = np.full((600, 3), 1 / 3)
    np.testing.assert_allclose(trust.mixed(proba, trust.labels(votes)), proba)


def test_trust_learns_whom_to_believe_and_is_mixed_in_as_seeds_bear_it_out():
    votes, truth = made_votes()
    doubtful = np.full((600, 3), 1 / 3)
    trust = LFWeights(votes, doubtful)
    optimizer = torch.optim.Adam(trust.parameters(), lr=0.05)
    before = trust.theta.detach()
    for _ in range(100):
        target = torch.eye(3)[torch.from_numpy(truth)]
        loss = trust.loss(rows_of(votes, slice(None)), target, anchor=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert trust.theta[0] > before[0]
    assert trust.theta[2] < before[2]
    share = trust.choose_mixture(votes, doubtful, truth)
    assert share > 0
    mixed = trust.mixed(doubtful, trust.labels(votes))
    assert np.mean(mixed.argmax(axis=1) == truth) > 0.85


def test_few_seeds_bear_out_nothing():
    votes, truth = made_votes()
    trust = LFWeights(votes, np.eye(3)[truth])
    doubtful = np.full((600, 3), 1 / 3)
    rows = np.arange(9)
    assert trust.choose_mixture(votes.rows(rows), doubtful[rows], truth[rows]) == 0
    rows = np.arange(200)
    assert trust.choose_mixture(votes.rows(rows), doubtful[rows], truth[rows]) > 0


def test_silence_is_no_evidence():
    votes = Votes(np.array([[0, 0], [0, 1], [-1, -1]]), ("f", "g"), 3)
    trust = LFWeights(votes, np.array([[0.8, 0.1, 0.1]] * 3))
    np.testing.assert_allclose(trust.labels(votes)[2], [0.8, 0.1, 0.1], atol=1e-6)
    np.testing.assert_allclose(trust.evidence(votes)[2], 1 / 3)


def test_vote_for_a_set_of_classes_is_shared_among_them():
    allowed = np.zeros((2, 1, 3), bool)
    allowed[0, 0, [0, 2]] = True
    allowed[1, 0, 1] = True
    votes = Votes(np.array([[-1], [1]]), ("f",), 3, allowed=allowed)
    found = rows_of(votes, slice(None))[:, 0]
    torch.testing.assert_close(found, torch.tensor([[0.5, 0, 0.5], [0, 1.0, 0]]))


def test_what_seeds_do_not_bear_out_changes_nothing():
    votes, truth = made_votes(accuracies=(0.3, 0.35, 0.3))
    known = 0.9 * np.eye(3)[truth] + 0.1 / 3
    trust = LFWeights(votes, known)
    assert trust.choose_mixture(votes, known, truth) == 0
    np.testing.assert_allclose(trust.mixed(known, trust.labels(votes)), known)
