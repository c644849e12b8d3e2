"""Packs frames into Parquet files as the loader `labelled-image-parquet` reads them: `<task>/<part>.parquet`."""

import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from clbench.core.cards import STREAM_CARDS
from clbench.streams.card import read_card
from clbench.streams.ultrasound.task_sources import Answers, answers_of
from clbench_tools.ultrasound_mini.frames import Frame, Part
from clbench_tools.ultrasound_mini.mini_tasks import MiniTask
from clbench_tools.ultrasound_simulator.render import Grey
from clbench_tools.ultrasound_simulator.scan import box_of

RUN_LENGTHS = 3
"""zlib's strategy Z_RLE: of all, it makes the shortest files of speckle."""

Row = Mapping[str, Any]
"""Cells of an image by column: `sample_id`, `image`, `patient` and the truth."""


@dataclass(frozen=True)
class Entry:
    """An image, its part, patient and view."""

    part: Part
    patient: int
    view: int
    frame: Frame


def pack(task: MiniTask, entries: Iterable[Entry], root: Path) -> None:
    """Write the Parquet files of a task, one a part."""
    parts = defaultdict[Part, list[Row]](list)
    for entry in entries:
        parts[entry.part].append(row_of(task, entry))
    for part, rows in parts.items():
        write_part(rows, answers_for(task.name), root / task.name / f"{part}.parquet")


def answers_for(name: str) -> Answers:
    """What the stream's card says of a task: among others, the names of its classes."""
    file = STREAM_CARDS.get("ultrasound-mini")
    card = read_card(file.values, file.path)
    return answers_of(card, next(task for task in card.tasks if task.name == name), Answers)


def row_of(task: MiniTask, entry: Entry) -> Row:
    """The row of an image."""
    return {
        "sample_id": f"{task.name}/p{entry.patient:03d}_{entry.view}",
        "image": {"bytes": png(entry.frame.image), "path": None},
        "patient": f"{task.name}-{entry.patient:03d}",
        **_truth(task.kind, entry.frame),
    }


def write_part(rows: Sequence[Row], answers: Answers, path: Path) -> None:
    """Write one part; the features of Hugging Face `datasets` travel in the file's metadata."""
    features = answers.features
    del features["where"]
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=features.arrow_schema)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", write_page_checksum=True, write_statistics=False)  # no PNG twice


def png(image: Grey) -> bytes:
    """An image or a mask `(height, width)` as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=9, compress_type=RUN_LENGTHS)
    return buffer.getvalue()


def _truth(kind: str, frame: Frame) -> dict[str, Any]:
    if kind == "segmentation":
        return {"mask": {"bytes": png(frame.mask), "path": None}}
    if kind == "classification":
        return {"label": frame.label}
    if kind == "detection":
        return {"boxes": [[float(edge) for edge in box_of(frame.mask == 1)]]}
    if frame.value is not None:
        return {"value": _rounded(frame.value)}
    return {"points": [[_rounded(value) for value in point] for point in frame.points]}


def _rounded(value: float) -> float:
    """A number rounded to a tenth of a millimetre or pixel."""
    return round(float(value), 1)
