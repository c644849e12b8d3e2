"""Whether a stream, the strategies of a cell and its learner fit each other, found out before anything is trained."""

from collections.abc import Callable, Sequence
from typing import cast

from clbench.benchmarks.engine.cell import Cell, Choice
from clbench.benchmarks.engine.learners import class_of, shipped_with
from clbench.contracts import Learner, Strategy, StrategyConfig
from clbench.contracts.capabilities import lack_of, lacking
from clbench.contracts.updating import handled_kinds
from clbench.core.errors import ConfigError
from clbench.core.registry import STRATEGIES
from clbench.spec.update import Update, parents_of, path_to
from clbench.strategies._parts.slots import choices_in, plain_adamw
from clbench.strategies._updates.adapted import require_same_vocabulary
from clbench.streams.card import updates_of


def require_fit(cell: Cell) -> None:
    """Refuse updates that no strategy of the cell handles, and a learner that a strategy or the stream cannot take.

    Raises:
        ConfigError: In these cases, and where a strategy with its own predictions is not alone.
        RegistryError: For an unknown strategy or learner, or a file that does not import.
    """
    card = cell.card
    for update in updates_of(card):
        entry = STRATEGIES.get(cell.choice_for(update.kind).strategy)
        handled = handled_kinds(entry.value)
        if update.kind not in handled:
            kinds = ", ".join(handled) or "no updates"
            wanted = f"stream {card.name} has {update.kind!r} ({update.label})"
            raise ConfigError(f"strategy {entry.name} handles {kinds}; {wanted}")
    if card.releases and cell.learner != card.releases[0]:
        raise ConfigError(f"stream {card.name} begins with release {card.releases[0]!r}, got learner {cell.learner!r}")
    for choice in cell.choices:
        _require_parts_fit(choice)
        entry = STRATEGIES.get(choice.strategy)
        if getattr(entry.value, "keeps_positions", False) and _learns_after_forgetting(updates_of(card), card.name):
            why = "keeps samples by their positions, which updates of kind forget shift"
            raise ConfigError(f"strategy {entry.name} {why}; stream {card.name} has one (a part `memory` keeps ids)")
    _require_capabilities(cell)
    _require_shards_fit(cell)
    if cell.others:
        for choice in cell.choices:
            entry = STRATEGIES.get(choice.strategy)
            if not cast(type[Strategy[StrategyConfig]], entry.value).predicts_with_weights:
                why = "predicts with more than the model's weights (an adapter for each task)"
                raise ConfigError(f"strategy {entry.name} {why}, so no other strategy can stand beside it")


def _learns_after_forgetting(updates: Sequence[Update], where: str) -> bool:
    """Whether some update of kind learn has one of kind forget before it on its path."""
    parents = parents_of(updates, where)
    for number, update in enumerate(updates, 1):
        path = path_to(number, parents)
        if update.kind == "learn" and any(updates[before - 1].kind == "forget" for before in path[1:]):
            return True
    return False


def _require_parts_fit(choice: Choice) -> None:
    """Refuse parts in slots that a strategy does not have, and parts for weights in strategies that train adapters.

    Raises:
        ConfigError: If there is one.
    """
    entry = STRATEGIES.get(choice.strategy)
    slots = getattr(entry.value, "slots", ())
    for part in choices_in(choice.config):
        if part.slot not in slots and part != plain_adamw():
            has = f"has parts for {', '.join(slots)} only" if slots else "has no parts"
            raise ConfigError(f"strategy {entry.name}: {part.slot} {part}: this strategy {has}")
        if part.needs_weights and not getattr(entry.value, "trains_weights", False):
            raise ConfigError(
                f"strategy {entry.name}: {part.slot} {part} works on weights of the model, but this strategy does not"
                " train them"
            )


def _require_shards_fit(cell: Cell) -> None:
    """Refuse to shard a model in one process, or with strategies and parts that need whole weights while they train.

    Raises:
        ConfigError: In these cases.
    """
    if not cell.shard:
        return
    if cell.processes == 1:
        raise ConfigError("shard: true shards a model over the processes of a cell: wanted processes above 1, got 1")
    for choice in cell.choices:
        entry = STRATEGIES.get(choice.strategy)
        takes = {f"strategy {entry.name}": getattr(entry.value, "takes_shards", False)}
        takes |= {f"strategy {entry.name}: {part.slot} {part}": part.takes_shards for part in choices_in(choice.config)}
        if refused := next((who for who, does in takes.items() if not does), None):
            raise ConfigError(f"{refused} takes whole weights only: wanted shard: false, got true")


def _require_capabilities(cell: Cell) -> None:
    """Refuse learners without a capability that a strategy requires, where their factories tell their classes.

    A learner of an unknown class is checked when a strategy is built on it.
    """
    for choice in cell.choices:
        entry = STRATEGIES.get(choice.strategy)
        wanted = {f"strategy {entry.name}": cast(type[Strategy[StrategyConfig]], entry.value).required(choice.config)}
        wanted |= {f"{part.slot} {part}": part.part_class.requires for part in choices_in(choice.config)}
        for by, required in wanted.items():
            if not required:
                continue  # most strategies and parts need no learner to be imported
            for learner in dict.fromkeys((cell.learner, *cell.card.releases)):
                own = class_of(learner)
                if own is not None and (missing := lacking(own, required)):
                    known = ", ".join(shipped_with(required)) or "none that ships"
                    raise ConfigError(f"{lack_of(learner, missing, by)}; learners for {by}: {known}")


def require_one_vocabulary(others: Sequence[str], first: Learner, build: Callable[[str], Learner]) -> None:
    """Load every release once and refuse one with another tokenizer, before anything is trained.

    Args:
        others: Specifications of the releases besides the learner of version 0.
        first: The learner of version 0.
        build: Builds a release from its specification.

    Raises:
        ConfigError: When there is one.
        CheckpointError: For weights that are missing.
    """
    for release in others:
        require_same_vocabulary(first, build(release))
