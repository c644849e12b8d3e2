"""Chapters of a SWORD module with compressed blocks (zText, zCom)."""

import re
import struct
import zlib
from collections.abc import Iterator, Mapping

CHAPTER = re.compile(r'<chapter [^>]*osisID="([^"]+)" sID=')


def chapters(files: Mapping[str, bytes]) -> Iterator[tuple[str, list[str]]]:
    """OSIS id of each chapter and its entries: verses, or comments, each once.

    What stands before the first chapter of a block is left out.

    Args:
        files: The module's files by name: `ot.bzs` (blocks), `ot.bzv` (entries), `ot.bzz` (texts), and so on.
    """
    for name in files:
        if name.endswith("zs") and files[name]:
            chapter, found = "", dict[str, list[str]]()
            for entry in _entries(files[name], files[name[:-1] + "z"], files[name[:-1] + "v"]):
                marks = CHAPTER.findall(entry)
                chapter = marks[-1] if marks else chapter
                if chapter and entry not in found.setdefault(chapter, []):
                    found[chapter].append(entry)
            yield from found.items()


def _entries(index: bytes, packed: bytes, places: bytes) -> Iterator[str]:
    """Texts in their order; an entry has number of block, start and size, of 2 or 4 bytes."""
    blocks = [
        zlib.decompress(packed[start : start + size]) if size else b""
        for start, size, _ in struct.iter_unpack("<III", index)
    ]

    def fits(layout: str) -> bool:
        if len(places) % struct.calcsize(layout):
            return False
        found = struct.iter_unpack(layout, places)
        return all(not n or (b < len(blocks) and a + n <= len(blocks[b])) for b, a, n in found)

    for block, start, size in struct.iter_unpack("<IIH" if fits("<IIH") else "<III", places):
        if size:
            yield blocks[block][start : start + size].decode("utf-8", "replace")
