"""Packages of the extra `ultrasound` that read medical formats; a missing one is an error in one line."""

from importlib import import_module
from typing import Any

from clbench.core.errors import ClbenchError

EXTRA = {"nibabel": "NIfTI", "SimpleITK": "MHA and MHD", "pydicom": "DICOM"}
"""Format that each package reads."""


def imported(name: str, file: object) -> Any:
    """A package of the extra.

    Args:
        name: Name of the package, one of `EXTRA`.
        file: File to be read, for the message.

    Raises:
        ClbenchError: When it is not installed.
    """
    try:
        return import_module(name)
    except ImportError:
        what = f"{file}: {EXTRA[name]} needs the package {name}"
        raise ClbenchError(f"{what}: pip install 'clbench[ultrasound]'") from None
