"""Labeling functions for Fashion-MNIST: clothes on black, 28x28, gray.

Garments are seen from the front and shoes from the side. Functions need about twenty
seed labels per class; each of them alone is right for 30 to 90 % of what it votes on.
"""

import torch

from lf_library.rules import has_norm_of, resembles
from lfkit import ABSTAIN, BestPrecision, Quantile, feature, labeling_function
from lfkit.embeddings.lenet import lenet_features, lenet_kernel_norms
from lfkit.features.color import intensity_histogram
from lfkit.features.compressive import random_projections
from lfkit.features.edges import edge_grid, long_edges
from lfkit.features.gist import gist
from lfkit.features.gray import gray28, silhouette
from lfkit.features.hog import hog
from lfkit.features.shape import (
    asymmetry,
    band_mean,
    band_width,
    bounding_box,
    fill,
    height,
    outline,
    second_moments,
    width,
)
from lfkit.features.texture import lbp_grid
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
T_SHIRT, TROUSER, PULLOVER, DRESS, COAT = 0, 1, 2, 3, 4
SANDAL, SHIRT, SNEAKER, BAG, ANKLE_BOOT = 5, 6, 7, 8, 9

hog4 = hog(cell=4, block=1)
shoulder_width = band_width("shoulder_width", 0.1, 0.3)
waist_width = band_width("waist_width", 0.4, 0.6)
hem_width = band_width("hem_width", 0.6, 0.8)


@feature(batched=True, of=[gray28, bounding_box])
def leg_gap(gray, box):
    """How dark the middle is between two bright sides, in the lower half: (n,)."""
    sides = torch.minimum(gray[:, :, :14].amax(dim=2), gray[:, :, 14:].amax(dim=2))
    depth = (sides - gray[:, :, 11:17].amin(dim=2)).clamp(min=0)  # (n, 28)
    return band_mean(depth, box, 0.5, 1.0)


@feature(batched=True, of=[silhouette, bounding_box])
def sleeve_gaps(mask, box):
    """Share of the lower rows in three pieces, as sleeve, body, sleeve: (n,)."""
    left_ends = (mask[:, :, 1:] > mask[:, :, :-1]).sum(dim=2) + mask[:, :, 0]
    return band_mean((left_ends >= 3).to(mask.dtype), box, 0.5, 0.95)


@feature(batched=True, of=[shoulder_width, hem_width])
def sleeve_flare(shoulders, hem):
    """How much wider the garment is at the shoulders than at the hem: (n,)."""
    return shoulders - hem


@feature(batched=True, of=[silhouette])
def shaft(mask):
    """How much higher one side of the object stands than the other: (n,)."""
    reach = torch.cummax(mask, dim=1).values.sum(dim=1)  # (n, 28) from top to floor
    return (reach[:, :9].mean(dim=1) - reach[:, 19:].mean(dim=1)).abs() / 28


@feature(batched=True, of=[gray28, bounding_box])
def collar(gray, box):
    """How much brighter the middle of the top is than the sides beside it: (n,)."""
    beside = torch.minimum(gray[:, :, 6:10].amax(dim=2), gray[:, :, 18:22].amax(dim=2))
    return band_mean(gray[:, :, 12:16].mean(dim=2) - beside, box, 0.0, 0.15)


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
def slim_in_one_piece_is_dress(depth, hem, high, *, gap=0.25, slim=0.45, tall=0.95):
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
    rises, hem, uneven, *, stands_up=0.4, broad=0.55, lopsided=0.2
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
def airy_and_lopsided_is_sandal(filled, uneven, *, airy=0.5, lopsided=0.3):
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
def low_and_solid_is_sneaker(high, filled, *, low=0.5, solid=0.5):
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
def broad_and_even_is_bag(waist, uneven, *, broad=0.85, lopsided=0.25):
    """As broad as the image in the middle, and alike on both sides."""
    return torch.where((waist > broad) & (uneven <= lopsided), BAG, ABSTAIN)


@resembles(intensity_histogram, kind="heuristic")
def histogram_resembles_class(histogram, *, rule):
    """As bright, and as much of each shade, as the class."""
    return rule(histogram)


@resembles(second_moments, kind="heuristic")
def spread_resembles_class(moments, *, rule):
    """As tall, as broad and as slanted as the class."""
    return rule(moments)


@resembles(outline, kind="heuristic")
def outline_resembles_class(profiles, *, rule):
    """Silhouettes of the class are cut like this."""
    return rule(profiles)


@resembles(edge_grid, kind="heuristic")
def edges_are_where_class_has_them(strength, *, rule):
    """Edges lie where they lie in the class."""
    return rule(strength)


@resembles(long_edges, kind="heuristic")
def long_edges_are_where_class_has_them(strength, *, rule):
    """Long straight edges, upright and lying, lie where they lie in the class."""
    return rule(strength)


@resembles(hog4, kind="image-processing")
def hog_resembles_class(gradients, *, rule):
    """Gradients point the way they do in the class, cell by cell."""
    return rule(gradients)


@has_norm_of(hog4, kind="image-processing")
def hog_norm_is_nearest(gradients, *, rule):
    """ADP's printed rule: the length of the HOG vector is the class's mean length."""
    return rule(gradients)


@resembles(gist, kind="image-processing")
def gist_resembles_class(energies, *, rule):
    """Coarse layout of directions and wavelengths is that of the class."""
    return rule(energies)


@resembles(lbp_grid, kind="image-processing")
def texture_resembles_class(patterns, *, rule):
    """Fine texture of each part is that of the class."""
    return rule(patterns)


@resembles(haar, kind="image-processing")
def haar_resembles_class(coefficients, *, rule):
    """Brightness and detail at two scales are those of the class."""
    return rule(coefficients)


@resembles(random_projections, kind="image-processing")
def random_sums_resemble_class(sums, *, rule):
    """Random sums of pixels come out as in the class."""
    return rule(sums)


@resembles(lenet_features, kind="deep")
def lenet_sees_class(activations, *, rule):
    """LeNet, trained on the seeds, fires where it fires for the class."""
    return rule(activations)


@resembles(lenet_kernel_norms, kind="deep")
def lenet_kernels_fire_as_for_class(norms, *, rule):
    """Each kernel of LeNet fires as strongly as for the class, wherever."""
    return rule(norms)


LFS = [
    leg_gap_is_trouser,
    slim_in_one_piece_is_dress,
    short_sleeves_is_t_shirt,
    hanging_sleeves_is_pullover_coat_or_shirt,
    collar_over_broad_body_is_coat,
    airy_and_lopsided_is_sandal,
    low_and_solid_is_sneaker,
    shaft_on_one_side_is_ankle_boot,
    broad_and_even_is_bag,
    histogram_resembles_class,
    spread_resembles_class,
    outline_resembles_class,
    edges_are_where_class_has_them,
    long_edges_are_where_class_has_them,
    hog_resembles_class,
    hog_norm_is_nearest,
    gist_resembles_class,
    texture_resembles_class,
    haar_resembles_class,
    random_sums_resemble_class,
    lenet_sees_class,
    lenet_kernels_fire_as_for_class,
]
