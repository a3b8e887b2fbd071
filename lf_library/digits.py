"""Labeling functions for handwritten digits: bright strokes on black, gray, 8x8 and up.

All is measured at 28x28, so that scikit-learn's 8x8 digits work like MNIST's. Functions
that learn need about twenty seed labels per class. By the kinds of the ADP paper's
tables 1 and 3 (Pal & Balasubramanian, CVPR 2018): at least 43 heuristics, 10 by image
processing, 1 deep.
"""

from lf_library._digit_claims import (
    CLAIMS,
    blobs_tell_digit,
    loop_height,
    open_on_the_left_is_three,
    stems_tell_digit,
    two_holes_is_eight,
    widths,
)
from lf_library._digit_features import (
    bars,
    bottom_contour,
    dot_matrix,
    enclosed_above_and_below,
    ends_by_quarter,
    junction_count,
    left_bays,
    left_contour,
    open_above,
    posts,
    quadrants,
    right_bays,
    right_contour,
    segments,
    top_contour,
    upright,
    widest_row,
)
from lf_library.rules import (
    claim,
    claims,
    counts_like,
    has_norm_of,
    measures_like,
    resembles,
    tells_apart,
    tells_apart_by_mean,
)
from lfkit.features.blobs import blob_grid
from lfkit.features.canny import edge_orientation_histogram
from lfkit.features.color import intensity_histogram
from lfkit.features.compressive import sparse_residuals
from lfkit.features.corners import (
    corner_grid,
    crossing_counts,
    line_ends,
    stroke_width,
)
from lfkit.features.edges import edge_grid, long_edges
from lfkit.features.gist import gist
from lfkit.features.hog import hog
from lfkit.features.image_parts import seen_in
from lfkit.features.label_propagation import transductive
from lfkit.features.lenet import lenet_features, lenet_kernel_norms
from lfkit.features.moments import (
    column_profile,
    hu_moments,
    orientation_angle,
    point_asymmetry,
    radial_profile,
    row_profile,
    top_bottom_asymmetry,
)
from lfkit.features.shape import (
    asymmetry,
    bounding_box,
    centre_of_mass,
    outline,
    second_moments,
)
from lfkit.features.sift import sift_grid
from lfkit.features.textons import texton_grid
from lfkit.features.texture import lbp_grid
from lfkit.features.topology import hole_count
from lfkit.features.visual_words import patch_words, visual_words
from lfkit.features.wavelets import haar

__all__ = ["blobs_tell_digit", "stems_tell_digit", "two_holes_is_eight"]

CLASSES = tuple("0123456789")
DATA = "digits"

hog4 = hog(cell=4, block=1)
transduced = transductive(patch_words, sift_grid, gist, hog4, name="transduced")

LFS = [
    *CLAIMS,
    open_on_the_left_is_three,
    claim(
        "histogram_resembles_class",
        "As much ink, and as many half-tones, as the class.",
        resembles(intensity_histogram, kind="heuristic"),
    ),
    claim(
        "spread_resembles_class",
        "As tall, as broad and as slanted as the class.",
        measures_like(second_moments),
    ),
    claim(
        "outline_resembles_class",
        "Widths, heights and contours run as in the class.",
        resembles(outline, kind="heuristic"),
    ),
    claim(
        "edges_are_where_class_has_them",
        "Edges lie where they lie in the class.",
        resembles(edge_grid, kind="heuristic"),
    ),
    claim(
        "long_edges_are_where_class_has_them",
        "Long straight edges, upright and lying, lie where they lie in the class.",
        resembles(long_edges, kind="heuristic"),
    ),
    claim(
        "edges_point_as_in_class",
        "Edges point the way those of the class do, wherever they are.",
        measures_like(edge_orientation_histogram),
    ),
    claim(
        "bays_on_the_left_are_those_of_class",
        "Threes open to the left twice, fives below, sevens hardly.",
        measures_like(left_bays),
    ),
    claim(
        "bays_on_the_right_are_those_of_class",
        "Sixes open to the right above, twos below.",
        measures_like(right_bays),
    ),
    claim(
        "open_above_is_four",
        "Open above, with ink on the three other sides, makes a four.",
        claims(open_above, [4]),
    ),
    claim(
        "enclosed_ground_is_that_of_class",
        "Nines enclose ground above, sixes below, eights both.",
        measures_like(enclosed_above_and_below),
    ),
    claim(
        "loops_lie_as_high_as_in_class",
        "Loops of nines lie high, those of sixes low.",
        measures_like(loop_height),
    ),
    claim(
        "holes_are_as_many_as_in_class",
        "Eights have two holes, zeros, sixes and nines one, ones none.",
        counts_like(hole_count, most=2),
    ),
    claim(
        "loose_ends_are_as_many_as_in_class",
        "Zeros and eights have no loose ends, threes have three.",
        counts_like(line_ends, most=6),
    ),
    claim(
        "loose_ends_lie_where_class_has_them",
        "Sixes end above, nines below, twos at the lower right.",
        measures_like(ends_by_quarter),
    ),
    claim(
        "strokes_meet_as_often_as_in_class",
        "Strokes of fours and eights cross, those of zeros never meet.",
        counts_like(junction_count, most=8),
    ),
    claim(
        "display_lights_up_as_for_class",
        "Drawn on a seven-segment display, the class lights these segments.",
        measures_like(segments),
    ),
    claim(
        "dots_are_set_as_in_class",
        "On a printer of five by seven dots it is set like the class.",
        resembles(dot_matrix, kind="heuristic"),
    ),
    claim(
        "left_contour_runs_as_in_class",
        "From the left it is as far to the ink, band by band, as in the class.",
        measures_like(left_contour),
    ),
    claim(
        "right_contour_runs_as_in_class",
        "From the right it is as far to the ink, band by band, as in the class.",
        measures_like(right_contour),
    ),
    claim(
        "top_contour_runs_as_in_class",
        "From the top it is as far to the ink, band by band, as in the class.",
        measures_like(top_contour),
    ),
    claim(
        "bottom_contour_runs_as_in_class",
        "From the bottom it is as far to the ink, band by band, as in the class.",
        measures_like(bottom_contour),
    ),
    claim(
        "bars_lie_where_class_has_them",
        "Sevens and fives have a bar above, fours in the middle, twos below.",
        measures_like(bars),
    ),
    claim(
        "posts_stand_where_class_has_them",
        "Ones stand in the middle, fours and nines at the right.",
        measures_like(posts),
    ),
    claim(
        "widest_part_lies_as_high_as_in_class",
        "Sevens and nines are widest above, twos and sixes below.",
        measures_like(widest_row),
    ),
    claim(
        "widths_run_as_in_class",
        "Top, middle and base are as wide as those of the class.",
        measures_like(widths),
    ),
    claim(
        "ink_lies_in_quarters_as_in_class",
        "Its ink is shared by the four quarters as in the class.",
        measures_like(quadrants),
    ),
    claim(
        "centre_is_that_of_class",
        "It balances where the class balances.",
        measures_like(centre_of_mass),
    ),
    claim(
        "box_lies_where_class_lies",
        "The smallest box around it lies where the boxes of the class lie.",
        measures_like(bounding_box),
    ),
    claim(
        "halves_differ_as_in_class",
        "Zeros and eights look alike in a mirror, sevens do not.",
        measures_like(asymmetry),
    ),
    claim(
        "top_and_bottom_differ_as_in_class",
        "Threes and eights look alike upside down, sevens do not.",
        measures_like(top_bottom_asymmetry),
    ),
    claim(
        "turned_over_it_differs_as_class_does",
        "Zeros, ones and eights look alike after half a turn.",
        measures_like(point_asymmetry),
    ),
    claim(
        "moments_are_those_of_class",
        "Hu's moments, whatever place and size, are those of the class.",
        measures_like(hu_moments),
    ),
    claim(
        "leans_as_class_leans",
        "Its long axis leans as that of the class.",
        measures_like(orientation_angle),
    ),
    claim(
        "rings_are_as_dark_as_in_class",
        "Zeros are empty around their centre, ones are not.",
        measures_like(radial_profile),
    ),
    claim(
        "stroke_is_as_thick_as_in_class",
        "Strokes of the class are as thick as these.",
        measures_like(stroke_width),
    ),
    claim(
        "lines_cross_it_as_often_as_class",
        "A line across it meets the ink as often as in the class.",
        resembles(crossing_counts, kind="heuristic"),
    ),
    claim(
        "rows_are_as_dark_as_in_class",
        "Row by row it holds as much ink as the class.",
        resembles(row_profile, kind="heuristic"),
    ),
    claim(
        "columns_are_as_dark_as_in_class",
        "Column by column it holds as much ink as the class.",
        resembles(column_profile, kind="heuristic"),
    ),
    claim(
        "blobs_are_where_class_has_them",
        "Bright and dark blobs lie where they lie in the class.",
        resembles(blob_grid, kind="heuristic"),
    ),
    claim(
        "corners_are_where_class_has_them",
        "Corners lie where they lie in the class.",
        resembles(corner_grid, kind="heuristic"),
    ),
    claim(
        "left_bays_tell_three_from_eight",
        "Of the two, the one that opens to the left is the three.",
        tells_apart(left_bays, [3, 8], among=gist),
    ),
    claim(
        "top_tells_four_from_nine",
        "Of the two, the one that is open above is the four.",
        tells_apart(top_contour, [4, 9], among=gist),
    ),
    claim(
        "bar_tells_seven_from_one",
        "Of the two, the one with a bar above is the seven.",
        tells_apart(bars, [1, 7], among=gist),
    ),
    claim(
        "left_side_tells_six_from_five",
        "Of the two, the one whose left side is closed below is the six.",
        tells_apart(left_contour, [5, 6], among=gist),
    ),
    claim(
        "segments_tell_five_from_three",
        "Of the two, the one with ink at the upper left is the five.",
        tells_apart(segments, [3, 5], among=gist),
    ),
    claim(
        "right_side_tells_two_from_three",
        "Of the two, the one that draws back at the lower right is the two.",
        tells_apart(right_contour, [2, 3], among=gist),
    ),
    claim(
        "loop_side_tells_nine_from_seven",
        "Of the two, the one with ink at the left, above its foot, is the nine.",
        tells_apart(bottom_contour, [7, 9], among=hog4),
    ),
    claim(
        "dots_tell_one_from_eight",
        "Of the two, the one without ink at its sides is the one.",
        tells_apart_by_mean(dot_matrix, [1, 8], among=hog4),
    ),
    claim(
        "hog_resembles_class",
        "Gradients point the way they do in the class, cell by cell.",
        resembles(hog4, kind="image-processing", abstain=0.05),
    ),
    claim(
        "hog_norm_is_nearest",
        "ADP's printed rule: the length of the HOG vector is the class's mean length.",
        has_norm_of(hog4, kind="image-processing"),
    ),
    claim(
        "upright_hog_resembles_class",
        "Set upright, its gradients point the way they do in the class.",
        resembles(seen_in(hog4, upright), kind="image-processing", abstain=0.05),
    ),
    claim(
        "gist_resembles_class",
        "Strokes run in the directions, and in the places, of the class.",
        resembles(gist, kind="image-processing", abstain=0.05),
    ),
    claim(
        "texture_resembles_class",
        "Corners, ends and edges lie where they lie in the class.",
        resembles(lbp_grid, kind="image-processing", abstain=0.05),
    ),
    claim(
        "haar_resembles_class",
        "Brightness and detail at two scales are those of the class.",
        resembles(haar, kind="image-processing", abstain=0.05),
    ),
    claim(
        "sift_resembles_class",
        "SIFT descriptors at fixed places are those of the class.",
        resembles(sift_grid, kind="image-processing", abstain=0.05),
    ),
    claim(
        "visual_words_are_those_of_class",
        "It is made of the same SIFT words as the class, in the same parts.",
        resembles(visual_words, kind="image-processing", abstain=0.05),
    ),
    claim(
        "patch_words_are_those_of_class",
        "It is made of the same small patches as the class, in the same parts.",
        resembles(patch_words, kind="image-processing", abstain=0.05),
    ),
    claim(
        "textons_resemble_class",
        "Each part is drawn in the textons that the class is drawn in.",
        resembles(texton_grid, kind="image-processing", abstain=0.05),
    ),
    claim(
        "few_seeds_of_class_explain_it",
        "A few seeds of the class, added up, leave the least of it unexplained.",
        resembles(sparse_residuals, kind="image-processing", abstain=0.05),
    ),
    claim(
        "alike_images_make_it_class",
        "Discrete-continuous ADMM: images that look alike share a label.",
        resembles(transduced, kind="image-processing", abstain=0.05),
    ),
    claim(
        "lenet_sees_class",
        "LeNet, trained on the seeds, fires where it fires for the class.",
        resembles(lenet_features, kind="deep", abstain=0.05),
    ),
    claim(
        "lenet_kernels_fire_as_for_class",
        "Each kernel of LeNet fires as strongly as for the class, wherever.",
        resembles(lenet_kernel_norms, kind="deep", abstain=0.05),
    ),
]
