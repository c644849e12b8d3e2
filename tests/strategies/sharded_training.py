"""One of two processes that train the same models whole and in shards, for `test_weight_layout.py`.

`python sharded_training.py FOLDER NUMBER CLIP_STREAM VIT_STREAM` writes what it found to `FOLDER/NUMBER.json`.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.numerics import make_deterministic
from clbench.contracts import Budget, Context, Learner, Strategy, StrategyConfig, Task
from clbench.contracts.learner import Precision
from clbench.contracts.updating import learn_task
from clbench.core import processes
from clbench.core.registry import STRATEGIES
from clbench.streams.card import load_stream

LEARNERS = {
    "clip": str(Path(__file__).parents[1] / "tiny_clip.py"),
    "vit": "mini-vit",
    "t5": "mini-t5",
    "llama": "mini-llama",
}
UNCLIPPED = {"clip_norm": None}


@dataclass(frozen=True)
class Case:
    """What is trained whole and in shards."""

    family: str
    strategy: str = "finetune"
    settings: Mapping[str, object] = field(default_factory=lambda: UNCLIPPED)
    budget: Mapping[str, object] = field(default_factory=dict)
    precision: Precision = "auto"


BY_SGD = {**UNCLIPPED, "optimizer": "sgd", "lr": 0.1}
"""Steps of a size in proportion to gradients, whose round-off AdamW would enlarge where they are near zero."""
CASES = {
    "clip, finetune": Case("clip"),
    "clip, lora": Case("clip", "lora"),
    "vit, finetune": Case("vit"),
    "t5, finetune": Case("t5", settings=BY_SGD),
    "t5, lora": Case("t5", "lora", BY_SGD),
    "llama, finetune": Case("llama", settings={**UNCLIPPED, "weight_decay": 0.1}),
    "llama, lora": Case("llama", "lora", {**UNCLIPPED, "dropout": 0.3}),
    "checkpointing": Case("llama", settings=BY_SGD, budget={"checkpointing": True}),
    "bfloat16": Case("llama", settings=BY_SGD, precision="bfloat16"),
    "bfloat16, checkpointing": Case("llama", settings=BY_SGD, budget={"checkpointing": True}, precision="bfloat16"),
    "one sample": Case("llama", settings=BY_SGD, budget={"batch_size": 1}),
    "three parts": Case("llama", settings=BY_SGD, budget={"batch_size": 3, "micro_batch": 1}),
    "clipped": Case("llama", settings={**BY_SGD, "clip_norm": 0.1}),
    "clipped, with heads": Case("vit", settings={**BY_SGD, "clip_norm": 0.1}),
    "clipped, an adapter": Case("vit", "lora", {"clip_norm": 0.1}),
    "memory": Case("llama", settings={**BY_SGD, "memory": {"name": "random", "size": 6}}),
}


@dataclass
class Held:
    """Bytes that a process holds of the model and of what its optimizers work on, at most at any step."""

    strategy: Strategy[StrategyConfig]
    counts: dict[str, int] = field(default_factory=dict)

    def look(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        """Count before a step."""
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        held = {
            "model": list(self.strategy.learner.module.parameters()),
            "trained": parameters,
            "gradients": [p.grad for p in parameters if p.grad is not None],
            "state": [t for p in parameters for t in optimizer.state[p].values() if isinstance(t, Tensor) and t.ndim],
        }
        self.counts = {name: max(_bytes(some), self.counts.get(name, 0)) for name, some in held.items()}


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum((t.to_local() if isinstance(t, DTensor) else t).nbytes for t in tensors)


def train(case: Case, tasks: Sequence[Task], shard: bool) -> tuple[Learner, Held, dict[str, Tensor]]:
    """Learn tasks; gives the learner, what was held, and the first weights."""
    learner = build_learner(LEARNERS[case.family], 0, torch.device("cpu"))
    learner.precision = case.precision
    first = {name: tensor.clone() for name, tensor in learner.state_dict().items()}
    entry = STRATEGIES.get(case.strategy)
    assert entry.config is not None
    samples = {task.name: learner.encode(task.load("train").select(range(12)), task) for task in tasks}
    context = Context(
        learner=learner,
        budget=Budget.model_validate({"steps": 3, "batch_size": 4, **case.budget}),
        seed=0,
        samples=lambda task, split: samples[task.name],
        new_learner=lambda: learner,
        progress=lambda step, total: None,
        record=lambda name, value: None,
        shard=shard,
    )
    strategy = cast(Strategy[StrategyConfig], entry.value(entry.config.model_validate(case.settings), context))
    held = Held(strategy)
    watching = register_optimizer_step_pre_hook(held.look)
    for task in tasks:
        learn_task(strategy, task)
    watching.remove()
    return learner, held, first


def compare(case: Case, tasks: Sequence[Task]) -> dict[str, Any]:
    """What differs between training whole and in shards."""
    whole, held, first = train(case, tasks, shard=False)
    sharded, shards, _ = train(case, tasks, shard=True)
    weights, others = whole.state_dict(), sharded.state_dict()
    return {
        "digest": sharded.digest(),
        "equal": sharded.digest() == whole.digest(),
        "apart": max(float((others[name] - tensor).abs().max()) for name, tensor in weights.items()),
        "moved": max(float((weights[name] - tensor).abs().max()) for name, tensor in first.items()),
        "shapes": all(others[name].shape == tensor.shape for name, tensor in weights.items()),
        "whole": held.counts,
        "shards": shards.counts,
    }


def main(folder: Path, number: int, clip: str, vit: str) -> None:
    """Run all cases.

    Args:
        folder: Folder where the processes meet and write.
        number: Number of this process, 0 or 1.
        clip: Card of a stream of classes.
        vit: Card of a stream of image tasks.
    """
    make_deterministic()
    streams = {"clip": clip, "vit": vit, "t5": "text-open", "llama": "text-open"}
    tasks = {family: load_stream(stream).tasks[:2] for family, stream in streams.items()}
    with processes.joined(folder / "meeting", number, 2):
        found = {
            name: compare(case, tasks[case.family][: 2 if name == "memory" else 1]) for name, case in CASES.items()
        }
    (folder / f"{number}.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
