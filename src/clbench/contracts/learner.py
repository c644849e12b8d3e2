"""A learner: a model with the code that computes losses and predictions for its family."""

import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clbench.contracts.batch import Batch
from clbench.contracts.stack import PromptPlan, Stack
from clbench.core.errors import ConfigError
from clbench.spec.stream import EvalProtocol
from clbench.spec.task import Task

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase


BUCKET = 8
"""Padded batches are as wide as the longest sample, rounded up to a multiple of this: few shapes, little waste."""

Precision = Literal["auto", "float32", "bfloat16"]
"""What models compute in; `auto` is bfloat16 under autocast where the device is made for it (CUDA), full precision on
the CPU, where results must be exact. Weights are float32 always."""


@dataclass(frozen=True)
class LinearLayer:
    """Where one `nn.Linear` sits in the architecture: what methods may ask about a model.

    Attributes:
        name: Module name in `learner.module`.
        role: Its part in a transformer block (`q`, `k`, `v`, `out`, `gate`, `up`, `down`; `cross_q` and so on where a
            decoder reads an encoder), or `other`.
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
            the computer's or on its disk where that is too small. A tensor `x` `(n, width)` beside which there is one
            named `x.width` `(n,)` is padded: of row i only the first `x.width[i]` entries mean something.
        device: Where batches go; where the tensors are if None.
        truth: What scores read, row by row: of texts `answer` and `source` (the input); of images whose answers are
            no classes `size` (list of int32, height and width before they were resized) and what the rows have of
            `mask` (PNG, of that size), `boxes`, `points` and `value`. Empty where the tensor `label` says all.
    """

    ids: "pa.StringArray"
    tensors: Mapping[str, Tensor]
    device: torch.device | None = None
    truth: "Mapping[str, pa.Array]" = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def index_device(self) -> torch.device:
        """Where positions should be, so that `batch` waits for no transfer."""
        return torch.device("cpu") if self._widths else next(iter(self.tensors.values())).device

    @property
    def lengths(self) -> Tensor | None:
        """How much of its padded tensors a sample fills, `(n,)` on the CPU; None where nothing is padded."""
        return torch.stack(list(self._widths.values())).sum(dim=0) if self._widths else None

    @cached_property
    def _widths(self) -> dict[str, Tensor]:
        """The widths of the padded tensors, on the CPU, so that a batch is cut without waiting for the device."""
        names = [name for name in self.tensors if f"{name}.width" in self.tensors]
        return {name: self.tensors[f"{name}.width"].cpu() for name in names}

    def batch(self, index: Tensor | slice) -> Batch:
        """The samples at `index` (a slice or int64 positions), on `device`; padding is cut down to the longest."""
        if isinstance(index, Tensor):
            index = index.to(self.index_device)
        return {name: self._rows(name, tensor, index) for name, tensor in self.tensors.items()}

    def _rows(self, name: str, tensor: Tensor, index: Tensor | slice) -> Tensor:
        if name in self._widths:
            widest = int(self._widths[name][index].max())
            tensor = tensor[:, : -(-widest // BUCKET) * BUCKET]
        if isinstance(index, Tensor):
            index = index.to(tensor.device, non_blocking=True)
        return tensor[index].to(self.device or tensor.device, non_blocking=True)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a version says of n samples under one protocol, still on the device.

    Attributes:
        prediction: What the evaluator compares with the truth. Classes: `(n,)` int64 indices into `names`. Texts: n of
            them. Segmentation: `(n, h, w)` uint8 class ids, at the learner's own size. Detection: `(n, boxes, 5)` of
            x_min, y_min, x_max, y_max as fractions of width and height, and a confidence in [0, 1], the highest first;
            boxes that are not meant have confidence 0. Regression: `(n, points, 2)` x and y as fractions, or `(n,)`
            values in their unit.
        target: `(n,)` indices of the true classes; None for other kinds.
        names: What the indices mean; empty for other kinds.
        correct: `(n,)` bool for classes, else None.
        score: `(n,)` float64, higher is better, or None where `correct` or the evaluator says all.
        confidence: `(n,)` float32 probability of the prediction in [0, 1], or None.
        probabilities: `(n, classes)` of all `names`, or None in families that do not want them in the ledger.
        finite: `(n,)` bool, whether the scores that a prediction was read from were finite; None where `confidence` or
            the prediction itself is not finite if they were not.
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
    """What a model says of the units that its loss adds up: tokens of texts, or samples where these have classes.

    Attributes:
        logits: `(units, vocabulary)`, with gradient.
        target: `(units,)` int64, the right token or class.
        sequence: `(units,)` int64, which sample of the batch a unit belongs to, in rising order.
    """

    logits: Tensor
    target: Tensor
    sequence: Tensor


Predictor: TypeAlias = Callable[[Batch, Task], Mapping[EvalProtocol, Predictions]]
"""Predictions of one version for a batch of one task, under every protocol asked for."""


class Learner(ABC):
    """A model of one family; strategies see its parameters, linear layers, losses and logits, never its family."""

    test_batch = 256
    """Test samples a forward pass: large enough for a GPU, and fixed, so that round-off is the same in every run."""
    test_width = 64
    """Where samples are padded: batches of wider ones are smaller, so that `test_batch * test_width` bounds a batch."""

    def __init__(self, name: str, module: nn.Module) -> None:
        self.name = name
        self.module = module
        self.precision: Precision = "auto"

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.module.parameters()).device

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The context in which `loss`, `logits` and predictors are to be called, by `precision`."""
        if self.precision == "float32" or (self.precision == "auto" and self.device.type != "cuda"):
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    @abstractmethod
    def encode(self, rows: "Dataset", task: Task) -> Samples:
        """Decode rows once into tensors on the CPU, as `loss` and the predictor want them.

        Raises:
            DataError: For a row that does not decode or a label outside the task's classes.
        """

    def add_task(self, task: Task) -> None:  # noqa: B027 (most families need nothing)
        """Make what a task needs in the module (a head), if it is not there yet; nothing else may change.

        Called before the task is learnt, and when a cell resumes for every task learnt so far.
        """

    def can_test(self, task: Task) -> bool:
        """Whether the model has an answer for a task; if not, it is left out and R has no score there."""
        return True

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """A random view of a training batch; the same batch where the family has no augmentation."""
        return batch

    @abstractmethod
    def loss(self, batch: Batch, task: Task) -> Tensor:
        """Mean task loss of a batch, a scalar with gradient."""

    def weight(self, batch: Batch, answers_only: bool = True) -> Tensor:
        """Over how many units `loss` is a mean, a scalar: samples, unless overridden.

        Gradients of parts of a batch add up to those of the whole where each counts by its units.

        Args:
            batch: As for `loss`.
            answers_only: As for `token_logits`, whose mean loss may be over other units.
        """
        return torch.tensor(len(next(iter(batch.values()))))

    @abstractmethod
    def logits(self, batch: Batch, tasks: Sequence[Task]) -> Tensor:
        """Scores `(n, classes)` of all classes of `tasks`, in that order, with gradient.

        Raises:
            ConfigError: In families that have no such scores.
        """

    def loss_from_logits(self, logits: Tensor, label: Tensor, tasks: Sequence[Task]) -> Tensor:
        """`loss` of samples of several tasks from `logits`, a scalar: each competes with classes of its own task only.

        Args:
            logits: `(n, classes)` of all `tasks`, in that order.
            label: Classes counted through all of them `(n,)`.
            tasks: Whose samples they are.
        """
        sizes = torch.tensor([len(task.classes) for task in tasks])
        owner = torch.arange(len(tasks)).repeat_interleave(sizes).to(logits.device)
        others = owner != owner[label].unsqueeze(1)
        return F.cross_entropy(logits.masked_fill(others, -torch.inf), label)

    def token_logits(self, batch: Batch, task: Task, answers_only: bool = False) -> TokenScores:
        """Scores of every unit of a batch: for classes one unit a sample, over the classes of its task.

        Args:
            batch: As for `loss`; the mean cross-entropy of its units is a task loss.
            task: Whose samples they are.
            answers_only: For families that also learn the tokens of inputs: leave those out.

        Raises:
            ConfigError: In families that have no such scores.
        """
        logits = self.logits(batch, [task])
        return TokenScores(logits, batch["label"], torch.arange(len(logits), device=logits.device))

    def output_space(self) -> str:
        """Says what encoded samples and the columns of `token_logits` mean: learners with equal texts agree on both."""
        return type(self).__name__

    @abstractmethod
    def predictor(self, tasks: Sequence[Task], protocols: Sequence[EvalProtocol]) -> Predictor:
        """Predictions of the version that the learner holds now.

        What is the same for all batches of a version (text features of the classes) is computed here, once. The
        predictor is good until the weights change.
        """

    def ensemble(self, other: "Learner", tasks: Sequence[Task], protocols: Sequence[EvalProtocol]) -> Predictor:
        """Predictions by the mean of the probabilities of this learner and another one of its family.

        Raises:
            ConfigError: In families that have none, or for a learner of another one.
        """
        raise ConfigError(f"{self.name}: models of this family cannot be averaged in their predictions")

    @abstractmethod
    def linear_layers(self) -> tuple[LinearLayer, ...]:
        """All linear layers that a method may adapt or decompose."""

    def stack(self) -> Stack:
        """The model as one stack of blocks, for methods that choose by depth.

        Raises:
            ConfigError: In families that are none (two towers, an encoder with a decoder).
        """
        raise ConfigError(f"{self.name}: is not one stack of blocks, which this strategy needs")

    def head(self, task: Task) -> dict[str, nn.Parameter]:
        """Parameters that serve this task alone, by name: whoever learns the task trains them, whatever else he trains.

        Empty where answers come out of what all tasks share.
        """
        return {}

    def insert_prompts(self, plan: PromptPlan) -> None:
        """Have prompts from now on; to be called once, when a strategy is built. `add_task` makes those of new tasks.

        Raises:
            ConfigError: In families that cannot take any, or for a block that there is not.
        """
        raise ConfigError(f"{self.name}: takes no soft prompts, which this strategy needs")

    def prompts(self, task: Task) -> dict[str, nn.Parameter]:
        """The prompts that a task is read with, by name; empty without."""
        return {}

    def prefix(self, batch: Batch, blocks: int) -> Batch:
        """What the first blocks make of a batch, to be put beside it: `loss` and predictors go on from there.

        A function of each sample alone: on the CPU the bits do not depend on what else is in the batch.

        Raises:
            ConfigError: In families that cannot go on from there.
        """
        raise ConfigError(f"{self.name}: cannot go on from the output of a block")

    def real_tokens(self, batch: Batch, layer: LinearLayer) -> Tensor | None:
        """Where a layer's input `(n, tokens, in)` is no padding in `loss`: bool `(n, tokens)`; None for everywhere."""
        return None

    def probe(self) -> dict[str, float]:
        """Numbers on what the version that the learner holds can do besides its tasks (perplexity); few and cheap."""
        return {}

    def language_model(self) -> "tuple[nn.Module, PreTrainedTokenizerBase]":
        """The model of transformers and its tokenizer, for others' programs (`--probe`).

        Raises:
            ConfigError: In families that have none.
        """
        raise ConfigError(f"{self.name}: --probe is for language models with a tokenizer, which this is not")

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
