"""Features: numbers that many labeling functions read.

Import one from its file (`from lfkit.features.edges import edge_density`), or take it
by its name: `FEATURES["edge_density"]`. Importing this package loads no torch.
"""

from lfkit.features.feature import Feature as Feature
from lfkit.features.feature_table import FeatureTable

# Each file of features, and the features in it. A name may also be a function whose
# arguments all have defaults, such as `hog`: the table then holds `hog()`.
FEATURES = FeatureTable(
    {
        "blobs": "blob_responses blob_peaks blob_scale_counts blob_count "
        "bright_blob_count dark_blob_count largest_blob_scale blob_grid",
        "canny": "smoothed_sobel canny_edges canny_density canny_grid "
        "edge_orientation_histogram",
        "color": "intensity_histogram color_histogram rgb64 hsv64 hsv_histogram "
        "coarse_colors distinct_colors dominant_color_share color_moments colorfulness "
        "color_grid border_color border_uniformity background_share warm_share "
        "green_share blue_share skin_share dark_share white_share",
        "compressive": "random_projections sparse_residuals subspace_residuals",
        "corners": "corner_strength corner_count corner_grid skeleton line_ends "
        "stroke_width crossing_counts",
        "edges": "sobel edge_strength edge_density edge_grid long_edges",
        "gist": "gist",
        "gray": "gray28 ink silhouette",
        "hog": "hog",
        "image_parts": "top_half bottom_half left_half right_half centre "
        "full_contrast flattened",
        "imagenet": "efficientnet_early_maps efficientnet_maps efficientnet_early "
        "efficientnet_features efficientnet_kernel_norms",
        "lenet": "lenet_maps lenet_features lenet_kernel_norms",
        "moments": "hu_moments radial_profile row_profile column_profile "
        "top_bottom_asymmetry point_asymmetry elongation orientation_angle convexity",
        "patchmatch": "patchmatch_distances window_patch_distances",
        "shape": "bounding_box height width aspect fill asymmetry centre_of_mass "
        "second_moments outline",
        "sift": "sift_descriptors sift_grid",
        "textons": "texton_responses texton_map texton_histogram texton_grid",
        "texture": "lbp_codes lbp_grid",
        "thumbnail": "thumbnail",
        "topology": "component_count hole_sizes hole_count hole_diameter stem_count",
        "visual_words": "visual_words patch_words",
        "wavelets": "haar",
    }
)
