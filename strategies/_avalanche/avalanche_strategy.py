"""Avalanche's plugins as clbench strategies: Avalanche's unpatched training loop on our learners and streams."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import torch

from clbench.contracts import Context, ScoresClasses, Strategy, Task
from clbench.core.errors import ConfigError
from clbench.kinds import kind_of
from clbench.strategies._avalanche.avalanche_data import dataset_of, positions
from clbench.strategies._avalanche.avalanche_loop import BudgetPlugin, Optimization, without_own_deprecations
from clbench.strategies._avalanche.avalanche_model import AvalancheModel, Scope, Views
from clbench.strategies._avalanche.avalanche_state import capture, restore
from clbench.strategies._parts.part import described
from clbench.strategies._parts.parts import Parts
from clbench.strategies._parts.slots import Slot
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies._training.optimization import batches_of, new_optimizer, report_losses, train_only

if TYPE_CHECKING:
    from avalanche.benchmarks import DatasetExperience


class AvalancheConfig(GradientConfig):
    """Settings of every strategy in Avalanche's loop.

    Optimizer and schedule are those of all strategies here, not those of a method's authors.
    """


A = TypeVar("A", bound=AvalancheConfig)


class AvalancheStrategy(Strategy[A], Generic[A]):
    """Trains the learner in Avalanche's `SupervisedTemplate` with the plugins of a subclass.

    Without plugins its results equal those of `finetune` to the bit. Avalanche gets datasets of sample positions, a
    model that maps positions to logits, and a criterion that compares each sample with the classes of its own task.

    Avalanche's objects live for one task. `capture` and `restore` carry their state to the next task, in resumed and
    uninterrupted cells alike.
    """

    requires = (ScoresClasses,)
    scope: ClassVar[Scope] = "batch"
    """Classes that are scored in a step; they must include those that a method distils."""
    mixed: ClassVar[bool] = False
    """Whether batches also hold samples of earlier tasks.

    If so, from the second task on, Avalanche shuffles new samples and memory, and each step synchronizes once with the
    device to find the tasks in its batch.
    """
    carried: ClassVar[tuple[str, ...]] = ()
    """Attributes of the `carrier` that survive from task to task; dots lead into attributes."""
    slots: ClassVar[tuple[Slot, ...]] = ("optimizer",)
    """Without `edit`: plugins take their anchors and teachers inside of Avalanche's loop, before an edit could come."""
    trains_weights: ClassVar[bool] = True

    def __init__(self, config: A, context: Context) -> None:
        super().__init__(config, context)
        if context.budget.micro_batch is not None:
            raise ConfigError(
                "budget.micro_batch must not be set for strategies in Avalanche's loop, which accumulates no gradients;"
                f" got {context.budget.micro_batch}"
            )
        self._memory: Mapping[str, object] = {}
        self._parts = Parts(self)

    @abstractmethod
    def plugins(self) -> list[Any]:
        """New plugins of the method, in their state before the first task."""

    def template(self, **settings: Any) -> Any:
        """Avalanche's strategy object; a `SupervisedTemplate` unless overridden."""
        from avalanche.training.templates import SupervisedTemplate

        return SupervisedTemplate(**settings)

    def carrier(self, template: Any) -> Any:
        """The object with the `carried` attributes; the first plugin unless overridden."""
        return template.plugins[0]

    def begin_task(self, template: Any) -> None:
        """Prepare the task after `restore` and before training."""

    def check(self, task: Task) -> None:
        """Refuse tasks whose samples do not have one class each.

        Raises:
            ConfigError: For such a task.
        """
        if not kind_of(task.kind).has_class(task):
            name, kind = type(self).__name__, task.kind if task.classes else "free answers"
            raise ConfigError(f"task {task.name!r}: {name} runs in Avalanche's loop, which knows classes, not {kind}")
        self._parts.check(task)

    def footprint(self) -> dict[str, int]:
        """Number of values in the learner's trainable parameters."""
        return {"trainable_parameters": sum(p.numel() for p in self.learner.trainable().values()), "adapters": 0}

    def state_dict(self) -> Mapping[str, object]:
        """State of the plugins."""
        return self._memory

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Restore the state of the plugins."""
        self._memory = state

    def learn(self, task: Task) -> None:
        """Train one Avalanche experience.

        Raises:
            TrainingError: When the loss is not finite at some step; losses are read once, after the last step.
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
        """The budget's number of steps."""
        return self.context.budget.steps

    def _budget_plugin(self, task: Task) -> BudgetPlugin:
        """The plugin that keeps the budget, with a new optimizer; chooses the trained parameters."""
        budget = self.context.budget
        heads = self.learner.head(task)
        shared = ((name, p) for name, p in self.learner.trainable().items() if name not in heads)
        trained = described(self.learner, shared)
        parameters = [*(item.parameter for item in trained), *heads.values()]
        train_only(self.learner.module, parameters)
        part = self._parts.optimizer
        optimizer, scheduler = new_optimizer(trained, list(heads.values()), self.config, part, budget.steps)
        drawn = batches_of(len(self.context.samples(task, "train")), budget, self.generator, torch.device("cpu"))
        order = torch.cat(list(drawn)).tolist()
        optimization = Optimization(optimizer, scheduler, parameters, self.config.clip_norm)
        return BudgetPlugin(order, optimization, budget.steps, self.context.progress)

    def _build(self, model: AvalancheModel, budget: BudgetPlugin) -> Any:
        from avalanche.logging import BaseLogger
        from avalanche.training.plugins import EvaluationPlugin

        template = self.template(
            model=model,
            optimizer=budget.optimization.optimizer,
            criterion=model.task_loss,
            train_mb_size=self.context.budget.batch_size,
            device=model.device,
            plugins=[*self.plugins(), budget],
            evaluator=EvaluationPlugin(loggers=[BaseLogger()]),  # logs nothing and avoids a warning about that
        )
        # Avalanche would add frozen parameters to the optimizer, and does not know to which of several groups.
        template.make_optimizer = lambda **_: None
        template.clock.train_exp_counter = len(self.seen) - 1  # plugins number their state by it
        return template

    def _experience(self, task: Task) -> "DatasetExperience":
        """The task's training samples as an Avalanche experience, each sample once."""
        from avalanche.benchmarks import DatasetExperience

        before = sum(len(known.classes) for known in self.seen[:-1])
        labels = self.context.samples(task, "train").tensors["label"].cpu() + before
        number = len(self.seen) - 1
        dataset = dataset_of(positions(number, torch.arange(len(labels))), labels)
        experience = DatasetExperience(dataset=dataset, current_experience=number)
        experience.classes_in_this_experience = sorted(dataset.targets.uniques)
        return experience
