"""What a model was shown: text or image of a sample, for whoever has the data."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

from clbench.reports.flips.comparison import Comparison
from clbench.reports.flips.flip_counts import Flip


@final
@dataclass(frozen=True)
class Content:
    """What a model was shown: a text, an image (PNG), or both."""

    text: str | None = None
    png: bytes | None = None


Contents = Mapping[tuple[str, str], Content]
"""By task and sample id; what is not known is not there."""


def with_texts(comparison: Comparison, contents: Contents) -> Comparison:
    """The comparison with the texts of its flips, where they are known."""
    return replace(comparison, worst=[_told(flip, contents) for flip in comparison.worst])


def _told(flip: Flip, contents: Contents) -> Flip:
    found = contents.get((flip.task, flip.sample_id))
    return flip if found is None or found.text is None else replace(flip, text=found.text)
