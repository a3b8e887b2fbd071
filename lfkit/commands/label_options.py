"""Options of `lfkit label`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from lfkit.errors import InputError
from lfkit.runs.options import Option, as_declared

ENGINES = ("local", "ray")


def parse_part(text: str) -> tuple[int, int]:
    """Read "2/3" as (2, 3).

    >>> parse_part("2/3")
    (2, 3)
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise InputError(f"--shards is {text!r}; give i/n, from 1/n to n/n.")
    return int(found[1]), int(found[2])


@dataclass(frozen=True)
class LabelOptions:
    """Options of `lfkit label`: of the command line and of Python."""

    data: Annotated[
        str,
        Option(
            "Tar files (WebDataset) or Parquet files with images, as a folder or a "
            "pattern; a folder or list of images, or an array, to be cut into shards; "
            "or a URL.",
            is_argument=True,
        ),
    ]
    labeler: Annotated[
        Path, Option("A folder that `lfkit freeze` wrote.", metavar="LABELER")
    ]
    out: Annotated[
        str, Option("A folder or URL: one Parquet file per shard.", metavar="OUT")
    ]
    votes: Annotated[bool, Option("A column for each function's votes, too.")] = False
    patterns: Annotated[
        bool,
        Option("Also how often which votes occur together, for `lfkit aggregate`."),
    ] = False
    shards: Annotated[
        tuple[int, int] | None,
        Option(
            "Only each n-th shard, beginning with the i-th: for n machines.",
            metavar="i/n",
            parse=parse_part,
        ),
    ] = None
    limit: Annotated[
        int | None, Option("At most N shards in this call.", metavar="N")
    ] = None
    dry_run: Annotated[
        bool, Option("List the shards and estimate the time; write nothing.")
    ] = False
    shard_size: Annotated[
        int, Option("Images per shard, where DATA is cut.", metavar="N")
    ] = 10_000
    max_shard_retry: Annotated[
        int,
        Option("How often a shard is begun again whose process died.", metavar="N"),
    ] = 2
    lf_timeout: Annotated[
        float | None,
        Option(
            "Seconds before one call of a per-image function is killed; by default "
            "the run's."
        ),
    ] = None
    workers: Annotated[
        int | None,
        Option(
            "Shards labeled at once: 1 here, one per CPU with --engine ray.",
            metavar="N",
        ),
    ] = None
    engine: Annotated[str, Option("local, or ray.", metavar="NAME")] = "local"
    address: Annotated[
        str, Option("Of Ray: local, auto, or ray://HOST:PORT.", metavar="ADDRESS")
    ] = "local"
    num_gpus: Annotated[
        float, Option("Of Ray: GPUs per shard that is labeled, such as .25.")
    ] = 0.0
    trust_code: Annotated[
        bool, Option("Run the code that the labeler holds or names, whoever wrote it.")
    ] = False

    def __post_init__(self) -> None:
        as_declared(self)
        for name, value, least in (
            ("--limit", self.limit, 1),
            ("--shard-size", self.shard_size, 1),
            ("--max-shard-retry", self.max_shard_retry, 0),
            ("--workers", self.workers, 1),
            ("--num-gpus", self.num_gpus, 0),
        ):
            if value is not None and value < least:
                raise InputError(f"{name} is {value}; give a number from {least} on.")
        if self.lf_timeout is not None and not 0 < self.lf_timeout < float("inf"):
            raise InputError(
                f"--lf-timeout is {self.lf_timeout:g}; give a number of seconds above "
                "0."
            )
        if self.engine not in ENGINES:
            raise InputError(
                f"there is no engine {self.engine!r}; choose from {', '.join(ENGINES)}."
            )
