"""A task: data with a train, a validation and a test part, a kind, and the metric that scores it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from torch import Tensor

if TYPE_CHECKING:
    from datasets import Dataset

Kind = Literal["classification", "generation", "segmentation", "detection", "regression"]
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

Batch: TypeAlias = Mapping[str, Tensor]
"""Named tensors whose first dimension is the sample, all on one device; a learner's `encode` decides the names."""


@dataclass(frozen=True, eq=False)
class Task:
    """One task of a stream; its data are read when a split is first asked for.

    The rows of a split have a column `sample_id` (unique in the stream) and the columns of their kind: `image` and
    `label` for the classification of pictures.

    Attributes:
        name: Unique in the stream.
        kind: What is asked of the model.
        metric: Name of the score in a row of the ledger, higher is better (`accuracy`).
        load: Reads one split.
        fingerprint: Says which rows a split has, without decoding them: equal texts mean equal samples.
        classes: Class names in the order of the labels; empty where the kind has no classes.
        templates: Prompts with one `{}` for the class name; training uses the first, testing the mean over all.
    """

    name: str
    kind: Kind
    metric: str
    load: Callable[[Split], "Dataset"]
    fingerprint: Callable[[Split], str]
    classes: tuple[str, ...] = ()
    templates: tuple[str, ...] = ("{}",)
