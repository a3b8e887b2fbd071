"""The report: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from lfkit.data.progress import Unlike
from lfkit.report.sections import SECTIONS, ReportData
from lfkit.runs.store import write_atomically


def write_report(
    data: ReportData,
    path: Path,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[str]:
    """Write the page; gives the names of the sections that it has."""
    templates = Environment(
        loader=PackageLoader("lfkit.report"),
        autoescape=True,
        undefined=StrictUndefined,  # a misspelt name is an error, not a blank
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["percent"] = _percent
    shown = []
    for place, kind in enumerate(SECTIONS):
        if progress is not None:
            progress(Unlike("drawing the report"), place, len(SECTIONS))
        section = kind()
        content = section.content(data)
        if content is None:
            continue
        body = templates.from_string(section.template).render(content)
        shown.append({"name": section.name, "title": section.title, "body": body})
    if progress is not None:
        progress("drawing the report", len(SECTIONS), len(SECTIONS))
    run = data.run
    page = templates.get_template("page.html").render(
        title=f"{run.folder.resolve().name}: {run.config.options.data}",
        sections=shown,
    )
    write_atomically(path, page.encode())
    return [section["name"] for section in shown]


def _percent(share: float | None, digits: int = 1) -> str:
    return "—" if share is None else f"{100 * share:.{digits}f} %"
