"""The scores of generated images, each with its protocol."""

from __future__ import annotations

from typing import Any, ClassVar

from lfkit.report.sections.section import Material, Section


class Scores(Section):
    """What `lfkit evaluate` found, one column per set of generated images."""

    name: ClassVar[str] = "scores"
    title: ClassVar[str] = "Scores"

    def content(self, material: Material) -> dict[str, Any] | None:
        """Give a row per score; the best of each is marked."""
        sets = material.scores.get("generated", {})
        human = material.scores.get("human", [])
        if not sets and not human:
            return None
        titles: dict[str, dict[str, dict[str, Any]]] = {}
        for name, found in sets.items():
            for score in found["scores"]:
                titles.setdefault(score["title"], {})[name] = score
        rows = []
        for title, cells in titles.items():
            values = {n: s["value"] for n, s in cells.items() if s["value"] is not None}
            better = next(iter(cells.values()))["better"]
            best = None
            # Of other real images or another seed, scores are not to be compared.
            protocols = {
                (s["protocol"]["real"], s["protocol"]["seed"]) for s in cells.values()
            }
            if len(values) > 1 and better and len(protocols) == 1:
                pick = max if better == "higher" else min
                best = pick(values, key=lambda name: values[name])
            rows.append(
                {"title": title, "better": better, "cells": cells, "best": best}
            )
        return {"names": list(sets), "rows": rows, "human": human}
