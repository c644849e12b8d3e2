"""The store of versions by itself: what comes back, what is dropped, what is damaged, who waits for whom."""

import json
import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor

from clbench.benchmarks.clock import Price
from clbench.benchmarks.engine.store_contents import clean
from clbench.benchmarks.engine.version_keys import VersionKey
from clbench.benchmarks.engine.version_store import StoredTest, StoredVersion, VersionStore
from clbench.core.errors import CheckpointError, ClbenchError
from clbench.core.storage import read_json
from clbench.spec.ledger import SCHEMA

MADE_OF = {"kind": "learn", "update": {"task": "one"}, "strategy": {"name": "finetune"}, "parent": "0" * 24}
KEY = VersionKey("a" * 24, MADE_OF)
VERSION = StoredVersion("digest", {"train/loss_last": 0.5}, Price(2.0, {"split": 0.25}), [[True, 3], None])
WEIGHTS = {"w": torch.arange(6.0).reshape(2, 3), "b": torch.ones(1, dtype=torch.bfloat16)}
STATES: dict[str, dict[str, object]] = {
    "learn": {"old": {"w": torch.zeros(3)}, "count": 2},
    "compress": {"bits": [4, 8]},
}


def saved(out: Path, fresh: bool = False) -> VersionStore:
    """A store with one version, which another store has written."""
    VersionStore(out).save(KEY, VERSION, WEIGHTS, STATES)
    return VersionStore(out, fresh)


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_a_version_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    assert VersionStore(tmp_path).find(KEY) is None
    assert VersionStore(tmp_path).load(KEY) is None
    store = saved(tmp_path)
    assert store.find(KEY) == VERSION
    loaded = store.load(KEY)
    assert loaded is not None
    weights, states = loaded
    assert same(weights, WEIGHTS)
    assert weights["b"].dtype == torch.bfloat16
    assert states["compress"] == STATES["compress"]
    assert states["learn"]["count"] == 2
    assert read_json(tmp_path / "versions" / KEY.digest / "version.json")["made_of"] == MADE_OF
    assert store.find(VersionKey("b" * 24, MADE_OF)) is None


def test_dropped_weights_leave_the_record_and_what_states_have_besides_tensors(tmp_path: Path) -> None:
    store = saved(tmp_path)
    assert store.drop_weights(KEY.digest)
    assert not store.drop_weights(KEY.digest)
    assert not store.has_weights(KEY)
    assert store.load(KEY) is None
    assert store.find(KEY) == VERSION
    assert not list(tmp_path.rglob("*.safetensors"))
    state = tmp_path / "versions" / KEY.digest / "strategy" / "compress" / "tree.json"
    assert json.loads(state.read_text()) == {"bits": [4, 8]}


def test_weights_that_are_used_are_not_dropped(tmp_path: Path) -> None:
    store = saved(tmp_path)
    with VersionStore(tmp_path).computing(KEY):
        assert not store.drop_weights(KEY.digest)
        assert clean(tmp_path, "weights") == clean(tmp_path, "unused") == 0
    assert store.has_weights(KEY)
    with VersionStore(tmp_path).testing("t"), store.unless_used("test-t") as free:
        assert not free
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors"))
    assert clean(tmp_path, "weights") == size
    assert not store.has_weights(KEY)


def test_a_second_one_waits_for_the_first(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with VersionStore(tmp_path).computing(KEY):
            order.append("second" if VersionStore(tmp_path).find(KEY) else "too early")

    waiting = threading.Thread(target=second)
    with VersionStore(tmp_path).computing(KEY):
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        order.append("first")
        saved(tmp_path)
    waiting.join(30)
    assert order == ["first", "second"]


def test_with_fresh_what_was_there_counts_once_it_is_renewed(tmp_path: Path) -> None:
    store = saved(tmp_path, fresh=True)
    assert store.find(KEY) is None
    assert not store.has_weights(KEY)
    other = StoredVersion("other", {}, Price())
    store.save(KEY, other, WEIGHTS, {"learn": {}})
    assert store.find(KEY) == other
    assert store.load(KEY) is not None
    VersionStore(tmp_path).save_test("t", StoredTest(SCHEMA.empty_table(), {}, Price()))
    assert store.find_test("t") is None
    store.save_test("t", StoredTest(SCHEMA.empty_table(), {"perplexity": 2.0}, Price(1.0)))
    found = store.find_test("t")
    assert found is not None
    assert (dict(found.probes), found.price) == ({"perplexity": 2.0}, Price(1.0))


def test_outputs_lie_beside_their_test(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    assert store.find_outputs("t", "forget-x") is None
    store.save_outputs("t", "forget-x", WEIGHTS)
    found = store.find_outputs("t", "forget-x")
    assert found is not None
    assert same(found, WEIGHTS)
    assert VersionStore(tmp_path, fresh=True).find_outputs("t", "forget-x") is None


@pytest.mark.parametrize(
    "content", ["{}", '{"numbers": 3, "weights": "x", "price": {}, "way": null}', '{"numbers": {}}']
)
def test_damaged_records_are_one_line(content: str, tmp_path: Path) -> None:
    store = saved(tmp_path)
    store.save_test("t", StoredTest(SCHEMA.empty_table(), {}, Price()))
    for path, what in (
        (tmp_path / "versions" / KEY.digest / "version.json", "version"),
        (tmp_path / "tests" / "t" / "test.json", "test"),
    ):
        path.write_text(content)
        way_out = f"remove the folder {path.parent.name}, and it is computed again"
        with pytest.raises(CheckpointError, match=f"^{path}: not the record of a {what}; {way_out}$"):
            store.find(KEY) if what == "version" else store.find_test("t")


def test_damaged_weights_are_one_line(tmp_path: Path) -> None:
    store = saved(tmp_path)
    (tmp_path / "versions" / KEY.digest / "weights.safetensors").write_bytes(b"cut")
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: cannot be read as safetensors"):
        store.load(KEY)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "versions").write_text("a file is in the way")
    with (
        pytest.raises(ClbenchError, match=r"versions/\.locks: cannot be written: Not a directory"),
        VersionStore(tmp_path).computing(KEY),
    ):
        raise AssertionError("not reached")
