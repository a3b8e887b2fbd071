"""Data Programming by sampling: Gibbs chains of votes, HMC over the weights."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from lfkit.aggregators.data_programming.factor_graph import (
    Point,
    VoteFactors,
    VoteMoments,
)
from lfkit.aggregators.data_programming.likelihoods import (
    LEAST_CHANCE,
    ExactLikelihood,
    LogLikelihood,
)

# Steps of stochastic ascent, as a share of Newton's; they shrink like t^-0.6.
_FIRST_STEP = 0.5
_STEADY_STEPS = 50
# Where a pair nearly always agrees, the likelihood bends only once the weight is large.
_FASTEST = 100.0  # in squared units of a weight
_LONGEST = 0.5
_LEAPFROG_STEPS = 10
_TARGET_ACCEPTANCE = 0.8


@dataclass(frozen=True, eq=False)
class GibbsFit:
    """What the chains found.

    Attributes
    ----------
    weights : (q,)
    moments : what the chains say of the votes at these weights.
    n_samples : draws of the votes on one image.
    seconds_per_sample : time to draw one.
    """

    weights: NDArray[np.float64]
    moments: VoteMoments
    n_samples: int
    seconds_per_sample: float


def gibbs(
    factors: VoteFactors,
    data: ExactLikelihood,
    *,
    n_steps: int,
    n_chains: int,
    rng: np.random.Generator,
) -> GibbsFit:
    """Climb the likelihood; what the model expects of votes is read off Gibbs chains.

    Ratner et al. (2016), algorithm 1, with three changes: there are many chains, and
    they go on from step to step (Younes 1989; Tieleman 2008,
    https://doi.org/10.1145/1390156.1390290); the classes of the images are not drawn
    but summed out; each chain keeps one class, and the classes are weighted, since the
    votes of many good functions hold a chain in its class for good. What the pairs add
    to the likelihood of a class is learned on the way: drawing the classes of the
    chains anew must keep their shares. The answer is the mean of the second half of the
    steps.
    """
    chains = _Chains(factors, n_chains, rng)
    weights, lift = factors.centre, np.zeros(factors.named.shape[1])
    pace = np.minimum(factors.scale**2, _FASTEST) / factors.n_images
    n_kept = n_steps - n_steps // 2
    kept = [np.zeros(1)] * 4
    seconds = 0.0
    for step in range(n_steps):
        tables = np.exp(factors.log_tables(weights))
        started = perf_counter()
        chains.sweep(tables, factors.split(weights)[3])
        seconds += perf_counter() - started
        votes, agreement = chains.shares()
        point = factors.at(weights, VoteMoments(lift, votes, agreement))
        if step >= n_steps - n_kept:
            now = (weights, lift, votes, agreement)
            kept = [mean + part / n_kept for mean, part in zip(kept, now, strict=True)]
        _, of_tables, of_bias = data.class_votes(point)
        slopes = factors.pull(point, of_tables, of_bias, factors.agreements)
        slopes -= factors.l2 * (weights - factors.centre)
        size = _FIRST_STEP / (1 + step / _STEADY_STEPS) ** 0.6
        weights = weights + np.clip(size * pace * slopes, -_LONGEST, _LONGEST)
        if len(factors.edges):
            lift = lift + size * chains.surplus(point)
    n_samples = n_steps * chains.n_chains
    return GibbsFit(kept[0], VoteMoments(*kept[1:]), n_samples, seconds / n_samples)


class _Chains:
    """Votes drawn from the model, (m, c); each chain is of one class."""

    def __init__(
        self, factors: VoteFactors, n_chains: int, rng: np.random.Generator
    ) -> None:
        self._rng = rng
        self._edges = factors.edges
        m, k = factors.named.shape
        self._k = k
        self._linked, place = np.unique(factors.edges, return_inverse=True)
        self._ends = place.reshape(-1, 2)  # of the pairs, among the linked
        self._free = np.setdiff1d(np.arange(m), self._linked)
        self._classes = np.repeat(np.arange(k), -(-n_chains // k))
        self.n_chains = len(self._classes)
        self._votes = np.full((m, self.n_chains), k)

    def sweep(
        self, tables: NDArray[np.float64], dependency: NDArray[np.float64]
    ) -> None:
        """Draw every function's vote given the class and the votes it depends on."""
        heaped = tables[self._free].cumsum(axis=2)[:, self._classes]  # (f, c, k + 1)
        self._votes[self._free] = self._drawn(heaped)
        if len(self._linked):
            self._sweep_linked(tables[self._linked], dependency)

    def _sweep_linked(
        self, tables: NDArray[np.float64], dependency: NDArray[np.float64]
    ) -> None:
        """Draw votes of functions bound together as one, else copies never part.

        Swendsen & Wang (1987), https://doi.org/10.1103/PhysRevLett.58.86: a pair that
        agrees is bound with chance 1 - exp(-dependency); what is bound votes alike, by
        the product of the tables, and pairs that are not bound have no say any more.
        Pairs that rather disagree are never bound, and keep their factor.
        """
        votes = self._votes[self._linked]  # (l, c)
        chain = np.arange(votes.shape[1])
        root = np.repeat(np.arange(len(votes))[:, None], len(chain), axis=1)
        bind = -np.expm1(-np.maximum(dependency, 0))[:, None]
        left, right = self._ends.T
        bound = votes[left] == votes[right]
        bound &= self._rng.random(bound.shape) < bind  # (p, c)
        before = np.zeros_like(root)
        while not np.array_equal(root, before):
            before = root.copy()
            for (i, j), together in zip(self._ends, bound, strict=True):
                lowest = np.minimum(root[i], root[j])
                root[i] = np.where(together, lowest, root[i])
                root[j] = np.where(together, lowest, root[j])
        logs = np.log(np.maximum(tables, LEAST_CHANCE))
        energies = np.zeros((*votes.shape, self._k + 1))
        for members, log_table in zip(root, logs, strict=True):
            energies[members, chain] += log_table[self._classes]
        repelled = np.flatnonzero(dependency < 0)
        for cluster, gain in enumerate(energies):
            for pair in repelled:
                for one, other in (self._ends[pair], self._ends[pair][::-1]):
                    faces = (root[one] == cluster) & (root[other] != cluster)
                    row = np.flatnonzero(faces)
                    gain[row, votes[other, row]] += dependency[pair]
            chances = np.exp(gain - gain.max(axis=1, keepdims=True))
            drawn = self._drawn(chances.cumsum(axis=1))
            votes = np.where(root == cluster, drawn, votes)
        self._votes[self._linked] = votes

    def _drawn(self, heaped: NDArray[np.float64]) -> NDArray[np.int64]:
        """Draw a vote from cumulated chances, whose total need not be 1."""
        total = heaped[..., -1:]
        levels = self._rng.random((*heaped.shape[:-1], 1)) * total
        # Below the total even where the product is rounded up.
        return np.asarray(
            (np.minimum(levels, np.nextafter(total, 0)) >= heaped).sum(-1)
        )

    def shares(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return how often each class votes what, (m, k, k + 1), and agrees, (p, k)."""
        m, k, per_class = len(self._votes), self._k, self.n_chains // self._k
        cells = (np.arange(m)[:, None] * k + self._classes) * (k + 1) + self._votes
        votes = np.bincount(cells.ravel(), minlength=m * k * (k + 1))
        left, right = self._edges.T
        agree = (self._votes[left] == self._votes[right]).reshape(-1, k, per_class)
        return votes.reshape(m, k, k + 1) / per_class, agree.mean(axis=2)

    def surplus(self, point: Point) -> NDArray[np.float64]:
        """Return by how much a new draw of the classes would raise their logs, (k,)."""
        logs = np.log(np.maximum(point.tables, LEAST_CHANCE)).transpose(0, 2, 1)
        function = np.arange(len(logs))[:, None]
        scores = logs[function, self._votes].sum(axis=0) + point.bias  # (c, k)
        drawn = softmax(scores, axis=1).reshape(self._k, -1, self._k).mean(axis=1)
        shares = np.maximum(point.prior, LEAST_CHANCE)
        found: NDArray[np.float64] = np.log(
            np.maximum(point.prior @ drawn, LEAST_CHANCE) / shares
        )
        return found


def hmc(
    likelihood: LogLikelihood,
    factors: VoteFactors,
    start: NDArray[np.float64],
    *,
    n_warmup: int,
    n_draws: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], float]:
    """Draw weights from their posterior; return (n_draws, q) and the acceptance rate.

    Hamiltonian Monte Carlo (Neal 2011, https://arxiv.org/abs/1206.1901); the step size
    is set in the warm-up by dual averaging (Hoffman & Gelman 2014,
    https://arxiv.org/abs/1111.4246, section 3.2). The penalty is the prior: a Gaussian
    of variance 1 / l2 around the centre.
    """
    unit = factors.scale / np.sqrt(factors.n_images)

    def energy(place: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        away = place * unit
        value, slopes = likelihood(factors.centre + away)
        value -= factors.l2 / 2 * float(away @ away)
        return -value, (factors.l2 * away - slopes) * unit

    place = (start - factors.centre) / unit
    here, slope = energy(place)
    step_size = _StepSize(len(place))
    draws = np.empty((n_draws, len(place)))
    accepted = 0.0
    for turn in range(-n_warmup, n_draws):
        # Steps of one length can run in circles.
        size = step_size.at(turn) * rng.uniform(0.8, 1.2)
        momentum = rng.standard_normal(len(place))
        before = here + momentum @ momentum / 2
        proposal, there, pulled = place, here, slope
        for _ in range(_LEAPFROG_STEPS):
            momentum = momentum - size / 2 * pulled
            proposal = proposal + size * momentum
            there, pulled = energy(proposal)
            momentum = momentum - size / 2 * pulled
        change = before - there - momentum @ momentum / 2
        chance = float(np.exp(np.minimum(0, change))) if np.isfinite(change) else 0.0
        if rng.random() < chance:
            place, here, slope = proposal, there, pulled
        if turn < 0:
            step_size.learn(chance)
        else:
            accepted += chance
            draws[turn] = factors.centre + place * unit
    return draws, accepted / n_draws


class _StepSize:
    """Dual averaging of the log step size, with the constants of the paper."""

    def __init__(self, n_weights: int) -> None:
        # Stable for a Gaussian, and shrinking as it should with the dimension.
        first = 0.5 * max(n_weights, 1) ** -0.25
        self._towards = np.log(10 * first)
        self._log_size = self._mean_log = np.log(first)
        self._error = 0.0
        self._n_learned = 0

    def at(self, turn: int) -> float:
        """Return the size to try in the warm-up (turn < 0), then the mean of them."""
        return float(np.exp(self._log_size if turn < 0 else self._mean_log))

    def learn(self, chance: float) -> None:
        """Take in how probable the last move was to be accepted."""
        self._n_learned += 1
        t = self._n_learned
        self._error += (_TARGET_ACCEPTANCE - chance - self._error) / (t + 10)
        self._log_size = self._towards - np.sqrt(t) / 0.05 * self._error
        weight = t**-0.75
        self._mean_log = weight * self._log_size + (1 - weight) * self._mean_log
