"""What systems hide beside files is no image, in no set; and one module alone walks folders."""

import ast
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.streams.conftest import torchvision_root
from tests.streams.fmc_root import fmc_root
from tests.streams.ultrasound_roots import WRITERS

from clbench import streams
from clbench.core.errors import DataError
from clbench.spec.task import SPLITS
from clbench.streams.card import load_stream
from clbench.streams.clip_domains.image_sets.known_image_sets import OWN_READERS, open_set, part_of
from clbench.streams.image_files import entries, files_below, is_companion
from clbench.streams.ultrasound.sets.known_ultrasound_sets import SETS, open_task

APPLE_DOUBLE = bytes.fromhex("00051607000200004d6163204f532058")
"""How the files begin that macOS leaves beside others on exFAT."""
HIDDEN = (".DS_Store", "Thumbs.db", "desktop.ini", "._.DS_Store")
WALKERS = {"glob", "rglob", "iglob", "iterdir", "walk", "fwalk", "scandir", "listdir"}
STREAMS = Path(streams.__path__[0])
LOADERS = [
    path
    for path in sorted(STREAMS.rglob("*.py"))
    if not any(part.startswith("build_") for part in path.parts) and path.name != "image_files.py"
]


def hide(root: Path) -> int:
    """Companions beside every file and folder, as macOS and Windows leave them; how many."""
    here = sorted(path for path in root.rglob("*"))
    for path in here:
        path.with_name(f"._{path.name}").write_bytes(APPLE_DOUBLE)
    for folder in [root, *(path for path in here if path.is_dir())]:
        for name in HIDDEN:
            (folder / name).write_bytes(APPLE_DOUBLE)
        (folder / "__MACOSX").mkdir()
        for path in list(folder.iterdir()):
            if path.is_file() and not is_companion(path.name):
                (folder / "__MACOSX" / path.name).write_bytes(path.read_bytes())
                (folder / "__MACOSX" / f"._{path.name}").write_bytes(APPLE_DOUBLE)
    return len(here)


@pytest.mark.parametrize("path", LOADERS, ids=lambda path: str(path.relative_to(STREAMS)))
def test_nobody_else_walks_a_folder(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        assert name not in WALKERS, f"line {getattr(node, 'lineno', '?')}: {name} (wanted clbench.streams.image_files)"


@pytest.mark.parametrize("path", [path for path in LOADERS if "simulator" not in path.parts], ids=str)
def test_nobody_else_opens_an_image(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr == "open" and isinstance(node.value, ast.Name):
            assert node.value.id != "Image", f"line {node.lineno}: wanted clbench.core.image_reading"


def clip_parts(root: Path, name: str) -> dict[str, Any]:
    found = open_set(root, name, "torchvision")
    found_parts: dict[str, Any] = {"classes": found.classes}
    for split in found.parts:
        part = part_of(found, name, "torchvision", split)
        found_parts[split] = (part.names, part.labels.tolist(), part.digest())
    return found_parts


def test_the_splits_of_clip_sets_are_the_same_beside_companions(tmp_path: Path) -> None:
    torchvision_root(tmp_path)
    before = {name: clip_parts(tmp_path, name) for name in OWN_READERS}
    assert hide(tmp_path) > 100
    for name in OWN_READERS:
        assert clip_parts(tmp_path, name) == before[name], name


@pytest.mark.parametrize("name", sorted(SETS))
def test_an_ultrasound_set_is_the_same_beside_companions(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path)

    def parts() -> dict[str, Any]:
        found: dict[str, Any] = {}
        for task in SETS[name].tasks:
            rows = open_task(tmp_path, name, name, task)
            for split in SPLITS:
                found[f"{task}/{split}"] = (
                    [(row.name, row.patient) for row in rows.parts[split]],
                    rows.fingerprint(split),
                )
        return found

    before = parts()
    assert hide(tmp_path) > 2
    assert parts() == before


def test_fmc_uia_is_the_same_beside_companions(tmp_path: Path) -> None:
    root = fmc_root(tmp_path, each=3)
    before = [[task.fingerprint(split) for split in SPLITS] for task in load_stream(root.card, str(tmp_path)).tasks]
    hide(tmp_path)
    after = [[task.fingerprint(split) for split in SPLITS] for task in load_stream(root.card, str(tmp_path)).tasks]
    assert before == after


NAMES = st.sampled_from(["a.jpg", "b.jpg", "c.png", "._a.jpg", ".DS_Store", "Thumbs.db", "THUMBS.DB", ".jpg", "x"])
FOLDERS = st.sampled_from(["", "one/", "two/", "one/deep/", "__MACOSX/", "one/__macosx/", ".hidden/", "@eaDir/"])


@settings(max_examples=150, deadline=None)
@given(st.sets(st.tuples(FOLDERS, NAMES), max_size=12))
def test_what_is_listed(tmp_path_factory: pytest.TempPathFactory, files: set[tuple[str, str]]) -> None:
    folder = tmp_path_factory.mktemp("listed")
    for inside, name in files:
        (folder / inside).mkdir(parents=True, exist_ok=True)
        (folder / inside / name).touch()
    seen = {f"{inside}{name}" for inside, name in files if inside in ("", "one/", "two/", "one/deep/")}
    seen = {path for path in seen if path.rpartition("/")[2] in ("a.jpg", "b.jpg", "c.png", "x")}
    assert files_below(folder) == sorted(seen)
    assert [path.name for path in entries(folder, "*.jpg")] == sorted(
        path for path in seen if "/" not in path and path.endswith(".jpg")
    )
    one_deep = [path.relative_to(folder).as_posix() for path in entries(folder, "[a-z]*/*.jpg")]
    assert one_deep == sorted(path for path in seen if path.count("/") == 1 and path.endswith(".jpg"))


def test_a_folder_that_is_not_there_or_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(entries(tmp_path / "none")) == []

    def refuse(folder: object) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.listdir", refuse)
    with pytest.raises(DataError, match="cannot be read: Permission denied"):
        list(entries(tmp_path))
