"""FixMatch from the seeds alone, for reference beside what functions know.

    python -m benchmarks.fixmatch --data DATA [--seeds 20] [--draws 1] [--steps 4000]
        [--size SIZE]

Sohn et al. 2020, https://arxiv.org/abs/2001.07685, algorithm 1: a small network
learns the seeds, moved a little, and of other images, strongly changed, the class
that it gives them moved a little, where it is 95 % sure. 32 seeds and 96 other images
a step, where the paper takes 64 and 448 for a million steps; the mean of the weights
labels. Prints accuracy on the images that are no seeds, and the seconds.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.common import machine, markdown
from lfkit.data.datasets import open_images
from lfkit.data.read_images import read_images
from lfkit.data.seed_labels import draw_seeds
from lfkit.nn import Augmentation
from lfkit.nn.augment import augment
from lfkit.nn.ema import Average
from lfkit.nn.networks import SmallConvNet
from lfkit.nn.randaugment import randaugment
from lfkit.runs.options import parse_size

_SURE = 0.95
_SEEDS, _OTHERS = 32, 96
_MOVED = Augmentation(0, 0, 0, 0, 0.1, 0, 0, 0, cutout=(0, 0))
_BLANK = replace(_MOVED, cutout=(0.2, 0.5))


def main(arguments=None):
    """Train for each number of seeds and draw, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", default="20")
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--size", type=parse_size)
    options = parser.parse_args(arguments)
    source = open_images(options.data, size=options.size)
    print(f"{machine()}\n")
    rows = []
    for n_seeds in map(int, options.seeds.split(",")):
        found = [
            labeled(source, n_seeds, draw, options.steps)
            for draw in range(options.draws)
        ]
        right, seconds = np.array(found).T
        rows.append(
            [
                str(n_seeds),
                f"{right.mean():.3f} ({right.min():.3f}-{right.max():.3f})",
                f"{seconds.mean():.0f}",
            ]
        )
    print(markdown(["seeds per class", "FixMatch", "seconds"], rows))


def labeled(source, n_seeds, draw, n_steps):
    """Train on one draw of seeds; give accuracy on the other images, and seconds."""
    started = time.perf_counter()
    pixels, _ = read_images(source)
    truth, k = np.asarray(source.labels), len(source.class_names)
    seeds = draw_seeds(source, truth, source.class_names, n_seeds, draw).rows
    others = np.setdiff1d(np.arange(len(truth)), seeds)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    labels = torch.from_numpy(truth.astype(np.int64))
    drawn = torch.Generator().manual_seed(draw)
    network = SmallConvNet(pixels.shape[1:], k, width=32, generator=drawn)
    mean = Average(network, 0.999)
    adam = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=5e-4)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(adam, n_steps)

    def some(rows, n):
        at = torch.from_numpy(rows)[torch.randint(len(rows), (n,), generator=drawn)]
        return at, images[at].float() / 255

    for step in range(n_steps):
        network.train()
        at, shown = some(seeds, _SEEDS)
        _, unlabeled = some(others, _OTHERS)
        with torch.no_grad():
            said = F.softmax(network(augment(unlabeled, _MOVED, drawn)), dim=1)
        sure, named = said.max(dim=1)
        strong = augment(randaugment(unlabeled, drawn), _BLANK, drawn)
        scores = network(torch.cat([augment(shown, _MOVED, drawn), strong]))
        own = F.cross_entropy(scores[:_SEEDS], labels[at])
        their = F.cross_entropy(scores[_SEEDS:], named, reduction="none")
        loss = own + (their * (sure >= _SURE)).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        rate.step()
        mean.update(network, step)
    with torch.no_grad():
        parts = [
            mean.module(images[rows].float() / 255).argmax(dim=1)
            for rows in torch.from_numpy(others).split(512)
        ]
    right = (torch.cat(parts) == labels[torch.from_numpy(others)]).double().mean()
    return float(right), time.perf_counter() - started


if __name__ == "__main__":
    main()
