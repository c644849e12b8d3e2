"""The one reader of YAML: what `yaml.safe_load` says, or a line that names the key that is there twice."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from clbench.benchmarks.engine.suite import load_suite
from clbench.benchmarks.tuning.assignments import parse_grids
from clbench.benchmarks.tuning.tuned_record import read_tuned
from clbench.core.cards import read_yaml
from clbench.core.config import parse_overrides
from clbench.core.errors import ClbenchError, ConfigError, RegistryError
from clbench.core.storage import read_json
from clbench.core.strict_json import parse_json
from clbench.core.yaml_text import parse_yaml, require_unique_keys
from clbench.streams.card import load_stream

ROOT = Path(__file__).parents[2]
KEYS = ("a", "b", "'a'", '"b"', "1", "0x1", "1.0", "true", "yes", "null", "~", "2026-01-02", "c d")
"""Several of them are one key to Python: `a` and `'a'`, `1`, `0x1`, `1.0` and `true`, `null` and `~`."""
SCALARS = st.sampled_from(["1", "x", "'y: z'", "[]", "{}", "null", "1e-3", "-5"])


class Pairs(list[tuple[str, object]]):
    """A mapping as it is written."""


TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(st.tuples(st.sampled_from(KEYS), inner), min_size=1, max_size=3).map(Pairs)
    ),
    max_leaves=12,
)


def written(tree: object, flow: bool, indent: int = 0) -> str:
    """The tree as YAML: in braces and brackets, or in lines."""
    pad = " " * indent
    if isinstance(tree, str):
        return tree
    if isinstance(tree, Pairs):
        if flow:
            return "{" + ", ".join(f"{key} : {written(value, flow)}" for key, value in tree) + "}"
        return "".join(f"\n{pad}{key}: {written(value, flow, indent + 2)}" for key, value in tree)
    assert isinstance(tree, list)
    if flow or not tree:
        return "[" + ", ".join(written(item, flow) for item in tree) + "]"
    return "".join(f"\n{pad}- {written(item, flow, indent + 2)}" for item in tree)


def has_a_key_twice(tree: object) -> bool:
    """By the keys as Python has them, one by one."""
    if isinstance(tree, Pairs):
        keys = [yaml.safe_load(key) for key, _ in tree]
        return len(set(keys)) < len(keys) or any(has_a_key_twice(value) for _, value in tree)
    return isinstance(tree, list) and any(map(has_a_key_twice, tree))


@settings(deadline=None, max_examples=400)
@given(tree=TREES, flow=st.booleans())
def test_it_is_pyyaml_but_for_keys_that_are_there_twice(tree: object, flow: bool) -> None:
    text = written(tree, flow)
    if has_a_key_twice(tree):
        with pytest.raises(ConfigError, match=r"key .* is there twice, in lines? \d+"):
            parse_yaml(text)
        with pytest.raises(ConfigError, match="is there twice"):
            require_unique_keys(text)
    else:
        assert repr(parse_yaml(text)) == repr(yaml.safe_load(text))
        require_unique_keys(text)


@settings(deadline=None, max_examples=200)
@given(text=st.text("ab1:{}[],-&*<! \n'\"#?|", max_size=30))
def test_any_text_is_what_pyyaml_makes_of_it_or_one_line(text: str) -> None:
    try:
        found = parse_yaml(text)
    except ConfigError as error:
        told = str(error)
    else:
        told = "as PyYAML" if repr(found) == repr(yaml.safe_load(text)) else ""
    assert told
    assert "\n" not in told


def test_both_lines_are_named() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml("streams: [a]\nseeds: [0]\nbudget:\n  steps: 1\nseeds: [1]\n")
    assert str(caught.value) == "key 'seeds' is there twice, in lines 2 and 5"
    with pytest.raises(ConfigError) as caught:
        parse_yaml("strategies:\n- {name: lora, rank: 2, rank: 4}")
    assert str(caught.value) == "key 'rank' is there twice, in line 2"


def test_anchors_and_merges_work_and_merged_keys_may_be_set_again() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [*a, {z: 4}]}\nd: *a\ne: &e {k: {<<: *a, <: 5}, self: *e}"
    assert repr(parse_yaml(text)) == repr(yaml.safe_load(text))
    assert parse_yaml(text)["b"] == {"x": 1, "y": 3}


def test_two_merges_in_one_mapping_are_a_key_twice_and_the_text_of_one_is_a_key() -> None:
    with pytest.raises(ConfigError, match="key '<<' is there twice, in line 3"):
        parse_yaml("a: &a {x: 1}\nb: &b {x: 2}\nc: {<<: *a, <<: *b}")
    assert parse_yaml("a: &a {x: 1}\nc: {<<: *a, '<<': 2}")["c"] == {"x": 1, "<<": 2}


UNREADABLE = ("[1]: a", "{a: 1}: b", "2026-13-45", "0x_", "&a {*a : 1}", "? &a [*a]\n: 1", "a: !foo 1", "\0", "a: [")


@pytest.mark.parametrize("text", [*UNREADABLE, "[" * 3000])
def test_what_pyyaml_cannot_read_is_one_line(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)


def test_tags_of_others_do_not_matter_where_only_keys_are_checked() -> None:
    require_unique_keys("task: x\nprocess_docs: !function utils.process\n")
    with pytest.raises(ConfigError, match="key 'task' is there twice, in lines 1 and 3"):
        require_unique_keys("task: x\nprocess_docs: !function utils.process\ntask: y\n")


SUITE = "streams: [clip-mini]\nstrategies: [zero-shot]\nseeds: [0]\n"


@pytest.mark.parametrize("read", [load_suite, load_stream, read_tuned])
def test_a_file_says_its_name_and_both_lines(read: object, tmp_path: Path) -> None:
    assert callable(read)
    (tmp_path / "s.yaml").write_text(SUITE + "seeds: [0, 1, 2]\n")
    with pytest.raises(RegistryError, match=r"s\.yaml is not sound YAML: key 'seeds' is there twice, in lines 3 and 4"):
        read(str(tmp_path / "s.yaml"))


def test_names_of_settings_are_texts(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SUITE + "no: 1\n")
    with pytest.raises(RegistryError, match="wanted names of settings, got the key False"):
        read_yaml(tmp_path / "s.yaml", "suite")


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["peft.settings={r: 1, r: 2}"], "key 'r' is there twice, in line 1"),
        (["budget.steps=3", "lora.rank=1", "budget.steps=3"], "--set budget.steps: given twice"),
        (["lora.rank=2026-13-45"], "is not a value"),
    ],
)
def test_settings_of_the_command_line_are_read_alike(items: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_overrides(items)
    if "given twice" not in message:
        with pytest.raises(ConfigError, match="is not a list of values"):
            parse_grids(items)


def test_an_object_of_json_may_have_no_key_twice_either(tmp_path: Path) -> None:
    assert parse_json('{"a": [{"b": 1}, {"b": 2}]}') == {"a": [{"b": 1}, {"b": 2}]}
    (tmp_path / "r.json").write_text('{"a": [{"b": 1, "c": 2, "b": 1}]}')
    with pytest.raises(ClbenchError, match=r"r\.json: cannot be read as JSON: key 'b' is there twice in one object"):
        read_json(tmp_path / "r.json")


def test_no_other_module_loads_yaml() -> None:
    """Another call of PyYAML's loaders would let the later of two keys win again."""
    loads = re.compile(r"\byaml\.\w*(load|Loader|compose|parse|scan)|from yaml\b|import_module\(.yaml")
    rooms = ("src/clbench", "benchmarks", "reports", "strategies", "streams")
    sources = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    found = {path.name for path in sources if loads.search(path.read_text(encoding="utf-8"))}
    assert len(sources) > 200
    assert found == {"yaml_text.py"}
