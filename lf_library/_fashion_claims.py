"""Clothes: claims with fixed conditions, each about one class or a few alike."""

import torch

from lf_library._fashion_features import (
    collar,
    hem_width,
    leg_gap,
    shaft,
    sleeve_flare,
    sleeve_gaps,
    waist_width,
)
from lfkit import ABSTAIN, BestPrecision, Quantile, labeling_function
from lfkit.features.shape import asymmetry, fill, height, width

T_SHIRT, TROUSER, PULLOVER, DRESS, COAT = 0, 1, 2, 3, 4
SANDAL, SHIRT, SNEAKER, BAG, ANKLE_BOOT = 5, 6, 7, 8, 9


@labeling_function(
    features=[leg_gap, width],
    classes=[TROUSER],
    thresholds={
        "gap": BestPrecision(leg_gap, min_recall=0.7),
        "slim": Quantile(width, 0.95, among="declared"),
    },
    batched=True,
)
def leg_gap_is_trouser(depth, wide, *, gap=0.5, slim=0.5):
    """Slim, with a dark gap between two legs."""
    return torch.where((depth > gap) & (wide <= slim), TROUSER, ABSTAIN)


@labeling_function(
    features=[leg_gap, hem_width, height],
    classes=[DRESS],
    thresholds={
        "gap": Quantile(leg_gap, 0.75, among="declared"),
        "slim": Quantile(hem_width, 0.7, among="declared"),
        "tall": Quantile(height, 0.1, among="declared"),
    },
    batched=True,
)
def slim_in_one_piece_is_dress(depth, hem, high, *, gap=0.25, slim=0.42, tall=0.95):
    """Tall and slim, and not cut into legs."""
    one_piece = (depth <= gap) & (hem <= slim) & (high >= tall)
    return torch.where(one_piece, DRESS, ABSTAIN)


@labeling_function(
    features=[sleeve_flare, hem_width, height],
    classes=[T_SHIRT],
    thresholds={
        "flare": BestPrecision(sleeve_flare, min_recall=0.4),
        "broad": Quantile(hem_width, 0.1, among="declared"),
    },
    batched=True,
)
def short_sleeves_is_t_shirt(by, hem, high, *, flare=0.15, broad=0.4):
    """Wider at the shoulders than below, where short sleeves stick out."""
    short = (by > flare) & (hem >= broad) & (high > 0.8)
    return torch.where(short, T_SHIRT, ABSTAIN)


@labeling_function(
    features=[sleeve_gaps, asymmetry],
    classes=[PULLOVER, COAT, SHIRT],
    thresholds={
        "gaps": BestPrecision(sleeve_gaps, min_recall=0.3),
        "lopsided": Quantile(asymmetry, 0.9, among="declared"),
    },
    soft=True,
    batched=True,
)
def hanging_sleeves_is_pullover_coat_or_shirt(
    share, uneven, *, gaps=0.3, lopsided=0.25
):
    """Two sleeves hang beside the body; which of three garments it is, stays open."""
    sleeved = (share > gaps) & (uneven <= lopsided)
    return sleeved[:, None] * share.new_tensor([1 / 3, 1 / 3, 1 / 3])


@labeling_function(
    features=[collar, hem_width, asymmetry],
    classes=[COAT],
    thresholds={
        "stands_up": BestPrecision(collar, min_recall=0.4),
        "broad": Quantile(hem_width, 0.2, among="declared"),
        "lopsided": Quantile(asymmetry, 0.9, among="declared"),
    },
    batched=True,
)
def collar_over_broad_body_is_coat(
    rises, hem, uneven, *, stands_up=0.5, broad=0.55, lopsided=0.2
):
    """Between dark corners rises a collar, over a broad and even body."""
    coat = (rises > stands_up) & (hem >= broad) & (uneven <= lopsided)
    return torch.where(coat, COAT, ABSTAIN)


@labeling_function(
    features=[fill, asymmetry],
    classes=[SANDAL],
    thresholds={
        "airy": BestPrecision(fill, side="below", min_recall=0.4),
        "lopsided": Quantile(asymmetry, 0.1, among="declared"),
    },
    batched=True,
)
def airy_and_lopsided_is_sandal(filled, uneven, *, airy=0.5, lopsided=0.4):
    """Straps leave most of its box empty, and its sides differ."""
    return torch.where((filled < airy) & (uneven >= lopsided), SANDAL, ABSTAIN)


@labeling_function(
    features=[height, fill],
    classes=[SNEAKER],
    thresholds={
        "low": BestPrecision(height, side="below", min_recall=0.5),
        "solid": Quantile(fill, 0.2, among="declared"),
    },
    batched=True,
)
def low_and_solid_is_sneaker(high, filled, *, low=0.5, solid=0.55):
    """Low, and closed where a sandal has gaps."""
    return torch.where((high < low) & (filled >= solid), SNEAKER, ABSTAIN)


@labeling_function(
    features=[shaft, fill],
    classes=[ANKLE_BOOT],
    thresholds={
        "tall": BestPrecision(shaft, min_recall=0.5),
        "solid": Quantile(fill, 0.1, among="declared"),
    },
    batched=True,
)
def shaft_on_one_side_is_ankle_boot(rises, filled, *, tall=0.3, solid=0.5):
    """One side stands much higher than the other, and it is closed."""
    return torch.where((rises > tall) & (filled >= solid), ANKLE_BOOT, ABSTAIN)


@labeling_function(
    features=[waist_width, asymmetry],
    classes=[BAG],
    thresholds={
        "broad": BestPrecision(waist_width, min_recall=0.4),
        "lopsided": Quantile(asymmetry, 0.8, among="declared"),
    },
    batched=True,
)
def broad_and_even_is_bag(waist, uneven, *, broad=0.85, lopsided=0.2):
    """As broad as the image in the middle, and alike on both sides."""
    return torch.where((waist > broad) & (uneven <= lopsided), BAG, ABSTAIN)


CLAIMS = [
    leg_gap_is_trouser,
    slim_in_one_piece_is_dress,
    short_sleeves_is_t_shirt,
    hanging_sleeves_is_pullover_coat_or_shirt,
    collar_over_broad_body_is_coat,
    airy_and_lopsided_is_sandal,
    low_and_solid_is_sneaker,
    shaft_on_one_side_is_ankle_boot,
    broad_and_even_is_bag,
]
