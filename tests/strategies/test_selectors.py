"""Selectors of the slot against cases worked out by hand, against strategies that they equal, and their invariants."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies.conftest import context_of
from tests.strategies.part_cells import cell_with
from torch import Tensor, nn

from clbench.benchmarks.engine.footprint import footprint
from clbench.benchmarks.engine.learners import build_learner
from clbench.contracts import Budget, Context, LinearLayer, Task
from clbench.contracts.updating import learn_task
from clbench.core.errors import ConfigError
from clbench.strategies._parts.block_damping import score_change
from clbench.strategies._parts.blocks import blocks_of
from clbench.strategies._parts.condition_numbers import condition_number, lowest
from clbench.strategies._parts.gradual_release import released_by, top_positions
from clbench.strategies._parts.part import Trained, described
from clbench.strategies._parts.selector import FixedSelector, Masks, counts_of
from clbench.strategies._training.gradient import GradientConfig, GradientStrategy
from clbench.strategies._training.masking import Masking
from clbench.strategies.finetune import Finetune
from clbench.strategies.lora import Lora, LoraConfig
from clbench.strategies.peft import Peft, PeftStrategyConfig
from clbench.strategies.selectors.id3 import Id3
from clbench.strategies.selectors.ist import Ist
from clbench.strategies.telly import Telly, TellyConfig
from clbench.streams.card import load_stream

TESTS = Path(__file__).parent.parent
CPU = torch.device("cpu")


def finetune(context: Context, select: object, **settings: Any) -> Finetune:
    """Full fine-tuning with a selector."""
    return Finetune(GradientConfig.model_validate({"select": select, **settings}), context)


def choice(strategy: GradientStrategy[Any], task: Task) -> tuple[list[Trained], Masks]:
    """What a strategy trains, and what moves of it."""
    trained = described(strategy.learner, strategy.trainable_parameters(), adapters=not strategy.trains_weights)
    masks = strategy.masks(trained, task)
    assert masks is not None
    return trained, masks


def weight(name: str, values: Any, role: str = "up", block: int = 0) -> Trained:
    """A weight of a linear layer."""
    layer = LinearLayer(name, role, "vision", block)
    return Trained(f"{name}.weight", nn.Parameter(torch.as_tensor(values)), layer, own=True)


def of_other_learner(file: str, argument: str = "") -> Context:
    """The context of a test learner without a stream."""
    built = build_learner(f"{TESTS / file}:{argument}" if argument else str(TESTS / file), 0, CPU)
    return Context(built, Budget(), 0, lambda task, split: 1 / 0, lambda: built, lambda *_: None, lambda *_: None)  # type: ignore[arg-type, return-value]


def bits(context: Context) -> dict[str, Tensor]:
    """A copy of all weights."""
    return {name: tensor.clone() for name, tensor in context.learner.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Whether all bits are equal."""
    return all(torch.equal(tensor, second[name]) for name, tensor in first.items())


EVERYTHING: Sequence[object] = (
    "all",
    {"name": "bottom-k", "share": 1.0},
    "towers",
    {"name": "random", "like": "all"},
    {"name": "random", "like": "all", "among": "all"},
)


@pytest.mark.parametrize("select", EVERYTHING, ids=str)
def test_what_chooses_everything_is_plain_training(select: object, tiny: Any) -> None:
    task = load_stream(tiny.stream).tasks[0]
    plain, whole = context_of(tiny, steps=3), context_of(tiny, steps=3)
    learn_task(Finetune(GradientConfig(), plain), task)
    learn_task(finetune(whole, select), task)
    assert same(bits(plain), bits(whole))


@given(share=st.floats(0.001, 1.0), seed=st.integers(0, 3), among=st.sampled_from(["tensor", "shape", "all"]))
def test_random_entries_are_as_many_as_asked_and_depend_on_the_seed_alone(
    tiny: Any, share: float, seed: int, among: str
) -> None:
    items = [weight("a", torch.zeros(4, 8)), weight("b", torch.zeros(4, 8)), weight("c", torch.zeros(3, 5))]
    task = load_stream(tiny.stream).tasks[0]
    drawn = []
    for _ in range(2):
        strategy = finetune(of_other_learner("tiny_clip.py"), {"name": "random", "share": share, "among": among})
        strategy.generator.manual_seed(seed)
        assert isinstance(strategy.parts.select, FixedSelector)
        drawn.append(strategy.parts.select.choose(items, task))
    counts = counts_of(items, drawn[0])
    sizes = [item.parameter.numel() for item in items]
    if among == "all":
        assert sum(counts.values()) == max(1, round(share * sum(sizes)))
    else:
        assert list(counts.values()) == [max(1, round(share * size)) for size in sizes]
    for item in items:
        first, second = drawn[0].get(item.name), drawn[1].get(item.name)
        assert (first is None) == (second is None)
        assert first is None or second is None or torch.equal(first, second)


@pytest.mark.parametrize("like", [{"name": "kappa", "share": 0.3}, {"name": "neuroada", "k": 3}, "s2ft", "bottom-k"])
@pytest.mark.parametrize("among", ["tensor", "shape", "all"])
def test_the_control_moves_as_many_entries_as_its_selector(like: Any, among: str, tiny: Any) -> None:
    task = load_stream(tiny.stream).tasks[0]
    trained, masks = choice(finetune(context_of(tiny), like), task)
    expected = counts_of(trained, masks)
    others, drawn = choice(finetune(context_of(tiny), {"name": "random", "like": like, "among": among}), task)
    found = counts_of(others, drawn)
    assert sum(found.values()) == sum(expected.values())
    if among == "tensor":
        assert found == expected
    if among == "shape":
        for shape in {item.parameter.shape for item in trained}:
            alike = [item.name for item in trained if item.parameter.shape == shape]
            assert sorted(found[name] for name in alike) == sorted(expected[name] for name in alike)


def test_a_control_needs_a_selector_that_chooses_once_and_one_number(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a selector that chooses once for each update"):
        cell_with(tiny.stream, tmp_path, {"name": "finetune", "select": {"name": "random", "like": "id3"}})
    both = {"name": "random", "like": "kappa", "share": 0.5}
    with pytest.raises(ConfigError, match="at most one of share and like"):
        cell_with(tiny.stream, tmp_path, {"name": "finetune", "select": both})
    cell = cell_with(tiny.stream, tmp_path, {"name": "finetune", "select": {"name": "random", "like": "kappa"}})
    assert cell.label == "finetune select=random(like=kappa)"


@pytest.mark.parametrize("select", ["neuroada", "s2ft", "id3", {"name": "random", "like": "neuroada"}], ids=str)
def test_entries_of_weights_are_not_chosen_among_adapters(select: object, tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="works on weights of the model, but this strategy does not train them"):
        cell_with(tiny.stream, tmp_path, {"name": "lora", "select": select})


def test_masked_entries_keep_their_bits_and_get_no_gradient() -> None:
    """Also a negative zero, and where a gradient is not finite."""
    item = weight("w", [[-0.0, 1.0, 2.0, -3.0]])
    masking = Masking([item], {item.name: torch.tensor([[False, False, True, True]])})
    item.parameter.grad = torch.tensor([[torch.nan, -torch.inf, 5.0, -6.0]])
    masking.mask_gradients()
    assert item.parameter.grad.tolist() == [[0.0, 0.0, 5.0, -6.0]]
    with torch.no_grad():
        item.parameter.copy_(torch.tensor([[7.0, torch.nan, 8.0, -0.0]]))
    masking.restore()
    wanted = torch.tensor([[-0.0, 1.0, 8.0, -0.0]])
    assert torch.equal(item.parameter.detach().view(torch.int32), wanted.view(torch.int32))


# Blocks


def test_bottom_k_is_telly_on_one_stack() -> None:
    context = of_other_learner("tiny_vit.py", "plain")
    strategy = finetune(context, {"name": "bottom-k", "share": 0.5})
    _, masks = choice(strategy, Task("t", "classification", "accuracy", lambda _: 1 / 0, lambda _: 1 / 0))  # type: ignore[arg-type, return-value]
    telly = Telly(TellyConfig(share=0.5), of_other_learner("tiny_vit.py", "plain"))
    assert set(masks) == {name for name, _ in telly.trainable_parameters()}
    assert "backbone.norm.weight" in masks
    assert "backbone.blocks.2.norm1.weight" in masks
    assert "backbone.blocks.1.norm1.weight" not in masks


def test_bottom_k_freezes_blocks_of_each_tower(tiny: Any) -> None:
    context = context_of(tiny)
    task = load_stream(tiny.stream).tasks[0]
    _, masks = choice(finetune(context, {"name": "bottom-k", "share": 0.5}), task)
    prefixes = ("visual.transformer.resblocks.1.", "transformer.resblocks.1.")
    assert set(masks) == {name for name in context.learner.trainable() if name.startswith(prefixes)}


@pytest.mark.parametrize("strategy", ["lora", "peft"])
def test_selectors_of_layers_choose_adapters(strategy: str, tiny: Any) -> None:
    """Adapters of the top blocks, or of the layers with the lowest condition number of the *adapted* weight."""
    task = load_stream(tiny.stream).tasks[0]

    def masks_of(select: object) -> tuple[set[str], Any]:
        context = context_of(tiny)
        made: GradientStrategy[Any] = (
            Lora(LoraConfig.model_validate({"select": select, "rank": 2}), context)
            if strategy == "lora"
            else Peft(PeftStrategyConfig.model_validate({"select": select, "method": "lora"}), context)
        )
        weights = {name: p.detach().clone() for name, p in context.learner.trainable().items()}
        found: dict[str, Any] = {}
        original = made.masks

        def spied(trained: Sequence[Trained], task: Task) -> Masks | None:
            assert not any(item.own for item in trained)
            found.update(original(trained, task) or {})
            return found

        made.masks = spied  # type: ignore[method-assign]
        learn_task(made, task)
        now = context.learner.trainable()
        moved = {name for name, p in now.items() if not torch.equal(p, weights[name])}
        return moved, context.learner

    moved, learner = masks_of({"name": "bottom-k", "share": 0.5})
    top = {f"{layer.name}.weight" for layer in learner.linear_layers() if layer.block == 1}
    assert moved == top
    start = build_learner(tiny.learner, 0, CPU)
    weights = {layer.name: start.module.get_submodule(layer.name).weight for layer in start.linear_layers()}
    moved, learner = masks_of({"name": "kappa", "share": 0.25})
    assert moved == {f"{name}.weight" for name in lowest(weights, 0.25, within_shape=False)}  # type: ignore[arg-type]
    moved, _ = masks_of({"name": "random", "like": {"name": "kappa", "share": 0.25}, "among": "shape"})
    assert len(moved) == 6  # a quarter of 2 towers x 2 blocks x 6 layers


@pytest.mark.parametrize(
    ("file", "inside", "outside"),
    [
        ("tiny_llama.py", {"model.layers.1.input_layernorm.weight": ("decoder", 1)}, "model.norm.weight"),
        (
            "tiny_t5.py",
            {
                "decoder.block.1.layer.2.layer_norm.weight": ("decoder", 1),
                "encoder.block.0.layer.0.layer_norm.weight": ("encoder", 0),
            },
            "decoder.final_layer_norm.weight",
        ),
    ],
)
def test_norms_belong_to_the_block_that_they_lie_in(
    file: str, inside: dict[str, tuple[str, int]], outside: str
) -> None:
    learner = of_other_learner(file).learner
    found = blocks_of(described(learner, learner.trainable().items()), learner)
    assert {name: found[name] for name in inside} == inside
    assert found[outside] is None


def test_the_number_of_values_that_move_is_recorded_for_every_update(tiny: Any) -> None:
    numbers: dict[str, float] = {}
    strategy = finetune(context_of(tiny, numbers=numbers), {"name": "neuroada", "reselect": "first"})
    weights = strategy.learner.trainable()
    rows = sum(weights[f"{layer.name}.weight"].shape[0] for layer in strategy.learner.linear_layers())
    for task in load_stream(tiny.stream).tasks[:2]:
        numbers.clear()
        learn_task(strategy, task)
        assert numbers["select/values"] == rows


# KappaTune


def test_condition_numbers_by_hand() -> None:
    assert condition_number(torch.diag(torch.tensor([4.0, 2.0, 1.0]))) == pytest.approx(4.0, rel=1e-6)
    assert condition_number(torch.diag(torch.tensor([2.0, 0.0]))) == pytest.approx(2e8, rel=1e-6)


@given(factor=st.floats(0.1, 10), share=st.floats(0.01, 1.0))
def test_scaling_weights_leaves_the_order_and_the_count_is_the_share(factor: float, share: float) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(4, 4, generator=generator) for name in "abcdefg"}
    for within in (False, True):
        names = lowest(weights, share, within)
        assert names == lowest({name: factor * tensor for name, tensor in weights.items()}, share, within)
        assert len(names) == max(1, int(share * 7 + 1e-8))


def test_within_shapes_each_shape_gets_its_share() -> None:
    """Of four 2 x 2 and four 8 x 8 matrices the lowest half is all small ones in the model, two of each by shape."""
    small = {f"s{i}": torch.diag(torch.tensor([1.0 + i, 1.0])) for i in range(4)}
    large = {f"l{i}": torch.diag(torch.tensor([100.0 + i, *[1.0] * 7])) for i in range(4)}
    assert lowest(small | large, 0.5, within_shape=False) == ["s0", "s1", "s2", "s3"]
    assert sorted(lowest(small | large, 0.5, within_shape=True)) == ["l0", "l1", "s0", "s1"]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7, 1.0])
def test_the_lowest_condition_numbers_are_pefts(share: float) -> None:
    from peft.helpers import find_kappa_target_modules

    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(4 + n, 9 - n) for n in range(5)), *(nn.Linear(6, 6) for _ in range(5)))
    weights = {name: layer.weight for name, layer in model.named_children()}
    wanted = find_kappa_target_modules(model, top_p=share, show_progress=False)["target_modules"]
    assert lowest(weights, share, within_shape=False) == wanted  # type: ignore[arg-type]


def test_kappa_of_all_layers_trains_all_weights_of_linear_layers(tiny: Any) -> None:
    context = context_of(tiny)
    _, masks = choice(finetune(context, {"name": "kappa", "share": 1.0}), load_stream(tiny.stream).tasks[0])
    assert set(masks) == {f"{layer.name}.weight" for layer in context.learner.linear_layers()}
    assert set(masks.values()) == {None}


# NeuroAda and S2FT


def chosen_of(context: Context, select: object, items: Sequence[Trained], task: Task) -> Masks:
    """The choice among given parameters."""
    selector = finetune(context, select).parts.select
    assert isinstance(selector, FixedSelector)
    return selector.choose(items, task)


def test_neuroada_by_hand(tiny: Any) -> None:
    task = load_stream(tiny.stream).tasks[0]
    items = [
        weight("w", [[0.1, -3.0, 2.0], [0.5, 0.2, -0.1]]),
        Trained("norm", nn.Parameter(torch.ones(3)), None, own=True),
    ]
    context = of_other_learner("tiny_clip.py")
    one = chosen_of(context, "neuroada", items, task)
    assert {name: mask.int().tolist() for name, mask in one.items() if mask is not None} == {
        "w.weight": [[0, 1, 0], [1, 0, 0]]
    }
    back = chosen_of(context, {"name": "neuroada", "reverse": True, "k": 2}, items, task)["w.weight"]
    assert back is not None
    assert back.int().tolist() == [[1, 0, 1], [0, 1, 1]]
    whole = chosen_of(context, {"name": "neuroada", "k": 9}, items, task)["w.weight"]
    assert whole is not None
    assert bool(whole.all())


def test_s2ft_moves_whole_columns_and_rows(tiny: Any) -> None:
    """Heads of the tiny CLIP have 16 of 32 values: two heads in each of four layers, so half are four heads."""
    context = context_of(tiny)
    shares = {"out": 0.5, "v": 0.25, "down": 0.1, "up": 0.05}
    strategy = finetune(context, {"name": "s2ft", **shares})
    task = load_stream(tiny.stream).tasks[0]
    strategy.check(task)
    trained, masks = choice(strategy, task)
    units = dict.fromkeys(shares, 0)
    for item in trained:
        mask = masks.get(item.name)
        if mask is None:
            continue
        assert item.layer is not None
        role = item.layer.role
        lines = mask.T if role in ("out", "down") else mask
        assert torch.equal(lines.any(dim=1), lines.all(dim=1))  # a column or row moves whole or not at all
        width = 16 if role in ("out", "v") else 1
        heads = lines.all(dim=1).view(-1, width)
        assert torch.equal(heads.any(dim=1), heads.all(dim=1))
        units[role] += int(heads.all(dim=1).sum())
    channels = 4 * 128
    assert units == {"out": 4, "v": 2, "down": int(0.1 * channels), "up": int(0.05 * channels)}


def test_s2ft_counts_key_value_heads_of_v_and_heads_of_out() -> None:
    """The tiny LLaMA has four heads of 4 values and two key-value heads in each of two layers."""
    task = Task("t", "text", "exact_match", lambda _: 1 / 0, lambda _: 1 / 0)  # type: ignore[arg-type, return-value]
    strategy = finetune(of_other_learner("tiny_llama.py"), {"name": "s2ft", "out": 0.25, "v": 0.5, "down": 0.0})
    strategy.check(task)
    trained, masks = choice(strategy, task)
    counts = counts_of(trained, masks)
    by_role = {
        role: sum(counts[item.name] for item in trained if item.layer and item.layer.role == role)
        for role in ("out", "v", "down", "up")
    }
    assert by_role == {"out": 2 * 4 * 16, "v": 2 * 4 * 16, "down": 0, "up": 0}


@pytest.mark.parametrize(
    ("file", "argument"), [("tiny_t5.py", ""), ("tiny_vit.py", "plain"), ("tiny_vit.py", "dinov3")]
)
def test_s2ft_knows_the_heads_of_every_family(file: str, argument: str) -> None:
    task = Task("t", "text", "exact_match", lambda _: 1 / 0, lambda _: 1 / 0)  # type: ignore[arg-type, return-value]
    strategy = finetune(of_other_learner(file, argument), {"name": "s2ft", "out": 0.5, "v": 0.5})
    strategy.check(task)
    assert choice(strategy, task)[1]


# ID3


def test_the_plan_of_releases_by_hand() -> None:
    def steps(budget: int, total: int) -> list[int]:
        return [released_by(t, total, budget) - released_by(t - 1, total, budget) for t in range(1, total + 1)]

    assert steps(7, 3) == [3, 2, 2]
    assert steps(2, 4) == [1, 1, 0, 0]


@given(budget=st.integers(0, 50), total=st.integers(1, 20))
def test_all_values_are_released_in_the_last_step(budget: int, total: int) -> None:
    assert released_by(total, total, budget) == budget
    assert released_by(0, total, budget) == 0


@given(size=st.integers(1, 3000), share=st.floats(0, 1), levels=st.integers(1, 2000), seed=st.integers(0, 99))
def test_the_largest_values_are_those_of_a_sort(size: int, share: float, levels: int, seed: int) -> None:
    """Also with equal values, with values left out as minus infinity, and where blocks do not divide the number."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(levels, (size,), generator=generator).float()
    values[torch.rand(size, generator=generator) < 0.3] = -torch.inf
    for count in (int(share * size), min(size, 3)):
        found = top_positions(values, count)
        assert len(found.unique()) == count
        assert torch.equal(values[found].sort().values, values.sort().values[size - count :])


def test_a_selector_that_chooses_nothing_is_refused(tiny: Any) -> None:
    task = load_stream(tiny.stream).tasks[0]
    for select in ("id3", "random"):
        with pytest.raises(ConfigError, match=r"^selector .*: chooses nothing, so nothing is left to train$"):
            finetune(context_of(tiny), select).parts.masks([], task)


@pytest.mark.parametrize(("p", "released"), [(0.0, [0, 2]), (1.0, [1, 3])])
def test_id3_by_hand(p: float, released: list[int], tiny: Any) -> None:
    """|g| = 4, 3, 5, 2; over |theta| = 1, 0.1, 2, 0.05 it is about 4, 30, 2.5, 40."""
    task = load_stream(tiny.stream).tasks[0]
    selector = finetune(context_of(tiny), {"name": "id3", "count": 2, "p": p}).parts.select
    assert isinstance(selector, Id3)
    items = [weight("a", [[1.0, -0.1]]), weight("b", [[2.0, 0.05]])]
    masks = list(selector.chosen(items, task).values())
    items[0].parameter.grad, items[1].parameter.grad = torch.tensor([[-4.0, 3.0]]), torch.tensor([[5.0, -2.0]])
    order = []
    for step in (1, 2):
        selector.after_backward(step, 2, task)
        flat = torch.cat([mask.flatten() for mask in masks if mask is not None])
        order.append(flat.nonzero().flatten().tolist())
    assert order[1] == released
    assert len(order[0]) == 1


@pytest.mark.parametrize("score", ["gradient", "random"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_id3_moves_exactly_its_budget(score: str, optimizer: str, tiny: Any) -> None:
    """Under momentum and decay; in an update of five steps 23 values are released and nothing else moves."""
    context = context_of(tiny)
    before = bits(context)
    select = {"name": "id3", "count": 23, "score": score}
    settings = {"optimizer": optimizer, "weight_decay": 0.1, "lr": 1e-2, "schedule": "constant"}
    learn_task(finetune(context, select, **settings), load_stream(tiny.stream).tasks[0])
    moved = sum(int((tensor != before[name]).sum()) for name, tensor in bits(context).items())
    assert moved <= 23
    assert moved >= (20 if score == "gradient" else 1)  # a value drawn at random may have no gradient


# IST


def test_scores_of_ist_by_hand() -> None:
    """Sets {1, 2}, {2, 4}, {3, 4} with losses 1, 1.2 and 0.9; all scores were 0, so p (1 - p) is a quarter."""
    change = 10 * score_change(torch.tensor([1.0, 1.2, 0.9]), [(0, 1), (1, 3), (2, 3)], torch.full((4,), 0.5))
    kept = torch.exp(-torch.tensor([1.0, 1.2, 0.9]))
    assert (kept - kept.mean()).tolist() == pytest.approx([0.009332, -0.057354, 0.048022], abs=1e-6)
    assert change.tolist() == pytest.approx([0.023329, -0.120055, 0.120055, -0.023329], abs=2e-6)


@given(loss=st.floats(0, 5), harmless=st.lists(st.floats(0.01, 0.99), min_size=4, max_size=4))
def test_equal_losses_change_no_score(loss: float, harmless: list[float]) -> None:
    change = score_change(torch.full((3,), loss), [(0, 1), (1, 3), (2, 3)], torch.tensor(harmless).double())
    assert float(change.abs().max()) < 1e-12


@pytest.mark.parametrize("strategy", ["lora", "finetune"])
def test_ist_measures_without_a_trace(strategy: str, tiny: Any) -> None:
    """What a measurement damps comes back to the bit: with scores that stay at 0 it changes nothing."""
    task = load_stream(tiny.stream).tasks[0]

    def trained_with(select: dict[str, object], numbers: dict[str, float]) -> dict[str, Tensor]:
        context = context_of(tiny, steps=4, numbers=numbers)
        made: GradientStrategy[Any] = (
            Lora(LoraConfig.model_validate({"select": {"name": "ist", **select}}), context)
            if strategy == "lora"
            else finetune(context, {"name": "ist", **select})
        )
        torch.manual_seed(0)
        learn_task(made, task)
        return bits(context)

    numbers: dict[str, float] = {}
    learnt = trained_with({"every": 2, "share": 1.0, "rate": 1e-300}, numbers)
    plain = trained_with({"share": 1.0, "blocks": "random"}, {})
    assert same(learnt, plain)
    assert numbers["ist/extra_samples"] == 2 * 3 * 16


def test_a_damped_block_has_a_quarter_of_its_adapter(tiny: Any) -> None:
    """With all blocks damped the loss is that of adapters of a quarter of the scale."""
    context = context_of(tiny)
    task = load_stream(tiny.stream).tasks[0]
    strategy = Lora(LoraConfig.model_validate({"select": "ist", "rank": 2}), context)
    strategy.begin_task(task)
    trained, _ = choice(strategy, task)
    with torch.no_grad():
        for item in trained:
            item.parameter.normal_(std=0.1, generator=torch.Generator().manual_seed(len(item.name)))
    batch = context.samples(task, "train").batch(slice(8))
    selector = strategy.parts.select
    assert isinstance(selector, Ist)
    assert selector._changes is not None
    with torch.no_grad(), selector._changes.damped(range(4)):
        damped = float(context.learner.loss(batch, task))
    adapter = strategy._adapter
    adapter.arithmetic = replace(adapter.arithmetic, scale=0.25)
    quarter = float(context.learner.loss(batch, task).detach())
    adapter.arithmetic = replace(adapter.arithmetic, scale=1.0)
    assert damped == pytest.approx(quarter, rel=1e-5)
    assert damped != pytest.approx(float(context.learner.loss(batch, task).detach()), rel=1e-3)


def test_ist_moves_one_of_four_blocks_in_a_step(tiny: Any) -> None:
    context = context_of(tiny, steps=1)
    start = bits(context)
    learn_task(finetune(context, "ist"), load_stream(tiny.stream).tasks[0])
    moved = {name for name, tensor in bits(context).items() if not torch.equal(tensor, start[name])}
    inside = {name for name in moved if "resblocks." in name}
    assert len({name.partition("resblocks.")[0] + name.partition("resblocks.")[2][0] for name in inside}) == 1
    assert moved - inside  # embeddings and final norms move in every step


def test_scores_of_ist_survive_when_they_are_kept(tiny: Any) -> None:
    for keep in (False, True):
        context = context_of(tiny, steps=4)
        strategy = Lora(LoraConfig.model_validate({"select": {"name": "ist", "every": 2, "keep": keep}}), context)
        learn_task(strategy, load_stream(tiny.stream).tasks[0])
        state = strategy.part_state()
        assert bool(state) == keep
        if keep:
            other = Lora(LoraConfig.model_validate({"select": {"name": "ist", "keep": True}}), context_of(tiny))
            other.load_part_state(state)
            assert isinstance(other.parts.select, Ist)
            assert other.part_state() == state


# Counts


def test_footprints_count_what_moves(tiny: Any) -> None:
    learner = build_learner(tiny.learner, 0, CPU)
    matrices = [learner.module.get_submodule(layer.name).weight for layer in learner.linear_layers()]
    found = footprint("finetune", tiny.learner, {"select": {"name": "neuroada", "k": 2}})
    assert found["trainable_parameters"] == sum(2 * matrix.shape[0] for matrix in matrices)  # type: ignore[misc, index]
    assert found["gradient_elements"] == sum(matrix.numel() for matrix in matrices)  # type: ignore[operator, misc]
    whole = footprint("finetune", tiny.learner)
    assert "gradient_elements" not in whole
    some = footprint("finetune", tiny.learner, {"select": {"name": "id3", "count": 50}})
    assert (some["trainable_parameters"], some["gradient_elements"]) == (50, whole["trainable_parameters"])
    adapters = footprint("lora", tiny.learner, {"rank": 2, "select": {"name": "kappa", "share": 0.25}})
    assert adapters["gradient_elements"] == adapters["trainable_parameters"]
    assert adapters["trainable_parameters"] < footprint("lora", tiny.learner, {"rank": 2})["trainable_parameters"]  # type: ignore[operator]


@pytest.mark.parametrize(("towers", "moves"), [(["vision"], True), (["text"], False)])
def test_only_the_chosen_towers_move(towers: list[str], moves: bool, tiny: Any) -> None:
    context = context_of(tiny, steps=2)
    first = bits(context)
    learn_task(finetune(context, {"name": "towers", "towers": towers}, lr=1e-2), load_stream(tiny.stream).tasks[0])
    changed = {name for name, tensor in bits(context).items() if not torch.equal(tensor, first[name])}
    assert changed
    assert {name.startswith("visual.") for name in changed} == {moves}


def test_a_tower_that_is_not_there_is_one_line(tiny: Any) -> None:
    strategy = finetune(context_of(tiny), {"name": "towers", "towers": ["decoder"]})
    with pytest.raises(ConfigError, match=r"towers: .* has text, vision, got decoder"):
        strategy.check(load_stream(tiny.stream).tasks[0])
