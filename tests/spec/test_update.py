"""Updates as values: how cards write them, their names, parents and paths."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.core.errors import ConfigError
from clbench.spec.update import (
    Adopt,
    Compress,
    Forget,
    Learn,
    Update,
    check_updates,
    parents_of,
    parse_update,
    path_to,
    update_as_json,
)

LIFE: tuple[Update, ...] = (
    Learn(task="a"),
    Learn(task="b"),
    Adopt(release="mini:v2"),
    Compress(bits=8),
    Compress(bits=4, parent="mini:v2"),
    Forget(task="b", category="x", parent="mini:v2"),
    Learn(task="c"),
)


@pytest.mark.parametrize(
    ("item", "update", "label"),
    [
        ({"learn": "a"}, Learn(task="a"), "a"),
        ({"learn": {"task": "a"}, "name": "first"}, Learn(task="a", name="first"), "first"),
        ({"adopt": "mini:v2"}, Adopt(release="mini:v2"), "mini:v2"),
        ({"compress": {"bits": 4}, "parent": "a"}, Compress(bits=4, parent="a"), "4 bits"),
        ({"compress": {"sparsity": 0.5}}, Compress(sparsity=0.5), "50 % zeros"),
        ({"compress": {"bytes": 120000}}, Compress(bytes=120000), "120,000 bytes"),
        ({"forget": "a"}, Forget(task="a"), "forget a"),
        ({"forget": {"task": "a", "category": "x"}}, Forget(task="a", category="x"), "forget a/x"),
        ({"forget": {"task": "a", "share": 0.01}}, Forget(task="a", share=0.01), "forget 1 % of a"),
        ({"forget": {"samples": "ids.csv"}}, Forget(samples="ids.csv"), "forget ids.csv"),
    ],
)
def test_cards_write_updates_in_one_line_each(item: dict[str, object], update: Update, label: str) -> None:
    assert parse_update(item, "card") == update
    assert update.label == label
    assert parse_update(update_as_json(update), "card") == update


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("learn", "wanted a mapping such as"),
        ({}, "wanted exactly one of learn, adopt, compress, forget"),
        ({"learn": "a", "adopt": "b"}, "wanted exactly one of"),
        ({"learn": "a", "parnt": "b"}, "unknown key 'parnt': did you mean 'parent'"),
        ({"compress": "4 bits"}, "compress must be a mapping of its settings"),
        ({"compress": {}}, "exactly one of bits, sparsity, bytes, got none"),
        ({"compress": {"bits": 4, "sparsity": 0.5}}, "got bits, sparsity"),
        ({"compress": {"bits": 0}}, "bits must be greater than 0"),
        ({"compress": {"sparsity": 1}}, "sparsity must be less than 1"),
        ({"forget": {"share": 0.1}}, "exactly one of task and samples"),
        ({"forget": {"task": "a", "share": 0.1, "category": "x"}}, "at most one of category and share"),
        ({"forget": {"samples": "f", "share": 0.1}}, "category and share only with task"),
    ],
)
def test_what_is_no_update_is_one_line(item: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_update(item, "card")


def test_parents_and_paths_of_a_life() -> None:
    parents = parents_of(LIFE, "stream")
    assert parents == (0, 1, 2, 3, 3, 3, 6)
    assert path_to(0, parents) == (0,)
    assert path_to(5, parents) == (0, 1, 2, 3, 5)
    assert path_to(7, parents) == (0, 1, 2, 3, 6, 7)


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ((Learn(task="a"), Learn(task="a")), "two updates are named 'a'"),
        ((Learn(task="a"), Learn(task="a", name="again")), "task 'a' was learnt before on its path"),
        ((Learn(task="a", parent="b"), Learn(task="b")), "there is no earlier update 'b'"),
        ((Learn(task="z"),), "no task 'z'"),
        ((Learn(task="a"), Forget(task="b")), "task 'b' was not learnt before on its path"),
        ((Learn(task="a", name="pre-trained"),), "two updates are named 'pre-trained'"),
    ],
)
def test_updates_that_do_not_fit_are_one_line(updates: tuple[Update, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_updates(updates, ("a", "b"), "stream")


def test_a_branch_may_learn_what_its_sibling_has_learnt() -> None:
    check_updates((Learn(task="a"), Learn(task="a", parent="pre-trained", name="alone")), ("a",), "stream")


@given(st.lists(st.integers(0, 20), max_size=20))
def test_every_path_begins_at_version_0_and_goes_from_parent_to_child(numbers: list[int]) -> None:
    labels = ["pre-trained", *(str(number) for number in range(1, len(numbers) + 1))]
    parents = [number % (index + 1) for index, number in enumerate(numbers)]
    updates = [
        Compress(bits=8, name=label, parent=labels[parent]) for label, parent in zip(labels[1:], parents, strict=True)
    ]
    assert list(parents_of(updates, "stream")) == parents
    for version in range(len(parents) + 1):
        path = path_to(version, parents)
        assert path[0] == 0
        assert path[-1] == version
        assert all(parents[child - 1] == parent for parent, child in pairwise(path))
