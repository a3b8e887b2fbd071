"""Tables of votes drawn by family: what was chosen, and where it is below a vote."""

from collections import defaultdict

import numpy as np

from benchmarks.common import markdown
from benchmarks.label_model_peers import JUDGED, PLAIN
from benchmarks.vote_results import number, written_lead

_CHANCE = 0.01


def print_families(results):
    """Print all cells, the means of each family, and the cells below a plain vote."""
    others = [name for name in _names(results) if name not in (JUDGED, PLAIN)]
    print(f"### {JUDGED} by cell, and the accuracy of all, in points\n")
    print(_cells(results, others))
    print("### Families: mean lead over a plain vote, in points\n")
    print(_families(results, others))
    print(_below(results))


def _names(results):
    return [*dict.fromkeys(name for r in results.values() for name in r.accuracy)]


def _cells(results, others):
    rows = []
    for cell, r in results.items():
        chosen = ", ".join(f"{name} {n}" for name, n in r.chosen.most_common())
        means = (number(r.mean(name), ".1f") for name in (PLAIN, *others))
        rows.append([cell, written_lead(r, PLAIN), chosen, *means])
    return markdown(["cell", f"{JUDGED}'s lead", "it chose", PLAIN, *others], rows)


def _families(results, others):
    """Give means over cells, by the first word of their names."""
    families = defaultdict(list)
    for cell, r in results.items():
        families[cell.split()[0]].append(r)
    families["all"] = [*results.values()]
    rows = []
    for family, found in families.items():
        leads = [[r.lead(name, PLAIN)[0] for r in found] for name in (JUDGED, *others)]
        means = (number(_mean(of_cells), "+.2f") for of_cells in leads)
        plain, worst = np.mean([r.mean(PLAIN) for r in found]), np.nanmin(leads[0])
        text = f"{plain:.1f}", number(worst, "+.2f")
        rows.append([family, str(len(found)), *text, *means])
    titles = ["family", "cells", PLAIN, f"{JUDGED}: worst cell", JUDGED, *others]
    return markdown(titles, rows)


def _mean(leads):
    done = np.asarray(leads)[~np.isnan(leads)]
    return done.mean() if len(done) else np.nan


def _below(results):
    cells = [
        f"- {cell}: {written_lead(r, PLAIN)}, {PLAIN} {number(r.mean(PLAIN), '.1f')}\n"
        for cell, r in results.items()
        if r.is_below(JUDGED, PLAIN, _CHANCE)
    ]
    unlike = sum(r.lead(JUDGED, PLAIN) != (0, 0) for r in results.values())
    return (
        f"{JUDGED} is below {PLAIN} by more than chance (paired t test, one-sided, at "
        f"{100 * _CHANCE:g} %) in {len(cells)} of {len(results)} cells. Chance alone "
        f"gives {_CHANCE * unlike:.1f} of the {unlike} in which the two differ.\n\n"
    ) + "".join(cells)
