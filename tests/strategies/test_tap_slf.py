"""Prompts, selective layers and frozen blocks on a vision transformer: what is trained, what matters, what stays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from tests.strategies.cut_runs import CPU
from tests.tiny_images import write_stream
from torch import Tensor

from clbench.benchmarks.engine.footprint import footprint
from clbench.benchmarks.engine.learners import build_learner
from clbench.contracts import Budget, Context, Samples, Split, Strategy, StrategyConfig, Stream, Task
from clbench.contracts.updating import learn_task
from clbench.core.errors import ConfigError, TrainingError
from clbench.core.registry import STRATEGIES
from clbench.learners._vit.vit_learner import VitLearner
from clbench.strategies._training.multi_task import turns_of
from clbench.strategies._training.top_blocks import top_blocks
from clbench.streams.card import load_stream

LEARNER = str(Path(__file__).parents[1] / "tiny_vit.py")


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Stream:
    """One task of each kind, and a scalar one."""
    return load_stream(write_stream(tmp_path_factory.mktemp("images"), LEARNER))


@pytest.fixture(scope="module")
def samples(stream: Stream) -> Callable[[Task, Split], Samples]:
    learner = build_learner(LEARNER, 0, CPU)
    kept = {task.name: learner.encode(task.load("train"), task) for task in stream.tasks}
    return lambda task, split: kept[task.name]


def strategy_of(
    name: str, samples: Callable[[Task, Split], Samples], kind: str = "dinov3", steps: int = 3, **settings: Any
) -> tuple[Strategy[StrategyConfig], VitLearner]:
    """A strategy on a tiny learner."""

    def build() -> VitLearner:
        learner = build_learner(f"{LEARNER}:{kind}", 0, CPU)
        assert isinstance(learner, VitLearner)
        return learner

    learner = build()
    context = Context(
        learner, Budget(steps=steps, batch_size=4), 0, samples, build, lambda a, b: None, lambda name, value: None
    )
    entry = STRATEGIES.get(name)
    assert entry.config is not None
    return cast(Strategy[StrategyConfig], entry.value(entry.config(**settings), context)), learner


def changed(learner: VitLearner, before: dict[str, Tensor]) -> set[str]:
    return {name for name, p in learner.state_dict().items() if not torch.equal(p, before[name])}


def copy_of(learner: VitLearner) -> dict[str, Tensor]:
    return {name: p.clone() for name, p in learner.state_dict().items()}


@pytest.mark.parametrize("kind", ["plain", "dinov3"])
def test_tap_slf_changes_adapted_attention_prompts_and_its_head_only(
    kind: str, stream: Stream, samples: Callable[[Task, Split], Samples]
) -> None:
    strategy, learner = strategy_of("tap-slf", samples, kind, share=0.5, sharing="both")
    for task in stream.tasks:
        learner.add_task(task)
        before = copy_of(learner)
        learn_task(strategy, task)
        found = changed(learner, before)
        attention = {
            f"{layer.name}.weight"
            for layer in learner.linear_layers()
            if layer.block >= 2 and layer.role in ("q", "k", "v", "out")
        }
        assert found == attention | set(learner.head(task)) | set(learner.prompts(task))
        assert bool(learner.prompts(task)) == (task.kind != "detection")


@pytest.mark.parametrize("enter", [0, "top"])
@pytest.mark.parametrize("deep", [False, True])
def test_prompts_get_gradients_and_exchanging_banks_changes_answers(
    enter: Any, deep: bool, stream: Stream, samples: Callable[[Task, Split], Samples]
) -> None:
    strategy, learner = strategy_of("tap-slf", samples, enter=enter, deep=deep)
    disc, tone = stream.tasks[:2]
    for task in (disc, tone):
        learn_task(strategy, task)
    batch = samples(tone, "train").batch(slice(0, 4))
    learner.module.requires_grad_(True)
    torch.autograd.backward(learner.loss(batch, tone))
    (mine,), (other,) = learner.prompts(tone).values(), learner.prompts(disc).values()
    assert mine.grad is not None
    assert bool((mine.grad.norm(dim=-1) > 0).all())
    assert other.grad is None
    with torch.no_grad():
        before = learner.logits(batch, [tone])
        kept = mine.clone()
        mine.copy_(other)
        exchanged = learner.logits(batch, [tone])
        mine.copy_(kept)
        again = learner.logits(batch, [tone])
    assert not torch.allclose(before, exchanged, atol=1e-4)
    assert torch.equal(before, again)


@pytest.mark.parametrize(
    ("name", "settings", "moves"),
    [
        ("head-only", {}, ()),
        ("vpt", {}, ("prompts.",)),
        ("vpt", {"deep": True, "sharing": "all"}, ("prompts.",)),
        ("telly", {"frozen": 3}, ("backbone.blocks.3.", "backbone.norm.")),
        ("telly", {"share": 0.5}, ("backbone.blocks.2.", "backbone.blocks.3.", "backbone.norm.")),
    ],
)
def test_what_relatives_train(
    name: str,
    settings: dict[str, Any],
    moves: tuple[str, ...],
    stream: Stream,
    samples: Callable[[Task, Split], Samples],
) -> None:
    strategy, learner = strategy_of(name, samples, "plain", **settings)
    for task in stream.tasks:
        learner.add_task(task)
        before = copy_of(learner)
        learn_task(strategy, task)
        found = changed(learner, before)
        heads, others = set(learner.head(task)), {n for n in found if not n.startswith("heads.")}
        assert {n for n in found if n.startswith("heads.")} == heads
        assert all(n.startswith(moves) for n in others) if moves else not others
        assert {move for move in moves if any(n.startswith(move) for n in others)} == set(moves)


@pytest.mark.parametrize("name", ["finetune", "lora", "codyra", "osft", "peft", "o-lora", "si", "wise-ft"])
def test_every_strategy_trains_the_head_of_its_task_and_no_other(
    name: str, stream: Stream, samples: Callable[[Task, Split], Samples]
) -> None:
    settings: dict[str, Any] = {"others": "freeze"} if name == "osft" else {}
    strategy, learner = strategy_of(name, samples, "plain", **settings)
    for task in (stream.tasks[1], stream.tasks[4]):
        learner.add_task(task)
        before = copy_of(learner)
        learn_task(strategy, task)
        assert {n for n in changed(learner, before) if n.startswith("heads.")} == set(learner.head(task))


def test_avalanches_loop_trains_heads_of_classes_and_refuses_other_kinds(
    stream: Stream, samples: Callable[[Task, Split], Samples]
) -> None:
    strategy, learner = strategy_of("ewc", samples, "plain")
    disc, tone = stream.tasks[:2]
    learner.add_task(tone)
    before = copy_of(learner)
    learn_task(strategy, tone)
    assert set(learner.head(tone)) <= changed(learner, before)
    with pytest.raises(ConfigError, match="task 'disc': Ewc runs in Avalanche's loop, which knows classes"):
        strategy_of("ewc", samples, "plain")[0].check(disc)


@pytest.mark.parametrize("balance", [{}, {"uncertainty": True}, {"weights": {"disc": 3.0, "detection": 0.5}}])
def test_joint_training_learns_all_from_version_0(
    balance: dict[str, Any], stream: Stream, samples: Callable[[Task, Split], Samples]
) -> None:
    found = []
    for _ in range(2):
        strategy, learner = strategy_of("tap-slf", samples, training="joint", sampling="root", **balance)
        for task in stream.tasks[:3]:
            learn_task(strategy, task)
        found.append(copy_of(learner))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    heads = {name for task in stream.tasks[:3] for name in learner.head(task)}
    first = strategy_of("tap-slf", samples)[1]
    for task in stream.tasks[:3]:
        first.add_task(task)
    assert heads <= changed(learner, {**copy_of(learner), **copy_of(first)})


def test_losses_are_weighed_by_task_kind_and_uncertainty(
    stream: Stream, samples: Callable[[Task, Split], Samples]
) -> None:
    disc, tone, box = stream.tasks[:3]
    settings: dict[str, Any] = {"weights": {"disc": 3.0, "detection": 0.5}}
    strategy, learner = strategy_of("joint", samples, "plain", **settings)
    sure, _ = strategy_of("joint", samples, "plain", uncertainty=True)
    for given in (strategy, sure):
        given.seen = [disc, tone, box]
        for task in given.seen:
            given.learner.add_task(task)
        cast(Any, given).begin_task(box)
        given.learner.module.eval()
    s = 3 * torch.tanh(torch.tensor(-1 / 3))
    for task, factor in ((disc, 3.0), (tone, 1.0), (box, 0.5)):
        batch = samples(task, "train").batch(slice(0, 4))
        plain = float(learner.loss(batch, task).detach())
        assert float(cast(Any, strategy).loss(batch, task).detach()) == pytest.approx(factor * plain)
        wanted = 0.5 * float(torch.exp(-s)) * plain + 0.5 * float(s)
        assert float(cast(Any, sure).loss(batch, task).detach()) == pytest.approx(wanted, rel=1e-5)


def test_turns_by_hand() -> None:
    assert turns_of([100, 5, 5], 30, "uniform") == [10, 10, 10]
    assert turns_of([90, 10], 12, "proportional") == [10, 2]
    assert turns_of([900, 100], 22, "root") == [16, 6]
    assert turns_of([1000, 1, 1], 5, "proportional") == [3, 1, 1]


@pytest.mark.parametrize(
    ("share", "blocks", "wanted"), [(0.3, 12, 3), (0.3, 7, 2), (0.58, 50, 29), (0.05, 4, 1), (0, 12, 0), (1, 4, 4)]
)
def test_the_rounding_rule(share: float, blocks: int, wanted: int) -> None:
    assert top_blocks(share, blocks) == wanted


def test_the_trainable_share_is_what_the_settings_say() -> None:
    """Width 24, 4 blocks: one block with adapters on q, k, v, out of rank 8, and ten prompts."""
    found = footprint("tap-slf", LEARNER)
    adapters, prompts = 4 * 8 * (24 + 24), 10 * 24
    total = sum(p.numel() for p in build_learner(LEARNER, 0, CPU).module.parameters())
    assert (found["trainable_parameters"], found["in_prompts"]) == (adapters + prompts, prompts)
    assert (found["adapters"], found["adapted_blocks"]) == (4, 1)
    assert found["trainable_share"] == (adapters + prompts) / total
    assert footprint("vpt", LEARNER)["trainable_parameters"] == 240
    assert footprint("head-only", LEARNER)["trainable_parameters"] == 0


@pytest.mark.parametrize("name", ["head-only", "vpt"])
def test_where_no_weights_are_trained_the_only_rate_is_that_of_heads(
    name: str, stream: Stream, samples: Callable[[Task, Split], Samples]
) -> None:
    config = STRATEGIES.get(name).config
    assert config is not None
    assert "lr" not in config.model_fields
    strategy, learner = strategy_of(name, samples, "plain", head_lr=1e30)
    learner.add_task(stream.tasks[0])
    with pytest.raises(TrainingError, match=r"learning rate 1e\+30"):
        learn_task(strategy, stream.tasks[0])


def test_frozen_blocks_by_task(stream: Stream, samples: Callable[[Task, Split], Samples]) -> None:
    disc, _, box = stream.tasks[:3]
    wanted = {
        ("tap-slf", ()): (0, 3),
        ("tap-slf", (("enter", "top"),)): (3, 3),
        ("tap-slf", (("prompts", 0), ("share", 0.5))): (2, 2),
        ("tap-slf", (("detection_prompts", True), ("enter", 2))): (2, 2),
        ("vpt", (("enter", 1),)): (1, 1),
        ("head-only", ()): (4, 4),
        ("telly", (("frozen", 2),)): (2, 2),
        ("finetune", ()): (0, 0),
    }
    for (name, settings), blocks in wanted.items():
        strategy, _ = strategy_of(name, samples, **dict(settings))  # type: ignore[arg-type]
        assert (strategy.frozen_blocks(disc), strategy.frozen_blocks(box)) == blocks


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("tap-slf", {"enter": 4}, "prompts must enter at block 0 to 3, got 4"),
        ("tap-slf", {"share": 0, "enter": "top"}, "enter: top needs a share of blocks above 0"),
        ("telly", {"frozen": 5}, "frozen must be at most 4, got 5"),
    ],
)
def test_settings_that_do_not_fit(
    name: str, settings: dict[str, Any], message: str, samples: Callable[[Task, Split], Samples]
) -> None:
    with pytest.raises(ConfigError, match=message):
        strategy_of(name, samples, **settings)


@pytest.mark.parametrize("name", ["tap-slf", "vpt", "telly", "head-only"])
def test_models_of_two_towers_are_refused_in_one_line(name: str, new_context: Callable[..., Context]) -> None:
    entry = STRATEGIES.get(name)
    assert entry.config is not None
    with pytest.raises(ConfigError, match="tiny-clip"):
        strategy = cast(Strategy[StrategyConfig], entry.value(entry.config(), new_context()))
        strategy.frozen_blocks(Task("t", "detection", "iou", cast(Any, None), cast(Any, None)))


def test_adapters_are_pefts(stream: Stream, samples: Callable[[Task, Split], Samples]) -> None:
    """One step of SGD in PEFT's own model, written down here, and of ours: the same weights."""
    from peft import LoraConfig, get_peft_model

    strategy, learner = strategy_of("tap-slf", samples, share=0.5, dropout=0.0, prompts=0, rank=4, alpha=8)
    task = stream.tasks[1]
    learner.add_task(task)
    strategy.seen = [task]
    torch.manual_seed(5)
    cast(Any, strategy).begin_task(task)
    ours = dict(cast(Any, strategy).trainable_parameters())
    other = strategy_of("tap-slf", samples, prompts=0)[1]
    other.add_task(task)
    names = [x.name for x in other.linear_layers() if x.block >= 2 and x.role in ("q", "k", "v", "out")]
    torch.manual_seed(5)
    theirs = get_peft_model(other.module, LoraConfig(r=4, lora_alpha=8, target_modules=names))
    named = dict(theirs.named_parameters())
    layers = [name.rpartition(".")[::2] for name in ours]
    pefts = [f"base_model.model.{layer}.lora_{part.upper()}.default.weight" for layer, part in layers]
    pairs = [(p, named[name]) for p, name in zip(ours.values(), pefts, strict=True)]
    assert len(pairs) == 16
    batch = samples(task, "train").batch(slice(0, 4))
    for p, q in pairs:
        with torch.no_grad():
            p.normal_(generator=torch.Generator().manual_seed(p.numel()))
            q.copy_(p)
    for item in (learner, other):
        item.module.eval()
        torch.autograd.backward(item.loss(batch, task))
    for p, q in pairs:
        assert p.grad is not None
        assert q.grad is not None
        assert torch.allclose(p.grad, q.grad, atol=1e-6)
    wanted = learner.logits(batch, [task]).detach()
    cast(Any, strategy).end_task(task)
    assert torch.allclose(learner.logits(batch, [task]), wanted, atol=1e-5)
