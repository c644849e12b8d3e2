"""Updates of a model: each task's adapter is retrained on every new release."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar, Generic, TypeVar, cast

from pydantic import Field
from torch import Tensor, nn

from clbench.contracts import (
    Batch,
    Context,
    EvalProtocol,
    Learner,
    Predictions,
    Predictor,
    ScoresTokens,
    Task,
    TokenScores,
    require,
)
from clbench.core.tensor_digest import tensor_digest
from clbench.strategies._adapters.initial_factors import drawn_factors
from clbench.strategies._adapters.low_rank import Arithmetic, LowRankAdapter
from clbench.strategies._distillation.teacher_outputs import as_teacher
from clbench.strategies._training.gradient import GradientConfig, GradientTraining
from clbench.strategies._training.optimization import batches_of, report_losses
from clbench.strategies._updates.adapted import Adapted, mean_cross_entropy, require_same_vocabulary

Objective = Callable[[Batch, Task], Tensor]

FIRST_STAGE = (
    *("new_adapter", "_stage", "_train", "_backward", "batches", "masks", "trainable_parameters"),
    *("task_loss", "student_scores", "loss", "after_backward", "after_step", "current_tasks", "task_parameters"),
    "optimizer_config",
)
"""Methods that decide the first stage besides settings: strategies that override none of them share its result."""


class UpdateConfig(GradientConfig):
    """Settings of every strategy for streams of releases.

    `lr`, `rank`, `alpha` and `dropout` are MUSCLE's for models of 7 billion parameters. Not the authors' are `warmup`
    (a tenth of the steps; theirs 500 steps), `schedule` and `clip_norm` (theirs are not published), and `head_lr`.
    """

    lr: float = Field(1e-4, gt=0, description="Peak learning rate of AdamW.")
    rank: int = Field(128, ge=1, description="Rank of a task's adapter in every linear layer.")
    alpha: float | None = Field(
        None, gt=0, description="The adapter's product is scaled by alpha / rank; twice the rank if not set."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the adapters.")
    answers_only: bool = Field(
        False, description="Leave tokens of inputs out of all losses, for models that could learn them."
    )


U = TypeVar("U", bound=UpdateConfig)


class UpdateStrategy(GradientTraining[U], Generic[U]):
    """Trains one LoRA adapter for each task on all linear layers of each release; inference uses base and one adapter.

    The task loss is the mean cross-entropy over units: the tokens of inputs and answers (Echterhoff et al. 2024 train
    on the whole sequence), or samples if tasks have classes (CLIP).

    Subclasses override `second_stage` or `finalize`; both run from the second release on. So the first release gets
    plain adapters, and all strategies start from the same old model. The randomness of a stage depends only on the
    cell's seed, the version, the position of the task and the stage. So strategies with a second stage see the same
    batches in it.
    """

    requires: ClassVar[tuple[type, ...]] = (ScoresTokens,)
    predicts_with_weights: ClassVar[bool] = False
    trains_weights: ClassVar[bool] = False

    def __init__(self, config: U, context: Context) -> None:
        super().__init__(config, context)
        self.adapters: dict[str, LowRankAdapter] = {}
        """Adapters of the current version, by name of their task."""
        self.old: Adapted | None = None
        """The version before, while a release is adopted; None for the first release."""
        self.in_training: LowRankAdapter | None = None
        """The adapter in training, if any."""
        self._steps = context.budget.steps
        self._rate = config.lr
        self._objective: Objective = self.task_loss

    def second_stage(self, task: Task, adapter: LowRankAdapter, stage: Callable[[Objective, int], None]) -> None:
        """Change a task's trained adapter with regard to the old model; called from the second release on.

        Args:
            task: The task.
            adapter: Its new adapter, which may be trained further.
            stage: Trains the adapter by a loss for a number of steps.
        """

    @property
    def further_rate(self) -> float:
        """Peak learning rate of the second stage."""
        return self.config.lr

    def optimizer_config(self) -> U:
        """The settings, with the learning rate of the stage."""
        return self.config.model_copy(update={"lr": self._rate})

    def finalize(self) -> None:
        """Change the version after all adapters are trained; called from the second release on."""

    def adopt(self, release: Learner, tasks: Sequence[Task]) -> None:
        """Train an adapter for each task on the release.

        Raises:
            ConfigError: When releases have different vocabularies.
            TrainingError: When a loss is not finite.
        """
        require_same_vocabulary(self.learner, release)
        self.old = Adapted(self.learner, self.adapters) if self.adapters else None
        if self.old:
            as_teacher(self.old.learner)
        self.learner, self.adapters = release, {}
        for position, task in enumerate(tasks, 1):
            self.adapters[task.name] = self._adapt(task, position)
        if self.old:
            self.finalize()
        self.old = None

    def _adapt(self, task: Task, position: int) -> LowRankAdapter:
        """Train a task's adapter in both stages."""
        words = ("version", self.version, "task", position)
        adapter = self._first_stage(task, words)

        def stage(objective: Objective, steps: int) -> None:
            self.reseed(*words, "further")
            self._rate = self.further_rate
            for name, value in self._stage(task, adapter, objective, steps, "further").items():
                self.context.record(name, value)

        if self.old:
            self.second_stage(task, adapter, stage)
        return adapter

    def _first_stage(self, task: Task, words: Sequence[object]) -> LowRankAdapter:
        """The plain adapter; strategies with the same first stage share its result."""

        def train() -> Mapping[str, object]:
            self.reseed(*words)
            self._rate = self.config.lr
            adapter = self.new_adapter()
            numbers = self._stage(task, adapter, self.task_loss, self.context.budget.steps, "train")
            return {"adapter": adapter.state_dict(), "numbers": numbers}

        recipe = tuple((name, getattr(self.config, name)) for name in UpdateConfig.model_fields)
        hooks = tuple(getattr(type(self), name) for name in FIRST_STAGE)
        found = self.context.once((*words, self.learner.name, task.name, recipe, hooks), train)
        for name, value in cast(Mapping[str, float], found["numbers"]).items():
            self.context.record(name, value)
        return LowRankAdapter.from_state(cast(Mapping[str, object], found["adapter"]), self.learner.device)

    def new_adapter(self) -> LowRankAdapter:
        """An untrained adapter on all linear layers of the release."""
        names = [layer.name for layer in self.learner.linear_layers()]
        config = self.config
        scale = (config.alpha or 2 * config.rank) / config.rank
        factors = drawn_factors(self.learner.module, names, config.rank, self.generator)
        return LowRankAdapter(factors, Arithmetic(scale, config.dropout))

    def _stage(
        self, task: Task, adapter: LowRankAdapter, objective: Objective, steps: int, name: str
    ) -> dict[str, float]:
        """Train an adapter by a loss; returns the numbers to record."""
        numbers: dict[str, float] = {}
        if not steps:
            return numbers
        self.in_training, self._objective, self._steps = adapter, objective, steps
        losses = self._train(task, steps)
        self.in_training = None
        for _, p in adapter.parameters():
            p.requires_grad_(False)

        def record(what: str, value: float) -> None:
            numbers[f"{what.replace('train', name, 1)}/{task.name}"] = value

        report_losses(losses, task, self._rate, record)
        return numbers

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """A and B of the adapter in training."""
        if self.in_training:
            yield from self.in_training.parameters()

    def batches(self, task: Task) -> Iterator[tuple[Batch, Task]]:
        """Random batches of the task, with positions of samples in the column `position`."""
        samples = self.context.samples(task, "train")
        budget = self.context.budget.model_copy(update={"steps": self._steps})
        for index in batches_of(len(samples), budget, self.generator, samples.index_device):
            yield {**samples.batch(index), "position": index}, task

    def loss(self, batch: Batch, task: Task) -> Tensor:
        """The loss of the current stage, a scalar."""
        return self._objective(batch, task)

    def weight(self, batch: Batch, task: Task) -> Tensor:
        """Number of units in `student_scores`, a scalar."""
        return self.learner.loss_terms(batch, self.config.answers_only)

    def task_loss(self, batch: Batch, task: Task) -> Tensor:
        """Mean cross-entropy over all units, a scalar."""
        return mean_cross_entropy(self.student_scores(batch, task))

    def student_scores(self, batch: Batch, task: Task) -> TokenScores:
        """Scores of a batch with the adapter in training, with gradient."""
        assert self.in_training is not None
        with self.in_training.on(self.learner.module):
            return require(self.learner, ScoresTokens).token_logits(batch, task, self.config.answers_only)

    def footprint(self) -> dict[str, int]:
        """Number of values in one task's adapter, and number of its layers."""
        self.in_training = self.new_adapter()
        return {**super().footprint(), "adapters": len(self.in_training.factors)}

    def predictor(self, tasks: Sequence[Task], protocols: Sequence[EvalProtocol]) -> Predictor:
        """Predictions with each task's adapter; without adapters in version 0, which has none."""
        if not self.adapters:
            return self.learner.predictor(tasks, protocols)
        return self.by_task(lambda task: self.learner.predictor(tasks, protocols))

    def by_task(self, make: Callable[[Task], Predictor]) -> Predictor:
        """A predictor that attaches each task's adapter and is rebuilt, by `make`, when the task changes."""
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
        """Restore the adapters."""
        saved = cast(Mapping[str, Mapping[str, object]], state["adapters"])
        self.adapters = {name: LowRankAdapter.from_state(item, self.learner.device) for name, item in saved.items()}


def digest_of(learner: Learner, adapters: Mapping[str, LowRankAdapter]) -> str:
    """Hash of a base and its adapters; the learner's own digest if there are no adapters."""
    if not adapters:
        return learner.digest()
    named = ((f"{task} {name}", p) for task, adapter in adapters.items() for name, p in adapter.parameters())
    return tensor_digest(named, begin=learner.digest())
