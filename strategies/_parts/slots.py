"""How settings name parts: `muon`, or `{name: kappa, share: 0.2}`, or a file."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias, cast, get_args

from pydantic import BeforeValidator, InstanceOf, PlainSerializer, SerializationInfo, WithJsonSchema

from clbench.contracts import Strategy, StrategyConfig
from clbench.core.config import validate
from clbench.core.errors import ClbenchError, ConfigError
from clbench.core.registry import EDITS, MEMORIES, OPTIMIZERS, PENALTIES, SELECTORS, Registry
from clbench.strategies._parts.part import Part, PartConfig

Slot = Literal["optimizer", "select", "memory", "penalty", "edit"]
SLOTS: tuple[Slot, ...] = get_args(Slot)
REGISTRIES: dict[Slot, Registry[type]] = {
    "optimizer": OPTIMIZERS,
    "select": SELECTORS,
    "memory": MEMORIES,
    "penalty": PENALTIES,
    "edit": EDITS,
}


@dataclass(frozen=True)
class PartChoice:
    """A part for a slot, with its settings.

    Attributes:
        slot: The slot.
        part: Registered name or file of the part.
        config: Its settings.
    """

    slot: Slot
    part: str
    config: PartConfig

    @property
    def part_class(self) -> type[Part[Any]]:
        """The class of the part."""
        return cast(type[Part[Any]], REGISTRIES[self.slot].get(self.part).value)

    @property
    def inner(self) -> "tuple[PartChoice, ...]":
        """Parts that its settings name."""
        return tuple(value for _, value in self.config if isinstance(value, PartChoice))

    @property
    def needs_weights(self) -> bool:
        """Whether it, or a part that its settings name, works on weights of the model."""
        return self.part_class.needs_weights or any(part.needs_weights for part in self.inner)

    @property
    def takes_shards(self) -> bool:
        """Whether it, and each part that its settings name, works on shards of parameters."""
        return self.part_class.takes_shards and all(part.takes_shards for part in self.inner)

    @property
    def source(self) -> str:
        """Hash of its code, and of that of parts that its settings name."""
        return "-".join([REGISTRIES[self.slot].digest(self.part)[:16], *(part.source for part in self.inner)])

    def build(self, strategy: Strategy[Any]) -> Part[Any]:
        """The part of a strategy."""
        return self.part_class(self.config, strategy)

    @property
    def name(self) -> str:
        """Its registered name."""
        return REGISTRIES[self.slot].listing(self.part).name

    def as_json(self, named: bool = False) -> dict[str, object]:
        """Name and settings, as a suite's file may write them.

        Args:
            named: Write the registered name also of a part that is in a file, so that nothing depends on its place.
        """
        settings = self.config.model_dump(mode="json", context={"named": named})
        return {"name": self.name if named else self.part, **settings}

    def __str__(self) -> str:
        """Name and settings that differ from their defaults: `kappa(share=0.2)`."""
        fields = type(self.config).model_fields
        changed = ", ".join(f"{key}={value}" for key, value in self.config if value != fields[key].default)
        return f"{self.name}({changed})" if changed else self.name


def _parse(slot: Slot, value: object) -> object:
    """The choice that a setting names.

    Raises:
        ValueError: In one line, for a name or settings that do not exist.
    """
    if value is None or isinstance(value, PartChoice):
        return value
    settings = {"name": value} if isinstance(value, str) else value
    if not isinstance(settings, Mapping) or not isinstance(name := settings.get("name"), str):
        raise ValueError("a name, or a mapping with a name and settings")
    registry = REGISTRIES[slot]
    try:
        entry = registry.get(name)
        config = validate(
            entry.config or PartConfig,
            {str(key): item for key, item in settings.items() if key != "name"},
            f"{registry.kind} {entry.name}",
        )
        if missing := sorted(getattr(entry.value, "__abstractmethods__", ())):
            raise ConfigError(
                f"{registry.kind} {entry.name}: {entry.value.__name__} does not implement {', '.join(missing)}"
            )
    except ClbenchError as error:
        raise ValueError(f"a known {registry.kind} with settings that it has ({error})") from None
    return PartChoice(slot, name, cast(PartConfig, config))


def _parse_several(slot: Slot, value: object) -> object:
    if value is None:
        return ()
    several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return tuple(_parse(slot, item) for item in several)


def _as_json(choice: PartChoice, info: SerializationInfo) -> dict[str, object]:
    return choice.as_json(named=bool(info.context and info.context.get("named")))


SCHEMA = WithJsonSchema({"type": ["string", "object", "array", "null"]})
OneChoice: TypeAlias = Annotated[InstanceOf[PartChoice], PlainSerializer(_as_json)]
OptimizerChoice: TypeAlias = Annotated[OneChoice, BeforeValidator(partial(_parse, "optimizer")), SCHEMA]
SelectorChoice: TypeAlias = Annotated[OneChoice | None, BeforeValidator(partial(_parse, "select")), SCHEMA]
MemoryChoice: TypeAlias = Annotated[OneChoice | None, BeforeValidator(partial(_parse, "memory")), SCHEMA]
PenaltyChoice: TypeAlias = Annotated[OneChoice | None, BeforeValidator(partial(_parse, "penalty")), SCHEMA]
EditChoices: TypeAlias = Annotated[tuple[OneChoice, ...], BeforeValidator(partial(_parse_several, "edit")), SCHEMA]


def plain_adamw() -> PartChoice:
    """The default of the slot `optimizer`."""
    return cast(PartChoice, _parse("optimizer", "adamw"))


def choices_in(config: StrategyConfig) -> tuple[PartChoice, ...]:
    """The parts that the settings of a strategy name, in the order of the slots."""
    found: list[PartChoice] = []
    for slot in SLOTS:
        value = getattr(config, slot, None)
        found += [item for item in (value if isinstance(value, tuple) else (value,)) if isinstance(item, PartChoice)]
    return tuple(found)


def part_sources(choices: Sequence[PartChoice]) -> dict[str, str]:
    """Hashes of the code of parts, by slot and name."""
    return {f"{choice.slot}.{choice.name}": choice.source for choice in choices}


def named_settings(config: StrategyConfig, only: Collection[str] | None = None) -> dict[str, object]:
    """Settings as JSON, with parts by their registered names, so that they do not depend on places of files.

    Args:
        config: The settings.
        only: Names of the settings that are wanted; all if None.
    """
    return config.model_dump(mode="json", include=None if only is None else set(only), context={"named": True})
