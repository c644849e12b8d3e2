"""Memories: what they keep, what they give to training, and what a forget update takes out of them."""

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.strategies.conftest import context_of
from tests.strategies.cut_runs import run
from tests.strategies.part_cells import PARTS
from tests.text_tasks import text_task
from torch import Tensor

from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.suite import load_suite
from clbench.contracts import Batch, Budget, Context, Samples, ScoresClasses, Task, require
from clbench.contracts.updating import learn_task
from clbench.core.errors import ConfigError
from clbench.strategies._parts.class_turns import in_turns
from clbench.strategies._parts.facility_location import facility_location
from clbench.strategies._parts.memory import Memory
from clbench.strategies._parts.sample_features import input_sums
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies.finetune import Finetune
from clbench.strategies.memories.herding import herded
from clbench.streams.card import load_stream

MEMORIES = [part for slot, part in PARTS if slot == "memory"]
POINTS = st.integers(1, 8).flatmap(
    lambda n: st.lists(st.lists(st.integers(-4, 4), min_size=2, max_size=2), min_size=n, max_size=n)
)


def with_memory(context: Context, **memory: object) -> tuple[Finetune, Memory[Any]]:
    """Fine-tuning with a memory."""
    strategy = Finetune(GradientConfig.model_validate({"memory": memory}), context)
    assert strategy.parts.memory is not None
    return strategy, strategy.parts.memory


def vectors(rows: object) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


# Rules


def test_classes_take_turns() -> None:
    classes = [torch.tensor([0, 2, 4]), torch.tensor([1, 3])]
    assert in_turns(torch.tensor([4, 2, 0, 3, 1]), classes).tolist() == [4, 3, 2, 1, 0]
    assert in_turns(torch.tensor([3, 4]), classes).tolist() == [3, 4]  # each is the first of its class


def test_facility_location_by_hand() -> None:
    """Two groups of three and a half: the point between them is picked first, then the corner of the first group."""
    points = vectors([[0, 0], [0, 1], [1, 0], [10, 10], [10, 11], [5, 5]])
    picked = facility_location(points, 2)
    assert picked.tolist() == [5, 0]
    nearest = torch.cdist(points, points[picked]).argmin(dim=1)
    assert nearest.bincount().tolist() == [3, 3]
    assert facility_location(vectors([[0], [1], [5], [6]]), 2).tolist() == [1, 2]
    assert facility_location(vectors([[0], [9]]), 1).tolist() == [0]


@given(POINTS, st.integers(1, 8))
def test_the_greedy_choice_is_near_the_best_one(rows: list[list[int]], count: int) -> None:
    """Nemhauser et al. 1978: at least (1 - 1/e) of the best value, here found by trying all subsets."""
    points = vectors(rows)
    similarity = torch.cdist(points, points).max() - torch.cdist(points, points)

    def value(subset: Any) -> float:
        return float(similarity[:, list(subset)].max(dim=1).values.sum())

    picked = facility_location(points, count).tolist()
    assert len(set(picked)) == len(picked) == min(count, len(points))
    best = max(value(subset) for subset in itertools.combinations(range(len(points)), len(picked)))
    assert value(picked) >= (1 - 1 / math.e) * best - 1e-9


def test_herding_by_hand() -> None:
    """Mean 3.25. 4 is nearest to it; with 4, (4 + 2) / 2 = 3; with both, (6 + 7) / 3 = 4.3 against (6 + 0) / 3 = 2."""
    assert herded(vectors([[0], [2], [4], [7]]), 4).tolist() == [2, 1, 3, 0]
    assert herded(vectors([[0], [2], [4], [7]]), 2).tolist() == [2, 1]


@given(POINTS, st.integers(1, 8))
def test_herding_against_a_loop_over_all_samples(rows: list[list[int]], count: int) -> None:
    mean = [sum(row[axis] for row in rows) / len(rows) for axis in (0, 1)]
    chosen: list[int] = []
    while len(chosen) < min(count, len(rows)):

        def off(candidate: int) -> float:
            group = [rows[index] for index in [*chosen, candidate]]
            return math.dist([sum(row[axis] for row in group) / len(group) for axis in (0, 1)], mean)

        distances = {index: off(index) for index in range(len(rows)) if index not in chosen}
        found = herded(vectors(rows), count).tolist()[len(chosen)]
        assert distances[found] == pytest.approx(min(distances.values()), abs=1e-9)
        chosen.append(found)


@given(st.integers(0, 1000), st.integers(3, 20), st.integers(1, 6))
def test_herding_is_avalanches(seed: int, n: int, width: int) -> None:
    """From three points on: two are equally far from their mean, up to round-off."""
    from avalanche.training.storage_policy import HerdingSelectionStrategy

    features = torch.randn(n, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    wanted = HerdingSelectionStrategy(torch.nn.Identity(), "").make_sorted_indices_from_features(features)
    assert herded(features, n)[: n - 1].tolist() == wanted[: n - 1]


def test_features_are_the_inputs_of_the_last_layer_of_the_vision_tower(tiny: Any) -> None:
    context, task = context_of(tiny), load_stream(tiny.stream).tasks[0]
    samples = context.samples(task, "train")
    module: Any = context.learner.module
    block = module.visual.transformer.resblocks[-1]
    seen: list[Tensor] = []
    block.mlp.gelu.register_forward_hook(lambda *call: seen.append(call[2]))
    parts = [samples.batch(slice(start, start + 10)) for start in range(0, 24, 10)]
    found = input_sums(context.learner, task, parts)
    torch.testing.assert_close(found, torch.cat(seen).double().sum(dim=1))
    assert not block.mlp.c_proj._forward_pre_hooks


@pytest.mark.parametrize("learner", ["tiny_llama", "tiny_t5"])
def test_features_of_texts_do_not_depend_on_padding(learner: str) -> None:
    model = build_learner(str(Path(__file__).parents[1] / f"{learner}.py"), 0, torch.device("cpu"))
    task = text_task("one")
    samples = model.encode(task.load("train"), task)
    whole = input_sums(model, task, [samples.batch(slice(None))])
    alone = input_sums(model, task, [samples.batch(torch.tensor([index])) for index in range(24)])
    torch.testing.assert_close(whole, alone, atol=1e-4, rtol=1e-4)


def test_craig_reads_the_gradients_of_the_scores(tiny: Any) -> None:
    """softmax(z) - onehot(y) is the gradient that autograd computes of the sum of losses."""
    context, task = context_of(tiny), load_stream(tiny.stream).tasks[0]
    _, memory = with_memory(context, name="craig")
    batch = context.samples(task, "train").batch(slice(None))
    with torch.no_grad():
        scores = require(context.learner, ScoresClasses).logits(batch, [task])
    scores = scores.double().requires_grad_()
    F.cross_entropy(scores, batch["label"], reduction="sum").backward()
    assert scores.grad is not None
    wanted = {
        int(own[place])
        for own in (torch.arange(first, 24, 3) for first in range(3))
        for place in facility_location(scores.grad[own], 2)
    }
    assert set(memory.rank(task, 6).tolist()) == wanted


# The contract


@pytest.mark.parametrize("name", MEMORIES)
def test_quotas_classes_and_what_is_recorded(name: str, tiny: Any) -> None:
    numbers: dict[str, float] = {}
    context = context_of(tiny, numbers=numbers)
    strategy, memory = with_memory(context, name=name, size=11)
    tasks = load_stream(tiny.stream).tasks
    before: dict[str, list[str]] = {}
    for count, task in enumerate(tasks, 1):
        learn_task(strategy, task)
        assert [len(ids) for ids in memory.kept.values()] == {1: [11], 2: [6, 5], 3: [4, 4, 3]}[count]
        assert numbers["memory/samples"] == 11
        for known, ids in memory.kept.items():
            labels = torch.tensor([int(name.rpartition("/")[2]) % 3 for name in ids])
            counts = labels.bincount(minlength=3)
            assert int(counts.max() - counts.min()) <= 1
            assert len(set(ids)) == len(ids)
            if known in before:
                assert ids == before[known][: len(ids)]  # what is given up was ranked last
        before = {known: list(ids) for known, ids in memory.kept.items()}


@settings(max_examples=15)
@given(batch=st.integers(2, 12), share=st.floats(0.01, 0.99))
def test_batches_keep_their_size_and_losses_their_weight(batch: int, share: float, tiny: Any) -> None:
    context = context_of(tiny)
    context = Context(**{**vars(context), "budget": Budget(steps=7, batch_size=batch)})
    strategy, memory = with_memory(context, name="random", size=5, share=share)
    one, two, _ = load_stream(tiny.stream).tasks
    strategy.seen = [one]
    assert list(memory.batches(one)) == []
    assert memory.share(one) == 0
    assert memory.of_new(context.budget, one).batch_size == batch
    memory.end_task(one)
    strategy.seen = [one, two]
    found = list(memory.batches(two))
    assert len(found) == 7
    for old, owner in found:
        assert owner is one
        assert len(old["label"]) + memory.of_new(context.budget, two).batch_size == batch
        assert memory.share(two) == pytest.approx(len(old["label"]) / batch)
    ids = context.samples(one, "train").ids
    images = context.samples(one, "train").tensors["image"]
    kept = [images[ids.to_pylist().index(name)] for name in memory.kept["one"]]
    assert all(any(torch.equal(image, known) for known in kept) for old, _ in found for image in old["image"])


def test_micro_batches_change_nothing_but_round_off(tiny: Any) -> None:
    one, two, _ = load_stream(tiny.stream).tasks
    weights = []
    for micro in (None, 3):
        context = context_of(tiny)
        context = Context(**{**vars(context), "budget": Budget(steps=3, batch_size=8, micro_batch=micro)})
        config = {"augment": False, "clip_norm": None, "memory": {"name": "random", "size": 6}}
        strategy = Finetune(GradientConfig.model_validate(config), context)
        learn_task(strategy, one)
        learn_task(strategy, two)
        weights.append(context.learner.state_dict())
    for name, tensor in weights[0].items():
        if name.endswith("k_proj.bias"):  # a softmax does not see it: its gradient is round-off, which AdamW scales up
            continue
        torch.testing.assert_close(weights[1][name], tensor, atol=1e-4, rtol=1e-3, msg=name)


class Noting(Finetune):  # type: ignore[misc]
    """Notes how many samples each loss had."""

    def loss(self, batch: Batch, task: Task) -> Tensor:
        """Note the task and the number."""
        self.noted = [*getattr(self, "noted", []), (task.name, len(batch["label"]))]
        return super().loss(batch, task)


def test_every_step_has_new_and_old_samples(tiny: Any) -> None:
    strategy = Noting(GradientConfig.model_validate({"memory": {"name": "random", "share": 0.25}}), context_of(tiny))
    one, two, _ = load_stream(tiny.stream).tasks
    learn_task(strategy, one)
    assert strategy.noted == [("one", 8)] * 5
    strategy.noted = []
    learn_task(strategy, two)
    assert strategy.noted == [("two", 6), ("one", 2)] * 5


@pytest.mark.parametrize("name", MEMORIES)
def test_forgotten_samples_are_never_drawn_again(
    name: str, tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positions shift when samples are forgotten, twice; what is drawn is noted by id where batches are made."""
    gone = {"first": [f"one/train/{index}" for index in (0, 1, 4, 9, 13)], "second": ["one/train/2", "two/train/5"]}
    for file, ids in gone.items():
        rows = [f"{sample.partition('/')[0]},{sample}" for sample in ids]
        (tmp_path / f"{file}.csv").write_text("\n".join(["task,sample_id", *rows]) + "\n", encoding="utf-8")
    updates: list[dict[str, object]] = [
        {"learn": "one"},
        {"forget": {"samples": "first.csv"}},
        {"learn": "two"},
        {"forget": {"samples": "second.csv"}},
        {"learn": "three"},
    ]
    card = yaml.safe_load(Path(tiny.stream).read_text("utf-8"))
    card |= {"name": "forgetting", "loader": "based-on", "based_on": tiny.stream, "updates": updates}
    del card["data"]
    card["tasks"] = [{key: task[key] for key in ("name", "kind", "metric")} for task in card["tasks"]]
    (tmp_path / "forgetting.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    learner = {"name": "finetune", "memory": {"name": name, "size": 24}}
    values = {
        "streams": [str(tmp_path / "forgetting.yaml")],
        "strategies": [{"learn": learner, "forget": "zero-shot"}],
        "budget": {"steps": 12, "batch_size": 8},
    }
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    drawn: list[set[str]] = [set()]
    learn, batch = Finetune.learn, Samples.batch

    def noted_learn(self: Any, task: Task) -> None:
        drawn.append(set())
        learn(self, task)
        drawn.append(set())

    def noted_batch(self: Samples, index: Any) -> Batch:
        if isinstance(index, Tensor):
            drawn[-1] |= {str(self.ids[int(place)]) for place in index}
        return batch(self, index)

    monkeypatch.setattr(Finetune, "learn", noted_learn)
    monkeypatch.setattr(Samples, "batch", noted_batch)
    cell = load_suite(str(tmp_path / "suite.yaml")).cells[0]
    folder = run(cell, tmp_path / "cell")
    first, second, third = drawn[1::2]
    assert set(gone["first"]) <= first
    assert {sample for sample in second if sample.startswith("one/")}
    assert not second & set(gone["first"])
    assert {sample.partition("/")[0] for sample in third} == {"one", "two", "three"}
    assert not third & {*gone["first"], *gone["second"]}
    assert folder.record(5).numbers["memory/samples"] <= 24
    assert folder.result(cell.load_stream()).costs["cost/samples"] == 24  # on the leaderboard: the most that was kept


# Bad input


def test_what_no_memory_takes(tiny: Any, tmp_path: Path) -> None:
    tasks = load_stream(tiny.stream).tasks
    strategy, _ = with_memory(context_of(tiny), name="random", size=2)
    with pytest.raises(ConfigError, match=r"^memory RandomSamples: .* one sample for each task, got 2 for 3 tasks$"):
        for task in tasks:
            strategy.check(task)
    context = Context(**{**vars(context_of(tiny)), "budget": Budget(steps=1, batch_size=1)})
    with pytest.raises(ConfigError, match=r"new and kept samples in each batch, got batch_size 1$"):
        with_memory(context, name="herding")[0].check(tasks[0])


def test_craig_needs_classes(tiny: Any) -> None:
    task = Task("essay", "generation", "exact_match", lambda split: None, str)
    with pytest.raises(
        ConfigError, match=r"^memory Craig: task 'essay': .* one class for each sample, got no classes$"
    ):
        with_memory(context_of(tiny), name="craig")[0].check(task)


def test_herding_needs_a_layer_that_reads_samples(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    context = context_of(tiny)
    strategy, _ = with_memory(context, name="herding")
    texts = tuple(layer for layer in context.learner.linear_layers() if layer.tower == "text")
    monkeypatch.setattr(context.learner, "linear_layers", lambda: texts)
    with pytest.raises(
        ConfigError, match=r"^learner tiny-clip has no linear layer that reads the samples of task 'one'$"
    ):
        strategy.check(load_stream(tiny.stream).tasks[0])
