"""Data programming's log-linear model of votes, fitted by five estimators.

Ratner et al. (2016), https://arxiv.org/abs/1605.07723. Each image has a class y, all
equally likely; each function j of m has an accuracy parameter:

    P(votes, y) proportional to exp(sum_j (t_j [vote_j = y] + b_j [j votes])
                                    + sum_i<j w_ij [i and j vote for the same class]).

Without correlation factors w the sum over votes and classes has a closed form, votes
and silence separate, and a vote is right with probability exp(t) / (exp(t) + k - 1).

An estimator is a generator: of every pass over the images it yields (m,) accuracy
parameters. Whoever reads it decides when to stop, and may stop the clock in between.
All start at t = 1, b at the functions' coverage, w = 0. A pass of HMC is a trajectory,
ten gradients of all images.
"""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import softmax

from benchmarks.vote_sets import drawn
from lfkit.data.votes import ABSTAIN

_BATCH = 64
_RATE = 0.05  # of Adam; whoever averages passes averages its noise out
_L1 = 0.03  # per image, on every correlation, as Bach et al. (2017) choose factors
_LEAPFROG_STEPS = 10
_WANTED_ACCEPTANCE = 0.8
_PRIOR_PRECISION = 0.1  # of an accuracy parameter under HMC: a normal around 0


class VoteTable:
    """Hard votes in the layouts that the estimators read.

    Attributes
    ----------
    hard : (n, m) classes, -1 where a function abstains.
    says : (k, n, m) float32, 1 where a function votes for a class.
    n_votes : (m,) how often each function votes.
    """

    def __init__(self, votes):
        self.hard, self.k = votes.hard.astype(np.int64), votes.n_classes
        self.says = np.stack([self.hard == c for c in range(self.k)]).astype(np.float32)
        self.voted = self.hard != ABSTAIN
        self.n_votes = self.voted.sum(axis=0)
        self.n, self.m = self.hard.shape

    def posterior(self, theta, rows=slice(None)):
        """Give P(class | votes), (n, k): correlation factors have no part in it."""
        scores = self.says[:, rows] @ theta.astype(np.float32)
        return softmax(scores.T.astype(np.float64), axis=1)

    def hits(self, posterior, rows=slice(None)):
        """Give how many of each function's votes are expected to be right, (m,)."""
        chosen = np.take_along_axis(posterior, np.maximum(self.hard[rows], 0), axis=1)
        return (chosen * self.voted[rows]).sum(axis=0)

    def accuracy(self, theta):
        """Give P(right | a vote) under the parameters, (m,)."""
        return 1 / (1 + (self.k - 1) * np.exp(-theta))

    def propensity(self):
        """Give b at the coverage of the functions when t = 1, (m,)."""
        share = (self.n_votes + 1) / (self.n + 2)
        return np.log(share / (1 - share)) - np.log(np.e + self.k - 1)

    def batches(self, rng):
        """Deal the images to batches anew."""
        order = rng.permutation(self.n)
        return np.split(order, range(_BATCH, self.n, _BATCH))


class Adam:
    """Adam (Kingma & Ba 2015) that climbs, for parameters in one array."""

    def __init__(self, shape):
        self.mean, self.square, self.n_steps = np.zeros(shape), np.zeros(shape), 0

    def step(self, gradient, rate):
        """Give what to add to the parameters."""
        self.n_steps += 1
        self.mean = 0.9 * self.mean + 0.1 * gradient
        self.square = 0.999 * self.square + 0.001 * gradient**2
        mean = self.mean / (1 - 0.9**self.n_steps)
        square = self.square / (1 - 0.999**self.n_steps)
        return rate * mean / (np.sqrt(square) + 1e-8)


def by_em(table, rng):
    """Exact likelihood by EM: accuracies are expected hits, in closed form."""
    theta = np.ones(table.m)
    while True:
        hits = table.hits(table.posterior(theta))
        accuracy = (hits + 1) / (table.n_votes + table.k)  # one guess per class before
        theta = np.log(accuracy * (table.k - 1) / (1 - accuracy))
        yield theta


def by_gradient(table, rng):
    """Exact likelihood by its gradient, in minibatches."""
    theta, adam = np.ones(table.m), Adam(table.m)
    while True:
        for rows in table.batches(rng):
            n_votes = table.voted[rows].sum(axis=0)
            hits = table.hits(table.posterior(theta, rows), rows)
            gradient = (hits - n_votes * table.accuracy(theta)) / len(rows)
            theta = theta + adam.step(gradient, _RATE)
        yield theta


def by_pseudo_likelihood(table, rng):
    """P(a vote | all other votes), with correlation factors; the class summed out.

    Bach et al. (2017), https://arxiv.org/abs/1703.00854.
    """
    m, k = table.m, table.k
    hard, says = torch.from_numpy(table.hard), torch.from_numpy(table.says)
    says = says.permute(1, 2, 0).contiguous()  # (n, m, k)
    theta = torch.ones(m, requires_grad=True)
    propensity = torch.from_numpy(table.propensity()).float().requires_grad_()
    correlation = torch.zeros(m, m, requires_grad=True)
    others = 1 - torch.eye(m)
    parameters = [theta, propensity, correlation]
    adams = [Adam(tuple(each.shape)) for each in parameters]
    while True:
        for rows in table.batches(rng):
            said = says[rows]
            own = said * theta[:, None]  # (b, m, k)
            rest = own.sum(dim=1, keepdim=True) - own  # what the other votes say of y
            # log sum_y exp(rest(y) + t [v = y]), of every vote v that j could give.
            silent = rest.logsumexp(dim=2, keepdim=True)  # (b, m, 1)
            share = (rest - silent).exp()
            for_class = silent + (share * theta.expm1()[:, None]).log1p()
            symmetric = (correlation + correlation.T) / 2 * others
            for_class = for_class + propensity[:, None] + symmetric @ said
            logits = torch.cat([for_class, silent], dim=2)  # abstaining is symbol k
            votes = hard[rows]
            symbol = torch.where(votes == ABSTAIN, k, votes)
            loss = F.cross_entropy(logits.flatten(0, 1), symbol.flatten()) * m
            loss = loss + _L1 / 2 * symmetric.abs().sum()
            gradients = torch.autograd.grad(-loss, parameters)
            with torch.no_grad():
                for each, adam, slope in zip(parameters, adams, gradients, strict=True):
                    change = adam.step(slope.numpy(), _RATE)
                    each += torch.from_numpy(change)
        yield theta.detach().double().numpy()


def by_gibbs(table, rng):
    """Gradients from Gibbs samples, with correlation factors.

    One sweep from the votes of each minibatch (contrastive divergence, Hinton 2002):
    the class given the votes, then vote after vote given the class and all others.
    """
    m = table.m
    theta, propensity = np.ones(m), table.propensity()
    correlation = np.zeros((m, m))
    adam = Adam((m, m + 2))
    while True:
        for rows in table.batches(rng):
            said = table.says[:, rows]  # (k, b, m)
            label = drawn(rng, table.posterior(theta, rows))
            sample = gibbs_sweep(rng, said, label, theta, propensity, correlation)
            gradient = statistics(said, label) - statistics(sample, label)
            gradient /= len(rows)
            gradient[:, 2:] -= _L1 * np.sign(correlation)
            change = adam.step(gradient, _RATE)
            theta, propensity = theta + change[:, 0], propensity + change[:, 1]
            correlation = correlation + change[:, 2:]
        yield theta


def gibbs_sweep(rng, said, label, theta, propensity, correlation):
    """Draw each function's vote given the class and the votes of all others."""
    said, n = said.copy(), len(label)
    weights = correlation.astype(np.float32)
    everyone, logits = np.arange(n), np.zeros((n, len(said) + 1))
    for j in range(len(theta)):
        logits[:, :-1] = (said @ weights[j]).T + propensity[j]
        logits[everyone, label] += theta[j]
        vote = drawn(rng, softmax(logits, axis=1))
        said[:, :, j] = vote == np.arange(len(said))[:, None]
    return said


def statistics(said, label):
    """Sum what accuracy, propensity and correlations are multiplied by, (m, m + 2)."""
    right = said[label, np.arange(len(label))].sum(axis=0)
    same = np.einsum("cij->ij", said.transpose(0, 2, 1) @ said)
    np.fill_diagonal(same, 0)
    return np.column_stack([right, said.sum(axis=(0, 1)), same])


def by_hmc(table, rng):
    """Hamiltonian Monte Carlo on the exact likelihood; yields a trajectory's end.

    Neal (2011), https://arxiv.org/abs/1206.1901. One pass is one trajectory.
    """
    mass = table.n_votes / 4 + 1  # the information in votes whose class is known
    theta, log_step, n_trajectories = np.ones(table.m), np.log(0.3), 0
    density, gradient = log_posterior(table, theta)
    while True:
        momentum = rng.normal(size=table.m) * np.sqrt(mass)
        start = density - (momentum**2 / mass).sum() / 2
        moved, there, slope, step = theta, density, gradient, np.exp(log_step)
        for _ in range(_LEAPFROG_STEPS):
            momentum = momentum + step / 2 * slope
            moved = moved + step * momentum / mass
            there, slope = log_posterior(table, moved)
            momentum = momentum + step / 2 * slope
        end = there - (momentum**2 / mass).sum() / 2
        # A trajectory that diverges ends at no number.
        acceptance = np.exp(min(0.0, end - start)) if np.isfinite(end) else 0.0
        if rng.random() < acceptance:
            theta, density, gradient = moved, there, slope
        n_trajectories += 1
        log_step += (acceptance - _WANTED_ACCEPTANCE) / n_trajectories**0.6
        yield theta


def log_posterior(table, theta):
    """Give the log density of the parameters given all votes, and its gradient."""
    scores = (table.says @ theta.astype(np.float32)).T.astype(np.float64)
    top = scores.max(axis=1, keepdims=True)
    weights = np.exp(scores - top)
    total = weights.sum(axis=1, keepdims=True)
    density = (top + np.log(total)).sum()
    density -= table.n_votes @ np.logaddexp(theta, np.log(table.k - 1))
    density -= _PRIOR_PRECISION / 2 * (theta**2).sum()
    expected = table.n_votes * table.accuracy(theta)
    gradient = table.hits(weights / total) - expected - _PRIOR_PRECISION * theta
    return density, gradient


ESTIMATORS = {
    "exact likelihood, EM": by_em,
    "exact likelihood, gradient": by_gradient,
    "pseudo-likelihood": by_pseudo_likelihood,
    "Gibbs": by_gibbs,
    "HMC": by_hmc,
}
