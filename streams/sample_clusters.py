"""Which test samples are not independent: those of one patient."""

from clbench.spec.task import Split
from clbench.streams.card import load_stream

COLUMN = "patient"
"""Column of a task's rows that names the cluster of a sample; empty where it is not known."""


def sample_clusters(stream: str, split: Split, root: str | None = None, seed: int = 0) -> dict[str, str]:
    """The patient of each sample of a part, by the sample's id.

    Args:
        stream: Registered name of the stream, or a card file.
        split: The part.
        root: Folder of the data sets, or `hub`, for streams without data of their own.
        seed: Seed of the stream's shots.

    Returns:
        Nothing for samples whose patient is not known, and for streams without patients.

    Raises:
        RegistryError: For an unknown stream.
        DataError: When data are missing.
    """
    found: dict[str, str] = {}
    for task in load_stream(stream, root, seed).tasks:
        rows = task.load(split)
        if COLUMN in rows.column_names:
            found |= {name: cluster for name, cluster in zip(rows["sample_id"], rows[COLUMN], strict=True) if cluster}
    return found
