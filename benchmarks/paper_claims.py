"""What the ADP paper says of its method, on the method as printed: yes or no.

    python -m benchmarks.paper_claims RUN --test fashion-mnist:test --out claims

Without D_LFB, by equation 7 or 9, with 3 to 54 functions (its table 6) and with one
kind of them (its table 7): as many steps each, on the small network, functions voting
once a step. Real pairs have true labels, as in the paper. Rows are kept in --out.
"""

from dataclasses import asdict

import numpy as np
import torch

from benchmarks.common import machine, markdown
from benchmarks.joint import ONCE, REPAIRED, SMALL, Bench, macro, read_arguments
from lfkit.aggregators import MajorityVote
from lfkit.commands.training_data import TrainingData, training_data
from lfkit.generators.lf_votes.batch_votes import BatchVotes
from lfkit.metrics import ImageSet
from lfkit.metrics.generated_images import Generated

_BASE = SMALL | ONCE | {"real_labels": "true"}
COUNTS = (3, 10, 25, 40, 54)
KINDS = ("heuristic", "image-processing", "deep")
_ROWS = {
    "as printed": {},
    "no D_LFB": {"judge_dependencies": False},
    "equation 9 in training": {"equation": 9},
    "repaired": REPAIRED,
    **{f"{n} functions": {} for n in COUNTS},
    **{f"{kind} only": {} for kind in KINDS},
}


def with_functions(m, name, seed):
    """Give what a row is trained on: with so many functions, or of one kind, or all."""
    first, columns = name.split()[0], np.arange(len(m.lfs))
    if first.isdigit():
        rng = np.random.default_rng([seed, 1])
        columns = np.sort(rng.permutation(columns)[: int(first)])
    elif first in KINDS:
        columns = columns[[lf.kind == first for lf in m.lfs]]
    chosen = tuple(m.lfs[j] for j in columns)
    return TrainingData(m.pixels, m.votes.select(columns), m.proba, chosen, None)


class Claims(Bench):
    """The rows of this benchmark; each has functions of its own, and true labels."""

    def __init__(self, options):
        super().__init__(options)
        self.known = {name: ("adp-paper", _BASE | _ROWS[name]) for name in _ROWS}
        self.material = training_data(self.loaded, real_labels="true")

    def training_data_of(self, name):
        """Choose the functions of a row."""
        return with_functions(self.material, name, self.options.seed)

    def scores(self, name, generator):
        """Score images, their labels, and the labels of real images."""
        evaluation, k = self.evaluation, len(self.names)
        m = self.training_data_of(name)
        made = generator.sample(self.options.samples, random_state=1)
        images = ImageSet(made.images, made.proba, name=name)
        found, missing = evaluation.score(Generated(name, images), ["fid"])
        judged = evaluation.tools.judge(made.images).argmax(axis=1)
        shares = np.bincount(judged, minlength=k) / len(judged)
        shown = torch.from_numpy(made.images).permute(0, 3, 1, 2) / 255
        voted = BatchVotes(m.lfs, k)(shown).sum(dim=1).argmax(dim=1).numpy()
        scored = np.flatnonzero(self.loaded.scored >= 0)
        truth, votes = self.loaded.scored[scored], m.votes.rows(scored)
        by_block = generator.predict_proba(m.pixels[:0], votes).argmax(axis=1)
        by_vote = MajorityVote().fit(votes).predict_proba(votes).argmax(axis=1)
        return {
            "scores": [asdict(score) for score in found],
            "missing": missing,
            "fidelity": macro(judged, made.labels, k),
            "vote_fidelity": macro(judged, voted, k),
            "share_min": float(shares.min()),
            "share_max": float(shares.max()),
            "real": float(np.mean(by_block == truth)),
            "real_by_vote": float(np.mean(by_vote == truth)),
            "judge": evaluation.tools.judge_name,
            "n_samples": len(made),
        }


def main(arguments=None):
    """Train and score the rows that are asked for, and print all there are."""
    options = read_arguments(arguments, list(_ROWS), "claims", 1000, 5000)
    bench = Claims(options)
    for name in options.rows.split(";"):
        bench.row(name.strip())
    print(f"{machine()}\n")
    print(table(bench.rows()))


def table(rows):
    """Give the rows as Markdown."""
    head = ["row", "steps", "functions", "Θ perplexity", "fidelity", "vote's", "shares"]
    head += ["FID[domain]", "real images: Θ̄, Φ̄", "plain vote"]
    lines = []
    for found in rows.values():
        fid = next(s["value"] for s in found["scores"] if s["metric"].startswith("FID"))
        lines.append(
            [
                found["row"],
                f"{found['steps']:,}",
                str(found["n_lfs"]),
                f"{found['theta_perplexity']:.1f}",
                f"{found['fidelity']:.3f}",
                f"{found['vote_fidelity']:.3f}",
                f"{found['share_min']:.3f}-{found['share_max']:.3f}",
                f"{fid:.2f}",
                f"{found['real']:.3f}",
                f"{found['real_by_vote']:.3f}",
            ]
        )
    return markdown(head, lines)


if __name__ == "__main__":
    main()
