"""All public ultrasound sets, by the names that cards use, and one of them below a root."""

from pathlib import Path

from clbench.streams.clip_domains.image_sets.set_location import locate_set
from clbench.streams.ultrasound.sets import (
    breast_mnist,
    bus_bra,
    busi,
    camus,
    ddti,
    fetal_planes,
    hc18,
    psfhs,
    tn3k,
    tn5000,
)
from clbench.streams.ultrasound.sets.public_set import UltrasoundSet
from clbench.streams.ultrasound.ultrasound_tasks import TaskRows

SETS: dict[str, UltrasoundSet] = {
    "breast-mnist": breast_mnist.SET,
    "bus-bra": bus_bra.SET,
    "busi": busi.SET,
    "camus": camus.SET,
    "ddti": ddti.SET,
    "fetal-planes": fetal_planes.SET,
    "hc18": hc18.SET,
    "psfhs": psfhs.SET,
    "tn3k": tn3k.SET,
    "tn5000": tn5000.SET,
}


def open_task(root: Path, name: str, dataset: str, asked: str) -> TaskRows:
    """The images of a task of a set below a root.

    Args:
        root: Folder of the data sets.
        name: Name of the task in its stream.
        dataset: Name of the set, one of `SETS`.
        asked: Name of the set's task.

    Raises:
        MissingSetError: When the set is not below the root.
        DataError: When it is damaged, or not in a layout that is known.
    """
    known = SETS[dataset]
    place = locate_set(root, known)
    return TaskRows(name, known.tasks[asked], place.images, place.folder, known.read(place, asked))
