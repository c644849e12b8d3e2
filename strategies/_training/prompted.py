"""What strategies with soft prompts share: the learner inserts prompts by a plan; they are trained with heads."""

from abc import abstractmethod
from typing import Generic, Never, TypeVar

from pydantic import Field
from torch import nn

from clbench.contracts import Context, PromptPlan, Stacked, TakesPrompts, Task, require
from clbench.strategies._training.multi_task import MultiTaskConfig, MultiTaskStrategy


class PromptConfig(MultiTaskConfig):
    """Settings of soft prompts."""

    prompts: int = Field(10, ge=0, description="Number of prompt tokens; no prompts if 0.")
    deep: bool = Field(False, description="New prompts in every block, which replace those of the block before.")


P = TypeVar("P", bound=PromptConfig)


class PromptedStrategy(MultiTaskStrategy[P], Generic[P]):
    """Inserts prompts into the learner and trains those of the current tasks at the rate of heads."""

    requires = (Stacked, TakesPrompts)

    def __init__(self, config: P, context: Context) -> None:
        super().__init__(config, context)
        self._plan = self.plan() if config.prompts else None
        if self._plan:
            require(self.learner, TakesPrompts).insert_prompts(self._plan)

    @abstractmethod
    def plan(self) -> PromptPlan:
        """Number, position, sharing and first values of prompts."""

    def task_parameters(self) -> dict[str, nn.Parameter]:
        """Heads and prompts of the current tasks."""
        learner = require(self.learner, TakesPrompts)
        prompts = {name: p for task in self.current_tasks() for name, p in learner.prompts(task).items()}
        return super().task_parameters() | prompts

    def frozen_blocks(self, task: Task) -> int:
        """All blocks, or those before prompts enter if the task has prompts."""
        blocks = require(self.learner, Stacked).stack().blocks
        read_with = self._plan is not None and task.kind not in self._plan.excluded
        return min(blocks, self._plan.first_block) if self._plan and read_with else blocks

    def footprint(self) -> dict[str, int]:
        """Number of values in `trainable_parameters` and in the prompts of one task."""
        found = super().footprint()
        task = Task("counted", "segmentation", "dice", _no_data, _no_data, classes=("background", "thing"))
        self.learner.add_task(task)
        own = require(self.learner, TakesPrompts).prompts(task)
        prompts = sum(p.numel() for p in own.values())
        return {**found, "trainable_parameters": found["trainable_parameters"] + prompts, "in_prompts": prompts}


def _no_data(split: object) -> Never:
    raise AssertionError(f"counting parameters needs no data, got {split}")
