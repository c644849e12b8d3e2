"""Language models: they read inputs, and write answers or choose among labels."""

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
from clbench.core.errors import BrokenSamplesError, CheckpointError, ConfigError
from clbench.learners._shared.classes import class_spans, labels_of, most_likely, union_names
from clbench.learners._text.choices import CHOICES, best_choice, choice_scores, encoded_choices, has_choices, ranked
from clbench.learners._text.tokens import TextTokens, mask_of, padded

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

PASSAGES = 256
"""Number of held-out passages whose perplexity is computed."""
PASSAGE_TOKENS = 128
"""Tokens that passages are cut to."""
UNLIMITED = 1 << 20
"""More tokens than any label has."""
IGNORED = -100
"""Label of positions that `torch.nn.functional.cross_entropy` leaves out."""


class TextLearner(Learner):
    """A model of transformers that answers texts with texts; subclasses compute the scores of answers.

    The loss is the mean negative log-likelihood of the answers' tokens, the end mark included. Class scores (`logits`)
    are the log-likelihoods of the labels, also with the end mark.

    Samples have `input` and `answer` (token ids, padded) and, if answers are classes, `label`. Samples with choices of
    their own also have the tensors of `clbench.learners._text.choices`.

    Args:
        name: Name of the learner in a suite.
        module: A model of transformers that can `generate`.
        tokens: Converts texts to tokens and back.
        held_out: Parquet file of plain text (column `text`) that the model was not trained on, for `general_ability`.
    """

    def __init__(self, name: str, module: nn.Module, tokens: TextTokens, held_out: Path | None = None) -> None:
        super().__init__(name, module.eval())
        self.held_out = held_out
        self._model: Any = module  # what transformers' models have besides nn.Module has no common type
        self.tokens = tokens
        self._labels: dict[tuple[str, ...], Batch] = {}

    def encode(self, rows: "Dataset", task: Task) -> Samples:
        """Token ids `input` and `answer`, `label`, and the texts that scores read.

        Raises:
            ConfigError: For a task without limits, a label that is longer than answers may be, or a token without an
                embedding.
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
            **padded("input", self.tokens.inputs(texts, limits.input_tokens, limits.cut), limits.input_tokens),
            **padded("answer", self.tokens.answers(answers, limits.answer_tokens), limits.answer_tokens),
        }
        known = self._model.get_input_embeddings().weight.shape[0]
        largest = max(int(tensors[name].max()) for name in ("input", "answer") if tensors[name].numel())
        if largest >= known:
            raise ConfigError(
                f"learner {self.name}: its tokenizer gave token {largest}, its embedding ends at {known - 1}:"
                " they do not belong together"
            )
        if task.classes:
            tensors["label"] = labels_of(rows, task)
        if CHOICES in rows.column_names:
            tensors |= encoded_choices(rows, task, self.tokens, limits)
        ids = pa.array(rows["sample_id"][:], pa.string())
        return Samples(ids, tensors, truth={"source": pa.array(texts), "answer": pa.array(answers)})

    def loss(self, batch: Batch, task: Task) -> Tensor:
        """Mean negative log-likelihood of the answers' tokens, a scalar."""
        return self._loss(batch)

    def loss_terms(self, batch: Batch, answers_only: bool = True) -> Tensor:
        """Number of tokens of answers."""
        return batch["answer.width"].sum()

    def _loss(self, batch: Batch) -> Tensor:
        targets = batch["answer"].long().masked_fill(~mask_of(batch, "answer"), IGNORED)
        return F.cross_entropy(self.answer_logits(batch).float().flatten(0, 1), targets.flatten())

    def token_logits(self, batch: Batch, task: Task, answers_only: bool = False) -> TokenScores:
        """Scores of the tokens of answers; subclasses may add those of inputs.

        Padding is left out: scoring the vocabulary costs more than the synchronisation that finds the padding.

        Args:
            batch: The batch, as for `loss`.
            task: Not used.
            answers_only: Not used; only answers are scored here.
        """
        mask = mask_of(batch, "answer")
        return TokenScores(self.answer_logits(batch)[mask], batch["answer"].long()[mask], mask.nonzero()[:, 0])

    def output_space(self) -> str:
        """Hash of the tokenizer, and number of outputs."""
        return f"{self.tokens.digest()} x {self._model.get_output_embeddings().weight.shape[0]}"

    def logits(self, batch: Batch, tasks: Sequence[Task]) -> Tensor:
        """Log-likelihood of each label of `tasks` as the answer, `(n, classes)`, at most 0.

        Raises:
            ConfigError: For tasks whose answers are not classes.
        """
        for task in tasks:
            if not task.classes:
                raise ConfigError(f"task {task.name!r}: answers are free texts, and what is asked for needs classes")
        return self.label_scores(batch, self.label_tokens(tasks))

    def unlearnt_logits(self, batch: Batch, tasks: Sequence[Task]) -> Tensor:
        """`logits`: a class is known by its name."""
        return self.logits(batch, tasks)

    def loss_from_logits(self, logits: Tensor, label: Tensor, tasks: Sequence[Task]) -> Tensor:
        """`loss` of samples whose answers are classes, without a softmax over labels.

        A method that trains on class scores therefore trains what `loss` trains: writing the answer, not ranking
        labels.

        Args:
            logits: Log-likelihoods of all labels of `tasks`, `(n, classes)`.
            label: True classes `(n,)` int64, counted through all tasks.
            tasks: The tasks that the samples belong to.
        """
        widths = self.label_tokens(tasks)["answer.width"]
        return -logits.gather(1, label.unsqueeze(1)).sum() / widths[label].sum()

    def predictor(self, tasks: Sequence[Task], protocols: Sequence[EvalProtocol]) -> Predictor:
        """Greedy decoding for `open`; the most likely label, or choice of the sample, for `task-id` and `union`."""
        spans, union = class_spans(tasks), union_names(tasks)

        def predict(batch: Batch, task: Task) -> Mapping[EvalProtocol, Predictions]:
            found: dict[EvalProtocol, Predictions] = {}
            start, end = spans[task.name]
            batch = self.read(batch)
            if "union" in protocols:
                logits = self.logits(batch, tasks)
                found["union"] = _best_label(logits, batch["label"] + start, union)
                found["task-id"] = _best_label(logits[:, start:end], batch["label"], task.classes)
            elif "task-id" in protocols and task.classes:
                found["task-id"] = most_likely(
                    (self.logits(batch, [task])).softmax(dim=-1), batch["label"], task.classes
                )
            elif "task-id" in protocols and has_choices(batch):
                scores = choice_scores(batch, self.answer_logits)
                found["task-id"] = best_choice(batch, ranked(batch, scores, task), scores)
            written = [protocol for protocol in protocols if protocol not in found]
            if written:
                watch = ScoreWatch(len(batch["input"]), self.device)
                ids = self.generate(batch, self._checked_limits(task).answer_tokens, watch)
                found |= dict.fromkeys(written, Predictions(self.tokens.texts(ids), finite=watch.finite))
            return found

        return predict

    def ensemble(self, other: Learner, tasks: Sequence[Task], protocols: Sequence[EvalProtocol]) -> Predictor:
        """Predict by the mean probability of each label or choice, or of each next token of written answers.

        Args:
            other: The second learner.
            tasks: All tasks that may be tested.
            protocols: The protocols that every prediction is wanted under.
        """
        if not isinstance(other, TextLearner):
            raise ConfigError(f"{self.name}: its predictions cannot be averaged with those of {other.name}")
        spans, union = class_spans(tasks), union_names(tasks)

        def mean_of(batch: Batch, asked: Sequence[Task]) -> Tensor:
            return _log_mean(self.logits(batch, asked), other.logits(batch, asked))

        def predict(batch: Batch, task: Task) -> Mapping[EvalProtocol, Predictions]:
            found: dict[EvalProtocol, Predictions] = {}
            if "union" in protocols:
                found["union"] = most_likely(
                    (mean_of(batch, tasks)).softmax(dim=-1), batch["label"] + spans[task.name][0], union
                )
            if "task-id" in protocols and task.classes:
                found["task-id"] = _best_label(mean_of(batch, [task]), batch["label"], task.classes)
            elif "task-id" in protocols and has_choices(batch):
                both = [choice_scores(batch, learner.answer_logits) for learner in (self, other)]
                ranks = [ranked(batch, scores, task) for scores in both]
                found["task-id"] = best_choice(batch, _log_mean(*ranks), _log_mean(*both))
            written = [protocol for protocol in protocols if protocol not in found]
            if written:
                watch = ScoreWatch(len(batch["input"]), self.device)
                ids = self._generate_with(other, batch, self._checked_limits(task).answer_tokens, watch)
                found |= dict.fromkeys(written, Predictions(self.tokens.texts(ids), finite=watch.finite))
            return found

        return predict

    def _generate_with(self, other: "TextLearner", batch: Batch, limit: int, watch: "ScoreWatch") -> Tensor:
        """Greedy decoding by the mean of two models' probabilities, token ids `(n, at most limit)`.

        Every step scores the whole answer, without a cache of keys and values: answers are short.
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
            ended |= token == self.tokens.end
            written = torch.cat([written, token.unsqueeze(1)], dim=1)
        return written

    def checkpoint_blocks(self, on: bool) -> None:
        """By transformers, for every block; training only."""
        kind = "activation" if hasattr(self._model, "activation_checkpointing_enable") else "gradient"  # before v5
        if on:
            getattr(self._model, f"{kind}_checkpointing_enable")({"use_reentrant": False})
        else:
            getattr(self._model, f"{kind}_checkpointing_disable")()

    def state_dict(self) -> dict[str, Tensor]:
        """The weights, by name, each once: a shared embedding has several names in the module."""
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
    def general_ability(self) -> dict[str, float]:
        """`perplexity` on held-out plain text, if the model comes with some: lower means less of pre-training is lost.

        It is exp of the mean negative log-likelihood of a token over the first passages, posed as in pre-training.
        """
        if self.held_out is None:
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
        """Model and tokenizer.

        Raises:
            ConfigError: For a model with random weights, which reads bytes.
        """
        from transformers import PreTrainedTokenizerBase

        tokenizer = self.tokens.tokenizer
        if not isinstance(tokenizer, PreTrainedTokenizerBase):
            raise ConfigError(f"learner {self.name}: reads bytes; a language model with a tokenizer is needed")
        return self.module, tokenizer

    @cached_property
    def _plain(self) -> Samples:
        """Held-out passages as inputs and answers, on the device."""
        import pyarrow.parquet as pq

        assert self.held_out is not None
        passages = pq.read_table(self.held_out)["text"].slice(0, PASSAGES).to_pylist()
        texts, answers = zip(*map(self.pretraining_pair, passages), strict=True)
        inputs = self.tokens.inputs(texts, PASSAGE_TOKENS)
        rows = self.tokens.answers(answers, PASSAGE_TOKENS)
        tensors = {**padded("input", inputs, PASSAGE_TOKENS), **padded("answer", rows, PASSAGE_TOKENS)}
        ids = pa.array([str(number) for number in range(len(rows))])
        return Samples(ids, {name: tensor.to(self.device) for name, tensor in tensors.items()}, self.device)

    @cached_property
    def _cache(self) -> str:
        """Name of the cache of keys and values in arguments and outputs of the installed transformers."""
        return "cache" if "cache" in inspect.signature(self._model.forward).parameters else "past_key_values"

    @abstractmethod
    def pretraining_pair(self, passage: str) -> tuple[str, str]:
        """Plain text as an input and its answer, in the form of the pre-training task."""

    def read(self, batch: Batch) -> Batch:
        """The batch with what scoring and decoding have in common, such as an encoder's output, computed once."""
        return batch

    @abstractmethod
    def answer_logits(self, batch: Batch) -> Tensor:
        """Scores of the vocabulary at each position of the answers, `(n, width, vocabulary)` with gradient."""

    @abstractmethod
    def label_scores(self, batch: Batch, labels: Batch) -> Tensor:
        """Log-likelihood of every answer for every input, `(n, answers)`.

        Args:
            batch: Batch of n inputs.
            labels: Answers as token ids: `answer` `(answers, width)` and `answer.width` `(answers,)`.
        """

    @abstractmethod
    def generate(self, batch: Batch, limit: int, watch: "ScoreWatch | None" = None) -> Tensor:
        """Greedily decoded token ids `(n, at most limit)`; tokens after the end mark have no meaning.

        Args:
            batch: Batch of n inputs.
            limit: Largest number of tokens.
            watch: Called with the scores of every token.
        """

    def _checked_limits(self, task: Task) -> TextLimits:
        """The task's limits, after its labels are checked against them.

        Raises:
            ConfigError: When the task has no limits, or a label is too long.
        """
        if task.limits is None:
            raise ConfigError(f"task {task.name!r}: {self.name} is a language model and needs a stream of texts")
        for name in task.classes:
            size = len(self.tokens.answers([name], UNLIMITED)[0])
            if size > task.limits.answer_tokens:
                room = f"limits.answer_tokens must be at least {size}, got {task.limits.answer_tokens}"
                raise ConfigError(f"task {task.name!r}: {room}: label {name!r} has {size} tokens with its end mark")
        return task.limits

    def label_tokens(self, tasks: Sequence[Task]) -> Batch:
        """The labels of tasks as a batch of answers, cached on the device."""
        names = tuple(name for task in tasks for name in task.classes)
        if names not in self._labels:
            rows = self.tokens.answers(names, UNLIMITED)
            tokens = padded("answer", rows, max(map(len, rows)))
            self._labels[names] = {name: tensor.to(self.device) for name, tensor in tokens.items()}
        return self._labels[names]


class ScoreWatch:
    """Records whether the scores of decoded tokens are finite; called as a logits processor of transformers.

    Args:
        n: Number of samples.
        device: Device of the scores.
    """

    def __init__(self, n: int, device: torch.device) -> None:
        self.finite = torch.ones(n, dtype=torch.bool, device=device)
        """Whether the largest score of every token so far is finite, bool `(n,)`."""

    def __call__(self, written: Tensor, scores: Tensor) -> Tensor:
        """Return the scores `(n, vocabulary)` unchanged; minus infinity, which excludes a token, is allowed."""
        self.finite &= scores.amax(dim=-1).isfinite()
        return scores


def log_likelihoods(first: Tensor, rest: Tensor, labels: Batch) -> Tensor:
    """Sum of the log-probabilities of the answers' tokens, `(n, answers)`.

    Args:
        first: Scores of the first answer token of each input, `(n, vocabulary)`.
        rest: Scores of the later tokens, `(n, answers, width - 1, vocabulary)`.
        labels: Answers as token ids: `answer` `(answers, width)` and `answer.width` `(answers,)`.
    """
    answer, mask = labels["answer"].long(), mask_of(labels, "answer")
    found = first.float().log_softmax(dim=-1)[:, answer[:, 0]]
    later = answer[:, 1:, None].expand(len(first), *answer[:, 1:].shape, 1)
    scores = rest.float().log_softmax(dim=-1).gather(-1, later).squeeze(-1)
    return found + (scores * mask[:, 1:]).sum(dim=-1)


def linear_layers_of(
    module: nn.Module, blocks: re.Pattern[str], roles: Mapping[str, str], cross: str = ""
) -> tuple[LinearLayer, ...]:
    """The linear layers of a transformer's blocks; the output head, outside the blocks, is not one of them.

    Args:
        module: The model.
        blocks: Pattern that finds the block of a layer (group `block`) and its tower (group `tower`, or `decoder`).
        roles: Roles by the last part of a layer's name.
        cross: Part of the name of layers that read an encoder; empty for models without an encoder.
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


def _best_label(scores: Tensor, target: Tensor, names: Sequence[str]) -> Predictions:
    """Predict the label of the highest score `(n, labels)`."""
    return most_likely(scores.softmax(dim=-1), target, names)


def _log_mean(one: Tensor, two: Tensor) -> Tensor:
    """Logarithm of the mean of two models' probabilities, from scores of the same shape."""
    return torch.logaddexp(one.float().log_softmax(dim=-1), two.float().log_softmax(dim=-1)) - math.log(2)
