"""What a library's features cost: all of them, and those of ten rules beside peers.

    python -m benchmarks.features [--name fashion] [--images N] [--peer-images 200]

Prints Markdown tables. The features of ten rules of lf_library.fashion, batched,
against the same for one image at a time with scikit-image, OpenCV, SciPy or NumPy, one
core each; where the library's time goes; the whole library on all cores and on a GPU if
there is one; and algorithms as published against cheap stand-ins.
"""

import argparse
import importlib
import time

import numpy as np
import torch

from benchmarks.common import fit, machine, markdown, one_thread, timed
from benchmarks.costs import Costs
from benchmarks.libraries import some_of
from benchmarks.on_device import OnDevice
from benchmarks.peers_rules import BATCH_OF_ONE, peers_of, planes, ten_of
from benchmarks.stand_ins import stand_in_table
from lfkit import LFApplier
from lfkit.data.datasets import open_images
from lfkit.features.feature import ancestors, image
from lfkit.features.gray import gray28
from lfkit.labeling.engine.function_evaluator import cpu_count

_COST_IMAGES = 2000
_STAND_IN_IMAGES = 5000
# A batch is some ten thousand kernels, however many images it has.
_GPU_BATCH = 15_000
_THE_REST = "reading, rounding, checks, keeping votes; cores sharing caches and memory"
_CPU_TARGET, _GPU_TARGET = 1500, 100_000


def main():
    """Fit a library and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--name", default="fashion")
    parser.add_argument(
        "--images", type=int, help="at most; 2,000 for single features, else all"
    )
    parser.add_argument("--peer-images", type=int, default=200)
    options = parser.parse_args()
    library = importlib.import_module(f"lf_library.{options.name}")
    source = open_images(library.DATA)
    print(f"### lf_library.{options.name}, {machine()}\n")
    lfs, seconds = timed(lambda: fit(library.LFS, source))
    print(f"Fitted in {seconds:.1f} s, votes out of fold included.\n")
    n = min(options.images or _COST_IMAGES, len(source))
    rows = np.random.default_rng(2).permutation(len(source))[:n]
    pixels = as_28x28(source.read(np.sort(rows)).pixels)
    read = batched_features(lfs)
    with one_thread():
        costs = Costs(read, pixels, min(options.peer_images, n))
        voting = costs.votes(lfs)
        if options.name == "fashion":
            ten = batched_features(ten_of(lfs))
            print(feature_table(ten, costs, pixels), flush=True)
    whole = source if options.images is None else some_of(source, n, 0)
    rate, busy = run_whole(lfs, whole)
    print(share_table(read, costs, voting, busy, cpu_count() / rate), flush=True)
    print(whole_table(lfs, whole, rate), flush=True)
    n = min(options.images or _STAND_IN_IMAGES, len(source))
    print(stand_in_table(some_of(source, n, 0)))


def batched_features(lfs):
    """List the features that batched functions read."""
    read = dict.fromkeys(node for lf in lfs if lf.batched for node in lf.features)
    return [node for node in read if node is not image]


def as_28x28(pixels):
    """Resize gray images (n, h, w, 1) to the size that peers work at."""
    if pixels.shape[1:] == (28, 28, 1) or pixels.shape[3] != 1:
        return pixels
    return np.rint(255 * gray28(pixels)).astype(np.uint8)[..., None]


def feature_table(read, costs, pixels):
    """Compare every feature with its peers: Markdown, one row per peer.

    Parameters
    ----------
    read : fitted features that functions read; those between are listed too.
    costs : of them, with the values of the first images of `pixels`.
    """
    peers = peers_of(read)
    n = len(next(iter(costs.values.values())))
    images = planes(pixels[:n])
    rows = []
    for node in ancestors(read):
        name = node.name if node in read else f"({node.name})"
        mine = costs.whole(node)
        ours = costs.values[node].reshape(n, -1)
        own = f"{1e3 * costs.own[node]:.4f}", f"{1 / mine:,.0f}"
        for peer in peers[node]:
            values, theirs = per_image(peer.function, images)
            rows.append(
                (
                    name,
                    *own,
                    peer.maker,
                    f"{1e3 * theirs:.3f}",
                    f"{1 / theirs:,.0f}",
                    f"{theirs / mine:.1f}",
                    f"{correlation(ours, values):.5f}",
                    f"{np.abs(ours - values).max():.1e}",
                )
            )
            name, own = "", ("", "")
    titles = (
        *("feature", "own core-ms", "with inputs, images/s"),
        *("peer", "ms", "images/s", "ratio", "correlation", "largest difference"),
    )
    n_alone = sum(several[0].maker == BATCH_OF_ONE for several in peers.values())
    return markdown(titles, rows) + (
        f"\nOne core each, {n} images for peers. In parentheses: read by other "
        "features only. Ratios are of images/s, from pixels. No library has "
        f"{n_alone} of {len(peers)}: their peer is the feature, {BATCH_OF_ONE}.\n"
    )


def per_image(function, images):
    """Call a peer image by image: values (n, d), and seconds per image."""
    function(images[-1])
    start = time.thread_time()
    found = [function(image) for image in images]
    seconds = (time.thread_time() - start) / len(images)
    return np.stack([np.ravel(value) for value in found]).astype(np.float32), seconds


def correlation(ours, theirs):
    """Correlate two arrays of values; 1 if they are the same constant."""
    if np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        return float(np.allclose(ours, theirs, atol=1e-5))
    return float(np.corrcoef(ours.ravel(), theirs.ravel())[0, 1])


def share_table(read, costs, voting, busy, whole):
    """Divide the whole library's time: Markdown.

    Parameters
    ----------
    voting, busy, whole : core-seconds per image of the votes, of all that was computed,
        and of all cores, busy with it or not.
    """
    order = sorted(ancestors(read), key=costs.own.__getitem__, reverse=True)
    parts = [(node.name, costs.own[node]) for node in order]
    parts += [
        ("votes", voting),
        (_THE_REST, busy - costs.all_features - voting),
    ]
    rows = [(name, f"{1e3 * s:.4f}", f"{s / busy:.1%}") for name, s in parts]
    first, second, third = (f"{name} ({s / busy:.0%})" for name, s in parts[:3])
    features, elsewhere = costs.all_features / busy, 1 - busy / whole
    return markdown(("part of the library", "own core-ms", "share"), rows) + (
        f"\nOf {1e3 * busy:.3f} core-ms an image, features take {features:.0%}; most "
        f"expensive are {first}, {second} and {third}. {elsewhere:.0%} of the cores' "
        "time went elsewhere: they waited, or served other programs.\n"
    )


def run_whole(lfs, source):
    """Run the fitted library as users do: images/s, and busy core-seconds per image."""
    applier = LFApplier(lfs, device="cpu")
    start = time.process_time()
    _, seconds = timed(lambda: applier.apply(source))
    busy = time.process_time() - start
    return len(source) / seconds, busy / len(source)


def whole_table(lfs, source, rate):
    """Compare the whole library with its targets: Markdown."""
    what = f"{len(lfs)} functions, {len(source):,} images"
    rows = [(f"{what}, CPU", f"{rate:,.0f}", f"≥ {_CPU_TARGET:,}")]
    if torch.cuda.is_available():
        batched = [lf for lf in lfs if lf.batched]
        what = f"{len(batched)} functions, {len(source):,} images"
        rate = device_images_per_second(batched, source, "cuda", batch=_GPU_BATCH)
        name = torch.cuda.get_device_name()
        rows.append(
            (f"{what} on the device, {name}", f"{rate:,.0f}", f"≥ {_GPU_TARGET:,}")
        )
    return markdown(("whole library", "images/s", "target"), rows)


def device_images_per_second(lfs, source, device, *, batch):
    """Time features and votes of images that are on the device already."""
    pixels = source.read(np.arange(len(source))).pixels
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().to(device)
    vote = OnDevice(lfs, device, batch=batch)

    def all_votes():
        found = vote(images)
        return found.cpu()  # waits for the device; 2 bytes a vote

    vote(images[:batch])
    return len(images) / min(timed(all_votes)[1] for _ in range(3))


if __name__ == "__main__":
    main()
