"""A comparison for continuous integration: JUnit XML for test reports, Markdown for summaries and comments."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from clbench.core.storage import written_whole
from clbench.reports.flips import comparison_tables as tables
from clbench.reports.flips.comparison import Comparison
from clbench.reports.flips.gate import Gate
from clbench.reports.flips.policy import Check, PolicyResult
from clbench.reports.leaderboard.text import markdown, plain

SUITE = "clbench compare"


def write_junit(path: Path, comparison: Comparison, gate: Gate | None, policy: PolicyResult | None) -> None:
    """Write `to_junit`; a failure leaves no part of the file.

    Args:
        path: The file to write.
        comparison: What was judged.
        gate: Result of `--max-nfr`; None without it.
        policy: Result of a policy; None without one.

    Raises:
        ClbenchError: If the disk is full or not writable.
    """
    with written_whole(path) as temporary:
        temporary.write_text(to_junit(comparison, gate, policy), encoding="utf-8")


def write_markdown(path: Path, comparison: Comparison, gate: Gate | None, policy: PolicyResult | None) -> None:
    """Write `to_markdown`; a failure leaves no part of the file.

    Args:
        path: The file to write.
        comparison: What to show.
        gate: Result of `--max-nfr`; None without it.
        policy: Result of a policy; None without one.

    Raises:
        ClbenchError: If the disk is full or not writable.
    """
    with written_whole(path) as temporary:
        temporary.write_text(to_markdown(comparison, gate, policy), encoding="utf-8")


def to_junit(comparison: Comparison, gate: Gate | None, policy: PolicyResult | None) -> str:
    """JUnit XML with a test case for each check of the policy and for the gate.

    A failed check of an advisory task is a skipped test case. Names of data are one line of printable characters, so
    the file is well-formed whatever they are.

    Args:
        comparison: What was judged.
        gate: Result of `--max-nfr`; None without it.
        policy: Result of a policy; None without one.
    """
    checks = _checks(gate, policy)
    failed = [check for check in checks if not check.passed]
    skipped = sum(check.role == "advisory" for check in failed)
    numbers = {"tests": len(checks), "failures": len(failed) - skipped, "skipped": skipped, "errors": 0}
    root = ET.Element("testsuites")
    attributes = {"name": SUITE} | {name: str(number) for name, number in numbers.items()}
    suite = ET.SubElement(root, "testsuite", attributes)
    properties = ET.SubElement(suite, "properties")
    for name, value in (("old", comparison.old), ("new", comparison.new), ("protocol", comparison.protocol)):
        ET.SubElement(properties, "property", {"name": name, "value": plain(value)})
    for check in checks:
        name = f"{plain(check.task)}: {check.what}"
        case = ET.SubElement(suite, "testcase", {"classname": check.role, "name": name})
        if not check.passed:
            kind = "skipped" if check.role == "advisory" else "failure"
            ET.SubElement(case, kind, {"message": plain(check.reason)})
    ET.indent(root)
    return f"{ET.tostring(root, 'unicode')}\n"


def _checks(gate: Gate | None, policy: PolicyResult | None) -> list[Check]:
    found = [] if gate is None else [Check("(all tasks)", "critical", "nfr", gate.passed, gate.reason)]
    return [*found, *(() if policy is None else policy.checks)]


def to_markdown(comparison: Comparison, gate: Gate | None = None, policy: PolicyResult | None = None) -> str:
    """Markdown with the verdict, the checks and the tasks; names of data cannot act as markup.

    Args:
        comparison: What to show.
        gate: Result of `--max-nfr`; None without it.
        policy: Result of a policy; None without one.
    """
    return "\n".join(_lines(comparison, gate, policy)) + "\n"


def _lines(comparison: Comparison, gate: Gate | None, policy: PolicyResult | None) -> Iterator[str]:
    checks = _checks(gate, policy)
    passed = all(check.passed or check.role == "advisory" for check in checks)
    yield f"### {SUITE}{': ' * bool(checks)}{('passed' if passed else 'failed') if checks else ''}"
    yield ""
    yield f"- old: {_shown(comparison.old)}"
    yield f"- new: {_shown(comparison.new)}"
    if comparison.verdict is not None:
        yield f"- {comparison.table.n} samples, verdict {_shown(tables.verdict_line(comparison.verdict))}"
    for note in tables.notes(comparison):
        yield f"- {_shown(note)}"
    if checks:
        yield from _table(tables.CHECK_COLUMNS, tables.check_rows(PolicyResult(checks, ())))
    if policy is not None and policy.unnamed:
        yield from ("", f"Not judged: {', '.join(map(_shown, policy.unnamed))}")
    if comparison.table.n:
        yield from _table(tables.TASK_COLUMNS, tables.task_rows(comparison))
    if comparison.graded:
        yield from _table(tables.GRADED_TASK_COLUMNS, tables.graded_task_rows(comparison))


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield from ("", f"| {' | '.join(map(_shown, columns))} |", f"|{' --- |' * len(columns)}")
    for row in rows:
        yield f"| {' | '.join(map(_shown, row))} |"


def _shown(text: str) -> str:
    """Text without markup, and without what GitHub makes a link of: users, issues and addresses."""
    return re.sub(r"@|#|www|:(?=//)", r"\g<0><!-- -->", markdown(text))
