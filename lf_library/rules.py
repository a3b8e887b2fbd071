"""The two ways in which functions of this library read a vector feature."""

from lfkit import NearestMean, NearestNorm, labeling_function


def resembles(feature, *, kind, n_classes=10):
    """Declare a soft function whose `rule` is NearestMean of one feature."""
    return labeling_function(
        features=[feature],
        classes=range(n_classes),
        thresholds={"rule": NearestMean(feature)},
        kind=kind,
        soft=True,
        batched=True,
    )


def has_norm_of(feature, *, kind, n_classes=10):
    """Declare a function whose `rule` is NearestNorm, as the ADP paper prints it."""
    return labeling_function(
        features=[feature],
        classes=range(n_classes),
        thresholds={"rule": NearestNorm(feature)},
        kind=kind,
        soft=True,
        batched=True,
    )
