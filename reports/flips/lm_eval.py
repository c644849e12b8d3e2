"""Sample logs of lm-evaluation-harness (`samples_<task>_<date>.jsonl`), made into ledgers row by row.

The harness writes one row a document and filter. To pool the filters would count every document several times, so one
filter is compared; a log with several needs a choice.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from clbench.core import strict_json
from clbench.core.errors import DataError, did_you_mean
from clbench.reports.flips.lm_eval_lines import read_objects
from clbench.reports.flips.lm_eval_row import Row, read_row
from clbench.reports.flips.rows import Rows
from clbench.reports.leaderboard.text import encodable, plain

NAME = re.compile(r"samples_(.+?)(_\d{4}-\d\d-\d\dT[\d.-]+)?")
ANOTHER = "try another --metric"
NO_FILTER = "none"
"""What the harness calls a filter that changes nothing; logs up to 0.4.5 do not name filters."""


def convert_sample_log(path: Path, out: Path, metric: str | None, chosen: str | None, task: str | None = None) -> Rows:
    """Write the rows of one filter as a ledger in lines of JSON.

    Args:
        path: The log; its name tells the task.
        out: The ledger to write.
        metric: Which of the metrics to take; None for the first one that is a number.
        chosen: Which filter to take; None if there is only one.
        task: What to call the task; None for what the name tells.

    Raises:
        DataError: When a line is damaged, the metric or the filter is not there, there are several filters, or the log
            does not say what was predicted.
    """
    filters: dict[str, int] = {}
    with out.open("w", encoding="utf-8") as lines:
        ledger = _Ledger(lines, task or task_of(path) or path.stem)
        for row in _rows(path, metric):
            metric, name = row.metric, row.filter or NO_FILTER
            filters[name] = filters.get(name, 0) + 1
            if name == (chosen if chosen is not None else next(iter(filters))):
                ledger.add(row)
        protocol = _checked_filter(path, filters, chosen)
        ledger.finish()
    return Rows(encodable(str(path)), out, 0, encodable(protocol), ledger.graded, metric=metric)


def task_of(path: Path) -> str | None:
    """The task that the name of a log tells; None for another name, as up to 0.4.2 (`<model>_<task>.jsonl`)."""
    named = NAME.fullmatch(path.stem)
    return named[1] if named else None


class _Ledger:
    """The rows on their way to a ledger.

    A row whose prediction depends on what stands before its choices waits until all rows have told what can be there.
    """

    def __init__(self, lines: TextIO, task: str) -> None:
        self.graded = False
        self._lines = lines
        self._task = task
        self._waiting: list[Row] = []
        self._delimiters: set[str] | None = None
        self._refusal: str | None = None

    def add(self, row: Row) -> None:
        """Take a row."""
        self.graded = self.graded or not row.binary
        likeliest = row.answer.likeliest
        if likeliest is None:
            if row.answer.prediction is None:
                self._refuse(
                    f"{row.where}: {row.metric} is right or wrong, but the log does not say what was predicted"
                )
            self._write(row, None)
            return
        fitting = {text for text, chosen in likeliest.items() if row.answer.agrees(chosen, row.score)}
        if not fitting:
            said, found = ("right", "another choice") if row.score else ("wrong", "the target")
            self._refuse(f"{row.where}: {row.metric} says {said}, but the likeliest choice is {found}: {ANOTHER}")
        elif self._delimiters is not None and not fitting & self._delimiters:
            self._refuse(f"{row.where}: {row.metric} wants another delimiter before the choices than above: {ANOTHER}")
        self._delimiters = fitting if self._delimiters is None else fitting & self._delimiters
        if len(set(likeliest.values())) == 1:
            self._write(row, next(iter(likeliest.values())))
        else:
            self._waiting.append(row)

    def finish(self) -> None:
        """Write the rows that waited.

        Raises:
            DataError: For right and wrong answers of which the log does not say what they were, or contradicts itself.
        """
        if self._refusal is not None and not self.graded:
            raise DataError(self._refusal)
        for row in self._waiting:
            likeliest = row.answer.likeliest or {}
            found = {chosen for text, chosen in likeliest.items() if self.graded or text in (self._delimiters or ())}
            if len(found) > 1 and not self.graded:
                what = "divides by the length of the choice, and the log does not tell it from what stands before it"
                raise DataError(f"{row.where}: {row.metric} {what}: {ANOTHER}")
            self._write(row, next(iter(found)))

    def _refuse(self, reason: str) -> None:
        """Remember the first reason; graded scores are compared without a look at predictions."""
        self._refusal = self._refusal or reason

    def _write(self, row: Row, chosen: int | None) -> None:
        values = {"version": 0, "protocol": row.filter or NO_FILTER, "task": self._task, **row.columns(chosen)}
        mended = {name: encodable(value) if isinstance(value, str) else value for name, value in values.items()}
        self._lines.write(f"{strict_json.dumps(mended)}\n")


def _checked_filter(path: Path, filters: Mapping[str, int], chosen: str | None) -> str:
    if not filters:
        raise DataError(f"{path}: the sample log has no rows")
    if chosen is None and len(filters) > 1:
        names = ", ".join(map(plain, filters))
        raise DataError(f"{path}: holds {len(filters)} filters ({names}): choose one with --filter")
    if chosen is not None and chosen not in filters:
        raise DataError(f"{path}: no filter {chosen!r}: {did_you_mean(chosen, map(plain, filters))}")
    return next(iter(filters)) if chosen is None else chosen


def _rows(path: Path, metric: str | None) -> Iterator[Row]:
    seen: set[str] = set()
    for where, value in read_objects(path):
        row = read_row(value, where, metric)
        if row.filter is None and row.sample_id in seen:
            what = "a log of lm-evaluation-harness up to 0.4.5 does not name its filters, so they cannot be told apart"
            raise DataError(f"{where}: sample {row.sample_id!r} is there again: {what}")
        if row.filter is None:
            seen.add(row.sample_id)
        metric = row.metric
        yield row
