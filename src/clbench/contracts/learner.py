"""A learner: a model, and the code that encodes samples, computes losses and makes predictions for its family.

Strategies see a model only through this contract, so one strategy runs on CLIP, on vision transformers and on language
models. `Learner` is what every family has; the abstract methods have no default. What only some families can do is a
protocol of its own in `clbench.contracts.capabilities`.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch import Tensor, nn

from clbench.contracts.batch import Batch
from clbench.core.devices import has_bfloat16, to_device
from clbench.core.errors import ConfigError
from clbench.core.tensor_digest import tensor_digest
from clbench.spec.stream import EvalProtocol
from clbench.spec.task import Task

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset


BUCKET = 8
"""Batches are padded to the longest sample, rounded up to a multiple of this: few different shapes, little padding."""

Precision = Literal["auto", "float32", "bfloat16"]
"""Number format of the computation. `auto` is bfloat16 under autocast on a GPU that has it, and float32 elsewhere: on
the CPU results must be exact, and a GPU without bfloat16 (T4, V100) is slower with it than without. float16 would need
its losses scaled, which is another method. Weights are always float32."""


@dataclass(frozen=True)
class LinearLayer:
    """The position of one `nn.Linear` in the architecture.

    Attributes:
        name: Module name in `learner.module`.
        role: Function in a transformer block: `q`, `k`, `v`, `out` of attention, `gate`, `up`, `down` of the MLP,
            `cross_q`, ... of a decoder's attention to its encoder; `other` elsewhere.
        tower: Part of the model: `vision`, `text`, `encoder` or `decoder`.
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
        ids: Sample ids, a string array of length n.
        tensors: Named tensors with first dimension n, as `Learner.encode` made them. They are kept on the device if
            they fit, else in memory, else in memory-mapped files. A tensor `x` `(n, width)` with a partner `x.width`
            `(n,)` is padded: only the first `x.width[i]` entries of row i belong to sample i.
        device: Device of batches; None means the device of the tensors.
        truth: Columns that scores read. Texts: `answer` and `source` (the input). Images whose answers are not
            classes: `size` (height and width in pixels before resizing) and those of `mask` (PNG of that size),
            `boxes`, `points`, `value` that the kind of the task has. Empty where the tensor `label` is the truth.
    """

    ids: "pa.StringArray"
    tensors: Mapping[str, Tensor]
    device: torch.device | None = None
    truth: "Mapping[str, pa.Array]" = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def index_device(self) -> torch.device:
        """Device on which index tensors should live to avoid a transfer in `batch`."""
        return torch.device("cpu") if self._widths else next(iter(self.tensors.values())).device

    @property
    def lengths(self) -> Tensor | None:
        """Length of each sample, summed over its padded tensors, `(n,)` on the CPU; None if nothing is padded."""
        return torch.stack(list(self._widths.values())).sum(dim=0) if self._widths else None

    @cached_property
    def _widths(self) -> dict[str, Tensor]:
        """Row lengths of the padded tensors, on the CPU: cutting a batch then needs no synchronisation."""
        names = [name for name in self.tensors if f"{name}.width" in self.tensors]
        return {name: self.tensors[f"{name}.width"].cpu() for name in names}

    def batch(self, index: Tensor | slice) -> Batch:
        """The samples at `index` (a slice, or int64 positions), on `device`, padded to the longest of them."""
        if isinstance(index, Tensor):
            index = to_device(index, self.index_device)
        return {name: self._rows(name, tensor, index) for name, tensor in self.tensors.items()}

    def _rows(self, name: str, tensor: Tensor, index: Tensor | slice) -> Tensor:
        if name in self._widths:
            widest = int(self._widths[name][index].max())
            tensor = tensor[:, : -(-widest // BUCKET) * BUCKET]
        if isinstance(index, Tensor):
            index = to_device(index, tensor.device)
        return to_device(tensor[index], self.device or tensor.device)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of one version for n samples under one protocol, on the device.

    Attributes:
        prediction: What the evaluator compares with the truth. Classes: `(n,)` int64 indices into `names`. Texts: a
            list of n. Segmentation: `(n, h, w)` uint8 class ids, at the learner's image size. Detection:
            `(n, boxes, 5)` x_min, y_min, x_max, y_max as fractions of width and height, then a confidence in [0, 1],
            highest first; padding has confidence 0. Regression: `(n, points, 2)` x and y as fractions of width and
            height, or `(n,)` values in the task's unit.
        target: `(n,)` int64 indices of the true classes; None for other kinds.
        names: Class names, by index; empty for other kinds.
        correct: `(n,)` bool for classes; None for other kinds.
        score: `(n,)` float64, higher is better; None if `correct` or the evaluator gives the score.
        confidence: `(n,)` float32 probability of the prediction in [0, 1], or None.
        probabilities: `(n, classes)` probabilities of all `names`; None in families that keep them out of the ledger.
        finite: `(n,)` bool, whether the scores behind each prediction are finite; None if `confidence` or the
            prediction itself shows it.
    """

    prediction: Tensor | list[str]
    target: Tensor | None = None
    names: Sequence[str] = ()
    correct: Tensor | None = None
    score: Tensor | None = None
    confidence: Tensor | None = None
    probabilities: Tensor | None = None
    finite: Tensor | None = None


@dataclass(frozen=True, eq=False)
class TokenScores:
    """Scores of every token that a loss averages over; a classified sample counts as one token.

    Attributes:
        logits: `(tokens, outputs)` with gradient; outputs are the vocabulary, or the classes of the task.
        target: `(tokens,)` int64, the true token or class.
        sequence: `(tokens,)` int64 index of the sample in the batch that each token belongs to, in rising order.
    """

    logits: Tensor
    target: Tensor
    sequence: Tensor


Predictor: TypeAlias = Callable[[Batch, Task], Mapping[EvalProtocol, Predictions]]
"""Predicts a batch of one task with one version, under every protocol asked for."""


class Learner(ABC):
    """A model of one family, as strategies and the evaluator see it.

    Args:
        name: Name of the learner in a suite.
        module: The model; its parameters are the weights of the present version.
    """

    test_batch = 256
    """Test samples in a forward pass: large enough for a GPU, and the same in every run, so that round-off is, too."""
    test_width = 64
    """Width up to which `test_batch` samples are tested at a time; batches of longer ones are smaller in proportion."""

    def __init__(self, name: str, module: nn.Module) -> None:
        self.name = name
        self.module = module
        self.precision: Precision = "auto"
        self._checkpointing = False

    # Data

    @abstractmethod
    def encode(self, rows: "Dataset", task: Task) -> Samples:
        """Decode rows into tensors on the CPU, once, in the form that `loss` and predictors read.

        Raises:
            DataError: For a row that does not decode or a label outside the task's classes.
        """

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """A random view of a training batch; the batch itself in families without augmentation."""
        return batch

    # Tasks

    def add_task(self, task: Task) -> None:  # noqa: B027 (most families need nothing)
        """Create the parameters that the task needs for itself (a head) if they do not exist; change nothing else.

        Called before the task is learnt, and when a cell resumes for every task learnt so far.
        """

    def can_test(self, task: Task) -> bool:
        """Whether the model can answer a task; tasks that it cannot answer have no score in R."""
        return True

    # Losses

    @abstractmethod
    def loss(self, batch: Batch, task: Task) -> Tensor:
        """Mean task loss of a batch, a scalar with gradient."""

    def loss_terms(self, batch: Batch, answers_only: bool = True) -> Tensor:
        """Number of terms that `loss` averages over, a scalar; the number of samples by default.

        A batch that does not fit is learnt in parts. Their gradients add up to that of the whole batch if each part is
        weighted by its terms.

        Args:
            batch: The batch, as for `loss`.
            answers_only: Whether to count the terms of `ScoresTokens.token_logits` with this setting.
        """
        return torch.tensor(len(next(iter(batch.values()))))

    def output_space(self) -> str:
        """Identifies what encoded samples and the columns of scores mean.

        Releases of a model must have equal texts: they read the same samples and score the same outputs.
        """
        return type(self).__name__

    # Predictions

    @abstractmethod
    def predictor(self, tasks: Sequence[Task], protocols: Sequence[EvalProtocol]) -> Predictor:
        """A function that predicts with the present weights; it is valid until the weights change.

        What all batches have in common (text features of class names) is computed here, once.
        """

    def general_ability(self) -> dict[str, float]:
        """Numbers on what the present version can do besides its tasks (`perplexity`), by name; few and cheap."""
        return {}

    # Structure of the model

    @abstractmethod
    def linear_layers(self) -> tuple[LinearLayer, ...]:
        """All linear layers that a method may adapt or decompose."""

    def head(self, task: Task) -> dict[str, nn.Parameter]:
        """Parameters that serve this task alone, by name; every strategy trains them when it learns the task.

        Empty in families whose answers come from shared parameters only.
        """
        return {}

    def counted_module(self) -> nn.Module:
        """The module that every pass of samples through the model calls once, with the samples as rows of its input.

        The passes of an update are counted at its calls (`cost/passes_with_gradient`). A family that never calls
        `module` as a whole must name a part of it.
        """
        return self.module

    def real_tokens(self, batch: Batch, layer: LinearLayer) -> Tensor | None:
        """Mask of the tokens that are not padding in a layer's input `(n, tokens, width)` during `loss`.

        Returns:
            Bool `(n, tokens)`; None if no token is padding.
        """
        return None

    # Weights

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.module.parameters()).device

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The context for calls of `loss`, `logits` and predictors; it sets the number format, see `Precision`."""
        if self.precision == "float32" or (self.precision == "auto" and not has_bfloat16(self.device)):
            return contextlib.nullcontext()
        # The cache of autocast would keep a copy of all weights, although blocks are computed again one by one.
        return torch.autocast(self.device.type, dtype=torch.bfloat16, cache_enabled=not self._checkpointing)

    def set_checkpointing(self, on: bool) -> None:
        """Keep the inputs of blocks alone for the backward pass and compute the rest again (Chen et al. 2016), or not.

        Training then takes about a third more time and much less memory. It ends with the same weights: to the bit, or
        to round-off where blocks share a tensor (T5's position biases), whose gradients add up in another order.

        Raises:
            ConfigError: Where a family cannot.
        """
        if on or self._checkpointing:
            self.checkpoint_blocks(on)
        self._checkpointing = on

    def checkpoint_blocks(self, on: bool) -> None:
        """What `set_checkpointing` does in a family that can.

        Raises:
            ConfigError: In a family that cannot.
        """
        raise ConfigError(f"learner {self.name}: has no checkpointing (wanted budget.checkpointing: false)")

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that full fine-tuning trains, by name."""
        return dict(self.module.named_parameters())

    def state_dict(self) -> dict[str, Tensor]:
        """The weights, by name; not copied."""
        return dict(self.module.state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Copy weights in; names and shapes must be those of `state_dict`."""
        self.module.load_state_dict(dict(state))

    def digest(self) -> str:
        """Hash of all weights: equal digests mean equal versions."""
        return tensor_digest(sorted(self.state_dict().items()))
