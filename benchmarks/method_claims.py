"""What four papers say of their methods, at our scale: yes or no.

    python -m benchmarks.method_claims RUN --test fashion-mnist:test --out claims

JGAN loses less by wrong labels than a conditional GAN; a few labels make the codes of
ss-InfoGAN the classes; the self-labeling GAN gains by its gate, and at any share of
labels. True labels, made wrong or hidden; as many steps for all that are compared. What
active learning gains, `benchmarks.active_claim` tells. Rows are kept in --out.
"""

from dataclasses import asdict

import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks.common import machine, markdown
from benchmarks.joint import Bench, read_arguments
from lfkit.commands.training_data import TrainingData, training_data
from lfkit.metrics import ImageSet
from lfkit.metrics.generated_images import Generated

_N_FEW = 132  # labels, of all
# Row → generator, settings, share of wrong labels, share (or number) of labels.
_ROWS = {
    **{
        f"{name}, {wrong}% wrong": (of, {"loss": "hinge"}, wrong / 100, 1.0)
        for name, of in (("jgan", "jgan"), ("conditional", "two-stage"))
        for wrong in (0, 10, 30, 50)
    },
    f"ss-infogan, {_N_FEW} labels": ("ss-infogan", {}, 0, _N_FEW),
    "infogan": ("ss-infogan", {"real_labels": "none"}, 0, 1.0),
    **{
        f"self-labeling, {share}% labels{text}": (
            "self-labeling",
            settings | ({"real_labels": "none"} if not share else {}),
            0,
            share / 100 or 1.0,
        )
        for share in (0, 25, 100)
        for text, settings in (
            ("", {"artificial_on_labeled": share == 100}),
            (", no gate", {"threshold": 0.0}),
            (", not self-labeled", {"self_label": False}),
        )
        if not (share and "gate" in text)
    },
}


class MethodClaims(Bench):
    """The rows of this benchmark, each with labels of its own."""

    def __init__(self, options):
        super().__init__(options)
        self.known = {row: (of, settings) for row, (of, settings, *_) in _ROWS.items()}
        self.material = training_data(self.loaded, real_labels="true")

    def training_data_of(self, name):
        """Make labels wrong, or hide them."""
        m, (*_, wrong, share) = self.material, _ROWS[name]
        n, k = m.proba.shape
        rng = np.random.default_rng([self.options.seed, 2])
        labels = m.proba.argmax(axis=1)
        # As in the paper: a random part gets another class, any of them.
        chosen = rng.permutation(n)[: round(wrong * n)]
        labels[chosen] = (labels[chosen] + rng.integers(1, k, size=len(chosen))) % k
        proba = np.eye(k)[labels]
        n_known = share if isinstance(share, int) else round(share * n)
        proba[rng.permutation(n)[n_known:]] = 0
        return TrainingData(m.pixels, m.votes, proba, (), None)

    def scores(self, name, generator):
        """Score images and labels; classes that are only codes by the best match."""
        evaluation, k = self.evaluation, len(self.names)
        made = generator.sample(self.options.samples, random_state=1)
        images = ImageSet(made.images, made.proba, name=name)
        found, missing = evaluation.score(Generated(name, images), ["fid"])
        judged = evaluation.tools.judge(made.images).argmax(axis=1)
        both = np.zeros((k, k))
        np.add.at(both, (made.labels, judged), 1)
        shares = both.sum(axis=0) / len(judged)
        truth, rows = self.loaded.scored, np.flatnonzero(self.loaded.scored >= 0)[:5000]
        named = generator.predict_proba(self.material.pixels[rows]).argmax(axis=1)
        return {
            "scores": [asdict(score) for score in found],
            "missing": missing,
            "fidelity": float(np.trace(both) / len(judged)),
            "matched": float(both[linear_sum_assignment(-both)].sum() / len(judged)),
            "share_min": float(shares.min()),
            "share_max": float(shares.max()),
            "real": float(np.mean(named == truth[rows])),
            "judge": evaluation.tools.judge_name,
            "n_samples": len(made),
        }


def main(arguments=None):
    """Train and score the rows that are asked for, and print all there are."""
    options = read_arguments(arguments, list(_ROWS), "method-claims", 1000, 5000)
    bench = MethodClaims(options)
    for name in options.rows.split(";"):
        bench.row(name.strip())
    print(f"{machine()}\n")
    print(table(bench.rows()))


def table(rows):
    """Give the rows as Markdown."""
    head = ["row", "steps", "FID[domain]", "fidelity", "best match", "shares"]
    head += ["real images named", "steps/s"]
    lines = []
    for found in rows.values():
        fid = next(s["value"] for s in found["scores"] if s["metric"].startswith("FID"))
        lines.append(
            [
                found["row"],
                f"{found['steps']:,}",
                f"{fid:.2f}",
                f"{found['fidelity']:.3f}",
                f"{found['matched']:.3f}",
                f"{found['share_min']:.3f}-{found['share_max']:.3f}",
                f"{found['real']:.3f}",
                f"{found['steps_per_s']:.1f}",
            ]
        )
    return markdown(head, lines)


if __name__ == "__main__":
    main()
