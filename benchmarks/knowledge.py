"""What labeling functions know: labels without seeds, and with few.

    python -m benchmarks.knowledge --data DATA (--lfs SPEC | --votes FILE)
        [--seeds 0,2,5,20] [--draws 3] [--encoder NAME] [--stages STAGE,…]
        [--size SIZE] --out FOLDER

Prints Markdown: for each number of seeds per class, the plain vote, the refined labels
and their expected calibration error, the same stages from the seeds alone, by the same
networks, the best baseline trained on the seeds, and how many labels per class are
worth what the functions that need none, refined, tell without any. Accuracies are of
the images that are no seeds; means and ranges over the draws. What is measured is kept
in FOLDER/knowledge.jsonl: the same call goes on from there.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from benchmarks.common import machine, markdown
from lfkit.commands.apply import apply
from lfkit.features.feature import ancestors
from lfkit.labeling.loading import load_lfs
from lfkit.runs.apply_options import ApplyOptions
from lfkit.runs.options import parse_size, split_list
from lfkit.runs.run import load_run

HEADER = [
    "seeds per class",
    "plain vote",
    "refined",
    "its ECE",
    "seeds alone, refined",
    "best baseline on the seeds",
    "worth without seeds, labels per class",
]
_CHEAP = ("lda", "align", "self-training", "diffuse", "metric")
_SILENT = """
from lfkit import ABSTAIN, labeling_function

CLASSES = {classes!r}


@labeling_function(classes=[0])
def says_nothing(image):
    return ABSTAIN


LFS = [says_nothing]
"""


def main(arguments=None):
    """Measure what is not yet in the folder, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    voters = parser.add_mutually_exclusive_group(required=True)
    voters.add_argument("--lfs")
    voters.add_argument("--votes", type=Path)
    parser.add_argument("--seeds", default="0,2,5,20")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--encoder", action="append", default=[])
    parser.add_argument("--stages", type=split_list, default=_CHEAP)
    parser.add_argument("--size", type=parse_size)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    kept = Kept(options.out / "knowledge.jsonl")
    rows, what = [], options.lfs or str(options.votes)
    for seeds in map(int, options.seeds.split(",")):
        found = [
            kept.get((what, seeds, draw), measured, options)
            for draw in range(options.draws if seeds else 1)
        ]
        rows.append([str(seeds), *shown(found)])
    print(f"{machine()}\n")
    print(markdown(HEADER, rows))


class Kept:
    """Rows of a file, each measured once."""

    def __init__(self, path):
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self._found = {tuple(row["task"]): row for row in map(json.loads, lines)}

    def get(self, task, measure, options):
        """Give the row of a task, measuring it if it is not there."""
        if task not in self._found:
            row = {"task": task, **measure(options, *task[1:])}
            with self._path.open("a") as file:
                file.write(json.dumps(row) + "\n")
            self._found[task] = row
        return self._found[task]


def measured(options, seeds, draw):
    """Label with one draw of seeds: shares, and the worth of the functions."""
    own = {"lfs": (options.lfs,)} if options.lfs else {"votes": options.votes}
    summary = labeled(options, seeds, draw, own, options.out / "functions")
    baseline, worth = summary.best_baseline, summary.crossover
    alone = None
    if seeds:
        silent = options.out / "silent.py"
        silent.write_text(_SILENT.format(classes=list(summary.class_names)))
        nothing = {"lfs": (str(silent),), "encoders": networks(options)}
        found = labeled(options, seeds, draw, nothing, options.out / "seeds_alone")
        if found.refinement.is_refined:  # one seed per class teaches nothing
            alone = found.accuracy.of_all
    return {
        "vote": summary.majority_vote_accuracy.of_all,
        "refined": summary.accuracy.of_all,
        "ece": calibration_error(options.out / "functions"),
        "alone": alone,
        "baseline": None if baseline is None else baseline.accuracy,
        "worth": None if worth is None else worth.worth or np.inf,
    }


def networks(options):
    """Name the networks that the functions look with: seeds alone have them, too."""
    lfs = load_lfs([options.lfs]).lfs if options.lfs else []
    seen = {node.encoder for lf in lfs for node in ancestors(lf.features)} - {None}
    return tuple(dict.fromkeys([*options.encoder, *sorted(one.name for one in seen)]))


def labeled(options, seeds, draw, voters, out):
    """Run `lfkit apply --refine` and give its summary."""
    voters = {"encoders": tuple(options.encoder)} | voters
    return apply(
        ApplyOptions(
            data=options.data,
            out=out,
            **voters,
            seeds_per_class=seeds or None,
            seed=draw,
            refine=True,
            stages=tuple(options.stages),
            size=options.size,
            sheet=False,
        )
    )


def calibration_error(out, n_bins=15):
    """Mean distance of confidence and accuracy over bins of equally many images."""
    run = load_run(out)
    scored = (run.truth >= 0) & ~run.given & (run.labels.labels >= 0)
    confidence = run.labels.proba[scored].max(axis=1)
    right = run.labels.labels[scored] == run.truth[scored]
    bins = np.array_split(np.argsort(confidence, kind="stable"), n_bins)
    gaps = [
        len(b) * abs(confidence[b].mean() - right[b].mean()) for b in bins if len(b)
    ]
    return float(sum(gaps) / max(len(right), 1))


def shown(found):
    """Give means, and ranges where there are several draws."""
    cells = []
    for name in ("vote", "refined", "ece", "alone", "baseline", "worth"):
        values = [row[name] for row in found if row[name] is not None]
        digits = 0 if name == "worth" else 3
        if not values:
            cells.append("")
        elif not np.isfinite(values).all():
            cells.append("more than the seeds tell")
        elif len(values) == 1:
            cells.append(f"{values[0]:.{digits}f}")
        else:
            low, high = min(values), max(values)
            mean = np.mean(values)
            cells.append(f"{mean:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})")
    return cells


if __name__ == "__main__":
    main()
