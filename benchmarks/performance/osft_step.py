"""What a step of `osft` costs beside full fine-tuning and beside PEFT's OSF, on a LLaMA with random weights.

Steps of AdamW, some of each kind in turn. The default model has 23 million weights.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import cast

import pyarrow as pa
import torch
from torch import nn

from clbench.benchmarks.performance._measuring import (
    DeviceClock,
    StepTimer,
    default_device,
    describe_machine,
    take_turns,
)
from clbench.benchmarks.performance._report import Comparison, Report
from clbench.benchmarks.performance._training_work import TrainingWork, no_rows
from clbench.contracts import Budget, Learner, Samples, Strategy, StrategyConfig, Task, TextLimits
from clbench.contracts.updating import learn_task
from clbench.learners._text.decoder import DecoderLearner
from clbench.learners._text.loading import ByteTokens
from clbench.learners._text.tokens import TextTokens
from clbench.strategies._training.optimization import clip_gradient

TURNS = 3
VOCABULARY = 8000
BATCH, TOKENS = 8, 128
COUNTED = 8
"""Timed steps a turn: two of them project the weights, one computes whole gradients. One more step comes before."""
LR = 1e-6
FULL = "finetune"
PROTECTED = {"rank_rule": "fixed", "protect_pretrained": True}
WAYS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    FULL: ("finetune", {}),
    "osft, half": ("osft", {**PROTECTED, "fraction": 0.5}),
    "osft, half, weights at every step": ("osft", {**PROTECTED, "fraction": 0.5, "weights_every": 1}),
    "osft, 0.8": ("osft", {**PROTECTED, "fraction": 0.8}),
    "osft, 0.8, weights at every step": ("osft", {**PROTECTED, "fraction": 0.8, "weights_every": 1}),
}
PEFT = "PEFT OSF, half"
MADE_UP = Task("made-up", "generation", "exact_match", no_rows, str, limits=TextLimits())


@dataclass(frozen=True)
class Shape:
    """Width and number of layers of the LLaMA."""

    width: int
    layers: int

    def build(self, device: torch.device) -> Learner:
        """The LLaMA with random weights, the same each time."""
        from transformers import LlamaConfig, LlamaForCausalLM

        config = LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=self.width,
            intermediate_size=self.width * 43 // 16,
            num_hidden_layers=self.layers,
            num_attention_heads=8,
            num_key_value_heads=8,
            tie_word_embeddings=True,
        )
        torch.manual_seed(0)
        module: nn.Module = LlamaForCausalLM(config)
        return DecoderLearner("llama", module.to(device), TextTokens(ByteTokens(), "llama", ends_inputs=False))


def random_tokens(device: torch.device) -> Samples:
    """Inputs of one token with answers of all others, so that every position has a loss."""
    widths = {"input": 1, "answer": TOKENS - 1}
    tensors = {name: torch.randint(3, VOCABULARY, (BATCH, width), device=device) for name, width in widths.items()}
    lengths = {f"{name}.width": torch.full((BATCH,), width, device=device) for name, width in widths.items()}
    return Samples(pa.array([str(i) for i in range(BATCH)]), {**tensors, **lengths})


class Setup:
    """One model for all strategies, another one for PEFT.

    Args:
        shape: Shape of both models.
    """

    def __init__(self, shape: Shape) -> None:
        device = default_device()
        self.clock = DeviceClock(device)
        self.learner = shape.build(device)
        self.samples = random_tokens(device)
        budget = Budget(steps=COUNTED + 2, batch_size=BATCH)
        self.work = TrainingWork(self.learner, budget, lambda task, split: self.samples)
        self._peft, self._optimizer = _with_peft(shape.build(device))

    def strategy(self, way: str, timer: StepTimer) -> Strategy[StrategyConfig]:
        """A strategy that is constrained in its first task already."""
        name, settings = WAYS[way]
        return self.work.strategy(name, {"lr": LR, **settings}, timer.end_step)

    def step_seconds(self, way: str) -> float:
        """Mean of the counted steps."""
        timer = StepTimer(self.clock)
        if way == PEFT:
            self._train_peft(timer)
        else:
            learn_task(self.strategy(way, timer), MADE_UP)
        return (timer.ends[COUNTED] - timer.ends[0]) / COUNTED

    def size_of_bases(self, way: str) -> float:
        """Bytes of the bases of a strategy over those of the matrices that it constrains."""
        state = self.learner.state_dict()
        weights = sum(4 * state[f"{layer.name}.weight"].numel() for layer in self.learner.linear_layers())
        return _bytes_of_bases(self.strategy(way, StepTimer(self.clock))) / weights

    def _train_peft(self, timer: StepTimer) -> None:
        parameters = cast(list[nn.Parameter], self._optimizer.param_groups[0]["params"])
        self._peft.module.train()
        for _ in range(COUNTED + 1):
            self._peft.loss(self.samples.batch(slice(None)), MADE_UP).backward()
            clip_gradient(parameters, 1.0)
            self._optimizer.step()
            self._optimizer.zero_grad(set_to_none=True)
            timer.end_step()


def _bytes_of_bases(strategy: Strategy[StrategyConfig]) -> float:
    return float(strategy.footprint()["bytes_of_bases"])


def _with_peft(learner: Learner) -> tuple[Learner, torch.optim.Optimizer]:
    """The model with half of every rank retained by PEFT, and an optimizer for the rest."""
    from peft import OSFConfig, get_peft_model

    targets = [layer.name.rpartition(".")[2] for layer in learner.linear_layers()]
    get_peft_model(learner.module, OSFConfig(effective_rank=0.5, target_modules=sorted(set(targets))))
    trained = [p for p in learner.module.parameters() if p.requires_grad]
    return learner, torch.optim.AdamW(trained, lr=LR, weight_decay=0.0, fused=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Shape of the model."""
    parser.add_argument("--width", type=int, default=512, help="width, a multiple of 16 (default: %(default)s)")
    parser.add_argument("--layers", type=int, default=6, help="layers (default: %(default)s)")


def measure(options: argparse.Namespace) -> Report:
    """Seconds a step of every kind, and the size of the bases."""
    setup = Setup(Shape(options.width, options.layers))
    measured = take_turns({way: partial(setup.step_seconds, way) for way in (*WAYS, PEFT)}, options.turns, "a step")
    half = {way: measured[way] for way in ("osft, half", PEFT)}
    comparisons = [
        Comparison("a step", "s", FULL, measured),
        Comparison("a step, half retained", "s", PEFT, half),
    ]
    figures = {
        f"bytes of bases over those of the targets, {way}": setup.size_of_bases(way) for way in WAYS if way != FULL
    }
    settings = {"width": options.width, "layers": options.layers, "batch": BATCH, "tokens": TOKENS}
    return Report("osft_step", describe_machine(setup.clock.device), settings, comparisons, figures)
