"""The leaderboard for machines and for Git: Markdown, CSV and JSON."""

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence

from clbench.core import strict_json
from clbench.reports.estimates import Estimate
from clbench.reports.headings import NO_NUMBER, UPDATE_COSTS, UPDATE_TITLE
from clbench.reports.leaderboard.aggregate import Section, SeedsResult, Standing, challenge, costs
from clbench.reports.leaderboard.board import Board
from clbench.reports.leaderboard.columns import Column
from clbench.reports.leaderboard.logged_cell import COST_NOTE
from clbench.reports.leaderboard.published import HEADINGS, Published
from clbench.reports.leaderboard.published import WARNING as PUBLISHED_WARNING
from clbench.reports.leaderboard.text import amount, csv_text, markdown, with_error
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.update_table import FIRST_COLUMNS, UpdateRow, update_columns
from clbench.spec.update import update_as_json

CHALLENGE_TITLE = (
    "Challenge metrics of the last version, means over the tasks of a kind and over seeds, each in its own unit:"
)
TUNING_NOTE = "Used to choose settings; never comparable with the results on test data."


def to_markdown(board: Board) -> str:
    """The main tables, failed cells and the meaning of the metrics."""
    lines = [f"# Leaderboard: {markdown(board.experiment)}", "", f"{board.generated:%Y-%m-%d %H:%M} UTC. {board.units}"]
    for section in board.sections:
        where = ", ".join(markdown(text) for text in (section.stream, section.learner, section.budget) if text)
        lines += ["", f"## {where}" if section.is_test else f"## Tuning ({markdown(section.split)} split): {where}"]
        lines += [] if section.is_test else ["", f"**{TUNING_NOTE}**"]
        for protocol in section.protocols or ("",):
            lines += ["", *_markdown_table(section, protocol, [column for column in board.columns if column.is_main])]
            lines += _markdown_updates(section, protocol)
        lines += _markdown_told(CHALLENGE_TITLE, challenge(section), section, lambda standing: standing.challenge)
        lines += _markdown_told(f"Cost of a run. {COST_NOTE}", costs(section), section, lambda standing: standing.cost)
        lines += _markdown_published(board.published(section))
        lines += _markdown_failures(section)
    lines += ["", "## Metrics", ""]
    for column in board.columns:
        formula = column.facts.get("Formula", "see its documentation")
        meaning = f"{markdown(column.summary)} Formula: {markdown(formula)}"
        lines.append(f"- **{markdown(column.name)}** {column.arrow}: {meaning}")
    return "\n".join(lines) + "\n"


def _markdown_table(section: Section, protocol: str, shown: Sequence[Column]) -> list[str]:
    title = [f"Protocol: {markdown(protocol)}", ""] if protocol else []
    header = ["Strategy", "Seeds", "No result", *(column.heading for column in shown)]
    lines = [*title, f"| {' | '.join(header)} |", f"|---|{'---:|' * (len(header) - 1)}"]
    for standing in section.standings:
        result = standing.results.get(protocol)
        seeds = len(standing.finished)
        cells = [with_error(result.metrics.get(column.name), seeds) if result else NO_NUMBER for column in shown]
        first = [markdown(standing.label), str(seeds), str(len(standing.failed))]
        lines.append(f"| {' | '.join(first + cells)} |")
    return lines


def _markdown_updates(section: Section, protocol: str) -> list[str]:
    lines: list[str] = []
    for standing in section.standings:
        rows = standing.results[protocol].update_rows if protocol in standing.results else ()
        names = update_columns(rows)
        if rows:
            header = [*FIRST_COLUMNS, *(UPDATE_COSTS[name].with_arrow for name in names)]
            lines += ["", f"{UPDATE_TITLE}: {markdown(standing.label)}", "", f"| {' | '.join(header)} |"]
            lines += [f"|---:|---|---|---|{'---:|' * len(names)}"]
        for row in rows:
            cells = [row.cell(name, len(standing.finished)) for name in names]
            lines.append(f"| {' | '.join([*map(markdown, row.words), *cells])} |")
    return lines


def _markdown_told(
    title: str, shown: Mapping[str, str], section: Section, told: Callable[[Standing], Mapping[str, Estimate]]
) -> list[str]:
    if not shown:
        return []
    lines = ["", title, "", f"| Strategy | {' | '.join(shown.values())} |", f"|---|{'---:|' * len(shown)}"]
    for standing in section.standings:
        cells = [amount(told(standing).get(name), len(standing.finished)) for name in shown]
        lines.append(f"| {' | '.join([markdown(standing.label), *cells])} |")
    return lines


def _markdown_published(table: Published | None) -> list[str]:
    if table is None:
        return []
    lines = ["", f"**{PUBLISHED_WARNING}** Protocol: {table.protocol}. {markdown(table.setting)}", ""]
    lines += [f"| Published | {' | '.join(HEADINGS.values())} |", f"|---|{'---:|' * len(HEADINGS)}"]
    for row in table.rows:
        cells = [NO_NUMBER if cell is None else f"{cell:.1f}" for cell in row.cells]
        lines.append(f"| {' | '.join([markdown(row.name), *cells])} |")
    return [*lines, "", f"Source: {markdown(table.source)}", *(f"- {markdown(note)}" for note in table.notes)]


def _markdown_failures(section: Section) -> list[str]:
    failed = [(standing, cell) for standing in section.standings for cell in standing.failed]
    lines = ["", "Without a result:", ""] if failed else []
    for standing, cell in failed:
        words = (f"{standing.label}, seed {cell.seed}", cell.status, cell.error or "")
        lines.append(f"- {': '.join(map(markdown, words))}")
    return lines


def to_csv(board: Board) -> str:
    """One row for each strategy and protocol, fractions with every digit; empty where there is no number.

    Costs and challenge metrics do not depend on the protocol: every row of a strategy has the same.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [column.name for column in board.columns]
    told = list(dict.fromkeys(name for section in board.sections for name in (*costs(section), *challenge(section))))
    metrics = [csv_text(f"{name}{what}") for name in (*names, *told) for what in ("", " standard error", " n")]
    writer.writerow(
        ["split", "stream", "learner", "budget", "strategy", "protocol", "seeds", "without_result", *metrics, "errors"]
    )
    for section in board.sections:
        for standing in section.standings:
            errors = csv_text("; ".join(f"seed {cell.seed}: {cell.error}" for cell in standing.failed))
            for protocol in standing.results or ("",):
                words = (section.split, section.stream, section.learner, section.budget, standing.label, protocol)
                counts = (len(standing.finished), len(standing.failed))
                result = standing.results.get(protocol)
                numbers = _csv_numbers(result.metrics if result else {}, names)
                numbers += _csv_numbers({**standing.cost, **standing.challenge}, told)
                writer.writerow([*map(csv_text, words), *counts, *numbers, errors])
    return text.getvalue()


def _csv_numbers(estimates: Mapping[str, Estimate], names: Sequence[str]) -> list[float | int | str]:
    cells: list[float | int | str] = []
    for name in names:
        found = estimates.get(name)
        error = found.standard_error if found else None
        cells += [found.mean if found else "", error if error is not None else "", found.n if found else ""]
    return cells


def to_json(board: Board) -> str:
    """Everything, with the runs behind each number; null where there is none."""
    value = {
        "schema": 1,
        "experiment": board.experiment,
        "generated": board.generated.isoformat(timespec="seconds"),
        "sections": [_json_section(section, board.published(section)) for section in board.sections],
        "metrics": {column.name: _json_column(column) for column in board.columns},
        "environment": board.environment,
    }
    return strict_json.dumps(value) + "\n"


def _json_column(column: Column) -> dict[str, str]:
    return {**{fact.lower(): text for fact, text in column.facts.items()}, "direction": column.direction}


def _json_section(section: Section, published: Published | None) -> dict[str, object]:
    return {
        "stream": section.stream,
        "learner": section.learner,
        "budget": section.budget,
        "split": section.split,
        "protocols": section.protocols,
        "standings": [_json_standing(standing) for standing in section.standings],
        "published": {"warning": PUBLISHED_WARNING, **published.model_dump(mode="json")} if published else None,
    }


def _json_standing(standing: Standing) -> dict[str, object]:
    return {
        "label": standing.label,
        "strategy": standing.strategy,
        "finished": [{"seed": cell.seed, "cell": cell.key, "run": cell.run_id} for cell in standing.finished],
        "failed": [
            {"seed": cell.seed, "cell": cell.key, "run": cell.run_id, "status": cell.status, "error": cell.error}
            for cell in standing.failed
        ],
        "notes": standing.notes,
        "cost": {name: {"mean": found.mean, "n": found.n} for name, found in standing.cost.items()},
        "challenge": _json_estimates(standing.challenge),
        "results": {protocol: _json_result(result) for protocol, result in standing.results.items()},
    }


def _json_result(result: SeedsResult) -> dict[str, object]:
    metrics: dict[str, object] = dict(_json_estimates(result.metrics))
    matrix = result.matrix
    return {
        "metrics": {**metrics, **dict.fromkeys(result.undefined)},
        "undefined": dict(result.undefined),
        "tasks": matrix.tasks if matrix else None,
        **({"updates": _json_updates(matrix)} if matrix and matrix.rows_are != "version" else {}),
        **({"update_costs": [_json_update(row) for row in result.update_rows]} if result.update_rows else {}),
        "matrix": [[_json_number(score) for score in row] for row in matrix.scores.tolist()] if matrix else None,
    }


def _json_estimates(estimates: Mapping[str, Estimate]) -> dict[str, dict[str, float | int | None]]:
    return {
        name: {"mean": found.mean, "standard_error": found.standard_error, "n": found.n}
        for name, found in estimates.items()
    }


def _json_update(row: UpdateRow) -> dict[str, object]:
    words = {"version": row.number, "label": row.label, "kind": row.kind, "from": row.parent}
    return {**words, "numbers": _json_estimates(row.numbers)}


def _json_updates(matrix: ScoreMatrix) -> list[dict[str, object]]:
    """The updates of a stream that does not only learn its tasks in order, as its card writes them."""
    return [update_as_json(update) for update in matrix.updates]


def _json_number(score: float) -> float | None:
    return None if math.isnan(score) else score
