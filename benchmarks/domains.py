"""What of a label survives in another domain: transfer, and two domains at once.

    python -m benchmarks.domains --pair digits --rows "transfer;transfer, hold=0"
    python -m benchmarks.domains --pair clothes --photos FOLDER --seeds 0,1,2

Rows are trained one after another and kept in --out: killed, it goes on. Digits:
scikit-learn's, a third of them enlarged to 28x28 gray for the source, another third on
colored grounds for the target, by the seeded composition of the data set street-digits
(random colors of digit and ground, gradients, stripes, parts of other digits at both
sides), the last third for the judges. Clothes: Fashion-MNIST, and photographs in
FOLDER/train/CLASS and FOLDER/test/CLASS, of six classes that both have.

The source has its true labels, so that what is lost is lost in transfer; those of the
target are read by the rows that say so, and by the judge, which learns from other
images: an SVM on gradients' orientations, which reads dark digits as well as light
ones. Its accuracy on real target images is printed: no fidelity means more than that.

*Taught*: how often a small network is right on the judges' real target images that has
learned from the row's images alone: generated ones, or, in the rows "taught: …", what
one has without a generator.
"""

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from benchmarks.common import machine, markdown, timed
from lfkit.data.datasets import open_images
from lfkit.data.datasets.street_digits import composed
from lfkit.data.votes import Votes
from lfkit.features.feature import extract
from lfkit.features.hog import hog
from lfkit.generators import Adp, AdpMulti, TwoStage
from lfkit.generators.gan.config import GanConfig
from lfkit.generators.training.checkpoints import CheckpointFolder
from lfkit.generators.training.sample_grid import write_grid
from lfkit.generators.training_set import Domain
from lfkit.metrics import MetricContext
from lfkit.metrics.image_set import ImageSet
from lfkit.metrics.trained_classifiers import Pairs, Recipe, train_and_test
from lfkit.runs.json_text import to_json
from lfkit.runs.store import write_atomically

SMALL = {"batch": 32, "width": 32, "z_dim": 32, "average": 0.99, "reader_steps": 10}
N_SAMPLES = 2000
TAUGHT_BY = 6000  # generated images
TAUGHT_STEPS = 500
MOST_TESTED = 4000
COMPOSED = 6  # times that each digit of the target is composed anew
JUDGED = 12  # likewise, of the judge's digits
ORIENTATIONS = hog(cell=4)
CLOTHES = {  # classes of the photographs → of Fashion-MNIST
    "t-shirt": "t-shirt", "longsleeve": "pullover", "dress": "dress",
    "outwear": "coat", "shirt": "shirt", "shoes": "sneaker",
}  # fmt: skip
ROWS = (
    "transfer",
    "transfer, hold=0",
    "scratch, true labels",
    "scratch, labels of a source classifier",
    "two at once",
    "two at once, hold=0",
    "taught: source, in any colors",
    "taught: target, labels of a source classifier",
)


@dataclass(frozen=True, eq=False)
class Images:
    """Images (n, h, w, c) and their true classes (n,)."""

    pixels: np.ndarray
    labels: np.ndarray

    def first(self, n):
        """Take so many of them; they are in random order."""
        return self if n is None else Images(self.pixels[:n], self.labels[:n])


@dataclass(frozen=True, eq=False)
class Pair:
    """Two domains, and other images of each for the judges."""

    names: tuple
    source: Images
    target: Images
    source_judge: Images
    target_judge: Images


def digits_pair(seed, photos=None):
    """Split the digits in three: source, target, judges."""
    small, large = open_images("digits"), open_images("digits", size=(28, 28))
    every, labels = np.arange(len(small)), np.asarray(small.labels)
    gray = small.read(every).pixels[..., 0] / 255
    enlarged = large.read(every).pixels
    rng = np.random.default_rng([seed, 1])
    parts = np.array_split(rng.permutation(every), 3)

    def on_streets(rows, times):
        rows = np.concatenate([rng.permutation(rows) for _ in range(times)])
        blocks = np.array_split(rows, -(-len(rows) // 256))
        made = [composed(gray[block], gray[rows], rng) for block in blocks]
        return Images(np.concatenate(made), labels[rows])

    source, target, judges = parts
    return Pair(
        tuple("0123456789"),
        Images(enlarged[source], labels[source]),
        on_streets(target, COMPOSED),
        Images(enlarged[judges], labels[judges]),
        on_streets(judges, JUDGED),
    )


def clothes_pair(seed, photos):
    """Take the classes that Fashion-MNIST and the photographs share."""
    rng = np.random.default_rng([seed, 2])
    theirs = [*CLOTHES.values()]

    def of(source, wanted, most):
        names = [name.lower().replace("/top", "") for name in source.class_names]
        known = np.array([wanted.index(n) if n in wanted else -1 for n in names])
        labels = known[np.asarray(source.labels)]
        rows = rng.permutation(np.flatnonzero(labels >= 0))[:most]
        order = np.sort(rows)
        pixels = source.read(order).pixels
        back = np.searchsorted(order, rows)
        return Images(pixels[back], labels[rows])

    gray = of(open_images("fashion-mnist"), theirs, 8000)
    color = of(open_images(f"{photos}/train", size=(32, 32)), [*CLOTHES], None)
    half = len(color.labels) // 2
    return Pair(
        tuple(CLOTHES),
        Images(gray.pixels[:4000], gray.labels[:4000]),
        Images(color.pixels[:half], color.labels[:half]),
        Images(gray.pixels[4000:], gray.labels[4000:]),
        Images(color.pixels[half:], color.labels[half:]),
    )


PAIRS = {"digits": digits_pair, "clothes": clothes_pair}


def learn(images):
    """Fit a classifier of gradients' orientations."""
    seen = extract([ORIENTATIONS], images.pixels)[ORIENTATIONS]
    directions = min(150, *np.subtract(seen.shape, 1))
    found = make_pipeline(PCA(directions, random_state=0), SVC(C=10))
    found.fit(seen, images.labels)
    return lambda pixels: found.predict(extract([ORIENTATIONS], pixels)[ORIENTATIONS])


class Bench:
    """The rows of one pair and one seed."""

    def __init__(self, options, seed):
        self.options, self.seed = options, seed
        self.pair = PAIRS[options.pair](seed, options.photos)
        self.judge = learn(self.pair.target_judge)
        self.settings = {"random_state": seed, "trust": False}
        self._source = None

    def folder(self, name):
        """Where a training is kept."""
        options = self.options
        steps = f"{options.steps}-after-{options.source_steps}"
        text = f"{options.pair}-{name}-{steps}-{self.seed}"
        return options.out / text.replace(" ", "_").replace(",", "")

    def plan(self, steps, **changes):
        """Give the small networks of all rows."""
        return GanConfig(**{**SMALL, "n_steps": steps, **changes})

    def known(self, images):
        """Give what `fit` takes: labels as one vote and as posteriors."""
        k = len(self.pair.names)
        votes = Votes(images.labels[:, None].astype(np.int16), ("truth",), k)
        return votes, np.eye(k)[images.labels]

    def kept(self, name, generator, train):
        """Train it in its folder, or load it; gives it and its minutes."""
        folder = self.folder(name)
        if (folder / "config.json").exists():
            told = json.loads((folder / "told.json").read_text())
            return type(generator).load(folder), told["minutes"]
        is_resumed = (folder / "state").exists()
        checkpoints = CheckpointFolder(folder / "state")
        _, seconds = timed(lambda: train(generator, checkpoints))
        minutes = None if is_resumed else seconds / 60
        told = to_json({"minutes": minutes}).encode()
        write_atomically(folder / "told.json", told)
        write_grid(generator.sample(500), self.pair.names, folder / "grid.png")
        generator.save(folder)
        return generator, minutes

    def source(self):
        """Train the source, once for all rows."""
        if self._source is None:
            images = self.pair.source
            votes, proba = self.known(images)
            plan = self.plan(self.options.source_steps, unconditional_fraction=0.0)
            made = Adp(plan, noise="none", **self.settings)
            self._source, _ = self.kept(
                f"source of {self.options.source_steps}",
                made,
                lambda g, state: g.fit(
                    images.pixels, votes, proba=proba, checkpoints=state
                ),
            )
        return self._source

    def row(self, name, n):
        """Train and score a row on n target images; None: all."""
        target = self.pair.target.first(n)
        if name.startswith("taught: "):
            teachers = self.without_generator(name, target)
            return {"taught": self.taught(teachers, target), "minutes": None}
        generator, train = self.begun(name, target)
        count = "all" if n is None else n
        generator, minutes = self.kept(f"{name} on {count}", generator, train)
        return self.scored(generator, target) | {"minutes": minutes}

    def begun(self, name, target):
        """Give what a row trains, and how."""
        steps, base = self.options.steps, self.settings
        if name.startswith("transfer"):
            source = self.source()
            hold = {"hold": float(name.split("=")[1])} if "=" in name else {}
            plan = replace(source.plan, n_steps=steps)
            made = Adp(plan, noise="none", **base, **hold)
            return made, lambda g, state: g.tune(
                target.pixels, source, checkpoints=state
            )
        plan = self.plan(steps, unconditional_fraction=0.0)
        if name.startswith("two at once"):
            hold = {"hold": float(name.split("=")[1])} if "=" in name else {}
            images = self.pair.source
            votes, proba = self.known(images)
            second = Domain(target.pixels, *self.known(target))
            return AdpMulti(plan, noise="none", **base, **hold), lambda g, state: g.fit(
                images.pixels, votes, proba=proba, second=second, checkpoints=state
            )
        if name.endswith("source classifier"):
            target = self.named_by_source(target)
        elif name != "scratch, true labels":
            raise SystemExit(f"there is no row {name!r}; choose from {'; '.join(ROWS)}")
        votes, proba = self.known(target)
        return TwoStage(plan, random_state=self.seed), lambda g, state: g.fit(
            target.pixels, votes, proba=proba, checkpoints=state
        )

    def named_by_source(self, target):
        """Label the target's images by a classifier of the source."""
        return Images(target.pixels, learn(self.pair.source)(target.pixels))

    def without_generator(self, name, target):
        """Give what one can learn from without a generator and target labels."""
        if name.endswith("labels of a source classifier"):
            return self.named_by_source(target)
        if not name.endswith("source, in any colors"):
            raise SystemExit(f"there is no row {name!r}; choose from {'; '.join(ROWS)}")
        rng = np.random.default_rng([self.seed, 3])
        source, shape = self.pair.source, target.pixels.shape[1:]
        rows = rng.permutation(np.tile(np.arange(len(source.labels)), COMPOSED))
        gray = source.pixels[rows].mean(axis=3, keepdims=True) / 255
        gaps = [
            (side - now) // 2
            for side, now in zip(shape[:2], gray.shape[1:3], strict=True)
        ]
        gray = np.pad(gray, ((0, 0), *((gap, gap) for gap in gaps), (0, 0)), "edge")
        ends = rng.integers(0, 256, (2, len(rows), 1, 1, shape[2]))
        colored = ends[0] + gray * (ends[1] - ends[0])
        return Images(colored.astype(np.uint8), source.labels[rows])

    def taught(self, teachers, target):
        """Give how often who learned from these is right on real target images."""
        judges = self.pair.target_judge.first(MOST_TESTED)
        k = len(self.pair.names)
        test = ImageSet(judges.pixels, np.eye(k)[judges.labels], name="target")
        pairs = Pairs(teachers.pixels, np.eye(k)[teachers.labels])
        tools = MetricContext(random_state=self.seed)
        recipe = Recipe(TAUGHT_STEPS)
        return float(train_and_test(recipe, pairs, [test], tools, "")[0].accuracy[0])

    def scored(self, generator, target):
        """Judge generated images, as many of each class."""
        k = len(self.pair.names)
        made = generator.sample(
            N_SAMPLES, classes=np.arange(N_SAMPLES) % k, random_state=1
        )
        images = made.images if made.images_2 is None else made.images_2
        judged = self.judge(images)
        shares = np.bincount(judged, minlength=k) / len(judged)
        found = {
            "fidelity": float(np.mean(judged == made.labels)),
            "share_min": float(shares.min()),
            "share_max": float(shares.max()),
            "variety": spread(images, made.labels) / spread(*vars(target).values()),
            "judge_on_real": float(
                np.mean(
                    self.judge(self.pair.target.pixels[:2000])
                    == self.pair.target.labels[:2000]
                )
            ),
        }
        more = generator.sample(
            TAUGHT_BY, classes=np.arange(TAUGHT_BY) % k, random_state=2
        )
        pixels = more.images if more.images_2 is None else more.images_2
        found["taught"] = self.taught(Images(pixels, more.labels), target)
        if made.images_2 is not None:
            first = learn(self.pair.source_judge)(made.images)
            found["first_fidelity"] = float(np.mean(first == made.labels))
            found["both_equal"] = float(np.mean(first == judged))
        return found


def spread(images, labels):
    """Give how far pixels of a class differ, on average."""
    own = [images[labels == label] / 255 for label in np.unique(labels)]
    return float(np.mean([each.std(axis=0).mean() for each in own if len(each) > 1]))


def main(arguments=None):
    """Train and score the rows that are asked for, and print all there are."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pair", choices=[*PAIRS], default="digits")
    parser.add_argument("--photos", help="the folder with train/CLASS, for clothes")
    parser.add_argument("--rows", default=";".join(ROWS), help="separated by ;")
    parser.add_argument("--images", default="all", help="of the target: 100,500,all")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--source-steps", type=int, default=1500)
    parser.add_argument("--out", type=Path, default=Path("domains"))
    options = parser.parse_args(arguments)
    path = options.out / "rows.json"
    for seed in map(int, options.seeds.split(",")):
        bench = None
        for name in options.rows.split(";"):
            for count in options.images.split(","):
                known = json.loads(path.read_text()) if path.exists() else {}
                key = f"{options.pair} | {name.strip()} | {count} | {options.steps} "
                key += f"after {options.source_steps} | seed {seed}"
                if key in known:
                    continue
                bench = bench or Bench(options, seed)
                n = None if count == "all" else int(count)
                known[key] = bench.row(name.strip(), n)
                write_atomically(path, to_json(known, indent=1).encode())
    print(f"{machine()}\n")
    print(table(json.loads(path.read_text())))


def table(rows):
    """Give means over the seeds as Markdown, with the range of the fidelity."""
    head = ["row", "images", "seeds", "fidelity", "shares", "variety"]
    head += ["both equal", "judge on real images", "taught", "minutes"]
    groups = {}
    for key, found in rows.items():
        groups.setdefault(tuple(key.split(" | ")[:4]), []).append(found)
    lines = []
    for (pair, name, count, _), found in groups.items():

        def mean(what, found=found):
            values = [each[what] for each in found if each.get(what) is not None]
            return f"{np.mean(values):.3f}" if values else ""

        def ranged(what, found=found):
            values = [each[what] for each in found if each.get(what) is not None]
            if len(values) < 2:
                return mean(what)
            return f"{mean(what)} ({min(values):.3f}-{max(values):.3f})"

        lines.append(
            [
                f"{pair}: {name}",
                count,
                len(found),
                ranged("fidelity"),
                f"{mean('share_min')}-{mean('share_max')}",
                mean("variety"),
                mean("both_equal"),
                mean("judge_on_real"),
                ranged("taught"),
                mean("minutes"),
            ]
        )
    return markdown(head, lines)


if __name__ == "__main__":
    main()
