"""TN5000: a box round each thyroid nodule, benign or malignant, in the layout of PASCAL VOC."""

import math
from pathlib import Path
from xml.etree.ElementTree import Element

from clbench.core.errors import DataError
from clbench.spec.task import Split
from clbench.streams.clip_domains.image_sets.found_image_set import read_lines
from clbench.streams.clip_domains.image_sets.set_location import SetLocation
from clbench.streams.ultrasound.labelled_image import ImageFile, LabelledImage, Truth
from clbench.streams.ultrasound.sets.public_set import TUMOUR, UltrasoundSet, plain_file_name
from clbench.streams.ultrasound.task_sources import Answers
from clbench.streams.ultrasound.xml_file import read_xml

PARTS: dict[Split, str] = {"train": "train", "validation": "val", "test": "test"}
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read(location: SetLocation, task: str) -> list[LabelledImage]:
    """`JPEGImages/*.jpg` and `Annotations/*.xml`; `ImageSets/Main/{train,val,test}.txt` name those of each part.

    Corners are taken as they are, though VOC counts pixels from 1. Patients are not known.
    """
    rows = []
    for split, part in PARTS.items():
        listing = location.find(f"ImageSets/Main/{part}.txt")
        for number, line in enumerate(read_lines(listing), 1):
            name = plain_file_name(line.split()[0], f"{listing}: row {number}", "image")
            file = location.images / "Annotations" / f"{name}.xml"
            image = ImageFile((location.images / "JPEGImages" / f"{name}.jpg",))
            rows.append(
                LabelledImage(name, image, _truth(file, task), f"{listing}: row {number}: {file.name}", split=split)
            )
    return rows


def _truth(file: Path, task: str) -> Truth:
    objects = read_xml(file).findall("object")
    if not objects:
        raise DataError(f"{file}: names no object")
    if task == "detection":
        return tuple(_box(file, item) for item in objects)
    labels = {(item.findtext("name") or "").strip() for item in objects}
    if len(labels) > 1 or not labels <= {"0", "1"}:
        raise DataError(f"{file}: wanted objects named 0 or 1, got {', '.join(map(repr, sorted(labels)))}")
    return int(labels.pop())


def _box(file: Path, item: Element) -> tuple[float, ...]:
    texts = [item.findtext(f"bndbox/{corner}") or "" for corner in CORNERS]
    try:
        box = tuple(float(text) for text in texts)
    except ValueError:
        box = (math.nan,) * 4
    if not all(math.isfinite(value) for value in box):
        raise DataError(f"{file}: a box must have four numbers, got {', '.join(map(repr, texts))}")
    return box


SET = UltrasoundSet(
    title="TN5000",
    folders=("TN5000_forReview", "TN5000", "tn5000"),
    images=(".", "TN5000_forReview", "TN5000_forReview/TN5000_forReview"),
    witness="JPEGImages",
    tasks={"detection": Answers(kind="detection"), "classification": TUMOUR},
    sizes={"detection": 5000, "classification": 5000},
    read=read,
    source="https://ndownloader.figshare.com/files/52597376 (TN5000_forReview.zip)",
    licence="as its page on figshare says",
    citation="TN5000: an ultrasound image dataset for thyroid nodule detection and classification. "
    "Scientific Data, 2025.",
)
