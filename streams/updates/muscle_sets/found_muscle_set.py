"""A task set, from the hub or a folder in its layout: its parts, and its differences from the published one."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from clbench.core.errors import DataError
from clbench.spec.task import Split
from clbench.streams.hub import builder_of, rows_of
from clbench.streams.missing_data import MissingSetError
from clbench.streams.updates.muscle_sets.muscle_set_facts import MuscleSetFacts, MuscleSetName, facts_of
from clbench.streams.updates.muscle_sets.prompted_rows import ASK, Asked

if TYPE_CHECKING:
    from datasets import Dataset

SHARE = 0.2
"""Share of the published training rows that validates, as in the paper."""
File = Literal["train", "test"]
Numbered = list[tuple[int, Asked]]


@dataclass(frozen=True, eq=False)
class TaskSet:
    """A set that can be read.

    Attributes:
        name: Name of the set.
        repo: Name on the hub, or a folder.
        commit: Commit of the repository; None for a folder.
    """

    name: MuscleSetName
    repo: str
    commit: str | None

    @property
    def facts(self) -> MuscleSetFacts:
        """The published facts."""
        return facts_of(self.name)

    def part(self, split: Split) -> Numbered:
        """The rows of a part with their numbers in the published file, those without a text or an answer left out.

        Of the distinct texts of the training rows, the fifth with the smallest SHA-256 validates: the same for every
        seed and machine, and equal texts stay together.

        Raises:
            DataError: When it cannot be read.
        """
        if split == "test":
            return self._test
        return [item for item in self._train if (item[1].text in self._validating) == (split == "validation")]

    def load(self, split: Split, task: str) -> "Dataset":
        """The rows `sample_id`, `text`, `answer` and, where there are any, `choices` and `label`.

        Raises:
            DataError: When it cannot be read.
        """
        from datasets import Dataset, Features, List, Value

        rows = self.part(split)
        stem = self.facts.splits["test" if split == "test" else "train"]
        columns: dict[str, list[object]] = {
            "sample_id": [f"{task}/{stem}/{number:05d}" for number, _ in rows],
            "text": [row.text for _, row in rows],
            "answer": [row.answer for _, row in rows],
        }
        features = dict.fromkeys(columns, Value("string"))
        if rows and rows[0][1].choices:
            columns |= {"choices": [row.choices for _, row in rows], "label": [row.label for _, row in rows]}
            features |= {"choices": List(Value("string")), "label": Value("int64")}
        return Dataset.from_dict(columns, features=Features(features))

    def fingerprint(self, split: Split) -> str:
        """A hash of a part's rows as they are asked; equal for the hub and for a folder."""
        return hashlib.sha256(json.dumps(self.part(split)).encode()).hexdigest()

    def data_deviations(self) -> Iterator[str]:
        """Differences from the published rows, one line each.

        Raises:
            DataError: When they cannot be read.
        """
        parts: dict[File, Numbered] = {"train": self._train, "test": self._test}
        for file, rows in parts.items():
            total, wanted = self.size(file), getattr(self.facts, file)
            if total != wanted:
                yield f"{file}: wanted the published {wanted:,} rows, got {total:,}"
            if len(rows) != total:
                yield f"{file}: {total - len(rows):,} of {total:,} rows have no text or no answer and are left out"

    def size(self, file: File) -> int:
        """Number of rows of a published part."""
        return len(self._rows(file))

    @cached_property
    def _train(self) -> Numbered:
        return self._asked("train")

    @cached_property
    def _test(self) -> Numbered:
        return self._asked("test")

    @cached_property
    def _validating(self) -> frozenset[str]:
        texts = sorted({row.text for _, row in self._train}, key=lambda text: hashlib.sha256(text.encode()).digest())
        return frozenset(texts[: round(SHARE * len(texts))])

    def _rows(self, file: File) -> "Dataset":
        facts = self.facts
        rows: Dataset = rows_of(self.repo, facts.config, self.commit, facts.splits[file])
        missing = [name for name in facts.columns if name not in rows.column_names]
        if missing:
            raise DataError(f"{self.repo}: {facts.splits[file]}: column {missing[0]!r} is missing")
        return rows.select_columns(list(facts.columns))

    def _asked(self, file: File) -> Numbered:
        found: Numbered = []
        for number, row in enumerate(self._rows(file)):
            try:
                asked = ASK[self.name](row)
            except (AttributeError, TypeError, ValueError) as error:
                raise DataError(f"{self.repo}: {self.facts.splits[file]}, row {number}: {error}") from None
            if asked.text.strip() and asked.answer.strip():
                found.append((number, asked))
        if not found:
            raise DataError(f"{self.repo}: {self.facts.splits[file]}: wanted at least one row, got none")
        return found


def open_set(name: MuscleSetName, root: Path | None) -> TaskSet:
    """A set below a root, or from the hub.

    Raises:
        MissingSetError: When its folder is not below the root.
        DataError: When the hub does not have it.
    """
    facts = facts_of(name)
    if root is None:
        commit = facts.revision or str(builder_of(facts.repo, facts.config, None).hash)
        return TaskSet(name, facts.repo, commit)
    folder = root / facts.folder
    if not folder.is_dir():
        raise MissingSetError(
            f"{root}: data set {name} is missing (wanted a folder {facts.folder}, a copy of {facts.repo})"
        )
    return TaskSet(name, str(folder), None)
