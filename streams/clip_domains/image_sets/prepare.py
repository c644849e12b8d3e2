"""Prepares data sets below a root: unpacks archives, and downloads files that need no registration by a person."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clbench.core.errors import DataError
from clbench.spec.task import Split
from clbench.streams.clip_domains.image_sets.check_image_sets import WantedSet, advice_for, wanted_sets
from clbench.streams.clip_domains.image_sets.image_set_facts import Archive, ImageSetFacts, facts_of
from clbench.streams.clip_domains.image_sets.known_image_sets import open_set, part_of
from clbench.streams.clip_domains.image_sets.set_location import existing_folders, locate_set
from clbench.streams.clip_domains.image_sets.unpack import fetch, unpack

NEEDED: tuple[Split, ...] = ("train", "test")


@dataclass(frozen=True)
class Preparation:
    """The result of preparing one data set.

    Attributes:
        dataset: Name of the data set.
        ready: Whether its training and test part can be listed now.
        done: Files that were unpacked or downloaded, one line each.
        problems: Errors, and steps that are left to a person, one line each.
    """

    dataset: str
    ready: bool
    done: tuple[str, ...]
    problems: tuple[str, ...]


def prepare_stream(stream: str, root: Path) -> Iterator[Preparation]:
    """Prepare a stream's data sets one after another; a second call changes nothing.

    Nothing is written outside the root, and existing files are never overwritten. If a set fails, the others are still
    prepared.

    Raises:
        ConfigError: For a stream that has data of its own.
        DataError: When there is no such root.
    """
    wanted = wanted_sets(stream)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder (wanted the folder of the data sets)")
    for item in wanted:
        yield _prepare(root, item)


def _prepare(root: Path, wanted: WantedSet) -> Preparation:
    facts = facts_of(wanted.dataset)
    done: list[str] = []
    problems: list[str] = []
    for archive in facts.archives:
        if _trouble(root, wanted) is None:
            break
        try:
            done += _bring(root, facts, archive)
        except DataError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{root}: cannot be written: {error}")
    trouble = _trouble(root, wanted)
    if trouble is None:
        return Preparation(wanted.dataset, True, tuple(done), ())
    by_hand = [line for line in advice_for(root, facts, wanted.convention) if "`clbench data prepare`" not in line]
    return Preparation(wanted.dataset, False, tuple(done), (*problems, trouble, *by_hand))


def _trouble(root: Path, wanted: WantedSet) -> str | None:
    """The reason why a set cannot be used yet; None where it can."""
    try:
        found = open_set(root, wanted.dataset, wanted.convention)
        for split in NEEDED:
            part = part_of(found, wanted.dataset, wanted.convention, split)
            assert part.arrays is not None or part.sizes  # raises for missing images
    except DataError as error:
        return str(error)
    return None


def _bring(root: Path, facts: ImageSetFacts, archive: Archive) -> list[str]:
    """Unpack an archive that lies below the root, or download it first where that is possible."""
    folders = existing_folders(root, facts)
    home = _home(root, folders, archive)
    if archive.images and _has_images(root, facts):
        return []
    for folder in dict.fromkeys((*folders, home, root)):
        if (folder / archive.file).is_file():
            place = folder if folder in folders else home
            if all(_there(place / made) for made in archive.makes):
                return []
            unpack(folder / archive.file, archive, place)
            return [f"unpacked {folder / archive.file} to {place}"]
    if archive.url is None or all(_there(home / made) for made in archive.makes):
        return []
    fetch(archive.url, archive, home)
    if archive.makes != (archive.file,):
        unpack(home / archive.file, archive, home)
        (home / archive.file).unlink()
    return [f"downloaded {archive.url} to {home}"]


def _home(root: Path, folders: list[Path], archive: Archive) -> Path:
    """The folder for an archive that does not lie in the set's folder."""
    first, _, rest = archive.into.partition("/")
    return root if first == "." else (folders[0] if folders else root / first) / rest


def _has_images(root: Path, facts: ImageSetFacts) -> bool:
    try:
        locate_set(root, facts)
    except DataError:
        return False
    return True


def _there(path: Path) -> bool:
    """Whether a file is there, packed or unpacked."""
    return path.exists() or (path.suffix == ".gz" and path.with_suffix("").exists())
