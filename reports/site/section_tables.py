"""The tables of a stream: its strategies with their numbers, and what the updates of each one cost."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial

from clbench.core.registry import METRICS
from clbench.reports.audit_table import AUDIT_FIRST, audit_columns
from clbench.reports.estimates import Estimate
from clbench.reports.headings import (
    AUDIT,
    AUDIT_TITLE,
    CALIBRATION,
    CHALLENGE,
    COSTS,
    MAIN,
    SIZE,
    STREAM_FLIPS,
    UPDATE_COSTS,
    UPDATE_TITLE,
    audit_number,
    metric_title,
    percent,
    three_digits,
    update_number,
)
from clbench.reports.leaderboard.aggregate import ORDERED_BY, Section, Standing
from clbench.reports.leaderboard.columns import columns
from clbench.reports.leaderboard.logged_cell import COST_NOTE
from clbench.reports.leaderboard.published import HEADINGS, WARNING, Published
from clbench.reports.leaderboard.text import amount
from clbench.reports.site.seed_ranking import SeedRanking, half_width, rank_by_seeds
from clbench.reports.site.site_table import EMPTY, Cell, Column, Table
from clbench.reports.update_table import FIRST_COLUMNS, update_columns

SHOWN_COSTS = (
    "cost/train_seconds",
    "cost/passes_with_gradient",
    "cost/passes_without_gradient",
    "cost/samples",
    "cost/trained_share",
    "cost/process_peak_mb",
)
"""Costs of a run that stand beside its scores."""
FIRST_TABLE = (*(name for name in MAIN if name != "mtil.last"), *STREAM_FLIPS, CALIBRATION, *SHOWN_COSTS, SIZE)
"""Numbers of the first table of a stream, in its order. `mtil.last` equals `average_accuracy`: both are called Last."""
PASSES_TIP = "Samples that pass through a model while versions are made, each as often as it passes; mean over seeds."
NOTE = (
    "Scores in %. ± is half of the 95 % t interval over seeds. A dot marks a best strategy only where it is better "
    "than every other by paired t tests over seeds, corrected for all pairs (Holm); the ranks are those that these "
    "tests leave open."
)


@cache
def number_column(name: str) -> Column:
    """The column of a number by its name in results."""
    if name in STREAM_FLIPS:
        tip = "Answers that were right before the last update, or when their task was learnt, and are wrong now."
        return Column(name, STREAM_FLIPS[name].long, "lower", tip=tip)
    if name == CALIBRATION:
        return Column(name, "Calibration error", "lower", tip="Expected calibration error with 15 bins.")
    if name == SIZE:
        return Column(name, "Bytes of the last version", "lower", tip="Of the compressed weights.")
    if name in COSTS:
        return Column(
            name,
            COSTS[name].long,
            tip=PASSES_TIP if "passes" in name else "Mean over seeds, each run as if it were alone.",
        )
    summary = next(column.summary for column in columns() if column.name == name)
    return Column(name, metric_title(name), str(METRICS.get(name).details.get("direction", "")), tip=summary)


def ranking(section: Section, protocol: str, name: str) -> SeedRanking | None:
    """What the seeds show of the order of the strategies by a number.

    Args:
        section: The stream.
        protocol: Name of the protocol.
        name: Name of the number in results.

    Returns:
        The ranking; None for a number without a better direction, and as in `rank_by_seeds`.
    """
    direction = number_column(name).direction
    found = {
        standing.label: standing.results[protocol].by_seed[name]
        for standing in section.standings
        if protocol in standing.results and name in standing.results[protocol].by_seed
    }
    return rank_by_seeds(found, higher_is_better=direction == "higher") if direction else None


def strategy_table(section: Section, protocol: str, links: Mapping[str, str], number: int) -> Table:
    """The strategies with the numbers of `FIRST_TABLE` that some of them has.

    Args:
        section: The stream.
        protocol: Name of the protocol.
        links: Address of the page of each strategy's first cell, by its label.
        number: Place of the protocol, from 1.

    Returns:
        The table; rows and places are in the order of `ORDERED_BY` under this protocol.
    """
    section = replace(section, standings=_in_order(section, protocol))
    names = [name for name in FIRST_TABLE if _has(section, protocol, name)]
    order = ranking(section, protocol, ORDERED_BY)
    several = any(len(standing.finished) > 1 for standing in section.standings)
    told = [Column("ranks", "Ranks", is_text=True, tip="Those that paired tests leave open.")] if several else []
    score, others = names[:1], names[1:]
    first = [Column("strategy", "Strategy", is_text=True), *map(number_column, score)]
    first += [Column("place", "#"), *told, Column("seeds", "Seeds")]
    cells = _number_rows(section, protocol, names)
    rows = []
    for place, (standing, numbers) in enumerate(zip(section.standings, cells, strict=True), start=1):
        name = Cell(standing.label, link=links.get(standing.label, ""))
        number_of = Cell(str(place), place) if protocol in standing.results else EMPTY
        ranks = [_ranks(standing, order)] if several else []
        rows.append([name, *numbers[: len(score)], number_of, *ranks, _seeds(standing), *numbers[len(score) :]])
    title = f"Protocol {protocol}" + (" (primary)" if number == 1 and len(section.protocols) > 1 else "")
    return Table(f"p{number}", title, [*first, *map(number_column, others)], rows, _told_apart(order), wide=True)


def difference_table(section: Section, protocol: str, number: int) -> tuple[Table, SeedRanking] | None:
    """Each strategy less the first one in `ORDERED_BY`, over the seeds that both have.

    Args:
        section: The stream.
        protocol: Name of the protocol.
        number: Place of the protocol, from 1.

    Returns:
        The table and what it was made from; None where no strategy has two seeds in common with the first.
    """
    order = ranking(section, protocol, ORDERED_BY)
    if order is None or all(found.p is None for found in order.differences.values()):
        return None
    columns = [
        Column("strategy", "Strategy", is_text=True),
        Column("difference", "Difference, percentage points", "higher"),
        Column("p", "p, corrected for all pairs"),
        Column("by_seed", "By seed", is_text=True),
    ]
    rows = []
    for label in (name for name in order.order if name in order.differences):
        found = order.differences[label]
        half = found.half_width
        spread = "" if half is None else percent(half)
        p = EMPTY if found.p is None else Cell(f"{found.p:.2g}", found.p)
        points = ", ".join(f"{seed}: {100 * value:+.1f}" for seed, value in found.points.items())
        rows.append(
            [Cell(label), Cell(percent(found.mean), found.mean, spread, half, len(found.points)), p, Cell(points)]
        )
    title = f"Differences to {order.order[0]}: {number_column(ORDERED_BY).heading}"
    note = (
        "The unit of analysis is the seed: a point is the difference of two runs with the same seed, the bar is the "
        "95 % t interval of their mean. The intervals are not corrected for the number of pairs; p, of the "
        "paired t test, is (Holm)."
    )
    return Table(f"differences{number}", title, columns, rows, note, wide=True), order


def other_table(section: Section, protocol: str, number: int) -> Table:
    """All registered metrics that the first table does not have.

    Args:
        section: The stream.
        protocol: Name of the protocol.
        number: Place of the protocol, from 1.
    """
    names = [column.name for column in columns() if column.name not in (*FIRST_TABLE, "mtil.last")]
    rows = [
        [Cell(standing.label), *numbers]
        for standing, numbers in zip(section.standings, _number_rows(section, protocol, names), strict=True)
    ]
    shown = [Column("strategy", "Strategy", is_text=True), *map(number_column, names)]
    return Table(f"other{number}", f"All other metrics, protocol {protocol}", shown, rows, wide=True)


def last_versions(section: Section, protocol: str) -> list[str]:
    """Number and bits of the last version, of which the scores are, where versions were compressed.

    Args:
        section: The stream.
        protocol: Name of the protocol.

    Returns:
        One text (`12, 2 bits`) where it is that of all strategies, else one for each strategy, after its label.
    """
    found: dict[str, str] = {}
    for standing in section.standings:
        rows = standing.results[protocol].update_rows if protocol in standing.results else ()
        if any("update/bytes" in row.numbers for row in rows):
            bits = rows[-1].numbers.get("update/bits")
            what = rows[-1].label if bits is None else f"{update_number('update/bits', bits.mean)} bits"
            found[standing.label] = f"{rows[-1].number}, {what}"
    if len(set(found.values())) == 1:
        return list(found.values())[:1]
    return [f"{label}: {text}" for label, text in found.items()]


def update_tables(section: Section, protocol: str, number: int) -> list[Table]:
    """What each update cost, one table for each strategy; none for streams that only learn their tasks.

    Args:
        section: The stream.
        protocol: Name of the protocol.
        number: Place of the protocol, from 1.
    """
    tables = []
    for place, standing in enumerate(section.standings, start=1):
        rows = standing.results[protocol].update_rows if protocol in standing.results else ()
        if not rows:
            continue
        names = update_columns(rows)
        first = [Column(name.lower(), name, is_text=True) for name in FIRST_COLUMNS]
        numbers = [Column(name, UPDATE_COSTS[name].long, UPDATE_COSTS[name].direction) for name in names]
        cells = [
            [
                *(Cell(word) for word in row.words),
                *(
                    _spread(row.numbers.get(name), partial(update_number, name), len(standing.finished))
                    for name in names
                ),
            ]
            for row in rows
        ]
        title = f"{UPDATE_TITLE}: {standing.label}"
        note = (
            "Each version against the one that it was made from, on the tasks learnt before it (on all tasks where "
            "none is learnt). Shares in %, answers in numbers. ± is half of the 95 % t interval over seeds."
        )
        tables.append(Table(f"updates{number}-{place}", title, [*first, *numbers], cells, note, wide=True))
    return tables


def audit_tables(section: Section) -> list[Table]:
    """What is left of forgotten samples, one table for each strategy that was asked to forget some."""
    tables = []
    for place, standing in enumerate(section.standings, start=1):
        if not standing.audits:
            continue
        names = audit_columns(standing.audits)
        shown = [Column(name.lower(), name, is_text=True) for name in AUDIT_FIRST]
        shown += [Column(name, AUDIT[name].long, AUDIT[name].direction) for name in names]
        rows = [
            [
                *(Cell(word) for word in row.words),
                *(_spread(row.numbers.get(name), partial(audit_number, name)) for name in names),
            ]
            for row in standing.audits
        ]
        note = (
            "The aim is the value of the reference, a model that was trained without the samples. Accuracies and "
            "shares in %; the gap is the mean distance of the three accuracies from those of the reference. "
            "± is half of the 95 % t interval over seeds."
        )
        tables.append(Table(f"audit-{place}", f"{AUDIT_TITLE}: {standing.label}", shown, rows, note))
    return tables


def amount_tables(section: Section) -> list[Table]:
    """Costs of the runs, and the challenge metrics of image tasks, as far as runs tell them."""
    kinds = (
        ("cost", "Cost of a run", COST_NOTE, COSTS, [standing.cost for standing in section.standings]),
        (
            "challenge",
            "Challenge metrics by kind of task",
            "Of the last version, means over the tasks of a kind and over seeds, each in its own unit.",
            CHALLENGE,
            [standing.challenge for standing in section.standings],
        ),
    )
    tables = []
    for name, title, note, headings, told in kinds:
        names = [key for key in headings if any(key in of for of in told)]
        if not names:
            continue
        shown = [Column("strategy", "Strategy", is_text=True)]
        shown += [Column(key, headings[key].long, headings[key].direction) for key in names]
        rows = [
            [Cell(standing.label), *(_amount(of.get(key), standing) for key in names)]
            for standing, of in zip(section.standings, told, strict=True)
            if of
        ]
        tables.append(Table(name, title, shown, rows, note, wide=True))
    return tables


def published_table(found: Published) -> Table:
    """Numbers that others have printed; marked, and never in one table with ours."""
    shown = [Column("method", "Method, as printed", is_text=True)]
    shown += [Column(name, heading) for name, heading in HEADINGS.items()]
    rows = [
        [Cell(row.name), *(EMPTY if value is None else Cell(f"{value:.1f}", value) for value in row.cells)]
        for row in found.rows
    ]
    return Table(
        "published", f"Published numbers, protocol {found.protocol}", shown, rows, f"{WARNING} {found.setting}"
    )


def failure_table(section: Section) -> Table | None:
    """Cells without a result, and seeds that were never run; None if every seed has a result."""
    rows = [
        [Cell(standing.label), Cell(cell.seed), Cell(cell.status, mark="failed"), Cell(cell.error or "")]
        for standing in section.standings
        for cell in standing.failed
    ]
    rows += [
        [Cell(standing.label), Cell(seed), Cell("NOT RUN", mark="failed"), Cell("other strategies have this seed")]
        for standing in section.standings
        for seed in standing.missing
    ]
    names = ("Strategy", "Seed", "Status", "Error")
    shown = [Column(name.lower(), name, is_text=True) for name in names]
    title = f"Without a result: {lacking_text(section.standings)}"
    return Table("failures", title, shown, rows) if rows else None


def lacking_text(standings: Sequence[Standing]) -> str:
    """How many cells have no result: `1 unfinished, 2 not run`; empty if every seed has one."""
    counts = {"unfinished": sum(len(s.failed) for s in standings), "not run": sum(len(s.missing) for s in standings)}
    return ", ".join(f"{number} {what}" for what, number in counts.items() if number)


def number_cell(name: str, found: Estimate | None, seeds: int, is_best: bool = False) -> Cell:
    """A number over seeds: mean, and half of its 95 % t interval.

    Args:
        name: Its name in results.
        found: The estimate; None where no seed has the number.
        seeds: How many seeds finished.
        is_best: Whether it is marked.
    """
    if found is None:
        return EMPTY
    shown = three_digits if name in COSTS else partial(update_number, name) if name == SIZE else percent
    half = half_width(found) if name not in COSTS else None
    tip = f"{found.n} of {seeds} seeds" if found.n < seeds else ""
    text = shown(found.mean) + (f" ({tip})" if tip else "")
    return Cell(
        text, found.mean, "" if half is None else shown(half), half, found.n, mark="best" if is_best else "", tip=tip
    )


def _number_rows(section: Section, protocol: str, names: Sequence[str]) -> list[list[Cell]]:
    orders = {name: ranking(section, protocol, name) for name in names}
    best = {name: order.best for name, order in orders.items() if order}
    rows = []
    for standing in section.standings:
        result = standing.results.get(protocol)
        row = []
        for name in names:
            found = result.metrics.get(name) if result else None
            if found is None and result:
                row.append(Cell(EMPTY.text, tip=result.undefined.get(name, "")))
            else:
                row.append(number_cell(name, found, len(standing.finished), best.get(name) == standing.label))
        rows.append(row)
    return rows


def _seeds(standing: Standing) -> Cell:
    finished, lacking = len(standing.finished), len(standing.failed) + len(standing.missing)
    if not lacking:
        return Cell(str(finished), finished)
    return Cell(f"{finished} of {finished + lacking}", finished, mark="failed", tip=lacking_text([standing]))


def _ranks(standing: Standing, order: SeedRanking | None) -> Cell:
    """The ranks that are left open; a dash where there is one seed, which cannot tell."""
    if order is None or standing.label not in order.intervals or len(standing.finished) < 2:
        return EMPTY
    low, high = order.intervals[standing.label]
    return Cell(str(low) if low == high else f"{low} to {high}")


def _has(section: Section, protocol: str, name: str) -> bool:
    results: Iterable[Mapping[str, Estimate]] = (
        standing.results[protocol].metrics for standing in section.standings if protocol in standing.results
    )
    return any(name in metrics for metrics in results)


def _in_order(section: Section, protocol: str) -> tuple[Standing, ...]:
    """The strategies by `ORDERED_BY` under a protocol, those without it last."""

    def place(standing: Standing) -> tuple[float, str]:
        found = standing.results[protocol].metrics.get(ORDERED_BY) if protocol in standing.results else None
        return (-found.mean if found else math.inf, standing.label)

    return tuple(sorted(section.standings, key=place))


def _told_apart(order: SeedRanking | None) -> str:
    """How many pairs the ranks tell apart; empty where there is no pair with two seeds in common."""
    if order is None or not order.tested:
        return ""
    told = f"{order.told_apart} of {order.pairs} pairs {'is' if order.told_apart == 1 else 'are'} told apart by Last."
    if order.visible is None:
        return told
    seen = f"a paired test finds a difference of {percent(order.visible)} points in four of five cases"
    return f"{told} Over these seeds and test samples, {seen}; clbench power says how many seeds show smaller ones."


def _spread(found: Estimate | None, shown: Callable[[float], str], seeds: int = 0) -> Cell:
    """Mean and half of the 95 % interval; says so where fewer seeds have the number than finished.

    Args:
        found: The number over seeds; None where there is none.
        shown: Writes it as text.
        seeds: How many seeds finished.
    """
    if found is None:
        return EMPTY
    half = half_width(found)
    text = shown(found.mean) + (f" ({found.n} of {seeds} seeds)" * (found.n < seeds))
    return Cell(text, found.mean, "" if half is None else shown(half), half, found.n)


def _amount(found: Estimate | None, standing: Standing) -> Cell:
    return EMPTY if found is None else Cell(amount(found, len(standing.finished)), found.mean, n=found.n)
