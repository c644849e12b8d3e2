"""FETAL_PLANES_DB: which standard plane of a fetus (or cervix) an image shows, and which plane of the brain."""

from clbench.core.errors import DataError
from clbench.spec.task import Split
from clbench.streams.clip_domains.image_sets.set_location import SetLocation
from clbench.streams.ultrasound.csv_rows import CsvRow, read_csv
from clbench.streams.ultrasound.labelled_image import ImageFile, LabelledImage
from clbench.streams.ultrasound.patient_split import train_or_validation
from clbench.streams.ultrasound.sets.public_set import UltrasoundSet, label_named, not_empty, plain_file_name
from clbench.streams.ultrasound.task_sources import Answers

PLANES = ("Fetal abdomen", "Fetal brain", "Fetal femur", "Fetal thorax", "Maternal cervix", "Other")
BRAIN = ("Trans-thalamic", "Trans-cerebellum", "Trans-ventricular", "Other")


def read(location: SetLocation, task: str) -> list[LabelledImage]:
    """`FETAL_PLANES_DB_data.csv` (semicolons; names without an extension) beside `Images`.

    Patients with `Train` 1 train, a tenth of them validates; the others test. `brain-plane` has the brains only.
    """
    file = location.find("FETAL_PLANES_DB_data.csv")
    rows = []
    for row in read_csv(file, ("Image_name", "Plane"), ";"):
        if task == "brain-plane" and row.text("Plane").strip() != "Fetal brain":
            continue
        known, column = (PLANES, "Plane") if task == "plane" else (BRAIN, "Brain_plane")
        label = label_named(row.text(column), known, row.where, column)
        name = plain_file_name(row.text("Image_name").strip(), row.where, "Image_name")
        patient = f"fetal-planes/{row.count_in('Patient_num')}"
        image = ImageFile((location.images / "Images" / f"{name}.png",))
        rows.append(LabelledImage(name, image, label, row.where, patient, _split(row, patient)))
    return not_empty(rows, file, "rows of brains")


def _split(row: CsvRow, patient: str) -> Split:
    train = row.count_in("Train")
    if train not in (0, 1):
        raise DataError(f"{row.where}: Train must be 0 or 1, got {train}")
    return train_or_validation(patient) if train else "test"


SET = UltrasoundSet(
    title="FETAL_PLANES_DB",
    folders=("FETAL_PLANES_ZENODO", "FETAL_PLANES_DB", "FETAL_PLANES", "fetal_planes"),
    images=(".", "FETAL_PLANES_ZENODO"),
    witness="Images",
    tasks={
        "plane": Answers(kind="classification", classes=PLANES),
        "brain-plane": Answers(kind="classification", classes=BRAIN),
    },
    sizes={"plane": 12400, "brain-plane": 3092},
    read=read,
    source="https://zenodo.org/records/3904280",
    licence="CC-BY-4.0",
    citation="Burgos-Artizzu, Coronado-Gutierrez, Valenzuela-Alcaraz and others: Evaluation of deep convolutional "
    "neural networks for automatic classification of common maternal fetal ultrasound planes. "
    "Scientific Reports 10, 2020.",
)
