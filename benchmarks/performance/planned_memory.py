"""What `clbench run --dry-run` says that training takes, beside what it takes: peak memory of real steps.

Tensors that are alive in the real steps are counted, and beside them the memory of the process, which has the slack of
the C library's allocator, or that of the GPU's allocator.
"""

import argparse

import pyarrow as pa
import torch

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.process_memory import MIB
from clbench.benchmarks.engine.suite import SuiteChanges, load_suite
from clbench.benchmarks.forecast.live_bytes import LiveBytes
from clbench.benchmarks.forecast.memory_plan import GIB, MemoryPlan, plan_memory
from clbench.benchmarks.forecast.memory_use import memory_above_now
from clbench.benchmarks.performance._measuring import default_device, describe_machine
from clbench.benchmarks.performance._report import Comparison, Report
from clbench.benchmarks.performance._training_work import TrainingWork, no_rows
from clbench.contracts import Budget, Samples, Task
from clbench.contracts.updating import learn_task
from clbench.core.errors import ConfigError
from clbench.core.registry import STRATEGIES

TURNS = 1
ALIVE = "tensors alive"
MEMORY = "of the process, or of the GPU's allocator"


def train(cell: Cell, checkpointing: bool, device: torch.device) -> None:
    """Two real steps of a cell's strategy on made-up samples as long as its stream allows.

    Args:
        cell: The cell; its data are not read.
        checkpointing: Whether a backward pass computes blocks again.
        device: Device to train on.
    """
    limits = cell.card.limits
    assert limits is not None
    learner = build_learner(cell.learner, cell.seed, device)
    size = cell.budget.batch_size
    lengths = {"input": limits.input_tokens, "answer": limits.answer_tokens}
    rows = {name: torch.zeros(size, length, dtype=torch.int64, device=device) for name, length in lengths.items()}
    widths = {f"{name}.width": torch.full((size,), length, device=device) for name, length in lengths.items()}
    samples = Samples(pa.array(map(str, range(size)), pa.string()), {**rows, **widths}, device)

    budget = Budget(steps=2, batch_size=size, micro_batch=cell.budget.micro_batch, checkpointing=checkpointing)
    work = TrainingWork(learner, budget, lambda task, split: samples)
    strategy = work.strategy(STRATEGIES.listing(cell.strategy).name, cell.config.model_dump())
    task = Task("longest", "generation", "exact_match", no_rows, no_rows, limits=limits)
    learn_task(strategy, task)


def measured_peak(cell: Cell, checkpointing: bool) -> float:
    """Most bytes of tensors that are alive while a cell trains on the CPU, weights included.

    Args:
        cell: The cell.
        checkpointing: Whether a backward pass computes blocks again.
    """
    with LiveBytes() as live:
        train(cell, checkpointing, torch.device("cpu"))
    return float(live.peak)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Learner, stream, strategies and number of samples."""
    parser.add_argument("--learner", default="llama:random:tiny-llama-1.1b", help="language model of a known shape")
    parser.add_argument("--suite", default="trace-order1", help="suite of one stream of texts (default: %(default)s)")
    parser.add_argument("--strategies", default="finetune,lora", help="names (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=1, help="samples in a forward pass (default: %(default)s)")


def measure(options: argparse.Namespace) -> Report:
    """Plan and peak of each strategy, without and with checkpointing."""
    device = default_device()
    names = options.strategies.split(",")
    changes = {"budget.batch_size": options.samples, "budget.micro_batch": None}
    suite = load_suite(options.suite, SuiteChanges(learners=[options.learner], strategies=names, overrides=changes))
    found = []
    for cell in suite.cells:
        for checkpointing in (False, True):
            plan = plan_memory(cell, checkpointing, bfloat16=device.type == "cuda")
            if not isinstance(plan, MemoryPlan):
                raise ConfigError(plan)
            tensors: list[float] = []
            memory: list[float] = []
            for _ in range(options.turns):
                with memory_above_now(device) as above, LiveBytes() as live:
                    train(cell, checkpointing, device)
                tensors.append(live.peak / GIB)
                memory.append(above[0] * MIB / GIB)
            title = f"{cell.label}, checkpointing" if checkpointing else cell.label
            planned = [plan.totals[options.samples] / GIB] * options.turns
            found.append(Comparison(title, "GiB", ALIVE, {ALIVE: tensors, "planned": planned, MEMORY: memory}))
    settings = {"learner": options.learner, "stream": suite.cells[0].stream, "samples": options.samples}
    return Report("planned_memory", describe_machine(device), settings, found)
