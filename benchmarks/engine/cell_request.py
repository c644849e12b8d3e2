"""A cell as JSON, for a process that runs it elsewhere."""

from collections.abc import Mapping
from typing import Any, cast

from clbench.benchmarks.engine.cell import Cell, Choice
from clbench.contracts.strategy import Budget, StrategyConfig
from clbench.core.config import validate
from clbench.core.registry import STRATEGIES

PLAIN = (
    "stream",
    "learner",
    "label",
    "seed",
    "split",
    "root",
    "skip_broken",
    "precision",
    "last_only",
    "threads",
    "processes",
    "order",
    "shard",
)


def cell_to_json(cell: Cell) -> dict[str, object]:
    """What `cell_from_json` makes an equal cell from."""
    return {
        **{name: getattr(cell, name) for name in PLAIN},
        "budget": cell.budget.model_dump(mode="json"),
        "choices": [
            {"strategy": c.strategy, "settings": c.config.model_dump(mode="json"), "kinds": c.kinds}
            for c in cell.choices
        ],
    }


def cell_from_json(values: Mapping[str, Any]) -> Cell:
    """The cell that was written by `cell_to_json`; settings are checked again.

    Raises:
        ConfigError: For settings that do not fit the strategy's code here.
        RegistryError: For a strategy that is not known here.
    """
    main, *others = [_choice(item) for item in values["choices"]]
    return Cell(
        strategy=main.strategy,
        config=main.config,
        others=tuple(others),
        budget=Budget.model_validate(values["budget"]),
        **{name: values[name] for name in PLAIN},
    )


def _choice(item: Mapping[str, Any]) -> Choice:
    entry = STRATEGIES.get(item["strategy"])
    assert entry.config is not None
    config = cast(StrategyConfig, validate(entry.config, item["settings"], f"strategy {entry.name}"))
    return Choice(item["strategy"], config, tuple(item["kinds"]))
