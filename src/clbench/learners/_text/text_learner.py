"""Language models: inputs are read, answers are written or chosen among labels."""

import inspect
import math
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clbench.contracts import (
    Batch,
    EvalProtocol,
    Learner,
    LinearLayer,
    Predictions,
    Predictor,
    Samples,
    Task,
    TextLimits,
    TokenScores,
)
from clbench.core.errors import BrokenSamplesError, CheckpointError, ConfigError, DataError
from clbench.learners._text.choices import CHOICES, best_choice, choice_scores, encoded_choices, has_choices, ranked
from clbench.learners._text.tokens import TextTokens, mask_of, padded

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

PASSAGES = 256
"""Held-out passages that a probe reads."""
PASSAGE_TOKENS = 128
"""Where they are cut."""
IGNORED = -100
"""Label of positions that do not count in a loss, as `torch.nn.functional.cross_entropy` has it."""


class TextLearner(Learner):
    """A model of transformers that answers texts with texts; subclasses know where the answer's scores come from.

    The loss is the mean negative log-likelihood of the answers' tokens, their end mark included. Class scores
    (`logits`) are the log-likelihoods of the labels, again with the end mark.

    Samples have `input` and `answer` (token ids, padded) and, where answers are classes, `label`; choices of their own
    are in `clbench.learners._text.choices`.

    Args:
        name: As in a suite.
        module: A model of transformers that can `generate`.
        tokens: Texts to tokens and back.
        held_out: Plain text that the model was not trained on, Parquet with a column `text`; for `probe`.
    """

    def __init__(self, name: str, module: nn.Module, tokens: TextTokens, held_out: Path | None = None) -> None:
        super().__init__(name, module.eval())
        self._held_out = held_out
        self._model: Any = module  # what transformers' models have besides nn.Module has no common type
        self._tokens = tokens
        self._labels: dict[tuple[str, ...], Batch] = {}

    def encode(self, rows: "Dataset", task: Task) -> Samples:
        """Token ids `input` and `answer`, `label`, and the texts that scores read.

        Raises:
            ConfigError: For a task without limits, with a label that is longer than answers may be, or where tokens
                have no embedding.
            BrokenSamplesError: For empty texts.
            DataError: For a label outside the task's classes.
        """
        limits = self._checked_limits(task)
        texts, answers = [[text or "" for text in rows[name][:]] for name in ("text", "answer")]
        empty = [i for i, pair in enumerate(zip(texts, answers, strict=True)) if not all(map(str.strip, pair))]
        if empty:
            what = "answer" if texts[empty[0]].strip() else "text"
            raise BrokenSamplesError(f"sample {rows['sample_id'][empty[0]]!r} has an empty {what}", empty)
        tensors = {
            **padded("input", self._tokens.inputs(texts, limits.input_tokens, limits.cut), limits.input_tokens),
            **padded("answer", self._tokens.answers(answers, limits.answer_tokens), limits.answer_tokens),
        }
        known = self._model.get_input_embeddings().weight.shape[0]
        largest = max(int(tensors[name].max()) for name in ("input", "answer") if tensors[name].numel())
        if largest >= known:
            raise ConfigError(
                f"learner {self.name}: its tokenizer gave token {largest}, its embedding ends at {known - 1}:"
                " they do not belong together"
            )
        if task.classes:
            tensors["label"] = _labels_of(rows, task)
        if CHOICES in rows.column_names:
            tensors |= encoded_choices(rows, task, self._tokens, limits)
        ids = pa.array(rows["sample_id"][:], pa.string())
        return Samples(ids, tensors, truth={"source": pa.array(texts), "answer": pa.array(answers)})

    def loss(self, batch: Batch, task: Task) -> Tensor:
        """Mean negative log-likelihood of the answers' tokens, a scalar."""
        return self._loss(batch)

    def weight(self, batch: Batch, answers_only: bool = True) -> Tensor:
        """The tokens of answers."""
        return batch["answer.width"].sum()

    def _loss(self, batch: Batch) -> Tensor:
        targets = batch["answer"].long().masked_fill(~mask_of(batch, "answer"), IGNORED)
        return F.cross_entropy(self.answer_logits(batch).float().flatten(0, 1), targets.flatten())

    def token_logits(self, batch: Batch, task: Task, answers_only: bool = False) -> TokenScores:
        """Scores of the tokens of answers; of those of inputs, too, in models that write them (subclasses).

        Padding is left out: to score the vocabulary costs more than to wait for the device once.
        """
        mask = mask_of(batch, "answer")
        return TokenScores(self.answer_logits(batch)[mask], batch["answer"].long()[mask], mask.nonzero()[:, 0])

    def output_space(self) -> str:
        """What token ids mean, and how many columns their scores have."""
        return f"{self._tokens.digest()} x {self._model.get_output_embeddings().weight.shape[0]}"

    def logits(self, batch: Batch, tasks: Sequence[Task]) -> Tensor:
        """Log-likelihood of each label of `tasks` as the answer, `(n, classes)`, at most 0.

        Raises:
            ConfigError: For tasks whose answers are no classes.
        """
        for task in tasks:
            if not task.classes:
                raise ConfigError(f"task {task.name!r}: answers are free texts, and what is asked for needs classes")
        return self.label_scores(batch, self._label_tokens(tasks))

    def loss_from_logits(self, logits: Tensor, label: Tensor, tasks: Sequence[Task]) -> Tensor:
        """`loss` of samples whose answers are classes, from `logits`: no softmax over labels, so other labels are free.

        So a method that asks for class scores trains what `loss` trains: to say the answer, and not to rank labels.
        """
        widths = self._label_tokens(tasks)["answer.width"]
        return -logits.gather(1, label.unsqueeze(1)).sum() / widths[label].sum()

    def predictor(self, tasks: Sequence[Task], protocols: Sequence[EvalProtocol]) -> Predictor:
        """Greedy decoding for `open`; the likeliest label (or choice of the sample's own) for `task-id` and `union`."""
        spans = _spans(tasks)
        union = [f"{task.name}: {name}" for task in tasks for name in task.classes]

        def predict(batch: Batch, task: Task) -> Mapping[EvalProtocol, Predictions]:
            found: dict[EvalProtocol, Predictions] = {}
            start, end = spans[task.name]
            batch = self.read(batch)
            if "union" in protocols:
                logits = self.logits(batch, tasks)
                found["union"] = _likeliest(logits, batch["label"] + start, union)
                found["task-id"] = _likeliest(logits[:, start:end], batch["label"], task.classes)
            elif "task-id" in protocols and task.classes:
                found["task-id"] = _likeliest(self.logits(batch, [task]), batch["label"], task.classes)
            elif "task-id" in protocols and has_choices(batch):
                scores = choice_scores(batch, self.answer_logits)
                found["task-id"] = best_choice(batch, ranked(batch, scores, task), scores)
            written = [protocol for protocol in protocols if protocol not in found]
            if written:
                watch = ScoreWatch(len(batch["input"]), self.device)
                ids = self.generate(batch, self._checked_limits(task).answer_tokens, watch)
                found |= dict.fromkeys(written, Predictions(self._tokens.texts(ids), finite=watch.finite))
            return found

        return predict

    def ensemble(self, other: Learner, tasks: Sequence[Task], protocols: Sequence[EvalProtocol]) -> Predictor:
        """Mean probability of each label or choice, or of each next token where answers are written."""
        if not isinstance(other, TextLearner):
            raise ConfigError(f"{self.name}: its predictions cannot be averaged with those of {other.name}")
        spans = _spans(tasks)
        union = [f"{task.name}: {name}" for task in tasks for name in task.classes]

        def mean_of(batch: Batch, asked: Sequence[Task]) -> Tensor:
            return _log_mean(self.logits(batch, asked), other.logits(batch, asked))

        def predict(batch: Batch, task: Task) -> Mapping[EvalProtocol, Predictions]:
            found: dict[EvalProtocol, Predictions] = {}
            if "union" in protocols:
                found["union"] = _likeliest(mean_of(batch, tasks), batch["label"] + spans[task.name][0], union)
            if "task-id" in protocols and task.classes:
                found["task-id"] = _likeliest(mean_of(batch, [task]), batch["label"], task.classes)
            elif "task-id" in protocols and has_choices(batch):
                both = [choice_scores(batch, learner.answer_logits) for learner in (self, other)]
                ranks = [ranked(batch, scores, task) for scores in both]
                found["task-id"] = best_choice(batch, _log_mean(*ranks), _log_mean(*both))
            written = [protocol for protocol in protocols if protocol not in found]
            if written:
                watch = ScoreWatch(len(batch["input"]), self.device)
                ids = self._written_with(other, batch, self._checked_limits(task).answer_tokens, watch)
                found |= dict.fromkeys(written, Predictions(self._tokens.texts(ids), finite=watch.finite))
            return found

        return predict

    def _written_with(self, other: "TextLearner", batch: Batch, limit: int, watch: "ScoreWatch") -> Tensor:
        """Greedy decoding by the mean of two models' probabilities, token ids `(n, at most limit)`.

        Every token is scored anew, without a cache of keys and values: answers are short.
        """
        n = len(batch["input"])
        written = torch.zeros((n, 0), dtype=torch.int64, device=self.device)
        ended = torch.zeros(n, dtype=torch.bool, device=self.device)
        while written.shape[1] < limit and not bool(ended.all()):
            width = written.shape[1] + 1
            asked = {
                **{name: tensor for name, tensor in batch.items() if name.startswith("input")},
                "answer": F.pad(written, (0, 1)),
                "answer.width": torch.full((n,), width, dtype=torch.int32, device=self.device),
            }
            scores = [learner.answer_logits(asked)[:, -1] for learner in (self, other)]
            token = watch(written, _log_mean(*scores)).argmax(dim=-1)
            ended |= token == self._tokens.end
            written = torch.cat([written, token.unsqueeze(1)], dim=1)
        return written

    def state_dict(self) -> dict[str, Tensor]:
        """The weights, by name, each once: an embedding that is shared has several names in the module."""
        return {name: p.data for name, p in self.module.named_parameters()}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Copy weights in; names and shapes must be those of `state_dict`."""
        own = self.state_dict()
        if own.keys() != state.keys():
            raise CheckpointError(f"{self.name}: other weights: {min(own.keys() ^ state.keys())}")
        for name, tensor in own.items():
            tensor.copy_(state[name])

    @torch.no_grad()
    def probe(self) -> dict[str, float]:
        """`perplexity` on held-out plain text where the model comes with some: what is kept of what it knew before.

        exp of the mean negative log-likelihood of a token, over the first passages, asked as in pre-training.
        """
        if self._held_out is None:
            return {}
        self.module.eval()
        total = torch.zeros(2, device=self.device, dtype=torch.float64)
        for index in range(0, len(self._plain), self.test_batch):
            batch = self._plain.batch(slice(index, index + self.test_batch))
            tokens = batch["answer.width"].sum()
            with self.autocast():
                total += torch.stack([self._loss(batch).double() * tokens, tokens.double()])
        return {"perplexity": float((total[0] / total[1]).exp())}

    def language_model(self) -> "tuple[nn.Module, PreTrainedTokenizerBase]":
        """Model and tokenizer."""
        from transformers import PreTrainedTokenizerBase

        tokenizer = self._tokens.tokenizer
        if not isinstance(tokenizer, PreTrainedTokenizerBase):  # bytes, of a model with random weights
            return super().language_model()
        return self.module, tokenizer

    @cached_property
    def _plain(self) -> Samples:
        """Held-out passages as inputs and answers, on the device."""
        import pyarrow.parquet as pq

        assert self._held_out is not None
        passages = pq.read_table(self._held_out)["text"].slice(0, PASSAGES).to_pylist()
        texts, answers = zip(*map(self.asked_as_in_pretraining, passages), strict=True)
        inputs = self._tokens.inputs(texts, PASSAGE_TOKENS)
        rows = self._tokens.answers(answers, PASSAGE_TOKENS)
        tensors = {**padded("input", inputs, PASSAGE_TOKENS), **padded("answer", rows, PASSAGE_TOKENS)}
        ids = pa.array([str(number) for number in range(len(rows))])
        return Samples(ids, {name: tensor.to(self.device) for name, tensor in tensors.items()}, self.device)

    @cached_property
    def _cache(self) -> str:
        """What the installed transformers calls the keys and values that a model keeps, asked for and given back."""
        return "cache" if "cache" in inspect.signature(self._model.forward).parameters else "past_key_values"

    @abstractmethod
    def asked_as_in_pretraining(self, passage: str) -> tuple[str, str]:
        """Plain text as an input and the answer that pre-training has taught."""

    def read(self, batch: Batch) -> Batch:
        """What the answers' scores and the decoding have in common, computed once and put beside the batch."""
        return batch

    @abstractmethod
    def answer_logits(self, batch: Batch) -> Tensor:
        """Scores of the vocabulary at each position of the answers, `(n, width, vocabulary)`, with gradient."""

    @abstractmethod
    def label_scores(self, batch: Batch, labels: Batch) -> Tensor:
        """Log-likelihood of each of some answers for each input `(n, answers)`.

        Args:
            batch: Inputs.
            labels: `answer` `(answers, width)` and its widths.
        """

    @abstractmethod
    def generate(self, batch: Batch, limit: int, watch: "ScoreWatch | None" = None) -> Tensor:
        """Greedily decoded token ids `(n, at most limit)`; whatever follows the end mark.

        Args:
            batch: Inputs.
            limit: Tokens at most.
            watch: Shown the scores of every token.
        """

    def _checked_limits(self, task: Task) -> TextLimits:
        """The task's limits; its labels are checked against them.

        Raises:
            ConfigError: When there are none, or a label is too long.
        """
        if task.limits is None:
            raise ConfigError(f"task {task.name!r}: {self.name} is a language model and needs a stream of texts")
        for name in task.classes:
            size = len(self._tokens.answers([name], 1 << 20)[0])
            if size > task.limits.answer_tokens:
                room = f"limits.answer_tokens must be at least {size}, got {task.limits.answer_tokens}"
                raise ConfigError(f"task {task.name!r}: {room}: label {name!r} has {size} tokens with its end mark")
        return task.limits

    def _label_tokens(self, tasks: Sequence[Task]) -> Batch:
        """The labels of tasks as a batch of answers, kept on the device."""
        names = tuple(name for task in tasks for name in task.classes)
        if names not in self._labels:
            rows = self._tokens.answers(names, 1 << 20)
            tokens = padded("answer", rows, max(map(len, rows)))
            self._labels[names] = {name: tensor.to(self.device) for name, tensor in tokens.items()}
        return self._labels[names]


class ScoreWatch:
    """Whether tokens had a likeliest one at all: called with the scores of each, as transformers calls its processors.

    Args:
        n: Samples.
        device: Where scores are.
    """

    def __init__(self, n: int, device: torch.device) -> None:
        self.finite = torch.ones(n, dtype=torch.bool, device=device)
        """Of which samples the largest score was a number so far, `(n,)`."""

    def __call__(self, written: Tensor, scores: Tensor) -> Tensor:
        """The scores `(n, vocabulary)` as they are; minus infinity rules a token out, NaN and infinity are told."""
        self.finite &= scores.amax(dim=-1).isfinite()
        return scores


def log_likelihoods(first: Tensor, rest: Tensor, labels: Batch) -> Tensor:
    """Sum of the log-probabilities of the answers' tokens `(n, answers)`.

    Args:
        first: Scores of each input's first answer token, `(n, vocabulary)`.
        rest: Scores of the later ones, `(n, answers, width - 1, vocabulary)`.
        labels: `answer` `(answers, width)` and its widths.
    """
    answer, mask = labels["answer"].long(), mask_of(labels, "answer")
    found = first.float().log_softmax(dim=-1)[:, answer[:, 0]]
    later = answer[:, 1:, None].expand(len(first), *answer[:, 1:].shape, 1)
    scores = rest.float().log_softmax(dim=-1).gather(-1, later).squeeze(-1)
    return found + (scores * mask[:, 1:]).sum(dim=-1)


def linear_layers_of(
    module: nn.Module, blocks: re.Pattern[str], roles: Mapping[str, str], cross: str = ""
) -> tuple[LinearLayer, ...]:
    """The linear layers of a transformer's blocks; a head that shares its weights with the embedding is none of them.

    Args:
        module: The model.
        blocks: Finds a layer's block, group `block`, and its tower, group `tower` (`decoder` if it has none).
        roles: Role by the last part of a layer's name.
        cross: What in the name of a layer tells that it reads an encoder; nothing if empty.
    """
    found = []
    for name, layer in module.named_modules():
        place = blocks.search(name)
        if isinstance(layer, nn.Linear) and place:
            role = roles.get(name.rpartition(".")[2], "other")
            prefix = "cross_" if cross and cross in name else ""
            tower = place.groupdict().get("tower") or "decoder"
            found.append(LinearLayer(name, prefix + role, tower, int(place["block"])))
    return tuple(found)


def _likeliest(logits: Tensor, target: Tensor, names: Sequence[str]) -> Predictions:
    confidence, prediction = logits.softmax(dim=-1).max(dim=-1)
    return Predictions(prediction, target, names, correct=prediction == target, confidence=confidence)


def _log_mean(one: Tensor, two: Tensor) -> Tensor:
    """Logarithm of the mean of two models' probabilities, from scores of the same shape."""
    return torch.logaddexp(one.float().log_softmax(dim=-1), two.float().log_softmax(dim=-1)) - math.log(2)


def _spans(tasks: Sequence[Task]) -> dict[str, tuple[int, int]]:
    """Where each task's classes are among those of all."""
    spans: dict[str, tuple[int, int]] = {}
    start = 0
    for task in tasks:
        spans[task.name] = (start, start := start + len(task.classes))
    return spans


def _labels_of(rows: "Dataset", task: Task) -> Tensor:
    labels = torch.tensor(rows["label"][:], dtype=torch.int64)
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(task.classes):
        got = f"{int(labels.min())} to {int(labels.max())}"
        raise DataError(f"task {task.name!r}: labels must be 0 to {len(task.classes) - 1}, got {got}")
    return labels
