"""BUSI: breast ultrasound, benign, malignant and normal, with masks of the lesions."""

import re
from pathlib import Path

from clbench.streams.clip_domains.image_sets.place import Place
from clbench.streams.image_files import entries
from clbench.streams.ultrasound.formats.masks import marked
from clbench.streams.ultrasound.labelled_image import ImageFile, Row, Truth
from clbench.streams.ultrasound.sets.public_set import LESION, UltrasoundSet, existing, natural, some
from clbench.streams.ultrasound.task_sources import Answers

CLASSES = ("benign", "malignant", "normal")


def read(place: Place, task: str) -> list[Row]:
    """`benign/benign (1).png` with `benign (1)_mask.png`, `_mask_1.png`, ...: one mask a lesion, together one mask.

    Masks of normal breasts are black. Some masks are RGB or RGBA. Patients are not known.
    """
    rows = []
    for label, name in enumerate(CLASSES):
        folder = place.images / name
        images = [path for path in entries(folder, "*.png") if "_mask" not in path.name]
        for path in sorted(images, key=natural):
            truth: Truth = label if task == "classification" else ImageFile(_masks(path), marked)
            rows.append(Row(path.stem, ImageFile((path,)), truth, str(path)))
    return some(rows, place.images, "images in benign, malignant and normal")


def _masks(path: Path) -> tuple[Path, ...]:
    first = existing(path.with_name(f"{path.stem}_mask.png"), f"the mask of {path.name}")
    more = re.compile(re.escape(path.stem) + r"_mask_\d+\.png")
    others = (other for other in entries(path.parent) if more.fullmatch(other.name))
    return (first, *sorted(others, key=natural))


SET = UltrasoundSet(
    title="BUSI",
    folders=("Dataset_BUSI_with_GT", "BUSI", "busi", "Dataset_BUSI"),
    images=(".", "Dataset_BUSI_with_GT", "Dataset_BUSI_with_GT/Dataset_BUSI_with_GT"),
    witness="benign",
    tasks={
        "segmentation": LESION.model_copy(update={"empty_masks": True}),
        "classification": Answers(kind="classification", classes=CLASSES),
    },
    sizes={"segmentation": 780, "classification": 780},
    read=read,
    source="https://scholar.cu.edu.eg/?q=afahmy/pages/dataset",
    licence="not stated; CC0 where Kaggle has it",
    citation="Al-Dhabyani, Gomaa, Khaled, Fahmy: Dataset of breast ultrasound images. Data in Brief 28, 2020.",
)
