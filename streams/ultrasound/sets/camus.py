"""CAMUS: hearts in two views at two instants, with masks, in NIfTI or MetaImage."""

from functools import partial
from pathlib import Path

from clbench.core.errors import DataError
from clbench.spec.task import Split
from clbench.streams.clip_domains.image_sets.found_image_set import read_lines
from clbench.streams.clip_domains.image_sets.set_location import SetLocation
from clbench.streams.image_files import entries
from clbench.streams.ultrasound.formats.by_name import image_in
from clbench.streams.ultrasound.labelled_image import LabelledImage, Truth
from clbench.streams.ultrasound.sets.public_set import UltrasoundSet, label_named
from clbench.streams.ultrasound.task_sources import Answers

VIEWS = ("2CH", "4CH")
INSTANTS = ("ED", "ES")
QUALITIES = ("Poor", "Medium", "Good")
GROUPS: dict[Split, str] = {"train": "training", "validation": "validation", "test": "testing"}


def read(location: SetLocation, task: str) -> list[LabelledImage]:
    """`patient0001/patient0001_2CH_ED.nii.gz` with `..._gt.nii.gz` (or `.mhd`); sequences are not read.

    The parts are those of `database_split`, where it is there; else patients are divided by their hashes.
    """
    parts = _parts(location)
    folders = sorted(path for path in entries(location.images, "patient*") if path.is_dir())
    return [_row(folder, view, instant, task, parts) for folder in folders for view in VIEWS for instant in INSTANTS]


def _row(folder: Path, view: str, instant: str, task: str, parts: dict[str, Split]) -> LabelledImage:
    patient = folder.name
    if parts and patient not in parts:
        raise DataError(f"{folder}: no file of database_split names {patient}")
    name = f"{patient}_{view}_{instant}"
    truth: Truth
    if task == "segmentation":
        truth = image_in(_file(folder, f"{name}_gt"), mask=True)
    elif task == "view":
        truth = VIEWS.index(view)
    else:
        truth = _quality(folder / f"Info_{view}.cfg")
    file = _file(folder, name)
    return LabelledImage(name, image_in(file), truth, str(file), f"camus/{patient}", parts.get(patient))


def _file(folder: Path, stem: str) -> Path:
    for end in (".nii.gz", ".nii", ".mhd"):
        if (folder / f"{stem}{end}").is_file():
            return folder / f"{stem}{end}"
    raise DataError(f"{folder}: {stem}.nii.gz (or .mhd) is missing")


def _quality(file: Path) -> int:
    for line in read_lines(file):
        key, _, value = line.partition(":")
        if key.strip() == "ImageQuality":
            return label_named(value, QUALITIES, str(file), "ImageQuality")
    raise DataError(f"{file}: names no ImageQuality")


def _parts(location: SetLocation) -> dict[str, Split]:
    """The part of each patient; empty where the published split is not there."""
    try:
        files = {split: location.find(f"database_split/subgroup_{name}.txt") for split, name in GROUPS.items()}
    except DataError:
        return {}
    found: dict[str, Split] = {}
    for split, file in files.items():
        for patient in read_lines(file):
            if found.setdefault(patient, split) != split:
                raise DataError(f"{file}: {patient} is in {split!r}, but in {found[patient]!r} too")
    return found


_classes = partial(Answers, kind="classification")

SET = UltrasoundSet(
    title="CAMUS",
    folders=("CAMUS_public", "CAMUS", "camus"),
    images=("database_nifti", "CAMUS_public/database_nifti", "training", "."),
    witness="patient[0-9]*",
    tasks={
        "segmentation": Answers(
            kind="segmentation", classes=("background", "left ventricle", "myocardium", "left atrium")
        ),
        "view": _classes(classes=VIEWS),
        "quality": _classes(classes=QUALITIES),
    },
    sizes={"segmentation": 2000, "view": 2000, "quality": 2000},
    read=read,
    source="https://www.creatis.insa-lyon.fr/Challenge/camus/",
    licence="CC-BY-NC-SA-4.0",
    citation="Leclerc, Smistad, Pedrosa, Ostvik and others: Deep learning for segmentation using an open large-scale "
    "dataset in 2D echocardiography. IEEE TMI 38(9), 2019.",
)
