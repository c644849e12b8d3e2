"""What a teacher says of a batch, unit by unit, and how far a student is from it; live or stored beforehand."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import psutil
import torch
from torch import Tensor

from clbench.contracts import Batch, Samples, Units
from clbench.errors import ConfigError

SHARE = 0.5
"""What stored lessons may take of the computer's free memory."""
LEAST = 1e-6
"""Probabilities of what is not stored are not taken for smaller: they are differences from 1 in float32."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """A teacher's word on `units`.

    Attributes:
        log_p: `(units, vocabulary)` log-probabilities at the temperature of the distillation; or `(units, k)`, those
            of the likeliest columns.
        columns: `(units, k)` int64, which ones these are; None where all are there.
        right: `(units,)` bool, whether the likeliest column is the target.
        likelihood: `(units,)` log-probability of the target at temperature 1.
    """

    log_p: Tensor
    columns: Tensor | None
    right: Tensor
    likelihood: Tensor


@torch.no_grad()
def lesson_of(units: Units, temperature: float, top_k: int | None = None) -> Lesson:
    """What a teacher's scores say; all of it, or of its likeliest `top_k` columns."""
    logits = units.logits.float()
    log_p, columns = (logits / temperature).log_softmax(dim=-1), None
    if top_k is not None and top_k < logits.shape[1]:
        log_p, columns = log_p.topk(top_k, dim=-1)
    return Lesson(log_p, columns, logits.argmax(dim=-1) == units.target, likelihood_of(units))


def likelihood_of(units: Units) -> Tensor:
    """Log-probability of each unit's target, `(units,)`."""
    logits = units.logits.float()
    picked = logits.gather(1, units.target.unsqueeze(1)).squeeze(1)
    return picked - logits.logsumexp(dim=-1)


def chosen(mask: Tensor, one: Lesson, two: Lesson) -> Lesson:
    """The first lesson for units where `mask` `(units,)` is true, else the second."""
    wide = mask.unsqueeze(1)
    columns = None if one.columns is None or two.columns is None else torch.where(wide, one.columns, two.columns)
    right, likelihood = (
        torch.where(mask, *pair) for pair in ((one.right, two.right), (one.likelihood, two.likelihood))
    )
    return Lesson(torch.where(wide, one.log_p, two.log_p), columns, right, likelihood)


def divergence(student: Tensor, lesson: Lesson, temperature: float) -> Tensor:
    """KL(teacher || student) of each unit at a temperature, `(units,)`, without its square as a factor.

    Where the lesson has the likeliest columns only, all others together are one more: the result is at most that of
    the whole vocabulary (data processing inequality), and equal to it where nothing is left out.

    Args:
        student: Scores `(units, vocabulary)`, with gradient.
        lesson: The teacher's.
        temperature: As in the lesson.
    """
    log_q, log_p = (student.float() / temperature).log_softmax(dim=-1), lesson.log_p
    if lesson.columns is None:
        return (log_p.exp() * (log_p - log_q)).sum(dim=-1)
    log_q = log_q.gather(1, lesson.columns)
    rest_p, rest_q = ((1 - part.exp().sum(dim=-1)).clamp(min=LEAST) for part in (log_p, log_q))
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1) + rest_p * (rest_p.log() - rest_q.log())


class StoredLessons:
    """The lessons of all training samples of a task, computed once and kept in the computer's memory.

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
        self, teach: Callable[[Batch], Units], samples: Samples, size: int, temperature: float, top_k: int | None
    ) -> None:
        parts: list[Lesson] = []
        counts: list[Tensor] = []
        for start in range(0, len(samples), size):
            batch = samples.batch(slice(start, start + size))
            units = teach(batch)
            lesson = lesson_of(units, temperature, top_k)
            if not parts:
                _require_room(lesson, math.ceil(len(samples) / size))
            counts.append(units.sequence.bincount(minlength=min(size, len(samples) - start)).cpu())
            columns = None if lesson.columns is None else lesson.columns.cpu().int()
            parts.append(Lesson(lesson.log_p.cpu(), columns, lesson.right.cpu(), lesson.likelihood.cpu()))
        self._counts = torch.cat(counts)
        self._starts = self._counts.cumsum(0) - self._counts
        self._log_p = torch.cat([part.log_p for part in parts])
        self._columns = torch.cat([part.columns for part in parts if part.columns is not None] or [torch.empty(0)])
        self._right = torch.cat([part.right for part in parts])
        self._likelihood = torch.cat([part.likelihood for part in parts])

    def of(self, position: Tensor, device: torch.device) -> Lesson:
        """The lesson of the samples at `position` `(n,)`, unit after unit as their batch has them."""
        position = position.cpu()
        counts = self._counts[position]
        within = torch.arange(int(counts.sum())) - (counts.cumsum(0) - counts).repeat_interleave(counts)
        at = self._starts[position].repeat_interleave(counts) + within
        columns = self._columns[at].long().to(device) if len(self._columns) else None
        return Lesson(self._log_p[at].to(device), columns, self._right[at].to(device), self._likelihood[at].to(device))


def _require_room(first: Lesson, batches: int) -> None:
    sizes = (first.log_p.nbytes, 0 if first.columns is None else first.columns.nbytes // 2)
    needed, free = sum(sizes) * batches, psutil.virtual_memory().available
    if needed > SHARE * free:
        have = f"would take {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free"
        raise ConfigError(f"stored teachers: {have}: a smaller top_k, or live teachers")
