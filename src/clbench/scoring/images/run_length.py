"""Label maps as text: JSON with one COCO run-length code for each class without the background.

    {"size": [height, width], "counts": {"1": "...", "3": "..."}}

Each code is what COCO and pycocotools call compressed RLE: the lengths of runs down the columns, beginning with pixels
outside the class, each as its difference from the run before the last, in base 32.
`pycocotools.mask.decode({"size": ..., "counts": ...})` gives the mask of a class.
"""

import json
from collections.abc import Iterable

import numpy as np

from clbench.core.errors import DataError
from clbench.core.strict_json import parse_json
from clbench.scoring.images.label_maps import Mask
from clbench.scoring.images.scorer import Labels


def text_of(labels: Labels) -> str:
    """Encode a label map `(h, w)`; 0 is the background."""
    found = np.flatnonzero(np.bincount(labels.ravel(), minlength=1))
    counts = {str(label): _code(_runs(labels == label)) for label in found.tolist() if label}
    return json.dumps({"size": list(labels.shape), "counts": counts}, separators=(",", ":"))


def labels_of(text: str) -> Labels:
    """Decode what `text_of` encoded, a label map `(h, w)`.

    Raises:
        DataError: For a text that is not an encoded label map.
    """
    try:
        value = parse_json(text)
        height, width = value["size"]
        flat = np.zeros(height * width, np.uint8)
        for label, code in value["counts"].items():
            ends = np.cumsum(_lengths(code))
            if ends[-1] != len(flat):
                raise DataError(f"label map: the runs of class {label} end at {ends[-1]}, not at {len(flat)}")
            for start, end in zip(ends[::2], ends[1::2], strict=False):
                flat[start:end] = int(label)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError):
        raise DataError(f"not the text of a label map: {text:.60}") from None
    return flat.reshape(width, height).T


def _runs(mask: Mask) -> list[int]:
    """Lengths of runs down the columns, beginning with pixels outside the mask (0 if the first pixel is inside)."""
    flat = mask.T.ravel()
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths: list[int] = np.diff(ends, prepend=0, append=len(flat)).tolist()
    return [0, *lengths] if flat[:1].any() else lengths


def _code(runs: Iterable[int]) -> str:
    known: list[int] = []
    code = []
    for run in runs:
        number = run - known[-2] if len(known) > 2 else run
        known.append(run)
        more = True
        while more:
            digit, number = number & 31, number >> 5
            more = number != (-1 if digit & 16 else 0)
            code.append(chr(48 + (digit | 32 if more else digit)))
    return "".join(code)


def _lengths(code: str) -> list[int]:
    known: list[int] = []
    number = shift = 0
    for character in code:
        digit = ord(character) - 48
        number |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            number -= 1 << shift
        known.append(number + known[-2] if len(known) > 2 else number)
        number = shift = 0
    return known
