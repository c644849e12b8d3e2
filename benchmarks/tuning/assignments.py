"""The words of a search: `lr=0.001,0.003` for every strategy that has the setting, `ewc.strength=1,10` for one."""

from collections.abc import Mapping, Sequence
from typing import TypeGuard

from clbench.core.errors import ConfigError
from clbench.core.yaml_text import parse_yaml

Grids = Mapping[str, tuple[object, ...]]
"""Values by key: `lr` for every strategy that has it, `ewc.strength` for one."""


def parse_grids(items: Sequence[str]) -> dict[str, tuple[object, ...]]:
    """`key=value,value` items of the command line, values read as YAML (`1e-3` too is a number); numbers ascend.

    Raises:
        ConfigError: For an item without `=`, without values or with one that is not YAML, and for a key given twice.
    """
    result: dict[str, tuple[object, ...]] = {}
    for item in items:
        key, equals, text = (part.strip() for part in item.partition("="))
        if not equals or not key:
            raise ConfigError(f"--set {item!r}: wanted key=value,value, for example lr=0.0003,0.001")
        try:
            values = [_number_or(value) for value in parse_yaml(f"[{text}]")]
        except (ConfigError, TypeError) as error:
            raise ConfigError(f"--set {item!r}: {text!r} is not a list of values (YAML): {error}") from None
        if not values or text.endswith(","):
            raise ConfigError(f"--set {item!r}: wanted values separated by commas, got {text!r}")
        if key in result:
            raise ConfigError(f"--set {key}: given twice")
        result[key] = tuple(sorted(values) if is_ordered(values) else values)
    return result


def is_ordered(values: Sequence[object]) -> TypeGuard[Sequence[float]]:
    """Whether values are numbers, which have neighbours and ends."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def owner_of(key: str) -> str | None:
    """The strategy that a key is for; None for all, which may be written `strategy.lr` as in `clbench run`."""
    head, dot, _ = key.partition(".")
    return head if dot and head != "strategy" else None


def setting_of(key: str) -> str:
    """The setting that a key names."""
    _, dot, rest = key.partition(".")
    return rest if dot else key


def _number_or(value: object) -> object:
    """YAML 1.1 reads `1e-3` as a string; people mean the number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
