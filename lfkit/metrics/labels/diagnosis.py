"""What limits the labels: gaps and copies among the functions, ceilings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lfkit.aggregators.inference.dependencies import Dependencies, find_dependencies
from lfkit.data.labels import checked_labels
from lfkit.data.votes import ABSTAIN, Votes
from lfkit.errors import InputError
from lfkit.labeling.analysis import LFAnalysis
from lfkit.metrics.labels.identifiability import Identifiability, identifiability
from lfkit.metrics.labels.lf_agreement import agreements
from lfkit.metrics.labels.upper_bound import Ceiling, find_ceiling

MIN_KNOWN_LABELS = 30
MIN_VOTES = 20
COPY_AGREEMENT = 0.98
# What a rule learned from labels must gain over the majority vote to be worth it.
LEAST_GAIN = 0.02
_MOST_GROUPS = 5  # of functions that err together, to be listed
_MOST_NAMED = 4  # functions of a group that a sentence names


@dataclass(frozen=True)
class Copies:
    """Two functions that say nearly the same; every aggregator counts them twice.

    Attributes
    ----------
    agreement : share of the images on which either votes where both vote alike.
    n_either : number of these images.
    """

    first: str
    second: str
    agreement: float
    n_either: int


@dataclass(frozen=True)
class DependentGroup:
    """Functions that err together though the class is given.

    Attributes
    ----------
    strength : the least residual correlation among the pairs found; 1 = copies.
    effective : how many independent functions the group is worth.
    """

    names: tuple[str, ...]
    strength: float
    effective: float


@dataclass(frozen=True)
class Diagnosis:
    """What the votes can and cannot give.

    Attributes
    ----------
    unnamed_classes : the classes that no function names.
    declared : True if that follows from declared classes, False if from the votes.
    n_without_votes : images on which every function abstains.
    copies : pairs of functions that say nearly the same.
    ceiling : None when fewer than 30 labels are known.
    dependent : groups of functions that agree more than the class explains.
    identifiability : whether votes alone tell how good the functions are.
    baseline : name and accuracy of the best classifier trained on the seeds alone, if
        known.
    """

    class_names: tuple[str, ...]
    n_images: int
    n_functions: int
    unnamed_classes: tuple[int, ...]
    declared: bool
    n_without_votes: int
    copies: tuple[Copies, ...]
    n_known: int
    ceiling: Ceiling | None
    dependent: tuple[DependentGroup, ...]
    identifiability: Identifiability
    baseline: tuple[str, float] | None

    def to_dict(self) -> dict[str, Any]:
        """Return the findings as plain, JSON-able values."""
        return asdict(self)

    def sentences(self) -> list[str]:
        """Return the findings in plain English."""
        return [
            *self._about_gaps(),
            *(
                f"{pair.first!r} and {pair.second!r} agree on "
                f"{percent(pair.agreement)} of the {pair.n_either:,} images where "
                "either votes: they count twice; drop one."
                for pair in self.copies
            ),
            *self._about_groups(),
            *(
                self.identifiability.sentences(self.class_names)
                if self.n_images
                else ()
            ),
            self._about_ceiling(),
            *self._about_limit(),
        ]

    def _about_groups(self) -> list[str]:
        pairs = {frozenset((pair.first, pair.second)) for pair in self.copies}
        found = []
        for group in sorted(self.dependent, key=lambda group: -len(group.names)):
            if frozenset(group.names) in pairs:
                continue
            n_more = len(group.names) - _MOST_NAMED
            listed = ", ".join(repr(name) for name in group.names[:_MOST_NAMED])
            more = f" and {n_more} more" if n_more > 0 else ""
            found.append(
                f"{listed}{more} err together: these {len(group.names)} are worth "
                f"{group.effective:.1f} independent functions."
            )
        if len(found) > _MOST_GROUPS:
            rest = len(found) - _MOST_GROUPS
            found[_MOST_GROUPS:] = [f"{rest} more groups of functions err together."]
        return found

    def _about_gaps(self) -> list[str]:
        if not self.n_images:
            return ["There are no images."]
        share = self.n_without_votes / self.n_images
        one = self.n_functions == 1
        functions = "1 function" if one else f"{self.n_functions} functions"
        gaps = [
            f"{functions}; {self.n_without_votes:,} of "
            f"{self.n_images:,} images ({percent(share)}) have no vote."
        ]
        if self.unnamed_classes:
            names = ", ".join(repr(self.class_names[c]) for c in self.unnamed_classes)
            verb = "can name" if self.declared else "ever voted for"
            gaps.append(
                f"No function {verb} {names}: votes alone cannot give that label; "
                "write a function for it."
            )
        return gaps

    def _about_ceiling(self) -> str:
        if self.ceiling is None:
            return (
                f"Beside the seed labels {self.n_known or 'no'} labels are known, too "
                "few to say how far votes alone can go; give at least "
                f"{MIN_KNOWN_LABELS} by --labels."
            )
        return (
            f"On {self.ceiling.n_known:,} labeled images the majority vote is right "
            f"{percent(self.ceiling.majority_vote)} of the time. Who knows the labels "
            "can make of these votes "
            f"{percent(self.ceiling.supervised)} (learned on one half, scored on the "
            f"other), and never more than {percent(self.ceiling.in_sample)}; beyond "
            "that no aggregator gets, only better functions or the pixels do."
        )

    def _about_limit(self) -> list[str]:
        found = []
        if self.ceiling is not None:
            gain = self.ceiling.supervised - self.ceiling.majority_vote
            if gain > LEAST_GAIN:
                found.append(
                    "Labels limit you: these votes can give "
                    f"{100 * gain:.1f} points more than the majority vote has; "
                    "weighing the functions, by seeds or by another aggregator, can "
                    "gain as much."
                )
            else:
                found.append(
                    "Pixels limit you: even a rule learned from labels on these same "
                    f"votes gains only {max(0.0, 100 * gain):.1f} points over the "
                    "majority vote; what is missing must come from the images."
                )
        if self.baseline is not None:
            name, accuracy = self.baseline
            sentence = (
                f"The best classifier trained on the seeds alone, {name}, is right "
                f"{percent(accuracy)} of the time"
            )
            if self.ceiling is None:
                found.append(sentence + ".")
            elif accuracy > self.ceiling.supervised:
                found.append(
                    sentence + ", more than any rule on these votes: let the labels "
                    "see the images."
                )
            elif accuracy > self.ceiling.majority_vote:
                found.append(
                    sentence + ", more than the majority vote: the functions add "
                    "something only if they are weighed well."
                )
            else:
                found.append(sentence + ": the functions add to the seeds.")
        return found


def percent(share: float) -> str:
    """Write a share as sentences have it."""
    return f"{100 * share:.1f} %"


def diagnose(
    votes: Votes,
    *,
    class_names: Sequence[str] | None = None,
    labels: ArrayLike | None = None,
    lf_classes: Sequence[Sequence[int]] | None = None,
    baselines: Mapping[str, float] | None = None,
    random_state: int = 0,
) -> Diagnosis:
    """Say what limits the labels that these votes can give.

    Parameters
    ----------
    class_names : the k classes' names; None: "class 0", ...
    labels : (n,) true labels as far as known, -1 = unknown.
    lf_classes : the classes each function declares; None: those it voted for.
    baselines : accuracy of each classifier trained on the seeds alone, as far as known.
    random_state : seed of the split into halves behind the rules learned from labels.
    """
    k = votes.n_classes
    names = tuple(class_names or [f"class {c}" for c in range(k)])
    if len(names) != k:
        raise InputError(
            f"class_names has {len(names)} names; the votes have {k} classes."
        )
    if lf_classes is not None and len(lf_classes) != votes.n_functions:
        raise InputError(
            f"lf_classes has {len(lf_classes)} entries; the votes have "
            f"{votes.n_functions} functions."
        )
    polarities = LFAnalysis(votes).lf_polarities() if lf_classes is None else lf_classes
    named = {label for classes in polarities for label in classes}
    truth = np.full(len(votes), -1)
    if labels is not None:
        truth = checked_labels(labels, len(votes), "labels")
    n_known = int(np.count_nonzero(truth >= 0))
    hard = replace(votes, soft=None, allowed=None).patterns()
    dependencies = find_dependencies(hard)
    return Diagnosis(
        class_names=names,
        n_images=len(votes),
        n_functions=votes.n_functions,
        unnamed_classes=tuple(sorted(set(range(k)) - named)),
        declared=lf_classes is not None,
        n_without_votes=int(np.count_nonzero(~votes.voted.any(axis=1))),
        copies=_copies(votes),
        n_known=n_known,
        ceiling=find_ceiling(votes, truth, random_state)
        if n_known >= MIN_KNOWN_LABELS
        else None,
        dependent=_dependent(votes, dependencies),
        identifiability=identifiability(hard, polarities, dependencies.groups),
        baseline=max(baselines.items(), key=lambda baseline: baseline[1])
        if baselines
        else None,
    )


def _dependent(votes: Votes, dependencies: Dependencies) -> tuple[DependentGroup, ...]:
    """Name the functions of each group, and say what the group is worth."""
    found = []
    for group in dependencies.groups:
        inside = np.isin(dependencies.pairs, group).all(axis=1)
        found.append(
            DependentGroup(
                names=tuple(votes.names[j] for j in group),
                strength=float(dependencies.strengths[inside].min()),
                effective=float(dependencies.powers[list(group)].sum()),
            )
        )
    return tuple(found)


def _copies(votes: Votes) -> tuple[Copies, ...]:
    """Find the pairs of functions whose single-class votes are nearly the same."""
    found = []
    table = agreements(votes)
    for i, j in np.argwhere(np.triu(table > COPY_AGREEMENT, 1)):
        n_either = int((votes.hard[:, [i, j]] != ABSTAIN).any(axis=1).sum())
        if n_either >= MIN_VOTES:
            names = votes.names[i], votes.names[j]
            found.append(Copies(*names, float(table[i, j]), n_either))
    return tuple(found)
