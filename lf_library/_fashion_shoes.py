"""Shoes and bags: rules that weigh measures by fixed numbers, and need no seeds.

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
)
from lf_library._fashion_features import outline_asymmetry, shaft
from lf_library._fashion_measures import (
    body_brightness,
    chest_ground,
    collar_width,
    columns_in_pieces,
    ground_across,
    ground_below,
    hip_width,
    is_garment,
    is_shoe,
    leg_ground,
    low_ink,
    low_sleeve_ground,
    low_width,
    lower_ink,
    mid_ink,
    middle_ink,
    middle_width,
    rows_in_pieces,
    shoulder_drop,
    side_height,
    sides_begin,
    slope_ink,
    top_in_pieces,
    top_light,
    under_top_line,
)
from lf_library.rules import leans, typical
from lfkit import ABSTAIN, feature, labeling_function
from lfkit.features.shape import aspect, asymmetry, fill, height, width


@feature(batched=True, of=[outline_asymmetry, sides_begin])
def is_even(uneven, begin):
    """1 for what is alike on both sides and begins near its top on both: (n,)."""
    return ((uneven < 0.2) & (begin < 0.5)).float()


@feature(batched=True, of=[is_garment, height])
def is_no_garment(garment, tall):
    """1 for what is there and does not hang like a garment: (n,)."""
    return (1 - garment) * (tall > 0).float()


@feature(batched=True, of=[outline_asymmetry, height, aspect])
def is_tall_and_even(uneven, tall, shape):
    """1 for what is tall and alike on both sides: (n,)."""
    return ((uneven < 0.2) & (tall > 0.8) & (shape > 0.5)).float()


@feature(batched=True, of=[is_shoe, side_height])
def is_low_shoe(shoe, side):
    """1 for a shoe without a shaft: (n,)."""
    return shoe * (side < 0.52).float()


@feature(batched=True, of=[is_shoe, side_height])
def is_high_shoe(shoe, side):
    """1 for a shoe that stands high on one side: (n,)."""
    return shoe * (side > 0.44).float()


@feature(batched=True, of=[is_shoe, rows_in_pieces])
def is_closed_shoe(shoe, broken):
    """1 for a shoe most of whose rows are in one piece: (n,)."""
    return shoe * (broken < 0.45).float()


@labeling_function(features=[height, width, fill, is_even], classes=[BAG], batched=True)
def low_and_even_is_bag(tall, wide, filled, even):
    """Broader than high, alike on both sides, and filled."""
    low = (tall < 0.85) & (wide > 0.7) & (filled > 0.5)
    return torch.where(low & (even > 0), BAG, ABSTAIN)


@labeling_function(features=[top_light, low_ink, is_even], classes=[BAG], batched=True)
def dark_above_broad_base_is_bag(light, low, even):
    """Ground where a garment has its chest, over a broad base."""
    return torch.where((light < -0.25) & (low > 0.5) & (even > 0), BAG, ABSTAIN)


@labeling_function(
    features=[top_in_pieces, chest_ground, hip_width, low_sleeve_ground, is_even],
    classes=[BAG],
    batched=True,
)
def handle_over_body_is_bag(split, ground, hip, gaps, even):
    """The top is in two pieces with ground between them, over a broad body."""
    handle = (split > 0.35) & (ground > 0.3)
    body = (hip > 0.6) & (gaps < 0.3) & (even > 0)
    return torch.where(handle & body, BAG, ABSTAIN)


@labeling_function(
    features=[low_ink, middle_width, low_sleeve_ground, is_even],
    classes=[BAG],
    batched=True,
)
def box_is_bag(low, middle, gaps, even):
    """Broad down to its base, without ground beside it as sleeves have it."""
    box = (low > 0.63) & (middle > 0.6) & (gaps < 0.1)
    return torch.where(box & (even > 0), BAG, ABSTAIN)


@labeling_function(
    features=[low_width, slope_ink, low_sleeve_ground, is_even],
    classes=[BAG],
    batched=True,
)
def little_above_broad_base_is_bag(low, top, gaps, even):
    """Hardly any ink near the top, over a broad base."""
    claimed = (low - top > 0.4) & (gaps < 0.25) & (even > 0)
    return torch.where(claimed, BAG, ABSTAIN)


@labeling_function(
    features=[rows_in_pieces, columns_in_pieces, is_high_shoe],
    classes=[SANDAL],
    batched=True,
)
def high_shoe_in_pieces_is_sandal(rows, columns, shoe):
    """High, and split by straps along rows and columns."""
    split = (rows > 0.5) & (columns > 0.3)
    return torch.where(split & (shoe > 0), SANDAL, ABSTAIN)


@labeling_function(features=[fill, lower_ink, is_shoe], classes=[SANDAL], batched=True)
def airy_shoe_is_sandal(filled, lower, shoe):
    """A shoe that leaves half of its box, and of its middle, empty."""
    airy = (filled < 0.5) & (lower < 0.6)
    return torch.where(airy & (shoe > 0), SANDAL, ABSTAIN)


@labeling_function(
    features=[height, middle_ink, is_shoe], classes=[SNEAKER], batched=True
)
def low_shoe_with_full_upper_is_sneaker(tall, upper, shoe):
    """A low shoe whose upper is closed in the middle."""
    claimed = (tall < 0.52) & (upper > 0.55) & (shoe > 0)
    return torch.where(claimed, SNEAKER, ABSTAIN)


SHOES_AND_BAGS = [
    low_and_even_is_bag,
    dark_above_broad_base_is_bag,
    handle_over_body_is_bag,
    box_is_bag,
    little_above_broad_base_is_bag,
    high_shoe_in_pieces_is_sandal,
    airy_shoe_is_sandal,
    low_shoe_with_full_upper_is_sneaker,
    leans(
        "evenness_tells_bag_or_shoe",
        "Of what does not hang like a garment, bags are alike on both sides.",
        {
            asymmetry: (0.25, -0.1),
            outline_asymmetry: (0.17, -0.08),
            sides_begin: (0.44, -0.12),
            fill: (0.6, 0.15),
        },
        to=[BAG],
        against=[SANDAL, SNEAKER, ANKLE_BOOT],
        cut=1.0,
        softness=0.6,
        among=is_no_garment,
    ),
    leans(
        "light_tells_bag_or_garment",
        "Of what is tall and even, a bag has ground at the top and a broad base.",
        {
            top_light: (-0.2, -0.1),
            low_ink: (0.68, 0.15),
            top_in_pieces: (0.4, 0.2),
            collar_width: (0.4, -0.15),
        },
        to=[BAG],
        against=[T_SHIRT, PULLOVER, DRESS, COAT, SHIRT],
        cut=0.8,
        softness=0.6,
        among=is_tall_and_even,
    ),
    typical(
        "shoe_is_bright_as_class",
        "Straps leave a sandal's middle dark, a boot fills it.",
        body_brightness,
        {SANDAL: (0.2, 0.071), SNEAKER: (0.37, 0.064), ANKLE_BOOT: (0.55, 0.078)},
        among=is_shoe,
    ),
    typical(
        "upper_is_full_as_class",
        "Above its middle a sneaker is broad, a boot a shaft, a sandal straps.",
        middle_ink,
        {SANDAL: (0.3, 0.16), SNEAKER: (0.7, 0.1), ANKLE_BOOT: (0.51, 0.05)},
        among=is_shoe,
    ),
    typical(
        "ground_below_ink_is_that_of_class",
        "Ground below ink is what straps and heels of sandals leave.",
        ground_below,
        {SANDAL: (0.16, 0.085), SNEAKER: (0.068, 0.024), ANKLE_BOOT: (0.056, 0.013)},
        among=is_shoe,
    ),
    typical(
        "rows_break_as_in_class",
        "Rows of sandals are in pieces, those of boots are not.",
        rows_in_pieces,
        {SANDAL: (0.57, 0.13), SNEAKER: (0.3, 0.15), ANKLE_BOOT: (0.17, 0.1)},
        among=is_shoe,
    ),
    leans(
        "openings_tell_sandal_or_sneaker",
        "Of low shoes, the one with little ink and much ground within is the sandal.",
        {
            body_brightness: (0.29, -0.1),
            middle_ink: (0.5, -0.18),
            mid_ink: (0.66, -0.12),
            leg_ground: (0.31, 0.14),
            ground_across: (0.16, 0.08),
            lower_ink: (0.63, -0.17),
        },
        to=[SANDAL],
        against=[SNEAKER],
        cut=-0.5,
        softness=0.6,
        among=is_low_shoe,
    ),
    leans(
        "openings_tell_sandal_or_boot",
        "Of high shoes, the one in pieces, dark in the middle, is the sandal.",
        {
            rows_in_pieces: (0.37, 0.15),
            ground_below: (0.11, 0.1),
            body_brightness: (0.37, -0.12),
            columns_in_pieces: (0.26, 0.17),
            under_top_line: (0.58, -0.13),
        },
        to=[SANDAL],
        against=[ANKLE_BOOT],
        cut=-1.2,
        softness=0.35,
        among=is_high_shoe,
    ),
    leans(
        "shaft_tells_boot_or_sneaker",
        "Of closed shoes, the high one with a shaft on one side is the boot.",
        {
            side_height: (0.5, 0.1),
            shaft: (0.28, 0.1),
            aspect: (1.76, -0.3),
            shoulder_drop: (0.18, 0.054),
        },
        to=[ANKLE_BOOT],
        against=[SNEAKER],
        cut=-0.3,
        softness=0.5,
        among=is_closed_shoe,
    ),
]
