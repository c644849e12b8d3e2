"""Character vectors of an R data base (`.rdb`)."""

import struct
import zlib
from collections.abc import Iterator

STRINGS, STRING = 16, 9
"""Types STRSXP and CHARSXP (R internals, section 1.1)."""


def character_vectors(data: bytes) -> Iterator[list[str]]:
    """The character vectors: each is a length, then a compressed serialisation in XDR (R internals, section 1.8)."""
    place = 0
    while place < len(data):
        unpacker = zlib.decompressobj()
        item = unpacker.decompress(data[place + 4 :])
        place = len(data) - len(unpacker.unused_data)
        encoding = struct.unpack(">i", item[14:18])[0]
        start = 18 + encoding
        if item[:2] == b"X\n" and item[start + 3] == STRINGS:
            yield list(_strings(item, start + 4))


def _strings(item: bytes, place: int) -> Iterator[str]:
    (count,) = struct.unpack(">i", item[place : place + 4])
    place += 4
    for _ in range(count):
        flags, size = struct.unpack(">ii", item[place : place + 8])
        if flags & 255 != STRING:
            raise ValueError(f"R data: a string wanted at byte {place}, type {flags & 255} got")
        place += 8 + max(0, size)
        yield item[place - max(0, size) : place].decode("utf-8")
