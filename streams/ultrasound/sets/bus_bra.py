"""BUS-BRA: breast lesions with masks, boxes and pathology, several images a patient."""

import json
import math

from clbench.core.errors import DataError
from clbench.streams.clip_domains.image_sets.set_location import SetLocation
from clbench.streams.ultrasound.csv_rows import CsvRow, read_csv
from clbench.streams.ultrasound.formats.masks import bright
from clbench.streams.ultrasound.labelled_image import ImageFile, LabelledImage, Truth
from clbench.streams.ultrasound.sets.public_set import (
    LESION,
    TUMOUR,
    UltrasoundSet,
    existing_file,
    label_named,
    plain_file_name,
)
from clbench.streams.ultrasound.task_sources import Answers


def read(location: SetLocation, task: str) -> list[LabelledImage]:
    """`bus_data.csv` with `Images/bus_0001-l.png` and `Masks/mask_0001-l.png`; patients (`Case`) stay together."""
    rows = []
    for row in read_csv(location.find("bus_data.csv"), ("ID",)):
        name = plain_file_name(row.text("ID").strip(), row.where, "ID")
        image = existing_file(location.images / "Images" / f"{name}.png", f"{row.where}: ID")
        truth = _truth(location, row, name, task)
        rows.append(LabelledImage(name, ImageFile((image,)), truth, row.where, f"bus-bra/{row.text('Case').strip()}"))
    return rows


def _truth(location: SetLocation, row: CsvRow, name: str, task: str) -> Truth:
    if task == "classification":
        return label_named(row.text("Pathology"), TUMOUR.classes, row.where, "Pathology")
    if task == "detection":
        return (_box(row),)
    mask = location.images / "Masks" / f"mask_{name.removeprefix('bus_')}.png"
    return ImageFile((existing_file(mask, f"the mask of {name}"),), bright)


def _box(row: CsvRow) -> tuple[float, ...]:
    """The box `[x, y, width, height]` as corners."""
    text = row.text("BBOX")
    try:
        match json.loads(text):
            case [int() | float() as x, int() | float() as y, int() | float() as width, int() | float() as height] if (
                all(map(math.isfinite, (x, y, width, height)))
            ):
                return float(x), float(y), float(x + width), float(y + height)
    except (OverflowError, RecursionError, ValueError):
        pass
    raise DataError(f"{row.where}: BBOX must be [x, y, width, height], got {text[:60]!r}")


SET = UltrasoundSet(
    title="BUS-BRA",
    folders=("BUSBRA", "BUS-BRA", "busbra", "bus-bra"),
    images=(".", "BUSBRA", "BUSBRA/BUSBRA"),
    witness="Images",
    tasks={"segmentation": LESION, "classification": TUMOUR, "detection": Answers(kind="detection")},
    sizes={"segmentation": 1875, "classification": 1875, "detection": 1875},
    read=read,
    source="https://zenodo.org/records/8231412",
    licence="CC-BY-4.0",
    citation="Gomez-Flores, Gregorio-Calas, Coelho de Albuquerque Pereira: BUS-BRA: A breast ultrasound dataset for "
    "assessing computer-aided diagnosis systems. Medical Physics 51(4), 2024.",
)
