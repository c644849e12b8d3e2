"""Flips over seeds: arithmetic by hand on small ledgers, and one line where there is nothing to read."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from clbench.core.errors import DataError
from clbench.reports.flips.seeds import between_seeds, difference, main, read_suite, summary
from clbench.spec.ledger import SCHEMA, write_ledger

OLD = "1100"
NEW = {
    ("naive-update", 0): "0110",
    ("naive-update", 1): "1010",
    ("continue-update", 0): "1110",
    ("continue-update", 1): "1111",
}


def rows(version: int, right: str) -> list[dict[str, object]]:
    """One task, a sample a character: 1 is right."""
    return [
        {
            "version": version,
            "protocol": "open",
            "task": "t",
            "sample_id": f"t/{number}",
            "prediction": "yes" if digit == "1" else f"no {version}",
            "target": "yes",
            "correct": digit == "1",
        }
        for number, digit in enumerate(right)
    ]


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    for (strategy, seed), new in NEW.items():
        cell = tmp_path / f"{strategy}-{seed}"
        cell.mkdir()
        (cell / "cell.json").write_text(json.dumps({"title": f"s / l / {strategy} / seed {seed}"}))
        write_ledger(pa.Table.from_pylist(rows(1, OLD) + rows(2, new), schema=SCHEMA), cell / "ledger.parquet")
    return tmp_path


def test_means_and_differences_are_those_by_hand(suite: Path) -> None:
    tables, plain = read_suite(suite, "open")
    assert summary(tables["naive-update"], "accuracy").mean == pytest.approx(50)
    assert summary(tables["naive-update"], "nfr").mean == pytest.approx(25)  # one of four, in both seeds
    found = difference(tables["continue-update"], tables["naive-update"], "accuracy")
    assert found.n == 2
    assert found.mean == pytest.approx(37.5)  # 75 - 50 and 100 - 50
    assert found.standard_error == pytest.approx(12.5)
    assert between_seeds(plain, "open") == pytest.approx(0.25)  # 0110 and 1010 lose one sample either way


def test_the_tables_are_printed(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(str(suite))
    printed = capsys.readouterr().out
    assert "| continue-update | 87.5 ± 12.5 | 0.0 ± 0.0 |" in printed
    assert (
        "| minus continue-update | accuracy | NFR | relative NFR |\n|---|---|---|---|\n| naive-update | -37.5"
        in printed
    )
    assert printed.endswith("noise floor, NFR between seeds of naive-update: 25.0 %\n")


def test_a_folder_without_cells_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no finished cells \(wanted the folder of a suite\)"):
        read_suite(tmp_path, "open")
