"""Predictions of a version on a task, computed by all processes of the cell, each for its own batches."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import cast

import safetensors.torch
import torch
from torch import Tensor

from clbench.contracts import EvalProtocol, Predictions, Predictor, Samples, Task
from clbench.core import processes

TEXTS = ".texts"
"""End of the name of what is no tensor but texts, as JSON in bytes."""
Part = Mapping[EvalProtocol, Predictions]


def predictions_of(
    predictor: Predictor, samples: Samples, task: Task, order: Sequence[Tensor | slice]
) -> Sequence[Part]:
    """Predictions of each batch; batch i is the work of process i modulo their number.

    A batch is the same whatever the number of processes, so the bits are, too.

    Args:
        predictor: Predicts a batch.
        samples: Samples of the task.
        task: The task.
        order: Positions of each batch.
    """
    count, rank = processes.count(), processes.rank()
    own = {i: predictor(samples.batch(order[i]), task) for i in range(rank, len(order), count)}
    if count == 1:
        return list(own.values())
    found = [part for data in processes.all_bytes(packed(own)) for part in unpacked(data).items()]
    return [part for _, part in sorted(found, key=lambda item: item[0])]


def packed(parts: Mapping[int, Part]) -> bytes:
    """Predictions of batches, by their numbers, as one file of safetensors."""
    tensors: dict[str, Tensor] = {}
    for number, part in parts.items():
        for protocol, predictions in part.items():
            for field in dataclasses.fields(predictions):
                name, value = f"{number}/{protocol}/{field.name}", getattr(predictions, field.name)
                if isinstance(value, Tensor):
                    tensors[name] = value.cpu().contiguous()
                elif value is not None:
                    tensors[name + TEXTS] = torch.tensor(list(json.dumps(list(value)).encode()), dtype=torch.uint8)
    return safetensors.torch.save(tensors)


def unpacked(data: bytes) -> dict[int, Part]:
    """What `packed` was given, on the CPU."""
    fields: dict[int, dict[EvalProtocol, dict[str, object]]] = {}
    for name, tensor in safetensors.torch.load(data).items():
        number, protocol, field = name.split("/", 2)
        value: object = tensor
        if field.endswith(TEXTS):
            field, value = field.removesuffix(TEXTS), json.loads(bytes(tensor.tolist()))
        fields.setdefault(int(number), {}).setdefault(cast(EvalProtocol, protocol), {})[field] = value
    return {
        number: {protocol: Predictions(**values) for protocol, values in part.items()}  # type: ignore[arg-type]
        for number, part in fields.items()
    }
