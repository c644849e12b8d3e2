"""Orders of tasks: each drawn once, the same everywhere, and only where tasks are learnt one after another."""

import hashlib
import math
from itertools import permutations

import pytest

from clbench.core.errors import ConfigError
from clbench.spec.task_orders import drawn_order, in_order
from clbench.spec.update import Adopt, Compress, Learn, Update

NAMES = ("a", "b", "c")


def test_order_0_is_the_own_one_and_a_draw_sorts_by_hashes() -> None:
    assert drawn_order(NAMES, 0) == NAMES
    first = sorted(NAMES, key=lambda name: hashlib.sha256(b"1 " + name.encode()).hexdigest())
    assert drawn_order(NAMES, 1) == tuple(first) != NAMES


def test_every_order_comes_once() -> None:
    found = [drawn_order(NAMES, number) for number in range(math.factorial(3))]
    assert sorted(found) == sorted(permutations(NAMES))
    with pytest.raises(ConfigError, match="3 tasks have 6 orders, wanted 7"):
        drawn_order(NAMES, 6)


def test_updates_keep_their_names_and_draws() -> None:
    updates = (Learn(task="a", name="first"), Learn(task="b", draw=1), Learn(task="c"))
    found = in_order(updates, 1, "stream x")
    assert [update.task for update in found] == list(drawn_order(NAMES, 1))
    assert set(found) == set(updates)


@pytest.mark.parametrize(
    "updates",
    [
        (Learn(task="a"), Compress(bits=4)),
        (Adopt(release="mini:v2"),),
        (Learn(task="a"), Learn(task="b", parent="pre-trained")),
        (Learn(task="a"), Learn(task="b"), Learn(task="a", name="again", parent="pre-trained")),
    ],
)
def test_other_streams_have_one_order(updates: tuple[Update, ...]) -> None:
    with pytest.raises(ConfigError, match="stream x: other orders are for streams that learn each task once"):
        in_order(updates, 1, "stream x")
