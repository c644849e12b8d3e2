"""Plots as SVG: they need no script, print, follow light and dark, and their points are links."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from markupsafe import Markup

from clbench.reports.leaderboard.text import plain

WIDTH, HEIGHT = 420.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 14.0, 16.0, 40.0
NAMES = 150.0
"""Width of the names at the ends of lines."""
STROKE = Markup('<line class="{}" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>')
WORDS = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
PATH = Markup('<polyline class="{}" points="{}"><title>{}</title></polyline>')
END = Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>')
DOT = Markup(
    '<a class="dot{}" href="{}" aria-label="{}"><circle cx="{:.1f}" cy="{:.1f}" r="9"/>'
    '<text x="{:.1f}" y="{:.1f}">{}</text><title>{}</title></a>'
)


@final
@dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes:
        title: What it shows, with its unit.
        higher: Whether higher is better.
    """

    title: str
    higher: bool


@final
@dataclass(frozen=True)
class Point:
    """A point of a scatter plot.

    Attributes:
        x: Position on the horizontal axis.
        y: Position on the vertical axis.
        mark: One or two characters inside of it.
        title: What it is, for the pointer and for screen readers.
        link: Address that it leads to.
        reach: Half of the interval of y; None without one.
    """

    x: float
    y: float
    mark: str
    title: str
    link: str
    reach: float | None = None


@final
@dataclass(frozen=True)
class Line:
    """A line of numbers over versions.

    Attributes:
        title: What it shows.
        points: Version and number, at least one, ascending.
        is_main: Whether it stands out.
    """

    title: str
    points: Sequence[tuple[float, float]]
    is_main: bool = False


@final
@dataclass(frozen=True)
class Scale:
    """A linear map from numbers to places in the image.

    Attributes:
        low: Number at the start.
        high: Number at the end.
        start: Place of the start.
        end: Place of the end.
    """

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The place of a number."""
        return self.start + (value - self.low) / ((self.high - self.low) or 1.0) * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        """At most six round numbers: multiples of 1, 2 or 5 times a power of ten."""
        raw = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [step * number for number in range(first, last + 1)]


def front(points: Sequence[Point], x: Axis, y: Axis) -> list[Point]:
    """The Pareto front: points to which no other is at least as good on both axes and better on one; by x.

    Args:
        points: The points.
        x: Horizontal axis.
        y: Vertical axis.
    """
    sign_x, sign_y = (1 if x.higher else -1), (1 if y.higher else -1)

    def beats(one: Point, two: Point) -> bool:
        gain = (sign_x * (one.x - two.x), sign_y * (one.y - two.y))
        return min(gain) >= 0 and max(gain) > 0

    return sorted((p for p in points if not any(beats(q, p) for q in points)), key=lambda p: (p.x, p.y))


def scatter(points: Sequence[Point], x: Axis, y: Axis) -> Markup:
    """A scatter plot with its Pareto front.

    Args:
        points: At least one.
        x: Horizontal axis.
        y: Vertical axis.
    """
    across = _scale([p.x for p in points], LEFT, WIDTH - RIGHT)
    ends = [p.y + sign * (p.reach or 0.0) for p in points for sign in (-1, 1)]
    up = _scale(ends, HEIGHT - BOTTOM, TOP)
    best = front(points, x, y)
    parts = _axes(across, across.ticks, up)
    parts.append(WORDS.format(WIDTH - RIGHT, HEIGHT - 4, "end", f"{x.title} ({'→' if x.higher else '←'} better)"))
    parts.append(WORDS.format(0, TOP - 6, "start", f"{y.title} ({'↑' if y.higher else '↓'} better)"))
    parts.append(PATH.format("front", _path(across, up, [(p.x, p.y) for p in best]), "Pareto front"))
    for p in sorted(points, key=lambda p: p in best):
        cx, cy, title = across.at(p.x), up.at(p.y), plain(p.title)
        if p.reach:
            parts.append(STROKE.format("bar", cx, cx, up.at(p.y - p.reach), up.at(p.y + p.reach)))
        parts.append(DOT.format(" on" if p in best else "", p.link, title, cx, cy, cx, cy + 3.5, p.mark, title))
    return _svg(parts, f"{y.title} against {x.title}")


def curves(lines: Sequence[Line], title: str, horizontal: str = "version") -> Markup:
    """Numbers over versions, in %.

    Args:
        lines: The lines, at least one; numbers are fractions.
        title: What the vertical axis shows.
        horizontal: What the horizontal axis shows.
    """
    width = 640.0
    right = width - NAMES
    places = sorted({place for line in lines for place, _ in line.points})
    across = Scale(places[0], places[-1], LEFT, right)
    up = _scale([100 * value for line in lines for _, value in line.points], HEIGHT - BOTTOM, TOP)
    parts = _axes(across, places[:: 1 + len(places) // 16], up, right)
    parts.append(WORDS.format(right, HEIGHT - 4, "end", horizontal))
    parts.append(WORDS.format(0, TOP - 6, "start", title))
    ends: list[tuple[float, Line]] = []
    for line in sorted(lines, key=lambda line: line.is_main):
        path = _path(across, up, [(place, 100 * value) for place, value in line.points])
        parts.append(PATH.format("bold" if line.is_main else "thin", path, plain(line.title)))
        ends.append((up.at(100 * line.points[-1][1]), line))
    for height, line in _apart(sorted(ends, key=lambda end: end[0])):
        shown = plain(line.title)
        shown = shown if len(shown) <= 24 else f"{shown[:23]}…"
        parts.append(END.format("end main" if line.is_main else "end", right + 8, height + 3.5, shown))
    return _svg(parts, title, width)


def _scale(values: Sequence[float], start: float, end: float) -> Scale:
    """A scale with some room around the values, from about 0 where this is near."""
    low, high = min(values), max(values)
    room = (high - low) * 0.08 or max(abs(high) * 0.1, 1.0)
    return Scale(-0.3 * room if 0 <= low <= room else low - room, high + room, start, end)


def _axes(across: Scale, ticks: Sequence[float], up: Scale, right: float = WIDTH - RIGHT) -> list[Markup]:
    floor = HEIGHT - BOTTOM
    parts = []
    for tick in up.ticks:
        parts.append(STROKE.format("grid", LEFT, right, up.at(tick), up.at(tick)))
        parts.append(WORDS.format(LEFT - 6, up.at(tick) + 3.5, "end", f"{tick:,g}"))
    parts.append(STROKE.format("axis", LEFT, right, floor, floor))
    return parts + [WORDS.format(across.at(tick), floor + 15, "middle", f"{tick:,g}") for tick in ticks]


def _path(across: Scale, up: Scale, points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in points)


def _apart(ends: list[tuple[float, Line]], gap: float = 12.0) -> list[tuple[float, Line]]:
    """Ends of lines, from the top, moved apart so that their names do not overlap."""
    placed: list[tuple[float, Line]] = []
    for height, line in ends:
        placed.append((max(height, placed[-1][0] + gap) if placed else height, line))
    over = max(placed[-1][0] - (HEIGHT - BOTTOM), 0.0)
    return [(height - over, line) for height, line in placed]


def _svg(parts: Sequence[Markup], title: str, width: float = WIDTH) -> Markup:
    body = Markup("").join(parts)
    frame = Markup('<svg viewBox="0 0 {:g} {:g}" role="group" aria-label="{}">{}</svg>')
    return frame.format(width, HEIGHT, plain(title), body)
