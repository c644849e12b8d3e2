"""The layout that packaging, registries and readers rely on."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from clbench.core.registry import (
    EDITS,
    IMAGE_METRICS,
    LEARNERS,
    LOADERS,
    MEMORIES,
    METRICS,
    OPTIMIZERS,
    PENALTIES,
    SELECTORS,
    STRATEGIES,
    Registry,
)
from clbench.kinds import TASK_KINDS

ROOT = Path(__file__).parents[1]
PACKAGE = Path(str(files("clbench")))
ROOMS = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file())
PARTS = (OPTIMIZERS, SELECTORS, MEMORIES, PENALTIES, EDITS)
REGISTRIES: tuple[Registry[Any], ...] = (STRATEGIES, LEARNERS, LOADERS, METRICS, IMAGE_METRICS, TASK_KINDS, *PARTS)
PARTS_FOLDERS = {registry.package.rpartition(".")[2] for registry in PARTS}
"""Each is a room of its own: the memory `random` and the selector `random` are files of one name."""


@pytest.mark.parametrize("room", ["strategies", "streams", "benchmarks", "reports"])
def test_rooms_are_relative_links_to_the_top_level(room: str) -> None:
    link = ROOT / "src" / "clbench" / room
    assert link.is_symlink(), (
        f"{link} is a plain file: this checkout has no symbolic links (git config core.symlinks true)"
    )
    assert link.readlink() == Path("../..") / room


def test_the_installed_package_has_its_data() -> None:
    for pattern in (
        "benchmarks/suites/quick.yaml",
        "streams/clip_domains/clip_mini.yaml",
        "reports/site/*.j2",
        "reports/site/*.css",
        "reports/site/*.js",
        "reports/leaderboard/published/*.yaml",
        "learners/mini_clip/model.safetensors",
    ):
        assert list(PACKAGE.glob(pattern)), pattern
    assert len(list(PACKAGE.glob("streams/clip_domains/data/clip_mini/*/test.parquet"))) >= 6


@pytest.mark.parametrize("room", ROOMS)
def test_no_two_modules_of_a_room_have_one_name(room: str) -> None:
    paths: dict[str, list[str]] = {}
    for path in (PACKAGE / room).rglob("*.py"):
        if path.stem != "__init__" and path.parent.name not in PARTS_FOLDERS:
            paths.setdefault(path.stem, []).append(str(path.relative_to(PACKAGE)))
    assert not {name: found for name, found in paths.items() if len(found) > 1}


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.kind)
def test_every_file_beside_a_registrys_components_is_one(registry: Registry[Any]) -> None:
    """Helpers beside components have a leading underscore; a component that is a package is named `mini_*`."""
    folder = Path(str(files(registry.package)))
    names = {path.stem for path in folder.glob("*.py")} | {
        path.parent.name for path in folder.glob("mini_*/__init__.py")
    }
    wanted = {name for name in names if not name.startswith("_")}
    assert wanted == {name.partition(".")[0].replace("-", "_") for name in registry.names()}
