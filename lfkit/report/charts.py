"""Line charts as SVG that takes its colors from the page, light or dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from markupsafe import Markup

_WIDTH, _HEIGHT = 560, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 12, 34
_TICKS = 5
_N_COLORS = 6  # classes c0 … c5 of the style sheet

Points = Sequence[tuple[float, float]]


def line_chart(
    series: Mapping[str, Points],
    *,
    x_title: str,
    y_title: str,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    x_names: Sequence[str] | None = None,
    diagonal: bool = False,
    percent: bool = False,
) -> Markup:
    """Draw curves.

    Parameters
    ----------
    series : name → points (x, y).
    x_names : names of x = 0, 1, …; None: numbers.
    diagonal : draw y = x, where all points would lie ideally.
    percent : write y as shares in percent.
    """
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    low_x, high_x = x_range or _padded(min(xs), max(xs), 0.0)
    low_y, high_y = y_range or _padded(min(ys), max(ys), 0.06)
    if percent:  # no share is beyond these
        low_y, high_y = max(low_y, 0.0), min(high_y, 1.0)

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - low_x) / (high_x - low_x)
        up = (y - low_y) / (high_y - low_y)
        return (
            _LEFT + across * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM),
        )

    parts = []
    for step in range(_TICKS + 1):
        y = low_y + (high_y - low_y) * step / _TICKS
        left, height = at(low_x, y)
        right, _ = at(high_x, y)
        text = f"{100 * y:.0f} %" if percent else f"{y:.3g}"
        parts.append(_line(left, height, right, height, "rule"))
        parts.append(_text(left - 6, height + 4, text, "end"))
    ticks: list[tuple[float, str]]
    if x_names is not None:
        ticks = [(float(place), name) for place, name in enumerate(x_names)]
    else:
        ticks = [
            (x, _short(x, percent and high_x <= 1))
            for x in (
                low_x + (high_x - low_x) * step / _TICKS for step in range(_TICKS + 1)
            )
        ]
    for x, name in ticks:
        across, _ = at(x, low_y)
        anchor = "start" if x == low_x else "end" if x == high_x else "middle"
        parts.append(_text(across, _HEIGHT - _BOTTOM + 16, name, anchor))
    if diagonal:
        parts.append(_line(*at(low_x, low_y), *at(high_x, high_y), "ideal"))
    for number, (name, points) in enumerate(series.items()):
        places = [at(x, y) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        color = f"c{number % _N_COLORS}"
        parts.append(f'<polyline class="curve {color}" points="{path}"/>')
        if len(places) <= 40:
            for (x, y), (_, value) in zip(places, points, strict=True):
                said = f"{100 * value:.1f} %" if percent else f"{value:.4g}"
                parts.append(
                    f'<circle class="dot {color}" cx="{x:.1f}" cy="{y:.1f}" r="3.2">'
                    f"<title>{escape(name)}: {said}</title></circle>"
                )
    parts.append(_text(_WIDTH - _RIGHT, _HEIGHT - 3, x_title, "end", "axis"))
    legend = "".join(
        f'<span class="c{number % _N_COLORS}">{escape(name)}</span>'
        for number, name in enumerate(series)
    )
    return Markup(
        f'<figure class="chart"><figcaption>{escape(y_title)}'
        f'<span class="legend">{legend}</span></figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(y_title)}">{"".join(parts)}</svg></figure>'
    )


def _short(value: float, percent: bool) -> str:
    if percent:
        return f"{100 * value:.0f} %"
    if abs(value) >= 1e4:
        return f"{value / 1000:,.3g}k"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _padded(low: float, high: float, share: float) -> tuple[float, float]:
    if high - low < 1e-12:
        return low - 0.5, high + 0.5
    room = share * (high - low)
    return low - room, high + room


def _line(x: float, y: float, to_x: float, to_y: float, kind: str) -> str:
    return (
        f'<line class="{kind}" x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" '
        f'y2="{to_y:.1f}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str, kind: str = "tick") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )
