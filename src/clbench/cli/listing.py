"""`clbench list` and `clbench show`: names of components, and one component in full."""

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from clbench.core.errors import ClbenchError, ConfigError, did_you_mean

if TYPE_CHECKING:
    from clbench.contracts import Learner
    from clbench.core.cards import CardFile, Cards
    from clbench.core.registry import Registry


PARTS = ("optimizer", "selector", "memory", "penalty", "edit")
KINDS = ("strategy", *PARTS, "stream", "learner", "suite", "metric", "image-metric")
PLURALS = {kind: f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s" for kind in KINDS}


def list_components(
    kind: Annotated[Optional[str], typer.Argument(help=f"One of {', '.join(PLURALS.values())}. Default: all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """List strategies, parts, streams, learners, suites and metrics."""
    from clbench.cli.output import print_json, print_table

    singulars = {plural: singular for singular, plural in PLURALS.items()}
    wanted = [_known(kind, singulars)] if kind else list(singulars)
    found = {plural: _rows(_registry_of(singulars[plural])) for plural in wanted}
    if as_json:
        print_json(found[kind] if kind else found)
        return
    for plural, rows in found.items():
        print_table("", (plural, "description"), [(row["name"], row["description"]) for row in rows])


def show(
    kind: Annotated[Optional[str], typer.Argument(help=f"One of {', '.join(PLURALS)}.")] = None,
    name: Annotated[Optional[str], typer.Argument(help="Its name, or path of its file.")] = None,
    learner: Annotated[
        Optional[str], typer.Option(help="For a strategy: also count its parameters on this learner.")
    ] = None,
    bibtex: Annotated[
        bool, typer.Option("--bibtex", help="Print what to cite, in BibTeX; of all of a kind, or of everything.")
    ] = False,
    croissant: Annotated[
        bool, typer.Option("--croissant", help="For a stream whose data ship: print their description in Croissant.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show one strategy, part, stream, learner, suite or metric.

    Prints its description, source, documentation and settings.
    """
    from clbench.cli.output import print_json, print_prose, print_table

    if bibtex:
        print("\n\n".join(_entries(kind, name)))
        return
    kind, name = _one(kind, name)
    if croissant:
        print_json(_croissant(kind, name))
        return
    found = _describe(kind, name)
    if kind == "strategy" and learner:
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
        if rows:
            print_table("", ("setting", "default", "description"), rows)


def _known(kind: str, kinds: Iterable[str]) -> str:
    """The kind of component that the user wrote.

    Raises:
        ConfigError: For an unknown kind.
    """
    if kind not in (known := list(kinds)):
        raise ConfigError(f"unknown kind {kind!r}: {did_you_mean(kind, known)}")
    return kind


def _one(kind: str | None, name: str | None) -> tuple[str, str]:
    """The kind and the name of one component.

    Raises:
        ConfigError: For an unknown kind, or when one of them is missing.
    """
    if kind is not None:
        _known(kind, PLURALS)
    if kind is None or name is None:
        raise ConfigError("wanted a kind and a name (`clbench list` has them), or --bibtex for what to cite")
    return kind, name


def _croissant(kind: str, name: str) -> dict[str, Any]:
    """The description of a stream's data.

    Raises:
        ConfigError: For other kinds, and for data that do not ship.
    """
    from clbench.streams.croissant import croissant_of

    if kind != "stream":
        raise ConfigError(f"--croissant is for streams, got {kind} {name}")
    return croissant_of(name)


def _entries(kind: str | None, name: str | None) -> list[str]:
    """BibTeX entries of a component, of all components of a kind, or of everything.

    Raises:
        ConfigError: When no entry is recorded.
        RegistryError: For an unknown name.
    """
    from clbench.core.references import references, references_of

    if kind is None:
        return [item.text for item in references()]
    registry = _registry_of(_known(kind, PLURALS))
    names = registry.names()
    if name is not None:
        plain = _plain(kind, name)
        names = [plain if plain in names else registry.get(plain).name]  # a known one need not be imported
    return [item.text for item in references_of(kind, names)]


def _registry_of(kind: str) -> "Registry[Any] | Cards":
    from clbench.core import registry
    from clbench.core.cards import STREAM_CARDS, SUITE_CARDS

    registries: dict[str, Registry[Any] | Cards] = {
        "strategy": registry.STRATEGIES,
        "optimizer": registry.OPTIMIZERS,
        "selector": registry.SELECTORS,
        "memory": registry.MEMORIES,
        "penalty": registry.PENALTIES,
        "edit": registry.EDITS,
        "stream": STREAM_CARDS,
        "learner": registry.LEARNERS,
        "suite": SUITE_CARDS,
        "metric": registry.METRICS,
        "image-metric": registry.IMAGE_METRICS,
    }
    return registries[kind]


def _rows(registry: "Registry[Any] | Cards") -> list[dict[str, str]]:
    from clbench.core.cards import Cards

    if isinstance(registry, Cards):
        cards = [registry.get(name) for name in registry.names()]
        return [{"name": card.name, "description": card.description, "source": card.path.name} for card in cards]
    return [{"name": item.name, "description": item.description, "source": item.source} for item in registry.listings()]


def _describe(kind: str, name: str) -> dict[str, Any]:
    from clbench.core.cards import Cards

    registry = _registry_of(kind)
    if isinstance(registry, Cards):
        return _describe_card(kind, registry.get(name))
    entry = registry.get(_plain(kind, name))
    listing = registry.listing(entry.name)
    found: dict[str, Any] = {
        "name": entry.name,
        "description": listing.description,
        "source": listing.source,
        "documentation": inspect.cleandoc(entry.value.__doc__ or ""),
        **entry.details,
    }
    if kind == "strategy":
        from clbench.contracts.updating import handled_kinds

        found["handles"] = list(handled_kinds(entry.value))
    if kind in PARTS:
        from clbench.strategies._parts.slots import REGISTRIES

        found["slot"] = next(slot for slot, parts in REGISTRIES.items() if parts is registry)
        found["fits"] = "strategies that train weights" if entry.value.needs_weights else "weights and adapters"
    if entry.config is not None:
        found["config"] = entry.config.model_json_schema()
    if kind == "learner" and (":" in name or "argument" not in entry.details):
        found |= _learner_counts(_build(name))
    return found


def _plain(kind: str, name: str) -> str:
    """The registered name in `peft:lora`, `open_clip:ViT-B-16`."""
    if kind == "strategy" and ":" in name:
        from clbench.benchmarks.engine.suite import spelt_out

        return str(spelt_out(name)["name"])
    return name.partition(":")[0] if kind == "learner" else name


def _describe_card(kind: str, card: "CardFile") -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": card.name,
        "description": card.description,
        "source": str(card.path),
        **card.values,
    }
    if kind == "stream" and card.values.get("data") is not None:  # other class names are in the data of the user
        from clbench.streams.card import load_stream

        found["classes"] = {task.name: list(task.classes) for task in load_stream(str(card.path)).tasks}
    return found


def _build(name: str) -> "Learner":
    import torch

    from clbench.benchmarks.engine.learners import build_learner

    return build_learner(name, 0, torch.device("cpu"))


def _learner_counts(learner: "Learner") -> dict[str, int]:
    parameters = sum(p.numel() for p in learner.module.parameters())
    return {"parameters": parameters, "linear_layers": len(learner.linear_layers())}


def _counts(strategy: str, learner: str) -> dict[str, object]:
    """Numbers of parameters of a strategy with default settings (`name:argument` sets one) on a learner.

    Raises:
        ConfigError: If the strategy cannot be built.
    """
    from clbench.benchmarks.engine.footprint import footprint
    from clbench.benchmarks.engine.suite import spelt_out
    from clbench.core.registry import STRATEGIES

    settings = spelt_out(strategy)
    strategy = str(settings.pop("name"))
    if STRATEGIES.get(strategy).config is None:
        raise ConfigError(f"strategy {strategy}: registered without a config (wanted register(..., config=...))")
    try:
        return footprint(strategy, learner, settings)
    except ClbenchError:
        raise
    except Exception as error:  # the constructor of a third party's strategy can raise anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ConfigError(f"strategy {strategy}: its parameters cannot be counted on {learner}: {reason}") from error


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ("\n" if any(isinstance(item, dict) for item in value) else ", ").join(map(_text, value))
    return str(value).strip()
