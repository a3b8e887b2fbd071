"""Follow one command through the files of lfkit, for docs/architecture.md.

    python -m benchmarks.walk             # print both walks
    python -m benchmarks.walk --write     # write them into docs/architecture.md
    python -m benchmarks.walk --layers    # draw the layers there, at once

A hop is the first call from a function of one file into a function of another, whatever
lies between (a decorator, a library); expressions run where they are consumed and are
no calls. It goes up where the file called is of a higher layer, or imports the calling
file, itself or through others: it then calls an object that was passed down. A bold
file is given the images, or what has a row for each of them: votes, labels, an index.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import inspect
import io
import os
import sys
import tempfile
import threading
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType, FrameType

import numpy as np

ROOT = Path(os.environ.get("LFKIT_TREE", Path(__file__).parents[1]))
PAGE = ROOT / "docs" / "architecture.md"
_N_IMAGES = 61  # so that whatever is as long is about them
_EXPRESSIONS = ("<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>")
LFS = """
from lfkit import ABSTAIN, feature, labeling_function

CLASSES = ["dark", "light"]

@feature(batched=True)
def level(images):
    return images.mean(dim=(1, 2, 3))

@labeling_function(features=[level], classes=[0, 1], batched=True)
def level_decides(level):
    return (level > 0.5).long()
"""


@dataclass(frozen=True)
class Hop:
    """The first call from one file into another.

    Attributes
    ----------
    source, target : files, below `lfkit/`.
    function : what was called.
    is_up : the call goes up.
    has_images : a call of this hop, the first or a later one, passes images or what has
        a row for each of them.
    """

    source: str
    target: str
    function: str
    is_up: bool
    has_images: bool


class Walk:
    """Records hops between files of lfkit while it is entered, in every thread."""

    def __init__(self, until: Callable[[], bool]) -> None:
        self.hops: dict[tuple[str, str], str] = {}
        self.with_images: set[tuple[str, str]] = set()
        self._until = until
        self._lock = threading.Lock()

    def __enter__(self) -> Walk:
        """Begin."""
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        sys.setprofile(None)
        threading.setprofile(None)

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call" or (target := _file_of(frame.f_code)) is None:
            return
        source = _calling_file(frame)
        if (
            frame.f_code.co_name in _EXPRESSIONS
            or source in (None, target)
            or (source, target) in self.with_images
        ):
            return
        with self._lock:
            if self._until():
                sys.setprofile(None)
                return
            self.hops.setdefault((source, target), frame.f_code.co_qualname)
            if any(map(_is_of_images, frame.f_locals.values())):
                self.with_images.add((source, target))


def _is_of_images(value: object) -> bool:
    """Tell whether a value, or one in a dictionary or list, has one row per image."""
    if isinstance(value, dict):
        return any(map(_is_of_images, [*value.values()]))
    if isinstance(value, list | tuple) and len(value) != _N_IMAGES:
        return any(map(_is_of_images, value))
    if isinstance(value, str | bytes | set):
        return False
    shape = getattr(value, "shape", ())
    if isinstance(shape, tuple) and shape and shape[0] == _N_IMAGES:
        return True
    try:
        return len(value) == _N_IMAGES  # type: ignore[arg-type]
    except Exception:  # of any object, before it is whole
        return False


@cache
def _file_of(code: CodeType) -> str | None:
    """Name the file of a function of lfkit; None for others, and for imports."""
    folder = str(ROOT / "lfkit") + os.sep
    if (
        not code.co_filename.startswith(folder)
        or not code.co_flags & inspect.CO_NEWLOCALS
    ):
        return None
    return code.co_filename.removeprefix(folder)


def _calling_file(frame: FrameType) -> str | None:
    """Name the nearest file of lfkit up the stack; None while a file is imported."""
    folder = str(ROOT / "lfkit") + os.sep
    caller = frame.f_back
    while caller is not None and not caller.f_code.co_filename.startswith(folder):
        caller = caller.f_back
    return None if caller is None else _file_of(caller.f_code)


def layers() -> list[list[str]]:
    """Read the import contract: names below `lfkit`, the highest layer first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    lines = next(c["layers"] for c in contracts if c["type"] == "layers")
    return [
        [n.strip(" ()").removeprefix("lfkit.") for n in x.split("|")] for x in lines
    ]


def hops_of(walk: Walk) -> list[Hop]:
    """Say of each hop whether it goes up."""
    import grimp

    graph = grimp.build_graph("lfkit")
    height = {name: -place for place, line in enumerate(layers()) for name in line}

    def is_up(source: str, target: str) -> bool:
        high, low = (height.get(_module(f).split(".")[1], 0) for f in (target, source))
        if high != low:
            return high > low
        return graph.chain_exists(importer=_module(target), imported=_module(source))

    return [
        Hop(*pair, what, is_up(*pair), pair in walk.with_images)
        for pair, what in walk.hops.items()
    ]


def _module(file: str) -> str:
    name = file.removesuffix(".py").replace(os.sep, ".")
    return "lfkit." + name.removesuffix(".__init__")


@contextlib.contextmanager
def _command(*words: str) -> Iterator[None]:
    before = sys.argv
    sys.argv = ["lfkit", *words]
    try:
        yield
    finally:
        sys.argv = before


def run(commands: Sequence[Sequence[str]], until: Callable[[], bool]) -> list[Hop]:
    """Run commands in this process, and record their hops until something is there."""
    from lfkit.cli.app import main

    with Walk(until) as walk:
        for words in commands:
            with _command(*words), contextlib.suppress(SystemExit):
                main()
    return hops_of(walk)


def both_walks(folder: Path) -> dict[str, list[Hop]]:
    """Follow images through `apply`, then noise through `train` and `generate`."""
    rng = np.random.default_rng(0)
    levels = np.tile([40, 200], 31)[:_N_IMAGES, None, None, None]
    pixels = levels + rng.integers(-30, 30, (_N_IMAGES, 8, 8, 1))
    np.savez(folder / "images.npz", images=pixels.astype(np.uint8))
    (folder / "lfs.py").write_text(LFS)
    out = str(folder / "run")
    apply = ["apply", str(folder / "images.npz"), "--lfs", str(folder / "lfs.py")]
    train = ["train", out, "--with", "two-stage", "--steps", "4"]
    generate = ["generate", out, "-n", "1", "--out", str(folder / "made")]
    labels, made = Path(out, "labels.parquet"), folder / "made" / "metadata.csv"
    with contextlib.redirect_stdout(io.StringIO()):
        image = run([[*apply, "--out", out]], labels.exists)
        noise = run([train, generate], made.exists)
    assert labels.exists()
    assert made.exists()
    return {"apply": image, "train and generate": noise}


def table(hops: Sequence[Hop]) -> str:
    """Write a walk as a table: each file where it is first entered."""
    entered: dict[str, Hop] = {}
    for hop in hops:
        entered.setdefault(hop.target, hop)
    start = hops[0].source
    up = [hop for hop in hops if hop.is_up]
    bold = {hop.target for hop in hops if hop.has_images}
    lines = [
        f"{len({start, *entered})} files, {len(bold)} of them given the images; "
        f"{len(hops)} hops, {len(up)} of them up.",
        "",
        "| | file | entered from | by | because it is |",
        "|---|---|---|---|---|",
        f"| 0 | `{start}` | | | {_what(start)} |",
    ]
    for place, hop in enumerate(entered.values(), 1):
        file = f"**`{hop.target}`**" if hop.target in bold else f"`{hop.target}`"
        lines.append(
            f"| {place} | {file} | `{hop.source}` | `{hop.function}` | "
            f"{_what(hop.target)} |"
        )
    if up:
        lines += ["", "Up, each a call of an object that was passed down:", ""]
        lines += [f"- `{h.source}` → `{h.target}`, `{h.function}`" for h in up]
    return "\n".join(lines)


def _what(file: str) -> str:
    """Give the first sentence of a file's docstring."""
    text = ast.get_docstring(ast.parse((ROOT / "lfkit" / file).read_text())) or ""
    return text.split("\n")[0].rstrip(".")


def picture() -> str:
    """Draw the layers of the import contract, each with what its package is."""
    lines = ["```"]
    for place, names in enumerate(layers()):
        if place:
            lines.append("     ↓")
        for name in names:
            path = ROOT / "lfkit" / name
            file = f"{name}/__init__.py" if path.is_dir() else f"{name}.py"
            lines.append(f"{name:<13}{_what(file)}")
    return "\n".join([*lines, "```"])


def replaced(page: str, name: str, text: str) -> str:
    """Put text between the marks of a block of the page."""
    head, begin, rest = page.partition(f"<!-- {name} -->\n")
    _, end, tail = rest.partition(f"<!-- end of {name} -->")
    assert begin, f"no block {name}"
    assert end, f"block {name} does not end"
    return head + begin + text + "\n" + end + tail


def main() -> None:
    """Print the walks, or write them into the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    parser.add_argument("--layers", action="store_true", help="draw the layers there")
    options = parser.parse_args()
    if options.layers:
        PAGE.write_text(replaced(PAGE.read_text(), "layers", picture()))
        return
    with tempfile.TemporaryDirectory() as folder:
        walks = both_walks(Path(folder))
    for name, hops in walks.items():
        if options.write:
            PAGE.write_text(replaced(PAGE.read_text(), name, table(hops)))
        else:
            print(f"\n## {name}\n\n{table(hops)}")


if __name__ == "__main__":
    main()
