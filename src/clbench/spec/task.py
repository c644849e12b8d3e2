"""A task: data with a train, a validation and a test part, a kind, and the metric that scores it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from pydantic import Field

from clbench.core.config import Config

if TYPE_CHECKING:
    from datasets import Dataset

Kind = Literal["classification", "generation", "segmentation", "detection", "regression"]
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

CHOICE_METRICS = ("acc", "acc_norm")
"""Which choice is the answer: the likeliest, or the likeliest a character (lm-evaluation-harness's names)."""


def choice_name(position: int) -> str:
    """What ledgers call a choice by its position from 0; its text is too long for a name, and may be there twice."""
    return f"choice {position + 1}"


class TextLimits(Config):
    """How much of a text counts, in tokens of the learner, marks of begin and end included."""

    input_tokens: int = Field(512, ge=2, description="Inputs are cut to so many tokens.")
    cut: Literal["end", "front"] = Field("end", description="Which part of a longer input is left out.")
    answer_tokens: int = Field(50, ge=2, description="Answers are decoded up to so many tokens.")


@dataclass(frozen=True, eq=False)
class Task:
    """One task of a stream; its data are read when a split is first asked for.

    The rows of a split have a column `sample_id` (unique in the stream) and the columns of their kind: `image` and
    `label` for the classification of images; `text` (the whole input, prompt included), `answer` (text) and, where
    answers are classes, `label` for language models; `image` and `mask` (class ids in one channel, as large as the
    image) for segmentation; `image` and `boxes` (`[[x_min, y_min, x_max, y_max], ...]`, at least one) for detection;
    `image` and `points` (`[[x, y], ...]`) or `value` for regression. Boxes and points are in pixels of the image as
    it is in the rows. Where every sample has choices of its own (multiple choice), there are `choices` (texts, as many
    in every row), `answer` is the right one and `label` its position; `classes` is empty.

    Attributes:
        name: Unique in the stream.
        kind: What is asked of the model.
        metric: Name of the score in a row of the ledger, higher is better (`accuracy`; for texts one of
            `clbench.scoring.text.answers`, for images one of `clbench.scoring.images`, for samples with choices of
            their own one of `CHOICE_METRICS`).
        load: Reads one split.
        fingerprint: Says which rows a split has, without decoding them: equal texts mean equal samples.
        classes: Class names in the order of the labels, in segmentation the background first; empty where the kind has
            no classes.
        templates: Prompts with one `{}` for the class name; training uses the first, testing the mean over all;
            prompts of language models are in their rows.
        limits: For texts; None for other kinds.
        points: Keypoints of an image, for regression; 0 where one value is asked for.
        boxes: Boxes of an image at most, for detection.
        value_range: For regression of one value: the least and the largest that there can be. Scores are relative to
            its width.
        unit: Of that value.
        empty_masks: For segmentation: whether there may be nothing but background (a breast without a lesion).
    """

    name: str
    kind: Kind
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
