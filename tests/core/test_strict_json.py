"""JSON without NaN: null and the reason, and the very numbers again."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.core import strict_json
from clbench.core.strict_json import NOT_FINITE

KEYS = st.text(max_size=4) | st.sampled_from(["0", "1", "x[0]"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["NaN", "Infinity"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


def strictly(text: str) -> Any:
    """As a reader that refuses NaN does it."""
    return json.loads(text, parse_constant=pytest.fail)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_strict_readers_take_it_and_ours_gets_the_numbers_back(value: dict[str, object]) -> None:
    text = strict_json.dumps(value)
    strictly(text)
    assert repr(strict_json.loads(text)) == repr(value)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_every_number_that_is_not_finite_has_a_reason_beside_it(value: dict[str, object]) -> None:
    def told(found: object) -> int:
        if isinstance(found, dict):
            return sum(said(reason) for reason in found.get("undefined", {}).values()) + sum(map(told, found.values()))
        return sum(map(told, found)) if isinstance(found, list) else 0

    def said(reason: object) -> int:
        return sum(map(said, reason.values())) if isinstance(reason, dict) else reason in NOT_FINITE

    def there(found: object) -> int:
        if isinstance(found, dict | list):
            return sum(map(there, found.values() if isinstance(found, dict) else found))
        return isinstance(found, float) and not math.isfinite(found)

    assert told(strictly(strict_json.dumps(value))) == there(value)


def test_the_form() -> None:
    value = {"loss": math.nan, "rows": [1.0, [math.inf]], "bwt": math.nan, "undefined": {"bwt": "one task"}}
    assert strictly(strict_json.dumps(value)) == {
        "loss": None,
        "rows": [1.0, [None]],
        "bwt": None,
        "undefined": {"loss": "NaN", "rows": {"1": {"0": "Infinity"}}, "bwt": "one task"},
    }
    assert repr(strict_json.loads(strict_json.dumps(value))) == repr(value | {"bwt": None})


def test_without_such_numbers_nothing_changes() -> None:
    value = {"a": [1, 2.5, None], "undefined": {"a": {"0": "NaN"}, "b": "no pairs"}, "b": None}
    assert strict_json.dumps(value, indent=1) == json.dumps(value, indent=1)
    assert strict_json.loads(json.dumps(value)) == value


@pytest.mark.parametrize("reasons", ["1", '"NaN"', "null", '{"x": {"7": "NaN"}, "y": "NaN"}', '{"x": [1]}'])
def test_reasons_that_are_none_are_left_alone(reasons: str) -> None:
    text = f'{{"x": [null], "undefined": {reasons}}}'
    assert strict_json.loads(text) == json.loads(text)
