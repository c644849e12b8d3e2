"""Registries: one file, one name, loud failures."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.contracts import Strategy, StrategyConfig
from clbench.core.errors import RegistryError, did_you_mean
from clbench.core.registry import LEARNERS, STRATEGIES, Registry
from clbench.core.sources import source_files

SOURCE = '''"""A strategy of somebody else."""
from clbench.contracts import Strategy, StrategyConfig
from clbench.core.registry import STRATEGIES

@STRATEGIES.register("{name}", config=StrategyConfig)
class Mine(Strategy[StrategyConfig]):
    """Does nothing of note."""
    def learn(self, task):
        pass
'''


def fresh() -> Registry[type]:
    """A registry of strategies that forgets what tests add."""
    return Registry("strategy", "clbench.strategies", "STRATEGIES", exported=True)


def test_every_strategy_is_registered_under_the_name_of_its_file_with_a_config() -> None:
    for listing in fresh().listings():  # without what other tests have added
        component = STRATEGIES.get(listing.name)
        assert listing.description
        assert issubclass(component.value, Strategy)
        assert component.config is not None
        assert issubclass(component.config, StrategyConfig)
        assert all(field.description for field in component.config.model_fields.values()), listing.name


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(RegistryError, match=r"unknown strategy 'finetun': did you mean 'finetune'\?"):
        STRATEGIES.get("finetun")
    assert did_you_mean("zzz", ["b", "a"]) == "known: a, b"
    assert did_you_mean("zzz", []) == "none are registered"
    assert did_you_mean("VIT-b_16", ["ViT-B-16", "RN50"]) == "did you mean 'ViT-B-16'?"
    assert did_you_mean("vit_16", ["vit_16_a", "vit_16_b", "x"]) == "did you mean 'vit_16_b' or 'vit_16_a'?"


@given(st.text(max_size=30), st.sets(st.text("abcdef-_", min_size=1, max_size=20), max_size=200))
def test_five_names_are_offered_at_most(name: str, known: set[str]) -> None:
    hint = did_you_mean(name, known)
    offered = re.findall(r"'([^']*)'", hint) or hint.rpartition(": ")[2].split(", ")
    assert 1 <= len(offered) <= 5
    assert set(offered) <= known or hint == "none are registered"
    assert len(known) > 5 or "did you mean" in hint or set(offered) == known or not known


def test_a_file_is_a_component(tmp_path: Path) -> None:
    path = tmp_path / "my_strategy.py"
    path.write_text(SOURCE.format(name="my-strategy"))
    registry = fresh()
    assert registry.listing(str(path)).description == "Does nothing of note."
    assert STRATEGIES.get(str(path)).name == "my-strategy"
    assert "my-strategy" in STRATEGIES.names()


@pytest.mark.parametrize(
    ("imports", "decorator"),
    [
        ("from clbench import register", "register"),
        ("from clbench import register as strategy", "strategy"),
        ("import clbench", "clbench.register"),
        ("import clbench as cl", "cl.register"),
        ("from clbench.core.registry import register", "register"),
    ],
)
def test_the_exported_decorator_registers_a_strategy(tmp_path: Path, imports: str, decorator: str) -> None:
    path = tmp_path / "short.py"
    source = SOURCE.format(name="short").replace("@STRATEGIES.register", f"@{decorator}")
    path.write_text(source.replace("from clbench.core.registry import STRATEGIES", imports))
    assert STRATEGIES.get(str(path)).config is StrategyConfig
    with pytest.raises(RegistryError, match=r"registers no learner .*decorated by @LEARNERS\.register"):
        LEARNERS.listing(str(path))


def test_another_decorator_of_that_name_registers_nothing(tmp_path: Path) -> None:
    path = tmp_path / "atexit_user.py"
    path.write_text("from atexit import register\n@register('atexit-user')\ndef bye():\n    pass\n")
    with pytest.raises(RegistryError, match=r"wanted a class or function decorated by @register or @STRATEGIES"):
        fresh().listing(str(path))


def test_the_digest_of_a_strategy_covers_what_clbench_exports(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("from clbench import GradientStrategy\n")
    covered = source_files(path, "clbench")
    assert any(file.name == "gradient.py" for file in covered)
    assert any(file.name == "learner.py" for file in covered)


def test_a_file_under_another_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.py"
    path.write_text(SOURCE.format(name="something"))
    with pytest.raises(RegistryError, match=r"the file must be named something\.py"):
        STRATEGIES.get(str(path))


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lora.py"
    path.write_text(SOURCE.format(name="lora"))
    registry = fresh()
    registry.add_file(path)
    with pytest.raises(RegistryError, match=r"'lora' is registered twice: by clbench.strategies.lora and by .*lora.py"):
        registry.names()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = (", "is not Python"),
        ("x = 1", "registers no strategy"),
        (SOURCE.format(name="defective").replace("from clbench.contracts", "from clbench.nowhere"), "does not import"),
    ],
)
def test_a_broken_file_is_loud(tmp_path: Path, source: str, message: str) -> None:
    path = tmp_path / "defective.py"
    path.write_text(source)
    with pytest.raises(RegistryError, match=message):
        STRATEGIES.get(str(path))


def test_a_missing_file_is_loud(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="no such file"):
        fresh().listing(str(tmp_path / "absent.py"))


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    registry = fresh()
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "twin.py").write_text(SOURCE.format(name="twin"))
    registry.add_file(tmp_path / "a" / "twin.py")
    registry.add_file(tmp_path / "a" / "twin.py")  # the same file again is fine
    with pytest.raises(RegistryError, match=r"'twin' is registered twice: by .*a/twin\.py and by .*b/twin\.py"):
        registry.add_file(tmp_path / "b" / "twin.py")


def installed(site: Path, value: str, sources: dict[str, str]) -> None:
    """A package of somebody else in a folder: its entry point and its files."""
    for name, source in sources.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(source)
    metadata = site / "somebody-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: somebody\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[clbench.strategies]\nmine = {value}\n")


def test_listing_an_entry_point_imports_none_of_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    source = SOURCE.format(name="mine")
    broken = {"far/__init__.py": "raise SystemExit('not today')", "far/off/__init__.py": "", "far/off/mine.py": source}
    installed(tmp_path, "far.off.mine:Mine", broken)
    registry = fresh()
    assert registry.listing("mine").source == "far.off.mine (entry point)"
    with pytest.raises(RegistryError, match=r"'mine': far.off.mine \(entry point\) does not import: SystemExit: not"):
        registry.get("mine")


@pytest.mark.parametrize(
    ("value", "source", "message"),
    [
        ("nowhere", "", "there is no Python file of a module 'nowhere'"),
        ("whole.nowhere", "", "there is no Python file of a module 'whole.nowhere'"),
        ("", "", "there is no Python file of a module ''"),
        ("..", "", r"there is no Python file of a module '\.\.'"),
        ("whole", "x = 1", "whole registers no strategy of that name"),
        ("whole", "x = (", "is not Python: '\\(' was never closed"),
        ("whole", "x = '\0'", "is not Python"),
    ],
)
def test_a_broken_entry_point_is_named_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, source: str, message: str
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    installed(tmp_path, value, {"whole.py": source})
    with pytest.raises(RegistryError, match=message) as caught:
        fresh().names()
    assert str(caught.value).startswith(f"entry point 'mine' ({value}) of package somebody: ")
    assert "\n" not in str(caught.value)
