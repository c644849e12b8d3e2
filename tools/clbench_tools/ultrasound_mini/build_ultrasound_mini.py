"""Builds ultrasound-mini: `PYTHONPATH=tools python -m clbench_tools.ultrasound_mini.build_ultrasound_mini --out DATA`.

The same command gives the same bytes with the same releases of NumPy, SciPy and Pillow on the same kind of processor.
"""

import argparse
import logging
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from clbench_tools.ultrasound_mini.frames import PATIENTS, VIEWS, frame_of, patients_of
from clbench_tools.ultrasound_mini.mini_tasks import TASKS, MiniTask
from clbench_tools.ultrasound_mini.pack import Entry, pack

LOG = logging.getLogger("build")
SEED = 0


def main() -> None:
    """Render all tasks and pack them into Parquet files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the stream's data; its files are replaced")
    parser.add_argument("--processes", type=int, default=1, help="tasks that are built at once")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with ProcessPoolExecutor(options.processes) as pool:
        for task in pool.map(partial(build_task, out=options.out), TASKS):
            LOG.info("%s", task)


def build_task(task: MiniTask, out: Path) -> str:
    """Write one task; returns its name."""
    pack(task, entries_of(task), out)
    return task.name


def entries_of(task: MiniTask) -> Iterator[Entry]:
    """All images of a task, part by part."""
    for part in PATIENTS:
        for patient in patients_of(part):
            for view in range(VIEWS[part]):
                yield Entry(part, patient, view, frame_of(task, patient, view, SEED))


if __name__ == "__main__":
    main()
