"""Call commands on damaged files, and tell what goes wrong.

    python -m benchmarks.fuzz [--files 10000] [--seed 0] [--minutes 60] [--kind KIND]

Every case is one command in a process that serves many. A finding is a traceback, a
command that takes more than 20 seconds of processor time, or 120 in all, more than 2.5
GB of memory, a refusal that names no file, or an answer that is another than without
the damage. Findings that end in the same line of code are told once. Exit code 1 if
there is one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from benchmarks.fuzz.campaign import KINDS, campaign


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=10_000, help="at most")
    parser.add_argument("--minutes", type=float, default=60, help="at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS, action="append")
    asked = parser.parse_args()
    kinds = asked.kind or [k for k in KINDS if find_spec(f"benchmarks.fuzz.{k}")]
    with tempfile.TemporaryDirectory() as scratch:
        found = campaign(
            kinds,
            files=asked.files,
            minutes=asked.minutes,
            seed=asked.seed,
            scratch=Path(scratch),
        )
    print("\n".join(found.lines()))
    sys.exit(bool(found.findings))


if __name__ == "__main__":
    main()
