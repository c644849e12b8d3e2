"""The tasks of ultrasound-mini: kind, organ and probes."""

from dataclasses import dataclass

from clbench_tools.ultrasound_mini.organs import breast, fetus, heart, lung, pelvis, thyroid, uterus
from clbench_tools.ultrasound_mini.scene import Painter
from clbench_tools.ultrasound_simulator.probe import CONVEX, LINEAR, PHASED, Probe


@dataclass(frozen=True)
class MiniTask:
    """A task of the stream.

    Attributes:
        name: Name of the task.
        kind: str of the task.
        many: Classes (background counted), boxes or points.
        paint: Makes a scene: one painter for each kind of patient, and kinds are equally frequent; in classification
            the kind is the class.
        views: Probe and height of the images in pixels, one of them for each patient: scanners differ.
    """

    name: str
    kind: str
    many: int
    paint: tuple[Painter, ...]
    views: tuple[tuple[Probe, int], ...]


WOMB = CONVEX.model_copy(update={"depth": 115, "focus": 62, "frequency": 3.2, "bandwidth": 0.55})
WOMB_LOW = CONVEX.model_copy(update={"depth": 120, "frequency": 2.7, "field": 64, "bandwidth": 0.6})
SMALL_PARTS = LINEAR.model_copy(update={"depth": 36, "focus": 17, "bandwidth": 0.55, "aperture": 8})
SMALL_PARTS_WIDE = LINEAR.model_copy(
    update={"depth": 36, "focus": 17, "field": 46, "frequency": 6.5, "bandwidth": 0.55, "aperture": 8}
)
CHEST = LINEAR.model_copy(
    update={"depth": 50, "focus": 18, "frequency": 5.5, "field": 44, "bandwidth": 0.55, "aperture": 8}
)
THIGH = CONVEX.model_copy(update={"depth": 95, "focus": 48, "frequency": 3.8, "field": 62, "bandwidth": 0.55})
SECTOR = PHASED.model_copy(update={"depth": 150})
SECTOR_WIDE = PHASED.model_copy(update={"depth": 155, "field": 88, "frequency": 2.3})

TASKS = (
    MiniTask(
        "breast_lesion",
        "segmentation",
        2,
        (breast.benign, breast.malignant),
        ((SMALL_PARTS, 96), (SMALL_PARTS_WIDE, 96)),
    ),
    MiniTask("lung_3cls", "classification", 3, (lung.aerated, lung.b_lines, lung.consolidated), ((CHEST, 96),)),
    MiniTask("fetal_femur", "regression", 2, (fetus.thigh,), ((THIGH, 96), (WOMB, 96))),
    MiniTask("thyroid_nodule_det", "detection", 1, (thyroid.thyroid,), ((SMALL_PARTS_WIDE, 96), (SMALL_PARTS, 96))),
    MiniTask("cardiac_multi", "segmentation", 4, (heart.heart,), ((SECTOR, 104), (SECTOR_WIDE, 96))),
    MiniTask(
        "breast_2cls",
        "classification",
        2,
        (breast.benign, breast.malignant),
        ((SMALL_PARTS, 96), (SMALL_PARTS_WIDE, 96)),
    ),
    MiniTask("fetal_abdomen_mm", "regression", 1, (fetus.belly,), ((WOMB, 96),)),
    MiniTask("uterine_fibroid_det", "detection", 1, (uterus.uterus,), ((WOMB, 96), (WOMB_LOW, 96))),
    MiniTask("fetal_head", "segmentation", 2, (fetus.head,), ((WOMB, 96), (WOMB_LOW, 96))),
    MiniTask("IUGC", "regression", 3, (pelvis.pelvis,), ((WOMB_LOW, 96), (WOMB, 96))),
)
