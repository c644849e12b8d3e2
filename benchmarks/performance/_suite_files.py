"""Suites whose only stream has the tasks of a registered one and updates of its own, written into a folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from clbench.benchmarks.engine.suite import Suite, load_suite
from clbench.contracts import Budget, Precision
from clbench.streams.card import load_stream

STEPS, BATCH = 20, 32
BUDGET = Budget(steps=STEPS, batch_size=BATCH)
"""Budget of a task, unless another one is asked for."""


@dataclass(frozen=True)
class SuiteFiles:
    """Writes cards and suites.

    Attributes:
        folder: Where to.
        based_on: Stream whose tasks are taken.
        learner: Learner of the cells.
        budget: Steps and batch size of a task.
        precision: Precision of the computation.
    """

    folder: Path
    based_on: str
    learner: str
    budget: Budget = BUDGET
    precision: Precision = "auto"

    def tasks(self, most: int | None = None) -> list[dict[str, object]]:
        """The first tasks of the stream as cards name them; all of them if no number is given."""
        stream = load_stream(self.based_on)
        return [{"name": task.name, "kind": task.kind, "metric": task.metric} for task in stream.tasks[:most]]

    def suite(
        self,
        name: str,
        tasks: Sequence[Mapping[str, object]],
        updates: Sequence[Mapping[str, object]],
        entry: Mapping[str, object],
        seeds: Sequence[int] = (0,),
    ) -> Suite:
        """Write a card and a suite, and load the suite.

        Args:
            name: Name of both.
            tasks: Tasks of the stream, as a card names them.
            updates: Its updates, as a card names them.
            entry: The strategies.
            seeds: One cell a seed.
        """
        card = {
            "name": name,
            "description": "Made for a measurement.",
            "loader": "based-on",
            "based_on": self.based_on,
            "learner": self.learner,
            "protocols": list(load_stream(self.based_on).protocols),
            "order_reason": "none",
            "tasks": list(tasks),
            "updates": list(updates),
        }
        stream = self.folder / f"{name}_card.yaml"
        stream.write_text(yaml.safe_dump(card), encoding="utf-8")
        values = {
            "streams": [str(stream)],
            "strategies": [dict(entry)],
            "seeds": list(seeds),
            "budget": self.budget.model_dump(),
            "precision": self.precision,
        }
        suite = self.folder / f"{name}.yaml"
        suite.write_text(yaml.safe_dump(values), encoding="utf-8")
        return load_suite(str(suite))
