"""Avalanche's plugins on our learners: nothing added, nothing lost between tasks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset, Features, Image, Value

from clbench.contracts import Budget, Context, Samples, Split, Task
from clbench.contracts.updating import learn_task
from clbench.core.checkpoints import load_tree, save_tree
from clbench.core.errors import TrainingError
from clbench.core.registry import LEARNERS, STRATEGIES
from clbench.learners._clip.clip_learner import ClipLearner
from clbench.strategies._avalanche.avalanche_data import columns_of, dataset_of, owners_and_rows, positions
from clbench.strategies._avalanche.avalanche_model import AvalancheModel, Views
from clbench.strategies._avalanche.avalanche_strategy import AvalancheConfig, AvalancheStrategy

SIZE, CLASSES, TRAIN = 16, 3, 20
METHODS: dict[str, dict[str, object]] = {
    "ewc": {"strength": 50.0},
    "lwf": {},
    "mas": {},
    "replay": {"mem_size": 12, "batch_size_mem": 5},
    "der": {"mem_size": 12, "batch_size_mem": 5},
}


def tiny_learner() -> ClipLearner:
    """The tests' CLIP, the same weights each time."""
    learner = LEARNERS.get(str(Path(__file__).parents[1] / "tiny_clip.py")).value("", seed=0)
    assert isinstance(learner, ClipLearner)
    return learner


def tiny_task(number: int, classes: int = CLASSES) -> Task:
    """Random images of a few classes."""

    def load(split: Split) -> Dataset:
        random = np.random.default_rng((number, len(split)))
        images = [random.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8) for _ in range(TRAIN)]
        return Dataset.from_dict(
            {
                "image": [{"bytes": _png(image), "path": None} for image in images],
                "label": [index % classes for index in range(TRAIN)],
                "sample_id": [f"{number}/{split}/{index}" for index in range(TRAIN)],
            },
            features=Features({"image": Image(), "label": Value("int64"), "sample_id": Value("string")}),
        )

    return Task(f"task{number}", "classification", "accuracy", load, str, tuple(f"{number}{c}" for c in range(classes)))


def _png(pixels: "np.ndarray[Any, np.dtype[np.uint8]]") -> bytes:
    import io

    from PIL import Image as Images

    Images.fromarray(pixels).save(file := io.BytesIO(), "png")
    return file.getvalue()


TASKS = (tiny_task(0), tiny_task(1, classes=2), tiny_task(2))


@dataclass
class Bench:
    """A learner with its strategy, and what the strategy reported."""

    name: str | type[AvalancheStrategy[Any]]
    settings: Mapping[str, object] = field(default_factory=dict)
    seen: int = 0

    def __post_init__(self) -> None:
        self.learner = tiny_learner()
        self.numbers: dict[str, float] = {}
        self.steps: list[tuple[int, int]] = []
        samples: dict[str, Samples] = {}

        def look_up(task: Task, split: Split) -> Samples:
            if task.name not in samples:
                samples[task.name] = self.learner.encode(task.load(split), task)
            return samples[task.name]

        self.context = Context(
            learner=self.learner,
            budget=Budget(steps=7, batch_size=6),
            seed=3,
            samples=look_up,
            new_learner=tiny_learner,
            progress=lambda step, total: self.steps.append((step, total)),
            record=self.numbers.__setitem__,
        )
        owner: Any = self.name
        config: type = AvalancheConfig
        if isinstance(self.name, str):
            entry = STRATEGIES.get(self.name)
            assert entry.config is not None
            owner, config = entry.value, entry.config
        self.strategy = owner(config(**{"lr": 1e-2, **self.settings}), self.context)
        self.strategy.seen = list(TASKS[: self.seen])
        self.strategy.version = self.seen

    def learn(self, *tasks: Task) -> None:
        """One task after another."""
        for task in tasks:
            learn_task(self.strategy, task)

    def model(self, scope: Any, mixed: bool) -> AvalancheModel:
        """What Avalanche would see after all tasks."""
        views = Views(self.context, TASKS, torch.Generator().manual_seed(0), mixed)
        return AvalancheModel(self.learner, self.context, views, TASKS, scope)


class Plain(AvalancheStrategy[AvalancheConfig]):
    """Avalanche's loop without plugins."""

    def plugins(self) -> list[Any]:
        """None."""
        return []

    def carrier(self, template: Any) -> Any:
        """Nothing is carried."""
        return template


def test_without_plugins_the_loop_is_finetune() -> None:
    ours, theirs = Bench("finetune"), Bench(Plain)
    for task in TASKS:
        ours.learn(task)
        theirs.learn(task)
        assert theirs.learner.digest() == ours.learner.digest()
        assert {**theirs.numbers, "memory/trained_share": ours.numbers["memory/trained_share"]} == ours.numbers
    assert theirs.steps == ours.steps


@pytest.mark.parametrize("name", METHODS)
def test_a_resumed_run_is_the_uninterrupted_one(name: str, tmp_path: Path) -> None:
    straight = Bench(name, METHODS[name])
    straight.learn(*TASKS)
    killed = Bench(name, METHODS[name])
    killed.learn(TASKS[0])
    for done in (1, 2):
        save_tree(tmp_path / str(done), killed.strategy.state_dict())
        weights = {key: tensor.clone() for key, tensor in killed.learner.state_dict().items()}
        killed = Bench(name, METHODS[name], seen=done)
        killed.learner.load_state_dict(weights)
        killed.strategy.load_state_dict(load_tree(tmp_path / str(done)))
        killed.learn(TASKS[done])
    assert killed.learner.digest() == straight.learner.digest()


@pytest.mark.parametrize("name", METHODS)
def test_a_method_spends_the_budget_and_differs_from_finetune_from_the_second_task_on(name: str) -> None:
    bench, plain = Bench(name, METHODS[name]), Bench("finetune")
    bench.learn(TASKS[0])
    plain.learn(TASKS[0])
    assert bench.learner.digest() == plain.learner.digest()
    bench.learn(TASKS[1])
    plain.learn(TASKS[1])
    assert bench.learner.digest() != plain.learner.digest()
    assert bench.steps == 2 * [(step, 7) for step in range(1, 8)]
    assert not bench.learner.module.training
    assert not bench.learner.module.logit_scale.requires_grad
    assert math.isfinite(bench.numbers["train/loss_last"])


def test_the_loss_is_that_of_the_learner() -> None:
    bench = Bench("finetune")
    at = positions(2, torch.tensor([4, 0, 7]))
    for scope in ("batch", "seen"):
        model = bench.model(scope, mixed=False).eval()
        labels = bench.context.samples(TASKS[2], "train").tensors["label"][[4, 0, 7]]
        expected = bench.learner.loss(bench.context.samples(TASKS[2], "train").batch(torch.tensor([4, 0, 7])), TASKS[2])
        torch.testing.assert_close(model.task_loss(model(at), labels + 5), expected)
        mixed = bench.model(scope, mixed=True).eval()
        torch.testing.assert_close(mixed.task_loss(mixed(at), labels + 5), expected)


def test_a_mixed_batch_keeps_its_order_and_scores_each_sample() -> None:
    bench = Bench("finetune")
    at = torch.cat([positions(task, torch.tensor([row])) for task, row in ((2, 5), (0, 1), (2, 3), (0, 9))])
    out = bench.model("batch", mixed=True).eval()(at)
    full = bench.model("seen", mixed=True).eval()(at)
    assert out.shape == full.shape == (4, 8)
    assert torch.equal(out[:, 3:5], torch.zeros(4, 2))  # nothing of task 1 in the batch
    torch.testing.assert_close(out[:, [0, 1, 2, 5, 6, 7]], full[:, [0, 1, 2, 5, 6, 7]])
    for row, (task, index) in enumerate(((2, 5), (0, 1), (2, 3), (0, 9))):
        batch = bench.context.samples(TASKS[task], "train").batch(slice(index, index + 1))
        torch.testing.assert_close(full[row : row + 1], bench.learner.logits(batch, TASKS))


def test_positions_and_datasets_go_back_and_forth() -> None:
    at = torch.cat([positions(3, torch.arange(2)), positions(0, torch.tensor([2**31]))])
    assert [part.tolist() for part in owners_and_rows(at)] == [[3, 3, 0], [0, 1, 2**31]]
    labels, logits = torch.tensor([9, 10, 0]), torch.rand(3, 4)
    assert all(map(torch.equal, columns_of(dataset_of(at, labels, logits)), (at, labels, logits)))


def test_the_penalty_of_ewc_is_the_one_worked_by_hand() -> None:
    bench = Bench("ewc", {"strength": 50.0, "mode": "separate"})
    bench.learn(*TASKS[:2])
    state = bench.strategy.state_dict()
    parameters = {f"module.{name}": p for name, p in bench.learner.module.named_parameters()}
    added = []

    class Spy:
        def after_forward(self, strategy: Any, **_: object) -> None:
            added.append(-strategy.criterion().item())
            penalty = torch.zeros(())
            for importance, old in zip(state["importances"]["values"], state["saved_params"]["values"], strict=True):
                for name, f, theta in zip(importance["keys"], importance["values"], old["values"], strict=True):
                    penalty += (f["data"] * (parameters[name] - theta["data"]) ** 2).sum()
            added.append(-50.0 * penalty.item())

        def after_backward(self, strategy: Any, **_: object) -> None:
            added.append(strategy.loss.item())

    plugins = bench.strategy.plugins
    bench.strategy.plugins = lambda: [*plugins(), Spy()]
    bench.learn(TASKS[2])
    task_loss, penalty, loss = -added[-3], -added[-2], added[-1]
    assert penalty > 1e-3
    assert loss == pytest.approx(task_loss + penalty, rel=1e-5)


def test_importances_of_ewc_are_squared_gradients_of_the_task_loss() -> None:
    bench = Bench("ewc")
    bench.learn(TASKS[0])
    samples = bench.context.samples(TASKS[0], "train")
    weight = bench.learner.module.get_parameter("visual.proj")
    wanted = torch.zeros_like(weight)
    batches = range(0, TRAIN, 6)
    for start in batches:
        loss = bench.learner.loss(samples.batch(slice(start, start + 6)), TASKS[0])
        (gradient,) = torch.autograd.grad(loss, [weight])
        wanted += gradient**2 / len(batches)
    first = bench.strategy.state_dict()["importances"]["values"][0]
    found = dict(zip(first["keys"], first["values"], strict=True))["module.visual.proj"]["data"]
    torch.testing.assert_close(found, wanted)


def test_the_replay_memory_is_bounded_and_holds_all_classes() -> None:
    bench = Bench("replay", METHODS["replay"])
    for count, classes in ((0, 3), (1, 5), (2, 8)):
        bench.learn(TASKS[count])
        groups = bench.strategy.state_dict()["storage_policy.buffer_groups"]
        assert groups["keys"] == list(range(classes))
        kept = [group["data"]["columns"] for group in groups["values"]]
        assert sum(len(at) for at, _ in kept) == 12
        for label, (at, labels) in enumerate(kept):
            assert set(labels.tolist()) == {label}
            assert len(at)
            for owner, row in zip(*(part.tolist() for part in owners_and_rows(at)), strict=True):
                assert 3 * (owner > 0) + 2 * (owner > 1) + row % len(TASKS[owner].classes) == label


def test_replay_sees_the_budgets_batch_of_new_samples_and_the_memory_besides() -> None:
    bench = Bench("replay", METHODS["replay"])
    seen: list[list[int]] = []

    class Spy:
        def before_forward(self, strategy: Any, **_: object) -> None:
            seen.append(owners_and_rows(strategy.mb_x)[0].tolist())

    plugins = bench.strategy.plugins
    bench.strategy.plugins = lambda: [*plugins(), Spy()]
    bench.learn(*TASKS[:2])
    assert [len(batch) for batch in seen[:7]] == [6] * 7
    assert [batch.count(1) for batch in seen[7:]] == [6] * 7
    assert [batch.count(0) for batch in seen[7:]] == [5, 5, 2, 5, 5, 2, 5]


def test_the_teacher_of_lwf_is_the_previous_version_and_sees_the_students_crop() -> None:
    bench = Bench("lwf", {"strength": 2.0, "temperature": 2.0})
    bench.learn(TASKS[0])
    before = {name: tensor.clone() for name, tensor in bench.learner.state_dict().items()}
    terms: list[tuple[float, float]] = []

    class Spy:
        def after_forward(self, strategy: Any, **_: object) -> None:
            teacher = tiny_learner()
            teacher.load_state_dict(before)
            with torch.no_grad():
                old = teacher.logits(strategy.model.views.last[2].batch, TASKS[:1])
            student = F.log_softmax(strategy.mb_output[:, :3] / 2, dim=1)
            distilled = F.kl_div(student, F.softmax(old / 2, dim=1), reduction="batchmean")
            terms.append(((strategy.criterion() + 2 * distilled).item(), math.nan))

        def after_backward(self, strategy: Any, **_: object) -> None:
            terms[-1] = (terms[-1][0], strategy.loss.item())

    plugins = bench.strategy.plugins
    bench.strategy.plugins = lambda: [*plugins(), Spy()]
    bench.learn(TASKS[1])
    assert len(terms) == 7
    for wanted, got in terms:
        assert got == pytest.approx(wanted, rel=1e-5)


def test_the_memory_of_der_gets_logits_for_new_classes_from_the_version_before_the_task() -> None:
    bench = Bench("der", METHODS["der"])
    bench.learn(TASKS[0])
    before = tiny_learner()
    before.load_state_dict({name: tensor.clone() for name, tensor in bench.learner.state_dict().items()})
    bench.learn(TASKS[1])
    groups = bench.strategy.state_dict()["storage_policy.buffer_groups"]["values"]
    samples = bench.context.samples(TASKS[0], "train")
    for group in groups[:3]:
        at, _, logits = group["data"]["columns"]
        rows = owners_and_rows(at)[1]
        with torch.no_grad():
            torch.testing.assert_close(logits, before.logits(samples.batch(rows), TASKS[:2]))
    assert sum(len(group["data"]["columns"][0]) for group in groups) == 12


def test_a_loss_that_is_not_finite_stops_the_cell() -> None:
    bench = Bench("ewc", {"lr": 1e30})
    with pytest.raises(TrainingError, match=r"'task0': the loss is not finite at step \d"):
        bench.learn(TASKS[0])
