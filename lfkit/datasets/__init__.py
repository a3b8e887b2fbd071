"""Open images: named data sets and file formats.

Everything enters by `open_images`; arrays already in memory by `ArraySource`.
"""

from lfkit.datasets.array import ArraySource as ArraySource
from lfkit.datasets.catalog import DATASETS as DATASETS
from lfkit.datasets.catalog import FORMATS as FORMATS
from lfkit.datasets.catalog import open_images as open_images
from lfkit.datasets.fashion_mnist import (
    download_fashion_mnist as download_fashion_mnist,
)
from lfkit.datasets.files import FileSource as FileSource
