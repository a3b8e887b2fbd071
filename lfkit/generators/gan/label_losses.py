"""What a discriminator and a generator lose by the labels of pairs."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lfkit.generators.gan.losses import d_loss, g_loss


def d_pair_loss(
    real: torch.Tensor,
    fake: torch.Tensor,
    real_labels: torch.Tensor,
    fake_labels: torch.Tensor,
    weight: torch.Tensor,
    *,
    conditioning: str,
    kind: str,
    learns_from_fake: bool = False,
) -> torch.Tensor:
    """Give the discriminator's loss by labels, ().

    Parameters
    ----------
    real, fake : the `Discriminator`'s scores of pairs.
    real_labels, fake_labels : (n, k).
    weight : (n,) of the real ones; where all are 0 they cost nothing.
    conditioning, kind : of the discriminator; one of LOSSES.
    learns_from_fake : a classifier learns from generated images, too.
    """
    if conditioning == "classifier":
        loss = _mean(_entropy(real, real_labels), weight)
        return loss + _entropy(fake, fake_labels).mean() if learns_from_fake else loss
    if conditioning == "multi-hinge":
        none = torch.zeros_like(real_labels)
        of_real = multi_hinge(real, torch.cat([real_labels, none], dim=1))
        of_fake = multi_hinge(fake, torch.cat([none, fake_labels], dim=1))
        return _mean(of_real, weight) + of_fake.mean()
    return d_loss(real, fake, kind, weight=weight)


def g_pair_loss(
    fake: torch.Tensor,
    labels: torch.Tensor,
    *,
    conditioning: str,
    kind: str,
    real: torch.Tensor | None = None,
    weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """Give the generator's loss by labels, (), of the scores of its pairs.

    Parameters
    ----------
    real, weight : scores of real pairs, and their weights, as `g_loss` takes them.
    """
    if conditioning == "classifier":
        return _entropy(fake, labels).mean()
    if conditioning == "multi-hinge":
        wanted = torch.cat([labels, torch.zeros_like(labels)], dim=1)
        return multi_hinge(fake, wanted).mean()
    return g_loss(fake, kind, real=real, weight=weight)


def information(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Bound from below what generated images tell of their class, (), in nats.

    Chen et al. 2016, arXiv:1606.03657, equation 5: H(c) + E[log Q(c|x)].

    Parameters
    ----------
    scores, labels : (n, k), logits of Q and classes, one-hot.
    """
    shares = labels.mean(dim=0)
    entropy = -torch.xlogy(shares, shares).sum()
    return entropy - _entropy(scores, labels).mean()


def multi_hinge(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Give max(0, 1 + the highest other score - the label's), (n,).

    Crammer & Singer 2001; of a soft label the mean over its classes.

    Parameters
    ----------
    scores, labels : (n, k).
    """
    best = scores.topk(2, dim=1)
    is_best = F.one_hot(best.indices[:, 0], scores.shape[1]).bool()
    other = torch.where(is_best, best.values[:, 1:], best.values[:, :1])
    return (F.relu(1 + other - scores) * labels).sum(dim=1)


def _entropy(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return -(labels * F.log_softmax(scores, dim=1)).sum(dim=1)


def _mean(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return (values * weight).sum() / weight.sum().clamp_min(1e-6)
