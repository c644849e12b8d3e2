"""Where parts meet strategies, streams and stores: cases in which one of them could be wrong without a word."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tests.strategies.conftest import context_of
from tests.strategies.cut_runs import CPU, run
from tests.strategies.part_cells import cell_with
from tests.tiny_images import write_stream
from torch import Tensor

from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.execution import CellRun, workplace_in
from clbench.benchmarks.engine.suite import load_suite
from clbench.contracts import Context, ScoresClasses, require
from clbench.contracts.updating import learn_task
from clbench.core.errors import ConfigError
from clbench.core.registry import MEMORIES
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies.finetune import Finetune
from clbench.strategies.zscl import Zscl, ZsclConfig
from clbench.streams.card import load_stream

HERE = Path(__file__).parents[1]
MINE = '''"""The first samples."""
import torch
from clbench import MEMORIES, Memory, MemoryConfig

@MEMORIES.register("my-memory", config=MemoryConfig)
class MyMemory(Memory[MemoryConfig]):
    """Keeps the first samples."""
    def rank(self, task, count):
        """The first ones."""
        return torch.arange(count)
'''


def test_kept_samples_are_scored_among_their_own_classes_by_zscl(tiny: Any) -> None:
    context = context_of(tiny)
    strategy = Zscl(ZsclConfig.model_validate({"strength": 1e-12, "averages": 1}), context)
    one, two = load_stream(tiny.stream).tasks[:2]
    strategy.seen = [one, two]
    batch = context.samples(one, "train").batch(slice(0, 8))
    learner = require(context.learner, ScoresClasses)
    wanted = learner.loss_from_logits(learner.logits(batch, [one]), batch["label"], [one])
    torch.testing.assert_close(strategy.loss(batch, one), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_hooks_after_a_step_see_no_masked_entry_that_has_moved(optimizer: str, tiny: Any) -> None:
    """ZSCL averages weights over steps: what is not selected must be in the average as it was."""
    context = context_of(tiny)
    settings = {"strength": 0, "lr": 1e-2, "weight_decay": 0.5, "optimizer": optimizer, "select": {"name": "random"}}
    strategy = Zscl(ZsclConfig.model_validate(settings), context)
    before = {name: tensor.clone() for name, tensor in context.learner.state_dict().items()}
    learn_task(strategy, load_stream(tiny.stream).tasks[0])
    total = moved = 0
    for name, p in strategy.trainable_parameters():
        total += p.numel()
        moved += int((p != before[name]).sum())
    assert 0 < moved <= 0.11 * total


def test_a_choice_that_is_kept_does_not_depend_on_skipped_updates(tiny: Any, tmp_path: Path) -> None:
    select = {"name": "random", "reselect": "first"}
    cell = cell_with(tiny.stream, tmp_path, {"name": "per-task", "select": select})
    whole, last = run(cell, tmp_path / "whole"), run(replace(cell, last_only=True), tmp_path / "last")
    assert last.record(3).digest == whole.record(3).digest


@pytest.mark.parametrize("name", ["joint", "per-task"])
def test_what_is_recorded_of_an_update_after_skipped_ones_is_not_taken_over(
    name: str, tiny: Any, tmp_path: Path
) -> None:
    cell = cell_with(tiny.stream, tmp_path, {"name": name})
    alone, after = run(cell, tmp_path / "alone"), CellFolder(tmp_path / "store" / "after")
    for folder, of in ((CellFolder(tmp_path / "store" / "last"), replace(cell, last_only=True)), (after, cell)):
        CellRun(of, folder, workplace_in(tmp_path / "store", CPU), lambda doing, step, total: None).run(lambda _: None)
    numbers = [
        {key: x for key, x in found.record(3).numbers.items() if key.startswith("update/")} for found in (alone, after)
    ]
    assert numbers[0] == numbers[1]
    assert "update/norm" in numbers[0]


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        ({"name": "ties", "select": "random"}, "strategy ties: select random: this strategy has parts for optimizer"),
        ({"name": "ewc", "edit": "wise-ft"}, "strategy ewc: edit wise-ft: this strategy has parts for optimizer only"),
        ({"name": "vpt", "optimizer": "sgd"}, "strategy vpt: optimizer sgd: this strategy has no parts"),
    ],
)
def test_parts_that_would_be_wrong_or_do_nothing_are_refused(entry: dict[str, object], wanted: str, tiny: Any) -> None:
    with pytest.raises(ConfigError, match=wanted):
        cell_with(tiny.stream, tiny.folder / "refused", entry)


def test_an_optimizer_that_takes_nothing_is_refused(tiny: Any, tmp_path: Path) -> None:
    cell = cell_with(tiny.stream, tmp_path, {"name": "mos", "optimizer": "drop-muon"})
    with pytest.raises(ConfigError, match="optimizer DropMuon: takes none of what the strategy trains"):
        run(cell, tmp_path / "cell")


@pytest.mark.parametrize("name", ["replay", "der"])
def test_strategies_that_keep_positions_refuse_to_learn_after_forgetting(name: str, tmp_path: Path) -> None:
    """The stream of a life forgets at the end, which shifts nothing that is drawn from."""
    updates = [{"learn": "digits"}, {"forget": {"task": "digits", "share": 0.1}}, {"learn": "flags"}]
    tasks = [{"name": task, "kind": "classification", "metric": "accuracy"} for task in ("digits", "flags")]
    card: dict[str, object] = {
        "name": "again",
        "description": "x",
        "loader": "based-on",
        "based_on": "clip-mini",
        "learner": "mini-clip",
    }
    card |= {"protocols": ["task-id"], "order_reason": "none", "tasks": tasks, "updates": updates}
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(card))
    path = tmp_path / "suite.yaml"
    entry = {"learn": name, "forget": "zero-shot"}
    path.write_text(yaml.safe_dump({"streams": [str(tmp_path / "again.yaml")], "strategies": [entry]}))
    with pytest.raises(ConfigError, match=f"strategy {name} keeps samples by their positions, which updates of kind"):
        load_suite(str(path))
    entry = {"learn": name, "adopt": "retrain", "compress": "zero-shot", "forget": "zero-shot"}
    path.write_text(yaml.safe_dump({"streams": ["lifecycle-mini"], "strategies": [entry]}))
    assert load_suite(str(path)).cells


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two tasks of classes, with heads."""
    return write_stream(tmp_path_factory.mktemp("classes"), str(HERE / "tiny_vit.py"), ("tone", "shade"))


@pytest.mark.parametrize("select", ["all", "kappa"])
def test_kept_samples_train_the_heads_of_their_tasks(select: str, classes: str) -> None:
    """At the rate of heads, whatever is selected."""
    tasks = load_stream(classes).tasks

    def build() -> Context:
        tiny = type("Tiny", (), {"learner": str(HERE / "tiny_vit.py")})
        return context_of(tiny)

    def heads(**settings: object) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        context = build()
        values = {"lr": 1e-9, "head_lr": 1e-2, "memory": {"name": "random", "size": 8}, **settings}
        strategy = Finetune(GradientConfig.model_validate(values), context)
        learn_task(strategy, tasks[0])
        before = {name: p.detach().clone() for name, p in context.learner.head(tasks[0]).items()}
        learn_task(strategy, tasks[1])
        return before, {name: p.detach() for name, p in context.learner.head(tasks[0]).items()}

    before, after = heads(select=select)
    moved = max(float((after[name] - tensor).abs().max()) for name, tensor in before.items())
    assert moved > 1e-3
    if select == "all":
        plain = heads()[1]
        assert all(torch.equal(plain[name], tensor) for name, tensor in after.items())


def test_a_parts_file_may_lie_anywhere(tiny: Any, tmp_path: Path) -> None:
    digests = []
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        path = tmp_path / place / "my_memory.py"
        path.write_text(MINE)
        cell = cell_with(tiny.stream, tmp_path / place, {"name": "finetune", "memory": {"name": str(path), "size": 9}})
        digests.append(cell.digest)
        assert cell.choices[0].config.model_dump(mode="json")["memory"]["name"] == str(path)  # for workers
        MEMORIES.forget_files()
    assert digests[0] == digests[1]
