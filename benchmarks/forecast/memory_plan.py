"""How much memory of a GPU the training of a language model takes, from shapes alone: no weights are made.

The real learner and strategy run a forward and a backward pass on fake tensors, which have shapes and no content, and
every tensor that is alive is counted. So a model of any size is planned in seconds on any machine.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias, cast

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.forecast.live_bytes import LiveBytes
from clbench.contracts import Batch, Budget, Context, Learner, Task, TextLimits
from clbench.core.registry import LEARNERS, STRATEGIES
from clbench.learners._text.loading import RANDOM
from clbench.strategies._parts.blocks import block_modules
from clbench.strategies._training.gradient import GradientConfig, GradientTraining
from clbench.strategies._training.optimization import train_only

GIB = 2**30
FILLED = 0.95
"""Share of a card that tensors can fill: the rest is the driver's, and what the allocator rounds up."""
CARDS = (80, 141)
"""GiB of the cards that are asked about."""


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes that training takes at its peak, for one way of training.

    Attributes:
        weights: All weights, float32, with those of adapters.
        gradients: Of what is trained, float32.
        optimizer: State of the optimizers.
        bases: What the strategy keeps besides: bases of OSFT.
        totals: Peak of all together by the number of samples in a forward pass, whose inputs and answers are as long as
            the stream allows: powers of two, until no card holds them.
    """

    weights: float
    gradients: float
    optimizer: float
    bases: float
    totals: Mapping[int, float]

    @property
    def activations(self) -> float:
        """What one sample takes at the peak, beyond weights, gradients, state and bases."""
        return self.totals[1] - self.weights - self.gradients - self.optimizer - self.bases

    def largest_micro_batch(self, gib: float) -> int:
        """Samples in a forward pass that fit a card of `gib` GiB; 0 if not even one does."""
        return max((n for n, total in self.totals.items() if total <= FILLED * gib * GIB), default=0)


@dataclass(frozen=True)
class Way:
    """A strategy with its settings on a learner, with or without checkpointing, in one process or in shards."""

    learner: str
    strategy: str
    checkpointing: bool
    shards: int = 1

    @property
    def title(self) -> str:
        """Name in tables."""
        ways = (self.strategy, "checkpointing" * self.checkpointing, f"{self.shards} shards" * (self.shards > 1))
        return ", ".join(filter(None, ways))


Plans: TypeAlias = Mapping[Way, "MemoryPlan | str"]


def plan_suite(cells: Sequence[Cell], told: Callable[[str], None]) -> Plans:
    """The plans of all strategies on language models of a known shape, or why there is none.

    Args:
        cells: Cells of a suite; their data are not read.
        told: Called with the title of what is planned next.
    """
    plans: dict[Way, MemoryPlan | str] = {}
    for cell in cells:
        ways = {on: Way(cell.names[1], cell.label, on, _shards(cell)) for on in (False, True)}
        if _limits(cell) is None or ways[False] in plans:
            continue
        told(f"shapes of {cell.names[1]} / {cell.label}")
        plans[ways[False]] = plain = plan_memory(cell, False)
        if isinstance(plain, MemoryPlan):
            plans[ways[True]] = plan_memory(cell, True)
    return plans


def too_large(plans: Plans, device: torch.device) -> str | None:
    """Why nothing is measured here: the free memory that a planned model exceeds; None if all fit.

    Args:
        plans: Plans of a suite.
        device: Device on which it would be measured.
    """
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    for way, plan in plans.items():
        if isinstance(plan, MemoryPlan) and not way.checkpointing and plan.totals[1] > free:
            return f"{way.title} on {way.learner} takes {plan.totals[1] / GIB:.1f} GiB, free are {free / GIB:.1f}"
    return None


def plan_memory(cell: Cell, checkpointing: bool, bfloat16: bool = True) -> MemoryPlan | str:
    """The plan of a cell, or why there is none.

    Planned are language models with random weights of a known shape, under strategies that train by the task's loss.
    Where the cell shards its model, the plan is that of one process.

    Args:
        cell: The cell; its data are not read.
        checkpointing: Whether a backward pass computes blocks again.
        bfloat16: Whether the computation is in bfloat16, under autocast, as on a GPU that has it.
    """
    limits = _limits(cell)
    if limits is None:
        return "only language models of a known shape (llama:random:llama-2-7b) are planned"
    name, _, argument = cell.learner.partition(":")
    with FakeTensorMode():
        learner = cast(Learner, LEARNERS.get(name).value(argument, seed=cell.seed))
        learner.precision = "bfloat16" if bfloat16 else "float32"
        strategy = STRATEGIES.get(cell.strategy).value(cell.config, _context(learner, cell.budget))
        if why := _cannot_be_planned(strategy):
            return f"strategy {cell.names[2]}: {why}"
        training = cast(GradientTraining[GradientConfig], strategy)
        return _planned(training, _task(limits), checkpointing, _shards(cell))


def _shards(cell: Cell) -> int:
    return cell.processes if cell.shard else 1


def _limits(cell: Cell) -> TextLimits | None:
    """Lengths of the samples of a cell whose learner has a known shape and reads texts; None for others."""
    return cell.card.limits if cell.learner.partition(":")[2].startswith(RANDOM) else None


def _cannot_be_planned(strategy: object) -> str | None:
    if not isinstance(strategy, GradientTraining):
        return "does not train by gradients"
    if type(strategy).loss is not GradientTraining.loss:
        return "has a loss of its own, which needs what it keeps from earlier tasks"
    if strategy.config.penalty or strategy.config.edit:
        return "a penalty or an edit keeps what only data can tell"
    return None


def _planned(strategy: GradientTraining[GradientConfig], task: Task, checkpointing: bool, shards: int) -> MemoryPlan:
    learner = strategy.learner
    bases = strategy.footprint().get("bytes_of_bases", 0)  # adapters are attached from here on
    shared = dict(strategy.trainable_parameters())
    train_only(learner.module, shared.values())
    learner.module.train()
    learner.set_checkpointing(checkpointing)
    known = list({id(p): p for p in (*learner.module.parameters(), *shared.values())}.values())
    optimizer = strategy.optimizer_bytes()
    weights, gradients = sum(p.nbytes for p in known), sum(p.nbytes for p in shared.values())
    totals: dict[int, float] = {}
    samples, most = 1, strategy.context.budget.batch_size
    while samples <= most and (not totals or max(totals.values()) <= max(CARDS) * GIB):
        # At the end of a backward pass all gradients are there; before, activations are.
        peak = max(_peak(learner, known, task, samples, accumulated=samples < most or shards > 1), weights + gradients)
        totals[samples] = peak + optimizer + bases
        samples *= 2
    whole = MemoryPlan(weights, gradients, optimizer, bases, totals)
    return whole if shards == 1 else _sharded(whole, learner, shards)


def _sharded(whole: MemoryPlan, learner: Learner, shards: int) -> MemoryPlan:
    """The plan of a process that holds one of `shards` shards of the learner; adapters stay whole.

    Gathered, with whole gradients, are what lies outside of blocks and the two largest blocks: torch fetches the next
    one while it computes one. They count as activations.
    """

    def bytes_of(module: nn.Module) -> tuple[int, int]:
        return sum(p.nbytes for p in module.parameters()), sum(p.nbytes for p in module.parameters() if p.requires_grad)

    weights, gradients = bytes_of(learner.module)
    blocks = [sum(bytes_of(learner.module.get_submodule(name))) for name in block_modules(learner)]
    gathered = weights + gradients - sum(blocks) + sum(sorted(blocks)[-2:])
    left_out = 1 - 1 / shards
    less = left_out * weights, left_out * gradients, left_out * whole.optimizer * gradients / whole.gradients
    return MemoryPlan(
        whole.weights - less[0],
        whole.gradients - less[1],
        whole.optimizer - less[2],
        whole.bases,
        {n: total - sum(less) + gathered for n, total in whole.totals.items()},
    )


def _peak(learner: Learner, known: Sequence[nn.Parameter], task: Task, n: int, accumulated: bool) -> float:
    """Most bytes alive in a forward and a backward pass; leaves no gradients.

    Args:
        learner: The learner.
        known: Its parameters and those of adapters.
        task: Task with the lengths of samples.
        n: Number of samples.
        accumulated: Whether gradients of other samples of the batch are there already.
    """
    for p in known:
        p.grad = torch.zeros_like(p) if accumulated and p.requires_grad else None
    batch = _longest(task, n)
    with LiveBytes([*known, *(p.grad for p in known if p.grad is not None)]) as live, _fused_attention():
        with learner.autocast():
            loss = learner.loss(batch, task)
        loss.backward()
    for p in known:
        p.grad = None
    return float(live.peak)


@contextmanager
def _fused_attention() -> Iterator[None]:
    """Attention without its matrix of scores, as the kernels of GPUs and CPUs have it; fake tensors would make it."""
    plain = F.scaled_dot_product_attention

    def fused(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **more: Any) -> Tensor:
        """The fused kernel of the CPU keeps what those of GPUs keep: outputs, and a number for each row."""
        dropout, causal = more.get("dropout_p", 0.0), more.get("is_causal", False)
        if more.get("enable_gqa") and key.shape[1] != query.shape[1]:
            key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], dim=1) for x in (key, value))
        if torch.is_autocast_enabled("cpu"):
            query, key, value = (x.to(torch.get_autocast_dtype("cpu")) for x in (query, key, value))
        kernel: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # noqa: SLF001 (its only name)
        found: Tensor = kernel(query, key, value, dropout, causal, attn_mask=attn_mask, scale=more.get("scale"))[0]
        return found

    # A mode of torch would be off in backward passes, where checkpointing computes blocks again.
    setattr(F, "scaled_dot_product_attention", fused)  # noqa: B010
    try:
        yield
    finally:
        setattr(F, "scaled_dot_product_attention", plain)  # noqa: B010


def _longest(task: Task, n: int) -> Batch:
    assert task.limits is not None
    lengths = {"input": task.limits.input_tokens, "answer": task.limits.answer_tokens}
    rows = {name: torch.zeros(n, length, dtype=torch.int64) for name, length in lengths.items()}
    return {**rows, **{f"{name}.width": torch.full((n,), length) for name, length in lengths.items()}}


def _task(limits: TextLimits) -> Task:
    return Task("longest", "generation", "exact_match", _no_data, _no_data, limits=limits)


def _no_data(*wanted: object) -> NoReturn:
    raise AssertionError(f"a plan reads no data, got {wanted}")


def _context(learner: Learner, budget: Budget) -> Context:
    return Context(learner, budget, 0, _no_data, lambda: learner, lambda step, total: None, lambda name, value: None)
