"""`clbench list` and `clbench show`: what there is, and one thing in full."""

import inspect
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from clbench.core.cards import STREAM_CARDS, SUITE_CARDS, CardFile, Cards
from clbench.core.registry import IMAGE_METRICS, LEARNERS, METRICS, STRATEGIES, Registry

if TYPE_CHECKING:
    from clbench.contracts import Learner


class Kinds(str, Enum):
    """What can be listed."""

    strategies = "strategies"
    streams = "streams"
    learners = "learners"
    suites = "suites"
    metrics = "metrics"
    image_metrics = "image-metrics"


class Kind(str, Enum):
    """What can be shown."""

    strategy = "strategy"
    stream = "stream"
    learner = "learner"
    suite = "suite"
    metric = "metric"
    image_metric = "image-metric"


REGISTRIES: dict[str, Registry[Any] | Cards] = {
    "strategy": STRATEGIES,
    "stream": STREAM_CARDS,
    "learner": LEARNERS,
    "suite": SUITE_CARDS,
    "metric": METRICS,
    "image-metric": IMAGE_METRICS,
}
SINGULAR = {"strategies": "strategy"} | {f"{kind}s": kind for kind in REGISTRIES if kind != "strategy"}


def list_components(
    kind: Annotated[Optional[Kinds], typer.Argument(help="One kind; all when absent.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List strategies, streams, learners, suites or metrics."""
    from clbench.cli.output import print_json, print_table

    wanted = [kind.value] if kind else [item.value for item in Kinds]
    found = {plural: _rows(REGISTRIES[SINGULAR[plural]]) for plural in wanted}
    if as_json:
        print_json(found[kind.value] if kind else found)
        return
    for plural, rows in found.items():
        print_table("", (plural, "description"), [(row["name"], row["description"]) for row in rows])


def show(
    kind: Annotated[Kind, typer.Argument(help="What kind of thing.")],
    name: Annotated[str, typer.Argument(help="Its name, or the path of its file.")],
    learner: Annotated[
        Optional[str], typer.Option(help="With a strategy: count its parameters on this learner.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show one strategy, stream, learner, suite or metric: description, source, settings."""
    from clbench.cli.output import print_json, print_prose, print_table

    found = _describe(kind.value, name)
    if kind is Kind.strategy and learner:
        found |= _counts(name, learner)
    if as_json:
        print_json(found)
        return
    schema, documentation = found.pop("config", None), found.pop("documentation", "")
    if documentation.startswith(found["description"]):
        del found["description"]
    print_table("", ("", ""), [(key, _text(value)) for key, value in found.items()])
    if documentation:
        print_prose(documentation)
    if isinstance(schema, dict):
        rows = [
            (key, str(item.get("default")), str(item.get("description", "")))
            for key, item in schema.get("properties", {}).items()
        ]
        print_table("", ("setting", "default", "description"), rows)


def _rows(registry: Registry[Any] | Cards) -> list[dict[str, str]]:
    if isinstance(registry, Cards):
        cards = [registry.get(name) for name in registry.names()]
        return [{"name": card.name, "description": card.description, "source": card.path.name} for card in cards]
    return [{"name": item.name, "description": item.description, "source": item.source} for item in registry.listings()]


def _describe(kind: str, name: str) -> dict[str, Any]:
    registry = REGISTRIES[kind]
    if isinstance(registry, Cards):
        return _describe_card(kind, registry.get(name))
    if kind == "strategy":
        from clbench.benchmarks.engine.suite import spelt_out

        plain = str(spelt_out(name)["name"])
    else:
        plain = name.partition(":")[0] if kind == "learner" else name
    entry = registry.get(plain)
    listing = registry.listing(entry.name)
    found: dict[str, Any] = {
        "name": entry.name,
        "description": listing.description,
        "source": listing.source,
        "documentation": inspect.cleandoc(entry.value.__doc__ or ""),
        **entry.details,
    }
    if entry.config is not None:
        found["config"] = entry.config.model_json_schema()
    if kind == "learner" and (":" in name or "argument" not in entry.details):
        found |= _learner_counts(_build(name))
    return found


def _describe_card(kind: str, card: CardFile) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": card.name,
        "description": card.description,
        "source": str(card.path),
        **card.values,
    }
    if kind == "stream" and card.values.get("data") is not None:  # else class names are in data that the user brings
        from clbench.streams.card import load_stream

        found["classes"] = {task.name: list(task.classes) for task in load_stream(str(card.path)).tasks}
    return found


def _build(name: str) -> "Learner":
    import torch

    from clbench.benchmarks.engine.execution import build_learner

    return build_learner(name, 0, torch.device("cpu"))


def _learner_counts(learner: "Learner") -> dict[str, int]:
    parameters = sum(p.numel() for p in learner.module.parameters())
    return {"parameters": parameters, "linear_layers": len(learner.linear_layers())}


def _counts(strategy: str, learner: str) -> dict[str, object]:
    """What a strategy with default settings, or with the one behind a colon, trains on a learner.

    Raises:
        ConfigError: When the strategy cannot be built.
    """
    from clbench.benchmarks.engine.execution import footprint
    from clbench.benchmarks.engine.suite import spelt_out
    from clbench.core.errors import ClbenchError, ConfigError

    settings = spelt_out(strategy)
    strategy = str(settings.pop("name"))
    if STRATEGIES.get(strategy).config is None:
        raise ConfigError(f"strategy {strategy}: registered without a config (wanted register(..., config=...))")
    try:
        return footprint(strategy, learner, settings)
    except ClbenchError:
        raise
    except Exception as error:  # whatever the constructor of somebody else's strategy does
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ConfigError(f"strategy {strategy}: its parameters cannot be counted on {learner}: {reason}") from error


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ("\n" if any(isinstance(item, dict) for item in value) else ", ").join(map(_text, value))
    return str(value).strip()
