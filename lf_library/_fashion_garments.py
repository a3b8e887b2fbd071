"""Garments: rules that weigh measures by fixed numbers, and need no seeds.

The numbers were read off fifty images of each class of the training set.
"""

import torch

from lf_library._fashion_claims import (
    ANKLE_BOOT,
    BAG,
    COAT,
    DRESS,
    PULLOVER,
    SANDAL,
    SHIRT,
    SNEAKER,
    T_SHIRT,
    TROUSER,
)
from lf_library._fashion_features import collar, flat_top, neck
from lf_library._fashion_measures import (
    armpit_ground,
    body_spread,
    breadth_of_ink,
    button_ratio,
    button_steps,
    chest_ground,
    chest_width,
    collar_width,
    column_spread,
    front_brightness,
    front_edge,
    front_line,
    has_short_sleeves,
    hem_band,
    hem_rise,
    hem_roundness,
    is_broad,
    is_garment,
    is_sleeveless,
    is_slim,
    leg_ground,
    low_sleeve_ground,
    low_width,
    middle_width,
    neck_drop,
    neck_edges,
    neck_ground,
    neck_roof,
    neck_width,
    shoulder_drop,
    side_height,
    sides_begin,
    sleeve_ground,
    slope_width,
    top_ink,
    upper_ink,
)
from lf_library.rules import leans, typical
from lfkit import ABSTAIN, labeling_function
from lfkit.features.shape import aspect, width


@labeling_function(
    features=[upper_ink, width, leg_ground, is_garment],
    classes=[TROUSER],
    batched=True,
)
def waistband_over_legs_is_trouser(top, wide, legs, garment):
    """Slim, flat and as broad at the top as anywhere, with some ground between legs."""
    flat = top > 0.83 * wide
    claimed = flat & (wide < 0.55) & (legs > 0.2) & (garment > 0)
    return torch.where(claimed, TROUSER, ABSTAIN)


@labeling_function(
    features=[hem_rise, aspect, middle_width, low_width, is_garment],
    classes=[TROUSER, DRESS],
    soft=True,
    batched=True,
)
def crotch_or_hem_tells_trouser_from_dress(rise, shape, middle, low, garment):
    """Of what is slim, legs leave the hem's middle open, a narrow dress does not."""
    legs = torch.sigmoid((-rise - 0.03) / 0.004)
    slim = (shape < 0.56) & (middle < 0.5) & ((legs > 0.5) | (low < 0.42))
    weights = torch.stack([legs, 1 - legs], dim=1)
    return weights * (garment * slim)[:, None]


@labeling_function(
    features=[low_width, aspect, leg_ground, middle_width, is_garment],
    classes=[DRESS],
    batched=True,
)
def slim_down_to_hem_is_dress(low, shape, legs, middle, garment):
    """Slim from the waist to the hem, without ground between legs."""
    slim = (low < 0.42) & (middle < 0.45) & (shape < 0.62)
    return torch.where(slim & (legs < 0.25) & (garment > 0), DRESS, ABSTAIN)


@labeling_function(
    features=[collar_width, slope_width, button_steps, is_broad],
    classes=[COAT],
    batched=True,
)
def narrow_collar_on_narrow_shoulders_is_coat(below_neck, slope, steps, broad):
    """Narrow at the collar and at the shoulders, and without buttons."""
    narrow = (below_neck < 0.42) & (slope < 0.56) & (steps < 0.005)
    return torch.where(narrow & (broad > 0), COAT, ABSTAIN)


@labeling_function(
    features=[flat_top, collar_width, hem_roundness, button_ratio, is_broad],
    classes=[PULLOVER],
    batched=True,
)
def wide_neck_without_buttons_is_pullover(flat, below_neck, round_hem, ratio, broad):
    """A wide neck, a straight hem, no buttons."""
    wide = (flat > 0.5) & (below_neck > 0.5)
    plain = (round_hem < 0.01) & (ratio < 1)
    return torch.where(wide & plain & (broad > 0), PULLOVER, ABSTAIN)


@labeling_function(
    features=[hem_roundness, button_ratio, flat_top, is_broad],
    classes=[SHIRT],
    batched=True,
)
def buttons_over_round_hem_is_shirt(round_hem, ratio, flat, broad):
    """Buttons down the middle, a hem that hangs lower there, a narrow neck."""
    claimed = (round_hem > 0.005) & (ratio > 0.85) & (flat < 0.6) & (broad > 0)
    return torch.where(claimed, SHIRT, ABSTAIN)


GARMENTS = [
    waistband_over_legs_is_trouser,
    crotch_or_hem_tells_trouser_from_dress,
    slim_down_to_hem_is_dress,
    narrow_collar_on_narrow_shoulders_is_coat,
    wide_neck_without_buttons_is_pullover,
    buttons_over_round_hem_is_shirt,
    typical(
        "hem_is_wide_as_class",
        "A T-shirt's hem is half as wide as the image, long sleeves make it wider.",
        low_width,
        {
            T_SHIRT: (0.52, 0.06),
            TROUSER: (0.33, 0.06),
            PULLOVER: (0.75, 0.05),
            DRESS: (0.39, 0.04),
            COAT: (0.71, 0.07),
            SHIRT: (0.74, 0.07),
        },
        among=is_garment,
    ),
    typical(
        "waist_is_wide_as_class",
        "Trousers and dresses are slim in the middle, pullovers the widest.",
        middle_width,
        {
            T_SHIRT: (0.48, 0.07),
            TROUSER: (0.36, 0.05),
            PULLOVER: (0.75, 0.05),
            DRESS: (0.39, 0.05),
            COAT: (0.7, 0.05),
            SHIRT: (0.71, 0.07),
        },
        among=is_garment,
    ),
    typical(
        "chest_is_wide_as_class",
        "Short sleeves make the chest widest, dresses and trousers are slim there.",
        chest_width,
        {
            T_SHIRT: (0.71, 0.09),
            TROUSER: (0.39, 0.04),
            PULLOVER: (0.66, 0.05),
            DRESS: (0.43, 0.09),
            COAT: (0.61, 0.05),
            SHIRT: (0.65, 0.04),
        },
        among=is_garment,
    ),
    typical(
        "sleeves_leave_ground_as_class",
        "Ground shows between body and long sleeves: most on pullovers.",
        low_sleeve_ground,
        {
            T_SHIRT: (0.03, 0.035),
            TROUSER: (0.0, 0.012),
            PULLOVER: (0.47, 0.2),
            DRESS: (0.0, 0.03),
            COAT: (0.38, 0.18),
            SHIRT: (0.37, 0.17),
        },
        among=is_garment,
    ),
    typical(
        "sides_are_high_as_class",
        "Sleeves reach the image's sides, slim trousers and dresses do not.",
        side_height,
        {
            T_SHIRT: (0.64, 0.15),
            TROUSER: (0.0, 0.04),
            PULLOVER: (0.57, 0.09),
            DRESS: (0.21, 0.11),
            COAT: (0.44, 0.09),
            SHIRT: (0.56, 0.07),
        },
        among=is_garment,
    ),
    typical(
        "sides_begin_as_low_as_class",
        "A garment begins at its top on both sides, a shoe much lower on one.",
        sides_begin,
        {
            T_SHIRT: (0.11, 0.042),
            TROUSER: (0.0, 0.022),
            PULLOVER: (0.11, 0.064),
            DRESS: (0.036, 0.07),
            COAT: (0.18, 0.057),
            SANDAL: (0.71, 0.092),
            SHIRT: (0.14, 0.054),
            SNEAKER: (0.57, 0.064),
            BAG: (0.22, 0.16),
            ANKLE_BOOT: (0.69, 0.047),
        },
    ),
    typical(
        "collar_is_wide_as_class",
        "Just below the top a pullover is wide, a coat's collar narrow.",
        collar_width,
        {PULLOVER: (0.57, 0.066), COAT: (0.36, 0.069), SHIRT: (0.5, 0.085)},
        among=is_broad,
    ),
    typical(
        "shoulders_are_wide_as_class",
        "A coat's shoulders are narrower than those of pullovers and shirts.",
        slope_width,
        {PULLOVER: (0.63, 0.06), COAT: (0.54, 0.052), SHIRT: (0.6, 0.033)},
        among=is_broad,
    ),
    typical(
        "shoulders_drop_as_class",
        "Shoulders lie below a collar: farthest on coats, least on pullovers.",
        shoulder_drop,
        {PULLOVER: (0.036, 0.021), COAT: (0.089, 0.022), SHIRT: (0.062, 0.025)},
        among=is_broad,
    ),
    leans(
        "neck_tells_pullover_or_coat",
        "A wide neck on flat shoulders against a narrow collar on sloping ones.",
        {
            collar_width: (0.46, 0.1),
            neck_width: (0.32, 0.08),
            slope_width: (0.58, 0.085),
            flat_top: (0.52, 0.12),
            shoulder_drop: (0.062, -0.04),
            neck_roof: (-0.12, 0.16),
            neck: (-0.025, 0.03),
        },
        to=[PULLOVER],
        against=[COAT],
        cut=-0.2,
        softness=1.0,
        among=is_broad,
    ),
    leans(
        "round_hem_and_buttons_tell_shirt_or_pullover",
        "A hem that hangs in the middle, buttons and an open front are a shirt's.",
        {
            hem_roundness: (0.004, 0.018),
            button_ratio: (0.74, 0.4),
            flat_top: (0.52, -0.14),
            front_line: (0.7, 0.2),
            front_edge: (0.16, 0.3),
        },
        to=[SHIRT],
        against=[PULLOVER],
        softness=0.55,
        among=is_broad,
    ),
    leans(
        "collar_tells_shirt_or_pullover",
        "A narrow top, a neckline like a V and buttons are a shirt's.",
        {
            neck_roof: (-0.06, -0.17),
            top_ink: (0.31, -0.1),
            button_steps: (0.0, 0.02),
            front_line: (0.7, 0.2),
        },
        to=[SHIRT],
        against=[PULLOVER],
        softness=0.55,
        among=is_broad,
    ),
    leans(
        "shoulders_and_hem_tell_coat_or_shirt",
        "Narrow shoulders, no buttons, close sleeves, a bright body: a coat.",
        {
            slope_width: (0.57, -0.07),
            button_steps: (-0.002, -0.024),
            armpit_ground: (0.18, -0.12),
            hem_band: (0.08, 0.07),
            front_brightness: (0.72, 0.2),
            collar: (0.29, 0.24),
        },
        to=[COAT],
        against=[SHIRT],
        softness=0.55,
        among=is_broad,
    ),
    leans(
        "closed_front_and_wide_neck_is_pullover",
        "Nothing runs down the front, and the neck is wide.",
        {
            flat_top: (0.5, 0.13),
            front_line: (0.7, -0.2),
            front_edge: (0.16, -0.3),
            neck_width: (0.33, 0.1),
            collar_width: (0.5, 0.1),
            neck: (-0.02, 0.035),
        },
        to=[PULLOVER],
        against=[COAT, SHIRT],
        cut=0.5,
        softness=0.65,
        among=is_broad,
    ),
    leans(
        "narrow_shoulders_and_strong_neck_is_coat",
        "A narrow collar with strong edges, on shoulders that fall off.",
        {
            collar_width: (0.45, -0.1),
            slope_width: (0.57, -0.08),
            sides_begin: (0.16, 0.06),
            neck_edges: (0.123, 0.04),
            armpit_ground: (0.22, -0.14),
            shoulder_drop: (0.065, 0.04),
            collar: (0.27, 0.23),
        },
        to=[COAT],
        against=[PULLOVER, SHIRT],
        cut=0.1,
        softness=0.75,
        among=is_broad,
    ),
    leans(
        "round_hem_buttons_and_dim_body_is_shirt",
        "A hem that hangs in the middle, buttons, and a body that is not bright.",
        {
            hem_roundness: (0.006, 0.018),
            button_ratio: (0.75, 0.4),
            button_steps: (0.0, 0.02),
            front_brightness: (0.7, -0.2),
            neck_width: (0.3, -0.09),
        },
        to=[SHIRT],
        against=[PULLOVER, COAT],
        cut=0.4,
        softness=0.65,
        among=is_broad,
    ),
    leans(
        "sides_tell_t_shirt_or_dress",
        "A T-shirt is broader than a dress, at the hem and at the sleeves.",
        {
            low_width: (0.46, 0.085),
            side_height: (0.41, 0.2),
            column_spread: (0.12, -0.06),
            breadth_of_ink: (0.295, 0.039),
            chest_width: (0.58, 0.13),
        },
        to=[T_SHIRT],
        against=[DRESS],
        cut=-1.2,
        softness=0.75,
        among=is_slim,
    ),
    leans(
        "straps_and_hem_tell_top_or_dress",
        "Of what has no sleeves, the one with a broad hem and straps is a top.",
        {
            body_spread: (0.116, -0.05),
            column_spread: (0.13, -0.06),
            low_width: (0.44, 0.08),
            chest_ground: (0.27, 0.15),
            neck_drop: (0.05, 0.04),
        },
        to=[T_SHIRT],
        against=[DRESS],
        softness=0.6,
        among=is_sleeveless,
    ),
    leans(
        "breadth_tells_shirt_from_dress",
        "A shirt or T-shirt fills the middle columns, a slim dress does not.",
        {
            column_spread: (0.12, -0.06),
            breadth_of_ink: (0.304, 0.035),
            side_height: (0.37, 0.15),
            slope_width: (0.51, 0.09),
        },
        to=[SHIRT, T_SHIRT],
        against=[DRESS],
        cut=-0.35,
        softness=0.5,
        among=is_slim,
    ),
    leans(
        "short_sleeves_tell_t_shirt_or_shirt",
        "Close sleeves, broad chest and broad neck are a T-shirt's.",
        {
            sleeve_ground: (0.09, -0.07),
            chest_width: (0.7, 0.08),
            top_ink: (0.315, 0.1),
            neck_ground: (0.17, 0.1),
        },
        to=[T_SHIRT],
        against=[SHIRT],
        cut=-0.5,
        softness=0.6,
        among=has_short_sleeves,
    ),
]
