"""BUSI: breast ultrasound, benign, malignant and normal, with masks of the lesions."""

import re
from pathlib import Path

from clbench.streams.clip_domains.image_sets.set_location import SetLocation
from clbench.streams.image_files import entries
from clbench.streams.ultrasound.formats.masks import marked
from clbench.streams.ultrasound.labelled_image import ImageFile, LabelledImage, Truth
from clbench.streams.ultrasound.sets.public_set import LESION, UltrasoundSet, existing_file, natural_key, not_empty
from clbench.streams.ultrasound.task_sources import Answers

CLASSES = ("benign", "malignant", "normal")


def read(location: SetLocation, task: str) -> list[LabelledImage]:
    """`benign/benign (1).png` with `benign (1)_mask.png`, `_mask_1.png`, ...: one mask a lesion, together one mask.

    Masks of normal breasts are black. Some masks are RGB or RGBA. Patients are not known.
    """
    rows = []
    for label, name in enumerate(CLASSES):
        folder = location.images / name
        images = [path for path in entries(folder, "*.png") if "_mask" not in path.name]
        for path in sorted(images, key=natural_key):
            truth: Truth = label if task == "classification" else ImageFile(_masks(path), marked)
            rows.append(LabelledImage(path.stem, ImageFile((path,)), truth, str(path)))
    return not_empty(rows, location.images, "images in benign, malignant and normal")


def _masks(path: Path) -> tuple[Path, ...]:
    first = existing_file(path.with_name(f"{path.stem}_mask.png"), f"the mask of {path.name}")
    more = re.compile(re.escape(path.stem) + r"_mask_\d+\.png")
    others = (other for other in entries(path.parent) if more.fullmatch(other.name))
    return (first, *sorted(others, key=natural_key))


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
