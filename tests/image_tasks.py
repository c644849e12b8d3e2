"""Small tasks of images for tests: made in memory, without files."""

import io
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from clbench.kinds import kind_of
from clbench.scoring.images import ImageScorer
from clbench.spec.task import Split, Task

KINDS = {
    "dice": "segmentation",
    "accuracy": "classification",
    "iou": "detection",
    "point_accuracy": "regression",
    "value_accuracy": "regression",
}


def image_task(metric: str, name: str = "task", **facts: Any) -> Task:
    """A task that has a score, without data."""

    def no_data(split: Split) -> Any:
        raise AssertionError(f"wanted no data, got asked for {split}")

    if metric == "dice":
        facts.setdefault("classes", ("background", "cyst"))
    return Task(name, KINDS[metric], metric, no_data, lambda split: f"{name} {split}", **facts)


def scorer_of(task: Task) -> ImageScorer[Any]:
    """What compares predictions on images with their truth."""
    scorer = kind_of(task.kind).scorer(task)
    assert scorer is not None
    return scorer


def png(labels: npt.NDArray[Any]) -> bytes:
    """A label map as PNG."""
    file = io.BytesIO()
    Image.fromarray(labels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def mask_row(labels: npt.NDArray[Any]) -> dict[str, Any]:
    """What `Samples.truth` has of a sample of a segmentation task."""
    return {"sample_id": "task/one", "mask": png(labels), "size": list(labels.shape)}


def ellipse(size: tuple[int, int], centre: tuple[float, float], radii: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """A filled ellipse; centre and radii are rows, columns."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    squared = ((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2
    return cast(npt.NDArray[np.bool_], squared <= 1)
