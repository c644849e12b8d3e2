"""Data sets from the Hugging Face hub: copies with the splits of their makers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clbench.core.errors import DataError
from clbench.spec.task import Split
from clbench.streams.clip_domains.image_sets.found_image_set import class_names
from clbench.streams.clip_domains.image_sets.image_part import numbered
from clbench.streams.clip_domains.image_sets.image_set_facts import HubCopy, ImageSetFacts
from clbench.streams.hub import builder_of, rows_of

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True, eq=False)
class HubSet:
    """A data set of the hub at one commit.

    Attributes:
        name: Name of the set, for messages.
        hub: Repository, columns and splits.
        commit: Commit of the repository; runs with the same commit have the same images.
        classes: Class names for prompts, by label.
    """

    name: str
    hub: HubCopy
    commit: str
    classes: tuple[str, ...]

    def part(self, split: Split) -> str:
        """The copy's name of a split.

        Raises:
            DataError: When it has no such part.
        """
        if split not in self.hub.splits:
            known = ", ".join(self.hub.splits)
            raise DataError(f"data set {self.name}: {self.hub.repo} has no part {split!r} (it has {known})")
        return self.hub.splits[split]

    def labels(self, split: Split) -> NDArray[np.int64]:
        """The labels `(n,)` of a split; no image is decoded.

        Raises:
            DataError: When the copy has no such part or cannot be read.
        """
        rows = rows_of(self.hub.repo, self.hub.config, self.commit, self.part(split)).select_columns([self.hub.label])
        return np.asarray(rows[self.hub.label][:], dtype=np.int64)

    def load(self, split: Split, task: str, chosen: Sequence[int] | None) -> "Dataset":
        """The rows `sample_id`, `image` (encoded) and `label`.

        Args:
            split: Part to be read.
            task: Name that sample ids begin with.
            chosen: Rows that were drawn; all when None.

        Raises:
            DataError: When the copy has no such part or cannot be read.
        """
        from datasets import ClassLabel, Value

        hub = self.hub
        rows = rows_of(hub.repo, hub.config, self.commit, self.part(split)).select_columns([hub.image, hub.label])
        rows = rows.rename_columns({hub.image: "image", hub.label: "label"})
        chosen = range(len(rows)) if chosen is None else chosen
        ids = [f"{task}/{split}/{name}" for name in numbered([f"{row:05d}" for row in chosen])]
        rows = rows.select(chosen).add_column("sample_id", ids, feature=Value("string"))
        return rows.cast_column("label", ClassLabel(names=list(self.classes)))


def open_hub(name: str, facts: ImageSetFacts) -> HubSet:
    """A data set's copy on the hub; the names of its classes are read, its images are not.

    Raises:
        DataError: When no copy is known, or it cannot be had, or it has no class names.
    """
    hub = facts.hub
    if hub is None:
        raise DataError(f"data set {name}: no copy on the hub is known (wanted --root DIR with {facts.title} in it)")
    builder = builder_of(hub.repo, hub.config, hub.revision)
    commit = hub.revision or str(builder.hash)
    features = builder.info.features or rows_of(hub.repo, hub.config, commit, hub.splits["test"]).features
    feature = features.get(hub.label)
    raw: Sequence[str] | None = getattr(feature, "names", None)
    if not raw:
        raise DataError(f"data set {name}: column {hub.label!r} of {hub.repo} has no class names (wanted a ClassLabel)")
    return HubSet(name, hub, commit, class_names(Path(hub.repo), raw, facts.classes))
