"""Membership: whether generated images give away which images were learned from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from lfkit.metrics.image_set import ImageSet
from lfkit.metrics.metric import Metric, MetricContext, Need, Protocol, Score
from lfkit.metrics.nearest import nearest, small_pixels, unseen, why_apart

_MOST = 5000  # members, and as many others
_MOST_GENERATED = 20_000
_LEAST = 20
_CHANCE = 0.5  # standard deviation of a guess


class Membership(Metric):
    """Attacks: guesses from generated images alone which real images were learned from.

    Chen et al. (2020), https://arxiv.org/abs/1909.03935, the attack that has no access
    but to generated images: a real image is taken for a member if a generated one lies
    near, in pixels at 16 x 16. Half of the images that it is asked about are the run's,
    half are held out. Stronger attacks exist: .5 proves nothing private.

    - "attack": the share of right guesses; the distance that decides is chosen on one
      half of the images, and the other half is guessed. .5 is chance.
    - "attack, by rank": the chance that a member lies nearer than another image.

    If the held-out images are of another kind than the run's, it tells these kinds
    apart, and not who was learned from. The errors are standard errors of chance.
    """

    name: ClassVar[str] = "membership"
    needs: ClassVar[frozenset[Need]] = frozenset({"real", "test"})
    of_training: ClassVar[bool] = True

    def why_not(
        self, generated: ImageSet, real: ImageSet | None, tools: MetricContext
    ) -> str | None:
        """Say what is missing; all images must be of one shape."""
        missing = super().why_not(generated, real, tools)
        return missing or why_apart(generated, real, tools.test)

    def score(
        self, generated: ImageSet, real: ImageSet | None, tools: MetricContext
    ) -> Sequence[Score]:
        """Give the accuracy of the attack, and the area under its curve."""
        assert real is not None, "see needs"
        assert tools.test is not None, "see needs"
        rng = np.random.default_rng([tools.random_state, len(real)])
        others = rng.permutation(unseen(tools.test, real))
        n = min(_MOST, len(others), len(real))
        made = small_pixels(
            generated, generated.draw(_MOST_GENERATED, tools.random_state)
        )
        members = small_pixels(real, np.sort(rng.permutation(len(real))[:n]))
        strangers = small_pixels(tools.test, np.sort(others[:n]))
        n = min(len(members), len(strangers))  # some may be unreadable
        protocol = Protocol(
            n_generated=len(made),
            n_real=n,
            real=real.name,
            seed=tools.random_state,
            checkpoint=tools.checkpoint,
            details={"held out": f"{n:,} of {tools.test.name}"},
        )
        names = ("attack", "attack, by rank")
        if n < _LEAST or not len(made):
            note = (
                f"{n} held-out images that the run does not have are too few to ask "
                f"about; give --against {_LEAST} or more."
            )
            return [
                Score(name, math.nan, "lower", protocol, note=note) for name in names
            ]
        asked = np.concatenate([members[:n], strangers[:n]])
        near = -nearest(asked, made)[0]
        is_member = np.repeat([True, False], n)
        # As many members in both halves: a limit chosen on more would lean to them.
        order = rng.permutation(n)[: n // 2 * 2]
        halves = [np.concatenate([half, half + n]) for half in np.split(order, 2)]
        right = guessed(near, is_member, halves)
        area = area_under_curve(near, is_member)
        return [
            Score(
                names[0], right, "lower", protocol, _CHANCE / math.sqrt(2 * len(order))
            ),
            Score(names[1], area, "lower", protocol, math.sqrt((2 * n + 1) / 12) / n),
        ]


def guessed(
    near: NDArray[np.float64],
    is_member: NDArray[np.bool_],
    halves: Sequence[NDArray[np.int64]],
) -> float:
    """Give the share of right guesses, each by a limit chosen on the other half.

    Parameters
    ----------
    near : (n,) the higher, the likelier a member.
    halves : two sets of places in it, with as many members.
    """
    one, other = halves
    right = 0
    for chosen, asked in ((one, other), (other, one)):
        limit = _best_limit(near[chosen], is_member[chosen])
        right += int(((near[asked] >= limit) == is_member[asked]).sum())
    return right / (len(one) + len(other))


def _best_limit(near: NDArray[np.float64], is_member: NDArray[np.bool_]) -> float:
    """Choose the limit above which most guesses are right."""
    order = np.argsort(-near, kind="stable")
    hits = np.cumsum(np.where(is_member[order], 1, -1))
    values = near[order]
    is_last = np.append(values[1:] != values[:-1], True)  # of equal ones
    best = int(np.where(is_last, hits, -len(near)).argmax())
    # None is taken for a member where that is better.
    return float(values[best]) if hits[best] > 0 else math.inf


def area_under_curve(near: NDArray[np.float64], is_member: NDArray[np.bool_]) -> float:
    """Give the chance that a member is nearer than another image; ties count half."""
    ranks = rankdata(near)[is_member]
    n, m = len(ranks), int((~is_member).sum())
    return float((ranks.sum() - n * (n + 1) / 2) / (n * m))
