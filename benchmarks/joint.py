"""Generators of labeled images side by side: as many steps, the same real labels.

    python -m benchmarks.joint RUN --test fashion-mnist:test --out joint --steps 8000
    python -m benchmarks.joint RUN --test fashion-mnist:test --seeds 0 1 2

Rows are trained one after another and kept in --out, with their protocols in rows.json:
killed, it goes on; called again with other rows or seeds, it adds them. The table gives
means over the seeds, and from where to where they reach.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from benchmarks.common import machine, markdown, over_seeds, timed
from lfkit.aggregators import AGGREGATORS
from lfkit.commands.make_generator import make_generator
from lfkit.commands.training_data import training_data
from lfkit.generators.adp.settings import AdpSettings
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
# Huang et al. 2024, with a lighter penalty for images in [0, 1] than in [-1, 1].
R3GAN = {
    "network": "r3gan",
    "loss": "relativistic",
    "r1_gamma": 0.1,
    "r2_gamma": 0.1,
    "r1_every": 1,
    "spectral_norm": False,
    "beta1": 0.0,
}
ROWS = {
    "adp": ("adp", {}),
    "adp, Θ and Φ": ("adp", {"trust": True}),
    "adp, no Θ and Φ": ("adp", {"trust": False}),
    "two-stage": ("two-stage", {}),
    "vote": ("vote", {}),
    "adp, label head": ("adp", {"label_mode": "head", "noise": "none"}),
    "adp, surrogate": ("adp", {"surrogate": True}),
    "adp, surrogate, no gate": ("adp", {"surrogate": True, "noise": "none"}),
    "adp, pairs at once, Θ and Φ": ("adp", _AT_ONCE | {"trust": True}),
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
    "cgan": ("cgan", {}),
    "cogan": ("cogan", {}),
    "triple-gan": ("triple-gan", {}),
    "wsgan": ("wsgan", {}),
    "flow": ("flow", {}),
    "flow, labels drawn": ("flow", {"noise": "drawn"}),
    "flow, guidance 1.5": ("flow", {"guidance": 1.5}),
    "two-stage, r3gan": ("two-stage", R3GAN),
    "adp, r3gan": ("adp", R3GAN),
    **{
        f"gan+dp, {aggregator}": ("vote", {"aggregator": aggregator})
        for aggregator in AGGREGATORS
        if aggregator != "auto"  # which is the row `vote`
    },
    "paper": ("adp-paper", {}),
    "paper, small": ("adp-paper", SMALL | ONCE),
    "paper, small, no D_LFB": (
        "adp-paper",
        SMALL | ONCE | {"judge_dependencies": False},
    ),
    "paper, small, repaired": ("adp-paper", SMALL | ONCE | REPAIRED),
}
# Trained once: other labels of the same images, and other images of the same network.
SAME_IMAGES = {name: "vote" for name in ROWS if name.startswith("gan+dp")}
SAME_IMAGES["flow, guidance 1.5"] = "flow"
# The network as printed takes two seconds a step on a CPU.
_BY_DEFAULT = [name for name in ROWS if name != "paper"]
N_SAMPLES = 20_000
N_VOTED = 2560  # generated images that the functions vote on


def main(arguments=None):
    """Train and score the rows that are asked for, and print all there are."""
    options = read_arguments(arguments, _BY_DEFAULT, "joint", 8000, N_SAMPLES)
    bench = Bench(options)
    for name in options.rows.split(";"):
        for seed in options.seeds:
            options.seed = seed
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
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--samples", type=int, default=samples)
    parser.add_argument("--voted", type=int, default=N_VOTED)
    parser.add_argument("--judge-steps", type=int)
    parser.add_argument("--learner-steps", type=int, default=1000)
    parser.add_argument("--train-only", action="store_true", help="score later")
    options = parser.parse_args(arguments)
    options.seed = options.seeds[0]
    return options


class Bench:
    """A run, what its generators are trained on, and where rows are kept."""

    def __init__(self, options):
        self.options, self.out, self.known = options, options.out, ROWS
        self.loaded = load_run(options.run)
        self.source = self.loaded.open_images()
        self.material = training_data(self.loaded)
        self.names = self.loaded.config.class_names
        self._evaluation, self._programmed = None, {}

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
        key += f" | learners of {options.learner_steps}"
        if options.train_only:
            self.trained(name)
        else:
            self.once(key, lambda: self.trained_and_scored(name))

    def trained_and_scored(self, name):
        """Give what training a row told, and its scores."""
        generator, told = self.trained(name)
        return told | self.scores(name, generator)

    def once(self, key, measure):
        """Give what is kept under a key, measured if it is not there."""
        known = self.rows()
        if key not in known:
            found = measure()
            known = self.rows() | {key: found}
            write_atomically(self.out / "rows.json", to_json(known, indent=1).encode())
        return known[key]

    def trained(self, name):
        """Train a row, or load it; gives the generator and what training told."""
        options = self.options
        of, settings = self.known[name]
        if self.known is ROWS and name in SAME_IMAGES:
            generator, told = self.trained(SAME_IMAGES[name])
            generator.set_params(**settings)
            if generator.functions != "never":
                generator.bind(self.material.lfs, self.material.votes)
            return generator, told | {"row": name}
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
        given["seed_proba"] = m.seed_proba
        of_images, of_pairs = generator.seconds_per_step(m.pixels, m.votes, **given)
        first = generator.plan.first_pair / options.steps
        is_resumed = (folder / "state").exists()
        _, seconds = timed(
            lambda: generator.fit(
                m.pixels,
                m.votes,
                **given,
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
        elif getattr(generator, "has_learned_trust", False):
            settings = AdpSettings(**generator.get_params(deep=False))
            calls, n = 1 / settings.votes_every, settings.lf_batch
        else:
            return 0.0
        device = generator.device
        images = torch.rand(n, *np.roll(self.source.shape, 1)).to(device)
        block = BatchVotes(m.lfs, len(self.names), device)
        block(images)
        _, seconds = timed(lambda: [block(images) for _ in range(5)])
        return seconds / 5 * calls / step

    def programmed(self, votes):
        """Fit data programming: its generative model, to votes on real images."""
        if votes.names not in self._programmed:
            self._programmed[votes.names] = AGGREGATORS["label-model"]().fit(votes)
        return self._programmed[votes.names]

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
        evaluation, k, options = self.evaluation, len(self.names), self.options
        made = generator.sample(options.samples, random_state=1)
        images = ImageSet(made.images, made.proba, name=name)
        found, missing = evaluation.score(
            Generated(name, images), ["fid", "prdc", "fidelity", "parzen"]
        )
        seen = evaluation.tools.judge(made.images)
        judged = seen.argmax(axis=1)
        shares = np.bincount(judged, minlength=k) / len(judged)
        m = self.training_data_of(name)
        block = BatchVotes(m.lfs, k)
        shown = torch.from_numpy(made.images[: options.voted]).permute(0, 3, 1, 2) / 255
        weights = block(shown)
        voted = weights.sum(dim=1).argmax(dim=1).numpy()
        votes = block.stored(weights, is_soft=m.votes.soft is not None)
        named = {
            "label": made.labels[: options.voted],
            "vote": voted,
            "data programming": self.programmed(m.votes)
            .predict_proba(votes)
            .argmax(axis=1),
        }
        tools = evaluation.tools
        recipe = Recipe(options.learner_steps, 1, options.samples)
        weak = ImageSet(self.source, self.loaded.labels.proba, name="real, weak labels")
        real = draw_pairs(weak, recipe.n_images, 0)
        pairs = draw_pairs(images, recipe.n_images, 0)
        tested = {
            text: train_and_test(recipe, given, [tools.test], tools, text)[0]
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
            "vote_fidelity": macro(judged[: options.voted], voted, k),
            "share_min": float(shares.min()),
            "share_max": float(shares.max()),
            "learned": {text: of.accuracy.tolist() for text, of in tested.items()},
            "learned_cross_entropy": {
                text: of.cross_entropy.tolist() for text, of in tested.items()
            },
            "cross_entropy": {
                text: cross_entropy(seen[: options.voted], labels)
                for text, labels in named.items()
            },
            "judge": evaluation.tools.judge_name,
            "n_samples": len(made),
        }


def macro(judged, labels, k):
    """Give the mean over labels of how often the judge agrees."""
    return float(
        np.mean([(judged[labels == c] == c).mean() for c in range(k) if c in labels])
    )


def cross_entropy(proba, labels):
    """Give -log of what the judge gives to the labels, in nats: mean over images."""
    given = proba[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(given, 1e-7)).mean())


def table(rows):
    """Give the rows as Markdown, those that differ by their seed as one."""
    head = ["row", "steps", "seeds", "fidelity", "vote's", "shares", "FID[domain]"]
    head += ["precision", "recall", "fidelity x recall", "GAN-train", "real"]
    head += ["real + generated", "minutes", "Θ perplexity", "LF share"]
    groups = {}
    for found in rows.values():
        if "row" not in found:  # of another table
            continue
        groups.setdefault(
            (found["row"], found["steps"], found["n_samples"]), []
        ).append(flat(found))
    lines = []
    for (name, steps, _), of in groups.items():
        theta = [one["theta"] for one in of if one["theta"] is not None]
        low, high = (
            end(one[key] for one in of)
            for end, key in ((min, "share_min"), (max, "share_max"))
        )
        lines.append(
            [
                name,
                f"{steps:,}",
                len(of),
                over_seeds(of, "fidelity", 3),
                over_seeds(of, "vote_fidelity", 3),
                f"{low:.3f}-{high:.3f}",
                over_seeds(of, "fid", 2),
                over_seeds(of, "precision", 2),
                over_seeds(of, "recall", 2),
                over_seeds(of, "both", 2),
                over_seeds(of, "gan_train", 3),
                over_seeds(of, "real", 3),
                over_seeds(of, "real_and_generated", 3),
                over_seeds(of, "minutes", 0),
                f"{np.mean(theta):.1f} of {of[0]['n_lfs']}" if theta else "",
                over_seeds(of, "lf_percent", 0),
            ]
        )
    return markdown(head, lines)


def flat(found):
    """Give what the table tells of a row, by name; NaN what is not known."""
    scores = {score["metric"]: score["value"] for score in found["scores"]}
    learned = {text: float(np.mean(v)) for text, v in found["learned"].items()}
    recall = scores.get("recall", np.nan)
    minutes = found["minutes"]
    if minutes is None:  # stopped in between
        minutes = found["steps"] / found["steps_per_s"] / 60
    return {
        "fidelity": found["fidelity"],
        "vote_fidelity": found["vote_fidelity"],
        "share_min": found["share_min"],
        "share_max": found["share_max"],
        "fid": next(v for n, v in scores.items() if n.startswith("FID")),
        "precision": scores.get("precision", np.nan),
        "recall": recall,
        "both": found["fidelity"] * recall,
        "gan_train": learned["gan_train"],
        "real": learned["real"],
        "real_and_generated": learned["both"],
        "minutes": minutes,
        "theta": found["theta_perplexity"],
        "n_lfs": found["n_lfs"],
        "lf_percent": 100 * (found["lf_share"] or 0),
    }


if __name__ == "__main__":
    main()
