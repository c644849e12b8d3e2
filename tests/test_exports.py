"""What `from clbench import ...` gives, and what `import clbench` costs."""

import json
import subprocess
import sys

import pytest

import clbench

HEAVY = ("numpy", "pandas", "pyarrow", "pydantic", "torch", "yaml")


def in_a_process(code: str) -> set[str]:
    """The top-level modules that are there after some code has run."""
    code += "; import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_clbench_is_light() -> None:
    loaded = in_a_process("import clbench; dir(clbench); clbench.__version__")
    assert "clbench" in loaded
    assert not loaded & set(HEAVY)


def test_the_decorator_is_light() -> None:
    assert not in_a_process("from clbench import register") & set(HEAVY)


@pytest.mark.parametrize("name", clbench.__all__)
def test_every_exported_name_is_there(name: str) -> None:
    assert getattr(clbench, name).__module__.startswith("clbench.") or name == "Batch"  # an alias of Mapping
    assert name in dir(clbench)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'clbench' has no attribute 'Strategie'"):
        _ = clbench.Strategie  # type: ignore[attr-defined]
