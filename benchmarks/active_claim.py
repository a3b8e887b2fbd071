"""What active learning gains: certainty and adversarial sampling against random.

    python -m benchmarks.active_claim RUN --test fashion-mnist:test --budget 200

AC-GAN knows the seeds' labels and those that it asked for, nothing else: a quarter of
the budget a round, trained anew for as many steps each time. Each row works in a copy
of RUN, and is kept in --out.
"""

import argparse
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.common import machine, markdown
from benchmarks.joint import macro
from lfkit.commands.active.active import active
from lfkit.commands.active.options import ActiveOptions
from lfkit.generators import Acgan
from lfkit.metrics import ImageSet
from lfkit.metrics.evaluator import Evaluator
from lfkit.metrics.generated_images import Generated
from lfkit.runs.json_text import to_json
from lfkit.runs.run import load_run
from lfkit.runs.store import write_atomically

_ROWS = {
    "random": ("random", 1),
    "random, adversarial": ("random", 4),
    "most-confidence, adversarial": ("most-confidence", 4),
    "most-confidence": ("most-confidence", 1),
    "uncertainty": ("uncertainty", 1),
}


def main(arguments=None):
    """Ask, train and score the rows that are asked for, and print all there are."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path, help="a folder of `lfkit apply`")
    parser.add_argument("--test", required=True, help="labeled images held out of all")
    parser.add_argument("--out", type=Path, default=Path("active-claim"))
    parser.add_argument("--rows", default=";".join(_ROWS), help="separated by ;")
    parser.add_argument("--budget", type=int, default=200)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--samples", type=int, default=5000)
    options = parser.parse_args(arguments)
    path = options.out / "rows.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    for name in options.rows.split(";"):
        row = name.strip()
        key = f"{row} | {options.budget} labels | {options.steps} steps"
        if key not in known:
            known[key] = asked_and_scored(row, options)
            write_atomically(path, to_json(known, indent=1).encode())
    print(f"{machine()}\n")
    print(table(known))


def asked_and_scored(row, options):
    """Spend the budget in a copy of the run, and score what is generated then."""
    query, factor = _ROWS[row]
    run = options.out / row.replace(" ", "-")
    if not run.exists():
        shutil.copytree(
            options.run,
            run,
            ignore=shutil.ignore_patterns("models", "active*", "scoring"),
            copy_function=_linked,
        )
    asked = ActiveOptions(
        run,
        options.budget,
        query=query,
        steps=options.steps,
        settings=("real_labels=seeds", f"draw_factor={factor}"),
    )
    told = active(asked, say=print).to_dict()
    generator = Acgan.load(run / "models" / "acgan-active")
    loaded = load_run(options.run)
    source = loaded.open_images()
    evaluation = Evaluator(loaded, source, against=options.test)
    made = generator.sample(options.samples, random_state=1)
    images = ImageSet(made.images, made.proba, name=row)
    found, _ = evaluation.score(Generated(row, images), ["fid"])
    k = len(loaded.config.class_names)
    judged = evaluation.tools.judge(made.images).argmax(axis=1)
    rows = np.flatnonzero(loaded.scored >= 0)[:10_000]
    named = generator.predict_proba(source.read(rows).pixels).argmax(axis=1)
    return {
        "row": row,
        "told": told,
        "scores": [asdict(score) for score in found],
        "fidelity": macro(judged, made.labels, k),
        "real": float(np.mean(named == loaded.scored[rows])),
    }


def _linked(source, target):
    """Link files that are only read: a run may hold gigabytes of features."""
    Path(target).hardlink_to(source)


def table(rows):
    """Give the rows as Markdown."""
    head = ["row", "guesses right, by round", "largest class asked", "FID[domain]"]
    head += ["fidelity", "real images named"]
    lines = []
    for found in rows.values():
        fid = next(s["value"] for s in found["scores"] if s["metric"].startswith("FID"))
        rounds = found["told"]["rounds"]
        lines.append(
            [
                found["row"],
                " ".join(f"{each['guesses_right']:.2f}" for each in rounds),
                f"{max(each['largest_share'] for each in rounds):.2f}",
                f"{fid:.2f}",
                f"{found['fidelity']:.3f}",
                f"{found['real']:.3f}",
            ]
        )
    return markdown(head, lines)


if __name__ == "__main__":
    main()
