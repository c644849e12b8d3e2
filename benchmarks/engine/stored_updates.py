"""What the stored updates of a cell look like: `python -m clbench.benchmarks.engine.stored_updates CELL [OTHER]`.

`clbench run --keep all` keeps the weights that this needs. For each version and role of linear layers (q, k, v, out,
up, down, ...) it prints in Markdown:

- the share of weights that changed by at most 1e-5;
- rank and stable rank, as means of shares of full rank, for matrices of any size (`rank_shares`);
- the cosine of the update with the update before it on its path.

A second cell, OTHER, of the same stream and learner adds, for each version, the share of the weights changed in the
first cell that changed in the second as well, and the share that chance gives. Two seeds of one strategy show whether
it always changes the same weights.
"""

import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.update_structure import TOLERANCE, mean_ranks, overlap, rank_shares
from clbench.benchmarks.engine.version_store import VERSIONS, WEIGHTS
from clbench.core.checkpoints import load_tensors
from clbench.core.errors import CheckpointError, ClbenchError, ConfigError
from clbench.core.storage import read_json
from clbench.spec.update import parents_of, parse_update

Changes = Mapping[str, Tensor]
"""Changes of an update, by name of the weight."""


@dataclass(frozen=True, eq=False)
class StoredCell:
    """The versions of a cell whose weights are stored.

    Attributes:
        labels: Names of updates 1, 2, ... in order.
        parents: Parent of each of them.
        weights: Weights of the learner by version; version 0 is there always.
        roles: Role of each linear layer, by the name of its weight.
    """

    labels: tuple[str, ...]
    parents: tuple[int, ...]
    weights: Mapping[int, Changes]
    roles: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> "StoredCell":
        """Read a cell's folder and the store beside its suite.

        Raises:
            ConfigError: When the learner cannot be built again from its name.
            CheckpointError: When a record or a file of weights is damaged.
        """
        found, folder = read_json(path / "cell.json"), CellFolder(path)
        try:
            stream = cast(Mapping[str, list[object]], found["stream"])
            updates = [parse_update(item, f"{path}: update {n}") for n, item in enumerate(stream["updates"], 1)]
            learner_name = str(cast(Mapping[str, object], found["learner"])["name"])
            seed = int(cast(int, found["seed"]))
        except (KeyError, TypeError):
            raise CheckpointError(f"{path / 'cell.json'}: not the description of a cell") from None
        learner = build_learner(learner_name, seed, torch.device("cpu"))
        weights: dict[int, Changes] = {0: learner.state_dict()}
        for version in range(1, (folder.last_version or 0) + 1):
            stored = path.parents[1] / VERSIONS / folder.record(version).key / WEIGHTS
            if stored.is_file():
                weights[version] = load_tensors(stored)
        return cls(
            tuple(update.label for update in updates),
            parents_of(updates, str(path)),
            weights,
            {f"{layer.name}.weight": layer.role for layer in learner.linear_layers()},
        )

    def changes(self, version: int) -> Changes | None:
        """Changes of an update, of weights that version and parent both have; None if one of them is not stored."""
        parent = self.parents[version - 1] if version else 0
        if not version or version not in self.weights or parent not in self.weights:
            return None
        old, new = self.weights[parent], self.weights[version]
        names = [n for n in new if n in old and old[n].shape == new[n].shape and old[n].is_floating_point()]
        return {name: new[name].float() - old[name].float() for name in names}


def lines_of(cell: StoredCell) -> Iterator[str]:
    """The rows of the table: each version, and each role of linear layers in it.

    Raises:
        ConfigError: When no version has its weights stored together with those of its parent.
    """
    yield "| version | update | layers | unchanged | rank | stable rank | cosine with the update before |"
    yield "|---|---|---|---|---|---|---|"
    known = [version for version in range(1, len(cell.labels) + 1) if cell.changes(version) is not None]
    if not known:
        raise ConfigError("no version has its weights and those of its parent stored: run with --keep all")
    for version in known:
        changes = cell.changes(version) or {}
        earlier = cell.changes(cell.parents[version - 1])
        groups: dict[str, list[Tensor]] = defaultdict(list)
        for name in (name for name in changes if name in cell.roles):
            groups[cell.roles[name]].append(changes[name])
        yield _row(version, cell.labels[version - 1], "all", list(changes.values()), _cosine(changes, earlier))
        for role, members in sorted(groups.items()):
            yield _row(version, cell.labels[version - 1], role, members, None)


def _row(version: int, label: str, role: str, members: list[Tensor], cosine: float | None) -> str:
    still = sum(int((change.abs() <= TOLERANCE).sum()) for change in members)
    ranks = None if role == "all" else mean_ranks([rank_shares(change) for change in members])
    numbers = [still / max(1, sum(change.numel() for change in members)), *(ranks or (None, None)), cosine]
    return f"| {version} | {label} | {role} | {' | '.join(map(_number, numbers))} |"


def _cosine(changes: Changes, earlier: Changes | None) -> float | None:
    """Cosine of two updates over the weights that both have; None if one of them is zero."""
    if earlier is None:
        return None
    names = changes.keys() & earlier.keys()
    one, other = ([state[name].flatten().double() for name in sorted(names)] for state in (changes, earlier))
    product = math.fsum(float(a @ b) for a, b in zip(one, other, strict=True))
    norms = [math.sqrt(math.fsum(float(x @ x) for x in state)) for state in (one, other)]
    return product / (norms[0] * norms[1]) if all(norms) else None


def overlap_lines(one: StoredCell, other: StoredCell) -> Iterator[str]:
    """The rows of the table of overlaps: each version that both cells have.

    Raises:
        ConfigError: When the cells have other updates.
    """
    if one.labels != other.labels or one.parents != other.parents:
        raise ConfigError("the two cells have different updates, so their versions cannot be compared")
    yield "| version | update | in common | by chance |"
    yield "|---|---|---|---|"
    for version, label in enumerate(one.labels, 1):
        changes, theirs = one.changes(version), other.changes(version)
        if changes is None or theirs is None:
            continue
        names = [name for name in changes if name in theirs and changes[name].shape == theirs[name].shape]
        shared = overlap({name: changes[name] for name in names}, theirs)
        yield f"| {version} | {label} | {' | '.join(map(_number, shared))} |"


def _number(value: float | None) -> str:
    return "n/a" if value is None or math.isnan(value) else f"{value:.3f}"


def main(cell: str, other: str | None = None) -> None:
    """Print the table of a cell, and the overlaps with another one."""
    first = StoredCell.read(Path(cell))
    lines = list(lines_of(first))
    if other is not None:
        lines += ["", *overlap_lines(first, StoredCell.read(Path(other)))]
    print("\n".join(lines))  # noqa: T201


if __name__ == "__main__":
    try:
        main(*sys.argv[1:3])
    except (ClbenchError, TypeError) as error:
        sys.exit(f"error: {error}")
