"""The samples behind flips: their texts and images, looked up in the data of the stream that they are from."""

import io
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clbench.core.errors import ClbenchError, ConfigError, DataError, did_you_mean
from clbench.reports.flips.content import Content, Contents
from clbench.reports.flips.rows import Origin

if TYPE_CHECKING:
    from datasets import Dataset

    from clbench.core.image_reading import ImageCell
    from clbench.reports.flips.flip_counts import Flip
    from clbench.reports.flips.rows import Rows
    from clbench.spec.task import Split, Task

SIDE = 224
"""Images are made smaller until no side has more pixels."""
MOST_BYTES = 8 * 2**20
"""Of all images together; the samples that come after them have none."""


def samples_of(
    flips: "Sequence[Flip]", sides: "Sequence[Rows]", stream: str | None, root: str | None, images: bool
) -> Contents:
    """The samples of flips, from the stream that the user named or a side knows; none where neither does.

    What goes wrong with a stream that nobody named is told on standard error, and the comparison goes on.

    Raises:
        ClbenchError: As `look_up`, for a stream that the user named.
    """
    known = next((side.origin for side in sides if side.origin), None)
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
    """What the samples of some flips are; a part that a flip is from is listed once, and only their rows are decoded.

    Args:
        flips: In the order of their weight: where images get too many, those of the last ones are left out.
        origin: The stream and the part that they are from.
        root: Folder of the data sets, or `hub`, for streams without data of their own.
        images: Whether images are wanted, too.

    Returns:
        By task and sample id; samples that the stream does not have are not there.

    Raises:
        ConfigError: For a part that is none.
        RegistryError: For an unknown stream.
        DataError: For data that are missing, or are not those that the ledger is about.
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
    room = MOST_BYTES
    for flip in flips:
        content = parts[flip.task].content(flip, origin.stream, room > 0) if flip.task in parts else None
        if content is not None:
            found[flip.task, flip.sample_id] = content
            room -= len(content.png or b"")
    return found


class _Part:
    """A part of a task: its rows, found by their ids."""

    def __init__(self, task: "Task", split: "Split", images: bool) -> None:
        from clbench.core.image_reading import undecoded

        rows: Dataset = task.load(split)
        wanted = [name for name in rows.column_names if name != "image" or images]
        self._task = task
        self._rows = undecoded(rows.select_columns(wanted))
        self._places: dict[str, int] = {name: i for i, name in enumerate(rows["sample_id"][:])}

    def content(self, flip: "Flip", stream: str, image: bool) -> Content | None:
        """Text and image of a flip's sample; None where there is no such sample."""
        place = self._places.get(flip.sample_id)
        if place is None:
            return None
        row = self._rows[place]
        answer, where = self._answer(row), f"stream {stream}, sample {flip.sample_id!r}"
        if None not in (answer, flip.target) and flip.target not in (answer, f"{flip.task}: {answer}"):
            raise DataError(f"{where}: the answer is {answer!r}, in the ledger {flip.target!r}: these are other data")
        return Content(_text(row), _png(row["image"], where) if image and "image" in row else None)

    def _answer(self, row: Mapping[str, Any]) -> str | None:
        """As ledgers call it."""
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
    """The image as the model saw it, made small."""
    from clbench.core.image_reading import read_cell  # with Pillow: only where samples are shown

    try:
        small = read_cell(cell)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    small.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "png", optimize=True)
    return buffer.getvalue()
