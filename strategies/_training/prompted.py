"""What strategies with soft prompts share: a plan that the learner carries out, and prompts trained with the heads."""

from abc import abstractmethod
from typing import Generic, Never, TypeVar

from pydantic import Field
from torch import nn

from clbench.contracts import Context, PromptPlan, Task
from clbench.strategies._training.multi_task import MultiTaskConfig, MultiTaskStrategy


class PromptConfig(MultiTaskConfig):
    """Settings of soft prompts."""

    prompts: int = Field(10, ge=0, description="Tokens that are prompts; none when 0.")
    deep: bool = Field(False, description="New prompts in every block, in the place of the last ones.")


P = TypeVar("P", bound=PromptConfig)


class PromptedStrategy(MultiTaskStrategy[P], Generic[P]):
    """Has the learner insert prompts; a task trains those that it is read with, at the rate of heads."""

    def __init__(self, config: P, context: Context) -> None:
        super().__init__(config, context)
        self._plan = self.plan() if config.prompts else None
        if self._plan:
            self.learner.insert_prompts(self._plan)

    @abstractmethod
    def plan(self) -> PromptPlan:
        """How many prompts there are, and where."""

    def task_parameters(self) -> dict[str, nn.Parameter]:
        """Heads, and the prompts of what is learnt now."""
        prompts = {name: p for task in self.current_tasks() for name, p in self.learner.prompts(task).items()}
        return super().task_parameters() | prompts

    def frozen_blocks(self, task: Task) -> int:
        """All blocks, or those before prompts enter, if the task has any."""
        blocks = self.learner.stack().blocks
        read_with = self._plan is not None and task.kind not in self._plan.excluded
        return min(blocks, self._plan.first_block) if self._plan and read_with else blocks

    def footprint(self) -> dict[str, int]:
        """The size of `trainable_parameters` and of the prompts of one task."""
        found = super().footprint()
        task = Task("counted", "segmentation", "dice", _no_data, _no_data, classes=("background", "thing"))
        self.learner.add_task(task)
        prompts = sum(p.numel() for p in self.learner.prompts(task).values())
        return {**found, "trainable_parameters": found["trainable_parameters"] + prompts, "in_prompts": prompts}


def _no_data(split: object) -> Never:
    raise AssertionError(f"counting parameters needs no data, got {split}")
