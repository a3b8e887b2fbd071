"""Memorisation: whether generated images are copies of those that were learned from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from lfkit.metrics.image_set import ImageSet
from lfkit.metrics.metric import Metric, MetricContext, Need, Protocol, Score
from lfkit.metrics.nearest import nearest, small_pixels, unseen, why_apart

_MOST, _MOST_LEARNED = 5000, 50_000  # images looked at, and learned from
_LEAST = 100  # held-out images, of which a hundredth can be told
_NEAR = 0.01
_CLEAR = 3  # standard errors


class Memorisation(Metric):
    """Compares how near generated and held-out images lie to the run's images.

    After Meehan et al. (2020), https://arxiv.org/abs/2004.05675: a generator that has
    learned what images are like, and none of them by heart, lies no nearer to those
    it learned from than to others. In pixels, at 16 x 16.

    - "copies": the share of generated images that lie nearer to an image of the run
      than 99 in 100 held-out images do: .01 if they are as new as these. Smooth images
      lie nearer to all others, copied or not.
    - "nearer to the run's images": the share whose nearest image, of as many of both,
      is the run's and no held-out one: .5 if nothing was learned by heart, whatever
      the images look like.

    The held-out images must be of one kind with the run's: those of another camera are
    farther from everything. The errors are standard errors of new images' shares.
    """

    name: ClassVar[str] = "memorisation"
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
        """Give both shares."""
        assert real is not None, "see needs"
        assert tools.test is not None, "see needs"
        seed = tools.random_state
        others = unseen(tools.test, real)
        rng = np.random.default_rng([seed, len(others)])
        held_out = small_pixels(tools.test, np.sort(rng.permutation(others)[:_MOST]))
        learned = small_pixels(real, real.draw(_MOST_LEARNED, seed))
        made = small_pixels(generated, generated.draw(_MOST, seed))
        protocol = Protocol(
            n_generated=len(made),
            n_real=len(learned),
            real=real.name,
            seed=seed,
            checkpoint=tools.checkpoint,
            details={"held out": f"{len(held_out):,} of {tools.test.name}"},
        )
        names = ("copies", "nearer to the run's images")
        if len(held_out) < _LEAST or not len(made) or not len(learned):
            note = (
                f"{len(held_out)} held-out images that the run does not have are too "
                f"few to compare with; give --against {_LEAST} or more."
            )
            return [
                Score(name, math.nan, "lower", protocol, note=note) for name in names
            ]
        text = "distances to the run's images"
        tools.say(text, 0, 2)
        place, null, high = _hundredth(len(held_out))
        limit = np.sort(nearest(held_out, learned)[0])[place - 1]
        copies = float((nearest(made, learned)[0] <= limit).mean())
        tools.say(text, 1, 2)
        n = min(len(learned), len(held_out))
        some = np.random.default_rng([seed, n]).permutation(len(learned))[:n]
        # Those of a folder come class by class.
        others = np.random.default_rng([seed, n, 1]).permutation(len(held_out))[:n]
        both = np.concatenate([learned[some], held_out[others]])
        chosen = np.bincount(nearest(made, both)[1], minlength=2 * n)
        nearer, error = float(chosen[:n].sum() / len(made)), shuffled_error(chosen)
        tools.say(text, 2, 2)
        by_chance = math.sqrt(high * (1 - high) / len(made))
        notes = (
            f"new images would have {null:.3f}: near copies, or too smooth ones.",
            "new images would have 0.5: some are near copies of the run's.",
        )
        return [
            Score(
                names[0],
                copies,
                "lower",
                protocol,
                math.sqrt(null * (1 - null) * (1 / len(made) + 1 / len(held_out))),
                notes[0] if copies > high + _CLEAR * by_chance else "",
            ),
            Score(
                names[1],
                nearer,
                "lower",
                protocol,
                error,
                notes[1] if nearer > 0.5 + _CLEAR * error else "",
            ),
        ]


def _hundredth(n: int) -> tuple[int, float, float]:
    """Choose the distance of n, by size, below which a hundredth of new images lie.

    Returns
    -------
    its place from 1 on; the expected share of new images that lie nearer; and what that
    share exceeds once in a thousand times, since n distances are a sample, too.
    """
    place = max(1, round(_NEAR * (n + 1)))
    return place, place / (n + 1), float(beta.ppf(0.999, place, n + 1 - place))


def shuffled_error(chosen: NDArray[np.int64]) -> float:
    """Give the error of a half's share of choices, if halves were dealt at random.

    Some images are near to everything: few of them decide, and chance is larger than
    the number of choices tells.

    Parameters
    ----------
    chosen : (2n,) how often each image is the nearest one.
    """
    spread = chosen - chosen.mean()
    n = len(chosen)
    return math.sqrt(float((spread**2).sum()) / 4 * n / (n - 1)) / float(chosen.sum())
