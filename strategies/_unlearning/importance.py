"""Importance of parameters for some samples, by gradients of batches."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from clbench.contracts import Batch, Learner, ScoresTokens, Task, require
from clbench.core.errors import TrainingError
from clbench.strategies._unlearning.training_data import Part

Source = Literal["loss", "output"]


class ImportanceOf:
    """Computes the importance of parameters for samples, at the learner's present weights.

    - `loss`: the mean over batches of (gradient of the batch's mean task loss)^2, as in the released code of SSD.
    - `output`: the mean over batches of |gradient of the batch's mean squared L2 norm of the scores| (Aljundi et al.
      2018), as in that of LFSSD. No label is used, but a language model reads the answer to score its tokens.

    Both depend on the batch size: squares of batch gradients fall about in proportion to 1 / size.

    Attributes:
        samples_read: Number of samples in all batches so far.

    Args:
        learner: The learner; its module stays in evaluation mode.
        parameters: The parameters, by name; also those that are frozen.
        source: `loss` or `output`.
        micro_batch: Largest number of samples in a forward pass; None for whole batches.
    """

    def __init__(
        self, learner: Learner, parameters: Mapping[str, nn.Parameter], source: Source, micro_batch: int | None
    ) -> None:
        self._learner = learner
        self._parameters = parameters
        self._source = source
        self._micro_batch = micro_batch
        self.samples_read = 0

    def over(self, parts: Sequence[Part], size: int, generator: torch.Generator) -> dict[str, Tensor]:
        """The importances for some samples, by name of the parameter, in its shape.

        Args:
            parts: The samples; each batch has samples of one task.
            size: Number of samples in each batch, the same in all.
            generator: Draws the order of the samples.

        Raises:
            TrainingError: When an importance is not finite.
        """
        self._learner.module.eval()
        found = {name: torch.zeros_like(p) for name, p in self._parameters.items()}
        count = 0
        with differentiable(self._learner.module, self._parameters.values()):
            for part in parts:
                for batch in part.full_batches(size, generator):
                    self._add_gradients(found, batch, part.task)
                    count += 1
        self.samples_read += count * size
        for importance in found.values():
            importance /= count
        if not bool(torch.stack([importance.isfinite().all() for importance in found.values()]).all()):
            raise TrainingError("a gradient is not finite, so importances are not defined")
        return found

    def _add_gradients(self, found: Mapping[str, Tensor], batch: Batch, task: Task) -> None:
        """Add the squared or absolute gradients of one batch."""
        n = len(next(iter(batch.values())))
        size, units = self._micro_batch or n, torch.zeros((), device=self._learner.device)
        for start in range(0, n, size):
            with self._learner.autocast():
                total, terms = self._objective({k: tensor[start : start + size] for k, tensor in batch.items()}, task)
            total.backward()
            units += terms
        with torch.no_grad():
            for name, p in self._parameters.items():
                if p.grad is not None:
                    gradient = p.grad / units
                    found[name].add_(gradient.square() if self._source == "loss" else gradient.abs())
                    p.grad = None

    def _objective(self, batch: Batch, task: Task) -> tuple[Tensor, Tensor]:
        """Sum over samples or tokens of what is differentiated, and their number."""
        if self._source == "loss":
            terms = self._learner.loss_terms(batch)
            return self._learner.loss(batch, task) * terms, terms
        learner = require(self._learner, ScoresTokens)
        scores = learner.token_logits(batch, task, answers_only=True).logits.float()
        return scores.square().sum(), torch.tensor(len(scores))


@contextmanager
def differentiable(module: nn.Module, parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Compute gradients of these parameters of a module and of no others; restore the earlier setting afterwards."""
    before = [(p, p.requires_grad) for p in module.parameters()]
    module.requires_grad_(False)
    for p in parameters:
        p.requires_grad_()
    try:
        yield
    finally:
        for p, setting in before:
            p.requires_grad_(setting)
