"""`lfkit list`: what there is to choose from."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lfkit.cli.console import echo
from lfkit.cli.options import completing
from lfkit.errors import InputError, StorageError
from lfkit.runs.json_text import to_json
from lfkit.runs.options import parse_size, split_list

if TYPE_CHECKING:
    from lfkit.commands.options import SheetOptions

_FAMILIES = (
    "lfs",
    "features",
    "encoders",
    "aggregators",
    "generators",
    "metrics",
    "datasets",
)
_CLASSES = "classes"  # a thousand lines, which nobody wants beside the others
_SHIPPED = (
    "lf_library.digits",
    "lf_library.street_digits",
    "lf_library.fashion",
    "lf_library.clip_art",
    "lf_library.cifar10",
    "lf_library.clothing",
)


def list_family(
    family: Annotated[
        str | None,
        typer.Argument(
            help=f"One of {', '.join(_FAMILIES)}, all by default; or {_CLASSES}, the "
            "names that a network knows.",
            autocompletion=completing(lambda: (*_FAMILIES, _CLASSES)),
        ),
    ] = None,
    lfs: Annotated[
        list[str] | None,
        typer.Option(
            "--lfs",
            metavar="SPEC",
            help="Labeling functions of these, not the shipped.",
        ),
    ] = None,
    kinds: Annotated[
        str | None,
        typer.Option(
            help="Only functions of these kinds: heuristic,deep,…", metavar="KIND,…"
        ),
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(
            help="For classes: only those with this in a name.", metavar="WORD"
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            help="For classes: the network; efficientnet-lite0 by default.",
            metavar="ENCODER",
        ),
    ] = None,
    sheet: Annotated[
        bool,
        typer.Option(
            "--sheet", help="Draw images that each labeling function votes for."
        ),
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(
            help="For --sheet: the images; by default the DATA of the functions' file.",
            metavar="DATA",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="For --sheet: the PNG; by default lf_sheet_<module>.png.",
            metavar="FILE",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="For --sheet: resize every image: 64, or 64x48 (height x width).",
            metavar="SIZE",
        ),
    ] = None,
    color: Annotated[
        str | None,
        typer.Option(
            help="For --sheet: convert every image: gray or rgb.", metavar="COLOR"
        ),
    ] = None,
    seeds_per_class: Annotated[
        int | None,
        typer.Option(
            help="For --sheet: labeled images per class to learn from; 20 by default.",
            metavar="N",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="For --sheet: every random choice; 0 by default.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON.")
    ] = False,
) -> None:
    """List functions, features, encoders, aggregators, generators, metrics and data."""
    if family is not None and family not in (*_FAMILIES, _CLASSES):
        choices = ", ".join((*_FAMILIES, _CLASSES))
        raise InputError(f"there is no family {family!r}; choose from {choices}.")
    if family != _CLASSES and (search is not None or network is not None):
        option = "--search" if network is None else "--network"
        raise InputError(f"{option} goes with `lfkit list {_CLASSES}`.")
    chosen_kinds = _checked_kinds(kinds)
    if sheet:
        from lfkit.commands.options import SheetOptions

        _check_sheet(family, lfs, data, out)
        requests = [
            SheetOptions(
                lfs=specs,
                data=data,
                out=out,
                kinds=chosen_kinds,
                size=None if size is None else parse_size(size),
                color=color,
                seeds_per_class=20 if seeds_per_class is None else seeds_per_class,
                seed=seed or 0,
            )
            for specs in ([tuple(lfs)] if lfs else [(spec,) for spec in _SHIPPED])
        ]
        _draw(requests, as_json)
        return
    for option, value in (
        ("--data", data),
        ("--out", out),
        ("--size", size),
        ("--color", color),
        ("--seeds-per-class", seeds_per_class),
        ("--seed", seed),
    ):
        if value is not None:
            raise InputError(f"{option} goes with --sheet; add it, or leave out both.")
    if family == _CLASSES:
        _show_classes(network or "efficientnet-lite0", search or "", as_json)
        return
    chosen = _FAMILIES if family is None else (family,)
    found = {name: _ROWS[name](lfs or _SHIPPED, chosen_kinds) for name in chosen}
    if as_json:
        echo(to_json(found if family is None else found[family]))
        return
    _show(found)


def _show_classes(network: str, search: str, as_json: bool) -> None:
    from lfkit.labeling.network_names import network_classes

    found = network_classes(network, search)
    if not found:
        raise InputError(
            f"{network} knows no class with {search!r} in its name; leave out --search "
            "for all it knows."
        )
    echo(to_json(found) if as_json else "\n".join(found))


def _checked_kinds(text: str | None) -> tuple[str, ...]:
    kinds = split_list(text or "")
    if not kinds:
        return ()
    from lfkit.labeling.labeling_function import KINDS  # imports torch

    for kind in kinds:
        if kind not in KINDS:
            raise InputError(
                f"there is no kind {kind!r}; choose from {', '.join(KINDS)}."
            )
    return kinds


def _check_sheet(
    family: str | None, lfs: list[str] | None, data: str | None, out: Path | None
) -> None:
    if family != "lfs":
        raise InputError(
            "--sheet draws what labeling functions vote for; write `lfkit list lfs "
            "--sheet`."
        )
    for option, value in (("--data", data), ("--out", out)):
        if value is not None and not lfs:
            raise InputError(
                f"{option} is for one sheet; choose its functions with --lfs SPEC."
            )


def _draw(requests: list[SheetOptions], as_json: bool) -> None:
    """Draw a sheet per request; of several, skip those that cannot be drawn.

    What the shipped functions were written for need not be on this machine.
    """
    from lfkit.cli.console import Console
    from lfkit.cli.progress import Bars
    from lfkit.commands.lf_sheets import draw_lf_sheet

    console = Console(soft_wrap=True, quiet=as_json)
    results: list[dict[str, Any]] = []
    for request in requests:
        name = ", ".join(request.lfs)
        try:
            with Bars(quiet=as_json) as bars:
                found = draw_lf_sheet(request, bars)
                bars.close()
        except InputError as error:
            if len(requests) == 1 or isinstance(error, StorageError):
                raise
            results.append({"lfs": request.lfs, "sheet": None, "notes": [str(error)]})
            console.print(f"{name}: no sheet; {error}", style="yellow")
            continue
        results.append(found.to_dict())
        console.print(
            f"{found.sheet}  {found.functions} functions of {name} on "
            f"{found.images:,} images of {found.data}"
        )
        for note in found.notes:
            console.print(f"  Note: {note}.", style="yellow")
    if as_json:
        echo(to_json(results))
    if not any(found["sheet"] for found in results):
        raise typer.Exit(2)


def _show(found: dict[str, list[dict[str, Any]]]) -> None:
    from lfkit.cli.console import Console

    console = Console()
    for family, rows in found.items():
        if len(origins := Counter(row["from"] for row in rows if "from" in row)) > 1:
            console.print(f"{family} by module, for --lfs", style="bold cyan")
            console.print(_table(_modules(origins)))
            console.print()
        for origin in dict.fromkeys(row.get("from") for row in rows):
            title = f"{family} of {origin}" if origin else family
            console.print(title, style="bold cyan")
            own = [row for row in rows if row.get("from") == origin]
            console.print(_claims(own) if family == "lfs" else _table(own))
            console.print()


def _modules(counts: Counter[str]) -> list[dict[str, Any]]:
    """Say what each module is for, in the first line of its own docstring."""
    return [
        {"name": spec, "functions": count, "what it is": _what_is(spec)}
        for spec, count in counts.items()
    ]


def _what_is(spec: str) -> str:
    module = sys.modules.get(spec)  # loaded to list its functions; no file by this name
    return (module.__doc__ or "").strip().split("\n")[0] if module else ""


def _claims(rows: list[dict[str, Any]]) -> Any:
    """Give each function two lines: its claim needs the whole width."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table

    from lfkit.cli.console import Text

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


def _lf_rows(specs: Sequence[str], kinds: Sequence[str]) -> list[dict[str, Any]]:
    from lfkit.labeling.loading import load_lfs

    rows = []
    for spec in specs:
        loaded = load_lfs([spec])
        names = loaded.class_names
        for lf in loaded.lfs:
            if kinds and lf.kind not in kinds:
                continue
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
    if not rows:
        raise InputError(f"there is no labeling function of kind {' or '.join(kinds)}.")
    return rows


def _feature_rows(specs: Sequence[str], kinds: Sequence[str]) -> list[dict[str, Any]]:
    from lfkit.features import FEATURES

    return [
        {
            "name": name,
            "what it measures": found.doc,
            "file": f"lfkit.features.{FEATURES.file_of[name]}",
        }
        for name, found in FEATURES.items()
    ]


def _encoder_rows(specs: Sequence[str], kinds: Sequence[str]) -> list[dict[str, Any]]:
    from lfkit.encoders import ENCODERS

    return [
        {
            "name": kind.usage,
            "what it is": _first_line(kind),
            "reads text": "yes" if kind.reads_text else "",
            "needs": f"lfkit[{kind.needs}]" if kind.needs else "",
        }
        for kind in ENCODERS.values()
    ]


def _aggregator_rows(
    specs: Sequence[str], kinds: Sequence[str]
) -> list[dict[str, Any]]:
    from lfkit.aggregators import AGGREGATORS

    return [
        {
            "name": name,
            "what it does": _first_line(kind),
            "made for": kind.made_for,
        }
        for name, kind in AGGREGATORS.items()
    ]


def _generator_rows(specs: Sequence[str], kinds: Sequence[str]) -> list[dict[str, Any]]:
    from lfkit.generators import GENERATORS

    return [
        {
            "name": name,
            "what it does": _first_line(kind),
            "paper": kind.paper,
            "needs": kind.needs,
            "gives": kind.gives,
        }
        for name, kind in GENERATORS.items()
    ]


def _metric_rows(specs: Sequence[str], kinds: Sequence[str]) -> list[dict[str, Any]]:
    from lfkit.metrics import METRICS

    return [
        {
            "name": name,
            "what it says": _first_line(kind),
            "needs": ", ".join(sorted(kind.needs)),
            "trains": "minutes" if kind.slow else "",
        }
        for name, kind in METRICS.items()
    ]


def _dataset_rows(specs: Sequence[str], kinds: Sequence[str]) -> list[dict[str, Any]]:
    from lfkit.data.datasets import DATASETS, FORMATS

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


_ROWS = {
    "lfs": _lf_rows,
    "features": _feature_rows,
    "encoders": _encoder_rows,
    "aggregators": _aggregator_rows,
    "generators": _generator_rows,
    "metrics": _metric_rows,
    "datasets": _dataset_rows,
}
