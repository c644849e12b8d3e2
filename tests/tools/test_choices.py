"""Questions of the pre-training that name possible answers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clbench_tools.pretraining.mini_text.choices import MOST, with_choices


def test_two_answers_by_hand() -> None:
    found = with_choices(["kind: x"], ["a"], [["a", "b"]], np.random.default_rng(0))
    assert found[0] in ("Option: a, b\nkind: x", "Option: b, a\nkind: x")


@given(st.integers(0, 99), st.lists(st.sampled_from("bcdefghijklmn"), min_size=1, max_size=12))
def test_the_right_answer_is_there_once_among_others_of_its_kind(seed: int, kind: list[str]) -> None:
    (found,) = with_choices(["question"], ["a"], [[*kind, "a"]], np.random.default_rng(seed))
    options, _, text = found.partition("\n")
    named = options.removeprefix("Option: ").split(", ")
    assert text == "question"
    assert named.count("a") == 1
    assert len(named) == len(set(named)) <= MOST
    assert {*named} - {"a"} <= {*kind}
    assert len(named) >= 2


def test_every_place_is_as_likely_for_the_right_answer() -> None:
    """Of 3,000 questions with two answers, the right one is first in half, within four standard errors."""
    rows = with_choices(["q"] * 3000, ["a"] * 3000, [["b"]] * 3000, np.random.default_rng(1))
    first = sum(row.startswith("Option: a") for row in rows)
    assert abs(first - 1500) < 4 * (3000 * 0.25) ** 0.5
