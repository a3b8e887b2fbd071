"""Labeling functions for clip art in color: what kind of thing is drawn.

Written for Open Clip Art's drawings of animals, food, people and transportation, one
thing on a plain ground, at 64x64 and RGB; it knows these four classes and no others.
Photographs are untested: there the figure, what differs in color from the border, will
often be wrong. Functions need about twenty seed labels per class. By the kinds of the
ADP paper's tables 2 and 3 (Pal & Balasubramanian, CVPR 2018, the row of CIFAR-10): at
least 46 heuristics, 18 by image processing, 2 deep. The deep ones need `pip install
"lfkit[cnn]"`; without it they are left out, by name, and the others vote.
"""

from lf_library._clip_art_claims import (
    ANIMALS,
    COLOR_CLAIMS,
    FOOD,
    PEOPLE,
    TRANSPORTATION,
    claims,
    drawn_like,
    looks_like,
    measures_like,
    processed_like,
)
from lf_library._clip_art_features import (
    base_width,
    body,
    figure,
    lines_down_the_rows,
    rough_outline,
    roundness,
    saturation_and_value,
    shading,
    slanted_share,
    straight_lines,
    wheels,
)
from lf_library._fashion_features import (
    flat_bottom,
    pieces_by_quarter,
    widths,
)
from lf_library.rules import claim, tells_apart, tells_apart_by_mean
from lfkit.features.blobs import blob_grid, blob_scale_counts
from lfkit.features.canny import canny_grid, edge_orientation_histogram
from lfkit.features.color import (
    color_grid,
    color_moments,
    hsv_histogram,
)
from lfkit.features.compressive import random_projections
from lfkit.features.corners import corner_grid, crossing_counts
from lfkit.features.edges import long_edges
from lfkit.features.gist import gist
from lfkit.features.hog import hog
from lfkit.features.image_parts import (
    bottom_half,
    centre,
    flattened,
    full_contrast,
    seen_in,
    top_half,
)
from lfkit.features.imagenet import (
    efficientnet_early,
    efficientnet_features,
    efficientnet_kernel_norms,
)
from lfkit.features.label_propagation import transductive
from lfkit.features.moments import (
    column_profile,
    convexity,
    orientation_angle,
    radial_profile,
    row_profile,
)
from lfkit.features.patchmatch import patchmatch_distances
from lfkit.features.shape import aspect, bounding_box, fill, outline, second_moments
from lfkit.features.sift import sift_grid
from lfkit.features.textons import texton_grid, texton_histogram
from lfkit.features.texture import lbp_grid
from lfkit.features.thumbnail import thumbnail
from lfkit.features.visual_words import patch_words, visual_words
from lfkit.features.wavelets import haar

DATA = "openclipart"
CLASSES = ("animals", "food", "people", "transportation")

hog4, hog7 = hog(cell=4, block=1), hog(cell=7)
hog_of_figure = seen_in(hog4, figure)
transduced = transductive(
    patch_words, sift_grid, gist, hsv_histogram, name="clip_art_transduced"
)
color_transduced = transductive(
    hsv_histogram, color_grid, color_moments, name="color_transduced"
)
network_transduced = transductive(
    efficientnet_features, efficientnet_early, name="network_transduced"
)
figure_transduced = transductive(
    seen_in(outline, figure),
    hog_of_figure,
    color_grid,
    name="figure_transduced",
)

LFS = [
    *COLOR_CLAIMS,
    # What its figure looks like.
    claim(
        "tall_is_people",
        "Who is taller than broad stands upright.",
        claims(seen_in(aspect, figure), [PEOPLE], side="below"),
    ),
    claim(
        "wide_is_transportation",
        "What is broader than tall rolls or floats.",
        claims(seen_in(aspect, figure), [TRANSPORTATION]),
    ),
    claim(
        "flat_bottom_is_transportation",
        "What stands flat on the ground is a vehicle or a sign.",
        claims(seen_in(flat_bottom, figure), [TRANSPORTATION]),
    ),
    claim(
        "round_is_food",
        "What fills the circle around it is a fruit or a plate.",
        claims(roundness, [FOOD]),
    ),
    claim(
        "two_dark_discs_below_are_wheels",
        "Dark discs at the lower left and right are wheels.",
        claims(wheels, [TRANSPORTATION]),
    ),
    claim(
        "rough_outline_is_animal",
        "Legs, tails and ears make a long outline.",
        claims(rough_outline, [ANIMALS]),
    ),
    claim(
        "long_lines_are_transportation",
        "Signs, hulls and coaches have long straight edges.",
        claims(straight_lines, [TRANSPORTATION]),
    ),
    claim(
        "box_lies_where_class_lies",
        "The smallest box around it lies where the class's boxes lie.",
        measures_like(seen_in(bounding_box, figure)),
    ),
    claim(
        "box_is_filled_as_by_class",
        "Fruits and signs fill their box, animals do not.",
        measures_like(seen_in(fill, body)),
    ),
    claim(
        "widths_run_as_in_class",
        "From head to foot it is as broad as the class.",
        measures_like(seen_in(widths, figure)),
    ),
    claim(
        "base_is_as_broad_as_in_class",
        "Vehicles stand broadly, people on feet.",
        measures_like(base_width),
    ),
    claim(
        "outline_splits_as_in_class",
        "Legs, arms and masts split rows and columns into pieces.",
        measures_like(seen_in(pieces_by_quarter, figure)),
    ),
    claim(
        "leans_as_class_leans",
        "Its long axis leans as that of the class.",
        measures_like(seen_in(orientation_angle, body)),
    ),
    claim(
        "rings_are_as_full_as_in_class",
        "Around its centre it fades as the class does.",
        measures_like(seen_in(radial_profile, figure)),
    ),
    claim(
        "shaded_as_class",
        "Food is shaded softly, symbols are flat.",
        measures_like(shading),
    ),
    claim(
        "edges_slant_as_in_class",
        "Vehicles have lying and upright edges, animals slanted ones.",
        measures_like(slanted_share),
    ),
    claim(
        "lying_lines_are_where_class_has_them",
        "Roads, water and axles lie low.",
        measures_like(lines_down_the_rows),
    ),
    claim(
        "edges_point_as_in_class",
        "Its edges point the way those of the class do.",
        measures_like(edge_orientation_histogram),
    ),
    claim(
        "blobs_are_as_many_as_in_class",
        "It has as many blobs of each size as the class.",
        measures_like(blob_scale_counts),
    ),
    claim(
        "outline_resembles_class",
        "Figures of the class are cut like this.",
        drawn_like(seen_in(outline, figure)),
    ),
    claim(
        "lines_cross_it_as_often_as_class",
        "A line across it meets the figure as often as in the class.",
        drawn_like(seen_in(crossing_counts, figure)),
    ),
    claim(
        "rows_are_as_full_as_in_class",
        "Row by row the figure is as full as in the class.",
        drawn_like(seen_in(row_profile, figure)),
    ),
    claim(
        "columns_are_as_full_as_in_class",
        "Column by column the figure is as full as in the class.",
        drawn_like(seen_in(column_profile, figure)),
    ),
    claim(
        "edges_are_where_class_has_them",
        "Canny edges lie where they lie in the class.",
        drawn_like(canny_grid),
    ),
    claim(
        "long_edges_are_where_class_has_them",
        "Long straight edges lie where they lie in the class.",
        drawn_like(long_edges),
    ),
    claim(
        "blobs_are_where_class_has_them",
        "Bright and dark blobs lie where they lie in the class.",
        drawn_like(blob_grid),
    ),
    claim(
        "corners_are_where_class_has_them",
        "Corners lie where they lie in the class.",
        drawn_like(corner_grid),
    ),
    claim(
        "textons_resemble_class",
        "It is made of the textons that the class is made of.",
        drawn_like(texton_histogram),
    ),
    claim(
        "textons_lie_where_class_has_them",
        "Each part is made of the textons of that part of the class.",
        drawn_like(seen_in(texton_grid, figure)),
    ),
    claim(
        "spread_is_that_of_class",
        "As tall, as broad and as slanted as the class.",
        measures_like(seen_in(second_moments, body)),
    ),
    claim(
        "slim_above_and_below_is_people",
        "Head and feet are slimmer than what is between them.",
        claims(seen_in(widths, figure), [PEOPLE]),
    ),
    claim(
        "flat_shades_are_transportation",
        "Flat planes with sharp edges are signs.",
        claims(shading, [TRANSPORTATION]),
    ),
    claim(
        "broad_base_is_transportation",
        "What stands on its whole breadth is a vehicle or a sign.",
        claims(base_width, [TRANSPORTATION]),
    ),
    claim(
        "narrow_base_is_animal",
        "What stands on little stands on paws or claws.",
        claims(base_width, [ANIMALS], side="below"),
    ),
    claim(
        "bulging_is_food",
        "What has no dents is a fruit or a loaf.",
        claims(seen_in(convexity, body), [FOOD]),
    ),
    claim(
        "patches_of_figure_are_found_in_class",
        "PatchMatch finds patches of the figure again in figures of the class.",
        drawn_like(seen_in(patchmatch_distances, figure)),
    ),
    # Which of two it is.
    claim(
        "color_tells_food_from_animals",
        "Of the two, the one in full warm colors is food.",
        tells_apart(saturation_and_value, [ANIMALS, FOOD], among=hsv_histogram),
    ),
    claim(
        "outline_tells_food_from_people",
        "Of the two, the compact one is food.",
        tells_apart_by_mean(seen_in(outline, body), [FOOD, PEOPLE], among=gist),
    ),
    claim(
        "lines_tell_transportation_from_animals",
        "Of the two, the one with straight edges is a vehicle or a sign.",
        tells_apart(straight_lines, [ANIMALS, TRANSPORTATION], among=hsv_histogram),
    ),
    claim(
        "widths_tell_people_from_transportation",
        "Of the two, the one that is slim below is one of the people.",
        tells_apart(
            seen_in(widths, body), [PEOPLE, TRANSPORTATION], among=hsv_histogram
        ),
    ),
    # By image processing.
    claim(
        "hog_resembles_class",
        "Gradients point the way they do in the class, cell by cell.",
        processed_like(hog4),
    ),
    claim(
        "coarse_hog_resembles_class",
        "Gradients of each sixteenth point the way they do in the class.",
        processed_like(hog7),
    ),
    claim(
        "hog_of_figure_resembles_class",
        "The figure's outline turns the way it does in the class, cell by cell.",
        processed_like(hog_of_figure),
    ),
    claim(
        "top_resembles_class",
        "Enlarged, the upper half has the gradients of the class's upper half.",
        processed_like(seen_in(hog7, top_half)),
    ),
    claim(
        "bottom_resembles_class",
        "Enlarged, the lower half has the gradients of the class's lower half.",
        processed_like(seen_in(hog7, bottom_half)),
    ),
    claim(
        "centre_resembles_class",
        "Enlarged, the middle has the gradients of the class's middle.",
        processed_like(seen_in(hog7, centre)),
    ),
    claim(
        "gist_resembles_class",
        "Coarse layout of directions and wavelengths is that of the class.",
        processed_like(gist),
    ),
    claim(
        "gist_of_figure_resembles_class",
        "The figure alone has the class's layout of directions and wavelengths.",
        processed_like(seen_in(gist, figure)),
    ),
    claim(
        "sift_resembles_class",
        "SIFT descriptors at fixed places are those of the class.",
        processed_like(sift_grid),
    ),
    claim(
        "visual_words_are_those_of_class",
        "It is made of the same SIFT words as the class, in the same parts.",
        processed_like(visual_words),
    ),
    claim(
        "visual_words_of_figure_are_those_of_class",
        "The figure alone is made of the same SIFT words as the class.",
        processed_like(seen_in(visual_words, figure)),
    ),
    claim(
        "patch_words_are_those_of_class",
        "It is made of the same small patches as the class, in the same parts.",
        processed_like(patch_words),
    ),
    claim(
        "patch_words_of_figure_are_those_of_class",
        "The figure alone is made of the same small patches as the class.",
        processed_like(seen_in(patch_words, figure)),
    ),
    claim(
        "texture_resembles_class",
        "Fine texture of each part is that of the class.",
        processed_like(lbp_grid),
    ),
    claim(
        "haar_resembles_class",
        "Whatever the shade, detail at two scales is that of the class.",
        processed_like(seen_in(haar, flattened)),
    ),
    claim(
        "haar_of_figure_resembles_class",
        "The figure alone has the class's detail at two scales.",
        processed_like(seen_in(haar, figure)),
    ),
    claim(
        "thumbnail_of_figure_resembles_class",
        "Reduced to 14x14, the figure covers what the class covers.",
        processed_like(seen_in(thumbnail(14), figure)),
    ),
    claim(
        "random_sums_resemble_class",
        "Random sums of pixels come out as in the class.",
        processed_like(seen_in(random_projections, full_contrast)),
    ),
    claim(
        "alike_pictures_make_it_class",
        "Discrete-continuous ADMM: pictures that look alike share a label.",
        processed_like(transduced),
    ),
    claim(
        "alike_figures_make_it_class",
        "The same by outline, gradients and colors: figures alike share a label.",
        processed_like(figure_transduced),
    ),
    claim(
        "alike_colors_make_it_class",
        "The same by color: what is painted alike shares a label.",
        processed_like(color_transduced),
    ),
    claim(
        "texture_of_figure_resembles_class",
        "The figure alone has the class's fine texture, part by part.",
        processed_like(seen_in(lbp_grid, figure)),
    ),
    claim(
        "sift_of_figure_resembles_class",
        "SIFT descriptors of the figure alone are those of the class.",
        processed_like(seen_in(sift_grid, figure)),
    ),
    # Deep.
    claim(
        "efficientnet_sees_class",
        "A network trained on photographs fires where it fires for the class.",
        looks_like(efficientnet_features),
    ),
    claim(
        "efficientnet_kernels_fire_as_for_class",
        "Each of its kernels fires as strongly as for the class, wherever.",
        looks_like(efficientnet_kernel_norms),
    ),
    claim(
        "efficientnet_sees_texture_of_class",
        "Halfway through the network, its kernels fire as for the class.",
        looks_like(efficientnet_early),
    ),
    claim(
        "alike_to_efficientnet_makes_it_class",
        "Discrete-continuous ADMM: what looks alike to the network shares a label.",
        looks_like(network_transduced),
    ),
]
