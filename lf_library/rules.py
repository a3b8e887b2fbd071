"""The ways in which functions of this library read a feature."""

from functools import partial, wraps

import torch

from lfkit import (
    CountLikelihood,
    Gate,
    Likelihood,
    NearestMean,
    NearestNorm,
    OneVsRest,
    labeling_function,
)
from lfkit.features.image_parts import seen_in


def one_of(*features, classes, sure, k=10, kind="heuristic"):
    """Decorate a batched condition: where it holds, the image is one of the classes.

    The condition takes the features' values and gives (n,) bool; elsewhere it abstains.

    Parameters
    ----------
    sure : how likely the image is one of them where it holds. They share it evenly, and
        the other classes of the run what is left: a plain vote counts a doubtful claim
        for less than a sure one.
    k : the number of classes of the run.
    """

    def declare(condition):
        weights = [(1 - sure) / (k - len(classes))] * k
        for label in classes:
            weights[label] = sure / len(classes)

        @wraps(condition)
        def vote(*values):
            holds = condition(*values).to(torch.float32)
            return holds[:, None] * holds.new_tensor(weights)  # (n, k)

        return labeling_function(
            features=[*features], classes=range(k), kind=kind, soft=True, batched=True
        )(vote)

    return declare


def claim(name, doc, declare):
    """Declare a function that says what its rule says, where its gate lets it pass.

    Parameters
    ----------
    declare : what one of the functions below gives.
    """

    def vote(values, *gated, rule, gate=None):
        return rule(values) if gate is None else rule(values) * gate(*gated)

    vote.__name__, vote.__doc__ = name, doc
    return declare(vote)


def by_rule(rule, *, classes, kind="heuristic"):
    """Declare a soft function whose `rule` is given, for some of the classes."""
    return labeling_function(
        features=[rule.feature],
        classes=classes,
        thresholds={"rule": rule},
        kind=kind,
        soft=True,
        batched=True,
    )


def resembles(feature, *, kind, classes=range(10), **settings):
    """Vote for the class with the nearest mean, of any number of values."""
    return by_rule(NearestMean(feature, **settings), classes=classes, kind=kind)


def has_norm_of(feature, *, kind, classes=range(10), **settings):
    """Vote for the class with the nearest mean norm, as the ADP paper prints it."""
    return by_rule(NearestNorm(feature, **settings), classes=classes, kind=kind)


def measures_like(feature, *, kind="heuristic", classes=range(10), **settings):
    """Vote for the classes in which one to eight numbers are likely."""
    return by_rule(Likelihood(feature, **settings), classes=classes, kind=kind)


def counts_like(feature, *, kind="heuristic", classes=range(10), **settings):
    """Vote for the classes in which a count is likely."""
    return by_rule(CountLikelihood(feature, **settings), classes=classes, kind=kind)


def claims(feature, claimed, *, kind="heuristic", classes=range(10), **settings):
    """Vote beyond a cut for what the seeds show there, mostly the claimed classes."""
    rule = OneVsRest(feature, claimed, **settings)
    return by_rule(rule, classes=classes, kind=kind)


def tells_apart(feature, pair, *, among, rule=Likelihood, kind="heuristic", recall=0.8):
    """Vote on a few classes only, where `among`, another feature, says it is one."""
    return labeling_function(
        features=[feature, among],
        classes=pair,
        thresholds={"rule": rule(feature), "gate": Gate(among, recall=recall)},
        kind=kind,
        soft=True,
        batched=True,
    )


tells_apart_by_mean = partial(tells_apart, rule=NearestMean)


def through(lf, view):
    """Declare the same function of a view of the image: its features read the view."""
    thresholds = {
        key: threshold.with_feature(seen_in(threshold.feature, view))
        for key, threshold in lf.thresholds.items()
    }
    return lf.fitted([seen_in(feature, view) for feature in lf.features], thresholds)


def typical(name, doc, number, values, *, among=None, kind="heuristic"):
    """Vote for the classes of which a number is typical, by normal curves; no seeds.

    Parameters
    ----------
    number : a feature, (n,).
    values : class → the typical number, and its spread.
    among : a feature, (n,); the function abstains where it is 0.
    """
    places = tuple(values.values())

    def vote(found, *gate):
        middle, spread = found.new_tensor(places).unbind(dim=1)
        far = ((found[:, None] - middle) / spread).clamp(-4, 4)
        weights = torch.softmax(-far.square() / 2 - spread.log(), dim=1)
        return weights * gate[0][:, None] if gate else weights

    return _fixed(name, doc, vote, [number], values, among, kind)


def leans(
    name,
    doc,
    cues,
    *,
    to,
    against,
    cut=0.0,
    softness=0.6,
    among=None,
    kind="heuristic",
):
    """Weigh some classes against others by several cues of equal weight; no seeds.

    Each cue counts from -2 to 2 spreads; a logistic curve of their sum is the weight of
    the classes in `to`. Equal weights (Dawes 1979,
    https://doi.org/10.1037/0003-066X.34.7.571): fitted ones need many examples.

    Parameters
    ----------
    cues : feature, (n,) → the number that speaks for neither side, and its spread,
        below 0 where small numbers speak for `to`.
    to, against : classes.
    cut : the sum that speaks for neither side.
    softness : of the logistic curve, in spreads.
    among : a feature, (n,); the function abstains where it is 0.
    """
    places = tuple(cues.values())

    def vote(*found):
        numbers = torch.stack(found[: len(places)], dim=1)  # (n, cues)
        middle, spread = numbers.new_tensor(places).unbind(dim=1)
        total = ((numbers - middle) / spread).clamp(-2, 2).sum(dim=1)
        share = torch.sigmoid((total - cut) / softness)[:, None]
        sides = [share / len(to)] * len(to) + [(1 - share) / len(against)] * len(
            against
        )
        weights = torch.cat(sides, dim=1)
        return weights * found[-1][:, None] if len(found) > len(places) else weights

    return _fixed(name, doc, vote, list(cues), [*to, *against], among, kind)


def _fixed(name, doc, vote, features, classes, among, kind):
    vote.__name__, vote.__doc__ = name, doc
    return labeling_function(
        features=[*features, *([] if among is None else [among])],
        classes=list(classes),
        kind=kind,
        soft=True,
        batched=True,
    )(vote)
