"""Are the ledgers of two run folders equal to the bit? `python tests/compare_runs.py OLD NEW`.

Cells are paired by stream, learner, label and seed, not by the hash in their folders' names, which changes with the
code. Exit status 1 when a ledger differs or a cell has no partner.
"""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def ledgers(folder: Path) -> dict[str, Path]:
    """The ledgers below a folder of runs, by suite and cell without its hash."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("ledger.parquet")):
        cell = path.parent
        if "--seed" in cell.name:  # no version of a cell, no artifact of a run
            found[f"{cell.parent.name}/{cell.name.rpartition('--')[0]}"] = path
    return found


def difference(old: pa.Table, new: pa.Table) -> str:
    """The first difference of two ledgers, in words; empty where all values of all columns are equal."""
    if old.num_rows != new.num_rows:
        return f"{old.num_rows} rows against {new.num_rows}"
    if set(old.column_names) != set(new.column_names):
        return f"columns {old.column_names} against {new.column_names}"
    for name in old.column_names:
        mine, other = old[name].combine_chunks(), new[name].combine_chunks()
        if not mine.equals(other):
            row = next(i for i in range(len(mine)) if not mine[i].equals(other[i]))
            return f"column {name!r}, first in row {row}: {mine[row]} against {other[row]}"
    return ""


def main() -> int:
    """Compare and print a line for each cell."""
    old, new = (ledgers(Path(name)) for name in sys.argv[1:3])
    bad = 0
    for cell in sorted(old.keys() | new.keys()):
        if cell not in old or cell not in new:
            found = f"only in {sys.argv[1 if cell in old else 2]}"
        else:
            tables = (pq.read_table(side[cell]) for side in (old, new))
            found = difference(*tables)
        bad += bool(found)
        rows = pq.read_metadata((old | new)[cell]).num_rows
        print(f"{cell}: {found or f'equal to the bit, {rows} rows'}")
    every = len(old.keys() | new.keys())
    print(f"{every - bad} of {every} cells are equal to the bit")
    return int(bool(bad) or not old)


if __name__ == "__main__":
    sys.exit(main())
