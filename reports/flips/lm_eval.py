"""Sample logs of lm-evaluation-harness (`samples_<task>_<date>.jsonl`), made into ledgers row by row.

The harness writes one row a document and filter. To pool the filters would count every document several times, so one
filter is compared; a log with several needs a choice.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from clbench.errors import DataError, did_you_mean
from clbench.reports.flips.lm_eval_row import Row, read_row
from clbench.reports.flips.rows import Rows
from clbench.storage import parse_json

NAME = re.compile(r"samples_(.+?)(_\d{4}-\d\d-\d\dT[\d.-]+)?")


def convert_sample_log(path: Path, out: Path, metric: str | None, chosen: str | None) -> Rows:
    """Write the rows of one filter as a ledger in lines of JSON.

    Args:
        path: The log; its name tells the task.
        out: The ledger to write.
        metric: Which of the metrics to take; None for the first one that is a number.
        chosen: Which filter to take; None if there is only one.

    Raises:
        DataError: When a line is damaged, the metric or the filter is not there, or there are several filters.
    """
    named = NAME.fullmatch(path.stem)
    task = named[1] if named else path.stem
    filters: dict[str, int] = {}
    graded = False
    with out.open("w", encoding="utf-8") as lines:
        for row in _rows(path, metric):
            filters[row.filter] = filters.get(row.filter, 0) + 1
            if row.filter == (chosen if chosen is not None else next(iter(filters))):
                graded = graded or row.score not in (0, 1)
                lines.write(json.dumps({"version": 0, "protocol": row.filter, "task": task, **row.columns()}) + "\n")
    return Rows(str(path), out, 0, _checked_filter(path, filters, chosen), graded)


def _checked_filter(path: Path, filters: Mapping[str, int], chosen: str | None) -> str:
    if not filters:
        raise DataError(f"{path}: the sample log has no rows")
    if chosen is None and len(filters) > 1:
        raise DataError(f"{path}: holds {len(filters)} filters ({', '.join(filters)}): choose one with --filter")
    if chosen is not None and chosen not in filters:
        raise DataError(f"{path}: no filter {chosen!r}: {did_you_mean(chosen, filters)}")
    return next(iter(filters)) if chosen is None else chosen


def _rows(path: Path, metric: str | None) -> Iterator[Row]:
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    row = read_row(_object(path, number, line), f"{path}, line {number}", metric)
                    if not math.isfinite(row.score):
                        raise DataError(f"{path}, line {number}: wanted a finite number as {row.metric}")
                    metric = row.metric
                    yield row
    except FileNotFoundError:
        raise DataError(f"{path}: no such sample log") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def _object(path: Path, number: int, line: str) -> dict[str, object]:
    try:
        value = parse_json(line)
    except (RecursionError, ValueError) as error:
        raise DataError(f"{path}, line {number}: damaged or not JSON: {error}") from None
    if not isinstance(value, dict):
        raise DataError(f"{path}, line {number}: wanted a JSON object, got {type(value).__name__}")
    return value
