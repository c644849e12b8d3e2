"""What `ls strategies` shows is what `clbench list strategies` shows, and strategies do not import one another."""

import ast
from pathlib import Path

import pytest
from typer.testing import CliRunner

import clbench.strategies
from clbench.cli.main import app
from clbench.core.registry import STRATEGIES, Registry
from clbench.strategies._parts.slots import REGISTRIES

FOLDER = Path(str(clbench.strategies.__path__[0]))
FILES = sorted(path for path in FOLDER.glob("*.py") if not path.name.startswith("_"))
SHARED = sorted(path for path in FOLDER.rglob("*.py") if path.parent.name.startswith("_"))


def registered(path: Path) -> list[str]:
    """Names that a file registers as strategies."""
    calls = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call))
    found = (call for call in calls if ast.unparse(call.func) == "STRATEGIES.register")
    return [ast.literal_eval(call.args[0]) for call in found]


def imported(path: Path) -> set[str]:
    """Modules that a file imports from, anywhere in it."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_registers_its_own_name_and_imports_no_other_strategy(path: Path) -> None:
    assert registered(path) == [path.stem.replace("_", "-")]
    assert not imported(path) & {f"clbench.strategies.{other.stem}" for other in FILES}


@pytest.mark.parametrize("path", SHARED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_shared_code_registers_nothing_and_imports_no_strategy(path: Path) -> None:
    assert not registered(path)
    assert not imported(path) & {f"clbench.strategies.{other.stem}" for other in FILES}


def test_the_folder_the_registry_and_the_command_line_list_the_same() -> None:
    listed = sorted(path.stem.replace("_", "-") for path in FILES)
    assert sorted(STRATEGIES.names()) == listed
    shown = CliRunner().invoke(app, ["list", "strategies"]).output
    assert sorted(line.split()[0] for line in shown.splitlines()[2:] if line.strip()) == listed  # below two of heading
    for name in listed:
        assert STRATEGIES.get(name).value.__module__ == f"clbench.strategies.{name.replace('-', '_')}"


def test_only_parts_and_folders_with_an_underscore_lie_beside_the_strategies() -> None:
    folders = {path.name for path in FOLDER.iterdir() if path.is_dir()}
    parts = {registry.package.rpartition(".")[2] for registry in REGISTRIES.values()}
    assert {name for name in folders if not name.startswith("_")} == parts


@pytest.mark.parametrize("registry", REGISTRIES.values(), ids=lambda registry: registry.kind)
def test_a_part_is_a_file_that_imports_no_other_part_and_no_strategy(registry: Registry[type]) -> None:
    folders = {other.package for other in REGISTRIES.values()}
    for listing in registry.listings():
        assert listing.origin is not None
        inside = imported(listing.origin)
        assert not any(name.startswith(f"{folder}.") for name in inside for folder in folders), listing.name
        assert not inside & {f"clbench.strategies.{other.stem}" for other in FILES}, listing.name
