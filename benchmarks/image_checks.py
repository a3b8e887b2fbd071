"""Near-duplicates, outliers and wrong labels that were planted: who finds them.

python -m benchmarks.image_checks [PHOTOS], a folder of photos in class folders. Beside
lfkit run cleanlab and imagededup, where they are installed: pip install cleanlab
imagededup. The digits and Fashion-MNIST are lfkit's named data sets.
"""

import sys
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import cross_val_predict

from lfkit.data.datasets import open_images
from lfkit.metrics.image_checks.looks import described, pixel_looks
from lfkit.metrics.image_checks.near_duplicates import near_duplicates, small_grays
from lfkit.metrics.image_checks.outliers import find_outliers
from lfkit.metrics.image_checks.suspect_seeds import find_suspects, held_out_looks

N_PLANTED = 40
SIDE = 64  # of photos
HASH_DISTANCES = (4, 10)  # imagededup's default is 10


def moved(image):
    step = max(1, len(image) // 28)
    matrix = np.float32([[1, 0, step], [0, 1, 0]])
    size = image.shape[1::-1]
    return cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REPLICATE)


def cropped(share: float) -> Callable:
    def change(image):
        h, w = image.shape[:2]
        y, x = round(h * (1 - share) / 2), round(w * (1 - share) / 2)
        return cv2.resize(image[y : h - y, x : w - x], (w, h))

    return change


def saved_anew(image):
    quality = [cv2.IMWRITE_JPEG_QUALITY, 50]
    data = cv2.imencode(".jpg", image, quality)[1]
    return cv2.imdecode(data, cv2.IMREAD_UNCHANGED)


def darker(image):
    return (image * 0.85 + 20).astype(np.uint8)


CHANGES = {
    "JPEG": saved_anew,
    "darker": darker,
    "moved": moved,
    "crop 93 %": cropped(0.93),
    "crop 86 %": cropped(0.86),
}


def pixels_of(name: str, n: int, size=None):
    source = open_images(name, size=size)
    rows = np.random.default_rng(0).permutation(len(source))[:n]
    return source.read(rows).pixels, source.labels[rows]


def looks_of(pixels):
    return described(pixel_looks(pixels), small_grays(pixels))


def hashes(pixels, kind: str) -> np.ndarray:
    """Give imagededup's hashes as bits, (n, 64)."""
    from imagededup import methods

    method = getattr(methods, kind)(verbose=False)
    found = [method.encode_image(image_array=np.squeeze(image)) for image in pixels]
    return np.asarray([list(f"{int(one, 16):064b}") for one in found], int)


def pairs_by_hash(bits: np.ndarray, most: int) -> np.ndarray:
    apart = bits @ (1 - bits).T
    return np.triu(apart + apart.T <= most, 1)


def pairs_by_lfkit(pixels) -> np.ndarray:
    looks = looks_of(pixels)
    group = near_duplicates(looks.values, looks.grays)
    return np.triu(group[:, None] == group, 1)


def near_duplicate_lines(name: str, pixels) -> Iterator[str]:
    """Say which planted copies each finds, and how many other pairs it gives."""
    n, rng = len(pixels), np.random.default_rng(1)
    rows = rng.permutation(n)[: N_PLANTED * len(CHANGES)]
    kinds = np.repeat(list(CHANGES), N_PLANTED)
    copies = [
        CHANGES[kind](pixels[row]).reshape(pixels[0].shape)
        for kind, row in zip(kinds, rows, strict=True)
    ]
    images = np.concatenate([pixels, copies])
    ways = {"lfkit": lambda: pairs_by_lfkit(images)}
    for kind in ("PHash", "DHash"):
        for most in HASH_DISTANCES:
            ways[f"imagededup {kind}, {most} bits"] = lambda kind=kind, most=most: (
                pairs_by_hash(hashes(images, kind), most)
            )
    for way, find in ways.items():
        try:
            pairs = find()
        except ImportError:
            yield f"{name}: {way}: not installed"
            continue
        hit = pairs[rows, n + np.arange(len(rows))]
        others = int(pairs[:n, :n].sum())
        found = ", ".join(f"{kind} {hit[kinds == kind].mean():.2f}" for kind in CHANGES)
        yield f"{name}, {n} images: {way}: {found}; other pairs {others}"


def outlier_lines(name: str, pixels, strange) -> Iterator[str]:
    """Say how well each ranks planted images of another kind."""
    images = np.concatenate([pixels, strange])
    is_strange = np.arange(len(images)) >= len(pixels)
    looks = looks_of(images)
    rows, deviations = find_outliers(looks, np.arange(len(images)))
    hits = int(is_strange[rows].sum())
    lfkit = average_precision_score(is_strange, deviations)
    line = f"{name}: lfkit AP {lfkit:.2f}, named {len(rows)}, {hits} of them planted"
    try:
        from cleanlab.outlier import OutOfDistribution

        for what, table in (("looks", looks.values), ("pixels", pixel_looks(images))):
            scores = OutOfDistribution().fit_score(features=table, verbose=False)
            ap = average_precision_score(is_strange, -scores)
            line += f"; cleanlab on {what} AP {ap:.2f}"
    except ImportError:
        line += "; cleanlab not installed"
    yield line + f" ({len(strange)} of {len(images)})"


def wrong_label_lines(name: str, pixels, truth, per_class: int) -> Iterator[str]:
    """Say how well each finds labels of which a tenth were changed."""
    rng, k = np.random.default_rng(2), int(truth.max()) + 1
    rows = np.concatenate(
        [rng.permutation(np.flatnonzero(truth == y))[:per_class] for y in range(k)]
    )
    labels = truth[rows].copy()
    wrong = rng.permutation(len(rows))[: len(rows) // 10]
    labels[wrong] = (labels[wrong] + rng.integers(1, k, len(wrong))) % k
    proba = held_out_looks(
        looks_of(pixels).values[rows], labels, np.arange(len(rows)), n_classes=k
    )
    ways = {"lfkit, by looks alone": find_suspects(labels, [proba])[0]}
    try:
        from cleanlab.filter import find_label_issues

        flat = pixels[rows].reshape(len(rows), -1) / 255
        model = LogisticRegression(max_iter=2000)
        own = cross_val_predict(model, flat, labels, method="predict_proba")
        for what, said in (("the same probabilities", proba), ("pixels", own)):
            found = np.flatnonzero(find_label_issues(labels, said))
            ways[f"cleanlab, {what}"] = found
    except ImportError:
        yield "cleanlab not installed"
    for way, found in ways.items():
        hits = len(np.intersect1d(found, wrong))
        yield (
            f"{name}, {per_class} labels per class: {way}: precision "
            f"{hits / max(1, len(found)):.2f}, recall {hits / len(wrong):.2f}"
        )


def main(photos: str | None) -> None:
    fashion, garments = pixels_of("fashion-mnist", 2000)
    digits, numerals = pixels_of("digits", 1797)
    large = np.stack([cv2.resize(one, (28, 28))[..., None] for one in digits[:20]])
    small = np.stack([cv2.resize(one, (8, 8))[..., None] for one in fashion[:18]])
    lines = [
        near_duplicate_lines("Fashion-MNIST", fashion),
        outlier_lines("digits among Fashion-MNIST", fashion, large),
        outlier_lines("Fashion-MNIST among digits", digits, small),
        wrong_label_lines("digits", digits, numerals, 20),
        wrong_label_lines("digits", digits, numerals, 100),
        wrong_label_lines("Fashion-MNIST", fashion, garments, 20),
        wrong_label_lines("Fashion-MNIST", fashion, garments, 100),
    ]
    if photos is not None:
        images, _ = pixels_of(photos, 800, (SIDE, SIDE))
        lines.insert(1, near_duplicate_lines("photos", images))
    for part in lines:
        for line in part:
            print(line, flush=True)


if __name__ == "__main__":
    main(*(sys.argv[1:] or [None]))
