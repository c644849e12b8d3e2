"""The reader of a file, chosen by the end of its name."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from clbench.core.image_values import Array
from clbench.streams.ultrasound.formats.dicom import read_dicom
from clbench.streams.ultrasound.formats.metaimage import read_metaimage
from clbench.streams.ultrasound.formats.nifti import read_nifti
from clbench.streams.ultrasound.formats.plain import read_plain
from clbench.streams.ultrasound.labelled_image import ImageFile

READERS: dict[tuple[str, ...], Callable[..., Array]] = {
    (".nii", ".nii.gz"): read_nifti,
    (".mha", ".mhd"): read_metaimage,
    (".dcm", ".dicom"): read_dicom,
}
"""Readers by the ends of file names; Pillow reads all others."""


def image_in(file: Path, frame: int | None = None, mask: bool = False) -> ImageFile:
    """The image in a file.

    Args:
        file: The file.
        frame: Number of the frame, from 0; None where there is only one.
        mask: Whether it is a mask, whose values are class ids. A mask of one frame is the mask of every frame.
    """
    reader = next((found for ends, found in READERS.items() if file.name.lower().endswith(ends)), read_plain)
    if frame is None and (not mask or reader is read_plain):
        return ImageFile((file,), None if reader is read_plain else reader)
    return ImageFile((file,), partial(reader, frame=frame, mask=mask))
