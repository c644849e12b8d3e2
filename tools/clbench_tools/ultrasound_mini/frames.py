"""Images with their truth in pixels, from the seeded generators of patient and view."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from clbench.core.seeding import derive
from clbench_tools.ultrasound_mini.mini_tasks import MiniTask
from clbench_tools.ultrasound_simulator.canvas import Labels
from clbench_tools.ultrasound_simulator.grid import grid_of
from clbench_tools.ultrasound_simulator.render import Grey, compressed, envelope
from clbench_tools.ultrasound_simulator.scan import converter_of

Part = Literal["train", "validation", "test"]
PATIENTS: dict[Part, int] = {"train": 60, "validation": 12, "test": 100}
VIEWS: dict[Part, int] = {"train": 2, "validation": 2, "test": 1}
"""Images of each patient. A second one of a patient says less than the first of another, so a test has one of each."""

ROWS, COLUMNS, OVERSAMPLING = 512, 160, 2
GREYS = 32
"""Grey levels, as scanners of five bits had: speckle hides the steps, and files are half as long."""


@dataclass(frozen=True)
class Frame:
    """An image `(height, width)` and its truth: mask, class, points (x, y) in pixels, and value."""

    image: Grey
    mask: Labels
    label: int
    points: NDArray[np.float64]
    value: float | None


def patients_of(part: Part) -> range:
    """Numbers of a part's patients: no number is in two parts."""
    first = sum(PATIENTS[earlier] for earlier in get_args(Part)[: get_args(Part).index(part)])
    return range(first, first + PATIENTS[part])


def kind_of(task: MiniTask, patient: int, seed: int) -> int:
    """Which of the task's kinds a patient is of; in every part they are as even as can be, in random order."""
    part = next(part for part in PATIENTS if patient in patients_of(part))
    order = np.random.default_rng(derive(seed, task.name, part)).permutation(PATIENTS[part])
    return int(order[patient - patients_of(part)[0]]) % len(task.paint)


def frame_of(task: MiniTask, patient: int, view: int, seed: int) -> Frame:
    """One image; anatomy comes from the patient's generator, the rest from the view's."""
    anatomy = np.random.default_rng(derive(seed, task.name, patient))
    looking = np.random.default_rng(derive(seed, task.name, patient, view))
    probe, height = task.views[patient % len(task.views)]
    grid = grid_of(probe, ROWS, COLUMNS)
    converter = converter_of(grid, height, OVERSAMPLING)
    kind = kind_of(task, patient, seed)
    scene = task.paint[kind](grid, anatomy, looking)
    grey = converter.image(compressed(envelope(scene.canvas, scene.settings, looking), scene.settings))
    points = np.empty((0, 2)) if scene.points is None else converter.points(scene.points)
    return Frame(coarse(grey), converter.mask(scene.canvas.labels), kind, points, scene.value)


def coarse(grey: NDArray[np.float32]) -> Grey:
    """0 to 1 as one of 32 greys between 0 and 248."""
    return (np.rint(grey * (GREYS - 1)) * (256 // GREYS)).astype(np.uint8)
