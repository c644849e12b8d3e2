"""Updates of a model: a new release comes, the tasks stay, and each task's adapter is trained anew on it."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar, Generic, TypeVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from clbench.contracts import Batch, Context, EvalProtocol, Learner, Predictions, Predictor, Task, TokenScores
from clbench.core.errors import ConfigError
from clbench.strategies._adapters.task_adapters import TaskAdapter
from clbench.strategies._training.gradient import GradientConfig, GradientStrategy
from clbench.strategies._training.optimization import batches_of, report_losses
from clbench.strategies._updates.adapted import Adapted, require_same_vocabulary, unit_loss

Objective = Callable[[Batch, Task], Tensor]

FIRST_STAGE = (
    *("_fresh", "_stage", "_train", "_backward", "batches", "trainable_parameters"),
    *("task_loss", "student", "loss", "after_backward", "after_step", "current_tasks", "task_parameters"),
)
"""What decides the first stage besides settings: strategies that override none of these share it."""


class UpdateConfig(GradientConfig):
    """Settings of every strategy for streams of releases.

    `lr`, `rank`, `alpha` and `dropout` are MUSCLE's for models of 7 billion weights. These are not the authors':
    `warmup` (a tenth of the steps; theirs 500 steps), `schedule` (theirs is not published), `clip_norm` (theirs is not
    published) and `head_lr`, which is ours.
    """

    lr: float = Field(1e-4, gt=0, description="Peak learning rate of AdamW.")
    rank: int = Field(128, ge=1, description="Rank of a task's adapter, which every linear layer gets.")
    alpha: float | None = Field(
        None, gt=0, description="The adapter's product is scaled by alpha / rank; twice the rank if not set."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the adapters.")
    answers_only: bool = Field(
        False, description="Leave the tokens of inputs out of all losses, where a model could learn them, too."
    )


U = TypeVar("U", bound=UpdateConfig)


class UpdateStrategy(GradientStrategy[U], Generic[U]):
    """One LoRA adapter a task on all linear layers of each release; at inference one base and one adapter.

    The task loss is the mean cross-entropy of all units: the tokens of inputs and answers (Echterhoff et al. 2024
    train on the whole sequence), or samples where tasks have classes (CLIP).

    Subclasses override `second_stage`, which has the old model, or `finalize`. Whatever they do, the first release gets
    plain adapters, so all strategies start from the same old model. Randomness of each stage depends on the cell's
    seed, the version, the position of the task and the stage alone, so strategies with a second stage see the same
    batches in it.
    """

    takes_releases: ClassVar[bool] = True

    def __init__(self, config: U, context: Context) -> None:
        super().__init__(config, context)
        self.adapters: dict[str, TaskAdapter] = {}
        """Of the present version, by task."""
        self.old: Adapted | None = None
        """While a release is adopted: the version before; None for the first release."""
        self._trained: TaskAdapter | None = None
        self._steps = context.budget.steps
        self._objective: Objective = self.task_loss

    def second_stage(self, task: Task, adapter: TaskAdapter, stage: Callable[[Objective, int], None]) -> None:
        """After a task's adapter is trained, and only where there is an old model: bring the two together.

        Args:
            task: The task.
            adapter: Its new adapter, which may be trained on.
            stage: Trains it by an objective for some more steps.
        """

    def finalize(self) -> None:
        """After all tasks' adapters are there, and only where there is an old model."""

    def learn(self, task: Task) -> None:
        """Refuse.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError("this strategy is for streams of releases of a model, the stream brings tasks")

    def adopt(self, release: Learner, tasks: Sequence[Task]) -> None:
        """Train an adapter for each task on the release.

        Raises:
            ConfigError: When releases have different vocabularies.
            TrainingError: When a loss is not finite.
        """
        require_same_vocabulary(self.learner, release)
        self.old = Adapted(self.learner, self.adapters) if self.adapters else None
        if self.old:
            self.old.learner.module.requires_grad_(False).eval()
        self.learner, self.adapters = release, {}
        for position, task in enumerate(tasks, 1):
            self.adapters[task.name] = self._adapt(task, position)
        if self.old:
            self.finalize()
        self.old = None

    def _adapt(self, task: Task, position: int) -> TaskAdapter:
        """A task's adapter."""
        words = ("version", self.version, "task", position)
        adapter = self._first_stage(task, words)

        def stage(objective: Objective, steps: int) -> None:
            self.reseed(*words, "further")
            for name, value in self._stage(task, adapter, objective, steps, "further").items():
                self.context.record(name, value)

        if self.old:
            self.second_stage(task, adapter, stage)
        return adapter

    def _first_stage(self, task: Task, words: Sequence[object]) -> TaskAdapter:
        """The plain adapter, which strategies that differ in what comes after it train once for all of them."""

        def train() -> Mapping[str, object]:
            self.reseed(*words)
            adapter = self._fresh()
            numbers = self._stage(task, adapter, self.task_loss, self.context.budget.steps, "train")
            return {"adapter": adapter.state_dict(), "numbers": numbers}

        recipe = tuple((name, getattr(self.config, name)) for name in UpdateConfig.model_fields)
        hooks = tuple(getattr(type(self), name) for name in FIRST_STAGE)
        found = self.context.once((*words, self.learner.name, task.name, recipe, hooks), train)
        for name, value in cast(Mapping[str, float], found["numbers"]).items():
            self.context.record(name, value)
        return TaskAdapter.from_state(cast(Mapping[str, object], found["adapter"]), self.learner.device)

    def _fresh(self) -> TaskAdapter:
        names = [layer.name for layer in self.learner.linear_layers()]
        config = self.config
        scale = (config.alpha or 2 * config.rank) / config.rank
        return TaskAdapter.fresh(self.learner.module, names, config.rank, scale, config.dropout, self.generator)

    def _stage(self, task: Task, adapter: TaskAdapter, objective: Objective, steps: int, name: str) -> dict[str, float]:
        """Train an adapter; returns what is to be recorded."""
        numbers: dict[str, float] = {}
        if not steps:
            return numbers
        self._trained, self._objective, self._steps = adapter, objective, steps
        losses = self._train(task, steps)
        self._trained = None
        for _, p in adapter.parameters():
            p.requires_grad_(False)

        def record(what: str, value: float) -> None:
            numbers[f"{what.replace('train', name, 1)}/{task.name}"] = value

        report_losses(losses, task, self.config.lr, record)
        return numbers

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """A and B of the adapter that is trained now."""
        if self._trained:
            yield from self._trained.parameters()

    def batches(self, task: Task) -> Iterator[tuple[Batch, Task]]:
        """Random batches of the task, with the samples' positions as `position`."""
        samples = self.context.samples(task, "train")
        budget = self.context.budget.model_copy(update={"steps": self._steps})
        for index in batches_of(len(samples), budget, self.generator, samples.index_device):
            yield {**samples.batch(index), "position": index}, task

    def loss(self, batch: Batch, task: Task) -> Tensor:
        """What the present stage minimises."""
        return self._objective(batch, task)

    def weight(self, batch: Batch, task: Task) -> Tensor:
        """The units of `student`."""
        return self.learner.loss_terms(batch, self.config.answers_only)

    def task_loss(self, batch: Batch, task: Task) -> Tensor:
        """Mean cross-entropy of all units, a scalar."""
        return unit_loss(self.student(batch, task))

    def student(self, batch: Batch, task: Task) -> TokenScores:
        """Scores of a batch with the trained adapter in, with gradient."""
        assert self._trained is not None
        with self._trained.on(self.learner.module):
            return self.learner.token_logits(batch, task, self.config.answers_only)

    def footprint(self) -> dict[str, int]:
        """The size of one task's adapter, and the number of its layers."""
        self._trained = self._fresh()
        return {**super().footprint(), "adapters": len(self._trained.factors)}

    def predictor(self, tasks: Sequence[Task], protocols: Sequence[EvalProtocol]) -> Predictor:
        """A task's predictions with its adapter in; of version 0, which has none, the release's own."""
        if not self.adapters:
            return self.learner.predictor(tasks, protocols)
        return self.by_task(lambda task: self.learner.predictor(tasks, protocols))

    def by_task(self, make: Callable[[Task], Predictor]) -> Predictor:
        """A predictor that is made anew whenever the task changes, and asked, with that task's adapter in."""
        made: dict[str, Predictor] = {}

        def predict(batch: Batch, task: Task) -> Mapping[EvalProtocol, Predictions]:
            with self.adapters[task.name].on(self.learner.module):
                if task.name not in made:
                    made.clear()
                    made[task.name] = make(task)
                return made[task.name](batch, task)

        return predict

    def digest(self) -> str:
        """Hash of the base and all adapters."""
        return digest_of(self.learner, self.adapters)

    def state_dict(self) -> Mapping[str, object]:
        """The adapters."""
        return {"adapters": {name: adapter.state_dict() for name, adapter in self.adapters.items()}}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Take the adapters back."""
        saved = cast(Mapping[str, Mapping[str, object]], state["adapters"])
        self.adapters = {name: TaskAdapter.from_state(item, self.learner.device) for name, item in saved.items()}


def digest_of(learner: Learner, adapters: Mapping[str, TaskAdapter]) -> str:
    """Hash of a base and its adapters; the base's own where there are none."""
    if not adapters:
        return learner.digest()
    digest = hashlib.blake2b(learner.digest().encode(), digest_size=16)
    for name, adapter in adapters.items():
        for part, p in adapter.parameters():
            digest.update(f"{name} {part}".encode())
            digest.update(p.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
