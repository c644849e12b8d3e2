"""Readers of the packages that text-open comes from, on files made by hand, and the search for near-duplicates."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.streams.embedded_texts import runs

from clbench_tools.text_open.r_data import character_vectors
from clbench_tools.text_open.sword import chapters
from clbench_tools.text_open.tidy import sentences
from clbench_tools.text_rows.near import distinct, near_any


def module(entries: list[str], layout: str) -> dict[str, bytes]:
    """The files of a SWORD module with one block: an entry a verse, equal entries stand once in the block."""
    block, places = b"", b""
    for entry in entries:
        data = entry.encode()
        if data not in block:
            block += data
        places += struct.pack(layout, 0, block.index(data), len(data))
    packed = zlib.compress(block)
    return {
        "ot.bzs": struct.pack("<III", 0, len(packed), len(block)),
        "ot.bzv": places,
        "ot.bzz": packed,
        "nt.bzs": b"",
    }


@pytest.mark.parametrize("layout", ["<IIH", "<III"])
def test_chapters_have_their_entries_once_and_no_heading_of_the_book(layout: str) -> None:
    first, second = (
        '<chapter n="1" osisID="Gen.1" sID="Gen.1"/> One.',
        '<chapter n="2" osisID="Gen.2" sID="Gen.2"/> Three.',
    )
    entries = ["Genesis", first, "Two.", "Two.", second]
    assert list(chapters(module(entries, layout))) == [("Gen.1", [first, "Two."]), ("Gen.2", [second])]


def vector(words: list[str]) -> bytes:
    """A character vector as an R data base keeps it: length, then what `serialize(words, xdr = TRUE)` writes."""
    item = b"X\n" + struct.pack(">iiii", 3, 0x40201, 0x30500, 5) + b"UTF-8" + struct.pack(">ii", 16, len(words))
    for word in words:
        data = word.encode()
        item += struct.pack(">ii", 0x40009, len(data)) + data
    return struct.pack(">I", len(item)) + zlib.compress(item)


def test_character_vectors_are_read_one_after_the_other() -> None:
    assert list(character_vectors(vector(["Emma", "", "café"]) + vector(["x"]))) == [["Emma", "", "café"], ["x"]]


def test_passages_are_whole_sentences_of_one_paragraph() -> None:
    long = "word " * 29 + "end."
    text = f"Mr. Bennet came. {long} {long}\n\nToo short."
    assert sentences(text, least=5) == [f"Mr. Bennet came. {long}", long]


WORDS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=12).map(" ".join)


def share(a: str, b: str) -> float:
    """Share of the runs of the shorter text that are in the other."""
    return len(runs(a) & runs(b)) / min(len(runs(a)), len(runs(b)))


@given(st.lists(WORDS, min_size=1, max_size=6), st.lists(WORDS, min_size=1, max_size=6))
def test_near_texts_are_those_that_share_runs(texts: list[str], others: list[str]) -> None:
    assert near_any(texts, others).tolist() == [any(share(text, other) >= 0.3 for other in others) for text in texts]
    kept: list[str] = []
    for text in texts:
        if all(share(text, other) < 0.3 for other in kept):
            kept.append(text)
    assert [texts[i] for i in distinct(texts)] == kept
