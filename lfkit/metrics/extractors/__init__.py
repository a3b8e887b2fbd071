"""Feature extractors: by whose eyes images are compared."""

from lfkit.metrics.extractors.domain import DomainClassifier as DomainClassifier
from lfkit.metrics.extractors.efficientnet import EfficientNetLite0 as EfficientNetLite0
from lfkit.metrics.extractors.extractor import Extractor as Extractor
from lfkit.metrics.extractors.inception import InceptionV3 as InceptionV3

# What the user may ask for; a domain classifier fitted to weak labels is named apart.
EXTRACTORS: dict[str, type[Extractor]] = {
    "efficientnet-lite0": EfficientNetLite0,
    "inception": InceptionV3,
    "domain": DomainClassifier,
}
