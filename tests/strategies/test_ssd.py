"""SSD against an implementation written out, and what it must leave alone."""

import math
import re
from collections.abc import Callable, MutableMapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.strategies.conftest import context_of
from tests.strategies.forget_requests import CPU, after_learning, class_of, request_of
from tests.text_tasks import text_task
from tests.tiny_images import write_stream
from torch import Tensor, nn

from clbench.benchmarks.engine.learners import build_learner
from clbench.contracts import Budget, Context, Learner, ScoresClasses, Task, require
from clbench.core.errors import ConfigError, TrainingError
from clbench.strategies._unlearning.dampening import adaptive_percentile, dampened, dampening_factor, percentile
from clbench.strategies._unlearning.importance import ImportanceOf, Source
from clbench.strategies._unlearning.parameter_groups import groups_of
from clbench.strategies._unlearning.training_data import divided
from clbench.strategies.ssd import Ssd, SsdConfig
from clbench.streams.card import load_stream

HERE = Path(__file__).parents[1]
TINY_CLIP = re.compile(r"transformer\.resblocks\.|\.ln_pre\.|\.ln_post\.|^ln_final\.")
"""Parameters of the tiny CLIP that may be dampened."""


def context_for(learner: str, numbers: MutableMapping[str, float]) -> Context:
    """A context for a tiny learner and tasks made in memory."""
    built = build_learner(str(HERE / learner), 0, CPU)
    return Context(
        learner=built,
        budget=Budget(steps=5, batch_size=8),
        seed=0,
        samples=lambda task, split: built.encode(task.load(split), task),
        new_learner=lambda: build_learner(str(HERE / learner), 0, CPU),
        progress=lambda step, total: None,
        record=numbers.__setitem__,
    )


def weights_of(learner: Learner) -> dict[str, Tensor]:
    """A copy of the weights."""
    return {name: tensor.clone() for name, tensor in learner.state_dict().items()}


def drawn(n: int, size: int, generator: torch.Generator) -> list[Tensor]:
    """Positions of all samples in random order, in batches; `size` divides `n`."""
    return list(torch.randperm(n, generator=generator).split(size))


class WrittenOut:
    """SSD on the tiny CLIP: lists of numbers, and one loop over all weights.

    Args:
        context: The context, with the learner before forgetting.
        source: `loss` or `output`.
    """

    def __init__(self, context: Context, source: Source) -> None:
        self.learner, self.samples, self.source = context.learner, context.samples, source
        named = context.learner.module.named_parameters()
        self.parameters = {name: p for name, p in named if TINY_CLIP.search(name)}

    def importance(self, batches: list[tuple[Task, Tensor]]) -> dict[str, list[float]]:
        """Mean of squared or absolute gradients."""
        total = {name: torch.zeros(p.shape, dtype=torch.float64) for name, p in self.parameters.items()}
        for task, index in batches:
            batch = self.samples(task, "train").batch(index)
            scores = require(self.learner, ScoresClasses).logits(batch, [task])
            squares = (scores**2).sum(dim=1).mean()
            value = nn.functional.cross_entropy(scores, batch["label"]) if self.source == "loss" else squares
            for name, gradient in zip(
                total, torch.autograd.grad(value, list(self.parameters.values()), allow_unused=True), strict=True
            ):
                if gradient is not None:
                    total[name] += gradient.double() ** 2 if self.source == "loss" else gradient.double().abs()
        return {name: (tensor / len(batches)).flatten().tolist() for name, tensor in total.items()}

    def weights(
        self, forgotten: dict[str, list[float]], overall: dict[str, list[float]], alpha: float | None, q: float
    ) -> tuple[dict[str, Tensor], float, int]:
        """The weights afterwards, alpha, and the number of weights that are hit."""
        if alpha is None:
            pairs = [pair for name in overall for pair in zip(forgotten[name], overall[name], strict=True)]
            ratios = sorted(f / d for f, d in pairs if d > 0)
            place = q / 100 * (len(ratios) - 1)
            alpha = ratios[int(place)] + (place % 1) * (ratios[int(place) + 1] - ratios[int(place)])
        found, hits = {}, 0
        for name, p in self.parameters.items():
            values = p.detach().flatten().tolist()
            for i, (f, d) in enumerate(zip(forgotten[name], overall[name], strict=True)):
                if d > 0 and f > alpha * d:
                    values[i] *= min(d / f, 1.0)
                    hits += 1
            found[name] = torch.tensor(values).view(p.shape)
        return found, alpha, hits


@pytest.mark.parametrize(
    ("source", "alpha"), [("loss", None), ("loss", 3.0), ("output", None), ("output", 1.5)], ids=str
)
def test_against_a_loop_over_all_weights(source: Source, alpha: float | None, tiny: Any) -> None:
    one, two, _ = load_stream(tiny.stream).tasks
    numbers: dict[str, float] = {}
    context, other = context_of(tiny, numbers=numbers), context_of(tiny)
    positions = class_of(context, two, 1)
    strategy = after_learning(Ssd(SsdConfig(importance=source, alpha=alpha, batch_size=128), context), [one, two])
    strategy.generator = torch.Generator().manual_seed(7)
    before = weights_of(context.learner)
    strategy.forget(request_of({two: positions}))

    reference, generator = WrittenOut(other, source), torch.Generator().manual_seed(7)
    everything = [(task, index) for task in (one, two) for index in drawn(24, 8, generator)]
    overall = reference.importance(everything)
    forgotten = reference.importance([(two, positions[index]) for index in drawn(8, 8, generator)])
    wanted, threshold, hits = reference.weights(forgotten, overall, alpha, q=100 - math.log(1 + 100 * 8 / 48))
    assert numbers["unlearn/alpha"] == pytest.approx(threshold, rel=1e-3)
    after = context.learner.state_dict()
    total = 0
    for name, tensor in after.items():
        if name in wanted:
            changed, expected = tensor != before[name], wanted[name] != before[name]
            total += tensor.numel()
            assert int((changed != expected).sum()) <= 2, name  # round-off at the threshold
            both = changed == expected
            torch.testing.assert_close(tensor[both], wanted[name][both], atol=1e-6, rtol=2e-3, msg=name)
            assert torch.equal(tensor[~changed], before[name][~changed])
        else:
            assert torch.equal(tensor, before[name]), name
    assert 0.001 < hits / total < 0.9
    assert numbers["unlearn/share"] == pytest.approx(hits / total, rel=1e-3)
    assert numbers["samples_read"] == 48 + 8
    assert numbers["unlearn/batch_size"] == 8


def test_the_share_is_that_of_the_percentile_and_of_each_role(tiny: Any) -> None:
    one, two, _ = load_stream(tiny.stream).tasks
    numbers: dict[str, float] = {}
    context = context_of(tiny, numbers=numbers)
    before = weights_of(context.learner)
    after_learning(Ssd(SsdConfig(), context), [one, two]).forget(request_of({one: class_of(context, one, 0)}))
    after = context.learner.state_dict()
    q = 100 - math.log(1 + 100 * 8 / 48)
    assert numbers["unlearn/alpha"] > 1
    assert numbers["unlearn/share"] == pytest.approx(1 - q / 100, abs=5e-4)
    layers = ("visual.transformer.resblocks.0.mlp.c_fc", "visual.transformer.resblocks.1.mlp.c_fc")
    names = [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
    changed = sum(int((after[name] != before[name]).sum()) for name in names)
    share = changed / sum(before[name].numel() for name in names)
    assert numbers["unlearn/share/vision.up"] == pytest.approx(share, abs=1e-4)
    assert {name for name in numbers if name.startswith("unlearn/share/")} == {
        "unlearn/share/other",
        *(f"unlearn/share/{t}.{r}" for t in ("vision", "text") for r in ("q", "k", "v", "out", "up", "down")),
    }


@pytest.mark.parametrize("source", ["loss", "output"])
def test_equal_samples_have_equal_importances(source: Source, tiny: Any) -> None:
    """F = D as a function: all ratios are 1 or undefined, so nothing is hit."""
    tasks = load_stream(tiny.stream).tasks[:2]
    context = context_of(tiny)
    parts = divided(context, tasks, request_of({tasks[0]: class_of(context, tasks[0], 0)})).all
    parameters = context.learner.trainable()
    measure = ImportanceOf(context.learner, parameters, source, None)
    one, two = (measure.over(parts, 8, torch.Generator().manual_seed(1)) for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in parameters)
    assert measure.samples_read == 2 * 48
    assert percentile([one[name] / two[name] for name in parameters], adaptive_percentile(0.5)) == 1
    for name, p in parameters.items():
        factor = dampening_factor(one[name], two[name], alpha=1, dampening=1, zero_unseen=True)
        assert torch.equal(dampened(p, factor), p)


@pytest.mark.parametrize(("learner", "kind"), [("tiny_clip.py", "image"), ("tiny_llama.py", "text")])
@pytest.mark.parametrize("source", ["loss", "output"])
def test_parts_of_a_batch_add_up(source: Source, learner: str, kind: str, tiny: Any) -> None:
    task = text_task("two") if kind == "text" else load_stream(tiny.stream).tasks[1]
    context = context_for(learner, {})
    parts = divided(context, [task], request_of({task: torch.arange(4)})).all
    found = []
    for micro_batch in (None, 3):
        measure = ImportanceOf(context.learner, context.learner.trainable(), source, micro_batch)
        found.append(measure.over(parts, 8, torch.Generator().manual_seed(1)))
    for name, importance in found[0].items():
        torch.testing.assert_close(importance, found[1][name], rtol=2e-3, atol=1e-6 * float(importance.max() + 1))


def test_larger_batches_have_smaller_squares(tiny: Any) -> None:
    task = load_stream(tiny.stream).tasks[0]
    context = context_of(tiny)
    parts = divided(context, [task], request_of({task: torch.arange(4)})).all
    measure = ImportanceOf(context.learner, context.learner.trainable(), "loss", None)
    total = [
        sum(float(t.sum()) for t in measure.over(parts, size, torch.Generator().manual_seed(1)).values())
        for size in (1, 4, 24)
    ]
    assert all(one > 1.5 * other for one, other in pairwise(total))


def test_settings_of_gradients_are_restored(tiny: Any) -> None:
    one, two, _ = load_stream(tiny.stream).tasks
    context = context_of(tiny)
    module = context.learner.module
    for number, p in enumerate(module.parameters()):
        p.requires_grad_(number % 3 == 0)
    frozen = weights_of(context.learner)
    after_learning(Ssd(SsdConfig(), context), [one, two]).forget(request_of({two: class_of(context, two, 0)}))
    assert [p.requires_grad for p in module.parameters()] == [i % 3 == 0 for i, _ in enumerate(module.parameters())]
    assert all(p.grad is None for p in module.parameters())
    assert not module.training
    changed = [n for n, p in module.named_parameters() if not p.requires_grad and not torch.equal(p, frozen[n])]
    assert changed


def test_no_head_of_another_task_and_no_embedding_changes(tmp_path: Path) -> None:
    stream = write_stream(tmp_path, str(HERE / "tiny_vit.py"), ("tone", "shade"))
    tone, shade = load_stream(stream).tasks
    numbers: dict[str, float] = {}
    context = context_for("tiny_vit.py", numbers)
    strategy = after_learning(Ssd(SsdConfig(alpha=0.5, dampening=0.25), context), [tone, shade])
    before = weights_of(context.learner)
    strategy.forget(request_of({shade: class_of(context, shade, 0)}))
    changed = {name for name, tensor in context.learner.state_dict().items() if not torch.equal(tensor, before[name])}
    assert any(name.startswith("heads.task_shade") for name in changed)
    assert any(".attn." in name for name in changed)
    assert not any(name.startswith("heads.task_tone") for name in changed)
    assert not any(part in name for name in changed for part in ("cls_token", "pos_embed", "patch_embed.proj.weight"))
    assert numbers["unlearn/share/head"] > 0


def test_tokens_keep_their_embeddings() -> None:
    task = text_task("two")
    context = context_for("tiny_llama.py", {})
    before = weights_of(context.learner)
    strategy = after_learning(Ssd(SsdConfig(alpha=0.5, importance="output"), context), [task])
    strategy.forget(request_of({task: class_of(context, task, 0)}))
    changed = {name for name, tensor in context.learner.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(".layers." in name or name == "model.norm.weight" for name in changed)


def test_every_parameter_has_its_group() -> None:
    names = {
        "tiny_clip.py": {"logit_scale", "positional_embedding", "text_projection", "token_embedding.weight"},
        "tiny_llama.py": {"model.embed_tokens.weight"},
    }
    for learner, left_out in names.items():
        built = build_learner(str(HERE / learner), 0, CPU)
        groups = groups_of(built, [], [])
        outside = {name for name, _ in built.module.named_parameters()} - groups.keys()
        images = {f"visual.{name}" for name in ("class_embedding", "positional_embedding", "proj", "conv1.weight")}
        assert outside == left_out | (images if learner == "tiny_clip.py" else set())


def forget_with_unseen(tiny: Any, zero_unseen: bool) -> tuple[dict[str, float], Tensor, Tensor]:
    """Forget a class of the second task, with a weight that only forgotten samples' gradients reach."""
    one, two, _ = load_stream(tiny.stream).tasks
    numbers: dict[str, float] = {}
    context = context_of(tiny, numbers=numbers)
    strategy = after_learning(Ssd(SsdConfig(zero_unseen=zero_unseen), context), [one, two])
    layer: Any = context.learner.module.get_submodule("visual.transformer.resblocks.0.mlp.c_fc")
    before = layer.bias.detach().clone()
    calls = []

    def only_in_the_last_pass(gradient: Tensor) -> Tensor:
        """The pass over D has 6 batches; their gradients are set to 0, as those of a unit that was dead then."""
        calls.append(1)
        return gradient if len(calls) > 6 else torch.zeros_like(gradient)

    layer.bias.requires_grad_()
    layer.bias.register_hook(only_in_the_last_pass)
    strategy.forget(request_of({two: class_of(context, two, 0)}))
    assert len(calls) == 7
    return numbers, before, layer.bias.detach()


def test_parameters_without_importance_overall_stay_and_are_counted(tiny: Any) -> None:
    numbers, before, after = forget_with_unseen(tiny, zero_unseen=False)
    assert numbers["unlearn/unseen"] == len(before)
    assert numbers["unlearn/zeroed"] == 0
    assert torch.equal(before, after)


def test_or_are_set_to_zero(tiny: Any) -> None:
    numbers, before, after = forget_with_unseen(tiny, zero_unseen=True)
    assert numbers["unlearn/unseen"] == len(before)
    assert numbers["unlearn/zeroed"] == int((before != 0).sum())
    assert not after.any()


@pytest.fixture
def moved(tiny: Any) -> Callable[[SsdConfig], tuple[dict[str, Tensor], dict[str, Tensor], dict[str, float]]]:
    """Forgets from weights away from the pre-trained ones; weights before and after, and what was recorded."""

    def run(config: SsdConfig) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, float]]:
        one, two, _ = load_stream(tiny.stream).tasks
        numbers: dict[str, float] = {}
        context = context_of(tiny, numbers=numbers)
        strategy = after_learning(Ssd(config, context), [one, two])
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for p in context.learner.trainable().values():
                p.add_(0.01 * torch.randn(p.shape, generator=generator))
        before = weights_of(context.learner)
        strategy.forget(request_of({two: class_of(context, two, 2)}))
        return before, weights_of(context.learner), numbers

    return run


def test_full_dampening_towards_the_pretrained_weights_gives_these(moved: Any, tiny: Any) -> None:
    zero = context_of(tiny).learner.state_dict()
    to_zero = moved(SsdConfig(alpha=2.0, dampening=0.0))
    before, after, numbers = moved(SsdConfig(alpha=2.0, dampening=0.0, toward="pretrained"))
    hits = 0
    for name, tensor in after.items():
        hit = (to_zero[1][name] == 0) & (before[name] != 0)
        hits += int(hit.sum())
        assert torch.equal(tensor[hit], zero[name][hit]), name
        assert torch.equal(tensor[~hit], before[name][~hit]), name
    assert hits == to_zero[2]["unlearn/zeroed"] > 1000
    assert numbers["unlearn/zeroed"] < hits
    assert numbers["unlearn/share"] == to_zero[2]["unlearn/share"]


def test_the_control_has_the_same_counts_at_other_places(moved: Any) -> None:
    before, after, numbers = moved(SsdConfig())
    _, control, others = moved(SsdConfig(shuffled=True))
    assert {n: v for n, v in numbers.items() if "share" in n} == {n: v for n, v in others.items() if "share" in n}
    same = different = 0
    for name, tensor in after.items():
        ours, theirs = tensor != before[name], control[name] != before[name]
        assert int(ours.sum()) == int(theirs.sum()), name
        same, different = same + int((ours & theirs).sum()), different + int((ours & ~theirs).sum())
    assert different > 3 * same


def test_signs_stay_and_a_huge_threshold_changes_no_bit(moved: Any) -> None:
    before, after, _ = moved(SsdConfig(alpha=1.5))
    assert all(bool((tensor * before[name] >= 0).all()) for name, tensor in after.items())
    before, after, numbers = moved(SsdConfig(alpha=1e30))
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())
    assert numbers["unlearn/share"] == 0


def test_the_same_seed_gives_the_same_bits(moved: Any) -> None:
    one, two = (moved(SsdConfig(shuffled=True))[1] for _ in range(2))
    assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())


def test_gradients_that_are_not_finite_are_told(tiny: Any) -> None:
    task = load_stream(tiny.stream).tasks[0]
    context = context_of(tiny)
    with torch.no_grad():
        context.learner.trainable()["ln_final.bias"].fill_(torch.nan)
    strategy = after_learning(Ssd(SsdConfig(), context), [task])
    with pytest.raises(TrainingError, match="a gradient is not finite"):
        strategy.forget(request_of({task: torch.arange(4)}))


def test_tasks_without_scores_need_the_loss(tmp_path: Path) -> None:
    stream = write_stream(tmp_path, str(HERE / "tiny_vit.py"), ("disc",))
    task = load_stream(stream).tasks[0]
    context = context_for("tiny_vit.py", {})
    strategy = after_learning(Ssd(SsdConfig(importance="output"), context), [task])
    with pytest.raises(ConfigError, match="there are none in segmentation"):
        strategy.forget(request_of({task: torch.arange(4)}))
    strategy = after_learning(Ssd(SsdConfig(), context), [task])
    strategy.forget(request_of({task: torch.arange(4)}))
