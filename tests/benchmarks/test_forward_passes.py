"""Samples in forward passes: counted by hand, for every family, whoever asks for the pass."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.strategies.cut_runs import passes_of, run
from tests.strategies.update_streams import QUICK, context_of, write_card
from tests.strategies.update_streams import write_suite as suite_of_releases
from tests.text_tasks import text_task
from tests.tiny_images import write_stream
from torch import nn

from clbench.benchmarks.clock import Clock
from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.execution import CellRun, workplace_in
from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.suite import load_suite
from clbench.contracts import Learner, ScoresClasses, Task, require
from clbench.contracts.updating import learn_task
from clbench.core.forward_passes import Passes, count_passes, passes_so_far
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies.finetune import Finetune
from clbench.streams.card import load_stream

CPU = torch.device("cpu")
TESTS = Path(__file__).parents[1]
STEPS, BATCH, SAMPLES = 4, 8, 24
TRAINED = STEPS * BATCH
"""Samples in the training of a task."""
OFTEN: list[tuple[Any, list[tuple[int, int]]]] = [
    ("zero-shot", [(0, 0), (0, 0), (0, 0)]),
    ("finetune", [(TRAINED, 0)] * 3),
    # Kept samples take the place of new ones.
    ({"name": "finetune", "memory": {"name": "random", "size": 6}}, [(TRAINED, 0)] * 3),
    # Avalanche adds them instead: 12 of them in batches of 5, 5, 2 and again 5.
    ({"name": "replay", "mem_size": 12, "batch_size_mem": 5}, [(TRAINED, 0), (TRAINED + 17, 0), (TRAINED + 17, 0)]),
    # The student passes a second time, the teacher once; Avalanche's uses the first pass of the student.
    ({"name": "finetune", "penalty": "lwf"}, [(TRAINED, 0), (2 * TRAINED, TRAINED), (2 * TRAINED, TRAINED)]),
    ("lwf", [(TRAINED, 0), (TRAINED, TRAINED), (TRAINED, TRAINED)]),
    ("zscl", [(TRAINED, TRAINED)] * 3),
    # Calibration on samples of the task before.
    (
        {"name": "osft", "rank_rule": "importance", "calibration_samples": 10},
        [(TRAINED, 0), (TRAINED, 10), (TRAINED, 10)],
    ),
    # A gradient of every training sample.
    ("ewc", [(TRAINED + SAMPLES, 0)] * 3),
    ("joint", [(TRAINED, 0), (2 * TRAINED, 0), (3 * TRAINED, 0)]),
    ("two-pass", [(2 * TRAINED, 0)] * 3),
    ({"name": "eggroll", "population": 4}, [(0, 3 * TRAINED)] * 3),
]
"""Entries of a suite, and passes of each version with and without gradient."""


@pytest.mark.parametrize(("strategy", "wanted"), OFTEN, ids=str)
def test_passes_of_each_version(
    strategy: Any, wanted: list[tuple[int, int]], write_suite: Callable[..., str], tmp_path: Path
) -> None:
    (cell,) = load_suite(write_suite(strategy, budget={"steps": STEPS, "batch_size": BATCH})).cells
    folder = run(cell, tmp_path / "out")
    assert passes_of(folder) == [(0, 0), *wanted]
    costs = folder.result(cell.load_stream()).costs
    assert costs["cost/passes_with_gradient"] == sum(found for found, _ in wanted)
    assert costs["cost/passes_without_gradient"] == sum(found for _, found in wanted)


def test_two_teachers_of_a_release(tiny: Any, tmp_path: Path) -> None:
    """For each of two tasks a stage alone and, from the second release on, one with an old and a new teacher."""
    card = write_card(tiny, tmp_path)
    budget = {"steps": STEPS, "batch_size": BATCH}
    pair = ({"name": "naive-update", **QUICK}, {"name": "muscle", **QUICK})
    naive, muscle = load_suite(suite_of_releases(card, tmp_path, *pair, budget=budget)).cells
    first = (2 * TRAINED, 0)
    assert passes_of(run(naive, tmp_path / "naive")) == [(0, 0), first, first]
    assert passes_of(run(muscle, tmp_path / "muscle")) == [(0, 0), first, (4 * TRAINED, 4 * TRAINED)]


def test_versions_from_the_store_have_the_passes_of_their_making(
    write_suite: Callable[..., str], tmp_path: Path
) -> None:
    (cell,) = load_suite(write_suite({"name": "finetune", "penalty": "lwf"})).cells
    folders = []
    for name in ("maker", "taker"):
        folders.append(CellFolder(tmp_path / name))
        work = CellRun(cell, folders[-1], workplace_in(tmp_path, CPU), lambda doing, step, total: None)
        work.run(lambda version: None)
    assert work.taken == 3
    assert passes_of(folders[1]) == passes_of(folders[0]) == [(0, 0), *OFTEN[4][1]]


def test_a_price_has_the_passes_of_its_work_alone() -> None:
    clock, module = Clock(), nn.Linear(1, 1)
    count_passes(module)
    with clock.pricing() as price:
        module(torch.zeros(3, 1))
        with clock.uncounted():  # what is made again for a later version
            module(torch.zeros(100, 1))
        with clock.preparing():
            module(torch.zeros(1000, 1))
        with clock.pricing() as part, torch.no_grad():
            module(torch.zeros(5, 1))
        clock.take_over(part)
    assert part.passes == Passes(0, 5)
    assert price.passes == Passes(3, 10)


def test_families_count_a_sample_once(tmp_path: Path) -> None:
    images = load_stream(write_stream(tmp_path, str(TESTS / "tiny_vit.py"), ("disc", "tone"))).tasks
    texts = [text_task("one"), text_task("two")]
    families = [("t5", texts), ("llama", texts), ("vit", images), ("vit:dinov3", images)]
    for family, tasks in families:
        for checkpointing in (False, True):
            assert _passes(family, tasks, checkpointing) == Passes(2 * 3 * 6), (family, checkpointing)


@pytest.mark.parametrize("family", ["t5", "llama"])
def test_an_input_that_many_labels_are_scored_after_counts_once(family: str) -> None:
    learner, task = _learner(family), text_task("two")
    batch = learner.encode(task.load("train"), task).batch(slice(0, 7))
    before = passes_so_far()
    with torch.no_grad():
        assert require(learner, ScoresClasses).logits(batch, [task]).shape == (7, 3)
    require(learner, ScoresClasses).logits(batch, [task, text_task("one")])
    assert passes_so_far() - before == Passes(7, 7)


def test_rows_are_found_in_any_argument() -> None:
    class Named(nn.Module):
        def forward(self, scale: object, batch: object = None) -> None:
            """Nothing."""

    module = Named()
    count_passes(module)
    before = passes_so_far()
    module(torch.tensor(2.0), batch={"name": "a", "x": torch.zeros(5, 2)})
    module(torch.zeros(3, 1))
    module("nothing", batch=None)
    assert passes_so_far() - before == Passes(8)


def _learner(family: str) -> Learner:
    name, _, argument = family.partition(":")
    return build_learner(f"{TESTS / f'tiny_{name}.py'}" + (f":{argument}" if argument else ""), 0, CPU)


def _passes(family: str, tasks: Sequence[Task], checkpointing: bool) -> Passes:
    """Passes of fine-tuning on tasks, three steps with six samples each."""
    context = context_of(_learner(family), steps=3)
    budget = context.budget.model_copy(update={"checkpointing": checkpointing})
    strategy = Finetune(GradientConfig(), replace(context, budget=budget))
    before = passes_so_far()
    for task in tasks:
        learn_task(strategy, task)
    return passes_so_far() - before
