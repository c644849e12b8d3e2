"""Which points of a grid are tried, and in which order: all if they are few enough, else those that Optuna suggests."""

import random
from typing import TYPE_CHECKING

from clbench.benchmarks.tuning.assignments import is_ordered
from clbench.benchmarks.tuning.grid import Point, Variant

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

TRIES = 20
"""Number of suggestions that may repeat earlier points, before one of the other points is drawn at random."""


class Points:
    """The points of one strategy's grid, each at most once; the values of earlier trials decide the next suggestion.

    A grid of at most `trials` points is tried whole, in order. A larger one is searched by the tree-structured Parzen
    estimator (Bergstra et al., 2011): half of the trials at random, the rest near the best so far. Numbers are searched
    by their rank in the grid, so that neighbours are near; anything else has no order. Same seed and values, same
    points.

    Args:
        variant: The strategy with its grid.
        trials: Most points that are tried.
        seed: Seed of the suggestions.
    """

    def __init__(self, variant: Variant, trials: int, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._left = list(variant.points)
        self.number = min(trials, len(self._left))
        self._random = random.Random(seed)  # noqa: S311 (no secret)
        sampler = optuna.samplers.TPESampler(n_startup_trials=max(1, trials // 2), seed=seed)
        self._study = optuna.create_study(direction="minimize", sampler=sampler)
        self._space = {key: _distribution(values) for key, values in variant.grid.items()}
        if len(self._left) <= trials:
            for point in self._left:
                self._study.enqueue_trial(dict(zip(self._space, point, strict=True)))

    def ask(self) -> Point:
        """A point that was not tried yet."""
        from optuna.trial import TrialState

        for _ in range(TRIES):
            self._trial: Trial = self._study.ask(self._space)
            point = tuple(int(self._trial.params[key]) for key in self._space)
            if point in self._left:
                break
            self._study.tell(self._trial, state=TrialState.FAIL)  # which the sampler does not count
        else:
            point = self._random.choice(self._left)
            self._study.enqueue_trial(dict(zip(self._space, point, strict=True)))
            self._trial = self._study.ask(self._space)
        self._left.remove(point)
        return point

    def tell(self, loss: float) -> None:
        """What the last point was worth, less is better; infinity for one without a value."""
        self._study.tell(self._trial, loss)


def _distribution(values: tuple[object, ...]) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if is_ordered(values):
        return IntDistribution(0, len(values) - 1)
    return CategoricalDistribution(range(len(values)))
