"""JSON that every reader takes: NaN, infinity and lone surrogates are no JSON."""

from __future__ import annotations

import json
import math
from typing import Any


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Write JSON: null where a number is not finite, an escape for a byte in a path.

    >>> to_json({"share": float("nan"), "counts": (1, 2)})
    '{"share": null, "counts": [1, 2]}'
    """
    return json.dumps(_plain(value), indent=indent, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {_plain(key): _plain(held) for key, held in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(held) for held in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):  # a path need not be text in UTF-8
        return value.encode("utf-8", "backslashreplace").decode()
    return value
