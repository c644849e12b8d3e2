"""Matrices as CSV: what is read back, and the one line that names each defect."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.core.errors import ClbenchError, DataError
from clbench.reports.matrix import ScoreMatrix

NAN = float("nan")
WHOLE = "column 'version': wanted a whole number from 0 to 1 (the number of tasks)"
SCORE = "wanted a finite number or an empty cell, got"
DECIMAL = ", and decimal commas: save it with commas and decimal points"
names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda name: name == name.strip())


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "r.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_rows_may_be_left_out_and_in_any_order(tmp_path: Path) -> None:
    path = write(tmp_path, "version,cars,flags\n2,81.5,-3e1\n\n1, 90 ,\n")
    assert ScoreMatrix.from_csv(path) == ScoreMatrix.from_rows(["cars", "flags"], {1: [90, NAN], 2: [81.5, -30]})


def test_a_table_from_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, '\ufeffversion,"cars, red"\r\n0,0.5\r\n1,0.75\r\n')
    assert ScoreMatrix.from_csv(str(path)).at(1, 1) == 0.75
    assert ScoreMatrix.from_csv(path).tasks == ("cars, red",)


@given(st.data())
def test_what_is_written_is_read_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    tasks = data.draw(st.lists(names, min_size=1, max_size=4, unique=True))
    cell = st.one_of(st.just(NAN), st.floats(allow_nan=False, allow_infinity=False))
    row = st.lists(cell, min_size=len(tasks), max_size=len(tasks))
    matrix = ScoreMatrix.from_rows(tasks, data.draw(st.dictionaries(st.integers(0, len(tasks)), row)))
    path = tmp_path_factory.getbasetemp() / "round.csv"
    text = matrix.to_csv(path)
    assert path.read_bytes() == text.encode()
    assert ScoreMatrix.from_csv(path) == matrix


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "wanted the header version,<task>,..., got an empty file"),
        ("\n  \n", "wanted the header version,<task>,..., got an empty file"),
        ("cars,flags\n0,1\n", "row 1: wanted the header to start with 'version', got 'cars'"),
        ("version\n0\n", "row 1: wanted at least one task after 'version', got none"),
        ("version,cars,\n", "row 1, column 3: wanted the name of a task, got an empty cell"),
        ("version,cars,cars\n", "row 1: column 'cars' is there more than once"),
        ("version,cars\n", "wanted at least one row of scores, got only the header"),
        ("version,cars\n1,0.5\n1,0.6\n", "row 3, column 'version': wanted each version once, got 1 again"),
        ("version,cars\n1\n", "row 2: wanted 2 cells, got 1"),
        ("version,cars\n1,0.5,\n", "row 2: wanted 2 cells, got 3"),
        ("version,cars\n1,high\n", "row 2, column 'cars': wanted a finite number or an empty cell, got 'high'"),
        ("version,cars\n1,nan\n", "row 2, column 'cars': wanted a finite number or an empty cell, got 'nan'"),
        ("version,cars\n1,-inf\n", "row 2, column 'cars': wanted a finite number or an empty cell, got '-inf'"),
        ("version,cars\n1,1e999\n", "row 2, column 'cars': wanted a finite number or an empty cell, got '1e999'"),
        ("version,cars\n1,1_0\n", "row 2, column 'cars': wanted a finite number or an empty cell, got '1_0'"),
        ("version,cars\n2,0.5\n", f"row 2, {WHOLE}, got '2'"),
        ("version,cars\n-1,0.5\n", f"row 2, {WHOLE}, got '-1'"),
        ("version,cars\n1.0,0.5\n", f"row 2, {WHOLE}, got '1.0'"),
        ("version,cars\n,1\n", f"row 2, {WHOLE}, got ''"),
        ("version,cars\n,\n", "wanted at least one row of scores, got only the header"),
        ("version;cars\n0;1\n", "row 1: wanted commas (',') between the cells, got semicolons (';')"),
        ("version\tcars\n0\t1\n", "row 1: wanted commas (',') between the cells, got tabs ('\\t')"),
        ("version|cars\n0|1\n", "row 1: wanted commas (',') between the cells, got vertical bars ('|')"),
        ("version cars\n0 1\n", "row 1: wanted commas (',') between the cells, got blanks (' ')"),
        ("version;a;b\n0;0,5;0,6\n", f"row 1: wanted commas (',') between the cells, got semicolons (';'){DECIMAL}"),
        ("version,a,b\n0,0,5,0,6\n", "row 2: wanted 3 cells, got 5 (decimal commas? Write points)"),
        ('version,a\n0,"0,5"\n', f"row 2, column 'a': {SCORE} '0,5': write the decimal comma as a point, 0.5"),
        ("version,a\n0;0.5\n", "row 2: wanted 2 cells, got 1 (this row has semicolons, ';', between its cells)"),
        ("version,a\n0,\0\n", "row 2: wanted text, got a NUL byte: damaged, or UTF-16 without a mark"),
        ("version,cars\n٣,1\n", f"row 2, {WHOLE}, got '٣'"),
        (b"version,cars\n1,\xff\n", "wanted UTF-8 text, got byte 0xff at position 15"),
        ('version,cars\n1,"0.5\n', "row 2: wanted CSV, got unexpected end of data"),
    ],
)  # fmt: skip
def test_a_defect_is_named_with_its_place(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError) as caught:
        ScoreMatrix.from_csv(path)
    assert str(caught.value).removeprefix(str(path)).lstrip(":, ") == message


def test_a_file_that_is_not_there_or_not_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.csv: no such file"):
        ScoreMatrix.from_csv(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="cannot be read"):
        ScoreMatrix.from_csv(tmp_path)


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "r.csv").mkdir()
    with pytest.raises(ClbenchError, match="cannot be written"):
        ScoreMatrix.from_rows(["a"], {1: [0.5]}).to_csv(tmp_path / "r.csv")
    assert [path.name for path in tmp_path.rglob("*")] == ["r.csv"]
