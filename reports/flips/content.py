"""The inputs behind flips: text or image of a sample, where the data are there."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

from clbench.reports.flips.comparison import Comparison
from clbench.reports.flips.flip_counts import Flip


@final
@dataclass(frozen=True)
class Content:
    """Input of a model: a text, an image (bytes of a PNG file), or both; None for what it does not have."""

    text: str | None = None
    png: bytes | None = None


Contents = Mapping[tuple[str, str], Content]
"""Inputs by task and sample id; samples whose input is not known are left out."""


def with_texts(comparison: Comparison, contents: Contents) -> Comparison:
    """The comparison with the texts of its worst flips, where they are known."""
    return replace(comparison, worst=[_with_text(flip, contents) for flip in comparison.worst])


def _with_text(flip: Flip, contents: Contents) -> Flip:
    found = contents.get((flip.task, flip.sample_id))
    return flip if found is None or found.text is None else replace(flip, text=found.text)
