"""Pieces of pages: lists of links, a component's code, settings and BibTeX, all in Markdown."""

import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from clbench.core.references import Reference, references
from clbench.core.registry import Component
from clbench_tools.site.docstrings import as_markdown, plain, table

ROOT = Path(__file__).parents[3]
BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


def documentation(value: object) -> str:
    """The docstring of a component, without the indentation of its source."""
    return inspect.cleandoc(value.__doc__ or "")


def path_in_tree(path: Path) -> str:
    """Path of a file from the root of the repository, which is also the root of the site."""
    return path.resolve().relative_to(ROOT).as_posix()


def links(folder: str, rows: Iterable[tuple[str, str]]) -> str:
    """A list of pages in a folder, each with a description."""
    return "\n".join(f"- [{name}]({folder}/{name}.md): {plain(text)}" for name, text in rows)


def toctree(folder: str, names: Iterable[str]) -> str:
    """The pages of a folder as children of the page."""
    return "\n".join(["```{toctree}", ":hidden:", "", *(f"{folder}/{name}" for name in names), "```", ""])


def code_of(component: Component[Any]) -> str:
    """A link to the file that registers a component."""
    path = path_in_tree(Path(cast(str, inspect.getsourcefile(component.value))))
    return f"Code: [{plain(path)}](/{path})\n"


def settings_of(component: Component[Any], heading: str) -> str:
    """Settings with their values, defaults and meanings; empty for a component without settings.

    Args:
        component: The component.
        heading: Marks of the heading (`##`).
    """
    if component.config is None or not component.config.model_fields:
        return ""
    about = documentation(component.config).partition("\n\n")[2]  # the first line says whose settings they are
    return f"{heading} Settings\n\n{as_markdown(about)}\n{fields_of(component.config)}"


def fields_of(model: type[BaseModel]) -> str:
    """A table of the fields of a pydantic model."""
    fields = model.model_json_schema().get("properties", {})
    rows = [(f"`{name}`", values_of(x), default_of(x), x.get("description", "")) for name, x in fields.items()]
    return table(("setting", "values", "default", "meaning"), rows)


def default_of(item: Mapping[str, Any]) -> str:
    """The default of a setting, from its JSON schema."""
    return f"`{as_yaml(item['default'])}`" if "default" in item else "required"


def values_of(item: Mapping[str, Any]) -> str:
    """Type and range of a setting, from its JSON schema."""
    if "enum" in item:
        return ", ".join(as_yaml(value) for value in item["enum"])
    if "const" in item:
        return as_yaml(item["const"])
    if "anyOf" in item:
        return " or ".join(values_of(option) for option in item["anyOf"])
    kind = item.get("type", "any")
    if isinstance(kind, list):  # what `PartChoice` writes
        return "a part, or null"
    if kind == "array" and "items" in item:
        return f"list of {values_of(item['items'])}"
    limits = ", ".join(f"{sign} {item[key]}" for key, sign in BOUNDS.items() if key in item)
    return f"{kind} {limits}".strip()


def as_yaml(value: object) -> str:
    """A value as YAML writes it in one line."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case Mapping():
            return "{" + ", ".join(f"{key}: {as_yaml(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(as_yaml, value)) + "]"
    return str(value) or '""'


def to_cite(kind: str, name: str, heading: str) -> str:
    """The BibTeX entries of a component; empty where none is recorded.

    Args:
        kind: Such as `strategy`.
        name: Its registered name.
        heading: Marks of the heading (`##`).
    """
    found = [item for item in references() if item.belongs_to(kind, name)]
    return f"{heading} To cite\n\n{bibtex(found)}" if found else ""


def bibtex(found: Iterable[Reference]) -> str:
    """Entries as a block of code."""
    return "\n".join(["```bibtex", "\n\n".join(item.text for item in found), "```", ""])
