"""What `clbench data check` says of a data set, and what it asks of all streams of texts before it looks."""

from dataclasses import asdict, dataclass
from pathlib import Path

from clbench.core.cards import STREAM_CARDS
from clbench.core.errors import ConfigError, DataError
from clbench.streams.card import StreamCard, read_card


@dataclass(frozen=True)
class SetReport:
    """What was found of one data set.

    Attributes:
        task: Name in the stream.
        dataset: Name of the set.
        convention: Whose split.
        folder: Where it was found; None where it was not.
        numbers: Found and published numbers of classes and of images of each part; None where not found or published.
        problems: One line each; empty when the set is complete.
        advice: How to mend them, one line each.
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
    """The card of a stream of texts whose data sets are to be looked for.

    Args:
        stream: Its name, or the path of its card.
        root: Folder of the data sets.
        images: Whether images are to be decoded too.

    Raises:
        ConfigError: When they are: texts have none.
        DataError: When there is no such root.
    """
    file = STREAM_CARDS.get(stream)
    card = read_card(file.values, file.path)
    if images:
        raise ConfigError(f"--images: stream {card.name!r} has texts and no images")
    if not root.is_dir():
        raise DataError(f"{root}: no such folder (wanted the folder of the data sets)")
    return card
