"""Multiple choice with choices for each sample: a language model chooses the most likely one."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from clbench.contracts import Batch, Predictions, Task, TextLimits
from clbench.core.errors import DataError
from clbench.learners._text.tokens import TextTokens, mask_of, padded
from clbench.spec.task import choice_name

if TYPE_CHECKING:
    from datasets import Dataset

CHOICES = "choices"


def encoded_choices(rows: "Dataset", task: Task, tokens: TextTokens, limits: TextLimits) -> dict[str, Tensor]:
    """Choices as padded token ids `choice.0`, `choice.1`, ..., their lengths `choice.0.characters`, ..., and `label`.

    Args:
        rows: Rows with columns `choices`, `label` and `sample_id`.
        task: The task that the rows belong to.
        tokens: Converts texts to tokens.
        limits: Length limits of the task.

    Raises:
        DataError: When a row has fewer than two choices, another number of choices than the first row, or a label that
            is not one of them.
    """
    found: list[list[str]] = rows[CHOICES][:]
    count, labels = len(found[0]), rows["label"][:]
    for name, choices, label in zip(rows["sample_id"], found, labels, strict=True):
        if len(choices) != count or count < 2 or not 0 <= label < count:
            got = f"{len(choices)} choices and label {label}"
            raise DataError(
                f"task {task.name!r}: sample {name!r}: wanted {max(count, 2)} choices, one right, got {got}"
            )
    tensors: dict[str, Tensor] = {"label": torch.tensor(labels, dtype=torch.int64)}
    for number in range(count):
        texts = [choices[number] for choices in found]
        rows_of_ids = tokens.answers(texts, limits.answer_tokens)
        tensors |= padded(f"choice.{number}", rows_of_ids, limits.answer_tokens)
        tensors[f"choice.{number}.characters"] = torch.tensor([max(len(text), 1) for text in texts])
    return tensors


def choice_scores(batch: Batch, answer_logits: Callable[[Batch], Tensor]) -> Tensor:
    """Log-likelihood of each choice after its input, `(n, choices)`, without the end mark.

    This is the definition of lm-evaluation-harness; it is fair to a choice that is the beginning of another one.

    Args:
        batch: Inputs with choices, as `encoded_choices` made them.
        answer_logits: Gives the scores of the vocabulary at each position of a batch's `answer`.
    """
    scores = []
    for number in _numbers(batch):
        asked = {**batch, "answer": batch[f"choice.{number}"], "answer.width": batch[f"choice.{number}.width"]}
        logits = answer_logits(asked).float()
        words = asked["answer.width"].unsqueeze(1) - 1
        counts = mask_of(asked, "answer") & (torch.arange(logits.shape[1], device=logits.device) < words)
        costs = F.cross_entropy(logits.flatten(0, 1), asked["answer"].long().flatten(), reduction="none")
        scores.append(-(costs.view(counts.shape) * counts).sum(dim=1))
    return torch.stack(scores, dim=1)


def ranked(batch: Batch, scores: Tensor, task: Task) -> Tensor:
    """The values that choices are ranked by, `(n, choices)`: log-likelihoods, divided by characters under `acc_norm`.

    Args:
        batch: Batch with choices.
        scores: Log-likelihoods `(n, choices)`.
        task: The task, whose metric decides.
    """
    if task.metric != "acc_norm":
        return scores
    return scores / torch.stack([batch[f"choice.{number}.characters"] for number in _numbers(batch)], dim=1)


def best_choice(batch: Batch, ranks: Tensor, scores: Tensor) -> Predictions:
    """The choice with the highest rank; its confidence is its share of the total likelihood.

    Args:
        batch: Batch with choices.
        ranks: Values that choices are ranked by, `(n, choices)`.
        scores: Log-likelihoods `(n, choices)`, up to a constant per sample.
    """
    prediction = ranks.argmax(dim=1)
    confidence = scores.softmax(dim=1).gather(1, prediction.unsqueeze(1)).squeeze(1)
    names = [choice_name(number) for number in _numbers(batch)]
    return Predictions(prediction, batch["label"], names, correct=prediction == batch["label"], confidence=confidence)


def has_choices(batch: Batch) -> bool:
    """Whether the samples of a batch have choices."""
    return "choice.0" in batch


def _numbers(batch: Batch) -> Iterator[int]:
    number = 0
    while f"choice.{number}" in batch:
        yield number
        number += 1
