"""Which features tell a selection of images from the others, and a rule made of one."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from lfkit.errors import InputError
from lfkit.features import FEATURES
from lfkit.labeling.thresholds.threshold import purest_cut
from lfkit.studio.number_names import number_name

# Quick to compute of any image, and with few exceptions each number has a meaning.
CHEAP = (
    *("height", "width", "aspect", "fill", "asymmetry", "centre_of_mass"),
    *("second_moments", "top_bottom_asymmetry", "point_asymmetry", "elongation"),
    *("orientation_angle", "convexity", "row_profile", "column_profile"),
    *("radial_profile", "border_uniformity", "background_share", "dark_share"),
    *("white_share", "distinct_colors", "dominant_color_share"),
    *("intensity_histogram", "edge_density", "edge_grid", "canny_density"),
    *("corner_count", "crossing_counts", "component_count", "hole_count"),
    *("thumbnail", "hog", "lbp_grid"),
)
CHEAP_COLOR = (
    *("colorfulness", "warm_share", "green_share", "blue_share", "skin_share"),
    *("border_color", "color_moments", "color_grid"),
)
_RANKED = 40  # numbers that are ranked exactly; the others are left behind
_OF_ONE_FEATURE = 2  # numbers of one feature in the answer
_LEAST_RECALL = 0.6
_LEAST_FOR_WHOLE = 10  # images on either side
_MOST_FOR_WHOLE = 1000
_SHRINKAGE = 0.2
_TAKEN = frozenset({"ABSTAIN", "CLASSES", "DATA", "FEATURES", "LFS"})


@dataclass(frozen=True)
class Separation:
    """How well one feature tells the selected images from the others.

    Attributes
    ----------
    feature : its name in the table.
    dimension : which of its numbers; None if it has one, or is taken as a whole.
    is_whole : all its numbers together, weighed by a linear discriminant.
    side : "above" or "below" the cut lie the selected ones.
    cut : None if `is_whole`.
    auc : how often a selected image lies further on that side than another, .5 to 1;
        of a whole feature on images that its discriminant has not seen.
    share_selected, share_others : of each that lie beyond the cut; None if `is_whole`.
    purity : share of the images beyond the cut that are selected; None if `is_whole`.
    """

    feature: str
    dimension: int | None
    is_whole: bool
    side: str
    cut: float | None
    auc: float
    share_selected: float | None
    share_others: float | None
    purity: float | None


def cheap_features(n_channels: int) -> tuple[str, ...]:
    """Name the features of `FEATURES` that are quick to compute of such images."""
    return CHEAP + CHEAP_COLOR if n_channels == 3 else CHEAP


def separating_features(
    feature_table: Mapping[str, NDArray[np.floating]],
    selected: NDArray[np.bool_],
    *,
    n: int = 8,
) -> list[Separation]:
    """Rank features by how well they tell selected images from the others.

    Single numbers first get their cut: the one beyond which the purest sample lies
    that holds at least 60 % of the selected images.

    Parameters
    ----------
    feature_table : name → (n, ...) values of all images.
    selected : (n,) True for the selected ones.
    n : how many single numbers at most, the best first, and at most two of a feature;
        half as many whole features join them.
    """
    selected = np.asarray(selected, bool)
    if selected.all() or not selected.any():
        raise InputError(
            f"{int(selected.sum())} of {len(selected)} images are selected; select "
            "some, and leave some out, to see what tells them apart."
        )
    tables = {name: _flat(name, v, selected) for name, v in feature_table.items()}
    gaps = [
        (gap, name, dimension)
        for name, values in tables.items()
        for dimension, gap in enumerate(_standardised_gaps(values, selected).tolist())
        if gap > 0
    ]
    gaps.sort(key=lambda each: (-each[0], each[1], each[2]))
    found = [
        _of_number(name, dimension, tables[name], selected)
        for _, name, dimension in gaps[:_RANKED]
    ]
    few = min(int(selected.sum()), int((~selected).sum()))
    if few >= _LEAST_FOR_WHOLE:
        found += [
            _of_whole(name, values, selected)
            for name, values in tables.items()
            if values.shape[1] > 1
        ]
    found.sort(key=lambda each: (-round(each.auc, 3), each.is_whole, each.feature))
    chosen: list[Separation] = []
    for each in found:
        alike = [one for one in chosen if one.is_whole == each.is_whole]
        most = n // 2 if each.is_whole else n
        of_it = [one for one in alike if one.feature == each.feature]
        if len(alike) < most and len(of_it) < _OF_ONE_FEATURE:
            chosen.append(each)
    return chosen


def snippet(
    separation: Separation,
    label: int,
    class_name: str,
    *,
    expression: str | None = None,
) -> str:
    """Write a labeling function that can be pasted into a file of functions.

    The class is a constant with its name; the cut says what it is about.

    Parameters
    ----------
    label, class_name : the class that it votes for.
    expression : what the feature is called there; None: looked up in lfkit's table, or
        its own name if it is not among lfkit's.
    """
    name = separation.feature
    is_ours = expression is None and name in FEATURES
    node = expression or (f'FEATURES["{name}"]' if is_ours else name)
    words = ["OneVsRest"] if separation.is_whole else ["ABSTAIN"]
    imports = f"from lfkit import {', '.join([*words, 'labeling_function'])}\n"
    if is_ours:
        imports += "from lfkit.features import FEATURES\n"
    body = _whole_rule if separation.is_whole else _cut_rule
    constant = _constant(class_name, int(label))
    rule = body(separation, node, constant, class_name)
    return f"{imports}\n{constant} = {int(label)}\n\n\n{rule}"


def _cut_rule(each: Separation, node: str, label: str, class_name: str) -> str:
    assert each.cut is not None
    assert each.share_selected is not None
    assert each.share_others is not None
    value, what = "value", each.feature
    if each.dimension is not None:
        value, what = f"values[{each.dimension}]", f"{each.feature}_{each.dimension}"
    sign = ">" if each.side == "above" else "<"
    number = f"{each.cut:.4g}"
    spoken = number.replace("-", "_minus_")
    name = _identifier(f"{what}_{each.side}_{spoken}_is_{class_name}")
    meaning = ""
    if each.dimension is not None and each.feature in FEATURES:
        meaning = f"    # {number_name(each.feature, each.dimension)}\n"
    return (
        f"@labeling_function(features=[{node}], classes=[{label}])\n"
        f"def {name}({value.split('[')[0]}):\n"
        f'    """{each.share_selected:.0%} of the images it was written for, '
        f'{each.share_others:.0%} of the others."""\n'
        f"{meaning}"
        f"    return {label} if {value} {sign} {number} else ABSTAIN\n"
    )


def _whole_rule(each: Separation, node: str, label: str, class_name: str) -> str:
    name = _identifier(f"{each.feature}_is_like_{class_name}")
    return (
        "@labeling_function(\n"
        f"    features=[{node}],\n"
        f"    classes=[{label}],\n"
        f'    thresholds={{"rule": OneVsRest({node}, claims=[{label}])}},\n'
        "    soft=True,\n"
        "    batched=True,\n"
        ")\n"
        f"def {name}(values, *, rule):\n"
        '    """What lies beyond a cut that seed labels place."""\n'
        "    return rule(values)\n"
    )


def _constant(class_name: str, label: int) -> str:
    """Name a constant after a class; it shadows no name that the file needs."""
    name = re.sub(r"[\W_]+", "_", class_name).strip("_").upper()
    if not name.isidentifier() or keyword.iskeyword(name):
        return f"CLASS_{label}"
    return f"{name}_CLASS" if name in _TAKEN else name


def _identifier(text: str) -> str:
    """Make a name that Python takes; letters of any language stay."""
    name = re.sub(r"[\W_]+", "_", text).strip("_").lower()
    if not name.isidentifier() or keyword.iskeyword(name):
        name = f"rule_{name}"
    return name if name.isidentifier() else "rule"


def _flat(
    name: str, values: NDArray[np.floating], selected: NDArray[np.bool_]
) -> NDArray[np.floating]:
    """Give a feature as (n, d)."""
    if len(values) != len(selected):
        raise InputError(
            f"feature {name!r} has {len(values)} rows for {len(selected)} images; "
            "give one row per image."
        )
    return values.reshape(len(values), int(np.prod(values.shape[1:], dtype=np.int64)))


def _standardised_gaps(
    values: NDArray[np.floating], selected: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Give the distance of both means in deviations, (d,); it chooses what to rank."""
    known = np.isfinite(values)

    def moments(rows: NDArray[np.bool_]) -> tuple[Any, Any]:
        part = np.where(known[rows], values[rows], 0).astype(np.float32)
        count = np.maximum(known[rows].sum(axis=0), 1)
        mean = part.sum(axis=0, dtype=np.float64) / count
        square = (part**2).sum(axis=0, dtype=np.float64) / count
        return mean, np.maximum(square - mean**2, 0)

    inside, spread_inside = moments(selected)
    outside, spread_outside = moments(~selected)
    deviation = np.sqrt((spread_inside + spread_outside) / 2)
    gap = np.abs(inside - outside)
    # Without any spread the two means differ for certain, or not at all.
    floor = 1e-3 * np.maximum(np.abs(inside), np.abs(outside))
    return np.where(gap > 0, gap / np.maximum(np.maximum(deviation, floor), 1e-12), 0)


def _of_number(
    name: str,
    dimension: int,
    values: NDArray[np.floating],
    selected: NDArray[np.bool_],
) -> Separation:
    column = values[:, dimension].astype(np.float64)
    known = np.isfinite(column)
    score, hit = column[known], selected[known]
    auc = _auc(score, hit)
    side = "above" if auc >= 0.5 else "below"
    sign = 1.0 if side == "above" else -1.0
    cut = float(f"{sign * purest_cut(sign * score, hit, _LEAST_RECALL):.4g}")
    beyond = known & (sign * column > sign * cut)
    n_beyond, n_hits = int(beyond.sum()), int((beyond & selected).sum())
    return Separation(
        feature=name,
        dimension=dimension if values.shape[1] > 1 else None,
        is_whole=False,
        side=side,
        cut=cut,
        auc=max(auc, 1 - auc),
        share_selected=n_hits / int(selected.sum()),
        share_others=(n_beyond - n_hits) / int((~selected).sum()),
        purity=n_hits / n_beyond if n_beyond else 0.0,
    )


def _of_whole(
    name: str, values: NDArray[np.floating], selected: NDArray[np.bool_]
) -> Separation:
    """Weigh all numbers by a discriminant of every other image; score the rest."""
    parts = [_spread(np.flatnonzero(selected)), _spread(np.flatnonzero(~selected))]
    rows = np.concatenate(parts)
    hit = selected[rows]
    table = values[rows].astype(np.float64)
    table = np.where(np.isfinite(table), table, 0)
    deviation = table.std(axis=0)
    table = (table - table.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    fold = np.concatenate([np.arange(len(part)) % 2 for part in parts])
    aucs = []
    for held_out in (0, 1):
        seen = fold != held_out
        lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=_SHRINKAGE)
        lda.fit(table[seen], hit[seen])
        aucs.append(_auc(lda.decision_function(table[~seen]), hit[~seen]))
    auc = float(np.mean(aucs))
    return Separation(name, None, True, "above", None, auc, None, None, None)


def _spread(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return rows[:: max(1, -(-len(rows) // _MOST_FOR_WHOLE))]


def _auc(score: NDArray[np.float64], hit: NDArray[np.bool_]) -> float:
    """Give the share of pairs in which the hit scores higher; ties count half."""
    n_hits, n_others = int(hit.sum()), int((~hit).sum())
    if not n_hits or not n_others:
        return 0.5
    ranks = rankdata(score)[hit].sum()
    return float((ranks - n_hits * (n_hits + 1) / 2) / (n_hits * n_others))
