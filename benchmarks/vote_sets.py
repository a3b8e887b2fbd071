"""Votes with known classes: drawn ones, cell by cell, and those of runs and files."""

from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path

import numpy as np

from lfkit import ABSTAIN
from lfkit.commands.stored_votes import read_stored_votes
from lfkit.data.votes import Votes

_FUNCTIONS = 12  # at least; three for each class where each names one class
_COPIED = 1 / 3  # of the functions, where there are copies, all of one
_REDRAWN = 0.05  # of a copy's votes


@dataclass(frozen=True)
class Cell:
    """What votes are drawn: the classes, their shares, what functions are like."""

    k: int
    balance: str
    kind: str
    related: str
    n: int

    def __str__(self):
        return f"k={self.k} {self.balance} {self.kind} {self.related} n={self.n:,}"


@dataclass(frozen=True)
class VoteSet:
    """Votes and the classes to score by, (n,), -1 where an image is not scored."""

    votes: Votes
    truth: np.ndarray

    @property
    def scored(self):
        """(n,) True for the images of known class that have a vote."""
        return (self.truth >= 0) & self.votes.voted.any(axis=1)


def grid(sizes):
    """List all cells, small ones first."""
    return [
        Cell(k, balance, kind, related, n)
        for n, k, balance, kind, related in product(
            sizes,
            (2, 3, 10),
            ("balanced", "90/10"),
            ("unipolar", "multi-class"),
            ("independent", "copies"),
        )
    ]


def draw(cell, repeat):
    """Draw functions and their votes on images of a cell."""
    # By what the cell is, not by its place: part of a grid draws the same votes.
    rng = np.random.default_rng([*str(cell).encode(), repeat])
    prior = class_prior(cell.k, cell.balance)
    truth = rng.choice(cell.k, p=prior, size=cell.n)
    is_unipolar = cell.kind == "unipolar"
    m = max(_FUNCTIONS, 3 * cell.k) if is_unipolar else _FUNCTIONS
    make = unipolar_vote if is_unipolar else any_class_vote
    n_copies = int(m * _COPIED) if cell.related == "copies" else 0
    columns = [make(rng, prior, truth, j % cell.k) for j in range(m - n_copies)]
    for _ in range(n_copies):  # a clique that agrees on its errors
        redrawn = rng.random(cell.n) < _REDRAWN
        other = make(rng, prior, truth, 0)
        columns.append(np.where(redrawn, other, columns[0]))
    return VoteSet(named(np.stack(columns, axis=1), cell.k), truth)


def class_prior(k, balance):
    """Give the classes' shares: equal, or .9 for the first and the rest shared."""
    if balance == "balanced":
        return np.full(k, 1 / k)
    return np.array([0.9] + [0.1 / (k - 1)] * (k - 1))


def unipolar_vote(rng, prior, truth, label, recall=(0.2, 0.6)):
    """Vote for one class or abstain, right in 55 to 90 % of the votes, (n,)."""
    found, precision = rng.uniform(*recall), rng.uniform(0.55, 0.9)
    share = prior[label]
    # A function for nine tenths of the images is not worse than chance.
    alarm = min(found * share * (1 - precision) / (precision * (1 - share)), found / 2)
    fires = rng.random(len(truth)) < np.where(truth == label, found, alarm)
    return np.where(fires, label, ABSTAIN)


def any_class_vote(rng, prior, truth, _, coverage=(0.3, 0.9)):
    """Vote for any class, 10 to 60 % of the way from chance to always right, (n,)."""
    k = len(prior)
    accuracy = 1 / k + rng.uniform(0.1, 0.6) * (1 - 1 / k)
    wrong = rng.dirichlet(np.ones(k), size=k) * (1 - np.eye(k))  # what it confuses
    table = accuracy * np.eye(k) + (1 - accuracy) * wrong / wrong.sum(1, keepdims=True)
    vote = drawn(rng, table[truth])
    return np.where(rng.random(len(truth)) < rng.uniform(*coverage), vote, ABSTAIN)


def drawn(rng, shares):
    """Draw a class by each row of (n, k) shares."""
    at = rng.random((len(shares), 1))
    return (shares.cumsum(axis=1) < at).sum(axis=1).clip(max=shares.shape[1] - 1)


def named(matrix, k):
    """Make votes of a matrix; names do not tell which function is a copy."""
    matrix = matrix.astype(np.int16)
    return Votes(matrix, tuple(f"f{j:02}" for j in range(matrix.shape[1])), k)


def stored_sets(paths):
    """Read votes with known classes: name → set, in the order of the paths.

    Parameters
    ----------
    paths : runs, files of votes, folders of WRENCH's or crowd-kit's; or folders with
        such folders and .npz files in them.
    """
    found = {}
    for path in chain.from_iterable(map(_members, map(Path, paths))):
        name = path.name.removesuffix(path.suffix if path.is_file() else "")
        stored = read_stored_votes(path)
        if stored.file.labels is None:
            raise SystemExit(f"{path} has no labels to score by.")
        truth = np.where(stored.given, -1, stored.truth)
        found[str(path) if name in found else name] = VoteSet(stored.file.votes, truth)
    return found


def _members(path):
    """List the sets in a folder, or the one that a path is."""
    if not path.is_dir() or _is_set(path):
        return [path]
    members = [p for p in sorted(path.iterdir()) if p.suffix == ".npz" or _is_set(p)]
    if not members:
        raise SystemExit(f"{path} holds no run, no .npz and no folder of votes.")
    return members


def _is_set(path):
    """Tell whether a folder is a run, or one of WRENCH's or crowd-kit's."""
    marks = ("run.json", "train.json", "crowd_labels.csv")
    return any((path / name).is_file() for name in marks)


def votes_alone(votes):
    """Leave one class per vote, which is all that other tools read."""
    return Votes(votes.hard, votes.names, votes.n_classes)
