"""Labeling functions for Fashion-MNIST: clothes on black, 28x28, gray.

Garments are seen from the front and shoes from the side. Those in `WITHOUT_SEEDS` have
fixed numbers, read off fifty images of each class; the others need about twenty seed
labels per class. By the kinds of the ADP paper's tables 2 and 3 (Pal &
Balasubramanian, CVPR 2018): at least 50 heuristics, 6 by image processing, 1 deep.
"""

from lf_library._fashion_claims import (
    ANKLE_BOOT,
    CLAIMS,
    COAT,
    DRESS,
    PULLOVER,
    SANDAL,
    SHIRT,
    SNEAKER,
    T_SHIRT,
    TROUSER,
)
from lf_library._fashion_features import (
    arch,
    collar,
    flat_bottom,
    flat_top,
    front_opening,
    gaps,
    handle_gap,
    hem_width,
    inside,
    leg_gap,
    neck,
    outer_ink,
    outline_asymmetry,
    pieces_by_quarter,
    shade,
    shading_across,
    shading_down,
    shaft,
    sleeve_flare,
    sole,
    straight_sides,
    stripes,
    top_line,
    top_width,
    waist_width,
    weave,
    widest_row,
    widths,
)
from lf_library._fashion_garments import GARMENTS
from lf_library._fashion_shoes import SHOES_AND_BAGS
from lf_library.rules import (
    claim,
    has_norm_of,
    measures_like,
    resembles,
    tells_apart,
    tells_apart_by_mean,
)
from lfkit.features.blobs import blob_grid, blob_scale_counts
from lfkit.features.canny import canny_grid, edge_orientation_histogram
from lfkit.features.color import intensity_histogram
from lfkit.features.compressive import random_projections, sparse_residuals
from lfkit.features.corners import corner_grid
from lfkit.features.edges import long_edges
from lfkit.features.gist import gist
from lfkit.features.hog import hog
from lfkit.features.image_parts import bottom_half, centre, flattened, seen_in, top_half
from lfkit.features.label_propagation import transductive
from lfkit.features.lenet import lenet_features, lenet_kernel_norms
from lfkit.features.moments import (
    hu_moments,
    orientation_angle,
    point_asymmetry,
    radial_profile,
    row_profile,
    top_bottom_asymmetry,
)
from lfkit.features.patchmatch import patchmatch_distances
from lfkit.features.shape import (
    aspect,
    asymmetry,
    bounding_box,
    centre_of_mass,
    fill,
    outline,
    second_moments,
)
from lfkit.features.sift import sift_grid
from lfkit.features.textons import texton_grid
from lfkit.features.texture import lbp_grid
from lfkit.features.thumbnail import thumbnail
from lfkit.features.visual_words import patch_words, visual_words
from lfkit.features.wavelets import haar

DATA = "fashion-mnist"
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

hog4 = hog(cell=4, block=1)
thumbnail14 = thumbnail(14)
transduced = transductive(patch_words, sift_grid, gist, hog4, name="transduced")
shape_transduced = transductive(outline, canny_grid, haar, name="shape_transduced")

WITHOUT_SEEDS = [*CLAIMS, *GARMENTS, *SHOES_AND_BAGS]

LFS = [
    *WITHOUT_SEEDS,
    claim(
        "breadth_to_height_is_that_of_class",
        "Trousers are narrow, shoes broad, for their height.",
        measures_like(aspect),
    ),
    claim(
        "box_lies_where_class_lies",
        "The smallest box around it lies where the class's boxes lie.",
        measures_like(bounding_box),
    ),
    claim(
        "box_is_filled_as_by_class",
        "Bags fill their box, sandals do not.",
        measures_like(fill),
    ),
    claim(
        "widths_run_as_in_class",
        "From shoulder to hem it is as broad as the class is.",
        measures_like(widths),
    ),
    claim(
        "waist_is_as_broad_as_class",
        "Bags are broad in the middle, trousers and dresses slim.",
        measures_like(waist_width),
    ),
    claim(
        "shoulders_flare_as_in_class",
        "Short sleeves make shoulders broader than the hem; long ones do not.",
        measures_like(sleeve_flare),
    ),
    claim(
        "outline_splits_as_in_class",
        "Legs, sleeves and straps split rows and columns into pieces.",
        measures_like(pieces_by_quarter),
    ),
    claim(
        "sleeves_reach_as_far_as_in_class",
        "What lies far out, and how far down, is what sleeves of the class do.",
        measures_like(outer_ink),
    ),
    claim(
        "top_runs_as_in_class",
        "Seen from above, shoulders and shoe shafts run as in the class.",
        measures_like(top_line),
    ),
    claim(
        "neck_is_cut_as_in_class",
        "Necks of T-shirts are cut deeper than collars of coats.",
        measures_like(neck),
    ),
    claim(
        "collar_rises_as_in_class",
        "Between dark corners the middle of the top is as bright as in the class.",
        measures_like(collar),
    ),
    claim(
        "front_opens_as_in_class",
        "Coats have an edge down the middle, pullovers none.",
        measures_like(front_opening),
    ),
    claim(
        "stripes_lie_as_in_class",
        "Edges inside lie or stand as they do in the class.",
        measures_like(stripes),
    ),
    claim(
        "fabric_is_as_lively_as_class",
        "Inside the outline there is as much going on as in the class.",
        measures_like(weave),
    ),
    claim(
        "cloth_is_as_bright_and_even_as_class",
        "Cloth of the class is as bright, and as even, as this.",
        measures_like(shade),
    ),
    claim(
        "brightness_falls_as_in_class",
        "From top to bottom it grows lighter or darker as the class does.",
        measures_like(shading_down),
    ),
    claim(
        "brightness_crosses_as_in_class",
        "From left to right it grows lighter or darker as the class does.",
        measures_like(shading_across),
    ),
    claim(
        "sole_stands_out_as_in_class",
        "Soles are brighter or darker than what is above them.",
        measures_like(sole),
    ),
    claim(
        "stands_as_flat_as_class",
        "Shoes and bags stand flat, garments hang.",
        measures_like(flat_bottom),
    ),
    claim(
        "top_is_as_flat_as_in_class",
        "Waistbands and bags are flat on top.",
        measures_like(flat_top),
    ),
    claim(
        "arch_is_that_of_class",
        "Heels and legs leave a gap beneath the middle.",
        measures_like(arch),
    ),
    claim(
        "one_side_rises_as_in_class",
        "Boots rise on one side, sneakers less, garments on none.",
        measures_like(shaft),
    ),
    claim(
        "holes_are_as_large_as_in_class",
        "Straps, handles and legs enclose as much ground as in the class.",
        measures_like(gaps),
    ),
    claim(
        "gap_under_handle_is_that_of_class",
        "Ground under the highest part is what handles and straps leave.",
        measures_like(handle_gap),
    ),
    claim(
        "sides_differ_as_in_class",
        "Shoes differ from side to side, garments do not.",
        measures_like(outline_asymmetry),
    ),
    claim(
        "halves_differ_as_in_class",
        "Left and right half are as unlike in brightness as in the class.",
        measures_like(asymmetry),
    ),
    claim(
        "top_and_bottom_differ_as_in_class",
        "Upper and lower half are as unlike as in the class.",
        measures_like(top_bottom_asymmetry),
    ),
    claim(
        "turned_over_it_differs_as_class_does",
        "Turned by half a turn it is as unlike itself as the class is.",
        measures_like(point_asymmetry),
    ),
    claim(
        "weight_lies_as_high_as_in_class",
        "Its middle and its widest rows lie as high as in the class.",
        measures_like(widest_row),
    ),
    claim(
        "sides_run_as_straight_as_in_class",
        "Coats hang straight, dresses and shoes do not.",
        measures_like(straight_sides),
    ),
    claim(
        "centre_is_that_of_class",
        "Its brightness balances where that of the class does.",
        measures_like(centre_of_mass),
    ),
    claim(
        "spread_is_that_of_class",
        "As tall, as broad and as slanted as the class.",
        measures_like(second_moments),
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
        "rings_are_as_bright_as_in_class",
        "Around its centre it fades as the class fades.",
        measures_like(radial_profile),
    ),
    claim(
        "edges_point_as_in_class",
        "Its edges point the way those of the class do, wherever they are.",
        measures_like(edge_orientation_histogram),
    ),
    claim(
        "blobs_are_as_many_as_in_class",
        "It has as many bright and dark blobs of each size as the class.",
        measures_like(blob_scale_counts),
    ),
    claim(
        "histogram_resembles_class",
        "As bright, and as much of each shade, as the class.",
        resembles(intensity_histogram, kind="heuristic"),
    ),
    claim(
        "outline_resembles_class",
        "Silhouettes of the class are cut like this.",
        resembles(outline, kind="heuristic"),
    ),
    claim(
        "rows_are_as_bright_as_in_class",
        "Row by row it is as bright as the class.",
        resembles(row_profile, kind="heuristic"),
    ),
    claim(
        "long_edges_are_where_class_has_them",
        "Long straight edges, upright and lying, lie where they lie in the class.",
        resembles(long_edges, kind="heuristic"),
    ),
    claim(
        "edges_are_where_class_has_them",
        "Canny edges lie where they lie in the class.",
        resembles(canny_grid, kind="heuristic"),
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
        "textons_resemble_class",
        "Each part is woven of the textons that the class is woven of.",
        resembles(texton_grid, kind="heuristic"),
    ),
    claim(
        "patches_are_found_in_class",
        "PatchMatch finds its patches again in images of the class.",
        resembles(patchmatch_distances, kind="heuristic"),
    ),
    claim(
        "sleeve_length_tells_t_shirt_from_shirt",
        "Of the two, the one with short sleeves is the T-shirt.",
        tells_apart(outer_ink, [T_SHIRT, SHIRT], among=gist),
    ),
    claim(
        "collar_width_tells_pullover_from_coat",
        "Of the two, the one with a narrow collar is the coat.",
        tells_apart(top_width, [PULLOVER, COAT], among=gist),
    ),
    claim(
        "front_edge_tells_coat_from_pullover",
        "Of the two, the one with an edge down the front is the coat.",
        tells_apart(front_opening, [PULLOVER, COAT], among=outline),
    ),
    claim(
        "pattern_tells_coat_from_shirt",
        "Of the two, shirts are lighter and coats run evenly to the hem.",
        tells_apart_by_mean(thumbnail14, [COAT, SHIRT], among=gist),
    ),
    claim(
        "hem_tells_pullover_from_shirt",
        "Of the two, the one that is gathered at the hem is the pullover.",
        tells_apart_by_mean(seen_in(hog4, bottom_half), [PULLOVER, SHIRT], among=gist),
    ),
    claim(
        "leg_gap_tells_trouser_from_dress",
        "Of the two, the one cut into legs is the trouser.",
        tells_apart(leg_gap, [TROUSER, DRESS], among=outline),
    ),
    claim(
        "hem_tells_dress_from_coat",
        "Of the two, the slim one is the dress.",
        tells_apart(hem_width, [DRESS, COAT], among=gist),
    ),
    claim(
        "widths_tell_dress_from_t_shirt",
        "Of the two, the one that is slim all the way down is the dress.",
        tells_apart(widths, [T_SHIRT, DRESS], among=gist),
    ),
    claim(
        "shaft_tells_boot_from_sneaker",
        "Of the two, the one that rises on one side is the boot.",
        tells_apart(shaft, [SNEAKER, ANKLE_BOOT], among=outline),
    ),
    claim(
        "straps_tell_sandal_from_sneaker",
        "Of the two, the one in many pieces is the sandal.",
        tells_apart(pieces_by_quarter, [SANDAL, SNEAKER], among=gist),
    ),
    claim(
        "body_tells_boot_from_sandal",
        "Of the two, the one with a closed body is the boot.",
        tells_apart_by_mean(inside, [SANDAL, ANKLE_BOOT], among=outline),
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
        "gist_resembles_class",
        "Coarse layout of directions and wavelengths is that of the class.",
        resembles(gist, kind="image-processing", abstain=0.05),
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
        "texture_resembles_class",
        "Fine texture of each part is that of the class.",
        resembles(lbp_grid, kind="image-processing", abstain=0.05),
    ),
    claim(
        "haar_resembles_class",
        "Whatever the shade, detail at two scales is that of the class.",
        resembles(seen_in(haar, flattened), kind="image-processing", abstain=0.05),
    ),
    claim(
        "centre_resembles_class",
        "Enlarged, the middle has the gradients of the class's middle.",
        resembles(seen_in(hog4, centre), kind="image-processing", abstain=0.05),
    ),
    claim(
        "top_resembles_class",
        "Enlarged, the upper half has the gradients of the class's upper half.",
        resembles(seen_in(hog4, top_half), kind="image-processing", abstain=0.05),
    ),
    claim(
        "bottom_resembles_class",
        "Enlarged, the lower half has the gradients of the class's lower half.",
        resembles(seen_in(hog4, bottom_half), kind="image-processing", abstain=0.05),
    ),
    claim(
        "random_sums_resemble_class",
        "Random sums of pixels come out as in the class.",
        resembles(random_projections, kind="image-processing", abstain=0.05),
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
        "alike_outlines_make_it_class",
        "The same by outline, edges and waves: what is shaped alike shares a label.",
        resembles(shape_transduced, kind="image-processing", abstain=0.05),
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
