"""Clip art: claims about what colors it has."""

from functools import partial

from lf_library import rules
from lf_library._clip_art_features import (
    black_part,
    blue_part,
    body_color,
    color_bottom,
    color_centre,
    color_from_top_to_bottom,
    color_top,
    in_color,
    named_colors,
    rim_and_core,
    saturation_and_value,
    yellow_part,
)
from lf_library.rules import claim
from lfkit.features.color import (
    color_grid,
    color_histogram,
    color_moments,
    distinct_colors,
    hsv_histogram,
    intensity_histogram,
    skin_share,
    warm_share,
)

ANIMALS, FOOD, PEOPLE, TRANSPORTATION = ALL = range(4)

resembles = partial(rules.resembles, classes=ALL)
measures_like = partial(rules.measures_like, classes=ALL)
claims = partial(rules.claims, classes=ALL)
drawn_like = partial(resembles, kind="heuristic")
processed_like = partial(resembles, kind="image-processing", abstain=0.05)
looks_like = partial(resembles, kind="deep", abstain=0.05)

COLOR_CLAIMS = [
    claim(
        "much_skin_is_people",
        "Who shows much skin is one of the people.",
        claims(skin_share, [PEOPLE]),
    ),
    claim(
        "yellow_is_people",
        "Smileys are yellow, and so is fair hair.",
        claims(yellow_part, [PEOPLE]),
    ),
    claim(
        "blue_is_people",
        "Stick men are drawn in blue, animals hardly ever.",
        claims(blue_part, [PEOPLE]),
    ),
    claim(
        "all_black_is_transportation",
        "Symbols at airports are black.",
        claims(black_part, [TRANSPORTATION]),
    ),
    claim(
        "mean_color_is_that_of_class",
        "With what it encloses, it has the mean color of the class.",
        measures_like(body_color),
    ),
    claim(
        "saturation_is_that_of_class",
        "Food is painted in fuller colors than animals.",
        measures_like(saturation_and_value),
    ),
    claim(
        "colors_are_as_many_as_in_class",
        "Shaded drawings have many colors, symbols two.",
        measures_like(distinct_colors),
    ),
    claim(
        "colors_run_down_as_in_class",
        "Hair, face and clothes follow each other as in the class.",
        measures_like(color_from_top_to_bottom),
    ),
    claim(
        "core_differs_from_rim_as_in_class",
        "Fruits are alike inside and outside, plates are not.",
        measures_like(rim_and_core),
    ),
    claim(
        "hues_resemble_class",
        "As much of each hue, saturation and value as in the class.",
        drawn_like(hsv_histogram),
    ),
    claim(
        "red_green_and_blue_resemble_class",
        "Channel by channel, the histogram is that of the class.",
        drawn_like(color_histogram),
    ),
    claim(
        "color_moments_resemble_class",
        "Mean, spread and skewness of its colors are those of the class.",
        drawn_like(color_moments),
    ),
    claim(
        "colors_lie_where_class_has_them",
        "Each sixteenth has the color that it has in the class.",
        drawn_like(color_grid),
    ),
    claim(
        "top_is_colored_as_in_class",
        "Heads, skies and masts have the hues of the class.",
        drawn_like(in_color(hsv_histogram, color_top)),
    ),
    claim(
        "bottom_is_colored_as_in_class",
        "Legs, plates and wheels have the hues of the class.",
        drawn_like(in_color(hsv_histogram, color_bottom)),
    ),
    claim(
        "centre_is_colored_as_in_class",
        "The middle has the colors of the class.",
        drawn_like(in_color(color_moments, color_centre)),
    ),
    claim(
        "brightness_resembles_class",
        "As much of each shade as in the class, whatever the color.",
        drawn_like(intensity_histogram),
    ),
    claim(
        "warm_colors_are_as_many_as_in_class",
        "Food is warm, symbols are not.",
        measures_like(warm_share),
    ),
    claim(
        "named_colors_resemble_class",
        "As much of the figure is black, gray, red, brown or blue as in the class.",
        drawn_like(named_colors),
    ),
    claim(
        "other_inside_than_outside_is_food",
        "Cakes and cut fruits have another color inside than at the rim.",
        claims(rim_and_core, [FOOD]),
    ),
    claim(
        "brown_or_red_is_food",
        "What is brown, red or orange on the whole is food.",
        claims(body_color, [FOOD]),
    ),
]
