"""Training whose steps are timed: the samples may be random, because the time of a step does not depend on them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn, cast

from clbench.contracts import Budget, Context, Learner, Samples, Split, Strategy, StrategyConfig, Task
from clbench.core.registry import STRATEGIES


def no_rows(split: Split) -> NoReturn:
    """Loader of a made-up task; it is never called, because the samples are encoded already."""
    raise AssertionError(f"the rows of a made-up task were asked for: {split}")


@dataclass(frozen=True)
class TrainingWork:
    """What a strategy is measured on.

    Attributes:
        learner: Trained in place; also serves as version 0.
        budget: Steps and batch size of an update.
        samples: Encoded samples of a task's split.
    """

    learner: Learner
    budget: Budget
    samples: Callable[[Task, Split], Samples]

    def strategy(
        self, name: str, settings: Mapping[str, object], on_step: Callable[[], None] = lambda: None
    ) -> Strategy[StrategyConfig]:
        """A registered strategy, built as a cell builds it.

        Args:
            name: Registered name.
            settings: Settings that differ from the strategy's defaults.
            on_step: Called after each step.
        """
        entry = STRATEGIES.get(name)
        assert entry.config is not None
        context = Context(
            learner=self.learner,
            budget=self.budget,
            seed=0,
            samples=self.samples,
            new_learner=lambda: self.learner,
            progress=lambda done, total: on_step(),
            record=lambda key, value: None,
        )
        config = cast(StrategyConfig, entry.config.model_validate(settings))
        return cast(Strategy[StrategyConfig], entry.value(config, context))
