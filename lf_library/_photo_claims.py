"""Claims about photographs of any classes, fitted on seed labels."""

from lf_library import rules
from lf_library.rules import claim
from lfkit.features.encoded import encoder_features
from lfkit.features.gist import gist
from lfkit.features.hog import hog

RESEMBLANCES = (
    claim(
        "hog_resembles_class",
        "Gradients point the way they do in the class, cell by cell.",
        rules.resembles(hog(cell=7), kind="image-processing", abstain=0.05),
    ),
    claim(
        "gist_resembles_class",
        "Coarse layout of directions and wavelengths is that of the class.",
        rules.resembles(gist, kind="image-processing", abstain=0.05),
    ),
    claim(
        "efficientnet_sees_class",
        "A network trained on ImageNet sees what it sees in the class.",
        rules.resembles(
            encoder_features("efficientnet-lite1").features, kind="deep", abstain=0.05
        ),
    ),
)
