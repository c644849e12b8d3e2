"""Suites: a YAML file names streams, strategies and seeds; their product are the cells."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple, cast

from pydantic import Field, field_validator

from clbench.benchmarks.engine.cell import Cell, Choice
from clbench.benchmarks.engine.fit import require_fit
from clbench.benchmarks.tuning.tuned_record import TunedSettings
from clbench.contracts.learner import Precision
from clbench.contracts.strategy import Budget, StrategyConfig
from clbench.core.cards import STREAM_CARDS, SUITE_CARDS
from clbench.core.config import Config, validate
from clbench.core.errors import ConfigError, did_you_mean
from clbench.core.registry import LEARNERS, STRATEGIES
from clbench.spec.stream import Stream
from clbench.spec.task import Split
from clbench.spec.task_orders import in_order
from clbench.spec.update import KINDS, UpdateKind
from clbench.strategies._parts.slots import PartChoice
from clbench.streams.card import read_card, updates_of

NOT_SETTINGS = ("name", "label", "streams", "last_only")
"""What an entry of a suite says besides the settings of its strategy."""
Entry = dict[str, object]


def spelt_out(name: str) -> dict[str, object]:
    """The entry of a strategy: in `peft:loha` the colon is followed by the setting that the strategy has named for it.

    Raises:
        ConfigError: For an argument that the strategy does not take.
        RegistryError: For an unknown name.
    """
    head, colon, argument = name.partition(":")
    if not colon or name.endswith(".py"):
        return {"name": name}
    setting = STRATEGIES.get(head).details.get("argument")
    if setting is None:
        raise ConfigError(f"strategy {head} takes no argument, got {name!r}")
    return {"name": head, setting: argument}


def _spelt_out_entry(item: object) -> Entry:
    """An entry of a suite as a mapping with `name` or with one such mapping for each kind of update."""
    if isinstance(item, str):
        return spelt_out(item)
    if isinstance(item, Mapping) and any(kind in item for kind in KINDS):
        if "name" in item or not set(item) <= {*KINDS, *NOT_SETTINGS}:
            raise ValueError("with strategies by kind of update, only label, streams and last_only beside them")
        parts = {kind: _spelt_out_entry(item[kind]) for kind in KINDS if kind in item}
        if not all("name" in part and not set(NOT_SETTINGS[1:]) & set(part) for part in parts.values()):
            raise ValueError("names, or mappings with a name and settings, for each kind of update")
        return {**item, **parts}
    if not isinstance(item, Mapping) or not isinstance(item.get("name"), str):
        raise ValueError("names, or mappings with a name and settings")
    return {**item, **spelt_out(str(item["name"]))}


def _crossed(item: object) -> Iterator[object]:
    """The entries that an entry stands for: with `cross`, one for each way of taking one mapping from every list.

    Raises:
        ValueError: For anything but lists of mappings, and where two mappings of one way have a key in common.
    """
    if not isinstance(item, Mapping) or "cross" not in item:
        yield item
        return
    axes = item["cross"]
    if not isinstance(axes, Sequence) or not axes or not all(map(_is_axis, axes)):
        raise ValueError("lists of mappings under cross, one list for each choice")
    common = {key: value for key, value in item.items() if key != "cross"}
    for way in product(*axes):
        keys = [key for part in (common, *way) for key in part]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise ValueError(f"every setting in one list of cross only, and {twice!r} is in two")
        yield {key: value for part in (common, *way) for key, value in part.items()}


def _is_axis(value: object) -> bool:
    return isinstance(value, Sequence) and bool(value) and all(isinstance(part, Mapping) for part in value)


def _parts_of(item: Entry) -> dict[tuple[UpdateKind, ...], Entry]:
    """The strategies of an entry by the kinds of updates that they are for; the first one is for all others, too."""
    named: dict[tuple[UpdateKind, ...], Entry] = {(kind,): cast(Entry, item[kind]) for kind in KINDS if kind in item}
    return named or {tuple(KINDS): {key: x for key, x in item.items() if key not in NOT_SETTINGS[1:]}}


class SuiteConfig(Config):
    """What a suite's file says."""

    description: str = Field("", description="One line.")
    streams: tuple[str, ...] = Field(min_length=1, description="Names or card files.")
    learners: tuple[str, ...] = Field((), description="Learners for every stream; the stream's own when empty.")
    strategies: tuple[dict[str, object], ...] = Field(
        min_length=1,
        description="Names, files, or mappings with `name` and settings, or one such for each kind of update: "
        "`{learn: osft, compress: {name: quantize}}`. `streams` in a mapping keeps it to some streams, "
        "`last_only: true` tests the last version alone. `{cross: [[{name: finetune}, {name: lora}], [{}, "
        "{optimizer: muon}]]}` stands for one entry for each way of taking one mapping from every list.",
    )
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="One cell a seed.")
    orders: int = Field(
        1,
        ge=1,
        description="Orders of tasks that the seeds go through: seed s has order s mod `orders`. Order 0 is the "
        "stream's own, the others are drawn.",
    )
    budget: Budget = Field(Budget(steps=100, batch_size=32), description="What every strategy may spend on a task.")
    budgets: dict[str, Budget] = Field({}, description="The same for single streams, where it is another one.")
    root: str | None = Field(
        None, description="Folder of the data sets, or `hub`, for streams without data of their own."
    )
    skip_broken: bool = Field(False, description="Leave out samples that do not decode, instead of stopping.")
    precision: Precision = Field(
        "auto", description="What models compute in: `auto` is bfloat16 on a GPU that has it, else float32."
    )
    threads: int | None = Field(
        None, ge=1, description="Threads of a cell on a CPU, on which its bits depend; torch's choice when absent."
    )
    processes: int = Field(
        1, ge=1, description="Processes that run a cell together, each with its own GPU; bits depend on their number."
    )
    shard: bool = Field(
        False,
        description="Shard parameters, gradients and optimizer state over these processes in training (FSDP), for "
        "strategies and parts that take shards; bits depend on it.",
    )
    split: Split = Field(
        "test", description="The part of the tasks that is tested; `validation` for choosing settings."
    )
    tuned: tuple[str, ...] = Field(
        (),
        description="Results of `clbench tune` (names or files), one for each stream and learner, for what is not set.",
    )

    @field_validator("tuned", mode="before")
    @classmethod
    def _one_result_may_stand_alone(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("strategies", mode="before")
    @classmethod
    def _names_are_strategies_without_settings(cls, value: object) -> object:
        items = value if isinstance(value, list | tuple) else [value]
        return [_spelt_out_entry(entry) for item in items for entry in _crossed(item)]


@dataclass(frozen=True)
class Suite:
    """A named suite with its cells, which are asked for one after another: those of a search depend on earlier ones."""

    name: str
    config: SuiteConfig
    cells: Sequence[Cell]


@dataclass(frozen=True)
class SuiteChanges:
    """What the command line changes in a suite; None leaves the suite's own.

    Attributes:
        streams: Names or card files.
        learners: Specifications of learners.
        strategies: Registered names or files; settings of the suite's entries of these names are kept.
        seeds: Seeds of the cells.
        overrides: Settings by key (`lora.rank`, `budget.steps`).
        root: Folder of the data sets, or `hub`.
    """

    streams: Sequence[str] | None = None
    learners: Sequence[str] | None = None
    strategies: Sequence[str] | None = None
    seeds: Sequence[int] | None = None
    overrides: Mapping[str, object] | None = None
    root: str | None = None


def read_suite(name: str) -> tuple[str, SuiteConfig]:
    """The name of a suite and the content of its file; settings of strategies are not checked yet.

    Raises:
        ConfigError: For a malformed suite.
        RegistryError: For an unknown name.
    """
    file = SUITE_CARDS.get(name)
    return file.name, validate(SuiteConfig, file.values, f"suite {file.path.name}")


def load_suite(name: str, changes: SuiteChanges = SuiteChanges()) -> Suite:
    """Read a suite, apply the changes of the command line, check every setting and list the cells.

    Raises:
        ConfigError: For a malformed suite, unknown or out-of-range settings, or overrides that apply to nothing.
        RegistryError: For unknown names.
    """
    file = SUITE_CARDS.get(name)
    values = dict(file.values)
    overrides = dict(changes.overrides or {})
    for key in ("streams", "learners", "seeds", "root"):
        chosen = getattr(changes, key)
        if chosen:
            values[key] = chosen if isinstance(chosen, str) else list(chosen)
    _apply_to_suite(values, overrides)
    config = validate(SuiteConfig, values, f"suite {file.path.name}")
    if changes.strategies:
        chosen_entries = _chosen(config.strategies, changes.strategies, config.streams)
        config = config.model_copy(update={"strategies": chosen_entries})
    cells = tuple(_cells(config, overrides))
    if overrides:
        raise ConfigError(f"--set {next(iter(overrides))}: applies to no strategy and no setting of suite {file.name}")
    known: dict[tuple[object, ...], Cell] = {}
    for cell in cells:  # data are not needed for this, so a suite whose data are missing can be planned
        what = (*cell.names, cell.label, cell.seed, cell.last_only, [choice.identity for choice in cell.choices])
        if known.setdefault((*what[:-1], json.dumps(what[-1], sort_keys=True)), cell) is not cell:
            raise ConfigError(f"suite {file.path.name}: the cell {cell.title} is there twice")
    return Suite(file.name, config, cells)


def _chosen(listed: Sequence[Entry], names: Sequence[str], streams: Sequence[str]) -> tuple[Entry, ...]:
    """The suite's entries of the named strategies, with their settings.

    On streams for which the suite has no entry of a name, the strategy has its defaults.

    Args:
        listed: The suite's entries.
        names: Names or files of strategies.
        streams: The streams that are run.
    """
    result: list[Entry] = []
    for name in names:
        wanted = spelt_out(name)
        found = [item for item in listed if any(wanted.items() <= part.items() for part in _parts_of(item).values())]
        covered = [_names_in(item.get("streams")) or streams for item in found]
        missing = [stream for stream in streams if not any(stream in own for own in covered)]
        result += [*found, *([{**wanted, "streams": missing}] if missing else [])]
    return tuple(result)


def _apply_to_suite(values: dict[str, object], overrides: dict[str, object]) -> None:
    """Move the overrides that belong to the suite itself (`budget.steps=20`, `split=validation`) into its values."""
    for key in list(overrides):
        head, _, rest = key.partition(".")
        if head == "budget" and rest:
            budget = values.get("budget") or {}
            if not isinstance(budget, Mapping):
                raise ConfigError(f"budget must be a mapping of steps and batch_size, got {budget!r}")
            value = overrides.pop(key)
            values["budget"] = {**cast(Mapping[str, object], budget), rest: value}
            own = values.get("budgets")
            if isinstance(own, Mapping):
                values["budgets"] = {k: {**b, rest: value} if isinstance(b, Mapping) else b for k, b in own.items()}
        elif not rest and head in SuiteConfig.model_fields:
            values[head] = overrides.pop(key)
        elif not rest:
            raise ConfigError(f"--set {key}: unknown setting: {did_you_mean(key, SuiteConfig.model_fields)}")


def _cells(config: SuiteConfig, overrides: dict[str, object]) -> Iterator[Cell]:
    strategies = list(_strategies(config, overrides))
    for stream in config.budgets:
        STREAM_CARDS.get(stream)  # an unknown name is an error
    loaded: dict[tuple[str, int, int], Stream] = {}
    tuned = TunedSettings(config.tuned)
    for stream in config.streams:
        card = read_card((file := STREAM_CARDS.get(stream)).values, file.path)
        if config.orders > 1:
            in_order(updates_of(card), config.orders - 1, f"stream {card.name}")  # refused before data are needed
        wanted = [entry for entry in strategies if not entry.streams or stream in entry.streams]
        budget = config.budgets.get(stream, config.budget)
        for learner, entry, seed in product(config.learners or (card.learner,), wanted, config.seeds):
            LEARNERS.listing(learner.partition(":")[0])
            what = (stream, learner, entry.name, entry.label, entry.settings, budget, seed, config.split)
            how = (config.root, config.skip_broken, config.precision, entry.last_only, entry.others, config.threads)
            cell = Cell(*what, *how, config.processes, seed % config.orders, config.shard, streams=loaded)
            require_fit(cell)
            yield tuned.fill(cell) if config.tuned else cell


class StrategyEntry(NamedTuple):
    """A strategy of a suite.

    Attributes:
        name: Registered name, or a file.
        label: Name of the strategy with its settings, as tables show it.
        settings: Settings of the strategy.
        streams: Streams on which it runs; all of the suite's if empty.
        last_only: Whether only its last version is tested.
        others: Strategies of single kinds of updates.
    """

    name: str
    label: str
    settings: StrategyConfig
    streams: tuple[str, ...]
    last_only: bool
    others: tuple[Choice, ...] = ()


def _strategies(config: SuiteConfig, overrides: dict[str, object]) -> Iterator[StrategyEntry]:
    """The suite's strategies."""
    used: set[str] = set()
    for item in config.strategies:
        parts = [_choice(kinds, part, overrides, used) for kinds, part in _parts_of(item).items()]
        main, *others = parts
        label = " + ".join(label_of(STRATEGIES.listing(part.strategy).name, part.config) for part in parts)
        last_only = _yes_or_no(item.get("last_only", False))
        streams = _names_in(item.get("streams"))
        label = str(item.get("label") or label)
        yield StrategyEntry(main.strategy, label, main.config, streams, last_only, tuple(others))
    for key in used:
        del overrides[key]


def _choice(kinds: tuple[UpdateKind, ...], part: Entry, overrides: Mapping[str, object], used: set[str]) -> Choice:
    """A strategy of an entry with its settings, which `overrides` may change; adds the keys that did to `used`."""
    name = str(part["name"])
    entry = STRATEGIES.get(name)
    if entry.config is None:
        raise ConfigError(f"strategy {entry.name}: registered without a config (wanted register(..., config=...))")
    settings = {key: value for key, value in part.items() if key != "name"}
    for key, value in overrides.items():
        head, _, setting = key.partition(".")
        slot, _, inner = setting.partition(".")
        if head == entry.name or (head == "strategy" and slot in entry.config.model_fields):
            settings[slot] = _with_setting(settings.get(slot), inner, value, key) if inner else value
            used.add(key)
    return Choice(name, cast(StrategyConfig, validate(entry.config, settings, f"strategy {entry.name}")), kinds)


def _with_setting(part: object, name: str, value: object, key: str) -> Entry:
    """The entry of a part with one setting changed.

    Raises:
        ConfigError: Where the suite's entry names no part.
    """
    if isinstance(part, str):
        return {"name": part, name: value}
    if isinstance(part, Mapping):
        return {**cast(Entry, part), name: value}
    slot = key.rpartition(".")[0]
    raise ConfigError(f"--set {key}: {slot} names no part, whose setting this could be: --set {slot}=NAME")


def _yes_or_no(value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"last_only of a strategy must be true or false, got {value!r}")
    return value


def _names_in(value: object) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value or []
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"streams of a strategy must be names, got {value!r}")
    return tuple(names)


def label_of(name: str, config: StrategyConfig) -> str:
    """What tables show: the name and the settings that differ from their defaults."""
    fields = type(config).model_fields
    changed = [
        f"{key}={_short(value)}" for key, value in config if value != fields[key].get_default(call_default_factory=True)
    ]
    return " ".join([name, *changed])


def _short(value: object) -> str:
    if isinstance(value, tuple) and any(isinstance(item, PartChoice) for item in value):
        return "+".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
