"""Refined labels beside what the votes, and better labels, would be worth.

    lfkit apply fashion-mnist --lfs lf_library.fashion --seeds-per-class 20 --refine \
        --out RUN
    python -m benchmarks.refinement RUN [--test fashion-mnist:test] [--rows labels,…]

Prints Markdown: accuracy after each stage of a run that was refined, and of its network
on images that nothing was fitted to (`labels`); the same stages from the same seeds
alone, without a vote (`seeds`); the same network trained on the true labels of all
images (`truth`), which is what better labels could lead to.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.common import machine, markdown, timed
from lfkit.data.datasets import open_images
from lfkit.data.votes import Votes
from lfkit.nn import FINE_TUNING, TrainingPlan, look, train
from lfkit.refinement import STAGES, PixelFeatures, PretrainedFeatures, refine
from lfkit.refinement.problem import small_pixels
from lfkit.refinement.stages.distill import restored
from lfkit.runs.run_config import load_config
from lfkit.runs.run_files import load_images, load_votes, not_scored

ROWS = {
    "labels": "Votes and seeds: the labels of the run",
    "seeds": "The seeds alone, without any vote",
    "truth": "The true labels of all images",
}


def main(arguments=None):
    """Print what the options ask for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path, help="a folder of `lfkit apply --refine`")
    parser.add_argument("--test", help="images that nothing was fitted to")
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--steps", type=int, help="of the networks trained here")
    parser.add_argument("--stages", default=",".join(STAGES), help="of the seeds' row")
    parser.add_argument("--small", action="store_true", help="no ImageNet network")
    options = parser.parse_args(arguments)
    bench = Bench(
        options.run, options.test, options.steps, pretrained=not options.small
    )
    bench.stages = options.stages.split(",")
    print(f"{machine()}\n")
    for name in options.rows.split(","):
        row = getattr(bench, name)
        rows, seconds = timed(row)
        print(f"### {ROWS[name]}\n")
        print(markdown(["after", "accuracy, %"], rows))
        print(f"{seconds / 60:.1f} minutes\n", flush=True)


class Bench:
    """A run, its images and true classes, and images held out of everything."""

    def __init__(self, run, test, steps, *, pretrained):
        self.run, config, index = run, load_config(run), load_images(run)
        self.votes = load_votes(run, config)
        kind = {"size": config.options.size, "color": config.options.color}
        source = open_images(config.options.data, known=index, **kind)
        self.pixels = small_pixels(source)[0]
        self.every = index.column("true_class").to_numpy().astype(np.int64)
        self.scored = np.where(not_scored(index, self.votes), -1, self.every)
        self.test = None if test is None else open_images(test, **kind)
        self.pretrained, self.stages = pretrained, STAGES
        self.plan = FINE_TUNING if pretrained else TrainingPlan()
        if steps is not None:
            self.plan = replace(self.plan, n_steps=steps)

    def labels(self):
        """Read what the run gave, and test its network."""
        stages = json.loads((self.run / "summary.json").read_text())["refinement"]
        rows = _stages(stages["stages"])
        # The newest training is that of the labels on disk.
        files = sorted(
            self.run.glob("refined/*/stage.npz"), key=lambda path: path.stat().st_mtime
        )
        for path in reversed(files):
            with np.load(path) as arrays:
                if "network_proba" in arrays:
                    known = {name: arrays[name] for name in arrays.files}
                    return rows + self._tested(self._restored(known))
        return rows

    def seeds(self):
        """Refine nothing but the seeds."""
        votes = Votes(
            np.full((len(self.pixels), 1), -1),
            ("nobody",),
            self.votes.n_classes,
            seed_rows=self.votes.seed_rows,
            seed_labels=self.votes.seed_labels,
        )
        feature_sets = {"pixels": PixelFeatures(self.pixels)}
        if self.pretrained:
            feature_sets["imagenet"] = PretrainedFeatures(self.pixels)
        found = refine(
            self.pixels,
            votes,
            proba=np.full((len(votes), votes.n_classes), 1 / votes.n_classes),
            features=feature_sets,
            plan=self.plan,
            stages=self.stages,
            truth=self.scored,
        )
        rows = _stages([vars(stage) for stage in found.stages[1:]])
        if "network_proba" not in found.model.found:
            return rows
        return rows + self._tested(self._restored(found.model.found))

    def truth(self):
        """Train the network on true labels."""
        proba = np.eye(self.votes.n_classes)[self.every]
        network = train(self.pixels, proba, plan=self.plan, random_state=0)
        right = self._right(network, self.pixels, self.every)
        return [
            ["network, on the images it learned from", right],
            *self._tested(network),
        ]

    def _restored(self, known):
        shape = self.pixels.shape[1:]
        return restored(known, shape, self.votes.n_classes, "cpu")

    def _tested(self, network):
        if self.test is None:
            return []
        pixels = small_pixels(self.test)[0]
        right = self._right(network, pixels, np.asarray(self.test.labels))
        return [[f"network, on {self.test.name}", right]]

    def _right(self, network, pixels, labels):
        said = np.concatenate(
            [log.argmax(axis=1) for _, log, _ in look(network, pixels)]
        )
        return f"{100 * (said == labels).mean():.1f}"


def _stages(stages):
    return [
        [stage["name"], f"{100 * stage['accuracy']:.1f}{_noted(stage['note'])}"]
        for stage in stages
    ]


def _noted(note):
    return f" ({note})" if note else ""


if __name__ == "__main__":
    main()
