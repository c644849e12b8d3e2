"""What is left of forgotten samples in a version: accuracies, membership, and the distance from a retrained model.

Outputs are the predicted distributions over the classes of each sample's own task, for three groups of samples:
`forgotten` (the training samples to forget), `held_out` (test samples of the same tasks and mix of classes) and
`retained` (training samples of the tasks learnt so far that are not forgotten, at most `MOST_RETAINED`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from clbench.contracts import Learner, Samples, ScoresClasses, Split, Task, require
from clbench.core.seeding import generator_for
from clbench.kinds import kind_of
from clbench.scoring.divergence import jensen_shannon
from clbench.scoring.membership import logistic_membership, membership_auc, negative_entropy

Group: TypeAlias = Literal["forgotten", "held_out", "retained"]
GROUPS: tuple[Group, ...] = ("forgotten", "held_out", "retained")
MOST_RETAINED = 2000
"""Largest number of retained samples that are looked at."""
Outputs = Mapping[str, Tensor]
"""`<group>/<task>/probabilities` `(n, classes)` float32 and `<group>/<task>/label` `(n,)` int64, on the CPU."""


@dataclass(frozen=True)
class ForgetAudit:
    """Measures versions before and after an update of kind `Forget`.

    Args:
        tasks: The tasks that were learnt before the update; those whose samples have no class are left out.
        forgotten: Ids of the samples to forget, by name of their task.
        samples: Gives the encoded samples of a split, none of them left out.
        seed: Seed of the cell, which draws the groups.
    """

    tasks: Sequence[Task]
    forgotten: Mapping[str, frozenset[str]]
    samples: Callable[[Task, Split], Samples]
    seed: int

    @torch.no_grad()
    def outputs(self, learner: Learner) -> dict[str, Tensor]:
        """The outputs of a version for all groups.

        Args:
            learner: The learner at this version.

        Raises:
            ConfigError: For a learner without scores of classes.
        """
        scores = require(learner, ScoresClasses, "the audit of forgetting")
        learner.module.eval()
        found: dict[str, Tensor] = {}
        for group, task, samples, positions in self._groups():
            parts = []
            for start in range(0, len(positions), learner.test_batch):
                batch = samples.batch(positions[start : start + learner.test_batch])
                with learner.autocast():
                    parts.append(scores.logits(batch, [task]).float().softmax(dim=-1).cpu())
            found[f"{group}/{task.name}/probabilities"] = torch.cat(parts)
            found[f"{group}/{task.name}/label"] = samples.tensors["label"][
                positions.to(samples.tensors["label"].device)
            ].cpu()
        return found

    def _groups(self) -> Iterator[tuple[Group, Task, Samples, Tensor]]:
        """Every group of every task, with the positions of its samples; groups without samples are left out."""
        learnt = [task for task in self.tasks if kind_of(task.kind).has_class(task)]
        share = MOST_RETAINED // max(1, len(learnt))
        for task in learnt:
            generator = generator_for(self.seed, "audit", task.name)
            training = self.samples(task, "train")
            ids = self.forgotten.get(task.name, frozenset())
            is_forgotten = torch.tensor([one in ids for one in training.ids.to_pylist()])
            kept = (~is_forgotten).nonzero().flatten()
            kept = kept[torch.randperm(len(kept), generator=generator)[:share]].sort().values
            if len(kept):
                yield "retained", task, training, kept
            if len(gone := is_forgotten.nonzero().flatten()):
                yield "forgotten", task, training, gone
                test = self.samples(task, "test")
                labels = training.tensors["label"].cpu()[gone]
                if len(others := same_mix(labels, test.tensors["label"].cpu(), generator)):
                    yield "held_out", task, test, others


def same_mix(wanted: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """Positions, ascending, of as many samples as possible whose classes are mixed as those in `wanted`.

    Args:
        wanted: Labels of the samples to imitate, `(m,)`.
        labels: Labels of the samples to choose from, `(n,)`.
        generator: Draws among the samples of a class.
    """
    classes, counts = wanted.unique(return_counts=True)
    own = [(labels == label).nonzero().flatten() for label in classes]
    factor = min(len(positions) / int(count) for positions, count in zip(own, counts, strict=True))
    chosen = [
        positions[torch.randperm(len(positions), generator=generator)[: round(factor * int(count))]]
        for positions, count in zip(own, counts, strict=True)
    ]
    return torch.cat(chosen).sort().values


def audit_numbers(outputs: Outputs, reference: Outputs | None = None) -> dict[str, float]:
    """Numbers of one version, by name.

    - `accuracy_<group>`: share of right answers among the classes of each sample's own task;
    - `mia_auc`, with `mia_auc_low` and `mia_auc_high` for few samples: see `membership_auc`, by minus the entropy;
    - `mia_logistic`: see `logistic_membership`;
    - `gap`: mean absolute difference of the three accuracies from those of the reference;
    - `js_forgotten`, `js_held_out`: mean Jensen-Shannon divergence from the reference's outputs, in nats;
    - `mia_auc_difference`: `mia_auc` minus that of the reference.

    Numbers whose groups are empty are left out.

    Args:
        outputs: Outputs of the version.
        reference: Outputs of a model that was trained without the forgotten samples; None without one.
    """
    numbers = {f"accuracy_{group}": accuracy for group in GROUPS if (accuracy := _accuracy(outputs, group)) is not None}
    scores = {group: _entropies(outputs, group) for group in GROUPS}
    if len(scores["forgotten"]) and len(scores["held_out"]):
        auc = membership_auc(scores["forgotten"], scores["held_out"])
        numbers["mia_auc"] = auc.value
        if auc.interval:
            numbers["mia_auc_low"], numbers["mia_auc_high"] = auc.interval
        if len(scores["retained"]):
            numbers["mia_logistic"] = logistic_membership(
                -scores["retained"], -scores["held_out"], -scores["forgotten"]
            )
    if reference is not None:
        theirs = audit_numbers(reference)
        both = [name for name in numbers if name.startswith("accuracy_") and name in theirs]
        numbers["gap"] = float(np.mean([abs(numbers[name] - theirs[name]) for name in both]))
        if "mia_auc" in numbers and "mia_auc" in theirs:
            numbers["mia_auc_difference"] = numbers["mia_auc"] - theirs["mia_auc"]
        for group in ("forgotten", "held_out"):
            names = [name for name in outputs if name.startswith(f"{group}/") and name.endswith("/probabilities")]
            rows = [jensen_shannon(outputs[name].numpy(), reference[name].numpy()) for name in names]
            if rows:
                numbers[f"js_{group}"] = float(np.concatenate(rows).mean())
    return numbers


def _of_group(outputs: Outputs, group: Group) -> list[tuple[Tensor, Tensor]]:
    names = [name.rpartition("/")[0] for name in outputs if name.startswith(f"{group}/") and name.endswith("/label")]
    return [(outputs[f"{name}/probabilities"], outputs[f"{name}/label"]) for name in names]


def _accuracy(outputs: Outputs, group: Group) -> float | None:
    found = [(given.argmax(dim=-1) == label) for given, label in _of_group(outputs, group)]
    return float(torch.cat(found).double().mean()) if found else None


def _entropies(outputs: Outputs, group: Group) -> npt.NDArray[np.float64]:
    """Minus the entropy of each sample's distribution, over all tasks of a group."""
    found = [negative_entropy(given.numpy()) for given, _ in _of_group(outputs, group)]
    return np.concatenate(found) if found else np.zeros(0)
