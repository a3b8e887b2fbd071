"""Watches a training, says in a sentence what goes wrong, and stops what is lost."""

from __future__ import annotations

import io
import json
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.files import append_line, write_atomically
from lfkit.data.votes import ABSTAIN, Votes
from lfkit.errors import TrainingError
from lfkit.runs.reading import read_log

_WINDOW = 20  # notes, of ten steps each, that a judgement is made of
_DRAW_EVERY = 500
_FEW_SAMPLES = 20  # labeled images of a class: a generator will repeat them
_FLAT = 0.15  # of the real images' spread: the generated ones are all alike
_CERTAIN = 0.98  # of the discriminator
_UNEVEN = 2.5  # times what is expected of the largest class
_POOR_STAND_IN = 0.6
_MOST_FAULTS = 5  # functions named
_NARROW = 0.3  # of the functions share the trust
_EXPLODED = 1e4  # losses of trainings that work are below 1,000, penalties among them
_LAST = 3  # notes that tell how a training has ended


class TrainingMonitor:
    """Watches a training: log.jsonl, curves.png, and warnings.

    Parameters
    ----------
    folder : of the training.
    n_steps : of the whole training.
    say : called with each warning, once.
    """

    def __init__(
        self,
        folder: Path,
        class_names: Sequence[str],
        n_steps: int,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.folder, self.class_names, self.n_steps = (
            folder,
            tuple(class_names),
            n_steps,
        )
        self.warnings: dict[str, str] = {}
        self._n_lfs = 0
        self._say = say
        self._last: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_WINDOW))

    @property
    def path(self) -> Path:
        """Where the notes are: one JSON object per line."""
        return self.folder / "log.jsonl"

    def check_data(self, votes: Votes, proba: NDArray[np.float64]) -> None:
        """Warn of classes and functions that no training can mend."""
        self._n_lfs = len(votes.names)
        labels = proba.argmax(axis=1)[proba.any(axis=1)]
        counts = np.bincount(labels, minlength=len(self.class_names))
        absent = [
            n for n, count in zip(self.class_names, counts, strict=True) if not count
        ]
        if absent:
            self._warn(
                "absent",
                f"no image is labeled {_listed(absent)}: it will not be generated. "
                "Write a labeling function that names it.",
            )
        scarce = [
            f"{name} ({count})"
            for name, count in zip(self.class_names, counts, strict=True)
            if 0 < count < _FEW_SAMPLES
        ]
        if scarce:
            self._warn(
                "scarce",
                f"few images are labeled {_listed(scarce)}: the generator will repeat "
                "them.",
            )
        covered = float((votes.hard != ABSTAIN).any(axis=1).mean()) if len(votes) else 0
        if votes.soft is None and votes.allowed is None and covered < 0.5:
            self._warn(
                "uncovered",
                f"no function votes on {1 - covered:.0%} of the images: they teach "
                "what images look like, not what they are called.",
            )

    def note(self, step: int, figures: Mapping[str, float]) -> None:
        """Write a line; warn or stop if the last lines say so."""
        line = {"step": step} | {k: float(f"{v:.6g}") for k, v in figures.items()}
        append_line(self.path, json.dumps(line))
        self._remember(line)
        self._check(step)
        if step % _DRAW_EVERY == 0 or step == self.n_steps:
            draw_curves(read_log(self.path), self.folder / "curves.png")

    def check_failures(self, faults: Mapping[str, tuple[int, str]]) -> None:
        """Name the functions that failed on generated images."""
        for name, (n, why) in list(faults.items())[:_MOST_FAULTS]:
            self._warn(
                f"fault of {name}",
                f"{name} {why} (on {n:,} generated images): it abstained there.",
            )
        if len(faults) > _MOST_FAULTS:
            more = len(faults) - _MOST_FAULTS
            self._warn("faults", f"{more} more functions failed on generated images.")

    def exploded(self, advice: str) -> str | None:
        """Name the losses that have exploded by the end of the training; warn once."""
        large = [
            f"{name.replace('_', ' ')} {ending:.3g}"
            for name, values in self._last.items()
            if name.endswith("loss") and values
            for ending in [float(np.mean([*values][-_LAST:]))]
            if abs(ending) > _EXPLODED
        ]
        if not large:
            return None
        broken = f"the training is broken: losses have exploded ({_listed(large)})"
        self._warn("exploded", f"{broken}; {advice}.")
        return self.warnings["exploded"]

    def record(self, broken: str) -> None:
        """Write as the log's last line why the training is broken."""
        append_line(self.path, json.dumps({"step": self.n_steps, "broken": broken}))

    def rewind(self, step: int) -> None:
        """Drop the lines after a step."""
        if not self.path.exists():
            return
        # A line of words alone, such as why the end was broken, is not of a step.
        kept = [
            line
            for line in read_log(self.path)
            if line["step"] <= step and len(line) > 1
        ]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        write_atomically(self.path, text.encode())
        self._last.clear()
        for line in kept:
            self._remember(line)

    def _check(self, step: int) -> None:
        mean = self._mean
        made, real = mean("made_spread"), mean("real_spread")
        if step >= 500 and made < _FLAT * real:
            raise TrainingError(
                f"the training collapsed by step {step}: generated images are nearly "
                f"all alike (they differ by {made:.3f}, real ones by {real:.3f}). What "
                "was trained is kept; start anew with a smaller rate_d, with r1_gamma "
                "1, or with other seeds (--restart --set r1_gamma=1)."
            )
        if mean("real_score") > _CERTAIN and mean("fake_score") < 1 - _CERTAIN:
            self._warn(
                "judge",
                "the discriminator tells every generated image from a real one, so the "
                "generator learns little; try a smaller rate_d, or r1_gamma 1.",
            )
        share = mean("largest_share_by_vote")
        # At first nothing can be recognised, and functions say the same of all of it.
        if step >= self.n_steps // 4 and share > max(
            _UNEVEN / len(self.class_names), 0.3
        ):
            self._warn(
                "shares",
                f"the functions give {share:.0%} of the generated images one class: "
                "the generator is losing classes.",
            )
        peaks = mean("real_label_peak"), mean("made_label_peak")
        if abs(peaks[0] - peaks[1]) > 0.15:
            self._warn(
                "peaks",
                f"the labels of real and of generated pairs are not equally sure "
                f"({peaks[0]:.2f} and {peaks[1]:.2f}): the discriminator can tell them "
                "apart by that alone. Use labels of one kind on both sides.",
            )
        by_labels = mean("labels_only_accuracy")
        if by_labels > 0.7:
            self._warn(
                "labels",
                f"labels alone tell real pairs from generated ones in {by_labels:.0%} "
                "of cases: the discriminator need not look at the images.",
            )
        foreseen = mean("surrogate_agrees_on_made")
        if foreseen < _POOR_STAND_IN:
            self._warn(
                "surrogate",
                f"the surrogate foresees {foreseen:.0%} of the functions' votes on "
                "generated images: what it says of them misleads; set surrogate_every "
                "lower, or surrogate to false.",
            )
        alike, n_lfs = mean("theta_perplexity"), self._n_lfs
        if alike < _NARROW * n_lfs:
            self._warn(
                "trust",
                f"the trust Θ has collapsed onto {alike:.1f} of {n_lfs} functions; "
                "its labels will be worse than a plain vote.",
            )

    def _remember(self, line: Mapping[str, float]) -> None:
        for name, value in line.items():
            self._last[name].append(value)

    def _mean(self, name: str) -> float:
        """Average the last notes of a figure; NaN before there are enough."""
        values = self._last[name]
        return float(np.mean(values)) if len(values) == _WINDOW else float("nan")

    def _warn(self, kind: str, text: str) -> None:
        # One warning of a kind: the figures in it change from note to note.
        if kind not in self.warnings:
            self.warnings[kind] = text
            self._say(text)


def draw_curves(lines: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw every figure of a log over its steps, as a PNG."""
    from matplotlib.figure import Figure

    names = [name for name in dict.fromkeys(n for line in lines for n in line)]
    names = [name for name in names if name != "step"]
    if not names:
        return
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    w, h = 4 * columns, 2.4 * rows  # inches
    figure = Figure(figsize=(w, h))
    # Fixed, as each axis needs the same: a layout that is computed takes as long again.
    margins = {"left": 0.6 / w, "right": 1 - 0.15 / w, "top": 1 - 0.3 / h}
    margins |= {"bottom": 0.35 / h, "wspace": 0.25, "hspace": 0.45}
    axes = figure.subplots(rows, columns, squeeze=False, gridspec_kw=margins).ravel()
    for axis, name in zip(axes, names, strict=False):
        known = [(line["step"], line[name]) for line in lines if name in line]
        x, y = np.array(known, float).T
        width = max(1, len(y) // 100)
        smooth = np.convolve(y, np.ones(width) / width, mode="valid")
        axis.plot(x, y, color="#c9d6e8", linewidth=0.8)
        axis.plot(x[width - 1 :], smooth, color="#2b5f9e", linewidth=1.4)
        axis.set_title(name.replace("_", " "), fontsize=10, y=1)
        axis.tick_params(labelsize=8)
        axis.locator_params(nbins=4)  # drawing ticks is what takes long
    for axis in axes[len(names) :]:
        axis.axis("off")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    write_atomically(path, buffer.getvalue())


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} others"
