"""`lfkit list`: what there is to choose from."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lfkit.errors import InputError
from lfkit.json_text import to_json

_FAMILIES = ("lfs", "aggregators", "datasets")
_SHIPPED = ("lf_library.digits", "lf_library.fashion")


def list_family(
    family: Annotated[
        str | None,
        typer.Argument(help=f"One of {', '.join(_FAMILIES)}; all by default."),
    ] = None,
    lfs: Annotated[
        list[str] | None,
        typer.Option(
            "--lfs",
            metavar="SPEC",
            help="Labeling functions of these, not the shipped.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON.")
    ] = False,
) -> None:
    """List labeling functions, aggregators and data sets."""
    if family is not None and family not in _FAMILIES:
        raise InputError(
            f"there is no family {family!r}; choose from {', '.join(_FAMILIES)}."
        )
    chosen = _FAMILIES if family is None else (family,)
    specs = lfs or list(_SHIPPED)
    found = {name: _ROWS[name](specs) for name in chosen}
    if as_json:
        typer.echo(to_json(found if family is None else found[family]))
        return
    _show(found)


def _show(found: dict[str, list[dict[str, Any]]]) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    for family, rows in found.items():
        for origin in dict.fromkeys(row.get("from") for row in rows):
            title = f"{family} of {origin}" if origin else family
            console.print(title, style="bold cyan")
            own = [row for row in rows if row.get("from") == origin]
            console.print(_claims(own) if family == "lfs" else _table(own))
            console.print()


def _claims(rows: list[dict[str, Any]]) -> Any:
    """Give each function two lines: its claim needs the whole width."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    widths = {key: max(len(row[key]) for row in rows) for key in ("name", "kind")}
    lines: list[Any] = []
    for row in rows:
        head = Table.grid(padding=(0, 2))
        head.add_column(width=widths["name"], style="bold", overflow="fold")
        head.add_column(width=widths["kind"])
        head.add_column()
        head.add_row(row["name"], row["kind"], row["votes for"])
        lines.append(head)
        if row["claim"]:
            lines.append(Padding(Text(row["claim"]), (0, 0, 0, 4)))
    return Group(*lines)


def _table(rows: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = [column for column in rows[0] if column != "from"]
    for column in columns:
        table.add_column(column, no_wrap=column == "name")
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    return table


def _lf_rows(specs: list[str]) -> list[dict[str, Any]]:
    from lfkit.labeling.loading import load_lfs

    rows = []
    for spec in specs:
        loaded = load_lfs([spec])
        names = loaded.class_names
        for lf in loaded.lfs:
            labels = [names[c] if names else str(c) for c in lf.classes or ()]
            every = names is not None and len(labels) == len(names)
            rows.append(
                {
                    "name": lf.name,
                    "from": spec,
                    "kind": lf.kind,
                    "votes for": "all classes" if every else ", ".join(labels),
                    "claim": lf.doc,
                }
            )
    return rows


def _aggregator_rows(specs: list[str]) -> list[dict[str, Any]]:
    from lfkit.aggregators import AGGREGATORS

    return [
        {"name": name, "what it does": _first_line(kind)}
        for name, kind in AGGREGATORS.items()
    ]


def _dataset_rows(specs: list[str]) -> list[dict[str, Any]]:
    from lfkit.datasets import DATASETS, FORMATS

    rows = [
        {"name": name, "what it is": found.description}
        for name, found in DATASETS.items()
    ]
    rows += [
        {"name": f"({name})", "what it is": found.description}
        for name, found in FORMATS.items()
    ]
    return rows


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").strip().split("\n")[0]


_ROWS = {"lfs": _lf_rows, "aggregators": _aggregator_rows, "datasets": _dataset_rows}
