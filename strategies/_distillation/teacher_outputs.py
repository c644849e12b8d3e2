"""Outputs of a teacher for each unit of a batch, live or cached, and the divergence of a student from them.

A unit is a token or, where tasks have classes, a sample.
"""

import math
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from clbench.contracts import Batch, Learner, Samples, TokenScores
from clbench.core.devices import to_device
from clbench.core.errors import ConfigError
from clbench.strategies._distillation.mapped_tensors import MappedTensorFile

Teacher = Callable[[Batch], TokenScores]
"""Computes a teacher's scores of a batch."""

SCORES_AT_ONCE, SCORES_AT_ONCE_ON_GPU = 2**18, 2**25
"""Scores computed at a time: 1 MiB in float32 on a CPU, which stays in its cache; 128 MiB on a GPU, which keep it busy.

A step has a few tensors of this size at a time, and not of the whole batch: 1 GiB for 16 x 512 tokens of 32,000 scores.
"""
DISK_SHARE = 0.5
"""Largest share of the free disk that a cached teacher may take."""
MIN_REST = 1e-6
"""Lower bound for the probability outside the stored top-k, which is a difference from 1 in float32."""


def as_teacher(learner: Learner) -> Learner:
    """A learner that nothing trains from now on, in evaluation mode."""
    learner.module.requires_grad_(False).eval()
    return learner


@dataclass(frozen=True, eq=False)
class SoftTargets:
    """The distribution that each unit should imitate.

    Attributes:
        scores: The teacher's scores `(units, vocabulary)`, or log-probabilities of its top-k columns `(units, k)` at
            the temperature of the distillation.
        columns: The top-k columns `(units, k)`, int64; None if `scores` has all columns.
    """

    scores: Tensor
    columns: Tensor | None = None


@dataclass(frozen=True, eq=False)
class TeacherOutput:
    """A teacher's output for the units of a batch; functions compute what only some masks need.

    Attributes:
        soft_targets: The distributions to imitate.
        right: Computes whether the top column is the target, `(units,)` bool.
        log_likelihood: Computes the log-probability of the target at temperature 1, `(units,)`.
    """

    soft_targets: SoftTargets
    right: Callable[[], Tensor]
    log_likelihood: Callable[[], Tensor]


def output_of(units: TokenScores) -> TeacherOutput:
    """The output that belongs to a teacher's scores, without gradient."""
    units = TokenScores(units.logits.detach(), units.target, units.sequence)
    return TeacherOutput(
        SoftTargets(units.logits), lambda: units.logits.argmax(dim=-1) == units.target, lambda: log_likelihood(units)
    )


def top_k_targets(scores: Tensor, temperature: float, top_k: int | None) -> SoftTargets:
    """Soft targets of the top-k columns.

    Args:
        scores: Scores `(units, vocabulary)`.
        temperature: Temperature of the distillation.
        top_k: Number of columns to keep; all if None or if there are no more.
    """
    if top_k is None or top_k >= scores.shape[1]:
        return SoftTargets(scores)
    log_p, columns = (scores.float() / temperature).log_softmax(dim=-1).topk(top_k, dim=-1)
    return SoftTargets(log_p, columns)


def log_likelihood(units: TokenScores) -> Tensor:
    """Log-probability of each unit's target at temperature 1, `(units,)`."""
    logits = units.logits.float()
    picked = logits.gather(1, units.target.unsqueeze(1)).squeeze(1)
    return picked - logits.logsumexp(dim=-1)


def select_targets(mask: Tensor, first: SoftTargets, second: SoftTargets) -> SoftTargets:
    """Soft targets of two teachers, selected for each unit.

    Args:
        mask: `(units,)` bool, true where the first teacher is to be imitated.
        first: Soft targets of one teacher.
        second: Soft targets of the other teacher, of the same shapes.
    """
    wide = mask.unsqueeze(1)
    both = None if first.columns is None or second.columns is None else (first.columns, second.columns)
    columns = None if both is None else torch.where(wide, *both)
    return SoftTargets(torch.where(wide, first.scores, second.scores), columns)


def divergence(student: Tensor, targets: SoftTargets, temperature: float) -> Tensor:
    """KL(teacher || student) of each unit at temperature T, without the factor T^2.

    Of top-k targets, all other columns together count as one column. The result is then a lower bound of the divergence
    over the whole vocabulary (data processing inequality), and equal to it if no column is left out.

    Args:
        student: Scores `(units, vocabulary)`, with gradient.
        targets: Soft targets of the teacher.
        temperature: T; for top-k targets, the temperature at which they were computed.

    Returns:
        Divergences in nats, `(units,)`.
    """
    if targets.columns is None:
        found: Tensor = _Divergence.apply(student, targets.scores, temperature)
        return found
    log_q = (student.float() / temperature).log_softmax(dim=-1)
    log_p, log_q = targets.scores, log_q.gather(1, targets.columns)
    rest_p, rest_q = ((1 - part.exp().sum(dim=-1)).clamp(min=MIN_REST) for part in (log_p, log_q))
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1) + rest_p * (rest_p.log() - rest_q.log())


def units_at_once(device: torch.device, vocabulary: int) -> int:
    """Number of units whose divergence is computed at a time, at least 1.

    Args:
        device: Where the scores are.
        vocabulary: Scores of a unit.
    """
    return max(1, (SCORES_AT_ONCE if device.type == "cpu" else SCORES_AT_ONCE_ON_GPU) // vocabulary)


class _Divergence(torch.autograd.Function):
    """KL(teacher || student) of each unit, with its gradient for the student: (q - p) / T.

    Value and gradient are computed together, some units at a time, so that intermediate results stay small (in
    a CPU's cache) and only the gradient is kept for the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        exact = torch.promote_types(student.dtype, torch.float32)
        divergences, gradient = student.new_empty(len(student), dtype=exact), torch.empty_like(student)
        rows = units_at_once(student.device, student.shape[1])
        parts = zip(
            student.split(rows), teacher.split(rows), gradient.split(rows), divergences.split(rows), strict=True
        )
        for scores, wanted, slope, divergence_of in parts:
            log_q = (scores.to(exact) / temperature).log_softmax(dim=-1)
            log_p = (wanted.to(exact) / temperature).log_softmax(dim=-1)
            p = log_p.exp()
            torch.sum(log_p.sub_(log_q).mul_(p), dim=-1, out=divergence_of)
            slope.copy_(log_q.exp_().sub_(p).div_(temperature))
        ctx.save_for_backward(gradient)
        return divergences

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream.unsqueeze(1).to(gradient.dtype), None, None


class CachedTeacher:
    """A teacher's outputs for all training samples of a task, computed once and kept on disk (in `TMPDIR`).

    Args:
        teacher: Computes a teacher's scores of a batch; those of a sample must not depend on the rest of the batch.
        samples: All training samples of the task.
        size: Batch size of the teacher.
        temperature: Temperature of the distillation.
        top_k: Number of columns kept for each unit; all if None.

    Raises:
        ConfigError: When the outputs would take more than half of the free disk.
    """

    def __init__(self, teacher: Teacher, samples: Samples, size: int, temperature: float, top_k: int | None) -> None:
        scores, columns = MappedTensorFile(), MappedTensorFile()
        counts, right, likelihood = [], [], []
        for start in range(0, len(samples), size):
            units = teacher(samples.batch(slice(start, start + size)))
            output, targets = output_of(units), top_k_targets(units.logits, temperature, top_k)
            if not start:
                _require_room(targets, math.ceil(len(samples) / size))
            counts.append(units.sequence.bincount(minlength=min(size, len(samples) - start)).cpu())
            scores.add(targets.scores)
            if targets.columns is not None:
                columns.add(targets.columns.int())
            right.append(output.right().cpu())
            likelihood.append(output.log_likelihood().cpu())
        self._counts = torch.cat(counts)
        self._starts = self._counts.cumsum(0) - self._counts
        self._scores = scores.whole()
        self._columns = None if targets.columns is None else columns.whole()
        self._right, self._likelihood = torch.cat(right), torch.cat(likelihood)

    def of(self, position: Tensor, device: torch.device) -> TeacherOutput:
        """The output for a batch of the samples at `position` `(n,)`, on a device, in the order of its units."""
        position = position.cpu()
        counts = self._counts[position]
        within = torch.arange(int(counts.sum())) - (counts.cumsum(0) - counts).repeat_interleave(counts)
        at = self._starts[position].repeat_interleave(counts) + within
        columns = None if self._columns is None else to_device(self._columns[at], device).long()
        return TeacherOutput(
            SoftTargets(to_device(self._scores[at], device), columns),
            lambda: to_device(self._right[at], device),
            lambda: to_device(self._likelihood[at], device),
        )


def _require_room(first: SoftTargets, batches: int) -> None:
    sizes = (first.scores.nbytes, 0 if first.columns is None else first.columns.nbytes // 2)
    needed, free = sum(sizes) * batches, shutil.disk_usage(tempfile.gettempdir()).free
    if needed > DISK_SHARE * free:
        have = f"would take {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free in {tempfile.gettempdir()}"
        raise ConfigError(f"stored teachers: {have}: use a smaller top_k or live teachers")
