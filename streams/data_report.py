"""The report of `clbench data check` on a data set, and the checks that all text streams share."""

from dataclasses import asdict, dataclass
from pathlib import Path

from clbench.core.cards import STREAM_CARDS
from clbench.core.errors import ConfigError, DataError
from clbench.streams.card import StreamCard, read_card


@dataclass(frozen=True)
class SetReport:
    """State of one data set on disk.

    Attributes:
        task: Name of the task in the stream.
        dataset: Name of the set.
        convention: Source of the split.
        folder: Folder of the set; None where it was not found.
        numbers: Found and published numbers of classes and of images of each part; None where not found or published.
        problems: Problems, one line each; empty when the set is complete.
        advice: How to solve them, one line each.
    """

    task: str
    dataset: str
    convention: str
    folder: str | None
    numbers: dict[str, tuple[int | None, int | None]]
    problems: tuple[str, ...]
    advice: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """The report as JSON values."""
        numbers = {key: {"found": found, "published": published} for key, (found, published) in self.numbers.items()}
        return {**asdict(self), "numbers": numbers}


def card_of_texts(stream: str, root: Path, images: bool) -> StreamCard:
    """The card of a text stream whose data sets are to be checked.

    Args:
        stream: Name of the stream, or the path of its card.
        root: Folder of the data sets.
        images: Whether images are to be decoded too, which texts do not have.

    Raises:
        ConfigError: When images are to be decoded.
        DataError: When there is no such root.
    """
    file = STREAM_CARDS.get(stream)
    card = read_card(file.values, file.path)
    if images:
        raise ConfigError(f"--images: stream {card.name!r} has texts and no images")
    if not root.is_dir():
        raise DataError(f"{root}: no such folder (wanted the folder of the data sets)")
    return card
