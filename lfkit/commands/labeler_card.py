"""The card of a labeler: what it is made of, and how right it is."""

from __future__ import annotations

from typing import Any

from lfkit.runs.labeler_files import LabelerRecord


def card(record: LabelerRecord) -> str:
    """Write README.md of a labeler."""
    h, w, c = record.shape
    names = ", ".join(record.class_names)
    by = record.aggregator
    if record.chosen not in ("", by):
        by = f"{by} ({record.chosen})"
    lines = [
        "# A labeler",
        "",
        f"Labels images of {len(record.class_names)} classes: {names}.",
        "",
        f"- Made of a run of `lfkit apply` on {record.data}: {record.n_images:,} "
        f"images of {h}x{w}x{c} (height, width, channels), {len(record.functions)} "
        f"labeling functions, votes combined by {by}.",
        f"- Code: {', '.join(record.specs)}. It is run only if you say so: look at it "
        "first.",
        "- Images of other sizes are stretched, others' colours are converted.",
        *_evidence(record.evidence),
        *(f"- {note[:1].upper()}{note[1:]}." for note in record.notes),
        "",
        "```sh",
        "lfkit label DATA --labeler THIS_FOLDER --out OUT --trust-code",
        "```",
        "",
        "Versions: " + ", ".join(f"{k} {v}" for k, v in record.versions.items()) + ".",
        "",
    ]
    return "\n".join(lines)


def _evidence(found: dict[str, Any]) -> list[str]:
    lines = []
    if (accuracy := found.get("held_out_accuracy_of_votes")) is not None:
        lines.append(
            f"- Accuracy of the votes' labels: {accuracy:.1%} of {found['seeds']} "
            "held-out seeds, each labeled by functions and models fitted without it."
        )
        calibrated = (
            "is calibrated on"
            if found["votes_are_calibrated"]
            else ("could not be calibrated by")
        )
        lines.append(f"- Confidence of the votes {calibrated} these seeds.")
    else:
        lines.append("- No seed tells how right the labels are, nor how sure.")
    if (n := found.get("votes_refitted_on")) is not None:
        lines.append(f"- How votes are combined was learned again, on {n:,} images.")
    if stages := found.get("held_out_accuracy_by_stage"):
        told = [f"{k} {v:.1%}" for k, v in stages.items() if v is not None]
        lines.append(
            "- Refined. On held-out seeds, after each stage: "
            + (", ".join(told) or "not known")
            + ". New images are labeled by what refinement learned, not together with "
            "the run's images, and their confidence is scaled to be as high on the "
            "mean as the run's; it is not calibrated."
        )
    if (accuracy := found.get("accuracy_of_the_run")) is not None:
        lines.append(
            f"- Accuracy of the run's labels: {accuracy:.1%} of "
            f"{found['images_scored']:,} of its images whose class is known."
        )
    if "agreement_with_the_run" not in found:
        return lines
    lines.append(
        f"- Gives {found['agreement_with_the_run']:.1%} of "
        f"{found['images_compared']:,} labels of the run again. It has learned from "
        "these images: this is no accuracy."
    )
    return lines
