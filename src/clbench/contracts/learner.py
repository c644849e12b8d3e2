"""A learner: a model with the code that computes losses and predictions for its family."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn

from clbench.contracts.stream import Protocol
from clbench.contracts.task import Batch, Task

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset


@dataclass(frozen=True)
class LinearLayer:
    """Where one `nn.Linear` sits in the architecture: what methods may ask about a model.

    Attributes:
        name: Module name in `learner.module`.
        role: Its part in a transformer block, or `other`.
        tower: Which encoder (`vision`, `text`, `encoder`, `decoder`).
        block: Index of the block in its tower, from 0 at the input; -1 outside the blocks.
    """

    name: str
    role: str
    tower: str
    block: int


@dataclass(frozen=True, eq=False)
class Samples:
    """A split as tensors: row i of every tensor belongs to sample i.

    Attributes:
        ids: The sample ids, a string array of length n.
        tensors: Named tensors, first dimension n, as the learner's `encode` made them; in the device's memory, or in
            the computer's or on its disk where that is too small.
        device: Where batches go; where the tensors are if None.
    """

    ids: "pa.StringArray"
    tensors: Mapping[str, Tensor]
    device: torch.device | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def home(self) -> torch.device:
        """Where the tensors are; positions that are there already cost `batch` no transfer."""
        return next(iter(self.tensors.values())).device

    def batch(self, index: Tensor | slice) -> Batch:
        """The samples at `index` (a slice or int64 positions), on `device`."""
        if isinstance(index, Tensor):
            index = index.to(self.home)
        device = self.device or self.home
        return {name: tensor[index].to(device, non_blocking=True) for name, tensor in self.tensors.items()}


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a version says of n samples under one protocol, still on the device.

    Attributes:
        prediction: `(n,)` int64 indices into `names`, or n texts.
        target: The same for the truth.
        names: What the indices mean; empty for texts.
        correct: `(n,)` bool, or None for graded tasks.
        score: `(n,)` float64, higher is better, or None where `correct` says all.
        confidence: `(n,)` float32 probability of the prediction in [0, 1], or None.
    """

    prediction: Tensor | list[str]
    target: Tensor | list[str]
    names: Sequence[str] = ()
    correct: Tensor | None = None
    score: Tensor | None = None
    confidence: Tensor | None = None


Predictor: TypeAlias = Callable[[Batch, Task], Mapping[Protocol, Predictions]]
"""Predictions of one version for a batch of one task, under every protocol asked for."""


class Learner(ABC):
    """A model of one family; strategies see its parameters, linear layers, losses and logits, never its family."""

    test_batch = 256
    """Test samples a forward pass: large enough for a GPU, and fixed, so that round-off is the same in every run."""

    def __init__(self, name: str, module: nn.Module) -> None:
        self.name = name
        self.module = module

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.module.parameters()).device

    @abstractmethod
    def encode(self, rows: "Dataset", task: Task) -> Samples:
        """Decode rows once into tensors on the CPU, as `loss` and the predictor want them.

        Raises:
            DataError: For a row that does not decode or a label outside the task's classes.
        """

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """A random view of a training batch; the same batch where the family has no augmentation."""
        return batch

    @abstractmethod
    def loss(self, batch: Batch, task: Task) -> Tensor:
        """Mean task loss of a batch, a scalar with gradient."""

    @abstractmethod
    def logits(self, batch: Batch, tasks: Sequence[Task]) -> Tensor:
        """Scores `(n, classes)` of all classes of `tasks`, in that order, with gradient.

        Raises:
            ConfigError: In families that have no such scores.
        """

    @abstractmethod
    def predictor(self, tasks: Sequence[Task], protocols: Sequence[Protocol]) -> Predictor:
        """Predictions of the version that the learner holds now.

        What is the same for all batches of a version (text features of the classes) is computed here, once. The
        predictor is good until the weights change.
        """

    @abstractmethod
    def linear_layers(self) -> tuple[LinearLayer, ...]:
        """All linear layers that a method may adapt or decompose."""

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that full fine-tuning trains, by name."""
        return dict(self.module.named_parameters())

    def state_dict(self) -> dict[str, Tensor]:
        """The weights, by name (not copied)."""
        return dict(self.module.state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Copy weights in; names and shapes must be those of `state_dict`."""
        self.module.load_state_dict(dict(state))

    def digest(self) -> str:
        """Hash of all weights: equal digests mean equal versions."""
        digest = hashlib.blake2b(digest_size=16)
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()
