"""The layout that packaging relies on."""

from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("room", ["strategies", "streams", "benchmarks", "reports"])
def test_rooms_are_relative_links_to_the_top_level(room: str) -> None:
    link = ROOT / "src" / "clbench" / room
    assert link.is_symlink(), (
        f"{link} is a plain file: this checkout has no symbolic links (git config core.symlinks true)"
    )
    assert link.readlink() == Path("../..") / room


def test_the_installed_package_has_its_data() -> None:
    package = Path(str(files("clbench")))
    for pattern in (
        "benchmarks/suites/quick.yaml",
        "streams/clip_domains/clip_mini.yaml",
        "reports/leaderboard/*.j2",
        "learners/mini_clip/model.safetensors",
    ):
        assert list(package.glob(pattern)), pattern
    assert len(list(package.glob("streams/clip_domains/data/clip_mini/*/test.parquet"))) >= 6
