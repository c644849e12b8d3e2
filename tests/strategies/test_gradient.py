"""The gradient loop against a bare one, its schedule and its batches against arithmetic by hand."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies.conftest import context_of
from torch import nn

from clbench.benchmarks.engine.learners import build_learner
from clbench.contracts import Budget, Learner, ScoresClasses, Task, require
from clbench.contracts.updating import learn_task
from clbench.core.errors import ConfigError, TrainingError
from clbench.core.seeding import generator_for
from clbench.learners._shared.random_views import random_resized_crop
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies._training.optimization import batches_of, report_losses, warmup_then
from clbench.strategies.finetune import Finetune
from clbench.strategies.joint import Joint, JointConfig
from clbench.strategies.lora import Lora, LoraConfig
from clbench.streams.card import load_stream

CPU = torch.device("cpu")


def test_finetune_is_a_plain_adamw_loop(tiny: Any) -> None:
    """The reference is written out: no hook, no helper of ours but the augmentation and the seeds."""
    task = load_stream(tiny.stream).tasks[0]
    given_context = context_of(tiny)
    learn_task(Finetune(GradientConfig(lr=1e-3, weight_decay=0.1, warmup=0.4, clip_norm=0.5), given_context), task)

    learner = build_learner(tiny.learner, 0, CPU)
    samples = learner.encode(task.load("train"), task)
    generator = generator_for(0, "version", 1)
    parameters = [p for name, p in learner.module.named_parameters() if name != "logit_scale"]
    learner.module.logit_scale.requires_grad_(False)
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.1, fused=True)
    order = torch.cat([torch.randperm(24, generator=generator) for _ in range(2)])[:40]
    mean, std = torch.tensor(0.5), torch.tensor(0.25)
    for step, lr in enumerate([1 / 3, 2 / 3, 1.0, 0.75, 0.25]):
        index = order[8 * step : 8 * step + 8]
        images = random_resized_crop((samples.tensors["image"][index].float() / 255 - mean) / std, generator)
        optimizer.param_groups[0]["lr"] = 1e-3 * lr
        loss = nn.functional.cross_entropy(
            require(learner, ScoresClasses).logits({"image": images}, [task]), samples.tensors["label"][index]
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 0.5)
        optimizer.step()
    for name, tensor in learner.state_dict().items():
        torch.testing.assert_close(given_context.learner.state_dict()[name], tensor, atol=1e-6, rtol=1e-5, msg=name)


def test_the_schedule_by_hand() -> None:
    rise = warmup_then("cosine", 0.5, 8)
    assert [rise(step) for step in range(4)] == [0.2, 0.4, 0.6, 0.8]
    assert [rise(step) for step in range(4, 8)] == pytest.approx(
        [1.0, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]
    )
    assert [warmup_then("constant", 0.0, 8)(step) for step in (0, 7)] == [1.0, 1.0]


@given(n=st.integers(1, 30), steps=st.integers(1, 12), size=st.integers(1, 40), seed=st.integers(0, 5))
def test_batches_use_every_sample_before_any_twice(n: int, steps: int, size: int, seed: int) -> None:
    batches = list(batches_of(n, Budget(steps=steps, batch_size=size), torch.Generator().manual_seed(seed), CPU))
    assert [len(batch) for batch in batches] == [size] * steps
    counts = torch.bincount(torch.cat(batches), minlength=n)
    assert int(counts.max() - counts.min()) <= 1


def test_a_loss_that_is_not_finite_is_told(tiny: Any) -> None:
    task = load_stream(tiny.stream).tasks[0]
    with pytest.raises(TrainingError, match=r"task 'one': the loss is not finite at step \d+ \(learning rate 1e\+20\)"):
        learn_task(Finetune(GradientConfig(lr=1e20), context_of(tiny)), task)


def test_a_smaller_rate_is_advised_only_where_a_step_was_made(tiny: Any) -> None:
    task = load_stream(tiny.stream).tasks[0]
    with pytest.raises(TrainingError, match=r"not finite at step 2 \(learning rate 0\.001\): try a smaller one$"):
        report_losses(torch.tensor([1.0, torch.nan]), task, 1e-3, lambda name, value: None)
    with pytest.raises(TrainingError, match=r"not finite at step 1, before any step was made$"):
        report_losses(torch.tensor([torch.inf, torch.nan]), task, 1e-3, lambda name, value: None)


def test_joint_starts_again_and_spends_what_sequential_training_has_spent(tiny: Any) -> None:
    first, second, _ = load_stream(tiny.stream).tasks
    given_context = context_of(tiny)
    steps: list[str] = []

    class Spy(Joint):  # type: ignore[misc]
        """Writes down whose batch each step had."""

        def after_step(self, task: Task, step: int) -> None:
            """Note the task."""
            steps.append(task.name)

    joint = Spy(JointConfig(), given_context)
    learn_task(joint, first)
    learn_task(joint, second)
    assert steps[:5] == ["one"] * 5
    assert sorted(steps[5:]) == ["one"] * 5 + ["two"] * 5
    alone = context_of(tiny)
    again = Joint(JointConfig(), alone)
    again.seen.append(first)
    again.version = 1
    learn_task(again, second)  # never trained on the first task alone: the result is the same
    assert alone.learner.digest() == given_context.learner.digest()


class Captured(Lora):  # type: ignore[misc]
    """Keeps what the adapters held just before they were merged."""

    def end_task(self, task: Task) -> None:
        """Take A and B out, then merge."""
        self.factors = {name: p.detach().clone() for name, p in self.trainable_parameters()}
        super().end_task(task)


def test_lora_adds_the_scaled_product_and_touches_nothing_else(tiny: Any) -> None:
    task = load_stream(tiny.stream).tasks[0]
    given_context = context_of(tiny)
    before = {name: tensor.clone() for name, tensor in given_context.learner.state_dict().items()}
    strategy = Captured(LoraConfig(rank=3, alpha=6.0, roles=("q", "up"), towers=("vision",)), given_context)
    learn_task(strategy, task)
    after = given_context.learner.state_dict()
    adapted = {
        f"visual.transformer.resblocks.{block}.{part}" for block in (0, 1) for part in ("attn.q_proj", "mlp.c_fc")
    }
    assert after.keys() == before.keys()
    for name in adapted:
        a, b = (strategy.factors[f"{name}.{factor}"] for factor in "ab")
        assert a.shape[0] == b.shape[1] == 3
        assert b.abs().max() > 0
        torch.testing.assert_close(after[f"{name}.weight"], before[f"{name}.weight"] + 6.0 / 3 * b @ a)
    for name in before.keys() - {f"{name}.weight" for name in adapted}:
        assert torch.equal(after[name], before[name]), name


def test_merging_leaves_the_outputs_as_they_were(tiny: Any) -> None:
    task = load_stream(tiny.stream).tasks[0]
    given_context = context_of(tiny)
    learner: Learner = given_context.learner
    batch = given_context.samples(task, "test").batch(slice(None))
    seen: list[torch.Tensor] = []

    class Looking(Lora):  # type: ignore[misc]
        """Computes the logits just before the merge."""

        def end_task(self, task: Task) -> None:
            """Look, then merge."""
            with torch.no_grad():
                seen.append(require(learner, ScoresClasses).logits(batch, [task]))
            super().end_task(task)

    learn_task(Looking(LoraConfig(), given_context), task)
    with torch.no_grad():
        torch.testing.assert_close(require(learner, ScoresClasses).logits(batch, [task]), seen[0], atol=1e-4, rtol=1e-4)


def test_lora_without_a_layer_to_adapt_is_refused(tiny: Any) -> None:
    task = load_stream(tiny.stream).tasks[0]
    with pytest.raises(ConfigError, match=r"tiny-clip has no linear layer with roles .* in towers"):
        learn_task(Lora(LoraConfig(towers=("decoder",)), context_of(tiny)), task)


def test_footprints(tiny: Any) -> None:
    total = sum(p.numel() for p in build_learner(tiny.learner, 0, CPU).trainable().values())
    assert Finetune(GradientConfig(), context_of(tiny)).footprint() == {"trainable_parameters": total, "adapters": 0}
    found = Lora(LoraConfig(rank=2, roles=("q",)), context_of(tiny)).footprint()
    assert found == {"trainable_parameters": 4 * 2 * (32 + 32), "adapters": 4}


@pytest.mark.parametrize(("settings", "share"), [({}, 1.0), ({"select": {"name": "random", "share": 0.25}}, 0.25)])
def test_the_share_that_can_move_is_recorded(tiny: Any, settings: dict[str, object], share: float) -> None:
    numbers: dict[str, float] = {}
    strategy = Finetune(GradientConfig.model_validate(settings), context_of(tiny, numbers=numbers))
    every = sum(p.numel() for p in strategy.learner.module.parameters())
    trained = sum(p.numel() for p in strategy.learner.trainable().values())
    learn_task(strategy, load_stream(tiny.stream).tasks[0])
    assert numbers["memory/trained_share"] == pytest.approx(100 * share * trained / every, rel=0.02)
