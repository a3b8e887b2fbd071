"""Labeling functions for photographs of clothes on a floor, a bed or a hanger.

Written for ten classes of the clothing data set of A. Grigorev (CC0-1.0), in folders
named as `CLASSES`: `lfkit apply FOLDER --size 192 --lfs lf_library.clothing`. Two
networks that were trained on ImageNet vote by the names of their classes, and
heuristics with fixed cuts, most of them of the silhouette, say that an image is of one
of a few classes, and how sure that is: none of these needs a seed label. Cuts and
sureness were set on 500 labeled photographs, 50 per class drawn from the training
folder; what was no better than chance there was left out. The second network was added
since labels without seeds came out better with it on all 3,781. The last functions are
fitted on seed labels and left out of runs without any. The deep ones need `pip install
"lfkit[cnn]"`.
"""

from lf_library import rules
from lf_library._clothing_features import (
    area,
    flat_top,
    gaps,
    garment,
    garment_aspect,
    garment_convexity,
    garment_height,
    garment_spread,
    leg_gap,
    mirror_difference,
    neck,
    pieces,
    sleeve_flare,
    sleeve_gaps,
    widths,
)
from lf_library._name_maps import CLOTHING_NAMES
from lf_library._photo_claims import RESEMBLANCES
from lf_library._photo_features import (
    BOTTOM,
    CENTRE,
    WHOLE,
    brightness,
    dark,
    edges_by_part,
    level_lines,
    saturation,
    upright_share,
)
from lf_library.rules import claim, one_of
from lfkit import names_of
from lfkit.features.image_parts import seen_in
from lfkit.features.shape import outline

CLASSES = (
    *("dress", "hat", "longsleeve", "outwear", "pants"),
    *("shirt", "shoes", "shorts", "skirt", "t-shirt"),
)
DRESS, HAT, LONGSLEEVE, OUTWEAR, PANTS, SHIRT, SHOES, SHORTS, SKIRT, T_SHIRT = range(10)

# Places in `widths`, `pieces` and `garment_spread`.
_WAIST = 2
_THIRD_QUARTER = 2
_DOWN = 0


@one_of(leg_gap, sure=0.5, classes=(PANTS,))
def gap_between_legs_is_pants(gap):
    """Below, the middle is background between two legs."""
    return gap > 0.5


@one_of(upright_share, sure=0.3, classes=(PANTS,))
def upright_edges_are_pants(upright):
    """The edges of long legs stand."""
    return upright[:, WHOLE] > 0.57


@one_of(garment_spread, sure=0.4, classes=(DRESS, PANTS))
def long_is_dress_or_pants(spread):
    """What reaches far down is a dress or a pair of pants."""
    return spread[:, _DOWN] > 0.48


@one_of(garment_spread, leg_gap, sure=0.3, classes=(DRESS,))
def long_without_legs_is_dress(spread, gap):
    """What reaches far down without a gap below is a dress."""
    return (spread[:, _DOWN] > 0.46) & (gap < 0.17)


@one_of(garment_aspect, leg_gap, sure=0.35, classes=(DRESS, SKIRT))
def slim_without_legs_is_dress_or_skirt(breadth, gap):
    """What is taller than broad, in one piece, is a dress or a skirt."""
    return (breadth < 0.92) & (gap < 0.17)


@one_of(edges_by_part, mirror_difference, sure=0.45, classes=(SHOES,))
def lopsided_with_edges_is_shoes(edges, difference):
    """Shoes lie askew, with soles, laces and straps."""
    return (edges[:, CENTRE] > 0.13) & (difference > 0.2)


@one_of(dark, mirror_difference, sure=0.5, classes=(SHOES,))
def lopsided_with_dark_is_shoes(dark, difference):
    """Shoes lie askew and are dark inside."""
    return (dark[:, CENTRE] > 0.02) & (difference > 0.2)


@one_of(area, sure=0.35, classes=(HAT, SHOES))
def small_is_hat_or_shoes(area):
    """Hats and shoes leave more of the floor free than other clothes."""
    return area < 0.33


@one_of(garment_convexity, sure=0.45, classes=(HAT, SKIRT))
def without_dents_is_hat_or_skirt(convexity):
    """Hats and skirts have neither sleeves nor legs."""
    return convexity > 0.985


@one_of(gaps, sure=0.45, classes=(HAT, SKIRT))
def without_gaps_is_hat_or_skirt(gaps):
    """No background is between two parts of one row."""
    return gaps[:, 1] < 0.002


@one_of(upright_share, sure=0.45, classes=(HAT, T_SHIRT))
def level_in_the_middle_is_hat_or_t_shirt(upright):
    """Brims, prints and texts on the front are level."""
    return upright[:, CENTRE] < 0.39


@one_of(upright_share, sure=0.5, classes=(SHOES, SHORTS, SKIRT))
def level_below_is_shoes_shorts_or_skirt(upright):
    """Soles and straight hems lie at the bottom."""
    return upright[:, BOTTOM] < 0.35


@one_of(neck, sure=0.5, classes=(HAT, OUTWEAR, SHIRT))
def raised_middle_is_hat_outwear_or_shirt(neck):
    """Crowns, hoods and collars rise in the middle of the top."""
    return neck < -0.01


@one_of(sleeve_flare, sure=0.35, classes=(DRESS, T_SHIRT))
def broader_above_is_dress_or_t_shirt(flare):
    """Short sleeves stand off at the shoulders, above a narrower hem."""
    return flare > 0.05


@one_of(sleeve_flare, sure=0.5, classes=(LONGSLEEVE, OUTWEAR, SHORTS))
def broader_below_is_longsleeve_outwear_or_shorts(flare):
    """Long sleeves hang beside the hem, legs of shorts spread."""
    return flare < -0.3


@one_of(widths, sure=0.5, classes=(LONGSLEEVE, OUTWEAR, SHIRT))
def broad_waist_is_longsleeve_outwear_or_shirt(widths):
    """Sleeves lie beside the waist and make it broad."""
    return widths[:, _WAIST] > 0.78


@one_of(sleeve_gaps, leg_gap, sure=0.8, classes=(LONGSLEEVE, OUTWEAR, SHIRT))
def three_pieces_are_body_and_long_sleeves(found, gap):
    """Rows in three pieces cross a sleeve, the body and a sleeve."""
    return (found > 0.05) & (gap < 0.17)


@one_of(pieces, leg_gap, sure=0.75, classes=(LONGSLEEVE, OUTWEAR, SHIRT))
def pieces_beside_the_body_are_long_sleeves(pieces, gap):
    """Below the middle, pieces beside a body in one piece are sleeves."""
    return (pieces[:, _THIRD_QUARTER] > 1.2) & (gap < 0.17)


@one_of(flat_top, sure=0.55, classes=(PANTS, SKIRT, T_SHIRT))
def flat_top_is_pants_skirt_or_t_shirt(flat):
    """Waistbands and outspread shoulders are straight across the top."""
    return flat > 0.7


@one_of(sleeve_flare, neck, sure=0.5, classes=(SHORTS, SKIRT))
def narrow_flat_waist_is_shorts_or_skirt(flare, neck):
    """From a waistband without a collar it widens to the hem."""
    return (flare < -0.12) & (neck > 0.01)


@one_of(garment_height, sure=0.45, classes=(HAT, SHORTS, SKIRT))
def low_is_hat_shorts_or_skirt(tall):
    """Hats, shorts and short skirts are not tall."""
    return tall < 0.67


@one_of(brightness, saturation, sure=0.35, classes=(SHIRT,))
def white_is_shirt(value, saturation):
    """Shirts are white, or nearly."""
    return (value[:, CENTRE] > 0.6) & (saturation[:, CENTRE] < 0.12)


@one_of(edges_by_part, sure=0.7, classes=(LONGSLEEVE, SHIRT, SKIRT, T_SHIRT))
def smooth_is_longsleeve_shirt_skirt_or_t_shirt(edges):
    """Thin cloth in one color has hardly an edge in the middle."""
    return edges[:, CENTRE] < 0.065


@one_of(level_lines, sure=0.4, classes=(SKIRT, T_SHIRT))
def long_level_edges_are_skirt_or_t_shirt(lines):
    """Hems of skirts and T-shirts are long level edges."""
    return lines > 0.045


NEEDS_NO_SEEDS = [
    # The second made the plain vote of the 500 photographs no better, but what
    # refinement makes of it without seeds, by its names and by what it sees.
    names_of("efficientnet-lite1", CLOTHING_NAMES, classes=CLASSES),
    names_of("efficientnet-lite2", CLOTHING_NAMES, classes=CLASSES),
    gap_between_legs_is_pants,
    upright_edges_are_pants,
    long_is_dress_or_pants,
    long_without_legs_is_dress,
    slim_without_legs_is_dress_or_skirt,
    lopsided_with_edges_is_shoes,
    lopsided_with_dark_is_shoes,
    small_is_hat_or_shoes,
    without_dents_is_hat_or_skirt,
    without_gaps_is_hat_or_skirt,
    level_in_the_middle_is_hat_or_t_shirt,
    level_below_is_shoes_shorts_or_skirt,
    raised_middle_is_hat_outwear_or_shirt,
    broader_above_is_dress_or_t_shirt,
    broader_below_is_longsleeve_outwear_or_shorts,
    broad_waist_is_longsleeve_outwear_or_shirt,
    three_pieces_are_body_and_long_sleeves,
    pieces_beside_the_body_are_long_sleeves,
    flat_top_is_pants_skirt_or_t_shirt,
    narrow_flat_waist_is_shorts_or_skirt,
    low_is_hat_shorts_or_skirt,
    white_is_shirt,
    smooth_is_longsleeve_shirt_skirt_or_t_shirt,
    long_level_edges_are_skirt_or_t_shirt,
]

FITTED_ON_SEEDS = [
    claim(
        "widths_run_as_in_class",
        "From top to foot it is as broad as the class.",
        rules.measures_like(widths),
    ),
    claim(
        "outline_resembles_class",
        "Garments of the class are cut like this.",
        rules.resembles(seen_in(outline, garment), kind="heuristic"),
    ),
    *RESEMBLANCES,
]

LFS = [*NEEDS_NO_SEEDS, *FITTED_ON_SEEDS]
