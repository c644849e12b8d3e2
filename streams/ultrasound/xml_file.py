"""XML of annotation tools, read without entities."""

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, fromstring

from clbench.core.errors import DataError


def read_xml(file: Path) -> Element:
    """The root element of an XML file.

    Raises:
        DataError: When it cannot be read, is damaged, or defines entities, which can blow up to any size.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from None
    if b"<!ENTITY" in data.upper():
        raise DataError(f"{file}: defines entities: not read")
    try:
        return fromstring(data)  # noqa: S314  # no entities, and expat fetches nothing
    except (ParseError, LookupError, ValueError) as error:
        raise DataError(f"{file}: damaged or not XML: {error}") from None
