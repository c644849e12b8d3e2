"""No step of a training loop and no batch of a test makes the host wait for a GPU; no operation lacks a fixed order."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest
import torch
from tests.strategies.device_guard import DeviceGuard, Guarded
from tests.strategies.part_cells import PARTS, entry
from tests.text_tasks import text_task
from tests.tiny_images import write_stream
from torch import Tensor
from torch.nn import functional as F

from clbench.benchmarks.engine.learners import build_learner
from clbench.contracts import Batch, Budget, Context, Learner, Samples, Strategy, StrategyConfig, Task, TokenScores
from clbench.contracts.updating import learn_task
from clbench.core.devices import to_device
from clbench.core.finite import unsound_weights
from clbench.core.registry import STRATEGIES
from clbench.learners._vit.heads.mask_head import pixel_cross_entropy
from clbench.strategies._distillation.teacher_outputs import CachedTeacher
from clbench.streams.card import load_stream

TESTS = Path(__file__).parents[1]
CPU = torch.device("cpu")
STEPS = 4
ENTRIES: list[Mapping[str, Any]] = [
    {"name": "finetune"},
    {"name": "lora"},
    {"name": "osft"},
    {"name": "osft", "protect_pretrained": True, "rank_rule": "fixed", "weights_every": 1},
    {"name": "codyra"},
    {"name": "snella"},
    {"name": "o-lora"},
    *(entry("finetune", slot, part) for slot, part in PARTS if slot != "edit"),
    entry("lora", "optimizer", "muon"),
    entry("lora", "memory", "random"),
]
BY_TRANSFORMERS = "_local_scalar_dense: masking_utils.py"
"""transformers asks once for each mask whether it masks anything; for LLaMA, whether positions are packed."""


def strategy_of(item: Mapping[str, Any], learner: Learner, guard: DeviceGuard) -> Strategy[StrategyConfig]:
    """A strategy whose steps are watched, from the second to the last one."""

    def progress(step: int, total: int) -> None:
        guard.watching = step < total

    settings = {key: value for key, value in item.items() if key != "name"}
    found = STRATEGIES.get(str(item["name"]))
    assert found.config is not None
    context = Context(
        learner=learner,
        budget=Budget(steps=STEPS, batch_size=4),
        seed=0,
        samples=Guarded(guard, learner),
        new_learner=lambda: build_learner(str(TESTS / f"{learner.name.replace('-', '_')}.py"), 0, CPU),
        progress=progress,
        record=lambda name, value: None,
    )
    return cast(Strategy[StrategyConfig], found.value(found.config.model_validate(settings), context))


def learnt(item: Mapping[str, Any], learner: Learner, tasks: Sequence[Task]) -> DeviceGuard:
    """What a guard found while a strategy learnt the tasks."""
    guard = DeviceGuard()
    strategy = strategy_of(item, learner, guard)
    with guard:
        for task in tasks:
            learner.add_task(task)
            guard.put([*learner.module.parameters(), *learner.module.buffers()])
            learn_task(strategy, task)
    return guard


MASKS = {"tiny_t5": 2, "tiny_llama": 1}
"""Masks of a forward pass: of the encoder's attention and of the decoder's to it; of the only attention."""


@pytest.mark.parametrize("item", ENTRIES, ids=str)
def test_no_step_waits_on_images(item: Mapping[str, Any], tiny: Any) -> None:
    """In bfloat16 under autocast, as on a GPU; the weights stay sound and in float32."""
    learner = build_learner(tiny.learner, 0, CPU, "bfloat16")
    before = learner.digest()
    guard = learnt(item, learner, load_stream(tiny.stream).tasks[:2])
    assert guard.found == []
    assert guard.unordered == set()
    assert {tensor.dtype for tensor in learner.module.parameters()} == {torch.float32}
    assert unsound_weights(learner.module) is None
    assert learner.digest() != before


@pytest.mark.parametrize("item", ENTRIES[:7], ids=str)
@pytest.mark.parametrize("learner", ["tiny_t5", "tiny_llama"])
def test_no_step_waits_on_texts(learner: str, item: Mapping[str, Any]) -> None:
    tasks = [text_task("one"), text_task("two")]
    guard = learnt(item, build_learner(str(TESTS / f"{learner}.py"), 0, CPU), tasks)
    assert [text for text in guard.found if not text.startswith(BY_TRANSFORMERS)] == []
    assert len(guard.found) == MASKS[learner] * len(tasks) * (STEPS - 1)
    assert guard.unordered == set()


@pytest.mark.parametrize("item", [{"name": "finetune"}, {"name": "tap-slf"}, {"name": "head-only"}], ids=str)
def test_no_step_waits_on_images_of_all_kinds(item: Mapping[str, Any], tmp_path: Path) -> None:
    learner = build_learner(str(TESTS / "tiny_vit.py"), 0, CPU)
    guard = learnt(item, learner, load_stream(write_stream(tmp_path, str(TESTS / "tiny_vit.py"))).tasks)
    assert guard.found == []
    assert guard.unordered == {"nll_loss2d_forward"}  # on the CPU; see `pixel_cross_entropy` and the test below


def test_masks_have_the_same_loss_where_pixels_are_added_in_order() -> None:
    scores = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    target = torch.randint(3, (2, 8, 8), generator=torch.Generator().manual_seed(1))
    ordered = F.cross_entropy(scores, target, reduction="none").mean()  # what a GPU computes
    torch.testing.assert_close(pixel_cross_entropy(scores, target), ordered)


@pytest.mark.parametrize(
    ("work", "noted"),
    [
        (lambda w: w.sum().item(), "_local_scalar_dense"),
        (lambda w: bool(w.sum() > 0), "_local_scalar_dense"),
        (lambda w: w[w > 0], "index"),
        (lambda w: w.nonzero(), "nonzero"),
        (lambda w: w.tolist(), "tolist"),
        (lambda w: w.cpu(), "cpu"),
        (lambda w: torch.ones(3).to(w.device), "to, from pageable memory"),
        (lambda w: torch.ones(3).to(w.device, non_blocking=True), "to, from pageable memory"),
        (lambda w: torch.tensor([1.0], device=w.device), "tensor on the device"),
        (lambda w: torch.ones(3).sum().item(), None),
        (lambda w: w * to_device(torch.ones(3), w.device), None),
        (lambda w: w.masked_fill(w > 0, 0.0), None),
    ],
)
def test_the_guard_sees(work: Any, noted: str | None) -> None:
    guard, weights = DeviceGuard(watching=True), torch.ones(3)
    guard.put([weights])
    with guard:
        work(2 * weights)
    assert [text.partition(":")[0] for text in guard.found] == ([noted] if noted else [])


def test_the_guard_knows_what_has_no_fixed_order() -> None:
    scores: Tensor = torch.randn(2, 3, 4, 4, requires_grad=True)
    target = torch.zeros(2, 4, 4, dtype=torch.int64)
    with DeviceGuard() as guard:
        torch.nn.functional.cross_entropy(scores, target, reduction="none").mean().backward()
    assert guard.unordered == set()
    with guard:
        torch.nn.functional.cross_entropy(scores, target).backward()
        torch.ones(3).cumsum(0)
    assert guard.unordered == {"nll_loss2d_forward", "cumsum"}


@pytest.mark.parametrize("learner", ["tiny_clip", "tiny_vit"])
def test_no_batch_of_a_test_waits_on_images(learner: str, tiny: Any) -> None:
    """Predictions are read once a task and protocol, after the last batch."""
    model = build_learner(str(TESTS / f"{learner}.py"), 0, CPU)
    tasks = load_stream(tiny.stream).tasks[:2]
    guard = DeviceGuard()
    for task in tasks:
        model.add_task(task)
    model.module.eval()
    with torch.no_grad(), guard:
        guard.put([*model.module.parameters(), *model.module.buffers()])
        predict = model.predictor(tasks, ["task-id", "union"] if learner == "tiny_clip" else ["task-id"])
        predict(Guarded(guard, model)(tasks[0], "test").batch(slice(0, 4)), tasks[0])  # what is computed once
        guard.watching = True
        for task in tasks[:1]:
            samples = Guarded(guard, model)(task, "test")
            for start in range(0, 12, 4):
                predict(samples.batch(slice(start, start + 4)), task)
    assert guard.found == []


@pytest.mark.parametrize("top_k", [None, 2])
def test_stored_teachers_do_not_wait(top_k: int | None) -> None:
    """Their outputs come from the computer's memory, for positions that are there."""
    ids = pa.array([str(number) for number in range(6)])
    samples = Samples(ids, {"x": torch.randn(6, 5), "y": torch.arange(6) % 5})

    def teacher(batch: Batch) -> TokenScores:
        return TokenScores(batch["x"], batch["y"], torch.arange(len(batch["x"])))

    stored = CachedTeacher(teacher, samples, 4, 2.0, top_k)
    with DeviceGuard(watching=True) as guard:
        output = stored.of(torch.tensor([1, 4]), CPU)
        output.right()
        output.log_likelihood()
    assert guard.found == []
