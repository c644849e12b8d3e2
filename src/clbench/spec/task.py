"""A task: data with a train, a validation and a test part, the name of its kind, and the metric that scores it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from pydantic import Field

from clbench.core.config import Config

if TYPE_CHECKING:
    from datasets import Dataset

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

CHOICE_METRICS = ("acc", "acc_norm")
"""Metrics of multiple choice: the answer has the highest log-likelihood, in `acc_norm` divided by its characters
(names of lm-evaluation-harness)."""


def choice_name(position: int) -> str:
    """Name of a choice in ledgers, by its position from 0; texts of choices are long, and two may be equal."""
    return f"choice {position + 1}"


class TextLimits(Config):
    """Largest lengths of texts, in tokens of the learner, including the marks of begin and end."""

    input_tokens: int = Field(512, ge=2, description="Number of tokens that inputs are cut to.")
    cut: Literal["end", "front"] = Field("end", description="Side of a longer input that is cut off.")
    answer_tokens: int = Field(50, ge=2, description="Largest number of tokens that are decoded for an answer.")


@dataclass(frozen=True, eq=False)
class Task:
    """One task of a stream; the data of a split are read at first use.

    The rows of a split have a column `sample_id` (unique in the stream) and the columns of the task's kind, which the
    kind's class in `clbench.kinds` names.

    Attributes:
        name: Name of the task, unique in the stream.
        kind: Kind of answer that the model must give: the name of a kind in `clbench.kinds`.
        metric: Name of the score in a row of the ledger; higher is better. `accuracy` for classes, a score of
            `clbench.scoring.text.answers` for texts, of `clbench.scoring.images` for images, one of `CHOICE_METRICS`
            for multiple choice.
        load: Reads one split.
        fingerprint: Identifies the rows of a split without decoding them: equal texts mean equal samples.
        classes: Class names in the order of the labels, in segmentation the background first; empty for kinds without
            classes.
        templates: Prompts for image classification with `{}` for the class name; training uses the first, testing the
            mean over all. Prompts of language models are part of their rows.
        limits: Lengths of texts; None for images.
        points: Number of keypoints in an image, for regression; 0 for regression of one value.
        boxes: Largest number of boxes in an image, for detection.
        value_range: Smallest and largest possible value, for regression of one value; scores are relative to its width.
        unit: Unit of that value.
        empty_masks: Whether a mask may hold background only, for segmentation (a breast without a lesion).
    """

    name: str
    kind: str
    metric: str
    load: Callable[[Split], "Dataset"]
    fingerprint: Callable[[Split], str]
    classes: tuple[str, ...] = ()
    templates: tuple[str, ...] = ("{}",)
    limits: TextLimits | None = None
    points: int = 0
    boxes: int = 1
    value_range: tuple[float, float] | None = None
    unit: str = ""
    empty_masks: bool = False
