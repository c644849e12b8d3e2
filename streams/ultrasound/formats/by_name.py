"""Which reader a file needs, by the end of its name."""

from functools import partial
from pathlib import Path

from clbench.streams.ultrasound.formats.dicom import read_dicom
from clbench.streams.ultrasound.formats.metaimage import read_metaimage
from clbench.streams.ultrasound.formats.nifti import read_nifti
from clbench.streams.ultrasound.pictures import Picture

NIFTI = (".nii", ".nii.gz")
METAIMAGE = (".mha", ".mhd")
DICOM = (".dcm", ".dicom")


def picture_in(file: Path, frame: int | None = None) -> Picture:
    """The picture in a file; whatever is not NIfTI, MetaImage or DICOM by its name is left to Pillow.

    Args:
        file: The file.
        frame: Which frame of a DICOM file, from 0; None where there is only one.
    """
    name = file.name.lower()
    if name.endswith(DICOM):
        return Picture((file,), partial(read_dicom, frame=frame))
    if name.endswith(NIFTI):
        return Picture((file,), read_nifti)
    if name.endswith(METAIMAGE):
        return Picture((file,), read_metaimage)
    return Picture((file,))
