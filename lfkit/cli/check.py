"""`lfkit check`: what of lfkit works on this machine, and what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lfkit.cli.console import echo
from lfkit.cli.options import Json

if TYPE_CHECKING:
    from lfkit.commands.check import Checked


def check(as_json: Json = False) -> None:
    """Show versions, devices, extras, data sets, and free disk and memory."""
    from lfkit.commands.check import check as check_machine
    from lfkit.runs.json_text import to_json

    found = check_machine()
    if as_json:
        echo(to_json(found.to_dict()))
        return
    from rich.table import Table

    from lfkit.cli.console import Console

    console = Console()
    for title, rows in _sections(found).items():
        table = Table.grid(padding=(0, 2))
        for name, said in rows:
            table.add_row(f"  {name}", said)
        console.print(title, style="bold")
        console.print(table)


def _sections(found: Checked) -> dict[str, list[tuple[str, str]]]:
    versions = [("python", found.python)]
    versions += [(name, text or "missing") for name, text in found.versions.items()]
    machine = [("system", found.system), ("cores", str(found.cores))]
    if found.torch_problem:
        machine.append(("torch", f"cannot be loaded: {found.torch_problem}"))
    else:
        machine.append(("device", str(found.device)))
        machine += [(f"GPU {i}", gpu) for i, gpu in enumerate(found.gpus)]
        machine.append(("threads", str(found.threads)))
    for place, free in found.disk_free_gb.items():
        machine.append(("disk free", f"{free:,.1f} GB in {place}"))
    if found.memory_free_gb is not None:
        machine.append(("memory free", f"{found.memory_free_gb:,.1f} GB"))
    extras = [
        (extra.name, f"{extra.install}  # {extra.gives}" if extra.missing else "there")
        for extra in found.extras
    ]
    data = [(each.name, each.where or each.how) for each in found.datasets]
    for folder, is_there in found.data_folders.items():
        said = folder if is_there else f"{folder}: there is no such folder"
        data.append(("LFKIT_DATA", said))
    return {
        "Versions": versions,
        "Machine": machine,
        "Extras": extras,
        "Data sets": data,
    }
