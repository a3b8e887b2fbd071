"""What it costs to score generated images: time and memory, by their number.

    python -m benchmarks.metrics [--sizes 10000,50000] [--steps 2500]

Prints Markdown. The images are noise of 28x28 pixels around Fashion-MNIST's, made as
they are read; they are scored beside Fashion-MNIST's test images with a domain
classifier, by each metric that looks at images alone. Metrics that use the same
features share one pass, which is counted apart.
"""

import argparse
import threading
import time

import numpy as np
import psutil

from benchmarks.common import machine, markdown, timed
from lfkit.data.datasets import ArraySource, open_images
from lfkit.data.image_source import ReadImages
from lfkit.metrics import METRICS, ImageSet, MetricContext
from lfkit.metrics.extractors import DomainClassifier
from lfkit.metrics.feature_statistics import extracted

NAMES = ("fid", "kid", "inception-score", "prdc", "parzen")
_N_CLASSES = 10


class Noisy(ArraySource):
    """As many images as one asks for, made as they are read: real ones and noise."""

    def __init__(self, real, n):
        self._n_real = len(real)
        super().__init__(real.read(np.arange(len(real))).pixels)
        self._n = n

    def __len__(self):
        return self._n

    def read(self, rows):
        """Add to each image noise of its own."""
        read = super().read(rows % self._n_real)
        # One generator for some images in a row: a generator each would be the time.
        rng = np.random.default_rng([int(rows[0]), len(rows)])
        noise = rng.integers(-40, 41, read.pixels.shape, np.int16)
        pixels = (read.pixels + noise).clip(0, 255).astype(np.uint8)
        return ReadImages(pixels, read.problems)


class PeakMemory:
    """Watch this process's memory, in MB beyond what it had at first."""

    def __enter__(self):
        self._process, self._done = psutil.Process(), threading.Event()
        self._first = self.most = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()

    def _watch(self):
        while not self._done.wait(0.02):
            self.most = max(self.most, self._process.memory_info().rss)

    @property
    def growth_mb(self):
        """How much the memory grew at most."""
        return (self.most - self._first) / 2**20


def measure(real, real_set, extractor, n):
    """Score n images: seconds of each part, megabytes, scores."""
    proba = np.eye(_N_CLASSES)[np.asarray(real.labels)[np.arange(n) % len(real)]]
    generated = ImageSet(Noisy(real, n), proba, name=f"{n} noisy images")
    tools = MetricContext(extractor)
    seconds, scores = {}, []
    with PeakMemory() as memory:
        start = time.perf_counter()
        _, seconds["features"] = timed(lambda: extracted(generated, tools))
        for name in NAMES:
            metric = METRICS[name]()
            found, seconds[name] = timed(
                lambda metric=metric: metric.score(generated, real_set, tools)
            )
            scores += found
        seconds["all"] = time.perf_counter() - start
    return seconds, memory.growth_mb, scores


def main(arguments=None):
    """Print what the options ask for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="10000,50000", help="images to score")
    parser.add_argument("--steps", type=int, default=2500, help="of the classifier")
    parser.add_argument(
        "--real", default="fashion-mnist", help="it is trained on these"
    )
    parser.add_argument("--against", default="fashion-mnist:test", help="real images")
    options = parser.parse_args(arguments)
    train, test = open_images(options.real), open_images(options.against)
    extractor = DomainClassifier(n_steps=options.steps)
    known = np.eye(_N_CLASSES)[train.labels]
    _, fitting = timed(lambda: extractor.fit(train, known))
    right = extractor.predict_proba(test.read(np.arange(len(test))).pixels)
    accuracy = (right.argmax(axis=1) == test.labels).mean()
    print(f"{machine()}\n")
    print(
        f"{extractor.title}: trained in {fitting:.0f} s on {len(train):,} images, "
        f"knows {100 * accuracy:.1f} % of {len(test):,} others.\n"
    )
    real_set = ImageSet(test, np.eye(_N_CLASSES)[test.labels], name=options.against)
    # The real images are looked at once for all generators of a run.
    _, looking = timed(lambda: extracted(real_set, MetricContext(extractor)))
    print(f"Features of the {len(test):,} real images: {looking:.1f} s.\n")
    parts = ("features", *NAMES, "all")
    columns, first = {}, []
    for size in map(int, options.sizes.split(",")):
        seconds, growth, scores = measure(train, real_set, extractor, size)
        columns[size] = [f"{seconds[part]:.1f}" for part in parts] + [f"{growth:.0f}"]
        first = scores
    print("### Seconds, and memory beyond what was there before\n")
    titles = ["images", *(f"{size:,}" for size in columns)]
    labels = [*(f"{part}, s" for part in parts), "memory, MB"]
    print(markdown(titles, zip(labels, *columns.values(), strict=True)))
    print("### Scores of the most images\n")
    rows = [(one.title, f"{one.value:.4g}", one.protocol, one.note) for one in first]
    print(markdown(["score", "value", "protocol", "note"], rows))


if __name__ == "__main__":
    main()
