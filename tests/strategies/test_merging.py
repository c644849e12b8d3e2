"""Merging strategies on a tiny model: what they emit, what they keep and what they record."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.strategies.cut_runs import Killed, run
from tests.tiny_images import write_stream
from torch import Tensor

from clbench.benchmarks.engine.suite import load_suite
from clbench.contracts import Context, Strategy
from clbench.contracts.updating import learn_task
from clbench.core.errors import ConfigError
from clbench.core.registry import STRATEGIES
from clbench.streams.card import load_stream

HERE = Path(__file__).parents[1]
TRAINED = {"lr": 3e-3}
WHOLE = [
    ("weight-average", {}),
    ("task-arithmetic", {"scale": 1.0}),
    ("task-arithmetic", {"scale": 1.0, "divide": True}),
    ("ties", {"scale": 1.0, "keep": 1.0}),
    ("ties", {"scale": 1.0, "keep": 1.0, "pairwise": True}),
    ("dare", {"scale": 1.0, "p": 0.0}),
    ("magmax", {"scale": 1.0}),
    ("opcm", {}),
]
LOW_RANK = [("knots", {"scale": 1.0, "keep": 1.0, "rank": 2}), ("do-merging", {"rank": 2})]
Learnt = Callable[..., tuple[list[dict[str, Tensor]], list[dict[str, float]]]]


@pytest.fixture
def learnt(tiny: Any, new_context: Callable[..., Context]) -> Learnt:
    """Weights and recorded numbers of versions 1, 2, ... of a strategy, version 0 in front of the weights."""

    def learn(name: str, settings: dict[str, Any], tasks: int = 1) -> Any:
        numbers: dict[str, float] = {}
        strategy = new_strategy(name, settings, new_context(numbers=numbers))
        versions, told = [weights_of(strategy)], []
        for task in load_stream(tiny.stream, None, 0).tasks[:tasks]:
            numbers.clear()
            learn_task(strategy, task)
            versions.append(weights_of(strategy))
            told.append(dict(numbers))
        return versions, told

    return learn


def new_strategy(name: str, settings: dict[str, Any], context: Context) -> Strategy[Any]:
    component = STRATEGIES.get(name)
    assert component.config is not None
    strategy: Strategy[Any] = component.value(component.config(**TRAINED | settings), context)
    return strategy


def weights_of(strategy: Strategy[Any]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in strategy.learner.state_dict().items()}


def offset_of(version: dict[str, Tensor], first: dict[str, Tensor]) -> Tensor:
    return torch.cat([(version[name] - first[name]).double().flatten() for name in first])


@pytest.mark.parametrize(("name", "settings"), [*WHOLE, *LOW_RANK], ids=str)
def test_one_task_returns_the_fine_tuned_weights(name: str, settings: dict[str, Any], learnt: Learnt) -> None:
    alone = ("lora", {"rank": 2}) if (name, settings) in LOW_RANK else ("per-task", {})
    (_, wanted), _ = learnt(*alone)
    (_, found), (numbers,) = learnt(name, settings)
    for tensor, other in zip(found.values(), wanted.values(), strict=True):
        torch.testing.assert_close(tensor, other, rtol=0, atol=1e-6)
    assert numbers["merge/kept"] == pytest.approx(1)
    assert "merge/cosine" not in numbers


@pytest.mark.parametrize(("name", "settings"), [*WHOLE, *LOW_RANK], ids=str)
def test_the_recorded_norm_is_that_of_the_offset(name: str, settings: dict[str, Any], learnt: Learnt) -> None:
    versions, numbers = learnt(name, settings, tasks=2)
    for version, told in zip(versions[1:], numbers, strict=True):
        assert told["merge/norm"] == pytest.approx(float(offset_of(version, versions[0]).norm()), rel=1e-4)
        assert told["train/loss_last"] > 0
    assert -1 <= numbers[1]["merge/cosine"] <= 1


def test_the_average_is_that_of_models_trained_apart(learnt: Learnt) -> None:
    apart, _ = learnt("per-task", {}, tasks=3)
    averaged, numbers = learnt("weight-average", {}, tasks=3)
    for version in (1, 2, 3):
        wanted = torch.stack([offset_of(apart[task], apart[0]) for task in range(1, version + 1)]).mean(dim=0)
        torch.testing.assert_close(offset_of(averaged[version], averaged[0]), wanted, rtol=0, atol=1e-6)
        norm = float(offset_of(apart[version], apart[0]).norm())
        assert numbers[version - 1]["merge/norm_task"] == pytest.approx(norm, rel=1e-4)


def test_task_arithmetic_adds_and_divides(learnt: Learnt) -> None:
    averaged, _ = learnt("weight-average", {}, tasks=3)
    summed, _ = learnt("task-arithmetic", {"scale": 0.3}, tasks=3)
    divided, _ = learnt("task-arithmetic", {"scale": 0.3, "divide": True}, tasks=3)
    for version in (1, 2, 3):
        mean = offset_of(averaged[version], averaged[0])
        torch.testing.assert_close(offset_of(summed[version], summed[0]), 0.3 * version * mean, rtol=0, atol=1e-6)
        torch.testing.assert_close(offset_of(divided[version], divided[0]), 0.3 * mean, rtol=0, atol=1e-6)


def test_magmax_goes_on_from_the_fine_tuned_weights_and_never_from_merged_ones(learnt: Learnt) -> None:
    chained, _ = learnt("finetune", {}, tasks=2)  # version 2 is fine-tuned from version 1
    merged, _ = learnt("magmax", {"scale": 0.5}, tasks=2)
    one, two = (offset_of(chained[version], chained[0]) for version in (1, 2))
    wanted = 0.5 * torch.where(one.abs() > two.abs(), one, two)
    torch.testing.assert_close(offset_of(merged[2], merged[0]), wanted, rtol=0, atol=1e-6)
    apart, _ = learnt("per-task", {}, tasks=2)
    merged, _ = learnt("magmax", {"scale": 0.5, "start_from": "pretrained"}, tasks=2)
    two = offset_of(apart[2], apart[0])
    wanted = 0.5 * torch.where(one.abs() > two.abs(), one, two)
    torch.testing.assert_close(offset_of(merged[2], merged[0]), wanted, rtol=0, atol=1e-6)


def test_opcm_has_the_mean_norm_of_tasks(learnt: Learnt) -> None:
    _, numbers = learnt("opcm", {}, tasks=3)
    for version in (1, 2, 3):
        mean = sum(told["merge/norm_task"] for told in numbers[:version]) / version
        assert numbers[version - 1]["merge/norm"] == pytest.approx(mean, rel=1e-6)
    assert numbers[0]["merge/lambda"] == pytest.approx(1)
    assert 0 < numbers[2]["merge/kept"] < 1


def test_pairwise_ties_counts_the_offset_again(learnt: Learnt) -> None:
    settings = {"keep": 1.0, "pairwise": True, "scale": 0.5}
    apart, _ = learnt("per-task", {}, tasks=2)
    merged, _ = learnt("ties", settings, tasks=2)
    first, second = (offset_of(apart[version], apart[0]) for version in (1, 2))
    torch.testing.assert_close(offset_of(merged[1], merged[0]), 0.5 * first, rtol=0, atol=1e-6)
    total = 0.5 * first + second
    both = sum(torch.where(part.sign() == total.sign(), part, 0.0) for part in (0.5 * first, second))
    difference = offset_of(merged[2], merged[0]) - (0.5 * first + 0.5 * both)
    assert float((difference.abs() > 1e-6).double().mean()) < 0.001  # round-off turns signs of sums near 0


@pytest.mark.parametrize(("name", "settings"), [("ties", {}), ("opcm", {}), ("magmax", {}), ("knots", {"rank": 2})])
def test_the_mean_control_has_the_methods_norm_and_the_means_direction(
    name: str, settings: dict[str, Any], learnt: Learnt
) -> None:
    _, usual = learnt(name, settings, tasks=3)
    versions, numbers = learnt(name, {**settings, "control": "mean"}, tasks=3)
    for told, own in zip(numbers, usual, strict=True):
        assert told["merge/norm"] == pytest.approx(own["merge/norm"], rel=1e-5)
    if name in ("ties", "opcm"):
        averaged, _ = learnt("weight-average", {}, tasks=3)
        one, two = offset_of(versions[3], versions[0]), offset_of(averaged[3], averaged[0])
        assert float(torch.cosine_similarity(one, two, dim=0)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", ["weight-average", "do-merging"])
def test_the_permuted_control_has_the_same_norm_at_other_places(name: str, learnt: Learnt) -> None:
    (first, usual), (own,) = learnt(name, {})
    (_, moved), (told,) = learnt(name, {"control": "permuted"})
    assert told["merge/norm_task"] == pytest.approx(own["merge/norm_task"], rel=1e-5)
    one, two = offset_of(usual, first), offset_of(moved, first)
    assert abs(float(torch.cosine_similarity(one, two, dim=0))) < 0.2
    torch.testing.assert_close(one.sort().values, two.sort().values, rtol=0, atol=1e-6)
    (_, again), _ = learnt(name, {"control": "permuted"})
    assert all(torch.equal(again[key], moved[key]) for key in moved)


def test_only_the_chosen_towers_are_trained_and_merged(learnt: Learnt) -> None:
    (first, found), _ = learnt("weight-average", {"towers": ("vision",)})
    changed = {name for name in first if not torch.equal(first[name], found[name])}
    assert changed
    assert all(name.startswith("visual.") for name in changed)
    (first, found), _ = learnt("knots", {"towers": ("text",), "rank": 2})
    changed = {name for name in first if not torch.equal(first[name], found[name])}
    assert changed
    assert not any(name.startswith("visual.") for name in changed)


def test_a_tower_that_is_not_there_is_refused(new_context: Callable[..., Context]) -> None:
    with pytest.raises(ConfigError, match=r"towers: .* has text, vision, got decoder"):
        new_strategy("ties", {"towers": ("decoder",)}, new_context())


VARIANTS = [
    {"name": "ties", "pairwise": True},
    {"name": "ties", "control": "mean"},
    {"name": "magmax", "start_from": "pretrained"},
    {"name": "magmax", "control": "permuted"},
    {"name": "knots", "rank": 2, "control": "permuted"},
    {"name": "do-merging", "rank": 2, "orthogonalize": False, "control": "mean"},
    {"name": "opcm", "towers": ["vision"]},
    {"name": "task-arithmetic", "edit": {"name": "lines", "a": 0.2, "b": 0.5, "anchor": "pretrained"}},
    {"name": "knots", "rank": 2, "edit": {"name": "wise-ft", "alpha": 0.8}},
    {"name": "ties", "pairwise": True, "edit": ["lines", {"name": "wise-ft", "alpha": 0.8}]},
]


LINES = {"edit": {"name": "lines", "a": 0.2, "b": 0.5, "anchor": "pretrained"}}


@pytest.mark.parametrize(
    ("name", "settings"), [("task-arithmetic", {"scale": 0.7}), ("opcm", {}), ("ties", {"control": "mean"})], ids=str
)
def test_edits_of_what_is_emitted_do_not_add_up(name: str, settings: dict[str, Any], learnt: Learnt) -> None:
    """LiNeS on the merged weights: the offset of every version is the plain one, scaled by depth once."""
    plain, told = learnt(name, settings, tasks=3)
    edited, other = learnt(name, {**settings, **LINES}, tasks=3)
    factors = {"resblocks.0.": 0.2, "resblocks.1.": 0.7}
    assert any("resblocks.1." in key for key in plain[0])
    assert not any("resblocks.2." in key for key in plain[0])
    for version in (1, 2, 3):
        for key, first in plain[0].items():
            factor = next((value for block, value in factors.items() if block in key), 0.2)
            wanted = factor * (plain[version][key] - first)
            torch.testing.assert_close(edited[version][key] - first, wanted, rtol=0, atol=1e-6)
        assert other[version - 1]["merge/norm"] == pytest.approx(told[version - 1]["merge/norm"], rel=1e-4)


def test_edits_do_not_keep_methods_from_sharing_their_training(tiny: Any, new_context: Callable[..., Context]) -> None:
    task = load_stream(tiny.stream, None, 0).tasks[0]

    def key_of(name: str, settings: dict[str, Any]) -> str:
        keys: list[str] = []

        def stored(key: str, make: Callable[[], Any]) -> Any:
            keys.append(key)
            return make()

        learn_task(new_strategy(name, settings, replace(new_context(), stored=stored)), task)
        (key,) = keys
        return key

    assert key_of("opcm", {}) == key_of("task-arithmetic", LINES) == key_of("ties", {"edit": ["wise-ft"]})
    assert key_of("opcm", {}) != key_of("opcm", {"lr": 1e-4})


def test_lines_after_each_task_alone_keeps_the_deep_blocks(learnt: Learnt) -> None:
    edit = {"edit": {"name": "lines", "a": 0.1, "anchor": "pretrained"}}
    plain, _ = learnt("per-task", {}, tasks=2)
    edited, _ = learnt("per-task", edit, tasks=2)
    for version in (1, 2):
        for key, first in plain[0].items():
            factor = 1.0 if "resblocks.1." in key else 0.1
            wanted = factor * (plain[version][key] - first)
            torch.testing.assert_close(edited[version][key] - first, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("strategy", VARIANTS, ids=str)
def test_a_cut_run_of_a_variant_equals_an_uncut_one(
    strategy: dict[str, Any], write_suite: Callable[..., str], tmp_path: Path
) -> None:
    cell = load_suite(write_suite(strategy)).cells[0]
    straight = run(cell, tmp_path / "straight")
    for version in (1, 2):
        with pytest.raises(Killed):
            run(cell, tmp_path / "cut", stop_after=version)
    cut = run(cell, tmp_path / "cut")
    assert [cut.record(v).digest for v in range(4)] == [straight.record(v).digest for v in range(4)]


@pytest.mark.parametrize("name", ["weight-average", "magmax", "knots"])
def test_heads_stay_as_they_were_trained(name: str, tmp_path: Path) -> None:
    """Each task's head is that of the model which was trained on that task; merging never changes it."""
    learner = str(HERE / "tiny_vit.py")
    stream = load_stream(write_stream(tmp_path, learner, ("tone", "box")), None, 0)
    from tests.strategies.conftest import context_of

    class Vit:
        """What `context_of` needs."""

        def __init__(self) -> None:
            self.learner = learner

    strategy = new_strategy(name, {}, replace(context_of(Vit()), seed=0))
    heads: dict[str, Tensor] = {}
    for task in stream.tasks:
        learn_task(strategy, task)
        own = {key: p.detach().clone() for key, p in strategy.learner.head(task).items()}
        fresh = strategy.context.new_learner()
        fresh.add_task(task)
        assert any(not torch.equal(own[key], p) for key, p in fresh.head(task).items())
        heads |= own
    now = strategy.learner.state_dict()
    assert all(torch.equal(now[key], head) for key, head in heads.items())
