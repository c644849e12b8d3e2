"""Configuration: frozen pydantic models that refuse unknown keys, and errors in one line."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from clbench.core.errors import ConfigError, did_you_mean
from clbench.core.yaml_text import parse_yaml

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class Config(BaseModel):
    """Base class of settings: immutable; unknown keys are refused, and defaults are checked, too."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


M = TypeVar("M", bound=BaseModel)


def validate(model: type[M], values: Mapping[str, object], where: str) -> M:
    """Check settings against their model.

    Args:
        model: The pydantic model.
        values: The user's values, by name.
        where: Owner of the settings, put before each key in messages (`strategy lora`).

    Raises:
        ConfigError: One line that names the key, what was wanted and what was got.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(
            "; ".join(_explain(model, item, where) for item in error.errors(include_url=False)[:3])
        ) from None


def _explain(model: type[BaseModel], item: "ErrorDetails", where: str) -> str:
    path = ".".join(str(part) for part in item["loc"])
    got = item.get("input")
    if item["type"] == "extra_forbidden":
        owner = _model_at(model, item["loc"][:-1])
        hint = did_you_mean(str(item["loc"][-1]), owner.model_fields) if owner else ""
        return f"{where}: unknown setting {path!r}: {hint}".rstrip(": ")
    if item["type"] == "missing":
        return f"{where}: {path} is missing"
    wanted = item["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"{where}: {path} must be {wanted}, got {got!r}" if path else f"{where}: {wanted}"


def _model_at(model: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel] | None:
    for key in path:
        entry = model.model_fields.get(str(key))
        nested = entry.annotation if entry else None
        if not (isinstance(nested, type) and issubclass(nested, BaseModel)):
            return None
        model = nested
    return model


def parse_overrides(items: list[str]) -> dict[str, object]:
    """Parse `key=value` pairs of the command line; values are YAML, and `1e-3` is a number, too.

    Raises:
        ConfigError: For an item without `=` or with a value that is not YAML, and for a key given twice.
    """
    result: dict[str, object] = {}
    for item in items:
        key, equals, text = item.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {item!r}: wanted key=value, for example strategy.lr=1e-4")
        try:
            value = _number_or(text, parse_yaml(text))
        except ConfigError as error:
            raise ConfigError(f"--set {item!r}: {text!r} is not a value (YAML): {error}") from None
        if key.strip() in result:
            raise ConfigError(f"--set {key.strip()}: given twice")
        result[key.strip()] = value
    return result


def _number_or(text: str, value: object) -> object:
    """The number that a text such as `1e-3` means, which YAML 1.1 reads as a string; else the value."""
    if isinstance(value, str):
        try:
            return float(text)
        except ValueError:
            return value
    return value
