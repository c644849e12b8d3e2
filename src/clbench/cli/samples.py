"""Texts and images of flipped samples, from the data of the stream that they belong to."""

import io
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clbench.core.errors import ClbenchError, ConfigError, DataError, did_you_mean
from clbench.reports.flips.content import Content, Contents
from clbench.reports.flips.predictions import Origin

if TYPE_CHECKING:
    from datasets import Dataset

    from clbench.core.image_reading import ImageCell
    from clbench.reports.flips.flip_counts import Flip
    from clbench.reports.flips.predictions import Predictions
    from clbench.spec.task import Split, Task

LONGEST_EDGE = 224
"""Pixels of the longer edge of an image, at most; larger images are scaled down."""
MOST_BYTES = 8 * 2**20
"""Size of all images together, at which further samples are shown without image."""


def samples_of(
    flips: "Sequence[Flip]", models: "Sequence[Predictions]", stream: str | None, root: str | None, images: bool
) -> Contents:
    """The samples of flips, from the stream that the user named or else the one that the predictions are from.

    An error with a stream that the user did not name is printed on standard error, and no samples are returned.

    Args:
        flips: The flips, the worst first.
        models: Predictions of both models, which may know their stream.
        stream: Name of the stream; None for the one that the predictions are from.
        root: Folder of the data sets, or `hub`, for streams without data of their own.
        images: Whether to read images, too.

    Returns:
        Text and image by task and sample id; empty if the stream is not known.

    Raises:
        ClbenchError: As `look_up`, for a stream that the user named.
    """
    known = next((model.origin for model in models if model.origin), None)
    if not flips or (stream is None and known is None):
        return {}
    origin = Origin(stream, known.split if known else "test") if stream else known
    assert origin is not None
    try:
        return look_up(flips, origin, root, images)
    except ClbenchError as error:
        if stream:
            raise
        print(f"samples are not shown: {error}", file=sys.stderr)
        return {}


def look_up(flips: "Sequence[Flip]", origin: Origin, root: str | None, images: bool) -> dict[tuple[str, str], Content]:
    """Text and image of the samples of some flips; each task is loaded once, and only these rows are decoded.

    Args:
        flips: The flips, the worst first; images of the last ones are left out if all are larger than `MOST_BYTES`.
        origin: Stream and part that the samples are from.
        root: Folder of the data sets, or `hub`, for streams without data of their own.
        images: Whether to read images, too.

    Returns:
        Text and image by task and sample id, without samples that the stream does not have.

    Raises:
        ConfigError: For an unknown part.
        RegistryError: For an unknown stream.
        DataError: For data that are missing, or differ from those that the ledger was made with.
    """
    from clbench.spec.task import SPLITS
    from clbench.streams.card import load_stream

    if origin.split not in SPLITS:
        raise ConfigError(f"no part {origin.split!r}: {did_you_mean(origin.split, SPLITS)}")
    tasks = {task.name: task for task in load_stream(origin.stream, root).tasks}
    parts = {
        name: _Part(tasks[name], origin.split, images)
        for name in dict.fromkeys(flip.task for flip in flips)
        if name in tasks
    }
    found: dict[tuple[str, str], Content] = {}
    bytes_left = MOST_BYTES
    for flip in flips:
        content = parts[flip.task].content(flip, origin.stream, bytes_left > 0) if flip.task in parts else None
        if content is not None:
            found[flip.task, flip.sample_id] = content
            bytes_left -= len(content.png or b"")
    return found


class _Part:
    """One part of a task, whose rows are found by sample id."""

    def __init__(self, task: "Task", split: "Split", images: bool) -> None:
        from clbench.core.image_reading import undecoded

        rows: Dataset = task.load(split)
        wanted = [name for name in rows.column_names if name != "image" or images]
        self._task = task
        self._rows = undecoded(rows.select_columns(wanted))
        self._positions: dict[str, int] = {name: i for i, name in enumerate(rows["sample_id"][:])}

    def content(self, flip: "Flip", stream: str, image: bool) -> Content | None:
        """Text and image of a flip's sample; None where there is no such sample."""
        position = self._positions.get(flip.sample_id)
        if position is None:
            return None
        row = self._rows[position]
        answer, where = self._answer(row), f"stream {stream}, sample {flip.sample_id!r}"
        if None not in (answer, flip.target) and flip.target not in (answer, f"{flip.task}: {answer}"):
            raise DataError(f"{where}: the answer is {answer!r}, in the ledger {flip.target!r}: these are other data")
        return Content(_text(row), _png(row["image"], where) if image and "image" in row else None)

    def _answer(self, row: Mapping[str, Any]) -> str | None:
        """The right answer of a row, as ledgers name it; None if it has none."""
        from clbench.spec.task import choice_name

        if "choices" in row:
            return choice_name(row["label"])
        if "answer" in row:
            return str(row["answer"])
        return self._task.classes[row["label"]] if self._task.classes else None


def _text(row: Mapping[str, Any]) -> str | None:
    from clbench.spec.task import choice_name

    choices = (f"{choice_name(number)}: {choice}" for number, choice in enumerate(row.get("choices", ())))
    return "\n".join((row["text"], *choices)) if "text" in row else None


def _png(cell: "ImageCell", where: str) -> bytes:
    """The image as PNG, scaled down."""
    from clbench.core.image_reading import read_cell  # imports Pillow, which is needed only if samples are shown

    try:
        small = read_cell(cell)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    small.thumbnail((LONGEST_EDGE, LONGEST_EDGE))
    buffer = io.BytesIO()
    small.save(buffer, "png", optimize=True)
    return buffer.getvalue()
