"""PSFHS: pubic symphysis and fetal head, in MetaImage."""

from clbench.streams.clip_domains.image_sets.set_location import SetLocation
from clbench.streams.image_files import entries
from clbench.streams.ultrasound.formats.by_name import image_in
from clbench.streams.ultrasound.labelled_image import LabelledImage
from clbench.streams.ultrasound.sets.public_set import UltrasoundSet, existing_file, natural_key, not_empty
from clbench.streams.ultrasound.task_sources import Answers


def read(location: SetLocation, _task: str) -> list[LabelledImage]:
    """`image_mha/00001.mha` (three equal channels) with `label_mha/00001.mha`; patients are not known."""
    rows = []
    for file in sorted(entries(location.images / "image_mha", "*.mha"), key=natural_key):
        mask = existing_file(location.images / "label_mha" / file.name, f"the mask of {file.name}")
        rows.append(LabelledImage(file.stem, image_in(file), image_in(mask, mask=True), str(file)))
    return not_empty(rows, location.images, "files in image_mha")


SET = UltrasoundSet(
    title="PSFHS",
    folders=("PSFHS", "psfhs"),
    images=(".", "PSFHS"),
    witness="image_mha",
    tasks={
        "segmentation": Answers(kind="segmentation", classes=("background", "pubic symphysis", "fetal head")),
    },
    sizes={"segmentation": 1358},
    read=read,
    source="https://zenodo.org/records/10969427",
    licence="CC-BY-4.0",
    citation="Chen, Bai, Ou and others: PSFHS: Intrapartum ultrasound image dataset for AI-based segmentation of "
    "pubic symphysis and fetal head. Scientific Data 11, 2024.",
)
