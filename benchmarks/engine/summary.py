"""The rows that the command line prints at the end of a suite."""

from collections.abc import Sequence

from clbench.benchmarks.engine.cell_log import Outcome
from clbench.reports.audit_table import terminal_audit
from clbench.reports.headings import AUDIT_TITLE, UPDATE_TITLE
from clbench.reports.update_table import terminal_table


def summarise(outcomes: Sequence[Outcome]) -> list[dict[str, object]]:
    """One row a cell: status, and for finished ones every metric (fractions) under every protocol.

    A metric that is not defined is None, and the row says why under `undefined`.
    """
    rows = []
    for outcome in outcomes:
        cell = outcome.cell
        row: dict[str, object] = {
            "stream": cell.names[0],
            "learner": cell.names[1],
            "strategy": cell.label,
            "seed": cell.seed,
            "status": outcome.status,
            "folder": str(outcome.folder.path),
            **({"taken": outcome.taken, "versions": cell.load_stream().last_version} if outcome.taken else {}),
        }
        if outcome.status == "failed":
            row["error"] = outcome.error
        else:
            row |= _numbers(outcome)
            if probes := _probes(outcome):
                row["probes"] = probes
        rows.append(row)
    return rows


def update_tables(outcomes: Sequence[Outcome]) -> list[tuple[str, list[str], list[tuple[str, ...]]]]:
    """What each update cost, one table for each stream, learner and strategy, over its seeds; headline protocol.

    Only streams in which updates do more than learn the tasks in order have such tables.

    Returns:
        Title, headings and rows of each table.
    """
    groups: dict[tuple[str, str, str], list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.status != "failed":
            cell = outcome.cell
            groups.setdefault((cell.names[0], cell.names[1], cell.label), []).append(outcome)
    tables = []
    for names, own in groups.items():
        results = [outcome.folder.result(outcome.cell.load_stream()) for outcome in own]
        headings, rows = terminal_table(results, next(iter(results[0].protocols)))
        headings_left, left = terminal_audit(results)
        if left:
            tables.append((f"{', '.join(names)}: {AUDIT_TITLE.lower()}, in %", headings_left, left))
        if rows:
            tables.append((f"{', '.join(names)}: {UPDATE_TITLE.lower()}, in %", headings, rows))
    return tables


def _probes(outcome: Outcome) -> dict[str, dict[int, float]]:
    """What lm-evaluation-harness measured, by name and version."""
    result: dict[str, dict[int, float]] = {}
    for version, answers in outcome.folder.probes.all().items():
        for numbers in answers.values():
            for name, value in numbers.items():
                result.setdefault(name, {})[version] = value
    return result


def _numbers(outcome: Outcome) -> dict[str, object]:
    """The numbers of the last version; `<protocol>.` stands before those of all protocols but the first."""
    found = outcome.folder.result(outcome.cell.load_stream())
    headline = next(iter(found.protocols.values()))
    result: dict[str, object] = {f"kind/{kind}": mean for kind, mean in headline.kinds.items()}
    undefined: dict[str, str] = {}
    for index, (protocol, of) in enumerate(found.protocols.items()):
        prefix = f"{protocol}." if index else ""
        flips = {} if found.matrix(protocol).rows_are == "version" else of.last.flips
        result |= {prefix + name: value for name, value in {**of.last.metrics, **flips}.items()}
        if any(version.update for version in of.versions):
            labels = [update.label for update in found.updates]
            costs = [{"label": label, **v.update} for label, v in zip(labels, of.versions[1:], strict=True)]
            result |= {f"{prefix}updates": costs}
        undefined |= {prefix + name: reason for name, reason in of.last.undefined.items()}
    return result | ({"undefined": undefined} if undefined else {})
