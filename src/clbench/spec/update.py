"""Updates: values that say what turns one version of a model into the next; strategies say how.

A stream lists updates. Update number t makes version t, which is row t of R; version 0 is the pre-trained model. The
version that an update starts from is its parent: the version before it, unless the update names another. So several
updates of one version are branches, and the versions of a stream are a graph (a tree with version 0 as its root).
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, TypeAlias

from pydantic import Field, model_validator

from clbench.core.config import Config, validate
from clbench.core.errors import ConfigError, did_you_mean

UpdateKind = Literal["learn", "adopt", "compress", "forget"]
PRETRAINED = "pre-trained"
"""Name of version 0, which no update makes."""


class _Update(Config):
    """What updates of every kind have."""

    kind: ClassVar[UpdateKind]
    name: str = Field("", description="Name of the row of R, unique in the stream; made from the content if not given.")
    parent: str | None = Field(
        None, description="Name of the update whose version this one starts from; the one before it if not given."
    )


class Learn(_Update):
    """Learn one task of the stream."""

    kind: ClassVar[UpdateKind] = "learn"
    task: str = Field(min_length=1, description="Name of the task.")
    without: str | None = Field(
        None, description="Name of an update of kind `forget`, whose samples are left out: a model retrained for it."
    )
    draw: int = Field(
        0, ge=0, description="Number of the draw of all randomness; versions that differ in it alone show its noise."
    )

    @property
    def label(self) -> str:
        """Name of the row: the given one, or that of the task."""
        return self.name or self.task


class Adopt(_Update):
    """Replace the model by a release of its base model."""

    kind: ClassVar[UpdateKind] = "adopt"
    release: str = Field(min_length=1, description="Learner of the release (`mini-llama:v2`).")

    @property
    def label(self) -> str:
        """Name of the row: the given one, or that of the release."""
        return self.name or self.release


class Compress(_Update):
    """Make the model smaller, by exactly one of three budgets."""

    kind: ClassVar[UpdateKind] = "compress"
    bits: float | None = Field(None, gt=0, le=32, description="Mean number of bits of a compressed weight's codes.")
    sparsity: float | None = Field(None, ge=0, lt=1, description="Share of zeros among the compressed weights.")
    bytes: int | None = Field(None, ge=1, description="Bytes of the whole version.")

    @model_validator(mode="after")
    def _one_budget(self) -> "Compress":
        given = [name for name in ("bits", "sparsity", "bytes") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"exactly one of bits, sparsity, bytes, got {', '.join(given) or 'none'}")
        return self

    @property
    def label(self) -> str:
        """Name of the row: the given one, or its budget (`4 bits`, `50 % zeros`, `120,000 bytes`)."""
        if self.name:
            return self.name
        if self.bits is not None:
            return f"{self.bits:g} bit" if self.bits == 1 else f"{self.bits:g} bits"
        return f"{100 * self.sparsity:g} % zeros" if self.sparsity is not None else f"{self.bytes:,} bytes"


class Forget(_Update):
    """Make the model forget training samples, by exactly one of three selections.

    - `task` alone: all training samples of the task;
    - `task` and `category`: those of one of its classes;
    - `task` and `share`: a random share of them, of each class alike, drawn by the cell's seed;
    - `samples`: the samples that a file lists.
    """

    kind: ClassVar[UpdateKind] = "forget"
    task: str | None = Field(None, min_length=1, description="Name of the task.")
    category: str | None = Field(None, min_length=1, description="Name of one of its classes.")
    share: float | None = Field(None, gt=0, lt=1, description="Share of the task's training samples.")
    samples: str | None = Field(
        None, min_length=1, description="CSV file with the columns `task` and `sample_id`, relative to the card."
    )

    @model_validator(mode="after")
    def _one_selection(self) -> "Forget":
        if (self.task is None) == (self.samples is None):
            raise ValueError("exactly one of task and samples")
        if self.category is not None and self.share is not None:
            raise ValueError("at most one of category and share")
        if self.samples is not None and (self.category is not None or self.share is not None):
            raise ValueError("category and share only with task")
        return self

    @property
    def label(self) -> str:
        """Name of the row: the given one, or its selection (`forget rec/space`)."""
        if self.name:
            return self.name
        if self.share is not None:
            return f"forget {100 * self.share:g} % of {self.task}"
        return f"forget {self.samples or '/'.join(filter(None, (self.task, self.category)))}"


Update: TypeAlias = Learn | Adopt | Compress | Forget
KINDS: dict[UpdateKind, type[Learn | Adopt | Compress | Forget]] = {
    update.kind: update for update in (Learn, Adopt, Compress, Forget)
}


def parse_update(item: object, where: str) -> Update:
    """An update as a card writes it: `{learn: TASK}`, `{compress: {bits: 4}, parent: NAME}`, `{adopt: LEARNER}`.

    Args:
        item: What the card has.
        where: Place of the item, put before messages.

    Raises:
        ConfigError: For anything else.
    """
    if not isinstance(item, Mapping):
        raise ConfigError(f"{where}: wanted a mapping such as {{learn: TASK}}, got {item!r}")
    kinds = [kind for kind in KINDS if kind in item]
    if len(kinds) != 1:
        raise ConfigError(f"{where}: wanted exactly one of {', '.join(KINDS)}, got {', '.join(map(str, item)) or '{}'}")
    kind = kinds[0]
    content = item[kind]
    others = {key: value for key, value in item.items() if key != kind}
    unknown = [key for key in others if key not in ("name", "parent")]
    if unknown:
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}: {did_you_mean(str(unknown[0]), ('name', 'parent'))}")
    main = {"learn": "task", "adopt": "release", "forget": "task"}.get(kind)
    if isinstance(content, str) and main:
        content = {main: content}
    if not isinstance(content, Mapping):
        raise ConfigError(f"{where}: {kind} must be a mapping of its settings, got {content!r}")
    return validate(KINDS[kind], {**content, **others}, f"{where}: {kind}")


def update_as_json(update: Update) -> dict[str, object]:
    """The mapping from which `parse_update` reads an equal update, without settings that are not given."""
    values = update.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    own: dict[str, object] = {key: values.pop(key) for key in ("name", "parent") if key in values}
    return {update.kind: values} | own


def parents_of(updates: Sequence[Update], where: str) -> tuple[int, ...]:
    """The number of the version that each update starts from.

    Args:
        updates: Updates 1, 2, ... in order.
        where: Owner of the updates, put before messages.

    Returns:
        A version from 0 for each update; that of update t is less than t.

    Raises:
        ConfigError: For two updates of one name, a parent that does not exist or that comes later.
    """
    known = {PRETRAINED: 0}
    parents: list[int] = []
    for number, update in enumerate(updates, 1):
        label = update.label
        if label in known:
            raise ConfigError(f"{where}: two updates are named {label!r} (wanted a name of its own)")
        if update.parent is None:
            parents.append(number - 1)
        elif update.parent in known:
            parents.append(known[update.parent])
        else:
            hint = did_you_mean(update.parent, known)
            raise ConfigError(f"{where}: update {label!r}: there is no earlier update {update.parent!r}: {hint}")
        known[label] = number
    return tuple(parents)


def check_updates(updates: Sequence[Update], tasks: Sequence[str], where: str) -> None:
    """Refuse updates that do not fit the tasks of their stream, or one another.

    Args:
        updates: Updates 1, 2, ... in order.
        tasks: Names of all tasks.
        where: Owner of the updates, put before messages.

    Raises:
        ConfigError: For a task or parent that does not exist, two updates of one name, a task that is learnt twice on
            one path, and one that is to be forgotten where it was not learnt.
    """
    parents = parents_of(updates, where)
    for number, update in enumerate(updates, 1):
        task = update.task if isinstance(update, Learn | Forget) else None
        if task is None:
            continue
        if task not in tasks:
            raise ConfigError(f"{where}: update {update.label!r}: no task {task!r}: {did_you_mean(task, tasks)}")
        before = [updates[step - 1] for step in path_to(parents[number - 1], parents)[1:]]
        learnt = [known.task for known in before if isinstance(known, Learn)]
        if isinstance(update, Learn) and task in learnt:
            raise ConfigError(f"{where}: update {update.label!r}: task {task!r} was learnt before on its path")
        if isinstance(update, Learn) and update.without is not None:
            wanted = [known.label for known in updates if isinstance(known, Forget)]
            if update.without not in wanted:
                hint = did_you_mean(update.without, wanted)
                raise ConfigError(
                    f"{where}: update {update.label!r}: nothing is forgotten as {update.without!r}: {hint}"
                )
        if isinstance(update, Forget) and any(isinstance(u, Learn) for u in updates) and task not in learnt:
            raise ConfigError(f"{where}: update {update.label!r}: task {task!r} was not learnt before on its path")


def path_to(version: int, parents: Sequence[int]) -> tuple[int, ...]:
    """Version 0, then the versions that lead to `version`, which is the last one.

    Args:
        version: Number of a version.
        parents: Parent of versions 1, 2, ... in order.
    """
    path = [version]
    while path[-1]:
        path.append(parents[path[-1] - 1])
    return tuple(reversed(path))


def learns_only(updates: Sequence[Update], parents: Sequence[int], tasks: Sequence[str]) -> bool:
    """Whether version t learns task t for all t, one after another: what formulas of R usually suppose.

    Args:
        updates: Updates 1, 2, ... in order.
        parents: Parent of each.
        tasks: Names of all tasks in order.
    """
    chain = tuple(parents) == tuple(range(len(updates)))
    return chain and [u.task if isinstance(u, Learn) else None for u in updates] == list(tasks)
