"""Pages of methods, metrics, learners, suites and exported names, computed from the registries."""

from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel

import clbench
from clbench.contracts import Strategy
from clbench.contracts.updating import handled_kinds
from clbench.core import registry
from clbench.core.cards import STREAM_CARDS, SUITE_CARDS
from clbench.core.references import references
from clbench.core.registry import Registry
from clbench.spec.update import UpdateKind
from clbench_tools.site.docstrings import as_markdown, plain, table
from clbench_tools.site.pieces import (
    bibtex,
    code_of,
    documentation,
    fields_of,
    links,
    path_in_tree,
    settings_of,
    to_cite,
    toctree,
)
from clbench_tools.site.stream_page import stream_page

PARTS: Mapping[str, tuple[str, Registry[Any]]] = {
    "optimizer": ("optimizers", registry.OPTIMIZERS),
    "selector": ("selectors", registry.SELECTORS),
    "memory": ("memories", registry.MEMORIES),
    "penalty": ("penalties", registry.PENALTIES),
    "edit": ("edits", registry.EDITS),
}
UPDATES: Mapping[UpdateKind, str] = {
    "learn": "Learn a task",
    "adopt": "Adopt a release",
    "compress": "Compress",
    "forget": "Forget on request",
}


def pages() -> dict[str, str]:
    """All pages: Markdown by the path below the folder of computed pages."""
    streams = STREAM_CARDS.names()
    return {
        **{f"strategies/{name}.md": _strategy(name) for name in registry.STRATEGIES.names()},
        **{f"parts/{plural}.md": _parts(kind) for kind, (plural, _) in PARTS.items()},
        **{f"streams/{name}.md": stream_page(STREAM_CARDS.get(name)) for name in streams},
        "strategies.md": _strategies(),
        "parts.md": _all_parts(),
        "streams.md": "\n".join(
            [
                "# Streams",
                "",
                links("streams", [(name, STREAM_CARDS.get(name).description) for name in streams]),
                "",
                toctree("streams", streams),
            ]
        ),
        "metrics.md": _metrics(),
        "image-metrics.md": _image_metrics(),
        "learners.md": _learners(),
        "suites.md": _suites(),
        "api.md": _api(),
        "bibliography.md": f"# BibTeX\n\nWhat `clbench show --bibtex` prints.\n\n{bibtex(references())}",
    }


def _strategies() -> str:
    listings = registry.STRATEGIES.listings()
    kinds = {item.name: handled_kinds(registry.STRATEGIES.get(item.name).value) for item in listings}
    text = ["# Strategies", "", "How each is done, where it departs from its paper, and its settings."]
    for kind, title in UPDATES.items():
        found = [(item.name, item.description) for item in listings if kind in kinds[item.name]]
        text += ["", f"## {title}", "", links("strategies", found)]
    return "\n".join([*text, "", toctree("strategies", list(kinds))])


def _strategy(name: str) -> str:
    component = registry.STRATEGIES.get(name)
    strategy = cast(type[Strategy[Any]], component.value)
    facts = [
        ("handles", ", ".join(handled_kinds(strategy))),
        ("slots for parts", ", ".join(getattr(strategy, "slots", ())) or "none"),
        (
            "needs of a learner",
            ", ".join(item.__name__ for item in strategy.requires) or "the contract `Learner` alone",
        ),
    ]
    return "\n".join(
        [
            f"# {name}",
            "",
            as_markdown(documentation(strategy)),
            table(("", ""), facts),
            code_of(component),
            settings_of(component, "##"),
            to_cite("strategy", name, "##"),
        ]
    )


def _all_parts() -> str:
    text = ["# Parts", "", "[Parts of training](/docs/parts.md) says how they compose."]
    for plural, parts in PARTS.values():
        rows = [
            f"- [{item.name}](parts/{plural}.md#{item.name}): {plain(item.description)}" for item in parts.listings()
        ]
        text += ["", f"## {plural.capitalize()}", "", *rows]
    return "\n".join([*text, "", toctree("parts", [plural for plural, _ in PARTS.values()])])


def _parts(kind: str) -> str:
    plural, parts = PARTS[kind]
    text = [f"# {plural.capitalize()}", ""]
    for component in map(parts.get, parts.names()):
        fits = "weights" if component.value.needs_weights else "weights or adapters"
        text += [f"## {component.name}", "", as_markdown(documentation(component.value))]
        text += [f"Fits strategies that train {fits}.", "", code_of(component)]
        text += [settings_of(component, "###"), to_cite(kind, component.name, "###")]
    return "\n".join(text)


def _metrics() -> str:
    text = ["# Metrics of the matrix", "", "`R[t][i]` is the score of task i under version t, T the number of tasks."]
    for component in map(registry.METRICS.get, registry.METRICS.names()):
        shown = documentation(component.value).partition("\nArgs:\n")[0]
        text += ["", f"## {component.name}", "", as_markdown(shown), code_of(component)]
        text += [to_cite("metric", component.name, "###")]
    return "\n".join(text)


def _image_metrics() -> str:
    text = ["# Metrics of images", "", "Computed from ledgers, for each task and then for each kind of task."]
    for component in map(registry.IMAGE_METRICS.get, registry.IMAGE_METRICS.names()):
        text += ["", f"## {component.name}", "", as_markdown(documentation(component.value)), code_of(component)]
    return "\n".join(text)


def _learners() -> str:
    text = ["# Learners", "", "`clbench run SUITE --learners NAME` runs a suite with one."]
    for component in map(registry.LEARNERS.get, registry.LEARNERS.names()):
        text += ["", f"## {component.name}", "", as_markdown(documentation(component.value)), code_of(component)]
        text += [to_cite("learner", component.name, "###")]
    return "\n".join(text)


def _suites() -> str:
    cards = map(SUITE_CARDS.get, SUITE_CARDS.names())
    rows = [f"- [{card.name}](/{path_in_tree(card.path)}): {plain(card.description)}" for card in cards]
    return "\n".join(["# Suites", "", "`clbench run NAME` runs one.", "", *rows, ""])


def _api() -> str:
    text = ["# What clbench exports", "", "`from clbench import ...` gives these names.", ""]
    registries = [name for name in clbench.__all__ if isinstance(getattr(clbench, name), Registry)]
    for name in clbench.__all__:
        value = getattr(clbench, name)
        if name in registries:
            continue
        text += [f"## {name}", ""]
        if isinstance(value, type):
            text += _directive("autoclass", f"clbench.{name}", "members:", "exclude-members: model_config")
            text += [fields_of(value), ""] if issubclass(value, BaseModel) and value.model_fields else []
        elif getattr(value, "__module__", "").startswith("clbench"):
            text += _directive("autofunction", f"clbench.{name}")
        else:
            text += [f"Another name of `{value}`.", ""]
    text += [f"## {', '.join(registries)}", "", "The registries of parts. Each has a decorator.", ""]
    return "\n".join(text + _directive("automethod", "clbench.core.registry.Registry.register"))


def _directive(name: str, of: str, *options: str) -> list[str]:
    return ["```{eval-rst}", f".. {name}:: {of}", *(f"   :{option}" for option in options), "```", ""]
