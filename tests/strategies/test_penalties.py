"""Penalties against arithmetic by hand, loops over samples, and strategies that have them inside."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.strategies.conftest import context_of
from tests.text_tasks import text_task
from tests.tiny_images import write_stream
from torch import Tensor

from clbench.benchmarks.engine.learners import build_learner
from clbench.contracts import Batch, Budget, Context, ScoresClasses, ScoresTokens, Strategy, Task, require
from clbench.contracts.updating import learn_task
from clbench.core.errors import ConfigError
from clbench.core.registry import STRATEGIES
from clbench.strategies._parts.penalty import Penalty
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies.finetune import Finetune
from clbench.strategies.lora import Lora, LoraConfig
from clbench.streams.card import load_stream

CPU = torch.device("cpu")
HERE = Path(__file__).parents[1]


def context_with(tiny: Any, **budget: int) -> Context:
    """A context with another budget."""
    context = context_of(tiny)
    return Context(**{**vars(context), "budget": Budget(**{"steps": 5, "batch_size": 8, **budget})})


def penalized(context: Context, penalty: dict[str, object], **settings: object) -> Finetune:
    """Fine-tuning with a penalty."""
    return Finetune(GradientConfig.model_validate({"lr": 3e-3, **settings, "penalty": penalty}), context)


def penalty_of(strategy: Finetune | Lora) -> Penalty[Any]:
    assert strategy.parts.penalty is not None
    return strategy.parts.penalty


def seen(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights without the biases of keys, which a softmax does not see: AdamW scales up the round-off in them."""
    return {name: tensor.clone() for name, tensor in weights.items() if not name.endswith("k_proj.bias")}


def after(strategy: Strategy[Any], tasks: Any) -> dict[str, Tensor]:
    """Weights after some tasks."""
    for task in tasks:
        learn_task(strategy, task)
    return seen(strategy.learner.state_dict())


def built(name: str, context: Context, **settings: object) -> Strategy[Any]:
    entry = STRATEGIES.get(name)
    assert entry.config is not None
    strategy: Strategy[Any] = entry.value(entry.config.model_validate({"lr": 3e-3, **settings}), context)
    return strategy


def distance(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    """Euclidean distance of two versions; single weights say little, as AdamW scales up what is nearly 0."""
    return math.sqrt(sum(float((first[name] - tensor).square().sum()) for name, tensor in second.items()))


# Against other implementations


def test_ewc_with_batches_is_avalanches_plugin(tiny: Any) -> None:
    """One batch of all 24 samples: its squared mean gradient does not depend on the order. Decay counts from task 3."""
    tasks = load_stream(tiny.stream).tasks
    settings = {"strength": 300.0, "decay": 0.5}
    budget = {"steps": 3, "batch_size": 24}
    theirs = after(built("ewc", context_with(tiny, **budget), **settings), tasks)
    ours = after(penalized(context_with(tiny, **budget), {"name": "ewc", **settings, "batch_size": 24}), tasks)
    plain = after(built("finetune", context_with(tiny, **budget)), tasks)
    undecayed = after(
        penalized(context_with(tiny, **budget), {"name": "ewc", "strength": 300.0, "batch_size": 24}), tasks
    )
    assert distance(ours, theirs) < 1e-3 * distance(plain, theirs)
    assert distance(ours, theirs) < 1e-2 * distance(undecayed, theirs)


def test_mas_with_batches_is_avalanches_plugin(tiny: Any) -> None:
    """One batch of all 24 samples, without random views, which the plugin would measure on; alpha counts at task 3."""
    tasks = load_stream(tiny.stream).tasks
    own = {"strength": 1.0, "alpha": 0.25}
    budget = {"steps": 3, "batch_size": 24}

    def ours(**changed: float) -> dict[str, Tensor]:
        penalty = {"name": "mas", **own, "batch_size": 24, **changed}
        return after(penalized(context_with(tiny, **budget), penalty, augment=False), tasks)

    theirs = after(built("mas", context_with(tiny, **budget), augment=False, **own), tasks)
    plain = after(built("finetune", context_with(tiny, **budget), augment=False), tasks)
    assert distance(ours(), theirs) < 1e-3 * distance(plain, theirs)
    assert distance(ours(), theirs) < 1e-2 * distance(ours(alpha=0.75), theirs)


def test_si_is_our_strategy_to_the_bit(tiny: Any) -> None:
    tasks = load_stream(tiny.stream).tasks
    settings = {"strength": 200.0, "damping": 1e-2}
    inside = context_of(tiny)
    after(built("si", inside, **settings), tasks)
    apart = context_of(tiny)
    after(penalized(apart, {"name": "si", **settings}), tasks)
    assert apart.learner.digest() == inside.learner.digest()
    free = context_of(tiny)
    after(penalized(free, {"name": "si", "strength": 0.0}), tasks)
    plain = context_of(tiny)
    after(built("finetune", plain), tasks)
    assert free.learner.digest() == plain.learner.digest() != apart.learner.digest()


def gradients(context: Context, value: Tensor) -> dict[str, Tensor]:
    """Gradients of a number for all trainable weights."""
    named = context.learner.trainable()
    found = torch.autograd.grad(value, list(named.values()), allow_unused=True)
    return {name: torch.zeros_like(p) if g is None else g for (name, p), g in zip(named.items(), found, strict=True)}


@pytest.mark.parametrize("name", ["ewc", "mas"])
def test_importances_of_single_samples_against_a_loop(name: str, tiny: Any) -> None:
    context, task = context_of(tiny), load_stream(tiny.stream).tasks[0]
    strategy = penalized(context, {"name": name, "samples": 1000})
    learn_task(strategy, task)
    samples = context.samples(task, "train")
    wanted = {key: torch.zeros_like(p) for key, p in context.learner.trainable().items()}
    context.learner.module.requires_grad_(True)
    for index in range(24):
        scores = require(context.learner, ScoresClasses).logits(one := samples.batch(torch.tensor([index])), [task])
        value = F.cross_entropy(scores, one["label"]) if name == "ewc" else scores.square().sum()
        for key, gradient in gradients(context, value).items():
            wanted[key] += (gradient.square() if name == "ewc" else gradient.abs()) / 24
    found = penalty_of(strategy).importances  # type: ignore[attr-defined]
    assert found.keys() == wanted.keys()
    for key, importance in wanted.items():
        scale = float(importance.abs().max()) + 1e-6
        torch.testing.assert_close(found[key], importance, atol=1e-3 * scale, rtol=1e-3, msg=key)


@pytest.mark.parametrize(
    ("name", "setting", "wanted"),
    [("ewc", {"decay": 0.25}, 0.25 * 8 + 2), ("mas", {"alpha": 0.25}, 0.25 * 8 + 0.75 * 2)],
)
def test_importances_of_several_tasks_by_hand(name: str, setting: dict[str, float], wanted: float, tiny: Any) -> None:
    penalty: Any = penalty_of(penalized(context_of(tiny), {"name": name, **setting}))
    assert penalty.merged(torch.tensor(8.0), torch.tensor(2.0)) == wanted


def test_the_weighted_distance_by_hand(tiny: Any) -> None:
    """Importances 3 and weights moved by 0.5: 3 * 0.25 for each entry, gradient 2 * 3 * 0.5."""
    strategy = penalized(context_of(tiny), {"name": "ewc"})
    one, two, _ = load_stream(tiny.stream).tasks
    penalty: Any = penalty_of(strategy)
    name, p = next(iter(strategy.learner.trainable().items()))
    strategy.seen = [one]
    penalty.begin_task(one)
    assert penalty.term({}, one) is None
    penalty.load_state_dict({name: torch.full_like(p, 3.0)})
    strategy.seen = [one, two]
    penalty.begin_task(two)
    with torch.no_grad():
        p.add_(0.5)
    p.requires_grad_(True)
    term = penalty.term({}, two)
    assert float(term.detach()) == pytest.approx(0.75 * p.numel(), rel=1e-5)
    term.backward()
    torch.testing.assert_close(p.grad, torch.full_like(p, 3.0))


# Distillation


def test_lwf_has_a_softmax_for_each_earlier_task(tiny: Any) -> None:
    """Each is Avalanche's loss, in value and gradient; the teacher is the version before.

    Whole runs of the two drift apart: at a task's first step the gradient of the divergence is round-off.
    """
    from avalanche.training.regularization import LearningWithoutForgetting

    context = context_of(tiny)
    strategy = penalized(context, {"name": "lwf", "temperature": 3.0})
    one, two, three = load_stream(tiny.stream).tasks
    penalty = penalty_of(strategy)
    strategy.seen = [one, two, three]
    penalty.begin_task(three)
    batch = context.samples(three, "train").batch(slice(0, 7))
    with torch.no_grad():
        teacher = [require(context.learner, ScoresClasses).logits(batch, [task]) for task in (one, two)]
    at_start = penalty.term(batch, three)
    assert at_start is not None
    assert float(at_start.detach()) == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        for p in context.learner.trainable().values():
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    student = [require(context.learner, ScoresClasses).logits(batch, [task]) for task in (one, two)]
    theirs = LearningWithoutForgetting(temperature=3.0)
    wanted = sum(theirs._distillation_loss(s, t, range(3)) for s, t in zip(student, teacher, strict=True))
    found = penalty.term(batch, three)
    assert found is not None
    assert float(found.detach()) == pytest.approx(float(wanted.detach()), rel=1e-4)
    assert float(found.detach()) > 1e-3
    slopes = gradients(context, wanted)
    for name, slope in gradients(context, found).items():
        torch.testing.assert_close(slope, slopes[name], atol=1e-5, rtol=1e-3, msg=name)
    penalty.end_task(three)
    assert penalty.term(batch, three) is None


@pytest.mark.parametrize("learner", ["tiny_llama", "tiny_t5"])
@pytest.mark.parametrize("kind", [Finetune, Lora])
def test_lwf_holds_language_models_and_adapters_back(kind: Any, learner: str) -> None:
    """Of a strength that outweighs the loss, the model after task two is nearer to the one after task one."""

    def drift(strength: float) -> float:
        model = build_learner(str(HERE / f"{learner}.py"), 0, CPU)
        context = Context(
            learner=model,
            budget=Budget(steps=6, batch_size=8),
            seed=0,
            samples=lambda task, split: model.encode(task.load(split), task),
            new_learner=lambda: build_learner(str(HERE / f"{learner}.py"), 0, CPU),
            progress=lambda step, total: None,
            record=lambda name, value: None,
        )
        config = {"lr": 5e-3, "penalty": {"name": "lwf", "strength": strength}}
        strategy = kind((GradientConfig if kind is Finetune else LoraConfig).model_validate(config), context)
        one, two = text_task("one"), text_task("three")
        learn_task(strategy, one)
        batch = model.encode(two.load("train"), two).batch(slice(None))
        with torch.no_grad():
            before = require(model, ScoresTokens).token_logits(batch, two, answers_only=True).logits.log_softmax(1)
        learn_task(strategy, two)
        with torch.no_grad():
            now = require(model, ScoresTokens).token_logits(batch, two, answers_only=True).logits.log_softmax(1)
        return float(F.kl_div(now, before, reduction="batchmean", log_target=True))

    assert drift(100.0) < 0.5 * drift(0.0)


def test_lwf_asks_the_heads_of_earlier_tasks(tmp_path: Path) -> None:
    """Heads of earlier tasks answer for new images; a copy of the learner has them, too."""
    stream = load_stream(write_stream(tmp_path, str(HERE / "tiny_vit.py"), ("tone", "shade")))
    model = build_learner(str(HERE / "tiny_vit.py"), 0, CPU)
    context = Context(
        learner=model,
        budget=Budget(steps=2, batch_size=4),
        seed=0,
        samples=lambda task, split: model.encode(task.load(split), task),
        new_learner=lambda: build_learner(str(HERE / "tiny_vit.py"), 0, CPU),
        progress=lambda step, total: None,
        record=lambda name, value: None,
    )
    strategy = penalized(context, {"name": "lwf"})
    noted: list[float] = []
    term = penalty_of(strategy).term

    def note(batch: Batch, task: Task) -> Tensor | None:
        found = term(batch, task)
        noted.append(-1.0 if found is None else float(found.detach()))
        return found

    penalty_of(strategy).term = note  # type: ignore[method-assign]
    for task in stream.tasks:
        learn_task(strategy, task)
    assert noted[:2] == [-1.0, -1.0]
    assert all(0 < value < 0.05 for value in noted[2:])  # the student's heads have dropout


# State, and bad input


@pytest.mark.parametrize("name", ["ewc", "mas", "si"])
def test_importances_survive_and_heads_have_none(name: str, tiny: Any) -> None:
    one, two, _ = load_stream(tiny.stream).tasks
    through, again = context_of(tiny), context_of(tiny)
    strategy = penalized(through, {"name": name, "strength": 100.0})
    learn_task(strategy, one)
    state, weights = strategy.part_state(), {key: t.clone() for key, t in through.learner.state_dict().items()}
    learn_task(strategy, two)
    other = penalized(again, {"name": name, "strength": 100.0})
    again.learner.load_state_dict(weights)
    other.seen, other.version = [one], 1
    other.load_part_state(state)
    learn_task(other, two)
    assert again.learner.digest() == through.learner.digest()
    assert state.keys() == {"penalty.1"}


@pytest.mark.parametrize("name", ["mas", "lwf"])
def test_images_without_scores_of_classes_are_refused(name: str, tiny: Any) -> None:
    task = Task("cyst", "segmentation", "dice", lambda split: None, str)
    with pytest.raises(ConfigError, match=rf"^penalty {name}: task 'cyst': .* classes or tokens, got segmentation$"):
        penalized(context_of(tiny), {"name": name}).check(task)
