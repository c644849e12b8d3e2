"""Edits against arithmetic by hand, against other implementations, and the depth of parameters."""

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies.conftest import context_of
from tests.tiny_images import write_stream
from torch import Tensor, nn

from clbench.benchmarks.engine.learners import build_learner
from clbench.contracts import Budget, Context, Learner, LinearLayer, Task
from clbench.contracts.updating import learn_task
from clbench.core.errors import ConfigError
from clbench.strategies._parts.blocks import depths
from clbench.strategies._parts.edit import Edit
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies.finetune import Finetune
from clbench.strategies.wise_ft import WiseFt, WiseFtConfig
from clbench.streams.card import load_stream

CPU = torch.device("cpu")
HERE = Path(__file__).parents[1]
FACTORS = st.floats(0, 2)


class Blocks(nn.Module):
    """Four blocks of one layer and a norm, an embedding before them and a norm after them."""

    def __init__(self, blocks: int = 4) -> None:
        super().__init__()
        self.embed = nn.Embedding(3, 2)
        self.tower = nn.ModuleList(
            nn.ModuleDict({"norm": nn.LayerNorm(2), "up": nn.Linear(2, 2)}) for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(2)


def blocks_of(learner: Learner, module: nn.Module, layers: tuple[LinearLayer, ...]) -> Learner:
    """The learner with another module and description; only what edits ask for is used."""
    other = copy.copy(learner)
    other.module = module
    other.linear_layers = lambda: layers  # type: ignore[method-assign]
    return other


def tower(names: Mapping[str, int], of: str = "vision") -> tuple[LinearLayer, ...]:
    return tuple(LinearLayer(name, "up", of, block) for name, block in names.items())


def edit_on(tiny: Any, module: nn.Module | None = None, numbers: Any = None, **edit: object) -> Edit[Any]:
    """An edit of a strategy on the tiny learner, or on the four blocks."""
    context = context_of(tiny, numbers=numbers)
    if module is not None:
        layers = tower({f"tower.{block}.up": block for block in range(len(module.tower))})  # type: ignore[arg-type]
        context = Context(**{**vars(context), "learner": blocks_of(context.learner, module, layers)})
    return Finetune(GradientConfig.model_validate({"edit": edit}), context).parts.edits[0]


def applied(edit: Edit[Any], anchor: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the edit's learner after it."""
    weights = dict(edit.learner.module.named_parameters())
    with torch.no_grad():
        edit.apply(weights, anchor)
    return {name: p.detach().clone() for name, p in weights.items()}


# Depth


@pytest.mark.parametrize(
    ("learner", "towers", "outside"),
    [
        ("tiny_clip", ("visual.transformer.resblocks.{}.", "transformer.resblocks.{}."), 13),
        ("tiny_vit", ("backbone.blocks.{}.",), 6),
        ("tiny_llama", ("model.layers.{}.",), 2),
        ("tiny_t5", ("encoder.block.{}.", "decoder.block.{}."), 3),
    ],
)
def test_depth_by_the_names_of_every_family(learner: str, towers: tuple[str, ...], outside: int) -> None:
    model = build_learner(str(HERE / f"{learner}.py"), 0, CPU)
    found = depths(model)
    assert found.keys() == model.trainable().keys()
    for pattern in towers:
        blocks = [[name for name in found if name.startswith(pattern.format(block))] for block in range(9)]
        filled = [names for names in blocks if names]
        for block, names in enumerate(filled):
            wanted = block / (len(filled) - 1) if len(filled) > 1 else 1.0
            assert {found[name] for name in names} == {wanted}
    assert sum(depth is None for depth in found.values()) == outside
    assert any("norm" in name or "ln_" in name for name, depth in found.items() if depth is not None)


def test_depth_where_names_mislead(tiny: Any) -> None:
    """A number inside a block is no block; a tower of one block is its last; towers count by themselves."""
    learner = context_of(tiny).learner
    module = nn.ModuleDict({"a": nn.ModuleList(), "b": nn.ModuleDict({"0": nn.ModuleDict({"up": nn.Linear(1, 1)})})})
    for _ in range(2):
        inner = nn.ModuleDict({"0": nn.Linear(1, 1), "1": nn.Linear(1, 1)})
        module["a"].append(nn.ModuleDict({"mlp": inner, "norm": nn.LayerNorm(1)}))  # type: ignore[operator]
    layers = tower({f"a.{block}.mlp.{part}": block for block in (0, 1) for part in (0, 1)})
    other = blocks_of(learner, module, layers + tower({"b.0.up": 0}, "text"))
    other.trainable = lambda: dict(module.named_parameters())  # type: ignore[method-assign]
    found = depths(other)
    assert {name for name, depth in found.items() if depth == 0} == {
        f"a.0.{part}.{kind}" for part in ("mlp.0", "mlp.1", "norm") for kind in ("weight", "bias")
    }
    assert {depth for name, depth in found.items() if name.startswith(("a.1.", "b."))} == {1.0}


def test_a_learner_without_blocks_is_refused_in_one_line(tiny: Any) -> None:
    edit = edit_on(tiny, name="lines")
    task = load_stream(tiny.stream).tasks[0]
    edit.check(task)
    outside = tower({"visual.proj": -1})
    edit.strategy.learner = blocks_of(edit.learner, edit.learner.module, outside)
    with pytest.raises(ConfigError, match=r"^learner tiny-clip has no blocks, so its parameters have no depth$"):
        edit.check(task)
    edit.strategy.learner = blocks_of(edit.learner, edit.learner.module, ())
    with pytest.raises(ConfigError, match=r"^edit intruder: learner tiny-clip has no linear layers$"):
        intruder = edit_on(tiny, name="intruder")
        intruder.strategy.learner = edit.strategy.learner
        intruder.check(task)


# LiNeS


def factors_of(edit: Edit[Any]) -> dict[str, float]:
    """The factor of each parameter: the anchor is 0, all learnt weights are 1."""
    with torch.no_grad():
        for p in edit.learner.module.parameters():
            p.fill_(1)
    found = applied(edit, {name: torch.zeros_like(p) for name, p in edit.learner.module.named_parameters()})
    assert all(bool((tensor == tensor.flatten()[0]).all()) for tensor in found.values())
    return {name: float(tensor.flatten()[0]) for name, tensor in found.items()}


@pytest.mark.parametrize(("order", "wanted"), [("depth", [0.1, 0.4, 0.7, 1.0]), ("reversed", [1.0, 0.7, 0.4, 0.1])])
def test_lines_by_hand(order: str, wanted: list[float], tiny: Any) -> None:
    found = factors_of(edit_on(tiny, Blocks(), name="lines", a=0.1, b=0.9, order=order))
    for block, factor in enumerate(wanted):
        for part in ("norm.weight", "norm.bias", "up.weight", "up.bias"):
            assert found[f"tower.{block}.{part}"] == pytest.approx(factor)
    assert [found[name] for name in ("embed.weight", "norm.weight", "norm.bias")] == pytest.approx([0.1, 0.1, 0.1])


def noise_for(module: nn.Module, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(p.shape, generator=generator) for name, p in module.named_parameters()}


@settings(max_examples=20)
@given(a=FACTORS, b=st.none() | FACTORS, seed=st.integers(0, 9))
def test_the_uniform_control_has_the_norm_of_lines(a: float, b: float | None, seed: int, tiny: Any) -> None:
    norms = []
    for order in ("depth", "uniform"):
        edit = edit_on(tiny, Blocks(), name="lines", a=a, b=b, order=order)
        anchor, learnt = noise_for(edit.learner.module, seed), noise_for(edit.learner.module, seed + 100)
        edit.learner.module.load_state_dict(learnt)
        found = applied(edit, anchor)
        norms.append(math.sqrt(sum(float((found[name] - anchor[name]).square().sum()) for name in found)))
        if order == "uniform":
            ratios = torch.cat(
                [((found[name] - anchor[name]) / (learnt[name] - anchor[name])).flatten() for name in found]
            )
            assert float(ratios.max() - ratios.min()) < 1e-2
    assert norms[0] == pytest.approx(norms[1], rel=1e-4, abs=1e-6)


@settings(max_examples=20)
@given(seed=st.integers(0, 99))
def test_lines_with_a_of_1_is_the_identity_to_the_bit(seed: int, tiny: Any) -> None:
    for order in ("depth", "reversed"):
        edit = edit_on(tiny, Blocks(), name="lines", a=1.0, order=order)
        anchor, learnt = noise_for(edit.learner.module, seed), noise_for(edit.learner.module, seed + 100)
        edit.learner.module.load_state_dict(learnt)
        assert all(torch.equal(tensor, learnt[name]) for name, tensor in applied(edit, anchor).items())


@pytest.mark.parametrize("anchor", ["previous", "pretrained"])
def test_lines_after_training_for_both_anchors(anchor: str, tiny: Any) -> None:
    """Task two starts from the edited version; without an edit the same training ends where the formula starts."""
    tasks = load_stream(tiny.stream).tasks[:2]
    context = context_of(tiny)
    start = {name: t.clone() for name, t in context.learner.state_dict().items()}
    strategy = Finetune(GradientConfig.model_validate({"edit": {"name": "lines", "anchor": anchor}}), context)
    learn_task(strategy, tasks[0])
    middle = {name: t.clone() for name, t in context.learner.state_dict().items()}
    learn_task(strategy, tasks[1])
    plain = context_of(tiny)
    plain.learner.load_state_dict(middle)
    again = Finetune(GradientConfig(), plain)
    again.seen, again.version = [tasks[0]], 1
    learn_task(again, tasks[1])
    base = middle if anchor == "previous" else start
    for name, depth in depths(plain.learner).items():
        learnt, factor = plain.learner.state_dict()[name], 0.3 + 0.7 * (depth or 0)
        wanted = base[name] + factor * (learnt - base[name])
        torch.testing.assert_close(context.learner.state_dict()[name], wanted, msg=name)


# WiSE-FT


def contexts(tiny: Any, family: str, folder: Path) -> tuple[list[Context], tuple[Task, ...]]:
    """Two equal contexts, and the tasks."""
    if family == "clip":
        return [context_of(tiny), context_of(tiny)], load_stream(tiny.stream).tasks
    path = str(HERE / "tiny_vit.py")
    stream = load_stream(write_stream(folder, path, ("disc", "tone", "shade")))

    def context() -> Context:
        model = build_learner(path, 0, CPU)
        return Context(
            learner=model,
            budget=Budget(steps=3, batch_size=4),
            seed=0,
            samples=lambda task, split: model.encode(task.load(split), task),
            new_learner=lambda: build_learner(path, 0, CPU),
            progress=lambda step, total: None,
            record=lambda name, value: None,
        )

    return [context(), context()], stream.tasks


@pytest.mark.parametrize("family", ["clip", "vit"])
@pytest.mark.parametrize("anchor", ["previous", "pretrained"])
def test_the_wise_ft_edit_after_finetune_is_the_strategy_to_the_bit(
    anchor: str, family: str, tiny: Any, tmp_path: Path
) -> None:
    (first, second), tasks = contexts(tiny, family, tmp_path)
    values = {"anchor": anchor, "alpha": 0.6}
    strategy = WiseFt(WiseFtConfig.model_validate(values), first)
    edited = Finetune(GradientConfig.model_validate({"edit": {"name": "wise-ft", **values}}), second)
    for task in tasks:
        learn_task(strategy, task)
        learn_task(edited, task)
        assert second.learner.digest() == first.learner.digest()


# Intruder dimensions


class One(nn.Module):
    """One matrix in the place of a block."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.tower = nn.ModuleList([nn.ModuleDict({"up": nn.Linear(columns, rows, bias=False)})])


NAME = "tower.0.up.weight"


def test_an_intruder_by_hand(tiny: Any) -> None:
    """The anchor has the directions e1, e2; e3 is new and strong: half of it stays. e1 became stronger and stays."""
    numbers: dict[str, float] = {}
    edit = edit_on(tiny, One(3, 2), numbers, name="intruder", kept=0.5)
    anchor = torch.tensor([[3.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    edit.learner.module.load_state_dict({NAME: torch.tensor([[5.0, 0.0], [0.0, 0.0], [0.0, 4.0]])})
    found = applied(edit, {NAME: anchor})[NAME]
    torch.testing.assert_close(found, torch.tensor([[5.0, 0.0], [0.0, 0.0], [0.0, 2.0]]))
    assert numbers["edit/intruders"] == 1


@settings(max_examples=20)
@given(seed=st.integers(0, 99), kept=st.floats(0, 1), top_k=st.integers(1, 6))
def test_intruders_against_pefts_formula(seed: int, kept: float, top_k: int, tiny: Any) -> None:
    """Written out after PEFT, before its cut to the adapter's rank; what is left alone keeps its bits."""
    generator = torch.Generator().manual_seed(seed)
    anchor, change = torch.randn(12, 5, generator=generator), torch.randn(12, 5, generator=generator)
    learnt = anchor + 2 * change
    edit = edit_on(tiny, One(12, 5), name="intruder", kept=kept, top_k=top_k)
    edit.learner.module.load_state_dict({NAME: learnt})
    found = applied(edit, {NAME: anchor})[NAME]
    base = torch.linalg.svd(anchor, full_matrices=False).U
    u, s, v = torch.linalg.svd(learnt, full_matrices=False)
    new = torch.where((u.T @ base).abs().max(dim=1).values[:top_k] < 0.5)[0].tolist()
    wanted = learnt + (kept - 1) * (
        u[:, new] @ torch.diag(s)[new, :].sqrt() @ (torch.diag(s)[:, new].sqrt() @ v[new, :])
    )
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    if kept == 1 or not new:
        assert torch.equal(found, learnt)
