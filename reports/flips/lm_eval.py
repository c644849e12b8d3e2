"""Conversion of sample logs of lm-evaluation-harness (`samples_<task>_<date>.jsonl`) into ledgers.

The harness writes a row for each document and filter. Rows of all filters together would count each document several
times, so one filter is compared; for a log with several, the user has to choose one.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from clbench.core import strict_json
from clbench.core.errors import DataError, did_you_mean
from clbench.reports.flips.lm_eval_lines import read_objects
from clbench.reports.flips.lm_eval_row import SampleRow, read_row
from clbench.reports.flips.predictions import Predictions
from clbench.reports.leaderboard.text import encodable, plain

NAME = re.compile(r"samples_(.+?)(_\d{4}-\d\d-\d\dT[\d.-]+)?")
ANOTHER = "try another --metric"
NO_FILTER = "none"
"""The harness's name of the filter that changes nothing; logs up to 0.4.5 do not name filters."""


def convert_sample_log(
    path: Path, out: Path, metric: str | None, filter_name: str | None, task: str | None = None
) -> Predictions:
    """Write the rows of one filter as a ledger in lines of JSON.

    Args:
        path: The sample log.
        out: The ledger to write.
        metric: Name of the metric to read; None for the first one that is a number.
        filter_name: Name of the filter to read; None if there is only one.
        task: Name of the task; None to read it from the name of the log.

    Returns:
        The predictions in `out`.

    Raises:
        DataError: If a line is damaged, the log lacks the metric or the filter, has several filters and none was
            chosen, or does not say what was predicted.
    """
    filters: dict[str, int] = {}
    with out.open("w", encoding="utf-8") as lines:
        ledger = _LedgerWriter(lines, task or task_of(path) or path.stem)
        for row in _rows(path, metric):
            metric, name = row.metric, row.filter or NO_FILTER
            filters[name] = filters.get(name, 0) + 1
            if name == (filter_name if filter_name is not None else next(iter(filters))):
                ledger.add(row)
        protocol = _checked_filter(path, filters, filter_name)
        ledger.finish()
    return Predictions(encodable(str(path)), out, 0, encodable(protocol), ledger.graded, metric=metric)


def task_of(path: Path) -> str | None:
    """The task in the name of a log; None for other names, as releases up to 0.4.2 write (`<model>_<task>.jsonl`)."""
    named = NAME.fullmatch(path.stem)
    return named[1] if named else None


class _LedgerWriter:
    """Writes rows to a ledger.

    The prediction of a row can depend on the delimiter between question and choice, which the log does not name. Such a
    row is kept back until all rows are read and the delimiters that fit all of them are known.
    """

    def __init__(self, lines: TextIO, task: str) -> None:
        self.graded = False
        self._lines = lines
        self._task = task
        self._kept_back: list[SampleRow] = []
        self._delimiters: set[str] | None = None
        self._refusal: str | None = None

    def add(self, row: SampleRow) -> None:
        """Write a row, or keep it back."""
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
            claim, found = ("right", "another choice") if row.score else ("wrong", "the target")
            self._refuse(f"{row.where}: {row.metric} says {claim}, but the likeliest choice is {found}: {ANOTHER}")
        elif self._delimiters is not None and not fitting & self._delimiters:
            self._refuse(
                f"{row.where}: {row.metric} needs another delimiter before the choices than earlier rows: {ANOTHER}"
            )
        self._delimiters = fitting if self._delimiters is None else fitting & self._delimiters
        if len(set(likeliest.values())) == 1:
            self._write(row, next(iter(likeliest.values())))
        else:
            self._kept_back.append(row)

    def finish(self) -> None:
        """Write the rows that were kept back.

        Raises:
            DataError: If the log does not say what was predicted for right or wrong answers, or contradicts itself.
        """
        if self._refusal is not None and not self.graded:
            raise DataError(self._refusal)
        for row in self._kept_back:
            likeliest = row.answer.likeliest or {}
            found = {chosen for text, chosen in likeliest.items() if self.graded or text in (self._delimiters or ())}
            if len(found) > 1 and not self.graded:
                what = (
                    "divides by the length of the choice, which the log does not separate from the delimiter before it"
                )
                raise DataError(f"{row.where}: {row.metric} {what}: {ANOTHER}")
            self._write(row, next(iter(found)))

    def _refuse(self, reason: str) -> None:
        """Remember the first reason; it does not count for graded scores, which need no predictions."""
        self._refusal = self._refusal or reason

    def _write(self, row: SampleRow, chosen: int | None) -> None:
        values = {"version": 0, "protocol": row.filter or NO_FILTER, "task": self._task, **row.columns(chosen)}
        encoded = {name: encodable(value) if isinstance(value, str) else value for name, value in values.items()}
        self._lines.write(f"{strict_json.dumps(encoded)}\n")


def _checked_filter(path: Path, filters: Mapping[str, int], chosen: str | None) -> str:
    if not filters:
        raise DataError(f"{path}: the sample log has no rows")
    if chosen is None and len(filters) > 1:
        names = ", ".join(map(plain, filters))
        raise DataError(f"{path}: holds {len(filters)} filters ({names}): choose one with --filter")
    if chosen is not None and chosen not in filters:
        raise DataError(f"{path}: no filter {chosen!r}: {did_you_mean(chosen, map(plain, filters))}")
    return next(iter(filters)) if chosen is None else chosen


def _rows(path: Path, metric: str | None) -> Iterator[SampleRow]:
    seen: set[str] = set()
    for where, value in read_objects(path):
        row = read_row(value, where, metric)
        if row.filter is None and row.sample_id in seen:
            what = (
                "a log of lm-evaluation-harness up to 0.4.5 does not name its filters, so they cannot be distinguished"
            )
            raise DataError(f"{where}: sample {row.sample_id!r} occurs twice: {what}")
        if row.filter is None:
            seen.add(row.sample_id)
        metric = row.metric
        yield row
