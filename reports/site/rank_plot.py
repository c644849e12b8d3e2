"""Strategies beside each other: mean ranks with bars that join what is not told apart; differences of single seeds."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from clbench.reports.leaderboard.text import plain
from clbench.reports.site.seed_ranking import SeedDifference
from clbench.reports.site.svg_plot import STROKE, WORDS, Scale

WIDTH, SIDE, ROW = 640.0, 190.0, 18.0
BLOCK = 36.0
"""Height of a strategy in the plot of differences: its name, and below it its points."""
LONGEST, WHOLE_LINE = 30, 74
"""Characters of a name beside a diagram, and above points."""
DOT = Markup('<circle class="point" cx="{:.1f}" cy="{:.1f}" r="3"><title>{}</title></circle>')
JOINT = Markup('<polyline class="joint" points="{}"/>')


def rank_diagram(ranks: Mapping[str, float], groups: Sequence[Sequence[str]]) -> Markup:
    """Demšar's diagram as SVG, the best strategy on the left.

    Args:
        ranks: Mean rank by strategy, the best first; 1 is the best.
        groups: Strategies that one bar joins.
    """
    names = list(ranks)
    across = Scale(1, max(len(names), 2), SIDE, WIDTH - SIDE)
    line = 24.0 + 7.0 * len(groups)
    parts = [STROKE.format("axis", SIDE, WIDTH - SIDE, 18, 18)]
    for tick in range(1, len(names) + 1, 1 + len(names) // 12):
        parts.append(STROKE.format("axis", across.at(tick), across.at(tick), 14, 18))
        parts.append(WORDS.format(across.at(tick), 10, "middle", tick))
    for number, group in enumerate(groups):
        places = [across.at(ranks[name]) for name in group]
        parts.append(STROKE.format("tie", min(places) - 3, max(places) + 3, 25 + 7 * number, 25 + 7 * number))
    half = -(-len(names) // 2)
    for index, name in enumerate(names):
        on_left = index < half
        height = line + ROW * (1 + (index if on_left else len(names) - 1 - index))
        end = SIDE - 8 if on_left else WIDTH - SIDE + 8
        place = across.at(ranks[name])
        parts.append(JOINT.format(f"{place:.1f},18 {place:.1f},{height:.1f} {end:.1f},{height:.1f}"))
        side = (end - 4, "end") if on_left else (end + 4, "start")
        parts.append(WORDS.format(side[0], height + 3.5, side[1], _short(name)))
    total = line + ROW * (half + 1)
    frame = Markup('<svg viewBox="0 0 {:g} {:g}" role="img" aria-label="Mean ranks: {}">{}</svg>')
    told = ", ".join(f"{plain(name)} {rank:.2f}" for name, rank in ranks.items())
    return frame.format(WIDTH, total, told, Markup("").join(parts))


def difference_plot(differences: Mapping[str, SeedDifference]) -> Markup:
    """Differences to the first strategy in percentage points: a point for each seed, the mean and its 95 % interval.

    Args:
        differences: By strategy, at least one.
    """
    ends = [0.0]
    for found in differences.values():
        reach = found.half_width or 0.0
        ends += [100 * value for value in (*found.points.values(), found.mean - reach, found.mean + reach)]
    room = (max(ends) - min(ends)) * 0.04 or 1.0
    across = Scale(min(ends) - room, max(ends) + room, 14, WIDTH - 14)
    floor = 8 + BLOCK * len(differences)
    parts = [STROKE.format("axis", across.at(0), across.at(0), 4, floor)]
    for tick in across.ticks:
        parts.append(WORDS.format(across.at(tick), floor + 14, "middle", f"{tick:+,g}" if tick else "0"))
    parts.append(WORDS.format(WIDTH - 14, floor + 30, "end", "difference of Last, percentage points"))
    for number, (name, found) in enumerate(differences.items()):
        top = 4 + BLOCK * number
        height = top + 23
        parts.append(WORDS.format(0, top + 12, "start", _short(name, WHOLE_LINE)))
        if found.half_width:
            low, high = (across.at(100 * (found.mean + sign * found.half_width)) for sign in (-1, 1))
            parts.append(STROKE.format("reach", low, high, height, height))
        middle = across.at(100 * found.mean)
        parts.append(STROKE.format("mean", middle, middle, height - 6, height + 6))
        for seed, value in found.points.items():
            told = f"{plain(name)}, seed {plain(seed)}: {100 * value:+.1f}"
            parts.append(DOT.format(across.at(100 * value), height, told))
    frame = Markup('<svg viewBox="0 0 {:g} {:g}" role="group" aria-label="Differences of seeds">{}</svg>')
    return frame.format(WIDTH, floor + 34, Markup("").join(parts))


def _short(name: str, longest: int = LONGEST) -> str:
    shown = plain(name)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
