"""Generators of labeled images side by side: as many steps, the same real labels.

    python -m benchmarks.joint RUN --test fashion-mnist:test --out joint --steps 8000

Rows are trained one after another and kept in --out, with their protocols in rows.json:
killed, it goes on; called again with other rows, it adds them.
"""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.common import machine, markdown, timed
from lfkit.commands.make_generator import make_generator
from lfkit.commands.training_data import training_data
from lfkit.generators.lf_votes.batch_votes import BatchVotes
from lfkit.generators.training.checkpoints import CheckpointFolder
from lfkit.generators.training.monitor import TrainingMonitor
from lfkit.generators.training.sample_grid import write_grid
from lfkit.metrics import ImageSet
from lfkit.metrics.evaluator import Evaluator
from lfkit.metrics.generated_images import Generated
from lfkit.metrics.trained_classifiers import Recipe, draw_pairs, train_and_test
from lfkit.runs.json_text import to_json
from lfkit.runs.run import load_run
from lfkit.runs.run_config import versions
from lfkit.runs.store import write_atomically

# Row → generator and what is set other than by default.
SMALL = {"network": "dcgan", "batch": 64, "z_dim": 64}
# Functions vote once a step, on the batch that both networks see: three times as quick.
ONCE = {"n_discriminator": 1, "fresh_batch": False}
REPAIRED = {
    "soft_labels": True,
    "image_term": True,
    "dependencies": "agreement",
    "dependencies_of": "real",
    "equation": 9,
    "theta_anchor": 0.3,
    "prior_weight": 1.0,
}
_AT_ONCE = {"unconditional_fraction": 0.0}
ROWS = {
    "adp": ("adp", {}),
    "adp, no Θ and Φ": ("adp", {"trust": False}),
    "two-stage": ("two-stage", {}),
    "vote": ("vote", {}),
    "adp, label head": ("adp", {"label_mode": "head", "noise": "none"}),
    "adp, surrogate": ("adp", {"surrogate": True}),
    "adp, surrogate, no gate": ("adp", {"surrogate": True, "noise": "none"}),
    "adp, pairs at once": ("adp", _AT_ONCE),
    "adp, pairs at once, no Θ and Φ": ("adp", _AT_ONCE | {"trust": False}),
    "adp, pairs at once, surrogate, no gate": (
        "adp",
        _AT_ONCE | {"surrogate": True, "noise": "none"},
    ),
    "jgan": ("jgan", {}),
    "jgan, votes": ("jgan", {"targets": "votes"}),
    "jgan, features": ("jgan", {"targets": "features"}),
    "ss-infogan": ("ss-infogan", {}),
    "acgan": ("acgan", {}),
    "self-labeling": ("self-labeling", {}),
    "paper": ("adp-paper", {}),
    "paper, small": ("adp-paper", SMALL | ONCE),
    "paper, small, no D_LFB": (
        "adp-paper",
        SMALL | ONCE | {"judge_dependencies": False},
    ),
    "paper, small, repaired": ("adp-paper", SMALL | ONCE | REPAIRED),
}
# The network as printed takes two seconds a step on a CPU.
_BY_DEFAULT = [name for name in ROWS if name != "paper"]
N_SAMPLES = 20_000
N_VOTED = 2560
RECIPE = Recipe(n_steps=1000, n_trainings=1, n_images=N_SAMPLES)


def main(arguments=None):
    """Train and score the rows that are asked for, and print all there are."""
    options = read_arguments(arguments, _BY_DEFAULT, "joint", 8000, N_SAMPLES)
    bench = Bench(options)
    for name in options.rows.split(";"):
        bench.row(name.strip())
    print(f"{machine()}\n")
    print(table(bench.rows()))


def read_arguments(arguments, rows, out, steps, samples):
    """Read what both benchmarks of generators take."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path, help="a folder of `lfkit apply`")
    parser.add_argument("--test", required=True, help="labeled images held out of all")
    parser.add_argument("--out", type=Path, default=Path(out))
    parser.add_argument("--rows", default=";".join(rows), help="separated by ;")
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=samples)
    parser.add_argument("--judge-steps", type=int)
    parser.add_argument("--train-only", action="store_true", help="score later")
    return parser.parse_args(arguments)


class Bench:
    """A run, what its generators are trained on, and where rows are kept."""

    def __init__(self, options):
        self.options, self.out, self.known = options, options.out, ROWS
        self.loaded = load_run(options.run)
        self.source = self.loaded.open_images()
        self.material = training_data(self.loaded)
        self.names = self.loaded.config.class_names
        self._evaluation = None

    def training_data_of(self, name):
        """Give what a row is trained on."""
        return self.material

    def rows(self):
        """Give what is known of every row."""
        path = self.out / "rows.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def row(self, name):
        """Train a row and score it, as far as that is not done."""
        options = self.options
        key = f"{name} | {options.steps} steps | seed {options.seed} | {options.test}"
        key += f" | {options.samples} samples | judge of {options.judge_steps} steps"
        known = self.rows()
        if key in known:
            return
        generator, training = self.trained(name)
        if options.train_only:
            return
        found = training | self.scores(name, generator)
        known = self.rows() | {key: found}
        write_atomically(self.out / "rows.json", to_json(known, indent=1).encode())

    def trained(self, name):
        """Train a row, or load it; gives the generator and what training told."""
        options = self.options
        of, settings = self.known[name]
        settings = settings | {"n_steps": options.steps, "random_state": options.seed}
        generator = make_generator(of, settings)
        folder = self.out / f"{name}-{options.steps}-{options.seed}".replace(" ", "_")
        m = self.training_data_of(name)
        if (folder / "config.json").exists():
            generator = type(generator).load(folder, device=generator.device)
            if generator.functions == "must":
                generator.bind(m.lfs, m.votes)
            return generator, json.loads((folder / "told.json").read_text())
        doctor = TrainingMonitor(folder, self.names, options.steps, print)
        given = {"proba": m.proba, "lfs": m.lfs}
        of_images, of_pairs = generator.seconds_per_step(m.pixels, m.votes, **given)
        first = generator.plan.first_pair / options.steps
        is_resumed = (folder / "state").exists()
        _, seconds = timed(
            lambda: generator.fit(
                m.pixels,
                m.votes,
                **given,
                seed_proba=m.seed_proba,
                checkpoints=CheckpointFolder(folder / "state"),
                monitor=doctor,
            )
        )
        last = [json.loads(text) for text in doctor.path.read_text().splitlines()][-50:]
        trust = [
            line["theta_perplexity"] for line in last if "theta_perplexity" in line
        ]
        told = {
            "row": name,
            "steps": options.steps,
            "seed": options.seed,
            "settings": settings,
            "minutes": None if is_resumed else seconds / 60,
            "steps_per_s": 1 / (first * of_images + (1 - first) * of_pairs),
            "lf_share": self.lf_share(generator, m, of_pairs),
            "theta_perplexity": float(np.mean(trust)) if trust else None,
            "n_lfs": len(m.votes.names),
            "warnings": list(doctor.warnings.values()),
            "threads": torch.get_num_threads(),
            "versions": versions(),
        }
        write_atomically(folder / "told.json", to_json(told, indent=1).encode())
        generator.save(folder)
        write_grid(generator.sample(1000), self.names, folder / "grid.png")
        return generator, told

    def lf_share(self, generator, m, step):
        """Time the functions on one batch, as a share of a step on pairs."""
        if generator.functions == "must" and hasattr(generator, "fresh_batch"):
            calls = generator.plan.n_discriminator + generator.fresh_batch
            n = generator.plan.batch
        elif getattr(generator, "trust", False):
            calls, n = 1 / generator.votes_every, generator.lf_batch
        else:
            return 0.0
        device = generator.device
        images = torch.rand(n, *np.roll(self.source.shape, 1)).to(device)
        block = BatchVotes(m.lfs, len(self.names), device)
        block(images)
        _, seconds = timed(lambda: [block(images) for _ in range(5)])
        return seconds / 5 * calls / step

    @property
    def evaluation(self):
        """The judge: a classifier trained on all true labels, used for nothing else."""
        if self._evaluation is None:
            self._evaluation = Evaluator(
                self.loaded,
                self.source,
                against=self.options.test,
                n_steps=self.options.judge_steps,
            )
        return self._evaluation

    def scores(self, name, generator):
        """Generate and score images."""
        evaluation, k = self.evaluation, len(self.names)
        made = generator.sample(self.options.samples, random_state=1)
        images = ImageSet(made.images, made.proba, name=name)
        found, missing = evaluation.score(
            Generated(name, images), ["fid", "prdc", "fidelity"]
        )
        judged = evaluation.tools.judge(made.images).argmax(axis=1)
        shares = np.bincount(judged, minlength=k) / len(judged)
        block = BatchVotes(self.training_data_of(name).lfs, k)
        shown = torch.from_numpy(made.images[:N_VOTED]).permute(0, 3, 1, 2) / 255
        voted = block(shown).sum(dim=1).argmax(dim=1).numpy()
        tools = evaluation.tools
        recipe = replace(RECIPE, n_images=self.options.samples)
        weak = ImageSet(self.source, self.loaded.labels.proba, name="real, weak labels")
        real = draw_pairs(weak, recipe.n_images, 0)
        pairs = draw_pairs(images, recipe.n_images, 0)
        learned = {
            text: train_and_test(recipe, given, [tools.test], tools, text)[0].accuracy
            for text, given in (
                ("gan_train", pairs),
                ("real", real),
                ("both", real + pairs),
            )
        }
        return {
            "scores": [asdict(score) for score in found],
            "missing": missing,
            "fidelity": macro(judged, made.labels, k),
            "vote_fidelity": macro(judged[:N_VOTED], voted, k),
            "share_min": float(shares.min()),
            "share_max": float(shares.max()),
            "learned": {text: values.tolist() for text, values in learned.items()},
            "judge": evaluation.tools.judge_name,
            "n_samples": len(made),
        }


def macro(judged, labels, k):
    """Give the mean over labels of how often the judge agrees."""
    return float(
        np.mean([(judged[labels == c] == c).mean() for c in range(k) if c in labels])
    )


def table(rows):
    """Give the rows as Markdown."""
    head = ["row", "steps", "fidelity", "vote's", "shares", "FID[domain]", "recall"]
    head += ["GAN-train", "real", "real + generated", "Θ perplexity", "steps/s"]
    head += ["LF share"]
    lines = []
    for found in rows.values():
        scores = {score["metric"]: score["value"] for score in found["scores"]}
        fid = next(v for n, v in scores.items() if n.startswith("FID"))
        recall = next((v for n, v in scores.items() if n.startswith("recall")), None)
        learned = {text: np.mean(v) for text, v in found["learned"].items()}
        theta = found["theta_perplexity"]
        lines.append(
            [
                found["row"],
                f"{found['steps']:,}",
                f"{found['fidelity']:.3f}",
                f"{found['vote_fidelity']:.3f}",
                f"{found['share_min']:.3f}-{found['share_max']:.3f}",
                f"{fid:.2f}",
                "" if recall is None else f"{recall:.2f}",
                f"{learned['gan_train']:.3f}",
                f"{learned['real']:.3f}",
                f"{learned['both']:.3f}",
                "" if theta is None else f"{theta:.1f} of {found['n_lfs']}",
                f"{found['steps_per_s']:.1f}",
                "" if found["lf_share"] is None else f"{found['lf_share']:.0%}",
            ]
        )
    return markdown(head, lines)


if __name__ == "__main__":
    main()
