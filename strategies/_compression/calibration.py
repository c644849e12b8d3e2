"""Calibration: a few training samples on which a compression measures inputs of layers and the error of outputs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from clbench.contracts import (
    Batch,
    Context,
    Learner,
    LinearLayer,
    Samples,
    ScoresTokens,
    StrategyConfig,
    Task,
    require,
)
from clbench.core.errors import ConfigError, TrainingError
from clbench.core.seeding import generator_for
from clbench.kinds import kind_of

PREFIX = "prefix."
"""How names of cached outputs of frozen blocks begin; a compression changes these blocks, so it computes them."""


class CalibrationConfig(StrategyConfig):
    """Settings of the calibration samples."""

    calibration: Literal["seen", "last", "none"] = Field(
        "seen", description="Tasks whose training samples are used: all that were learnt, the last one, or none."
    )
    calibration_samples: int = Field(128, ge=1, description="Number of samples in all.")
    sequential: bool = Field(
        True,
        description="Measure the inputs of a block after the blocks before it are compressed (one pass for each "
        "block); otherwise all inputs are those of the model before, from one pass.",
    )


@dataclass(eq=False)
class InputMoments:
    """Sums over the inputs of one layer, without padding.

    Attributes:
        total: Sum of the inputs, `(in,)` float64.
        squares: Sum of their squares, `(in,)` float64.
        count: Number of inputs (tokens), a float64 scalar.
    """

    total: Tensor
    squares: Tensor
    count: Tensor

    @property
    def mean(self) -> Tensor:
        """Mean input, `(in,)` float64."""
        return self.total / self.count

    @property
    def norms(self) -> Tensor:
        """Euclidean norm of each input over all tokens, `(in,)` float64."""
        return self.squares.sqrt()


class Calibration:
    """Calibration samples and passes over them, without augmentation, in evaluation mode, without gradient.

    Args:
        learner: The model.
        parts: Samples of each task, and positions of those that are used, `(k,)` int64.
        batch_size: Largest number of samples in a forward pass.
    """

    def __init__(self, learner: Learner, parts: Sequence[tuple[Task, Samples, Tensor]], batch_size: int) -> None:
        self._learner = learner
        self._parts = parts
        self._batch_size = batch_size
        self.evaluations = 0
        """Number of passes over all samples so far."""

    @classmethod
    def draw(cls, context: Context, seen: Sequence[Task], config: CalibrationConfig) -> "Calibration":
        """Draw training samples at random, as many of each task as of the others where tasks have enough.

        The seed of the cell decides the samples, so all versions of a cell are calibrated on the same ones.

        Args:
            context: Gives the samples, the seed, and the number of samples in a forward pass.
            seen: The tasks learnt so far.
            config: Which tasks, and how many samples.
        """
        tasks = {"seen": seen, "last": seen[-1:], "none": ()}[config.calibration]
        named = {task.name: (task, context.samples(task, "train")) for task in tasks}  # a task may be learnt twice
        sizes = [len(samples) for _, samples in named.values()]
        generator = generator_for(context.seed, "calibration")
        parts = [
            (task, samples, torch.randperm(len(samples), generator=generator)[:count].sort().values)
            for (task, samples), count in zip(
                named.values(), equal_shares(sizes, config.calibration_samples), strict=True
            )
        ]
        return cls(context.learner, parts, context.budget.micro_batch or context.budget.batch_size)

    def __len__(self) -> int:
        """Number of samples."""
        return sum(len(index) for _, _, index in self._parts)

    @torch.no_grad()
    def inputs(self, layers: Sequence[LinearLayer]) -> dict[str, InputMoments]:
        """Sums over the inputs of layers while the loss of every sample is computed, by name of the layer.

        Raises:
            ConfigError: For a layer that no sample's loss depends on.
            TrainingError: For inputs that are not finite.
        """
        meters = [_InputMeter(self._learner, layer) for layer in layers]
        handles = [meter.attached() for meter in meters]
        try:
            for batch, task in self._pass():
                for meter in meters:
                    meter.batch = batch
                self._learner.loss(batch, task)
        finally:
            for handle in handles:
                handle.remove()
        for meter in meters:
            if not float(meter.moments.count):
                raise ConfigError(f"layer {meter.layer.name}: the calibration samples do not use it: no inputs")
            if not bool(meter.moments.squares.isfinite().all()):
                raise TrainingError(f"layer {meter.layer.name}: its inputs on calibration samples are not finite")
        return {meter.layer.name: meter.moments for meter in meters}

    @torch.no_grad()
    def scores(self) -> list[Tensor]:
        """Scores of classes, or of the tokens of answers, `(rows, outputs)` for each batch; none of other tasks."""
        if not any(self._is_scored(task) for task, _, _ in self._parts):
            return []
        learner = require(self._learner, ScoresTokens)
        return [
            learner.token_logits(batch, task, answers_only=True).logits.float()
            for batch, task in self._pass()
            if self._is_scored(task)
        ]

    def output_error(self, scores: Sequence[Tensor]) -> float | None:
        """Mean squared difference of the present scores from earlier ones; None if there are no scores.

        The mean is over samples (or tokens of answers) and outputs of a task, then over tasks: scores of tasks may
        differ in number and scale.
        """
        owners = [task.name for task, _ in self._batches() if self._is_scored(task)]
        if not owners:
            return None
        gaps = [(now - then).double().square() for now, then in zip(self.scores(), scores, strict=True)]
        means = [
            torch.cat([gap.flatten() for owner, gap in zip(owners, gaps, strict=True) if owner == name]).mean()
            for name in dict.fromkeys(owners)
        ]
        return float(torch.stack(means).mean())

    def _is_scored(self, task: Task) -> bool:
        return kind_of(task.kind).scores_tokens and isinstance(self._learner, ScoresTokens)

    def _batches(self) -> Iterator[tuple[Task, tuple[Samples, Tensor]]]:
        """Positions of samples that share a forward pass, with their task."""
        for task, samples, index in self._parts:
            for part in index.split(self._batch_size):
                yield task, (samples, part)

    def _pass(self) -> Iterator[tuple[Batch, Task]]:
        """One pass over all samples."""
        module = self._learner.module
        training = module.training
        module.eval()
        try:
            with self._learner.autocast():
                for task, (samples, part) in self._batches():
                    batch = samples.batch(part)
                    yield {name: batch[name] for name in batch if not name.startswith(PREFIX)}, task
        finally:
            module.train(training)
        self.evaluations += bool(self._parts)


def equal_shares(sizes: Sequence[int], total: int) -> list[int]:
    """Divide a total as equally as possible, none above its size; what is left over goes to the largest."""
    shares = [0] * len(sizes)
    for done, place in enumerate(sorted(range(len(sizes)), key=sizes.__getitem__)):
        shares[place] = min(sizes[place], total // (len(sizes) - done))
        total -= shares[place]
    return shares


class _InputMeter:
    """Sums the inputs of one layer, on the device."""

    def __init__(self, learner: Learner, layer: LinearLayer) -> None:
        self.layer = layer
        self.batch: Batch = {}
        self._learner = learner
        self._module = learner.module.get_submodule(layer.name)
        assert isinstance(self._module, nn.Linear)  # what `Learner.linear_layers` promises
        zeros = torch.zeros(2, self._module.in_features, dtype=torch.float64, device=learner.device)
        self.moments = InputMoments(zeros[0], zeros[1], zeros.new_zeros(()))

    def attached(self) -> torch.utils.hooks.RemovableHandle:
        """Attach the hook that measures."""
        return self._module.register_forward_pre_hook(self._look)

    def _look(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].double()
        real = self._learner.real_tokens(self.batch, self.layer)
        if real is None:
            self.moments.count += x[..., 0].numel()
        else:
            x = torch.where(real.unsqueeze(-1), x, 0.0)
            self.moments.count += real.sum()
        x = x.reshape(-1, x.shape[-1])
        self.moments.total += x.sum(dim=0)
        self.moments.squares += x.square().sum(dim=0)
