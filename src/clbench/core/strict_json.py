"""JSON that strict readers accept: null for a number that is not finite, with the reason beside it.

JSON has no NaN and no infinity. In JSON that clbench prints or writes, such a number is null, and the object around it
gives the reason under `undefined`, by the same name: `{"loss": null, "undefined": {"loss": "NaN"}}`. In a list, the
index is the name: `{"x": [1, null], "undefined": {"x": {"1": "Infinity"}}}`. A reason that the object already has
stays: `{"bwt": null, "undefined": {"bwt": "needs at least 2 tasks, got 1"}}`.
"""

import json
import math
from typing import Any

UNDEFINED = "undefined"
NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def dumps(value: object, indent: int | None = None) -> str:
    """JSON of plain values; finite floats keep every bit, mappings their order."""
    try:
        return json.dumps(value, indent=indent, allow_nan=False)
    except ValueError:  # a number that is not finite
        return json.dumps(_split(value)[0], indent=indent, allow_nan=False)


def loads(text: str) -> object:
    """Read what `dumps` wrote, with exactly the same numbers; the NaN of older releases is read, too.

    Raises:
        ValueError: For a text that is not JSON, or has a key twice in one object.
        RecursionError: For one that is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=lambda pairs: _restored(unique(pairs)))


def parse_json(text: str | bytes) -> Any:
    """Parse JSON of any origin like `json.loads`, but refuse an object with the same key twice.

    Python would silently keep the last value.

    Raises:
        ValueError: For a text that is not JSON, or has a key twice in one object.
        RecursionError: For one that is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=unique)


def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON from its keys and values, for `object_pairs_hook`.

    Raises:
        ValueError: For a duplicate key.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {max(keys, key=keys.count)!r} is there twice in one object")
    return found


def _split(value: object) -> tuple[object, object]:
    """A value whose numbers that are not finite are None, and the reasons for the object around it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None, "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        found = {key: _split(item) for key, item in value.items()}
        clean = {key: item for key, (item, _) in found.items()}
        reasons = {key: reason for key, (_, reason) in found.items() if reason}
        known = clean.get(UNDEFINED, {})
        return {**clean, UNDEFINED: {**reasons, **known}} if reasons and isinstance(known, dict) else clean, None
    if isinstance(value, list | tuple):
        items = [_split(item) for item in value]
        return [item for item, _ in items], {str(i): reason for i, (_, reason) in enumerate(items) if reason}
    return value, None


def _restored(found: dict[str, object]) -> dict[str, object]:
    """An object with the numbers that its reasons stand for; other reasons stay."""
    reasons = found.get(UNDEFINED)
    if isinstance(reasons, dict):
        for name in [name for name in reasons if name in found]:
            value = _number(found[name], reasons[name])
            if value is not found[name]:
                found[name] = value
                del reasons[name]
                if not reasons:
                    del found[UNDEFINED]
    return found


def _number(value: object, reason: object) -> object:
    if value is None and isinstance(reason, str):
        return NOT_FINITE.get(reason)
    if isinstance(value, list) and isinstance(reason, dict):
        items = [_number(item, reason.get(str(index))) for index, item in enumerate(value)]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    return value
