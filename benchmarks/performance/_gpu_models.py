"""Models of usual size with random weights, beside the same models in a bare loop."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.performance._training_work import TrainingWork, no_rows
from clbench.benchmarks.performance.overhead import LR, BareClassifier
from clbench.contracts import Budget, Learner, Samples, Task, TextLimits
from clbench.contracts.updating import learn_task
from clbench.learners._clip.clip_learner import ClipLearner
from clbench.learners._text.decoder import DecoderLearner
from clbench.learners._text.encoder_decoder import EncoderDecoderLearner
from clbench.learners._text.loading import ByteTokens, quiet
from clbench.learners._text.tokens import TextTokens
from clbench.strategies._training.optimization import clip_gradient

INPUT, ANSWER = 128, 32
"""Tokens of a text."""
WRITTEN = 16
"""Tokens that are decoded in a test."""
CLASSES = 100


@dataclass(frozen=True)
class Size:
    """How much of everything is done.

    Attributes:
        tiny: Whether models are as small as they can be, to show that the script runs.
        batch: Samples of a batch.
        steps: Steps of an update.
    """

    tiny: bool
    batch: int
    steps: int


@dataclass(frozen=True)
class Work:
    """A model, a batch on the device, and the same model without clbench.

    Attributes:
        learner: The model.
        task: The task of the samples.
        samples: One batch.
        size: How much is done.
        units: Images, or tokens, of the batch in training and in testing, and their name.
        bare_loss: Computes the loss of the batch.
        bare_test: Predicts the batch.
    """

    learner: Learner
    task: Task
    samples: Samples
    size: Size
    units: tuple[int, int, str]
    bare_loss: Callable[[], Tensor]
    bare_test: Callable[[], object]

    def training(self, on_step: Callable[[], None] = lambda: None) -> TrainingWork:
        """What strategies train on."""
        return TrainingWork(self.learner, Budget(steps=self.size.steps, batch_size=self.size.batch), self._samples)

    def train(self, strategy: str = "finetune", on_step: Callable[[], None] = lambda: None, **settings: object) -> None:
        """One update by a strategy, without random views, which the bare loop does not take either.

        Args:
            strategy: Its registered name.
            on_step: Called after each step.
            **settings: Its settings.
        """
        learn_task(self.training().strategy(strategy, {"lr": LR, "augment": False, **settings}, on_step), self.task)

    def train_bare(self) -> None:
        """As many steps: forward pass, backward pass, clipping, AdamW."""
        module = self.learner.module
        weights = list(self.learner.trainable().values())
        module.requires_grad_(False)
        for p in weights:
            p.requires_grad_()
        module.train()
        optimizer = torch.optim.AdamW(weights, lr=LR, weight_decay=0.0, fused=True)
        for _ in range(self.size.steps):
            with self.learner.autocast():
                loss = self.bare_loss()
            loss.backward()
            clip_gradient(weights, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        module.eval()

    def tests(self) -> tuple[Callable[[], object], Callable[[], object]]:
        """Predicting the batch: bare, and through the learner's predictor."""
        self.learner.module.eval()
        with torch.no_grad(), self.learner.autocast():
            predict = self.learner.predictor([self.task], ["open"] if self.task.limits else ["task-id"])
        return self._without_gradient(self.bare_test), self._without_gradient(
            lambda: predict(self.samples.batch(slice(None)), self.task)
        )

    def _without_gradient(self, call: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            with torch.no_grad(), self.learner.autocast():
                call()

        return run

    def _samples(self, task: Task, split: str) -> Samples:
        return self.samples


def clip(size: Size, device: torch.device) -> Work:
    """ViT-B/16 CLIP on images of noise, with a hundred classes."""
    learner = build_learner("mini-clip" if size.tiny else "open_clip:ViT-B-16", 0, device)
    assert isinstance(learner, ClipLearner)
    classes = tuple(f"class {number}" for number in range(CLASSES))
    task = Task("noise", "classification", "accuracy", no_rows, str, classes, templates=("a photo of a {}.",))
    visual = cast(Any, learner.module).visual
    images = torch.randint(256, (size.batch, 3, *visual.image_size), dtype=torch.uint8, device=device)
    labels = torch.arange(size.batch, device=device) % CLASSES
    samples = Samples(_ids(size.batch), {"image": images, "label": labels}, device)
    bare = BareClassifier(learner, [task])
    bare.clip, floats = learner.module, images.float() / 255
    tokens = learner.tokenise(tuple(f"a photo of a class {number}." for number in range(CLASSES)))

    def loss() -> Tensor:
        text = F.normalize(learner.encode_text(tokens), dim=-1)
        image = F.normalize(bare.clip.encode_image(floats), dim=-1)
        return F.cross_entropy((bare.clip.logit_scale.exp() * image @ text.T).float(), labels)

    return Work(learner, task, samples, size, (size.batch, size.batch, "images"), loss, lambda: bare.eval()(floats))


def t5(size: Size, device: torch.device, layers: int | None = None) -> Work:
    """T5-large.

    Args:
        size: How much is done.
        device: Device of the model.
        layers: Layers of encoder and decoder; those of T5-large if None.
    """
    from transformers import T5Config, T5ForConditionalGeneration

    large: dict[str, Any] = {"d_model": 1024, "d_ff": 4096, "num_layers": layers or 24, "num_heads": 16}
    small: dict[str, Any] = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 4, "vocab_size": 400}
    module = _built(
        T5ForConditionalGeneration, T5Config(**{**(small if size.tiny else large), "decoder_start_token_id": 0}), device
    )
    learner = EncoderDecoderLearner("t5", module, TextTokens(ByteTokens(), "t5", ends_inputs=True))
    samples = _texts(size, INPUT, ANSWER, module.config.vocab_size, device)
    asked, labels = samples.tensors["input"], samples.tensors["answer"]

    def loss() -> Tensor:
        return cast(Tensor, module(input_ids=asked, labels=labels, use_cache=False).loss)

    test = partial(module.generate, asked, max_new_tokens=WRITTEN, do_sample=False, num_beams=1, eos_token_id=1)
    units = (size.batch * (INPUT + ANSWER), size.batch * WRITTEN, "tokens")
    return Work(learner, _text_task(), samples, size, units, loss, test)


def llama(size: Size, device: torch.device) -> Work:
    """A LLaMA in the shape of TinyLlama (1.1 billion weights)."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shape: dict[str, Any] = {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22}
    if size.tiny:
        shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4}
        shape["vocab_size"] = 400
    module = _built(LlamaForCausalLM, LlamaConfig(**shape, num_key_value_heads=4), device)
    learner = DecoderLearner("llama", module, TextTokens(ByteTokens(), "llama", ends_inputs=False))
    # Answers of all tokens but one: transformers scores all positions, clbench those of answers only.
    length = INPUT + ANSWER
    samples = _texts(size, 1, length - 1, module.config.vocab_size, device)
    ids = torch.cat([samples.tensors["input"], samples.tensors["answer"]], dim=1)

    def loss() -> Tensor:
        return cast(Tensor, module(input_ids=ids, labels=ids, use_cache=False).loss)

    test = partial(
        module.generate,
        samples.tensors["input"],
        attention_mask=torch.ones_like(samples.tensors["input"]),
        max_new_tokens=WRITTEN,
        do_sample=False,
        num_beams=1,
        eos_token_id=1,
        pad_token_id=1,
    )
    return Work(learner, _text_task(), samples, size, (size.batch * length, size.batch * WRITTEN, "tokens"), loss, test)


def _built(model: Any, config: Any, device: torch.device) -> Any:
    with quiet(), device:  # a billion random numbers take a CPU half a minute
        built: nn.Module = model(config)
    return built.to(device)


def _texts(size: Size, width: int, answer: int, vocabulary: int, device: torch.device) -> Samples:
    shapes = {"input": width, "answer": answer}
    tensors = {name: torch.randint(3, vocabulary, (size.batch, count), device=device) for name, count in shapes.items()}
    widths = {f"{name}.width": torch.full((size.batch,), count, device=device) for name, count in shapes.items()}
    return Samples(_ids(size.batch), {**tensors, **widths}, device)


def _text_task() -> Task:
    return Task("noise", "generation", "exact_match", no_rows, str, limits=TextLimits(answer_tokens=WRITTEN))


def _ids(count: int) -> pa.StringArray:
    return pa.array([str(number) for number in range(count)])
