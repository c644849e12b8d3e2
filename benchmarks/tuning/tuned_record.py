"""What a search leaves behind (a YAML file), and how a suite uses it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field

from clbench.benchmarks.engine.cell import Cell
from clbench.contracts.strategy import Budget, StrategyConfig
from clbench.core.cards import Cards
from clbench.core.config import Config, validate
from clbench.core.errors import ConfigError, did_you_mean
from clbench.core.storage import written_whole

TUNED_CARDS = Cards("tuned result", "clbench.benchmarks.tuned")
Settings = dict[str, object]


class TrialRecord(Config):
    """One trial: its settings, and its value or why it has none."""

    strategy: str = Field(description="Registered name.")
    given: Settings = Field({}, description="What the suite itself set and the search left alone.")
    settings: Settings = Field(description="What was tried.")
    value: float | None = Field(None, description="The criterion, mean over the seeds; none if the trial diverged.")
    error: str | None = Field(None, description="Why there is no value, which counts as worse than any.")


class Chosen(Config):
    """The best settings of one strategy."""

    strategy: str = Field(description="Registered name.")
    given: Settings = Field({}, description="What the suite itself set and the search left alone.")
    settings: Settings = Field(description="What was chosen.")
    value: float = Field(description="The criterion on the validation part.")


class Tuned(Config):
    """The file."""

    version: Literal[1] = Field(1, alias="schema", description="Of this file; raised when its meaning changes.")
    suite: str = Field(description="Whose strategies were tuned.")
    stream: str = Field(description="On which stream.")
    learner: str = Field(description="With which learner.")
    split: Literal["validation"] = Field(description="The part of the tasks that decided.")
    seeds: tuple[int, ...] = Field(min_length=1, description="Of the trials; no reported result may use them.")
    budget: Budget = Field(description="What a trial could spend on a task.")
    criterion: str = Field(description="Metric that decided.")
    protocol: str = Field(description="Under which protocol.")
    direction: Literal["higher", "lower"] = Field(description="Which values of the criterion are better.")
    trials_each: int = Field(ge=1, description="Trials of every strategy; fewer where its grid has fewer points.")
    packages: dict[str, str | None] = Field(description="Versions that the trials ran with.")
    chosen: tuple[Chosen, ...] = Field(description="The best of every strategy that has one.")
    untuned: tuple[str, ...] = Field((), description="Strategies without any of the settings that were searched.")
    trials: tuple[TrialRecord, ...] = Field(description="All trials, in the order in which they ran.")


def write_tuned(tuned: Tuned, path: Path) -> None:
    """Write the file whole or not at all; the same search gives the same bytes.

    Raises:
        ClbenchError: When the disk is full or not writable.
    """
    values = tuned.model_dump(mode="json", by_alias=True)
    for key in ("chosen", "trials"):
        values[key] = [{name: x for name, x in item.items() if x not in (None, {})} for item in values[key]]
    head = "# Written by `clbench tune`. A suite uses it by its name: `tuned: NAME`, or by its path.\n"
    with written_whole(path) as aside:
        text = yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
        aside.write_text(head + text, encoding="utf-8")


def read_tuned(name: str) -> Tuned:
    """Read the result of that name that ships with the package, or the one in a file.

    Raises:
        RegistryError: For an unknown name or a file that is missing or not a YAML mapping.
        ConfigError: For a file that is not the result of a search.
    """
    file = TUNED_CARDS.get(name)
    return validate(Tuned, file.values, f"tuned result {file.path.name}")


class TunedSettings:
    """The results that a suite names, for its streams and learners; several for one pair if their strategies differ.

    Args:
        names: Names of results that ship with the package, or files.

    Raises:
        ConfigError: When two of them have chosen for the same strategy on the same stream and learner.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._found: dict[tuple[str, str], list[tuple[str, Tuned]]] = {}
        for name in names:
            tuned = read_tuned(name)
            earlier = self._found.setdefault((tuned.stream, tuned.learner), [])
            for other, known in earlier:
                both = {choice.strategy for choice in known.chosen} & {choice.strategy for choice in tuned.chosen}
                if both:
                    where = f"{min(both)} on {tuned.stream} / {tuned.learner}"
                    raise ConfigError(f"tuned: {other} and {name} are both for {where}, wanted one")
            earlier.append((name, tuned))

    def fill(self, cell: Cell) -> Cell:
        """The cell with what was chosen for its strategy, below what the suite or the command line set explicitly.

        Of several choices for a strategy the one counts whose `given` settings are the cell's too, the most specific
        one. A strategy that was not tuned keeps its defaults.

        Raises:
            ConfigError: When the cell's stream and learner were not tuned, its seed was used in the search, or a chosen
                setting is not one of the strategy's any more.
        """
        stream, learner, strategy = cell.names
        if (stream, learner) not in self._found:
            known = did_you_mean(f"{stream} / {learner}", (" / ".join(pair) for pair in self._found))
            raise ConfigError(
                f"tuned: nothing for {stream} / {learner}: {known} (`--set tuned=[]` runs without tuned settings)"
            )
        for name, tuned in self._found[stream, learner]:
            if cell.split == "test" and cell.seed in tuned.seeds:
                raise ConfigError(
                    f"tuned: {name} was chosen with seed {cell.seed}, which must not be reported on test data"
                )
        fitting = [
            (choice, name)
            for name, tuned in self._found[stream, learner]
            for choice in tuned.chosen
            if choice.strategy == strategy and _holds(choice.given, cell.config)
        ]
        best = max(fitting, key=lambda found: len(found[0].given), default=None)
        if best is None:
            return cell
        values = {**best[0].settings, **explicit_settings(cell.config)}
        where = f"tuned result {best[1]}: strategy {strategy}"
        return replace(cell, config=validate(type(cell.config), values, where))


def explicit_settings(config: StrategyConfig) -> Settings:
    """The settings that somebody has set, without the defaults."""
    return {key: value for key, value in config if key in config.model_fields_set}


def _holds(given: Mapping[str, object], config: StrategyConfig) -> bool:
    """Whether what a search was given are settings of a cell too; an optimizer has a search of its own."""
    try:
        searched = validate(type(config), given, "tuned result")
    except ConfigError:  # a setting or value that the strategy does not have any more
        return False
    names = {*given, *({"optimizer"} & type(config).model_fields.keys())}
    return all(getattr(searched, name) == getattr(config, name) for name in names)
