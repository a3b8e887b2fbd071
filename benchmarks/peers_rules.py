"""The rules of lf_library.fashion, written in NumPy for one image at a time."""

import numpy as np
import torch
from snorkel.labeling import LabelingFunction as SnorkelFunction

from lfkit import ABSTAIN, Likelihood, NearestMean, NearestNorm, OneOf


def per_image(lf, peers):
    """Write a fitted function of the library as a Snorkel user would.

    Parameters
    ----------
    peers : feature → function of one image.
    """
    read = [peers[node] for node in lf.features]
    if "rule" in lf.thresholds:
        decide = _by_rule(lf)
    elif lf.name in _HEURISTICS:
        decide = _HEURISTICS[lf.name](lf)
    else:
        decide = _batch_of_one(lf)
    return SnorkelFunction(lf.name, lambda image: decide(*(f(image) for f in read)))


def _by_rule(lf):
    rule = _nearest(lf.keywords["rule"])
    gate = _passes(lf.keywords["gate"]) if "gate" in lf.thresholds else None

    def decide(values, *gated):
        if gate is not None and not gate(*gated):
            return ABSTAIN
        position = rule(values)
        return ABSTAIN if position is None else lf.classes[position]

    return decide


def _nearest(rule):
    """Give a function from values to the position of the class voted for, or None."""
    learned = {name: np.asarray(value) for name, value in rule.learned.items()}
    if isinstance(rule, NearestNorm):
        return lambda v: np.abs(learned["mean_norms"] - np.linalg.norm(v)).argmin()
    if isinstance(rule, NearestMean):
        weights, bias = learned["weights"], learned["bias"]
        return _sure(lambda v: v @ weights + bias, learned["margin"])
    if isinstance(rule, Likelihood):
        return _sure(lambda v: _log_likelihoods(v, **learned), learned["margin"])

    def position(values):
        weights = rule(values)
        return weights.argmax() if weights.any() else None

    return position


def _log_likelihoods(values, *, center, scale, means, whiten, offset, margin):
    gaps = (values - center) / scale - means  # (c, d)
    whitened = (whiten @ gaps[:, :, None])[:, :, 0]
    return offset - 0.5 * (whitened**2).sum(axis=1)


def _sure(scores_of, margin):
    def position(values):
        scores = scores_of(np.asarray(values, np.float32).ravel())
        second, first = np.partition(scores, -2)[-2:]
        return scores.argmax() if first - second >= margin else None

    return position


def _passes(gate):
    """Give a function from values to True where the gate lets them pass."""
    if not isinstance(gate, OneOf):
        return lambda values: gate(values).any()
    learned = {name: np.asarray(value) for name, value in gate.learned.items()}
    weights, bias = learned["weights"], learned["bias"]
    claimed, cut = learned["claimed"], learned["cut"]

    def passes(values):
        scores = np.asarray(values, np.float32).ravel() @ weights + bias
        odds = np.logaddexp.reduce(scores[claimed])
        return odds - np.logaddexp.reduce(scores[~claimed]) >= cut

    return passes


def _batch_of_one(lf):
    """Call the batched function itself with one image."""
    keywords = lf.keywords

    def decide(*values):
        rows = [torch.as_tensor(np.asarray(v, np.float32))[None] for v in values]
        found = lf.fn(*rows, **keywords)[0]
        if not lf.soft:
            return int(found)
        return lf.classes[int(found.argmax())] if bool(found.any()) else ABSTAIN

    return decide


def _when(test):
    """Vote for the first declared class where a test of the values holds."""

    def rule(lf):
        label, cuts = lf.classes[0], lf.keywords

        def decide(*values):
            # Cuts are values of seeds, in float32: equal ones must be equal here too.
            return label if test(*map(np.float32, values), **cuts) else ABSTAIN

        return decide

    return rule


_HEURISTICS = {
    "leg_gap_is_trouser": _when(
        lambda depth, wide, gap, slim: depth > gap and wide <= slim
    ),
    "slim_in_one_piece_is_dress": _when(
        lambda depth, hem, high, gap, slim, tall: (
            depth <= gap and hem <= slim and high >= tall
        ),
    ),
    "short_sleeves_is_t_shirt": _when(
        lambda by, hem, high, flare, broad: by > flare and hem >= broad and high > 0.8,
    ),
    "hanging_sleeves_is_pullover_coat_or_shirt": _when(
        lambda share, uneven, gaps, lopsided: share > gaps and uneven <= lopsided,
    ),
    "collar_over_broad_body_is_coat": _when(
        lambda rises, hem, uneven, stands_up, broad, lopsided: (
            rises > stands_up and hem >= broad and uneven <= lopsided
        ),
    ),
    "airy_and_lopsided_is_sandal": _when(
        lambda filled, uneven, airy, lopsided: filled < airy and uneven >= lopsided,
    ),
    "low_and_solid_is_sneaker": _when(
        lambda high, filled, low, solid: high < low and filled >= solid
    ),
    "shaft_on_one_side_is_ankle_boot": _when(
        lambda rises, filled, tall, solid: rises > tall and filled >= solid,
    ),
    "broad_and_even_is_bag": _when(
        lambda waist, uneven, broad, lopsided: waist > broad and uneven <= lopsided,
    ),
}
