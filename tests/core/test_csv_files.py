"""CSV files: read whatever wrote them, or one line that names what is wrong."""

import codecs
import csv
import io
import tempfile
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from clbench.core.csv_files import SEPARATORS, number_of, read_cells, read_text
from clbench.core.errors import DataError

NAMES = ("version", "cars")
ENCODINGS = {
    "utf-8": b"", "utf-8-sig": b"", "utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE, "utf-32-be": codecs.BOM_UTF32_BE,
}  # fmt: skip
texts = st.text(st.one_of(st.characters(exclude_categories=["Cs", "Cc"]), st.sampled_from(',;\t| "é')), max_size=6)


def write(folder: Path, data: str | bytes) -> Path:
    path = folder / "a.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[list[str]], bytes, str]:
    """Rows, the file that has them, and its separator."""
    separator, encoding = draw(st.sampled_from(sorted(SEPARATORS))), draw(st.sampled_from(sorted(ENCODINGS)))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    quoted = draw(st.booleans())
    more = draw(
        st.lists(texts.filter(str.strip), max_size=2, unique_by=str.strip).filter(lambda m: not set(m) & set(NAMES))
    )
    header = [*NAMES, *(name.strip() for name in more)]
    rows = draw(st.lists(st.lists(texts, min_size=len(header), max_size=len(header)), max_size=3))
    rows = [header, *([f"{number}", *row[1:]] for number, row in enumerate(rows))]
    buffer = io.StringIO(newline="")
    quoting: Literal[0, 1] = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    csv.writer(buffer, delimiter=separator, lineterminator=end, quoting=quoting).writerows(rows)
    if draw(st.booleans()):
        buffer.write(end * 2)
    return rows, ENCODINGS[encoding] + buffer.getvalue().encode(encoding), separator


@settings(deadline=None, max_examples=600)
@given(tables(), st.sampled_from([",", ";"]))
def test_a_table_is_read_as_it_was_written_or_its_separator_is_named(
    table: tuple[list[list[str]], bytes, str], wanted: str
) -> None:
    rows, data, separator = table
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), data)
        if separator == wanted:
            assert read_cells(path, NAMES, wanted) == list(enumerate(rows, 1))
            return
        with pytest.raises(DataError) as caught:
            read_cells(path, NAMES, wanted)
    event("refused")
    assert len(str(caught.value).splitlines()) == 1
    assert f"{SEPARATORS[separator]} ({separator!r})" in str(caught.value)


@settings(deadline=None, max_examples=600)
@given(st.binary(max_size=40), st.binary(max_size=4), st.sampled_from([("utf-8",), ("utf-8", "gbk")]))
def test_no_bytes_end_in_more_than_one_line(content: bytes, mark: bytes, encodings: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), mark + b"version,cars\n" + content)
        try:
            rows = read_cells(path, NAMES, ",", encodings)
            reason = ""
        except DataError as error:
            reason = str(error)
        if reason:
            event("refused")
            assert reason.startswith(str(path))
            assert len(reason.splitlines()) == 1
        else:
            assert all(len(cells) == len(rows[0][1]) for _, cells in rows)


@settings(max_examples=300)
@given(st.one_of(st.floats().map(repr), st.text("0123456789.,_eE+- ", max_size=6), st.floats(-9, 9).map(str)))
def test_a_number_is_what_python_reads_or_none(text: str) -> None:
    reason = None
    try:
        value = number_of(text)
        assert value == float(text)
        assert "_" not in text
    except ValueError as error:
        reason = str(error)
    if reason:
        assert float(reason.rpartition(" ")[2]) == float(text.replace(",", "."))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_rows_count_as_in_a_spreadsheet(tmp_path: Path, end: str) -> None:
    text = end.join(["version,cars", "", '0,"two', 'lines"', ",", "1,x,"])
    with pytest.raises(DataError, match=r"a\.csv: row 5: wanted 2 cells, got 3"):
        read_cells(write(tmp_path, text), NAMES)
    assert read_cells(write(tmp_path, text[:-1]), NAMES)[1] == (3, ["0", f"two{end}lines"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a;b\n1;2\n", "row 1: wanted commas (',') between the cells, got semicolons (';')"),
        ("a,b,a\n", "row 1: column 'a' is there more than once"),
        ("version,cars\n1,x,3\n", "row 2: wanted 2 cells, got 3"),
        ("version,cars\n0,0,5\n", "row 2: wanted 2 cells, got 3 (decimal commas? Write points)"),
        ("version,cars\n1\t2\n", "row 2: wanted 2 cells, got 1 (this row has tabs, '\\t', between its cells)"),
        ('version,cars\n1,"2"3\n', "row 2: wanted CSV, got ',' expected after '\"'"),
        (b"version,cars\r1,\0\r", "row 2: wanted text, got a NUL byte: damaged, or UTF-16 without a mark"),
        (b"\xff\xfev\x00\x00\xd8", "wanted UTF-16-LE text, got byte 0x00 at position 2"),
        (b"\xff", "wanted UTF-8 text, got byte 0xff at position 0"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read_cells(path, NAMES)
    assert str(caught.value) == f"{path}: {message}"


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    for data in (b"", codecs.BOM_UTF8, b"\r\n,,\r\n  \r\n"):
        assert read_cells(write(tmp_path, data), NAMES) == []
    with pytest.raises(DataError, match=r"b\.csv: no such file"):
        read_text(tmp_path / "b.csv")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_text(tmp_path)
