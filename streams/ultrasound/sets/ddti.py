"""DDTI: thyroid nodules outlined in XML, or with masks made from these."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from clbench.core.errors import DataError
from clbench.core.strict_json import parse_json
from clbench.streams.clip_domains.image_sets.set_location import SetLocation
from clbench.streams.image_files import entries
from clbench.streams.ultrasound.formats.masks import bright, inside_polygons
from clbench.streams.ultrasound.labelled_image import ImageFile, LabelledImage, Truth
from clbench.streams.ultrasound.sets.public_set import (
    LESION,
    TUMOUR,
    UltrasoundSet,
    existing_file,
    natural_key,
    not_empty,
)
from clbench.streams.ultrasound.xml_file import read_xml

TIRADS = {"2": 0, "3": 0, "4a": 1, "4b": 1, "4c": 1, "5": 1}
"""Benign or malignant by TI-RADS."""

Polygons = tuple[tuple[tuple[float, float], ...], ...]


def read(location: SetLocation, task: str) -> list[LabelledImage]:
    """`1.xml` with `1_1.jpg`, `1_2.jpg` (the original), or `image/0000.PNG` with `mask/0000.PNG` (two later copies).

    Images without a legible outline (its JSON is cut off or missing in some files) are left out of the segmentation,
    cases without a TI-RADS score out of the classification. The copies' `category.csv` is not read: it is known to
    be wrong.
    """
    if (location.images / "image").is_dir():
        return _copies(location, task)
    rows = []
    for file in sorted(entries(location.images, "*.xml"), key=natural_key):
        case = read_xml(file)
        for mark in case.findall("mark"):
            truth = _truth(case, mark, task)
            number = (mark.findtext("image") or "").strip()
            if truth is not None:
                image = existing_file(file.with_name(f"{file.stem}_{number}.jpg"), f"image {number!r} of {file.name}")
                rows.append(_row(file, image, truth))
    return not_empty(rows, location.images, "outlined images beside XML files")


def _row(file: Path, image: Path, truth: int | Polygons) -> LabelledImage:
    answer: Truth = truth if isinstance(truth, int) else ImageFile((image,), partial(inside_polygons, polygons=truth))
    return LabelledImage(image.stem, ImageFile((image,)), answer, f"{file}: {image.name}", f"ddti/{file.stem}")


def _truth(case: Element, mark: Element, task: str) -> int | Polygons | None:
    if task == "classification":
        return TIRADS.get((case.findtext("tirads") or "").strip().lower())
    return _polygons(mark.findtext("svg") or "")


def _polygons(text: str) -> Polygons | None:
    """The outlines of all nodules of an image; None where they cannot be read."""
    try:
        regions = parse_json(text)
        found = tuple(_corners(region["points"]) for region in regions)
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError):
        return None
    return tuple(polygon for polygon in found if len(polygon) > 2) or None


def _corners(points: Sequence[dict[str, Any]]) -> tuple[tuple[float, float], ...]:
    corners = tuple((float(point["x"]), float(point["y"])) for point in points)
    if not all(math.isfinite(value) for corner in corners for value in corner):
        raise ValueError
    return corners


def _copies(location: SetLocation, task: str) -> list[LabelledImage]:
    if task != "segmentation":
        raise DataError(f"{location.images}: this copy of DDTI has masks only (wanted the original with XML files)")
    rows = []
    for file in sorted((path for path in entries(location.images / "image") if path.is_file()), key=natural_key):
        mask = existing_file(location.images / "mask" / file.name, f"the mask of {file.name}")
        rows.append(LabelledImage(file.stem, ImageFile((file,)), ImageFile((mask,), bright), str(file)))
    return not_empty(rows, location.images, "images in image")


SET = UltrasoundSet(
    title="DDTI",
    folders=("DDTI", "ddti", "DDTI_original"),
    images=("DDTI/1_or_data", "1_or_data", "data/DDTI", "DDTI", "archive", "."),
    witness="*",
    tasks={"segmentation": LESION, "classification": TUMOUR},
    sizes={},
    read=read,
    source="http://cimalab.intec.co/?lang=en&mod=project&id=31",
    licence="not stated",
    citation="Pedraza, Vargas, Narvaez, Duran, Munoz, Romero: An open access thyroid ultrasound image database. "
    "SIPAIM, 2015.",
)
