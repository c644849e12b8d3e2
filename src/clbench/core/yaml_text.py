"""The YAML reader of clbench: safe loading, and duplicate keys are refused."""

from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, Any

from clbench.core.errors import ConfigError

if TYPE_CHECKING:
    from yaml import MappingNode, SafeLoader

MERGE = "tag:yaml.org,2002:merge"


def parse_yaml(text: str) -> Any:
    """Parse YAML like `yaml.safe_load`, but refuse a mapping with the same key twice.

    PyYAML would silently keep the last value. Keys are compared as Python compares them, so `1` and `0x1` are equal.
    `<<` is a key, too; keys that it merges may be set again beside it.

    Raises:
        ConfigError: One line, for a text that is not YAML or has a key twice.
    """
    return _read(text, construct=True)


def require_unique_keys(text: str) -> None:
    """Check a YAML text that another program will read, with tags (`!function`) that only that program knows.

    Raises:
        ConfigError: As for `parse_yaml`.
    """
    _read(text, construct=False)


def _read(text: str, construct: bool) -> Any:
    import yaml

    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        for mapping in _mappings(root):
            _check_keys(mapping, loader)
        return loader.construct_document(root) if construct and root is not None else None
    except RecursionError:
        raise ConfigError("it is nested too deeply") from None
    except (yaml.YAMLError, OverflowError, ValueError) as error:  # ValueError: a date such as 2026-13-45
        raise ConfigError(" ".join(str(error).split())) from None


def _mappings(root: Any) -> Iterator["MappingNode"]:
    """All mappings in the order of the text, each once: an alias is the node that it stands for."""
    import yaml

    todo, known = [root], set()
    while todo:
        node = todo.pop()
        if id(node) in known:
            continue
        known.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield node
            todo += reversed([part for pair in node.value for part in pair])
        elif isinstance(node, yaml.SequenceNode):
            todo += reversed(node.value)


def _check_keys(mapping: "MappingNode", loader: "SafeLoader") -> None:
    """Refuse a duplicate key; values that cannot be keys are left to the loader, which reports them."""
    lines: dict[Hashable, int] = {}
    for node, _ in mapping.value:
        # The tag distinguishes a merge from the text "<<"; the tuple keeps every other key different from it.
        key: Hashable = MERGE if node.tag == MERGE else (loader.construct_object(node, deep=True),)
        line = node.start_mark.line + 1
        try:
            first = lines.get(key)
        except TypeError:
            continue
        if first is not None:
            where = f"in line {line}" if line == first else f"in lines {first} and {line}"
            raise ConfigError(f"key {node.value!r} is there twice, {where}")
        lines[key] = line
