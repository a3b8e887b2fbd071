"""Parzen-window log-likelihood of real images under the generated ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from lfkit.metrics.image_set import ImageSet
from lfkit.metrics.metric import Metric, MetricContext, Protocol, Score

# As Goodfellow et al. (2014) tried them, https://arxiv.org/abs/1406.2661.
BANDWIDTHS = np.logspace(-1, 0, 10)
_MOST_IMAGES = 10_000
_MOST_VALIDATION = 1000
_AT_ONCE = 512


class ParzenWindow(Metric):
    """Mean log-density of real images under Gaussians around the generated ones.

    ADP (Pal & Balasubramanian, CVPR 2018), appendix E, table 8. In nats per image, with
    pixels in [0, 1]; in [-1, 1] it would be lower by log 2 for each number of an image.
    The width of the Gaussians is the best of ten on real images that are then not
    scored. For comparison with the paper only: it is known to rank generators badly
    (Theis et al. 2016, https://arxiv.org/abs/1511.01844).
    """

    name = "parzen"
    needs = frozenset({"real"})

    def why_not(
        self, generated: ImageSet, real: ImageSet | None, tools: MetricContext
    ) -> str | None:
        """Say what is missing; both sides must be of one shape."""
        if real is not None and real.shape != generated.shape:
            return f"its images are {generated.shape}, and the real ones {real.shape}"
        return super().why_not(generated, real, tools)

    def score(
        self, generated: ImageSet, real: ImageSet | None, tools: MetricContext
    ) -> Sequence[Score]:
        """Give the mean over real images and its standard error."""
        assert real is not None, "see needs"
        order = np.random.default_rng([tools.random_state, len(real)])
        shuffled = order.permutation(len(real))
        n_validation = min(_MOST_VALIDATION, max(1, len(real) // 10))
        validation = np.sort(shuffled[:n_validation])
        scored = np.sort(shuffled[n_validation:][:_MOST_IMAGES])
        samples = generated.pixels(generated.draw(_MOST_IMAGES, tools.random_state))
        tried = _of_real(real, validation, samples, BANDWIDTHS, tools)
        if len(samples) == 0 or len(scored) == 0 or tried.shape[1] == 0:
            protocol = self._protocol(len(samples), 0, real, tools, {})
            note = (
                f"{len(samples)} generated images and {len(real)} real ones are too "
                "few: it needs one to sample, one to choose by and one to score."
            )
            return [Score("Parzen", math.nan, "higher", protocol, note=note)]
        best = int(tried.mean(axis=1).argmax())
        values = _of_real(real, scored, samples, BANDWIDTHS[[best]], tools)[0]
        details: dict[str, float | str] = {
            "bandwidth": round(float(BANDWIDTHS[best]), 4),
            "chosen on": f"{tried.shape[1]:,} other real ones",
            "unit": "nats per image",
            "pixels": "in [0, 1]",
            "numbers per image": math.prod(real.shape),
        }
        note = ""
        if best in (0, len(BANDWIDTHS) - 1):
            note = "the best bandwidth lies at the edge of those tried."
        error = None
        if len(values) > 1:
            error = float(np.std(values, ddof=1) / math.sqrt(len(values)))
        protocol = self._protocol(len(samples), len(values), real, tools, details)
        value = float(values.mean())
        return [Score("Parzen", value, "higher", protocol, error, note)]

    def _protocol(
        self,
        n_generated: int,
        n_real: int,
        real: ImageSet,
        tools: MetricContext,
        details: Mapping[str, float | str],
    ) -> Protocol:
        return Protocol(
            n_generated=n_generated,
            n_real=n_real,
            real=real.name,
            seed=tools.random_state,
            checkpoint=tools.checkpoint,
            details=details,
        )


def log_densities(
    images: NDArray[np.uint8],
    samples: NDArray[np.uint8],
    bandwidths: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Compute the log-density of each image for each bandwidth, (s, b), in nats.

    log p(x) = log mean_j exp(-|x - μ_j|² / 2s²) - d log(s √(2π)) for a width s and d
    numbers per image.

    Parameters
    ----------
    images, samples : (b, h, w, c) and (m, h, w, c); their pixels are taken to [0, 1].
    """
    x = images.reshape(len(images), -1) / 255
    widths = 2 * bandwidths[:, None, None] ** 2
    logs = np.full((len(bandwidths), len(x)), -np.inf)
    for start in range(0, len(samples), _AT_ONCE):
        block = samples[start : start + _AT_ONCE]
        y = block.reshape(len(block), -1) / 255
        squares = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1) - 2 * (x @ y.T)
        logs = np.logaddexp(logs, logsumexp(-squares / widths, axis=2))
    scale = x.shape[1] * np.log(bandwidths * math.sqrt(2 * math.pi))
    return logs - math.log(len(samples)) - scale[:, None]


def _of_real(
    real: ImageSet,
    rows: NDArray[np.int64],
    samples: NDArray[np.uint8],
    bandwidths: NDArray[np.float64],
    tools: MetricContext,
) -> NDArray[np.float64]:
    """Stream real images through `log_densities`: (s, b)."""
    parts = [np.zeros((len(bandwidths), 0))]
    if not len(samples):
        return parts[0]
    done = 0
    for chunk, pixels in real.chunks(rows, _AT_ONCE):
        parts.append(log_densities(pixels, samples, bandwidths))
        done += len(chunk)
        tools.say("Parzen windows", done, len(rows))
    return np.concatenate(parts, axis=1)
