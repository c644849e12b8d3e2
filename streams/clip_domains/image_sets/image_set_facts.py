"""Facts of a data set, known before it is read: folder names, sizes, class names, prompts, download addresses."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import Field

from clbench.core.cards import read_yaml
from clbench.core.config import Config, validate
from clbench.spec.task import Split

Convention = Literal["coop", "task-arithmetic", "torchvision"]
"""Source of a split: `torchvision`, as in MTIL (Zheng et al. 2023), `coop` (Zhou et al. 2022), as in X-TAIL, or
`task-arithmetic` (Ilharco et al. 2023), as in TA8."""

ImageSetName = Literal[
    "aircraft",
    "caltech101",
    "cifar100",
    "dtd",
    "eurosat",
    "food101",
    "gtsrb",
    "mnist",
    "oxford_flowers",
    "oxford_pets",
    "resisc45",
    "stanford_cars",
    "sun397",
    "svhn",
]


class Sizes(Config):
    """The published numbers of one convention; a part that the convention lacks is absent."""

    classes: int
    train: int
    validation: int | None = None
    test: int


class Archive(Config):
    """A file that is downloaded, and its contents."""

    file: str = Field(description="Name of the file.")
    into: str = Field(description="Folder below the root where it is unpacked, unless it lies in the set's own folder.")
    makes: tuple[str, ...] = Field(min_length=1, description="Its contents, relative to that folder.")
    images: bool = Field(False, description="Whether it holds the set's images.")
    url: str | None = Field(None, description="Where it can be downloaded; absent where there is no such place.")
    md5: str | None = None


class HubCopy(Config):
    """A copy on the Hugging Face hub."""

    repo: str
    config: str | None = None
    revision: str | None = Field(None, description="A commit; the newest is looked up when absent.")
    image: str = "image"
    label: str = "label"
    splits: dict[Split, str]
    note: str = Field("", description="How its split differs from the published ones.")


class ImageSetFacts(Config):
    """One data set."""

    title: str
    folders: tuple[str, ...] = Field(min_length=1, description="Names of its folder in guides and loaders.")
    images: tuple[str, ...] = Field(min_length=1, description="Where its images may lie in that folder.")
    witness: str = Field("*", description="Glob of what the folder of images must hold.")
    mistakes: dict[str, str] = Field({}, description="Glob of what people put there by mistake, and what it is.")
    split: str | None = Field(None, description="CoOp's split file.")
    split_url: str | None = None
    expected: dict[Convention, Sizes]
    templates: dict[Convention, tuple[str, ...]]
    classes: dict[str, str] = Field({}, description="Class as the data call it, and its name in prompts, by label.")
    archives: tuple[Archive, ...] = ()
    by_hand: str = Field("", description="Files that a person must fetch.")
    hub: HubCopy | None = None
    licence: str
    source: str
    citation: str


@cache
def facts_of(name: str) -> ImageSetFacts:
    """The data file of a set."""
    path = Path(str(files(__package__))) / "datasets" / f"{name}.yaml"
    return validate(ImageSetFacts, read_yaml(path, "data set"), f"data set {path.name}")
