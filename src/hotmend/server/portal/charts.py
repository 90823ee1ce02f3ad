"""Shapes of charts, for SVG that the templates draw. Pure: numbers in, coordinates out.

Every chart stands beside a table of the same numbers; nothing is said by a shape alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, sin

_TAU = 2 * pi
_NICE = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Band:
    """A layer of a stacked area; ``path``: SVG's ``d``."""

    name: str
    path: str


@dataclass(frozen=True)
class Arc:
    """A slice of a donut; ``number``: what it stands for."""

    name: str
    number: int
    path: str


def top(most: float) -> float:
    """The end of an axis that shows ``most``: a round number, at least 1."""
    if most <= 1:
        return 1.0
    power = 10 ** (len(str(int(most))) - 1)
    return float(next(step * power for step in _NICE if step * power >= most))


def stacked(
    points: Sequence[tuple[float, dict[str, int]]],
    names: Sequence[str],
    span: tuple[float, float],
    size: tuple[float, float],
) -> list[Band]:
    """Layers of ``names``, the first at the bottom. ``points``: (x, numbers), ascending; ``span``:
    the axis' first and last x; ``size``: (width, height) of the drawing."""
    most = top(max((sum(n[name] for name in names) for _, n in points), default=0))
    below = [0.0] * len(points)
    bands = []
    for name in names:
        above = [low + numbers[name] for low, (_, numbers) in zip(below, points, strict=True)]
        upper = [
            (_x(x, span, size), _y(y, most, size)) for (x, _), y in zip(points, above, strict=True)
        ]
        lower = [
            (_x(x, span, size), _y(y, most, size)) for (x, _), y in zip(points, below, strict=True)
        ]
        bands.append(Band(name, _closed(upper + lower[::-1])))
        below = above
    return bands


def donut(parts: Sequence[tuple[str, int]], radius: float, hole: float) -> list[Arc]:
    """Slices around (0, 0), clockwise from the top; parts of nothing are left out."""
    whole = sum(number for _, number in parts)
    arcs, at = [], 0.0
    for name, number in parts:
        if number:
            turn = number / whole
            arcs.append(Arc(name, number, _slice(at, at + turn, radius, hole)))
            at += turn
    return arcs


def dots(
    numbers: dict[str, int], names: Sequence[str], most: int = 42, across: int = 14
) -> tuple[list[tuple[str, int, int]], int]:
    """((name, x, y) of dots of which each stands for as many as it must so that about ``most`` do,
    the drawing's height); ``across``: dots in a line, 12 apart."""
    each = max(1, -(-sum(numbers.values()) // most))
    drawn = [name for name in names for _ in range(-(-numbers.get(name, 0) // each))]
    found = [
        (name, 6 + 12 * (at % across), 6 + 12 * (at // across)) for at, name in enumerate(drawn)
    ]
    return found, 12 * max(1, -(-len(drawn) // across))


def steps(
    points: Sequence[tuple[float, float]],
    span: tuple[float, float],
    most: float,
    size: tuple[float, float],
) -> str:
    """A curve that holds each value until the next: what is counted does not grow in between."""
    if not points:
        return ""
    found = [f"M{_x(points[0][0], span, size):.1f} {_y(points[0][1], most, size):.1f}"]
    for x, y in points[1:]:
        found.append(f"H{_x(x, span, size):.1f}V{_y(y, most, size):.1f}")
    return "".join([*found, f"H{_x(span[1], span, size):.1f}"])


def x_of(x: float, span: tuple[float, float], width: float) -> float:
    """Where ``x`` stands on an axis."""
    return round(_x(x, span, (width, 0)), 1)


def _x(x: float, span: tuple[float, float], size: tuple[float, float]) -> float:
    whole = span[1] - span[0]
    return min(max((x - span[0]) / whole, 0.0), 1.0) * size[0] if whole else 0.0


def _y(y: float, most: float, size: tuple[float, float]) -> float:
    return size[1] - y / most * size[1]


def _closed(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z" if points else ""


def _slice(start: float, end: float, radius: float, hole: float) -> str:
    # SVG draws no arc from a point to itself.
    end = min(end, start + 0.99999)
    large = int(end - start > 0.5)

    def at(turn: float, r: float) -> str:
        return f"{r * sin(turn * _TAU):.2f} {-r * cos(turn * _TAU):.2f}"

    return (
        f"M{at(start, radius)}A{radius} {radius} 0 {large} 1 {at(end, radius)}"
        f"L{at(end, hole)}A{hole} {hole} 0 {large} 0 {at(start, hole)}Z"
    )
