"""O-LoRA, WiSE-FT and the claim that `lora` is IncLoRA, each against arithmetic written out."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from clbench.contracts import Context, Task
from clbench.contracts.updating import learn_task
from clbench.strategies._adapters.gated import GatedAdapter
from clbench.strategies._adapters.lora_strategy import attached_lora
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies._training.layers import chosen_layers
from clbench.strategies.finetune import Finetune
from clbench.strategies.lora import Lora, LoraConfig
from clbench.strategies.o_lora import OLora, OLoraConfig
from clbench.strategies.wise_ft import WiseFt, WiseFtConfig
from clbench.streams.card import load_stream

NewContext = Callable[..., Context]


def weights(context: Context) -> dict[str, Tensor]:
    """A copy of the learner's weights."""
    return {name: tensor.clone() for name, tensor in context.learner.state_dict().items()}


class Factors(Lora):  # type: ignore[misc]
    """Keeps what the adapters held just before they were merged."""

    def end_task(self, task: Task) -> None:
        """Take A and B out, then merge."""
        self.factors = {name: p.detach().clone() for name, p in self.trainable_parameters()}
        super().end_task(task)


class Overlap(OLora):  # type: ignore[misc]
    """Keeps each task's A's, and the overlap with earlier ones before the merge."""

    def end_task(self, task: Task) -> None:
        """Look, then merge."""
        if not hasattr(self, "rows"):
            self.rows: list[dict[str, Tensor]] = []
        self.rows.append({name: a.detach().clone() for name, a in self.input_factors().items()})
        self.overlap = sum(
            float((self.rows[-1][name] @ past[name].T).abs().sum()) for past in self.rows[:-1] for name in past
        )
        super().end_task(task)


def test_o_lora_adds_the_overlap_with_every_earlier_task(tiny: Any, new_context: NewContext) -> None:
    one, two, three = load_stream(tiny.stream).tasks
    given_context = new_context()
    strategy = Overlap(OLoraConfig(rank=3, strength=0.25), given_context)
    learn_task(strategy, one)
    learn_task(strategy, two)
    strategy.begin_task(three)
    now = strategy.input_factors()
    assert len(now) == 24
    expected = sum((now[n] @ past[n].T).abs().sum() for past in strategy.rows for n in now)
    batch = given_context.samples(three, "train").batch(slice(8))
    extra = strategy.loss(batch, three) - given_context.learner.loss(batch, three)
    torch.testing.assert_close(extra, 0.25 * expected, atol=1e-3, rtol=1e-4)
    extra.backward()
    assert all(a.grad is not None for a in now.values())


def test_o_lora_without_strength_is_lora_and_with_it_is_more_orthogonal(tiny: Any, new_context: NewContext) -> None:
    one, two, _ = load_stream(tiny.stream).tasks
    lora, free, bound = new_context(40), new_context(40), new_context(40)
    plain = Lora(LoraConfig(), lora)
    unbound, strict = Overlap(OLoraConfig(strength=0.0), free), Overlap(OLoraConfig(strength=0.5), bound)
    for strategy in (plain, unbound, strict):
        learn_task(strategy, one)
    assert lora.learner.digest() == free.learner.digest() == bound.learner.digest()  # no earlier task yet
    for strategy in (plain, unbound, strict):
        learn_task(strategy, two)
    assert lora.learner.digest() == free.learner.digest()
    assert strict.overlap < 0.6 * unbound.overlap


def test_o_lora_remembers_through_its_state(tiny: Any, new_context: NewContext) -> None:
    one, two, _ = load_stream(tiny.stream).tasks
    straight = new_context()
    strategy = OLora(OLoraConfig(rank=3), straight)
    learn_task(strategy, one)
    state, halfway = strategy.state_dict(), weights(straight)
    past = state["past"]
    assert isinstance(past, dict)
    assert {rows.shape[0] for rows in past.values()} == {3}
    resumed = new_context()
    resumed.learner.load_state_dict(halfway)
    again = OLora(OLoraConfig(rank=3), resumed)
    again.load_state_dict({"past": dict(past)})
    again.seen.append(one)
    again.version = 1
    for each in (strategy, again):
        learn_task(each, two)
    assert straight.learner.digest() == resumed.learner.digest()
    assert {rows.shape[0] for rows in again.state_dict()["past"].values()} == {6}  # type: ignore[attr-defined]


@pytest.mark.parametrize(("settings", "scale"), [({}, 1.0), ({"alpha": 8.0}, 2.0)])
def test_the_scale_is_1_at_every_rank_unless_alpha_is_set(
    settings: dict[str, float], scale: float, tiny: Any, new_context: NewContext
) -> None:
    task = load_stream(tiny.stream).tasks[0]
    for rank in (1, 4, 16):
        given_context = new_context()
        before = weights(given_context)
        alpha = {name: value * rank / 4 for name, value in settings.items()}
        strategy = Factors(LoraConfig(rank=rank, roles=("q",), towers=("text",), **alpha), given_context)
        learn_task(strategy, task)
        name = "transformer.resblocks.1.attn.q_proj"
        a, b = (strategy.factors[f"{name}.{factor}"] for factor in "ab")
        assert a.shape[0] == rank
        torch.testing.assert_close(weights(given_context)[f"{name}.weight"], before[f"{name}.weight"] + scale * b @ a)


def test_the_default_scale_is_that_of_rank_16_and_alpha_16(tiny: Any, new_context: NewContext) -> None:
    task = load_stream(tiny.stream).tasks[0]
    default, written = new_context(), new_context()
    learn_task(Lora(LoraConfig(), default), task)
    learn_task(Lora(LoraConfig(rank=16, alpha=16.0), written), task)
    assert default.learner.digest() == written.learner.digest()


def test_lora_on_narrow_weights_trains_wide_factors(tiny: Any, new_context: NewContext) -> None:
    learner = new_context().learner
    learner.module.bfloat16()
    adapter = attached_lora(learner, chosen_layers(learner, LoraConfig()), LoraConfig(rank=2))
    assert len(adapter.factors) == 24
    assert {p.dtype for _, p in adapter.parameters()} == {torch.float32}
    layer: Any = learner.module.get_submodule("transformer.resblocks.0.attn.q_proj")
    assert layer(torch.randn(3, 32, dtype=torch.bfloat16)).dtype == torch.bfloat16
    with torch.no_grad():
        adapter.factors["transformer.resblocks.0.attn.q_proj"].b.fill_(1.0)
    adapter.merge(learner.module)
    assert layer.weight.dtype == torch.bfloat16


def test_merged_updates_are_frozen_adapters(tiny: Any, new_context: NewContext) -> None:
    """Why there is no `inc-lora`: an old adapter beside W and its product in W give the same loss and gradients."""
    task = load_stream(tiny.stream).tasks[0]
    results = []
    for merged in (True, False):
        learner = new_context().learner
        learner.module.requires_grad_(False)
        names = [layer.name for layer in learner.linear_layers() if layer.role != "other"]
        old, new = (GatedAdapter(learner.module, names, 4, torch.Generator().manual_seed(i)) for i in (1, 2))
        torch.manual_seed(0)
        for adapter in (old, new):
            adapter.attach(learner.module)
            adapter.gates.fill_(1.0)
            for factors in adapter.factors.values():
                torch.nn.init.normal_(factors.b, std=0.05)
        if merged:
            old.merge(learner.module)
        loss = learner.loss(learner.encode(task.load("train"), task).batch(slice(None)), task)
        loss.backward()
        results.append([loss.detach(), *(p.grad for _, p in new.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize("anchor", ["pretrained", "previous"])
def test_wise_ft_averages_after_each_task_and_goes_on_from_there(
    anchor: str, tiny: Any, new_context: NewContext
) -> None:
    found, tuned = new_context(), new_context()
    zero = weights(found)
    wise = WiseFt(WiseFtConfig(alpha=0.75, anchor=anchor), found)
    finetune = Finetune(GradientConfig(), tuned)
    for task in load_stream(tiny.stream).tasks[:2]:
        other = zero if anchor == "pretrained" else weights(tuned)
        learn_task(finetune, task)
        average = {name: 0.25 * other[name] + 0.75 * tensor for name, tensor in weights(tuned).items()}
        learn_task(wise, task)
        for name, tensor in weights(found).items():
            torch.testing.assert_close(tensor, average[name], atol=1e-6, rtol=1e-5, msg=name)
        tuned.learner.load_state_dict(weights(found))  # without round-off, which Adam blows up in weights of no effect


def test_wise_ft_at_its_ends(tiny: Any, new_context: NewContext) -> None:
    task = load_stream(tiny.stream).tasks[0]
    tuned, all_new, all_old = new_context(), new_context(), new_context()
    zero = all_old.learner.digest()
    learn_task(Finetune(GradientConfig(), tuned), task)
    learn_task(WiseFt(WiseFtConfig(alpha=1.0), all_new), task)
    learn_task(WiseFt(WiseFtConfig(alpha=0.0), all_old), task)
    assert all_new.learner.digest() == tuned.learner.digest()
    assert all_old.learner.digest() == zero
