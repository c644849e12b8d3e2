"""Facts of published text data sets, known before they are read: layout, sizes, labels, instructions, licences."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import Field

from clbench.core.cards import read_yaml
from clbench.core.config import Config, validate
from clbench.spec.task import Split

CollectionName = Literal["cl-benchmark", "trace"]
"""Source of the files: O-LoRA's CL_Benchmark (Wang et al. 2023a) or TRACE (Wang et al. 2023b)."""


class TextSetFacts(Config):
    """One data set; sizes are those of the published files."""

    title: str
    group: str = Field("", description="Folder that the set's own folder is in; prompts name it too.")
    labels: tuple[str, ...] = Field((), description="All answers, in the order of prompts; empty where they are free.")
    train: int
    validation: int | None = Field(None, description="Absent where there is no such file.")
    test: int
    source: str
    licence: str


class Collection(Config):
    """Data sets that were published together, in one layout."""

    title: str
    folders: tuple[str, ...] = Field(description="Where it may lie below the root; the root itself when none is there.")
    files: dict[Split, str] = Field(description="Without `validation`, that part is drawn from the training rows.")
    text: str = Field(description="Key of a row's input.")
    answer: str = Field(description="Key of a row's answer.")
    unlabelled: str | None = Field(None, description="The answer of rows that have none; they are left out.")
    instructions: dict[str, str] = Field(
        {}, description="Instruction by group; inputs are whole prompts already where the group is absent."
    )
    get_it: str = Field(description="Where to get the data.")
    sets: dict[str, TextSetFacts]

    def instruction(self, dataset: str) -> str | None:
        """The instruction of a set, empty if its prompts have none; None where inputs are whole prompts."""
        return self.instructions.get(self.sets[dataset].group)


@cache
def collection(name: CollectionName) -> Collection:
    """The data file of a collection."""
    path = Path(str(files(__package__))) / f"{name.replace('-', '_')}.yaml"
    return validate(Collection, read_yaml(path, "text sets"), f"text sets {path.name}")
