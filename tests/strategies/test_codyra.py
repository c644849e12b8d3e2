"""CoDyRA against arithmetic by hand, a NumPy twin, finite differences, a loop written out, and PEFT."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig as PeftLoraConfig
from peft.tuners.lora import LoraModel
from torch import Tensor, nn
from torch.func import functional_call

from clbench.contracts import Batch, Context, ScoresClasses, Task, require
from clbench.contracts.updating import learn_task
from clbench.core.errors import ConfigError
from clbench.core.seeding import generator_for
from clbench.learners._shared.random_views import random_resized_crop
from clbench.strategies._adapters.gated import GatedAdapter
from clbench.strategies._parts.part import Trained
from clbench.strategies._training.optimization import batches_of, clip_gradient, new_optimizer
from clbench.strategies.codyra import (
    OPERATORS,
    Codyra,
    CodyraConfig,
    class_to_sample_loss,
    ramp,
    released_shrink,
    thresholds,
)
from clbench.streams.card import load_stream

NewContext = Callable[..., Context]


def published(steps: int, dense: float, kappa_max: float) -> list[float]:
    """The schedule as the released training loop goes through it, one iteration after another."""
    grid, index, kappas = np.linspace(0, kappa_max, 50), 0, []
    stride = int((steps - dense * steps) // 50)
    for iteration in range(steps):
        if stride > 0 and iteration >= dense * steps and iteration % stride == 0:
            index += 1
        kappas.append(float(grid[min(49, index)]) if iteration > dense * steps else 0.0)
    return kappas


def test_the_published_schedule_value_by_value() -> None:
    found = thresholds(500, CodyraConfig())
    assert len(found) == 500
    assert found[:251] == [0.0] * 251
    for step in range(251, 500):
        assert found[step] == np.linspace(0, 0.005, 50)[min(49, 1 + (step - 250) // 5)], step
    assert (found[251], found[254], found[255]) == pytest.approx((0.005 / 49, 0.005 / 49, 0.01 / 49))
    assert found[489] == pytest.approx(0.005 * 48 / 49)
    assert set(found[490:]) == {0.005}
    assert sum(found) == pytest.approx(6369 / 49 * 0.005)  # 4 * 1 + 5 * (2 + ... + 48) + 10 * 49 grid steps: 0.65


@given(steps=st.integers(1, 700), dense=st.floats(0, 1), kappa_max=st.floats(0, 0.1))
def test_other_lengths_follow_the_released_loop_or_the_short_ramp(steps: int, dense: float, kappa_max: float) -> None:
    found = ramp(steps, CodyraConfig(dense=dense, kappa_max=kappa_max))
    if (steps - dense * steps) // 50:
        assert found == published(steps, dense, kappa_max)
        return
    sparse = sum(step >= dense * steps for step in range(steps))
    assert found[: steps - sparse] == [0.0] * (steps - sparse)
    assert found[steps - sparse :] == pytest.approx([kappa_max * (i + 1) / sparse for i in range(sparse)])


def test_short_schedules_by_hand() -> None:
    config = CodyraConfig(kappa_max=0.004)
    assert ramp(8, config) == pytest.approx([0, 0, 0, 0, 0.001, 0.002, 0.003, 0.004])
    assert ramp(3, config) == pytest.approx([0, 0, 0.004])
    assert ramp(2, config) == pytest.approx([0, 0.004])
    assert ramp(1, config) == [0.0]
    assert published(98, 0.5, 0.004) == [0.0] * 98  # the original never prunes here
    assert ramp(98, config)[-1] == pytest.approx(0.004)
    assert ramp(6, CodyraConfig(dense=1)) == [0.0] * 6


@pytest.mark.parametrize("steps", [2, 50, 98, 100, 250, 700, 1000, 4000])
def test_gates_shrink_as_far_in_any_number_of_steps(steps: int) -> None:
    config = CodyraConfig()
    assert thresholds(500, config) == published(500, 0.5, 0.005)  # nothing is scaled, to the last bit
    assert sum(thresholds(steps, config)) == pytest.approx(sum(published(500, 0.5, 0.005)))
    assert thresholds(steps, CodyraConfig(reference_steps=None)) == ramp(steps, config)


def test_a_reference_of_its_own_by_hand() -> None:
    """Over 2 steps the sum is kappa_max; over 8 it is 2.5 times that."""
    config = CodyraConfig(kappa_max=0.004, reference_steps=2)
    assert thresholds(8, config) == pytest.approx([0, 0, 0, 0, 0.0004, 0.0008, 0.0012, 0.0016])
    assert thresholds(4, CodyraConfig(dense=1)) == [0.0] * 4


def test_the_operators_by_hand() -> None:
    gates = torch.tensor([3.0, 2.5, 2.0, 1.5, 1.25, 0.5, 0.0, -0.5, -1.5, -2.0, -3.0])
    soft = [2.0, 1.5, 1.0, 0.5, 0.25, 0.0, 0.0, 0.0, -0.5, -1.0, -2.0]
    released = [2.0, 1.5, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, -2.0]  # 1.5 and 1.25 are cut: below 2 kappa
    assert OPERATORS["soft"](gates, 1.0).tolist() == soft
    assert OPERATORS["released"](gates, 1.0).tolist() == released


@given(st.lists(st.floats(-1, 1, width=32), min_size=1), st.floats(0, 0.5, width=32))
def test_the_released_operator_is_three_assignments_in_their_order(values: list[float], kappa: float) -> None:
    twin = np.array(values, dtype=np.float32)
    twin[twin > kappa] -= np.float32(kappa)
    twin[twin < -kappa] += np.float32(kappa)
    twin[np.abs(twin) < kappa] = 0
    assert np.array_equal(released_shrink(torch.tensor(values), kappa).numpy(), twin)


class Watched(Codyra):  # type: ignore[misc]
    """Keeps the gates before the first step and after every one, and the factors before the merge."""

    def begin_task(self, task: Task) -> None:
        """Look before the first step."""
        super().begin_task(task)
        self.gates = [self._adapter.gates.numpy().copy()]

    def after_step(self, task: Task, step: int) -> None:
        """Look after each step."""
        super().after_step(task, step)
        self.gates.append(self._adapter.gates.numpy().copy())

    def end_task(self, task: Task) -> None:
        """Take A, B and gates out, then merge."""
        self.factors = {name: p.detach().clone() for name, p in self.trainable_parameters()}
        super().end_task(task)


class Still(Watched):  # type: ignore[misc]
    """The gradient is zero everywhere, so only the schedule moves gates."""

    def loss(self, batch: Batch, task: Task) -> Tensor:
        """Zero, with a gradient."""
        return sum((p.sum() for _, p in self.trainable_parameters()), torch.zeros(())) * 0.0


@pytest.mark.parametrize("operator", ["soft", "released"])
@pytest.mark.parametrize("steps", [10, 120])
def test_gates_without_gradient_follow_the_schedule(
    operator: str, steps: int, tiny: Any, new_context: NewContext
) -> None:
    config = CodyraConfig(operator=operator, kappa_max=0.05, rank=4, reference_steps=None)
    strategy = Still(config, new_context(steps))
    learn_task(strategy, load_stream(tiny.stream).tasks[0])
    kappas = published(steps, 0.5, 0.05) if steps == 120 else [0.0] * 5 + [0.01, 0.02, 0.03, 0.04, 0.05]
    twin = strategy.gates[0].astype(np.float64)
    for step, kappa in enumerate(kappas):
        if operator == "soft":
            twin = np.sign(twin) * np.maximum(np.abs(twin) - kappa, 0)
        elif kappa:
            twin = np.where(np.abs(twin) > kappa, twin - kappa * np.sign(twin), twin)
            twin = np.where(np.abs(twin) < kappa, 0, twin)
        np.testing.assert_allclose(strategy.gates[step + 1], twin, atol=2e-6)
    assert 0 < (twin == 0).sum() < twin.size


def test_soft_thresholding_takes_the_sum_of_the_thresholds_off_every_gate(tiny: Any, new_context: NewContext) -> None:
    strategy = Still(CodyraConfig(kappa_max=0.4, reference_steps=None), new_context(8))  # 0.1 + 0.2 + 0.3 + 0.4 = 1
    learn_task(strategy, load_stream(tiny.stream).tasks[0])
    first, last = strategy.gates[0], strategy.gates[-1]
    np.testing.assert_allclose(last, np.sign(first) * np.maximum(np.abs(first) - 1, 0), atol=1e-6)
    assert abs(first.mean()) < 0.15  # N(0, 1), 24 layers of 16 ranks
    assert abs(first.std() - 1) < 0.15


def test_training_is_the_released_loop(tiny: Any, new_context: NewContext) -> None:
    """Written out with effective weights W + (B * w) A, a plain AdamW and a plain loop over layers."""
    task, steps, rank = load_stream(tiny.stream).tasks[0], 12, 3
    given_context = new_context(steps)
    strategy = Watched(
        CodyraConfig(rank=rank, lr=2e-3, kappa_max=0.3, operator="released", reference_steps=None), given_context
    )
    learn_task(strategy, task)

    reference = new_context()
    learner, generator = reference.learner, generator_for(0, "version", 1)
    samples = reference.samples(task, "train")
    base = {name: p.detach() for name, p in learner.module.named_parameters()}
    layers = [layer.name for layer in learner.linear_layers() if layer.role != "other"]
    gates = [nn.Parameter(row) for row in torch.randn(len(layers), rank, generator=generator)]
    a, b = [], []
    for name in layers:
        out, width = base[f"{name}.weight"].shape
        bound = 1 / math.sqrt(width)  # kaiming-uniform with a = sqrt(5)
        a.append(nn.Parameter(torch.empty(rank, width).uniform_(-bound, bound, generator=generator)))
        b.append(nn.Parameter(torch.zeros(out, rank)))
    optimizer = torch.optim.AdamW([*a, *b, *gates], lr=2e-3, betas=(0.9, 0.9999), weight_decay=0.0)
    kappas = [0.0] * 6 + [0.05, 0.1, 0.15, 0.2, 0.25, 0.3]
    order = batches_of(len(samples), reference.budget.model_copy(update={"steps": steps}), generator, learner.device)
    for step, index in enumerate(order):
        optimizer.param_groups[0]["lr"] = 2e-3 * 0.5 * (1 + math.cos(math.pi * step / steps))
        images = random_resized_crop((samples.tensors["image"][index].float() / 255 - 0.5) / 0.25, generator)
        updates = {
            f"{n}.weight": base[f"{n}.weight"] + (bi * wi) @ ai
            for n, ai, bi, wi in zip(layers, a, b, gates, strict=True)
        }
        prompts = learner.tokenise(tuple(f"a {name}" for name in task.classes))  # type: ignore[attr-defined]
        image, text, scale = functional_call(
            learner.module, updates, (images, F.pad(prompts, (0, 24 - prompts.shape[1])))
        )
        loss = F.cross_entropy(scale * image @ text.T, samples.tensors["label"][index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for w in gates:
            if kappas[step]:
                w.data[w.data > kappas[step]] -= kappas[step]
                w.data[w.data < -kappas[step]] += kappas[step]
                w.data[w.data.abs() < kappas[step]] = 0
    after = given_context.learner.state_dict()
    for name, ai, bi, wi in zip(layers, a, b, gates, strict=True):
        torch.testing.assert_close(strategy.factors[f"{name}.gate"], wi.data, atol=1e-5, rtol=1e-4)
        merged = base[f"{name}.weight"] + ((bi * wi) @ ai).detach()
        torch.testing.assert_close(after[f"{name}.weight"], merged, atol=2e-5, rtol=1e-4)


def test_before_the_first_step_the_learner_is_what_it_was(tiny: Any, new_context: NewContext) -> None:
    task = load_stream(tiny.stream).tasks[0]
    given_context = new_context()
    learner = given_context.learner
    batch = given_context.samples(task, "test").batch(slice(None))
    with torch.no_grad():
        plain = require(learner, ScoresClasses).logits(batch, [task])
        Codyra(CodyraConfig(), given_context).begin_task(task)
        assert torch.equal(require(learner, ScoresClasses).logits(batch, [task]), plain)


def test_merging_leaves_the_outputs_as_they_were_and_nothing_of_the_adapters(
    tiny: Any, new_context: NewContext
) -> None:
    task = load_stream(tiny.stream).tasks[0]
    given_context = new_context(20)
    learner = given_context.learner
    batch = given_context.samples(task, "test").batch(slice(None))
    seen: list[Tensor] = []

    class Looking(Codyra):  # type: ignore[misc]
        """Computes the logits just before the merge."""

        def end_task(self, task: Task) -> None:
            """Look, then merge."""
            with torch.no_grad():
                seen.append(require(learner, ScoresClasses).logits(batch, [task]))
            super().end_task(task)

    names, before = list(learner.state_dict()), require(learner, ScoresClasses).logits(batch, [task])
    learn_task(Looking(CodyraConfig(lr=1e-2), given_context), task)
    with torch.no_grad():
        torch.testing.assert_close(require(learner, ScoresClasses).logits(batch, [task]), seen[0], atol=1e-4, rtol=1e-4)
        assert (seen[0] - before).abs().max() > 0.1
    assert list(learner.state_dict()) == names
    assert not any(module._forward_hooks for module in learner.module.modules())


def test_only_the_chosen_layers_change_by_their_product(tiny: Any, new_context: NewContext) -> None:
    given_context = new_context(6)
    learner = given_context.learner
    before = {name: tensor.clone() for name, tensor in learner.state_dict().items()}
    frozen: list[bool] = []

    class Looking(Watched):  # type: ignore[misc]
        """Compares the base with what it was, after every step."""

        def after_step(self, task: Task, step: int) -> None:
            """Compare."""
            super().after_step(task, step)
            frozen.append(all(torch.equal(tensor, before[name]) for name, tensor in learner.state_dict().items()))

    strategy = Looking(
        CodyraConfig(rank=3, kappa_max=0.2, reference_steps=None, roles=("q", "up"), towers=("vision",)), given_context
    )
    learn_task(strategy, load_stream(tiny.stream).tasks[0])
    assert frozen == [True] * 6
    blocks = [
        f"visual.transformer.resblocks.{block}.{part}" for block in (0, 1) for part in ("attn.q_proj", "mlp.c_fc")
    ]
    assert {name.rpartition(".")[0] for name in strategy.factors} == set(blocks)
    for name, tensor in learner.state_dict().items():
        layer = name.removesuffix(".weight")
        if layer not in blocks:
            assert torch.equal(tensor, before[name]), name
            continue
        a, b, gate = (strategy.factors[f"{layer}.{part}"] for part in ("a", "b", "gate"))
        alive = gate != 0
        pruned = before[name] + (b[:, alive] * gate[alive]) @ a[alive]
        torch.testing.assert_close(tensor, pruned, atol=1e-6, rtol=1e-5)
        assert b.abs().max() > 0


def test_the_gradients_are_right_by_finite_differences() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 3)).double().requires_grad_(False)
    adapter = GatedAdapter(module, ["0", "2"], 4, torch.Generator().manual_seed(1))
    adapter.attach(module)
    for factors in adapter.factors.values():
        nn.init.normal_(factors.b)
    x, eps = torch.randn(6, 5, dtype=torch.float64), 1e-6
    module(x).square().sum().backward()
    for name, parameter in adapter.parameters():
        assert parameter.grad is not None
        flat = parameter.data.view(-1)
        for index, found in enumerate(parameter.grad.view(-1).tolist()):
            with torch.no_grad():
                flat[index] += eps
                above = float(module(x).square().sum())
                flat[index] -= 2 * eps
                below = float(module(x).square().sum())
                flat[index] += eps
            assert found == pytest.approx((above - below) / (2 * eps), rel=1e-6, abs=1e-6), name
    assert adapter.gates.dtype == torch.float64


def test_narrow_weights_get_wide_factors_and_are_rounded_once() -> None:
    """Other families come in bfloat16, where a shrinking of 0.0001 would leave a gate of 1 as it is."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 3)).bfloat16().requires_grad_(False)
    adapter = GatedAdapter(module, ["0", "2"], 4, torch.Generator().manual_seed(1))
    adapter.attach(module)
    assert {p.dtype for _, p in adapter.parameters()} == {torch.float32}
    adapter.gates.fill_(1.0)
    adapter.shrink(OPERATORS["soft"], 1e-4)
    assert adapter.gates.max() < 1
    for factors in adapter.factors.values():
        nn.init.normal_(factors.b)
    output = module(torch.randn(6, 5, dtype=torch.bfloat16))
    assert output.dtype == torch.bfloat16
    output.sum().backward()
    assert all(p.grad is not None for _, p in adapter.parameters())
    first = adapter.factors["0"]
    assert first.gate is not None
    expected = (module.get_parameter("0.weight").float() + (first.b * first.gate) @ first.a).bfloat16()
    adapter.merge(module)
    torch.testing.assert_close(module.get_parameter("0.weight"), expected.detach())


def test_gates_of_one_are_pefts_lora(tiny: Any, new_context: NewContext) -> None:
    task, rank = load_stream(tiny.stream).tasks[0], 5
    ours, theirs = new_context().learner, new_context().learner
    names = [layer.name for layer in ours.linear_layers() if layer.role != "other"]
    adapter = GatedAdapter(ours.module, names, rank, torch.Generator().manual_seed(0))
    adapter.attach(ours.module)
    adapter.gates.fill_(1.0)
    LoraModel(theirs.module, PeftLoraConfig(r=rank, lora_alpha=rank, target_modules=names), "default")
    parameters = dict(theirs.module.named_parameters())
    torch.manual_seed(0)
    for name, factors in adapter.factors.items():
        nn.init.normal_(factors.b, std=0.05)
        for factor, p in (("A", factors.a), ("B", factors.b)):
            parameters[f"{name}.lora_{factor}.default.weight"].data.copy_(p.data)
    batch = ours.encode(task.load("test"), task).batch(slice(None))
    with torch.no_grad():
        found = require(ours, ScoresClasses).logits(batch, [task])
        torch.testing.assert_close(found, require(theirs, ScoresClasses).logits(batch, [task]), atol=1e-5, rtol=1e-5)
        assert (found - require(new_context().learner, ScoresClasses).logits(batch, [task])).abs().max() > 0.1


def test_the_optimizer_is_the_runners(new_context: NewContext) -> None:
    module, config = nn.Linear(2, 2), CodyraConfig()
    trained = [Trained(name, p, None, own=False) for name, p in module.named_parameters()]
    part = Codyra(config, new_context()).parts.optimizer
    optimizer, scheduler = new_optimizer(trained, [], config, part, 4)
    group = optimizer.param_groups[0]
    assert (group["lr"], group["betas"], group["weight_decay"], group["eps"]) == (5e-4, (0.9, 0.9999), 0.0, 1e-8)
    factors = [scheduler.lr_lambdas[0](step) for step in range(5)]
    assert factors == pytest.approx([1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0])
    module.weight.grad = torch.full((2, 2), 1e6)
    clip_gradient(list(module.parameters()), config.clip_norm)
    assert module.weight.grad.max() == 1e6


def test_the_second_loss_is_the_released_one_with_the_seen_classes_counted() -> None:
    torch.manual_seed(0)
    seen, image, text = torch.randn(7, 6), torch.randn(10, 6), torch.randn(4, 6)
    labels = torch.randint(4, (10,))
    of_class = torch.arange(11)[:, None] == labels + 7  # over all classes, those of earlier tasks first
    expected = F.cross_entropy(torch.cat([seen, text]) @ image.T, of_class.float())
    torch.testing.assert_close(class_to_sample_loss(image @ text.T, labels, 11), expected)


def test_the_second_loss_is_added_on_demand(tiny: Any, new_context: NewContext) -> None:
    given_context = new_context()
    one, two, _ = load_stream(tiny.stream).tasks
    strategy = Codyra(CodyraConfig(symmetric=True), given_context)
    strategy.seen += [one, two]
    batch = given_context.samples(two, "train").batch(slice(8))
    logits, labels = require(given_context.learner, ScoresClasses).logits(batch, [two]), batch["label"]
    second = sum((-logits[i, labels[i]] + logits[:, labels[i]].logsumexp(0) for i in range(8)), torch.zeros(()))
    torch.testing.assert_close(strategy.loss(batch, two), F.cross_entropy(logits, labels) + second / 6)
    strategy.seen.clear()
    learn_task(strategy, one)  # trains


def test_it_records_ranks_and_carries_nothing(tiny: Any, new_context: NewContext) -> None:
    numbers: dict[str, float] = {}
    given_context = new_context(6, numbers)
    strategy = Watched(CodyraConfig(kappa_max=0.3, reference_steps=None), given_context)
    for task in load_stream(tiny.stream).tasks[:2]:
        numbers.clear()
        learn_task(strategy, task)
        ranks = (strategy.gates[-1] != 0).sum(axis=1)
        assert numbers["codyra/mean_rank"] == pytest.approx(ranks.mean())
        assert 0 < ranks.mean() < 16
        by_group = {key: value for key, value in numbers.items() if key.startswith("codyra/rank/")}
        assert len(by_group) == 12
        assert sum(by_group.values()) / 12 == pytest.approx(ranks.mean())
        queries = [i for i, layer in enumerate(given_context.learner.linear_layers()) if layer.name.endswith("q_proj")]
        assert numbers["codyra/rank/vision.q"] == pytest.approx(ranks[queries[:2]].mean())
    assert strategy.state_dict() == {}


def test_footprint(tiny: Any, new_context: NewContext) -> None:
    found = Codyra(CodyraConfig(rank=2, roles=("q",)), new_context()).footprint()
    assert found == {"trainable_parameters": 4 * 2 * (32 + 32 + 1), "adapters": 4, "gates": 8}


def test_without_a_layer_to_adapt_it_is_refused(tiny: Any, new_context: NewContext) -> None:
    with pytest.raises(ConfigError, match=r"tiny-clip has no linear layer with roles .* in towers \('decoder',\)"):
        learn_task(Codyra(CodyraConfig(towers=("decoder",)), new_context()), load_stream(tiny.stream).tasks[0])
