"""Learners with their weights on a GPU that is not there: fake tensors have a device and a shape, and no values.

They refuse an operation on tensors of two devices, and any that needs values on the host.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.text_tasks import text_task
from tests.tiny_images import write_stream
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorDeviceMismatchError, FakeTensorMode

from clbench.benchmarks.engine.learners import build_learner
from clbench.contracts import Batch, Learner, Task
from clbench.learners._clip.clip_learner import ClipLearner
from clbench.streams.card import load_stream

TESTS = Path(__file__).parents[1]
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def there(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of the same shape on the GPU."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=CUDA)


@contextmanager
def on_fake_gpu(learner: Learner, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> Iterator[Batch]:
    """The learner's weights and a batch on the GPU; gives the batch."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    with FakeTensorMode(allow_non_fake_inputs=True):
        if isinstance(learner, ClipLearner):  # tokens of prompts are cut on the host, once, and kept on the device
            learner._tokens = {prompts: there(tokens) for prompts, tokens in learner._tokens.items()}
        for module in learner.module.modules():
            known = {name: p for name, p in module._parameters.items() if p is not None}
            module._parameters.update({name: nn.Parameter(there(p)) for name, p in known.items()})
            module._buffers.update({name: there(b) for name, b in module._buffers.items() if b is not None})
        yield {name: there(tensor) for name, tensor in batch.items()}


def first_batch(learner: Learner, task: Task) -> Batch:
    """Four samples, with which the learner has computed a loss: what it keeps of a task is there."""
    learner.add_task(task)
    learner.module.eval()
    batch = learner.encode(task.load("train").select(range(4)), task).batch(slice(None))
    learner.loss(batch, task)
    return batch


def test_the_loss_of_clip_is_where_its_weights_are(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    learner, tasks = build_learner(tiny.learner, 0, CPU), load_stream(tiny.stream).tasks
    first = first_batch(learner, tasks[0])
    learner.predictor(tasks, ["task-id", "union"])
    with on_fake_gpu(learner, first, monkeypatch) as batch:
        view = learner.augment(batch, torch.Generator())
        assert view["image"].device.type == "cuda"
        assert learner.loss(view, tasks[0]).device.type == "cuda"
        with torch.no_grad():
            found = learner.predictor(tasks, ["task-id", "union"])(batch, tasks[0])
        assert {one.confidence.device.type for one in found.values() if one.confidence is not None} == {"cuda"}


@pytest.mark.parametrize("number", range(5))
def test_the_loss_of_a_vision_transformer_is_where_its_weights_are(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = build_learner(str(TESTS / "tiny_vit.py"), 0, CPU)
    task = load_stream(write_stream(tmp_path, str(TESTS / "tiny_vit.py"))).tasks[number]
    with on_fake_gpu(learner, first_batch(learner, task), monkeypatch) as batch:
        view = learner.augment(batch, torch.Generator())
        assert learner.loss(view, task).device.type == "cuda"
        with torch.no_grad():
            found = learner.predictor([task], ["task-id"])(batch, task)["task-id"].prediction
        assert isinstance(found, torch.Tensor)
        assert found.device.type == "cuda"


@pytest.mark.parametrize("name", ["tiny_t5", "tiny_llama"])
def test_the_loss_of_a_language_model_is_where_its_weights_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    learner, task = build_learner(str(TESTS / f"{name}.py"), 0, CPU), text_task("one")
    # What transformers looks at has no values here: tests/strategies/test_device_guard.py counts it.
    monkeypatch.setattr("transformers.masking_utils.find_packed_sequence_indices", lambda positions: None)
    monkeypatch.setattr("transformers.masking_utils._ignore_bidirectional_mask_sdpa", lambda *args: False)
    with on_fake_gpu(learner, first_batch(learner, task), monkeypatch) as batch:
        assert learner.loss(batch, task).device.type == "cuda"


def test_a_tensor_that_stayed_behind_is_found(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    learner, task = build_learner(tiny.learner, 0, CPU), load_stream(tiny.stream).tasks[0]
    with on_fake_gpu(learner, first_batch(learner, task), monkeypatch) as batch:
        here = torch.zeros(batch["label"].shape, dtype=torch.int64)
        with pytest.raises(FakeTensorDeviceMismatchError):
            learner.loss({**batch, "label": here}, task)
