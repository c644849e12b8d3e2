"""Finds the folder of a data set below the root, under each of the names that guides give it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from clbench.core.errors import DataError
from clbench.streams.image_files import entries
from clbench.streams.missing_data import MissingSetError


class Known(Protocol):
    """Names of the folders and files of a data set; see `ImageSetFacts` for their meaning."""

    @property
    def title(self) -> str: ...  # noqa: D102

    @property
    def folders(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def images(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def witness(self) -> str: ...  # noqa: D102

    @property
    def mistakes(self) -> Mapping[str, str]: ...  # noqa: D102


@dataclass(frozen=True)
class SetLocation:
    """Folders of a data set on disk.

    Attributes:
        folder: The set's own folder below the root.
        images: Folder of its images.
    """

    folder: Path
    images: Path

    def find(self, *names: str) -> Path:
        """The first of these files that exists: beside the images, among them, or in the set's folder.

        Raises:
            DataError: When there is none of them.
        """
        folders = [self.images, self.folder]
        if self.images != self.folder:  # else the parent is the root, where other sets have files of the same name
            folders.insert(0, self.images.parent)
        for name in names:
            for folder in folders:
                if (folder / name).exists():
                    return folder / name
        raise DataError(f"{self.folder}: {' or '.join(names)} is missing")


def locate_set(root: Path, facts: Known) -> SetLocation:
    """The set's folder and that of its images.

    Raises:
        MissingSetError: When no folder of its names is below the root.
        DataError: When there is one, but it lacks the images or holds something else.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder (wanted the folder of the data sets)")
    folders = existing_folders(root, facts)
    for folder in folders:
        for inside in facts.images:
            images = folder / inside
            if images.is_dir() and next(entries(images, facts.witness), None) is not None:
                return SetLocation(folder, images)
    for folder in folders:
        for pattern, explanation in facts.mistakes.items():
            for found in entries(folder, pattern):
                raise DataError(f"{found}: {explanation}")
    if not folders:
        raise MissingSetError(f"{root}: {facts.title} is missing (wanted a folder {' or '.join(facts.folders)})")
    wanted = " or ".join(facts.witness if inside == "." else inside for inside in facts.images)
    raise DataError(f"{folders[0]}: the images of {facts.title} are missing (wanted {wanted} in it)")


def existing_folders(root: Path, facts: Known) -> list[Path]:
    """The set's folders below the root, the usual name first; on disks that ignore case, each folder once."""
    found: list[Path] = []
    for name in facts.folders:
        folder = root / name
        if folder.is_dir() and not any(folder.samefile(other) for other in found):
            found.append(folder)
    return found


def unnested(folder: Path, name: str) -> str:
    """`cars_train/cars_train` for `cars_train` where an archive was unpacked into a folder of its own name."""
    return f"{name}/{name}" if name.strip(".") and (folder / name / name).is_dir() else name
