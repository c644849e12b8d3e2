"""The CLIP family: images classified by the text of their class names."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch
import torch.nn.functional as F
from open_clip import CLIP
from open_clip.transformer import text_global_pool
from torch import Tensor, nn

from clbench.contracts import (
    Batch,
    ClassScores,
    EvalProtocol,
    Learner,
    LinearLayer,
    Predictions,
    Predictor,
    Samples,
    Task,
)
from clbench.core.errors import ConfigError
from clbench.learners._clip.decoding import decode_images
from clbench.learners._clip.split_attention import split_fused_attention
from clbench.learners._shared.classes import class_spans, labels_of, most_likely, union_names
from clbench.learners._shared.image_format import ImageFormat, Normalization
from clbench.learners._shared.random_views import random_resized_crop

if TYPE_CHECKING:
    from datasets import Dataset

TEXT_CHUNK = 512
"""Prompts that are encoded at a time without gradient; it bounds the memory for a thousand classes."""

ROLES = {"q_proj": "q", "k_proj": "k", "v_proj": "v", "out_proj": "out", "c_fc": "up", "c_proj": "down"}


class ClipLearner(ClassScores, Learner):
    """An open_clip model as a classifier over class names (Radford et al. 2021, section 3.1).

    Fused attention projections are split into plain linear layers; outputs stay the same to round-off. The logit scale
    is not trained: with a softmax over the few classes of one task it would drift to fit that task alone.

    Args:
        name: Name of the learner in a suite.
        model: An `open_clip.CLIP`, or another open_clip model with the same methods.
        tokenizer: Converts n texts to `(n, context)` int64 tokens.
        image_format: Size and normalisation of images.
    """

    def __init__(
        self, name: str, model: nn.Module, tokenizer: Callable[[Sequence[str]], Tensor], image_format: ImageFormat
    ) -> None:
        split_fused_attention(model)
        super().__init__(name, model.eval())
        self._clip: Any = model  # open_clip has no types
        self._tokenizer = tokenizer
        self._size = image_format.size
        self._normalization = Normalization(image_format)
        self._tokens: dict[tuple[str, ...], Tensor] = {}

    def encode(self, rows: "Dataset", task: Task) -> Samples:
        """Images `image` `(n, 3, size, size)` uint8 and `label` `(n,)` int64."""
        check_prompts(task)
        labels = labels_of(rows, task)
        ids = pa.array(rows["sample_id"][:], pa.string())
        return Samples(ids, {"image": decode_images(rows, self._size), "label": labels})

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """CLIP's training view: a random crop of 0.9 to 1 of the image's area."""
        return {**batch, "image": random_resized_crop(self._normalise(batch["image"]), generator)}

    def loss(self, batch: Batch, task: Task) -> Tensor:
        """Cross-entropy of each image over the class names of its task."""
        return F.cross_entropy(self.logits(batch, [task]), batch["label"])

    def logits(self, batch: Batch, tasks: Sequence[Task]) -> Tensor:
        """Scaled cosine of each image with each class name of `tasks` (first template), `(n, classes)`."""
        prompts = tuple(filled(task.templates[0], name) for task in tasks for name in task.classes)
        return self._logits(self.image_features(batch), self.text_features(prompts))

    def unlearnt_logits(self, batch: Batch, tasks: Sequence[Task]) -> Tensor:
        """`logits`: a class is known by its name."""
        return self.logits(batch, tasks)

    def predictor(self, tasks: Sequence[Task], protocols: Sequence[EvalProtocol]) -> Predictor:
        """Predict the nearest class name, by text features that are the mean over all templates of a task."""
        return _predictor([self.class_scorer(tasks)], tasks, protocols)

    def ensemble(self, other: Learner, tasks: Sequence[Task], protocols: Sequence[EvalProtocol]) -> Predictor:
        """Predict by the mean probability of each class.

        Args:
            other: The second learner.
            tasks: All tasks that may be tested.
            protocols: The protocols that every prediction is wanted under.
        """
        if not isinstance(other, ClipLearner):
            raise ConfigError(f"{self.name}: its predictions cannot be averaged with those of {other.name}")
        return _predictor([self.class_scorer(tasks), other.class_scorer(tasks)], tasks, protocols)

    def output_space(self) -> str:
        """Samples are images of one size, and outputs are classes, whatever the tokenizer."""
        return f"images of {self._size} pixels"

    def class_scorer(self, tasks: Sequence[Task]) -> Callable[[Batch], Tensor]:
        """A function that scores all classes of `tasks`, `(n, classes)`; text features are encoded here, once."""
        with torch.no_grad():
            features = torch.cat([self._class_features(task) for task in tasks])
        return lambda batch: self._logits(self.image_features(batch), features).float()

    def linear_layers(self) -> tuple[LinearLayer, ...]:
        """The projections of attention and MLP in both towers."""
        found = []
        for name, module in self.module.named_modules():
            block = re.search(r"(?:resblocks|blocks|layers?)\.(\d+)\.", name)
            if isinstance(module, nn.Linear) and block:
                role = ROLES.get(name.rpartition(".")[2], "other")
                tower = "vision" if name.startswith("visual.") else "text"
                found.append(LinearLayer(name, role, tower, int(block.group(1))))
        return tuple(found)

    def counted_module(self) -> nn.Module:
        """The image encoder: passes are counted in images. Texts of class names are left out."""
        found: nn.Module = self._clip.visual
        return found

    def checkpoint_blocks(self, on: bool) -> None:
        """By open_clip, for every block of both towers."""
        self._clip.set_grad_checkpointing(on)

    def trainable(self) -> dict[str, nn.Parameter]:
        """All weights but the logit scale and bias."""
        return {name: p for name, p in self.module.named_parameters() if name not in ("logit_scale", "logit_bias")}

    def image_features(self, batch: Batch) -> Tensor:
        """Unit image features `(n, embedding)`."""
        return F.normalize(self._clip.encode_image(self._normalise(batch["image"])), dim=-1)

    def text_features(self, prompts: tuple[str, ...]) -> Tensor:
        """Unit text features `(prompts, embedding)`."""
        return F.normalize(self.encode_text(self.tokenise(prompts)), dim=-1)

    def _class_features(self, task: Task) -> Tensor:
        """Unit text features `(classes, embedding)`, the normalised mean over the task's templates."""
        prompts = tuple(filled(template, name) for name in task.classes for template in task.templates)
        chunks = [self.encode_text(chunk) for chunk in self.tokenise(prompts).split(TEXT_CHUNK)]
        features = F.normalize(torch.cat(chunks), dim=-1).unflatten(0, (len(task.classes), len(task.templates)))
        return F.normalize(features.mean(dim=1), dim=-1)

    def _logits(self, image: Tensor, text: Tensor) -> Tensor:
        # In full precision under autocast, too: at a scale of 100, scores in bfloat16 are rounded to eighths or worse.
        wide = torch.promote_types(image.dtype, torch.float32)
        with torch.autocast(image.device.type, enabled=False):
            logits: Tensor = self._clip.logit_scale.exp() * image.to(wide) @ text.to(wide).T
        return logits

    def _normalise(self, images: Tensor) -> Tensor:
        """Images as the model reads them; `augment` returns floating-point images that are already normalised."""
        return images if images.is_floating_point() else self._normalization(images)

    def tokenise(self, prompts: tuple[str, ...]) -> Tensor:
        """Tokens of prompts `(n, length)`, cut to the longest of them and cached on the device."""
        if prompts not in self._tokens:
            tokens = self._tokenizer(list(prompts))
            if isinstance(self.module, CLIP) and self._clip.text_pool_type == "argmax":
                tokens = tokens[:, : int(tokens.argmax(dim=-1).max()) + 1]
            self._tokens[prompts] = tokens.to(self.device)
        return self._tokens[prompts]

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Text features `(n, embedding)` of tokens `(n, length)`, without computing padding.

        Attention is causal and the feature is read at the end-of-text token, so positions after the last such token
        change nothing: for class names, about 10 of 77 positions remain.
        """
        model = self._clip
        features: Tensor
        if not isinstance(model, CLIP) or model.text_pool_type != "argmax":
            features = model.encode_text(tokens)
            return features
        length = tokens.shape[1]
        x = model.token_embedding(tokens) + model.positional_embedding[:length]
        x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
        features = text_global_pool(x, tokens, "argmax")
        if isinstance(model.text_projection, nn.Linear):
            features = model.text_projection(features)
        elif model.text_projection is not None:
            features = features @ model.text_projection
        return features


def _predictor(
    scorers: Sequence[Callable[[Batch], Tensor]], tasks: Sequence[Task], protocols: Sequence[EvalProtocol]
) -> Predictor:
    """Predictions by the scores of one model, or by the mean probability of several."""
    spans, union = class_spans(tasks), union_names(tasks)

    def predict(batch: Batch, task: Task) -> Mapping[EvalProtocol, Predictions]:
        logits = [scorer(batch) for scorer in scorers]
        start, end = spans[task.name]
        own = _mean_probability([part[:, start:end] for part in logits])
        views: dict[EvalProtocol, Predictions] = {
            "task-id": most_likely(own, batch["label"], task.classes),
            "union": most_likely(_mean_probability(logits), batch["label"] + start, union),
        }
        return {protocol: views[protocol] for protocol in protocols}

    return predict


def _mean_probability(logits: Sequence[Tensor]) -> Tensor:
    parts = [part.softmax(dim=-1) for part in logits]
    return sum(parts[1:], parts[0]) / len(parts)


def filled(template: str, name: str) -> str:
    """A prompt: the template with `{}` replaced by the class name; other braces are text."""
    return template.replace("{}", name)


def check_prompts(task: Task) -> None:
    """Refuse a task that a CLIP model cannot classify.

    Raises:
        ConfigError: When it has no classes or a template without `{}`.
    """
    if not task.classes:
        raise ConfigError(f"task {task.name!r}: a CLIP learner needs class names, got none")
    for template in task.templates:
        if "{}" not in template:
            raise ConfigError(f"task {task.name!r}: template {template!r} has no {{}} for the class name")
