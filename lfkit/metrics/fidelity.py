"""Label fidelity: whether generated labels say what is to be seen, and how surely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfkit.aggregators.calibration import log_losses, measure
from lfkit.errors import InputError
from lfkit.metrics.image_set import ImageSet
from lfkit.metrics.labeled_metric import judged, left_out, why_unlabeled, why_unlike
from lfkit.metrics.metric import Metric, MetricContext, Need, Protocol, Score


class LabelFidelity(Metric):
    """Compares generated labels with what the judge makes of the images.

    One look of the judge at each image gives, with y the most probable label:

    - label fidelity, P[judge(x) = y]; macro, its mean over the classes that are ever
      given; and of each class c, P[judge(x) = c | y = c]. Their errors are binomial
      standard errors. Beside them stands how often the judge is right about real test
      images: no generator can be told to be better.
    - class-marginal distance, half the sum of |shares of the labels - shares of the
      real images' labels|: 0 where they agree, 1 where no class is in both; and of the
      judge's classes, which moves where the images themselves lack a class. The share
      of each class c, by the label distributions.
    - ECE, Brier score and NLL of the label distributions against the judge's class, as
      `lfkit.aggregators.calibration` has them. The judge's own errors are counted as
      the labels'.

    Parameters
    ----------
    target_shares : (k,) class shares that are wanted; None: those of the real images'
        labels. Without both there is no distance.
    """

    name: ClassVar[str] = "fidelity"
    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "judge"})

    def __init__(self, *, target_shares: ArrayLike | None = None) -> None:
        self.target_shares = target_shares

    def why_not(
        self, generated: ImageSet, real: ImageSet | None, tools: MetricContext
    ) -> str | None:
        """Say what is missing to compute it, or None."""
        missing = super().why_not(generated, real, tools) or why_unlabeled(generated)
        if missing is None and real is not None and real.proba is not None:
            k = generated.n_classes
            if real.n_classes != k:
                return (
                    f"{real.name} has {real.n_classes} classes and {generated.name} {k}"
                )
        return missing

    def score(
        self, generated: ImageSet, real: ImageSet | None, tools: MetricContext
    ) -> Sequence[Score]:
        """Give agreement, class shares and calibration of the labels."""
        target = self._target(generated, real)
        rows, classes = _judge_classes(generated, tools)
        assert generated.proba is not None, "why_not has looked"
        proba, labels = generated.proba[rows], generated.labels[rows]
        protocol = Protocol(
            n_generated=len(rows),
            seed=tools.random_state,
            checkpoint=tools.checkpoint,
            details={"judge": tools.judge_name},
        )
        scores = _agreement(labels, classes, generated.n_classes, protocol)
        scores[0] = replace(scores[0], note=left_out(generated, len(rows)))
        scores += _of_real(generated, tools)
        beside = protocol
        if real is not None and self.target_shares is None:
            n_real = int((real.labels >= 0).sum())
            beside = replace(protocol, n_real=n_real, real=real.name)
        scores += _shares(proba, classes, target, beside)
        return [*scores, *_calibration(proba, classes, protocol)]

    def _target(
        self, generated: ImageSet, real: ImageSet | None
    ) -> NDArray[np.float64] | None:
        """Give the wanted class shares, (k,), or None."""
        k = generated.n_classes
        if self.target_shares is not None:
            shares = np.asarray(self.target_shares, np.float64)
            if shares.shape != (k,) or not abs(shares.sum() - 1) < 1e-6:
                raise InputError(
                    f"target_shares are {shares.tolist()}; expected {k} shares that "
                    f"sum to 1, one per class of {generated.name}."
                )
            return shares
        if real is None or real.proba is None or why_unlabeled(real):
            return None
        return _mean(real.proba[real.labels >= 0])


def _judge_classes(
    images: ImageSet, tools: MetricContext
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the rows that could be judged and their classes; only pixels are large."""
    rows, classes = [], []
    for part, proba in judged(images, tools):
        rows.append(part)
        classes.append(proba.argmax(axis=1))
    return np.concatenate(rows), np.concatenate(classes)


def _agreement(
    labels: NDArray[np.int64],
    classes: NDArray[np.int64],
    k: int,
    protocol: Protocol,
) -> list[Score]:
    agreed = labels == classes
    given = np.bincount(labels, minlength=k)
    per_class = np.bincount(labels, agreed, minlength=k) / np.maximum(given, 1)
    errors = np.sqrt(per_class * (1 - per_class) / np.maximum(given, 1))
    known = given > 0
    whole = float(agreed.mean())
    missing = k - int(known.sum())
    scores = [
        Score(
            "label fidelity",
            whole,
            "higher",
            protocol,
            float(np.sqrt(whole * (1 - whole) / len(agreed))),
        ),
        Score(
            "label fidelity, macro",
            float(per_class[known].mean()),
            "higher",
            protocol,
            float(np.sqrt((errors[known] ** 2).sum()) / known.sum()),
            f"{missing} of {k} classes are never given." if missing else "",
        ),
    ]
    for c in range(k):
        value, error, note = float(per_class[c]), float(errors[c]), ""
        of_class = replace(protocol, n_generated=int(given[c]))
        if not known[c]:
            value, note = float("nan"), f"No image is of class {c}."
        scores.append(
            Score(
                f"label fidelity of class {c}",
                value,
                "higher",
                of_class,
                error if known[c] else None,
                note,
                part_of="label fidelity of a class",
            )
        )
    return scores


def _of_real(generated: ImageSet, tools: MetricContext) -> list[Score]:
    test = tools.test
    if test is None or why_unlike(generated, test):
        return []
    rows, classes = _judge_classes(test, tools)
    value = float((test.labels[rows] == classes).mean())
    protocol = Protocol(
        n_real=len(rows),
        real=test.name,
        seed=tools.random_state,
        details={"judge": tools.judge_name},
    )
    error = float(np.sqrt(value * (1 - value) / len(rows)))
    return [Score("label fidelity of real images", value, "higher", protocol, error)]


def _shares(
    proba: NDArray[np.float64],
    classes: NDArray[np.int64],
    target: NDArray[np.float64] | None,
    protocol: Protocol,
) -> list[Score]:
    k = proba.shape[1]
    labels, seen = _mean(proba), np.bincount(classes, minlength=k) / len(classes)
    scores = []
    for metric, shares in (
        ("class-marginal distance", labels),
        ("class-marginal distance of the judge's classes", seen),
    ):
        value, note = float("nan"), "There are no real labels and no target shares."
        if target is not None:
            value, note = float(np.abs(shares - target).sum() / 2), ""
        scores.append(Score(metric, value, "lower", protocol, note=note))
    for c in range(k):
        wanted = {} if target is None else {"wanted": round(float(target[c]), 6)}
        beside = replace(protocol, details={**protocol.details, **wanted})
        scores.append(
            Score(
                f"share of class {c}",
                float(labels[c]),
                "",
                beside,
                part_of="share of a class",
            )
        )
    return scores


def _calibration(
    proba: NDArray[np.float64], classes: NDArray[np.int64], protocol: Protocol
) -> list[Score]:
    found = measure(proba, classes)
    assert found is not None, "there are images"
    losses = log_losses(proba, classes)
    denied = int((proba[np.arange(len(classes)), classes] == 0).sum())
    error = losses.std(ddof=1) / np.sqrt(len(losses)) if len(losses) > 1 else None
    return [
        Score("label ECE", found.ece, "lower", protocol),
        Score("label Brier score", found.brier, "lower", protocol),
        Score(
            "label NLL",
            float(losses.mean()),
            "lower",
            protocol,
            None if error is None else float(error),
            f"{denied} labels give the judge's class probability 0; each counts as "
            f"{losses.max():.0f} nats."
            if denied
            else "",
        ),
    ]


def _mean(proba: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give class shares, (k,), of label distributions, (n, k)."""
    return np.asarray(proba.sum(axis=0) / proba.sum())
