"""Cards: the YAML files of streams and suites, found by name or given as a path."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path

from clbench.core.errors import ConfigError, RegistryError, did_you_mean
from clbench.core.yaml_text import parse_yaml


@dataclass(frozen=True)
class CardFile:
    """A YAML file and its values."""

    name: str
    path: Path
    values: Mapping[str, object]

    @property
    def description(self) -> str:
        """The card's own one-line description."""
        return str(self.values.get("description", ""))


class Cards:
    """The YAML files of one kind in a package and its direct subfolders; files further down are data.

    Args:
        kind: The word for one card, as error messages use it (`suite`).
        package: Import name of the package; the name of a card is its file's stem, with dashes.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package

    def names(self) -> list[str]:
        """The names of all cards, sorted."""
        return sorted(self._paths)

    def get(self, name: str) -> CardFile:
        """The card of that name, or the card in a file if `name` is the path of a YAML file.

        Raises:
            RegistryError: For an unknown name or a file that is missing or not a YAML mapping.
        """
        path = Path(name) if name.endswith((".yaml", ".yml")) else self._paths.get(name)
        if path is None:
            raise RegistryError(f"unknown {self.kind} {name!r}: {did_you_mean(name, self._paths)}")
        return CardFile(path.stem.replace("_", "-"), path, read_yaml(path, self.kind))

    @cached_property
    def _paths(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        root = Path(str(files(self.package)))
        for path in sorted((*root.glob("*.yaml"), *root.glob("*/*.yaml"))):
            name = path.stem.replace("_", "-")
            if name in found:
                raise RegistryError(f"{self.kind} {name!r} exists twice: {found[name]} and {path}")
            found[name] = path
        return found


def read_yaml(path: Path, kind: str) -> Mapping[str, object]:
    """Read a YAML mapping whose keys are texts.

    Raises:
        RegistryError: When the file is missing, is not a YAML mapping, or has a key twice.
    """
    try:
        values = copy.deepcopy(_parsed(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise RegistryError(f"{kind} file {path}: {error.strerror}") from None
    except (ConfigError, UnicodeDecodeError) as error:
        raise RegistryError(f"{kind} file {path} is not sound YAML: {error}") from None
    if not isinstance(values, Mapping):
        raise RegistryError(f"{kind} file {path}: wanted a mapping of settings, got {type(values).__name__}")
    for key in values:
        if not isinstance(key, str):
            raise RegistryError(f"{kind} file {path}: wanted names of settings, got the key {key!r}")
    return values


@lru_cache(maxsize=256)
def _parsed(text: str) -> object:
    """Parse a text once: the cells of a suite ask for one card again and again, and PyYAML takes milliseconds."""
    return parse_yaml(text)


STREAM_CARDS = Cards("stream", "clbench.streams")
SUITE_CARDS = Cards("suite", "clbench.benchmarks.suites")
