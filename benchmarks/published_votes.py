"""Label models on stored votes whose true classes are known, beside their peers.

    python -m benchmarks.published_votes PATH [PATH …] [--models auto,dawid-skene]
        [--limit 300] [--seeds] [--json FILE]

A PATH is a run, a file of votes with labels, a folder of WRENCH's (train.json) or
crowd-kit's (crowd_labels.csv, gt.csv), or a folder that holds .npz files and such
folders. Prints Markdown.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.common import machine, markdown, one_thread
from benchmarks.label_model_peers import (
    JUDGED,
    OUT_OF_TIME,
    PLAIN,
    chosen,
    fit,
    not_installed,
    ours,
    peers,
    timed_fit,
    warm_up,
)
from benchmarks.seed_curve import seed_curve, seed_table
from benchmarks.vote_scores import (
    bootstrap_interval,
    cross_fitted_naive_bayes,
    score,
)
from benchmarks.vote_sets import stored_sets, votes_alone

CEILING = "naive Bayes on true classes"
_INTRODUCTION = f"""\
Scored are the images that have a vote and a known class. Accuracy is in points; where
t classes are tied each counts 1/t; the best is bold. Intervals are 95 %, by redrawing
the images; those of differences are paired. In the log loss a probability below .001
counts as .001. Seconds are those of the processor, on one thread, to fit and to label
(>s: stopped then). Nobody is told the classes' shares. The row "{CEILING}"
learns from four fifths of the images for the others: what the votes hold if functions
err independently of each other. It reads one class per vote, as the peers do.
"""


def main(arguments=None):
    """Print a table per set of votes, then all sets side by side."""
    parser = argparse.ArgumentParser()
    parser.add_argument("paths", nargs="+", metavar="PATH")
    parser.add_argument("--models", help="only these, and auto and majority-vote")
    parser.add_argument("--limit", type=float, default=300, help="seconds of a fit")
    parser.add_argument(
        "--seeds", action="store_true", help="accuracy by the number of seeds too"
    )
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args(arguments)
    sets = stored_sets(options.paths)
    names = chosen([*ours(), *peers()], options.models)
    print(f"{machine()}, one thread\n\n{_INTRODUCTION}")
    if missing := not_installed():
        print(f"Not installed, and left out: {', '.join(missing)}.\n")
    results, curves = {}, {}
    with one_thread():
        warm_up(names, options.limit)
        for name, found in sets.items():
            for title, part, own in _variants(name, found):
                known = [model for model in names if model in ours() or not own]
                results[title] = Result(title, part, known, options.limit)
                print(results[title].table(), flush=True)
            if options.seeds:
                curves[name] = seed_curve(found, names, options.limit)
                print(seed_table(name, curves[name]), flush=True)
    print(bounds_table(results))
    print(accuracy_table(results))
    if options.json is not None:
        figures = {title: result.figures() for title, result in results.items()}
        whole = {"machine": machine(), "sets": figures, "seeds": curves}
        options.json.write_text(json.dumps(whole, indent=1))


def _variants(name, found):
    """Give what is compared: hard votes by everyone, all that is known by ours."""
    votes = found.votes
    yield name, replace(found, votes=votes_alone(votes)), False
    more = {
        "soft votes": votes.soft is not None,
        "votes for several classes": votes.allowed is not None,
        "seeds": votes.seed_out_of_fold is not None,
    }
    if any(more.values()):
        text = " and ".join(what for what, is_there in more.items() if is_there)
        yield f"{name}, with its {text}", found, True


class Result:
    """Scores of models on one set of votes.

    Attributes
    ----------
    scores : name → Scores, of the models that gave class probabilities.
    seconds : name → to fit and label.
    reasons : name → why there is no score.
    """

    def __init__(self, title, found, names, limit):
        self.title, self.found, self.limit = title, found, limit
        self.scores, self.seconds, self.reasons = {}, {}, {}
        if not found.scored.any():
            raise SystemExit(f"{title} has no image with a vote and a known class.")
        for name in names:
            self._add(name, fit(name, found.votes, limit))
        self._add(CEILING, timed_fit(lambda: cross_fitted_naive_bayes(found), limit))

    def _add(self, name, outcome):
        self.seconds[name] = outcome.seconds
        if outcome.proba is None:
            self.reasons[name] = outcome.reason
        else:
            self.scores[name] = score(outcome.proba, self.found)
        said = outcome.reason or f"{100 * self.scores[name].accuracy:.2f}"
        print(f"{self.title}: {name}: {said}", file=sys.stderr, flush=True)

    @property
    def best(self):
        """Give the most accurate model's name; the ceiling is none."""
        names = [name for name in self.scores if name != CEILING]
        return max(names, key=lambda name: self.scores[name].accuracy)

    def points(self, name):
        """Write a model's accuracy in points."""
        if name not in self.scores:
            return "-"
        text, best = (
            f"{100 * self.scores[which].accuracy:.2f}" for which in (name, self.best)
        )
        return f"**{text}**" if text == best and name != CEILING else text

    def lead(self, over):
        """Write the lead of the judged model in points, and its interval."""
        if not {JUDGED, over} <= self.scores.keys():
            return "-"
        lead = 100 * (self.scores[JUDGED].right - self.scores[over].right)
        low, high = bootstrap_interval(lead)
        return f"{lead.mean():+.2f} ({low:+.2f} to {high:+.2f})"

    def table(self):
        """Give all models' scores as Markdown."""
        votes, rows = self.found.votes, []
        for name, seconds in self.seconds.items():
            if name in self.scores:
                found = self.scores[name]
                low, high = bootstrap_interval(100 * found.right)
                cells = [f"{low:.2f} to {high:.2f}"]
                cells += [f"{found.log_loss:.3f}", f"{found.ece:.3f}", f"{seconds:.2f}"]
            else:
                stopped = self.reasons[name] == OUT_OF_TIME
                cells = ["-", "-", "-", f">{seconds:g}" if stopped else "-"]
            rows.append([name, self.points(name), *cells])
        titles = "model", "accuracy", "95 %", "log loss", "calibration error", "seconds"
        covered = int(votes.voted.any(axis=1).sum())
        text = (
            f"### {self.title}\n\n{len(votes):,} images, {votes.n_functions} functions,"
            f" {votes.n_classes} classes; {covered:,} images have a vote, on average "
            f"{votes.voted.sum() / max(covered, 1):.1f}; {self.found.scored.sum():,} "
            f"are scored.\n\n{markdown(titles, rows)}"
        )
        failed = [
            f"- {name}: {reason}\n"
            for name, reason in self.reasons.items()
            if reason != OUT_OF_TIME
        ]
        return text + ("\n" + "".join(failed) if failed else "")

    def figures(self):
        """Give all that was measured, as JSON has it."""
        found = {}
        for name, seconds in self.seconds.items():
            found[name] = {"seconds": seconds}
            if name in self.reasons:
                found[name]["reason"] = self.reasons[name]
                continue
            scores = self.scores[name]
            low, high = bootstrap_interval(scores.right)
            found[name] |= {"accuracy": scores.accuracy, "low": low, "high": high}
            found[name] |= {"log_loss": scores.log_loss, "ece": scores.ece}
        return {"scored": int(self.found.scored.sum()), "models": found}


def bounds_table(results):
    """Say how far the judged model is from a plain vote, the best and the ceiling."""
    rows = [
        [
            title,
            r.points(JUDGED),
            r.lead(PLAIN),
            r.best,
            r.lead(r.best),
            r.points(CEILING),
        ]
        for title, r in results.items()
    ]
    titles = [
        "votes", JUDGED, f"{JUDGED} - {PLAIN}", "best", f"{JUDGED} - best", CEILING,
    ]  # fmt: skip
    return f"### {JUDGED} between a plain vote and the best\n\n{markdown(titles, rows)}"


def accuracy_table(results):
    """Put the accuracies of all sets side by side."""
    names = dict.fromkeys(name for r in results.values() for name in r.seconds)
    rows = [[name, *(r.points(name) for r in results.values())] for name in names]
    return f"### Accuracy of all models\n\n{markdown(['model', *results], rows)}"


if __name__ == "__main__":
    main()
