"""Facts of the task sets, known before they are read: repositories, splits, sizes, licences."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import Field

from clbench.core.cards import read_yaml
from clbench.core.config import Config, validate
from clbench.spec.task import Split

MuscleSetName = Literal["piqa", "hellaswag", "gsm8k", "samsum"]


class MuscleSetFacts(Config):
    """One data set; sizes are those of the published parts."""

    title: str
    folder: str = Field(description="Name of a copy of the repository below the root.")
    repo: str = Field(description="Repository on the hub.")
    config: str | None = Field(None, description="Configuration; absent where there is only one.")
    revision: str | None = Field(None, description="Commit; the newest one, which is recorded, when absent.")
    splits: dict[Split, str] = Field(description="Its names of the parts; `validation` is drawn from `train`.")
    columns: tuple[str, ...] = Field(description="Columns of prompts and answers.")
    train: int
    test: int
    source: str
    licence: str


class _Known(Config):
    """The data file."""

    piqa: MuscleSetFacts
    hellaswag: MuscleSetFacts
    gsm8k: MuscleSetFacts
    samsum: MuscleSetFacts


def facts_of(name: MuscleSetName) -> MuscleSetFacts:
    """The facts of a set."""
    found: MuscleSetFacts = getattr(_known(), name)
    return found


@cache
def _known() -> _Known:
    path = Path(str(files(__package__))) / "task_sets.yaml"
    return validate(_Known, read_yaml(path, "task sets"), "task sets task_sets.yaml")
