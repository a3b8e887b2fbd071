"""What single numbers of lfkit's features are called, where each has a meaning."""

from __future__ import annotations

from collections.abc import Callable

_SIDE, _CELLS, _COLOR_CELLS, _PATTERNS = 28, 7, 4, 10
_CHANNELS = ("brightness", "red minus green", "yellow minus blue")
_LAB = ("lightness", "green to red", "blue to yellow")


def _cell(side: int) -> Callable[[int], str]:
    return lambda i: f"row {i // side + 1}, column {i % side + 1} of {side}"


def _one_of(names: tuple[str, ...]) -> Callable[[int], str]:
    return lambda i: names[i]


_NAMES: dict[str, Callable[[int], str]] = {
    "centre_of_mass": _one_of(("row", "column")),
    "second_moments": _one_of(("spread down", "spread across", "slant")),
    "row_profile": lambda i: f"row {i + 1} of {_SIDE}",
    "column_profile": lambda i: f"column {i + 1} of {_SIDE}",
    "radial_profile": lambda i: f"ring {i + 1} of 8 from the middle",
    "intensity_histogram": lambda i: f"range {i + 1} of 16 from the darkest",
    "edge_grid": _cell(_CELLS),
    "thumbnail": _cell(_CELLS),
    "crossing_counts": lambda i: (
        f"across, band {i + 1} of {_CELLS} from the top"
        if i < _CELLS
        else f"down, band {i - _CELLS + 1} of {_CELLS} from the left"
    ),
    "lbp_grid": lambda i: (
        f"pattern {i % _PATTERNS + 1} in {_cell(_COLOR_CELLS)(i // _PATTERNS)}"
    ),
    "border_color": _one_of(("red", "green", "blue")),
    "color_moments": lambda i: (
        f"{('mean', 'deviation', 'skewness')[i // 3]} of {_CHANNELS[i % 3]}"
    ),
    "color_grid": lambda i: f"{_LAB[i % 3]} in {_cell(_COLOR_CELLS)(i // 3)}",
}


def number_name(feature: str, dimension: int) -> str:
    """Say what a number of a feature measures, by the feature's name in `FEATURES`.

    Rows, columns and the like count from 1; a number without a meaning of its own is
    called by its place, which counts from 0 as in code.

    >>> number_name("column_profile", 3), number_name("hog", 17)
    ('column 4 of 28', 'number 17')
    """
    name = _NAMES.get(feature)
    try:
        return f"number {dimension}" if name is None else name(dimension)
    except IndexError:  # another feature of that name
        return f"number {dimension}"
