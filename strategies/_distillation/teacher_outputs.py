"""What a teacher says of a batch, unit by unit, and how far a student is from it; live or stored beforehand."""

import math
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from clbench.contracts import Batch, Samples, TokenScores
from clbench.core.errors import ConfigError
from clbench.strategies._distillation.mapped_tensors import MappedTensorFile

CACHED = 2**18
"""Scores that are worked on at a time on a processor: 1 MiB in float32."""
SHARE = 0.5
"""What stored lessons may take of the free disk."""
LEAST = 1e-6
"""Probabilities of what is not stored are not taken for smaller: they are differences from 1 in float32."""


@dataclass(frozen=True, eq=False)
class SoftTargets:
    """The distribution that each unit is to imitate.

    Attributes:
        scores: `(units, vocabulary)`, as the teacher gave them; or `(units, k)`, the log-probabilities of the likeliest
            columns at the temperature of the distillation.
        columns: `(units, k)` int64, which ones these are; None where all are there.
    """

    scores: Tensor
    columns: Tensor | None = None


@dataclass(frozen=True, eq=False)
class TeacherOutput:
    """A teacher's word on `units`; what only some masks ask for is worked out when asked.

    Attributes:
        taught: What may be imitated.
        right: Gives `(units,)` bool, whether the likeliest column is the target.
        likelihood: Gives `(units,)`, the log-probability of the target at temperature 1.
    """

    taught: SoftTargets
    right: Callable[[], Tensor]
    likelihood: Callable[[], Tensor]


def output_of(units: TokenScores) -> TeacherOutput:
    """What a teacher's scores say, without gradient."""
    units = TokenScores(units.logits.detach(), units.target, units.sequence)
    return TeacherOutput(
        SoftTargets(units.logits), lambda: units.logits.argmax(dim=-1) == units.target, lambda: likelihood_of(units)
    )


def likeliest(scores: Tensor, temperature: float, top_k: int | None) -> SoftTargets:
    """The likeliest columns alone; everything where there are no more than that, or no number is given."""
    if top_k is None or top_k >= scores.shape[1]:
        return SoftTargets(scores)
    log_p, columns = (scores.float() / temperature).log_softmax(dim=-1).topk(top_k, dim=-1)
    return SoftTargets(log_p, columns)


def likelihood_of(units: TokenScores) -> Tensor:
    """Log-probability of each unit's target, `(units,)`."""
    logits = units.logits.float()
    picked = logits.gather(1, units.target.unsqueeze(1)).squeeze(1)
    return picked - logits.logsumexp(dim=-1)


def chosen(mask: Tensor, one: SoftTargets, two: SoftTargets) -> SoftTargets:
    """The first one for units where `mask` `(units,)` is true, else the second."""
    wide = mask.unsqueeze(1)
    columns = None if one.columns is None or two.columns is None else torch.where(wide, one.columns, two.columns)
    return SoftTargets(torch.where(wide, one.scores, two.scores), columns)


def divergence(student: Tensor, taught: SoftTargets, temperature: float) -> Tensor:
    """KL(teacher || student) of each unit at a temperature, `(units,)`, without its square as a factor.

    Where the teacher told the likeliest columns only, all others together are one more: the result is at most that of
    the whole vocabulary (data processing inequality), and equal to it where nothing is left out.

    Args:
        student: Scores `(units, vocabulary)`, with gradient.
        taught: The teacher's.
        temperature: T; of likeliest columns the one at which they were taken.
    """
    if taught.columns is None:
        found: Tensor = _Divergence.apply(student, taught.scores, temperature)
        return found
    log_q = (student.float() / temperature).log_softmax(dim=-1)
    log_p, log_q = taught.scores, log_q.gather(1, taught.columns)
    rest_p, rest_q = ((1 - part.exp().sum(dim=-1)).clamp(min=LEAST) for part in (log_p, log_q))
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1) + rest_p * (rest_p.log() - rest_q.log())


class _Divergence(torch.autograd.Function):
    """KL(teacher || student) of each unit, with its gradient for the student: (q - p) / T.

    Value and gradient are worked out together, some units at a time, so that what is in between stays in the
    processor's cache and nothing but the gradient is kept for the way back.
    """

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        exact = torch.promote_types(student.dtype, torch.float32)
        divergences, gradient = student.new_empty(len(student), dtype=exact), torch.empty_like(student)
        rows = len(student) if student.is_cuda else max(1, CACHED // student.shape[1])
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
    """The lessons of all training samples of a task, computed once and kept on the disk (in the system's `TMPDIR`).

    Args:
        teach: A teacher's scores of a batch.
        samples: All samples; what is taught of one must not depend on the others of its batch.
        size: How many are asked at a time.
        temperature: Of the distillation.
        top_k: How many columns are kept of each unit; all if None.

    Raises:
        ConfigError: When they do not fit.
    """

    def __init__(
        self, teach: Callable[[Batch], TokenScores], samples: Samples, size: int, temperature: float, top_k: int | None
    ) -> None:
        scores, columns = MappedTensorFile(), MappedTensorFile()
        counts, right, likelihood = [], [], []
        for start in range(0, len(samples), size):
            units = teach(samples.batch(slice(start, start + size)))
            lesson, taught = output_of(units), likeliest(units.logits, temperature, top_k)
            if not start:
                _require_room(taught, math.ceil(len(samples) / size))
            counts.append(units.sequence.bincount(minlength=min(size, len(samples) - start)).cpu())
            scores.add(taught.scores)
            if taught.columns is not None:
                columns.add(taught.columns.int())
            right.append(lesson.right().cpu())
            likelihood.append(lesson.likelihood().cpu())
        self._counts = torch.cat(counts)
        self._starts = self._counts.cumsum(0) - self._counts
        self._scores = scores.whole()
        self._columns = None if taught.columns is None else columns.whole()
        self._right, self._likelihood = torch.cat(right), torch.cat(likelihood)

    def of(self, position: Tensor, device: torch.device) -> TeacherOutput:
        """The lesson of the samples at `position` `(n,)`, unit after unit as their batch has them."""
        position = position.cpu()
        counts = self._counts[position]
        within = torch.arange(int(counts.sum())) - (counts.cumsum(0) - counts).repeat_interleave(counts)
        at = self._starts[position].repeat_interleave(counts) + within
        columns = None if self._columns is None else self._columns[at].long().to(device)
        return TeacherOutput(
            SoftTargets(self._scores[at].to(device), columns),
            lambda: self._right[at].to(device),
            lambda: self._likelihood[at].to(device),
        )


def _require_room(first: SoftTargets, batches: int) -> None:
    sizes = (first.scores.nbytes, 0 if first.columns is None else first.columns.nbytes // 2)
    needed, free = sum(sizes) * batches, shutil.disk_usage(tempfile.gettempdir()).free
    if needed > SHARE * free:
        have = f"would take {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free in {tempfile.gettempdir()}"
        raise ConfigError(f"stored teachers: {have}: a smaller top_k, or live teachers")
