"""TN3K: thyroid nodules with JPEG masks, and whether they are malignant."""

from pathlib import Path

from clbench.core.csv_files import read_cells
from clbench.core.errors import DataError
from clbench.core.strict_json import parse_json
from clbench.spec.task import Split
from clbench.streams.clip_domains.image_sets.set_location import SetLocation
from clbench.streams.image_files import entries
from clbench.streams.ultrasound.formats.masks import bright
from clbench.streams.ultrasound.labelled_image import ImageFile, LabelledImage, Truth
from clbench.streams.ultrasound.patient_split import train_or_validation
from clbench.streams.ultrasound.sets.public_set import (
    LESION,
    TUMOUR,
    UltrasoundSet,
    existing_file,
    natural_key,
    not_empty,
)

FOLD = "tn3k-trainval-fold0.json"


def read(location: SetLocation, task: str) -> list[LabelledImage]:
    """`trainval-image/0000.jpg` with `trainval-mask/0000.jpg`, and the same of `test`; labels in `label4trainval.csv`.

    The fold 0 says who validates, by places in the list of files sorted by number; without its file a tenth does, by
    the hash. Patients are not known.
    """
    rows = []
    for part in ("trainval", "test"):
        folder = location.images / f"{part}-image"
        files = sorted(entries(folder, "*.jpg"), key=natural_key)
        validated = _validated(location, len(files)) if part == "trainval" else set[int]()
        labels = _labels(location.find(f"label4{part}.csv")) if task == "classification" else {}
        for number, file in enumerate(files):
            split: Split = "test" if part == "test" else _split(number, file, validated)
            rows.append(
                LabelledImage(
                    f"{part}/{file.stem}", ImageFile((file,)), _truth(file, part, labels), str(file), split=split
                )
            )
    return not_empty(rows, location.images, "images in trainval-image and test-image")


def _truth(file: Path, part: str, labels: dict[int, int]) -> Truth:
    if not labels:
        mask = file.parent.with_name(f"{part}-mask") / file.name
        return ImageFile((existing_file(mask, f"the mask of {file.name}"),), bright)
    if not file.stem.isdecimal() or int(file.stem) not in labels:
        raise DataError(f"{file}: label4{part}.csv has no label of it")
    return labels[int(file.stem)]


def _split(number: int, file: Path, validated: set[int] | None) -> Split:
    if validated is None:
        return train_or_validation(file.name)
    return "validation" if number in validated else "train"


def _validated(location: SetLocation, files: int) -> set[int] | None:
    """Places of the images that validate; None where the file of the fold is not there."""
    try:
        file = location.find(FOLD)
    except DataError:
        return None
    try:
        values = parse_json(file.read_text(encoding="utf-8"))
    except (OSError, RecursionError, ValueError) as error:
        raise DataError(f"{file}: damaged: {error}") from None
    places = values.get("val") if isinstance(values, dict) else None
    if not isinstance(places, list) or not all(isinstance(item, int) and 0 <= item < files for item in places):
        raise DataError(f"{file}: 'val' must be a list of places 0 to {files - 1} in the list of images")
    return set(places)


def _labels(file: Path) -> dict[int, int]:
    """Label by number of lines `0000.jpg,1`, with or without a header."""
    found = {}
    for number, cells in read_cells(file, ()):
        name, label = [cell.strip() for cell in cells[-2:]] if len(cells) > 1 else ("", cells[0])
        stem = Path(name).stem
        if stem.isdecimal() and label in ("0", "1"):
            found[int(stem)] = int(label)
        elif number > 1:
            raise DataError(f"{file}: row {number}: wanted an image and 0 or 1, got {','.join(cells)[:60]!r}")
    if not found:
        raise DataError(f"{file}: has no labels")
    return found


SET = UltrasoundSet(
    title="TN3K",
    folders=("tn3k", "TN3K", "Thyroid Dataset"),
    images=(".", "tn3k", "datasets/tn3k", "Thyroid Dataset/tn3k"),
    witness="trainval-image",
    tasks={"segmentation": LESION, "classification": TUMOUR},
    sizes={"segmentation": 3493, "classification": 3493},
    read=read,
    source="https://github.com/haifangong/TRFE-Net-for-thyroid-nodule-segmentation",
    licence="MIT (the repository's)",
    citation="Gong, Chen, Chen and others: Thyroid region prior guided attention for ultrasound "
    "segmentation of thyroid nodules. Computers in Biology and Medicine 155, 2023.",
)
