"""First: the figures, whether they are good, and what limits them."""

from __future__ import annotations

from typing import Any, ClassVar

from lfkit.metrics.image_checks.image_findings import load_findings
from lfkit.metrics.labels.summarize import verdict
from lfkit.report.sections.section import ReportData, Section
from lfkit.runs.run_summary import RunSummary


class Overview(Section):
    """Tiles of figures, the verdict against the baselines, findings."""

    name: ClassVar[str] = "overview"
    title: ClassVar[str] = "Overview"
    template: ClassVar[str] = """\
<div class="tiles big">
{% for value, name in figures %}
  <div class="figure {{ 'first' if loop.first else '' }}"><b>{{ value }}</b><span>{{ name }}</span></div>
{% endfor %}
</div>
<div class="tiles">
{% for value, name in tiles %}
  <div class="figure"><b>{{ value }}</b><span>{{ name }}</span></div>
{% endfor %}
</div>
{% if verdict %}
<p class="verdict {{ 'wins' if verdict.wins else 'loses' }}">{{ verdict.sentence }}</p>
{% endif %}
<p>Labels by <b>{{ how }}</b>{% if reason %}: {{ reason }}{% endif %}.{% if unlike %} {{ unlike }}.{% endif %}{% if refined %} Then {{ refined }}.{% endif %} Their confidence is {{ "calibrated on held-out seeds" if calibrated else "not calibrated" }}.
</p>
{% if baselines | length > 1 %}
<details><summary>All {{ baselines | length }} plain classifiers trained on the seeds</summary>
<table class="plain"><thead><tr><th>classifier</th><th>cross-validated on the seeds</th><th>accuracy</th></tr></thead>
<tbody>
{% for one in baselines %}
<tr><td>{{ one.name }}{{ ": the baseline" if one.name == baseline else "" }}</td><td>{{ one.seed_cv_accuracy | percent }}</td><td>{{ one.accuracy | percent }}</td></tr>
{% endfor %}
</tbody></table></details>
{% endif %}
<ul class="findings">
{% for sentence in findings %}
  <li>{{ sentence }}</li>
{% endfor %}
{% for note in notes %}
  <li class="note">{{ note }}.</li>
{% endfor %}
</ul>
"""  # noqa: E501

    def content(self, data: ReportData) -> dict[str, Any]:
        """Give tiles, verdict and findings."""
        summary, config = data.summary, data.run.config
        tiles = [
            (f"{summary.images:,}", "images"),
            (f"{len(data.class_names)}", "classes"),
            (f"{data.run.votes.n_functions}", "labeling functions"),
            (f"{summary.seeds:,}", "seed labels given"),
            (_percent(summary.coverage), "coverage of the votes"),
        ]
        figures = []
        if summary.accuracy is not None:
            figures.append(
                (_percent(summary.accuracy.of_all), "accuracy of the labels")
            )
            assert summary.majority_vote_accuracy is not None, "of the same images"
            majority = summary.majority_vote_accuracy.of_all
            figures.append((_percent(majority), "accuracy of the majority vote"))
        if summary.accuracy is None and summary.seed_accuracy is not None:
            share = _percent(summary.seed_accuracy)
            figures.append((share, f"accuracy {_after(summary)}: {summary.on_seeds}"))
        baseline = summary.best_baseline
        if baseline is not None:
            value = baseline.accuracy
            if value is None:
                value = baseline.seed_cv_accuracy
            if value is not None:
                figures.append((_percent(value), f"baseline: {baseline.name}"))
        chosen, asked = summary.chosen, summary.aggregator
        how = chosen if chosen == asked else f"{chosen}, chosen by {asked}"
        notes = list(summary.notes)
        if not data.run.own_truth and data.run.stored.baselines:
            notes.append(
                "Baselines are left out: these classifiers were not scored by the true "
                "labels given here"
            )
        findings = list(summary.findings)
        if load_findings(data.run.folder) is None:
            findings.append(
                "Nobody has looked for near-duplicates, strange images and wrong "
                "seeds: `lfkit diagnose RUN --images` does, and the next report shows "
                "them."
            )
        refinement = summary.refinement
        return {
            "tiles": tiles,
            "figures": figures,
            "verdict": verdict(summary),
            "how": how,
            "reason": summary.reason,
            "unlike": summary.unlike_plain_vote,
            "refined": "" if refinement is None else refinement.note,
            "findings": findings,
            "notes": notes,
            "baselines": summary.baselines,
            "baseline": None if baseline is None else baseline.name,
            "calibrated": summary.is_calibrated,
            "specs": config.options.lfs,
        }


def _after(summary: RunSummary) -> str:
    """Name the last stage whose labels the held-out seeds evaluate."""
    after = "votes" if summary.judged is None else summary.judged.after
    return "of the votes" if after == "votes" else f"after refining by {after}"


def _percent(share: float | None) -> str:
    return "—" if share is None else f"{100 * share:.1f} %"
