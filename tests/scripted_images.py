"""A learner of images with scripted predictions, which knows a task only after `add_task`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from tests.image_tasks import image_task, png
from torch import Tensor, nn

from clbench.contracts import Batch, EvalProtocol, Learner, LinearLayer, Predictions, Predictor, Samples, Task

SIZES = pa.array([[30, 40], [60, 80], [30, 40]], pa.list_(pa.int32()))
MASKS = [np.zeros((30, 40), np.uint8), np.ones((60, 80), np.uint8), np.eye(30, 40, dtype=np.uint8)]
BOXES = pa.list_(pa.list_(pa.float64()))
TASKS = (
    image_task("dice", "cyst"),
    image_task("accuracy", "organ", classes=("liver", "kidney")),
    image_task("iou", "nodule"),
    image_task("point_accuracy", "femur", points=1),
    image_task("value_accuracy", "length", value_range=(0.0, 10.0), unit="mm"),
)


def ids(task: str) -> list[str]:
    """Of the three samples of a task."""
    return [f"{task}/{index}" for index in range(3)]


def _samples(task: str, tensors: Mapping[str, Tensor], **truth: pa.Array) -> Samples:
    return Samples(pa.array(ids(task)), tensors, truth={"size": SIZES, **truth} if truth else {})


SAMPLES = {
    "cyst": _samples(
        "cyst",
        {"scripted": torch.tensor([0, 1, 0], dtype=torch.uint8).reshape(3, 1, 1).repeat(1, 6, 8)},
        mask=pa.array([png(mask) for mask in MASKS], pa.binary()),
    ),
    "organ": _samples(
        "organ",
        {
            "chances": torch.tensor([[0.75, 0.25], [0.5, 0.5], [0.75, 0.25]]),
            "label": torch.tensor([0, 1, 1]),
        },
    ),
    "nodule": _samples(
        "nodule",
        {"scripted": torch.tensor([[[0, 0, 0.5, 1, 0.9]], [[0, 0, 1, 1, 0.1]], [[0.5, 0.5, 0.75, 0.75, 0.5]]])},
        boxes=pa.array([[[0.0, 0.0, 40.0, 30.0]]] * 3, BOXES),
    ),
    "femur": _samples(
        "femur",
        {"scripted": torch.tensor([[[0.5, 0.5]], [[0.5, 0.5]], [[0.0, 0.0]]])},
        points=pa.array([[[20.0, 15.0]], [[40.0, 33.0]], [[40.0, 30.0]]], BOXES),
    ),
    "length": _samples("length", {"scripted": torch.tensor([1.0, 2.0, 30.0])}, value=pa.array([1.0, 3.0, 5.0])),
}


class ScriptedImages(Learner):
    """Its tensor `scripted` is the prediction; `chances` and `label` are those of classes."""

    test_batch = 2

    def __init__(self, known: Sequence[str] = ()) -> None:
        super().__init__("scripted-images", nn.Linear(1, 1))
        nn.init.zeros_(self.module.weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.module.bias)  # type: ignore[arg-type]
        self.known = list(known)

    def add_task(self, task: Task) -> None:
        assert task.name not in self.known
        self.known.append(task.name)

    def can_test(self, task: Task) -> bool:
        return task.name in self.known

    def encode(self, rows: Any, task: Task) -> Samples:
        return SAMPLES[task.name]

    def loss(self, batch: Batch, task: Task) -> Tensor:
        raise AssertionError("wanted no loss")

    def predictor(self, tasks: Sequence[Task], protocols: Sequence[EvalProtocol]) -> Predictor:
        assert sorted(task.name for task in tasks) == sorted(self.known)

        def predict(batch: Batch, task: Task) -> Mapping[EvalProtocol, Predictions]:
            if task.kind != "classification":
                return dict.fromkeys(protocols, Predictions(batch["scripted"]))
            confidence, prediction = batch["chances"].max(dim=-1)
            label = batch["label"]
            right = prediction == label
            found = Predictions(prediction, label, task.classes, right, None, confidence, batch["chances"])
            return dict.fromkeys(protocols, found)

        return predict

    def linear_layers(self) -> tuple[LinearLayer, ...]:
        return ()
