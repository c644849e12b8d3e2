"""Single answers that an update broke: the most confident ones of each update."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

SHOWN = 6
"""Examples of an update."""
OF_A_TASK = 2
"""Most examples of one task, as long as other tasks have some."""
COLUMNS = ("version", "protocol", "task", "sample_id", "prediction", "target", "correct", "score", "confidence")
LONGEST = 300
"""Characters of an answer that are shown."""


@final
@dataclass(frozen=True)
class FlipExample:
    """An answer that was right before an update and is wrong after it; for graded answers, one whose score fell.

    Attributes:
        task: Name of the task.
        sample: Id of the sample.
        target: The true answer.
        before: Answer of the parent, with its confidence or score.
        after: Answer of the version, with its confidence or score.
    """

    task: str
    sample: str
    target: str
    before: str
    after: str


@final
@dataclass(frozen=True)
class UpdateFlips:
    """The answers that one update broke.

    Attributes:
        lost: Their number.
        examples: At most `SHOWN` of them: those that the version is surest of; for graded ones, the largest falls.
    """

    lost: int
    examples: tuple[FlipExample, ...]


def flips_of_updates(rows: pa.Table, protocol: str, parents: Sequence[int]) -> dict[int, UpdateFlips]:
    """The answers that each update broke, over all tasks.

    Args:
        rows: Rows of a ledger, with the columns `COLUMNS`.
        protocol: Name of the protocol.
        parents: Numbers of the versions from which versions 1, 2, ... were made.

    Returns:
        By number of the version; updates of which one side was not tested are left out.
    """
    own = rows.filter(pc.equal(rows["protocol"], protocol)).combine_chunks()
    if not len(own):
        return {}
    task, sample = _codes(own["task"]), _codes(own["sample_id"])
    names, place = np.unique(task * (int(sample.max()) + 1) + sample, return_inverse=True)
    versions, version = np.unique(own["version"].to_numpy(), return_inverse=True)
    at = np.full((len(versions), len(names)), -1)
    at[version, place] = np.arange(len(own))
    row_of = {int(number): at[index] for index, number in enumerate(versions)}
    right = pc.fill_null(pc.cast(own["correct"], pa.int8()), -1).to_numpy()
    score = pc.fill_null(own["score"], np.nan).to_numpy()
    sure = pc.fill_null(own["confidence"], 0.0).to_numpy()
    found: dict[int, UpdateFlips] = {}
    for number, parent in enumerate(parents, start=1):
        if number not in row_of or parent not in row_of:
            continue
        both = (row_of[parent] >= 0) & (row_of[number] >= 0)
        old, new = row_of[parent][both], row_of[number][both]
        fell = np.where(np.isnan(score[old]) | np.isnan(score[new]) | (right[old] >= 0), 0.0, score[old] - score[new])
        lost = ((right[old] == 1) & (right[new] == 0)) | (fell > 0)
        old, new, weight = old[lost], new[lost], np.where(fell > 0, fell, sure[new])[lost]
        chosen = _spread(np.argsort(-weight, kind="stable"), task[new])
        found[number] = UpdateFlips(int(lost.sum()), _examples(own, old[chosen], new[chosen]))
    return found


def _spread(order: npt.NDArray[np.int64], task: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The first of an order, at most `OF_A_TASK` of each task as long as others are left."""
    seen: dict[int, int] = {}
    first: list[int] = []
    rest: list[int] = []
    for index in order[: 50 * SHOWN]:
        times = seen.setdefault(int(task[index]), 0)
        (first if times < OF_A_TASK else rest).append(int(index))
        seen[int(task[index])] = times + 1
        if len(first) == SHOWN:
            break
    return np.array((first + rest)[:SHOWN], dtype=np.int64)


def _examples(own: pa.Table, old: npt.NDArray[np.int64], new: npt.NDArray[np.int64]) -> tuple[FlipExample, ...]:
    before, after = own.take(pa.array(old)).to_pylist(), own.take(pa.array(new)).to_pylist()
    return tuple(
        FlipExample(b["task"], b["sample_id"], _cut(b["target"]), _answer(b), _answer(a))
        for b, a in zip(before, after, strict=True)
    )


def _answer(row: dict[str, object]) -> str:
    """Answer and confidence of a row; its score where the answer is graded."""
    number = row["confidence"] if row["correct"] is not None else row["score"]
    told = f" ({number:.2f})" if isinstance(number, float) else ""
    return f"{_cut(row['prediction'])}{told}"


def _cut(text: object) -> str:
    shown = "" if text is None else str(text)
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}..."


def _codes(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    coded = pc.dictionary_encode(column)
    indices = coded.combine_chunks().indices if isinstance(coded, pa.ChunkedArray) else coded.indices
    return np.asarray(pc.cast(indices, pa.int64()))
