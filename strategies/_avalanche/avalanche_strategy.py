"""Avalanche's plugins as clbench strategies: Avalanche's own training loop, unpatched, on our learners and streams."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import torch

from clbench.contracts import Context, Strategy, Task
from clbench.core.errors import ConfigError
from clbench.strategies._avalanche.avalanche_data import dataset_of, positions
from clbench.strategies._avalanche.avalanche_loop import BudgetPlugin, without_own_deprecations
from clbench.strategies._avalanche.avalanche_model import AvalancheModel, Scope, Views
from clbench.strategies._avalanche.avalanche_state import capture, restore
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies._training.optimization import batches_of, new_optimiser, report_losses, without

if TYPE_CHECKING:
    from avalanche.benchmarks import DatasetExperience


class AvalancheConfig(GradientConfig):
    """Settings of every strategy that runs in Avalanche's loop."""


A = TypeVar("A", bound=AvalancheConfig)


class AvalancheStrategy(Strategy[A], Generic[A]):
    """Trains the learner in Avalanche's `SupervisedTemplate` with the plugins that a subclass names.

    Without plugins it does what `finetune` does, to the last bit. Avalanche sees datasets of sample positions, a model
    that turns positions into logits, and a criterion that compares each sample with the classes of its own task.

    Avalanche's objects live for one task. What they carry to the next goes through `capture` and `restore` at every
    task, killed or not, so a resumed cell takes the very path of an uninterrupted one.
    """

    scope: ClassVar[Scope] = "batch"
    """Which classes are scored in a step; what a method distils must be among them."""
    mixed: ClassVar[bool] = False
    """Whether batches hold samples of earlier tasks too. If so, from the second task on, Avalanche shuffles new samples
    and memory, and each step waits for the device once, to learn which tasks are in its batch."""
    carried: ClassVar[tuple[str, ...]] = ()
    """Attributes of the `carrier` that survive from task to task; dots lead into attributes."""

    def __init__(self, config: A, context: Context) -> None:
        super().__init__(config, context)
        if context.budget.micro_batch is not None:
            raise ConfigError("budget.micro_batch must not be set for strategies in Avalanche's loop: it cannot add up")
        self._memory: Mapping[str, object] = {}

    @abstractmethod
    def plugins(self) -> list[Any]:
        """Fresh plugins of the method, as they are before the first task."""

    def template(self, **settings: Any) -> Any:
        """Avalanche's strategy object; a `SupervisedTemplate` unless the method has a class of its own."""
        from avalanche.training.templates import SupervisedTemplate

        return SupervisedTemplate(**settings)

    def carrier(self, template: Any) -> Any:
        """The object that has the `carried` attributes: the first plugin."""
        return template.plugins[0]

    def begin_task(self, template: Any) -> None:
        """Everything is built and restored, training is about to begin."""

    def check(self, task: Task) -> None:
        """Only tasks whose every sample has one of the task's classes."""
        if task.kind in ("segmentation", "detection", "regression") or not task.classes:
            name, kind = type(self).__name__, task.kind if task.classes else "free answers"
            raise ConfigError(f"task {task.name!r}: {name} runs in Avalanche's loop, which knows classes, not {kind}")

    def footprint(self) -> dict[str, int]:
        """The size of all that the learner offers for training."""
        return {"trainable_parameters": sum(p.numel() for p in self.learner.trainable().values()), "adapters": 0}

    def state_dict(self) -> Mapping[str, object]:
        """What the plugins remember."""
        return self._memory

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Take back what the plugins remembered."""
        self._memory = state

    def learn(self, task: Task) -> None:
        """Train one Avalanche experience.

        Raises:
            TrainingError: When the loss is not finite at some step; it is read once, after the last one.
        """
        mixed = self.mixed and len(self.seen) > 1
        views = Views(self.context, tuple(self.seen), self.generator, mixed, self.config.augment)
        model = AvalancheModel(self.learner, self.context, views, tuple(self.seen), self.scope)
        budget = self._budget_plugin(task)
        template = self._build(model, budget)
        restore(self.carrier(template), self._memory, model)
        self.begin_task(template)
        with without_own_deprecations():
            template.train(self._experience(task), eval_streams=[], shuffle=mixed)
        self._memory = capture(self.carrier(template), self.carried)
        self.learner.module.eval()
        report_losses(budget.losses, task, self.config.lr, self.context.record)

    def number_of_steps(self, task: Task) -> int:
        """The budget's."""
        return self.context.budget.steps

    def _budget_plugin(self, task: Task) -> BudgetPlugin:
        """The plugin that keeps the budget, with a new optimizer's schedule; chooses what is trained."""
        budget = self.context.budget
        own = list(self.learner.head(task).values())
        parameters = without(list(self.learner.trainable().values()), own)
        optimizer, scheduler = new_optimiser(self.learner.module, parameters, self.config, budget.steps, own)
        drawn = batches_of(len(self.context.samples(task, "train")), budget, self.generator, torch.device("cpu"))
        order = torch.cat(list(drawn)).tolist()
        return BudgetPlugin(
            order, parameters + own, self.config.clip_norm, optimizer, scheduler, budget.steps, self.context.progress
        )

    def _build(self, model: AvalancheModel, budget: BudgetPlugin) -> Any:
        from avalanche.logging import BaseLogger
        from avalanche.training.plugins import EvaluationPlugin

        template = self.template(
            model=model,
            optimizer=budget.optimizer,
            criterion=model.task_loss,
            train_mb_size=self.context.budget.batch_size,
            device=model.device,
            plugins=[*self.plugins(), budget],
            evaluator=EvaluationPlugin(loggers=[BaseLogger()]),  # logs nothing, and does not warn that it does not
        )
        template.clock.train_exp_counter = len(self.seen) - 1  # by which plugins number what they keep
        return template

    def _experience(self, task: Task) -> "DatasetExperience":
        """The task's training samples as Avalanche gets them, each once."""
        from avalanche.benchmarks import DatasetExperience

        before = sum(len(known.classes) for known in self.seen[:-1])
        labels = self.context.samples(task, "train").tensors["label"].cpu() + before
        number = len(self.seen) - 1
        dataset = dataset_of(positions(number, torch.arange(len(labels))), labels)
        experience = DatasetExperience(dataset=dataset, current_experience=number)
        experience.classes_in_this_experience = sorted(dataset.targets.uniques)
        return experience
