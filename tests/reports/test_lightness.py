"""The room is light to import, and reads nothing of the others but the core."""

import ast
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

ROOM = Path(str(files("clbench.reports")))
MODULES = sorted(ROOM.rglob("*.py"))
ALLOWED = (
    "clbench.core.",
    "clbench.spec.",
    "clbench.kinds.",
    "clbench.reports.",
    "clbench.scoring.images.box_overlap.",
)


def imports(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOM)))
def test_only_the_core_and_this_room_are_imported(path: Path) -> None:
    own = {name for name in imports(path) if name.partition(".")[0] == "clbench"}
    assert not {name for name in own if name != "clbench" and not f"{name}.".startswith(ALLOWED)}
    assert not {name for name in imports(path) if name.partition(".")[0] == "torch"}


def test_importing_the_leaderboard_loads_no_heavy_library() -> None:
    code = "import sys, clbench.reports.site.site_writer; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"torch", "mlflow", "matplotlib", "jinja2", "pandas", "avalanche"} & set(loaded)


def test_a_comparison_loads_only_what_it_needs() -> None:
    code = "import sys, clbench.reports.flips.comparison_json, clbench.reports.flips.inputs; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"torch", "mlflow", "pandas", "scipy", "statsmodels", "jinja2", "avalanche"} & set(loaded)
