"""Writes frames in the layout of the challenge FMC_UIA, with columns of clbench's own: split, patient, value."""

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clbench_tools.ultrasound_mini.frames import Frame, Part
from clbench_tools.ultrasound_mini.tasks import Folder, MiniTask
from clbench_tools.ultrasound_simulator.render import Grey
from clbench_tools.ultrasound_simulator.scan import box_of

TASK_NAMES: dict[Folder, str] = {
    "Segmentation": "segmentation",
    "Classification": "classification",
    "Detection": "detection",
    "Regression": "Regression",
}
"""As the challenge writes them, capital letter and all."""

RUN_LENGTHS = 3
"""zlib's strategy Z_RLE: of all, it makes the shortest files of speckle."""


@dataclass(frozen=True)
class Entry:
    """An image and who is on it."""

    part: Part
    patient: int
    view: int
    frame: Frame


def write_task(task: MiniTask, entries: Iterable[Entry], root: Path) -> None:
    """Write the images, masks and CSV file of a task."""
    rows = [_write(task, entry, root) for entry in entries]
    path = root / "csv_files" / f"{task.folder[:3]}-{task.sub_folder}_{task.name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def folder_of(task: MiniTask) -> Path:
    """Where a task's images are, below the root."""
    return Path(task.folder) / task.sub_folder / task.name


def stem_of(patient: int, view: int) -> str:
    """Name of an image's file."""
    return f"p{patient:03d}_{view}"


def _write(task: MiniTask, entry: Entry, root: Path) -> dict[str, object]:
    """Write an image and its mask; returns its row."""
    folder, name = folder_of(task), f"{stem_of(entry.patient, entry.view)}.png"
    _save(entry.frame.image, root / folder / "images" / name)
    if task.folder == "Segmentation":
        _save(entry.frame.mask, root / folder / "masks" / name)
    return {
        "image_path": f"../{(folder / 'images' / name).as_posix()}",
        **_truth(task, entry.frame, folder, name),
        "task_id": task.name,
        "task_name": TASK_NAMES[task.folder],
        "num_classes": task.many,
        "split": entry.part,
        "patient": f"{task.name}-{entry.patient:03d}",
    }


def _truth(task: MiniTask, frame: Frame, folder: Path, name: str) -> dict[str, object]:
    if task.folder == "Segmentation":
        return {"mask_path": f"../{(folder / 'masks' / name).as_posix()}"}
    if task.folder == "Classification":
        return {"mask": frame.label}
    if task.folder == "Detection":
        return dict(zip(("x_min", "y_min", "x_max", "y_max"), box_of(frame.mask == 1), strict=True))
    if frame.value is not None:
        return {"value": round(frame.value, 1)}
    return {f"point_{i}_xy": _point(point) for i, point in enumerate(frame.points, 1)}


def _point(point: NDArray[np.float64]) -> str:
    return json.dumps([round(float(value), 1) for value in point])


def _save(image: Grey, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, compress_level=9, compress_type=RUN_LENGTHS)
