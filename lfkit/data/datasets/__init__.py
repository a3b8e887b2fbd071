"""Open images: named data sets and file formats.

Everything enters by `open_images`; arrays already in memory by `ArraySource`.
"""

from lfkit.data.datasets.array_source import ArraySource as ArraySource
from lfkit.data.datasets.catalog import DATASETS as DATASETS
from lfkit.data.datasets.catalog import FORMATS as FORMATS
from lfkit.data.datasets.catalog import open_images as open_images
from lfkit.data.datasets.fashion_mnist import (
    download_fashion_mnist as download_fashion_mnist,
)
from lfkit.data.datasets.image_files import FileSource as FileSource
