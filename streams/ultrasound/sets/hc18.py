"""HC18: fetal heads, with an ellipse round each and its circumference."""

import re
from pathlib import Path

from clbench.core.errors import DataError
from clbench.streams.clip_domains.image_sets.set_location import SetLocation
from clbench.streams.ultrasound.csv_rows import CsvRow, read_csv
from clbench.streams.ultrasound.formats.masks import inside_ellipse
from clbench.streams.ultrasound.labelled_image import ImageFile, LabelledImage, Truth
from clbench.streams.ultrasound.sets.public_set import UltrasoundSet, existing_file, plain_file_name
from clbench.streams.ultrasound.task_sources import Answers

SIZE, CIRCUMFERENCE = "pixel size(mm)", "head circumference (mm)"


def read(location: SetLocation, task: str) -> list[LabelledImage]:
    """The training set, `000_HC.png` with `000_HC_Annotation.png`; `010_2HC.png` shows the head of `010_HC.png` again.

    The published test set has no truths, so test images come from the training set; images with one number, which
    stay together, count as one patient. The outline of the head is filled. `circumference` is in millimetres;
    `circumference-pixels` divides it by the size of a pixel, which no image shows.
    """
    rows = []
    for row in read_csv(location.find("training_set_pixel_size_and_HC.csv"), ("filename",)):
        name = plain_file_name(row.text("filename").strip(), row.where, "filename")
        file = existing_file(location.images / name, f"{row.where}: filename")
        rows.append(
            LabelledImage(file.stem, ImageFile((file,)), _truth(row, file, task), row.where, _patient(row, file))
        )
    return rows


def _truth(row: CsvRow, file: Path, task: str) -> Truth:
    if task == "segmentation":
        outline = existing_file(file.with_name(f"{file.stem}_Annotation.png"), f"the outline of {file.name}")
        return ImageFile((outline,), inside_ellipse)
    millimetres = row.number_in(CIRCUMFERENCE)
    if task == "circumference":
        return millimetres
    size = row.number_in(SIZE)
    if size <= 0:
        raise DataError(f"{row.where}: {SIZE} must be more than 0, got {size:g}")
    return millimetres / size


def _patient(row: CsvRow, file: Path) -> str:
    number = re.match(r"\d+(?=_)", file.name)
    if number is None:
        raise DataError(f"{row.where}: filename must be as 000_HC.png, got {file.name!r}")
    return f"hc18/{number[0]}"


SET = UltrasoundSet(
    title="HC18",
    folders=("HC18", "hc18"),
    images=("training_set/training_set", "training_set", "."),
    witness="*HC_Annotation.png",
    tasks={
        "segmentation": Answers(kind="segmentation", classes=("background", "head")),
        "circumference": Answers(kind="regression", value_range=(0, 400), unit="mm"),
        "circumference-pixels": Answers(kind="regression", value_range=(0, 2500), unit="pixels"),
    },
    sizes={"segmentation": 999, "circumference": 999, "circumference-pixels": 999},
    read=read,
    source="https://zenodo.org/records/1327317",
    licence="CC-BY-4.0",
    citation="van den Heuvel, de Bruijn, de Korte, van Ginneken: Automated measurement of fetal head circumference "
    "using 2D ultrasound images. PLOS ONE 13(8), 2018.",
)
